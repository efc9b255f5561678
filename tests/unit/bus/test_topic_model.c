/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random steps of one publisher and several subscribers, beside a model that keeps every frame that
 * ever was in a plain array and looks through all of it each time. After each step both must say
 * the same.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#ifdef FNX_SANITIZED
enum {
	N_ROUNDS = 60
};
#else
enum {
	N_ROUNDS = 250
};
#endif

enum {
	STEPS_PER_ROUND = 4000,
	MODEL_SUBS = 6,
	MODEL_FRAMES = 4 * STEPS_PER_ROUND + 1,
};

struct model_frame {
	int dropped; /* at the source */
	int has_slot; /* its payload is in the pool */
};

struct model_sub {
	struct fnx_subscriber *sub;
	struct fnx_bell *bell;
	enum fnx_policy policy;
	int lazy;
	int parked, dozes;
	int rung; /* and its bell not yet looked at */
	int64_t wake_at;
	uint64_t wake_head;
	uint64_t next, cursor;
	int in_turn;
	struct fnx_frame frame;
	unsigned n_holds;
	struct fnx_frame holds[FNX_HOLDS_MAX];
};

struct model {
	struct check_random *random;
	struct fnx_bus bus;
	struct fnx_topic_config config;
	struct fnx_publisher *pub;
	uint32_t n_slots, n_entries;
	uint64_t head, released, lapped, dropped;
	int64_t watermark;
	struct model_frame frames[MODEL_FRAMES];
	struct model_sub subs[MODEL_SUBS];
};

static uint64_t below(struct model *m, uint64_t n)
{
	return check_random_below(m->random, n);
}

/* The model
 * ------------------------------------------------------------------------------------------ */

static int guarded(const struct model *m, const struct model_sub *s)
{
	return s->policy != FNX_LOSSLESS || m->config.full == FNX_FULL_DROP;
}

static int is_read_or_held(const struct model *m, uint64_t seq)
{
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		const struct model_sub *s = &m->subs[i];

		if (!s->sub)
			continue;
		if (s->in_turn && guarded(m, s) && s->frame.seq == seq)
			return 1;
		for (unsigned k = 0; k < s->n_holds; k++)
			if (s->holds[k].seq == seq)
				return 1;
	}
	return 0;
}

static uint32_t n_free(const struct model *m)
{
	uint32_t n = m->n_slots;

	for (uint64_t seq = 0; seq < m->head; seq++)
		n -= (uint32_t)m->frames[seq].has_slot;
	return n;
}

static uint64_t clamped_cursor(const struct model *m, const struct model_sub *s)
{
	return s->cursor > m->released ? s->cursor : m->released;
}

/* The lowest cursor above `floor` of all lossless readers. */
static uint64_t lowest_from(const struct model *m, uint64_t floor)
{
	uint64_t lowest = m->head;

	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		const struct model_sub *s = &m->subs[i];

		if (s->sub && s->policy == FNX_LOSSLESS && clamped_cursor(m, s) >= floor &&
			clamped_cursor(m, s) < lowest)
			lowest = clamped_cursor(m, s);
	}
	return lowest;
}

static void give_up(struct model *m, uint64_t limit)
{
	m->released = limit;
	for (uint64_t seq = 0; seq < limit; seq++)
		if (!is_read_or_held(m, seq))
			m->frames[seq].has_slot = 0;
}

static void lap(struct model *m)
{
	uint64_t limit = m->released + (m->n_slots >= 32 ? m->n_slots / 16 : 1);
	uint64_t bound = lowest_from(m, m->released);

	if (bound == m->released)
		bound = lowest_from(m, m->released + 1);
	if (limit > bound)
		limit = bound;
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		const struct model_sub *s = &m->subs[i];

		if (!s->sub || s->policy != FNX_LOSSLESS)
			continue;
		for (uint64_t seq = clamped_cursor(m, s); seq < limit; seq++)
			m->lapped +=
				!m->frames[seq].dropped && !(s->in_turn && s->frame.seq == seq);
	}
	give_up(m, limit);
}

/* Whom a frame, or the watermark, rings, who is parked for it. */
static void ring(struct model *m, int64_t watermark)
{
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		struct model_sub *s = &m->subs[i];

		if (!s->sub || !s->parked || (s->wake_at > watermark && s->wake_head > m->head))
			continue;
		s->rung = 1;
		s->parked = 0;
	}
}

