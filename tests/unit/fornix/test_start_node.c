/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#define HELPER "FORNIX_TEST_START_NODE"

static void copy_self(const char *path)
{
	char buffer[65536];
	ssize_t n;
	int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT, 0700);

	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(to, buffer, (size_t)n), n);
	close(from);
	close(to);
}

/* fornix-<type> that tells who it is and what it was called with. */
static void write_node(const char *dir, const char *type)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/fornix-%s", dir, type);
	file = fopen(path, "w");
	fprintf(file, "#!/bin/sh\necho \"$$ $0 $*\"\nexit 7\n");
	fclose(file);
	assert_int_equal(chmod(path, 0700), 0);
}

/* This program again, from a folder that has the nodes: it becomes one of them. The words of the
 * command line are in the environment, divided by blanks. */
static struct said start_in(const char *dir, const char *words)
{
	struct said said = {.status = 0};
	char path[300];
	ssize_t n;
	size_t size = 0;
	int fds[2], status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/fornix", dir);
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		setenv(HELPER, words, 1);
		execl(path, path, "this_program_becomes_the_node_when_it_is_told_to", (char *)NULL);
		_exit(98);
	}
	close(fds[1]);
	while ((n = read(fds[0], said.out + size, sizeof(said.out) - 1 - size)) > 0)
		size += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	said.status = WEXITSTATUS(status);
	snprintf(said.error, sizeof(said.error), "%d ", (int)pid);
	return said;
}

TEST(this_program_becomes_the_node_when_it_is_told_to)
{
	char *words = getenv(HELPER), *argv[ARGUMENTS_MAX], *save = NULL;
	int argc = 0;

	if (!words)
		return;
	argv[argc++] = words;
	for (char *word = strtok_r(strdup(words), " ", &save); word;
		word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	fflush(NULL);
	_exit(fnx_commands_main(argc, argv));
}

TEST(a_name_starts_the_executable_of_its_type_in_the_same_process)
{
	struct said said;
	char dir[256], expected[700];

	if (getenv(HELPER))
		return;
	snprintf(dir, sizeof(dir), "%s/bin", check_scratch_dir());
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(expected, sizeof(expected), "%s/fornix", dir);
	copy_self(expected);
	write_node(dir, "encode");
	said = start_in(dir, "node encode.2 --rig @demo --set bus.name=a --set source.speed=3");
	assert_int_equal(said.status, 7);
	snprintf(expected, sizeof(expected),
		"%s/fornix-encode --rig @demo --name encode.2 --set bus.name=a --set "
		"source.speed=3\n",
		dir);
	says(said.out, expected);
	/* systemd watches the process that it started. */
	says(said.out, said.error);
}

TEST(a_node_that_the_rig_does_not_want_is_answered_with_those_it_has)
{
	fails(FORNIX("node", "encode.3", "--rig", "@demo"), 2,
		"@demo asks for no node encode.3; it has acquire, ripple, encode.1, encode.2, "
		"decode, dispatch, tap");
	fails(FORNIX("node", "encode", "--rig", "@demo"), 2, "no node encode;");
	fails(FORNIX("node", "record", "--rig", "@demo"), 2,
		"since it names no record.file; it has acquire");
	fails(FORNIX("node", "score", "--rig", "@demo"), 2, "no node score");
}

TEST(a_program_that_is_not_there_is_told_so)
{
	char path[4096];

	assert_int_equal(fnx_executable_path("no-such-node", path, sizeof(path)), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	says(path, "/fornix-no-such-node");
	assert_int_equal(fnx_executable_path("record", path, 10), -ENAMETOOLONG);
}

TEST(a_rig_that_cannot_be_used_is_told_before_anything_starts)
{
	fails(FORNIX("node", "decode", "--rig", "/nowhere.yaml"), 2,
		"/nowhere.yaml: cannot read the rig file");
	fails(FORNIX("node", "decode", "--rig", "@demo", "--set", "bus.size=3"), 2,
		"bus.size: cannot be set");
}

TEST(wrong_use_of_node_is_told_in_one_line)
{
	fails(FORNIX("node", "decode"), 2, "--rig FILE is missing");
	fails(FORNIX("node", "--rig", "@demo"), 2, "expected the NAME of one node");
	fails(FORNIX("node", "a", "b", "--rig", "@demo"), 2, "expected the NAME of one node");
	fails(FORNIX("node", "a", "--rigs", "@demo"), 2, "unrecognized option");
}
