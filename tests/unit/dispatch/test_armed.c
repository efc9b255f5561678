/* SPDX-License-Identifier: BSD-3-Clause */
/* What keeps the node from acting: one test for each sentence of docs/stimulation.md. */
#include "tests/unit/dispatch/dispatch_fixture.h"

#include "bus/control.h"
#include "schemas/control.h"
#include "schemas/param.h"

/* Frames that bear real times. */
#define PACED "  lockout_ms: 10\n  max_rate_per_min: 600\n  stall_ms: 0\n  max_age_ms: 5000\n"
#define RULES "  rules:\n" REPLAY_RULE("r")

static struct fnx_subscriber *params;

static void listen_to_params(void)
{
	const struct fnx_subscriber_config config = {.topic = "dispatch.params",
		.node = "tester",
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE};

	assert_int_equal(fnx_subscriber_open(&node.bus, &config, &params), 0);
}

static int next_param(struct fnx_param *ret_param, struct fnx_frame *ret_frame)
{
	struct fnx_gap gap;

	if (fnx_subscriber_peek(params, ret_frame, &gap) != FNX_FRAME)
		return 0;
	memcpy(ret_param, ret_frame->payload, sizeof(*ret_param));
	fnx_subscriber_release(params);
	return 1;
}

static unsigned char reply[FNX_CONTROL_BODY_MAX];

/* Whether it was granted. */
static bool ask(const struct fnx_pair *pairs, size_t n, struct fnx_map *ret_reply)
{
	unsigned char body[1024];
	size_t size;
	bool ok;
	int stop;

	assert_int_equal(fnx_map_encode(pairs, n, body, sizeof(body), &size), 0);
	size = fnx_node_answer(&node, body, size, reply, sizeof(reply), &stop);
	assert_int_equal(fnx_map_decode(ret_reply, reply, size), 0);
	assert_int_equal(fnx_map_flag(ret_reply, "ok", &ok), 0);
	return ok;
}

static bool ask_to_set(const char *key, double value, const char *who, uint32_t check)
{
	const struct fnx_pair pairs[] = {fnx_pair_text("op", "set"), fnx_pair_text("key", key),
		fnx_pair_number("value", value), fnx_pair_text("who", who),
		fnx_pair_int("check", check)};
	struct fnx_map answer;

	return ask(pairs, 5, &answer);
}

static bool arm(void)
{
	return ask_to_set("armed", 1, "anna", fnx_control_check("armed", 1));
}

static double armed(void)
{
	const struct fnx_pair pairs[] = {fnx_pair_text("op", "get"), fnx_pair_text("key", "armed")};
	struct fnx_map answer;
	double value;

	assert_true(ask(pairs, 2, &answer));
	assert_int_equal(fnx_map_number(&answer, "value", &value), 0);
	return value;
}

static double say_alive(void)
{
	const struct fnx_pair pairs[] = {fnx_pair_text("op", "alive")};
	struct fnx_map answer;
	double lease_ms;

	assert_true(ask(pairs, 1, &answer));
	assert_int_equal(fnx_map_number(&answer, "lease_ms", &lease_ms), 0);
	return lease_ms;
}

/* One more replay, and what became of it. */
static int replay(struct fnx_decision *ret_decision)
{
	struct fnx_frame frame;

	now_samples += 30000;
	for (int i = 0; i < 2; i++) {
		sent_ingress_ns = fnx_node_now();
		send_posterior(0, 1);
	}
	for (int i = 0; i < 2; i++) {
		sent_ingress_ns = fnx_node_now();
		send_posterior(0.75, 1);
	}
	sent_ingress_ns = 5;
	assert_int_equal(next_decision(ret_decision, &frame), 1);
	return (int)ret_decision->outcome;
}

static int outcome_of_replay(void)
{
	struct fnx_decision decision;

	return replay(&decision);
}

static int lines_of_log(void)
{
	FILE *file = fopen(log_path, "r");
	int n = 0, c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

TEST(it_starts_disarmed)
{
	begin(PACED RULES);
	assert_true(armed() == 0);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_DISARMED);
	end();
	assert_int_equal(lines_of_log(), 0);
}

