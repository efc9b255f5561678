/* SPDX-License-Identifier: BSD-3-Clause */
/* Likelihoods by local expansions against those by all marks, while marks come and go. */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/model_memory.h"
#include "tests/support/model_scratch.h"

enum {
	MAX_BINS = 40,
	DIMS = FNX_EXPANSION_DIMS_MAX
};

static struct fnx_model *model_new(const struct fnx_model_config *config)
{
	struct fnx_model *model;

	assert_int_equal(fnx_model_new(config, &model), 0);
	return model;
}

static size_t cube_size(const struct fnx_model_config *config)
{
	return fnx_model_cube_size(config->n_dims, config->n_bins);
}

static struct fnx_model_config random_config(struct check_random *random)
{
	struct fnx_model_config config = {
		.n_dims = 1 + (uint32_t)check_random_below(random, DIMS),
		.n_bins = 1 + (uint32_t)check_random_below(random, MAX_BINS),
		.capacity = 500 + (uint32_t)check_random_below(random, 4000),
		.kernel_uv = 20.0,
		.single = true,
		.step_uv = check_random_below(random, 2) ? 0.195 : 0.0,
		.cut_off = check_random_below(random, 2),
	};

	config.expansion_size = cube_size(&config) * (1 + check_random_below(random, 60));
	return config;
}

/* Some cells, each near a few cubes, below zero too. */
static int32_t random_mark(struct check_random *random, uint32_t n_bins, double *ret_mark)
{
	const uint64_t cell = check_random_below(random, 3);

	for (uint32_t d = 0; d < DIMS; d++) {
		const double noise = check_random_unit(random) + check_random_unit(random) +
			check_random_unit(random) - 1.5;

		ret_mark[d] = 45.0 * (double)cell - 40.0 + (d == 0 ? 30.0 : 10.0) * noise;
	}
	return (int32_t)check_random_below(random, n_bins);
}

static void flat_share(uint32_t n_bins, double *ret_share)
{
	for (uint32_t b = 0; b < n_bins; b++)
		ret_share[b] = 1.0 / n_bins;
}

/* Whether the two likelihoods of `mark` are the same to the bit. */
static bool check_likelihood(const struct fnx_model *model, const struct fnx_model *exact,
	const double *mark, void *scratch)
{
	const uint32_t n_bins = fnx_model_config(model)->n_bins;
	double share[MAX_BINS], by_all[MAX_BINS], likelihood[MAX_BINS];

	flat_share(n_bins, share);
	assert_int_equal(fnx_model_likelihood(exact, mark, share, scratch, by_all), 0);
	assert_int_equal(fnx_model_likelihood(model, mark, share, scratch, likelihood), 0);
	for (uint32_t b = 0; b < n_bins; b++)
		if (!(fabs(likelihood[b] - by_all[b]) <= 1e-6))
			fail_msg("%u channels, %u marks, bin %u: %.9g, exact %.9g",
				fnx_model_config(model)->n_dims, fnx_model_marks(model), b,
				likelihood[b], by_all[b]);
	return !memcmp(likelihood, by_all, n_bins * sizeof(double));
}

TEST(a_spike_is_judged_as_by_all_marks_to_1e_6)
{
	struct check_random random = check_random_seeded();
	uint32_t n = 0, n_expanded = 0;

	for (int round = 0; round < 8; round++) {
		struct fnx_model_config config = random_config(&random);
		struct fnx_model *model = model_new(&config), *exact;
		double mark[FNX_MARK_DIMS_MAX];
		void *scratch = model_scratch_new(model);

		config.expansion_size = 0;
		exact = model_new(&config);
		for (uint32_t i = 0; i < 3 * config.capacity; i++) {
			const int32_t bin = random_mark(&random, config.n_bins, mark);
			const int answer = fnx_model_add(exact, mark, bin);

			assert_int_equal(fnx_model_add(model, mark, bin), answer);
			if (check_random_below(&random, 20))
				continue;
			random_mark(&random, config.n_bins, mark);
			n++;
			n_expanded += !check_likelihood(model, exact, mark, scratch);
		}
		assert_true(fnx_model_is_sound(model));
		free(scratch);
		fnx_model_free(model);
		fnx_model_free(exact);
	}
	/* Some of the models have hardly any cubes; a flat likelihood of one bin is the same. */
	assert_true(n_expanded > n / 4);
}

