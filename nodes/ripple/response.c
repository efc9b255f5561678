/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The group delay of a polynomial P(z) = sum p_k z^-k is Re(sum k p_k z^-k / P(z)): exact, where a
 * difference of phases would need unwrapping. Delays of factors add, those of denominators
 * subtract.
 */
#include "nodes/ripple/response.h"

#include <complex.h>
#include <math.h>

/* Below this share of the sum of |p_k| the value is rounding error: a zero on the unit circle. */
static const double zero_share = 1e-12;

struct value {
	double complex sum;
	double delay_samples;
};

static struct value evaluate(const double *p, uint32_t n, double omega)
{
	double complex sum = 0, ramp = 0;
	double size = 0;

	for (uint32_t k = 0; k < n; k++) {
		double complex term = p[k] * cexp(CMPLX(0, -omega * k));

		sum += term;
		ramp += k * term;
		size += fabs(p[k]);
	}
	if (cabs(sum) <= zero_share * size)
		return (struct value){0, NAN};
	return (struct value){sum, creal(ramp / sum)};
}

static struct fnx_response response_from(double complex sum, double delay_samples)
{
	return (struct fnx_response){
		.gain = cabs(sum), .phase_rad = carg(sum), .delay_samples = delay_samples};
}

struct fnx_response fnx_sections_response(const struct fnx_section *sections, uint32_t n_sections,
	double rate_hz, double frequency_hz)
{
	double omega = 2 * M_PI * frequency_hz / rate_hz;
	double complex product = 1;
	double delay_samples = 0;

	for (uint32_t s = 0; s < n_sections; s++) {
		const struct fnx_section *section = &sections[s];
		double b[3] = {section->b0, section->b1, section->b2};
		double a[3] = {1, section->a1, section->a2};
		struct value zeros = evaluate(b, 3, omega), poles = evaluate(a, 3, omega);

		product *= zeros.sum / poles.sum;
		delay_samples += zeros.delay_samples - poles.delay_samples;
	}
	return response_from(product, delay_samples);
}

struct fnx_response fnx_taps_response(
	const double *taps, uint32_t n_taps, double rate_hz, double frequency_hz)
{
	struct value value = evaluate(taps, n_taps, 2 * M_PI * frequency_hz / rate_hz);

	return response_from(value.sum, value.delay_samples);
}
