/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory of vectors in memory: what went into the ancestor and what came out of it, with the
 * shapes checked against each other and against config.json.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/npy.h"
#include "tests/vectors/settings.h"

/* out_like_meta, out_ripple_msgs, out_post_meta: columns of a row. */
enum {
	LIKE_SPIKE,
	LIKE_TIME,
	LIKE_GROUP,
	LIKE_BIN,
	LIKE_CREDIBLE,
	LIKE_COLUMNS
};
enum {
	RIPPLE_TIME,
	RIPPLE_ELECTRODE,
	RIPPLE_TYPE,
	RIPPLE_IS_CONSENSUS,
	RIPPLE_Z,
	RIPPLE_COLUMNS
};
enum {
	POST_TIME,
	POST_LEFT,
	POST_RIGHT,
	POST_SPIKES,
	POST_CREDIBLE,
	POST_CREDIBLE_LIKELIHOOD,
	POST_SPEED,
	POST_COLUMNS
};
enum {
	SESSION_FILES = 21
};

struct session {
	struct settings settings;
	size_t n_positions, n_spikes, n_lfp, n_likelihoods, n_ripples, n_time_bins;
	uint32_t n_channels; /* of the LFP */
	uint32_t n_points; /* of a waveform */
	const int64_t *position_time;
	const int32_t *segment;
	const double *along;
	const double *leds; /* [n_positions][4] x, y, x2, y2 */
	const int64_t *spike_time;
	const int32_t *spike_group;
	const int16_t *waveforms; /* [n_spikes][n_dims][n_points] */
	const int64_t *lfp_time;
	const int16_t *lfp; /* [n_lfp][n_channels] */
	const double *speed;
	const int32_t *position_bin;
	const bool *stored;
	const double *like_meta, *like; /* [n_likelihoods][LIKE_COLUMNS], [][n_bins] */
	const double *filtered, *envelope; /* [n_lfp][n_channels] */
	const double *consensus; /* [n_lfp][2] time, z */
	const double *ripples; /* [n_ripples][RIPPLE_COLUMNS] */
	const double *posterior; /* [n_time_bins][n_states][n_bins] */
	const double *likelihood; /* [n_time_bins][n_bins] */
	const double *post_meta; /* [n_time_bins][POST_COLUMNS] */
	struct fnx_npy files[SESSION_FILES];
	int n_files;
};

/* Reads directory `dir`. -1: `error` [SETTINGS_ERROR_SIZE] holds one line that names the file and
 * what is wrong, and there is nothing to close. */
int session_open(const char *dir, struct session *session, char *error);
void session_close(struct session *session);
