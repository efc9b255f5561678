/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/silence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/rows.h"

/* What e^-infinity stays at, see fnx_exp_all: the animal cannot be there, and not by a little. */
static const double impossible = 1e-300;

static double *row(const struct fnx_silence *silence, size_t node)
{
	return silence->tree + node * silence->n_bins;
}

int fnx_silence_init(struct fnx_silence *silence, uint32_t n_groups, uint32_t n_bins, bool shares)
{
	const size_t n_padded = fnx_f64_padded(n_bins);

	*silence = (struct fnx_silence){.n_groups = n_groups,
		.n_bins = n_bins,
		.stale = true,
		.rows = fnx_rows(fnx_processor())};
	silence->exponents = calloc(n_padded, sizeof(double));
	silence->likelihood = aligned_alloc(FNX_LANES_ALIGN, n_padded * sizeof(double));
	if (shares) {
		silence->tree = calloc(2 * (size_t)n_groups * n_bins, sizeof(double));
		silence->stale_sums = calloc(2 * (size_t)n_groups, sizeof(bool));
	}
	if (silence->exponents && silence->likelihood &&
		(!shares || (silence->tree && silence->stale_sums)))
		return 0;
	fnx_silence_fini(silence);
	return -ENOMEM;
}

void fnx_silence_fini(struct fnx_silence *silence)
{
	free(silence->tree);
	free(silence->stale_sums);
	free(silence->exponents);
	free(silence->likelihood);
	*silence = (struct fnx_silence){0};
}

void fnx_silence_change(struct fnx_silence *silence, uint32_t group, const double *rates)
{
	const size_t n = silence->n_bins, leaf = silence->n_groups + group;
	double *restrict share = row(silence, leaf);
	const double sum = silence->rows->sum(rates, n);

	for (size_t i = 0; i < n; i++)
		share[i] = rates[i] / sum;
	for (size_t node = leaf / 2; node > 0; node /= 2)
		silence->stale_sums[node] = true;
	silence->any_stale = true;
	silence->stale = true;
}

const double *fnx_silence_shares(struct fnx_silence *silence)
{
	const size_t n = silence->n_bins;

	for (size_t node = silence->n_groups - 1; silence->any_stale && node > 0; node--) {
		const double *restrict a = row(silence, 2 * node);
		const double *restrict b = row(silence, 2 * node + 1);
		double *restrict sum = row(silence, node);

		if (!silence->stale_sums[node])
			continue;
		for (size_t i = 0; i < n; i++)
			sum[i] = a[i] + b[i];
		silence->stale_sums[node] = false;
	}
	silence->any_stale = false;
	return row(silence, 1);
}

void fnx_silence_update(struct fnx_silence *silence, const double *expected, const double *occupied,
	double factor, const double *track)
{
	const size_t n = silence->n_bins, n_padded = fnx_f64_padded(n);
	double *restrict exponents = silence->exponents, *restrict likelihood = silence->likelihood;
	const struct fnx_rows *rows = silence->rows;
	double greatest;

	greatest = rows->exponents(expected, occupied, factor, n, exponents);
	if (track) {
		for (size_t i = 0; i < n; i++)
			exponents[i] = track[i] != 0.0 ? exponents[i] : -HUGE_VAL;
		greatest = rows->max(exponents, n);
	}
	if (greatest == -HUGE_VAL)
		greatest = 0.0;
	rows->subtract(exponents, greatest, n, likelihood);
	for (size_t i = n; i < n_padded; i++)
		likelihood[i] = 0.0;
	fnx_exp_all(likelihood, n_padded);
	silence->sum = rows->clear_below(impossible, n, likelihood);
	silence->stale = false;
}
