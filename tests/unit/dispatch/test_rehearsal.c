/* SPDX-License-Identifier: BSD-3-Clause */
/* A node that spins rehearses while nothing comes: nothing of that is ever seen. */
#include "nodes/dispatch/dispatch.h"

#include <sched.h>

#include "tests/unit/dispatch/dispatch_fixture.h"

static struct dispatch *dispatch_of(void)
{
	return node.self;
}

static struct fnx_book *book(void)
{
	return fnx_actuator_giver(fnx_team_actuator(dispatch_of()->team, 0))->book;
}

static struct fnx_task_stats stats_of(struct fnx_team *team)
{
	struct fnx_task_stats stats;

	fnx_task_stats(fnx_team_runtime(team), &stats);
	return stats;
}

/* The tasks of the twin's team: three for each rehearsal that comes to an act. */
static uint64_t n_rehearsed(void)
{
	return stats_of(dispatch_of()->twin->team).n_submitted;
}

static uint64_t n_nowhere(void)
{
	return fnx_actuator_counts(fnx_team_actuator(dispatch_of()->twin->team, 0))
		.fates[FNX_OUTCOME_TOLD];
}

/* Until there have been `n` tasks more. */
static void idle(uint64_t n)
{
	uint64_t until = n_rehearsed() + n;
	int64_t deadline_ns = fnx_node_now() + CHECK_PATIENCE_NS;

	while (n_rehearsed() < until) {
		assert_true(fnx_node_now() < deadline_ns);
		node.ops->idle(node.self);
	}
}

static void await_told(uint64_t n)
{
	int64_t deadline_ns = fnx_node_now() + CHECK_PATIENCE_NS;

	while (book()->fates[FNX_OUTCOME_TOLD] < n || !fnx_book_is_idle(book())) {
		assert_true(fnx_node_now() < deadline_ns);
		sched_yield();
	}
}

static uint64_t n_lines(void)
{
	FILE *file = fopen(log_path, "r");
	uint64_t n = 0;
	int c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

/* Each decision may be the last one that is allowed: a rehearsal that counted would be seen. */
TEST(rehearsals_are_no_tasks_done_and_no_decisions)
{
	enum {
		N = 50
	};
	struct fnx_decision decision;
	struct fnx_frame frame;

	rig_end = "nodes: [{name: dispatch, wait: spin}]\n";
	begin("  armed: true\n  lockout_ms: 10\n  max_rate_per_min: 600\n  max_age_ms: 0\n"
	      "  stall_ms: 0\n  blanking_ms: 0\n  max_per_run: 50\n  rules:\n" REPLAY_RULE("r"));
	for (uint64_t i = 0; i < N; i++) {
		idle(60);
		assert_int_equal(next_decision(&decision, &frame), 0);
		assert_true(book()->given == i);
		send_posterior(0.75, 1);
		idle(30);
		send_posterior(0.75, 1);
		assert_int_equal(next_decision(&decision, &frame), 1);
		assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
		assert_int_equal(decision.verdict, FNX_DECISION_ACTED);
		assert_true(frame.seq == i);
		await_told(i + 1);
		send_posterior(0, 1);
		now_samples += 30000;
	}
	assert_true(n_lines() == N);
	idle(30);
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_RUN_LIMITED);
	end();
	rig_end = "";
}

/* A successor would take it for what its predecessor did. */
TEST(the_state_that_a_successor_finds_knows_of_no_rehearsal)
{
	struct fnx_journal *journal;
	unsigned char *before;
	uint64_t overflows;

	rig_end = "nodes: [{name: dispatch, wait: spin}]\n";
	begin(ARMED "  rules:\n" REPLAY_RULE("r") RIPPLE_RULE
		"    - {name: t, type: combination, all_of: [r, s], window_ms: 50, task: 4}\n");
	send_posterior(0.75, 1);
	journal = fnx_node_journal(&node);
	overflows = fnx_journal_overflows(journal);
	before = malloc(journal->size);
	assert_non_null(before);
	memcpy(before, journal->memory, journal->size);
	idle(100);
	assert_memory_equal(journal->memory, before, journal->size);
	assert_true(fnx_journal_overflows(journal) == overflows);
	assert_true(atomic_load(&journal->log->used) == 0);
	free(before);
	end();
	rig_end = "";
}