/* Of a cube of 24 uV, in kernel deviations. */
#define EDGE (2.0 * FNX_EXPANSION_HALF_EDGE)

/* Cells of one channel, so far from each other that a mark of one reaches the other's cube, the fifth
 * beside its own, and no other. There are so many of them that what they weigh there shows. */
TEST(a_mark_is_put_into_cubes_as_far_away_as_it_weighs)
{
	struct check_random random = check_random_seeded();
	struct fnx_model_config config = {
		.n_dims = 1, .n_bins = 2, .capacity = 4000, .kernel_uv = 20.0, .single = true};

	for (int side = -1; side <= 1; side += 2) {
		struct fnx_model *model, *exact;
		uint32_t n_expanded = 0;
		void *scratch;

		config.expansion_size = 0;
		exact = model_new(&config);
		config.expansion_size = 8 * cube_size(&config);
		model = model_new(&config);
		scratch = model_scratch_new(model);
		for (uint32_t i = 0; i < 1500; i++) {
			/* Of its cube the half that is nearer to the other cell. */
			const bool far = i >= 100;
			const double at = 0.5 + (far ? 5.0 : 0.0) * side +
				0.5 * check_random_unit(&random) * (far ? -side : side);
			const double mark = 20.0 * EDGE * at;

			assert_int_equal(
				fnx_model_add(exact, &mark, far), fnx_model_add(model, &mark, far));
		}
		for (uint32_t i = 0; i < 50; i++) {
			const double mark =
				20.0 * EDGE * (0.5 + 0.5 * side * check_random_unit(&random));

			n_expanded += !check_likelihood(model, exact, &mark, scratch);
		}
		assert_true(n_expanded > 40);
		free(scratch);
		fnx_model_free(model);
		fnx_model_free(exact);
	}
}

/* In bins of their own, so that nothing is rounded: terms that a mark at that distance does not have
 * are 0 either way. */
TEST(a_cube_holds_the_same_whether_it_or_the_mark_was_first)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 200; round++) {
		struct fnx_model_config config = {.n_dims = 1 + (uint32_t)(round % DIMS),
			.n_bins = 2,
			.capacity = 2,
			.kernel_uv = 20.0,
			.single = true};
		double here[DIMS], there[DIMS];
		struct fnx_model *late, *early;

		config.expansion_size = 2 * cube_size(&config);
		late = model_new(&config);
		early = model_new(&config);
		/* In another cube, up to some 6 deviations away. */
		for (uint32_t d = 0; d < DIMS; d++) {
			here[d] = 20.0 * EDGE * check_random_unit(&random);
			there[d] = 20.0 * EDGE * (5.0 * check_random_unit(&random) - 2.0);
		}
		there[0] = 20.0 * EDGE * (1.0 + 4.0 * check_random_unit(&random));
		assert_int_equal(fnx_model_add(early, here, 0), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_add(early, there, 1), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_add(late, there, 1), FNX_MODEL_STORED);
		assert_int_equal(fnx_model_add(late, here, 0), FNX_MODEL_STORED);
		assert_int_equal(early->header->n_cubes, 2);
		assert_memory_equal(
			early->coefficients, late->coefficients + late->cube_size, late->cube_size);
		assert_memory_equal(
			early->coefficients + late->cube_size, late->coefficients, late->cube_size);
		fnx_model_free(late);
		fnx_model_free(early);
	}
}

