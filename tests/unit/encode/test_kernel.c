/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/kernel.h"
#include "nodes/encode/model.h"
#include "nodes/host/lanes.h"

enum {
	MAX_BLOCKS = 100,
	MAX_BINS = 50,
	MAX_DIMS = 32
};

static _Alignas(64) int32_t steps[MAX_BLOCKS * MAX_DIMS * FNX_BLOCK_MARKS];
static _Alignas(64) double uv[MAX_BLOCKS * MAX_DIMS * FNX_BLOCK_MARKS];
static uint32_t bins[MAX_BLOCKS];

/* Single precision: the first generation may round twice where the others round once. */
static void assert_sums_agree(
	const double *sums, enum fnx_processor p, const double *first, const double *second)
{
	for (size_t i = 0; i < MAX_BINS * FNX_BLOCK_SUMS; i++) {
		/* The exponent's rounding grows with it. */
		const double limit = (1e-6 + 5e-7 * fabs(log(first[i] + 1e-38))) * first[i];

		if (!(fabs(sums[i] - first[i]) <= limit))
			fail_msg("sum %zu: %.9g, expected %.9g", i, sums[i], first[i]);
	}
	if (p > FNX_PROCESSOR_AVX2)
		assert_memory_equal(sums, second, MAX_BINS * FNX_BLOCK_SUMS * sizeof(double));
}

TEST(every_processor_generation_gives_the_same_bits_where_it_can)
{
	struct check_random random = check_random_seeded();
	static _Alignas(64) double sums_i32[FNX_PROCESSORS][MAX_BINS * FNX_BLOCK_SUMS];
	static _Alignas(64) double sums_f64[FNX_PROCESSORS][MAX_BINS * FNX_BLOCK_SUMS];

	for (int round = 0; round < 300; round++) {
		struct fnx_blocks blocks = {
			.lanes = steps,
			.bins = bins,
			.n = (uint32_t)check_random_below(&random, MAX_BLOCKS + 1),
			.n_rows = 1 + (uint32_t)check_random_below(&random, MAX_DIMS),
		};
		const size_t n = (size_t)blocks.n * blocks.n_rows * FNX_BLOCK_MARKS;
		const uint32_t enough = (uint32_t)check_random_below(&random, 3000);
		int32_t x[MAX_DIMS], lower[MAX_DIMS], upper[MAX_DIMS];
		double xd[MAX_DIMS], lower_d[MAX_DIMS], upper_d[MAX_DIMS];
		uint32_t n_i32 = 0, n_f64 = 0;

		for (size_t i = 0; i < n; i++) {
			uv[i] = check_random_unit(&random) * 100.0;
			steps[i] = (int32_t)(uv[i] / 20.0 * FNX_BLOCK_STEPS);
		}
		for (uint32_t k = 0; k < blocks.n; k++)
			bins[k] = (uint32_t)check_random_below(&random, MAX_BINS);
		for (uint32_t d = 0; d < blocks.n_rows; d++) {
			xd[d] = 20.0 + 60.0 * check_random_unit(&random);
			lower_d[d] = xd[d] - 45.0;
			upper_d[d] = xd[d] + 45.0;
			x[d] = (int32_t)(xd[d] / 20.0 * FNX_BLOCK_STEPS);
			lower[d] = x[d] - (int32_t)(2.25 * FNX_BLOCK_STEPS);
			upper[d] = x[d] + (int32_t)(2.25 * FNX_BLOCK_STEPS);
		}
		memset(sums_i32, 0, sizeof(sums_i32));
		memset(sums_f64, 0, sizeof(sums_f64));
		for (enum fnx_processor p = 0; p <= fnx_processor(); p++) {
			const struct fnx_kernel *kernel = fnx_kernel(p);
			uint32_t n_inside;

			blocks.lanes = steps;
			kernel->weigh_i32(&blocks, x, sums_i32[p]);
			n_inside = kernel->inside_i32(&blocks, lower, upper, enough);
			assert_true(p == 0 || n_inside == n_i32);
			n_i32 = n_inside;
			blocks.lanes = uv;
			kernel->weigh_f64(&blocks, xd, -0.5 / 400.0, sums_f64[p]);
			n_inside = kernel->inside_f64(&blocks, lower_d, upper_d, enough);
			assert_true(p == 0 || n_inside == n_f64);
			n_f64 = n_inside;
			assert_sums_agree(
				sums_i32[p], p, sums_i32[0], sums_i32[FNX_PROCESSOR_AVX2]);
			assert_memory_equal(sums_f64[p], sums_f64[0], sizeof(sums_f64[0]));
		}
	}
}

