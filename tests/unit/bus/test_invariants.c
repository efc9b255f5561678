/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seven statements of what always holds of a topic, each as the test of its name, and each with
 * the lines of the code that it stands on: tests/model/mutate.py takes them out and expects the
 * test to fail (docs/proof.md has the table). Long, since it is one list. What only another order
 * of two processors' stores would show is left to sim/accesses; many times as much of the same is
 * in test_topic_stress.c, test_publisher_recovery.c and fuzz_subs.c.
 */
#include "bus/topic.h"

#include "tests/support/allocations.h"
#include "tests/unit/bus/topic_fixture.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum {
	N_STEPS = 20000, /* of each random walk */
};

/* Readers who account for everything
 * ------------------------------------------------------------------- */

/* Takes whatever comes, and knows at every time what must come next. */
struct account {
	const char *node;
	enum fnx_policy policy;
	struct fnx_subscriber *sub;
	uint64_t next;
	uint64_t n_frames, n_missed;
	unsigned n_held;
	struct fnx_frame held[FNX_HOLDS_MAX];
};

static struct account open_account(
	const struct fnx_bus *bus, const char *node, enum fnx_policy policy)
{
	struct account a = {.node = node, .policy = policy};

	a.sub = open_subscriber(bus, node, policy);
	a.next = fnx_subscriber_next(a.sub);
	return a;
}

/* One peek: 1, and a turn that is open, if it was a frame; 0: nothing; -1: a gap. */
static int take(struct account *a, struct fnx_frame *ret_frame)
{
	struct fnx_gap gap;
	int r = fnx_subscriber_peek(a->sub, ret_frame, &gap);

	if (r == FNX_NOTHING)
		return 0;
	if (r == FNX_GAP) {
		assert_int_equal(gap.from, a->next);
		assert_true(gap.to > gap.from);
		a->n_missed += gap.to - gap.from;
		a->next = gap.to;
		return -1;
	}
	assert_int_equal(r, FNX_FRAME);
	assert_int_equal(ret_frame->seq, a->next);
	assert_true(frame_right(ret_frame, SLOT_SIZE));
	a->next++;
	a->n_frames++;
	return 1;
}

static int take_and_release(struct account *a)
{
	struct fnx_frame frame;
	int r = take(a, &frame);

	if (r > 0)
		fnx_subscriber_release(a->sub);
	return r;
}

/* Lets go of everything, and has read or missed every frame there was. */
static void settle(struct account *a, uint64_t head)
{
	while (a->n_held > 0)
		fnx_subscriber_drop(a->sub, a->held[--a->n_held].seq);
	while (take_and_release(a))
		;
	assert_int_equal(a->next, head);
	fnx_subscriber_close(a->sub);
}

/* 1
 * -------------------------------------------------------------------------------------------------
 */

/* Publishes until each slot was loaned again and each entry turned over. */
static void overwrite_everything(struct fnx_publisher *pub)
{
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(publish_next(pub, 0), 0);
}

TEST(a_frame_that_a_reader_accepts_is_exactly_what_was_published_never_torn_stale_or_another)
{
	static const enum fnx_policy policies[] = {FNX_LOSSLESS, FNX_LOSSY};

	for (unsigned i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 8);
		struct account a = open_account(&bus, "reader", policies[i]);
		struct fnx_frame turn, held;

		publish_n(pub, 2);
		assert_int_equal(take(&a, &held), 1);
		assert_int_equal(fnx_subscriber_hold(a.sub, held.seq), 0);
		fnx_subscriber_release(a.sub);
		assert_int_equal(take(&a, &turn), 1);
		overwrite_everything(pub);
		/* Not torn: neither the one that is being read nor the one that is kept. */
		assert_true(frame_right(&turn, SLOT_SIZE));
		assert_true(frame_right(&held, SLOT_SIZE));
		fnx_subscriber_release(a.sub);
		overwrite_everything(pub);
		assert_true(frame_right(&held, SLOT_SIZE));
		fnx_subscriber_drop(a.sub, held.seq);
		/* Not stale: what lies where the next one was is of another sequence. */
		assert_int_equal(take_and_release(&a), -1);
		assert_true(take_and_release(&a) != 0);
		settle(&a, fnx_publisher_head(pub));
		fnx_publisher_close(pub);
	}
}

