/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rule is true: its tasks score and decide (team.h) say what was seen and what may be done about it;
 * the actuators are told; the decision is published, outcome included.
 *
 * An action comes before its decision is published: the outcome must be known, and a
 * stimulation should not wait for bookkeeping. But it comes after the slot for the decision was
 * taken: without one (live use, every slot being read) nothing is done.
 *
 * What the safety book allows, the gate and the lease may still hold back. They alone look at the
 * wall clock; the book does not hear of it, so that a replayed session decides as the live one did,
 * and the decision says both: `verdict` is the book's, `outcome` what became of it.
 */
#include <string.h>

#include "nodes/dispatch/dispatch.h"
#include "schemas/decision.h"

/* Who armed it must be there still. */
int fnx_dispatch_is_attended(const struct dispatch *dispatch, int64_t now_ns)
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

	if (!fnx_dispatch_is_attended(dispatch, now_ns))
		return FNX_DECISION_UNATTENDED;
	if (r)
		return r;
	/* A predecessor has published more than it committed, and acted before it did. */
	if (fnx_node_next(dispatch->node, output) < fnx_node_published(dispatch->node, output))
		return FNX_DECISION_NOT_REPEATED;
	return 0;
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
		fnx_journal_touch(dispatch->journal, dispatch->target, sizeof(*dispatch->target));
		*dispatch->target = (int64_t)((uint64_t)*dispatch->target + 1);
	}
	return verdict;
}

/* The graph: what was seen, and what may be done about it -------------------------------- */

int fnx_dispatch_score(const struct fnx_call *call, void *context)
{
	struct dispatch *dispatch = context;
	const struct firing *firing = &dispatch->firing;
	const struct fnx_rule *rule = &dispatch->rules[firing->rule];
	struct fnx_decision *decision = firing->decision;

	(void)call;
	decision->target_arm = target_arm(dispatch);
	decision->cause_seq = (int64_t)firing->frame->seq;
	decision->cause_publish_ns = firing->frame->stamp.publish_ns;
	decision->rule = firing->rule;
	decision->task = rule->config->task;
	decision->rules_true = dispatch->truths->now;
	memcpy(decision->rule_name, rule->name, sizeof(decision->rule_name));
	return 0;
}

int fnx_dispatch_decide(const struct fnx_call *call, void *context)
{
	struct dispatch *dispatch = context;
	struct firing *firing = &dispatch->firing;

	(void)call;
	firing->verdict =
		judge(dispatch, firing->rule, firing->rose, firing->frame, firing->decision);
	if (firing->verdict == FNX_SAFETY_SILENT)
		return 0;
	firing->decision->verdict = (uint32_t)firing->verdict;
	firing->now_ns = fnx_node_now();
	firing->against = objection(dispatch, firing->frame, firing->now_ns, firing->decision);
	firing->decision->latency_ns = firing->now_ns - firing->frame->stamp.ingress_ns;
	return 0;
}

/* Acting ---------------------------------------------------------------------------------- */

static int64_t expiry(const struct dispatch *dispatch, int64_t age_ns, int64_t now_ns)
{
	return dispatch->max_age_ns ? now_ns + dispatch->max_age_ns - age_ns : 0;
}

static struct fnx_act_command command_of(
	const struct dispatch *dispatch, const struct firing *firing)
{
	const struct fnx_frame *frame = firing->frame;
	const struct fnx_decision *decision = firing->decision;
	struct fnx_act_command command = {
		.stamp =
			{
				.seq = fnx_node_next(dispatch->node, (unsigned)dispatch->output),
				.sample_time = frame->stamp.sample_time,
				.ingress_ns = frame->stamp.ingress_ns,
				.publish_ns = firing->now_ns,
				.flags = frame->stamp.flags,
			},
		.decision = *decision,
		.expires_ns = expiry(dispatch, decision->age_ns, firing->now_ns),
	};

	command.decision.outcome = FNX_DECISION_ACTED;
	return command;
}

/* Has it done, if nothing speaks against it. Returns the outcome. */
static int carry_out(struct dispatch *dispatch, const struct firing *firing)
{
	const struct fnx_decision *decision = firing->decision;
	const struct fnx_act_command command = command_of(dispatch, firing);

	/* Whatever speaks against it: its frames are no data. */
	if (fnx_dispatch_is_twin(dispatch)) {
		fnx_team_rehearse(dispatch->team, &command);
		return FNX_DECISION_ACTED;
	}
	if (fnx_team_was_given(dispatch->team, &command)) {
		/* Those that it did not come to are told now, unless it is too late. */
		if (firing->against)
			return FNX_DECISION_ACTED;
	} else if (decision->verdict != FNX_DECISION_ACTED) {
		return (int)decision->verdict;
	} else if (firing->against) {
		return firing->against;
	}
	return fnx_team_give(dispatch->team, &command) ? FNX_DECISION_ACTUATOR_FAILED
						       : FNX_DECISION_ACTED;
}

void fnx_dispatch_fire(struct dispatch *dispatch, uint32_t k, int rose,
	const struct fnx_frame *frame, struct fnx_decision *decision)
{
	struct firing *firing = &dispatch->firing;
	unsigned output = (unsigned)dispatch->output;
	void *payload;

	*firing = (struct firing){.rule = k, .rose = rose, .frame = frame, .decision = decision};
	fnx_team_decide(dispatch->team, firing, sizeof(*firing));
	if (firing->verdict == FNX_SAFETY_SILENT)
		return;
	/* Nothing is done that cannot be recorded. A rehearsal leaves the topic as it is. */
	payload = fnx_dispatch_is_twin(dispatch) ? fnx_node_loan_free(dispatch->node, output)
						 : fnx_node_loan(dispatch->node, output);
	if (!payload)
		return;
	decision->outcome = (uint32_t)carry_out(dispatch, firing);
	if (fnx_dispatch_is_twin(dispatch)) {
		fnx_node_abort(dispatch->node, output);
		return;
	}
	memcpy(payload, decision, sizeof(*decision));
	fnx_node_publish(dispatch->node, output, frame->stamp.sample_time);
}
