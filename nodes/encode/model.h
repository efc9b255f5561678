/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Encoding model of one electrode group: the marks it has stored, the position bin in which each
 * was seen, and the joint mark-position likelihood of a new mark under them.
 *
 * Marks lie in blocks of 32 that share a position bin, dimension by dimension:
 *
 *	block k, bin 7:   dim 0 | m0 m1 m2 ... m31 |
 *	                  dim 1 | m0 m1 m2 ... m31 |
 *	                  ...                        unused lanes hold a mark that is far from all
 *
 * (of counts, below, two dimensions at a time), so that the kernels read memory straight through and add each block's weights to its bin's
 * accumulator, with no histogram pass. Of a bin's blocks all but the last are full.
 *
 * All that is learnt lies in one contiguous region without pointers, given by the caller: it may be
 * shared memory, mapped again by a successor process at another address. Every change is announced
 * to a journal first, so that a successor can undo what its predecessor did not live to complete
 * (but for expansions, of which it drops what it cannot undo: model_cubes.c).
 *
 * Arithmetic on plain memory, none taken after init; one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/encode/mark.h"
#include "nodes/host/limits.h"

enum {
	FNX_MODEL_BINS_MAX = 4096,
	FNX_MODEL_CAPACITY_MAX = 1 << 24,
	FNX_MODEL_BATCH_MAX = 8,
};

#define FNX_MODEL_EXPANSION_MAX (UINT64_C(1) << 36) /* bytes */

struct fnx_smoothing;

struct fnx_model_config {
	uint32_t n_dims; /* 1..FNX_MARK_DIMS_MAX */
	uint32_t n_bins; /* 1..FNX_MODEL_BINS_MAX */
	uint32_t capacity; /* marks, 1..FNX_MODEL_CAPACITY_MAX */
	double kernel_uv; /* standard deviation of the mark kernel */
	bool gate; /* n-cube gate: */
	double gate_deviations; /* half an edge of the cube, in kernel deviations */
	uint32_t gate_min_marks; /* stored marks that must lie strictly within it */
	/* Single-precision weights, added up in double precision: every entry of the likelihood is
	 * within 6e-6, relative, of the one in double precision; amplitudes beyond 232 kernel
	 * deviations count as that many. The gate answers the same in both. */
	bool single;
	/* Option of single precision, off in parity (0): marks are whole counts of an amplifier of
	 * so many microvolts each, which take half the memory. Marks and spikes are rounded to them
	 * first (fnx_model_is_whole tells whether that changes one); distances are then exact.
	 * kernel_uv must be 1 to FNX_COUNTS_PER_DEVIATION_MAX counts; amplitudes beyond 9,800 counts
	 * count as that many. Not where marks are merged, whose means are no whole counts. */
	double step_uv;
	/* Option, off in parity: blocks whose marks are all beyond the distance at which the kernel
	 * is 1e-7 of its peak are passed over, and marks are put into blocks by likeness. Time then
	 * grows with the marks near a spike. */
	bool cut_off;
	/* Option, off in parity (0): a mark within so many kernel deviations of one in the same
	 * block of its bin is merged into it, as their weighted mean with the mass of both. Time
	 * then grows with the marks that are unlike. See fnx_model_merging for the error. */
	double merge_deviations;
	/* Option of single precision, off in parity (0): so many bytes are for local expansions of the
	 * sums of weights (expansion.h), in cubes of mark space where marks are. A spike that falls
	 * into one costs the same however many marks there are; its likelihood of equal shares is
	 * within 1.5e-6, absolute, of the one by all marks (expansion.h says of which marks), or is
	 * the one by all marks. Storing a mark then costs
	 * as much for each cube that it reaches. 1 to FNX_EXPANSION_DIMS_MAX channels; not where
	 * marks are merged; room for one cube at least, at most FNX_MODEL_EXPANSION_MAX. */
	uint64_t expansion_size;
	/* Option, off in parity. Smoothing over the n_bins positions (nodes/host/smoothing.h);
	 * NULL: none; must outlive the model. */
	const struct fnx_smoothing *smoothing;
};

enum fnx_encode_answer {
	FNX_ENCODE_VALID = 0,
	FNX_ENCODE_NO_MARKS = 1, /* nothing stored yet */
	FNX_ENCODE_GATED = 2, /* too few stored marks within the n-cube */
};

enum fnx_model_answer {
	FNX_MODEL_STORED = 0,
	FNX_MODEL_PASSED_OVER = 1, /* at capacity every other mark is let go */
	FNX_MODEL_MERGED = 2, /* into one that is like it; the index stays */
};

struct fnx_model;
struct fnx_journal;

/* Bytes of memory that a model of this configuration lives in; 0: a field out of its range. */
size_t fnx_model_memory_size(const struct fnx_model_config *config);
/* Bytes of one cube of `expansion_size`, for so many channels, at most FNX_EXPANSION_DIMS_MAX, and
 * bins. */
size_t fnx_model_cube_size(uint32_t n_dims, uint32_t n_bins);
/* What one fnx_model_add announces to the journal at the most, for fnx_journal_log_size. */
void fnx_model_add_needs(
	const struct fnx_model_config *config, size_t *ret_touches, size_t *ret_bytes);
