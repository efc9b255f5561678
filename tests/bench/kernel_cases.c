/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/kernel_cases.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/state_space.h"
#include "nodes/encode/model.h"
#include "nodes/host/credible.h"
#include "nodes/ripple/butterworth.h"
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/firls.h"
#include "tests/bench/kernel_network.h"
#include "tests/bench/made_up_marks.h"

enum {
	N_BINS = BENCH_BINS,
	N_SAMPLES = 1500,
};

/* Made-up data
 * --------------------------------------------------------------------------------------- */

static double unit(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double normal(uint64_t *state)
{
	const double radius = sqrt(-2.0 * log(1.0 - unit(state)));

	return radius * cos(6.283185307179586 * unit(state));
}

static int save(const char *directory, const struct bench_case *bench, const char *array,
	const double *values, size_t n)
{
	char path[512];
	FILE *file;
	size_t written;

	if (!bench->reference || !directory)
		return 0;
	snprintf(path, sizeof(path), "%s/%s.%s.f64", directory, strchr(bench->reference, ':') + 1,
		array);
	file = fopen(path, "wb");
	if (!file)
		return -1;
	written = fwrite(values, sizeof(double), n, file);
	return fclose(file) || written != n ? -1 : 0;
}

/* The published track of three arms and two gaps, stretched to `n_bins`. */
static void make_arms(uint32_t n_bins, int32_t *ret_arms, double *ret_as_doubles)
{
	for (uint32_t i = 0; i < n_bins; i++) {
		const uint32_t at = i * N_BINS / n_bins;

		ret_arms[i] = at <= 8 ? 0 : at < 13 ? -1 : at <= 24 ? 1 : at < 29 ? -1 : 2;
		ret_as_doubles[i] = ret_arms[i];
	}
}

/* Encode: sizes are marks, dimensions, enum bench_precision, whether with the cut-off.
 * ----------------------------------------------------------------------- */

enum {
	N_SPIKES = 64, /* judged in turn, so that no predictor learns one by heart */
};

struct encode {
	struct fnx_model *model;
	double marks[N_SPIKES][FNX_MARK_DIMS_MAX], share[N_BINS], likelihood[N_BINS];
	void *scratch;
	uint32_t at;
};

static void encode_close(void *self)
{
	struct encode *encode = self;

	fnx_model_free(encode->model);
	free(encode->scratch);
	free(encode);
}

static double make_occupancy(double *ret_occupancy)
{
	int32_t arms[N_BINS];
	double arm[N_BINS], sum = 0.0;

	make_arms(N_BINS, arms, arm);
	for (uint32_t i = 0; i < N_BINS; i++) {
		ret_occupancy[i] = arms[i] < 0 ? (double)NAN : 100.0 + i;
		sum += arms[i] < 0 ? 0.0 : ret_occupancy[i];
	}
	return sum;
}

/* What a tetrode that has been in the hippocampus for an hour looks like: made_up_marks.h, but that
 * nothing is seen in the track's gaps. The reference judges the first spike only; to it they are
 * all alike. */
static int encode_fill(struct encode *encode, const struct bench_case *bench, const char *directory)
{
	const uint32_t n = bench->sizes[0], d = bench->sizes[1];
	double *marks = calloc((size_t)n * d, sizeof(double));
	double *positions = calloc(n, sizeof(double)), occupancy[N_BINS];
	const double kernel_uv = 20.0, sum = make_occupancy(occupancy);
	struct bench_marks cells = bench_marks_new(d);
	int r = marks && positions ? 0 : -1;

	for (uint32_t i = 0; r >= 0 && i < n; i++) {
		do
			positions[i] = bench_marks_draw(&cells, marks + (size_t)i * d);
		while (isnan(occupancy[(int)positions[i]]));
		if (!fnx_model_is_whole(encode->model, marks + (size_t)i * d) ||
			fnx_model_add(encode->model, marks + (size_t)i * d,
				(int32_t)positions[i]) != FNX_MODEL_STORED)
			r = -1;
	}
	for (uint32_t i = 0; i < N_SPIKES; i++)
		bench_marks_draw(&cells, encode->marks[i]);
	for (uint32_t i = 0; i < N_BINS; i++)
		encode->share[i] = occupancy[i] / sum;
	if (r >= 0)
		r = save(directory, bench, "marks", marks, (size_t)n * d) |
			save(directory, bench, "positions", positions, n) |
			save(directory, bench, "mark", encode->marks[0], d) |
			save(directory, bench, "occupancy", occupancy, N_BINS) |
			save(directory, bench, "kernel_uv", &kernel_uv, 1);
	free(marks);
	free(positions);
	return r;
}

static void encode_judge(struct encode *encode, const double *mark, double *ret_likelihood)
{
	if (fnx_model_likelihood(
		    encode->model, mark, encode->share, encode->scratch, ret_likelihood))
		abort();
}

static struct encode *encode_new(
	const struct bench_case *bench, bool cut_off, const char *directory)
{
	const struct fnx_model_config config = {.n_dims = bench->sizes[1],
		.n_bins = N_BINS,
		.capacity = bench->sizes[0],
		.kernel_uv = 20.0,
		.single = bench->sizes[2] != BENCH_DOUBLE,
		.step_uv = bench->sizes[2] == BENCH_COUNTS ? BENCH_STEP_UV : 0.0,
		.cut_off = cut_off};
	struct encode *encode = calloc(1, sizeof(*encode));
	size_t size;

	if (!encode || fnx_model_new(&config, &encode->model)) {
		free(encode);
		return NULL;
	}
	size = (fnx_model_scratch_size(encode->model) + 63) / 64 * 64;
	encode->scratch = aligned_alloc(64, size);
	if (encode->scratch && encode_fill(encode, bench, directory) >= 0)
		return encode;
	encode_close(encode);
	return NULL;
}

/* With the cut-off: every spike's likelihood must be the exact sum's, as far as the case says. */
static int encode_compare(struct encode *encode, const struct bench_case *bench)
{
	struct encode *all = encode_new(bench, false, NULL);
	double exact[N_BINS], cut[N_BINS], worst = 0.0;

	if (!all)
		return -1;
	for (uint32_t i = 0; i < N_SPIKES; i++) {
		encode_judge(all, encode->marks[i], exact);
		encode_judge(encode, encode->marks[i], cut);
		for (uint32_t b = 0; b < N_BINS; b++)
			worst = fmax(worst, fabs(cut[b] - exact[b]));
	}
	encode_close(all);
	fprintf(stderr, "%s: differs from the exact sum by at most %.1e\n", bench->name, worst);
	return worst <= bench->tolerance ? 0 : -1;
}

static void *encode_open(const struct bench_case *bench, const char *directory)
{
	struct encode *encode = encode_new(bench, bench->sizes[3], directory);

	if (encode && bench->sizes[3] && encode_compare(encode, bench)) {
		encode_close(encode);
		return NULL;
	}
	return encode;
}

static void encode_call(void *self)
{
	struct encode *encode = self;

	encode_judge(encode, encode->marks[encode->at], encode->likelihood);
	encode->at = (encode->at + 1) % N_SPIKES;
}

static const double *encode_result(void *self, size_t *ret_n)
{
	*ret_n = N_BINS;
	return ((struct encode *)self)->likelihood;
}

/* Decode: sizes are groups, spikes, bins, states; in parity where there is a reference.
 * ----------------------------------------------------- */

struct decode {
	struct fnx_state_space space;
	struct fnx_decode_spike *spikes;
	uint32_t n_spikes;
	double *hists, *distance;
	int32_t *arms;
	struct fnx_decode_result result;
	size_t n_result;
};

static const enum fnx_step CLASSIFIER[9] = {FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM,
	FNX_STEP_IDENTITY, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM, FNX_STEP_UNIFORM,
	FNX_STEP_RANDOM_WALK, FNX_STEP_UNIFORM, FNX_STEP_IDENTITY};
static const enum fnx_step ONE_STATE = FNX_STEP_UNIFORM;

static void decode_close(void *self)
{
	struct decode *decode = self;

	fnx_state_space_fini(&decode->space);
	free(decode->spikes);
	free(decode->hists);
	free(decode->distance);
	free(decode->arms);
	free(decode);
}

/* Spikes that each speak for a place some bins wide around the animal's, and occupancy. */
static int decode_fill(struct decode *decode, const struct bench_case *bench, const char *directory)
{
	const uint32_t n_groups = bench->sizes[0], n = bench->sizes[1], n_bins = bench->sizes[2];
	double *times = calloc(3 * (size_t)n + 2 * n_bins, sizeof(double)), *groups = times + n;
	double *positions = groups + n, *occupancy = positions + n;
	double *work = occupancy + n_bins;
	uint64_t random = 2;
	int r;

	if (!times)
		return -1;
	for (uint32_t i = 0; i < n; i++) {
		double *hist = decode->hists + (size_t)i * n_bins, sum = 0.0;
		const double at = (0.1 + 0.01 * normal(&random)) * n_bins, width = 0.07 * n_bins;

		for (uint32_t b = 0; b < n_bins; b++) {
			const double z = (b - at) / width;

			hist[b] = decode->arms[b] < 0 ? 0.0 : exp(-0.5 * z * z) + 1e-5;
			sum += hist[b];
		}
		for (uint32_t b = 0; b < n_bins; b++)
			hist[b] /= sum;
		times[i] = 17.0 * i;
		groups[i] = i * 7 % n_groups;
		positions[i] = floor(0.1 * n_bins);
		decode->spikes[i] = (struct fnx_decode_spike){.sample_time = (int64_t)times[i],
			.group = (uint32_t)groups[i],
			.position_bin = (int32_t)positions[i],
			.credible_bins = fnx_credible_bins(hist, n_bins, 0.5, work),
			.stored = true,
			.likelihood = hist};
	}
	for (uint32_t b = 0; b < n_bins; b++) {
		occupancy[b] = decode->arms[b] < 0 ? (double)NAN : 1.0;
		for (uint32_t i = 0; decode->arms[b] >= 0 && i < 20 + b % 5; i++) {
			fnx_state_space_occupy(&decode->space, (int32_t)b);
			occupancy[b] += 1.0;
		}
	}
	r = save(directory, bench, "times", times, n) |
		save(directory, bench, "groups", groups, n) |
		save(directory, bench, "positions", positions, n) |
		save(directory, bench, "hists", decode->hists, (size_t)n * n_bins) |
		save(directory, bench, "occupancy", occupancy, n_bins);
	free(times);
	return r;
}

static int decode_init(struct decode *decode, const struct bench_case *bench, const char *directory)
{
	const uint32_t n_bins = bench->sizes[2], n_states = bench->sizes[3];
	const struct fnx_state_space_config config = {
		.transition = {.n_bins = n_bins,
			.bin_arms = decode->arms,
			.n_states = n_states,
			.steps = n_states == 3 ? CLASSIFIER : &ONE_STATE,
			.discrete_diagonal = n_states == 3 ? 0.98 : 1.0,
			.distance_cm = decode->distance,
			.random_walk_cm = 6.0,
			.through_first_arm = true},
		.n_groups = bench->sizes[0],
		.max_spikes = 256,
		.time_bin_s = 0.006,
		.credible_mass = 0.5,
		.credible_max_bins = 5,
		.parity = bench->reference,
		.rates_hz = !bench->reference,
		.position_sample_s = 1 / 30.0,
		.likelihood_floor = bench->reference ? 0.0 : 0.01};
	const double numbers[5] = {config.time_bin_s, n_states, config.transition.discrete_diagonal,
		config.transition.random_walk_cm, config.n_groups};
	double *arms = calloc(n_bins, sizeof(double));
	int r = -1;

	if (arms) {
		make_arms(n_bins, decode->arms, arms);
		/* As long as the published track: the bins of a longer row are shorter. */
		fnx_transition_parity_distances(
			n_bins, decode->arms, 5.0 * N_BINS / n_bins, decode->distance);
		r = fnx_state_space_init(&decode->space, &config);
	}
	if (r == 0)
		r = save(directory, bench, "config", numbers, 5) |
			save(directory, bench, "arms", arms, n_bins) |
			save(directory, bench, "distance", decode->distance,
				(size_t)n_bins * n_bins);
	free(arms);
	return r;
}

static void *decode_open(const struct bench_case *bench, const char *directory)
{
	const size_t n_bins = bench->sizes[2], n = bench->sizes[1];
	struct decode *decode = calloc(1, sizeof(*decode));

	if (!decode)
		return NULL;
	decode->n_spikes = (uint32_t)n;
	decode->n_result = bench->sizes[3] * n_bins;
	decode->spikes = calloc(n + 1, sizeof(*decode->spikes));
	decode->hists = calloc((n + 1) * n_bins, sizeof(double));
	decode->distance = calloc(n_bins * n_bins, sizeof(double));
	decode->arms = calloc(n_bins, sizeof(int32_t));
	if (decode->spikes && decode->hists && decode->distance && decode->arms &&
		decode_init(decode, bench, directory) == 0 &&
		decode_fill(decode, bench, directory) == 0)
		return decode;
	decode_close(decode);
	return NULL;
}

static void decode_call(void *self)
{
	struct decode *decode = self;

	fnx_state_space_tick(&decode->space, decode->spikes, decode->n_spikes, &decode->result);
}

static const double *decode_result(void *self, size_t *ret_n)
{
	struct decode *decode = self;

	*ret_n = decode->n_result;
	return decode->result.posterior;
}

/* Ripple: sizes are channels.
 * ----------------------------------------------------------------------------------------- */

struct ripple {
	struct fnx_envelope *envelope;
	float *samples; /* [N_SAMPLES][n_channels] */
	double *result;
	uint32_t n_channels, at;
};

static void ripple_close(void *self)
{
	struct ripple *ripple = self;

	fnx_envelope_free(ripple->envelope);
	free(ripple->samples);
	free(ripple->result);
	free(ripple);
}

static int ripple_fill(struct ripple *ripple, const struct bench_case *bench, const char *directory)
{
	const size_t n = N_SAMPLES * (size_t)ripple->n_channels;
	const double n_channels = ripple->n_channels;
	double *samples = calloc(n, sizeof(double)), taps[15];
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
	uint64_t random = 3;
	int r = samples ? 0 : -1;

	if (r == 0)
		r = fnx_butterworth_band_pass(2, 150, 250, 1500, sections) |
			fnx_firls_low_pass(15, 50, 55, 1500, taps);
	if (r == 0)
		r = fnx_envelope_new(&(struct fnx_envelope_config){.n_channels = ripple->n_channels,
					     .n_sections = 2,
					     .sections = sections,
					     .n_smoothing_taps = 15,
					     .smoothing_taps = taps,
					     .parity = true},
			&ripple->envelope);
	for (size_t i = 0; r == 0 && i < n; i++)
		samples[i] = ripple->samples[i] = (float)lround(500.0 * normal(&random));
	if (r == 0)
		r = save(directory, bench, "samples", samples, n) |
			save(directory, bench, "sections", &sections[0].b0, 10) |
			save(directory, bench, "taps", taps, 15) |
			save(directory, bench, "config", &n_channels, 1);
	free(samples);
	return r;
}

static void *ripple_open(const struct bench_case *bench, const char *directory)
{
	struct ripple *ripple = calloc(1, sizeof(*ripple));

	if (!ripple)
		return NULL;
	ripple->n_channels = bench->sizes[0];
	ripple->samples = calloc(N_SAMPLES * (size_t)ripple->n_channels, sizeof(float));
	ripple->result = calloc(ripple->n_channels, sizeof(double));
	if (ripple->samples && ripple->result && ripple_fill(ripple, bench, directory) == 0)
		return ripple;
	ripple_close(ripple);
	return NULL;
}

static void ripple_call(void *self)
{
	struct ripple *ripple = self;

	fnx_envelope_step(ripple->envelope,
		ripple->samples + (size_t)ripple->at * ripple->n_channels, 0.195, NULL,
		ripple->result);
	ripple->at = (ripple->at + 1) % N_SAMPLES;
}

static const double *ripple_result(void *self, size_t *ret_n)
{
	*ret_n = ((struct ripple *)self)->n_channels;
	return ((struct ripple *)self)->result;
}

#define ENCODE \
	.open = encode_open, .close = encode_close, .call = encode_call, .result = encode_result
#define DECODE \
	.open = decode_open, .close = decode_close, .call = decode_call, .result = decode_result
#define RIPPLE \
	.open = ripple_open, .close = ripple_close, .call = ripple_call, .result = ripple_result

const struct bench_case bench_cases[] = {
	{.name = "encode_25k_4",
		.reference = "encode:encode_25k_4",
		.goal = 250,
		.what = "likelihood of one spike, single precision on counts, cut off",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 4,
		.sizes = {25000, 4, BENCH_COUNTS, 1},
		ENCODE},
	{.name = "encode_25k_16",
		.reference = "encode:encode_25k_16",
		.goal = 200,
		.what = "likelihood of one spike, single precision on counts, cut off",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 16,
		.sizes = {25000, 16, BENCH_COUNTS, 1},
		ENCODE},
	{.name = "encode_100k_4",
		.reference = "encode:encode_100k_4",
		.goal = 250,
		.what = "likelihood of one spike, single precision on counts, cut off",
		.tolerance = 1e-6,
		.marks = 100e3,
		.dims = 4,
		.sizes = {100000, 4, BENCH_COUNTS, 1},
		ENCODE},
	{.name = "encode_25k_4_dense",
		.reference = "encode:encode_25k_4_dense",
		.what = "the same over all marks",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 4,
		.sizes = {25000, 4, BENCH_COUNTS, 0},
		ENCODE},
	{.name = "encode_25k_16_dense",
		.reference = "encode:encode_25k_16_dense",
		.what = "the same over all marks",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 16,
		.sizes = {25000, 16, BENCH_COUNTS, 0},
		ENCODE},
	{.name = "encode_100k_4_dense",
		.reference = "encode:encode_100k_4_dense",
		.what = "the same over all marks",
		.tolerance = 1e-6,
		.marks = 100e3,
		.dims = 4,
		.sizes = {100000, 4, BENCH_COUNTS, 0},
		ENCODE},
	{.name = "encode_25k_4_steps",
		.reference = "encode:encode_25k_4_steps",
		.what = "cut off, on steps of the kernel",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 4,
		.sizes = {25000, 4, BENCH_STEPS, 1},
		ENCODE},
	{.name = "encode_25k_4_dense_steps",
		.reference = "encode:encode_25k_4_dense_steps",
		.what = "the same over all marks",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 4,
		.sizes = {25000, 4, BENCH_STEPS, 0},
		ENCODE},
	{.name = "encode_25k_4_double",
		.reference = "encode:encode_25k_4_double",
		.what = "all marks in double precision",
		.tolerance = 1e-12,
		.marks = 25e3,
		.dims = 4,
		.sizes = {25000, 4, BENCH_DOUBLE, 0},
		ENCODE},
	{.name = "encode_25k_4_bincount",
		.reference = "encode_bincount:encode_25k_4_bincount",
		.what = "cut off, against NumPy's fastest histogram",
		.tolerance = 1e-6,
		.marks = 25e3,
		.dims = 4,
		.sizes = {25000, 4, BENCH_COUNTS, 1},
		ENCODE},
	{.name = "decode_32x10x41",
		.reference = "decode:decode_32x10x41",
		.goal = 200,
		.what = "time bin: 32 groups, 10 spikes, 41 bins",
		.tolerance = 1e-10,
		.sizes = {32, 10, 41, 1},
		DECODE},
	{.name = "decode_classifier_32x10x41",
		.reference = "decode:decode_classifier_32x10x41",
		.goal = 200,
		.what = "the same with three states",
		.tolerance = 1e-10,
		.sizes = {32, 10, 41, 3},
		DECODE},
	{.name = "decode_41x3",
		.what = "three states, 41 bins, rates in Hz",
		.sizes = {32, 10, 41, 3},
		DECODE},
	{.name = "decode_2000x3",
		.what = "three states, 2,000 bins, rates in Hz",
		.sizes = {32, 10, 2000, 3},
		DECODE},
	{.name = "ripple_32",
		.reference = "ripple:ripple_32",
		.goal = 50,
		.what = "envelope of one sample, 32 channels",
		.tolerance = 1e-9,
		.sizes = {32},
		RIPPLE},
	{.name = "ripple_512",
		.reference = "ripple:ripple_512",
		.what = "envelope of one sample, 512 channels",
		.tolerance = 1e-9,
		.sizes = {512},
		RIPPLE},
	{.name = "network_cnn1d_1",
		.what = "a window of 16 samples x 8 channels through CNN1D_1",
		.open = bench_network_open,
		.close = bench_network_close,
		.call = bench_network_call,
		.result = bench_network_result},
};

const unsigned n_bench_cases = sizeof(bench_cases) / sizeof(bench_cases[0]);
