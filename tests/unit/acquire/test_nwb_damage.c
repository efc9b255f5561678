/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/acquire/nwb_play.h"
#include "tests/unit/acquire/nwb_write.h"

/* libhdf5 forgets some of its memory when it meets a damaged file. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libhdf5";
}

/* A session with some of everything, whose parts a test spoils one at a time. */
struct session {
	double lfp_times_s[4];
	uint64_t n_lfp_times;
	int64_t ends[2];
	double spike_times_s[3];
	uint64_t n_groups, n_clusters;
	int64_t clusters[2];
	int64_t electrodes[2];
	const char *unit;
	double conversion, rate_hz;
	bool is_regular, is_text;
};

static const struct session good = {
	.lfp_times_s = {0.0, 0.001, 0.002, 0.003},
	.n_lfp_times = 4,
	.ends = {1, 3},
	.spike_times_s = {0.1, 0.2, 0.3},
	.n_groups = 2,
	.n_clusters = 2,
	.clusters = {1, 2},
	.electrodes = {0, 1},
	.unit = "volts",
	.conversion = 1e-6,
	.rate_hz = 1000.0,
};

static void write_session_lfp(hid_t file, const struct session *session)
{
	static const char *const texts[4] = {"a", "b", "c", "d"};
	static const int16_t counts[4] = {1, 2, 3, 4};
	const hsize_t dims[3] = {4, 1, 1};
	hid_t text = must(H5Tcopy(H5T_C_S1));

	must(H5Tset_size(text, H5T_VARIABLE));
	write_group(file, LFP, "ElectricalSeries");
	if (session->is_text)
		write_array_as(file, LFP "/data", text, 2, dims, texts, (struct write_as){0});
	else
		write_array_as(file, LFP "/data", H5T_NATIVE_INT16, 2, dims, counts,
			(struct write_as){.chunk_rows = 2, .deflate = true});
	write_number(file, LFP "/data", "conversion", session->conversion);
	write_text(file, LFP "/data", "unit", session->unit);
	if (session->is_regular)
		write_rate(file, LFP, 0.0, session->rate_hz);
	else if (session->n_lfp_times > 0)
		write_doubles(file, LFP, "timestamps", session->n_lfp_times, session->lfp_times_s);
	must(H5Tclose(text));
}

