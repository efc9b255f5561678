/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/encode/kernel.h"

#include <math.h>
#include <stdbool.h>

#include "nodes/encode/mark.h"

/* How blocks are weighed in single precision. */
struct weighing {
	const int32_t *x; /* [n_rows] */
	float factor; /* of squared distances, in the exponent of 2 */
	float most; /* squared distance that larger ones count as */
	bool by_pairs; /* rows of counts, else of steps */
	bool by_mass;
	uint32_t n_rows;
};

static inline __attribute__((always_inline)) struct weighing by_steps(const int32_t *x)
{
	const float factor = (float)(-0.5 * M_LOG2E / (FNX_BLOCK_STEPS * FNX_BLOCK_STEPS));

	return (struct weighing){.x = x, .factor = factor, .most = -125.0f / factor};
}

static inline __attribute__((always_inline)) struct weighing by_counts(
	const int32_t *x, double factor)
{
	const float of_two = (float)(factor * M_LOG2E);

	return (struct weighing){
		.x = x, .factor = of_two, .most = -125.0f / of_two, .by_pairs = true};
}

/* For loops in which all but x and the factor are constants. */
static inline __attribute__((always_inline)) struct weighing made_for(
	const struct weighing *way, uint32_t n_rows, bool by_mass)
{
	struct weighing made = *way;

	made.n_rows = n_rows;
	made.by_mass = by_mass;
	return made;
}

/* For each byte the numbers of its bits that are set, rising, from the lowest byte on. */
#define PUT_BIT(bit, rest, b) \
	((rest) << 8 * ((b) >> (bit)&1) | (uint64_t)((bit) * ((b) >> (bit)&1)))
#define BITS_OF(b) \
	PUT_BIT(0, \
		PUT_BIT(1, \
			PUT_BIT(2, \
				PUT_BIT(3, \
					PUT_BIT(4, PUT_BIT(5, PUT_BIT(6, PUT_BIT(7, 0, b), b), b), \
						b), \
					b), \
				b), \
			b), \
		b)
#define FOUR(b) BITS_OF(b), BITS_OF(b + 1), BITS_OF(b + 2), BITS_OF(b + 3)
#define SIXTEEN(b) FOUR(b), FOUR(b + 4), FOUR(b + 8), FOUR(b + 12)
#define SIXTY_FOUR(b) SIXTEEN(b), SIXTEEN(b + 16), SIXTEEN(b + 32), SIXTEEN(b + 48)

static const uint64_t bit_numbers[256] = {
	SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

#define LANES_BYTES 16
#include "nodes/encode/kernel_width.h"

#include "nodes/encode/kernel_near_width.h"

#ifdef __x86_64__
#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 32
#define LANES_TARGET __attribute__((target("avx2,fma,popcnt")))
#include "nodes/encode/kernel_width.h"

#include "nodes/encode/kernel_near_width.h"

#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 64
#define LANES_TARGET __attribute__((target("arch=x86-64-v4")))
#include "nodes/encode/kernel_width.h"
#endif

/* Octets are no wider than 32 bytes in single precision. */
#define SET(all, near) \
	{ \
		.weigh_i32 = weigh_i32_##all, .weigh_i16 = weigh_i16_##all, \
		.weigh_f64 = weigh_f64_##all, .inside_i32 = inside_i32_##all, \
		.inside_i16 = inside_i16_##all, .inside_f64 = inside_f64_##all, \
		.weigh_near_i32 = weigh_near_i32_##near, .weigh_near_i16 = weigh_near_i16_##near, \
		.weigh_near_f64 = weigh_near_f64_##near, \
		.inside_near_i32 = inside_near_i32_##near, \
		.inside_near_i16 = inside_near_i16_##near, \
		.inside_near_f64 = inside_near_f64_##near, .near_boxes = near_boxes_##near, \
	}

static const struct fnx_kernel kernels[FNX_PROCESSORS] = {
	[FNX_PROCESSOR_ANY] = SET(v16, v16),
#ifdef __x86_64__
	[FNX_PROCESSOR_AVX2] = SET(v32, v32),
	[FNX_PROCESSOR_X86_64_V4] = SET(v64, v32),
#endif
};

const struct fnx_kernel *fnx_kernel(enum fnx_processor processor)
{
	return &kernels[processor];
}
