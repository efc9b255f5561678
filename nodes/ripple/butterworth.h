/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Butterworth band-pass design: the same sections in the same order, with the gain in the first, as
 * scipy.signal.iirfilter(order, [low, high], btype="bandpass", ftype="butter", output="sos",
 * fs=rate).
 *
 * Sections run from the poles farthest inside the unit circle to those nearest to it. Where two
 * pairs of poles lie equally near (a band that is symmetric about a quarter of the rate), the one
 * of higher frequency comes last; SciPy leaves that to rounding. The filter as a whole is the same.
 */
#pragma once

#include "nodes/ripple/response.h"

enum {
	FNX_BUTTERWORTH_ORDER_MAX = 8
};

/* Designs a band-pass of `order` (1..8), -3 dB at `low_hz` and `high_hz`. It has as many sections
 * as its order, written to `ret_sections`. 0; -EINVAL unless 1 <= order <= 8 and 0 < low < high <
 * rate / 2. */
int fnx_butterworth_band_pass(uint32_t order, double low_hz, double high_hz, double rate_hz,
	struct fnx_section ret_sections[FNX_BUTTERWORTH_ORDER_MAX]);
