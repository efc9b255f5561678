/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/host/track.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/npy.h"
#include "tests/support/tracks.h"

static struct fnx_track *new_track(const struct fnx_track_config *config)
{
	struct fnx_track *track = NULL;
	const char *reason = NULL;

	if (fnx_track_new(config, &track, &reason) < 0)
		fail_msg("%s", reason ? reason : "no memory");
	return track;
}

static void assert_refused(const struct fnx_track_config *config, const char *word)
{
	struct fnx_track *track = NULL;
	const char *reason = NULL;

	assert_int_equal(fnx_track_new(config, &track, &reason), -EINVAL);
	assert_null(track);
	assert_non_null(reason);
	if (!strstr(reason, word))
		fail_msg("reason \"%s\" does not say \"%s\"", reason, word);
}

static void assert_cm(double value, double expected)
{
	if (!(fabs(value - expected) < 1e-9))
		fail_msg("%.12g cm instead of %.12g", value, expected);
}

TEST(bins_between_arms_belong_to_no_arm)
{
	struct fnx_track *track = new_track(&FORK);
	const int32_t *arms = fnx_track_bin_arms(track);

	assert_int_equal(fnx_track_bins(track), 41);
	assert_int_equal(fnx_track_arms(track), 3);
	for (int32_t i = 0; i < 41; i++)
		assert_int_equal(arms[i], i <= 8 ? 0 : i < 13 ? -1 : i <= 24 ? 1 : i < 29 ? -1 : 2);
	fnx_track_free(track);
}

TEST(position_on_a_segment_falls_into_equal_bins_the_last_one_closed)
{
	struct fnx_track *track = new_track(&FORK);

	assert_int_equal(fnx_track_from_segment(track, 0, 0.0).bin, 0);
	assert_int_equal(fnx_track_from_segment(track, 0, 1.0 / 9).bin, 1);
	assert_int_equal(fnx_track_from_segment(track, 0, nextafter(1.0 / 9, 0.0)).bin, 0);
	assert_int_equal(fnx_track_from_segment(track, 1, 0.0).bin, 13);
	assert_int_equal(fnx_track_from_segment(track, 1, 0.5).bin, 19);
	assert_int_equal(fnx_track_from_segment(track, 1, 1.0).bin, 24);
	assert_int_equal(fnx_track_from_segment(track, 2, 0.999).bin, 40);
	assert_int_equal(fnx_track_from_segment(track, 2, 0.999).arm, 2);
	assert_cm(fnx_track_from_segment(track, 2, 0.25).along, 0.25);
	fnx_track_free(track);
}

TEST(every_position_on_a_segment_lies_between_the_linspace_edges_of_its_bin)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 200; round++) {
		uint32_t n = 1 + (uint32_t)check_random_below(&random, FNX_TRACK_BINS_MAX);
		struct fnx_track_config config = {
			.bin_cm = 1.0, .n_arms = 1, .arms = {{.last_bin = n - 1}}};
		struct fnx_track *track = new_track(&config);
		const double step = 1.0 / n;

		for (int i = 0; i < 200; i++) {
			uint64_t k = check_random_below(&random, n);
			double along = i % 2 ? check_random_unit(&random) : (double)k * step;
			int32_t bin = fnx_track_from_segment(track, 0, along).bin;

			assert_in_range(bin, 0, n - 1);
			assert_true(bin * step <= along);
			assert_true(bin + 1 == (int32_t)n || along < (bin + 1) * step);
		}
		fnx_track_free(track);
	}
}

TEST(positions_beyond_a_segment_are_taken_for_its_ends)
{
	struct fnx_track *track = new_track(&FORK);

	assert_int_equal(fnx_track_from_segment(track, 1, -0.001).bin, 13);
	assert_int_equal(fnx_track_from_segment(track, 1, 1.5).bin, 24);
	assert_cm(fnx_track_from_segment(track, 1, 1.5).along, 1.0);
	assert_int_equal(fnx_track_from_segment(track, 1, 1e300).bin, 24);
	fnx_track_free(track);
}

