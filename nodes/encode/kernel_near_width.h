/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernels of the cut-off for one width of vectors: which boxes are near, and the loops over
 * lists of blocks. Included by kernel.c after kernel_width.h, for 16 and 32 bytes (an octet of
 * single precision is no wider).
 *
 * What is near is a third of many small blocks, in no order that a processor could foresee, and of
 * each one to four octets are in use. A branch per block would cost as much as its marks: so lists
 * are written without one, and there is a list for each number of octets, so that every loop does
 * the same for all its blocks. Several small blocks go through the exponential together, as many as
 * fit the registers.
 */

/* Vectors of an octet in single precision; twice as many in double. */
#define OCTET_VECTORS (32 / LANES_BYTES)
#define VECTORS_AT_ONCE 4
/* From a fetch to its use: as many lines of memory as a core can have on their way at once. */
#define LINES_AHEAD 24

_Static_assert(LINES_AHEAD <= FNX_LIST_PADDING, "the last blocks fetch what is after the list");

/* No fewer than four; an octet is a line at least. */
LANES_INLINE uint32_t LANES(blocks_ahead)(uint32_t n_octets, size_t octet_size)
{
	const uint32_t n =
		(LINES_AHEAD * 64 / (octet_size > 64 ? (uint32_t)octet_size : 64)) / n_octets;

	return n > 4 ? n : 4;
}

/* A list jumps about in memory, which no processor foresees: fetch what comes some blocks later. */
LANES_INLINE void LANES(fetch_ahead)(const struct fnx_blocks *blocks, uint32_t n_octets, uint32_t k,
	uint32_t n_blocks, size_t octet_size, uint32_t n_ahead)
{
	const struct fnx_block_list *list = &blocks->lists[n_octets - 1];

#pragma GCC unroll 4
	for (uint32_t i = 0; i < n_blocks; i++) {
		const uint32_t ahead = k + n_ahead + i;
		const char *lanes = (const char *)blocks->lanes +
			(size_t)list->blocks[ahead] * FNX_BLOCK_OCTETS * octet_size;

#pragma GCC unroll 8
		for (size_t at = 0; at < n_octets * octet_size; at += 64)
			__builtin_prefetch(lanes + at, 0, 3);
	}
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

/* n_blocks from the k-th on of those with n_octets. */
LANES_INLINE void LANES(weigh_some)(const struct fnx_blocks *blocks, uint32_t n_octets, uint32_t k,
	uint32_t n_blocks, const struct weighing *way, double *ret_sums)
{
	const uint32_t *list = blocks->lists[n_octets - 1].blocks + k;
	const uint32_t n_of_block = n_octets * OCTET_VECTORS, n = n_blocks * n_of_block;
	const LANES(i32) * at[4 * OCTET_VECTORS];
	LANES(f32) weights[4 * OCTET_VECTORS];

#pragma GCC unroll 8
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t octet = i % n_of_block / OCTET_VECTORS;

		at[i] = (const LANES(i32) *)blocks->lanes + i % OCTET_VECTORS +
			((size_t)list[i / n_of_block] * FNX_BLOCK_OCTETS + octet) * way->n_rows *
				OCTET_VECTORS;
	}
#pragma GCC unroll 2
	for (uint32_t i = 0; i < n; i += VECTORS_AT_ONCE)
		LANES(weights)
	(at + i, n - i < VECTORS_AT_ONCE ? n - i : VECTORS_AT_ONCE, OCTET_VECTORS, way,
		weights + i);
#pragma GCC unroll 4
	for (uint32_t b = 0; b < n_blocks; b++) {
		const LANES(f32) *masses = (const LANES(f32) *)blocks->masses +
			(size_t)list[b] * FNX_BLOCK_OCTETS * OCTET_VECTORS;
		LANES(f32) *of_block = weights + b * n_of_block;

		if (way->by_mass) {
#pragma GCC unroll 8
			for (uint32_t i = 0; i < n_of_block; i++)
				of_block[i] *= masses[i];
		}
#pragma GCC unroll 8
		for (uint32_t i = OCTET_VECTORS; i < n_of_block; i++)
			of_block[i % OCTET_VECTORS] += of_block[i];
		LANES(accumulate_octet)
		(of_block,
			(LANES(f64) *)ret_sums + (size_t)blocks->bins[list[b]] * 2 * OCTET_VECTORS);
	}
}

