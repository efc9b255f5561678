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
#include "nodes/encode/model.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/kernel.h"

enum {
	NO_BLOCK = UINT32_MAX
};

struct fnx_model {
	struct fnx_model_config config;
	const struct fnx_kernel *kernel;
	uint64_t index;
	double weight; /* of a mark at distance 0 */
	/* In order of arrival, slot by slot. */
	double *marks; /* [capacity][n_dims] */
	uint32_t *bins; /* [capacity] */
	uint32_t *places; /* [capacity] block * FNX_BLOCK_MARKS + lane */
	/* Blocks. */
	struct fnx_blocks blocks;
	uint32_t n_blocks; /* allocated */
	uint32_t *slots; /* [n_blocks][FNX_BLOCK_MARKS] slot of each lane */
	uint32_t *counts; /* [n_blocks] lanes in use */
	uint32_t *previous; /* [n_blocks] block before in the same bin, or in the free list */
	uint32_t *last; /* [n_bins] last block of each bin */
	uint32_t free_block; /* head of the free list */
};

static bool is_valid(const struct fnx_model_config *config)
{
	return config->n_dims >= 1 && config->n_dims <= FNX_MARK_DIMS_MAX && config->n_bins >= 1 &&
		config->n_bins <= FNX_MODEL_BINS_MAX && config->capacity >= 1 &&
		config->capacity <= FNX_MODEL_CAPACITY_MAX && isfinite(config->kernel_uv) &&
		config->kernel_uv >= 1e-6 && config->kernel_uv <= 1e9 &&
		(!config->gate ||
			(config->gate_deviations > 0.0 && config->gate_deviations <= 1e6));
}

static size_t lane_size(const struct fnx_model *model)
{
	return model->config.single ? sizeof(int32_t) : sizeof(double);
}

static void *lanes_new(size_t size)
{
	return aligned_alloc(
		FNX_LANES_ALIGN, (size + FNX_LANES_ALIGN - 1) / FNX_LANES_ALIGN * FNX_LANES_ALIGN);
}

static int allocate(struct fnx_model *model)
{
	const struct fnx_model_config *config = &model->config;
	const size_t n_blocks = model->n_blocks;
	const size_t capacity = config->capacity;

	model->marks = calloc(capacity * config->n_dims, sizeof(double));
	model->bins = calloc(capacity, sizeof(uint32_t));
	model->places = calloc(capacity, sizeof(uint32_t));
	model->blocks.lanes =
		lanes_new(n_blocks * FNX_BLOCK_MARKS * config->n_dims * lane_size(model));
	model->blocks.bins = calloc(n_blocks, sizeof(uint32_t));
	model->slots = calloc(n_blocks * FNX_BLOCK_MARKS, sizeof(uint32_t));
	model->counts = calloc(n_blocks, sizeof(uint32_t));
	model->previous = calloc(n_blocks, sizeof(uint32_t));
	model->last = calloc(config->n_bins, sizeof(uint32_t));
	return model->marks && model->bins && model->places && model->blocks.lanes &&
			model->blocks.bins && model->slots && model->counts && model->previous &&
			model->last
		? 0
		: -ENOMEM;
}

/* Marks as the lanes hold them, far short of the values of unused lanes. */
static double clamped(double value, double limit)
{
	return isnan(value) ? limit : fmin(fmax(value, -limit), limit);
}

static int32_t steps(const struct fnx_model *model, double uv)
{
	return (int32_t)rint(
		clamped(uv / model->config.kernel_uv * FNX_BLOCK_STEPS, FNX_BLOCK_LIMIT_I32));
}

static size_t lane_at(const struct fnx_model *model, uint32_t place, uint32_t dim)
{
	const size_t block = place / FNX_BLOCK_MARKS;

	return (block * model->config.n_dims + dim) * FNX_BLOCK_MARKS + place % FNX_BLOCK_MARKS;
}

static void clear_place(struct fnx_model *model, uint32_t place)
{
	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		if (model->config.single)
			((int32_t *)model->blocks.lanes)[lane_at(model, place, d)] =
				(int32_t)FNX_BLOCK_UNUSED_I32;
		else
			((double *)model->blocks.lanes)[lane_at(model, place, d)] =
				FNX_BLOCK_UNUSED_F64;
	}
}

