/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a model keeps what: one contiguous region without pointers, so that it can lie in a file of
 * shared memory and be mapped by a successor at another address. Internal to the model's files.
 *
 *	header     struct fnx_model_header
 *	marks      double [capacity][n_dims]       in order of arrival, slot by slot
 *	bins       uint32_t [capacity]             position bin of each
 *	places     uint32_t [capacity]             block * FNX_BLOCK_MARKS + lane of each
 *	lanes      see kernel.h                    the same marks in blocks
 *	block_bins uint32_t [n_blocks]             bin of each block
 *	slots      uint32_t [n_blocks][32]         slot of each lane in use
 *	counts     uint32_t [n_blocks]             lanes in use
 *	previous   uint32_t [n_blocks]             block before in the same bin, or in the free list
 *	last       uint32_t [n_bins]               last block of each bin
 *
 * each part at a multiple of 64 bytes. Every change is announced to the journal before it is made.
 */
#pragma once

#include "bus/journal.h"
#include "nodes/encode/kernel.h"
#include "nodes/encode/model.h"

#define FNX_MODEL_MAGIC UINT64_C(0x316c65646d786e66)

enum {
	FNX_MODEL_NO_BLOCK = UINT32_MAX
};

/* What the region was made for comes first: a successor with another configuration cannot use it.
 */
struct fnx_model_header {
	uint64_t magic;
	uint64_t size;
	uint32_t n_dims, n_bins, capacity, single;
	double kernel_uv;
	uint64_t index;
	uint32_t n_blocks; /* ever taken */
	uint32_t free_block; /* head of the free list */
};

struct fnx_model_parts {
	size_t marks, bins, places, lanes, block_bins, slots, counts, previous, last, size;
	uint32_t n_blocks;
};

struct fnx_model {
	struct fnx_model_config config;
	const struct fnx_kernel *kernel;
	struct fnx_journal *journal;
	void *own; /* memory to free with it, NULL: the caller's */
	double weight; /* of a mark at distance 0 */
	struct fnx_model_header *header;
	double *marks;
	uint32_t *bins;
	uint32_t *places;
	struct fnx_blocks blocks; /* all that were ever taken */
	uint32_t *block_bins;
	uint32_t *slots;
	uint32_t *counts;
	uint32_t *previous;
	uint32_t *last;
	uint32_t n_blocks; /* that there is room for */
};

/* A value of a lane as stored, far short of the values of unused lanes. */
double fnx_model_clamped(double value, double limit);
int32_t fnx_model_steps(const struct fnx_model *model, double uv);

/* Index of a lane's value of one dimension. */
static inline size_t fnx_model_lane(const struct fnx_model *model, uint32_t place, uint32_t dim)
{
	const size_t block = place / FNX_BLOCK_MARKS;

	return (block * model->config.n_dims + dim) * FNX_BLOCK_MARKS + place % FNX_BLOCK_MARKS;
}
