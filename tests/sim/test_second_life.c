/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that learns, killed between two instructions of a step and taken up again by a
 * successor, says what one says that nothing happened to. A child does the step, instruction by
 * instruction, in shared memory, and is killed at a random one; what it leaves is recovered, the
 * subject made anew over it, and the step done again. So a change that the journal was not told of,
 * and anything that is kept elsewhere, shows. Long, since each piece of arithmetic is set
 * up here.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bus/journal.h"
#include "nodes/decode/state_space.h"
#include "nodes/dispatch/replay.h"
#include "nodes/dispatch/ripple_rule.h"
#include "nodes/dispatch/safety.h"
#include "nodes/encode/model.h"
#include "nodes/host/occupancy.h"
#include "nodes/host/smoothing.h"
#include "nodes/ripple/detector.h"
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/guard.h"
#include "nodes/ripple/network_detector.h"
#include "tests/support/stepping.h"

enum {
	LOG_SIZE = 1 << 18,
	MEMORY_SIZE = 1 << 20,
	OUT_MAX = 512, /* doubles that a step may say */
	N_STEPS = 60,
	N_STEPS_MAX = 6000,
	KILL_EVERY = 5,
	N_BINS = 9,
	N_GROUPS = 3,
	N_CHANNELS = 5,
};

struct life {
	void *memory; /* NULL: its own */
	int resumed;
	struct fnx_journal *journal;
	int variant;
};

/* What is being killed. Everything that a step takes in follows from its number. */
struct subject {
	size_t (*size)(int variant);
	void *(*make)(const struct life *life);
	size_t (*step)(void *self, struct check_random *random, double *ret_out);
	void (*end)(void *self);
	int n_variants;
};

struct arena {
	_Alignas(64) unsigned char log[LOG_SIZE];
	_Alignas(64) unsigned char memory[MEMORY_SIZE];
};

static struct arena *arena;
static const int32_t arms[N_BINS] = {0, 0, 0, -1, 1, 1, 1, -1, 2};

static struct check_random inputs(uint64_t seed, uint64_t t)
{
	return (struct check_random){.state = seed + t * UINT64_C(0x9e3779b97f4a7c15)};
}

static double distance_cm(const void *context, uint32_t a, uint32_t b)
{
	(void)context;
	return arms[a] < 0 || arms[b] < 0 ? (double)NAN : 5.0 * abs((int)a - (int)b);
}

/* Made once, for all lives. */
static const struct fnx_smoothing *weights(void)
{
	static struct fnx_smoothing *smoothing;

	if (!smoothing)
		assert_int_equal(fnx_smoothing_new(N_BINS, distance_cm, NULL, 6, &smoothing), 0);
	return smoothing;
}

/* Killing -------------------------------------------------------------------------------- */

struct errand {
	const struct subject *subject;
	void *self;
	struct check_random random;
};

static void do_step(void *argument)
{
	struct errand *errand = argument;
	double out[OUT_MAX];

	errand->subject->step(errand->self, &errand->random, out);
}

/* A child does `step`, of which it lives to do `n` instructions. Returns how many it did, all if
 * fewer. */
static uint64_t do_and_die(
	const struct subject *subject, void *self, struct check_random random, uint64_t n)
{
	struct errand errand = {.subject = subject, .self = self, .random = random};
	pid_t child = stepping_begin(do_step, &errand);
	uint64_t done = 0;

	while (done < n && stepping_step(child))
		done++;
	stepping_end(child);
	return done;
}

/* Within `tolerance`; 0: bit for bit. */
static void compare(
	const double *a, size_t n_a, const double *b, size_t n_b, double tolerance, uint64_t t)
{
	bool same = n_a == n_b;

	for (size_t i = 0; same && i < n_a && tolerance > 0.0; i++)
		same = fabs(a[i] - b[i]) <= tolerance;
	if (!same || (tolerance == 0.0 && memcmp(a, b, n_a * sizeof(double)) != 0))
		fail_msg("step %lu says something else in a second life", (unsigned long)t);
}

