/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nodes/host/smoothing.h"
#include "nodes/host/track.h"

enum {
	MAX_BINS = 400
};

/* By the definition: the whole matrix, [to][from]. */
static void naive_matrix(const struct fnx_track *track, double deviation_cm, double *ret_matrix)
{
	const uint32_t n = fnx_track_bins(track);

	for (uint32_t from = 0; from < n; from++) {
		double sum = 0.0;

		for (uint32_t to = 0; to < n; to++) {
			const double z = fnx_track_distance_cm(track, to, from) / deviation_cm;
			const double weight = isnan(z) ? 0.0 : exp(-0.5 * z * z);

			ret_matrix[to * n + from] = weight;
			sum += weight;
		}
		for (uint32_t to = 0; to < n && sum > 0.0; to++)
			ret_matrix[to * n + from] /= sum;
	}
}

static struct fnx_track *track_new(struct fnx_track_config config)
{
	struct fnx_track *track;

	config.bin_cm = config.bin_cm > 0.0 ? config.bin_cm : 5.0;
	assert_int_equal(fnx_track_new(&config, &track, NULL), 0);
	return track;
}

/* Three arms that meet, with gaps between their bins; or a grid. */
static struct fnx_track *random_track(struct check_random *random)
{
	const uint32_t n[3] = {1 + (uint32_t)check_random_below(random, 50),
		1 + (uint32_t)check_random_below(random, 50),
		1 + (uint32_t)check_random_below(random, 50)};
	struct fnx_track_config config = {.bin_cm = 0.5 + 5.0 * check_random_unit(random)};

	if (check_random_below(random, 2)) {
		config.grid.n_columns = 1 + (uint32_t)check_random_below(random, 20);
		config.grid.n_rows = 1 + (uint32_t)check_random_below(random, 20);
		return track_new(config);
	}
	config.n_arms = 3;
	for (uint32_t i = 0, bin = 0; i < 3; i++, bin += (uint32_t)check_random_below(random, 3)) {
		config.arms[i].first_bin = bin;
		bin += n[i];
		config.arms[i].last_bin = bin - 1;
	}
	return track_new(config);
}

TEST(random_tracks_are_smoothed_as_by_the_matrix)
{
	struct check_random random = check_random_seeded();
	static double matrix[MAX_BINS * MAX_BINS];

	for (int round = 0; round < 150; round++) {
		struct fnx_track *track = random_track(&random);
		const uint32_t n = fnx_track_bins(track);
		const double deviation_cm = 0.3 + 20.0 * check_random_unit(&random);
		double from[MAX_BINS], to[MAX_BINS], scratch[MAX_BINS], added[MAX_BINS] = {0};
		struct fnx_smoothing *smoothing;
		double sum = 0.0;

		assert_true(n <= MAX_BINS);
		naive_matrix(track, deviation_cm, matrix);
		assert_int_equal(fnx_smoothing_new_track(track, deviation_cm, &smoothing), 0);
		for (uint32_t i = 0; i < n; i++) {
			from[i] = check_random_below(&random, 3)
				? 100.0 * check_random_unit(&random)
				: 0.0;
			sum += from[i];
			to[i] = scratch[i] = (double)NAN;
		}
		fnx_smoothing_apply(smoothing, from, scratch, to);
		for (uint32_t i = 0; i < n; i++)
			fnx_smoothing_add(smoothing, i, from[i], added);
		for (uint32_t i = 0; i < n; i++) {
			double expected = 0.0;

			for (uint32_t k = 0; k < n; k++)
				expected += matrix[i * n + k] * from[k];
			if (!(fabs(to[i] - expected) <= 1e-15 * sum &&
				    fabs(added[i] - expected) <= 1e-15 * sum))
				fail_msg("bin %u of %u: %.17g, %.17g, expected %.17g", i, n, to[i],
					added[i], expected);
		}
		fnx_smoothing_free(smoothing);
		fnx_track_free(track);
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

struct job {
	struct fnx_track *track;
	struct fnx_smoothing *smoothing;
	double least_ns;
};

static struct job job_new(const struct fnx_track_config *config)
{
	struct job job = {.track = track_new(*config)};

	assert_int_equal(fnx_smoothing_new_track(job.track, 8.0, &job.smoothing), 0);
	return job;
}

static void job_free(struct job *job)
{
	fnx_smoothing_free(job->smoothing);
	fnx_track_free(job->track);
}

static void do_once(struct job *job)
{
	static double from[FNX_TRACK_BINS_MAX], to[FNX_TRACK_BINS_MAX], scratch[FNX_TRACK_BINS_MAX];
	double start;

	for (uint32_t i = 0; i < FNX_TRACK_BINS_MAX; i++)
		from[i] = 1.0 + i;
	start = now_ns();
	fnx_smoothing_apply(job->smoothing, from, scratch, to);
	job->least_ns = fmin(job->least_ns, now_ns() - start);
}

/* In turns, and each the least time of many, so that it is the arithmetic's. Where the machine has
 * much else to do even that may be another's: then once more. */
static void expect_cheaper_than(double times, const struct fnx_track_config *small_config,
	const struct fnx_track_config *large_config)
{
	struct job small = job_new(small_config), large = job_new(large_config);
	double ratio = INFINITY;

	for (int window = 0; window < 20 && !(ratio < times); window++) {
		small.least_ns = large.least_ns = INFINITY;
		for (int i = 0; i < 100; i++) {
			do_once(&small);
			do_once(&large);
		}
		ratio = large.least_ns / small.least_ns;
		print_message("%.0f ns and %.0f ns: %.0f times as much\n", small.least_ns,
			large.least_ns, ratio);
	}
	assert_true(ratio < times);
	job_free(&small);
	job_free(&large);
}

/* A matrix would cost 256 times as much; a grid of 16 x 16 bins lies within the reach of each. */
TEST(sixteen_times_as_many_bins_cost_less_than_eighty_times_as_much)
{
	static const struct fnx_track_config arms[] = {{.n_arms = 1, .arms = {{.last_bin = 255}}},
		{.n_arms = 1, .arms = {{.last_bin = 4095}}}};
	static const struct fnx_track_config grids[] = {{.grid = {.n_columns = 16, .n_rows = 16}},
		{.grid = {.n_columns = 64, .n_rows = 64}}};

	expect_cheaper_than(80.0, &arms[0], &arms[1]);
	expect_cheaper_than(80.0, &grids[0], &grids[1]);
}
