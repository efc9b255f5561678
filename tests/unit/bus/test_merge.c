/* SPDX-License-Identifier: BSD-3-Clause */
/* Long, since the examples, the model and the threads use one bench. */
#include "bus/merge.h"

#include "tests/unit/bus/topic_fixture.h"

#include <pthread.h>
#include <sched.h>

enum {
	MAX_INPUTS = 6
};

/* Several topics, in-0 to in-5, all read by one node. */
struct bench {
	struct fnx_bus bus;
	unsigned n;
	struct fnx_publisher *pubs[MAX_INPUTS];
	struct fnx_subscriber *subs[MAX_INPUTS];
	struct fnx_merge merge;
};

static struct fnx_topic_config input_config(unsigned i, enum fnx_full_policy full, uint32_t n_slots)
{
	static const char *const names[] = {"in-0", "in-1", "in-2", "in-3", "in-4", "in-5"};
	struct fnx_topic_config config = topic_config(full, n_slots);

	config.name = config.node = names[i];
	return config;
}

static void subscribe_input(struct bench *b, unsigned i)
{
	struct fnx_subscriber_config config = subscriber_config("merger", FNX_LOSSLESS);

	config.topic = input_config(i, FNX_FULL_WAIT, 2).name;
	assert_int_equal(fnx_subscriber_open(&b->bus, &config, &b->subs[i]), 0);
}

static void open_bench(struct bench *b, unsigned n, enum fnx_full_policy full, uint32_t n_slots,
	int64_t deadline_ns)
{
	memset(b, 0, sizeof(*b));
	b->bus = fixture_bus();
	b->n = n;
	fnx_merge_init(&b->merge, deadline_ns);
	for (unsigned i = 0; i < n; i++) {
		struct fnx_topic_config config = input_config(i, full, n_slots);

		assert_int_equal(fnx_publisher_open(&b->bus, &config, &b->pubs[i]), 0);
		subscribe_input(b, i);
		assert_int_equal(fnx_merge_add(&b->merge, b->subs[i]), i);
	}
}

static void close_bench(struct bench *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		fnx_subscriber_close(b->subs[i]);
		fnx_publisher_close(b->pubs[i]);
	}
	assert_true(fnx_bus_remove(&b->bus) >= 0);
}

/* A frame of input `i` at sample time `time`, published at `publish_ns`; it came in at ten times
 * its time. */
static void put_at(struct bench *b, unsigned i, int64_t time, int64_t publish_ns)
{
	struct fnx_stamp stamp = {
		.sample_time = time, .ingress_ns = time * 10, .publish_ns = publish_ns};
	void *payload;

	assert_int_equal(fnx_publisher_loan(b->pubs[i], 0, &payload), 0);
	memcpy(payload, &time, sizeof(time));
	fnx_publisher_publish(b->pubs[i], sizeof(time), &stamp);
}

static void put(struct bench *b, unsigned i, int64_t time)
{
	put_at(b, i, time, 0);
}

static int next_at(struct bench *b, int64_t now_ns, unsigned *input, struct fnx_frame *frame)
{
	struct fnx_gap gap;

	return fnx_merge_next(&b->merge, now_ns, input, frame, &gap);
}

static void expect_at(struct bench *b, int64_t now_ns, unsigned i, int64_t time, uint32_t flags)
{
	struct fnx_frame frame;
	unsigned input;

	assert_int_equal(next_at(b, now_ns, &input, &frame), FNX_FRAME);
	assert_int_equal(input, i);
	assert_int_equal(frame.stamp.sample_time, time);
	assert_int_equal(frame.stamp.flags, flags);
	assert_memory_equal(frame.payload, &time, sizeof(time));
	fnx_merge_release(&b->merge, input);
}

static void expect(struct bench *b, unsigned i, int64_t time)
{
	expect_at(b, 0, i, time, 0);
}

static void expect_blocked_at(struct bench *b, int64_t now_ns, int64_t until)
{
	struct fnx_frame frame;
	unsigned input = 77;

	assert_int_equal(next_at(b, now_ns, &input, &frame), FNX_NOTHING);
	assert_int_equal(input, 77);
	assert_true(b->merge.until == until);
}

