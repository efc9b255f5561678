/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers for the simulator: xoshiro256++ seeded through splitmix64, and a table of Gaussian
 * noise that is read from random places, a run at a time. The table costs a copy where drawing each
 * value would cost a logarithm; what repeats, repeats at places that do not.
 *
 * Plain arithmetic on the caller's memory; the same seed gives the same numbers everywhere.
 */
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Streams of one seed are independent, so that a change in one part of the simulation leaves what
 * the others draw as it is. */
enum fnx_sim_stream {
	FNX_SIM_STREAM_NOISE,
	FNX_SIM_STREAM_ANIMAL,
	FNX_SIM_STREAM_CAMERA,
	FNX_SIM_STREAM_FIELDS,
	FNX_SIM_STREAM_SPIKES,
	FNX_SIM_STREAM_WAVEFORMS,
	FNX_SIM_STREAM_LFP,
};

struct fnx_sim_random {
	uint64_t s[4];
};

void fnx_sim_random_init(struct fnx_sim_random *random, uint64_t seed, enum fnx_sim_stream stream);

static inline uint64_t fnx_sim_random_u64(struct fnx_sim_random *random)
{
	uint64_t *s = random->s;
	const uint64_t sum = s[0] + s[3];
	const uint64_t result = ((sum << 23) | (sum >> 41)) + s[0];
	const uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/* Uniform in [0, 1). */
static inline double fnx_sim_random_unit(struct fnx_sim_random *random)
{
	return (double)(fnx_sim_random_u64(random) >> 11) * 0x1p-53;
}

static inline double fnx_sim_random_between(struct fnx_sim_random *random, double low, double high)
{
	return low + (high - low) * fnx_sim_random_unit(random);
}

/* Uniform in [0, n), n > 0. */
static inline uint32_t fnx_sim_random_below(struct fnx_sim_random *random, uint32_t n)
{
	return (uint32_t)(((fnx_sim_random_u64(random) >> 32) * n) >> 32);
}

/* Waiting time of a Poisson process with one event per unit. */
static inline double fnx_sim_random_exponential(struct fnx_sim_random *random)
{
	return -log1p(-fnx_sim_random_unit(random));
}

/* 0 .. n - 1 in random order. */
void fnx_sim_random_shuffle(struct fnx_sim_random *random, uint32_t n, uint32_t *ret_order);

enum {
	FNX_SIM_NOISE_SIZE = 1 << 15,
	FNX_SIM_NOISE_RUN = 256, /* values that may be read from any place */
};

/* Gaussian noise of mean 0 and deviation 1. */
struct fnx_sim_noise {
	float values[FNX_SIM_NOISE_SIZE + FNX_SIM_NOISE_RUN];
};

void fnx_sim_noise_init(struct fnx_sim_noise *noise, uint64_t seed);

/* FNX_SIM_NOISE_RUN values from a random place of the table. */
static inline const float *fnx_sim_noise_run(
	const struct fnx_sim_noise *noise, struct fnx_sim_random *random)
{
	return noise->values + fnx_sim_random_below(random, FNX_SIM_NOISE_SIZE);
}

/* Any number of values, put together from runs. */
void fnx_sim_noise_fill(const struct fnx_sim_noise *noise, struct fnx_sim_random *random, size_t n,
	float *ret_values);
