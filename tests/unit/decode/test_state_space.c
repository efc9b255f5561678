/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One file although it is long: the decoder written out naively serves the parity tests, and the
 * small decoder of two bins all the others.
 */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/state_space.h"
#include "nodes/host/host.h"

enum {
	MAX_BINS = 120,
	MAX_GROUPS = 40,
	MAX_SPIKES = 64,
	MAX_STATES = 3
};

static const enum fnx_step CLASSIFIER[9] = {FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM,
	FNX_STEP_IDENTITY, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM,
	FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY};
static const enum fnx_step ONE_STATE = FNX_STEP_UNIFORM;

static int32_t arms[MAX_BINS];
static double distance[MAX_BINS * MAX_BINS];

/* Three arms with gaps where there is room for them. */
static struct fnx_state_space_config config_of(uint32_t n_bins, uint32_t n_groups, bool classifier)
{
	for (uint32_t i = 0; i < n_bins; i++) {
		const uint32_t third = i * 3 / n_bins;

		arms[i] =
			i > 0 && n_bins > 8 && (i - 1) * 3 / n_bins != third ? -1 : (int32_t)third;
	}
	fnx_transition_parity_distances(n_bins, arms, 5.0, distance);
	return (struct fnx_state_space_config){
		.transition = {.n_bins = n_bins,
			.bin_arms = arms,
			.n_states = classifier ? 3 : 1,
			.steps = classifier ? CLASSIFIER : &ONE_STATE,
			.discrete_diagonal = 0.98,
			.distance_cm = distance,
			.random_walk_cm = 6.0,
			.through_first_arm = true},
		.n_groups = n_groups,
		.max_spikes = MAX_SPIKES,
		.time_bin_s = 0.006,
		.credible_mass = 0.5,
		.credible_max_bins = 5,
		.position_sample_s = 1.0 / 30.0,
	};
}

/* The ancestor's time bin, one operation after the other. */
struct naive {
	double rates[MAX_GROUPS][MAX_BINS];
	double occupancy[MAX_BINS];
	double posterior[MAX_STATES][MAX_BINS];
	double likelihood[MAX_BINS];
	uint32_t n_spikes;
};

static struct naive naive;

static void naive_init(const struct fnx_state_space_config *config)
{
	const uint32_t n = config->transition.n_bins, n_states = config->transition.n_states;

	for (uint32_t i = 0; i < n; i++) {
		naive.occupancy[i] = 1.0;
		for (uint32_t g = 0; g < config->n_groups; g++)
			naive.rates[g][i] = 1.0;
		for (uint32_t k = 0; k < n_states; k++)
			naive.posterior[k][i] = 1.0 / (n * n_states);
	}
}

static void naive_occupy(const struct fnx_state_space_config *config, int32_t bin)
{
	naive.occupancy[bin] += 1.0;
	for (uint32_t i = 0; i < config->transition.n_bins; i++)
		if (arms[i] < 0)
			naive.occupancy[i] = NAN;
}

static double nansum(const double *values, uint32_t n)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < n; i++)
		sum += isnan(values[i]) ? 0.0 : values[i];
	return sum;
}

static double naive_step(
	const struct fnx_state_space_config *config, enum fnx_step step, uint32_t from, uint32_t to)
{
	const uint32_t n = config->transition.n_bins;
	double row = 0.0, n_track = 0.0;

	if (arms[from] < 0 || arms[to] < 0)
		return 0.0;
	if (step == FNX_STEP_IDENTITY)
		return from == to;
	for (uint32_t i = 0; i < n; i++) {
		const double z = distance[from * n + i] / 6.0;

		n_track += arms[i] >= 0;
		if (arms[i] == 0 || arms[from] == 0 || arms[i] == arms[from])
			row += arms[i] < 0 ? 0.0 : exp(-0.5 * z * z);
	}
	if (step == FNX_STEP_UNIFORM)
		return 1.0 / n_track;
	if (arms[to] != 0 && arms[from] != 0 && arms[to] != arms[from])
		return 0.0;
	return exp(-0.5 * pow(distance[from * n + to] / 6.0, 2)) / row;
}

