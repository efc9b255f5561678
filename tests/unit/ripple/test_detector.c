/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/detector.h"

#include "tests/support/allocations.h"
#include "tests/support/check.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <string.h>

enum {
	N_MAX = FNX_DETECTOR_CHANNELS_MAX + 1,
	EVENTS_MAX = N_MAX * FNX_DETECTOR_EVENTS_PER_TRACE
};

static const double still = 0;

static struct fnx_detector *new_detector(
	uint32_t n_channels, bool parity, struct fnx_detector_params params)
{
	struct fnx_detector_config config = {
		.n_channels = n_channels, .parity = parity, .params = params};
	struct fnx_detector *detector;

	assert_int_equal(fnx_detector_new(&config, &detector), 0);
	return detector;
}

/* One channel of mean 10 and deviation 1, both frozen; so z = envelope - 10. The consensus is the
 * same trace. */
static struct fnx_detector *new_frozen(struct fnx_detector_params params)
{
	struct fnx_detector *detector;

	params.freeze = true;
	detector = new_detector(1, false, params);
	assert_int_equal(
		fnx_detector_seed(detector, (double[]){10, 10}, (double[]){1, 1}, 1000), 0);
	return detector;
}

/* Steps one sample of channel 0 and writes its events as a word of s, c, C, e (E: forced). */
static const char *step_word(struct fnx_detector *detector, double envelope, double speed_cm_s)
{
	static char word[EVENTS_MAX + 1];
	static const char letters[] = "scCe";
	struct fnx_detector_event events[EVENTS_MAX];
	size_t n = fnx_detector_step(detector, &envelope, speed_cm_s, events), length = 0;

	for (size_t i = 0; i < n; i++)
		if (events[i].channel == 0)
			word[length++] = events[i].forced ? 'E' : letters[events[i].type];
	word[length] = '\0';
	return word;
}

TEST(a_ripple_passes_each_threshold_once_and_ends_below_the_mean)
{
	struct fnx_detector *d = new_frozen(fnx_detector_params_default);

	assert_string_equal(step_word(d, 13.5, still), "");
	assert_string_equal(step_word(d, 13.6, still), "s");
	assert_string_equal(step_word(d, 13.7, still), "");
	assert_string_equal(step_word(d, 13.9, still), "c");
	assert_string_equal(step_word(d, 13.9, still), "");
	assert_string_equal(step_word(d, 14.1, still), "C");
	assert_string_equal(step_word(d, 20, still), "");
	assert_true(fnx_detector_active(d, 0));
	assert_string_equal(step_word(d, 10.1, still), "");
	assert_string_equal(step_word(d, 10, still), "e");
	assert_false(fnx_detector_active(d, 0));
	assert_string_equal(step_word(d, 50, still), "s");
	assert_string_equal(step_word(d, 50, still), "cC");
	fnx_detector_free(d);
}

TEST(an_event_tells_trace_envelope_and_z)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector_event events[12];
	struct fnx_detector *d;

	params.freeze = true;
	d = new_detector(2, false, params);
	assert_int_equal(
		fnx_detector_seed(d, (double[]){10, 10, 10}, (double[]){1, 2, 1}, 1000), 0);
	assert_int_equal(fnx_detector_step(d, (double[]){9, 20}, still, events), 2);
	assert_int_equal(events[0].channel, 1);
	assert_int_equal(events[0].type, FNX_DETECTOR_STANDARD);
	assert_true(events[0].z == 5 && events[0].envelope == 20);
	assert_int_equal(events[1].channel, FNX_DETECTOR_CONSENSUS);
	assert_true(events[1].z == 4.5 && events[1].envelope == 14.5);
	assert_true(fnx_detector_z(d, 2) == 4.5 && fnx_detector_envelope(d, 0) == 9);
	fnx_detector_free(d);
}

TEST(a_ripple_that_lasts_is_ended_by_force)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d;

	params.max_samples = 4;
	d = new_frozen(params);
	assert_string_equal(step_word(d, 13.6, still), "s");
	assert_string_equal(step_word(d, 13.6, still), "");
	assert_string_equal(step_word(d, 13.6, still), "");
	assert_string_equal(step_word(d, 20, still), "cCE");
	assert_string_equal(step_word(d, 13.6, still), "s");
	fnx_detector_free(d);
}

