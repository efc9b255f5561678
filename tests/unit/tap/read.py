# SPDX-License-Identifier: BSD-3-Clause
"""Reads a tap with pyzmq and msgpack alone: read.py ENDPOINT N TOPIC..., prints N messages, a line each."""
import struct
import sys

import msgpack
import zmq

endpoint, n, topics = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.RCVTIMEO, 20000)
socket.setsockopt(zmq.LINGER, 0)
for topic in topics:
    socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
socket.connect(endpoint)
for _ in range(n):
    topic, body = socket.recv_multipart()
    message = msgpack.unpackb(body)
    array = message.get("waveform", message.get("samples"))
    values = struct.unpack("<%df" % (len(array["data"]) // 4), array["data"]) if array else ()
    print(
        topic.decode(),
        message["seq"],
        message["sample_time"],
        repr(message.get("raw_x", 0.0)),
        message.get("group", 0),
        repr(sum(values)),
        flush=True,
    )
