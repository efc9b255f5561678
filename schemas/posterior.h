/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posterior: where the brain says the animal is, once per time bin. Published by decode; the sample
 * time is the one at which the bin was closed (its end plus the configured delay).
 */
#pragma once

#include "schemas/schema.h"

#define FNX_POSTERIOR_EXTENTS(EXTENT) \
	EXTENT(n_states) \
	EXTENT(n_bins) \
	EXTENT(n_recent)
#define FNX_POSTERIOR_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(int64_t, bin_start, "sample", "first sample of the time bin") \
	SCALAR(int64_t, bin_end, "sample", "first sample after the time bin") \
	SCALAR(double, speed, "cm/s", "speed of the animal") \
	SCALAR(int32_t, position_bin, "bin", "where the animal is, -1 unknown or off the track") \
	SCALAR(int32_t, position_arm, "", "arm that owns position_bin, -1") \
	SCALAR(int32_t, decoded_bin, "bin", "most probable bin, states summed") \
	SCALAR(int32_t, decoded_arm, "", "arm that owns decoded_bin, -1") \
	SCALAR(uint32_t, spike_count, "", "spikes whose likelihoods the bin holds") \
	SCALAR(uint32_t, credible_posterior, "bin", "credible interval of the posterior") \
	SCALAR(uint32_t, credible_likelihood, "bin", "credible interval of the likelihood") \
	SCALAR(uint32_t, n_recent_valid, "", "valid entries of the recent_ arrays") \
	ARRAY2(double, posterior, n_states, n_bins, "", "sums to 1 over states and bins") \
	ARRAY1(double, likelihood, n_bins, "", "product of the bin's spikes and silences") \
	ARRAY1(uint32_t, recent_group, n_recent, "", "groups of recent good spikes, oldest first") \
	ARRAY1(int32_t, recent_bin, n_recent, "bin", "their most likely bins")

#define FNX_SCHEMA_SELF posterior
FNX_SCHEMA(posterior, FNX_POSTERIOR_EXTENTS, FNX_POSTERIOR_FIELDS)
#undef FNX_SCHEMA_SELF
