/* SPDX-License-Identifier: BSD-3-Clause */
/* Long, since every answer of every function of a topic has its example here. */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <sys/mman.h>

/* Frames
 * -------------------------------------------------------------------------------------------- */

TEST(a_frame_is_read_as_it_was_published_whatever_its_size)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_frame frame;
	struct fnx_gap gap;
	void *payload;

	for (uint32_t length = 0; length <= SLOT_SIZE; length++) {
		struct fnx_stamp stamp = {.sample_time = -(int64_t)length,
			.ingress_ns = 1000 + length,
			.publish_ns = 2000 + length,
			.origin = UINT64_MAX - length,
			.flags = length & 3};

		assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
		payload_fill(payload, length, length);
		fnx_publisher_publish(pub, length, &stamp);
		assert_int_equal(fnx_subscriber_peek(sub, &frame, &gap), FNX_FRAME);
		assert_int_equal(frame.seq, length);
		assert_int_equal(frame.length, length);
		assert_int_equal(frame.stamp.sample_time, stamp.sample_time);
		assert_int_equal(frame.stamp.ingress_ns, stamp.ingress_ns);
		assert_int_equal(frame.stamp.publish_ns, stamp.publish_ns);
		assert_true(frame.stamp.origin == stamp.origin);
		assert_int_equal(frame.stamp.flags, stamp.flags);
		assert_true(payload_right(frame.payload, length, length));
		assert_int_equal((uintptr_t)frame.payload % FNX_CACHE_LINE, 0);
		fnx_subscriber_release(sub);
		expect_answer(sub, FNX_NOTHING);
	}
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_peek_shows_the_same_frame_until_release)
{
	static const enum fnx_policy policies[] = {FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST};
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 6; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, fulls[i & 1], 4);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", policies[i / 2]);

		publish_n(pub, 1);
		expect_peek(sub, 0, SLOT_SIZE);
		/* Far enough that its entry turns over, if the pool does not wait for it. */
		for (unsigned k = 0; k < 40; k++)
			if (publish_next(pub, 0))
				break;
		for (unsigned k = 0; k < 3; k++)
			expect_peek(sub, 0, SLOT_SIZE);
		assert_int_equal(fnx_subscriber_next(sub), 0);
		fnx_subscriber_release(sub);
		assert_int_equal(fnx_subscriber_next(sub), 1);
		fnx_subscriber_close(sub);
		fnx_publisher_close(pub);
	}
}

TEST(an_aborted_loan_is_not_seen_and_its_slot_is_loaned_again)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	void *first, *second;

	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(fnx_publisher_loan(pub, 0, &first), 0);
		fnx_publisher_abort(pub);
		assert_int_equal(fnx_publisher_loan(pub, 0, &second), 0);
		assert_ptr_equal(first, second);
		fnx_publisher_abort(pub);
	}
	expect_answer(sub, FNX_NOTHING);
	assert_int_equal(fnx_publisher_head(pub), 0);
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 2);
	fnx_publisher_close(pub);
}

TEST(a_newcomer_begins_with_the_next_frame_or_with_the_oldest)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *keeper = open_subscriber(&bus, "keeper", FNX_LOSSLESS);
	struct fnx_subscriber *next, *oldest, *latest;

	publish_n(pub, 8);
	expect_frames(keeper, 0, 3);
	publish_n(pub, 1);
	next = open_subscriber(&bus, "next", FNX_LOSSLESS);
	oldest = open_subscriber_oldest(&bus, "oldest", FNX_LOSSLESS);
	latest = open_subscriber_oldest(&bus, "latest", FNX_LATEST);
	expect_answer(next, FNX_NOTHING);
	expect_frame(latest, 8);
	expect_answer(latest, FNX_NOTHING);
	expect_frames(oldest, 3, 9);
	expect_answer(oldest, FNX_NOTHING);
	expect_frames(keeper, 3, 9);
	publish_n(pub, 1);
	expect_frame(next, 9);
	expect_frame(oldest, 9);
	fnx_subscriber_close(latest);
	fnx_subscriber_close(oldest);
	fnx_subscriber_close(next);
	fnx_subscriber_close(keeper);
	fnx_publisher_close(pub);
}

TEST(latest_goes_to_the_newest_frame_and_reports_no_gap_for_what_it_skips)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LATEST);

	for (uint64_t n = 1; n < 50; n++) {
		publish_n(pub, (unsigned)n);
		expect_frame(sub, fnx_publisher_head(pub) - 1);
		expect_answer(sub, FNX_NOTHING);
	}
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(what_is_published_and_not_peeked_at_is_the_lag)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	size_t size;

	assert_int_equal(fnx_subscriber_lag(sub), 0);
	publish_n(pub, 5);
	assert_int_equal(fnx_subscriber_lag(sub), 5);
	expect_frames(sub, 0, 2);
	assert_int_equal(fnx_subscriber_lag(sub), 3);
	assert_int_equal(fnx_subscriber_next(sub), 2);
	assert_string_equal(fnx_subscriber_publisher(sub), "writer");
	assert_memory_equal(fnx_subscriber_schema(sub, &size), "\x81\xa1s\x01", 4);
	assert_int_equal(size, 4);
	assert_int_equal(fnx_publisher_slot_size(pub), SLOT_SIZE);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

/* Full pools
 * ---------------------------------------------------------------------------------------- */

TEST(a_full_wait_pool_refuses_until_the_slowest_has_caught_up)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *slow = open_subscriber(&bus, "slow", FNX_LOSSLESS);
	struct fnx_subscriber *fast = open_subscriber(&bus, "fast", FNX_LOSSLESS);

	assert_int_equal(fnx_publisher_room(pub, 4, 0), 1);
	assert_int_equal(fnx_publisher_room(pub, 5, 0), 0);
	publish_n(pub, 4);
	expect_frames(fast, 0, 4);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(publish_next(pub, 0), -EAGAIN);
		assert_int_equal(fnx_publisher_room(pub, 1, 0), 0);
	}
	expect_frames(slow, 0, 3);
	assert_int_equal(fnx_publisher_room(pub, 3, 0), 1);
	assert_int_equal(fnx_publisher_room(pub, 4, 0), 0);
	publish_n(pub, 3);
	assert_int_equal(publish_next(pub, 0), -EAGAIN);
	assert_int_equal(fnx_publisher_dropped(pub), 0);
	assert_int_equal(fnx_publisher_lapped(pub), 0);
	expect_frames(slow, 3, 7);
	expect_frames(fast, 4, 7);
	fnx_subscriber_close(fast);
	fnx_subscriber_close(slow);
	fnx_publisher_close(pub);
}

TEST(a_wait_pool_does_not_wait_for_lossy_readers)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *lossy = open_subscriber(&bus, "lossy", FNX_LOSSY);

	publish_n(pub, 10);
	expect_gap(lossy, 0, 8, FNX_GAP_LAPPED);
	expect_frames(lossy, 8, 10);
	expect_answer(lossy, FNX_NOTHING);
	fnx_subscriber_close(lossy);
	fnx_publisher_close(pub);
}

