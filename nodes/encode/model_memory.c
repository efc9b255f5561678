/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A region that a predecessor left is believed only after a look at all of it: whatever indexes
 * something must lie within, and slots and places must point at each other.
 */
#include "nodes/encode/model_memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Trees get a block for so many marks of the capacity. Blocks hold 19 on average while a
	 * model fills, and 14 to 15 when it has been overwritten several times. */
	LEAF_MARKS = 12
};

static bool is_step_valid(const struct fnx_model_config *config)
{
	const double per_deviation = config->kernel_uv / config->step_uv;

	if (config->step_uv == 0.0)
		return true;
	return config->single && config->merge_deviations == 0.0 && config->step_uv > 0.0 &&
		per_deviation >= 1.0 && per_deviation <= FNX_COUNTS_PER_DEVIATION_MAX;
}

static size_t cube_size(const struct fnx_model_config *config)
{
	return fnx_model_cube_size(config->n_dims, config->n_bins);
}

static bool is_expansion_valid(const struct fnx_model_config *config)
{
	if (config->expansion_size == 0)
		return true;
	return config->single && config->merge_deviations == 0.0 &&
		config->n_dims <= FNX_EXPANSION_DIMS_MAX &&
		config->expansion_size >= cube_size(config) &&
		config->expansion_size <= FNX_MODEL_EXPANSION_MAX;
}

static bool is_valid(const struct fnx_model_config *config)
{
	return config->n_dims >= 1 && config->n_dims <= FNX_MARK_DIMS_MAX && config->n_bins >= 1 &&
		config->n_bins <= FNX_MODEL_BINS_MAX && config->capacity >= 1 &&
		config->capacity <= FNX_MODEL_CAPACITY_MAX && isfinite(config->kernel_uv) &&
		config->kernel_uv >= 1e-6 && config->kernel_uv <= 1e9 &&
		(!config->gate ||
			(config->gate_deviations > 0.0 && config->gate_deviations <= 1e6)) &&
		config->merge_deviations >= 0.0 && config->merge_deviations <= 1.0 &&
		is_step_valid(config) && is_expansion_valid(config);
}

static bool has_trees(const struct fnx_model_config *config)
{
	return config->cut_off || config->merge_deviations > 0.0;
}

static uint32_t rows_of(const struct fnx_model_config *config)
{
	return config->step_uv > 0.0 ? (config->n_dims + 1) / 2 : config->n_dims;
}

static size_t part(size_t *size, size_t n, size_t value_size)
{
	const size_t at = *size;

	*size = (at + n * value_size + FNX_LANES_ALIGN - 1) / FNX_LANES_ALIGN * FNX_LANES_ALIGN;
	return at;
}

static uint32_t blocks_needed(const struct fnx_model_config *config)
{
	const uint64_t n_partial =
		config->n_bins < config->capacity ? config->n_bins : config->capacity;

	return (uint32_t)((config->capacity + n_partial * (FNX_BLOCK_MARKS - 1)) / FNX_BLOCK_MARKS);
}

static struct fnx_model_parts parts_of(const struct fnx_model_config *config)
{
	const size_t lane_size = config->single ? sizeof(int32_t) : sizeof(double);
	const size_t capacity = config->capacity, n_dims = config->n_dims;
	const size_t n_leaves = has_trees(config) ? capacity / LEAF_MARKS + config->n_bins : 0;
	const size_t n_blocks = blocks_needed(config) + n_leaves;
	struct fnx_model_parts parts = {
		.n_blocks = (uint32_t)n_blocks, .n_leaves = (uint32_t)n_leaves};
	size_t *size = &parts.size;

