# SPDX-License-Identifier: BSD-3-Clause
"""One rig on two machines: acquire and ripple on one, encode, decode and dispatch on the other, over tcp with CURVE.

The machines are two network namespaces with a cable (veth) between them. Where namespaces cannot be made (they need
root and iproute2) they are two buses of this machine and the loopback; the test says which it was.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

from fornix import PROGRAM, SANITIZED, SOURCE, WORK, DEADLINE_S, run, select_a_moment
from recording import messages

DURATION = "180"
BIN_SAMPLES = 180
PORT = 20000 + os.getpid() % 10000


class Machines:
    """Two namespaces, or none."""

    def __init__(self):
        self.names = [f"fnx{os.getpid()}a", f"fnx{os.getpid()}b"]
        self.prefix = {"front": [], "back": []}
        self.address = "127.0.0.1"
        self.namespaces = False
        if os.geteuid() or not shutil.which("ip"):
            return
        a, b = self.names
        steps = [f"netns add {a}", f"netns add {b}", f"link add {a} type veth peer name {b}",
                 f"link set {a} netns {a}", f"link set {b} netns {b}",
                 f"-n {a} addr add 10.77.0.1/24 dev {a}", f"-n {b} addr add 10.77.0.2/24 dev {b}",
                 f"-n {a} link set {a} up", f"-n {b} link set {b} up",
                 f"-n {a} link set lo up", f"-n {b} link set lo up"]
        for step in steps:
            result = subprocess.run(["ip", *step.split()], capture_output=True, text=True)
            if result.returncode:
                print(f"  ip {step}: {result.stderr.strip()}")
                self.close()
                return
        self.namespaces = True
        self.address = "10.77.0.1"
        self.prefix = {"front": ["ip", "netns", "exec", a], "back": ["ip", "netns", "exec", b]}

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def write_rig(name, address, front_public="front.key.pub"):
    rig = (SOURCE / "deploy/rigs/demo.yaml").read_text()
    rig += f"""
machines:
  - name: front
    nodes: [acquire, ripple]
    topics: [decision]
    public_key_file: {WORK / front_public}
    secret_key_file: {WORK / "front.key"}
  - name: back
    nodes: [encode.1, encode.2, decode, dispatch, record, tap]
    public_key_file: {WORK / "back.key.pub"}
    secret_key_file: {WORK / "back.key"}
links:
  - between: [front, back]
    endpoint: tcp://{address}:{PORT}
