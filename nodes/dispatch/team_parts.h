/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of a team share. Internal to nodes/dispatch/team*.c.
 *
 *	team.c            giving, looking after, opening and closing
 *	team_tasks.c      the runtime under it: kinds, kernels, submitting, giving up
 *	team_rehearsal.c  a team of nobody, and what the next act of a real one will look at
 */
#pragma once

#include "nodes/dispatch/team.h"

enum {
	HERE, /* kinds: the giver's thread; then one for each actuator */
	SCORE = 0, /* kernels of that kind */
	DECIDE,
	TELL,
	N_HERE,
	ACTUATE = 0, /* kernels of each actuator's kind */
	CONFIRM,
	PREPARE,
	N_EACH,
};

struct member {
	struct fnx_actuator *actuator;
	struct fnx_book *book;
	uint64_t tasks[FNX_BOOK_ACTS][2]; /* actuate and confirm of the act in that place */
	uint64_t preparing; /* task; 0: none yet */
	int is_here; /* claimed by the giver, and not left to the worker yet */
	int64_t next_try_ns;
};

struct fnx_team {
	struct fnx_team *next; /* of those that were left behind */
	struct fnx_task_runtime *rt;
	struct member members[FNX_TEAM_MAX];
	uint32_t n;
	int (*score)(const struct fnx_call *call, void *context);
	int (*decide)(const struct fnx_call *call, void *context);
	void *context;
	uint64_t decided; /* task */
	uint64_t n_decided; /* since nothing was under way */
	uint64_t decided_max; /* that may lie in the ring behind an act under way */
};

static inline struct fnx_task_arg fnx_team_number(uint64_t value)
{
	return (struct fnx_task_arg){.access = FNX_TASK_SCALAR, .scalar = value};
}

static inline struct fnx_task_arg fnx_team_memory(void *base, size_t size)
{
	return (struct fnx_task_arg){.access = FNX_TASK_INOUT,
		.region = {
			.base = base, .element_size = 1, .n_dims = 1, .shape = {(uint32_t)size}}};
}

/* team_tasks.c */

/* Kinds and kernels for the members that are there. [slow] */
FNX_MUST_CHECK int fnx_team_open_runtime(struct fnx_team *team,
	const struct fnx_team_config *config, struct fnx_task_problem *ret_problem);
/* Never waits. 0: submitted; -EAGAIN: the ring is full, and not because of one that hangs. */
FNX_MUST_CHECK int fnx_team_submit(struct fnx_team *team, uint32_t kernel,
	struct fnx_task_arg *args, unsigned n_args, uint64_t after, uint64_t *ret_task);
/* ACTUATE, CONFIRM or PREPARE of this member. */
uint32_t fnx_team_kernel(const struct fnx_team *team, const struct member *member, uint32_t which);
/* Takes away what its worker is at, and what waits behind it. */
void fnx_team_drop(struct fnx_team *team, struct member *member);
