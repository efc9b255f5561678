/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking: each frame goes to the rules that it concerns; when all have spoken, those that combine
 * others; then those that are true fire.
 *
 * A replay rule looks at what the posterior itself says of the animal's place and speed, so
 * that a recorded posterior is all it takes to decide again. A ripple rule looks at the
 * ripple's speed; for the place it notes the latest position.
 */
#include <math.h>
#include <string.h>

#include "nodes/dispatch/dispatch.h"
#include "schemas/decision.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"

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
	fnx_truths_set(dispatch->truths, dispatch->journal, k, is_true, frame->stamp.sample_time);
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
			fnx_journal_touch(
				dispatch->journal, rule->was_true, sizeof(*rule->was_true));
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
			fnx_dispatch_fire(dispatch, k, (int)(verdicts->rose >> k & 1), frame,
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

	fnx_journal_touch(
		dispatch->journal, dispatch->position_bin, sizeof(*dispatch->position_bin));
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
	else
		fnx_node_count_bad(dispatch->node, (unsigned)dispatch->posterior_input);
	take_bin(dispatch, verdicts, frame, &bin);
}

void fnx_dispatch_look(struct dispatch *dispatch, unsigned input, const struct fnx_frame *frame)
{
	struct verdicts verdicts;

	verdicts.is_true = verdicts.rose = 0;
	verdicts.any = 0;
	if ((int)input == dispatch->position_input)
		take_position(dispatch, &verdicts, frame);
	else if ((int)input == dispatch->ripple_input)
		take_ripple(dispatch, &verdicts, frame);
	else
		take_posterior(dispatch, &verdicts, frame);
	fire_all(dispatch, &verdicts, frame);
}