static double naive_prior(const struct fnx_state_space_config *config, uint32_t k, uint32_t to)
{
	const uint32_t n = config->transition.n_bins, n_states = config->transition.n_states;
	double sum = 0.0;

	for (uint32_t j = 0; j < n_states; j++) {
		const double d = n_states == 1 ? 1.0 : j == k ? 0.98 : 0.01;

		for (uint32_t from = 0; from < n; from++)
			sum += d * naive.posterior[j][from] *
				naive_step(config, config->transition.steps[j * n_states + k], from,
					to);
	}
	return sum;
}

/* Spikes must be in order of time. */
static void naive_tick(const struct fnx_state_space_config *config,
	const struct fnx_decode_spike *spikes, uint32_t n_spikes)
{
	const uint32_t n = config->transition.n_bins, n_states = config->transition.n_states;
	const struct fnx_decode_spike *kept[MAX_SPIKES];
	double posterior[MAX_STATES][MAX_BINS], sum = 0.0, *lk = naive.likelihood;

	naive.n_spikes = 0;
	for (uint32_t i = 0; i < n_spikes; i++) {
		uint32_t n_same = 0, first = n_spikes;

		for (uint32_t j = 0; j < n_spikes; j++) {
			if (spikes[j].sample_time == spikes[i].sample_time) {
				n_same++;
				first = j < first ? j : first;
			}
		}
		if (n_same < 3 && first == i)
			kept[naive.n_spikes++] = &spikes[i];
	}
	for (uint32_t i = 0; i < naive.n_spikes; i++)
		naive.rates[kept[i]->group][kept[i]->position_bin] += 1.0;
	for (uint32_t i = 0; i < n; i++)
		lk[i] = 1.0;
	for (uint32_t g = 0; g < config->n_groups; g++) {
		const double all = nansum(naive.rates[g], n), occupied = nansum(naive.occupancy, n);

		for (uint32_t i = 0; i < n; i++)
			lk[i] *= exp(-config->time_bin_s * (naive.rates[g][i] / all) /
				(naive.occupancy[i] / occupied));
		sum = nansum(lk, n);
		for (uint32_t i = 0; i < n; i++)
			lk[i] = isfinite(lk[i] / sum) ? lk[i] / sum : 0.0;
	}
	for (uint32_t s = 0; s < naive.n_spikes; s++) {
		sum = 0.0;
		for (uint32_t i = 0; i < n; i++)
			sum += lk[i] *= kept[s]->likelihood[i];
		for (uint32_t i = 0; i < n; i++)
			lk[i] /= sum;
	}
	sum = 0.0;
	for (uint32_t k = 0; k < n_states; k++) {
		for (uint32_t i = 0; i < n; i++) {
			posterior[k][i] = lk[i] * naive_prior(config, k, i);
			sum += isnan(posterior[k][i]) ? 0.0 : posterior[k][i];
		}
	}
	for (uint32_t k = 0; k < n_states; k++)
		for (uint32_t i = 0; i < n; i++)
			naive.posterior[k][i] = posterior[k][i] / sum;
}

static void random_likelihood(struct check_random *random, uint32_t n, double *ret_likelihood)
{
	const double at = check_random_unit(random) * n;
	double sum = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		const double z = (i - at) / 4.0;

		ret_likelihood[i] = arms[i] < 0 ? 0.0 : exp(-0.5 * z * z) + 1e-6;
		sum += ret_likelihood[i];
	}
	for (uint32_t i = 0; i < n; i++)
		ret_likelihood[i] /= sum;
}

static int32_t random_bin(struct check_random *random, uint32_t n)
{
	int32_t bin;

	do
		bin = (int32_t)check_random_below(random, n);
	while (arms[bin] < 0);
	return bin;
}

static uint32_t random_spikes(struct check_random *random,
	const struct fnx_state_space_config *config, double likelihoods[][MAX_BINS],
	struct fnx_decode_spike *ret_spikes)
{
	const uint32_t n = (uint32_t)check_random_below(random, 12);
	int64_t time = 0;

