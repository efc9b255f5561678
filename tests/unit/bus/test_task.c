/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sentences of task.h, one test each. A long file, since all of them need the same few kernels
 * and runtimes; what is random, what is a process and what it costs have files of their own.
 */
#include "bus/task.h"

#include "tests/unit/bus/task_fixture.h"

#include "bus/task_runtime.h"

/* A kernel that fails as its second scalar says; another that waits to be let on. */

static int run_failing(const struct fnx_call *call, void *context)
{
	(void)context;
	stir_call(call);
	return (int)(int64_t)call->scalars[1];
}

static _Atomic int gate;

static int run_gated(const struct fnx_call *call, void *context)
{
	(void)context;
	while (!atomic_load(&gate))
		fnx_task_relax();
	stir_call(call);
	return 0;
}

enum {
	STIR,
	FAILING,
	GATED
};

static _Atomic uint64_t n_runs;

static const struct fnx_task_kernel kernels[] = {
	{"stir", 0, run_stir, &n_runs, 0},
	{"failing", 0, run_failing, NULL, 0},
	{"gated", 1, run_gated, NULL, 0},
};

/* Kind 0 has `n_threads`; kind 1 has one if the other has any. Without threads a test steps. */
static struct fnx_task_config config_with(unsigned n_threads)
{
	atomic_store(&gate, 0);
	atomic_store(&n_runs, 0);
	return (struct fnx_task_config){.kinds = {{.name = "compute", .n_threads = n_threads},
						{.name = "gate", .n_threads = n_threads > 0}},
		.n_kinds = 2,
		.kernels = kernels,
		.n_kernels = 3,
		.window = 16,
		.heap_size = 4096};
}

static uint64_t submit(
	struct fnx_task_runtime *rt, uint32_t kernel, struct fnx_task_arg *args, unsigned n_args)
{
	uint64_t id = 0;

	assert_int_equal(fnx_task_submit(rt, kernel, args, n_args, &id), 0);
	assert_true(id > 0);
	return id;
}

/* What the kernel leaves in memory depends on both. */
static uint64_t stir_word(struct fnx_task_runtime *rt, uint64_t *word, uint64_t value)
{
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_INOUT, word, 0, 1), scalar(value)};

	return submit(rt, STIR, args, 3);
}

static void step_all(struct fnx_task_runtime *rt)
{
	while (fnx_task_step(rt, 0) || fnx_task_step(rt, 1))
		;
}

/* States
 * -------------------------------------------------------------------------------------------- */

/* One that hangs ------------------------------------------------------------------------- */

struct hanging {
	_Atomic int begun, let_go, returned;
	_Atomic uint64_t seen; /* scalar of the call, read when it has been let go */
};

/* Hangs until it is let go, and looks at its call once more. */
static int run_hanging(const struct fnx_call *call, void *context)
{
	struct hanging *hanging = context;

	atomic_store(&hanging->begun, 1);
	for (uint64_t i = 0; i < 3 || !atomic_load(&hanging->let_go); i++)
		sched_yield();
	atomic_store(&hanging->seen, call->scalars[0]);
	atomic_store(&hanging->returned, 1);
	return 0;
}

static struct fnx_task_runtime *open_hanging(struct hanging *hanging)
{
	static struct fnx_task_kernel with_hanging[3];
	struct fnx_task_config config = config_with(1);

	memset(hanging, 0, sizeof(*hanging));
	memcpy(with_hanging, kernels, sizeof(kernels));
	with_hanging[GATED] = (struct fnx_task_kernel){"gated", 1, run_hanging, hanging, 1};
	config.kernels = with_hanging;
	return open_runtime(&config);
}

