/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes of two builds understand each other if their segments, status pages and the schemas they
 * share are the same. */
#include <inttypes.h>
#include <stdio.h>

#include "bus/segment.h"
#include "bus/state.h"
#include "nodes/fornix/command.h"
#include "nodes/host/command_line.h"

static int usage(void)
{
	printf("fornix version: prints the version, and what other builds must share with this "
	       "one\n"
	       "\n"
	       "usage: fornix version\n"
	       "\n"
	       "Nodes of two builds can work on one bus if the ABI numbers, and the hashes of the "
	       "schemas\n"
	       "that they exchange, are the same.\n");
	return 0;
}

int fnx_command_version(int argc, char **argv)
{
	const struct fnx_option options[] = {{.name = NULL}};
	struct fnx_command_line line = {.program = "fornix version", .options = options};
	int r = fnx_command_line_read(&line, argc, argv);

	if (r)
		return r > 0 ? usage() : 2;
	printf("fornix %s\n", FNX_VERSION);
	printf("abi      segment %d, status %d, state %d\n", FNX_SEGMENT_ABI, FNX_STATUS_ABI,
		FNX_STATE_ABI);
	for (const struct fnx_schema *const *schema = fnx_schemas; *schema; schema++)
		printf("schema   %-12s %016" PRIx64 "\n", (*schema)->name,
			fnx_schema_hash(*schema));
	return 0;
}
