/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dispatch node: frames to the rules, rules to safety, safety to the actuators, all of it
 * to the topic `decision`.
 *
 * Long, since one decision passes through all of it: what was seen, allowed, held back and done
 * go into one message.
 *
 * A replay rule looks at what the posterior itself says of the animal's place and speed, so
 * that a recorded posterior is all it takes to decide again. A ripple rule looks at the
 * ripple's speed; for the place it notes the latest position.
 *
 * An action comes before its decision is published: the outcome must be known, and a
 * stimulation should not wait for bookkeeping. But it comes after the slot for the decision was
 * taken: without one (live use, every slot being read) nothing is done.
 *
 * What the safety book allows, the gate and the lease may still hold back. They alone look at the
 * wall clock; the book does not hear of it, so that a replayed session decides as the live one did,
 * and the decision says both: `verdict` is the book's, `outcome` what became of it.
 *
 * Windows, books and the place lie in the node's state: a successor of one that was killed decides
 * as that one would have. What it had given to an actuator and had not committed is decided again,
 * and found given (see actuator.h): no task is done twice, and none without a decision. What it
 * found given counts as acted, whatever the clock says by now; what it finds published and not
 * given is not done.
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
#include "nodes/dispatch/gate.h"
#include "nodes/dispatch/rule.h"
#include "nodes/dispatch/safety.h"
#include "nodes/host/host.h"
#include "nodes/host/track.h"
#include "schemas/decision.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"

#define QUIET_NS INT64_C(2000000000)

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
	int64_t quiet_until_ns; /* see idle */
	double armed, dry_run;
	int forgot; /* until the first frame has said what time it is */
	struct fnx_gate gate;
	int64_t max_age_ns;
	int64_t lease_ns; /* 0: none is needed */
	int64_t *leased_until_ns; /* CLOCK_MONOTONIC; in the node's state, as what follows */
	int64_t *target; /* instructive: index of the arm that is wanted */
	struct fnx_truths *truths;
	int32_t *position_bin;
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
		.max_per_run = rig->max_per_run,
		.sham_fraction = rig->sham_fraction,
		.sham_seed = rig->sham_seed,
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
		.resumed = fnx_node_remembers(node), .journal = fnx_node_journal(node)};
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

static const char *actuator_place(const struct fnx_rig_actuator *actuator)
{
	const char *place = actuator->type == FNX_ACTUATOR_LOG ? actuator->file
		: actuator->type == FNX_ACTUATOR_SERIAL        ? actuator->device
							       : actuator->endpoint;

	return place && place[0]                        ? place
		: actuator->type == FNX_ACTUATOR_LOG    ? "standard error"
		: actuator->type == FNX_ACTUATOR_SERIAL ? "no device"
							: "no endpoint";
}

