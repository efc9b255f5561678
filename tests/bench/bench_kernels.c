/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_kernels: our kernels alone against NumPy, in one run.
 *
 * Rounds: in each, every kernel and then its reference, one after the other, so that both meet the
 * same machine; a round's figure is the median over batches that together take as long as the
 * slower references do (the first millisecond after waiting for them is slower, and told apart),
 * the ratio is taken within the round, and what is reported is the median over rounds. Before the
 * first round both compute the same thing once and the results are compared: a benchmark of
 * something else would be worth nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nodes/host/lanes.h"
#include "tests/bench/kernel_cases.h"
#include "tests/bench/kernel_machine.h"
#include "tests/bench/kernel_reference.h"

enum {
	ROUNDS = 21,
	QUICK_ROUNDS = 3,
	BATCHES = 15, /* of a round */
	BATCH_NS = 1000000, /* at least: all together about as long as the slower references */
	CASES_MAX = 32,
	RESULT_MAX = 1 << 14,
};

struct outcome {
	void *self;
	unsigned batch; /* calls */
	double ours_ns[ROUNDS], first_ns[ROUNDS], reference_ns[ROUNDS], ratios[ROUNDS];
	double ns, reference_median_ns, ratio; /* medians; ratio NAN: no reference */
	double first_median_ns; /* the first call of a round: others had the processor before */
	double read_bytes_per_ns; /* dense encode: at which as many bytes as the marks are can be read */
	double error; /* largest difference from the reference, NAN: not compared */
};

