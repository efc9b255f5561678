/* SPDX-License-Identifier: BSD-3-Clause */
/* What the bench found: distributions per case and subject, ratios, a table and a JSON file. */
#pragma once

#include <jansson.h>

#include "tests/bench/bench.h"

enum {
	BENCH_ROUNDS_MAX = 50,
	BENCH_PEERS_MAX = 16,
	BENCH_CASES_MAX = 32,
	BENCH_COSTS_MAX = 4,
	BENCH_TAIL_MIN = 1000, /* samples, of all rounds, below which p99.9 is not told */
};

struct bench_case {
	const char *key;
	const char *title;
	enum bench_kind kind;
	enum bench_place place;
	int spin;
	int loaded; /* a nice'd hog on each core */
	int fifo;
	uint32_t n_readers;
	uint64_t size;
	int quick; /* is part of the quick run */
};

/* Of one case and subject. */
struct bench_found {
	unsigned n_rounds;
	unsigned n_failed;
	double p50_ns[BENCH_ROUNDS_MAX], p99_ns[BENCH_ROUNDS_MAX], p999_ns[BENCH_ROUNDS_MAX];
	double rate_hz[BENCH_ROUNDS_MAX];
	double cpu_ns[BENCH_ROUNDS_MAX]; /* per message, all who take part together */
	uint64_t n_wrong;
	int64_t *samples; /* of all rounds */
	size_t n_samples;
};

/* A figure of fornix alone, in one thread. */
struct bench_cost {
	const char *key;
	double ns[BENCH_ROUNDS_MAX];
	unsigned n_rounds;
};

struct bench_report {
	const struct bench_case *cases;
	unsigned n_cases;
	const struct bench_peer *peers[BENCH_PEERS_MAX];
	unsigned n_peers;
	struct bench_found found[BENCH_CASES_MAX][BENCH_PEERS_MAX];
	struct bench_cost costs[BENCH_COSTS_MAX];
	unsigned n_costs;
};

void bench_note(struct bench_found *found, const struct bench_run *run);
double bench_median(const double *values, unsigned n);
/* A new object: every distribution, and `ratio`. */
json_t *bench_report_json(struct bench_report *report);
void bench_report_print(const struct bench_report *report);
