/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the dispatch node share. Internal to nodes/dispatch/.
 *
 *	node.c      the operations: frames in, attendance, ending
 *	open.c      opening and starting
 *	look.c      frames to the rules, and what they say together
 *	act.c       a rule that is true: score, decide, act, publish
 *	twin.c      rehearsals
 *	report.c    what became of acts: topic decision.outcome, and lines for people
 */
#pragma once

#include "nodes/dispatch/gate.h"
#include "nodes/dispatch/node.h"
#include "nodes/dispatch/rule.h"
#include "nodes/dispatch/safety.h"
#include "nodes/dispatch/team.h"
#include "nodes/host/host.h"
#include "nodes/host/track.h"

/* A rule that is true in a frame, while its tasks score and decide are run. */
struct firing {
	uint32_t rule;
	int rose; /* this begins a stretch over which it is true */
	const struct fnx_frame *frame;
	struct fnx_decision *decision;
	int verdict; /* by sample time alone; FNX_SAFETY_SILENT */
	int against; /* what the clock says, 0: nothing */
	int64_t now_ns; /* when it was decided */
};

struct dispatch {
	struct fnx_node *node;
	const struct fnx_rig *rig;
	struct fnx_rule *rules; /* [n_rules] */
	uint32_t n_rules;
	struct fnx_track *track; /* NULL: no rule needs it */
	double *centre_distance_cm; /* [n_bins] from the track's first bin */
	uint32_t n_bins, n_states, n_recent;
	struct fnx_safety *safety;
	struct fnx_journal *journal; /* over what it remembers */
	struct fnx_team *team;
	uint64_t failures_said[FNX_TEAM_MAX];
	struct firing firing;
	/* Rehearsals, see twin.c. */
	const struct dispatch *real; /* of a twin: whose it is; else NULL */
	struct dispatch *twin; /* NULL: there are no rehearsals */
	int64_t quiet_until_ns, rehearsed_until_ns; /* see idle */
	double armed, dry_run;
	int forgot; /* until the first frame has said what time it is */
	struct fnx_gate gate;
	int64_t max_age_ns;
	int64_t lease_ns; /* 0: none is needed */
	int64_t *leased_until_ns; /* CLOCK_MONOTONIC; in the node's state, as what follows */
	int64_t *target; /* instructive: index of the arm that is wanted */
	struct fnx_truths *truths;
	int32_t *position_bin;
	int64_t patience_ns; /* 0: the session has not ended */
	int64_t last_sample; /* that time has come to */
	int position_input, ripple_input, posterior_input, output, outcomes;
};

/* open.c */

/* All of it; what was opened is there after a failure, too. */
FNX_MUST_CHECK int fnx_dispatch_open_all(struct dispatch *dispatch);
int fnx_dispatch_start(void *self);
/* Parameters: takes what they are now. */
void fnx_dispatch_changed(void *self);
/* Where an actuator is, for people. */
const char *fnx_dispatch_place(const struct fnx_rig_actuator *actuator);

/* look.c */

/* Takes a frame, and has those rules fire that are true. [frame] */
void fnx_dispatch_look(struct dispatch *dispatch, unsigned input, const struct fnx_frame *frame);

/* act.c */

/* Rule k is true: acts if that is allowed, and publishes what came of it. [frame] */
void fnx_dispatch_fire(struct dispatch *dispatch, uint32_t k, int rose,
	const struct fnx_frame *frame, struct fnx_decision *decision);
/* The kernels of its graph; the context is the dispatch. */
int fnx_dispatch_score(const struct fnx_call *call, void *context);
int fnx_dispatch_decide(const struct fnx_call *call, void *context);
/* Who armed it is there still, or none is needed. */
int fnx_dispatch_is_attended(const struct dispatch *dispatch, int64_t now_ns);

/* twin.c */

static inline int fnx_dispatch_is_twin(const struct dispatch *dispatch)
{
	return dispatch->real != NULL;
}

/* Once the posterior's look is known, for a node that spins. Negative errno: nothing is open. [slow] */
FNX_MUST_CHECK int fnx_dispatch_open_twin(struct dispatch *dispatch);
void fnx_dispatch_close_twin(struct dispatch *dispatch);
/* Goes the way from a posterior to an act, and does nothing; while nothing comes. Not the frame
 * path: an actuator's system call is part of it now and then. */
void fnx_dispatch_rehearse(struct dispatch *dispatch, int64_t now_ns);

/* report.c */

/* Publishes outcomes, a burst at the most. [frame] */
void fnx_dispatch_report(struct dispatch *dispatch);
/* The session has ended: FNX_AGAIN while something may still be heard of. Not the frame path. */
int fnx_dispatch_report_last(struct dispatch *dispatch);
/* To people. [slow] */
void fnx_dispatch_say_failures(struct dispatch *dispatch);
void fnx_dispatch_say_latencies(struct dispatch *dispatch);
void fnx_dispatch_say_tasks(struct dispatch *dispatch);
