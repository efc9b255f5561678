/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All cells and the background are one Poisson process: its rate is a sum that stands ready for
 * every position bin, the time of the next spike comes from that sum alone, and only then is it
 * asked whose spike it was. So a tick costs the same for ten cells and for a thousand. Theta is
 * applied by drawing at the rate of its crest and letting go of what each cell's own phase does not
 * allow.
 */
#include "nodes/acquire/simulator_cells.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
	MARK_TRIALS = 64
};

static const double AMPLITUDE_MIN_UV = 50.0, AMPLITUDE_MAX_UV = 300.0;
static const double PEAK_MIN_UV = 120.0; /* of the largest channel */
static const double BACKGROUND_MIN_UV = 20.0, BACKGROUND_MAX_UV = 160.0;
static const double AMPLITUDE_JITTER = 0.04;

/* A peak a third into the waveform and a slow trough after it. */
static void init_shape(struct fnx_sim_cells *cells)
{
	const double n = cells->config.n_points;
	const uint32_t peak = cells->config.n_points / 3;
	float largest = 0.0f;

	for (uint32_t i = 0; i < cells->config.n_points; i++) {
		double rise = ((double)i - peak) / (n / 16.0);
		double trough = ((double)i - peak - n / 4.0) / (n / 7.0);

		cells->shape[i] =
			(float)(exp(-0.5 * rise * rise) - 0.3 * exp(-0.5 * trough * trough));
		if (cells->shape[i] > largest)
			largest = cells->shape[i];
	}
	for (uint32_t i = 0; i < cells->config.n_points; i++)
		cells->shape[i] /= largest;
}

static void draw_mark(struct fnx_sim_random *random, uint32_t n_channels, float *ret_mark)
{
	double largest = 0.0;

	for (uint32_t i = 0; i < n_channels; i++) {
		double uv = fnx_sim_random_between(random, AMPLITUDE_MIN_UV, AMPLITUDE_MAX_UV);

		ret_mark[i] = (float)uv;
		largest = fmax(largest, uv);
	}
	if (largest < PEAK_MIN_UV)
		ret_mark[fnx_sim_random_below(random, n_channels)] =
			(float)fnx_sim_random_between(random, PEAK_MIN_UV, AMPLITUDE_MAX_UV);
}

/* Square of the distance to the nearest of the group's first n cells. */
static double nearest_mark(
	const struct fnx_sim_cell *cells, uint32_t n, const float *mark, uint32_t n_channels)
{
	double nearest = (double)INFINITY;

	for (uint32_t i = 0; i < n; i++) {
		double sum = 0.0;

		for (uint32_t k = 0; k < n_channels; k++) {
			double d = (double)mark[k] - (double)cells[i].amplitudes_uv[k];

			sum += d * d;
		}
		nearest = fmin(nearest, sum);
	}
	return nearest;
}

/* The farthest of many trials from the cells that are there already. */
static void init_mark(struct fnx_sim_cells *cells, struct fnx_sim_random *random, uint32_t group,
	uint32_t cell, float *trial)
{
	struct fnx_sim_cell *of_group = &cells->cells[group * cells->config.cells_per_group];
	const uint32_t n_channels = cells->groups[group].n_channels;
	double best = -1.0;

	for (uint32_t i = 0; i < MARK_TRIALS; i++) {
		double distance;

		draw_mark(random, n_channels, trial);
		distance = nearest_mark(of_group, cell, trial, n_channels);
		if (distance <= best)
			continue;
		best = distance;
		for (uint32_t k = 0; k < n_channels; k++)
			of_group[cell].amplitudes_uv[k] = trial[k];
	}
}

/* Bins that an arm owns, in order; returns how many. */
static uint32_t list_bins(const struct fnx_track *track, uint32_t *ret_bins)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < fnx_track_bins(track); i++)
		if (fnx_track_bin_arms(track)[i] >= 0)
			ret_bins[n++] = i;
	return n;
}

/* The k-th cells of all groups share the k-th part of the track, in an order of their own. */
static void init_cells(
	struct fnx_sim_cells *cells, const uint32_t *bins, uint32_t n_bins, uint32_t *order)
{
	const struct fnx_sim_cells_config *config = &cells->config;
	float *amplitudes_uv = cells->amplitudes_uv;
	struct fnx_sim_random random;

