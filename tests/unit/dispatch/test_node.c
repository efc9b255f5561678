/* SPDX-License-Identifier: BSD-3-Clause */
/* What the node decides and does. What may keep it from acting: test_armed.c. */
#include "nodes/dispatch/dispatch.h"
#include "tests/unit/dispatch/dispatch_fixture.h"

TEST(a_replay_is_decided_done_and_told)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	char line[600] = "", expected[100];
	FILE *file;

	begin(ARMED "  rules:\n" REPLAY_RULE("replay left"));
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	send_posterior(0.75, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(frame.stamp.sample_time, now_samples);
	assert_int_equal(frame.stamp.ingress_ns, 5);
	assert_int_equal(decision.cause_seq, 1);
	assert_int_equal(decision.cause_publish_ns, 4711);
	assert_true(
		decision.target_mass == 0.75 && decision.other_mass == 0.25 && decision.speed == 1);
	assert_int_equal(decision.arm, 1);
	assert_int_equal(decision.position_bin, 1);
	assert_int_equal(decision.rule, 0);
	assert_int_equal(decision.task, 17);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.n_groups, 2);
	assert_string_equal(decision.rule_name, "replay left");
	snprintf(expected, sizeof(expected),
		"sample_time=%lld rule=\"replay left\" task=17 outcome=0 ", (long long)now_samples);
	end(); /* carries out what was given */
	file = fopen(log_path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_memory_equal(line, expected, strlen(expected));
	assert_null(fgets(line, sizeof(line), file));
	fclose(file);
}

TEST(a_rule_that_stays_true_acts_once_per_lock_out)
{
	int n_acted = 0;

	begin(ARMED "  rules:\n" REPLAY_RULE("r")); /* 50 ms: 1500 samples, a bin is 180 */
	for (int i = 0; i < 1 + 9 * 4; i++) {
		int what;

		send_posterior(0.75, 1);
		what = outcome();
		assert_true(what == -1 || what == FNX_DECISION_ACTED);
		n_acted += what == FNX_DECISION_ACTED;
	}
	assert_int_equal(n_acted, 4);
	end();
}

TEST(disarmed_it_decides_and_nothing_reaches_the_actuator)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	FILE *file;

	begin(LIMITS "  rules:\n" REPLAY_RULE("r"));
	for (int edge = 0; edge < 3; edge++) {
		for (int i = 0; i < 5; i++)
			send_posterior(0.75, 1);
		assert_int_equal(next_decision(&decision, &frame), 1);
		assert_int_equal(decision.outcome, FNX_DECISION_DISARMED);
		assert_int_equal(next_decision(&decision, &frame), 0);
		send_posterior(0, 1);
		send_posterior(0, 1);
	}
	end();
	file = fopen(log_path, "r");
	assert_non_null(file);
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
}

TEST(it_is_armed_and_disarmed_while_it_runs)
{
	begin(LIMITS "  rules:\n" REPLAY_RULE("r"));
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_DISARMED);
	set("armed", 0.99); /* not wholly */
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	set("armed", 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	set("dry_run", 0.01);
	now_samples += 30000;
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_DRY_RUN);
	end();
}

TEST(settings_of_a_rule_change_while_it_runs)
{
	begin(ARMED "  rules:\n" REPLAY_RULE("replay left"));
	set("replay_left.threshold", 0.9);
	for (int i = 0; i < 4; i++)
		send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	set("replay_left.min_groups", 3);
	set("replay_left.threshold", 0.5);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	set("replay_left.min_groups", 2);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(the_place_of_the_animal_lets_a_replay_through_or_not)
{
	begin(ARMED "  rules:\n"
		    "    - {name: r, type: replay, arm: 1, threshold: 0.5, other_arms_below: 0.3, "
		    "window_bins: 1, task: 1, max_centre_distance_cm: 10}\n");
	send_posterior(0.75, 3); /* 15 cm from bin 0 */
	send_posterior(0.75, -1);
	send_posterior(0.75, 6); /* a gap */
	send_posterior(0.75, 99); /* nowhere */
	assert_int_equal(outcome(), -1);
	send_posterior(0.75, 2);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_ripple_rule_counts_electrodes_and_notes_the_place)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin(ARMED "  rules:\n"
		    "    - {name: r, type: ripple, min_electrodes: 2, window_ms: 15, "
		    "max_speed_cm_s: 4, task: 3}\n");
	send_position(7);
	send_ripple(0, FNX_RIPPLE_STANDARD, 1);
	send_ripple(1, FNX_RIPPLE_CONDITIONING, 1);
	send_ripple(FNX_RIPPLE_CONSENSUS, FNX_RIPPLE_STANDARD, 1);
	now_samples += 449;
	send_ripple(1, FNX_RIPPLE_STANDARD, 4);
	assert_int_equal(outcome(), -1);
	now_samples++; /* else it comes after its turn */
	send_ripple(2, FNX_RIPPLE_STANDARD, 1.5);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.n_groups, 3);
	assert_int_equal(decision.position_bin, 7);
	assert_int_equal(decision.arm, -1);
	assert_int_equal(decision.task, 3);
	assert_true(decision.speed == 1.5);
	end();
}

