/* SPDX-License-Identifier: BSD-3-Clause */
/* Each figure is the median over rounds; percentiles of all rounds together come beside it. */
#include "tests/bench/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int compare_samples(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

double bench_median(const double *values, unsigned n)
{
	double sorted[BENCH_ROUNDS_MAX];

	if (n == 0)
		return (double)NAN;
	memcpy(sorted, values, n * sizeof(*values));
	qsort(sorted, n, sizeof(*sorted), compare_doubles);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Of sorted samples. The clock ticks in steps (of 10 ns where this was written, a sixteenth of the
 * shortest round trip): among equal samples it is as if they lay evenly between those to both
 * sides. */
static double percentile(const int64_t *samples, size_t n, double part)
{
	size_t rank = (size_t)ceil(part * (double)n), from, to;
	double value, below, above;

	if (!n)
		return (double)NAN;
	if (rank == n)
		return (double)samples[n - 1];
	from = to = rank ? rank - 1 : 0;
	value = (double)samples[from];
	while (from > 0 && samples[from - 1] == samples[from])
		from--;
	while (to < n && samples[to] == samples[from])
		to++;
	below = from > 0 ? (value + (double)samples[from - 1]) / 2 : value;
	above = to < n ? (value + (double)samples[to]) / 2 : value;
	return below + (above - below) * ((double)(rank - from) - 0.5) / (double)(to - from);
}

/* Of all rounds together. NAN: of so few samples it says nothing. */
static double whole_p999(const struct bench_found *found)
{
	if (found->n_samples < BENCH_TAIL_MIN)
		return (double)NAN;
	qsort(found->samples, found->n_samples, sizeof(*found->samples), compare_samples);
	return percentile(found->samples, found->n_samples, 0.999);
}

static void note_samples(struct bench_found *found, const struct bench_run *run)
{
	size_t n = run->n_samples;
	int64_t *grown = realloc(found->samples, (found->n_samples + n) * sizeof(*grown));
	int64_t *mine;

	if (!grown || !n)
		return;
	found->samples = grown;
	mine = grown + found->n_samples;
	memcpy(mine, run->samples, n * sizeof(*mine));
	qsort(mine, n, sizeof(*mine), compare_samples);
	found->p50_ns[found->n_rounds] = percentile(mine, n, 0.5);
	found->p99_ns[found->n_rounds] = percentile(mine, n, 0.99);
	found->p999_ns[found->n_rounds] = percentile(mine, n, 0.999);
	found->n_samples += n;
}

void bench_note(struct bench_found *found, const struct bench_run *run)
{
	const struct bench_plan *plan = &run->plan;
	double cpu_ns = 0, rate_hz = 0, n = (double)run->results[0].n;
	int streams = plan->kind == BENCH_STREAM || plan->kind == BENCH_FAN_OUT;

	for (unsigned i = 0; i <= plan->n_readers; i++) {
		const struct bench_result *result = &run->results[i];
		double lasted_ns = (double)(result->last_ns - run->results[0].first_ns);
		double counted = (double)run->results[0].n_counted;

		cpu_ns += (double)result->cpu_ns;
		found->n_wrong += result->n_wrong;
		/* Of several readers, what the slowest gets. */
		if (i > 0 && streams && (rate_hz == 0 || counted / lasted_ns * 1e9 < rate_hz))
			rate_hz = counted / lasted_ns * 1e9;
	}
	/* A writer that was held up throughout its warm-up has sent nothing that counts. */
	if (found->n_rounds == BENCH_ROUNDS_MAX || n == 0 ||
		(streams && !run->results[0].n_counted)) {
		found->n_failed++;
		return;
	}
	if (!streams)
		note_samples(found, run);
	found->rate_hz[found->n_rounds] = rate_hz;
	found->cpu_ns[found->n_rounds] = cpu_ns / n;
	found->n_rounds++;
}

/* JSON
 * ---------------------------------------------------------------------------------------------- */

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *numbers(const double *values, unsigned n)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(array, number(values[i]));
	return array;
}

