/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/patience.h"

#include "tests/support/check.h"

enum {
	WAKE = 20000,
	LIMIT = 50000
};

static void learn(struct fnx_patience *p, unsigned n, int64_t wait_ns, int slept)
{
	for (unsigned i = 0; i < n; i++)
		fnx_patience_learn(p, slept ? wait_ns + WAKE : wait_ns, slept);
}

TEST(who_knows_nothing_sleeps_at_once)
{
	struct fnx_patience p;

	fnx_patience_init(&p, LIMIT, WAKE);
	assert_int_equal(fnx_patience_ns(&p), 0);
}

TEST(where_work_comes_sooner_than_a_wake_one_waits_awake_for_as_long_as_a_wake_takes)
{
	struct fnx_patience p;

	fnx_patience_init(&p, LIMIT, WAKE);
	learn(&p, 30, 1000, 1);
	assert_int_equal(fnx_patience_ns(&p), WAKE);
	/* And goes on so while it need not sleep. */
	learn(&p, 30, 1000, 0);
	assert_int_equal(fnx_patience_ns(&p), WAKE);
}

TEST(where_work_comes_later_than_a_wake_one_sleeps_at_once)
{
	struct fnx_patience p;

	fnx_patience_init(&p, LIMIT, WAKE);
	learn(&p, 30, 1000, 1);
	learn(&p, 30, 1000000, 0);
	assert_int_equal(fnx_patience_ns(&p), 0);
}

TEST(one_long_pause_is_unlearned_within_a_burst)
{
	struct fnx_patience p;
	unsigned n = 0;

	fnx_patience_init(&p, LIMIT, WAKE);
	learn(&p, 30, 1000, 1);
	fnx_patience_learn(&p, INT64_C(3600000000000), 1);
	while (!fnx_patience_ns(&p) && n < 100) {
		learn(&p, 1, 1000, 1);
		n++;
	}
	assert_true(n < 20);
}

TEST(nobody_waits_awake_longer_than_the_limit_and_a_limit_of_none_forbids_it)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 10000; i++) {
		int64_t limit = (int64_t)check_random_below(&random, 100000);
		struct fnx_patience p;

		fnx_patience_init(&p, limit, 1 + (int64_t)check_random_below(&random, 100000));
		for (unsigned k = 0; k < 20; k++) {
			fnx_patience_learn(&p, (int64_t)check_random_below(&random, 200000),
				(int)check_random_below(&random, 2));
			assert_in_range(fnx_patience_ns(&p), 0, limit);
		}
	}
}
