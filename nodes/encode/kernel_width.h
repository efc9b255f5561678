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
#include "nodes/encode/kernel.h"
#include "nodes/host/lanes_width.h"

/* Vectors that a block is a multiple of: 4 of them hold its marks, or 2 of the widest. */
#define PARTS (64 / LANES_BYTES)

/* Vectors of floats that are worked on at once. */
#define AT_ONCE (PARTS == 1 ? 2 : 4)

/* The squared differences of two dimensions whose counts are the halves of a lane, added up. */
LANES_INLINE void LANES(pair_squares)(
	const LANES(i32) * a, const LANES(i32) * b, LANES(i32) * ret_squares)
{
	const LANES(i16) diff = (LANES(i16)) * a - (LANES(i16)) * b;
#if defined __x86_64__ && LANES_BYTES == 64
	*ret_squares = (LANES(i32))_mm512_madd_epi16((__m512i)diff, (__m512i)diff);
#elif defined __x86_64__ && LANES_BYTES == 32
	*ret_squares = (LANES(i32))_mm256_madd_epi16((__m256i)diff, (__m256i)diff);
#elif defined __x86_64__
	*ret_squares = (LANES(i32))_mm_madd_epi16((__m128i)diff, (__m128i)diff);
#else
	const LANES(i32) high = (LANES(i32))diff >> 16;
	const LANES(i32) low = (LANES(i32))((LANES(i32))diff << 16) >> 16;

	*ret_squares = low * low + high * high;
#endif
}

/* Adds two rows of counts, whose sum is exact, or a last one. */
LANES_INLINE void LANES(add_counts)(const LANES(i32) *const *at, uint32_t n_vectors,
	uint32_t stride, const struct weighing *way, uint32_t row, LANES(f32) * s)
{
	const bool is_last = row + 1 == way->n_rows;
	const LANES(i32) first = (LANES(i32)){0} + way->x[row];
	const LANES(i32) second = (LANES(i32)){0} + way->x[is_last ? row : row + 1];

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		const LANES(i32) *lanes = at[i] + row * stride;
		LANES(i32) sum, more;
		LANES(f32) square;

		LANES(pair_squares)(&first, lanes, &sum);
		if (!is_last) {
			LANES(pair_squares)(&second, lanes + stride, &more);
			sum += more;
		}
		square = __builtin_convertvector(sum, LANES(f32));
		s[i] = row == 0 ? square : s[i] + square;
	}
}

/* Adds a row of steps. With 16 of them unrolled, a first one unlike the others costs the compiler
 * its registers. */
LANES_INLINE void LANES(add_steps)(const LANES(i32) *const *at, uint32_t n_vectors, uint32_t stride,
	const struct weighing *way, uint32_t row, LANES(f32) * s)
{
	const LANES(i32) query = (LANES(i32)){0} + way->x[row];

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++) {
		const LANES(f32) diff =
			__builtin_convertvector(query - at[i][row * stride], LANES(f32));

		if (row == 0 && way->n_rows < 16)
			s[i] = diff * diff;
		else
			LANES(fuse)(&diff, &diff, &s[i]);
	}
}

