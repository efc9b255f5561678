/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Least-squares design of linear-phase FIR filters: the same taps as
 * scipy.signal.firls(n_taps, edges, desired, weight=weights, fs=rate).
 *
 * The taps minimise the weighted integral of the squared error between the response and a desired
 * one that is a straight line within each band; between bands anything goes. They are symmetric:
 * the delay is (n_taps - 1) / 2 samples at every frequency. Design time only: allocates what it
 * needs and frees it.
 */
#pragma once

#include <stdint.h>

/* One band: from `low_hz` to `high_hz`, where the desired gain runs from `gain_low` to `gain_high`.
 */
struct fnx_firls_band {
	double low_hz, high_hz;
	double gain_low, gain_high;
	double weight; /* 1 where all bands count alike */
};

enum {
	FNX_FIRLS_TAPS_MAX = 2047,
};

/* Writes `n_taps` taps to `ret_taps`. They agree with SciPy's to 1e-9 where the bands determine
 * them that well; where they do not (long filters with wide gaps, zero weights) small taps are
 * taken of all that do, and the two agree in what they do to the bands. Takes time as n_taps^3: 5
 * ms for 255 taps, some seconds for the most. 0; -EINVAL: n_taps even or above FNX_FIRLS_TAPS_MAX,
 * no band, bands that overlap, fall, have no width or leave 0..rate / 2, a gain or weight that is
 * negative or not finite; -ENOMEM. */
int fnx_firls(uint32_t n_taps, const struct fnx_firls_band *bands, uint32_t n_bands, double rate_hz,
	double *ret_taps);

/* The usual band-pass: gain 1 from `low_hz` to `high_hz`, 0 beyond `transition_hz` on either side.
 * Errors as fnx_firls. */
int fnx_firls_band_pass(uint32_t n_taps, double low_hz, double high_hz, double transition_hz,
	double rate_hz, double *ret_taps);

/* The usual low-pass: gain 1 up to `pass_hz`, 0 from `stop_hz`. Errors as fnx_firls. */
int fnx_firls_low_pass(
	uint32_t n_taps, double pass_hz, double stop_hz, double rate_hz, double *ret_taps);
