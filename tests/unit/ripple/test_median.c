/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/detector.h"

#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
	N_SAMPLES = 100000
};

static struct fnx_detector *new_detector(bool median, uint32_t n_channels)
{
	struct fnx_detector_config config = {
		.n_channels = n_channels, .params = fnx_detector_params_default, .median = median};
	struct fnx_detector *detector;

	assert_int_equal(fnx_detector_new(&config, &detector), 0);
	return detector;
}

static double normal(struct check_random *random)
{
	return sqrt(-2 * log(1 - check_random_unit(random))) *
		cos(2 * M_PI * check_random_unit(random));
}

/* Values as envelopes have them: one-sided, with a long tail. */
static double draw(struct check_random *random, int shape)
{
	switch (shape) {
	case 0:
		return 20 + 3 * normal(random);
	case 1:
		return 5 * hypot(normal(random), normal(random));
	case 2:
		return exp(1 + 0.5 * normal(random));
	default:
		return 1e-3 * check_random_unit(random);
	}
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

TEST(median_and_mad_come_to_those_of_all_values_by_sorting)
{
	static double values[N_SAMPLES];
	struct check_random random = check_random_seeded();
	double worst_median = 0, worst_mad = 0;

	for (int shape = 0; shape < 4; shape++) {
		struct fnx_detector *detector = new_detector(true, 1);
		struct fnx_detector_event events[2 * FNX_DETECTOR_EVENTS_PER_TRACE];
		struct fnx_detector_statistics found;
		double median, mad;

		for (int i = 0; i < N_SAMPLES; i++) {
			values[i] = draw(&random, shape);
			fnx_detector_step(detector, &values[i], NAN, events);
		}
		qsort(values, N_SAMPLES, sizeof(double), compare);
		median = values[N_SAMPLES / 2];
		for (int i = 0; i < N_SAMPLES; i++)
			values[i] = fabs(values[i] - median);
		qsort(values, N_SAMPLES, sizeof(double), compare);
		mad = values[N_SAMPLES / 2];
		found = fnx_detector_statistics(detector, 0);
		worst_median = fmax(worst_median, fabs(found.mean - median) / (1.4826 * mad));
		worst_mad = fmax(worst_mad, fabs(found.deviation / (1.4826 * mad) - 1));
		fnx_detector_free(detector);
	}
	print_message(
		"median off by %.4f deviations, MAD by %.4f of itself\n", worst_median, worst_mad);
	assert_true(worst_median < 0.03);
	assert_true(worst_mad < 0.03);
}

TEST(one_percent_of_artefacts_moves_the_mean_and_hardly_the_median)
{
	struct check_random random = check_random_seeded();
	struct fnx_detector *mean = new_detector(false, 1), *median = new_detector(true, 1);
	struct fnx_detector_event events[2 * FNX_DETECTOR_EVENTS_PER_TRACE];

	for (int i = 0; i < N_SAMPLES; i++) {
		double x = check_random_below(&random, 100) ? draw(&random, 0) : 5000;

		fnx_detector_step(mean, &x, NAN, events);
		fnx_detector_step(median, &x, NAN, events);
	}
	assert_true(fnx_detector_statistics(mean, 0).deviation > 300);
	assert_true(fabs(fnx_detector_statistics(median, 0).mean - 20) < 0.3);
	assert_true(fabs(fnx_detector_statistics(median, 0).deviation - 3) < 0.3);
	fnx_detector_free(mean);
	fnx_detector_free(median);
}

TEST(a_signal_that_stood_still_is_followed_when_it_moves)
{
	struct check_random random = check_random_seeded();
	struct fnx_detector *detector = new_detector(true, 1);
	struct fnx_detector_event events[2 * FNX_DETECTOR_EVENTS_PER_TRACE];
	double x = 7;

	for (int i = 0; i < 500; i++)
		fnx_detector_step(detector, &x, 0, events);
	assert_true(fnx_detector_statistics(detector, 0).deviation == 0);
	for (int i = 0; i < N_SAMPLES; i++) {
		x = draw(&random, 0);
		fnx_detector_step(detector, &x, NAN, events);
	}
	assert_true(fabs(fnx_detector_statistics(detector, 0).mean - 20) < 1.5);
	assert_true(isfinite(fnx_detector_statistics(detector, 0).deviation));
	fnx_detector_free(detector);
}

TEST(values_that_are_not_finite_change_nothing)
{
	struct check_random random = check_random_seeded();
	struct fnx_detector *with = new_detector(true, 1), *without = new_detector(true, 1);
	struct fnx_detector_event events[2 * FNX_DETECTOR_EVENTS_PER_TRACE];

	for (int i = 0; i < 1000; i++) {
		double x = draw(&random, 1), bad = i % 2 ? (double)NAN : (double)INFINITY;

		fnx_detector_step(with, &x, NAN, events);
		fnx_detector_step(without, &x, NAN, events);
		fnx_detector_step(with, &bad, NAN, events);
	}
	assert_true(
		fnx_detector_statistics(with, 0).mean == fnx_detector_statistics(without, 0).mean);
	assert_true(fnx_detector_statistics(with, 0).deviation ==
		fnx_detector_statistics(without, 0).deviation);
	fnx_detector_free(with);
	fnx_detector_free(without);
}

TEST(channels_do_not_know_of_each_other)
{
	enum {
		N = 37
	};
	struct check_random random = check_random_seeded();
	struct fnx_detector *many = new_detector(true, N), *one = new_detector(true, 1);
	struct fnx_detector_event events[(N + 1) * FNX_DETECTOR_EVENTS_PER_TRACE];
	double x[N];

	for (int i = 0; i < 2000; i++) {
		for (int c = 0; c < N; c++)
			x[c] = draw(&random, c % 4);
		fnx_detector_step(many, x, NAN, events);
		fnx_detector_step(one, &x[21], NAN, events);
	}
	assert_true(fnx_detector_statistics(many, 21).mean == fnx_detector_statistics(one, 0).mean);
	fnx_detector_free(many);
	fnx_detector_free(one);
}

TEST(seeds_are_median_and_deviation)
{
	struct fnx_detector *detector = new_detector(true, 1);
	const double median[2] = {12, 13}, deviation[2] = {3, 4};
	struct fnx_detector_event events[2 * FNX_DETECTOR_EVENTS_PER_TRACE];
	double x = 1e6;

	assert_int_equal(fnx_detector_seed(detector, median, deviation, 1000000), 0);
	fnx_detector_step(detector, &x, NAN, events);
	assert_true(fabs(fnx_detector_statistics(detector, 0).mean - 12) < 1e-4);
	assert_true(fabs(fnx_detector_statistics(detector, 0).deviation - 3) < 1e-4);
	fnx_detector_free(detector);
}

TEST(parity_knows_no_median)
{
	struct fnx_detector_config config = {.n_channels = 1,
		.parity = true,
		.median = true,
		.params = fnx_detector_params_default};
	struct fnx_detector *detector;

	assert_int_equal(fnx_detector_new(&config, &detector), -EINVAL);
}
