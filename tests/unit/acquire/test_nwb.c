/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "nodes/acquire/nwb_intervals.h"
#include "tests/support/allocations.h"
#include "tests/unit/acquire/nwb_play.h"
#include "tests/unit/acquire/nwb_write.h"

static char *recording(const char *name)
{
	static char path[1024];
	const char *found = check_data(name);

	if (!found) {
		print_message("%s is not there: nothing was checked\n", name);
		return NULL;
	}
	snprintf(path, sizeof(path), "%s", found);
	return path;
}

/* int16 LFP of one channel, 1500 Hz from time 0. */
static void write_lfp(hid_t file, const char *path, hsize_t n, const int16_t *counts)
{
	const hsize_t dims[3] = {n, 1, 1};

	write_group(file, path, "ElectricalSeries");
	write_array_as(file, path_of(path, "data"), H5T_NATIVE_INT16, 2, dims, counts,
		(struct write_as){0});
	write_number(file, path_of(path, "data"), "conversion", 1.95e-7);
	write_fixed_text(file, path_of(path, "data"), "unit", "volts");
	write_rate(file, path, 0.0, 1500.0);
}

struct totals {
	uint64_t n[FNX_EVENT_KINDS];
	int64_t sum[FNX_EVENT_KINDS]; /* of sample times */
	uint64_t n_spikes[64];
	uint64_t n_lost;
	double mark_uv, x, y, lfp;
	int64_t first, last;
};

static void total_event(const struct fnx_event *event, struct totals *totals)
{
	totals->n[event->kind]++;
	totals->sum[event->kind] += event->sample_time;
	if (event->kind == FNX_EVENT_SPIKE) {
		assert_in_range(event->spike.group, 1, 63);
		totals->n_spikes[event->spike.group]++;
		totals->mark_uv += (double)event->spike.waveform[0] * event->spike.uv_per_count;
	} else if (event->kind == FNX_EVENT_LFP) {
		totals->lfp += (double)event->lfp.samples[0];
	} else if (isnan(event->position.x)) {
		assert_true(isnan(event->position.y));
		totals->n_lost++;
	} else {
		totals->x += event->position.x;
		totals->y += event->position.y;
	}
}

static struct totals total(const struct fnx_rig *rig)
{
	struct fnx_source *source = must_open(rig, NULL);
	struct totals totals = {.first = INT64_MAX};
	enum fnx_event_kind kind = 0;
	struct fnx_event event;
	uint64_t before = n_allocations;
	int r;

	totals.last = INT64_MIN;
	while ((r = fnx_source_nwb.next(source, &event)) == 1) {
		if (totals.first == INT64_MAX)
			totals.first = event.sample_time;
		assert_true(event.sample_time > totals.last ||
			(event.sample_time == totals.last && event.kind >= kind));
		totals.last = event.sample_time;
		kind = event.kind;
		total_event(&event, &totals);
	}
	assert_int_equal(r, 0);
	assert_true(before > 0);
	assert_int_equal(n_allocations, before);
	assert_int_equal(fnx_source_nwb.info(source)->first_sample, totals.first);
	assert_int_equal(fnx_source_nwb.info(source)->last_sample, totals.last);
	fnx_source_nwb.close(source);
	return totals;
}

TEST(the_t_maze_session_yields_its_units_and_positions)
{
	static const uint64_t n_spikes[] = {
		0, 9313, 8918, 1638, 9351, 7593, 10436, 1336, 12963, 12590, 6169, 12478, 9956};
	char *path = recording("data/r050_task.nwb");
	struct fnx_rig rig;
	struct totals totals;

	if (!path)
		return;
	rig = rig_for(path);
	totals = total(&rig);
	assert_int_equal(totals.n[FNX_EVENT_SPIKE], 102741);
	assert_int_equal(totals.n[FNX_EVENT_POSITION], 65256);
	assert_int_equal(totals.n[FNX_EVENT_LFP], 0);
	for (size_t i = 0; i < sizeof(n_spikes) / sizeof(n_spikes[0]); i++)
		assert_int_equal(totals.n_spikes[i], n_spikes[i]);
	assert_int_equal(totals.sum[FNX_EVENT_SPIKE], 3376449920928);
	assert_int_equal(totals.sum[FNX_EVENT_POSITION], 2131310271374);
	assert_int_equal(totals.first, 51);
	assert_int_equal(totals.last, 65320916);
	assert_int_equal(totals.n_lost, 3155);
	assert_true(fabs(totals.x - 6394239.749748632) < 1e-3);
	assert_true(fabs(totals.y - 8381312.2396728955) < 1e-3);
	assert_true(totals.mark_uv == 100.0 * 102741 + 100.0 * 561794);
}