/* 2
 * -------------------------------------------------------------------------------------------------
 */

TEST(per_subscription_sequence_numbers_rise_and_each_missing_one_is_in_exactly_one_gap)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	/* Few slots, and readers who keep them: frames are lapped, and dropped at the source. */
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, 5);
	struct account accounts[] = {open_account(&bus, "first", FNX_LOSSLESS),
		open_account(&bus, "second", FNX_LOSSLESS), open_account(&bus, "third", FNX_LOSSY)};
	struct fnx_frame frame;

	for (unsigned i = 0; i < N_STEPS; i++) {
		struct account *a = &accounts[check_random_below(&random, 3)];

		if (check_random_below(&random, 2))
			(void)publish_next(pub, 0);
		if (check_random_below(&random, 3))
			continue;
		if (take(a, &frame) > 0) {
			if (a->n_held < 4) {
				assert_int_equal(fnx_subscriber_hold(a->sub, frame.seq), 0);
				a->held[a->n_held++] = frame;
			}
			fnx_subscriber_release(a->sub);
		}
		if (a->n_held > 0 && check_random_below(&random, 4) == 0)
			fnx_subscriber_drop(a->sub, a->held[--a->n_held].seq);
	}
	assert_true(fnx_publisher_dropped(pub) > 0 && fnx_publisher_lapped(pub) > 0);
	for (unsigned k = 0; k < 3; k++) {
		uint64_t head = fnx_publisher_head(pub);

		settle(&accounts[k], head);
		assert_true(accounts[k].n_missed > 0);
		assert_int_equal(accounts[k].n_frames + accounts[k].n_missed, head);
	}
	fnx_publisher_close(pub);
}

/* 3
 * -------------------------------------------------------------------------------------------------
 */

/* The publisher dies somewhere between a frame and its count, in a pass, or in neither. */
static struct fnx_publisher *crash_publisher(
	const struct fnx_bus *bus, struct fnx_publisher *pub, struct check_random *random)
{
	uint64_t head;

	for (uint64_t n = check_random_below(random, 3); n > 0 && fnx_publisher_room(pub, 1, 0);
		n--)
		stage_next(pub);
	head = fnx_publisher_head(pub);
	die(pub);
	pub = open_publisher(bus, FNX_FULL_WAIT, 8);
	assert_int_equal(fnx_publisher_adopted(pub), 1);
	assert_int_equal(fnx_publisher_head(pub), head);
	return pub;
}

/* The reader dies; its frame was read or was not, and it comes again if it was not given back. */
static void crash_reader(const struct fnx_bus *bus, struct account *a, struct check_random *random)
{
	struct fnx_frame frame;

	if (check_random_below(random, 2) && take(a, &frame) > 0)
		a->next--;
	die(a->sub);
	a->sub = open_subscriber(bus, a->node, a->policy);
	assert_int_equal(fnx_subscriber_resumed(a->sub), 1);
}

TEST(a_lossless_subscriber_of_a_wait_publisher_misses_nothing_through_any_crash_and_restart_of_either)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 8);
	struct account accounts[] = {open_account(&bus, "first", FNX_LOSSLESS),
		open_account(&bus, "second", FNX_LOSSLESS)};
	unsigned n_crashes = 0;

	for (unsigned i = 0; i < N_STEPS; i++) {
		struct account *a = &accounts[check_random_below(&random, 2)];

		if (check_random_below(&random, 2))
			(void)publish_next(pub, 0);
		else
			assert_true(take_and_release(a) >= 0);
		if (check_random_below(&random, 50))
			continue;
		n_crashes++;
		if (check_random_below(&random, 2))
			pub = crash_publisher(&bus, pub, &random);
		else
			crash_reader(&bus, a, &random);
	}
	assert_true(n_crashes > N_STEPS / 100);
	for (unsigned k = 0; k < 2; k++) {
		settle(&accounts[k], fnx_publisher_head(pub));
		assert_int_equal(accounts[k].n_missed, 0);
	}
	expect_all_slots(&bus, pub, 8);
	fnx_publisher_close(pub);
}

