/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rehearsals. A processor that has waited awake for a millisecond has much else in its caches, and
 * most of what a decision takes is fetching what it runs and writes: done every now and then, the
 * same way takes a quarter of the time.
 */
#include "nodes/dispatch/team_parts.h"

/* Where the next act will be written down. */
static void fetch_places(const struct fnx_team *team)
{
	for (uint32_t i = 0; i < team->n; i++) {
		const struct member *member = &team->members[i];
		uint64_t place = atomic_load_explicit(&member->book->given, memory_order_relaxed) %
			FNX_BOOK_ACTS;
		const unsigned char *act = (const void *)&member->book->acts[place];

		for (size_t at = 0; at < sizeof(struct fnx_act); at += FNX_CACHE_LINE)
			__builtin_prefetch(act + at, 1);
		__builtin_prefetch(&member->tasks[place], 1);
	}
}

static void rehearse_book(struct fnx_team *team, const struct fnx_act_command *command)
{
	struct fnx_book *book = &team->stage_book;
	uint64_t n;

	if (!fnx_book_was_given(&team->stage_giver, command) &&
		!fnx_book_give(&team->stage_giver, command, &n))
		fnx_book_end(book, n, FNX_OUTCOME_TOLD, 0, 0);
	fnx_book_reported(book);
}

/* 1: nothing is in the ring. Behind an act, or an actuator that is being prepared, rehearsals would
 * fill it, and who is at that would be given up for it. */
static int is_clear(const struct fnx_team *team)
{
	struct fnx_task_stats stats;

	fnx_task_stats(team->rt, &stats);
	return stats.last_released == stats.n_submitted;
}

/* As fnx_team_decide. */
static uint64_t rehearse_decision(struct fnx_team *team)
{
	struct fnx_task_arg subject = fnx_team_memory(&team->stage, sizeof(team->stage));
	uint64_t decided = 0;

	team->n_rehearsed += !fnx_team_submit(team, REHEARSE, &subject, 1, 0, NULL);
	team->n_rehearsed += !fnx_team_submit(team, REHEARSE, &subject, 1, 0, &decided);
	fnx_task_help(team->rt, HERE);
	return decided;
}

/* As tell. */
static void rehearse_act(struct fnx_team *team, uint64_t decided)
{
	struct fnx_task_arg args[] = {fnx_team_number(0), fnx_team_number(0)};

	team->n_rehearsed += !fnx_team_submit(team, REHEARSE, args, 2, decided, NULL);
	fnx_task_help(team->rt, HERE);
}

void fnx_team_rehearse(struct fnx_team *team, const struct fnx_act_command *command)
{
	int with_tasks = !team->is_traced && is_clear(team);
	uint64_t decided = with_tasks ? rehearse_decision(team) : 0;

	rehearse_book(team, command);
	if (with_tasks)
		rehearse_act(team, decided);
	fetch_places(team);
}

uint64_t fnx_team_n_rehearsed(const struct fnx_team *team)
{
	return team->n_rehearsed;
}