static void expect_blocked(struct bench *b, int64_t until)
{
	expect_blocked_at(b, 0, until);
}

static void advance(struct bench *b, unsigned i, int64_t watermark)
{
	int64_t ingress_ns = watermark < INT64_MAX / 10 ? watermark * 10 : INT64_MAX;

	fnx_publisher_advance(b->pubs[i], watermark, ingress_ns);
}

/* Order
 * --------------------------------------------------------------------------------------------- */

TEST(frames_come_in_the_order_of_their_sample_times)
{
	struct bench b;

	open_bench(&b, 3, FNX_FULL_WAIT, 8, 0);
	put(&b, 2, 10);
	put(&b, 0, 30);
	put(&b, 1, 20);
	put(&b, 2, 25);
	expect(&b, 2, 10);
	expect(&b, 1, 20);
	assert_int_equal(b.merge.until, 20);
	assert_int_equal(b.merge.ingress_ns, 200);
	/* Input 1 may still bring one of 25 or less. */
	expect_blocked(&b, 20);
	advance(&b, 1, 26);
	expect(&b, 2, 25);
	advance(&b, 2, 100);
	expect_blocked(&b, 26);
	put(&b, 1, 31);
	expect(&b, 0, 30);
	close_bench(&b);
}

TEST(at_equal_times_the_input_that_was_added_first_goes_first)
{
	struct bench b;

	open_bench(&b, 3, FNX_FULL_WAIT, 8, 0);
	put(&b, 2, 5);
	put(&b, 1, 5);
	expect_blocked(&b, INT64_MIN);
	/* A watermark of 5 on the first still lets a frame of 5 come, which would go first. */
	advance(&b, 0, 5);
	expect_blocked(&b, 5);
	put(&b, 0, 5);
	expect(&b, 0, 5);
	expect_blocked(&b, 5);
	put(&b, 0, 5);
	expect(&b, 0, 5);
	advance(&b, 0, 6);
	expect(&b, 1, 5);
	/* One that comes after may bring frames of 5 without harm to the order of those before. */
	put(&b, 1, 5);
	expect(&b, 1, 5);
	expect_blocked(&b, 5);
	advance(&b, 1, 6);
	expect(&b, 2, 5);
	close_bench(&b);
}

TEST(a_frame_stays_the_next_until_it_is_released)
{
	struct fnx_frame frame;
	struct bench b;
	unsigned input;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	put(&b, 0, 1);
	put(&b, 1, 2);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(next_at(&b, 0, &input, &frame), FNX_FRAME);
		assert_int_equal(input, 0);
		assert_int_equal(frame.stamp.sample_time, 1);
		assert_int_equal(frame.stamp.flags, 0);
	}
	fnx_merge_release(&b.merge, 0);
	expect_blocked(&b, 1);
	close_bench(&b);
}

TEST(until_follows_the_slowest_watermark_and_tells_of_its_sample)
{
	struct bench b;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	advance(&b, 0, 100);
	expect_blocked(&b, INT64_MIN);
	advance(&b, 1, 60);
	expect_blocked(&b, 60);
	/* The sample at 60, not the one that input 0 tells of. */
	assert_int_equal(b.merge.ingress_ns, 600);
	advance(&b, 1, 200);
	expect_blocked(&b, 100);
	assert_int_equal(b.merge.ingress_ns, 1000);
	/* Both: the later of the two. */
	fnx_publisher_advance(b.pubs[0], 200, 1900);
	expect_blocked(&b, 200);
	assert_int_equal(b.merge.ingress_ns, 2000);
	close_bench(&b);
}

TEST(one_more_input_than_there_can_be_is_refused)
{
	struct fnx_merge merge;

	fnx_merge_init(&merge, 0);
	for (int i = 0; i < FNX_MERGE_INPUTS_MAX; i++)
		assert_int_equal(fnx_merge_add(&merge, NULL), i);
	assert_int_equal(fnx_merge_add(&merge, NULL), -ENOSPC);
}

/* Ends, gaps, moves
 * --------------------------------------------------------------------------------- */

