/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/ripple_rule.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tests/support/check.h"

static struct fnx_ripple_rule *rule_of(
	uint32_t n_channels, uint32_t min_electrodes, int64_t window, double max_speed)
{
	const struct fnx_ripple_rule_config config = {.n_channels = n_channels,
		.params = {.min_electrodes = min_electrodes,
			.window_samples = window,
			.max_speed_cm_s = max_speed}};
	struct fnx_ripple_rule *rule;

	assert_int_equal(fnx_ripple_rule_new(&config, &rule), 0);
	return rule;
}

static struct fnx_ripple_rule_evidence evidence;

static int onset(struct fnx_ripple_rule *rule, int32_t channel, int64_t now)
{
	return fnx_ripple_rule_onset(rule, channel, now, 0, &evidence);
}

TEST(enough_electrodes_within_the_window_make_it_true)
{
	struct fnx_ripple_rule *rule = rule_of(8, 3, 600, 0);

	assert_int_equal(onset(rule, 0, 1000), 0);
	assert_int_equal(onset(rule, 5, 1200), 0);
	assert_int_equal(onset(rule, 7, 1600), 1); /* 600 apart is within 600 */
	assert_int_equal(evidence.n_electrodes, 3);
	assert_int_equal(evidence.rose, 1);
	fnx_ripple_rule_free(rule);
}

TEST(one_sample_beyond_the_window_is_too_late)
{
	struct fnx_ripple_rule *rule = rule_of(8, 3, 600, 0);

	onset(rule, 0, 1000);
	onset(rule, 5, 1200);
	assert_int_equal(onset(rule, 7, 1601), 0);
	fnx_ripple_rule_free(rule);
}

TEST(an_electrode_counts_once_however_often_it_starts)
{
	struct fnx_ripple_rule *rule = rule_of(8, 2, 600, 0);

	for (int i = 0; i < 10; i++)
		assert_int_equal(onset(rule, 3, 1000 + i), 0);
	fnx_ripple_rule_free(rule);
}

TEST(an_electrode_that_joins_is_the_same_ripple)
{
	struct fnx_ripple_rule *rule = rule_of(8, 2, 600, 0);

	onset(rule, 0, 1000);
	assert_int_equal(onset(rule, 1, 1000), 1);
	assert_int_equal(evidence.rose, 1);
	assert_int_equal(onset(rule, 2, 1100), 1);
	assert_int_equal(evidence.rose, 0);
	assert_int_equal(evidence.n_electrodes, 3);
	fnx_ripple_rule_free(rule);
}

TEST(a_ripple_after_the_window_is_another_one)
{
	struct fnx_ripple_rule *rule = rule_of(8, 1, 600, 0);

	assert_int_equal(onset(rule, 0, 1000), 1);
	assert_int_equal(evidence.rose, 1);
	assert_int_equal(onset(rule, 1, 1600), 1);
	assert_int_equal(evidence.rose, 0);
	assert_int_equal(onset(rule, 1, 2201), 1);
	assert_int_equal(evidence.rose, 1);
	fnx_ripple_rule_free(rule);
}

TEST(a_fast_animal_has_no_ripple_but_its_onsets_are_remembered)
{
	struct fnx_ripple_rule *rule = rule_of(8, 2, 600, 4);

	assert_int_equal(fnx_ripple_rule_onset(rule, 0, 1000, 0, &evidence), 0);
	assert_int_equal(fnx_ripple_rule_onset(rule, 1, 1001, 4, &evidence), 0);
	assert_int_equal(fnx_ripple_rule_onset(rule, 1, 1002, (double)NAN, &evidence), 0);
	assert_int_equal(fnx_ripple_rule_onset(rule, 1, 1003, -9, &evidence), 0);
	assert_int_equal(fnx_ripple_rule_onset(rule, 1, 1004, 3.9, &evidence), 1);
	assert_int_equal(evidence.rose, 1);
	fnx_ripple_rule_free(rule);
}

