/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From waveforms to posteriors, whatever comes: empty models, silent groups, no occupancy, one bin,
 * coincident spikes, amplitudes that are no numbers. Outside parity what the chain hands on is
 * finite and sums to 1. And what single-precision weights change in a posterior is bounded.
 */
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/state_space.h"
#include "nodes/encode/mark.h"
#include "nodes/encode/model.h"
#include "nodes/host/credible.h"
#include "nodes/host/smoothing.h"

enum {
	MAX_BINS = 40,
	MAX_GROUPS = 6,
	MAX_SPIKES = 12,
	POINTS = 8,
	CAPACITY = 200,
};

static const enum fnx_step STEPS[9] = {FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY,
	FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_RANDOM_WALK,
	FNX_STEP_UNIFORM, FNX_STEP_IDENTITY};

struct chain {
	uint32_t n_bins, n_groups, n_dims[MAX_GROUPS];
	int32_t arms[MAX_BINS];
	double distance[MAX_BINS * MAX_BINS];
	struct fnx_smoothing *smoothing;
	struct fnx_model *models[MAX_GROUPS];
	struct fnx_occupancy occupancy;
	struct fnx_state_space space;
	void *scratch;
	double likelihoods[MAX_SPIKES][MAX_BINS];
};

static struct fnx_state_space_config space_config(
	struct check_random *random, struct chain *chain, bool smooth)
{
	return (struct fnx_state_space_config){
		.transition = {.n_bins = chain->n_bins,
			.bin_arms = chain->arms,
			.n_states = check_random_below(random, 2) ? 3 : 1,
			.steps = STEPS,
			.discrete_diagonal = check_random_unit(random),
			.distance_cm = chain->distance,
			.random_walk_cm = 0.5 + 10.0 * check_random_unit(random),
			.jump_probability = check_random_below(random, 2) ? 0.001 : 0.0,
			.walk_form = check_random_below(random, 2) ? FNX_WALK_BANDS
								   : FNX_WALK_EXPONENTIALS},
		.n_groups = chain->n_groups,
		.max_spikes = MAX_SPIKES,
		.time_bin_s = 0.006,
		.credible_mass = 0.5,
		.credible_max_bins = 5,
		.rates_hz = check_random_below(random, 2),
		.rates_while_training = check_random_below(random, 2),
		.duplicates_per_group = check_random_below(random, 2),
		.log_space = check_random_below(random, 2),
		.position_sample_s = 1.0 / 30.0,
		.likelihood_floor = check_random_below(random, 2) ? 0.01 : 0.0,
		.occupancy_floor = check_random_below(random, 2) ? 1.0 : 0.0,
		.smoothing = smooth ? chain->smoothing : NULL};
}

static void open_models(struct check_random *random, struct chain *chain, bool single, bool smooth,
	double least_kernel_uv)
{
	size_t scratch = 64;

	for (uint32_t g = 0; g < chain->n_groups; g++) {
		const struct fnx_model_config config = {.n_dims = chain->n_dims[g],
			.n_bins = chain->n_bins,
			.capacity = 1 + (uint32_t)check_random_below(random, CAPACITY),
			.kernel_uv = least_kernel_uv + 30.0 * check_random_unit(random),
			.gate = check_random_below(random, 2),
			.gate_deviations = 1.0,
			.gate_min_marks = 2,
			.single = single,
			.smoothing = smooth ? chain->smoothing : NULL};

		assert_int_equal(fnx_model_new(&config, &chain->models[g]), 0);
		if (fnx_model_scratch_size(chain->models[g]) > scratch)
			scratch = fnx_model_scratch_size(chain->models[g]);
	}
	chain->scratch = aligned_alloc(64, (scratch + 63) / 64 * 64);
	assert_non_null(chain->scratch);
}

static double distance_in(const void *context, uint32_t a, uint32_t b)
{
	const struct chain *chain = context;

	return chain->distance[a * chain->n_bins + b];
}

