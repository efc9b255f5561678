/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * score and decide name the decision at hand. actuate and confirm name no memory: an act must not
 * name the decision, or the next decision would wait for it; nor its place in the actuator's book,
 * or it would come after the act that had the place before, which may have ended while its task has
 * not, and so, as that task's consumer, be run before all that wait in the queue.
 */
#include <errno.h>
#include <stdlib.h>

#include "nodes/dispatch/team_parts.h"

static const int64_t retry_ns = 250000000; /* until those who are not there are looked for again */
static const int64_t return_ns = 250000000; /* for a thread to return, then */

/* Closed, and not given back: in some thread's hands. */
static struct fnx_team *left_behind;

/* Submitting ------------------------------------------------------------------------------ */

static int submit_act(struct fnx_team *team, struct member *member, uint64_t n, uint32_t which)
{
	uint64_t *tasks = member->tasks[n % FNX_BOOK_ACTS];
	struct fnx_task_arg arg = fnx_team_number(n);

	return fnx_team_submit(team, fnx_team_kernel(team, member, which), &arg, 1,
		which == CONFIRM ? tasks[ACTUATE] : team->decided, &tasks[which]);
}

/* An act that could not be submitted ends here, unless the worker that hung has let it end. */
static void fail(struct member *member, uint64_t n, int error)
{
	fnx_actuator_refuse(member->actuator, n, FNX_OUTCOME_FAILED, error);
}

/* Its worker tells it. Negative: it has failed already. */
static int leave_to_worker(struct fnx_team *team, struct member *member, uint64_t n)
{
	int r = fnx_actuator_is_stuck(member->actuator) ? -EBUSY
							: submit_act(team, member, n, ACTUATE);

	member->tasks[n % FNX_BOOK_ACTS][CONFIRM] = 0;
	if (r) {
		fail(member, n, r);
		return r;
	}
	/* Told, and nobody there to wait for what confirms it. */
	if (fnx_actuator_confirms(member->actuator) && submit_act(team, member, n, CONFIRM))
		fnx_team_drop(team, member);
	return 0;
}

/* Tells it from here. Claimed. */
static void tell(struct fnx_team *team, struct member *member, uint64_t n)
{
	uint64_t *tasks = member->tasks[n % FNX_BOOK_ACTS];
	struct fnx_task_arg args[] = {
		fnx_team_number((uint64_t)(member - team->members)), fnx_team_number(n)};

	tasks[ACTUATE] = tasks[CONFIRM] = 0;
	if (fnx_team_submit(team, TELL, args, 2, team->decided, &tasks[ACTUATE]))
		fnx_actuator_tell(member->actuator, n);
	else
		fnx_task_help(team->rt, HERE);
}

/* Giving ---------------------------------------------------------------------------------- */

void fnx_team_decide(struct fnx_team *team, void *subject, uint32_t size)
{
	struct fnx_task_arg arg = fnx_team_memory(subject, size);

	team->n_decided = fnx_team_is_busy(team) ? team->n_decided + 1 : 0;
	/* Most decide nothing: these must not fill the ring behind one that takes its time. */
	if (team->n_decided > team->decided_max) {
		team->score(NULL, team->context);
		team->decide(NULL, team->context);
		return;
	}
	if (fnx_team_submit(team, SCORE, &arg, 1, 0, NULL))
		team->score(NULL, team->context);
	if (fnx_team_submit(team, DECIDE, &arg, 1, 0, &team->decided)) {
		fnx_task_help(team->rt, HERE);
		team->decide(NULL, team->context);
		return;
	}
	fnx_task_help(team->rt, HERE);
}

static int is_at_once(const struct member *member)
{
	return fnx_actuator_is_immediate(member->actuator) && fnx_book_is_idle(member->book);
}

/* What was told here may need its worker still. */
static void go_on(struct fnx_team *team, struct member *member, uint64_t n)
{
	const struct fnx_act *act = fnx_book_act(member->book, n);
	int r = 0;

	if (atomic_load_explicit(&act->state, memory_order_acquire) < FNX_ACT_ENDED)
		r = submit_act(team, member, n, CONFIRM);
	member->is_here = 0;
	if (r)
		fnx_team_drop(team, member);
}

int fnx_team_give(struct fnx_team *team, const struct fnx_act_command *command)
{
	uint64_t acts[FNX_TEAM_MAX];
	uint32_t given = 0;
	int result = 0;

	for (uint32_t i = 0; i < team->n; i++) {
		struct member *member = &team->members[i];
		int at_once = is_at_once(member);
		int r = fnx_book_give(fnx_actuator_giver(member->actuator), command, &acts[i]);

		if (r < 0)
			result = r;
		if (r)
			continue;
		given |= 1u << i;
		member->is_here = at_once && fnx_actuator_claim(member->actuator, acts[i]);
		if (member->is_here)
			tell(team, member, acts[i]);
	}
	/* Waking somebody takes longer than telling, so that comes last. */
	for (uint32_t i = 0; i < team->n; i++) {
		if (!(given >> i & 1))
			continue;
		if (team->members[i].is_here) {
			go_on(team, &team->members[i], acts[i]);
		} else {
			int r = leave_to_worker(team, &team->members[i], acts[i]);

			result = r ? r : result;
		}
	}
	return result;
}

