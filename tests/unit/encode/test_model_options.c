/* SPDX-License-Identifier: BSD-3-Clause */
/* What the cut-off, merging and batches change, and what they do not. */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/model_memory.h"
#include "tests/support/model_scratch.h"

enum {
	MAX_BINS = 60,
	MAX_MARKS = 4000
};

static struct fnx_model *model_new(const struct fnx_model_config *config)
{
	struct fnx_model *model;

	assert_int_equal(fnx_model_new(config, &model), 0);
	return model;
}

static struct fnx_model_config random_config(struct check_random *random)
{
	struct fnx_model_config config = {
		.n_dims = 1 + (uint32_t)check_random_below(random, FNX_MARK_DIMS_MAX),
		.n_bins = 1 + (uint32_t)check_random_below(random, MAX_BINS),
		.capacity = 1 + (uint32_t)check_random_below(random, MAX_MARKS),
		.kernel_uv = 20.0,
		.single = check_random_below(random, 3),
	};

	if (config.single && check_random_below(random, 2)) /* 9,800 of them: 735 uV at the least */
		config.step_uv = 0.075 + 2.0 * pow(check_random_unit(random), 4.0);
	return config;
}

/* Clusters 300 uV apart: for a kernel of 20 uV near or far, nothing in between. */
static void random_mark(struct check_random *random, uint32_t n_dims, double *ret_mark)
{
	const double centre = 300.0 * (double)check_random_below(random, 5);

	for (uint32_t d = 0; d < n_dims; d++)
		ret_mark[d] =
			centre + 60.0 * (check_random_unit(random) - 0.5) / sqrt((double)n_dims);
}

static void fill(
	struct check_random *random, uint32_t n, struct fnx_model *model, struct fnx_model *other)
{
	const struct fnx_model_config *config = fnx_model_config(model);
	double mark[FNX_MARK_DIMS_MAX];

	for (uint32_t i = 0; i < n; i++) {
		const int32_t bin = (int32_t)check_random_below(random, config->n_bins);

		random_mark(random, config->n_dims, mark);
		assert_true(fnx_model_add(model, mark, bin) >= 0);
		if (other)
			assert_true(fnx_model_add(other, mark, bin) >= 0);
	}
}

static void flat_share(uint32_t n_bins, double *ret_share)
{
	for (uint32_t b = 0; b < n_bins; b++)
		ret_share[b] = 1.0 / n_bins;
}

TEST(what_the_cut_off_leaves_out_changes_no_likelihood_by_more_than_1e_6)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++) {
		struct fnx_model_config config = random_config(&random);
		double mark[FNX_MARK_DIMS_MAX], share[MAX_BINS], exact[MAX_BINS], cut[MAX_BINS];
		struct fnx_model *all, *near;
		void *scratch;

		config.gate = check_random_below(&random, 2);
		/* Also a cube around all that there can be. */
		config.gate_deviations = round % 8 ? 0.1 + 6.0 * check_random_unit(&random) : 1e5;
		config.gate_min_marks = (uint32_t)check_random_below(&random, 200);
		all = model_new(&config);
		config.cut_off = true;
		near = model_new(&config);
		scratch = model_scratch_new(near);
		flat_share(config.n_bins, share);
		fill(&random, 1 + (uint32_t)check_random_below(&random, 2 * MAX_MARKS), all, near);
		assert_true(fnx_model_is_sound(near));
		assert_int_equal(fnx_model_index(all), fnx_model_index(near));
		for (int i = 0; i < 10; i++) {
			uint32_t bin;
			int answer;

			fnx_model_stored(near,
				(uint32_t)check_random_below(&random, fnx_model_marks(near)), mark,
				&bin);
			answer = fnx_model_likelihood(all, mark, share, scratch, exact);
			assert_int_equal(
				fnx_model_likelihood(near, mark, share, scratch, cut), answer);
			for (uint32_t b = 0; answer == FNX_ENCODE_VALID && b < config.n_bins; b++)
				if (!(fabs(cut[b] - exact[b]) <= 1e-6))
					fail_msg("bin %u: %.9g, exact %.9g", b, cut[b], exact[b]);
		}
		free(scratch);
		fnx_model_free(all);
		fnx_model_free(near);
	}
}

