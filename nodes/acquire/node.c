/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The acquire node: takes events from a source in order of time, paces them, computes kinematics
 * and the linear position, and publishes.
 *
 * An event is published when it is due, and only then does the watermark move: a replay closes time
 * bins when a live session would have, not earlier because the file knows the future.
 *
 * Sources are deterministic. A restarted acquire runs through the same events, kinematics included,
 * and skips the publishing of as many frames of each kind as its predecessor had published.
 */
#include "nodes/acquire/node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/kinematics.h"
#include "nodes/acquire/source.h"
#include "nodes/host/track.h"
#include "schemas/lfp.h"
#include "schemas/position.h"
#include "schemas/spike.h"
#include "schemas/truth.h"

enum {
	NO_OUTPUT = -1
};

struct acquire {
	struct fnx_node *node;
	const struct fnx_rig *rig;
	const struct fnx_source_ops *ops;
	struct fnx_source *source;
	struct fnx_track *track;
	struct fnx_kinematics kinematics;
	struct fnx_place place; /* the latest on the track */
	struct fnx_event_position held; /* off_track: hold; the latest sample on the track */
	struct fnx_event event; /* the next one */
	int has_event;
	int64_t pace_sample, pace_ns; /* sample time pace_sample is due at pace_ns */
	int paced;
	int noticed; /* what the source says about its end has been passed on */
	int outputs[FNX_EVENT_KINDS];
	uint64_t to_skip[FNX_EVENT_KINDS]; /* frames that a predecessor has published */
};

/* Opening
 * ------------------------------------------------------------------------------------------- */

static const struct fnx_source_ops *source_ops(enum fnx_source_type type)
{
	static const struct fnx_source_ops *const table[] = {
		[FNX_SOURCE_SIMULATOR] = &fnx_source_simulator,
		[FNX_SOURCE_NWB] = &fnx_source_nwb,
		[FNX_SOURCE_MCAP] = &fnx_source_mcap,
	};

	return table[type];
}

static int open_track(struct acquire *acquire)
{
	if (!acquire->rig->track.enabled)
		return 0;
	acquire->track = fnx_node_track(acquire->node);
	return acquire->track ? 0 : -EINVAL;
}

static int open_kinematics(struct acquire *acquire)
{
	const struct fnx_rig_position *position = &acquire->rig->position;
	struct fnx_kinematics_config config = {.n_taps = position->smoothing.n,
		.scale = position->scale,
		.rate_hz = position->rate_hz,
		.clock_hz = acquire->rig->clock.rate_hz,
		.smooth_x = true,
		.smooth_y = true,
		.parity = acquire->rig->parity};

	if (config.n_taps > FNX_KINEMATICS_TAPS_MAX)
		return fnx_node_fail(acquire->node, -EINVAL,
			"position.smoothing: expected at most %d taps", FNX_KINEMATICS_TAPS_MAX);
	memcpy(config.taps, position->smoothing.values, config.n_taps * sizeof(double));
	if (fnx_kinematics_init(&acquire->kinematics, &config))
		return fnx_node_fail(
			acquire->node, -EINVAL, "position.smoothing: expected taps that sum to 1");
	return 0;
}

static uint32_t most_channels(const struct fnx_rig *rig)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
		if (rig->electrode_groups[i].n_channels > most)
			most = rig->electrode_groups[i].n_channels;
	return most;
}

/* What the rig promises to those who read, the source must have. */
static int check_source(struct acquire *acquire)
{
	const struct fnx_source_info *info = acquire->ops->info(acquire->source);
	const struct fnx_rig *rig = acquire->rig;
	struct fnx_node *node = acquire->node;

	if (rig->lfp.n_channels && info->n_lfp_channels != rig->lfp.n_channels)
		return fnx_node_fail(node, -EINVAL,
			"lfp.n_channels: the rig says %u, the source has %u", rig->lfp.n_channels,
			info->n_lfp_channels);
	if (rig->n_electrode_groups && !info->n_spike_channels)
		return fnx_node_fail(node, -EINVAL, "electrode_groups: the source has no spikes");
	if (rig->n_electrode_groups && info->n_spike_channels > most_channels(rig))
		return fnx_node_fail(node, -EINVAL,
			"electrode_groups: spikes of the source have up to %u channels, the rig "
			"says %u",
			info->n_spike_channels, most_channels(rig));
	if (rig->n_electrode_groups && info->n_spike_points > rig->spikes.n_points)
		return fnx_node_fail(node, -EINVAL,
			"spikes.n_points: waveforms of the source have %u points, the rig says %u",
			info->n_spike_points, rig->spikes.n_points);
	if (rig->track.enabled && !info->has_position)
		return fnx_node_fail(node, -EINVAL, "track: the source has no position");
	return 0;
}

