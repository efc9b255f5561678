/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/design.h"

#include <errno.h>
#include <string.h>

#include "nodes/ripple/butterworth.h"
#include "nodes/ripple/firls.h"

static int design_band_pass(const struct fnx_rig *rig, struct fnx_ripple_design *design)
{
	const struct fnx_rig_filter *filter = &rig->ripple.filter;
	const double *band_hz = filter->band_hz.values;

	if (filter->type == FNX_FILTER_IIR) {
		design->n_sections = filter->order;
		return fnx_butterworth_band_pass(
			filter->order, band_hz[0], band_hz[1], rig->lfp.rate_hz, design->sections);
	}
	if (filter->type == FNX_FILTER_FIR) {
		design->n_taps = filter->n_taps;
		return fnx_firls_band_pass(filter->n_taps, band_hz[0], band_hz[1],
			filter->transition_hz, rig->lfp.rate_hz, design->taps);
	}
	design->n_taps = filter->taps.n;
	memcpy(design->taps, filter->taps.values, filter->taps.n * sizeof(double));
	return 0;
}

static int design_smoothing(const struct fnx_rig *rig, struct fnx_ripple_design *design)
{
	const struct fnx_rig_filter *filter = &rig->ripple.smoothing;

	if (filter->type == FNX_FILTER_IIR)
		return -EINVAL;
	if (filter->type == FNX_FILTER_FIR) {
		design->n_smoothing_taps = filter->n_taps;
		return fnx_firls_low_pass(filter->n_taps, filter->band_hz.values[0],
			filter->band_hz.values[1], rig->lfp.rate_hz, design->smoothing_taps);
	}
	design->n_smoothing_taps = filter->taps.n;
	memcpy(design->smoothing_taps, filter->taps.values, filter->taps.n * sizeof(double));
	return 0;
}

int fnx_ripple_design(
	const struct fnx_rig *rig, struct fnx_ripple_design *ret_design, const char **ret_reason)
{
	memset(ret_design, 0, sizeof(*ret_design));
	*ret_reason =
		"ripple.filter: no band-pass has this type, order, band and number of taps (odd)";
	if (design_band_pass(rig, ret_design))
		return -EINVAL;
	*ret_reason = "ripple.smoothing: expected fir with an odd number of taps and [pass to, "
		      "stop from], or taps";
	return design_smoothing(rig, ret_design) ? -EINVAL : 0;
}

/* Passes up to 0.8 of the new half rate, which is beyond what ripples need; stops from it on. */
int fnx_resampling_design(
	const struct fnx_rig *rig, double ret_taps[FNX_RESAMPLING_TAPS], uint32_t *ret_n_taps)
{
	double half_hz = rig->ripple.network_rate_hz / 2;

	*ret_n_taps = 0;
	if (rig->ripple.resampling == FNX_RESAMPLING_PICK || rig->lfp.rate_hz <= 2 * half_hz)
		return 0;
	*ret_n_taps = FNX_RESAMPLING_TAPS;
	return fnx_firls_low_pass(
		FNX_RESAMPLING_TAPS, 0.8 * half_hz, half_hz, rig->lfp.rate_hz, ret_taps);
}
