/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated animal is judged by what comes out of it alone: sessions are drawn, counted and, in
 * the end, decoded by the plainest of all decoders, the nearest mark.
 */
#include "nodes/acquire/simulator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/acquire/simulated_session.h"

/* What a session holds, counted. */
struct tally {
	size_t spikes;
	size_t replays, replays_on[3];
	double replay_s;
	size_t replay_spikes;
};

static void tally_session(struct session *session, struct tally *ret_tally)
{
	struct tally tally = {0};
	struct fnx_event event;
	int32_t replay_arm = -1;
	int64_t replay_start = 0;

	open_session(session);
	while (next_event(session, &event)) {
		if (event.kind == FNX_EVENT_SPIKE) {
			tally.spikes++;
			tally.replay_spikes += replay_arm >= 0;
		}
		if (event.kind != FNX_EVENT_TRUTH)
			continue;
		if (replay_arm < 0 && event.truth.replay_arm >= 0) {
			tally.replays++;
			tally.replays_on[event.truth.replay_arm]++;
			replay_start = event.sample_time;
		} else if (replay_arm >= 0 && event.truth.replay_arm < 0) {
			double duration_s = (double)(event.sample_time - replay_start) / 30000.0;

			assert_true(duration_s > 0.0589 && duration_s < 0.1211);
			tally.replay_s += duration_s;
		}
		assert_int_equal(event.truth.replay_arm >= 0, event.truth.replay_bin >= 0);
		if (event.truth.replay_bin >= 0)
			assert_int_equal(fnx_track_bin_arms(session->track)[event.truth.replay_bin],
				event.truth.replay_arm);
		replay_arm = event.truth.replay_arm;
	}
	*ret_tally = tally;
}

TEST(replays_are_balanced_over_the_outer_arms_and_full_of_spikes)
{
	struct session session;
	struct tally tally;
	double in_hz, out_hz;

	init_session(&session, &T_MAZE, 32, 0);
	session.rig.source.duration_s = 600.0;
	tally_session(&session, &tally);
	in_hz = (double)tally.replay_spikes / tally.replay_s;
	out_hz = (double)(tally.spikes - tally.replay_spikes) / (600.0 - tally.replay_s);
	print_message("%zu replays, %.3f s on average, %.0f spikes/s in and %.0f outside\n",
		tally.replays, tally.replay_s / (double)tally.replays, in_hz, out_hz);
	assert_true(tally.replays > 50);
	assert_int_equal(tally.replays_on[0], 0);
	assert_true(abs((int)tally.replays_on[1] - (int)tally.replays_on[2]) <= 1);
	assert_true(in_hz > 5.0 * out_hz);
	fini_session(&session);
}

TEST(ripples_come_at_the_rate_asked_per_second_of_rest)
{
	const double rates_hz[] = {0.2, 0.8, 2.0};

	for (size_t i = 0; i < 3; i++) {
		struct session session;
		struct tally tally;

		/* An animal that needs no time to run is always at rest. */
		init_session(&session, &FORK, 0, 0);
		session.rig.source.duration_s = 2000.0;
		session.rig.source.simulator.rest_s = 500.0;
		session.rig.source.simulator.ripple_rate_hz = rates_hz[i];
		tally_session(&session, &tally);
		print_message("%.2f ripples/s asked, %.2f drawn\n", rates_hz[i],
			(double)tally.replays / 2000.0);
		assert_true(fabs((double)tally.replays / 2000.0 - rates_hz[i]) <
			0.03 * rates_hz[i] + 3.5 * sqrt(rates_hz[i] / 2000.0));
		fini_session(&session);
	}
}

TEST(no_rest_or_no_ripple_rate_means_no_replay)
{
	struct session session;
	struct tally tally;

	init_session(&session, &FORK, 2, 0);
	session.rig.source.simulator.rest_s = 0.0;
	tally_session(&session, &tally);
	assert_int_equal(tally.replays, 0);
	session.source = fnx_source_simulator.close(session.source);
	session.rig.source.simulator.rest_s = 2.0;
	session.rig.source.simulator.ripple_rate_hz = 0.0;
	tally_session(&session, &tally);
	assert_int_equal(tally.replays, 0);
	fini_session(&session);
}

