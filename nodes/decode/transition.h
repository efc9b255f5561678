/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transitions: where the decoded position may go from one time bin to the next, in each state
 * and between states.
 *
 *	prior[k] = sum over j of D[j][k] * (posterior[j] @ C[j][k])
 *
 * C[j][k], over position bins, is one of three kinds: uniform over the track, random walk
 * (Gaussian of the distance), identity. D, over states, has a strong diagonal. Gaps are never
 * entered and never left.
 *
 * None of them is a matrix in memory. A uniform step is a sum, an identity a copy, a random walk
 * bands or sweeps (walk.h), and of the states that walk randomly into the same state the posteriors
 * are added up first: at most one walk per state.
 *
 * Arithmetic on plain memory, all taken by init; any thread once initialised.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodes/decode/walk.h"

enum {
	FNX_STATES_MAX = 8
};

enum fnx_step {
	FNX_STEP_UNIFORM, /* anywhere on the track */
	FNX_STEP_RANDOM_WALK, /* nearby */
	FNX_STEP_IDENTITY, /* nowhere */
};

struct fnx_transition_config {
	uint32_t n_bins;
	const int32_t *bin_arms; /* [n_bins] arm that owns the bin, -1: gap */
	uint32_t n_states; /* 1..FNX_STATES_MAX; one state has D = 1 */
	const enum fnx_step *steps; /* [n_states][n_states], [from][to] */
	double discrete_diagonal; /* D[k][k]; the rest of a row is (1 - diagonal) / (n_states - 1)
				   */
	/* Random walks only. */
	const double *distance_cm; /* [n_bins][n_bins] along the track, NaN in gaps; NULL: a grid */
	uint32_t n_columns; /* of a grid, see walk.h */
	double bin_cm;
	double random_walk_cm; /* standard deviation per time bin */
	/* Parity: from arm 0 every bin can be reached, from another arm only that arm and arm 0. */
	bool through_first_arm;
	/* Option, off in parity: part of each random walk's row that is uniform instead. */
	double jump_probability;
	enum fnx_walk_form walk_form; /* for tests; otherwise FNX_WALK_AUTO */
};

struct fnx_transition {
	uint32_t n_bins;
	uint32_t n_states;
	uint32_t n_track; /* bins that are no gaps */
	enum fnx_step steps[FNX_STATES_MAX][FNX_STATES_MAX];
	double discrete[FNX_STATES_MAX][FNX_STATES_MAX];
	bool *on_track; /* [n_bins] */
	double *track; /* [n_bins] the same as 1 or 0 */
	const struct fnx_rows *rows;
	bool walks; /* some state does */
	struct fnx_walk walk;
	double jump_probability;
};

/* Copies what it needs. -EINVAL: no bin on the track, a number out of range, a random walk without
 * distances or deviation; -ENOMEM. Not real-time. */
int fnx_transition_init(
	struct fnx_transition *transition, const struct fnx_transition_config *config);
void fnx_transition_fini(struct fnx_transition *transition);

/* Doubles of scratch that predict needs. */
size_t fnx_transition_scratch(uint32_t n_bins);

/*
 * ret_prior [n_states][n_bins] from posterior [n_states][n_bins], which must not overlap.
 * `scratch`: fnx_transition_scratch doubles, any content, 64-byte aligned. Real-time: O(n_states^2
 * * n_bins), and one random walk for each state that is walked into.
 */
void fnx_transition_predict(const struct fnx_transition *transition, const double *posterior,
	double *scratch, double *ret_prior);

/*
 * The other way round: ret_before[j] = sum over k of D[j][k] * (C[j][k] @ after[k]), [n_states]
 * [n_bins] each: how well what is known of a time bin fits each place in the one before. Scratch
 * and cost as predict.
 */
void fnx_transition_back(const struct fnx_transition *transition, const double *after,
	double *scratch, double *ret_before);

/*
 * Distances as the ancestor takes them, for parity: each bin has one coordinate, offset * bin_cm in
 * arm 0 and (last bin of arm 0 + 1 + offset) * bin_cm in any other, offset counting from the arm's
 * first bin; the distance of two bins is that of their coordinates. ret_distance_cm
 * [n_bins][n_bins].
 */
void fnx_transition_parity_distances(
	uint32_t n_bins, const int32_t *bin_arms, double bin_cm, double *ret_distance_cm);