	for (uint32_t i = 0; i < n; i++) {
		random_likelihood(random, config->transition.n_bins, likelihoods[i]);
		time += check_random_below(random, 3) ? 1 + (int64_t)check_random_below(random, 20)
						      : 0;
		ret_spikes[i] = (struct fnx_decode_spike){.sample_time = time,
			.group = (uint32_t)check_random_below(random, config->n_groups),
			.position_bin = random_bin(random, config->transition.n_bins),
			.credible_bins = 1 + (uint32_t)check_random_below(random, 9),
			.stored = check_random_below(random, 2),
			.likelihood = likelihoods[i]};
	}
	return n;
}

/* What every tick must overwrite before it reads it. */
static void poison(struct fnx_state_space *space)
{
	const uint32_t n = space->transition.n_bins;

	memset(space->work, 0xff, 2 * (n / 8 * 8) * sizeof(double));
	memset(space->prior, 0xff, space->transition.n_states * n * sizeof(double));
	memset(space->likelihood, 0xff, n * sizeof(double));
	memset(space->order, 0xff, 2 * space->config.max_spikes * sizeof(uint32_t));
}

TEST(random_sessions_in_parity_agree_with_the_definition)
{
	struct check_random random = check_random_seeded();
	static double likelihoods[MAX_SPIKES][MAX_BINS];
	struct fnx_decode_spike spikes[MAX_SPIKES];

	for (int round = 0; round < 24; round++) {
		struct fnx_state_space_config config =
			config_of(1 + (uint32_t)check_random_below(&random, MAX_BINS),
				1 + (uint32_t)check_random_below(&random, MAX_GROUPS), round % 2);
		const uint32_t n = config.transition.n_bins;
		struct fnx_state_space space;
		struct fnx_decode_result result;

		config.parity = true;
		assert_int_equal(fnx_state_space_init(&space, &config), 0);
		naive_init(&config);
		for (int t = 0; t < 15; t++) {
			const uint32_t n_spikes =
				random_spikes(&random, &config, likelihoods, spikes);

			if (t > 2 && check_random_below(&random, 2)) {
				const int32_t bin = random_bin(&random, n);

				assert_true(fnx_state_space_occupy(&space, bin));
				naive_occupy(&config, bin);
			}
			poison(&space);
			fnx_state_space_tick(&space, spikes, n_spikes, &result);
			naive_tick(&config, spikes, n_spikes);
			assert_int_equal(result.n_spikes, naive.n_spikes);
			assert_int_equal(result.n_spikes + result.n_duplicates, n_spikes);
			for (uint32_t i = 0; i < n; i++)
				assert_true(
					fabs(result.likelihood[i] - naive.likelihood[i]) < 1e-11);
			for (uint32_t k = 0; k < config.transition.n_states; k++)
				for (uint32_t i = 0; i < n; i++)
					assert_true(fabs(result.posterior[k * n + i] -
							    naive.posterior[k][i]) < 1e-10);
		}
		fnx_state_space_fini(&space);
	}
}

static void assert_distributions(
	const struct fnx_state_space *space, const struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins, n_states = space->transition.n_states;
	double sum = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		assert_true(isfinite(result->likelihood[i]) && result->likelihood[i] >= 0.0);
		assert_true(arms[i] >= 0 || result->likelihood[i] == 0.0);
		sum += result->likelihood[i];
	}
	assert_true(fabs(sum - 1.0) < 1e-9);
	sum = 0.0;
	for (uint32_t i = 0; i < n * n_states; i++) {
		assert_true(isfinite(result->posterior[i]) && result->posterior[i] >= 0.0);
		assert_true(arms[i % n] >= 0 || result->posterior[i] == 0.0);
		sum += result->posterior[i];
	}
	assert_true(fabs(sum - 1.0) < 1e-9);
	assert_in_range(result->credible_posterior, 1, n + 1);
	assert_in_range(result->decoded_bin, 0, n - 1);
}

