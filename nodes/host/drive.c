/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One turn of a node: frames in, frames out, no wall clock but as an argument, no loop, no kernel.
 *
 * The outputs' watermark is what lets the nodes behind close their time bins. It is raised when the
 * node runs out of work, and otherwise once per time bin, when time has passed the decoder's tick:
 * raising it for every frame would wake everybody for nothing.
 */
#include <errno.h>
#include <string.h>

#include "nodes/host/host.h"

#define ASIDE_RETRY_NS INT64_C(1000000000)

enum {
	LAG_EVERY = 16
};

static int has_room(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->n_outputs; i++)
		if (!fnx_publisher_room(node->outputs[i].pub, node->outputs[i].burst, node->now_ns))
			return 0;
	return 1;
}

/* The first time above `time` by which a tick of the decoder has passed. It closes a time bin when
 * nothing comes any more at the tick itself, and whoever is behind it by one sample holds it up. */
static int64_t grid_above(const struct fnx_node *node, int64_t time)
{
	int64_t grid = node->grid_samples, past;

	if (time >= FNX_END - grid)
		return FNX_END;
	/* The first watermark of all is as low as can be. */
	past = (time < INT64_MIN / 2 ? 0 : time - node->grid_phase - 1) % grid;
	return time - (past < 0 ? past + grid : past) + grid;
}

/* What was committed is promised, not what a successor might see differently. */
static void raise_outputs(struct fnx_node *node)
{
	fnx_progress_commit(node);
	for (unsigned i = 0; i < node->n_outputs; i++)
		fnx_publisher_advance(
			node->outputs[i].pub, node->watermark, node->watermark_ingress_ns);
	node->next_grid = grid_above(node, node->watermark);
}

/* With a deadline, time passes some inputs over: what follows from its passing lacks what they
 * would have said. */
static uint32_t flags_of_passing(const struct fnx_node *node, int64_t until)
{
	const struct fnx_merge *merge = &node->merge;

	for (unsigned i = 0; merge->deadline_ns && i < merge->n_inputs; i++)
		if (merge->inputs[i].bound < until)
			return FNX_FRAME_INCOMPLETE;
	return 0;
}

/* Who wakes somebody enters the kernel. */
static void raise_at_grid(struct fnx_node *node)
{
	if (node->watermark >= node->next_grid)
		raise_outputs(node);
}

/* Brings the node up to `until`. 0: it has more to publish than there is room for, or has left no
 * room for a frame. */
static int advance(struct fnx_node *node, int64_t until)
{
	int64_t watermark = until;
	uint32_t flags;
	int r = FNX_DONE;

	if (until <= node->advanced_to)
		return 1;
	if (node->ops->advance) {
		node->cause_ingress_ns = node->merge.ingress_ns;
		node->cause_origin = 0;
		flags = flags_of_passing(node, until);
		do {
			if (!has_room(node))
				return 0;
			watermark = until;
			node->cause_flags = flags;
			r = node->ops->advance(node->self, until, &watermark);
			if (r == FNX_AGAIN)
				fnx_progress_commit(node);
		} while (r == FNX_AGAIN);
	}
	node->advanced_to = until;
	node->watermark = watermark;
	node->watermark_ingress_ns = node->merge.ingress_ns;
	return !node->ops->advance || has_room(node);
}

/* How long the frame was under way, and how many wait with it. To know the latter the publisher's
 * head must be read, a line that it is writing: that is done for one frame in LAG_EVERY of those
 * that are taken in one go, and so never where the node keeps up. */
static void note_hop(
	struct fnx_node *node, unsigned input, const struct fnx_frame *frame, int64_t now_ns)
{
	struct fnx_status_topic *status = &node->status->inputs[input];
	uint64_t run = ++node->inputs[input].run;

	fnx_histogram_add(&node->status->hops[input], now_ns - frame->stamp.publish_ns);
	fnx_histogram_add(&status->age, now_ns - frame->stamp.ingress_ns);
	if (run % LAG_EVERY)
		fnx_peak_raise(&status->peak_depth, run < LAG_EVERY ? run : 0);
	else
		fnx_peak_raise(&status->peak_depth, fnx_subscriber_lag(node->inputs[input].sub));
}

static void end_runs(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->n_inputs; i++)
		node->inputs[i].run = 0;
}

/* Hands a frame to the node; it is still to be released. */
static void take(struct fnx_node *node, unsigned input, const struct fnx_frame *frame)
{
	struct fnx_progress_input *progress = fnx_progress_input(node, input);
	int64_t begun_ns = fnx_node_now();

	node->cause_ingress_ns = frame->stamp.ingress_ns;
	node->cause_origin = fnx_node_origin(input, frame->seq);
	node->cause_flags = frame->stamp.flags;
	node->ops->frame(node->self, input, frame);
	/* Nobody waits for figures. */
	note_hop(node, input, frame, begun_ns);
	progress->next = frame->seq + 1;
	progress->frames++;
	progress->late += (frame->stamp.flags & FNX_FRAME_LATE) != 0;
	fnx_progress_commit(node);
	fnx_progress_show(node, input);
	atomic_store_explicit(
		&node->status->sample_time, frame->stamp.sample_time, memory_order_relaxed);
	fnx_histogram_add(&node->status->turn, fnx_node_now() - begun_ns);
}

