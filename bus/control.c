/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request is one part from a DEALER, or an empty part and one from a REQ, so that a script's
 * plain REQ socket will do. ROUTER puts the sender's identity in front; the parts before the body
 * are the envelope, kept for the reply. Anything else is read to its end and dropped.
 */
#include "bus/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "bus/context.h"
#include "bus/presence.h"

enum {
	IDENTITY_MAX = 255,
	QUEUE_MAX = 16, /* messages waiting, per client */
	RECONNECT_MS = 10, /* of a client whose node is being restarted */
};

struct fnx_control {
	void *socket;
	uint64_t n_dropped;
	size_t identity_size; /* 0: no request is open */
	int delimiter; /* the open request came from a REQ */
	int fd;
	char path[FNX_SOCKET_PATH_MAX];
	unsigned char identity[IDENTITY_MAX];
	unsigned char body[FNX_CONTROL_BODY_MAX];
};

/* The node's end
 * ------------------------------------------------------------------------------------- */

static int control_bind(struct fnx_control *control)
{
	int64_t size_max = 4 * FNX_CONTROL_BODY_MAX;
	int r = fnx_context_set(control->socket, ZMQ_RCVHWM, QUEUE_MAX);

	if (r == 0)
		r = fnx_context_set(control->socket, ZMQ_SNDHWM, QUEUE_MAX);
	/* A client that comes back under the identity it had replaces its dead self. */
	if (r == 0)
		r = fnx_context_set(control->socket, ZMQ_ROUTER_HANDOVER, 1);
	if (r == 0 &&
		zmq_setsockopt(control->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) < 0)
		r = -errno;
	if (r == 0)
		r = fnx_context_fd(control->socket, &control->fd);
	if (r == 0)
		r = fnx_context_bind_ipc(control->socket, control->path);
	return r;
}

