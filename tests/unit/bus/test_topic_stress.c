/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One publisher and several readers at once, as threads and as processes. Each reader checks every
 * byte of every frame, stalls at random without sleeping, checks again before it gives the frame
 * back, and accounts for every sequence number. FORNIX_TEST_ROUNDS repeats each test so often.
 * Long, since all runs are variations of one.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum {
	MAX_READERS = 6,
	DOZERS_SLOTS = 4, /* the smallest pool in which somebody dozes */
	ENOUGH_MS = 3000,
};

static unsigned n_rounds(void)
{
	const char *given = getenv("FORNIX_TEST_ROUNDS");

	return given ? (unsigned)strtoul(given, NULL, 0) : 3;
}

/* Where others use the processors, who yields or waits for another does so for a time slice of
 * theirs, some milliseconds: then a tenth of what was planned may do. */
static bool is_enough(uint64_t n_done, uint64_t n_planned, int64_t begun_ns)
{
	return n_done >= n_planned ||
		(n_done >= n_planned / 10 &&
			fixture_now_ns() - begun_ns >= ENOUGH_MS * INT64_C(1000000));
}

struct plan {
	enum fnx_full_policy full;
	uint32_t n_slots;
	unsigned n_readers;
	enum fnx_policy policies[MAX_READERS];
	uint64_t n_frames;
	int sleeps; /* readers and publisher park and sleep in poll; else they yield */
	int come_and_go; /* readers leave and join again */
};

struct run {
	struct fnx_bus bus;
	const struct plan *plan;
	uint64_t seed;
	_Atomic unsigned n_joined;
	_Atomic unsigned failed; /* line of the first failure */
	_Atomic uint64_t n_published; /* before the end is told */
	_Atomic uint64_t n_wakes, n_taken, n_gaps, n_missed;
	_Atomic uint64_t n_dropped, n_lapped;
};

struct party {
	struct run *run;
	unsigned index;
	struct check_random random;
	struct fnx_bell *bell;
};

static int note_failure(struct run *run, unsigned line)
{
	unsigned none = 0;

	atomic_compare_exchange_strong(&run->failed, &none, line);
	return -1;
}

#define FAIL(run) note_failure(run, __LINE__)

/* Readers
 * ------------------------------------------------------------------------------------------- */

static void stall(struct check_random *random)
{
	static _Atomic unsigned nothing;
	uint64_t kind = check_random_below(random, 64);

	if (kind == 0)
		for (uint64_t n = check_random_below(random, 20000); n > 0; n--)
			atomic_fetch_add_explicit(&nothing, 1, memory_order_relaxed);
	else if (kind == 1)
		for (uint64_t n = check_random_below(random, 20); n > 0; n--)
			sched_yield();
}

struct reading {
	struct fnx_subscriber *sub;
	enum fnx_policy policy;
	uint64_t next;
	unsigned n_held;
	struct fnx_frame held[FNX_HOLDS_MAX];
};

static int take_frame(struct party *p, struct reading *r, const struct fnx_frame *frame)
{
	if (r->policy == FNX_LATEST ? frame->seq < r->next : frame->seq != r->next)
		return FAIL(p->run);
	if (!frame_right(frame, SLOT_SIZE))
		return FAIL(p->run);
	if (check_random_below(&p->random, 100) == 0 && r->n_held < FNX_HOLDS_MAX) {
		if (fnx_subscriber_hold(r->sub, frame->seq))
			return FAIL(p->run);
		r->held[r->n_held++] = *frame;
	}
	if (check_random_below(&p->random, 80) == 0 && r->n_held) {
		if (!frame_right(&r->held[--r->n_held], SLOT_SIZE))
			return FAIL(p->run);
		fnx_subscriber_drop(r->sub, r->held[r->n_held].seq);
	}
	stall(&p->random);
	if (!frame_right(frame, SLOT_SIZE))
		return FAIL(p->run);
	r->next = frame->seq + 1;
	fnx_subscriber_release(r->sub);
	atomic_fetch_add(&p->run->n_taken, 1);
	return 0;
}

