/* SPDX-License-Identifier: BSD-3-Clause */
/* nng over ipc: PAIR for one reader; to several a PUSH/PULL pair each, since its PUB drops. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "tests/bench/peers.h"

struct end {
	struct bench_run *run;
	unsigned n;
	nng_socket sockets[BENCH_READERS_MAX];
	unsigned char *out;
	nng_msg *in;
};

static int open_socket(nng_socket *socket, const char *address, int listening)
{
	int r = nng_pair0_open(socket);

	if (r)
		return r;
	nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ, 0);
	nng_socket_set_ms(*socket, NNG_OPT_RECVTIMEO, 10000);
	nng_socket_set_ms(*socket, NNG_OPT_SENDTIMEO, 10000);
	nng_socket_set_int(*socket, NNG_OPT_SENDBUF, 1000);
	nng_socket_set_int(*socket, NNG_OPT_RECVBUF, 1000);
	return listening ? nng_listen(*socket, address, NULL, 0)
			 : nng_dial(*socket, address, NULL, NNG_FLAG_NONBLOCK);
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end)
{
	struct end *end = calloc(1, sizeof(*end));
	char address[BENCH_DIR_MAX + 32];

	if (!end)
		return -ENOMEM;
	end->run = run;
	end->n = index ? 1 : run->plan.n_readers;
	end->out = calloc(1, run->plan.size);
	*ret_end = end;
	for (unsigned i = 0; i < end->n; i++) {
		snprintf(address, sizeof(address), "ipc://%s/nng%u", run->plan.dir,
			index ? index - 1 : i);
		if (open_socket(&end->sockets[i], address, index == 0))
			return -EIO;
	}
	return end->out ? 0 : -ENOMEM;
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;

	return (struct bench_message *)(void *)end->out;
}

static int send_message(void *handle)
{
	struct end *end = handle;

	for (unsigned i = 0; i < end->n; i++)
		if (nng_send(end->sockets[i], end->out, end->run->plan.size, 0))
			return -EIO;
	return 0;
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;
	int flags = end->run->plan.spin ? NNG_FLAG_NONBLOCK : 0, r;

	do {
		r = nng_recvmsg(end->sockets[0], &end->in, flags);
	} while (r == NNG_EAGAIN);
	return r ? NULL : nng_msg_body(end->in);
}

static void release(void *handle)
{
	struct end *end = handle;

	nng_msg_free(end->in);
}

static void close_end(void *handle)
{
	struct end *end = handle;

	for (unsigned i = 0; i < end->n; i++)
		nng_close(end->sockets[i]);
	free(end->out);
	free(end);
}

const struct bench_peer bench_nng = {
	.name = "nng",
	.how = "ipc, PAIR; to several readers one PAIR each",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_FAN_OUT | BENCH_PACED,
	.spins = 1,
	.open = open_end,
	.loan = loan,
	.send = send_message,
	.receive = receive,
	.release = release,
	.close = close_end,
};
