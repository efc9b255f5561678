#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""mutate.py SOURCE [TEXT]: takes out, one after the other, each line of the code that upholds a statement of what must always
hold, builds the tests that must notice, and expects that one fails. TEXT: only mutations whose line holds it.

Tried in this order, until one fails: the statement's own test of test_bus_invariants; the scheduler of sim/accesses, for what
needs another order of two processors' stores; and what else is named. Not part of the suite, since it builds: some ten
minutes, in a copy of the source in a scratch directory, ccache or not. Prints the table of docs/proof.md."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

PUBLISHER, SUBSCRIBER, READERS, SEGMENT = (f"bus/{name}.c" for name in ("publisher", "subscriber", "readers", "segment"))
INVARIANTS, ACCESSES, FUZZ, TOPIC = "test_bus_invariants", "test_accesses_topic", "fuzz_subs", "test_bus_topic"
RECOVERY = "test_bus_publisher_recovery leaving"
SECONDS = 120 # a program that takes longer goes round in circles

NAMED = {
    1: "a_frame_that_a_reader_accepts",
    2: "per_subscription",
    3: "a_lossless_subscriber",
    4: "no_subscriber",
    5: "no_parked_subscriber",
    6: "after_start_up",
    7: "nothing_that_a_subscriber",
}

# statement, file, line, what stands there instead, what notices beside the statement's own test and the scheduler
MUTATIONS = [
    (1, PUBLISHER, "if (fnx_hazards_contain(&hazards, seq))\n\t\t\tpin(pub, seq, slot);\n\t\telse\n\t\t\tfree_slot",
     "free_slot"),
    (1, PUBLISHER, "if (!seq_plus_1 || fnx_hazards_contain(hazards, seq_plus_1 - 1))", "if (!seq_plus_1)"),
    (1, SUBSCRIBER, "if (tag != fnx_tag(sub->next, FNX_ENTRY_PUBLISHED))\n\t\treturn report_gap(sub, ret_gap);", ""),
    (1, PUBLISHER, "atomic_thread_fence(memory_order_seq_cst);\n\tfnx_readers_hazards", "fnx_readers_hazards"),
    (1, PUBLISHER, "fnx_tag(head, state), memory_order_release", "fnx_tag(head, state), memory_order_relaxed"),
    (1, PUBLISHER, "fnx_tag(head, FNX_ENTRY_EMPTY), memory_order_relaxed);\n\tatomic_thread_fence(memory_order_release);",
     "fnx_tag(head, FNX_ENTRY_EMPTY), memory_order_relaxed);"),
    (1, SUBSCRIBER, "atomic_store(&sub->record->hazards[0], seq_plus_1);",
     "atomic_store_explicit(&sub->record->hazards[0], seq_plus_1, memory_order_release);"),
    (1, SUBSCRIBER, "if (tag >> 2 != sub->next)\n\t\treturn report_gap(sub, ret_gap);", ""),
    (2, SUBSCRIBER, "go_to(sub, gap.to);", "go_to(sub, gap.to + 1);"),
    (2, SUBSCRIBER, "if (gap.reason == FNX_GAP_LAPPED && oldest > gap.to)\n\t\tgap.to = oldest;", "gap.to = oldest;"),
    (2, PUBLISHER, "write_entry(pub, FNX_NO_SLOT, 0, &nothing);\n\tfnx_publisher_flush(pub);", "pub->head++;"),
    (3, PUBLISHER, "while (pub->head - pub->released <= pub->map.n_slots && is_whole(pub, pub->head))\n\t\tpub->head++;", ""),
    (3, SUBSCRIBER, "go_to(sub, resumed_cursor(sub, head));", "go_to(sub, head);"),
    (3, READERS, "if (cursor < lowest) {", "if (0) {"),
    (3, PUBLISHER, "if (pub->map.full != FNX_FULL_WAIT)\n\t\treturn limit;\n\tlowest", "return limit;\n\tlowest"),
    (3, PUBLISHER, "atomic_store(&segment->releasing, limit);\n\tif",
     "atomic_store_explicit(&segment->releasing, limit, memory_order_relaxed);\n\tif"),
    (3, SUBSCRIBER, "atomic_store_explicit(&record->cursor, 0, memory_order_relaxed);",
     "atomic_store_explicit(&record->cursor, UINT64_MAX, memory_order_relaxed);"),
    (3, PUBLISHER, "finish_pass(pub);\n", "", "test_bus_publisher_recovery cut_short"),
    (4, PUBLISHER, "if (lowest == pub->released)\n\t\tlowest = second;", ""),
    (4, PUBLISHER, "if (limit > lowest)\n\t\tlimit = lowest;\n\tfnx_readers_count_lapped", "fnx_readers_count_lapped"),
    (4, PUBLISHER, "while (!pub->n_free && pub->map.full == FNX_FULL_DROP && pub->released < pub->head)\n\t\tlap(pub);", ""),
    (4, PUBLISHER, "if (pub->map.full == FNX_FULL_WAIT)\n\t\treturn -EAGAIN;",
     "return -EAGAIN;", TOPIC),
    (5, PUBLISHER, "fnx_readers_ring(&pub->readers, pub->head, INT64_MIN);\n}\n\nvoid fnx_publisher_flush", "}\n\nvoid fnx_publisher_flush"),
    (5, SUBSCRIBER, "if (atomic_load(&segment->head) < sub->wake_head &&", "if ("),
    (5, PUBLISHER, "fnx_readers_wake(&pub->readers);\n\tatomic_store_explicit(&segment->publisher_pid",
     "atomic_store_explicit(&segment->publisher_pid"),
    (5, PUBLISHER, "atomic_store(&pub->map.segment->head, pub->head);\n\tfnx_readers_ring",
     "atomic_store_explicit(&pub->map.segment->head, pub->head, memory_order_release);\n\tfnx_readers_ring"),
    (5, READERS, "\tfnx_readers_refresh(readers);\n\tfor", "\tfor"),
    (5, SUBSCRIBER, "atomic_fetch_or(&sub->map.subs->sleepers, sub->bit);",
     "atomic_fetch_or_explicit(&sub->map.subs->sleepers, sub->bit, memory_order_relaxed);"),
    (5, READERS, "atomic_fetch_and(&readers->map->subs->sleepers, ~bit);\n\tif (atomic_exchange(&record_of(readers, reader)->parked, FNX_AWAKE))",
     "int parked = (int)atomic_exchange(&record_of(readers, reader)->parked, FNX_AWAKE);\n\n"
     "\tatomic_fetch_and(&readers->map->subs->sleepers, ~bit);\n\tif (parked)"),
    (5, SUBSCRIBER, "if (sub->resumed)\n\t\tring_writer(sub);\n\telse\n\t\twake_writer(sub);", "wake_writer(sub);"),
    (5, SUBSCRIBER, "atomic_store(&sub->record->cursor, seq);\n\twake",
     "atomic_store_explicit(&sub->record->cursor, seq, memory_order_release);\n\twake"),
    (5, PUBLISHER, "atomic_store(&pub->map.subs->writer_wake, wake ? wake : 1);",
     "atomic_store_explicit(&pub->map.subs->writer_wake, wake ? wake : 1, memory_order_release);"),
    (5, PUBLISHER, "if (pub->map.full == FNX_FULL_WAIT && pub->n_free < n)\n\t\tfnx_readers_ring_dozers(&pub->readers, pub->head);", "",
     TOPIC),
    (5, SUBSCRIBER, "!atomic_load(&segment->replaced) &&\n\t\t!is_waited_for(sub))", "!atomic_load(&segment->replaced))", TOPIC),
    (5, PUBLISHER, "atomic_store(&pub->map.subs->writer_wake, wake ? wake : 1);\n\tif (!fnx_publisher_room(pub, n, now_ns))\n\t\treturn 0;",
     "if (!fnx_publisher_room(pub, n, now_ns)) {\n\t\tatomic_store(&pub->map.subs->writer_wake, wake ? wake : 1);\n\t\treturn 0;\n\t}"),
    (5, PUBLISHER, "tell_replaced(pub, 1);\n\tfnx_mapping_unlink(&pub->bus, pub->map.topic);",
     "fnx_mapping_unlink(&pub->bus, pub->map.topic);\n\ttell_replaced(pub, 1);", RECOVERY),
    (6, SEGMENT, "MAP_SHARED | MAP_POPULATE, fd, 0);\n}", "MAP_SHARED, fd, 0);\n}"),
    (6, READERS, "reader->dead = 0;\n\topen_ringer(readers, reader);", "reader->dead = 0;"),
    (7, READERS, "return cursor < released ? released : cursor;", "return cursor;", FUZZ),
    (7, READERS, "if (!fnx_name_valid(reader->node) ||", "if (", FUZZ),
    (7, READERS, "if (fnx_name_valid(reader->node) &&\n\t\t\tfnx_presence_check", "if (fnx_presence_check", FUZZ),
]


