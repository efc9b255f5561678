/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of topics share: payloads that tell their sequence number in every byte, and steps
 * that say in one line what is expected.
 */
#pragma once

#include "tests/unit/bus/bus_fixture.h"

#include "bus/presence.h"
#include "bus/segment.h"

enum {
	SLOT_SIZE = 256
};

/* Payloads
 * ------------------------------------------------------------------------------------------ */

__attribute__((unused)) static uint64_t payload_word(uint64_t seq, uint64_t i)
{
	uint64_t z = (seq + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;

	return z ^ (z >> 29);
}

/* Every size from 0 to `max` comes up. */
__attribute__((unused)) static size_t payload_length(uint64_t seq, size_t max)
{
	return (size_t)(payload_word(seq, 77) % (max + 1));
}

__attribute__((unused)) static void payload_fill(void *payload, uint64_t seq, size_t length)
{
	unsigned char *bytes = payload;
	uint64_t word;
	size_t i = 0;

	for (; i + 8 <= length; i += 8) {
		word = payload_word(seq, i);
		memcpy(bytes + i, &word, 8);
	}
	word = payload_word(seq, i);
	memcpy(bytes + i, &word, length - i);
}

/* 1: every byte is that of frame `seq`. Copies nothing: a torn frame would be seen. */
__attribute__((unused)) static int payload_right(const void *payload, uint64_t seq, size_t length)
{
	const unsigned char *bytes = payload;
	uint64_t word, found;
	size_t i = 0;

	for (; i + 8 <= length; i += 8) {
		word = payload_word(seq, i);
		memcpy(&found, bytes + i, 8);
		if (word != found)
			return 0;
	}
	word = payload_word(seq, i);
	return !memcmp(bytes + i, &word, length - i);
}

/* 1: the frame is the one that publish_as would have made. */
__attribute__((unused)) static int frame_right(const struct fnx_frame *frame, size_t slot_size)
{
	uint64_t seq = frame->seq;

	return frame->length == payload_length(seq, slot_size) &&
		frame->stamp.sample_time == (int64_t)seq * 10 &&
		frame->stamp.ingress_ns == (int64_t)seq * 100 &&
		frame->stamp.publish_ns == (int64_t)seq * 1000 && frame->stamp.origin == seq + 5 &&
		payload_right(frame->payload, seq, frame->length);
}

__attribute__((unused)) static void publish_as(
	struct fnx_publisher *pub, void *payload, uint64_t seq)
{
	struct fnx_stamp stamp = {.sample_time = (int64_t)seq * 10,
		.ingress_ns = (int64_t)seq * 100,
		.publish_ns = (int64_t)seq * 1000,
		.origin = seq + 5};
	size_t length = payload_length(seq, fnx_publisher_slot_size(pub));

	payload_fill(payload, seq, length);
	fnx_publisher_publish(pub, length, &stamp);
}

/* Loans and publishes frame `head`. The answer of loan. */
__attribute__((unused)) static int publish_next(struct fnx_publisher *pub, int64_t now_ns)
{
	uint64_t seq = fnx_publisher_head(pub);
	void *payload;
	int r = fnx_publisher_loan(pub, now_ns, &payload);

	if (!r)
		publish_as(pub, payload, seq);
	return r;
}

/* Frame `head` exists, and nobody who sleeps is told. */
__attribute__((unused)) static void stage_next(struct fnx_publisher *pub)
{
	uint64_t seq = fnx_publisher_head(pub);
	size_t length = payload_length(seq, fnx_publisher_slot_size(pub));
	struct fnx_stamp stamp = {.sample_time = (int64_t)seq * 10,
		.ingress_ns = (int64_t)seq * 100,
		.publish_ns = (int64_t)seq * 1000,
		.origin = seq + 5};
	void *payload;

	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
	payload_fill(payload, seq, length);
	fnx_publisher_stage(pub, length, &stamp);
}

__attribute__((unused)) static void publish_n(struct fnx_publisher *pub, unsigned n)
{
	while (n--)
		assert_int_equal(publish_next(pub, 0), 0);
}

/* Opening
 * ------------------------------------------------------------------------------------------- */

__attribute__((unused)) static struct fnx_topic_config topic_config(
	enum fnx_full_policy full, uint32_t n_slots)
{
	return (struct fnx_topic_config){.name = "topic",
		.node = "writer",
		.schema_hash = 42,
		.schema = "\x81\xa1s\x01",
		.schema_size = 4,
		.slot_size = SLOT_SIZE,
		.n_slots = n_slots,
		.full = full,
		.grace_ns = 1000000000,
		.bell = FNX_BELL_FORM_PIPE};
}

__attribute__((unused)) static struct fnx_publisher *open_publisher(
	const struct fnx_bus *bus, enum fnx_full_policy full, uint32_t n_slots)
{
	struct fnx_topic_config config = topic_config(full, n_slots);
	struct fnx_publisher *pub;

	assert_int_equal(fnx_publisher_open(bus, &config, &pub), 0);
	return pub;
}

__attribute__((unused)) static struct fnx_subscriber_config subscriber_config(
	const char *node, enum fnx_policy policy)
{
	return (struct fnx_subscriber_config){.topic = "topic",
		.node = node,
		.schema_hash = 42,
		.policy = policy,
		.start = FNX_START_NEXT,
		.bell = FNX_BELL_FORM_PIPE};
}

__attribute__((unused)) static struct fnx_subscriber *open_subscriber(
	const struct fnx_bus *bus, const char *node, enum fnx_policy policy)
{
	struct fnx_subscriber_config config = subscriber_config(node, policy);
	struct fnx_subscriber *sub;

	assert_int_equal(fnx_subscriber_open(bus, &config, &sub), 0);
	return sub;
}

__attribute__((unused)) static struct fnx_subscriber *open_subscriber_oldest(
	const struct fnx_bus *bus, const char *node, enum fnx_policy policy)
{
	struct fnx_subscriber_config config = subscriber_config(node, policy);
	struct fnx_subscriber *sub;

	config.start = FNX_START_OLDEST;
	assert_int_equal(fnx_subscriber_open(bus, &config, &sub), 0);
	return sub;
}

__attribute__((unused)) static void *fixture_dead[8192];

/* What a death within this process leaves: the memory stays mapped and nothing is told to anybody.
 */
__attribute__((unused)) static void die(void *publisher_or_subscriber)
{
	static unsigned n_dead;

	fixture_dead[n_dead++ % 8192] = publisher_or_subscriber;
}

/* The files themselves, to look at and to damage. */
__attribute__((unused)) static struct fnx_mapping open_mapping(const struct fnx_bus *bus)
{
	struct fnx_mapping map;

	assert_int_equal(fnx_mapping_open(bus, "topic", 1, &map), 0);
	return map;
}

/* Expectations
 * -------------------------------------------------------------------------------------- */

__attribute__((unused)) static struct fnx_frame expect_peek(
	struct fnx_subscriber *sub, uint64_t seq, size_t slot_size)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_int_equal(fnx_subscriber_peek(sub, &frame, &gap), FNX_FRAME);
	assert_int_equal(frame.seq, seq);
	assert_true(frame_right(&frame, slot_size));
	return frame;
}

