/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `busy` is what a lock would be, but for the waiting: the giver who finds it taken leaves the act to
 * the worker, and the worker finds it taken only by an act of its own. Releasing it pairs with the
 * next claim: whoever has claimed it may use file and socket.
 */
#include "nodes/dispatch/actuator.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bus/fetch.h"
#include "bus/push.h"
#include "nodes/dispatch/means.h"

#define PREPARING (UINT64_MAX - 1)
#define STUCK UINT64_MAX

static const int64_t grace_ns = 1000000000; /* beyond its own time-out */

struct fnx_actuator {
	struct fnx_actuator_config config;
	int fd; /* log */
	int owns_fd;
	int is_plain; /* log: a file on disk */
	struct fnx_push *push; /* zmq */
	struct fnx_means *means; /* udp, serial, trodes, stage */
	struct fnx_layout layout;
	void *body; /* [body_size] an encoded decision */
	size_t body_size;
	_Atomic uint64_t busy;
	_Atomic int64_t since_ns; /* when a step was begun last */
	_Atomic int ready; /* whom the means tell is there */
	_Atomic int error;
	struct fnx_histogram latency;
	struct fnx_book_giver giver;
	struct fnx_book own;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* A log's line --------------------------------------------------------------------------- */

uint32_t fnx_actuator_line(const struct fnx_act_command *command, char *ret_line)
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

/* 1: commands that come late do no harm. */
static int find_plain_file(const struct fnx_actuator *actuator)
{
	struct stat st;

	return actuator->config.type == FNX_ACTUATOR_TYPE_LOG && actuator->owns_fd &&
		!fstat(actuator->fd, &st) && S_ISREG(st.st_mode);
}

/* Writes what of the line the file does not end with already. */
static int complete_line(struct fnx_actuator *actuator, const struct fnx_act_command *command)
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

/* Carrying out ---------------------------------------------------------------------------- */

static int claim(struct fnx_actuator *actuator, uint64_t who)
{
	uint64_t none = 0;

	return atomic_compare_exchange_strong_explicit(
		&actuator->busy, &none, who, memory_order_acquire, memory_order_relaxed);
}

/* 0: it has been taken away. */
static int let_go(struct fnx_actuator *actuator, uint64_t who)
{
	return atomic_compare_exchange_strong_explicit(
		&actuator->busy, &who, 0, memory_order_acq_rel, memory_order_relaxed);
}

static struct fnx_act *act_of(struct fnx_actuator *actuator, uint64_t n)
{
	return fnx_book_act(actuator->giver.book, n);
}

void fnx_actuator_refuse(
	struct fnx_actuator *actuator, uint64_t n, enum fnx_outcome_fate fate, int error)
{
	if (fate == FNX_OUTCOME_FAILED)
		atomic_store_explicit(&actuator->error, error, memory_order_relaxed);
	fnx_book_end(actuator->giver.book, n, fate, error, now_ns());
}

/* The act in hand has ended. Returns `error`. */
static int end(struct fnx_actuator *actuator, uint64_t n, enum fnx_outcome_fate fate, int error)
{
	struct fnx_act *act = act_of(actuator, n);

	if (!let_go(actuator, n + 1))
		return -ECANCELED;
	if (fate == FNX_OUTCOME_TOLD)
		fnx_histogram_add(&actuator->latency,
			atomic_load_explicit(&act->told_ns, memory_order_relaxed) -
				act->command.decision.cause_publish_ns);
	fnx_actuator_refuse(actuator, n, fate, error);
	return error;
}

/* A line in a plain file does no harm however late it comes. */
static int has_expired(
	const struct fnx_actuator *actuator, const struct fnx_act_command *command, int64_t at_ns)
{
	return command->expires_ns && !actuator->is_plain && at_ns > command->expires_ns;
}

static int transmit(
	struct fnx_actuator *actuator, const struct fnx_act_command *command, int may_wait)
{
	char line[FNX_ACTUATOR_LINE];
	size_t size;
	int r;

