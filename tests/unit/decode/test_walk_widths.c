/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* With what tells a sweep which processor it is on. */
#define fnx_walk_sweep_new widths_new
#define fnx_walk_sweep_free widths_free
#define fnx_walk_sweep_add widths_add
#define fnx_walk_sweep_add_back widths_add_back
#include "nodes/decode/walk_sweep.c"

enum {
	MAX_BINS = 300
};

static int32_t bin_arms[MAX_BINS];
static double distance[MAX_BINS * MAX_BINS];
static double walkers[MAX_BINS];
static _Alignas(64) double scratch[2 * MAX_BINS + 16];

/* Arms of any length in a star, each with its own step, a gap of one bin between them. */
static uint32_t random_star(struct check_random *random)
{
	const uint32_t n_arms = 1 + (uint32_t)check_random_below(random, 5);
	double from_centre[MAX_BINS];
	uint32_t n = 0;

	for (uint32_t arm = 0; arm < n_arms; arm++) {
		const uint32_t length = 1 + (uint32_t)check_random_below(random, 50);
		const double step = 1.0 + 2.0 * check_random_unit(random);

		for (uint32_t i = 0; i < length; i++, n++) {
			bin_arms[n] = (int32_t)arm;
			from_centre[n] = step * (i + 0.5);
		}
		from_centre[n] = (double)NAN;
		bin_arms[n++] = -1;
	}
	for (uint32_t a = 0; a < n; a++)
		for (uint32_t b = 0; b < n; b++)
			distance[a * n + b] = bin_arms[a] == bin_arms[b]
				? fabs(from_centre[a] - from_centre[b])
				: from_centre[a] + from_centre[b];
	return n;
}

static struct fnx_walk_config random_star_config(struct check_random *random)
{
	return (struct fnx_walk_config){.n_bins = random_star(random),
		.bin_arms = bin_arms,
		.distance_cm = distance,
		.deviation_cm = 1.0 + 9.0 * check_random_unit(random)};
}

static struct fnx_walk_config random_grid_config(struct check_random *random)
{
	const uint32_t n_columns = 1 + (uint32_t)check_random_below(random, 20);
	const uint32_t n_rows = 1 + (uint32_t)check_random_below(random, 15);

	for (uint32_t i = 0; i < n_columns * n_rows; i++)
		bin_arms[i] = check_random_below(random, 9) ? 0 : -1;
	return (struct fnx_walk_config){.n_bins = n_columns * n_rows,
		.n_columns = n_columns,
		.bin_arms = bin_arms,
		.bin_cm = 1.0 + check_random_unit(random),
		.deviation_cm = 1.0 + 9.0 * check_random_unit(random)};
}

/* By every width what the first gives; how much of it there is. */
static double check_widths(struct fnx_walk_sweep *sweep)
{
	const uint32_t n = sweep->n_bins;
	static double first[2][MAX_BINS], to[2][MAX_BINS];
	double arrived = 0.0;

	for (enum fnx_processor p = 0; p <= fnx_processor(); p++) {
		double(*ret)[MAX_BINS] = p == 0 ? first : to;

		memset(ret, 0, sizeof(first));
		sweep->processor = p;
		sweep->rows = fnx_rows(p);
		fnx_walk_sweep_add(sweep, walkers, 0.7, scratch, ret[0]);
		fnx_walk_sweep_add_back(sweep, walkers, 0.7, scratch, ret[1]);
		assert_memory_equal(ret, first, sizeof(first));
	}
	for (uint32_t i = 0; i < n; i++)
		arrived += first[0][i] + first[1][i];
	return arrived;
}

TEST(sweeps_have_the_same_bits_at_every_width)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 300; round++) {
		const struct fnx_walk_config config =
			round % 2 ? random_star_config(&random) : random_grid_config(&random);
		struct fnx_walk_sweep *sweep;
		bool anywhere = false;

		for (uint32_t i = 0; i < config.n_bins; i++) {
			walkers[i] = bin_arms[i] < 0 ? 0.0 : check_random_unit(&random);
			anywhere |= walkers[i] > 0.0;
		}
		assert_int_equal(fnx_walk_sweep_new(&config, &sweep), 0);
		assert_true(check_widths(sweep) > 0.0 || !anywhere);
		fnx_walk_sweep_free(sweep);
	}
}
