/* SPDX-License-Identifier: BSD-3-Clause */
/* The simulator as a source: order, repetition, place, and what it refuses. */
#include "nodes/acquire/simulator.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "tests/unit/acquire/simulated_session.h"

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* Hash of all that an event says, padding and pointers left out. */
static uint64_t mix_event(uint64_t hash, const struct fnx_event *event)
{
	const struct fnx_event_position *position = &event->position;
	const int32_t kind = (int32_t)event->kind;

	hash = mix(hash, &event->sample_time, sizeof(event->sample_time));
	hash = mix(hash, &kind, sizeof(kind));
	switch (event->kind) {
	case FNX_EVENT_POSITION:
		hash = mix(hash, &position->x, 4 * sizeof(double));
		hash = mix(hash, &position->segment, sizeof(position->segment));
		return mix(hash, &position->along, sizeof(position->along));
	case FNX_EVENT_SPIKE:
		hash = mix(hash, &event->spike.group, 3 * sizeof(uint32_t));
		return mix(hash, event->spike.waveform,
			sizeof(float) * event->spike.n_channels * event->spike.n_points);
	case FNX_EVENT_LFP:
		return mix(hash, event->lfp.samples, sizeof(float) * event->lfp.n_channels);
	case FNX_EVENT_TRUTH:
	case FNX_EVENT_KINDS:
		break;
	}
	return mix(hash, &event->truth, sizeof(event->truth));
}

/* Hash of the events from `from` on, at most `n_max`. */
static uint64_t hash_session(struct session *session, int64_t from, size_t n_max)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct fnx_event event;
	size_t n = 0;

	open_session(session);
	while (n < n_max && next_event(session, &event)) {
		if (event.sample_time < from)
			continue;
		hash = mix_event(hash, &event);
		n++;
	}
	session->source = fnx_source_simulator.close(session->source);
	return hash;
}

TEST(events_come_in_the_order_of_time_and_kind)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 20; round++) {
		struct session session;
		struct fnx_event event;
		int64_t last_time = -1;
		enum fnx_event_kind last_kind = FNX_EVENT_POSITION;
		size_t n[FNX_EVENT_KINDS] = {0};

		init_session(&session, round % 2 ? &FORK : &T_MAZE,
			1 + (uint32_t)check_random_below(&random, 40),
			(uint32_t)check_random_below(&random, 5));
		session.rig.source.simulator.seed = check_random_u64(&random);
		session.rig.source.duration_s = 5.0;
		session.rig.position.rate_hz = 10.0 + 100.0 * check_random_unit(&random);
		open_session(&session);
		while (next_event(&session, &event)) {
			assert_true(event.sample_time >= last_time);
			if (event.sample_time == last_time)
				assert_true(event.kind > last_kind ||
					(event.kind == last_kind && event.kind == FNX_EVENT_SPIKE));
			last_time = event.sample_time;
			last_kind = event.kind;
			n[event.kind]++;
		}
		assert_true(last_time < 150000);
		assert_true(fabs((double)n[FNX_EVENT_POSITION] - 5 * session.rig.position.rate_hz) <
			1.0 + 1e-6);
		assert_true(n[FNX_EVENT_TRUTH] >= n[FNX_EVENT_POSITION]);
		assert_int_equal(n[FNX_EVENT_LFP], session.rig.lfp.n_channels > 0 ? 7500 : 0);
		assert_false(next_event(&session, &event));
		fini_session(&session);
	}
}

TEST(opened_twice_it_yields_the_same_events)
{
	struct session session;
	uint64_t first;

	init_session(&session, &T_MAZE, 8, 3);
	first = hash_session(&session, 0, 100000);
	assert_true(hash_session(&session, 0, 100000) == first);
	session.rig.source.simulator.seed = 2;
	assert_true(hash_session(&session, 0, 100000) != first);
	fini_session(&session);
}

TEST(a_session_begun_later_is_the_rest_of_the_same_session)
{
	struct check_random random = check_random_seeded();

	for (int trial = 0; trial < 8; trial++) {
		double start_s = 15.0 * check_random_unit(&random);
		struct session session;
		uint64_t rest;

		init_session(&session, &FORK, 8, 2);
		session.rig.source.duration_s = 60.0;
		rest = hash_session(&session, (int64_t)round(start_s * 30000.0), 20000);
		session.rig.source.start_s = start_s;
		assert_true(hash_session(&session, 0, 20000) == rest);
		fini_session(&session);
	}
}