static void write_session(const char *path, const struct session *session)
{
	static const char *const groups[2] = {"g1", "g2"};
	static const int16_t counts[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	static const double times_s[2] = {0.1, 0.2};
	const hsize_t dims[3] = {2, 2, 2};
	hid_t file = write_open(path);

	write_session_lfp(file, session);
	write_electrodes(file, groups, 2, 2);
	write_group(file, "/units", "Units");
	write_doubles(file, "/units", "spike_times", 3, session->spike_times_s);
	write_integers(file, "/units", "spike_times_index", 2, session->ends);
	write_references(file, "/units", "electrode_group", session->n_groups, groups);
	write_integers(file, "/units", "cluster", session->n_clusters, session->clusters);
	write_group(file, EVENTS "/g1", "SpikeEventSeries");
	write_array_as(
		file, EVENTS "/g1/data", H5T_NATIVE_INT16, 3, dims, counts, (struct write_as){0});
	write_doubles(file, EVENTS "/g1", "timestamps", 2, times_s);
	write_integers(file, EVENTS "/g1", "electrodes", 2, session->electrodes);
	must(H5Fclose(file));
}

static struct fnx_rig session_rig(char *path)
{
	static char units[] = "/units";
	struct fnx_rig rig = rig_for(path);

	rig.lfp = (struct fnx_rig_lfp){.n_channels = 1, .rate_hz = 1000.0};
	rig.source.nwb.units = units;
	return rig;
}

static struct fnx_rig events_rig(char *path)
{
	static char none[] = "none";
	struct fnx_rig rig = session_rig(path);

	rig.source.nwb.units = none;
	return rig;
}

#define REFUSED_SESSION(session, make_rig, expected, ...) \
	do { \
		char *path_ = scratch_file("bad.nwb"); \
		struct fnx_rig rig_ = make_rig(path_); \
\
		write_session(path_, &(session)); \
		REFUSED(&rig_, expected, __VA_ARGS__); \
	} while (0)

TEST(the_unspoilt_session_plays)
{
	char *path = scratch_file("good.nwb");
	struct fnx_rig rig = session_rig(path);
	struct played played[8];

	write_session(path, &good);
	assert_int_equal(play(&rig, NULL, played, 8), 7);
	rig = events_rig(path);
	assert_int_equal(play(&rig, NULL, played, 8), 6);
}

TEST(what_is_no_nwb_file_is_refused_by_what_it_is)
{
	char *path = scratch_file("text.nwb");
	struct fnx_rig rig = rig_for(path);
	FILE *text = fopen(path, "w");

	assert_non_null(text);
	fputs("timestamps,x,y\n1,2,3\n", text);
	fclose(text);
	REFUSED(&rig, -EBADMSG, "found 21 bytes without the HDF5 signature");
	assert_int_equal(truncate(path, 0), 0);
	REFUSED(&rig, -EBADMSG, "found an empty file");
	assert_int_equal(remove(path), 0);
	REFUSED(&rig, -ENOENT, "expected an NWB file: No such file or directory");
	assert_int_equal(mkdir(path, 0700), 0);
	REFUSED(&rig, -EBADMSG, "found a directory");
	rig.source.file = (char[]){""};
	REFUSED(&rig, -EINVAL, "source.file");
}

TEST(an_hdf5_file_without_neural_data_is_refused)
{
	char *path = scratch_file("nothing.nwb");
	struct fnx_rig rig = session_rig(path);
	hid_t file = write_open(path);

	must(H5Fclose(file));
	REFUSED(&rig, -ENOENT, "/units: expected a group, found nothing");
	rig.source.nwb.units = NULL;
	REFUSED(&rig, -EINVAL, "that the rig plays, found none");
	rig.source.nwb.spike_events = (char[]){"/"};
	REFUSED(&rig, -ENOENT, "/: expected a group with SpikeEventSeries, found none");
}

TEST(paths_that_the_rig_names_must_lead_to_the_right_thing)
{
	char *path = scratch_file("named.nwb");
	struct fnx_rig rig = session_rig(path);

	write_session(path, &good);
	rig.source.nwb.lfp = (char[]){"/processing/lfp"};
	REFUSED(&rig, -ENOENT, "/processing/lfp: expected a group, found nothing");
	rig.source.nwb.lfp = (char[]){LFP "/data"};
	REFUSED(&rig, -EBADMSG, LFP "/data: expected a group, found something else");
	rig.source.nwb.lfp = (char[]){"/processing"};
	REFUSED(&rig, -ENOENT, "/processing/data: expected a dataset, found nothing");
	rig.source.nwb.lfp = (char[]){"/processing\n/x"};
	REFUSED(&rig, -ENOENT, "/processing?/x: expected a group");
}

TEST(series_whose_values_or_times_cannot_be_are_refused)
{
	struct session bad = good;

	bad.is_text = true;
	REFUSED_SESSION(
		bad, session_rig, -EBADMSG, LFP "/data: expected numbers, found another type");
	bad = good;
	bad.n_lfp_times = 3;
	REFUSED_SESSION(bad, session_rig, -EBADMSG, LFP, "as rows of data (4), found 3");
	bad.n_lfp_times = 0;
	REFUSED_SESSION(bad, session_rig, -EBADMSG, LFP ": expected timestamps or starting_time");
	bad = good;
	bad.lfp_times_s[2] = NAN;
	REFUSED_SESSION(
		bad, session_rig, -EBADMSG, LFP ": timestamps[2]: expected seconds, found nan");
	bad.lfp_times_s[2] = 1e300;
	REFUSED_SESSION(
		bad, session_rig, -EBADMSG, "timestamps[2]: expected seconds, found 1e+300");
	bad = good;
	bad.lfp_times_s[1] = 1.5;
	REFUSED_SESSION(bad, session_rig, -EBADMSG,
		"timestamps[2]: expected at least 1.500000 s, as before it, found 0.002000 s");
	bad = good;
	bad.unit = "millivolts\n";
	REFUSED_SESSION(bad, session_rig, -EBADMSG, "unit: expected volts, found 'millivolts?'");
	bad = good;
	bad.conversion = 0.0;
	REFUSED_SESSION(bad, session_rig, -EBADMSG, "conversion: expected a number other than 0");
	bad = good;
	bad.is_regular = true;
	bad.rate_hz = -5.0;
	REFUSED_SESSION(bad, session_rig, -EBADMSG, "expected a rate above 0 Hz, found -5");
	bad.rate_hz = 500.0;
	REFUSED_SESSION(
		bad, session_rig, -EINVAL, "expected 1000 Hz, the rig's lfp.rate_hz, found 500 Hz");
}

TEST(units_that_do_not_fit_together_are_refused)
{
	struct session bad = good;

	bad.ends[0] = 4;
	REFUSED_SESSION(bad, session_rig, -EBADMSG,
		"/units: spike_times_index[0]: expected 0 to 3, found 4");
	bad.ends[0] = 2;
	bad.ends[1] = 1;
	REFUSED_SESSION(
		bad, session_rig, -EBADMSG, "spike_times_index[1]: expected 2 to 3, found 1");
	bad.ends[1] = 2;
	REFUSED_SESSION(
		bad, session_rig, -EBADMSG, "expected to end at the 3 spike_times, found 2");
	bad = good;
	bad.spike_times_s[1] = NAN;
	REFUSED_SESSION(bad, session_rig, -EBADMSG,
		"spike_times[1] of unit 1: expected seconds, found nan");
	bad = good;
	bad.n_groups = 1;
	REFUSED_SESSION(
		bad, session_rig, -EBADMSG, "an electrode_group for each of 2 units, found 1");
	bad = good;
	bad.n_clusters = 1;
	REFUSED_SESSION(bad, session_rig, -EBADMSG, "a cluster for each of 2 units, found 1");
	bad = good;
	bad.clusters[1] = INT64_C(1) << 40;
	REFUSED_SESSION(bad, session_rig, -EBADMSG, "cluster[1]: expected a number of 32 bits");
}

TEST(snippets_must_be_of_one_electrode_group_that_the_file_has)
{
	struct session bad = good;

	bad.electrodes[1] = 2;
	REFUSED_SESSION(
		bad, events_rig, -EBADMSG, "expected electrodes of one group, found g1 and g2");
	bad.electrodes[1] = 4;
	REFUSED_SESSION(
		bad, events_rig, -EBADMSG, "electrodes[1]: expected a row of the 4", "found 4");
	bad.electrodes[1] = -1;
	REFUSED_SESSION(
		bad, events_rig, -EBADMSG, "electrodes[1]: expected a row of the 4", "found -1");
}

TEST(electrode_groups_must_be_in_the_rig_with_enough_channels)
{
	char *path = scratch_file("groups.nwb");
	struct fnx_rig_electrode_groups groups[2] = {
		{.id = 1, .through = 1, .n_channels = 1}, {.id = 3, .through = 9, .n_channels = 4}};
	struct fnx_rig rig = session_rig(path);

	write_session(path, &good);
	rig.electrode_groups = groups;
	rig.n_electrode_groups = 2;
	REFUSED(&rig, -EINVAL,
		"/units: electrode group g2: expected id 2 in the rig's electrode_groups");
	rig = events_rig(path);
	rig.electrode_groups = groups;
	REFUSED(&rig, -EINVAL,
		EVENTS "/g1: electrode group g1: expected at least 2 n_channels for id 1",
		"found 1");
	rig = events_rig(path);
	rig.spikes.n_points = 1;
	REFUSED(&rig, -EINVAL,
		EVENTS "/g1/data: expected 1 to 1 points, the rig's spikes.n_points, found 2");
}

TEST(a_cut_beyond_the_session_is_refused)
{
	char *path = scratch_file("cut.nwb");
	struct fnx_rig rig = session_rig(path);

	write_session(path, &good);
	rig.source.start_s = 0.5;
	REFUSED(&rig, -EINVAL, "source.start_s: expected 0 to 0.300000", "found 0.5");
	rig.source.start_s = NAN;
	REFUSED(&rig, -EINVAL, "source.start_s");
	rig.source.start_s = 0.0;
	rig.source.duration_s = -1.0;
	REFUSED(&rig, -EINVAL, "source.duration_s");
}

TEST(more_than_the_limits_is_refused)
{
	char *path = scratch_file("limits.nwb");
	struct fnx_rig rig = session_rig(path);
	struct fnx_source *source = NULL;
	char error[512] = "";

	write_session(path, &good);
	assert_int_equal(fnx_source_nwb_open_limited(&rig, &(struct fnx_nwb_limits){.max_times = 2},
				 &source, error, sizeof(error)),
		-EFBIG);
	assert_non_null(strstr(error, "/units/spike_times: expected at most 2 values, found 3"));
}

static char *read_all(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "rb");
	char *bytes;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	*ret_size = (size_t)ftell(file);
	rewind(file);
	bytes = malloc(*ret_size);
	assert_int_equal(fread(bytes, 1, *ret_size, file), *ret_size);
	fclose(file);
	return bytes;
}