static int open_actuators(struct dispatch *dispatch)
{
	static const enum fnx_actuator_type types[] = {
		[FNX_ACTUATOR_LOG] = FNX_ACTUATOR_TYPE_LOG,
		[FNX_ACTUATOR_ZMQ] = FNX_ACTUATOR_TYPE_ZMQ,
		[FNX_ACTUATOR_UDP] = FNX_ACTUATOR_TYPE_UDP,
		[FNX_ACTUATOR_SERIAL] = FNX_ACTUATOR_TYPE_SERIAL,
		[FNX_ACTUATOR_TRODES] = FNX_ACTUATOR_TYPE_TRODES,
	};
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
			.type = types[rig->actuators[i].type],
			.wake = spins ? FNX_ACTUATOR_POLL : FNX_ACTUATOR_BELL,
			.file = rig->actuators[i].file,
			.endpoint = rig->actuators[i].endpoint,
			.device = rig->actuators[i].device,
			.baud = rig->actuators[i].baud,
			.text = rig->actuators[i].text,
			.reply = rig->actuators[i].reply,
			.timeout_ms = rig->actuators[i].timeout_ms,
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

static int check_targets(struct dispatch *dispatch)
{
	const struct fnx_rig *rig = dispatch->rig;
	const struct fnx_rig_ids *targets = &rig->dispatch.targets;

	for (uint32_t i = 0; i < targets->n; i++)
		if (targets->values[i] >= rig->track.n_arms)
			return fnx_node_fail(dispatch->node, -EINVAL,
				"dispatch.targets: expected arms of the track, found %u",
				targets->values[i]);
	if (rig->dispatch.lease_s > 0 && rig->dispatch.armed)
		return fnx_node_fail(dispatch->node, -EINVAL,
			"dispatch.armed: with lease_s a rig starts disarmed, until somebody arms "
			"it");
	return 0;
}

static void dispatch_close(void *self);

static int open_all(struct dispatch *dispatch)
{
	int r;

	r = check_targets(dispatch);
	if (!r)
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

/* A predecessor has told one of them at least. */
static int was_given(const struct dispatch *dispatch, const struct fnx_actuator_command *command)
{
	for (uint32_t i = 0; i < dispatch->n_actuators; i++)
		if (fnx_actuator_was_given(dispatch->actuators[i], command))
			return 1;
	return 0;
}

/* Who armed it must be there still. */
static int is_attended(const struct dispatch *dispatch, int64_t now_ns)
{
	return !dispatch->lease_ns || now_ns < *dispatch->leased_until_ns;
}

/* What the clock says against a task that the book allows. 0: nothing. */
static int objection(const struct dispatch *dispatch, const struct fnx_frame *frame, int64_t now_ns,
	struct fnx_decision *decision)
{
	unsigned output = (unsigned)dispatch->output;
	int r = fnx_gate_ask(&dispatch->gate, frame->stamp.sample_time, frame->stamp.ingress_ns,
		now_ns, &decision->age_ns);

	if (!is_attended(dispatch, now_ns))
		return FNX_DECISION_UNATTENDED;
	if (r)
		return r;
	/* A predecessor has published more than it committed, and acted before it did. */
	if (fnx_node_next(dispatch->node, output) < fnx_node_published(dispatch->node, output))
		return FNX_DECISION_NOT_REPEATED;
	return 0;
}

static int64_t expiry(const struct dispatch *dispatch, int64_t age_ns, int64_t now_ns)
{
	return dispatch->max_age_ns ? now_ns + dispatch->max_age_ns - age_ns : 0;
}

/* Has it done, if nothing speaks against it. Returns the outcome. */
static int carry_out(
	struct dispatch *dispatch, const struct fnx_frame *frame, struct fnx_decision *decision)
{
	int64_t now_ns = fnx_node_now();
	int against = objection(dispatch, frame, now_ns, decision);
	struct fnx_actuator_command command = {
		.stamp =
			{
				.seq = fnx_node_next(dispatch->node, (unsigned)dispatch->output),
				.sample_time = frame->stamp.sample_time,
				.ingress_ns = frame->stamp.ingress_ns,
				.publish_ns = now_ns,
				.flags = frame->stamp.flags,
			},
		.decision = *decision,
		.expires_ns = expiry(dispatch, decision->age_ns, now_ns),
	};

	command.decision.latency_ns = decision->latency_ns = now_ns - frame->stamp.ingress_ns;
	command.decision.outcome = FNX_DECISION_ACTED;
	if (was_given(dispatch, &command)) {
		/* Those that it did not come to are told now, unless it is too late. */
		if (against)
			return FNX_DECISION_ACTED;
	} else if (decision->verdict != FNX_DECISION_ACTED) {
		return (int)decision->verdict;
	} else if (against) {
		return against;
	}
	return act(dispatch, &command) ? FNX_DECISION_ACTUATOR_FAILED : FNX_DECISION_ACTED;
}

/* Instructive: the arm that is wanted now, -1: any. */
static int32_t target_arm(const struct dispatch *dispatch)
{
	const struct fnx_rig_ids *targets = &dispatch->rig->dispatch.targets;

	/* Any bytes may have been left there. */
	return targets->n ? (int32_t)targets->values[(uint64_t)*dispatch->target % targets->n] : -1;
}

static int is_trial(int verdict)
{
	return verdict == FNX_DECISION_ACTED || verdict == FNX_DECISION_SHAM ||
		verdict == FNX_DECISION_DRY_RUN;
}

/* What the book says, in sample time. */
static int judge(struct dispatch *dispatch, uint32_t k, int rose, const struct fnx_frame *frame,
	const struct fnx_decision *decision)
{
	int32_t wanted = decision->target_arm;
	int verdict;

	if (wanted >= 0 && decision->arm >= 0 && decision->arm != wanted &&
		(dispatch->armed >= 1 || dispatch->dry_run > 0))
		return fnx_safety_tell(dispatch->safety, k, rose, FNX_DECISION_NOT_TARGET);
	verdict = fnx_safety_fire(dispatch->safety, k, rose, frame->stamp.sample_time);
	if (wanted >= 0 && decision->arm >= 0 && is_trial(verdict)) {
		fnx_journal_touch(fnx_node_journal(dispatch->node), dispatch->target,
			sizeof(*dispatch->target));
		*dispatch->target = (int64_t)((uint64_t)*dispatch->target + 1);
	}
	return verdict;
}

/* A rule is true: act if that is allowed, and publish what became of it. */
static void fire(struct dispatch *dispatch, uint32_t k, int rose, const struct fnx_frame *frame,
	struct fnx_decision *decision)
{
	struct fnx_rule *rule = &dispatch->rules[k];
	unsigned output = (unsigned)dispatch->output;
	void *payload;
	int verdict;

	decision->target_arm = target_arm(dispatch);
	verdict = judge(dispatch, k, rose, frame, decision);
	if (verdict == FNX_SAFETY_SILENT)
		return;
	/* Nothing is done that cannot be recorded. */
	payload = fnx_node_loan(dispatch->node, output);
	if (!payload)
		return;
	decision->cause_seq = (int64_t)frame->seq;
	decision->cause_publish_ns = frame->stamp.publish_ns;
	decision->rule = k;
	decision->task = rule->config->task;
	decision->verdict = (uint32_t)verdict;
	decision->rules_true = dispatch->truths->now;
	memcpy(decision->rule_name, rule->name, sizeof(decision->rule_name));
	decision->outcome = (uint32_t)carry_out(dispatch, frame, decision);
	memcpy(payload, decision, sizeof(*decision));
	fnx_node_publish(dispatch->node, output, frame->stamp.sample_time);
}

/* Frames ---------------------------------------------------------------------------------- */

/* What the rules say of one frame. All have spoken before any of them fires, so that each decision
 * knows what the others said. */
struct verdicts {
	uint32_t is_true, rose; /* bit per rule */
	int any; /* some rule was looked at */
	struct fnx_decision evidence[FNX_TRUTHS_MAX];
};

static void enter(struct dispatch *dispatch, struct verdicts *verdicts, uint32_t k, int is_true,
	int rose, const struct fnx_frame *frame)
{
	fnx_truths_set(dispatch->truths, fnx_node_journal(dispatch->node), k, is_true,
		frame->stamp.sample_time);
	verdicts->any = 1;
	verdicts->is_true |= (uint32_t)(is_true != 0) << k;
	verdicts->rose |= (uint32_t)(is_true && rose) << k;
}

/* Of the first rule that it names and that is true in this frame. */
static const struct fnx_decision *evidence_of(
	const struct verdicts *verdicts, const struct fnx_combination *combination)
{
	uint32_t fresh = verdicts->is_true & (combination->all_of | combination->any_of);

	return &verdicts->evidence[__builtin_ctz(fresh)];
}

static void combine(
	struct dispatch *dispatch, struct verdicts *verdicts, const struct fnx_frame *frame)
{
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		struct fnx_rule *rule = &dispatch->rules[k];
		int is_true, was_true;

		if (rule->config->type != FNX_RULE_COMBINATION)
			continue;
		is_true = fnx_truths_combine(dispatch->truths, &rule->combination,
			verdicts->is_true, frame->stamp.sample_time);
		if (is_true)
			verdicts->evidence[k] = *evidence_of(verdicts, &rule->combination);
		is_true = is_true && fnx_rule_lets(rule, verdicts->evidence[k].speed);
		was_true = *rule->was_true != 0;
		if (was_true != is_true) {
			fnx_journal_touch(fnx_node_journal(dispatch->node), rule->was_true,
				sizeof(*rule->was_true));
			*rule->was_true = is_true;
		}
		enter(dispatch, verdicts, k, is_true, !was_true, frame);
	}
}

static void fire_all(
	struct dispatch *dispatch, struct verdicts *verdicts, const struct fnx_frame *frame)
{
	if (!verdicts->any)
		return;
	combine(dispatch, verdicts, frame);
	for (uint32_t k = 0; k < dispatch->n_rules; k++)
		if (verdicts->is_true & UINT32_C(1) << k && !dispatch->rules[k].config->component)
			fire(dispatch, k, (int)(verdicts->rose >> k & 1), frame,
				&verdicts->evidence[k]);
}

static void take_position(
	struct dispatch *dispatch, struct verdicts *verdicts, const struct fnx_frame *frame)
{
	const struct fnx_position *position = frame->payload;
	const struct fnx_head_sample sample = {.x = position->raw_x,
		.y = position->raw_y,
		.x2 = position->raw_x2,
		.y2 = position->raw_y2,
		.tracked = (position->flags & FNX_POSITION_TRACKED) != 0};
	struct fnx_head_evidence evidence;

	fnx_journal_touch(fnx_node_journal(dispatch->node), dispatch->position_bin,
		sizeof(*dispatch->position_bin));
	*dispatch->position_bin = position->flags & FNX_POSITION_ON_TRACK ? position->bin : -1;
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		struct fnx_rule *rule = &dispatch->rules[k];
		int is_true;

		if (!rule->head)
			continue;
		is_true = fnx_head_step(rule->head, &sample, &evidence) &&
			fnx_rule_lets(rule, position->speed);
		enter(dispatch, verdicts, k, is_true, evidence.rose, frame);
		verdicts->evidence[k] = (struct fnx_decision){
			.speed = position->speed,
			.head_deg = evidence.angle_deg,
			.arm = -1,
			.position_bin = *dispatch->position_bin,
		};
	}
}