TEST(what_is_measured_more_leaves_the_animal_and_its_cells_as_they_are)
{
	struct session few, many;
	struct fnx_event a, b;

	init_session(&few, &T_MAZE, 8, 0);
	init_session(&many, &T_MAZE, 8, 300);
	open_session(&few);
	open_session(&many);
	for (int i = 0; i < 5000; i++) {
		assert_true(next_event(&few, &a));
		do
			assert_true(next_event(&many, &b));
		while (b.kind == FNX_EVENT_LFP);
		assert_true(mix_event(0, &a) == mix_event(0, &b));
	}
	fini_session(&few);
	fini_session(&many);
}

TEST(the_session_lasts_as_long_as_the_rig_says_and_a_minute_by_default)
{
	struct session session;
	const struct fnx_source_info *info;

	init_session(&session, &FORK, 4, 2);
	open_session(&session);
	info = fnx_source_simulator.info(session.source);
	assert_int_equal(info->first_sample, 0);
	assert_int_equal(info->last_sample, 60 * 30000);
	assert_int_equal(info->n_lfp_channels, 2);
	assert_int_equal(info->n_spike_channels, 4);
	assert_int_equal(info->n_spike_points, 40);
	assert_true(info->has_position && info->has_truth);
	session.source = fnx_source_simulator.close(session.source);
	session.rig.source.start_s = 1.5;
	session.rig.source.duration_s = 2.0;
	open_session(&session);
	info = fnx_source_simulator.info(session.source);
	assert_int_equal(info->first_sample, 45000);
	assert_int_equal(info->last_sample, 105000);
	fini_session(&session);
}

/* x, y in cm of an event, both LEDs taken together. */
static struct fnx_place project(const struct session *session, const struct fnx_event *event)
{
	const double scale = session->rig.position.scale;

	return fnx_track_from_xy(session->track,
		(event->position.x + event->position.x2) / 2.0 * scale,
		(event->position.y + event->position.y2) / 2.0 * scale);
}

TEST(truth_position_and_place_in_the_room_agree)
{
	struct session session;
	struct fnx_event event;
	struct fnx_place place = {.bin = -1};
	double worst_cm = 0.0;

	init_session(&session, &T_MAZE, 0, 0);
	session.rig.position.scale = 0.25;
	open_session(&session);
	while (next_event(&session, &event)) {
		if (event.kind == FNX_EVENT_POSITION) {
			struct fnx_place seen = project(&session, &event);

			place = fnx_track_from_segment(
				session.track, event.position.segment, event.position.along);
			assert_true(place.bin >= 0 && seen.bin >= 0);
			worst_cm = fmax(worst_cm,
				fnx_track_distance_cm(
					session.track, (uint32_t)place.bin, (uint32_t)seen.bin));
		} else if (event.kind == FNX_EVENT_TRUTH) {
			assert_int_equal(event.truth.bin, place.bin);
		}
	}
	assert_true(worst_cm < 5.5);
	fini_session(&session);
}

TEST(a_track_without_nodes_is_laid_out_so_that_speed_can_be_had_from_it)
{
	struct session session;
	struct fnx_event event;
	double x = 0.0, y = 0.0, top_cm_s = 0.0;
	bool begun = false;

	init_session(&session, &FORK, 0, 0);
	open_session(&session);
	while (next_event(&session, &event)) {
		double mid_x, mid_y;

		if (event.kind != FNX_EVENT_POSITION)
			continue;
		mid_x = (event.position.x + event.position.x2) / 2.0;
		mid_y = (event.position.y + event.position.y2) / 2.0;
		if (begun)
			top_cm_s = fmax(top_cm_s, hypot(mid_x - x, mid_y - y) * 30.0);
		begun = true;
		x = mid_x;
		y = mid_y;
	}
	assert_true(top_cm_s > 35.0 && top_cm_s < 80.0);
	fini_session(&session);
}