LANES_INLINE void LANES(weigh_list)(const struct fnx_blocks *blocks, uint32_t n_octets,
	const struct weighing *way, double *ret_sums)
{
	const uint32_t n_vectors = n_octets * OCTET_VECTORS, n = blocks->lists[n_octets - 1].n;
	const uint32_t n_at_once = n_vectors <= 4 ? 4 / n_vectors : 1;
	const size_t octet_size = way->n_rows * FNX_OCTET_MARKS * sizeof(int32_t);
	const uint32_t n_ahead = LANES(blocks_ahead)(n_octets, octet_size);
	uint32_t k = 0;

	for (; k + n_at_once <= n; k += n_at_once) {
		LANES(fetch_ahead)
		(blocks, n_octets, k, n_at_once, octet_size, n_ahead);
		LANES(weigh_some)(blocks, n_octets, k, n_at_once, way, ret_sums);
	}
	for (; n_at_once > 1 && k < n; k++)
		LANES(weigh_some)(blocks, n_octets, k, 1, way, ret_sums);
}

LANES_INLINE void LANES(weigh_near_made)(const struct fnx_blocks *blocks,
	const struct weighing *way, uint32_t n_rows, bool by_mass, double *ret_sums)
{
	const struct weighing made = made_for(way, n_rows, by_mass);

	LANES(weigh_list)(blocks, 1, &made, ret_sums);
	LANES(weigh_list)(blocks, 2, &made, ret_sums);
	LANES(weigh_list)(blocks, 3, &made, ret_sums);
	LANES(weigh_list)(blocks, 4, &made, ret_sums);
}

LANES_TARGET static void LANES(weigh_near_i32)(
	const struct fnx_blocks *blocks, const int32_t *x, double *ret_sums)
{
	const struct weighing way = by_steps(x);

	if (blocks->masses)
		LANES(weigh_near_made)(blocks, &way, blocks->n_rows, true, ret_sums);
	else if (blocks->n_rows == 4)
		LANES(weigh_near_made)(blocks, &way, 4, false, ret_sums);
	else if (blocks->n_rows == 16)
		LANES(weigh_near_made)(blocks, &way, 16, false, ret_sums);
	else
		LANES(weigh_near_made)(blocks, &way, blocks->n_rows, false, ret_sums);
}

LANES_TARGET static void LANES(weigh_near_i16)(
	const struct fnx_blocks *blocks, const int32_t *x, double factor, double *ret_sums)
{
	const struct weighing way = by_counts(x, factor);

	if (blocks->n_rows == 2)
		LANES(weigh_near_made)(blocks, &way, 2, false, ret_sums);
	else if (blocks->n_rows == 8)
		LANES(weigh_near_made)(blocks, &way, 8, false, ret_sums);
	else
		LANES(weigh_near_made)(blocks, &way, blocks->n_rows, false, ret_sums);
}

/* The k-th block of those with n_octets. */
LANES_INLINE void LANES(weigh_one_f64)(const struct fnx_blocks *blocks, uint32_t n_octets,
	uint32_t k, const double *x, double factor, double *ret_sums)
{
	const uint32_t n_dims = blocks->n_rows, n_vectors = 2 * OCTET_VECTORS;
	const size_t block = blocks->lists[n_octets - 1].blocks[k];
	const LANES(f64) *at =
		(const LANES(f64) *)blocks->lanes + block * FNX_BLOCK_OCTETS * n_dims * n_vectors;
	const LANES(f64) *masses =
		(const LANES(f64) *)blocks->masses + block * FNX_BLOCK_OCTETS * n_vectors;
	LANES(f64) *sums = (LANES(f64) *)ret_sums + (size_t)blocks->bins[block] * n_vectors;

	for (uint32_t octet = 0; octet < n_octets; octet++) {
		LANES(f64) s[2 * OCTET_VECTORS] = {{0}};

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
				s[i] *= masses[octet * n_vectors + i];
			sums[i] += s[i];
		}
	}
}

LANES_TARGET static void LANES(weigh_near_f64)(
	const struct fnx_blocks *blocks, const double *x, double factor, double *ret_sums)
{
	const size_t octet_size = blocks->n_rows * FNX_OCTET_MARKS * sizeof(double);

	for (uint32_t n_octets = 1; n_octets <= FNX_BLOCK_OCTETS; n_octets++) {
		const uint32_t n_ahead = LANES(blocks_ahead)(n_octets, octet_size);

		for (uint32_t k = 0; k < blocks->lists[n_octets - 1].n; k++) {
			LANES(fetch_ahead)(blocks, n_octets, k, 1, octet_size, n_ahead);
			LANES(weigh_one_f64)(blocks, n_octets, k, x, factor, ret_sums);
		}
	}
}

