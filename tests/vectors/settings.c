/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Getters take a dotted path and remember the first thing that was wrong, so that the reading below
 * can be a plain list; values read after an error are 0 and never used.
 */
#include "tests/vectors/settings.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	json_t *root;
	const char *path;
	char *error; /* empty: nothing was wrong */
};

__attribute__((format(printf, 2, 3))) static void wrong(
	struct reader *reader, const char *format, ...)
{
	va_list arguments;
	int n;

	if (reader->error[0])
		return;
	n = snprintf(reader->error, SETTINGS_ERROR_SIZE, "%s: ", reader->path);
	if (n < 0 || n >= SETTINGS_ERROR_SIZE)
		return;
	va_start(arguments, format);
	vsnprintf(reader->error + n, (size_t)(SETTINGS_ERROR_SIZE - n), format, arguments);
	va_end(arguments);
}

static json_t *find(struct reader *reader, const char *key)
{
	json_t *at = reader->root;
	char part[64];

	for (const char *rest = key; at && *rest; rest += *rest == '.') {
		const size_t n = strcspn(rest, ".");

		snprintf(part, sizeof(part), "%.*s", (int)n, rest);
		at = json_object_get(at, part);
		rest += n;
	}
	return at;
}

static json_t *need(struct reader *reader, const char *key)
{
	json_t *at = find(reader, key);

	if (!at)
		wrong(reader, "%s is missing", key);
	return at;
}

/* True and false count as 1 and 0, as they do in Python. */
static double number_of(struct reader *reader, const char *key, const json_t *at)
{
	if (json_is_number(at))
		return json_number_value(at);
	if (json_is_boolean(at))
		return json_is_true(at) ? 1.0 : 0.0;
	if (at)
		wrong(reader, "%s is not a number", key);
	return 0.0;
}

static double number(struct reader *reader, const char *key)
{
	return number_of(reader, key, need(reader, key));
}

static uint32_t whole_of(
	struct reader *reader, const char *key, const json_t *at, uint32_t least, uint32_t most)
{
	const double value = number_of(reader, key, at);

	if (at && !(value >= least && value <= most && value == floor(value))) {
		wrong(reader, "%s is %g, not a whole number from %u to %u", key, value, least,
			most);
		return least;
	}
	return at ? (uint32_t)value : least;
}

static uint32_t whole(struct reader *reader, const char *key, uint32_t least, uint32_t most)
{
	return whole_of(reader, key, need(reader, key), least, most);
}

static bool truth(struct reader *reader, const char *key)
{
	return number(reader, key) != 0.0;
}

static const char *text(struct reader *reader, const char *key)
{
	const json_t *at = need(reader, key);

	if (at && !json_is_string(at))
		wrong(reader, "%s is not a string", key);
	return json_is_string(at) ? json_string_value(at) : "";
}

/* An array of `least` to `most` elements. */
static json_t *array(
	struct reader *reader, const char *key, size_t least, size_t most, size_t *ret_n)
{
	json_t *at = need(reader, key);
	const size_t n = json_array_size(at);

	if (at && (!json_is_array(at) || n < least || n > most))
		wrong(reader, "%s is not an array of %zu to %zu elements", key, least, most);
	*ret_n = json_is_array(at) && n >= least && n <= most ? n : 0;
	return at;
}

static void numbers(struct reader *reader, const char *key, size_t n, double *ret_values)
{
	size_t given;
	const json_t *at = array(reader, key, n, n, &given);

	for (size_t i = 0; i < given; i++)
		ret_values[i] = number_of(reader, key, json_array_get(at, i));
}

static uint32_t ids(
	struct reader *reader, const char *key, const json_t *at, uint32_t most, uint32_t *ret_ids)
{
	const size_t n = json_array_size(at);

