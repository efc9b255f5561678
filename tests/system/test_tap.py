# SPDX-License-Identifier: BSD-3-Clause
"""The example script prints positions while a paced run is going on, over ipc and over tcp. Needs python3-zmq, -msgpack, -numpy."""
import socket
import subprocess
import sys

from fornix import DEADLINE_S, SOURCE, WORK, Run

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
rig = WORK / "tap.yaml"
rig.write_text((SOURCE / "deploy/rigs/demo.yaml").read_text().replace(
    "tap: {}", f"tap: {{topics: [posterior], endpoints: ['ipc://{WORK}/tap', 'tcp://127.0.0.1:{port}']}}"))
it = Run(rig, "--speed", 4)
it.wait_for(lambda: "tap" in it.children(), "the tap")
for endpoint in (f"ipc://{WORK}/tap", f"tcp://127.0.0.1:{port}"):
    lines = subprocess.run(
        [sys.executable, SOURCE / "docs/examples/posterior.py", endpoint, "--count", "5", "--every", "10"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout.splitlines()
    print(endpoint, *lines, sep="\n  ")
    assert len(lines) == 5 and all("decoded bin" in line for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times) and abs(times[1] - times[0] - 0.06) < 1e-6, "ten posteriors apart"
it.process.terminate()
it.finish()
it.assert_nothing_left()
