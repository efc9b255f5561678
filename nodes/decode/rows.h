/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sums and maxima of rows of doubles, eight side by side: one alone would wait for itself at every
 * step. The order is fixed, so results are the same on all processors.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nodes/host/lanes.h"

/* What is added up by lane, added up. */
static inline double fnx_lanes_sum(const double sums[FNX_F64_LANES])
{
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
		((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static inline double fnx_row_sum(const double *x, size_t n)
{
	double sums[FNX_F64_LANES] = {0};
	size_t i = 0;

	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES)
		for (size_t k = 0; k < FNX_F64_LANES; k++)
			sums[k] += x[i + k];
	for (size_t k = 0; i < n; i++, k++)
		sums[k] += x[i];
	return fnx_lanes_sum(sums);
}

/* The largest; NaN are passed over, -infinity if there is nothing else. */
static inline double fnx_row_max(const double *x, size_t n)
{
	double most[FNX_F64_LANES];
	size_t i = 0;

	for (size_t k = 0; k < FNX_F64_LANES; k++)
		most[k] = -__builtin_inf();
	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES)
		for (size_t k = 0; k < FNX_F64_LANES; k++)
			most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
	for (; i < n; i++)
		most[0] = x[i] > most[0] ? x[i] : most[0];
	for (size_t k = 1; k < FNX_F64_LANES; k++)
		most[0] = most[k] > most[0] ? most[k] : most[0];
	return most[0];
}

/* The first of the largest, as comparing from the first on finds it: 0 where that is NaN. */
static inline uint32_t fnx_row_argmax(const double *x, uint32_t n)
{
	const double most = fnx_row_max(x, n);

	for (uint32_t i = 0; x[0] == x[0] && i < n; i++)
		if (x[i] == most)
			return i;
	return 0;
}