static void kill_and_resume(const struct subject *subject, int variant, double tolerance)
{
	struct check_random random = check_random_seeded();
	uint64_t seed = check_random_u64(&random), length = 4000, kills = 0, undone = 0;
	struct fnx_journal journal;
	struct life plain = {.variant = variant};
	struct life life = {.memory = arena->memory, .journal = &journal, .variant = variant};
	size_t size = subject->size(variant);
	void *undisturbed = subject->make(&plain), *self;

	assert_in_range(size, 1, MEMORY_SIZE);
	memset(arena, 0, sizeof(*arena));
	memset(&journal, 0, sizeof(journal));
	self = subject->make(&life);
	assert_int_equal(fnx_journal_init(&journal, arena->log, LOG_SIZE, arena->memory, size), 0);
	life.resumed = 1;
	/* Until it was killed when it had something to lose: not every step changes something. */
	for (uint64_t t = 0; t < N_STEPS || (!undone && t < N_STEPS_MAX); t++) {
		double expected[OUT_MAX], found[OUT_MAX];
		struct check_random in = inputs(seed, t);
		size_t n_expected = subject->step(undisturbed, &in, expected);
		int r;

		if (t % KILL_EVERY == 0) {
			/* All of it now and then, to know how long it is. */
			uint64_t n = kills % 4 ? check_random_below(&random, length) : UINT64_MAX;
			uint64_t done = do_and_die(subject, self, inputs(seed, t), n);

			length = done > length || n == UINT64_MAX ? done + 1 : length;
			subject->end(self);
			r = fnx_journal_recover(
				&journal, arena->log, LOG_SIZE, arena->memory, size);
			assert_true(r >= 0);
			undone += (uint64_t)r;
			kills++;
			self = subject->make(&life);
		}
		in = inputs(seed, t);
		compare(expected, n_expected, found, subject->step(self, &in, found), tolerance, t);
		fnx_journal_commit(&journal);
		assert_int_equal(fnx_journal_overflows(&journal), 0);
	}
	subject->end(self);
	subject->end(undisturbed);
	assert_true(undone > 0);
}

static void try_variants(const struct subject *subject, int first, int end, double tolerance)
{
	arena = mmap(
		NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(arena != MAP_FAILED);
	for (int variant = first; variant < end; variant++)
		kill_and_resume(subject, variant, tolerance);
	munmap(arena, sizeof(*arena));
}

static void try_all(const struct subject *subject)
{
	try_variants(subject, 0, subject->n_variants, 0.0);
}

/* Occupancy ------------------------------------------------------------------------------ */

static size_t occupancy_size(int variant)
{
	(void)variant;
	return fnx_occupancy_memory_size(N_BINS);
}

static void *occupancy_make(const struct life *life)
{
	struct fnx_occupancy *occupancy = malloc(sizeof(*occupancy));
	const struct fnx_occupancy_config config = {.n_bins = N_BINS,
		.bin_arms = arms,
		.initial = life->variant == 0 ? 1 : 0,
		.parity = life->variant == 0,
		.floor = life->variant == 1 ? 1 : 0,
		.smoothing = life->variant == 2 ? weights() : NULL};

	if (life->memory)
		assert_int_equal(fnx_occupancy_init_in(occupancy, &config, life->memory,
					 life->resumed != 0, life->journal),
			0);
	else
		assert_int_equal(fnx_occupancy_init(occupancy, &config), 0);
	return occupancy;
}

static size_t occupancy_step(void *self, struct check_random *random, double *ret_out)
{
	struct fnx_occupancy *occupancy = self;

	fnx_occupancy_add(occupancy, (int32_t)check_random_below(random, N_BINS + 1) - 1);
	memcpy(ret_out, occupancy->share, N_BINS * sizeof(double));
	memcpy(ret_out + N_BINS, occupancy->counts, N_BINS * sizeof(double));
	ret_out[(size_t)2 * N_BINS] = (double)*occupancy->n_samples;
	return (size_t)2 * N_BINS + 1;
}

static void occupancy_end(void *self)
{
	fnx_occupancy_fini(self);
	free(self);
}

TEST(occupancy_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){
		occupancy_size, occupancy_make, occupancy_step, occupancy_end, 3});
}

