/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/transition.h"

enum {
	MAX_BINS = 200
};

static int32_t arms[MAX_BINS];
static double distance[MAX_BINS * MAX_BINS];

/* Random arms with random gaps between them, the first at bin 0. */
static uint32_t random_track(struct check_random *random)
{
	const uint32_t n = 1 + (uint32_t)check_random_below(random, MAX_BINS);

	for (uint32_t i = 0, arm = 0; i < n; arm++) {
		const uint64_t end = i + 1 + check_random_below(random, 30);

		for (; i < end && i < n; i++)
			arms[i] = (int32_t)arm;
		for (uint64_t gap = check_random_below(random, 5); gap > 0 && i < n; gap--)
			arms[i++] = -1;
	}
	return n;
}

/* C[j][k] as the field describes it, written out in full. */
static double naive_step(
	const struct fnx_transition_config *config, enum fnx_step step, uint32_t from, uint32_t to)
{
	const uint32_t n = config->n_bins;
	double row = 0.0, value = 0.0, n_track = 0.0;

	if (arms[from] < 0 || arms[to] < 0)
		return 0.0;
	for (uint32_t i = 0; i < n; i++) {
		const double z = config->distance_cm[from * n + i] / config->random_walk_cm;
		const double gaussian =
			exp(-0.5 * z * z) / (config->random_walk_cm * sqrt(2.0 * M_PI));

		if (arms[i] < 0)
			continue;
		n_track++;
		if (config->through_first_arm && arms[from] != 0 && arms[i] != 0 &&
			arms[i] != arms[from])
			continue;
		row += gaussian;
		if (i == to)
			value = gaussian;
	}
	switch (step) {
	case FNX_STEP_UNIFORM:
		return 1.0 / n_track;
	case FNX_STEP_IDENTITY:
		return from == to ? 1.0 : 0.0;
	default:
		return (1.0 - config->jump_probability) * value / row +
			config->jump_probability / n_track;
	}
}

TEST(random_transitions_agree_with_full_matrices)
{
	struct check_random random = check_random_seeded();
	static double posterior[FNX_STATES_MAX * MAX_BINS], prior[FNX_STATES_MAX * MAX_BINS];
	static _Alignas(64) double scratch[4 * MAX_BINS];

	for (int round = 0; round < 40; round++) {
		enum fnx_step steps[FNX_STATES_MAX * FNX_STATES_MAX];
		const uint32_t n = random_track(&random);
		const uint32_t n_states = 1 + (uint32_t)check_random_below(&random, 4);
		const struct fnx_transition_config config = {.n_bins = n,
			.bin_arms = arms,
			.n_states = n_states,
			.steps = steps,
			.discrete_diagonal = check_random_unit(&random),
			.distance_cm = distance,
			.random_walk_cm = 1.0 + 20.0 * check_random_unit(&random),
			.through_first_arm = check_random_below(&random, 2),
			.jump_probability =
				check_random_below(&random, 2) ? check_random_unit(&random) : 0.0};
		struct fnx_transition transition;

		for (uint32_t i = 0; i < n_states * n_states; i++)
			steps[i] = (enum fnx_step)check_random_below(&random, 3);
		fnx_transition_parity_distances(n, arms, 5.0, distance);
		assert_int_equal(fnx_transition_init(&transition, &config), 0);
		for (uint32_t i = 0; i < n_states * n; i++)
			posterior[i] =
				check_random_below(&random, 4) ? check_random_unit(&random) : 0.0;
		memset(scratch, 0xff, sizeof(scratch));
		memset(prior, 0xff, sizeof(prior));
		fnx_transition_predict(&transition, posterior, scratch, prior);
		for (uint32_t k = 0; k < n_states; k++) {
			for (uint32_t to = 0; to < n; to++) {
				double expected = 0.0;

				for (uint32_t j = 0; j < n_states; j++) {
					const double d = n_states == 1 ? 1.0
						: j == k
						? config.discrete_diagonal
						: (1.0 - config.discrete_diagonal) / (n_states - 1);

					for (uint32_t from = 0; from < n; from++)
						if (posterior[j * n + from] != 0.0)
							expected += d * posterior[j * n + from] *
								naive_step(&config,
									steps[j * n_states + k],
									from, to);
				}
				assert_true(fabs(prior[k * n + to] - expected) < 1e-12);
			}
		}
		fnx_transition_fini(&transition);
	}
}