struct bench {
	struct outcome outcomes[CASES_MAX];
	struct bench_machine machine;
	struct bench_reference reference;
	unsigned n_rounds;
	char directory[64];
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned n)
{
	double sorted[ROUNDS + BATCHES];

	memcpy(sorted, values, n * sizeof(double));
	qsort(sorted, n, sizeof(double), compare);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Measuring
 * ------------------------------------------------------------------------------------------ */

static double batch_ns(const struct bench_case *bench, const struct outcome *outcome)
{
	const double start = now_ns();

	for (unsigned i = 0; i < outcome->batch; i++)
		bench->call(outcome->self);
	return (now_ns() - start) / outcome->batch;
}

static void choose_batch(const struct bench_case *bench, struct outcome *outcome)
{
	outcome->batch = 1;
	while (batch_ns(bench, outcome) * outcome->batch < BATCH_NS)
		outcome->batch *= 2;
}

static double first_ns(const struct bench_case *bench, const struct outcome *outcome)
{
	const double start = now_ns();

	bench->call(outcome->self);
	return now_ns() - start;
}

static double ours_ns(const struct bench_case *bench, const struct outcome *outcome)
{
	double batches[BATCHES];

	for (unsigned i = 0; i < BATCHES; i++)
		batches[i] = batch_ns(bench, outcome);
	return median(batches, BATCHES);
}

/* As many calls as take the reference some milliseconds. */
static unsigned reference_calls(double ns)
{
	return ns > 2e6 ? 5 : ns > 2e5 ? 15 : 51;
}

/* The first call of both, from the same beginning. */
static int check_case(
	struct bench *bench, const struct bench_case *bench_case, struct outcome *outcome)
{
	static double theirs[RESULT_MAX];
	const double *ours;
	size_t n;
	int r;

	outcome->error = NAN;
	bench_case->call(outcome->self);
	if (!bench_case->reference)
		return 0;
	ours = bench_case->result(outcome->self, &n);
	r = bench_reference_check(&bench->reference, bench_case->reference, theirs, RESULT_MAX);
	if (r < 0)
		return r;
	outcome->error = (size_t)r == n ? 0.0 : (double)INFINITY;
	for (size_t i = 0; (size_t)r == n && i < n; i++) {
		const double difference = fabs(ours[i] - theirs[i]);

		if (isnan(ours[i]) != isnan(theirs[i]))
			outcome->error = INFINITY;
		if (difference > outcome->error)
			outcome->error = difference;
	}
	return 0;
}

static int measure_round(struct bench *bench, unsigned round)
{
	for (unsigned i = 0; i < n_bench_cases; i++) {
		const struct bench_case *bench_case = &bench_cases[i];
		struct outcome *outcome = &bench->outcomes[i];
		double before = round ? outcome->reference_ns[round - 1] : 1e7;
		int r;

		outcome->first_ns[round] = first_ns(bench_case, outcome);
		outcome->ours_ns[round] = ours_ns(bench_case, outcome);
		if (!bench_case->reference)
			continue;
		r = bench_reference_time(&bench->reference, bench_case->reference,
			reference_calls(before), &outcome->reference_ns[round]);
		if (r)
			return r;
		outcome->ratios[round] = outcome->reference_ns[round] / outcome->ours_ns[round];
	}
	return 0;
}

static void summarise(struct bench *bench)
{
	for (unsigned i = 0; i < n_bench_cases; i++) {
		struct outcome *outcome = &bench->outcomes[i];

		outcome->ns = median(outcome->ours_ns, bench->n_rounds);
		outcome->first_median_ns = median(outcome->first_ns, bench->n_rounds);
		outcome->reference_median_ns = NAN;
		outcome->ratio = NAN;
		if (!bench_cases[i].reference)
			continue;
		outcome->reference_median_ns = median(outcome->reference_ns, bench->n_rounds);
		outcome->ratio = median(outcome->ratios, bench->n_rounds);
	}
}

static const struct outcome *outcome_of(const struct bench *bench, const char *name)
{
	for (unsigned i = 0; i < n_bench_cases; i++)
		if (!strcmp(bench_cases[i].name, name))
			return &bench->outcomes[i];
	abort();
}

/* By rounds: both were measured one after the other. */
static double large_to_small(const struct bench *bench)
{
	const struct outcome *large = outcome_of(bench, "decode_2000x3");
	const struct outcome *small = outcome_of(bench, "decode_41x3");
	double ratios[ROUNDS];

	for (unsigned i = 0; i < bench->n_rounds; i++)
		ratios[i] = large->ours_ns[i] / small->ours_ns[i];
	return median(ratios, bench->n_rounds);
}

/* Encode's sizes end with these. */
static enum bench_precision precision(const struct bench_case *bench_case)
{
	return (enum bench_precision)bench_case->sizes[2];
}

/* Goes through all marks: only of such is it known what a call reads and computes. */
static bool is_dense(const struct bench_case *bench_case)
{
	return bench_case->marks > 0 && bench_case->sizes[3] == 0;
}

/* Telling
 * -------------------------------------------------------------------------------------------- */

/* What a mark costs. Steps: of each dimension the difference, conversion, product and sum; counts:
 * of two dimensions at once the difference, product and sum, of four the conversion. Then a scaled
 * exponential of 16 operations (nodes/host/lanes_width.h) and the sum. Double: no conversion, and an
 * exponential of 39. */
static double operations(const struct bench_case *bench_case)
{
	const double dims = bench_case->dims, pairs = ceil(dims / 2.0);

	switch (precision(bench_case)) {
	case BENCH_COUNTS:
		return bench_case->marks * (3.0 * pairs - 1.0 + ceil(pairs / 2.0) + 17.0);
	case BENCH_STEPS:
		return bench_case->marks * (4.0 * dims + 17.0);
	default:
		return bench_case->marks * (3.0 * dims + 41.0);
	}
}

static double bytes(const struct bench_case *bench_case)
{
	static const double sizes[] = {
		[BENCH_DOUBLE] = 8.0, [BENCH_STEPS] = 4.0, [BENCH_COUNTS] = 2.0};

	return bench_case->marks * bench_case->dims * sizes[precision(bench_case)];
}

/* Least time that memory and arithmetic allow: whichever takes longer. */
static double limit_ns(const struct bench *bench, unsigned i)
{
	const struct bench_case *bench_case = &bench_cases[i];
	const double operations_per_ns = bench->machine.separate_per_ns /
		(precision(bench_case) == BENCH_DOUBLE ? 2.0 : 1.0);

	return fmax(bytes(bench_case) / bench->outcomes[i].read_bytes_per_ns,
		operations(bench_case) / operations_per_ns);
}

static const char *processor_name(void)
{
	static const char *const names[FNX_PROCESSORS] = {[FNX_PROCESSOR_ANY] = "16-byte vectors",
		[FNX_PROCESSOR_AVX2] = "AVX2",
		[FNX_PROCESSOR_X86_64_V4] = "AVX-512"};

	return names[fnx_processor()];
}

static void print_table(const struct bench *bench)
{
	printf("%-28s %12s %12s %12s %8s %6s %9s\n", "", "first ns", "ns", "NumPy ns", "ratio",
		"goal", "differ");
	for (unsigned i = 0; i < n_bench_cases; i++) {
		const struct outcome *outcome = &bench->outcomes[i];

		printf("%-28s %12.0f %12.0f ", bench_cases[i].name, outcome->first_median_ns,
			outcome->ns);
		if (bench_cases[i].reference)
			printf("%12.0f %8.1f ", outcome->reference_median_ns, outcome->ratio);
		else
			printf("%12s %8s ", "", "");
		if (bench_cases[i].goal > 0)
			printf("%6.0f ", bench_cases[i].goal);
		else
			printf("%6s ", "");
		if (bench_cases[i].reference)
			printf("%9.1e", outcome->error);
		printf("  %s\n", bench_cases[i].what);
	}
	printf("\n2,000 bins x 3 states cost %.1f x 41 bins x 3 states (goal: at most 30)\n",
		large_to_small(bench));
	printf("ripple_512 in real time at 1,500 Hz: %.2f %% of one core (goal: at most 2)\n",
		outcome_of(bench, "ripple_512")->ns * 1500e-9 * 100.0);
	printf("network_cnn1d_1: %.2f us (goal: at most 3)\n\n",
		outcome_of(bench, "network_cnn1d_1")->ns * 1e-3);
	printf("%-28s %8s %10s %10s %10s\n", "", "ns/mark", "bytes/ns", "operat./ns", "of limit");
	for (unsigned i = 0; i < n_bench_cases; i++) {
		const struct bench_case *bench_case = &bench_cases[i];
		const double ns = bench->outcomes[i].ns;

		if (is_dense(bench_case))
			printf("%-28s %8.3f %10.1f %10.1f %9.0f%%\n", bench_case->name,
				ns / bench_case->marks, bytes(bench_case) / ns,
				operations(bench_case) / ns, 100.0 * limit_ns(bench, i) / ns);
	}
	printf("machine: %s; reads %.0f (L1) to %.1f (memory) bytes/ns; %.0f separate "
	       "or %.0f fused single-precision operations/ns\n",
		processor_name(), bench->machine.l1_bytes_per_ns,
		bench->machine.memory_bytes_per_ns, bench->machine.separate_per_ns,
		bench->machine.fused_per_ns);
}

static json_t *json_machine(const struct bench *bench)
{
	return json_pack("{s:s, s:f, s:f, s:f, s:f}", "vectors", processor_name(),
		"l1_bytes_per_ns", bench->machine.l1_bytes_per_ns, "memory_bytes_per_ns",
		bench->machine.memory_bytes_per_ns, "separate_operations_per_ns",
		bench->machine.separate_per_ns, "fused_operations_per_ns",
		bench->machine.fused_per_ns);
}

static int write_json(const struct bench *bench, const char *path)
{
	json_t *ns = json_object(), *first = json_object(), *reference = json_object(),
	       *ratio = json_object();
	json_t *goal = json_object(), *error = json_object(), *kernel = json_object(), *root;
	int r;

	for (unsigned i = 0; i < n_bench_cases; i++) {
		const struct bench_case *bench_case = &bench_cases[i];
		const struct outcome *outcome = &bench->outcomes[i];

		json_object_set_new(ns, bench_case->name, json_real(outcome->ns));
		json_object_set_new(first, bench_case->name, json_real(outcome->first_median_ns));
		if (is_dense(bench_case))
			json_object_set_new(kernel, bench_case->name,
				json_pack("{s:f, s:f, s:f, s:f, s:f}", "marks", bench_case->marks,
					"bytes", bytes(bench_case), "operations",
					operations(bench_case), "read_bytes_per_ns",
					outcome->read_bytes_per_ns, "limit_ns",
					limit_ns(bench, i)));
		if (!bench_case->reference)
			continue;
		json_object_set_new(
			reference, bench_case->name, json_real(outcome->reference_median_ns));
		json_object_set_new(ratio, bench_case->name, json_real(outcome->ratio));
		json_object_set_new(error, bench_case->name, json_real(outcome->error));
		if (bench_case->goal > 0)
			json_object_set_new(goal, bench_case->name, json_real(bench_case->goal));
	}
	json_object_set_new(ratio, "decode_2000x3_to_41x3", json_real(large_to_small(bench)));
	root = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "rounds",
		(int)bench->n_rounds, "ratio", ratio, "ns", ns, "first_ns", first, "reference_ns",
		reference, "goal", goal, "difference", error, "roofline", kernel, "machine",
		json_machine(bench));
	r = root && !json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) ? 0 : -EIO;
	json_decref(root);
	if (r)
		fprintf(stderr, "bench_kernels: cannot write %s\n", path);
	return r;
}

