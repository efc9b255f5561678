/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread sleeps on a bell as a node does, in poll; the caller rings, sleeps until it is told that
 * the ring was heard, and gives the sleeper time to fall asleep again. The median is what counts:
 * a sleeper that was still awake, or a machine that was busy, shows in the tails.
 */
#include "bus/wake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
	N_RINGS = 9, /* to choose by */
	FALL_ASLEEP_NS = 150000,
	PATIENCE_S = 1,
};

struct sleeper {
	struct fnx_bell *bell;
	int cpu;
	_Atomic int quit;
	int error;
	_Atomic int64_t heard_ns;
	sem_t heard;
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int settle(int cpu)
{
	cpu_set_t cpus;

	if (cpu < 0)
		return 0;
	if (cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ? -errno : 0;
}

static void *sleep_and_hear(void *argument)
{
	struct sleeper *s = argument;
	struct pollfd fd = {.fd = fnx_bell_fd(s->bell), .events = POLLIN};

	s->error = settle(s->cpu);
	sem_post(&s->heard);
	while (!s->error && !atomic_load(&s->quit)) {
		int rings;

		poll(&fd, 1, PATIENCE_S * 1000);
		atomic_store(&s->heard_ns, now());
		rings = fnx_bell_drain(s->bell);
		if (rings > 0)
			sem_post(&s->heard);
	}
	return NULL;
}

static int await(struct sleeper *s)
{
	struct timespec until;
	int r;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	do {
		r = sem_timedwait(&s->heard, &until) < 0 ? -errno : 0;
	} while (r == -EINTR);
	return r == -ETIMEDOUT ? -ETIME : r;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int ring_and_time(struct sleeper *s, struct fnx_ringer *ringer, unsigned n, int64_t *ns)
{
	const struct timespec asleep = {.tv_nsec = FALL_ASLEEP_NS};
	int r = await(s); /* the sleeper is where it should be */

	if (!r)
		r = s->error;
	for (unsigned i = 0; !r && i < n; i++) {
		int64_t rung_ns;

		ppoll(NULL, 0, &asleep, NULL);
		rung_ns = now();
		r = fnx_ringer_ring(ringer);
		if (!r)
			r = await(s);
		ns[i] = atomic_load(&s->heard_ns) - rung_ns;
	}
	return r;
}

static int measure(struct sleeper *s, struct fnx_ringer *ringer, unsigned n, int64_t *ns)
{
	pthread_t thread;
	int r;

	sem_init(&s->heard, 0, 0);
	r = -pthread_create(&thread, NULL, sleep_and_hear, s);
	if (!r) {
		r = ring_and_time(s, ringer, n, ns);
		atomic_store(&s->quit, 1);
		(void)!fnx_ringer_ring(ringer);
		pthread_join(thread, NULL);
	}
	sem_destroy(&s->heard);
	return r;
}

int fnx_bell_measure(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	int ringer_cpu, int sleeper_cpu, unsigned n, struct fnx_bell_wake *ret_wake)
{
	struct sleeper s = {.cpu = sleeper_cpu};
	struct fnx_ringer ringer = {.ring = NULL};
	int64_t ns[FNX_WAKE_RINGS_MAX];
	cpu_set_t before;
	int r;

	if (n < 1 || n > FNX_WAKE_RINGS_MAX)
		return -EINVAL;
	r = fnx_bell_open(bus, node, form, &s.bell);
	/* As from another process: that is how most nodes are rung. */
	if (!r)
		r = fnx_ringer_open(bus, node, form, 0, &ringer);
	if (!r && sched_getaffinity(0, sizeof(before), &before) < 0)
		r = -errno;
	if (!r) {
		r = settle(ringer_cpu);
		if (!r)
			r = measure(&s, &ringer, n, ns);
		sched_setaffinity(0, sizeof(before), &before);
	}
	fnx_ringer_close(&ringer);
	fnx_bell_close(s.bell);
	if (r)
		return r;
	qsort(ns, n, sizeof(*ns), compare);
	*ret_wake = (struct fnx_bell_wake){.p50_ns = ns[n / 2], .p99_ns = ns[n * 99 / 100]};
	return 0;
}

int fnx_bell_choose(const struct fnx_bus *bus, const char *node, enum fnx_bell_form *ret_form,
	int64_t *ret_wake_ns)
{
	struct fnx_bell_wake pipe, zmq;
	int without_pipe = fnx_bell_measure(bus, node, FNX_BELL_FORM_PIPE, -1, -1, N_RINGS, &pipe);
	int without_zmq = fnx_bell_measure(bus, node, FNX_BELL_FORM_ZMQ, -1, -1, N_RINGS, &zmq);

	if (without_pipe && without_zmq)
		return without_pipe;
	*ret_form = without_pipe || (!without_zmq && zmq.p50_ns < pipe.p50_ns - pipe.p50_ns / 4)
		? FNX_BELL_FORM_ZMQ
		: FNX_BELL_FORM_PIPE;
	*ret_wake_ns = *ret_form == FNX_BELL_FORM_PIPE ? pipe.p50_ns : zmq.p50_ns;
	return 0;
}

enum fnx_placement fnx_bell_place(
	const struct fnx_bell_wake *together, const struct fnx_bell_wake *apart, int64_t work_ns)
{
	return together->p50_ns + work_ns < apart->p50_ns ? FNX_PLACE_TOGETHER : FNX_PLACE_APART;
}
