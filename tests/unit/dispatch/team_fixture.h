/* SPDX-License-Identifier: BSD-3-Clause */
/* A team of one actuator; its outcomes are taken as the node would take them. */
#pragma once

#include "nodes/dispatch/team.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "tests/support/check.h"

__attribute__((unused)) static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

__attribute__((unused)) static int64_t end_of_patience(void)
{
	return now_ns() + CHECK_PATIENCE_NS;
}

/* What open answers. */
__attribute__((unused)) static int try_team(
	const struct fnx_actuator_config *config, struct fnx_team **ret_team)
{
	const struct fnx_team_config all = {.actuators = config, .n_actuators = 1};
	struct fnx_task_problem problem;
	uint32_t fault;

	return fnx_team_open(&all, &problem, &fault, ret_team);
}

__attribute__((unused)) static struct fnx_team *open_team(const struct fnx_actuator_config *config)
{
	struct fnx_team *team;

	assert_int_equal(try_team(config, &team), 0);
	return team;
}

__attribute__((unused)) static struct fnx_book *book_of(struct fnx_team *team)
{
	return fnx_actuator_giver(fnx_team_actuator(team, 0))->book;
}

__attribute__((unused)) static struct fnx_actuator_counts counts_of(struct fnx_team *team)
{
	return fnx_actuator_counts(fnx_team_actuator(team, 0));
}

/* Takes what has ended out of the book, and looks after the actuator. */
__attribute__((unused)) static unsigned take_outcomes(struct fnx_team *team)
{
	struct fnx_outcome outcome;
	unsigned n = 0;

	for (; fnx_book_next(book_of(team), 0, &outcome); n++) {
		fnx_book_reporting(book_of(team), 0);
		fnx_book_reported(book_of(team));
	}
	fnx_team_tend(team, now_ns());
	return n;
}

/* Until `n` acts have ended in one of the fates. */
__attribute__((unused)) static struct fnx_actuator_counts await_fates(
	struct fnx_team *team, uint64_t n)
{
	int64_t end = end_of_patience();
	struct fnx_actuator_counts counts;
	uint64_t ended;

	do {
		assert_true(now_ns() < end);
		sched_yield();
		take_outcomes(team);
		counts = counts_of(team);
		ended = 0;
		for (unsigned i = 0; i < FNX_OUTCOME_FATES; i++)
			ended += counts.fates[i];
	} while (ended < n);
	return counts;
}