TEST(a_merge_has_ended_when_every_input_has)
{
	struct bench b;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	put(&b, 0, 10);
	advance(&b, 0, FNX_END);
	put(&b, 1, 5);
	put(&b, 1, 20);
	expect(&b, 1, 5);
	expect(&b, 0, 10);
	assert_int_equal(b.merge.ended, 0);
	expect(&b, 1, 20);
	expect_blocked(&b, 20);
	assert_int_equal(b.merge.ended, 0);
	advance(&b, 1, FNX_END);
	expect_blocked(&b, 20);
	assert_int_equal(b.merge.ended, 1);
	close_bench(&b);
}

TEST(time_ends_where_the_last_input_said_however_often_it_was_looked_at)
{
	for (unsigned looks = 0; looks < 32; looks++) {
		struct bench b;

		open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
		for (unsigned step = 0; step < 5; step++) {
			static const int64_t watermarks[] = {10, 990, FNX_END, 1000, FNX_END};
			struct fnx_frame frame;
			unsigned input;

			advance(&b, step == 1 || step > 2, watermarks[step]);
			if (looks & 1u << step)
				assert_int_equal(next_at(&b, 0, &input, &frame), FNX_NOTHING);
		}
		expect_blocked(&b, 1000);
		assert_int_equal(b.merge.ended, 1);
		close_bench(&b);
	}
}

TEST(an_input_that_ends_and_leaves_before_it_is_looked_at_has_ended_and_not_moved)
{
	struct bench b;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	put(&b, 0, 10);
	advance(&b, 0, FNX_END);
	b.pubs[0] = fnx_publisher_close(b.pubs[0]);
	put(&b, 1, 20);
	expect(&b, 0, 10);
	expect(&b, 1, 20);
	advance(&b, 1, FNX_END);
	b.pubs[1] = fnx_publisher_close(b.pubs[1]);
	expect_blocked(&b, 20);
	assert_int_equal(b.merge.ended, 1);
	close_bench(&b);
}

TEST(an_input_that_leaves_without_an_end_has_moved)
{
	struct fnx_frame frame;
	struct bench b;
	unsigned input;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	put(&b, 1, 10);
	b.pubs[1] = fnx_publisher_close(b.pubs[1]);
	put(&b, 0, 20);
	expect(&b, 1, 10);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(next_at(&b, 0, &input, &frame), FNX_MOVED);
		assert_int_equal(input, 1);
	}
	close_bench(&b);
}

TEST(a_gap_comes_through_the_merge_under_its_inputs_number)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct bench b;
	unsigned input;

	open_bench(&b, 2, FNX_FULL_DROP, 4, 0);
	for (int64_t time = 0; time < 10; time++)
		put(&b, 1, time);
	put(&b, 0, 100);
	assert_int_equal(fnx_merge_next(&b.merge, 0, &input, &frame, &gap), FNX_GAP);
	assert_int_equal(input, 1);
	assert_int_equal(gap.from, 0);
	assert_int_equal(gap.to, 6);
	assert_int_equal(gap.reason, FNX_GAP_LAPPED);
	for (int64_t time = 6; time < 10; time++)
		expect(&b, 1, time);
	expect_blocked(&b, 9);
	close_bench(&b);
}

TEST(a_damaged_entry_is_told_of_and_skipped)
{
	struct fnx_mapping map;
	struct fnx_frame frame;
	struct bench b;
	unsigned input;

	open_bench(&b, 1, FNX_FULL_WAIT, 8, 0);
	put(&b, 0, 1);
	put(&b, 0, 2);
	put(&b, 0, 3);
	assert_int_equal(fnx_mapping_open(&b.bus, "in-0", 1, &map), 0);
	fnx_mapping_entry(&map, 1)->length = UINT32_MAX;
	expect(&b, 0, 1);
	assert_int_equal(next_at(&b, 0, &input, &frame), -EBADMSG);
	assert_int_equal(input, 0);
	expect(&b, 0, 3);
	fnx_mapping_close(&map);
	close_bench(&b);
}

/* Deadlines
 * ----------------------------------------------------------------------------------------- */