static void write_all(const char *path, const char *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

/* Plays what can be played; whatever fails says so in one line. */
static int play_anything(const struct fnx_rig *rig, const struct fnx_nwb_limits *limits)
{
	struct fnx_source *source = NULL;
	struct fnx_event event;
	struct played played;
	char error[1024] = "";
	int r = fnx_source_nwb_open_limited(rig, limits, &source, error, sizeof(error));

	if (r < 0) {
		assert_null(source);
		assert_true(error[0]);
		assert_null(strchr(error, '\n'));
		return r;
	}
	while ((r = fnx_source_nwb.next(source, &event)) == 1)
		copy_event(&event, &played);
	if (r < 0) {
		assert_true(fnx_source_nwb.error(source)[0]);
		assert_int_equal(fnx_source_nwb.next(source, &event), r);
	}
	fnx_source_nwb.close(source);
	return r;
}

TEST(a_truncated_file_is_refused_at_every_length)
{
	char *whole = scratch_file("whole.nwb"), *path = scratch_file("truncated.nwb");
	struct fnx_rig rig = session_rig(path);
	size_t size;
	char *bytes;

	write_session(whole, &good);
	bytes = read_all(whole, &size);
	write_all(path, bytes, size);
	assert_int_equal(play_anything(&rig, NULL), 0);
	for (size_t length = 1; length < size;
		length += length < 3000 || length > size - 300 ? 13 : 97) {
		write_all(path, bytes, length);
		assert_true(play_anything(&rig, NULL) < 0);
	}
	free(bytes);
}

TEST(a_block_that_cannot_be_read_ends_the_session_with_an_error_after_what_is_good)
{
	char *path = scratch_file("block.nwb");
	struct fnx_rig rig = session_rig(path);
	const struct fnx_nwb_limits limits = {.preload_size = 1, .block_size = 4};
	struct fnx_source *source;
	struct fnx_event event;
	hid_t file, data;
	const uint32_t skip = 0;
	const char garbage[16] = "not deflated";

	write_session(path, &good);
	file = must(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT));
	data = must(H5Dopen2(file, LFP "/data", H5P_DEFAULT));
	must(H5Dwrite_chunk(
		data, H5P_DEFAULT, skip, (const hsize_t[2]){2, 0}, sizeof(garbage), garbage));
	must(H5Dclose(data));
	must(H5Fclose(file));
	source = must_open(&rig, &limits);
	assert_int_equal(fnx_source_nwb.next(source, &event), 1);
	assert_int_equal(fnx_source_nwb.next(source, &event), 1);
	assert_true(event.lfp.samples[0] == 2.0f);
	assert_int_equal(fnx_source_nwb.next(source, &event), -EBADMSG);
	assert_non_null(
		strstr(fnx_source_nwb.error(source), LFP "/data: rows 2 to 3 cannot be read"));
	assert_int_equal(fnx_source_nwb.next(source, &event), -EBADMSG);
	fnx_source_nwb.close(source);
}

TEST(flipped_bytes_play_or_are_refused)
{
	struct check_random random = check_random_seeded();
	char *whole = scratch_file("whole.nwb"), *path = scratch_file("flipped.nwb");
	size_t size;
	char *bytes;

	write_session(whole, &good);
	bytes = read_all(whole, &size);
	for (int round = 0; round < 150; round++) {
		const bool is_units = check_random_below(&random, 2);
		struct fnx_rig rig = is_units ? session_rig(path) : events_rig(path);
		const struct fnx_nwb_limits limits = {.preload_size = 1, .block_size = 4};
		char *copy = malloc(size);

		memcpy(copy, bytes, size);
		for (uint64_t i = 0; i < 1 + check_random_below(&random, 4); i++)
			copy[check_random_below(&random, size)] ^=
				(char)(1 << check_random_below(&random, 8));
		write_all(path, copy, size);
		free(copy);
		(void)play_anything(&rig, check_random_below(&random, 2) ? &limits : NULL);
	}
	free(bytes);
}
