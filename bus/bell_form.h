/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the two forms of bell have in common: the head of each one's own struct; and how each is
 * opened. A ringer's struct is in bell.h, since its owner keeps it. Internal to bus/.
 */
#pragma once

#include "bus/bell.h"

struct fnx_bell {
	int (*drain)(struct fnx_bell *bell);
	void (*close)(struct fnx_bell *bell);
	int fd; /* to poll */
};

FNX_MUST_CHECK int fnx_bell_open_pipe(
	const struct fnx_bus *bus, const char *node, struct fnx_bell **ret_bell);
FNX_MUST_CHECK int fnx_bell_open_zmq(
	const struct fnx_bus *bus, const char *node, struct fnx_bell **ret_bell);
FNX_MUST_CHECK int fnx_ringer_open_pipe(
	const struct fnx_bus *bus, const char *node, struct fnx_ringer *ret_ringer);
FNX_MUST_CHECK int fnx_ringer_open_zmq(
	const struct fnx_bus *bus, const char *node, int pid, struct fnx_ringer *ret_ringer);