TEST(without_a_deadline_a_silent_input_is_waited_for)
{
	struct bench b;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	put_at(&b, 0, 10, 1);
	expect_blocked_at(&b, INT64_MAX, INT64_MIN);
	assert_int_equal(b.merge.blocked_since_ns, 0);
	close_bench(&b);
}

TEST(a_silent_input_delays_each_frame_by_the_deadline_and_no_more)
{
	struct bench b;

	open_bench(&b, 2, FNX_FULL_WAIT, 64, 100);
	for (int64_t i = 0; i < 50; i++)
		put_at(&b, 0, i, 1000 + i);
	expect_blocked_at(&b, 1099, INT64_MIN);
	assert_int_equal(b.merge.blocked_since_ns, 1000);
	expect_at(&b, 1100, 0, 0, FNX_FRAME_INCOMPLETE);
	expect_blocked_at(&b, 1100, 0);
	assert_int_equal(b.merge.blocked_since_ns, 1001);
	/* The delays do not add up. */
	for (int64_t i = 1; i < 50; i++)
		expect_at(&b, 1149, 0, i, FNX_FRAME_INCOMPLETE);
	assert_int_equal(b.merge.blocked_since_ns, 0);
	close_bench(&b);
}

TEST(what_comes_after_its_turn_is_late)
{
	struct bench b;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 100);
	put_at(&b, 0, 50, 1000);
	expect_at(&b, 1100, 0, 50, FNX_FRAME_INCOMPLETE);
	put_at(&b, 1, 40, 1200);
	put_at(&b, 1, 50, 1200);
	put_at(&b, 1, 60, 1200);
	put_at(&b, 0, 70, 1200);
	expect_at(&b, 1200, 1, 40, FNX_FRAME_LATE);
	assert_int_equal(b.merge.until, 50);
	expect_at(&b, 1200, 1, 50, 0);
	expect_at(&b, 1200, 1, 60, 0);
	assert_int_equal(b.merge.inputs[1].n_late, 1);
	assert_int_equal(b.merge.inputs[0].n_late, 0);
	close_bench(&b);
}

TEST(time_goes_on_by_the_deadline_where_only_watermarks_come)
{
	struct bench b;

	open_bench(&b, 3, FNX_FULL_WAIT, 8, 100);
	advance(&b, 0, 10);
	advance(&b, 1, 20);
	expect_blocked_at(&b, 1000, INT64_MIN);
	assert_int_equal(b.merge.blocked_since_ns, 1000);
	advance(&b, 1, 30);
	expect_blocked_at(&b, 1099, INT64_MIN);
	expect_blocked_at(&b, 1100, 20);
	assert_int_equal(b.merge.blocked_since_ns, 1100);
	expect_blocked_at(&b, 1199, 20);
	expect_blocked_at(&b, 1200, 30);
	assert_int_equal(b.merge.blocked_since_ns, 0);
	/* What the silent one then brings is late, and the end of one input is no word about the
	 * others. */
	put_at(&b, 2, 25, 1200);
	advance(&b, 0, FNX_END);
	expect_at(&b, 1300, 2, 25, FNX_FRAME_INCOMPLETE * 0 | FNX_FRAME_LATE);
	for (int64_t now = 1300; now < 3000; now += 100)
		expect_blocked_at(&b, now, 30);
	close_bench(&b);
}

/* Sleeping
 * ------------------------------------------------------------------------------------------ */

static struct fnx_bell *open_bell(struct bench *b)
{
	struct fnx_bell *bell;

	assert_int_equal(fnx_bell_open(&b->bus, "merger", FNX_BELL_FORM_PIPE, &bell), 0);
	return bell;
}

