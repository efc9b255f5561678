/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TEXT_SIZE = 8192
};

int fnx_file_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
	size_t used = 0;
	ssize_t n = 1;

	text[0] = 0;
	if (fd < 0)
		return -errno;
	while (n > 0 && used < size - 1) {
		n = read(fd, text + used, size - 1 - used);
		if (n < 0)
			error = errno;
		else
			used += (size_t)n;
	}
	text[used] = 0;
	close(fd);
	if (error)
		return -error;
	return n > 0 ? -EFBIG : 0;
}

double fnx_proc_stat_cpu(const char *text, double ticks_per_s)
{
	const char *behind_name = strrchr(text, ')'); /* names may hold anything */
	unsigned long user, system;

	if (!behind_name ||
		sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			&user, &system) != 2)
		return NAN;
	return ((double)user + (double)system) / ticks_per_s;
}

double fnx_proc_field(const char *text, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		char *end;
		double value;

		if (*line == '\n')
			line++;
		if (strncmp(line, name, size) || line[size] != ':')
			continue;
		value = strtod(line + size + 1, &end);
		return end == line + size + 1 ? (double)NAN : value;
	}
	return NAN;
}

void fnx_proc_look(const char *root, int pid, int tid, struct fnx_proc *ret_proc)
{
	char dir[256], path[320], text[TEXT_SIZE];
	unsigned long long ran_ns, queued_ns;

	*ret_proc = (struct fnx_proc){.cpu_s = NAN, .queued_s = NAN, .wakes = NAN};
	if (tid)
		snprintf(dir, sizeof(dir), "%s/%d/task/%d", root, pid, tid);
	else
		snprintf(dir, sizeof(dir), "%s/%d", root, pid);
	snprintf(path, sizeof(path), "%s/stat", dir);
	if (!fnx_file_text(path, text, sizeof(text)))
		ret_proc->cpu_s = fnx_proc_stat_cpu(text, (double)sysconf(_SC_CLK_TCK));
	snprintf(path, sizeof(path), "%s/status", dir);
	if (!fnx_file_text(path, text, sizeof(text)))
		ret_proc->wakes = fnx_proc_field(text, "voluntary_ctxt_switches");
	/* Of the thread named, or the process's first one: finer than ticks. */
	snprintf(path, sizeof(path), "%s/schedstat", dir);
	if (!fnx_file_text(path, text, sizeof(text)) &&
		sscanf(text, "%llu %llu", &ran_ns, &queued_ns) == 2) {
		ret_proc->queued_s = (double)queued_ns / 1e9;
		if (tid)
			ret_proc->cpu_s = (double)ran_ns / 1e9;
	}
}
