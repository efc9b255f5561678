/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/truths.h"

#include <stdlib.h>

#include "tests/support/check.h"

enum {
	A = 1,
	B = 2,
	C = 4,
	WINDOW = 100
};

static struct fnx_truths truths;

static void say(uint32_t k, int is_true, int64_t now)
{
	fnx_truths_set(&truths, NULL, k, is_true, now);
}

static int combine(uint32_t all, uint32_t any, uint32_t none, uint32_t fresh, int64_t now)
{
	const struct fnx_combination combination = {
		.all_of = all, .any_of = any, .none_of = none, .window_samples = WINDOW};

	return fnx_truths_combine(&truths, &combination, fresh, now);
}

TEST(both_within_the_window_are_together_and_one_sample_more_is_not)
{
	truths = (struct fnx_truths){0};
	say(0, 1, 1000);
	assert_int_equal(combine(A | B, 0, 0, A, 1000), 0);
	say(0, 0, 1006);
	say(1, 1, 1000 + WINDOW);
	assert_int_equal(combine(A | B, 0, 0, B, 1000 + WINDOW), 1);
	say(1, 1, 1001 + WINDOW);
	assert_int_equal(combine(A | B, 0, 0, B, 1001 + WINDOW), 0);
}

TEST(either_is_enough_for_any)
{
	truths = (struct fnx_truths){0};
	assert_int_equal(combine(0, A | B, 0, C, 1000), 0);
	say(1, 1, 1000);
	assert_int_equal(combine(0, A | B, 0, B, 1000), 1);
}

TEST(one_that_was_true_just_now_forbids)
{
	truths = (struct fnx_truths){0};
	say(2, 1, 1000);
	say(0, 1, 1000 + WINDOW);
	assert_int_equal(combine(A, 0, C, A, 1000 + WINDOW), 0);
	say(0, 1, 1001 + WINDOW);
	assert_int_equal(combine(A, 0, C, A, 1001 + WINDOW), 1);
}

TEST(old_news_alone_is_no_news)
{
	truths = (struct fnx_truths){0};
	say(0, 1, 1000);
	say(1, 1, 1000);
	assert_int_equal(combine(A | B, 0, 0, A | B, 1000), 1);
	assert_int_equal(combine(A | B, 0, 0, C, 1001), 0);
}

TEST(any_bytes_and_any_times_will_do)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 100000; i++) {
		for (unsigned k = 0; k < FNX_TRUTHS_MAX; k++)
			truths.last[k] = (int64_t)check_random_u64(&random);
		truths.seen = (uint32_t)check_random_u64(&random);
		combine((uint32_t)check_random_u64(&random), (uint32_t)check_random_u64(&random),
			(uint32_t)check_random_u64(&random), ~UINT32_C(0),
			(int64_t)check_random_u64(&random));
	}
}

/* Against the sentences at the head of truths.h, said once more, over the whole history. */
TEST(random_histories_combine_as_the_sentences_say)
{
	struct check_random random = check_random_seeded();
	int64_t times[FNX_TRUTHS_MAX][64];
	int n_true = 0;

	for (int run = 0; run < 2000; run++) {
		uint32_t all = (uint32_t)check_random_u64(&random) & 7;
		uint32_t any = (uint32_t)check_random_u64(&random) & 7;
		uint32_t none = (uint32_t)check_random_u64(&random) & 7 & ~all;
		int n[3] = {0};
		int64_t now = 0;

		truths = (struct fnx_truths){0};
		for (int i = 0; i < 60; i++) {
			uint32_t k = (uint32_t)check_random_u64(&random) % 3, counts = 0;
			int is_true = (int)check_random_u64(&random) & 1, expected;

			now += (int64_t)(check_random_u64(&random) % 60);
			say(k, is_true, now);
			if (is_true)
				times[k][n[k]++] = now;
			for (uint32_t j = 0; j < 3; j++)
				for (int t = 0; t < n[j]; t++)
					if (now - times[j][t] <= WINDOW)
						counts |= UINT32_C(1) << j;
			expected = is_true && ((all | any) >> k & 1) && (counts & all) == all &&
				(!any || (counts & any)) && !(counts & none);
			assert_int_equal(
				combine(all, any, none, (uint32_t)is_true << k, now), expected);
			n_true += expected;
		}
	}
	assert_true(n_true > 1000);
}
