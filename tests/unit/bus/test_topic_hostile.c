/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Subscribers can write to .subs, and so anything may stand there at any time. Whatever it is, the
 * publisher goes on, keeps to its memory, and loses no slot for good.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <pthread.h>
#include <sched.h>

#ifdef FNX_SANITIZED
enum {
	N_SCRIBBLES = 30000
};
#else
enum {
	N_SCRIBBLES = 100000
};
#endif

/* A number of the kind that does harm: close to what is true, or far from it. */
static uint64_t nasty_number(struct check_random *random, uint64_t head)
{
	switch (check_random_below(random, 8)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - check_random_below(random, 3);
	case 2:
		return check_random_u64(random);
	case 3:
		return FNX_RECORD_ACTIVE | check_random_u64(random) << 8;
	case 4:
		return check_random_below(random, 4);
	default:
		return head - 40 + check_random_below(random, 60);
	}
}

/* Overwrites words in [from, to) of .subs, as another process would: without asking. */
static void scribble(
	struct fnx_subs *subs, size_t from, size_t to, struct check_random *random, uint64_t head)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)(void *)subs;
	uint64_t first = from / 8 + check_random_below(random, (to - from) / 8);
	uint64_t n = check_random_below(random, 8) ? 1 + check_random_below(random, 3)
						   : 1 + check_random_below(random, 600);

	for (uint64_t i = first; i < first + n && i < to / 8; i++)
		atomic_store_explicit(&words[i], nasty_number(random, head), memory_order_relaxed);
}

static void publisher_call(struct fnx_publisher *pub, struct check_random *random, int64_t now_ns)
{
	uint32_t n = (uint32_t)check_random_below(random, 20);
	void *payload;
	int r;

	switch (check_random_below(random, 8)) {
	case 0:
		(void)fnx_publisher_room(pub, n, now_ns);
		break;
	case 1:
		if (!fnx_publisher_park(pub, n, now_ns))
			fnx_publisher_unpark(pub);
		break;
	case 2:
		fnx_publisher_advance(pub, now_ns, 0);
		break;
	case 3:
		r = fnx_publisher_loan(pub, now_ns, &payload);
		assert_true(r == 0 || r == -EAGAIN || r == -ENOBUFS);
		if (!r)
			fnx_publisher_abort(pub);
		break;
	case 4:
		assert_true(fnx_publisher_readers(pub) <= FNX_SUBSCRIBERS_MAX);
		break;
	default:
		r = publish_next(pub, now_ns);
		assert_true(r == 0 || r == -EAGAIN || r == -ENOBUFS);
	}
}

TEST(nothing_that_a_subscriber_can_write_makes_the_publisher_crash_loop_or_lose_a_slot)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 4; i++) {
		enum fnx_full_policy full = i & 1 ? FNX_FULL_DROP : FNX_FULL_WAIT;
		uint32_t n_slots = i & 2 ? 700 : 12;
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, full, n_slots);
		struct fnx_mapping map = open_mapping(&bus);
		int64_t now_ns = 0;

		die(open_subscriber(&bus, "victim", FNX_LOSSLESS));
		for (unsigned n = 0; n < N_SCRIBBLES / 4; n++) {
			scribble(map.subs, offsetof(struct fnx_subs, joins), sizeof(*map.subs),
				&random, fnx_publisher_head(pub));
			now_ns += (int64_t)check_random_below(&random, 100000000);
			publisher_call(pub, &random, now_ns);
			/* A successor meets the same. */
			if (check_random_below(&random, 2000) == 0) {
				die(pub);
				pub = open_publisher(&bus, full, n_slots);
				assert_int_equal(fnx_publisher_adopted(pub), 1);
			}
		}
		forgive(map.subs);
		fnx_mapping_close(&map);
		if (full == FNX_FULL_WAIT) {
			expect_all_slots(&bus, pub, n_slots);
		} else {
			for (unsigned n = 0; n < 2 * n_slots; n++)
				assert_int_equal(publish_next(pub, now_ns), 0);
		}
		fnx_publisher_close(pub);
	}
}

