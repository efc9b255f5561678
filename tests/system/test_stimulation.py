# SPDX-License-Identifier: BSD-3-Clause
"""What reaches an actuator outside, a UDP socket of this test, against what was recorded.

1. dispatch is killed (SIGKILL) at random moments during many decisions, as fast as can be and paced: no task arrives
   twice, none without a decision that says so, and each has one outcome on decision.outcome that fits: what did not
   arrive was not told, or nobody knows.
2. dispatch is stopped (SIGSTOP) for longer than the age that is allowed, in a session at its pace: nothing that was
   decided before it slept, or waited meanwhile, is done when it wakes up.

FORNIX_DECISIONS: how many tasks there must have been under fire (200). FORNIX_TEST_SEED: another sequence of moments.
"""
import os
import pathlib
import random
import re
import select
import signal
import socket
import threading
import time

import msgpack

from fornix import DEADLINE_S, SANITIZED, SOURCE, WORK, Run, select_a_moment
from recording import messages, whole

DECISIONS = int(os.environ.get("FORNIX_DECISIONS", 60 if SANITIZED else 200))
SEED = int(os.environ.get("FORNIX_TEST_SEED", time.time_ns() % 10**9))
ACTED, FAILED, STALE, STALLED = 0, 5, 10, 12
TOLD, UNKNOWN = 0, 5
KILLS_WITHOUT_A_TASK = 3
LENGTHENED_AT_MOST = 5
random_ = random.Random(SEED)
print(f"FORNIX_TEST_SEED={SEED}")


