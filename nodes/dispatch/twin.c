/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The twin: a second dispatch in the same node, which a posterior of its own making makes act again and
 * again, while nothing comes: the same code, with rules, books, windows, tasks and a journal of its own. Of
 * the topic it takes a slot that lies free, and gives it back. It exists where the node waits awake.
 *
 * A processor that has waited awake for a millisecond has much else in its caches, and most of what a
 * decision takes is fetching what it runs and writes. What the real one will run the twin has just
 * run; what the real one will look at is fetched.
 *
 * Nothing of the twin's lies in the node's state, and none of its changes go into the node's journal:
 * what a successor finds knows of no rehearsal.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/fetch.h"
#include "nodes/dispatch/dispatch.h"
#include "schemas/posterior.h"

enum {
	HEAP_SIZE = 4096, /* of its tasks */
	STACK_FETCHED = 8192,
	RECORDS_FETCHED = 2048, /* bytes of the journal */
};

struct stage {
	struct dispatch dispatch; /* the twin */
	struct fnx_journal journal;
	void *memory; /* [size] what it remembers */
	size_t size, used;
	void *log;
	void *payload; /* a posterior */
	struct fnx_frame frame;
	struct fnx_decision decision; /* where no rule that looks at posteriors acts */
};

static struct stage *stage_of(struct dispatch *twin)
{
	return (struct stage *)(void *)twin;
}

/* What it remembers ----------------------------------------------------------------------- */

static size_t padded(size_t size)
{
	return (size + FNX_CACHE_LINE - 1) / FNX_CACHE_LINE * FNX_CACHE_LINE;
}

static void *take(struct stage *stage, size_t size)
{
	void *memory = (unsigned char *)stage->memory + stage->used;

	stage->used += padded(size);
	return memory;
}

/* Every task may be done, but for a second one in the same frame. */
static struct fnx_safety_config permissive(const struct dispatch *twin, const int64_t *lockouts)
{
	return (struct fnx_safety_config){.n_rules = twin->n_rules,
		.rule_lockouts_samples = lockouts,
		.lockout_samples = 1,
		.max_tasks = 1,
		.per_samples = 1};
}

static uint32_t n_arms(const struct dispatch *dispatch)
{
	return dispatch->track ? fnx_track_arms(dispatch->track) : 0;
}

static int open_memory(struct stage *stage, const struct fnx_safety_config *safety)
{
	const struct dispatch *twin = &stage->dispatch;
	size_t log_size;

	stage->size = padded(fnx_safety_memory_size(safety)) + padded(sizeof(struct fnx_truths)) +
		3 * padded(sizeof(int64_t));
	for (uint32_t k = 0; k < twin->n_rules; k++)
		stage->size += padded(
			fnx_rule_memory_size(&twin->real->rules[k], twin->rig, n_arms(twin)));
	/* A frame changes less than all of it, a few bytes at a time. */
	log_size = padded(fnx_journal_log_size(stage->size / sizeof(uint32_t), 2 * stage->size));
	stage->memory = aligned_alloc(FNX_CACHE_LINE, stage->size);
	stage->log = aligned_alloc(FNX_CACHE_LINE, log_size);
	if (!stage->memory || !stage->log)
		return -ENOMEM;
	memset(stage->memory, 0, stage->size);
	memset(stage->log, 0, log_size);
	return fnx_journal_init(&stage->journal, stage->log, log_size, stage->memory, stage->size);
}

/* As easily true as can be. */
static void loosen(struct fnx_rule *rule)
{
	for (unsigned i = 0; i < FNX_RULE_SETTINGS; i++) {
		const struct fnx_rule_setting *setting = fnx_rule_setting(rule, i);

		if (setting)
			rule->settings[i] = strcmp(setting->name, "other_arms_below")
				? setting->min
				: setting->max;
	}
	fnx_rule_changed(rule);
}

