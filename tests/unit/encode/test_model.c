/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/model.h"
#include "nodes/host/host.h"
#include "nodes/host/occupancy.h"
#include "nodes/host/smoothing.h"
#include "tests/support/model_scratch.h"

enum {
	MAX_MARKS = 3000,
	MAX_BINS = 200,
	MAX_DIMS = FNX_MARK_DIMS_MAX
};

/* Double precision, single, and single on counts. */
enum precision {
	DOUBLE,
	SINGLE,
	COUNTS,
	PRECISIONS
};

/* The model by its definition: marks in order of arrival, one after the other, with libm. */
struct naive {
	struct fnx_model_config config;
	uint64_t index;
	double marks[MAX_MARKS][MAX_DIMS];
	int32_t bins[MAX_MARKS];
};

static struct naive naive;

static uint32_t naive_marks(void)
{
	return naive.index < naive.config.capacity ? (uint32_t)naive.index : naive.config.capacity;
}

static void naive_add(const double *mark, int32_t bin)
{
	const uint32_t slot = (uint32_t)(naive.index % naive.config.capacity);
	const bool full = naive.index >= naive.config.capacity;

	if (!full || naive.index % 2 == 0) {
		memcpy(naive.marks[slot], mark, naive.config.n_dims * sizeof(double));
		naive.bins[slot] = bin;
	}
	naive.index += full ? 3 : 1;
}

static int naive_likelihood(const double *mark, const double *share, double *ret_likelihood)
{
	const struct fnx_model_config *config = &naive.config;
	const double s = config->kernel_uv;
	double hist[MAX_BINS] = {0}, smoothed[MAX_BINS] = {0}, sum = 0.0;
	uint32_t n_inside = 0;

	if (naive.index == 0)
		return FNX_ENCODE_NO_MARKS;
	for (uint32_t i = 0; i < naive_marks(); i++) {
		double square = 0.0;
		bool inside = true;

		for (uint32_t d = 0; d < config->n_dims; d++) {
			const double diff = naive.marks[i][d] - mark[d];

			square += diff * diff;
			inside = inside &&
				naive.marks[i][d] > mark[d] - config->gate_deviations * s &&
				naive.marks[i][d] < mark[d] + config->gate_deviations * s;
		}
		n_inside += inside;
		hist[naive.bins[i]] += exp(-square / (2.0 * s * s)) / (sqrt(2.0 * M_PI) * s);
	}
	if (config->gate && n_inside < config->gate_min_marks)
		return FNX_ENCODE_GATED;
	for (uint32_t b = 0; config->smoothing && b < config->n_bins; b++)
		fnx_smoothing_add(config->smoothing, b, hist[b], smoothed);
	for (uint32_t b = 0; b < config->n_bins; b++) {
		double value = hist[b];

		if (config->smoothing) {
			value = smoothed[b];
		}
		ret_likelihood[b] = (value + 1e-7) / share[b];
		if (!isfinite(ret_likelihood[b]))
			ret_likelihood[b] = 0.0;
		sum += ret_likelihood[b];
	}
	for (uint32_t b = 0; b < config->n_bins; b++)
		ret_likelihood[b] /= sum;
	return FNX_ENCODE_VALID;
}

static struct fnx_model *model_new(const struct fnx_model_config *config)
{
	struct fnx_model *model;

	assert_int_equal(fnx_model_new(config, &model), 0);
	naive.config = *config;
	naive.index = 0;
	return model;
}

/* Amplitudes in clusters, so that some marks are near a query and most are not. */
static void random_mark(
	struct check_random *random, uint32_t n_dims, double largest, double *ret_mark)
{
	const double centre = largest * 0.25 * (double)(1 + check_random_below(random, 3));

	for (uint32_t d = 0; d < n_dims; d++)
		ret_mark[d] = centre +
			(check_random_unit(random) - 0.5) * 0.2 * largest / sqrt((double)n_dims);
}

static void random_share(struct check_random *random, uint32_t n_bins, double *ret_share)
{
	double sum = 0.0;

	for (uint32_t b = 0; b < n_bins; b++) {
		ret_share[b] = b && !check_random_below(random, 8)
			? 0.0
			: check_random_unit(random) + 0.01;
		sum += ret_share[b];
	}
	for (uint32_t b = 0; b < n_bins; b++)
		ret_share[b] =
			b && !check_random_below(random, 8) ? (double)NAN : ret_share[b] / sum;
}

