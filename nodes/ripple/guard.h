/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What keeps a ripple from starting although its detector would say so:
 *
 *	noise       a channel where no ripples are heard is above its own threshold, or was
 *	            noise_samples ago at the most: nothing starts
 *	artefact    a channel's sample lies beyond artefact_uv: it is replaced by NAN, and for
 *	            blank_samples nothing starts and nothing is learnt
 *	stimulation as an artefact, from when it is told
 *
 * Noise is what envelope.h and detector.h would call a ripple of the noise channels, or of their
 * consensus; they learn their own mean and deviation. One thread. Steps allocate nothing.
 */
#pragma once

#include "nodes/ripple/detector.h"
#include "nodes/ripple/envelope.h"

enum fnx_guard_answer {
	FNX_GUARD_OPEN = 0,
	FNX_GUARD_SHUT, /* nothing starts */
	FNX_GUARD_BLANK, /* and nothing is learnt */
};

struct fnx_guard_config {
	/* Filters for the noise channels; n_channels as many, 0: none. Its memory, resumed and
	 * journal are not looked at. */
	struct fnx_envelope_config envelope;
	const uint32_t *noise_channels; /* the caller's; stays */
	double noise_threshold; /* deviations above the mean */
	bool median; /* statistics as fnx_detector_config's */
	int64_t noise_samples, blank_samples; /* acquisition clock */
	double artefact_uv; /* 0: nothing is an artefact */
	/* As fnx_detector_config. */
	void *memory;
	bool resumed;
	struct fnx_journal *journal;
};

struct fnx_guard;

size_t fnx_guard_memory_size(const struct fnx_guard_config *config);
/* -EINVAL as fnx_envelope_new and fnx_detector_new; -ENOMEM; -EBADMSG. */
int fnx_guard_new(const struct fnx_guard_config *config, struct fnx_guard **ret_guard);
/* NULL, always. */
struct fnx_guard *fnx_guard_free(struct fnx_guard *guard);
/* Stimulated at `sample_time`. Frame path. */
void fnx_guard_stimulated(struct fnx_guard *guard, int64_t sample_time);
/* Looks at one sample of the LFP: `lfp`, all channels, for noise; and of the channels that are
 * looked at for ripples, `samples` [n_samples], for artefacts, which become NAN. Frame path. */
enum fnx_guard_answer fnx_guard_step(struct fnx_guard *guard, const float *lfp, double uv_per_count,
	int64_t sample_time, float *samples, uint32_t n_samples);