TEST(a_kernel_that_hangs_can_be_given_up_and_keeps_nothing_but_its_thread)
{
	struct hanging hanging;
	struct fnx_task_runtime *rt = open_hanging(&hanging);
	struct fnx_task_arg outside = scalar(4711), reads[2], args[2] = {scalar(1), scalar(0)};
	struct fnx_task_after after = {0};
	struct fnx_task_spec spec = {.kernels = {STIR},
		.n_parts = 1,
		.args = reads,
		.n_args = 2,
		.after = &after,
		.n_after = 1,
		.flags = FNX_TASK_HOLD};
	uint64_t task, consumer, cause = 0;

	assert_int_equal(fnx_task_submit(rt, GATED, &outside, 1, &task), 0);
	while (!atomic_load(&hanging.begun))
		sched_yield();
	after.task = task;
	reads[0] = scalar(1);
	reads[1] = scalar(2);
	assert_int_equal(fnx_task_submit_spec(rt, &spec, &consumer), 0);
	/* The ring fills up behind it, and comes free with it. */
	spec = (struct fnx_task_spec){.kernels = {STIR},
		.n_parts = 1,
		.args = args,
		.n_args = 2,
		.flags = FNX_TASK_NO_WAIT};
	while (!fnx_task_submit_spec(rt, &spec, NULL))
		;
	assert_int_equal(fnx_task_expire(rt, task + 1, -ETIMEDOUT), -ESRCH);
	assert_int_equal(fnx_task_expire(rt, task, -ETIMEDOUT), 0);
	assert_int_equal(fnx_task_expire(rt, task, -ETIMEDOUT), -ESRCH);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), 0);
	assert_int_equal(fnx_task_wait(rt, consumer, task_deadline_ns), 0);
	assert_int_equal(fnx_task_result(rt, consumer, &cause), -ETIMEDOUT);
	assert_true(cause == task);
	fnx_task_drop(rt, consumer);
	check_empty(rt);
	/* What it does later is done to nobody. */
	atomic_store(&hanging.let_go, 1);
	while (!atomic_load(&hanging.returned))
		sched_yield();
	assert_true(atomic_load(&hanging.seen) == 4711);
	assert_int_equal(fnx_task_submit(rt, GATED, &outside, 1, &task), 0);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(a_kernel_that_may_hang_and_does_not_ends_its_task_itself)
{
	struct hanging hanging;
	struct fnx_task_runtime *rt = open_hanging(&hanging);
	struct fnx_task_arg arg = scalar(5);
	unsigned n_expired = 0;

	atomic_store(&hanging.let_go, 1);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t task;

		assert_int_equal(fnx_task_submit(rt, GATED, &arg, 1, &task), 0);
		/* Whoever is first: exactly one of the two ends it, or the states would say so. */
		while (fnx_task_state(rt, task) < FNX_TASK_COMPLETED)
			n_expired += !fnx_task_expire(rt, task, -ETIMEDOUT);
	}
	check_empty(rt);
	print_message("%u of 2000 were given up\n", n_expired);
	fnx_task_runtime_close(rt);
}

TEST(the_submitter_runs_what_has_no_threads_and_its_consumers_directly)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t memory[4] = {0};
	struct fnx_task_arg args[2] = {scalar(1), words(FNX_TASK_INOUT, memory, 0, 4)};

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), 0);
	/* One was ready; the others became so by it. */
	assert_int_equal(fnx_task_help(rt, 0), 1);
	assert_int_equal(atomic_load(&n_runs), 4);
	assert_int_equal(fnx_task_help(rt, 0), 0);
	assert_int_equal(fnx_task_help(rt, 7), 0);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

/* The ring goes round several times. */
TEST(fetching_for_tasks_to_come_changes_nothing_of_them)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *fetched = open_runtime(&config), *plain = open_runtime(&config);
	uint64_t memory[2] = {0, 0};

	for (uint64_t i = 1; i <= 100; i++) {
		fnx_task_fetch(fetched, 0, 3);
		assert_int_equal(stir_word(fetched, &memory[0], i), i);
		stir_word(plain, &memory[1], i);
		fnx_task_fetch(fetched, 0, 3);
		assert_int_equal(fnx_task_help(fetched, 0), 1);
		assert_int_equal(fnx_task_help(plain, 0), 1);
		assert_true(memory[0] == memory[1] && memory[0] != 0);
	}
	check_empty(fetched);
	fnx_task_runtime_close(fetched);
	fnx_task_runtime_close(plain);
}

TEST(a_task_may_go_to_the_next_state_and_to_no_other)
{
	for (int from = -1; from < 9; from++)
		for (int to = -1; to < 9; to++)
			assert_int_equal(
				fnx_task_may_go((enum fnx_task_state)from, (enum fnx_task_state)to),
				from >= FNX_TASK_NONE && from < FNX_TASK_CONSUMED &&
					to == from + 1);
}

TEST(a_step_outside_the_table_is_refused_and_counted)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t word = 0, id = stir_word(rt, &word, 1), n = 0;
	struct fnx_task_stats stats;

	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_READY);
	for (int from = FNX_TASK_NONE; from <= FNX_TASK_CONSUMED; from++)
		for (int to = FNX_TASK_NONE; to <= FNX_TASK_CONSUMED; to++) {
			if (from == FNX_TASK_READY && to == FNX_TASK_RUNNING)
				continue;
			assert_int_equal(fnx_task_go(&rt->self, id, (enum fnx_task_state)from,
						 (enum fnx_task_state)to, 0),
				0);
			n++;
		}
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_READY);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.n_illegal, n);
	fnx_task_runtime_close(rt);
}

