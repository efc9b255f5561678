# SPDX-License-Identifier: BSD-3-Clause
"""Bad input: a clear line that says what is wrong and where, and an exit status that is not 0. Nothing stays behind."""
import os
import pathlib
import subprocess

from fornix import PROGRAM, SOURCE, WORK, Run, data, fails, run

demo = (SOURCE / "deploy/rigs/demo.yaml").read_text()


def rig(name, text):
    path = WORK / name
    path.write_text(text)
    return path


print("rig files")
text = demo.replace("bin_cm: 5", "bin_cm: 5\n  bim_cm: 5")
fails("run", rig("unknown.yaml", text), status=2, says=["unknown.yaml:", "track.bim_cm", "unknown key", "bin_cm"])
line = demo[:demo.index("random_walk_cm")].count("\n") + 1
fails("run", rig("type.yaml", demo.replace("random_walk_cm: 6", "random_walk_cm: six")), status=2,
      says=[f"type.yaml:{line}: decode.random_walk_cm", "expected a number", "six"])
fails("run", rig("section.yaml", demo.replace("bus:\n  name: demo\n", "")), status=2,
      says=["section.yaml", "bus", "missing"])
fails("run", rig("range.yaml", demo.replace("random_walk_cm: 6", "random_walk_cm: -6")), status=2,
      says=[f"range.yaml:{line}: decode.random_walk_cm", "-6"])
fails("run", rig("empty.yaml", ""), status=2, says=["empty.yaml"])
fails("run", WORK / "none.yaml", status=2, says=["none.yaml", "No such file"])
fails("run", "--speed", "fast", status=2, says=["source.speed", "fast"])
fails("run", "--source", "session.xyz", status=2, says=["session.xyz", ".nwb"])

print("NWB files")
r050 = (SOURCE / "deploy/rigs/r050.yaml")
empty = WORK / "empty.nwb"
empty.write_bytes(b"")
fails("run", r050, "--source", empty, status=1, says=["empty.nwb"])
plain = WORK / "plain.nwb"
plain.write_text("not an HDF5 file at all\n" * 1000)
fails("run", r050, "--source", plain, status=1, says=["plain.nwb", "HDF5"])
fails("run", r050, "--source", WORK / "none.nwb", status=1, says=["none.nwb"])
session = data("data/r050_task.nwb")
if session:
    cut = WORK / "cut.nwb"
    cut.write_bytes(session.read_bytes()[:1_000_000])
    fails("run", r050, "--source", cut, status=1, says=["cut.nwb"])

print("MCAP files")
recording = WORK / "session.mcap"
whole = run("--duration", 10, "--record", recording)
size = recording.stat().st_size
short = WORK / "cut.mcap"
before = -1
for part in (0.3, 0.6, 0.9):
    short.write_bytes(recording.read_bytes()[: int(size * part)])
    it = Run("--source", short, "--speed", "max")
    summary = it.finish()
    assert "cut" in it.text, it.text
    assert before < summary["frames"]["lfp"] < whole["frames"]["lfp"], (part, summary["frames"])
    before = summary["frames"]["lfp"]
    print(f"  cut at {part:.0%}: {summary['frames']}")
fails("run", "--record", recording, "--duration", 1, status=1, says=["session.mcap", "exists"])

print("places")
fails("run", "--set", "bus.run_dir=/proc/fornix", status=1, says=["/proc/fornix"])
public = WORK / "public"
public.mkdir()
public.chmod(0o777)
fails("run", "--set", f"bus.run_dir={public}", status=1, says=[public.name, "others may write in it"])
fails("run", "--set", f"bus.segment_dir={plain}", status=1, says=[str(plain)])
if os.geteuid() != 0:
    fails("run", "--set", "bus.run_dir=/root/fornix", status=1, says=["/root/fornix", "ermission"])

it = Run("--duration", 60, "--speed", 1)
it.wait_for(lambda: "decode" in it.children(), "a first run")
fails("run", "--set", f"bus.name={it.bus}", "--set", f"bus.run_dir={it.run_dir}", status=1, says=[it.bus, "in use"])
it.process.send_signal(2)
it.finish()
it.assert_nothing_left()

print("a full file system")
if os.geteuid() == 0:
    full = pathlib.Path(WORK / "full")
    full.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "fornix-test", full], capture_output=True)
    if mounted.returncode == 0:
        try:
            fails("run", "--set", f"bus.segment_dir={full}/bus", "--set", f"bus.run_dir={WORK}/fullrun", status=1,
                  says=["No space left"])
        finally:
            subprocess.run(["umount", full], check=True)
    else:
        print("  no right to mount a small file system: not tried")

print("spikes that are no whole steps")
for step, rounds in ((0.195, False), (0.2, True)):
    text = demo.replace("encode:\n", f"encode:\n  single: true\n  mark_step_uv: {step}\n")
    it = Run(rig(f"step{step}.yaml", text), "--duration", 10)
    it.finish()
    assert ("they are rounded to it" in it.text) == rounds, it.text
    assert ("spikes were no whole multiples of encode.mark_step_uv" in it.text) == rounds, it.text