TEST(asking_a_drop_publisher_for_room_costs_nobody_a_frame)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

	publish_n(pub, 4);
	for (uint32_t n = 0; n < 6; n++) {
		assert_int_equal(fnx_publisher_room(pub, n, 0), 1);
		assert_int_equal(fnx_publisher_park(pub, n, 0), 1);
	}
	expect_frames(sub, 0, 4);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_loan_of_what_lies_free_costs_nobody_a_frame)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	void *payload;

	for (uint64_t seq = 0; seq < 4; seq++) {
		assert_int_equal(fnx_publisher_loan_free(pub, &payload), 0);
		fnx_publisher_abort(pub);
		publish_n(pub, 1);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(fnx_publisher_loan_free(pub, &payload), -EAGAIN);
	assert_int_equal(fnx_publisher_head(pub), 4);
	assert_int_equal(fnx_publisher_dropped(pub) + fnx_publisher_lapped(pub), 0);
	expect_frames(sub, 0, 4);
	/* What the reader has passed is free only once somebody needs it. */
	assert_int_equal(fnx_publisher_loan_free(pub, &payload), -EAGAIN);
	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
	fnx_publisher_abort(pub);
	assert_int_equal(fnx_publisher_loan_free(pub, &payload), 0);
	fnx_publisher_abort(pub);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_full_drop_pool_laps_the_slowest_and_counts_it_under_its_name)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *slow = open_subscriber(&bus, "slow", FNX_LOSSLESS);
	struct fnx_subscriber *fast = open_subscriber(&bus, "fast", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);

	for (uint64_t seq = 0; seq < 100; seq++) {
		publish_n(pub, 1);
		expect_frame(fast, seq);
	}
	expect_gap(slow, 0, 96, FNX_GAP_LAPPED);
	expect_frames(slow, 96, 100);
	assert_int_equal(fnx_publisher_lapped(pub), 96);
	assert_int_equal(map.segment->lapped[0], 96);
	assert_int_equal(map.segment->lapped[1], 0);
	assert_int_equal(map.subs->records[0].missed, 96);
	assert_int_equal(map.subs->records[0].gaps, 1);
	assert_int_equal(fnx_publisher_dropped(pub), 0);
	fnx_mapping_close(&map);
	fnx_subscriber_close(slow);
	fnx_subscriber_close(fast);
	fnx_publisher_close(pub);
}

TEST(the_frame_that_a_lapped_reader_is_at_stays_readable_and_is_not_counted_as_lost)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_frame frame;

	publish_n(pub, 2);
	frame = expect_peek(sub, 0, SLOT_SIZE);
	/* More than the ledger is long. */
	publish_n(pub, 40);
	assert_true(frame_right(&frame, SLOT_SIZE));
	assert_int_equal(fnx_publisher_lapped(pub), 38);
	fnx_subscriber_release(sub);
	expect_gap(sub, 1, 39, FNX_GAP_LAPPED);
	expect_frames(sub, 39, 42);
	expect_answer(sub, FNX_NOTHING);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(only_when_every_slot_is_being_read_is_the_new_frame_dropped)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 2);
	struct fnx_subscriber *a = open_subscriber(&bus, "a", FNX_LOSSLESS);
	struct fnx_subscriber *b = open_subscriber(&bus, "b", FNX_LOSSY);
	struct fnx_subscriber *c = open_subscriber(&bus, "c", FNX_LATEST);

	publish_n(pub, 1);
	expect_peek(a, 0, SLOT_SIZE);
	expect_frame(b, 0);
	publish_n(pub, 1);
	expect_peek(b, 1, SLOT_SIZE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(publish_next(pub, 0), -ENOBUFS);
	assert_int_equal(fnx_publisher_dropped(pub), 3);
	assert_int_equal(fnx_publisher_head(pub), 5);
	fnx_subscriber_release(b);
	publish_n(pub, 1);
	fnx_subscriber_release(a);
	/* To `a` frame 1 was lost because it was slow. */
	expect_gap(a, 1, 4, FNX_GAP_LAPPED);
	expect_gap(a, 4, 5, FNX_GAP_DROPPED);
	expect_frame(a, 5);
	expect_gap(b, 2, 3, FNX_GAP_DROPPED);
	expect_gap(b, 3, 4, FNX_GAP_DROPPED);
	expect_gap(b, 4, 5, FNX_GAP_DROPPED);
	expect_frame(b, 5);
	expect_frame(c, 5);
	assert_int_equal(fnx_publisher_lapped(pub), 1);
	fnx_subscriber_close(a);
	fnx_subscriber_close(b);
	fnx_subscriber_close(c);
	fnx_publisher_close(pub);
}

TEST(the_ledger_holds_a_full_pool_and_the_frame_that_was_dropped_before_it)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_topic_config config = topic_config(FNX_FULL_DROP, 8);
	struct fnx_subscriber *keeper, *sub;
	struct fnx_publisher *pub;

	config.n_entries = 8;
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	keeper = open_subscriber(&bus, "keeper", FNX_LOSSY);
	publish_n(pub, 8);
	for (uint64_t seq = 0; seq < 8; seq++) {
		expect_peek(keeper, seq, SLOT_SIZE);
		if (seq < 7) {
			assert_int_equal(fnx_subscriber_hold(keeper, seq), 0);
			fnx_subscriber_release(keeper);
		}
	}
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	assert_int_equal(publish_next(pub, 0), -ENOBUFS);
	fnx_subscriber_close(keeper);
	publish_n(pub, 8);
	expect_gap(sub, 8, 9, FNX_GAP_DROPPED);
	expect_frames(sub, 9, 17);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(no_subscriber_makes_a_drop_publisher_wait_or_costs_another_a_frame)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 32);
	struct fnx_subscriber *fast = open_subscriber(&bus, "fast", FNX_LOSSLESS);
	struct fnx_subscriber *stopped[3];
	struct fnx_presence presences[3];

	/* Each keeps as much as it can, and then does nothing for ever: 3 x (1 + 7) slots. */
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = {"stopped-0", "stopped-1", "stopped-2"};

		assert_int_equal(fnx_presence_claim(&bus, names[i], &presences[i], NULL), 0);
		stopped[i] = open_subscriber(&bus, names[i], i ? FNX_LOSSLESS : FNX_LOSSY);
	}
	for (uint64_t seq = 0; seq < FNX_HOLDS_MAX; seq++) {
		publish_n(pub, 1);
		for (unsigned i = 0; i < 3; i++) {
			expect_peek(stopped[i], seq, SLOT_SIZE);
			assert_int_equal(fnx_subscriber_hold(stopped[i], seq), 0);
			fnx_subscriber_release(stopped[i]);
		}
		expect_frame(fast, seq);
	}
	publish_n(pub, 1);
	for (unsigned i = 0; i < 3; i++)
		expect_peek(stopped[i], FNX_HOLDS_MAX, SLOT_SIZE);
	expect_frame(fast, FNX_HOLDS_MAX);
	for (uint64_t seq = FNX_HOLDS_MAX + 1; seq < 5000; seq++) {
		/* The others are up to a burst of 12 frames behind. */
		assert_int_equal(publish_next(pub, (int64_t)seq * 1000000), 0);
		if (seq % 12 == 0)
			expect_frames(fast, fnx_subscriber_next(fast), seq + 1);
	}
	assert_int_equal(fnx_publisher_dropped(pub), 0);
	expect_frames(fast, fnx_subscriber_next(fast), 5000);
	/* Those three answer for what they are told they lost, and nobody else does. */
	for (unsigned i = 0; i < 3; i++) {
		expect_peek(stopped[i], FNX_HOLDS_MAX, SLOT_SIZE);
		fnx_presence_drop(&presences[i]);
		die(stopped[i]);
	}
	/* Dead, they are evicted in the end. */
	for (int64_t now_ns = 5000000000; fnx_publisher_readers(pub) > 1; now_ns += 1000000) {
		assert_int_equal(publish_next(pub, now_ns), 0);
		expect_frame(fast, fnx_publisher_head(pub) - 1);
		assert_true(now_ns < 8000000000);
	}
	fnx_subscriber_close(fast);
	fnx_publisher_close(pub);
}

/* Holds
 * --------------------------------------------------------------------------------------------- */

