/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/host/credible.h"
#include "nodes/host/occupancy.h"
#include "nodes/host/smoothing.h"

/* Two arms with a gap of two bins between them. */
static const int32_t arms[6] = {0, 0, -1, -1, 1, 1};

static struct fnx_occupancy occupancy_of(struct fnx_occupancy_config config)
{
	struct fnx_occupancy occupancy;

	config.n_bins = 6;
	config.bin_arms = arms;
	assert_int_equal(fnx_occupancy_init(&occupancy, &config), 0);
	return occupancy;
}

static void assert_near(double a, double b)
{
	if (!(fabs(a - b) < 1e-14))
		fail_msg("%.17g is not %.17g", a, b);
}

TEST(in_parity_gaps_are_ordinary_bins_until_the_first_sample_and_nan_from_then_on)
{
	struct fnx_occupancy o =
		occupancy_of((struct fnx_occupancy_config){.initial = 1.0, .parity = true});

	for (int i = 0; i < 6; i++)
		assert_near(o.share[i], 1.0 / 6.0);
	assert_true(fnx_occupancy_add(&o, 1));
	assert_near(o.share[0], 1.0 / 5.0);
	assert_near(o.share[1], 2.0 / 5.0);
	assert_true(isnan(o.counts[2]) && isnan(o.share[2]) && isnan(o.share[3]));
	assert_near(o.share[5], 1.0 / 5.0);
	fnx_occupancy_fini(&o);
}

TEST(outside_parity_gaps_are_zero_and_nothing_is_ever_nan)
{
	struct fnx_occupancy o = occupancy_of((struct fnx_occupancy_config){.initial = 0.0});

	for (int i = 0; i < 6; i++)
		assert_near(o.share[i], arms[i] < 0 ? 0.0 : 0.25);
	assert_true(fnx_occupancy_add(&o, 4));
	assert_true(fnx_occupancy_add(&o, 4));
	assert_true(fnx_occupancy_add(&o, 0));
	assert_near(o.share[4], 2.0 / 3.0);
	assert_near(o.share[0], 1.0 / 3.0);
	assert_near(o.share[1], 0.0);
	assert_near(o.share[2], 0.0);
	assert_int_equal(*o.n_samples, 3);
	fnx_occupancy_fini(&o);
}

TEST(a_bin_in_a_gap_or_off_the_track_is_not_counted)
{
	struct fnx_occupancy o = occupancy_of((struct fnx_occupancy_config){.initial = 1.0});

	assert_false(fnx_occupancy_add(&o, -1));
	assert_false(fnx_occupancy_add(&o, 6));
	assert_false(fnx_occupancy_add(&o, 2));
	assert_int_equal(*o.n_samples, 0);
	fnx_occupancy_fini(&o);
}

TEST(the_floor_keeps_unvisited_bins_from_a_zero_share)
{
	struct fnx_occupancy o = occupancy_of((struct fnx_occupancy_config){.floor = 0.5});

	for (int i = 0; i < 8; i++)
		assert_true(fnx_occupancy_add(&o, 0));
	assert_near(o.share[0], 8.0 / 9.5);
	assert_near(o.share[1], 0.5 / 9.5);
	assert_near(o.share[2], 0.0);
	assert_near(o.counts[1], 0.0);
	fnx_occupancy_fini(&o);
}

static double distance_cm(const void *context, uint32_t a, uint32_t b)
{
	(void)context;
	return arms[a] < 0 || arms[b] < 0 ? (double)NAN : 5.0 * fabs((double)a - (double)b);
}

TEST(smoothing_spreads_each_sample_over_the_track_and_loses_none)
{
	struct check_random random = check_random_seeded();
	double sum = 0.0, expected[6] = {0};
	struct fnx_smoothing *smoothing;
	struct fnx_occupancy o;

	assert_int_equal(fnx_smoothing_new(6, distance_cm, NULL, 7.0, &smoothing), 0);
	o = occupancy_of((struct fnx_occupancy_config){.smoothing = smoothing});
	for (int i = 0; i < 1000; i++)
		fnx_occupancy_add(&o, (int32_t)check_random_below(&random, 6));
	for (uint32_t from = 0; from < 6; from++) {
		fnx_smoothing_add(smoothing, from, o.counts[from], expected);
		sum += o.counts[from];
	}
	assert_true(fabs(sum - (double)*o.n_samples) < 1e-9);
	for (int i = 0; i < 6; i++)
		assert_true(fabs(o.share[i] - expected[i] / sum) < 1e-12);
	assert_near(o.share[2], 0.0);
	fnx_occupancy_fini(&o);
	fnx_smoothing_free(smoothing);
}

