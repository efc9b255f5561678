/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ROUTER at the end that listens, DEALER at the one that connects. ROUTER, and not DEALER or PAIR,
 * since after a broken connection the old one may still stand beside the new one for a while: a
 * ROUTER says from whom a message came, and answers go to whoever spoke last. PAIR does not
 * reconnect.
 */
#include "bus/link.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/context.h"
#include "bus/endpoint.h"
#include "bus/zap.h"

enum {
	QUEUE_MAX = 1000, /* messages; credit keeps them far below */
	MESSAGE_MAX = 64 << 20,
	RECONNECT_MS = 50,
	RECONNECT_MAX_MS = 1000,
	HEARTBEAT_MS = 500, /* of ZeroMQ's own, which ends connections that are dead */
	HEARTBEAT_TIMEOUT_MS = 2000,
	ID_MAX = 255,
	ENDPOINT_MAX = 256,
	BROKEN_MAX = 3,
};

struct fnx_link {
	void *socket;
	void *monitor;
	struct fnx_zap *zap;
	int fd;
	int listens;
	int has_keys;
	unsigned n_broken; /* handshakes in a row that ended without a reason */
	size_t id_size; /* listener: of whoever spoke last; 0: nobody has */
	unsigned char id[ID_MAX];
	struct fnx_link_notes notes;
	char endpoint[ENDPOINT_MAX];
};

/* Opening
 * ------------------------------------------------------------------------------------------- */

static int set_key(void *socket, int option, const char *key)
{
	if (zmq_setsockopt(socket, option, key, FNX_KEY_SIZE + 1) < 0)
		return errno == EINVAL ? -EKEYREJECTED : -errno;
	return 0;
}

static int use_keys(struct fnx_link *link, const struct fnx_link_config *config)
{
	int r;

	if (!zmq_has("curve"))
		return -EOPNOTSUPP;
	r = set_key(link->socket, ZMQ_CURVE_SECRETKEY, config->secret_key);
	if (config->listens) {
		if (r == 0)
			r = fnx_zap_open(config->endpoint, config->peer_public_key, &link->zap);
		if (r == 0)
			r = fnx_context_set(link->socket, ZMQ_CURVE_SERVER, 1);
		if (r == 0 &&
			zmq_setsockopt(link->socket, ZMQ_ZAP_DOMAIN, config->endpoint,
				strlen(config->endpoint)) < 0)
			r = -errno;
		return r;
	}
	if (r == 0)
		r = set_key(link->socket, ZMQ_CURVE_PUBLICKEY, config->public_key);
	if (r == 0)
		r = set_key(link->socket, ZMQ_CURVE_SERVERKEY, config->peer_public_key);
	return r;
}

static int set_options(struct fnx_link *link)
{
	const struct {
		int option, value;
	} options[] = {
		{ZMQ_SNDHWM, QUEUE_MAX},
		{ZMQ_RCVHWM, QUEUE_MAX},
		{ZMQ_IPV6, 1},
		{ZMQ_IMMEDIATE, 1},
		{ZMQ_RECONNECT_IVL, RECONNECT_MS},
		{ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
		{ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
		{ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
	};
	int64_t message_max = MESSAGE_MAX;
	int r = 0;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && r == 0; i++)
		r = fnx_context_set(link->socket, options[i].option, options[i].value);
	if (r == 0 &&
		zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &message_max, sizeof(message_max)) < 0)
		r = -errno;
	if (r == 0 && link->listens)
		r = fnx_context_set(link->socket, ZMQ_ROUTER_MANDATORY, 1);
	return r;
}

static int open_monitor(struct fnx_link *link)
{
	static _Atomic unsigned n_monitors;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "inproc://fornix-link-%d-%u", getpid(),
		atomic_fetch_add(&n_monitors, 1));
	if (zmq_socket_monitor(link->socket, name,
		    ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
			    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) <
		0)
		return -errno;
	r = fnx_context_socket(ZMQ_PAIR, &link->monitor);
	if (r == 0 && zmq_connect(link->monitor, name) < 0)
		r = -errno;
	return r;
}

