/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernels of the cut-off for one width of vectors: which boxes are near, and the loops over a
 * list of octets. Included by kernel.c after kernel_width.h, for 16 and 32 bytes (an octet of
 * single precision is no wider).
 *
 * What is near is a third of many small blocks, in no order that a processor could foresee. So
 * lists are written without a branch per block, and octets of different blocks go through the
 * exponential together, as many as fit the registers; each then adds to the accumulator of its own
 * bin.
 */
/* Vectors of an octet in single precision; twice as many in double. */
#define OCTET_VECTORS (32 / LANES_BYTES)
/* Octets that are worked on at once. */
#define OCTETS_AT_ONCE (4 / OCTET_VECTORS)
/* Octets from a fetch to its use: some 60 ns. */
#define OCTETS_AHEAD 16

LANES_INLINE void LANES(fetch_octets)(
	const struct fnx_blocks *blocks, uint32_t k, uint32_t n, size_t octet_size)
{
	const char *lanes = blocks->lanes;

	for (uint32_t i = k + OCTETS_AHEAD; i < k + OCTETS_AHEAD + n && i < blocks->n; i++)
		for (size_t at = 0; at < octet_size; at += 64)
			__builtin_prefetch(lanes + blocks->list[i] * octet_size + at, 0, 3);
}

/* The weights of n_octets from the list's k-th on, [n_octets * OCTET_VECTORS]. */
LANES_INLINE void LANES(octet_weights_i32)(const struct fnx_blocks *blocks, uint32_t k,
	uint32_t n_octets, uint32_t n_dims, const int32_t *x, LANES(f32) * ret_weights)
{
	const uint32_t n_vectors = n_octets * OCTET_VECTORS;
	LANES(f32) s[4] = {{0}}, n[4], r[4];
	const LANES(i32) * at[4];

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_vectors; i++)
		at[i] = (const LANES(i32) *)blocks->lanes + i % OCTET_VECTORS +
			(size_t)blocks->list[k + i / OCTET_VECTORS] * n_dims * OCTET_VECTORS;
	for (uint32_t d = 0; d < n_dims; d++) {
		const LANES(i32) query = (LANES(i32)){0} + x[d];

#pragma GCC unroll 4
		for (uint32_t i = 0; i < n_vectors; i++) {
			const LANES(f32) diff = __builtin_convertvector(
				query - at[i][d * OCTET_VECTORS], LANES(f32));

			LANES(fuse)(&diff, &diff, &s[i]);
		}
	}
	LANES(exp2_whole)(n_vectors, LANES(FACTOR), s, n);
	LANES(exp2_rest)(n_vectors, LANES(FACTOR), s, n, r, ret_weights);
#pragma GCC unroll 5
	for (uint32_t term = 5; term-- > 0;)
		LANES(exp2_term)(n_vectors, term, r, ret_weights);
	LANES(exp2_scale)(n_vectors, n, ret_weights);
}

LANES_INLINE void LANES(accumulate_octet)(const LANES(f32) * weights, LANES(f64) * sums)
{
#if defined __x86_64__ && LANES_BYTES == 32
	const __m256 all = (__m256)weights[0];

	sums[0] += (LANES(f64))_mm256_cvtps_pd(_mm256_castps256_ps128(all));
	sums[1] += (LANES(f64))_mm256_cvtps_pd(_mm256_extractf128_ps(all, 1));
#else
	for (uint32_t i = 0; i < OCTET_VECTORS; i++) {
		sums[2 * i] += (LANES(f64)){(double)weights[i][0], (double)weights[i][1]};
		sums[2 * i + 1] += (LANES(f64)){(double)weights[i][2], (double)weights[i][3]};
	}
#endif
}

