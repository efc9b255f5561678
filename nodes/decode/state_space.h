/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clusterless decoder: per time bin, what silence and the bin's spikes say about position,
 * times what the transition model predicts from the bin before.
 *
 *	silence     lk = exp(-expected spikes in the bin), all groups together
 *	spikes      lk *= likelihood of each spike, normalised each time
 *	posterior   lk * prior, normalised over states and bins
 *
 * In parity mode the arithmetic is the ancestor's, quirks included: a probability stands where a
 * rate belongs, spikes that share a time stamp count as duplicates whatever their groups, rates
 * grow with every spike that reaches the decoder, and a bin in which the spikes exclude one
 * another leaves NaN behind. Outside parity nothing that leaves here is ever NaN.
 *
 * All in double precision. Likelihoods from single-precision weights (nodes/encode/model.h) change
 * the posterior that follows from a given prior by at most 1e-6, absolute, for up to 25 spikes in
 * the time bin where marks are whole counts (step_uv); else for up to six, and by 1.5e-7 per spike
 * where there are more.
 *
 * Arithmetic on plain memory, all taken by init; one thread at a time; frame path functions
 * allocate nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/decode/silence.h"
#include "nodes/decode/spikes.h"
#include "nodes/decode/transition.h"
#include "nodes/host/occupancy.h"

enum {
	FNX_RECENT_MAX = 10
};

struct fnx_state_space_config {
	struct fnx_transition_config transition; /* n_bins, bin_arms and n_states hold for all */
	uint32_t n_groups; /* electrode groups, numbered from 0 here */
	uint32_t max_spikes; /* per time bin; those beyond it are dropped and counted */
	double time_bin_s; /* dt */
	double credible_mass; /* of posterior and likelihood */
	uint32_t credible_max_bins; /* a spike is good when its own interval is at most this */
	bool parity;
	/* Options, off in parity. */
	bool rates_hz; /* expected spikes from spikes and seconds counted */
	bool rates_while_training; /* spikes count for rates only if they went into the model */
	double position_sample_s; /* rates_hz: time that one occupancy count stands for */
	bool duplicates_per_group; /* the same time stamp is a duplicate within a group only */
	double likelihood_floor; /* of a flat likelihood: no spike takes a bin of the track below
				    this */
	bool log_space; /* multiply by adding logarithms: no product underflows */
	double occupancy_floor; /* position samples */
	const struct fnx_smoothing *smoothing; /* of occupancy; NULL: none; must outlive this */
};

/* One time bin's result; pointers into the state space, valid until its next tick. */
struct fnx_decode_result {
	const double *posterior; /* [n_states][n_bins] */
	const double *likelihood; /* [n_bins] */
	uint32_t n_spikes; /* whose likelihoods went in */
	uint32_t n_duplicates; /* removed */
	uint32_t n_dropped; /* beyond max_spikes, or of an unknown group */
	uint32_t n_contradictions; /* spikes left out because no bin would have remained */
	int32_t decoded_bin; /* most probable bin, states summed; the first of equals */
	uint32_t credible_posterior; /* bins, states summed */
	uint32_t credible_likelihood; /* bins */
	/* The last FNX_RECENT_MAX good spikes of the bin in order of time. */
	uint32_t n_recent;
	uint32_t recent_groups[FNX_RECENT_MAX];
	int32_t recent_bins[FNX_RECENT_MAX]; /* their most likely bins */
};

struct fnx_state_space {
	struct fnx_state_space_config config;
	struct fnx_transition transition;
	struct fnx_occupancy occupancy;
	/* What the decoder knows, in the memory that init was given; see occupancy too. */
	double *rates; /* [n_groups][n_bins] spikes by group and position: firing_rate */
	double *expected; /* [n_bins] rates_hz: rates summed over groups, smoothed */
	double *posterior; /* [n_states][n_bins] */
	/* Derived from that, or work memory that every tick overwrites. */
	struct fnx_silence silence;
	double *likelihood; /* [n_bins] */
	double *prior; /* [n_states][n_bins] */
	double *occupied; /* [n_bins] rates_hz: seconds, at least the floor */
	double *work; /* [3][n_bins rounded up] */
	uint32_t *order; /* [2][max_spikes] */
	const struct fnx_rows *rows;
	struct fnx_journal *journal;
	void *own; /* the memory, where it is not the caller's */
};

/* Bytes that a decoder keeps between two ticks: counts, rates and the posterior, one piece without
 * a pointer in it. 0: a field out of its range. */
size_t fnx_state_space_memory_size(const struct fnx_state_space_config *config);
/* Bytes of log that the changes of one tick and one position sample need, see bus/journal.h. */
size_t fnx_state_space_journal_size(const struct fnx_state_space_config *config);

/*
 * In `memory`, fnx_state_space_memory_size bytes at an address divisible by 64 that outlive the
 * state space: all zeros, or `resumed`: as a state space of the same configuration left them, and
 * all goes on from there, to the last bit. `journal`, over memory that includes this one, hears of
 * each change before it is made; NULL: nobody does. -EINVAL: a field out of range or an option
 * together with parity; -EBADMSG: what is to be resumed cannot have been left by a state space of
 * this configuration; -ENOMEM. Not real-time.
 */
int fnx_state_space_init_in(struct fnx_state_space *space,
	const struct fnx_state_space_config *config, void *memory, bool resumed,
	struct fnx_journal *journal);
/* The same in memory of its own, without a journal. -EINVAL; -ENOMEM. Not real-time. */
int fnx_state_space_init(
	struct fnx_state_space *space, const struct fnx_state_space_config *config);
void fnx_state_space_fini(struct fnx_state_space *space);

/* A position sample that counts as occupancy. False: the bin is no place of the track. Real-time.
 */
bool fnx_state_space_occupy(struct fnx_state_space *space, int32_t position_bin);

/*
 * Closes a time bin with its spikes, [n_spikes] in order of arrival. Spikes with a likelihood go
 * into the result; those without one only count for rates_hz. Removed first: every later spike with
 * the time stamp of an earlier one, and in parity all spikes of a time stamp that occurs three
 * times or more. Real-time: O(n_spikes * (n_bins + log n_spikes) + n_groups * n_bins) and the
 * transition's cost.
 */
void fnx_state_space_tick(struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	uint32_t n_spikes, struct fnx_decode_result *ret_result);

/* Replaces rates [n_groups][n_bins] and occupancy [n_bins] by saved ones. -EINVAL, nothing changed:
 * a count is negative or not finite (occupancy may be NaN in gaps). */
int fnx_state_space_restore(struct fnx_state_space *space, const double *rates,
	const double *occupancy, uint64_t n_samples);

/* Posterior as before the first time bin. Real-time. */
void fnx_state_space_forget(struct fnx_state_space *space);
