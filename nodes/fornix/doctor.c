/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix doctor: checks, measurement and report. It changes nothing and needs no rights. */
#include "nodes/fornix/doctor.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fornix/cells.h"
#include "nodes/fornix/command.h"
#include "nodes/host/command_line.h"

enum {
	WAKES = 500, /* per case */
	QUICK_WAKES = 100,
	BAR = 40, /* characters of the longest */
	FIRST_OCTAVE = 10, /* 1 us */
	LAST_OCTAVE = 24, /* 16 ms and more */
};

struct options {
	const char *rig_path, *root;
	int json, quick;
};

/* Options
 * --------------------------------------------------------------------------------------------- */

static int usage(void)
{
	printf("fornix doctor: what this machine lacks for real-time work, and the remedies\n"
	       "\n"
	       "usage: fornix doctor [RIG.yaml] [options]\n"
	       "\n"
	       "  RIG.yaml           judged by what this rig asks for: nodes that spin, pinned "
	       "processors\n"
	       "  --quick            wake-ups without load only, and few of them\n"
	       "  --json             one object, for scripts\n"
	       "  --root DIR         looks at proc and sys below DIR instead of /, and measures "
	       "nothing\n"
	       "\n"
	       "Needs no rights and changes nothing. Each finding comes with its remedy: a "
	       "command, "
	       "or a line and\n"
	       "the file that it belongs to. Wake-ups are measured for some seconds, by eventfd, "
	       "the kernel's own,\n"
	       "and by a bell of the bus; with load every processor is busy at nice 19. Exit "
	       "status: 0 nothing is\n"
	       "lacking, 1 something is, 2 wrong use or a rig that cannot be used.\n");
	return 0;
}

static int parse(int argc, char **argv, struct options *options)
{
	const struct fnx_option table[] = {
		fnx_option_flag("quick", &options->quick),
		fnx_option_flag("json", &options->json),
		fnx_option_text("root", &options->root),
		{.name = NULL},
	};
	struct fnx_command_line line = {
		.program = "fornix doctor", .options = table, .words_max = 1};
	int r = fnx_command_line_read(&line, argc, argv);

	options->rig_path = line.words[0];
	return r;
}

/* Text
 * ---------------------------------------------------------------------------------------------- */

static const char *verdict_word(enum fnx_verdict verdict)
{
	static const char *const words[] = {
		[FNX_GOOD] = "good", [FNX_FAIR] = "fair", [FNX_LACKS] = "LACKS"};

	return words[verdict];
}

static void print_findings(const struct fnx_doctor *doctor)
{
	for (unsigned i = 0; i < doctor->n; i++) {
		const struct fnx_finding *finding = &doctor->findings[i];

		printf("%-5s  %-12s %s\n", verdict_word(finding->verdict), finding->what,
			finding->found);
		if (finding->remedy[0])
			printf("                    > %s\n", finding->remedy);
	}
}

static void print_case(const struct fnx_wake_case *test)
{
	char cells[4][FNX_CELL_MAX];

	fnx_cell_us(cells[0], fnx_histogram_quantile(&test->latency, 0.5));
	fnx_cell_us(cells[1], fnx_histogram_quantile(&test->latency, 0.99));
	fnx_cell_us(cells[2], fnx_histogram_quantile(&test->latency, 0.999));
	fnx_cell_us(cells[3], test->latency.max_ns);
	printf("%-8s %-6s %-7s %6u %8s %8s %8s %8s\n", test->how,
		test->same_core ? "same" : "other", test->loaded ? "busy" : "idle", test->n,
		cells[0], cells[1], cells[2], cells[3]);
}

/* Counts of durations from 2^octave ns on; the first and the last hold what lies beyond. */
static uint64_t count_octave(const struct fnx_histogram *histogram, unsigned octave)
{
	unsigned per_octave = FNX_HISTOGRAM_BUCKETS / 32;
	unsigned first = octave == FIRST_OCTAVE ? 0 : octave * per_octave;
	unsigned end = octave == LAST_OCTAVE ? FNX_HISTOGRAM_BUCKETS : (octave + 1) * per_octave;
	uint64_t n = 0;

	for (unsigned i = first; i < end; i++)
		n += histogram->buckets[i];
	return n;
}

/* Two distributions side by side. */
static void print_bars(const struct fnx_wake_case *idle, const struct fnx_wake_case *busy)
{
	static const char bar[BAR + 1] = "########################################";

	printf("\nbell, %s core, %s\n", idle->same_core ? "same" : "other",
		busy ? "idle | busy" : "idle");
	for (unsigned octave = FIRST_OCTAVE; octave <= LAST_OCTAVE; octave++) {
		uint64_t n[2] = {count_octave(&idle->latency, octave),
			busy ? count_octave(&busy->latency, octave) : 0};
		int width[2] = {idle->n ? (int)((n[0] * BAR / 2 + idle->n - 1) / idle->n) : 0,
			busy && busy->n ? (int)((n[1] * BAR / 2 + busy->n - 1) / busy->n) : 0};

		if (n[0] || n[1])
			printf("%9.0f us  %-20.*s |%.*s\n", (double)(1u << octave) / 1024, width[0],
				bar, width[1], bar);
	}
}

