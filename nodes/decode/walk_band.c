/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A row's weights that are not 0 lie in runs: around the bin itself, and where an arm that is
 * joined nearby begins. Each run is stored once, with where it goes.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "nodes/decode/walk_forms.h"

struct run {
	uint32_t first, n; /* bins that it goes to */
	size_t weights; /* where its weights begin */
};

struct fnx_walk_band {
	uint32_t n_bins;
	uint32_t *first_run; /* [n_bins + 1] */
	struct run *runs;
	double *weights;
};

struct fnx_walk_band *fnx_walk_band_free(struct fnx_walk_band *band)
{
	if (!band)
		return NULL;
	free(band->first_run);
	free(band->runs);
	free(band->weights);
	free(band);
	return NULL;
}

double fnx_walk_band_products(const struct fnx_walk_config *config)
{
	double n = 0.0;

	for (uint32_t from = 0; from < config->n_bins; from++)
		for (uint32_t to = 0; to < config->n_bins; to++)
			n += fnx_walk_weight(config, from, to) > 0.0;
	return n;
}

/* Weights of one row, before they are divided by their sum, from `at` on; returns where they end.
 * With NULL arrays it only counts. */
static size_t lay_row(const struct fnx_walk_config *config, uint32_t from, struct run *runs,
	uint32_t *n_runs, double *weights, size_t at)
{
	bool within = false;

	for (uint32_t to = 0; to < config->n_bins; to++) {
		const double weight = fnx_walk_weight(config, from, to);

		if (weight > 0.0) {
			if (!within && runs)
				runs[*n_runs] = (struct run){.first = to, .weights = at};
			*n_runs += !within;
			if (weights) {
				runs[*n_runs - 1].n++;
				weights[at] = weight;
			}
			at++;
		}
		within = weight > 0.0;
	}
	return at;
}

static void divide_row(double *weights, size_t first, size_t end)
{
	double sum = 0.0;

	for (size_t i = first; i < end; i++)
		sum += weights[i];
	for (size_t i = first; i < end; i++)
		weights[i] /= sum;
}

int fnx_walk_band_new(const struct fnx_walk_config *config, struct fnx_walk_band **ret_band)
{
	struct fnx_walk_band *band = calloc(1, sizeof(*band));
	uint32_t n_runs = 0;
	size_t n_weights = 0;

	if (!band)
		return -ENOMEM;
	for (uint32_t from = 0; from < config->n_bins; from++)
		n_weights = lay_row(config, from, NULL, &n_runs, NULL, n_weights);
	band->n_bins = config->n_bins;
	band->first_run = calloc((size_t)config->n_bins + 1, sizeof(*band->first_run));
	band->runs = calloc((size_t)n_runs + 1, sizeof(*band->runs));
	band->weights = calloc(n_weights + 1, sizeof(*band->weights));
	if (!band->first_run || !band->runs || !band->weights) {
		fnx_walk_band_free(band);
		return -ENOMEM;
	}
	n_runs = 0;
	n_weights = 0;
	for (uint32_t from = 0; from < config->n_bins; from++) {
		const size_t first = n_weights;

		n_weights = lay_row(config, from, band->runs, &n_runs, band->weights, n_weights);
		divide_row(band->weights, first, n_weights);
		band->first_run[from + 1] = n_runs;
	}
	*ret_band = band;
	return 0;
}

static void add_scaled(double *restrict sum, const double *restrict x, double factor, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum[i] += factor * x[i];
}

/* A bin that holds nothing sends nothing anywhere: at rest most of the track is skipped. */
void fnx_walk_band_add(
	const struct fnx_walk_band *band, const double *walkers, double factor, double *ret_to)
{
	for (uint32_t from = 0; from < band->n_bins; from++) {
		const double walker = factor * walkers[from];

		if (walker == 0.0)
			continue;
		for (uint32_t i = 0; isnan(walker) && i < band->n_bins; i++)
			ret_to[i] = walker;
		for (uint32_t r = band->first_run[from]; r < band->first_run[from + 1]; r++) {
			const struct run *run = &band->runs[r];

			add_scaled(
				ret_to + run->first, band->weights + run->weights, walker, run->n);
		}
	}
}

void fnx_walk_band_add_back(
	const struct fnx_walk_band *band, const double *arriving, double factor, double *ret_from)
{
	for (uint32_t from = 0; from < band->n_bins; from++) {
		double sum = 0.0;

		for (uint32_t r = band->first_run[from]; r < band->first_run[from + 1]; r++) {
			const struct run *run = &band->runs[r];

			for (uint32_t i = 0; i < run->n; i++)
				sum += band->weights[run->weights + i] * arriving[run->first + i];
		}
		ret_from[from] += factor * sum;
	}
}