LANES_INLINE uint32_t LANES(inside_near_single)(const struct fnx_blocks *blocks, bool by_pairs,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	const uint32_t n_rows = blocks->n_rows;
	uint32_t n_inside = 0;

	for (uint32_t n_octets = FNX_BLOCK_OCTETS; n_octets > 0 && n_inside < enough; n_octets--) {
		const struct fnx_block_list *list = &blocks->lists[n_octets - 1];
		const uint32_t n_vectors = n_octets * OCTET_VECTORS;

		for (uint32_t k = 0; k < list->n && n_inside < enough;) {
			LANES(i32) n = {0};

			for (uint32_t end = k + FNX_GATE_STRIDE; k < list->n && k < end; k++) {
				const size_t first =
					(size_t)list->blocks[k] * FNX_BLOCK_OCTETS * OCTET_VECTORS;
				const LANES(f32) *masses =
					(const LANES(f32) *)blocks->masses + first;

				for (uint32_t i = 0; i < n_vectors; i++) {
					const LANES(i32) *at = (const LANES(i32) *)blocks->lanes +
						(first + i - i % OCTET_VECTORS) * n_rows +
						i % OCTET_VECTORS;
					LANES(i32) in;

					LANES(inside_lanes)
					(at, OCTET_VECTORS, n_rows, by_pairs, lower, upper, &in);
					n -= blocks->masses ? in &
							-__builtin_convertvector(
								masses[i], LANES(i32))
							    : in;
				}
			}
			for (size_t i = 0; i < LANES_BYTES / sizeof(int32_t); i++)
				n_inside += (uint32_t)n[i];
		}
	}
	return n_inside;
}

LANES_TARGET static uint32_t LANES(inside_near_i32)(const struct fnx_blocks *blocks,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	return LANES(inside_near_single)(blocks, false, lower, upper, enough);
}

LANES_TARGET static uint32_t LANES(inside_near_i16)(const struct fnx_blocks *blocks,
	const int32_t *lower, const int32_t *upper, uint32_t enough)
{
	return LANES(inside_near_single)(blocks, true, lower, upper, enough);
}

LANES_TARGET static uint32_t LANES(inside_near_f64)(
	const struct fnx_blocks *blocks, const double *lower, const double *upper, uint32_t enough)
{
	const uint32_t n_dims = blocks->n_rows;
	uint32_t n_inside = 0;

	for (uint32_t n_octets = FNX_BLOCK_OCTETS; n_octets > 0 && n_inside < enough; n_octets--) {
		const struct fnx_block_list *list = &blocks->lists[n_octets - 1];
		const uint32_t n_vectors = n_octets * 2 * OCTET_VECTORS;

		for (uint32_t k = 0; k < list->n && n_inside < enough;) {
			LANES(u64) n = {0};

			for (uint32_t end = k + FNX_GATE_STRIDE; k < list->n && k < end; k++) {
				const size_t first = (size_t)list->blocks[k] * FNX_BLOCK_OCTETS *
					2 * OCTET_VECTORS;
				const LANES(f64) *masses =
					(const LANES(f64) *)blocks->masses + first;

				for (uint32_t i = 0; i < n_vectors; i++) {
					const uint32_t part = i % (2 * OCTET_VECTORS);
					const LANES(f64) *at = (const LANES(f64) *)blocks->lanes +
						(first + i - part) * n_dims + part;
					LANES(u64) in = ~(LANES(u64)){0};

					for (uint32_t d = 0; d < n_dims;
						d++, at += 2 * OCTET_VECTORS)
						in &= (LANES(u64))(lower[d] - at[0]) &
							(LANES(u64))(at[0] - upper[d]);
					in >>= 63;
					n += blocks->masses ? -in &
							__builtin_convertvector(
								masses[i], LANES(u64))
							    : in;
				}
			}
			for (size_t i = 0; i < LANES_BYTES / sizeof(uint64_t); i++)
				n_inside += (uint32_t)n[i];
		}
	}
	return n_inside;
}

/* a - b, or 0 where that is negative. */
LANES_INLINE void LANES(difference_u16)(
	const LANES(u16) * a, const LANES(u16) * b, LANES(u16) * ret)
{
#if defined __x86_64__ && LANES_BYTES == 32
	*ret = (LANES(u16))_mm256_subs_epu16((__m256i)*a, (__m256i)*b);
#elif defined __x86_64__
	*ret = (LANES(u16))_mm_subs_epu16((__m128i)*a, (__m128i)*b);
#else
	*ret = (*a - *b) & (LANES(u16))(*a > *b);
#endif
}

/* The smaller of a and b. */
LANES_INLINE void LANES(smaller_u16)(const LANES(u16) * a, LANES(u16) * b)
{
#if defined __x86_64__ && LANES_BYTES == 32
	*b = (LANES(u16))_mm256_min_epu16((__m256i)*a, (__m256i)*b);
#else
	LANES(u16) beyond;

	LANES(difference_u16)(b, a, &beyond);
	*b -= beyond;
#endif
}