static int take_gap(struct party *p, struct reading *r, const struct fnx_gap *gap)
{
	const struct plan *plan = p->run->plan;

	if (gap->to <= gap->from ||
		(r->policy == FNX_LATEST ? gap->from < r->next : gap->from != r->next))
		return FAIL(p->run);
	if (plan->full == FNX_FULL_WAIT && r->policy == FNX_LOSSLESS)
		return FAIL(p->run);
	r->next = gap->to;
	atomic_fetch_add(&p->run->n_gaps, 1);
	atomic_fetch_add(&p->run->n_missed, gap->to - gap->from);
	return 0;
}

/* Sleeps until the bell rings. No ring within the deadline is one that was lost. */
static int nap(struct party *p)
{
	if (!wait_readable(fnx_bell_fd(p->bell), CHECK_PATIENCE_MS))
		return FAIL(p->run);
	fnx_bell_drain(p->bell);
	atomic_fetch_add(&p->run->n_wakes, 1);
	return 0;
}

static int wait_for_more(struct party *p, struct reading *r)
{
	if (!p->run->plan->sleeps) {
		sched_yield();
		return 0;
	}
	if (fnx_subscriber_park(r->sub, INT64_MAX))
		return 0;
	if (nap(p))
		return -1;
	fnx_subscriber_unpark(r->sub);
	return 0;
}

static int reading_open(struct party *p, struct reading *r)
{
	struct fnx_subscriber_config config;
	char node[16];

	snprintf(node, sizeof(node), "reader-%u", p->index);
	r->policy = p->run->plan->policies[p->index];
	r->n_held = 0;
	config = subscriber_config(node, r->policy);
	config.start = FNX_START_OLDEST;
	if (fnx_subscriber_open(&p->run->bus, &config, &r->sub))
		return FAIL(p->run);
	r->next = fnx_subscriber_next(r->sub);
	return 0;
}

static int reading_close(struct party *p, struct reading *r)
{
	while (r->n_held)
		if (!frame_right(&r->held[--r->n_held], SLOT_SIZE))
			return FAIL(p->run);
	r->sub = fnx_subscriber_close(r->sub);
	return 0;
}

/* 1: the topic has ended; negative: failed. */
static int read_once(struct party *p, struct reading *r)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	int64_t watermark = fnx_subscriber_watermark(r->sub, NULL);

	switch (fnx_subscriber_peek(r->sub, &frame, &gap)) {
	case FNX_FRAME:
		return take_frame(p, r, &frame);
	case FNX_GAP:
		return take_gap(p, r, &gap);
	case FNX_NOTHING:
		if (watermark == FNX_END)
			return 1;
		return wait_for_more(p, r);
	default:
		return FAIL(p->run);
	}
}

static void *be_reader(void *argument)
{
	struct party *p = argument;
	struct run *run = p->run;
	struct reading r;
	char node[16];
	int done;

	p->random.state = run->seed + p->index;
	snprintf(node, sizeof(node), "reader-%u", p->index);
	if (fnx_bell_open(&run->bus, node, FNX_BELL_FORM_PIPE, &p->bell) < 0) {
		FAIL(run);
		return NULL;
	}
	done = reading_open(p, &r);
	atomic_fetch_add(&run->n_joined, 1);
	while (!done && !atomic_load(&run->failed)) {
		done = read_once(p, &r);
		if (!done && run->plan->come_and_go && check_random_below(&p->random, 30) == 0) {
			done = reading_close(p, &r);
			if (!done)
				done = reading_open(p, &r);
		}
	}
	/* By the end every frame was taken or was told missing. */
	if (done == 1 && r.next != atomic_load(&run->n_published))
		FAIL(run);
	if (r.sub)
		reading_close(p, &r);
	fnx_bell_close(p->bell);
	return NULL;
}

/* Publisher
 * ----------------------------------------------------------------------------------------- */