TEST(outside_parity_posteriors_are_distributions_whatever_the_spikes_say)
{
	struct check_random random = check_random_seeded();
	static double likelihoods[MAX_SPIKES][MAX_BINS];
	struct fnx_decode_spike spikes[MAX_SPIKES];
	const double odd[] = {0.0, NAN, INFINITY, -INFINITY, 1e-320, 1e308};

	for (int round = 0; round < 60; round++) {
		struct fnx_state_space_config config =
			config_of(1 + (uint32_t)check_random_below(&random, MAX_BINS),
				1 + (uint32_t)check_random_below(&random, MAX_GROUPS), round % 2);
		const uint32_t n = config.transition.n_bins;
		struct fnx_state_space space;
		struct fnx_decode_result result;

		config.rates_hz = check_random_below(&random, 2);
		config.rates_while_training = check_random_below(&random, 2);
		config.duplicates_per_group = check_random_below(&random, 2);
		config.log_space = check_random_below(&random, 2);
		config.likelihood_floor = check_random_below(&random, 2) ? 1e-4 : 0.0;
		config.transition.through_first_arm = check_random_below(&random, 2);
		assert_int_equal(fnx_state_space_init(&space, &config), 0);
		for (int t = 0; t < 30; t++) {
			const uint32_t n_spikes =
				random_spikes(&random, &config, likelihoods, spikes);

			for (uint32_t i = 0; i < n_spikes; i++) {
				const uint64_t kind = check_random_below(&random, 6);

				if (kind == 0)
					for (uint32_t b = 0; b < n; b++)
						likelihoods[i][b] =
							odd[check_random_below(&random, 6)];
				else if (kind == 1)
					for (uint32_t b = 0; b < n; b++)
						likelihoods[i][b] = b == 0;
				else if (kind == 2)
					spikes[i].likelihood = NULL;
				if (check_random_below(&random, 4) == 0)
					spikes[i].position_bin = -1;
				if (check_random_below(&random, 20) == 0)
					spikes[i].group = config.n_groups;
			}
			fnx_state_space_occupy(
				&space, (int32_t)check_random_below(&random, n + 1) - 1);
			poison(&space);
			fnx_state_space_tick(&space, spikes, n_spikes, &result);
			assert_distributions(&space, &result);
		}
		fnx_state_space_fini(&space);
	}
}

/* A small decoder of two bins and two groups to state single facts with. */
static struct fnx_state_space small(bool parity, void (*change)(struct fnx_state_space_config *))
{
	struct fnx_state_space_config config = config_of(2, 2, false);
	struct fnx_state_space space;

	arms[0] = arms[1] = 0;
	config.parity = parity;
	if (change)
		change(&config);
	assert_int_equal(fnx_state_space_init(&space, &config), 0);
	return space;
}

static const double FIRST[2] = {1.0, 0.0}, SECOND[2] = {0.0, 1.0}, MOSTLY[2] = {0.9, 0.1};

TEST(a_time_stamp_seen_twice_keeps_one_spike_and_seen_thrice_loses_all_in_parity)
{
	struct fnx_state_space space = small(true, NULL);
	struct fnx_decode_spike spikes[5] = {{.sample_time = 5, .group = 0, .likelihood = MOSTLY},
		{.sample_time = 5, .group = 1, .likelihood = MOSTLY},
		{.sample_time = 9, .group = 0, .likelihood = MOSTLY},
		{.sample_time = 9, .group = 1, .likelihood = MOSTLY},
		{.sample_time = 9, .group = 0, .likelihood = MOSTLY}};
	struct fnx_decode_result result;

	fnx_state_space_tick(&space, spikes, 5, &result);
	assert_int_equal(result.n_spikes, 1);
	assert_int_equal(result.n_duplicates, 4);
	/* The first to arrive is the one that is kept. */
	assert_true(space.rates[0] == 2.0 && space.rates[2] == 1.0);
	fnx_state_space_fini(&space);
}

static void per_group(struct fnx_state_space_config *config)
{
	config->duplicates_per_group = true;
}