TEST(parity_distances_count_the_other_arms_from_the_end_of_the_first)
{
	const int32_t bins[7] = {0, 0, 0, -1, 1, 1, 2};
	double d[49];

	fnx_transition_parity_distances(7, bins, 5.0, d);
	assert_true(d[0 * 7 + 2] == 10.0);
	assert_true(d[2 * 7 + 4] == 5.0);
	assert_true(d[5 * 7 + 0] == 20.0);
	assert_true(d[4 * 7 + 6] == 0.0);
	assert_true(d[5 * 7 + 5] == 0.0);
	assert_true(isnan(d[3 * 7 + 1]) && isnan(d[1 * 7 + 3]) && isnan(d[3 * 7 + 3]));
}

TEST(gaps_are_never_entered_and_never_left)
{
	const int32_t bins[4] = {0, -1, 1, 1};
	const enum fnx_step steps[4] = {
		FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY, FNX_STEP_UNIFORM};
	_Alignas(64) double scratch[32];
	double d[16], prior[8];
	const double in_gap[8] = {0, 0.5, 0, 0, 0, 0.5, 0, 0};
	const double everywhere[8] = {0.1, 0.1, 0.1, 0.1, 0.15, 0.15, 0.15, 0.15};
	struct fnx_transition transition;

	fnx_transition_parity_distances(4, bins, 5.0, d);
	assert_int_equal(fnx_transition_init(&transition,
				 &(struct fnx_transition_config){.n_bins = 4,
					 .bin_arms = bins,
					 .n_states = 2,
					 .steps = steps,
					 .discrete_diagonal = 0.9,
					 .distance_cm = d,
					 .random_walk_cm = 6.0}),
		0);
	fnx_transition_predict(&transition, in_gap, scratch, prior);
	for (int i = 0; i < 8; i++)
		assert_true(prior[i] == 0.0);
	fnx_transition_predict(&transition, everywhere, scratch, prior);
	assert_true(prior[1] == 0.0 && prior[5] == 0.0);
	fnx_transition_fini(&transition);
}

TEST(what_is_on_the_track_stays_there_in_full)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 20; round++) {
		const uint32_t n = random_track(&random);
		enum fnx_step steps[9];
		static double posterior[3 * MAX_BINS], prior[3 * MAX_BINS];
		static _Alignas(64) double scratch[4 * MAX_BINS];
		struct fnx_transition transition;
		double before = 0.0, after = 0.0;

		for (int i = 0; i < 9; i++)
			steps[i] = (enum fnx_step)check_random_below(&random, 3);
		fnx_transition_parity_distances(n, arms, 5.0, distance);
		assert_int_equal(fnx_transition_init(&transition,
					 &(struct fnx_transition_config){.n_bins = n,
						 .bin_arms = arms,
						 .n_states = 3,
						 .steps = steps,
						 .discrete_diagonal = 0.98,
						 .distance_cm = distance,
						 .random_walk_cm = 6.0,
						 .jump_probability = 0.1}),
			0);
		for (uint32_t i = 0; i < 3 * n; i++) {
			posterior[i] = arms[i % n] < 0 ? 0.0 : check_random_unit(&random);
			before += posterior[i];
		}
		fnx_transition_predict(&transition, posterior, scratch, prior);
		for (uint32_t i = 0; i < 3 * n; i++)
			after += prior[i];
		assert_true(fabs(after - before) < 1e-9);
		fnx_transition_fini(&transition);
	}
}

TEST(transitions_that_cannot_be_are_refused)
{
	const int32_t bins[2] = {0, 0}, gaps[2] = {-1, -1};
	const double d[4] = {0, 5, 5, 0};
	const enum fnx_step walk = FNX_STEP_RANDOM_WALK, stay = FNX_STEP_IDENTITY,
			    odd = (enum fnx_step)7;
	const struct fnx_transition_config good = {.n_bins = 2,
		.bin_arms = bins,
		.n_states = 1,
		.steps = &walk,
		.distance_cm = d,
		.random_walk_cm = 6.0};
	struct fnx_transition_config bad[8];
	struct fnx_transition transition;

	for (int i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].n_bins = 0;
	bad[1].n_states = 0;
	bad[2].n_states = FNX_STATES_MAX + 1;
	bad[3].distance_cm = NULL;
	bad[4].random_walk_cm = 0.0;
	bad[5].jump_probability = 1.5;
	bad[6].bin_arms = gaps;
	bad[7].steps = &odd;
	for (int i = 0; i < 8; i++)
		assert_int_equal(fnx_transition_init(&transition, &bad[i]), -EINVAL);
	bad[3].steps = &stay;
	assert_int_equal(fnx_transition_init(&transition, &bad[3]), 0);
	fnx_transition_fini(&transition);
}