__attribute__((unused)) static void expect_frame(struct fnx_subscriber *sub, uint64_t seq)
{
	expect_peek(sub, seq, SLOT_SIZE);
	fnx_subscriber_release(sub);
}

__attribute__((unused)) static void expect_frames(
	struct fnx_subscriber *sub, uint64_t from, uint64_t to)
{
	for (uint64_t seq = from; seq < to; seq++)
		expect_frame(sub, seq);
}

__attribute__((unused)) static void expect_gap(
	struct fnx_subscriber *sub, uint64_t from, uint64_t to, enum fnx_gap_reason reason)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_int_equal(fnx_subscriber_peek(sub, &frame, &gap), FNX_GAP);
	assert_int_equal(gap.from, from);
	assert_int_equal(gap.to, to);
	assert_int_equal(gap.reason, reason);
}

__attribute__((unused)) static void expect_answer(struct fnx_subscriber *sub, int answer)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_int_equal(fnx_subscriber_peek(sub, &frame, &gap), answer);
}

/* No slot has been lost: a wait publisher without readers can fill its pool. */
__attribute__((unused)) static void expect_all_slots(
	const struct fnx_bus *bus, struct fnx_publisher *pub, uint32_t n_slots)
{
	struct fnx_subscriber *sub = open_subscriber(bus, "slot-counter", FNX_LOSSLESS);
	uint64_t head = fnx_publisher_head(pub);
	uint32_t n = 0;

	while (publish_next(pub, 0) == 0)
		n++;
	assert_int_equal(n, n_slots);
	for (uint64_t seq = head; seq < head + n; seq++) {
		expect_peek(sub, seq, fnx_publisher_slot_size(pub));
		fnx_subscriber_release(sub);
	}
	fnx_subscriber_close(sub);
}

/* After any words of .subs were written over: all its readers are gone. */
__attribute__((unused)) static void forgive(struct fnx_subs *subs)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)(void *)subs;
	uint64_t joins = atomic_load(&subs->joins);

	for (size_t i = offsetof(struct fnx_subs, joins) / 8; i < sizeof(*subs) / 8; i++)
		atomic_store(&words[i], 0);
	atomic_store(&subs->joins, joins + 1);
}