static int open_outputs(struct acquire *acquire)
{
	const struct fnx_source_info *info = acquire->ops->info(acquire->source);
	const struct fnx_rig *rig = acquire->rig;
	uint32_t spike_extents[fnx_spike_n_extents] = {
		[fnx_spike_max_channels] = most_channels(rig),
		[fnx_spike_max_points] = rig->spikes.n_points};
	const struct {
		int wanted;
		const char *topic;
		const struct fnx_schema *schema;
		const uint32_t *extents;
	} table[FNX_EVENT_KINDS] = {
		[FNX_EVENT_POSITION] = {rig->track.enabled, "position", &fnx_position_schema, NULL},
		[FNX_EVENT_SPIKE] = {rig->n_electrode_groups > 0, "spikes", &fnx_spike_schema,
			spike_extents},
		[FNX_EVENT_LFP] = {rig->lfp.n_channels > 0, "lfp", &fnx_lfp_schema,
			&rig->lfp.n_channels},
		[FNX_EVENT_TRUTH] = {info->has_truth, "truth", &fnx_truth_schema, NULL},
	};

	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++) {
		int r;

		acquire->outputs[kind] = NO_OUTPUT;
		if (!table[kind].wanted)
			continue;
		r = fnx_node_output(acquire->node, table[kind].topic, table[kind].schema,
			table[kind].extents, 1);
		if (r < 0)
			return r;
		acquire->outputs[kind] = r;
		acquire->to_skip[kind] = fnx_node_published(acquire->node, (unsigned)r);
	}
	return 0;
}

static void acquire_close(void *self)
{
	struct acquire *acquire = self;

	if (acquire->source)
		acquire->ops->close(acquire->source);
	fnx_track_free(acquire->track);
	free(acquire);
}

static int open_all(struct acquire *acquire)
{
	char error[FNX_RIG_ERROR_MAX];
	int r;

	r = open_track(acquire);
	if (!r)
		r = open_kinematics(acquire);
	if (r)
		return r;
	acquire->ops = source_ops(acquire->rig->source.type);
	r = acquire->ops->open(
		acquire->rig, acquire->track, &acquire->source, error, sizeof(error));
	if (r)
		return fnx_node_fail(acquire->node, r, "%s", error);
	r = check_source(acquire);
	return r ? r : open_outputs(acquire);
}

static int acquire_open(struct fnx_node *node, void **ret_self)
{
	struct acquire *acquire = calloc(1, sizeof(*acquire));
	int r;

	if (!acquire)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	acquire->node = node;
	acquire->rig = fnx_node_rig(node);
	acquire->place = (struct fnx_place){.bin = -1, .arm = -1};
	r = open_all(acquire);
	if (r)
		acquire_close(acquire);
	else
		*ret_self = acquire;
	return r;
}

/* Events
 * -------------------------------------------------------------------------------------------- */

/* off_track: hold. What is seen off the track, or not seen at all, counts as not having moved: the
 * last position on it stands in, for kinematics too. Returns whether the sample was on the track
 * itself. */
static int hold(struct acquire *acquire, struct fnx_event_position *raw)
{
	double scale = acquire->rig->position.scale;
	struct fnx_place place = raw->segment >= 0
		? fnx_track_from_segment(acquire->track, raw->segment, raw->along)
		: fnx_track_from_xy(acquire->track, (raw->x + raw->x2) / 2 * scale,
			  (raw->y + raw->y2) / 2 * scale);

	if (place.bin >= 0) {
		acquire->place = place;
		acquire->held = *raw;
		return 1;
	}
	if (acquire->place.bin >= 0)
		*raw = acquire->held;
	return 0;
}

