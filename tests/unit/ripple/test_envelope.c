/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/butterworth.h"
#include "nodes/ripple/envelope.h"
#include "nodes/ripple/firls.h"

#include "tests/support/allocations.h"
#include "tests/support/check.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <string.h>

enum {
	N_SAMPLES_MAX = 400,
	N_TAPS_MAX = 64
};

struct set_up {
	struct fnx_envelope_config config;
	struct fnx_section sections[FNX_BUTTERWORTH_ORDER_MAX];
	double taps[N_TAPS_MAX];
	double smoothing[N_TAPS_MAX];
};

static void set_up_usual(struct set_up *set_up, uint32_t n_channels, bool parity)
{
	assert_int_equal(fnx_butterworth_band_pass(2, 150, 250, 1500, set_up->sections), 0);
	assert_int_equal(fnx_firls_low_pass(15, 50, 55, 1500, set_up->smoothing), 0);
	set_up->config = (struct fnx_envelope_config){
		.n_channels = n_channels,
		.n_sections = 2,
		.sections = set_up->sections,
		.n_smoothing_taps = 15,
		.smoothing_taps = set_up->smoothing,
		.parity = parity,
	};
}

static double signed_unit(struct check_random *random)
{
	return 2 * check_random_unit(random) - 1;
}

/* Any filter lengths, and taps of either sign. */
static void set_up_random(struct set_up *set_up, struct check_random *random)
{
	uint32_t order = 1 + (uint32_t)check_random_below(random, 8);

	set_up_usual(set_up,
		1 +
			(uint32_t)check_random_below(random,
				check_random_below(random, 2) ? FNX_ENVELOPE_CHANNELS_MAX : 20),
		check_random_below(random, 2));
	if (check_random_below(random, 2)) {
		assert_int_equal(
			fnx_butterworth_band_pass(order, 120, 260, 1500, set_up->sections), 0);
		set_up->config.n_sections = order;
	} else {
		set_up->config.n_sections = 0;
		set_up->config.n_taps = 1 + (uint32_t)check_random_below(random, N_TAPS_MAX);
		set_up->config.taps = set_up->taps;
		for (int i = 0; i < N_TAPS_MAX; i++)
			set_up->taps[i] = signed_unit(random);
	}
	set_up->config.n_smoothing_taps = 1 + (uint32_t)check_random_below(random, N_TAPS_MAX);
	for (int i = 0; i < N_TAPS_MAX; i++)
		set_up->smoothing[i] = signed_unit(random) + 0.3;
}

static struct fnx_envelope *new_envelope(const struct set_up *set_up)
{
	struct fnx_envelope *envelope;

	assert_int_equal(fnx_envelope_new(&set_up->config, &envelope), 0);
	return envelope;
}

static void random_counts(struct check_random *random, float *counts, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		counts[c] = (float)(int16_t)check_random_u64(random);
}

static void assert_same(const double *a, const double *b, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		if (!(a[c] == b[c] || (isnan(a[c]) && isnan(b[c]))))
			fail_msg("channel %u of %u: %.17g, not %.17g", c, n, a[c], b[c]);
}

/* The formulas on whole recordings of one channel. */
static double past(const double *x, int t, int age)
{
	return t >= age ? x[t - age] : 0;
}

static void naive_taps(
	const double *taps, uint32_t n_taps, const double *x, double *y, int n_samples)
{
	for (int t = 0; t < n_samples; t++) {
		y[t] = 0;
		for (int k = 0; k < (int)n_taps; k++)
			y[t] += taps[k] * past(x, t, k);
	}
}

static void naive_section(const struct fnx_section *s, const double *x, double *y, int n_samples)
{
	for (int t = 0; t < n_samples; t++)
		y[t] = s->b0 * x[t] + s->b1 * past(x, t, 1) + s->b2 * past(x, t, 2) -
			s->a1 * past(y, t, 1) - s->a2 * past(y, t, 2);
}

