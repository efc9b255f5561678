/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The normal equations of the least-squares problem, integrated in closed form: with m = (n_taps -
 * 1) / 2 and frequencies as shares f of half the rate, the amplitude is sum a_k cos(pi k f), k =
 * 0..m, and
 *
 *	Q[k][n] = q(k - n) + q(k + n),  q(n) = sum over bands of  w [ f sinc(n f) ]
 *	b[n]    = sum over bands of  w [ f D(f) sinc(n f) + slope cos(pi n f) / (pi n)^2 ]
 *
 * (brackets: upper less lower edge; D the desired gain). The taps are a_m .. a_1, 2 a_0, a_1 ..
 * a_m.
 *
 * Q loses rank, numerically, as filters grow long against the gaps between bands, and Cholesky's
 * pivots do not tell how much of it. So it is solved by QR with column pivoting, in extended
 * precision; what is left undetermined is settled by taking the smallest solution, as LAPACK's
 * gelsy does.
 */
#include "nodes/ripple/firls.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef long double real;

/* Pivots up to this share of the first say that a double cannot tell the taps apart. */
static const real pivot_share = DBL_EPSILON;

struct problem {
	uint32_t n; /* unknowns */
	real *matrix; /* [n][n], symmetric */
	real *right; /* [n] */
	real *work; /* [2 n] */
	real **column; /* [n], into matrix; the QR swaps them */
	uint32_t *order; /* [n], unknown that each column stands for */
};

static bool bands_valid(const struct fnx_firls_band *bands, uint32_t n_bands, double rate_hz)
{
	double last_hz = 0;

	if (n_bands == 0 || !(rate_hz > 0) || !isfinite(rate_hz))
		return false;
	for (uint32_t i = 0; i < n_bands; i++) {
		const struct fnx_firls_band *band = &bands[i];

		if (!(band->low_hz >= last_hz) || !(band->high_hz > band->low_hz))
			return false;
		if (!(band->gain_low >= 0) || !(band->gain_high >= 0) || !(band->weight >= 0))
			return false;
		if (!isfinite(band->gain_low) || !isfinite(band->gain_high) ||
			!isfinite(band->weight))
			return false;
		last_hz = band->high_hz;
	}
	return last_hz <= rate_hz / 2;
}

static void problem_fini(struct problem *problem)
{
	free(problem->matrix);
	free(problem->right);
	free(problem->work);
	free(problem->column);
	free(problem->order);
}

static int problem_init(struct problem *problem, uint32_t n)
{
	*problem = (struct problem){
		.n = n,
		.matrix = calloc((size_t)n * n, sizeof(real)),
		.right = calloc(n, sizeof(real)),
		.work = calloc((size_t)n * 2, sizeof(real)),
		.column = calloc(n, sizeof(real *)),
		.order = calloc(n, sizeof(uint32_t)),
	};
	if (problem->matrix && problem->right && problem->work && problem->column && problem->order)
		return 0;
	problem_fini(problem);
	return -ENOMEM;
}

/* f sinc(n f) */
static real edge_sinc(uint32_t n, real f)
{
	real angle = (real)M_PIl * n;

	return n ? sinl(angle * f) / angle : f;
}

static real integrate_weight(
	const struct fnx_firls_band *bands, uint32_t n_bands, real nyquist_hz, uint32_t n)
{
	real sum = 0;

	for (uint32_t i = 0; i < n_bands; i++)
		sum += bands[i].weight *
			(edge_sinc(n, bands[i].high_hz / nyquist_hz) -
				edge_sinc(n, bands[i].low_hz / nyquist_hz));
	return sum;
}

/* Integral of the desired gain times cos(pi n f), up to the edge f where the gain is `gain`. */
static real edge_desired(uint32_t n, real f, real gain, real slope)
{
	real angle = (real)M_PIl * n;

	if (n == 0)
		return f * gain - slope * f * f / 2;
	return gain * edge_sinc(n, f) + slope * cosl(angle * f) / (angle * angle);
}

static real integrate_desired(
	const struct fnx_firls_band *bands, uint32_t n_bands, real nyquist_hz, uint32_t n)
{
	real sum = 0;

	for (uint32_t i = 0; i < n_bands; i++) {
		real low = bands[i].low_hz / nyquist_hz, high = bands[i].high_hz / nyquist_hz;
		real slope = ((real)bands[i].gain_high - bands[i].gain_low) / (high - low);

		sum += bands[i].weight *
			(edge_desired(n, high, bands[i].gain_high, slope) -
				edge_desired(n, low, bands[i].gain_low, slope));
	}
	return sum;
}

static void set_up(struct problem *problem, const struct fnx_firls_band *bands, uint32_t n_bands,
	double rate_hz)
{
	uint32_t n = problem->n;
	real nyquist_hz = (real)rate_hz / 2;
	real *q = problem->work;

	for (uint32_t i = 0; i < 2 * n - 1; i++)
		q[i] = integrate_weight(bands, n_bands, nyquist_hz, i);
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < n; j++)
			problem->matrix[(size_t)i * n + j] = q[i > j ? i - j : j - i] + q[i + j];
		problem->right[i] = integrate_desired(bands, n_bands, nyquist_hz, i);
		problem->column[i] = problem->matrix + (size_t)i * n;
		problem->order[i] = i;
	}
}