TEST(ripples_before_replay_after_carry_no_replay)
{
	struct session session;
	struct fnx_event event;
	int64_t first = INT64_MAX;

	init_session(&session, &FORK, 2, 0);
	session.rig.source.simulator.replay_after_s = 40.0;
	session.rig.source.duration_s = 120.0;
	open_session(&session);
	while (next_event(&session, &event))
		if (event.kind == FNX_EVENT_TRUTH && event.truth.replay_arm >= 0 &&
			event.sample_time < first)
			first = event.sample_time;
	assert_true(first >= 40 * 30000 && first < 120 * 30000);
	fini_session(&session);
}

TEST(background_spikes_come_at_the_rate_asked)
{
	struct session session;
	struct tally tally;

	init_session(&session, &FORK, 16, 0);
	session.rig.source.duration_s = 300.0;
	session.rig.source.simulator.cells_per_group = 0;
	session.rig.source.simulator.background_rate_hz = 20.0;
	tally_session(&session, &tally);
	print_message("20 spikes/s asked, %.2f drawn\n", (double)tally.spikes / 300.0 / 16.0);
	/* A group is locked out for 1.33 ms after each spike. */
	assert_true(fabs((double)tally.spikes / 300.0 / 16.0 - 20.0 / (1.0 + 20.0 * 40 / 30000.0)) <
		4.0 * sqrt(20.0 / 300.0 / 16.0));
	fini_session(&session);
}

TEST(a_place_cell_fires_at_its_peak_rate_in_the_middle_of_its_field)
{
	struct session session;
	struct fnx_event event;
	double seconds[41] = {0}, best_hz = 0.0;
	size_t spikes[41] = {0};
	int32_t bin = 0;

	init_session(&session, &FORK, 1, 0);
	session.rig.source.duration_s = 1800.0;
	session.rig.source.simulator.cells_per_group = 1;
	session.rig.source.simulator.background_rate_hz = 0.0;
	session.rig.source.simulator.rest_s = 0.0;
	open_session(&session);
	while (next_event(&session, &event))
		if (event.kind == FNX_EVENT_TRUTH) {
			bin = event.truth.bin;
			seconds[bin] += 1.0 / 30.0;
		} else if (event.kind == FNX_EVENT_SPIKE) {
			spikes[bin]++;
		}
	for (int i = 0; i < 41; i++)
		if (seconds[i] > 0.0)
			best_hz = fmax(best_hz, (double)spikes[i] / seconds[i]);
	print_message("15 spikes/s asked at the peak, %.1f drawn\n", best_hz);
	assert_true(best_hz > 12.0 && best_hz < 18.0);
	fini_session(&session);
}

TEST(cells_fire_in_step_with_theta_while_the_animal_runs)
{
	struct session session;
	struct fnx_event event;
	double re = 0.0, im = 0.0, n = 0.0;

	init_session(&session, &T_MAZE, 16, 0);
	session.rig.source.duration_s = 200.0;
	session.rig.source.simulator.rest_s = 0.0;
	session.rig.source.simulator.background_rate_hz = 0.0;
	open_session(&session);
	while (next_event(&session, &event))
		if (event.kind == FNX_EVENT_SPIKE) {
			double phase = 2.0 * M_PI * 8.0 * (double)event.sample_time / 30000.0;

			re += cos(phase);
			im += sin(phase);
			n++;
		}
	print_message("resultant of the phases %.2f\n", hypot(re, im) / n);
	assert_true(hypot(re, im) / n > 0.25);
	fini_session(&session);
}

