/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/head_rule.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "tests/support/check.h"

enum {
	POINTS = 5
};

/* The animal at (100, 100), the centre well beside it; the camera's y goes down, so that the well
 * at (100, 0) lies at 90 degrees. */
static struct fnx_head_config config_of(double well_x, double well_y)
{
	return (struct fnx_head_config){.well = {well_x, well_y},
		.centre = {103, 104},
		.scale = 0.5,
		.n_points = POINTS,
		.params = {.well_range_deg = 20, .steady_deg = 10, .max_centre_distance_cm = 2.5}};
}

static struct fnx_head_rule *rule_of(const struct fnx_head_config *config)
{
	struct fnx_head_rule *rule;

	assert_int_equal(fnx_head_new(config, &rule), 0);
	return rule;
}

/* LEDs 10 apart, the middle at (100, 100). */
static struct fnx_head_sample looking(double angle_deg)
{
	double dx = 5 * cos(angle_deg / 180 * M_PI), dy = -5 * sin(angle_deg / 180 * M_PI);

	return (struct fnx_head_sample){
		.x = 100 - dx, .y = 100 - dy, .x2 = 100 + dx, .y2 = 100 + dy, .tracked = 1};
}

static int step(struct fnx_head_rule *rule, double angle_deg)
{
	const struct fnx_head_sample sample = looking(angle_deg);
	struct fnx_head_evidence evidence;
	int is_true = fnx_head_step(rule, &sample, &evidence);

	assert_true(fabs(remainder(evidence.angle_deg - angle_deg, 360)) < 1e-9);
	return is_true;
}

TEST(looking_at_the_well_for_long_enough_makes_it_true)
{
	const struct fnx_head_config config = config_of(100, 0);
	struct fnx_head_rule *rule = rule_of(&config);

	for (int i = 0; i < POINTS - 1; i++)
		assert_int_equal(step(rule, 90 + i), 0);
	assert_int_equal(step(rule, 94), 1);
	fnx_head_free(rule);
}

TEST(looking_elsewhere_does_not)
{
	const struct fnx_head_config config = config_of(100, 0);
	struct fnx_head_rule *rule = rule_of(&config);

	for (int i = 0; i < 3 * POINTS; i++) {
		assert_int_equal(step(rule, 90 + 20.5), 0);
	}
	for (int i = 0; i < 2 * POINTS; i++)
		step(rule, 90 - 19.5);
	assert_int_equal(step(rule, 90 - 19.5), 1);
	fnx_head_free(rule);
}

TEST(a_head_that_moves_from_side_to_side_does_not)
{
	const struct fnx_head_config config = config_of(100, 0);
	struct fnx_head_rule *rule = rule_of(&config);

	for (int i = 0; i < 4 * POINTS; i++)
		assert_int_equal(step(rule, i % 2 ? 84 : 95), 0);
	for (int i = 0; i < POINTS - 1; i++)
		step(rule, 95);
	assert_int_equal(step(rule, 95), 1);
	fnx_head_free(rule);
}

TEST(an_animal_away_from_the_centre_well_does_not)
{
	struct fnx_head_config config = config_of(100, 0);
	struct fnx_head_rule *rule;

	config.params.max_centre_distance_cm = 2.4; /* it is 5 units away, 2.5 cm */
	rule = rule_of(&config);
	for (int i = 0; i < 2 * POINTS; i++)
		assert_int_equal(step(rule, 90), 0);
	fnx_head_free(rule);
}

TEST(angles_are_compared_around_the_circle)
{
	struct fnx_head_config config = config_of(0, 100); /* at 180 degrees */
	struct fnx_head_rule *rule = rule_of(&config);
	int n_true = 0;

	for (int i = 0; i < 2 * POINTS; i++)
		n_true += step(rule, i % 2 ? 178 : -178);
	assert_int_equal(n_true, POINTS + 1);
	fnx_head_free(rule);
	/* The ancestor takes these for 356 degrees apart. */
	config.parity = 1;
	rule = rule_of(&config);
	for (int i = 0; i < 2 * POINTS; i++)
		assert_int_equal(step(rule, i % 2 ? 178 : -178), 0);
	fnx_head_free(rule);
}

TEST(the_second_led_may_be_the_one_at_the_back)
{
	struct fnx_head_config config = config_of(100, 0);
	const struct fnx_head_sample sample = looking(-90);
	struct fnx_head_evidence evidence;
	struct fnx_head_rule *rule;
	int is_true = 0;

	config.rotate_180 = 1;
	rule = rule_of(&config);
	for (int i = 0; i < POINTS; i++)
		is_true = fnx_head_step(rule, &sample, &evidence);
	assert_int_equal(is_true, 1);
	assert_true(evidence.rose && fabs(evidence.angle_deg - 90) < 1e-9);
	is_true = fnx_head_step(rule, &sample, &evidence);
	assert_true(is_true && !evidence.rose);
	fnx_head_free(rule);
}

TEST(a_sample_without_the_animal_begins_the_row_anew)
{
	const struct fnx_head_config config = config_of(100, 0);
	struct fnx_head_rule *rule = rule_of(&config);
	struct fnx_head_sample sample = looking(90), point = looking(90);
	struct fnx_head_evidence evidence;

	sample.tracked = 0;
	point.x2 = point.x;
	point.y2 = point.y;
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < POINTS; i++)
			step(rule, 90);
		assert_int_equal(fnx_head_step(rule, k ? &sample : &point, &evidence), 0);
		for (int i = 0; i < POINTS - 1; i++)
			assert_int_equal(step(rule, 90), 0);
		assert_int_equal(step(rule, 90), 1);
	}
	fnx_head_free(rule);
}

TEST(nonsense_is_refused)
{
	struct fnx_head_config config = config_of(100, 0);
	const struct fnx_head_params params = {.well_range_deg = (double)NAN};
	struct fnx_head_rule *rule = rule_of(&config);
	int64_t memory[32];

	assert_int_equal(fnx_head_set(rule, &params), -EINVAL);
	fnx_head_free(rule);
	memset(memory, 0xff, sizeof(memory));
	config.memory = memory;
	config.resumed = 1;
	assert_int_equal(fnx_head_new(&config, &rule), -EBADMSG);
	config.n_points = 0;
	assert_int_equal(fnx_head_new(&config, &rule), -EINVAL);
}