/* Of each block so many octets are in use; each goes to the list for that many, or to none. */
static void list_some(struct check_random *random, struct fnx_blocks *blocks, uint32_t n_blocks,
	uint32_t (*lists)[MAX_BLOCKS + FNX_LIST_PADDING])
{
	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++)
		blocks->lists[i] = (struct fnx_block_list){.blocks = lists[i]};
	for (uint32_t k = 0; k < n_blocks; k++) {
		const uint32_t which = (uint32_t)check_random_below(random, FNX_BLOCK_OCTETS + 1);

		if (which < FNX_BLOCK_OCTETS)
			lists[which][blocks->lists[which].n++] = k;
	}
	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++)
		memset(lists[i] + blocks->lists[i].n, 0, FNX_LIST_PADDING * sizeof(uint32_t));
}

/* Weights of the listed blocks by definition, of their octets in use. */
static void define_near(const struct fnx_blocks *blocks, const float *masses, const int32_t *x,
	const int32_t *reach, double *ret_sums, uint32_t *ret_inside)
{
	memset(ret_sums, 0, MAX_BINS * FNX_BLOCK_SUMS * sizeof(double));
	*ret_inside = 0;
	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++)
		for (uint32_t k = 0; k < blocks->lists[i].n; k++)
			for (uint32_t lane = 0; lane < (i + 1) * FNX_OCTET_MARKS; lane++) {
				const uint32_t place =
					blocks->lists[i].blocks[k] * FNX_BLOCK_MARKS + lane;
				const size_t at = (size_t)place / FNX_OCTET_MARKS * blocks->n_rows *
						FNX_OCTET_MARKS +
					place % FNX_OCTET_MARKS;
				const double mass = masses ? (double)masses[place] : 1.0;
				double square = 0.0;
				int inside = 1;

				for (uint32_t d = 0; d < blocks->n_rows; d++) {
					const int32_t off = steps[at + d * FNX_OCTET_MARKS] - x[d];

					square += pow(off / FNX_BLOCK_STEPS, 2.0);
					inside &= off < *reach && off > -*reach;
				}
				ret_sums[bins[place / FNX_BLOCK_MARKS] * FNX_BLOCK_SUMS +
					lane % 8] += mass * exp(-0.5 * square);
				*ret_inside += inside ? (uint32_t)mass : 0;
			}
}

/* Single precision loses some of a logarithm, double precision nothing to speak of. */
static void check_sums(const double *f32_sums, const double *f64_sums, const double *expected)
{
	for (size_t i = 0; i < MAX_BINS * FNX_BLOCK_SUMS; i++) {
		const double single = 2e-6 + 5e-7 * fabs(log(expected[i] + 1e-38));

		if (!(fabs(f32_sums[i] - expected[i]) <= single * expected[i] + 1e-34))
			fail_msg("sum %zu: %.9g, expected %.9g", i, f32_sums[i], expected[i]);
		assert_true(fabs(f64_sums[i] - expected[i]) <= 1e-12 * expected[i]);
	}
}

