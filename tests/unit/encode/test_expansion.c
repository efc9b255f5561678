/* SPDX-License-Identifier: BSD-3-Clause */
/* Expansions against their definition: the sum of the kernels, in double precision. */
#include "tests/support/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/expansion.h"

enum {
	MAX_SETS = 9,
	KERNELS_MAX = 4000,
	DIMS = FNX_EXPANSION_DIMS_MAX
};

#define SCATTER_MIN 0.3 /* for which the bound is said to hold */

/* Kernels around a cube whose centre is the origin, and the coefficients of their sums. */
struct crowd {
	struct fnx_expansion expansion;
	uint32_t n_dims, n, n_sets;
	double at[KERNELS_MAX][DIMS]; /* kernel deviations */
	uint32_t sets[KERNELS_MAX];
	char *coefficients; /* [n_sets] of sets */
	float *terms;
};

static void *bytes(size_t size)
{
	void *at = aligned_alloc(64, (size + 63) / 64 * 64);

	assert_non_null(at);
	return at;
}

static void put(struct crowd *crowd, uint32_t i, float sign)
{
	float rows[DIMS][FNX_EXPANSION_DEGREES];
	const float *const factors[DIMS] = {rows[0], rows[1], rows[2], rows[3]};
	double square = 0.0;

	for (uint32_t d = 0; d < crowd->n_dims; d++) {
		fnx_expansion_factors(&crowd->expansion, crowd->at[i][d], rows[d]);
		square += crowd->at[i][d] * crowd->at[i][d];
	}
	fnx_expansion_add(&crowd->expansion, factors, square, sign,
		crowd->coefficients + (size_t)crowd->sets[i] * crowd->expansion.set_size);
}

/* Of so many dimensions, sets and kernels, none of which is anywhere yet. */
static struct crowd *crowd_alone(
	uint32_t n_dims, uint32_t n_sets, uint32_t n, enum fnx_processor processor)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	assert_non_null(crowd);
	crowd->n_dims = n_dims;
	crowd->n_sets = n_sets;
	crowd->n = n;
	fnx_expansion_init(&crowd->expansion, crowd->n_dims);
	crowd->expansion.processor = processor;
	crowd->coefficients = bytes((size_t)crowd->n_sets * crowd->expansion.set_size);
	crowd->terms = bytes(crowd->expansion.n_terms * sizeof(float));
	memset(crowd->coefficients, 0, (size_t)crowd->n_sets * crowd->expansion.set_size);
	memset(crowd->terms, 0xff, crowd->expansion.n_terms * sizeof(float));
	return crowd;
}

/* A cluster: kernels around a place, each of which is in a set of its own or in any. */
struct cluster {
	double centre[DIMS], scatter; /* of a normal distribution, kernel deviations */
	uint32_t set;
};

static double normal(struct check_random *random)
{
	const double radius = sqrt(-2.0 * log(1.0 - check_random_unit(random)));

	return radius * cos(2.0 * M_PI * check_random_unit(random));
}

/* One to four clusters, wide ones or such as cells are, some beside the cube, some far from it. */
/* One cluster in the cube, so that there is a sum, the others far away and dense: what they say there
 * must be told, or told by the terms that they have. */
static void put_apart(
	struct check_random *random, uint32_t n_dims, uint64_t n_clusters, struct cluster *clusters)
{
	for (uint64_t k = 0; k < n_clusters; k++) {
		const double away = k ? 3.4 + 4.0 * check_random_unit(random) : 0.3;
		double square = 0.0;

		for (uint32_t d = 0; d < n_dims; d++) {
			clusters[k].centre[d] = 0.5 + 0.5 * check_random_unit(random);
			square += clusters[k].centre[d] * clusters[k].centre[d];
		}
		for (uint32_t d = 0; d < n_dims; d++)
			clusters[k].centre[d] *= away / sqrt(square);
		clusters[k].scatter = k ? SCATTER_MIN : 0.7 + 0.8 * check_random_unit(random);
	}
}