static double worst; /* relative error that was seen */

static void assert_likelihoods_near(
	const double *likelihood, const double *expected, uint32_t n_bins, double relative)
{
	double sum = 0.0;

	for (uint32_t b = 0; b < n_bins; b++) {
		assert_true(isfinite(likelihood[b]));
		worst = fmax(worst, fabs(likelihood[b] - expected[b]) / fmax(expected[b], 1e-300));
		if (!(fabs(likelihood[b] - expected[b]) <= relative * expected[b]))
			fail_msg("bin %u: %.17g, expected %.17g", b, likelihood[b], expected[b]);
		sum += likelihood[b];
	}
	assert_true(fabs(sum - 1.0) < 1e-12);
}

static double steps_cm(const void *bin_cm, uint32_t a, uint32_t b)
{
	return *(const double *)bin_cm * fabs((double)a - (double)b);
}

/* Whole counts, as a model on counts takes a mark. */
static void round_mark(const struct fnx_model_config *config, double *mark)
{
	for (uint32_t d = 0; config->step_uv > 0.0 && d < config->n_dims; d++)
		mark[d] = round(mark[d] / config->step_uv) * config->step_uv;
}

/* A kernel of 1 to 270 counts, and no amplitude beyond 9,800. */
static double random_step(struct check_random *random, double kernel_uv, double largest)
{
	const double most = fmin(270.0, 9800.0 * kernel_uv / largest);

	return kernel_uv / (1.0 + (most - 1.0) * check_random_unit(random));
}

static void check_random_model(
	struct check_random *random, enum precision precision, bool smoothing)
{
	const double bin_cm = 5.0;
	struct fnx_smoothing *spread = NULL;
	const double largest = 50.0 * (double)(1 + check_random_below(random, 20));
	const uint32_t n_marks = (uint32_t)check_random_below(random, MAX_MARKS + 1);
	struct fnx_model_config config = {
		.n_dims = 1 + (uint32_t)check_random_below(random, MAX_DIMS),
		.n_bins = 1 + (uint32_t)check_random_below(random, MAX_BINS),
		.capacity = 1 + (uint32_t)check_random_below(random, MAX_MARKS),
		.kernel_uv = 5.0 + 30.0 * check_random_unit(random),
		.gate = check_random_below(random, 2),
		.gate_deviations = 0.5 + 2.0 * check_random_unit(random),
		.gate_min_marks = (uint32_t)check_random_below(random, 20),
		.single = precision != DOUBLE,
	};
	const bool already_whole = check_random_below(random, 2);
	double mark[MAX_DIMS], given[MAX_DIMS], share[MAX_BINS], expected[MAX_BINS],
		likelihood[MAX_BINS];
	struct fnx_model *model;
	void *scratch;

	if (precision == COUNTS)
		config.step_uv = random_step(random, config.kernel_uv, largest);
	if (smoothing) {
		assert_int_equal(
			fnx_smoothing_new(config.n_bins, steps_cm, &bin_cm, 8.0, &spread), 0);
		config.smoothing = spread;
	}
	model = model_new(&config);
	scratch = model_scratch_new(model);
	random_share(random, config.n_bins, share);
	for (uint32_t i = 0; i <= n_marks; i++) {
		random_mark(random, config.n_dims, largest, mark);
		memcpy(given, mark, sizeof(given));
		round_mark(&config, mark);
		if (already_whole)
			memcpy(given, mark, sizeof(given));
		if (i == n_marks || !check_random_below(random, 200)) {
			const int answer = naive_likelihood(mark, share, expected);

			assert_int_equal(
				fnx_model_likelihood(model, given, share, scratch, likelihood),
				answer);
			if (answer == FNX_ENCODE_VALID)
				assert_likelihoods_near(likelihood, expected, config.n_bins,
					config.single ? 6e-6 : 1e-11);
		}
		if (i < n_marks) {
			const int32_t bin = (int32_t)check_random_below(random, config.n_bins);
			const bool passed_over =
				naive.index >= config.capacity && naive.index % 2 != 0;

			assert_int_equal(fnx_model_add(model, given, bin),
				passed_over ? FNX_MODEL_PASSED_OVER : FNX_MODEL_STORED);
			naive_add(mark, bin);
		}
	}
	assert_int_equal(fnx_model_marks(model), naive_marks());
	for (uint32_t i = 0; i < naive_marks(); i++) {
		uint32_t bin;

		fnx_model_stored(model, i, mark, &bin);
		assert_memory_equal(mark, naive.marks[i], config.n_dims * sizeof(double));
		assert_int_equal(bin, naive.bins[i]);
	}
	free(scratch);
	fnx_model_free(model);
	fnx_smoothing_free(spread);
}

