/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why blocks per position bin and not one long array: with marks in order of arrival the weights
 * must be scattered into a histogram one by one, which costs more than the exponentials. Why the
 * marks are also kept in order of arrival: the overwrite rule goes by that order, a saved model is
 * written in it, and a single-precision gate that is too close to call is decided on the exact
 * values.
 *
 * A mark that is overwritten leaves a hole in its block, which the last mark of its bin fills.
 */
#include "nodes/encode/model_memory.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

static void touch(struct fnx_model *model, const void *at, size_t size)
{
	fnx_journal_touch(model->journal, at, size);
}

void fnx_model_set(struct fnx_model *model, uint32_t *at, uint32_t value)
{
	touch(model, at, sizeof(*at));
	*at = value;
}

double fnx_model_clamped(double value, double limit)
{
	return isnan(value) ? limit : fmin(fmax(value, -limit), limit);
}

void fnx_model_pack(
	const struct fnx_model *model, const int32_t *values, int32_t beside, int32_t *ret_rows)
{
	const uint32_t n_dims = model->config.n_dims;

	if (model->config.step_uv > 0.0)
		for (uint32_t d = 0; d < n_dims; d += 2)
			ret_rows[d / 2] =
				fnx_counts_lane(values[d], d + 1 < n_dims ? values[d + 1] : beside);
	else
		memcpy(ret_rows, values, n_dims * sizeof(*values));
}

void fnx_model_rows(const struct fnx_model *model, const double *mark, int32_t *ret_rows)
{
	const double unit_uv = fnx_model_unit_uv(model), limit = fnx_model_limit(model);
	int32_t values[FNX_MARK_DIMS_MAX];

	for (uint32_t d = 0; d < model->config.n_dims; d++)
		values[d] = (int32_t)rint(fnx_model_clamped(mark[d] / unit_uv, limit));
	fnx_model_pack(model, values, 0, ret_rows);
}

int32_t fnx_model_unused(const struct fnx_model *model)
{
	return model->config.step_uv > 0.0
		? fnx_counts_lane(FNX_BLOCK_UNUSED_I16, FNX_BLOCK_UNUSED_I16)
		: (int32_t)FNX_BLOCK_UNUSED_I32;
}

/* What is too large for doubles to have a fraction stays as it is. */
void fnx_model_round(const struct fnx_model *model, const double *mark, double *ret_mark)
{
	const double step_uv = model->config.step_uv;

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		const double counts = step_uv > 0.0 ? mark[d] / step_uv : (double)INFINITY;

		ret_mark[d] = fabs(counts) < 0x1p51 ? rint(counts) * step_uv : mark[d];
	}
}

bool fnx_model_is_whole(const struct fnx_model *model, const double *mark)
{
	double rounded[FNX_MARK_DIMS_MAX];
	bool whole = true;

	fnx_model_round(model, mark, rounded);
	for (uint32_t d = 0; d < model->config.n_dims; d++)
		whole &= !(fabs(mark[d] - rounded[d]) > 1e-6 * model->config.step_uv);
	return whole;
}

static void set_lane_f64(struct fnx_model *model, uint32_t place, uint32_t dim, double value)
{
	double *at = (double *)model->blocks.lanes + fnx_model_lane(model, place, dim);

	touch(model, at, sizeof(*at));
	*at = value;
}

static void set_lane_single(struct fnx_model *model, uint32_t place, uint32_t row, int32_t value)
{
	int32_t *at = (int32_t *)model->blocks.lanes + fnx_model_lane(model, place, row);

	touch(model, at, sizeof(*at));
	*at = value;
}

static void set_lanes(struct fnx_model *model, uint32_t place, const double *mark)
{
	int32_t rows[FNX_MARK_DIMS_MAX];

	if (model->config.single)
		fnx_model_rows(model, mark, rows);
	for (uint32_t row = 0; row < model->blocks.n_rows; row++) {
		if (model->config.single)
			set_lane_single(model, place, row, rows[row]);
		else
			set_lane_f64(model, place, row,
				fnx_model_clamped(mark[row], FNX_BLOCK_LIMIT_F64));
	}
}

static double mass_at(const struct fnx_model *model, uint32_t place)
{
	return model->config.single ? (double)((const float *)model->blocks.masses)[place]
				    : ((const double *)model->blocks.masses)[place];
}

static void set_mass(struct fnx_model *model, uint32_t place, double mass)
{
	if (model->config.single) {
		float *at = (float *)model->blocks.masses + place;

		touch(model, at, sizeof(*at));
		*at = (float)mass;
	} else {
		double *at = (double *)model->blocks.masses + place;

		touch(model, at, sizeof(*at));
		*at = mass;
	}
}

