/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mark: what a spike looked like, as one amplitude per channel of its electrode group, all taken
 * at the sample where the largest channel peaks.
 *
 * Pure arithmetic, any thread, real-time, no memory of its own.
 */
#pragma once

#include <stdint.h>

enum {
	FNX_MARK_DIMS_MAX = 32
};

struct fnx_mark_config {
	uint32_t n_channels; /* 1..FNX_MARK_DIMS_MAX; dimensions of the mark */
	uint32_t neighbours; /* d: with more than 2d + 1 channels only those within d keep their
				value */
	uint32_t dead_channels; /* bit c set: channel c counts as 0 throughout */
	double amplitude_uv; /* a spike counts only if its mark's largest value is above this */
};

enum fnx_mark_answer {
	FNX_MARK_ACCEPTED = 0,
	FNX_MARK_BELOW = 1, /* not above the amplitude threshold: no spike for us */
	FNX_MARK_BROKEN = 2, /* infinite or NaN where the mark would be taken */
};

/*
 * Mark of `waveform` in microvolts, ret_mark [n_channels]. Row c of the waveform begins at
 * waveform[c * row_stride] and has n_points >= 1 values; a value in microvolts is (double)count *
 * uv_per_count. The peak sample is where the channel with the highest peak peaks, the first of
 * equals; dead channels are 0. With more than 2d + 1 channels only those within d of the channel
 * that is largest in absolute value at the peak sample keep their value, the others become 0.
 * -EINVAL: no points, too many channels, a stride shorter than a row. ret_mark is written only when
 * the answer is FNX_MARK_ACCEPTED.
 */
int fnx_mark_from_waveform(const struct fnx_mark_config *config, const float *waveform,
	uint32_t row_stride, uint32_t n_points, double uv_per_count, double *ret_mark);
