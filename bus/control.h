/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control: requests and replies between a node and whoever steers it, as bytes over ZeroMQ
 * ROUTER/DEALER at ipc://<run dir>/<node>.ctl. What the bytes mean is not this layer's business.
 *
 * A node answers between two frames; a client waits with a time-out and never holds up a node.
 */
#pragma once

#include "bus/bus.h"

enum {
	FNX_CONTROL_BODY_MAX = 16384
};

struct fnx_control;
struct fnx_control_client;

/* The node's end. Start-up only, and only for the holder of the node's presence: replaces a dead
 * node's socket. -ENAMETOOLONG: a socket's path has at most 107 bytes; -EEXIST: something else has
 * that name; -ENOENT: no such bus. */
FNX_MUST_CHECK int fnx_control_open(
	const struct fnx_bus *bus, const char *node, struct fnx_control **ret);
/* Edge-triggered descriptor: after it becomes readable, call take until it returns 0. */
int fnx_control_fd(const struct fnx_control *control);
/* 1: a request; ret_body points into `control` until the next call. 0: none. Bodies over
 * FNX_CONTROL_BODY_MAX, and messages that are no request (one part from a DEALER, or an empty one
 * and one from a REQ), are dropped and counted; one beyond 4 x FNX_CONTROL_BODY_MAX costs its
 * sender the connection, uncounted. */
int fnx_control_take(struct fnx_control *control, const void **ret_body, size_t *ret_size);
/* Answers the request taken last, once. Never blocks: a client that is gone gets nothing. -EINVAL:
 * no request is open. */
int fnx_control_reply(struct fnx_control *control, const void *body, size_t size);
uint64_t fnx_control_dropped(const struct fnx_control *control);
struct fnx_control *fnx_control_close(struct fnx_control *control);

/* One request, one reply. -ETIMEDOUT when none comes within timeout_ms (also where a dead node left
 * its socket, since it may be about to return); -ENOENT: no such node, neither a socket nor anybody
 * alive of that name. `reply` of `reply_size` bytes; *ret_size is what came (also set, and nothing
 * written to `reply`, on -EMSGSIZE: it does not fit). -E2BIG: the request is over
 * FNX_CONTROL_BODY_MAX. After -ETIMEDOUT the node may still have carried out the request. Any
 * thread; blocks. */
FNX_MUST_CHECK int fnx_control_request(const struct fnx_bus *bus, const char *node,
	const void *body, size_t size, int timeout_ms, void *reply, size_t reply_size,
	size_t *ret_size);
