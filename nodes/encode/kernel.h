/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loops over all stored marks: Gaussian weights summed by block, and the n-cube gate.
 *
 * A block is 32 marks of one position bin, row by row: lanes[block][row][32]. Where only some
 * blocks are gone through, it is four octets, each row by row: lanes[octet][row][8]; so what is not
 * in use of a block is not fetched either. A row is one dimension, in lanes of
 *
 *	double   microvolts
 *	int32    for single precision: steps of 2^-22 kernel deviations; differences of integers are
 *	         exact, so that the error does not grow with the amplitude as it would with floats
 *
 * or two, where marks are whole counts of an amplifier, in half the memory:
 *
 *	int32    the first dimension's count in its low half, the second's in the high one, which
 *	         is 0 where there is none; so a row's squared distance is exact, and is one operation
 *
 * Unused lanes hold a value so far off that their weight is below 1e-37 and no gate counts them.
 * Marks and queries must lie within the limits, which keeps every distance finite.
 *
 * Any thread, real-time, no errors; time grows with blocks * rows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nodes/host/lanes.h"

enum {
	FNX_BLOCK_MARKS = 32,
	FNX_OCTET_MARKS = 8,
	FNX_BLOCK_OCTETS = FNX_BLOCK_MARKS / FNX_OCTET_MARKS,
	FNX_BLOCK_SUMS = 8, /* lanes of a bin's accumulator: 64 bytes */
	FNX_BOX_GROUP = 16, /* blocks whose boxes lie side by side */
	FNX_GATE_STRIDE = 4, /* blocks between two looks at whether there are enough */
	FNX_LIST_PADDING = 32,
};

#define FNX_BLOCK_STEPS 0x1p22 /* per kernel deviation */
/* 232 deviations, and 40 more; no difference overflows. */
#define FNX_BLOCK_LIMIT_I32 0x1.dp29
#define FNX_BLOCK_UNUSED_I32 0x1.1p30
/* A count may differ by 23,170 from any other, so that four squares fit an int32; unused ones by at
 * least 3,570 from all, 13.2 deviations of 270 (FNX_COUNTS_PER_DEVIATION_MAX). */
#define FNX_BLOCK_LIMIT_I16 9800
#define FNX_BLOCK_UNUSED_I16 13370
#define FNX_BLOCK_LIMIT_F64 1e150
#define FNX_BLOCK_UNUSED_F64 3e150

#define FNX_BLOCK_MASS_MAX 0x1p20

/* The lane of two dimensions. */
static inline int32_t fnx_counts_lane(int32_t low, int32_t high)
{
	return (int32_t)((uint32_t)high << 16 | (uint16_t)low);
}

/* Boxes are in steps of 1/16 kernel deviation, 2,048 either way; what is farther counts as that. An
 * empty box has its low bounds above its high ones, all that there is apart. */
#define FNX_BOX_STEPS 16.0
#define FNX_BOX_ZERO 32768.0
enum {
	FNX_BOX_LAST = 65535,
	FNX_BOX_GAP_MAX = 255, /* steps: longer gaps count as this */
	FNX_BOX_LIMIT_MAX = FNX_BOX_GAP_MAX * FNX_BOX_GAP_MAX - 1,
};

/* Index of a block's lower bound; the upper one is FNX_BOX_GROUP further on. */
static inline size_t fnx_model_bound(uint32_t n_dims, uint32_t block, uint32_t dim)
{
	return ((size_t)(block / FNX_BOX_GROUP) * n_dims + dim) * 2 * FNX_BOX_GROUP +
		block % FNX_BOX_GROUP;
}

/* Blocks of which as many octets are in use as all of the list, and FNX_LIST_PADDING after the last
 * that are only fetched. */
struct fnx_block_list {
	const uint32_t *blocks;
	uint32_t n;
};

struct fnx_blocks {
	void *lanes; /* of int32_t or double, 64-byte aligned */
	uint32_t *bins; /* accumulator that each block adds to */
	void *masses; /* [..][FNX_BLOCK_MARKS] of float or, beside doubles, double: marks that each
			 stands for, whole numbers of at most FNX_BLOCK_MASS_MAX; NULL: 1 */
	/* Blocks to go through: those with 1, 2, 3, 4 octets in use; if not set, 0 .. n - 1. */
	struct fnx_block_list lists[FNX_BLOCK_OCTETS];
	uint32_t n;
	uint32_t n_rows; /* dimensions, or pairs of them */
};

/* One set per processor generation. All give the same results; but single weights are the same only
 * on all that fuse products and sums; FNX_PROCESSOR_ANY of x86-64 does not, and rounds once more.
 */
struct fnx_kernel {
	/* ret_sums[bins[k]] [FNX_BLOCK_SUMS] += e^(-|m - x|^2 / 2), in kernel deviations, over
	 * the marks m of block k, by lane; x [n_rows]; ret_sums 64-byte aligned. */
	void (*weigh_i32)(const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums);
	/* ret_sums[bins[k]] [FNX_BLOCK_SUMS] += e^(factor * |m - x|^2), in counts, factor < 0; not
	 * by mass. */
	void (*weigh_i16)(
		const struct fnx_blocks *blocks, const int32_t *x, double factor, double *ret_sums);
	/* ret_sums[bins[k]] [FNX_BLOCK_SUMS] += e^(factor * |m - x|^2), factor < 0. */
	void (*weigh_f64)(
		const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums);
	/* Marks with lower < m < upper in every dimension; counting may stop once there are
	 * `enough`. */
	uint32_t (*inside_i32)(const struct fnx_blocks *blocks, const int32_t *lower,
		const int32_t *upper, uint32_t enough);
	uint32_t (*inside_i16)(const struct fnx_blocks *blocks, const int32_t *lower,
		const int32_t *upper, uint32_t enough);
	uint32_t (*inside_f64)(const struct fnx_blocks *blocks, const double *lower,
		const double *upper, uint32_t enough);
	/* The same over blocks->lists. */
	void (*weigh_near_i32)(const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums);
	void (*weigh_near_i16)(
		const struct fnx_blocks *blocks, const int32_t *x, double factor, double *ret_sums);
	void (*weigh_near_f64)(
		const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums);
	uint32_t (*inside_near_i32)(const struct fnx_blocks *blocks, const int32_t *lower,
		const int32_t *upper, uint32_t enough);
	uint32_t (*inside_near_i16)(const struct fnx_blocks *blocks, const int32_t *lower,
		const int32_t *upper, uint32_t enough);
	uint32_t (*inside_near_f64)(const struct fnx_blocks *blocks, const double *lower,
		const double *upper, uint32_t enough);
	/* Blocks, rising, of [0, n) whose box, boxes[n / 16, rounded up][n_dims][2][16], is no
	 * farther from [low, high] than the square root of `limit`, at most FNX_BOX_LIMIT_MAX, in
	 * steps: ret_list [n + 16], and their number. */
	uint32_t (*near_boxes)(const uint16_t *boxes, uint32_t n, uint32_t n_dims,
		const uint16_t *low, const uint16_t *high, uint16_t limit, uint32_t *ret_list);
};

/* The set for `processor`, which this machine must have: at most fnx_processor(). */
const struct fnx_kernel *fnx_kernel(enum fnx_processor processor);
