/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A publisher and its readers as fibers (fibers.h): a scheduler decides at each of their accesses
 * to shared memory who goes on, which held-back store becomes visible, and who is killed at this
 * very point. They publish, read, hold, park, join, leave, die, resume, evict and take over, and
 * after each step what must always hold is asserted.
 *
 * FORNIX_SIM_STEPS: accesses per test, default 400,000, and more where until then not everything has
 * happened that can. Long, since what the players do and what is asserted of it share the play.
 */
#include "bus/topic.h"

#include "tests/sim/accesses/fibers.h"
#include "tests/sim/accesses/payers.h"
#include "tests/unit/bus/topic_fixture.h"

#include <inttypes.h>

enum {
	WRITER = 0, /* fibers; the readers follow */
	N_READERS = 4,
	N_ACTORS = 1 + N_READERS,
	STEPS_DEFAULT = 400000,
	PATIENCE = 20, /* times so many steps, until all that can happen has */
	FRAMES_MAX = 1 << 16, /* per round */
	CALL_STEPS_MAX = 40000, /* accesses of one call of the publisher */
	PAYLOAD_WORDS = 8,
	GRACE_NS = 1000000000,
};

/* What is known of a reader beyond its deaths. */
struct reader {
	struct fnx_subscriber_config config;
	char node[16];
	struct fnx_subscriber *sub;
	uint64_t epoch; /* of the topic that it last joined, 0: none */
	int placed; /* it has a place there, for all that it knows */
	int unsure; /* ... but died while taking or leaving it */
	uint64_t next; /* expected of the next peek */
	uint64_t committed_min, committed_max; /* where its cursor may stand */
	uint32_t patience; /* frames that it may leave unread when it sleeps */
	unsigned n_holds;
	struct fnx_frame holds[FNX_HOLDS_MAX];
	/* What counts is the death that the publisher saw: it takes no notice of a life too short
	 * for its place. */
	int joined;
	int64_t died_ns;
};

/* What is known of a frame: who published it, told by the first reader. */
struct known {
	uint64_t origin;
	uint32_t length;
};

struct play {
	struct check_random *random;
	struct fnx_bus bus;
	enum fnx_full_policy full;
	uint32_t n_slots, n_entries;
	unsigned n_readers; /* the others are never born */
	unsigned leave_one_in; /* turns */
	int64_t now_ns;
	int ending;
	int alive[N_ACTORS], done[N_ACTORS];
	uint64_t n_kills, n_frames, n_gaps, n_resumed, n_evicted, n_adopted, n_dozes;
	struct fnx_publisher *pub;
	uint64_t writer_generation;
	int stop_publishing;
	int resting; /* the writer has nothing to say until all others have come to rest */
	struct reader readers[N_READERS];
	struct known frames[FRAMES_MAX];
	char failure[200];
};

static struct play play;

static uint64_t below(uint64_t n)
{
	return check_random_below(play.random, n);
}

/* In a fiber: cmocka cannot jump out of its stack. */
#define CLAIM(id, condition, ...) \
	do { \
		if (!(condition) && !play.failure[0]) { \
			snprintf(play.failure, sizeof(play.failure), __VA_ARGS__); \
			fiber_kill_self(id); \
		} \
	} while (0)

static void fiber_kill_self(unsigned id)
{
	(void)id;
	/* Sleeps for good; the scheduler sees the failure. */
	for (;;)
		fiber_sleep();
}

/* Bells and presence, played ---------------------------------------------------------- */

int __wrap_fnx_presence_check(const struct fnx_bus *bus, const char *node);
int __wrap_fnx_ringer_open(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	int pid, struct fnx_ringer *ret);
int __wrap_fnx_ringer_ring(struct fnx_ringer *ringer);
void __wrap_fnx_ringer_close(struct fnx_ringer *ringer);

static int actor_of(const char *node)
{
	if (!strcmp(node, "writer"))
		return WRITER;
	for (int i = 0; i < N_READERS; i++)
		if (!strcmp(node, play.readers[i].node))
			return 1 + i;
	return -1;
}

