/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spike: one threshold crossing with its waveform on every channel of its electrode group.
 * Published by acquire; the sample time is that of the waveform's trigger.
 */
#pragma once

#include "schemas/schema.h"

#define FNX_SPIKE_EXTENTS(EXTENT) \
	EXTENT(max_channels) \
	EXTENT(max_points)
#define FNX_SPIKE_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(double, uv_per_count, "uV", "microvolts per count of the waveform") \
	SCALAR(uint32_t, group, "", "electrode group") \
	SCALAR(uint32_t, n_channels, "", "channels of this group, at most max_channels") \
	SCALAR(uint32_t, n_points, "", "points per channel, at most max_points") \
	SCALAR(uint32_t, flags, "", "0") \
	ARRAY2(float, waveform, max_channels, max_points, "count", \
		"row c is channel c; rows and columns beyond n_channels, n_points are 0")

#define FNX_SCHEMA_SELF spike
FNX_SCHEMA(spike, FNX_SPIKE_EXTENTS, FNX_SPIKE_FIELDS)
#undef FNX_SCHEMA_SELF
