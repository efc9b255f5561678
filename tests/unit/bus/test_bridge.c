/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/bus/bridge_fixture.h"

static const char *const forms[] = {"inproc", "ipc", "tcp"};

static struct check_random dice;

static unsigned random_below(unsigned n)
{
	if (!dice.state)
		dice = check_random_seeded();
	return (unsigned)check_random_below(&dice, n);
}

static void expect_no_gap(const struct pair *pair, int r, const struct fnx_gap *gap)
{
	struct fnx_bridge_counts served, fetched;

	if (r != FNX_GAP)
		return;
	fnx_bridge_served(pair->there, 0, &served);
	fnx_bridge_fetched(pair->here, 0, &fetched);
	fail_msg("lost %llu to %llu, reason %d; gaps served %llu, fetched %llu, rounds %llu",
		(unsigned long long)gap->from, (unsigned long long)gap->to, (int)gap->reason,
		(unsigned long long)served.gaps, (unsigned long long)fetched.gaps,
		(unsigned long long)fetched.rounds);
}

static void fail_stalled(const struct pair *pair, const struct fnx_publisher *pub, uint64_t next)
{
	struct fnx_bridge_state there, here;

	fnx_bridge_state(pair->there, fixture_now_ns(), &there);
	fnx_bridge_state(pair->here, fixture_now_ns(), &here);
	fail_msg("read %llu, published %llu; there: connected %d, ready %d, trip %lld ns, strange "
		 "%llu; here: connected %d, ready %d, trip %lld ns, strange %llu",
		(unsigned long long)next, (unsigned long long)fnx_publisher_head(pub),
		there.connected, there.ready, (long long)there.round_trip_ns,
		(unsigned long long)there.n_strange, here.connected, here.ready,
		(long long)here.round_trip_ns, (unsigned long long)here.n_strange);
}

/* Publishes and reads at random paces until `n` frames have come. */
static void pass_frames(struct pair *pair, struct fnx_publisher *pub, struct fnx_subscriber *sub,
	uint64_t from, uint64_t n)
{
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	uint64_t next = from;

	while (next < from + n) {
		struct fnx_frame frame;
		struct fnx_gap gap;
		unsigned writes = random_below(2 * SLOTS), reads = random_below(2 * SLOTS);

		if (fixture_now_ns() > until_ns)
			fail_stalled(pair, pub, next);
		while (writes-- && fnx_publisher_head(pub) < from + n && publish_next(pub, 0) == 0)
			;
		/* Never further ahead than both pools together. */
		assert_true(fnx_publisher_head(pub) - next <= 2 * SLOTS);
		pair_turn(pair);
		while (reads--) {
			int r = fnx_subscriber_peek(sub, &frame, &gap);

			if (r == FNX_NOTHING)
				break;
			expect_no_gap(pair, r, &gap);
			assert_int_equal(r, FNX_FRAME);
			assert_int_equal(frame.seq, next);
			assert_true(arrived_right(&frame));
			fnx_subscriber_release(sub);
			next++;
		}
	}
}

