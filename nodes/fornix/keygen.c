/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix keygen: the two CURVE keys of a machine, or of the tap. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/endpoint.h"
#include "nodes/fornix/command.h"

static void usage(FILE *out)
{
	fprintf(out,
		"fornix keygen: makes the two keys that prove who a machine is\n"
		"\n"
		"usage: fornix keygen FILE\n"
		"\n"
		"  FILE      gets the secret key, which only its owner may read and which stays on "
		"that machine\n"
		"  FILE.pub  gets the public key, which all machines of the rig need\n"
		"\n"
		"Neither file may be there already. In the rig file they are secret_key_file and\n"
		"public_key_file in machines; the tap's is tap.curve_secret_file.\n");
}

int fnx_command_keygen(int argc, char **argv)
{
	int r;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return 0;
	}
	if (argc != 2 || argv[1][0] == '-' || !argv[1][0]) {
		fprintf(stderr,
			"fornix keygen: expected the name of one FILE; --help tells more\n");
		return 2;
	}
	r = fnx_key_generate(argv[1]);
	if (r) {
		fprintf(stderr, "fornix keygen: cannot make %s and %s.pub: %s\n", argv[1], argv[1],
			strerror(-r));
		return 1;
	}
	printf("secret key %s, public key %s.pub\n", argv[1], argv[1]);
	return 0;
}
