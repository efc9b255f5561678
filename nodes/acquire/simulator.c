/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts (animal, cells, LFP) know nothing of each other; here they are driven by one clock of
 * ticks and their events are merged. Within a tick each kind of event has at most one candidate:
 * the position and LFP that are due next, a spike that has been drawn, a truth that is owed. The
 * earliest is emitted, and only then is its successor drawn; when no candidate lies within the
 * tick, the animal takes a step.
 *
 * Nothing depends on who asks and when, so skipping is emitting into nowhere, and costs no more
 * than that.
 */
#include "nodes/acquire/simulator.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/simulator_animal.h"
#include "nodes/acquire/simulator_cells.h"
#include "nodes/acquire/simulator_lfp.h"
#include "nodes/acquire/simulator_random.h"
#include "nodes/host/track.h"

static const double DURATION_S = 60.0; /* where the rig states none */
static const double UV_PER_COUNT = 0.195;
static const double THETA_HZ = 8.0, THETA_DEPTH = 0.8;
static const double THETA_REST_UV = 20.0, THETA_RUN_UV = 100.0;
static const double RIPPLE_UV = 80.0;
static const double RUNNING_CM_S = 10.0; /* from here on theta and rates are full */
static const double REST_RATE = 0.3, REPLAY_RATE = 12.0; /* times the rate of a running animal */
static const double LED_CM = 1.5; /* from the mid-point to each */
static const double CAMERA_NOISE_CM = 0.02;
static const double JOINED_CM = 1e-3;

struct fnx_source {
	struct fnx_source_info info;
	const struct fnx_track *track;
	struct fnx_sim_noise noise;
	struct fnx_sim_animal animal;
	struct fnx_sim_cells cells; /* no groups: no spikes */
	struct fnx_sim_lfp lfp; /* no channels: no LFP */
	struct fnx_sim_random camera_random;
	double clock_hz, position_hz, lfp_hz;
	double units_per_cm;
	int32_t arm_segments[FNX_TRACK_ARMS_MAX];
	/* The tick. */
	int64_t tick_end;
	struct fnx_sim_drive drive;
	double drive_position;
	int64_t replay_start; /* of the replay that goes on, -1: none */
	/* Candidates; a time of INT64_MAX means that there is none. */
	int64_t times[FNX_EVENT_KINDS];
	int64_t n_positions, n_lfp; /* emitted so far */
	struct fnx_sim_spike spike;
};

__attribute__((format(printf, 3, 4))) static int refuse(
	char *error, size_t error_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_size, format, args);
	va_end(args);
	return -EINVAL;
}

/* One number of the rig and the least it may be. */
struct limit {
	const char *key;
	double value;
	double least;
	bool open; /* the least itself is too little */
};

static int check_rig(const struct fnx_rig *rig, char *error, size_t error_size)
{
	const struct fnx_rig_simulator *simulator = &rig->source.simulator;
	const struct limit limits[] = {
		{"clock.rate_hz", rig->clock.rate_hz, 0.0, true},
		{"position.rate_hz", rig->position.rate_hz, 0.0, true},
		{"position.scale", rig->position.scale, 0.0, true},
		{"lfp.rate_hz", rig->lfp.n_channels ? rig->lfp.rate_hz : 1.0, 0.0, true},
		{"source.duration_s", rig->source.duration_s, 0.0, false},
		{"source.start_s", rig->source.start_s, 0.0, false},
		{"source.simulator.running_speed_cm_s", simulator->running_speed_cm_s, 1.0, false},
		{"source.simulator.place_field_cm", simulator->place_field_cm, 0.0, true},
		{"source.simulator.peak_rate_hz", simulator->peak_rate_hz, 0.0, false},
		{"source.simulator.background_rate_hz", simulator->background_rate_hz, 0.0, false},
		{"source.simulator.noise_uv", simulator->noise_uv, 0.0, false},
		{"source.simulator.rest_s", simulator->rest_s, 0.0, false},
		{"source.simulator.ripple_rate_hz", simulator->ripple_rate_hz, 0.0, false},
		{"source.simulator.replay_after_s", simulator->replay_after_s, 0.0, false},
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct limit *limit = &limits[i];

		if (isfinite(limit->value) && limit->value >= limit->least &&
			!(limit->open && limit->value == limit->least))
			continue;
		return refuse(error, error_size, "%s: a number %s %g was expected, found %g",
			limit->key, limit->open ? "above" : "of at least", limit->least,
			limit->value);
	}
	if (rig->n_electrode_groups > 0 && rig->spikes.n_points == 0)
		return refuse(error, error_size, "spikes.n_points: at least 1 was expected");
	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		const struct fnx_rig_electrode_groups *range = &rig->electrode_groups[i];

		if (range->through < range->id)
			return refuse(error, error_size,
				"electrode_groups[%u].through: at least %u was expected, found %u",
				i, range->id, range->through);
		if (range->n_channels == 0)
			return refuse(error, error_size,
				"electrode_groups[%u].n_channels: at least 1 was expected", i);
	}
	return 0;
}

