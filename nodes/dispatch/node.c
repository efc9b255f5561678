/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dispatch node: frames to the rules, rules to safety, safety to the actuators, all of it
 * to the topic `decision`.
 *
 * A replay rule looks at what the posterior itself says of the animal's place and speed, so
 * that a recorded posterior is all it takes to decide again. A ripple rule looks at the
 * ripple's speed; for the place it notes the latest position.
 *
 * An action comes before its decision is published: the outcome must be known, and a
 * stimulation should not wait for bookkeeping. Should the decision find no slot (live use,
 * every slot being read), the task is done all the same; readers see the gap.
 *
 * Windows, books and the place lie in the node's state: a successor of one that was killed decides
 * as that one would have. What it had given to an actuator and had not committed is decided again,
 * and found given (see actuator.h): no task is done twice, and none without a decision.
 *
 * Where the state was lost (another rig, another build), so are the sliding windows (no rule is
 * true before they are full again), the memory of tasks done (taken to have been done just now, see
 * safety.h: nothing for a minute), and what was set while the predecessor ran. Armed is then what
 * the rig file says: a rig that must never arm itself says `armed: false` and is armed by `fornix
 * set`.
 */
#include "nodes/dispatch/node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/dispatch/actuator.h"
#include "nodes/dispatch/rule.h"
#include "nodes/dispatch/safety.h"
#include "nodes/host/host.h"
#include "nodes/host/track.h"
#include "schemas/decision.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"

struct dispatch {
	struct fnx_node *node;
	const struct fnx_rig *rig;
	struct fnx_rule *rules; /* [n_rules] */
	uint32_t n_rules;
	struct fnx_track *track; /* NULL: no rule needs it */
	double *centre_distance_cm; /* [n_bins] from the track's first bin */
	uint32_t n_bins, n_states, n_recent;
	struct fnx_safety *safety;
	struct fnx_actuator **actuators; /* [n_actuators] */
	uint64_t *failures_said; /* [n_actuators] */
	uint32_t n_actuators;
	double armed, dry_run;
	int forgot; /* until the first frame has said what time it is */
	int32_t *position_bin; /* in the node's state */
	int position_input, ripple_input, posterior_input, output;
};

/* Opening --------------------------------------------------------------------------------- */

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
static void changed(void *self)
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
		.resumed = fnx_node_remembers(dispatch->node),
		.journal = fnx_node_journal(dispatch->node),
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