"""
    path = WORK / name
    path.write_text(rig)
    return path


class Half:
    """`fornix run --machine`, in its namespace, on a bus of its own."""

    counter = 0

    def __init__(self, machines, rig, machine, *arguments):
        Half.counter += 1
        self.bus = f"m{os.getpid()}-{Half.counter}"
        self.json_path = WORK / f"{self.bus}.json"
        self.log = WORK / f"{self.bus}.log"
        self.process = subprocess.Popen(
            [*machines.prefix[machine], PROGRAM, "run", rig, "--machine", machine, "--quiet", "--json", self.json_path,
             "--set", f"bus.name={self.bus}", "--set", f"bus.run_dir={WORK / self.bus}", *arguments],
            stdout=self.log.open("w"), stderr=subprocess.STDOUT, start_new_session=True)

    def text(self):
        return self.log.read_text()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)

    def children(self):
        result = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid=,args="],
                                capture_output=True, text=True)
        return {m[2]: int(m[1]) for m in re.finditer(r"^\s*(\d+) .*--name (\S+)", result.stdout, re.M)}

    def finish(self):
        self.process.wait(DEADLINE_S)
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n{self.text()}"
        return json.loads(self.json_path.read_text())


def wait_for(condition, what, *halves):
    deadline = DEADLINE_S * 100
    while not condition():
        deadline -= 1
        texts = "\n".join(half.text() for half in halves)
        assert deadline, f"no {what}:\n{texts}"
        for half in halves:
            assert half.process.poll() is None, f"ended while waiting for {what}:\n{texts}"
        select_a_moment()


def the_posteriors_are_those_of_one_machine(machines, rig, whole, *mode):
    front = Half(machines, rig, "front", "--duration", DURATION, *mode)
    back = Half(machines, rig, "back", "--duration", DURATION, *mode)
    decoded, sent = back.finish(), front.finish()
    assert decoded["posterior_digest"] == whole["posterior_digest"], (decoded, whole)
    assert decoded["gaps"] == sent["gaps"] == 0
    assert abs(decoded["session_s"] - whole["session_s"]) < 0.1, decoded["session_s"]
    # The decisions came back over the same link.
    assert sent["decisions"] == decoded["decisions"] == whole["decisions"] > 0
    # Told once; and once more where a busy machine let the other end wait for seconds.
    for half in (front, back):
        assert half.text().count("connected with") == 1 + half.text().count("is silent"), half.text()
    # ZeroMQ allocates in the bridges and on its own threads, and nowhere else.
    for summary in (decoded, sent):
        allocations = summary["heap_allocations_after_start"]
        assert not any(allocations.values()), allocations
    print(f"  posterior_digest {decoded['posterior_digest']}, {decoded['decisions']} decisions, on two and on one {' '.join(mode)}")


def a_live_session_goes_its_own_pace(machines, rig):
    """Nobody waits for the link: each time bin is closed in time, and what came too late for it is counted."""
    live = WORK / "live.yaml"
    live.write_text(rig.read_text().replace("  name: demo\n", "  name: demo\n  live: true\n")
                    .replace("record: {}", "record: {compress: false}"))
    recording = WORK / "live.mcap"
    front = Half(machines, live, "front", "--duration", "40", "--speed", "10")
    back = Half(machines, live, "back", "--duration", "40", "--speed", "10", "--record", str(recording))
    decoded, sent = back.finish(), front.finish()
    assert sent["drops"] == 0 and abs(sent["session_s"] - 40) < 0.1, sent
    published = decoded["frames"]["posterior"]
    # One for each bin, from that on in which the other machine joined (on a busy one seconds late) to the session's end.
    bins = [(seq, fields["sample_time"]) for topic, seq, fields in messages(recording) if topic == "posterior"]
    assert len({time - BIN_SAMPLES * seq for seq, time in bins}) == 1, bins
    assert max(seq for seq, _ in bins) == published - 1, (bins[-1], decoded)
    assert abs(bins[-1][1] - sent["session_s"] * 30000) <= 2 * BIN_SAMPLES, (bins[-1], sent)
    told = decoded["late"] + decoded["gaps"]
    assert decoded["posteriors"] == published or told > 0, decoded
    assert decoded["frames"]["spikes"] == sent["spikes"] > 0 or told > 0, (decoded, sent)
    print(f"  live: {published} posteriors in {sent['session_s']:.1f} s, {decoded['late']} frames late")


def bridges_that_are_killed_lose_nothing(machines, rig, whole):
    """Each end in turn, in the middle of it; the session is paced, so that there is a middle."""
    front = Half(machines, rig, "front", "--duration", DURATION, "--speed", "40")
    back = Half(machines, rig, "back", "--duration", DURATION)
    wait_for(lambda: "connected with" in front.text() and "connected with" in back.text(), "connection", front, back)
    for half, name in ((front, "bridge.back"), (back, "bridge.front")):
        os.kill(half.children()[name], signal.SIGKILL)
        wait_for(lambda: half.text().count("connected with") == 2, f"second connection of {name}", half)
    decoded, sent = back.finish(), front.finish()
    assert decoded["posterior_digest"] == whole["posterior_digest"], (decoded, whole)
    assert decoded["gaps"] == sent["gaps"] == 0
    assert decoded["restarts"] == sent["restarts"] == 1
    print("  both bridges killed once: the same posteriors, 0 gaps")


def a_wrong_key_connects_to_nothing_and_is_told_once(machines, rig_path, says):
    front = Half(machines, rig_path["front"], "front", "--duration", DURATION)
    back = Half(machines, rig_path["back"], "back", "--duration", DURATION)
    told = front if says == "front" else back
    try:
        wait_for(lambda: "keys do not fit" in told.text(), "word of the wrong key", front, back)
        # Time for several more attempts, which the log must not show.
        for _ in range(400):
            select_a_moment()
        for half in (front, back):
            assert "connected with" not in half.text(), half.text()
            assert half.text().count("keys do not fit") <= 1, half.text()
        assert told.text().count("keys do not fit") == 1, told.text()
    finally:
        front.stop()
        back.stop()
    summary = json.loads(back.json_path.read_text())
    assert summary["posteriors"] == 0, summary
    print(f"  wrong key: {next(line for line in told.text().splitlines() if 'keys do not fit' in line)}")


def main():
    machines = Machines()
    print("  " + ("two network namespaces" if machines.namespaces else "two buses on the loopback (no namespaces here)"))
    try:
        for key in ("front.key", "back.key", "other.key"):
            subprocess.run([PROGRAM, "keygen", WORK / key], check=True, capture_output=True)
        assert (WORK / "front.key").stat().st_mode & 0o777 == 0o600
        rig = write_rig("two.yaml", machines.address)
        whole = run(rig, "--duration", DURATION, "--quiet")
        the_posteriors_are_those_of_one_machine(machines, rig, whole)
        the_posteriors_are_those_of_one_machine(machines, rig, whole, "--threads")
        a_live_session_goes_its_own_pace(machines, rig)
        bridges_that_are_killed_lose_nothing(machines, rig, whole)
        # back takes another for front: it does not believe the listener.
        deceived = write_rig("deceived.yaml", machines.address, front_public="other.key.pub")
        a_wrong_key_connects_to_nothing_and_is_told_once(machines, {"front": rig, "back": deceived}, "back")
        # A stranger with a key of its own, who knows front's: the listener does not admit it.
        stranger = WORK / "stranger.yaml"
        stranger.write_text(rig.read_text().replace(f"{WORK}/back.key", f"{WORK}/other.key"))
        a_wrong_key_connects_to_nothing_and_is_told_once(machines, {"front": rig, "back": stranger}, "back")
    finally:
        machines.close()


if __name__ == "__main__":
    main()
    sys.exit(0)
