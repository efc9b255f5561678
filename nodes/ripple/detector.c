/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nearly every sample crosses nothing. So a step has two parts: one plain loop over all traces,
 * which the compiler turns into vector code, updates the statistics and marks the traces that have
 * something to do (a ripple under way, or the first threshold passed); and the state machine runs
 * for those alone.
 *
 * Everything in the first loop is eight bytes wide, counts and marks too, so that lanes stay
 * aligned.
 */
#include "nodes/ripple/detector.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"

#if defined(__x86_64__) && !defined(FNX_SANITIZED)
#define VECTOR __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define VECTOR
#endif

enum {
	LANES = 8, /* partial sums of the consensus; also what traces are padded to */
	ALIGNMENT = 64,
	N_ROWS = 7,
	BEGINNING = 64, /* samples after which a mean becomes a median */
};

/* Of Gaussian values. The gains are those for which the estimates' errors fall fastest: one over
 * twice the density at the median, in MADs. */
static const double deviation_per_mad = 1.4826022185056018;
static const double mad_per_deviation = 1 / 1.4826022185056018;
static const double median_gain = 1.8581, mad_gain = 1.1664;

enum {
	PASSED_CONDITIONING = 1,
	PASSED_CONTENT = 2
};

struct fnx_detector {
	uint32_t n_channels;
	uint32_t n_padded; /* traces, and padding that is computed and never read */
	bool parity;
	bool median;
	struct fnx_detector_params params;
	/* [n_padded] each */
	double *envelope;
	double *mean;
	double *m2; /* sum of squared differences from the mean; median: MAD, once begun */
	double *n_samples;
	double *deviation;
	int64_t *length; /* samples since the onset, it included; 0: idle */
	int64_t *mark;
	uint8_t *passed; /* [n_padded] */
	void *memory;
	void *owned; /* `memory`, if it is ours */
	struct fnx_journal *journal;
};

const struct fnx_detector_params fnx_detector_params_default = {
	.standard = 3.5,
	.conditioning = 3.75,
	.content = 4,
	.end = 0,
	.max_speed_cm_s = 4,
	.max_samples = 450,
};

static bool params_valid(const struct fnx_detector_params *params)
{
	return isfinite(params->standard) && isfinite(params->conditioning) &&
		isfinite(params->content) && isfinite(params->end) &&
		!isnan(params->max_speed_cm_s) && params->max_samples > 0;
}

static size_t padded(uint32_t n_channels)
{
	return ((size_t)n_channels + 1 + LANES - 1) / LANES * LANES;
}

size_t fnx_detector_memory_size(uint32_t n_channels)
{
	if (n_channels < 1 || n_channels > FNX_DETECTOR_CHANNELS_MAX)
		return 0;
	return (padded(n_channels) * (N_ROWS * sizeof(double) + 1) + ALIGNMENT - 1) / ALIGNMENT *
		ALIGNMENT;
}

/* All bits 0 is 0.0. */
static void clear(struct fnx_detector *detector)
{
	memset(detector->memory, 0, fnx_detector_memory_size(detector->n_channels));
	for (uint32_t t = 0; t <= detector->n_channels; t++) {
		detector->envelope[t] = NAN;
		detector->deviation[t] = NAN;
	}
}