TEST(a_replay_sweeps_the_outer_end_of_an_arm_twenty_times_as_fast_as_the_animal_runs)
{
	struct session session;
	struct fnx_event event;
	struct fnx_event_truth last = {.replay_arm = -1};
	int64_t last_time = 0;
	int32_t step = 0;
	double way_cm = 0.0, seconds = 0.0;
	size_t outwards = 0, inwards = 0;

	init_session(&session, &T_MAZE, 0, 0);
	session.rig.source.duration_s = 600.0;
	session.rig.position.rate_hz = 1000.0;
	open_session(&session);
	while (next_event(&session, &event)) {
		const struct fnx_track_arm_config *arms = fnx_track_config(session.track)->arms;

		if (event.kind != FNX_EVENT_TRUTH)
			continue;
		if (last.replay_arm < 0 && event.truth.replay_arm >= 0) {
			int32_t end = (int32_t)arms[event.truth.replay_arm].last_bin;

			step = event.truth.replay_bin == end ? -1 : 1;
			inwards += step < 0;
			outwards += step > 0;
		} else if (last.replay_arm >= 0 && event.truth.replay_arm < 0) {
			if (step > 0)
				assert_int_equal(last.replay_bin, arms[last.replay_arm].last_bin);
		} else if (last.replay_arm >= 0) {
			assert_true((event.truth.replay_bin - last.replay_bin) * step >= 0);
			way_cm += fnx_track_distance_cm(session.track,
				(uint32_t)event.truth.replay_bin, (uint32_t)last.replay_bin);
			seconds += (double)(event.sample_time - last_time) / 30000.0;
		}
		last = event.truth;
		last_time = event.sample_time;
	}
	print_message("%zu replays outwards, %zu inwards, %.0f cm/s\n", outwards, inwards,
		way_cm / seconds);
	assert_true(outwards > 20 && inwards > 20);
	assert_true(fabs(way_cm / seconds - 800.0) < 40.0);
	fini_session(&session);
}

TEST(noise_is_as_large_as_asked_in_waveforms_and_lfp)
{
	struct session session;
	struct fnx_event event;
	double wave2 = 0.0, n_wave = 0.0, lfp2 = 0.0, n_lfp = 0.0, last = 0.0, before = 0.0;

	init_session(&session, &FORK, 4, 1);
	session.rig.source.simulator.noise_uv = 100.0;
	open_session(&session);
	while (next_event(&session, &event)) {
		if (event.kind == FNX_EVENT_SPIKE) {
			double uv = (double)event.spike.waveform[0] * event.spike.uv_per_count;

			wave2 += uv * uv;
			n_wave++;
		} else if (event.kind == FNX_EVENT_LFP) {
			double uv = (double)event.lfp.samples[0] * event.lfp.uv_per_count;
			/* Of a second difference white noise is six times as large, all else small.
			 */
			double bend = uv - 2.0 * last + before;

			lfp2 += bend * bend / 6.0;
			n_lfp++;
			before = last;
			last = uv;
		}
	}
	print_message("100 uV asked, waveforms %.1f, LFP %.1f\n", sqrt(wave2 / n_wave),
		sqrt(lfp2 / n_lfp));
	assert_true(fabs(sqrt(wave2 / n_wave) - 100.0) < 10.0);
	assert_true(fabs(sqrt(lfp2 / n_lfp) - 100.0) < 10.0);
	fini_session(&session);
}

TEST(a_waveform_peaks_at_a_third_and_is_made_of_whole_counts)
{
	struct session session;
	struct fnx_event event;
	size_t at[40] = {0}, n = 0;

	init_session(&session, &FORK, 4, 0);
	session.rig.source.simulator.background_rate_hz = 0.0;
	open_session(&session);
	while (next_event(&session, &event)) {
		uint32_t peak = 0;

		if (event.kind != FNX_EVENT_SPIKE)
			continue;
		assert_in_range(event.spike.group, 1, 4);
		for (uint32_t i = 0; i < 160; i++) {
			float value = event.spike.waveform[i];

			assert_true(value == rintf(value));
			if (value > event.spike.waveform[peak])
				peak = i;
		}
		at[peak % 40]++;
		n++;
	}
	assert_true(n > 100);
	assert_true(at[12] + at[13] + at[14] > n * 95 / 100);
	fini_session(&session);
}

TEST(a_group_is_locked_out_while_a_waveform_lasts)
{
	struct session session;
	struct fnx_event event;
	int64_t last[5] = {-1000, -1000, -1000, -1000, -1000};

	init_session(&session, &FORK, 4, 0);
	session.rig.source.simulator.background_rate_hz = 500.0;
	open_session(&session);
	while (next_event(&session, &event))
		if (event.kind == FNX_EVENT_SPIKE) {
			assert_true(event.sample_time - last[event.spike.group] >= 40);
			last[event.spike.group] = event.sample_time;
		}
	fini_session(&session);
}

/* Band-pass around 180 Hz, two poles, and the mean square over about 10 ms. */
struct envelope {
	double in[2], out[2], power;
};

