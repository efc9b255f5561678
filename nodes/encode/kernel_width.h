/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernels for one width of vectors. Included by kernel.c once for each, with LANES_BYTES and
 * LANES_TARGET (the functions' target attribute, or nothing) defined.
 *
 * Of a block's 32 marks, those 8 apart are added up first and then go into the same lane of the
 * bin's accumulator, which is of doubles for either type: what adding up floats loses does not grow
 * with the number of blocks. Every width adds the same numbers in the same order, and works on as
 * many of them at once as fit its registers. Four dimensions (a tetrode) get a loop of their own,
 * in which the query stays in registers.
 */
#include <math.h>
#include <stdbool.h>

#include "nodes/encode/kernel.h"
#include "nodes/host/lanes_width.h"

/* Vectors that a block is a multiple of: 4 of them hold its marks, or 2 of the widest. */
#define PARTS (64 / LANES_BYTES)

/* Vectors of floats that are worked on at once. */
#define AT_ONCE (PARTS == 1 ? 2 : 4)

static const float LANES(FACTOR) = (float)(-0.5 * M_LOG2E / (FNX_BLOCK_STEPS * FNX_BLOCK_STEPS));

/* Adds one dimension's squared differences to `s`; the first ones of all need no sum. */
LANES_INLINE void LANES(add_squares)(
	const LANES(i32) * lanes, uint32_t n_vectors, int32_t x, bool is_first, LANES(f32) * s)
{
	const LANES(i32) at = (LANES(i32)){0} + x;

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		const LANES(f32) diff = __builtin_convertvector(at - lanes[i], LANES(f32));

		if (is_first)
			s[i] = diff * diff;
		else
			LANES(fuse)(&diff, &diff, &s[i]);
	}
}

/* Of up to four vectors of squared distances, which it changes, in lockstep. */
LANES_INLINE void LANES(weights_of)(uint32_t n_vectors, LANES(f32) * s, LANES(f32) * ret_weights)
{
	LANES(f32) n[4], r[4];

	LANES(exp2_whole)(n_vectors, LANES(FACTOR), s, n);
	LANES(exp2_rest)(n_vectors, LANES(FACTOR), s, n, r, ret_weights);
#pragma GCC unroll 3
	for (uint32_t term = 3; term-- > 0;)
		LANES(exp2_term)(n_vectors, term, r, ret_weights);
	LANES(exp2_scale)(n_vectors, n, ret_weights);
}

/* The weights of `n_vectors` of a block's vectors. With the 16 dimensions unrolled, a first one
 * unlike the others costs the compiler its registers. */
LANES_INLINE void LANES(weights_i32)(const LANES(i32) * lanes, uint32_t n_vectors, uint32_t n_dims,
	const int32_t *x, LANES(f32) * ret_weights)
{
	LANES(f32) s[4] = {{0}};

	for (uint32_t d = 0; d < n_dims; d++, lanes += 2 * PARTS)
		LANES(add_squares)(lanes, n_vectors, x[d], d == 0 && n_dims < 16, s);
	LANES(weights_of)(n_vectors, s, ret_weights);
}

/* A block's weights by lane of 16, in vectors: those 8 apart are added up and go into the
 * accumulator of doubles. */
LANES_INLINE void LANES(accumulate)(const LANES(f32) * weights, LANES(f64) * sums)
{
#if defined __x86_64__ && LANES_BYTES == 64
	const __m512 all = (__m512)weights[0];

	sums[0] += (LANES(f64))_mm512_cvtps_pd(
		_mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1)));
#elif defined __x86_64__ && LANES_BYTES == 32
	const __m256 sum = (__m256)(weights[0] + weights[1]);

	sums[0] += (LANES(f64))_mm256_cvtps_pd(_mm256_castps256_ps128(sum));
	sums[1] += (LANES(f64))_mm256_cvtps_pd(_mm256_extractf128_ps(sum, 1));
#else
	for (uint32_t i = 0; i < PARTS / 2; i++) {
		const LANES(f32) sum = weights[i] + weights[PARTS / 2 + i];

		sums[2 * i] += (LANES(f64)){(double)sum[0], (double)sum[1]};
		sums[2 * i + 1] += (LANES(f64)){(double)sum[2], (double)sum[3]};
	}
#endif
}

/* A block's masses, [2 * PARTS]. */
LANES_INLINE const LANES(f32) * LANES(masses_f32)(const struct fnx_blocks *blocks, uint32_t block)
{
	return (const LANES(f32) *)blocks->masses + (size_t)block * 2 * PARTS;
}

LANES_INLINE void LANES(weigh_i32_dims)(const struct fnx_blocks *blocks, uint32_t n_dims,
	bool by_mass, const int32_t *x, double *ret_sums)
{
	LANES(f64) *sums = (LANES(f64) *)ret_sums;
	LANES(f32) weights[2 * PARTS];

	for (uint32_t k = 0; k < blocks->n; k++) {
		const LANES(i32) *lanes =
			(const LANES(i32) *)blocks->lanes + (size_t)k * n_dims * 2 * PARTS;

#pragma GCC unroll 2
		for (uint32_t part = 0; part < 2 * PARTS; part += AT_ONCE)
			LANES(weights_i32)(lanes + part, AT_ONCE, n_dims, x, weights + part);
		if (by_mass) {
#pragma GCC unroll 8
			for (uint32_t i = 0; i < 2 * PARTS; i++)
				weights[i] *= LANES(masses_f32)(blocks, k)[i];
		}
#pragma GCC unroll 4
		for (uint32_t i = 0; i < PARTS; i++)
			weights[i] += weights[PARTS + i];
		LANES(accumulate)(weights, sums + (size_t)blocks->bins[k] * PARTS);
	}
}

