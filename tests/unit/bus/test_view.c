/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/bus/topic_fixture.h"

#include <sys/mman.h>

#include "bus/view.h"

enum {
	SLOTS = 8,
	ROUNDS = 400
};

static struct fnx_view *view_of(const struct fnx_bus *bus, unsigned flags)
{
	struct fnx_view *view;

	assert_int_equal(fnx_view_open(bus, "topic", flags, &view), 0);
	return view;
}

TEST(a_view_shows_what_was_published_and_who_reads_it)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_subscriber *quick = open_subscriber(&bus, "quick", FNX_LOSSLESS);
	struct fnx_subscriber *slow = open_subscriber(&bus, "slow", FNX_LOSSLESS);
	struct fnx_subscriber *monitor = open_subscriber(&bus, "monitor", FNX_LOSSY);
	struct fnx_view *view;

	publish_n(pub, 5);
	expect_frames(quick, 0, 5);
	expect_frames(slow, 0, 2);
	view = view_of(&bus, 0);
	assert_string_equal(view->topic, "topic");
	assert_string_equal(view->node, "writer");
	assert_int_equal(view->n_slots, SLOTS);
	assert_int_equal(view->head, 5);
	assert_int_equal(view->n_used, 3);
	assert_int_equal(view->subs_error, 0);
	assert_int_equal(view->n_subscribers, 3);
	assert_string_equal(view->subscribers[0].node, "quick");
	assert_int_equal(view->subscribers[0].lag, 0);
	assert_string_equal(view->subscribers[1].node, "slow");
	assert_int_equal(view->subscribers[1].lag, 3);
	assert_int_equal(view->subscribers[2].policy, FNX_LOSSY);
	fnx_view_close(view);
	fnx_subscriber_close(quick);
	fnx_subscriber_close(slow);
	fnx_subscriber_close(monitor);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}

TEST(a_view_changes_nothing)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	unsigned char *before = malloc(map.segment_size + map.subs_size);

	publish_n(pub, 3);
	memcpy(before, map.segment, map.segment_size);
	memcpy(before + map.segment_size, map.subs, map.subs_size);
	fnx_view_close(view_of(&bus, FNX_VIEW_LEDGER | FNX_VIEW_SCHEMA));
	assert_memory_equal(before, map.segment, map.segment_size);
	assert_memory_equal(before + map.segment_size, map.subs, map.subs_size);
	free(before);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}

TEST(entries_tell_what_became_of_their_frames)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_view_entry entry;
	struct fnx_view *view;
	uint64_t head;

	for (int i = 0; i < 40; i++) {
		publish_n(pub, 1);
		expect_frames(sub, (uint64_t)i, (uint64_t)i + 1);
	}
	view = view_of(&bus, FNX_VIEW_LEDGER);
	head = view->head;
	assert_int_equal(head, 40);
	assert_int_equal(fnx_view_entry(view, 39, &entry), 0);
	assert_int_equal(entry.state, FNX_VIEW_ENTRY_PUBLISHED);
	assert_int_equal(entry.stamp.sample_time, 390);
	assert_int_equal(entry.stamp.publish_ns, 39000);
	assert_int_equal(entry.stamp.origin, 44);
	assert_int_equal(entry.length, payload_length(39, SLOT_SIZE));
	assert_int_equal(fnx_view_entry(view, view->released - 1, &entry), 0);
	assert_int_equal(entry.state, FNX_VIEW_ENTRY_RELEASED);
	assert_int_equal(fnx_view_entry(view, 40, &entry), -ENOENT);
	assert_int_equal(fnx_view_entry(view, 40 - view->n_entries - 1, &entry), -ENOENT);
	fnx_view_close(view);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}

TEST(held_frames_are_seen_with_their_holder)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_view *view;

	publish_n(pub, 1);
	expect_peek(sub, 0, SLOT_SIZE);
	assert_int_equal(fnx_subscriber_hold(sub, 0), 0);
	fnx_subscriber_release(sub);
	for (uint64_t seq = 1; seq < 20; seq++) {
		publish_n(pub, 1);
		expect_frame(sub, seq);
	}
	view = view_of(&bus, 0);
	assert_int_equal(view->subscribers[0].n_held, 1);
	assert_int_equal(view->subscribers[0].held[0], 0);
	/* Its slot was passed over when the others were given back. */
	assert_int_equal(view->n_pinned, 1);
	assert_int_equal(view->pinned[0], 0);
	assert_int_equal(view->n_used, 1);
	fnx_view_close(view);
	fnx_subscriber_drop(sub, 0);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}

/* What is given up is in use by nobody, whatever a cursor says. */
TEST(a_cursor_of_nonsense_takes_no_slots)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	struct fnx_view *view;

	for (uint64_t seq = 0; seq < 2 * SLOTS + 1; seq++) {
		publish_n(pub, 1);
		expect_frame(sub, seq);
	}
	atomic_store(&map.subs->records[0].cursor, 0);
	view = view_of(&bus, 0);
	assert_true(view->head - view->released < SLOTS);
	assert_int_equal(view->n_used, view->head - view->released);
	fnx_view_close(view);
	atomic_store(&map.subs->records[0].cursor, UINT64_MAX);
	view = view_of(&bus, 0);
	assert_int_equal(view->subscribers[0].lag, 0);
	assert_int_equal(view->n_used, 0);
	fnx_view_close(view);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}

