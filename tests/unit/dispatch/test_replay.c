/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/replay.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

enum {
	GROUPS = 40,
	BINS_MAX = 400,
	STATES_MAX = 4,
	WINDOW_MAX = 60,
	RECENT = 10
};

/* Arms with gaps between them, of any number and size. */
static struct fnx_track *random_track(struct check_random *random)
{
	struct fnx_track_config config = {.bin_cm = 5};
	struct fnx_track *track;
	uint32_t bin = (uint32_t)check_random_below(random, 3);

	config.n_arms = 1 + (uint32_t)check_random_below(random, 6);
	for (uint32_t k = 0; k < config.n_arms; k++) {
		uint32_t n = 1 + (uint32_t)check_random_below(random, 30);

		config.arms[k].first_bin = bin;
		config.arms[k].last_bin = bin + n - 1;
		config.arms[k].n_target = (uint32_t)check_random_below(random, n + 1);
		bin += n + (uint32_t)check_random_below(random, 4);
	}
	assert_int_equal(fnx_track_new(&config, &track, NULL), 0);
	return track;
}

static struct fnx_track *two_arms(void)
{
	const struct fnx_track_config config = {
		.bin_cm = 5, .n_arms = 3, .arms = {{0, 2, 0}, {4, 6, 2}, {8, 9, 1}}};
	struct fnx_track *track;

	assert_int_equal(fnx_track_new(&config, &track, NULL), 0);
	return track;
}

/* Sums to 1 over states and bins, most of it on one arm. */
static void random_posterior(struct check_random *random, const struct fnx_track *track,
	uint32_t n_states, double *posterior)
{
	uint32_t n_bins = fnx_track_bins(track), favourite;
	const int32_t *arms = fnx_track_bin_arms(track);
	double sum = 0;

	favourite = (uint32_t)check_random_below(random, fnx_track_arms(track));
	for (uint32_t i = 0; i < n_states * n_bins; i++) {
		posterior[i] = pow(check_random_unit(random), 4);
		if (arms[i % n_bins] == (int32_t)favourite)
			posterior[i] *= 20;
		if (arms[i % n_bins] < 0)
			posterior[i] = 0;
		sum += posterior[i];
	}
	for (uint32_t i = 0; i < n_states * n_bins; i++)
		posterior[i] /= sum;
}

/* The rule as the head comment says it, from all bins since the beginning, in plain doubles. */
struct oracle {
	uint32_t n;
	struct fnx_masses masses[2000];
	uint32_t groups[2000][RECENT], n_groups[2000];
};

static double oracle_mean(const struct oracle *oracle, uint32_t window, uint32_t arm, int target)
{
	double sum = 0;

	for (uint32_t i = 0; i < window && i < oracle->n; i++) {
		const struct fnx_masses *masses = &oracle->masses[oracle->n - 1 - i];

		sum += target ? masses->target[arm] : masses->arm[arm];
	}
	return sum / window;
}

static uint32_t oracle_groups(const struct oracle *oracle, uint32_t window)
{
	int seen[GROUPS] = {0};
	uint32_t n = 0;

	for (uint32_t i = 0; i < window && i < oracle->n; i++)
		for (uint32_t k = 0; k < oracle->n_groups[oracle->n - 1 - i]; k++)
			seen[oracle->groups[oracle->n - 1 - i][k]] = 1;
	for (uint32_t g = 0; g < GROUPS; g++)
		n += seen[g] != 0;
	return n;
}

static void oracle_masses(const struct fnx_track *track, const double *posterior, uint32_t n_states,
	struct fnx_masses *masses)
{
	const struct fnx_track_config *config = fnx_track_config(track);
	uint32_t n_bins = fnx_track_bins(track);

	memset(masses, 0, sizeof(*masses));
	for (uint32_t bin = 0; bin < n_bins; bin++)
		for (uint32_t state = 0; state < n_states; state++) {
			int32_t arm = fnx_track_bin_arms(track)[bin];
			double mass = posterior[state * n_bins + bin];

			if (arm < 0)
				continue;
			masses->arm[arm] += mass;
			if (bin + config->arms[arm].n_target > config->arms[arm].last_bin)
				masses->target[arm] += mass;
		}
}

