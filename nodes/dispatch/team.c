/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * score and decide name the decision at hand. actuate and confirm name no memory: an act must not
 * name the decision, or the next decision would wait for it; nor its place in the actuator's book,
 * or it would come after the act that had the place before, which may have ended while its task has
 * not, and so, as that task's consumer, be run before all that wait in the queue.
 *
 * The ring of the runtime comes free in order, so one task that hangs would hold up all that come
 * after it once the window is full. That is why the submitter never waits for the ring: it is told
 * -EAGAIN, gives up whoever is at something, and tries again.
 */
#include "nodes/dispatch/team.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HERE, /* kinds: the giver's thread; then one for each actuator */
	SCORE = 0, /* kernels of that kind */
	DECIDE,
	TELL,
	REHEARSE,
	N_HERE,
	ACTUATE = 0, /* kernels of each actuator's kind */
	CONFIRM,
	PREPARE,
	N_EACH,
	STACK_SIZE = 256 << 10, /* memory may be locked: no more of it than needed */
};

static const int64_t retry_ns = 250000000; /* until those who are not there are looked for again */

struct member {
	struct fnx_actuator *actuator;
	struct fnx_book *book;
	uint64_t tasks[FNX_BOOK_ACTS][2]; /* actuate and confirm of the act in that place */
	uint64_t preparing; /* task; 0: none yet */
	int is_here; /* claimed by the giver, and not left to the worker yet */
	int64_t next_try_ns;
};

