/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/encode/kernel.h"
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
			.n_dims = 1 + (uint32_t)check_random_below(&random, MAX_DIMS),
		};
		const size_t n = (size_t)blocks.n * blocks.n_dims * FNX_BLOCK_MARKS;
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
		for (uint32_t d = 0; d < blocks.n_dims; d++) {
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
	struct fnx_blocks blocks = {.lanes = steps, .bins = bins, .n = 1, .n_dims = 1};
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
