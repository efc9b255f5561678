# SPDX-License-Identifier: BSD-3-Clause
"""The units are what systemd expects, and a node tells systemd when it is ready, alive and about to stop."""
import os
import shutil
import signal
import socket
import subprocess
import time

from fornix import BUILD, DEADLINE_S, PROGRAM, WORK

PREFIX = WORK / "prefix"


def verify(unit):
    """What systemd-analyze has to say about a unit; nothing if all is well."""
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=DEADLINE_S)
    return (result.stdout + result.stderr).strip()


subprocess.run(["cmake", "--install", BUILD, "--prefix", PREFIX], check=True, capture_output=True)
units = next(PREFIX.rglob("fornix@.service")).parent
print((units / "fornix@.service").read_text())
assert f"ExecStart={PREFIX}/bin/fornix node %i" in (units / "fornix@.service").read_text()
assert f"ExecStart={PREFIX}/bin/fornix doctor" in (units / "fornix-doctor.service").read_text()
if shutil.which("systemd-analyze"):
    for unit in ("fornix.target", "fornix@acquire.service", "fornix@encode.1.service", "fornix-doctor.service"):
        said = verify(units / unit)
        assert not said, f"{unit}: {said}"
    # The claim is worth something only if a mistake would be found.
    broken = WORK / "broken"
    shutil.copytree(units, broken)
    (broken / "fornix@.service").write_text((units / "fornix@.service").read_text().replace("WatchdogSec", "WatchdogSecs"))
    assert "WatchdogSecs" in verify(broken / "fornix@acquire.service")

print("a node under a service manager")
bus = f"systemd{os.getpid()}"
where = ["--set", f"bus.name={bus}", "--set", f"bus.run_dir={WORK / bus}", "--set", f"bus.segment_dir={WORK / 'segments'}"]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(str(WORK / "notify"))
manager.settimeout(DEADLINE_S)
for wait in ("sleep", "spin"):
    node = subprocess.Popen(
        [PROGRAM, "node", "acquire", "--rig", "@demo", "--set", "await=", "--set", "source.speed=1", "--set", f"bus.wait={wait}",
         *where],
        env={**os.environ, "NOTIFY_SOCKET": str(WORK / "notify"), "WATCHDOG_USEC": "200000"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []

    def hears(what, deadline):
        """Takes datagrams until `what` came."""
        while what not in said:
            assert time.monotonic() < deadline, f"no {what} but {said}: {node.poll()}"
            said.extend(manager.recv(4096).decode().splitlines())

    deadline = time.monotonic() + DEADLINE_S
    hears("READY=1", deadline)
    # Alive again and again, not only once: at least twice per watchdog interval is what the node aims at.
    for _ in range(3):
        said = [word for word in said if word != "WATCHDOG=1"]
        hears("WATCHDOG=1", deadline)
    node.send_signal(signal.SIGTERM)
    hears("STOPPING=1", deadline)
    assert node.wait(DEADLINE_S) == 0, node.stderr.read()
    print(wait, said)
