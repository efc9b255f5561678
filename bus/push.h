/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plain ZeroMQ sockets for what leaves the bus: PUB for taps, PUSH for actuators. Bytes in, bytes
 * out; here because bus/ alone speaks ZeroMQ.
 */
#pragma once

#include "bus/bus.h"

struct fnx_pub;
struct fnx_push;

/* Prefixes of which track is kept, each of at most FNX_NAME_MAX - 1 bytes (a longer one matches no
 * topic). While more are in force, every topic counts as wanted. */
enum {
	FNX_PUB_PREFIXES_MAX = 256,
};

/* XPUB bound to every endpoint (tcp://, ipc:// with an absolute path, inproc://).
 * `curve_secret_file` (may be NULL): file with the server's secret CURVE key in Z85 (40
 * characters), in force for all tcp:// endpoints and needed for those that are not loopback; ipc://
 * and inproc:// stay plain. -EPERM: a key is needed; -EKEYREJECTED: the file holds no key;
 * -EKEYREVOKED: others than its owner can read it;
 * -EADDRINUSE: somebody listens there; -EPROTONOSUPPORT; -EINVAL ... `ret_endpoint_at_fault` may be
 * NULL; it is set to NULL if the fault lies elsewhere. */
FNX_MUST_CHECK int fnx_pub_open(const char *const *endpoints, size_t n_endpoints,
	const char *curve_secret_file, struct fnx_pub **ret_pub,
	const char **ret_endpoint_at_fault);
/* Takes in what subscribers said. Cheap; call it once per turn. Returns how many subscriptions are
 * in force. */
int fnx_pub_poll(struct fnx_pub *pub);
/* Edge-triggered: poll the pub after it becomes readable, and once before waiting for that. */
int fnx_pub_fd(const struct fnx_pub *pub);
/* 1 if some subscriber's prefix matches `topic`. Allocates nothing. */
int fnx_pub_wanted(const struct fnx_pub *pub, const char *topic);
/* Two parts: topic, body. Never blocks. -EAGAIN: a subscriber's queue was found full, it lost this
 * one (counted); the others have it. A subscriber that stays stuck is out of the distribution until
 * it has read half of its queue: its stall is counted once, and what it misses meanwhile shows in
 * the sequence numbers it gets. */
int fnx_pub_send(struct fnx_pub *pub, const char *topic, const void *body, size_t size);
uint64_t fnx_pub_lost(const struct fnx_pub *pub);
/* The ipc and inproc endpoints are free at once; a tcp port may stay taken for some milliseconds
 * while other ZeroMQ sockets of the process are open. */
struct fnx_pub *fnx_pub_close(struct fnx_pub *pub);

/* PUSH connected to one endpoint. Send never blocks; -EAGAIN when nobody takes it: nothing is kept
 * for a peer that is not connected, so that no command reaches an actuator long after it was given.
 */
FNX_MUST_CHECK int fnx_push_open(const char *endpoint, struct fnx_push **ret_push);
int fnx_push_send(struct fnx_push *push, const void *body, size_t size);
struct fnx_push *fnx_push_close(struct fnx_push *push);
