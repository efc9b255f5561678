/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random graphs against the naive model: the same kernels, one after the other, on memory of the
 * model's own. Whatever order the workers found, every word must be the same in the end.
 * FORNIX_TEST_TASKS says how many tasks (150,000 where it is not set).
 */
#include "bus/task.h"

#include "tests/unit/bus/task_fixture.h"

enum {
	N_BUFFERS = 24,
	N_WORDS = 64, /* of a buffer: also an 8 x 8 matrix */
	SIDE = 8,
	N_LOANS = 64, /* heap outputs that are still in scope */
	LOAN_WORDS = 96,
	DEPTH_MAX = 5,
#ifdef FNX_SANITIZED
	N_DEFAULT = 30000,
#else
	N_DEFAULT = 150000,
#endif
};

struct loan {
	struct fnx_region region; /* of the runtime's heap */
	uint64_t words[LOAN_WORDS]; /* the model's */
	uint32_t n_words;
	unsigned depth;
};

struct graph {
	struct check_random *random;
	struct fnx_task_runtime *rt;
	uint64_t memory[N_BUFFERS][N_WORDS];
	uint64_t model[N_BUFFERS][N_WORDS];
	struct loan loans[N_LOANS];
	unsigned n_loans;
	unsigned depth;
	_Atomic uint64_t n_runs;
	uint64_t n_parts;
	uint64_t n_refused;
	/* The task at hand. */
	struct fnx_task_arg args[8];
	unsigned char *bases[8]; /* in the model */
	unsigned n_args;
};

static uint64_t below(struct graph *g, uint64_t n)
{
	return check_random_below(g->random, n);
}

/* A view of a buffer: a run of words, or a box of the matrix. */
static struct fnx_region random_view(struct graph *g, void *base, uint32_t n_words)
{
	struct fnx_region region = {.base = base, .element_size = 8};

	if (n_words == N_WORDS && below(g, 3) == 0) {
		uint32_t row = (uint32_t)below(g, SIDE), column = (uint32_t)below(g, SIDE);
		uint32_t skip = below(g, 4) == 0 ? 2 : 1;

		region.n_dims = 2;
		region.offset = (row * SIDE + column) * 8;
		region.shape[0] = 1 + (uint32_t)below(g, (SIDE - row - 1) / skip + 1);
		region.shape[1] = 1 + (uint32_t)below(g, SIDE - column);
		region.strides[0] = SIDE * skip * 8;
		region.strides[1] = 8;
	} else {
		uint32_t first = (uint32_t)below(g, n_words);

		region.n_dims = 1;
		region.offset = first * 8;
		region.shape[0] = 1 + (uint32_t)below(g, n_words - first);
		if (below(g, 4) == 0) {
			region.shape[0] = (region.shape[0] + 1) / 2;
			region.strides[0] = 16;
		}
	}
	return region;
}

static void add_view(struct graph *g, enum fnx_task_access access, unsigned buffer)
{
	struct fnx_task_arg *arg = &g->args[g->n_args];

	arg->access = access;
	arg->region = random_view(g, g->memory[buffer], N_WORDS);
	g->bases[g->n_args++] = (unsigned char *)g->model[buffer];
}

static void add_loan(struct graph *g, enum fnx_task_access access, struct loan *loan)
{
	struct fnx_task_arg *arg = &g->args[g->n_args];
	struct fnx_region region = random_view(g, loan->region.base, loan->n_words);

	arg->access = access;
	arg->region = region;
	arg->region.owner = loan->region.owner;
	arg->region.offset += loan->region.offset;
	g->bases[g->n_args++] = (unsigned char *)loan->words - loan->region.offset;
}

/* A new output of the heap; its place in the model is kept only if the task is accepted. */
static void add_new_loan(struct graph *g)
{
	struct loan *loan = &g->loans[g->n_loans];
	uint32_t n = 1 + (uint32_t)below(g, LOAN_WORDS);

	loan->n_words = n;
	loan->depth = g->depth;
	g->args[g->n_args] = words(FNX_TASK_OUTPUT, NULL, 0, n);
	g->bases[g->n_args++] = (unsigned char *)loan->words;
}

static void add_scalar(struct graph *g, uint64_t value)
{
	g->args[g->n_args++] = scalar(value);
}

static void end_scope(struct graph *g)
{
	fnx_task_scope_end(g->rt);
	g->depth--;
	while (g->n_loans && g->loans[g->n_loans - 1].depth > g->depth)
		g->n_loans--;
}

/* The same call on the model's memory. */
static void run_model(const struct graph *g, const struct fnx_region *new_region, unsigned new_at,
	unsigned n_parts)
{
	struct fnx_call call = {.n_tensors = 0};

	for (unsigned i = 0; i < g->n_args; i++) {
		const struct fnx_task_arg *arg = &g->args[i];
		struct fnx_call_tensor *tensor = &call.tensors[call.n_tensors];
		uint64_t offset = new_region && i == new_at ? 0 : arg->region.offset;

		if (arg->access == FNX_TASK_SCALAR) {
			call.scalars[call.n_scalars++] = arg->scalar;
			continue;
		}
		tensor->delta = (int64_t)((uintptr_t)g->bases[i] + offset - (uintptr_t)&call);
		tensor->element_size = 8;
		tensor->access = (uint16_t)arg->access;
		tensor->n_dims = (uint16_t)arg->region.n_dims;
		memcpy(tensor->shape, arg->region.shape, sizeof(tensor->shape));
		memcpy(tensor->strides, arg->region.strides, sizeof(tensor->strides));
		call.n_tensors++;
	}
	for (unsigned part = 0; part < n_parts; part++) {
		call.part = (uint8_t)part;
		stir_call(&call);
	}
}

