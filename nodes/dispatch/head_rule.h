/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Head direction: does the animal at the centre well keep looking at another well?
 *
 * Per position sample the angle of the head is that of the line from the first LED to the second,
 * in degrees, anticlockwise from the camera's x axis with y taken upwards (the camera counts it
 * downwards). The rule is true when, over the latest `n_points` samples,
 *
 *	all angles lie within steady_deg, from one side to the other
 *	the latest is within well_range_deg of the direction from the animal to the well
 *	the animal (middle of the LEDs) is within max_centre_distance_cm of the centre well
 *
 * A sample in which the animal was not seen, or both LEDs are one point, begins the row anew.
 * Angles are compared around the circle. With `parity` they are compared as numbers from -180 to
 * 180, and the animal's y in the direction to the well is that of the second LED, as the ancestor
 * has it. Pure arithmetic; time is the count of samples.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	FNX_HEAD_POINTS_MAX = 4096
};

/* What may change while the rule is in use. */
struct fnx_head_params {
	double well_range_deg, steady_deg; /* 0..360 */
	double max_centre_distance_cm; /* 0: anywhere */
};

struct fnx_journal;

struct fnx_head_config {
	double well[2], centre[2]; /* camera units */
	double scale; /* camera units to cm */
	uint32_t n_points; /* 1..FNX_HEAD_POINTS_MAX */
	int rotate_180;
	int parity;
	struct fnx_head_params params;
	/* As in replay.h. */
	void *memory;
	int resumed;
	struct fnx_journal *journal;
};

/* One position sample. */
struct fnx_head_sample {
	double x, y, x2, y2; /* of the LEDs, camera units */
	int tracked;
};

struct fnx_head_evidence {
	double angle_deg; /* NAN: none */
	int rose; /* the rule was not true at the sample before */
};

struct fnx_head_rule;

/* 0: a number is out of range. */
size_t fnx_head_memory_size(const struct fnx_head_config *config);
/* -EINVAL: a number out of range; -ENOMEM; -EBADMSG: resumed, and this can have been no such row.
 * Not real-time. */
int fnx_head_new(const struct fnx_head_config *config, struct fnx_head_rule **ret_rule);
struct fnx_head_rule *fnx_head_free(struct fnx_head_rule *rule);
/* -EINVAL: out of range, nothing changed. Between two samples. Real-time. */
int fnx_head_set(struct fnx_head_rule *rule, const struct fnx_head_params *params);
/* The row of samples is broken. Real-time. */
void fnx_head_reset(struct fnx_head_rule *rule);
/* 1: the rule is true; 0: it is not. Real-time: O(n_points). */
int fnx_head_step(struct fnx_head_rule *rule, const struct fnx_head_sample *sample,
	struct fnx_head_evidence *ret_evidence);
