/* SPDX-License-Identifier: BSD-3-Clause */
/* How many threads and descriptors this process has. */
#pragma once

#include <dirent.h>

#include "tests/support/check.h"

static inline unsigned proc_self_count(const char *path)
{
	DIR *directory = opendir(path);
	unsigned n = 0;

	assert_non_null(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n - 2; /* "." and ".." */
}

/* The one that reads them among them. */
static inline unsigned n_descriptors(void)
{
	return proc_self_count("/proc/self/fd");
}

/* Those of the program: what it runs in may have some of its own. */
static inline unsigned n_threads(void)
{
	return proc_self_count("/proc/self/task") - FNX_EMULATOR_THREADS;
}