LANES_TARGET static void LANES(weigh_i32)(
	const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums)
{
	const uint32_t n_dims = blocks->n_dims;

	if (blocks->masses && n_dims == 4)
		LANES(weigh_i32_dims)(blocks, 4, true, x, ret_sums);
	else if (blocks->masses)
		LANES(weigh_i32_dims)(blocks, n_dims, true, x, ret_sums);
	else if (n_dims == 4)
		LANES(weigh_i32_dims)(blocks, 4, false, x, ret_sums);
	else if (n_dims == 16)
		LANES(weigh_i32_dims)(blocks, 16, false, x, ret_sums);
	else
		LANES(weigh_i32_dims)(blocks, n_dims, false, x, ret_sums);
}

LANES_INLINE void LANES(weigh_f64_dims)(const struct fnx_blocks *blocks, uint32_t n_dims,
	const double *x, double factor, double *ret_sums)
{
	LANES(f64) *sums = (LANES(f64) *)ret_sums;

	for (uint32_t k = 0; k < blocks->n; k++) {
		const LANES(f64) *lanes =
			(const LANES(f64) *)blocks->lanes + (size_t)k * n_dims * 4 * PARTS;
		const LANES(f64) *masses = blocks->masses
			? (const LANES(f64) *)blocks->masses + (size_t)k * 4 * PARTS
			: NULL;

		for (uint32_t part = 0; part < PARTS; part++) {
			const LANES(f64) *at = lanes + part;
			LANES(f64) s[4] = {{0}};

			for (uint32_t d = 0; d < n_dims; d++, at += 4 * PARTS) {
				for (uint32_t i = 0; i < 4; i++) {
					const LANES(f64) diff = at[i * PARTS] - x[d];

					s[i] += diff * diff;
				}
			}
			for (uint32_t i = 0; i < 4; i++) {
				s[i] *= factor;
				LANES(exp)(&s[i], &s[i]);
				if (masses)
					s[i] *= masses[i * PARTS + part];
			}
			sums[blocks->bins[k] * PARTS + part] += (s[0] + s[1]) + (s[2] + s[3]);
		}
	}
}

LANES_TARGET static void LANES(weigh_f64)(
	const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums)
{
	if (blocks->n_dims == 4)
		LANES(weigh_f64_dims)(blocks, 4, x, factor, ret_sums);
	else
		LANES(weigh_f64_dims)(blocks, blocks->n_dims, x, factor, ret_sums);
}

/* The sign of a difference is the comparison: a - b is negative if and only if a < b. */
LANES_TARGET static uint32_t LANES(inside_i32)(const struct fnx_blocks *blocks,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	uint32_t n_inside = 0;

	for (uint32_t k = 0; k < blocks->n && n_inside < enough;) {
		LANES(i32) n = {0};

		for (uint32_t end = k + FNX_GATE_STRIDE; k < blocks->n && k < end; k++) {
			const LANES(i32) *lanes = (const LANES(i32) *)blocks->lanes +
				(size_t)k * blocks->n_dims * 2 * PARTS;
			const LANES(f32) *masses =
				(const LANES(f32) *)blocks->masses + (size_t)k * 2 * PARTS;

			for (uint32_t part = 0; part < 2 * PARTS; part++) {
				const LANES(i32) *at = lanes + part;
				LANES(i32) in = ~(LANES(i32)){0};

				for (uint32_t d = 0; d < blocks->n_dims; d++, at += 2 * PARTS)
					in &= (lower[d] - at[0]) & (at[0] - upper[d]);
				in >>= 31;
				n -= blocks->masses
					? in & -__builtin_convertvector(masses[part], LANES(i32))
					: in;
			}
		}
		for (size_t i = 0; i < LANES_BYTES / sizeof(int32_t); i++)
			n_inside += (uint32_t)n[i];
	}
	return n_inside;
}

LANES_TARGET static uint32_t LANES(inside_f64)(
	const struct fnx_blocks *blocks, const double *lower, const double *upper, uint32_t enough)
{
	uint32_t n_inside = 0;

	for (uint32_t k = 0; k < blocks->n && n_inside < enough;) {
		LANES(u64) n = {0};

		for (uint32_t end = k + FNX_GATE_STRIDE; k < blocks->n && k < end; k++) {
			const LANES(f64) *lanes = (const LANES(f64) *)blocks->lanes +
				(size_t)k * blocks->n_dims * 4 * PARTS;
			const LANES(f64) *masses =
				(const LANES(f64) *)blocks->masses + (size_t)k * 4 * PARTS;

			for (uint32_t part = 0; part < 4 * PARTS; part++) {
				const LANES(f64) *at = lanes + part;
				LANES(u64) in = ~(LANES(u64)){0};

				for (uint32_t d = 0; d < blocks->n_dims; d++, at += 4 * PARTS)
					in &= (LANES(u64))(lower[d] - at[0]) &
						(LANES(u64))(at[0] - upper[d]);
				in >>= 63;
				n += blocks->masses
					? -in & __builtin_convertvector(masses[part], LANES(u64))
					: in;
			}
		}
		for (size_t i = 0; i < LANES_BYTES / sizeof(uint64_t); i++)
			n_inside += (uint32_t)n[i];
	}
	return n_inside;
}

#undef AT_ONCE
#undef PARTS