TEST(unknown_segments_and_lost_positions_are_off_the_track)
{
	struct fnx_track *track = new_track(&FORK);

	assert_int_equal(fnx_track_from_segment(track, -1, 0.5).bin, -1);
	assert_int_equal(fnx_track_from_segment(track, 3, 0.5).bin, -1);
	assert_int_equal(fnx_track_from_segment(track, INT32_MAX, 0.5).arm, -1);
	assert_int_equal(fnx_track_from_segment(track, 0, (double)NAN).bin, -1);
	assert_int_equal(fnx_track_from_segment(track, 0, (double)INFINITY).bin, -1);
	fnx_track_free(track);
}

TEST(several_segments_may_lie_on_one_arm)
{
	struct fnx_track_config config = FORK;
	struct fnx_track *track;

	config.n_segments = 4;
	memcpy(config.segment_arms, (uint32_t[]){0, 2, 2, 1}, 4 * sizeof(uint32_t));
	track = new_track(&config);
	assert_int_equal(fnx_track_from_segment(track, 1, 0.0).bin, 29);
	assert_int_equal(fnx_track_from_segment(track, 2, 0.0).bin, 29);
	assert_int_equal(fnx_track_from_segment(track, 3, 0.0).bin, 13);
	assert_int_equal(fnx_track_from_segment(track, 4, 0.0).bin, -1);
	fnx_track_free(track);
}

TEST(a_point_of_an_arm_falls_into_the_bins_of_its_segment)
{
	struct fnx_track *track = new_track(&FORK);

	assert_int_equal(fnx_track_from_arm(track, 1, 0.5).bin, 19);
	assert_int_equal(fnx_track_from_arm(track, 2, 1.0).bin, 40);
	assert_int_equal(fnx_track_from_arm(track, 3, 0.5).bin, -1);
	assert_int_equal(fnx_track_from_arm(track, 0, (double)NAN).bin, -1);
	fnx_track_free(track);
}

TEST(bins_of_the_reference_sessions_are_equal)
{
	const char *sessions[] = {"vectors/dec", "vectors/cls"};
	struct fnx_track *track = new_track(&FORK);

	for (size_t k = 0; k < 2; k++) {
		const char *dir = check_data(sessions[k]);
		struct fnx_npy segments, alongs, bins;

		if (!dir) {
			print_message("%s is not here\n", sessions[k]);
			continue;
		}
		assert_int_equal(fnx_npy_open_in(dir, "in_pos_seg", &segments), 0);
		assert_int_equal(fnx_npy_open_in(dir, "in_pos_on", &alongs), 0);
		assert_int_equal(fnx_npy_open_in(dir, "out_pos_bin", &bins), 0);
		assert_true(bins.n_items > 1000);
		for (size_t i = 0; i < bins.n_items; i++) {
			int32_t segment = (int32_t)fnx_npy_double(&segments, i);
			double along = fnx_npy_double(&alongs, i);

			assert_int_equal(fnx_track_from_segment(track, segment, along).bin,
				(int32_t)fnx_npy_double(&bins, i));
		}
		fnx_npy_close(&segments);
		fnx_npy_close(&alongs);
		fnx_npy_close(&bins);
	}
	fnx_track_free(track);
}

TEST(arms_without_nodes_branch_from_the_end_of_arm_0)
{
	struct fnx_track *track = new_track(&FORK);

	assert_cm(fnx_track_distance_cm(track, 0, 8), 40.0);
	assert_cm(fnx_track_distance_cm(track, 8, 0), 40.0);
	assert_cm(fnx_track_distance_cm(track, 8, 13), 5.0);
	assert_cm(fnx_track_distance_cm(track, 8, 29), 5.0);
	assert_cm(fnx_track_distance_cm(track, 0, 24), 100.0);
	assert_cm(fnx_track_distance_cm(track, 13, 24), 55.0);
	assert_cm(fnx_track_distance_cm(track, 13, 29), 5.0);
	assert_cm(fnx_track_distance_cm(track, 24, 40), 115.0);
	assert_cm(fnx_track_arm_cm(track, 0), 45.0);
	fnx_track_free(track);
}

