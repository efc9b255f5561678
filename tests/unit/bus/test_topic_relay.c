/* SPDX-License-Identifier: BSD-3-Clause */
/* What bridges ask of topics: gaps put down as such, a first sequence number, going back. */
#include "tests/unit/bus/topic_fixture.h"

TEST(what_is_skipped_is_a_gap_of_each_reader)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

	publish_n(pub, 2);
	assert_int_equal(fnx_publisher_skip(pub, 5, 0), 0);
	publish_n(pub, 1);
	expect_frames(sub, 0, 2);
	for (uint64_t seq = 2; seq < 5; seq++)
		expect_gap(sub, seq, seq + 1, FNX_GAP_DROPPED);
	expect_frame(sub, 5);
	expect_answer(sub, FNX_NOTHING);
	assert_int_equal(fnx_publisher_dropped(pub), 3);
	expect_all_slots(&bus, pub, 8);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_gap_longer_than_the_ledger_waits_for_readers)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_frame frame;
	struct fnx_gap gap;
	uint64_t next = 3;

	publish_n(pub, 3);
	assert_int_equal(fnx_publisher_skip(pub, 1000, 0), -EAGAIN);
	expect_frames(sub, 0, 3);
	while (fnx_publisher_skip(pub, 1000, 0) == -EAGAIN)
		while (fnx_subscriber_peek(sub, &frame, &gap) == FNX_GAP) {
			assert_int_equal(gap.from, next);
			next = gap.to;
		}
	while (fnx_subscriber_peek(sub, &frame, &gap) == FNX_GAP) {
		assert_int_equal(gap.from, next);
		next = gap.to;
	}
	assert_int_equal(next, 1000);
	publish_n(pub, 1);
	expect_frame(sub, 1000);
	expect_all_slots(&bus, pub, 8);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_drop_publisher_skips_whoever_is_slow)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_frame frame;
	struct fnx_gap gap;
	uint64_t next = 0;

	publish_n(pub, 8);
	assert_int_equal(fnx_publisher_skip(pub, 5000, 0), 0);
	publish_n(pub, 1);
	while (next < 5000) {
		if (fnx_subscriber_peek(sub, &frame, &gap) == FNX_GAP) {
			assert_int_equal(gap.from, next);
			next = gap.to;
		} else {
			assert_int_equal(frame.seq, next++);
			fnx_subscriber_release(sub);
		}
	}
	expect_frame(sub, 5000);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_topic_full_of_gaps_is_taken_over)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);

	publish_n(pub, 4);
	assert_int_equal(fnx_publisher_skip(pub, 20, 0), 0);
	publish_n(pub, 4);
	die(pub);
	pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	assert_int_equal(fnx_publisher_adopted(pub), 1);
	assert_int_equal(fnx_publisher_head(pub), 24);
	expect_frames(sub, 0, 4);
	for (uint64_t seq = 4; seq < 20; seq++)
		expect_gap(sub, seq, seq + 1, FNX_GAP_DROPPED);
	expect_frames(sub, 20, 24);
	expect_all_slots(&bus, pub, 8);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(frames_may_begin_with_any_number)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 8);
	struct fnx_subscriber *sub;
	struct fnx_publisher *pub;

	config.epoch = 77;
	config.first_seq = 123456789;
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	sub = open_subscriber_oldest(&bus, "reader", FNX_LOSSLESS);
	assert_int_equal(fnx_subscriber_epoch(sub), 77);
	publish_n(pub, 3);
	expect_frames(sub, 123456789, 123456792);
	expect_all_slots(&bus, pub, 8);
	/* One of the same epoch is taken over, one of another replaced. */
	die(pub);
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	assert_int_equal(fnx_publisher_adopted(pub), 1);
	expect_answer(sub, FNX_FRAME);
	die(pub);
	config.epoch = 78;
	assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
	assert_int_equal(fnx_publisher_adopted(pub), 0);
	assert_int_equal(fnx_publisher_head(pub), 123456789);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(a_lazy_reader_goes_back_to_what_it_has_not_committed)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_subscriber *sub;

	config.lazy = 1;
	assert_int_equal(fnx_subscriber_open(&bus, &config, &sub), 0);
	publish_n(pub, 8);
	expect_frames(sub, 0, 6);
	fnx_subscriber_commit_to(sub, 4);
	/* Those below 4 are given back, and no more. */
	publish_n(pub, 4);
	assert_int_equal(publish_next(pub, 0), -EAGAIN);
	expect_answer(sub, FNX_FRAME);
	fnx_subscriber_rewind(sub);
	expect_frames(sub, 4, 12);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}
