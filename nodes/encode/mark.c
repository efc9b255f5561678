/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything is compared in microvolts, after scaling, so that a negative scale (inverted
 * recordings) needs no case of its own.
 */
#include "nodes/encode/mark.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static bool is_dead(const struct fnx_mark_config *config, uint32_t channel)
{
	return config->dead_channels >> channel & 1u;
}

/* Sample at which the channel with the highest peak peaks. A dead channel is all 0: its peak is 0,
 * at sample 0. */
static uint32_t peak_sample(const struct fnx_mark_config *config, const float *waveform,
	uint32_t row_stride, uint32_t n_points, double uv_per_count)
{
	double highest = -INFINITY;
	uint32_t sample = 0;

	for (uint32_t c = 0; c < config->n_channels; c++) {
		const float *row = waveform + (size_t)c * row_stride;

		if (is_dead(config, c)) {
			if (highest < 0.0) {
				highest = 0.0;
				sample = 0;
			}
			continue;
		}
		for (uint32_t t = 0; t < n_points; t++) {
			const double uv = (double)row[t] * uv_per_count;

			if (uv > highest) {
				highest = uv;
				sample = t;
			}
		}
	}
	return sample;
}

static void keep_neighbours(double *mark, uint32_t n, uint32_t distance)
{
	uint32_t centre = 0;

	for (uint32_t c = 1; c < n; c++)
		if (fabs(mark[c]) > fabs(mark[centre]))
			centre = c;
	for (uint32_t c = 0; c < n; c++)
		if ((c > centre ? c - centre : centre - c) > distance)
			mark[c] = 0.0;
}

int fnx_mark_from_waveform(const struct fnx_mark_config *config, const float *waveform,
	uint32_t row_stride, uint32_t n_points, double uv_per_count, double *ret_mark)
{
	const uint32_t n = config->n_channels;
	double mark[FNX_MARK_DIMS_MAX];
	double largest = -INFINITY;
	uint32_t sample;

	if (n < 1 || n > FNX_MARK_DIMS_MAX || n_points < 1 || row_stride < n_points)
		return -EINVAL;
	sample = peak_sample(config, waveform, row_stride, n_points, uv_per_count);
	for (uint32_t c = 0; c < n; c++) {
		const float count = waveform[(size_t)c * row_stride + sample];

		mark[c] = is_dead(config, c) ? 0.0 : (double)count * uv_per_count;
		if (!isfinite(mark[c]))
			return FNX_MARK_BROKEN;
	}
	if (n > 2 * (uint64_t)config->neighbours + 1)
		keep_neighbours(mark, n, config->neighbours);
	for (uint32_t c = 0; c < n; c++)
		if (mark[c] > largest)
			largest = mark[c];
	if (!(largest > config->amplitude_uv))
		return FNX_MARK_BELOW;
	memcpy(ret_mark, mark, n * sizeof(double));
	return FNX_MARK_ACCEPTED;
}