/* Where the room knows the arms, they must join as the animal walks them. */
static int check_track(const struct fnx_track *track, char *error, size_t error_size)
{
	double x, y, arm_x, arm_y;

	for (uint32_t k = 1; k < fnx_track_arms(track); k++)
		if (fnx_track_to_xy(track, 0, 1.0, &x, &y) &&
			fnx_track_to_xy(track, k, 0.0, &arm_x, &arm_y) &&
			hypot(arm_x - x, arm_y - y) > JOINED_CM)
			return refuse(error, error_size,
				"track.arms[%u]: for the simulator it must begin where arms[0] "
				"ends, at %g, %g; it begins at %g, %g",
				k, x, y, arm_x, arm_y);
	return 0;
}

/* First segment that lies on each arm, -1: none does. */
static void list_segments(struct fnx_source *source)
{
	const struct fnx_track_config *config = fnx_track_config(source->track);

	for (uint32_t k = 0; k < config->n_arms; k++)
		source->arm_segments[k] = config->n_segments > 0 ? -1 : (int32_t)k;
	for (uint32_t i = config->n_segments; i-- > 0;)
		source->arm_segments[config->segment_arms[i]] = (int32_t)i;
}

static void open_animal(struct fnx_source *source, const struct fnx_rig *rig)
{
	const struct fnx_rig_simulator *simulator = &rig->source.simulator;
	const struct fnx_sim_animal_config config = {
		.track = source->track,
		.seed = simulator->seed,
		.clock_hz = rig->clock.rate_hz,
		.running_speed_cm_s = simulator->running_speed_cm_s,
		.rest_s = simulator->rest_s,
		.ripple_rate_hz = simulator->ripple_rate_hz,
		.replay_after_s = simulator->replay_after_s,
	};

	fnx_sim_animal_init(&source->animal, &config);
	fnx_sim_random_init(&source->camera_random, simulator->seed, FNX_SIM_STREAM_CAMERA);
}

/* The rig's ranges of groups, one by one; ret_groups may be NULL. Returns how many. */
static uint32_t list_groups(const struct fnx_rig *rig, struct fnx_sim_group *ret_groups)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		const struct fnx_rig_electrode_groups *range = &rig->electrode_groups[i];

		for (uint32_t k = 0; k <= range->through - range->id; k++, n++)
			if (ret_groups)
				ret_groups[n] = (struct fnx_sim_group){
					.id = range->id + k, .n_channels = range->n_channels};
	}
	return n;
}

static int open_cells(struct fnx_source *source, const struct fnx_rig *rig)
{
	const struct fnx_rig_simulator *simulator = &rig->source.simulator;
	struct fnx_sim_cells_config config = {
		.track = source->track,
		.noise = &source->noise,
		.seed = simulator->seed,
		.clock_hz = rig->clock.rate_hz,
		.place_field_cm = simulator->place_field_cm,
		.peak_rate_hz = simulator->peak_rate_hz,
		.background_rate_hz = simulator->background_rate_hz,
		.noise_uv = simulator->noise_uv,
		.uv_per_count = UV_PER_COUNT,
		.cells_per_group = simulator->cells_per_group,
		.n_points = rig->spikes.n_points,
		.n_groups = list_groups(rig, NULL),
	};
	struct fnx_sim_group *groups = calloc((size_t)config.n_groups + 1, sizeof(*groups));
	int r;

	if (!groups)
		return -ENOMEM;
	list_groups(rig, groups);
	config.groups = groups;
	r = fnx_sim_cells_init(&source->cells, &config);
	free(groups);
	if (r < 0)
		return r;
	source->info.n_spike_channels = source->cells.n_channels_max;
	source->info.n_spike_points = config.n_points;
	return 0;
}

static int open_lfp(struct fnx_source *source, const struct fnx_rig *rig)
{
	const struct fnx_sim_lfp_config config = {
		.noise = &source->noise,
		.seed = rig->source.simulator.seed,
		.n_channels = rig->lfp.n_channels,
		.noise_uv = rig->source.simulator.noise_uv,
		.uv_per_count = UV_PER_COUNT,
	};

	source->info.n_lfp_channels = config.n_channels;
	return fnx_sim_lfp_init(&source->lfp, &config);
}

