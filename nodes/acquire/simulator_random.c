/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generators are Blackman's and Vigna's, in the public domain. The table's values are shifted
 * and scaled to have exactly mean 0 and deviation 1, as no run of the simulator is long enough to
 * average out a table that has not.
 */
#include "nodes/acquire/simulator_random.h"

#include <string.h>

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void fnx_sim_random_init(struct fnx_sim_random *random, uint64_t seed, enum fnx_sim_stream stream)
{
	uint64_t stream_state = (uint64_t)stream;
	uint64_t state = seed ^ splitmix(&stream_state);

	for (uint32_t i = 0; i < 4; i++)
		random->s[i] = splitmix(&state);
}

void fnx_sim_random_shuffle(struct fnx_sim_random *random, uint32_t n, uint32_t *ret_order)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = fnx_sim_random_below(random, i + 1);

		ret_order[i] = ret_order[k];
		ret_order[k] = i;
	}
}

/* Box and Muller, two values at a time. */
static void draw_pair(struct fnx_sim_random *random, double ret_pair[2])
{
	double radius = sqrt(2.0 * fnx_sim_random_exponential(random));
	double angle = 2.0 * M_PI * fnx_sim_random_unit(random);

	ret_pair[0] = radius * cos(angle);
	ret_pair[1] = radius * sin(angle);
}

void fnx_sim_noise_init(struct fnx_sim_noise *noise, uint64_t seed)
{
	struct fnx_sim_random random;
	double sum = 0.0, sum2 = 0.0, mean, deviation;

	fnx_sim_random_init(&random, seed, FNX_SIM_STREAM_NOISE);
	for (uint32_t i = 0; i < FNX_SIM_NOISE_SIZE; i += 2) {
		double pair[2];

		draw_pair(&random, pair);
		for (uint32_t k = 0; k < 2; k++) {
			noise->values[i + k] = (float)pair[k];
			sum += pair[k];
			sum2 += pair[k] * pair[k];
		}
	}
	mean = sum / FNX_SIM_NOISE_SIZE;
	deviation = sqrt(sum2 / FNX_SIM_NOISE_SIZE - mean * mean);
	for (uint32_t i = 0; i < FNX_SIM_NOISE_SIZE; i++)
		noise->values[i] = (float)(((double)noise->values[i] - mean) / deviation);
	memcpy(noise->values + FNX_SIM_NOISE_SIZE, noise->values,
		FNX_SIM_NOISE_RUN * sizeof(float));
}

void fnx_sim_noise_fill(const struct fnx_sim_noise *noise, struct fnx_sim_random *random, size_t n,
	float *ret_values)
{
	for (size_t i = 0; i < n; i += FNX_SIM_NOISE_RUN) {
		size_t n_run = n - i < FNX_SIM_NOISE_RUN ? n - i : FNX_SIM_NOISE_RUN;

		memcpy(ret_values + i, fnx_sim_noise_run(noise, random), n_run * sizeof(float));
	}
}
