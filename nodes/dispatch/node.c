/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dispatch node: frames to the rules, rules to safety, safety to the actuators, all of it
 * to the topics `decision` and `decision.outcome`.
 *
 * Windows, books and the place lie in the node's state: a successor of one that was killed decides
 * as that one would have. What it had given to an actuator and had not committed is decided again,
 * and found given (see book.h): no task is done twice, and none without a decision. What it
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
#include <stdlib.h>
#include <string.h>

#include "nodes/dispatch/dispatch.h"

#define QUIET_NS INT64_C(2000000000)
#define REHEARSAL_NS INT64_C(50000)

enum {
	FETCHED_MAX = 2048, /* bytes of a payload */
};

/* Frames ---------------------------------------------------------------------------------- */

static void pass_to(struct dispatch *dispatch, int64_t sample_time)
{
	if (sample_time > dispatch->last_sample)
		dispatch->last_sample = sample_time;
}

/* It lies in the publisher's cache: all of its lines come at once, while the clock is looked at. */
static void fetch_payload(const struct fnx_frame *frame)
{
	const unsigned char *payload = frame->payload;

	for (uint32_t at = 0; at < frame->length && at < FETCHED_MAX; at += FNX_CACHE_LINE)
		__builtin_prefetch(payload + at);
}

static void dispatch_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct dispatch *dispatch = self;

	fetch_payload(frame);
	fnx_gate_pass(&dispatch->gate, frame->stamp.sample_time, fnx_node_now());
	if (frame->stamp.flags & (FNX_FRAME_LATE | FNX_FRAME_INCOMPLETE))
		fnx_gate_flag(&dispatch->gate, frame->stamp.sample_time);
	if (dispatch->forgot) {
		fnx_safety_restarted(dispatch->safety, frame->stamp.sample_time);
		dispatch->forgot = 0;
	}
	pass_to(dispatch, frame->stamp.sample_time);
	fnx_dispatch_look(dispatch, input, frame);
	fnx_team_tend(dispatch->team, fnx_node_now());
	fnx_dispatch_report(dispatch);
}

/* The end of a session is no time that passes: only what is under way is waited for. */
static int dispatch_ending(void *self)
{
	struct dispatch *dispatch = self;

	if (!dispatch->patience_ns)
		dispatch->patience_ns = fnx_node_now() + FNX_TEAM_LAST_NS;
	return fnx_dispatch_report_last(dispatch);
}

static int dispatch_advance(void *self, int64_t until, int64_t *ret_watermark)
{
	struct dispatch *dispatch = self;
	int64_t now_ns = fnx_node_now();

	(void)ret_watermark;
	fnx_gate_pass(&dispatch->gate, until, now_ns);
	pass_to(dispatch, until);
	fnx_team_tend(dispatch->team, now_ns);
	fnx_dispatch_report(dispatch);
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
	fnx_journal_touch(
		dispatch->journal, dispatch->leased_until_ns, sizeof(*dispatch->leased_until_ns));
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

	if (!dispatch->lease_ns || dispatch->armed < 1 ||
		!fnx_dispatch_is_attended(dispatch, fnx_node_now()))
		return 0;
	renew(dispatch);
	return (double)dispatch->lease_ns / 1e6;
}

/* Once nobody has been heard of it stays disarmed until somebody arms it. */
static void lapse(struct dispatch *dispatch, int64_t now_ns)
{
	if (dispatch->armed > 0 && !fnx_dispatch_is_attended(dispatch, now_ns))
		fnx_node_change(dispatch->node, "armed", 0, "nobody: the lease ran out");
}

/* Ending ---------------------------------------------------------------------------------- */

/* One that fails at every task says so now and then, not each time. */
static void idle(void *self)
{
	struct dispatch *dispatch = self;
	int64_t now_ns = fnx_node_now();

	lapse(dispatch, now_ns);
	if (dispatch->twin && now_ns >= dispatch->rehearsed_until_ns) {
		dispatch->rehearsed_until_ns = now_ns + REHEARSAL_NS;
		fnx_dispatch_rehearse(dispatch, now_ns);
	}
	if (now_ns < dispatch->quiet_until_ns)
		return;
	dispatch->quiet_until_ns = now_ns + QUIET_NS;
	fnx_dispatch_say_failures(dispatch);
}

static void dispatch_close(void *self)
{
	struct dispatch *dispatch = self;

	if (dispatch->team) {
		fnx_dispatch_say_failures(dispatch);
		fnx_dispatch_say_latencies(dispatch);
		fnx_dispatch_say_tasks(dispatch);
	}
	fnx_dispatch_close_twin(dispatch);
	fnx_team_close(dispatch->team);
	for (uint32_t k = 0; dispatch->rules && k < dispatch->n_rules; k++)
		fnx_rule_fini(&dispatch->rules[k]);
	fnx_safety_free(dispatch->safety);
	fnx_track_free(dispatch->track);
	free(dispatch->centre_distance_cm);
	free(dispatch->rules);
	free(dispatch);
}

static int dispatch_open(struct fnx_node *node, void **ret_self)
{
	struct dispatch *dispatch = calloc(1, sizeof(*dispatch));
	int r;

	if (!dispatch)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	dispatch->node = node;
	dispatch->journal = fnx_node_journal(node);
	dispatch->rig = fnx_node_rig(node);
	dispatch->n_rules = dispatch->rig->dispatch.n_rules;
	r = fnx_dispatch_open_all(dispatch);
	if (r)
		dispatch_close(dispatch);
	else
		*ret_self = dispatch;
	return r;
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
	.start = fnx_dispatch_start,
	.frame = dispatch_frame,
	.acts = 1,
	.gap = dispatch_gap,
	.advance = dispatch_advance,
	.ending = dispatch_ending,
	.changed = fnx_dispatch_changed,
	.asked = asked,
	.alive = alive,
	.idle = idle,
	.close = dispatch_close,
};