TEST(a_task_is_seen_in_each_of_its_states)
{
	struct fnx_task_config config = config_with(1);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_OUTPUT, NULL, 0, 8)};
	struct fnx_task_arg reads[] = {scalar(1), words(FNX_TASK_INPUT, NULL, 0, 8)};
	uint64_t first, second;

	assert_int_equal(fnx_task_state(rt, 1), FNX_TASK_NONE);
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	first = submit(rt, GATED, args, 2);
	reads[1].region = args[1].region;
	second = submit(rt, STIR, reads, 2);
	assert_int_equal(fnx_task_state(rt, second), FNX_TASK_PENDING);
	assert_int_equal(fnx_task_result(rt, second, NULL), 1);
	while (fnx_task_state(rt, first) != FNX_TASK_RUNNING)
		fnx_task_relax();
	assert_int_equal(fnx_task_wait(rt, first, 1000000), -ETIMEDOUT);
	assert_int_equal(fnx_task_drain(rt, 1000000), -ETIMEDOUT);
	atomic_store(&gate, 1);
	assert_int_equal(fnx_task_wait(rt, second, task_deadline_ns), 0);
	assert_int_equal(fnx_task_result(rt, second, NULL), 0);
	assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
	/* The scope keeps both. */
	assert_int_equal(fnx_task_state(rt, first), FNX_TASK_RELEASED);
	assert_int_equal(fnx_task_state(rt, second), FNX_TASK_RELEASED);
	fnx_task_scope_end(rt);
	assert_int_equal(fnx_task_state(rt, first), FNX_TASK_CONSUMED);
	assert_int_equal(fnx_task_result(rt, first, NULL), -ESTALE);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

/* It has the rest of the process for itself, and what it uses. */
TEST(a_runtime_is_closed_without_a_thread_that_does_not_come_back)
{
	static struct fnx_task_runtime *rt;
	static uint64_t cells[8];
	struct fnx_task_config config = config_with(1);
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_OUTPUT, cells, 0, 8)};
	int64_t until_ns = fnx_task_now_ns() + task_deadline_ns;
	uint64_t task;

	atomic_store(&gate, 1);
	rt = open_runtime(&config);
	submit(rt, GATED, args, 2);
	assert_int_equal(fnx_task_runtime_close_within(rt, task_deadline_ns), 0);
	atomic_store(&gate, 0);
	rt = open_runtime(&config);
	task = submit(rt, GATED, args, 2);
	while (fnx_task_state(rt, task) != FNX_TASK_RUNNING)
		fnx_task_relax();
	assert_int_equal(fnx_task_runtime_close_within(rt, 1000000), -ETIMEDOUT);
	assert_int_equal(fnx_task_state(rt, task), FNX_TASK_RUNNING);
	atomic_store(&gate, 1);
	while (!atomic_load(&rt->threads[0].has_ended)) {
		assert_true(fnx_task_now_ns() < until_ns);
		fnx_task_relax();
	}
}

/* Order
 * --------------------------------------------------------------------------------------------- */

