/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a subscriber that comes, sleeps, is rung, and goes costs its publisher in memory: nothing.
 * Its place in the list of readers and what is needed to ring it are part of the publisher.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

enum {
	N_ROUNDS = 63,
};

static _Thread_local int counting;
static uint64_t n_allocations;

#ifndef FNX_SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
	n_allocations += (uint64_t)counting;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	n_allocations += (uint64_t)counting;
	return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size)
{
	n_allocations += (uint64_t)counting;
	return __libc_realloc(memory, size);
}
#endif

struct joiner {
	char node[16];
	enum fnx_bell_form form;
	struct fnx_bell *bell;
	struct fnx_subscriber *sub;
};

static struct joiner come(const struct fnx_bus *bus, unsigned k, enum fnx_bell_form form)
{
	struct joiner j = {.form = form};
	struct fnx_subscriber_config config;

	snprintf(j.node, sizeof(j.node), "reader-%u", k);
	config = subscriber_config(j.node, k % 2 ? FNX_LOSSLESS : FNX_LOSSY);
	config.bell = form;
	assert_int_equal(fnx_bell_open(bus, j.node, form, &j.bell), 0);
	assert_int_equal(fnx_subscriber_open(bus, &config, &j.sub), 0);
	return j;
}

static void go(struct joiner *j)
{
	fnx_subscriber_close(j->sub);
	fnx_bell_close(j->bell);
}

/* Publishes one frame to readers who all sleep, and counts. */
static void publish_counted(struct fnx_publisher *pub)
{
	counting = 1;
	publish_n(pub, 1);
	counting = 0;
}

static void expect_rung(struct joiner *j)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_int_equal(fnx_bell_drain(j->bell), 1);
	fnx_subscriber_unpark(j->sub);
	assert_int_equal(fnx_subscriber_peek(j->sub, &frame, &gap), FNX_FRAME);
	assert_true(frame_right(&frame, SLOT_SIZE));
	fnx_subscriber_release(j->sub);
}

/* One after the other in the same place, and each round one more beside it. */
TEST(subscribers_that_join_sleep_are_rung_and_leave_cost_their_publisher_no_allocation)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 16);
	struct joiner joiners[N_ROUNDS];

	n_allocations = 0;
	for (unsigned round = 1; round <= N_ROUNDS; round++) {
		for (unsigned k = 0; k < round; k++) {
			joiners[k] = come(&bus, k, FNX_BELL_FORM_PIPE);
			assert_int_equal(fnx_subscriber_park(joiners[k].sub, INT64_MAX), 0);
		}
		publish_counted(pub);
		for (unsigned k = 0; k < round; k++)
			expect_rung(&joiners[k]);
		for (unsigned k = 0; k < round; k++)
			go(&joiners[k]);
		/* It takes note of those who have left, too. */
		publish_counted(pub);
	}
	assert_int_equal(n_allocations, 0);
	fnx_publisher_close(pub);
}

/* Its bell may come later than itself, and its successor bring another. */
TEST(a_bell_that_is_opened_again_costs_the_publisher_no_allocation)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 16);

	n_allocations = 0;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		struct joiner j = come(&bus, 1, FNX_BELL_FORM_PIPE);
		char path[256];

		publish_counted(pub);
		fnx_bell_close(j.bell);
		/* As a sweep does: the pipe that is rung is not the one that the name has now. */
		snprintf(path, sizeof(path), "%s/%s.bell", bus.run_dir, j.node);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(fnx_bell_open(&bus, j.node, j.form, &j.bell), 0);
		die(j.sub);
		j.sub = open_subscriber(&bus, j.node, FNX_LOSSLESS);
		while (fnx_subscriber_park(j.sub, INT64_MAX)) {
			struct fnx_frame frame;
			struct fnx_gap gap;

			assert_int_equal(fnx_subscriber_peek(j.sub, &frame, &gap), FNX_FRAME);
			fnx_subscriber_release(j.sub);
		}
		(void)fnx_bell_drain(j.bell);
		publish_counted(pub);
		expect_rung(&j);
		go(&j);
	}
	assert_int_equal(n_allocations, 0);
	fnx_publisher_close(pub);
}

/* ZeroMQ allocates what it needs to make a socket, and nothing for each ring. */
TEST(a_zeromq_bell_costs_its_publisher_memory_when_its_owner_joins_and_none_for_each_frame)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 16);
	struct joiner j = come(&bus, 1, FNX_BELL_FORM_ZMQ);

	publish_counted(pub);
	n_allocations = 0;
	for (unsigned round = 0; round < 1000; round++) {
		struct fnx_frame frame;
		struct fnx_gap gap;

		while (fnx_subscriber_peek(j.sub, &frame, &gap) == FNX_FRAME)
			fnx_subscriber_release(j.sub);
		assert_int_equal(fnx_subscriber_park(j.sub, INT64_MAX), 0);
		publish_counted(pub);
		while (fnx_bell_drain(j.bell) == 0)
			;
		fnx_subscriber_unpark(j.sub);
	}
	assert_true(n_allocations < 1000 / 10);
	go(&j);
	fnx_publisher_close(pub);
}
