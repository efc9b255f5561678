/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plain ZeroMQ sockets for what leaves the bus: PUB for taps, PUSH for actuators. Bytes in, bytes out; here
 * because bus/ alone speaks ZeroMQ.
 */
#pragma once

#include "bus/bus.h"

struct fnx_pub;
struct fnx_push;

/* XPUB bound to every endpoint. `curve_secret_file` (may be NULL): file with the server's secret CURVE key
 * in Z85, needed for tcp:// endpoints that are not loopback. `ret_endpoint_at_fault` may be NULL. */
FNX_MUST_CHECK int fnx_pub_open(const char *const *endpoints, size_t n_endpoints, const char *curve_secret_file,
	struct fnx_pub **ret_pub, const char **ret_endpoint_at_fault);
/* Takes in what subscribers said. Cheap; call it once per turn. Returns how many subscriptions are in force. */
int fnx_pub_poll(struct fnx_pub *pub);
int fnx_pub_fd(const struct fnx_pub *pub);
/* 1 if some subscriber's prefix matches `topic`. Allocates nothing. */
int fnx_pub_wanted(const struct fnx_pub *pub, const char *topic);
/* Two parts: topic, body. Never blocks. -EAGAIN: a subscriber's queue is full, it lost this one (counted). */
int fnx_pub_send(struct fnx_pub *pub, const char *topic, const void *body, size_t size);
uint64_t fnx_pub_lost(const struct fnx_pub *pub);
struct fnx_pub *fnx_pub_close(struct fnx_pub *pub);

/* PUSH connected to one endpoint. Send never blocks; -EAGAIN when nobody takes it. */
FNX_MUST_CHECK int fnx_push_open(const char *endpoint, struct fnx_push **ret_push);
int fnx_push_send(struct fnx_push *push, const void *body, size_t size);
struct fnx_push *fnx_push_close(struct fnx_push *push);
