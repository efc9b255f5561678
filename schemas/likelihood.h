/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * likelihood: what one spike says about position. Published by encode, one frame per spike above
 * the amplitude threshold, whether or not the model could judge it; the sample time is the spike's.
 */
#pragma once

#include "schemas/schema.h"

enum fnx_likelihood_status {
	FNX_LIKELIHOOD_VALID = 0,
	FNX_LIKELIHOOD_NO_MARKS = 1, /* the group has stored nothing yet */
	FNX_LIKELIHOOD_GATED = 2, /* too few stored marks within the n-cube */
};

#define FNX_LIKELIHOOD_EXTENTS(EXTENT) EXTENT(n_bins)
#define FNX_LIKELIHOOD_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
	SCALAR(uint32_t, group, "", "electrode group") \
	SCALAR(uint32_t, status, "", "0 valid, 1 no marks, 2 gated; the array is 0 unless valid") \
	SCALAR(uint32_t, stored, "", "1 if the spike went into the model") \
	SCALAR(int32_t, position_bin, "bin", "where the animal is, -1 unknown or off the track") \
	SCALAR(uint32_t, credible_bins, "bin", "size of the likelihood's credible interval") \
	SCALAR(uint32_t, n_marks, "", "marks the group had stored") \
	ARRAY1(double, likelihood, n_bins, "", "joint mark-position likelihood, sums to 1")

#define FNX_SCHEMA_SELF likelihood
FNX_SCHEMA(likelihood, FNX_LIKELIHOOD_EXTENTS, FNX_LIKELIHOOD_FIELDS)
#undef FNX_SCHEMA_SELF
