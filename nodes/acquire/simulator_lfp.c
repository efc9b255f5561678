/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pink noise is the sum of three one-pole filters over the same white noise (Kellet's "economy"
 * set): a few multiplications per value, four channels at a time, for a spectrum that falls as 1/f
 * from about 1 Hz on at the usual rates.
 */
#include "nodes/acquire/simulator_lfp.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static const double PINK_UV = 40.0;
static const float POLES[3] = {0.99765f, 0.96300f, 0.57000f};
static const float GAINS[3] = {0.0990460f, 0.2965164f, 1.0526913f};
static const float DIRECT = 0.1848f;

/* Standard deviation of the filters' sum over white noise of deviation 1. */
static double pink_deviation(void)
{
	double variance = (double)DIRECT * (double)DIRECT;

	for (uint32_t i = 0; i < 3; i++) {
		variance += 2.0 * (double)DIRECT * (double)GAINS[i];
		for (uint32_t k = 0; k < 3; k++)
			variance += (double)GAINS[i] * (double)GAINS[k] /
				(1.0 - (double)POLES[i] * (double)POLES[k]);
	}
	return sqrt(variance);
}

int fnx_sim_lfp_init(struct fnx_sim_lfp *lfp, const struct fnx_sim_lfp_config *config)
{
	const size_t n = config->n_channels;
	float *memory;

	*lfp = (struct fnx_sim_lfp){.config = *config};
	if (n == 0)
		return -EINVAL;
	memory = calloc(n, 6 * sizeof(float));
	if (!memory)
		return -ENOMEM;
	for (uint32_t i = 0; i < 3; i++)
		lfp->pink[i] = memory + i * n;
	lfp->theta_gains = memory + 3 * n;
	lfp->ripple_gains = memory + 4 * n;
	lfp->samples = memory + 5 * n;
	lfp->pink_gain = (float)(PINK_UV / pink_deviation() / config->uv_per_count);
	fnx_sim_random_init(&lfp->random, config->seed, FNX_SIM_STREAM_LFP);
	for (size_t i = 0; i < n; i++) {
		lfp->theta_gains[i] = (float)(fnx_sim_random_between(&lfp->random, 0.7, 1.3) /
			config->uv_per_count);
		lfp->ripple_gains[i] = (float)(fnx_sim_random_between(&lfp->random, 0.8, 1.2) /
			config->uv_per_count);
	}
	return 0;
}

void fnx_sim_lfp_fini(struct fnx_sim_lfp *lfp)
{
	free(lfp->pink[0]);
	*lfp = (struct fnx_sim_lfp){0};
}

/* Channels [first, first + n), n at most a run of noise. */
static void step_run(
	struct fnx_sim_lfp *lfp, uint32_t first, uint32_t n, float theta_uv, float ripple_uv)
{
	const float *drive = fnx_sim_noise_run(lfp->config.noise, &lfp->random);
	const float *noise = fnx_sim_noise_run(lfp->config.noise, &lfp->random);
	const float *theta_gains = lfp->theta_gains + first;
	const float *ripple_gains = lfp->ripple_gains + first;
	const float pink_gain = lfp->pink_gain;
	const float noise_gain = (float)(lfp->config.noise_uv / lfp->config.uv_per_count);
	const float magic = 12582912.0f; /* 1.5 * 2^23: added and taken off, it rounds */
	float *restrict slow = lfp->pink[0] + first;
	float *restrict middle = lfp->pink[1] + first;
	float *restrict fast = lfp->pink[2] + first;
	float *restrict samples = lfp->samples + first;

	for (uint32_t i = 0; i < n; i++) {
		float w = drive[i], value;

		slow[i] = POLES[0] * slow[i] + GAINS[0] * w;
		middle[i] = POLES[1] * middle[i] + GAINS[1] * w;
		fast[i] = POLES[2] * fast[i] + GAINS[2] * w;
		value = pink_gain * (slow[i] + middle[i] + fast[i] + DIRECT * w) +
			noise_gain * noise[i] + theta_gains[i] * theta_uv +
			ripple_gains[i] * ripple_uv;
		value = value < -32768.0f ? -32768.0f : value;
		value = value > 32767.0f ? 32767.0f : value;
		samples[i] = (value + magic) - magic;
	}
}

const float *fnx_sim_lfp_step(struct fnx_sim_lfp *lfp, double theta_uv, double ripple_uv)
{
	for (uint32_t i = 0; i < lfp->config.n_channels; i += FNX_SIM_NOISE_RUN) {
		uint32_t left = lfp->config.n_channels - i;

		step_run(lfp, i, left < FNX_SIM_NOISE_RUN ? left : FNX_SIM_NOISE_RUN,
			(float)theta_uv, (float)ripple_uv);
	}
	return lfp->samples;
}
