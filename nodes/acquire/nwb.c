/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The next event is the earliest of the streams' next, by kind where times are equal. There are a
 * few dozen streams at most (one per SpikeEventSeries), so they are looked at one by one, without a
 * heap.
 */
#include "nodes/acquire/nwb.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nodes/acquire/nwb_probe.h"
#include "nodes/acquire/nwb_session.h"
#include "nodes/host/rig.h"

#define UV_PER_VOLT 1e6

struct fnx_source {
	struct nwb_session session;
	double position_scale;
	double mark_uv, mark_offset_uv;
	float mark; /* waveform of the last sorted spike */
	int failed; /* what next answers from now on */
	char notice[NWB_NOTICE_SIZE];
};

static struct fnx_source *nwb_close(struct fnx_source *source)
{
	if (source)
		fnx_nwb_session_close(&source->session);
	free(source);
	return NULL;
}

static struct fnx_nwb_limits limits_in_force(const struct fnx_nwb_limits *limits)
{
	struct fnx_nwb_limits force = limits ? *limits : (struct fnx_nwb_limits){0};

	force.preload_size = force.preload_size ? force.preload_size : (size_t)512 << 20;
	force.block_size = force.block_size ? force.block_size : (size_t)4 << 20;
	force.max_times = force.max_times ? force.max_times : (uint64_t)1 << 26;
	force.max_positions = force.max_positions ? force.max_positions : (uint64_t)1 << 24;
	return force;
}

static int open_here(const struct fnx_rig *rig, const struct fnx_nwb_limits *limits,
	struct fnx_source **ret_source, char *error, size_t error_size)
{
	struct fnx_source *source = calloc(1, sizeof(*source));
	int r;

	if (!source) {
		snprintf(error, error_size, "no memory to open an NWB file");
		return -ENOMEM;
	}
	source->session.limits = limits_in_force(limits);
	source->position_scale = rig->source.nwb.position_scale;
	source->mark_uv = rig->source.nwb.unit_mark_uv;
	source->mark_offset_uv = rig->source.nwb.unit_mark_offset_uv;
	r = fnx_nwb_session_open(&source->session, rig);
	if (r < 0) {
		snprintf(error, error_size, "%s", source->session.file.error);
		nwb_close(source);
		return r;
	}
	fnx_nwb_notice(&source->session, rig, source->notice);
	*ret_source = source;
	return 0;
}

static void position_next(struct fnx_source *source, struct fnx_event *ret_event)
{
	struct nwb_positions *positions = &source->session.positions;
	const struct nwb_series *series = &positions->series;
	uint64_t at = positions->cursor.at++;
	double xy[2] = {0.0, 0.0};

	for (uint32_t i = 0; i < 2 && i < positions->n_columns; i++)
		xy[i] = (positions->values[at * positions->n_columns + i] * series->conversion +
				series->offset) *
			source->position_scale;
	if (!isfinite(xy[0]) || !isfinite(xy[1]))
		xy[0] = xy[1] = NAN;
	*ret_event = (struct fnx_event){
		.sample_time = fnx_nwb_times_at(&series->times, at),
		.kind = FNX_EVENT_POSITION,
		.position = {.x = xy[0], .y = xy[1], .x2 = xy[0], .y2 = xy[1], .segment = -1},
	};
}

static void unit_next(struct fnx_source *source, struct fnx_event *ret_event)
{
	struct nwb_session *session = &source->session;
	const struct nwb_unit_spike *spike = &session->units.spikes[session->units_cursor.at++];
	const struct nwb_unit *unit = &session->units.units[spike->unit];

	source->mark = (float)(source->mark_offset_uv + source->mark_uv * unit->number);
	*ret_event = (struct fnx_event){
		.sample_time = spike->sample,
		.kind = FNX_EVENT_SPIKE,
		.spike = {.group = unit->group,
			.n_channels = 1,
			.n_points = 1,
			.uv_per_count = 1.0,
			.waveform = &source->mark},
	};
}

static int snippet_next(
	struct fnx_source *source, struct nwb_snippets *snippets, struct fnx_event *ret_event)
{
	const float *waveform;
	int r = fnx_nwb_rows_at(&snippets->rows, snippets->cursor.at, &waveform);

	if (r < 0)
		return source->failed = r;
	*ret_event = (struct fnx_event){
		.sample_time = fnx_nwb_times_at(&snippets->series.times, snippets->cursor.at++),
		.kind = FNX_EVENT_SPIKE,
		.spike = {.group = snippets->group,
			.n_channels = snippets->n_channels,
			.n_points = snippets->n_points,
			.uv_per_count = snippets->series.conversion * UV_PER_VOLT,
			.waveform = waveform},
	};
	return 0;
}

