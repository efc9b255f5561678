/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/encode/kernel.h"

#include <string.h>

/* first + the numbers of the bits that are set, in `bits` below 2^16, rising, and how many; four at
 * a time, so that 16 + 3 are written to. */
static inline uint32_t list_bits(uint32_t bits, uint32_t first, uint32_t *ret_list)
{
	typedef uint32_t four __attribute__((vector_size(16)));
	static const four numbers[16] = {{0}, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}, {3},
		{0, 3}, {1, 3}, {0, 1, 3}, {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}};
	uint32_t n = 0;

	for (uint32_t i = 0; i < 16; i += 4, bits >>= 4) {
		const four at = numbers[bits & 15] + (first + i);

		memcpy(ret_list + n, &at, sizeof(at));
		n += (uint32_t)(UINT64_C(0x4332322132212110) >> (bits & 15) * 4) & 7;
	}
	return n;
}

#define LANES_BYTES 16
#include "nodes/encode/kernel_width.h"

#include "nodes/encode/kernel_near_width.h"

#ifdef __x86_64__
#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 32
#define LANES_TARGET __attribute__((target("avx2,fma")))
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
		weigh_octets_i32_v16, weigh_octets_f64_v16, inside_octets_i32_v16,
		inside_octets_f64_v16, near_boxes_v16},
#ifdef __x86_64__
	[FNX_PROCESSOR_AVX2] = {weigh_i32_v32, weigh_f64_v32, inside_i32_v32, inside_f64_v32,
		weigh_octets_i32_v32, weigh_octets_f64_v32, inside_octets_i32_v32,
		inside_octets_f64_v32, near_boxes_v32},
	[FNX_PROCESSOR_X86_64_V4] = {weigh_i32_v64, weigh_f64_v64, inside_i32_v64, inside_f64_v64,
		weigh_octets_i32_v32, weigh_octets_f64_v32, inside_octets_i32_v32,
		inside_octets_f64_v32, near_boxes_v32},
#endif
};

const struct fnx_kernel *fnx_kernel(enum fnx_processor processor)
{
	return &kernels[processor];
}
