/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ZeroMQ: PAIR over ipc for ping-pong, PUSH/PULL for one reader, PUB/SUB that blocks rather than
 * drops for several; and PAIR over inproc between two threads.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "tests/bench/peers.h"

struct end {
	struct bench_run *run;
	void *context;
	void *socket;
	int own_context;
	zmq_msg_t in;
	unsigned char *out;
};

static void *shared_context; /* of the threads of one process */

static int socket_type(const struct bench_plan *plan, unsigned index, int inproc)
{
	if (plan->kind == BENCH_PING_PONG || inproc)
		return ZMQ_PAIR;
	if (plan->kind == BENCH_FAN_OUT)
		return index ? ZMQ_SUB : ZMQ_XPUB;
	return index ? ZMQ_PULL : ZMQ_PUSH;
}

/* An XPUB hears of each subscription; PUB/SUB drops what comes before. */
static int await_subscribers(struct end *end)
{
	unsigned char said[8];

	for (uint32_t i = 0; i < end->run->plan.n_readers; i++)
		if (zmq_recv(end->socket, said, sizeof(said), 0) < 0)
			return -zmq_errno();
	return 0;
}

static int set_up(struct end *end, int type)
{
	int one = 1, timeout_ms = 10000;

	zmq_setsockopt(end->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
	zmq_setsockopt(end->socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
	if (type == ZMQ_XPUB) {
		zmq_setsockopt(end->socket, ZMQ_XPUB_NODROP, &one, sizeof(one));
		zmq_setsockopt(end->socket, ZMQ_XPUB_VERBOSE, &one, sizeof(one));
	}
	return type == ZMQ_SUB ? zmq_setsockopt(end->socket, ZMQ_SUBSCRIBE, "", 0) : 0;
}

static int attach(struct end *end, unsigned index, const char *address)
{
	int type = socket_type(&end->run->plan, index, !end->own_context), r;

	end->socket = zmq_socket(end->context, type);
	if (!end->socket || set_up(end, type) < 0)
		return -zmq_errno();
	r = index ? zmq_connect(end->socket, address) : zmq_bind(end->socket, address);
	if (r < 0)
		return -zmq_errno();
	return type == ZMQ_XPUB ? await_subscribers(end) : 0;
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end, int inproc)
{
	struct end *end = calloc(1, sizeof(*end));
	char address[BENCH_DIR_MAX + 32];

	if (!end)
		return -ENOMEM;
	end->run = run;
	end->own_context = !inproc;
	end->context = inproc ? shared_context : zmq_ctx_new();
	end->out = calloc(1, run->plan.size);
	zmq_msg_init(&end->in);
	snprintf(address, sizeof(address), inproc ? "inproc://%s" : "ipc://%s/zmq", run->plan.dir);
	*ret_end = end;
	return end->context && end->out ? attach(end, index, address) : -ENOMEM;
}

static int open_ipc(struct bench_run *run, unsigned index, void **ret_end)
{
	return open_end(run, index, ret_end, 0);
}

static int open_inproc(struct bench_run *run, unsigned index, void **ret_end)
{
	return open_end(run, index, ret_end, 1);
}

static int prepare_inproc(struct bench_run *run)
{
	(void)run;
	shared_context = zmq_ctx_new();
	return shared_context ? 0 : -ENOMEM;
}

static void clean_inproc(struct bench_run *run)
{
	(void)run;
	zmq_ctx_term(shared_context);
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;

	return (struct bench_message *)(void *)end->out;
}

static int send_message(void *handle)
{
	struct end *end = handle;

	return zmq_send(end->socket, end->out, end->run->plan.size, 0) < 0 ? -zmq_errno() : 0;
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;
	int flags = end->run->plan.spin ? ZMQ_DONTWAIT : 0, r;

	do {
		r = zmq_msg_recv(&end->in, end->socket, flags);
	} while (r < 0 && (zmq_errno() == EINTR || (flags && zmq_errno() == EAGAIN)));
	return r < 0 ? NULL : zmq_msg_data(&end->in);
}

static void close_end(void *handle)
{
	struct end *end = handle;
	int linger_ms = 0;

	zmq_msg_close(&end->in);
	zmq_setsockopt(end->socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
	zmq_close(end->socket);
	if (end->own_context)
		zmq_ctx_term(end->context);
	free(end->out);
	free(end);
}

const struct bench_peer bench_zmq = {
	.name = "ZeroMQ",
	.how = "ipc: PAIR, PUSH/PULL, XPUB (no drop)/SUB",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_FAN_OUT | BENCH_PACED,
	.spins = 1,
	.open = open_ipc,
	.loan = loan,
	.send = send_message,
	.receive = receive,
	.close = close_end,
};

const struct bench_peer bench_zmq_inproc = {
	.name = "ZeroMQ inproc",
	.how = "PAIR between two threads of one process",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_PACED,
	.spins = 1,
	.threads = 1,
	.prepare = prepare_inproc,
	.clean = clean_inproc,
	.open = open_inproc,
	.loan = loan,
	.send = send_message,
	.receive = receive,
	.close = close_end,
};
