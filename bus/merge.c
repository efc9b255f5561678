/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A linear look at all inputs for each frame: there are a handful of them, and their next frames
 * and watermarks must be looked at anyway.
 *
 * The watermark is read before the head. The publisher publishes first and raises the watermark
 * after, so a frame that the watermark seems to exclude is always seen by the look at the head
 * which follows.
 */
#include "bus/merge.h"

#include <errno.h>

void fnx_merge_init(struct fnx_merge *merge, int64_t deadline_ns)
{
	*merge = (struct fnx_merge){.deadline_ns = deadline_ns,
		.until = INT64_MIN,
		.passed = INT64_MIN,
		.ahead = INT64_MIN,
		.laggard = FNX_MERGE_INPUTS_MAX,
		.candidate = -1};
}

int fnx_merge_add(struct fnx_merge *merge, struct fnx_subscriber *sub)
{
	if (merge->n_inputs == FNX_MERGE_INPUTS_MAX)
		return -ENOSPC;
	merge->inputs[merge->n_inputs] = (struct fnx_merge_input){.sub = sub, .bound = INT64_MIN};
	return (int)merge->n_inputs++;
}

static int has_ended(const struct fnx_merge_input *input)
{
	return !input->has_frame && input->bound == FNX_END;
}

/* Brings one input up to date. FNX_FRAME, FNX_NOTHING (also for one that has ended), FNX_GAP,
 * FNX_MOVED or negative, as peek. */
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
	} else if (r == FNX_NOTHING || r == FNX_MOVED) {
		/* The last word of one that has left may have come after our look. */
		if (r == FNX_MOVED)
			watermark = fnx_subscriber_watermark(input->sub, ret_ingress_ns);
		if (watermark > input->bound)
			input->bound = watermark;
		if (input->bound == FNX_END)
			r = FNX_NOTHING;
	}
	return r;
}

/* Does input `i`, which has no frame, leave room for one that must come before the candidate's? */
static int blocks(const struct fnx_merge *merge, unsigned i, int64_t time, unsigned candidate)
{
	const struct fnx_merge_input *input = &merge->inputs[i];

	return !input->has_frame && (i < candidate ? input->bound <= time : input->bound < time) &&
		!has_ended(input);
}

static int is_blocked(struct fnx_merge *merge, int64_t now_ns)
{
	unsigned candidate = (unsigned)merge->candidate;
	struct fnx_stamp *stamp = &merge->inputs[candidate].frame.stamp;
	int64_t time = merge->inputs[candidate].bound;
	int blocked = 0;

	for (unsigned i = 0; i < merge->n_inputs; i++)
		if (blocks(merge, i, time, candidate)) {
			merge->inputs[i].wake_at = time < FNX_END ? time + (i < candidate) : time;
			blocked = 1;
		}
	if (!blocked)
		return 0;
	if (!merge->deadline_ns)
		return 1;
	merge->blocked_since_ns = stamp->publish_ns;
	if (now_ns - stamp->publish_ns < merge->deadline_ns)
		return 1;
	stamp->flags |= FNX_FRAME_INCOMPLETE;
	return 0;
}

/* No frame waits, and some watermark has come as far as `high`: how far has time come, by the
 * deadline? */
static int64_t follow_watermarks(
	struct fnx_merge *merge, int64_t now_ns, int64_t until, int64_t high)
{
	int64_t reached = until > merge->until ? until : merge->until;

	if (!merge->deadline_ns)
		return reached;
	if (merge->ahead > reached && now_ns - merge->ahead_since_ns >= merge->deadline_ns)
		reached = merge->ahead;
	if (merge->ahead <= reached && high > reached) {
		merge->ahead = high;
		merge->ahead_since_ns = now_ns;
	}
	if (merge->ahead > reached)
		merge->blocked_since_ns = merge->ahead_since_ns;
	return reached;
}

struct survey {
	int64_t until; /* the lowest bound */
	int64_t high; /* the highest of those that have not ended */
	int64_t until_ns; /* the latest ingress time behind one that is the lowest, */
	int64_t newest_ns; /* and behind any */
};

