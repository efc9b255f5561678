/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The graphs on which bench_task compares runtimes: task i reads two cells and writes one, cells
 * drawn once and the same for all. Each runtime is one function that runs the whole graph and
 * returns nanoseconds, from the first submission to the last completion; cells are checked
 * afterwards against the sequential result.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	GRAPH_CELLS = 512,
};

struct graph_task {
	uint32_t in[2], out;
};

/* One cell, one cache line. */
struct graph_cell {
	uint64_t value;
	uint64_t pad[7];
};

static inline uint64_t graph_step(uint64_t a, uint64_t b)
{
	return (a ^ b >> 7) * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* Nanoseconds, or negative: not built in. `n_workers` threads besides the caller's. */
double graph_openmp(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers);
double graph_onetbb(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers);
double graph_starpu(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers);

#ifdef __cplusplus
}
#endif
