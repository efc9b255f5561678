/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "nodes/decode/rows.h"

enum {
	MAX_BINS = 90,
	N_LOOPS = 10,
};

static double a[MAX_BINS], b[MAX_BINS];

/* What loop `which` returns, 0 if nothing, and leaves in ret [MAX_BINS]. */
static double run(const struct fnx_rows *rows, int which, double scalar, size_t n, double *ret)
{
	memcpy(ret, a, sizeof(a));
	switch (which) {
	case 0:
		return rows->sum(a, n);
	case 1:
		return rows->max(b, n);
	case 2:
		return rows->multiply(a, scalar, b, n, ret);
	case 3:
		return rows->multiply_floored(a, 0.3, b, scalar, n, ret);
	case 4:
		return rows->weigh(a, b, n, ret);
	case 5:
		return rows->exponents(a, b, -scalar, n, ret);
	case 6:
		rows->subtract(b, scalar, n, ret);
		return 0.0;
	case 7:
		return rows->clear_below(scalar - 0.5, n, ret);
	case 8:
		rows->divide(b, scalar, n, ret);
		return 0.0;
	default:
		rows->add_scaled(ret, b, scalar, n);
		return 0.0;
	}
}

/* The same by definition, one number after the other; only what does not depend on an order. */
static double define(int which, double scalar, size_t i)
{
	switch (which) {
	case 2:
		return a[i] * scalar * b[i];
	case 3:
		return a[i] * 0.3 * (b[i] > scalar ? b[i] : scalar);
	case 4:
		return a[i] * b[i];
	case 5:
		return isfinite(-scalar * a[i] / b[i]) ? -scalar * a[i] / b[i] : -HUGE_VAL;
	case 6:
		return b[i] - scalar;
	case 7:
		return a[i] < scalar - 0.5 ? 0.0 : a[i];
	case 8:
		return b[i] / scalar;
	case 9:
		return a[i] + scalar * b[i];
	default:
		return a[i];
	}
}

static void assert_same_numbers(const double *x, const double *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_true(isnan(x[i]) ? isnan(y[i]) : x[i] == y[i]);
}

TEST(rows_are_the_same_on_every_processor_and_as_defined)
{
	struct check_random random = check_random_seeded();
	double first[MAX_BINS], ret[MAX_BINS];

	for (int round = 0; round < 500; round++) {
		const size_t n = 1 + check_random_below(&random, MAX_BINS);
		const double scalar = check_random_unit(&random);

		for (size_t i = 0; i < MAX_BINS; i++) {
			a[i] = check_random_unit(&random) - 0.5;
			b[i] = check_random_below(&random, 30) ? check_random_unit(&random)
							       : (double)NAN;
		}
		for (int which = 0; which < N_LOOPS; which++) {
			const double value =
				run(fnx_rows(FNX_PROCESSOR_ANY), which, scalar, n, first);

			for (size_t i = 0; i < MAX_BINS; i++)
				ret[i] = i < n ? define(which, scalar, i) : a[i];
			assert_same_numbers(first, ret, MAX_BINS);
			for (enum fnx_processor p = 1; p <= fnx_processor(); p++) {
				const double other = run(fnx_rows(p), which, scalar, n, ret);

				assert_same_numbers(&other, &value, 1);
				assert_same_numbers(ret, first, MAX_BINS);
			}
		}
	}
}
