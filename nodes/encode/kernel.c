/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/encode/kernel.h"

#define LANES_BYTES 16
#include "nodes/encode/kernel_width.h"

#ifdef __x86_64__
#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 32
#define LANES_TARGET __attribute__((target("avx2,fma")))
#include "nodes/encode/kernel_width.h"

#undef LANES_BYTES
#undef LANES_TARGET
#define LANES_BYTES 64
#define LANES_TARGET __attribute__((target("arch=x86-64-v4")))
#include "nodes/encode/kernel_width.h"
#endif

static const struct fnx_kernel kernels[FNX_PROCESSORS] = {
	[FNX_PROCESSOR_ANY] = {weigh_i32_v16, weigh_f64_v16, inside_i32_v16, inside_f64_v16,
		near_boxes_v16},
#ifdef __x86_64__
	[FNX_PROCESSOR_AVX2] = {weigh_i32_v32, weigh_f64_v32, inside_i32_v32, inside_f64_v32,
		near_boxes_v32},
	[FNX_PROCESSOR_X86_64_V4] = {weigh_i32_v64, weigh_f64_v64, inside_i32_v64, inside_f64_v64,
		near_boxes_v64},
#endif
};

const struct fnx_kernel *fnx_kernel(enum fnx_processor processor)
{
	return &kernels[processor];
}
