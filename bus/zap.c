/* SPDX-License-Identifier: BSD-3-Clause */
/* The ZeroMQ authentication protocol, version 1.0 (https://rfc.zeromq.org/spec/27). A thread, since
 * a handshake must not wait for a bridge that sleeps. */
#include "bus/zap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "bus/context.h"

enum {
	LOOK_MS = 50, /* how soon the thread notices that it is not needed any more */
	PARTS = 7, /* version, id, domain, address, identity, mechanism, key */
	PART_MAX = 255,
	BINARY_KEY_SIZE = 32,
};

struct fnx_zap {
	struct fnx_zap *next;
	_Atomic uint64_t n_refused;
	char domain[128];
	unsigned char key[BINARY_KEY_SIZE];
};

struct part {
	size_t size;
	unsigned char bytes[PART_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of `list` */
static pthread_mutex_t thread_lock = PTHREAD_MUTEX_INITIALIZER; /* of starting and ending */
static struct fnx_zap *list;
static pthread_t thread;
static void *handler;
static _Atomic int quit;

static int equals(const struct part *part, const char *text)
{
	return part->size == strlen(text) && memcmp(part->bytes, text, part->size) == 0;
}

static int admits(const struct part *parts)
{
	int admitted = 1;

	pthread_mutex_lock(&lock);
	for (struct fnx_zap *zap = list; zap; zap = zap->next) {
		if (!equals(&parts[2], zap->domain))
			continue;
		admitted = equals(&parts[5], "CURVE") && parts[6].size == BINARY_KEY_SIZE &&
			memcmp(parts[6].bytes, zap->key, BINARY_KEY_SIZE) == 0;
		if (!admitted)
			atomic_fetch_add(&zap->n_refused, 1);
	}
	pthread_mutex_unlock(&lock);
	return admitted;
}

/* Takes one request. 1: it is whole; 0: none, or not one. */
static int receive(struct part *parts)
{
	int more = 1, n = 0, whole = 1;
	size_t size = sizeof(more);

	while (more) {
		struct part *part = &parts[n < PARTS ? n : PARTS - 1];
		int got = zmq_recv(handler, part->bytes, PART_MAX, n ? 0 : ZMQ_DONTWAIT);

		if (got < 0)
			return 0;
		whole &= got <= PART_MAX && n < PARTS;
		part->size = got <= PART_MAX ? (size_t)got : PART_MAX;
		n++;
		if (zmq_getsockopt(handler, ZMQ_RCVMORE, &more, &size) < 0)
			return 0;
	}
	/* PLAIN and NULL come with other numbers of credentials. */
	for (; n < PARTS; n++)
		parts[n].size = 0;
	return whole && equals(&parts[0], "1.0");
}

static void answer(const struct part *parts)
{
	int admitted = admits(parts);

	zmq_send(handler, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(handler, parts[1].bytes, parts[1].size, ZMQ_SNDMORE);
	zmq_send(handler, admitted ? "200" : "400", 3, ZMQ_SNDMORE);
	zmq_send(handler, admitted ? "OK" : "unknown key", admitted ? 2 : 11, ZMQ_SNDMORE);
	zmq_send(handler, "", 0, ZMQ_SNDMORE);
	zmq_send(handler, "", 0, 0);
}

static void *serve(void *unused)
{
	struct part parts[PARTS];

	(void)unused;
	while (!atomic_load(&quit)) {
		zmq_pollitem_t item = {.socket = handler, .events = ZMQ_POLLIN};

		if (zmq_poll(&item, 1, LOOK_MS) > 0 && receive(parts))
			answer(parts);
	}
	return NULL;
}

static int start(void)
{
	int r = fnx_context_socket(ZMQ_REP, &handler);

	if (r < 0)
		return r;
	if (zmq_bind(handler, "inproc://zeromq.zap.01") < 0)
		r = -errno;
	atomic_store(&quit, 0);
	if (r == 0)
		r = -pthread_create(&thread, NULL, serve, NULL);
	if (r < 0)
		fnx_context_close(handler);
	return r;
}

static void stop(void)
{
	atomic_store(&quit, 1);
	pthread_join(thread, NULL);
	/* Closing frees the name some time later, from another thread; a successor needs it now. */
	zmq_unbind(handler, "inproc://zeromq.zap.01");
	fnx_context_close(handler);
}

int fnx_zap_open(const char *domain, const char *public_key, struct fnx_zap **ret_zap)
{
	struct fnx_zap *zap = calloc(1, sizeof(*zap));
	int r = 0;

	if (!zap)
		return -ENOMEM;
	if (strlen(domain) >= sizeof(zap->domain))
		r = -ENAMETOOLONG;
	else if (!zmq_z85_decode(zap->key, public_key))
		r = -EKEYREJECTED;
	if (r < 0) {
		free(zap);
		return r;
	}
	strcpy(zap->domain, domain);
	pthread_mutex_lock(&thread_lock);
	if (!list)
		r = start();
	if (r == 0) {
		pthread_mutex_lock(&lock);
		zap->next = list;
		list = zap;
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_unlock(&thread_lock);
	if (r < 0)
		free(zap);
	else
		*ret_zap = zap;
	return r;
}

struct fnx_zap *fnx_zap_close(struct fnx_zap *zap)
{
	if (!zap)
		return NULL;
	pthread_mutex_lock(&thread_lock);
	pthread_mutex_lock(&lock);
	for (struct fnx_zap **at = &list; *at; at = &(*at)->next)
		if (*at == zap) {
			*at = zap->next;
			break;
		}
	pthread_mutex_unlock(&lock);
	if (!list)
		stop();
	pthread_mutex_unlock(&thread_lock);
	free(zap);
	return NULL;
}

uint64_t fnx_zap_refused(const struct fnx_zap *zap)
{
	return atomic_load(&zap->n_refused);
}