TEST(what_the_dead_left_can_be_seen)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_view *view;

	publish_n(pub, 3);
	die(pub);
	view = view_of(&bus, FNX_VIEW_LEDGER);
	assert_int_equal(view->head, 3);
	fnx_view_close(view);
	fnx_bus_remove(&bus);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

TEST(without_its_subscribers_file_the_rest_is_seen)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_view *view;
	char path[300];

	publish_n(pub, 3);
	snprintf(path, sizeof(path), "%s/topic.subs", bus.segment_dir);
	unlink(path);
	view = view_of(&bus, 0);
	assert_int_equal(view->subs_error, -ENOENT);
	assert_int_equal(view->head, 3);
	fnx_view_close(view);
	write_file(path, "short", 5);
	view = view_of(&bus, 0);
	assert_int_equal(view->subs_error, -EBADMSG);
	fnx_view_close(view);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}

TEST(what_is_no_topic_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_view *view = NULL;
	char path[300];

	assert_int_equal(fnx_view_open(&bus, "topic", 0, &view), -ENOENT);
	assert_int_equal(fnx_view_open(&bus, "../topic", 0, &view), -EINVAL);
	snprintf(path, sizeof(path), "%s/topic.data", bus.segment_dir);
	write_file(path, "no topic", 8);
	assert_int_equal(fnx_view_open(&bus, "topic", 0, &view), -EBADMSG);
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(fnx_view_open(&bus, "topic", 0, &view), -EBADMSG);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(fnx_view_open(&bus, "topic", 0, &view), -EBADMSG);
	assert_null(view);
	unlink(path);
	fnx_bus_remove(&bus);
}

/* A few bytes, a stretch, or a cut, anywhere in what the view reads. */
static size_t damage(struct check_random *random, unsigned char *bytes, size_t size, size_t reach)
{
	size_t at = check_random_below(random, reach), n;

	switch (check_random_below(random, 4)) {
	case 0:
		return at; /* cut */
	case 1:
		n = 1 + check_random_below(random, 64);
		for (size_t i = at; i < at + n && i < size; i++)
			bytes[i] = (unsigned char)check_random_u64(random);
		return size;
	case 2:
		/* The whole header's state, as behind a valid identity. */
		for (size_t i = 256; i < reach; i++)
			bytes[i] = (unsigned char)check_random_u64(random);
		return size;
	default:
		bytes[at] ^= (unsigned char)(1u << check_random_below(random, 8));
		return size;
	}
}

static void look_at_all(const struct fnx_bus *bus)
{
	struct fnx_view_entry entry;
	struct fnx_view *view;
	uint64_t n = 0;

	if (fnx_view_open(bus, "topic", FNX_VIEW_LEDGER | FNX_VIEW_SCHEMA, &view))
		return;
	assert_true(view->n_used <= view->n_slots);
	assert_true(view->n_subscribers <= FNX_SUBSCRIBERS_MAX);
	for (unsigned i = 0; i < view->n_subscribers; i++) {
		assert_true(strnlen(view->subscribers[i].node, FNX_NAME_MAX) < FNX_NAME_MAX);
		assert_true(view->subscribers[i].n_held <= FNX_HOLDS_MAX);
		assert_true(view->subscribers[i].lag <= view->head);
	}
	for (uint64_t seq = view->head - 1; n < view->n_entries + 2u; seq--, n++)
		(void)!fnx_view_entry(view, seq, &entry);
	fnx_view_close(view);
}

TEST(no_bytes_whatever_do_a_looker_harm)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, SLOTS);
	struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	struct fnx_mapping map = open_mapping(&bus);
	unsigned char *data = malloc(map.segment_size), *subs = malloc(map.subs_size);
	size_t reach = (size_t)(map.pool - (unsigned char *)map.segment);
	char path[2][300];

	publish_n(pub, 5);
	snprintf(path[0], sizeof(path[0]), "%s/topic.data", bus.segment_dir);
	snprintf(path[1], sizeof(path[1]), "%s/topic.subs", bus.segment_dir);
	unlink(path[0]);
	unlink(path[1]);
	for (int round = 0; round < ROUNDS; round++) {
		size_t data_size = map.segment_size, subs_size = map.subs_size;

		memcpy(data, map.segment, map.segment_size);
		memcpy(subs, map.subs, map.subs_size);
		if (round % 3 != 1)
			data_size = damage(&random, data, map.segment_size, reach);
		if (round % 3 != 0)
			subs_size = damage(&random, subs, map.subs_size, map.subs_size);
		write_file(path[0], data, data_size);
		write_file(path[1], subs, subs_size);
		look_at_all(&bus);
	}
	free(data);
	free(subs);
	fnx_mapping_close(&map);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_bus_remove(&bus);
}
