# SPDX-License-Identifier: BSD-3-Clause
"""Each layer includes only what it may know."""
import re

from tree import files, lines, name, report

# A header of a library, and the one folder that may include it.
LIBRARIES = {"msgpack.h": "schemas/", "zmq.h": "bus/", "zmq_utils.h": "bus/", "uv.h": "nodes/host/"}
# Nodes that may know every other: the command that starts them all.
COMMAND = "fornix"


def layer(path):
    """"nodes/ripple" of "nodes/ripple/envelope.c", "bus" of "bus/topic.h"."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "nodes" else parts[0]


def may_include(who, what):
    if who == what:
        return True
    if who in ("bus", "schemas"):
        return False
    if what in ("bus", "schemas", "nodes/host"):
        return True
    return who == f"nodes/{COMMAND}" and what.startswith("nodes/")


faults = []
checked = 0
for path in files(".c", ".h", parts=("bus", "schemas", "nodes")):
    for number, line in lines(path):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        checked += 1
        kind, header = match.groups()
        where = f"{name(path)}:{number}"
        base = header.split("/")[-1]
        if kind == "<" and base in LIBRARIES and not name(path).startswith(LIBRARIES[base]):
            faults.append(f"{where}: <{header}> belongs to {LIBRARIES[base]}")
        if kind == '"' and "/" not in header:
            faults.append(f"{where}: \"{header}\": paths begin at the project's root")
        elif kind == '"' and not may_include(layer(name(path)), layer(header)):
            faults.append(f"{where}: {layer(name(path))} must not know {layer(header)}")
assert checked > 100
report(faults, f"{checked} includes keep to the layers")