TEST(a_held_frame_outlives_its_turn_until_it_is_dropped)
{
	static const enum fnx_policy policies[] = {FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST};
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 6; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, fulls[i & 1], 4);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", policies[i / 2]);
		struct fnx_frame held;

		publish_n(pub, 1);
		held = expect_peek(sub, 0, SLOT_SIZE);
		assert_int_equal(fnx_subscriber_hold(sub, 0), 0);
		fnx_subscriber_release(sub);
		/* The ledger of 16 turns over many times, and so do the other three slots. */
		for (uint64_t seq = 1; seq < 100; seq++) {
			publish_n(pub, 1);
			expect_frame(sub, seq);
			assert_true(frame_right(&held, SLOT_SIZE));
		}
		fnx_subscriber_drop(sub, 0);
		fnx_subscriber_close(sub);
		if (fulls[i & 1] == FNX_FULL_WAIT)
			expect_all_slots(&bus, pub, 4);
		fnx_publisher_close(pub);
	}
}

TEST(one_more_than_the_holds_there_are_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 16);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_frame held[FNX_HOLDS_MAX];

	publish_n(pub, 10);
	for (uint64_t seq = 0; seq < FNX_HOLDS_MAX; seq++) {
		held[seq] = expect_peek(sub, seq, SLOT_SIZE);
		assert_int_equal(fnx_subscriber_hold(sub, seq), 0);
		fnx_subscriber_release(sub);
	}
	expect_peek(sub, 7, SLOT_SIZE);
	assert_int_equal(fnx_subscriber_hold(sub, 7), -ENOBUFS);
	fnx_subscriber_drop(sub, 100); /* never held: nothing */
	assert_int_equal(fnx_subscriber_hold(sub, 7), -ENOBUFS);
	fnx_subscriber_drop(sub, 3);
	assert_int_equal(fnx_subscriber_hold(sub, 7), 0);
	fnx_subscriber_release(sub);
	expect_frames(sub, 8, 10);
	for (uint64_t seq = 10; seq < 60; seq++) {
		publish_n(pub, 1);
		expect_frame(sub, seq);
	}
	for (uint64_t seq = 0; seq < FNX_HOLDS_MAX; seq++)
		assert_true(seq == 3 || frame_right(&held[seq], SLOT_SIZE));
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 16);
	fnx_publisher_close(pub);
}

TEST(a_frame_held_twice_is_dropped_twice)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_frame held;

	publish_n(pub, 1);
	held = expect_peek(sub, 0, SLOT_SIZE);
	assert_int_equal(fnx_subscriber_hold(sub, 0), 0);
	assert_int_equal(fnx_subscriber_hold(sub, 0), 0);
	fnx_subscriber_release(sub);
	for (unsigned n_holds = 2; n_holds > 0; n_holds--) {
		publish_n(pub, 1);
		expect_frame(sub, fnx_publisher_head(pub) - 1);
		assert_int_equal(fnx_publisher_room(pub, 2, 0), 0);
		assert_true(frame_right(&held, SLOT_SIZE));
		fnx_subscriber_drop(sub, 0);
	}
	assert_int_equal(fnx_publisher_room(pub, 2, 0), 1);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

/* Lazy
 * ---------------------------------------------------------------------------------------------- */

TEST(a_lazy_reader_gives_frames_back_when_it_commits)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber_config config = subscriber_config("lazy", FNX_LOSSLESS);
	struct fnx_subscriber *sub;
	struct fnx_frame frame;

	config.lazy = 1;
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), 0);
	publish_n(pub, 4);
	frame = expect_peek(sub, 0, SLOT_SIZE);
	expect_frames(sub, 0, 3);
	assert_int_equal(publish_next(pub, 0), -EAGAIN);
	assert_true(frame_right(&frame, SLOT_SIZE));
	fnx_subscriber_commit(sub);
	assert_int_equal(fnx_publisher_room(pub, 3, 0), 1);
	assert_int_equal(fnx_publisher_room(pub, 4, 0), 0);
	expect_frame(sub, 3);
	die(sub);

	/* Its successor gets again what was not committed. */
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), 0);
	assert_int_equal(fnx_subscriber_resumed(sub), 1);
	expect_frame(sub, 3);
	fnx_subscriber_commit(sub);
	fnx_subscriber_commit(sub);
	assert_int_equal(fnx_publisher_room(pub, 4, 0), 1);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

/* Coming and going
 * ---------------------------------------------------------------------------------- */

TEST(sixty_three_subscribers_read_and_the_sixty_fourth_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
	struct fnx_subscriber_config config = subscriber_config("one-too-many", FNX_LOSSLESS);
	struct fnx_subscriber *sub = NULL;
	char names[FNX_SUBSCRIBERS_MAX][16];

	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "reader-%u", i);
		subs[i] = open_subscriber(&bus, names[i], FNX_LOSSLESS);
	}
	assert_int_equal(fnx_publisher_readers(pub), 63);
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), -EUSERS);
	assert_null(sub);
	publish_n(pub, 4);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		assert_int_equal(publish_next(pub, 0), -EAGAIN);
		expect_frames(subs[i], 0, 4);
	}
	publish_n(pub, 1);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
		expect_frame(subs[i], 4);
	fnx_subscriber_close(subs[17]);
	assert_int_equal(fnx_subscriber_open(&bus, &config, &subs[17]), 0);
	assert_int_equal(fnx_publisher_readers(pub), 63);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
		fnx_subscriber_close(subs[i]);
	assert_int_equal(fnx_publisher_readers(pub), 0);
	expect_all_slots(&bus, pub, 4);
	fnx_publisher_close(pub);
}

TEST(the_place_of_a_dead_monitor_is_given_away_when_there_is_no_other)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
	struct fnx_presence presence;
	struct fnx_subscriber_config config = subscriber_config("late", FNX_LOSSLESS);
	char name[16];

	assert_int_equal(fnx_presence_claim(&bus, "reader-0", &presence, NULL), 0);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		snprintf(name, sizeof(name), "reader-%u", i);
		subs[i] = open_subscriber(&bus, name, i == 0 || i == 5 ? FNX_LOSSY : FNX_LOSSLESS);
	}
	die(subs[5]);
	assert_int_equal(fnx_subscriber_open(&bus, &config, &subs[5]), 0);
	config.node = "later";
	assert_int_equal(fnx_subscriber_open(&bus, &config, &subs[0]), -EUSERS);
	publish_n(pub, 1);
	expect_frame(subs[5], 0);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
		fnx_subscriber_close(subs[i]);
	fnx_presence_drop(&presence);
	fnx_publisher_close(pub);
}

TEST(one_who_leaves_is_not_waited_for)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

	publish_n(pub, 4);
	expect_peek(sub, 0, SLOT_SIZE);
	assert_int_equal(fnx_subscriber_hold(sub, 0), 0);
	assert_int_equal(publish_next(pub, 0), -EAGAIN);
	assert_null(fnx_subscriber_close(sub));
	assert_null(fnx_subscriber_close(NULL));
	assert_int_equal(fnx_publisher_room(pub, 4, 0), 1);
	expect_all_slots(&bus, pub, 4);
	fnx_publisher_close(pub);
}

TEST(a_restarted_reader_resumes_where_it_stopped_and_loses_nothing)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	uint64_t next = 0;

	assert_int_equal(fnx_subscriber_resumed(sub), 0);
	for (unsigned life = 0; life < 100; life++) {
		while (publish_next(pub, 0) == 0)
			;
		expect_frames(sub, next, next + life % 4);
		next += life % 4;
		/* Dies in the middle of a turn, with a hold. */
		expect_peek(sub, next, SLOT_SIZE);
		if (life % 3)
			assert_int_equal(fnx_subscriber_hold(sub, next), 0);
		die(sub);
		sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		assert_int_equal(fnx_subscriber_resumed(sub), 1);
		assert_int_equal(fnx_subscriber_next(sub), next);
	}
	assert_int_equal(fnx_publisher_readers(pub), 1);
	fnx_subscriber_close(sub);
	expect_all_slots(&bus, pub, 4);
	fnx_publisher_close(pub);
}