/* The weights of up to four vectors of marks, whose rows are `stride` apart, in lockstep. */
LANES_INLINE void LANES(weights)(const LANES(i32) *const *at, uint32_t n_vectors, uint32_t stride,
	const struct weighing *way, LANES(f32) * ret_weights)
{
	LANES(f32) s[4] = {{0}}, n[4], r[4];

#pragma GCC unroll 4
	for (uint32_t row = 0; row < way->n_rows; row += way->by_pairs ? 2 : 1) {
		if (way->by_pairs)
			LANES(add_counts)(at, n_vectors, stride, way, row, s);
		else
			LANES(add_steps)(at, n_vectors, stride, way, row, s);
	}
	LANES(exp2_whole)(n_vectors, way->factor, way->most, s, n);
	LANES(exp2_rest)(n_vectors, way->factor, s, n, r, ret_weights);
#pragma GCC unroll 3
	for (uint32_t term = 3; term-- > 0;)
		LANES(exp2_term)(n_vectors, term, r, ret_weights);
	LANES(exp2_scale)(n_vectors, n, ret_weights);
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

LANES_INLINE void LANES(weigh_single)(
	const struct fnx_blocks *blocks, const struct weighing *way, double *ret_sums)
{
	LANES(f64) *sums = (LANES(f64) *)ret_sums;
	LANES(f32) weights[2 * PARTS];

	for (uint32_t k = 0; k < blocks->n; k++) {
		const LANES(i32) *lanes =
			(const LANES(i32) *)blocks->lanes + (size_t)k * way->n_rows * 2 * PARTS;

#pragma GCC unroll 2
		for (uint32_t part = 0; part < 2 * PARTS; part += AT_ONCE) {
			const LANES(i32) * at[AT_ONCE];

#pragma GCC unroll 4
			for (uint32_t i = 0; i < AT_ONCE; i++)
				at[i] = lanes + part + i;
			LANES(weights)(at, AT_ONCE, 2 * PARTS, way, weights + part);
		}
		if (way->by_mass) {
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

LANES_INLINE void LANES(weigh_made)(const struct fnx_blocks *blocks, const struct weighing *way,
	uint32_t n_rows, bool by_mass, double *ret_sums)
{
	const struct weighing made = made_for(way, n_rows, by_mass);

	LANES(weigh_single)(blocks, &made, ret_sums);
}

LANES_TARGET static void LANES(weigh_i32)(
	const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums)
{
	const struct weighing way = by_steps(x);
	const uint32_t n_rows = blocks->n_rows;

	if (blocks->masses && n_rows == 4)
		LANES(weigh_made)(blocks, &way, 4, true, ret_sums);
	else if (blocks->masses)
		LANES(weigh_made)(blocks, &way, n_rows, true, ret_sums);
	else if (n_rows == 4)
		LANES(weigh_made)(blocks, &way, 4, false, ret_sums);
	else if (n_rows == 16)
		LANES(weigh_made)(blocks, &way, 16, false, ret_sums);
	else
		LANES(weigh_made)(blocks, &way, n_rows, false, ret_sums);
}

LANES_TARGET static void LANES(weigh_i16)(
	const struct fnx_blocks *blocks, const int32_t *x, double factor, double *ret_sums)
{
	const struct weighing way = by_counts(x, factor);
	const uint32_t n_rows = blocks->n_rows;

	if (n_rows == 2)
		LANES(weigh_made)(blocks, &way, 2, false, ret_sums);
	else if (n_rows == 8)
		LANES(weigh_made)(blocks, &way, 8, false, ret_sums);
	else
		LANES(weigh_made)(blocks, &way, n_rows, false, ret_sums);
}

LANES_INLINE void LANES(weigh_f64_dims)(const struct fnx_blocks *blocks, uint32_t n_rows,
	const double *x, double factor, double *ret_sums)
{
	LANES(f64) *sums = (LANES(f64) *)ret_sums;

	for (uint32_t k = 0; k < blocks->n; k++) {
		const LANES(f64) *lanes =
			(const LANES(f64) *)blocks->lanes + (size_t)k * n_rows * 4 * PARTS;
		const LANES(f64) *masses = blocks->masses
			? (const LANES(f64) *)blocks->masses + (size_t)k * 4 * PARTS
			: NULL;

		for (uint32_t part = 0; part < PARTS; part++) {
			const LANES(f64) *at = lanes + part;
			LANES(f64) s[4] = {{0}};

			for (uint32_t d = 0; d < n_rows; d++, at += 4 * PARTS) {
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
	if (blocks->n_rows == 4)
		LANES(weigh_f64_dims)(blocks, 4, x, factor, ret_sums);
	else
		LANES(weigh_f64_dims)(blocks, blocks->n_rows, x, factor, ret_sums);
}

/* All bits of the lanes whose marks are inside. The sign of a difference is the comparison: a - b is
 * negative if and only if a < b; of counts both halves must be. */
LANES_INLINE void LANES(inside_lanes)(const LANES(i32) * at, uint32_t stride, uint32_t n_rows,
	bool by_pairs, const int32_t *lower, const int32_t *upper, LANES(i32) * ret_in)
{
	LANES(i32) in = ~(LANES(i32)){0};

	for (uint32_t row = 0; row < n_rows; row++, at += stride) {
		const LANES(i32) low = (LANES(i32)){0} + lower[row];
		const LANES(i32) high = (LANES(i32)){0} + upper[row];

		if (by_pairs)
			in &= (LANES(i32))(((LANES(i16))low - (LANES(i16))at[0]) &
				((LANES(i16))at[0] - (LANES(i16))high));
		else
			in &= (low - at[0]) & (at[0] - high);
	}
	if (by_pairs)
		in &= in << 16;
	*ret_in = in >> 31;
}

LANES_INLINE uint32_t LANES(inside_single)(const struct fnx_blocks *blocks, bool by_pairs,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	uint32_t n_inside = 0;

	for (uint32_t k = 0; k < blocks->n && n_inside < enough;) {
		LANES(i32) n = {0};

		for (uint32_t end = k + FNX_GATE_STRIDE; k < blocks->n && k < end; k++) {
			const LANES(i32) *lanes = (const LANES(i32) *)blocks->lanes +
				(size_t)k * blocks->n_rows * 2 * PARTS;
			const LANES(f32) *masses =
				(const LANES(f32) *)blocks->masses + (size_t)k * 2 * PARTS;

			for (uint32_t part = 0; part < 2 * PARTS; part++) {
				LANES(i32) in;

				LANES(inside_lanes)
				(lanes + part, 2 * PARTS, blocks->n_rows, by_pairs, lower, upper,
					&in);
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

LANES_TARGET static uint32_t LANES(inside_i32)(const struct fnx_blocks *blocks,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	return LANES(inside_single)(blocks, false, lower, upper, enough);
}

LANES_TARGET static uint32_t LANES(inside_i16)(const struct fnx_blocks *blocks,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	return LANES(inside_single)(blocks, true, lower, upper, enough);
}

LANES_TARGET static uint32_t LANES(inside_f64)(
	const struct fnx_blocks *blocks, const double *lower, const double *upper, uint32_t enough)
{
	uint32_t n_inside = 0;

	for (uint32_t k = 0; k < blocks->n && n_inside < enough;) {
		LANES(u64) n = {0};

		for (uint32_t end = k + FNX_GATE_STRIDE; k < blocks->n && k < end; k++) {
			const LANES(f64) *lanes = (const LANES(f64) *)blocks->lanes +
				(size_t)k * blocks->n_rows * 4 * PARTS;
			const LANES(f64) *masses =
				(const LANES(f64) *)blocks->masses + (size_t)k * 4 * PARTS;

			for (uint32_t part = 0; part < 4 * PARTS; part++) {
				const LANES(f64) *at = lanes + part;
				LANES(u64) in = ~(LANES(u64)){0};

				for (uint32_t d = 0; d < blocks->n_rows; d++, at += 4 * PARTS)
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
