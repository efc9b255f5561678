# SPDX-License-Identifier: BSD-3-Clause
"""Rewrites the figures in docs/benchmarks.md, and the pictures beside it, from what bench_bus found.

report.py FOUND.json BENCHMARKS.md: the text between the two marks of the page is replaced, the pictures go to the folder of
the page's name. No dependency but Python itself: the pictures are written by hand, so that the same figures give the same bytes.
"""
import json
import math
import pathlib
import sys

BEGIN, END = "<!-- figures: written by tests/bench/report.py -->", "<!-- end of figures -->"
FLOORS = ("cache line", "two lines", "eventfd", "pipe", "futex")
COLOURS = {"fornix": "#c0392b", "floor": "#95a5a6", "peer": "#2e6da4"}
TAIL_MIN = 1000  # as in report.h
WIDTH, LEFT, BAR, GAP = 760, 150, 16, 6


def colour(name):
    return COLOURS["fornix" if name == "fornix" else "floor" if name in FLOORS else "peer"]


def text(x, y, words, anchor="start", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="{size}" text-anchor="{anchor}">{words}</text>'


def svg(height, title, body):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
                      f'<rect width="{WIDTH}" height="{height}" fill="white"/>', text(10, 20, title, size=14), *body, "</svg>", ""])


def decades(low, high):
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


def axis(low, high):
    """From a value to its place on a logarithmic axis, and the powers of ten to mark on it."""
    marks = decades(low, high)
    first, last = marks[0], max(marks[-1], marks[0] + 1)
    return lambda value: LEFT + (WIDTH - LEFT - 30) * (math.log10(value) - first) / (last - first), marks


def bars(title, unit, rows):
    """One bar per row (name, value); the best on top as the caller sorted them. Logarithmic."""
    place, marks = axis(min(value for _, value in rows), max(value for _, value in rows))
    height = 40 + len(rows) * (BAR + GAP) + 34
    body = []
    for mark in marks:
        x = place(10.0 ** mark)
        body += [f'<line x1="{x:.1f}" y1="32" x2="{x:.1f}" y2="{height - 30}" stroke="#dddddd"/>',
                 text(x, height - 14, f"{10.0 ** mark:g}", "middle", 11)]
    for i, (name, value) in enumerate(rows):
        y = 38 + i * (BAR + GAP)
        x = place(value)
        body += [text(LEFT - 8, y + 12, name, "end"),
                 f'<rect x="{LEFT}" y="{y}" width="{max(x - LEFT, 1):.1f}" height="{BAR}" fill="{colour(name)}"/>',
                 text(min(x + 4, WIDTH - 60), y + 12, f"{value:.3g}", size=11)]
    body.append(text(WIDTH - 10, height - 2, unit, "end", 11))
    return svg(height, title, body)


def shares(histogram):
    """[(upper bound in us, share of samples above it), ...]"""
    n = sum(count for _, count in histogram)
    left, points = n, []
    for lower, count in histogram:
        left -= count
        points.append((lower * 2 ** (1 / 8) / 1000, max(left, 0.5) / n))
    return points


def tails(title, curves):
    """What share of messages takes longer, for each subject: both axes logarithmic."""
    every = [point for _, points in curves for point in points]
    place, marks = axis(min(x for x, _ in every), max(x for x, _ in every))
    lowest = math.floor(math.log10(min(share for _, share in every)))
    height, top, bottom = 420, 36, 380

    def down(share):
        return top + (bottom - top) * math.log10(share) / lowest

    body = []
    for mark in marks:
        x = place(10.0 ** mark)
        body += [f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>',
                 text(x, bottom + 16, f"{10.0 ** mark:g} us", "middle", 11)]
    for power in range(0, lowest - 1, -1):
        y = down(10.0 ** power)
        body += [f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - 30}" y2="{y:.1f}" stroke="#dddddd"/>',
                 text(LEFT - 8, y + 4, f"{10.0 ** power:g}", "end", 11)]
    for i, (name, points) in enumerate(curves):
        path = " ".join(f"{place(x):.1f},{down(share):.1f}" for x, share in points)
        dashes = "" if name == "fornix" else f' stroke-dasharray="{2 + 2 * i},{1 + i}"'
        body += [f'<polyline points="{path}" fill="none" stroke="{colour(name)}" stroke-width="1.6"{dashes}/>',
                 f'<line x1="10" y1="{46 + 18 * i}" x2="34" y2="{46 + 18 * i}" stroke="{colour(name)}" stroke-width="1.6"{dashes}/>',
                 text(38, 50 + 18 * i, name, size=11)]
    return svg(height, title, body)