static void naive_chain(
	const struct fnx_envelope_config *config, double *x, double *y, double *e, int n_samples)
{
	double squares[N_SAMPLES_MAX];

	if (config->n_taps)
		naive_taps(config->taps, config->n_taps, x, y, n_samples);
	for (uint32_t s = 0; s < config->n_sections; s++) {
		naive_section(&config->sections[s], x, y, n_samples);
		memcpy(x, y, (size_t)n_samples * sizeof(double));
	}
	for (int t = 0; t < n_samples; t++)
		squares[t] = y[t] * y[t];
	naive_taps(config->smoothing_taps, config->n_smoothing_taps, squares, e, n_samples);
	for (int t = 0; t < n_samples; t++)
		e[t] = sqrt(e[t] < 0 && !config->parity ? 0 : e[t]);
}

/* Bit for bit, vector code included. */
TEST(a_chain_of_any_size_equals_the_naive_one)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 40; round++) {
		static float counts[N_SAMPLES_MAX][FNX_ENVELOPE_CHANNELS_MAX];
		static double filtered[N_SAMPLES_MAX][FNX_ENVELOPE_CHANNELS_MAX];
		static double envelopes[N_SAMPLES_MAX][FNX_ENVELOPE_CHANNELS_MAX];
		int n_samples = 1 + (int)check_random_below(&random, N_SAMPLES_MAX);
		struct fnx_envelope *envelope;
		struct set_up set_up;
		uint32_t n;

		set_up_random(&set_up, &random);
		n = set_up.config.n_channels;
		envelope = new_envelope(&set_up);
		for (int t = 0; t < n_samples; t++) {
			random_counts(&random, counts[t], n);
			assert_int_equal(fnx_envelope_step(envelope, counts[t], 0.195, filtered[t],
						 envelopes[t]),
				0);
		}
		fnx_envelope_free(envelope);
		for (uint32_t c = 0; c < n; c++) {
			double x[N_SAMPLES_MAX], y[N_SAMPLES_MAX], e[N_SAMPLES_MAX];

			for (int t = 0; t < n_samples; t++)
				x[t] = (double)counts[t][c] * 0.195;
			naive_chain(&set_up.config, x, y, e, n_samples);
			for (int t = 0; t < n_samples; t++) {
				assert_same(&filtered[t][c], &y[t], 1);
				assert_same(&envelopes[t][c], &e[t], 1);
			}
		}
	}
}

TEST(a_channel_alone_gives_the_bits_it_gives_among_others)
{
	struct check_random random = check_random_seeded();
	struct set_up many, one;
	struct fnx_envelope *all, *alone;

	set_up_usual(&many, 77, false);
	set_up_usual(&one, 1, false);
	all = new_envelope(&many);
	alone = new_envelope(&one);
	for (int t = 0; t < 300; t++) {
		double filtered[77], envelope[77], filtered_alone, envelope_alone;
		float counts[77];

		random_counts(&random, counts, 77);
		fnx_envelope_step(all, counts, 0.195, filtered, envelope);
		fnx_envelope_step(alone, &counts[70], 0.195, &filtered_alone, &envelope_alone);
		assert_true(filtered[70] == filtered_alone && envelope[70] == envelope_alone);
	}
	fnx_envelope_free(all);
	fnx_envelope_free(alone);
}

TEST(a_bad_sample_disturbs_no_other_channel)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY, 2e12f, -1e30f};
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 20; round++) {
		double filtered[2][FNX_ENVELOPE_CHANNELS_MAX],
			envelopes[2][FNX_ENVELOPE_CHANNELS_MAX];
		float counts[FNX_ENVELOPE_CHANNELS_MAX];
		struct fnx_envelope *clean, *dirty;
		struct set_up set_up;
		uint32_t n, victim;

		set_up_random(&set_up, &random);
		n = set_up.config.n_channels;
		victim = (uint32_t)check_random_below(&random, n);
		clean = new_envelope(&set_up);
		dirty = new_envelope(&set_up);
		for (int t = 0; t < 100; t++) {
			bool spoil = check_random_below(&random, 10) == 0;

			random_counts(&random, counts, n);
			assert_int_equal(
				fnx_envelope_step(clean, counts, 1, filtered[0], envelopes[0]), 0);
			if (spoil)
				counts[victim] = bad[check_random_below(
					&random, sizeof(bad) / sizeof(bad[0]))];
			assert_int_equal(
				fnx_envelope_step(dirty, counts, 1, filtered[1], envelopes[1]),
				spoil);
			assert_same(filtered[1], filtered[0], victim);
			assert_same(envelopes[1], envelopes[0], victim);
			assert_same(
				filtered[1] + victim + 1, filtered[0] + victim + 1, n - victim - 1);
			assert_same(envelopes[1] + victim + 1, envelopes[0] + victim + 1,
				n - victim - 1);
		}
		fnx_envelope_free(clean);
		fnx_envelope_free(dirty);
	}
}