TEST(unknown_channels_and_the_consensus_do_not_count_as_electrodes)
{
	struct fnx_ripple_rule *rule = rule_of(4, 1, 600, 0);

	assert_int_equal(onset(rule, 4, 1000), 0);
	assert_int_equal(onset(rule, -1, 1000), 0);
	assert_int_equal(onset(rule, INT32_MIN, 1000), 0);
	assert_int_equal(onset(rule, INT32_MAX, 1000), 0);
	assert_int_equal(onset(rule, 3, 1000), 1);
	fnx_ripple_rule_free(rule);
}

TEST(a_consensus_rule_heeds_the_consensus_alone)
{
	const struct fnx_ripple_rule_config config = {.consensus = 1, .n_channels = 4};
	struct fnx_ripple_rule *rule;

	assert_int_equal(fnx_ripple_rule_new(&config, &rule), 0);
	assert_int_equal(onset(rule, 0, 1000), 0);
	assert_int_equal(onset(rule, FNX_RIPPLE_RULE_CONSENSUS, 1000), 1);
	assert_int_equal(evidence.rose, 1);
	assert_int_equal(evidence.n_electrodes, 0);
	assert_int_equal(onset(rule, FNX_RIPPLE_RULE_CONSENSUS, 1001), 1);
	assert_int_equal(evidence.rose, 1);
	fnx_ripple_rule_free(rule);
}

TEST(times_out_of_order_or_at_the_end_of_the_scale_do_no_harm)
{
	struct fnx_ripple_rule *rule = rule_of(4, 2, INT64_MAX, 0);

	assert_int_equal(onset(rule, 0, INT64_MAX), 0);
	assert_int_equal(onset(rule, 1, 5), 0);
	assert_int_equal(onset(rule, 2, INT64_MIN), 0);
	assert_int_equal(onset(rule, 0, 6), 1);
	fnx_ripple_rule_free(rule);
}

TEST(random_onsets_agree_with_a_list_of_all_of_them)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 50; round++) {
		uint32_t n_channels = 1 + (uint32_t)check_random_below(&random, 40);
		uint32_t min =
			1 + (uint32_t)check_random_below(&random, n_channels < 6 ? n_channels : 6);
		int64_t window = (int64_t)check_random_below(&random, 900), now = 0;
		struct fnx_ripple_rule *rule = rule_of(n_channels, min, window, 0);
		struct {
			int32_t channel;
			int64_t time;
		} all[500];
		int was_true = 0;

		for (uint32_t i = 0; i < 500; i++) {
			uint32_t n = 0, n_before = 0;

			now += (int64_t)check_random_below(&random, 400);
			all[i].channel = (int32_t)check_random_below(&random, n_channels);
			all[i].time = now;
			for (uint32_t c = 0; c < n_channels; c++) {
				int within = 0, before = 0;

				for (uint32_t k = 0; k <= i; k++)
					if (all[k].channel == (int32_t)c &&
						now - all[k].time <= window) {
						within = 1;
						before |= k < i;
					}
				n += (uint32_t)within;
				n_before += (uint32_t)before;
			}
			assert_int_equal(onset(rule, all[i].channel, now), n >= min);
			assert_int_equal(evidence.n_electrodes, n);
			assert_int_equal(evidence.rose, n >= min && !(was_true && n_before >= min));
			was_true = n >= min;
		}
		fnx_ripple_rule_free(rule);
	}
}

TEST(ripple_settings_out_of_range_are_refused)
{
	struct fnx_ripple_rule_config config = {.n_channels = 4, .params = {.min_electrodes = 0}};
	struct fnx_ripple_rule *rule = NULL;

	assert_int_equal(fnx_ripple_rule_new(&config, &rule), -EINVAL);
	config.params.min_electrodes = 1;
	config.params.window_samples = -1;
	assert_int_equal(fnx_ripple_rule_new(&config, &rule), -EINVAL);
	config.params.window_samples = 0;
	config.params.max_speed_cm_s = (double)NAN;
	assert_int_equal(fnx_ripple_rule_new(&config, &rule), -EINVAL);
	config.params.max_speed_cm_s = 0;
	config.n_channels = 0;
	assert_int_equal(fnx_ripple_rule_new(&config, &rule), -EINVAL);
	assert_null(rule);
}
