/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions to programs that are not of this bus, over plain ZeroMQ: hearing one message of a PUB
 * socket, and REQ with a time-out. Bytes in, bytes out; here because bus/ alone speaks ZeroMQ.
 *
 * A request is sent only to a peer that is connected, and never again: nothing is kept for one that
 * may come later. After a time-out the socket is replaced, since REQ would wait for that answer
 * before it sends anything else, and a late answer must not be taken for that to the next request.
 */
#pragma once

#include "bus/bus.h"

struct fnx_request;

/* Subscribes to all that `endpoint` publishes and waits for one message. -ETIMEDOUT; -EMSGSIZE: it
 * does not fit (*ret_size says what would). Any thread; blocks up to timeout_ms. */
FNX_MUST_CHECK int fnx_request_hear(
	const char *endpoint, int timeout_ms, void *message, size_t message_size, size_t *ret_size);

/* A REQ socket that connects to `endpoint`, in the background. */
FNX_MUST_CHECK int fnx_request_open(const char *endpoint, struct fnx_request **ret_request);
/* -EAGAIN: nobody is connected yet, nothing was sent; -ETIMEDOUT: it was sent, and no answer came
 * in time: whether it was carried out is not known; -EMSGSIZE as above. `timeout_ms` is for the
 * whole of it. One thread; blocks. */
FNX_MUST_CHECK int fnx_request_ask(struct fnx_request *request, const void *body, size_t size,
	int timeout_ms, void *reply, size_t reply_size, size_t *ret_size);
/* Waits until a peer is connected. -ETIMEDOUT. */
FNX_MUST_CHECK int fnx_request_await(struct fnx_request *request, int timeout_ms);
struct fnx_request *fnx_request_close(struct fnx_request *request);