static void check_masses(
	const struct fnx_masses *masses, const struct fnx_masses *expected, uint32_t n_arms)
{
	for (uint32_t k = 0; k < n_arms; k++) {
		assert_true(fabs(masses->arm[k] - expected->arm[k]) < 1e-12);
		assert_true(fabs(masses->target[k] - expected->target[k]) < 1e-12);
	}
}

/* Beyond RECENT, and from GROUPS on, they do not count: the oracle knows nothing of them. */
static void random_groups(
	struct check_random *random, uint32_t n, uint32_t *ret_groups, struct oracle *oracle)
{
	oracle->n_groups[oracle->n] = 0;
	for (uint32_t i = 0; i < n; i++) {
		ret_groups[i] = (uint32_t)check_random_below(random, GROUPS + 5);
		if (i < RECENT && ret_groups[i] < GROUPS)
			oracle->groups[oracle->n][oracle->n_groups[oracle->n]++] = ret_groups[i];
	}
}

static void check_against_oracle(struct check_random *random, int begin_full)
{
	static double posterior[STATES_MAX * BINS_MAX];
	static struct oracle oracle;
	struct fnx_track *track = random_track(random);
	uint32_t n_states = 1 + (uint32_t)check_random_below(random, STATES_MAX), n_unsure = 0;
	struct fnx_replay_config config = {
		.n_arms = fnx_track_arms(track),
		.arm = (uint32_t)check_random_below(random, fnx_track_arms(track)),
		.window_bins = 1 + (uint32_t)check_random_below(random, WINDOW_MAX),
		.n_groups = GROUPS,
		.n_recent = RECENT,
		.begin_full = begin_full,
		.params = {.threshold = check_random_unit(random) * 0.4,
			.other_arms_below = 0.2 + check_random_unit(random) * 0.6,
			.min_groups = (uint32_t)check_random_below(random, 8)},
	};
	struct fnx_replay_evidence evidence;
	struct fnx_replay *replay;
	int before = 0;

	oracle.n = 0;
	assert_int_equal(fnx_replay_new(&config, &replay), 0);
	for (uint32_t tick = 0; tick < 300; tick++) {
		uint32_t groups[RECENT + 3],
			n_groups = (uint32_t)check_random_below(random, RECENT + 4);
		struct fnx_masses masses;
		struct fnx_replay_bin bin = {
			.masses = &masses, .groups = groups, .n_groups = n_groups};
		double target, other = 0, nearest;
		int expected, is_true;

		random_posterior(random, track, n_states, posterior);
		assert_int_equal(fnx_masses_of(track, posterior, n_states, &masses), 0);
		oracle_masses(track, posterior, n_states, &oracle.masses[oracle.n]);
		check_masses(&masses, &oracle.masses[oracle.n], config.n_arms);
		random_groups(random, n_groups, groups, &oracle);
		oracle.n++;
		target = oracle_mean(&oracle, config.window_bins, config.arm, 1);
		for (uint32_t k = 0; k < config.n_arms; k++)
			if (k != config.arm)
				other = fmax(other, oracle_mean(&oracle, config.window_bins, k, 0));
		is_true = fnx_replay_step(replay, &bin, &evidence);
		assert_true(fabs(evidence.target_mass - target) < 1e-12);
		assert_true(fabs(evidence.other_mass - other) < 1e-12);
		assert_int_equal(evidence.n_groups, oracle_groups(&oracle, config.window_bins));
		expected = (begin_full || oracle.n >= config.window_bins) &&
			target > config.params.threshold &&
			(config.n_arms == 1 || other < config.params.other_arms_below) &&
			evidence.n_groups >= config.params.min_groups;
		nearest = fmin(fabs(target - config.params.threshold),
			fabs(other - config.params.other_arms_below));
		if (nearest > 1e-12)
			assert_int_equal(is_true, expected);
		else
			n_unsure++;
		assert_int_equal(evidence.rose, is_true && !before);
		before = is_true;
	}
	assert_true(n_unsure < 10);
	fnx_replay_free(replay);
	fnx_track_free(track);
}

TEST(windows_of_random_posteriors_agree_with_plain_sums)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 100; i++)
		check_against_oracle(&random, i & 1);
}