/* Counts in buckets of an eighth of an octave: [[lower bound in ns, count], ...]. */
static json_t *histogram(const int64_t *sorted, size_t n)
{
	json_t *array = json_array();
	size_t i = 0;

	while (i < n) {
		double step = floor(8 * log2(sorted[i] > 0 ? (double)sorted[i] : 1));
		double upper = exp2((step + 1) / 8);
		size_t first = i;

		do {
			i++;
		} while (i < n && (double)sorted[i] < upper);
		json_array_append_new(
			array, json_pack("[f,I]", exp2(step / 8), (json_int_t)(i - first)));
	}
	return array;
}

static void add_distribution(json_t *object, struct bench_found *found)
{
	static const double parts[] = {0.5, 0.9, 0.99, 0.999, 1};
	static const char *const names[] = {"p50", "p90", "p99", "p999", "max"};
	json_t *all = json_object();

	qsort(found->samples, found->n_samples, sizeof(*found->samples), compare_samples);
	for (unsigned i = 0; i < 5; i++)
		json_object_set_new(all, names[i],
			number(percentile(found->samples, found->n_samples, parts[i])));
	json_object_set_new(object, "n", json_integer((json_int_t)found->n_samples));
	json_object_set_new(object, "all_rounds_ns", all);
	json_object_set_new(object, "p50_ns", number(bench_median(found->p50_ns, found->n_rounds)));
	json_object_set_new(object, "p99_ns", number(bench_median(found->p99_ns, found->n_rounds)));
	json_object_set_new(
		object, "p999_ns", number(bench_median(found->p999_ns, found->n_rounds)));
	json_object_set_new(object, "rounds_p50_ns", numbers(found->p50_ns, found->n_rounds));
	json_object_set_new(object, "rounds_p99_ns", numbers(found->p99_ns, found->n_rounds));
	json_object_set_new(object, "histogram", histogram(found->samples, found->n_samples));
}

static json_t *found_json(struct bench_found *found)
{
	json_t *object = json_object();

	json_object_set_new(object, "rounds", json_integer(found->n_rounds));
	json_object_set_new(object, "failed", json_integer(found->n_failed));
	json_object_set_new(object, "out_of_sequence", json_integer((json_int_t)found->n_wrong));
	json_object_set_new(
		object, "cpu_ns_per_message", number(bench_median(found->cpu_ns, found->n_rounds)));
	if (found->n_samples) {
		add_distribution(object, found);
	} else {
		json_object_set_new(
			object, "rate_hz", number(bench_median(found->rate_hz, found->n_rounds)));
		json_object_set_new(
			object, "rounds_rate_hz", numbers(found->rate_hz, found->n_rounds));
	}
	return object;
}

enum figure {
	P50,
	P99,
	P999,
	RATE,
	CPU
};

static double figure_of(
	const struct bench_report *report, const char *key, const char *peer, enum figure figure)
{
	for (unsigned c = 0; c < report->n_cases; c++) {
		if (strcmp(report->cases[c].key, key) != 0)
			continue;
		for (unsigned p = 0; p < report->n_peers; p++) {
			const struct bench_found *found = &report->found[c][p];
			const double *values[] = {found->p50_ns, found->p99_ns, found->p999_ns,
				found->rate_hz, found->cpu_ns};

			if (strcmp(report->peers[p]->name, peer) != 0)
				continue;
			return figure == P999 ? whole_p999(found)
					      : bench_median(values[figure], found->n_rounds);
		}
	}
	return (double)NAN;
}