TEST(a_blocked_merge_is_woken_by_what_unblocks_it_and_by_nothing_else)
{
	struct bench b;
	struct fnx_bell *bell;

	open_bench(&b, 3, FNX_FULL_WAIT, 8, 0);
	bell = open_bell(&b);
	put(&b, 1, 50);
	advance(&b, 2, 60);
	expect_blocked(&b, INT64_MIN);
	assert_int_equal(fnx_merge_pending(&b.merge, INT64_MAX), 0);
	assert_int_equal(fnx_merge_park(&b.merge, INT64_MAX), 0);
	/* Frames behind the candidate, and watermarks that do not suffice, wake nobody. */
	put(&b, 1, 51);
	advance(&b, 2, 70);
	advance(&b, 0, 50);
	assert_int_equal(fnx_bell_drain(bell), 0);
	advance(&b, 0, 51);
	assert_int_equal(fnx_bell_drain(bell), 1);
	fnx_merge_unpark(&b.merge);
	expect(&b, 1, 50);
	expect_blocked(&b, 51);
	/* One who wants to know when time has come to 49 or 52. */
	assert_int_equal(fnx_merge_pending(&b.merge, 52), 0);
	assert_int_equal(fnx_merge_park(&b.merge, 52), 0);
	put(&b, 0, 51);
	assert_int_equal(fnx_bell_drain(bell), 1);
	assert_int_equal(fnx_merge_pending(&b.merge, 52), 1);
	assert_int_equal(fnx_merge_park(&b.merge, 52), 1);
	expect(&b, 0, 51);
	fnx_bell_close(bell);
	close_bench(&b);
}

TEST(a_merge_without_frames_is_woken_when_time_has_come_far_enough)
{
	struct bench b;
	struct fnx_bell *bell;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	bell = open_bell(&b);
	advance(&b, 0, 100);
	expect_blocked(&b, INT64_MIN);
	assert_int_equal(fnx_merge_pending(&b.merge, 90), 0);
	assert_int_equal(fnx_merge_park(&b.merge, 90), 0);
	advance(&b, 0, 110);
	advance(&b, 1, 89);
	assert_int_equal(fnx_bell_drain(bell), 0);
	advance(&b, 1, 90);
	assert_int_equal(fnx_bell_drain(bell), 1);
	expect_blocked(&b, 90);
	assert_int_equal(fnx_merge_pending(&b.merge, 95), 0);
	assert_int_equal(fnx_merge_park(&b.merge, 95), 0);
	put(&b, 0, 120);
	assert_int_equal(fnx_bell_drain(bell), 1);
	fnx_bell_close(bell);
	close_bench(&b);
}

/* One who closes a time bin at 100, and another at 200. */
TEST(a_dozing_merge_is_woken_once_by_the_input_that_comes_last)
{
	struct bench b;
	struct fnx_bell *bell;

	open_bench(&b, 3, FNX_FULL_WAIT, 32, 0);
	bell = open_bell(&b);
	expect_blocked(&b, INT64_MIN);
	for (int64_t tick = 100, last = 2; tick <= 300; tick += 100, last = 1) {
		assert_int_equal(fnx_merge_due(&b.merge, tick, 8), 0);
		assert_int_equal(fnx_merge_doze(&b.merge, tick, 8), 0);
		put(&b, 0, tick - 50);
		put(&b, 1, tick - 40);
		for (unsigned i = 0; i < 3; i++)
			if (i != last)
				advance(&b, i, tick + i);
		assert_int_equal(fnx_bell_drain(bell), 0);
		advance(&b, (unsigned)last, tick);
		assert_int_equal(fnx_bell_drain(bell), 1);
		fnx_merge_unpark(&b.merge);
		expect(&b, 0, tick - 50);
		expect(&b, 1, tick - 40);
		expect_blocked(&b, tick);
		if (tick > 100)
			continue;
		/* Now another comes last: it is waited for in vain once, and from then on first. */
		assert_int_equal(fnx_merge_doze(&b.merge, 150, 8), 0);
		advance(&b, 0, 150);
		advance(&b, 2, 150);
		assert_int_equal(fnx_bell_drain(bell), 1);
		expect_blocked(&b, 101);
		assert_int_equal(fnx_merge_doze(&b.merge, 150, 8), 0);
		advance(&b, 1, 150);
		assert_int_equal(fnx_bell_drain(bell), 1);
		expect_blocked(&b, 150);
	}
	fnx_bell_close(bell);
	close_bench(&b);
}