static int starts_ripple(const struct fnx_rule *rule, const struct fnx_ripple *ripple)
{
	static const uint32_t types[] = {[FNX_RIPPLE_KIND_STANDARD] = FNX_RIPPLE_STANDARD,
		[FNX_RIPPLE_KIND_CONDITIONING] = FNX_RIPPLE_CONDITIONING,
		[FNX_RIPPLE_KIND_CONTENT] = FNX_RIPPLE_CONTENT};

	return rule->ripple && types[rule->config->ripple_type] == ripple->type;
}

static void take_ripple(
	struct dispatch *dispatch, struct verdicts *verdicts, const struct fnx_frame *frame)
{
	const struct fnx_ripple *ripple = frame->payload;
	struct fnx_ripple_rule_evidence evidence;

	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		int is_true;

		if (!starts_ripple(&dispatch->rules[k], ripple))
			continue;
		is_true = fnx_ripple_rule_onset(dispatch->rules[k].ripple, ripple->channel,
			frame->stamp.sample_time, ripple->speed, &evidence);
		enter(dispatch, verdicts, k, is_true, evidence.rose, frame);
		verdicts->evidence[k] = (struct fnx_decision){
			.speed = ripple->speed,
			.head_deg = (double)NAN,
			.arm = -1,
			.position_bin = *dispatch->position_bin,
			.n_groups = evidence.n_electrodes,
		};
	}
}