TEST(blocks_in_lists_weigh_what_they_are_defined_to)
{
	struct check_random random = check_random_seeded();
	static _Alignas(64) double sums[2][MAX_BINS * FNX_BLOCK_SUMS],
		expected[MAX_BINS * FNX_BLOCK_SUMS];
	static _Alignas(64) float masses[MAX_BLOCKS * FNX_BLOCK_MARKS];
	static _Alignas(64) double masses_f64[MAX_BLOCKS * FNX_BLOCK_MARKS];
	static uint32_t lists[FNX_BLOCK_OCTETS][MAX_BLOCKS + FNX_LIST_PADDING];

	for (int round = 0; round < 200; round++) {
		struct fnx_blocks blocks = {.bins = bins};
		const uint32_t n_blocks = (uint32_t)check_random_below(&random, MAX_BLOCKS + 1);
		const bool by_mass = check_random_below(&random, 2);
		const int32_t reach = (int32_t)(2.0 * FNX_BLOCK_STEPS);
		int32_t x[MAX_DIMS], lower[MAX_DIMS], upper[MAX_DIMS];
		double xd[MAX_DIMS], lower_d[MAX_DIMS], upper_d[MAX_DIMS];
		uint32_t n_inside;

		blocks.n_rows = round % 3 ? round % 3 == 1 ? 4 : 16
					  : 1 + (uint32_t)check_random_below(&random, MAX_DIMS);
		for (size_t i = 0; i < (size_t)n_blocks * FNX_BLOCK_MARKS * blocks.n_rows; i++) {
			steps[i] = (int32_t)(check_random_unit(&random) * 4.0 * FNX_BLOCK_STEPS);
			uv[i] = steps[i] / FNX_BLOCK_STEPS * 20.0;
		}
		for (uint32_t i = 0; i < n_blocks * FNX_BLOCK_MARKS; i++) {
			masses[i] = (float)(1 + check_random_below(&random, 9));
			masses_f64[i] = (double)masses[i];
		}
		for (uint32_t k = 0; k < n_blocks; k++)
			bins[k] = (uint32_t)check_random_below(&random, MAX_BINS);
		for (uint32_t d = 0; d < blocks.n_rows; d++) {
			x[d] = (int32_t)((1.0 + 2.0 * check_random_unit(&random)) *
				FNX_BLOCK_STEPS);
			lower[d] = x[d] - reach;
			upper[d] = x[d] + reach;
			xd[d] = x[d] / FNX_BLOCK_STEPS * 20.0;
			lower_d[d] = xd[d] - 40.0;
			upper_d[d] = xd[d] + 40.0;
		}
		list_some(&random, &blocks, n_blocks, lists);
		define_near(&blocks, by_mass ? masses : NULL, x, &reach, expected, &n_inside);
		for (enum fnx_processor p = 0; p <= fnx_processor(); p++) {
			const struct fnx_kernel *kernel = fnx_kernel(p);
			const uint32_t enough = (uint32_t)check_random_below(&random, 2000);
			uint32_t n;

			memset(sums, 0, sizeof(sums));
			blocks.lanes = steps;
			blocks.masses = by_mass ? masses : NULL;
			kernel->weigh_near_i32(&blocks, x, sums[0]);
			assert_int_equal(kernel->inside_near_i32(&blocks, lower, upper, UINT32_MAX),
				n_inside);
			n = kernel->inside_near_i32(&blocks, lower, upper, enough);
			assert_true(n >= enough ? n_inside >= enough : n == n_inside);
			blocks.lanes = uv;
			blocks.masses = by_mass ? masses_f64 : NULL;
			kernel->weigh_near_f64(&blocks, xd, -0.5 / 400.0, sums[1]);
			assert_int_equal(
				kernel->inside_near_f64(&blocks, lower_d, upper_d, UINT32_MAX),
				n_inside);
			check_sums(sums[0], sums[1], expected);
		}
	}
}

/* Marks as counts: [place][dim], and in lanes. */
static int32_t counts[MAX_BLOCKS * FNX_BLOCK_MARKS][MAX_DIMS];

/* Near a query or at the edges, where distances are largest. */
static int32_t random_count(struct check_random *random, int32_t around)
{
	switch (check_random_below(random, 64)) {
	case 0:
		return FNX_BLOCK_LIMIT_I16;
	case 1:
		return -FNX_BLOCK_LIMIT_I16;
	case 2:
		return FNX_BLOCK_UNUSED_I16;
	default:
		return around - 300 + (int32_t)check_random_below(random, 601);
	}
}

static void put_counts(const struct fnx_blocks *blocks, uint32_t n_dims, uint32_t n_side_by_side)
{
	for (uint32_t place = 0; place < blocks->n * FNX_BLOCK_MARKS; place++)
		for (uint32_t row = 0; row < blocks->n_rows; row++)
			((int32_t *)blocks->lanes)[(place / n_side_by_side * blocks->n_rows + row) *
					n_side_by_side +
				place % n_side_by_side] = fnx_counts_lane(counts[place][2 * row],
				2 * row + 1 < n_dims ? counts[place][2 * row + 1] : 0);
}

