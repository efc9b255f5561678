#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What whole rigs do with full models: how much faster than real time 32 and 256 tetrodes go, and where the
microseconds of a session at its own pace are.

    rig_rates.py BUILD [--json FILE] [32] [256] [paced] [ticks]      (default: the first three, some five minutes)

Each run first learns as fast as it can until every tetrode has its 25,000 marks (tests/bench/rig_rates.yaml), but for
FILL_LIMIT_S at the most: what is said of marks is what was found. Only what follows is measured. Rates: session time
over time, and each node's CPU time, between two looks at the status pages.
Paced: of each topic the time from the arrival of the sample that caused a frame to the frame's publishing, as `fornix echo`
prints it; of a posterior from the arrival of the LFP sample at whose time its time bin ends, whatever it says itself. One
window says little: of each topic there are several, the topics taking turns, of at least 1,000 frames each; what is told of
a quantile is its median over the windows, and between what it was.
The machine should be idle, and a host that has other guests never is. So in each window a bare timer on every core, above all
nodes' priority (bench_timer), says how late it woke itself, beside the time that the host says it stole: a window counts as
quiet in which that timer's own p99.9 is at most TIMER_LIMIT_US on the nodes' core. Told are all windows and the quiet ones.
Ticks: each node's CPU time, paced, where the clock closes the decoder's time bins and where the LFP does, in turns.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
FULL_S = 1500  # of the session: 25,000 marks at the slowest tetrode's rate, and some
GOALS = {"32": 100, "256": 5}
MEASURED_S = {"32": 1200, "256": 100, "paced": 120}
FILL_LIMIT_S, MEASURE_LIMIT_S = 150, 30  # by the clock on the wall
LOOK_EVERY_S = 1  # a look takes some ms of the nodes' time
# Paced, where the machine permits: all nodes on one core, the way to a posterior before all else. Who wakes somebody on another
# core pays for it, and where two virtual cores have to share one of the host's, each waits for the other.
PACED_NODES = """
nodes:
  - {name: acquire, cpu: 0, priority: 60}
  - {name: encode.1, cpu: 0, priority: 50}
  - {name: encode.2, cpu: 0, priority: 50}
  - {name: decode, cpu: 0, priority: 55}
  - {name: dispatch, cpu: 0, priority: 54}
  - {name: ripple, cpu: 0, priority: 40}
  - {name: score, cpu: 0}
"""
PACED_CORE = 0
# Paced: so many windows of so many frames.
WINDOWS = {"posterior": (6, 1020), "spikes": (3, 1020), "likelihood.1": (3, 1020), "likelihood.2": (3, 1020), "lfp": (3, 1200)}
TIMER_LIMIT_US = 1000  # what a posterior may take
LFP_PER_BIN, LFP_SPARE = 9, 300  # LFP samples in a time bin; and how many more are read
QUANTILES = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
GOAL_P50_US, GOAL_P999_US = 150, 1000
TICKS, TICKS_TURNS, TICKS_FULL_S, TICKS_S = ("clock", "lfp"), 2, 300, 20


class Rig:
    """One `fornix run` of the rig, on a bus of its own."""

    def __init__(self, build, work, n_groups, speed, measured_s, full_s=FULL_S, tick="clock"):
        self.program = pathlib.Path(build) / "bin" / "fornix"
        self.timer = [pathlib.Path(build) / "bin" / "bench_timer", *map(str, sorted(os.sched_getaffinity(0)))]
        self.bus = f"rates{os.getpid()}"
        self.full_s, self.end_s = full_s, full_s + measured_s
        self.n_groups, self.told_s = n_groups, time.monotonic()
        half = n_groups // 2
        values = {"N_GROUPS": n_groups, "SPEED": speed, "FULL_S": self.full_s, "DURATION_S": self.end_s, "TICK": tick,
                  "FIRST": ", ".join(map(str, range(1, half + 1))),
                  "SECOND": ", ".join(map(str, range(half + 1, n_groups + 1)))}
        text = (HERE / "rig_rates.yaml").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        path = pathlib.Path(work) / "rig.yaml"
        path.write_text(text + (PACED_NODES if speed else ""))
        self.where = ["--bus", self.bus]
        self.process = subprocess.Popen([self.program, "run", path, "--quiet", "--set", f"bus.name={self.bus}"],
                                        stderr=subprocess.DEVNULL)

    def look(self):
        """One look at the status pages; None before they are there, or after."""
        found = subprocess.run([self.program, "top", "--once", "--json", *self.where], capture_output=True, text=True)
        return json.loads(found.stdout) if found.returncode == 0 and found.stdout else None

    def look_at(self, session_s, limit_s=300):
        """The first look at or after this session time, or after so many seconds."""
        until = time.monotonic() + limit_s
        while self.process.poll() is None:
            it = self.look()
            if it and ((it["session_s"] or 0) >= session_s or time.monotonic() >= until):
                return it
            self.tell(it, session_s)
            try:
                self.process.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                pass
        raise SystemExit(f"rig_rates: the run ended before {session_s} s of it (exit status {self.process.returncode})")

    def tell(self, it, session_s):
        """A line every ten seconds: how far the session is."""
        if it and time.monotonic() >= self.told_s + 10:
            self.told_s = time.monotonic()
            print(f"{self.n_groups} tetrodes: {it['session_s'] or 0:.0f} of {session_s:.0f} s", file=sys.stderr)

    def start_echo(self, topic, count):
        return subprocess.Popen([self.program, "echo", topic, "--new", "--stamps", "--patient", "--count", str(count), *self.where],
                                stdout=subprocess.PIPE, text=True)

    def echo(self, topic, count):
        return self.start_echo(topic, count).communicate()[0]

    def marks(self):
        """Marks that the groups of the latest likelihoods hold: the fewest."""
        return min(int(n) for topic in ("likelihood.1", "likelihood.2")
                   for n in re.findall(r"n_marks=(\d+)", self.echo(topic, 400)))


