/* SPDX-License-Identifier: BSD-3-Clause */
/* main() of a node's executable: options, rig file, open, run, close. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/host/command_line.h"

static int usage(const struct fnx_node_ops *ops)
{
	printf("fornix-%s: %s\n"
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
		printf("                     %s\n", *key);
	printf("  --version        print the version\n"
	       "  --help           print this\n"
	       "\n"
	       "Stops in good order on Ctrl-C, SIGTERM or the control request `stop`. Exit "
	       "status: 0 stopped\n"
	       "as asked, 1 failed, 2 wrong use or a rig file that cannot be used.\n");
	return 0;
}

struct arguments {
	const char *rig, *name;
	int version;
	struct fnx_texts overrides;
};

static int parse(int argc, char **argv, const char *program, struct arguments *arguments)
{
	const struct fnx_option options[] = {
		fnx_option_text("rig", &arguments->rig),
		fnx_option_text("name", &arguments->name),
		fnx_option_texts("set", &arguments->overrides),
		fnx_option_flag("version", &arguments->version),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = program, .options = options};
	int r = fnx_command_line_read(&line, argc, argv);

	if (r || arguments->rig || arguments->version)
		return r;
	fprintf(stderr, "%s: --rig FILE is missing; --help tells more\n", program);
	return -EINVAL;
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
	char error[FNX_RIG_ERROR_MAX], program[FNX_NAME_MAX + 8];
	struct fnx_rig *rig;
	int r;

	snprintf(program, sizeof(program), "fornix-%s", ops->type);
	r = parse(argc, argv, program, &arguments);
	if (r)
		return r > 0 ? usage(ops) : 2;
	if (arguments.version) {
		printf("%s %s\n", program, FNX_VERSION);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	r = fnx_rig_load(arguments.rig, arguments.overrides.at, arguments.overrides.n, &rig, error);
	if (r) {
		fprintf(stderr, "%s: %s\n", program, error);
		return 2;
	}
	if (!arguments.name)
		arguments.name = ops->instance ? ops->instance(rig, 0) : ops->type;
	r = run(ops, rig, arguments.name ? arguments.name : ops->type);
	fnx_rig_free(rig);
	return r ? 1 : 0;
}