/* a + b, or the largest number where that is larger. */
LANES_INLINE void LANES(add_u16)(const LANES(u16) * a, LANES(u16) * b)
{
#if defined __x86_64__ && LANES_BYTES == 32
	*b = (LANES(u16))_mm256_adds_epu16((__m256i)*a, (__m256i)*b);
#elif defined __x86_64__
	*b = (LANES(u16))_mm_adds_epu16((__m128i)*a, (__m128i)*b);
#else
	*b = *a + *b;
	*b |= (LANES(u16))(*b < *a);
#endif
}

/* Bits of the boxes of a group whose squared distance is at most the limit. */
LANES_INLINE uint32_t LANES(within)(const LANES(u16) * squares, uint16_t limit)
{
	const LANES(u16) most = (LANES(u16)){0} + limit;
	uint32_t bits = 0;

#if defined __x86_64__ && LANES_BYTES == 32
	LANES(u16) beyond;

	LANES(difference_u16)(&squares[0], &most, &beyond);
	const __m256i in = _mm256_cmpeq_epi16((__m256i)beyond, _mm256_setzero_si256());

	bits = (uint32_t)_mm_movemask_epi8(
		_mm_packs_epi16(_mm256_castsi256_si128(in), _mm256_extracti128_si256(in, 1)));
#else
	for (uint32_t i = 0; i < FNX_BOX_GROUP; i++)
		bits |= (uint32_t)(squares[i / 8][i % 8] <= most[0]) << i;
#endif
	return bits;
}

/* first + the numbers of the bits that are set in a byte, eight whatever their number. */
LANES_INLINE void LANES(put_numbers)(uint32_t byte, uint32_t first, uint32_t *ret_list)
{
#if defined __x86_64__ && LANES_BYTES == 32
	const __m256i set =
		_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)&bit_numbers[byte]));

	_mm256_storeu_si256(
		(__m256i *)ret_list, _mm256_add_epi32(set, _mm256_set1_epi32((int)first)));
#else
	for (uint32_t i = 0; i < 8; i++)
		ret_list[i] = first + (uint8_t)(bit_numbers[byte] >> 8 * i);
#endif
}

/* The same of a group, rising, and how many. */
LANES_INLINE uint32_t LANES(list_bits)(uint32_t bits, uint32_t first, uint32_t *ret_list)
{
	const uint32_t n_first = (uint32_t)__builtin_popcount(bits & 255);

	LANES(put_numbers)(bits & 255, first, ret_list);
	LANES(put_numbers)(bits >> 8, first + 8, ret_list + n_first);
	return n_first + (uint32_t)__builtin_popcount(bits >> 8);
}

/* From a box to the query one of the two differences is positive where there is a gap. Of gaps that
 * are longer than all limits it does not matter how much. */
LANES_INLINE uint32_t LANES(near_boxes_dims)(const uint16_t *boxes, uint32_t n, uint32_t n_dims,
	const uint16_t *low, const uint16_t *high, uint16_t limit, uint32_t *ret_list)
{
	const uint32_t n_parts = 32 / LANES_BYTES;
	const LANES(u16) far = (LANES(u16)){0} + FNX_BOX_GAP_MAX;
	const LANES(u16) *at = (const LANES(u16) *)boxes;
	LANES(u16) from[FNX_MARK_DIMS_MAX], to[FNX_MARK_DIMS_MAX];
	uint32_t n_near = 0;

	for (uint32_t d = 0; d < n_dims; d++) {
		from[d] = (LANES(u16)){0} + low[d];
		to[d] = (LANES(u16)){0} + high[d];
	}
	for (uint32_t first = 0; first < n; first += FNX_BOX_GROUP) {
		LANES(u16) squares[32 / LANES_BYTES] = {{0}};

#pragma GCC unroll 4
		for (uint32_t d = 0; d < n_dims; d++, at += 2 * n_parts) {
#pragma GCC unroll 2
			for (uint32_t part = 0; part < n_parts; part++) {
				LANES(u16) gap, beyond;

				LANES(difference_u16)(&at[part], &to[d], &gap);
				LANES(difference_u16)(&from[d], &at[n_parts + part], &beyond);
				gap |= beyond;
				LANES(smaller_u16)(&far, &gap);
				gap *= gap;
				LANES(add_u16)(&gap, &squares[part]);
			}
		}
		n_near += LANES(list_bits)(LANES(within)(squares, limit), first, ret_list + n_near);
	}
	return n_near;
}

LANES_TARGET static uint32_t LANES(near_boxes)(const uint16_t *boxes, uint32_t n, uint32_t n_dims,
	const uint16_t *low, const uint16_t *high, uint16_t limit, uint32_t *ret_list)
{
	return n_dims == 4 ? LANES(near_boxes_dims)(boxes, n, 4, low, high, limit, ret_list)
			   : LANES(near_boxes_dims)(boxes, n, n_dims, low, high, limit, ret_list);
}

#undef OCTET_VECTORS
#undef VECTORS_AT_ONCE
#undef LINES_AHEAD
