/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child that does a job one instruction at a time, in memory that it shares with the test, which
 * may look at what is there after each, and kill it:
 *
 *	pid_t child = stepping_begin(job, work);
 *
 *	while (stepping_step(child))
 *		look(work);
 *	stepping_end(child);
 */
#pragma once

#include "tests/support/check.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of job(work) nothing is done yet. */
static pid_t stepping_begin(void (*job)(void *work), void *work)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(1);
		raise(SIGSTOP);
		job(work);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	return child;
}

/* false: the job is done. */
static bool stepping_step(pid_t child)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	/* Nothing else may stop it. */
	assert_true(WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP);
	return WSTOPSIG(status) == SIGTRAP;
}

static void stepping_end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
