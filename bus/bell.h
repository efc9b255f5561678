/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bells: what wakes a node that sleeps. Each node has one bell, whatever the number of its inputs;
 * a publisher that finds a subscriber parked rings that subscriber's node once.
 *
 * Two forms behind the same calls: a named pipe <run dir>/<node>.bell (one byte, no thread in
 * between), and a ZeroMQ PUSH/PULL pair (inproc:// within a process, ipc://<run dir>/<node>.zbell
 * between processes) where a pipe cannot reach. A ring that finds the bell already full is a ring
 * all the same: the sleeper has yet to look, and will look at everything.
 *
 * The sleeper's side of the bargain: after every return of poll it looks at all its inputs,
 * whatever drain found; and before it polls for the first time too. A ZeroMQ bell also wakes,
 * without a ring, when a ringer has (re)connected, so that a ring lost with a broken connection is
 * made up for.
 */
#pragma once

#include "bus/bus.h"

enum fnx_bell_form {
	FNX_BELL_FORM_PIPE = 1,
	FNX_BELL_FORM_ZMQ = 2
};

struct fnx_bell;

/* A ringer lies in its owner's memory, so that to ring somebody new costs none: zeros are one that
 * is closed, and it may be moved. What is in it is for the forms alone. */
struct fnx_ringer {
	int (*ring)(struct fnx_ringer *ringer); /* NULL: closed */
	void (*close)(struct fnx_ringer *ringer);
	const struct fnx_bus *bus;
	char node[FNX_NAME_MAX];
	int fd; /* pipe */
	void *socket; /* ZeroMQ, and the rest */
	struct fnx_bell_door *door; /* NULL: the sleeper is in another process */
	uint64_t opening; /* which the socket is connected to */
};

/* The sleeper's end. One thread. Start-up only, and only for the holder of the node's presence:
 * replaces what a dead node of that name left. A pipe is left in place on closing, so that old
 * ringers reach a restarted node; rings of before may then still be in it. -ENAMETOOLONG: a
 * socket's path has at most 107 bytes; -EEXIST: something that is no bell has that name; -ENOENT:
 * no such bus; -EMFILE ... */
FNX_MUST_CHECK int fnx_bell_open(const struct fnx_bus *bus, const char *node,
	enum fnx_bell_form form, struct fnx_bell **ret_bell);
/* Readable when the bell has rung. For the ZeroMQ form it is edge-triggered: drain before polling.
 */
int fnx_bell_fd(const struct fnx_bell *bell);
/* Silences the bell; returns the number of rings found, 0 for none. Allocates nothing. */
int fnx_bell_drain(struct fnx_bell *bell);
struct fnx_bell *fnx_bell_close(struct fnx_bell *bell);

/* The ringer's end: rings node `node`, which told its form and process id (for inproc). One thread.
 * `bus` must outlive it. A pipe's allocates nothing; ZeroMQ makes a socket. -ENOENT, -ENXIO: no
 * bell there (yet), and *ret_ringer is untouched. Not on the frame path. Where SIGPIPE still has its default
 * action, which would kill the ringer of a dead node, the process ignores it from then on; any
 * other disposition is left alone. */
FNX_MUST_CHECK int fnx_ringer_open(const struct fnx_bus *bus, const char *node,
	enum fnx_bell_form form, int pid, struct fnx_ringer *ret_ringer);
/* Never blocks. 0: rung, or ringing already; -EPIPE and others: nobody is there. One system call
 * (pipe). A node that was restarted is found again by itself, except by a ringer within the process
 * of a node that moved out of it: -EPIPE. A ZeroMQ ringer in another process cannot see that nobody
 * is there (0): the ring then waits for the next bell. */
int fnx_ringer_ring(struct fnx_ringer *ringer);
/* One that is closed stays so. */
void fnx_ringer_close(struct fnx_ringer *ringer);
static inline int fnx_ringer_is_open(const struct fnx_ringer *ringer)
{
	return ringer->ring != NULL;
}