TEST(who_arms_and_disarms_it_and_when_is_on_record)
{
	struct fnx_frame frame;
	struct fnx_param param;

	begin(PACED RULES);
	listen_to_params();
	outcome_of_replay();
	assert_true(arm());
	assert_int_equal(next_param(&param, &frame), 1);
	assert_string_equal(param.name, "armed");
	assert_string_equal(param.who, "anna");
	assert_true(param.before == 0 && param.value == 1);
	assert_int_equal(frame.stamp.sample_time, now_samples);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	assert_true(ask_to_set("armed", 0, "ben", 0));
	assert_int_equal(next_param(&param, &frame), 1);
	assert_string_equal(param.who, "ben");
	assert_true(param.before == 1 && param.value == 0);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_DISARMED);
	fnx_subscriber_close(params);
	end();
	assert_int_equal(lines_of_log(), 1);
}

TEST(a_request_to_arm_says_so_twice_and_who_asks)
{
	begin(PACED RULES);
	assert_int_equal(fnx_control_check("armed", 1), 4025854800); /* zlib.crc32(b"armed=1") */
	assert_false(ask_to_set("armed", 1, "anna", 0));
	assert_false(ask_to_set("armed", 1, "anna", fnx_control_check("armed", 0)));
	assert_false(ask_to_set("armed", 1, "anna", fnx_control_check("dry_run", 1)));
	assert_false(ask_to_set("armed", 1, "", fnx_control_check("armed", 1)));
	assert_true(armed() == 0);
	assert_true(arm());
	assert_true(armed() == 1);
	end();
}

TEST(a_request_to_leave_a_dry_run_does_so_too)
{
	begin("  armed: true\n  dry_run: true\n" PACED RULES);
	assert_false(ask_to_set("dry_run", 0, "anna", 0));
	assert_int_equal(outcome_of_replay(), FNX_DECISION_DRY_RUN);
	assert_true(ask_to_set("dry_run", 0, "anna", fnx_control_check("dry_run", 0)));
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	assert_true(ask_to_set("dry_run", 1, "anna", 0));
	end();
}

/* Requests of all kinds but the one that arms, damaged in all kinds of ways. */
static size_t damaged_request(struct check_random *random, unsigned char *body, size_t size)
{
	const struct fnx_pair pairs[][5] = {
		{fnx_pair_text("op", "set"), fnx_pair_text("key", "armed"),
			fnx_pair_number("value", 0), fnx_pair_text("who", "anna"),
			fnx_pair_int("check", fnx_control_check("armed", 0))},
		{fnx_pair_text("op", "set"), fnx_pair_text("key", "armed"),
			fnx_pair_int("value", 0), fnx_pair_text("who", "anna"),
			fnx_pair_int("check", fnx_control_check("armed", 0))},
		{fnx_pair_text("op", "set"), fnx_pair_text("key", "dry_run"),
			fnx_pair_int("value", 1), fnx_pair_text("who", "anna"),
			fnx_pair_int("check", fnx_control_check("dry_run", 1))},
		{fnx_pair_text("op", "set"), fnx_pair_text("key", "r.threshold"),
			fnx_pair_number("value", 1), fnx_pair_text("who", "anna"),
			fnx_pair_int("check", fnx_control_check("r.threshold", 1))},
		{fnx_pair_text("op", "get"), fnx_pair_text("key", "armed"),
			fnx_pair_text("a", "alive"), fnx_pair_text("b", "armed"),
			fnx_pair_int("value", 1)},
		{fnx_pair_text("op", "alive"), fnx_pair_text("key", "armed"),
			fnx_pair_text("who", "anna"), fnx_pair_text("b", "armed"),
			fnx_pair_int("value", 1)},
	};
	uint64_t which = check_random_below(random, sizeof(pairs) / sizeof(pairs[0]) + 1);
	size_t length = check_random_below(random, size);

	if (which == sizeof(pairs) / sizeof(pairs[0])) {
		for (size_t i = 0; i < length; i++)
			body[i] = (unsigned char)check_random_u64(random);
		return length;
	}
	assert_int_equal(fnx_map_encode(pairs[which], 5, body, size, &length), 0);
	for (uint64_t i = check_random_below(random, 4); i; i--)
		body[check_random_below(random, length)] ^=
			(unsigned char)(1u << check_random_below(random, 8));
	for (uint64_t i = check_random_below(random, 3); i; i--)
		body[check_random_below(random, length)] = (unsigned char)check_random_u64(random);
	return check_random_below(random, 8) ? length : check_random_below(random, length);
}