TEST(a_dozing_merge_is_woken_by_many_frames_and_does_not_doze_beside_one_at_hand)
{
	struct bench b;
	struct fnx_bell *bell;

	open_bench(&b, 2, FNX_FULL_WAIT, 32, 0);
	bell = open_bell(&b);
	expect_blocked(&b, INT64_MIN);
	assert_int_equal(fnx_merge_doze(&b.merge, 100, 2), 0);
	put(&b, 0, 10);
	put(&b, 0, 11);
	assert_int_equal(fnx_bell_drain(bell), 0);
	put(&b, 0, 12);
	assert_int_equal(fnx_bell_drain(bell), 1);
	/* Blocked by input 1: what comes there lets it go, and must not wait for anything. */
	expect_blocked(&b, INT64_MIN);
	assert_int_equal(fnx_merge_due(&b.merge, 100, 2), 0);
	assert_int_equal(fnx_merge_doze(&b.merge, 100, 2), 0);
	put(&b, 1, 20);
	assert_int_equal(fnx_bell_drain(bell), 1);
	assert_int_equal(fnx_merge_due(&b.merge, 100, 2), 1);
	for (int64_t time = 10; time <= 12; time++)
		expect(&b, 0, time);
	fnx_bell_close(bell);
	close_bench(&b);
}

TEST(with_a_deadline_a_dozing_merge_is_woken_by_the_first_that_comes_far_enough)
{
	struct bench b;
	struct fnx_bell *bell;

	open_bench(&b, 3, FNX_FULL_WAIT, 32, 1000);
	bell = open_bell(&b);
	expect_blocked(&b, INT64_MIN);
	assert_int_equal(fnx_merge_doze(&b.merge, 100, 8), 0);
	put_at(&b, 1, 50, 500);
	assert_int_equal(fnx_bell_drain(bell), 0);
	advance(&b, 0, 100);
	assert_int_equal(fnx_bell_drain(bell), 1);
	/* Input 2 is silent: the frame waits for its deadline, counted from its publishing. */
	expect_blocked_at(&b, 900, INT64_MIN);
	assert_int_equal(b.merge.blocked_since_ns, 500);
	assert_int_equal(fnx_merge_doze(&b.merge, 100, 8), 0);
	expect_blocked_at(&b, 1499, INT64_MIN);
	expect_at(&b, 1500, 1, 50, FNX_FRAME_INCOMPLETE);
	fnx_bell_close(bell);
	close_bench(&b);
}

TEST(an_input_that_has_ended_does_not_keep_a_merge_awake)
{
	struct bench b;
	struct fnx_bell *bell;

	open_bench(&b, 2, FNX_FULL_WAIT, 8, 0);
	bell = open_bell(&b);
	advance(&b, 0, FNX_END);
	expect_blocked(&b, INT64_MIN);
	for (int64_t wake_at = 1; wake_at; wake_at = wake_at == 1 ? INT64_MAX : 0) {
		assert_int_equal(fnx_merge_pending(&b.merge, wake_at), 0);
		assert_int_equal(fnx_merge_park(&b.merge, wake_at), 0);
		fnx_merge_unpark(&b.merge);
	}
	b.pubs[0] = fnx_publisher_close(b.pubs[0]);
	expect_blocked(&b, INT64_MIN);
	assert_int_equal(fnx_merge_pending(&b.merge, 1), 0);
	assert_int_equal(fnx_merge_park(&b.merge, 1), 0);
	assert_int_equal(fnx_bell_drain(bell), 0);
	advance(&b, 1, 1);
	assert_int_equal(fnx_bell_drain(bell), 1);
	fnx_bell_close(bell);
	close_bench(&b);
}

/* Random
 * -------------------------------------------------------------------------------------------- */

enum {
	MODEL_FRAMES = 600
};

struct model_item {
	int64_t time;
	unsigned input;
	unsigned order;
};