static double envelope_step(struct envelope *envelope, double x)
{
	const double w = 2.0 * M_PI * 180.0 / 1500.0, alpha = sin(w) / (2.0 * 2.0);
	double y = (alpha * x - alpha * envelope->in[1] + 2.0 * cos(w) * envelope->out[0] -
			   (1.0 - alpha) * envelope->out[1]) /
		(1.0 + alpha);

	envelope->in[1] = envelope->in[0];
	envelope->in[0] = x;
	envelope->out[1] = envelope->out[0];
	envelope->out[0] = y;
	envelope->power += (y * y - envelope->power) / 15.0;
	return sqrt(envelope->power);
}

TEST(ripples_stand_out_of_the_lfp_on_every_channel)
{
	enum {
		CHANNELS = 6
	};
	struct session session;
	struct fnx_event event;
	struct envelope envelopes[CHANNELS] = {0};
	double sum[CHANNELS] = {0}, sum2[CHANNELS] = {0}, peak[CHANNELS] = {0};
	double peaks[CHANNELS] = {0}, n_outside = 0.0, n_replays = 0.0;
	int64_t ended = 0;
	bool replay = false;

	init_session(&session, &T_MAZE, 0, CHANNELS);
	session.rig.source.duration_s = 300.0;
	open_session(&session);
	while (next_event(&session, &event)) {
		if (event.kind == FNX_EVENT_TRUTH) {
			if (replay && event.truth.replay_arm < 0) {
				ended = event.sample_time;
				n_replays++;
				for (int c = 0; c < CHANNELS; c++) {
					peaks[c] += peak[c];
					peak[c] = 0.0;
				}
			}
			replay = event.truth.replay_arm >= 0;
		}
		if (event.kind != FNX_EVENT_LFP)
			continue;
		n_outside += !replay && event.sample_time > ended + 1500;
		for (int c = 0; c < CHANNELS; c++) {
			double uv = envelope_step(&envelopes[c],
				(double)event.lfp.samples[c] * event.lfp.uv_per_count);

			assert_true(event.lfp.samples[c] == rintf(event.lfp.samples[c]));
			if (replay) {
				peak[c] = fmax(peak[c], uv);
			} else if (event.sample_time > ended + 1500) {
				sum[c] += uv;
				sum2[c] += uv * uv;
			}
		}
	}
	assert_true(n_replays > 10.0);
	for (int c = 0; c < CHANNELS; c++) {
		double mean = sum[c] / n_outside;
		double deviation = sqrt(sum2[c] / n_outside - mean * mean);
		double z = (peaks[c] / n_replays - mean) / deviation;

		print_message("channel %d: envelope %.1f +- %.1f uV, ripples %.1f deviations\n", c,
			mean, deviation, z);
		assert_true(z > 8.0);
	}
	fini_session(&session);
}

/* Power of the LFP around a frequency, by a sum over whole seconds. */
static double power_at(const float *samples, size_t n, double frequency_hz)
{
	double re = 0.0, im = 0.0;

	for (size_t i = 0; i < n; i++) {
		double phase = 2.0 * M_PI * frequency_hz * (double)i / 1500.0;

		re += (double)samples[i] * cos(phase);
		im += (double)samples[i] * sin(phase);
	}
	return (re * re + im * im) / (double)n;
}

TEST(the_lfp_has_theta_and_less_power_the_higher_the_frequency)
{
	enum {
		SECONDS = 60,
		RATE = 1500,
		AVERAGED = 20
	};
	struct session session;
	struct fnx_event event;
	float *samples = calloc(SECONDS * RATE, sizeof(float));
	double low = 0.0, high = 0.0, theta;
	size_t n = 0;

	assert_non_null(samples);
	init_session(&session, &T_MAZE, 0, 1);
	session.rig.source.simulator.noise_uv = 1.0;
	session.rig.source.simulator.ripple_rate_hz = 0.0;
	open_session(&session);
	while (next_event(&session, &event))
		if (event.kind == FNX_EVENT_LFP && n < SECONDS * RATE)
			samples[n++] = event.lfp.samples[0];
	assert_int_equal(n, SECONDS * RATE);
	theta = power_at(samples, n, 8.0);
	for (int i = 0; i < AVERAGED; i++) {
		low += power_at(samples, n, 20.0 + 0.2 * i) / AVERAGED;
		high += power_at(samples, n, 200.0 + 2.0 * i) / AVERAGED;
	}
	print_message("power: theta %.3g, 20 Hz %.3g, 200 Hz %.3g\n", theta, low, high);
	assert_true(theta > 100.0 * low);
	assert_true(low > 4.0 * high && low < 40.0 * high);
	free(samples);
	fini_session(&session);
}