static int lfp_next(struct fnx_source *source, struct fnx_event *ret_event)
{
	struct nwb_lfp *lfp = &source->session.lfp;
	const float *samples;
	int r = fnx_nwb_rows_at(&lfp->rows, lfp->cursor.at, &samples);

	if (r < 0)
		return source->failed = r;
	*ret_event = (struct fnx_event){
		.sample_time = fnx_nwb_times_at(&lfp->series.times, lfp->cursor.at++),
		.kind = FNX_EVENT_LFP,
		.lfp = {.n_channels = lfp->n_channels,
			.uv_per_count = lfp->series.conversion * UV_PER_VOLT,
			.samples = samples},
	};
	return 0;
}

/* Whether the stream has an event before *best, which then becomes its time. */
static bool is_earlier(const struct nwb_times *times, struct nwb_cursor cursor, int64_t *best)
{
	int64_t sample;

	if (cursor.at >= cursor.end)
		return false;
	sample = fnx_nwb_times_at(times, cursor.at);
	if (sample >= *best)
		return false;
	*best = sample;
	return true;
}

static bool unit_is_earlier(const struct nwb_session *session, int64_t *best)
{
	const struct nwb_cursor cursor = session->units_cursor;

	if (cursor.at >= cursor.end || session->units.spikes[cursor.at].sample >= *best)
		return false;
	*best = session->units.spikes[cursor.at].sample;
	return true;
}

/* The kind of the earliest event, FNX_EVENT_KINDS: the session is over. A spike comes from
 * `ret_snippets`, NULL: from the units. */
static enum fnx_event_kind earliest(
	const struct nwb_session *session, struct nwb_snippets **ret_snippets)
{
	const struct nwb_positions *positions = &session->positions;
	enum fnx_event_kind kind = FNX_EVENT_KINDS;
	int64_t best = INT64_MAX;

	*ret_snippets = NULL;
	if (is_earlier(&positions->series.times, positions->cursor, &best))
		kind = FNX_EVENT_POSITION;
	if (unit_is_earlier(session, &best))
		kind = FNX_EVENT_SPIKE;
	for (uint32_t i = 0; i < session->n_snippets; i++) {
		struct nwb_snippets *snippets = &session->snippets[i];

		if (is_earlier(&snippets->series.times, snippets->cursor, &best)) {
			*ret_snippets = snippets;
			kind = FNX_EVENT_SPIKE;
		}
	}
	if (is_earlier(&session->lfp.series.times, session->lfp.cursor, &best))
		kind = FNX_EVENT_LFP;
	return kind;
}

static int nwb_next(struct fnx_source *source, struct fnx_event *ret_event)
{
	struct nwb_snippets *snippets;
	int r = 0;

	if (source->failed)
		return source->failed;
	switch (earliest(&source->session, &snippets)) {
	case FNX_EVENT_POSITION:
		position_next(source, ret_event);
		break;
	case FNX_EVENT_SPIKE:
		if (snippets)
			r = snippet_next(source, snippets, ret_event);
		else
			unit_next(source, ret_event);
		break;
	case FNX_EVENT_LFP:
		r = lfp_next(source, ret_event);
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

struct attempt {
	const struct fnx_rig *rig;
	const struct fnx_nwb_limits *limits;
};

/* All that HDF5 will be asked to do until the process ends. */
static void attempt(void *data)
{
	const struct attempt *attempt = data;
	struct fnx_source *source;
	struct fnx_event event;
	char error[NWB_ERROR_SIZE];

	if (open_here(attempt->rig, attempt->limits, &source, error, sizeof(error)) == 0) {
		if (!fnx_nwb_session_is_held(&source->session)) {
			while (nwb_next(source, &event) == 1)
				;
		}
		nwb_close(source);
	}
	H5close();
}

int fnx_source_nwb_open_limited(const struct fnx_rig *rig, const struct fnx_nwb_limits *limits,
	struct fnx_source **ret_source, char *error, size_t error_size)
{
	const char *path = rig->source.file ? rig->source.file : "";
	struct attempt first = {rig, limits};
	int r = fnx_nwb_probe(path, attempt, &first, error, error_size);

	return r < 0 ? r : open_here(rig, limits, ret_source, error, error_size);
}

static int nwb_open(const struct fnx_rig *rig, const struct fnx_track *track,
	struct fnx_source **ret_source, char *error, size_t error_size)
{
	(void)track;
	return fnx_source_nwb_open_limited(rig, NULL, ret_source, error, error_size);
}

static const struct fnx_source_info *nwb_info(const struct fnx_source *source)
{
	return &source->session.info;
}

static const char *nwb_error(const struct fnx_source *source)
{
	return source->session.file.error;
}

const char *fnx_source_nwb_notice(const struct fnx_source *source)
{
	return source->notice;
}

const struct fnx_source_ops fnx_source_nwb = {
	.name = "nwb",
	.open = nwb_open,
	.next = nwb_next,
	.info = nwb_info,
	.error = nwb_error,
	.notice = fnx_source_nwb_notice,
	.close = nwb_close,
};
