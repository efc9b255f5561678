/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/guard.h"

#include "nodes/ripple/butterworth.h"
#include "nodes/ripple/firls.h"
#include "tests/support/allocations.h"
#include "tests/support/check.h"

#include <math.h>

enum {
	N_LFP = 4,
	STEP = 20, /* acquisition samples from one LFP sample to the next */
};

struct set_up {
	struct fnx_guard_config config;
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
	double smoothing[15];
	int64_t now;
};

static struct fnx_guard *new_guard(struct set_up *set_up, uint32_t n_noise)
{
	static const uint32_t channels[] = {3, 1};
	struct fnx_guard *guard;

	assert_int_equal(fnx_butterworth_band_pass(2, 150, 250, 1500, set_up->sections), 0);
	assert_int_equal(fnx_firls_low_pass(15, 50, 55, 1500, set_up->smoothing), 0);
	set_up->config = (struct fnx_guard_config){.envelope = {.n_channels = n_noise,
							   .n_sections = 2,
							   .sections = set_up->sections,
							   .n_smoothing_taps = 15,
							   .smoothing_taps = set_up->smoothing},
		.noise_channels = channels,
		.noise_threshold = 6,
		.noise_samples = 30 * STEP,
		.blank_samples = 10 * STEP,
		.artefact_uv = 1000};
	set_up->now = 0;
	assert_int_equal(fnx_guard_new(&set_up->config, &guard), 0);
	return guard;
}

static enum fnx_guard_answer step(struct fnx_guard *guard, struct set_up *set_up, const float *lfp,
	float *samples, uint32_t n_samples)
{
	set_up->now += STEP;
	return fnx_guard_step(guard, lfp, 0.5, set_up->now, samples, n_samples);
}

static void noise(struct check_random *random, float *lfp)
{
	for (int c = 0; c < N_LFP; c++)
		lfp[c] = (float)(40 * check_random_unit(random) - 20);
}

TEST(noise_on_a_noise_channel_shuts_and_holds_and_on_others_does_not)
{
	struct check_random random = check_random_seeded();
	struct set_up set_up;
	struct fnx_guard *guard = new_guard(&set_up, 2);
	float lfp[N_LFP], sample = 0;
	int n_shut = 0, last_shut = 0;

	for (int i = 0; i < 6000; i++) {
		float burst = (float)(400 * sin(2 * M_PI * 200 * i / 1500));
		enum fnx_guard_answer answer;

		noise(&random, lfp);
		/* What no amplifier says is not learnt. */
		if (i == 1500)
			lfp[3] = 1e30f;
		if (i >= 2000 && i < 2050)
			lfp[0] += burst; /* a ripple */
		if (i >= 4000 && i < 4050)
			lfp[3] += burst;
		answer = step(guard, &set_up, lfp, &sample, 1);
		if (i < 1000)
			continue; /* learns */
		assert_int_equal(answer == FNX_GUARD_BLANK, 0);
		if (answer == FNX_GUARD_SHUT) {
			assert_in_range(i, 4000, 4200);
			last_shut = i;
			n_shut++;
		}
	}
	/* The burst, and the hold beyond it. */
	assert_true(n_shut > 50 && last_shut > 4050 + 30);
	fnx_guard_free(guard);
}

TEST(an_artefact_becomes_nan_and_blanks_for_its_time)
{
	struct set_up set_up;
	struct fnx_guard *guard = new_guard(&set_up, 0);
	float lfp[N_LFP] = {0}, samples[3] = {100, 1999, -1999};

	assert_int_equal(step(guard, &set_up, lfp, samples, 3), FNX_GUARD_OPEN);
	assert_true(samples[1] == 1999 && samples[2] == -1999);
	samples[2] = -2001; /* 1000.5 uV */
	assert_int_equal(step(guard, &set_up, lfp, samples, 3), FNX_GUARD_BLANK);
	assert_true(isnan(samples[2]) && samples[0] == 100);
	for (int k = 0; k < 2; k++) {
		samples[2] = 0;
		for (int i = 0; i < 10; i++)
			assert_int_equal(step(guard, &set_up, lfp, samples, 3), FNX_GUARD_BLANK);
		assert_int_equal(step(guard, &set_up, lfp, samples, 3), FNX_GUARD_OPEN);
		/* So is the largest of all. */
		samples[2] = INFINITY;
		assert_int_equal(step(guard, &set_up, lfp, samples, 3), FNX_GUARD_BLANK);
		assert_true(isnan(samples[2]));
	}
	fnx_guard_free(guard);
}

TEST(stimulation_blanks_from_its_own_time_on)
{
	struct set_up set_up;
	struct fnx_guard *guard = new_guard(&set_up, 0);
	float lfp[N_LFP] = {0}, sample = 0;

	assert_int_equal(step(guard, &set_up, lfp, &sample, 1), FNX_GUARD_OPEN);
	/* Heard of late: what is left of its time counts. */
	fnx_guard_stimulated(guard, set_up.now - 8 * STEP);
	assert_int_equal(step(guard, &set_up, lfp, &sample, 1), FNX_GUARD_BLANK);
	assert_int_equal(step(guard, &set_up, lfp, &sample, 1), FNX_GUARD_BLANK);
	assert_int_equal(step(guard, &set_up, lfp, &sample, 1), FNX_GUARD_OPEN);
	/* An older one does not shorten a later one's. */
	fnx_guard_stimulated(guard, set_up.now);
	fnx_guard_stimulated(guard, set_up.now - 100 * STEP);
	assert_int_equal(step(guard, &set_up, lfp, &sample, 1), FNX_GUARD_BLANK);
	fnx_guard_free(guard);
}

TEST(a_step_allocates_nothing)
{
	struct check_random random = check_random_seeded();
	struct set_up set_up;
	struct fnx_guard *guard = new_guard(&set_up, 2);
	float lfp[N_LFP], sample = 5000;
	size_t before = n_allocations;

	for (int i = 0; i < 500; i++) {
		noise(&random, lfp);
		step(guard, &set_up, lfp, &sample, 1);
	}
	assert_int_equal(n_allocations, before);
	fnx_guard_free(guard);
}
