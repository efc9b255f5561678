# SPDX-License-Identifier: BSD-3-Clause
"""After stimulation a live rig starts no ripple while it blanks; a replay does not listen, and gives the same numbers with it and without."""
import json
import signal
import subprocess

from fornix import PROGRAM, Run, WORK

RIG = """\
bus: {{name: blanking, live: {live}}}
source:
  type: simulator
  duration_s: {duration}
  simulator: {{ripple_rate_hz: 5}}
lfp: {{n_channels: 4, rate_hz: 1500}}
position: {{rate_hz: 30}}
track:
  bin_cm: 5
  nodes: [{{name: a, x: 0, y: 0}}, {{name: b, x: 30, y: 0}}]
  arms: [{{name: stem, nodes: [a, b], bins: [0, 5]}}]
ripple: {{warm_up_samples: 1500, blanking_ms: {blanking}}}
dispatch:
  armed: true
  lockout_ms: 50
  max_rate_per_min: 1000
  rules: [{{name: r, type: ripple, consensus: true, window_ms: 20, task: 1, lockout_ms: 50}}]
  actuators: [{{type: log, file: /dev/null}}]
"""
BLANKING_MS = 60000
# Of session time without a frame about a ripple, where without blanking some hundred come.
QUIET_S = 10


def start(live, blanking, duration):
    rig = WORK / "blanking.yaml"
    rig.write_text(RIG.format(live=str(live).lower(), blanking=blanking, duration=duration))
    return Run(rig, "--speed", 20 if live else 0)


def replayed_ripples(blanking):
    return start(False, blanking, 60).finish()["ripples"]


def look(run):
    """(session time of the ripple node in s, frames about ripples, decisions), None before there are any."""
    top = subprocess.run([PROGRAM, "top", "--once", "--json", "--bus", run.bus, "--run-dir", run.run_dir],
                         capture_output=True, text=True)
    if top.returncode:
        return None
    seen = json.loads(top.stdout)
    time = {node["name"]: node["sample_time"] for node in seen["nodes"]}.get("ripple")
    frames = {topic["name"]: topic["frames"] for topic in seen["topics"]}
    if time is None or "ripple" not in frames or "decision" not in frames:
        return None
    return time / 30000, frames["ripple"], frames["decision"]


def falls_silent(run):
    """How many frames about ripples there were when, after a decision, there were no more for QUIET_S."""
    since_s, before = 0, -1
    found = []

    def is_silent():
        nonlocal since_s, before
        now = look(run)
        if not now:
            return False
        if now[1] != before or not now[2]:
            since_s, before = now[0], now[1]
        found[:] = now
        return now[0] - since_s >= QUIET_S

    run.wait_for(is_silent, f"{QUIET_S} s without a ripple after stimulation")
    return found


# However late the first decision comes on a busy machine, from then on it is quiet, for as long as it blanks.
run = start(True, BLANKING_MS, 3600)
time_s, frames, decisions = falls_silent(run)
run.process.send_signal(signal.SIGINT)
run.finish()
print(f"live: silent at {time_s:.1f} s of session, after {frames} frames about ripples and {decisions} decisions")
assert frames > 0 and decisions > 0

without = replayed_ripples(0)
print(f"replayed: {without} ripples in a minute")
assert replayed_ripples(BLANKING_MS) == without > 20
