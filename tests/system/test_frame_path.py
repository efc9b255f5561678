# SPDX-License-Identifier: BSD-3-Clause
"""The frame path allocates nothing in any node, and with busy waiting enters the kernel not once. Needs strace, and no
sanitizer, which allocates and calls the kernel itself."""
import subprocess

from fornix import SOURCE, WORK, Run, run

print("allocations by node, as fast as can be and paced, recording")
for arguments in (["--speed", "max", "--duration", 120], ["--speed", 8, "--duration", 24]):
    recording = WORK / f"{len(list(WORK.glob('*.mcap')))}.mcap"
    summary = run(*arguments, "--record", recording)
    print(" ", summary["heap_allocations_after_start"])
    assert "record" in summary["heap_allocations_after_start"]
    assert all(count == 0 for count in summary["heap_allocations_after_start"].values())

print("system calls of busy waiting nodes")
# Whoever finds a pool nearly full asks the kernel whether its readers live: one that is held up for a second is no reason.
rig = WORK / "deep.yaml"
rig.write_text((SOURCE / "deploy/rigs/demo.yaml").read_text().replace("name: demo", "name: demo\n  slots: 2048"))
it = Run(rig, "--set", "bus.wait=spin", "--speed", 1, "--duration", 60)
it.wait_for(lambda: "actual" in it.process.stdout.readline(), "progress")
nodes = {name: pid for name, pid in it.children().items() if name not in ("tap", "record")}
traces = {name: subprocess.Popen(["strace", "-p", str(pid), "-o", WORK / f"{name}.strace"],
                                 stderr=subprocess.PIPE, text=True) for name, pid in nodes.items()}
for trace in traces.values():
    assert "attached" in trace.stderr.readline()
frames = []
while len(frames) < 5:
    it.wait_for(lambda: frames.append(it.process.stdout.readline()) is None, "progress under observation")
frames = [int(line.split("real time")[1].split()[0]) for line in frames if "real time" in line]
for trace in traces.values():
    trace.terminate()
    trace.wait()
calls = {name: [line for line in (WORK / f"{name}.strace").read_text().splitlines() if "(" in line and "+++" not in line]
         for name in nodes}
print(f"  {frames[-1] - frames[0]} frames,", {name: len(lines) for name, lines in calls.items()})
it.process.terminate()
it.finish()
assert frames[-1] - frames[0] > 1000
assert set(nodes) == {"acquire", "ripple", "encode.1", "encode.2", "decode", "dispatch"}
for name, lines in calls.items():
    assert not lines, f"{name}: {lines[:5]}"