TEST(gaps_and_unknown_bins_have_no_distance)
{
	struct fnx_track *track = new_track(&FORK);

	assert_true(isnan(fnx_track_distance_cm(track, 0, 9)));
	assert_true(isnan(fnx_track_distance_cm(track, 28, 0)));
	assert_true(isnan(fnx_track_distance_cm(track, 9, 9)));
	assert_true(isnan(fnx_track_distance_cm(track, 0, 41)));
	assert_true(isnan(fnx_track_distance_cm(track, UINT32_MAX, 0)));
	fnx_track_free(track);
}

TEST(a_t_maze_has_the_lengths_of_its_polylines)
{
	struct fnx_track *track = new_track(&T_MAZE);

	assert_int_equal(fnx_track_bins(track), 107);
	assert_true(fabs(fnx_track_arm_cm(track, 0) - 124.0) < 0.05);
	assert_true(fabs(fnx_track_arm_cm(track, 1) - 176.4) < 0.05);
	assert_true(fabs(fnx_track_arm_cm(track, 2) - 184.0) < 0.1);
	fnx_track_free(track);
}

TEST(distances_between_arms_with_nodes_run_through_the_junction)
{
	struct fnx_track *track = new_track(&T_MAZE);
	const double stem = fnx_track_arm_cm(track, 0) / 25;
	const double left = fnx_track_arm_cm(track, 1) / 35;
	const double right = fnx_track_arm_cm(track, 2) / 37;

	assert_cm(fnx_track_distance_cm(track, 3, 7), 4 * stem);
	assert_cm(fnx_track_distance_cm(track, 30, 64), 34 * left);
	assert_cm(fnx_track_distance_cm(track, 24, 30), 0.5 * stem + 0.5 * left);
	assert_cm(fnx_track_distance_cm(track, 0, 106), 24.5 * stem + 36.5 * right);
	assert_cm(fnx_track_distance_cm(track, 64, 106), 34.5 * left + 36.5 * right);
	fnx_track_free(track);
}

TEST(on_a_ring_the_shorter_way_round_counts)
{
	struct fnx_track_config config = {
		.bin_cm = 10.0,
		.n_arms = 2,
		.arms = {{.first_bin = 0,
				 .last_bin = 19,
				 .n_nodes = 3,
				 .node_x = {0.0, 100.0, 100.0},
				 .node_y = {0.0, 0.0, 100.0}},
			{.first_bin = 20,
				.last_bin = 39,
				.n_nodes = 3,
				.node_x = {100.0, 0.0, 0.0},
				.node_y = {100.0, 100.0, 0.0}}},
	};
	struct fnx_track *track = new_track(&config);

	assert_cm(fnx_track_distance_cm(track, 0, 39), 10.0);
	assert_cm(fnx_track_distance_cm(track, 0, 19), 190.0);
	assert_cm(fnx_track_distance_cm(track, 0, 20), 200.0);
	assert_cm(fnx_track_distance_cm(track, 0, 21), 190.0);
	fnx_track_free(track);
}

TEST(arms_that_meet_at_a_node_in_the_middle_are_joined_there)
{
	struct fnx_track_config config = {
		.bin_cm = 10.0,
		.n_arms = 2,
		.arms = {{.first_bin = 0,
				 .last_bin = 9,
				 .n_nodes = 3,
				 .node_x = {0.0, 50.0, 100.0}},
			{.first_bin = 10,
				.last_bin = 14,
				.n_nodes = 2,
				.node_x = {50.0, 50.0},
				.node_y = {0.0, 50.0}}},
	};
	struct fnx_track *track = new_track(&config);

	assert_cm(fnx_track_distance_cm(track, 4, 5), 10.0);
	assert_cm(fnx_track_distance_cm(track, 0, 9), 90.0);
	assert_cm(fnx_track_distance_cm(track, 4, 10), 10.0);
	assert_cm(fnx_track_distance_cm(track, 9, 14), 90.0);
	fnx_track_free(track);
}

