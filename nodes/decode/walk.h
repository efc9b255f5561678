/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random walk over position bins: from each bin to those nearby, by a Gaussian of the distance,
 *
 *	W[from][to] = exp(-d(from, to)^2 / (2 deviation^2)) / row[from]   rows sum to 1
 *
 * without the matrix. Two forms, of which init takes the cheaper one that fits:
 *
 *	bands           the weights that are not 0 in double precision, run by run. Differs from the
 *	                matrix by rounding alone. Costs as many products as there are weights.
 *	exponentials    the Gaussian as a sum of eight decaying oscillations, within 2e-13 of its
 *	                peak. A decaying exponential passes from bin to bin, and through a junction,
 *	                as one number; so a walk is one sweep along each arm and back. Costs
 * O(bins), whatever the deviation. Within FNX_WALK_ERROR of the matrix.
 *
 * Exponentials need arms of equal bins that are joined at their ends, in any tree (where the way
 * from arm to arm is a way to one end, a length, and a way from one end), or a grid, where the
 * Gaussian of two coordinates is a product and the sweeps go along the rows and then along the
 * columns.
 *
 * Plain memory, all taken by init; any thread once initialised.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest difference of one result from that of the matrix, if the walkers sum to 1. */
#define FNX_WALK_ERROR 1e-12

enum fnx_walk_form {
	FNX_WALK_AUTO, /* init chooses */
	FNX_WALK_BANDS,
	FNX_WALK_EXPONENTIALS,
};

struct fnx_walk_config {
	uint32_t n_bins;
	const int32_t *bin_arms; /* [n_bins] arm that owns the bin, -1: gap */
	/* [n_bins][n_bins] along the track, NaN in gaps; NULL: a grid */
	const double *distance_cm;
	uint32_t n_columns; /* of a grid: bin = row * n_columns + column; whole rows */
	double bin_cm; /* of a grid: edge of a bin */
	double deviation_cm; /* > 0 */
	bool through_first_arm; /* parity: from arm 0 anywhere, else within the arm or into arm 0 */
	enum fnx_walk_form form;
};

struct fnx_walk_band;
struct fnx_walk_sweep;

struct fnx_walk {
	uint32_t n_bins;
	enum fnx_walk_form form; /* in force */
	struct fnx_walk_band *bands;
	struct fnx_walk_sweep *sweep;
};

/* -EINVAL: exponentials were asked for and this track has no such structure; -ENOMEM. Not
 * real-time: O(n_bins^2). */
int fnx_walk_init(struct fnx_walk *walk, const struct fnx_walk_config *config);
void fnx_walk_fini(struct fnx_walk *walk);

/* Doubles of scratch that add needs. */
size_t fnx_walk_scratch(uint32_t n_bins);

/* ret_to [n_bins] += factor * walkers [n_bins] @ W. What walks out of a gap is lost. A walker that
 * is NaN makes all NaN; none is infinite or negative. `scratch`: any content, 64-byte aligned.
 * Real-time. */
void fnx_walk_add(const struct fnx_walk *walk, const double *walkers, double factor,
	double *scratch, double *ret_to);

/* The same backwards: ret_from [n_bins] += factor * W @ arriving [n_bins], which is where walkers
 * would come from. */
void fnx_walk_add_back(const struct fnx_walk *walk, const double *arriving, double factor,
	double *scratch, double *ret_from);
