/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replay content: does the posterior say that the animal thinks of an arm's target region,
 * while it is elsewhere?
 *
 * Per time bin, the posterior mass of each arm and of each arm's target region (its last
 * bins) is taken, states summed. Over a sliding window of time bins, a rule for arm k is true
 * when
 *
 *	mean mass in the target region of k      >  threshold
 *	mean mass of every other arm             <  other_arms_below
 *	distinct electrode groups with a good spike within the window  >= min_groups
 *	the animal is within max_centre_distance_cm of the track's first bin, and slower than
 *	max_speed_cm_s
 *
 * A window that is not full makes no rule true: three bins are no mean over five. It begins
 * anew after whatever breaks the row of bins: a gap, or a posterior that is no distribution.
 * With `begin_full` it is filled with empty bins instead, as the ancestor has it: its mean
 * divides by the whole window from the first bin on.
 *
 * Sums are kept in whole numbers, in units of 2^-48 of probability: they can be updated for
 * ever without drift, and a bin costs the same whatever the window. Means are above or below
 * only if they are so by more than one unit: rounding makes no rule true.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nodes/host/track.h"

enum {
	FNX_REPLAY_WINDOW_MAX = 8192, /* time bins; their sum must fit into 63 bits */
	FNX_REPLAY_GROUPS_MAX = 1 << 20, /* numbers of electrode groups */
	FNX_REPLAY_RECENT_MAX = 64, /* good spikes that one bin can name */
};

/* Posterior mass of each arm, and of each arm's target region. */
struct fnx_masses {
	double arm[FNX_TRACK_ARMS_MAX];
	double target[FNX_TRACK_ARMS_MAX]; /* 0 for an arm without target region */
};

/* `posterior` [n_states][n_bins of the track]. 0, or -EINVAL: this is no distribution (NaN,
 * negative, or more than 1 in all); the masses are then unusable. Real-time. */
int fnx_masses_of(const struct fnx_track *track, const double *posterior, uint32_t n_states,
	struct fnx_masses *ret_masses);

/* What may change while the rule is in use. */
struct fnx_replay_params {
	double threshold; /* 0..1 */
	double other_arms_below; /* 0..1 */
	uint32_t min_groups;
	double max_centre_distance_cm; /* 0: anywhere */
	double max_speed_cm_s; /* 0: at any speed */
};

struct fnx_journal;

struct fnx_replay_config {
	uint32_t n_arms; /* of the track */
	uint32_t arm; /* whose content counts */
	uint32_t window_bins; /* 1..FNX_REPLAY_WINDOW_MAX */
	uint32_t n_groups; /* electrode groups with numbers below this are told apart, others do not
			      count */
	uint32_t n_recent; /* good spikes that one bin can name */
	int begin_full;
	struct fnx_replay_params params;
	/* Where the window lies: fnx_replay_memory_size bytes, 8-aligned, that outlive the rule;
	 * NULL: memory of its own. */
	void *memory;
	int resumed; /* go on with what `memory` holds */
	struct fnx_journal *journal; /* over `memory`: hears of each change; NULL: none */
};

/* One time bin. */
struct fnx_replay_bin {
	const struct fnx_masses *masses; /* NULL: no distribution; the window begins anew */
	const uint32_t *groups; /* [n_groups] of its good spikes */
	uint32_t n_groups; /* beyond config.n_recent they do not count */
	double centre_distance_cm; /* of the animal, NAN unknown */
	double speed_cm_s;
};

/* What a rule's answer rests on. */
struct fnx_replay_evidence {
	double target_mass; /* mean over the window */
	double other_mass; /* highest mean of another arm, 0 where there is none */
	uint32_t n_groups; /* distinct, within the window */
	int rose; /* the rule was not true at the bin before */
};

struct fnx_replay;

/* 0: a number is out of range. */
size_t fnx_replay_memory_size(const struct fnx_replay_config *config);
/* -EINVAL: a number out of range; -ENOMEM; -EBADMSG: resumed, and this can have been no window of
 * such a rule. Not real-time. */
int fnx_replay_new(const struct fnx_replay_config *config, struct fnx_replay **ret_replay);
struct fnx_replay *fnx_replay_free(struct fnx_replay *replay);
/* -EINVAL: out of range, nothing changed. Between two bins. Real-time. */
int fnx_replay_set(struct fnx_replay *replay, const struct fnx_replay_params *params);
/* The row of bins is broken: the window begins anew. Real-time: O(window_bins + n_groups). */
void fnx_replay_reset(struct fnx_replay *replay);
/* Takes one bin. 1: the rule is true; 0: it is not. Real-time: O(n_arms + n_recent). */
int fnx_replay_step(struct fnx_replay *replay, const struct fnx_replay_bin *bin,
	struct fnx_replay_evidence *ret_evidence);
/* Brings what the next step will look at into this processor's cache; changes nothing. Real-time. */
void fnx_replay_fetch(const struct fnx_replay *replay);