TEST(only_a_slow_animal_starts_a_ripple_and_any_goes_on_with_it)
{
	struct fnx_detector *d = new_frozen(fnx_detector_params_default);

	assert_string_equal(step_word(d, 20, 4), "");
	assert_string_equal(step_word(d, 20, (double)NAN), "");
	assert_string_equal(step_word(d, 13.6, 3.99), "s");
	assert_string_equal(step_word(d, 20, 50), "cC");
	assert_string_equal(step_word(d, 9, 50), "e");
	fnx_detector_free(d);
}

TEST(an_unbounded_speed_limit_lets_every_speed_pass)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d;

	params.max_speed_cm_s = (double)INFINITY;
	d = new_frozen(params);
	assert_string_equal(step_word(d, 20, 1e9), "s");
	fnx_detector_free(d);
}

TEST(changed_parameters_hold_from_the_next_sample)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d = new_frozen(params);

	assert_string_equal(step_word(d, 12, still), "");
	params.standard = 1.5;
	params.freeze = true;
	assert_int_equal(fnx_detector_set(d, &params), 0);
	assert_string_equal(step_word(d, 12, still), "s");
	params.content = 1.75;
	assert_int_equal(fnx_detector_set(d, &params), 0);
	assert_string_equal(step_word(d, 12, still), "C");
	params.max_samples = 2;
	assert_int_equal(fnx_detector_set(d, &params), 0);
	assert_string_equal(step_word(d, 12, still), "E");
	fnx_detector_free(d);
}

TEST(parameters_that_cannot_be_are_refused_and_those_in_force_stay)
{
	struct fnx_detector_params good = fnx_detector_params_default, bad[6];
	struct fnx_detector *d = new_detector(3, false, good), *none = NULL;

	for (int i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].standard = (double)NAN;
	bad[1].conditioning = (double)INFINITY;
	bad[2].content = (double)NAN;
	bad[3].end = -(double)INFINITY;
	bad[4].max_speed_cm_s = (double)NAN;
	bad[5].max_samples = 0;
	for (int i = 0; i < 6; i++) {
		struct fnx_detector_config config = {.n_channels = 3, .params = bad[i]};

		assert_int_equal(fnx_detector_set(d, &bad[i]), -EINVAL);
		assert_int_equal(fnx_detector_new(&config, &none), -EINVAL);
	}
	assert_true(fnx_detector_params(d)->standard == good.standard);
	assert_true(fnx_detector_params(d)->conditioning == good.conditioning);
	assert_true(fnx_detector_params(d)->content == good.content);
	assert_true(fnx_detector_params(d)->end == good.end);
	assert_true(fnx_detector_params(d)->max_speed_cm_s == good.max_speed_cm_s);
	assert_int_equal(fnx_detector_params(d)->max_samples, good.max_samples);
	assert_int_equal(
		fnx_detector_new(
			&(struct fnx_detector_config){.n_channels = 0, .params = good}, &none),
		-EINVAL);
	assert_int_equal(
		fnx_detector_new(
			&(struct fnx_detector_config){.n_channels = 513, .params = good}, &none),
		-EINVAL);
	assert_null(none);
	assert_null(fnx_detector_free(NULL));
	fnx_detector_free(d);
}

TEST(nothing_is_detected_before_the_statistics_are_warm)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d;

	params.warm_up_samples = 50;
	d = new_detector(1, false, params);
	for (int t = 0; t < 50; t++)
		assert_string_equal(step_word(d, t == 45 ? 1e6 : t % 2, still), "");
	assert_string_equal(step_word(d, 1e9, still), "s");
	fnx_detector_free(d);
}

TEST(frozen_without_statistics_nothing_is_detected)
{
	struct fnx_detector_params params = fnx_detector_params_default;

	params.freeze = true;
	for (int parity = 0; parity < 2; parity++) {
		struct fnx_detector *d = new_detector(1, parity, params);

		for (int t = 0; t < 20; t++)
			assert_string_equal(step_word(d, t == 10 ? 1e6 : 1, still), "");
		assert_true(isnan(fnx_detector_z(d, 0)));
		assert_int_equal(fnx_detector_statistics(d, 0).n_samples, 0);
		assert_true(isnan(fnx_detector_statistics(d, 0).deviation));
		fnx_detector_free(d);
	}
}