TEST(per_group_only_spikes_of_one_group_are_duplicates_of_each_other)
{
	struct fnx_state_space space = small(false, per_group);
	struct fnx_decode_spike spikes[5] = {{.sample_time = 5, .group = 0, .likelihood = MOSTLY},
		{.sample_time = 5, .group = 1, .likelihood = MOSTLY},
		{.sample_time = 9, .group = 0, .likelihood = MOSTLY},
		{.sample_time = 9, .group = 1, .likelihood = MOSTLY},
		{.sample_time = 9, .group = 0, .likelihood = MOSTLY}};
	struct fnx_decode_result result;

	fnx_state_space_tick(&space, spikes, 5, &result);
	assert_int_equal(result.n_spikes, 4);
	assert_int_equal(result.n_duplicates, 1);
	fnx_state_space_fini(&space);
}

static void rates_hz(struct fnx_state_space_config *config)
{
	config->rates_hz = config->rates_while_training = true;
}

TEST(rates_in_hertz_learn_from_stored_spikes_and_seconds_of_occupancy)
{
	struct fnx_state_space space = small(false, rates_hz);
	const struct fnx_decode_spike spikes[4] = {
		{.sample_time = 1, .group = 0, .position_bin = 1, .stored = true},
		{.sample_time = 2, .group = 1, .position_bin = 1, .stored = true},
		{.sample_time = 3, .group = 1, .position_bin = 0},
		{.sample_time = 4, .group = 1, .position_bin = -1, .stored = true}};
	struct fnx_decode_result result;
	double ratio;

	for (int i = 0; i < 2; i++)
		assert_true(fnx_state_space_occupy(&space, 1));
	fnx_state_space_tick(&space, spikes, 4, &result);
	assert_int_equal(result.n_spikes, 0);
	/* Two spikes in three samples of a thirtieth of a second: 20 Hz where there are none. */
	ratio = result.likelihood[1] / result.likelihood[0];
	assert_true(fabs(ratio - exp(-0.006 * 20.0)) < 1e-12);
	fnx_state_space_fini(&space);
}

static void every_spike(struct fnx_state_space_config *config)
{
	config->rates_hz = true;
}

TEST(rates_learn_from_spikes_that_trained_nothing_only_without_while_training)
{
	struct fnx_state_space all = small(false, every_spike), trained = small(false, rates_hz);
	const struct fnx_decode_spike spike = {.sample_time = 1, .group = 1, .position_bin = 0};
	struct fnx_decode_result result;

	fnx_state_space_tick(&all, &spike, 1, &result);
	fnx_state_space_tick(&trained, &spike, 1, &result);
	assert_true(all.rates[2] == 1.0);
	assert_true(trained.rates[2] == 0.0);
	fnx_state_space_fini(&all);
	fnx_state_space_fini(&trained);
}

TEST(in_parity_spikes_that_exclude_each_other_leave_nan_behind)
{
	struct fnx_state_space space = small(true, NULL);
	const struct fnx_decode_spike spikes[2] = {
		{.sample_time = 1, .likelihood = FIRST}, {.sample_time = 2, .likelihood = SECOND}};
	struct fnx_decode_result result;

	fnx_state_space_tick(&space, spikes, 2, &result);
	assert_true(isnan(result.posterior[0]));
	fnx_state_space_fini(&space);
}

TEST(outside_parity_a_spike_that_contradicts_the_rest_is_left_out_and_counted)
{
	struct fnx_state_space space = small(false, NULL);
	const struct fnx_decode_spike spikes[2] = {
		{.sample_time = 1, .likelihood = FIRST}, {.sample_time = 2, .likelihood = SECOND}};
	struct fnx_decode_result result;

	fnx_state_space_tick(&space, spikes, 2, &result);
	assert_int_equal(result.n_contradictions, 1);
	assert_int_equal(result.n_spikes, 1);
	assert_true(result.posterior[0] == 1.0);
	fnx_state_space_fini(&space);
}

static void with_floor(struct fnx_state_space_config *config)
{
	config->likelihood_floor = 0.01;
}

TEST(with_a_floor_no_spike_excludes_a_bin)
{
	struct fnx_state_space space = small(false, with_floor);
	const struct fnx_decode_spike spikes[2] = {{.sample_time = 1, .likelihood = FIRST},
		{.sample_time = 2, .position_bin = 1, .likelihood = SECOND}};
	struct fnx_decode_result result;

	fnx_state_space_tick(&space, spikes, 2, &result);
	assert_int_equal(result.n_contradictions, 0);
	assert_true(fabs(result.posterior[0] - 0.5) < 1e-12);
	fnx_state_space_fini(&space);
}