TEST(a_hostile_subscriber_costs_the_others_of_a_drop_publisher_nothing)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 40);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_subscriber *first = open_subscriber(&bus, "first", FNX_LOSSLESS);
	struct fnx_subscriber *hostile = open_subscriber(&bus, "hostile", FNX_LOSSLESS);
	struct fnx_subscriber *second = open_subscriber(&bus, "second", FNX_LOSSLESS);
	struct fnx_presence presences[2];
	size_t from = (size_t)((char *)&map.subs->records[1] - (char *)map.subs);
	uint64_t next[2] = {0, 0};
	int64_t now_ns = 0;

	/* The publisher knows the others before the first nonsense: whoever joins while another puts
	 * `joins` back to what it was stays unseen, and is promised nothing. */
	assert_int_equal(fnx_publisher_readers(pub), 3);
	/* Its own record is the second, and joins and writer_wake are everybody's. */
	assert_int_equal(fnx_presence_claim(&bus, "first", &presences[0], NULL), 0);
	assert_int_equal(fnx_presence_claim(&bus, "second", &presences[1], NULL), 0);
	for (unsigned n = 0; n < N_SCRIBBLES; n++) {
		unsigned k = (unsigned)check_random_below(&random, 2);
		uint64_t head = fnx_publisher_head(pub);

		if (check_random_below(&random, 3) == 0)
			scribble(map.subs, from, from + sizeof(struct fnx_record), &random, head);
		if (check_random_below(&random, 3) == 0)
			scribble(map.subs, offsetof(struct fnx_subs, joins),
				offsetof(struct fnx_subs, writer_wake) + 8, &random, head);
		now_ns += (int64_t)check_random_below(&random, 100000000);
		assert_int_equal(publish_next(pub, now_ns), 0);
		/* They lag up to 15 frames. */
		if (head - next[k] > 14 || check_random_below(&random, 4) == 0)
			for (; next[k] < head; next[k]++)
				expect_frame(k ? second : first, next[k]);
		k = !k;
		if (head - next[k] > 14)
			for (; next[k] < head; next[k]++)
				expect_frame(k ? second : first, next[k]);
	}
	assert_int_equal(fnx_publisher_dropped(pub), 0);
	die(hostile);
	fnx_presence_drop(&presences[0]);
	fnx_presence_drop(&presences[1]);
	fnx_subscriber_close(first);
	fnx_subscriber_close(second);
	fnx_mapping_close(&map);
	fnx_publisher_close(pub);
}

/* At once
 * ------------------------------------------------------------------------------------------- */

struct vandal {
	struct fnx_mapping map;
	uint64_t seed;
	_Atomic int stop;
};

static void *be_vandal(void *argument)
{
	struct vandal *v = argument;
	struct check_random random = {.state = v->seed};

	while (!atomic_load(&v->stop))
		scribble(v->map.subs, offsetof(struct fnx_subs, joins), sizeof(*v->map.subs),
			&random, atomic_load(&v->map.segment->head));
	return NULL;
}

TEST(a_publisher_goes_on_while_all_of_subs_changes_under_its_eyes)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 2; i++) {
		enum fnx_full_policy full = i ? FNX_FULL_DROP : FNX_FULL_WAIT;
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, full, 64);
		struct vandal vandal = {
			.map = open_mapping(&bus), .seed = check_random_u64(&random)};
		int64_t now_ns = 0;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, be_vandal, &vandal), 0);
		for (unsigned n = 0; n < N_SCRIBBLES; n++) {
			now_ns += (int64_t)check_random_below(&random, 10000000);
			publisher_call(pub, &random, now_ns);
			if (n % 64 == 0)
				sched_yield();
		}
		atomic_store(&vandal.stop, 1);
		pthread_join(thread, NULL);
		forgive(vandal.map.subs);
		fnx_mapping_close(&vandal.map);
		if (full == FNX_FULL_WAIT)
			expect_all_slots(&bus, pub, 64);
		fnx_publisher_close(pub);
	}
}

/* A record that a reader finds at joining may hold anything, too. */
TEST(a_subscriber_that_finds_nonsense_under_its_name_begins_where_it_can)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct fnx_mapping map = open_mapping(&bus);

	for (unsigned round = 0; round < 2000; round++) {
		struct fnx_record *record = &map.subs->records[3];
		struct fnx_subscriber *sub;
		struct fnx_frame frame;
		struct fnx_gap gap;
		uint64_t next;

		fnx_record_set_node(record, "reader");
		record->policy = (uint8_t)check_random_u64(&random);
		record->cursor = nasty_number(&random, fnx_publisher_head(pub));
		record->state = FNX_RECORD_ACTIVE | (uint32_t)round << 8;
		sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		assert_int_equal(fnx_subscriber_resumed(sub), 1);
		next = fnx_subscriber_next(sub);
		assert_true(next <= fnx_publisher_head(pub));
		(void)publish_next(pub, 0);
		(void)publish_next(pub, 0);
		for (;;) {
			int r = fnx_subscriber_peek(sub, &frame, &gap);

			if (r == FNX_NOTHING)
				break;
			if (r == FNX_GAP) {
				assert_int_equal(gap.from, next);
				next = gap.to;
				continue;
			}
			assert_int_equal(r, FNX_FRAME);
			assert_int_equal(frame.seq, next++);
			assert_true(frame_right(&frame, SLOT_SIZE));
			fnx_subscriber_release(sub);
		}
		assert_int_equal(next, fnx_publisher_head(pub));
		fnx_subscriber_close(sub);
	}
	fnx_mapping_close(&map);
	fnx_publisher_close(pub);
}
