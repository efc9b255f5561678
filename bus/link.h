/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link: two ends that send each other short messages of one or two parts, over tcp, ipc or
 * inproc. One end listens, the other connects; either may come, go and come back at any time. What
 * is under way when the connection breaks is lost: whoever speaks over a link says again what was
 * not confirmed. Nothing is kept for an end that is not there.
 *
 * Over tcp both ends prove who they are (CURVE): the listener by its key, the one who connects by
 * the key that the listener was told to admit. Internal to bus/.
 *
 * One thread. Send and receive never block; ZeroMQ allocates in them.
 */
#pragma once

#include <zmq.h>

#include "bus/bus.h"

struct fnx_link_config {
	const char *endpoint;
	int listens;
	/* Z85, all three or none (NULL): none is for ipc, inproc and the loopback. */
	const char *public_key, *secret_key, *peer_public_key;
};

/* What has been noticed about a link. */
struct fnx_link_notes {
	uint64_t n_connected; /* handshakes that succeeded */
	uint64_t n_refused; /* with keys: handshakes that failed since they do not fit */
};

struct fnx_link;

/* -EPERM: tcp from outside, without keys; -EADDRINUSE; -EKEYREJECTED; -EOPNOTSUPP: no CURVE;
 * -EINVAL
 * ... [slow] */
FNX_MUST_CHECK int fnx_link_open(const struct fnx_link_config *config, struct fnx_link **ret_link);
/* Edge-triggered: look (receive until -EAGAIN, and fnx_link_pending) before waiting for it. */
int fnx_link_fd(const struct fnx_link *link);
/* A message of one part. -EAGAIN: the queue is full; -ENOTCONN: nobody is there. */
FNX_MUST_CHECK int fnx_link_send(struct fnx_link *link, const void *part, size_t size);
/* Two parts; the second is taken over in any case: sent, or closed. */
FNX_MUST_CHECK int fnx_link_send_message(
	struct fnx_link *link, const void *part, size_t size, zmq_msg_t *message);
/* The next message: its first part copied to `part` (at most `size` bytes, *ret_size of them; a
 * longer one is thrown away), its second part, empty if there is none, in `message`, which the
 * caller has initialised and closes. -EAGAIN: there is none; -EBADMSG: it had another form and was
 * thrown away. */
FNX_MUST_CHECK int fnx_link_receive(
	struct fnx_link *link, void *part, size_t size, size_t *ret_size, zmq_msg_t *message);
/* 1: a message can be received (an edge that was swallowed by sending). */
int fnx_link_pending(struct fnx_link *link);
/* The caller has heard nothing for long: connects anew, if it is this end that connects. [slow] */
void fnx_link_refresh(struct fnx_link *link);
const struct fnx_link_notes *fnx_link_notes(struct fnx_link *link);
/* `linger_ms`: how long what is queued is given to leave. [slow] */
struct fnx_link *fnx_link_close(struct fnx_link *link, int linger_ms);