def per_second(first, last):
    """What each node did between two looks, per second of session."""
    session_s = last["session_s"] - first["session_s"]
    before = {node["name"]: node for node in first["nodes"]}
    return {node["name"]: {
        "cpu_ms_per_s": 1e3 * (node["cpu_s"] - before[node["name"]]["cpu_s"]) / session_s,
        "frames_per_s": (node["in"] - before[node["name"]]["in"]) / session_s,
        "wakes_per_s": (node["wakes"] - before[node["name"]]["wakes"]) / session_s} for node in last["nodes"]}


def rate(rig):
    rig.look_at(rig.full_s, FILL_LIMIT_S)
    marks = rig.marks()
    first = rig.look_at(0)
    last = rig.look_at(first["session_s"] + 0.8 * (rig.end_s - rig.full_s), MEASURE_LIMIT_S)
    session_s = last["session_s"] - first["session_s"]
    wall_s = (last["now_ns"] - first["now_ns"]) * 1e-9
    return {"times_real_time": session_s / wall_s, "session_s": session_s, "fewest_marks": marks,
            "nodes": per_second(first, last)}


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def stolen_ms():
    """What the host says that it took from all cores, so far."""
    return 1e3 * int(pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[8]) / os.sysconf("SC_CLK_TCK")


def posteriors_late(rig, count):
    """Of so many posteriors: from the arrival of the LFP sample at whose time the bin ends to the publishing."""
    lfp = rig.start_echo("lfp", LFP_PER_BIN * count + LFP_SPARE)
    lines = [lfp.stdout.readline()]
    # Read as it comes, or who prints it would wait.
    reader = threading.Thread(target=lambda: lines.append(lfp.stdout.read()))
    reader.start()
    posteriors = re.findall(r"sample_time=(\d+) .*? publish_ns=(\d+)", rig.echo("posterior", count))
    reader.join()
    lfp.wait()
    arrivals = {int(time): int(ns) for time, ns in re.findall(r"sample_time=(\d+) .*? ingress_ns=(\d+)", "".join(lines))}
    late = [(int(ns) - arrivals[int(time)]) * 1e-3 for time, ns in posteriors if int(time) in arrivals]
    if len(late) < 0.99 * count:
        raise SystemExit(f"rig_rates: of {count} posteriors {len(late)} were seen together with their LFP sample")
    return late


