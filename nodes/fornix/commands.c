/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nodes/fornix/command.h"

/* The title stands for the program's name in the messages of getopt. */
static const struct command {
	const char *name, *title;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", "fornix run", fnx_command_run, "runs one session from beginning to end"},
	{"node", "fornix node", fnx_command_node,
		"runs one node of a rig, for systemd and terminals"},
	{"top", "fornix top", fnx_command_top, "shows the nodes and topics of a bus at work"},
	{"ls", "fornix ls", fnx_command_ls, "lists buses, nodes and topics, dead ones too"},
	{"inspect", "fornix inspect", fnx_command_inspect,
		"shows a topic's header, pool, readers and ledger"},
	{"echo", "fornix echo", fnx_command_echo, "prints the frames of a topic"},
	{"get", "fornix get", fnx_command_get, "shows a node's parameters"},
	{"set", "fornix set", fnx_command_set, "changes a parameter while the node runs"},
	{"check", "fornix check", fnx_command_check,
		"checks a rig file and shows what it would run"},
	{"doctor", "fornix doctor", fnx_command_doctor,
		"what this machine lacks for real-time work"},
	{"decode", "fornix decode", fnx_command_decode, "decodes a recorded session: the smoother"},
	{"keygen", "fornix keygen", fnx_command_keygen,
		"makes the keys with which machines know each other"},
	{"recover", "fornix recover", fnx_command_recover, "makes a damaged recording whole again"},
	{"trace", "fornix trace", fnx_command_trace,
		"writes what a task runtime did, for Perfetto"},
	{"version", "fornix version", fnx_command_version,
		"prints the version of programs and schemas"},
};

enum {
	N_COMMANDS = sizeof(commands) / sizeof(commands[0])
};

static void print_help(FILE *out)
{
	fprintf(out,
		"fornix: closed-loop experiments on the hippocampus\n"
		"\n"
		"usage: fornix COMMAND [ARGUMENTS]\n"
		"\n");
	for (unsigned i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
	fprintf(out,
		"  help      prints this, or the help of one command\n"
		"\n"
		"examples:\n"
		"\n"
		"  fornix run                             a demonstration: simulated rat, decoded "
		"as fast as it goes\n"
		"  fornix run lab.yaml --speed 1          the session that lab.yaml describes, in "
		"real time\n"
		"  fornix check lab.yaml                  what lab.yaml would run, and what is odd "
		"about it\n"
		"  fornix top                             in another terminal: what everybody is "
		"doing\n"
		"  fornix inspect posterior               one topic: pool, readers, youngest "
		"frames\n"
		"  fornix echo decision --count 5         the next five decisions\n"
		"  fornix set ripple standard 4           a higher threshold, from the next sample "
		"on\n"
		"\n"
		"`fornix COMMAND --help` tells more. Exit status: 0 done, 1 failed, 2 wrong "
		"use.\n");
}

static const struct command *find(const char *name)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int call(const struct command *command, int argc, char **argv, const char *only_argument)
{
	char title[32], argument[32];
	char *help[] = {title, argument, NULL};

	snprintf(title, sizeof(title), "%s", command->title);
	if (only_argument) {
		snprintf(argument, sizeof(argument), "%s", only_argument);
		return command->main(2, help);
	}
	argv[0] = title;
	return command->main(argc, argv);
}

static int wrong(const char *name)
{
	fprintf(stderr, "fornix: unknown command %.60s; expected one of", name);
	for (unsigned i = 0; i < N_COMMANDS; i++)
		fprintf(stderr, " %s", commands[i].name);
	fprintf(stderr, " help\n");
	return 2;
}

static int help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2 || argv[1][0] == '-') {
		print_help(stdout);
		return 0;
	}
	command = find(argv[1]);
	return command ? call(command, 0, NULL, "--help") : wrong(argv[1]);
}

int fnx_commands_main(int argc, char **argv)
{
	const struct command *command;
	const char *name = argc > 1 ? argv[1] : NULL;

	/* A reader who goes away (`fornix echo lfp | head`) is no reason to die half-way. */
	signal(SIGPIPE, SIG_IGN);
	if (!name) {
		print_help(stderr);
		return 2;
	}
	if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
		return help(argc - 1, argv + 1);
	command = find(strcmp(name, "--version") ? name : "version");
	return command ? call(command, argc - 1, argv + 1, NULL) : wrong(name);
}