def number(value):
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def table(case):
    """One case as Markdown, its subjects from the best to the worst."""
    subjects = {name: found for name, found in case["subjects"].items() if found["rounds"]}
    if any("rate_hz" in found for found in subjects.values()):
        lines = ["| subject | million per second | CPU each, us |", "|---|---|---|"]
        for name, found in sorted(subjects.items(), key=lambda item: -item[1]["rate_hz"]):
            lines.append(f"| {name} | {number(found['rate_hz'] / 1e6)} | {number(found['cpu_ns_per_message'] / 1e3)} |")
    else:
        lines = ["| subject | p50, us | p99, us | p99.9, us | CPU each, us |", "|---|---|---|---|---|"]
        for name, found in sorted(subjects.items(), key=lambda item: item[1]["p50_ns"]):
            # p99.9 of all rounds together, as the ratios have it; of fewer samples it says nothing.
            tail = found["all_rounds_ns"]["p999"] / 1e3 if found["n"] >= TAIL_MIN else None
            cells = [number(value) for value in (found["p50_ns"] / 1e3, found["p99_ns"] / 1e3, tail, found["cpu_ns_per_message"] / 1e3)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return [f"### {case['title'][0].upper()}{case['title'][1:]}", "", *lines, ""]


def pictures(found, folder):
    """Writes them; their names and titles."""
    cases, written = found["cases"], []

    def write(name, title, content):
        (folder / f"{name}.svg").write_text(content)
        written.append((name, title))

    for key in ("paced_4k", "ping_pong_spin_4k", "stream_64", "stream_4k", "fan_out_3_4k"):
        subjects = {name: f for name, f in cases[key]["subjects"].items() if f["rounds"]}
        rate = any("rate_hz" in f for f in subjects.values())
        rows = [(name, f["rate_hz"] / 1e6 if rate else f["p50_ns"] / 1e3) for name, f in subjects.items()]
        rows = sorted((row for row in rows if row[1]), key=lambda row: -row[1] if rate else row[1])
        if rows:
            title = cases[key]["title"]
            write(key, title, bars(title, "million per second" if rate else "us, p50", rows))
    for key in ("paced_4k", "paced_loaded_4k"):
        curves = [(name, shares(f["histogram"])) for name, f in cases[key]["subjects"].items() if f.get("histogram")]
        curves.sort(key=lambda curve: curve[0] != "fornix")
        if curves:
            title = f"{cases[key]['title']}: share that takes longer"
            write(f"{key}_tail", title, tails(title, curves))
    return written


def figures(found, folder):
    machine = found["machine"]
    lines = [BEGIN, "", f"{machine['machine']}, {machine['cores']} cores, Linux {machine['kernel']}.", "",
             "| ratio, fornix to the other | |", "|---|---|"]
    lines += [f"| {name} | {number(value)} |" for name, value in sorted(found["ratio"].items())]
    lines += ["", "| fornix alone, one thread | ns |", "|---|---|"]
    lines += [f"| {name} | {number(value)} |" for name, value in sorted(found["cost_ns"].items())]
    lines.append("")
    for name, title in pictures(found, folder):
        lines += [f"![{title}]({folder.name}/{name}.svg)", ""]
    for case in found["cases"].values():
        if any(f["rounds"] for f in case["subjects"].values()):
            lines += table(case)
    return "\n".join(lines + [END])


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    found = json.loads(pathlib.Path(sys.argv[1]).read_text())
    page = pathlib.Path(sys.argv[2])
    folder = page.with_suffix("")
    folder.mkdir(exist_ok=True)
    before, rest = page.read_text().split(BEGIN)
    page.write_text(before + figures(found, folder) + rest.split(END)[1])


main()