def window_of(rig, topic):
    """Of so many frames: from the arrival of the sample that caused each to its publishing; and what a bare timer did."""
    timer = subprocess.Popen(rig.timer, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    before_ms, count = stolen_ms(), WINDOWS[topic][1]
    if topic == "posterior":
        found = sorted(posteriors_late(rig, count))
    else:
        found = sorted(map(float, re.findall(r"latency=([0-9.]+) us", rig.echo(topic, count))))
    cores = json.loads(timer.communicate()[0])
    return {"n": len(found), "max_us": found[-1], **{name: quantile(found, q) for name, q in QUANTILES.items()},
            "timers": cores, "stolen_ms": stolen_ms() - before_ms,
            "quiet": all(core["p999_us"] <= TIMER_LIMIT_US for core in cores if core["core"] == PACED_CORE)}


def paced(rig):
    # Who looks on keeps off the core on which the posterior is made.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rig.look_at(rig.full_s + 1)
    marks = rig.marks()
    windows = {topic: [] for topic in WINDOWS}
    first = rig.look_at(0)
    for turn in range(max(n for n, _ in WINDOWS.values())):
        for topic in [topic for topic, (n, _) in WINDOWS.items() if turn < n]:
            windows[topic].append(window_of(rig, topic))
    return {"fewest_marks": marks, "topics": windows, "nodes": per_second(first, rig.look_at(0))}


def ticks(build):
    """Of each tick and each turn, what each node did per second of session."""
    found = {tick: [] for tick in TICKS}
    for _ in range(TICKS_TURNS):
        for tick in TICKS:
            with tempfile.TemporaryDirectory(prefix="fornix-rates-") as work:
                rig = Rig(build, work, 32, 1, TICKS_S + 10, TICKS_FULL_S, tick)
                try:
                    first = rig.look_at(rig.full_s + 2)
                    found[tick].append(per_second(first, rig.look_at(first["session_s"] + TICKS_S)))
                finally:
                    rig.process.terminate()
                    rig.process.wait()
    return found


def print_ticks(found):
    print("\n32 tetrodes at their own pace, CPU, ms per s of session (wakes per s), of each turn:\n")
    print("| node | " + " | ".join(f"tick: {tick}" for tick in TICKS) + " |\n|---|" + "---|" * len(TICKS))
    for node in found[TICKS[0]][0]:
        print(f"| {node} | " + " | ".join(
            ", ".join(f"{turn[node]['cpu_ms_per_s']:.2f} ({turn[node]['wakes_per_s']:.0f})" for turn in found[tick])
            for tick in TICKS) + " |")


def spread(windows, name):
    values = [window[name] for window in windows]
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def print_nodes(nodes):
    print("| node | CPU, ms per s of session | frames in per s | wakes per s |\n|---|---|---|---|")
    for node, found in nodes.items():
        print(f"| {node} | {found['cpu_ms_per_s']:.2f} | {found['frames_per_s']:.0f} | {found['wakes_per_s']:.0f} |")


def print_rate(name, it):
    print(f"\n{name} tetrodes, at least {it['fewest_marks']:,} marks each: {it['times_real_time']:.1f} x real time "
          f"(goal: {GOALS[name]})\n")
    print_nodes(it["nodes"])


def print_paced(it):
    print(f"\n32 tetrodes at their own pace, at least {it['fewest_marks']:,} marks each: a posterior beyond its bin's end, "
          f"goals p50 {GOAL_P50_US} us, p99.9 {GOAL_P999_US} us\n")
    print("| published | windows of frames | p50, us | p99, us | p99.9, us | longest, us |\n|---|---|---|---|---|---|")
    for topic, windows in it["topics"].items():
        print(f"| {topic} | {len(windows)} of {windows[0]['n']:,} | {spread(windows, 'p50_us')} | {spread(windows, 'p99_us')} "
              f"| {spread(windows, 'p999_us')} | {max(window['max_us'] for window in windows):.0f} |")
    print()
    print_nodes(it["nodes"])
    print()
    print_beside_timers(it["topics"]["posterior"])


def print_beside_timers(windows):
    """Each window of posteriors beside what a bare timer did in it."""
    cores = [f"timer on core {timer['core']}" for timer in windows[0]["timers"]]
    print("| posterior's p50, p99.9, longest, us | " + " | ".join(f"{core}: p99.9, longest, us" for core in cores) +
          " | stolen, ms |\n|---|" + "---|" * (len(cores) + 1))
    for window in windows:
        timers = " | ".join(f"{timer['p999_us']:.0f}, {timer['max_us']:.0f}" for timer in window["timers"])
        print(f"| {window['p50_us']:.0f}, {window['p999_us']:.0f}, {window['max_us']:.0f} | {timers} "
              f"| {window['stolen_ms']:.0f} |")
    quiet = [window for window in windows if window["quiet"]]
    print(f"\np99.9 of posteriors is at most {GOAL_P999_US} us in {sum(w['p999_us'] <= GOAL_P999_US for w in windows)} of all "
          f"{len(windows)} windows, and in {sum(w['p999_us'] <= GOAL_P999_US for w in quiet)} of the {len(quiet)} in which the "
          f"timer's own on the nodes' core was at most {TIMER_LIMIT_US} us")


def main():
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        raise SystemExit(__doc__)
    build, path = arguments.pop(0), None
    if "--json" in arguments:
        at = arguments.index("--json")
        path = arguments[at + 1]
        del arguments[at:at + 2]
    for name in arguments:
        if name not in (*GOALS, "paced", "ticks"):
            raise SystemExit(f"rig_rates.py: expected 32, 256, paced or ticks, found {name}")
    found = {}
    for name in arguments or [*GOALS, "paced"]:
        if name == "ticks":
            found[name] = ticks(build)
            print_ticks(found[name])
            continue
        with tempfile.TemporaryDirectory(prefix="fornix-rates-") as work:
            rig = Rig(build, work, 256 if name == "256" else 32, int(name == "paced"), MEASURED_S[name])
            try:
                found[name] = paced(rig) if name == "paced" else rate(rig)
            finally:
                rig.process.terminate()
                rig.process.wait()
        (print_paced if name == "paced" else lambda it: print_rate(name, it))(found[name])
        sys.stdout.flush()
    if path:
        pathlib.Path(path).write_text(json.dumps(found, indent=2) + "\n")


main()