TEST(the_notice_tells_units_of_measure_and_the_ids_of_electrode_groups)
{
	char *path = recording("data/r050_task.nwb");
	struct fnx_source *source;
	struct fnx_rig rig;
	const char *notice;

	if (!path)
		return;
	rig = rig_for(path);
	source = must_open(&rig, NULL);
	notice = fnx_source_nwb_notice(source);
	assert_non_null(strstr(notice, "in 'centimeters' times position_scale 1;"));
	assert_non_null(strstr(notice, "units /units: 92, numbered by cluster, 102741 spikes"));
	assert_non_null(strstr(notice, "by the number in their names: TT01=1 "));
	assert_non_null(strstr(notice, " TT11=9 TT13=10 TT15=11 TT16=12"));
	assert_null(strchr(notice, '\n'));
	fnx_source_nwb.close(source);
	rig.position.scale = 0.5;
	source = must_open(&rig, NULL);
	assert_non_null(strstr(
		fnx_source_nwb_notice(source), "makes cm of 'centimeters' with a factor of 0.5"));
	fnx_source_nwb.close(source);
}

TEST(the_mouse_session_yields_its_lfp_counts)
{
	char *path = recording("data/liu2021_lfp.nwb");
	struct fnx_source *source;
	struct fnx_event event;
	struct totals totals;
	struct fnx_rig rig;

	if (!path)
		return;
	rig = rig_for(path);
	rig.lfp = (struct fnx_rig_lfp){.n_channels = 1, .rate_hz = 2000.0};
	totals = total(&rig);
	assert_int_equal(totals.n[FNX_EVENT_LFP], 200000);
	assert_int_equal(totals.first, 0);
	assert_int_equal(totals.last, 199999 * 15);
	assert_true(totals.lfp == 361.0);
	source = must_open(&rig, NULL);
	assert_int_equal(fnx_source_nwb.next(source, &event), 1);
	assert_true(event.lfp.samples[0] == 1470.0f);
	assert_true(fabs(event.lfp.uv_per_count - 0.195) < 1e-12);
	assert_int_equal(fnx_source_nwb.next(source, &event), 1);
	assert_int_equal(event.sample_time, 15);
	assert_true(event.lfp.samples[0] == 229.0f);
	fnx_source_nwb.close(source);
	rig.lfp.rate_hz = 1500.0;
	REFUSED(&rig, -EINVAL, LFP, "1500 Hz, the rig's lfp.rate_hz, found 2000 Hz");
	rig.lfp.n_channels = 4;
	REFUSED(&rig, -EINVAL, LFP, "expected 4 channels", "lfp.n_channels", "found 1");
}

TEST(published_ripples_are_a_table_of_intervals)
{
	char *path = recording("data/liu2021_lfp.nwb");
	double *starts_s = NULL, *stops_s = NULL, sum = 0.0;
	char error[512] = "";
	size_t n = 0;

	if (!path)
		return;
	assert_int_equal(fnx_nwb_intervals(path, "intervals/published_ripples", error,
				 sizeof(error), &starts_s, &stops_s, &n),
		0);
	assert_int_equal(n, 27);
	assert_true(starts_s[0] == 1.1975);
	assert_true(stops_s[26] == 99.8125);
	for (size_t i = 0; i < n; i++)
		sum += stops_s[i];
	assert_true(fabs(sum - 1398.444) < 1e-9);
	free(starts_s);
	free(stops_s);
	assert_int_equal(fnx_nwb_intervals(path, "intervals/none_such", error, sizeof(error),
				 &starts_s, &stops_s, &n),
		-ENOENT);
	assert_non_null(
		strstr(error, "intervals/none_such/start_time: expected a dataset, found nothing"));
}

