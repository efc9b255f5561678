/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zmq.h>

#include "bus/context.h"

enum {
	RECONNECT_MS = 20
};

struct fnx_request {
	void *socket;
	char endpoint[256];
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int await(void *socket, short events, int64_t end_ms)
{
	zmq_pollitem_t item = {.socket = socket, .events = events};

	for (;;) {
		int64_t left_ms = end_ms - now_ms();
		int r = zmq_poll(&item, 1, left_ms > 0 ? (long)left_ms : 0);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (left_ms <= 0)
			return -ETIMEDOUT;
	}
}

static int take(void *socket, void *body, size_t body_size, size_t *ret_size)
{
	int n = zmq_recv(socket, body, body_size, ZMQ_DONTWAIT);

	if (n < 0)
		return -errno;
	*ret_size = (size_t)n;
	return (size_t)n > body_size ? -EMSGSIZE : 0;
}

int fnx_request_hear(
	const char *endpoint, int timeout_ms, void *message, size_t message_size, size_t *ret_size)
{
	int64_t end_ms = now_ms() + timeout_ms;
	void *socket;
	int r = fnx_context_socket(ZMQ_SUB, &socket);

	if (r)
		return r;
	if (zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) || zmq_connect(socket, endpoint))
		r = -errno;
	if (!r)
		r = await(socket, ZMQ_POLLIN, end_ms);
	if (!r)
		r = take(socket, message, message_size, ret_size);
	fnx_context_close(socket);
	return r;
}

static int connect_anew(struct fnx_request *request)
{
	int r;

	request->socket = fnx_context_close(request->socket);
	r = fnx_context_socket(ZMQ_REQ, &request->socket);
	if (!r)
		r = fnx_context_set(request->socket, ZMQ_IMMEDIATE, 1);
	if (!r)
		r = fnx_context_set(request->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	if (!r && zmq_connect(request->socket, request->endpoint))
		r = -errno;
	return r;
}

int fnx_request_open(const char *endpoint, struct fnx_request **ret_request)
{
	struct fnx_request *request;
	int r;

	if (strlen(endpoint) >= sizeof(request->endpoint))
		return -ENAMETOOLONG;
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	strcpy(request->endpoint, endpoint);
	r = connect_anew(request);
	if (r)
		fnx_request_close(request);
	else
		*ret_request = request;
	return r;
}

int fnx_request_await(struct fnx_request *request, int timeout_ms)
{
	return request->socket ? await(request->socket, ZMQ_POLLOUT, now_ms() + timeout_ms)
			       : -ENOTCONN;
}

int fnx_request_ask(struct fnx_request *request, const void *body, size_t size, int timeout_ms,
	void *reply, size_t reply_size, size_t *ret_size)
{
	int64_t end_ms = now_ms() + timeout_ms;
	int r = request->socket ? 0 : connect_anew(request);

	if (r)
		return r;
	if (zmq_send(request->socket, body, size, ZMQ_DONTWAIT) < 0)
		return -errno;
	r = await(request->socket, ZMQ_POLLIN, end_ms);
	if (!r)
		return take(request->socket, reply, reply_size, ret_size);
	/* What went wrong is told; what connecting anew answers, by the next call. */
	if (connect_anew(request))
		request->socket = fnx_context_close(request->socket);
	return r;
}

struct fnx_request *fnx_request_close(struct fnx_request *request)
{
	if (request) {
		fnx_context_close(request->socket);
		free(request);
	}
	return NULL;
}