static real dot(const real *a, const real *b, uint32_t n)
{
	real sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static void swap_columns(struct problem *problem, uint32_t a, uint32_t b)
{
	real *column = problem->column[a];
	uint32_t unknown = problem->order[a];

	problem->column[a] = problem->column[b];
	problem->column[b] = column;
	problem->order[a] = problem->order[b];
	problem->order[b] = unknown;
}

/* Turns v, `n` long with square norm `norm2` > 0, into the Householder vector that maps it to a
 * multiple of the first axis, scaled so that H = 1 - v v' / v[0]. Returns the multiple. */
static real make_reflector(real *v, uint32_t n, real norm2)
{
	real image = v[0] > 0 ? -sqrtl(norm2) : sqrtl(norm2);

	v[0] -= image;
	for (uint32_t i = 0; i < n; i++)
		v[i] /= -image;
	return image;
}

static void reflect(const real *v, real *x, uint32_t n)
{
	real share = dot(v, x, n) / v[0];

	for (uint32_t i = 0; i < n; i++)
		x[i] -= share * v[i];
}

/* Makes the columns upper triangular, largest pivots first, right[] with them. Returns the rank. */
static uint32_t reduce_columns(struct problem *problem)
{
	uint32_t n = problem->n;
	real **column = problem->column, *v = problem->work;
	real first2 = 0;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t best = k;
		real best2 = -1, image;

		for (uint32_t j = k; j < n; j++) {
			real norm2 = dot(column[j] + k, column[j] + k, n - k);

			if (norm2 > best2) {
				best = j;
				best2 = norm2;
			}
		}
		if (k == 0)
			first2 = best2;
		if (!(best2 > 0) || sqrtl(best2) <= pivot_share * sqrtl(first2))
			return k;
		swap_columns(problem, k, best);
		memcpy(v, column[k] + k, (n - k) * sizeof(real));
		image = make_reflector(v, n - k, best2);
		for (uint32_t j = k + 1; j < n; j++)
			reflect(v, column[j] + k, n - k);
		reflect(v, problem->right + k, n - k);
		column[k][k] = image;
	}
	return n;
}

/* Clears columns rank..n-1 by reflections from the right, each of component `row` and those
 * columns. The reflector stays where it was cleared, its first element in scale[row]. */
static void clear_right(struct problem *problem, uint32_t rank, real *scale)
{
	uint32_t n = problem->n;
	real **column = problem->column, *v = problem->work;

	for (uint32_t row = rank; row-- > 0;) {
		real image;

		v[0] = column[row][row];
		for (uint32_t j = rank; j < n; j++)
			v[1 + j - rank] = column[j][row];
		image = make_reflector(v, 1 + n - rank, dot(v, v, 1 + n - rank));
		for (uint32_t i = 0; i < row; i++) {
			real share = column[row][i] * v[0];

			for (uint32_t j = rank; j < n; j++)
				share += column[j][i] * v[1 + j - rank];
			share /= v[0];
			column[row][i] -= share * v[0];
			for (uint32_t j = rank; j < n; j++)
				column[j][i] -= share * v[1 + j - rank];
		}
		column[row][row] = image;
		scale[row] = v[0];
		for (uint32_t j = rank; j < n; j++)
			column[j][row] = v[1 + j - rank];
	}
}

/* The smallest of all least-squares solutions, into right[]. */
static void solve_smallest(struct problem *problem)
{
	uint32_t n = problem->n, rank = reduce_columns(problem);
	real **column = problem->column, *x = problem->right;
	real *scale = problem->work + n;

	if (rank < n)
		clear_right(problem, rank, scale);
	for (uint32_t i = rank; i-- > 0;) {
		x[i] /= column[i][i];
		for (uint32_t j = 0; j < i; j++)
			x[j] -= column[i][j] * x[i];
	}
	for (uint32_t i = rank; i < n; i++)
		x[i] = 0;
	for (uint32_t row = 0; row < rank && rank < n; row++) {
		real share = scale[row] * x[row];

		for (uint32_t j = rank; j < n; j++)
			share += column[j][row] * x[j];
		share /= scale[row];
		x[row] -= share * scale[row];
		for (uint32_t j = rank; j < n; j++)
			x[j] -= share * column[j][row];
	}
	for (uint32_t i = 0; i < n; i++)
		problem->work[problem->order[i]] = x[i];
	memcpy(x, problem->work, n * sizeof(real));
}

int fnx_firls(uint32_t n_taps, const struct fnx_firls_band *bands, uint32_t n_bands, double rate_hz,
	double *ret_taps)
{
	uint32_t middle = n_taps / 2;
	struct problem problem;
	int r;

	if (n_taps % 2 == 0 || n_taps > FNX_FIRLS_TAPS_MAX)
		return -EINVAL;
	if (!bands_valid(bands, n_bands, rate_hz))
		return -EINVAL;
	r = problem_init(&problem, middle + 1);
	if (r < 0)
		return r;
	set_up(&problem, bands, n_bands, rate_hz);
	solve_smallest(&problem);
	ret_taps[middle] = (double)(2 * problem.right[0]);
	for (uint32_t k = 1; k <= middle; k++)
		ret_taps[middle - k] = ret_taps[middle + k] = (double)problem.right[k];
	problem_fini(&problem);
	return 0;
}

int fnx_firls_band_pass(uint32_t n_taps, double low_hz, double high_hz, double transition_hz,
	double rate_hz, double *ret_taps)
{
	struct fnx_firls_band bands[3] = {
		{0, low_hz - transition_hz, 0, 0, 1},
		{low_hz, high_hz, 1, 1, 1},
		{high_hz + transition_hz, rate_hz / 2, 0, 0, 1},
	};

	return fnx_firls(n_taps, bands, 3, rate_hz, ret_taps);
}

int fnx_firls_low_pass(
	uint32_t n_taps, double pass_hz, double stop_hz, double rate_hz, double *ret_taps)
{
	struct fnx_firls_band bands[2] = {
		{0, pass_hz, 1, 1, 1},
		{stop_hz, rate_hz / 2, 0, 0, 1},
	};

	return fnx_firls(n_taps, bands, 2, rate_hz, ret_taps);
}
