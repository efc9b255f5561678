/* SPDX-License-Identifier: BSD-3-Clause */
/* truth: what a simulator knows and an animal does not tell. Published by acquire on simulated
 * sessions. */
#pragma once

#include "schemas/schema.h"

#define FNX_TRUTH_EXTENTS(EXTENT)
#define FNX_TRUTH_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(int32_t, bin, "bin", "where the animal is") \
	SCALAR(int32_t, replay_arm, "", "arm being replayed, -1 none") \
	SCALAR(int32_t, replay_bin, "bin", "position being replayed, -1 none") \
	SCALAR(uint32_t, flags, "", "0")

#define FNX_SCHEMA_SELF truth
FNX_SCHEMA(truth, FNX_TRUTH_EXTENTS, FNX_TRUTH_FIELDS)
#undef FNX_SCHEMA_SELF
