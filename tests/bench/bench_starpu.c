/* SPDX-License-Identifier: BSD-3-Clause */
/* The graph as StarPU tasks on CPU workers: dependencies follow from the handles. */
#include <starpu.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/bench_graphs.h"

static void run_step(void *buffers[], void *argument)
{
	struct graph_cell *a = (struct graph_cell *)STARPU_VARIABLE_GET_PTR(buffers[0]);
	struct graph_cell *b = (struct graph_cell *)STARPU_VARIABLE_GET_PTR(buffers[1]);
	struct graph_cell *out = (struct graph_cell *)STARPU_VARIABLE_GET_PTR(buffers[2]);

	(void)argument;
	out->value = graph_step(a->value, b->value);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The worst of what its calls answered. */
static int insert_all(const struct graph_task *tasks, uint64_t n, starpu_data_handle_t *handles)
{
	static struct starpu_codelet codelet = {
		.cpu_funcs = {run_step}, .nbuffers = 3, .modes = {STARPU_R, STARPU_R, STARPU_W}};
	int worst = 0;

	for (uint64_t i = 0; i < n; i++) {
		int r = starpu_task_insert(&codelet, STARPU_R, handles[tasks[i].in[0]], STARPU_R,
			handles[tasks[i].in[1]], STARPU_W, handles[tasks[i].out], 0);

		if (r < worst)
			worst = r;
	}
	if (starpu_task_wait_for_all() < 0)
		worst = -1;
	return worst;
}

double graph_starpu(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	static starpu_data_handle_t handles[GRAPH_CELLS];
	struct starpu_conf conf;
	double begun_ns, ns;
	int r;

	setenv("STARPU_SILENT", "1", 1);
	starpu_conf_init(&conf);
	conf.ncpus = (int)n_workers;
	conf.ncuda = 0;
	conf.nopencl = 0;
	if (starpu_init(&conf))
		return -1;
	for (unsigned i = 0; i < GRAPH_CELLS; i++)
		starpu_variable_data_register(
			&handles[i], STARPU_MAIN_RAM, (uintptr_t)&cells[i], sizeof(cells[i]));
	begun_ns = now_ns();
	r = insert_all(tasks, n, handles);
	ns = now_ns() - begun_ns;
	for (unsigned i = 0; i < GRAPH_CELLS; i++)
		starpu_data_unregister(handles[i]);
	starpu_shutdown();
	return r < 0 ? -1 : ns;
}