/* What the rules remember. */
static int open_windows(struct dispatch *dispatch)
{
	struct fnx_node *node = dispatch->node;
	uint32_t n_arms = dispatch->track ? fnx_track_arms(dispatch->track) : 0;
	struct fnx_rule_place place = {
		.resumed = fnx_node_remembers(node), .journal = fnx_node_journal(node)};
	char why[FNX_RULE_WHY_MAX];
	int r;

	dispatch->position_bin = fnx_node_state(node, sizeof(int32_t), sizeof(int64_t));
	if (!dispatch->position_bin)
		return -ENOSPC;
	if (!fnx_node_remembers(node))
		*dispatch->position_bin = -1;
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

static const char *actuator_place(const struct fnx_rig_actuator *actuator)
{
	const char *place =
		actuator->type == FNX_ACTUATOR_ZMQ ? actuator->endpoint : actuator->file;

	return place && place[0]                     ? place
		: actuator->type == FNX_ACTUATOR_ZMQ ? "no endpoint"
						     : "standard error";
}

static int open_actuators(struct dispatch *dispatch)
{
	const struct fnx_rig_dispatch *rig = &dispatch->rig->dispatch;
	int spins = fnx_node_wait(dispatch->node) == FNX_WAIT_SPIN;

	if (!rig->n_actuators)
		return 0;
	dispatch->actuators = calloc(rig->n_actuators, sizeof(struct fnx_actuator *));
	dispatch->failures_said = calloc(rig->n_actuators, sizeof(*dispatch->failures_said));
	if (!dispatch->actuators || !dispatch->failures_said)
		return no_memory(dispatch);
	for (uint32_t i = 0; i < rig->n_actuators; i++) {
		struct fnx_actuator_config config = {
			.type = rig->actuators[i].type == FNX_ACTUATOR_ZMQ ? FNX_ACTUATOR_TYPE_ZMQ
									   : FNX_ACTUATOR_TYPE_LOG,
			.wake = spins ? FNX_ACTUATOR_POLL : FNX_ACTUATOR_BELL,
			.file = rig->actuators[i].file,
			.endpoint = rig->actuators[i].endpoint,
			.ring = fnx_node_state(
				dispatch->node, sizeof(struct fnx_actuator_ring), FNX_CACHE_LINE),
		};
		int r;

		if (!config.ring)
			return -ENOSPC;
		r = fnx_actuator_open(&config, &dispatch->actuators[i]);
		if (r)
			return fnx_node_fail(dispatch->node, r, "dispatch.actuators[%u] (%s): %s",
				i, actuator_place(&rig->actuators[i]), strerror(-r));
		dispatch->n_actuators++;
	}
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
	if (rig->track.enabled)
		dispatch->position_input = r =
			fnx_node_input(node, "position", &fnx_position_schema, 0);
	if (r >= 0 && rig->ripple.enabled)
		dispatch->ripple_input = r = fnx_node_input(node, "ripple", &fnx_ripple_schema, 0);
	if (r >= 0 && rig->decode.enabled)
		dispatch->posterior_input = r =
			fnx_node_input(node, "posterior", &fnx_posterior_schema, 0);
	if (r >= 0)
		dispatch->output = r = fnx_node_output(
			node, "decision", &fnx_decision_schema, NULL, dispatch->n_rules);
	return r < 0 ? r : 0;
}

static void dispatch_close(void *self);

static int open_all(struct dispatch *dispatch)
{
	int r;

	r = open_rules(dispatch);
	if (!r && dispatch->rig->track.enabled && dispatch->rig->decode.enabled)
		r = open_track(dispatch);
	if (!r)
		r = open_safety(dispatch);
	if (!r)
		r = open_windows(dispatch);
	if (!r)
		r = open_params(dispatch);
	if (!r)
		r = open_topics(dispatch);
	if (!r)
		r = open_actuators(dispatch);
	return r;
}

static int dispatch_open(struct fnx_node *node, void **ret_self)
{
	struct dispatch *dispatch = calloc(1, sizeof(*dispatch));
	int r;

	if (!dispatch)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	dispatch->node = node;
	dispatch->rig = fnx_node_rig(node);
	dispatch->n_rules = dispatch->rig->dispatch.n_rules;
	r = open_all(dispatch);
	if (r)
		dispatch_close(dispatch);
	else
		*ret_self = dispatch;
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

	fnx_node_say(dispatch->node, "%s; at least %g ms between two tasks, at most %g per minute",
		dispatch->dry_run > 0          ? "dry run"
			: dispatch->armed >= 1 ? "armed"
					       : "disarmed",
		rig->lockout_ms, rig->max_rate_per_min);
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

static int dispatch_start(void *self)
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
	changed(dispatch);
	dispatch->forgot = fnx_node_forgot(dispatch->node);
	say_what_is_in_force(dispatch);
	return 0;
}

/* Deciding and acting --------------------------------------------------------------------- */

/* Every action goes through here. 0: each actuator took it; negative: one at least did not. */
static int act(struct dispatch *dispatch, const struct fnx_actuator_command *command)
{
	int r = 0;

	for (uint32_t i = 0; i < dispatch->n_actuators; i++) {
		int refused = fnx_actuator_give(dispatch->actuators[i], command);

		r = refused ? refused : r;
	}
	return r;
}

/* A rule is true: act if that is allowed, and publish what became of it. */
static void fire(struct dispatch *dispatch, uint32_t k, int rose, const struct fnx_frame *frame,
	struct fnx_decision *decision)
{
	struct fnx_rule *rule = &dispatch->rules[k];
	int outcome = fnx_safety_fire(dispatch->safety, k, rose, frame->stamp.sample_time);
	unsigned output = (unsigned)dispatch->output;
	void *payload;

	if (outcome == FNX_SAFETY_SILENT)
		return;
	decision->cause_seq = (int64_t)frame->seq;
	decision->cause_publish_ns = frame->stamp.publish_ns;
	decision->rule = k;
	decision->task = rule->config->task;
	decision->outcome = (uint32_t)outcome;
	memcpy(decision->rule_name, rule->name, sizeof(decision->rule_name));
	if (outcome == FNX_DECISION_ACTED) {
		struct fnx_actuator_command command = {
			.stamp =
				{
					.seq = fnx_node_next(dispatch->node, output),
					.sample_time = frame->stamp.sample_time,
					.ingress_ns = frame->stamp.ingress_ns,
					.publish_ns = fnx_node_now(),
					.flags = frame->stamp.flags,
				},
			.decision = *decision,
		};

		if (act(dispatch, &command))
			decision->outcome = FNX_DECISION_ACTUATOR_FAILED;
	}
	payload = fnx_node_loan(dispatch->node, output);
	if (!payload)
		return;
	memcpy(payload, decision, sizeof(*decision));
	fnx_node_publish(dispatch->node, output, frame->stamp.sample_time);
}

/* Frames ---------------------------------------------------------------------------------- */

static void take_position(struct dispatch *dispatch, const struct fnx_position *position)
{
	fnx_journal_touch(fnx_node_journal(dispatch->node), dispatch->position_bin,
		sizeof(*dispatch->position_bin));
	*dispatch->position_bin = position->flags & FNX_POSITION_ON_TRACK ? position->bin : -1;
}

static void take_ripple(struct dispatch *dispatch, const struct fnx_frame *frame)
{
	const struct fnx_ripple *ripple = frame->payload;
	struct fnx_ripple_rule_evidence evidence;

	if (ripple->type != FNX_RIPPLE_STANDARD)
		return;
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		struct fnx_decision decision;

		if (!dispatch->rules[k].ripple ||
			!fnx_ripple_rule_onset(dispatch->rules[k].ripple, ripple->channel,
				frame->stamp.sample_time, ripple->speed, &evidence))
			continue;
		decision = (struct fnx_decision){
			.speed = ripple->speed,
			.arm = -1,
			.position_bin = *dispatch->position_bin,
			.n_groups = evidence.n_electrodes,
		};
		fire(dispatch, k, evidence.rose, frame, &decision);
	}
}

