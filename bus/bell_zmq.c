/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bell as a ZeroMQ PULL socket, and why no ring that matters is lost on the way.
 *
 * Queues hold one ring (HWM 1), so that neither side's memory grows and a second ring is refused
 * with EAGAIN. That refusal must mean "a ring is on its way that the sleeper has not taken yet",
 * and four things stand against it:
 *
 * - On sending, ZeroMQ looks only every few million cycles whether the reader has emptied the
 * queue, and refuses on what it knew before. So a refused ring has it look at once, and tries
 * again.
 * - Before the connection stands there is no queue in ZMQ_IMMEDIATE mode, and one that keeps the
 * first ring until then otherwise. So: otherwise.
 * - A connection that breaks may take a ring with it that was already under way. Its sleeper is
 * dead; the next one looks at everything when it starts and again when the ringer has reconnected,
 * since the arrival of a connection makes its descriptor readable.
 * - Within a process nothing reconnects, and the end of a socket is told to its peers late, by
 * another thread. So each bell of this process has a door, which says which opening of the bell is
 * in force; a ringer looks at it before each ring and connects again when it has changed.
 *
 * ZMQ_CONFLATE would keep one ring as well, but its queue says "reader awake" with a plain word
 * that the reader clears after it has looked: a ring in between wakes nobody.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "bus/bell_form.h"
#include "bus/context.h"

enum {
	MESSAGE_MAX = 512, /* who sends more is no ringer; ZeroMQ's own greetings count too */
	RECONNECT_MS = 10,
	ENDPOINT_SIZE = sizeof(((struct fnx_bus *)NULL)->run_dir) + FNX_NAME_MAX + 16,
};

struct fnx_bell_door {
	struct fnx_bell_door *next;
	size_t n_users; /* bell and ringers; under doors_lock */
	_Atomic uint64_t opening; /* of the bell in force; 0: closed */
	char endpoint[ENDPOINT_SIZE];
};

struct zmq_bell {
	struct fnx_bell base;
	void *socket;
	struct fnx_bell_door *door;
	char path[FNX_SOCKET_PATH_MAX];
};

static pthread_mutex_t doors_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fnx_bell_door *doors;
static uint64_t n_openings;

/* The door of an endpoint; makes one if `make`. NULL: there is none, or no memory. */
static struct fnx_bell_door *door_ref(const char *endpoint, int make)
{
	struct fnx_bell_door *door;

	pthread_mutex_lock(&doors_lock);
	for (door = doors; door; door = door->next) {
		if (strcmp(door->endpoint, endpoint) == 0)
			break;
	}
	if (!door && make) {
		door = calloc(1, sizeof(*door));
		if (door) {
			strcpy(door->endpoint, endpoint);
			door->next = doors;
			doors = door;
		}
	}
	if (door)
		door->n_users++;
	pthread_mutex_unlock(&doors_lock);
	return door;
}

static void door_unref(struct fnx_bell_door *door)
{
	struct fnx_bell_door **link = &doors;

	if (!door)
		return;
	pthread_mutex_lock(&doors_lock);
	if (--door->n_users == 0) {
		while (*link != door)
			link = &(*link)->next;
		*link = door->next;
		free(door);
	}
	pthread_mutex_unlock(&doors_lock);
}

/* The bell is bound: from here on ringers connect to it. Pairs with the load in zmq_ring. */
static void door_open(struct fnx_bell_door *door)
{
	pthread_mutex_lock(&doors_lock);
	atomic_store(&door->opening, ++n_openings);
	pthread_mutex_unlock(&doors_lock);
}

static int endpoint_of(const struct fnx_bus *bus, const char *node, char *ret_endpoint)
{
	memcpy(ret_endpoint, "inproc://", 9);
	return fnx_bus_path(bus->run_dir, node, "", ret_endpoint + 9, ENDPOINT_SIZE - 9);
}

static int socket_open(int type, void **ret_socket)
{
	void *socket;
	int r = fnx_context_socket(type, &socket);

	if (r < 0)
		return r;
	/* An inproc queue adds the marks of both ends, of which each knows but one: set all four.
	 */
	r = fnx_context_set(socket, ZMQ_SNDHWM, 1);
	if (r == 0)
		r = fnx_context_set(socket, ZMQ_RCVHWM, 1);
	if (r < 0) {
		fnx_context_close(socket);
		return r;
	}
	*ret_socket = socket;
	return 0;
}

/* The sleeper
 * ---------------------------------------------------------------------------------------- */

static int zmq_drain(struct fnx_bell *base)
{
	const struct zmq_bell *bell = (const struct zmq_bell *)base;
	char ring[1];
	int n_rings = 0;

	/* To the last: the descriptor tells of changes only. */
	for (;;) {
		if (zmq_recv(bell->socket, ring, sizeof(ring), ZMQ_DONTWAIT) >= 0)
			n_rings++;
		else if (errno != EINTR)
			return n_rings;
	}
}

static void zmq_bell_close(struct fnx_bell *base)
{
	struct zmq_bell *bell = (struct zmq_bell *)base;

	atomic_store(&bell->door->opening, 0);
	/* Closing frees the name some time later, from another thread; a successor may want it now.
	 */
	zmq_unbind(bell->socket, bell->door->endpoint);
	unlink(bell->path);
	fnx_context_close(bell->socket);
	door_unref(bell->door);
	free(bell);
}

