/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/host/smoothing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/host/track.h"

/* Of the largest weight; less is left out. */
static const double LEAST_WEIGHT = 1e-20;

struct run {
	uint32_t first, n; /* bins that it goes to */
	size_t weights; /* where its weights begin */
};

/* By the bin that gives. */
struct band {
	uint32_t n_bins;
	uint32_t *first_run; /* [n_bins + 1] */
	struct run *runs;
	double *weights;
};

/* A grid: one along each row, one along each column. Else `columns` alone, over all bins. */
struct fnx_smoothing {
	uint32_t n_bins;
	struct band columns, rows;
};

/* Making
 * -------------------------------------------------------------------------------------------- */

struct line {
	double (*distance_cm)(const void *context, uint32_t a, uint32_t b);
	const void *context;
	double deviation_cm;
};

static double weight_of(const struct line *line, uint32_t from, uint32_t to)
{
	const double z = line->distance_cm(line->context, from, to) / line->deviation_cm;
	const double weight = isnan(z) ? 0.0 : exp(-0.5 * z * z);

	return weight < LEAST_WEIGHT ? 0.0 : weight;
}

/* What `from` gives, from `at` on; returns where it ends. Without room it only counts. */
static size_t lay(
	const struct line *line, struct band *band, uint32_t from, uint32_t *n_runs, size_t at)
{
	const size_t begin = at;
	double before = 0.0, sum = 0.0;

	for (uint32_t to = 0; to < band->n_bins; to++) {
		const double weight = weight_of(line, from, to);

		if (weight > 0.0 && before == 0.0) {
			if (band->runs)
				band->runs[*n_runs] = (struct run){.first = to, .weights = at};
			++*n_runs;
		}
		if (weight > 0.0 && band->weights) {
			band->runs[*n_runs - 1].n++;
			band->weights[at] = weight;
		}
		at += weight > 0.0;
		sum += weight;
		before = weight;
	}
	for (size_t i = begin; band->weights && i < at; i++)
		band->weights[i] /= sum;
	return at;
}

static void band_fini(struct band *band)
{
	free(band->first_run);
	free(band->runs);
	free(band->weights);
	*band = (struct band){0};
}

static int band_init(struct band *band, uint32_t n_bins, const struct line *line)
{
	uint32_t n_runs = 0;
	size_t n_weights = 0;

	*band = (struct band){.n_bins = n_bins};
	for (uint32_t from = 0; from < n_bins; from++)
		n_weights = lay(line, band, from, &n_runs, n_weights);
	band->first_run = calloc((size_t)n_bins + 1, sizeof(*band->first_run));
	band->runs = calloc((size_t)n_runs + 1, sizeof(*band->runs));
	band->weights = calloc(n_weights + 1, sizeof(*band->weights));
	if (!band->first_run || !band->runs || !band->weights)
		return -ENOMEM;
	n_runs = 0;
	n_weights = 0;
	for (uint32_t from = 0; from < n_bins; from++) {
		n_weights = lay(line, band, from, &n_runs, n_weights);
		band->first_run[from + 1] = n_runs;
	}
	return 0;
}

static int make(uint32_t n_columns, uint32_t n_rows, const struct line *line,
	struct fnx_smoothing **ret_smoothing)
{
	struct fnx_smoothing *smoothing = calloc(1, sizeof(*smoothing));
	int r;

	if (!smoothing)
		return -ENOMEM;
	smoothing->n_bins = n_columns * (n_rows ? n_rows : 1);
	r = band_init(&smoothing->columns, n_columns, line);
	if (!r && n_rows)
		r = band_init(&smoothing->rows, n_rows, line);
	if (r)
		fnx_smoothing_free(smoothing);
	else
		*ret_smoothing = smoothing;
	return r;
}

int fnx_smoothing_new(uint32_t n_bins,
	double (*distance_cm)(const void *context, uint32_t a, uint32_t b), const void *context,
	double deviation_cm, struct fnx_smoothing **ret_smoothing)
{
	const struct line line = {distance_cm, context, deviation_cm};

	return make(n_bins, 0, &line, ret_smoothing);
}

