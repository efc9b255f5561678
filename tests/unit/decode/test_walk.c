/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/walk.h"

enum {
	MAX_BINS = 400,
	MAX_ARMS = 6,
};

static int32_t arms[MAX_BINS];
static double distance[MAX_BINS * MAX_BINS];
static double walkers[MAX_BINS], expected[MAX_BINS], to[MAX_BINS];
static _Alignas(64) double scratch[2 * MAX_BINS + 16];

/* The product with the matrix, one weight after the other. */
static void multiply_matrix(const struct fnx_walk_config *config, double factor)
{
	const uint32_t n = config->n_bins, columns = config->n_columns;
	static double row[MAX_BINS];

	for (uint32_t from = 0; from < n; from++) {
		double sum = 0.0;

		for (uint32_t i = 0; i < n; i++) {
			const double d = config->distance_cm ? distance[from * n + i]
							     : config->bin_cm *
					hypot((double)(i % columns) - (double)(from % columns),
						(double)(i / columns) - (double)(from / columns));
			const bool reaches = arms[from] >= 0 && arms[i] >= 0 &&
				(!config->through_first_arm || arms[from] == 0 || arms[i] == 0 ||
					arms[i] == arms[from]);

			row[i] = reaches ? exp(-0.5 * pow(d / config->deviation_cm, 2)) : 0.0;
			sum += row[i];
		}
		for (uint32_t i = 0; i < n && sum > 0.0; i++)
			expected[i] += factor * walkers[from] * row[i] / sum;
	}
}

static void random_walkers(struct check_random *random, uint32_t n)
{
	const uint64_t kind = check_random_below(random, 3);
	double sum = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		walkers[i] = arms[i] < 0 ? 0.0 : check_random_unit(random);
		if (kind > 0 && check_random_below(random, n))
			walkers[i] *= kind > 1 ? 1e-200 : 0.0;
		sum += walkers[i];
	}
	for (uint32_t i = 0; i < n && sum > 0.0; i++)
		walkers[i] /= sum;
}

/* A tree of arms, each joined at one of its ends to an end of an earlier one; gaps between. */
static uint32_t random_tree(struct check_random *random)
{
	const uint32_t n_arms = 1 + (uint32_t)check_random_below(random, MAX_ARMS);
	double step[MAX_ARMS], at[MAX_ARMS][2][MAX_ARMS][2];
	uint32_t first[MAX_ARMS], length[MAX_ARMS], n = 0;

	for (uint32_t a = 0; a < n_arms; a++) {
		const uint32_t gap = (uint32_t)check_random_below(random, 4);

		for (uint32_t i = 0; i < gap && a > 0; i++)
			arms[n++] = -1;
		first[a] = n;
		length[a] = 1 + (uint32_t)check_random_below(random, 50);
		step[a] = 0.3 + check_random_unit(random);
		for (uint32_t i = 0; i < length[a]; i++)
			arms[n++] = (int32_t)a;
	}
	/* at[a][e][b][f]: from end e of a to end f of b. */
	for (uint32_t a = 0; a < n_arms; a++) {
		const double within = step[a] * (length[a] - 1);

		at[a][0][a][0] = at[a][1][a][1] = 0.0;
		at[a][0][a][1] = at[a][1][a][0] = within;
		if (a > 0) {
			const uint32_t parent = (uint32_t)check_random_below(random, a);
			const int mine = (int)check_random_below(random, 2);
			const int theirs = (int)check_random_below(random, 2);
			const double joint = (step[a] + step[parent]) / 2;

			for (uint32_t b = 0; b < a; b++)
				for (int f = 0; f < 2; f++)
					for (int e = 0; e < 2; e++)
						at[a][e][b][f] = at[b][f][a][e] =
							(e == mine ? 0.0 : within) + joint +
							at[parent][theirs][b][f];
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = 0; k < n; k++) {
			const int32_t a = arms[i], b = arms[k];
			double least = INFINITY;

			distance[i * n + k] = NAN;
			if (a < 0 || b < 0)
				continue;
			if (a == b) {
				distance[i * n + k] = step[a] * fabs((double)i - (double)k);
				continue;
			}
			for (int e = 0; e < 2; e++) {
				for (int f = 0; f < 2; f++) {
					const uint32_t in_a = i - first[a], in_b = k - first[b];
					const double d =
						step[a] * (e ? length[a] - 1 - in_a : in_a) +
						step[b] * (f ? length[b] - 1 - in_b : in_b) +
						at[a][e][b][f];

					least = d < least ? d : least;
				}
			}
			distance[i * n + k] = least;
		}
	}
	return n;
}

