/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix node: becomes the executable that runs a node of that name, so that whoever starts nodes
 * (systemd) need not know which that is. Exec, not fork: the process that was started is the node.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fornix/command.h"

struct options {
	char *name, *rig_path;
	char *overrides[FNX_RIG_OVERRIDES_MAX];
	size_t n_overrides;
};

static void usage(void)
{
	printf("fornix node: runs one node of a rig\n"
	       "\n"
	       "usage: fornix node NAME --rig FILE [--set KEY=VALUE]...\n"
	       "\n"
	       "  NAME             the node's name in the rig: acquire, ripple, encode.1, decode, "
	       "dispatch ...\n"
	       "  --rig FILE       the rig file that describes the experiment; " FNX_RIG_DEMO
	       ": the built-in one\n"
	       "  --set KEY=VALUE  as if the rig file said so; KEY is one of:\n");
	for (const char *const *key = fnx_rig_override_keys; *key; key++)
		printf("                     %s\n", *key);
	printf("\n"
	       "The nodes of a rig may be started in any order and wait for each other. `fornix "
	       "check FILE` lists\n"
	       "them. Stops in good order on Ctrl-C or SIGTERM.\n");
}

static int wrong(const char *what)
{
	fprintf(stderr, "fornix node: %s; --help tells more\n", what);
	return 2;
}

/* 0: go on; -1: helped; 2: wrong use. */
static int parse(int argc, char **argv, struct options *options)
{
	static const struct option table[] = {
		{"rig", required_argument, NULL, 'r'},
		{"set", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		switch (option) {
		case 'r':
			options->rig_path = optarg;
			break;
		case 's':
			if (options->n_overrides == FNX_RIG_OVERRIDES_MAX)
				return wrong("too many --set");
			options->overrides[options->n_overrides++] = optarg;
			break;
		case 'h':
			usage();
			return -1;
		default:
			return 2;
		}
	}
	if (argc - optind != 1)
		return wrong("expected the NAME of one node");
	if (!options->rig_path)
		return wrong("--rig FILE is missing");
	options->name = argv[optind];
	return 0;
}

int fnx_executable_path(const char *type, char *ret_path, size_t size)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	return (size_t)snprintf(ret_path, size, "%s/fornix-%s", self, type) < size ? 0
										   : -ENAMETOOLONG;
}

const char *fnx_rig_node_name(const struct fnx_node_ops *ops, const struct fnx_rig *rig, unsigned k)
{
	if (ops->wanted && !ops->wanted(rig))
		return NULL;
	if (ops->instance)
		return ops->instance(rig, k);
	return k ? NULL : ops->type;
}

static const struct fnx_node_ops *find(const struct fnx_rig *rig, const char *name)
{
	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops; ops++)
		for (unsigned k = 0; fnx_rig_node_name(*ops, rig, k); k++)
			if (!strcmp(fnx_rig_node_name(*ops, rig, k), name))
				return *ops;
	return NULL;
}

static int refuse(const struct fnx_rig *rig, const struct options *options)
{
	const char *before = "";

	fprintf(stderr, "fornix node: %s asks for no node %s%s; it has ", options->rig_path,
		options->name,
		strcmp(options->name, "record") ? "" : ", since it names no record.file");
	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops; ops++)
		for (unsigned k = 0; fnx_rig_node_name(*ops, rig, k); k++) {
			fprintf(stderr, "%s%s", before, fnx_rig_node_name(*ops, rig, k));
			before = ", ";
		}
	fputc('\n', stderr);
	return 2;
}

static int become(const struct fnx_node_ops *ops, const struct options *options)
{
	static char rig[] = "--rig", name[] = "--name", set[] = "--set";
	char *argv[8 + 2 * FNX_RIG_OVERRIDES_MAX];
	char path[4200];
	int r, n = 0;

	r = fnx_executable_path(ops->type, path, sizeof(path));
	if (!r) {
		argv[n++] = path;
		argv[n++] = rig;
		argv[n++] = options->rig_path;
		argv[n++] = name;
		argv[n++] = options->name;
		for (size_t i = 0; i < options->n_overrides; i++) {
			argv[n++] = set;
			argv[n++] = options->overrides[i];
		}
		argv[n] = NULL;
		execv(path, argv);
		r = -errno;
	}
	fprintf(stderr, "fornix node: cannot start fornix-%s from this program's folder: %s\n",
		ops->type, strerror(-r));
	return 1;
}

int fnx_command_node(int argc, char **argv)
{
	struct options options = {.name = NULL};
	const struct fnx_node_ops *ops;
	char error[FNX_RIG_ERROR_MAX];
	struct fnx_rig *rig;
	int r;

	r = parse(argc, argv, &options);
	if (r)
		return r < 0 ? 0 : r;
	r = fnx_rig_load(options.rig_path, (const char *const *)options.overrides,
		options.n_overrides, &rig, error);
	if (r) {
		fprintf(stderr, "fornix node: %s\n", error);
		return 2;
	}
	ops = find(rig, options.name);
	r = ops ? 0 : refuse(rig, &options);
	fnx_rig_free(rig);
	return r ? r : become(ops, &options);
}
