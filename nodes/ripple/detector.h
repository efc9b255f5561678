/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sharp-wave ripples in envelopes: a running mean and deviation per trace, and a state machine per
 * trace that compares the envelope with mean + threshold * deviation. The traces are the channels,
 * 0 to n_channels - 1, and last the consensus: the mean of all channels' envelopes.
 *
 *	idle --- envelope > standard, speed < max_speed_cm_s ---> ripple            STANDARD
 *	ripple: envelope > conditioning, once                                       CONDITIONING
 *	ripple: envelope > content, once                                            CONTENT
 *	ripple --- envelope <= end, or max_samples since the onset ---> idle        END
 *
 * Statistics take each sample before it is compared (Welford's update), unless frozen. z =
 * (envelope - mean) / deviation, NAN where there is no deviation yet.
 *
 * With `parity` a value that is not finite goes into the statistics like any other, as in the
 * published decoder, and spoils its trace and the consensus from then on; an END has no z (NAN).
 * Otherwise such a value is left out of its trace's statistics and of the consensus, and matches
 * no threshold (a ripple under way can then only end by its length); a trace whose deviation is 0
 * starts no ripple.
 *
 * With `median` the mean is a running median and the deviation 1.4826 times the running median of
 * the distances from it (MAD; of Gaussian values that is the deviation). Both are estimated in two
 * numbers of memory by stochastic approximation: each sample moves the estimate up or down by a
 * step that falls as 1 / n, in proportion to the MAD. Of 10^5 independent samples the median ends
 * within about 0.01 deviations of the true one; one value, however large, moves it by one step.
 * The first 64 samples are taken as mean and deviation, to begin with.
 *
 * One thread per detector. fnx_detector_step and the setters allocate nothing and call no system.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FNX_DETECTOR_CHANNELS_MAX = 512,
	FNX_DETECTOR_EVENTS_PER_TRACE = 4, /* room that a step needs in ret_events for each trace */
	FNX_DETECTOR_CONSENSUS = -1, /* as an event's channel */
};

enum fnx_detector_event_type {
	FNX_DETECTOR_STANDARD = 0,
	FNX_DETECTOR_CONDITIONING = 1,
	FNX_DETECTOR_CONTENT = 2,
	FNX_DETECTOR_END = 3,
};

struct fnx_detector_event {
	int32_t channel; /* from 0; FNX_DETECTOR_CONSENSUS */
	enum fnx_detector_event_type type;
	bool forced; /* END by length, the envelope being still above the end threshold */
	double envelope; /* uV */
	double z;
};

/* May change between any two samples. A ripple under way goes on under the new values. */
struct fnx_detector_params {
	double standard; /* thresholds, in deviations above the mean */
	double conditioning;
	double content;
	double end;
	double max_speed_cm_s; /* onsets only below it; INFINITY: at any speed */
	uint32_t max_samples; /* a ripple of this many samples is ended, >= 1 */
	uint32_t warm_up_samples; /* no onset before more than this many samples are in the
				     statistics */
	bool freeze; /* statistics stay as they are */
};

/* 3.5, 3.75, 4, 0; 4 cm/s; 450 samples; no warm-up; not frozen. */
extern const struct fnx_detector_params fnx_detector_params_default;

struct fnx_journal;

struct fnx_detector_config {
	uint32_t n_channels; /* 1..FNX_DETECTOR_CHANNELS_MAX */
	bool parity;
	struct fnx_detector_params params;
	bool median; /* median and 1.4826 * MAD instead of mean and deviation; not with parity */
	/* Where statistics and ripples under way lie: fnx_detector_memory_size bytes, 64-aligned,
	 * that outlive the detector; NULL: memory of its own. */
	void *memory;
	bool resumed; /* go on with what `memory` holds */
	struct fnx_journal *journal; /* over `memory`: hears of each change; NULL: none */
};

struct fnx_detector_statistics {
	double mean; /* uV */
	double deviation; /* uV; NAN while n_samples is 0 */
	uint64_t n_samples;
};

struct fnx_detector;

/* 0: the number of channels is out of range. */
size_t fnx_detector_memory_size(uint32_t n_channels);
/* -EINVAL: number of channels out of range, a threshold that is not finite, max_speed_cm_s NAN,
 * max_samples 0; -ENOMEM. */
int fnx_detector_new(const struct fnx_detector_config *config, struct fnx_detector **ret_detector);
/* NULL, always. */
struct fnx_detector *fnx_detector_free(struct fnx_detector *detector);

/* Traces: n_channels + 1. The consensus is the last. */
uint32_t fnx_detector_traces(const struct fnx_detector *detector);
/* Events that one step can return at most: FNX_DETECTOR_EVENTS_PER_TRACE for each trace. */
size_t fnx_detector_events_max(const struct fnx_detector *detector);

/* -EINVAL as in new; the parameters in force then stay. Frame path. */
int fnx_detector_set(struct fnx_detector *detector, const struct fnx_detector_params *params);
const struct fnx_detector_params *fnx_detector_params(const struct fnx_detector *detector);

/* Statistics as if `n_samples` (>= 1) samples of this `mean` and `deviation` ([n_channels + 1],
 * consensus last, uV) had been seen; they go on from there unless frozen. -EINVAL, and nothing
 * changed: a mean that is not finite, a deviation that is negative or not finite, no samples. */
int fnx_detector_seed(struct fnx_detector *detector, const double *mean, const double *deviation,
	uint64_t n_samples);
/* No statistics and no ripple under way, as after new. The parameters stay. */
void fnx_detector_reset(struct fnx_detector *detector);

struct fnx_detector_statistics fnx_detector_statistics(
	const struct fnx_detector *detector, uint32_t trace);

/* Takes one sample of the envelopes (`envelope` [n_channels], uV) with the animal's speed (cm/s;
 * NAN, unknown, starts no ripple). Writes what crossed to `ret_events` (room for
 * fnx_detector_events_max), by trace and in the order of the types, and returns how many. Frame
 * path. */
size_t fnx_detector_step(struct fnx_detector *detector, const double *envelope, double speed_cm_s,
	struct fnx_detector_event *ret_events);

/* Of the sample last stepped; NAN before the first. */
double fnx_detector_envelope(const struct fnx_detector *detector, uint32_t trace);
double fnx_detector_z(const struct fnx_detector *detector, uint32_t trace);
/* Is a ripple under way? */
bool fnx_detector_active(const struct fnx_detector *detector, uint32_t trace);