	fnx_sim_random_init(&random, config->seed, FNX_SIM_STREAM_FIELDS);
	for (uint32_t g = 0; g < config->n_groups; g++)
		for (uint32_t k = 0; k < config->cells_per_group; k++) {
			cells->cells[g * config->cells_per_group + k].amplitudes_uv = amplitudes_uv;
			amplitudes_uv += cells->groups[g].n_channels;
		}
	for (uint32_t k = 0; k < config->cells_per_group; k++) {
		fnx_sim_random_shuffle(&random, config->n_groups, order);
		for (uint32_t g = 0; g < config->n_groups; g++) {
			struct fnx_sim_cell *cell = &cells->cells[g * config->cells_per_group + k];
			double rank = (double)k * config->n_groups + order[g] + 0.5;
			double phase = fnx_sim_random_between(&random, -M_PI / 4.0, M_PI / 4.0);

			cell->bin = bins[(uint32_t)(rank / cells->n_cells * n_bins)];
			cell->theta_sin = (float)sin(phase);
			cell->theta_cos = (float)cos(phase);
			init_mark(cells, &random, g, k, cells->waveform);
		}
	}
}

static void init_rates(struct fnx_sim_cells *cells, const struct fnx_track *track)
{
	const struct fnx_sim_cells_config *config = &cells->config;

	for (uint32_t i = 0; i < cells->n_bins; i++) {
		double sum_hz = 0.0;

		for (uint32_t k = 0; k < cells->n_cells; k++) {
			double apart = fnx_track_distance_cm(track, cells->cells[k].bin, i) /
				config->place_field_cm;

			if (!isnan(apart))
				sum_hz += config->peak_rate_hz * exp(-0.5 * apart * apart);
			cells->rates_hz[(size_t)i * cells->n_cells + k] = (float)sum_hz;
		}
	}
}

static int take_memory(struct fnx_sim_cells *cells)
{
	const struct fnx_sim_cells_config *config = &cells->config;
	size_t n_amplitudes = 0;

	cells->groups = calloc(config->n_groups, sizeof(*cells->groups));
	if (!cells->groups)
		return -ENOMEM;
	for (uint32_t g = 0; g < config->n_groups; g++) {
		cells->groups[g] = config->groups[g];
		cells->groups[g].locked_until = 0;
		if (cells->groups[g].n_channels > cells->n_channels_max)
			cells->n_channels_max = cells->groups[g].n_channels;
		n_amplitudes += (size_t)cells->groups[g].n_channels * config->cells_per_group;
	}
	cells->cells = calloc((size_t)cells->n_cells + 1, sizeof(*cells->cells));
	cells->amplitudes_uv = calloc(n_amplitudes + 1, sizeof(float));
	cells->shape = calloc(config->n_points, sizeof(float));
	cells->waveform = calloc((size_t)cells->n_channels_max * config->n_points, sizeof(float));
	cells->rates_hz = calloc((size_t)cells->n_bins * cells->n_cells + 1, sizeof(float));
	if (!cells->cells || !cells->amplitudes_uv || !cells->shape || !cells->waveform ||
		!cells->rates_hz)
		return -ENOMEM;
	return 0;
}

int fnx_sim_cells_init(struct fnx_sim_cells *cells, const struct fnx_sim_cells_config *config)
{
	uint32_t *bins = NULL, *order = NULL;
	int r = -ENOMEM;

	*cells = (struct fnx_sim_cells){.config = *config};
	if (config->n_groups == 0 || config->n_points == 0)
		return -EINVAL;
	for (uint32_t g = 0; g < config->n_groups; g++)
		if (config->groups[g].n_channels == 0)
			return -EINVAL;
	cells->n_cells = config->n_groups * config->cells_per_group;
	cells->n_bins = fnx_track_bins(config->track);
	bins = calloc(cells->n_bins, sizeof(*bins));
	order = calloc(config->n_groups, sizeof(*order));
	if (!bins || !order || take_memory(cells) < 0)
		goto end;
	init_shape(cells);
	init_cells(cells, bins, list_bins(config->track, bins), order);
	init_rates(cells, config->track);
	cells->background_hz = config->background_rate_hz * config->n_groups;
	fnx_sim_random_init(&cells->random, config->seed, FNX_SIM_STREAM_SPIKES);
	fnx_sim_random_init(&cells->waveform_random, config->seed, FNX_SIM_STREAM_WAVEFORMS);
	cells->until_spike = fnx_sim_random_exponential(&cells->random);
	r = 0;
end:
	free(bins);
	free(order);
	if (r < 0)
		fnx_sim_cells_fini(cells);
	return r;
}

void fnx_sim_cells_fini(struct fnx_sim_cells *cells)
{
	free(cells->groups);
	free(cells->cells);
	free(cells->amplitudes_uv);
	free(cells->shape);
	free(cells->waveform);
	free(cells->rates_hz);
	*cells = (struct fnx_sim_cells){0};
}