int __wrap_fnx_presence_check(const struct fnx_bus *bus, const char *node)
{
	int actor = actor_of(node);

	(void)bus;
	fiber_step();
	return actor >= 0 && play.alive[actor];
}

int __wrap_fnx_ringer_open(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	int pid, struct fnx_ringer *ret)
{
	int actor = actor_of(node);

	(void)bus, (void)form, (void)pid;
	fiber_step();
	if (actor < 0)
		return -ENOENT;
	ret->ring = __wrap_fnx_ringer_ring;
	ret->fd = actor;
	return 0;
}

int __wrap_fnx_ringer_ring(struct fnx_ringer *ringer)
{
	unsigned actor = (unsigned)ringer->fd;

	fiber_step();
	if (!play.alive[actor])
		return -EPIPE;
	fiber_ring(actor);
	return 0;
}

void __wrap_fnx_ringer_close(struct fnx_ringer *ringer)
{
	ringer->ring = NULL;
}

/* Payloads --------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t seq, uint64_t origin, unsigned i)
{
	return payload_word(seq ^ origin << 32, i);
}

static uint32_t length_of(uint64_t seq)
{
	return (uint32_t)(8 * (1 + payload_word(seq, 99) % PAYLOAD_WORDS));
}

static int is_right(const struct fnx_frame *frame)
{
	const uint64_t *words = frame->payload;

	if (frame->length != length_of(frame->seq) ||
		frame->stamp.sample_time != (int64_t)frame->seq * 10 ||
		frame->stamp.publish_ns != (int64_t)(frame->seq ^ frame->stamp.origin))
		return 0;
	for (unsigned i = 0; i < frame->length / 8; i++) {
		fiber_step();
		if (words[i] != word_of(frame->seq, frame->stamp.origin, i))
			return 0;
	}
	return 1;
}

/* Every reader of a frame reads the same one. */
static int is_the_known(const struct fnx_frame *frame)
{
	struct known *known = &play.frames[frame->seq % FRAMES_MAX];

	if (!known->origin)
		*known = (struct known){frame->stamp.origin, frame->length};
	return known->origin == frame->stamp.origin && known->length == frame->length;
}

/* The writer ------------------------------------------------------------------------- */

static void begin_call(uint64_t *ret_steps)
{
	*ret_steps = fiber_steps(WRITER);
}

static void end_call(uint64_t steps, const char *what)
{
	/* What others do meanwhile is not counted: nobody makes it loop. */
	CLAIM(WRITER, fiber_steps(WRITER) - steps < CALL_STEPS_MAX, "%s took %" PRIu64 " accesses",
		what, fiber_steps(WRITER) - steps);
}

static void open_writer(void)
{
	struct fnx_topic_config config = topic_config(play.full, play.n_slots);
	int r;

	config.slot_size = 8 * PAYLOAD_WORDS;
	config.n_entries = play.n_entries;
	config.grace_ns = GRACE_NS;
	r = fnx_publisher_open(&play.bus, &config, &play.pub);
	CLAIM(WRITER, r == 0, "the publisher could not open: %d", r);
	play.n_adopted += (uint64_t)fnx_publisher_adopted(play.pub);
}

static void wait_for_room(uint32_t n)
{
	int r = fnx_publisher_park(play.pub, n, play.now_ns);

	CLAIM(WRITER, play.full == FNX_FULL_WAIT, "a drop publisher waits");
	if (r == 0) {
		fiber_sleep();
		fnx_publisher_unpark(play.pub);
	}
}

/* For all of the pool: then whoever leaves one frame unread is in the way. */
static void wait_for_much_room(void)
{
	uint32_t n = 1 + (uint32_t)below(play.n_slots);

	while (!play.stop_publishing && !fnx_publisher_room(play.pub, n, play.now_ns))
		wait_for_room(n);
}

