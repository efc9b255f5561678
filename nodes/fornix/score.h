/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * score: a node within `fornix run` that reads what the others publish and keeps the figures of the
 * run's summary: how well position was decoded, how fast everything was, and a digest by which two
 * runs can be compared.
 */
#pragma once

#include "bus/status.h"
#include "nodes/host/node.h"

struct fnx_score {
	_Atomic uint64_t posteriors, ripples, decisions, acted, spikes, likelihoods;
	_Atomic uint64_t right_arm,
		judged; /* acted decisions during a true replay, of that arm / of any */
	_Atomic uint64_t digest; /* over every posterior's content and sample time, in order */
	_Atomic int32_t decoded_bin, position_bin; /* latest */
	struct fnx_histogram spike_to_posterior, lfp_to_ripple,
		posterior_to_decision; /* ingress to publish */
	/* One entry per time bin in which the animal ran on the track. */
	struct fnx_score_pair {
		int16_t decoded, actual; /* position bins */
		uint32_t time_bin; /* which posterior of the session */
	} * pairs;
	_Atomic uint64_t n_pairs;
	uint64_t pairs_capacity;
	/* Consensus ripple onsets, sample times. */
	int64_t *onsets;
	_Atomic uint64_t n_onsets;
	uint64_t onsets_capacity;
};

/* What the pairs of the session's second half come to. */
struct fnx_score_error {
	double median_cm, chance_cm; /* NAN: nothing to judge */
	double same_arm; /* fraction of bins whose decoded arm is the animal's */
	uint64_t n;
};

FNX_MUST_CHECK int fnx_score_init(struct fnx_score *score);
void fnx_score_fini(struct fnx_score *score);
/* Where the node of this process keeps its figures; set before it is opened. */
void fnx_score_use(struct fnx_score *score);
/* Counts a posterior, and keeps its pair if the animal ran on the track. Allocates nothing. */
struct fnx_posterior;
void fnx_score_posterior(struct fnx_score *score, const struct fnx_posterior *message);
/* Chance: the same decoded bins against the actual ones in shuffled order (seeded). Not real-time.
 */
FNX_MUST_CHECK int fnx_score_error(const struct fnx_score *score, const struct fnx_rig *rig,
	struct fnx_score_error *ret_error);

extern const struct fnx_node_ops fnx_score_ops;
