/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix keygen: the two CURVE keys of a machine, or of the tap. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/endpoint.h"
#include "nodes/fornix/command.h"
#include "nodes/host/command_line.h"

static int usage(void)
{
	printf("fornix keygen: makes the two keys that prove who a machine is\n"
	       "\n"
	       "usage: fornix keygen FILE\n"
	       "\n"
	       "  FILE      gets the secret key, which only its owner may read and which stays on "
	       "that machine\n"
	       "  FILE.pub  gets the public key, which all machines of the rig need\n"
	       "\n"
	       "Neither file may be there already. In the rig file they are secret_key_file and\n"
	       "public_key_file in machines; the tap's is tap.curve_secret_file.\n");
	return 0;
}

int fnx_command_keygen(int argc, char **argv)
{
	const struct fnx_option options[] = {{.name = NULL}};
	struct fnx_command_line line = {.program = "fornix keygen",
		.options = options,
		.words_min = 1,
		.words_max = 1,
		.expected = "the name of one FILE"};
	const char *path;
	int r = fnx_command_line_read(&line, argc, argv);

	if (r)
		return r > 0 ? usage() : 2;
	path = line.words[0];
	r = fnx_key_generate(path);
	if (r) {
		fprintf(stderr, "fornix keygen: cannot make %s and %s.pub: %s\n", path, path,
			strerror(-r));
		return 1;
	}
	printf("secret key %s, public key %s.pub\n", path, path);
	return 0;
}