	if (at && (!json_is_array(at) || n < 1 || n > most)) {
		wrong(reader, "%s is not an array of 1 to %u elements", key, most);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		ret_ids[i] = whole_of(reader, key, json_array_get(at, i), 0, INT32_MAX);
	return (uint32_t)n;
}

/* One decoder's groups come in its own order; with several the output could be any one's. */
static void read_groups(struct reader *reader, struct settings *settings)
{
	const char *key;
	json_t *value, *decoders = need(reader, "decoder_assignment");
	json_t *dead = find(reader, "encoder.dead_channels");

	if (json_object_size(decoders) != 1)
		wrong(reader, "decoder_assignment does not name one decoder");
	json_object_foreach(decoders, key, value)
	{
		settings->n_groups = ids(
			reader, "decoder_assignment", value, SETTINGS_GROUPS_MAX, settings->groups);
	}
	json_object_foreach(dead, key, value)
	{
		uint32_t channels[FNX_MARK_DIMS_MAX];
		const uint32_t n = json_array_size(value) == 0
			? 0
			: ids(reader, "encoder.dead_channels", value, FNX_MARK_DIMS_MAX, channels);

		for (uint32_t g = 0; g < settings->n_groups; g++)
			for (uint32_t i = 0; i < n && settings->groups[g] == strtoul(key, NULL, 10);
				i++)
				settings->dead_channels[g] |= 1u << (channels[i] & 31);
	}
	settings->n_electrodes =
		ids(reader, "trode_selection.ripples", need(reader, "trode_selection.ripples"),
			FNX_DETECTOR_CHANNELS_MAX, settings->electrodes);
}

static void read_rates(struct reader *reader, struct settings *settings)
{
	settings->spike_rate_hz = number(reader, "sampling_rate.spikes");
	settings->lfp_rate_hz = number(reader, "sampling_rate.lfp");
	settings->position_rate_hz = number(reader, "sampling_rate.position");
	if (!(settings->spike_rate_hz > 0.0) || !(settings->lfp_rate_hz > 0.0) ||
		!(settings->position_rate_hz > 0.0))
		wrong(reader, "sampling_rate holds a rate that is not above 0");
}

static void read_kinematics(struct reader *reader, struct settings *settings)
{
	struct fnx_kinematics_config *kinematics = &settings->kinematics;
	size_t n;

	array(reader, "kinematics.smoothing_filter", 1, FNX_KINEMATICS_TAPS_MAX, &n);
	kinematics->n_taps = (uint32_t)n;
	numbers(reader, "kinematics.smoothing_filter", n, kinematics->taps);
	kinematics->scale = number(reader, "kinematics.scale_factor");
	kinematics->smooth_x = truth(reader, "kinematics.smooth_x");
	kinematics->smooth_y = truth(reader, "kinematics.smooth_y");
	kinematics->smooth_speed = truth(reader, "kinematics.smooth_speed");
	kinematics->rate_hz = settings->position_rate_hz;
	kinematics->clock_hz = settings->spike_rate_hz;
	kinematics->parity = true;
}

static void read_track(struct reader *reader, struct settings *settings)
{
	struct fnx_track_config *track = &settings->track;
	const char *const coords_key = "encoder.position.arm_coords";
	const json_t *coords;
	size_t n_arms;

	settings->n_bins = whole(reader, "encoder.position.num_bins", 1, FNX_TRACK_BINS_MAX);
	if (number(reader, "encoder.position.lower") != 0.0 ||
		number(reader, "encoder.position.upper") != settings->n_bins)
		wrong(reader, "encoder.position does not run from 0 to num_bins in bins of 1");
	coords = array(reader, coords_key, 1, FNX_TRACK_ARMS_MAX, &n_arms);
	track->bin_cm = 1.0;
	track->n_arms = (uint32_t)n_arms;
	for (size_t i = 0; i < n_arms; i++) {
		const json_t *arm = json_array_get(coords, i);

		if (json_array_size(arm) != 2)
			wrong(reader, "%s: arm %zu is not [first bin, last bin]", coords_key, i);
		track->arms[i].first_bin = whole_of(
			reader, coords_key, json_array_get(arm, 0), 0, settings->n_bins - 1);
		track->arms[i].last_bin = whole_of(
			reader, coords_key, json_array_get(arm, 1), 0, settings->n_bins - 1);
	}
	track->n_segments =
		ids(reader, "encoder.position.arm_ids", need(reader, "encoder.position.arm_ids"),
			FNX_TRACK_SEGMENTS_MAX, track->segment_arms);
}

static void read_encoder(struct reader *reader, struct settings *settings)
{
	settings->spike_amplitude_uv = number(reader, "encoder.spk_amp");
	settings->min_speed_cm_s = number(reader, "encoder.vel_thresh");
	settings->n_dims = whole(reader, "encoder.mark_dim", 1, FNX_MARK_DIMS_MAX);
	settings->neighbours =
		whole(reader, "encoder.use_channel_dist_from_max_amp", 0, FNX_MARK_DIMS_MAX);
	settings->capacity = whole(reader, "encoder.bufsize", 1, FNX_MODEL_CAPACITY_MAX);
	settings->kernel_uv = number(reader, "encoder.mark_kernel.std");
	settings->gate = truth(reader, "encoder.mark_kernel.use_filter");
	settings->gate_deviations = number(reader, "encoder.mark_kernel.n_std");
	settings->gate_min_marks =
		whole(reader, "encoder.mark_kernel.n_marks_min", 0, FNX_MODEL_CAPACITY_MAX);
	settings->frozen = truth(reader, "frozen_model");
	if (truth(reader, "preloaded_model"))
		wrong(reader, "preloaded_model: the model is not part of the directory");
}

static void read_ripples(struct reader *reader, struct settings *settings)
{
	struct fnx_detector_params *ripple = &settings->ripple;
	double desired[2] = {0};

	if (strcmp(text(reader, "ripples.filter.type"), "iir") != 0 ||
		strcmp(text(reader, "ripples.filter.kwargs.btype"), "bandpass") != 0 ||
		strcmp(text(reader, "ripples.filter.kwargs.ftype"), "butter") != 0)
		wrong(reader, "ripples.filter is not an iir Butterworth band-pass");
	settings->filter_order = whole(reader, "ripples.filter.order", 1, 8);
	numbers(reader, "ripples.filter.crit_freqs", 2, settings->band_hz);
	settings->n_smoothing_taps =
		whole(reader, "ripples.smoothing_filter.num_taps", 1, FNX_ENVELOPE_TAPS_MAX);
	numbers(reader, "ripples.smoothing_filter.band_edges", 2, settings->smoothing_hz);
	numbers(reader, "ripples.smoothing_filter.desired", 2, desired);
	if (desired[0] != 1.0 || desired[1] != 0.0)
		wrong(reader, "ripples.smoothing_filter.desired is not [1, 0]");
	ripple->standard = number(reader, "ripples.threshold.standard");
	ripple->conditioning = number(reader, "ripples.threshold.conditioning");
	ripple->content = number(reader, "ripples.threshold.content");
	ripple->end = number(reader, "ripples.threshold.end");
	ripple->max_speed_cm_s = number(reader, "ripples.vel_thresh");
	ripple->max_samples = whole(reader, "ripples.max_ripple_samples", 1, INT32_MAX);
	ripple->freeze = truth(reader, "ripples.freeze_stats");
}

static enum fnx_step step_of(struct reader *reader, const char *key, const json_t *at)
{
	const char *name = json_string_value(at) ? json_string_value(at) : "nothing";