static struct crowd *crowd_new(struct check_random *random, enum fnx_processor processor)
{
	const uint32_t n_sets = 1 + (uint32_t)check_random_below(random, MAX_SETS);
	const uint64_t n_clusters = 1 + check_random_below(random, 4);
	const double reach = check_random_below(random, 2) ? 1.2 : 4.0;
	struct crowd *crowd = crowd_alone(1 + (uint32_t)check_random_below(random, DIMS), n_sets,
		1 + (uint32_t)check_random_below(random, KERNELS_MAX), processor);
	struct cluster clusters[4];

	for (uint64_t k = 0; k < n_clusters; k++) {
		for (uint32_t d = 0; d < DIMS; d++)
			clusters[k].centre[d] = reach * (2.0 * check_random_unit(random) - 1.0);
		clusters[k].scatter = SCATTER_MIN + 2.0 * pow(check_random_unit(random), 2.0);
		clusters[k].set = (uint32_t)k % n_sets;
	}
	if (check_random_below(random, 2))
		put_apart(random, crowd->n_dims, n_clusters, clusters);
	for (uint32_t i = 0; i < crowd->n; i++) {
		const struct cluster *cluster = &clusters[check_random_below(random, n_clusters)];

		for (uint32_t d = 0; d < crowd->n_dims; d++)
			crowd->at[i][d] = cluster->centre[d] + cluster->scatter * normal(random);
		crowd->sets[i] = check_random_below(random, 4)
			? cluster->set
			: (uint32_t)check_random_below(random, n_sets);
		put(crowd, i, 1.0f);
	}
	return crowd;
}

static void crowd_free(struct crowd *crowd)
{
	free(crowd->coefficients);
	free(crowd->terms);
	free(crowd);
}

static void sum_exactly(const struct crowd *crowd, const double *point, double *ret_sums)
{
	memset(ret_sums, 0, MAX_SETS * sizeof(double));
	for (uint32_t i = 0; i < crowd->n; i++) {
		double square = 0.0;

		for (uint32_t d = 0; d < crowd->n_dims; d++)
			square += pow(crowd->at[i][d] - FNX_EXPANSION_HALF_EDGE * point[d], 2.0);
		ret_sums[crowd->sets[i]] += exp(-0.5 * square);
	}
}

/* Whether the sums were told. */
static bool check_point(const struct crowd *crowd, const double *point)
{
	double sums[MAX_SETS], work[MAX_SETS], exact[MAX_SETS], all = 0.0, told = 0.0;

	if (!fnx_expansion_sums(&crowd->expansion, point, crowd->n_sets, crowd->coefficients,
		    crowd->terms, work, sums))
		return false;
	sum_exactly(crowd, point, exact);
	for (uint32_t k = 0; k < crowd->n_sets; k++) {
		all += exact[k];
		told += sums[k];
	}
	for (uint32_t k = 0; k < crowd->n_sets; k++)
		if (!(fabs(sums[k] - exact[k]) <= 1.5e-6 * all &&
			    fabs(sums[k] / told - exact[k] / all) <= 1.5e-6))
			fail_msg("%u dimensions, %u kernels: %.9g, exact %.9g, of all %.3g",
				crowd->n_dims, crowd->n, sums[k], exact[k], all);
	return true;
}

/* One in four is a corner. */
static void random_point(struct check_random *random, double *ret_point)
{
	const bool corner = check_random_below(random, 4) == 0;

	for (uint32_t d = 0; d < DIMS; d++)
		ret_point[d] = corner ? (check_random_below(random, 2) ? 1.0 : -1.0)
				      : 2.0 * check_random_unit(random) - 1.0;
}

static void check_processor(enum fnx_processor processor)
{
	struct check_random random = check_random_seeded();
	uint32_t n_told = 0;

	for (int round = 0; round < 40; round++) {
		struct crowd *crowd = crowd_new(&random, processor);

		for (int i = 0; i < 20; i++) {
			double point[DIMS];

			random_point(&random, point);
			n_told += check_point(crowd, point);
		}
		crowd_free(crowd);
	}
	assert_true(n_told > 100);
}