/* One arm's worth of everything, for the edges. ------------------------------------------- */

static struct fnx_replay *simple(
	uint32_t window_bins, struct fnx_replay_params params, int begin_full)
{
	const struct fnx_replay_config config = {.n_arms = 3,
		.arm = 1,
		.window_bins = window_bins,
		.n_groups = 9,
		.n_recent = 4,
		.begin_full = begin_full,
		.params = params};
	struct fnx_replay *replay;

	assert_int_equal(fnx_replay_new(&config, &replay), 0);
	return replay;
}

static int step(struct fnx_replay *replay, double target, double other)
{
	const struct fnx_masses masses = {.arm = {other, target, 0}, .target = {0, target, 0}};
	const struct fnx_replay_bin bin = {
		.masses = &masses, .centre_distance_cm = 1, .speed_cm_s = 1};
	struct fnx_replay_evidence evidence;

	return fnx_replay_step(replay, &bin, &evidence);
}

static const struct fnx_replay_params half = {.threshold = 0.5, .other_arms_below = 0.5};

TEST(a_mean_that_equals_its_threshold_is_not_above_it)
{
	/* Whatever the number and the window: no rounding lifts it. */
	for (uint32_t window = 1; window < 200; window += 7)
		for (double threshold = 0.05; threshold < 1; threshold += 0.05) {
			struct fnx_replay *replay = simple(window,
				(struct fnx_replay_params){
					.threshold = threshold, .other_arms_below = 0.5},
				0);

			for (uint32_t i = 0; i < 2 * window; i++)
				assert_int_equal(step(replay, threshold, 0), 0);
			for (uint32_t i = 0; i < window; i++)
				step(replay, threshold + 1e-12, 0);
			assert_int_equal(step(replay, threshold + 1e-12, 0), 1);
			fnx_replay_free(replay);
		}
}

TEST(some_full_bins_among_empty_ones_may_equal_a_threshold_too)
{
	for (uint32_t window = 2; window < 60; window++)
		for (uint32_t n = 1; n < window; n++) {
			const struct fnx_replay_params params = {
				.threshold = (double)n / window, .other_arms_below = 1};
			struct fnx_replay *replay = simple(window, params, 0);

			for (uint32_t i = 0; i < window; i++)
				assert_int_equal(step(replay, i < n, 0), 0);
			fnx_replay_reset(replay);
			for (uint32_t i = 0; i < window - 1; i++)
				step(replay, i < n, 0);
			assert_int_equal(step(replay, 1e-11, 0), 1);
			fnx_replay_free(replay);
		}
}

TEST(another_arm_that_equals_its_limit_is_not_below_it)
{
	struct fnx_replay *replay = simple(3, half, 0);

	for (int i = 0; i < 5; i++)
		assert_int_equal(step(replay, 0.75, 0.5), 0);
	step(replay, 0.75, 0.5 - 1e-12);
	assert_int_equal(step(replay, 0.75, 0.5), 1);
	fnx_replay_free(replay);
}

TEST(a_track_of_one_arm_has_no_other_arms_to_hold_it_up)
{
	const struct fnx_replay_config config = {.n_arms = 1,
		.window_bins = 1,
		.n_groups = 1,
		.n_recent = 1,
		.params = {.threshold = 0.5, .other_arms_below = 0}};
	const struct fnx_masses masses = {.arm = {1}, .target = {1}};
	const struct fnx_replay_bin bin = {.masses = &masses};
	struct fnx_replay_evidence evidence;
	struct fnx_replay *replay;

	assert_int_equal(fnx_replay_new(&config, &replay), 0);
	assert_int_equal(fnx_replay_step(replay, &bin, &evidence), 1);
	assert_true(evidence.other_mass == 0);
	fnx_replay_free(replay);
}

TEST(a_window_that_is_not_full_makes_no_rule_true)
{
	struct fnx_replay *replay = simple(5, half, 0);

	for (int i = 0; i < 4; i++)
		assert_int_equal(step(replay, 1, 0), 0);
	assert_int_equal(step(replay, 1, 0), 1);
	fnx_replay_free(replay);
}