TEST(writers_wait_for_readers_and_readers_for_writers_and_readers_for_nobody)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t word = 5, out[2] = {0, 0};
	struct fnx_task_arg write[] = {scalar(1), words(FNX_TASK_OUTPUT, &word, 0, 1)};
	struct fnx_task_arg read[] = {scalar(1), words(FNX_TASK_INPUT, &word, 0, 1),
		words(FNX_TASK_OUTPUT, &out[0], 0, 1)};
	uint64_t writer, readers[2], second_writer;

	writer = submit(rt, STIR, write, 2);
	readers[0] = submit(rt, STIR, read, 3);
	read[2].region.base = &out[1];
	readers[1] = submit(rt, STIR, read, 3);
	second_writer = submit(rt, STIR, write, 2);
	assert_int_equal(fnx_task_state(rt, writer), FNX_TASK_READY);
	assert_int_equal(fnx_task_state(rt, readers[0]), FNX_TASK_PENDING);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_state(rt, readers[0]), FNX_TASK_READY);
	assert_int_equal(fnx_task_state(rt, readers[1]), FNX_TASK_READY);
	assert_int_equal(fnx_task_state(rt, second_writer), FNX_TASK_PENDING);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_state(rt, second_writer), FNX_TASK_PENDING);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_state(rt, second_writer), FNX_TASK_READY);
	step_all(rt);
	assert_int_equal(out[0], out[1]);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(a_covering_writer_cuts_the_chain_and_a_smaller_one_does_not)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t memory[8] = {0};
	struct fnx_task_arg part[] = {scalar(1), words(FNX_TASK_OUTPUT, memory, 2, 2)};
	struct fnx_task_arg whole[] = {scalar(1), words(FNX_TASK_OUTPUT, memory, 0, 8)};
	struct fnx_task_arg read[] = {scalar(1), words(FNX_TASK_INPUT, memory, 0, 8)};

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	submit(rt, STIR, part, 2);
	submit(rt, STIR, whole, 2);
	submit(rt, STIR, read, 2);
	/* One dependency each: the reader's is the covering writer alone. */
	assert_int_equal(fnx_task_slot(rt, 2)->n_deps, 1);
	assert_int_equal(fnx_task_slot(rt, 3)->n_deps, 1);
	submit(rt, STIR, part, 2);
	submit(rt, STIR, read, 2);
	/* The last whole writer, the reader; then both writers. */
	assert_int_equal(fnx_task_slot(rt, 4)->n_deps, 2);
	assert_int_equal(fnx_task_slot(rt, 5)->n_deps, 2);
	step_all(rt);
	fnx_task_scope_end(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(a_task_that_depends_on_one_in_three_ways_waits_for_it_once)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t memory[4] = {0}, id;
	struct fnx_task_arg first[] = {scalar(1), words(FNX_TASK_OUTPUT, memory, 0, 4)};
	struct fnx_task_arg second[] = {scalar(1), words(FNX_TASK_INPUT, memory, 0, 1),
		words(FNX_TASK_INOUT, memory, 2, 2)};
	struct fnx_task_after after = {.task = submit(rt, STIR, first, 2)};
	struct fnx_task_spec spec = {.kernels = {STIR},
		.n_parts = 1,
		.args = second,
		.n_args = 3,
		.after = &after,
		.n_after = 1};

	assert_int_equal(fnx_task_submit_spec(rt, &spec, &id), 0);
	assert_int_equal(fnx_task_slot(rt, id)->n_deps, 1);
	step_all(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(an_extra_dependency_orders_tasks_that_share_no_memory)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t a = 0, b = 0, id;
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_INOUT, &b, 0, 1)};
	struct fnx_task_after after = {.task = stir_word(rt, &a, 1)};
	struct fnx_task_spec spec = {.kernels = {STIR},
		.n_parts = 1,
		.args = args,
		.n_args = 2,
		.after = &after,
		.n_after = 1};

	assert_int_equal(fnx_task_submit_spec(rt, &spec, &id), 0);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_PENDING);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_READY);
	/* One that is long gone is no dependency, one to come is none that could be. */
	step_all(rt);
	check_empty(rt);
	assert_int_equal(fnx_task_submit_spec(rt, &spec, &id), 0);
	after.task = id + 1;
	assert_int_equal(fnx_task_submit_spec(rt, &spec, NULL), -EINVAL);
	step_all(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(a_task_of_three_parts_is_complete_when_all_three_have_run)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t out[6] = {0}, expected[6] = {0}, id;
	struct fnx_task_arg args[] = {scalar(3), words(FNX_TASK_OUTPUT, out, 0, 6)};
	struct fnx_task_arg alone[] = {scalar(3), words(FNX_TASK_OUTPUT, expected, 0, 6)};
	struct fnx_task_spec spec = {
		.kernels = {STIR, GATED, STIR}, .n_parts = 3, .args = args, .n_args = 2};

	atomic_store(&gate, 1);
	assert_int_equal(fnx_task_submit_spec(rt, &spec, &id), 0);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_RUNNING);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_step(rt, 0), 0);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_RUNNING);
	assert_int_equal(fnx_task_step(rt, 1), 1);
	assert_true(fnx_task_state(rt, id) >= FNX_TASK_COMPLETED);
	spec.args = alone;
	spec.kernels[1] = STIR;
	assert_int_equal(fnx_task_submit_spec(rt, &spec, NULL), 0);
	step_all(rt);
	assert_memory_equal(out, expected, sizeof(out));
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(outputs_without_an_address_share_one_aligned_buffer)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_arg args[] = {
		scalar(1), words(FNX_TASK_OUTPUT, NULL, 0, 3), words(FNX_TASK_OUTPUT, NULL, 0, 9)};
	uint64_t id;

	/* Nothing would keep it. */
	assert_int_equal(fnx_task_submit(rt, STIR, args, 3, NULL), -EINVAL);
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	id = submit(rt, STIR, args, 3);
	assert_int_equal((uintptr_t)args[1].region.base % 64, 0);
	assert_ptr_equal(args[1].region.base, args[2].region.base);
	assert_int_equal(args[1].region.offset, 0);
	assert_int_equal(args[2].region.offset, 64);
	assert_int_equal(args[1].region.owner, id);
	step_all(rt);
	assert_true(((uint64_t *)args[1].region.base)[0] != 0);
	fnx_task_scope_end(rt);
	check_empty(rt);
	/* The buffer is gone, and its address is nobody's. */
	args[1].access = FNX_TASK_INPUT;
	assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), -ESTALE);
	args[1].region.owner = 0;
	assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), -EINVAL);
	fnx_task_runtime_close(rt);
}

