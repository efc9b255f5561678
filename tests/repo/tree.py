# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the repository share: which files there are, and how a test says what it found."""
import pathlib
import sys

SOURCE = pathlib.Path(sys.argv[1])
PARTS = ("bus", "schemas", "nodes", "tests", "docs", "deploy", "cmake")


def files(*suffixes, parts=PARTS):
    """The project's own files below `parts` (and beside them, where all parts are meant) with one of these suffixes."""
    found = [path for part in parts for path in (SOURCE / part).rglob("*") if path.is_file()]
    if parts == PARTS:
        found += [path for path in SOURCE.iterdir() if path.is_file()]
    return sorted(path for path in found if path.suffix in suffixes and "__pycache__" not in path.parts)


def name(path):
    return str(path.relative_to(SOURCE))


def lines(path):
    """(number, text) of each line."""
    return enumerate(path.read_text(errors="replace").splitlines(), 1)


def report(faults, claim):
    """Ends the test: every fault on a line of its own, or the claim that holds."""
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults" if faults else claim)
    sys.exit(1 if faults else 0)