static int open_rules(struct stage *stage)
{
	struct dispatch *twin = &stage->dispatch;
	struct fnx_rule_place place = {.journal = &stage->journal};
	char why[FNX_RULE_WHY_MAX];
	int r = 0;

	twin->rules = calloc(twin->n_rules, sizeof(*twin->rules));
	if (!twin->rules)
		return -ENOMEM;
	for (uint32_t k = 0; k < twin->n_rules && !r; k++) {
		struct fnx_rule *rule = &twin->rules[k];

		*rule = twin->real->rules[k];
		rule->replay = NULL;
		rule->ripple = NULL;
		rule->head = NULL;
		place.memory = take(stage, fnx_rule_memory_size(rule, twin->rig, n_arms(twin)));
		r = fnx_rule_start(rule, twin->rig, n_arms(twin), &place, why);
		if (!r)
			loosen(rule);
	}
	return r;
}

static int open_books(struct stage *stage)
{
	struct dispatch *twin = &stage->dispatch;
	int64_t *lockouts = calloc(twin->n_rules, sizeof(*lockouts));
	struct fnx_safety_config safety = permissive(twin, lockouts);
	int r = lockouts ? open_memory(stage, &safety) : -ENOMEM;

	if (!r) {
		safety.memory = take(stage, fnx_safety_memory_size(&safety));
		safety.journal = &stage->journal;
		twin->truths = take(stage, sizeof(*twin->truths));
		twin->target = take(stage, sizeof(*twin->target));
		twin->position_bin = take(stage, sizeof(*twin->position_bin));
		twin->leased_until_ns = take(stage, sizeof(*twin->leased_until_ns));
		r = fnx_safety_new(&safety, &twin->safety);
	}
	if (!r)
		fnx_safety_set(twin->safety, 1, 0);
	free(lockouts);
	return r;
}

/* A posterior ----------------------------------------------------------------------------- */

static int open_posterior(struct stage *stage)
{
	const struct dispatch *twin = &stage->dispatch;
	size_t n_values = (size_t)twin->n_states * twin->n_bins;
	const struct fnx_layout *layout;
	struct fnx_posterior *posterior;
	double *values;

	if (twin->posterior_input < 0)
		return 0;
	layout = fnx_node_input_layout(twin->node, (unsigned)twin->posterior_input);
	stage->payload = aligned_alloc(FNX_CACHE_LINE, padded(layout->size));
	if (!stage->payload)
		return -ENOMEM;
	memset(stage->payload, 0, padded(layout->size));
	posterior = stage->payload;
	posterior->n_recent_valid = twin->n_recent;
	values = fnx_posterior_put_posterior(layout, stage->payload);
	for (size_t i = 0; i < n_values; i++)
		values[i] = 1.0 / (double)n_values;
	stage->frame.payload = stage->payload;
	stage->frame.length = layout->size;
	return 0;
}

/* A team of nobody ------------------------------------------------------------------------ */

static int open_team(struct dispatch *twin)
{
	const struct fnx_rig_dispatch *rig = &twin->rig->dispatch;
	struct fnx_actuator_config nobody = {.type = FNX_ACTUATOR_TYPE_STAGE};
	const struct fnx_team_config config = {.actuators = &nobody,
		.n_actuators = 1,
		.score = fnx_dispatch_score,
		.decide = fnx_dispatch_decide,
		.context = twin,
		.window = FNX_TASK_WINDOW_MIN,
		.heap_size = HEAP_SIZE};
	struct fnx_task_problem problem;
	uint32_t fault;

	for (uint32_t i = 0; i < rig->n_actuators && !nobody.echoes; i++)
		if (rig->actuators[i].type == FNX_ACTUATOR_UDP) {
			nobody.echoes = 1;
			nobody.text = rig->actuators[i].text;
		}
	return fnx_team_open(&config, &problem, &fault, &twin->team);
}

/* All of it ------------------------------------------------------------------------------- */

