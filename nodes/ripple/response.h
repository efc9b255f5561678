/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a filter does at one frequency: gain, phase and the delay it costs. For those who set up a
 * rig and want to know what a choice of filter does to their latency. Never on the frame path.
 */
#pragma once

#include <stdint.h>

/* One second-order section: y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]. */
struct fnx_section {
	double b0, b1, b2;
	double a1, a2; /* a0 is 1 */
};

struct fnx_response {
	double gain; /* magnitude, 1 = unchanged */
	double phase_rad; /* -pi..pi */
	double delay_samples; /* group delay; NAN where the filter lets nothing through */
};

/* Sections in series at `frequency_hz` (0 to rate_hz / 2). */
struct fnx_response fnx_sections_response(const struct fnx_section *sections, uint32_t n_sections,
	double rate_hz, double frequency_hz);

/* FIR taps, newest sample first. */
struct fnx_response fnx_taps_response(
	const double *taps, uint32_t n_taps, double rate_hz, double frequency_hz);