TEST(a_restored_occupancy_is_the_saved_one)
{
	for (int parity = 0; parity < 2; parity++) {
		const struct fnx_occupancy_config config = {.initial = 1.0, .parity = parity};
		struct fnx_occupancy a = occupancy_of(config), b = occupancy_of(config);
		const double bad[6] = {1, 1, NAN, NAN, -1, 1};

		for (int32_t i = 0; i < 20; i++)
			fnx_occupancy_add(&a, i * 7 % 6);
		assert_int_equal(fnx_occupancy_restore(&b, bad, 3), -EINVAL);
		assert_int_equal(fnx_occupancy_restore(&b, a.counts, *a.n_samples), 0);
		for (int i = 0; i < 6; i++)
			assert_true(a.share[i] == b.share[i] ||
				(isnan(a.share[i]) && isnan(b.share[i])));
		assert_int_equal(*b.n_samples, *a.n_samples);
		fnx_occupancy_fini(&a);
		fnx_occupancy_fini(&b);
	}
}

TEST(occupancies_that_cannot_be_are_refused)
{
	struct fnx_occupancy o;
	struct fnx_occupancy_config config = {.n_bins = 0, .bin_arms = arms};

	assert_int_equal(fnx_occupancy_init(&o, &config), -EINVAL);
	config.n_bins = 6;
	config.initial = -1.0;
	assert_int_equal(fnx_occupancy_init(&o, &config), -EINVAL);
	config.initial = NAN;
	assert_int_equal(fnx_occupancy_init(&o, &config), -EINVAL);
}

static int descending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x < y) - (x > y);
}

TEST(credible_intervals_are_those_of_a_full_sort)
{
	struct check_random random = check_random_seeded();
	double values[200], sorted[200], scratch[200];

	for (int round = 0; round < 5000; round++) {
		const uint32_t n = 1 + (uint32_t)check_random_below(&random, 200);
		const double mass = check_random_unit(&random);
		double total = 0.0, sum = 0.0;
		uint32_t expected = n + 1;

		for (uint32_t i = 0; i < n; i++) {
			/* Ties are common in nearly empty distributions. */
			values[i] = (double)check_random_below(&random, 4) *
				pow(check_random_unit(&random), (double)(round % 20));
			total += values[i];
		}
		for (uint32_t i = 0; i < n; i++)
			sorted[i] = values[i] = total > 0.0 ? values[i] / total : 0.0;
		qsort(sorted, n, sizeof(double), descending);
		for (uint32_t i = 0; i < n && expected > n; i++) {
			sum += sorted[i];
			if (sum >= mass)
				expected = i + 1;
		}
		memset(scratch, 0xff, sizeof(scratch));
		assert_int_equal(fnx_credible_bins(values, n, mass, scratch), expected);
	}
}

TEST(half_the_mass_of_33_equal_bins_is_17_bins)
{
	double values[41] = {0}, scratch[41];

	for (int i = 0; i < 33; i++)
		values[i] = 1.0 / 33.0;
	assert_int_equal(fnx_credible_bins(values, 41, 0.5, scratch), 17);
}

TEST(a_bin_that_reaches_the_mass_exactly_is_enough)
{
	const double values[3] = {0.25, 0.5, 0.25};
	double scratch[3];

	assert_int_equal(fnx_credible_bins(values, 3, 0.5, scratch), 1);
	assert_int_equal(fnx_credible_bins(values, 3, 0.75, scratch), 2);
}

TEST(a_distribution_that_falls_short_answers_one_more_than_its_bins)
{
	const double values[3] = {0.1, 0.0, 0.2}, nans[3] = {0.1, NAN, 0.2};
	double scratch[3];

	assert_int_equal(fnx_credible_bins(values, 3, 0.5, scratch), 4);
	assert_int_equal(fnx_credible_bins(nans, 3, 0.5, scratch), 1);
}