/* Encoder -------------------------------------------------------------------------------- */

/* Variant of a model with expansions. Its marks have one channel: of so few, farther apart, cubes tell
 * nothing. */
enum {
	EXPANDED = 3
};

static struct fnx_model_config model_config(int variant)
{
	struct fnx_model_config config = {.n_dims = variant == EXPANDED ? 1 : 4,
		.n_bins = N_BINS,
		.capacity = 40, /* so that the oldest are overwritten, too */
		.kernel_uv = 20,
		.single = variant >= 1,
		.step_uv = variant == 2 ? 0.195 : 0.0};

	if (variant == EXPANDED)
		config.expansion_size = 8 * fnx_model_cube_size(config.n_dims, config.n_bins);
	return config;
}

static size_t model_size(int variant)
{
	const struct fnx_model_config config = model_config(variant);

	return fnx_model_memory_size(&config);
}

static void *model_make(const struct life *life)
{
	const struct fnx_model_config config = model_config(life->variant);
	struct fnx_model *model;

	if (life->memory)
		assert_int_equal(fnx_model_init(&config, life->memory, life->resumed != 0,
					 life->journal, &model),
			0);
	else
		assert_int_equal(fnx_model_new(&config, &model), 0);
	return model;
}

static size_t model_step(void *self, struct check_random *random, double *ret_out)
{
	static _Alignas(64) unsigned char scratch[1 << 16];
	double share[N_BINS], mark[4];

	assert_in_range(fnx_model_scratch_size(self), 0, sizeof(scratch));
	for (int i = 0; i < N_BINS; i++)
		share[i] = 1.0 / N_BINS;
	for (int i = 0; i < 4; i++)
		mark[i] = 100 + 30 * check_random_unit(random);
	memset(ret_out, 0, N_BINS * sizeof(double));
	ret_out[N_BINS] = (double)fnx_model_likelihood(self, mark, share, scratch, ret_out);
	ret_out[N_BINS + 1] =
		(double)fnx_model_add(self, mark, (int32_t)check_random_below(random, N_BINS));
	return N_BINS + 2;
}

static void model_end(void *self)
{
	fnx_model_free(self);
}

static const struct subject models = {model_size, model_make, model_step, model_end, EXPANDED};

TEST(a_model_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&models);
}

/* A cube that saw what was undone catches up anew; meanwhile all marks are summed. */
TEST(a_model_with_expansions_goes_on_to_1e_6)
{
	try_variants(&models, EXPANDED, EXPANDED + 1, 1e-6);
}

/* Decoder -------------------------------------------------------------------------------- */

static struct fnx_state_space_config space_config(const struct life *life)
{
	static const enum fnx_step steps[4] = {
		FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY};
	static double distance[N_BINS * N_BINS];
	int parity = life->variant == 0;

	for (int i = 0; i < N_BINS * N_BINS; i++)
		distance[i] = 5.0 * abs(i / N_BINS - i % N_BINS);
	return (struct fnx_state_space_config){
		.transition = {.n_bins = N_BINS,
			.bin_arms = arms,
			.n_states = 2,
			.steps = steps,
			.discrete_diagonal = 0.9,
			.distance_cm = distance,
			.random_walk_cm = 6},
		.n_groups = N_GROUPS,
		.max_spikes = 8,
		.time_bin_s = 0.006,
		.credible_mass = 0.5,
		.credible_max_bins = 5,
		.parity = parity,
		.rates_hz = life->variant >= 2,
		.position_sample_s = 1.0 / 30,
		.occupancy_floor = parity ? 0 : 1,
		.smoothing = life->variant == 3 ? weights() : NULL,
	};
}

static size_t space_size(int variant)
{
	const struct fnx_state_space_config config =
		space_config(&(struct life){.variant = variant});

	return fnx_state_space_memory_size(&config);
}

static void *space_make(const struct life *life)
{
	struct fnx_state_space *space = malloc(sizeof(*space));
	const struct fnx_state_space_config config = space_config(life);

	if (life->memory)
		assert_int_equal(fnx_state_space_init_in(space, &config, life->memory,
					 life->resumed != 0, life->journal),
			0);
	else
		assert_int_equal(fnx_state_space_init(space, &config), 0);
	return space;
}