/* What of counts is weighed, and how many are within `reach`, by definition; of lists, or of all. */
static uint32_t define_counts(const struct fnx_blocks *blocks, uint32_t n_dims, const int32_t *x,
	int32_t reach, double factor, double *ret_sums)
{
	uint32_t n_inside = 0, used[MAX_BLOCKS];

	for (uint32_t k = 0; k < blocks->n; k++)
		used[k] = blocks->lists[0].blocks ? 0 : FNX_BLOCK_MARKS;
	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++)
		for (uint32_t k = 0; k < blocks->lists[i].n; k++)
			used[blocks->lists[i].blocks[k]] = (i + 1) * FNX_OCTET_MARKS;
	memset(ret_sums, 0, MAX_BINS * FNX_BLOCK_SUMS * sizeof(double));
	for (uint32_t place = 0; place < blocks->n * FNX_BLOCK_MARKS; place++) {
		double square = 0.0;
		int inside = 1;

		if (place % FNX_BLOCK_MARKS >= used[place / FNX_BLOCK_MARKS])
			continue;
		for (uint32_t d = 0; d < n_dims; d++) {
			const int32_t off = counts[place][d] - x[d];

			square += (double)off * off;
			inside &= off < reach && off > -reach;
		}
		ret_sums[bins[place / FNX_BLOCK_MARKS] * FNX_BLOCK_SUMS + place % FNX_BLOCK_SUMS] +=
			exp(factor * square);
		n_inside += (uint32_t)inside;
	}
	return n_inside;
}

static void pack(const int32_t *x, uint32_t n_dims, int32_t beside, int32_t *ret_rows)
{
	for (uint32_t d = 0; d < n_dims; d += 2)
		ret_rows[d / 2] = fnx_counts_lane(x[d], d + 1 < n_dims ? x[d + 1] : beside);
}

static void check_counts(const struct fnx_blocks *blocks, uint32_t n_dims, const int32_t *x,
	int32_t reach, double factor)
{
	static _Alignas(64) double sums[FNX_PROCESSORS][MAX_BINS * FNX_BLOCK_SUMS],
		expected[MAX_BINS * FNX_BLOCK_SUMS];
	int32_t query[MAX_DIMS / 2], lower[MAX_DIMS], upper[MAX_DIMS];
	const uint32_t n_inside = define_counts(blocks, n_dims, x, reach, factor, expected);
	const bool near = blocks->lists[0].blocks != NULL;

	for (uint32_t d = 0; d < n_dims; d++) {
		lower[d] = x[d] - reach;
		upper[d] = x[d] + reach;
	}
	pack(x, n_dims, 0, query);
	pack(lower, n_dims, -1, lower);
	pack(upper, n_dims, 1, upper);
	memset(sums, 0, sizeof(sums));
	for (enum fnx_processor p = 0; p <= fnx_processor(); p++) {
		const struct fnx_kernel *kernel = fnx_kernel(p);

		(near ? kernel->weigh_near_i16 : kernel->weigh_i16)(blocks, query, factor, sums[p]);
		assert_int_equal((near ? kernel->inside_near_i16 : kernel->inside_i16)(
					 blocks, lower, upper, UINT32_MAX),
			n_inside);
		if (p > FNX_PROCESSOR_AVX2)
			assert_memory_equal(sums[p], sums[FNX_PROCESSOR_AVX2], sizeof(sums[p]));
		for (size_t i = 0; i < MAX_BINS * FNX_BLOCK_SUMS; i++) {
			/* The exponent's rounding grows with it; far ones stay at 2^-125. */
			const double limit =
				(1e-6 + 2e-7 * fabs(log(expected[i] + 1e-38))) * expected[i];

			if (!(fabs(sums[p][i] - expected[i]) <= limit + 1e-34))
				fail_msg(
					"sum %zu: %.9g, expected %.9g", i, sums[p][i], expected[i]);
		}
	}
}

