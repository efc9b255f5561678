/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix decode: decodes recordings; so far what needs the whole session: smoothing. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/smooth.h"

enum {
	SETS_MAX = 16
};

struct options {
	const char *in, *out, *rig, *sets[SETS_MAX];
	size_t n_sets;
	int json, quiet;
};

static void usage(void)
{
	printf("fornix decode: decodes a recorded session\n"
	       "\n"
	       "usage: fornix decode --smooth FILE.mcap [options]\n"
	       "\n"
	       "  --smooth FILE.mcap  what the whole session says about each time bin, the future "
	       "included, instead\n"
	       "                      of the past alone; writes the topic posterior.smoothed to a "
	       "new recording\n"
	       "  --out OUT.mcap      that recording, which must not exist yet (default: "
	       "FILE.smoothed.mcap)\n"
	       "  --rig RIG.yaml      track and transitions; by default those that were recorded "
	       "with the session\n"
	       "  --set KEY=VALUE     as if the rig said so, as for `fornix run`: what was set "
	       "then "
	       "is to be set again\n"
	       "  --json              prints the figures for programs\n"
	       "  --quiet             no progress\n"
	       "\n"
	       "Prints the errors of both on the session's second half, while the animal ran on "
	       "the "
	       "track. Needs\n"
	       "room for the session's posteriors in $TMPDIR (else /tmp). Exit status: 0 done, 1 "
	       "failed, 2 wrong use.\n");
}

static int shown = -1; /* percent, of the last progress */

static void show(double part)
{
	const int percent = (int)(part * 100);

	if (percent == shown)
		return;
	shown = percent;
	if (percent)
		fprintf(stderr, "\rfornix decode: smoothing, %d %%", percent);
	else
		fprintf(stderr, "\rfornix decode: reading");
}

static void print_figures(const char *name, const struct fnx_score_error *error)
{
	printf("  %-10s median error %.1f cm, right arm %.1f %%, chance %.1f cm\n", name,
		error->median_cm, 100.0 * error->same_arm, error->chance_cm);
}

static void print_result(const char *out, const struct fnx_smooth_result *result)
{
	printf("%s: %" PRIu64 " posteriors", out, result->n_posteriors);
	if (result->n_gaps)
		printf(", %" PRIu64 " gaps between them", result->n_gaps);
	if (result->n_excluded)
		printf(", %" PRIu64 " left as they were: what follows excludes them",
			result->n_excluded);
	printf("\n");
	if (result->cut)
		printf("  the recording was cut off; this goes up to there\n");
	if (result->filtered.n == 0) {
		printf("  nothing to judge them by: the animal did not run on the track\n");
		return;
	}
	print_figures("as decoded", &result->filtered);
	print_figures("smoothed", &result->smoothed);
}

static json_t *json_figures(const struct fnx_score_error *error)
{
	json_t *figures = json_object();

	json_object_set_new(figures, "n", json_integer((json_int_t)error->n));
	if (error->n == 0)
		return figures;
	json_object_set_new(figures, "decode_error_cm_median", json_real(error->median_cm));
	json_object_set_new(figures, "decode_error_cm_chance", json_real(error->chance_cm));
	json_object_set_new(figures, "same_arm_fraction", json_real(error->same_arm));
	return figures;
}

static int print_json(const char *out, const struct fnx_smooth_result *result)
{
	json_t *root = json_pack("{s:s, s:I, s:I, s:I, s:b, s:o, s:o}", "file", out, "posteriors",
		(json_int_t)result->n_posteriors, "gaps", (json_int_t)result->n_gaps, "excluded",
		(json_int_t)result->n_excluded, "cut", (int)result->cut, "filtered",
		json_figures(&result->filtered), "smoothed", json_figures(&result->smoothed));
	const int r = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;

	printf("\n");
	json_decref(root);
	return r ? 1 : 0;
}

/* 0; 1: it was --help; 2: wrong use, told. */
static int parse(struct options *options, int argc, char **argv)
{
	static const struct option table[] = {{"smooth", required_argument, NULL, 's'},
		{"out", required_argument, NULL, 'o'}, {"rig", required_argument, NULL, 'r'},
		{"set", required_argument, NULL, 'S'}, {"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		switch (option) {
		case 'h':
			return 1;
		case 's':
			options->in = optarg;
			break;
		case 'o':
			options->out = optarg;
			break;
		case 'r':
			options->rig = optarg;
			break;
		case 'S':
			if (options->n_sets == SETS_MAX)
				return 2;
			options->sets[options->n_sets++] = optarg;
			break;
		case 'j':
			options->json = 1;
			break;
		case 'q':
			options->quiet = 1;
			break;
		default:
			return 2;
		}
	}
	if (options->in && optind == argc)
		return 0;
	fprintf(stderr, "fornix decode: expected --smooth FILE.mcap; --help tells more\n");
	return 2;
}

static char *default_out(const char *in)
{
	const size_t length = strlen(in);
	const int stem =
		(int)(length > 5 && !strcmp(in + length - 5, ".mcap") ? length - 5 : length);
	char *out;

	return asprintf(&out, "%.*s.smoothed.mcap", stem, in) < 0 ? NULL : out;
}

int fnx_command_decode(int argc, char **argv)
{
	struct options options = {0};
	char error[FNX_SMOOTH_ERROR_MAX], *made = NULL;
	struct fnx_smooth_result result;
	int r = parse(&options, argc, argv);

	if (r == 1)
		usage();
	if (r)
		return r == 1 ? 0 : r;
	if (!options.out)
		options.out = made = default_out(options.in);
	shown = -1;
	r = options.out
		? fnx_smooth(&(struct fnx_smooth_options){.in = options.in,
				     .out = options.out,
				     .rig = options.rig,
				     .overrides = options.sets,
				     .n_overrides = options.n_sets,
				     .progress =
					     options.quiet || !isatty(STDERR_FILENO) ? NULL : show},
			  &result, error)
		: -ENOMEM;
	if (shown >= 0)
		fprintf(stderr, "\r%40s\r", "");
	if (r)
		fprintf(stderr, "fornix decode: %s\n", options.out ? error : "out of memory");
	else if (options.json)
		r = print_json(options.out, &result);
	else
		print_result(options.out, &result);
	free(made);
	return r ? 1 : 0;
}
