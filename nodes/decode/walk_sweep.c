/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With z the distance in deviations,
 *
 *	exp(-z^2 / 2) ~ sum over k of Re(a[k] e^(-l[k] z)),  z >= 0
 *
 * The l are from the poles of the rational function of degree 16 that is nearest to e^-s for
 * s >= 0 (Caratheodory-Fejer approximation): its error 1.1e-16 over all frequencies becomes 9.2e-14
 * at the Gaussian's peak. Eight numbers are one vector of real and one of imaginary parts. Results
 * do not depend on the processor: one rounding per operation, the same order on all.
 *
 * Each arm is swept twice, upwards with what comes from below, downwards with what comes from
 * above. What arrives at an arm's end also leaves it: for every arm that can be reached through
 * that end it is multiplied by e^(-l * way) and enters there.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/rows.h"
#include "nodes/decode/walk_forms.h"
#include "nodes/host/lanes.h"

enum {
	TERMS = 8,
	ARMS_MAX = 16,
	LOOK_EVERY = 32, /* bins, between two looks at whether an entering wave has died out */
	FIRST = 0, /* ends of an arm */
	LAST = 1,
};

struct wave {
	_Alignas(64) double re[TERMS];
	_Alignas(64) double im[TERMS];
};

static const double rate_re[TERMS] = {3.597572643710614, 3.5908773663729456, 3.577241924044143,
	3.556124398588905, 3.5265496955984172, 3.486782380138804, 3.433415457266269,
	3.357705312229424};
static const double rate_im[TERMS] = {0.3319244676110942, 0.9990475776367631, 1.676398127967402,
	2.372301405928868, 3.0980318769906363, 3.8711121208165253, 4.724223284043713,
	5.741256105560651};
static const struct wave wave_sizes = {
	.re = {117.75637970124464, -183.695243369243, 77.86443952037578, -10.948849354172227,
		-0.05973193259956848, 0.08614416784611006, -0.0031546859383860737,
		1.5952486584432356e-05},
	.im = {302.1100826715772, -91.22204145087782, -20.806957754402482, 15.412070229351526,
		-2.4618077325496714, 0.13071832662204044, -0.002068266541983895,
		8.885149677499614e-06}};

/* What is below this, of walkers that sum to 1, is error of the approximation. */
static const double noise = 5e-13;
/* A wave of this size adds nothing to what is above the noise. */
static const double still = 1e-17;

struct arm {
	uint32_t first, n; /* bins */
	double step; /* between bins, in deviations */
	struct wave decay; /* over one step */
};

struct fnx_walk_sweep {
	uint32_t n_bins, n_arms; /* of a grid: no arms */
	uint32_t n_columns;
	enum fnx_processor processor;
	const struct fnx_rows *rows;
	struct wave decay; /* of a grid, over one bin */
	struct arm arms[ARMS_MAX];
	/* Over the way from the end by which arm a is left to the end by which b is entered. */
	struct wave ways[ARMS_MAX][ARMS_MAX];
	int8_t exits[ARMS_MAX][ARMS_MAX], entries[ARMS_MAX][ARMS_MAX]; /* those ends; -1: no way */
	double *per_row; /* [n_bins] 1 / row sum, 0 in gaps */
};

/* Sweeping
 * ------------------------------------------------------------------------------------------- */

static bool is_still(const double *re, const double *im)
{
	double size = 0.0;

	for (int k = 0; k < TERMS; k++)
		size += fabs(re[k]) + fabs(im[k]);
	return size < still;
}

#define SWEEP_TARGET
#define LANES_BYTES 16
#include "nodes/decode/walk_width.h"

#ifdef __x86_64__
#undef LANES_BYTES
#undef SWEEP_TARGET
#define LANES_BYTES 32
#define SWEEP_TARGET __attribute__((target("avx2")))
#include "nodes/decode/walk_width.h"