/* Whom a publisher without room rings. */
static void ring_dozers(struct model *m)
{
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		struct model_sub *s = &m->subs[i];

		if (!s->sub || !s->parked || !s->dozes || s->policy != FNX_LOSSLESS ||
			s->cursor >= m->head)
			continue;
		s->rung = 1;
		s->parked = 0;
	}
}

static void expect_rings(struct model *m)
{
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		struct model_sub *s = &m->subs[i];

		if (s->bell)
			assert_int_equal(fnx_bell_drain(s->bell), s->rung);
		s->rung = 0;
	}
}

static void reclaim(struct model *m, uint32_t n)
{
	give_up(m, lowest_from(m, m->released));
	while (n_free(m) < n && n == 1 && m->config.full == FNX_FULL_DROP && m->released < m->head)
		lap(m);
	if (m->config.full == FNX_FULL_WAIT && n_free(m) < n)
		ring_dozers(m);
}

/* Steps
 * --------------------------------------------------------------------------------------------- */

/* 1: a frame, or the loss of one, was published. */
static int publish_one(struct model *m, int staged)
{
	struct fnx_stamp stamp = {.sample_time = (int64_t)m->head * 10,
		.ingress_ns = (int64_t)m->head * 100,
		.publish_ns = (int64_t)m->head * 1000,
		.origin = m->head + 5};
	size_t length = payload_length(m->head, m->config.slot_size);
	int expected = 0, r;
	void *payload;

	if (!n_free(m)) {
		/* What is staged is told of first. */
		ring(m, INT64_MIN);
		reclaim(m, 1);
	}
	if (!n_free(m))
		expected = m->config.full == FNX_FULL_WAIT ? -EAGAIN : -ENOBUFS;
	r = fnx_publisher_loan(m->pub, 0, &payload);
	assert_int_equal(r, expected);
	if (r == -EAGAIN)
		return 0;
	if (!r && below(m, 16) == 0) {
		fnx_publisher_abort(m->pub);
		return 0;
	}
	if (!r) {
		payload_fill(payload, m->head, length);
		if (staged)
			fnx_publisher_stage(m->pub, length, &stamp);
		else
			fnx_publisher_publish(m->pub, length, &stamp);
	}
	m->frames[m->head++] = (struct model_frame){.dropped = r < 0, .has_slot = !r};
	m->dropped += r < 0;
	return 1;
}

/* However many frames a batch has, whoever sleeps is rung once. */
static void step_publish(struct model *m)
{
	unsigned batch = below(m, 4) ? 1 : 2 + (unsigned)below(m, 3);
	int staged = batch > 1 && m->head + batch < MODEL_FRAMES, n = 0;

	do {
		n += publish_one(m, staged);
	} while (staged && --batch > 0);
	fnx_publisher_flush(m->pub);
	if (n)
		ring(m, INT64_MIN);
}

static void step_room(struct model *m)
{
	uint32_t n = (uint32_t)below(m, m->n_slots + 2);
	int expected = 1;

	if (m->config.full == FNX_FULL_WAIT) {
		if (n_free(m) < n)
			reclaim(m, n);
		expected = n_free(m) >= n;
	}
	assert_int_equal(fnx_publisher_room(m->pub, n, 0), expected);
}

static void step_advance(struct model *m)
{
	m->watermark += (int64_t)below(m, 20);
	fnx_publisher_advance(m->pub, m->watermark, 0);
	ring(m, m->watermark);
}

static void open_bell(struct model *m, unsigned i)
{
	char node[16];

	snprintf(node, sizeof(node), "reader-%u", i);
	assert_int_equal(fnx_bell_open(&m->bus, node, FNX_BELL_FORM_PIPE, &m->subs[i].bell), 0);
}

static void open_sub(struct model *m, unsigned i)
{
	struct model_sub *s = &m->subs[i];
	struct fnx_subscriber_config config;
	char node[16];

	snprintf(node, sizeof(node), "reader-%u", i);
	config = subscriber_config(node, s->policy);
	config.start = below(m, 2) ? FNX_START_OLDEST : FNX_START_NEXT;
	config.lazy = s->lazy;
	assert_int_equal(fnx_subscriber_open(&m->bus, &config, &s->sub), 0);
	if (fnx_subscriber_resumed(s->sub)) {
		s->next = s->cursor;
	} else {
		s->next = config.start == FNX_START_OLDEST ? m->released : m->head;
		s->cursor = s->next;
	}
	s->in_turn = s->parked = 0;
	s->n_holds = 0;
	assert_int_equal(fnx_subscriber_next(s->sub), s->next);
}

