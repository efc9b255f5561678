/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_task [--json FILE] [--quick]: what the task runtime costs.
 *
 *	task_ns_median                  submit -> dispatch -> complete of one empty task, seen by
 *					the submitter; one worker thread that spins
 *	tasks_per_s                     two dependencies each, one worker thread
 *	ratio.build_to_prepared         dispatch-side time: the call built when it is handed over,
 *					to the store of a pointer to one that was built at submit
 *	ratio.blocked_one_to_two_rings  time that the submitter was blocked, outputs long-lived
 *	openmp / onetbb / starpu        the same graphs
 *
 * What is compared is run in turns, round by round, and the medians are given: the machine may be
 * busy.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/task_runtime.h"
#include "tests/bench/bench_graphs.h"

#ifndef FNX_BENCH_OPENMP
double graph_openmp(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	(void)tasks, (void)n, (void)cells, (void)n_workers;
	return -1;
}
#endif
#ifndef FNX_BENCH_ONETBB
double graph_onetbb(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	(void)tasks, (void)n, (void)cells, (void)n_workers;
	return -1;
}
#endif
#ifndef FNX_BENCH_STARPU
double graph_starpu(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	(void)tasks, (void)n, (void)cells, (void)n_workers;
	return -1;
}
#endif

enum {
	N_ROUNDS_MAX = 32
};

static unsigned n_rounds = 7;
static uint64_t n_graph = 100000;

static int run_nothing(const struct fnx_call *call, void *context)
{
	(void)call, (void)context;
	return 0;
}

static int run_step(const struct fnx_call *call, void *context)
{
	const struct graph_cell *a = fnx_call_data(call, 0), *b = fnx_call_data(call, 1);
	struct graph_cell *out = fnx_call_data(call, 2);

	(void)context;
	out->value = graph_step(a->value, b->value);
	return 0;
}

/* About as long as a scalar says. */
static int run_busy(const struct fnx_call *call, void *context)
{
	int64_t end_ns = fnx_task_now_ns() + (int64_t)call->scalars[0];

	(void)context;
	while (fnx_task_now_ns() < end_ns)
		fnx_task_relax();
	return 0;
}

enum {
	NOTHING,
	STEP,
	BUSY
};

static const struct fnx_task_kernel kernels[] = {
	{"nothing", 0, run_nothing, NULL, 0},
	{"step", 0, run_step, NULL, 0},
	{"busy", 0, run_busy, NULL, 0},
};

static struct fnx_task_runtime *open_rt(struct fnx_task_config config)
{
	struct fnx_task_problem problem = {.text = ""};
	struct fnx_task_runtime *rt;
	int r;

	config.kinds[0].name = "cpu";
	config.n_kinds = 1;
	config.kernels = kernels;
	config.n_kernels = 3;
	r = fnx_task_runtime_open(&config, &problem, &rt);
	if (r) {
		fprintf(stderr, "bench_task: %s: %s\n", strerror(-r), problem.text);
		exit(1);
	}
	return rt;
}

