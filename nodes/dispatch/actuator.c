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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bus/push.h"
#include "bus/status.h"
#include "nodes/dispatch/means.h"

enum {
	POLL_NS = 100000,
	RETRY_NS = 250000000, /* until those who are not there are looked for again */
	SLACK_NS = 1000, /* of the polling thread's timer; the system's default is 50 us */
	STACK_SIZE = 256 << 10, /* memory may be locked: no more of it than needed */
};

struct fnx_actuator {
	struct fnx_actuator_config config;
	int fd; /* log */
	int owns_fd;
	int is_plain; /* log: a file on disk */
	struct fnx_push *push; /* zmq */
	struct fnx_means *means; /* udp, serial, trodes */
	int ready; /* whom the means tell is there */
	struct fnx_layout layout;
	void *body; /* [body_size] an encoded decision */
	size_t body_size;
	pthread_t thread;
	int started;
	sem_t bell;
	_Atomic int stopping;
	_Atomic int error;
	struct fnx_histogram latency; /* from the frame that caused it until it was told */
	struct fnx_actuator_ring *ring;
	/* What a predecessor has given and refused may be decided again. */
	uint64_t given_before;
	struct fnx_actuator_key refused_before[FNX_ACTUATOR_REFUSED_KEPT];
	struct fnx_actuator_ring own;
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

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
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
	if (actuator->means) {
		r = fnx_means_tell(actuator->means, command);
		actuator->ready = !r;
		return r;
	}
	r = fnx_codec_encode(&actuator->layout, &command->stamp, &command->decision,
		sizeof(command->decision), actuator->body, actuator->body_size, &size);
	return r ? r : fnx_push_send(actuator->push, actuator->body, size);
}

/* Counted before the slot is given back: whoever sees the slot free sees the count. */
static void done(struct fnx_actuator *actuator, _Atomic uint64_t *count)
{
	struct fnx_actuator_ring *ring = actuator->ring;

	atomic_fetch_add_explicit(count, 1, memory_order_release);
	atomic_fetch_add_explicit(&ring->taken, 1, memory_order_release);
}

/* A line in a plain file does no harm however late it comes. */
static int has_expired(
	const struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	return command->expires_ns && !actuator->is_plain && now_ns() > command->expires_ns;
}

static _Atomic uint64_t *carry_out_one(
	struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	struct fnx_actuator_ring *ring = actuator->ring;
	int r;

	if (has_expired(actuator, command))
		return &ring->expired;
	r = tell(actuator, command);
	if (!r) {
		fnx_histogram_add(
			&actuator->latency, now_ns() - command->decision.cause_publish_ns);
		return &ring->told;
	}
	atomic_store_explicit(&actuator->error, r, memory_order_relaxed);
	return r == -ETIMEDOUT ? &ring->unconfirmed : &ring->failed;
}

/* 1 if there was something. */
static int carry_out(struct fnx_actuator *actuator)
{
	struct fnx_actuator_ring *ring = actuator->ring;
	uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
	uint64_t given = atomic_load_explicit(&ring->given, memory_order_acquire);
	int any = taken != given;

	for (; taken != given; taken++) {
		/* Killed from here on, a successor will not do it again. */
		atomic_store_explicit(&ring->begun, taken + 1, memory_order_release);
		done(actuator, carry_out_one(actuator, &ring->commands[taken % FNX_ACTUATOR_RING]));
	}
	return any;
}

/* Taking over ----------------------------------------------------------------------------- */

/* 1: commands that come late do no harm. */
static int find_plain_file(const struct fnx_actuator *actuator)
{
	struct stat st;

	return actuator->config.type == FNX_ACTUATOR_TYPE_LOG && actuator->owns_fd &&
		!fstat(actuator->fd, &st) && S_ISREG(st.st_mode);
}