static double centre_distance(const struct dispatch *dispatch, int32_t bin)
{
	return bin >= 0 && (uint32_t)bin < dispatch->n_bins ? dispatch->centre_distance_cm[bin]
							    : (double)NAN;
}

static void take_posterior(struct dispatch *dispatch, const struct fnx_frame *frame)
{
	const struct fnx_layout *layout =
		fnx_node_input_layout(dispatch->node, (unsigned)dispatch->posterior_input);
	const struct fnx_posterior *posterior = frame->payload;
	struct fnx_replay_evidence evidence;
	struct fnx_masses masses;
	struct fnx_replay_bin bin = {
		.groups = fnx_posterior_get_recent_group(layout, frame->payload),
		.n_groups = posterior->n_recent_valid < dispatch->n_recent
			? posterior->n_recent_valid
			: dispatch->n_recent,
		.centre_distance_cm = centre_distance(dispatch, posterior->position_bin),
		.speed_cm_s = posterior->speed,
	};

	if (!dispatch->track)
		return;
	if (!fnx_masses_of(dispatch->track, fnx_posterior_get_posterior(layout, frame->payload),
		    dispatch->n_states, &masses))
		bin.masses = &masses;
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		struct fnx_decision decision;

		if (!dispatch->rules[k].replay ||
			!fnx_replay_step(dispatch->rules[k].replay, &bin, &evidence))
			continue;
		decision = (struct fnx_decision){
			.target_mass = evidence.target_mass,
			.other_mass = evidence.other_mass,
			.speed = posterior->speed,
			.arm = (int32_t)dispatch->rules[k].config->arm,
			.position_bin = posterior->position_bin,
			.n_groups = evidence.n_groups,
		};
		fire(dispatch, k, evidence.rose, frame, &decision);
	}
}

static void dispatch_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct dispatch *dispatch = self;

	if (dispatch->forgot) {
		fnx_safety_restarted(dispatch->safety, frame->stamp.sample_time);
		dispatch->forgot = 0;
	}
	if ((int)input == dispatch->position_input)
		take_position(dispatch, frame->payload);
	else if ((int)input == dispatch->ripple_input)
		take_ripple(dispatch, frame);
	else
		take_posterior(dispatch, frame);
}

/* Bins that are missing from a window are no window. */
static void dispatch_gap(void *self, unsigned input, const struct fnx_gap *gap)
{
	struct dispatch *dispatch = self;

	(void)gap;
	for (uint32_t k = 0; k < dispatch->n_rules && (int)input == dispatch->posterior_input; k++)
		if (dispatch->rules[k].replay)
			fnx_replay_reset(dispatch->rules[k].replay);
}

/* Ending ---------------------------------------------------------------------------------- */

static void say_failures(void *self)
{
	struct dispatch *dispatch = self;

	for (uint32_t i = 0; i < dispatch->n_actuators; i++) {
		struct fnx_actuator_counts counts = fnx_actuator_counts(dispatch->actuators[i]);
		uint64_t failures = counts.failed + counts.refused + counts.lost + counts.unknown;

		if (failures == dispatch->failures_said[i])
			continue;
		dispatch->failures_said[i] = failures;
		fnx_node_say(dispatch->node,
			"actuator %s: %llu of %llu tasks were not carried out (%s)",
			actuator_place(&dispatch->rig->dispatch.actuators[i]),
			(unsigned long long)failures,
			(unsigned long long)(counts.given + counts.refused),
			counts.unknown ? "of one or more it is not known; the process was killed"
				: counts.lost             ? "the process was killed"
				: !counts.failed          ? "too many at once"
				: counts.error == -EAGAIN ? "nobody takes them"
							  : strerror(-counts.error));
	}
}

static void dispatch_close(void *self)
{
	struct dispatch *dispatch = self;

	say_failures(dispatch);
	for (uint32_t i = 0; i < dispatch->n_actuators; i++)
		fnx_actuator_close(dispatch->actuators[i]);
	for (uint32_t k = 0; dispatch->rules && k < dispatch->n_rules; k++)
		fnx_rule_fini(&dispatch->rules[k]);
	fnx_safety_free(dispatch->safety);
	fnx_track_free(dispatch->track);
	free(dispatch->centre_distance_cm);
	free(dispatch->actuators);
	free(dispatch->failures_said);
	free(dispatch->rules);
	free(dispatch);
}

static int dispatch_wanted(const struct fnx_rig *rig)
{
	return rig->dispatch.enabled;
}

const struct fnx_node_ops fnx_dispatch_ops = {
	.type = "dispatch",
	.summary = "decides when to stimulate, and tells the actuators",
	.wanted = dispatch_wanted,
	.open = dispatch_open,
	.start = dispatch_start,
	.frame = dispatch_frame,
	.gap = dispatch_gap,
	.changed = changed,
	.idle = say_failures,
	.close = dispatch_close,
};
