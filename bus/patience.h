/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Patience: how long it is worth looking for work before going to sleep.
 *
 * Being woken costs (the ring, the kernel, a core that slept): `wake_ns`. To look on for as long as
 * that costs at most twice what the better choice would have; to look on where work comes much
 * later costs that much each time, for nothing. So one waits awake if work has lately come sooner
 * than a wake costs, and never longer than a wake costs; else one sleeps at once. What "lately" was
 * is a moving average, in which one long pause weighs no more than a few wakes.
 *
 * Plain numbers, no clock: time is an argument. Every call is [frame].
 */
#pragma once

#include <stdint.h>

struct fnx_patience {
	int64_t limit_ns; /* never longer */
	int64_t wake_ns;
	int64_t wait_ns; /* that is expected */
};

/* Expects to wait long, and so begins by sleeping. */
void fnx_patience_init(struct fnx_patience *patience, int64_t limit_ns, int64_t wake_ns);
/* How long to look for work from now on; 0: sleep at once. */
int64_t fnx_patience_ns(const struct fnx_patience *patience);
/* Work was there again `waited_ns` after it had run out. `slept`: a wake's cost is part of that. */
void fnx_patience_learn(struct fnx_patience *patience, int64_t waited_ns, int slept);
