/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The floors: the least that a message between two cores can cost here, with nothing around it. A
 * ring of cache lines in shared memory holds the messages; what differs is how the other side
 * learns of one.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/peers.h"

struct end {
	struct bench_run *run;
	unsigned out, in; /* ways */
	uint64_t n_sent, n_taken;
	int epoll_fd;
};

static struct bench_floor_slot *slot_of(struct end *end, unsigned way, uint64_t n)
{
	return &end->run->slots[way][n % BENCH_FLOOR_SLOTS];
}

static int floor_open(struct bench_run *run, unsigned index, void **ret_end)
{
	struct end *end = calloc(1, sizeof(*end));
	struct epoll_event event = {.events = EPOLLIN};

	if (!end)
		return -ENOMEM;
	*end = (struct end){.run = run, .out = index ? 1 : 0, .in = index ? 0 : 1};
	end->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (run->plan.fds[2 * end->in])
		epoll_ctl(end->epoll_fd, EPOLL_CTL_ADD, run->plan.fds[2 * end->in], &event);
	*ret_end = end;
	return 0;
}

static struct bench_message *floor_loan(void *handle)
{
	struct end *end = handle;

	return &slot_of(end, end->out, end->n_sent)->message;
}

static void put_line(struct end *end)
{
	struct bench_floor_slot *slot = slot_of(end, end->out, end->n_sent);

	/* release: the message; pairs with the acquire in there() */
	atomic_store_explicit(&slot->seq_plus_1, ++end->n_sent, memory_order_release);
}

static int there(struct end *end)
{
	struct bench_floor_slot *slot = slot_of(end, end->in, end->n_taken);

	return atomic_load_explicit(&slot->seq_plus_1, memory_order_acquire) == end->n_taken + 1;
}

static const struct bench_message *take(struct end *end)
{
	return &slot_of(end, end->in, end->n_taken++)->message;
}

static void floor_close(void *handle)
{
	struct end *end = handle;

	close(end->epoll_fd);
	free(end);
}

/* One cache line each way, and nothing else
 * ---------------------------------------------------------------- */

/* The same two lines again and again, as a bare ping-pong has it: the sequence number tells new
 * from old. */
static struct bench_message *line_loan(void *handle)
{
	struct end *end = handle;

	return &end->run->slots[end->out][0].message;
}

static int line_send(void *handle)
{
	struct end *end = handle;

	atomic_store_explicit(
		&end->run->slots[end->out][0].seq_plus_1, ++end->n_sent, memory_order_release);
	return 0;
}

static const struct bench_message *line_receive(void *handle)
{
	struct end *end = handle;
	struct bench_floor_slot *slot = &end->run->slots[end->in][0];

	while (atomic_load_explicit(&slot->seq_plus_1, memory_order_acquire) != end->n_taken + 1)
		bench_pause();
	end->n_taken++;
	return &slot->message;
}

/* Two cache lines each way
 * ------------------------------------------------------------------------------------ */

/* A ring of words, and a ring of messages, each in lines of their own: the least that a message
 * costs which does not lie in the line that tells of it. */
enum {
	WORDS = 256,
	MESSAGES = 64,
};

static struct bench_floor_slot *message_slot(struct end *end, unsigned way, uint64_t n)
{
	return &end->run->slots[way][WORDS + n % MESSAGES];
}

static struct bench_message *two_loan(void *handle)
{
	struct end *end = handle;

	return &message_slot(end, end->out, end->n_sent)->message;
}

static int two_send(void *handle)
{
	struct end *end = handle;
	struct bench_floor_slot *slot = &end->run->slots[end->out][end->n_sent % WORDS];

	atomic_store_explicit(&slot->seq_plus_1, ++end->n_sent, memory_order_release);
	return 0;
}

static const struct bench_message *two_receive(void *handle)
{
	struct end *end = handle;
	struct bench_floor_slot *slot = &end->run->slots[end->in][end->n_taken % WORDS];
	struct bench_floor_slot *message = message_slot(end, end->in, end->n_taken);

	for (;;) {
		__builtin_prefetch(message);
		if (atomic_load_explicit(&slot->seq_plus_1, memory_order_acquire) ==
			end->n_taken + 1)
			break;
		bench_pause();
	}
	end->n_taken++;
	return &message->message;
}

/* Futex
 * --------------------------------------------------------------------------------------------- */

