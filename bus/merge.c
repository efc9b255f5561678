/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A linear look at all inputs for each frame: there are a handful of them, and their next frames and watermarks
 * must be looked at anyway.
 *
 * The watermark is read before the head. The publisher publishes first and raises the watermark after, so a
 * frame that the watermark seems to exclude is always seen by the look at the head which follows.
 */
#include "bus/merge.h"

#include <errno.h>

void fnx_merge_init(struct fnx_merge *merge, int64_t deadline_ns)
{
	*merge = (struct fnx_merge){
		.deadline_ns = deadline_ns, .until = INT64_MIN, .passed = INT64_MIN, .candidate = -1};
}

int fnx_merge_add(struct fnx_merge *merge, struct fnx_subscriber *sub)
{
	if (merge->n_inputs == FNX_MERGE_INPUTS_MAX)
		return -ENOSPC;
	merge->inputs[merge->n_inputs] = (struct fnx_merge_input){.sub = sub, .bound = INT64_MIN};
	return (int)merge->n_inputs++;
}

/* Brings one input up to date. FNX_FRAME, FNX_NOTHING, FNX_GAP, FNX_MOVED or negative, as peek. */
static int look(struct fnx_merge_input *input, int64_t *ret_ingress_ns, struct fnx_gap *ret_gap)
{
	int64_t watermark;
	int r;

	*ret_ingress_ns = input->frame.stamp.ingress_ns;
	if (input->has_frame)
		return FNX_FRAME;
	watermark = fnx_subscriber_watermark(input->sub, ret_ingress_ns);
	r = fnx_subscriber_peek(input->sub, &input->frame, ret_gap);
	if (r == FNX_FRAME) {
		input->has_frame = 1;
		input->bound = input->frame.stamp.sample_time;
		*ret_ingress_ns = input->frame.stamp.ingress_ns;
	} else if (r == FNX_NOTHING && watermark > input->bound) {
		input->bound = watermark;
	}
	return r;
}

/* Does input `i`, which has no frame, leave room for one that must come before the candidate's? */
static int blocks(const struct fnx_merge *merge, unsigned i, int64_t time, unsigned candidate)
{
	const struct fnx_merge_input *input = &merge->inputs[i];

	return !input->has_frame && (i < candidate ? input->bound <= time : input->bound < time);
}

static int is_blocked(struct fnx_merge *merge, int64_t now_ns)
{
	unsigned candidate = (unsigned)merge->candidate;
	int64_t time = merge->inputs[candidate].bound;
	int blocked = 0;

	for (unsigned i = 0; i < merge->n_inputs; i++)
		if (blocks(merge, i, time, candidate)) {
			merge->inputs[i].wake_at = time + (i < candidate);
			blocked = 1;
		}
	if (!blocked)
		return 0;
	if (!merge->deadline_ns)
		return 1;
	if (!merge->blocked_since_ns)
		merge->blocked_since_ns = now_ns;
	if (now_ns - merge->blocked_since_ns < merge->deadline_ns)
		return 1;
	merge->inputs[candidate].frame.stamp.flags |= FNX_FRAME_INCOMPLETE;
	return 0;
}

int fnx_merge_next(struct fnx_merge *merge, int64_t now_ns, unsigned *ret_input,
	struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	int64_t until = INT64_MAX, newest_ns = 0, first = INT64_MAX;
	struct fnx_merge_input *input;
	int ended = 1;

	merge->candidate = -1;
	for (unsigned i = 0; i < merge->n_inputs; i++) {
		int64_t ingress_ns;
		int r = look(&merge->inputs[i], &ingress_ns, ret_gap);

		*ret_input = i;
		if (r == -EBADMSG)
			fnx_subscriber_release(merge->inputs[i].sub);
		if (r < 0 || r == FNX_GAP || (r == FNX_MOVED && merge->inputs[i].bound != FNX_END))
			return r;
		input = &merge->inputs[i];
		if (input->has_frame && (merge->candidate < 0 || input->bound < first)) {
			merge->candidate = (int)i;
			first = input->bound;
		}
		if (input->bound < until)
			until = input->bound;
		if (ingress_ns > newest_ns)
			newest_ns = ingress_ns;
		ended &= !input->has_frame && input->bound == FNX_END;
	}
	merge->ended = ended;
	if (merge->candidate < 0 || is_blocked(merge, now_ns)) {
		if (until > merge->until) {
			merge->until = until;
			merge->ingress_ns = newest_ns;
		}
		return FNX_NOTHING;
	}
	merge->blocked_since_ns = 0;
	input = &merge->inputs[merge->candidate];
	if (input->bound < merge->passed) {
		input->frame.stamp.flags |= FNX_FRAME_LATE;
		input->n_late++;
	} else {
		merge->passed = input->bound;
	}
	if (input->bound > merge->until) {
		merge->until = input->bound;
		merge->ingress_ns = input->frame.stamp.ingress_ns;
	}
	*ret_input = (unsigned)merge->candidate;
	*ret_frame = input->frame;
	return FNX_FRAME;
}

void fnx_merge_release(struct fnx_merge *merge, unsigned input)
{
	merge->inputs[input].has_frame = 0;
	fnx_subscriber_release(merge->inputs[input].sub);
}

int fnx_merge_park(struct fnx_merge *merge, int64_t wake_at)
{
	unsigned candidate = (unsigned)merge->candidate;

	for (unsigned i = 0; i < merge->n_inputs; i++) {
		struct fnx_merge_input *input = &merge->inputs[i];
		int64_t at = wake_at;

		if (merge->candidate >= 0) {
			if (!blocks(merge, i, merge->inputs[candidate].bound, candidate))
				continue;
			at = at > input->bound && at < input->wake_at ? at : input->wake_at;
		} else if (at <= input->bound) {
			at = INT64_MAX; /* this one has come far enough: only a frame is news */
		}
		if (fnx_subscriber_park(input->sub, at)) {
			fnx_merge_unpark(merge);
			return 1;
		}
	}
	return 0;
}

void fnx_merge_unpark(struct fnx_merge *merge)
{
	for (unsigned i = 0; i < merge->n_inputs; i++)
		fnx_subscriber_unpark(merge->inputs[i].sub);
}