static void assert_walk(const struct fnx_walk_config *config, double error)
{
	struct fnx_walk walk;

	assert_int_equal(fnx_walk_init(&walk, config), 0);
	assert_int_equal(walk.form, config->form);
	for (uint32_t i = 0; i < config->n_bins; i++)
		expected[i] = to[i] = 0.125;
	memset(scratch, 0xff, sizeof(scratch));
	assert_true(fnx_walk_scratch(config->n_bins) <= sizeof(scratch) / sizeof(double));
	fnx_walk_add(&walk, walkers, 0.7, scratch, to);
	multiply_matrix(config, 0.7);
	for (uint32_t i = 0; i < config->n_bins; i++)
		if (!(fabs(to[i] - expected[i]) <= error))
			fail_msg("bin %u of %u: %.17g is not %.17g", i, config->n_bins, to[i],
				expected[i]);
	fnx_walk_fini(&walk);
}

TEST(both_forms_agree_with_the_matrix_on_random_trees_of_arms)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 150; round++) {
		struct fnx_walk_config config = {.n_bins = random_tree(&random),
			.bin_arms = arms,
			.distance_cm = distance,
			.deviation_cm = 0.2 +
				30.0 * check_random_unit(&random) * check_random_unit(&random),
			.through_first_arm = check_random_below(&random, 2),
			.form = FNX_WALK_BANDS};

		random_walkers(&random, config.n_bins);
		assert_walk(&config, 1e-15);
		config.form = FNX_WALK_EXPONENTIALS;
		assert_walk(&config, FNX_WALK_ERROR);
	}
}

TEST(both_forms_agree_with_the_matrix_on_random_grids_with_holes)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++) {
		const uint32_t n_columns = 1 + (uint32_t)check_random_below(&random, 20);
		const uint32_t n_rows = 1 + (uint32_t)check_random_below(&random, 20);
		struct fnx_walk_config config = {.n_bins = n_columns * n_rows,
			.bin_arms = arms,
			.n_columns = n_columns,
			.bin_cm = 0.5 + 3.0 * check_random_unit(&random),
			.deviation_cm = 0.5 + 10.0 * check_random_unit(&random),
			.form = FNX_WALK_BANDS};

		for (uint32_t i = 0; i < config.n_bins; i++)
			arms[i] = check_random_below(&random, 8) ? 0 : -1;
		random_walkers(&random, config.n_bins);
		assert_walk(&config, 1e-15);
		config.form = FNX_WALK_EXPONENTIALS;
		assert_walk(&config, FNX_WALK_ERROR);
	}
}

/* A ring: the short way round depends on the bins. */
TEST(a_track_without_the_structure_falls_back_to_bands)
{
	struct fnx_walk_config config = {.n_bins = 60,
		.bin_arms = arms,
		.distance_cm = distance,
		.deviation_cm = 40.0,
		.form = FNX_WALK_EXPONENTIALS};
	struct check_random random = check_random_seeded();
	struct fnx_walk walk;

	for (uint32_t i = 0; i < 60; i++) {
		arms[i] = 0;
		for (uint32_t k = 0; k < 60; k++) {
			const uint32_t d = i > k ? i - k : k - i;

			distance[i * 60 + k] = d < 30 ? d : 60 - d;
		}
	}
	assert_int_equal(fnx_walk_init(&walk, &config), -EINVAL);
	random_walkers(&random, 60);
	config.form = FNX_WALK_BANDS;
	assert_walk(&config, 1e-15);
}

TEST(a_wide_walk_sweeps_and_a_narrow_one_keeps_its_bands)
{
	struct fnx_walk_config config = {.n_bins = MAX_BINS,
		.bin_arms = arms,
		.distance_cm = distance,
		.deviation_cm = 30.0};
	struct fnx_walk walk;

	for (uint32_t i = 0; i < MAX_BINS; i++) {
		arms[i] = 0;
		for (uint32_t k = 0; k < MAX_BINS; k++)
			distance[i * MAX_BINS + k] = fabs((double)i - (double)k);
	}
	assert_int_equal(fnx_walk_init(&walk, &config), 0);
	assert_int_equal(walk.form, FNX_WALK_EXPONENTIALS);
	fnx_walk_fini(&walk);
	config.deviation_cm = 0.8;
	assert_int_equal(fnx_walk_init(&walk, &config), 0);
	assert_int_equal(walk.form, FNX_WALK_BANDS);
	fnx_walk_fini(&walk);
}

TEST(a_walker_that_is_not_a_number_makes_all_of_them_so)
{
	struct fnx_walk_config config = {.n_bins = 50,
		.bin_arms = arms,
		.n_columns = 10,
		.bin_cm = 1.0,
		.deviation_cm = 2.0};

	for (int form = FNX_WALK_BANDS; form <= FNX_WALK_EXPONENTIALS; form++) {
		struct fnx_walk walk;

		config.form = (enum fnx_walk_form)form;
		for (uint32_t i = 0; i < 50; i++) {
			arms[i] = 0;
			walkers[i] = i == 7 ? (double)NAN : 0.02;
			to[i] = 0.0;
		}
		assert_int_equal(fnx_walk_init(&walk, &config), 0);
		fnx_walk_add(&walk, walkers, 1.0, scratch, to);
		for (uint32_t i = 0; i < 50; i++)
			assert_true(isnan(to[i]));
		fnx_walk_fini(&walk);
	}
}
