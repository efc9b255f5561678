/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it says about position that most groups were silent: e^-(expected spikes in the time bin),
 * all groups together, by position bin.
 *
 * Of a group's share of the expected spikes nothing is computed again before that group has
 * spiked: shares are the leaves of a binary tree of sums, and only the way from a changed leaf to
 * the root is added up anew. So the sum depends on the rates alone and not on what led to them. The
 * likelihood itself is kept until rates or occupancy change.
 *
 * Work memory, derived from the decoder's rates; one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fnx_rows;

struct fnx_silence {
	uint32_t n_groups, n_bins;
	const struct fnx_rows *rows;
	double *tree; /* [2 * n_groups][n_bins]: sums 1 to n_groups - 1, then a leaf per group */
	bool *stale_sums; /* [2 * n_groups] */
	bool any_stale;
	double *exponents; /* [n_bins], see fnx_silence_update; -infinity: cannot be there */
	double *likelihood; /* [n_bins rounded up] e^exponents, up to a factor */
	double sum; /* of likelihood */
	bool stale; /* exponents and likelihood */
};

/* -ENOMEM. Without `shares` there is no tree: the sum is then its owner's. Not real-time. */
int fnx_silence_init(struct fnx_silence *silence, uint32_t n_groups, uint32_t n_bins, bool shares);
void fnx_silence_fini(struct fnx_silence *silence);

/* A group's rates [n_bins] have changed: its share of the sum is now rates / their sum. */
void fnx_silence_change(struct fnx_silence *silence, uint32_t group, const double *rates);
/* All shares added up, [n_bins]. Real-time, O(changed groups * log(groups) * n_bins). */
const double *fnx_silence_shares(struct fnx_silence *silence);

/* Fills likelihood and sum from exponents[i] = factor * expected[i] / occupied[i], what is not
 * finite, or where `track` [n_bins] (may be NULL) is 0, being impossible. Real-time. */
void fnx_silence_update(struct fnx_silence *silence, const double *expected, const double *occupied,
	double factor, const double *track);
