# SPDX-License-Identifier: BSD-3-Clause
"""A crash that nobody notices: nodes of a running rig are killed (SIGKILL) or stopped for a while (SIGSTOP) at random
moments, paced and as fast as can be. Whatever was recorded, and whatever the actuator was told, is bit for bit that of
the undisturbed run; no gap, nothing twice, nothing left over, and nobody says that anything was lost. Every other time the
encoders of the fast runs expand their sums, and what follows from these is the same to 1e-6 only (docs/failure.md).

FORNIX_KILLS: how many in all (60). FORNIX_TEST_SEED: another sequence of moments; printed. FORNIX_SEGMENTS: where the
segments lie, say a small tmpfs that is nearly full.
"""
import json
import os
import random
import re
import signal
import struct
import time

import msgpack

from fornix import SANITIZED, SOURCE, WORK, Run, select_a_moment
from recording import messages, whole

KILLS = int(os.environ.get("FORNIX_KILLS", 12 if SANITIZED else 60))
SEED = int(os.environ.get("FORNIX_TEST_SEED", time.time_ns() % 10**9))
DURATION = {10: 30, "max": 150}  # of the session, s, by its pace: both take a few seconds
NODES = ["acquire", "ripple", "encode.1", "encode.2", "decode", "dispatch", "record", "tap"]
random_ = random.Random(SEED)
EXPANDED = random_.random() < 0.5
print(f"FORNIX_TEST_SEED={SEED}", "with expansions" * EXPANDED)


def write_rig(name, speed):
    """The demonstration, with rules that come true often, and an actuator that writes down what it is told; encoders in
    double precision, or with marks of whole counts."""
    text = (SOURCE / "deploy/rigs/demo.yaml").read_text()
    for key, value in (("threshold", 0.1), ("other_arms_below", 0.9), ("min_groups", 1), ("max_centre_distance_cm", 0),
                       ("max_speed_cm_s", 0), ("max_rate_per_min", 600), ("replay_after_s", 0)):
        text, n = re.subn(rf"^(\s+{key}:) \S+", rf"\1 {value}", text, flags=re.M)
        assert n, key
    # A reader that is slow to come back must not be taken for one that does not.
    text = text.replace("  name: demo\n", "  name: demo\n  grace_ms: 60000\n")
    if "FORNIX_SEGMENTS" in os.environ:
        text = text.replace("  name: demo\n", f"  name: demo\n  segment_dir: {os.environ['FORNIX_SEGMENTS']}\n")
    # Nodes that are struck make for old data, which must not keep the actuator from being told.
    text = text.replace("dispatch:\n", "dispatch:\n  max_age_ms: 0\n  stall_ms: 0\n")
    text = text.replace("file: /dev/null", f"file: {WORK / name}.log").replace("record: {}", "record: {compress: false}")
    if speed == "max":
        text = text.replace("encode:\n", "encode:\n  single: true\n  mark_step_uv: 0.195\n"
                            + "  expansion_mib: 16\n" * EXPANDED)
    path = WORK / f"{name}.yaml"
    path.write_text(text)
    return path


def recorded(path):
    """{topic: [messages]}, each without what this machine's clock said; their numbers must rise by one."""
    found = {}
    for topic, seq, fields in messages(path):
        fields = {key: value for key, value in fields.items() if not str(key).endswith("_ns")}
        if topic == "decision.outcome":
            del fields["sample_time"]  # of the frame that passed when it was known
        assert seq not in found.setdefault(topic, {}), f"{topic} {seq} is recorded twice"
        found[topic][seq] = msgpack.packb(fields)
    for topic, by_seq in found.items():
        assert sorted(by_seq) == list(range(len(by_seq))), f"{topic}: a number is missing"
    return {topic: [by_seq[seq] for seq in sorted(by_seq)] for topic, by_seq in found.items()}


def told(name):
    return re.sub(r"\w+_ns=\d+", "", (WORK / f"{name}.log").read_text()).splitlines()


