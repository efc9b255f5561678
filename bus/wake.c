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
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Arrays are by form; what is not rung is NULL or closed. */
enum {
	N_FORMS = FNX_BELL_FORM_ZMQ + 1,
	N_RINGS = 9, /* to know what a wake takes */
	N_PAIRS = 32, /* to choose something else than a pipe */
	FALL_ASLEEP_NS = 150000,
	PATIENCE_S = 1,
};

struct sleeper {
	struct fnx_bell *bells[N_FORMS];
	struct fnx_ringer ringers[N_FORMS];
	pthread_t thread;
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
	while (!atomic_load(&s->quit)) {
		int n_rings;

		poll(fds, N_FORMS, PATIENCE_S * 1000);
		n_rings = drain(s);
		/* After it: no ring that it took is later than this. */
		atomic_store(&s->heard_ns, now());
		if (n_rings > 0)
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

static int time_form(struct sleeper *s, enum fnx_bell_form form, int64_t *ret_wake_ns)
{
	int64_t ns[N_RINGS];
	int r = 0;

	for (unsigned i = 0; i < N_RINGS && !r; i++)
		r = time_ring(s, form, &ns[i]);
	if (r)
		return r;
	qsort(ns, N_RINGS, sizeof(*ns), compare);
	*ret_wake_ns = ns[N_RINGS / 2];
	return 0;
}

int fnx_bell_choose(const struct fnx_bus *bus, const char *node, enum fnx_bell_form *ret_form,
	int64_t *ret_wake_ns)
{
	struct sleeper s = {.quit = 0};
	int without_pipe = add_bell(&s, bus, node, FNX_BELL_FORM_PIPE);
	int without_zmq = add_bell(&s, bus, node, FNX_BELL_FORM_ZMQ);
	int r = without_pipe && without_zmq ? without_pipe : begin(&s);

	if (!r) {
		*ret_form = without_pipe || (!without_zmq && prefers_zmq(&s)) ? FNX_BELL_FORM_ZMQ
									      : FNX_BELL_FORM_PIPE;
		r = time_form(&s, *ret_form, ret_wake_ns);
		end(&s);
	}
	remove_bells(&s);
	return r;
}
