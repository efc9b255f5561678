/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kinematics: from the two LEDs of a tracking camera to the animal's smoothed position and speed.
 *
 * The mid-point of the LEDs is scaled to cm and smoothed by a FIR filter, newest tap first; speed
 * is the way between two smoothed positions over the time between them.
 *
 * What a camera does wrong is made good here: while both LEDs are lost the last position and speed
 * are held, and said to be held; with one LED lost the mid-point is taken to lie where it lay from
 * the other. Missing samples are filled by a straight line as soon as tracking is back, so that
 * filter and speed go by the time that has passed.
 *
 * In parity mode it is the ancestor's arithmetic, quirks included: every sample counts as 1 /
 * rate_hz, scale and filter work only on a coordinate that is smoothed, the filter starts from
 * zeros, and the very first sample comes back unscaled and stays the last position (so that the
 * second speed has no meaning).
 *
 * Arithmetic on its own memory, no allocation, no errors after init; one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	FNX_KINEMATICS_TAPS_MAX = 64
};

struct fnx_kinematics_config {
	double taps[FNX_KINEMATICS_TAPS_MAX]; /* newest first; outside parity they sum to 1 */
	uint32_t n_taps; /* 1.. */
	double scale; /* camera units to cm */
	double rate_hz; /* of position samples */
	double clock_hz; /* of the sample times */
	bool smooth_x;
	bool smooth_y;
	bool smooth_speed; /* the same taps over the speed */
	bool parity;
};

struct fnx_kinematics_out {
	double x, y; /* cm, smoothed; never NAN outside parity */
	double speed; /* cm/s */
	bool tracked; /* false: nothing was seen, the values are those of the last sample that was
		       */
};

/* A FIR filter over the last n_taps values. */
struct fnx_kinematics_fir {
	double values[FNX_KINEMATICS_TAPS_MAX]; /* newest first */
};

struct fnx_kinematics {
	struct fnx_kinematics_config config;
	struct fnx_kinematics_fir fir_x, fir_y, fir_speed;
	bool begun; /* a position has been seen */
	int64_t last_time; /* sample time of the last position seen */
	double mid_x, mid_y; /* mid-point of the LEDs in that sample, camera units */
	double half_x, half_y; /* from the mid-point to the first LED, camera units */
	struct fnx_kinematics_out last;
};

/* -EINVAL: no taps or too many, a number that is not finite, a scale or rate not above zero, taps
 * that do not sum to 1 within 0.001 (parity takes any). Not real-time. */
int fnx_kinematics_init(
	struct fnx_kinematics *kinematics, const struct fnx_kinematics_config *config);

/*
 * One position sample: both LEDs in camera units (the same twice where there is only one), NAN
 * where lost, at `sample_time` of the acquisition clock. Before anything has been seen the position
 * is 0, 0 and not tracked. A sample at the time of the last one changes nothing; time that runs
 * backwards begins anew. Frame path, O(n_taps).
 */
void fnx_kinematics_step(struct fnx_kinematics *kinematics, int64_t sample_time, double x, double y,
	double x2, double y2, struct fnx_kinematics_out *ret_out);