TEST(a_buffer_lives_for_its_readers_even_if_another_has_written_it_since)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_arg made[] = {scalar(1), words(FNX_TASK_OUTPUT, NULL, 0, 4)};
	struct fnx_task_arg changed[] = {scalar(1), {.access = FNX_TASK_INOUT}};
	uint64_t owner, writer, reader;

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	owner = submit(rt, STIR, made, 2);
	changed[1].region = made[1].region;
	writer = submit(rt, STIR, changed, 2);
	changed[1].access = FNX_TASK_INPUT;
	reader = submit(rt, STIR, changed, 2);
	fnx_task_scope_end(rt);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	assert_int_equal(fnx_task_state(rt, reader), FNX_TASK_READY);
	assert_int_equal(fnx_task_state(rt, writer), FNX_TASK_RELEASED);
	assert_int_equal(fnx_task_state(rt, owner), FNX_TASK_RELEASED);
	assert_int_equal(fnx_task_step(rt, 0), 1);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(what_is_held_outlives_its_scope_until_it_is_dropped)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_arg made[] = {scalar(1), words(FNX_TASK_OUTPUT, NULL, 0, 4)};
	uint64_t id;

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	id = submit(rt, STIR, made, 2);
	assert_int_equal(fnx_task_hold(rt, id), 0);
	assert_int_equal(fnx_task_hold(rt, id + 1), -ESTALE);
	fnx_task_scope_end(rt);
	step_all(rt);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_RELEASED);
	fnx_task_drop(rt, id);
	assert_int_equal(fnx_task_state(rt, id), FNX_TASK_CONSUMED);
	assert_int_equal(fnx_task_hold(rt, id), -ESTALE);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(nested_scopes_keep_what_is_theirs)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t word = 0, outer, inner, later;
	unsigned n;

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	outer = stir_word(rt, &word, 1);
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	inner = stir_word(rt, &word, 2);
	step_all(rt);
	fnx_task_scope_end(rt);
	later = stir_word(rt, &word, 3);
	step_all(rt);
	assert_int_equal(fnx_task_state(rt, outer), FNX_TASK_RELEASED);
	assert_int_equal(fnx_task_state(rt, inner), FNX_TASK_CONSUMED);
	assert_int_equal(fnx_task_state(rt, later), FNX_TASK_RELEASED);
	fnx_task_scope_end(rt);
	check_empty(rt);
	for (n = 0; fnx_task_scope_begin(rt) == 0; n++)
		;
	assert_int_equal(n, FNX_TASK_SCOPES_MAX);
	while (n--)
		fnx_task_scope_end(rt);
	fnx_task_runtime_close(rt);
}

/* Failure
 * ------------------------------------------------------------------------------------------- */

TEST(consumers_of_a_failed_task_fail_with_its_cause_and_others_go_on)
{
	struct fnx_task_config config = config_with(2);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t a = 0, b = 0, c = 0, cause = 0, failed, reader, second, other, over, after, strict;
	struct fnx_task_arg fails[] = {
		scalar(1), scalar((uint64_t)-EIO), words(FNX_TASK_OUTPUT, &a, 0, 1)};
	struct fnx_task_arg reads[] = {
		scalar(1), words(FNX_TASK_INPUT, &a, 0, 1), words(FNX_TASK_OUTPUT, &b, 0, 1)};
	struct fnx_task_arg chained[] = {scalar(1), words(FNX_TASK_INOUT, &b, 0, 1)};
	struct fnx_task_arg overwrites[] = {scalar(1), words(FNX_TASK_OUTPUT, &a, 0, 1)};
	struct fnx_task_after edge = {.any_end = 1};
	struct fnx_task_spec spec = {.kernels = {STIR}, .n_parts = 1, .after = &edge, .n_after = 1};
	struct fnx_task_arg one[] = {scalar(1)};
	struct fnx_task_stats stats;

	spec.args = one;
	spec.n_args = 1;
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	failed = submit(rt, FAILING, fails, 3);
	reader = submit(rt, STIR, reads, 3);
	second = submit(rt, STIR, chained, 2);
	other = stir_word(rt, &c, 1);
	over = submit(rt, STIR, overwrites, 2);
	edge.task = failed;
	assert_int_equal(fnx_task_submit_spec(rt, &spec, &after), 0);
	edge.any_end = 0;
	assert_int_equal(fnx_task_submit_spec(rt, &spec, &strict), 0);
	assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
	assert_int_equal(fnx_task_result(rt, failed, &cause), -EIO);
	assert_int_equal(cause, failed);
	assert_int_equal(fnx_task_result(rt, reader, &cause), -EIO);
	assert_int_equal(cause, failed);
	cause = 0;
	assert_int_equal(fnx_task_result(rt, second, &cause), -EIO);
	assert_int_equal(cause, failed);
	assert_int_equal(b, 0);
	assert_int_equal(fnx_task_result(rt, other, NULL), 0);
	assert_int_equal(fnx_task_result(rt, over, NULL), 0);
	assert_int_equal(fnx_task_result(rt, after, NULL), 0);
	assert_int_equal(fnx_task_result(rt, strict, NULL), -EIO);
	/* Also for one that comes after the failure. */
	assert_int_equal(fnx_task_result(rt, submit(rt, STIR, chained, 2), NULL) != 0, 1);
	fnx_task_scope_end(rt);
	check_empty(rt);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.n_failed, 5);
	assert_int_equal(n_runs, 3);
	fnx_task_runtime_close(rt);
}

