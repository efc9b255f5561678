/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridges that die, keys that do not fit, bytes that no bridge would send. */
#include "tests/unit/bus/bridge_fixture.h"

#include <sys/prctl.h>

#include <zmq.h>

#include "bus/bridge_wire.h"

enum {
	KILLS = 12,
	FRAMES_BETWEEN_KILLS = 300,
	HOSTILE_MESSAGES = 20000,
};

/* Bridges in processes of their own
 * ------------------------------------------------------------------------------ */

static struct pair children;

/* One end of `children`, until it is killed. */
static int run_bridge(struct fnx_bridge *bridge, const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_presence presence;
	struct fnx_bell *bell;
	int pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fnx_presence_claim(bus, "bridge", &presence, &pid) ||
		fnx_bell_open(bus, "bridge", FNX_BELL_FORM_PIPE, &bell))
		return 1;
	child_ready(ready_fd);
	for (;;) {
		struct pollfd fds[2] = {{.fd = fnx_bridge_fd(bridge), .events = POLLIN},
			{.fd = fnx_bell_fd(bell), .events = POLLIN}};
		int64_t due_ns, now_ns = fixture_now_ns();

		if (!fnx_bridge_turn(bridge, 1, now_ns, &due_ns) && due_ns > now_ns)
			poll(fds, 2, (int)((due_ns - now_ns) / 1000000) + 1);
		fnx_bell_drain(bell);
	}
}

static int run_there(const struct fnx_bus *bus, int ready_fd)
{
	open_there(&children);
	return run_bridge(children.there, bus, ready_fd);
}

static int run_here(const struct fnx_bus *bus, int ready_fd)
{
	open_here(&children);
	return run_bridge(children.here, bus, ready_fd);
}

/* Publishes and reads until the reader is at `to`; nothing may be missing. */
static void pass_until(struct fnx_publisher *pub, struct fnx_subscriber *sub, uint64_t to)
{
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;

	while (fnx_subscriber_next(sub) < to) {
		struct fnx_frame frame;
		struct fnx_gap gap;
		int r;

		assert_true(fixture_now_ns() < until_ns);
		publish_next(pub, fixture_now_ns());
		r = fnx_subscriber_peek(sub, &frame, &gap);
		assert_true(r == FNX_NOTHING || r == FNX_FRAME);
		if (r == FNX_FRAME) {
			assert_int_equal(frame.seq, fnx_subscriber_next(sub));
			assert_true(arrived_right(&frame));
			fnx_subscriber_release(sub);
		} else {
			poll(NULL, 0, 1);
		}
	}
}

static struct fnx_subscriber *subscribe_here(void)
{
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	struct fnx_subscriber *sub;
	int r;

	config.start = FNX_START_OLDEST;
	while ((r = fnx_subscriber_open(&children.here_bus, &config, &sub)) == -ENOENT) {
		assert_true(fixture_now_ns() < until_ns);
		poll(NULL, 0, 1);
	}
	assert_int_equal(r, 0);
	return sub;
}

static void either_end_killed(const char *form)
{
	struct check_random dice = check_random_seeded();
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct child there, here;
	uint64_t to = 0;

	pair_init(&children, form, FNX_LOSSLESS);
	/* What is killed has a second to come back. */
	pub = open_publisher(&children.there_bus, FNX_FULL_WAIT, SLOTS);
	there = child_start(run_there, &children.there_bus);
	here = child_start(run_here, &children.here_bus);
	child_await(&there);
	child_await(&here);
	sub = subscribe_here();
	for (int i = 0; i < KILLS; i++) {
		to += 1 + check_random_below(&dice, FRAMES_BETWEEN_KILLS);
		pass_until(pub, sub, to);
		if (check_random_below(&dice, 2)) {
			assert_int_equal(child_end(&there, SIGKILL), -SIGKILL);
			there = child_start(run_there, &children.there_bus);
			child_await(&there);
		} else {
			assert_int_equal(child_end(&here, SIGKILL), -SIGKILL);
			here = child_start(run_here, &children.here_bus);
			child_await(&here);
		}
	}
	pass_until(pub, sub, to + FRAMES_BETWEEN_KILLS);
	child_end(&there, SIGKILL);
	child_end(&here, SIGKILL);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
}

