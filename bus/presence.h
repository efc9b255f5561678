/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Presence: who is alive. A node holds an open-file-description lock on <run dir>/<node>.lock; the kernel
 * drops it however the node dies, so liveness needs no heartbeat and survives the reuse of process ids. Such
 * locks belong to the open file, not to the process: nodes that are threads of one process have one each.
 */
#pragma once

#include "bus/bus.h"

struct fnx_presence {
	int fd;
};

/* Claims a node's name (or "bus", which `fornix run` claims for itself). -EBUSY: a living node has it; `ret_pid`
 * (may be NULL) then tells which process, 0 if unknown. Start-up only. */
FNX_MUST_CHECK int fnx_presence_claim(
	const struct fnx_bus *bus, const char *node, struct fnx_presence *ret_presence, int *ret_pid);
void fnx_presence_drop(struct fnx_presence *presence);

/* 1 alive, 0 dead or never seen, negative errno. One open and one fcntl: never on the frame path. */
int fnx_presence_check(const struct fnx_bus *bus, const char *node);
