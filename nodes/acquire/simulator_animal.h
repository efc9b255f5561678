/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated animal: where it is, how fast it runs, and when it has a ripple.
 *
 *	rest at the start of arm 0 ──► run to the end of an outer arm ──► rest ──► run back ──► ...
 *
 * Outer arms come in random order, each equally often. A track of one arm is run to and fro. At
 * rest there are ripples; in each a stretch of an outer arm is swept through twenty times as fast
 * as the animal runs, outwards or inwards, in any case including the arm's far end.
 *
 * A step function on a clock of ticks (1 ms); ripples begin and end at ticks. No allocation,
 * real-time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodes/acquire/simulator_random.h"
#include "nodes/host/track.h"

struct fnx_sim_animal_config {
	const struct fnx_track *track; /* must outlive the animal */
	uint64_t seed;
	double clock_hz; /* of the sample times */
	double running_speed_cm_s;
	double rest_s;
	double ripple_rate_hz; /* per second of rest */
	double replay_after_s; /* ripples before that carry no replay */
};

/* A ripple, from `start` up to `end`, samples. */
struct fnx_sim_ripple {
	bool active;
	int64_t start, end;
	double frequency_hz;
	double size; /* about 1 */
	int32_t arm; /* that is replayed, -1: none */
	double from, to; /* 0..1 along it */
};

struct fnx_sim_animal {
	struct fnx_sim_animal_config config;
	struct fnx_sim_random random;
	uint32_t tick_samples;
	int64_t now; /* sample time of the current tick */
	/* The way from the start of arm 0 to the end of outer arm `arm`, and where the animal is on
	 * it. */
	uint32_t arm;
	double at_cm;
	double speed_cm_s;
	double pace; /* slow change of the running speed, deviation 1 */
	int32_t direction; /* 1 outwards, -1 back */
	bool resting;
	double rest_left_s;
	double rested_s; /* since it stopped */
	double ripple_in_s; /* of rest */
	struct fnx_sim_ripple ripple;
	/* Outer arms still to be visited and to be replayed before all come again. */
	struct fnx_sim_bag {
		uint32_t order[FNX_TRACK_ARMS_MAX];
		uint32_t n_left;
	} visits, replays;
};

/* At rest at the start of arm 0, at sample time 0. Values must have been checked. */
void fnx_sim_animal_init(struct fnx_sim_animal *animal, const struct fnx_sim_animal_config *config);

/* One tick on. */
void fnx_sim_animal_step(struct fnx_sim_animal *animal);

/* Where it is at `time`, within the current tick. */
struct fnx_place fnx_sim_animal_place(const struct fnx_sim_animal *animal, int64_t time);

/* What is replayed at `time`, within the current tick; bin -1: nothing. */
struct fnx_place fnx_sim_animal_replay(const struct fnx_sim_animal *animal, int64_t time);
