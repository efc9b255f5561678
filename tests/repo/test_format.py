# SPDX-License-Identifier: BSD-3-Clause
"""Every C file is as clang-format would have it."""
import shutil
import subprocess

from tree import SOURCE, files, report

if not shutil.which("clang-format"):
    report([], "clang-format is not installed; nothing was looked at")
paths = files(".c", ".h")
result = subprocess.run(["clang-format", "--dry-run", "--Werror", *paths], cwd=SOURCE, capture_output=True, text=True)
faults = [line.replace(f"{SOURCE}/", "") for line in result.stderr.splitlines() if "error:" in line]
if result.returncode and not faults:
    faults = result.stderr.splitlines()
report(faults, f"{len(paths)} files are formatted")
