/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/mcap.h"
#include "nodes/fornix/command.h"
#include "nodes/host/command_line.h"

static int usage(void)
{
	printf("fornix recover: makes a damaged recording whole again\n"
	       "\n"
	       "usage: fornix recover IN.mcap OUT.mcap\n"
	       "\n"
	       "Writes to OUT.mcap, which must not exist yet, everything that IN.mcap still holds, "
	       "with an index.\n"
	       "IN.mcap is only read. Of a recording that was cut off (power, kill -9) all but the "
	       "last chunk is\n"
	       "there. Exit status: 0 done, whatever was lost is told; 1 failed; 2 wrong use.\n");
	return 0;
}

static void report(const char *in, const char *out, const struct fnx_mcap_recover_stats *stats)
{
	const struct fnx_mcap_stats *file = &stats->file;

	printf("%s: %" PRIu64 " messages of %u topics", out, file->n_messages, file->n_channels);
	if (file->n_messages)
		printf(", written within %.3f s",
			(double)(file->last_log_time_ns - file->first_log_time_ns) / 1e9);
	printf(", %u attachments\n", file->n_attachments);
	if (stats->cut)
		printf("%s was cut off; %" PRIu64 " bytes at its end are lost\n", in,
			stats->n_bytes_lost);
	else if (stats->n_bytes_lost)
		printf("%" PRIu64 " bytes at the end of %s are lost\n", stats->n_bytes_lost, in);
	if (stats->n_damaged)
		printf("%" PRIu64 " damaged records were left out, the first at byte %" PRIu64
		       ": %s\n",
			stats->n_damaged, stats->first_error.offset,
			stats->first_error.text ? stats->first_error.text : "damaged");
	if (!stats->cut && !stats->n_damaged && !stats->n_bytes_lost)
		printf("nothing was lost\n");
}

static int complain(const char *in, const char *out, int error)
{
	if (error == -EEXIST)
		fprintf(stderr, "fornix recover: %s exists already; it will not be overwritten\n",
			out);
	else if (error == -EBADMSG)
		fprintf(stderr,
			"fornix recover: %s is no MCAP file, or nothing of it can be read\n", in);
	else
		fprintf(stderr, "fornix recover: cannot make %s of %s: %s\n", out, in,
			strerror(-error));
	return 1;
}

int fnx_command_recover(int argc, char **argv)
{
	const struct fnx_option options[] = {{.name = NULL}};
	struct fnx_command_line line = {.program = "fornix recover",
		.options = options,
		.words_min = 2,
		.words_max = 2,
		.expected = "IN.mcap and OUT.mcap"};
	struct fnx_mcap_recover_stats stats = {0};
	int r = fnx_command_line_read(&line, argc, argv);

	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_mcap_recover(line.words[0], line.words[1], &stats);
	if (r)
		return complain(line.words[0], line.words[1], r);
	report(line.words[0], line.words[1], &stats);
	return 0;
}