TEST(in_parity_the_window_begins_full_of_empty_bins)
{
	struct fnx_replay *replay = simple(5, half, 1);

	assert_int_equal(step(replay, 1, 0), 0);
	assert_int_equal(step(replay, 1, 0), 0);
	assert_int_equal(step(replay, 1, 0), 1); /* 3/5 */
	fnx_replay_free(replay);
}

TEST(after_a_gap_the_window_must_fill_again)
{
	struct fnx_replay *replay = simple(3, half, 0);

	for (int i = 0; i < 3; i++)
		step(replay, 1, 0);
	fnx_replay_reset(replay);
	assert_int_equal(step(replay, 1, 0), 0);
	assert_int_equal(step(replay, 1, 0), 0);
	assert_int_equal(step(replay, 1, 0), 1);
	fnx_replay_free(replay);
}

TEST(a_posterior_that_is_no_distribution_begins_the_window_anew)
{
	struct fnx_replay *replay = simple(2, half, 0);
	const struct fnx_replay_bin broken = {.masses = NULL};
	struct fnx_replay_evidence evidence;

	step(replay, 1, 0);
	assert_int_equal(step(replay, 1, 0), 1);
	assert_int_equal(fnx_replay_step(replay, &broken, &evidence), 0);
	assert_int_equal(step(replay, 1, 0), 0);
	assert_int_equal(step(replay, 1, 0), 1);
	fnx_replay_free(replay);
}

TEST(only_a_distribution_has_masses)
{
	struct fnx_track *track = two_arms();
	double posterior[10] = {0};
	struct fnx_masses masses = {.arm = {7}};
	const double bad[] = {(double)NAN, HUGE_VAL, -HUGE_VAL, -0.1, 1.01, 1e300};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		posterior[5] = bad[i];
		assert_int_equal(fnx_masses_of(track, posterior, 1, &masses), -EINVAL);
	}
	assert_true(masses.arm[0] == 7);
	posterior[5] = 0.75;
	posterior[0] = 0.75; /* each fine by itself */
	assert_int_equal(fnx_masses_of(track, posterior, 1, &masses), -EINVAL);
	posterior[0] = 0.25;
	posterior[3] = (double)NAN; /* a gap is nobody's */
	assert_int_equal(fnx_masses_of(track, posterior, 1, &masses), 0);
	assert_true(masses.arm[0] == 0.25 && masses.arm[1] == 0.75 && masses.target[1] == 0.75);
	fnx_track_free(track);
}

TEST(states_are_summed_and_the_target_is_the_last_bins)
{
	struct fnx_track *track = two_arms();
	double posterior[2][10] = {
		{[4] = 0.125, [6] = 0.25}, {[5] = 0.125, [9] = 0.25, [8] = 0.125}};
	struct fnx_masses masses;

	assert_int_equal(fnx_masses_of(track, posterior[0], 2, &masses), 0);
	assert_true(masses.arm[0] == 0 && masses.arm[1] == 0.5 && masses.arm[2] == 0.375);
	assert_true(masses.target[0] == 0 && masses.target[1] == 0.375 && masses.target[2] == 0.25);
	fnx_track_free(track);
}

TEST(sums_do_not_drift)
{
	struct check_random random = check_random_seeded();
	struct fnx_replay *replay = simple(50, half, 0);
	struct fnx_masses masses = {0};
	const struct fnx_replay_bin bin = {.masses = &masses};
	struct fnx_replay_evidence evidence;

	for (int i = 0; i < 2000000; i++) {
		masses.arm[1] = masses.target[1] = check_random_unit(&random);
		fnx_replay_step(replay, &bin, &evidence);
	}
	masses.arm[1] = masses.target[1] = 0;
	for (int i = 0; i < 50; i++)
		fnx_replay_step(replay, &bin, &evidence);
	assert_true(evidence.target_mass == 0);
	fnx_replay_free(replay);
}

/* Gates ----------------------------------------------------------------------------------- */

static int gated(struct fnx_replay_params params, double distance_cm, double speed_cm_s)
{
	const struct fnx_masses masses = {.arm = {0, 1, 0}, .target = {0, 1, 0}};
	const struct fnx_replay_bin bin = {
		.masses = &masses, .centre_distance_cm = distance_cm, .speed_cm_s = speed_cm_s};
	struct fnx_replay_evidence evidence;
	struct fnx_replay *replay = simple(1, params, 0);
	int is_true = fnx_replay_step(replay, &bin, &evidence);

	fnx_replay_free(replay);
	return is_true;
}

