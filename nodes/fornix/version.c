/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes of two builds understand each other if their segments, status pages and the schemas they
 * share are the same. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "bus/segment.h"
#include "bus/state.h"
#include "nodes/fornix/command.h"

int fnx_command_version(int argc, char **argv)
{
	static const struct option table[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option != 'h')
			return 2;
		printf("fornix version: prints the version, and what other builds must share with "
		       "this one\n"
		       "\n"
		       "usage: fornix version\n"
		       "\n"
		       "Nodes of two builds can work on one bus if the ABI numbers, and the hashes "
		       "of the schemas\n"
		       "that they exchange, are the same.\n");
		return 0;
	}
	if (optind < argc) {
		fprintf(stderr, "fornix version: unexpected argument %s; --help tells more\n",
			argv[optind]);
		return 2;
	}
	printf("fornix %s\n", FNX_VERSION);
	printf("abi      segment %d, status %d, state %d\n", FNX_SEGMENT_ABI, FNX_STATUS_ABI,
		FNX_STATE_ABI);
	for (const struct fnx_schema *const *schema = fnx_schemas; *schema; schema++)
		printf("schema   %-12s %016" PRIx64 "\n", (*schema)->name,
			fnx_schema_hash(*schema));
	return 0;
}