struct fnx_team {
	struct fnx_task_runtime *rt;
	struct member members[FNX_TEAM_MAX];
	uint32_t n;
	int (*score)(const struct fnx_call *call, void *context);
	int (*decide)(const struct fnx_call *call, void *context);
	void *context;
	uint64_t decided; /* task */
	uint64_t n_decided; /* since nothing was under way */
	uint64_t decided_max; /* that may lie in the ring behind an act under way */
	int is_traced;
	uint64_t n_rehearsed;
	/* What a rehearsal is about, and where it is written down. */
	uint64_t stage;
	struct fnx_book_giver stage_giver;
	struct fnx_book stage_book;
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

static uint32_t kernel_of(const struct fnx_team *team, const struct member *member, uint32_t which)
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

/* Takes away what a worker is at, and what waits behind it. */
static void give_up(struct fnx_team *team, struct member *member)
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

/* 0: submitted; -EAGAIN: the ring is full, and not because of one that hangs. */
static int submit(struct fnx_team *team, uint32_t kernel, struct fnx_task_arg *args,
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
			give_up(team, &team->members[i]);
	return fnx_task_submit_spec(team->rt, &spec, ret_task);
}

static struct fnx_task_arg memory(
	enum fnx_task_access access, void *base, size_t offset, size_t size)
{
	return (struct fnx_task_arg){.access = access,
		.region = {.base = base,
			.offset = offset,
			.element_size = 1,
			.n_dims = 1,
			.shape = {(uint32_t)size}}};
}

static struct fnx_task_arg number(uint64_t value)
{
	return (struct fnx_task_arg){.access = FNX_TASK_SCALAR, .scalar = value};
}

static int submit_act(struct fnx_team *team, struct member *member, uint64_t n, uint32_t which)
{
	uint64_t *tasks = member->tasks[n % FNX_BOOK_ACTS];
	struct fnx_task_arg arg = number(n);

	return submit(team, kernel_of(team, member, which), &arg, 1,
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
		give_up(team, member);
	return 0;
}

/* Tells it from here. Claimed. */
static void tell(struct fnx_team *team, struct member *member, uint64_t n)
{
	uint64_t *tasks = member->tasks[n % FNX_BOOK_ACTS];
	struct fnx_task_arg args[] = {number((uint64_t)(member - team->members)), number(n)};

	tasks[ACTUATE] = tasks[CONFIRM] = 0;
	if (submit(team, TELL, args, 2, team->decided, &tasks[ACTUATE]))
		fnx_actuator_tell(member->actuator, n);
	else
		fnx_task_help(team->rt, HERE);
}

/* Giving ---------------------------------------------------------------------------------- */

void fnx_team_decide(struct fnx_team *team, void *subject, uint32_t size)
{
	struct fnx_task_arg arg = memory(FNX_TASK_INOUT, subject, 0, size);

	team->n_decided = fnx_team_is_busy(team) ? team->n_decided + 1 : 0;
	/* Most decide nothing: these must not fill the ring behind one that takes its time. */
	if (team->n_decided > team->decided_max) {
		team->score(NULL, team->context);
		team->decide(NULL, team->context);
		return;
	}
	if (submit(team, SCORE, &arg, 1, 0, NULL))
		team->score(NULL, team->context);
	if (submit(team, DECIDE, &arg, 1, 0, &team->decided)) {
		fnx_task_help(team->rt, HERE);
		team->decide(NULL, team->context);
		return;
	}
	fnx_task_help(team->rt, HERE);
}

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

/* As fnx_team_decide, fnx_team_give and tell. */
void fnx_team_rehearse(struct fnx_team *team, const struct fnx_act_command *command)
{
	struct fnx_task_arg subject = memory(FNX_TASK_INOUT, &team->stage, 0, sizeof(team->stage));
	struct fnx_task_arg args[] = {number(0), number(0)};
	uint64_t decided = 0;

	if (team->is_traced || fnx_team_is_busy(team))
		return;
	team->n_rehearsed += !submit(team, REHEARSE, &subject, 1, 0, NULL);
	team->n_rehearsed += !submit(team, REHEARSE, &subject, 1, 0, &decided);
	fnx_task_help(team->rt, HERE);
	rehearse_book(team, command);
	team->n_rehearsed += !submit(team, REHEARSE, args, 2, decided, NULL);
	fnx_task_help(team->rt, HERE);
	fetch_places(team);
}

uint64_t fnx_team_n_rehearsed(const struct fnx_team *team)
{
	return team->n_rehearsed;
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
		give_up(team, member);
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
			give_up(team, member);
		if (now_ns < member->next_try_ns || !needs_preparing(team, member))
			continue;
		member->next_try_ns = now_ns + retry_ns;
		if (submit(team, kernel_of(team, member, PREPARE), NULL, 0, 0, &member->preparing))
			member->preparing = 0;
	}
}

void fnx_team_give_up(struct fnx_team *team)
{
	for (uint32_t i = 0; i < team->n; i++)
		give_up(team, &team->members[i]);
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
	plan->kernels[REHEARSE] = (struct fnx_task_kernel){.name = "rehearse", .run = run_nothing};
}

static void plan_member(struct fnx_team *team, struct plan *plan, uint32_t i)
{
	static const struct {
		const char *name;
		int (*run)(const struct fnx_call *call, void *context);
	} each[N_EACH] = {[ACTUATE] = {"actuate", run_actuate},
		[CONFIRM] = {"confirm", run_confirm},
		[PREPARE] = {"prepare", run_prepare}};
	char(*names)[24] = plan->names[i];

	snprintf(names[N_EACH], sizeof(names[N_EACH]), "actuator.%u", i);
	plan->config.kinds[1 + i] = (struct fnx_task_kind){.name = names[N_EACH], .n_threads = 1};
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

static int open_runtime(struct fnx_team *team, const struct fnx_team_config *config,
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
		plan_member(team, &plan, i);
	r = fnx_task_runtime_open(&plan.config, ret_problem, &team->rt);
	if (r)
		return r;
	fnx_task_stats(team->rt, &stats);
	team->decided_max = stats.rings[FNX_TASK_RING_MAIN].size / 8;
	return 0;
}

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
	struct fnx_team *team = aligned_alloc(FNX_CACHE_LINE, sizeof(*team));
	int r;

	*ret_fault = config->n_actuators;
	if (!team)
		return -ENOMEM;
	memset(team, 0, sizeof(*team));
	fnx_book_take_over(&team->stage_giver, &team->stage_book, 0);
	team->score = config->score;
	team->decide = config->decide;
	team->context = config->context;
	team->is_traced = config->n_traced > 0;
	r = open_members(team, config, ret_fault);
	if (!r)
		r = open_runtime(team, config, ret_problem);
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

struct fnx_team *fnx_team_close(struct fnx_team *team)
{
	if (!team)
		return NULL;
	if (team->rt) {
		(void)!fnx_task_drain(team->rt, -1);
		fnx_task_runtime_close(team->rt);
	}
	for (uint32_t i = 0; i < team->n; i++)
		fnx_actuator_close(team->members[i].actuator);
	free(team);
	return NULL;
}
