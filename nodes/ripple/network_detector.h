/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sharp-wave ripples by a network that looks at a window of LFP: from LFP samples to onsets and
 * ends.
 *
 *	LFP --- to the network's rate --> z = (uV - mean) / deviation --> window --> network --> p
 *	idle --- p > threshold, speed < max_speed_cm_s ---> ripple                        STANDARD
 *	ripple --- p <= threshold, time-out over; or max_samples since the onset ---> idle     END
 *
 * To the network's rate: of the LFP samples those at floor(k * lfp rate / network rate), k from 0,
 * as the published networks were trained, without a filter; or the same of the low-passed LFP.
 * Mean and deviation of each channel (Welford's update) take each sample that is kept: for the
 * calibration time, then they stay and detection begins; without a calibration, all along. A
 * channel that does not vary has z 0. The first window ends with the window's last sample, each
 * next one `step` samples later. Of a network with several outputs the last counts.
 *
 * A sample that is no number, NAN or beyond FNX_LFP_LIMIT_UV, is replaced by the channel's last
 * number.
 *
 * One thread. fnx_network_detector_step allocates nothing and calls no system.
 */
#pragma once

#include "nodes/ripple/detector.h"
#include "nodes/ripple/network.h"

struct fnx_network_detector_params {
	double threshold; /* of the network's output */
	double max_speed_cm_s;
	uint32_t timeout_samples; /* LFP samples that a ripple lasts at least */
	uint32_t max_samples; /* LFP samples that one lasts at most, >= 1 */
	uint32_t warm_up_samples; /* no onset before so many LFP samples */
	bool freeze; /* statistics stay as they are */
};

struct fnx_network_detector_config {
	struct fnx_network *network; /* the caller's; outlives the detector */
	uint32_t n_channels; /* width * channels of the network's input */
	uint32_t step; /* samples, at the network's rate, from window to window, >= 1 */
	double lfp_rate_hz;
	double rate_hz; /* the network's, <= lfp_rate_hz */
	uint64_t calibration_samples; /* at the network's rate; 0: learns all along */
	/* Low-pass before samples are picked, newest first; n_taps 0: none. */
	const double *taps;
	uint32_t n_taps;
	struct fnx_network_detector_params params;
	/* As fnx_detector_config. */
	void *memory;
	bool resumed;
	struct fnx_journal *journal;
};

struct fnx_network_detector;

size_t fnx_network_detector_memory_size(const struct fnx_network_detector_config *config);
/* -EINVAL: the network's input is not of n_channels, a number out of range; -ENOMEM; -EBADMSG:
 * resumed, and the memory cannot have been a detector's. */
int fnx_network_detector_new(const struct fnx_network_detector_config *config,
	struct fnx_network_detector **ret_detector);
/* NULL, always. */
struct fnx_network_detector *fnx_network_detector_free(struct fnx_network_detector *detector);
/* -EINVAL: a number that is not finite (max_speed_cm_s: NAN), max_samples 0. Frame path. */
int fnx_network_detector_set(
	struct fnx_network_detector *detector, const struct fnx_network_detector_params *params);
/* Statistics as if `n_samples` (>= 1) of this `mean` and `deviation` ([n_channels], uV) had been
 * seen; a calibration is over. -EINVAL as fnx_detector_seed. */
int fnx_network_detector_seed(struct fnx_network_detector *detector, const double *mean,
	const double *deviation, uint64_t n_samples);
struct fnx_detector_statistics fnx_network_detector_statistics(
	const struct fnx_network_detector *detector, uint32_t channel);
/* Takes one LFP sample of each channel, `counts` [n_channels]. 1: *ret_event is written (channel
 * the consensus, z the network's output, envelope NAN); 0: nothing happened. Frame path. */
int fnx_network_detector_step(struct fnx_network_detector *detector, const float *counts,
	double uv_per_count, double speed_cm_s, struct fnx_detector_event *ret_event);
/* The network's output for the latest window; NAN before the first. */
double fnx_network_detector_output(const struct fnx_network_detector *detector);