TEST(no_damaged_request_ever_arms_it)
{
	struct check_random random = check_random_seeded();
	unsigned char body[256];
	int n_granted = 0, stop;
	bool ok;

	begin("  dry_run: true\n" PACED RULES);
	for (int i = 0; i < 200000; i++) {
		size_t size = damaged_request(&random, body, sizeof(body));
		struct fnx_map answer;

		size = fnx_node_answer(&node, body, size, reply, sizeof(reply), &stop);
		if (!fnx_map_decode(&answer, reply, size) && !fnx_map_flag(&answer, "ok", &ok))
			n_granted += ok;
		if (*node.params[0].value != 0 || *node.params[1].value != 1)
			fail_msg("request %d armed it", i);
	}
	/* Some came through undamaged, or as others than they were. */
	assert_true(n_granted > 1000);
	end();
}

TEST(with_a_lease_it_is_armed_only_as_long_as_somebody_says_so)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	struct fnx_param param;
	int64_t end_ns;

	begin("  lease_s: 1.5\n" PACED RULES);
	listen_to_params();
	assert_true(say_alive() == 0); /* that does not arm */
	assert_true(armed() == 0);
	assert_true(arm());
	assert_int_equal(next_param(&param, &frame), 1);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	assert_true(say_alive() == 1500);
	end_ns = fnx_node_now() + 1500000000;
	while (fnx_node_now() <= end_ns)
		assert_true(armed() == 1);
	assert_int_equal(replay(&decision), FNX_DECISION_UNATTENDED);
	assert_int_equal(decision.verdict, FNX_DECISION_ACTED);
	assert_true(say_alive() == 0); /* too late */
	node.ops->idle(node.self);
	assert_true(armed() == 0);
	assert_int_equal(next_param(&param, &frame), 1);
	assert_string_equal(param.who, "nobody: the lease ran out");
	assert_int_equal(outcome_of_replay(), FNX_DECISION_DISARMED);
	assert_true(arm());
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	fnx_subscriber_close(params);
	end();
	assert_int_equal(lines_of_log(), 2);
}

TEST(a_rig_with_a_lease_cannot_start_armed)
{
	expect_refusal("  armed: true\n  lease_s: 1\n" PACED RULES, "until somebody arms it");
}

TEST(nothing_is_done_about_old_data)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin("  armed: true\n" PACED RULES);
	for (int i = 0; i < 2; i++) {
		sent_ingress_ns = fnx_node_now() - 6000000000;
		send_posterior(0.75, 1);
	}
	sent_ingress_ns = 5;
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_STALE);
	assert_int_equal(decision.verdict, FNX_DECISION_ACTED);
	assert_true(decision.age_ns >= 6000000000 && decision.latency_ns >= 6000000000);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	end();
	assert_int_equal(lines_of_log(), 1);
}

TEST(nothing_is_done_about_data_that_is_late_or_incomplete)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin("  armed: true\n" PACED RULES);
	for (uint32_t flag = FNX_FRAME_LATE; flag <= FNX_FRAME_INCOMPLETE; flag *= 2) {
		now_samples += 30000;
		sent_ingress_ns = fnx_node_now();
		sent_flags = flag;
		send_posterior(0, 1);
		sent_flags = 0;
		/* The flagged one lies less than 100 ms back. */
		send_posterior(0.75, 1);
		send_posterior(0.75, 1);
		assert_int_equal(next_decision(&decision, &frame), 1);
		assert_int_equal(decision.outcome, FNX_DECISION_FLAGGED);
		assert_int_equal(decision.verdict, FNX_DECISION_ACTED);
		send_posterior(0, 1);
	}
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	end();
	assert_int_equal(lines_of_log(), 1);
}

TEST(nothing_is_done_while_the_source_has_no_steady_pace)
{
	begin("  armed: true\n  lockout_ms: 10\n  max_rate_per_min: 600\n" RULES);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_STALLED);
	end();
	assert_int_equal(lines_of_log(), 0);
}

TEST(sham_tasks_are_decided_and_recorded_and_not_done)
{
	struct fnx_decision decision;

	begin("  armed: true\n  sham_fraction: 1\n" PACED RULES);
	assert_int_equal(replay(&decision), FNX_DECISION_SHAM);
	assert_int_equal(decision.verdict, FNX_DECISION_SHAM);
	end();
	assert_int_equal(lines_of_log(), 0);
}

TEST(a_run_has_as_many_tasks_as_it_may_and_no_more)
{
	begin("  armed: true\n  max_per_run: 2\n" PACED RULES);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED);
	for (int i = 0; i < 5; i++)
		assert_int_equal(outcome_of_replay(), FNX_DECISION_RUN_LIMITED);
	end();
	assert_int_equal(lines_of_log(), 2);
}

