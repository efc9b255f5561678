/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Statement 4, seen from outside: when a drop publisher gives frames up that somebody has not read,
 * nobody loses one while another lags more.
 *
 * Cursors go on while the publisher looks at them. So what is compared is where a loser stood
 * before the call with where each other stands now: if one who is behind now was behind even then,
 * it was behind whenever the publisher looked. What everybody has lost before counts for nothing.
 */
#pragma once

#include "bus/bus.h"

/* A new topic; `bus` outlives it. */
void payers_begin(const struct fnx_bus *bus);
/* For fibers_watch. */
void payers_watch(const volatile void *at, size_t size, uint64_t value);
/* Around each call of the publisher that may give frames up, in its fiber. */
void payers_begin_call(void);
/* "", or who lost what it should not have. */
const char *payers_end_call(void);
/* Passes that cost somebody a frame: one who never pays shows nothing. */
uint64_t payers_passes(void);
/* No more of this topic. */
void payers_end(void);
