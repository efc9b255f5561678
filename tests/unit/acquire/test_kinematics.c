/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/kinematics.h"

#include <errno.h>
#include <math.h>

#include "tests/support/check.h"
#include "tests/support/npy.h"

enum {
	PERIOD = 1000
}; /* samples of the clock per position sample */

static const double LOST = (double)NAN;

static struct fnx_kinematics_config ordinary_config(void)
{
	return (struct fnx_kinematics_config){
		.taps = {0.31, 0.29, 0.25, 0.15},
		.n_taps = 4,
		.scale = 0.5,
		.rate_hz = 30.0,
		.clock_hz = 30000.0,
		.smooth_x = true,
		.smooth_y = true,
	};
}

static struct fnx_kinematics new_kinematics(const struct fnx_kinematics_config *config)
{
	struct fnx_kinematics kinematics;

	assert_int_equal(fnx_kinematics_init(&kinematics, config), 0);
	return kinematics;
}

/* One sample with both LEDs at the same place. */
static struct fnx_kinematics_out step(
	struct fnx_kinematics *kinematics, int64_t time, double x, double y)
{
	struct fnx_kinematics_out out;

	fnx_kinematics_step(kinematics, time, x, y, x, y, &out);
	return out;
}

static void assert_near(double value, double expected)
{
	if (!(fabs(value - expected) <= 1e-9 * fmax(1.0, fabs(expected))))
		fail_msg("%.12g instead of %.12g", value, expected);
}

/* The speeds of a reference session, recomputed in parity mode. */
static void compare_session(const char *dir)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_npy times, leds, speeds;
	struct fnx_kinematics kinematics;

	config.parity = true;
	config.scale = 0.2644;
	kinematics = new_kinematics(&config);
	assert_int_equal(fnx_npy_open_in(dir, "in_pos_t", &times), 0);
	assert_int_equal(fnx_npy_open_in(dir, "in_pos_xy", &leds), 0);
	assert_int_equal(fnx_npy_open_in(dir, "out_vel", &speeds), 0);
	assert_true(speeds.n_items >= 240);
	assert_int_equal(leds.n_items, speeds.n_items * 4);
	for (size_t i = 0; i < speeds.n_items; i++) {
		struct fnx_kinematics_out out;

		fnx_kinematics_step(&kinematics, (int64_t)fnx_npy_double(&times, i),
			fnx_npy_double(&leds, i * 4), fnx_npy_double(&leds, i * 4 + 1),
			fnx_npy_double(&leds, i * 4 + 2), fnx_npy_double(&leds, i * 4 + 3), &out);
		assert_near(out.speed, fnx_npy_double(&speeds, i));
	}
	fnx_npy_close(&times);
	fnx_npy_close(&leds);
	fnx_npy_close(&speeds);
}

TEST(in_parity_the_speeds_of_the_reference_sessions_come_out)
{
	const char *sessions[] = {"vectors/dec", "vectors/cls"};

	for (size_t i = 0; i < 2; i++) {
		const char *dir = check_data(sessions[i]);

		if (dir)
			compare_session(dir);
		else
			print_message("%s is not here\n", sessions[i]);
	}
}

TEST(in_parity_the_speeds_of_the_kept_seconds_of_one_come_out)
{
	compare_session(FNX_SOURCE_DIR "/tests/data/acquire");
}

TEST(in_parity_the_first_sample_is_raw_and_the_filter_starts_from_zeros)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics;
	struct fnx_kinematics_out out;

	config.parity = true;
	kinematics = new_kinematics(&config);
	fnx_kinematics_step(&kinematics, 0, 90.0, 200.0, 110.0, 200.0, &out);
	assert_near(out.x, 100.0);
	assert_near(out.y, 200.0);
	assert_near(out.speed, 0.0);
	out = step(&kinematics, PERIOD, 100.0, 200.0);
	assert_near(out.x, 0.31 * 50.0);
	assert_near(out.y, 0.31 * 100.0);
	assert_near(out.speed, hypot(0.31 * 50.0 - 100.0, 0.31 * 100.0 - 200.0) * 30.0);
}

TEST(in_parity_a_coordinate_that_is_not_smoothed_is_not_scaled)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics;
	struct fnx_kinematics_out out;

	config.parity = true;
	config.smooth_y = false;
	kinematics = new_kinematics(&config);
	for (int i = 0; i < 10; i++)
		out = step(&kinematics, i * PERIOD, 100.0, 200.0);
	assert_near(out.x, 50.0);
	assert_near(out.y, 200.0);
	assert_near(out.speed, 0.0);
}