static size_t space_step(void *self, struct check_random *random, double *ret_out)
{
	double rows[8][N_BINS];
	struct fnx_decode_spike spikes[8];
	struct fnx_decode_result result;
	uint32_t n = (uint32_t)check_random_below(random, 9);

	for (uint32_t i = 0; i < n; i++) {
		for (int k = 0; k < N_BINS; k++)
			rows[i][k] = arms[k] < 0 ? 0 : 0.01 + check_random_unit(random);
		spikes[i] = (struct fnx_decode_spike){
			.sample_time = (int64_t)check_random_below(random, 100),
			.group = (uint32_t)check_random_below(random, N_GROUPS),
			.position_bin = (int32_t)check_random_below(random, N_BINS),
			.credible_bins = 3,
			.stored = check_random_below(random, 2) != 0,
			.likelihood = rows[i]};
	}
	fnx_state_space_occupy(self, (int32_t)check_random_below(random, N_BINS));
	fnx_state_space_tick(self, spikes, n, &result);
	memcpy(ret_out, result.posterior, (size_t)2 * N_BINS * sizeof(double));
	memcpy(ret_out + (size_t)2 * N_BINS, result.likelihood, N_BINS * sizeof(double));
	return (size_t)3 * N_BINS;
}

static void space_end(void *self)
{
	fnx_state_space_fini(self);
	free(self);
}

TEST(a_decoder_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){space_size, space_make, space_step, space_end, 4});
}

/* Ripples -------------------------------------------------------------------------------- */

static struct fnx_envelope_config envelope_config(const struct life *life)
{
	static const struct fnx_section sections[2] = {
		{.b0 = 0.2, .b2 = -0.2, .a1 = -0.5, .a2 = 0.4},
		{.b0 = 0.3, .b1 = 0.1, .b2 = 0.2, .a1 = 0.3, .a2 = 0.2}};
	static const double taps[7] = {0.4, 0.3, 0.1, -0.1, 0.2, 0.05, 0.05};
	/* 0: sections; 1: taps; 2: the shortest of both. */
	return (struct fnx_envelope_config){.n_channels = N_CHANNELS,
		.n_sections = life->variant == 0 ? 2 : 0,
		.sections = sections,
		.n_taps = life->variant == 0 ? 0
			: life->variant == 1 ? 7
					     : 1,
		.taps = taps,
		.n_smoothing_taps = life->variant == 2 ? 1 : 5,
		.smoothing_taps = taps,
		.memory = life->memory,
		.resumed = life->resumed != 0,
		.journal = life->journal};
}

static size_t envelope_size(int variant)
{
	const struct fnx_envelope_config config =
		envelope_config(&(struct life){.variant = variant});

	return fnx_envelope_memory_size(&config);
}

static void *envelope_make(const struct life *life)
{
	const struct fnx_envelope_config config = envelope_config(life);
	struct fnx_envelope *envelope;

	assert_int_equal(fnx_envelope_new(&config, &envelope), 0);
	return envelope;
}

static size_t envelope_step(void *self, struct check_random *random, double *ret_out)
{
	float counts[N_CHANNELS];

	for (int i = 0; i < N_CHANNELS; i++)
		counts[i] = check_random_below(random, 20)
			? (float)(check_random_unit(random) - 0.5) * 1000
			: NAN;
	fnx_envelope_step(self, counts, 0.195, ret_out, ret_out + N_CHANNELS);
	return (size_t)2 * N_CHANNELS;
}

static void envelope_end(void *self)
{
	fnx_envelope_free(self);
}

TEST(filters_that_were_killed_go_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){envelope_size, envelope_make, envelope_step, envelope_end, 3});
}

static size_t detector_size(int variant)
{
	(void)variant;
	return fnx_detector_memory_size(N_CHANNELS);
}