def alike(a, b):
    """Whether two values of messages are the same; of fractions, to 1e-6."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.get("nd") and a["type"] == "<f8" == b.get("type") and len(a["data"]) == len(b["data"]):
            form = f"<{len(a['data']) // 8}d"
            return all(map(alike, struct.unpack(form, a["data"]), struct.unpack(form, b["data"])))
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-6 or a == b or (a != a and b != b)
    return a == b


def differs(expected, found, what, expanded=False):
    for i, (a, b) in enumerate(zip(expected, found)):
        if a != b and expanded:
            a, b = (msgpack.unpackb(packed, strict_map_key=False) for packed in (a, b))
            assert alike(a, b), f"{what} {i}: {b!r}, and not {a!r}"
        else:
            assert a == b, f"{what} {i}: {b!r}, and not {a!r}"
    assert len(expected) == len(found), f"{what}: {len(found)}, and not {len(expected)}"


def start(name, speed):
    return Run(write_rig(name, speed), "--duration", DURATION[speed], "--speed", speed, "--record", WORK / f"{name}.mcap")


def expect(speed):
    """What is recorded and told when nobody is struck."""
    name = f"undisturbed{speed}"
    it = start(name, speed)
    it.finish()
    it.assert_nothing_left()
    frames, tasks = recorded(WORK / f"{name}.mcap"), told(name)
    print(f"{DURATION[speed]} s:", {topic: len(found) for topic, found in frames.items()}, len(tasks), "tasks")
    assert len(frames["posterior"]) > DURATION[speed] / 0.006 - 3
    assert len(frames["decision"]) > 20 and len(tasks) > 20 and len(frames["ripple"]) > 10
    return frames, tasks


def disturb(name, speed, n, kill):
    """One run in which `n` nodes are struck, or as many as it lasts for. How many were."""
    it = start(name, speed)
    struck = 0
    while struck < n and it.process.poll() is None:
        until = time.monotonic() + random_.choice((0, 0.02, 0.1, 0.3)) * random_.random() / (5 if speed == "max" else 1)
        while time.monotonic() < until:
            pass
        children = it.children()
        node = random_.choice(NODES)
        if node not in children:
            continue
        try:
            struck += kill(children[node])
        except ProcessLookupError:
            pass
    text = it.output()
    # Struck when the session was over and the run on its way out: that is told, and nothing else is wrong.
    late = "died while stopping (Killed)" in text
    assert it.process.returncode == late, f"exit status {it.process.returncode}:\n{text}"
    it.assert_nothing_left()
    summary = json.loads(it.json_path.read_text())
    assert summary["gaps"] == 0 and summary["drops"] == 0, summary
    for words in ("lost:", "beginning anew", "did not fit", "rounded", "were not carried out"):
        assert words not in text, re.findall(rf".*{words}.*", text)
    expected, expected_log = undisturbed[speed]
    differs(expected_log, told(name), "line of the actuator")
    found = recorded(whole(WORK / f"{name}.mcap"))
    assert set(found) == set(expected)
    for topic in expected:
        differs(expected[topic], found[topic], topic, EXPANDED and speed == "max")
    for file in WORK.glob(f"{name}.*mcap"):
        file.unlink()
    print(f"{name}, speed {speed}: {struck} struck, {summary['restarts']} restarts")
    return struck


def sigkill(pid):
    os.kill(pid, signal.SIGKILL)
    return 1


def sigstop(pid):
    os.kill(pid, signal.SIGSTOP)
    for _ in range(random_.randrange(12)):
        select_a_moment()
    # Some wake up, some die asleep.
    os.kill(pid, signal.SIGCONT if random_.random() < 0.7 else signal.SIGKILL)
    return 1


undisturbed = {speed: expect(speed) for speed in DURATION}
total = runs = 0
while total < KILLS:
    how = runs % 3
    n = min(KILLS - total, max(1, KILLS // 3) if KILLS < 300 else 60)
    total += disturb(f"run{runs}", "max" if how == 1 else 10, n, sigstop if how == 2 else sigkill)
    runs += 1