TEST(random_models_agree_with_the_definition_in_double_precision)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++)
		check_random_model(&random, DOUBLE, false);
}

TEST(random_models_agree_with_the_definition_within_the_stated_bound_in_single_precision)
{
	struct check_random random = check_random_seeded();

	worst = 0.0;
	for (int round = 0; round < 60; round++)
		check_random_model(&random, SINGLE, false);
	print_message("worst relative error: %.2g\n", worst);
}

TEST(random_models_on_counts_are_those_of_the_rounded_marks_within_the_same_bound)
{
	struct check_random random = check_random_seeded();

	worst = 0.0;
	for (int round = 0; round < 60; round++)
		check_random_model(&random, COUNTS, false);
	print_message("worst relative error: %.2g\n", worst);
}

TEST(smoothed_models_agree_with_the_definition)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 30; round++)
		check_random_model(&random, (enum precision)(round % PRECISIONS), true);
}

TEST(an_empty_model_says_so_and_writes_nothing)
{
	const struct fnx_model_config config = {
		.n_dims = 4, .n_bins = 3, .capacity = 10, .kernel_uv = 20.0};
	const double mark[4] = {100, 100, 100, 100}, share[3] = {0.2, 0.3, 0.5};
	double likelihood[3] = {-1, -1, -1};
	struct fnx_model *model = model_new(&config);
	void *scratch = model_scratch_new(model);

	assert_int_equal(
		fnx_model_likelihood(model, mark, share, scratch, likelihood), FNX_ENCODE_NO_MARKS);
	assert_true(likelihood[0] == -1 && likelihood[1] == -1 && likelihood[2] == -1);
	free(scratch);
	fnx_model_free(model);
}