/* 4
 * -------------------------------------------------------------------------------------------------
 */

TEST(no_subscriber_alive_stopped_or_dead_makes_a_drop_publisher_wait_or_costs_another_a_frame)
{
	enum {
		N_OTHERS = 4,
		N_SLOTS = N_OTHERS * (1 + FNX_HOLDS_MAX) + 12 + 2,
	};
	static const char *const nodes[N_OTHERS] = {"slow", "stopped", "watching", "dead"};
	static const enum fnx_policy policies[N_OTHERS] = {
		FNX_LOSSLESS, FNX_LOSSLESS, FNX_LOSSY, FNX_LOSSLESS};
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_DROP, N_SLOTS);
	struct account fast = open_account(&bus, "fast", FNX_LOSSLESS), others[N_OTHERS];
	struct fnx_presence presences[1 + N_OTHERS];

	assert_int_equal(fnx_presence_claim(&bus, "fast", &presences[N_OTHERS], NULL), 0);
	for (unsigned k = 0; k < N_OTHERS; k++) {
		assert_int_equal(fnx_presence_claim(&bus, nodes[k], &presences[k], NULL), 0);
		others[k] = open_account(&bus, nodes[k], policies[k]);
	}
	/* Each keeps as much as it can, and a frame that it never comes to an end with. */
	for (uint64_t seq = 0; seq <= FNX_HOLDS_MAX; seq++) {
		publish_n(pub, 1);
		assert_int_equal(take_and_release(&fast), 1);
		for (unsigned k = 0; k < N_OTHERS; k++) {
			struct account *a = &others[k];

			assert_int_equal(take(a, &a->held[seq % FNX_HOLDS_MAX]), 1);
			if (seq == FNX_HOLDS_MAX)
				continue;
			assert_int_equal(fnx_subscriber_hold(a->sub, seq), 0);
			fnx_subscriber_release(a->sub);
		}
	}
	die(others[3].sub);
	fnx_presence_drop(&presences[3]);
	fnx_subscriber_release(others[0].sub);
	for (unsigned i = 0; i < N_STEPS; i++) {
		/* It never waits, for all that time goes on and people die: loan has no -EAGAIN for
		 * it; and since there are slots for all that they may keep, it drops nothing. */
		assert_int_equal(publish_next(pub, (int64_t)i * 1000000), 0);
		if (i % 97 == 0)
			(void)take_and_release(&others[0]);
		if (i % 12 == 11)
			while (take_and_release(&fast))
				;
	}
	assert_int_equal(fnx_publisher_dropped(pub), 0);
	settle(&fast, fnx_publisher_head(pub));
	assert_int_equal(fast.n_missed, 0);
	/* The one who is slow pays for it, and nobody else does. */
	assert_true(others[0].n_missed > 0);
	for (unsigned k = 0; k < 3; k++)
		fnx_subscriber_close(others[k].sub);
	fnx_publisher_close(pub);
	for (unsigned k = 0; k <= N_OTHERS; k++)
		if (k != 3)
			fnx_presence_drop(&presences[k]);
}

/* 5
 * -------------------------------------------------------------------------------------------------
 */

struct meeting {
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	_Alignas(64) _Atomic unsigned begun;
	_Alignas(64) _Atomic unsigned parked;
	int answer;
};