static void put(struct fnx_model *model, uint32_t place, uint32_t slot)
{
	const double *mark = model->marks + (size_t)slot * model->config.n_dims;

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		if (model->config.single)
			((int32_t *)model->blocks.lanes)[lane_at(model, place, d)] =
				steps(model, mark[d]);
		else
			((double *)model->blocks.lanes)[lane_at(model, place, d)] =
				clamped(mark[d], FNX_BLOCK_LIMIT_F64);
	}
	model->slots[place] = slot;
	model->places[slot] = place;
}

int fnx_model_new(const struct fnx_model_config *config, struct fnx_model **ret_model)
{
	struct fnx_model *model;
	uint64_t n_partial;

	if (!is_valid(config))
		return -EINVAL;
	model = calloc(1, sizeof(*model));
	if (!model)
		return -ENOMEM;
	model->config = *config;
	model->kernel = fnx_kernel(fnx_processor());
	model->weight = 1.0 / (sqrt(2.0 * M_PI) * config->kernel_uv);
	n_partial = config->n_bins < config->capacity ? config->n_bins : config->capacity;
	model->n_blocks = (uint32_t)((config->capacity + n_partial * (FNX_BLOCK_MARKS - 1)) /
		FNX_BLOCK_MARKS);
	model->free_block = NO_BLOCK;
	model->blocks.n_dims = config->n_dims;
	if (allocate(model) < 0) {
		fnx_model_free(model);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->n_bins; i++)
		model->last[i] = NO_BLOCK;
	for (uint32_t i = 0; i < model->n_blocks * FNX_BLOCK_MARKS; i++)
		clear_place(model, i);
	*ret_model = model;
	return 0;
}

struct fnx_model *fnx_model_free(struct fnx_model *model)
{
	if (!model)
		return NULL;
	free(model->marks);
	free(model->bins);
	free(model->places);
	free(model->blocks.lanes);
	free(model->blocks.bins);
	free(model->slots);
	free(model->counts);
	free(model->previous);
	free(model->last);
	free(model);
	return NULL;
}

const struct fnx_model_config *fnx_model_config(const struct fnx_model *model)
{
	return &model->config;
}

uint32_t fnx_model_marks(const struct fnx_model *model)
{
	return model->index < model->config.capacity ? (uint32_t)model->index
						     : model->config.capacity;
}

uint64_t fnx_model_index(const struct fnx_model *model)
{
	return model->index;
}

void fnx_model_stored(
	const struct fnx_model *model, uint32_t slot, double *ret_mark, uint32_t *ret_bin)
{
	const uint32_t n_dims = model->config.n_dims;

	assert(slot < fnx_model_marks(model));
	memcpy(ret_mark, model->marks + (size_t)slot * n_dims, n_dims * sizeof(double));
	*ret_bin = model->bins[slot];
}

int fnx_model_resume(struct fnx_model *model, uint64_t index)
{
	if (index < model->index)
		return -EINVAL;
	if (index > model->index && model->index < model->config.capacity)
		return -EINVAL;
	model->index = index;
	return 0;
}

/* A block for the free lane that `bin` needs. There is always one: n_blocks counts on every bin
 * having one that is not full. */
static uint32_t take_block(struct fnx_model *model, uint32_t bin)
{
	uint32_t block = model->free_block;

	if (block != NO_BLOCK)
		model->free_block = model->previous[block];
	else
		block = model->blocks.n++;
	assert(block < model->n_blocks);
	model->blocks.bins[block] = bin;
	model->previous[block] = model->last[bin];
	model->last[bin] = block;
	return block;
}

static void append(struct fnx_model *model, uint32_t slot)
{
	const uint32_t bin = model->bins[slot];
	uint32_t block = model->last[bin];

	if (block == NO_BLOCK || model->counts[block] == FNX_BLOCK_MARKS)
		block = take_block(model, bin);
	put(model, block * FNX_BLOCK_MARKS + model->counts[block]++, slot);
}