/* off_track: exclude. `place` keeps the last bin for nobody but `along`. */
static int find(struct acquire *acquire, const struct fnx_event_position *raw,
	const struct fnx_kinematics_out *out, double *ret_distance_cm)
{
	struct fnx_place place = raw->segment >= 0
		? fnx_track_from_segment(acquire->track, raw->segment, raw->along)
		: fnx_track_from_xy(acquire->track, out->x, out->y);

	*ret_distance_cm = place.distance_cm;
	if (place.bin < 0 || (raw->segment < 0 && !out->tracked))
		return 0;
	acquire->place = place;
	return 1;
}

static struct fnx_position locate(struct acquire *acquire, const struct fnx_event *event)
{
	int holds = acquire->rig->track.off_track == FNX_OFF_TRACK_HOLD, on_track = 0;
	const struct fnx_event_position *raw = &event->position;
	struct fnx_event_position used = *raw;
	struct fnx_kinematics_out out;
	double distance_cm = 0;

	if (holds)
		on_track = hold(acquire, &used);
	fnx_kinematics_step(
		&acquire->kinematics, event->sample_time, used.x, used.y, used.x2, used.y2, &out);
	if (!holds)
		on_track = find(acquire, raw, &out, &distance_cm);
	return (struct fnx_position){
		.x = out.x,
		.y = out.y,
		.speed = out.speed,
		.along = acquire->place.along,
		.distance = distance_cm,
		.raw_x = raw->x,
		.raw_y = raw->y,
		.raw_x2 = raw->x2,
		.raw_y2 = raw->y2,
		.raw_along = raw->along,
		.raw_segment = raw->segment,
		.bin = on_track || holds ? acquire->place.bin : -1,
		.arm = on_track || holds ? acquire->place.arm : -1,
		.flags = (out.tracked ? FNX_POSITION_TRACKED : 0) |
			(on_track ? FNX_POSITION_ON_TRACK : 0),
	};
}

static void write_spike(
	const struct fnx_layout *layout, const struct fnx_event_spike *spike, void *payload)
{
	uint32_t rows = layout->extents[fnx_spike_max_channels];
	uint32_t columns = layout->extents[fnx_spike_max_points];
	float *waveform = fnx_spike_put_waveform(layout, payload);

	*(struct fnx_spike *)payload = (struct fnx_spike){.uv_per_count = spike->uv_per_count,
		.group = spike->group,
		.n_channels = spike->n_channels,
		.n_points = spike->n_points};
	memset(waveform, 0, sizeof(float) * rows * columns);
	for (uint32_t c = 0; c < spike->n_channels; c++)
		memcpy(waveform + (size_t)c * columns,
			spike->waveform + (size_t)c * spike->n_points,
			sizeof(float) * spike->n_points);
}

static void write_message(struct acquire *acquire, const struct fnx_layout *layout,
	const struct fnx_position *position, void *payload)
{
	const struct fnx_event *event = &acquire->event;

	switch (event->kind) {
	case FNX_EVENT_POSITION:
		*(struct fnx_position *)payload = *position;
		break;
	case FNX_EVENT_SPIKE:
		write_spike(layout, &event->spike, payload);
		break;
	case FNX_EVENT_LFP:
		*(struct fnx_lfp *)payload =
			(struct fnx_lfp){.uv_per_count = event->lfp.uv_per_count};
		memcpy(fnx_lfp_put_samples(layout, payload), event->lfp.samples,
			sizeof(float) * event->lfp.n_channels);
		break;
	default:
		*(struct fnx_truth *)payload = (struct fnx_truth){.bin = event->truth.bin,
			.replay_arm = event->truth.replay_arm,
			.replay_bin = event->truth.replay_bin};
		break;
	}
}

