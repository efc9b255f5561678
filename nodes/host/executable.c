/* SPDX-License-Identifier: BSD-3-Clause */
/* main() of a node's executable: options, rig file, open, run, close. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/host/host.h"

static void usage(const struct fnx_node_ops *ops, FILE *out)
{
	fprintf(out,
		"fornix-%s: %s\n"
		"\n"
		"usage: fornix-%s --rig FILE [--name NAME] [--set KEY=VALUE]...\n"
		"\n"
		"  --rig FILE       the rig file that describes the experiment; " FNX_RIG_DEMO
		": the built-in one\n"
		"  --name NAME      this node's name on the bus (default: %s, or its first "
		"instance)\n"
		"  --set KEY=VALUE  as if the rig file said so; KEY is one of:\n",
		ops->type, ops->summary, ops->type, ops->type);
	for (const char *const *key = fnx_rig_override_keys; *key; key++)
		fprintf(out, "                     %s\n", *key);
	fprintf(out,
		"  --version        print the version\n"
		"  --help           print this\n"
		"\n"
		"Stops in good order on Ctrl-C, SIGTERM or the control request `stop`. Exit "
		"status: 0 stopped\n"
		"as asked, 1 failed, 2 wrong use or a rig file that cannot be used.\n");
}

struct arguments {
	const char *rig;
	const char *name;
	const char *overrides[FNX_RIG_OVERRIDES_MAX];
	size_t n_overrides;
};

/* 0: go on; 1: done, exit 0; 2: wrong use. */
static int parse(int argc, char **argv, const struct fnx_node_ops *ops, struct arguments *arguments)
{
	static const struct option options[] = {
		{"rig", required_argument, NULL, 'r'},
		{"name", required_argument, NULL, 'n'},
		{"set", required_argument, NULL, 's'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			arguments->rig = optarg;
			break;
		case 'n':
			arguments->name = optarg;
			break;
		case 's':
			if (arguments->n_overrides == FNX_RIG_OVERRIDES_MAX) {
				fprintf(stderr, "fornix-%s: too many --set\n", ops->type);
				return 2;
			}
			arguments->overrides[arguments->n_overrides++] = optarg;
			break;
		case 'v':
			printf("fornix-%s %s\n", ops->type, FNX_VERSION);
			return 1;
		case 'h':
			usage(ops, stdout);
			return 1;
		default:
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "fornix-%s: unexpected argument %s\n", ops->type, argv[optind]);
		return 2;
	}
	if (!arguments->rig) {
		fprintf(stderr, "fornix-%s: --rig FILE is missing; --help tells more\n", ops->type);
		return 2;
	}
	return 0;
}

static int run(const struct fnx_node_ops *ops, const struct fnx_rig *rig, const char *name)
{
	struct fnx_node *node = calloc(1, sizeof(*node));
	int r;

	if (!node)
		return -ENOMEM;
	r = fnx_node_open(node, ops, rig, name);
	if (!r) {
		r = fnx_node_run(node, NULL, 1);
		if (r) {
			fnx_status_say(node->status, "%s", node->error);
			atomic_store(&node->status->state, FNX_NODE_FAILED);
		}
		fnx_node_close(node);
	}
	if (r)
		fprintf(stderr, "fornix %s: %s\n", name, node->error);
	free(node);
	return r;
}

int fnx_host_main(int argc, char **argv, const struct fnx_node_ops *ops)
{
	struct arguments arguments = {.rig = NULL};
	char error[FNX_RIG_ERROR_MAX];
	struct fnx_rig *rig;
	int r;

	r = parse(argc, argv, ops, &arguments);
	if (r)
		return r == 1 ? 0 : 2;
	signal(SIGPIPE, SIG_IGN);
	r = fnx_rig_load(arguments.rig, arguments.overrides, arguments.n_overrides, &rig, error);
	if (r) {
		fprintf(stderr, "fornix-%s: %s\n", ops->type, error);
		return 2;
	}
	if (!arguments.name)
		arguments.name = ops->instance ? ops->instance(rig, 0) : ops->type;
	r = run(ops, rig, arguments.name ? arguments.name : ops->type);
	fnx_rig_free(rig);
	return r ? 1 : 0;
}