TEST(where_there_are_no_cubes_all_marks_are_summed)
{
	struct check_random random = check_random_seeded();
	struct fnx_model_config config = {.n_dims = 4,
		.n_bins = 20,
		.capacity = 3000,
		.kernel_uv = 20.0,
		.single = true,
		.cut_off = true};
	const double far[] = {1e9, -1e9, 1e300, NAN, -INFINITY};
	double mark[FNX_MARK_DIMS_MAX];
	struct fnx_model *model, *exact;
	void *scratch;

	exact = model_new(&config);
	config.expansion_size = 3 * cube_size(&config);
	model = model_new(&config);
	scratch = model_scratch_new(model);
	for (uint32_t i = 0; i < 5000; i++) {
		const int32_t bin = random_mark(&random, config.n_bins, mark);

		assert_int_equal(fnx_model_add(exact, mark, bin), fnx_model_add(model, mark, bin));
	}
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		random_mark(&random, config.n_bins, mark);
		mark[i % 4] = far[i];
		assert_true(check_likelihood(model, exact, mark, scratch));
	}
	/* Between the cells. */
	for (uint32_t d = 0; d < 4; d++)
		mark[d] = d % 2 ? 130.0 : -110.0;
	assert_true(check_likelihood(model, exact, mark, scratch));
	/* Marks out of all bounds are stored like any other. */
	mark[1] = 1e12;
	assert_int_equal(fnx_model_add(model, mark, 3), fnx_model_add(exact, mark, 3));
	assert_true(fnx_model_is_sound(model));
	free(scratch);
	fnx_model_free(model);
	fnx_model_free(exact);
}

/* Cells at and beyond the limit, which is where they then lie. */
static void check_beyond(double step_uv, double limit_uv)
{
	struct check_random random = check_random_seeded();
	struct fnx_model_config config = {.n_dims = 2,
		.n_bins = 10,
		.capacity = 3000,
		.kernel_uv = 20.0,
		.single = true,
		.step_uv = step_uv};
	struct fnx_model *model, *exact;
	uint32_t n_expanded = 0;
	void *scratch;

	exact = model_new(&config);
	config.expansion_size = 400 * cube_size(&config);
	model = model_new(&config);
	scratch = model_scratch_new(model);
	for (uint32_t i = 0; i < 6000; i++) {
		const double gain = (double)check_random_below(&random, 4) / 2.0 - 0.5;
		double mark[FNX_MARK_DIMS_MAX];
		int32_t bin = random_mark(&random, 5, mark);

		for (uint32_t d = 0; d < 2; d++)
			mark[d] += limit_uv * gain;
		bin += gain > 0.6 ? 5 : 0;
		assert_int_equal(fnx_model_add(exact, mark, bin), fnx_model_add(model, mark, bin));
		if (i % 10 == 0)
			n_expanded += !check_likelihood(model, exact, mark, scratch);
	}
	assert_true(n_expanded > 100);
	free(scratch);
	fnx_model_free(model);
	fnx_model_free(exact);
}

TEST(amplitudes_beyond_the_limit_count_as_that_in_cubes_too)
{
	check_beyond(0.195, 0.195 * FNX_BLOCK_LIMIT_I16);
	check_beyond(0.0, 20.0 * FNX_BLOCK_LIMIT_I32 / FNX_BLOCK_STEPS);
}

TEST(a_model_mapped_elsewhere_goes_on_bit_for_bit)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 20; round++) {
		const struct fnx_model_config config = random_config(&random);
		const size_t size = fnx_model_memory_size(&config);
		void *here = aligned_alloc(64, size), *there = aligned_alloc(64, size);
		struct fnx_model *model, *successor;
		double mark[FNX_MARK_DIMS_MAX];

		assert_true(here && there);
		assert_int_equal(fnx_model_init(&config, here, false, NULL, &model), 0);
		for (uint64_t i = check_random_below(&random, 3000); i > 0; i--)
			assert_true(fnx_model_add(model, mark,
					    random_mark(&random, config.n_bins, mark)) >= 0);
		memcpy(there, here, size);
		assert_int_equal(fnx_model_init(&config, there, true, NULL, &successor), 0);
		for (uint64_t i = 0; i < 500; i++) {
			const int32_t bin = random_mark(&random, config.n_bins, mark);

			assert_int_equal(fnx_model_add(model, mark, bin),
				fnx_model_add(successor, mark, bin));
		}
		assert_memory_equal(here, there, size);
		fnx_model_free(model);
		fnx_model_free(successor);
		free(here);
		free(there);
	}
}