TEST(a_trace_without_deviation_starts_no_ripple)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d;

	params.freeze = true;
	d = new_detector(1, false, params);
	assert_int_equal(fnx_detector_seed(d, (double[]){0, 0}, (double[]){0, 0}, 10), 0);
	assert_string_equal(step_word(d, 1, still), "");
	fnx_detector_free(d);
}

TEST(frozen_statistics_stay_and_seeded_ones_go_on)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector_statistics after;
	struct fnx_detector *d;

	params.freeze = true;
	d = new_detector(1, false, params);
	assert_int_equal(fnx_detector_seed(d, (double[]){10, 20}, (double[]){2, 3}, 1000), 0);
	step_word(d, 99, still);
	after = fnx_detector_statistics(d, 0);
	assert_true(after.mean == 10 && after.deviation == 2 && after.n_samples == 1000);
	params.freeze = false;
	assert_int_equal(fnx_detector_set(d, &params), 0);
	step_word(d, 1011, still);
	after = fnx_detector_statistics(d, 0);
	assert_int_equal(after.n_samples, 1001);
	assert_true(fabs(after.mean - 11) < 1e-12);
	/* 1000 values of variance 4 around 10, and one 1001 above. */
	assert_true(fabs(after.deviation - sqrt((4 * 1000 + 1001.0 * 1000) / 1001)) < 1e-9);
	after = fnx_detector_statistics(d, 1);
	assert_true(fabs(after.mean - (20 + 991.0 / 1001)) < 1e-12);
	fnx_detector_reset(d);
	assert_int_equal(fnx_detector_statistics(d, 1).n_samples, 0);
	assert_false(fnx_detector_active(d, 0));
	fnx_detector_free(d);
}

TEST(seeds_that_cannot_be_are_refused_and_change_nothing)
{
	struct fnx_detector *d = new_frozen(fnx_detector_params_default);
	double nan = (double)NAN, infinite = (double)INFINITY;
	struct fnx_detector_statistics after;

	assert_int_equal(fnx_detector_seed(d, (double[]){1, 1}, (double[]){1, 1}, 0), -EINVAL);
	assert_int_equal(fnx_detector_seed(d, (double[]){1, nan}, (double[]){1, 1}, 9), -EINVAL);
	assert_int_equal(fnx_detector_seed(d, (double[]){1, 1}, (double[]){1, -1}, 9), -EINVAL);
	assert_int_equal(
		fnx_detector_seed(d, (double[]){1, 1}, (double[]){1, infinite}, 9), -EINVAL);
	after = fnx_detector_statistics(d, 0);
	assert_true(after.mean == 10 && after.deviation == 1 && after.n_samples == 1000);
	fnx_detector_free(d);
}

TEST(an_envelope_that_is_not_finite_spoils_its_trace_in_parity_only)
{
	for (int parity = 0; parity < 2; parity++) {
		struct fnx_detector *d = new_detector(2, parity, fnx_detector_params_default);
		struct fnx_detector_event events[12];
		double sample[2];

		for (int t = 0; t < 100; t++) {
			sample[0] = t == 50 ? (double)NAN : t % 7;
			sample[1] = t % 5;
			fnx_detector_step(d, sample, still, events);
			if (t == 50 && !parity)
				assert_true(fnx_detector_envelope(d, 2) == sample[1]);
		}
		assert_true((bool)isnan(fnx_detector_statistics(d, 0).mean) == (bool)parity);
		assert_true((bool)isnan(fnx_detector_statistics(d, 2).mean) == (bool)parity);
		assert_true(fabs(fnx_detector_statistics(d, 1).mean - 2) < 1e-12);
		assert_int_equal(fnx_detector_statistics(d, 0).n_samples, parity ? 100 : 99);
		fnx_detector_free(d);
	}
}