/* A random tree of arms without bends, long enough to differ and with any number of bins. */
static void random_tree(struct check_random *random, struct fnx_track_config *ret_config)
{
	uint32_t bin = 0;

	*ret_config = (struct fnx_track_config){.bin_cm = 0.5 + check_random_unit(random)};
	ret_config->n_arms = 1 + (uint32_t)check_random_below(random, FNX_TRACK_ARMS_MAX);
	for (uint32_t k = 0; k < ret_config->n_arms; k++) {
		struct fnx_track_arm_config *arm = &ret_config->arms[k];
		const struct fnx_track_arm_config *parent =
			k ? &ret_config->arms[check_random_below(random, k)] : NULL;
		uint32_t node = parent ? (uint32_t)check_random_below(random, parent->n_nodes) : 0;

		arm->first_bin = bin;
		arm->last_bin = bin + (uint32_t)check_random_below(random, 30);
		bin = arm->last_bin + 1 + (uint32_t)check_random_below(random, 4);
		arm->n_nodes =
			2 + (uint32_t)check_random_below(random, FNX_TRACK_ARM_NODES_MAX - 1);
		arm->node_x[0] = parent ? parent->node_x[node] : 0.0;
		arm->node_y[0] = parent ? parent->node_y[node] : 0.0;
		for (uint32_t i = 1; i < arm->n_nodes; i++) {
			arm->node_x[i] = arm->node_x[i - 1] + 1 + 20 * check_random_unit(random);
			arm->node_y[i] = arm->node_y[i - 1] + 40 * check_random_unit(random) - 20;
		}
	}
}

TEST(distances_are_symmetric_zero_at_home_and_obey_the_triangle)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 30; round++) {
		struct fnx_track_config config;
		struct fnx_track *track;
		uint32_t n;

		random_tree(&random, &config);
		track = new_track(&config);
		n = fnx_track_bins(track);
		for (int i = 0; i < 500; i++) {
			uint32_t a = (uint32_t)check_random_below(&random, n);
			uint32_t b = (uint32_t)check_random_below(&random, n);
			uint32_t c = (uint32_t)check_random_below(&random, n);
			const int32_t *arms = fnx_track_bin_arms(track);

			if (arms[a] < 0 || arms[b] < 0 || arms[c] < 0)
				continue;
			assert_cm(fnx_track_distance_cm(track, a, a), 0.0);
			assert_cm(fnx_track_distance_cm(track, a, b),
				fnx_track_distance_cm(track, b, a));
			assert_true(fnx_track_distance_cm(track, a, c) <=
				fnx_track_distance_cm(track, a, b) +
					fnx_track_distance_cm(track, b, c) + 1e-6);
			if (arms[a] == arms[b])
				assert_true(fnx_track_distance_cm(track, a, b) <=
					fnx_track_arm_cm(track, (uint32_t)arms[a]));
		}
		fnx_track_free(track);
	}
}

TEST(a_point_of_an_arm_comes_back_from_the_room)
{
	struct check_random random = check_random_seeded();
	struct fnx_track *track = new_track(&T_MAZE);

	for (int i = 0; i < 2000; i++) {
		uint32_t arm = (uint32_t)check_random_below(&random, 3);
		double along = check_random_unit(&random), x, y;
		struct fnx_place place;

		assert_true(fnx_track_to_xy(track, arm, along, &x, &y));
		place = fnx_track_from_xy(track, x, y);
		assert_true(place.distance_cm < 1e-9);
		if (place.arm != (int32_t)arm) {
			assert_true(along < 1e-9 || along > 1.0 - 1e-9);
			continue;
		}
		assert_cm(place.along, along);
		assert_int_equal(fnx_track_bin_arms(track)[place.bin], place.arm);
	}
	fnx_track_free(track);
}

TEST(where_arms_meet_the_first_of_them_counts)
{
	struct fnx_track *track = new_track(&T_MAZE);

	assert_int_equal(fnx_track_from_xy(track, 123.0, 16.0).arm, 0);
	assert_int_equal(fnx_track_from_xy(track, 123.0, 16.0).bin, 24);
	fnx_track_free(track);
}