TEST(whichever_end_is_killed_nothing_is_lost_over_ipc)
{
	either_end_killed("ipc");
}

TEST(whichever_end_is_killed_nothing_is_lost_over_tcp)
{
	either_end_killed("tcp");
}

TEST(a_bridge_that_was_away_too_long_tells_of_a_gap)
{
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct pair pair;
	uint64_t next = 0, missed = 0;

	pair_open(&pair, "ipc", FNX_LOSSLESS);
	pub = open_publisher(&pair.there_bus, FNX_FULL_WAIT, SLOTS);
	sub = pair_subscribe(&pair, "reader", FNX_LOSSLESS);
	publish_n(pub, 5);
	while (next < 5) {
		assert_int_equal(pair_peek(&pair, sub, &frame, &gap), FNX_FRAME);
		assert_int_equal(frame.seq, next++);
		fnx_subscriber_release(sub);
	}
	/* It leaves in good order: the publisher waits for it no more. */
	pair.there = fnx_bridge_close(pair.there);
	publish_n(pub, 10 * SLOTS);
	open_there(&pair);
	while (next < 5 + 10 * SLOTS) {
		if (pair_peek(&pair, sub, &frame, &gap) == FNX_GAP) {
			assert_int_equal(gap.from, next);
			missed += gap.to - gap.from;
			next = gap.to;
		} else {
			assert_int_equal(frame.seq, next++);
			assert_true(arrived_right(&frame));
			fnx_subscriber_release(sub);
		}
	}
	assert_true(missed > 0 && missed <= 10 * SLOTS);
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}

/* Keys
 * ----------------------------------------------------------------------------------------------
 */

static void expect_refusal(struct pair *pair)
{
	int64_t until_ns = fixture_now_ns() + CHECK_PATIENCE_NS;
	struct fnx_bridge_state there, here;
	struct fnx_publisher *pub;
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_subscriber *sub;

	open_there(pair);
	open_here(pair);
	pub = open_publisher(&pair->there_bus, FNX_FULL_WAIT, SLOTS);
	do {
		assert_true(fixture_now_ns() < until_ns);
		pair_turn(pair);
		fnx_bridge_state(pair->there, fixture_now_ns(), &there);
		fnx_bridge_state(pair->here, fixture_now_ns(), &here);
		assert_false(there.connected || here.connected);
	} while (!there.n_refused && !here.n_refused);
	assert_int_equal(fnx_subscriber_open(&pair->here_bus, &config, &sub), -ENOENT);
	pair_close(pair);
	fnx_publisher_close(pub);
}

TEST(a_listener_with_another_key_is_not_believed)
{
	struct pair pair;
	struct keys others;

	pair_init(&pair, "tcp", FNX_LOSSLESS);
	use_keys(&pair);
	new_keys(&others);
	pair.here_config.peer_public_key = others.there_public;
	expect_refusal(&pair);
}

TEST(a_stranger_with_a_key_of_its_own_is_not_admitted)
{
	struct pair pair;
	struct keys others;

	pair_init(&pair, "tcp", FNX_LOSSLESS);
	use_keys(&pair);
	new_keys(&others);
	pair.here_config.public_key = others.here_public;
	pair.here_config.secret_key = others.here_secret;
	expect_refusal(&pair);
}

TEST(an_end_without_keys_is_not_admitted)
{
	struct pair pair;

	pair_init(&pair, "tcp", FNX_LOSSLESS);
	use_keys(&pair);
	pair.here_config = (struct fnx_bridge_config){.endpoint = pair.endpoint};
	expect_refusal(&pair);
}

TEST(what_can_be_reached_from_outside_needs_keys)
{
	struct fnx_bridge_config config = {.endpoint = "tcp://0.0.0.0:17771", .listens = 1};
	struct fnx_bus bus = fixture_bus();
	struct fnx_bridge *bridge;

	assert_int_equal(fnx_bridge_open(&bus, &config, &bridge), -EPERM);
	config.endpoint = "udp://127.0.0.1:17771";
	assert_int_equal(fnx_bridge_open(&bus, &config, &bridge), -EPROTONOSUPPORT);
}

/* Bytes
 * ---------------------------------------------------------------------------------------------- */

struct enemy {
	void *context, *socket;
	struct check_random dice;
	struct fnx_wire_ask ask; /* heard last */
};

