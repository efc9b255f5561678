/* SPDX-License-Identifier: BSD-3-Clause */
/* What became of each act, as a subscriber of decision.outcome sees it. */
#include "schemas/outcome.h"

#include <sched.h>

#include "tests/unit/dispatch/dispatch_fixture.h"

static struct fnx_subscriber *outcomes;

static void subscribe(void)
{
	const struct fnx_subscriber_config config = {.topic = "decision.outcome",
		.node = "tester",
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE};

	assert_int_equal(fnx_subscriber_open(&node.bus, &config, &outcomes), 0);
}

static int next_outcome(struct fnx_outcome *ret_outcome, struct fnx_frame *ret_frame)
{
	struct fnx_gap gap;

	if (fnx_subscriber_peek(outcomes, ret_frame, &gap) != FNX_FRAME)
		return 0;
	assert_int_equal(ret_frame->length, sizeof(*ret_outcome));
	memcpy(ret_outcome, ret_frame->payload, sizeof(*ret_outcome));
	fnx_subscriber_release(outcomes);
	return 1;
}

/* Frames go on until there is one. */
static struct fnx_outcome await_outcome(struct fnx_frame *ret_frame)
{
	int64_t until = fnx_node_now() + CHECK_PATIENCE_NS;
	struct fnx_outcome found;

	while (!next_outcome(&found, ret_frame)) {
		assert_true(fnx_node_now() < until);
		send_posterior(0, 1);
		sched_yield();
	}
	return found;
}

TEST(each_act_has_one_outcome_that_names_its_decision)
{
	struct fnx_decision decision;
	struct fnx_outcome found;
	struct fnx_frame of_decision, frame;

	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	subscribe();
	for (int64_t n = 0; n < 100; n++) {
		send_posterior(0.75, 1);
		send_posterior(0.75, 1);
		assert_int_equal(next_decision(&decision, &of_decision), 1);
		found = await_outcome(&frame);
		assert_true(found.decision_seq == (int64_t)of_decision.seq);
		assert_true(found.decision_sample_time == of_decision.stamp.sample_time);
		assert_true(frame.stamp.sample_time >= of_decision.stamp.sample_time);
		assert_int_equal(found.fate, FNX_OUTCOME_TOLD);
		assert_int_equal(found.task, 17);
		assert_true(found.told_ns > 0 && found.ended_ns >= found.told_ns);
		send_posterior(0, 1);
		now_samples += 30000;
		assert_int_equal(next_outcome(&found, &frame), 0);
	}
	fnx_subscriber_close(outcomes);
	end();
}

TEST(what_is_not_done_has_no_outcome)
{
	struct fnx_outcome found;
	struct fnx_frame frame;

	begin(LIMITS "  rules:\n" REPLAY_RULE("r"));
	subscribe();
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_DISARMED);
	send_posterior(0.75, 1);
	assert_int_equal(next_outcome(&found, &frame), 0);
	fnx_subscriber_close(outcomes);
	end();
}

TEST(what_is_not_known_when_the_session_ends_is_said_to_be_unknown)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	struct fnx_outcome found;
	char bytes[4096] = "";
	int64_t seqs[3];

	log_is_fifo = 1;
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	log_is_fifo = 0;
	while (write(fifo, bytes, sizeof(bytes)) > 0)
		;
	subscribe();
	/* One is in its worker's hands, two wait behind it. */
	for (unsigned i = 0; i < 3; i++) {
		send_posterior(0.75, 1);
		send_posterior(0.75, 1);
		assert_int_equal(next_decision(&decision, &frame), 1);
		assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
		seqs[i] = (int64_t)frame.seq;
		send_posterior(0, 1);
		now_samples += 30000;
	}
	assert_int_equal(next_outcome(&found, &frame), 0);
	fnx_publisher_advance(position, FNX_END, 1);
	fnx_publisher_advance(ripple, FNX_END, 1);
	fnx_publisher_advance(posterior, FNX_END, 1);
	assert_int_equal(fnx_node_drive(&node, fnx_node_now(), 1000), FNX_DRIVE_ENDED);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(next_outcome(&found, &frame), 1);
		assert_true(found.decision_seq == seqs[i]);
		assert_int_equal(found.fate, i ? FNX_OUTCOME_EXPIRED : FNX_OUTCOME_UNKNOWN);
	}
	assert_int_equal(next_outcome(&found, &frame), 0);
	/* The worker can return, or the node could not close. */
	while (read(fifo, bytes, sizeof(bytes)) > 0)
		;
	fnx_subscriber_close(outcomes);
	end();
	close(fifo);
}