/* A model under a journal, and one that is added to only when that commits. */
struct pair {
	struct fnx_model_config config;
	size_t size, log_size;
	void *memory, *log, *scratch;
	struct fnx_journal journal;
	struct fnx_model *model, *exact;
};

static void pair_init(struct pair *pair, const struct fnx_model_config *config)
{
	struct fnx_model_config exact = *config;
	size_t n_touches, n_bytes;

	pair->config = *config;
	pair->size = fnx_model_memory_size(config);
	fnx_model_add_needs(config, &n_touches, &n_bytes);
	pair->log_size = (fnx_journal_log_size(n_touches, n_bytes) + 63) / 64 * 64;
	pair->memory = aligned_alloc(64, pair->size);
	pair->log = aligned_alloc(64, pair->log_size);
	assert_true(pair->memory && pair->log);
	assert_int_equal(
		fnx_model_init(config, pair->memory, false, &pair->journal, &pair->model), 0);
	assert_int_equal(fnx_journal_init(&pair->journal, pair->log, pair->log_size, pair->memory,
				 pair->size),
		0);
	exact.expansion_size = 0;
	pair->exact = model_new(&exact);
	pair->scratch = model_scratch_new(pair->model);
}

static void pair_fini(struct pair *pair)
{
	fnx_model_free(pair->model);
	fnx_model_free(pair->exact);
	free(pair->memory);
	free(pair->log);
	free(pair->scratch);
}

/* As if killed after the last mark, or, `halfway`, in the middle of putting it into a cube. */
static void die(struct pair *pair, struct check_random *random, bool halfway)
{
	struct fnx_model *successor;
	uint32_t cube;

	if (halfway && pair->model->header->n_cubes > 0) {
		cube = (uint32_t)check_random_below(random, pair->model->header->n_cubes);
		pair->model->cubes[cube].changed = pair->model->header->n_changes + 1;
		memset(pair->model->coefficients + (size_t)cube * pair->model->cube_size, 0xff,
			pair->model->expansion.set_size);
	}
	assert_true(fnx_journal_recover(&pair->journal, pair->log, pair->log_size, pair->memory,
			    pair->size) >= 0);
	assert_int_equal(
		fnx_model_init(&pair->config, pair->memory, true, &pair->journal, &successor), 0);
	fnx_model_free(pair->model);
	pair->model = successor;
}

TEST(cubes_that_saw_what_was_undone_catch_up_anew)
{
	struct check_random random = check_random_seeded();
	uint32_t n = 0, n_expanded = 0;

	for (int round = 0; round < 6; round++) {
		const struct fnx_model_config config = random_config(&random);
		double mark[FNX_MARK_DIMS_MAX];
		struct pair pair;

		pair_init(&pair, &config);
		for (uint32_t i = 0; i < 3 * config.capacity; i++) {
			const int32_t bin = random_mark(&random, config.n_bins, mark);

			assert_true(fnx_model_add(pair.model, mark, bin) >= 0);
			if (check_random_below(&random, 100)) {
				fnx_journal_commit(&pair.journal);
				assert_true(fnx_model_add(pair.exact, mark, bin) >= 0);
			} else {
				die(&pair, &random, check_random_below(&random, 2));
			}
			if (i < 200 || check_random_below(&random, 20))
				continue;
			random_mark(&random, config.n_bins, mark);
			n++;
			n_expanded += !check_likelihood(pair.model, pair.exact, mark, pair.scratch);
		}
		assert_int_equal(fnx_journal_overflows(&pair.journal), 0);
		pair_fini(&pair);
	}
	assert_true(n_expanded > n / 8);
}