TEST(the_animal_must_be_near_the_first_bin_if_that_is_asked)
{
	struct fnx_replay_params params = half;

	assert_int_equal(gated(params, (double)NAN, 0), 1);
	params.max_centre_distance_cm = 20;
	assert_int_equal(gated(params, 20, 0), 1);
	assert_int_equal(gated(params, 20.001, 0), 0);
	assert_int_equal(gated(params, (double)NAN, 0), 0);
}

TEST(the_animal_must_be_slow_if_that_is_asked)
{
	struct fnx_replay_params params = half;

	assert_int_equal(gated(params, 0, (double)NAN), 1);
	params.max_speed_cm_s = 4;
	assert_int_equal(gated(params, 0, 3.999), 1);
	assert_int_equal(gated(params, 0, 4), 0);
	assert_int_equal(gated(params, 0, -5), 0);
	assert_int_equal(gated(params, 0, (double)NAN), 0);
}

TEST(a_group_counts_once_and_only_while_its_spike_is_in_the_window)
{
	struct fnx_replay_params params = half;
	const struct fnx_masses masses = {.arm = {0, 1, 0}, .target = {0, 1, 0}};
	const uint32_t groups[][4] = {{3, 3, 3, 8}, {8, 9, 1000000, 0}, {0}, {0}};
	const uint32_t n_groups[] = {4, 3, 0, 0}, expected[] = {2, 2, 1, 0};
	struct fnx_replay_evidence evidence;
	struct fnx_replay *replay;

	params.min_groups = 2;
	replay = simple(2, params, 0);
	for (unsigned i = 0; i < 4; i++) {
		const struct fnx_replay_bin bin = {
			.masses = &masses, .groups = groups[i], .n_groups = n_groups[i]};
		int is_true = fnx_replay_step(replay, &bin, &evidence);

		assert_int_equal(evidence.n_groups, expected[i]);
		assert_int_equal(is_true, i == 1);
	}
	fnx_replay_free(replay);
}

TEST(settings_change_between_two_bins_and_bad_ones_change_nothing)
{
	struct fnx_replay *replay = simple(2, half, 0);
	struct fnx_replay_params params = half;

	step(replay, 0.4, 0);
	assert_int_equal(step(replay, 0.4, 0), 0);
	params.threshold = 1.5;
	assert_int_equal(fnx_replay_set(replay, &params), -EINVAL);
	params.threshold = (double)NAN;
	assert_int_equal(fnx_replay_set(replay, &params), -EINVAL);
	assert_int_equal(step(replay, 0.4, 0), 0);
	params.threshold = 0.3;
	assert_int_equal(fnx_replay_set(replay, &params), 0);
	assert_int_equal(step(replay, 0.4, 0), 1);
	fnx_replay_free(replay);
}

TEST(configurations_out_of_range_are_refused)
{
	const struct fnx_replay_config good = {.n_arms = 3,
		.arm = 1,
		.window_bins = 5,
		.n_groups = 9,
		.n_recent = 4,
		.params = half};
	struct fnx_replay_config bad[8];
	struct fnx_replay *replay = NULL;

	for (unsigned i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].n_arms = 0;
	bad[1].n_arms = FNX_TRACK_ARMS_MAX + 1;
	bad[2].arm = 3;
	bad[3].window_bins = 0;
	bad[4].window_bins = FNX_REPLAY_WINDOW_MAX + 1;
	bad[5].n_groups = 0;
	bad[6].n_recent = 0;
	bad[7].params.other_arms_below = -1;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fnx_replay_new(&bad[i], &replay), -EINVAL);
	assert_null(replay);
}

TEST(the_longest_window_of_full_masses_does_not_overflow)
{
	struct fnx_replay *replay = simple(FNX_REPLAY_WINDOW_MAX, half, 0);
	int is_true = 0;

	for (int i = 0; i < FNX_REPLAY_WINDOW_MAX + 10; i++)
		is_true = step(replay, 1, 0);
	assert_int_equal(is_true, 1);
	fnx_replay_free(replay);
}
