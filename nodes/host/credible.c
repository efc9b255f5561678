/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A heap, not a sort: few bins hold half the mass as a rule, so most of the order is never asked
 * for. And not of all bins: those above some part of the largest that hold the mass between them
 * are the first of the order. The sums are the same as after a full sort, added in the same order.
 */
#include "nodes/host/credible.h"

#include <math.h>

#include "nodes/host/lanes.h"

enum {
	FEW = 64, /* bins that are not worth choosing among */
};

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

/* NaN if any is. In lanes, so that no comparison waits for the one before. */
static double largest_of(const double *x, uint32_t n)
{
	double most[FNX_F64_LANES], nans[FNX_F64_LANES] = {0};
	uint32_t i = 0;

	for (uint32_t k = 0; k < FNX_F64_LANES; k++)
		most[k] = -HUGE_VAL;
	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES) {
		for (uint32_t k = 0; k < FNX_F64_LANES; k++) {
			most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
			nans[k] += x[i + k] == x[i + k] ? 0.0 : 1.0;
		}
	}
	for (; i < n; i++) {
		most[0] = x[i] > most[0] ? x[i] : most[0];
		nans[0] += x[i] == x[i] ? 0.0 : 1.0;
	}
	for (uint32_t k = 1; k < FNX_F64_LANES; k++) {
		most[0] = most[k] > most[0] ? most[k] : most[0];
		nans[0] += nans[k];
	}
	return nans[0] > 0.0 ? (double)NAN : most[0];
}

/* Answer from the bins that are at least `least`, 0: they do not hold the mass. */
static uint32_t count_from(
	const double *distribution, uint32_t n_bins, double least, double mass, double *scratch)
{
	uint32_t n = 0, answer = 1;
	double sum = 0.0;

	for (uint32_t i = 0; i < n_bins; i++) {
		scratch[n] = distribution[i];
		n += distribution[i] >= least;
	}
	for (uint32_t i = n / 2; i-- > 0;)
		sift(scratch, n, i);
	for (; n > 0; answer++) {
		sum += scratch[0];
		if (sum >= mass)
			return answer;
		scratch[0] = scratch[--n];
		sift(scratch, n, 0);
	}
	return 0;
}

uint32_t fnx_credible_bins(
	const double *distribution, uint32_t n_bins, double mass, double *scratch)
{
	static const double parts[] = {0.25, 1.0 / 64.0};
	const double largest = largest_of(distribution, n_bins);
	uint32_t answer = 0;

	if (isnan(largest))
		return 1;
	for (int i = 0; i < 2 && n_bins > FEW && largest > 0.0 && !answer; i++)
		answer = count_from(distribution, n_bins, parts[i] * largest, mass, scratch);
	if (!answer)
		answer = count_from(distribution, n_bins, -HUGE_VAL, mass, scratch);
	return answer ? answer : n_bins + 1;
}