static void meet(_Atomic unsigned *counter, unsigned value)
{
	for (unsigned n = 1; atomic_load_explicit(counter, memory_order_acquire) < value; n++)
		if (n % 1024 == 0)
			sched_yield();
}

enum {
	N_MEETINGS = 20000
};

static void *park_each_time(void *argument)
{
	struct meeting *m = argument;

	for (unsigned i = 1; i <= N_MEETINGS; i++) {
		meet(&m->begun, i);
		for (unsigned n = i * 7919 % 64; n > 0; n--)
			atomic_signal_fence(memory_order_seq_cst);
		m->answer = fnx_subscriber_park(m->sub, INT64_MAX);
		atomic_store_explicit(&m->parked, i, memory_order_release);
	}
	return NULL;
}

static void expect_no_sleep_beside_a_frame(struct fnx_publisher *pub, struct fnx_subscriber *sub,
	struct fnx_bell *bell, unsigned n_before, unsigned n_after)
{
	uint64_t head;

	for (unsigned i = 0; i < n_before; i++)
		stage_next(pub);
	/* What exists is seen, or will be told: a batch is no frame yet to one who sleeps. */
	if (n_before % 2)
		fnx_publisher_flush(pub);
	if (fnx_subscriber_park(sub, INT64_MAX) == 0) {
		assert_true(n_before % 2 == 0);
		publish_n(pub, n_after);
		fnx_publisher_flush(pub);
		assert_int_equal(fnx_bell_drain(bell), n_before + n_after > 0);
	} else {
		assert_true(n_before > 0);
	}
	fnx_subscriber_unpark(sub);
	publish_n(pub, 1);
	head = fnx_publisher_head(pub);
	(void)fnx_bell_drain(bell);
	expect_frames(sub, fnx_subscriber_next(sub), head);
}

/* And the other way round: a publisher that sleeps on a full pool, whose reader took back
 * `writer_wake` and did not live to ring. */
static void expect_writer_rung_by_a_successor(const struct fnx_bus *bus, struct meeting *m)
{
	struct fnx_mapping map = open_mapping(bus);
	struct fnx_bell *bell;

	assert_int_equal(fnx_bell_open(bus, "writer", FNX_BELL_FORM_PIPE, &bell), 0);
	while (fnx_publisher_room(m->pub, 1, 0))
		publish_n(m->pub, 1);
	assert_int_equal(fnx_publisher_park(m->pub, 1, 0), 0);
	while (fnx_subscriber_lag(m->sub) > 4) {
		struct fnx_frame frame;
		struct fnx_gap gap;

		assert_int_equal(fnx_subscriber_peek(m->sub, &frame, &gap), FNX_FRAME);
		fnx_subscriber_release(m->sub);
	}
	assert_int_equal(atomic_load(&map.subs->writer_wake), 0);
	(void)fnx_bell_drain(bell);
	die(m->sub);
	m->sub = open_subscriber(bus, "reader", FNX_LOSSLESS);
	assert_true(fnx_bell_drain(bell) > 0);
	fnx_publisher_unpark(m->pub);
	fnx_mapping_close(&map);
	fnx_bell_close(bell);
}