static int attach(struct fnx_link *link)
{
	const char *path = link->endpoint + strlen("ipc://");

	if (!link->listens)
		return zmq_connect(link->socket, link->endpoint) < 0 ? -errno : 0;
	if (!fnx_endpoint_is_ipc(link->endpoint))
		return zmq_bind(link->socket, link->endpoint) < 0 ? -errno : 0;
	if (fnx_context_probe_ipc(path) == 0)
		return -EADDRINUSE;
	return fnx_context_bind_ipc(link->socket, path);
}

static int check(const struct fnx_link_config *config)
{
	int n_keys = !!config->public_key + !!config->secret_key + !!config->peer_public_key;

	if (n_keys != 0 && n_keys != 3)
		return -EINVAL;
	if (strlen(config->endpoint) >= ENDPOINT_MAX)
		return -ENAMETOOLONG;
	return fnx_endpoint_check(config->endpoint, n_keys == 3);
}

int fnx_link_open(const struct fnx_link_config *config, struct fnx_link **ret_link)
{
	struct fnx_link *link;
	int r = check(config);

	if (r < 0)
		return r;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->listens = config->listens;
	r = fnx_context_socket(config->listens ? ZMQ_ROUTER : ZMQ_DEALER, &link->socket);
	if (r == 0)
		r = set_options(link);
	if (r == 0)
		r = open_monitor(link);
	if (r == 0 && config->secret_key && fnx_endpoint_is_tcp(config->endpoint))
		r = use_keys(link, config);
	link->has_keys = config->secret_key && fnx_endpoint_is_tcp(config->endpoint);
	if (r == 0)
		r = fnx_context_fd(link->socket, &link->fd);
	strcpy(link->endpoint, config->endpoint);
	if (r == 0)
		r = attach(link);
	if (r < 0) {
		link->endpoint[0] = 0; /* not bound: not ours to unlink */
		fnx_link_close(link, 0);
		return r;
	}
	*ret_link = link;
	return 0;
}

int fnx_link_fd(const struct fnx_link *link)
{
	return link->fd;
}

/* Sending
 * -------------------------------------------------------------------------------------------- */

