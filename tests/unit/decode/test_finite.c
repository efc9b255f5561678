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
	MAX_SPIKES = 26,
	POINTS = 8,
	CAPACITY = 200,
};

#define STEP_UV 0.195

/* Of an encoder's weights. */
enum precision {
	DOUBLE,
	SINGLE,
	COUNTS, /* single, and marks are whole steps of STEP_UV */
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

static void open_models(struct check_random *random, struct chain *chain, enum precision precision,
	bool smooth, double least_kernel_uv)
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
			.single = precision != DOUBLE,
			.step_uv = precision == COUNTS ? STEP_UV : 0.0,
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
	open_models(random, chain, check_random_below(random, 2) ? SINGLE : DOUBLE, smooth, 1.0);
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

/* Two that differ in their encoders' weights alone: the first's are doubles. */
struct twins {
	struct chain chains[2];
	double likelihoods[2][MAX_SPIKES][MAX_BINS];
	struct fnx_decode_spike spikes[2][MAX_SPIKES];
};

static void open_twins(struct check_random *random, struct twins *twins, enum precision precision)
{
	struct chain *chains = twins->chains;
	struct check_random same;

	memset(twins, 0, sizeof(*twins));
	chains[0].n_bins = 2 + (uint32_t)check_random_below(random, MAX_BINS - 1);
	chains[0].n_groups = 1;
	chains[0].n_dims[0] = 1 + (uint32_t)check_random_below(random, 8);
	fnx_transition_parity_distances(chains[0].n_bins, chains[0].arms, 5.0, chains[0].distance);
	chains[1] = chains[0];
	same = *random;
	for (int c = 0; c < 2; c++) {
		struct fnx_state_space_config config;

		*random = same;
		open_models(random, &chains[c], c ? precision : DOUBLE, false, 10.0);
		config = space_config(random, &chains[c], false);
		assert_int_equal(fnx_state_space_init(&chains[c].space, &config), 0);
	}
}

static void close_twins(struct twins *twins)
{
	for (int c = 0; c < 2; c++) {
		fnx_model_free(twins->chains[c].models[0]);
		free(twins->chains[c].scratch);
		fnx_state_space_fini(&twins->chains[c].space);
	}
}

/* The i-th spike of a time bin, judged and stored by both; its mark is whole counts. */
static void twins_spike(struct check_random *random, struct twins *twins, uint32_t i)
{
	const struct chain *first = &twins->chains[0];
	const int32_t bin = (int32_t)check_random_below(random, first->n_bins);
	double mark[FNX_MARK_DIMS_MAX], share[MAX_BINS];

	for (uint32_t b = 0; b < first->n_bins; b++)
		share[b] = 1.0 / first->n_bins;
	for (uint32_t d = 0; d < first->n_dims[0]; d++)
		mark[d] = STEP_UV *
			rint((60.0 + 3.0 * bin + 40.0 * check_random_unit(random)) / STEP_UV);
	for (int c = 0; c < 2; c++) {
		const struct chain *chain = &twins->chains[c];
		const int r = fnx_model_likelihood(
			chain->models[0], mark, share, chain->scratch, twins->likelihoods[c][i]);

		twins->spikes[c][i] = (struct fnx_decode_spike){.sample_time = i,
			.position_bin = bin,
			.stored = true,
			.likelihood = r == FNX_ENCODE_VALID ? twins->likelihoods[c][i] : NULL};
		fnx_model_add(chain->models[0], mark, bin);
	}
	assert_int_equal(!twins->spikes[0][i].likelihood, !twins->spikes[1][i].likelihood);
}

/* How far a time bin of so many spikes takes their posteriors apart, from the same prior. */
static double twins_tick(struct check_random *random, struct twins *twins, uint32_t n_spikes)
{
	struct fnx_state_space *spaces[2] = {&twins->chains[0].space, &twins->chains[1].space};
	const uint32_t n = twins->chains[0].n_bins * spaces[0]->transition.n_states;
	struct fnx_decode_result results[2];
	double largest = 0.0;

	for (uint32_t i = 0; i < n_spikes; i++)
		twins_spike(random, twins, i);
	memcpy(spaces[1]->posterior, spaces[0]->posterior, n * sizeof(double));
	for (int c = 0; c < 2; c++)
		fnx_state_space_tick(spaces[c], twins->spikes[c], n_spikes, &results[c]);
	for (uint32_t i = 0; i < n; i++)
		largest = fmax(largest, fabs(results[0].posterior[i] - results[1].posterior[i]));
	return largest;
}

/* The largest difference, as a part of what it may be: 1e-6, or 1.5e-7 per spike where there are
 * more than `n_within`. */
static double largest_difference(enum precision precision, uint32_t n_within)
{
	struct check_random random = check_random_seeded();
	static struct twins twins;
	double largest = 0.0;

	for (int round = 0; round < 40; round++) {
		open_twins(&random, &twins, precision);
		for (int t = 0; t < 60; t++) {
			const uint32_t n = (uint32_t)check_random_below(&random, MAX_SPIKES);
			const double bound = n <= n_within ? 1e-6 : 1.5e-7 * n;

			largest = fmax(largest, twins_tick(&random, &twins, n) / bound);
		}
		close_twins(&twins);
	}
	print_message("largest difference: %.2g of the bound\n", largest);
	return largest;
}

TEST(single_precision_changes_a_posterior_of_six_spikes_by_1e_6_at_the_most)
{
	assert_true(largest_difference(SINGLE, 6) <= 1.0);
}

TEST(on_whole_counts_it_changes_one_of_twenty_five_spikes_by_no_more)
{
	assert_true(largest_difference(COUNTS, MAX_SPIKES - 1) <= 1.0);
}