static int compare_items(const void *a, const void *b)
{
	const struct model_item *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	if (x->input != y->input)
		return x->input < y->input ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Takes all there is; it must be what a stable sort by time and rank would give. */
static void take_all(struct bench *b, const struct model_item *items, unsigned n, unsigned *n_taken)
{
	struct fnx_frame frame;
	unsigned input;

	while (next_at(b, 0, &input, &frame) == FNX_FRAME) {
		assert_true(*n_taken < n);
		assert_int_equal(frame.stamp.sample_time, items[*n_taken].time);
		assert_int_equal(input, items[*n_taken].input);
		assert_int_equal(frame.seq, items[*n_taken].order);
		assert_int_equal(frame.stamp.flags, 0);
		assert_true(b->merge.until <= frame.stamp.sample_time);
		fnx_merge_release(&b->merge, input);
		++*n_taken;
	}
	/* Everything below `until` has been handed out. */
	assert_true(*n_taken == n || items[*n_taken].time >= b->merge.until);
}

static void random_merge(struct check_random *random)
{
	static struct model_item items[MODEL_FRAMES], sorted[MODEL_FRAMES];
	unsigned n_inputs = 1 + (unsigned)check_random_below(random, MAX_INPUTS);
	unsigned n = (unsigned)check_random_below(random, MODEL_FRAMES);
	unsigned n_taken = 0, orders[MAX_INPUTS] = {0}, next[MAX_INPUTS] = {0};
	int64_t times[MAX_INPUTS] = {0};
	uint64_t stride = 1 + check_random_below(random, 5);
	struct bench b;

	open_bench(&b, n_inputs, FNX_FULL_WAIT, MODEL_FRAMES, 0);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = (unsigned)check_random_below(random, n_inputs);

		times[i] += (int64_t)check_random_below(random, stride);
		items[k] = (struct model_item){times[i], i, orders[i]++};
	}
	memcpy(sorted, items, sizeof(sorted));
	qsort(sorted, n, sizeof(sorted[0]), compare_items);

	/* Input by input at random, in the order of each; with watermarks that are true. */
	for (unsigned left = n; left > 0;) {
		unsigned i = (unsigned)check_random_below(random, n_inputs);

		while (next[i] < n && items[next[i]].input != i)
			next[i]++;
		if (next[i] == n)
			continue;
		if (check_random_below(random, 3)) {
			put(&b, i, items[next[i]++].time);
			left--;
		} else {
			advance(&b, i,
				items[next[i]].time - (int64_t)check_random_below(random, 3));
		}
		if (check_random_below(random, 4) == 0)
			take_all(&b, sorted, n, &n_taken);
	}
	for (unsigned i = 0; i < n_inputs; i++)
		advance(&b, i, FNX_END);
	take_all(&b, sorted, n, &n_taken);
	assert_int_equal(n_taken, n);
	assert_int_equal(b.merge.ended, 1);
	close_bench(&b);
}

TEST(frames_of_random_topics_come_as_a_stable_sort_would_have_them)
{
	struct check_random random = check_random_seeded();

	for (unsigned round = 0; round < 300; round++)
		random_merge(&random);
}

/* At once
 * ------------------------------------------------------------------------------------------- */

#ifdef FNX_SANITIZED
enum {
	N_TICKS = 1500
};
#else
enum {
	N_TICKS = 5000
};
#endif

struct source {
	struct bench *bench;
	unsigned input;
	uint64_t seed;
	struct fnx_bell *bell;
	_Atomic unsigned *failed;
};

/* Frames at some ticks, a watermark at each; sleeps when its pool is full. */
static void *be_source(void *argument)
{
	struct source *s = argument;
	struct fnx_publisher *pub = s->bench->pubs[s->input];
	struct check_random random = {.state = s->seed};

	for (int64_t tick = 1; tick <= N_TICKS && !atomic_load(s->failed); tick++) {
		while (fnx_publisher_room(pub, 1, 0) == 0) {
			if (fnx_publisher_park(pub, 1, 0))
				continue;
			if (!wait_readable(fnx_bell_fd(s->bell), CHECK_PATIENCE_MS)) {
				atomic_store(s->failed, 1);
				return NULL;
			}
			fnx_bell_drain(s->bell);
			fnx_publisher_unpark(pub);
		}
		if (check_random_below(&random, 3) == 0)
			put(s->bench, s->input, tick * 10 - 5);
		advance(s->bench, s->input, tick * 10);
		for (uint64_t n = check_random_below(&random, 3); n > 0; n--)
			sched_yield();
	}
	advance(s->bench, s->input, FNX_END);
	return NULL;
}