TEST(a_mark_on_the_face_of_the_cube_is_outside_it_in_every_precision)
{
	for (int i_case = 0; i_case < 2 * PRECISIONS; i_case++) {
		const int precision = i_case % PRECISIONS, face = i_case / PRECISIONS;
		const struct fnx_model_config config = {.n_dims = 2,
			.n_bins = 1,
			.capacity = 10,
			.kernel_uv = 19.5,
			.gate = true,
			.gate_deviations = 1.0,
			.gate_min_marks = 1,
			.single = precision != DOUBLE,
			.step_uv = precision == COUNTS ? 0.5 : 0.0};
		/* Of counts the nearest: the same. */
		const double off = precision == COUNTS ? 0.2 : 0.0;
		const double at[2] = {100.0 + off, 70.0 - off}, share[1] = {1.0};
		const double faces[2][2] = {{119.5, 70.0}, {100.0, 50.5}};
		const double within = precision == COUNTS ? 0.5 : 1e-12;
		const double inside[2][2] = {{119.5 - within, 70.0}, {100.0, 50.5 + within}};
		double likelihood[1];
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);

		assert_int_equal(fnx_model_add(model, faces[face], 0), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_likelihood(model, at, share, scratch, likelihood),
			FNX_ENCODE_GATED);
		assert_int_equal(fnx_model_add(model, inside[face], 0), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_likelihood(model, at, share, scratch, likelihood),
			FNX_ENCODE_VALID);
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(the_gate_counts_only_and_marks_outside_the_cube_weigh_as_well)
{
	const struct fnx_model_config config = {.n_dims = 1,
		.n_bins = 2,
		.capacity = 10,
		.kernel_uv = 20.0,
		.gate = true,
		.gate_deviations = 1.0,
		.gate_min_marks = 1};
	const double at = 100.0, near = 110.0, far = 130.0, share[2] = {0.5, 0.5};
	double likelihood[2];
	struct fnx_model *model = model_new(&config);
	void *scratch = model_scratch_new(model);

	assert_int_equal(fnx_model_add(model, &near, 0), FNX_MODEL_STORED);
	assert_int_equal(fnx_model_add(model, &far, 1), FNX_MODEL_STORED);
	assert_int_equal(
		fnx_model_likelihood(model, &at, share, scratch, likelihood), FNX_ENCODE_VALID);
	assert_true(fabs(likelihood[1] / likelihood[0] - exp(-(900.0 - 100.0) / 800.0)) < 1e-5);
	free(scratch);
	fnx_model_free(model);
}

TEST(at_capacity_every_other_mark_overwrites_the_slot_of_an_even_index)
{
	const struct fnx_model_config config = {
		.n_dims = 1, .n_bins = 20, .capacity = 10, .kernel_uv = 20.0};
	/* Indices 10 13 16 19 22 25: slots 0, -, 6, -, 2, -. */
	const int32_t expected[10] = {10, 1, 14, 3, 4, 5, 12, 7, 8, 9};
	struct fnx_model *model = model_new(&config);

	for (int32_t i = 0; i < 16; i++) {
		const double mark = i;

		assert_int_equal(fnx_model_add(model, &mark, i),
			i < 10 || i % 2 == 0 ? FNX_MODEL_STORED : FNX_MODEL_PASSED_OVER);
	}
	for (uint32_t i = 0; i < 10; i++) {
		double mark;
		uint32_t bin;

		fnx_model_stored(model, i, &mark, &bin);
		assert_int_equal(bin, expected[i]);
		assert_true(mark == expected[i]);
	}
	assert_int_equal(fnx_model_marks(model), 10);
	assert_int_equal(fnx_model_index(model), 28);
	fnx_model_free(model);
}

TEST(a_saved_model_goes_on_where_it_was)
{
	struct check_random random = check_random_seeded();
	const struct fnx_model_config config = {
		.n_dims = 3, .n_bins = 7, .capacity = 50, .kernel_uv = 20.0};
	struct fnx_model *model = model_new(&config), *restored;
	double mark[3], share[7], a[7], b[7];
	void *scratch = model_scratch_new(model);
	uint32_t bin;

	for (int i = 0; i < 137; i++) {
		random_mark(&random, 3, 300.0, mark);
		assert_true(
			fnx_model_add(model, mark, (int32_t)check_random_below(&random, 7)) >= 0);
	}
	assert_int_equal(fnx_model_new(&config, &restored), 0);
	assert_int_equal(fnx_model_resume(restored, 60), -EINVAL);
	for (uint32_t i = 0; i < fnx_model_marks(model); i++) {
		fnx_model_stored(model, i, mark, &bin);
		assert_int_equal(fnx_model_add(restored, mark, (int32_t)bin), FNX_MODEL_STORED);
	}
	assert_int_equal(fnx_model_resume(restored, 49), -EINVAL);
	assert_int_equal(fnx_model_resume(restored, fnx_model_index(model)), 0);
	for (int i = 0; i < 41; i++) {
		random_mark(&random, 3, 300.0, mark);
		bin = (uint32_t)check_random_below(&random, 7);
		assert_int_equal(fnx_model_add(model, mark, (int32_t)bin),
			fnx_model_add(restored, mark, (int32_t)bin));
	}
	random_share(&random, 7, share);
	assert_int_equal(fnx_model_likelihood(model, mark, share, scratch, a), FNX_ENCODE_VALID);
	assert_int_equal(fnx_model_likelihood(restored, mark, share, scratch, b), FNX_ENCODE_VALID);
	assert_likelihoods_near(a, b, 7, 1e-13);
	free(scratch);
	fnx_model_free(model);
	fnx_model_free(restored);
}

TEST(what_cannot_be_stored_is_refused_and_changes_nothing)
{
	const struct fnx_model_config config = {
		.n_dims = 2, .n_bins = 4, .capacity = 2, .kernel_uv = 20.0};
	const double good[2] = {100, 100}, infinite[2] = {100, INFINITY}, nans[2] = {NAN, 100};
	struct fnx_model *model = model_new(&config);

	assert_int_equal(fnx_model_add(model, good, -1), -EINVAL);
	assert_int_equal(fnx_model_add(model, good, 4), -EINVAL);
	assert_int_equal(fnx_model_add(model, infinite, 0), -EINVAL);
	assert_int_equal(fnx_model_add(model, nans, 0), -EINVAL);
	assert_int_equal(fnx_model_index(model), 0);
	fnx_model_free(model);
}

TEST(likelihoods_are_finite_whatever_the_mark_and_the_occupancy)
{
	const double values[] = {INFINITY, -INFINITY, NAN, 1e300, -1e300, 1e19, 0.0, 100.0};
	const double shares[] = {0.0, NAN, INFINITY, 1e-320, 0.5, 1.0};

	for (int precision = 0; precision < PRECISIONS; precision++) {
		const struct fnx_model_config config = {.n_dims = 2,
			.n_bins = 3,
			.capacity = 100,
			.kernel_uv = 20.0,
			.single = precision != DOUBLE,
			.step_uv = precision == COUNTS ? 0.5 : 0.0};
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);

		for (size_t i = 3; i < 8; i++) {
			const double mark[2] = {values[i], 100.0};

			assert_int_equal(fnx_model_add(model, mark, (int32_t)i % 3), 0);
		}
		for (size_t i = 0; i < 8 * 8 * 6 * 6; i++) {
			const double mark[2] = {values[i % 8], values[i / 8 % 8]};
			const double share[3] = {shares[i / 64 % 6], shares[i / 384], NAN};
			double likelihood[3], sum = 0.0;

			assert_int_equal(
				fnx_model_likelihood(model, mark, share, scratch, likelihood),
				FNX_ENCODE_VALID);
			for (int b = 0; b < 3; b++) {
				assert_true(isfinite(likelihood[b]));
				sum += likelihood[b];
			}
			assert_true(fabs(sum - 1.0) < 1e-12);
		}
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(a_mark_far_from_all_gives_the_flat_histogram_over_occupancy)
{
	for (int precision = 0; precision < PRECISIONS; precision++) {
		const struct fnx_model_config config = {.n_dims = 1,
			.n_bins = 2,
			.capacity = 40,
			.kernel_uv = 1.0,
			.single = precision != DOUBLE,
			.step_uv = precision == COUNTS ? 0.5 : 0.0};
		const double near = 0.0, far = 1e6, share[2] = {0.25, 0.75};
		double likelihood[2];
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);

		for (int i = 0; i < 33; i++)
			assert_int_equal(fnx_model_add(model, &near, i % 2), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_likelihood(model, &far, share, scratch, likelihood),
			FNX_ENCODE_VALID);
		assert_true(fabs(likelihood[0] - 0.75) < 1e-12);
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(results_do_not_depend_on_what_scratch_held)
{
	struct check_random random = check_random_seeded();

	for (int precision = 0; precision < PRECISIONS; precision++) {
		const struct fnx_model_config config = {.n_dims = 4,
			.n_bins = 41,
			.capacity = 1000,
			.kernel_uv = 20.0,
			.single = precision != DOUBLE,
			.step_uv = precision == COUNTS ? 0.5 : 0.0};
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);
		double mark[4], share[41], a[41], b[41];

		for (int i = 0; i < 1500; i++) {
			random_mark(&random, 4, 300.0, mark);
			assert_true(fnx_model_add(model, mark,
					    (int32_t)check_random_below(&random, 41)) >= 0);
		}
		random_share(&random, 41, share);
		assert_int_equal(fnx_model_likelihood(model, mark, share, scratch, a), 0);
		memset(scratch, 0x7f, fnx_model_scratch_size(model));
		memset(b, 0xff, sizeof(b));
		assert_int_equal(fnx_model_likelihood(model, mark, share, scratch, b), 0);
		assert_memory_equal(a, b, sizeof(a));
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(adding_and_judging_allocate_nothing)
{
	struct check_random random = check_random_seeded();
	static _Atomic uint64_t n_allocated;

	for (int precision = 0; precision < PRECISIONS; precision++) {
		const struct fnx_model_config config = {.n_dims = 4,
			.n_bins = 41,
			.capacity = 500,
			.kernel_uv = 20.0,
			.gate = true,
			.gate_deviations = 1.0,
			.gate_min_marks = 10,
			.single = precision != DOUBLE,
			.step_uv = precision == COUNTS ? 0.5 : 0.0};
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);
		double mark[4], share[41], likelihood[41];

		random_share(&random, 41, share);
		fnx_heap_watch(&n_allocated);
		for (int i = 0; i < 2000; i++) {
			random_mark(&random, 4, 300.0, mark);
			fnx_model_likelihood(model, mark, share, scratch, likelihood);
			fnx_model_add(model, mark, (int32_t)check_random_below(&random, 41));
		}
		fnx_heap_watch(NULL);
		assert_int_equal(n_allocated, 0);
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(configurations_out_of_range_are_refused)
{
	const struct fnx_model_config good = {.n_dims = 4,
		.n_bins = 41,
		.capacity = 100,
		.kernel_uv = 20.0,
		.gate = true,
		.gate_deviations = 1.0};
	struct fnx_model_config bad[15];
	struct fnx_model *model = NULL;

	for (size_t i = 0; i < 15; i++) {
		bad[i] = good;
		bad[i].single = i >= 9;
		bad[i].step_uv = i >= 9 ? 0.2 : 0.0;
	}
	bad[0].n_dims = 0;
	bad[1].n_dims = FNX_MARK_DIMS_MAX + 1;
	bad[2].n_bins = 0;
	bad[3].n_bins = FNX_MODEL_BINS_MAX + 1;
	bad[4].capacity = 0;
	bad[5].kernel_uv = 0.0;
	bad[6].kernel_uv = NAN;
	bad[7].gate_deviations = 0.0;
	bad[8].capacity = FNX_MODEL_CAPACITY_MAX + 1;
	bad[9].single = false;
	bad[10].merge_deviations = 0.5;
	bad[11].step_uv = -0.2;
	bad[12].step_uv = NAN;
	bad[13].step_uv = 20.1; /* more than a deviation */
	bad[14].step_uv = 20.0 / 271.0;
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(fnx_model_new(&bad[i], &model), -EINVAL);
	assert_null(model);
	assert_null(fnx_model_free(NULL));
}

TEST(a_model_on_counts_tells_marks_that_are_none_and_rounds_them)
{
	const struct fnx_model_config config = {.n_dims = 3,
		.n_bins = 2,
		.capacity = 10,
		.kernel_uv = 20.0,
		.single = true,
		.step_uv = 0.195};
	const double whole[3] = {512 * 0.195, -3 * 0.195, 32767 * 0.195};
	const double half[3] = {512.4 * 0.195, -3 * 0.195, 32767 * 0.195};
	const double odd[3] = {NAN, INFINITY, 1e300};
	struct fnx_model *model = model_new(&config);
	double stored[3];
	uint32_t bin;

	assert_true(fnx_model_is_whole(model, whole));
	assert_false(fnx_model_is_whole(model, half));
	assert_true(fnx_model_is_whole(model, odd)); /* no fraction that would be lost */
	assert_int_equal(fnx_model_add(model, whole, 0), FNX_MODEL_STORED);
	assert_int_equal(fnx_model_add(model, half, 1), FNX_MODEL_STORED);
	for (uint32_t slot = 0; slot < 2; slot++) {
		fnx_model_stored(model, slot, stored, &bin);
		assert_memory_equal(stored, whole, sizeof(whole));
	}
	fnx_model_free(model);
}

/* Amplitudes beyond the limit count as the limit in weights, but not for the gate. */
TEST(the_gate_answers_alike_in_every_precision_also_beyond_the_limits)
{
	struct check_random random = check_random_seeded();
	struct fnx_model *models[PRECISIONS];

	for (int round = 0; round < 200; round++) {
		struct fnx_model_config config = {
			.n_dims = 1 + (uint32_t)check_random_below(&random, 5),
			.n_bins = 1,
			.capacity = 200,
			.kernel_uv = 20.0,
			.cut_off = round % 2,
			.gate = true,
			.gate_deviations = 1.0 + 40.0 * (double)check_random_below(&random, 2),
			.gate_min_marks = 1 + (uint32_t)check_random_below(&random, 20)};
		const double share[1] = {1.0};
		double mark[MAX_DIMS], likelihood[1];
		void *scratch;

		for (int k = 0; k < PRECISIONS; k++) {
			config.single = k != DOUBLE;
			config.step_uv = k == COUNTS ? 0.25 : 0.0;
			models[k] = model_new(&config);
		}
		scratch = model_scratch_new(models[DOUBLE]);
		for (int i = 0; i < 250; i++) {
			/* 9,800 counts are 2,450 uV; 232 deviations 4,640. */
			const double far[] = {0.0, 2400.0, 2440.0, -2440.0, 2500.0, 4600.0, 5e3};
			const double centre = far[check_random_below(&random, 7)];
			int answers[PRECISIONS];

			for (uint32_t d = 0; d < config.n_dims; d++)
				mark[d] = centre + 0.25 * (double)check_random_below(&random, 120);
			for (int k = 0; k < PRECISIONS; k++) {
				answers[k] = fnx_model_likelihood(
					models[k], mark, share, scratch, likelihood);
				assert_int_equal(answers[k], answers[0]);
				assert_true(fnx_model_add(models[k], mark, 0) >= 0);
			}
		}
		free(scratch);
		for (int k = 0; k < PRECISIONS; k++)
			fnx_model_free(models[k]);
	}
}
