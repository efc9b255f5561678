/* SPDX-License-Identifier: BSD-3-Clause */
/* What a task costs: no allocation and no page fault after start, and no system call but to wake a
 * sleeper. The kernel itself is the witness, as for topics. */
#include "bus/task.h"

#include "tests/support/allocations.h"
#include "tests/unit/bus/task_fixture.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* A trace asks for the time, which on some machines is a system call. */
static struct fnx_task_runtime *open_with(unsigned n_threads, uint32_t n_traced)
{
	static const struct fnx_task_kernel kernels[] = {{"stir", 0, run_stir, NULL, 0}};
	struct fnx_task_config config = {.kinds = {{.name = "compute", .n_threads = n_threads}},
		.n_kinds = 1,
		.kernels = kernels,
		.n_kernels = 1,
		.window = 64,
		.n_traced = n_traced};

	return open_runtime(&config);
}

/* Every call of the path, `n` times over; the number of wrong answers. */
static unsigned walk(struct fnx_task_runtime *rt, unsigned n, int step)
{
	static uint64_t memory[64];
	unsigned n_wrong = 0;
	uint64_t id;

	for (unsigned i = 0; i < n; i++) {
		struct fnx_task_arg args[] = {scalar(2), words(FNX_TASK_INPUT, memory, i % 60, 4),
			words(FNX_TASK_OUTPUT, NULL, 0, 1 + i % 7),
			words(FNX_TASK_INOUT, memory, i % 64, 1)};
		struct fnx_task_spec spec = {
			.kernels = {0, 0}, .n_parts = 2, .args = args, .n_args = 3};

		n_wrong += fnx_task_scope_begin(rt) != 0;
		n_wrong += fnx_task_submit_spec(rt, &spec, &id) != 0;
		args[0].scalar = 1;
		n_wrong += fnx_task_submit(rt, 0, args, 4, NULL) != 0;
		n_wrong += fnx_task_hold(rt, id) != 0;
		fnx_task_scope_end(rt);
		fnx_task_drop(rt, id);
		while (step && fnx_task_step(rt, 0))
			;
		n_wrong += step && fnx_task_state(rt, id) < FNX_TASK_COMPLETED;
	}
	return n_wrong;
}

TEST(after_start_up_tasks_neither_allocate_nor_fault)
{
	for (unsigned n_threads = 0; n_threads < 3; n_threads++) {
		struct fnx_task_runtime *rt = open_with(n_threads, 1024);
		struct rusage before, after;
		uint64_t allocations;

		assert_int_equal(walk(rt, 200, !n_threads), 0);
		assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
		allocations = n_allocations;
		getrusage(RUSAGE_SELF, &before);
		assert_int_equal(walk(rt, 20000, !n_threads), 0);
		assert_int_equal(fnx_task_drain(rt, task_deadline_ns), 0);
		getrusage(RUSAGE_SELF, &after);
		assert_int_equal(n_allocations - allocations, 0);
#ifndef FNX_SANITIZED
		assert_int_equal(after.ru_minflt - before.ru_minflt, 0);
		assert_int_equal(after.ru_majflt - before.ru_majflt, 0);
#endif
		fnx_task_runtime_close(rt);
	}
}

TEST(without_a_sleeper_tasks_do_not_enter_the_kernel)
{
	struct fnx_task_runtime *rt = open_with(0, 0);
	unsigned n_wrong;
	int status;
	pid_t pid;

	assert_int_equal(walk(rt, 10, 1), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
#ifndef FNX_SANITIZED
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			_exit(2);
#endif
		n_wrong = walk(rt, 20000, 1);
		syscall(SYS_exit, n_wrong ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fnx_task_runtime_close(rt);
}

TEST(an_idle_worker_sleeps_and_wakes_for_the_next_task)
{
	struct fnx_task_runtime *rt = open_with(2, 0);
	struct fnx_task_stats stats;
	uint64_t word = 0, n_slept = 0, id;
	struct fnx_task_arg args[] = {scalar(1), words(FNX_TASK_INOUT, &word, 0, 1)};
	int64_t deadline_ns;

	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(fnx_task_submit(rt, 0, args, 2, &id), 0);
		assert_int_equal(fnx_task_wait(rt, id, task_deadline_ns), 0);
		/* Both are asleep once as many have gone to sleep as were woken, and two more. */
		deadline_ns = fixture_now_ns() + 200000;
		while (i % 3 && fixture_now_ns() < deadline_ns)
			;
	}
	fnx_task_stats(rt, &stats);
	n_slept = stats.n_slept;
	assert_true(n_slept > 2);
	check_empty(rt);
	fnx_task_runtime_close(rt);
}
