# SPDX-License-Identifier: BSD-3-Clause
"""From a posterior's publishing until an actuator was told, beside the hop posterior -> dispatch of the same session:
dispatch sleeping, spinning on cores that it shares, and spinning on a core of its own; with one actuator, and with one that
hangs and one that is dead beside it.

    python3 dispatch_latency.py BUILD SOURCE [sleep|spin|alone ...]
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests/system"))
from fornix import PROGRAM, SOURCE, WORK, Run  # noqa: E402
from recording import messages  # noqa: E402

DURATION_S = int(os.environ.get("FORNIX_BENCH_S", 25))
TOLD = 0
CPUS = sorted(os.sched_getaffinity(0))
SETUPS = {"sleep": "dispatch sleeps", "spin": "dispatch spins, on cores that all share",
          "alone": "dispatch spins on a core of its own, all else on the others"}
SPEED = {"sleep": 4, "spin": 4, "alone": 2}  # times real time: more decisions; fewer cores for the rest bear less
SETTINGS = (("threshold", 0.001), ("other_arms_below", 1), ("min_groups", 1), ("max_centre_distance_cm", 0),
            ("max_speed_cm_s", 0), ("max_rate_per_min", 6000), ("replay_after_s", 0), ("lockout_ms", 20))


def bind():
    it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    it.bind(("127.0.0.1", 0))
    return it, "127.0.0.1:%d" % it.getsockname()[1]


def take_all(it):
    """How many datagrams lie there. Nobody sleeps on the socket before: waking a reader on this machine is part of
    the sender's system call, and no part of a device's."""
    it.setblocking(False)
    n = 0
    while True:
        try:
            it.recv(65536)
        except BlockingIOError:
            return n
        n += 1


def write_rig(name, waits, endpoint, others):
    text = (SOURCE / "deploy/rigs/demo.yaml").read_text()
    for key, value in SETTINGS:
        text = re.sub(rf"^(\s+{key}:) \S+", rf"\1 {value}", text, flags=re.M)
    actuators = "\n    - ".join([f'{{type: udp, endpoint: "{endpoint}", text: T}}'] + others)
    text = text.replace("dispatch:\n", "dispatch:\n  max_age_ms: 1000\n")
    text = text.replace("{type: log, file: /dev/null}", actuators)
    text = text.replace("record: {}", "record: {compress: false, topics: [decision, decision.outcome]}")
    if waits == "spin":
        text += "\nnodes:\n  - {name: dispatch, wait: spin}\n"
    if waits == "alone":
        text += f"\nnodes:\n  - {{name: dispatch, wait: spin, cpu: {CPUS[-1]}}}\n"
    path = WORK / f"{name}.yaml"
    path.write_text(text)
    return path


def hop_of(it):
    found = subprocess.run([PROGRAM, "top", "--once", "--json", "--bus", it.bus, "--run-dir", str(it.run_dir)],
                           capture_output=True, text=True)
    if found.returncode:
        return None
    hops = [hop["hop"] for hop in json.loads(found.stdout)["hops"]
            if (hop["topic"], hop["reader"]) == ("posterior", "dispatch")]
    return hops[0] if hops else None


def begun(recording):
    """us from the posterior's publishing until the system call that tells begins."""
    found = [fields for topic, _, fields in messages(recording)
             if topic == "decision.outcome" and fields["fate"] == TOLD and fields["actuator"] == 0]
    return sorted((one["begun_ns"] - one["cause_publish_ns"]) / 1e3 for one in found)


def percentiles(values):
    return [values[int(part * (len(values) - 1))] for part in (0.5, 0.99, 0.999)]


def measure(waits, beside):
    sink, endpoint = bind()
    _, hanging = bind()
    others = [f'{{type: udp, endpoint: "{hanging}", text: T, reply: true, timeout_ms: 1000}}',
              '{type: trodes, endpoint: "tcp://127.0.0.1:9"}'] if beside else []
    recording = WORK / f"m{waits}{beside}.mcap"
    # A core of its own: all that dispatch does not pin itself, its other threads too, stays on the others.
    os.sched_setaffinity(0, CPUS[:-1] if waits == "alone" else CPUS)
    it = Run(write_rig(f"m{waits}{beside}", waits, endpoint, others), "--duration", DURATION_S * SPEED[waits],
             "--speed", SPEED[waits], "--record", recording)
    hop = None
    # The page of a node that has ended is gone. Looking takes a core for a moment, so it is done now and then.
    while it.process.poll() is None:
        hop = hop_of(it) or hop
        signal.sigtimedwait([], 6)
    told = re.search(rf"actuator {endpoint}: (\d+) carried out, told ([\d.]+) us.*?p99 ([\d.]+), p99.9 ([\d.]+)", it.output())
    assert told, it.output()
    n, *done = map(float, told.groups())
    arrived = take_all(sink)
    assert arrived == n, f"{arrived} of {n} arrived"
    hop_us = hop["p50_ns"] / 1e3
    print(f"{SETUPS[waits]}; {'beside a hung and a dead one' if beside else 'one actuator'}: {n:.0f} told; hop p50 {hop_us:.1f} us")
    for what, (p50, p99, p999) in (("the send begins", percentiles(begun(recording))), ("it has returned", done)):
        print(f"    {what}, us: p50 {p50:.1f} p99 {p99:.1f} p99.9 {p999:.1f}; p50 / hop {p50 / hop_us:.2f}, p99.9 / p50 {p999 / p50:.1f}",
              flush=True)


def bare_send(n=200):
    """us that a send takes in a process that does nothing else: most of it is the machine's, which wakes up."""
    sink, _ = bind()
    it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    it.connect(sink.getsockname())
    took = []
    for _ in range(n):
        signal.sigtimedwait([], 0.02)
        begun = time.perf_counter_ns()
        it.send(b"T")
        took.append((time.perf_counter_ns() - begun) / 1e3)
    return sorted(took)


p50, p99, _ = percentiles(bare_send())
print(f"a bare process's send, now and then: p50 {p50:.1f} us, p99 {p99:.1f}")
for setup in sys.argv[3:] or SETUPS:
    for neighbours in (False, True):
        measure(setup, neighbours)
