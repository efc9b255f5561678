/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Analogue prototype, moved to the band, then to the z plane by the bilinear transform with both
 * edges pre-warped. All of it on poles in closed form: polynomials of the whole filter would lose
 * half the digits at order 8.
 *
 * A band-pass of order n has 2n poles, n zeros at z = 1 and n at z = -1. Each section takes the
 * pole pair nearest to the unit circle and the two zeros nearest to it, and the last section is
 * filled first. So a section's numerator is one of 1 +- 2 z^-1 + z^-2 and 1 - z^-2.
 */
#include "nodes/ripple/butterworth.h"

#include <complex.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>

/* The transform's own rate: any will do, this is SciPy's (fs = 2, times 2). */
static const double transform_rate = 4;
static const double real_tolerance = 100 * DBL_EPSILON;
static const double tie_tolerance = 1e-13;

struct poles {
	/* Of each conjugate pair the one above the real axis; and the real ones. */
	double complex pole[2 * FNX_BUTTERWORTH_ORDER_MAX];
	uint32_t n;
};

static double warp(double frequency_hz, double rate_hz)
{
	return transform_rate * tan(M_PI * frequency_hz / rate_hz);
}

static void add_pole(struct poles *poles, double complex pole)
{
	if (fabs(cimag(pole)) <= real_tolerance * cabs(pole))
		poles->pole[poles->n++] = creal(pole);
	else if (cimag(pole) > 0)
		poles->pole[poles->n++] = pole;
}

/* The poles, and the gain of the filter whose numerator is (1 - z^-2)^order. */
static double place_poles(uint32_t order, double low, double high, struct poles *poles)
{
	double width = high - low, centre_squared = low * high;
	double complex product = 1;

	poles->n = 0;
	for (uint32_t i = 0; i < order; i++) {
		int m = 2 * (int)i + 1 - (int)order;
		double complex prototype = m ? -cexp(CMPLX(0, M_PI * m / (2.0 * order))) : -1;
		double complex half = prototype * (width / 2);
		double complex root = csqrt(half * half - centre_squared);

		for (int sign = 1; sign >= -1; sign -= 2) {
			double complex analogue = half + sign * root;

			add_pole(poles, (transform_rate + analogue) / (transform_rate - analogue));
			product *= transform_rate - analogue;
		}
	}
	return pow(width * transform_rate, order) / creal(product);
}

static bool is_real(double complex pole)
{
	return cimag(pole) == 0;
}

/* Of two poles: does `a` take its section before `b`? */
static bool goes_first(double complex a, double complex b)
{
	double distance_a = fabs(1 - cabs(a)), distance_b = fabs(1 - cabs(b));

	if (fabs(distance_a - distance_b) <= tie_tolerance)
		return is_real(a) == is_real(b) ? creal(a) < creal(b) : is_real(b);
	return distance_a < distance_b;
}

static double complex take_pole(struct poles *poles, bool only_real)
{
	uint32_t best = UINT32_MAX;
	double complex pole;

	for (uint32_t i = 0; i < poles->n; i++) {
		if (only_real && !is_real(poles->pole[i]))
			continue;
		if (best == UINT32_MAX || goes_first(poles->pole[i], poles->pole[best]))
			best = i;
	}
	pole = poles->pole[best];
	poles->pole[best] = poles->pole[--poles->n];
	return pole;
}

/* The zero (1 or -1) nearest to `pole` of those left. */
static double take_zero(double complex pole, uint32_t *n_plus, uint32_t *n_minus)
{
	if (*n_minus == 0 || (*n_plus > 0 && creal(pole) > 0)) {
		--*n_plus;
		return 1;
	}
	--*n_minus;
	return -1;
}

static struct fnx_section make_section(
	double complex p1, double complex p2, double zero1, double zero2)
{
	return (struct fnx_section){
		.b0 = 1,
		.b1 = -(zero1 + zero2),
		.b2 = zero1 * zero2,
		.a1 = -creal(p1 + p2),
		.a2 = creal(p1 * p2),
	};
}

int fnx_butterworth_band_pass(uint32_t order, double low_hz, double high_hz, double rate_hz,
	struct fnx_section ret_sections[FNX_BUTTERWORTH_ORDER_MAX])
{
	uint32_t n_plus = order, n_minus = order;
	struct poles poles;
	double gain;

	if (order < 1 || order > FNX_BUTTERWORTH_ORDER_MAX)
		return -EINVAL;
	if (!(low_hz > 0) || !(low_hz < high_hz) || !(high_hz < rate_hz / 2) || !isfinite(rate_hz))
		return -EINVAL;
	gain = place_poles(order, warp(low_hz, rate_hz), warp(high_hz, rate_hz), &poles);
	for (uint32_t s = order; s-- > 0;) {
		double complex p1 = take_pole(&poles, false);
		double complex p2 = is_real(p1) ? take_pole(&poles, true) : conj(p1);
		double zero1 = take_zero(p1, &n_plus, &n_minus);
		double zero2 = take_zero(p1, &n_plus, &n_minus);

		ret_sections[s] = make_section(p1, p2, zero1, zero2);
	}
	ret_sections[0].b0 *= gain;
	ret_sections[0].b1 *= gain;
	ret_sections[0].b2 *= gain;
	return 0;
}