TEST(no_parked_subscriber_sleeps_while_a_frame_it_has_not_seen_exists_whoever_comes_first)
{
	struct fnx_bus bus = fixture_bus();
	static struct meeting m; /* outlives a failure, as the other thread does */
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct fnx_bell *bell;
	pthread_t thread;

	assert_int_equal(fnx_bell_open(&bus, "reader", FNX_BELL_FORM_PIPE, &bell), 0);
	m.pub = open_publisher(&bus, FNX_FULL_WAIT, 16);
	m.sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	for (unsigned i = 0; i < 25; i++)
		expect_no_sleep_beside_a_frame(m.pub, m.sub, bell, i % 5, i / 5);
	/* And both at once. */
	assert_int_equal(pthread_create(&thread, NULL, park_each_time, &m), 0);
	for (unsigned i = 1; i <= N_MEETINGS; i++) {
		void *payload;

		assert_int_equal(fnx_publisher_loan(m.pub, 0, &payload), 0);
		atomic_store_explicit(&m.begun, i, memory_order_release);
		for (unsigned n = i % 64; n > 0; n--)
			atomic_signal_fence(memory_order_seq_cst);
		fnx_publisher_publish(m.pub, 0, &(struct fnx_stamp){.sample_time = i});
		meet(&m.parked, i);
		assert_true(m.answer == 1 || fnx_bell_drain(bell) > 0);
		fnx_subscriber_unpark(m.sub);
		(void)fnx_bell_drain(bell);
		while (fnx_subscriber_peek(m.sub, &frame, &gap) == FNX_FRAME)
			fnx_subscriber_release(m.sub);
	}
	pthread_join(thread, NULL);
	/* A successor rings whom its predecessor took `parked` from and did not live to ring. */
	assert_int_equal(fnx_subscriber_park(m.sub, INT64_MAX), 0);
	stage_next(m.pub);
	die(m.pub);
	m.pub = open_publisher(&bus, FNX_FULL_WAIT, 16);
	assert_true(fnx_bell_drain(bell) > 0);
	expect_writer_rung_by_a_successor(&bus, &m);
	fnx_subscriber_close(m.sub);
	fnx_publisher_close(m.pub);
	fnx_bell_close(bell);
}

/* 6
 * -------------------------------------------------------------------------------------------------
 */

struct path {
	struct fnx_bus bus;
	struct fnx_publisher *pub;
	struct fnx_subscriber *subs[4];
	enum fnx_full_policy full;
};

static struct path open_path(enum fnx_full_policy full)
{
	struct path p = {.bus = fixture_bus(), .full = full};
	struct fnx_subscriber_config lazy = subscriber_config("lazy", FNX_LOSSLESS);

	p.pub = open_publisher(&p.bus, full, 64);
	p.subs[0] = open_subscriber(&p.bus, "lossless", FNX_LOSSLESS);
	p.subs[1] = open_subscriber(&p.bus, "lossy", FNX_LOSSY);
	p.subs[2] = open_subscriber(&p.bus, "latest", FNX_LATEST);
	lazy.lazy = 1;
	assert_int_equal(fnx_subscriber_open(&p.bus, &lazy, &p.subs[3]), 0);
	return p;
}

static void close_path(struct path *p)
{
	for (unsigned i = 0; i < 4; i++)
		fnx_subscriber_close(p->subs[i]);
	fnx_publisher_close(p->pub);
}

/* Every call of the frame path, `n` times over. Returns the number of answers that were wrong. */
static unsigned walk(struct path *p, unsigned n)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	unsigned n_wrong = 0;
	void *payload;

	for (unsigned i = 0; i < n; i++) {
		n_wrong += fnx_publisher_room(p->pub, 4, 0) != 1;
		if (i % 16 == 0 && !fnx_publisher_loan(p->pub, 0, &payload))
			fnx_publisher_abort(p->pub);
		/* The lossy one stays behind, and is lapped. */
		n_wrong += publish_next(p->pub, 0) != 0;
		fnx_publisher_advance(p->pub, (int64_t)i, 0);
		for (unsigned k = 0; k < 4; k++) {
			struct fnx_subscriber *sub = p->subs[k];
			int r;

			if (k == 1 && i % 100 < 90)
				continue;
			(void)fnx_subscriber_watermark(sub, NULL);
			n_wrong += fnx_subscriber_park(sub, INT64_MAX) != 1;
			r = fnx_subscriber_peek(sub, &frame, &gap);
			if (r == FNX_GAP) {
				n_wrong += k != 1;
				r = fnx_subscriber_peek(sub, &frame, &gap);
			}
			n_wrong += r != FNX_FRAME || !frame_right(&frame, SLOT_SIZE);
			if (i % 7 == 0) {
				n_wrong += fnx_subscriber_hold(sub, frame.seq) != 0;
				fnx_subscriber_release(sub);
				fnx_subscriber_drop(sub, frame.seq);
			} else {
				fnx_subscriber_release(sub);
			}
			if (i % 5 == 0)
				fnx_subscriber_commit(sub);
		}
	}
	return n_wrong;
}