TEST(in_parity_every_sample_counts_as_one_period)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics;

	config.parity = true;
	config.smooth_x = false;
	config.smooth_y = false;
	kinematics = new_kinematics(&config);
	step(&kinematics, 0, 0.0, 0.0);
	assert_near(step(&kinematics, 7 * PERIOD, 3.0, 4.0).speed, 150.0);
}

TEST(an_animal_at_rest_stands_where_the_camera_sees_it_from_the_first_sample_on)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);

	for (int i = 0; i < 10; i++) {
		struct fnx_kinematics_out out = step(&kinematics, i * PERIOD, 100.0, 200.0);

		assert_near(out.x, 50.0);
		assert_near(out.y, 100.0);
		assert_near(out.speed, 0.0);
		assert_true(out.tracked);
	}
}

TEST(an_even_walk_has_an_even_speed)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);

	for (int i = 0; i < 20; i++) {
		struct fnx_kinematics_out out = step(&kinematics, i * PERIOD, 2.0 * i, 0.0);

		if (i >= 4)
			assert_near(out.speed, 30.0);
	}
}

TEST(unsmoothed_coordinates_are_scaled_all_the_same)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics;
	struct fnx_kinematics_out out;

	config.smooth_x = false;
	config.smooth_y = false;
	kinematics = new_kinematics(&config);
	step(&kinematics, 0, 0.0, 0.0);
	out = step(&kinematics, PERIOD, 6.0, 8.0);
	assert_near(out.x, 3.0);
	assert_near(out.y, 4.0);
	assert_near(out.speed, 150.0);
}

TEST(lost_samples_hold_position_and_speed_and_say_so)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);
	struct fnx_kinematics_out before, out;

	for (int i = 0; i < 10; i++)
		before = step(&kinematics, i * PERIOD, 2.0 * i, 0.0);
	for (int i = 10; i < 100; i++) {
		out = step(&kinematics, i * PERIOD, LOST, i % 2 ? LOST : 0.0);
		assert_false(out.tracked);
		assert_true(out.x == before.x && out.y == before.y);
		assert_true(out.speed == before.speed);
	}
}

TEST(nothing_seen_yet_is_not_tracked_and_not_nan)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);
	struct fnx_kinematics_out out = step(&kinematics, 0, LOST, LOST);

	assert_false(out.tracked);
	assert_near(out.x, 0.0);
	assert_near(out.speed, 0.0);
	out = step(&kinematics, PERIOD, 100.0, 200.0);
	assert_true(out.tracked);
	assert_near(out.x, 50.0);
	assert_near(out.speed, 0.0);
}

TEST(an_even_walk_through_any_losses_ends_where_it_would_have_without_them)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 200; round++) {
		struct fnx_kinematics_config config = ordinary_config();
		struct fnx_kinematics kinematics, unbroken;
		struct fnx_kinematics_out out = {0}, expected = {0};
		uint64_t odds = 1 + check_random_below(&random, 10);

		config.n_taps = 1 + (uint32_t)check_random_below(&random, FNX_KINEMATICS_TAPS_MAX);
		for (uint32_t i = 0; i < config.n_taps; i++)
			config.taps[i] = 1.0 / config.n_taps;
		kinematics = new_kinematics(&config);
		unbroken = new_kinematics(&config);
		for (int i = 0; i < 300; i++) {
			double x = 3.0 * i, y = -4.0 * i;
			bool lost = i > 0 && i < 299 && check_random_below(&random, odds) != 0;

			expected = step(&unbroken, i * PERIOD, x, y);
			out = step(&kinematics, i * PERIOD, lost ? LOST : x, lost ? LOST : y);
			assert_int_equal(out.tracked, !lost);
			if (i >= 2 * FNX_KINEMATICS_TAPS_MAX && !lost)
				assert_near(out.x, expected.x);
		}
		assert_near(out.x, expected.x);
		assert_near(out.y, expected.y);
		assert_near(out.speed, 75.0);
	}
}

TEST(a_sample_that_never_came_counts_by_the_time_that_has_passed)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);

	for (int i = 0; i < 10; i++)
		step(&kinematics, i * PERIOD, 2.0 * i, 0.0);
	assert_near(step(&kinematics, 11 * PERIOD, 22.0, 0.0).speed, 30.0);
	assert_near(step(&kinematics, 14 * PERIOD, 28.0, 0.0).speed, 30.0);
}