#undef LANES_BYTES
#undef SWEEP_TARGET
#define LANES_BYTES 64
#define SWEEP_TARGET __attribute__((target("arch=x86-64-v4")))
#include "nodes/decode/walk_width.h"
#endif

static void sweep_best(const struct fnx_walk_sweep *sweep, double *f, double *to)
{
	switch (sweep->processor) {
#ifdef __x86_64__
	case FNX_PROCESSOR_X86_64_V4:
		sweep_v64(sweep, f, to);
		break;
	case FNX_PROCESSOR_AVX2:
		sweep_v32(sweep, f, to);
		break;
#endif
	default:
		sweep_v16(sweep, f, to);
	}
}

void fnx_walk_sweep_add(const struct fnx_walk_sweep *sweep, const double *walkers, double factor,
	double *scratch, double *ret_to)
{
	const uint32_t n = sweep->n_bins;
	double *f = scratch, *to = scratch + ((size_t)n + 7) / 8 * 8;
	const double walking = sweep->rows->sum(walkers, n);

	sweep->rows->multiply(walkers, 1.0, sweep->per_row, n, f);
	if (isnan(walking)) {
		for (uint32_t i = 0; i < n; i++)
			ret_to[i] = NAN;
		return;
	}
	sweep_best(sweep, f, to);
	if (sweep->n_arms == 0)
		to = f;
	for (uint32_t i = 0; i < n; i++) {
		const bool arrives = sweep->per_row[i] > 0.0 && to[i] > noise * walking;

		ret_to[i] += arrives ? factor * to[i] : 0.0;
	}
}

/* The Gaussian is the same both ways; what is divided by the row's sum is then the result. */
void fnx_walk_sweep_add_back(const struct fnx_walk_sweep *sweep, const double *arriving,
	double factor, double *scratch, double *ret_from)
{
	const uint32_t n = sweep->n_bins;
	double *f = scratch, *to = scratch + ((size_t)n + 7) / 8 * 8;
	double all = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		f[i] = sweep->per_row[i] > 0.0 ? arriving[i] : 0.0;
		all += f[i];
	}
	sweep_best(sweep, f, to);
	if (sweep->n_arms == 0)
		to = f;
	for (uint32_t i = 0; i < n; i++)
		if (sweep->per_row[i] > 0.0 && to[i] > noise * all)
			ret_from[i] += factor * sweep->per_row[i] * to[i];
}

/* Structure
 * ------------------------------------------------------------------------------------------ */

static struct wave decay_over(double z)
{
	struct wave wave;

	for (int k = 0; k < TERMS; k++) {
		const double size = exp(-rate_re[k] * z);

		wave.re[k] = size * cos(rate_im[k] * z);
		wave.im[k] = -size * sin(rate_im[k] * z);
	}
	return wave;
}

static bool is_near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * (1.0 + fabs(b));
}

static double z_of(const struct fnx_walk_config *config, uint32_t a, uint32_t b)
{
	return config->distance_cm[(size_t)a * config->n_bins + b] / config->deviation_cm;
}

/* An arm is a run of bins that it owns, equally far apart. */
static bool find_arms(struct fnx_walk_sweep *sweep, const struct fnx_walk_config *config)
{
	const int32_t *arms = config->bin_arms;

	for (uint32_t i = 0, end; i < config->n_bins; i = end) {
		struct arm *arm = &sweep->arms[sweep->n_arms];

		for (end = i + 1; end < config->n_bins && arms[end] == arms[i]; end++)
			;
		if (arms[i] < 0)
			continue;
		if (sweep->n_arms == ARMS_MAX)
			return false;
		*arm = (struct arm){.first = i, .n = end - i};
		arm->step = end - i > 1 ? z_of(config, i, i + 1) : 0.0;
		arm->decay = decay_over(arm->step);
		for (uint32_t a = i; a < end; a++)
			for (uint32_t b = i; b < end; b++)
				if (!is_near(z_of(config, a, b),
					    arm->step * fabs((double)a - (double)b)))
					return false;
		sweep->n_arms++;
	}
	return sweep->n_arms > 0;
}