static void step_come_or_go(struct model *m, unsigned i)
{
	struct model_sub *s = &m->subs[i];

	if (!s->sub) {
		s->policy = (enum fnx_policy)(1 + below(m, 3));
		s->lazy = below(m, 3) == 0;
		open_sub(m, i);
	} else if (below(m, 2)) {
		/* It dies and comes back, as it was. */
		die(s->sub);
		open_sub(m, i);
		assert_int_equal(fnx_subscriber_resumed(s->sub), 1);
	} else {
		s->sub = fnx_subscriber_close(s->sub);
	}
}

static void commit(struct model_sub *s)
{
	s->cursor = s->next;
}

static void expect_gap_here(struct model *m, struct model_sub *s, const struct fnx_gap *gap)
{
	assert_int_equal(gap->from, s->next);
	if (m->frames[s->next].dropped && m->head <= s->next + m->n_entries) {
		assert_int_equal(gap->reason, FNX_GAP_DROPPED);
		s->next++;
	} else {
		assert_int_equal(gap->reason, FNX_GAP_LAPPED);
		s->next = m->released > s->next ? m->released : s->next + 1;
	}
	assert_int_equal(gap->to, s->next);
	if (!s->lazy)
		commit(s);
}

static void step_peek(struct model *m, struct model_sub *s)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	int r = fnx_subscriber_peek(s->sub, &frame, &gap);

	if (s->in_turn) {
		assert_int_equal(r, FNX_FRAME);
		assert_int_equal(frame.seq, s->frame.seq);
		assert_ptr_equal(frame.payload, s->frame.payload);
		return;
	}
	if (s->policy == FNX_LATEST && m->head > 0 && s->next < m->head - 1)
		s->next = m->head - 1;
	if (s->next >= m->head) {
		assert_int_equal(r, FNX_NOTHING);
	} else if (s->next < m->released || m->frames[s->next].dropped) {
		assert_int_equal(r, FNX_GAP);
		expect_gap_here(m, s, &gap);
	} else {
		assert_int_equal(r, FNX_FRAME);
		assert_int_equal(frame.seq, s->next);
		assert_true(frame_right(&frame, m->config.slot_size));
		s->frame = frame;
		s->in_turn = 1;
	}
}

static void step_release(struct model_sub *s)
{
	if (!s->in_turn)
		return;
	fnx_subscriber_release(s->sub);
	s->in_turn = 0;
	s->next++;
	if (!s->lazy)
		commit(s);
}

static void step_hold(struct model_sub *s)
{
	int expected = s->n_holds == FNX_HOLDS_MAX ? -ENOBUFS : 0;

	if (!s->in_turn)
		return;
	assert_int_equal(fnx_subscriber_hold(s->sub, s->frame.seq), expected);
	if (!expected)
		s->holds[s->n_holds++] = s->frame;
}

static void step_drop(struct model *m, struct model_sub *s)
{
	unsigned i;

	if (!s->n_holds)
		return;
	i = (unsigned)below(m, s->n_holds);
	fnx_subscriber_drop(s->sub, s->holds[i].seq);
	s->holds[i] = s->holds[--s->n_holds];
}

static void step_park(struct model *m, struct model_sub *s)
{
	int64_t wake_at = below(m, 3) ? m->watermark + (int64_t)below(m, 30) : INT64_MAX;
	uint32_t patience = below(m, 2) ? (uint32_t)below(m, 12) : 0,
		 most = s->policy == FNX_LOSSLESS ? m->config.n_slots / 4 : 0;
	uint64_t wake_head = s->next + 1 + (patience < most ? patience : most);
	int ready = m->head >= wake_head || m->watermark >= wake_at;

	if (s->in_turn)
		return;
	if (below(m, 4) == 0) {
		fnx_subscriber_unpark(s->sub);
		s->parked = 0;
		return;
	}
	assert_int_equal(fnx_subscriber_due(s->sub, wake_at, patience), ready);
	if (patience)
		assert_int_equal(fnx_subscriber_doze(s->sub, wake_at, patience), ready);
	else
		assert_int_equal(fnx_subscriber_park(s->sub, wake_at), ready);
	s->parked = !ready;
	s->wake_at = wake_at;
	s->wake_head = wake_head;
	s->dozes = wake_head > s->next + 1;
}