TEST(the_nearest_point_is_nearer_than_any_other_of_the_track)
{
	struct check_random random = check_random_seeded();
	struct fnx_track *track = new_track(&T_MAZE);

	for (int i = 0; i < 300; i++) {
		double x = 300 * check_random_unit(&random), y = 200 * check_random_unit(&random);
		struct fnx_place place = fnx_track_from_xy(track, x, y);

		assert_int_equal(place.bin >= 0, place.distance_cm <= 10.0);
		assert_int_equal(place.bin >= 0, place.arm >= 0);
		for (uint32_t k = 0; k < 300; k++) {
			double there_x, there_y;

			assert_true(
				fnx_track_to_xy(track, k % 3, (k / 3) / 99.0, &there_x, &there_y));
			assert_true(hypot(x - there_x, y - there_y) >= place.distance_cm - 1e-9);
		}
	}
	fnx_track_free(track);
}

TEST(the_start_platform_of_the_t_maze_is_off_the_track)
{
	struct fnx_track *track = new_track(&T_MAZE);

	assert_int_equal(fnx_track_from_xy(track, 123.0, 140.0).bin, 0);
	assert_int_equal(fnx_track_from_xy(track, 123.0, 149.0).bin, 0);
	assert_int_equal(fnx_track_from_xy(track, 123.0, 150.5).bin, -1);
	assert_int_equal(fnx_track_from_xy(track, 123.0, 150.5).arm, -1);
	assert_cm(fnx_track_from_xy(track, 123.0, 150.5).distance_cm, 10.5);
	assert_int_equal(fnx_track_from_xy(track, 32.0, 126.0).bin, 64);
	assert_int_equal(fnx_track_from_xy(track, 218.0, 130.0).bin, 106);
	fnx_track_free(track);
}

TEST(a_track_without_a_greatest_distance_is_never_left)
{
	struct fnx_track_config config = T_MAZE;
	struct fnx_track *track;

	config.max_distance_cm = 0.0;
	track = new_track(&config);
	assert_int_equal(fnx_track_from_xy(track, 123.0, 5000.0).bin, 0);
	fnx_track_free(track);
}

TEST(lost_tracking_is_off_the_track)
{
	struct fnx_track *track = new_track(&T_MAZE);

	assert_int_equal(fnx_track_from_xy(track, (double)NAN, 50.0).bin, -1);
	assert_int_equal(fnx_track_from_xy(track, 123.0, (double)NAN).bin, -1);
	assert_int_equal(fnx_track_from_xy(track, (double)INFINITY, 50.0).bin, -1);
	assert_int_equal(fnx_track_from_xy(track, 1e200, 50.0).bin, -1);
	assert_true(isinf(fnx_track_from_xy(track, (double)NAN, 50.0).distance_cm));
	fnx_track_free(track);
}

TEST(a_track_without_nodes_has_no_place_in_the_room)
{
	struct fnx_track *track = new_track(&FORK);
	double x, y;

	assert_int_equal(fnx_track_from_xy(track, 0.0, 0.0).bin, -1);
	assert_false(fnx_track_to_xy(track, 0, 0.5, &x, &y));
	fnx_track_free(track);
}