static void publish_one(void)
{
	uint64_t seq = fnx_publisher_head(play.pub), steps;
	uint64_t origin = play.writer_generation;
	const struct fnx_stamp stamp = {.sample_time = (int64_t)seq * 10,
		.publish_ns = (int64_t)(seq ^ origin),
		.origin = origin};
	uint64_t *words;
	void *payload;
	int r;

	begin_call(&steps);
	if (play.full == FNX_FULL_DROP)
		payers_begin_call();
	r = fnx_publisher_loan(play.pub, play.now_ns, &payload);
	end_call(steps, "loan");
	CLAIM(WRITER, play.full == FNX_FULL_WAIT || !payers_end_call()[0], "%s", payers_end_call());
	if (r == -EAGAIN) {
		wait_for_room(1);
		return;
	}
	CLAIM(WRITER, r == 0 || (r == -ENOBUFS && play.full == FNX_FULL_DROP), "loan: %d", r);
	if (r)
		return;
	words = payload;
	for (unsigned i = 0; i < length_of(seq) / 8; i++) {
		fiber_step();
		words[i] = word_of(seq, origin, i);
	}
	if (below(16) == 0) {
		fnx_publisher_abort(play.pub);
		return;
	}
	begin_call(&steps);
	fnx_publisher_publish(play.pub, length_of(seq), &stamp);
	end_call(steps, "publish");
	play.n_frames++;
}

static void live_as_writer(unsigned id)
{
	(void)id;
	open_writer();
	while (!play.stop_publishing && fnx_publisher_head(play.pub) < FRAMES_MAX - 1) {
		play.now_ns += (int64_t)below(2000000);
		switch (below(24)) {
		case 20:
			/* As one does that is paced: a ring that was lost is made good by nothing.
			 */
			play.resting = 1;
			fiber_sleep();
			play.resting = 0;
			break;
		case 0:
			fnx_publisher_advance(
				play.pub, (int64_t)fnx_publisher_head(play.pub) * 10, 0);
			break;
		case 1:
			wait_for_much_room();
			break;
		default:
			publish_one();
		}
	}
	play.done[WRITER] = 1;
}

/* The readers ------------------------------------------------------------------------ */

static void read_holds(unsigned id, struct reader *r)
{
	for (unsigned k = 0; k < r->n_holds; k++)
		CLAIM(id, is_right(&r->holds[k]), "%s: held frame %" PRIu64 " has changed", r->node,
			r->holds[k].seq);
}

static void drop_hold(unsigned id, struct reader *r)
{
	struct fnx_frame *frame = &r->holds[below(r->n_holds)];

	read_holds(id, r);
	fnx_subscriber_drop(r->sub, frame->seq);
	*frame = r->holds[--r->n_holds];
}

static int open_reader(unsigned id, struct reader *r)
{
	int late = play.now_ns - r->died_ns >= GRACE_NS, unsure, kept, answer;
	uint64_t next;

	/* Whoever is killed while it takes a new place may have one, with nothing read. */
	if (!r->placed || late)
		r->unsure = 1;
	unsure = r->unsure;
	r->n_holds = 0;
	answer = fnx_subscriber_open(&play.bus, &r->config, &r->sub);
	if (answer == -ENOENT)
		return 0;
	CLAIM(id, answer == 0, "%s could not join: %d", r->node, answer);
	kept = r->placed && !unsure && fnx_subscriber_epoch(r->sub) == r->epoch;
	next = fnx_subscriber_next(r->sub);
	CLAIM(id, !kept || fnx_subscriber_resumed(r->sub), "%s lost its place within the grace",
		r->node);
	CLAIM(id, !kept || (next >= r->committed_min && next <= r->committed_max),
		"%s resumed at %" PRIu64 " and not in [%" PRIu64 ", %" PRIu64 "]", r->node, next,
		r->committed_min, r->committed_max);
	play.n_resumed += (uint64_t)fnx_subscriber_resumed(r->sub);
	play.n_evicted += r->placed && late && !fnx_subscriber_resumed(r->sub);
	r->unsure = unsure && fnx_subscriber_resumed(r->sub);
	r->epoch = fnx_subscriber_epoch(r->sub);
	r->placed = r->joined = 1;
	r->next = r->committed_min = r->committed_max = next;
	return 1;
}

