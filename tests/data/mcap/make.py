# SPDX-License-Identifier: BSD-3-Clause
"""Makes the files of this directory, laid out as other writers do it and ours does not: messages outside of
chunks, schemas and channels inside of chunks, records of later versions, no summary. Run it here."""
import struct
import zlib

MAGIC = b"\x89MCAP0\r\n"


def string(s):
    return struct.pack("<I", len(s)) + s


def record(op, *parts):
    body = b"".join(parts)
    return struct.pack("<BQ", op, len(body)) + body


def message(channel, sequence, time, data):
    return record(5, struct.pack("<HIQQ", channel, sequence, time, time + 1), data)


HEADER = MAGIC + record(1, string(b""), string(b"make.py"))
SCHEMA = record(3, struct.pack("<H", 3), string(b"lfp"), string(b"jsonschema"), string(b"{}"))
CHANNEL = record(4, struct.pack("<HH", 2, 3), string(b"lfp/1"), string(b"json"), string(string(b"k") + string(b"v")))
OTHER = record(4, struct.pack("<HH", 65535, 0), string(b"text"), string(b""), string(b""))
MESSAGES = [message(2, i, 100 + 10 * i, b'{"i": %d}' % i) for i in range(4)] + [message(65535, 9, 5, b"")]
EXTENSION = record(0x80, b"an extension")


def close(data, crc=True):
    data += record(15, struct.pack("<I", zlib.crc32(data) if crc else 0))
    return data + record(2, struct.pack("<QQI", 0, 0, 0)) + MAGIC


def chunk(records, crc=True, tail=b""):
    return record(6, struct.pack("<QQQI", 5, 130, len(records), zlib.crc32(records) if crc else 0), string(b""), struct.pack("<Q", len(records)), records, tail)


files = {
    "unchunked": close(HEADER + SCHEMA + CHANNEL + OTHER + EXTENSION + b"".join(MESSAGES)),
    "inside": close(HEADER + chunk(SCHEMA + CHANNEL + OTHER + EXTENSION + b"".join(MESSAGES[:2])) + chunk(b"".join(MESSAGES[2:]))),
    "no_crc": close(HEADER + chunk(SCHEMA + CHANNEL + OTHER + b"".join(MESSAGES), False, b"later field"), False),
    "empty": HEADER + record(15, struct.pack("<I", 0)) + record(2, struct.pack("<QQI", 0, 0, 0)) + MAGIC,
}
for name, content in files.items():
    with open(name + ".mcap", "wb") as f:
        f.write(content)
