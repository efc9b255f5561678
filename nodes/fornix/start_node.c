/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix node: becomes the executable that runs a node of that name, so that whoever starts nodes
 * (systemd) need not know which that is. Exec, not fork: the process that was started is the node.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/host/command_line.h"

struct options {
	const char *name, *rig_path;
	struct fnx_texts overrides;
};

static int usage(void)
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
	return 0;
}

static int parse(int argc, char **argv, struct options *options)
{
	const struct fnx_option table[] = {
		fnx_option_text("rig", &options->rig_path),
		fnx_option_texts("set", &options->overrides),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix node",
		.options = table,
		.words_min = 1,
		.words_max = 1,
		.expected = "the NAME of one node"};
	int r = fnx_command_line_read(&line, argc, argv);

	options->name = line.words[0];
	if (r || options->rig_path)
		return r;
	fprintf(stderr, "fornix node: --rig FILE is missing; --help tells more\n");
	return -EINVAL;
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
	/* execv changes nothing, whatever its type says. */
	union {
		const char *said[8 + 2 * FNX_RIG_OVERRIDES_MAX];
		char *argv[8 + 2 * FNX_RIG_OVERRIDES_MAX];
	} words;
	char path[4200];
	int r, n = 0;

	r = fnx_executable_path(ops->type, path, sizeof(path));
	if (!r) {
		words.said[n++] = path;
		words.said[n++] = "--rig";
		words.said[n++] = options->rig_path;
		words.said[n++] = "--name";
		words.said[n++] = options->name;
		for (size_t i = 0; i < options->overrides.n; i++) {
			words.said[n++] = "--set";
			words.said[n++] = options->overrides.at[i];
		}
		words.said[n] = NULL;
		execv(path, words.argv);
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
		return r > 0 ? usage() : 2;
	r = fnx_rig_load(options.rig_path, options.overrides.at, options.overrides.n, &rig, error);
	if (r) {
		fprintf(stderr, "fornix node: %s\n", error);
		return 2;
	}
	ops = find(rig, options.name);
	r = ops ? 0 : refuse(rig, &options);
	fnx_rig_free(rig);
	return r ? r : become(ops, &options);
}
