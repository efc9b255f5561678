/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening: rules, books and windows in the node's state, parameters, topics, actuators. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/dispatch/dispatch.h"
#include "nodes/host/placement.h"
#include "schemas/decision.h"
#include "schemas/outcome.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"

static int no_memory(struct dispatch *dispatch)
{
	return fnx_node_fail(dispatch->node, -ENOMEM, "out of memory");
}

static int open_rules(struct dispatch *dispatch)
{
	char why[FNX_RULE_WHY_MAX];
	int r;

	dispatch->rules = calloc(dispatch->n_rules, sizeof(*dispatch->rules));
	if (!dispatch->rules)
		return no_memory(dispatch);
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		r = fnx_rule_init(&dispatch->rules[k], dispatch->rig, k, why);
		for (uint32_t i = 0; i < k && !r; i++)
			if (fnx_rule_same_name(&dispatch->rules[k], &dispatch->rules[i])) {
				snprintf(why, sizeof(why),
					"name: rule %u has it already, but for punctuation", i);
				r = -EINVAL;
			}
		if (r)
			return fnx_node_fail(dispatch->node, r, "dispatch.rules[%u] (%s): %s", k,
				dispatch->rig->dispatch.rules[k].name, why);
	}
	return 0;
}

/* Between two frames. */
void fnx_dispatch_changed(void *self)
{
	struct dispatch *dispatch = self;

	/* In doubt nothing is done: armed must be wholly so, dry_run need not. */
	fnx_safety_set(dispatch->safety, dispatch->armed >= 1, dispatch->dry_run > 0);
	for (uint32_t k = 0; k < dispatch->n_rules; k++)
		fnx_rule_changed(&dispatch->rules[k]);
}

static int open_track(struct dispatch *dispatch)
{
	dispatch->track = fnx_node_track(dispatch->node);
	if (!dispatch->track)
		return -EINVAL;
	dispatch->n_bins = fnx_track_bins(dispatch->track);
	dispatch->centre_distance_cm = malloc(dispatch->n_bins * sizeof(double));
	if (!dispatch->centre_distance_cm)
		return no_memory(dispatch);
	for (uint32_t bin = 0; bin < dispatch->n_bins; bin++)
		dispatch->centre_distance_cm[bin] = fnx_track_distance_cm(
			dispatch->track, fnx_track_config(dispatch->track)->arms[0].first_bin, bin);
	return 0;
}

static int open_safety(struct dispatch *dispatch)
{
	const struct fnx_rig_dispatch *rig = &dispatch->rig->dispatch;
	double clock_hz = dispatch->rig->clock.rate_hz;
	int64_t *lockouts = calloc(dispatch->n_rules, sizeof(*lockouts));
	struct fnx_safety_config config = {
		.n_rules = dispatch->n_rules,
		.rule_lockouts_samples = lockouts,
		.lockout_samples = fnx_safety_samples(rig->lockout_ms, clock_hz),
		.max_per_run = rig->max_per_run,
		.sham_fraction = rig->sham_fraction,
		.sham_seed = rig->sham_seed,
		.resumed = fnx_node_remembers(dispatch->node),
		.journal = dispatch->journal,
	};
	size_t size;
	int r;

	if (!lockouts)
		return no_memory(dispatch);
	fnx_safety_rate(rig->max_rate_per_min, clock_hz, &config.max_tasks, &config.per_samples);
	for (uint32_t k = 0; k < dispatch->n_rules; k++)
		lockouts[k] = fnx_safety_samples(rig->rules[k].lockout_ms, clock_hz);
	size = fnx_safety_memory_size(&config);
	config.memory = fnx_node_state(dispatch->node, size, FNX_CACHE_LINE);
	fnx_node_journal_room(dispatch->node, 2 * size);
	r = config.memory ? fnx_safety_new(&config, &dispatch->safety) : -ENOSPC;
	free(lockouts);
	if (r == -ENOSPC)
		return r;
	if (r)
		return fnx_node_fail(dispatch->node, r, "dispatch.lockout_ms, max_rate_per_min: %s",
			r == -ENOMEM            ? "out of memory"
				: r == -EBADMSG ? "the state that its predecessor left is damaged"
						: "cannot be used with this clock");
	dispatch->armed = rig->armed;
	dispatch->dry_run = rig->dry_run;
	return 0;
}