	if (strcmp(name, "uniform") == 0)
		return FNX_STEP_UNIFORM;
	if (strcmp(name, "random_walk") == 0)
		return FNX_STEP_RANDOM_WALK;
	if (strcmp(name, "identity") != 0)
		wrong(reader, "%s: %s is not random_walk, uniform or identity", key, name);
	return FNX_STEP_IDENTITY;
}

static void read_classifier(struct reader *reader, struct settings *settings)
{
	const char *const key = "clusterless_classifier.continuous_transition.type";
	size_t n;
	const json_t *rows = array(reader, key, 1, FNX_STATES_MAX, &n), *discrete;

	settings->n_states = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		if (json_array_size(json_array_get(rows, i)) != n)
			wrong(reader, "%s: row %zu does not have %zu entries", key, i, n);
		for (size_t j = 0; j < n; j++)
			settings->steps[i * n + j] =
				step_of(reader, key, json_array_get(json_array_get(rows, i), j));
	}
	array(reader, "clusterless_classifier.state_labels", n, n, &n);
	discrete = array(reader, "clusterless_classifier.discrete_transition.type", 1, 1, &n);
	if (n == 1 &&
		(!json_is_string(json_array_get(discrete, 0)) ||
			strcmp(json_string_value(json_array_get(discrete, 0)), "strong_diagonal") !=
				0))
		wrong(reader, "clusterless_classifier.discrete_transition is not strong_diagonal");
	settings->discrete_diagonal =
		number(reader, "clusterless_classifier.discrete_transition.diagonal");
	settings->bin_cm =
		number(reader, "clusterless_classifier.continuous_transition.cm_per_bin");
	settings->random_walk_cm =
		number(reader, "clusterless_classifier.continuous_transition.gaussian_std");
}