/* 0, or -ENOBUFS. */
static int submit_one(struct graph *g)
{
	struct fnx_task_spec spec = {.args = g->args};
	unsigned new_at = 0, n_tensors, reserved = (unsigned)below(g, N_BUFFERS);
	struct fnx_region *new_region = NULL;
	uint64_t id;
	int r;

	spec.n_parts = below(g, 5) ? 1 : 1 + (unsigned)below(g, 3);
	for (unsigned i = 0; i < spec.n_parts; i++)
		spec.kernels[i] = (uint32_t)below(g, 2);
	g->n_args = 0;
	add_scalar(g, spec.n_parts);
	n_tensors = (unsigned)below(g, 5);
	/* Parts run side by side: what one writes none may read. */
	for (unsigned i = 0; i < n_tensors; i++) {
		enum fnx_task_access access =
			spec.n_parts > 1 ? FNX_TASK_INPUT : 1 + (unsigned)below(g, 3);
		unsigned buffer = (unsigned)below(g, N_BUFFERS);

		if (g->n_loans && below(g, 3) == 0)
			add_loan(g, access, &g->loans[below(g, g->n_loans)]);
		else if (spec.n_parts == 1 || buffer != reserved)
			add_view(g, access, buffer);
	}
	if (g->depth && g->n_loans < N_LOANS && below(g, 3) == 0) {
		new_at = g->n_args;
		new_region = &g->args[new_at].region;
		add_new_loan(g);
	} else {
		add_view(g, FNX_TASK_OUTPUT, reserved);
	}
	add_scalar(g, check_random_u64(g->random));
	spec.n_args = g->n_args;
	r = fnx_task_submit_spec(g->rt, &spec, &id);
	if (r)
		return r;
	if (new_region) {
		assert_int_equal((uintptr_t)new_region->base % 64, 0);
		g->loans[g->n_loans++].region = *new_region;
	}
	g->n_parts += spec.n_parts;
	run_model(g, new_region, new_at, spec.n_parts);
	return 0;
}

static void run_graph(struct graph *g, uint64_t n_tasks)
{
	for (uint64_t i = 0; i < n_tasks;) {
		int r;

		if (g->depth < DEPTH_MAX && below(g, 20) == 0) {
			assert_int_equal(fnx_task_scope_begin(g->rt), 0);
			g->depth++;
		} else if (g->depth && below(g, 30) == 0) {
			end_scope(g);
		}
		r = submit_one(g);
		if (r == -ENOBUFS) {
			/* Only scopes can be the reason, and ending them the cure. */
			assert_true(g->depth > 0);
			assert_true(
				fnx_task_problem(g->rt)->needed > fnx_task_problem(g->rt)->size);
			while (g->depth)
				end_scope(g);
			g->n_refused++;
			continue;
		}
		assert_int_equal(r, 0);
		i++;
	}
	while (g->depth)
		end_scope(g);
}

static uint64_t stress(struct check_random *random, uint64_t n_tasks)
{
	static struct graph g;
	struct fnx_task_kernel kernels[2] = {
		{"one", 0, run_stir, &g.n_runs, 0},
		{"two", 1, run_stir, &g.n_runs, 0},
	};
	struct fnx_task_config config = {.kinds = {{.name = "a"}, {.name = "b"}},
		.n_kinds = 2,
		.kernels = kernels,
		.n_kernels = 2,
		.heap_size = UINT64_C(4096) << check_random_below(random, 4)};

	memset(&g, 0, sizeof(g));
	g.random = random;
	config.kinds[0].n_threads = 1 + (unsigned)check_random_below(random, 4);
	config.kinds[1].n_threads = 1 + (unsigned)check_random_below(random, 4);
	config.window = 8u << check_random_below(random, 6);
	config.consumed_window = config.window << check_random_below(random, 4);
	config.spin_ns = check_random_below(random, 2) ? -1 : 2000;
	config.one_ring = check_random_below(random, 8) == 0;
	if (config.one_ring)
		config.consumed_window = 0;
	for (unsigned i = 0; i < N_BUFFERS * N_WORDS; i++)
		g.memory[i / N_WORDS][i % N_WORDS] = g.model[i / N_WORDS][i % N_WORDS] = i;
	g.rt = open_runtime(&config);
	run_graph(&g, n_tasks);
	check_empty(g.rt);
	assert_int_equal(g.n_runs, g.n_parts);
	assert_memory_equal(g.memory, g.model, sizeof(g.memory));
	fnx_task_runtime_close(g.rt);
	return g.n_refused;
}

TEST(random_graphs_leave_the_same_words_as_one_after_the_other)
{
	struct check_random random = check_random_seeded();
	const char *text = getenv("FORNIX_TEST_TASKS");
	uint64_t n_left = text ? strtoull(text, NULL, 10) : N_DEFAULT, n_refused = 0,
		 n_runtimes = 0;

	while (n_left) {
		uint64_t n = 1 + check_random_below(&random, 5000);

		if (n > n_left)
			n = n_left;
		n_refused += stress(&random, n);
		n_left -= n;
		n_runtimes++;
	}
	print_message("%llu runtimes, %llu submissions refused\n", (unsigned long long)n_runtimes,
		(unsigned long long)n_refused);
	/* Small windows were among them, and scopes that did not fit. */
	assert_true(n_runtimes < 20 || n_refused > 0);
}
