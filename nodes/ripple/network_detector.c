/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is remembered is one block without pointers: counts, statistics, the last finite sample, the
 * window's rows of z, and with a low-pass the rows of its history. Both are rings. As in envelope.c
 * their rows need no journal: a step that is done again overwrites the same row.
 */
#include "nodes/ripple/network_detector.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"
#include "nodes/ripple/envelope.h"

enum {
	N_ROWS = 3, /* mean, m2, last */
	TAPS_MAX = 2047,
};

struct counts {
	uint64_t n_lfp; /* samples seen */
	uint64_t n_taken; /* of these kept at the network's rate */
	uint64_t n_statistics; /* in mean and m2 */
	uint64_t onset; /* n_lfp at the onset, counted from 1; 0: idle */
	double output;
};

struct fnx_network_detector {
	struct fnx_network *network;
	uint32_t n_channels, height, step, n_taps;
	double lfp_rate_hz, rate_hz; /* of the LFP, and the network's */
	uint64_t calibration_samples;
	struct fnx_network_detector_params params;
	struct counts *counts; /* in memory, as all to `history` */
	double *mean, *m2, *last; /* [n_channels] */
	double *window; /* [height][n_channels] ring: row n_taken % height is the oldest */
	double *history; /* [n_taps][n_channels] ring */
	double *taps;
	double *input; /* [height][n_channels] in order */
	double *output;
	double *sample; /* [n_channels] */
	void *owned, *work;
	struct fnx_journal *journal;
};

static bool params_valid(const struct fnx_network_detector_params *params)
{
	return isfinite(params->threshold) && !isnan(params->max_speed_cm_s) &&
		params->max_samples > 0;
}

static bool config_valid(const struct fnx_network_detector_config *config)
{
	struct fnx_network_shape input = fnx_network_input(config->network);

	return (uint64_t)input.width * input.n_channels == config->n_channels &&
		config->n_channels > 0 && config->step > 0 && config->rate_hz > 0 &&
		isfinite(config->lfp_rate_hz) && config->rate_hz <= config->lfp_rate_hz &&
		config->n_taps <= TAPS_MAX && params_valid(&config->params);
}

static size_t n_rows(const struct fnx_network_detector_config *config)
{
	return N_ROWS + (size_t)fnx_network_input(config->network).height + config->n_taps;
}

size_t fnx_network_detector_memory_size(const struct fnx_network_detector_config *config)
{
	return sizeof(struct counts) + n_rows(config) * config->n_channels * sizeof(double);
}

static void lay_out(struct fnx_network_detector *detector, void *memory)
{
	size_t n = detector->n_channels;

	detector->counts = memory;
	detector->mean = (double *)(void *)(detector->counts + 1);
	detector->m2 = detector->mean + n;
	detector->last = detector->m2 + n;
	detector->window = detector->last + n;
	detector->history = detector->window + detector->height * n;
}

/* Counts that a step could have left. */
static bool is_sound(const struct fnx_network_detector *detector)
{
	const struct counts *counts = detector->counts;

	return counts->n_lfp < UINT64_C(1) << 52 && counts->n_taken <= counts->n_lfp &&
		counts->onset <= counts->n_lfp;
}

static int take_memory(
	struct fnx_network_detector *detector, const struct fnx_network_detector_config *config)
{
	size_t n = fnx_network_values(fnx_network_input(config->network)),
	       n_outputs = fnx_network_values(fnx_network_output(config->network));
	double *work = calloc(n + n_outputs + config->n_channels + config->n_taps, sizeof(*work));
	void *memory = config->memory;

	detector->work = work;
	if (!memory)
		memory = detector->owned = calloc(1, fnx_network_detector_memory_size(config));
	if (!work || !memory)
		return -ENOMEM;
	detector->input = work;
	detector->output = detector->input + n;
	detector->sample = detector->output + n_outputs;
	detector->taps = detector->sample + config->n_channels;
	if (config->n_taps)
		memcpy(detector->taps, config->taps, config->n_taps * sizeof(double));
	lay_out(detector, memory);
	if (!config->memory || !config->resumed) {
		memset(memory, 0, fnx_network_detector_memory_size(config));
		detector->counts->output = NAN;
	}
	return is_sound(detector) ? 0 : -EBADMSG;
}