/* Which tasks fail is decided by the graph alone: compared with a model over random graphs. */
TEST(random_failures_spread_as_far_as_the_results_would_have)
{
	enum {
		N = 60,
		CELLS = 12
	};
	struct check_random random = check_random_seeded();

	for (unsigned round = 0; round < 200; round++) {
		struct fnx_task_config config = config_with(1 + round % 4);
		uint64_t cells[CELLS] = {0}, ids[N], cause;
		int bad[CELLS] = {0}, expected[N], result;
		struct fnx_task_runtime *rt;

		config.window = 64;
		rt = open_runtime(&config);
		assert_int_equal(fnx_task_scope_begin(rt), 0);
		for (unsigned i = 0; i < N; i++) {
			uint64_t in = check_random_below(&random, CELLS);
			uint64_t out = check_random_below(&random, CELLS);
			int inout = check_random_below(&random, 2) == 0;
			int fails = check_random_below(&random, 10) == 0;
			struct fnx_task_arg args[] = {scalar(1), scalar(fails ? (uint64_t)-EIO : 0),
				words(FNX_TASK_INPUT, &cells[in], 0, 1),
				words(inout ? FNX_TASK_INOUT : FNX_TASK_OUTPUT, &cells[out], 0, 1)};

			expected[i] = fails || bad[in] || (inout && bad[out]);
			bad[out] = expected[i];
			ids[i] = submit(rt, FAILING, args, 4);
		}
		assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
		for (unsigned i = 0; i < N; i++) {
			result = fnx_task_result(rt, ids[i], &cause);
			assert_int_equal(result, expected[i] ? -EIO : 0);
		}
		fnx_task_scope_end(rt);
		check_empty(rt);
		fnx_task_runtime_close(rt);
	}
}

/* Limits
 * -------------------------------------------------------------------------------------------- */

TEST(a_full_main_ring_pushes_back_and_says_for_how_long)
{
	struct fnx_task_config config = config_with(1);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_arg one[] = {scalar(1)};
	struct fnx_task_spec spec = {.kernels = {GATED},
		.n_parts = 1,
		.args = one,
		.n_args = 1,
		.flags = FNX_TASK_NO_WAIT};
	struct fnx_task_stats stats;

	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(fnx_task_submit_spec(rt, &spec, NULL), 0);
	assert_int_equal(fnx_task_submit_spec(rt, &spec, NULL), -EAGAIN);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.n_submitted, 16);
	assert_int_equal(stats.rings[FNX_TASK_RING_MAIN].used, 16);
	assert_int_equal(stats.rings[FNX_TASK_RING_MAIN].n_blocked, 0);
	atomic_store(&gate, 1);
	spec.flags = 0;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(fnx_task_submit_spec(rt, &spec, NULL), 0);
	check_empty(rt);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.rings[FNX_TASK_RING_MAIN].high_water, 16);
	assert_true(stats.rings[FNX_TASK_RING_MAIN].n_blocked > 0);
	assert_true(stats.rings[FNX_TASK_RING_MAIN].blocked_ns > 0);
	fnx_task_runtime_close(rt);
}