/* Every input has ended: time ends where the last of them said, not in eternity. The last and not
 * the first: up to there `until` would have come too if we had looked in between. */
static int64_t last_end(const struct fnx_merge *merge)
{
	int64_t last = INT64_MIN;

	for (unsigned i = 0; i < merge->n_inputs; i++) {
		int64_t end = fnx_subscriber_end(merge->inputs[i].sub);

		if (end > last)
			last = end;
	}
	return last;
}

/* Looks at every input and chooses the candidate. 0, or what there is to tell about input
 * *ret_input. */
static int survey_inputs(struct fnx_merge *merge, struct survey *survey, unsigned *ret_input,
	struct fnx_gap *ret_gap)
{
	int64_t first = INT64_MAX;

	*survey = (struct survey){.until = INT64_MAX, .high = INT64_MIN};
	merge->candidate = -1;
	merge->ended = 0;
	for (unsigned i = 0; i < merge->n_inputs; i++) {
		struct fnx_merge_input *input = &merge->inputs[i];
		int64_t ingress_ns;
		int r = look(input, &ingress_ns, ret_gap);

		if (r == -EBADMSG)
			fnx_subscriber_release(input->sub);
		/* With a deadline nobody waits for a topic that has left: it is silent, like one
		 * that hangs. */
		if (r == FNX_MOVED && merge->deadline_ns) {
			input->moved = 1;
			r = FNX_NOTHING;
		}
		if (r < 0 || r == FNX_GAP || r == FNX_MOVED) {
			*ret_input = i;
			return r;
		}
		if (input->has_frame && (merge->candidate < 0 || input->bound < first)) {
			merge->candidate = (int)i;
			first = input->bound;
		}
		if (input->bound < survey->until) {
			survey->until = input->bound;
			survey->until_ns = ingress_ns;
		} else if (input->bound == survey->until && ingress_ns > survey->until_ns) {
			survey->until_ns = ingress_ns;
		}
		if (input->bound > survey->high && !has_ended(input))
			survey->high = input->bound;
		if (ingress_ns > survey->newest_ns)
			survey->newest_ns = ingress_ns;
	}
	merge->ended = survey->until == FNX_END && merge->candidate < 0;
	if (merge->ended)
		survey->until = last_end(merge);
	return 0;
}

static void hand_out(struct fnx_merge *merge, struct fnx_merge_input *input)
{
	if (input->bound < merge->until) {
		input->frame.stamp.flags |= FNX_FRAME_LATE;
		input->n_late++;
		return;
	}
	merge->passed = input->bound;
	if (input->bound > merge->until) {
		merge->until = input->bound;
		merge->ingress_ns = input->frame.stamp.ingress_ns;
	}
}

int fnx_merge_next(struct fnx_merge *merge, int64_t now_ns, unsigned *ret_input,
	struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	struct survey survey;
	int r = survey_inputs(merge, &survey, ret_input, ret_gap);

	merge->blocked_since_ns = 0;
	if (r)
		return r;
	if (merge->candidate < 0 || is_blocked(merge, now_ns)) {
		int64_t until = survey.until;

		if (merge->candidate < 0)
			until = follow_watermarks(merge, now_ns, until, survey.high);
		/* Inputs that are further ahead would tell of later samples, and what is late would
		 * look fresh. */
		if (until > merge->until) {
			merge->until = until;
			merge->ingress_ns =
				until > survey.until ? survey.newest_ns : survey.until_ns;
		}
		return FNX_NOTHING;
	}
	merge->blocked_since_ns = 0;
	hand_out(merge, &merge->inputs[merge->candidate]);
	*ret_input = (unsigned)merge->candidate;
	*ret_frame = merge->inputs[merge->candidate].frame;
	return FNX_FRAME;
}

void fnx_merge_release(struct fnx_merge *merge, unsigned input)
{
	merge->inputs[input].has_frame = 0;
	fnx_subscriber_release(merge->inputs[input].sub);
}

