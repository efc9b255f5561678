/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "nodes/acquire/nwb_intervals.h"
#include "tests/unit/acquire/nwb_play.h"
#include "tests/unit/acquire/nwb_write.h"

#define TABLE "/intervals/ripples"

static char error[1024];

static int read_intervals(char *path, double **ret_starts_s, double **ret_stops_s, size_t *ret_n)
{
	return fnx_nwb_intervals(
		path, "intervals/ripples", error, sizeof(error), ret_starts_s, ret_stops_s, ret_n);
}

static void write_intervals(char *path, hsize_t n_starts, const double *starts_s, hsize_t n_stops,
	const double *stops_s)
{
	hid_t file = write_open(path);

	write_group(file, TABLE, "TimeIntervals");
	write_doubles(file, TABLE, "start_time", n_starts, starts_s);
	write_doubles(file, TABLE, "stop_time", n_stops, stops_s);
	must(H5Fclose(file));
}

TEST(a_table_of_intervals_is_read_in_the_order_of_the_file)
{
	static const double starts_s[] = {3.0, 1.0}, stops_s[] = {3.5, 1.0};
	char *path = scratch_file("intervals.nwb");
	double *starts = NULL, *stops = NULL;
	size_t n = 0;

	write_intervals(path, 2, starts_s, 2, stops_s);
	assert_int_equal(read_intervals(path, &starts, &stops, &n), 0);
	assert_int_equal(n, 2);
	assert_memory_equal(starts, starts_s, sizeof(starts_s));
	assert_memory_equal(stops, stops_s, sizeof(stops_s));
	free(starts);
	free(stops);
}

TEST(an_empty_table_is_no_error)
{
	char *path = scratch_file("intervals.nwb");
	double *starts = NULL, *stops = NULL;
	size_t n = 7;

	write_intervals(path, 0, (const double[]){0}, 0, (const double[]){0});
	assert_int_equal(read_intervals(path, &starts, &stops, &n), 0);
	assert_int_equal(n, 0);
	free(starts);
	free(stops);
}

TEST(rows_that_are_no_intervals_are_refused_and_nothing_is_handed_out)
{
	static const double starts_s[] = {1.0, 2.0}, stops_s[] = {1.5, 1.9}, nans[] = {NAN, 2.0};
	char *path = scratch_file("intervals.nwb");
	double *starts = NULL, *stops = NULL;
	size_t n = 7;

	write_intervals(path, 2, starts_s, 1, stops_s);
	assert_int_equal(read_intervals(path, &starts, &stops, &n), -EBADMSG);
	assert_non_null(strstr(error, "as many stop_time as start_time (2), found 1"));
	write_intervals(path, 2, starts_s, 2, stops_s);
	assert_int_equal(read_intervals(path, &starts, &stops, &n), -EBADMSG);
	assert_non_null(
		strstr(error, "row 1: expected a start and a stop behind it, found 2 and 1.9"));
	write_intervals(path, 2, nans, 2, starts_s);
	assert_int_equal(read_intervals(path, &starts, &stops, &n), -EBADMSG);
	assert_non_null(strstr(error, "intervals/ripples: row 0"));
	assert_int_equal(remove(path), 0);
	assert_int_equal(read_intervals(path, &starts, &stops, &n), -ENOENT);
	assert_non_null(strstr(error, path));
	assert_null(starts);
	assert_null(stops);
	assert_int_equal(n, 7);
}