int fnx_detector_new(const struct fnx_detector_config *config, struct fnx_detector **ret_detector)
{
	struct fnx_detector *detector;
	size_t n;

	if (config->n_channels < 1 || config->n_channels > FNX_DETECTOR_CHANNELS_MAX ||
		!params_valid(&config->params) || (config->median && config->parity))
		return -EINVAL;
	detector = calloc(1, sizeof(*detector));
	if (!detector)
		return -ENOMEM;
	n = padded(config->n_channels);
	if (!config->memory)
		detector->owned =
			aligned_alloc(ALIGNMENT, fnx_detector_memory_size(config->n_channels));
	detector->memory = config->memory ? config->memory : detector->owned;
	if (!detector->memory) {
		free(detector);
		return -ENOMEM;
	}
	detector->n_channels = config->n_channels;
	detector->n_padded = (uint32_t)n;
	detector->parity = config->parity;
	detector->median = config->median;
	detector->params = config->params;
	detector->journal = config->journal;
	detector->envelope = detector->memory;
	detector->mean = detector->envelope + n;
	detector->m2 = detector->mean + n;
	detector->n_samples = detector->m2 + n;
	detector->deviation = detector->n_samples + n;
	detector->length = (int64_t *)(void *)(detector->deviation + n);
	detector->mark = detector->length + n;
	detector->passed = (uint8_t *)(void *)(detector->mark + n);
	if (!config->memory || !config->resumed)
		clear(detector);
	*ret_detector = detector;
	return 0;
}

struct fnx_detector *fnx_detector_free(struct fnx_detector *detector)
{
	if (detector) {
		free(detector->owned);
		free(detector);
	}
	return NULL;
}

uint32_t fnx_detector_traces(const struct fnx_detector *detector)
{
	return detector->n_channels + 1;
}

size_t fnx_detector_events_max(const struct fnx_detector *detector)
{
	return (size_t)fnx_detector_traces(detector) * FNX_DETECTOR_EVENTS_PER_TRACE;
}

int fnx_detector_set(struct fnx_detector *detector, const struct fnx_detector_params *params)
{
	if (!params_valid(params))
		return -EINVAL;
	detector->params = *params;
	return 0;
}

const struct fnx_detector_params *fnx_detector_params(const struct fnx_detector *detector)
{
	return &detector->params;
}

/* Mean to deviation: one stretch. */
static void touch_statistics(struct fnx_detector *detector)
{
	fnx_journal_touch(
		detector->journal, detector->mean, 4 * (size_t)detector->n_padded * sizeof(double));
}

int fnx_detector_seed(struct fnx_detector *detector, const double *mean, const double *deviation,
	uint64_t n_samples)
{
	uint32_t n_traces = fnx_detector_traces(detector);

	if (n_samples < 1)
		return -EINVAL;
	for (uint32_t t = 0; t < n_traces; t++)
		if (!isfinite(mean[t]) || !isfinite(deviation[t]) || deviation[t] < 0)
			return -EINVAL;
	touch_statistics(detector);
	for (uint32_t t = 0; t < n_traces; t++) {
		detector->mean[t] = mean[t];
		detector->deviation[t] = deviation[t];
		detector->n_samples[t] = (double)n_samples;
		detector->m2[t] = deviation[t] * deviation[t] * (double)n_samples;
		if (detector->median && n_samples >= BEGINNING)
			detector->m2[t] = deviation[t] / deviation_per_mad;
	}
	return 0;
}

void fnx_detector_reset(struct fnx_detector *detector)
{
	fnx_journal_touch(detector->journal, detector->memory,
		fnx_detector_memory_size(detector->n_channels));
	clear(detector);
}

struct fnx_detector_statistics fnx_detector_statistics(
	const struct fnx_detector *detector, uint32_t trace)
{
	return (struct fnx_detector_statistics){
		.mean = detector->mean[trace],
		.deviation = detector->deviation[trace],
		.n_samples = (uint64_t)detector->n_samples[trace],
	};
}

double fnx_detector_envelope(const struct fnx_detector *detector, uint32_t trace)
{
	return detector->envelope[trace];
}

double fnx_detector_z(const struct fnx_detector *detector, uint32_t trace)
{
	double z = (detector->envelope[trace] - detector->mean[trace]) / detector->deviation[trace];

	return detector->deviation[trace] > 0 ? z : (double)NAN;
}

bool fnx_detector_active(const struct fnx_detector *detector, uint32_t trace)
{
	return detector->length[trace] > 0;
}

/* Mean of the finite values; of all of them when `keep` is set. Sums run in LANES parallel strands,
 * added up in order: for up to LANES values the plain sum. */
