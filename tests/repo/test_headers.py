# SPDX-License-Identifier: BSD-3-Clause
"""Every header compiles alone, with warnings as errors, and is guarded."""
import concurrent.futures
import json
import pathlib
import shlex
import subprocess
import sys

from tree import SOURCE, files, name, report

BUILD = pathlib.Path(sys.argv[2])
WARNINGS = ["-std=gnu17", "-Wall", "-Wextra", "-Wstrict-prototypes", "-Werror"]
# Meant to be included several times, or by one file with some macros set: each says so at its head.
TEMPLATES = {"nodes/decode/rows_width.h", "nodes/decode/walk_width.h", "nodes/encode/expansion_width.h",
             "nodes/encode/kernel_near_width.h",
             "nodes/encode/kernel_width.h", "nodes/host/lanes_width.h", "nodes/ripple/network_width.h"}


def flags():
    """Where headers lie and what is defined, from the build's own commands."""
    found = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        for at, word in enumerate(words):
            if word in ("-isystem", "-I", "-D"):
                found[(word, words[at + 1])] = None
            elif word.startswith(("-I", "-D")):
                found[(word,)] = None
    return [word for words in found for word in words if not word.startswith("-DFNX_SANITIZED")]


def complaint(header, command):
    result = subprocess.run([*command, "-include", header, "-x", "c", "-fsyntax-only", "/dev/null"],
                            capture_output=True, text=True)
    return f"{name(header)}: {result.stderr.strip()}" if result.returncode else None


headers = [path for path in files(".h") if name(path) not in TEMPLATES]
command = ["cc", *WARNINGS, *flags()]
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    faults = [fault for fault in pool.map(lambda header: complaint(header, command), headers) if fault]
faults += [f"{name(path)}: no #pragma once" for path in headers if "#pragma once" not in path.read_text()]
report(faults, f"{len(headers)} headers compile alone")
