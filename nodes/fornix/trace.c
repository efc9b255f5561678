/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/task.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/locate.h"

static int usage(void)
{
	printf("fornix trace: writes what a task runtime did, for Perfetto or chrome://tracing\n"
	       "\n"
	       "usage: fornix trace NAME [OPTIONS]\n"
	       "\n"
	       "NAME is the runtime's, which is that of its node. Its rig, or its program, must "
	       "have "
	       "it traced.\n"
	       "While it runs, or as long as what it left has not been swept, the last state "
	       "changes are there.\n"
	       "\n"
	       "  --out FILE   writes to FILE instead of standard output; it must not exist yet\n"
	       "%s"
	       "\n"
	       "Exit status: 0 done, 1 no such runtime or nothing traced, 2 wrong use.\n",
		FNX_LOCATE_HELP);
	return 0;
}

static int complain(const struct fnx_bus *bus, const char *name, int error)
{
	char before[200];
	struct fnx_names runtimes;

	if (error == -ENODATA) {
		fprintf(stderr, "fornix trace: %.48s runs without a trace\n", name);
		return 1;
	}
	if ((error != -ENOENT && error != -EINVAL) ||
		fnx_names_find(&runtimes, bus->segment_dir, "", ".tasks")) {
		fprintf(stderr, "fornix trace: cannot read the trace of %.48s: %s\n", name,
			strerror(-error));
		return 1;
	}
	snprintf(before, sizeof(before),
		"fornix trace: bus %s has no task runtime %.48s; it has: ", bus->name, name);
	fnx_names_complain(&runtimes, before);
	fnx_names_free(&runtimes);
	return 1;
}

/* A file that is there already is somebody's. */
static FILE *open_out(const char *path)
{
	FILE *out = path ? fopen(path, "wx") : stdout;

	if (!out)
		fprintf(stderr, "fornix trace: cannot write %s: %s\n", path, strerror(errno));
	return out;
}

static int export(const struct fnx_bus *bus, const char *name, const char *path)
{
	struct fnx_task_trace_stats stats = {0};
	FILE *out = open_out(path);
	int r;

	if (!out)
		return 1;
	r = fnx_task_trace_export_file(bus, name, out, &stats);
	if (path && fclose(out) && !r)
		r = -EIO;
	if (r) {
		if (path)
			unlink(path);
		return complain(bus, name, r);
	}
	fprintf(stderr, "%" PRIu64 " state changes", stats.n_written);
	if (stats.n_lost)
		fprintf(stderr, "; %" PRIu64 " before them were overwritten", stats.n_lost);
	fprintf(stderr, "\n");
	return 0;
}

int fnx_command_trace(int argc, char **argv)
{
	struct fnx_locate locate = {0};
	const char *path = NULL;
	const struct fnx_option options[] = {
		fnx_option_text("out", &path),
		FNX_LOCATE_OPTIONS(&locate),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix trace",
		.options = options,
		.words_min = 1,
		.words_max = 1,
		.expected = "one NAME"};
	struct fnx_bus bus;
	int r = fnx_command_line_read(&line, argc, argv);

	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_locate_bus("fornix trace", &locate, &bus);
	return r ? r : export(&bus, line.words[0], path);
}