TEST(two_rules_true_at_once_share_the_lock_out)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin(ARMED "  rules:\n" REPLAY_RULE("a") REPLAY_RULE("b"));
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.rule, 0);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_LOCKED_OUT);
	assert_int_equal(decision.rule, 1);
	assert_int_equal(next_decision(&decision, &frame), 0);
	end();
}

TEST(no_frame_takes_memory)
{
	_Atomic uint64_t n_allocations = 0;

	begin(ARMED "  rules:\n" REPLAY_RULE("a") REPLAY_RULE(
		"b") "    - {name: c, type: ripple, min_electrodes: 1, window_ms: 15, task: 3}\n");
	for (int i = 0; i < 2000; i++) {
		struct fnx_decision decision;
		struct fnx_frame frame;

		/* The first frames make publishers and readers known to each other. */
		if (i == 8)
			fnx_heap_watch(&n_allocations);
		send_position(i % N_BINS);
		send_ripple(i % 4, FNX_RIPPLE_STANDARD, 1);
		send_posterior(i % 7 ? 0.75 : 0, 1);
		while (next_decision(&decision, &frame))
			;
	}
	fnx_heap_watch(NULL);
	assert_int_equal(n_allocations, 0);
	end();
}

TEST(a_task_that_finds_the_actuator_stuck_is_told_as_failed_and_counts)
{
	char bytes[4096];
	int n_acted = 0, n_failed = 0;

	log_is_fifo = 1;
	begin("  armed: true\n  lockout_ms: 0\n  max_rate_per_min: 1e6\n  max_age_ms: 0\n"
	      "  stall_ms: 0\n  rules:\n"
	      "    - {name: r, type: replay, arm: 1, threshold: 0.5, other_arms_below: 0.3, "
	      "window_bins: 1, task: 1, lockout_ms: 10}\n");
	while (n_failed < 20) {
		int what;

		send_posterior(0.75, 1);
		what = outcome();
		/* One per lock-out, failed or not: 10 ms are two bins of 6 ms. */
		assert_true(what == FNX_DECISION_ACTED || what == FNX_DECISION_ACTUATOR_FAILED);
		n_acted += what == FNX_DECISION_ACTED;
		n_failed += what == FNX_DECISION_ACTUATOR_FAILED;
		send_posterior(0.75, 1);
		assert_int_equal(outcome(), -1);
	}
	assert_true(n_acted >= 64);
	/* Given back its reader, it carries out what it took. */
	fcntl(fifo, F_SETFL, 0);
	fcntl(fifo, F_SETPIPE_SZ, 1 << 20);
	assert_true(read(fifo, bytes, sizeof(bytes)) > 0);
	end();
	close(fifo);
	log_is_fifo = 0;
}

TEST(the_place_off_the_track_is_no_place)
{
	struct fnx_decision decision;
	struct fnx_position *message;
	struct fnx_frame frame;
	void *payload;

	begin(ARMED "  rules:\n    - {name: r, type: ripple, consensus: true, task: 3}\n");
	assert_int_equal(fnx_publisher_loan(position, 0, &payload), 0);
	message = payload;
	*message = (struct fnx_position){.bin = 4, .flags = FNX_POSITION_TRACKED};
	send(position, sizeof(*message));
	send_ripple(FNX_RIPPLE_CONSENSUS, FNX_RIPPLE_STANDARD, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.position_bin, -1);
	assert_int_equal(decision.n_groups, 0);
	end();
}

