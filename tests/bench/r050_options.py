#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What each option beyond parity is worth on a recorded session, measured by switching it alone.

    r050_options.py BUILD_DIRECTORY R050.nwb [TABLE.md]

Runs deploy/rigs/r050.yaml as it is, then once per option with that one changed, and the parity
set-up; prints a table in Markdown, and puts it between the marks of TABLE.md if one is named.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BEGIN, END = "<!-- r050_options.py begins -->", "<!-- ends -->"

# What is changed, and how: section, key, value (None: the key is taken out).
OPTIONS = [
    ("`decode.rates_hz: false`", "probabilities where rates belong",
     [("decode", "rates_hz", "false")]),
    ("`decode.rates_while_training: false`", "rates grow with every spike",
     [("decode", "rates_while_training", "false")]),
    ("`decode.duplicates_per_group: false`", "spikes of one time stamp are one, whatever the group",
     [("decode", "duplicates_per_group", "false")]),
    ("`decode.likelihood_floor: 0`", "a spike may exclude places",
     [("decode", "likelihood_floor", "0")]),
    ("`decode.log_space: true`", "sums of logarithms instead of products",
     [("decode", "log_space", "true")]),
    ("`decode.jump_probability: 0`", "no jumps",
     [("decode", "jump_probability", "0")]),
    ("`decode.transition: uniform`", "nothing is carried from bin to bin",
     [("decode", "transition", "uniform"), ("decode", "random_walk_cm", None),
      ("decode", "jump_probability", None)]),
    ("`decode.algorithm: classifier`", "continuous, fragmented, stationary",
     [("decode", "algorithm", "classifier"), ("decode", "transition", None)]),
    ("`encode.position_smoothing_cm: 0`", "rate maps as counted",
     [("encode", "position_smoothing_cm", "0")]),
    ("`clock.time_bin_samples: 180`", "bins of 6 ms instead of 20",
     [("clock", "time_bin_samples", "180")]),
]


def change(text, section, key, value):
    """The rig's text with one key set, or taken out."""
    head, body, tail = re.split(rf"^({section}:\n(?:[ #].*\n|\n)*)", text, maxsplit=1, flags=re.M)
    body = re.sub(rf"^  {key}:.*\n", "", body, flags=re.M)
    if value is not None:
        body = body.replace(f"{section}:\n", f"{section}:\n  {key}: {value}\n", 1)
    return head + body + tail


def run(build, rig_text, session, directory):
    rig = os.path.join(directory, "rig.yaml")
    summary = os.path.join(directory, "summary.json")
    with open(rig, "w", encoding="utf-8") as file:
        file.write(rig_text)
    subprocess.run([os.path.join(build, "bin", "fornix"), "run", rig, "--source", session, "--speed",
                    "max", "--threads", "--quiet", "--json", summary, "--set",
                    f"bus.name=r050-options-{os.getpid()}"], check=True)
    with open(summary, encoding="utf-8") as file:
        return json.load(file)


def read(name):
    with open(os.path.join(SOURCE, "deploy", "rigs", name), encoding="utf-8") as file:
        return file.read()


def row(name, what, figures, base):
    median, arm = figures["decode_error_cm_median"], figures["same_arm_fraction"]
    worth = ""
    if base is not None and base is not figures:
        worth = f"{100 * (base['same_arm_fraction'] - arm):+.1f}"
    return f"| {name} | {what} | {median:.1f} | {100 * arm:.1f} | {worth} |"


def measure(build, session):
    ours = read("r050.yaml")
    lines = ["| changed | that is | median error, cm | right arm, % | worth, points |",
             "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as directory:
        base = run(build, ours, session, directory)
        lines.append(row("nothing", "`deploy/rigs/r050.yaml`", base, base))
        for name, what, changes in OPTIONS:
            text = ours
            for section, key, value in changes:
                text = change(text, section, key, value)
            lines.append(row(name, what, run(build, text, session, directory), base))
        parity = run(build, read("r050_parity.yaml"), session, directory)
        lines.append(row("all", "`deploy/rigs/r050_parity.yaml`, the published classifier", parity,
                         base))
    return "\n".join(lines)


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    table = measure(sys.argv[1], sys.argv[2])
    print(table)
    if len(sys.argv) == 4:
        with open(sys.argv[3], encoding="utf-8") as file:
            head, rest = file.read().split(BEGIN)
        with open(sys.argv[3], "w", encoding="utf-8") as file:
            file.write(f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