/* A mark that moves from another place takes its mass along. */
void fnx_model_put(struct fnx_model *model, uint32_t place, uint32_t slot)
{
	const double *mark = model->marks + (size_t)slot * model->config.n_dims;

	set_lanes(model, place, mark);
	if (model->boxes)
		fnx_model_box_grow(model, place / FNX_BLOCK_MARKS, mark);
	if (model->scatters)
		set_mass(model, place, mass_at(model, model->places[slot]));
	fnx_model_set(model, &model->slots[place], slot);
	fnx_model_set(model, &model->places[slot], place);
}

void fnx_model_clear(struct fnx_model *model, uint32_t place)
{
	for (uint32_t row = 0; row < model->blocks.n_rows; row++) {
		if (model->config.single)
			set_lane_single(model, place, row, fnx_model_unused(model));
		else
			set_lane_f64(model, place, row, FNX_BLOCK_UNUSED_F64);
	}
}

const struct fnx_model_config *fnx_model_config(const struct fnx_model *model)
{
	return &model->config;
}

uint32_t fnx_model_marks(const struct fnx_model *model)
{
	return model->header->index < model->config.capacity ? (uint32_t)model->header->index
							     : model->config.capacity;
}

uint64_t fnx_model_index(const struct fnx_model *model)
{
	return model->header->index;
}

void fnx_model_stored(
	const struct fnx_model *model, uint32_t slot, double *ret_mark, uint32_t *ret_bin)
{
	const uint32_t n_dims = model->config.n_dims;

	assert(slot < fnx_model_marks(model));
	memcpy(ret_mark, model->marks + (size_t)slot * n_dims, n_dims * sizeof(double));
	*ret_bin = model->bins[slot];
}

uint32_t fnx_model_mass(const struct fnx_model *model, uint32_t slot)
{
	const double mass = model->scatters ? mass_at(model, model->places[slot]) : 1.0;

	return mass >= 1.0 && mass <= FNX_BLOCK_MASS_MAX ? (uint32_t)mass : 0;
}

struct fnx_model_merging fnx_model_merging(const struct fnx_model *model)
{
	const double n_merged = (double)model->header->n_merged;
	const double n_marks = n_merged + fnx_model_marks(model);

	return (struct fnx_model_merging){
		.n_merged = model->header->n_merged,
		.error_bound = n_merged > 0.0 ? 0.5 * model->header->scatter / n_marks : 0.0,
	};
}

int fnx_model_resume(struct fnx_model *model, uint64_t index)
{
	if (index < model->header->index)
		return -EINVAL;
	if (index > model->header->index && model->header->index < model->config.capacity)
		return -EINVAL;
	touch(model, &model->header->index, sizeof(index));
	model->header->index = index;
	return 0;
}

/* A block for the free lane that `bin` needs. There is always one: n_blocks counts on every bin
 * having one that is not full. */
uint32_t fnx_model_take_block(struct fnx_model *model, uint32_t bin)
{
	struct fnx_model_header *header = model->header;
	uint32_t block = header->free_block;

	if (block != FNX_MODEL_NO_BLOCK) {
		fnx_model_set(model, &header->free_block, model->previous[block]);
	} else {
		block = header->n_blocks;
		fnx_model_set(model, &header->n_blocks, block + 1);
		model->blocks.n = block + 1;
	}
	assert(block < model->n_blocks);
	fnx_model_set(model, &model->block_bins[block], bin);
	return block;
}

void fnx_model_give_block(struct fnx_model *model, uint32_t block)
{
	if (model->boxes)
		fnx_model_box_clear(model, block);
	fnx_model_set(model, &model->previous[block], model->header->free_block);
	fnx_model_set(model, &model->header->free_block, block);
}

static void append(struct fnx_model *model, uint32_t slot)
{
	const uint32_t bin = model->bins[slot];
	uint32_t block = model->last[bin];
	uint32_t lane;

	if (block == FNX_MODEL_NO_BLOCK || model->counts[block] == FNX_BLOCK_MARKS) {
		block = fnx_model_take_block(model, bin);
		fnx_model_set(model, &model->previous[block], model->last[bin]);
		fnx_model_set(model, &model->last[bin], block);
	}
	lane = model->counts[block];
	fnx_model_set(model, &model->counts[block], lane + 1);
	fnx_model_put(model, block * FNX_BLOCK_MARKS + lane, slot);
}

/*	bin 7:  [m m m m] [m . m m] [m m - -]     the hole at '.' is filled with the bin's last mark
 *	        [m m m m] [m m m m] [m - - -]     */