/* The run
 * -------------------------------------------------------------------------------------------- */

static int prepare(struct bench *bench)
{
	for (unsigned i = 0; i < n_bench_cases; i++) {
		struct outcome *outcome = &bench->outcomes[i];
		const struct bench_case *bench_case = &bench_cases[i];

		outcome->self = bench_case->open(bench_case, bench->directory);
		if (!outcome->self) {
			fprintf(stderr, "bench_kernels: cannot set up %s\n", bench_case->name);
			return -ENOMEM;
		}
		if (check_case(bench, bench_case, outcome)) {
			fprintf(stderr,
				"bench_kernels: reference.py does not answer; it needs "
				"/usr/bin/python3 "
				"with numpy (Debian: python3-numpy)\n");
			return -EIO;
		}
		if (outcome->error > bench_case->tolerance) {
			fprintf(stderr,
				"bench_kernels: %s differs from the reference by %g, more than "
				"%g\n",
				bench_case->name, outcome->error, bench_case->tolerance);
			return -EBADMSG;
		}
		choose_batch(bench_case, outcome);
	}
	return 0;
}

static int run(struct bench *bench)
{
	int r = prepare(bench);

	for (unsigned round = 0; !r && round < bench->n_rounds; round++) {
		fprintf(stderr, "\rround %u of %u", round + 1, bench->n_rounds);
		r = measure_round(bench, round);
	}
	fprintf(stderr, "\r%20s\r", "");
	if (!r)
		r = bench_machine_measure(&bench->machine);
	for (unsigned i = 0; !r && i < n_bench_cases; i++)
		if (is_dense(&bench_cases[i]))
			r = bench_machine_read((size_t)bytes(&bench_cases[i]),
				&bench->outcomes[i].read_bytes_per_ns);
	if (!r)
		summarise(bench);
	for (unsigned i = 0; i < n_bench_cases; i++)
		if (bench->outcomes[i].self)
			bench_cases[i].close(bench->outcomes[i].self);
	return r;
}

