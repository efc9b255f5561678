/* SPDX-License-Identifier: BSD-3-Clause */
/* What a decoder knows is one piece of memory: a successor goes on from it, and an undo log takes
 * back what was not committed. */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"
#include "nodes/decode/state_space.h"
#include "nodes/host/smoothing.h"

enum {
	MAX_BINS = 60,
	MAX_GROUPS = 9,
	MAX_SPIKES = 16,
};

static const enum fnx_step STEPS[9] = {FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY,
	FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_RANDOM_WALK,
	FNX_STEP_UNIFORM, FNX_STEP_IDENTITY};

static int32_t arms[MAX_BINS];
static double distance[MAX_BINS * MAX_BINS];
static struct fnx_smoothing *smoothing;

static double distance_of(const void *n_bins, uint32_t a, uint32_t b)
{
	return distance[a * *(const uint32_t *)n_bins + b];
}

static struct fnx_state_space_config random_config(struct check_random *random)
{
	const uint32_t n = 2 + (uint32_t)check_random_below(random, MAX_BINS - 1);
	const bool parity = check_random_below(random, 2);

	for (uint32_t i = 0; i < n; i++)
		arms[i] = i < n / 2 ? 0 : i < n / 2 + n / 8 ? -1 : 1;
	fnx_transition_parity_distances(n, arms, 5.0, distance);
	fnx_smoothing_free(smoothing);
	assert_int_equal(fnx_smoothing_new(n, distance_of, &n, 8.0, &smoothing), 0);
	return (struct fnx_state_space_config){
		.transition = {.n_bins = n,
			.bin_arms = arms,
			.n_states = check_random_below(random, 2) ? 3 : 1,
			.steps = STEPS,
			.discrete_diagonal = 0.9,
			.distance_cm = distance,
			.random_walk_cm = 6.0,
			.through_first_arm = parity,
			.jump_probability = parity ? 0.0 : 0.01},
		.n_groups = 1 + (uint32_t)check_random_below(random, MAX_GROUPS),
		.max_spikes = MAX_SPIKES,
		.time_bin_s = 0.006,
		.credible_mass = 0.5,
		.credible_max_bins = 5,
		.parity = parity,
		.rates_hz = !parity && check_random_below(random, 2),
		.position_sample_s = 1.0 / 30.0,
		.likelihood_floor = parity ? 0.0 : 0.01,
		.occupancy_floor = parity ? 0.0 : 1.0,
		.smoothing = !parity && check_random_below(random, 2) ? smoothing : NULL};
}

/* A position sample, and a time bin of spikes; the same for every decoder it is shown to. */
struct events {
	int32_t position;
	uint32_t n_spikes;
	struct fnx_decode_spike spikes[MAX_SPIKES];
	double likelihoods[MAX_SPIKES][MAX_BINS];
};

static void random_events(struct check_random *random, const struct fnx_state_space_config *config,
	struct events *ret_events)
{
	const uint32_t n = config->transition.n_bins;

	ret_events->position = (int32_t)check_random_below(random, n + 1) - 1;
	ret_events->n_spikes = (uint32_t)check_random_below(random, MAX_SPIKES);
	for (uint32_t i = 0; i < ret_events->n_spikes; i++) {
		for (uint32_t b = 0; b < n; b++)
			ret_events->likelihoods[i][b] =
				arms[b] < 0 ? 0.0 : 0.01 + check_random_unit(random);
		ret_events->spikes[i] = (struct fnx_decode_spike){
			.sample_time = (int64_t)check_random_below(random, 100),
			.group = (uint32_t)check_random_below(random, config->n_groups),
			.position_bin = (int32_t)check_random_below(random, n + 1) - 1,
			.credible_bins = 1 + (uint32_t)check_random_below(random, 8),
			.stored = check_random_below(random, 2),
			.likelihood = ret_events->likelihoods[i]};
	}
}

static void show(struct fnx_state_space *space, const struct events *events)
{
	struct fnx_decode_result result;

	fnx_state_space_occupy(space, events->position);
	fnx_state_space_tick(space, events->spikes, events->n_spikes, &result);
}

