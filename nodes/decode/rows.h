/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows of doubles, one value per position bin: products, sums, maxima. Written for eight numbers
 * side by side, since a sum of one alone would wait for itself at every step, and compiled for each
 * processor generation; the order is fixed, so results are the same on all of them.
 *
 * Any thread, real-time, O(n). Arrays do not overlap unless said otherwise.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nodes/host/lanes.h"

/* One set per processor generation. */
struct fnx_rows {
	double (*sum)(const double *x, size_t n);
	/* The largest; NaN are passed over, -infinity if there is nothing else. */
	double (*max)(const double *x, size_t n);
	/* ret[i] = a[i] * scale * b[i]; returns their sum. */
	double (*multiply)(const double *a, double scale, const double *b, size_t n, double *ret);
	/* The same with b[i] or the floor, whichever is more; a NaN is at the floor. */
	double (*multiply_floored)(const double *a, double scale, const double *b, double floor,
		size_t n, double *ret);
	/* ret[i] = a[i] * b[i]; returns their sum, NaN left out. */
	double (*weigh)(const double *a, const double *b, size_t n, double *ret);
	/* ret[i] = factor * a[i] / b[i], or -infinity where that is not finite; returns the
	 * largest.
	 */
	double (*exponents)(const double *a, const double *b, double factor, size_t n, double *ret);
	void (*subtract)(const double *x, double what, size_t n, double *ret);
	/* What is below `least` becomes 0; returns the sum. */
	double (*clear_below)(double least, size_t n, double *x);
	/* ret[i] = x[i] / by; ret may be x. */
	void (*divide)(const double *x, double by, size_t n, double *ret);
	/* ret[i] += factor * x[i] */
	void (*add_scaled)(double *ret, const double *x, double factor, size_t n);
};

/* The set for `processor`, which this machine must have: at most fnx_processor(). */
const struct fnx_rows *fnx_rows(enum fnx_processor processor);

/* The first of the largest, as comparing from the first on finds it: 0 where that is NaN. */
uint32_t fnx_row_argmax(const struct fnx_rows *rows, const double *x, uint32_t n);