static const struct {
	const char *name;
	const char *key;
	const char *peer;
	enum figure figure;
} ratios[] = {
	{"sleep_to_wake_p50", "paced_4k", "eventfd", P50},
	{"sleep_to_wake_p99", "paced_4k", "eventfd", P99},
	{"sleep_64_to_wake_p50", "paced_64", "eventfd", P50},
	{"sleep_64_to_wake_p99", "paced_64", "eventfd", P99},
	{"sleep_1m_to_wake_p50", "paced_1m", "eventfd", P50},
	{"sleep_1m_to_wake_p99", "paced_1m", "eventfd", P99},
	{"sleep_free_to_wake_p50", "paced_free_4k", "eventfd", P50},
	{"sleep_free_to_wake_p99", "paced_free_4k", "eventfd", P99},
	{"sleep_loaded_to_wake_p50", "paced_loaded_4k", "eventfd", P50},
	{"sleep_loaded_to_wake_p99", "paced_loaded_4k", "eventfd", P99},
	{"sleep_loaded_to_wake_p999", "paced_loaded_4k", "eventfd", P999},
	{"sleep_fifo_to_wake_p99", "paced_fifo_4k", "eventfd", P99},
	{"sleep_fifo_to_wake_p999", "paced_fifo_4k", "eventfd", P999},
	{"sleep_loaded_to_pipe_p99", "paced_loaded_4k", "pipe", P99},
	{"sleep_loaded_to_pipe_p999", "paced_loaded_4k", "pipe", P999},
	{"sleep_loaded_to_futex_p99", "paced_loaded_4k", "futex", P99},
	{"sleep_loaded_to_futex_p999", "paced_loaded_4k", "futex", P999},
	{"sleep_loaded_to_zmq_p99", "paced_loaded_4k", "ZeroMQ", P99},
	{"sleep_loaded_to_zmq_p999", "paced_loaded_4k", "ZeroMQ", P999},
	{"sleep_loaded_to_zmq_inproc_p99", "paced_loaded_4k", "ZeroMQ inproc", P99},
	{"sleep_loaded_to_zmq_inproc_p999", "paced_loaded_4k", "ZeroMQ inproc", P999},
	{"sleep_loaded_to_iceoryx_p99", "paced_loaded_4k", "iceoryx", P99},
	{"sleep_loaded_to_iceoryx_p999", "paced_loaded_4k", "iceoryx", P999},
	{"sleep_loaded_to_nng_p99", "paced_loaded_4k", "nng", P99},
	{"sleep_loaded_to_nng_p999", "paced_loaded_4k", "nng", P999},
	{"sleep_loaded_to_dds_p99", "paced_loaded_4k", "Cyclone DDS", P99},
	{"sleep_loaded_to_dds_p999", "paced_loaded_4k", "Cyclone DDS", P999},
	{"sleep_loaded_to_redis_p99", "paced_loaded_4k", "Redis Streams", P99},
	{"sleep_loaded_to_redis_p999", "paced_loaded_4k", "Redis Streams", P999},
	{"sleep_cpu_to_wake", "paced_4k", "eventfd", CPU},
	{"ping_pong_sleep_to_wake_p50", "ping_pong_sleep_4k", "eventfd", P50},
	{"spin_64_to_cacheline_p50", "ping_pong_spin_64", "cache line", P50},
	{"spin_to_cacheline_p50", "ping_pong_spin_4k", "cache line", P50},
	{"spin_1m_to_cacheline_p50", "ping_pong_spin_1m", "cache line", P50},
	{"spin_to_two_lines_p50", "ping_pong_spin_4k", "two lines", P50},
	{"spin_64_to_two_lines_p50", "ping_pong_spin_64", "two lines", P50},
	{"spin_1m_to_two_lines_p50", "ping_pong_spin_1m", "two lines", P50},
	{"sleep_to_iceoryx_p50", "paced_4k", "iceoryx", P50},
	{"sleep_to_zmq_p50", "paced_4k", "ZeroMQ", P50},
	{"spin_to_iceoryx_p50", "ping_pong_spin_4k", "iceoryx", P50},
	{"throughput_64_to_zmq", "stream_64", "ZeroMQ", RATE},
	{"throughput_4k_to_zmq", "stream_4k", "ZeroMQ", RATE},
	{"fanout3_4k_to_zmq", "fan_out_3_4k", "ZeroMQ", RATE},
	{"throughput_64_to_iceoryx", "stream_64", "iceoryx", RATE},
	{"throughput_4k_to_iceoryx", "stream_4k", "iceoryx", RATE},
	{"fanout3_4k_to_iceoryx", "fan_out_3_4k", "iceoryx", RATE},
};

/* Those of which both sides were measured. */
static json_t *ratios_json(const struct bench_report *report)
{
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
		double ours = figure_of(report, ratios[i].key, "fornix", ratios[i].figure);
		double theirs = figure_of(report, ratios[i].key, ratios[i].peer, ratios[i].figure);

		if (isfinite(ours / theirs))
			json_object_set_new(object, ratios[i].name, json_real(ours / theirs));
	}
	return object;
}

