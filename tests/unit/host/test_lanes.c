/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* With the exponentials of all widths, which the library chooses from. */
#define fnx_processor lanes_processor
#define fnx_exp_all lanes_exp_all
#include "nodes/host/lanes.c"
#undef fnx_processor
#undef fnx_exp_all

enum {
	MAX_VALUES = 512
};

static void (*const widths[])(double *values, size_t n) = {exp_any,
#ifdef __x86_64__
	exp_avx2, exp_v4
#endif
};

/* Most of them usual ones, some of them those for which nothing is like the others. */
static double random_exponent(struct check_random *random)
{
	static const double edges[] = {0.0, -0.0, -708.0, -709.0, -1e300, -HUGE_VAL, -1e-300};

	if (check_random_below(random, 16) == 0)
		return edges[check_random_below(random, sizeof(edges) / sizeof(edges[0]))];
	return -720.0 * check_random_unit(random) * check_random_unit(random);
}

TEST(exponentials_have_the_same_bits_at_every_width)
{
	struct check_random random = check_random_seeded();
	static _Alignas(64) double x[MAX_VALUES], first[MAX_VALUES], values[MAX_VALUES];

	for (int round = 0; round < 500; round++) {
		const size_t n = fnx_f64_padded(check_random_below(&random, MAX_VALUES + 1));

		for (size_t i = 0; i < MAX_VALUES; i++)
			x[i] = random_exponent(&random);
		memcpy(first, x, sizeof(x));
		exp_any(first, n);
		for (size_t i = 0; i < n; i++)
			assert_true(first[i] >= exp(-708.0) * (1.0 - 1e-15) && first[i] <= 1.0);
		for (enum lanes_processor p = 0; p <= lanes_processor(); p++) {
			memcpy(values, x, sizeof(x));
			widths[p](values, n);
			assert_memory_equal(values, first, sizeof(values));
		}
		memcpy(values, x, sizeof(x));
		lanes_exp_all(values, n);
		assert_memory_equal(values, first, sizeof(values));
	}
}

/* The bits of e^(-k / 64), in a sum that notices their order: products and sums alone, each rounded
 * once, as IEEE 754 has it; so another processor gives no other. */
TEST(exponentials_have_the_same_bits_on_every_processor)
{
	static _Alignas(64) double values[MAX_VALUES];
	uint64_t sum = 0;

	for (size_t i = 0; i < MAX_VALUES; i++)
		values[i] = -(double)i / 64.0;
	lanes_exp_all(values, MAX_VALUES);
	for (size_t i = 0; i < MAX_VALUES; i++) {
		uint64_t bits;

		memcpy(&bits, &values[i], sizeof(bits));
		sum = sum * 0x9e3779b97f4a7c15u + bits;
	}
	assert_int_equal(sum, 0xb867e9395bcbc46eu);
}