static uint32_t end_bin(const struct arm *arm, int end)
{
	return end == FIRST ? arm->first : arm->first + arm->n - 1;
}

/* Whether every way from a to b is one to that end of a, one between the ends, and one in b. */
static bool is_way(const struct fnx_walk_config *config, const struct arm *a, int exit,
	const struct arm *b, int entry)
{
	const double between = z_of(config, end_bin(a, exit), end_bin(b, entry));

	for (uint32_t i = 0; i < a->n; i++) {
		const double within_a = a->step * (exit == FIRST ? i : a->n - 1 - i);

		for (uint32_t k = 0; k < b->n; k++) {
			const double within_b = b->step * (entry == FIRST ? k : b->n - 1 - k);

			if (!is_near(z_of(config, a->first + i, b->first + k),
				    within_a + between + within_b))
				return false;
		}
	}
	return true;
}

static bool find_way(
	struct fnx_walk_sweep *sweep, const struct fnx_walk_config *config, uint32_t a, uint32_t b)
{
	const struct arm *from = &sweep->arms[a], *to = &sweep->arms[b];

	sweep->exits[a][b] = -1;
	if (a == b || fnx_walk_weight(config, from->first, from->first) == 0.0)
		return true;
	if (config->through_first_arm && config->bin_arms[from->first] != 0 &&
		config->bin_arms[to->first] != 0)
		return true;
	for (int8_t exit = FIRST; exit <= LAST; exit++) {
		for (int8_t entry = FIRST; entry <= LAST; entry++) {
			if (!is_way(config, from, exit, to, entry))
				continue;
			sweep->exits[a][b] = exit;
			sweep->entries[a][b] = entry;
			sweep->ways[a][b] =
				decay_over(z_of(config, end_bin(from, exit), end_bin(to, entry)));
			return true;
		}
	}
	return false;
}

static bool find_structure(struct fnx_walk_sweep *sweep, const struct fnx_walk_config *config)
{
	if (!config->distance_cm) {
		sweep->decay = decay_over(config->bin_cm / config->deviation_cm);
		return true;
	}
	if (!find_arms(sweep, config))
		return false;
	for (uint32_t a = 0; a < sweep->n_arms; a++)
		for (uint32_t b = 0; b < sweep->n_arms; b++)
			if (!find_way(sweep, config, a, b))
				return false;
	return true;
}

struct fnx_walk_sweep *fnx_walk_sweep_free(struct fnx_walk_sweep *sweep)
{
	if (sweep)
		free(sweep->per_row);
	free(sweep);
	return NULL;
}

int fnx_walk_sweep_new(const struct fnx_walk_config *config, struct fnx_walk_sweep **ret_sweep)
{
	struct fnx_walk_sweep *sweep = aligned_alloc(64, (sizeof(*sweep) + 63) / 64 * 64);

	if (!sweep)
		return -ENOMEM;
	*sweep = (struct fnx_walk_sweep){.n_bins = config->n_bins,
		.n_columns = config->n_columns,
		.processor = fnx_processor(),
		.rows = fnx_rows(fnx_processor()),
		.per_row = calloc(config->n_bins, sizeof(double))};
	if (!sweep->per_row) {
		fnx_walk_sweep_free(sweep);
		return -ENOMEM;
	}
	if (!find_structure(sweep, config)) {
		fnx_walk_sweep_free(sweep);
		return -EINVAL;
	}
	for (uint32_t from = 0; from < config->n_bins; from++) {
		double sum = 0.0;

		for (uint32_t to = 0; to < config->n_bins; to++)
			sum += fnx_walk_weight(config, from, to);
		sweep->per_row[from] = sum > 0.0 ? 1.0 / sum : 0.0;
	}
	*ret_sweep = sweep;
	return 0;
}