/*
 * A handle on the model in `memory`, fnx_model_memory_size bytes at an address divisible by 64,
 * which must outlive it. `resumed`: go on with the model that is there, else it is made empty.
 * `journal`, over memory that includes this one, hears of each change before it is made; NULL: no
 * journal. What makes the model empty is not announced. -EINVAL: a field out of its range, or the
 * address; -ENOMEM; -EBADMSG: resumed, and there is no sound model of this configuration (the gate
 * and the smoothing may differ). Not real-time.
 */
int fnx_model_init(const struct fnx_model_config *config, void *memory, bool resumed,
	struct fnx_journal *journal, struct fnx_model **ret_model);
/* The same in memory of its own, without a journal. -EINVAL, -ENOMEM. Not real-time. */
int fnx_model_new(const struct fnx_model_config *config, struct fnx_model **ret_model);
/* Frees the handle, and the memory only if it is the model's own. */
struct fnx_model *fnx_model_free(struct fnx_model *model);

/* The configuration in force. */
const struct fnx_model_config *fnx_model_config(const struct fnx_model *model);
/* Whether all that the memory holds fits together: O(marks). Not real-time. */
bool fnx_model_is_sound(const struct fnx_model *model);
/* Marks stored, at most the capacity. */
uint32_t fnx_model_marks(const struct fnx_model *model);
/* Position in the sequence of marks that the overwrite rule goes by; what fnx_model_resume takes.
 */
uint64_t fnx_model_index(const struct fnx_model *model);
/* Stored mark `slot` < fnx_model_marks: ret_mark [n_dims], ret_bin. For saving: adding slots 0, 1,
 * ... to an empty model of the same configuration and resuming at the index gives the same model,
 * but for the order in which a bin's weights are summed. */
void fnx_model_stored(
	const struct fnx_model *model, uint32_t slot, double *ret_mark, uint32_t *ret_bin);
/* Whether `mark` [n_dims] is, as far as rounding of doubles tells, what the model takes it for: true
 * without step_uv, or where all values are whole counts. Real-time. */
bool fnx_model_is_whole(const struct fnx_model *model, const double *mark);
/* Marks that the stored mark `slot` stands for: 1, or more by merging. */
uint32_t fnx_model_mass(const struct fnx_model *model, uint32_t slot);

struct fnx_model_merging {
	uint64_t n_merged; /* marks that went into others, of those stored */
	/* Whatever the spike and the bin, the sum of weights is within this much, times the number
	 * of marks and the kernel's peak, of the sum over all marks as they came: half their mean
	 * squared distance, in kernel deviations, from the marks that stand for them. (The mean of
	 * the differences is 0, and no second derivative of exp(-x^2 / 2) exceeds 1.) */
	double error_bound;
};

struct fnx_model_merging fnx_model_merging(const struct fnx_model *model);
/* Sets the index of a model that has been filled from a saved one. -EINVAL: an index below the
 * number of marks, or above it while the model is not full. */
int fnx_model_resume(struct fnx_model *model, uint64_t index);

/* Whether `mark` [n_dims] and `bin` are what fnx_model_add can store: the bin in range, all values
 * finite. Real-time. */
bool fnx_model_can_add(const struct fnx_model *model, const double *mark, int32_t bin);

/*
 * Stores `mark` [n_dims], seen in position bin `bin`. Below capacity it is appended at the index,
 * which grows by 1. At capacity: if the index is even it overwrites slot (index mod capacity); in
 * any case the index grows by 3. Real-time; O(n_dims), with an expansion O(cubes).
 * Answers: FNX_MODEL_STORED, FNX_MODEL_PASSED_OVER, FNX_MODEL_MERGED; -EINVAL: it cannot be added.
 */
int fnx_model_add(struct fnx_model *model, const double *mark, int32_t bin);

/* Bytes of scratch that a likelihood needs; one buffer may serve all groups of a thread. */
size_t fnx_model_scratch_size(const struct fnx_model *model);

/*
 * Joint mark-position likelihood of `mark` [n_dims]: over position bins,
 * sum of exp(-|m_i - mark|^2 / (2 kernel_uv^2)) / (sqrt(2 pi) kernel_uv) over the marks m_i of the
 * bin, smoothed if so configured, + 1e-7, divided by `share` [n_bins] (occupancy divided by its
 * sum), what is not finite becomes 0, divided by the sum. ret_likelihood [n_bins] sums to 1 and is
 * finite; where the share leaves no bin it is flat. The gate only decides: the weights use all
 * marks. `scratch`: fnx_model_scratch_size bytes at an address divisible by 64, any content. A mark
 * that is not finite is gated, or without a gate far from all. Real-time, O(marks * n_dims).
 * Answers: fnx_encode_answer; ret_likelihood is written only when it is FNX_ENCODE_VALID.
 */
int fnx_model_likelihood(const struct fnx_model *model, const double *mark, const double *share,
	void *scratch, double *ret_likelihood);

/* The same, bit for bit, for n <= FNX_MODEL_BATCH_MAX marks at once, [n][n_dims], with the memory
 * read once for all (but with cut_off, where each has its own blocks): ret_likelihoods
 * [n][n_bins], ret_answers [n]. */
void fnx_model_likelihoods(const struct fnx_model *model, uint32_t n, const double *marks,
	const double *share, void *scratch, double *ret_likelihoods, int *ret_answers);