TEST(a_ripple_whose_envelope_is_lost_ends_by_its_length)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d;

	params.max_samples = 5;
	d = new_frozen(params);
	assert_string_equal(step_word(d, 20, still), "s");
	for (int t = 0; t < 3; t++)
		assert_string_equal(step_word(d, t ? (double)NAN : -(double)NAN, still), "");
	assert_string_equal(step_word(d, (double)NAN, still), "E");
	fnx_detector_free(d);
}

TEST(without_any_finite_envelope_there_is_no_consensus)
{
	struct fnx_detector *d = new_frozen(fnx_detector_params_default);

	assert_string_equal(step_word(d, (double)NAN, still), "");
	assert_true(isnan(fnx_detector_envelope(d, 1)));
	assert_string_equal(step_word(d, (double)INFINITY, still), "s");
	assert_true(isnan(fnx_detector_envelope(d, 1)));
	fnx_detector_free(d);
}

/* One trace, in the plainest way. */
struct naive {
	double mean, m2, n;
	uint32_t length;
	bool conditioning, content;
};

static int naive_step(struct naive *trace, const struct fnx_detector_params *params, bool parity,
	double x, double speed_cm_s, int ret_types[4], double *ret_z)
{
	double deviation, z;
	int n = 0;

	if (!params->freeze && (parity || isfinite(x))) {
		double delta = x - trace->mean;

		trace->n++;
		trace->mean += delta / trace->n;
		trace->m2 += delta * (x - trace->mean);
	}
	deviation = sqrt(trace->m2 / trace->n);
	z = (x - trace->mean) / deviation;
	if (trace->length == 0) {
		if (x > trace->mean + params->standard * deviation &&
			speed_cm_s < params->max_speed_cm_s && trace->n > params->warm_up_samples &&
			(parity || deviation > 0)) {
			ret_types[n++] = FNX_DETECTOR_STANDARD;
			trace->length = 1;
		}
		*ret_z = z;
		return n;
	}
	trace->length++;
	if (x > trace->mean + params->conditioning * deviation && !trace->conditioning) {
		ret_types[n++] = FNX_DETECTOR_CONDITIONING;
		trace->conditioning = true;
	}
	if (x > trace->mean + params->content * deviation && !trace->content) {
		ret_types[n++] = FNX_DETECTOR_CONTENT;
		trace->content = true;
	}
	if (x <= trace->mean + params->end * deviation || trace->length >= params->max_samples) {
		ret_types[n++] = FNX_DETECTOR_END;
		trace->length = 0;
		trace->conditioning = trace->content = false;
	}
	*ret_z = z;
	return n;
}

static double naive_consensus(const double *x, uint32_t n, bool parity)
{
	double sum = 0, n_taken = 0;

	for (uint32_t c = 0; c < n; c++)
		if (parity || isfinite(x[c])) {
			sum += x[c];
			n_taken++;
		}
	return sum / n_taken;
}

static void random_params(struct check_random *random, struct fnx_detector_params *params)
{
	params->standard = 1 + 2 * check_random_unit(random);
	params->conditioning = params->standard + check_random_unit(random) - 0.5;
	params->content = params->standard + check_random_unit(random);
	params->end = check_random_unit(random) - 0.5;
	params->max_speed_cm_s = 5 * check_random_unit(random);
	params->max_samples = 1 + (uint32_t)check_random_below(random, 40);
	params->warm_up_samples = (uint32_t)check_random_below(random, 30);
	params->freeze = check_random_below(random, 4) == 0;
}

static void assert_close(double value, double expected)
{
	if (!(fabs(value - expected) <= 1e-9 * (1 + fabs(expected))) &&
		!(isnan(value) && isnan(expected)) && value != expected)
		fail_msg("%.17g, not %.17g", value, expected);
}

