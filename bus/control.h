/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control: requests and replies between a node and whoever steers it, as bytes over ZeroMQ ROUTER/DEALER at
 * ipc://<run dir>/<node>.ctl. What the bytes mean is not this layer's business.
 *
 * A node answers between two frames; a client waits with a time-out and never holds up a node.
 */
#pragma once

#include "bus/bus.h"

enum { FNX_CONTROL_BODY_MAX = 16384 };

struct fnx_control;
struct fnx_control_client;

/* The node's end. Start-up only. */
FNX_MUST_CHECK int fnx_control_open(const struct fnx_bus *bus, const char *node, struct fnx_control **ret);
/* Edge-triggered descriptor: after it becomes readable, call take until it returns 0. */
int fnx_control_fd(const struct fnx_control *control);
/* 1: a request; ret_body points into `control` until the next call. 0: none. Bodies over
 * FNX_CONTROL_BODY_MAX are dropped and counted. */
int fnx_control_take(struct fnx_control *control, const void **ret_body, size_t *ret_size);
/* Answers the request taken last. Never blocks: a client that is gone gets nothing. */
int fnx_control_reply(struct fnx_control *control, const void *body, size_t size);
struct fnx_control *fnx_control_close(struct fnx_control *control);

/* One request, one reply. -ETIMEDOUT when none comes within timeout_ms; -ENOENT: no such node. `reply` of
 * `reply_size` bytes; *ret_size is what came (-EMSGSIZE if it does not fit). Any thread; blocks. */
FNX_MUST_CHECK int fnx_control_request(const struct fnx_bus *bus, const char *node, const void *body,
	size_t size, int timeout_ms, void *reply, size_t reply_size, size_t *ret_size);