/* Everybody sleeps before each frame. Returns the rings that did not come. */
static unsigned ring(struct path *p, struct fnx_bell *const *bells, unsigned n)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	unsigned n_wrong = 0;

	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < 4; k++)
			n_wrong += fnx_subscriber_park(p->subs[k], INT64_MAX) != 0;
		n_wrong += publish_next(p->pub, 0) != 0;
		for (unsigned k = 0; k < 4; k++) {
			n_wrong += fnx_bell_drain(bells[k]) != 1;
			fnx_subscriber_unpark(p->subs[k]);
			n_wrong += fnx_subscriber_peek(p->subs[k], &frame, &gap) != FNX_FRAME;
			fnx_subscriber_release(p->subs[k]);
			fnx_subscriber_commit(p->subs[k]);
		}
	}
	return n_wrong;
}

/* The kernel itself is the witness: a process in strict seccomp mode that enters it otherwise than
 * to read, write or leave is killed; and of reads and writes it keeps count. */
static void expect_no_system_calls(struct path *p)
{
	unsigned n_wrong;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
#ifndef FNX_SANITIZED
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			_exit(2);
#endif
		n_wrong = walk(p, 100000);
		syscall(SYS_exit, n_wrong ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A ring is one write, and being rung one read or two. */
static void expect_one_system_call_per_ring(struct path *p)
{
	static const char *const nodes[] = {"lossless", "lossy", "latest", "lazy"};
	struct fnx_bell *bells[4];
	unsigned n_wrong;
	int status;
	pid_t pid;

	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(
			fnx_bell_open(&p->bus, nodes[k], FNX_BELL_FORM_PIPE, &bells[k]), 0);
	/* To take note of newcomers and to find their bells belongs to start-up. */
	assert_int_equal(fnx_publisher_readers(p->pub), 2);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
#ifndef FNX_SANITIZED
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			_exit(2);
#endif
		n_wrong = ring(p, bells, 1000);
		syscall(SYS_exit, n_wrong ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (unsigned k = 0; k < 4; k++)
		fnx_bell_close(bells[k]);
}

static void expect_no_allocation_and_no_fault(struct path *p)
{
	uint64_t allocations = n_allocations;
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	assert_int_equal(walk(p, 100000), 0);
	getrusage(RUSAGE_THREAD, &after);
	assert_int_equal(n_allocations - allocations, 0);
#ifndef FNX_SANITIZED
	assert_int_equal(after.ru_minflt - before.ru_minflt, 0);
	assert_int_equal(after.ru_majflt - before.ru_majflt, 0);
#endif
}

TEST(after_start_up_there_is_no_allocation_no_page_fault_and_no_system_call_on_the_frame_path_but_for_the_bell)
{
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};
	struct path warm = open_path(FNX_FULL_DROP);

	/* The code itself has to be there; but each topic's very first frame counts. */
	assert_int_equal(walk(&warm, 1000), 0);
	close_path(&warm);
	for (unsigned i = 0; i < 2; i++) {
		struct path p = open_path(fulls[i]);

		/* As below. */
		assert_int_equal(fnx_publisher_readers(p.pub), 2);
		expect_no_allocation_and_no_fault(&p);
		expect_no_system_calls(&p);
		close_path(&p);
		p = open_path(fulls[i]);
		expect_one_system_call_per_ring(&p);
		close_path(&p);
	}
}

/* 7
 * -------------------------------------------------------------------------------------------------
 */

/* A number that does harm: close to what is true, or far from it. */
static uint64_t nasty(struct check_random *random, uint64_t head)
{
	switch (check_random_below(random, 6)) {
	case 0:
		return check_random_below(random, 4);
	case 1:
		return UINT64_MAX - check_random_below(random, 3);
	case 2:
		return check_random_u64(random);
	case 3:
		return FNX_RECORD_ACTIVE | check_random_u64(random) << 8;
	default:
		return head - 40 + check_random_below(random, 60);
	}
}

/* Any words of .subs, as another process would: without asking. */
static void scribble(struct fnx_subs *subs, struct check_random *random, uint64_t head)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)(void *)subs;
	size_t control = offsetof(struct fnx_subs, joins) / 8;
	size_t records = offsetof(struct fnx_subs, records) / 8;

	for (uint64_t n = check_random_below(random, 24); n > 0; n--)
		words[records + check_random_below(random, sizeof(subs->records) / 8)] =
			nasty(random, head);
	/* A few records again and again, so that their words come to bear upon each other. */
	for (uint64_t n = check_random_below(random, 8); n > 0; n--)
		words[records + check_random_below(random, 4) * sizeof(subs->records[0]) / 8 +
			check_random_below(random, 32)] = nasty(random, head);
	for (uint64_t n = check_random_below(random, 3); n > 0; n--)
		words[control + check_random_below(random, 9)] = nasty(random, head);
	atomic_fetch_add(&subs->joins, 1);
}