int fnx_team_was_given(const struct fnx_team *team, const struct fnx_act_command *command)
{
	for (uint32_t i = 0; i < team->n; i++)
		if (fnx_book_was_given(fnx_actuator_giver(team->members[i].actuator), command))
			return 1;
	return 0;
}

/* Looking after them ---------------------------------------------------------------------- */

/* One that is stuck is so until it comes to its next task: this one. */
static int needs_preparing(const struct fnx_team *team, const struct member *member)
{
	if (member->preparing && fnx_task_state(team->rt, member->preparing) < FNX_TASK_COMPLETED)
		return 0;
	return fnx_actuator_is_stuck(member->actuator) ||
		(fnx_actuator_is_unready(member->actuator) && fnx_book_is_idle(member->book));
}

void fnx_team_tend(struct fnx_team *team, int64_t now_ns)
{
	for (uint32_t i = 0; i < team->n; i++) {
		struct member *member = &team->members[i];

		if (fnx_actuator_hangs(member->actuator, now_ns))
			fnx_team_drop(team, member);
		if (now_ns < member->next_try_ns || !needs_preparing(team, member))
			continue;
		member->next_try_ns = now_ns + retry_ns;
		if (fnx_team_submit(team, fnx_team_kernel(team, member, PREPARE), NULL, 0, 0,
			    &member->preparing))
			member->preparing = 0;
	}
}

void fnx_team_give_up(struct fnx_team *team)
{
	for (uint32_t i = 0; i < team->n; i++)
		fnx_team_drop(team, &team->members[i]);
}

int fnx_team_is_busy(const struct fnx_team *team)
{
	for (uint32_t i = 0; i < team->n; i++)
		if (!fnx_book_is_idle(team->members[i].book))
			return 1;
	return 0;
}

static uint64_t last_task(const struct member *member)
{
	const uint64_t *tasks = member->tasks[(member->book->given - 1) % FNX_BOOK_ACTS];

	return tasks[CONFIRM] ? tasks[CONFIRM] : tasks[ACTUATE];
}

void fnx_team_await(struct fnx_team *team, int64_t timeout_ns)
{
	for (uint32_t i = 0; i < team->n; i++) {
		const struct member *member = &team->members[i];

		if (fnx_book_is_idle(member->book))
			continue;
		(void)!fnx_task_wait(team->rt, last_task(member), timeout_ns);
		return;
	}
}

uint32_t fnx_team_n(const struct fnx_team *team)
{
	return team->n;
}

struct fnx_actuator *fnx_team_actuator(struct fnx_team *team, uint32_t i)
{
	return team->members[i].actuator;
}

struct fnx_task_runtime *fnx_team_runtime(struct fnx_team *team)
{
	return team->rt;
}

/* Opening and closing --------------------------------------------------------------------- */

static int open_members(
	struct fnx_team *team, const struct fnx_team_config *config, uint32_t *ret_fault)
{
	if (config->n_actuators > FNX_TEAM_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < config->n_actuators; i++) {
		struct member *member = &team->members[i];
		int r = fnx_actuator_open(&config->actuators[i], &member->actuator);

		if (r) {
			*ret_fault = i;
			return r;
		}
		team->n++;
		member->book = fnx_actuator_giver(member->actuator)->book;
	}
	return 0;
}

/* What a predecessor gave and is not too late. */
static void resume(struct fnx_team *team, struct member *member)
{
	for (uint64_t n = member->book->reported; n < member->book->given; n++)
		if (fnx_book_act(member->book, n)->state == FNX_ACT_GIVEN)
			(void)!leave_to_worker(team, member, n);
}

int fnx_team_open(const struct fnx_team_config *config, struct fnx_task_problem *ret_problem,
	uint32_t *ret_fault, struct fnx_team **ret_team)
{
	struct fnx_team *team = calloc(1, sizeof(*team));
	int r;

	*ret_fault = config->n_actuators;
	if (!team)
		return -ENOMEM;
	team->score = config->score;
	team->decide = config->decide;
	team->context = config->context;
	r = open_members(team, config, ret_fault);
	if (!r)
		r = fnx_team_open_runtime(team, config, ret_problem);
	if (r) {
		fnx_team_close(team);
		return r;
	}
	for (uint32_t i = 0; i < team->n; i++)
		resume(team, &team->members[i]);
	fnx_team_tend(team, 0);
	*ret_team = team;
	return 0;
}

/* What is still under way after a while is given up. -ETIMEDOUT: somebody is still at something. */
static int close_runtime(struct fnx_team *team)
{
	if (!team->rt)
		return 0;
	if (fnx_task_drain(team->rt, FNX_TEAM_LAST_NS)) {
		fnx_team_give_up(team);
		(void)!fnx_task_drain(team->rt, return_ns);
	}
	return fnx_task_runtime_close_within(team->rt, return_ns);
}

struct fnx_team *fnx_team_close(struct fnx_team *team)
{
	if (!team)
		return NULL;
	if (close_runtime(team)) {
		/* A thread that hangs uses it, and may return. */
		team->next = left_behind;
		left_behind = team;
		return NULL;
	}
	for (uint32_t i = 0; i < team->n; i++)
		fnx_actuator_close(team->members[i].actuator);
	free(team);
	return NULL;
}
