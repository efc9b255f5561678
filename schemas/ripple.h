/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ripple: one crossing of a threshold by one trace. Published by ripple; the sample time is that of
 * the LFP sample which crossed.
 */
#pragma once

#include "schemas/schema.h"

enum fnx_ripple_type {
	FNX_RIPPLE_STANDARD = 0, /* onset */
	FNX_RIPPLE_CONDITIONING = 1, /* once per ripple */
	FNX_RIPPLE_CONTENT = 2, /* once per ripple */
	FNX_RIPPLE_END = 3,
};

enum {
	FNX_RIPPLE_CONSENSUS = -1
};

#define FNX_RIPPLE_EXTENTS(EXTENT)
#define FNX_RIPPLE_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(double, z, "", "envelope in deviations above its running mean") \
	SCALAR(double, envelope, "uV", "envelope of the ripple band") \
	SCALAR(double, speed, "cm/s", "speed of the animal") \
	SCALAR(int32_t, channel, "", "LFP channel from 0, -1 for the consensus trace") \
	SCALAR(uint32_t, type, "", "0 standard, 1 conditioning, 2 content, 3 end")

#define FNX_SCHEMA_SELF ripple
FNX_SCHEMA(ripple, FNX_RIPPLE_EXTENTS, FNX_RIPPLE_FIELDS)
#undef FNX_SCHEMA_SELF