/* Writes what of the line the file does not end with already. */
static int complete_line(struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	char line[FNX_ACTUATOR_LINE], end[FNX_ACTUATOR_LINE];
	uint32_t size = fnx_actuator_line(command, line), n = size;
	off_t length = lseek(actuator->fd, 0, SEEK_END);
	off_t from = length > (off_t)size ? length - (off_t)size : 0;
	ssize_t got = length < 0 ? -1 : pread(actuator->fd, end, size, from);

	if (got < 0)
		return -errno;
	if ((uint32_t)got < n)
		n = (uint32_t)got;
	while (n && memcmp(end + got - n, line, n) != 0)
		n--;
	return write_all(actuator->fd, line + n, size - n);
}

/* What a predecessor had given and not done with. Before the thread starts. */
static void settle(struct fnx_actuator *actuator)
{
	struct fnx_actuator_ring *ring = actuator->ring;
	uint64_t given = atomic_load(&ring->given), taken = atomic_load(&ring->taken);
	uint64_t begun = atomic_load(&ring->begun);
	int plain = actuator->is_plain = find_plain_file(actuator);

	actuator->given_before = given;
	memcpy(actuator->refused_before, ring->last_refused, sizeof(ring->last_refused));
	/* Nonsense, or nothing. */
	if (given < taken || given - taken > FNX_ACTUATOR_RING) {
		atomic_store(&ring->taken, given);
		taken = given;
	}
	if (begun == taken + 1 && begun <= given) {
		if (!plain)
			done(actuator, &ring->unknown);
		else if (complete_line(actuator, &ring->commands[taken % FNX_ACTUATOR_RING]))
			done(actuator, &ring->failed);
		else
			done(actuator, &ring->told);
		taken++;
	}
	for (; !plain && taken < given; taken++)
		done(actuator, &ring->lost);
	atomic_store(&ring->begun, taken);
}

static void doze_until_retry(struct fnx_actuator *actuator)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += RETRY_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (sem_clockwait(&actuator->bell, CLOCK_MONOTONIC, &until) && errno == EINTR)
		;
}

static void prepare(struct fnx_actuator *actuator)
{
	if (actuator->means && !actuator->ready)
		actuator->ready = !fnx_means_prepare(actuator->means);
}

static void doze(struct fnx_actuator *actuator)
{
	const struct timespec interval = {.tv_nsec = POLL_NS};

	if (actuator->config.wake == FNX_ACTUATOR_POLL)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &interval, NULL);
	else if (actuator->means && !actuator->ready)
		doze_until_retry(actuator);
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
		prepare(actuator);
		doze(actuator);
	}
}

/* Giving: the node ------------------------------------------------------------------------ */

static struct fnx_actuator_key key_of(const struct fnx_actuator_command *command)
{
	return (struct fnx_actuator_key){.seq_plus_1 = command->stamp.seq + 1,
		.sample_time = command->stamp.sample_time,
		.rule = command->decision.rule};
}

static int is_same(const struct fnx_actuator_key *a, const struct fnx_actuator_key *b)
{
	return a->seq_plus_1 == b->seq_plus_1 && a->sample_time == b->sample_time &&
		a->rule == b->rule;
}

/* 1: a predecessor that was killed before it could commit has given this one. */
static int was_given(
	const struct fnx_actuator *actuator, uint64_t given, const struct fnx_actuator_key *key)
{
	/* Those of the predecessor's that are still in the ring. */
	uint64_t from = given > FNX_ACTUATOR_RING ? given - FNX_ACTUATOR_RING : 0;

	for (uint64_t i = from; i < actuator->given_before; i++) {
		struct fnx_actuator_key other =
			key_of(&actuator->ring->commands[i % FNX_ACTUATOR_RING]);

		if (is_same(&other, key))
			return 1;
	}
	return 0;
}

static int was_refused(const struct fnx_actuator *actuator, const struct fnx_actuator_key *key)
{
	for (unsigned i = 0; i < FNX_ACTUATOR_REFUSED_KEPT; i++)
		if (is_same(&actuator->refused_before[i], key))
			return 1;
	return 0;
}

