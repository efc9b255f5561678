/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processes, played by fibers of one thread. A scheduler decides at every access to shared memory
 * (see tests/support/shared_access.h) who goes on, so that a seed is an order of events, and the
 * same seed the same order.
 *
 * Stores do not become visible at once. Each fiber has a store buffer, weaker than that of x86:
 *
 *	store, relaxed or release   waits in the buffer; the fiber's own loads see it. Relaxed ones
 *				    of different places become visible in any order; a release, or
 *				    what follows a release fence, only after all before it
 *	store, seq_cst; exchange    after everything in the buffer, and at once
 *	fence, seq_cst		    empties the buffer
 *
 * so that a fence that is missing is missed. (Loads are not reordered, and what is not atomic, the
 * payload, is visible at once.)
 *
 * A fiber may be killed between any two accesses. What it has stored becomes visible, as with a
 * process; its memory, descriptors and mappings go back, if it took them through the wrapped calls.
 */
#pragma once

#include "tests/support/check.h"
#include "tests/support/shared_access.h"

enum {
	FIBERS_MAX = 8
};

enum fiber_state {
	FIBER_NONE, /* never started, killed, or returned */
	FIBER_READY,
	FIBER_ASLEEP
};

struct fibers_config {
	unsigned switch_one_in; /* accesses between two switches, on average */
	unsigned drain_one_in; /* accesses between two stores becoming visible, on average */
	unsigned away_one_in; /* switches after which a fiber has no turn for long; 0: none */
	int slow; /* a fiber that has a turn rarely; -1: none */
};

void fibers_reset(struct check_random *random, const struct fibers_config *config);
/* Fiber `id` begins with `body(id)` at its next turn. */
void fiber_start(unsigned id, void (*body)(unsigned id));
/* SIGKILL. */
void fiber_kill(unsigned id);
enum fiber_state fiber_state(unsigned id);
/* Gives a fiber that is ready a turn, until it is switched away from. 0: nobody is ready. */
int fibers_turn(void);
/* Who is away may have a turn again. */
void fibers_call_back(void);
/* Makes every store of everybody visible. */
void fibers_drain(void);

/* Told of each store of a fiber when it is made, before it is visible to others. */
extern void (*fibers_watch)(const volatile void *at, size_t size, uint64_t value);

/* In a fiber: a point at which others may run. */
void fiber_step(void);
/* In a fiber: sleeps until it is rung; a ring that came before counts. */
void fiber_sleep(void);
void fiber_ring(unsigned id);

/* Steps of all so far, and of fiber `id` since it was started. */
uint64_t fibers_steps(void);
uint64_t fiber_steps(unsigned id);
