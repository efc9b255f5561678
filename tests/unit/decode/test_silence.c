/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "nodes/decode/rows.h"
#include "nodes/decode/silence.h"

enum {
	MAX_GROUPS = 70,
	MAX_BINS = 90,
};

static double rates[MAX_GROUPS][MAX_BINS];

TEST(shares_kept_up_group_by_group_are_those_of_a_new_sum_to_the_last_bit)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 100; round++) {
		const uint32_t n_groups = 1 + (uint32_t)check_random_below(&random, MAX_GROUPS);
		const uint32_t n = 1 + (uint32_t)check_random_below(&random, MAX_BINS);
		struct fnx_silence kept, fresh;
		double row[MAX_BINS];

		assert_int_equal(fnx_silence_init(&kept, n_groups, n, true), 0);
		assert_int_equal(fnx_silence_init(&fresh, n_groups, n, true), 0);
		for (uint32_t g = 0; g < n_groups; g++) {
			for (uint32_t i = 0; i < n; i++)
				rates[g][i] = 1.0 + check_random_unit(&random);
			fnx_silence_change(&kept, g, rates[g]);
		}
		for (int t = 0; t < 20; t++) {
			for (uint64_t k = check_random_below(&random, 5); k > 0; k--) {
				const uint32_t g = (uint32_t)check_random_below(&random, n_groups);

				rates[g][check_random_below(&random, n)] += 1.0;
				fnx_silence_change(&kept, g, rates[g]);
			}
			if (check_random_below(&random, 2))
				fnx_silence_shares(&kept);
		}
		for (uint32_t g = 0; g < n_groups; g++)
			fnx_silence_change(&fresh, g, rates[g]);
		assert_memory_equal(
			fnx_silence_shares(&kept), fnx_silence_shares(&fresh), n * sizeof(double));
		/* And they are the shares. */
		for (uint32_t i = 0; i < n; i++) {
			double expected = 0.0;

			for (uint32_t g = 0; g < n_groups; g++) {
				double sum = 0.0;

				for (uint32_t k = 0; k < n; k++)
					sum += rates[g][k];
				expected += rates[g][i] / sum;
			}
			row[i] = expected;
			assert_true(fabs(fnx_silence_shares(&kept)[i] - row[i]) < 1e-14 * n_groups);
		}
		fnx_silence_fini(&kept);
		fnx_silence_fini(&fresh);
	}
}

TEST(rows_are_the_same_on_every_processor)
{
	struct check_random random = check_random_seeded();
	static double a[MAX_BINS], b[MAX_BINS], x[MAX_BINS], y[MAX_BINS];

	for (int round = 0; round < 500; round++) {
		const size_t n = 1 + check_random_below(&random, MAX_BINS);
		const struct fnx_rows *any = fnx_rows(FNX_PROCESSOR_ANY);
		const struct fnx_rows *best = fnx_rows(fnx_processor());
		double sums[2], least = check_random_unit(&random);

		for (size_t i = 0; i < n; i++) {
			a[i] = check_random_unit(&random) - 0.5;
			b[i] = check_random_below(&random, 30) ? check_random_unit(&random)
							       : (double)NAN;
		}
		assert_true(any->sum(a, n) == best->sum(a, n));
		assert_true(any->max(b, n) == best->max(b, n));
		sums[0] = any->multiply_floored(a, 0.3, b, least, n, x);
		sums[1] = best->multiply_floored(a, 0.3, b, least, n, y);
		assert_memory_equal(x, y, n * sizeof(double));
		assert_true(sums[0] == sums[1]);
		sums[0] = any->weigh(a, b, n, x);
		sums[1] = best->weigh(a, b, n, y);
		assert_memory_equal(x, y, n * sizeof(double));
		assert_true(sums[0] == sums[1]);
		sums[0] = any->exponents(a, b, -0.006, n, x);
		sums[1] = best->exponents(a, b, -0.006, n, y);
		assert_memory_equal(x, y, n * sizeof(double));
		assert_true(sums[0] == sums[1]);
		sums[0] = any->clear_below(least, n, memcpy(x, a, sizeof(a)));
		sums[1] = best->clear_below(least, n, memcpy(y, a, sizeof(a)));
		assert_memory_equal(x, y, n * sizeof(double));
		assert_true(sums[0] == sums[1]);
	}
}
