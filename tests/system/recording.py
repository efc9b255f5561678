# SPDX-License-Identifier: BSD-3-Clause
"""What the system tests read of recordings: uncompressed MCAP, the messages decoded. Needs msgpack."""
import struct
import subprocess

import msgpack

from fornix import PROGRAM


def string(data, at):
    size = struct.unpack_from("<I", data, at)[0]
    return data[at + 4:at + 4 + size], at + 4 + size


def records(data, at, end):
    """Operation and body of each record of an MCAP file, or of an open chunk."""
    while at < end:
        op, size = struct.unpack_from("<BQ", data, at)
        yield op, data[at + 9:at + 9 + size]
        at += 9 + size


def opened(content):
    """The same, those within chunks in their place, up to the end of the data."""
    for op, body in records(content, 8, len(content) - 8):
        if op == 6:
            name, at = string(body, 28)
            assert name == b"", "the recording is compressed"
            yield from records(body, at + 8, len(body))
        elif op == 15:
            return
        else:
            yield op, body


def messages(path):
    """(topic, number, fields) of each message, in the order of the file."""
    channels = {}
    for op, body in opened(path.read_bytes()):
        if op == 4:
            channels[struct.unpack_from("<H", body)[0]] = string(body, 4)[0].decode()
        elif op == 5:
            channel, seq = struct.unpack_from("<HI", body)
            yield channels[channel], seq, msgpack.unpackb(body[22:], strict_map_key=False)


def whole(path):
    """A recording whose recorder was killed before it could write the end is mended."""
    if path.read_bytes().endswith(b"\x89MCAP0\r\n"):
        return path
    mended = path.with_suffix(".mended.mcap")
    subprocess.run([PROGRAM, "recover", path, mended], check=True)
    return mended