static double theta_phase(const struct fnx_source *source, int64_t time)
{
	double cycles = (double)time * (THETA_HZ / source->clock_hz);

	return 2.0 * M_PI * (cycles - floor(cycles));
}

/* 0 at rest, 1 in full run. */
static double running(const struct fnx_source *source)
{
	return fmin(source->animal.speed_cm_s / RUNNING_CM_S, 1.0);
}

/* The cells' part in the tick that begins: those of the replay, else those of the place. */
static void begin_drive(struct fnx_source *source)
{
	const struct fnx_sim_animal *animal = &source->animal;
	const int64_t middle = animal->now + animal->tick_samples / 2;
	const int32_t replayed = fnx_sim_animal_replay(animal, middle).bin;
	const double phase = theta_phase(source, middle);
	const double run = running(source);

	source->drive = (struct fnx_sim_drive){
		.start = animal->now,
		.n_samples = animal->tick_samples,
		.bin = replayed >= 0 ? replayed : fnx_sim_animal_place(animal, middle).bin,
		.rate = replayed >= 0 ? REPLAY_RATE : REST_RATE + (1.0 - REST_RATE) * run,
		.theta_depth = replayed >= 0 ? 0.0 : THETA_DEPTH * run,
		.theta_sin = (float)sin(phase),
		.theta_cos = (float)cos(phase),
	};
	source->drive_position = 0.0;
}

static void draw_spike(struct fnx_source *source)
{
	source->times[FNX_EVENT_SPIKE] = INT64_MAX;
	if (source->info.n_spike_channels > 0 &&
		fnx_sim_cells_next(
			&source->cells, &source->drive, &source->drive_position, &source->spike))
		source->times[FNX_EVENT_SPIKE] = source->spike.time;
}

/* A replay that begins or ends owes a truth. */
static void begin_tick(struct fnx_source *source)
{
	const struct fnx_sim_animal *animal = &source->animal;
	const struct fnx_sim_ripple *ripple = &animal->ripple;
	const int64_t replay_start = ripple->active && ripple->arm >= 0 ? ripple->start : -1;

	source->tick_end = animal->now + animal->tick_samples;
	if (replay_start != source->replay_start)
		source->times[FNX_EVENT_TRUTH] = animal->now;
	source->replay_start = replay_start;
	begin_drive(source);
	draw_spike(source);
}

/* Earliest candidate, the first kind of equals. */
static enum fnx_event_kind pick(struct fnx_source *source)
{
	for (;;) {
		enum fnx_event_kind earliest = FNX_EVENT_POSITION;

		for (enum fnx_event_kind k = FNX_EVENT_SPIKE; k < FNX_EVENT_KINDS; k++)
			if (source->times[k] < source->times[earliest])
				earliest = k;
		if (source->times[earliest] < source->tick_end)
			return earliest;
		fnx_sim_animal_step(&source->animal);
		begin_tick(source);
	}
}

/* x and y of a point of an arm. Arms without nodes are straight lines, the outer ones spread over
 * 120 degrees. */
static void locate(const struct fnx_track *track, uint32_t arm, double along, double ret_xy[2])
{
	const uint32_t n_outer = fnx_track_arms(track) - 1;
	const double stem_cm = fnx_track_arm_cm(track, 0);
	double angle, out_cm;

	if (fnx_track_to_xy(track, arm, along, &ret_xy[0], &ret_xy[1]))
		return;
	if (arm == 0) {
		ret_xy[0] = along * stem_cm;
		ret_xy[1] = 0.0;
		return;
	}
	angle = n_outer > 1 ? ((arm - 1.0) / (n_outer - 1.0) - 0.5) * (2.0 * M_PI / 3.0) : 0.0;
	out_cm = along * fnx_track_arm_cm(track, arm);
	ret_xy[0] = stem_cm + out_cm * cos(angle);
	ret_xy[1] = out_cm * sin(angle);
}

/* Unit vector the way the animal faces. */
static void find_heading(
	const struct fnx_source *source, const struct fnx_place *place, double ret_heading[2])
{
	const uint32_t arm = (uint32_t)place->arm;
	const double reach = 0.5 / fnx_track_arm_cm(source->track, arm);
	double behind[2], ahead[2], length;

	locate(source->track, arm, fmax(place->along - reach, 0.0), behind);
	locate(source->track, arm, fmin(place->along + reach, 1.0), ahead);
	length = hypot(ahead[0] - behind[0], ahead[1] - behind[1]);
	if (!(length > 0.0))
		length = 1.0;
	for (uint32_t i = 0; i < 2; i++)
		ret_heading[i] = source->animal.direction * (ahead[i] - behind[i]) / length;
}