static void call_publisher(struct fnx_publisher *pub, enum fnx_full_policy full,
	struct check_random *random, int64_t now_ns)
{
	uint32_t n = (uint32_t)check_random_below(random, 20);
	int r;

	switch (check_random_below(random, 6)) {
	case 0:
		(void)fnx_publisher_room(pub, n, now_ns);
		break;
	case 1:
		if (!fnx_publisher_park(pub, n, now_ns))
			fnx_publisher_unpark(pub);
		break;
	case 2:
		fnx_publisher_advance(pub, now_ns, 0);
		assert_true(fnx_publisher_readers(pub) <= FNX_SUBSCRIBERS_MAX);
		break;
	default:
		r = publish_next(pub, now_ns);
		assert_true(r == 0 || r == (full == FNX_FULL_WAIT ? -EAGAIN : -ENOBUFS));
	}
}

TEST(nothing_that_a_subscriber_can_write_makes_the_publisher_crash_loop_or_read_out_of_bounds)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 4; i++) {
		enum fnx_full_policy full = i & 1 ? FNX_FULL_DROP : FNX_FULL_WAIT;
		uint32_t n_slots = i & 2 ? 700 : 12;
		struct fnx_bus bus = fixture_bus();
		struct fnx_publisher *pub = open_publisher(&bus, full, n_slots);
		struct fnx_mapping map = open_mapping(&bus);
		int64_t now_ns = 0;

		for (unsigned n = 0; n < N_STEPS / 4; n++) {
			uint64_t released = atomic_load(&map.segment->released);

			scribble(map.subs, &random, fnx_publisher_head(pub));
			now_ns += (int64_t)check_random_below(&random, 100000000);
			call_publisher(pub, full, &random, now_ns);
			/* What it made of these numbers is true. */
			assert_true(atomic_load(&map.segment->released) >= released);
			assert_true(atomic_load(&map.segment->released) <= fnx_publisher_head(pub));
			/* A successor meets the same. */
			if (check_random_below(&random, 500) == 0) {
				die(pub);
				pub = open_publisher(&bus, full, n_slots);
				assert_int_equal(fnx_publisher_adopted(pub), 1);
			}
		}
		forgive(map.subs);
		fnx_mapping_close(&map);
		if (full == FNX_FULL_WAIT)
			expect_all_slots(&bus, pub, n_slots);
		for (unsigned n = 0; full == FNX_FULL_DROP && n < 2 * n_slots; n++)
			assert_int_equal(publish_next(pub, now_ns), 0);
		fnx_publisher_close(pub);
	}
}
