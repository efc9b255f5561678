/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The task runtime under a team: one kind whose worker is the giver's own thread, and one for each
 * actuator, with one thread.
 *
 * Its ring comes free in order, so one task that hangs would hold up all that come after it once the
 * window is full. That is why the submitter never waits for the ring: it is told -EAGAIN, gives up
 * whoever is at something, and tries again.
 */
#include <errno.h>
#include <stdio.h>

#include "nodes/dispatch/team_parts.h"

enum {
	STACK_SIZE = 256 << 10, /* memory may be locked: no more of it than needed */
};

/* The giver empties the queue of one that is stuck. */
static _Thread_local int is_refusing;

/* Kernels --------------------------------------------------------------------------------- */

static int run_actuate(const struct fnx_call *call, void *context)
{
	const struct member *member = context;
	uint64_t n = call->scalars[0];

	if (is_refusing) {
		fnx_actuator_refuse(member->actuator, n, FNX_OUTCOME_EXPIRED, -ETIME);
		return -ECANCELED;
	}
	return fnx_actuator_actuate(member->actuator, n);
}

static int run_confirm(const struct fnx_call *call, void *context)
{
	const struct member *member = context;

	return is_refusing ? -ECANCELED : fnx_actuator_confirm(member->actuator, call->scalars[0]);
}

static int run_prepare(const struct fnx_call *call, void *context)
{
	const struct member *member = context;

	(void)call;
	return is_refusing ? -ECANCELED : fnx_actuator_prepare(member->actuator);
}

/* Of an actuator that was claimed for this act. */
static int run_tell(const struct fnx_call *call, void *context)
{
	const struct fnx_team *team = context;

	fnx_actuator_tell(team->members[call->scalars[0]].actuator, call->scalars[1]);
	return 0;
}

static int run_nothing(const struct fnx_call *call, void *context)
{
	(void)call;
	(void)context;
	return 0;
}

/* Submitting ------------------------------------------------------------------------------ */

uint32_t fnx_team_kernel(const struct fnx_team *team, const struct member *member, uint32_t which)
{
	return N_HERE + (uint32_t)(member - team->members) * N_EACH + which;
}

/* Ends what waits for a worker that is stuck. */
static void flush(struct fnx_team *team, const struct member *member)
{
	is_refusing = 1;
	fnx_task_help(team->rt, 1 + (unsigned)(member - team->members));
	is_refusing = 0;
}

void fnx_team_drop(struct fnx_team *team, struct member *member)
{
	uint64_t n;

	if (!fnx_actuator_give_up(member->actuator, &n)) {
		if (fnx_actuator_is_stuck(member->actuator))
			flush(team, member);
		return;
	}
	if (n == UINT64_MAX) {
		(void)!fnx_task_expire(team->rt, member->preparing, -ETIMEDOUT);
	} else {
		const uint64_t *tasks = member->tasks[n % FNX_BOOK_ACTS];

		/* It is at one of them, or about to find out that it is at none. */
		if (fnx_task_expire(team->rt, tasks[1], -ETIMEDOUT))
			(void)!fnx_task_expire(team->rt, tasks[0], -ETIMEDOUT);
	}
	flush(team, member);
}

int fnx_team_submit(struct fnx_team *team, uint32_t kernel, struct fnx_task_arg *args,
	unsigned n_args, uint64_t after, uint64_t *ret_task)
{
	const struct fnx_task_after order = {.task = after, .any_end = 1};
	const struct fnx_task_spec spec = {.kernels = {kernel},
		.n_parts = 1,
		.args = args,
		.n_args = n_args,
		.after = &order,
		.n_after = after != 0,
		.flags = FNX_TASK_NO_WAIT};
	int r = fnx_task_submit_spec(team->rt, &spec, ret_task);

	if (r != -EAGAIN)
		return r;
	for (uint32_t i = 0; i < team->n; i++)
		if (!team->members[i].is_here)
			fnx_team_drop(team, &team->members[i]);
	return fnx_task_submit_spec(team->rt, &spec, ret_task);
}

/* Opening --------------------------------------------------------------------------------- */

struct plan {
	char names[FNX_TEAM_MAX][N_EACH + 1][24];
	struct fnx_task_kernel kernels[N_HERE + FNX_TEAM_MAX * N_EACH];
	struct fnx_task_config config;
};

static void plan_here(struct fnx_team *team, struct plan *plan)
{
	plan->config.kinds[HERE] = (struct fnx_task_kind){.name = "here"};
	plan->kernels[SCORE] = (struct fnx_task_kernel){.name = "score",
		.run = team->score ? team->score : run_nothing,
		.context = team->context};
	plan->kernels[DECIDE] = (struct fnx_task_kernel){.name = "decide",
		.run = team->decide ? team->decide : run_nothing,
		.context = team->context};
	plan->kernels[TELL] =
		(struct fnx_task_kernel){.name = "actuate", .run = run_tell, .context = team};
}

static void plan_member(struct fnx_team *team, struct plan *plan, uint32_t i, unsigned n_threads)
{
	static const struct {
		const char *name;
		int (*run)(const struct fnx_call *call, void *context);
	} each[N_EACH] = {[ACTUATE] = {"actuate", run_actuate},
		[CONFIRM] = {"confirm", run_confirm},
		[PREPARE] = {"prepare", run_prepare}};
	char(*names)[24] = plan->names[i];

	snprintf(names[N_EACH], sizeof(names[N_EACH]), "actuator.%u", i);
	plan->config.kinds[1 + i] =
		(struct fnx_task_kind){.name = names[N_EACH], .n_threads = n_threads};
	for (uint32_t k = 0; k < N_EACH; k++) {
		snprintf(names[k], sizeof(names[k]), "%s.%u", each[k].name, i);
		plan->kernels[N_HERE + i * N_EACH + k] = (struct fnx_task_kernel){
			.name = names[k],
			.kind = 1 + i,
			.run = each[k].run,
			.context = &team->members[i],
			.may_hang = 1,
		};
	}
}

int fnx_team_open_runtime(struct fnx_team *team, const struct fnx_team_config *config,
	struct fnx_task_problem *ret_problem)
{
	struct plan plan = {.config = {.bus = config->bus,
				    .name = config->name,
				    .n_kinds = 1 + team->n,
				    .kernels = plan.kernels,
				    .n_kernels = N_HERE + team->n * N_EACH,
				    .window = config->window,
				    .consumed_window = config->consumed_window,
				    .heap_size = config->heap_size,
				    .n_traced = config->n_traced,
				    .spin_ns = config->spins ? 0 : -1,
				    .stack_size = STACK_SIZE}};
	struct fnx_task_stats stats;
	int r;

	plan_here(team, &plan);
	for (uint32_t i = 0; i < team->n; i++)
		plan_member(team, &plan, i, config->actuators[i].type != FNX_ACTUATOR_TYPE_STAGE);
	r = fnx_task_runtime_open(&plan.config, ret_problem, &team->rt);
	if (r)
		return r;
	fnx_task_stats(team->rt, &stats);
	team->decided_max = stats.rings[FNX_TASK_RING_MAIN].size / 8;
	return 0;
}