static int publish_all(struct party *p, struct fnx_publisher *pub)
{
	const struct plan *plan = p->run->plan;
	const int64_t begun_ns = fixture_now_ns();

	while (!is_enough(fnx_publisher_head(pub), plan->n_frames, begun_ns)) {
		int r = publish_next(pub, 0);

		if (atomic_load(&p->run->failed))
			return -1;
		if (r == -EAGAIN) {
			if (plan->full == FNX_FULL_DROP)
				return FAIL(p->run);
			if (!plan->sleeps) {
				sched_yield();
				continue;
			}
			if (fnx_publisher_park(pub, 1, 0))
				continue;
			if (nap(p))
				return -1;
			fnx_publisher_unpark(pub);
		} else if (r && r != -ENOBUFS) {
			return FAIL(p->run);
		}
		if (check_random_below(&p->random, 40) == 0)
			for (uint64_t n = check_random_below(&p->random, 8); n > 0; n--)
				sched_yield();
	}
	return 0;
}

static void be_publisher(struct run *run, struct fnx_publisher *pub)
{
	struct party p = {.run = run, .random = {.state = run->seed + 1000}};

	assert_int_equal(fnx_bell_open(&run->bus, "writer", FNX_BELL_FORM_PIPE, &p.bell), 0);
	while (atomic_load(&run->n_joined) < run->plan->n_readers)
		sched_yield();
	(void)publish_all(&p, pub);
	atomic_store(&run->n_published, fnx_publisher_head(pub));
	fnx_publisher_advance(pub, FNX_END, 0);
	run->n_dropped = fnx_publisher_dropped(pub);
	run->n_lapped = fnx_publisher_lapped(pub);
	fnx_bell_close(p.bell);
}

/* Runs
 * ---------------------------------------------------------------------------------------------- */

static struct run *start_run(const struct plan *plan, uint64_t seed)
{
	struct run *run =
		mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(run != MAP_FAILED);
	run->bus = fixture_bus();
	run->plan = plan;
	run->seed = seed;
	return run;
}

static void end_run(struct run *run, struct fnx_publisher *pub)
{
	const struct plan *plan = run->plan;
	unsigned failed = atomic_load(&run->failed);

	if (failed)
		fail_msg("line %u", failed);
	if (plan->full == FNX_FULL_WAIT) {
		assert_int_equal(run->n_dropped, 0);
		assert_int_equal(run->n_lapped, 0);
		expect_all_slots(&run->bus, pub, plan->n_slots);
	}
	fnx_publisher_close(pub);
	assert_true(fnx_bus_remove(&run->bus) >= 0);
	munmap(run, sizeof(*run));
}

static void tell(const struct run *run)
{
	print_message("taken %llu, gaps %llu, missed %llu, wakes %llu, dropped %llu, lapped %llu\n",
		(unsigned long long)run->n_taken, (unsigned long long)run->n_gaps,
		(unsigned long long)run->n_missed, (unsigned long long)run->n_wakes,
		(unsigned long long)run->n_dropped, (unsigned long long)run->n_lapped);
}

static void run_threads(const struct plan *plan, uint64_t seed)
{
	struct run *run = start_run(plan, seed);
	struct fnx_publisher *pub = open_publisher(&run->bus, plan->full, plan->n_slots);
	struct party parties[MAX_READERS];
	pthread_t threads[MAX_READERS];

	for (unsigned i = 0; i < plan->n_readers; i++) {
		parties[i] = (struct party){.run = run, .index = i};
		assert_int_equal(pthread_create(&threads[i], NULL, be_reader, &parties[i]), 0);
	}
	be_publisher(run, pub);
	for (unsigned i = 0; i < plan->n_readers; i++)
		pthread_join(threads[i], NULL);
	tell(run);
	end_run(run, pub);
}

