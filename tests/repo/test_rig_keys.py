# SPDX-License-Identifier: BSD-3-Clause
"""docs/rig.md has a row for every key of the rig file, with the type, default and range that the code has.

    python3 test_rig_keys.py SOURCE --print

prints the rows as the code would have them, to be pasted where a key is new.
"""
import re
import sys

from tree import SOURCE, report

SCHEMA = (SOURCE / "nodes/host/rig_schema.c").read_text()
RULES = (SOURCE / "nodes/host/rig_rules.c").read_text().split("fnx_rig_rules[] = {")[1]
HEADER = (SOURCE / "nodes/host/rig.h").read_text()
TYPES = {"TEXT": "text", "NUMBER": "number", "COUNT": "whole number", "FLAG": "true, false", "IDS": "list of whole numbers",
         "NUMBERS": "list of numbers", "NAMES": "list of texts", "SECTION": "section", "LIST": "list of sections"}


def enums():
    """{C array: [(text, constant)]}"""
    return {match[1]: re.findall(r'\{"(\w+)", (\w+)\}', match[2])
            for match in re.finditer(r"cyaml_strval_t (\w+)\[\d+\] = \{(.*?)\};", SCHEMA, re.S)}


ENUMS = enums()


def blocks():
    """{name of a field array: its text}"""
    return {match[1]: match[2] for match in re.finditer(
        r"cyaml_schema_field_t (\w+)\[\] = \{(.*?)CYAML_FIELD_END\};", SCHEMA, re.S)}


def values():
    """{name of a list entry's value: the field array of its sections}"""
    return dict(re.findall(r"cyaml_schema_value_t (\w+) = \{\s*CYAML_VALUE_MAPPING\([^;]*?(\w+_fields)\)\};", SCHEMA))


BLOCKS, VALUES = blocks(), values()
PLAIN = re.compile(r"\b(TEXT|NUMBER|COUNT|FLAG|ENUM|IDS|NUMBERS|NAMES|SECTION|LIST)(_NEEDED)?\(\s*(\w+),\s*(\w+)(?:,\s*([^()]*))?\)")
RAW = re.compile(r'CYAML_FIELD_(\w+)\("(\w+)",\s*([^)]*)\)')


def fields(block):
    """(key, type, needed, struct, field array within or None) of each key, in order."""
    text, found = BLOCKS[block], []
    for match in PLAIN.finditer(text):
        kind, needed, struct, key, rest = match.groups()
        type_ = " \\| ".join(text for text, _ in ENUMS[rest.strip()]) if kind == "ENUM" else TYPES[kind]
        inner = None
        if kind == "SECTION":
            inner = rest.strip()
        elif kind == "LIST":
            inner = VALUES[rest.split(",")[0].strip("& ")]
        found.append((match.start(), key, type_, bool(needed), struct, inner))
    for match in RAW.finditer(text):
        kind, key, rest = match.groups()
        inner = next((word for word in re.findall(r"\w+", rest) if word in BLOCKS), None)
        value = next((word for word in re.findall(r"&(\w+)", rest)), None)
        names = next((word for word in re.findall(r"\w+", rest) if word in ENUMS), None)
        struct = re.search(r"struct (\w+)", rest)[1]
        if value:
            inner = VALUES.get(value)
        type_ = (" \\| ".join(text for text, _ in ENUMS[names]) if names else "section" if kind == "MAPPING" else
                 "list of sections" if value and inner else "list" if value else "whole number")
        found.append((match.start(), key, type_, not re.search(r"\bO\b", rest), struct, inner))
    return [entry[1:] for entry in sorted(found)]


def keys(block="rig_fields", prefix=""):
    for key, type_, needed, struct, inner in fields(block):
        yield prefix + key, type_, needed, struct, key
        if inner:
            yield from keys(inner, prefix + key + ("[]." if type_.startswith("list") else "."))


def rules():
    """{path: (default, range)} of the scalars that rig_rules.c knows."""
    found = {}
    for kind, path, rest in re.findall(r"\b(NUMBER|COUNT|FLAG|ENUM|TEXT)\(([\w.]+),\s*([^()]*)\)", RULES):
        words = [word.strip() for word in rest.split(",")]
        if kind == "FLAG":
            found[path] = ("true" if words[0] == "1" else "false", "")
        elif kind == "ENUM":
            found[path] = (dict((constant, text) for text, constant in ENUMS[words[1]])[words[0]], "")
        elif kind == "TEXT":
            found[path] = ("", "")
        else:
            found[path] = (number(words[0]), f"{number(words[1])} to {number(words[2])}")
    for path, default, low, high in re.findall(r"\{AT\(([\w.]+)\), \w+, (\w+), (\w+), (\w+)", RULES):
        found[path] = (number(default), f"{number(low)} to {number(high)}")
    return found


def number(text):
    return f"{float(text):.10g}"


def meanings():
    """{(struct, field): comment} of rig.h"""
    found = {}
    for struct, body in re.findall(r"struct (fnx_rig\w*) \{\n(.*?)\n\};", HEADER, re.S):
        for declaration, comment in re.findall(r"^\t([^;/]+);(?:[ \t]*/\*(.*?)\*/)?", body, re.M | re.S):
            for field in declaration.split(","):
                found[struct, field.split()[-1].lstrip("*")] = " ".join((comment or "").split())
    return found


def expected():
    known, said = rules(), meanings()
    for path, type_, needed, struct, key in keys():
        default, range_ = known.get(path, (None, None))
        if needed:
            default = "needed"
        yield path, type_, default, range_, said.get((struct, key), "")


def main():
    rows = list(expected())
    assert len(rows) > 150 and len(rules()) > 80, "the code is not read as it should be"
    if "--print" in sys.argv:
        for path, type_, default, range_, meaning in rows:
            print(f"| `{path}` | {type_} | {default or ''} | {range_ or ''} | {meaning} |")
        return
    text = (SOURCE / "docs/rig.md").read_text()
    documented = {match[1]: [cell.strip() for cell in re.split(r"(?<!\\)\|", match[2])] for match in
                  re.finditer(r"^\| `([^`]+)` \|(.*)\|$", text, re.M)}
    faults = [f"docs/rig.md: no row for {path}" for path, *_ in rows if path not in documented]
    faults += [f"docs/rig.md: the rig file has no key {path}" for path in documented if path not in {row[0] for row in rows}]
    for path, type_, default, range_, _ in rows:
        row = documented.get(path, [type_, default, range_, "?"])
        if row[0] != type_:
            faults.append(f"docs/rig.md: {path}: type {row[0]!r}, the code says {type_!r}")
        if default and row[1] != default:
            faults.append(f"docs/rig.md: {path}: default {row[1]!r}, the code says {default!r}")
        if range_ and row[2] != range_:
            faults.append(f"docs/rig.md: {path}: range {row[2]!r}, the code says {range_!r}")
        if not row[3]:
            faults.append(f"docs/rig.md: {path}: no meaning")
    report(faults, f"{len(rows)} keys are documented as they are")


main()