TEST(a_reader_that_knows_more_than_its_cursor_skips_forward_and_never_back_or_too_far)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

	publish_n(pub, 8);
	expect_frames(sub, 0, 2);
	die(sub);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	fnx_subscriber_skip(sub, 1);
	assert_int_equal(fnx_subscriber_next(sub), 2);
	fnx_subscriber_skip(sub, 9);
	assert_int_equal(fnx_subscriber_next(sub), 2);
	fnx_subscriber_skip(sub, 5);
	expect_frames(sub, 5, 7);
	/* What was skipped was given back. */
	assert_int_equal(fnx_publisher_room(pub, 7, 0), 1);
	fnx_subscriber_skip(sub, 8);
	assert_int_equal(fnx_publisher_room(pub, 8, 0), 1);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(what_was_said_about_a_frame_can_be_asked_as_long_as_its_entry_lasts)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_stamp stamp;
	uint64_t head;

	for (int life = 0; life < 3; life++) {
		publish_n(pub, 20);
		head = fnx_publisher_head(pub);
		for (uint64_t seq = 0; seq <= head; seq++) {
			int r = fnx_publisher_stamp(pub, seq, &stamp);

			assert_int_equal(
				r, seq < head && head - seq <= map.n_entries ? 0 : -ENOENT);
			if (r)
				continue;
			assert_int_equal(stamp.sample_time, (int64_t)seq * 10);
			assert_int_equal(stamp.ingress_ns, (int64_t)seq * 100);
			assert_int_equal(stamp.origin, seq + 5);
		}
		die(pub);
		pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	}
	fnx_publisher_close(pub);
	fnx_mapping_close(&map);
}

TEST(a_dead_reader_is_waited_for_during_grace_and_evicted_after_it)
{
	enum {
		S = 1000000000
	};
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *dead = open_subscriber(&bus, "dead", FNX_LOSSLESS);
	struct fnx_subscriber *alive = open_subscriber(&bus, "alive", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_presence presence;

	assert_int_equal(fnx_presence_claim(&bus, "alive", &presence, NULL), 0);
	publish_n(pub, 4);
	expect_peek(dead, 0, SLOT_SIZE);
	assert_int_equal(fnx_subscriber_hold(dead, 0), 0);
	die(dead);
	/* The living one holds the pool up as long as it likes. */
	for (int64_t now = 0; now <= 10 * (int64_t)S; now += S / 10)
		if (now <= S - S / 10)
			assert_int_equal(publish_next(pub, now), -EAGAIN);
	assert_int_equal(map.segment->evicted, 0);
	assert_int_equal(publish_next(pub, S), -EAGAIN); /* `alive` has not read */
	assert_int_equal(map.segment->evicted, 1);
	assert_int_equal(publish_next(pub, 100 * (int64_t)S), -EAGAIN);
	assert_int_equal(map.segment->evicted, 1);
	assert_int_equal(fnx_publisher_readers(pub), 1);
	expect_frames(alive, 0, 4);
	assert_int_equal(fnx_publisher_room(pub, 4, 100 * (int64_t)S), 1);

	/* It comes back as one who was never there. */
	dead = open_subscriber(&bus, "dead", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_resumed(dead), 0);
	publish_n(pub, 1);
	expect_frame(dead, 4);
	expect_frame(alive, 4);
	fnx_subscriber_close(dead);
	fnx_subscriber_close(alive);
	fnx_presence_drop(&presence);
	fnx_mapping_close(&map);
	expect_all_slots(&bus, pub, 4);
	fnx_publisher_close(pub);
}

TEST(a_publisher_that_was_stopped_itself_gives_a_dead_reader_its_grace_all_the_same)
{
	const int64_t day_ns = INT64_C(86400000000000), step_ns = 100000000;
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *dead = open_subscriber(&bus, "dead", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	int64_t now_ns = 0;

	publish_n(pub, 4);
	die(dead);
	assert_int_equal(publish_next(pub, now_ns), -EAGAIN);
	/* The machine stood still for a day: both go on at once, and the publisher is faster. */
	now_ns += day_ns;
	assert_int_equal(publish_next(pub, now_ns), -EAGAIN);
	now_ns += step_ns;
	assert_int_equal(publish_next(pub, now_ns), -EAGAIN);
	assert_int_equal(map.segment->evicted, 0);
	dead = open_subscriber(&bus, "dead", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_resumed(dead), 1);
	expect_frames(dead, 0, 4);
	assert_int_equal(publish_next(pub, now_ns + step_ns), 0);
	fnx_subscriber_close(dead);
	fnx_mapping_close(&map);
	fnx_publisher_close(pub);
}

TEST(one_who_is_evicted_although_it_lives_is_told_to_come_again)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_subscriber *other;

	publish_n(pub, 2);
	for (int64_t now = 0; now < 20; now++)
		(void)fnx_publisher_room(pub, 1, now * 100000000);
	assert_int_equal(fnx_publisher_readers(pub), 0);
	/* Its record has another owner, whom its leaving does not touch. */
	other = open_subscriber(&bus, "other", FNX_LOSSLESS);
	fnx_subscriber_close(sub);
	assert_int_equal(fnx_publisher_readers(pub), 1);
	publish_n(pub, 1);
	expect_frame(other, 2);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	publish_n(pub, 2);
	expect_frames(other, 3, 5);
	for (int64_t now = 100; now < 120; now++)
		(void)fnx_publisher_room(pub, 1, now * 100000000);
	/* What it has not read was not kept for it. */
	expect_gap(sub, 3, 5, FNX_GAP_LAPPED);
	expect_answer(sub, FNX_MOVED);
	fnx_subscriber_close(sub);
	fnx_subscriber_close(other);
	fnx_publisher_close(pub);
}

TEST(a_dead_monitor_that_keeps_slots_is_evicted_too)
{
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, fulls[i], 2);
		struct fnx_subscriber *sub = open_subscriber(&bus, "monitor", FNX_LOSSY);
		int r = 1;

		publish_n(pub, 2);
		expect_peek(sub, 0, SLOT_SIZE);
		assert_int_equal(fnx_subscriber_hold(sub, 0), 0);
		fnx_subscriber_release(sub);
		expect_peek(sub, 1, SLOT_SIZE);
		die(sub);
		for (int64_t now = 0; now < 20 && r; now++)
			r = publish_next(pub, now * 100000000);
		assert_int_equal(r, 0);
		fnx_publisher_close(pub);
	}
}

/* A node that comes back between the publisher's look at its presence and the eviction keeps its
 * place. */
TEST(one_who_comes_back_while_it_is_being_evicted_keeps_its_place)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	uint32_t word;

	publish_n(pub, 2);
	die(sub);
	assert_int_equal(publish_next(pub, 0), -EAGAIN);
	/* As far as resuming has come when the publisher strikes: the generation, but not yet
	 * `joins`. */
	word = map.subs->records[0].state;
	map.subs->records[0].state = ((word >> 8) + 1) << 8 | FNX_RECORD_ACTIVE;
	assert_int_equal(publish_next(pub, 2000000000), -EAGAIN);
	assert_int_equal(map.segment->evicted, 0);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_resumed(sub), 1);
	expect_frames(sub, 0, 2);
	fnx_subscriber_close(sub);
	fnx_mapping_close(&map);
	fnx_publisher_close(pub);
}

/* Its record was not seen by a pass that is under way: what that pass gives up it must not touch,
 * marked or not. */
TEST(one_who_resumes_below_the_pass_under_way_is_told_of_a_gap)
{
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, fulls[i], 8);
		struct fnx_mapping map = open_mapping(&bus);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

		publish_n(pub, 5);
		die(sub);
		map.segment->releasing = 3;
		sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		expect_gap(sub, 0, 3, FNX_GAP_LAPPED);
		expect_frames(sub, 3, 5);
		fnx_mapping_close(&map);
		fnx_subscriber_close(sub);
		fnx_publisher_close(pub);
	}
}

