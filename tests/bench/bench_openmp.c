/* SPDX-License-Identifier: BSD-3-Clause */
/* The graph as OpenMP tasks: one thread of the team makes them, all run them. */
#include <omp.h>
#include <time.h>

#include "tests/bench/bench_graphs.h"

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double graph_openmp(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	double begun_ns = 0, ended_ns = 0;

#pragma omp parallel num_threads(n_workers + 1) shared(begun_ns, ended_ns)
#pragma omp single
	{
		begun_ns = now_ns();
		for (uint64_t i = 0; i < n; i++) {
			struct graph_cell *a = &cells[tasks[i].in[0]];
			struct graph_cell *b = &cells[tasks[i].in[1]];
			struct graph_cell *out = &cells[tasks[i].out];

#pragma omp task firstprivate(a, b, out) depend(in : a[0], b[0]) depend(out : out[0])
			out->value = graph_step(a->value, b->value);
		}
#pragma omp taskwait
		ended_ns = now_ns();
	}
	return ended_ns - begun_ns;
}
