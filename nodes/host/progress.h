/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Progress: what the host itself must not forget when its node is killed: which frame of each
 * input comes next, how far time has come, how much was published, what the parameters are, and
 * the counts of the status page. It lies in the node's state (bus/state.h) and is committed
 * together with what the node has learnt: after each frame, and after each call of `advance` that
 * may have published.
 *
 *	frame taken -> state changed, outputs published -> commit -> frame given back
 *
 * Killed before the commit, a successor does all of it again, and what its topics say was
 * published already is not published twice. Killed after it, the successor passes over the frame,
 * although it was not given back. The status page shows committed counts.
 *
 * One thread, the node's.
 */
#pragma once

#include "bus/merge.h"
#include "bus/state.h"
#include "bus/status.h"

struct fnx_node;

enum {
	FNX_PROGRESS_PARAMS = 64
};

struct fnx_progress_input {
	uint64_t epoch; /* of the topic */
	uint64_t next; /* sequence number of the frame to take next */
	uint64_t frames, gaps, missed, late, bad; /* as in the status page */
	uint64_t reserved;
};

/* Written as one at each commit. */
struct fnx_progress_time {
	int64_t until, passed, ingress_ns; /* of the merge */
	int64_t advanced_to;
	int64_t watermark, watermark_ingress_ns;
};

struct fnx_progress {
	struct fnx_progress_time time;
	uint64_t heads[FNX_STATUS_TOPICS_MAX]; /* of the outputs: frames published */
	double params[FNX_PROGRESS_PARAMS];
	struct fnx_progress_input inputs[FNX_MERGE_INPUTS_MAX];
};

/* Opens the node's state and takes the host's own piece of it. 0, or negative errno with
 * node->error set. */
FNX_MUST_CHECK int fnx_progress_open(struct fnx_node *node);
/* After ops->open: ends the handing out of pieces; parameters are as the predecessor had them. */
FNX_MUST_CHECK int fnx_progress_seal(struct fnx_node *node);
/* After ops->open has declared an output and its topic was taken over: what of it is not to be
 * repeated. */
void fnx_progress_resume_output(struct fnx_node *node, unsigned output);
/* An input has been subscribed to: passes over what the predecessor was done with. */
void fnx_progress_resume_input(struct fnx_node *node, unsigned input);
/* All inputs are in the merge: time is where it was. */
void fnx_progress_resume_time(struct fnx_node *node);

/* [frame] The place to change what is known of an input; the change stays with the next commit. */
struct fnx_progress_input *fnx_progress_input(struct fnx_node *node, unsigned input);
/* [frame] Everything so far stays. */
void fnx_progress_commit(struct fnx_node *node);
/* [frame] Shows an input's counts, once committed. */
void fnx_progress_show(struct fnx_node *node, unsigned input);