static void run_processes(const struct plan *plan, uint64_t seed)
{
	struct run *run = start_run(plan, seed);
	struct fnx_publisher *pub = open_publisher(&run->bus, plan->full, plan->n_slots);
	pid_t pids[MAX_READERS];
	int status;

	for (unsigned i = 0; i < plan->n_readers; i++) {
		fflush(NULL);
		pids[i] = fork();
		if (!pids[i]) {
			struct party p = {.run = run, .index = i};

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			be_reader(&p);
			_exit(0);
		}
	}
	be_publisher(run, pub);
	for (unsigned i = 0; i < plan->n_readers; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	tell(run);
	end_run(run, pub);
}

static void run_both(const struct plan *plan)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < n_rounds(); i++) {
		run_threads(plan, check_random_u64(&random));
		run_processes(plan, check_random_u64(&random));
	}
}

#if defined(__SANITIZE_THREAD__)
enum {
	FRAMES = 2500,
	N_DUELS = 8000
};
#elif defined(FNX_SANITIZED)
enum {
	FRAMES = 4000,
	N_DUELS = 10000
};
#else
enum {
	FRAMES = 20000,
	N_DUELS = 50000
};
#endif

TEST(a_frame_that_a_reader_accepts_is_exactly_what_was_published)
{
	/* A pool that is always short: readers are lapped in the middle of reading. */
	static const struct plan plan = {.full = FNX_FULL_DROP,
		.n_slots = 20,
		.n_readers = 3,
		.policies = {FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST},
		.n_frames = 5 * FRAMES};

	run_both(&plan);
}

TEST(sequence_numbers_rise_and_each_missing_one_is_in_exactly_one_gap)
{
	/* So few slots that frames are dropped at the source, too. */
	static const struct plan plan = {.full = FNX_FULL_DROP,
		.n_slots = 3,
		.n_readers = 4,
		.policies = {FNX_LOSSLESS, FNX_LOSSLESS, FNX_LOSSY, FNX_LOSSY},
		.n_frames = 5 * FRAMES};

	run_both(&plan);
}

TEST(lossless_readers_of_a_wait_publisher_take_every_frame_beside_lossy_ones)
{
	static const struct plan plan = {.full = FNX_FULL_WAIT,
		.n_slots = 40,
		.n_readers = 4,
		.policies = {FNX_LOSSLESS, FNX_LOSSY, FNX_LOSSLESS, FNX_LATEST},
		.n_frames = FRAMES};

	run_both(&plan);
}

/* Both at once
 * ------------------------------------------------------------------------------------- */

/* Two threads that do one thing each at the same moment, over and over; and then it is seen what
 * came of it. */
struct duel {
	void (*left)(struct duel *duel, unsigned i);
	void (*right)(struct duel *duel, unsigned i);
	struct check_random random[2];
	_Alignas(64) _Atomic unsigned started; /* UINT_MAX: it is over */
	_Alignas(64) _Atomic unsigned done;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	int answer;
};

/* Until it is `value` or more: how much. */
static unsigned await(_Atomic unsigned *counter, unsigned value)
{
	unsigned found;

	/* Where the other shares our core it must be let on. */
	for (unsigned n = 1; (found = atomic_load_explicit(counter, memory_order_acquire)) < value;
		n++)
		if (n % 1024 == 0)
			sched_yield();
	return found;
}

/* So that each is sometimes the first. */
static void tarry(struct check_random *random)
{
	for (uint64_t n = check_random_below(random, 1u << check_random_below(random, 11)); n > 0;
		n--)
		atomic_signal_fence(memory_order_seq_cst);
}

static void *be_right(void *argument)
{
	struct duel *duel = argument;

	for (unsigned i = 1; await(&duel->started, i) != UINT_MAX; i++) {
		tarry(&duel->random[1]);
		duel->right(duel, i);
		atomic_store_explicit(&duel->done, i, memory_order_release);
	}
	return NULL;
}

static void fight(struct duel *duel, void (*after)(struct duel *duel, struct fnx_bell *bell),
	struct fnx_bell *bell)
{
	struct check_random random = check_random_seeded();
	const int64_t begun_ns = fixture_now_ns();
	pthread_t thread;

