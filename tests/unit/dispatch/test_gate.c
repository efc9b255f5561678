/* SPDX-License-Identifier: BSD-3-Clause */
/* One test for each sentence at the head of gate.h. The clock is the test's own. */
#include "nodes/dispatch/gate.h"

#include "schemas/decision.h"
#include "tests/support/check.h"

#define MS INT64_C(1000000)

enum {
	STEP = 180, /* samples, 6 ms */
	STALE = FNX_DECISION_STALE,
	FLAGGED = FNX_DECISION_FLAGGED,
	STALLED = FNX_DECISION_STALLED,
	OPEN = 0,
};

static struct fnx_gate gate;
static int64_t sample, now_ns, age_ns;

static void begin(double speed)
{
	const struct fnx_gate_config config = {
		.ns_per_sample = speed > 0 ? 1e9 / (30000 * speed) : 0,
		.max_age_ns = 100 * MS,
		.stall_ns = 200 * MS,
		.blanking_samples = 3000, /* 100 ms */
	};

	fnx_gate_init(&gate, &config);
	sample = 123456;
	now_ns = 77 * 1000 * MS;
}

/* The session goes on for so many steps, at its pace. */
static void run(int n_steps)
{
	while (n_steps--) {
		sample += STEP;
		now_ns += 6 * MS;
		fnx_gate_pass(&gate, sample, now_ns);
	}
}

/* About a frame of just now that came in `age` ago. */
static int ask(int64_t age)
{
	return fnx_gate_ask(&gate, sample, now_ns - age, now_ns, &age_ns);
}

TEST(it_is_open_to_fresh_data_of_a_steady_source)
{
	begin(1);
	run(200);
	for (int i = 0; i < 1000; i++) {
		run(1);
		assert_int_equal(ask(2 * MS), OPEN);
		assert_true(age_ns >= 2 * MS && age_ns < 3 * MS);
	}
}

TEST(it_is_closed_until_the_source_has_kept_its_pace_for_a_second)
{
	begin(1);
	for (int i = 0; i < 165; i++) {
		run(1);
		assert_int_equal(ask(0), STALLED);
	}
	run(5);
	assert_int_equal(ask(0), OPEN);
}

TEST(data_older_than_the_limit_is_stale)
{
	begin(1);
	run(200);
	assert_int_equal(ask(100 * MS), OPEN);
	assert_int_equal(ask(100 * MS + 1), STALE);
	assert_int_equal(age_ns, 100 * MS + 1);
}

TEST(data_that_does_not_say_when_it_came_is_stale)
{
	begin(1);
	run(200);
	assert_int_equal(fnx_gate_ask(&gate, sample, 0, now_ns, &age_ns), STALE);
}

TEST(after_it_was_stopped_itself_it_is_closed_to_what_waited_meanwhile)
{
	begin(1);
	run(200);
	now_ns += 3000 * MS; /* the process slept; the frames came in at their time */
	for (int i = 0; i < 400; i++) {
		sample += STEP;
		now_ns += MS / 100;
		fnx_gate_pass(&gate, sample, now_ns);
		assert_int_not_equal(fnx_gate_ask(&gate, sample, now_ns - 3000 * MS + i * 6 * MS,
					     now_ns, &age_ns),
			OPEN);
	}
}

TEST(a_source_that_makes_up_for_a_stop_is_stale_though_each_frame_has_just_come)
{
	int n_steps = 0, n_stale = 0, said;

	begin(1);
	run(200);
	now_ns += 3000 * MS;
	do {
		sample += STEP;
		now_ns += MS; /* six times its pace */
		fnx_gate_pass(&gate, sample, now_ns);
		said = ask(0);
		n_stale += said == STALE;
		n_steps++;
	} while (said != OPEN && n_steps < 10000);
	/* 3 s less the 100 ms that are allowed, at 5 ms a step. */
	assert_in_range(n_steps, 575, 600);
	assert_true(n_stale > 550);
}

TEST(a_source_that_stood_still_is_blanked_for_a_while)
{
	begin(1);
	run(200);
	now_ns += 199 * MS; /* 205 ms in all with the step; what it lost it makes up for at once */
	sample += 199 * 30;
	run(1);
	assert_int_equal(ask(0), STALLED);
	run(16);
	assert_int_equal(ask(0), STALLED);
	run(1); /* 100 ms */
	assert_int_equal(ask(0), OPEN);
}

TEST(a_flagged_frame_and_what_follows_it_soon_are_not_acted_upon)
{
	begin(1);
	run(200);
	fnx_gate_flag(&gate, sample);
	assert_int_equal(ask(0), FLAGGED);
	run(16);
	assert_int_equal(ask(0), FLAGGED);
	run(1);
	assert_int_equal(ask(0), OPEN);
}

TEST(without_a_pace_ages_mean_nothing_and_flags_count)
{
	begin(0);
	run(1);
	assert_int_equal(ask(0), OPEN);
	assert_int_equal(ask(3600 * 1000 * MS), OPEN);
	now_ns += 10000 * MS;
	run(1);
	assert_int_equal(ask(0), OPEN);
	fnx_gate_flag(&gate, sample);
	assert_int_equal(ask(0), FLAGGED);
}

TEST(at_twice_the_pace_it_is_measured_by_that)
{
	begin(2);
	run(400); /* at the single pace */
	assert_int_equal(ask(0), STALLED);
	for (int i = 0; i < 400; i++) {
		sample += 2 * STEP;
		now_ns += 6 * MS;
		fnx_gate_pass(&gate, sample, now_ns);
	}
	assert_int_equal(ask(0), OPEN);
}

TEST(clocks_that_drift_apart_do_not_close_it)
{
	begin(1);
	run(200);
	/* Two hours with an acquisition clock that is slow by 100 ppm. */
	for (int i = 0; i < 7200 * 1000 / 6; i++) {
		sample += STEP;
		now_ns += 6 * MS + 600;
		fnx_gate_pass(&gate, sample, now_ns);
		assert_int_equal(ask(MS), OPEN);
	}
}

TEST(a_source_on_a_later_schedule_stays_shut_out_until_somebody_arms_anew)
{
	begin(1);
	run(200);
	now_ns += 2000 * MS; /* restarted, and never makes up for it */
	for (int i = 0; i < 10000; i++) {
		run(1);
		assert_int_not_equal(ask(0), OPEN);
	}
	fnx_gate_anew(&gate);
	run(100);
	assert_int_equal(ask(0), STALLED);
	run(100);
	assert_int_equal(ask(0), OPEN);
}

TEST(time_that_jumps_back_begins_anew)
{
	begin(1);
	run(200);
	sample -= 60000;
	run(1);
	assert_int_equal(ask(0), STALLED);
	run(200);
	assert_int_equal(ask(0), OPEN);
}