TEST(the_whole_track_is_visited_and_outer_arms_equally)
{
	struct session session;
	struct fnx_event event;
	size_t visits[107] = {0}, on_arm[3] = {0};

	init_session(&session, &T_MAZE, 0, 0);
	session.rig.source.duration_s = 600.0;
	open_session(&session);
	while (next_event(&session, &event))
		if (event.kind == FNX_EVENT_TRUTH) {
			visits[event.truth.bin]++;
			on_arm[fnx_track_bin_arms(session.track)[event.truth.bin]]++;
		}
	for (int i = 0; i < 107; i++)
		assert_int_equal(visits[i] > 0, fnx_track_bin_arms(session.track)[i] >= 0);
	assert_true(on_arm[1] * 2 > on_arm[2] && on_arm[2] * 2 > on_arm[1]);
	fini_session(&session);
}

TEST(segments_are_named_as_the_rig_maps_them)
{
	struct fnx_track_config config = FORK;
	struct session session;
	struct fnx_event event;
	bool seen[4] = {false};

	config.n_segments = 4;
	memcpy(config.segment_arms, (uint32_t[]){2, 2, 0, 1}, 4 * sizeof(uint32_t));
	init_session(&session, &config, 0, 0);
	open_session(&session);
	while (next_event(&session, &event)) {
		if (event.kind != FNX_EVENT_POSITION)
			continue;
		assert_in_range(event.position.segment, 0, 3);
		seen[event.position.segment] = true;
	}
	assert_true(seen[0] && !seen[1] && seen[2] && seen[3]);
	fini_session(&session);
}

static void assert_refused(struct session *session, const char *word)
{
	char error[FNX_RIG_ERROR_MAX] = "";
	struct fnx_source *source = NULL;

	assert_int_equal(fnx_source_simulator.open(
				 &session->rig, session->track, &source, error, sizeof(error)),
		-EINVAL);
	assert_null(source);
	if (!strstr(error, word))
		fail_msg("\"%s\" does not say \"%s\"", error, word);
}

TEST(numbers_that_make_no_session_are_refused_by_name)
{
	struct session session;
	struct fnx_rig good;

	init_session(&session, &FORK, 4, 2);
	good = session.rig;
	session.rig.clock.rate_hz = 0.0;
	assert_refused(&session, "clock.rate_hz");
	session.rig = good;
	session.rig.position.scale = (double)NAN;
	assert_refused(&session, "position.scale");
	session.rig = good;
	session.rig.source.simulator.running_speed_cm_s = 0.0;
	assert_refused(&session, "running_speed_cm_s");
	session.rig = good;
	session.rig.source.simulator.place_field_cm = 0.0;
	assert_refused(&session, "place_field_cm");
	session.rig = good;
	session.rig.source.simulator.rest_s = (double)INFINITY;
	assert_refused(&session, "rest_s");
	session.rig = good;
	session.rig.spikes.n_points = 0;
	assert_refused(&session, "n_points");
	session.rig = good;
	session.group.through = 0;
	assert_refused(&session, "through");
	session.group.through = 4;
	session.group.n_channels = 0;
	assert_refused(&session, "n_channels");
	fini_session(&session);
}

TEST(arms_that_do_not_begin_where_arm_0_ends_are_refused)
{
	struct fnx_track_config config = T_MAZE;
	struct session session;

	config.arms[2].node_x[0] = 32.0;
	config.arms[2].node_y[0] = 126.0;
	init_session(&session, &config, 4, 2);
	assert_refused(&session, "arms[2]");
	fini_session(&session);
}

TEST(a_large_rig_is_simulated_far_faster_than_it_lives)
{
	struct session session;
	struct fnx_event event;
	struct timespec begin, end;
	size_t n[FNX_EVENT_KINDS] = {0};
	double seconds, sum = 0.0;

	init_session(&session, &T_MAZE, 32, 128);
	session.rig.source.simulator.background_rate_hz = 16.5;
	session.rig.source.duration_s = 120.0;
	open_session(&session);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	while (next_event(&session, &event)) {
		n[event.kind]++;
		if (event.kind == FNX_EVENT_SPIKE)
			sum += (double)event.spike.waveform[13];
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	seconds =
		(double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
	print_message("32 groups, 128 LFP channels: %.1f spikes/s per group, %.0f x real time "
		      "(mean %.0f counts)\n",
		(double)n[FNX_EVENT_SPIKE] / 120.0 / 32.0, 120.0 / seconds,
		sum / (double)n[FNX_EVENT_SPIKE]);
	assert_true(n[FNX_EVENT_SPIKE] > 32 * 120 * 15);
	assert_int_equal(n[FNX_EVENT_LFP], 120 * 1500);
	fini_session(&session);
}