static void *detector_make(const struct life *life)
{
	const struct fnx_detector_config config = {.n_channels = N_CHANNELS,
		.parity = life->variant == 0,
		.params = {.standard = 0.5,
			.conditioning = 0.8,
			.content = 1.2,
			.max_speed_cm_s = 4,
			.max_samples = 5,
			.freeze = life->variant == 2},
		.median = life->variant == 3,
		.memory = life->memory,
		.resumed = life->resumed != 0,
		.journal = life->journal};
	struct fnx_detector *detector;
	double mean[N_CHANNELS + 1], deviation[N_CHANNELS + 1];

	assert_int_equal(fnx_detector_new(&config, &detector), 0);
	for (int i = 0; i <= N_CHANNELS; i++) {
		mean[i] = 0.5;
		deviation[i] = 0.2;
	}
	if (life->variant == 2 && !life->resumed)
		assert_int_equal(fnx_detector_seed(detector, mean, deviation, 100), 0);
	return detector;
}

static size_t detector_step(void *self, struct check_random *random, double *ret_out)
{
	struct fnx_detector_event events[(N_CHANNELS + 1) * FNX_DETECTOR_EVENTS_PER_TRACE];
	double envelope[N_CHANNELS];
	size_t n = 0, n_events;

	for (int i = 0; i < N_CHANNELS; i++)
		envelope[i] = check_random_unit(random);
	n_events = fnx_detector_step(self, envelope, check_random_unit(random) * 5, events);
	for (size_t i = 0; i < n_events; i++) {
		ret_out[n++] = events[i].channel;
		ret_out[n++] = events[i].type;
		ret_out[n++] = events[i].z;
	}
	for (uint32_t i = 0; i <= N_CHANNELS; i++) {
		ret_out[n++] = fnx_detector_statistics(self, i).mean;
		ret_out[n++] = fnx_detector_statistics(self, i).deviation;
		ret_out[n++] = fnx_detector_active(self, i);
	}
	return n;
}

static void detector_end(void *self)
{
	fnx_detector_free(self);
}

TEST(a_detector_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){detector_size, detector_make, detector_step, detector_end, 4});
}

static struct fnx_guard_config guard_config(const struct life *life)
{
	static const struct fnx_section section = {0.2, 0, -0.2, -1.1, 0.6};
	static const double smoothing[3] = {0.25, 0.5, 0.25};
	static const uint32_t channels[2] = {1, 3};

	return (struct fnx_guard_config){.envelope = {.n_channels = 2,
						 .n_sections = 1,
						 .sections = &section,
						 .n_smoothing_taps = 3,
						 .smoothing_taps = smoothing},
		.noise_channels = channels,
		.noise_threshold = 0.8,
		.median = life->variant == 1,
		.noise_samples = 3,
		.blank_samples = 2,
		.artefact_uv = 0.97,
		.memory = life->memory,
		.resumed = life->resumed != 0,
		.journal = life->journal};
}

static size_t guard_size(int variant)
{
	const struct fnx_guard_config config = guard_config(&(struct life){.variant = variant});

	return fnx_guard_memory_size(&config);
}

static void *guard_make(const struct life *life)
{
	const struct fnx_guard_config config = guard_config(life);
	struct fnx_guard *guard;

	assert_int_equal(fnx_guard_new(&config, &guard), 0);
	return guard;
}

/* Its time is the input's: a second begins at a random one, so that windows end and begin. */
static size_t guard_step(void *self, struct check_random *random, double *ret_out)
{
	float lfp[N_CHANNELS];
	int64_t now = (int64_t)check_random_below(random, 200);

	for (int i = 0; i < N_CHANNELS; i++)
		lfp[i] = (float)check_random_unit(random);
	if (check_random_below(random, 6) == 0)
		fnx_guard_stimulated(self, now);
	ret_out[0] = fnx_guard_step(self, lfp, 1, now, lfp, N_CHANNELS);
	for (int i = 0; i < N_CHANNELS; i++)
		ret_out[1 + i] = isnan(lfp[i]);
	return 1 + N_CHANNELS;
}

static void guard_end(void *self)
{
	fnx_guard_free(self);
}

TEST(a_guard_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){guard_size, guard_make, guard_step, guard_end, 2});
}

