/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gate: whether what a decision rests on is fresh enough to act upon. The last thing asked before
 * an actuator is told, and the only thing in dispatch that looks at the wall clock.
 *
 * It holds back, it never lets anything through that the safety book (safety.h) does not. What it
 * holds back counts as done there, so that live and replayed sessions decide alike in sample time.
 *
 * Closed, in this order, while
 *
 *	FLAGGED	the frame was made from late or incomplete input, a gap was met, or one of both
 *		less than `blanking_samples` ago
 *	STALLED	nothing came for `stall_ns`, less than `blanking_samples` ago; or the source has
 *		not kept a steady pace for a second since the start, since time jumped back, or
 *		since it was told to begin anew
 *	STALE	the frame's age is over `max_age_ns`
 *
 * The age is the greater of two: the time since the sample entered this machine (ingress), and how
 * far its sample time lags behind where the source was at its best. The latter is what tells a
 * source that stood still and now makes up for it, frame by frame each just arrived:
 *
 *	lag = now - (sample_time * ns_per_sample + base), base = least of now - sample_time *
 *	ns_per_sample so far, raised by 200 ppm of the time that passes since clocks drift apart
 *
 * A source that was restarted and never makes up for the time lost therefore keeps the gate closed
 * until somebody arms anew (fnx_gate_anew): whether that is old data or a new schedule a person
 * must say. Where sessions have no pace (speed 0) ages mean nothing: only FLAGGED is left.
 *
 * Pure arithmetic, one thread, [frame].
 */
#pragma once

#include <stdint.h>

struct fnx_gate_config {
	double ns_per_sample; /* at the session's pace; 0: it has none */
	int64_t max_age_ns; /* 0: any age */
	int64_t stall_ns; /* 0: no STALLED */
	int64_t blanking_samples;
};

struct fnx_gate {
	struct fnx_gate_config config;
	int begun, settled;
	int64_t last_ns, last_sample; /* that passed */
	int64_t from_ns, from_sample; /* where it began to look for a steady pace */
	double base_ns;
	int64_t flagged_until, stalled_until; /* sample times */
};

void fnx_gate_init(struct fnx_gate *gate, const struct fnx_gate_config *config);
/* Forgets the pace. */
void fnx_gate_anew(struct fnx_gate *gate);
/* The session has come to `sample_time` at `now_ns`. For every frame and every passing of time, in
 * order, before it is asked. */
void fnx_gate_pass(struct fnx_gate *gate, int64_t sample_time, int64_t now_ns);
/* A frame of `sample_time` was flagged, or frames before it are missing. */
void fnx_gate_flag(struct fnx_gate *gate, int64_t sample_time);
/* May something be done about a frame of `sample_time` that entered at `ingress_ns` (0: unknown,
 * then it is as old as can be)? 0, or enum fnx_decision_outcome. */
int fnx_gate_ask(const struct fnx_gate *gate, int64_t sample_time, int64_t ingress_ns,
	int64_t now_ns, int64_t *ret_age_ns);