static void emit_position(struct fnx_source *source, int64_t time, struct fnx_event *event)
{
	const struct fnx_place place = fnx_sim_animal_place(&source->animal, time);
	const float *noise = fnx_sim_noise_run(&source->noise, &source->camera_random);
	double xy[2], heading[2];

	locate(source->track, (uint32_t)place.arm, place.along, xy);
	find_heading(source, &place, heading);
	for (uint32_t i = 0; i < 2; i++) {
		xy[i] = (xy[i] + CAMERA_NOISE_CM * (double)noise[i]) * source->units_per_cm;
		heading[i] *= LED_CM * source->units_per_cm;
	}
	event->position = (struct fnx_event_position){
		.x = xy[0] + heading[0],
		.y = xy[1] + heading[1],
		.x2 = xy[0] - heading[0],
		.y2 = xy[1] - heading[1],
		.segment = source->arm_segments[place.arm],
		.along = place.along,
	};
	source->times[FNX_EVENT_TRUTH] = time;
	source->n_positions++;
	source->times[FNX_EVENT_POSITION] = (int64_t)round(
		(double)source->n_positions * source->clock_hz / source->position_hz);
}

static void emit_spike(struct fnx_source *source, struct fnx_event *event)
{
	const struct fnx_sim_group *group = &source->cells.groups[source->spike.group];

	event->spike = (struct fnx_event_spike){
		.group = group->id,
		.n_channels = group->n_channels,
		.n_points = source->info.n_spike_points,
		.uv_per_count = UV_PER_COUNT,
		.waveform = fnx_sim_cells_waveform(&source->cells, &source->spike),
	};
	draw_spike(source);
}

/* A burst that swells and dies away within the ripple. */
static double burst_uv(const struct fnx_source *source, int64_t time)
{
	const struct fnx_sim_ripple *ripple = &source->animal.ripple;
	double window, seconds;

	if (!ripple->active || time < ripple->start || time >= ripple->end)
		return 0.0;
	window = sin(M_PI * (double)(time - ripple->start) / (double)(ripple->end - ripple->start));
	seconds = (double)(time - ripple->start) / source->clock_hz;
	return RIPPLE_UV * ripple->size * window * window *
		sin(2.0 * M_PI * ripple->frequency_hz * seconds);
}

static void emit_lfp(struct fnx_source *source, int64_t time, struct fnx_event *event)
{
	const double theta_uv = (THETA_REST_UV + (THETA_RUN_UV - THETA_REST_UV) * running(source)) *
		cos(theta_phase(source, time));

	event->lfp = (struct fnx_event_lfp){
		.n_channels = source->info.n_lfp_channels,
		.uv_per_count = UV_PER_COUNT,
		.samples = fnx_sim_lfp_step(&source->lfp, theta_uv, burst_uv(source, time)),
	};
	source->n_lfp++;
	source->times[FNX_EVENT_LFP] =
		(int64_t)round((double)source->n_lfp * source->clock_hz / source->lfp_hz);
}

static void emit_truth(struct fnx_source *source, int64_t time, struct fnx_event *event)
{
	const struct fnx_place replay = fnx_sim_animal_replay(&source->animal, time);

	event->truth = (struct fnx_event_truth){
		.bin = fnx_sim_animal_place(&source->animal, time).bin,
		.replay_arm = replay.arm,
		.replay_bin = replay.bin,
	};
	source->times[FNX_EVENT_TRUTH] = INT64_MAX;
}

static void emit(struct fnx_source *source, enum fnx_event_kind kind, struct fnx_event *event)
{
	const int64_t time = source->times[kind];

	event->sample_time = time;
	event->kind = kind;
	switch (kind) {
	case FNX_EVENT_POSITION:
		emit_position(source, time, event);
		break;
	case FNX_EVENT_SPIKE:
		emit_spike(source, event);
		break;
	case FNX_EVENT_LFP:
		emit_lfp(source, time, event);
		break;
	case FNX_EVENT_TRUTH:
	case FNX_EVENT_KINDS:
		emit_truth(source, time, event);
		break;
	}
}