TEST(a_scope_larger_than_the_consumed_window_is_refused_with_the_size_that_would_do)
{
	struct fnx_task_config config = config_with(1);
	const struct fnx_task_problem *problem;
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t word = 0;
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_INOUT, &word, 0, 1)};

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	for (unsigned i = 0; i < 64; i++)
		submit(rt, STIR, args, 2);
	assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), -ENOBUFS);
	problem = fnx_task_problem(rt);
	assert_string_equal(problem->ring, "consumed");
	assert_int_equal(problem->size, 64);
	assert_int_equal(problem->needed, 128);
	assert_non_null(strstr(problem->text, "128 would do"));
	/* The scope's end is the cure; and with what was said it is none too large. */
	fnx_task_scope_end(rt);
	submit(rt, STIR, args, 2);
	check_empty(rt);
	fnx_task_runtime_close(rt);
	config.consumed_window = 128;
	rt = open_runtime(&config);
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	for (unsigned i = 0; i < 65; i++)
		submit(rt, STIR, args, 2);
	fnx_task_scope_end(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

static const struct fnx_task_spec one_more = {.kernels = {STIR},
	.n_parts = 1,
	.args = &(struct fnx_task_arg){.access = FNX_TASK_SCALAR, .scalar = 1},
	.n_args = 1,
	.flags = FNX_TASK_NO_WAIT};

static struct fnx_task_runtime *open_one_ring(void)
{
	struct fnx_task_config config = config_with(0);

	config.one_ring = 1;
	return open_runtime(&config);
}

/* Nothing of it has run, so neither watermark has moved: waiting would be for ever. */
TEST(a_scope_that_fills_the_one_ring_is_refused_before_any_of_it_has_run)
{
	struct fnx_task_runtime *rt = open_one_ring();

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), 0);
	assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), -ENOBUFS);
	assert_string_equal(fnx_task_problem(rt)->ring, "main");
	assert_int_equal(fnx_task_problem(rt)->needed, 32);
	fnx_task_scope_end(rt);
	step_all(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

/* Somebody has been taken off the processor while he moved last_released, and last_consumed has
 * overtaken it. What is held has room in the ring, and says nothing about the slot that is wanted. */
TEST(with_one_ring_a_slot_that_waits_for_last_released_is_no_reason_to_refuse)
{
	struct fnx_task_runtime *rt = open_one_ring();

	atomic_store(&rt->header->released_lock, 1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), 0);
	step_all(rt);
	assert_int_equal(fnx_task_scope_begin(rt), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), 0);
	assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), -EAGAIN);
	assert_true(rt->released < rt->consumed);
	atomic_store(&rt->header->released_lock, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), 0);
	assert_int_equal(fnx_task_submit_spec(rt, &one_more, NULL), -ENOBUFS);
	fnx_task_scope_end(rt);
	step_all(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(an_output_larger_than_the_heap_is_refused_and_one_as_large_is_not)
{
	struct fnx_task_config config = config_with(1);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_OUTPUT, NULL, 0, 513)};

	assert_int_equal(fnx_task_scope_begin(rt), 0);
	assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), -ENOBUFS);
	assert_string_equal(fnx_task_problem(rt)->ring, "heap");
	assert_int_equal(fnx_task_problem(rt)->size, 4096);
	assert_int_equal(fnx_task_problem(rt)->needed, 8192);
	args[1].region.shape[0] = 1;
	submit(rt, STIR, args, 2);
	fnx_task_scope_end(rt);
	assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
	/* Wherever the ring stands: an empty one takes the largest. */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fnx_task_scope_begin(rt), 0);
		args[1] = words(FNX_TASK_OUTPUT, NULL, 0, 512);
		submit(rt, STIR, args, 2);
		/* Held by the scope, it leaves no room for another. */
		args[1] = words(FNX_TASK_OUTPUT, NULL, 0, 1);
		assert_int_equal(fnx_task_submit(rt, STIR, args, 2, NULL), -ENOBUFS);
		assert_string_equal(fnx_task_problem(rt)->ring, "heap");
		assert_int_equal(fnx_task_problem(rt)->needed, 8192);
		fnx_task_scope_end(rt);
	}
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(a_task_against_the_rules_is_refused_and_leaves_no_trace)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_runtime *rt = open_runtime(&config);
	uint64_t memory[4] = {0};
	struct fnx_task_arg args[FNX_TASK_TENSORS_MAX + FNX_TASK_SCALARS_MAX + 1];
	struct fnx_task_stats stats;

	for (unsigned i = 0; i <= FNX_TASK_TENSORS_MAX; i++)
		args[i] = words(FNX_TASK_INPUT, memory, 0, 1);
	assert_int_equal(fnx_task_submit(rt, STIR, args, FNX_TASK_TENSORS_MAX + 1, NULL), -EINVAL);
	args[0] = words(FNX_TASK_INPUT, NULL, 0, 1);
	assert_int_equal(fnx_task_submit(rt, STIR, args, 1, NULL), -EINVAL);
	args[0] = words(FNX_TASK_INPUT, memory, 0, 0);
	assert_int_equal(fnx_task_submit(rt, STIR, args, 1, NULL), -EINVAL);
	args[0] = words(FNX_TASK_INPUT, memory, UINT64_MAX / 8, 1);
	assert_int_equal(fnx_task_submit(rt, STIR, args, 1, NULL), -EINVAL);
	args[0] = words(FNX_TASK_INPUT, memory, 0, 1);
	args[0].region.n_dims = FNX_TASK_DIMS_MAX + 1;
	assert_int_equal(fnx_task_submit(rt, STIR, args, 1, NULL), -EINVAL);
	args[0] = words((enum fnx_task_access)0, memory, 0, 1);
	assert_int_equal(fnx_task_submit(rt, STIR, args, 1, NULL), -EINVAL);
	args[0] = words(FNX_TASK_INPUT, memory, 0, 1);
	args[0].region.owner = 1;
	assert_int_equal(fnx_task_submit(rt, STIR, args, 1, NULL), -EINVAL);
	assert_int_equal(fnx_task_submit(rt, 3, args, 0, NULL), -EINVAL);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.n_submitted, 0);
	/* As many as may be. */
	for (unsigned i = 0; i < FNX_TASK_TENSORS_MAX; i++) {
		args[2 * i] = words(FNX_TASK_INPUT, memory, i % 4, 1);
		args[2 * i + 1] = scalar(1);
	}
	submit(rt, STIR, args, FNX_TASK_TENSORS_MAX + FNX_TASK_SCALARS_MAX);
	step_all(rt);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}