	duel->random[0].state = check_random_u64(&random);
	duel->random[1].state = check_random_u64(&random);
	assert_int_equal(pthread_create(&thread, NULL, be_right, duel), 0);
	for (unsigned i = 1; !is_enough(i - 1, N_DUELS, begun_ns); i++) {
		atomic_store_explicit(&duel->started, i, memory_order_release);
		tarry(&duel->random[0]);
		duel->left(duel, i);
		await(&duel->done, i);
		after(duel, bell);
	}
	atomic_store_explicit(&duel->started, UINT_MAX, memory_order_release);
	pthread_join(thread, NULL);
}

/* The slot was loaned before: what counts is how close the frame's birth comes to the other's look.
 */
static void duel_publish(struct duel *duel, unsigned i)
{
	struct fnx_stamp stamp = {.sample_time = i};

	fnx_publisher_publish(duel->pub, 0, &stamp);
}

static void duel_advance(struct duel *duel, unsigned i)
{
	fnx_publisher_advance(duel->pub, i, 0);
}

static void duel_park(struct duel *duel, unsigned i)
{
	duel->answer = fnx_subscriber_park(duel->sub, i);
}

static void after_park(struct duel *duel, struct fnx_bell *bell)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	void *payload;

	/* Either it saw, or it was rung; or both. */
	assert_true(fnx_bell_drain(bell) > 0 || duel->answer == 1);
	fnx_subscriber_unpark(duel->sub);
	while (fnx_subscriber_peek(duel->sub, &frame, &gap) == FNX_FRAME)
		fnx_subscriber_release(duel->sub);
	if (duel->left == duel_publish && fnx_publisher_loan(duel->pub, 0, &payload))
		abort();
}

static void duel_park_writer(struct duel *duel, unsigned i)
{
	(void)i;
	duel->answer = fnx_publisher_park(duel->pub, 1, 0);
}

static void duel_release(struct duel *duel, unsigned i)
{
	(void)i;
	fnx_subscriber_release(duel->sub);
}

static void after_park_writer(struct duel *duel, struct fnx_bell *bell)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_true(fnx_bell_drain(bell) > 0 || duel->answer == 1);
	fnx_publisher_unpark(duel->pub);
	while (fnx_subscriber_peek(duel->sub, &frame, &gap) == FNX_FRAME)
		fnx_subscriber_release(duel->sub);
	publish_n(duel->pub, 2);
	if (fnx_subscriber_peek(duel->sub, &frame, &gap) != FNX_FRAME)
		abort();
	fnx_subscriber_release(duel->sub);
	publish_n(duel->pub, 1);
	/* Full, but for what the next release gives. */
	if (fnx_subscriber_peek(duel->sub, &frame, &gap) != FNX_FRAME)
		abort();
}

static void meet_all_ways(void)
{
	struct fnx_bus bus = fixture_bus();
	static struct duel duel; /* outlives a failure, as the other thread does */
	struct fnx_bell *readers_bell, *writers_bell;
	void *payload;

	assert_int_equal(fnx_bell_open(&bus, "reader", FNX_BELL_FORM_PIPE, &readers_bell), 0);
	assert_int_equal(fnx_bell_open(&bus, "writer", FNX_BELL_FORM_PIPE, &writers_bell), 0);
	duel.pub = open_publisher(&bus, FNX_FULL_WAIT, 2);
	duel.sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	duel.started = duel.done = 0;
	duel.left = duel_publish;
	duel.right = duel_park;
	if (fnx_publisher_loan(duel.pub, 0, &payload))
		abort();
	fight(&duel, after_park, readers_bell);
	fnx_publisher_abort(duel.pub);

	duel.started = duel.done = 0;
	duel.left = duel_advance;
	fight(&duel, after_park, readers_bell);

	duel.started = duel.done = 0;
	duel.left = duel_park_writer;
	duel.right = duel_release;
	duel.answer = 1;
	after_park_writer(&duel, writers_bell);
	/* What came before. */
	fnx_bell_drain(writers_bell);
	fight(&duel, after_park_writer, writers_bell);

	fnx_subscriber_close(duel.sub);
	fnx_publisher_close(duel.pub);
	fnx_bell_close(readers_bell);
	fnx_bell_close(writers_bell);
}