TEST(random_sessions_equal_the_naive_state_machine)
{
	struct check_random random = check_random_seeded();
	size_t n_events_total = 0;

	for (int round = 0; round < 30; round++) {
		static struct fnx_detector_event events[EVENTS_MAX];
		static struct naive naive[N_MAX];
		uint32_t n = 1 +
			(uint32_t)check_random_below(
				&random, round % 3 ? 20 : FNX_DETECTOR_CHANNELS_MAX);
		bool parity = check_random_below(&random, 2);
		struct fnx_detector_params params = fnx_detector_params_default;
		struct fnx_detector *d = new_detector(n, parity, params);
		double x[N_MAX], level = 1;

		memset(naive, 0, sizeof(naive));
		for (int t = 0; t < 1000; t++) {
			double speed = 6 * check_random_unit(&random);
			size_t n_events, at = 0;

			if (check_random_below(&random, 100) == 0) {
				random_params(&random, &params);
				assert_int_equal(fnx_detector_set(d, &params), 0);
			}
			if (check_random_below(&random, 50) == 0)
				level = 1 + 5 * check_random_unit(&random);
			for (uint32_t c = 0; c < n; c++)
				x[c] = !parity && check_random_below(&random, 500) == 0
					? (double)NAN
					: level * (0.5 + check_random_unit(&random));
			x[n] = naive_consensus(x, n, parity);
			n_events = fnx_detector_step(d, x, speed, events);
			assert_true(n_events <= fnx_detector_events_max(d));
			for (uint32_t c = 0; c <= n; c++) {
				int types[4];
				double z;
				int n_types = naive_step(
					&naive[c], &params, parity, x[c], speed, types, &z);

				for (int k = 0; k < n_types; k++, at++) {
					assert_true(at < n_events);
					assert_int_equal(events[at].channel,
						c < n ? (int)c : FNX_DETECTOR_CONSENSUS);
					assert_int_equal(events[at].type, types[k]);
					assert_close(events[at].z,
						parity && types[k] == FNX_DETECTOR_END ? (double)NAN
										       : z);
				}
				assert_close(fnx_detector_statistics(d, c).mean, naive[c].mean);
			}
			assert_int_equal(at, n_events);
			n_events_total += n_events;
		}
		fnx_detector_free(d);
	}
	assert_true(n_events_total > 1000);
}

/* The most that can happen: every trace passes two thresholds and ends, in one sample. */
TEST(events_never_exceed_the_room_asked_for)
{
	struct fnx_detector_params params = fnx_detector_params_default;
	struct fnx_detector *d;
	double mean[N_MAX], deviation[N_MAX], x[N_MAX];
	static struct fnx_detector_event events[EVENTS_MAX + 1];

	params.freeze = true;
	params.max_samples = 2;
	d = new_detector(512, false, params);
	for (int t = 0; t < N_MAX; t++) {
		mean[t] = 0;
		deviation[t] = 1;
		x[t] = 9;
	}
	assert_int_equal(fnx_detector_seed(d, mean, deviation, 1), 0);
	assert_int_equal(fnx_detector_traces(d), 513);
	assert_int_equal(fnx_detector_events_max(d), EVENTS_MAX);
	events[EVENTS_MAX].channel = 4711;
	assert_int_equal(fnx_detector_step(d, x, still, events), 513);
	assert_int_equal(fnx_detector_step(d, x, still, events), 3 * 513);
	assert_int_equal(events[EVENTS_MAX].channel, 4711);
	fnx_detector_free(d);
}

TEST(what_memory_held_before_makes_no_difference_and_a_step_allocates_nothing)
{
	struct check_random random = check_random_seeded();
	static struct fnx_detector_event events[2][EVENTS_MAX];
	struct fnx_detector *clean, *poisoned;
	double x[100];
	size_t before;

	mallopt(M_PERTURB, 0);
	clean = new_detector(100, false, fnx_detector_params_default);
	mallopt(M_PERTURB, 0xff);
	poisoned = new_detector(100, false, fnx_detector_params_default);
	mallopt(M_PERTURB, 0);
	before = n_allocations;
	for (int t = 0; t < 2000; t++) {
		size_t n[2];

		for (int c = 0; c < 100; c++)
			x[c] = exp(3 * check_random_unit(&random));
		memset(events, 0xff, sizeof(events));
		n[0] = fnx_detector_step(clean, x, still, events[0]);
		n[1] = fnx_detector_step(poisoned, x, still, events[1]);
		assert_true(n[0] == n[1]);
		for (size_t i = 0; i < n[0]; i++) {
			assert_int_equal(events[0][i].type, events[1][i].type);
			assert_true(events[0][i].z == events[1][i].z);
		}
	}
	assert_int_equal(n_allocations, before);
	fnx_detector_free(clean);
	fnx_detector_free(poisoned);
}