static void lose(struct fnx_node *node, unsigned input, const struct fnx_gap *gap)
{
	struct fnx_progress_input *progress = fnx_progress_input(node, input);

	if (!(node->inputs[input].flags & (FNX_INPUT_LOSSY | FNX_INPUT_ASIDE)))
		progress->gaps++;
	progress->missed += gap->to - gap->from;
	progress->next = gap->to;
	if (node->ops->gap)
		node->ops->gap(node->self, input, gap);
	fnx_progress_commit(node);
	fnx_progress_show(node, input);
}

/* Gaps that were found when the inputs were resumed, before anything else is said of them. */
static void pay(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->n_inputs; i++) {
		if (node->inputs[i].owed.to)
			lose(node, i, &node->inputs[i].owed);
		node->inputs[i].owed.to = 0;
	}
	node->owes = 0;
}

/* More than the payload is not there: a frame that its topic's description does not fit is not for
 * a node that relies on it. */
static int is_short(const struct fnx_node_input_state *input, const struct fnx_frame *frame)
{
	return input->schema && frame->length < input->layout.size;
}

static void lose_damaged(struct fnx_node *node, unsigned input, uint64_t seq)
{
	const struct fnx_gap gap = {.from = seq, .to = seq + 1, .reason = FNX_GAP_DROPPED};

	lose(node, input, &gap);
}

/* The first frame: from here on the frame path's rules hold, and allocations count. Those who
 * joined meanwhile are taken note of before. */
static void begin(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->n_outputs; i++)
		fnx_publisher_readers(node->outputs[i].pub);
	atomic_store_explicit(&node->status->state, FNX_NODE_RUNNING, memory_order_relaxed);
	fnx_heap_watch(&node->status->heap_allocations);
}

static void running(struct fnx_node *node)
{
	if (atomic_load_explicit(&node->status->state, memory_order_relaxed) == FNX_NODE_READY)
		begin(node);
}

/* Everything has been said: readers learn it from the last watermark. */
static enum fnx_drive end(struct fnx_node *node)
{
	node->ended = 1;
	raise_outputs(node);
	node->watermark = FNX_END;
	raise_outputs(node);
	return FNX_DRIVE_ENDED;
}

void fnx_node_finish(struct fnx_node *node)
{
	if (node->ops->produce && !node->ended)
		end(node);
}

/* A publisher aside that left may never come back: its successor is looked for now and then. */
static void look_for_successor(struct fnx_node *node, unsigned input)
{
	if (node->now_ns - node->aside_tried_ns < ASIDE_RETRY_NS)
		return;
	node->aside_tried_ns = node->now_ns;
	node->moved_input = (int)input;
	fnx_node_resubscribe(node);
}

/* What lies on the inputs that are not ordered. */
static void take_aside(struct fnx_node *node)
{
	for (unsigned i = node->merge.n_inputs; i < node->n_inputs; i++) {
		struct fnx_frame frame;
		struct fnx_gap gap;
		int r = FNX_NOTHING;

		while (has_room(node) &&
			((r = fnx_subscriber_peek(node->inputs[i].sub, &frame, &gap)) ==
					FNX_FRAME ||
				r == FNX_GAP)) {
			if (r == FNX_GAP) {
				lose(node, i, &gap);
				continue;
			}
			if (is_short(&node->inputs[i], &frame))
				lose_damaged(node, i, frame.seq);
			else
				take(node, i, &frame);
			fnx_subscriber_release(node->inputs[i].sub);
		}
		if (r == -EBADMSG) {
			lose_damaged(node, i, fnx_subscriber_next(node->inputs[i].sub));
			fnx_subscriber_release(node->inputs[i].sub);
		} else if (r == FNX_MOVED)
			look_for_successor(node, i);
	}
}

/* An output is full: what may be promised is, since those who should drain it may be waiting for
 * it. */
static enum fnx_drive full(struct fnx_node *node)
{
	raise_outputs(node);
	return FNX_DRIVE_FULL;
}

/* 0: there is no room for what is still to be said. */
static int finish(struct fnx_node *node)
{
	int r = FNX_DONE;

	node->cause_origin = 0;
	do {
		if (!node->ops->ending)
			return 1;
		if (!has_room(node))
			return 0;
		r = node->ops->ending(node->self);
		fnx_progress_commit(node);
	} while (r == FNX_AGAIN);
	return 1;
}

void fnx_node_publish_last(struct fnx_node *node)
{
	node->now_ns = fnx_node_now();
	(void)finish(node);
}