/*	bin 7:  [m m m m] [m . m m] [m m - -]     the hole at '.' is filled with the bin's last mark
 *	        [m m m m] [m m m m] [m - - -]     */
static void take_out(struct fnx_model *model, uint32_t slot)
{
	const uint32_t bin = model->bins[slot];
	const uint32_t hole = model->places[slot];
	const uint32_t block = model->last[bin];
	const uint32_t end = block * FNX_BLOCK_MARKS + --model->counts[block];

	if (hole != end)
		put(model, hole, model->slots[end]);
	clear_place(model, end);
	if (model->counts[block] > 0)
		return;
	model->last[bin] = model->previous[block];
	model->previous[block] = model->free_block;
	model->free_block = block;
}

int fnx_model_add(struct fnx_model *model, const double *mark, int32_t bin)
{
	const struct fnx_model_config *config = &model->config;
	const bool full = model->index >= config->capacity;
	const uint32_t slot = (uint32_t)(model->index % config->capacity);

	if (bin < 0 || (uint32_t)bin >= config->n_bins)
		return -EINVAL;
	for (uint32_t d = 0; d < config->n_dims; d++)
		if (!isfinite(mark[d]))
			return -EINVAL;
	if (full && model->index % 2 != 0) {
		model->index += 3;
		return FNX_MODEL_PASSED_OVER;
	}
	if (full)
		take_out(model, slot);
	memcpy(model->marks + (size_t)slot * config->n_dims, mark, config->n_dims * sizeof(double));
	model->bins[slot] = (uint32_t)bin;
	append(model, slot);
	model->index += full ? 3 : 1;
	return FNX_MODEL_STORED;
}

/* Accumulators of every bin, then one histogram to smooth from. */
size_t fnx_model_scratch_size(const struct fnx_model *model)
{
	const size_t n = model->config.n_bins;

	return n * FNX_LANES_ALIGN + fnx_f64_padded(n) * sizeof(double);
}

static bool is_gated_exactly(
	const struct fnx_model *model, const double *lower, const double *upper)
{
	const uint32_t n_dims = model->config.n_dims;
	const uint32_t n_marks = fnx_model_marks(model);
	uint32_t n_inside = 0;

	for (uint32_t i = 0; i < n_marks; i++) {
		const double *mark = model->marks + (size_t)i * n_dims;
		bool inside = true;

		for (uint32_t d = 0; d < n_dims; d++)
			inside &= mark[d] > lower[d] && mark[d] < upper[d];
		n_inside += inside;
	}
	return n_inside < model->config.gate_min_marks;
}

/*
 * Steps are exact to half of one: what lies within the cube narrowed by a step is inside, what lies
 * without the cube widened by one is outside. Only where the two disagree do the exact values
 * decide.
 */
static bool is_gated_single(const struct fnx_model *model, const double *lower, const double *upper)
{
	const uint32_t enough = model->config.gate_min_marks;
	int32_t narrow_lower[FNX_MARK_DIMS_MAX], narrow_upper[FNX_MARK_DIMS_MAX];
	int32_t wide_lower[FNX_MARK_DIMS_MAX], wide_upper[FNX_MARK_DIMS_MAX];

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		const int32_t low = steps(model, lower[d]), high = steps(model, upper[d]);

		wide_lower[d] = low - 1;
		narrow_lower[d] = low + 1;
		narrow_upper[d] = high - 1;
		wide_upper[d] = high + 1;
	}
	if (model->kernel->inside_i32(&model->blocks, narrow_lower, narrow_upper, enough) >= enough)
		return false;
	if (model->kernel->inside_i32(&model->blocks, wide_lower, wide_upper, enough) < enough)
		return true;
	return is_gated_exactly(model, lower, upper);
}