	part(size, 1, sizeof(struct fnx_model_header));
	parts.marks = part(size, capacity * n_dims, sizeof(double));
	parts.bins = part(size, capacity, sizeof(uint32_t));
	parts.places = part(size, capacity, sizeof(uint32_t));
	parts.lanes = part(size, n_blocks * FNX_BLOCK_MARKS * rows_of(config), lane_size);
	parts.block_bins = part(size, n_blocks, sizeof(uint32_t));
	parts.slots = part(size, n_blocks * FNX_BLOCK_MARKS, sizeof(uint32_t));
	parts.counts = part(size, n_blocks, sizeof(uint32_t));
	parts.previous = part(size, n_blocks, sizeof(uint32_t));
	parts.last = part(size, config->n_bins, sizeof(uint32_t));
	if (config->merge_deviations > 0.0) {
		parts.masses = part(size, n_blocks * FNX_BLOCK_MARKS, lane_size);
		parts.scatters = part(size, capacity, sizeof(double));
	}
	if (config->expansion_size > 0) {
		parts.n_cubes = (uint32_t)(config->expansion_size / cube_size(config));
		for (parts.n_cube_table = 2; parts.n_cube_table < 2 * parts.n_cubes;)
			parts.n_cube_table *= 2;
		parts.cubes = part(size, parts.n_cubes, sizeof(struct fnx_model_cube));
		parts.cube_table = part(size, parts.n_cube_table, sizeof(uint32_t));
		parts.coefficients = part(size, parts.n_cubes, cube_size(config));
	}
	if (!has_trees(config))
		return parts;
	parts.boxes = part(size,
		(n_blocks + FNX_BOX_GROUP - 1) / FNX_BOX_GROUP * FNX_BOX_GROUP * n_dims * 2,
		sizeof(uint16_t));
	parts.planes = part(size, n_leaves, sizeof(struct fnx_model_plane));
	parts.parents = part(size, n_blocks, sizeof(uint32_t));
	parts.roots = part(size, config->n_bins, sizeof(uint32_t));
	return parts;
}

size_t fnx_model_memory_size(const struct fnx_model_config *config)
{
	return is_valid(config) ? parts_of(config).size : 0;
}

void fnx_model_add_needs(
	const struct fnx_model_config *config, size_t *ret_touches, size_t *ret_bytes)
{
	/* Places written or cleared, each with its slot and its box: one overwritten, one filled;
	 * and in a split each mark once, with what it leaves behind. */
	const size_t n_places = 3 + (has_trees(config) ? 3 * FNX_BLOCK_MARKS : 0);
	const size_t n_boxes = has_trees(config) ? n_places + 3 : 0;
	const size_t n_dims = config->n_dims;

	/* 48 and 64: the header, trees and cubes. */
	*ret_touches = n_places * (n_dims + 4) + 2 * n_boxes * n_dims + 48;
	*ret_bytes = n_places * (n_dims * sizeof(double) + 3 * sizeof(uint32_t) + 8) +
		2 * n_boxes * n_dims * sizeof(uint16_t) + n_dims * sizeof(double) + 64 * 8;
}

static struct fnx_model *attach(const struct fnx_model_config *config, void *memory)
{
	const struct fnx_model_parts parts = parts_of(config);
	struct fnx_model *model = calloc(1, sizeof(*model));
	char *at = memory;

	if (!model)
		return NULL;
	model->config = *config;
	model->kernel = fnx_kernel(fnx_processor());
	model->weight = 1.0 / (sqrt(2.0 * M_PI) * config->kernel_uv);
	model->n_blocks = parts.n_blocks;
	model->header = memory;
	model->marks = (double *)(at + parts.marks);
	model->bins = (uint32_t *)(at + parts.bins);
	model->places = (uint32_t *)(at + parts.places);
	model->block_bins = (uint32_t *)(at + parts.block_bins);
	model->slots = (uint32_t *)(at + parts.slots);
	model->counts = (uint32_t *)(at + parts.counts);
	model->previous = (uint32_t *)(at + parts.previous);
	model->last = (uint32_t *)(at + parts.last);
	if (config->merge_deviations > 0.0)
		model->scatters = (double *)(at + parts.scatters);
	if (has_trees(config)) {
		model->n_leaves = parts.n_leaves;
		model->boxes = (uint16_t *)(at + parts.boxes);
		model->planes = (struct fnx_model_plane *)(at + parts.planes);
		model->parents = (uint32_t *)(at + parts.parents);
		model->roots = (uint32_t *)(at + parts.roots);
	}
	if (config->expansion_size > 0) {
		fnx_expansion_init(&model->expansion, config->n_dims);
		model->cubes = (struct fnx_model_cube *)(at + parts.cubes);
		model->cube_table = (uint32_t *)(at + parts.cube_table);
		model->coefficients = at + parts.coefficients;
		model->cube_size = cube_size(config);
		model->n_cubes = parts.n_cubes;
		model->n_cube_table = parts.n_cube_table;
	}
	model->blocks = (struct fnx_blocks){
		.lanes = at + parts.lanes,
		.bins = model->block_bins,
		.masses = config->merge_deviations > 0.0 ? at + parts.masses : NULL,
		.n_rows = rows_of(config),
	};
	return model;
}

