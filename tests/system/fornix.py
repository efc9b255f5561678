# SPDX-License-Identifier: BSD-3-Clause
"""What the system tests share: starting `fornix run` on a bus of their own and looking at what it did.

Each test is a script: it gets the build directory and the source directory, prints what it found, and exits non-zero
through an assertion that failed. Only Python's standard library, unless a test says otherwise.
"""
import atexit
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1])
SOURCE = pathlib.Path(sys.argv[2])
SANITIZED = sys.argv[3] if len(sys.argv) > 3 else ""
PROGRAM = BUILD / "bin" / "fornix"
DEADLINE_S = int(os.environ.get("FORNIX_DEADLINE_S", 600 if SANITIZED else 120))  # for what should end

directory = tempfile.TemporaryDirectory(prefix="fornix-system-")
WORK = pathlib.Path(directory.name)


def data(name):
    """A recording beside the project, or None."""
    root = pathlib.Path(os.environ.get("FORNIX_DATA", SOURCE.parent / "shared"))
    path = root / name
    return path if path.exists() else None


class Run:
    """One `fornix run`, on its own bus, with all its files below WORK."""

    counter = 0

    def __init__(self, *arguments, bus=None):
        Run.counter += 1
        self.bus = bus or f"t{os.getpid()}-{Run.counter}"
        self.json_path = WORK / f"{self.bus}.json"
        self.segments = pathlib.Path(f"/dev/shm/fornix-{self.bus}")
        self.run_dir = WORK / self.bus
        self.process = subprocess.Popen(
            [PROGRAM, "run", *map(str, arguments), "--json", self.json_path,
             "--set", f"bus.name={self.bus}", "--set", f"bus.run_dir={self.run_dir}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        atexit.register(self.end)

    def end(self):
        """A test that failed leaves nobody running."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=DEADLINE_S)

    def children(self):
        """{node name: pid} of the nodes that run now."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and b"--name" in words:
                found[words[words.index(b"--name") + 1].decode()] = int(entry.name)
        return found

    def wait_for(self, condition, what):
        """Polls until `condition()` is true; the run must not end before."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.process.poll() is None, f"the run ended while waiting for {what}:\n{self.output()}"
            assert time.monotonic() < deadline, f"no {what} within {DEADLINE_S} s"
            select_a_moment()

    def output(self):
        return self.process.communicate(timeout=DEADLINE_S)[0]

    def finish(self, status=0):
        """Waits for the end; the summary."""
        text = self.output()
        assert self.process.returncode == status, f"exit status {self.process.returncode}, expected {status}:\n{text}"
        self.text = text
        return json.loads(self.json_path.read_text()) if self.json_path.exists() else None

    def assert_nothing_left(self):
        assert not self.segments.exists(), f"left behind: {list(self.segments.iterdir())}"
        assert not self.run_dir.exists(), f"left behind: {list(self.run_dir.iterdir())}"
        assert not self.children(), f"left behind: {self.children()}"


def select_a_moment():
    """Gives the machine to others for a tick of polling; what is waited for is a condition, never the time."""
    signal.sigtimedwait([], 0.01)


def run(*arguments, status=0, bus=None):
    it = Run(*arguments, bus=bus)
    summary = it.finish(status)
    it.assert_nothing_left()
    return summary


def fails(*arguments, status, says):
    """Runs a program that must fail with this status and one clear line that holds all of `says`."""
    # A run on a bus of its own: whoever has the rig's may be alive.
    own = [] if arguments[0] != "run" or "bus.name=" in str(arguments) else ["--set", f"bus.name=t{os.getpid()}"]
    result = subprocess.run([PROGRAM, *map(str, arguments), *own], capture_output=True, text=True, timeout=DEADLINE_S)
    text = result.stderr.strip()
    left = pathlib.Path(f"/dev/shm/fornix-t{os.getpid()}")
    assert not left.exists(), f"{arguments}: left behind: {left}"
    assert result.returncode == status, f"{arguments}: exit status {result.returncode}, expected {status}: {text}"
    for words in says:
        assert words in text, f"{arguments}: expected {words!r} in: {text}"
    print(f"  {text.splitlines()[0]}")
    return text
