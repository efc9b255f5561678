/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process-wide ZeroMQ context. inproc:// reaches only sockets of one context, so that all of
 * bus/ shares one: made when the first socket is opened, ended when the last is closed. Internal to
 * bus/.
 *
 * A context does not survive fork(): a child that opens a socket gets a context of its own, and
 * must never touch the sockets it inherited. All calls may be made from any thread.
 */
#pragma once

#include "bus/bus.h"

enum {
	FNX_SOCKET_PATH_MAX = 108, /* of an AF_UNIX address, with the closing 0 */
};

/* A socket (ZMQ_PULL ...) with LINGER 0: closing never waits for a peer. -EMFILE, -ENOMEM ...
 * [slow] */
FNX_MUST_CHECK int fnx_context_socket(int type, void **ret_socket);
/* Closes a socket; ends the context with the last one. [slow] */
void *fnx_context_close(void *socket);

/* setsockopt of an int. */
FNX_MUST_CHECK int fnx_context_set(void *socket, int option, int value);
/* The ZMQ_FD of a socket. */
FNX_MUST_CHECK int fnx_context_fd(void *socket, int *ret_fd);
/* Takes in what peers told the socket, at once. ZeroMQ on its own looks only every few million
 * cycles on sending, and until then holds a queue that its reader has emptied for full. Returns
 * ZMQ_EVENTS, or a negative errno. */
int fnx_context_events(void *socket);

/* Binds to ipc://`path`, replacing a socket file, living or dead. The file is the caller's to
 * unlink when closing: ZeroMQ leaves it. -EEXIST: something that is no socket has that name;
 * -ENAMETOOLONG ... */
FNX_MUST_CHECK int fnx_context_bind_ipc(void *socket, const char *path);
/* Whether somebody listens at `path`: 0, -ENOENT (no file), -ECONNREFUSED (a dead one's file) ...
 */
FNX_MUST_CHECK int fnx_context_probe_ipc(const char *path);