static void make_trees(struct fnx_model *model)
{
	const uint32_t n_padded =
		(model->n_blocks + FNX_BOX_GROUP - 1) / FNX_BOX_GROUP * FNX_BOX_GROUP;

	for (uint32_t block = 0; block < n_padded; block++)
		fnx_model_box_clear(model, block);
	for (uint32_t block = 0; block < model->n_blocks; block++)
		model->parents[block] = FNX_MODEL_CHAINED;
	for (uint32_t bin = 0; bin < model->config.n_bins; bin++)
		model->roots[bin] = FNX_MODEL_NONE;
}

static void make(struct fnx_model *model, size_t size)
{
	const struct fnx_model_config *config = &model->config;
	const size_t n_lanes = (size_t)model->n_blocks * FNX_BLOCK_MARKS * model->blocks.n_rows;

	memset(model->header, 0, size);
	*model->header = (struct fnx_model_header){
		.magic = FNX_MODEL_MAGIC,
		.size = size,
		.n_dims = config->n_dims,
		.n_bins = config->n_bins,
		.capacity = config->capacity,
		.single = config->single,
		.trees = has_trees(config),
		.cut_off = config->cut_off,
		.merge_deviations = config->merge_deviations,
		.kernel_uv = config->kernel_uv,
		.step_uv = config->step_uv,
		.expansion_size = config->expansion_size,
		.free_block = FNX_MODEL_NO_BLOCK,
		.free_plane = FNX_MODEL_NONE,
		.filling = FNX_MODEL_NONE,
	};
	if (has_trees(config))
		make_trees(model);
	for (uint32_t i = 0; i < config->n_bins; i++)
		model->last[i] = FNX_MODEL_NO_BLOCK;
	for (size_t i = 0; i < n_lanes; i++) {
		if (config->single)
			((int32_t *)model->blocks.lanes)[i] = fnx_model_unused(model);
		else
			((double *)model->blocks.lanes)[i] = FNX_BLOCK_UNUSED_F64;
	}
}

/* Whether the header is one that `make` writes for this configuration. */
static bool is_ours(const struct fnx_model *model, size_t size)
{
	const struct fnx_model_config *config = &model->config;
	const struct fnx_model_header *header = model->header;

	return header->magic == FNX_MODEL_MAGIC && header->size == size &&
		header->n_dims == config->n_dims && header->n_bins == config->n_bins &&
		header->capacity == config->capacity && header->single == config->single &&
		header->trees == has_trees(config) && header->cut_off == config->cut_off &&
		header->merge_deviations == config->merge_deviations &&
		header->n_planes <= model->n_leaves && header->kernel_uv == config->kernel_uv &&
		header->step_uv == config->step_uv &&
		header->expansion_size == config->expansion_size &&
		header->n_blocks <= model->n_blocks;
}

static bool is_boxed(const struct fnx_model *model, uint32_t block, uint32_t dim, double uv)
{
	const uint16_t *low;
	uint16_t below, above;

	if (!model->boxes)
		return true;
	low = model->boxes + fnx_model_bound(model->config.n_dims, block, dim);
	fnx_model_box_steps(model, uv, &below, &above);
	return below >= low[0] && above <= low[FNX_BOX_GROUP];
}

static bool is_slot_sound(const struct fnx_model *model, uint32_t slot)
{
	const uint32_t n_dims = model->config.n_dims, place = model->places[slot];
	const uint32_t block = place / FNX_BLOCK_MARKS;
	const double *mark = model->marks + (size_t)slot * n_dims;

	if (block >= model->header->n_blocks)
		return false;
	if (model->scatters && !(fnx_model_mass(model, slot) >= 1 && model->scatters[slot] >= 0.0))
		return false;
	for (uint32_t d = 0; d < n_dims; d++)
		if (!isfinite(mark[d]) || !is_boxed(model, block, d, mark[d]))
			return false;
	return model->bins[slot] < model->config.n_bins &&
		model->block_bins[block] == model->bins[slot] &&
		place % FNX_BLOCK_MARKS < model->counts[block] && model->slots[place] == slot;
}