TEST(a_record_left_by_one_who_died_while_joining_is_taken)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
	char name[16];

	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
		map.subs->records[i].state = FNX_RECORD_CLAIMED;
	fnx_mapping_close(&map);
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		snprintf(name, sizeof(name), "reader-%u", i);
		subs[i] = open_subscriber(&bus, name, FNX_LOSSLESS);
	}
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
		fnx_subscriber_close(subs[i]);
	fnx_publisher_close(pub);
}

TEST(a_record_that_another_is_claiming_is_left_alone)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_subscriber *sub;

	map.subs->records[0].state = FNX_RECORD_CLAIMED;
	assert_int_equal(fnx_mapping_lock_record(&map, 0), 0);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	assert_int_equal(map.subs->records[0].state, FNX_RECORD_CLAIMED);
	assert_int_equal(map.subs->records[1].state & 0xff, FNX_RECORD_ACTIVE);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

/* Replaced topics
 * ----------------------------------------------------------------------------------- */

TEST(a_publisher_that_leaves_lets_its_readers_drain_and_then_tells_them)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_subscriber_config config = subscriber_config("other", FNX_LOSSLESS);
	struct fnx_subscriber *other;

	publish_n(pub, 3);
	fnx_publisher_advance(pub, FNX_END, 7);
	assert_null(fnx_publisher_close(pub));
	assert_null(fnx_publisher_close(NULL));
	assert_int_equal(fnx_subscriber_open(&bus, &config, &other), -ENOENT);
	assert_int_equal(fnx_subscriber_park(sub, INT64_MAX), 1);
	expect_frames(sub, 0, 3);
	expect_answer(sub, FNX_MOVED);
	expect_answer(sub, FNX_MOVED);
	assert_int_equal(fnx_subscriber_watermark(sub, NULL), FNX_END);
	fnx_subscriber_close(sub);
}

TEST(readers_of_a_topic_with_another_layout_are_told_that_it_moved)
{
	for (unsigned change = 0; change < 7; change++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 8);

		publish_n(pub, 3);
		die(pub);
		switch (change) {
		case 0:
			config.n_slots = 9;
			break;
		case 1:
			config.slot_size = 2 * SLOT_SIZE;
			break;
		case 2:
			config.n_entries = 64;
			break;
		case 3:
			config.full = FNX_FULL_DROP;
			break;
		case 4:
			config.schema_hash = 43;
			break;
		case 5:
			config.schema = "\x81\xa1s\x02";
			break;
		default:
			config.node = "another-writer";
		}
		assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
		assert_int_equal(fnx_publisher_adopted(pub), 0);
		expect_frames(sub, 0, 3);
		expect_answer(sub, FNX_MOVED);
		fnx_subscriber_close(sub);
		if (change != 4) {
			sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
			assert_int_equal(fnx_subscriber_resumed(sub), 0);
			publish_n(pub, 1);
			expect_peek(sub, 0, fnx_publisher_slot_size(pub));
			fnx_subscriber_release(sub);
			fnx_subscriber_close(sub);
		}
		fnx_publisher_close(pub);
	}
}

TEST(the_topic_of_another_living_node_is_busy)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8), *other = NULL;
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 8);
	struct fnx_presence presence;

	assert_int_equal(fnx_presence_claim(&bus, "writer", &presence, NULL), 0);
	config.node = "other";
	assert_int_equal(fnx_publisher_open(&bus, &config, &other), -EBUSY);
	assert_null(other);
	fnx_presence_drop(&presence);
	die(pub);
	assert_int_equal(fnx_publisher_open(&bus, &config, &other), 0);
	fnx_publisher_close(other);
}

/* Refusals
 * ------------------------------------------------------------------------------------------ */

TEST(a_topic_that_cannot_be_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = NULL;

	for (unsigned change = 0; change < 10; change++) {
		struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 8);

		switch (change) {
		case 0:
			config.name = "../evil";
			break;
		case 1:
			config.node = "";
			break;
		case 2:
			config.n_slots = 1;
			break;
		case 3:
			config.n_slots = 65537;
			break;
		case 4:
			config.slot_size = (size_t)UINT32_MAX + 1;
			break;
		case 5:
			config.n_entries = 4 * 65536 + 1;
			break;
		case 6:
			config.full = (enum fnx_full_policy)0;
			break;
		case 7:
			config.schema_size = SIZE_MAX;
			break;
		case 8:
			config.schema = NULL;
			break;
		default:
			config.grace_ns = -1;
		}
		assert_int_equal(fnx_publisher_open(&bus, &config, &pub), -EINVAL);
		assert_null(pub);
	}
}

TEST(a_subscription_that_cannot_be_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_subscriber *sub = NULL;

	config.topic = "no-such-topic";
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), -ENOENT);
	config.topic = "/topic";
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), -EINVAL);
	config = subscriber_config("no such name", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), -EINVAL);
	config = subscriber_config("reader", (enum fnx_policy)4);
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), -EINVAL);
	config = subscriber_config("reader", FNX_LOSSY);
	config.schema_hash = 43;
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), -EPROTO);
	assert_null(sub);
	config.schema_hash = 0;
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), 0);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(slots_are_rounded_up_to_cache_lines_and_adopted_all_the_same)
{
	for (size_t size = 0; size < 200; size++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 2);
		struct fnx_publisher *pub;

		config.slot_size = size;
		config.schema = NULL;
		config.schema_size = 0;
		assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
		assert_true(fnx_publisher_slot_size(pub) >= size);
		assert_true(fnx_publisher_slot_size(pub) < size + FNX_CACHE_LINE + !size);
		assert_int_equal(fnx_publisher_slot_size(pub) % FNX_CACHE_LINE, 0);
		die(pub);
		assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
		assert_int_equal(fnx_publisher_adopted(pub), 1);
		fnx_publisher_close(pub);
		fnx_bus_remove(&bus);
	}
}

TEST(a_segment_directory_without_room_is_an_error_and_leaves_nothing_behind)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 64);
	struct rlimit before, limit;
	struct fnx_publisher *pub = NULL;
	void (*action)(int) = signal(SIGXFSZ, SIG_IGN);

	getrlimit(RLIMIT_FSIZE, &before);
	/* The first limit is too small for .subs alone, the second for .data. */
	for (rlim_t size = 16384; size <= 45056; size += 28672) {
		limit = before;
		limit.rlim_cur = size;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		config.n_slots = size < 20000 ? 2 : 512;
		config.n_entries = 8;
		config.slot_size = 64;
		assert_int_equal(fnx_publisher_open(&bus, &config, &pub), -EFBIG);
		setrlimit(RLIMIT_FSIZE, &before);
		assert_null(pub);
		assert_int_equal(rmdir(bus.segment_dir), 0);
		assert_int_equal(fnx_bus_create(&bus, NULL), 0);
	}
	signal(SIGXFSZ, action);
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	fnx_publisher_close(pub);
}

/* Opens the topic both ways, and uses it as far as it lets itself be used. Must not crash. */
static int try_everything(const struct fnx_bus *bus)
{
	struct fnx_topic_config topic = topic_config(FNX_FULL_DROP, 4);
	struct fnx_subscriber_config config = subscriber_config("prober", FNX_LOSSY);
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	int r;

	config.schema_hash = 0;
	config.start = FNX_START_OLDEST;
	r = fnx_subscriber_open(bus, &config, &sub);
	if (!r) {
		for (unsigned i = 0; i < 20; i++) {
			int answer = fnx_subscriber_peek(sub, &frame, &gap);

			if (answer == FNX_FRAME)
				(void)payload_right(frame.payload, frame.seq, frame.length);
			if (answer == FNX_FRAME || answer == -EBADMSG)
				fnx_subscriber_release(sub);
		}
		fnx_subscriber_close(sub);
	}
	assert_int_equal(fnx_publisher_open(bus, &topic, &pub), 0);
	for (unsigned i = 0; i < 20; i++)
		(void)publish_next(pub, 0);
	die(pub);
	return r;
}

