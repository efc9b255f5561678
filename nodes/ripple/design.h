/* SPDX-License-Identifier: BSD-3-Clause */
/* From the filters that the rig describes to coefficients: what the ripple node runs and `fornix
 * check` prints. */
#pragma once

#include "nodes/host/rig.h"
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/response.h"

enum {
	FNX_RESAMPLING_TAPS = 31
};

struct fnx_ripple_design {
	uint32_t n_sections, n_taps, n_smoothing_taps;
	struct fnx_section sections[FNX_ENVELOPE_SECTIONS_MAX];
	double taps[FNX_ENVELOPE_TAPS_MAX];
	double smoothing_taps[FNX_ENVELOPE_TAPS_MAX];
};

/* 0, or -EINVAL with *ret_reason saying which filter cannot be had. */
int fnx_ripple_design(
	const struct fnx_rig *rig, struct fnx_ripple_design *ret_design, const char **ret_reason);

/* The low-pass before LFP is picked at the network's rate, for resampling: filter; *ret_n_taps 0
 * where the rig wants none. -EINVAL: there is none for these rates. */
int fnx_resampling_design(
	const struct fnx_rig *rig, double ret_taps[FNX_RESAMPLING_TAPS], uint32_t *ret_n_taps);
