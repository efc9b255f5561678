/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/kernel_reference.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int bench_reference_open(struct bench_reference *reference, const char *directory)
{
	int to[2], from[2];

	if (pipe(to) || pipe(from))
		return -errno;
	reference->pid = fork();
	if (reference->pid < 0)
		return -errno;
	if (reference->pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(to[1]);
		close(from[0]);
		execl("/usr/bin/python3", "python3", FNX_SOURCE_DIR "/tests/bench/reference.py",
			directory, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	reference->questions = fdopen(to[1], "w");
	reference->answers = fdopen(from[0], "r");
	return reference->questions && reference->answers ? 0 : -ENOMEM;
}

void bench_reference_close(struct bench_reference *reference)
{
	fclose(reference->questions);
	fclose(reference->answers);
	waitpid(reference->pid, NULL, 0);
}

static int numbers(struct bench_reference *reference, double *ret_values, size_t max)
{
	char *line = NULL, *at, *end;
	size_t size = 0, n = 0;

	if (fflush(reference->questions) || getline(&line, &size, reference->answers) <= 0) {
		free(line);
		return -EIO;
	}
	for (at = line; n < max; at = end) {
		const double value = strtod(at, &end);

		if (end == at)
			break;
		ret_values[n++] = value;
	}
	free(line);
	return n > 0 ? (int)n : -EIO;
}

int bench_reference_check(
	struct bench_reference *reference, const char *name, double *ret_values, size_t max)
{
	fprintf(reference->questions, "check %s\n", name);
	return numbers(reference, ret_values, max);
}

int bench_reference_time(
	struct bench_reference *reference, const char *name, unsigned n_calls, double *ret_ns)
{
	int r;

	fprintf(reference->questions, "time %s %u\n", name, n_calls);
	r = numbers(reference, ret_ns, 1);
	return r < 0 ? r : 0;
}
