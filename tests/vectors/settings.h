/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ancestor's config.json, as far as its arithmetic depends on it.
 *
 * What is not understood is refused, never guessed: another filter, a model loaded from elsewhere,
 * a section that is missing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodes/acquire/kinematics.h"
#include "nodes/decode/transition.h"
#include "nodes/encode/model.h"
#include "nodes/host/track.h"
#include "nodes/ripple/detector.h"
#include "nodes/ripple/envelope.h"

enum {
	SETTINGS_GROUPS_MAX = 1024,
	SETTINGS_ERROR_SIZE = 512,
};

struct settings {
	double spike_rate_hz, lfp_rate_hz, position_rate_hz;
	bool frozen;
	uint32_t n_groups; /* electrode groups in the decoder's order */
	uint32_t groups[SETTINGS_GROUPS_MAX];
	uint32_t dead_channels[SETTINGS_GROUPS_MAX]; /* bit mask of each group */
	uint32_t n_electrodes; /* LFP channels, by what ripple messages call them */
	uint32_t electrodes[FNX_DETECTOR_CHANNELS_MAX];
	struct fnx_kinematics_config kinematics;
	struct fnx_track_config track;
	uint32_t n_bins; /* of position, at least the track's */
	/* Encoder. */
	double spike_amplitude_uv, min_speed_cm_s;
	uint32_t n_dims, neighbours, capacity;
	double kernel_uv, gate_deviations;
	bool gate;
	uint32_t gate_min_marks;
	/* Ripples. */
	uint32_t filter_order;
	double band_hz[2];
	uint32_t n_smoothing_taps;
	double smoothing_hz[2];
	struct fnx_detector_params ripple;
	/* Decoder. */
	bool classifier;
	uint32_t n_states;
	enum fnx_step steps[FNX_STATES_MAX * FNX_STATES_MAX];
	double discrete_diagonal, bin_cm, random_walk_cm;
	uint32_t spike_buffer, time_bin_samples, delay_samples, lfp_per_bin;
	double credible_mass;
	uint32_t credible_max_bins;
};

/* Reads `path`. -1: `error` [SETTINGS_ERROR_SIZE] holds one line that names the file and what is
 * wrong. */
int settings_read(const char *path, struct settings *ret_settings, char *error);