/* The network has no memory: one serves all lives. */
static struct fnx_network_detector_config looker_config(const struct life *life)
{
	static const double taps[3] = {0.25, 0.5, 0.25};
	static double weights[6 * N_CHANNELS];
	static struct fnx_network *network;
	const struct fnx_network_layer layer = {.kind = FNX_NETWORK_CONVOLUTION,
		.activation = FNX_NETWORK_SIGMOID,
		.height = 6,
		.width = 1,
		.stride_height = 1,
		.stride_width = 1,
		.n_in = N_CHANNELS,
		.n_out = 1,
		.weights = weights};
	uint32_t index;

	for (int i = 0; i < 6 * N_CHANNELS; i++)
		weights[i] = i % 3 - 1;
	if (!network)
		assert_int_equal(
			fnx_network_new(&(struct fnx_network_config){.input = {6, 1, N_CHANNELS},
						.n_layers = 1,
						.layers = &layer},
				&network, &index),
			0);
	return (struct fnx_network_detector_config){.network = network,
		.n_channels = N_CHANNELS,
		.step = 2,
		.lfp_rate_hz = 1500,
		.rate_hz = 1250,
		.calibration_samples = life->variant ? 10 : 0,
		.taps = taps,
		.n_taps = life->variant == 2 ? 3 : 0,
		.params = {.threshold = 0.5,
			.max_speed_cm_s = 4,
			.timeout_samples = 3,
			.max_samples = 12},
		.memory = life->memory,
		.resumed = life->resumed != 0,
		.journal = life->journal};
}

static size_t looker_size(int variant)
{
	const struct fnx_network_detector_config config =
		looker_config(&(struct life){.variant = variant});

	return fnx_network_detector_memory_size(&config);
}

static void *looker_make(const struct life *life)
{
	const struct fnx_network_detector_config config = looker_config(life);
	struct fnx_network_detector *looker;

	assert_int_equal(fnx_network_detector_new(&config, &looker), 0);
	return looker;
}

static size_t looker_step(void *self, struct check_random *random, double *ret_out)
{
	struct fnx_detector_event event = {.channel = 9};
	float counts[N_CHANNELS];
	int n;

	for (int i = 0; i < N_CHANNELS; i++)
		counts[i] = check_random_below(random, 20) ? (float)check_random_unit(random) : NAN;
	n = fnx_network_detector_step(self, counts, 0.5, check_random_unit(random) * 5, &event);
	ret_out[0] = n;
	ret_out[1] = n ? event.type : 0;
	ret_out[2] = n ? event.z : 0;
	ret_out[3] = fnx_network_detector_output(self);
	for (uint32_t i = 0; i < N_CHANNELS; i++) {
		ret_out[4 + 2 * i] = fnx_network_detector_statistics(self, i).mean;
		ret_out[5 + 2 * i] = fnx_network_detector_statistics(self, i).deviation;
	}
	return 4 + 2 * N_CHANNELS;
}

static void looker_end(void *self)
{
	fnx_network_detector_free(self);
}

TEST(a_network_detector_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){looker_size, looker_make, looker_step, looker_end, 3});
}

/* Decisions ------------------------------------------------------------------------------ */

static struct fnx_replay_config replay_config(const struct life *life)
{
	return (struct fnx_replay_config){.n_arms = 3,
		.arm = 1,
		.window_bins = life->variant ? 5 : 1,
		.n_groups = N_GROUPS,
		.n_recent = 4,
		.begin_full = life->variant == 2,
		.params = {.threshold = 0.3, .other_arms_below = 0.6, .min_groups = 2},
		.memory = life->memory,
		.resumed = life->resumed,
		.journal = life->journal};
}

static size_t replay_size(int variant)
{
	const struct fnx_replay_config config = replay_config(&(struct life){.variant = variant});

	return fnx_replay_memory_size(&config);
}

static void *replay_make(const struct life *life)
{
	const struct fnx_replay_config config = replay_config(life);
	struct fnx_replay *replay;

	assert_int_equal(fnx_replay_new(&config, &replay), 0);
	return replay;
}

