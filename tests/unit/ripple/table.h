/* SPDX-License-Identifier: BSD-3-Clause */
/* Text files of numbers in tests/data/ripple, read one number at a time. */
#pragma once

#include <stdio.h>

#include "tests/support/check.h"

static inline FILE *table_open(const char *name)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/data/ripple/%s", FNX_SOURCE_DIR, name);
	file = fopen(path, "re");
	assert_non_null(file);
	return file;
}

/* 0 at the end of the file. */
static inline int table_more(FILE *file)
{
	int c;

	while ((c = fgetc(file)) == '\n' || c == ' ')
		;
	return c != EOF && ungetc(c, file) == c;
}

static inline double table_next(FILE *file)
{
	double value;

	assert_int_equal(fscanf(file, "%lf", &value), 1);
	return value;
}