static void close_reader(struct reader *r)
{
	r->unsure = 1;
	r->n_holds = 0;
	r->sub = fnx_subscriber_close(r->sub);
	r->placed = 0;
}

static void read_frame(unsigned id, struct reader *r, const struct fnx_frame *frame)
{
	CLAIM(id, r->config.policy == FNX_LATEST ? frame->seq >= r->next : frame->seq == r->next,
		"%s: frame %" PRIu64 " and not %" PRIu64, r->node, frame->seq, r->next);
	r->next = frame->seq;
	CLAIM(id, is_the_known(frame), "%s: frame %" PRIu64 " is another than was read before",
		r->node, frame->seq);
	CLAIM(id, is_right(frame), "%s: frame %" PRIu64 " is torn", r->node, frame->seq);
	if (below(4) == 0 && r->n_holds < FNX_HOLDS_MAX) {
		int answer = fnx_subscriber_hold(r->sub, frame->seq);

		CLAIM(id, answer == 0, "%s: hold: %d", r->node, answer);
		r->holds[r->n_holds++] = *frame;
	}
	if (below(4) == 0)
		CLAIM(id, is_right(frame), "%s: frame %" PRIu64 " was torn later", r->node,
			frame->seq);
	if (!r->config.lazy)
		r->committed_max = r->next + 1;
	fnx_subscriber_release(r->sub);
	r->next++;
	if (!r->config.lazy)
		r->committed_min = r->next;
}

static void commit(struct reader *r)
{
	r->committed_max = r->config.policy == FNX_LATEST ? UINT64_MAX : r->next;
	fnx_subscriber_commit(r->sub);
	r->committed_min = r->committed_max = fnx_subscriber_next(r->sub);
}

static void read_gap(unsigned id, struct reader *r, const struct fnx_gap *gap)
{
	play.n_gaps++;
	CLAIM(id, gap->from == r->next || r->config.policy == FNX_LATEST,
		"%s: a gap from %" PRIu64 " and not %" PRIu64, r->node, gap->from, r->next);
	CLAIM(id, gap->to > gap->from, "%s: a gap of nothing", r->node);
	CLAIM(id, play.full == FNX_FULL_DROP || r->config.policy != FNX_LOSSLESS || r->unsure,
		"%s, lossless, lost %" PRIu64 " to %" PRIu64, r->node, gap->from, gap->to);
	r->next = gap->to;
	if (!r->config.lazy)
		r->committed_min = r->committed_max = r->next;
}

static void sleep_until_rung(unsigned id, struct reader *r)
{
	/* To wait for what one keeps others from making is one's own fault. */
	while (r->n_holds > 0)
		drop_hold(id, r);
	commit(r);
	if (fnx_subscriber_doze(r->sub, INT64_MAX, r->patience))
		return;
	play.n_dozes += r->patience > 0 && fnx_subscriber_lag(r->sub) > 0;
	fiber_sleep();
	fnx_subscriber_unpark(r->sub);
}

static void take_turn(unsigned id, struct reader *r)
{
	uint64_t committed_max = r->committed_max;
	struct fnx_frame frame;
	struct fnx_gap gap;
	int answer;

	/* As if the frames that lie there had come while it was about to sleep. */
	if (r->patience && !play.ending && below(8) == 0) {
		sleep_until_rung(id, r);
		return;
	}
	/* What a gap gives back with it is not known before it is told. */
	if (play.full == FNX_FULL_DROP || r->config.policy != FNX_LOSSLESS || r->unsure)
		r->committed_max = UINT64_MAX;
	answer = fnx_subscriber_peek(r->sub, &frame, &gap);
	r->committed_max = committed_max;
	CLAIM(id, answer == FNX_NOTHING || answer == FNX_FRAME || answer == FNX_GAP,
		"%s: peek answered %d, although it and the topic live", r->node, answer);
	if (answer == FNX_NOTHING) {
		sleep_until_rung(id, r);
		return;
	}
	if (answer == FNX_GAP)
		read_gap(id, r, &gap);
	else
		read_frame(id, r, &frame);
	r->unsure = 0;
}