int fnx_network_detector_new(const struct fnx_network_detector_config *config,
	struct fnx_network_detector **ret_detector)
{
	struct fnx_network_detector *detector;
	int r;

	if (!config_valid(config))
		return -EINVAL;
	detector = calloc(1, sizeof(*detector));
	if (!detector)
		return -ENOMEM;
	detector->network = config->network;
	detector->n_channels = config->n_channels;
	detector->height = fnx_network_input(config->network).height;
	detector->step = config->step;
	detector->n_taps = config->n_taps;
	detector->lfp_rate_hz = config->lfp_rate_hz;
	detector->rate_hz = config->rate_hz;
	detector->calibration_samples = config->calibration_samples;
	detector->params = config->params;
	detector->journal = config->journal;
	r = take_memory(detector, config);
	if (r)
		fnx_network_detector_free(detector);
	else
		*ret_detector = detector;
	return r;
}

struct fnx_network_detector *fnx_network_detector_free(struct fnx_network_detector *detector)
{
	if (detector) {
		free(detector->owned);
		free(detector->work);
		free(detector);
	}
	return NULL;
}

int fnx_network_detector_set(
	struct fnx_network_detector *detector, const struct fnx_network_detector_params *params)
{
	if (!params_valid(params))
		return -EINVAL;
	detector->params = *params;
	return 0;
}

static double deviation_of(const struct fnx_network_detector *detector, uint32_t channel)
{
	return sqrt(detector->m2[channel] / (double)detector->counts->n_statistics);
}

int fnx_network_detector_seed(struct fnx_network_detector *detector, const double *mean,
	const double *deviation, uint64_t n_samples)
{
	uint32_t n = detector->n_channels;

	for (uint32_t c = 0; c < n; c++)
		if (n_samples < 1 || !isfinite(mean[c]) || !isfinite(deviation[c]) ||
			deviation[c] < 0)
			return -EINVAL;
	fnx_journal_touch(detector->journal, detector->counts, sizeof(*detector->counts));
	fnx_journal_touch(detector->journal, detector->mean, 2 * (size_t)n * sizeof(double));
	/* More than the calibration needs: it is over. */
	if (n_samples < detector->calibration_samples)
		n_samples = detector->calibration_samples;
	detector->counts->n_statistics = n_samples;
	for (uint32_t c = 0; c < n; c++) {
		detector->mean[c] = mean[c];
		detector->m2[c] = deviation[c] * deviation[c] * (double)n_samples;
	}
	return 0;
}

struct fnx_detector_statistics fnx_network_detector_statistics(
	const struct fnx_network_detector *detector, uint32_t channel)
{
	return (struct fnx_detector_statistics){
		.mean = detector->mean[channel],
		.deviation = deviation_of(detector, channel),
		.n_samples = detector->counts->n_statistics,
	};
}

double fnx_network_detector_output(const struct fnx_network_detector *detector)
{
	return detector->counts->output;
}

static bool is_calibrated(const struct fnx_network_detector *detector)
{
	return detector->counts->n_statistics >= detector->calibration_samples;
}

/* Into detector->sample: uV, what is no number replaced. */
static void take_sample(
	struct fnx_network_detector *detector, const float *counts, double uv_per_count)
{
	size_t size = detector->n_channels * sizeof(double);

	for (uint32_t c = 0; c < detector->n_channels; c++) {
		double x = (double)counts[c] * uv_per_count;

		detector->sample[c] = fabs(x) <= FNX_LFP_LIMIT_UV ? x : detector->last[c];
	}
	fnx_journal_touch(detector->journal, detector->last, size);
	memcpy(detector->last, detector->sample, size);
	if (detector->n_taps)
		memcpy(detector->history +
				detector->counts->n_lfp % detector->n_taps * detector->n_channels,
			detector->sample, size);
}

