/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a sleeper takes to wake, measured: one thread rings at 1 kHz, another sleeps in
 * epoll_wait, as nodes do; each ring is stamped just before. With the kernel's own eventfd, which
 * is the floor, and with a bell; both on one core, and on two; with nothing else to do, and with
 * every core busy with work that gives way (nice 19).
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bus/bell.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/doctor.h"

enum {
	PERIOD_NS = 1000000,
	HOGS_MAX = 64,
	SLEEP_MS = 2000, /* a ring that takes this long is given up */
};

struct pair {
	struct fnx_wake_case *test;
	int reader_cpu, writer_cpu;
	unsigned n;
	int event_fd; /* -1: a bell */
	struct fnx_bell *bell;
	struct fnx_ringer ringer;
	_Atomic int64_t rung_ns; /* when the ring that is under way began; 0: it has arrived */
	_Atomic int stop;
};

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	(void)!sched_setaffinity(0, sizeof(cpus), &cpus);
	prctl(PR_SET_TIMERSLACK, 1);
}

/* The first two processors that this process may use; one: the same twice. */
static unsigned two_cpus(int ret_cpus[2])
{
	unsigned n = 0;
	cpu_set_t cpus;

	ret_cpus[0] = ret_cpus[1] = 0;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &cpus))
			ret_cpus[n++] = cpu;
	if (n == 1)
		ret_cpus[1] = ret_cpus[0];
	return n;
}

static void silence(const struct pair *pair)
{
	eventfd_t value;

	if (pair->bell)
		fnx_bell_drain(pair->bell);
	else
		(void)!eventfd_read(pair->event_fd, &value);
}

static void *sleeper(void *argument)
{
	struct pair *pair = argument;
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	pin(pair->reader_cpu);
	epoll_ctl(epoll, EPOLL_CTL_ADD, pair->bell ? fnx_bell_fd(pair->bell) : pair->event_fd,
		&event);
	/* Once at least: on a busy machine all may have been rung before this thread begins. */
	do {
		int n = epoll_wait(epoll, &event, 1, SLEEP_MS);
		int64_t now_ns = fnx_node_now();
		int64_t rung_ns;

		/* Silenced first: a ring that comes between the two is heard, not lost. */
		if (n > 0)
			silence(pair);
		rung_ns = atomic_exchange(&pair->rung_ns, 0);
		if (n > 0 && rung_ns && rung_ns <= now_ns) {
			fnx_histogram_add(&pair->test->latency, now_ns - rung_ns);
			pair->test->n++;
		}
	} while (!atomic_load(&pair->stop));
	close(epoll);
	return NULL;
}

static void ring(struct pair *pair)
{
	atomic_store(&pair->rung_ns, fnx_node_now());
	if (fnx_ringer_is_open(&pair->ringer))
		(void)!fnx_ringer_ring(&pair->ringer);
	else
		(void)!eventfd_write(pair->event_fd, 1);
}

static void *writer(void *argument)
{
	struct pair *pair = argument;
	int64_t due_ns;

	pin(pair->writer_cpu);
	due_ns = fnx_node_now();
	for (unsigned i = 0; i < pair->n; i++) {
		struct timespec due;

		due_ns += PERIOD_NS;
		due = (struct timespec){due_ns / 1000000000, due_ns % 1000000000};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		/* One that has not arrived is late, and counts from when it was rung. */
		if (!atomic_load(&pair->rung_ns))
			ring(pair);
	}
	atomic_store(&pair->stop, 1);
	ring(pair);
	return NULL;
}

/* Load
 * ---------------------------------------------------------------------------------------------- */

struct load {
	_Atomic int stop;
	unsigned n;
	pthread_t hogs[HOGS_MAX];
};

static void *hog(void *argument)
{
	struct load *load = argument;

	setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
	while (!atomic_load_explicit(&load->stop, memory_order_relaxed))
		;
	return NULL;
}

/* One for each processor that may be used. */
static void begin_load(struct load *load)
{
	cpu_set_t cpus;
	int n = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : CPU_COUNT(&cpus);

	while (load->n < HOGS_MAX && load->n < (unsigned)n &&
		!pthread_create(&load->hogs[load->n], NULL, hog, load))
		load->n++;
}

static void end_load(struct load *load)
{
	atomic_store(&load->stop, 1);
	for (unsigned i = 0; i < load->n; i++)
		pthread_join(load->hogs[i], NULL);
}

/* Cases
 * ---------------------------------------------------------------------------------------------- */

static int run_pair(struct pair *pair)
{
	pthread_t threads[2];
	int r = -pthread_create(&threads[0], NULL, sleeper, pair);

	if (r)
		return r;
	r = -pthread_create(&threads[1], NULL, writer, pair);
	if (r) {
		atomic_store(&pair->stop, 1);
		ring(pair);
	} else {
		pthread_join(threads[1], NULL);
	}
	pthread_join(threads[0], NULL);
	return r;
}