static void open_gate(struct dispatch *dispatch)
{
	const struct fnx_rig *rig = dispatch->rig;
	double speed = rig->source.speed;
	const struct fnx_gate_config config = {
		.ns_per_sample = speed > 0 ? 1e9 / (rig->clock.rate_hz * speed) : 0,
		.max_age_ns = (int64_t)(rig->dispatch.max_age_ms * 1e6),
		.stall_ns = (int64_t)(rig->dispatch.stall_ms * 1e6),
		.blanking_samples =
			fnx_safety_samples(rig->dispatch.blanking_ms, rig->clock.rate_hz),
	};

	fnx_gate_init(&dispatch->gate, &config);
	dispatch->max_age_ns = speed > 0 ? config.max_age_ns : 0;
	dispatch->lease_ns = (int64_t)(rig->dispatch.lease_s * 1e9);
}

/* What does not belong to a rule alone. */
static int open_memory(struct dispatch *dispatch)
{
	struct fnx_node *node = dispatch->node;

	dispatch->position_bin = fnx_node_state(node, sizeof(int32_t), sizeof(int64_t));
	dispatch->leased_until_ns = fnx_node_state(node, sizeof(int64_t), sizeof(int64_t));
	dispatch->target = fnx_node_state(node, sizeof(int64_t), sizeof(int64_t));
	dispatch->truths = fnx_node_state(node, sizeof(struct fnx_truths), sizeof(int64_t));
	if (!dispatch->position_bin || !dispatch->leased_until_ns || !dispatch->target ||
		!dispatch->truths)
		return -ENOSPC;
	if (!fnx_node_remembers(node)) {
		*dispatch->position_bin = -1;
		*dispatch->leased_until_ns = *dispatch->target = 0;
		memset(dispatch->truths, 0, sizeof(*dispatch->truths));
	}
	return 0;
}

/* What the rules remember. */
static int open_windows(struct dispatch *dispatch)
{
	struct fnx_node *node = dispatch->node;
	uint32_t n_arms = dispatch->track ? fnx_track_arms(dispatch->track) : 0;
	struct fnx_rule_place place = {
		.resumed = fnx_node_remembers(node), .journal = dispatch->journal};
	char why[FNX_RULE_WHY_MAX];
	int r;

	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		struct fnx_rule *rule = &dispatch->rules[k];
		size_t size = fnx_rule_memory_size(rule, dispatch->rig, n_arms);

		place.memory = fnx_node_state(node, size, FNX_CACHE_LINE);
		/* All of it when the row of bins is broken, besides what each bin changes. */
		fnx_node_journal_room(node,
			2 * size + fnx_journal_log_size(8, 0) +
				fnx_journal_log_size(2 * FNX_REPLAY_RECENT_MAX, 0));
		r = place.memory ? fnx_rule_start(rule, dispatch->rig, n_arms, &place, why)
				 : -ENOSPC;
		if (r)
			return r == -ENOSPC ? r
					    : fnx_node_fail(node, r, "dispatch.rules[%u] (%s): %s",
						      k, rule->name, why);
	}
	return 0;
}

const char *fnx_dispatch_place(const struct fnx_rig_actuator *actuator)
{
	const char *place = actuator->type == FNX_ACTUATOR_LOG ? actuator->file
		: actuator->type == FNX_ACTUATOR_SERIAL        ? actuator->device
							       : actuator->endpoint;

	return place && place[0]                        ? place
		: actuator->type == FNX_ACTUATOR_LOG    ? "standard error"
		: actuator->type == FNX_ACTUATOR_SERIAL ? "no device"
							: "no endpoint";
}

static void describe_actuator(struct dispatch *dispatch, const struct fnx_rig_actuator *rig,
	struct fnx_actuator_config *ret_config)
{
	static const enum fnx_actuator_type types[] = {
		[FNX_ACTUATOR_LOG] = FNX_ACTUATOR_TYPE_LOG,
		[FNX_ACTUATOR_ZMQ] = FNX_ACTUATOR_TYPE_ZMQ,
		[FNX_ACTUATOR_UDP] = FNX_ACTUATOR_TYPE_UDP,
		[FNX_ACTUATOR_SERIAL] = FNX_ACTUATOR_TYPE_SERIAL,
		[FNX_ACTUATOR_TRODES] = FNX_ACTUATOR_TYPE_TRODES,
	};

	*ret_config = (struct fnx_actuator_config){
		.type = types[rig->type],
		.file = rig->file,
		.endpoint = rig->endpoint,
		.device = rig->device,
		.baud = rig->baud,
		.text = rig->text,
		.reply = rig->reply,
		.timeout_ms = rig->timeout_ms,
		.book = fnx_node_state(dispatch->node, sizeof(struct fnx_book), FNX_CACHE_LINE),
	};
}

