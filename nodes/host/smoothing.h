/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gaussian smoothing over position: what was seen in one bin counts a little in its neighbours,
 *
 *	S[to][from] = exp(-d(to, from)^2 / (2 deviation^2)) / column[from]   columns sum to 1
 *
 * so that nothing is lost at the ends of an arm. With the same smoothing for occupancy and spikes
 * their ratio stays a rate.
 *
 * No matrix is kept. Weights below 1e-20 of the largest are left out, which no sum in double
 * precision sees; what is left lies in runs around each bin and where joined arms begin. On a grid
 * S is a product, of one such operator along the rows and one along the columns. So the cost grows
 * with the bins times those within 9.6 deviations (of a grid: along both edges).
 *
 * Never changes once made; any thread.
 */
#pragma once

#include <stdint.h>

struct fnx_smoothing;
struct fnx_track;

/* Over any bins; `distance_cm` of two, NaN: one of them is a gap; deviation_cm > 0. -ENOMEM. Not
 * real-time: O(n_bins^2) distances. */
int fnx_smoothing_new(uint32_t n_bins,
	double (*distance_cm)(const void *context, uint32_t a, uint32_t b), const void *context,
	double deviation_cm, struct fnx_smoothing **ret_smoothing);
/* Over a grid, bin = row * n_columns + column, of bins with edges of bin_cm. As above, but
 * O(n_columns^2 + n_rows^2). */
int fnx_smoothing_new_grid(uint32_t n_columns, uint32_t n_rows, double bin_cm, double deviation_cm,
	struct fnx_smoothing **ret_smoothing);
/* Over the bins of a track, whichever of the two it is. */
int fnx_smoothing_new_track(
	const struct fnx_track *track, double deviation_cm, struct fnx_smoothing **ret_smoothing);
struct fnx_smoothing *fnx_smoothing_free(struct fnx_smoothing *smoothing);

/* ret_to [n_bins] = S @ from [n_bins]. What is in a gap is lost. `from` finite and, like
 * `scratch` [n_bins], any content, apart from ret_to. Real-time. */
void fnx_smoothing_apply(
	const struct fnx_smoothing *smoothing, const double *from, double *scratch, double *ret_to);
/* ret_to [n_bins] += amount * S[:, from]: what one bin gives to all. Real-time. */
void fnx_smoothing_add(
	const struct fnx_smoothing *smoothing, uint32_t from, double amount, double *ret_to);
