/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Position is one number, the way from the start of arm 0 through the junction to the end of the
 * arm that is being visited, so that running knows nothing of arms.
 *
 * Ripples are a renewal process in the time spent at rest, a least interval plus an exponential
 * one, and the animal waits for a ripple to end before it leaves: their number per second of rest
 * comes out as asked, however short the rests are.
 */
#include "nodes/acquire/simulator_animal.h"

#include <math.h>

static const double TICKS_HZ = 1000.0;
static const double ACCELERATION_CM_S2 = 200.0;
static const double CREEP_CM_S = 1.0; /* so that the end is reached */
static const double ARRIVED_CM = 0.01;
static const double PACE_CHANGE_S = 1.0;
static const double PACE_DEVIATION = 0.15;
/* Speed as tracked and smoothed lags behind; ripples come when that has settled too. */
static const double SETTLED_S = 0.3;
static const double RIPPLE_INTERVAL_MIN_S = 0.25;
static const double RIPPLE_MIN_S = 0.06, RIPPLE_MAX_S = 0.12;
static const double RIPPLE_MIN_HZ = 170.0, RIPPLE_MAX_HZ = 190.0;
static const double REPLAY_COMPRESSION = 20.0;

/* Next outer arm; a track of one arm has only that. */
static uint32_t take_arm(
	struct fnx_sim_bag *bag, struct fnx_sim_random *random, const struct fnx_track *track)
{
	const uint32_t n = fnx_track_arms(track) - 1;

	if (n == 0)
		return 0;
	if (bag->n_left == 0) {
		fnx_sim_random_shuffle(random, n, bag->order);
		bag->n_left = n;
	}
	return 1 + bag->order[--bag->n_left];
}

static double way_cm(const struct fnx_sim_animal *animal)
{
	double way = fnx_track_arm_cm(animal->config.track, 0);

	return animal->arm == 0 ? way : way + fnx_track_arm_cm(animal->config.track, animal->arm);
}

static double draw_ripple_interval(struct fnx_sim_animal *animal)
{
	double rate_hz = animal->config.ripple_rate_hz;

	if (!(rate_hz > 0.0))
		return (double)INFINITY;
	return RIPPLE_INTERVAL_MIN_S +
		fmax(1.0 / rate_hz - RIPPLE_INTERVAL_MIN_S, 0.0) *
		fnx_sim_random_exponential(&animal->random);
}

static void begin_rest(struct fnx_sim_animal *animal)
{
	animal->resting = true;
	animal->speed_cm_s = 0.0;
	animal->rested_s = 0.0;
	animal->rest_left_s =
		animal->config.rest_s * fnx_sim_random_between(&animal->random, 0.75, 1.25);
}

void fnx_sim_animal_init(struct fnx_sim_animal *animal, const struct fnx_sim_animal_config *config)
{
	*animal = (struct fnx_sim_animal){.config = *config, .direction = 1};
	animal->tick_samples = (uint32_t)fmax(round(config->clock_hz / TICKS_HZ), 1.0);
	fnx_sim_random_init(&animal->random, config->seed, FNX_SIM_STREAM_ANIMAL);
	animal->arm = take_arm(&animal->visits, &animal->random, config->track);
	animal->ripple_in_s = draw_ripple_interval(animal);
	begin_rest(animal);
}

/* The stretch ends at the far end of the arm: whole when the sweep has time for it. */
static void draw_replay(struct fnx_sim_animal *animal, double duration_s)
{
	struct fnx_sim_ripple *ripple = &animal->ripple;
	const struct fnx_track *track = animal->config.track;
	const double sweep_cm = REPLAY_COMPRESSION * animal->config.running_speed_cm_s * duration_s;
	double inner, inwards;

	ripple->arm = (int32_t)take_arm(&animal->replays, &animal->random, track);
	inner = fmax(1.0 - sweep_cm / fnx_track_arm_cm(track, (uint32_t)ripple->arm), 0.0);
	inwards = fnx_sim_random_unit(&animal->random);
	ripple->from = inwards < 0.5 ? 1.0 : inner;
	ripple->to = inwards < 0.5 ? inner : 1.0;
}

