/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix doctor: what a machine lacks for real-time work, and how to mend it. Checks are apart from
 * what they look at: files lie below `root`, and what only the kernel can say is in struct
 * fnx_probe.
 */
#pragma once

#include <stdio.h>

#include "bus/status.h"
#include "nodes/host/rig.h"

enum fnx_verdict {
	FNX_GOOD,
	FNX_FAIR, /* could be better; may not matter */
	FNX_LACKS, /* costs latency, or frames */
};

enum {
	FNX_FINDINGS_MAX = 64,
	FNX_DOCTOR_TEXT = 256,
	FNX_DOCTOR_CPUS = 1024,
};

struct fnx_finding {
	const char *what;
	enum fnx_verdict verdict;
	char found[FNX_DOCTOR_TEXT];
	char remedy[FNX_DOCTOR_TEXT]; /* a command, or a line and its file; empty: none needed */
};

/* What the kernel grants this process. */
struct fnx_probe {
	int fifo_error; /* errno of SCHED_FIFO 1; 0: granted */
	uint64_t rtprio_limit;
	uint64_t memlock_limit; /* bytes; UINT64_MAX: none */
	int memlock_error; /* of locking as much as nodes may need, without taking it */
	int timer_slack_error; /* of setting 1 ns */
	unsigned n_cpus; /* that this process may use */
	uint64_t shm_size, shm_free; /* bytes */
	double clock_ns; /* one reading of CLOCK_MONOTONIC */
};

struct fnx_doctor {
	const char *root; /* "" or a directory that stands for / */
	const struct fnx_rig *rig; /* NULL: none */
	struct fnx_probe probe;
	unsigned n;
	struct fnx_finding findings[FNX_FINDINGS_MAX];
};

void fnx_probe_take(struct fnx_probe *ret_probe);
/* All checks, in the order in which they are told. */
void fnx_doctor_check(struct fnx_doctor *doctor);
void fnx_doctor_add(struct fnx_doctor *doctor, const char *what, enum fnx_verdict verdict,
	const char *remedy, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Sets of processors as the kernel writes them: "0-3,8". 1 if `cpu` is in the list. */
int fnx_cpu_list_has(const char *list, unsigned cpu);
/* The chosen one of "always [madvise] never"; 0: none is marked. */
int fnx_choice(const char *text, char *ret_word, size_t size);

/* An interrupt's counts: a line of /proc/interrupts. */
struct fnx_interrupt {
	char name[16]; /* "24", "LOC" */
	char device[64];
	unsigned n_cpus;
	uint64_t counts[FNX_DOCTOR_CPUS];
};
/* `line` may be anything. 1: it is such a line. */
int fnx_interrupt_parse(const char *line, unsigned n_cpus, struct fnx_interrupt *ret_interrupt);
/* Columns of the heading: the processors there are. */
unsigned fnx_interrupt_cpus(const char *heading);

/* Waking
 * ---------------------------------------------------------------------------------------------- */

enum {
	FNX_WAKE_CASES_MAX = 8
};

struct fnx_wake_case {
	const char *how; /* "eventfd" or "bell" */
	int same_core, loaded;
	unsigned n;
	struct fnx_histogram latency; /* ring to awake */
};

struct fnx_wake {
	unsigned n_cpus; /* that were used: with one there is no other core */
	unsigned n_cases;
	struct fnx_wake_case cases[FNX_WAKE_CASES_MAX];
};

/* Rings a sleeper `n` times at 1 kHz in each case; `progress` (may be NULL) is told how far it is.
 * 0; negative errno. Takes n x cases ms. */
FNX_MUST_CHECK int fnx_wake_measure(
	struct fnx_wake *wake, unsigned n, int with_load, FILE *progress);
/* NULL: there is no such case. */
const struct fnx_wake_case *fnx_wake_find(
	const struct fnx_wake *wake, const char *how, int same_core, int loaded);
/* What the figures say about where to put a reader. */
void fnx_wake_advise(const struct fnx_wake *wake, char *line, size_t size);