TEST(units_without_cluster_are_counted_within_their_group)
{
	static const char *const groups[] = {"b", "a", "b"};
	static const int64_t ends[] = {1, 2, 3};
	static const double times_s[] = {0.3, 0.2, 0.1};
	char *path = scratch_file("units.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[3];
	hid_t file = write_open(path);

	write_electrodes(file, (const char *const[]){"b", "a"}, 2, 4);
	write_units(file, 3, groups, ends, times_s, NULL);
	must(H5Fclose(file));
	rig.source.nwb.unit_mark_uv = 10.0;
	rig.source.nwb.unit_mark_offset_uv = 5.0;
	assert_int_equal(play(&rig, NULL, played, 3), 3);
	assert_int_equal(played[0].group, 2); /* by name: a is 1, b is 2 */
	assert_true(played[0].values[0] == 25.0f);
	assert_int_equal(played[1].group, 1);
	assert_true(played[1].values[0] == 15.0f);
	assert_true(played[2].values[0] == 15.0f);
}

TEST(spikes_of_one_sample_come_by_group_then_by_unit)
{
	static const char *const groups[] = {"g10", "g9", "g9"};
	static const int64_t ends[] = {1, 2, 3}, clusters[] = {7, 6, 5};
	static const double times_s[] = {0.1, 0.1, 0.1};
	char *path = scratch_file("ties.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[3];
	hid_t file = write_open(path);

	write_electrodes(file, (const char *const[]){"g9", "g10"}, 2, 4);
	write_units(file, 3, groups, ends, times_s, clusters);
	must(H5Fclose(file));
	assert_int_equal(play(&rig, NULL, played, 3), 3);
	assert_int_equal(played[0].group, 1); /* by number, not by letter */
	assert_true(played[0].values[0] == 700.0f);
	assert_true(played[1].values[0] == 600.0f);
	assert_int_equal(played[2].group, 2);
}

TEST(channel_conversion_and_offset_are_in_the_counts)
{
	static const int16_t counts[] = {1, 2, 3, -4};
	static const double factors[] = {2.0, 0.5};
	char *path = scratch_file("conversion.nwb");
	struct fnx_rig rig = rig_for(path);
	const hsize_t dims[3] = {2, 2, 1};
	struct played played[2];
	hid_t file = write_open(path);

	write_group(file, LFP, "ElectricalSeries");
	write_array_as(file, LFP "/data", H5T_NATIVE_INT16, 2, dims, counts, (struct write_as){0});
	write_number(file, LFP "/data", "conversion", 0.5);
	write_number(file, LFP "/data", "offset", 8.0);
	write_doubles(file, LFP, "channel_conversion", 2, factors);
	write_rate(file, LFP, -1.0, 1500.0);
	must(H5Fclose(file));
	rig.lfp.n_channels = 2;
	assert_int_equal(play(&rig, NULL, played, 2), 2);
	assert_int_equal(played[0].sample_time, -30000);
	assert_true(played[0].uv_per_count == 0.5e6);
	assert_true(played[0].values[0] == 18.0f && played[0].values[1] == 17.0f);
	assert_true(played[1].values[0] == 22.0f && played[1].values[1] == 14.0f);
}

TEST(snippets_and_integers_of_any_width_take_their_channel_conversion)
{
	static const uint16_t counts[] = {60000, 1, 2};
	static const int8_t snippets[] = {1, 2, 3, -4, -5, -6};
	static const double times_s[] = {0.5}, factors[] = {2.0, 0.5};
	static const int64_t electrodes[] = {0, 1};
	const hsize_t dims[3] = {3, 1, 1}, snippet_dims[3] = {1, 2, 3};
	char *path = scratch_file("widths.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[4];
	hid_t file = write_open(path);

	write_group(file, "/acquisition/wide", "ElectricalSeries");
	write_array_as(file, "/acquisition/wide/data", H5T_NATIVE_UINT16, 1, dims, counts,
		(struct write_as){0});
	write_rate(file, "/acquisition/wide", 0.0, 1500.0);
	write_electrodes(file, (const char *const[]){"shank"}, 1, 2);
	write_group(file, EVENTS "/shank", "SpikeEventSeries");
	write_array_as(file, EVENTS "/shank/data", H5T_NATIVE_INT8, 3, snippet_dims, snippets,
		(struct write_as){0});
	write_doubles(file, EVENTS "/shank", "timestamps", 1, times_s);
	write_doubles(file, EVENTS "/shank", "channel_conversion", 2, factors);
	write_integers(file, EVENTS "/shank", "electrodes", 2, electrodes);
	must(H5Fclose(file));
	rig.lfp.n_channels = 1;
	assert_int_equal(play(&rig, NULL, played, 4), 4);
	assert_true(played[0].values[0] == 60000.0f);
	assert_true(played[0].uv_per_count == 1e6);
	assert_memory_equal(
		played[3].values, ((const float[]){2, 4, 6, -2, -2.5f, -3}), 6 * sizeof(float));
}

TEST(positions_are_converted_and_scaled_and_lost_ones_are_nan)
{
	static const double times_s[] = {0.0, 1.0, 2.0}, xy[] = {1, 2, INFINITY, 3, 4, 5};
	char *path = scratch_file("position.nwb");
	struct fnx_rig rig = rig_for(path);
	struct fnx_source *source;
	struct played played[3];
	hid_t file = write_open(path);

	write_positions(file, 3, times_s, xy);
	write_number(file, LED "/data", "conversion", 0.25);
	write_fixed_text(file, LED "/data", "unit", "meters");
	write_group(file, "/processing/behavior/CompassDirection", "CompassDirection");
	write_group(file, "/processing/behavior/CompassDirection/head", "SpatialSeries");
	must(H5Fclose(file));
	rig.source.nwb.position_scale = 100.0;
	assert_int_equal(play(&rig, NULL, played, 3), 3);
	assert_true(played[0].x == 25.0 && played[0].y == 50.0);
	assert_true(isnan(played[1].x) && isnan(played[1].y));
	assert_true(played[2].x == 100.0 && played[2].y == 125.0);
	rig.source.nwb.position_scale = 1.0;
	source = must_open(&rig, NULL);
	assert_non_null(
		strstr(fnx_source_nwb_notice(source), "makes cm of 'meters' with a factor of 1 "));
	fnx_source_nwb.close(source);
}

TEST(time_stamps_that_go_back_a_little_keep_their_place_and_are_counted)
{
	static const double times_s[] = {0.0, 1.0, 0.5, 0.75, 2.0}, xy[10] = {0};
	static const int64_t samples[] = {0, 30000, 30000, 30000, 60000};
	char *path = scratch_file("back.nwb");
	struct fnx_rig rig = rig_for(path);
	struct fnx_source *source;
	struct played played[5];
	hid_t file = write_open(path);

	write_positions(file, 5, times_s, xy);
	must(H5Fclose(file));
	assert_int_equal(play(&rig, NULL, played, 5), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(played[i].sample_time, samples[i]);
	source = must_open(&rig, NULL);
	assert_non_null(strstr(fnx_source_nwb_notice(source), "2 time stamps go back (first: 2)"));
	fnx_source_nwb.close(source);
}

TEST(a_kind_that_the_rig_names_none_or_has_no_room_for_is_left_out)
{
	static const int16_t counts[] = {1, 2};
	static const double times_s[] = {0.0}, xy[] = {1, 2};
	static char none[] = "none";
	char *path = scratch_file("none.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[3];
	hid_t file = write_open(path);

	write_lfp(file, LFP, 2, counts);
	write_positions(file, 1, times_s, xy);
	must(H5Fclose(file));
	assert_int_equal(play(&rig, NULL, played, 3), 1);
	rig.lfp.n_channels = 1;
	assert_int_equal(play(&rig, NULL, played, 3), 3);
	rig.source.nwb.position = none;
	assert_int_equal(play(&rig, NULL, played, 3), 2);
	assert_int_equal(played[0].kind, FNX_EVENT_LFP);
	rig.source.nwb.lfp = none;
	REFUSED(&rig, -EINVAL, "that the rig plays, found none");
}

TEST(several_candidates_are_named_with_the_key_that_chooses)
{
	static const int16_t counts[] = {1, 2};
	static const char *const groups[] = {"g1"};
	static const int64_t ends[] = {1}, electrodes[] = {0};
	static const double times_s[] = {0.1};
	static char second[] = "/acquisition/second", none[] = "none", units[] = "/units";
	static char events[] = EVENTS;
	const hsize_t dims[3] = {1, 2, 1};
	char *path = scratch_file("several.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[3];
	hid_t file = write_open(path);

	write_lfp(file, "/acquisition/first", 2, counts);
	write_lfp(file, "/acquisition/second", 2, counts);
	write_electrodes(file, groups, 1, 1);
	write_units(file, 1, groups, ends, times_s, NULL);
	write_group(file, EVENTS "/g1", "SpikeEventSeries");
	write_array_as(
		file, EVENTS "/g1/data", H5T_NATIVE_INT16, 2, dims, counts, (struct write_as){0});
	write_doubles(file, EVENTS "/g1", "timestamps", 1, times_s);
	write_integers(file, EVENTS "/g1", "electrodes", 1, electrodes);
	must(H5Fclose(file));
	rig.lfp.n_channels = 1;
	REFUSED(&rig, -EINVAL, "/acquisition/first, /acquisition/second", "set source.nwb.lfp");
	rig.source.nwb.lfp = second;
	REFUSED(&rig, -EINVAL, "found both (/units, " EVENTS "/g1)",
		"source.nwb.spike_events to none");
	rig.source.nwb.units = units;
	assert_int_equal(play(&rig, NULL, played, 3), 3);
	assert_int_equal(played[2].n_points, 1);
	rig.source.nwb.spike_events = events;
	REFUSED(&rig, -EINVAL, "source.nwb.units or source.nwb.spike_events, found both");
	rig.source.nwb.units = none;
	assert_int_equal(play(&rig, NULL, played, 3), 3);
	assert_int_equal(played[2].n_channels, 1); /* [n][points] */
	assert_int_equal(played[2].n_points, 2);
	assert_true(played[2].values[1] == 2.0f);
}

TEST(groups_whose_numbers_coincide_are_counted_in_the_order_of_the_file)
{
	static const char *const groups[] = {"b1"};
	static const int64_t ends[] = {1};
	static const double times_s[] = {0.1};
	char *path = scratch_file("same.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[1];
	hid_t file = write_open(path);

	write_electrodes(file, (const char *const[]){"c1", "b1", "a2"}, 3, 1);
	write_units(file, 1, groups, ends, times_s, NULL);
	must(H5Fclose(file));
	assert_int_equal(play(&rig, NULL, played, 1), 1);
	assert_int_equal(played[0].group, 2); /* a2, b1, c1 */
}

TEST(processed_lfp_comes_before_what_was_acquired)
{
	static const int16_t lfp[] = {1, 2}, raw[] = {3, 4};
	char *path = scratch_file("raw.nwb");
	struct fnx_rig rig = rig_for(path);
	struct played played[2];
	hid_t file = write_open(path);

	write_lfp(file, "/acquisition/raw", 2, raw);
	write_lfp(file, LFP, 2, lfp);
	must(H5Fclose(file));
	rig.lfp.n_channels = 1;
	assert_int_equal(play(&rig, NULL, played, 2), 2);
	assert_true(played[0].values[0] == 1.0f);
}

TEST(a_cut_session_says_where_it_begins_and_ends)
{
	static const double times_s[] = {1.0, 2.0, 3.0, 4.0}, xy[8] = {0};
	char *path = scratch_file("cut.nwb");
	struct fnx_rig rig = rig_for(path);
	struct fnx_source *source;
	struct played played[4];
	hid_t file = write_open(path);

	write_positions(file, 4, times_s, xy);
	must(H5Fclose(file));
	rig.source.start_s = 0.5;
	rig.source.duration_s = 1.5;
	source = must_open(&rig, NULL);
	assert_int_equal(fnx_source_nwb.info(source)->first_sample, 45000);
	assert_int_equal(fnx_source_nwb.info(source)->last_sample, 89999);
	fnx_source_nwb.close(source);
	assert_int_equal(play(&rig, NULL, played, 4), 1); /* the end is not within */
	assert_int_equal(played[0].sample_time, 60000);
	rig.source.duration_s = 100.0;
	source = must_open(&rig, NULL);
	assert_int_equal(fnx_source_nwb.info(source)->last_sample, 120000);
	fnx_source_nwb.close(source);
}
