/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/nwb_probe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"

static char error[256];

static void write_to(void *data)
{
	*(int *)data = 1;
	fprintf(stderr, "not to be seen\n");
}

static void die_of(void *data)
{
	raise(*(int *)data);
}

static void leave(void *data)
{
	_exit(*(int *)data);
}

TEST(work_that_lives_changes_nothing_here)
{
	int changed = 0;

	assert_int_equal(fnx_nwb_probe("a.nwb", write_to, &changed, error, sizeof(error)), 0);
	assert_int_equal(changed, 0);
}

TEST(work_that_crashes_is_a_damaged_file)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		int number = signals[i];

		assert_int_equal(
			fnx_nwb_probe("a.nwb", die_of, &number, error, sizeof(error)), -EBADMSG);
		assert_string_equal(error,
			"a.nwb: expected a whole NWB file, found a damaged one on "
			"which the HDF5 library crashes");
	}
}

TEST(work_that_leaves_by_itself_counts_as_crashed_whatever_its_status)
{
	for (int status = 0; status < 2; status++)
		assert_int_equal(
			fnx_nwb_probe("a.nwb", leave, &status, error, sizeof(error)), -EBADMSG);
}

TEST(work_that_uses_up_its_processor_time_never_ends)
{
	int number = SIGXCPU;

	assert_int_equal(fnx_nwb_probe("a.nwb", die_of, &number, error, sizeof(error)), -EBADMSG);
	assert_non_null(strstr(error, "never ends"));
}

TEST(work_that_someone_stops_says_nothing_about_the_file)
{
	int number = SIGTERM;

	assert_int_equal(fnx_nwb_probe("a.nwb", die_of, &number, error, sizeof(error)), -EINTR);
	assert_string_equal(error, "a.nwb: reading was interrupted by signal 15");
}