/* Can anything from input `i` change that there is nothing to hand out? *ret_at: the watermark that
 * would. */
static int awaits(const struct fnx_merge *merge, unsigned i, int64_t wake_at, int64_t *ret_at)
{
	const struct fnx_merge_input *input = &merge->inputs[i];
	unsigned candidate = (unsigned)merge->candidate;

	*ret_at = wake_at;
	if (has_ended(input) || input->moved)
		return 0;
	if (merge->candidate >= 0) {
		if (!blocks(merge, i, merge->inputs[candidate].bound, candidate))
			return 0;
		if (wake_at <= input->bound || wake_at >= input->wake_at)
			*ret_at = input->wake_at;
	} else if (wake_at <= input->bound) {
		*ret_at = INT64_MAX; /* this one has come far enough: only a frame is news */
	}
	return 1;
}

int fnx_merge_pending(const struct fnx_merge *merge, int64_t wake_at)
{
	int64_t at;

	for (unsigned i = 0; i < merge->n_inputs; i++)
		if (awaits(merge, i, wake_at, &at) &&
			fnx_subscriber_pending(merge->inputs[i].sub, at))
			return 1;
	return 0;
}

int fnx_merge_park(struct fnx_merge *merge, int64_t wake_at)
{
	int64_t at;

	for (unsigned i = 0; i < merge->n_inputs; i++) {
		struct fnx_merge_input *input = &merge->inputs[i];

		if (!awaits(merge, i, wake_at, &at))
			continue;
		if (fnx_subscriber_park(input->sub, at)) {
			fnx_merge_unpark(merge);
			return 1;
		}
	}
	return 0;
}

/* Is input `i` behind `wake_at`, and may still come? */
static int lags(const struct fnx_merge *merge, unsigned i, int64_t wake_at)
{
	const struct fnx_merge_input *input = &merge->inputs[i];

	return input->bound < wake_at && !has_ended(input) && !input->moved;
}

/* Of all who lag, the one who did so last time: it will probably be the last again. */
static unsigned choose_laggard(const struct fnx_merge *merge, int64_t wake_at)
{
	unsigned i = merge->n_inputs;

	if (merge->laggard < i && lags(merge, merge->laggard, wake_at))
		return merge->laggard;
	while (i > 0 && !lags(merge, i - 1, wake_at))
		i--;
	return i ? i - 1 : 0;
}

/* What a dozing merge waits for on input `i`: the watermark. 0: nothing. */
static int awaits_dozing(const struct fnx_merge *merge, unsigned i, unsigned laggard,
	int64_t wake_at, int64_t *ret_at)
{
	const struct fnx_merge_input *input = &merge->inputs[i];

	if (has_ended(input) || input->moved)
		return 0;
	*ret_at = lags(merge, i, wake_at) && (merge->deadline_ns || i == laggard) ? wake_at
										  : INT64_MAX;
	return 1;
}

int fnx_merge_due(const struct fnx_merge *merge, int64_t wake_at, uint32_t patience)
{
	unsigned laggard = choose_laggard(merge, wake_at);
	int64_t at;

	if (merge->candidate >= 0)
		return fnx_merge_pending(merge, wake_at);
	for (unsigned i = 0; i < merge->n_inputs; i++)
		if (awaits_dozing(merge, i, laggard, wake_at, &at) &&
			fnx_subscriber_due(merge->inputs[i].sub, at, patience))
			return 1;
	return 0;
}

int fnx_merge_doze(struct fnx_merge *merge, int64_t wake_at, uint32_t patience)
{
	int64_t at;

	/* Behind a frame at hand others lie that nobody reads before it: what lets it go must not wait. */
	if (merge->candidate >= 0)
		return fnx_merge_park(merge, wake_at);
	merge->laggard = choose_laggard(merge, wake_at);
	for (unsigned i = 0; i < merge->n_inputs; i++) {
		if (!awaits_dozing(merge, i, merge->laggard, wake_at, &at))
			continue;
		if (fnx_subscriber_doze(merge->inputs[i].sub, at, patience)) {
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