static void open_chain(struct check_random *random, struct chain *chain)
{
	const bool smooth = check_random_below(random, 2);
	struct fnx_state_space_config config;

	chain->n_bins = check_random_below(random, 4)
		? 1 + (uint32_t)check_random_below(random, MAX_BINS)
		: 1;
	chain->n_groups = 1 + (uint32_t)check_random_below(random, MAX_GROUPS);
	for (uint32_t i = 0; i < chain->n_bins; i++)
		chain->arms[i] = i * 3 / chain->n_bins == 1 && i + 1 < chain->n_bins ? -1 : 0;
	for (uint32_t i = 0; i < chain->n_bins; i++)
		chain->arms[i] = chain->arms[i] == 0 && i > chain->n_bins / 2 ? 1 : chain->arms[i];
	for (uint32_t g = 0; g < chain->n_groups; g++)
		chain->n_dims[g] = 1 + (uint32_t)check_random_below(random, 6);
	fnx_transition_parity_distances(chain->n_bins, chain->arms, 5.0, chain->distance);
	assert_int_equal(
		fnx_smoothing_new(chain->n_bins, distance_in, chain, 8.0, &chain->smoothing), 0);
	open_models(random, chain, check_random_below(random, 2), smooth, 1.0);
	assert_int_equal(fnx_occupancy_init(&chain->occupancy,
				 &(struct fnx_occupancy_config){.n_bins = chain->n_bins,
					 .bin_arms = chain->arms,
					 .smoothing = smooth ? chain->smoothing : NULL}),
		0);
	config = space_config(random, chain, smooth);
	assert_int_equal(fnx_state_space_init(&chain->space, &config), 0);
}

static void close_chain(struct chain *chain)
{
	for (uint32_t g = 0; g < chain->n_groups; g++)
		fnx_model_free(chain->models[g]);
	free(chain->scratch);
	fnx_occupancy_fini(&chain->occupancy);
	fnx_state_space_fini(&chain->space);
	chain->smoothing = fnx_smoothing_free(chain->smoothing);
}

static double random_amplitude(struct check_random *random)
{
	const double odd[] = {0.0, (double)NAN, (double)INFINITY, -(double)INFINITY, 3e38, 1e-38};

	return check_random_below(random, 12) ? 200.0 * check_random_unit(random) - 30.0
					      : odd[check_random_below(random, 6)];
}

static void assert_distribution(const double *x, uint32_t n)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		assert_true(isfinite(x[i]) && x[i] >= 0.0);
		sum += x[i];
	}
	assert_true(fabs(sum - 1.0) < 1e-9);
}

/* What an encoder makes of a waveform. False: no spike for us. */
static bool encode_spike(struct check_random *random, struct chain *chain, uint32_t i,
	int32_t position, bool training, struct fnx_decode_spike *ret_spike)
{
	const uint32_t g = (uint32_t)check_random_below(random, chain->n_groups);
	const struct fnx_mark_config config = {.n_channels = chain->n_dims[g], .neighbours = 2};
	float waveform[FNX_MARK_DIMS_MAX * POINTS];
	double mark[FNX_MARK_DIMS_MAX], work[MAX_BINS];
	int r;

	for (uint32_t k = 0; k < chain->n_dims[g] * POINTS; k++)
		waveform[k] = (float)random_amplitude(random);
	if (fnx_mark_from_waveform(&config, waveform, POINTS, POINTS, 0.195 * 5, mark) !=
		FNX_MARK_ACCEPTED)
		return false;
	*ret_spike =
		(struct fnx_decode_spike){.sample_time = (int64_t)check_random_below(random, 6),
			.group = g,
			.position_bin = position};
	r = fnx_model_likelihood(chain->models[g], mark, chain->occupancy.share, chain->scratch,
		chain->likelihoods[i]);
	if (r == FNX_ENCODE_VALID) {
		assert_distribution(chain->likelihoods[i], chain->n_bins);
		ret_spike->likelihood = chain->likelihoods[i];
		ret_spike->credible_bins =
			fnx_credible_bins(chain->likelihoods[i], chain->n_bins, 0.5, work);
	}
	if (training)
		ret_spike->stored = fnx_model_add(chain->models[g], mark, position) >= 0;
	return true;
}

