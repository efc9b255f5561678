/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vectors of one width and exponentials of them. Included once for each width wanted, with
 * LANES_BYTES (16, 32 or 64) defined; LANES(name) is then the name of that width's version.
 *
 * Vectors go in and out by pointer, because passing wide ones by value changes the calling
 * convention with the target. LANES_TARGET, if defined, is the target attribute of the functions
 * that these go into.
 */
#include <stdint.h>
#ifdef __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

#ifndef LANES_BYTES
#define LANES_BYTES 16
#endif
#undef LANES
#undef LANES_INLINE
#undef LANES_PASTE
#undef LANES_NAME
#define LANES_PASTE(name, bytes) name##_v##bytes
#define LANES_NAME(name, bytes) LANES_PASTE(name, bytes)
#define LANES(name) LANES_NAME(name, LANES_BYTES)

typedef float LANES(f32) __attribute__((vector_size(LANES_BYTES)));
typedef int32_t LANES(i32) __attribute__((vector_size(LANES_BYTES)));
typedef double LANES(f64) __attribute__((vector_size(LANES_BYTES)));
typedef uint64_t LANES(u64) __attribute__((vector_size(LANES_BYTES)));
typedef int16_t LANES(i16) __attribute__((vector_size(LANES_BYTES)));
typedef uint16_t LANES(u16) __attribute__((vector_size(LANES_BYTES)));

#ifndef LANES_TARGET
#define LANES_TARGET
#endif
#define LANES_INLINE static inline __attribute__((always_inline)) LANES_TARGET

/* a * b + c, rounded once where the processors of that width can, which is twice as fast. */
LANES_INLINE void LANES(fuse)(const LANES(f32) * a, const LANES(f32) * b, LANES(f32) * c)
{
#if defined __x86_64__ && LANES_BYTES == 64
	*c = (LANES(f32))_mm512_fmadd_ps((__m512)*a, (__m512)*b, (__m512)*c);
#elif defined __x86_64__ && LANES_BYTES == 32
	*c = (LANES(f32))_mm256_fmadd_ps((__m256)*a, (__m256)*b, (__m256)*c);
#elif defined __aarch64__ && LANES_BYTES == 16
	*c = (LANES(f32))vfmaq_f32((float32x4_t)*c, (float32x4_t)*a, (float32x4_t)*b);
#else
	*c = *a * *b + *c;
#endif
}

/* The smaller of x and most; x is not NaN. */
LANES_INLINE void LANES(at_most)(float most, LANES(f32) * x)
{
	const LANES(f32) ceiling = (LANES(f32)){0} + most;
#if defined __x86_64__ && LANES_BYTES == 64
	*x = (LANES(f32))_mm512_min_ps((__m512)*x, (__m512)ceiling);
#elif defined __x86_64__ && LANES_BYTES == 32
	*x = (LANES(f32))_mm256_min_ps((__m256)*x, (__m256)ceiling);
#elif defined __x86_64__
	*x = (LANES(f32))_mm_min_ps((__m128)*x, (__m128)ceiling);
#else
	const LANES(i32) above = (LANES(i32))(ceiling - *x) >> 31;

	*x = (LANES(f32))(((LANES(i32))ceiling & above) | ((LANES(i32)) * x & ~above));
#endif
}

/* table[i % 8] for each i. */
LANES_INLINE void LANES(of_eight)(
	const uint32_t *table, const LANES(f32) * indices, LANES(i32) * ret_values)
{
#if defined __x86_64__ && LANES_BYTES == 64
	const __m512i all = _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)table));

	*ret_values = (LANES(i32))_mm512_permutexvar_epi32((__m512i)*indices, all);
#elif defined __x86_64__ && LANES_BYTES == 32
	*ret_values = (LANES(i32))_mm256_permutevar8x32_epi32(
		_mm256_load_si256((const __m256i *)table), (__m256i)*indices);
#else
	const LANES(i32) i = (LANES(i32)) * indices & 7;

	*ret_values = (LANES(i32)){(int32_t)table[i[0]], (int32_t)table[i[1]], (int32_t)table[i[2]],
		(int32_t)table[i[3]]};
#endif
}