static uint64_t below(struct enemy *enemy, uint64_t n)
{
	return check_random_below(&enemy->dice, n);
}

/* Mostly what would be right, sometimes anything. */
static uint64_t about(struct enemy *enemy, uint64_t right)
{
	switch (below(enemy, 8)) {
	case 0:
		return check_random_u64(&enemy->dice);
	case 1:
		return right + below(enemy, 5) - 2;
	case 2:
		return below(enemy, 2) ? UINT64_MAX : 0;
	default:
		return right;
	}
}

static void hear(struct enemy *enemy)
{
	union fnx_wire wire;
	int n;

	while ((n = zmq_recv(enemy->socket, &wire, sizeof(wire), ZMQ_DONTWAIT)) >= 0)
		if (n == sizeof(wire.ask) && wire.head.kind == FNX_WIRE_ASK)
			enemy->ask = wire.ask;
}

static size_t make_topic(struct enemy *enemy, struct fnx_wire_topic *topic)
{
	static const uint64_t slot_sizes[] = {0, 1, 64, 256, UINT64_C(1) << 40, UINT64_MAX};
	static const uint32_t n_slots[] = {0, 1, 2, 16, 64, 100000, UINT32_MAX};

	*topic = (struct fnx_wire_topic){.head = fnx_wire_head(FNX_WIRE_TOPIC),
		.handle = (uint32_t)about(enemy, enemy->ask.handle),
		.full = (uint32_t)below(enemy, 4),
		.epoch = about(enemy, 1 + below(enemy, 3)),
		.schema_hash = about(enemy, 42),
		.slot_size = slot_sizes[below(enemy, 6)],
		.n_slots = n_slots[below(enemy, 7)],
		.n_entries = 4 * n_slots[below(enemy, 5)],
		.first_seq = about(enemy, below(enemy, 100))};
	return sizeof(*topic);
}

static size_t make_ask(struct enemy *enemy, struct fnx_wire_ask *ask)
{
	*ask = (struct fnx_wire_ask){.head = fnx_wire_head(FNX_WIRE_ASK),
		.handle = (uint32_t)about(enemy, 0),
		.ended = (uint32_t)below(enemy, 2),
		.round = about(enemy, below(enemy, 3)),
		.epoch = about(enemy, 0),
		.next = about(enemy, below(enemy, 100)),
		.limit = about(enemy, below(enemy, 200))};
	memset(ask->topic, 'x', sizeof(ask->topic));
	if (below(enemy, 4))
		memcpy(ask->topic, "served", 7);
	return sizeof(*ask);
}

/* A message of a kind, in form right and in meaning doubtful. */
static size_t make(struct enemy *enemy, union fnx_wire *wire)
{
	const struct fnx_wire_ask *ask = &enemy->ask;
	uint32_t handle = (uint32_t)about(enemy, ask->handle);
	uint64_t round = about(enemy, ask->round), next = about(enemy, ask->next);

	switch (below(enemy, 7)) {
	case 0:
		wire->beat = (struct fnx_wire_beat){.head = fnx_wire_head(FNX_WIRE_BEAT),
			.sent_ns = (int64_t)about(enemy, (uint64_t)fixture_now_ns()),
			.echo_ns = (int64_t)about(enemy, (uint64_t)fixture_now_ns()),
			.echo_age_ns = (int64_t)about(enemy, 0),
			.finished = about(enemy, 0)};
		return sizeof(wire->beat);
	case 1:
		return make_ask(enemy, &wire->ask);
	case 2:
		return make_topic(enemy, &wire->topic);
	case 3:
		wire->gap = (struct fnx_wire_gap){.head = fnx_wire_head(FNX_WIRE_GAP),
			.handle = handle,
			.round = round,
			.from = next,
			.to = about(enemy, next + below(enemy, 10000))};
		return sizeof(wire->gap);
	case 4:
		wire->mark = (struct fnx_wire_mark){.head = fnx_wire_head(FNX_WIRE_MARK),
			.handle = handle,
			.round = round,
			.next = next,
			.watermark = (int64_t)about(enemy, 5),
			.ingress_ns = (int64_t)about(enemy, 5),
			.end = (int64_t)about(enemy, 5)};
		return sizeof(wire->mark);
	case 5:
		wire->left = (struct fnx_wire_left){.head = fnx_wire_head(FNX_WIRE_LEFT),
			.handle = handle,
			.epoch = about(enemy, 12345)};
		return sizeof(wire->left);
	default:
		wire->frame = (struct fnx_wire_frame){.head = fnx_wire_head(FNX_WIRE_FRAME),
			.handle = handle,
			.flags = (uint32_t)about(enemy, 0),
			.round = round,
			.seq = next,
			.sample_time = (int64_t)about(enemy, 5),
			.ingress_ns = (int64_t)about(enemy, 5),
			.publish_ns = (int64_t)about(enemy, 5)};
		return sizeof(wire->frame);
	}
}

