/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Echo: two sockets of this process. What is sent on the one lies at once in the other, and is taken
 * out again: so the system's way of sending a datagram is gone without anybody being told anything.
 * What a network card would add is not part of it.
 *
 * One thread. A call is two system calls, neither of which waits.
 */
#pragma once

#include "bus/bus.h"

struct fnx_echo;

/* Negative errno: this machine has no loopback. [slow] */
FNX_MUST_CHECK int fnx_echo_open(struct fnx_echo **ret_echo);
/* 1: it came back. 0: it did not. */
int fnx_echo_call(struct fnx_echo *echo);
/* NULL is fine. Returns NULL. [slow] */
struct fnx_echo *fnx_echo_close(struct fnx_echo *echo);
