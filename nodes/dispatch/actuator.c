/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a thread and a ring: a write to a file may take as long as the disk likes, and a ZeroMQ
 * send wakes ZeroMQ's own thread. A semaphore rather than an eventfd, since posting it enters
 * the kernel only if somebody sleeps.
 *
 * The ring is the simple one with one producer and one consumer: `given` is written by the
 * giver alone, `taken` by the thread alone. The release store of `given` pairs with the
 * thread's acquire load (the command is there), that of `taken` with the giver's (the slot is
 * free again).
 */
#include "nodes/dispatch/actuator.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bus/push.h"

enum {
	POLL_NS = 100000,
	SLACK_NS = 1000, /* of the polling thread's timer; the system's default is 50 us */
	STACK_SIZE = 256 << 10, /* memory may be locked: no more of it than needed */
};

struct fnx_actuator {
	struct fnx_actuator_config config;
	int fd; /* log */
	int owns_fd;
	struct fnx_push *push; /* zmq */
	struct fnx_layout layout;
	void *body; /* [body_size] an encoded decision */
	size_t body_size;
	pthread_t thread;
	int started;
	sem_t bell;
	_Atomic int stopping;
	_Atomic uint64_t refused, told, failed;
	_Atomic int error;
	/* Each on cache lines of its own: they are written by different threads. */
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t given;
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t taken;
	_Alignas(FNX_CACHE_LINE) struct fnx_actuator_command ring[FNX_ACTUATOR_RING];
};

/* Carrying out: the thread ---------------------------------------------------------------- */

uint32_t fnx_actuator_line(const struct fnx_actuator_command *command, char *ret_line)
{
	const struct fnx_decision *decision = &command->decision;
	char name[sizeof(decision->rule_name) + 1] = "";
	int n;

	for (size_t i = 0; i < sizeof(decision->rule_name) && decision->rule_name[i]; i++) {
		unsigned char c = (unsigned char)decision->rule_name[i];

		name[i] = c < ' ' || c == 0x7f || c == '"' || c == '\\' ? '_' : (char)c;
	}
	n = snprintf(ret_line, FNX_ACTUATOR_LINE,
		"sample_time=%" PRId64 " rule=\"%s\" task=%" PRIu32 " outcome=%" PRIu32
		" arm=%" PRId32 " target_mass=%.6g other_mass=%.6g groups=%" PRIu32
		" position_bin=%" PRId32 " speed_cm_s=%.6g seq=%" PRIu64 " cause_seq=%" PRId64
		" cause_publish_ns=%" PRId64 " given_ns=%" PRId64 "\n",
		command->stamp.sample_time, name, decision->task, decision->outcome, decision->arm,
		decision->target_mass, decision->other_mass, decision->n_groups,
		decision->position_bin, decision->speed, command->stamp.seq, decision->cause_seq,
		decision->cause_publish_ns, command->stamp.publish_ns);
	/* 15 numbers of at most 20 digits, 200 bytes of keys, 32 of name. */
	assert(n > 0 && n < FNX_ACTUATOR_LINE);
	return (uint32_t)n;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

static int tell(struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	char line[FNX_ACTUATOR_LINE];
	size_t size;
	int r;

	if (actuator->config.type == FNX_ACTUATOR_TYPE_LOG)
		return write_all(actuator->fd, line, fnx_actuator_line(command, line));
	r = fnx_codec_encode(&actuator->layout, &command->stamp, &command->decision,
		sizeof(command->decision), actuator->body, actuator->body_size, &size);
	return r ? r : fnx_push_send(actuator->push, actuator->body, size);
}

/* 1 if there was something. */
static int carry_out(struct fnx_actuator *actuator)
{
	uint64_t taken = atomic_load_explicit(&actuator->taken, memory_order_relaxed);
	uint64_t given = atomic_load_explicit(&actuator->given, memory_order_acquire);
	int r, any = taken != given;

	for (; taken != given; taken++) {
		r = tell(actuator, &actuator->ring[taken % FNX_ACTUATOR_RING]);
		if (r)
			atomic_store_explicit(&actuator->error, r, memory_order_relaxed);
		/* Counted before the slot is given back: whoever sees the slot free sees the count.
		 */
		atomic_fetch_add_explicit(
			r ? &actuator->failed : &actuator->told, 1, memory_order_release);
		atomic_store_explicit(&actuator->taken, taken + 1, memory_order_release);
	}
	return any;
}

static void doze(struct fnx_actuator *actuator)
{
	const struct timespec interval = {.tv_nsec = POLL_NS};

	if (actuator->config.wake == FNX_ACTUATOR_POLL)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &interval, NULL);
	else
		while (sem_wait(&actuator->bell) && errno == EINTR)
			;
}