TEST(with_the_cut_off_only_blocks_near_a_spike_are_visited)
{
	struct check_random random = check_random_seeded();
	const struct fnx_model_config config = {.n_dims = 4,
		.n_bins = 10,
		.capacity = 20000,
		.kernel_uv = 20.0,
		.single = true,
		.cut_off = true};
	struct fnx_model *model = model_new(&config);
	uint32_t *list = calloc(model->n_blocks + FNX_BOX_GROUP, sizeof(*list));
	uint16_t at[4], above[4];
	uint32_t n;

	assert_non_null(list);
	fill(&random, 50000, model, NULL); /* and overwritten again and again */
	assert_true(fnx_model_is_sound(model));
	for (uint32_t d = 0; d < 4; d++)
		fnx_model_box_steps(model, 600.0, &at[d], &above[d]);
	n = model->kernel->near_boxes(
		model->boxes, model->header->n_blocks, 4, at, above, 8252, list);
	print_message("%u of %u blocks\n", n, model->header->n_blocks);
	assert_in_range(n, model->header->n_blocks / 10, model->header->n_blocks / 3);
	free(list);
	fnx_model_free(model);
}

/* Five marks that each come back a thousand times: no plane can part those that are alike. */
TEST(blocks_of_identical_marks_stay_apart_from_others)
{
	struct check_random random = check_random_seeded();
	const struct fnx_model_config config = {.n_dims = 2,
		.n_bins = 3,
		.capacity = 5000,
		.kernel_uv = 20.0,
		.single = true,
		.cut_off = true};
	struct fnx_model *model = model_new(&config);
	uint32_t *list = calloc(model->n_blocks + FNX_BOX_GROUP, sizeof(*list));
	uint16_t at[2], above[2];
	uint32_t n, n_marks = 0;

	assert_non_null(list);
	for (uint32_t i = 0; i < 4 * config.capacity; i++) {
		const double uv = 150.0 * (double)check_random_below(&random, 5);

		assert_true(fnx_model_add(model, (double[]){uv, uv},
				    (int32_t)check_random_below(&random, config.n_bins)) >= 0);
	}
	assert_true(fnx_model_is_sound(model));
	for (uint32_t d = 0; d < 2; d++)
		fnx_model_box_steps(model, 300.0, &at[d], &above[d]);
	n = model->kernel->near_boxes(
		model->boxes, model->header->n_blocks, 2, at, above, 8252, list);
	for (uint32_t k = 0; k < n; k++)
		n_marks += model->counts[list[k]];
	print_message("%u marks near, in %u of %u blocks\n", n_marks, n, model->header->n_blocks);
	assert_in_range(n_marks, 850, 1150); /* a fifth, and none but these */
	free(list);
	fnx_model_free(model);
}

static uint32_t square_of_gap(uint16_t low, uint16_t high, const uint16_t *box)
{
	const int gap = low > box[FNX_BOX_GROUP] ? low - box[FNX_BOX_GROUP]
		: box[0] > high                  ? box[0] - high
						 : 0;
	const int counted = gap < FNX_BOX_GAP_MAX ? gap : FNX_BOX_GAP_MAX;

	return (uint32_t)(counted * counted);
}

