/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/seeds.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1: the line has both numbers; 0: it is empty; -EINVAL. */
static int parse(char *line, double *ret_mean, double *ret_deviation)
{
	char *comment = strchr(line, '#'), *end, *at = line;

	if (comment)
		*comment = 0;
	at += strspn(at, " \t\r\n");
	if (!*at)
		return 0;
	*ret_mean = strtod(at, &end);
	if (end == at)
		return -EINVAL;
	at = end;
	*ret_deviation = strtod(at, &end);
	if (end == at || end[strspn(end, " \t\r\n")])
		return -EINVAL;
	return isfinite(*ret_mean) && isfinite(*ret_deviation) && *ret_deviation >= 0 ? 1 : -EINVAL;
}

static int read_lines(FILE *file, const char *path, uint32_t n, double *ret_mean,
	double *ret_deviation, char *error)
{
	char line[256];
	uint32_t n_read = 0;

	for (unsigned number = 1; fgets(line, sizeof(line), file); number++) {
		double mean, deviation;
		int r = parse(line, &mean, &deviation);

		if (r < 0) {
			snprintf(error, FNX_SEEDS_ERROR_MAX,
				"%.300s:%u: expected MEAN DEVIATION, two numbers", path, number);
			return r;
		}
		if (r && n_read < n) {
			ret_mean[n_read] = mean;
			ret_deviation[n_read] = deviation;
		}
		n_read += (uint32_t)r;
	}
	if (n_read == n)
		return 0;
	snprintf(error, FNX_SEEDS_ERROR_MAX, "%.300s: expected %u lines of numbers, found %u", path,
		n, n_read);
	return -EINVAL;
}

int fnx_seeds_read(
	const char *path, uint32_t n, double *ret_mean, double *ret_deviation, char *error)
{
	FILE *file = fopen(path, "r");
	int r;

	if (!file) {
		r = -errno;
		snprintf(error, FNX_SEEDS_ERROR_MAX, "%.300s: %s", path, strerror(-r));
		return r;
	}
	r = read_lines(file, path, n, ret_mean, ret_deviation, error);
	fclose(file);
	return r;
}