static int run_in_directory(struct bench *bench)
{
	char command[sizeof(bench->directory) + 16];
	int r;

	snprintf(bench->directory, sizeof(bench->directory), "/tmp/bench_kernels.XXXXXX");
	if (!mkdtemp(bench->directory)) {
		perror("bench_kernels: /tmp");
		return -EIO;
	}
	r = bench_reference_open(&bench->reference, bench->directory);
	if (!r) {
		r = run(bench);
		bench_reference_close(&bench->reference);
	}
	snprintf(command, sizeof(command), "rm -r %s", bench->directory);
	if (system(command))
		fprintf(stderr, "bench_kernels: cannot remove %s\n", bench->directory);
	return r;
}

static void usage(void)
{
	printf("bench_kernels: the arithmetic alone, against the same in NumPy\n"
	       "\n"
	       "usage: bench_kernels [--json FILE] [--quick]\n"
	       "\n"
	       "  --json FILE  writes the figures to FILE: ratio.*, ns.*, first_ns.*, "
	       "reference_ns.*, "
	       "machine.*\n"
	       "  --quick      three rounds instead of %d: shows that it works, not how fast\n"
	       "\n"
	       "Runs tests/bench/reference.py itself, in turns. Exit status: 0 measured, 1 the "
	       "reference cannot\n"
	       "be run or disagrees, 2 wrong use. Measure on an idle machine.\n",
		ROUNDS);
}

int main(int argc, char **argv)
{
	static const struct option table[] = {{"json", required_argument, NULL, 'j'},
		{"quick", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	static struct bench bench = {.n_rounds = ROUNDS};
	const char *json = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "j:qh", table, NULL)) != -1) {
		if (option == 'h') {
			usage();
			return 0;
		}
		if (option == '?')
			return 2;
		if (option == 'j')
			json = optarg;
		if (option == 'q')
			bench.n_rounds = QUICK_ROUNDS;
	}
	if (optind != argc) {
		fprintf(stderr, "bench_kernels: unexpected argument %s\n", argv[optind]);
		return 2;
	}
	if (run_in_directory(&bench))
		return 1;
	print_table(&bench);
	return json && write_json(&bench, json) ? 1 : 0;
}
