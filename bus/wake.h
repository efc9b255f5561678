/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wake: what it takes on this machine to wake a sleeper, measured. From that follow which form a
 * bell should have, how long it is worth waiting awake, and where a reader should run.
 *
 * [slow]; starts a thread. Nothing but the measurement's own bell is touched.
 */
#pragma once

#include "bus/bell.h"

enum {
	FNX_WAKE_RINGS_MAX = 1000,
};

struct fnx_bell_wake {
	int64_t p50_ns; /* from before the ring until the sleeper looks */
	int64_t p99_ns;
};

/* Rings a bell of node `node`, which the caller holds and which has none open, `n` times, its
 * sleeper on processor `sleeper_cpu` and its ringer on `ringer_cpu` (-1: wherever they are put).
 * -EINVAL: no such processor, or n not in 1..FNX_WAKE_RINGS_MAX; errors of fnx_bell_open and
 * fnx_ringer_open; -ETIME: a ring was not heard within a second. */
FNX_MUST_CHECK int fnx_bell_measure(const struct fnx_bus *bus, const char *node,
	enum fnx_bell_form form, int ringer_cpu, int sleeper_cpu, unsigned n,
	struct fnx_bell_wake *ret_wake);

/* The form that wakes soonest: a pipe, unless none can be had here or ZeroMQ was sooner by a quarter
 * in each of 32 pairs of rings: what else runs on the machine must not decide, for ZeroMQ allocates
 * memory when it rings. `ret_wake_ns`: what a wake takes with it. -ETIME; other errors only if
 * neither works. Takes a few milliseconds. */
FNX_MUST_CHECK int fnx_bell_choose(const struct fnx_bus *bus, const char *node,
	enum fnx_bell_form *ret_form, int64_t *ret_wake_ns);

enum fnx_placement {
	FNX_PLACE_TOGETHER =
		1, /* on its publisher's core: a wake is that much cheaper than across */
	FNX_PLACE_APART = 2, /* on a core of its own: a wake costs the same, and both can run */
};

/* Where a reader that works for `work_ns` on each frame is done soonest, given wakes within a core
 * and across two: `work_ns` counts against sharing, since it delays the publisher's next frame. */
enum fnx_placement fnx_bell_place(
	const struct fnx_bell_wake *together, const struct fnx_bell_wake *apart, int64_t work_ns);