static bool is_gated(const struct fnx_model *model, const double *mark)
{
	const struct fnx_model_config *config = &model->config;
	const uint32_t enough = config->gate_min_marks;
	const double reach = config->gate_deviations * config->kernel_uv;
	double lower[FNX_MARK_DIMS_MAX], upper[FNX_MARK_DIMS_MAX];

	for (uint32_t d = 0; d < config->n_dims; d++) {
		if (!isfinite(mark[d]))
			return enough > 0;
		lower[d] = mark[d] - reach;
		upper[d] = mark[d] + reach;
	}
	if (config->single)
		return is_gated_single(model, lower, upper);
	return model->kernel->inside_f64(&model->blocks, lower, upper, enough) < enough;
}

static double sum_f64(const double *v)
{
	return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

static double sum_f32(const float *v)
{
	double pairs[FNX_BLOCK_SUMS_F32 / 2];

	for (int i = 0; i < FNX_BLOCK_SUMS_F32 / 2; i++)
		pairs[i] = (double)v[2 * i] + (double)v[2 * i + 1];
	return sum_f64(pairs);
}

/* Sum of the weights of each bin's marks, ret_hist [n_bins]. */
static void weigh(
	const struct fnx_model *model, const double *mark, void *scratch, double *ret_hist)
{
	const struct fnx_model_config *config = &model->config;
	const uint32_t n_bins = config->n_bins;

	memset(scratch, 0, n_bins * (size_t)FNX_LANES_ALIGN);
	if (config->single) {
		int32_t x[FNX_MARK_DIMS_MAX];
		const float *sums = scratch;

		for (uint32_t d = 0; d < config->n_dims; d++)
			x[d] = steps(model, mark[d]);
		model->kernel->weigh_i32(&model->blocks, x, scratch);
		for (uint32_t i = 0; i < n_bins; i++)
			ret_hist[i] =
				model->weight * sum_f32(sums + (size_t)i * FNX_BLOCK_SUMS_F32);
	} else {
		double x[FNX_MARK_DIMS_MAX];
		const double *sums = scratch;

		for (uint32_t d = 0; d < config->n_dims; d++)
			x[d] = clamped(mark[d], FNX_BLOCK_LIMIT_F64);
		model->kernel->weigh_f64(
			&model->blocks, x, -0.5 / (config->kernel_uv * config->kernel_uv), scratch);
		for (uint32_t i = 0; i < n_bins; i++)
			ret_hist[i] =
				model->weight * sum_f64(sums + (size_t)i * FNX_BLOCK_SUMS_F64);
	}
}

static void smooth(const struct fnx_model *model, void *scratch, double *hist)
{
	const size_t n_bins = model->config.n_bins;
	const double *weights = model->config.smoothing;
	double *from = (double *)((char *)scratch + n_bins * FNX_LANES_ALIGN);

	memcpy(from, hist, n_bins * sizeof(double));
	for (size_t i = 0; i < n_bins; i++) {
		double sum = 0.0;

		for (size_t j = 0; j < n_bins; j++)
			sum += weights[i * n_bins + j] * from[j];
		hist[i] = sum;
	}
}

/* Histogram to likelihood. */
static void normalise(double *hist, const double *share, uint32_t n_bins)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < n_bins; i++) {
		hist[i] = (hist[i] + 1e-7) / share[i];
		if (!isfinite(hist[i]))
			hist[i] = 0.0;
		sum += hist[i];
	}
	if (isfinite(sum) && sum > 0.0)
		for (uint32_t i = 0; i < n_bins; i++)
			hist[i] /= sum;
	else
		for (uint32_t i = 0; i < n_bins; i++)
			hist[i] = 1.0 / n_bins;
}

int fnx_model_likelihood(const struct fnx_model *model, const double *mark, const double *share,
	void *scratch, double *ret_likelihood)
{
	const struct fnx_model_config *config = &model->config;

	assert((uintptr_t)scratch % FNX_LANES_ALIGN == 0);
	if (model->index == 0)
		return FNX_ENCODE_NO_MARKS;
	if (config->gate && is_gated(model, mark))
		return FNX_ENCODE_GATED;
	weigh(model, mark, scratch, ret_likelihood);
	if (config->smoothing)
		smooth(model, scratch, ret_likelihood);
	normalise(ret_likelihood, share, config->n_bins);
	return FNX_ENCODE_VALID;
}