static enum fnx_drive drive_inputs(struct fnx_node *node, unsigned budget)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	unsigned input;

	if (node->owes)
		pay(node);
	take_aside(node);
	while (budget--) {
		int r;

		if (!has_room(node))
			return full(node);
		r = fnx_merge_next(&node->merge, node->now_ns, &input, &frame, &gap);
		if (r == FNX_FRAME) {
			if (!advance(node, node->merge.until))
				return full(node);
			if (!node->ops->acts)
				raise_at_grid(node);
			running(node);
			if (is_short(&node->inputs[input], &frame))
				lose_damaged(node, input, frame.seq);
			else
				take(node, input, &frame);
			fnx_merge_release(&node->merge, input);
			if (node->ops->acts)
				raise_at_grid(node);
		} else if (r == FNX_GAP) {
			lose(node, input, &gap);
		} else if (r == -EBADMSG) {
			/* The merge has passed over it already. */
			lose_damaged(node, input, fnx_subscriber_next(node->inputs[input].sub) - 1);
		} else if (r == FNX_MOVED) {
			node->moved_input = (int)input;
			return FNX_DRIVE_MOVED;
		} else {
			if (!advance(node, node->merge.until))
				return full(node);
			if (node->merge.ended)
				return finish(node) ? end(node) : full(node);
			raise_outputs(node);
			end_runs(node);
			return FNX_DRIVE_IDLE;
		}
	}
	return FNX_DRIVE_MORE;
}

static enum fnx_drive drive_source(struct fnx_node *node, unsigned budget)
{
	while (budget--) {
		int r;

		if (!has_room(node))
			return FNX_DRIVE_FULL;
		if (node->now_ns < node->due_ns)
			return FNX_DRIVE_IDLE;
		running(node);
		r = node->ops->produce(node->self, node->now_ns, &node->due_ns);
		fnx_progress_commit(node);
		if (r == FNX_OVER)
			return end(node);
		if (r < 0) {
			end(node);
			return FNX_DRIVE_FAILED;
		}
		if (r == FNX_DONE)
			return FNX_DRIVE_IDLE;
	}
	return FNX_DRIVE_MORE;
}

static enum fnx_drive drive_relay(struct fnx_node *node)
{
	int r = node->ops->relay(node->self, node->now_ns, &node->due_ns);

	if (r == FNX_AGAIN)
		return FNX_DRIVE_MORE;
	return r == FNX_OVER ? FNX_DRIVE_ENDED : FNX_DRIVE_IDLE;
}

enum fnx_drive fnx_node_drive(struct fnx_node *node, int64_t now_ns, unsigned budget)
{
	node->now_ns = now_ns;
	if (node->ops->relay)
		return drive_relay(node);
	if (node->ended) {
		take_aside(node);
		return FNX_DRIVE_ENDED;
	}
	return node->ops->produce ? drive_source(node, budget) : drive_inputs(node, budget);
}

/* 1: there are frames. A topic that was left is no reason to stay awake. */
static int park_aside(struct fnx_node *node)
{
	for (unsigned i = node->merge.n_inputs; i < node->n_inputs; i++)
		if (fnx_subscriber_park(node->inputs[i].sub, INT64_MAX) &&
			fnx_subscriber_lag(node->inputs[i].sub))
			return 1;
	return 0;
}

/* 1: something came meanwhile. */
static int park_in_order(struct fnx_node *node)
{
	return node->patience ? fnx_merge_doze(&node->merge, node->next_grid, node->patience)
			      : fnx_merge_park(&node->merge, node->next_grid);
}

int fnx_node_park(struct fnx_node *node, enum fnx_drive why, int64_t now_ns)
{
	if (why == FNX_DRIVE_FULL) {
		int room = 1;

		/* Every output is asked, so that each wakes its readers: whoever holds this one up
		 * may wait for something on another. */
		for (unsigned i = 0; i < node->n_outputs; i++)
			room &= fnx_publisher_park(
				node->outputs[i].pub, node->outputs[i].burst, now_ns);
		if (room)
			fnx_node_unpark(node);
		return room;
	}
	if (node->ops->produce || node->ops->relay)
		return 0;
	if (park_aside(node) || park_in_order(node)) {
		fnx_node_unpark(node);
		return 1;
	}
	return 0;
}

int fnx_node_pending(const struct fnx_node *node)
{
	for (unsigned i = node->merge.n_inputs; i < node->n_inputs; i++)
		if (fnx_subscriber_lag(node->inputs[i].sub))
			return 1;
	return node->patience ? fnx_merge_due(&node->merge, node->next_grid, node->patience)
			      : fnx_merge_pending(&node->merge, node->next_grid);
}

void fnx_node_unpark(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->n_outputs; i++)
		fnx_publisher_unpark(node->outputs[i].pub);
	fnx_merge_unpark(&node->merge);
	for (unsigned i = node->merge.n_inputs; i < node->n_inputs; i++)
		fnx_subscriber_unpark(node->inputs[i].sub);
}