static void a_slow_reader_holds_up_a_waiting_publisher_and_loses_nothing(const char *form, int keys)
{
	struct fnx_bridge_counts served, fetched;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct pair pair;

	pair_init(&pair, form, FNX_LOSSLESS);
	if (keys)
		use_keys(&pair);
	open_there(&pair);
	open_here(&pair);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	pass_frames(&pair, pub, sub, 0, 3000);
	fnx_bridge_served(pair.there, 0, &served);
	fnx_bridge_fetched(pair.here, 0, &fetched);
	assert_int_equal(served.copied, 0);
	assert_int_equal(served.gaps + fetched.gaps + fetched.rounds - 1, 0);
	assert_int_equal(fetched.frames, 3000);
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

TEST(lossless_within_a_process)
{
	a_slow_reader_holds_up_a_waiting_publisher_and_loses_nothing("inproc", 0);
}

TEST(lossless_between_processes)
{
	a_slow_reader_holds_up_a_waiting_publisher_and_loses_nothing("ipc", 0);
}

TEST(lossless_on_the_loopback)
{
	a_slow_reader_holds_up_a_waiting_publisher_and_loses_nothing("tcp", 0);
}

TEST(lossless_with_keys)
{
	a_slow_reader_holds_up_a_waiting_publisher_and_loses_nothing("tcp", 1);
}

TEST(without_credit_the_topic_is_there_and_nothing_comes)
{
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct pair pair;

	for (size_t i = 0; i < 3; i++) {
		pair_open(&pair, forms[i], FNX_LOSSLESS);
		pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
		publish_n(pub, SLOTS);
		sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
		for (int turns = 0; turns < 200; turns++) {
			int64_t due_ns;

			fnx_bridge_turn(pair.there, 1, fixture_now_ns(), &due_ns);
			fnx_bridge_turn(pair.here, 0, fixture_now_ns(), &due_ns);
		}
		expect_answer(sub, FNX_NOTHING);
		pass_frames(&pair, pub, sub, 0, 100);
		fnx_subscriber_close(sub);
		pair_close(&pair);
		fnx_publisher_close(pub);
	}
}

/* Takes all there is: frames and gaps cover [from, to) without a hole. Returns the frames lost. */
static uint64_t take_until(
	struct pair *pair, struct fnx_subscriber *sub, uint64_t from, uint64_t to)
{
	uint64_t missed = 0;

	while (from < to) {
		struct fnx_frame frame;
		struct fnx_gap gap;

		if (pair_peek(pair, sub, &frame, &gap) == FNX_GAP) {
			assert_int_equal(gap.from, from);
			missed += gap.to - gap.from;
			from = gap.to;
			continue;
		}
		assert_int_equal(frame.seq, from);
		assert_true(arrived_right(&frame));
		fnx_subscriber_release(sub);
		from++;
	}
	assert_int_equal(from, to);
	return missed;
}

TEST(a_lossy_subscription_holds_up_nobody_and_its_gaps_are_told)
{
	struct fnx_bridge_counts served;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct pair pair;
	uint64_t missed;

	for (size_t i = 0; i < 3; i++) {
		pair_open(&pair, forms[i], FNX_LOSSY);
		pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
		sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
		/* No turn in between: the bridge sees but the last of them. */
		publish_n(pub, 50 * SLOTS);
		missed = take_until(&pair, sub, 0, 50 * SLOTS);
		fnx_bridge_served(pair.there, 0, &served);
		assert_int_equal(missed, 49 * SLOTS);
		assert_int_equal(served.missed, missed);
		fnx_subscriber_close(sub);
		pair_close(&pair);
		fnx_publisher_close(pub);
	}
}

TEST(a_dropping_publisher_is_not_held_up_and_the_loss_is_told)
{
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct pair pair;
	uint64_t missed;

	pair_open(&pair, "ipc", FNX_LOSSLESS);
	pub = open_publisher(&pair.there_bus, FNX_FULL_DROP, SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	publish_n(pub, 20 * SLOTS);
	missed = take_until(&pair, sub, 0, 20 * SLOTS);
	assert_true(missed > 0 && missed < 20 * SLOTS);
	assert_int_equal(missed, fnx_publisher_lapped(pub));
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

TEST(watermarks_and_the_end_come_behind_their_frames)
{
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	struct fnx_bridge_state there, here;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct pair pair;
	uint64_t next = 0;

	pair_open(&pair, "ipc", FNX_LOSSLESS);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	while (next < 500) {
		int64_t watermark;

		assert_true(fixture_now_ns() < until_ns);
		if (fnx_publisher_head(pub) < 500 && publish_next(pub, 0) == 0)
			fnx_publisher_advance(
				pub, ((int64_t)fnx_publisher_head(pub) - 1) * 10 + 5, 1);
		pair_turn(&pair);
		/* In this order: what the watermark covers must be seen by the peek behind it. */
		watermark = fnx_subscriber_watermark(sub, NULL);
		while (random_below(3) && fnx_subscriber_peek(sub, &frame, &gap) == FNX_FRAME) {
			assert_int_equal(frame.seq, next++);
			fnx_subscriber_release(sub);
		}
		if (fnx_subscriber_peek(sub, &frame, &gap) == FNX_NOTHING)
			assert_true(watermark < (int64_t)next * 10);
	}
	fnx_publisher_advance(pub, 7777, 1);
	fnx_publisher_advance(pub, FNX_END, 1);
	do {
		assert_true(fixture_now_ns() < until_ns);
		pair_turn(&pair);
		fnx_bridge_state(pair.there, fixture_now_ns(), &there);
		fnx_bridge_state(pair.here, fixture_now_ns(), &here);
	} while (!there.finished || !here.finished);
	assert_int_equal(fnx_subscriber_watermark(sub, NULL), FNX_END);
	assert_int_equal(fnx_subscriber_end(sub), 7777);
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

TEST(a_topic_that_begins_anew_there_begins_anew_here)
{
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct pair pair;
	uint64_t epoch;

	pair_open(&pair, "ipc", FNX_LOSSLESS);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	publish_n(pub, 10);
	fnx_publisher_close(pub);
	/* All of the old one first, then word that it has moved. */
	assert_int_equal(take_until(&pair, sub, 0, 10), 0);
	assert_int_equal(pair_peek(&pair, sub, &frame, &gap), FNX_MOVED);
	epoch = fnx_subscriber_epoch(sub);
	fnx_subscriber_close(sub);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, 2 * SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	assert_true(fnx_subscriber_epoch(sub) != epoch);
	publish_n(pub, 20);
	assert_int_equal(take_until(&pair, sub, 0, 20), 0);
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

TEST(a_topic_met_late_begins_with_its_own_sequence_number)
{
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct pair pair;

	pair_init(&pair, "ipc", FNX_LOSSLESS);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	publish_n(pub, 10 * SLOTS);
	open_there(&pair);
	open_here(&pair);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	assert_int_equal(take_until(&pair, sub, 9 * SLOTS, 10 * SLOTS), 0);
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

TEST(times_are_told_in_the_clock_of_the_reader)
{
	struct fnx_stamp stamp = {.sample_time = 0};
	struct fnx_bridge_state bridge;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct pair pair;
	void *payload;
	int64_t error_ns;

	pair_open(&pair, "ipc", FNX_LOSSLESS);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
	stamp.publish_ns = fixture_now_ns();
	stamp.ingress_ns = stamp.publish_ns - 5000000;
	fnx_publisher_publish(pub, 0, &stamp);
	assert_int_equal(pair_peek(&pair, sub, &frame, &gap), FNX_FRAME);
	fnx_bridge_state(pair.here, fixture_now_ns(), &bridge);
	/* Both ends have the same clock: what is measured is the error. */
	error_ns = bridge.offset_ns < 0 ? -bridge.offset_ns : bridge.offset_ns;
	assert_true(bridge.connected && error_ns <= bridge.round_trip_ns / 2);
	assert_int_equal(frame.stamp.publish_ns - frame.stamp.ingress_ns, 5000000);
	assert_true(frame.stamp.publish_ns <= fixture_now_ns());
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

TEST(another_schema_is_refused_with_a_sentence)
{
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	struct fnx_bridge_state bridge = {.refusal = NULL};
	struct fnx_publisher *pub;
	struct pair pair;

	pair_init(&pair, "ipc", FNX_LOSSLESS);
	pair.fetched.schema_hash = 43;
	open_there(&pair);
	open_here(&pair);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	while (!bridge.refusal) {
		assert_true(fixture_now_ns() < until_ns);
		pair_turn(&pair);
		fnx_bridge_state(pair.here, fixture_now_ns(), &bridge);
	}
	assert_non_null(strstr(bridge.refusal, "another version of fornix"));
	assert_false(bridge.ready);
	pair_close(&pair);
	fnx_publisher_close(pub);
}
