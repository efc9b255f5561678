/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A heap, not a sort: few bins hold half the mass as a rule, so most of the order is never asked
 * for. The sums are the same as after a full sort, added in the same order.
 */
#include "nodes/host/credible.h"

#include <math.h>

static void sift(double *heap, uint32_t n, uint32_t at)
{
	const double moving = heap[at];

	for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= moving)
			break;
		heap[at] = heap[child];
	}
	heap[at] = moving;
}

uint32_t fnx_credible_bins(
	const double *distribution, uint32_t n_bins, double mass, double *scratch)
{
	double sum = 0.0;
	uint32_t n = n_bins;

	for (uint32_t i = 0; i < n_bins; i++) {
		if (isnan(distribution[i]))
			return 1;
		scratch[i] = distribution[i];
	}
	for (uint32_t i = n / 2; i-- > 0;)
		sift(scratch, n, i);
	while (n > 0) {
		sum += scratch[0];
		if (sum >= mass)
			return n_bins - n + 1;
		scratch[0] = scratch[--n];
		sift(scratch, n, 0);
	}
	return n_bins + 1;
}