TEST(no_parked_subscriber_sleeps_while_a_frame_it_has_not_seen_exists)
{
	/* Readers sleep for want of frames, and the publisher for want of slots. */
	static const struct plan wait = {.full = FNX_FULL_WAIT,
		.n_slots = 26,
		.n_readers = 3,
		.policies = {FNX_LOSSLESS, FNX_LOSSLESS, FNX_LOSSY},
		.n_frames = FRAMES / 2,
		.sleeps = 1};
	static const struct plan drop = {.full = FNX_FULL_DROP,
		.n_slots = 8,
		.n_readers = 3,
		.policies = {FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST},
		.n_frames = FRAMES,
		.sleeps = 1};

	meet_all_ways();
	run_both(&wait);
	run_both(&drop);
}

/* For the whole pool, of which the other leaves one frame unread. */
static void duel_park_writer_for_all(struct duel *duel, unsigned i)
{
	(void)i;
	if (fnx_publisher_park(duel->pub, DOZERS_SLOTS, 0))
		abort();
}

static void duel_doze(struct duel *duel, unsigned i)
{
	(void)i;
	duel->answer = fnx_subscriber_doze(duel->sub, INT64_MAX, 1);
}

static void after_doze(struct duel *duel, struct fnx_bell *bell)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	assert_true(fnx_bell_drain(bell) > 0 || duel->answer == 1);
	fnx_subscriber_unpark(duel->sub);
	fnx_publisher_unpark(duel->pub);
	if (fnx_subscriber_peek(duel->sub, &frame, &gap) != FNX_FRAME)
		abort();
	fnx_subscriber_release(duel->sub);
	publish_n(duel->pub, 1);
}

TEST(a_publisher_that_wants_room_and_a_reader_that_dozes_over_a_frame_never_sleep_both)
{
	struct fnx_bus bus = fixture_bus();
	static struct duel duel = {.left = duel_park_writer_for_all, .right = duel_doze};
	struct fnx_bell *bell;

	assert_int_equal(fnx_bell_open(&bus, "reader", FNX_BELL_FORM_PIPE, &bell), 0);
	duel.pub = open_publisher(&bus, FNX_FULL_WAIT, DOZERS_SLOTS);
	duel.sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
	publish_n(duel.pub, 1);
	fight(&duel, after_doze, bell);
	fnx_subscriber_close(duel.sub);
	fnx_publisher_close(duel.pub);
	fnx_bell_close(bell);
}

struct leaving {
	struct fnx_publisher *pub;
	_Atomic int go;
};

static void *publish_and_leave(void *argument)
{
	struct leaving *leaving = argument;

	while (!atomic_load(&leaving->go))
		;
	if (publish_next(leaving->pub, 0))
		abort();
	fnx_publisher_close(leaving->pub);
	return NULL;
}

TEST(the_last_frame_is_read_before_it_is_told_that_the_publisher_left)
{
	for (unsigned i = 0; i < 300; i++) {
		struct fnx_bus bus = fixture_bus();
		struct leaving leaving = {.pub = open_publisher(&bus, FNX_FULL_WAIT, 2)};
		struct fnx_subscriber *sub = open_subscriber(&bus, "reader", FNX_LOSSLESS);
		struct fnx_frame frame;
		struct fnx_gap gap;
		pthread_t thread;
		int r = FNX_NOTHING;

		assert_int_equal(pthread_create(&thread, NULL, publish_and_leave, &leaving), 0);
		atomic_store(&leaving.go, 1);
		while (r == FNX_NOTHING)
			r = fnx_subscriber_peek(sub, &frame, &gap);
		assert_int_equal(r, FNX_FRAME);
		fnx_subscriber_release(sub);
		while ((r = fnx_subscriber_peek(sub, &frame, &gap)) == FNX_NOTHING)
			;
		assert_int_equal(r, FNX_MOVED);
		pthread_join(thread, NULL);
		fnx_subscriber_close(sub);
		assert_true(fnx_bus_remove(&bus) >= 0);
	}
}

