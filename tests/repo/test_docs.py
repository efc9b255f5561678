# SPDX-License-Identifier: BSD-3-Clause
"""What the documentation names exists: files it links to, programs, commands and options in its code blocks."""
import pathlib
import re
import subprocess
import sys

from tree import SOURCE, files, name, report

BUILD = pathlib.Path(sys.argv[2]) / "bin"
# Programs of the system that the documentation may call.
SYSTEM = {"sudo", "cmake", "systemctl", "systemd-sysusers", "install", "python3", "ctest"}
helps = {}


def help_of(*command):
    """What a program says to --help, or None where there is no such program or command."""
    if command not in helps:
        result = subprocess.run([BUILD / command[0], *command[1:], "--help"], capture_output=True, text=True)
        helps[command] = result.stdout if result.returncode == 0 else None
    return helps[command]


def fault(line):
    """What is wrong with one command line of a code block."""
    words = line.split()
    program = words[0]
    if program in SYSTEM:
        return next((f"there is no {word}" for word in words if "/" in word and not word.startswith("/") and
                     not (SOURCE / word).exists()), None)
    if "/" in program:
        return None if (SOURCE / program).exists() else f"there is no {program}"
    if program == "check_vectors":
        return None if (BUILD / program).exists() else "check_vectors is not built"
    if not (BUILD / program).exists():
        return f"there is no program {program}"
    command = (program, words[1]) if program == "fornix" else (program,)
    text = help_of(*command)
    if text is None:
        return f"there is no command {' '.join(command)}"
    for word in words:
        if word.startswith("--") and not re.search(rf"{re.escape(word)}\b", text):
            return f"{' '.join(command)} has no {word}"
        if word.startswith("deploy/") and not (SOURCE / word).exists():
            return f"there is no {word}"
    return None


faults, n_commands, n_links = [], 0, 0
for path in files(".md"):
    text = path.read_text()
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            for command in re.split(r"&&|\|", line.split("#")[0]):
                if command.strip():
                    n_commands += 1
                    wrong = fault(command.strip())
                    if wrong:
                        faults.append(f"{name(path)}: {command.strip()}: {wrong}")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            n_links += 1
            if not (path.parent / target).exists():
                faults.append(f"{name(path)}: a link to {target}, which is not there")
    for target in re.findall(r"`((?:bus|schemas|nodes|tests|deploy|docs)/[\w./-]+\.\w+)`", text):
        n_links += 1
        if not (SOURCE / target).exists():
            faults.append(f"{name(path)}: names {target}, which is not there")
assert n_commands > 15 and n_links > 20
report(faults, f"{n_commands} commands and {n_links} files exist")
