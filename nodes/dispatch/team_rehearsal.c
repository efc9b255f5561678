/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rehearsals. A processor that has waited awake for a millisecond has much else in its caches, and
 * most of what a decision takes is fetching what it runs and writes: done every now and then, the
 * same way takes a quarter of the time.
 */
#include "nodes/dispatch/team_parts.h"

#define ECHO_NS INT64_C(500000)

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

void fnx_team_rehearse_decision(struct fnx_team *team, void *subject, uint32_t size)
{
	team->with_tasks = !team->is_traced && is_clear(team);
	if (!team->with_tasks) {
		if (team->score)
			team->score(NULL, team->context);
		if (team->decide)
			team->decide(NULL, team->context);
		return;
	}
	fnx_team_decide(team, subject, size);
	team->n_rehearsed += 2;
}

/* As tell. */
static void rehearse_tasks(struct fnx_team *team)
{
	struct fnx_task_arg args[] = {fnx_team_number(0), fnx_team_number(0)};

	team->n_rehearsed += !fnx_team_submit(team, REHEARSE, args, 2, team->decided, NULL);
	fnx_task_help(team->rt, HERE);
}

static void rehearse_system_call(struct fnx_team *team, int64_t now_ns)
{
	if (!team->echo || now_ns < team->next_echo_ns)
		return;
	team->next_echo_ns = now_ns + ECHO_NS;
	fnx_echo_call(team->echo);
}

void fnx_team_rehearse_act(struct fnx_team *team, const struct fnx_act_command *command)
{
	rehearse_book(team, command);
	if (team->with_tasks)
		rehearse_tasks(team);
	fetch_places(team);
	rehearse_system_call(team, command->stamp.publish_ns);
}

uint64_t fnx_team_n_rehearsed(const struct fnx_team *team)
{
	return team->n_rehearsed;
}
