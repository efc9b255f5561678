/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source: where recorded or simulated events come from, one after the other, in the order of
 * their sample times (at equal times: position, then spikes, then LFP, then truth).
 *
 * A source is deterministic: opened twice with the same configuration it yields the same events, so
 * that a restarted acquire can skip those that it has published already. It knows neither the bus
 * nor the wall clock; acquire paces and publishes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fnx_rig;
struct fnx_track;

enum fnx_event_kind {
	FNX_EVENT_POSITION,
	FNX_EVENT_SPIKE,
	FNX_EVENT_LFP,
	FNX_EVENT_TRUTH,
	FNX_EVENT_KINDS,
};

/* Raw tracking of the animal. Where the source knows no second LED, x2 = x and y2 = y. NAN where
 * tracking was lost. */
struct fnx_event_position {
	double x, y, x2, y2; /* camera units (times the rig's scale: cm) */
	int32_t segment; /* track segment, -1: not given, project x and y */
	double along; /* position on the segment, 0..1 */
};

/* Waveform [n_channels][n_points]; value * uv_per_count is in microvolts. */
struct fnx_event_spike {
	uint32_t group; /* electrode group id, as in the rig */
	uint32_t n_channels;
	uint32_t n_points;
	double uv_per_count;
	const float *waveform; /* source's memory, valid until the next call */
};

/* One sample of every LFP channel, [n_channels]. */
struct fnx_event_lfp {
	uint32_t n_channels;
	double uv_per_count;
	const float *samples; /* source's memory, valid until the next call */
};

/* What a simulator knows and an animal does not tell. */
struct fnx_event_truth {
	int32_t bin; /* where the animal is */
	int32_t replay_arm; /* arm being replayed, -1: no replay is going on */
	int32_t replay_bin; /* bin being replayed, -1 */
};

struct fnx_event {
	int64_t sample_time; /* samples of the acquisition clock */
	enum fnx_event_kind kind;
	union {
		struct fnx_event_position position;
		struct fnx_event_spike spike;
		struct fnx_event_lfp lfp;
		struct fnx_event_truth truth;
	};
};

/* What a source will yield, known once it is open. */
struct fnx_source_info {
	int64_t first_sample; /* sample time at which the session begins */
	int64_t last_sample; /* at which it ends, -1 unknown */
	uint32_t n_lfp_channels; /* 0: no LFP */
	uint32_t n_spike_channels; /* largest n_channels of a spike, 0: no spikes */
	uint32_t n_spike_points;
	bool has_position;
	bool has_truth;
};

struct fnx_source;

struct fnx_source_ops {
	const char *name;
	/* Opens what rig->source names. On failure `error` (of `error_size` bytes) holds one line
	 * that names the file, what was expected and what was found. Not real-time. */
	int (*open)(const struct fnx_rig *rig, const struct fnx_track *track,
		struct fnx_source **ret_source, char *error, size_t error_size);
	/* 1: ret_event holds the next event; 0: the session is over; negative errno: the file is
	 * damaged here, `ops->error` tells; what came before is good. May read a file; allocates
	 * nothing. */
	int (*next)(struct fnx_source *source, struct fnx_event *ret_event);
	const struct fnx_source_info *(*info)(const struct fnx_source *source);
	const char *(*error)(const struct fnx_source *source);
	/* Optional. What people should know: once open, what was found; once next has answered 0,
	 * that the file was cut. "": nothing. */
	const char *(*notice)(const struct fnx_source *source);
	struct fnx_source *(*close)(struct fnx_source *source);
};

extern const struct fnx_source_ops fnx_source_simulator;
extern const struct fnx_source_ops fnx_source_nwb;
extern const struct fnx_source_ops fnx_source_mcap;
