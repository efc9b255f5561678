/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts of one actuator are told in the order of their decisions, also where an act has ended and its
 * task has not: a moment in which the next act may take its place in the book. This program's own
 * clock_gettime makes that moment as long as it takes: the runtime, with a trace, asks for the time
 * between the two.
 */
#include "nodes/dispatch/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/unit/dispatch/team_fixture.h"

static _Thread_local int is_giver;
static struct fnx_book *_Atomic watched;
static _Atomic int is_held, may_go;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	struct fnx_book *book = atomic_load(&watched);

	if (book && !is_giver && !atomic_load(&may_go) &&
		atomic_load(&book->acts[0].state) >= FNX_ACT_ENDED) {
		atomic_store(&is_held, 1);
		while (!atomic_load(&may_go))
			sched_yield();
	}
	return (int)syscall(SYS_clock_gettime, clock, ret_time);
}

static int give(struct fnx_team *team, uint64_t seq)
{
	const struct fnx_act_command command = {
		.stamp = {.seq = seq}, .decision = {.rule_name = "r"}};

	return fnx_team_give(team, &command);
}

static void check_lines(const char *path, uint64_t n)
{
	FILE *file = fopen(path, "r");
	char line[FNX_ACTUATOR_LINE];
	uint64_t at = 0;

	assert_non_null(file);
	for (; fgets(line, sizeof(line), file); at++) {
		const char *seq = strstr(line, " seq=");

		assert_non_null(seq);
		assert_int_equal(strtoull(seq + 5, NULL, 10), at);
	}
	assert_int_equal(at, n);
	fclose(file);
}

TEST(an_act_does_not_overtake_those_that_wait_though_its_place_was_that_of_a_task_that_ends)
{
	char path[300];
	const struct fnx_actuator_config actuator = {.type = FNX_ACTUATOR_TYPE_LOG, .file = path};
	const struct fnx_team_config config = {
		.actuators = &actuator, .n_actuators = 1, .n_traced = 64};
	struct fnx_task_problem problem;
	struct fnx_team *team;
	int64_t until;
	uint32_t fault;

	is_giver = 1;
	until = end_of_patience();
	snprintf(path, sizeof(path), "%s/acts", check_scratch_dir());
	unlink(path);
	assert_int_equal(fnx_team_open(&config, &problem, &fault, &team), 0);
	atomic_store(&watched, book_of(team));
	assert_int_equal(give(team, 0), 0);
	while (!atomic_load(&is_held)) {
		assert_true(now_ns() < until);
		sched_yield();
	}
	assert_int_equal(take_outcomes(team), 1);
	/* The last of these takes the place of the first. */
	for (uint64_t seq = 1; seq <= FNX_BOOK_ACTS; seq++)
		assert_int_equal(give(team, seq), 0);
	assert_int_equal(counts_of(team).fates[FNX_OUTCOME_TOLD], 1);
	atomic_store(&may_go, 1);
	assert_int_equal(
		await_fates(team, 1 + FNX_BOOK_ACTS).fates[FNX_OUTCOME_TOLD], 1 + FNX_BOOK_ACTS);
	fnx_team_close(team);
	check_lines(path, 1 + FNX_BOOK_ACTS);
}
