/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a frame costs: no allocation, no page fault, no system call; and, printed, how many
 * nanoseconds. The kernel itself is the witness: a process in strict seccomp mode that enters it
 * otherwise than to leave is killed.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* Counting allocations
 * ------------------------------------------------------------------------------- */

static _Atomic uint64_t n_allocations;

#ifndef FNX_SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
	n_allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	n_allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size)
{
	n_allocations++;
	return __libc_realloc(memory, size);
}
#endif

/* The frame path
 * ------------------------------------------------------------------------------------- */

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

TEST(after_start_up_the_frame_path_neither_allocates_nor_faults)
{
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 2; i++) {
		struct path p = open_path(fulls[i]);
		struct rusage before, after;
		uint64_t allocations;

		assert_int_equal(walk(&p, 10), 0);
		allocations = n_allocations;
		getrusage(RUSAGE_THREAD, &before);
		assert_int_equal(walk(&p, 100000), 0);
		getrusage(RUSAGE_THREAD, &after);
		assert_int_equal(n_allocations - allocations, 0);
#ifndef FNX_SANITIZED
		assert_int_equal(after.ru_minflt - before.ru_minflt, 0);
		assert_int_equal(after.ru_majflt - before.ru_majflt, 0);
#endif
		close_path(&p);
	}
}

TEST(the_very_first_frames_fault_no_more_than_the_later_ones)
{
	struct path p = open_path(FNX_FULL_DROP);
	struct path warm = open_path(FNX_FULL_DROP);
	struct rusage before, after;

	/* The code itself has to be there. */
	assert_int_equal(walk(&warm, 1000), 0);
	getrusage(RUSAGE_THREAD, &before);
	assert_int_equal(walk(&p, 1000), 0);
	getrusage(RUSAGE_THREAD, &after);
#ifndef FNX_SANITIZED
	assert_int_equal(after.ru_minflt - before.ru_minflt, 0);
#endif
	close_path(&warm);
	close_path(&p);
}

TEST(after_start_up_the_frame_path_does_not_enter_the_kernel)
{
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 2; i++) {
		struct path p = open_path(fulls[i]);
		unsigned n_wrong;
		int status;
		pid_t pid;

		assert_int_equal(walk(&p, 10), 0);
		fflush(NULL);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
#ifndef FNX_SANITIZED
			if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
				_exit(2);
#endif
			n_wrong = walk(&p, 100000);
			syscall(SYS_exit, n_wrong ? 1 : 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		close_path(&p);
	}
}

/* Nanoseconds
 * --------------------------------------------------------------------------------------- */

static double publish_and_take_ns(
	struct fnx_publisher *pub, struct fnx_subscriber *const *subs, unsigned n_subs)
{
	enum {
		N = 20000
	};
	static const struct fnx_stamp stamp = {.sample_time = 1};
	struct fnx_frame frame;
	struct fnx_gap gap;
	double best = 1e9;
	unsigned n_wrong = 0;
	void *payload;

	for (unsigned round = 0; round < 20; round++) {
		int64_t begun_ns = fixture_now_ns();
		double ns;

		for (unsigned i = 0; i < N; i++) {
			n_wrong += fnx_publisher_loan(pub, 0, &payload) != 0;
			memset(payload, (int)i, 64);
			fnx_publisher_publish(pub, 64, &stamp);
			for (unsigned k = 0; k < n_subs; k++) {
				n_wrong += fnx_subscriber_peek(subs[k], &frame, &gap) != FNX_FRAME;
				fnx_subscriber_release(subs[k]);
			}
		}
		ns = (double)(fixture_now_ns() - begun_ns) / N;
		if (ns < best)
			best = ns;
	}
	assert_int_equal(n_wrong, 0);
	return best;
}