/* Whether a chain of `previous` ends, passes only blocks of `bin` (FNX_MODEL_NO_BLOCK: free ones),
 * and all but the first are full; adds up what it holds. */
static bool is_chain_sound(const struct fnx_model *model, uint32_t first, uint32_t bin,
	uint32_t *n_blocks, uint64_t *n_marks)
{
	const bool free = bin == FNX_MODEL_NO_BLOCK;

	for (uint32_t block = first; block != FNX_MODEL_NO_BLOCK; block = model->previous[block]) {
		if (block >= model->header->n_blocks || ++*n_blocks > model->header->n_blocks)
			return false;
		if (free ? model->counts[block] != 0
			 : model->block_bins[block] != bin || model->counts[block] == 0 ||
					model->counts[block] > FNX_BLOCK_MARKS ||
					(block != first && model->counts[block] < FNX_BLOCK_MARKS))
			return false;
		if (model->parents && model->parents[block] != FNX_MODEL_CHAINED)
			return false;
		*n_marks += model->counts[block];
	}
	return true;
}

bool fnx_model_is_sound(const struct fnx_model *model)
{
	const uint32_t n_marks = fnx_model_marks(model);
	uint32_t n_blocks = 0, n_leaves = 0;
	uint64_t n_chained = 0;

	if (!is_chain_sound(
		    model, model->header->free_block, FNX_MODEL_NO_BLOCK, &n_blocks, &n_chained))
		return false;
	for (uint32_t bin = 0; bin < model->config.n_bins; bin++)
		if (!is_chain_sound(model, model->last[bin], bin, &n_blocks, &n_chained) ||
			(model->roots &&
				!fnx_model_tree_is_sound(model, bin, &n_leaves, &n_chained)))
			return false;
	if (model->roots && !fnx_model_planes_are_sound(model, n_leaves))
		return false;
	if (model->roots && !fnx_model_detached_are_sound(model, &n_leaves, &n_chained))
		return false;
	if (n_leaves != model->header->n_leaves || n_leaves > model->n_leaves)
		return false;
	n_blocks += n_leaves;
	if (n_blocks != model->header->n_blocks || n_chained != n_marks)
		return false;
	for (uint32_t block = 0; block < n_blocks; block++)
		if (model->block_bins[block] >= model->config.n_bins)
			return false;
	for (uint32_t slot = 0; slot < n_marks; slot++)
		if (!is_slot_sound(model, slot))
			return false;
	return !model->cubes || fnx_model_cubes_are_sound(model);
}

int fnx_model_init(const struct fnx_model_config *config, void *memory, bool resumed,
	struct fnx_journal *journal, struct fnx_model **ret_model)
{
	const size_t size = fnx_model_memory_size(config);
	struct fnx_model *model;

	if (!size || (uintptr_t)memory % FNX_LANES_ALIGN)
		return -EINVAL;
	model = attach(config, memory);
	if (!model)
		return -ENOMEM;
	if (!resumed)
		make(model, size);
	if (!is_ours(model, size) || (resumed && !fnx_model_is_sound(model))) {
		free(model);
		return -EBADMSG;
	}
	if (resumed && model->cubes)
		fnx_model_cubes_resume(model);
	model->blocks.n = model->header->n_blocks;
	model->journal = journal;
	*ret_model = model;
	return 0;
}

int fnx_model_new(const struct fnx_model_config *config, struct fnx_model **ret_model)
{
	const size_t size = fnx_model_memory_size(config);
	void *memory;
	int r;

	if (!size)
		return -EINVAL;
	memory = aligned_alloc(FNX_LANES_ALIGN, size);
	if (!memory)
		return -ENOMEM;
	r = fnx_model_init(config, memory, false, NULL, ret_model);
	if (r)
		free(memory);
	else
		(*ret_model)->own = memory;
	return r;
}

struct fnx_model *fnx_model_free(struct fnx_model *model)
{
	if (!model)
		return NULL;
	free(model->own);
	free(model);
	return NULL;
}
