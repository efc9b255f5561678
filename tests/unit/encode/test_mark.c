/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/mark.h"

enum {
	MAX_POINTS = 64
};

static const double SCALE = 0.195;

/* The definition, written without regard to cost. */
static int naive_mark(const struct fnx_mark_config *config, const float *waveform, uint32_t stride,
	uint32_t n_points, double scale, double *ret_mark)
{
	static double uv[FNX_MARK_DIMS_MAX][MAX_POINTS];
	const int n = (int)config->n_channels, distance = (int)config->neighbours;
	int peak_channel = 0, peak_at[FNX_MARK_DIMS_MAX], centre = 0;
	double largest;

	for (int c = 0; c < n; c++) {
		peak_at[c] = 0;
		for (int t = 0; t < (int)n_points; t++) {
			uv[c][t] = (double)waveform[(uint32_t)c * stride + (uint32_t)t] * scale;
			if (config->dead_channels & (1u << c))
				uv[c][t] = 0.0;
			if (uv[c][t] > uv[c][peak_at[c]])
				peak_at[c] = t;
		}
		if (uv[c][peak_at[c]] > uv[peak_channel][peak_at[peak_channel]])
			peak_channel = c;
	}
	for (int c = 0; c < n; c++) {
		ret_mark[c] = uv[c][peak_at[peak_channel]];
		if (fabs(ret_mark[c]) > fabs(ret_mark[centre]))
			centre = c;
	}
	largest = -INFINITY;
	for (int c = 0; c < n; c++) {
		if (n > 2 * distance + 1 && abs(c - centre) > distance)
			ret_mark[c] = 0.0;
		largest = fmax(largest, ret_mark[c]);
	}
	return largest > config->amplitude_uv ? FNX_MARK_ACCEPTED : FNX_MARK_BELOW;
}

TEST(random_waveforms_give_the_marks_of_the_definition)
{
	struct check_random random = check_random_seeded();
	float waveform[FNX_MARK_DIMS_MAX * (MAX_POINTS + 7)];

	for (int round = 0; round < 5000; round++) {
		const struct fnx_mark_config config = {
			.n_channels = 1 + (uint32_t)check_random_below(&random, FNX_MARK_DIMS_MAX),
			.neighbours = (uint32_t)check_random_below(&random, 6),
			.dead_channels = check_random_below(&random, 2)
				? (uint32_t)check_random_u64(&random) &
					(uint32_t)check_random_u64(&random)
				: 0,
			.amplitude_uv = 60.0,
		};
		const uint32_t n_points = 1 + (uint32_t)check_random_below(&random, MAX_POINTS);
		const uint32_t stride = n_points + (uint32_t)check_random_below(&random, 8);
		const double scale = check_random_below(&random, 8) ? SCALE : -SCALE;
		/* A small range makes ties common. */
		const uint64_t range = 1 + check_random_below(&random, 1200);
		double expected[FNX_MARK_DIMS_MAX], mark[FNX_MARK_DIMS_MAX];
		int answer;

		for (size_t i = 0; i < sizeof(waveform) / sizeof(waveform[0]); i++)
			waveform[i] =
				(float)((int)check_random_below(&random, range) - (int)(range / 2));
		answer = naive_mark(&config, waveform, stride, n_points, scale, expected);
		assert_int_equal(
			fnx_mark_from_waveform(&config, waveform, stride, n_points, scale, mark),
			answer);
		if (answer == FNX_MARK_ACCEPTED)
			assert_memory_equal(mark, expected, config.n_channels * sizeof(double));
	}
}

TEST(the_mark_is_taken_where_the_highest_channel_peaks)
{
	const struct fnx_mark_config config = {.n_channels = 3, .neighbours = 2};
	const float waveform[3][4] = {{9, 1, 2, 3}, {0, 5, 40, 0}, {8, 7, -6, 5}};
	double mark[3];

	assert_int_equal(
		fnx_mark_from_waveform(&config, waveform[0], 4, 4, 2.0, mark), FNX_MARK_ACCEPTED);
	assert_true(mark[0] == 4.0 && mark[1] == 80.0 && mark[2] == -12.0);
}