static json_t *machine_json(void)
{
	struct utsname name;

	uname(&name);
	return json_pack("{s:s,s:s,s:I}", "kernel", name.release, "machine", name.machine, "cores",
		(json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
}

json_t *bench_report_json(struct bench_report *report)
{
	json_t *root = json_object(), *cases = json_object(), *subjects = json_object();
	json_t *costs = json_object();

	for (unsigned p = 0; p < report->n_peers; p++)
		json_object_set_new(
			subjects, report->peers[p]->name, json_string(report->peers[p]->how));
	for (unsigned c = 0; c < report->n_cases; c++) {
		json_t *object = json_object();

		for (unsigned p = 0; p < report->n_peers; p++) {
			struct bench_found *found = &report->found[c][p];

			if (found->n_rounds || found->n_failed)
				json_object_set_new(
					object, report->peers[p]->name, found_json(found));
		}
		json_object_set_new(cases, report->cases[c].key,
			json_pack(
				"{s:s,s:o}", "title", report->cases[c].title, "subjects", object));
	}
	for (unsigned i = 0; i < report->n_costs; i++)
		json_object_set_new(costs, report->costs[i].key,
			number(bench_median(report->costs[i].ns, report->costs[i].n_rounds)));
	json_object_set_new(root, "machine", machine_json());
	json_object_set_new(root, "subjects", subjects);
	json_object_set_new(root, "cases", cases);
	json_object_set_new(root, "cost_ns", costs);
	json_object_set_new(root, "ratio", ratios_json(report));
	return root;
}

/* For people
 * ---------------------------------------------------------------------------------------- */

static void print_times(const struct bench_found *found)
{
	double p999_ns = whole_p999(found);

	printf(" %9.2f p50 %9.2f p99 ", bench_median(found->p50_ns, found->n_rounds) / 1e3,
		bench_median(found->p99_ns, found->n_rounds) / 1e3);
	if (isfinite(p999_ns))
		printf("%9.2f p99.9 us", p999_ns / 1e3);
	else
		printf("       us (%zu: too few for p99.9)", found->n_samples);
	printf("   %8.2f us cpu each", bench_median(found->cpu_ns, found->n_rounds) / 1e3);
}

static void print_found(
	const char *name, const struct bench_found *found, const struct bench_case *what)
{
	printf("  %-16s", name);
	if (!found->n_rounds)
		printf(" failed\n");
	else if (what->kind == BENCH_STREAM || what->kind == BENCH_FAN_OUT)
		printf(" %10.3f M/s   %8.3f us cpu each",
			bench_median(found->rate_hz, found->n_rounds) / 1e6,
			bench_median(found->cpu_ns, found->n_rounds) / 1e3);
	else
		print_times(found);
	if (found->n_rounds && (found->n_failed || found->n_wrong))
		printf("   (%u runs failed, %llu out of sequence)", found->n_failed,
			(unsigned long long)found->n_wrong);
	if (found->n_rounds)
		printf("\n");
}

void bench_report_print(const struct bench_report *report)
{
	json_t *all = ratios_json(report), *value;
	const char *key;

	for (unsigned c = 0; c < report->n_cases; c++) {
		int any = 0;

		for (unsigned p = 0; p < report->n_peers; p++)
			any += report->found[c][p].n_rounds + report->found[c][p].n_failed > 0;
		if (any)
			printf("\n%s\n", report->cases[c].title);
		for (unsigned p = 0; any && p < report->n_peers; p++)
			if (report->found[c][p].n_rounds || report->found[c][p].n_failed)
				print_found(report->peers[p]->name, &report->found[c][p],
					&report->cases[c]);
	}
	printf("\nfornix alone, one thread\n");
	for (unsigned i = 0; i < report->n_costs; i++)
		printf("  %-32s %8.1f ns\n", report->costs[i].key,
			bench_median(report->costs[i].ns, report->costs[i].n_rounds));
	printf("\nratios, fornix to the other\n");
	json_object_foreach(all, key, value) printf("  %-32s %8.3f\n", key, json_real_value(value));
	json_decref(all);
}