/* Marks of one group as they were seen while the animal ran. */
enum {
	GROUPS = 16,
	MARKS = 1500
};

struct memory {
	float marks[GROUPS][MARKS][4];
	int32_t bins[GROUPS][MARKS];
	size_t n[GROUPS];
};

static void read_mark(const struct fnx_event_spike *spike, float ret_mark[4])
{
	for (uint32_t c = 0; c < 4; c++)
		ret_mark[c] = spike->waveform[c * 40 + 13];
}

/* Bin of the nearest mark of the group, -1: there is none within 200 uV. */
static int32_t recall(const struct memory *memory, uint32_t group, const float mark[4])
{
	float nearest = 200.0f * 200.0f;
	int32_t bin = -1;

	for (size_t i = 0; i < memory->n[group]; i++) {
		float sum = 0.0f;

		for (uint32_t c = 0; c < 4; c++) {
			float d = memory->marks[group][i][c] - mark[c];

			sum += d * d;
		}
		if (sum < nearest) {
			nearest = sum;
			bin = memory->bins[group][i];
		}
	}
	return bin;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

TEST(marks_tell_where_the_animal_is_and_which_arm_it_replays)
{
	enum {
		SCORED = 20000
	};
	struct session session;
	struct fnx_event event;
	struct memory *memory = calloc(1, sizeof(*memory));
	double *errors_cm = calloc(SCORED, sizeof(double));
	struct fnx_event_truth truth = {.replay_arm = -1};
	size_t n_errors = 0, n_right = 0, n_replay = 0;
	int64_t moved = 0;

	assert_non_null(memory);
	assert_non_null(errors_cm);
	init_session(&session, &T_MAZE, GROUPS, 0);
	session.rig.source.duration_s = 600.0;
	open_session(&session);
	while (next_event(&session, &event)) {
		uint32_t group;
		float mark[4];
		int32_t bin;

		if (event.kind == FNX_EVENT_TRUTH) {
			if (event.truth.bin != truth.bin)
				moved = event.sample_time;
			truth = event.truth;
		}
		if (event.kind != FNX_EVENT_SPIKE)
			continue;
		group = event.spike.group - 1;
		read_mark(&event.spike, mark);
		if (event.sample_time < 400 * 30000) {
			if (event.sample_time - moved < 15000 && memory->n[group] < MARKS) {
				size_t i = memory->n[group]++;

				memcpy(memory->marks[group][i], mark, sizeof(mark));
				memory->bins[group][i] = truth.bin;
			}
			continue;
		}
		bin = recall(memory, group, mark);
		if (bin < 0)
			continue;
		if (truth.replay_arm >= 0) {
			n_replay++;
			n_right += fnx_track_bin_arms(session.track)[bin] == truth.replay_arm;
		} else if (event.sample_time - moved < 15000 && n_errors < SCORED) {
			errors_cm[n_errors++] = fnx_track_distance_cm(
				session.track, (uint32_t)bin, (uint32_t)truth.bin);
		}
	}
	assert_true(n_errors > 1000 && n_replay > 500);
	qsort(errors_cm, n_errors, sizeof(double), compare_doubles);
	print_message("one spike's nearest mark: median error %.1f cm of %zu, "
		      "replayed arm right %.3f of %zu\n",
		errors_cm[n_errors / 2], n_errors, (double)n_right / (double)n_replay, n_replay);
	assert_true(errors_cm[n_errors / 2] < 20.0);
	assert_true((double)n_right / (double)n_replay > 0.75);
	free(memory);
	free(errors_cm);
	fini_session(&session);
}

TEST(many_channels_and_one_arm_are_a_session_too)
{
	const struct fnx_track_config line = {
		.bin_cm = 2.0, .n_arms = 1, .arms = {{.last_bin = 79, .n_target = 5}}};
	struct session session;
	struct tally tally;

	init_session(&session, &line, 3, 700);
	session.group.n_channels = 32;
	session.rig.source.duration_s = 30.0;
	session.rig.spikes.n_points = 64;
	tally_session(&session, &tally);
	assert_true(tally.spikes > 100);
	assert_int_equal(tally.replays, tally.replays_on[0]);
	assert_true(tally.replays > 0);
	fini_session(&session);
}