TEST(readers_that_come_and_go_read_what_was_published)
{
	static const struct plan wait = {.full = FNX_FULL_WAIT,
		.n_slots = 64,
		.n_readers = 4,
		.policies = {FNX_LOSSLESS, FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST},
		.n_frames = FRAMES,
		.sleeps = 1,
		.come_and_go = 1};
	static const struct plan drop = {.full = FNX_FULL_DROP,
		.n_slots = 40,
		.n_readers = 3,
		.policies = {FNX_LOSSLESS, FNX_LOSSLESS, FNX_LOSSY},
		.n_frames = 3 * FRAMES,
		.come_and_go = 1};

	run_both(&wait);
	run_both(&drop);
}

/* Two that wait for each other
 * ----------------------------------------------------------------------- */

enum {
	N_VOLLEYS = 4000
};

struct player {
	struct run *run;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_bell *bell;
	int serves;
};

/* Sleeps for each frame, answers it with one of its own. A single lost ring ends the game. */
static void *play(void *argument)
{
	struct player *player = argument;
	struct party p = {.run = player->run, .bell = player->bell};
	struct fnx_frame frame;
	struct fnx_gap gap;

	if (player->serves && publish_next(player->pub, 0))
		FAIL(p.run);
	for (unsigned n = 0; n < N_VOLLEYS && !atomic_load(&p.run->failed);) {
		int r = fnx_subscriber_peek(player->sub, &frame, &gap);

		if (r == FNX_FRAME) {
			fnx_subscriber_release(player->sub);
			if (publish_next(player->pub, 0))
				FAIL(p.run);
			n++;
		} else if (r) {
			FAIL(p.run);
		} else if (!fnx_subscriber_park(player->sub, INT64_MAX)) {
			if (nap(&p))
				break;
			fnx_subscriber_unpark(player->sub);
		}
	}
	return NULL;
}

static void open_player(struct player *player, struct run *run, int serves)
{
	static const char *const nodes[] = {"left", "right"};
	struct fnx_topic_config config = topic_config(FNX_FULL_WAIT, 4);

	*player = (struct player){.run = run, .serves = serves};
	config.name = config.node = nodes[serves];
	assert_int_equal(
		fnx_bell_open(&run->bus, nodes[serves], FNX_BELL_FORM_PIPE, &player->bell), 0);
	assert_int_equal(fnx_publisher_open(&run->bus, &config, &player->pub), 0);
}

static void subscribe_player(struct player *player)
{
	struct fnx_subscriber_config config =
		subscriber_config(player->serves ? "right" : "left", FNX_LOSSLESS);

	config.topic = player->serves ? "left" : "right";
	assert_int_equal(fnx_subscriber_open(&player->run->bus, &config, &player->sub), 0);
}

TEST(two_nodes_that_sleep_for_each_others_frames_never_sleep_both)
{
	static const struct plan plan = {.sleeps = 1};

	for (unsigned i = 0; i < n_rounds(); i++) {
		struct run *run = start_run(&plan, 0);
		struct player left, right;
		pthread_t thread;

		open_player(&left, run, 0);
		open_player(&right, run, 1);
		subscribe_player(&left);
		subscribe_player(&right);
		assert_int_equal(pthread_create(&thread, NULL, play, &left), 0);
		play(&right);
		pthread_join(thread, NULL);
		print_message(
			"%u volleys, %llu sleeps\n", N_VOLLEYS, (unsigned long long)run->n_wakes);
		assert_int_equal(run->failed, 0);
		fnx_subscriber_close(left.sub);
		fnx_subscriber_close(right.sub);
		fnx_publisher_close(left.pub);
		fnx_publisher_close(right.pub);
		fnx_bell_close(left.bell);
		fnx_bell_close(right.bell);
		munmap(run, sizeof(*run));
	}
}
