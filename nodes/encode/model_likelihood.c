/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Weights go by blocks in lanes, bin by bin into accumulators; only where single precision is too
 * close to call the gate are the exact values looked at.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "nodes/encode/model_memory.h"

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
		const int32_t low = fnx_model_steps(model, lower[d]),
			      high = fnx_model_steps(model, upper[d]);

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
			x[d] = fnx_model_steps(model, mark[d]);
		model->kernel->weigh_i32(&model->blocks, x, scratch);
		for (uint32_t i = 0; i < n_bins; i++)
			ret_hist[i] =
				model->weight * sum_f32(sums + (size_t)i * FNX_BLOCK_SUMS_F32);
	} else {
		double x[FNX_MARK_DIMS_MAX];
		const double *sums = scratch;

		for (uint32_t d = 0; d < config->n_dims; d++)
			x[d] = fnx_model_clamped(mark[d], FNX_BLOCK_LIMIT_F64);
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
	if (model->header->index == 0)
		return FNX_ENCODE_NO_MARKS;
	if (config->gate && is_gated(model, mark))
		return FNX_ENCODE_GATED;
	weigh(model, mark, scratch, ret_likelihood);
	if (config->smoothing)
		smooth(model, scratch, ret_likelihood);
	normalise(ret_likelihood, share, config->n_bins);
	return FNX_ENCODE_VALID;
}
