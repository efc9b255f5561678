# SPDX-License-Identifier: BSD-3-Clause
"""The node of docs/write-a-node.md joins a run that is going on, publishes, and leaves in good order."""
import os
import signal
import subprocess

from fornix import BUILD, DEADLINE_S, PROGRAM, WORK, Run

it = Run("--duration", 60, "--speed", 2)
it.wait_for(lambda: "decode" in it.children(), "the decoder")
log = open(WORK / "arm_change.log", "w+")
node = subprocess.Popen(
    [BUILD / "bin/fornix-arm_change", "--rig", "@demo", "--set", f"bus.name={it.bus}", "--set", f"bus.run_dir={it.run_dir}"],
    stdout=log, stderr=subprocess.STDOUT)


def fornix(*arguments):
    """The output of a command about this bus, "" where it has nothing to say yet."""
    result = subprocess.run([PROGRAM, *arguments, "--bus", it.bus, "--run-dir", it.run_dir],
                            capture_output=True, text=True, timeout=DEADLINE_S)
    return result.stdout if result.returncode == 0 else ""


def table(head):
    """{first word: the row's words} of the table of `fornix top` whose heading begins with this word."""
    rows = fornix("top", "--once").partition(f"\n{head}")[2].partition("\n\n")[0].splitlines()[1:]
    return {row.split()[0]: row.split() for row in rows}


def topics():
    """{topic: (frames, publisher)} as `fornix top` tells."""
    return {name: (int(words[1]), words[-1]) for name, words in table("TOPIC").items()}


try:
    it.wait_for(lambda: node.poll() is not None or topics().get("arm_change", (0, ""))[0] >= 3, "three changes of arm")
    assert node.poll() is None, f"the node has ended: {(WORK / 'arm_change.log').read_text()}"
    print(topics())
    assert topics()["arm_change"][1] == "arm_change"
    # What it publishes: an arm, and never the same twice in a row.
    arms = [word for line in fornix("echo", "arm_change", "--count", "3").splitlines() for word in line.split()
            if word.startswith("arm=")]
    print(arms)
    assert len(arms) == 3 and arms[0] != arms[1] != arms[2]
    node.send_signal(signal.SIGTERM)
    assert node.wait(DEADLINE_S) == 0, f"exit status {node.returncode}"
    assert not (it.segments / "arm_change.data").exists(), "the topic outlives the node that left"
    page = table("NODE")["arm_change"]
    print(page)
    assert page[1] == "stopped"
finally:
    if node.poll() is None:
        os.kill(node.pid, signal.SIGKILL)
        node.wait()
it.process.terminate()
summary = it.finish()
it.assert_nothing_left()
assert summary["gaps"] == 0 and summary["drops"] == 0, "a node that comes and goes costs nobody a frame"