static int futex_send(void *handle)
{
	struct end *end = handle;
	_Atomic uint32_t *word = &end->run->words[end->out][0];

	put_line(end);
	atomic_store(word, (uint32_t)end->n_sent);
	return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) < 0 ? -errno : 0;
}

static const struct bench_message *futex_receive(void *handle)
{
	struct end *end = handle;
	_Atomic uint32_t *word = &end->run->words[end->in][0];

	while (!there(end)) {
		uint32_t seen = atomic_load(word);

		if (seen == (uint32_t)end->n_taken)
			syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
	}
	return take(end);
}

/* Eventfd and epoll
 * --------------------------------------------------------------------------------- */

static int eventfd_prepare(struct bench_run *run)
{
	for (unsigned way = 0; way < 2; way++) {
		run->plan.fds[2 * way] = eventfd(0, EFD_NONBLOCK);
		if (run->plan.fds[2 * way] < 0)
			return -errno;
	}
	return 0;
}

static void fds_clean(struct bench_run *run)
{
	for (unsigned i = 0; i < 4; i++) {
		if (run->plan.fds[i] > 0)
			close(run->plan.fds[i]);
		run->plan.fds[i] = 0;
	}
}

static int event_send(void *handle)
{
	struct end *end = handle;

	put_line(end);
	return eventfd_write(end->run->plan.fds[2 * end->out], 1);
}

static const struct bench_message *event_receive(void *handle)
{
	struct end *end = handle;
	struct epoll_event event;
	eventfd_t count;

	while (!there(end)) {
		if (epoll_wait(end->epoll_fd, &event, 1, -1) < 0 && errno != EINTR)
			return NULL;
		eventfd_read(end->run->plan.fds[2 * end->in], &count);
	}
	return take(end);
}

/* Pipe
 * ---------------------------------------------------------------------------------------------- */

static int pipe_prepare(struct bench_run *run)
{
	if (pipe(&run->plan.fds[0]) < 0 || pipe(&run->plan.fds[2]) < 0)
		return -errno;
	return 0;
}

static int pipe_send(void *handle)
{
	struct end *end = handle;

	put_line(end);
	return write(end->run->plan.fds[2 * end->out + 1], "", 1) == 1 ? 0 : -EIO;
}

static const struct bench_message *pipe_receive(void *handle)
{
	struct end *end = handle;
	char byte[64];

	while (!there(end))
		if (read(end->run->plan.fds[2 * end->in], byte, sizeof(byte)) < 0)
			return NULL;
	return take(end);
}

const struct bench_peer bench_floor_line = {
	.name = "cache line",
	.how = "one word and the message in one cache line, both sides look at it without pause",
	.kinds = BENCH_PING_PONG,
	.spins = 1,
	.only_spins = 1,
	.open = floor_open,
	.loan = line_loan,
	.send = line_send,
	.receive = line_receive,
	.close = floor_close,
};

const struct bench_peer bench_floor_two_lines = {
	.name = "two lines",
	.how = "one word in one cache line, the message in another, both sides look without pause",
	.kinds = BENCH_PING_PONG,
	.spins = 1,
	.only_spins = 1,
	.open = floor_open,
	.loan = two_loan,
	.send = two_send,
	.receive = two_receive,
	.close = floor_close,
};

const struct bench_peer bench_floor_futex = {
	.name = "futex",
	.how = "message in shared memory, one FUTEX_WAKE each",
	.kinds = BENCH_PING_PONG | BENCH_PACED,
	.open = floor_open,
	.loan = floor_loan,
	.send = futex_send,
	.receive = futex_receive,
	.close = floor_close,
};

const struct bench_peer bench_floor_eventfd = {
	.name = "eventfd",
	.how = "message in shared memory, one eventfd write each; epoll_wait, then read",
	.kinds = BENCH_PING_PONG | BENCH_PACED,
	.prepare = eventfd_prepare,
	.clean = fds_clean,
	.open = floor_open,
	.loan = floor_loan,
	.send = event_send,
	.receive = event_receive,
	.close = floor_close,
};

const struct bench_peer bench_floor_pipe = {
	.name = "pipe",
	.how = "message in shared memory, one byte through a pipe each; blocking read",
	.kinds = BENCH_PING_PONG | BENCH_PACED,
	.prepare = pipe_prepare,
	.clean = fds_clean,
	.open = floor_open,
	.loan = floor_loan,
	.send = pipe_send,
	.receive = pipe_receive,
	.close = floor_close,
};
