/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the encoder's options do to the cost of a spike as marks accumulate, and to its likelihood.
 *
 *	bench_marks [DIMENSIONS [LARGEST]]
 *
 * Marks as made_up_marks.h draws them. Each model is timed alone, over spikes drawn as the marks
 * were; each meets the model anew. "near" is the share of marks within the cut-off, which no exact
 * sum can do without; "MiB" the memory of local expansions. The last lines tell what a spike costs
 * with most marks, as a multiple of what it costs with fewest. With four dimensions and a million
 * marks it takes nine minutes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "nodes/encode/model.h"
#include "tests/bench/made_up_marks.h"

enum {
	N_BINS = BENCH_BINS,
	N_SPIKES = 1001
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct cost {
	double median, mean; /* us per spike */
};

/* What a spike costs, and the likelihoods of all. */
static struct cost judge(const struct fnx_model *model, double (*ret_likelihoods)[N_BINS])
{
	const size_t size = (fnx_model_scratch_size(model) + 63) / 64 * 64;
	struct bench_marks world = bench_marks_new(fnx_model_config(model)->n_dims);
	double times[N_SPIKES], share[N_BINS], mark[FNX_MARK_DIMS_MAX];
	void *scratch = aligned_alloc(64, size);
	double sum = 0.0;

	if (!scratch)
		abort();
	world.random = 99;
	for (int b = 0; b < N_BINS; b++)
		share[b] = 1.0 / N_BINS;
	for (int i = 0; i < N_SPIKES; i++) {
		double start;

		bench_marks_draw(&world, mark);
		start = now_us();
		if (fnx_model_likelihood(model, mark, share, scratch, ret_likelihoods[i]))
			abort();
		times[i] = now_us() - start;
		sum += times[i];
	}
	free(scratch);
	qsort(times, N_SPIKES, sizeof(times[0]), compare);
	return (struct cost){times[N_SPIKES / 2], sum / N_SPIKES};
}

static double share_near(const struct fnx_model *model)
{
	const struct fnx_model_config *config = fnx_model_config(model);
	struct bench_marks world = bench_marks_new(config->n_dims);
	double mark[FNX_MARK_DIMS_MAX], stored[FNX_MARK_DIMS_MAX];
	uint32_t n_near = 0, n = 0, bin;

	world.random = 99;
	for (int i = 0; i < N_SPIKES; i++) {
		bench_marks_draw(&world, mark);
		for (uint32_t slot = 0; slot < 1000; slot++, n++) {
			double square = 0.0;

			fnx_model_stored(model, slot, stored, &bin);
			for (uint32_t d = 0; d < config->n_dims; d++)
				square += pow((stored[d] - mark[d]) / config->kernel_uv, 2.0);
			n_near += square < 2.0 * log(1e7);
		}
	}
	return (double)n_near / n;
}

static struct cost run(
	const struct fnx_model_config *config, double (*exact)[N_BINS], bool is_exact)
{
	static double likelihoods[N_SPIKES][N_BINS];
	struct bench_marks world = bench_marks_new(config->n_dims);
	double mark[FNX_MARK_DIMS_MAX], added, worst = 0.0;
	struct fnx_model_merging merging;
	struct fnx_model *model;
	struct cost cost;

	if (fnx_model_new(config, &model))
		abort();
	added = now_us();
	for (uint32_t i = 0; i < config->capacity; i++) {
		const int32_t bin = bench_marks_draw(&world, mark);

		if (fnx_model_add(model, mark, bin) < 0)
			abort();
	}
	added = (now_us() - added) / config->capacity;
	cost = judge(model, is_exact ? exact : likelihoods);
	for (int i = 0; i < N_SPIKES && !is_exact; i++)
		for (int b = 0; b < N_BINS; b++)
			worst = fmax(worst, fabs(likelihoods[i][b] - exact[i][b]));
	if (config->merge_deviations == 0.0 && worst > 1e-6) {
		fprintf(stderr, "bench_marks: a likelihood differs by %g\n", worst);
		exit(1);
	}
	merging = fnx_model_merging(model);
	printf("%8u %8s %8.2g %8u %9u %9.2f %9.1f %9.1f %8.2f %9.1e %9.1e\n", config->capacity,
		config->cut_off ? "yes" : "no", config->merge_deviations,
		(unsigned)(config->expansion_size >> 20), fnx_model_marks(model), added,
		cost.median, cost.mean, share_near(model), worst, merging.error_bound);
	fflush(stdout);
	fnx_model_free(model);
	return cost;
}

static const uint32_t sizes[] = {25000, 100000, 1000000};

enum {
	N_SIZES = sizeof(sizes) / sizeof(sizes[0]),
	N_WAYS = 4, /* all marks, cut off, and with two sizes of expansions */
};

static void run_size(uint32_t n_dims, uint32_t size, struct cost ret_costs[N_WAYS])
{
	static double exact[N_SPIKES][N_BINS];
	struct fnx_model_config config = {.n_dims = n_dims,
		.n_bins = N_BINS,
		.capacity = size,
		.kernel_uv = 20.0,
		.single = true,
		.step_uv = BENCH_STEP_UV};
	const double merges[] = {0.25, 0.5, 1.0};

	ret_costs[0] = run(&config, exact, true);
	config.cut_off = true;
	ret_costs[1] = run(&config, exact, false);
	for (int i = 0; n_dims <= FNX_EXPANSION_DIMS_MAX && i < 2; i++) {
		config.expansion_size = UINT64_C(64) << (20 + 2 * i);
		ret_costs[2 + i] = run(&config, exact, false);
	}
	config.expansion_size = 0;
	config.step_uv = 0.0;
	for (int k = 0; k < 3; k++) {
		config.merge_deviations = merges[k];
		run(&config, exact, false);
	}
}

int main(int argc, char **argv)
{
	const char *const ways[N_WAYS] = {"all marks", "cut off", "64 MiB", "256 MiB"};
	const uint32_t n_dims = argc > 1 ? (uint32_t)atoi(argv[1]) : 4;
	const uint32_t largest = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000000;
	struct cost costs[N_SIZES][N_WAYS] = {{{0}}};
	int last = 0;

	if (n_dims < 1 || n_dims > FNX_MARK_DIMS_MAX)
		return 2;
	printf("%8s %8s %8s %8s %9s %9s %9s %9s %8s %9s %9s\n", "marks", "cut-off", "merge", "MiB",
		"kept", "us/mark", "median us", "mean us", "near", "worst", "bound");
	for (int i = 0; i < N_SIZES && sizes[i] <= largest; i++) {
		run_size(n_dims, sizes[i], costs[i]);
		last = i;
	}
	for (int k = 0; k < (n_dims <= FNX_EXPANSION_DIMS_MAX ? N_WAYS : 2); k++)
		printf("%-9s a spike costs with %u marks %.2f (mean %.2f) x what it costs cut off "
		       "with %u\n",
			ways[k], sizes[last], costs[last][k].median / costs[0][1].median,
			costs[last][k].mean / costs[0][1].mean, sizes[0]);
	return 0;
}
