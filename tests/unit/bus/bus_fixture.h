/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of bus/ share: a bus of their own, children to kill, deadlines, counts of
 * descriptors. */
#pragma once

#include "tests/support/check.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bus/bus.h"

/* What is done at once, and on a machine that others use at least soon. */
#define AT_ONCE_NS INT64_C(10000000000)

/* A bus with directories of its own; each call another one. */
__attribute__((unused)) static struct fnx_bus fixture_bus(void)
{
	static int n_buses;
	char segment_dir[128], run_dir[64];
	struct fnx_bus bus;

	snprintf(segment_dir, sizeof(segment_dir), "%s/s%d", check_scratch_dir(), n_buses);
	snprintf(run_dir, sizeof(run_dir), "%s/r%d", check_scratch_dir(), n_buses++);
	assert_int_equal(fnx_bus_init(&bus, "test", segment_dir, run_dir), 0);
	assert_int_equal(fnx_bus_create(&bus, NULL), 0);
	return bus;
}

__attribute__((unused)) static int n_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

__attribute__((unused)) static int64_t fixture_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* 1 if `fd` becomes readable within the deadline. */
__attribute__((unused)) static int wait_readable(int fd, int timeout_ms)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};
	int r;

	do {
		r = poll(&item, 1, timeout_ms);
	} while (r < 0 && errno == EINTR);
	return r == 1;
}

/* A process that runs `body`, which says that it has come so far by child_ready. */
struct child {
	pid_t pid;
	int ready_fd;
};

__attribute__((unused)) static struct child child_start(
	int (*body)(const struct fnx_bus *bus, int ready_fd), const struct fnx_bus *bus)
{
	struct child child;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		close(fds[0]);
		_exit(body(bus, fds[1]));
	}
	close(fds[1]);
	child.ready_fd = fds[0];
	return child;
}

__attribute__((unused)) static void child_ready(int ready_fd)
{
	if (write(ready_fd, "r", 1) != 1)
		_exit(99);
}

__attribute__((unused)) static void child_await(const struct child *child)
{
	char byte;

	assert_true(wait_readable(child->ready_fd, CHECK_PATIENCE_MS));
	assert_int_equal(read(child->ready_fd, &byte, 1), 1);
}

/* Its exit status; -signal if a signal ended it. */
__attribute__((unused)) static int child_end(const struct child *child, int signal)
{
	int status;

	if (signal)
		kill(child->pid, signal);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->ready_fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* At most `n` more descriptors can be opened until the limit is lifted again. */
__attribute__((unused)) static struct rlimit limit_descriptors(int n)
{
	struct rlimit before, limit;
	int next = dup(0);

	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = (rlim_t)(next + n);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

__attribute__((unused)) static void lift_limit(const struct rlimit *before)
{
	setrlimit(RLIMIT_NOFILE, before);
}
