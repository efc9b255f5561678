/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernels once more as they are compiled for a processor whose intrinsics they do not know. All
 * headers of the system come first, which must know the processor.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tests/support/check.h"

#ifdef __x86_64__
#define IS_X86_64
#undef __x86_64__
#endif
#define fnx_kernel plain_kernel
#include "nodes/encode/kernel.c"
#undef fnx_kernel
#ifdef IS_X86_64
#define __x86_64__ 1
#endif

/* Those of the library, for any processor: on x86-64 with intrinsics that round as often. */
const struct plain_kernel *fnx_kernel(enum fnx_processor processor);

enum {
	MAX_BLOCKS = 40,
	N_BINS = 5
};

static _Alignas(64) int32_t lanes[MAX_BLOCKS * FNX_MARK_DIMS_MAX * FNX_BLOCK_MARKS];
static uint32_t bins[MAX_BLOCKS];

/* Counts of 256 to a deviation, or steps of 2^22: both around 0, in the low bits of either half. */
static int32_t random_lane(struct check_random *random, bool by_pairs)
{
	const int32_t high = (int32_t)check_random_below(random, 1025) - 512;
	const int32_t low = (int32_t)check_random_below(random, 1025) - 512;

	return by_pairs ? fnx_counts_lane(low, high) : high * (int32_t)(FNX_BLOCK_STEPS / 256.0);
}

TEST(plain_code_gives_the_same_bits_as_intrinsics)
{
	struct check_random random = check_random_seeded();
	static uint32_t lists[FNX_BLOCK_OCTETS][MAX_BLOCKS + FNX_LIST_PADDING];
	static _Alignas(64) double plain[N_BINS * FNX_BLOCK_SUMS], other[N_BINS * FNX_BLOCK_SUMS];
	const struct plain_kernel *kernels_of[2] = {
		plain_kernel(FNX_PROCESSOR_ANY), fnx_kernel(FNX_PROCESSOR_ANY)};
	double *const sums[2] = {plain, other};

	for (int round = 0; round < 300; round++) {
		const bool by_pairs = round % 2;
		const double factor = -0.5 / (256.0 * 256.0);
		struct fnx_blocks blocks = {
			.lanes = lanes,
			.bins = bins,
			.n = 1 + (uint32_t)check_random_below(&random, MAX_BLOCKS),
			.n_rows = 1 + (uint32_t)check_random_below(&random, FNX_MARK_DIMS_MAX / 2),
		};
		int32_t x[FNX_MARK_DIMS_MAX];
		uint32_t n_inside[2];

		for (size_t i = 0; i < (size_t)blocks.n * blocks.n_rows * FNX_BLOCK_MARKS; i++)
			lanes[i] = random_lane(&random, by_pairs);
		for (uint32_t row = 0; row < blocks.n_rows; row++)
			x[row] = random_lane(&random, by_pairs);
		for (uint32_t k = 0; k < blocks.n; k++) {
			const uint32_t which = (uint32_t)check_random_below(&random, 4);

			bins[k] = (uint32_t)check_random_below(&random, N_BINS);
			lists[which][blocks.lists[which].n++] = k;
		}
		memset(plain, 0, sizeof(plain));
		memset(other, 0, sizeof(other));
		for (int i = 0; i < 2; i++) {
			const struct plain_kernel *kernel = kernels_of[i];

			for (uint32_t k = 0; k < FNX_BLOCK_OCTETS; k++)
				blocks.lists[k].blocks = lists[k];
			if (by_pairs) {
				kernel->weigh_i16(&blocks, x, factor, sums[i]);
				kernel->weigh_near_i16(&blocks, x, factor, sums[i]);
			} else {
				kernel->weigh_i32(&blocks, x, sums[i]);
				kernel->weigh_near_i32(&blocks, x, sums[i]);
			}
			n_inside[i] =
				(by_pairs ? kernel->inside_near_i16 : kernel->inside_near_i32)(
					&blocks, (int32_t[FNX_MARK_DIMS_MAX]){0}, x, UINT32_MAX);
		}
		assert_memory_equal(plain, other, sizeof(plain));
		assert_true(plain[bins[0] * FNX_BLOCK_SUMS] > 0.0);
		assert_int_equal(n_inside[0], n_inside[1]);
	}
}