TEST(only_the_arm_that_is_wanted_now_is_rewarded_and_then_the_next)
{
	static const int expected[] = {
		FNX_DECISION_ACTED, FNX_DECISION_NOT_TARGET, FNX_DECISION_NOT_TARGET};
	struct fnx_decision decision;

	begin("  armed: true\n  targets: [1, 2]\n" PACED RULES
	      "    - {name: right, type: replay, arm: 2, threshold: 0.5, other_arms_below: 0.3, "
	      "window_bins: 2, task: 18, lockout_ms: 50}\n");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(replay(&decision), expected[i]);
		assert_int_equal(decision.target_arm, i ? 2 : 1);
		assert_int_equal(decision.arm, 1);
	}
	/* The other arm's turn. */
	now_samples += 30000;
	sent_ingress_ns = fnx_node_now();
	right_mass = 0.75;
	send_posterior(0, 1);
	send_posterior(0, 1);
	right_mass = 0;
	sent_ingress_ns = 5;
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	assert_int_equal(outcome_of_replay(), FNX_DECISION_ACTED); /* the list begins again */
	end();
	assert_int_equal(lines_of_log(), 3);
}

TEST(a_combination_acts_when_its_parts_come_together)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin("  armed: true\n" LIMITS "  rules:\n"
	      "    - {name: content, type: replay, arm: 1, threshold: 0.5, other_arms_below: 0.3, "
	      "window_bins: 1, component: true}\n"
	      "    - {name: swr, type: ripple, min_electrodes: 1, window_ms: 15, component: true}\n"
	      "    - {name: both, type: combination, all_of: [content, swr], window_ms: 20, task: "
	      "5, "
	      "lockout_ms: 50}\n");
	send_posterior(0.75, 1);
	now_samples += 601; /* 20 ms, and a sample */
	send_ripple(0, FNX_RIPPLE_STANDARD, 1);
	assert_int_equal(next_decision(&decision, &frame), 0);
	now_samples += 1;
	send_posterior(0.75, 1); /* a bin later: 6 ms after the ripple */
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.task, 5);
	assert_int_equal(decision.rule, 2);
	assert_int_equal(decision.rules_true, 7);
	assert_int_equal(decision.arm, 1);
	assert_true(decision.target_mass == 0.75);
	assert_int_equal(next_decision(&decision, &frame), 0);
	end();
	assert_int_equal(lines_of_log(), 1);
}

TEST(a_ripple_of_another_threshold_starts_its_own_rule)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin("  armed: true\n" LIMITS "  rules:\n"
	      "    - {name: c, type: ripple, ripple_type: content, min_electrodes: 1, task: 5}\n");
	send_ripple(0, FNX_RIPPLE_STANDARD, 1);
	now_samples += 10;
	send_ripple(0, FNX_RIPPLE_CONDITIONING, 1);
	assert_int_equal(next_decision(&decision, &frame), 0);
	now_samples += 10;
	send_ripple(0, FNX_RIPPLE_CONTENT, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	end();
}

TEST(combinations_name_rules_above_them)
{
	expect_refusal(LIMITS
		"  rules:\n"
		"    - {name: both, type: combination, all_of: [r], task: 5}\n" REPLAY_RULE("r"),
		"names of rules above it");
	expect_refusal(LIMITS RULES
		"    - {name: never, type: combination, all_of: [r], none_of: [r], task: 5}\n",
		"never true");
}

TEST(looking_at_the_well_is_decided_done_and_told)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	struct fnx_position *message;
	void *payload;
	int n = 0;

	begin("  armed: true\n" LIMITS "  rules:\n"
	      "    - {name: h, type: head_direction, well: [100, 0], centre_well: [100, 104], "
	      "well_range_deg: 20, steady_deg: 10, min_duration_ms: 90, task: 9, "
	      "max_centre_distance_cm: 10, lockout_ms: 50}\n");
	while (!next_decision(&decision, &frame)) {
		now_samples += 1000;
		assert_int_equal(fnx_publisher_loan(position, 0, &payload), 0);
		message = payload;
		*message = (struct fnx_position){.bin = 2,
			.raw_x = 100,
			.raw_y = 105,
			.raw_x2 = 100,
			.raw_y2 = 95,
			.flags = FNX_POSITION_TRACKED | FNX_POSITION_ON_TRACK};
		send(position, sizeof(*message));
		assert_true(++n < 10);
	}
	assert_int_equal(n, 3); /* at 30 Hz */
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.task, 9);
	assert_true(fabs(decision.head_deg - 90) < 1e-9);
	end();
}