/* Also with a band-pass of a single tap, whose own history is no longer than the sample itself. */
TEST(a_bad_sample_is_nan_for_once_and_the_last_good_one_stands_in)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 4; round++) {
		struct fnx_envelope *held, *bad;
		struct set_up set_up;
		float good[3] = {0};

		set_up_usual(&set_up, 3, false);
		if (round % 2) {
			set_up.taps[0] = 0.5;
			set_up.config.n_sections = 0;
			set_up.config.n_taps = 1;
			set_up.config.taps = set_up.taps;
		}
		held = new_envelope(&set_up);
		bad = new_envelope(&set_up);
		for (int t = 0; t < 200; t++) {
			double filtered[2][3], envelopes[2][3];
			bool spoil = t % 50 < 3;
			float last = good[1], counts[3];

			random_counts(&random, good, 3);
			if (spoil)
				good[1] = last;
			memcpy(counts, good, sizeof(counts));
			if (spoil)
				counts[1] = NAN;
			fnx_envelope_step(held, good, 2, filtered[0], envelopes[0]);
			fnx_envelope_step(bad, counts, 2, filtered[1], envelopes[1]);
			if (spoil)
				filtered[0][1] = envelopes[0][1] = (double)NAN;
			assert_same(filtered[1], filtered[0], 3);
			assert_same(envelopes[1], envelopes[0], 3);
		}
		fnx_envelope_free(held);
		fnx_envelope_free(bad);
	}
}

TEST(in_parity_a_bad_sample_stays_until_reset)
{
	double filtered[2], envelopes[2];
	struct fnx_envelope *envelope;
	struct set_up set_up;

	set_up_usual(&set_up, 2, true);
	envelope = new_envelope(&set_up);
	fnx_envelope_step(envelope, (float[]){1, NAN}, 1, filtered, envelopes);
	for (int t = 0; t < 100; t++)
		fnx_envelope_step(envelope, (float[]){1, 1}, 1, filtered, envelopes);
	assert_true(isfinite(envelopes[0]) && isnan(envelopes[1]) && isnan(filtered[1]));
	fnx_envelope_reset(envelope);
	fnx_envelope_step(envelope, (float[]){1, 1}, 1, filtered, envelopes);
	assert_true(filtered[0] == set_up.sections[0].b0 && filtered[1] == filtered[0]);
	fnx_envelope_free(envelope);
}

TEST(a_negative_mean_square_is_nan_in_parity_and_nought_otherwise)
{
	for (int parity = 0; parity < 2; parity++) {
		struct fnx_envelope *envelope;
		struct set_up set_up;
		double result;

		set_up_usual(&set_up, 1, parity);
		set_up.taps[0] = 1;
		set_up.smoothing[0] = 1;
		set_up.smoothing[1] = -1;
		set_up.config.n_sections = 0;
		set_up.config.n_taps = 1;
		set_up.config.taps = set_up.taps;
		set_up.config.n_smoothing_taps = 2;
		envelope = new_envelope(&set_up);
		fnx_envelope_step(envelope, (float[]){3}, 1, NULL, &result);
		assert_true(result == 3);
		fnx_envelope_step(envelope, (float[]){2}, 1, NULL, &result);
		assert_true(parity ? isnan(result) : result == 0);
		fnx_envelope_step(envelope, (float[]){2}, 1, NULL, &result);
		assert_true(result == 0);
		fnx_envelope_free(envelope);
	}
}