/* First cell whose sum is above `sum_hz`. */
static uint32_t find_cell(const struct fnx_sim_cells *cells, const float *sums_hz, double sum_hz)
{
	uint32_t low = 0, high = cells->n_cells - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if ((double)sums_hz[middle] > sum_hz)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Whose spike it is; false: the cell's phase of theta lets it go. */
static bool choose_cell(struct fnx_sim_cells *cells, const struct fnx_sim_drive *drive,
	double rate_hz, struct fnx_sim_spike *spike)
{
	const uint32_t per_group = cells->config.cells_per_group;
	const float *sums_hz;
	const struct fnx_sim_cell *cell;
	double sum_hz = rate_hz * fnx_sim_random_unit(&cells->random), theta;
	uint32_t k;

	if (sum_hz < cells->background_hz) {
		spike->group = fnx_sim_random_below(&cells->random, cells->config.n_groups);
		spike->cell = -1;
		return true;
	}
	sums_hz = &cells->rates_hz[(size_t)drive->bin * cells->n_cells];
	sum_hz = (sum_hz - cells->background_hz) / (drive->rate * (1.0 + drive->theta_depth));
	k = find_cell(cells, sums_hz, sum_hz);
	cell = &cells->cells[k];
	spike->group = k / per_group;
	spike->cell = (int32_t)(k % per_group);
	theta = (double)(cell->theta_cos * drive->theta_cos + cell->theta_sin * drive->theta_sin);
	return fnx_sim_random_unit(&cells->random) * (1.0 + drive->theta_depth) <
		1.0 + drive->theta_depth * theta;
}

bool fnx_sim_cells_next(struct fnx_sim_cells *cells, const struct fnx_sim_drive *drive,
	double *position, struct fnx_sim_spike *ret_spike)
{
	const double tick_s = drive->n_samples / cells->config.clock_hz;
	double rate_hz = cells->background_hz, expected;

	if (drive->bin >= 0 && cells->n_cells > 0)
		rate_hz += (double)cells->rates_hz[((size_t)drive->bin + 1) * cells->n_cells - 1] *
			drive->rate * (1.0 + drive->theta_depth);
	expected = rate_hz * tick_s;
	while (cells->until_spike < expected * (1.0 - *position)) {
		struct fnx_sim_spike spike;
		struct fnx_sim_group *group;

		*position += cells->until_spike / expected;
		cells->until_spike = fnx_sim_random_exponential(&cells->random);
		if (!choose_cell(cells, drive, rate_hz, &spike))
			continue;
		spike.time = (int64_t)(*position * drive->n_samples);
		if (spike.time >= drive->n_samples)
			spike.time = drive->n_samples - 1;
		spike.time += drive->start;
		group = &cells->groups[spike.group];
		if (spike.time < group->locked_until)
			continue;
		group->locked_until = spike.time + cells->config.n_points;
		*ret_spike = spike;
		return true;
	}
	cells->until_spike -= expected * (1.0 - *position);
	*position = 1.0;
	return false;
}

static float background_uv(struct fnx_sim_random *random)
{
	return (float)fnx_sim_random_between(random, BACKGROUND_MIN_UV, BACKGROUND_MAX_UV);
}

/* Adding 1.5 * 2^23 leaves no room for a fraction: rounds to even, four at a time. */
static void quantise(float *values, size_t n)
{
	const float magic = 12582912.0f;

	for (size_t i = 0; i < n; i++) {
		float value = values[i];

		value = value < -32768.0f ? -32768.0f : value;
		value = value > 32767.0f ? 32767.0f : value;
		values[i] = (value + magic) - magic;
	}
}

const float *fnx_sim_cells_waveform(struct fnx_sim_cells *cells, const struct fnx_sim_spike *spike)
{
	const struct fnx_sim_cells_config *config = &cells->config;
	const uint32_t n_points = config->n_points;
	const uint32_t n_channels = cells->groups[spike->group].n_channels;
	struct fnx_sim_random *random = &cells->waveform_random;
	const float counts_per_uv = (float)(1.0 / config->uv_per_count);
	const float noise = (float)config->noise_uv * counts_per_uv;
	const float *shape = cells->shape;
	const float *mark = NULL;
	float gain = counts_per_uv;

	fnx_sim_noise_fill(config->noise, random, (size_t)n_channels * n_points, cells->waveform);
	if (spike->cell >= 0) {
		mark = cells->cells[spike->group * config->cells_per_group + (uint32_t)spike->cell]
			       .amplitudes_uv;
		gain *= 1.0f + (float)AMPLITUDE_JITTER * *fnx_sim_noise_run(config->noise, random);
	}
	for (uint32_t c = 0; c < n_channels; c++) {
		float amplitude = gain * (mark ? mark[c] : background_uv(random));
		float *row = &cells->waveform[(size_t)c * n_points];

		for (uint32_t i = 0; i < n_points; i++)
			row[i] = noise * row[i] + amplitude * shape[i];
	}
	quantise(cells->waveform, (size_t)n_channels * n_points);
	return cells->waveform;
}