static void log_space(struct fnx_state_space_config *config)
{
	config->log_space = true;
}

TEST(in_log_space_a_product_below_the_smallest_number_keeps_its_order)
{
	const double tiny[2] = {1.0 - 1e-300, 1e-300}, back[2] = {1e-300, 1.0 - 1e-300};
	struct fnx_state_space plain = small(false, NULL), logs = small(false, log_space);
	const struct fnx_decode_spike spikes[4] = {{.sample_time = 1, .likelihood = tiny},
		{.sample_time = 2, .likelihood = tiny},
		{.sample_time = 3, .position_bin = 1, .likelihood = back},
		{.sample_time = 4, .position_bin = 1, .likelihood = back}};
	struct fnx_decode_result result;

	fnx_state_space_tick(&plain, spikes, 4, &result);
	assert_true(result.likelihood[1] == 0.0);
	fnx_state_space_tick(&logs, spikes, 4, &result);
	assert_true(fabs(result.likelihood[1] - 0.5) < 1e-9);
	fnx_state_space_fini(&plain);
	fnx_state_space_fini(&logs);
}

TEST(spikes_out_of_order_give_the_result_of_spikes_in_order)
{
	struct check_random random = check_random_seeded();
	static double likelihoods[MAX_SPIKES][MAX_BINS];
	struct fnx_decode_spike spikes[MAX_SPIKES];
	struct fnx_state_space_config config = config_of(41, 5, true);
	struct fnx_state_space a, b;
	struct fnx_decode_result ra, rb;

	config.parity = true;
	assert_int_equal(fnx_state_space_init(&a, &config), 0);
	assert_int_equal(fnx_state_space_init(&b, &config), 0);
	for (int t = 0; t < 200; t++) {
		const uint32_t n = random_spikes(&random, &config, likelihoods, spikes);

		for (uint32_t i = 0; i < n; i++)
			spikes[i].sample_time = i * 7;
		fnx_state_space_tick(&a, spikes, n, &ra);
		for (uint32_t i = n; i > 1; i--) {
			const uint32_t j = (uint32_t)check_random_below(&random, i);
			const struct fnx_decode_spike swap = spikes[i - 1];

			spikes[i - 1] = spikes[j];
			spikes[j] = swap;
		}
		fnx_state_space_tick(&b, spikes, n, &rb);
		assert_memory_equal(ra.posterior, rb.posterior, 3 * 41 * sizeof(double));
		assert_int_equal(ra.n_recent, rb.n_recent);
		assert_memory_equal(ra.recent_groups, rb.recent_groups,
			ra.n_recent * sizeof(ra.recent_groups[0]));
	}
	fnx_state_space_fini(&a);
	fnx_state_space_fini(&b);
}

TEST(the_last_ten_good_spikes_are_remembered_in_order_of_time)
{
	struct fnx_state_space space = small(false, NULL);
	struct fnx_decode_spike spikes[20];
	struct fnx_decode_result result;

	for (int i = 0; i < 20; i++)
		spikes[i] = (struct fnx_decode_spike){.sample_time = i,
			.group = (uint32_t)i % 2,
			.credible_bins = i % 4 == 3 ? 6 : 5,
			.likelihood = i % 2 ? SECOND : MOSTLY};
	fnx_state_space_tick(&space, spikes, 20, &result);
	/* Good: all but 3 7 11 15 19; of the others the last ten are 6 8 9 10 12 13 14 16 17 18. */
	assert_int_equal(result.n_recent, 10);
	for (int i = 0, time = 6; i < 10; time++) {
		if (time % 4 == 3)
			continue;
		assert_int_equal(result.recent_groups[i], time % 2);
		assert_int_equal(result.recent_bins[i], time % 2);
		i++;
	}
	fnx_state_space_fini(&space);
}

