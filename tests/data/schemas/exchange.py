# SPDX-License-Identifier: BSD-3-Clause
"""The other end of test_python: reads what the codec wrote with nothing but msgpack and NumPy, and answers.

exchange.py FOLDER: for each <name>.payload compares with it what <name>.message, read through
<name>.description and <name>.dtype, holds; writes <name>.plain and <name>.numpy, the same message packed by
Python in another order, as a plain script and as msgpack-numpy would.
"""
import ast
import pathlib
import sys

import msgpack
import numpy as np

STAMP = ["seq", "sample_time", "ingress_ns", "publish_ns", "frame_flags"]


def array(o):
    return np.frombuffer(o["data"], o["type"]).reshape(o["shape"]) if o.get("nd") else o


def array_msgpack_numpy(o):
    """What msgpack_numpy.decode does."""
    if b"nd" in o and o[b"nd"] is True:
        return np.ndarray(buffer=o[b"data"], dtype=np.dtype(o[b"type"]), shape=o[b"shape"])
    return o


def pack_plain(o):
    if isinstance(o, np.ndarray):
        return {"nd": True, "type": o.dtype.str, "shape": o.shape, "data": o.tobytes()}
    return o.item()


def pack_msgpack_numpy(o):
    """What msgpack_numpy.encode does."""
    if isinstance(o, np.ndarray):
        return {b"nd": True, b"type": o.dtype.str, b"kind": b"", b"shape": o.shape, b"data": o.data}
    return o.item()


def record_type(description):
    fields = description["fields"]
    return np.dtype({"names": [f["name"] for f in fields],
                     "formats": [(f["type"], tuple(f["shape"])) for f in fields],
                     "offsets": [f["offset"] for f in fields],
                     "itemsize": description["size"]})


def python_value(value):
    """A field of a record as the message should hold it."""
    if isinstance(value, np.bytes_):
        return value.decode()
    return value if isinstance(value, np.ndarray) else value.item()


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or (a != a and b != b))


def check(path):
    data = path.with_suffix(".message").read_bytes()
    payload = path.read_bytes()
    description = msgpack.unpackb(path.with_suffix(".description").read_bytes())
    dtype = record_type(description)
    assert dtype == np.dtype(ast.literal_eval(path.with_suffix(".dtype").read_text())), path
    assert dtype.itemsize == len(payload), path
    record = np.frombuffer(payload, dtype)[0]
    message = msgpack.unpackb(data, object_hook=array)
    assert list(message) == STAMP + list(dtype.names), path
    for name in dtype.names:
        assert same(python_value(record[name]), message[name]), (path, name)
    raw = msgpack.unpackb(data, object_hook=array_msgpack_numpy, raw=True)
    for name in dtype.names:
        if dtype[name].shape:
            assert same(record[name], raw[name.encode()]), (path, name)
    back = dict(reversed(message.items()))
    back["a_list"] = [1, [2, 3], {"nd": False}]
    path.with_suffix(".plain").write_bytes(msgpack.packb(back, default=pack_plain))
    path.with_suffix(".numpy").write_bytes(msgpack.packb(back, default=pack_msgpack_numpy))


if __name__ == "__main__":
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.payload"))
    assert paths
    for path in paths:
        check(path)
