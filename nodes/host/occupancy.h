/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Occupancy: how long the animal has been in each position bin, counted in position samples.
 *
 * The encoder divides by it what it learnt from spikes, the decoder weighs silence with it. Kept
 * beside the counts is `share`, the counts divided by their sum, ready for every spike; it is
 * recomputed once per position sample.
 *
 * Gaps (bins of no arm) are never occupied. In parity mode they are bins like any other until the
 * first counted sample and NaN from then on; otherwise they are 0 from the start. Both mean the
 * same to who divides by the share and takes what is not finite for 0.
 *
 * Arithmetic on plain memory: one thread at a time, no errors after init.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fnx_journal;
struct fnx_smoothing;

struct fnx_occupancy_config {
	uint32_t n_bins;
	const int32_t *bin_arms; /* [n_bins], -1: gap; copied */
	double initial; /* samples each bin starts with: encoder 0, decoder 1 */
	bool parity; /* gaps as above */
	/* Options, off in parity. */
	double floor; /* the share takes no bin of the track for less than this many samples */
	/* NULL: none; must outlive the occupancy. */
	const struct fnx_smoothing *smoothing;
};

struct fnx_occupancy {
	struct fnx_occupancy_config config;
	/* In the memory that init was given. */
	uint64_t *n_samples; /* counted since it was made */
	double *counts; /* [n_bins] position samples, as counted */
	double *smoothed; /* [n_bins] */
	/* Derived, or copied. */
	double *share; /* [n_bins] smoothed, floored, divided by the sum; frame path reads this */
	int32_t *bin_arms; /* [n_bins] */
	struct fnx_journal *journal;
	void *own; /* the memory, where it is not the caller's */
};

/* Bytes that an occupancy keeps: its counts, without a pointer among them. */
size_t fnx_occupancy_memory_size(uint32_t n_bins);

/*
 * In `memory`, fnx_occupancy_memory_size bytes at an address divisible by 64 that outlive the
 * occupancy: all zeros, or `resumed`: as an occupancy of the same configuration left them, and all
 * goes on from there. `journal`, over memory that includes this one, hears of each change before it
 * is made; NULL: nobody does. -EINVAL: no bins, a negative count; -EBADMSG: what is to be resumed
 * cannot have been left by an occupancy; -ENOMEM. Not real-time.
 */
int fnx_occupancy_init_in(struct fnx_occupancy *occupancy,
	const struct fnx_occupancy_config *config, void *memory, bool resumed,
	struct fnx_journal *journal);
/* The same in memory of its own, without a journal. -EINVAL; -ENOMEM. Not real-time. */
int fnx_occupancy_init(struct fnx_occupancy *occupancy, const struct fnx_occupancy_config *config);
void fnx_occupancy_fini(struct fnx_occupancy *occupancy);

/* Counts one position sample in `bin`. A bin out of range or in a gap is not counted, false.
 * Real-time, O(n_bins). */
bool fnx_occupancy_add(struct fnx_occupancy *occupancy, int32_t bin);

/* Replaces the counts by saved ones, [n_bins]. -EINVAL, nothing changed: a count is negative or
 * infinite (NaN in a gap is fine). */
int fnx_occupancy_restore(
	struct fnx_occupancy *occupancy, const double *counts, uint64_t n_samples);
