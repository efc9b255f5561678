/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/encode/kernel.h"
#include "nodes/encode/mark.h"

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

static const struct fnx_kernel kernels[FNX_PROCESSORS] = {
	[FNX_PROCESSOR_ANY] = {weigh_i32_v16, weigh_f64_v16, inside_i32_v16, inside_f64_v16,
		weigh_near_i32_v16, weigh_near_f64_v16, inside_near_i32_v16, inside_near_f64_v16,
		near_boxes_v16},
#ifdef __x86_64__
	[FNX_PROCESSOR_AVX2] = {weigh_i32_v32, weigh_f64_v32, inside_i32_v32, inside_f64_v32,
		weigh_near_i32_v32, weigh_near_f64_v32, inside_near_i32_v32, inside_near_f64_v32,
		near_boxes_v32},
	[FNX_PROCESSOR_X86_64_V4] = {weigh_i32_v64, weigh_f64_v64, inside_i32_v64, inside_f64_v64,
		weigh_near_i32_v32, weigh_near_f64_v32, inside_near_i32_v32, inside_near_f64_v32,
		near_boxes_v32},
#endif
};

const struct fnx_kernel *fnx_kernel(enum fnx_processor processor)
{
	return &kernels[processor];
}