static struct dispatch *dispatch_of(void)
{
	return node.self;
}

TEST(a_gap_in_the_posterior_begins_the_window_anew)
{
	const struct fnx_gap gap = {.from = 1, .to = 2, .reason = FNX_GAP_LAPPED};

	begin(ARMED "  rules:\n" REPLAY_RULE("r") RIPPLE_RULE);
	send_posterior(0.75, 1);
	node.ops->gap(node.self, (unsigned)dispatch_of()->posterior_input, &gap);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	node.ops->gap(node.self, (unsigned)dispatch_of()->position_input, &gap); /* no matter */
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_rule_on_posteriors_waits_for_no_ripple_and_no_position)
{
	positions_lag = ripples_lag = 1;
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
	positions_lag = ripples_lag = 0;
}

TEST(a_rule_on_ripples_does_not_wait_for_the_end_of_a_time_bin)
{
	posteriors_lag = 1;
	begin(ARMED "  rules:\n" RIPPLE_RULE);
	send_ripple(FNX_RIPPLE_CONSENSUS, FNX_RIPPLE_STANDARD, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
	posteriors_lag = 0;
}

/* What a rule looks at comes in order, or a decision would hang on who was faster. */
TEST(where_some_rule_looks_at_ripples_posteriors_wait_for_them)
{
	ripples_lag = 1;
	begin(ARMED "  rules:\n" REPLAY_RULE("r") RIPPLE_RULE);
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	ripples_lag = 0;
	drive();
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_broken_posterior_makes_nothing_true)
{
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	send_posterior(0.75, 1);
	send_posterior((double)NAN, 1);
	send_posterior(0.75, 1);
	send_posterior(-3, 1);
	send_posterior(7, 1);
	assert_int_equal(outcome(), -1);
	end();
}

TEST(a_restarted_node_does_nothing_for_a_minute)
{
	const char *missing;

	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	fnx_node_close(&node);
	/* The same again, by a node that is told that it took over. */
	assert_int_equal(fnx_node_open(&node, &fnx_dispatch_ops, rig, "dispatch"), 0);
	node.restarted = node.had_begun = 1;
	assert_int_equal(fnx_node_subscribe(&node, &missing), 1);
	assert_int_equal(node.ops->start(node.self), 0);
	fnx_subscriber_close(decisions);
	assert_int_equal(fnx_subscriber_open(&node.bus,
				 &(struct fnx_subscriber_config){.topic = "decision",
					 .node = "tester",
					 .policy = FNX_LOSSLESS,
					 .start = FNX_START_OLDEST,
					 .bell = FNX_BELL_FORM_PIPE},
				 &decisions),
		0);
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_LOCKED_OUT);
	now_samples += 300;
	send_posterior(0, 1);
	send_posterior(0, 1);
	now_samples += 30000;
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_RATE_LIMITED);
	now_samples += 60 * 30000;
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_rule_that_cannot_work_is_refused_by_number_name_and_key)
{
	expect_refusal(LIMITS "  rules:\n" REPLAY_RULE("a b") REPLAY_RULE("a-b"),
		"dispatch.rules[1] (a-b): name: rule 0 has it already");
	expect_refusal(LIMITS "  rules:\n"
			      "    - {name: x y, type: replay, task: 1, arm: 1, threshold: 0.5, "
			      "other_arms_below: 0.2, window_bins: 1, min_groups: 11}\n",
		"dispatch.rules[0] (x y): min_groups: 1 time bins of a posterior name 10 groups");
}

TEST(thirty_two_rules_have_their_first_settings_at_least)
{
	char text[8192] = ARMED "  rules:\n";

	for (int i = 0; i < 32; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"    - {name: rule %d, type: replay, arm: %d, threshold: 0.5, "
			"other_arms_below: 0.3, "
			"window_bins: %d, task: %d}\n",
			i, 1 + i % 2, 1 + i, i);
	begin(text);
	assert_int_equal(node.n_params, FNX_NODE_PARAMS_MAX);
	set("rule_31.threshold", 0.25);
	end();
}