TEST(silence_ends_in_noughts_and_never_in_subnormal_numbers)
{
	double filtered[4], envelopes[4];
	struct fnx_envelope *envelope;
	struct set_up set_up;

	set_up_usual(&set_up, 4, false);
	envelope = new_envelope(&set_up);
	fnx_envelope_step(envelope, (float[]){1, 1000, -1000, 1e-30f}, 1, filtered, envelopes);
	for (int t = 0; t < 20000; t++) {
		fnx_envelope_step(envelope, (float[4]){0}, 1, filtered, envelopes);
		for (int c = 0; c < 4; c++) {
			assert_true(filtered[c] == 0 || isnormal(filtered[c]));
			assert_true(envelopes[c] == 0 || isnormal(envelopes[c]));
		}
	}
	assert_true(filtered[1] == 0 && envelopes[1] == 0);
	fnx_envelope_free(envelope);
}

/* Memory from the allocator full of garbage, and results written over garbage. */
TEST(what_memory_held_before_makes_no_difference)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 10; round++) {
		double filtered[2][FNX_ENVELOPE_CHANNELS_MAX],
			envelopes[2][FNX_ENVELOPE_CHANNELS_MAX];
		float counts[FNX_ENVELOPE_CHANNELS_MAX];
		struct fnx_envelope *clean, *poisoned;
		struct set_up set_up;
		uint32_t n;

		set_up_random(&set_up, &random);
		n = set_up.config.n_channels;
		mallopt(M_PERTURB, 0);
		clean = new_envelope(&set_up);
		mallopt(M_PERTURB, 0xff);
		poisoned = new_envelope(&set_up);
		mallopt(M_PERTURB, 0);
		for (int t = 0; t < 150; t++) {
			random_counts(&random, counts, n);
			fnx_envelope_step(clean, counts, 0.195, filtered[0], envelopes[0]);
			memset(filtered[1], 0xff, sizeof(filtered[1]));
			memset(envelopes[1], 0xff, sizeof(envelopes[1]));
			fnx_envelope_step(poisoned, counts, 0.195, filtered[1], envelopes[1]);
			assert_memory_equal(filtered[0], filtered[1], n * sizeof(double));
			assert_memory_equal(envelopes[0], envelopes[1], n * sizeof(double));
		}
		fnx_envelope_free(clean);
		fnx_envelope_free(poisoned);
	}
}

TEST(a_step_allocates_nothing)
{
	struct check_random random = check_random_seeded();
	double filtered[FNX_ENVELOPE_CHANNELS_MAX], envelopes[FNX_ENVELOPE_CHANNELS_MAX];
	float counts[FNX_ENVELOPE_CHANNELS_MAX];

	for (int round = 0; round < 5; round++) {
		struct fnx_envelope *envelope;
		struct set_up set_up;
		size_t before;

		set_up_random(&set_up, &random);
		envelope = new_envelope(&set_up);
		before = n_allocations;
		for (int t = 0; t < 200; t++) {
			random_counts(&random, counts, set_up.config.n_channels);
			counts[0] = t % 20 ? counts[0] : NAN;
			fnx_envelope_step(envelope, counts, 0.195, filtered, envelopes);
		}
		assert_int_equal(n_allocations, before);
		fnx_envelope_free(envelope);
	}
}

TEST(a_configuration_that_cannot_be_is_refused)
{
	struct fnx_envelope *envelope = NULL;
	struct fnx_envelope_config config;
	struct set_up set_up;

#define REFUSED(change) \
	set_up_usual(&set_up, 4, false); \
	config = set_up.config; \
	change; \
	assert_int_equal(fnx_envelope_new(&config, &envelope), -EINVAL)

	REFUSED(config.n_channels = 0);
	REFUSED(config.n_channels = FNX_ENVELOPE_CHANNELS_MAX + 1);
	REFUSED(config.n_sections = 0);
	REFUSED(config.n_sections = FNX_ENVELOPE_SECTIONS_MAX + 1);
	REFUSED((config.n_taps = 3, config.taps = set_up.smoothing));
	REFUSED(config.n_smoothing_taps = 0);
	REFUSED(config.n_smoothing_taps = FNX_ENVELOPE_TAPS_MAX + 1);
	REFUSED(set_up.sections[1].a2 = (double)NAN);
	REFUSED(set_up.smoothing[14] = (double)INFINITY);
#undef REFUSED
	assert_null(envelope);
	assert_null(fnx_envelope_free(NULL));
}