static double steps_cm(const void *bin_cm, uint32_t a, uint32_t b)
{
	return *(const double *)bin_cm * fabs((double)a - (double)b);
}

int fnx_smoothing_new_grid(uint32_t n_columns, uint32_t n_rows, double bin_cm, double deviation_cm,
	struct fnx_smoothing **ret_smoothing)
{
	const struct line line = {steps_cm, &bin_cm, deviation_cm};

	return make(n_columns, n_rows, &line, ret_smoothing);
}

static double along_cm(const void *track, uint32_t a, uint32_t b)
{
	return fnx_track_distance_cm(track, a, b);
}

int fnx_smoothing_new_track(
	const struct fnx_track *track, double deviation_cm, struct fnx_smoothing **ret_smoothing)
{
	const struct fnx_track_config *config = fnx_track_config(track);

	if (config->grid.n_columns > 0)
		return fnx_smoothing_new_grid(config->grid.n_columns, config->grid.n_rows,
			config->bin_cm, deviation_cm, ret_smoothing);
	return fnx_smoothing_new(
		fnx_track_bins(track), along_cm, track, deviation_cm, ret_smoothing);
}

struct fnx_smoothing *fnx_smoothing_free(struct fnx_smoothing *smoothing)
{
	if (!smoothing)
		return NULL;
	band_fini(&smoothing->columns);
	band_fini(&smoothing->rows);
	free(smoothing);
	return NULL;
}

/* Smoothing
 * ----------------------------------------------------------------------------------------- */

static void add_scaled(double *restrict to, const double *restrict x, double factor, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] += factor * x[i];
}

static void give(const struct band *band, uint32_t from, double amount, double *to)
{
	for (uint32_t r = band->first_run[from]; r < band->first_run[from + 1]; r++) {
		const struct run *run = &band->runs[r];

		add_scaled(to + run->first, band->weights + run->weights, amount, run->n);
	}
}

static void give_all(const struct band *band, const double *from, double *to)
{
	for (uint32_t i = 0; i < band->n_bins; i++)
		if (from[i] != 0.0)
			give(band, i, from[i], to);
}

/* Whole rows to whole rows. */
static void give_rows(const struct band *rows, uint32_t n_columns, const double *from, double *to)
{
	for (uint32_t row = 0; row < rows->n_bins; row++) {
		for (uint32_t r = rows->first_run[row]; r < rows->first_run[row + 1]; r++) {
			const struct run *run = &rows->runs[r];

			for (uint32_t i = 0; i < run->n; i++)
				add_scaled(to + (size_t)(run->first + i) * n_columns,
					from + (size_t)row * n_columns,
					rows->weights[run->weights + i], n_columns);
		}
	}
}

void fnx_smoothing_apply(
	const struct fnx_smoothing *smoothing, const double *from, double *scratch, double *ret_to)
{
	const struct band *columns = &smoothing->columns, *rows = &smoothing->rows;
	const size_t size = smoothing->n_bins * sizeof(double);

	memset(ret_to, 0, size);
	if (rows->n_bins == 0) {
		give_all(columns, from, ret_to);
		return;
	}
	memset(scratch, 0, size);
	for (size_t row = 0; row < rows->n_bins; row++)
		give_all(columns, from + row * columns->n_bins, scratch + row * columns->n_bins);
	give_rows(rows, columns->n_bins, scratch, ret_to);
}

void fnx_smoothing_add(
	const struct fnx_smoothing *smoothing, uint32_t from, double amount, double *ret_to)
{
	const struct band *columns = &smoothing->columns, *rows = &smoothing->rows;
	const uint32_t column = from % columns->n_bins, row = from / columns->n_bins;

	if (rows->n_bins == 0) {
		give(columns, from, amount, ret_to);
		return;
	}
	for (uint32_t r = rows->first_run[row]; r < rows->first_run[row + 1]; r++) {
		const struct run *run = &rows->runs[r];

		for (uint32_t i = 0; i < run->n; i++)
			give(columns, column, amount * rows->weights[run->weights + i],
				ret_to + (size_t)(run->first + i) * columns->n_bins);
	}
}