LANES_INLINE void LANES(weigh_some_octets_i32)(const struct fnx_blocks *blocks, uint32_t k,
	uint32_t n_octets, uint32_t n_dims, bool by_mass, const int32_t *x, double *ret_sums)
{
	LANES(f64) *sums = (LANES(f64) *)ret_sums;
	LANES(f32) weights[4];

	LANES(octet_weights_i32)(blocks, k, n_octets, n_dims, x, weights);
#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_octets; i++) {
		const uint32_t octet = blocks->list[k + i];
		const LANES(f32) *masses =
			(const LANES(f32) *)blocks->masses + (size_t)octet * OCTET_VECTORS;

		for (uint32_t part = 0; by_mass && part < OCTET_VECTORS; part++)
			weights[i * OCTET_VECTORS + part] *= masses[part];
		LANES(accumulate_octet)
		(weights + i * OCTET_VECTORS,
			sums + (size_t)blocks->bins[octet / FNX_BLOCK_OCTETS] * 2 * OCTET_VECTORS);
	}
}

LANES_INLINE void LANES(weigh_octets_i32_dims)(const struct fnx_blocks *blocks, uint32_t n_dims,
	bool by_mass, const int32_t *x, double *ret_sums)
{
	const uint32_t n_whole = blocks->n / OCTETS_AT_ONCE * OCTETS_AT_ONCE;

	for (uint32_t k = 0; k < n_whole; k += OCTETS_AT_ONCE) {
		LANES(fetch_octets)
		(blocks, k, OCTETS_AT_ONCE, n_dims * FNX_OCTET_MARKS * sizeof(int32_t));
		LANES(weigh_some_octets_i32)
		(blocks, k, OCTETS_AT_ONCE, n_dims, by_mass, x, ret_sums);
	}
	for (uint32_t k = n_whole; k < blocks->n; k++)
		LANES(weigh_some_octets_i32)(blocks, k, 1, n_dims, by_mass, x, ret_sums);
}

LANES_TARGET static void LANES(weigh_octets_i32)(
	const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums)
{
	if (blocks->masses)
		LANES(weigh_octets_i32_dims)(blocks, blocks->n_dims, true, x, ret_sums);
	else if (blocks->n_dims == 4)
		LANES(weigh_octets_i32_dims)(blocks, 4, false, x, ret_sums);
	else
		LANES(weigh_octets_i32_dims)(blocks, blocks->n_dims, false, x, ret_sums);
}

LANES_TARGET static void LANES(weigh_octets_f64)(
	const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums)
{
	const uint32_t n_dims = blocks->n_dims, n_vectors = 2 * OCTET_VECTORS;

	for (uint32_t k = 0; k < blocks->n; k++) {
		const uint32_t octet = blocks->list[k];
		const LANES(f64) *at =
			(const LANES(f64) *)blocks->lanes + (size_t)octet * n_dims * n_vectors;
		const LANES(f64) *masses =
			(const LANES(f64) *)blocks->masses + (size_t)octet * n_vectors;
		LANES(f64) *sums = (LANES(f64) *)ret_sums +
			(size_t)blocks->bins[octet / FNX_BLOCK_OCTETS] * n_vectors;
		LANES(f64) s[2 * OCTET_VECTORS] = {{0}};

		LANES(fetch_octets)(blocks, k, 1, n_dims * FNX_OCTET_MARKS * sizeof(double));
		for (uint32_t d = 0; d < n_dims; d++, at += n_vectors) {
			for (uint32_t i = 0; i < n_vectors; i++) {
				const LANES(f64) diff = at[i] - x[d];

				s[i] += diff * diff;
			}
		}
		for (uint32_t i = 0; i < n_vectors; i++) {
			s[i] *= factor;
			LANES(exp)(&s[i], &s[i]);
			if (blocks->masses)
				s[i] *= masses[i];
			sums[i] += s[i];
		}
	}
}