TEST(every_processor_generation_finds_the_same_boxes_near_as_the_definition)
{
	struct check_random random = check_random_seeded();
	static _Alignas(64) uint16_t boxes[20 * FNX_MARK_DIMS_MAX * 2 * FNX_BOX_GROUP];
	uint32_t list[20 * FNX_BOX_GROUP + FNX_BOX_GROUP];

	for (int round = 0; round < 400; round++) {
		const uint32_t n_dims =
			1 + (uint32_t)check_random_below(&random, FNX_MARK_DIMS_MAX);
		const uint32_t n = (uint32_t)check_random_below(&random, 20 * FNX_BOX_GROUP);
		const uint16_t limit = (uint16_t)check_random_below(&random, FNX_BOX_LIMIT_MAX + 1);
		const uint64_t spread = round % 2 ? 120 : 65000;
		uint16_t low[FNX_MARK_DIMS_MAX], high[FNX_MARK_DIMS_MAX];

		for (uint32_t d = 0; d < n_dims; d++) {
			low[d] = (uint16_t)check_random_below(&random, spread);
			high[d] = (uint16_t)(low[d] + check_random_below(&random, 2));
		}
		for (uint32_t k = 0; k < 20 * FNX_BOX_GROUP; k++)
			for (uint32_t d = 0; d < n_dims; d++) {
				uint16_t *box = boxes + fnx_model_bound(n_dims, k, d);

				box[0] = k < n ? (uint16_t)check_random_below(&random, spread)
					       : FNX_BOX_LAST;
				box[FNX_BOX_GROUP] = k < n
					? (uint16_t)(box[0] + check_random_below(&random, 500))
					: 0;
			}
		for (enum fnx_processor p = 0; p <= fnx_processor(); p++) {
			const uint32_t n_near =
				fnx_kernel(p)->near_boxes(boxes, n, n_dims, low, high, limit, list);
			uint32_t i = 0;

			for (uint32_t k = 0; k < n; k++) {
				uint32_t square = 0;

				for (uint32_t d = 0; d < n_dims; d++)
					square += square_of_gap(low[d], high[d],
						boxes + fnx_model_bound(n_dims, k, d));
				if (square <= limit && (i == n_near || list[i++] != k))
					fail_msg("box %u of %u is not listed", k, n);
			}
			assert_int_equal(i, n_near);
		}
	}
}

/* All marks in bin 0, and one far off in bin 1: there the sum is 0, which leaves 1e-7. */
static double sum_from(const double *likelihood)
{
	return 1e-7 * (likelihood[0] / likelihood[1]) - 1e-7;
}

