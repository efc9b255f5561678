/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rehearsals. A processor that has waited awake for a millisecond has much else in its caches, and
 * most of what a decision takes is fetching what it runs and writes: done every now and then, the
 * same way takes a quarter of the time.
 */
#include "nodes/dispatch/team_parts.h"

#define ECHO_NS INT64_C(500000)

enum {
	TASKS_OF_AN_ACT = 3, /* score, decide, actuate */
};

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
		fnx_actuator_fetch(member->actuator);
	}
}

static void rehearse_book(struct fnx_team *team, const struct fnx_act_command *command)
{
	struct fnx_book *book = &team->stage.book;
	uint64_t n;

	if (!fnx_book_was_given(&team->stage.giver, command) &&
		!fnx_book_give(&team->stage.giver, command, &n))
		fnx_book_end(book, n, FNX_OUTCOME_TOLD, 0, 0);
	fnx_book_reported(book);
}

/* The ring in which the acts are comes free in order: behind one that takes its time rehearsals would
 * fill it. So they have one of their own, and what the next task will write in the other is fetched. */
void fnx_team_rehearse_decision(struct fnx_team *team, void *subject, uint32_t size)
{
	struct fnx_team_stage *stage = &team->stage;
	struct fnx_task_arg arg = fnx_team_memory(subject, size);

	stage->n_tasks += !fnx_team_submit_to(stage->rt, SCORE, &arg, 1, 0, NULL);
	stage->n_tasks += !fnx_team_submit_to(stage->rt, DECIDE, &arg, 1, 0, &stage->decided);
	fnx_task_help(stage->rt, HERE);
}

/* As tell. */
static void rehearse_tasks(struct fnx_team_stage *stage)
{
	struct fnx_task_arg args[] = {fnx_team_number(0), fnx_team_number(0)};

	stage->n_tasks += !fnx_team_submit_to(stage->rt, TELL, args, 2, stage->decided, NULL);
	fnx_task_help(stage->rt, HERE);
}

static void rehearse_system_call(struct fnx_team_stage *stage, int64_t now_ns)
{
	if (!stage->echo || now_ns < stage->next_echo_ns)
		return;
	stage->next_echo_ns = now_ns + ECHO_NS;
	fnx_echo_call(stage->echo);
}

void fnx_team_rehearse_act(struct fnx_team *team, const struct fnx_act_command *command)
{
	rehearse_book(team, command);
	rehearse_tasks(&team->stage);
	fetch_places(team);
	fnx_task_fetch(team->rt, HERE, TASKS_OF_AN_ACT);
	rehearse_system_call(&team->stage, command->stamp.publish_ns);
}

uint64_t fnx_team_n_rehearsed(const struct fnx_team *team)
{
	return team->stage.n_tasks;
}
