/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Merge: the frames of several topics, one after the other, in the order of their sample times.
 *
 * A frame is handed out only when no other input can still bring an earlier one: each of those
 * shows a later frame, or a watermark beyond. At equal sample times the input that was added first
 * goes first. So the same frames come in the same order on every run, whatever the timing; and a
 * node that wants to know that a time bin is complete needs no jitter delay, it asks `until`.
 *
 * With a deadline (live use) a silent input holds the others up for so long only, counted from the
 * time at which the frame that waits was published: so a dead input delays every frame by the
 * deadline, and does not add them up. What is handed out without it is flagged
 * FNX_FRAME_INCOMPLETE, and what then comes after its turn FNX_FRAME_LATE. Where no frame waits but
 * other inputs' watermarks have gone ahead, `until` follows them after the deadline.
 *
 * The frames of one input come in the order of their sample times; one that does not is LATE.
 *
 * One thread. Every call but add is [frame].
 */
#pragma once

#include "bus/topic.h"

enum {
	FNX_MERGE_INPUTS_MAX = 80
};

struct fnx_merge_input {
	struct fnx_subscriber *sub;
	struct fnx_frame frame; /* the next one, if `has_frame` */
	int has_frame;
	int64_t bound; /* nothing below this will come: frame's time, else watermark */
	int64_t wake_at; /* the watermark that would unblock the merge */
	uint64_t n_late;
	int moved; /* live: its topic was replaced; it is silent until the caller has the successor
		    */
};

struct fnx_merge {
	struct fnx_merge_input inputs[FNX_MERGE_INPUTS_MAX];
	unsigned n_inputs;
	int64_t until; /* every frame below this sample time has been handed out */
	int64_t ingress_ns; /* when the sample at that time entered the machine, by the input that is
			       behind */
	int64_t deadline_ns; /* 0: wait for ever */
	int64_t blocked_since_ns; /* with a deadline: blocked until this + deadline_ns; 0: not
				     blocked */
	int64_t passed; /* sample time of the latest frame handed out */
	int64_t ahead; /* with a deadline: where some watermark was at `ahead_since_ns` */
	int64_t ahead_since_ns;
	unsigned laggard; /* dozing: the input that was waited for last */
	int candidate; /* input whose frame is next, -1: none has any */
	int ended; /* every input has ended */
};

void fnx_merge_init(struct fnx_merge *merge, int64_t deadline_ns);
/* Takes the subscriber in at the lowest rank so far. The caller keeps it. Returns its index;
 * -ENOSPC. */
int fnx_merge_add(struct fnx_merge *merge, struct fnx_subscriber *sub);

/* FNX_FRAME: *ret_frame of input *ret_input is next; call release when done with it. Everything
 * below its sample time (merge->until) has been handed out. FNX_GAP: *ret_gap on input *ret_input.
 * FNX_MOVED: that input's topic was replaced. FNX_NOTHING: wait; merge->until says up to where time
 * has come. -EBADMSG: a damaged entry was skipped. */
FNX_MUST_CHECK int fnx_merge_next(struct fnx_merge *merge, int64_t now_ns, unsigned *ret_input,
	struct fnx_frame *ret_frame, struct fnx_gap *ret_gap);
void fnx_merge_release(struct fnx_merge *merge, unsigned input);

/* After FNX_NOTHING: parks every input that could change that. `wake_at`: the sample time up to
 * which the node wants to know that nothing comes (INT64_MAX: it cares for frames alone). 1:
 * something came meanwhile, not parked. */
int fnx_merge_park(struct fnx_merge *merge, int64_t wake_at);
/* The same for one who does nothing before nothing comes below `wake_at` any more: up to `patience`
 * frames of each input are left unread until then. Without a deadline one input is waited for at a
 * time, and first for the one that came last. */
int fnx_merge_doze(struct fnx_merge *merge, int64_t wake_at, uint32_t patience);
void fnx_merge_unpark(struct fnx_merge *merge);
/* After FNX_NOTHING: 1 if a park, or a doze, would answer 1. For those who wait awake. */
int fnx_merge_pending(const struct fnx_merge *merge, int64_t wake_at);
int fnx_merge_due(const struct fnx_merge *merge, int64_t wake_at, uint32_t patience);
