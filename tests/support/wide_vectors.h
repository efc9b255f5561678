/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Included before every line of the arithmetic (-include) where its loops of 64 bytes shall run on a
 * processor without AVX-512: all of them are compiled for AVX2 and FMA, the compiler works on the
 * halves of wide vectors, and the processor passes for one that has them. The few intrinsics that
 * the loops use are written out here, from their definition, lane by lane or in halves. So what is
 * tested is all but the compiler's choice of instructions: widths, strides, tails, tables, order.
 *
 * target_clones have nothing that depends on the width in their source, and stay what they are.
 */
#pragma once

#ifdef __x86_64__
#include <immintrin.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Inlined everywhere, so that nothing is passed as the warning says. */
#pragma GCC diagnostic ignored "-Wpsabi"

static inline bool wide_passes(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		__builtin_cpu_supports("popcnt");
}

#define WIDE_INLINE static inline __attribute__((always_inline, target("avx2,fma,popcnt")))

WIDE_INLINE __m256 wide_half_ps(__m512 x, int half)
{
	__m256 part;

	memcpy(&part, (const char *)&x + 32 * half, 32);
	return part;
}

WIDE_INLINE __m512 wide_both_ps(__m256 low, __m256 high)
{
	__m512 x;

	memcpy(&x, &low, 32);
	memcpy((char *)&x + 32, &high, 32);
	return x;
}

WIDE_INLINE __m512 wide_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
	return wide_both_ps(
		_mm256_fmadd_ps(wide_half_ps(a, 0), wide_half_ps(b, 0), wide_half_ps(c, 0)),
		_mm256_fmadd_ps(wide_half_ps(a, 1), wide_half_ps(b, 1), wide_half_ps(c, 1)));
}

WIDE_INLINE __m512 wide_min_ps(__m512 a, __m512 b)
{
	return wide_both_ps(_mm256_min_ps(wide_half_ps(a, 0), wide_half_ps(b, 0)),
		_mm256_min_ps(wide_half_ps(a, 1), wide_half_ps(b, 1)));
}

WIDE_INLINE __m512i wide_broadcast_i64x4(__m256i a)
{
	return (__m512i)wide_both_ps((__m256)a, (__m256)a);
}

/* values[index % 16], for each lane. */
WIDE_INLINE __m512i wide_permutexvar_epi32(__m512i index, __m512i values)
{
	int32_t at[16], from[16], to[16];
	__m512i permuted;

	memcpy(at, &index, sizeof(at));
	memcpy(from, &values, sizeof(from));
	for (int i = 0; i < 16; i++)
		to[i] = from[at[i] & 15];
	memcpy(&permuted, to, sizeof(to));
	return permuted;
}

/* Of halves of lanes the products, those of a lane added up. */
WIDE_INLINE __m512i wide_madd_epi16(__m512i a, __m512i b)
{
	int16_t x[32], y[32];
	int32_t sums[16];
	__m512i all;

	memcpy(x, &a, sizeof(x));
	memcpy(y, &b, sizeof(y));
	for (int i = 0; i < 16; i++)
		sums[i] = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
	memcpy(&all, sums, sizeof(sums));
	return all;
}

WIDE_INLINE __m512d wide_cvtps_pd(__m256 a)
{
	float from[8];
	double to[8];
	__m512d converted;

	memcpy(from, &a, sizeof(from));
	for (int i = 0; i < 8; i++)
		to[i] = (double)from[i];
	memcpy(&converted, to, sizeof(to));
	return converted;
}

#define _mm512_fmadd_ps wide_fmadd_ps
#define _mm512_min_ps wide_min_ps
#define _mm512_broadcast_i64x4 wide_broadcast_i64x4
#define _mm512_permutexvar_epi32 wide_permutexvar_epi32
#define _mm512_madd_epi16 wide_madd_epi16
#define _mm512_cvtps_pd wide_cvtps_pd
#define _mm512_castps512_ps256(x) wide_half_ps(x, 0)
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps wide_half_ps
/* From here on: whatever a function is to be compiled for, it is AVX2, and so is what is asked for. */
#define target(any) __target__("avx2,fma,popcnt")
#define __builtin_cpu_supports(any) wide_passes()
#endif
