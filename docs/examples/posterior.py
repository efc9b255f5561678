#!/usr/bin/env python3
"""Subscribes to posteriors and prints where the brain says the animal is.

    python3 docs/examples/posterior.py [ENDPOINT] [--count N] [--every N]

ENDPOINT is the tap's: ipc:///tmp/fornix-1000-demo/tap.pub (the default is the only tap found on this machine) or
tcp://machine:5560. Needs pyzmq and msgpack; numpy to look at the arrays (Debian: python3-zmq python3-msgpack
python3-numpy).
"""
import argparse
import glob
import os
import sys

import msgpack
import numpy as np
import zmq


def array(value):
    """Arrays travel as {nd: true, type: "<f8", shape: [...], data: bytes}."""
    if value.get("nd"):
        return np.frombuffer(value["data"], value["type"]).reshape(value["shape"])
    return value


def find_tap():
    places = [os.environ.get("XDG_RUNTIME_DIR", "/tmp") + "/fornix-*/tap.pub", "/tmp/fornix-*/tap.pub", "/run/fornix/*/tap.pub"]
    taps = sorted({path for place in places for path in glob.glob(place)})
    if not taps:
        sys.exit("there is no tap on this machine; is a run going on? Of one elsewhere name the endpoint")
    if len(taps) > 1:
        sys.exit(f"expected one tap on this machine, found {taps}; name the endpoint")
    return "ipc://" + taps[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint", nargs="?", default=None)
    parser.add_argument("--count", type=int, default=0, help="stop after so many lines")
    parser.add_argument("--every", type=int, default=50, help="print every N-th posterior")
    parser.add_argument("--rate", type=float, default=30000, help="acquisition clock, Hz")
    options = parser.parse_args()

    socket = zmq.Context().socket(zmq.SUB)
    socket.connect(options.endpoint or find_tap())
    socket.subscribe(b"posterior")
    printed = seen = 0
    try:
        while not options.count or printed < options.count:
            _topic, body = socket.recv_multipart()
            message = msgpack.unpackb(body, object_hook=array)
            seen += 1
            if (seen - 1) % options.every:
                continue
            position = message["posterior"].sum(axis=0)
            print(
                f"{message['sample_time'] / options.rate:9.3f} s  decoded bin {position.argmax():3d}"
                f" (p = {position.max():.2f})  actual {message['position_bin']:3d}"
                f"  spikes {message['spike_count']:2d}  states {np.round(message['posterior'].sum(axis=1), 2)}",
                flush=True,
            )
            printed += 1
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
