/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/butterworth.h"

#include "tests/support/check.h"
#include "tests/unit/ripple/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* To 1e-9 relative; what SciPy rounds to nearly 0 may be 0. */
static void assert_close(double value, double expected)
{
	if (fabs(value - expected) > 1e-9 * fabs(expected) + 1e-15)
		fail_msg("%.17g, not %.17g", value, expected);
}

TEST(sections_are_those_of_scipy)
{
	FILE *file = table_open("butterworth.txt");
	int n_filters = 0;

	while (table_more(file)) {
		uint32_t order = (uint32_t)table_next(file);
		double low_hz = table_next(file), high_hz = table_next(file);
		double rate_hz = table_next(file);
		struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];

		assert_int_equal(
			fnx_butterworth_band_pass(order, low_hz, high_hz, rate_hz, sections), 0);
		for (uint32_t s = 0; s < order; s++) {
			assert_close(sections[s].b0, table_next(file));
			assert_close(sections[s].b1, table_next(file));
			assert_close(sections[s].b2, table_next(file));
			assert_close(sections[s].a1, table_next(file));
			assert_close(sections[s].a2, table_next(file));
		}
		n_filters++;
	}
	fclose(file);
	assert_true(n_filters >= 6);
}

TEST(gain_phase_and_delay_are_those_of_scipy)
{
	FILE *file = table_open("response.txt");

	while (table_more(file)) {
		uint32_t order = (uint32_t)table_next(file);
		double low_hz = table_next(file), high_hz = table_next(file);
		double rate_hz = table_next(file), frequency_hz = table_next(file);
		struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
		struct fnx_response response;

		assert_int_equal(
			fnx_butterworth_band_pass(order, low_hz, high_hz, rate_hz, sections), 0);
		response = fnx_sections_response(sections, order, rate_hz, frequency_hz);
		assert_close(response.gain, table_next(file));
		/* pi and -pi are one angle. */
		assert_true(
			fabs(remainder(response.phase_rad - table_next(file), 2 * M_PI)) < 1e-9);
		assert_close(response.delay_samples, table_next(file));
	}
	fclose(file);
}

TEST(a_random_band_passes_half_the_power_at_its_edges_and_is_stable)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 2000; i++) {
		uint32_t order = 1 + (uint32_t)check_random_below(&random, 8);
		double rate_hz = 500 + 30000 * check_random_unit(&random);
		double low_hz = rate_hz * (0.01 + 0.4 * check_random_unit(&random));
		double high_hz = low_hz +
			(0.495 * rate_hz - low_hz) * (0.02 + 0.98 * check_random_unit(&random));
		struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
		double edges_hz[2] = {low_hz, high_hz};

		assert_int_equal(
			fnx_butterworth_band_pass(order, low_hz, high_hz, rate_hz, sections), 0);
		for (int e = 0; e < 2; e++) {
			double gain =
				fnx_sections_response(sections, order, rate_hz, edges_hz[e]).gain;

			assert_true(fabs(gain - M_SQRT1_2) < 1e-6);
		}
		for (uint32_t s = 0; s < order; s++) {
			assert_true(fabs(sections[s].a2) < 1);
			assert_true(fabs(sections[s].a1) < 1 + sections[s].a2);
		}
	}
}

/* A band about a quarter of the rate: each pole has a mirror image as near to the unit circle as
 * itself, but for rounding. */
TEST(of_equally_near_pole_pairs_the_higher_frequency_comes_last)
{
	for (uint32_t order = 2; order <= FNX_BUTTERWORTH_ORDER_MAX; order += 2)
		for (double half_hz = 5; half_hz < 200; half_hz += 5) {
			struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];

			assert_int_equal(fnx_butterworth_band_pass(order, 375 - half_hz,
						 375 + half_hz, 1500, sections),
				0);
			for (uint32_t s = 0; s < order; s += 2)
				assert_true(sections[s].a1 < 0 && sections[s + 1].a1 > 0);
		}
}

TEST(where_nothing_passes_there_is_no_delay)
{
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];

	assert_int_equal(fnx_butterworth_band_pass(2, 150, 250, 1500, sections), 0);
	assert_true(fnx_sections_response(sections, 2, 1500, 0).gain == 0);
	assert_true(isnan(fnx_sections_response(sections, 2, 1500, 0).delay_samples));
	assert_true(isnan(fnx_sections_response(sections, 2, 1500, 750).delay_samples));
	assert_true(isnan(fnx_taps_response((double[]){1, -1, 1}, 3, 1500, 250).delay_samples));
}

TEST(a_band_that_cannot_be_is_refused_and_nothing_written)
{
	static const struct {
		uint32_t order;
		double low_hz, high_hz, rate_hz;
	} bad[] = {{0, 150, 250, 1500}, {9, 150, 250, 1500}, {2, 0, 250, 1500}, {2, 250, 150, 1500},
		{2, 150, 150, 1500}, {2, 150, 750, 1500}, {2, -1, 250, 1500},
		{2, (double)NAN, 250, 1500}, {2, 150, (double)NAN, 1500},
		{2, 150, 250, (double)NAN}, {2, 150, 250, (double)INFINITY}};
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX], before[FNX_BUTTERWORTH_ORDER_MAX];

	memset(sections, 0x5a, sizeof(sections));
	memcpy(before, sections, sizeof(sections));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fnx_butterworth_band_pass(bad[i].order, bad[i].low_hz,
					 bad[i].high_hz, bad[i].rate_hz, sections),
			-EINVAL);
	assert_memory_equal(sections, before, sizeof(sections));
}