	if (actuator->config.type == FNX_ACTUATOR_TYPE_LOG)
		return write_all(actuator->fd, line, fnx_actuator_line(command, line));
	if (actuator->means)
		return fnx_means_send(actuator->means, command, may_wait);
	r = fnx_codec_encode(&actuator->layout, &command->stamp, &command->decision,
		sizeof(command->decision), actuator->body, actuator->body_size, &size);
	return r ? r : fnx_push_send(actuator->push, actuator->body, size);
}

static enum fnx_outcome_fate fate_of(int r)
{
	return !r                 ? FNX_OUTCOME_TOLD
		: r == -ETIMEDOUT ? FNX_OUTCOME_UNCONFIRMED
				  : FNX_OUTCOME_FAILED;
}

static int is_in_hand(const struct fnx_actuator *actuator, uint64_t n)
{
	/* What was read before is then of this act. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&actuator->busy, memory_order_acquire) == n + 1;
}

enum {
	TOLD, /* and there is something to wait for */
	MUST_WAIT,
	OVER, /* the act has ended, or was taken away */
};

static int tell(struct fnx_actuator *actuator, uint64_t n, int may_wait, int *ret_error)
{
	struct fnx_act *act = act_of(actuator, n);
	/* If the act is taken away its place may become another's. */
	const struct fnx_act_command command = act->command;
	uint32_t given = FNX_ACT_GIVEN;
	int64_t begun_ns = now_ns();
	int r;

	if (!is_in_hand(actuator, n) || has_expired(actuator, &command, begun_ns)) {
		*ret_error = end(actuator, n, FNX_OUTCOME_EXPIRED, -ETIME);
		return OVER;
	}
	/* Killed from here on, a successor will not do it again. Taken away a moment ago, it has ended
	 * already. */
	if (!atomic_compare_exchange_strong_explicit(&act->state, &given, FNX_ACT_BEGUN,
		    memory_order_acq_rel, memory_order_relaxed)) {
		*ret_error = end(actuator, n, FNX_OUTCOME_EXPIRED, -ETIME);
		return OVER;
	}
	atomic_store_explicit(&act->begun_ns, begun_ns, memory_order_relaxed);
	r = transmit(actuator, &command, may_wait);
	if (r == -EAGAIN && !may_wait) {
		atomic_store_explicit(&act->state, FNX_ACT_GIVEN, memory_order_release);
		return MUST_WAIT;
	}
	atomic_store_explicit(&actuator->ready, r >= 0, memory_order_relaxed);
	if ((r >= 0 || r == -ETIMEDOUT) && is_in_hand(actuator, n))
		atomic_store_explicit(&act->told_ns, now_ns(), memory_order_release);
	if (r == FNX_MEANS_SENT)
		return TOLD;
	*ret_error = end(actuator, n, fate_of(r), r);
	return OVER;
}

static void begin(struct fnx_actuator *actuator)
{
	atomic_store_explicit(&actuator->since_ns, now_ns(), memory_order_relaxed);
}

void fnx_actuator_fetch(const struct fnx_actuator *actuator)
{
	fnx_fetch(actuator, offsetof(struct fnx_actuator, latency));
	fnx_fetch(&actuator->giver, sizeof(actuator->giver));
	if (actuator->means)
		fnx_means_fetch(actuator->means);
}

int fnx_actuator_claim(struct fnx_actuator *actuator, uint64_t n)
{
	begin(actuator);
	return claim(actuator, n + 1);
}

int fnx_actuator_tell(struct fnx_actuator *actuator, uint64_t n)
{
	int error;

	return tell(actuator, n, 0, &error) == OVER;
}

int fnx_actuator_actuate(struct fnx_actuator *actuator, uint64_t n)
{
	int error = 0;

	begin(actuator);
	/* Given up a moment ago, with all that waited: this one was out of the queue already. */
	if (!claim(actuator, n + 1)) {
		fnx_actuator_refuse(actuator, n, FNX_OUTCOME_EXPIRED, -ETIME);
		return -ECANCELED;
	}
	tell(actuator, n, 1, &error);
	return error;
}

int fnx_actuator_confirm(struct fnx_actuator *actuator, uint64_t n)
{
	int error, r;

	/* Ended already, or taken away. */
	if (atomic_load_explicit(&actuator->busy, memory_order_acquire) != n + 1)
		return 0;
	begin(actuator);
	if (atomic_load_explicit(&act_of(actuator, n)->state, memory_order_relaxed) ==
			FNX_ACT_GIVEN &&
		tell(actuator, n, 1, &error) == OVER)
		return error;
	r = fnx_means_confirm(actuator->means);
	atomic_store_explicit(&actuator->ready, !r, memory_order_relaxed);
	return end(actuator, n, fate_of(r), r);
}

int fnx_actuator_is_unready(const struct fnx_actuator *actuator)
{
	return actuator->means && !atomic_load_explicit(&actuator->ready, memory_order_relaxed);
}

int fnx_actuator_prepare(struct fnx_actuator *actuator)
{
	int r;

	begin(actuator);
	/* Who hung has come to his next task. */
	let_go(actuator, STUCK);
	if (!fnx_actuator_is_unready(actuator) || !claim(actuator, PREPARING))
		return 0;
	r = fnx_means_prepare(actuator->means);
	atomic_store_explicit(&actuator->ready, !r, memory_order_relaxed);
	let_go(actuator, PREPARING);
	return 0;
}

/* One that hangs -------------------------------------------------------------------------- */

int fnx_actuator_give_up(struct fnx_actuator *actuator, uint64_t *ret_n)
{
	uint64_t who = atomic_load_explicit(&actuator->busy, memory_order_acquire);
	struct fnx_act *act;

	if (!who || who == STUCK ||
		!atomic_compare_exchange_strong_explicit(
			&actuator->busy, &who, STUCK, memory_order_acq_rel, memory_order_relaxed))
		return 0;
	*ret_n = UINT64_MAX;
	if (who == PREPARING)
		return 1;
	*ret_n = who - 1;
	act = act_of(actuator, *ret_n);
	if (atomic_load_explicit(&act->told_ns, memory_order_acquire))
		fnx_actuator_refuse(actuator, *ret_n, FNX_OUTCOME_UNCONFIRMED, -ETIMEDOUT);
	else
		fnx_actuator_refuse(actuator, *ret_n, FNX_OUTCOME_UNKNOWN, -ETIMEDOUT);
	return 1;
}

int fnx_actuator_is_stuck(const struct fnx_actuator *actuator)
{
	return atomic_load_explicit(&actuator->busy, memory_order_relaxed) == STUCK;
}

int fnx_actuator_hangs(const struct fnx_actuator *actuator, int64_t at_ns)
{
	uint64_t who = atomic_load_explicit(&actuator->busy, memory_order_acquire);

	/* A slow disk, or a pipe that is full, is left its time. */
	return who && who != STUCK && who != PREPARING && actuator->means &&
		at_ns - atomic_load_explicit(&actuator->since_ns, memory_order_relaxed) >
		fnx_means_timeout_ms(actuator->means) * INT64_C(1000000) + grace_ns;
}

/* Looking --------------------------------------------------------------------------------- */

struct fnx_book_giver *fnx_actuator_giver(struct fnx_actuator *actuator)
{
	return &actuator->giver;
}

int fnx_actuator_is_immediate(const struct fnx_actuator *actuator)
{
	return actuator->means && fnx_means_are_immediate(actuator->means);
}

int fnx_actuator_confirms(const struct fnx_actuator *actuator)
{
	return actuator->config.type == FNX_ACTUATOR_TYPE_SERIAL ||
		(actuator->config.type == FNX_ACTUATOR_TYPE_UDP && actuator->config.reply);
}

struct fnx_actuator_counts fnx_actuator_counts(const struct fnx_actuator *actuator)
{
	const struct fnx_book *book = actuator->giver.book;
	struct fnx_actuator_counts counts;