static void begin_ripple(struct fnx_sim_animal *animal)
{
	struct fnx_sim_random *random = &animal->random;
	const double duration_s = fnx_sim_random_between(random, RIPPLE_MIN_S, RIPPLE_MAX_S);
	const double ticks = round(duration_s * animal->config.clock_hz / animal->tick_samples);

	animal->ripple = (struct fnx_sim_ripple){
		.active = true,
		.start = animal->now,
		.end = animal->now + (int64_t)fmax(ticks, 1.0) * animal->tick_samples,
		.frequency_hz = fnx_sim_random_between(random, RIPPLE_MIN_HZ, RIPPLE_MAX_HZ),
		.size = fnx_sim_random_between(random, 0.8, 1.2),
		.arm = -1,
	};
	if ((double)animal->now >= animal->config.replay_after_s * animal->config.clock_hz)
		draw_replay(animal, duration_s);
	animal->ripple_in_s =
		fmax(animal->ripple_in_s + draw_ripple_interval(animal), RIPPLE_INTERVAL_MIN_S);
}

static void rest(struct fnx_sim_animal *animal, double elapsed_s)
{
	animal->rested_s += elapsed_s;
	animal->rest_left_s -= elapsed_s;
	animal->ripple_in_s -= elapsed_s;
	if (animal->ripple.active && animal->now >= animal->ripple.end)
		animal->ripple.active = false;
	if (!animal->ripple.active && animal->ripple_in_s <= 0.0 && animal->rested_s >= SETTLED_S)
		begin_ripple(animal);
	if (animal->ripple.active || animal->rest_left_s > 0.0)
		return;
	animal->resting = false;
	if (animal->at_cm > 0.0) {
		animal->direction = -1;
	} else {
		animal->direction = 1;
		animal->arm = take_arm(&animal->visits, &animal->random, animal->config.track);
	}
}

static void run(struct fnx_sim_animal *animal, double elapsed_s)
{
	const double way = way_cm(animal);
	const double left_cm = animal->direction > 0 ? way - animal->at_cm : animal->at_cm;
	/* A uniform number of the same deviation is random enough for a sum of thousands. */
	const double kick = fnx_sim_random_between(&animal->random, -sqrt(3.0), sqrt(3.0));
	double speed;

	animal->pace += -animal->pace * elapsed_s / PACE_CHANGE_S +
		sqrt(2.0 * elapsed_s / PACE_CHANGE_S) * kick;
	speed = animal->config.running_speed_cm_s * fmax(1.0 + PACE_DEVIATION * animal->pace, 0.2);
	speed = fmin(speed, animal->speed_cm_s + ACCELERATION_CM_S2 * elapsed_s);
	speed = fmin(speed, sqrt(2.0 * ACCELERATION_CM_S2 * left_cm) + CREEP_CM_S);
	animal->speed_cm_s = speed;
	if (left_cm - speed * elapsed_s > ARRIVED_CM) {
		animal->at_cm += animal->direction * speed * elapsed_s;
		return;
	}
	animal->at_cm = animal->direction > 0 ? way : 0.0;
	begin_rest(animal);
}

void fnx_sim_animal_step(struct fnx_sim_animal *animal)
{
	const double elapsed_s = animal->tick_samples / animal->config.clock_hz;

	animal->now += animal->tick_samples;
	if (animal->resting)
		rest(animal, elapsed_s);
	else
		run(animal, elapsed_s);
}

struct fnx_place fnx_sim_animal_place(const struct fnx_sim_animal *animal, int64_t time)
{
	const struct fnx_track *track = animal->config.track;
	const double stem_cm = fnx_track_arm_cm(track, 0);
	double at_cm = animal->at_cm;

	at_cm += animal->direction * animal->speed_cm_s * (double)(time - animal->now) /
		animal->config.clock_hz;
	if (animal->arm == 0 || at_cm < stem_cm)
		return fnx_track_from_arm(track, 0, at_cm / stem_cm);
	return fnx_track_from_arm(
		track, animal->arm, (at_cm - stem_cm) / fnx_track_arm_cm(track, animal->arm));
}

struct fnx_place fnx_sim_animal_replay(const struct fnx_sim_animal *animal, int64_t time)
{
	const struct fnx_sim_ripple *ripple = &animal->ripple;
	double part;

	if (!ripple->active || ripple->arm < 0 || time < ripple->start || time >= ripple->end)
		return (struct fnx_place){.bin = -1, .arm = -1};
	part = (double)(time - ripple->start) / (double)(ripple->end - ripple->start);
	return fnx_track_from_arm(animal->config.track, (uint32_t)ripple->arm,
		ripple->from + part * (ripple->to - ripple->from));
}