static int measure_event(struct pair *pair)
{
	int r;

	pair->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pair->event_fd < 0)
		return -errno;
	r = run_pair(pair);
	close(pair->event_fd);
	return r;
}

static int measure_bell(struct pair *pair, const struct fnx_bus *bus)
{
	int r = fnx_bell_open(bus, "sleeper", FNX_BELL_FORM_PIPE, &pair->bell);

	pair->event_fd = -1;
	if (!r)
		r = fnx_ringer_open(
			bus, "sleeper", FNX_BELL_FORM_PIPE, (int)getpid(), &pair->ringer);
	if (!r)
		r = run_pair(pair);
	fnx_ringer_close(&pair->ringer);
	fnx_bell_close(pair->bell);
	return r;
}

static int measure_case(
	struct fnx_wake_case *test, const struct fnx_bus *bus, const int cpus[2], unsigned n)
{
	struct pair pair = {
		.test = test, .reader_cpu = cpus[!test->same_core], .writer_cpu = cpus[0], .n = n};
	struct load load = {.n = 0};
	int r;

	if (test->loaded)
		begin_load(&load);
	r = strcmp(test->how, "bell") ? measure_event(&pair) : measure_bell(&pair, bus);
	end_load(&load);
	return r;
}

static void plan(struct fnx_wake *wake, int with_load)
{
	wake->n_cases = 0;
	for (int loaded = 0; loaded <= with_load; loaded++)
		for (int same = wake->n_cpus < 2; same <= 1; same++)
			for (int bell = 0; bell <= 1; bell++)
				wake->cases[wake->n_cases++] =
					(struct fnx_wake_case){.how = bell ? "bell" : "eventfd",
						.same_core = same,
						.loaded = loaded};
}

/* A bus for one bell. */
static int make_bus(struct fnx_bus *bus, char *dir, size_t size)
{
	const char *temporary = getenv("TMPDIR");

	snprintf(dir, size, "%s/fornix-doctor-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(dir))
		return -errno;
	return fnx_bus_init(bus, "doctor", dir, dir);
}

int fnx_wake_measure(struct fnx_wake *wake, unsigned n, int with_load, FILE *progress)
{
	char dir[64];
	int cpus[2], r;
	struct fnx_bus bus;

	wake->n_cpus = two_cpus(cpus);
	plan(wake, with_load);
	r = make_bus(&bus, dir, sizeof(dir));
	if (r)
		return r;
	for (unsigned i = 0; i < wake->n_cases && !r; i++) {
		if (progress)
			fprintf(progress, "\rmeasuring wake-ups, %u of %u", i + 1, wake->n_cases);
		r = measure_case(&wake->cases[i], &bus, cpus, n);
	}
	if (progress)
		fprintf(progress, "\r\x1b[K");
	(void)!fnx_bus_remove(&bus);
	rmdir(dir);
	return r;
}

const struct fnx_wake_case *fnx_wake_find(
	const struct fnx_wake *wake, const char *how, int same_core, int loaded)
{
	for (unsigned i = 0; i < wake->n_cases; i++)
		if (!strcmp(wake->cases[i].how, how) && wake->cases[i].same_core == same_core &&
			wake->cases[i].loaded == loaded)
			return &wake->cases[i];
	return NULL;
}

void fnx_wake_advise(const struct fnx_wake *wake, char *line, size_t size)
{
	const struct fnx_wake_case *same = fnx_wake_find(wake, "bell", 1, 0);
	const struct fnx_wake_case *other = fnx_wake_find(wake, "bell", 0, 0);
	double same_us = same ? (double)fnx_histogram_quantile(&same->latency, 0.5) / 1e3 : 0;
	double other_us = other ? (double)fnx_histogram_quantile(&other->latency, 0.5) / 1e3 : 0;

	if (same_us <= 0 || other_us <= 0)
		snprintf(line, size, "one processor: readers share their writer's core");
	else if (same_us * 1.5 < other_us)
		snprintf(line, size,
			"a reader that shares its writer's core wakes in %.1f us, one on another "
			"in %.1f: give both the same `cpu` in the rig, unless their work should "
			"overlap",
			same_us, other_us);
	else if (other_us * 1.5 < same_us)
		snprintf(line, size,
			"a reader on another core than its writer wakes in %.1f us, on the same "
			"in %.1f: give them different `cpu`s in the rig",
			other_us, same_us);
	else
		snprintf(line, size,
			"a reader wakes in %.1f us on its writer's core and in %.1f on another: "
			"leave nodes unpinned, or apart",
			same_us, other_us);
}