TEST(from_waveform_to_posterior_nothing_is_ever_nan)
{
	struct check_random random = check_random_seeded();
	static struct chain chain;

	for (int round = 0; round < 150; round++) {
		/* In some sessions the animal is never seen, in some it never trains. */
		const bool seen = check_random_below(&random, 4),
			   trains = check_random_below(&random, 4);

		open_chain(&random, &chain);
		for (int t = 0; t < 60; t++) {
			const int32_t position = seen
				? (int32_t)check_random_below(&random, chain.n_bins + 1) - 1
				: -1;
			struct fnx_decode_spike spikes[MAX_SPIKES];
			struct fnx_decode_result result;
			uint32_t n = 0;

			fnx_occupancy_add(&chain.occupancy, position);
			fnx_state_space_occupy(&chain.space, position);
			for (uint64_t k = check_random_below(&random, MAX_SPIKES); k > 0; k--)
				n += encode_spike(&random, &chain, n, position,
					trains && position >= 0, &spikes[n]);
			fnx_state_space_tick(&chain.space, spikes, n, &result);
			assert_distribution(result.likelihood, chain.n_bins);
			assert_distribution(
				result.posterior, chain.n_bins * chain.space.transition.n_states);
		}
		close_chain(&chain);
	}
}

/* One time bin, from the same prior, the two differing in their encoders' weights alone: 1e-6, or
 * 1.5e-7 per spike where there are more than six. */
TEST(single_precision_changes_a_posterior_of_six_spikes_by_1e_6_at_the_most)
{
	struct check_random random = check_random_seeded();
	static struct chain chains[2];
	static double likelihoods[2][MAX_SPIKES][MAX_BINS];
	double largest = 0.0;

	for (int round = 0; round < 40; round++) {
		struct fnx_state_space_config config;
		struct check_random same;

		memset(chains, 0, sizeof(chains));
		chains[0].n_bins = 2 + (uint32_t)check_random_below(&random, MAX_BINS - 1);
		chains[0].n_groups = 1;
		chains[0].n_dims[0] = 1 + (uint32_t)check_random_below(&random, 8);
		fnx_transition_parity_distances(
			chains[0].n_bins, chains[0].arms, 5.0, chains[0].distance);
		chains[1] = chains[0];
		same = random;
		for (int c = 0; c < 2; c++) {
			random = same;
			open_models(&random, &chains[c], c == 1, false, 10.0);
			config = space_config(&random, &chains[c], false);
			assert_int_equal(fnx_state_space_init(&chains[c].space, &config), 0);
		}
		for (int t = 0; t < 60; t++) {
			const uint32_t n_spikes = (uint32_t)check_random_below(&random, MAX_SPIKES);
			struct fnx_decode_spike spikes[2][MAX_SPIKES];
			struct fnx_decode_result results[2];
			double share[MAX_BINS];

			for (uint32_t b = 0; b < chains[0].n_bins; b++)
				share[b] = 1.0 / chains[0].n_bins;
			for (uint32_t i = 0; i < n_spikes; i++) {
				const int32_t bin =
					(int32_t)check_random_below(&random, chains[0].n_bins);
				double mark[FNX_MARK_DIMS_MAX];

				for (uint32_t d = 0; d < chains[0].n_dims[0]; d++)
					mark[d] = 60.0 + 3.0 * bin +
						40.0 * check_random_unit(&random);
				for (int c = 0; c < 2; c++) {
					const int r = fnx_model_likelihood(chains[c].models[0],
						mark, share, chains[c].scratch, likelihoods[c][i]);

					spikes[c][i] = (struct fnx_decode_spike){.sample_time = i,
						.position_bin = bin,
						.stored = true,
						.likelihood = r == FNX_ENCODE_VALID
							? likelihoods[c][i]
							: NULL};
					fnx_model_add(chains[c].models[0], mark, bin);
				}
				assert_int_equal(
					!spikes[0][i].likelihood, !spikes[1][i].likelihood);
			}
			/* Both go on from the same prior. */
			memcpy(chains[1].space.posterior, chains[0].space.posterior,
				chains[0].n_bins * chains[0].space.transition.n_states *
					sizeof(double));
			for (int c = 0; c < 2; c++)
				fnx_state_space_tick(
					&chains[c].space, spikes[c], n_spikes, &results[c]);
			for (uint32_t i = 0;
				i < chains[0].n_bins * chains[0].space.transition.n_states; i++) {
				const double difference =
					fabs(results[0].posterior[i] - results[1].posterior[i]);

				const double bound = n_spikes <= 6 ? 1e-6 : 1.5e-7 * n_spikes;

				largest = fmax(largest, difference / bound);
			}
		}
		for (int c = 0; c < 2; c++) {
			fnx_model_free(chains[c].models[0]);
			free(chains[c].scratch);
			fnx_state_space_fini(&chains[c].space);
		}
	}
	print_message("largest difference: %.2g of the bound\n", largest);
	assert_true(largest <= 1.0);
}