static double centre_distance(const struct dispatch *dispatch, int32_t bin)
{
	return bin >= 0 && (uint32_t)bin < dispatch->n_bins ? dispatch->centre_distance_cm[bin]
							    : (double)NAN;
}

static void take_bin(struct dispatch *dispatch, struct verdicts *verdicts,
	const struct fnx_frame *frame, const struct fnx_replay_bin *bin)
{
	const struct fnx_posterior *posterior = frame->payload;
	struct fnx_replay_evidence evidence;

	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		int is_true;

		if (!dispatch->rules[k].replay)
			continue;
		is_true = fnx_replay_step(dispatch->rules[k].replay, bin, &evidence);
		enter(dispatch, verdicts, k, is_true, evidence.rose, frame);
		verdicts->evidence[k] = (struct fnx_decision){
			.target_mass = evidence.target_mass,
			.other_mass = evidence.other_mass,
			.speed = posterior->speed,
			.head_deg = (double)NAN,
			.arm = (int32_t)dispatch->rules[k].config->arm,
			.position_bin = posterior->position_bin,
			.n_groups = evidence.n_groups,
		};
	}
}

static void take_posterior(
	struct dispatch *dispatch, struct verdicts *verdicts, const struct fnx_frame *frame)
{
	const struct fnx_layout *layout =
		fnx_node_input_layout(dispatch->node, (unsigned)dispatch->posterior_input);
	const struct fnx_posterior *posterior = frame->payload;
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
	take_bin(dispatch, verdicts, frame, &bin);
}

static void dispatch_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct dispatch *dispatch = self;
	struct verdicts verdicts;

	verdicts.is_true = verdicts.rose = 0;
	verdicts.any = 0;
	fnx_gate_pass(&dispatch->gate, frame->stamp.sample_time, fnx_node_now());
	if (frame->stamp.flags & (FNX_FRAME_LATE | FNX_FRAME_INCOMPLETE))
		fnx_gate_flag(&dispatch->gate, frame->stamp.sample_time);
	if (dispatch->forgot) {
		fnx_safety_restarted(dispatch->safety, frame->stamp.sample_time);
		dispatch->forgot = 0;
	}
	if ((int)input == dispatch->position_input)
		take_position(dispatch, &verdicts, frame);
	else if ((int)input == dispatch->ripple_input)
		take_ripple(dispatch, &verdicts, frame);
	else
		take_posterior(dispatch, &verdicts, frame);
	fire_all(dispatch, &verdicts, frame);
}

static int dispatch_advance(void *self, int64_t until, int64_t *ret_watermark)
{
	struct dispatch *dispatch = self;

	(void)ret_watermark;
	/* The end of a session is no time that passes. */
	if (until < FNX_END)
		fnx_gate_pass(&dispatch->gate, until, fnx_node_now());
	return FNX_DONE;
}