TEST(counts_weigh_what_they_are_defined_to_up_to_their_limits)
{
	struct check_random random = check_random_seeded();
	static uint32_t lists[FNX_BLOCK_OCTETS][MAX_BLOCKS + FNX_LIST_PADDING];

	for (int round = 0; round < 200; round++) {
		const uint32_t n_dims = 1 + (uint32_t)check_random_below(&random, MAX_DIMS);
		const double per_deviation = 1.0 + 269.0 * check_random_unit(&random);
		struct fnx_blocks blocks = {.lanes = steps,
			.bins = bins,
			.n = (uint32_t)check_random_below(&random, MAX_BLOCKS + 1),
			.n_rows = (n_dims + 1) / 2};
		int32_t x[MAX_DIMS], around[MAX_DIMS];

		for (uint32_t d = 0; d < n_dims; d++) {
			around[d] = (int32_t)check_random_below(&random, 19001) - 9500;
			x[d] = random_count(&random, around[d]);
			if (x[d] > FNX_BLOCK_LIMIT_I16)
				x[d] = FNX_BLOCK_LIMIT_I16;
		}
		for (uint32_t i = 0; i < blocks.n * FNX_BLOCK_MARKS; i++)
			for (uint32_t d = 0; d < n_dims; d++)
				counts[i][d] = random_count(&random, around[d]);
		for (uint32_t k = 0; k < blocks.n; k++)
			bins[k] = (uint32_t)check_random_below(&random, MAX_BINS);
		put_counts(&blocks, n_dims, FNX_BLOCK_MARKS);
		check_counts(&blocks, n_dims, x, 290, -0.5 / (per_deviation * per_deviation));
		put_counts(&blocks, n_dims, FNX_OCTET_MARKS);
		list_some(&random, &blocks, blocks.n, lists);
		check_counts(&blocks, n_dims, x, 290, -0.5 / (per_deviation * per_deviation));
	}
}

static uint64_t sum_of_bits(const double *values, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t bits;

		memcpy(&bits, &values[i], sizeof(bits));
		sum = sum * 0x9e3779b97f4a7c15u + bits;
	}
	return sum;
}

static bool fuses(enum fnx_processor p)
{
#ifdef __x86_64__
	return p >= FNX_PROCESSOR_AVX2;
#else
	return p == FNX_PROCESSOR_ANY;
#endif
}

/* Sums that notice the order of what they are of; all inputs are the same on every processor, too. */
TEST(weights_have_the_same_bits_on_every_processor)
{
	struct check_random random = {1};
	static _Alignas(64) double sums[3][MAX_BINS * FNX_BLOCK_SUMS];
	static _Alignas(64) int32_t pairs[MAX_BLOCKS * FNX_BLOCK_MARKS * 2];
	struct fnx_blocks blocks = {.bins = bins, .n = MAX_BLOCKS};
	const int32_t x[4] = {2 << 22, 2 << 22, 3 << 22, 1 << 22};
	const int32_t x_pairs[2] = {fnx_counts_lane(100, -50), fnx_counts_lane(0, 20)};
	const double x_uv[4] = {40.0, 40.0, 60.0, 20.0};

	for (size_t i = 0; i < MAX_BLOCKS * FNX_BLOCK_MARKS * 4; i++) {
		steps[i] = (int32_t)check_random_below(&random, 4 << 22);
		uv[i] = steps[i] * 20.0 / FNX_BLOCK_STEPS;
	}
	for (size_t i = 0; i < MAX_BLOCKS * FNX_BLOCK_MARKS * 2; i++) {
		const int32_t low = (int32_t)check_random_below(&random, 400) - 200;

		pairs[i] = fnx_counts_lane(low, (int32_t)check_random_below(&random, 400) - 200);
	}
	for (uint32_t k = 0; k < MAX_BLOCKS; k++)
		bins[k] = (uint32_t)check_random_below(&random, MAX_BINS);
	for (enum fnx_processor p = 0; p <= fnx_processor(); p++) {
		const struct fnx_kernel *kernel = fnx_kernel(p);

		memset(sums, 0, sizeof(sums));
		blocks.n_rows = 4;
		blocks.lanes = uv;
		kernel->weigh_f64(&blocks, x_uv, -0.5 / 400.0, sums[0]);
		assert_int_equal(
			sum_of_bits(sums[0], MAX_BINS * FNX_BLOCK_SUMS), 0xb6fbd790866d6e88u);
		if (!fuses(p))
			continue;
		blocks.lanes = steps;
		kernel->weigh_i32(&blocks, x, sums[1]);
		blocks.lanes = pairs;
		blocks.n_rows = 2;
		kernel->weigh_i16(&blocks, x_pairs, -0.5 / 4096.0, sums[2]);
		assert_int_equal(
			sum_of_bits(sums[1], MAX_BINS * FNX_BLOCK_SUMS), 0x4d518e50afc00000u);
		assert_int_equal(
			sum_of_bits(sums[2], MAX_BINS * FNX_BLOCK_SUMS), 0x0973152c842d0000u);
	}
}

