# SPDX-License-Identifier: BSD-3-Clause
"""From a posterior's publishing until an actuator was told, beside the hop posterior -> dispatch of the same session:
dispatch sleeping, with a priority and without; spinning on cores that it shares, and on a core of its own; with one actuator,
and with one that hangs and one that is dead beside it.

    python3 dispatch_latency.py BUILD SOURCE [--turns N] [--seconds N] [sleep|priority|spin|alone ...]

What takes microseconds changes with the machine from minute to minute, so each is measured in several short turns, all of
them one after the other, and what counts is the median over the turns.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
    raise SystemExit(__doc__)
sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "tests/system"))
from fornix import PROGRAM, SOURCE, WORK, Run  # noqa: E402
from recording import messages  # noqa: E402

TOLD = 0
CPUS = sorted(os.sched_getaffinity(0))
SETUPS = {"sleep": "dispatch sleeps", "priority": "dispatch sleeps, SCHED_FIFO",
          "spin": "dispatch spins, on cores that all share",
          "alone": "dispatch spins on a core of its own, all else on the others"}
WISHES = {"sleep": "", "priority": "priority: 20", "spin": "wait: spin", "alone": f"wait: spin, cpu: {CPUS[-1]}"}
SPEED = {"sleep": 4, "priority": 4, "spin": 4, "alone": 2}  # times real time: more decisions; fewer cores for the rest bear less
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


def write_rig(name, setup, endpoint, others):
    text = (SOURCE / "deploy/rigs/demo.yaml").read_text()
    for key, value in SETTINGS:
        text = re.sub(rf"^(\s+{key}:) \S+", rf"\1 {value}", text, flags=re.M)
    actuators = "\n    - ".join([f'{{type: udp, endpoint: "{endpoint}", text: T}}'] + others)
    text = text.replace("dispatch:\n", "dispatch:\n  max_age_ms: 1000\n")
    text = text.replace("{type: log, file: /dev/null}", actuators)
    text = text.replace("record: {}", "record: {compress: false, topics: [decision, decision.outcome]}")
    if WISHES[setup]:
        text += f"\nnodes:\n  - {{name: dispatch, {WISHES[setup]}}}\n"
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


def times(recording, until_ns):
    """us from the posterior's publishing until the system call that tells begins, and until it has returned."""
    found = [fields for topic, _, fields in messages(recording)
             if topic == "decision.outcome" and fields["fate"] == TOLD and fields["actuator"] == 0]
    found = [fields for fields in found if fields["told_ns"] < until_ns]
    return [sorted((fields[which] - fields["cause_publish_ns"]) / 1e3 for fields in found) for which in ("begun_ns", "told_ns")]


def percentiles(values):
    return [values[int(part * (len(values) - 1))] for part in (0.5, 0.99, 0.999)]


def measure(setup, beside, seconds):
    """One turn: the hop's median, and the times of all tasks, us."""
    sink, endpoint = bind()
    _, hanging = bind()
    others = [f'{{type: udp, endpoint: "{hanging}", text: T, reply: true, timeout_ms: 1000}}',
              '{type: trodes, endpoint: "tcp://127.0.0.1:9"}'] if beside else []
    recording = WORK / f"m{setup}{beside}.mcap"
    recording.unlink(missing_ok=True)
    # A core of its own: all that dispatch does not pin itself, its other threads too, stays on the others.
    os.sched_setaffinity(0, CPUS[:-1] if setup == "alone" else CPUS)
    it = Run(write_rig(f"m{setup}{beside}", setup, endpoint, others), "--duration", seconds * SPEED[setup],
             "--speed", SPEED[setup], "--record", recording)
    # The page of a node that has ended is gone. Looking takes a core for a moment: what comes after it does not count.
    signal.sigtimedwait([], seconds)
    looked_ns = time.monotonic_ns()
    hop = hop_of(it)
    output = it.output()
    told = re.search(rf"actuator {endpoint}: (\d+) carried out", output)
    assert hop and told, f"{hop}\n{output}"
    arrived = take_all(sink)
    assert arrived == int(told.group(1)), f"{arrived} of {told.group(1)} arrived"
    return hop["p50_ns"] / 1e3, *times(recording, looked_ns)


def over_turns(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def tell(setup, beside, turns):
    """Medians over the turns, with their range; and all tasks of all turns together."""
    hops, *both = zip(*turns)
    print(f"{SETUPS[setup]}; {'beside a hung and a dead one' if beside else 'one actuator'}: {len(turns)} turns, "
          f"{sum(len(turn[1]) for turn in turns)} told; hop p50 {over_turns(hops)} us")
    for what, times_of_turns in zip(("the send begins", "it has returned"), both):
        p50, p99, p999 = zip(*map(percentiles, times_of_turns))
        print(f"    {what}, us: p50 {over_turns(p50)} p99 {over_turns(p99)} p99.9 {over_turns(p999)}; "
              f"p50 / hop {statistics.median(a / b for a, b in zip(p50, hops)):.2f}, "
              f"p99.9 / p50 {over_turns([a / b for a, b in zip(p999, p50)])}")
        together = percentiles(sorted(sum(times_of_turns, [])))
        print("        together: p50 %.1f p99 %.1f p99.9 %.1f" % tuple(together) + f"; p99.9 / p50 {together[2] / together[0]:.1f}",
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


def main():
    options = argparse.ArgumentParser()
    options.add_argument("build")
    options.add_argument("source")
    options.add_argument("setups", nargs="*", help=" ".join(SETUPS))
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--seconds", type=int, default=6, help="of each turn")
    wanted = options.parse_intermixed_args()
    p50, p99, _ = percentiles(bare_send())
    print(f"a bare process's send, now and then: p50 {p50:.1f} us, p99 {p99:.1f}", flush=True)
    kinds = [(setup, beside) for setup in wanted.setups or SETUPS for beside in (False, True)]
    turns = [[measure(*kind, wanted.seconds) for kind in kinds] for _ in range(wanted.turns)]
    for kind, its_turns in zip(kinds, zip(*turns)):
        tell(*kind, its_turns)


if __name__ == "__main__":
    main()
