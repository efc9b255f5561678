# SPDX-License-Identifier: BSD-3-Clause
"""Walks MCAP files and checks them against the specification, independently of the C code: record order,
every CRC, every offset and count of the indexes. Chunks compressed with zstd are not opened."""
import struct
import sys
import zlib

MAGIC = b"\x89MCAP0\r\n"


def string(b, p):
    n = struct.unpack_from("<I", b, p)[0]
    assert p + 4 + n <= len(b), "string too long"
    return b[p + 4 : p + 4 + n], p + 4 + n


def records(b, p, end):
    while p < end:
        op, n = struct.unpack_from("<BQ", b, p)
        assert p + 9 + n <= end, f"record at {p} too long"
        yield op, p, b[p + 9 : p + 9 + n], p + 9 + n
        p += 9 + n


def array(body, p, form):
    n = struct.unpack_from("<I", body, p)[0]
    assert n % struct.calcsize(form) == 0 and p + 4 + n <= len(body), "array"
    return list(struct.iter_unpack(form, body[p + 4 : p + 4 + n]))


def walk(b):
    assert b[:8] == MAGIC and b[-8:] == MAGIC, "magic"
    footer = len(b) - 8 - 29
    assert struct.unpack_from("<BQ", b, footer) == (2, 20), "footer"
    start, offsets, crc = struct.unpack_from("<QQI", b, footer + 9)
    assert crc == zlib.crc32(b[start : footer + 25]), "summary CRC"
    schemas, channels, counts, times, inside = {}, {}, {}, [], None
    chunks, attachments, metadata, chunk, ended = [], [], [], None, False
    for op, at, body, end in records(b, 8, start):
        assert not ended and (at == 8) == (op == 1), f"order at {at}"
        if op == 3:
            schemas[struct.unpack_from("<H", body)[0]] = body
        elif op == 4:
            channel, schema = struct.unpack_from("<HH", body)
            assert schema == 0 or schema in schemas, "schema unknown"
            channels[channel] = body
        elif op == 6:
            first, last, size, crc = struct.unpack_from("<QQQI", body)
            name, p = string(body, 28)
            data = body[p + 8 :]
            assert struct.unpack_from("<Q", body, p)[0] == len(data), "chunk size"
            chunk = [first, last, at, end - at, {}, 0, name, len(data), size]
            chunks.append(chunk)
            inside = None
            if name == b"":
                assert zlib.crc32(data) == crc and size == len(data), "chunk CRC"
                inside = {p: struct.unpack_from("<HIQ", c) for o, p, c, _ in records(data, 0, size) if o == 5}
                found = [t for _, _, t in inside.values()]
                assert (first, last) == (min(found), max(found)), "chunk times"
            times += [first, last]
        elif op == 7:
            channel = struct.unpack_from("<H", body)[0]
            assert channel in channels and channel not in chunk[4], "message index"
            chunk[4][channel] = at
            chunk[5] += end - at
            entries = array(body, 2, "<QQ")
            counts[channel] = counts.get(channel, 0) + len(entries)
            for time, offset in entries:
                if inside is not None:
                    got = inside.pop(offset)
                    assert (got[0], got[2]) == (channel, time), "index entry"
        elif op == 9:
            assert struct.unpack("<I", body[-4:])[0] == zlib.crc32(body[:-4]), "attachment CRC"
            log, create = struct.unpack_from("<QQ", body)
            name, p = string(body, 16)
            media, p = string(body, p)
            size = struct.unpack_from("<Q", body, p)[0]
            assert p + 8 + size + 4 == len(body), "attachment size"
            attachments.append((at, end - at, log, create, size, name, media))
        elif op == 12:
            metadata.append((at, end - at, string(body, 0)[0]))
        elif op == 15:
            ended = True
            assert struct.unpack("<I", body)[0] == zlib.crc32(b[:at]), "data CRC"
        else:
            assert op == 1, f"opcode {op} in data"
        assert op in (6, 7) or not inside, "messages without index"
    assert ended, "DataEnd"
    groups, stats = [], None
    indexed = {8: [], 10: [], 13: []}
    for op, at, body, end in records(b, start, offsets):
        if not groups or groups[-1][0] != op:
            groups.append([op, at, 0])
        groups[-1][2] += end - at
        if op in (3, 4):
            table = schemas if op == 3 else channels
            assert table.pop(struct.unpack_from("<H", body)[0]) == body, "copy differs"
        elif op == 8:
            n = struct.unpack_from("<I", body, 32)[0]
            pairs = dict(array(body, 32, "<HQ"))
            length = struct.unpack_from("<Q", body, 36 + n)[0]
            name, p = string(body, 44 + n)
            indexed[8].append([*struct.unpack_from("<QQQQ", body), pairs, length, name, *struct.unpack_from("<QQ", body, p)])
        elif op == 10:
            name, p = string(body, 40)
            indexed[10].append((*struct.unpack_from("<QQQQQ", body), name, string(body, p)[0]))
        elif op == 13:
            indexed[13].append((*struct.unpack_from("<QQ", body), string(body, 16)[0]))
        elif op == 11:
            stats = (struct.unpack_from("<QHIIIIQQ", body), dict(array(body, 42, "<HQ")))
            seen = (len(schemas), len(channels))
        else:
            raise AssertionError(f"opcode {op} in summary")
    assert not schemas and not channels and seen == (0, 0), "copies missing, or behind the statistics"
    assert len({g[0] for g in groups}) == len(groups), "groups"
    assert [indexed[8], indexed[10], indexed[13]] == [chunks, attachments, metadata], "indexes"
    ids = [sum(1 for o, *_ in records(b, start, offsets) if o == k) for k in (3, 4)]
    expected = (sum(counts.values()), *ids, len(attachments), len(metadata), len(chunks), min(times, default=0), max(times, default=0))
    assert stats == (expected, counts), f"statistics {stats} {expected}"
    listed = [list(struct.unpack("<BQQ", body)) for op, _, body, _ in records(b, offsets, footer) if op == 14]
    assert listed == groups, "summary offsets"


for path in sys.argv[1:]:
    with open(path, "rb") as f:
        content = f.read()
    try:
        walk(content)
    except Exception as e:
        sys.exit(f"{path}: {type(e).__name__}: {e}")
print(f"{len(sys.argv) - 1} files are right")
