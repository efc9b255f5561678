#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""check.py MODEL.pml [--one NAME]: every order of events of a model, by spin; and then the model without each of the lines
that it says it needs.

A line that can be taken out is between `#ifndef WITHOUT_X` and `#endif` (or `#else`). As it stands the model must pass, its
search complete. With -DWITHOUT_X it must fail, for every X: a model that cannot fail proves nothing."""
import pathlib
import re
import subprocess
import sys
import tempfile

DEPTH = 100000


def run(command, directory):
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def search(model, without):
    """(errors, states, what pan said)"""
    with tempfile.TemporaryDirectory() as directory:
        flags = [f"-D{without}"] if without else []
        code, said = run(["spin", *flags, "-a", str(model)], directory)
        if code or not pathlib.Path(directory, "pan.c").exists():
            sys.exit(f"{model.name}: spin: {said}")
        # Without a line, the first errors are near: there the compiler would take longest.
        optimise = "-O0" if without else "-O2"
        code, said = run(["gcc", optimise, "-w", "-DSAFETY", "-DMEMLIM=3000", "-o", "pan", "pan.c"], directory)
        if code:
            sys.exit(f"{model.name}: gcc: {said}")
        code, said = run(["nice", "./pan", f"-m{DEPTH}", "-w22"], directory)
        errors = re.search(r"errors: (\d+)", said)
        states = re.search(r"(\S+) states, stored", said)
        if not errors or "max search depth too small" in said or "out of memory" in said:
            sys.exit(f"{model.name}: the search was not complete:\n{said}")
        return int(errors[1]), int(float(states[1])), said


def main():
    model = pathlib.Path(sys.argv[1]).resolve()
    only = sys.argv[3] if len(sys.argv) > 3 else None
    faults = []
    if not only:
        errors, states, said = search(model, None)
        print(f"{model.stem}: {states} states, {errors} errors")
        if errors:
            faults.append(f"{model.stem}: does not hold\n{said}")
    lines = sorted(set(re.findall(r"^#ifndef (WITHOUT_\w+)", model.read_text(), re.M)))
    if not lines:
        faults.append(f"{model.stem}: says of no line that it needs it")
    for without in [line for line in lines if only in (None, line)]:
        errors, states, _ = search(model, without)
        print(f"{model.stem} {without.lower().replace('_', ' ')}: {'fails, as it must' if errors else 'HOLDS'}")
        if not errors:
            faults.append(f"{model.stem}: holds {without.lower().replace('_', ' ')}: the model does not notice")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