int fnx_dispatch_open_twin(struct dispatch *dispatch)
{
	struct stage *stage = aligned_alloc(FNX_CACHE_LINE, padded(sizeof(*stage)));
	struct dispatch *twin;
	int r;

	if (!stage)
		return -ENOMEM;
	memset(stage, 0, sizeof(*stage));
	twin = &stage->dispatch;
	*twin = *dispatch;
	twin->rules = NULL;
	twin->safety = NULL;
	twin->team = NULL;
	twin->journal = &stage->journal;
	twin->real = dispatch;
	twin->max_age_ns = 0;
	dispatch->twin = twin;
	r = open_team(twin);
	if (!r)
		r = open_books(stage);
	if (!r)
		r = open_rules(stage);
	if (!r)
		r = open_posterior(stage);
	if (r)
		fnx_dispatch_close_twin(dispatch);
	return r;
}

void fnx_dispatch_close_twin(struct dispatch *dispatch)
{
	struct dispatch *twin = dispatch->twin;
	struct stage *stage;

	if (!twin)
		return;
	stage = stage_of(twin);
	for (uint32_t k = 0; twin->rules && k < twin->n_rules; k++)
		fnx_rule_fini(&twin->rules[k]);
	free(twin->rules);
	fnx_team_close(twin->team);
	fnx_safety_free(twin->safety);
	free(stage->memory);
	free(stage->log);
	free(stage->payload);
	free(stage);
	dispatch->twin = NULL;
}

/* Rehearsing ------------------------------------------------------------------------------ */

/* Calls from elsewhere, and so of another depth, use other lines of the stack. */
static __attribute__((noinline)) void fetch_stack(void)
{
	volatile unsigned char stack[STACK_FETCHED];

	for (size_t at = 0; at < sizeof(stack); at += FNX_CACHE_LINE)
		stack[at] = 0;
}

static void fetch_journal(const struct fnx_journal *journal)
{
	if (journal->log)
		fnx_fetch(journal->log,
			FNX_JOURNAL_HEADER_SIZE +
				(journal->room < RECORDS_FETCHED ? journal->room
								 : RECORDS_FETCHED));
}

/* What the real one will look at, and has not looked at since the last frame. */
static void fetch(const struct dispatch *dispatch)
{
	fetch_stack();
	fetch_journal(dispatch->journal);
	fnx_fetch(dispatch, sizeof(*dispatch));
	fnx_fetch(dispatch->truths, sizeof(*dispatch->truths));
	fnx_fetch(dispatch->leased_until_ns, sizeof(*dispatch->leased_until_ns));
	fnx_fetch(dispatch->target, sizeof(*dispatch->target));
	fnx_safety_fetch(dispatch->safety);
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		fnx_fetch(&dispatch->rules[k], sizeof(dispatch->rules[k]));
		if (dispatch->rules[k].replay)
			fnx_replay_fetch(dispatch->rules[k].replay);
	}
}

void fnx_dispatch_rehearse(struct dispatch *dispatch, int64_t now_ns)
{
	struct dispatch *twin = dispatch->twin;
	struct stage *stage = stage_of(twin);
	struct fnx_frame *frame = &stage->frame;

	twin->gate = dispatch->gate;
	frame->seq++;
	frame->stamp.sample_time++;
	fnx_gate_pass(&twin->gate, frame->stamp.sample_time, now_ns);
	frame->stamp.ingress_ns = frame->stamp.publish_ns = now_ns;
	twin->firing.decision = NULL;
	if (stage->payload)
		fnx_dispatch_look(twin, (unsigned)twin->posterior_input, frame);
	if (!twin->firing.decision)
		fnx_dispatch_fire(twin, 0, 1, frame, &stage->decision);
	fnx_journal_commit(&stage->journal);
	/* What has come meanwhile is not kept waiting. */
	if (fnx_node_pending(dispatch->node))
		return;
	fetch(dispatch);
	if (fnx_node_pending(dispatch->node))
		return;
	fnx_team_fetch(dispatch->team);
}
