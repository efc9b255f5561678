#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""mutate.py SOURCE [TEXT]: takes out, one after the other, each line of the code that upholds a statement of what must always
hold, builds the test that must notice, and expects that it fails. TEXT: only mutations whose line holds it.

Not part of the suite, since it builds: some minutes, in a copy of the source in a scratch directory. Prints the table of
docs/proof.md."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PUBLISHER, SUBSCRIBER, READERS, SEGMENT = (f"bus/{name}.c" for name in ("publisher", "subscriber", "readers", "segment"))
ACCESSES, COST, TOPIC, FUZZ = "test_accesses_topic", "test_bus_topic_cost", "test_bus_topic", "fuzz_subs"
RECOVERY = "test_bus_publisher_recovery"

# statement, file, line, what stands there instead, what notices
MUTATIONS = [
    (1, PUBLISHER, "atomic_thread_fence(memory_order_seq_cst);\n\tfnx_readers_hazards", "fnx_readers_hazards", ACCESSES),
    (1, PUBLISHER, "if (fnx_hazards_contain(&hazards, seq))\n\t\t\tpin(pub, seq, slot);\n\t\telse\n\t\t\tfree_slot",
     "free_slot", ACCESSES),
    (1, PUBLISHER, "fnx_tag(pub->head, state), memory_order_release", "fnx_tag(pub->head, state), memory_order_relaxed",
     ACCESSES),
    (1, SUBSCRIBER, "atomic_store(&sub->record->hazards[0], seq_plus_1);",
     "atomic_store_explicit(&sub->record->hazards[0], seq_plus_1, memory_order_release);", ACCESSES),
    (1, SUBSCRIBER, "if (tag != fnx_tag(sub->next, FNX_ENTRY_PUBLISHED))\n\t\treturn report_gap(sub, ret_gap);", "", ACCESSES),
    (1, SUBSCRIBER, "if (tag >> 2 != sub->next)\n\t\treturn report_gap(sub, ret_gap);", "", ACCESSES),
    (2, SUBSCRIBER, "sub->next = gap.to;", "sub->next = gap.to + 1;", TOPIC),
    (2, PUBLISHER, "if (is_whole(pub, pub->head)) {", "if (0) {", RECOVERY),
    (3, PUBLISHER, "if (atomic_load(&pub->map.subs->joins) == pub->readers.joins)\n\t\treturn limit;", "return limit;", ACCESSES),
    (3, PUBLISHER, "atomic_store(&segment->releasing, limit);\n\tif",
     "atomic_store_explicit(&segment->releasing, limit, memory_order_relaxed);\n\tif", ACCESSES),
    (3, SUBSCRIBER, "atomic_store_explicit(&record->cursor, 0, memory_order_relaxed);",
     "atomic_store_explicit(&record->cursor, UINT64_MAX, memory_order_relaxed);", ACCESSES),
    (3, READERS, "if (cursor < lowest) {", "if (0) {", TOPIC),
    (3, PUBLISHER, "finish_pass(pub);\n", "", RECOVERY),
    (4, PUBLISHER, "if (lowest == pub->released)\n\t\tlowest = second;", "", TOPIC),
    (4, PUBLISHER, "while (!pub->n_free && pub->map.full == FNX_FULL_DROP && pub->released < pub->head)\n\t\tlap(pub);", "", TOPIC),
    (5, PUBLISHER, "atomic_store(&pub->map.segment->head, pub->head);\n\tfnx_readers_refresh",
     "atomic_store_explicit(&pub->map.segment->head, pub->head, memory_order_release);\n\tfnx_readers_refresh", ACCESSES),
    (5, SUBSCRIBER, "atomic_store(&sub->record->parked, 1);",
     "atomic_store_explicit(&sub->record->parked, 1, memory_order_release);", ACCESSES),
    (5, SUBSCRIBER, "if (atomic_load(&segment->head) <= sub->next &&", "if (1 || atomic_load(&segment->head) <= sub->next &&",
     ACCESSES),
    (5, PUBLISHER, "fnx_readers_wake(&pub->readers);", "", ACCESSES),
    (5, SUBSCRIBER, "if (sub->resumed)\n\t\tring_writer(sub);\n\telse\n\t\twake_writer(sub);", "wake_writer(sub);", ACCESSES),
    (5, SUBSCRIBER, "atomic_store(&sub->record->cursor, sub->next);\n\twake",
     "atomic_store_explicit(&sub->record->cursor, sub->next, memory_order_release);\n\twake", ACCESSES),
    (5, PUBLISHER, "atomic_store(&pub->map.subs->writer_wake, wake ? wake : 1);",
     "atomic_store_explicit(&pub->map.subs->writer_wake, wake ? wake : 1, memory_order_release);", ACCESSES),
    (6, SEGMENT, "MAP_SHARED | MAP_POPULATE, fd, 0);\n}\n\nstatic void unmap(void *memory, size_t size)\n{\n\tmunmap",
     "MAP_SHARED, fd, 0);\n}\n\nstatic void unmap(void *memory, size_t size)\n{\n\tmunmap", COST),
    (7, READERS, "if (cursor < released)\n\t\treturn released;", "", FUZZ),
    (7, READERS, "if (!fnx_name_valid(reader->node) ||", "if (", FUZZ),
    (7, READERS, "if (fnx_name_valid(reader->node) &&\n\t\t\tfnx_presence_check", "if (fnx_presence_check", FUZZ),
]


def run(command, directory, seconds=300):
    environment = dict(os.environ, FORNIX_SIM_STEPS="3000000", CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=str(directory))
    try:
        result = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return "time-out", ""
    return result.returncode, result.stdout + result.stderr


def command_of(program, source):
    if program == FUZZ:
        return [f"build/bin/{program}", "--runs", "200000", "--seed", "1", f"{source}/tests/fuzz/corpus/subs"]
    return [f"build/bin/{program}"]


def notices(directory, source, program):
    """Whether the program, built from the directory as it is, fails; and what it said."""
    code, said = run(["ninja", "-C", "build", "-j2", program], directory)
    if code:
        sys.exit(f"does not build: {said[-2000:]}")
    code, said = run(command_of(program, source), directory)
    errors = [line for line in said.splitlines() if "ERROR" in line or "Assertion" in line or "signal" in line]
    return code != 0, errors[0][:100] if errors else ""


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    missed = 0
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch) / "source"
        shutil.copytree(source, directory, ignore=shutil.ignore_patterns("build*", ".git"))
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        code, said = run(["cmake", "-G", "Ninja", "-B", "build", "-DCMAKE_BUILD_TYPE=Release", "-Wno-dev", *launcher], directory)
        if code:
            sys.exit(said)
        for program in sorted({mutation[4] for mutation in MUTATIONS}):
            failed, said = notices(directory, source, program)
            if failed:
                sys.exit(f"{program} fails with nothing taken out: {said}")
        print("| statement | file | line | noticed by | as |\n|---|---|---|---|---|", flush=True)
        for statement, file, line, instead, program in MUTATIONS:
            path = directory / file
            text = path.read_text()
            if only not in line:
                continue
            if text.count(line) != 1:
                sys.exit(f"{file}: {text.count(line)} times, and not once: {line}")
            path.write_text(text.replace(line, instead))
            failed, said = notices(directory, source, program)
            path.write_text(text)
            missed += not failed
            shown = " ".join(line.split())[:90].replace("|", "\\|")
            print(f"| {statement} | `{file}` | `{shown}` | `{program}` | {said.replace('|', ' ') if failed else 'NOT NOTICED'} |",
                  flush=True)
    print(f"\n{missed} not noticed")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
