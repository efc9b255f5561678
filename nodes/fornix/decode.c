/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix decode: decodes recordings; so far what needs the whole session: smoothing. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/smooth.h"
#include "nodes/host/command_line.h"

struct options {
	const char *in, *out, *rig;
	struct fnx_texts overrides;
	int json, quiet;
};

static int usage(void)
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
	return 0;
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

static int parse(int argc, char **argv, struct options *options)
{
	const struct fnx_option table[] = {
		fnx_option_text("smooth", &options->in),
		fnx_option_text("out", &options->out),
		fnx_option_text("rig", &options->rig),
		fnx_option_texts("set", &options->overrides),
		fnx_option_flag("json", &options->json),
		fnx_option_flag("quiet", &options->quiet),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix decode", .options = table};
	int r = fnx_command_line_read(&line, argc, argv);

	if (r || options->in)
		return r;
	fprintf(stderr, "fornix decode: expected --smooth FILE.mcap; --help tells more\n");
	return -EINVAL;
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
	int r = parse(argc, argv, &options);

	if (r)
		return r > 0 ? usage() : 2;
	if (!options.out)
		options.out = made = default_out(options.in);
	shown = -1;
	r = options.out
		? fnx_smooth(&(struct fnx_smooth_options){.in = options.in,
				     .out = options.out,
				     .rig = options.rig,
				     .overrides = options.overrides.at,
				     .n_overrides = options.overrides.n,
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