static int open_team(struct dispatch *dispatch)
{
	const struct fnx_rig_dispatch *rig = &dispatch->rig->dispatch;
	struct fnx_actuator_config actuators[FNX_TEAM_MAX];
	const struct fnx_team_config config = {
		.bus = fnx_node_bus(dispatch->node),
		.name = fnx_node_name(dispatch->node),
		.actuators = actuators,
		.n_actuators = rig->n_actuators,
		.score = fnx_dispatch_score,
		.decide = fnx_dispatch_decide,
		.context = dispatch,
		.spins = fnx_node_wait(dispatch->node) == FNX_WAIT_SPIN,
		.window = rig->task_window,
		.consumed_window = rig->task_consumed_window,
		.heap_size = (uint64_t)rig->task_heap_kb << 10,
		.n_traced = rig->task_trace,
	};
	struct fnx_task_problem problem = {.text = ""};
	uint32_t fault;
	int r;

	for (uint32_t i = 0; i < rig->n_actuators; i++) {
		describe_actuator(dispatch, &rig->actuators[i], &actuators[i]);
		if (!actuators[i].book)
			return -ENOSPC;
	}
	r = fnx_team_open(&config, &problem, &fault, &dispatch->team);
	if (r && fault < rig->n_actuators)
		return fnx_node_fail(dispatch->node, r, "dispatch.actuators[%u] (%s): %s", fault,
			fnx_dispatch_place(&rig->actuators[fault]), strerror(-r));
	if (r)
		return fnx_node_fail(dispatch->node, r, "cannot open the task runtime: %s",
			problem.text[0] ? problem.text : strerror(-r));
	return 0;
}

static int open_params(struct dispatch *dispatch)
{
	struct fnx_node *node = dispatch->node;
	unsigned n = 2;
	int r;

	r = fnx_node_param(
		node, "armed", &dispatch->armed, 0, 1, "flag", "1: tasks are carried out");
	if (!r)
		r = fnx_node_param(node, "dry_run", &dispatch->dry_run, 0, 1, "flag",
			"1: nothing is carried out, armed or not");
	fnx_node_guard(node, "armed", 0);
	fnx_node_guard(node, "dry_run", 1);
	for (unsigned i = 0; i < FNX_RULE_SETTINGS; i++)
		for (uint32_t k = 0; k < dispatch->n_rules && !r && n < FNX_NODE_PARAMS_MAX; k++) {
			struct fnx_rule *rule = &dispatch->rules[k];
			const struct fnx_rule_setting *setting = fnx_rule_setting(rule, i);

			if (!setting)
				continue;
			r = fnx_node_param(node, rule->names[i], &rule->settings[i], setting->min,
				setting->max, setting->unit, setting->meaning);
			n++;
		}
	return r;
}

static int open_topics(struct dispatch *dispatch)
{
	const struct fnx_rig *rig = dispatch->rig;
	struct fnx_node *node = dispatch->node;
	int r = 0;

	dispatch->position_input = dispatch->ripple_input = dispatch->posterior_input = -1;
	/* Position first: what counts is the latest at or before a ripple. */
	if (rig->track.enabled && fnx_rig_rules_take(rig, "position"))
		dispatch->position_input = r =
			fnx_node_input(node, "position", &fnx_position_schema, 0);
	if (r >= 0 && rig->ripple.enabled && fnx_rig_rules_take(rig, "ripple"))
		dispatch->ripple_input = r = fnx_node_input(node, "ripple", &fnx_ripple_schema, 0);
	if (r >= 0 && rig->decode.enabled && fnx_rig_rules_take(rig, "posterior"))
		dispatch->posterior_input = r =
			fnx_node_input(node, "posterior", &fnx_posterior_schema, 0);
	if (r >= 0)
		dispatch->output = r = fnx_node_output(
			node, "decision", &fnx_decision_schema, NULL, dispatch->n_rules);
	if (r >= 0)
		dispatch->outcomes = r = fnx_node_output(
			node, "decision.outcome", &fnx_outcome_schema, NULL, FNX_DISPATCH_OUTCOMES);
	if (r >= 0)
		fnx_node_output_once(node, (unsigned)dispatch->outcomes);
	return r < 0 ? r : 0;
}