static struct fnx_source *simulator_close(struct fnx_source *source)
{
	if (source) {
		fnx_sim_cells_fini(&source->cells);
		fnx_sim_lfp_fini(&source->lfp);
		free(source);
	}
	return NULL;
}

static int open_parts(struct fnx_source *source, const struct fnx_rig *rig)
{
	int r = 0;

	fnx_sim_noise_init(&source->noise, rig->source.simulator.seed);
	open_animal(source, rig);
	if (rig->n_electrode_groups > 0)
		r = open_cells(source, rig);
	if (r == 0 && rig->lfp.n_channels > 0)
		r = open_lfp(source, rig);
	return r;
}

/* Begins the session, and goes on to where the rig wants it. */
static void begin_session(struct fnx_source *source, const struct fnx_rig *rig)
{
	const double duration_s =
		rig->source.duration_s > 0.0 ? rig->source.duration_s : DURATION_S;
	enum fnx_event_kind kind;
	struct fnx_event skipped;

	source->info.first_sample = (int64_t)round(rig->source.start_s * source->clock_hz);
	source->info.last_sample =
		source->info.first_sample + (int64_t)round(duration_s * source->clock_hz);
	source->replay_start = -1;
	source->times[FNX_EVENT_POSITION] = 0;
	source->times[FNX_EVENT_LFP] = source->info.n_lfp_channels > 0 ? 0 : INT64_MAX;
	source->times[FNX_EVENT_TRUTH] = INT64_MAX;
	begin_tick(source);
	while (kind = pick(source), source->times[kind] < source->info.first_sample)
		emit(source, kind, &skipped);
}

static int simulator_open(const struct fnx_rig *rig, const struct fnx_track *track,
	struct fnx_source **ret_source, char *error, size_t error_size)
{
	struct fnx_source *source;
	int r = check_rig(rig, error, error_size);

	if (r == 0)
		r = check_track(track, error, error_size);
	if (r < 0)
		return r;
	source = calloc(1, sizeof(*source));
	if (!source) {
		r = -ENOMEM;
		goto fail;
	}
	source->track = track;
	source->clock_hz = rig->clock.rate_hz;
	source->position_hz = rig->position.rate_hz;
	source->lfp_hz = rig->lfp.rate_hz;
	source->units_per_cm = 1.0 / rig->position.scale;
	source->info.has_position = true;
	source->info.has_truth = true;
	list_segments(source);
	r = open_parts(source, rig);
	if (r < 0)
		goto fail;
	begin_session(source, rig);
	*ret_source = source;
	return 0;

fail:
	simulator_close(source);
	snprintf(error, error_size, "the simulator cannot begin: %s", strerror(-r));
	return r;
}

static int simulator_next(struct fnx_source *source, struct fnx_event *ret_event)
{
	const enum fnx_event_kind kind = pick(source);

	if (source->times[kind] >= source->info.last_sample)
		return 0;
	emit(source, kind, ret_event);
	return 1;
}

static const struct fnx_source_info *simulator_info(const struct fnx_source *source)
{
	return &source->info;
}

/* Nothing of a simulation can be damaged. */
static const char *simulator_error(__attribute__((unused)) const struct fnx_source *source)
{
	return "";
}

const struct fnx_source_ops fnx_source_simulator = {
	.name = "simulator",
	.open = simulator_open,
	.next = simulator_next,
	.info = simulator_info,
	.error = simulator_error,
	.close = simulator_close,
};

void fnx_simulator_rig_init(struct fnx_rig *rig, struct fnx_rig_electrode_groups *ret_group,
	uint32_t n_groups, uint32_t n_lfp)
{
	*ret_group =
		(struct fnx_rig_electrode_groups){.id = 1, .through = n_groups, .n_channels = 4};
	*rig = (struct fnx_rig){
		.clock = {.rate_hz = 30000.0, .time_bin_samples = 180},
		.source = {.type = FNX_SOURCE_SIMULATOR,
			.speed = 1.0,
			.simulator = {.seed = 1,
				.running_speed_cm_s = 40.0,
				.place_field_cm = 8.0,
				.peak_rate_hz = 15.0,
				.cells_per_group = 4,
				.background_rate_hz = 2.0,
				.noise_uv = 8.0,
				.rest_s = 2.0,
				.ripple_rate_hz = 0.8}},
		.electrode_groups = ret_group,
		.n_electrode_groups = n_groups > 0 ? 1 : 0,
		.lfp = {.n_channels = n_lfp, .rate_hz = 1500.0},
		.spikes = {.n_points = 40},
		.position = {.rate_hz = 30.0, .scale = 1.0},
	};
}