TEST(a_dispatch_that_is_told_to_stop_says_what_became_of_what_is_under_way)
{
	struct fnx_outcome found;
	struct fnx_frame frame;

	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	subscribe();
	for (unsigned i = 0; i < 3; i++) {
		send_posterior(0.75, 1);
		send_posterior(0.75, 1);
		send_posterior(0, 1);
		now_samples += 30000;
	}
	fnx_node_publish_last(&node);
	for (int64_t seq = 0; seq < 3; seq++) {
		if (!next_outcome(&found, &frame))
			fail_msg("decision %d has no outcome", (int)seq);
		assert_true(found.decision_seq == seq);
		assert_int_equal(found.fate, FNX_OUTCOME_TOLD);
	}
	assert_int_equal(next_outcome(&found, &frame), 0);
	assert_true(fnx_subscriber_watermark(outcomes, NULL) < FNX_END);
	fnx_subscriber_close(outcomes);
	end();
}

enum {
	OUTCOME_SLOTS = 32,
	HOLDERS = OUTCOME_SLOTS / FNX_HOLDS_MAX + 1
};

/* Reader `k` of these, which takes as many frames as it can keep, and gives none back. */
static struct fnx_subscriber *hold_share(unsigned k, struct fnx_presence *ret_presence)
{
	char name[16];
	const struct fnx_subscriber_config config = {.topic = "decision.outcome",
		.node = name,
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;

	snprintf(name, sizeof(name), "holder%u", k);
	assert_int_equal(fnx_presence_claim(&node.bus, name, ret_presence, NULL), 0);
	assert_int_equal(fnx_subscriber_open(&node.bus, &config, &sub), 0);
	fnx_subscriber_skip(sub, k * FNX_HOLDS_MAX);
	for (unsigned i = 0; i < FNX_HOLDS_MAX; i++) {
		if (fnx_subscriber_peek(sub, &frame, &gap) != FNX_FRAME)
			break;
		assert_int_equal(fnx_subscriber_hold(sub, frame.seq), 0);
		fnx_subscriber_release(sub);
	}
	return sub;
}

static void act(void)
{
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	send_posterior(0, 1);
	now_samples += 30000;
}

TEST(readers_that_hold_every_slot_do_not_hold_up_the_end)
{
	struct fnx_presence presences[HOLDERS];
	struct fnx_subscriber *holders[HOLDERS];
	struct fnx_outcome found;
	struct fnx_frame frame;

	bus_end = ", live: true";
	rig_end = "topics: [{name: decision.outcome, slots: 16}]\n";
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	subscribe();
	for (unsigned i = 0; i < OUTCOME_SLOTS; i++) {
		act();
		await_outcome(&frame);
	}
	for (unsigned k = 0; k < HOLDERS; k++)
		holders[k] = hold_share(k, &presences[k]);
	act();
	fnx_node_publish_last(&node);
	assert_int_equal(next_outcome(&found, &frame), 0);
	fnx_subscriber_close(outcomes);
	for (unsigned k = 0; k < HOLDERS; k++) {
		fnx_subscriber_close(holders[k]);
		fnx_presence_drop(&presences[k]);
	}
	end();
	rig_end = bus_end = "";
}

TEST(the_session_does_not_end_before_its_last_outcome)
{
	struct fnx_outcome found;
	struct fnx_frame frame;

	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	subscribe();
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	fnx_publisher_advance(position, FNX_END, 1);
	fnx_publisher_advance(ripple, FNX_END, 1);
	fnx_publisher_advance(posterior, FNX_END, 1);
	assert_int_equal(fnx_node_drive(&node, fnx_node_now(), 1000), FNX_DRIVE_ENDED);
	assert_int_equal(next_outcome(&found, &frame), 1);
	assert_int_equal(found.fate, FNX_OUTCOME_TOLD);
	fnx_subscriber_close(outcomes);
	end();
}
