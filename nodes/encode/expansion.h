/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Local expansions: within a cube of mark space, what any number of Gaussian kernels add up to is a
 * polynomial of some 900 terms, to about 1e-7 of it. Its coefficients are sums over the marks, so a
 * mark is put in or taken out at any time, and what a spike costs does not depend on how many there
 * are. (L. Greengard, J. Strain: The fast Gauss transform, SIAM J. Sci. Stat. Comput. 12, 1991,
 * has the idea; here terms are products of Chebyshev polynomials, and far fewer.)
 *
 * Cubes have edges of 1.2 kernel deviations. Of one dimension of a kernel the expansion is its
 * interpolation at the eight Chebyshev points of the edge, T_0 to T_7. Of their products those are
 * left out that cannot be large: the coefficients of T_k fall like (0.3)^k / sqrt(k!), and the
 * product of these bounds is at least some e^-15 for what is kept.
 *
 * Terms come in octets: one product of the last two dimensions' polynomials ("outer") times eight
 * of the first two's ("inner"), which are a list sorted by bound, eights of it. Octets are sorted
 * by bound, too. So the terms of a smaller budget come first; and as the coefficients of a kernel
 * at a distance r fall by e^(-r^2 / 4) at least (Cramer's bound of Hermite functions), of one that
 * is far they will do.
 *
 * A set of coefficients is those of the first FNX_EXPANSION_WIDE_OCTETS octets, which are the
 * largest, as doubles, then the others as floats: to a float that has grown to thousands a far mark
 * adds nothing, and that would be wrong by 1e-6 after a million of them.
 *
 * Arithmetic on plain memory, none taken; any thread; real-time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/host/lanes.h"
#include "nodes/host/limits.h"

enum {
	FNX_EXPANSION_DEGREES = 8,
	FNX_EXPANSION_PAIRS = FNX_EXPANSION_DEGREES * FNX_EXPANSION_DEGREES,
	FNX_EXPANSION_OCTETS_MAX = 128,
	FNX_EXPANSION_LEVELS = 8,
	FNX_EXPANSION_WIDE_OCTETS = 8,
};

#define FNX_EXPANSION_HALF_EDGE 0.6 /* kernel deviations */

/* Which terms there are, for a number of dimensions. */
struct fnx_expansion {
	enum fnx_processor processor; /* whose vectors are used; at most fnx_processor() */
	uint32_t n_dims, n_octets, n_terms; /* 8 n_octets */
	uint32_t n_outer, n_inner; /* that octets have */
	uint32_t n_wide; /* octets whose coefficients are doubles, the others' are floats */
	uint32_t set_size; /* bytes of a set of coefficients, a multiple of 32 */
	/* Octets that a kernel has at the least, from near to far. */
	uint32_t n_of_level[FNX_EXPANSION_LEVELS];
	uint8_t outer[FNX_EXPANSION_PAIRS][2], inner[FNX_EXPANSION_PAIRS][2]; /* degrees */
	uint8_t octets[FNX_EXPANSION_OCTETS_MAX][2]; /* outer one, eight of inner ones */
	double points[FNX_EXPANSION_DEGREES]; /* of the edge, -1 .. 1 */
	double weights[FNX_EXPANSION_DEGREES][FNX_EXPANSION_DEGREES]; /* [point][degree] */
};

/* n_dims 1 .. FNX_EXPANSION_DIMS_MAX. */
void fnx_expansion_init(struct fnx_expansion *expansion, uint32_t n_dims);

/* One dimension of a kernel that lies `offset` kernel deviations above the cube's centre: the
 * coefficients of T_0 to T_7. */
void fnx_expansion_factors(const struct fnx_expansion *expansion, double offset,
	float ret_factors[FNX_EXPANSION_DEGREES]);

/* Puts a kernel in (sign 1) or takes it out (-1): a set of coefficients, 32-byte aligned; one row
 * of factors for each dimension; `square`: its squared distance from the centre, which must be the
 * same when it is taken out. */
void fnx_expansion_add(const struct fnx_expansion *expansion,
	const float *const factors[FNX_EXPANSION_DIMS_MAX], double square, float sign,
	void *coefficients);
/* Has the processor fetch what that will change. */
void fnx_expansion_fetch(
	const struct fnx_expansion *expansion, double square, const void *coefficients);

/*
 * The sums at a point of the cube, of n sets of coefficients, one after the other; `point` [n_dims]
 * in half edges from the centre, -1 .. 1; `terms` [n_terms], 64-byte aligned, and `work` [n] are
 * scratch. true: each is within 1.5e-6 of all sums together, if whatever kernels cluster about
 * scatters them by 0.3 kernel deviations or more: of 1.5 million sums of crowds made to be bad, two
 * thirds of them at corners, 18 were beyond 1e-6, the largest 1.29e-6. (With clusters of down to 0.02
 * 1.76e-6.) This is no proof: of one kernel the expansion is off by 4e-6 of its peak at the worst,
 * which many make up for. false: they may not be, since there are few kernels, or the sum is small beside that
 * elsewhere in the cube, or the terms next to those left out are large.
 */
bool fnx_expansion_sums(const struct fnx_expansion *expansion, const double *point, uint32_t n,
	const void *coefficients, float *terms, double *work, double *ret_sums);
