# SPDX-License-Identifier: BSD-3-Clause
"""A reader that stops reading never stalls a live source: it loses frames, is told so, and nobody else loses any."""
import os
import signal

from fornix import Run, SOURCE, WORK

rig = WORK / "live.yaml"
rig.write_text((SOURCE / "deploy/rigs/demo.yaml").read_text()
               .replace("name: demo", "name: demo\n  live: true\n  slots: 2048"))
it = Run(rig, "--speed", 4, "--duration", 60)
it.wait_for(lambda: "ripple" in it.children() and (it.segments / "ripple.status").exists(), "the nodes")
it.wait_for(lambda: "actual" in it.process.stdout.readline(), "progress")
stopped = it.children()["ripple"]
os.kill(stopped, signal.SIGSTOP)
for _ in range(6):
    it.wait_for(lambda: "actual" in it.process.stdout.readline(), "progress while one reader stands still")
os.kill(stopped, signal.SIGCONT)
summary = it.finish()
print(summary["session_s"], summary["wall_s"], summary["gaps"], summary["missed"], summary["drops"], summary["posteriors"], summary["frames"])
assert summary["real_time_factor"] > 2, "the source was held up"
assert summary["missed"] > 0 and summary["gaps"] > 0, "the loss is not told"
assert abs(summary["posteriors"] - summary["session_s"] / 0.006) <= 2, "others lost something too"
