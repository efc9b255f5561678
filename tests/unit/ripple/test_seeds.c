/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/seeds.h"

#include "tests/support/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *write_file(const char *text)
{
	static char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/seeds.txt", check_scratch_dir());
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return path;
}

TEST(a_line_is_a_mean_and_a_deviation)
{
	const char *path = write_file("# of last week\n12.5 3\n\n  -1e1\t0.25 # consensus\n");
	char error[FNX_SEEDS_ERROR_MAX];
	double mean[2], deviation[2];

	assert_int_equal(fnx_seeds_read(path, 2, mean, deviation, error), 0);
	assert_true(mean[0] == 12.5 && deviation[0] == 3 && mean[1] == -10 && deviation[1] == 0.25);
}

TEST(anything_else_is_told_with_its_line)
{
	static const char *const texts[] = {"1 2\n3\n", "1 2\n1 2 3\n", "1 2\nx 2\n", "1 2\n1 -2\n",
		"1 2\nnan 1\n", "1 2\n1 inf\n"};
	char error[FNX_SEEDS_ERROR_MAX];
	double mean[2], deviation[2];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *path = write_file(texts[i]);

		assert_int_equal(fnx_seeds_read(path, 2, mean, deviation, error), -EINVAL);
		assert_non_null(strstr(error, "seeds.txt:2: expected"));
	}
}

TEST(too_few_or_too_many_lines_are_told)
{
	char error[FNX_SEEDS_ERROR_MAX];
	double mean[2], deviation[2];

	assert_int_equal(fnx_seeds_read(write_file("1 2\n"), 2, mean, deviation, error), -EINVAL);
	assert_non_null(strstr(error, "expected 2 lines of numbers, found 1"));
	assert_int_equal(
		fnx_seeds_read(write_file("1 2\n1 2\n1 2\n"), 2, mean, deviation, error), -EINVAL);
	assert_non_null(strstr(error, "found 3"));
	assert_int_equal(fnx_seeds_read("/nowhere", 2, mean, deviation, error), -ENOENT);
}
