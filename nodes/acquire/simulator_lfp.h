/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated local field potential: pink noise, white noise and theta on every channel, and the
 * ripples' bursts, each channel with a gain of its own.
 *
 * No allocation after init.
 */
#pragma once

#include <stdint.h>

#include "nodes/acquire/simulator_random.h"

struct fnx_sim_lfp_config {
	const struct fnx_sim_noise *noise; /* must outlive the LFP */
	uint64_t seed;
	uint32_t n_channels;
	double noise_uv; /* white, deviation */
	double uv_per_count;
};

struct fnx_sim_lfp {
	struct fnx_sim_lfp_config config;
	struct fnx_sim_random random;
	float *pink[3]; /* [n_channels], states of the filters */
	float *theta_gains, *ripple_gains; /* [n_channels] */
	float *samples; /* [n_channels], counts */
	float pink_gain; /* counts per unit */
};

/* -EINVAL: no channels; -ENOMEM. Not real-time. */
int fnx_sim_lfp_init(struct fnx_sim_lfp *lfp, const struct fnx_sim_lfp_config *config);
void fnx_sim_lfp_fini(struct fnx_sim_lfp *lfp);

/* One sample of every channel in counts, [n_channels], valid until the next call. Theta and ripple
 * are what a channel of gain 1 would see, uV. */
const float *fnx_sim_lfp_step(struct fnx_sim_lfp *lfp, double theta_uv, double ripple_uv);
