/* SPDX-License-Identifier: BSD-3-Clause */
/* A rig file of the test's own, and what was said of it. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "nodes/host/rig.h"
#include "tests/support/check.h"

static char error[FNX_RIG_ERROR_MAX];

static const char *scratch_path(void)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/rig.yaml", check_scratch_dir());
	return path;
}

static const char *write_rig(const char *text, size_t size)
{
	FILE *file = fopen(scratch_path(), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	fclose(file);
	return scratch_path();
}
