#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tables and pictures of docs/benchmarks-kernels.md, from what bench_kernels measured.

    draw_kernels.py BUILD_DIRECTORY             measures (about a minute, on an idle machine), then draws
    draw_kernels.py BUILD_DIRECTORY FILE.json   draws what an earlier bench_kernels --json FILE.json says
"""
import json
import math
import os
import subprocess
import sys
import tempfile

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                    "docs")
BEGIN, END = "<!-- draw_kernels.py begins -->", "<!-- ends -->"
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 420, 70, 30, 20, 50
STYLE = ("<style>text{font:12px sans-serif;fill:#222}.a{stroke:#222;fill:none}"
         ".g{stroke:#ddd;fill:none}.l{stroke:#2266aa;fill:none;stroke-width:2}"
         ".d{stroke:#999;fill:none;stroke-dasharray:5 4}.p{fill:#cc4422}.b{fill:#2266aa}"
         ".c{fill:#bbccdd}</style>")


class Picture:
    """An SVG with logarithmic axes."""

    def __init__(self, x_range, y_range, x_title, y_title):
        self.x_range, self.y_range = x_range, y_range
        self.names = []
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
                      STYLE, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
        for x in self.decades(*x_range):
            self.line(x, y_range[0], x, y_range[1], "g")
            self.text(self.x(x), HEIGHT - BOTTOM + 16, f"{x:g}", "middle")
        for y in self.decades(*y_range):
            self.line(x_range[0], y, x_range[1], y, "g")
            self.text(LEFT - 6, self.y(y) + 4, f"{y:g}", "end")
        self.text((WIDTH + LEFT) / 2, HEIGHT - 12, x_title, "middle")
        self.text(LEFT, 18, y_title, "start")

    @staticmethod
    def decades(low, high):
        return [10.0**k for k in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]

    def x(self, value):
        low, high = (math.log(limit) for limit in self.x_range)
        return LEFT + (math.log(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        low, high = (math.log(limit) for limit in self.y_range)
        return HEIGHT - BOTTOM - (math.log(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def line(self, x1, y1, x2, y2, style):
        self.parts.append(f'<line x1="{self.x(x1):.1f}" y1="{self.y(y1):.1f}" x2="{self.x(x2):.1f}" '
                          f'y2="{self.y(y2):.1f}" class="{style}"/>')

    def text(self, x, y, text, anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>')

    def point(self, x, y, name):
        self.parts.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4" class="p"/>')
        left, base = self.x(x) + 7, self.y(y) + 4
        # Where another name stands already, below it.
        while any(abs(left - other_left) < 150 and abs(base - other_base) < 13 for other_left, other_base in self.names):
            base += 1
        self.names.append((left, base))
        self.text(left, base, name)

    def save(self, name):
        with open(os.path.join(DOCS, name), "w", encoding="utf-8") as file:
            file.write("\n".join(self.parts) + "\n</svg>\n")


def roofline(figures):
    machine = figures["machine"]
    peak, read = machine["separate_operations_per_ns"], machine["memory_bytes_per_ns"]
    picture = Picture((0.3, 100), (1, 2 * machine["fused_operations_per_ns"] + 1),
                      "operations per byte of marks", "operations per ns, one core")
    for bandwidth, name in ((read, "memory"), (machine["l1_bytes_per_ns"], "L1")):
        corner = peak / bandwidth
        start = max(0.3, 1 / bandwidth)
        if corner > start:
            picture.line(start, bandwidth * start, corner, peak, "l")
            picture.text(picture.x(start) + 4, picture.y(bandwidth * start) - 6,
                         f"{name}, {bandwidth:.0f} bytes/ns")
        picture.line(max(corner, 0.3), peak, 100, peak, "l")
    picture.text(picture.x(12), picture.y(peak) + 14, f"each rounded, {peak:.0f}")
    fused = machine["fused_operations_per_ns"]
    if fused:
        picture.line(0.3, fused, 100, fused, "d")
        picture.text(picture.x(12), picture.y(fused) - 6, f"fused, {fused:.0f}")
    for name, kernel in figures["roofline"].items():
        if not name.endswith("bincount"):
            picture.point(kernel["operations"] / kernel["bytes"],
                          kernel["operations"] / figures["ns"][name], name)
    picture.save("benchmarks-kernels-roofline.svg")


def times(figures):
    names = list(figures["reference_ns"])
    low = min(figures["ns"][name] for name in names) / 2
    high = max(figures["reference_ns"].values()) * 100  # room for the names behind the bars
    picture = Picture((low, high), (1, 10), "ns per call", "fornix (dark) and NumPy (light)")
    picture.parts = picture.parts[:3] + [part for part in picture.parts[3:] if 'text-anchor="end"' not in part]
    step = (HEIGHT - TOP - BOTTOM) / len(names)
    for i, name in enumerate(names):
        top = TOP + i * step
        for value, style, at in ((figures["reference_ns"][name], "c", 0.0), (figures["ns"][name], "b", 0.4)):
            picture.parts.append(f'<rect x="{LEFT}" y="{top + at * step:.1f}" height="{0.38 * step:.1f}" '
                                 f'width="{picture.x(value) - LEFT:.1f}" class="{style}"/>')
        picture.text(picture.x(figures["reference_ns"][name]) + 6, top + 0.55 * step,
                     f"{name}: {figures['ratio'][name]:.0f} x")
    picture.save("benchmarks-kernels-times.svg")


def tables(figures):
    lines = ["| kernel | fornix, ns | its first call, ns | NumPy, ns | ratio | goal |",
             "|---|---|---|---|---|---|"]
    for name, ns in figures["ns"].items():
        reference = figures["reference_ns"].get(name)
        goal = figures["goal"].get(name)
        first = figures["first_ns"][name]
        lines.append(f"| `{name}` | {ns:,.0f} | {first:,.0f} | "
                     + (f"{reference:,.0f} | {figures['ratio'][name]:.0f}" if reference else " | ")
                     + f" | {f'{goal:.0f}' if goal else ''} |")
    lines += ["", f"2,000 bins with three states cost {figures['ratio']['decode_2000x3_to_41x3']:.1f} x 41 bins "
              "with three states (goal: at most 30).", "",
              "| kernel | ns per mark | bytes/ns | readable at, bytes/ns | operations/ns | of the limit |",
              "|---|---|---|---|---|---|"]
    for name, kernel in figures["roofline"].items():
        ns = figures["ns"][name]
        lines.append(f"| `{name}` | {ns / kernel['marks']:.3f} | {kernel['bytes'] / ns:.1f} | "
                     f"{kernel['read_bytes_per_ns']:.1f} | {kernel['operations'] / ns:.1f} | "
                     f"{100 * kernel['limit_ns'] / ns:.0f} % |")
    machine = figures["machine"]
    lines += ["", f"Machine, one core: {machine['vectors']}; reads {machine['l1_bytes_per_ns']:.0f} bytes/ns from L1, "
              f"{machine['memory_bytes_per_ns']:.1f} from memory; {machine['separate_operations_per_ns']:.0f} "
              "single-precision multiplications and additions per ns, "
              f"{machine['fused_operations_per_ns']:.0f} if fused. {figures['rounds']} rounds."]
    return "\n".join(lines)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    path = sys.argv[2] if len(sys.argv) > 2 else os.path.join(tempfile.mkdtemp(), "kernels.json")
    if len(sys.argv) == 2:
        subprocess.run([os.path.join(sys.argv[1], "bin", "bench_kernels"), "--json", path], check=True)
    with open(path, encoding="utf-8") as file:
        figures = json.load(file)
    roofline(figures)
    times(figures)
    page = os.path.join(DOCS, "benchmarks-kernels.md")
    with open(page, encoding="utf-8") as file:
        head, rest = file.read().split(BEGIN)
    with open(page, "w", encoding="utf-8") as file:
        file.write(f"{head}{BEGIN}\n{tables(figures)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