static void *memory_of(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	assert_non_null(memory);
	memset(memory, 0, size);
	return memory;
}

TEST(a_decoder_resumed_in_a_copy_of_its_memory_goes_on_to_the_last_bit)
{
	struct check_random random = check_random_seeded();
	static struct events events;

	for (int round = 0; round < 60; round++) {
		const struct fnx_state_space_config config = random_config(&random);
		const size_t size = fnx_state_space_memory_size(&config);
		void *memory = memory_of(size), *copy = memory_of(size);
		struct fnx_state_space space, successor;

		assert_int_equal(fnx_state_space_init_in(&space, &config, memory, false, NULL), 0);
		for (int t = 0; t < 30; t++) {
			random_events(&random, &config, &events);
			show(&space, &events);
		}
		memcpy(copy, memory, size);
		assert_int_equal(fnx_state_space_init_in(&successor, &config, copy, true, NULL), 0);
		for (int t = 0; t < 20; t++) {
			random_events(&random, &config, &events);
			show(&space, &events);
			show(&successor, &events);
			assert_memory_equal(memory, copy, size);
		}
		fnx_state_space_fini(&space);
		fnx_state_space_fini(&successor);
		free(memory);
		free(copy);
	}
}

TEST(every_change_is_announced_and_fits_the_log)
{
	struct check_random random = check_random_seeded();
	static struct events events;

	for (int round = 0; round < 60; round++) {
		const struct fnx_state_space_config config = random_config(&random);
		const size_t size = fnx_state_space_memory_size(&config);
		const size_t log_size = fnx_state_space_journal_size(&config);
		void *memory = memory_of(size), *before = memory_of(size);
		void *log = memory_of(log_size);
		struct fnx_journal journal;
		struct fnx_state_space space;

		assert_int_equal(fnx_journal_init(&journal, log, log_size, memory, size), 0);
		assert_int_equal(
			fnx_state_space_init_in(&space, &config, memory, false, &journal), 0);
		fnx_journal_commit(&journal);
		for (int t = 0; t < 20; t++) {
			random_events(&random, &config, &events);
			show(&space, &events);
			fnx_journal_commit(&journal);
		}
		memcpy(before, memory, size);
		random_events(&random, &config, &events);
		show(&space, &events);
		assert_int_equal(fnx_journal_recover(&journal, log, log_size, memory, size), 1);
		assert_memory_equal(memory, before, size);
		assert_int_equal(fnx_journal_overflows(&journal), 0);
		fnx_state_space_fini(&space);
		free(memory);
		free(before);
		free(log);
	}
}

TEST(memory_that_no_decoder_of_this_kind_has_left_is_refused)
{
	struct check_random random = check_random_seeded();
	struct fnx_state_space_config config = random_config(&random), other;
	const size_t size = fnx_state_space_memory_size(&config);
	void *memory = memory_of(2 * size);
	struct fnx_state_space space;

	/* Nobody has been here. */
	assert_int_equal(fnx_state_space_init_in(&space, &config, memory, true, NULL), -EBADMSG);
	assert_int_equal(fnx_state_space_init_in(&space, &config, memory, false, NULL), 0);
	fnx_state_space_fini(&space);
	other = config;
	other.n_groups++;
	assert_int_equal(fnx_state_space_init_in(&space, &other, memory, true, NULL), -EBADMSG);
	assert_int_equal(fnx_state_space_init_in(&space, &config, memory, true, NULL), 0);
	space.rates[0] = NAN;
	fnx_state_space_fini(&space);
	assert_int_equal(fnx_state_space_init_in(&space, &config, memory, true, NULL), -EBADMSG);
	assert_int_equal(fnx_state_space_init_in(&space, &config, memory, false, NULL), 0);
	space.occupancy.counts[0] = -1.0;
	fnx_state_space_fini(&space);
	assert_int_equal(fnx_state_space_init_in(&space, &config, memory, true, NULL), -EBADMSG);
	free(memory);
}