TEST(a_table_of_cubes_without_a_free_place_is_refused)
{
	struct check_random random = check_random_seeded();
	struct fnx_model_config config = {
		.n_dims = 2, .n_bins = 9, .capacity = 400, .kernel_uv = 20.0, .single = true};
	double mark[FNX_MARK_DIMS_MAX];
	struct fnx_model *model, *damaged;

	config.expansion_size = 4 * cube_size(&config);
	model = model_new(&config);
	for (uint32_t i = 0; i < 1000; i++)
		assert_true(fnx_model_add(model, mark, random_mark(&random, 9, mark)) >= 0);
	assert_int_equal(model->header->n_cubes, 4);
	for (uint32_t i = 0; i < model->n_cube_table; i++)
		model->cube_table[i] = 1;
	model->cubes[3].at[0] = INT16_MAX;
	assert_int_equal(fnx_model_init(&config, model->header, true, NULL, &damaged), -EBADMSG);
	fnx_model_free(model);
}

TEST(damaged_cubes_are_refused_or_harmless)
{
	struct check_random random = check_random_seeded();
	struct fnx_model_config config = {
		.n_dims = 2, .n_bins = 9, .capacity = 400, .kernel_uv = 20.0, .single = true};
	double mark[FNX_MARK_DIMS_MAX], share[9], likelihood[9];
	struct fnx_model *model, *damaged;
	size_t size, first;
	char *memory;
	void *scratch;

	config.expansion_size = 40 * cube_size(&config);
	size = fnx_model_memory_size(&config);
	memory = aligned_alloc(64, size);
	assert_non_null(memory);
	model = model_new(&config);
	scratch = model_scratch_new(model);
	flat_share(9, share);
	for (uint32_t i = 0; i < 1000; i++)
		assert_true(fnx_model_add(model, mark, random_mark(&random, 9, mark)) >= 0);
	first = (size_t)((char *)model->cubes - (char *)model->header);
	for (int round = 0; round < 1500; round++) {
		memcpy(memory, model->header, size);
		/* Half of them in the header, where the numbers of cubes are. */
		memory[round % 2 ? check_random_below(&random, sizeof(struct fnx_model_header))
				 : first + check_random_below(&random, size - first)] =
			(char)check_random_u64(&random);
		if (fnx_model_init(&config, memory, true, NULL, &damaged))
			continue;
		for (uint32_t i = 0; i < 30; i++) {
			const int32_t bin = random_mark(&random, 9, mark);

			if (fnx_model_likelihood(damaged, mark, share, scratch, likelihood) == 0)
				for (uint32_t b = 0; b < 9; b++)
					assert_true(isfinite(likelihood[b]));
			fnx_model_add(damaged, mark, bin);
		}
		fnx_model_free(damaged);
	}
	free(scratch);
	free(memory);
	fnx_model_free(model);
}

TEST(an_expansion_that_cannot_be_is_refused)
{
	struct fnx_model_config good = {
		.n_dims = 4, .n_bins = 9, .capacity = 100, .kernel_uv = 20.0, .single = true};
	struct fnx_model_config config;

	good.expansion_size = cube_size(&good);
	assert_true(fnx_model_memory_size(&good) > 0);
	config = good;
	config.expansion_size--;
	assert_int_equal(fnx_model_memory_size(&config), 0);
	config = good;
	config.single = false;
	assert_int_equal(fnx_model_memory_size(&config), 0);
	config = good;
	config.merge_deviations = 0.5;
	assert_int_equal(fnx_model_memory_size(&config), 0);
	config = good;
	config.n_dims = 5;
	config.expansion_size = UINT64_C(1) << 30;
	assert_int_equal(fnx_model_memory_size(&config), 0);
}