TEST(publishing_and_taking_64_bytes_costs_nanoseconds)
{
	static const enum fnx_full_policy fulls[] = {FNX_FULL_WAIT, FNX_FULL_DROP};

	for (unsigned i = 0; i < 2; i++) {
		struct fnx_bus bus = fixture_bus();
		struct fnx_topic_config config = topic_config(fulls[i], 256);
		struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
		struct fnx_publisher *pub;
		double one, all;
		char name[16];

		config.slot_size = 64;
		assert_int_equal(fnx_publisher_open(&bus, &config, &pub), 0);
		for (unsigned k = 0; k < FNX_SUBSCRIBERS_MAX; k++) {
			snprintf(name, sizeof(name), "reader-%u", k);
			subs[k] = k ? NULL : open_subscriber(&bus, name, FNX_LOSSLESS);
		}
		one = publish_and_take_ns(pub, subs, 1);
		for (unsigned k = 1; k < FNX_SUBSCRIBERS_MAX; k++) {
			snprintf(name, sizeof(name), "reader-%u", k);
			subs[k] = open_subscriber(&bus, name, FNX_LOSSLESS);
		}
		all = publish_and_take_ns(pub, subs, FNX_SUBSCRIBERS_MAX);
		print_message("%s: 1 subscriber %.1f ns, 63 subscribers %.1f ns per frame\n",
			i ? "drop" : "wait", one, all);
		assert_true(one > 0 && all > 0);
		for (unsigned k = 0; k < FNX_SUBSCRIBERS_MAX; k++)
			fnx_subscriber_close(subs[k]);
		fnx_publisher_close(pub);
	}
}

/* Publishing alone, into a pool that is never full: readers take everything between two batches. */
static double publish_ns(
	struct fnx_publisher *pub, struct fnx_subscriber *const *subs, unsigned n_subs)
{
	enum {
		BATCH = 64,
		N = 200
	};
	static const struct fnx_stamp stamp = {.sample_time = 1};
	struct fnx_frame frame;
	struct fnx_gap gap;
	double best = 1e9;
	void *payload;

	for (unsigned batch = 0; batch < N; batch++) {
		int64_t begun_ns = fixture_now_ns();
		double ns;

		for (unsigned i = 0; i < BATCH; i++) {
			assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
			fnx_publisher_publish(pub, 64, &stamp);
		}
		ns = (double)(fixture_now_ns() - begun_ns) / BATCH;
		if (ns < best)
			best = ns;
		for (unsigned k = 0; k < n_subs; k++)
			while (fnx_subscriber_peek(subs[k], &frame, &gap) == FNX_FRAME)
				fnx_subscriber_release(subs[k]);
	}
	return best;
}

TEST(a_publisher_on_which_nobody_sleeps_pays_for_63_subscribers_little_more_than_for_one)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_publisher *pub = open_publisher(&bus, FNX_FULL_WAIT, 512);
	struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
	double one, all;
	char name[16];

	subs[0] = open_subscriber(&bus, "reader-0", FNX_LOSSLESS);
	one = publish_ns(pub, subs, 1);
	for (unsigned k = 1; k < FNX_SUBSCRIBERS_MAX; k++) {
		snprintf(name, sizeof(name), "reader-%u", k);
		subs[k] = open_subscriber(&bus, name, FNX_LOSSLESS);
	}
	all = publish_ns(pub, subs, FNX_SUBSCRIBERS_MAX);
	print_message("publishing: 1 subscriber %.1f ns, 63 subscribers %.1f ns\n", one, all);
	/* A look at each would make it twenty times as much. */
	assert_true(all < 8 * one);
	for (unsigned k = 0; k < FNX_SUBSCRIBERS_MAX; k++)
		fnx_subscriber_close(subs[k]);
	fnx_publisher_close(pub);
}

enum {
	N_PINGS = 20000,
	N_WARM = 2000
};

struct raw {
	_Alignas(64) _Atomic uint64_t there;
	_Alignas(64) _Atomic uint64_t back;
};

static void pause_a_bit(unsigned *n_spins)
{
	/* Where the other shares our core it must be let on. */
	if (++*n_spins % 4096 == 0)
		sched_yield();
	__builtin_ia32_pause();
}

/* The n-th of the processors that we may use, or the first: a migration in the middle would be
 * measured too. */
static void stay_on(unsigned n)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	CPU_ZERO(&one);
	for (size_t cpu = 0; cpu < CPU_SETSIZE && (unsigned)CPU_COUNT(&one) <= n; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			CPU_SET(cpu, &one);
	/* The highest of the first n + 1. */
	for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) > 1; cpu++)
		CPU_CLR(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t median(int64_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), compare_times);
	return times[n / 2];
}

