/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/nwb_intervals.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "nodes/acquire/nwb_file.h"
#include "nodes/acquire/nwb_probe.h"

enum {
	INTERVALS_MAX = 1 << 24,
};

static int check_rows(struct nwb_file *file, const char *table, const double *starts_s,
	const double *stops_s, uint64_t n_starts, uint64_t n_stops)
{
	if (n_starts != n_stops)
		return fnx_nwb_fail(file, -EBADMSG, table,
			"expected as many stop_time as start_time (%llu), found %llu",
			(unsigned long long)n_starts, (unsigned long long)n_stops);
	for (uint64_t i = 0; i < n_starts; i++) {
		if (!isfinite(starts_s[i]) || !(stops_s[i] >= starts_s[i]))
			return fnx_nwb_fail(file, -EBADMSG, table,
				"row %llu: expected a start and a stop behind it, found %g and %g",
				(unsigned long long)i, starts_s[i], stops_s[i]);
	}
	return 0;
}

static int table_read(struct nwb_file *file, const char *table, double **ret_starts_s,
	double **ret_stops_s, size_t *ret_n)
{
	void *starts_s = NULL, *stops_s = NULL;
	uint64_t n_starts, n_stops;
	int r = fnx_nwb_column_read(file, table, "start_time", NWB_NUMBER, H5T_NATIVE_DOUBLE,
		sizeof(double), INTERVALS_MAX, &starts_s, &n_starts);

	if (r == 0)
		r = fnx_nwb_column_read(file, table, "stop_time", NWB_NUMBER, H5T_NATIVE_DOUBLE,
			sizeof(double), INTERVALS_MAX, &stops_s, &n_stops);
	if (r == 0)
		r = check_rows(file, table, starts_s, stops_s, n_starts, n_stops);
	if (r < 0) {
		free(starts_s);
		free(stops_s);
		return r;
	}
	*ret_starts_s = starts_s;
	*ret_stops_s = stops_s;
	*ret_n = n_starts;
	return 0;
}

static int read_here(const char *path, const char *table, char *error, size_t error_size,
	double **ret_starts_s, double **ret_stops_s, size_t *ret_n)
{
	struct nwb_file file;
	int r = fnx_nwb_file_open(&file, path);

	if (r == 0)
		r = table_read(&file, table, ret_starts_s, ret_stops_s, ret_n);
	if (r < 0)
		snprintf(error, error_size, "%s", file.error);
	fnx_nwb_file_close(&file);
	return r;
}

struct attempt {
	const char *path;
	const char *table;
};

static void attempt(void *data)
{
	const struct attempt *attempt = data;
	double *starts_s, *stops_s;
	char error[NWB_ERROR_SIZE];
	size_t n;

	if (read_here(attempt->path, attempt->table, error, sizeof(error), &starts_s, &stops_s,
		    &n) == 0) {
		free(starts_s);
		free(stops_s);
	}
	H5close();
}

int fnx_nwb_intervals(const char *path, const char *table, char *error, size_t error_size,
	double **ret_starts_s, double **ret_stops_s, size_t *ret_n)
{
	struct attempt first = {path, table};
	int r = fnx_nwb_probe(path, attempt, &first, error, error_size);

	if (r < 0)
		return r;
	return read_here(path, table, error, error_size, ret_starts_s, ret_stops_s, ret_n);
}
