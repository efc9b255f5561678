/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands run as they do from a shell: in a process of their own, with what they say caught in
 * files. And a bus to point them at.
 */
#pragma once

#include "tests/support/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/topic.h"
#include "nodes/fornix/command.h"
#include "schemas/codec.h"

enum {
	SAID_MAX = 65536,
	ARGUMENTS_MAX = 24,
	LEAKED = 97 /* exit status */
};

/* Present under AddressSanitizer: 1 if something leaked. */
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

struct said {
	int status; /* exit status; -signal */
	char out[SAID_MAX];
	char error[SAID_MAX];
};

struct running {
	pid_t pid;
	char out[300], error[300];
};

/* Starts `fornix ...`; the list of words ends with NULL. */
__attribute__((unused)) static struct running command_start(const char *const *words)
{
	static int n;
	struct running running;
	static char texts[ARGUMENTS_MAX][512] = {"fornix"};
	char *argv[ARGUMENTS_MAX] = {texts[0]};
	int argc = 1;

	for (; words[argc - 1] && argc < ARGUMENTS_MAX - 1; argc++) {
		snprintf(texts[argc], sizeof(texts[argc]), "%s", words[argc - 1]);
		argv[argc] = texts[argc];
	}
	snprintf(running.out, sizeof(running.out), "%s/out%d", check_scratch_dir(), n);
	snprintf(running.error, sizeof(running.error), "%s/error%d", check_scratch_dir(), n++);
	fflush(NULL);
	running.pid = fork();
	assert_true(running.pid >= 0);
	if (running.pid == 0) {
		int status;

		alarm(2 * CHECK_PATIENCE_S); /* later than the test despairs of it */
		if (!freopen(running.out, "w", stdout) || !freopen(running.error, "w", stderr))
			_exit(98);
		status = fnx_commands_main(argc, argv);
		fflush(NULL);
		if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
			status = LEAKED;
		_exit(status);
	}
	return running;
}

static void read_said(const char *path, char *text)
{
	FILE *file = fopen(path, "r");
	size_t size = 0;

	if (file) {
		size = fread(text, 1, SAID_MAX - 1, file);
		fclose(file);
	}
	text[size] = 0;
}

__attribute__((unused)) static const struct said *command_end(const struct running *running)
{
	static struct said said;
	int status;

	assert_int_equal(waitpid(running->pid, &status, 0), running->pid);
	said.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	read_said(running->out, said.out);
	read_said(running->error, said.error);
	return &said;
}

__attribute__((unused)) static const struct said *command_run(const char *const *words)
{
	struct running running = command_start(words);

	return command_end(&running);
}

#define FORNIX(...) command_run((const char *const[]){__VA_ARGS__, NULL})

__attribute__((unused)) static void says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("expected \"%s\" in:\n%s", words, text);
}

__attribute__((unused)) static void says_not(const char *text, const char *words)
{
	if (strstr(text, words))
		fail_msg("expected no \"%s\" in:\n%s", words, text);
}

/* One line to standard error, and this status. */
__attribute__((unused)) static void fails(const struct said *said, int status, const char *words)
{
	const char *end = strchr(said->error, '\n');

	if (said->status != status || !end || end[1])
		fail_msg("expected status %d and one line, found status %d and:\n%s", status,
			said->status, said->error);
	says(said->error, words);
}

/* Until `words` are in the file. */
__attribute__((unused)) static void await_said(const struct running *running, const char *words)
{
	static char text[SAID_MAX];
	struct timespec now;
	time_t deadline;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (deadline = now.tv_sec + CHECK_PATIENCE_S; now.tv_sec <= deadline;
		clock_gettime(CLOCK_MONOTONIC, &now)) {
		read_said(running->out, text);
		if (strstr(text, words))
			return;
		sched_yield();
	}
	fail_msg("expected \"%s\" in:\n%s", words, text);
}

/* A bus with directories of its own; each call another one. */
__attribute__((unused)) static struct fnx_bus command_bus(void)
{
	static int n;
	char segment_dir[128], run_dir[64];
	struct fnx_bus bus;

	snprintf(segment_dir, sizeof(segment_dir), "%s/s%d", check_scratch_dir(), n);
	snprintf(run_dir, sizeof(run_dir), "%s/r%d", check_scratch_dir(), n++);
	assert_int_equal(fnx_bus_init(&bus, "test", segment_dir, run_dir), 0);
	assert_int_equal(fnx_bus_create(&bus, NULL), 0);
	return bus;
}

#define ON(bus) "--segment-dir", (bus).segment_dir, "--run-dir", (bus).run_dir, "--bus", (bus).name

__attribute__((unused)) static int n_files(const char *dir)
{
	DIR *entries = opendir(dir);
	int n = 0;

	while (readdir(entries))
		n++;
	closedir(entries);
	return n;
}

/* A topic of a schema without extents. */
__attribute__((unused)) static struct fnx_publisher *command_topic(const struct fnx_bus *bus,
	const char *name, const struct fnx_schema *schema, uint32_t n_slots,
	enum fnx_full_policy full)
{
	unsigned char description[FNX_DESCRIPTION_MAX];
	struct fnx_publisher *pub = NULL;
	struct fnx_layout layout;
	struct fnx_topic_config config = {.name = name,
		.node = "acquire",
		.schema_hash = fnx_schema_hash(schema),
		.schema = description,
		.n_slots = n_slots,
		.full = full,
		.grace_ns = INT64_C(1000000000),
		.bell = FNX_BELL_FORM_PIPE};

	assert_int_equal(fnx_layout_init(&layout, schema, NULL), 0);
	config.slot_size = layout.size;
	assert_int_equal(fnx_description_encode(
				 &layout, description, sizeof(description), &config.schema_size),
		0);
	assert_int_equal(fnx_publisher_open(bus, &config, &pub), 0);
	return pub;
}
