/* SPDX-License-Identifier: BSD-3-Clause */
/* reference.py as a child process that answers questions. One thread. */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct bench_reference {
	pid_t pid;
	FILE *questions, *answers;
};

/* Starts reference.py on the cases' directory. Negative errno; where NumPy is missing it is the
 * first question that fails. */
int bench_reference_open(struct bench_reference *reference, const char *directory);
void bench_reference_close(struct bench_reference *reference);

/* One call from the beginning: writes up to `max` numbers, returns how many. -EIO. */
int bench_reference_check(
	struct bench_reference *reference, const char *name, double *ret_values, size_t max);

/* Median time of `n_calls`, ns. -EIO. */
int bench_reference_time(
	struct bench_reference *reference, const char *name, unsigned n_calls, double *ret_ns);