static void *run(void *self)
{
	struct fnx_actuator *actuator = self;
	int stopping;

	prctl(PR_SET_NAME, "actuator");
	if (actuator->config.wake == FNX_ACTUATOR_POLL)
		prctl(PR_SET_TIMERSLACK, SLACK_NS);
	for (;;) {
		/* Read first: what was given before the stop is then seen. */
		stopping = atomic_load_explicit(&actuator->stopping, memory_order_acquire);
		if (carry_out(actuator))
			continue;
		if (stopping)
			return NULL;
		doze(actuator);
	}
}

/* Giving: the node ------------------------------------------------------------------------ */

int fnx_actuator_give(struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	uint64_t given = atomic_load_explicit(&actuator->given, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&actuator->taken, memory_order_acquire);

	if (given - taken == FNX_ACTUATOR_RING) {
		atomic_fetch_add_explicit(&actuator->refused, 1, memory_order_relaxed);
		return -ENOBUFS;
	}
	actuator->ring[given % FNX_ACTUATOR_RING] = *command;
	atomic_store_explicit(&actuator->given, given + 1, memory_order_release);
	if (actuator->config.wake == FNX_ACTUATOR_BELL)
		sem_post(&actuator->bell);
	return 0;
}

struct fnx_actuator_counts fnx_actuator_counts(const struct fnx_actuator *actuator)
{
	struct fnx_actuator_counts counts;

	/* In this order, so that told + failed never exceeds given. */
	counts.told = atomic_load_explicit(&actuator->told, memory_order_acquire);
	counts.failed = atomic_load_explicit(&actuator->failed, memory_order_acquire);
	counts.error = atomic_load_explicit(&actuator->error, memory_order_relaxed);
	counts.refused = atomic_load_explicit(&actuator->refused, memory_order_relaxed);
	counts.given = atomic_load_explicit(&actuator->given, memory_order_acquire);
	return counts;
}

/* Opening and closing --------------------------------------------------------------------- */

static int open_log(struct fnx_actuator *actuator)
{
	const char *file = actuator->config.file;

	if (!file || !file[0]) {
		actuator->fd = STDERR_FILENO;
		return 0;
	}
	actuator->fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	actuator->owns_fd = actuator->fd >= 0;
	return actuator->fd < 0 ? -errno : 0;
}

static int open_zmq(struct fnx_actuator *actuator)
{
	int r;

	if (!actuator->config.endpoint || !actuator->config.endpoint[0])
		return -EINVAL;
	r = fnx_layout_init(&actuator->layout, &fnx_decision_schema, NULL);
	if (r)
		return r;
	actuator->body_size = fnx_codec_bound(&actuator->layout);
	actuator->body = malloc(actuator->body_size);
	return actuator->body ? fnx_push_open(actuator->config.endpoint, &actuator->push) : -ENOMEM;
}

/* Signals are for the node's own thread. */
static int start(struct fnx_actuator *actuator)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r;

	if (sem_init(&actuator->bell, 0, 0))
		return -errno;
	r = pthread_attr_init(&attributes);
	if (r)
		return -r;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&actuator->thread, &attributes, run, actuator);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	actuator->started = !r;
	return -r;
}

int fnx_actuator_open(const struct fnx_actuator_config *config, struct fnx_actuator **ret_actuator)
{
	struct fnx_actuator *actuator = aligned_alloc(FNX_CACHE_LINE, sizeof(*actuator));
	int r;

	if (!actuator)
		return -ENOMEM;
	memset(actuator, 0, sizeof(*actuator));
	actuator->config = *config;
	r = config->type == FNX_ACTUATOR_TYPE_LOG       ? open_log(actuator)
		: config->type == FNX_ACTUATOR_TYPE_ZMQ ? open_zmq(actuator)
							: -EINVAL;
	if (!r)
		r = start(actuator);
	/* The caller's strings may go. */
	actuator->config.file = actuator->config.endpoint = NULL;
	if (r)
		fnx_actuator_close(actuator);
	else
		*ret_actuator = actuator;
	return r;
}

struct fnx_actuator *fnx_actuator_close(struct fnx_actuator *actuator)
{
	if (!actuator)
		return NULL;
	if (actuator->started) {
		atomic_store_explicit(&actuator->stopping, 1, memory_order_release);
		sem_post(&actuator->bell);
		pthread_join(actuator->thread, NULL);
		sem_destroy(&actuator->bell);
	}
	fnx_push_close(actuator->push);
	if (actuator->owns_fd)
		close(actuator->fd);
	free(actuator->body);
	free(actuator);
	return NULL;
}
