/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ripple-band envelope of many LFP channels, one sample of all of them at a time:
 *
 *	x = count * uv_per_count
 *	f = band-pass of x      second-order sections in series, direct form I each; or FIR taps
 *	e = sqrt(low-pass of f^2)   FIR taps, newest sample first
 *
 * All in double precision. A channel's numbers depend on that channel alone and are the same
 * whatever the other channels hold, whatever the number of channels and on whichever processor.
 * The filters start from silence.
 *
 * A smoothing filter with negative taps (every least-squares one has some) can give a negative mean
 * square. With `parity` the envelope is then NAN, as in the published decoder; otherwise it is 0.
 *
 * A sample that is no number, NAN or beyond FNX_LFP_LIMIT_UV: with `parity` it enters the filters as
 * it is, and a recursive band-pass keeps that channel NAN until fnx_envelope_reset. Otherwise the
 * channel's last number is held in its place, so the filters stay sound, and both outputs of that
 * channel are NAN for this one sample.
 *
 * One thread per envelope. fnx_envelope_step allocates nothing and calls no system. All memory is
 * taken by fnx_envelope_new, about n_channels * 8 * (3 * (n_sections + 1) or n_taps, +
 * n_smoothing_taps + 2) bytes; but for what the filters remember, where the caller gives memory
 * for that.
 */
#pragma once

#include "nodes/ripple/response.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	FNX_ENVELOPE_CHANNELS_MAX = 512,
	FNX_ENVELOPE_SECTIONS_MAX = 16,
	FNX_ENVELOPE_TAPS_MAX = 2047,
};

/* A million volts: what is beyond is no sample, and nothing within overflows when it is squared. */
#define FNX_LFP_LIMIT_UV 1e12

struct fnx_journal;

/* Read at fnx_envelope_new only. Either sections or taps, the other number is 0. */
struct fnx_envelope_config {
	uint32_t n_channels;
	uint32_t n_sections;
	const struct fnx_section *sections;
	uint32_t n_taps;
	const double *taps;
	uint32_t n_smoothing_taps;
	const double *smoothing_taps;
	bool parity;
	/* Where what the filters remember lies: fnx_envelope_memory_size bytes, 64-aligned, that
	 * outlive the envelope; NULL: memory of its own. */
	void *memory;
	bool resumed; /* go on with what `memory` holds */
	struct fnx_journal *journal; /* over `memory`: hears of each change; NULL: none */
};

struct fnx_envelope;

size_t fnx_envelope_memory_size(const struct fnx_envelope_config *config);
/* -EINVAL: a number out of range, both or neither band-pass, a coefficient that is not finite;
 * -ENOMEM; -EBADMSG: resumed, and the memory cannot have been an envelope's. */
int fnx_envelope_new(const struct fnx_envelope_config *config, struct fnx_envelope **ret_envelope);
/* NULL, always. */
struct fnx_envelope *fnx_envelope_free(struct fnx_envelope *envelope);

/* Back to silence, as after new. */
void fnx_envelope_reset(struct fnx_envelope *envelope);

/* Takes one sample of each channel, `counts` [n_channels], and writes the band-passed signal (uV;
 * may be NULL) and the envelope (uV), [n_channels] each. The arrays must not overlap. Returns the
 * number of channels whose sample was no number. Frame path. */
uint32_t fnx_envelope_step(struct fnx_envelope *envelope, const float *counts, double uv_per_count,
	double *ret_filtered, double *ret_envelope);
