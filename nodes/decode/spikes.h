/* SPDX-License-Identifier: BSD-3-Clause */
/* The spikes of a time bin: their order, and which of them count. Plain arrays, any thread,
 * real-time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A spike as an encoder judged it. */
struct fnx_decode_spike {
	int64_t sample_time;
	uint32_t group; /* 0..n_groups - 1 */
	int32_t position_bin; /* where the animal was, -1 unknown */
	uint32_t credible_bins; /* of its likelihood */
	bool stored; /* it went into the encoding model: the animal was training it */
	const double *likelihood; /* [n_bins]; NULL: the model could not judge it */
};

/* Sorts `order` [n], indices into spikes, by time; equal times keep their order. Returns the sorted
 * array, which is `order` or `spare` [n]. O(n), or O(n log n) where they were out of order. */
uint32_t *fnx_spikes_sort(
	const struct fnx_decode_spike *spikes, uint32_t *order, uint32_t *spare, uint32_t n);

enum fnx_duplicates {
	FNX_DUPLICATES_PARITY, /* the same time stamp; of three or more none is kept */
	FNX_DUPLICATES_ANY_GROUP, /* the same time stamp: the first is kept */
	FNX_DUPLICATES_PER_GROUP, /* the same time stamp and group */
};

/* Removes duplicates from a sorted `order`, in place; returns how many are left. */
uint32_t fnx_spikes_unique(const struct fnx_decode_spike *spikes, uint32_t *order, uint32_t n,
	enum fnx_duplicates duplicates);
