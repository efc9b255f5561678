# SPDX-License-Identifier: BSD-3-Clause
"""Processes and threads, a session and its replay, and replays at different speeds give the same posteriors, bit for bit."""
from fornix import WORK, run

DURATION = 40
recording = WORK / "session.mcap"
live = run("--duration", DURATION, "--record", recording)
digests = {"processes, recorded": live["posterior_digest"]}
digests["threads"] = run("--duration", DURATION, "--threads")["posterior_digest"]
digests["replay, as fast as can be"] = run("--source", recording, "--speed", "max")["posterior_digest"]
digests["replay at 20 x"] = run("--source", recording, "--speed", 20)["posterior_digest"]
digests["replay in threads, busy waiting"] = run(
    "--source", recording, "--speed", "max", "--threads", "--set", "bus.wait=adaptive")["posterior_digest"]
digests["ZeroMQ bells"] = run("--source", recording, "--speed", "max", "--set", "bus.bell=zmq")["posterior_digest"]
for how, digest in digests.items():
    print(digest, how)
assert live["posteriors"] > DURATION / 0.006 - 3
assert len(set(digests.values())) == 1