TEST(an_expansion_is_the_sum_of_its_kernels)
{
	for (enum fnx_processor processor = FNX_PROCESSOR_ANY; processor <= fnx_processor();
		processor++)
		check_processor(processor);
}

TEST(kernels_that_are_taken_out_leave_nothing)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 20; round++) {
		struct crowd *crowd = crowd_new(&random, fnx_processor());

		for (uint32_t i = 0; i < crowd->n; i++)
			put(crowd, i, -1.0f);
		for (int i = 0; i < 20; i++) {
			double point[DIMS], sums[MAX_SETS], work[MAX_SETS];

			random_point(&random, point);
			assert_false(fnx_expansion_sums(&crowd->expansion, point, crowd->n_sets,
				crowd->coefficients, crowd->terms, work, sums));
			for (uint32_t k = 0; k < crowd->n_sets; k++)
				if (!(fabs(sums[k]) <= 1e-4))
					fail_msg("%.3g is left of %u kernels", sums[k], crowd->n);
		}
		crowd_free(crowd);
	}
}

/* Kernels about a place that is `away` from the cube's centre in each of the first `n_away`
 * dimensions, up to `scatter` either way. */
struct scene {
	uint32_t n_dims, n, n_away;
	double away, scatter, point[DIMS];
};

/* The sum must be refused, and would be wrong. */
static void check_refused(const struct scene *scene)
{
	struct crowd *crowd = crowd_alone(scene->n_dims, 1, scene->n, fnx_processor());
	struct check_random random = {.state = 1};
	double sum, work, exact[MAX_SETS];
	bool told;

	for (uint32_t i = 0; i < scene->n; i++) {
		for (uint32_t d = 0; d < scene->n_dims; d++)
			crowd->at[i][d] = (d < scene->n_away ? scene->away : 0.0) +
				scene->scatter * (2.0 * check_random_unit(&random) - 1.0);
		put(crowd, i, 1.0f);
	}
	told = fnx_expansion_sums(
		&crowd->expansion, scene->point, 1, crowd->coefficients, crowd->terms, &work, &sum);
	sum_exactly(crowd, scene->point, exact);
	assert_true(fabs(sum - exact[0]) > 1e-6 * exact[0]);
	assert_false(told);
	crowd_free(crowd);
}

TEST(few_kernels_are_not_trusted)
{
	check_refused(
		&(struct scene){.n_dims = 2, .n = 10, .n_away = 1, .away = 2.5, .scatter = 0.05});
}

TEST(a_sum_far_below_its_mean_over_the_cube_is_not_trusted)
{
	/* Of one dimension no term is of the last level: nothing else tells. */
	check_refused(&(struct scene){.n_dims = 1,
		.n = 3000,
		.n_away = 1,
		.away = 2.25,
		.scatter = 0.25,
		.point = {-1.0}});
}

TEST(kernels_close_together_are_not_trusted)
{
	check_refused(&(struct scene){.n_dims = 4,
		.n = 100,
		.n_away = 2,
		.away = 1.0,
		.scatter = 0.05,
		.point = {1.0, 1.0, 1.0, 1.0}});
}

/* The sorted octets: those of a level are the first ones, and none stands twice. */
TEST(every_product_of_degrees_is_there_once_at_the_most)
{
	for (uint32_t n_dims = 1; n_dims <= DIMS; n_dims++) {
		struct fnx_expansion expansion;
		bool seen[FNX_EXPANSION_PAIRS][FNX_EXPANSION_PAIRS / 8] = {{false}};

		fnx_expansion_init(&expansion, n_dims);
		assert_int_equal(expansion.n_of_level[0], expansion.n_octets);
		for (uint32_t i = 1; i < FNX_EXPANSION_LEVELS; i++)
			assert_true(expansion.n_of_level[i] <= expansion.n_of_level[i - 1]);
		assert_true(expansion.n_of_level[FNX_EXPANSION_LEVELS - 1] > 0);
		for (uint32_t i = 0; i < expansion.n_octets; i++) {
			bool *octet = &seen[expansion.octets[i][0]][expansion.octets[i][1]];

			assert_false(*octet);
			*octet = true;
		}
	}
}