int fnx_dispatch_open_all(struct dispatch *dispatch)
{
	char why[FNX_RULE_WHY_MAX];
	int r;

	r = fnx_dispatch_check(dispatch->rig, why);
	if (r)
		fnx_node_fail(dispatch->node, r, "%s", why);
	else
		r = open_rules(dispatch);
	open_gate(dispatch);
	if (!r && dispatch->rig->track.enabled && dispatch->rig->decode.enabled)
		r = open_track(dispatch);
	if (!r)
		r = open_safety(dispatch);
	if (!r)
		r = open_memory(dispatch);
	if (!r)
		r = open_windows(dispatch);
	if (!r)
		r = open_params(dispatch);
	if (!r)
		r = open_topics(dispatch);
	if (!r)
		r = open_team(dispatch);
	return r;
}

/* Starting: what the posterior looks like is known ---------------------------------------- */

static int learn_posterior(struct dispatch *dispatch)
{
	const struct fnx_layout *layout =
		fnx_node_input_layout(dispatch->node, (unsigned)dispatch->posterior_input);

	if (dispatch->track && layout->extents[fnx_posterior_n_bins] != dispatch->n_bins)
		return fnx_node_fail(dispatch->node, -EINVAL,
			"topic posterior has %u bins, the rig's track %u",
			layout->extents[fnx_posterior_n_bins], dispatch->n_bins);
	dispatch->n_states = layout->extents[fnx_posterior_n_states];
	dispatch->n_recent = layout->extents[fnx_posterior_n_recent];
	return 0;
}

static void say_what_is_in_force(struct dispatch *dispatch)
{
	const struct fnx_rig_dispatch *rig = &dispatch->rig->dispatch;
	char tasks[200];

	fnx_node_say(dispatch->node, "%s; at least %g ms between two tasks, at most %g per minute",
		dispatch->dry_run > 0          ? "dry run"
			: dispatch->armed >= 1 ? "armed"
					       : "disarmed",
		rig->lockout_ms, rig->max_rate_per_min);
	fnx_task_describe(fnx_team_runtime(dispatch->team), tasks, sizeof(tasks));
	fnx_node_say(dispatch->node, "%s", tasks);
	if (dispatch->lease_ns)
		fnx_node_say(dispatch->node, "armed only while somebody says so again within %g s",
			rig->lease_s);
	if (!(dispatch->gate.config.ns_per_sample > 0))
		fnx_node_say(dispatch->node,
			"the session has no pace: ages and stalls are not looked at");
	if (!rig->n_actuators)
		fnx_node_say(dispatch->node,
			"the rig names no actuator: a task is a decision on the topic, no more");
	if (fnx_node_forgot(dispatch->node))
		fnx_node_say(dispatch->node,
			"lost: what was done before; lock-outs begin anew, and the rate's "
			"allowance counts as "
			"used up. Armed and all else is as in the rig file, whatever was set "
			"meanwhile");
}

/* What a predecessor had published of its acts is not told again. */
static void resume_reports(struct dispatch *dispatch)
{
	uint64_t head = fnx_node_published(dispatch->node, (unsigned)dispatch->outcomes);

	for (uint32_t i = 0; i < fnx_team_n(dispatch->team); i++)
		fnx_book_resume_reports(
			fnx_actuator_giver(fnx_team_actuator(dispatch->team, i))->book, head);
}

int fnx_dispatch_start(void *self)
{
	struct dispatch *dispatch = self;
	char why[FNX_RULE_WHY_MAX];
	int r;

	r = dispatch->posterior_input >= 0 ? learn_posterior(dispatch) : 0;
	for (uint32_t k = 0; k < dispatch->n_rules && !r; k++) {
		r = dispatch->posterior_input >= 0
			? fnx_rule_check_recent(&dispatch->rules[k], dispatch->n_recent, why)
			: 0;
		if (r)
			fnx_node_fail(dispatch->node, r, "dispatch.rules[%u] (%s): %s", k,
				dispatch->rules[k].name, why);
	}
	if (r)
		return r;
	fnx_dispatch_changed(dispatch);
	dispatch->forgot = fnx_node_forgot(dispatch->node);
	resume_reports(dispatch);
	r = fnx_node_wait(dispatch->node) == FNX_WAIT_SPIN ? fnx_dispatch_open_twin(dispatch) : 0;
	if (r)
		return fnx_node_fail(
			dispatch->node, r, "cannot prepare rehearsals: %s", strerror(-r));
	say_what_is_in_force(dispatch);
	return 0;
}