/* A node that closes a time bin every 70 samples and sleeps in between. */
static unsigned merge_to_the_end(
	struct bench *b, struct fnx_bell *bell, uint32_t patience, _Atomic unsigned *failed)
{
	int64_t last = INT64_MIN, bin = 70;
	unsigned n_wakes = 0;

	while (!atomic_load(failed)) {
		struct fnx_frame frame;
		unsigned input;
		int r = next_at(b, 0, &input, &frame);

		if (r == FNX_FRAME) {
			if (frame.stamp.sample_time < last || frame.stamp.flags)
				atomic_store(failed, 2);
			last = frame.stamp.sample_time;
			fnx_merge_release(&b->merge, input);
			continue;
		}
		if (r != FNX_NOTHING)
			atomic_store(failed, 3);
		if (b->merge.ended)
			break;
		while (b->merge.until >= bin)
			bin += 70;
		if (patience ? fnx_merge_doze(&b->merge, bin, patience)
			     : fnx_merge_park(&b->merge, bin))
			continue;
		/* No ring within the deadline is one that was lost. */
		if (!wait_readable(fnx_bell_fd(bell), CHECK_PATIENCE_MS))
			atomic_store(failed, 4);
		fnx_bell_drain(bell);
		fnx_merge_unpark(&b->merge);
		n_wakes++;
	}
	return n_wakes;
}

static void *put_and_advance(void *argument)
{
	struct source *s = argument;

	for (int64_t time = 0; time < 2 * N_TICKS; time += 2) {
		put(s->bench, 0, time);
		advance(s->bench, 0, time + 1);
	}
	return NULL;
}

TEST(a_watermark_never_overtakes_the_frame_before_it)
{
	for (unsigned round = 0; round < 5; round++) {
		struct source source;
		struct bench b;
		pthread_t thread;

		open_bench(&b, 2, FNX_FULL_WAIT, N_TICKS, 0);
		for (int64_t time = 0; time < 2 * N_TICKS; time += 2)
			put(&b, 1, time);
		source = (struct source){.bench = &b};
		assert_int_equal(pthread_create(&thread, NULL, put_and_advance, &source), 0);
		for (int64_t time = 0; time < 2 * N_TICKS;) {
			static unsigned expected;
			struct fnx_frame frame;
			unsigned input;

			if (next_at(&b, 0, &input, &frame) != FNX_FRAME)
				continue;
			assert_int_equal(frame.stamp.sample_time, time);
			assert_int_equal(input, expected);
			fnx_merge_release(&b.merge, input);
			time += 2 * (int64_t)expected;
			expected = !expected;
		}
		pthread_join(thread, NULL);
		close_bench(&b);
	}
}

TEST(a_merge_that_sleeps_between_threads_never_misses_its_ring)
{
	struct check_random random = check_random_seeded();
	const char *given = getenv("FORNIX_TEST_ROUNDS");
	unsigned n_rounds = given ? (unsigned)strtoul(given, NULL, 0) : 3;

	for (unsigned round = 0; round < n_rounds; round++) {
		struct bench b;
		struct fnx_bell *bell;
		struct source sources[3];
		pthread_t threads[3];
		_Atomic unsigned failed = 0;
		unsigned n_wakes;

		open_bench(&b, 3, FNX_FULL_WAIT, 8, 0);
		bell = open_bell(&b);
		for (unsigned i = 0; i < 3; i++) {
			sources[i] = (struct source){.bench = &b,
				.input = i,
				.seed = check_random_u64(&random),
				.failed = &failed};
			assert_int_equal(
				fnx_bell_open(&b.bus, input_config(i, FNX_FULL_WAIT, 8).node,
					FNX_BELL_FORM_PIPE, &sources[i].bell),
				0);
		}
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, be_source, &sources[i]), 0);
		/* Every second one dozes. */
		n_wakes = merge_to_the_end(&b, bell, 5 * (round % 2), &failed);
		for (unsigned i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
		print_message("%u wakes\n", n_wakes);
		assert_int_equal(failed, 0);
		for (unsigned i = 0; i < 3; i++)
			fnx_bell_close(sources[i].bell);
		fnx_bell_close(bell);
		close_bench(&b);
	}
}
