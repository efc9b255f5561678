# SPDX-License-Identifier: BSD-3-Clause
"""`fornix decode --smooth` writes a recording of better posteriors, and says so when it cannot."""
import json
import subprocess

from fornix import PROGRAM, WORK, Run

session, smoothed = WORK / "session.mcap", WORK / "smoothed.mcap"


def decode(*arguments):
    return subprocess.run([PROGRAM, "decode", *map(str, arguments)], capture_output=True, text=True,
                          check=False)


summary = Run("--threads", "--duration", "90", "--record", session).finish()
done = decode("--smooth", session, "--out", smoothed, "--json")
print(done.stdout, done.stderr[-300:])
assert done.returncode == 0
figures = json.loads(done.stdout)
assert figures["posteriors"] == summary["posteriors"] > 10000
assert figures["gaps"] == 0 and not figures["cut"]
# The same pairs as the run's own summary, and a smoother that is worth something.
assert abs(figures["filtered"]["same_arm_fraction"] - summary["same_arm_fraction"]) < 1e-9
assert figures["smoothed"]["n"] == figures["filtered"]["n"] > 100
assert figures["smoothed"]["same_arm_fraction"] >= figures["filtered"]["same_arm_fraction"]
assert (figures["smoothed"]["decode_error_cm_median"]
        <= figures["filtered"]["decode_error_cm_median"])
assert smoothed.read_bytes()[:5] == b"\x89MCAP"
assert b"posterior.smoothed" in smoothed.read_bytes()

# A second time: nothing is overwritten, nothing is left.
before = smoothed.read_bytes()
again = decode("--smooth", session, "--out", smoothed)
assert again.returncode == 1 and "exists already" in again.stderr
assert smoothed.read_bytes() == before

# A recording that was cut off is smoothed up to there.
cut = WORK / "cut.mcap"
cut.write_bytes(session.read_bytes()[:session.stat().st_size * 2 // 3])
done = decode("--smooth", cut, "--json", "--quiet")
assert done.returncode == 0 and done.stderr == "", done.stderr
figures = json.loads(done.stdout)
assert figures["cut"] and 0 < figures["posteriors"] < summary["posteriors"]
assert (WORK / "cut.smoothed.mcap").exists()

# Smoothed posteriors are no posteriors of the filter: there is nothing to smooth in them.
done = decode("--smooth", smoothed)
assert done.returncode == 1 and "no topic posterior" in done.stderr, done.stderr
done = decode("--smooth", WORK / "none.mcap")
assert done.returncode == 1 and "No such file" in done.stderr
assert decode().returncode == 2
assert decode("--help").returncode == 0