TEST(a_damaged_header_is_refused_and_replaced_and_never_believed)
{
	struct check_random random = check_random_seeded();
	unsigned n_refused = 0;

	for (unsigned round = 0; round < 2000; round++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
		struct fnx_mapping map = open_mapping(&bus);
		size_t size = offsetof(struct fnx_segment, topic) + FNX_NAME_MAX;
		unsigned char *bytes = (unsigned char *)map.segment;
		size_t at = check_random_below(&random, size / 4) * 4;
		uint32_t word;

		publish_n(pub, 3);
		die(pub);
		memcpy(&word, bytes + at, 4);
		switch (check_random_below(&random, 4)) {
		case 0:
			word ^= 1u << check_random_below(&random, 32);
			break;
		case 1:
			word = (uint32_t)check_random_u64(&random);
			break;
		case 2:
			word = UINT32_MAX;
			break;
		default:
			word = 0;
		}
		memcpy(bytes + at, &word, 4);
		n_refused += try_everything(&bus) != 0;
		fnx_mapping_close(&map);
		fnx_bus_remove(&bus);
	}
	assert_true(n_refused > 200);
}

static void mutate(const struct fnx_bus *bus, size_t at, uint64_t value, size_t size)
{
	struct fnx_mapping map = open_mapping(bus);

	memcpy((unsigned char *)map.segment + at, &value, size);
	fnx_mapping_close(&map);
}

TEST(every_size_in_the_header_is_checked)
{
	static const struct {
		size_t at;
		uint64_t value;
		size_t size;
		int answer;
	} cases[] = {
#define FIELD(name) \
	offsetof(struct fnx_segment, name), .size = sizeof(((struct fnx_segment *)0)->name)
		{FIELD(magic), .value = 0, .answer = -EBADMSG},
		{FIELD(abi), .value = FNX_SEGMENT_ABI + 1, .answer = -EPROTO},
		{FIELD(endian), .value = 0x04030201, .answer = -EPROTO},
		{FIELD(epoch), .value = 1, .answer = -ENOENT},
		{FIELD(full), .value = 3, .answer = -EBADMSG},
		{FIELD(n_slots), .value = 1, .answer = -EBADMSG},
		{FIELD(n_slots), .value = 16, .answer = -EBADMSG},
		{FIELD(n_slots), .value = 65537, .answer = -EBADMSG},
		{FIELD(n_entries), .value = 0, .answer = -EBADMSG},
		{FIELD(n_entries), .value = 15, .answer = -EBADMSG},
		{FIELD(n_entries), .value = 1u << 31, .answer = -EBADMSG},
		{FIELD(slot_size), .value = 0, .answer = -EBADMSG},
		{FIELD(slot_size), .value = 65, .answer = -EBADMSG},
		{FIELD(slot_size), .value = UINT64_C(1) << 63, .answer = -EBADMSG},
		{FIELD(schema_offset), .value = 0, .answer = -EBADMSG},
		{FIELD(schema_size), .value = UINT64_MAX, .answer = -EBADMSG},
		{FIELD(ledger_offset), .value = 0, .answer = -EBADMSG},
		{FIELD(ledger_offset), .value = UINT64_MAX - 63, .answer = -EBADMSG},
		{FIELD(pool_offset), .value = 0, .answer = -EBADMSG},
		{FIELD(pool_offset), .value = UINT64_MAX - 63, .answer = -EBADMSG},
		{FIELD(pool_offset), .value = 65536, .answer = -EBADMSG},
		{FIELD(file_size), .value = 1, .answer = -EBADMSG},
		{offsetof(struct fnx_segment, node), .size = 1, .value = '/', .answer = -EBADMSG},
		{offsetof(struct fnx_segment, topic), .size = 1, .value = 0, .answer = -EBADMSG},
#undef FIELD
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
		struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
		struct fnx_subscriber *sub = NULL;

		die(pub);
		mutate(&bus, cases[i].at, cases[i].value, cases[i].size);
		assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), cases[i].answer);
		assert_null(sub);
		/* A publisher puts it right. */
		pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
		assert_int_equal(fnx_publisher_adopted(pub), 0);
		assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), 0);
		fnx_subscriber_close(sub);
		fnx_publisher_close(pub);
	}
}

TEST(files_cut_short_or_of_another_kind_are_refused)
{
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	static const char *const suffixes[] = {"data", "subs"};
	static const off_t sizes[] = {0, 1, 4095, 4096, 12288, 16384};
	struct fnx_subscriber *sub = NULL;
	char path[256];

	for (unsigned i = 0; i < 16; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 64);
		unsigned kind = i / 2;
		int answer;

		fnx_publisher_advance(pub, 1, 1);
		snprintf(path, sizeof(path), "%s/topic.%s", bus.segment_dir, suffixes[i & 1]);
		if (kind < 6) {
			assert_int_equal(truncate(path, sizes[kind]), 0);
			answer = -EBADMSG;
		} else {
			assert_int_equal(unlink(path), 0);
			answer = kind == 6 ? -ENOENT : -EISDIR;
			if (kind == 7)
				assert_int_equal(mkdir(path, 0770), 0);
		}
		if (kind == 7 && !(i & 1))
			answer = -EBADMSG; /* a directory can be opened for reading */
		assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), answer);
		assert_null(sub);
		die(pub);
	}
}

TEST(a_damaged_entry_is_told_of_once_and_skipped_by_release)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);

	publish_n(pub, 5);
	fnx_mapping_entry(&map, 1)->slot = 8;
	fnx_mapping_entry(&map, 3)->length = SLOT_SIZE + 1;
	expect_frame(sub, 0);
	expect_answer(sub, -EBADMSG);
	expect_answer(sub, -EBADMSG);
	fnx_subscriber_release(sub);
	expect_frame(sub, 2);
	expect_answer(sub, -EBADMSG);
	fnx_subscriber_release(sub);
	expect_frame(sub, 4);
	fnx_mapping_entry(&map, 1)->slot = 1;
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

/* Watermarks and waking
 * ----------------------------------------------------------------------------- */

TEST(a_watermark_never_goes_back)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	int64_t ingress_ns;

	assert_true(fnx_subscriber_watermark(sub, NULL) == INT64_MIN);
	fnx_publisher_advance(pub, -5, 50);
	assert_int_equal(fnx_subscriber_watermark(sub, &ingress_ns), -5);
	assert_int_equal(ingress_ns, 50);
	fnx_publisher_advance(pub, -6, 60);
	assert_int_equal(fnx_subscriber_watermark(sub, &ingress_ns), -5);
	assert_int_equal(ingress_ns, 50);
	fnx_publisher_advance(pub, 100, 70);
	assert_int_equal(fnx_publisher_watermark(pub), 100);
	assert_int_equal(fnx_subscriber_watermark(sub, &ingress_ns), 100);
	assert_int_equal(ingress_ns, 70);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

struct sleeper {
	struct fnx_bus bus;
	struct fnx_bell *writers_bell, *readers_bell;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
};

static struct sleeper open_sleeper(enum fnx_full_policy full, enum fnx_policy policy)
{
	struct sleeper s = {.bus = fixture_bus()};

	assert_int_equal(fnx_bell_open(&s.bus, "writer", FNX_BELL_FORM_PIPE, &s.writers_bell), 0);
	assert_int_equal(fnx_bell_open(&s.bus, "reader", FNX_BELL_FORM_PIPE, &s.readers_bell), 0);
	s.pub = open_publisher(&s.bus, full, 8);
	s.sub = open_subscriber(&s.bus, "reader", policy);
	return s;
}