def run(command, directory, seconds):
    environment = dict(os.environ, FORNIX_SIM_STEPS=os.environ.get("FORNIX_SIM_STEPS", "6000000"), CCACHE_NOHASHDIR="1", CCACHE_BASEDIR=str(directory))
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", env=environment, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "time-out", ""
    return process.returncode, said


def command_of(notice, statement, source):
    program, *arguments = notice.split()
    if program == FUZZ:
        arguments = ["--runs", "2000000", "--seconds", "20", "--seed", "1", f"{source}/tests/fuzz/corpus/subs"]
    elif program == INVARIANTS:
        arguments = [NAMED[statement]]
    return [f"build/bin/{program}", *arguments]


def why(code, said):
    if code == "time-out":
        return "does not end"
    lines = [line for line in said.splitlines() if line.startswith("ERROR") or "[  ERROR   ] --- " in line or "Assertion" in line]
    lines = [line.replace("[  ERROR   ] --- ", "").replace("ERROR: ", "") for line in lines if "[   LINE" not in line]
    return lines[0][:80] if lines else f"signal {-code}" if code < 0 else f"status {code}"


def first_to_notice(directory, source, statement, notices):
    """The program that fails, and as what; None if none does."""
    for notice in notices:
        code, said = run(["ninja", "-C", "build", "-j2", notice.split()[0]], directory, 600)
        if code:
            sys.exit(f"does not build: {said[-2000:]}")
        code, said = run(command_of(notice, statement, source), directory, SECONDS)
        if code:
            return notice.split()[0], why(code, said)
    return None, ""


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch) / "source"
        shutil.copytree(source, directory, ignore=shutil.ignore_patterns("build*", ".git"))
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        code, said = run(["cmake", "-G", "Ninja", "-B", "build", "-DCMAKE_BUILD_TYPE=Release", "-Wno-dev", *launcher], directory, 600)
        if code:
            sys.exit(said)
        mutations = [mutation for mutation in MUTATIONS if only in mutation[2]]
        for statement, file, line, *_ in mutations:
            n = (directory / file).read_text().count(line)
            if n != 1:
                sys.exit(f"{file}: {n} times, and not once: {line}")
        for statement in sorted({mutation[0] for mutation in mutations}):
            program, said = first_to_notice(directory, source, statement, [INVARIANTS])
            if program:
                sys.exit(f"statement {statement}: {program} fails with nothing taken out: {said}")
        for notice in sorted({ACCESSES, *(notice for mutation in mutations for notice in mutation[4:])}):
            program, said = first_to_notice(directory, source, 0, [notice])
            if program:
                sys.exit(f"{program} fails with nothing taken out: {said}")
        print("| statement | file | line | noticed by | as |\n|---|---|---|---|---|", flush=True)
        for statement, file, line, instead, *more in mutations:
            path = directory / file
            text = path.read_text()
            path.write_text(text.replace(line, instead))
            program, said = first_to_notice(directory, source, statement, [INVARIANTS, *more, ACCESSES])
            path.write_text(text)
            shown = " ".join(line.split())[:100].replace("|", "\\|")
            if not program:
                missed.append(shown)
            print(f"| {statement} | `{file}` | `{shown}` | {f'`{program}`' if program else 'NOBODY'} | {said.replace('|', ' ')} |",
                  flush=True)
    print(f"\n{len(mutations)} taken out, {len(missed)} not noticed")
    return len(missed) > 0


if __name__ == "__main__":
    sys.exit(main())