VECTOR
static double take_consensus(const double *restrict x, uint32_t n, bool keep)
{
	double sum[LANES] = {0}, n_finite[LANES] = {0};
	double total = 0, n_total = 0;
	uint32_t c = 0;

	for (; c + LANES <= n; c += LANES) {
		for (uint32_t lane = 0; lane < LANES; lane++) {
			bool taken = keep || x[c + lane] - x[c + lane] == 0;

			sum[lane] += taken ? x[c + lane] : 0;
			n_finite[lane] += taken ? 1 : 0;
		}
	}
	for (uint32_t lane = 0; c + lane < n; lane++) {
		bool taken = keep || x[c + lane] - x[c + lane] == 0;

		sum[lane] += taken ? x[c + lane] : 0;
		n_finite[lane] += taken ? 1 : 0;
	}
	for (uint32_t lane = 0; lane < LANES; lane++) {
		total += sum[lane];
		n_total += n_finite[lane];
	}
	return total / n_total;
}

/* Welford's update of every trace; values that are not finite change nothing unless `keep` is set.
 */
VECTOR
static void learn(const double *restrict x, double *restrict mean, double *restrict m2,
	double *restrict n_samples, double *restrict deviation, uint32_t n, bool keep)
{
	for (uint32_t t = 0; t < n; t++) {
		bool taken = keep || x[t] - x[t] == 0;
		double n_new = n_samples[t] + 1;
		double delta = x[t] - mean[t];
		double mean_new = mean[t] + delta / n_new;
		double m2_new = m2[t] + delta * (x[t] - mean_new);
		double deviation_new = sqrt(m2_new / n_new);

		n_samples[t] = taken ? n_new : n_samples[t];
		mean[t] = taken ? mean_new : mean[t];
		m2[t] = taken ? m2_new : m2[t];
		deviation[t] = taken ? deviation_new : deviation[t];
	}
}

/* As learn: up to BEGINNING samples the same, from then on median and MAD. The MAD moves by a
 * factor, so it stays above 0. Where it is 0, the signal having stood still, a value's own distance
 * stands in for it. */
VECTOR
static void learn_median(const double *restrict x, double *restrict median, double *restrict mad,
	double *restrict n_samples, double *restrict deviation, uint32_t n)
{
	for (uint32_t t = 0; t < n; t++) {
		bool taken = x[t] - x[t] == 0, begins = n_samples[t] < BEGINNING;
		double n_new = n_samples[t] + 1, share = 1 / n_new;
		double delta = x[t] - median[t];
		double mean = median[t] + delta * share;
		double m2 = mad[t] + delta * (x[t] - mean);
		double deviation_first = sqrt(m2 * share);
		double mad_first = n_new < BEGINNING ? m2 : deviation_first * mad_per_deviation;
		double distance = fabs(delta);
		double scale = mad[t] > 0 ? mad[t] : distance;
		double step = median_gain * scale * share;
		double median_next = median[t] + (delta > 0 ? step : delta < 0 ? -step : 0);
		double change = mad_gain * share;
		double mad_next = scale * (distance > scale ? 1 + change : 1 - change);
		double mad_new = begins ? mad_first : mad_next;

		n_samples[t] = taken ? n_new : n_samples[t];
		median[t] = taken ? begins ? mean : median_next : median[t];
		mad[t] = taken ? mad_new : mad[t];
		deviation[t] = !taken ? deviation[t]
			: begins      ? deviation_first
				      : mad_new * deviation_per_mad;
	}
}

/* Marks the traces that are in a ripple or above the threshold; 0 when there is none. */
VECTOR
static int64_t mark_busy(const double *restrict x, const double *restrict mean,
	const double *restrict deviation, const int64_t *restrict length, int64_t *restrict mark,
	double standard, uint32_t n)
{
	int64_t any = 0;

	for (uint32_t t = 0; t < n; t++) {
		int64_t above = x[t] > mean[t] + standard * deviation[t] ? 1 : 0;

		mark[t] = length[t] | above;
		any |= mark[t];
	}
	return any;
}

