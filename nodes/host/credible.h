/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Credible interval of a distribution over position bins: how many bins, the largest first, it
 * takes to hold a given mass. Small means: the distribution says where.
 */
#pragma once

#include <stdint.h>

/*
 * Number of bins of `distribution` [n_bins], the largest first, whose cumulative sum reaches
 * `mass`: searchsorted from the left in the descending cumulative sum, plus one; so n_bins + 1
 * where the whole falls short of it, and 1 where a bin is NaN (which sorts first). `scratch`
 * [n_bins] is overwritten. Any thread, real-time: O(n_bins + answer * log n_bins).
 */
uint32_t fnx_credible_bins(
	const double *distribution, uint32_t n_bins, double mass, double *scratch);
