/* SPDX-License-Identifier: BSD-3-Clause */
/* Two buses, as of two machines, with a bridge each; all in one thread, step by step. */
#pragma once

#include "tests/unit/bus/topic_fixture.h"

#include "bus/bridge.h"
#include "bus/endpoint.h"

enum {
	SLOTS = 16
};

struct keys {
	char there_public[FNX_KEY_SIZE + 1], there_secret[FNX_KEY_SIZE + 1];
	char here_public[FNX_KEY_SIZE + 1], here_secret[FNX_KEY_SIZE + 1];
};

/* `there` publishes and listens, `here` reads and connects. */
struct pair {
	struct fnx_bus there_bus, here_bus;
	struct fnx_bridge_config there_config, here_config;
	struct fnx_bridge_topic served, fetched;
	struct fnx_bridge *there, *here;
	char endpoint[200];
	struct keys keys;
};

__attribute__((unused)) static void new_keys(struct keys *keys)
{
	char path[256], public_path[300];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/key%d", check_scratch_dir(), i);
		snprintf(public_path, sizeof(public_path), "%s.pub", path);
		unlink(path);
		unlink(public_path);
		assert_int_equal(fnx_key_generate(path), 0);
		assert_int_equal(
			fnx_key_read(path, 1, i ? keys->here_secret : keys->there_secret), 0);
		assert_int_equal(
			fnx_key_read(public_path, 0, i ? keys->here_public : keys->there_public),
			0);
	}
}

/* Another endpoint on each call. `form`: inproc, ipc, tcp. */
__attribute__((unused)) static void name_endpoint(struct pair *pair, const char *form)
{
	static int n_endpoints;

	n_endpoints++;
	if (!strcmp(form, "tcp"))
		snprintf(pair->endpoint, sizeof(pair->endpoint), "tcp://127.0.0.1:%d",
			20000 + (getpid() * 16 + n_endpoints) % 12000);
	else if (!strcmp(form, "ipc"))
		snprintf(pair->endpoint, sizeof(pair->endpoint), "ipc://%s/bridge%d",
			check_scratch_dir(), n_endpoints);
	else
		snprintf(pair->endpoint, sizeof(pair->endpoint), "inproc://bridge%d", n_endpoints);
	pair->there_config.endpoint = pair->here_config.endpoint = pair->endpoint;
}

__attribute__((unused)) static void use_keys(struct pair *pair)
{
	new_keys(&pair->keys);
	pair->there_config.public_key = pair->here_config.peer_public_key = pair->keys.there_public;
	pair->here_config.public_key = pair->there_config.peer_public_key = pair->keys.here_public;
	pair->there_config.secret_key = pair->keys.there_secret;
	pair->here_config.secret_key = pair->keys.here_secret;
}

__attribute__((unused)) static void pair_init(
	struct pair *pair, const char *form, enum fnx_policy policy)
{
	*pair = (struct pair){.there_bus = fixture_bus(), .here_bus = fixture_bus()};
	name_endpoint(pair, form);
	pair->there_config.listens = 1;
	pair->served = pair->fetched = (struct fnx_bridge_topic){.topic = "topic",
		.node = "bridge",
		.policy = policy,
		.schema_hash = 42,
		/* Its readers here hold no presence. */
		.grace_ns = INT64_C(3600000000000),
		.bell = FNX_BELL_FORM_PIPE};
}

__attribute__((unused)) static void open_there(struct pair *pair)
{
	int r, tries = 0;

	/* A port may stay taken for a moment after its last socket was closed. */
	while ((r = fnx_bridge_open(&pair->there_bus, &pair->there_config, &pair->there)) ==
			-EADDRINUSE &&
		tries++ < 1000)
		poll(NULL, 0, 1);
	assert_int_equal(r, 0);
	assert_int_equal(fnx_bridge_serve(pair->there, &pair->served), 0);
}

__attribute__((unused)) static void open_here(struct pair *pair)
{
	assert_int_equal(fnx_bridge_open(&pair->here_bus, &pair->here_config, &pair->here), 0);
	assert_int_equal(fnx_bridge_fetch(pair->here, &pair->fetched), 0);
}

__attribute__((unused)) static void pair_open(
	struct pair *pair, const char *form, enum fnx_policy policy)
{
	pair_init(pair, form, policy);
	open_there(pair);
	open_here(pair);
}

__attribute__((unused)) static void pair_close(struct pair *pair)
{
	pair->here = fnx_bridge_close(pair->here);
	pair->there = fnx_bridge_close(pair->there);
}

/* A turn of each. 1: one of them has more to do. */
__attribute__((unused)) static int pair_turn(struct pair *pair)
{
	int64_t due_ns;
	int more = 0;

	if (pair->there)
		more |= fnx_bridge_turn(pair->there, 1, fixture_now_ns(), &due_ns);
	if (pair->here)
		more |= fnx_bridge_turn(pair->here, 1, fixture_now_ns(), &due_ns);
	return more;
}

/* Waits, in turns, until the topic is there on this side. */
__attribute__((unused)) static struct fnx_subscriber *pair_subscribe(
	struct pair *pair, const char *node, enum fnx_policy policy)
{
	struct fnx_subscriber_config config = subscriber_config(node, policy);
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	struct fnx_subscriber *sub;
	int64_t due_ns;
	int r;

	config.start = FNX_START_OLDEST;
	while ((r = fnx_subscriber_open(&pair->here_bus, &config, &sub)) == -ENOENT) {
		assert_true(fixture_now_ns() < until_ns);
		/* No credit yet: nothing may pass before the reader is there. */
		if (pair->there)
			fnx_bridge_turn(pair->there, 1, fixture_now_ns(), &due_ns);
		if (pair->here)
			fnx_bridge_turn(pair->here, 0, fixture_now_ns(), &due_ns);
	}
	assert_int_equal(r, 0);
	return sub;
}

/* The answer of peek, once there is one other than FNX_NOTHING. */
__attribute__((unused)) static int pair_peek(struct pair *pair, struct fnx_subscriber *sub,
	struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	int r;

	while ((r = fnx_subscriber_peek(sub, ret_frame, ret_gap)) == FNX_NOTHING) {
		assert_true(fixture_now_ns() < until_ns);
		pair_turn(pair);
	}
	return r;
}

/* 1: payload, lengths and stamps are those that publish_as gives, but for the times. */
__attribute__((unused)) static int arrived_right(const struct fnx_frame *frame)
{
	uint64_t seq = frame->seq;

	return frame->length == payload_length(seq, SLOT_SIZE) &&
		frame->stamp.sample_time == (int64_t)seq * 10 && frame->stamp.origin == seq + 5 &&
		payload_right(frame->payload, seq, frame->length);
}