int fnx_actuator_was_given(
	const struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	struct fnx_actuator_key key = key_of(command);

	return was_given(
		actuator, atomic_load_explicit(&actuator->ring->given, memory_order_relaxed), &key);
}

int fnx_actuator_give(struct fnx_actuator *actuator, const struct fnx_actuator_command *command)
{
	struct fnx_actuator_ring *ring = actuator->ring;
	struct fnx_actuator_key key = key_of(command);
	uint64_t given = atomic_load_explicit(&ring->given, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);

	if (was_given(actuator, given, &key))
		return 0;
	if (was_refused(actuator, &key))
		return -ENOBUFS;
	if (given - taken == FNX_ACTUATOR_RING) {
		uint64_t n = atomic_load_explicit(&ring->refused, memory_order_relaxed);

		ring->last_refused[n % FNX_ACTUATOR_REFUSED_KEPT] = key;
		atomic_store_explicit(&ring->refused, n + 1, memory_order_relaxed);
		return -ENOBUFS;
	}
	ring->commands[given % FNX_ACTUATOR_RING] = *command;
	/* From here on it is given, whatever becomes of the giver. */
	atomic_store_explicit(&ring->given, given + 1, memory_order_release);
	if (actuator->config.wake == FNX_ACTUATOR_BELL)
		sem_post(&actuator->bell);
	return 0;
}

struct fnx_actuator_counts fnx_actuator_counts(const struct fnx_actuator *actuator)
{
	const struct fnx_actuator_ring *ring = actuator->ring;
	struct fnx_actuator_counts counts;

	/* In this order, so that told + failed never exceeds given. */
	counts.told = atomic_load_explicit(&ring->told, memory_order_acquire);
	counts.failed = atomic_load_explicit(&ring->failed, memory_order_acquire);
	counts.lost = atomic_load_explicit(&ring->lost, memory_order_acquire);
	counts.unknown = atomic_load_explicit(&ring->unknown, memory_order_acquire);
	counts.expired = atomic_load_explicit(&ring->expired, memory_order_acquire);
	counts.unconfirmed = atomic_load_explicit(&ring->unconfirmed, memory_order_acquire);
	counts.error = atomic_load_explicit(&actuator->error, memory_order_relaxed);
	counts.refused = atomic_load_explicit(&ring->refused, memory_order_relaxed);
	counts.given = atomic_load_explicit(&ring->given, memory_order_acquire);
	return counts;
}

struct fnx_actuator_latency fnx_actuator_latency(const struct fnx_actuator *actuator)
{
	const struct fnx_histogram *histogram = &actuator->latency;

	return (struct fnx_actuator_latency){
		.n = atomic_load_explicit(&histogram->count, memory_order_relaxed),
		.p50_us = (double)fnx_histogram_quantile(histogram, 0.5) / 1e3,
		.p99_us = (double)fnx_histogram_quantile(histogram, 0.99) / 1e3,
		.p999_us = (double)fnx_histogram_quantile(histogram, 0.999) / 1e3,
	};
}

/* Opening and closing --------------------------------------------------------------------- */

static int open_log(struct fnx_actuator *actuator)
{
	const char *file = actuator->config.file;

	if (!file || !file[0]) {
		actuator->fd = STDERR_FILENO;
		return 0;
	}
	/* Read, too: a predecessor's last line may be half written. */
	actuator->fd = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
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
	actuator->ring = config->ring ? config->ring : &actuator->own;
	r = config->type == FNX_ACTUATOR_TYPE_LOG       ? open_log(actuator)
		: config->type == FNX_ACTUATOR_TYPE_ZMQ ? open_zmq(actuator)
							: fnx_means_open(config, &actuator->means);
	if (!r) {
		settle(actuator);
		r = start(actuator);
	}
	/* The caller's strings may go. */
	actuator->config.file = actuator->config.endpoint = NULL;
	actuator->config.device = actuator->config.text = NULL;
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
	fnx_means_close(actuator->means);
	if (actuator->owns_fd)
		close(actuator->fd);
	free(actuator->body);
	free(actuator);
	return NULL;
}