static void step_subscriber(struct model *m)
{
	unsigned i = (unsigned)below(m, MODEL_SUBS);
	struct model_sub *s = &m->subs[i];

	if (below(m, 60) == 0) {
		step_come_or_go(m, i);
		return;
	}
	if (!s->sub)
		return;
	switch (below(m, 12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		step_peek(m, s);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		step_release(s);
		break;
	case 8:
		step_hold(s);
		break;
	case 9:
		step_drop(m, s);
		break;
	case 10:
		fnx_subscriber_commit(s->sub);
		commit(s);
		break;
	default:
		step_park(m, s);
	}
}

/* The publisher dies, with or without a loan, and its successor goes on. */
static void step_succeed(struct model *m)
{
	void *payload;

	if (below(m, 2) && n_free(m))
		assert_int_equal(fnx_publisher_loan(m->pub, 0, &payload), 0);
	die(m->pub);
	assert_int_equal(fnx_publisher_open(&m->bus, &m->config, &m->pub), 0);
	assert_int_equal(fnx_publisher_adopted(m->pub), 1);
	/* It looks at what is kept beyond its turn when it takes over, and passes over what has no
	 * payload. */
	while (m->released < m->head && m->frames[m->released].dropped)
		m->released++;
	give_up(m, m->released);
	/* It rings everybody, parked or not: its predecessor may have died before it did. */
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		assert_int_equal(fnx_bell_drain(m->subs[i].bell), m->subs[i].sub != NULL);
		m->subs[i].parked = 0;
	}
}

static void check_all(struct model *m)
{
	assert_int_equal(fnx_publisher_head(m->pub), m->head);
	assert_int_equal(fnx_publisher_lapped(m->pub), m->lapped);
	assert_int_equal(fnx_publisher_dropped(m->pub), m->dropped);
	for (unsigned i = 0; i < MODEL_SUBS; i++) {
		const struct model_sub *s = &m->subs[i];

		if (!s->sub)
			continue;
		assert_int_equal(fnx_subscriber_next(s->sub), s->next);
		assert_int_equal(
			fnx_subscriber_lag(s->sub), m->head > s->next ? m->head - s->next : 0);
		if (s->in_turn)
			assert_true(frame_right(&s->frame, m->config.slot_size));
		for (unsigned k = 0; k < s->n_holds; k++)
			assert_true(frame_right(&s->holds[k], m->config.slot_size));
	}
}

static void round_of_steps(struct model *m)
{
	/* Phases in which readers are faster, or the publisher is. */
	uint64_t publish_share = 10;

	m->config = topic_config(below(m, 2) ? FNX_FULL_WAIT : FNX_FULL_DROP,
		(uint32_t)(2 + below(m, below(m, 2) ? 62 : 6)));
	m->config.slot_size = 64 * (1 + below(m, 5));
	m->config.n_entries = below(m, 2) ? (uint32_t)below(m, 200) : 0;
	m->n_slots = m->config.n_slots;
	assert_int_equal(fnx_publisher_open(&m->bus, &m->config, &m->pub), 0);
	for (m->n_entries = 8; m->n_entries <= m->n_slots ||
		m->n_entries < (m->config.n_entries ? m->config.n_entries : 4 * m->n_slots);)
		m->n_entries *= 2;
	for (unsigned i = 0; i < MODEL_SUBS; i++)
		open_bell(m, i);
	fnx_publisher_advance(m->pub, m->watermark, 0);
	for (unsigned step = 0; step < STEPS_PER_ROUND; step++) {
		if (step % 200 == 0)
			publish_share = 1 + below(m, 30);
		if (below(m, 40) < publish_share)
			step_publish(m);
		else if (below(m, 40) == 0)
			step_room(m);
		else if (below(m, 20) == 0)
			step_advance(m);
		else if (below(m, 300) == 0)
			step_succeed(m);
		else
			step_subscriber(m);
		expect_rings(m);
		check_all(m);
	}
	for (unsigned i = 0; i < MODEL_SUBS; i++)
		m->subs[i].sub = fnx_subscriber_close(m->subs[i].sub);
	if (m->config.full == FNX_FULL_WAIT)
		assert_int_equal(fnx_publisher_room(m->pub, m->n_slots, 0), 1);
	fnx_publisher_close(m->pub);
	for (unsigned i = 0; i < MODEL_SUBS; i++)
		fnx_bell_close(m->subs[i].bell);
}

TEST(sequence_numbers_rise_and_each_missing_one_is_in_exactly_one_gap_as_in_the_model)
{
	static struct model m;
	struct check_random random = check_random_seeded();

	for (unsigned round = 0; round < N_ROUNDS; round++) {
		memset(&m, 0, sizeof(m));
		m.random = &random;
		m.watermark = INT64_MIN / 2;
		m.bus = fixture_bus();
		round_of_steps(&m);
		assert_true(fnx_bus_remove(&m.bus) >= 0);
	}
}