/* The sign of a difference is the comparison: a - b is negative if and only if a < b. */
LANES_TARGET static uint32_t LANES(inside_octets_i32)(const struct fnx_blocks *blocks,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	uint32_t n_inside = 0;

	for (uint32_t k = 0; k < blocks->n && n_inside < enough;) {
		LANES(i32) n = {0};

		for (uint32_t end = k + FNX_GATE_STRIDE; k < blocks->n && k < end; k++) {
			const size_t octet = blocks->list[k];
			const LANES(f32) *masses =
				(const LANES(f32) *)blocks->masses + octet * OCTET_VECTORS;

			for (uint32_t part = 0; part < OCTET_VECTORS; part++) {
				const LANES(i32) *at = (const LANES(i32) *)blocks->lanes +
					octet * blocks->n_dims * OCTET_VECTORS + part;
				LANES(i32) in = ~(LANES(i32)){0};

				for (uint32_t d = 0; d < blocks->n_dims; d++, at += OCTET_VECTORS)
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

LANES_TARGET static uint32_t LANES(inside_octets_f64)(
	const struct fnx_blocks *blocks, const double *lower, const double *upper, uint32_t enough)
{
	const uint32_t n_vectors = 2 * OCTET_VECTORS;
	uint32_t n_inside = 0;

	for (uint32_t k = 0; k < blocks->n && n_inside < enough;) {
		LANES(u64) n = {0};

		for (uint32_t end = k + FNX_GATE_STRIDE; k < blocks->n && k < end; k++) {
			const size_t octet = blocks->list[k];
			const LANES(f64) *masses =
				(const LANES(f64) *)blocks->masses + octet * n_vectors;

			for (uint32_t part = 0; part < n_vectors; part++) {
				const LANES(f64) *at = (const LANES(f64) *)blocks->lanes +
					octet * blocks->n_dims * n_vectors + part;
				LANES(u64) in = ~(LANES(u64)){0};

				for (uint32_t d = 0; d < blocks->n_dims; d++, at += n_vectors)
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

/* Bits of the boxes of a group whose squared distance is below the limit. */
LANES_INLINE uint32_t LANES(below)(const LANES(f32) * squares, float limit)
{
	uint32_t bits = 0;

	for (uint32_t part = 0; part < 64 / LANES_BYTES; part++) {
		const LANES(i32) in = (LANES(i32))(squares[part] - limit);
#if defined __x86_64__ && LANES_BYTES == 32
		bits |= (uint32_t)_mm256_movemask_ps((__m256)in) << (8 * part);
#elif defined __x86_64__
		bits |= (uint32_t)_mm_movemask_ps((__m128)in) << (4 * part);
#else
		for (uint32_t i = 0; i < LANES_BYTES / 4; i++)
			bits |= (uint32_t)(in[i] < 0) << (LANES_BYTES / 4 * part + i);
#endif
	}
	return bits;
}

/* From a box to the query one of the two differences is positive where there is a gap: the larger
 * of them and 0. */
LANES_TARGET static uint32_t LANES(near_boxes)(const float *boxes, uint32_t n, uint32_t n_dims,
	const float *low, const float *high, float limit, uint32_t *ret_list)
{
	const uint32_t n_parts = 64 / LANES_BYTES;
	const LANES(f32) *at = (const LANES(f32) *)boxes;
	uint32_t n_near = 0;

	for (uint32_t first = 0; first < n; first += FNX_BOX_GROUP) {
		LANES(f32) squares[64 / LANES_BYTES] = {{0}};

		for (uint32_t d = 0; d < n_dims; d++, at += 2 * n_parts) {
			for (uint32_t part = 0; part < n_parts; part++) {
				LANES(f32) gap = at[part] - high[d];
				const LANES(f32) beyond = low[d] - at[n_parts + part];

				LANES(larger)(&beyond, &gap);
				LANES(at_least)(0.0f, &gap);
				LANES(fuse)(&gap, &gap, &squares[part]);
			}
		}
		n_near += list_bits(LANES(below)(squares, limit), first, ret_list + n_near);
	}
	return n_near;
}

#undef OCTET_VECTORS
#undef OCTETS_AT_ONCE
#undef OCTETS_AHEAD
