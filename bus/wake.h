/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wake: which form a bell should have on this machine, and what it takes to wake a sleeper with it,
 * measured: from that follows how long it is worth waiting awake.
 *
 * [slow]; starts a thread. Nothing but the measurement's own bells is touched.
 */
#pragma once

#include "bus/bell.h"

/* For node `node`, which the caller holds and which has no bell open. The form that wakes soonest: a
 * pipe, unless none can be had here or ZeroMQ was sooner by a quarter in each of 32 pairs of rings:
 * what else runs on the machine must not decide, for ZeroMQ allocates memory when it rings.
 * `ret_wake_ns`: from a ring until the sleeper looks, median of nine. Takes a few milliseconds.
 * -ETIME: a ring was not heard within a second; other errors only if neither form works. */
FNX_MUST_CHECK int fnx_bell_choose(const struct fnx_bus *bus, const char *node,
	enum fnx_bell_form *ret_form, int64_t *ret_wake_ns);
