/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/echo.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/proc_self.h"

TEST(what_is_sent_is_back_when_the_call_returns)
{
	unsigned before = n_descriptors();
	struct fnx_echo *echo;

	assert_int_equal(fnx_echo_open(&echo), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(fnx_echo_call(echo), 1);
	fnx_echo_close(echo);
	assert_int_equal(n_descriptors(), before);
}

/* The lowest descriptor that is free is the next. */
TEST(with_too_few_descriptors_there_is_no_echo_and_nothing_is_left_open)
{
	unsigned before = n_descriptors();
	struct fnx_echo *echo = NULL;
	struct rlimit limit, few;
	int next = dup(0);

	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (rlim_t n = 0; n < 2; n++) {
		few = limit;
		few.rlim_cur = (rlim_t)next + n;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		assert_int_equal(fnx_echo_open(&echo), -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_null(echo);
		assert_int_equal(n_descriptors(), before);
	}
	assert_null(fnx_echo_close(NULL));
}
