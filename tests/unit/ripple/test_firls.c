/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/firls.h"
#include "nodes/ripple/response.h"

#include "tests/support/check.h"
#include "tests/unit/ripple/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
	BANDS_MAX = 8
};

static void read_bands(FILE *file, struct fnx_firls_band *bands, uint32_t n_bands)
{
	for (uint32_t i = 0; i < n_bands; i++) {
		bands[i].low_hz = table_next(file);
		bands[i].high_hz = table_next(file);
		bands[i].gain_low = table_next(file);
		bands[i].gain_high = table_next(file);
		bands[i].weight = table_next(file);
	}
}

TEST(taps_are_those_of_scipy)
{
	FILE *file = table_open("firls.txt");
	int n_filters = 0;

	while (table_more(file)) {
		uint32_t n_taps = (uint32_t)table_next(file);
		uint32_t n_bands = (uint32_t)table_next(file);
		double rate_hz = table_next(file), largest = 0;
		double taps[FNX_FIRLS_TAPS_MAX], expected[FNX_FIRLS_TAPS_MAX];
		struct fnx_firls_band bands[BANDS_MAX];

		assert_true(n_bands <= BANDS_MAX && n_taps <= FNX_FIRLS_TAPS_MAX);
		read_bands(file, bands, n_bands);
		assert_int_equal(fnx_firls(n_taps, bands, n_bands, rate_hz, taps), 0);
		for (uint32_t i = 0; i < n_taps; i++) {
			expected[i] = table_next(file);
			largest = fmax(largest, fabs(expected[i]));
		}
		for (uint32_t i = 0; i < n_taps; i++)
			if (fabs(taps[i] - expected[i]) > 1e-9 * largest)
				fail_msg("filter %d, tap %u: %.17g, not %.17g", n_filters, i,
					taps[i], expected[i]);
		n_filters++;
	}
	fclose(file);
	assert_true(n_filters >= 6);
}

/* The weighted squared error, by summing over a fine grid. */
static double squared_error(const double *taps, uint32_t n_taps, const struct fnx_firls_band *bands,
	uint32_t n_bands, double rate_hz)
{
	enum {
		N_GRID = 400
	};
	uint32_t middle = n_taps / 2;
	double sum = 0;

	for (uint32_t b = 0; b < n_bands; b++)
		for (int i = 0; i < N_GRID; i++) {
			double share = (i + 0.5) / N_GRID,
			       width_hz = bands[b].high_hz - bands[b].low_hz;
			double hz = bands[b].low_hz + share * width_hz;
			double gain = bands[b].gain_low +
				share * (bands[b].gain_high - bands[b].gain_low);
			double amplitude = taps[middle];

			for (uint32_t k = 1; k <= middle; k++)
				amplitude +=
					2 * taps[middle + k] * cos(2 * M_PI * k * hz / rate_hz);
			sum += bands[b].weight * width_hz / N_GRID * (amplitude - gain) *
				(amplitude - gain);
		}
	return sum;
}

TEST(no_change_of_random_taps_lowers_the_error)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 60; i++) {
		uint32_t n_taps = 1 + 2 * (uint32_t)check_random_below(&random, 16);
		uint32_t n_bands = 1 + (uint32_t)check_random_below(&random, 4);
		struct fnx_firls_band bands[BANDS_MAX];
		double taps[64], least, hz = 0, step_hz = 500.0 / (2 * n_bands);

		for (uint32_t b = 0; b < n_bands; b++) {
			double gap_hz = 0.2 * step_hz * check_random_unit(&random);

			bands[b] = (struct fnx_firls_band){hz + gap_hz,
				hz + 2 * step_hz - 0.2 * step_hz * check_random_unit(&random),
				check_random_unit(&random), check_random_unit(&random),
				0.1 + check_random_unit(&random)};
			hz += 2 * step_hz;
		}
		assert_int_equal(fnx_firls(n_taps, bands, n_bands, 1000, taps), 0);
		least = squared_error(taps, n_taps, bands, n_bands, 1000);
		for (int change = 0; change < 10; change++) {
			uint32_t k = (uint32_t)check_random_below(&random, n_taps / 2 + 1);
			double by = 0.05 * (check_random_unit(&random) - 0.5);

			taps[n_taps / 2 + k] += by;
			if (k > 0)
				taps[n_taps / 2 - k] += by;
			assert_true(squared_error(taps, n_taps, bands, n_bands, 1000) >=
				least - 1e-3 * fabs(by));
			taps[n_taps / 2 + k] -= by;
			if (k > 0)
				taps[n_taps / 2 - k] -= by;
		}
	}
}

