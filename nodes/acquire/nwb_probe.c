/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The verdict comes through a pipe, one byte, because a status can be lost: to a SIGCHLD that is
 * ignored, or to another part of the process that waits for children.
 */
#include "nodes/acquire/nwb_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CPU_MIN_S = 5,
	CPU_BYTES_PER_S = 20 << 20, /* slower than any disk or decompressor */
};

static rlim_t cpu_limit_s(const char *path)
{
	struct stat st;

	return CPU_MIN_S + (stat(path, &st) == 0 ? (rlim_t)(st.st_size / CPU_BYTES_PER_S) : 0);
}

static void quiet_child(const char *path)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};
	const rlim_t cpu_s = cpu_limit_s(path);
	const struct rlimit no_core = {0, 0}, cpu = {cpu_s, cpu_s};
	const struct sched_param ordinary = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a core_pattern that is a pipe knows no limit */
	setrlimit(RLIMIT_CPU, &cpu);
	sched_setscheduler(0, SCHED_OTHER, &ordinary);
}

static _Noreturn void child(const char *path, void (*work)(void *data), void *data, int verdict)
{
	quiet_child(path);
	work(data);
	_exit(write(verdict, "", 1) == 1 ? 0 : 1);
}

static int tell_death(const char *path, int status, char *error, size_t error_size)
{
	static const int stops[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	const int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	const bool endless = signal_number == SIGXCPU || signal_number == SIGKILL;

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		if (signal_number == stops[i]) {
			snprintf(error, error_size, "%s: reading was interrupted by signal %d",
				path, signal_number);
			return -EINTR;
		}
	}
	snprintf(error, error_size,
		"%s: expected a whole NWB file, found a damaged one on which the HDF5 library %s",
		path, endless ? "never ends" : "crashes");
	return -EBADMSG;
}

static int judge(const char *path, int verdict, pid_t pid, char *error, size_t error_size)
{
	int status = 0;
	ssize_t n;
	pid_t done;
	char byte;

	do
		n = read(verdict, &byte, 1);
	while (n < 0 && errno == EINTR);
	do
		done = waitpid(pid, &status, 0);
	while (done < 0 && errno == EINTR);
	return n == 1 ? 0 : tell_death(path, done == pid ? status : 0, error, error_size);
}

int fnx_nwb_probe(
	const char *path, void (*work)(void *data), void *data, char *error, size_t error_size)
{
	int ends[2];
	pid_t pid;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		r = -errno;
		snprintf(error, error_size, "%s: no pipe: %s", path, strerror(-r));
		return r;
	}
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child(path, work, data, ends[1]);
	}
	r = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (pid < 0)
		snprintf(error, error_size, "%s: no child process: %s", path, strerror(-r));
	else
		r = judge(path, ends[0], pid, error, error_size);
	close(ends[0]);
	return r;
}