TEST(the_environment_overrides_and_the_sizes_in_force_are_told)
{
	struct fnx_task_config config = config_with(0);
	struct fnx_task_problem problem;
	struct fnx_task_runtime *rt;
	struct fnx_task_stats stats;
	char text[200];

	setenv("FORNIX_TASK_WINDOW", "32", 1);
	setenv("FORNIX_TASK_HEAP", "5000", 1);
	rt = open_runtime(&config);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.rings[FNX_TASK_RING_MAIN].size, 32);
	assert_int_equal(stats.rings[FNX_TASK_RING_CONSUMED].size, 128);
	assert_int_equal(stats.rings[FNX_TASK_RING_HEAP].size, 8192);
	assert_true(fnx_task_describe(rt, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "window 32, consumed window 128, heap 8192 bytes"));
	fnx_task_runtime_close(rt);
	setenv("FORNIX_TASK_CONSUMED_WINDOW", "256", 1);
	rt = open_runtime(&config);
	fnx_task_stats(rt, &stats);
	assert_int_equal(stats.rings[FNX_TASK_RING_CONSUMED].size, 256);
	fnx_task_runtime_close(rt);
	setenv("FORNIX_TASK_CONSUMED_WINDOW", "16", 1);
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	assert_non_null(strstr(problem.text, "no less than the window"));
	setenv("FORNIX_TASK_WINDOW", "33", 1);
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	assert_int_equal(problem.needed, 64);
	setenv("FORNIX_TASK_WINDOW", "4", 1);
	assert_int_equal(fnx_task_runtime_open(&config, NULL, &rt), -EINVAL);
	setenv("FORNIX_TASK_WINDOW", "many", 1);
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	assert_string_equal(problem.ring, "FORNIX_TASK_WINDOW");
	unsetenv("FORNIX_TASK_WINDOW");
	unsetenv("FORNIX_TASK_HEAP");
	unsetenv("FORNIX_TASK_CONSUMED_WINDOW");
}

TEST(a_worker_runs_the_consumer_that_it_readied)
{
	struct fnx_task_config config = config_with(1);
	struct fnx_task_runtime *rt = open_runtime(&config);
	struct fnx_task_stats stats;
	uint64_t word = 0;
	struct fnx_task_arg gated[] = {scalar(1), words(FNX_TASK_INOUT, &word, 0, 1)};

	submit(rt, GATED, gated, 2);
	for (unsigned i = 0; i < 10; i++)
		stir_word(rt, &word, i);
	atomic_store(&gate, 1);
	check_empty(rt);
	fnx_task_stats(rt, &stats);
	/* The first comes from a worker of another kind, by the queue. */
	assert_int_equal(stats.n_taken_directly, 9);
	fnx_task_runtime_close(rt);
}

TEST(opening_without_descriptors_or_with_bad_kinds_says_so)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_task_config config = config_with(1);
	struct fnx_task_problem problem;
	struct fnx_task_runtime *rt = NULL;
	struct rlimit limit;
	int before = n_descriptors();

	config.kinds[0].n_processes = 1;
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	config.bus = &bus;
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	config.name = "tasks";
	config.kinds[0].n_threads = 100;
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	config.kinds[0].n_threads = 1;
	limit = limit_descriptors(0);
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EMFILE);
	lift_limit(&limit);
	assert_null(rt);
	config.n_kernels = 0;
	assert_int_equal(fnx_task_runtime_open(&config, &problem, &rt), -EINVAL);
	assert_int_equal(n_descriptors(), before);
}