TEST(an_animal_carried_away_unseen_has_the_speed_of_the_way_over_the_time)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);
	struct fnx_kinematics_out out;

	for (int i = 0; i < 10; i++)
		step(&kinematics, i * PERIOD, 100.0, 0.0);
	out = step(&kinematics, (9 + 30 * 60) * PERIOD, 700.0, 0.0);
	assert_true(out.speed > 4.9 && out.speed < 5.1);
	assert_true(fabs(out.x - 350.0) < 1.0);
}

TEST(with_one_led_lost_the_middle_stays_where_it_was_from_the_other)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);
	struct fnx_kinematics_out out;

	fnx_kinematics_step(&kinematics, 0, 104.0, 200.0, 96.0, 200.0, &out);
	assert_near(out.x, 50.0);
	fnx_kinematics_step(&kinematics, PERIOD, 104.0, 200.0, LOST, LOST, &out);
	assert_true(out.tracked);
	assert_near(out.x, 50.0);
	assert_near(out.speed, 0.0);
	fnx_kinematics_step(&kinematics, 2 * PERIOD, LOST, 200.0, 96.0, 200.0, &out);
	assert_true(out.tracked);
	assert_near(out.x, 50.0);
	assert_near(out.speed, 0.0);
}

TEST(a_sample_seen_twice_changes_nothing)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);
	struct fnx_kinematics_out first, second;

	step(&kinematics, 0, 0.0, 0.0);
	first = step(&kinematics, PERIOD, 10.0, 0.0);
	second = step(&kinematics, PERIOD, 20.0, 0.0);
	assert_true(first.x == second.x && first.speed == second.speed);
}

TEST(time_that_runs_backwards_begins_anew)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics = new_kinematics(&config);
	struct fnx_kinematics_out out;

	step(&kinematics, 100 * PERIOD, 0.0, 0.0);
	out = step(&kinematics, 0, 100.0, 100.0);
	assert_near(out.x, 50.0);
	assert_near(out.speed, 0.0);
	out = step(&kinematics, INT64_MAX, 100.0, 100.0);
	assert_near(out.speed, 0.0);
	out = step(&kinematics, INT64_MIN, 100.0, 100.0);
	assert_near(out.speed, 0.0);
}

TEST(no_input_yields_nan_or_infinity)
{
	struct check_random random = check_random_seeded();
	const double values[] = {LOST, (double)INFINITY, 1e308, -1e308, 0.0, 1e-308, 100.0, -5e8};
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics;
	int64_t time = 0;

	config.smooth_speed = true;
	kinematics = new_kinematics(&config);
	for (int i = 0; i < 10000; i++) {
		struct fnx_kinematics_out out;
		double v[4];

		for (int k = 0; k < 4; k++)
			v[k] = values[check_random_below(&random, 8)];
		time += (int64_t)check_random_below(&random, 5000);
		fnx_kinematics_step(&kinematics, time, v[0], v[1], v[2], v[3], &out);
		assert_true(isfinite(out.x) && isfinite(out.y) && isfinite(out.speed));
	}
}

TEST(smoothed_speed_goes_through_the_same_taps)
{
	struct fnx_kinematics_config config = ordinary_config();
	struct fnx_kinematics kinematics;

	config.smooth_x = false;
	config.smooth_y = false;
	config.smooth_speed = true;
	kinematics = new_kinematics(&config);
	step(&kinematics, 0, 0.0, 0.0);
	assert_near(step(&kinematics, PERIOD, 2.0, 0.0).speed, 0.31 * 30.0);
	assert_near(step(&kinematics, 2 * PERIOD, 2.0, 0.0).speed, 0.29 * 30.0);
	assert_near(step(&kinematics, 3 * PERIOD, 4.0, 0.0).speed, (0.31 + 0.25) * 30.0);
}

TEST(broken_configurations_are_refused)
{
	struct fnx_kinematics kinematics;
	struct fnx_kinematics_config config;

	config = ordinary_config(), config.n_taps = 0;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
	config = ordinary_config(), config.n_taps = FNX_KINEMATICS_TAPS_MAX + 1;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
	config = ordinary_config(), config.taps[1] = LOST;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
	config = ordinary_config(), config.taps[0] = 0.5;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
	config.parity = true;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), 0);
	config = ordinary_config(), config.scale = 0.0;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
	config = ordinary_config(), config.rate_hz = LOST;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
	config = ordinary_config(), config.clock_hz = -1.0;
	assert_int_equal(fnx_kinematics_init(&kinematics, &config), -EINVAL);
}