static void attack(struct enemy *enemy)
{
	unsigned char noise[600];
	union fnx_wire wire;
	size_t size = make(enemy, &wire), noise_size = below(enemy, sizeof(noise));
	unsigned parts = (unsigned)below(enemy, 20);

	for (size_t i = 0; i < noise_size; i++)
		noise[i] = (unsigned char)check_random_u64(&enemy->dice);
	if (below(enemy, 10) == 0)
		((unsigned char *)&wire)[below(enemy, size)] ^=
			(unsigned char)(1 + below(enemy, 255));
	if (below(enemy, 20) == 0)
		size = below(enemy, sizeof(wire) + 1);
	if (below(enemy, 20) == 0)
		zmq_send(enemy->socket, noise, noise_size, ZMQ_DONTWAIT);
	/* One part, two as it should be, or too many. */
	zmq_send(enemy->socket, &wire, size, ZMQ_DONTWAIT | (parts ? ZMQ_SNDMORE : 0));
	for (unsigned i = 0; parts > 17 && i < parts; i++)
		zmq_send(enemy->socket, noise, noise_size, ZMQ_DONTWAIT | ZMQ_SNDMORE);
	if (parts)
		zmq_send(enemy->socket, noise, noise_size, ZMQ_DONTWAIT);
}

TEST(no_bytes_make_a_bridge_crash_or_hang)
{
	struct enemy enemy = {.dice = check_random_seeded()};
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, SLOTS);
	struct fnx_bridge_topic served;
	struct fnx_subscriber *sub = NULL;
	struct fnx_publisher *pub;
	struct pair pair;
	int64_t due_ns;

	pair_init(&pair, "ipc", FNX_LOSSLESS);
	config.name = "served";
	assert_int_equal(fnx_publisher_open(&pair.there_bus, &config, &pub), 0);
	served = pair.served;
	served.topic = "served";
	assert_int_equal(fnx_bridge_open(&pair.there_bus, &pair.there_config, &pair.there), 0);
	assert_int_equal(fnx_bridge_serve(pair.there, &served), 0);
	assert_int_equal(fnx_bridge_fetch(pair.there, &pair.fetched), 0);
	enemy.context = zmq_ctx_new();
	enemy.socket = zmq_socket(enemy.context, ZMQ_DEALER);
	zmq_setsockopt(enemy.socket, ZMQ_LINGER, &(int){0}, sizeof(int));
	assert_int_equal(zmq_connect(enemy.socket, pair.endpoint), 0);
	for (int i = 0; i < HOSTILE_MESSAGES; i++) {
		struct fnx_subscriber_config reader = subscriber_config("reader", FNX_LOSSLESS);
		struct fnx_frame frame;
		struct fnx_gap gap;
		int64_t begun_ns = fixture_now_ns();

		hear(&enemy);
		attack(&enemy);
		publish_next(pub, 0);
		fnx_bridge_turn(pair.there, 1, fixture_now_ns(), &due_ns);
		/* A turn is short, whatever a gap may claim to hold. */
		assert_true(fixture_now_ns() - begun_ns < AT_ONCE_NS);
		if (!sub && fnx_subscriber_open(&pair.there_bus, &reader, &sub))
			sub = NULL;
		if (!sub)
			continue;
		switch (fnx_subscriber_peek(sub, &frame, &gap)) {
		case FNX_FRAME:
			fnx_subscriber_release(sub);
			break;
		case FNX_MOVED:
			sub = fnx_subscriber_close(sub);
			break;
		}
	}
	zmq_close(enemy.socket);
	zmq_ctx_term(enemy.context);
	fnx_subscriber_close(sub);
	pair_close(&pair);
	fnx_publisher_close(pub);
}