TEST(merging_stays_within_the_error_that_it_reports)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 40; round++) {
		const struct fnx_model_config config = {
			.n_dims = 1 + (uint32_t)check_random_below(&random, 8),
			.n_bins = 2,
			.capacity = MAX_MARKS + 1,
			.kernel_uv = 20.0,
			.single = check_random_below(&random, 2),
			.cut_off = check_random_below(&random, 2),
			.merge_deviations = 0.1 + 0.9 * check_random_unit(&random),
		};
		const uint32_t n = 1 + (uint32_t)check_random_below(&random, MAX_MARKS);
		const double peak = 1.0 / (sqrt(2.0 * M_PI) * config.kernel_uv);
		const double share[2] = {0.5, 0.5};
		double *marks = calloc((size_t)n * config.n_dims, sizeof(double));
		double mark[FNX_MARK_DIMS_MAX], likelihood[2], mass = 0.0;
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);
		struct fnx_model_merging merging;

		assert_non_null(marks);
		for (uint32_t d = 0; d < config.n_dims; d++)
			mark[d] = 1e5;
		assert_int_equal(fnx_model_add(model, mark, 1), FNX_MODEL_STORED);
		for (uint32_t i = 0; i < n; i++) {
			random_mark(&random, config.n_dims, marks + (size_t)i * config.n_dims);
			assert_true(
				fnx_model_add(model, marks + (size_t)i * config.n_dims, 0) >= 0);
		}
		assert_true(fnx_model_is_sound(model));
		merging = fnx_model_merging(model);
		assert_int_equal(merging.n_merged + fnx_model_marks(model), n + 1);
		for (uint32_t i = 0; i < fnx_model_marks(model); i++)
			mass += fnx_model_mass(model, i);
		assert_true(mass == n + 1);
		for (int i = 0; i < 30; i++) {
			const double *at = marks + check_random_below(&random, n) * config.n_dims;
			double exact = 0.0, error;

			assert_int_equal(
				fnx_model_likelihood(model, at, share, scratch, likelihood), 0);
			for (uint32_t k = 0; k < n; k++) {
				double square = 0.0;

				for (uint32_t d = 0; d < config.n_dims; d++)
					square += pow(
						marks[(size_t)k * config.n_dims + d] - at[d], 2);
				exact += peak * exp(-0.5 * square / 400.0);
			}
			error = fabs(sum_from(likelihood) - exact);
			if (!(error <= (merging.error_bound + 2e-6) * (n + 1) * peak))
				fail_msg("error %.3g, bound %.3g", error / peak,
					merging.error_bound * n);
		}
		free(marks);
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(like_marks_are_merged_and_the_gate_counts_them_all)
{
	for (int single = 0; single < 2; single++) {
		const struct fnx_model_config config = {.n_dims = 2,
			.n_bins = 2,
			.capacity = 10,
			.kernel_uv = 20.0,
			.gate = true,
			.gate_deviations = 1.0,
			.gate_min_marks = 10,
			.single = single,
			.merge_deviations = 0.5};
		const double here[2] = {100.0, 100.0}, there[2] = {104.0, 100.0};
		const double share[2] = {0.5, 0.5};
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);
		double likelihood[2], mark[2];
		uint32_t bin;

		assert_int_equal(fnx_model_add(model, here, 1), FNX_MODEL_STORED);
		for (int i = 0; i < 8; i++)
			assert_int_equal(
				fnx_model_add(model, i % 2 ? here : there, 1), FNX_MODEL_MERGED);
		assert_int_equal(fnx_model_likelihood(model, here, share, scratch, likelihood),
			FNX_ENCODE_GATED);
		assert_int_equal(fnx_model_add(model, here, 0), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_likelihood(model, here, share, scratch, likelihood),
			FNX_ENCODE_VALID);
		assert_int_equal(fnx_model_mass(model, 0), 9);
		fnx_model_stored(model, 0, mark, &bin);
		assert_true(fabs(mark[0] - (100.0 + 4.0 * 4.0 / 9.0)) < 1e-9);
		assert_true(fabs(likelihood[1] / likelihood[0] - 9.0) < 0.2);
		free(scratch);
		fnx_model_free(model);
	}
}

/* So near the face that single precision looks at the exact values. */
TEST(the_gate_counts_merged_marks_by_their_mass_also_at_the_face_of_the_cube)
{
	for (int single = 0; single < 2; single++) {
		const struct fnx_model_config config = {.n_dims = 1,
			.n_bins = 1,
			.capacity = 10,
			.kernel_uv = 19.5,
			.gate = true,
			.gate_deviations = 1.0,
			.gate_min_marks = 2,
			.single = single,
			.merge_deviations = 0.5};
		const double at = 100.0, face = 119.5 - 1e-12, share = 1.0;
		struct fnx_model *model = model_new(&config);
		void *scratch = model_scratch_new(model);
		double likelihood;

		assert_int_equal(fnx_model_add(model, &face, 0), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_likelihood(model, &at, &share, scratch, &likelihood),
			FNX_ENCODE_GATED);
		assert_int_equal(fnx_model_add(model, &face, 0), FNX_MODEL_MERGED);
		assert_int_equal(fnx_model_likelihood(model, &at, &share, scratch, &likelihood),
			FNX_ENCODE_VALID);
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(a_batch_gives_bit_for_bit_what_each_mark_gives_alone)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 80; round++) {
		struct fnx_model_config config = random_config(&random);
		double marks[FNX_MODEL_BATCH_MAX * FNX_MARK_DIMS_MAX], share[MAX_BINS];
		double together[FNX_MODEL_BATCH_MAX * MAX_BINS], alone[MAX_BINS];
		const uint32_t n = (uint32_t)check_random_below(&random, FNX_MODEL_BATCH_MAX + 1);
		int answers[FNX_MODEL_BATCH_MAX];
		struct fnx_model *model;
		void *scratch;

		config.gate = check_random_below(&random, 2);
		config.gate_deviations = 1.0;
		config.gate_min_marks = (uint32_t)check_random_below(&random, 40);
		config.cut_off = check_random_below(&random, 2);
		if (config.step_uv == 0.0 && check_random_below(&random, 2))
			config.merge_deviations = 0.3;
		model = model_new(&config);
		scratch = model_scratch_new(model);
		flat_share(config.n_bins, share);
		fill(&random, (uint32_t)check_random_below(&random, MAX_MARKS), model, NULL);
		for (uint32_t i = 0; i < n; i++)
			random_mark(&random, config.n_dims, marks + i * config.n_dims);
		if (n > 2) /* the second coincides with the first */
			memcpy(marks + config.n_dims, marks, config.n_dims * sizeof(double));
		fnx_model_likelihoods(model, n, marks, share, scratch, together, answers);
		memset(scratch, 0xff, fnx_model_scratch_size(model));
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(fnx_model_likelihood(model, marks + i * config.n_dims,
						 share, scratch, alone),
				answers[i]);
			if (answers[i] == FNX_ENCODE_VALID)
				assert_memory_equal(alone, together + i * config.n_bins,
					config.n_bins * sizeof(double));
		}
		free(scratch);
		fnx_model_free(model);
	}
}

