/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XPUB, not PUB, since a publisher that knows that nobody listens need not encode: fnx_pub_wanted
 * asks a list of the prefixes in force. XPUB tells of a prefix when its first subscriber comes and
 * when its last one has gone, however it went, so that the list is a set and needs no counts.
 * Prefixes that find no room are counted only, and while there are any, every topic is wanted.
 *
 * XPUB either drops for whoever is slow and tells nobody, or (NODROP) refuses to send to anybody
 * while one is slow. Here a send is tried the second way first, to learn of the loss, and then made
 * the first way.
 *
 * CURVE is switched on between binding the plain endpoints and the tcp ones: a listener keeps the
 * options that were in force when it was bound.
 */
#include "bus/push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "bus/context.h"
#include "bus/endpoint.h"

enum {
	PUB_QUEUE_MAX = 1000, /* messages, per subscriber */
	PUSH_QUEUE_MAX = 16,
	SUBSCRIPTION_MAX = 256,
	ENDPOINT_SIZE = FNX_SOCKET_PATH_MAX + 8,
};

struct prefix {
	size_t size;
	char text[FNX_NAME_MAX];
};

struct fnx_pub {
	void *socket;
	int fd;
	uint64_t n_lost;
	size_t n_prefixes;
	size_t n_uncounted; /* in force, and without a place in `prefixes` */
	size_t n_bound;
	char (*bound)[ENDPOINT_SIZE]; /* endpoints other than tcp, to be given up at the end */
	struct prefix prefixes[FNX_PUB_PREFIXES_MAX];
};

struct fnx_push {
	void *socket;
};

/* Endpoints
 * ------------------------------------------------------------------------------------------ */

static int use_curve(void *socket, const char *key)
{
	int r;

	if (!zmq_has("curve"))
		return -EOPNOTSUPP;
	r = fnx_context_set(socket, ZMQ_CURVE_SERVER, 1);
	if (r == 0 && zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key, FNX_KEY_SIZE + 1) < 0)
		r = errno == EINVAL ? -EKEYREJECTED : -errno;
	return r;
}

static int bind_ipc(void *socket, const char *path)
{
	if (fnx_context_probe_ipc(path) == 0)
		return -EADDRINUSE;
	return fnx_context_bind_ipc(socket, path);
}

static int bind_endpoint(struct fnx_pub *pub, const char *endpoint)
{
	int r;

	if (fnx_endpoint_is_tcp(endpoint))
		return zmq_bind(pub->socket, endpoint) < 0 ? -errno : 0;
	if (strlen(endpoint) >= ENDPOINT_SIZE)
		return -ENAMETOOLONG;
	if (fnx_endpoint_is_ipc(endpoint))
		r = bind_ipc(pub->socket, endpoint + strlen("ipc://"));
	else
		r = zmq_bind(pub->socket, endpoint) < 0 ? -errno : 0;
	if (r == 0)
		strcpy(pub->bound[pub->n_bound++], endpoint);
	return r;
}

/* Closing frees inproc names some time later, from another thread, and socket files never. */
static void unbind_all(struct fnx_pub *pub)
{
	for (size_t i = 0; i < pub->n_bound; i++) {
		if (fnx_endpoint_is_ipc(pub->bound[i]))
			unlink(pub->bound[i] + strlen("ipc://"));
		else
			zmq_unbind(pub->socket, pub->bound[i]);
	}
}

/* Binds the tcp endpoints (`tcp` 1), or the others. */
static int bind_all(struct fnx_pub *pub, const char *const *endpoints, size_t n_endpoints, int tcp,
	const char **ret_endpoint_at_fault)
{
	int r;

	for (size_t i = 0; i < n_endpoints; i++) {
		if (fnx_endpoint_is_tcp(endpoints[i]) != tcp)
			continue;
		r = bind_endpoint(pub, endpoints[i]);
		if (r < 0) {
			*ret_endpoint_at_fault = endpoints[i];
			return r;
		}
	}
	return 0;
}

static int pub_start(struct fnx_pub *pub, const char *const *endpoints, size_t n_endpoints,
	const char *key, const char **ret_endpoint_at_fault)
{
	int r = fnx_context_socket(ZMQ_XPUB, &pub->socket);

	if (r == 0)
		r = fnx_context_set(pub->socket, ZMQ_SNDHWM, PUB_QUEUE_MAX);
	if (r == 0)
		r = fnx_context_set(pub->socket, ZMQ_XPUB_NODROP, 1);
	if (r == 0)
		r = fnx_context_set(pub->socket, ZMQ_IPV6, 1);
	if (r == 0)
		r = fnx_context_fd(pub->socket, &pub->fd);
	if (r == 0)
		r = bind_all(pub, endpoints, n_endpoints, 0, ret_endpoint_at_fault);
	if (r == 0 && key[0])
		r = use_curve(pub->socket, key);
	if (r == 0)
		r = bind_all(pub, endpoints, n_endpoints, 1, ret_endpoint_at_fault);
	return r;
}

static int check_config(const char *const *endpoints, size_t n_endpoints,
	const char *curve_secret_file, char *ret_key, const char **ret_endpoint_at_fault)
{
	int r;

	for (size_t i = 0; i < n_endpoints; i++) {
		r = fnx_endpoint_check(endpoints[i], curve_secret_file != NULL);
		if (r < 0) {
			*ret_endpoint_at_fault = endpoints[i];
			return r;
		}
	}
	return curve_secret_file ? fnx_key_read(curve_secret_file, 1, ret_key) : 0;
}

int fnx_pub_open(const char *const *endpoints, size_t n_endpoints, const char *curve_secret_file,
	struct fnx_pub **ret_pub, const char **ret_endpoint_at_fault)
{
	const char *fault = NULL;
	char key[FNX_KEY_SIZE + 1] = "";
	struct fnx_pub *pub = calloc(1, sizeof(*pub));
	int r = -ENOMEM;

