/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loops over all stored marks: Gaussian weights summed by block, and the n-cube gate.
 *
 * A block is 32 marks of one position bin, dimension by dimension: lanes[block][dim][32]. Where only
 * some blocks are gone through, it is four octets, each dimension by dimension:
 * lanes[octet][dim][8]; so what is not in use of a block is not fetched either. Lanes are
 * doubles (microvolts), or for single precision int32 steps of 2^-22 kernel deviations: differences
 * of integers are exact, so that the error does not grow with the amplitude as it would with
 * floats. Unused lanes hold a value so far off that their weight is below 1e-37 and no gate counts
 * them. Marks and queries must lie within the limits, which keeps every distance finite.
 *
 * Any thread, real-time, no errors; time grows with blocks * dimensions.
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
	FNX_GATE_STRIDE = 16, /* blocks or octets between two looks at whether there are enough */
};

#define FNX_BLOCK_STEPS 0x1p22 /* per kernel deviation */
/* 232 deviations, and 40 more; no difference overflows. */
#define FNX_BLOCK_LIMIT_I32 0x1.dp29
#define FNX_BLOCK_UNUSED_I32 0x1.1p30
#define FNX_BLOCK_LIMIT_F64 1e150
#define FNX_BLOCK_UNUSED_F64 3e150

#define FNX_BLOCK_MASS_MAX 0x1p20
#define FNX_BOX_FAR 1e17f /* lower bound of an empty box, negative its upper bound */

/* Index of a block's lower bound; the upper one is FNX_BOX_GROUP further on. */
static inline size_t fnx_model_bound(uint32_t n_dims, uint32_t block, uint32_t dim)
{
	return ((size_t)(block / FNX_BOX_GROUP) * n_dims + dim) * 2 * FNX_BOX_GROUP +
		block % FNX_BOX_GROUP;
}

struct fnx_blocks {
	void *lanes; /* of int32_t or double, 64-byte aligned */
	uint32_t *bins; /* accumulator that each block adds to */
	void *masses; /* [..][FNX_BLOCK_MARKS] of float or, beside doubles, double: marks that each
			 stands for, whole numbers of at most FNX_BLOCK_MASS_MAX; NULL: 1 */
	const uint32_t *list; /* [n] octets to go through: block * FNX_BLOCK_OCTETS + 0..3 */
	uint32_t n; /* without a list: blocks 0 .. n - 1 */
	uint32_t n_dims;
};

/* One set per processor generation. All give the same results; but weigh_i32 is the same only on
 * all that fuse products and sums; FNX_PROCESSOR_ANY of x86-64 does not, and rounds once more. */
struct fnx_kernel {
	/* ret_sums[bins[k]] [FNX_BLOCK_SUMS] += e^(-|m - x|^2 / 2), in kernel deviations, over
	 * the marks m of block k, by lane; x [n_dims]; ret_sums 64-byte aligned. */
	void (*weigh_i32)(const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums);
	/* ret_sums[bins[k]] [FNX_BLOCK_SUMS] += e^(factor * |m - x|^2), factor < 0. */
	void (*weigh_f64)(
		const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums);
	/* Marks with lower < m < upper in every dimension; counting may stop once there are
	 * `enough`. */
	uint32_t (*inside_i32)(const struct fnx_blocks *blocks, const int32_t *lower,
		const int32_t *upper, uint32_t enough);
	uint32_t (*inside_f64)(const struct fnx_blocks *blocks, const double *lower,
		const double *upper, uint32_t enough);
	/* The same over the octets of blocks->list. */
	void (*weigh_octets_i32)(
		const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums);
	void (*weigh_octets_f64)(
		const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums);
	uint32_t (*inside_octets_i32)(const struct fnx_blocks *blocks, const int32_t *lower,
		const int32_t *upper, uint32_t enough);
	uint32_t (*inside_octets_f64)(const struct fnx_blocks *blocks, const double *lower,
		const double *upper, uint32_t enough);
	/* Blocks, rising, of [0, n) whose box, boxes[n / 16, rounded up][n_dims][2][16], comes
	 * closer than the square root of `limit` to [low, high]: ret_list [n + 16], and their
	 * number. */
	uint32_t (*near_boxes)(const float *boxes, uint32_t n, uint32_t n_dims, const float *low,
		const float *high, float limit, uint32_t *ret_list);
};

/* The set for `processor`, which this machine must have: at most fnx_processor(). */
const struct fnx_kernel *fnx_kernel(enum fnx_processor processor);