static void live_as_reader(unsigned id)
{
	struct reader *r = &play.readers[id - 1];

	while (!open_reader(id, r))
		fiber_step();
	for (;;) {
		if (play.ending && fnx_subscriber_lag(r->sub) == 0)
			break;
		take_turn(id, r);
		if (r->n_holds > 0 && below(3) == 0)
			drop_hold(id, r);
		if (r->config.lazy && below(5) == 0)
			commit(r);
		if (!play.ending && below(play.leave_one_in) == 0) {
			close_reader(r);
			while (!open_reader(id, r))
				fiber_step();
		}
	}
	close_reader(r);
	play.done[id] = 1;
}

/* The play --------------------------------------------------------------------------- */

static void be_born(unsigned id)
{
	play.alive[id] = 1;
	if (id != WRITER)
		play.readers[id - 1].joined = 0;
	if (id == WRITER) {
		play.writer_generation++;
		play.resting = 0;
		fiber_start(id, live_as_writer);
	} else {
		fiber_start(id, live_as_reader);
	}
}

static void kill_one(unsigned id)
{
	if (!play.alive[id] || play.done[id])
		return;
	fiber_kill(id);
	play.alive[id] = 0;
	if (id != WRITER && play.readers[id - 1].joined)
		play.readers[id - 1].died_ns = play.now_ns;
	play.n_kills++;
}

static void revive(int all)
{
	for (unsigned id = 0; id <= play.n_readers; id++)
		if (!play.alive[id] && (all || below(id == WRITER ? 300 : 3000) == 0))
			be_born(id);
}

/* Frames that it may leave unread, asleep: none that somebody waits to have room for. */
static uint64_t may_leave(const struct reader *r)
{
	uint64_t most = play.n_slots / 4;

	if (r->config.policy != FNX_LOSSLESS && most < FNX_GIVE_UP_MAX)
		return 0;
	return r->patience < most ? r->patience : most;
}

/* Nobody is ready: who sleeps must have nothing to do. */
static void look_at_the_sleepers(void)
{
	int n_dead = 0;

	fibers_drain();
	for (unsigned id = 0; id <= play.n_readers; id++)
		n_dead += !play.alive[id];
	/* A publisher that died between a frame and its rings leaves them to its successor. */
	for (unsigned i = 0; i < N_READERS && play.alive[WRITER]; i++) {
		const struct reader *r = &play.readers[i];

		if (play.alive[1 + i] && fiber_state(1 + i) == FIBER_ASLEEP &&
			fnx_subscriber_lag(r->sub) > may_leave(r))
			fail_msg("%s sleeps, and has not seen %" PRIu64 " frames", r->node,
				fnx_subscriber_lag(r->sub));
	}
	if (play.alive[WRITER] && fiber_state(WRITER) == FIBER_ASLEEP) {
		if (play.resting) {
			fiber_ring(WRITER);
			return;
		}
		if (n_dead == 0)
			fail_msg("the publisher sleeps, and all its readers too");
		/* It looks again when the grace of a dead reader is over. */
		play.now_ns += 60000000;
		fiber_ring(WRITER);
		if (below(40) == 0)
			revive(1);
		return;
	}
	if (n_dead > 0)
		revive(1);
	else if (play.done[WRITER])
		for (unsigned i = 0; i < N_READERS; i++)
			fiber_ring(1 + i);
}

static void make_readers(void)
{
	static const enum fnx_policy policies[] = {
		FNX_LOSSLESS, FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST};

	for (unsigned i = 0; i < N_READERS; i++) {
		struct reader *r = &play.readers[i];

		snprintf(r->node, sizeof(r->node), "reader-%u", i);
		r->config = subscriber_config(r->node, policies[i]);
		if (i == 1 && below(2))
			r->config.policy = FNX_LOSSY;
		r->config.start = below(2) ? FNX_START_OLDEST : FNX_START_NEXT;
		r->config.lazy = below(4) == 0;
		r->patience = below(2) ? (uint32_t)below(12) : 0;
	}
}