static void print_wake(const struct fnx_wake *wake)
{
	char advice[FNX_DOCTOR_TEXT];

	printf("\n%-8s %-6s %-7s %6s %8s %8s %8s %8s\n", "WAKE BY", "CORE", "MACHINE", "N",
		"p50 us", "p99", "p99.9", "max");
	for (unsigned i = 0; i < wake->n_cases; i++)
		print_case(&wake->cases[i]);
	for (int same = 0; same <= 1; same++) {
		const struct fnx_wake_case *idle = fnx_wake_find(wake, "bell", same, 0);

		if (idle)
			print_bars(idle, fnx_wake_find(wake, "bell", same, 1));
	}
	fnx_wake_advise(wake, advice, sizeof(advice));
	printf("\nplacement: %s\n", advice);
}

/* JSON
 * ---------------------------------------------------------------------------------------------- */

static json_t *json_findings(const struct fnx_doctor *doctor)
{
	json_t *findings = json_array();

	for (unsigned i = 0; i < doctor->n; i++)
		json_array_append_new(findings,
			json_pack("{s:s,s:s,s:s,s:s}", "what", doctor->findings[i].what, "verdict",
				doctor->findings[i].verdict == FNX_LACKS
					? "lacks"
					: verdict_word(doctor->findings[i].verdict),
				"found", doctor->findings[i].found, "remedy",
				doctor->findings[i].remedy));
	return findings;
}

static json_t *json_wake(const struct fnx_wake *wake)
{
	json_t *cases = json_array();
	char advice[FNX_DOCTOR_TEXT];

	for (unsigned i = 0; i < wake->n_cases; i++) {
		const struct fnx_wake_case *test = &wake->cases[i];

		json_array_append_new(cases,
			json_pack("{s:s,s:b,s:b,s:i,s:f,s:f,s:f,s:f}", "how", test->how,
				"same_core", test->same_core, "loaded", test->loaded, "n",
				(int)test->n, "p50_us",
				(double)fnx_histogram_quantile(&test->latency, 0.5) / 1e3, "p99_us",
				(double)fnx_histogram_quantile(&test->latency, 0.99) / 1e3,
				"p999_us",
				(double)fnx_histogram_quantile(&test->latency, 0.999) / 1e3,
				"max_us", (double)test->latency.max_ns / 1e3));
	}
	fnx_wake_advise(wake, advice, sizeof(advice));
	return json_pack("{s:o,s:s}", "cases", cases, "placement", advice);
}

static void print_json(const struct fnx_doctor *doctor, const struct fnx_wake *wake)
{
	json_t *whole = json_pack("{s:o}", "findings", json_findings(doctor));

	if (wake->n_cases)
		json_object_set_new(whole, "wake", json_wake(wake));
	json_dumpf(whole, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(whole);
}

/* Command
 * ---------------------------------------------------------------------------------------------- */

static unsigned n_lacking(const struct fnx_doctor *doctor)
{
	unsigned n = 0;

	for (unsigned i = 0; i < doctor->n; i++)
		n += doctor->findings[i].verdict == FNX_LACKS;
	return n;
}

static int examine(const struct options *options, struct fnx_doctor *doctor, struct fnx_wake *wake)
{
	FILE *progress = isatty(STDERR_FILENO) ? stderr : NULL;
	int r = 0;

	fnx_probe_take(&doctor->probe);
	fnx_doctor_check(doctor);
	if (!options->json)
		print_findings(doctor);
	fflush(stdout);
	if (!options->root)
		r = fnx_wake_measure(
			wake, options->quick ? QUICK_WAKES : WAKES, !options->quick, progress);
	if (r) {
		fprintf(stderr, "fornix doctor: cannot measure wake-ups: %s\n", strerror(-r));
		return 1;
	}
	if (options->json)
		print_json(doctor, wake);
	else if (wake->n_cases)
		print_wake(wake);
	if (!options->json)
		printf("\n%u of %u lacking\n", n_lacking(doctor), doctor->n);
	return n_lacking(doctor) > 0;
}

int fnx_command_doctor(int argc, char **argv)
{
	struct options options = {.root = NULL};
	struct fnx_doctor *doctor;
	struct fnx_wake *wake;
	struct fnx_rig *rig = NULL;
	char error[FNX_RIG_ERROR_MAX];
	int r = parse(argc, argv, &options);

	if (r)
		return r > 0 ? usage() : 2;
	if (options.rig_path && fnx_rig_load(options.rig_path, NULL, 0, &rig, error)) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	doctor = calloc(1, sizeof(*doctor));
	wake = calloc(1, sizeof(*wake));
	if (doctor && wake) {
		doctor->root = options.root ? options.root : "";
		doctor->rig = rig;
		r = examine(&options, doctor, wake);
	} else {
		fprintf(stderr, "fornix doctor: out of memory\n");
		r = 1;
	}
	free(wake);
	free(doctor);
	fnx_rig_free(rig);
	return r;
}