static void close_sleeper(struct sleeper *s)
{
	fnx_subscriber_close(s->sub);
	fnx_publisher_close(s->pub);
	fnx_bell_close(s->readers_bell);
	fnx_bell_close(s->writers_bell);
}

TEST(a_burst_rings_a_parked_reader_once)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);

	publish_n(s.pub, 2);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 1);
	expect_frames(s.sub, 0, 2);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	publish_n(s.pub, 5);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	expect_frames(s.sub, 2, 7);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	fnx_subscriber_unpark(s.sub);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	close_sleeper(&s);
}

TEST(a_reader_that_waits_for_a_watermark_is_rung_when_it_is_reached)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);

	assert_int_equal(fnx_subscriber_park(s.sub, 100), 0);
	fnx_publisher_advance(s.pub, 99, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	fnx_publisher_advance(s.pub, 100, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	fnx_publisher_advance(s.pub, 101, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	assert_int_equal(fnx_subscriber_park(s.sub, 101), 1);
	assert_int_equal(fnx_subscriber_park(s.sub, 102), 0);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	expect_frame(s.sub, 0);
	/* One who cares for frames alone hears of the end. */
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	fnx_publisher_advance(s.pub, INT64_MAX - 1, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	fnx_publisher_advance(s.pub, FNX_END, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	close_sleeper(&s);
}

TEST(a_reader_that_dozes_leaves_frames_unread_until_there_are_more_or_the_watermark_is_reached)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);

	publish_n(s.pub, 1);
	assert_int_equal(fnx_subscriber_due(s.sub, 100, 2), 0);
	assert_int_equal(fnx_subscriber_doze(s.sub, 100, 2), 0);
	publish_n(s.pub, 1);
	fnx_publisher_advance(s.pub, 99, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 0);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 1);
	assert_int_equal(fnx_subscriber_due(s.sub, 100, 2), 1);
	assert_int_equal(fnx_subscriber_doze(s.sub, 100, 2), 1);
	expect_frames(s.sub, 0, 3);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_subscriber_doze(s.sub, 100, 2), 0);
	fnx_publisher_advance(s.pub, 100, 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	assert_int_equal(fnx_subscriber_doze(s.sub, 100, 2), 1);
	assert_int_equal(fnx_subscriber_doze(s.sub, 101, 2), 0);
	close_sleeper(&s);
}

TEST(a_reader_that_dozes_leaves_no_more_than_a_quarter_of_the_pool_unread)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_topic_config config;
	uint32_t n;

	fnx_subscriber_describe(s.sub, &config);
	n = config.n_slots / 4;
	assert_true(n > 0);
	assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, UINT32_MAX), 0);
	publish_n(s.pub, n);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	close_sleeper(&s);
}

TEST(a_reader_that_dozes_is_rung_when_its_topic_is_replaced_and_when_its_publisher_wants_room)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_subscriber *other = open_subscriber(&s.bus, "other", FNX_LOSSLESS);
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 9);
	uint64_t n = 0;

	/* The other one has not read any: nobody but it can make room. */
	while (fnx_publisher_room(s.pub, 2, 0)) {
		publish_n(s.pub, 1);
		expect_frame(s.sub, n++);
	}
	assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, 4), 0);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	fnx_publisher_unpark(s.pub);
	assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, 4), 0);
	die(s.pub);
	assert_int_equal(fnx_publisher_open(&s.bus, &config, &s.pub), 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	fnx_subscriber_close(other);
	close_sleeper(&s);
}

TEST(nobody_dozes_over_frames_whose_room_a_sleeping_publisher_waits_for)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_topic_config config;

	fnx_subscriber_describe(s.sub, &config);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_subscriber_due(s.sub, INT64_MAX, 2), 0);
	assert_int_equal(fnx_publisher_park(s.pub, config.n_slots, 0), 0);
	assert_int_equal(fnx_subscriber_due(s.sub, INT64_MAX, 2), 1);
	assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, 2), 1);
	expect_frame(s.sub, 0);
	/* It has nothing left to give. */
	assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, 2), 0);
	close_sleeper(&s);
}

TEST(a_publisher_that_finds_no_room_rings_who_dozes_over_unread_frames_each_time)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_subscriber *other = open_subscriber(&s.bus, "other", FNX_LOSSLESS);
	uint64_t n;

	for (n = 0; n < 7; n++) {
		publish_n(s.pub, 1);
		expect_frame(s.sub, n);
	}
	for (unsigned way = 0; way < 3; way++) {
		assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, 2), 0);
		if (way == 0)
			publish_n(s.pub, 1);
		assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
		if (way == 1)
			assert_int_equal(publish_next(s.pub, 0), -EAGAIN);
		else
			assert_int_equal(fnx_publisher_room(s.pub, 1, 0), 0);
		assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
		/* Once for each doze: it is about to look. */
		assert_int_equal(fnx_publisher_room(s.pub, 1, 0), 0);
		assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	}
	fnx_subscriber_close(other);
	close_sleeper(&s);
}

TEST(a_publisher_that_finds_no_room_lets_those_sleep_who_have_nothing_to_give)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_subscriber_config config = subscriber_config("lazy", FNX_LOSSLESS);
	struct fnx_subscriber *lazy;
	struct fnx_bell *lazys_bell;

	config.lazy = 1;
	assert_int_equal(fnx_bell_open(&s.bus, "lazy", FNX_BELL_FORM_PIPE, &lazys_bell), 0);
	assert_int_equal(fnx_subscriber_open(&s.bus, &config, &lazy), 0);
	publish_n(s.pub, 8);
	expect_frames(s.sub, 0, 8);
	expect_frames(lazy, 0, 8);
	/* It gives back what it has read when somebody else says so. */
	assert_int_equal(fnx_subscriber_park(lazy, INT64_MAX), 0);
	assert_int_equal(fnx_subscriber_doze(s.sub, INT64_MAX, 2), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(publish_next(s.pub, 0), -EAGAIN);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	assert_int_equal(fnx_bell_drain(lazys_bell), 0);
	fnx_subscriber_commit(lazy);
	assert_int_equal(fnx_publisher_room(s.pub, 8, 0), 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	fnx_subscriber_close(lazy);
	fnx_bell_close(lazys_bell);
	close_sleeper(&s);
}

TEST(a_parked_reader_is_rung_when_its_topic_is_replaced)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 9);

	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	die(s.pub);
	assert_int_equal(fnx_publisher_open(&s.bus, &config, &s.pub), 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	expect_answer(s.sub, FNX_MOVED);
	close_sleeper(&s);
}

TEST(a_reader_whose_bell_came_late_is_rung_all_the_same)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_bell *bell;

	publish_n(pub, 1);
	expect_frame(sub, 0);
	assert_int_equal(fnx_bell_open(&bus, "reader", FNX_BELL_FORM_PIPE, &bell), 0);
	assert_int_equal(fnx_subscriber_park(sub, INT64_MAX), 0);
	publish_n(pub, 1);
	assert_int_equal(fnx_bell_drain(bell), 1);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bell_close(bell);
}

TEST(one_who_is_parked_although_there_is_work_has_overslept)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);

	publish_n(s.pub, 1);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 0);
	expect_frame(s.sub, 0);
	assert_int_equal(fnx_subscriber_park(s.sub, 100), 0);
	fnx_publisher_advance(s.pub, 99, 0);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 0);
	fnx_publisher_advance(s.pub, 100, 0);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 1);
	fnx_subscriber_unpark(s.sub);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 0);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	publish_n(s.pub, 1);
	assert_int_equal(fnx_subscriber_overslept(s.sub), 1);
	close_sleeper(&s);
}

