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
 *	last       uint32_t [n_bins]               last block of each bin's chain
 *
 * where marks are merged
 *
 *	masses     float or double [n_blocks][32]  marks that each lane stands for
 *	scatters   double [capacity]               their squared distances from it, in kernel
 *						   deviations
 *
 * and where blocks are of like marks, for either (model_tree.c)
 *
 *	boxes      uint16_t [n_blocks / 16][n_dims][low, high][16]   around each block's marks
 *	planes     struct fnx_model_plane [n_leaves]
 *	parents    uint32_t [n_blocks]             plane above each leaf; or detached, chained
 *	roots      uint32_t [n_bins]               plane, or block with FNX_MODEL_LEAF
 *
 * and where sums are expanded (model_cubes.c)
 *
 *	cubes      struct fnx_model_cube [n_cubes]
 *	cube_table uint32_t [a power of two]       by their places, cube + 1 of each, 0: free
 *	coefficients [n_cubes][n_bins] of sets     see expansion.h
 *
 * each part at a multiple of 64 bytes. Every change is announced to the journal before it is made,
 * but for those of coefficients, and of where a cube is and what it saw last.
 */
#pragma once

#include "bus/journal.h"
#include "nodes/encode/expansion.h"
#include "nodes/encode/kernel.h"
#include "nodes/encode/model.h"

#define FNX_MODEL_MAGIC UINT64_C(0x376c65646d786e66)

#define FNX_MODEL_NO_BLOCK UINT32_MAX
#define FNX_MODEL_NONE UINT32_MAX
#define FNX_MODEL_CHAINED (UINT32_MAX - 1)
#define FNX_MODEL_DETACHED (UINT32_MAX - 2)
/* A reference to a block rather than to a plane. FNX_MODEL_NONE has it too. */
#define FNX_MODEL_LEAF UINT32_C(0x80000000)

struct fnx_model_plane {
	double value;
	uint32_t dim;
	uint32_t parent; /* or the next free one */
	uint32_t children[2]; /* below `value`, not below it */
};

enum {
	FNX_MODEL_CUBE_WAITING, /* has not seen all marks */
	FNX_MODEL_CUBE_READY,
};

struct fnx_model_cube {
	int16_t at[FNX_EXPANSION_DIMS_MAX]; /* in edges of a cube */
	uint32_t state;
	uint32_t reserved;
	uint64_t changed; /* the last change that it saw, if only in part */
};

/* What the region was made for comes first: a successor with another configuration cannot use it.
 */
struct fnx_model_header {
	uint64_t magic;
	uint64_t size;
	uint32_t n_dims, n_bins, capacity, single, trees, cut_off;
	double kernel_uv, merge_deviations, step_uv;
	double scatter; /* sum of all scatters */
	uint64_t n_merged; /* sum of all masses, less the marks */
	uint64_t index;
	uint32_t n_blocks; /* ever taken */
	uint32_t free_block; /* head of the free list */
	uint32_t n_leaves; /* blocks in trees */
	uint32_t n_planes; /* ever taken */
	uint32_t free_plane; /* head of the free list */
	uint32_t n_cubes; /* ever taken */
	uint32_t filling; /* the cube that catches up, FNX_MODEL_NONE: none */
	uint32_t cursor; /* slots below it are in that one */
	uint64_t expansion_size;
	uint64_t n_changes; /* of cubes */
};

struct fnx_model_parts {
	size_t marks, bins, places, lanes, block_bins, slots, counts, previous, last, boxes, masses,
		scatters, planes, parents, roots, cubes, cube_table, coefficients, size;
	uint32_t n_blocks, n_leaves, n_cubes, n_cube_table;
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
	double *scatters; /* NULL: no merging */
	uint16_t *boxes; /* NULL: none, and no trees */
	struct fnx_model_plane *planes;
	uint32_t *parents;
	uint32_t *roots;
	uint32_t n_blocks; /* that there is room for */
	uint32_t n_leaves; /* of them at the most in trees */
	struct fnx_expansion expansion;
	struct fnx_model_cube *cubes; /* NULL: none */
	uint32_t *cube_table;
	char *coefficients;
	size_t cube_size; /* of one cube's coefficients */
	uint32_t n_cubes; /* that there is room for */
	uint32_t n_cube_table;
};