/* A gap of 100 Hz leaves a 255-tap filter undetermined by far. */
TEST(taps_that_the_bands_leave_open_stay_small)
{
	double taps[255];

	assert_int_equal(fnx_firls_low_pass(255, 100, 200, 1500, taps), 0);
	for (uint32_t i = 0; i < 255; i++)
		assert_true(fabs(taps[i]) < 1);
	for (double hz = 0; hz <= 100; hz += 5)
		assert_true(fabs(fnx_taps_response(taps, 255, 1500, hz).gain - 1) < 1e-6);
	for (double hz = 200; hz <= 750; hz += 5)
		assert_true(fnx_taps_response(taps, 255, 1500, hz).gain < 1e-6);
}

/* So does a ramp that so narrow a band cannot hold, and that only taps beyond all use would follow.
 */
TEST(taps_do_not_chase_what_rounding_hides)
{
	struct fnx_firls_band band = {0, 20, 0, 1, 1};
	double taps[101];

	assert_int_equal(fnx_firls(101, &band, 1, 1500, taps), 0);
	for (uint32_t i = 0; i < 101; i++)
		assert_true(fabs(taps[i]) < 1e6);
}

TEST(a_band_of_no_weight_does_not_matter)
{
	struct fnx_firls_band bands[3] = {{0, 50, 1, 1, 1}, {50, 55, 7, 3, 0}, {55, 750, 0, 0, 1}};
	double with[15], without[15];

	assert_int_equal(fnx_firls(15, bands, 3, 1500, with), 0);
	assert_int_equal(fnx_firls_low_pass(15, 50, 55, 1500, without), 0);
	for (int i = 0; i < 15; i++)
		assert_true(fabs(with[i] - without[i]) < 1e-12);
}

TEST(a_linear_phase_filter_delays_every_frequency_alike)
{
	double taps[31];

	assert_int_equal(fnx_firls_band_pass(31, 150, 250, 30, 1500, taps), 0);
	for (int i = 0; i < 31; i++)
		assert_true(taps[i] == taps[30 - i]);
	for (double hz = 150; hz <= 250; hz += 10)
		assert_true(fabs(fnx_taps_response(taps, 31, 1500, hz).delay_samples - 15) < 1e-9);
	assert_true(fnx_taps_response(taps, 31, 1500, 200).gain > 0.9);
	assert_true(fnx_taps_response(taps, 31, 1500, 20).gain < 0.1);
}

TEST(bands_that_cannot_be_are_refused_and_nothing_written)
{
	static const struct fnx_firls_band bad[][2] = {
		{{-1, 50, 1, 1, 1}, {55, 750, 0, 0, 1}},
		{{0, 60, 1, 1, 1}, {55, 750, 0, 0, 1}},
		{{0, 50, 1, 1, 1}, {55, 751, 0, 0, 1}},
		{{0, 50, 1, 1, 1}, {55, 55, 0, 0, 1}},
		{{50, 0, 1, 1, 1}, {55, 750, 0, 0, 1}},
		{{0, 50, -1, 1, 1}, {55, 750, 0, 0, 1}},
		{{0, 50, 1, 1, -1}, {55, 750, 0, 0, 1}},
		{{0, 50, 1, (double)INFINITY, 1}, {55, 750, 0, 0, 1}},
		{{0, (double)NAN, 1, 1, 1}, {55, 750, 0, 0, 1}},
	};
	double taps[16], before[16];

	memset(taps, 0x5a, sizeof(taps));
	memcpy(before, taps, sizeof(taps));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fnx_firls(15, bad[i], 2, 1500, taps), -EINVAL);
	assert_int_equal(fnx_firls_low_pass(14, 50, 55, 1500, taps), -EINVAL);
	assert_int_equal(fnx_firls_low_pass(0, 50, 55, 1500, taps), -EINVAL);
	assert_int_equal(fnx_firls_low_pass(FNX_FIRLS_TAPS_MAX + 2, 50, 55, 1500, taps), -EINVAL);
	assert_int_equal(fnx_firls(15, bad[0], 0, 1500, taps), -EINVAL);
	assert_int_equal(fnx_firls_low_pass(15, 50, 55, (double)NAN, taps), -EINVAL);
	assert_memory_equal(taps, before, sizeof(taps));
}