/* sample = the low-pass of the history. */
static void filter(struct fnx_network_detector *detector)
{
	uint64_t at = detector->counts->n_lfp;
	uint32_t n = detector->n_channels;

	memset(detector->sample, 0, n * sizeof(double));
	for (uint32_t i = 0; i < detector->n_taps; i++) {
		/* Before the first sample was silence: those rows are zeros. */
		const double *row =
			detector->history + (at + detector->n_taps - i) % detector->n_taps * n;

		for (uint32_t c = 0; c < n; c++)
			detector->sample[c] += detector->taps[i] * row[c];
	}
}

static void learn(struct fnx_network_detector *detector)
{
	uint32_t n = detector->n_channels;
	double n_new = (double)++detector->counts->n_statistics;

	fnx_journal_touch(detector->journal, detector->mean, 2 * (size_t)n * sizeof(double));
	for (uint32_t c = 0; c < n; c++) {
		double delta = detector->sample[c] - detector->mean[c];

		detector->mean[c] += delta / n_new;
		detector->m2[c] += delta * (detector->sample[c] - detector->mean[c]);
	}
}

/* The sample at the network's rate: statistics, then its z into the window. */
static void keep(struct fnx_network_detector *detector)
{
	struct counts *counts = detector->counts;
	double *row;

	if (detector->n_taps)
		filter(detector);
	if (!detector->params.freeze &&
		(!detector->calibration_samples || !is_calibrated(detector)))
		learn(detector);
	row = detector->window + counts->n_taken % detector->height * detector->n_channels;
	for (uint32_t c = 0; c < detector->n_channels; c++) {
		double deviation = deviation_of(detector, c);

		row[c] = deviation > 0 ? (detector->sample[c] - detector->mean[c]) / deviation : 0;
	}
	counts->n_taken++;
}

static void look(struct fnx_network_detector *detector)
{
	size_t row = detector->n_channels,
	       n_late = (size_t)(detector->counts->n_taken % detector->height),
	       n_outputs = fnx_network_values(fnx_network_output(detector->network));

	memcpy(detector->input, detector->window + n_late * row,
		(detector->height - n_late) * row * sizeof(double));
	memcpy(detector->input + (detector->height - n_late) * row, detector->window,
		n_late * row * sizeof(double));
	fnx_network_run(detector->network, detector->input, detector->output);
	detector->counts->output = detector->output[n_outputs - 1];
}

static int judge(struct fnx_network_detector *detector, double speed_cm_s,
	struct fnx_detector_event *ret_event)
{
	const struct fnx_network_detector_params *params = &detector->params;
	struct counts *counts = detector->counts;
	bool above = counts->output > params->threshold;
	uint64_t length = counts->n_lfp - counts->onset;

	*ret_event = (struct fnx_detector_event){
		.channel = FNX_DETECTOR_CONSENSUS, .envelope = NAN, .z = counts->output};
	if (!counts->onset) {
		if (!above || !(speed_cm_s < params->max_speed_cm_s) ||
			counts->n_lfp <= params->warm_up_samples)
			return 0;
		ret_event->type = FNX_DETECTOR_STANDARD;
		counts->onset = counts->n_lfp;
		return 1;
	}
	if ((above || length < params->timeout_samples) && length < params->max_samples)
		return 0;
	ret_event->type = FNX_DETECTOR_END;
	ret_event->forced = above;
	counts->onset = 0;
	return 1;
}

int fnx_network_detector_step(struct fnx_network_detector *detector, const float *counts,
	double uv_per_count, double speed_cm_s, struct fnx_detector_event *ret_event)
{
	struct counts *state = detector->counts;
	bool taken;

	fnx_journal_touch(detector->journal, state, sizeof(*state));
	take_sample(detector, counts, uv_per_count);
	/* In this order: the quotient of the rates is rounded, and its multiples may fall short of
	 * a whole number. */
	taken = (double)state->n_lfp ==
		floor((double)state->n_taken * detector->lfp_rate_hz / detector->rate_hz);
	if (taken)
		keep(detector);
	state->n_lfp++;
	if (!taken || state->n_taken < detector->height ||
		(state->n_taken - detector->height) % detector->step || !is_calibrated(detector))
		return 0;
	look(detector);
	return judge(detector, speed_cm_s, ret_event);
}
