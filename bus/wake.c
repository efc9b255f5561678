/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread sleeps on bells as a node does on its own, in poll; the caller rings, sleeps until it is
 * told that the ring was heard, and gives the sleeper time to fall asleep again. The median is what
 * counts: a sleeper that was still awake, or a machine that was busy, shows in the tails.
 *
 * Forms are compared by rings in turn to one and the same sleeper: whatever else the machine does,
 * and wherever it has put the two threads, weighs on both.
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
	N_FORMS =
		FNX_BELL_FORM_ZMQ + 1, /* arrays are by form; what is not rung is NULL or closed */
	N_RINGS = 9, /* to know what a wake takes */
	N_PAIRS = 32, /* to choose something else than a pipe */
	FALL_ASLEEP_NS = 150000,
	PATIENCE_S = 1,
};

struct sleeper {
	struct fnx_bell *bells[N_FORMS];
	struct fnx_ringer ringers[N_FORMS];
	pthread_t thread;
	int cpu;
	int error;
	_Atomic int quit;
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

static int drain(struct sleeper *s)
{
	int n_rings = 0;

	for (unsigned form = 0; form < N_FORMS; form++)
		if (s->bells[form])
			n_rings += fnx_bell_drain(s->bells[form]);
	return n_rings;
}

static void *sleep_and_hear(void *argument)
{
	struct sleeper *s = argument;
	struct pollfd fds[N_FORMS];

	for (unsigned form = 0; form < N_FORMS; form++)
		fds[form] = (struct pollfd){
			.fd = s->bells[form] ? fnx_bell_fd(s->bells[form]) : -1, .events = POLLIN};
	s->error = settle(s->cpu);
	sem_post(&s->heard);
	while (!s->error && !atomic_load(&s->quit)) {
		poll(fds, N_FORMS, PATIENCE_S * 1000);
		atomic_store(&s->heard_ns, now());
		if (drain(s) > 0)
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

/* As from another process: that is how most nodes are rung. */
static int add_bell(
	struct sleeper *s, const struct fnx_bus *bus, const char *node, enum fnx_bell_form form)
{
	int r = fnx_bell_open(bus, node, form, &s->bells[form]);

	if (!r)
		r = fnx_ringer_open(bus, node, form, 0, &s->ringers[form]);
	return r;
}

static void remove_bells(struct sleeper *s)
{
	for (unsigned form = 0; form < N_FORMS; form++) {
		fnx_ringer_close(&s->ringers[form]);
		fnx_bell_close(s->bells[form]);
	}
}

static int begin(struct sleeper *s)
{
	int r;

	sem_init(&s->heard, 0, 0);
	r = -pthread_create(&s->thread, NULL, sleep_and_hear, s);
	if (r)
		sem_destroy(&s->heard);
	return r;
}

/* The sleeper is where it should be. */
static int await_begun(struct sleeper *s)
{
	int r = await(s);

	return r ? r : s->error;
}

static void end(struct sleeper *s)
{
	atomic_store(&s->quit, 1);
	for (unsigned form = 0; form < N_FORMS; form++)
		if (fnx_ringer_is_open(&s->ringers[form]))
			(void)!fnx_ringer_ring(&s->ringers[form]);
	pthread_join(s->thread, NULL);
	sem_destroy(&s->heard);
}

static int time_ring(struct sleeper *s, enum fnx_bell_form form, int64_t *ret_ns)
{
	const struct timespec asleep = {.tv_nsec = FALL_ASLEEP_NS};
	int64_t rung_ns;
	int r;

	ppoll(NULL, 0, &asleep, NULL);
	rung_ns = now();
	r = fnx_ringer_ring(&s->ringers[form]);
	/* A ring of before, from whoever knew the node's predecessor, is not this one. */
	do {
		if (!r)
			r = await(s);
	} while (!r && atomic_load(&s->heard_ns) < rung_ns);
	*ret_ns = atomic_load(&s->heard_ns) - rung_ns;
	return r;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int time_rings(
	struct sleeper *s, enum fnx_bell_form form, unsigned n, struct fnx_bell_wake *ret_wake)
{
	int64_t ns[FNX_WAKE_RINGS_MAX];
	int r = 0;

	for (unsigned i = 0; i < n && !r; i++)
		r = time_ring(s, form, &ns[i]);
	if (r)
		return r;
	qsort(ns, n, sizeof(*ns), compare);
	*ret_wake = (struct fnx_bell_wake){.p50_ns = ns[n / 2], .p99_ns = ns[n * 99 / 100]};
	return 0;
}

static int measure_from(struct sleeper *s, enum fnx_bell_form form, int ringer_cpu, unsigned n,
	struct fnx_bell_wake *ret_wake)
{
	cpu_set_t before;
	int r;

	if (sched_getaffinity(0, sizeof(before), &before) < 0)
		return -errno;
	r = settle(ringer_cpu);
	if (!r)
		r = begin(s);
	if (!r) {
		r = await_begun(s);
		if (!r)
			r = time_rings(s, form, n, ret_wake);
		end(s);
	}
	sched_setaffinity(0, sizeof(before), &before);
	return r;
}

int fnx_bell_measure(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	int ringer_cpu, int sleeper_cpu, unsigned n, struct fnx_bell_wake *ret_wake)
{
	struct sleeper s = {.cpu = sleeper_cpu};
	int r;

	if (n < 1 || n > FNX_WAKE_RINGS_MAX)
		return -EINVAL;
	r = add_bell(&s, bus, node, form);
	if (!r)
		r = measure_from(&s, form, ringer_cpu, n, ret_wake);
	remove_bells(&s);
	return r;
}

/* ZeroMQ wins if it is ahead by a quarter in each of many pairs: usually the first pair decides. */
static int prefers_zmq(struct sleeper *s)
{
	int64_t pipe_ns, zmq_ns;

	for (unsigned i = 0; i < N_PAIRS; i++)
		if (time_ring(s, FNX_BELL_FORM_ZMQ, &zmq_ns) ||
			time_ring(s, FNX_BELL_FORM_PIPE, &pipe_ns) ||
			zmq_ns >= pipe_ns - pipe_ns / 4)
			return 0;
	return 1;
}

static int choose(struct sleeper *s, int without_pipe, int without_zmq,
	enum fnx_bell_form *ret_form, int64_t *ret_wake_ns)
{
	struct fnx_bell_wake wake;
	enum fnx_bell_form form;
	int r = await_begun(s);

	if (r)
		return r;
	form = without_pipe || (!without_zmq && prefers_zmq(s)) ? FNX_BELL_FORM_ZMQ
								: FNX_BELL_FORM_PIPE;
	r = time_rings(s, form, N_RINGS, &wake);
	if (r)
		return r;
	*ret_form = form;
	*ret_wake_ns = wake.p50_ns;
	return 0;
}

int fnx_bell_choose(const struct fnx_bus *bus, const char *node, enum fnx_bell_form *ret_form,
	int64_t *ret_wake_ns)
{
	struct sleeper s = {.cpu = -1};
	int without_pipe = add_bell(&s, bus, node, FNX_BELL_FORM_PIPE);
	int without_zmq = add_bell(&s, bus, node, FNX_BELL_FORM_ZMQ);
	int r = without_pipe && without_zmq ? without_pipe : begin(&s);

	if (!r) {
		r = choose(&s, without_pipe, without_zmq, ret_form, ret_wake_ns);
		end(&s);
	}
	remove_bells(&s);
	return r;
}

enum fnx_placement fnx_bell_place(
	const struct fnx_bell_wake *together, const struct fnx_bell_wake *apart, int64_t work_ns)
{
	return together->p50_ns + work_ns < apart->p50_ns ? FNX_PLACE_TOGETHER : FNX_PLACE_APART;
}
