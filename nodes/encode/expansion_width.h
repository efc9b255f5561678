/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loops of expansion.c for one width of vectors, 16 or 32 bytes: eight sums side by side, added
 * up in one order, whatever the width.
 */
#include "nodes/host/lanes_width.h"

#define OCTET_VECTORS (32 / LANES_BYTES)
/* Sets of coefficients that one look at the terms is for. */
#define SETS_AT_ONCE 4

/* ret += the products of the first so many octets. */
LANES_TARGET static void LANES(add_products)(const struct fnx_expansion *expansion,
	uint32_t n_octets, const float *outer, const float *inner, float *ret)
{
	LANES(f32) *to = (LANES(f32) *)ret;

	for (uint32_t i = 0; i < n_octets; i++) {
		const LANES(f32) scale = (LANES(f32)){0} + outer[expansion->octets[i][0]];
		const LANES(f32) *from =
			(const LANES(f32) *)inner + expansion->octets[i][1] * OCTET_VECTORS;

#pragma GCC unroll 2
		for (uint32_t k = 0; k < OCTET_VECTORS; k++)
			LANES(fuse)(&scale, &from[k], &to[i * OCTET_VECTORS + k]);
	}
}

LANES_INLINE double LANES(sum_octet)(const LANES(f32) * vectors)
{
	const float *v = (const float *)vectors;

	return (((double)v[0] + (double)v[1]) + ((double)v[2] + (double)v[3])) +
		(((double)v[4] + (double)v[5]) + ((double)v[6] + (double)v[7]));
}

/* Octets first .. end - 1 of each set. */
LANES_INLINE void LANES(sum_octets)(uint32_t first, uint32_t end, size_t n_terms, uint32_t n_sets,
	const float *terms, const float *sets, double *ret_sums)
{
	const size_t stride = n_terms / 8 * OCTET_VECTORS;
	const LANES(f32) *at = (const LANES(f32) *)sets, *term = (const LANES(f32) *)terms;
	LANES(f32) sums[SETS_AT_ONCE * OCTET_VECTORS] = {{0}};

	for (size_t i = (size_t)first * OCTET_VECTORS; i < (size_t)end * OCTET_VECTORS;
		i += OCTET_VECTORS)
#pragma GCC unroll 8
		for (uint32_t k = 0; k < n_sets * OCTET_VECTORS; k++)
			LANES(fuse)
	(&term[i + k % OCTET_VECTORS], &at[k / OCTET_VECTORS * stride + i + k % OCTET_VECTORS],
		&sums[k]);
#pragma GCC unroll 4
	for (uint32_t k = 0; k < n_sets; k++)
		ret_sums[k] = LANES(sum_octet)(sums + (size_t)k * OCTET_VECTORS);
}

LANES_INLINE void LANES(sum_sets)(const struct fnx_expansion *expansion, uint32_t n_sets,
	const float *terms, const float *sets, double *ret_sums, double *ret_last)
{
	const uint32_t n_first = expansion->n_of_level[1];

	LANES(sum_octets)(0, n_first, expansion->n_terms, n_sets, terms, sets, ret_sums);
	LANES(sum_octets)
	(n_first, expansion->n_octets, expansion->n_terms, n_sets, terms, sets, ret_last);
	for (uint32_t k = 0; k < n_sets; k++)
		ret_sums[k] += ret_last[k];
}

LANES_TARGET static void LANES(sum_all)(const struct fnx_expansion *expansion, uint32_t n,
	const float *terms, const float *sets, double *ret_sums, double *ret_last)
{
	uint32_t k = 0;

	for (; k + SETS_AT_ONCE <= n; k += SETS_AT_ONCE)
		LANES(sum_sets)
	(expansion, SETS_AT_ONCE, terms, sets + (size_t)k * expansion->n_terms, ret_sums + k,
		ret_last + k);
	for (; k < n; k++)
		LANES(sum_sets)
	(expansion, 1, terms, sets + (size_t)k * expansion->n_terms, ret_sums + k, ret_last + k);
}

#undef OCTET_VECTORS
#undef SETS_AT_ONCE