static void must(int r)
{
	if (r) {
		fprintf(stderr, "bench_task: %s\n", strerror(-r));
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* One empty task at a time
 * --------------------------------------------------------------------------- */

static double round_trip_ns(void)
{
	enum {
		N = 20000
	};
	static double times[N];
	struct fnx_task_runtime *rt = open_rt(
		(struct fnx_task_config){.kinds = {{.n_threads = 1}}, .spin_ns = 100000000});
	uint64_t id;

	for (unsigned i = 0; i < N; i++) {
		int64_t begun_ns = fnx_task_now_ns();

		must(fnx_task_submit(rt, NOTHING, NULL, 0, &id));
		while (fnx_task_state(rt, id) < FNX_TASK_COMPLETED)
			fnx_task_relax();
		times[i] = (double)(fnx_task_now_ns() - begun_ns);
	}
	fnx_task_runtime_close(rt);
	return median(times, N);
}

/* The work alone, both sides on one thread: what it costs when no cache line travels. */
static double one_thread_ns(void)
{
	enum {
		N = 100000
	};
	struct fnx_task_runtime *rt =
		open_rt((struct fnx_task_config){.kinds = {{.n_threads = 0}}});
	int64_t begun_ns = fnx_task_now_ns();
	double ns;

	for (unsigned i = 0; i < N; i++) {
		must(fnx_task_submit(rt, NOTHING, NULL, 0, NULL));
		fnx_task_step(rt, 0);
	}
	ns = (double)(fnx_task_now_ns() - begun_ns) / N;
	fnx_task_runtime_close(rt);
	return ns;
}

/* Graphs
 * --------------------------------------------------------------------------------------------- */

static struct graph_task *make_graph(uint64_t n)
{
	struct graph_task *tasks = malloc(n * sizeof(*tasks));
	uint64_t state = 12345;

	if (!tasks)
		exit(1);
	for (uint64_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < 2; k++) {
			state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
			tasks[i].in[k] = (uint32_t)(state >> 40) % GRAPH_CELLS;
		}
		/* Another cell than those read, as OpenMP wants it. */
		tasks[i].out = (uint32_t)(i % GRAPH_CELLS);
		for (unsigned k = 0; k < 2; k++)
			if (tasks[i].in[k] == tasks[i].out)
				tasks[i].in[k] = (tasks[i].out + 1 + k) % GRAPH_CELLS;
	}
	return tasks;
}

static void fill_cells(struct graph_cell *cells)
{
	for (unsigned i = 0; i < GRAPH_CELLS; i++)
		cells[i].value = i;
}

static double graph_sequential(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	int64_t begun_ns = fnx_task_now_ns();

	(void)n_workers;
	for (uint64_t i = 0; i < n; i++)
		cells[tasks[i].out].value =
			graph_step(cells[tasks[i].in[0]].value, cells[tasks[i].in[1]].value);
	return (double)(fnx_task_now_ns() - begun_ns);
}

static double graph_fornix(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers)
{
	struct fnx_task_runtime *rt = open_rt(
		(struct fnx_task_config){.kinds = {{.n_threads = n_workers}}, .spin_ns = 100000});
	struct fnx_task_arg args[3] = {{.access = FNX_TASK_INPUT}, {.access = FNX_TASK_INPUT},
		{.access = FNX_TASK_OUTPUT}};
	int64_t begun_ns = fnx_task_now_ns();
	double ns;

	for (unsigned k = 0; k < 3; k++)
		args[k].region.element_size = 8;
	for (uint64_t i = 0; i < n; i++) {
		args[0].region.base = &cells[tasks[i].in[0]];
		args[1].region.base = &cells[tasks[i].in[1]];
		args[2].region.base = &cells[tasks[i].out];
		must(fnx_task_submit(rt, STEP, args, 3, NULL));
	}
	must(fnx_task_drain(rt, -1));
	ns = (double)(fnx_task_now_ns() - begun_ns);
	fnx_task_runtime_close(rt);
	return ns;
}

typedef double (*graph_fn)(
	const struct graph_task *tasks, uint64_t n, struct graph_cell *cells, unsigned n_workers);

struct contender {
	const char *name;
	graph_fn run;
	unsigned n_workers;
	double rates[N_ROUNDS_MAX]; /* tasks per second */
	double rate;
	int absent;
};

static void race(struct contender *contenders, unsigned n_contenders)
{
	struct graph_task *tasks = make_graph(n_graph);
	static struct graph_cell cells[GRAPH_CELLS], expected[GRAPH_CELLS];

	fill_cells(expected);
	graph_sequential(tasks, n_graph, expected, 0);
	for (unsigned round = 0; round < n_rounds; round++)
		for (unsigned i = 0; i < n_contenders; i++) {
			struct contender *c = &contenders[i];
			double ns;

			fill_cells(cells);
			ns = c->absent ? -1 : c->run(tasks, n_graph, cells, c->n_workers);
			c->absent = ns < 0;
			if (c->absent)
				continue;
			c->rates[round] = (double)n_graph / ns * 1e9;
			if (memcmp(cells, expected, sizeof(cells))) {
				fprintf(stderr, "bench_task: %s: wrong results\n", c->name);
				exit(1);
			}
		}
	for (unsigned i = 0; i < n_contenders; i++)
		contenders[i].rate =
			contenders[i].absent ? 0 : median(contenders[i].rates, n_rounds);
	free(tasks);
}

/* Handing over
 * --------------------------------------------------------------------------------------- */

enum {
	N_CALLS = 256, /* as many as a window might hold ready */
	N_HANDED = 200000,
	N_TENSORS = 4,
	N_SCALARS = 4,
};

static struct fnx_call calls[N_CALLS];
static struct fnx_task_arg call_args[N_CALLS][N_TENSORS + N_SCALARS];
static struct graph_cell call_memory[N_CALLS];
static _Atomic uint64_t mailbox;

static void fill_calls(void)
{
	for (unsigned i = 0; i < N_CALLS; i++) {
		for (unsigned k = 0; k < N_TENSORS; k++) {
			struct fnx_task_arg *arg = &call_args[i][k];

			arg->access = FNX_TASK_INPUT;
			arg->region = (struct fnx_region){.base = &call_memory[i],
				.element_size = 4,
				.n_dims = 2,
				.shape = {3, 41},
				.strides = {164, 4}};
		}
		for (unsigned k = 0; k < N_SCALARS; k++) {
			call_args[i][N_TENSORS + k].access = FNX_TASK_SCALAR;
			call_args[i][N_TENSORS + k].scalar = k;
		}
		fnx_task_prepare(&calls[i], call_args[i], N_TENSORS + N_SCALARS);
	}
}

static double hand_over_ns(int build)
{
	int64_t begun_ns = fnx_task_now_ns();

	for (unsigned i = 0; i < N_HANDED; i++) {
		struct fnx_call *call = &calls[i % N_CALLS];

		if (build) {
			call->task = i;
			call->kernel = STEP;
			fnx_task_prepare(call, call_args[i % N_CALLS], N_TENSORS + N_SCALARS);
		}
		atomic_store_explicit(&mailbox, (uint64_t)(uintptr_t)call, memory_order_release);
	}
	return (double)(fnx_task_now_ns() - begun_ns) / N_HANDED;
}

/* One ring or two
 * ------------------------------------------------------------------------------------ */

struct rings {
	double blocked_ns; /* per burst */
	double in_flight; /* not CONSUMED, mean at submit */
	uint64_t in_flight_max;
	uint64_t memory; /* of the rings */
};

/* Each task reads what the one `lag` before it wrote and lets go of it: every output lives for
 * `lag` tasks. Bursts are a quarter larger than the window; between them everything runs to its
 * end. */
static struct rings run_rings(int one_ring)
{
	enum {
		WINDOW = 128,
		LAG = WINDOW * 7 / 8,
		BURST = WINDOW * 5 / 4,
		N_BURSTS = 24,
		TASK_NS = 5000,
	};
	struct fnx_task_runtime *rt = open_rt((struct fnx_task_config){.kinds = {{.n_threads = 1}},
		.window = WINDOW,
		.one_ring = one_ring,
		.spin_ns = 50000});
	struct fnx_region outputs[LAG];
	struct fnx_task_stats stats;
	struct rings rings = {.memory = WINDOW * (FNX_TASK_SLOT_SIZE + 8) +
			(one_ring ? 1u : 4u) * WINDOW * sizeof(struct fnx_task_entry)};
	uint64_t n = 0;

	for (unsigned burst = 0; burst < N_BURSTS; burst++) {
		for (unsigned i = 0; i < BURST; i++, n++) {
			struct fnx_task_arg args[3] = {
				{.access = FNX_TASK_SCALAR, .scalar = TASK_NS},
				{.access = FNX_TASK_OUTPUT, .region = {.element_size = 64}},
				{.access = FNX_TASK_INPUT}};
			struct fnx_task_spec spec = {.kernels = {BUSY},
				.n_parts = 1,
				.args = args,
				.n_args = 2,
				.flags = FNX_TASK_HOLD};

			if (n >= LAG) {
				args[2].region = outputs[n % LAG];
				spec.n_args = 3;
			}
			must(fnx_task_submit_spec(rt, &spec, NULL));
			if (n >= LAG)
				fnx_task_drop(rt, outputs[n % LAG].owner);
			outputs[n % LAG] = args[1].region;
			fnx_task_stats(rt, &stats);
			rings.in_flight += (double)stats.rings[FNX_TASK_RING_CONSUMED].used /
				(N_BURSTS * BURST);
		}
		must(fnx_task_wait(rt, n, -1));
	}
	rings.blocked_ns = (double)(stats.rings[FNX_TASK_RING_MAIN].blocked_ns +
				   stats.rings[FNX_TASK_RING_CONSUMED].blocked_ns) /
		N_BURSTS;
	rings.in_flight_max = stats.rings[FNX_TASK_RING_CONSUMED].high_water;
	fnx_task_runtime_close(rt);
	return rings;
}

/* The whole
 * -------------------------------------------------------------------------------------------- */

struct figures {
	double round_trip, one_thread, prepared, built;
	double blocked[2], in_flight[2];
	uint64_t in_flight_max[2], memory[2];
};

static struct figures measure(void)
{
	double values[8][N_ROUNDS_MAX];
	struct figures f = {.round_trip = 0};

	fill_calls();
	for (unsigned i = 0; i < n_rounds; i++) {
		values[0][i] = round_trip_ns();
		values[1][i] = one_thread_ns();
		values[2][i] = hand_over_ns(0);
		values[3][i] = hand_over_ns(1);
		for (int one = 0; one < 2; one++) {
			struct rings rings = run_rings(one);

			values[4 + one][i] = rings.blocked_ns;
			values[6 + one][i] = rings.in_flight;
			f.memory[one] = rings.memory;
			if (rings.in_flight_max > f.in_flight_max[one])
				f.in_flight_max[one] = rings.in_flight_max;
		}
	}
	f.round_trip = median(values[0], n_rounds);
	f.one_thread = median(values[1], n_rounds);
	f.prepared = median(values[2], n_rounds);
	f.built = median(values[3], n_rounds);
	for (int one = 0; one < 2; one++) {
		f.blocked[one] = median(values[4 + one], n_rounds);
		f.in_flight[one] = median(values[6 + one], n_rounds);
	}
	return f;
}

static void print(FILE *out, const struct figures *f, const struct contender *c, unsigned n)
{
	fprintf(out, "{\n  \"task_ns_median\": %.1f,\n  \"task_one_thread_ns\": %.1f,\n",
		f->round_trip, f->one_thread);
	fprintf(out, "  \"tasks_per_s\": %.0f,\n", c[0].rate);
	fprintf(out, "  \"dispatch_prepared_ns\": %.2f,\n  \"dispatch_built_ns\": %.2f,\n",
		f->prepared, f->built);
	for (int one = 0; one < 2; one++)
		fprintf(out,
			"  \"%s\": {\"memory\": %llu, \"blocked_us_per_burst\": %.1f, "
			"\"in_flight_mean\": %.1f, \"in_flight_max\": %llu},\n",
			one ? "one_ring" : "two_rings", (unsigned long long)f->memory[one],
			f->blocked[one] / 1e3, f->in_flight[one],
			(unsigned long long)f->in_flight_max[one]);
	for (unsigned i = 0; i < n; i++)
		if (!c[i].absent)
			fprintf(out, "  \"graph.%s.tasks_per_s\": %.0f,\n", c[i].name, c[i].rate);
	for (unsigned i = 2; i < n; i++)
		if (!c[i].absent)
			fprintf(out, "  \"ratio.fornix_to_%s\": %.2f,\n", c[i].name,
				c[0].rate / c[i].rate);
	fprintf(out, "  \"ratio.build_to_prepared\": %.2f,\n", f->built / f->prepared);
	fprintf(out, "  \"ratio.blocked_one_to_two_rings\": %.2f\n}\n",
		f->blocked[1] / f->blocked[0]);
}

int main(int argc, char **argv)
{
	static const struct option table[] = {{"json", required_argument, NULL, 'j'},
		{"quick", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	/* As many threads for all: the submitter's, which works too in OpenMP, and one more. */
	static struct contender contenders[] = {
		{.name = "fornix", .run = graph_fornix, .n_workers = 1},
		{.name = "sequential", .run = graph_sequential},
		{.name = "openmp", .run = graph_openmp, .n_workers = 1},
		{.name = "onetbb", .run = graph_onetbb, .n_workers = 1},
		{.name = "starpu", .run = graph_starpu, .n_workers = 1},
	};
	const unsigned n_contenders = sizeof(contenders) / sizeof(contenders[0]);
	const char *path = NULL;
	struct figures figures;
	FILE *out;
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 'h') {
			printf("usage: bench_task [--json FILE] [--quick]\n");
			return 0;
		}
		if (option == 'q')
			n_rounds = 3, n_graph = 20000;
		else if (option == 'j')
			path = optarg;
		else
			return 2;
	}
	figures = measure();
	race(contenders, n_contenders);
	print(stdout, &figures, contenders, n_contenders);
	if (!path)
		return 0;
	out = fopen(path, "w");
	if (!out) {
		fprintf(stderr, "bench_task: %s: %s\n", path, strerror(errno));
		return 1;
	}
	print(out, &figures, contenders, n_contenders);
	return fclose(out) ? 1 : 0;
}