static void take_out(struct fnx_model *model, uint32_t slot)
{
	const uint32_t bin = model->bins[slot];
	const uint32_t hole = model->places[slot];
	const uint32_t block = model->last[bin];
	const uint32_t n_left = model->counts[block] - 1;
	const uint32_t end = block * FNX_BLOCK_MARKS + n_left;

	fnx_model_set(model, &model->counts[block], n_left);
	if (hole != end)
		fnx_model_put(model, hole, model->slots[end]);
	fnx_model_clear(model, end);
	if (n_left > 0)
		return;
	fnx_model_set(model, &model->last[bin], model->previous[block]);
	fnx_model_give_block(model, block);
}

static void set_scatter(struct fnx_model *model, uint32_t slot, double scatter)
{
	struct fnx_model_header *header = model->header;
	const double sum = header->scatter - model->scatters[slot] + scatter;

	touch(model, &header->scatter, sizeof(header->scatter));
	header->scatter = fmax(sum, 0.0);
	touch(model, &model->scatters[slot], sizeof(model->scatters[slot]));
	model->scatters[slot] = scatter;
}

static void add_merged(struct fnx_model *model, int64_t n)
{
	touch(model, &model->header->n_merged, sizeof(model->header->n_merged));
	model->header->n_merged += (uint64_t)n;
}

/* The mean moves by its share of the difference; squared distances from it grow by the rest. */
static void merge(struct fnx_model *model, uint32_t slot, const double *mark)
{
	const uint32_t n_dims = model->config.n_dims, place = model->places[slot];
	const double mass = mass_at(model, place);
	double *at = model->marks + (size_t)slot * n_dims;
	double square = 0.0;

	touch(model, at, n_dims * sizeof(double));
	for (uint32_t d = 0; d < n_dims; d++) {
		const double z = (mark[d] - at[d]) / model->config.kernel_uv;

		square += z * z;
		at[d] += (mark[d] - at[d]) / (mass + 1.0);
	}
	fnx_model_put(model, place, slot);
	set_mass(model, place, mass + 1.0);
	set_scatter(model, slot, model->scatters[slot] + square * mass / (mass + 1.0));
	add_merged(model, 1);
}

static void store(struct fnx_model *model, uint32_t slot, const double *mark, uint32_t bin)
{
	double *at = model->marks + (size_t)slot * model->config.n_dims;

	touch(model, at, model->config.n_dims * sizeof(double));
	fnx_model_round(model, mark, at);
	fnx_model_set(model, &model->bins[slot], bin);
	if (!model->boxes || !fnx_model_tree_add(model, slot))
		append(model, slot);
	if (model->scatters) {
		set_mass(model, model->places[slot], 1.0);
		set_scatter(model, slot, 0.0);
	}
}

bool fnx_model_can_add(const struct fnx_model *model, const double *mark, int32_t bin)
{
	bool can = bin >= 0 && (uint32_t)bin < model->config.n_bins;

	for (uint32_t d = 0; d < model->config.n_dims; d++)
		can &= isfinite(mark[d]) != 0;
	return can;
}

int fnx_model_add(struct fnx_model *model, const double *mark, int32_t bin)
{
	const struct fnx_model_config *config = &model->config;
	const uint64_t index = model->header->index;
	const bool full = index >= config->capacity;
	const uint32_t slot = (uint32_t)(index % config->capacity);

	if (!fnx_model_can_add(model, mark, bin))
		return -EINVAL;
	if (model->scatters) {
		const uint32_t like = fnx_model_tree_like(model, (uint32_t)bin, mark);

		if (like != FNX_MODEL_NONE) {
			merge(model, like, mark);
			return FNX_MODEL_MERGED;
		}
	}
	touch(model, &model->header->index, sizeof(index));
	model->header->index = index + (full ? 3 : 1);
	if (full && index % 2 != 0)
		return FNX_MODEL_PASSED_OVER;
	if (full && model->cubes)
		fnx_model_cubes_take_out(model, slot);
	if (full && model->scatters)
		add_merged(model, 1 - (int64_t)fnx_model_mass(model, slot));
	if (full && model->boxes &&
		model->parents[model->places[slot] / FNX_BLOCK_MARKS] != FNX_MODEL_CHAINED)
		fnx_model_tree_take_out(model, slot);
	else if (full)
		take_out(model, slot);
	store(model, slot, mark, (uint32_t)bin);
	if (model->cubes)
		fnx_model_cubes_put(model, slot);
	return FNX_MODEL_STORED;
}