static int all_done(void)
{
	for (unsigned id = 0; id <= play.n_readers; id++)
		if (!play.done[id])
			return 0;
	return 1;
}

static void act(uint64_t steps, unsigned kill_one_in)
{
	uint64_t end = fibers_steps() + steps;

	while (!all_done()) {
		if (play.failure[0])
			fail_msg("%s", play.failure);
		if (fibers_steps() > end && !play.ending) {
			/* All of the living read to the end. */
			play.stop_publishing = 1;
			revive(1);
			play.ending = play.done[WRITER];
			if (play.ending)
				for (unsigned i = 0; i < N_READERS; i++)
					fiber_ring(1 + i);
			else
				fiber_ring(WRITER);
		}
		if (!fibers_turn())
			look_at_the_sleepers();
		if (!play.stop_publishing && kill_one_in && below(kill_one_in) == 0)
			kill_one((unsigned)below(1 + play.n_readers));
		revive(0);
	}
	if (play.failure[0])
		fail_msg("%s", play.failure);
}

/* No slot was lost. */
static void expect_all_slots_free(void)
{
	if (play.full == FNX_FULL_WAIT) {
		assert_int_equal(fnx_publisher_room(play.pub, play.n_slots, play.now_ns), 1);
		return;
	}
	for (unsigned i = 0; i < 2 * play.n_slots; i++)
		assert_int_equal(publish_next(play.pub, play.now_ns), 0);
}

/* An entry that begins to be written anew, while somebody is away who may be reading it. */
static void watch(const volatile void *at, size_t size, uint64_t value)
{
	payers_watch(at, size, value);
	if (size == 8 && (uintptr_t)at % 64 == 0 && (value & 3) == FNX_ENTRY_EMPTY && below(4) == 0)
		fibers_call_back();
}

static unsigned one_of(const unsigned *values, unsigned n)
{
	return values[below(n)];
}

/* Anything may meet anything. */
static void cast_crowd(struct fibers_config *config)
{
	static const unsigned shares[] = {1, 2, 3, 8, 40, 200};

	config->switch_one_in = one_of(shares, 6);
	config->drain_one_in = one_of(shares + 1, 5);
	config->slow = (int)below(2 * N_ACTORS) - N_ACTORS;
	/* What all may pin, and a little: or too few, for a drop publisher that then drops. */
	play.n_slots = 2 + (uint32_t)below(below(2) ? 4 : 41);
	play.n_entries = below(2) ? 1 : 0;
	/* A crowd hides what one would meet who is alone with the publisher. */
	play.n_readers = below(2) ? N_READERS : 1 + (unsigned)below(2);
	play.leave_one_in = 300;
	make_readers();
}

/* What only a few accesses stand between: one reader or two and a pool that is full at once, so that
 * one who is left standing there finds the ledger gone round when it goes on. */
static void cast_few(struct fibers_config *config)
{
	static const unsigned shares[] = {1, 2, 3, 8};

	config->switch_one_in = one_of(shares + 1, 3);
	config->drain_one_in = one_of(shares, 3);
	config->away_one_in = 8 + (unsigned)below(40);
	config->slow = -1;
	/* In a small pool nobody dozes. */
	play.n_slots = below(3) ? 2 + (uint32_t)below(2) : 4 + (uint32_t)below(6);
	play.n_entries = 1;
	play.n_readers = 1 + (unsigned)below(2);
	play.leave_one_in = below(2) ? 300 : 2;
	make_readers();
	for (unsigned i = 0; i < play.n_readers; i++) {
		struct fnx_subscriber_config *reader = &play.readers[i].config;

		reader->policy = play.full == FNX_FULL_WAIT ? FNX_LOSSLESS : FNX_LOSSY;
		reader->start = FNX_START_OLDEST;
		reader->lazy = 0;
		play.readers[i].patience = 1 + (uint32_t)below(2);
	}
}

