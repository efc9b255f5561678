/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic in lanes: loops compiled for several processor generations that give the same result
 * bit for bit on each of them.
 *
 * One rounding per operation, sums in a fixed order that does not depend on the width of the
 * vectors; so what they compute is the same on another machine. libm's exp would not be:
 * its variants differ in the last bit. Single precision is an exception: its products and sums
 * round once together where the processor can, which all but FNX_PROCESSOR_ANY of x86-64 do.
 */
#pragma once

#include <stddef.h>

enum {
	FNX_LANES_ALIGN = 64, /* bytes */
	FNX_F64_LANES = 8,
};

enum fnx_processor {
	FNX_PROCESSOR_ANY, /* 16-byte vectors */
	FNX_PROCESSOR_AVX2, /* 32: AVX2 and FMA, x86-64-v3 */
	FNX_PROCESSOR_X86_64_V4, /* 64: AVX-512 */
	FNX_PROCESSORS
};

/* The best that this machine has. Any thread, real-time. */
enum fnx_processor fnx_processor(void);

/* `n` rounded up to whole multiples of 8. */
static inline size_t fnx_f64_padded(size_t n)
{
	return (n + FNX_F64_LANES - 1) / FNX_F64_LANES * FNX_F64_LANES;
}

/* e^x in place, for x <= 0 (-infinity included), within 6e-16 relative; below -708 it stays at
 * e^-708. n a multiple of 8, `values` 64-byte aligned. Any thread, real-time. */
void fnx_exp_all(double *values, size_t n);
