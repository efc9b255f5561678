/* SPDX-License-Identifier: BSD-3-Clause */
/* What a frame costs, in nanoseconds. That it costs nothing else is shown by test_invariants.c. */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

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
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
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