TEST(a_ring_goes_to_who_has_the_place_now)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&s.bus);
	struct fnx_bell *heirs_bell;
	uint64_t joins;

	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_open(&s.bus, "heir", FNX_BELL_FORM_PIPE, &heirs_bell), 0);
	joins = map.subs->joins;
	fnx_subscriber_close(s.sub);
	s.sub = open_subscriber(&s.bus, "heir", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	/* The publisher has looked who is there, and has yet to ring. */
	map.subs->joins = joins;
	publish_n(s.pub, 1);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 0);
	assert_int_equal(fnx_bell_drain(heirs_bell), 1);
	expect_frame(s.sub, 1);
	fnx_mapping_close(&map);
	fnx_bell_close(heirs_bell);
	close_sleeper(&s);
}

TEST(a_parked_publisher_is_rung_once_half_is_drained)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);

	assert_int_equal(fnx_publisher_park(s.pub, 8, 0), 1);
	publish_n(s.pub, 8);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 1);
	assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
	expect_frames(s.sub, 0, 3);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 0);
	expect_frame(s.sub, 3);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 1);
	expect_frames(s.sub, 4, 8);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 0);
	assert_int_equal(fnx_publisher_park(s.pub, 8, 0), 1);
	publish_n(s.pub, 8);
	assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
	fnx_publisher_unpark(s.pub);
	expect_frames(s.sub, 8, 16);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 0);
	close_sleeper(&s);
}

TEST(a_publisher_that_parks_wakes_its_parked_readers_first)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_subscriber *other = open_subscriber(&s.bus, "other", FNX_LOSSLESS);

	publish_n(s.pub, 8);
	expect_frames(s.sub, 0, 8);
	assert_int_equal(fnx_subscriber_park(s.sub, INT64_MAX), 0);
	assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
	assert_int_equal(fnx_bell_drain(s.readers_bell), 1);
	fnx_subscriber_close(other);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 1);
	close_sleeper(&s);
}

TEST(a_parked_publisher_is_rung_when_a_slot_that_was_kept_comes_free)
{
	/* By the end of a lossy reader's turn, by a hold given up, by a reader that leaves. */
	for (unsigned way = 0; way < 3; way++) {
		struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSY);

		publish_n(s.pub, 8);
		for (uint64_t seq = 0; seq < 7; seq++) {
			expect_peek(s.sub, seq, SLOT_SIZE);
			assert_int_equal(fnx_subscriber_hold(s.sub, seq), 0);
			fnx_subscriber_release(s.sub);
		}
		expect_peek(s.sub, 7, SLOT_SIZE);
		assert_int_equal(publish_next(s.pub, 0), -EAGAIN);
		assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
		assert_int_equal(fnx_bell_drain(s.writers_bell), 0);
		if (way == 0)
			fnx_subscriber_release(s.sub);
		else if (way == 1)
			fnx_subscriber_drop(s.sub, 4);
		else
			s.sub = fnx_subscriber_close(s.sub);
		assert_int_equal(fnx_bell_drain(s.writers_bell), 1);
		assert_int_equal(fnx_publisher_room(s.pub, 1, 0), 1);
		close_sleeper(&s);
	}
}

TEST(a_parked_publisher_is_rung_by_the_end_of_a_turn_far_behind)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSY);
	struct fnx_subscriber *keeper = open_subscriber(&s.bus, "keeper", FNX_LOSSY);

	publish_n(s.pub, 8);
	expect_peek(s.sub, 0, SLOT_SIZE);
	expect_frame(keeper, 0);
	for (uint64_t seq = 1; seq < 8; seq++) {
		expect_peek(keeper, seq, SLOT_SIZE);
		assert_int_equal(fnx_subscriber_hold(keeper, seq), 0);
		fnx_subscriber_release(keeper);
	}
	assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
	fnx_subscriber_release(s.sub);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 1);
	assert_int_equal(publish_next(s.pub, 0), 0);
	fnx_subscriber_close(keeper);
	close_sleeper(&s);
}

/* It stands for everything that is unread until it knows where it begins. */
TEST(a_newcomer_rings_a_publisher_that_may_have_gone_to_sleep_because_of_it)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&s.bus);
	struct fnx_subscriber *other;

	map.subs->writer_wake = 1000;
	other = open_subscriber(&s.bus, "other", FNX_LOSSLESS);
	assert_int_equal(fnx_bell_drain(s.writers_bell), 1);
	fnx_subscriber_close(other);
	fnx_mapping_close(&map);
	close_sleeper(&s);
}

TEST(a_parked_publisher_is_rung_through_its_successors_bell)
{
	struct sleeper s = open_sleeper(FNX_FULL_WAIT, FNX_LOSSLESS);

	for (unsigned i = 0; i < 3; i++) {
		uint64_t head = fnx_publisher_head(s.pub);

		publish_n(s.pub, 8);
		assert_int_equal(fnx_publisher_park(s.pub, 1, 0), 0);
		expect_frames(s.sub, head, head + 8);
		assert_int_equal(fnx_bell_drain(s.writers_bell), 1);
		die(s.pub);
		fnx_bell_close(s.writers_bell);
		assert_int_equal(
			fnx_bell_open(&s.bus, "writer", FNX_BELL_FORM_PIPE, &s.writers_bell), 0);
		s.pub = open_publisher(&s.bus, FNX_FULL_WAIT, 8);
		assert_int_equal(fnx_publisher_adopted(s.pub), 1);
	}
	close_sleeper(&s);
}

/* Successors
 * ---------------------------------------------------------------------------------------- */

TEST(the_tail_tells_a_successor_what_was_said_last)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 2);
	struct fnx_publisher_tail tail;
	struct fnx_stamp stamp = {.sample_time = 5, .origin = 7};
	struct fnx_subscriber *sub;
	void *payload;

	fnx_publisher_tail(pub, &tail);
	assert_int_equal(tail.count, 0);
	for (unsigned i = 1; i <= 20; i++) {
		assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
		fnx_publisher_publish(pub, 0, &stamp);
		fnx_publisher_tail(pub, &tail);
		/* The ledger of 8 knows no more. */
		assert_int_equal(tail.count, i < 8 ? i : 8);
		assert_int_equal(tail.sample_time, 5);
		assert_int_equal(tail.origin, 7);
	}
	stamp.origin = 8;
	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
	fnx_publisher_publish(pub, 0, &stamp);
	fnx_publisher_tail(pub, &tail);
	assert_int_equal(tail.count, 1);
	assert_int_equal(tail.origin, 8);
	/* A frame that found no slot was not said. */
	sub = open_subscriber(&bus, "reader", FNX_LOSSY);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
		fnx_publisher_publish(pub, 0, &stamp);
		expect_answer(sub, FNX_FRAME);
		assert_int_equal(fnx_subscriber_hold(sub, fnx_subscriber_next(sub)), 0);
		fnx_subscriber_release(sub);
	}
	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), -ENOBUFS);
	fnx_publisher_tail(pub, &tail);
	assert_int_equal(tail.count, 3);
	assert_int_equal(tail.origin, 8);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(lapped_counts_go_on_under_a_successor_and_begin_anew_with_a_new_reader)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);

	publish_n(pub, 10);
	assert_int_equal(map.segment->lapped[0], 6);
	die(pub);
	pub = open_publisher(&bus, FNX_FULL_DROP, 4);
	publish_n(pub, 1);
	assert_int_equal(map.segment->lapped[0], 7);
	die(sub);
	sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	publish_n(pub, 1);
	assert_int_equal(map.segment->lapped[0], 8);
	fnx_subscriber_close(sub);
	sub = open_subscriber(&bus, "another", FNX_LOSSLESS);
	publish_n(pub, 1);
	assert_int_equal(map.segment->lapped[0], 0);
	assert_int_equal(fnx_publisher_lapped(pub), 8);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}
