# SPDX-License-Identifier: BSD-3-Clause
"""Nothing is put off, no path of one machine is written down, no test sleeps, every C file says its licence."""
import re

from tree import files, lines, name, report

EVERYWHERE = {
    r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b": "is put off",
    r"(?<![\w.])/(wo" r"rk|ho" r"me)/": "is a path of one machine",
}
TESTS = {r"\b(usleep|nanosleep|clock_nanosleep|time\.sleep|(?<![\w.])sleep)\s*\(": "sleeps: wait for the event instead"}
LICENCE = "SPDX-License-Identifier: BSD-3-Clause"

faults = []
paths = files(".c", ".h", ".py", ".sh", ".md", ".txt", ".cmake", ".yaml", ".in", ".json")
for path in paths:
    patterns = {**EVERYWHERE, **(TESTS if name(path).startswith("tests/") else {})}
    for number, line in lines(path):
        for pattern, what in patterns.items():
            match = re.search(pattern, line)
            if match:
                faults.append(f"{name(path)}:{number}: {match[0]!r} {what}")
    if path.suffix in (".c", ".h") and LICENCE not in path.read_text().splitlines()[0]:
        faults.append(f"{name(path)}:1: the first line does not name the licence")
report(faults, f"{len(paths)} files are clean")