static int send_part(void *socket, const void *part, size_t size, int flags)
{
	int n;

	do {
		n = zmq_send(socket, part, size, flags | ZMQ_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* The part that may be refused; those that follow are not. A queue that was full when ZeroMQ looked
 * last may have room since. */
static int send_first(struct fnx_link *link, const void *part, size_t size, int flags)
{
	int first_flags = link->listens ? ZMQ_SNDMORE : flags;
	const void *first = link->listens ? link->id : part;
	size_t first_size = link->listens ? link->id_size : size;
	int r;

	if (link->listens && link->id_size == 0)
		return -ENOTCONN;
	r = send_part(link->socket, first, first_size, first_flags);
	if (r == -EAGAIN && fnx_context_events(link->socket) >= 0)
		r = send_part(link->socket, first, first_size, first_flags);
	if (r == -EHOSTUNREACH) {
		link->id_size = 0;
		return -ENOTCONN;
	}
	if (r == 0 && link->listens)
		r = send_part(link->socket, part, size, flags);
	return r;
}

int fnx_link_send(struct fnx_link *link, const void *part, size_t size)
{
	return send_first(link, part, size, 0);
}

int fnx_link_send_message(struct fnx_link *link, const void *part, size_t size, zmq_msg_t *message)
{
	int n, r = send_first(link, part, size, ZMQ_SNDMORE);

	if (r == 0) {
		do {
			n = zmq_msg_send(message, link->socket, ZMQ_DONTWAIT);
		} while (n < 0 && errno == EINTR);
		r = n < 0 ? -errno : 0;
	}
	if (r < 0)
		zmq_msg_close(message);
	return r;
}

/* Receiving
 * ------------------------------------------------------------------------------------------ */

static int has_more(struct fnx_link *link)
{
	int more = 0;
	size_t size = sizeof(more);

	return zmq_getsockopt(link->socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

static int receive_part(struct fnx_link *link, void *part, size_t size, size_t *ret_size)
{
	int n;

	do {
		n = zmq_recv(link->socket, part, size, ZMQ_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_size = (size_t)n;
	return 0;
}

static void throw_away(struct fnx_link *link)
{
	unsigned char byte;
	size_t size;

	while (has_more(link) && receive_part(link, &byte, 1, &size) == 0)
		;
}

int fnx_link_receive(
	struct fnx_link *link, void *part, size_t size, size_t *ret_size, zmq_msg_t *message)
{
	unsigned char id[ID_MAX];
	size_t id_size = 0;
	int r = 0;

	if (link->listens) {
		r = receive_part(link, id, sizeof(id), &id_size);
		if (r == 0 && (id_size > sizeof(id) || !has_more(link)))
			r = -EBADMSG;
	}
	if (r == 0)
		r = receive_part(link, part, size, ret_size);
	if (r == 0 && *ret_size > size)
		r = -EBADMSG;
	if (r == 0 && has_more(link) && zmq_msg_recv(message, link->socket, ZMQ_DONTWAIT) < 0)
		r = -errno;
	if (r == 0 && has_more(link))
		r = -EBADMSG;
	if (r < 0) {
		if (r != -EAGAIN)
			throw_away(link);
		return r;
	}
	if (link->listens) {
		memcpy(link->id, id, id_size);
		link->id_size = id_size;
	}
	return 0;
}

int fnx_link_pending(struct fnx_link *link)
{
	int events = fnx_context_events(link->socket);

	return events > 0 && events & ZMQ_POLLIN;
}

void fnx_link_refresh(struct fnx_link *link)
{
	if (link->listens)
		return;
	/* Either may find that there is nothing to leave, or nobody to go to: it is tried again. */
	zmq_disconnect(link->socket, link->endpoint);
	zmq_connect(link->socket, link->endpoint);
}

/* Each event: a number and a value, packed (6 bytes); then the endpoint. */
static void take_event(struct fnx_link *link, const unsigned char *event, size_t size)
{
	uint16_t number;

	if (size < sizeof(number))
		return;
	memcpy(&number, event, sizeof(number));
	if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		link->notes.n_connected++;
		link->n_broken = 0;
		return;
	}
	/* The end that shows a wrong key is told nothing, it is just left. That happens to one that
	 * meets another that is about to leave, too, but not twice. */
	if (number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL && ++link->n_broken < BROKEN_MAX)
		return;
	if (link->has_keys)
		link->notes.n_refused++;
}

const struct fnx_link_notes *fnx_link_notes(struct fnx_link *link)
{
	unsigned char event[64], rest[ENDPOINT_MAX];
	int n;

	while ((n = zmq_recv(link->monitor, event, sizeof(event), ZMQ_DONTWAIT)) >= 0) {
		zmq_recv(link->monitor, rest, sizeof(rest), ZMQ_DONTWAIT);
		take_event(link, event, (size_t)n < sizeof(event) ? (size_t)n : sizeof(event));
	}
	return &link->notes;
}

struct fnx_link *fnx_link_close(struct fnx_link *link, int linger_ms)
{
	if (!link)
		return NULL;
	if (link->socket) {
		(void)!fnx_context_set(link->socket, ZMQ_LINGER, linger_ms);
		zmq_socket_monitor(link->socket, NULL, 0);
		if (link->listens && link->endpoint[0]) {
			if (fnx_endpoint_is_ipc(link->endpoint))
				unlink(link->endpoint + strlen("ipc://"));
			else
				zmq_unbind(link->socket, link->endpoint);
		}
	}
	fnx_context_close(link->monitor);
	fnx_zap_close(link->zap);
	fnx_context_close(link->socket);
	free(link);
	return NULL;
}
