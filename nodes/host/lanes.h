/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lanes: sixteen floats or eight doubles at once, and exponentials of them.
 *
 * Plain arithmetic of a fixed width, one rounding per operation, sums in a fixed order: the compiler
 * lowers a lane vector to whatever the processor has, and the result is the same bit for bit on each
 * of them. So kernels may be cloned for several processors (FNX_LANES_CLONES) and a session replayed
 * on another machine still gives the same numbers. libm's exp would not: its variants differ in the
 * last bit.
 *
 * Vectors go in and out by pointer, because passing 64 bytes by value changes the calling convention
 * with the target.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	FNX_F32_LANES = 16,
	FNX_F64_LANES = 8,
	FNX_LANES_ALIGN = 64,
};

typedef float fnx_f32x16 __attribute__((vector_size(64)));
typedef int32_t fnx_i32x16 __attribute__((vector_size(64)));
typedef double fnx_f64x8 __attribute__((vector_size(64)));
typedef int64_t fnx_i64x8 __attribute__((vector_size(64)));

/* Compiled once per processor generation and chosen when the program is loaded. Sanitizers instrument
 * the function that chooses, before they are ready for it: with them there is one version. */
#if defined(__x86_64__) && !defined(FNX_SANITIZED)
#define FNX_LANES_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define FNX_LANES_CLONES
#endif

#define FNX_LANES_INLINE static inline __attribute__((always_inline))

/* `n` rounded up to whole vectors of doubles. */
static inline size_t fnx_f64_padded(size_t n)
{
	return (n + FNX_F64_LANES - 1) / FNX_F64_LANES * FNX_F64_LANES;
}

/* Where `mask` is set (all bits of a lane) that lane of `floor`, elsewhere that of `x`. */
FNX_LANES_INLINE void fnx_f32x16_at_least(fnx_f32x16 *x, float floor)
{
	const fnx_f32x16 least = *x * 0.0f + floor;
	const fnx_i32x16 below = *x < least;

	*x = (fnx_f32x16)(((fnx_i32x16)least & below) | ((fnx_i32x16)*x & ~below));
}

FNX_LANES_INLINE void fnx_f64x8_at_least(fnx_f64x8 *x, double floor)
{
	const fnx_f64x8 least = *x * 0.0 + floor;
	const fnx_i64x8 below = *x < least;

	*x = (fnx_f64x8)(((fnx_i64x8)least & below) | ((fnx_i64x8)*x & ~below));
}