/*
 * 2^(factor * s) for s >= 0 and factor < 0 (`most` is -125 / factor), within 1.8e-7 relative
 * where products and sums round once; elsewhere the product's rounding, 2^-24 of the exponent, comes on top. Below 2^-125 it
 * stays there. factor * s = n / 8 + r, |r| <= 1/16: a polynomial of least relative error for 2^r,
 * times 2^(n / 8). Adding 1.5 * 2^20 leaves n in the low bits of the sum: three of them find the
 * eighth in a table, the others are shifted into the exponent. (Without the table, |r| <= 1/2, it
 * takes two more terms, which cost more than the look into it.)
 *
 * In steps, because each waits for the one before, some four cycles: they are done for several
 * vectors at once (`n_vectors`, at most 4), and the caller may put other work between them.
 */
LANES_INLINE void LANES(exp2_whole)(
	uint32_t n_vectors, float factor, float most, LANES(f32) * s, LANES(f32) * ret_n)
{
	const LANES(f32) scale = (LANES(f32)){0} + factor;

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		LANES(at_most)(most, &s[i]);
		ret_n[i] = (LANES(f32)){0} + 0x1.8p20f;
		LANES(fuse)(&s[i], &scale, &ret_n[i]);
	}
}

LANES_INLINE void LANES(exp2_rest)(uint32_t n_vectors, float factor, const LANES(f32) * s,
	const LANES(f32) * n, LANES(f32) * ret_r, LANES(f32) * ret_y)
{
	const LANES(f32) scale = (LANES(f32)){0} + factor;

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		ret_r[i] = 0x1.8p20f - n[i];
		LANES(fuse)(&s[i], &scale, &ret_r[i]);
		ret_y[i] = (LANES(f32)){0} + 5.5496223e-2f;
	}
}

/* One term: for 2, 1 and 0, in this order. */
LANES_INLINE void LANES(exp2_term)(
	uint32_t n_vectors, uint32_t term, const LANES(f32) * r, LANES(f32) * y)
{
	const float terms[] = {1.0f, 6.9314724e-1f, 2.4025764e-1f};

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		LANES(f32) sum = (LANES(f32)){0} + terms[term];

		LANES(fuse)(&y[i], &r[i], &sum);
		y[i] = sum;
	}
}

/* In the table, the bits of 2^(i / 8), less those of i that the shift leaves below the exponent. */
LANES_INLINE void LANES(exp2_scale)(uint32_t n_vectors, const LANES(f32) * n, LANES(f32) * y)
{
	static const uint32_t eighths[8] __attribute__((aligned(32))) = {0x3f800000, 0x3f7b95c2,
		0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		LANES(i32) power;

		LANES(of_eight)(eighths, &n[i], &power);
		power += (LANES(i32))n[i] << 20;
		y[i] *= (LANES(f32))power;
	}
}

/*
 * e^x for x <= 0, within 6e-16 relative; below -708 it stays at e^-708. As above, with ln 2 in two
 * parts and the exponential series to r^13.
 */
LANES_INLINE void LANES(exp)(const LANES(f64) * x, LANES(f64) * ret_y)
{
	const double shift = 0x1.8p52;
	const LANES(f64) floor = (LANES(f64)){0} - 708.0;
	const LANES(u64) below = -((LANES(u64))(*x - floor) >> 63);
	const LANES(f64) y =
		(LANES(f64))(((LANES(u64))floor & below) | ((LANES(u64)) * x & ~below));
	const LANES(f64) n = y * 0x1.71547652b82fep+0 + shift;
	const LANES(f64) k = n - shift;
	const LANES(f64) r = (y - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
	const LANES(f64) r2 = r * r, r4 = r2 * r2;
	const LANES(f64) low = (1.0 + r) + (0.5 + 1.0 / 6.0 * r) * r2;
	const LANES(f64) middle =
		(1.0 / 24.0 + 1.0 / 120.0 * r) + (1.0 / 720.0 + 1.0 / 5040.0 * r) * r2;
	const LANES(f64) high = (1.0 / 40320.0 + 1.0 / 362880.0 * r) +
		(1.0 / 3628800.0 + 1.0 / 39916800.0 * r) * r2 +
		(1.0 / 479001600.0 + 1.0 / 6227020800.0 * r) * r4;
	const LANES(f64) p = low + (middle + high * r4) * r4;

	*ret_y = (LANES(f64))((LANES(u64))p + ((LANES(u64))n << 52));
}