TEST(a_dead_channel_neither_peaks_nor_counts)
{
	const struct fnx_mark_config config = {
		.n_channels = 2, .neighbours = 2, .dead_channels = 1u << 0};
	const float waveform[2][3] = {{900, 900, INFINITY}, {1, 2, 1}};
	double mark[2];

	assert_int_equal(
		fnx_mark_from_waveform(&config, waveform[0], 3, 3, 1.0, mark), FNX_MARK_ACCEPTED);
	assert_true(mark[0] == 0.0 && mark[1] == 2.0);
}

TEST(only_channels_near_the_largest_keep_their_value_when_there_are_more_than_2d_plus_1)
{
	struct fnx_mark_config config = {.n_channels = 4, .neighbours = 1};
	const float waveform[4] = {50, 100, 40, 30};
	double mark[4];

	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 1, 1, 1.0, mark), 0);
	assert_true(mark[0] == 50.0 && mark[1] == 100.0 && mark[2] == 40.0 && mark[3] == 0.0);
	config.n_channels = 3;
	config.neighbours = 1;
	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 1, 1, 1.0, mark), 0);
	assert_true(mark[0] == 50.0 && mark[1] == 100.0 && mark[2] == 40.0);
}

TEST(largest_means_in_absolute_value_when_neighbours_are_chosen)
{
	const struct fnx_mark_config config = {.n_channels = 4, .neighbours = 1};
	const float waveform[4] = {100, 0, 70, -300};
	double mark[4];

	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 1, 1, 1.0, mark), 0);
	assert_true(mark[0] == 0.0 && mark[1] == 0.0 && mark[2] == 70.0 && mark[3] == -300.0);
}

TEST(a_mark_at_the_threshold_is_below_it)
{
	const struct fnx_mark_config config = {
		.n_channels = 1, .neighbours = 2, .amplitude_uv = 60.0};
	const float at = 60.0f, above = 60.5f;
	double mark = -1.0;

	assert_int_equal(fnx_mark_from_waveform(&config, &at, 1, 1, 1.0, &mark), FNX_MARK_BELOW);
	assert_true(mark == -1.0);
	assert_int_equal(
		fnx_mark_from_waveform(&config, &above, 1, 1, 1.0, &mark), FNX_MARK_ACCEPTED);
	assert_true(mark == 60.5);
}

TEST(infinity_and_nan_at_the_peak_are_broken_and_elsewhere_harmless)
{
	const struct fnx_mark_config config = {.n_channels = 2, .neighbours = 2};
	const float infinite[2][2] = {{1, INFINITY}, {1, 1}};
	const float beside[2][2] = {{1, 9}, {1, -INFINITY}};
	const float nan_all[2][2] = {{NAN, NAN}, {NAN, NAN}};
	const float nan_away[2][2] = {{NAN, 9}, {1, 1}};
	double mark[2] = {-1.0, -1.0};

	assert_int_equal(
		fnx_mark_from_waveform(&config, infinite[0], 2, 2, 1.0, mark), FNX_MARK_BROKEN);
	assert_int_equal(
		fnx_mark_from_waveform(&config, beside[0], 2, 2, 1.0, mark), FNX_MARK_BROKEN);
	assert_int_equal(
		fnx_mark_from_waveform(&config, nan_all[0], 2, 2, 1.0, mark), FNX_MARK_BROKEN);
	assert_true(mark[0] == -1.0 && mark[1] == -1.0);
	assert_int_equal(
		fnx_mark_from_waveform(&config, nan_away[0], 2, 2, 1.0, mark), FNX_MARK_ACCEPTED);
	assert_true(mark[0] == 9.0 && mark[1] == 1.0);
}

TEST(shapes_that_cannot_be_are_refused)
{
	const float waveform[40] = {0};
	double mark[FNX_MARK_DIMS_MAX];
	struct fnx_mark_config config = {.n_channels = 0};

	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 1, 1, 1.0, mark), -EINVAL);
	config.n_channels = FNX_MARK_DIMS_MAX + 1;
	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 1, 1, 1.0, mark), -EINVAL);
	config.n_channels = 1;
	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 1, 0, 1.0, mark), -EINVAL);
	assert_int_equal(fnx_mark_from_waveform(&config, waveform, 3, 4, 1.0, mark), -EINVAL);
}
