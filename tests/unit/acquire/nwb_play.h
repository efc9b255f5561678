/* SPDX-License-Identifier: BSD-3-Clause */
/* A rig for NWB files, and what its source yields, copied. */
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/nwb.h"
#include "nodes/host/rig.h"
#include "tests/support/check.h"

/* A rig with groups 1 to 64 of four channels, snippets of up to 40 points and no LFP. `path` must
 * last. */
static inline struct fnx_rig rig_for(char *path)
{
	static struct fnx_rig_electrode_groups groups = {.id = 1, .through = 64, .n_channels = 4};

	return (struct fnx_rig){
		.clock = {.rate_hz = 30000.0},
		.source = {.type = FNX_SOURCE_NWB,
			.file = path,
			.nwb = {.unit_mark_uv = 100.0,
				.unit_mark_offset_uv = 100.0,
				.position_scale = 1.0}},
		.electrode_groups = &groups,
		.n_electrode_groups = 1,
		.lfp = {.rate_hz = 1500.0},
		.spikes = {.n_points = 40},
		.position = {.rate_hz = 30.0, .scale = 1.0},
	};
}

static inline char *scratch_file(const char *name)
{
	static char paths[4][512];
	static unsigned at;
	char *path = paths[at++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", check_scratch_dir(), name);
	return path;
}

enum {
	PLAYED_VALUES = 192
};

struct played {
	int64_t sample_time;
	enum fnx_event_kind kind;
	uint32_t group, n_channels, n_points;
	double uv_per_count;
	double x, y;
	float values[PLAYED_VALUES];
};

static inline void copy_event(const struct fnx_event *event, struct played *ret_played)
{
	struct played played = {.sample_time = event->sample_time, .kind = event->kind};

	if (event->kind == FNX_EVENT_POSITION) {
		played.x = event->position.x;
		played.y = event->position.y;
	} else if (event->kind == FNX_EVENT_SPIKE) {
		played.group = event->spike.group;
		played.n_channels = event->spike.n_channels;
		played.n_points = event->spike.n_points;
		played.uv_per_count = event->spike.uv_per_count;
		memcpy(played.values, event->spike.waveform,
			sizeof(float) * played.n_channels * played.n_points);
	} else {
		played.n_channels = event->lfp.n_channels;
		played.uv_per_count = event->lfp.uv_per_count;
		memcpy(played.values, event->lfp.samples, sizeof(float) * played.n_channels);
	}
	*ret_played = played;
}

static inline struct fnx_source *must_open(
	const struct fnx_rig *rig, const struct fnx_nwb_limits *limits)
{
	struct fnx_source *source = NULL;
	char error[1024] = "";
	int r = fnx_source_nwb_open_limited(rig, limits, &source, error, sizeof(error));

	if (r < 0)
		print_message("%s\n", error);
	assert_int_equal(r, 0);
	return source;
}

/* All events of the session, at most n_max. */
static inline size_t play(const struct fnx_rig *rig, const struct fnx_nwb_limits *limits,
	struct played *ret_played, size_t n_max)
{
	struct fnx_source *source = must_open(rig, limits);
	struct fnx_event event;
	size_t n = 0;
	int r;

	while ((r = fnx_source_nwb.next(source, &event)) == 1) {
		assert_true(n < n_max);
		copy_event(&event, &ret_played[n++]);
	}
	if (r < 0)
		print_message("%s\n", fnx_source_nwb.error(source));
	assert_int_equal(r, 0);
	assert_int_equal(fnx_source_nwb.next(source, &event), 0);
	assert_null(fnx_source_nwb.close(source));
	return n;
}

/* The rig is refused with `expected`, in one line that names the file and holds every one of
 * `words`. */
static inline void assert_refused(const struct fnx_rig *rig, int expected, const char *const *words)
{
	struct fnx_source *source = NULL;
	char error[1024] = "";
	int r = fnx_source_nwb.open(rig, NULL, &source, error, sizeof(error));

	if (r != expected)
		print_message("%d: %s\n", r, error);
	assert_int_equal(r, expected);
	assert_null(source);
	assert_null(strchr(error, '\n'));
	assert_non_null(strstr(error, rig->source.file));
	for (; *words; words++) {
		if (!strstr(error, *words))
			print_message("expected '%s' in: %s\n", *words, error);
		assert_non_null(strstr(error, *words));
	}
}

#define REFUSED(rig, expected, ...) \
	assert_refused(rig, expected, (const char *const[]){__VA_ARGS__, NULL})
