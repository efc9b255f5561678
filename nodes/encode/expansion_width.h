/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loops of expansion.c for one width of vectors, 16 or 32 bytes: eight sums side by side, added
 * up in one order, whatever the width.
 */
#include "nodes/encode/expansion.h"
#include "nodes/host/lanes_width.h"

#define OCTET_VECTORS (32 / LANES_BYTES)
/* Sets of coefficients that one look at the terms is for. */
#define SETS_AT_ONCE 4

/* ret[first .. end - 1] += the products of these octets. */
LANES_TARGET static void LANES(add_products)(const struct fnx_expansion *expansion, uint32_t first,
	uint32_t end, const float *outer, const float *inner, float *ret)
{
	LANES(f32) *to = (LANES(f32) *)ret;

	for (uint32_t i = first; i < end; i++) {
		const LANES(f32) scale = (LANES(f32)){0} + outer[expansion->octets[i][0]];
		const LANES(f32) *from =
			(const LANES(f32) *)inner + expansion->octets[i][1] * OCTET_VECTORS;

#pragma GCC unroll 2
		for (uint32_t k = 0; k < OCTET_VECTORS; k++)
			LANES(fuse)(&scale, &from[k], &to[(i - first) * OCTET_VECTORS + k]);
	}
}

/* The same of the first ones, to doubles. */
LANES_TARGET static void LANES(add_wide)(const struct fnx_expansion *expansion, uint32_t n_octets,
	const float *outer, const float *inner, double *ret)
{
	for (uint32_t i = 0; i < n_octets; i++) {
		const float scale = outer[expansion->octets[i][0]];
		const float *from = inner + 8 * expansion->octets[i][1];

		for (uint32_t k = 0; k < 8; k++)
			ret[8 * i + k] += (double)(scale * from[k]);
	}
}

LANES_INLINE double LANES(sum_octet)(const LANES(f32) * vectors)
{
	const float *v = (const float *)vectors;

	return (((double)v[0] + (double)v[1]) + ((double)v[2] + (double)v[3])) +
		(((double)v[4] + (double)v[5]) + ((double)v[6] + (double)v[7]));
}

/* All octets of the doubles of a set. */
LANES_INLINE double LANES(sum_wide)(uint32_t n_octets, const float *terms, const double *set)
{
	double v[8] = {0};

	for (uint32_t i = 0; i < n_octets; i++)
		for (uint32_t k = 0; k < 8; k++)
			v[k] += set[8 * i + k] * (double)terms[8 * i + k];
	return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* All octets of the floats of each set. */
LANES_INLINE void LANES(sum_octets)(uint32_t n_octets, size_t stride, uint32_t n_sets,
	const float *terms, const void *sets, double *ret_sums)
{
	const LANES(f32) *at = (const LANES(f32) *)sets, *term = (const LANES(f32) *)terms;
	LANES(f32) sums[SETS_AT_ONCE * OCTET_VECTORS] = {{0}};

	for (size_t i = 0; i < (size_t)n_octets * OCTET_VECTORS; i += OCTET_VECTORS)
#pragma GCC unroll 8
		for (uint32_t k = 0; k < n_sets * OCTET_VECTORS; k++)
			LANES(fuse)
	(&term[i + k % OCTET_VECTORS], &at[k / OCTET_VECTORS * stride + i + k % OCTET_VECTORS],
		&sums[k]);
#pragma GCC unroll 4
	for (uint32_t k = 0; k < n_sets; k++)
		ret_sums[k] = LANES(sum_octet)(sums + (size_t)k * OCTET_VECTORS);
}

/* The squares of octets first .. end - 1 of the floats of a set, which are in the cache by now. */
LANES_INLINE double LANES(square_octets)(uint32_t first, uint32_t end, const float *floats)
{
	const LANES(f32) *at = (const LANES(f32) *)floats;
	LANES(f32) sums[OCTET_VECTORS] = {{0}};

	for (size_t i = first; i < end; i++)
		for (uint32_t k = 0; k < OCTET_VECTORS; k++)
			LANES(fuse)
	(&at[i * OCTET_VECTORS + k], &at[i * OCTET_VECTORS + k], &sums[k]);
	return LANES(sum_octet)(sums);
}

LANES_INLINE void LANES(sum_sets)(const struct fnx_expansion *expansion, uint32_t n_sets,
	const float *terms, const char *sets, double *ret_sums, double *ret_squares)
{
	const uint32_t n = expansion->n_octets, n_wide = expansion->n_wide;
	const uint32_t n_far =
		expansion->n_of_level[1] > n_wide ? expansion->n_of_level[1] : n_wide;
	const char *floats = sets + n_wide * 8 * sizeof(double);

	LANES(sum_octets)
	(n - n_wide, expansion->set_size / LANES_BYTES, n_sets, terms + 8 * n_wide, floats,
		ret_sums);
	for (uint32_t k = 0; k < n_sets; k++) {
		const size_t at = (size_t)k * expansion->set_size;

		ret_sums[k] += LANES(sum_wide)(n_wide, terms, (const double *)(sets + at));
		ret_squares[k] = LANES(square_octets)(
			n_far - n_wide, n - n_wide, (const float *)(floats + at));
		/* Of one and two dimensions the last level is among the doubles. */
		for (uint32_t i = 8 * expansion->n_of_level[1]; i < 8 * n_wide; i++)
			ret_squares[k] +=
				((const double *)(sets + at))[i] * ((const double *)(sets + at))[i];
	}
}

LANES_TARGET static void LANES(sum_all)(const struct fnx_expansion *expansion, uint32_t n,
	const float *terms, const void *sets, double *ret_sums, double *ret_squares)
{
	const char *at = sets;
	uint32_t k = 0;

	for (; k + SETS_AT_ONCE <= n; k += SETS_AT_ONCE)
		LANES(sum_sets)
	(expansion, SETS_AT_ONCE, terms, at + (size_t)k * expansion->set_size, ret_sums + k,
		ret_squares + k);
	for (; k < n; k++)
		LANES(sum_sets)
	(expansion, 1, terms, at + (size_t)k * expansion->set_size, ret_sums + k, ret_squares + k);
}

#undef OCTET_VECTORS
#undef SETS_AT_ONCE