static struct fnx_detector_event *emit(struct fnx_detector_event *event,
	const struct fnx_detector *detector, uint32_t trace, enum fnx_detector_event_type type)
{
	*event = (struct fnx_detector_event){
		.channel = trace == detector->n_channels ? FNX_DETECTOR_CONSENSUS : (int32_t)trace,
		.type = type,
		.envelope = detector->envelope[trace],
		.z = fnx_detector_z(detector, trace),
	};
	return event + 1;
}

static bool is_above(const struct fnx_detector *detector, uint32_t trace, double threshold)
{
	return detector->envelope[trace] >
		detector->mean[trace] + threshold * detector->deviation[trace];
}

static bool may_start(const struct fnx_detector *detector, uint32_t trace, double speed_cm_s)
{
	const struct fnx_detector_params *params = &detector->params;

	return speed_cm_s < params->max_speed_cm_s &&
		detector->n_samples[trace] > params->warm_up_samples &&
		(detector->parity || detector->deviation[trace] > 0) &&
		is_above(detector, trace, params->standard);
}

static struct fnx_detector_event *step_ripple(
	struct fnx_detector *detector, uint32_t trace, struct fnx_detector_event *event)
{
	const struct fnx_detector_params *params = &detector->params;
	uint8_t *passed = &detector->passed[trace];
	double x = detector->envelope[trace];
	bool below;

	detector->length[trace]++;
	if (!(*passed & PASSED_CONDITIONING) && is_above(detector, trace, params->conditioning)) {
		event = emit(event, detector, trace, FNX_DETECTOR_CONDITIONING);
		*passed |= PASSED_CONDITIONING;
	}
	if (!(*passed & PASSED_CONTENT) && is_above(detector, trace, params->content)) {
		event = emit(event, detector, trace, FNX_DETECTOR_CONTENT);
		*passed |= PASSED_CONTENT;
	}
	below = x <= detector->mean[trace] + params->end * detector->deviation[trace];
	if (below || detector->length[trace] >= params->max_samples) {
		emit(event, detector, trace, FNX_DETECTOR_END);
		event->forced = !below;
		if (detector->parity)
			event->z = NAN;
		event++;
		detector->length[trace] = 0;
		*passed = 0;
	}
	return event;
}

size_t fnx_detector_step(struct fnx_detector *detector, const double *envelope, double speed_cm_s,
	struct fnx_detector_event *ret_events)
{
	struct fnx_detector_event *event = ret_events;
	uint32_t n = detector->n_padded;
	bool keep = detector->parity;

	memcpy(detector->envelope, envelope, detector->n_channels * sizeof(double));
	detector->envelope[detector->n_channels] =
		take_consensus(envelope, detector->n_channels, keep);
	if (!detector->params.freeze) {
		touch_statistics(detector);
		if (detector->median)
			learn_median(detector->envelope, detector->mean, detector->m2,
				detector->n_samples, detector->deviation, n);
		else
			learn(detector->envelope, detector->mean, detector->m2, detector->n_samples,
				detector->deviation, n, keep);
	}
	if (!mark_busy(detector->envelope, detector->mean, detector->deviation, detector->length,
		    detector->mark, detector->params.standard, n))
		return 0;
	fnx_journal_touch(detector->journal, detector->length, n * sizeof(*detector->length));
	fnx_journal_touch(detector->journal, detector->passed, n);
	for (uint32_t t = 0; t <= detector->n_channels; t++) {
		if (!detector->mark[t])
			continue;
		if (detector->length[t] > 0) {
			event = step_ripple(detector, t, event);
		} else if (may_start(detector, t, speed_cm_s)) {
			event = emit(event, detector, t, FNX_DETECTOR_STANDARD);
			detector->length[t] = 1;
		}
	}
	return (size_t)(event - ret_events);
}
