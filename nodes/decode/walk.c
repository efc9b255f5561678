/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/walk.h"

#include <errno.h>
#include <math.h>

#include "nodes/decode/walk_forms.h"

/* Products of a band that cost as much as sweeping over one bin. */
static const double sweep_products = 100.0;

static double distance(const struct fnx_walk_config *config, uint32_t a, uint32_t b)
{
	const uint32_t n = config->n_columns;

	if (config->distance_cm)
		return config->distance_cm[(size_t)a * config->n_bins + b];
	return config->bin_cm *
		hypot((double)(a % n) - (double)(b % n), (double)(a / n) - (double)(b / n));
}

double fnx_walk_weight(const struct fnx_walk_config *config, uint32_t from, uint32_t to)
{
	const int32_t a = config->bin_arms[from], b = config->bin_arms[to];
	double z;

	if (a < 0 || b < 0 || (config->through_first_arm && a != 0 && b != 0 && a != b))
		return 0.0;
	z = distance(config, from, to) / config->deviation_cm;
	return isnan(z) ? 0.0 : exp(-0.5 * z * z);
}

static bool prefers_bands(const struct fnx_walk_config *config)
{
	return config->form == FNX_WALK_BANDS ||
		(config->form == FNX_WALK_AUTO &&
			fnx_walk_band_products(config) <= sweep_products * config->n_bins);
}

int fnx_walk_init(struct fnx_walk *walk, const struct fnx_walk_config *config)
{
	int r = -EINVAL;

	*walk = (struct fnx_walk){.n_bins = config->n_bins, .form = FNX_WALK_EXPONENTIALS};
	if (!prefers_bands(config))
		r = fnx_walk_sweep_new(config, &walk->sweep);
	if (r != -EINVAL || config->form == FNX_WALK_EXPONENTIALS)
		return r;
	walk->form = FNX_WALK_BANDS;
	return fnx_walk_band_new(config, &walk->bands);
}

void fnx_walk_fini(struct fnx_walk *walk)
{
	walk->bands = fnx_walk_band_free(walk->bands);
	walk->sweep = fnx_walk_sweep_free(walk->sweep);
}

size_t fnx_walk_scratch(uint32_t n_bins)
{
	return 2 * (((size_t)n_bins + 7) / 8 * 8);
}

void fnx_walk_add(const struct fnx_walk *walk, const double *walkers, double factor,
	double *scratch, double *ret_to)
{
	if (walk->bands)
		fnx_walk_band_add(walk->bands, walkers, factor, ret_to);
	else
		fnx_walk_sweep_add(walk->sweep, walkers, factor, scratch, ret_to);
}

void fnx_walk_add_back(const struct fnx_walk *walk, const double *arriving, double factor,
	double *scratch, double *ret_from)
{
	if (walk->bands)
		fnx_walk_band_add_back(walk->bands, arriving, factor, ret_from);
	else
		fnx_walk_sweep_add_back(walk->sweep, arriving, factor, scratch, ret_from);
}