TEST(no_option_makes_a_likelihood_that_is_not_finite)
{
	struct check_random random = check_random_seeded();
	const double values[] = {INFINITY, -INFINITY, NAN, 1e300, -1e300, 0.0, 100.0, 100.0};
	const double shares[] = {0.0, 0.0, NAN, INFINITY, 1e-320, 0.5};

	for (int round = 0; round < 400; round++) {
		struct fnx_model_config config = random_config(&random);
		double mark[FNX_MARK_DIMS_MAX], share[MAX_BINS], likelihood[MAX_BINS];
		const uint64_t n = check_random_below(&random, 200);
		struct fnx_model *model;
		void *scratch;

		config.n_bins = check_random_below(&random, 3) ? config.n_bins : 1;
		config.cut_off = check_random_below(&random, 2);
		if (config.step_uv == 0.0 && check_random_below(&random, 2))
			config.merge_deviations = 1.0;
		model = model_new(&config);
		scratch = model_scratch_new(model);
		for (uint64_t i = 0; i < n; i++) {
			for (uint32_t d = 0; d < config.n_dims; d++)
				mark[d] = values[3 + check_random_below(&random, 5)];
			assert_true(
				fnx_model_add(model, mark,
					(int32_t)check_random_below(&random, config.n_bins)) >= 0);
		}
		assert_true(fnx_model_is_sound(model));
		for (int i = 0; i < 20; i++) {
			double sum = 0.0;
			int answer;

			for (uint32_t d = 0; d < config.n_dims; d++)
				mark[d] = values[check_random_below(&random, 8)];
			for (uint32_t b = 0; b < config.n_bins; b++)
				share[b] = shares[check_random_below(
					&random, (uint64_t)round % 6 + 1)];
			memset(scratch, 0xff, fnx_model_scratch_size(model));
			memset(likelihood, 0xff, sizeof(likelihood));
			answer = fnx_model_likelihood(model, mark, share, scratch, likelihood);
			assert_int_equal(answer, n ? FNX_ENCODE_VALID : FNX_ENCODE_NO_MARKS);
			if (answer != FNX_ENCODE_VALID)
				continue;
			for (uint32_t b = 0; b < config.n_bins; b++) {
				assert_true(isfinite(likelihood[b]));
				sum += likelihood[b];
			}
			assert_true(fabs(sum - 1.0) < 1e-12);
		}
		free(scratch);
		fnx_model_free(model);
	}
}