static void read_decoder(struct reader *reader, struct settings *settings)
{
	const char *algorithm = text(reader, "algorithm");
	double samples_per_lfp;

	settings->classifier = strcmp(algorithm, "clusterless_classifier") == 0;
	if (!settings->classifier && strcmp(algorithm, "clusterless_decoder") != 0)
		wrong(reader,
			"algorithm is neither clusterless_decoder nor clusterless_classifier");
	settings->n_states = 1;
	settings->steps[0] = FNX_STEP_UNIFORM;
	if (settings->classifier)
		read_classifier(reader, settings);
	else if (!(number(reader, "clusterless_decoder.transmat_bias") > 0.0))
		wrong(reader, "clusterless_decoder.transmat_bias is not above 0");
	settings->spike_buffer = whole(reader, "decoder.bufsize", 1, 1u << 20);
	settings->time_bin_samples = whole(reader, "decoder.time_bin.samples", 1, INT32_MAX);
	settings->delay_samples = whole(reader, "decoder.time_bin.delay_samples", 0, INT32_MAX);
	samples_per_lfp = settings->spike_rate_hz / settings->lfp_rate_hz;
	settings->lfp_per_bin = (uint32_t)lround(settings->time_bin_samples / samples_per_lfp);
	if (settings->lfp_per_bin < 1)
		wrong(reader, "decoder.time_bin.samples is shorter than an LFP sample");
	settings->credible_mass = number(reader, "cred_interval.val");
	settings->credible_max_bins = whole(reader, "cred_interval.max_num", 0, INT32_MAX);
}

int settings_read(const char *path, struct settings *ret_settings, char *error)
{
	json_error_t json_error;
	struct reader reader = {.path = path, .error = error};
	struct settings settings = {0};

	error[0] = '\0';
	reader.root = json_load_file(path, 0, &json_error);
	if (!reader.root) {
		if (json_error.line > 0)
			wrong(&reader, "line %d: %s", json_error.line, json_error.text);
		else
			wrong(&reader, "cannot be read");
		return -1;
	}
	read_groups(&reader, &settings);
	read_rates(&reader, &settings);
	read_kinematics(&reader, &settings);
	read_track(&reader, &settings);
	read_encoder(&reader, &settings);
	read_ripples(&reader, &settings);
	read_decoder(&reader, &settings);
	json_decref(reader.root);
	if (error[0])
		return -1;
	*ret_settings = settings;
	return 0;
}
