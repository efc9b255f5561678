/* SPDX-License-Identifier: BSD-3-Clause */
/* A team is closed while one of its threads hangs. Alone in its program: threads are counted. */
#include "nodes/dispatch/team.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/proc_self.h"
#include "tests/unit/dispatch/team_fixture.h"

static void check_book(struct fnx_book *book)
{
	assert_int_equal(atomic_load(&book->acts[0].state), FNX_ACT_ENDED + FNX_OUTCOME_UNKNOWN);
	assert_true(atomic_load(&book->acts[0].told_ns) == 0);
	for (unsigned i = 1; i < 3; i++)
		assert_int_equal(
			atomic_load(&book->acts[i].state), FNX_ACT_ENDED + FNX_OUTCOME_EXPIRED);
	assert_true(atomic_load(&book->ended) == 3);
}

/* A session that is over ends, whatever hangs. */
TEST(a_team_closes_though_an_actuator_never_returns_and_its_book_says_what_is_not_known)
{
	struct fnx_act_command command = {.decision = {.outcome = FNX_DECISION_ACTED}};
	static _Alignas(FNX_CACHE_LINE) struct fnx_book book;
	char path[300], bytes[4096] = "";
	const struct fnx_actuator_config actuator = {
		.type = FNX_ACTUATOR_TYPE_LOG, .file = path, .book = &book};
	struct fnx_team *team;
	int64_t until = end_of_patience();
	unsigned before;
	int fifo;

	snprintf(path, sizeof(path), "%s/never", check_scratch_dir());
	assert_int_equal(mkfifo(path, 0600), 0);
	fifo = open(path, O_RDWR | O_NONBLOCK);
	assert_true(fifo >= 0);
	team = open_team(&actuator);
	before = n_threads() - 1;
	while (write(fifo, bytes, sizeof(bytes)) > 0)
		;
	for (; command.stamp.seq < 3; command.stamp.seq++) {
		fnx_team_decide(team, &command, sizeof(command));
		assert_int_equal(fnx_team_give(team, &command), 0);
	}
	while (atomic_load(&book.acts[0].state) != FNX_ACT_BEGUN) {
		assert_true(now_ns() < until);
		sched_yield();
	}
	fnx_team_close(team);
	assert_int_equal(n_threads(), before + 1);
	check_book(&book);
	while (read(fifo, bytes, sizeof(bytes)) > 0)
		;
	while (n_threads() > before) {
		assert_true(now_ns() < until);
		sched_yield();
	}
	/* It has returned, and what it came back with counts no more. */
	check_book(&book);
	close(fifo);
}