/* Two who lag about as much, in a pool large enough for a laggard to lose several frames at once. */
static void cast_laggards(struct fibers_config *config)
{
	static const unsigned shares[] = {40, 200, 1000};

	config->switch_one_in = one_of(shares, 3);
	config->drain_one_in = one_of(shares, 2);
	config->slow = -1;
	play.n_slots = 32 + (uint32_t)below(64);
	play.n_readers = 2;
	play.leave_one_in = 300;
	make_readers();
	for (unsigned i = 0; i < play.n_readers; i++)
		play.readers[i].config.policy = FNX_LOSSLESS;
}

static void round_of(struct check_random *random, enum fnx_full_policy full, uint64_t steps)
{
	struct fibers_config config = {.away_one_in = 0};
	int alone;

	memset(&play, 0, sizeof(play));
	play.random = random;
	play.bus = fixture_bus();
	play.full = full;
	play.now_ns = 1;
	alone = below(2) == 0;
	if (!alone)
		cast_crowd(&config);
	else if (full == FNX_FULL_DROP && below(2))
		cast_laggards(&config);
	else
		cast_few(&config);
	payers_begin(&play.bus);
	fibers_watch = watch;
	fibers_reset(random, &config);
	for (unsigned id = 0; id <= play.n_readers; id++)
		be_born(id);
	act(steps, alone || below(4) == 0 ? 0 : 40 + (unsigned)below(1000));
	expect_all_slots_free();
	payers_end();
	fibers_watch = NULL;
	fnx_publisher_close(play.pub);
	assert_int_equal(fnx_bus_remove(&play.bus), 0);
}

struct seen {
	uint64_t kills, frames, gaps, resumed, evicted, adopted, rounds, paid, dozes;
};

/* A play in which nothing happens shows nothing. */
static int is_enough(const struct seen *seen, enum fnx_full_policy full)
{
	return seen->frames && seen->kills && seen->resumed && seen->adopted && seen->dozes &&
		(full == FNX_FULL_WAIT || (seen->gaps && seen->paid));
}

static void play_rounds(enum fnx_full_policy full)
{
	const char *given = getenv("FORNIX_SIM_STEPS");
	uint64_t steps = given ? strtoull(given, NULL, 0) : STEPS_DEFAULT;
	uint64_t begin = fibers_steps(), last = begin + steps * PATIENCE;
	struct check_random random = check_random_seeded();
	int64_t started_ns = fixture_now_ns();
	struct seen seen = {.rounds = 0};

	/* What is played is chosen by chance: on, until all has been. */
	while (fibers_steps() - begin < steps ||
		(!is_enough(&seen, full) && fibers_steps() < last)) {
		round_of(&random, full, 5000 + check_random_below(&random, 60000));
		seen.rounds++;
		seen.kills += play.n_kills;
		seen.frames += play.n_frames;
		seen.gaps += play.n_gaps;
		seen.resumed += play.n_resumed;
		seen.evicted += play.n_evicted;
		seen.adopted += play.n_adopted;
		seen.paid += payers_passes();
		seen.dozes += play.n_dozes;
	}
	steps = fibers_steps() - begin;
	print_message("%" PRIu64 " accesses in %" PRIu64
		      " rounds, %.2f million per second: %" PRIu64 " frames, %" PRIu64
		      " gaps, %" PRIu64 " kills, %" PRIu64 " resumed, %" PRIu64 " evicted, %" PRIu64
		      " topics taken over, %" PRIu64 " passes that cost somebody, %" PRIu64
		      " dozes\n",
		steps, seen.rounds, (double)steps * 1e3 / (double)(fixture_now_ns() - started_ns),
		seen.frames, seen.gaps, seen.kills, seen.resumed, seen.evicted, seen.adopted,
		seen.paid, seen.dozes);
	assert_true(is_enough(&seen, full));
}

TEST(whatever_the_order_of_accesses_and_whoever_is_killed_a_wait_topic_keeps_its_promises)
{
	play_rounds(FNX_FULL_WAIT);
}

TEST(whatever_the_order_of_accesses_and_whoever_is_killed_a_drop_topic_keeps_its_promises)
{
	play_rounds(FNX_FULL_DROP);
}