static int bell_bind(struct zmq_bell *bell)
{
	int64_t size_max = MESSAGE_MAX;
	int r;

	if (zmq_setsockopt(bell->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) < 0)
		return -errno;
	r = fnx_context_fd(bell->socket, &bell->base.fd);
	if (r < 0)
		return r;
	if (zmq_bind(bell->socket, bell->door->endpoint) < 0)
		return -errno;
	r = fnx_context_bind_ipc(bell->socket, bell->path);
	if (r < 0)
		zmq_unbind(bell->socket, bell->door->endpoint);
	return r;
}

int fnx_bell_open_zmq(const struct fnx_bus *bus, const char *node, struct fnx_bell **ret_bell)
{
	char endpoint[ENDPOINT_SIZE];
	struct zmq_bell *bell = calloc(1, sizeof(*bell));
	int r;

	if (!bell)
		return -ENOMEM;
	r = endpoint_of(bus, node, endpoint);
	if (r == 0)
		r = fnx_bus_path(bus->run_dir, node, ".zbell", bell->path, sizeof(bell->path));
	if (r < 0)
		goto fail;
	r = -ENOMEM;
	bell->door = door_ref(endpoint, 1);
	if (!bell->door)
		goto fail;
	r = socket_open(ZMQ_PULL, &bell->socket);
	if (r == 0)
		r = bell_bind(bell);
	if (r < 0)
		goto fail;
	bell->base.drain = zmq_drain;
	bell->base.close = zmq_bell_close;
	door_open(bell->door);
	*ret_bell = &bell->base;
	return 0;

fail:
	fnx_context_close(bell->socket);
	door_unref(bell->door);
	free(bell);
	return r;
}

/* The ringer
 * ----------------------------------------------------------------------------------------- */

static int ringer_connect(struct fnx_ringer *ringer, const char *endpoint)
{
	void *socket;
	int r = socket_open(ZMQ_PUSH, &socket);

	if (r < 0)
		return r;
	r = fnx_context_set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	if (r == 0 && zmq_connect(socket, endpoint) < 0)
		r = -errno;
	if (r < 0) {
		fnx_context_close(socket);
		return r;
	}
	fnx_context_close(ringer->socket);
	ringer->socket = socket;
	return 0;
}

/* 0: sent, or the queue is truly full. */
static int send_ring(void *socket)
{
	int r;

	for (int tries = 0; tries < 2; tries++) {
		if (zmq_send(socket, "", 1, ZMQ_DONTWAIT) >= 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = fnx_context_events(socket);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

static int ring_far(struct fnx_ringer *ringer)
{
	return send_ring(ringer->socket);
}

static int ring_near(struct fnx_ringer *ringer)
{
	uint64_t opening = atomic_load(&ringer->door->opening);
	int r;

	if (opening == 0)
		return -EPIPE;
	if (opening != ringer->opening) {
		r = ringer_connect(ringer, ringer->door->endpoint);
		if (r < 0)
			return r;
		ringer->opening = opening;
	}
	return send_ring(ringer->socket);
}

static void zmq_ringer_close(struct fnx_ringer *ringer)
{
	fnx_context_close(ringer->socket);
	door_unref(ringer->door);
}

/* -ENOENT: the bell is not in this process, whatever its process id: containers may give the same
 * one twice. */
static int open_near(struct fnx_ringer *ringer, const struct fnx_bus *bus, const char *node)
{
	char endpoint[ENDPOINT_SIZE];
	uint64_t opening;
	int r = endpoint_of(bus, node, endpoint);

	if (r < 0)
		return r;
	ringer->door = door_ref(endpoint, 0);
	if (!ringer->door)
		return -ENOENT;
	opening = atomic_load(&ringer->door->opening);
	r = opening == 0 ? -ENOENT : ringer_connect(ringer, endpoint);
	if (r < 0) {
		door_unref(ringer->door);
		ringer->door = NULL;
		return r;
	}
	ringer->opening = opening;
	ringer->ring = ring_near;
	return 0;
}

static int open_far(struct fnx_ringer *ringer, const struct fnx_bus *bus, const char *node)
{
	char endpoint[FNX_SOCKET_PATH_MAX + 8] = "ipc://";
	char *path = endpoint + strlen(endpoint);
	int r = fnx_bus_path(bus->run_dir, node, ".zbell", path, FNX_SOCKET_PATH_MAX);

	if (r == 0)
		r = fnx_context_probe_ipc(path);
	if (r < 0)
		return r == -ECONNREFUSED ? -ENXIO : r;
	ringer->ring = ring_far;
	return ringer_connect(ringer, endpoint);
}

int fnx_ringer_open_zmq(
	const struct fnx_bus *bus, const char *node, int pid, struct fnx_ringer *ret_ringer)
{
	struct fnx_ringer ringer = {.close = zmq_ringer_close};
	int r = -ENOENT;

	if (pid == getpid())
		r = open_near(&ringer, bus, node);
	if (r == -ENOENT)
		r = open_far(&ringer, bus, node);
	if (r < 0)
		return r;
	*ret_ringer = ringer;
	return 0;
}