static size_t replay_step(void *self, struct check_random *random, double *ret_out)
{
	struct fnx_masses masses = {.arm = {0}};
	uint32_t groups[4], n = (uint32_t)check_random_below(random, 5);
	double share = check_random_unit(random);
	struct fnx_replay_bin bin = {.groups = groups, .n_groups = n};
	struct fnx_replay_evidence evidence;

	masses.arm[1] = share;
	masses.target[1] = share * check_random_unit(random);
	masses.arm[2] = 1 - share;
	for (uint32_t i = 0; i < n; i++)
		groups[i] = (uint32_t)check_random_below(random, N_GROUPS + 1);
	bin.masses = check_random_below(random, 30) ? &masses : NULL;
	ret_out[0] = fnx_replay_step(self, &bin, &evidence);
	ret_out[1] = evidence.target_mass;
	ret_out[2] = evidence.other_mass;
	ret_out[3] = evidence.n_groups;
	ret_out[4] = evidence.rose;
	return 5;
}

static void replay_end(void *self)
{
	fnx_replay_free(self);
}

TEST(a_replay_rule_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){replay_size, replay_make, replay_step, replay_end, 3});
}

static struct fnx_ripple_rule_config ripple_config(const struct life *life)
{
	return (struct fnx_ripple_rule_config){.n_channels = N_CHANNELS,
		.consensus = life->variant == 1,
		.params = {.min_electrodes = 2, .window_samples = 30},
		.memory = life->memory,
		.resumed = life->resumed,
		.journal = life->journal};
}

static size_t ripple_size(int variant)
{
	const struct fnx_ripple_rule_config config =
		ripple_config(&(struct life){.variant = variant});

	return fnx_ripple_rule_memory_size(&config);
}

static void *ripple_make(const struct life *life)
{
	const struct fnx_ripple_rule_config config = ripple_config(life);
	struct fnx_ripple_rule *rule;

	assert_int_equal(fnx_ripple_rule_new(&config, &rule), 0);
	return rule;
}

static size_t ripple_step(void *self, struct check_random *random, double *ret_out)
{
	struct fnx_ripple_rule_evidence evidence;
	int64_t now = (int64_t)check_random_below(random, 100);

	ret_out[0] = fnx_ripple_rule_onset(
		self, (int32_t)check_random_below(random, N_CHANNELS + 1) - 1, now, 1, &evidence);
	ret_out[1] = evidence.n_electrodes;
	ret_out[2] = evidence.rose;
	return 3;
}

static void ripple_end(void *self)
{
	fnx_ripple_rule_free(self);
}

TEST(a_ripple_rule_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){ripple_size, ripple_make, ripple_step, ripple_end, 2});
}

static struct fnx_safety_config safety_config(const struct life *life)
{
	static const int64_t lockouts[2] = {10, 25};

	return (struct fnx_safety_config){.n_rules = 2,
		.rule_lockouts_samples = lockouts,
		.lockout_samples = 5,
		.max_tasks = life->variant ? 3 : 0,
		.per_samples = 60,
		.memory = life->memory,
		.resumed = life->resumed,
		.journal = life->journal};
}

static size_t safety_size(int variant)
{
	const struct fnx_safety_config config = safety_config(&(struct life){.variant = variant});

	return fnx_safety_memory_size(&config);
}

static void *safety_make(const struct life *life)
{
	const struct fnx_safety_config config = safety_config(life);
	struct fnx_safety *safety;

	assert_int_equal(fnx_safety_new(&config, &safety), 0);
	fnx_safety_set(safety, life->variant != 2, life->variant == 2);
	return safety;
}

static size_t safety_step(void *self, struct check_random *random, double *ret_out)
{
	/* Time may stand still or go back. */
	ret_out[0] = fnx_safety_fire(self, (uint32_t)check_random_below(random, 2),
		check_random_below(random, 2) != 0, (int64_t)check_random_below(random, 200));
	return 1;
}

static void safety_end(void *self)
{
	fnx_safety_free(self);
}

TEST(a_safety_book_that_was_killed_goes_on_as_if_nothing_had_happened)
{
	try_all(&(struct subject){safety_size, safety_make, safety_step, safety_end, 3});
}