/* All of them are gone through: masses, window, books, tasks, which are none of the team's. */
TEST(the_twin_comes_to_an_act_in_each_rehearsal)
{
	uint64_t n, told, submitted;

	rig_end = "nodes: [{name: dispatch, wait: spin}]\n";
	begin("  armed: false\n" LIMITS "  rules:\n" REPLAY_RULE("r"));
	idle(30); /* until its window is full */
	n = n_rehearsed();
	told = n_nowhere();
	submitted = stats_of(dispatch_of()->team).n_submitted;
	for (unsigned i = 0; i < 100; i++) {
		dispatch_of()->rehearsed_until_ns = 0;
		node.ops->idle(node.self);
		assert_int_equal(dispatch_of()->twin->firing.verdict, FNX_DECISION_ACTED);
		assert_ptr_not_equal(dispatch_of()->twin->firing.decision, NULL);
	}
	assert_true(stats_of(dispatch_of()->team).n_submitted == submitted);
	assert_true(n_rehearsed() == n + 300);
	assert_true(n_nowhere() == told + 100);
	end();
	rig_end = "";
}

/* In the ring behind the act they would fill it, and who is at it would be given up. */
TEST(rehearsals_go_on_while_an_actuator_hangs_and_leave_its_ring_alone)
{
	char bytes[4096] = "";
	uint64_t n, submitted;

	rig_end = "nodes: [{name: dispatch, wait: spin}]\n";
	log_is_fifo = 1;
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	log_is_fifo = 0;
	while (write(fifo, bytes, sizeof(bytes)) > 0)
		;
	idle(3);
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	n = n_rehearsed();
	submitted = stats_of(dispatch_of()->team).n_submitted;
	for (unsigned i = 0; i < 1000; i++) {
		dispatch_of()->rehearsed_until_ns = 0;
		node.ops->idle(node.self);
		assert_int_equal(dispatch_of()->twin->firing.verdict, FNX_DECISION_ACTED);
	}
	assert_true(n_rehearsed() == n + 3000);
	assert_true(stats_of(dispatch_of()->team).n_submitted == submitted);
	assert_false(fnx_book_is_idle(book()));
	while (read(fifo, bytes, sizeof(bytes)) > 0)
		;
	await_told(1);
	idle(3);
	end();
	close(fifo);
	rig_end = "";
}

/* Live, an ordinary loan would make room at the expense of the reader that lags. */
TEST(rehearsals_over_a_full_pool_cost_its_reader_no_frame)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	uint64_t n;

	rig_end = "nodes: [{name: dispatch, wait: spin}]\n";
	bus_end = ", live: true";
	begin("  armed: false\n" LIMITS "  rules:\n" REPLAY_RULE("r"));
	for (unsigned i = 0; i < 64; i++) {
		idle(3);
		send_posterior(0.75, 1);
		send_posterior(0.75, 1);
		send_posterior(0, 1);
		now_samples += 30000;
	}
	n = n_nowhere();
	idle(300);
	assert_true(n_nowhere() == n); /* there is no slot to act with */
	for (uint64_t i = 0; i < 64; i++) {
		assert_int_equal(next_decision(&decision, &frame), 1);
		assert_true(frame.seq == i);
	}
	assert_int_equal(next_decision(&decision, &frame), 0);
	end();
	rig_end = bus_end = "";
}

TEST(who_sleeps_does_not_rehearse)
{
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	assert_ptr_equal(dispatch_of()->twin, NULL);
	end();
}
