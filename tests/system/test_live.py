# SPDX-License-Identifier: BSD-3-Clause
"""A reader that stops reading never stalls a live source: it loses frames, is told so, and nobody else loses any."""
import os
import signal

from fornix import Run, SOURCE, WORK

rig = WORK / "live.yaml"
rig.write_text((SOURCE / "deploy/rigs/demo.yaml").read_text()
               .replace("name: demo", "name: demo\n  live: true\n  slots: 2048"))
POOL_S = 2048 / 1500  # what the fullest pool, that of lfp, holds
it = Run(rig, "--speed", 4, "--duration", 40)
it.wait_for(lambda: "ripple" in it.children() and (it.segments / "ripple.status").exists(), "the nodes")


def session_s():
    """How far the session is, by the next line of progress; -1: this line does not say."""
    words = it.process.stdout.readline().split()
    return float(words[0]) if "actual" in words and words[1] == "s" else -1


at = []
it.wait_for(lambda: at.append(session_s()) or at[-1] > 0, "progress")
stopped = it.children()["ripple"]
os.kill(stopped, signal.SIGSTOP)
# A source that waits for who stands still gets as far as its pool reaches.
stop_s = at[-1]
it.wait_for(lambda: at.append(session_s()) or at[-1] > stop_s + 3 * POOL_S, "progress while one reader stands still")
print("progress while one reader stands still from", stop_s, "s of the session:", at)
os.kill(stopped, signal.SIGCONT)
summary = it.finish()
print(summary["session_s"], summary["wall_s"], summary["gaps"], summary["missed"], summary["drops"], summary["posteriors"], summary["frames"])
assert summary["missed"] > 0 and summary["gaps"] > 0, "the loss is not told"
assert abs(summary["posteriors"] - summary["session_s"] / 0.006) <= 2, "others lost something too"