class Actuator:
    """Takes datagrams, each a decision, with the time of arrival."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.told = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            body = self.socket.recv(65536)
            if body == b"end":
                return
            self.told.append((time.monotonic_ns(), msgpack.unpackb(body)))

    def end(self):
        """All that has come: datagrams keep their order."""
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.sendto(b"end", self.socket.getsockname())
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        return self.told


class Pipe:
    """Where a log goes that hangs: full, until it is drained. Then the lines that have come."""

    def __init__(self, name):
        self.path = WORK / name
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self.text = b""
        self.thread = None
        self.ended = False
        self.n_filled = 0
        try:
            while True:
                self.n_filled += os.write(self.fd, b"." * 4096)
        except BlockingIOError:
            pass

    def drain(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended or select.select([self.fd], [], [], 0)[0]:
            if select.select([self.fd], [], [], 0.01)[0]:
                self.text += os.read(self.fd, 65536)

    def end(self):
        """The decisions that whole lines were about."""
        self.ended = True
        self.thread.join(DEADLINE_S)
        return [int(n) for n in re.findall(rb"\bseq=(\d+) cause_seq=[^\n]*\n", self.text[self.n_filled:])]


def write_rig(name, actuator, extra, others=""):
    """The demonstration, with rules that come true often."""
    text = (SOURCE / "deploy/rigs/demo.yaml").read_text()
    for key, value in (("threshold", 0.1), ("other_arms_below", 0.9), ("min_groups", 1), ("max_centre_distance_cm", 0),
                       ("max_speed_cm_s", 0), ("max_rate_per_min", 6000), ("replay_after_s", 0), ("lockout_ms", 30)):
        text, n = re.subn(rf"^(\s+{key}:) \S+", rf"\1 {value}", text, flags=re.M)
        assert n, key
    text = text.replace("  name: demo\n", "  name: demo\n  grace_ms: 60000\n")
    text = text.replace("dispatch:\n", "dispatch:\n" + extra).replace("record: {}", "record: {compress: false}")
    text = text.replace("{type: log, file: /dev/null}", f"{{type: udp, endpoint: \"{actuator.endpoint}\"}}" + others)
    path = WORK / f"{name}.yaml"
    path.write_text(text)
    return path


def decisions(name):
    """What was recorded: {sequence number: decision}, {sequence number of its decision: outcome} for each
    actuator."""
    found, outcomes = {}, ({}, {})
    for topic, seq, fields in messages(whole(WORK / f"{name}.mcap")):
        if topic == "decision":
            assert seq not in found, f"decision {seq} is recorded twice"
            found[seq] = fields
        if topic == "decision.outcome":
            about, its = fields["decision_seq"], outcomes[fields["actuator"]]
            assert about not in its, f"two outcomes: {fields} {its[about]}"
            its[about] = fields
    return found, outcomes


def judge(told, recorded, outcomes, n_cut_off):
    """Nothing twice, nothing without a record, and nothing lost in silence: but for `n_cut_off` acts whose outcome
    nobody was left to publish."""
    numbers = [task["seq"] for _, task in told]
    assert len(set(numbers)) == len(numbers), "a task was done twice"
    for task in (task for _, task in told):
        decision = recorded.get(task["seq"])
        assert decision, f"a task without a decision: {task}"
        assert decision["outcome"] in (ACTED, FAILED), f"done, and recorded as not done: {decision}"
        for key in ("sample_time", "rule", "task", "cause_seq", "target_mass"):
            assert decision[key] == task[key], f"{key}: {decision} {task}"
    acted = {seq for seq, decision in recorded.items() if decision["outcome"] == ACTED}
    judge_outcomes(set(numbers), recorded, acted, outcomes, n_cut_off)
    return len(acted), len(acted - set(numbers))


def judge_outcomes(came, recorded, acted, outcomes, n_cut_off):
    """Of one actuator: each act has one, and it fits what came."""
    silent = acted - set(outcomes)
    assert len(silent) <= n_cut_off, f"no outcome of decisions {sorted(silent)} of {len(acted)}"
    for seq, outcome in outcomes.items():
        assert seq in recorded and recorded[seq]["outcome"] in (ACTED, FAILED), f"not done, and yet: {outcome}"
        assert outcome["decision_sample_time"] == recorded[seq]["sample_time"], f"{outcome} {recorded[seq]}"
        fits = (TOLD, UNKNOWN) if seq in came else set(range(6)) - {TOLD}
        assert outcome["fate"] in fits, f"{'came' if seq in came else 'did not come'}: {outcome}"


def is_at_it(pid):
    """Whether a thread of this process is in a write to a pipe that is full."""
    try:
        return any("pipe_write" in (task / "wchan").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False


def under_fire(n, speed, duration_s):
    """A session in which dispatch is killed again and again; how many tasks there were. One that is over before this test
    had its turn to kill a worker at its task has taught little, and is had again, twice as long."""
    for again in range(LENGTHENED_AT_MOST):
        acted = one_session_under_fire(f"{n}-{again}", speed, duration_s << again)
        if acted is not None:
            return acted
    raise AssertionError(f"in {LENGTHENED_AT_MOST} sessions no worker was killed at a task")


def one_session_under_fire(n, speed, duration_s):
    """How many tasks there were; None: nobody was killed at one."""
    name, actuator = f"fire{n}", Actuator()
    pipe = Pipe(f"pipe{n}")
    rig = write_rig(name, actuator, "  max_age_ms: 0\n  stall_ms: 0\n", f"\n    - {{type: log, file: {pipe.path}}}")
    it = Run(rig, "--duration", duration_s, "--speed", speed, "--record", WORK / f"{name}.mcap")
    killed = killed_at_it = in_vain = n_told = 0
    while it.process.poll() is None:
        # A session that does not come on would teach nothing: now and then a task is waited for.
        in_vain, n_told = (in_vain + 1 if n_told == len(actuator.told) else 0), len(actuator.told)
        until = time.monotonic() + DEADLINE_S / 10
        while (in_vain >= KILLS_WITHOUT_A_TASK and n_told == len(actuator.told) and it.process.poll() is None and
               time.monotonic() < until):
            select_a_moment()
        until = time.monotonic() + random_.choice((0, 0.02, 0.1, 0.3)) * random_.random()
        # Once a task has been told the worker of the log hangs at it, and is killed there.
        while it.process.poll() is None and (time.monotonic() < until or (not killed_at_it and actuator.told)):
            if not killed_at_it and is_at_it(it.children().get("dispatch")):
                break
            select_a_moment()
        pid = it.children().get("dispatch")
        if not pid or not it.children().get("acquire"):
            continue
        at_it = is_at_it(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
        if at_it and not killed_at_it:
            pipe.drain()
        killed_at_it += at_it
    text = it.output()
    assert it.process.returncode == ("died while stopping (Killed)" in text), text
    # Killed in its last moments, its successor has nothing left to run for.
    n_cut_off = 16 if "died while stopping" in text else 0
    recorded, outcomes = decisions(name)
    acted, missing = judge(actuator.end(), recorded, outcomes[0], n_cut_off)
    if not killed_at_it:
        print(f"speed {speed}: {duration_s} s of session, killed {killed} times, and never at a task")
        return None
    lines = pipe.end()
    assert len(set(lines)) == len(lines), "a line was written twice"
    given = {seq for seq, decision in recorded.items() if decision["outcome"] == ACTED}
    judge_outcomes(set(lines), recorded, given, outcomes[1], n_cut_off)
    caught = sum(outcome["fate"] == UNKNOWN for outcome in outcomes[1].values())
    print(f"speed {speed}: killed {killed} times, {acted} tasks, {missing} of them told as lost or unknown; of those that "
          f"hung, {caught} were caught at it, {len(lines)} of {len(outcomes[1])} told")
    assert caught, "no worker was killed while it was at it"
    assert killed and "lost: what was done before" not in text, text
    return acted


def asleep():
    """dispatch sleeps while the session goes on."""
    name, actuator = "asleep", Actuator()
    rig = write_rig(name, actuator, "  max_age_ms: 400\n  stall_ms: 300\n")
    it = Run(rig, "--duration", 600, "--speed", 1, "--record", WORK / f"{name}.mcap")
    naps = []

    def await_tasks():
        n = len(actuator.told)
        it.wait_for(lambda: len(actuator.told) >= n + 3, "tasks")

    for _ in range(3):
        await_tasks()
        pid = it.children()["dispatch"]
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic_ns()
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            select_a_moment()
        naps.append((begin, time.monotonic_ns()))
        os.kill(pid, signal.SIGCONT)
    await_tasks()
    it.process.send_signal(signal.SIGINT)
    it.finish()
    told, (recorded, outcomes) = actuator.end(), decisions(name)
    acted, _ = judge(told, recorded, outcomes[0], 0)
    for begin, end in naps:
        late = [task for came_ns, task in told if came_ns > end and task["ingress_ns"] < end - 400e6]
        # One, that was not old when dispatch was stopped, may have been between the last look at the clock and its
        # system call, which no process can rule out; its actuator has one under way at a time.
        assert len(late) <= 1 and all(task["ingress_ns"] > begin - 400e6 for task in late), f"done late: {late}"
    held = sum(decision["outcome"] in (STALE, STALLED) for decision in recorded.values())
    print(f"asleep {len(naps)} times: {acted} tasks, {held} held back as old")
    assert held >= len(naps)


asleep()
total = runs = 0
while total < DECISIONS:
    total += under_fire(runs, *(("max", 150) if runs % 2 else (10, 40)))
    runs += 1
