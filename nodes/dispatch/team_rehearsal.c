/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rehearsals. A processor that has waited awake for a millisecond has much else in its caches, and
 * most of what a decision takes is fetching what it runs, reads and writes. A team of nobody goes the
 * same way every now and then, so that the code is at hand; what the real one will read and write is
 * fetched.
 *
 * It has a ring of its own: the real one's comes free in order, and behind an act that takes its time
 * rehearsals would fill it.
 */
#include "bus/fetch.h"
#include "nodes/dispatch/team_parts.h"

enum {
	TASKS_OF_AN_ACT = 3, /* score, decide, actuate */
};

void fnx_team_rehearse(struct fnx_team *team, const struct fnx_act_command *command)
{
	/* It ends at once, and nobody is to hear of it. */
	if (!fnx_team_give(team, command))
		fnx_book_reported(team->members[0].book);
}

static void fetch_member(const struct member *member)
{
	uint64_t given = atomic_load_explicit(&member->book->given, memory_order_relaxed);

	fnx_fetch(member->book, offsetof(struct fnx_book, acts));
	fnx_fetch(fnx_book_act(member->book, given), sizeof(struct fnx_act));
	fnx_fetch(&member->tasks[given % FNX_BOOK_ACTS], sizeof(member->tasks[0]));
	fnx_actuator_fetch(member->actuator);
}

void fnx_team_fetch(struct fnx_team *team)
{
	for (uint32_t i = 0; i < team->n; i++)
		fetch_member(&team->members[i]);
	fnx_task_fetch(team->rt, HERE, TASKS_OF_AN_ACT);
}