	/* In this order, so that the fates are never more than what was given. */
	for (unsigned i = 0; i < FNX_OUTCOME_FATES; i++)
		counts.fates[i] = atomic_load_explicit(&book->fates[i], memory_order_acquire);
	counts.error = atomic_load_explicit(&actuator->error, memory_order_relaxed);
	counts.refused = atomic_load_explicit(&book->refused, memory_order_relaxed);
	counts.given = atomic_load_explicit(&book->given, memory_order_acquire);
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

/* In a plain file the last line tells whether the act that had begun was carried out, and the others
 * are not too late. */
static void take_over(struct fnx_actuator *actuator)
{
	struct fnx_book *book = actuator->config.book ? actuator->config.book : &actuator->own;

	actuator->is_plain = find_plain_file(actuator);
	fnx_book_take_over(&actuator->giver, book, actuator->is_plain);
	for (uint64_t n = book->reported; actuator->is_plain && n < book->given; n++) {
		const struct fnx_act *act = fnx_book_act(book, n);
		int r;

		if (act->state != FNX_ACT_BEGUN)
			continue;
		r = complete_line(actuator, &act->command);
		fnx_book_end(book, n, fate_of(r), r, now_ns());
	}
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
							: fnx_means_open(config, &actuator->means);
	if (!r)
		take_over(actuator);
	/* What was opened is there; a service must be looked for. */
	atomic_store(&actuator->ready, config->type != FNX_ACTUATOR_TYPE_TRODES);
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
	fnx_push_close(actuator->push);
	fnx_means_close(actuator->means);
	if (actuator->owns_fd)
		close(actuator->fd);
	free(actuator->body);
	free(actuator);
	return NULL;
}