/* Bins that are missing from a window are no window. */
static void dispatch_gap(void *self, unsigned input, const struct fnx_gap *gap)
{
	struct dispatch *dispatch = self;

	(void)gap;
	if (dispatch->gate.begun)
		fnx_gate_flag(&dispatch->gate, dispatch->gate.last_sample);
	for (uint32_t k = 0; k < dispatch->n_rules; k++) {
		if ((int)input == dispatch->posterior_input && dispatch->rules[k].replay)
			fnx_replay_reset(dispatch->rules[k].replay);
		if ((int)input == dispatch->position_input && dispatch->rules[k].head)
			fnx_head_reset(dispatch->rules[k].head);
	}
}

/* Attendance ------------------------------------------------------------------------------ */

static void renew(struct dispatch *dispatch)
{
	fnx_journal_touch(fnx_node_journal(dispatch->node), dispatch->leased_until_ns,
		sizeof(*dispatch->leased_until_ns));
	*dispatch->leased_until_ns = fnx_node_now() + dispatch->lease_ns;
}

static void asked(void *self, const char *key, double value)
{
	struct dispatch *dispatch = self;

	if (strcmp(key, "armed") != 0 || value < 1)
		return;
	/* A person looks at the rig: the source's pace is what it is now. */
	fnx_gate_anew(&dispatch->gate);
	renew(dispatch);
}

/* Keeps armed what is armed, and arms nothing. */
static double alive(void *self)
{
	struct dispatch *dispatch = self;

	if (!dispatch->lease_ns || dispatch->armed < 1 || !is_attended(dispatch, fnx_node_now()))
		return 0;
	renew(dispatch);
	return (double)dispatch->lease_ns / 1e6;
}

/* Once nobody has been heard of it stays disarmed until somebody arms it. */
static void lapse(struct dispatch *dispatch)
{
	if (dispatch->armed > 0 && !is_attended(dispatch, fnx_node_now()))
		fnx_node_change(dispatch->node, "armed", 0, "nobody: the lease ran out");
}

/* Ending ---------------------------------------------------------------------------------- */

static void say_failures(void *self)
{
	struct dispatch *dispatch = self;

	for (uint32_t i = 0; i < dispatch->n_actuators; i++) {
		struct fnx_actuator_counts counts = fnx_actuator_counts(dispatch->actuators[i]);
		uint64_t failures = counts.failed + counts.refused + counts.lost + counts.unknown +
			counts.expired + counts.unconfirmed;

		if (failures == dispatch->failures_said[i])
			continue;
		dispatch->failures_said[i] = failures;
		fnx_node_say(dispatch->node,
			"actuator %s: %llu of %llu tasks were not carried out (%s)",
			actuator_place(&dispatch->rig->dispatch.actuators[i]),
			(unsigned long long)failures,
			(unsigned long long)(counts.given + counts.refused),
			counts.unknown ? "of one or more it is not known; the process was killed"
				: counts.lost        ? "the process was killed"
				: counts.unconfirmed ? "of one or more no answer came in time"
				: counts.expired     ? "their turn came too late"
				: !counts.failed     ? "too many at once"
				: counts.error == -EAGAIN || counts.error == -ENOTCONN
				? "nobody takes them"
				: strerror(-counts.error));
	}
}

/* One that fails at every task says so now and then, not each time. */
static void idle(void *self)
{
	struct dispatch *dispatch = self;
	int64_t now_ns = fnx_node_now();

	lapse(dispatch);
	if (now_ns < dispatch->quiet_until_ns)
		return;
	dispatch->quiet_until_ns = now_ns + QUIET_NS;
	say_failures(dispatch);
}

static void say_latency(struct dispatch *dispatch, uint32_t i)
{
	struct fnx_actuator_latency latency = fnx_actuator_latency(dispatch->actuators[i]);

	if (latency.n)
		fnx_node_say(dispatch->node,
			"actuator %s: %llu carried out, %.0f us after the frame that caused them "
			"(p50; p99 %.0f, p99.9 %.0f)",
			actuator_place(&dispatch->rig->dispatch.actuators[i]),
			(unsigned long long)latency.n, latency.p50_us, latency.p99_us,
			latency.p999_us);
}

static void dispatch_close(void *self)
{
	struct dispatch *dispatch = self;

	say_failures(dispatch);
	for (uint32_t i = 0; i < dispatch->n_actuators; i++)
		say_latency(dispatch, i);
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
	.advance = dispatch_advance,
	.changed = changed,
	.asked = asked,
	.alive = alive,
	.idle = idle,
	.close = dispatch_close,
};
