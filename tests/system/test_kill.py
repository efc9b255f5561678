# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 of any one node during a paced run: the others go on, it is restarted and resumes, and nothing is lost."""
import os
import signal
import subprocess

from fornix import DEADLINE_S, PROGRAM, WORK, Run

NODES = ["acquire", "ripple", "encode.1", "encode.2", "decode", "dispatch", "record", "tap"]
recording = WORK / "session.mcap"
it = Run("--duration", 60, "--speed", 4, "--record", recording)
it.wait_for(lambda: set(NODES) <= set(it.children()), "all nodes")


def fornix(*arguments):
    return subprocess.run([PROGRAM, *arguments, "--bus", it.bus, "--run-dir", it.run_dir], text=True, capture_output=True,
                          timeout=DEADLINE_S)


# What was set by hand outlives a crash, too.
it.wait_for(lambda: fornix("set", "dispatch", "armed", "0").returncode == 0, "dispatch to listen")
for node in NODES:
    before = it.children()
    os.kill(before[node], signal.SIGKILL)
    it.wait_for(lambda: it.children().get(node, before[node]) != before[node], f"{node} to be restarted")
    after = it.children()
    assert all(after[other] == pid for other, pid in before.items() if other != node), f"{node} took others along"
armed = []
it.wait_for(lambda: armed.append(fornix("get", "dispatch", "armed")) or armed[-1].returncode == 0, "dispatch to listen again")
assert armed[-1].stdout.split()[0] == "0", armed[-1].stdout
summary = it.finish()
it.assert_nothing_left()
print(it.text[-2000:])
assert summary["restarts"] == len(NODES)
assert summary["gaps"] == 0 and summary["drops"] == 0
assert abs(summary["posteriors"] - summary["session_s"] / 0.006) <= 2
assert "lost:" not in it.text

# The recording holds every frame of every topic once, and what follows from it is what followed then.
replay = Run("--source", recording, "--speed", "max")
again = replay.finish()
for topic in ("position", "spikes", "lfp"):
    assert again["frames"][topic] == summary["frames"][topic], topic
assert again["posterior_digest"] == summary["posterior_digest"]