static void publish_event(struct acquire *acquire, int64_t now_ns)
{
	enum fnx_event_kind kind = acquire->event.kind;
	struct fnx_position position = {.bin = -1};
	int output = acquire->outputs[kind];
	void *payload;

	acquire->has_event = 0;
	if (output < 0)
		return;
	/* Kinematics have a memory: they see skipped samples too. */
	if (kind == FNX_EVENT_POSITION)
		position = locate(acquire, &acquire->event);
	if (acquire->to_skip[kind]) {
		acquire->to_skip[kind]--;
		return;
	}
	payload = fnx_node_loan(acquire->node, (unsigned)output);
	if (!payload)
		return;
	write_message(acquire, fnx_node_output_layout(acquire->node, (unsigned)output), &position,
		payload);
	fnx_node_publish_fresh(acquire->node, (unsigned)output, acquire->event.sample_time, now_ns);
}

static int still_skipping(const struct acquire *acquire)
{
	for (int kind = 0; kind < FNX_EVENT_KINDS; kind++)
		if (acquire->to_skip[kind])
			return 1;
	return 0;
}

static int is_before_pace(const struct acquire *acquire)
{
	const struct fnx_rig *rig = acquire->rig;

	return (double)acquire->event.sample_time < rig->source.paced_from_s * rig->clock.rate_hz;
}

/* When the event at hand is due; what was published before a restart is due at once. */
static int64_t due_ns(struct acquire *acquire, int64_t now_ns)
{
	double speed = acquire->rig->source.speed;

	if (speed == 0 || still_skipping(acquire) || is_before_pace(acquire))
		return now_ns;
	if (!acquire->paced) {
		acquire->paced = 1;
		acquire->pace_sample = acquire->event.sample_time;
		acquire->pace_ns = now_ns;
	}
	return acquire->pace_ns +
		(int64_t)((double)(acquire->event.sample_time - acquire->pace_sample) * 1e9 /
			(acquire->rig->clock.rate_hz * speed));
}

/* What the source has to say once: on opening (what was found), or at its end (that the file was
 * cut). */
static void pass_on_notice(struct acquire *acquire)
{
	const char *notice = acquire->ops->notice ? acquire->ops->notice(acquire->source) : "";

	if (!notice[0] || acquire->noticed)
		return;
	acquire->noticed = 1;
	fnx_node_say(acquire->node, "%s", notice);
}

static int acquire_start(void *self)
{
	pass_on_notice(self);
	return 0;
}

static int over(struct acquire *acquire)
{
	pass_on_notice(acquire);
	return FNX_OVER;
}

/* 1: acquire->event is the next event; 0: there is none; negative: the source cannot go on. */
static int fetch(struct acquire *acquire)
{
	int r;

	if (acquire->has_event)
		return 1;
	r = acquire->ops->next(acquire->source, &acquire->event);
	if (r < 0)
		return fnx_node_fail(acquire->node, r, "%s", acquire->ops->error(acquire->source));
	acquire->has_event = r;
	return r;
}

static int acquire_produce(void *self, int64_t now_ns, int64_t *ret_due_ns)
{
	struct acquire *acquire = self;
	int64_t due, time;
	int r = fetch(acquire);

	if (r <= 0)
		return r ? r : over(acquire);
	due = due_ns(acquire, now_ns);
	if (now_ns < due) {
		*ret_due_ns = due;
		return FNX_DONE;
	}
	time = acquire->event.sample_time;
	fnx_node_advance(acquire->node, time, now_ns);
	publish_event(acquire, now_ns);
	/* The last event of its instant: whoever orders inputs need not wait for the next one to
	 * know. */
	r = fetch(acquire);
	if (r <= 0)
		return r ? r : over(acquire);
	if (acquire->event.sample_time > time)
		fnx_node_advance(acquire->node, time + 1, now_ns);
	return FNX_AGAIN;
}

const struct fnx_node_ops fnx_acquire_ops = {
	.type = "acquire",
	.summary = "brings a session onto the bus: simulator, NWB file or MCAP recording",
	.open = acquire_open,
	.start = acquire_start,
	.produce = acquire_produce,
	.close = acquire_close,
};
