/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Presence: who is alive. A node holds an open-file-description lock on <run dir>/<node>.lock; the
 * kernel drops it however the node dies, so liveness needs no heartbeat and survives the reuse of
 * process ids. Such locks belong to the open file, not to the process: nodes that are threads of
 * one process have one each. A child made by fork() without exec() shares its parent's, so that a
 * node lives as long as such a child.
 *
 * The file holds the process id as text, for people. Three bytes of it are locked:
 *
 *	byte 0	alive	a node holds 0 and 1, taken at once
 *	byte 1	claim	a node or a sweep, never both
 *	byte 2	sweep	a sweep holds 1 and 2 while it removes what is left; a claim waits
 */
#pragma once

#include "bus/bus.h"

struct fnx_presence {
	int fd;
};

/* Claims a node's name (or "bus", which `fornix run` claims for itself). -EBUSY: a living node has
 * it; `ret_pid` (may be NULL) then tells which process, 0 if unknown. -EINVAL: bad name; -ENOENT:
 * no such bus; -EMFILE ... Start-up only. */
FNX_MUST_CHECK int fnx_presence_claim(const struct fnx_bus *bus, const char *node,
	struct fnx_presence *ret_presence, int *ret_pid);
void fnx_presence_drop(struct fnx_presence *presence);

/* 1 alive, 0 dead or never seen, negative errno. One open and one fcntl: never on the frame path.
 */
int fnx_presence_check(const struct fnx_bus *bus, const char *node);

/* For a sweep: keeps everybody from claiming the name of a dead node while its files are removed.
 * -EBUSY: it lives, or another sweep is at it. */
FNX_MUST_CHECK int fnx_presence_bar(
	const struct fnx_bus *bus, const char *node, struct fnx_presence *ret_presence);
/* Lets claims go on. `forget`: the lock file goes too; 1 if it was removed and some node had ever
 * held it, else 0. */
int fnx_presence_unbar(
	const struct fnx_bus *bus, const char *node, struct fnx_presence *presence, int forget);