TEST(spikes_beyond_the_limit_are_dropped_and_counted)
{
	struct fnx_state_space space = small(true, NULL);
	static struct fnx_decode_spike spikes[MAX_SPIKES + 3];
	struct fnx_decode_result result;

	for (int i = 0; i < MAX_SPIKES + 3; i++)
		spikes[i] = (struct fnx_decode_spike){.sample_time = i, .likelihood = MOSTLY};
	spikes[0].group = 2;
	fnx_state_space_tick(&space, spikes, MAX_SPIKES + 3, &result);
	assert_int_equal(result.n_spikes, MAX_SPIKES);
	assert_int_equal(result.n_dropped, 3);
	fnx_state_space_fini(&space);
}

TEST(a_restored_decoder_goes_on_where_it_was)
{
	struct check_random random = check_random_seeded();
	static double likelihoods[MAX_SPIKES][MAX_BINS];
	struct fnx_decode_spike spikes[MAX_SPIKES];

	for (int hz = 0; hz < 2; hz++) {
		struct fnx_state_space_config config = config_of(30, 4, true);
		struct fnx_state_space a, b;
		struct fnx_decode_result ra, rb;
		double bad[4 * 30] = {0};
		uint32_t n;

		config.rates_hz = hz;
		assert_int_equal(fnx_state_space_init(&a, &config), 0);
		assert_int_equal(fnx_state_space_init(&b, &config), 0);
		for (int t = 0; t < 50; t++) {
			fnx_state_space_occupy(&a, random_bin(&random, 30));
			n = random_spikes(&random, &config, likelihoods, spikes);
			fnx_state_space_tick(&a, spikes, n, &ra);
		}
		bad[7] = -1.0;
		assert_int_equal(fnx_state_space_restore(&b, bad, a.occupancy.counts, 5), -EINVAL);
		assert_int_equal(fnx_state_space_restore(
					 &b, a.rates, a.occupancy.counts, *a.occupancy.n_samples),
			0);
		fnx_state_space_forget(&a);
		n = random_spikes(&random, &config, likelihoods, spikes);
		fnx_state_space_tick(&a, spikes, n, &ra);
		fnx_state_space_tick(&b, spikes, n, &rb);
		assert_memory_equal(ra.posterior, rb.posterior, 3 * 30 * sizeof(double));
		fnx_state_space_fini(&a);
		fnx_state_space_fini(&b);
	}
}

TEST(a_time_bin_allocates_nothing)
{
	struct check_random random = check_random_seeded();
	static double likelihoods[MAX_SPIKES][MAX_BINS];
	static _Atomic uint64_t n_allocated;
	struct fnx_decode_spike spikes[MAX_SPIKES];

	for (int mode = 0; mode < 3; mode++) {
		struct fnx_state_space_config config = config_of(41, 8, true);
		struct fnx_state_space space;
		struct fnx_decode_result result;

		config.parity = mode == 0;
		config.rates_hz = config.duplicates_per_group = mode > 0;
		config.log_space = mode == 2;
		assert_int_equal(fnx_state_space_init(&space, &config), 0);
		fnx_heap_watch(&n_allocated);
		for (int t = 0; t < 200; t++) {
			const uint32_t n = random_spikes(&random, &config, likelihoods, spikes);

			fnx_state_space_occupy(&space, random_bin(&random, 41));
			fnx_state_space_tick(&space, spikes, n, &result);
		}
		fnx_heap_watch(NULL);
		assert_int_equal(n_allocated, 0);
		fnx_state_space_fini(&space);
	}
}

TEST(options_and_parity_exclude_each_other)
{
	struct fnx_state_space_config bad[9];
	struct fnx_state_space space;

	for (int i = 0; i < 9; i++) {
		bad[i] = config_of(10, 2, true);
		bad[i].parity = i < 6 || i == 8;
	}
	bad[0].rates_hz = true;
	bad[1].duplicates_per_group = true;
	bad[2].likelihood_floor = 1e-3;
	bad[3].log_space = true;
	bad[4].transition.jump_probability = 0.1;
	bad[5].occupancy_floor = 1.0;
	bad[6].n_groups = 0;
	bad[7].time_bin_s = 0.0;
	bad[8].rates_while_training = true;
	for (int i = 0; i < 9; i++)
		assert_int_equal(fnx_state_space_init(&space, &bad[i]), -EINVAL);
}
