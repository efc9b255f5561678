/* SPDX-License-Identifier: BSD-3-Clause */
/* lfp: one sample of every local field potential channel. Published by acquire. */
#pragma once

#include "schemas/schema.h"

#define FNX_LFP_EXTENTS(EXTENT) EXTENT(n_channels)
#define FNX_LFP_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(double, uv_per_count, "uV", "microvolts per count") \
	ARRAY1(float, samples, n_channels, "count", "one sample of each channel")

#define FNX_SCHEMA_SELF lfp
FNX_SCHEMA(lfp, FNX_LFP_EXTENTS, FNX_LFP_FIELDS)
#undef FNX_SCHEMA_SELF