	if (pub)
		pub->bound = calloc(n_endpoints + 1, sizeof(*pub->bound));
	if (pub && pub->bound)
		r = check_config(endpoints, n_endpoints, curve_secret_file, key, &fault);
	if (r == 0)
		r = pub_start(pub, endpoints, n_endpoints, key, &fault);
	explicit_bzero(key, sizeof(key));
	if (r < 0) {
		fnx_pub_close(pub);
		if (ret_endpoint_at_fault)
			*ret_endpoint_at_fault = fault;
		return r;
	}
	*ret_pub = pub;
	return 0;
}

/* Subscriptions
 * -------------------------------------------------------------------------------------- */

static size_t find_prefix(const struct fnx_pub *pub, const char *text, size_t size)
{
	size_t i = 0;

	while (i < pub->n_prefixes &&
		(pub->prefixes[i].size != size || memcmp(pub->prefixes[i].text, text, size) != 0))
		i++;
	return i;
}

static void subscription_add(struct fnx_pub *pub, const char *text, size_t size)
{
	struct prefix *prefix;

	if (find_prefix(pub, text, size) < pub->n_prefixes)
		return;
	if (pub->n_prefixes == FNX_PUB_PREFIXES_MAX) {
		pub->n_uncounted++;
		return;
	}
	prefix = &pub->prefixes[pub->n_prefixes++];
	prefix->size = size;
	memcpy(prefix->text, text, size);
}

static void subscription_remove(struct fnx_pub *pub, const char *text, size_t size)
{
	size_t i = find_prefix(pub, text, size);

	if (i < pub->n_prefixes)
		pub->prefixes[i] = pub->prefixes[--pub->n_prefixes];
	else if (pub->n_uncounted > 0)
		pub->n_uncounted--;
}

int fnx_pub_poll(struct fnx_pub *pub)
{
	char said[SUBSCRIPTION_MAX];
	size_t size;
	int n;

	for (;;) {
		n = zmq_recv(pub->socket, said, sizeof(said), ZMQ_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return (int)(pub->n_prefixes + pub->n_uncounted);
		size = (size_t)n;
		if (size == 0 || size > FNX_NAME_MAX)
			continue;
		if (said[0] == 1)
			subscription_add(pub, said + 1, size - 1);
		else if (said[0] == 0)
			subscription_remove(pub, said + 1, size - 1);
	}
}

int fnx_pub_fd(const struct fnx_pub *pub)
{
	return pub->fd;
}

int fnx_pub_wanted(const struct fnx_pub *pub, const char *topic)
{
	size_t size = strlen(topic);

	if (pub->n_uncounted > 0)
		return 1;
	for (size_t i = 0; i < pub->n_prefixes; i++) {
		if (pub->prefixes[i].size <= size &&
			memcmp(pub->prefixes[i].text, topic, pub->prefixes[i].size) == 0)
			return 1;
	}
	return 0;
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

/* A queue that was full when ZeroMQ looked last may have room since. */
static int send_first_part(void *socket, const void *part, size_t size, int flags)
{
	int r = send_part(socket, part, size, flags);

	if (r == -EAGAIN && fnx_context_events(socket) >= 0)
		r = send_part(socket, part, size, flags);
	return r;
}

int fnx_pub_send(struct fnx_pub *pub, const char *topic, const void *body, size_t size)
{
	int lossy = 0;
	int r = send_first_part(pub->socket, topic, strlen(topic), ZMQ_SNDMORE);

	if (r == -EAGAIN) {
		lossy = 1;
		r = fnx_context_set(pub->socket, ZMQ_XPUB_NODROP, 0);
		if (r == 0)
			r = send_part(pub->socket, topic, strlen(topic), ZMQ_SNDMORE);
	}
	if (r == 0)
		r = send_part(pub->socket, body, size, 0);
	if (!lossy)
		return r;
	pub->n_lost++;
	if (fnx_context_set(pub->socket, ZMQ_XPUB_NODROP, 1) < 0 || r < 0)
		return r < 0 ? r : -EIO;
	return -EAGAIN;
}

uint64_t fnx_pub_lost(const struct fnx_pub *pub)
{
	return pub->n_lost;
}

struct fnx_pub *fnx_pub_close(struct fnx_pub *pub)
{
	if (!pub)
		return NULL;
	unbind_all(pub);
	fnx_context_close(pub->socket);
	free(pub->bound);
	free(pub);
	return NULL;
}

/* PUSH
 * -----------------------------------------------------------------------------------------------
 */

int fnx_push_open(const char *endpoint, struct fnx_push **ret_push)
{
	struct fnx_push *push = calloc(1, sizeof(*push));
	int r;

	if (!push)
		return -ENOMEM;
	r = fnx_context_socket(ZMQ_PUSH, &push->socket);
	if (r == 0)
		r = fnx_context_set(push->socket, ZMQ_SNDHWM, PUSH_QUEUE_MAX);
	if (r == 0)
		r = fnx_context_set(push->socket, ZMQ_IMMEDIATE, 1);
	if (r == 0)
		r = fnx_context_set(push->socket, ZMQ_IPV6, 1);
	if (r == 0 && zmq_connect(push->socket, endpoint) < 0)
		r = -errno;
	if (r < 0) {
		fnx_push_close(push);
		return r;
	}
	*ret_push = push;
	return 0;
}

int fnx_push_send(struct fnx_push *push, const void *body, size_t size)
{
	return send_first_part(push->socket, body, size, 0);
}

struct fnx_push *fnx_push_close(struct fnx_push *push)
{
	if (push) {
		fnx_context_close(push->socket);
		free(push);
	}
	return NULL;
}
