/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

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