static int64_t raw_round_trip_ns(void)
{
	static int64_t times[N_PINGS];
	struct raw *raw =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned spins = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stay_on(1);
		for (uint64_t i = 1; i <= N_PINGS; i++) {
			while (atomic_load_explicit(&raw->there, memory_order_acquire) != i)
				pause_a_bit(&spins);
			atomic_store_explicit(&raw->back, i, memory_order_release);
		}
		_exit(0);
	}
	stay_on(0);
	for (uint64_t i = 1; i <= N_PINGS; i++) {
		int64_t begun_ns = fixture_now_ns();

		atomic_store_explicit(&raw->there, i, memory_order_release);
		while (atomic_load_explicit(&raw->back, memory_order_acquire) != i)
			pause_a_bit(&spins);
		times[i - 1] = fixture_now_ns() - begun_ns;
	}
	waitpid(pid, NULL, 0);
	munmap(raw, 4096);
	return median(times + N_WARM, N_PINGS - N_WARM);
}

static void take_spinning(struct fnx_subscriber *sub, unsigned *spins)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	while (fnx_subscriber_peek(sub, &frame, &gap) != FNX_FRAME)
		pause_a_bit(spins);
	fnx_subscriber_release(sub);
}

static void put_bare(struct fnx_publisher *pub, size_t length)
{
	static const struct fnx_stamp stamp = {.sample_time = 1};
	void *payload;

	if (fnx_publisher_loan(pub, 0, &payload))
		abort();
	fnx_publisher_publish(pub, length, &stamp);
}

static int64_t bus_round_trip_ns(size_t size, enum fnx_full_policy full)
{
	static int64_t times[N_PINGS];
	struct fnx_bus bus = fixture_bus();
	struct fnx_topic_config config = topic_config(full, 256);
	struct fnx_subscriber_config reader = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_publisher *there, *back;
	struct fnx_subscriber *sub;
	unsigned spins = 0;
	pid_t pid;

	config.slot_size = size;
	assert_int_equal(fnx_publisher_open(&bus, &config, &there), 0);
	config.name = "back";
	assert_int_equal(fnx_publisher_open(&bus, &config, &back), 0);
	reader.topic = "back";
	assert_int_equal(fnx_subscriber_open(&bus, &reader, &sub), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stay_on(1);
		reader.topic = "topic";
		reader.node = "other";
		reader.start = FNX_START_OLDEST;
		if (fnx_subscriber_open(&bus, &reader, &sub))
			_exit(1);
		for (unsigned i = 0; i < N_PINGS; i++) {
			take_spinning(sub, &spins);
			put_bare(back, size);
		}
		_exit(0);
	}
	stay_on(0);
	for (unsigned i = 0; i < N_PINGS; i++) {
		int64_t begun_ns = fixture_now_ns();

		put_bare(there, size);
		take_spinning(sub, &spins);
		times[i] = fixture_now_ns() - begun_ns;
	}
	waitpid(pid, NULL, 0);
	fnx_subscriber_close(sub);
	fnx_publisher_close(there);
	fnx_publisher_close(back);
	return median(times + N_WARM, N_PINGS - N_WARM);
}

TEST(a_spinning_round_trip_is_compared_with_that_of_a_bare_cache_line)
{
	static const size_t sizes[] = {64, 4096, 65536};
	int64_t best[7];
	cpu_set_t before;

	sched_getaffinity(0, sizeof(before), &before);
	for (unsigned i = 0; i < 7; i++)
		best[i] = INT64_MAX;
	/* In turns, so that a busy machine is busy for all of them. */
	for (unsigned round = 0; round < 5; round++)
		for (unsigned i = 0; i < 7; i++) {
			int64_t ns = i == 6 ? raw_round_trip_ns()
					    : bus_round_trip_ns(sizes[i / 2],
						      i & 1 ? FNX_FULL_DROP : FNX_FULL_WAIT);

			if (ns < best[i])
				best[i] = ns;
			sched_setaffinity(0, sizeof(before), &before);
		}
	print_message("bare cache line: %lld ns there and back\n", (long long)best[6]);
	for (unsigned i = 0; i < 6; i++) {
		print_message("%s, %zu bytes: %lld ns, %.2f times that\n", i & 1 ? "drop" : "wait",
			sizes[i / 2], (long long)best[i], (double)best[i] / (double)best[6]);
		assert_true(best[i] > 0);
	}
}