TEST(broken_configurations_are_refused_with_the_rule_they_break)
{
	struct fnx_track_config config;

	config = FORK, config.bin_cm = 0.0;
	assert_refused(&config, "length of a bin");
	config = FORK, config.bin_cm = (double)NAN;
	assert_refused(&config, "length of a bin");
	config = FORK, config.max_distance_cm = -1.0;
	assert_refused(&config, "below zero");
	config = FORK, config.n_arms = 0;
	assert_refused(&config, "no arms");
	config = FORK, config.n_arms = FNX_TRACK_ARMS_MAX + 1;
	assert_refused(&config, "too many");
	config = FORK, config.n_segments = FNX_TRACK_SEGMENTS_MAX + 1;
	assert_refused(&config, "segments");
	config = FORK, config.n_segments = 1, config.segment_arms[0] = 3;
	assert_refused(&config, "not there");
	config = FORK, config.arms[1].first_bin = 8;
	assert_refused(&config, "overlap");
	config = FORK, config.arms[1].first_bin = 25;
	assert_refused(&config, "before its first");
	config = FORK, config.arms[2].last_bin = FNX_TRACK_BINS_MAX;
	assert_refused(&config, "largest number of bins");
	config = FORK, config.arms[2].n_target = 13;
	assert_refused(&config, "target");
	config = T_MAZE, config.arms[2].n_nodes = 1;
	assert_refused(&config, "single node");
	config = T_MAZE, config.arms[2].n_nodes = FNX_TRACK_ARM_NODES_MAX + 1;
	assert_refused(&config, "too many nodes");
	config = T_MAZE, config.arms[2].n_nodes = 0;
	assert_refused(&config, "some arms");
	config = T_MAZE, config.arms[1].node_x[2] = (double)NAN;
	assert_refused(&config, "finite");
	config = T_MAZE, config.arms[2].node_x[0] = 124.0;
	assert_refused(&config, "shares no node");
	config = T_MAZE, config.arms[0].node_y[1] = 140.0;
	assert_refused(&config, "no length");
}

TEST(one_bin_is_a_track)
{
	struct fnx_track_config config = {.bin_cm = 5.0, .n_arms = 1};
	struct fnx_track *track = new_track(&config);

	assert_int_equal(fnx_track_bins(track), 1);
	assert_int_equal(fnx_track_from_segment(track, 0, 1.0).bin, 0);
	assert_cm(fnx_track_distance_cm(track, 0, 0), 0.0);
	fnx_track_free(track);
}

TEST(a_grid_numbers_its_bins_row_by_row_and_measures_straight)
{
	const struct fnx_track_config config = {.bin_cm = 2.0,
		.max_distance_cm = 3.0,
		.grid = {.n_columns = 5, .n_rows = 4, .x = 10.0, .y = -1.0}};
	struct fnx_track *track;
	struct fnx_place place;

	assert_int_equal(fnx_track_new(&config, &track, NULL), 0);
	assert_int_equal(fnx_track_bins(track), 20);
	assert_int_equal(fnx_track_arms(track), 1);
	for (uint32_t row = 0; row < 4; row++) {
		for (uint32_t column = 0; column < 5; column++) {
			place = fnx_track_from_xy(
				track, 10.0 + 2.0 * column + 0.1, -1.0 + 2.0 * row + 1.9);
			assert_int_equal(place.bin, row * 5 + column);
			assert_int_equal(place.arm, 0);
			assert_true(place.distance_cm == 0.0);
			assert_int_equal(fnx_track_bin_arms(track)[place.bin], 0);
		}
	}
	assert_true(fabs(fnx_track_distance_cm(track, 0, 4 + 5 * 3) - 10.0) < 1e-12);
	assert_true(isnan(fnx_track_distance_cm(track, 0, 20)));
	/* A little outside counts as the nearest bin, farther out as off the track. */
	place = fnx_track_from_xy(track, 21.0, 8.5);
	assert_int_equal(place.bin, 19);
	assert_true(fabs(place.distance_cm - hypot(1.0, 1.5)) < 1e-12);
	assert_int_equal(fnx_track_from_xy(track, 6.9, 0.0).bin, -1);
	assert_int_equal(fnx_track_from_xy(track, NAN, 0.0).bin, -1);
	assert_int_equal(fnx_track_from_segment(track, 0, 0.5).bin, -1);
	fnx_track_free(track);
}

TEST(a_grid_without_bins_with_too_many_or_with_arms_is_refused)
{
	struct fnx_track_config bad[4];
	struct fnx_track *track;
	const char *reason = NULL;

	for (int i = 0; i < 4; i++)
		bad[i] = (struct fnx_track_config){
			.bin_cm = 2.0, .grid = {.n_columns = 5, .n_rows = 4}};
	bad[0].grid.n_rows = 0;
	bad[1].grid.n_rows = 820;
	bad[2].grid.x = INFINITY;
	bad[3].n_arms = 1;
	for (int i = 0; i < 4; i++)
		assert_int_equal(fnx_track_new(&bad[i], &track, &reason), -EINVAL);
	assert_non_null(reason);
}