/* A value of a lane as stored, far short of the values of unused lanes. */
double fnx_model_clamped(double value, double limit);
/* Rows of single precision as kernels take them, of whole numbers [n_dims], steps or counts.
 * `beside`: what goes beside the last of an odd number. */
void fnx_model_pack(
	const struct fnx_model *model, const int32_t *values, int32_t beside, int32_t *ret_rows);
/* The same of a mark. */
void fnx_model_rows(const struct fnx_model *model, const double *mark, int32_t *ret_rows);
/* Every lane of single precision that is not in use. */
int32_t fnx_model_unused(const struct fnx_model *model);
/* `mark` as the model takes it. */
void fnx_model_round(const struct fnx_model *model, const double *mark, double *ret_mark);

/* What a lane of single precision counts in, and the most of it either way. */
static inline double fnx_model_unit_uv(const struct fnx_model *model)
{
	return model->config.step_uv > 0.0 ? model->config.step_uv
					   : model->config.kernel_uv / FNX_BLOCK_STEPS;
}

static inline double fnx_model_limit(const struct fnx_model *model)
{
	return model->config.step_uv > 0.0 ? FNX_BLOCK_LIMIT_I16 : FNX_BLOCK_LIMIT_I32;
}

/* Index of a lane's value of one row. */
static inline size_t fnx_model_lane(const struct fnx_model *model, uint32_t place, uint32_t row)
{
	const size_t n_side_by_side = model->config.cut_off ? FNX_OCTET_MARKS : FNX_BLOCK_MARKS;

	return (place / n_side_by_side * model->blocks.n_rows + row) * n_side_by_side +
		place % n_side_by_side;
}

/* model.c */
void fnx_model_set(struct fnx_model *model, uint32_t *at, uint32_t value);
void fnx_model_put(struct fnx_model *model, uint32_t place, uint32_t slot);
void fnx_model_clear(struct fnx_model *model, uint32_t place);
uint32_t fnx_model_take_block(struct fnx_model *model, uint32_t bin);
void fnx_model_give_block(struct fnx_model *model, uint32_t block);

/* model_tree.c */
/* The steps of boxes below and above a value. */
void fnx_model_box_steps(
	const struct fnx_model *model, double uv, uint16_t *ret_low, uint16_t *ret_high);
void fnx_model_box_clear(struct fnx_model *model, uint32_t block);
void fnx_model_box_grow(struct fnx_model *model, uint32_t block, const double *mark);
/* Slot to merge `mark` into, FNX_MODEL_NONE: there is none. */
uint32_t fnx_model_tree_like(const struct fnx_model *model, uint32_t bin, const double *mark);
/* false: the tree does not take it. */
bool fnx_model_tree_add(struct fnx_model *model, uint32_t slot);
void fnx_model_tree_take_out(struct fnx_model *model, uint32_t slot);
bool fnx_model_tree_is_sound(
	const struct fnx_model *model, uint32_t bin, uint32_t *n_leaves, uint64_t *n_marks);
/* After each bin's tree was found sound, with `n_leaves` in all: whether the planes not in use are
 * all in the free list. */
bool fnx_model_planes_are_sound(const struct fnx_model *model, uint32_t n_leaves);
bool fnx_model_detached_are_sound(
	const struct fnx_model *model, uint32_t *n_leaves, uint64_t *n_marks);

/* model_cubes.c */
/* A slot that was stored. */
void fnx_model_cubes_put(struct fnx_model *model, uint32_t slot);
/* A slot that will be overwritten. */
void fnx_model_cubes_take_out(struct fnx_model *model, uint32_t slot);
/* What each bin's marks weigh at `mark`, [n_bins], kernels of peak 1. false: there is no cube that
 * can tell it to 1.5e-6; ret_sums is scratch then. `terms`, `work`: scratch, [n_terms] at an address
 * divisible by 64, and [n_bins]. */
bool fnx_model_cubes_sum(const struct fnx_model *model, const double *mark, float *terms,
	double *work, double *ret_sums);
bool fnx_model_cubes_are_sound(const struct fnx_model *model);
/* After a predecessor's changes were undone, where cubes are sound. */
void fnx_model_cubes_resume(struct fnx_model *model);
