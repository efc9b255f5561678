/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "nodes/decode/smoother.h"

enum {
	BINS = 4,
	TIMES = 5,
	VALUES_MAX = 2 * BINS,
};

static const enum fnx_step STEPS[4] = {
	FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY, FNX_STEP_UNIFORM};
static const int32_t arms[BINS] = {0, 0, -1, 1};

struct model {
	struct fnx_transition transition;
	uint32_t n; /* values: states times bins */
	double matrix[VALUES_MAX][VALUES_MAX]; /* [from][to] */
	double likelihoods[TIMES][BINS];
	double posteriors[TIMES][VALUES_MAX];
};

/* The filter, one bin after the other; the matrix from what becomes of each value alone. */
static void run_filter(struct model *model)
{
	static _Alignas(64) double scratch[64];
	double prior[VALUES_MAX];

	for (uint32_t from = 0; from < model->n; from++) {
		double alone[VALUES_MAX] = {0};

		alone[from] = 1.0;
		fnx_transition_predict(&model->transition, alone, scratch, model->matrix[from]);
	}
	for (int t = 0; t < TIMES; t++) {
		double *posterior = model->posteriors[t], sum = 0.0;

		for (uint32_t i = 0; i < model->n; i++)
			prior[i] = arms[i % BINS] < 0 ? 0.0 : 1.0;
		if (t > 0)
			fnx_transition_predict(
				&model->transition, model->posteriors[t - 1], scratch, prior);
		for (uint32_t i = 0; i < model->n; i++)
			sum += posterior[i] = prior[i] * model->likelihoods[t][i % BINS];
		for (uint32_t i = 0; i < model->n; i++)
			posterior[i] /= sum;
	}
}

/* Every way through all time bins, with its probability. */
static void follow_ways(const struct model *model, double ret_marginals[TIMES][VALUES_MAX])
{
	uint32_t at[TIMES] = {0};
	double total = 0.0;

	memset(ret_marginals, 0, TIMES * sizeof(*ret_marginals));
	for (bool more = true; more;) {
		double way = arms[at[0] % BINS] < 0 ? 0.0 : model->likelihoods[0][at[0] % BINS];

		for (int t = 1; t < TIMES; t++)
			way *= model->matrix[at[t - 1]][at[t]] *
				model->likelihoods[t][at[t] % BINS];
		for (int t = 0; t < TIMES; t++)
			ret_marginals[t][at[t]] += way;
		total += way;
		more = false;
		for (int t = 0; t < TIMES && !more; t++) {
			more = ++at[t] < model->n;
			at[t] = more ? at[t] : 0;
		}
	}
	for (int t = 0; t < TIMES; t++)
		for (uint32_t i = 0; i < model->n; i++)
			ret_marginals[t][i] /= total;
}

TEST(smoothed_posteriors_are_the_marginals_over_all_ways)
{
	struct check_random random = check_random_seeded();
	double distance[BINS * BINS], marginals[TIMES][VALUES_MAX], smoothed[VALUES_MAX];

	fnx_transition_parity_distances(BINS, arms, 5.0, distance);
	for (int round = 0; round < 40; round++) {
		struct model model = {0};
		struct fnx_smoother smoother;
		const struct fnx_transition_config config = {.n_bins = BINS,
			.bin_arms = arms,
			.n_states = round % 2 ? 2 : 1,
			.steps = STEPS,
			.discrete_diagonal = check_random_unit(&random),
			.distance_cm = distance,
			.random_walk_cm = 2.0 + 10.0 * check_random_unit(&random),
			.jump_probability = round % 3 ? 0.1 : 0.0,
			.walk_form = round % 5 > 2 ? FNX_WALK_BANDS : FNX_WALK_EXPONENTIALS};

		assert_int_equal(fnx_transition_init(&model.transition, &config), 0);
		model.n = config.n_states * BINS;
		for (int t = 0; t < TIMES; t++)
			for (int i = 0; i < BINS; i++)
				model.likelihoods[t][i] =
					arms[i] < 0 ? 0.0 : 0.01 + check_random_unit(&random);
		run_filter(&model);
		follow_ways(&model, marginals);
		assert_int_equal(fnx_smoother_init(&smoother, &model.transition), 0);
		for (int t = TIMES; t-- > 0;) {
			assert_true(fnx_smoother_step(
				&smoother, model.posteriors[t], model.likelihoods[t], smoothed));
			for (uint32_t i = 0; i < model.n; i++)
				assert_true(fabs(smoothed[i] - marginals[t][i]) < 1e-11);
		}
		fnx_smoother_fini(&smoother);
		fnx_transition_fini(&model.transition);
	}
}

TEST(a_past_that_the_future_excludes_stays_as_it_was)
{
	const enum fnx_step identity = FNX_STEP_IDENTITY;
	const double here[BINS] = {1.0, 0.0, 0.0, 0.0}, there[BINS] = {0.0, 1.0, 0.0, 0.0};
	const struct fnx_transition_config config = {
		.n_bins = BINS, .bin_arms = arms, .n_states = 1, .steps = &identity};
	struct fnx_transition transition;
	struct fnx_smoother smoother;
	double smoothed[BINS];

	assert_int_equal(fnx_transition_init(&transition, &config), 0);
	assert_int_equal(fnx_smoother_init(&smoother, &transition), 0);
	assert_true(fnx_smoother_step(&smoother, there, there, smoothed));
	assert_false(fnx_smoother_step(&smoother, here, here, smoothed));
	assert_memory_equal(smoothed, here, sizeof(here));
	fnx_smoother_fini(&smoother);
	fnx_transition_fini(&transition);
}