TEST(an_unused_lane_of_counts_weighs_nothing_wherever_the_spike)
{
	static _Alignas(64) double sums[FNX_BLOCK_SUMS];
	const double factor =
		-0.5 / ((double)FNX_COUNTS_PER_DEVIATION_MAX * FNX_COUNTS_PER_DEVIATION_MAX);

	bins[0] = 0;
	for (uint32_t n_dims = 1; n_dims <= MAX_DIMS; n_dims++) {
		const struct fnx_blocks blocks = {
			.lanes = steps, .bins = bins, .n = 1, .n_rows = (n_dims + 1) / 2};

		for (uint32_t i = 0; i < FNX_BLOCK_MARKS; i++)
			for (uint32_t d = 0; d < n_dims; d++)
				counts[i][d] = FNX_BLOCK_UNUSED_I16;
		put_counts(&blocks, n_dims, FNX_BLOCK_MARKS);
		for (int32_t at = -FNX_BLOCK_LIMIT_I16; at <= FNX_BLOCK_LIMIT_I16; at += 100) {
			int32_t x[MAX_DIMS], query[MAX_DIMS / 2];

			for (uint32_t d = 0; d < n_dims; d++)
				x[d] = at;
			pack(x, n_dims, 0, query);
			memset(sums, 0, sizeof(sums));
			fnx_kernel(fnx_processor())->weigh_i16(&blocks, query, factor, sums);
			for (uint32_t i = 0; i < FNX_BLOCK_SUMS; i++)
				assert_true(sums[i] > 0.0 && sums[i] < 4 * 1e-37);
		}
	}
}

TEST(the_exponential_of_arrays_is_within_its_bound)
{
	struct check_random random = check_random_seeded();
	static _Alignas(64) double values[512], x[512];
	double worst = 0.0;

	for (int round = 0; round < 500; round++) {
		const size_t n = fnx_f64_padded(check_random_below(&random, 512));

		for (size_t i = 0; i < n; i++)
			values[i] = x[i] =
				-708.0 * check_random_unit(&random) * check_random_unit(&random);
		fnx_exp_all(values, n);
		for (size_t i = 0; i < n; i++)
			worst = fmax(worst, fabs(values[i] / exp(x[i]) - 1.0));
	}
	print_message("worst relative error: %.2g\n", worst);
	assert_true(worst < 6e-16);
	for (size_t i = 0; i < 8; i++)
		values[i] = i == 0 ? 0.0 : -HUGE_VAL;
	fnx_exp_all(values, 8);
	assert_true(values[0] == 1.0);
	assert_true(values[1] > 0.0 && values[1] < 1e-300);
}

TEST(single_weights_are_within_their_bound_of_the_exponential)
{
	struct check_random random = check_random_seeded();
	static _Alignas(64) double sums[FNX_BLOCK_SUMS];
	struct fnx_blocks blocks = {.lanes = steps, .bins = bins, .n = 1, .n_rows = 1};
	const int32_t x = 0;
	double worst = 0.0;

	bins[0] = 0;
	for (int round = 0; round < 20000; round++) {
		const int lane = (int)check_random_below(&random, FNX_BLOCK_MARKS);
		const double z = 5.0 * check_random_unit(&random);
		double expected;

		for (int i = 0; i < FNX_BLOCK_MARKS; i++)
			steps[i] = (int32_t)FNX_BLOCK_UNUSED_I32;
		steps[lane] = (int32_t)(z * FNX_BLOCK_STEPS);
		memset(sums, 0, sizeof(sums));
		fnx_kernel(fnx_processor())->weigh_i32(&blocks, &x, sums);
		expected = exp(-0.5 * pow(steps[lane] / FNX_BLOCK_STEPS, 2.0));
		worst = fmax(worst, fabs(sums[lane % FNX_BLOCK_SUMS] / expected - 1.0));
		assert_true(sums[(lane + 1) % FNX_BLOCK_SUMS] < 1e-37);
	}
	print_message("worst relative error: %.2g\n", worst);
	assert_true(worst < 3e-6);
}