int fnx_control_open(const struct fnx_bus *bus, const char *node, struct fnx_control **ret)
{
	struct fnx_control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	r = fnx_bus_path(bus->run_dir, node, ".ctl", control->path, sizeof(control->path));
	if (r == 0)
		r = fnx_context_socket(ZMQ_ROUTER, &control->socket);
	if (r == 0)
		r = control_bind(control);
	if (r < 0) {
		fnx_context_close(control->socket);
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

int fnx_control_fd(const struct fnx_control *control)
{
	return control->fd;
}

static int has_more(void *socket)
{
	int more = 0;
	size_t size = sizeof(more);

	return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

/* One part. Returns its size, which may be more than was kept of it. */
static int take_part(void *socket, void *ret_part, size_t size)
{
	int n;

	do {
		n = zmq_recv(socket, ret_part, size, ZMQ_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void skip_parts(void *socket)
{
	unsigned char part[1];

	while (has_more(socket) && take_part(socket, part, sizeof(part)) >= 0)
		;
}

/* 1: a request; 0: a message that is none, read to its end; negative: nothing is there. */
static int take_message(struct fnx_control *control, size_t *ret_size)
{
	void *socket = control->socket;
	int size, identity_size = take_part(socket, control->identity, sizeof(control->identity));

	if (identity_size < 0)
		return identity_size;
	control->delimiter = 0;
	size = has_more(socket) ? take_part(socket, control->body, sizeof(control->body)) : -1;
	if (size == 0 && has_more(socket)) {
		control->delimiter = 1;
		size = take_part(socket, control->body, sizeof(control->body));
	}
	if (size < 0 || size > FNX_CONTROL_BODY_MAX || has_more(socket)) {
		skip_parts(socket);
		return 0;
	}
	control->identity_size = (size_t)identity_size;
	*ret_size = (size_t)size;
	return 1;
}

int fnx_control_take(struct fnx_control *control, const void **ret_body, size_t *ret_size)
{
	int r;

	control->identity_size = 0;
	for (;;) {
		r = take_message(control, ret_size);
		if (r == 1) {
			*ret_body = control->body;
			return 1;
		}
		if (r < 0)
			return r == -EAGAIN ? 0 : r;
		control->n_dropped++;
	}
}

static int send_part(void *socket, const void *part, size_t size, int flags)
{
	int n;

	do {
		n = zmq_send(socket, part, size, flags | ZMQ_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int fnx_control_reply(struct fnx_control *control, const void *body, size_t size)
{
	int r;

	if (control->identity_size == 0)
		return -EINVAL;
	/* ROUTER drops by itself what is for a client that is gone, or does not read. */
	r = send_part(control->socket, control->identity, control->identity_size, ZMQ_SNDMORE);
	if (r == 0 && control->delimiter)
		r = send_part(control->socket, "", 0, ZMQ_SNDMORE);
	if (r == 0)
		r = send_part(control->socket, body, size, 0);
	control->identity_size = 0;
	/* Sending may have taken in news of requests, and with them what makes the descriptor
	 * readable. */
	return r == -EAGAIN || r == -EHOSTUNREACH ? 0 : r;
}

uint64_t fnx_control_dropped(const struct fnx_control *control)
{
	return control->n_dropped;
}

struct fnx_control *fnx_control_close(struct fnx_control *control)
{
	if (!control)
		return NULL;
	unlink(control->path);
	fnx_context_close(control->socket);
	free(control);
	return NULL;
}

/* The client's end
 * ----------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for_reply(void *socket, int timeout_ms)
{
	zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
	int64_t end_ms = now_ms() + timeout_ms, left_ms = timeout_ms;
	int r;

	for (;;) {
		r = zmq_poll(&item, 1, (long)left_ms);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		left_ms = end_ms - now_ms();
		if (left_ms <= 0)
			return -ETIMEDOUT;
	}
}

static int take_reply(void *socket, void *reply, size_t reply_size, size_t *ret_size)
{
	zmq_msg_t message;
	size_t size;
	int r = 0;

	zmq_msg_init(&message);
	if (zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) < 0) {
		r = -errno;
	} else {
		size = zmq_msg_size(&message);
		if (size > reply_size)
			r = -EMSGSIZE;
		else
			memcpy(reply, zmq_msg_data(&message), size);
		*ret_size = size;
	}
	zmq_msg_close(&message);
	return r;
}

/* A living node without a socket is starting: worth waiting for. */
static int check_node(const struct fnx_bus *bus, const char *node, const char *path)
{
	int alive;

	if (access(path, F_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	alive = fnx_presence_check(bus, node);
	if (alive < 0)
		return alive;
	return alive ? 0 : -ENOENT;
}

int fnx_control_request(const struct fnx_bus *bus, const char *node, const void *body, size_t size,
	int timeout_ms, void *reply, size_t reply_size, size_t *ret_size)
{
	char endpoint[FNX_SOCKET_PATH_MAX + 8] = "ipc://";
	char *path = endpoint + strlen(endpoint);
	void *socket = NULL;
	int r = fnx_bus_path(bus->run_dir, node, ".ctl", path, FNX_SOCKET_PATH_MAX);

	if (r < 0)
		return r;
	if (timeout_ms < 0)
		return -EINVAL;
	if (size > FNX_CONTROL_BODY_MAX)
		return -E2BIG;
	r = check_node(bus, node, path);
	if (r < 0)
		return r;
	/* A socket of its own, so that a late reply to one request can never be taken for that to
	 * the next. */
	r = fnx_context_socket(ZMQ_DEALER, &socket);
	if (r < 0)
		return r;
	r = fnx_context_set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	if (r == 0 && zmq_connect(socket, endpoint) < 0)
		r = -errno;
	if (r == 0)
		r = send_part(socket, body, size, 0);
	if (r == 0)
		r = wait_for_reply(socket, timeout_ms);
	if (r == 0)
		r = take_reply(socket, reply, reply_size, ret_size);
	fnx_context_close(socket);
	return r;
}
