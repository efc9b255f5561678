/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Means: how an actuator outside is told, and how it confirms. One thread at a time. Calls that may
 * wait do so for the time-out at the most.
 *
 *	udp     a datagram to HOST:PORT: a text in which {task} is the task's number, or the
 *		decision as by schemas/codec.h. Told once it was sent; with `reply`, once a
 *		datagram has come back from there.
 *	serial  a byte, the task's number (0..255), to a tty: raw, 8 bits, no parity. Told once
 *		the tty has sent it; with `reply`, once a byte has come back.
 *	trodes  the StateScript function of the task's number, asked of the service
 *		trodes.hardware, which is looked up at the central server (schemas/trodes.h).
 *		Told once it has answered.
 *
 *	stage   nobody is told. Where it echoes, a datagram goes from this process to itself every
 *		500 us (echo.h): the system's own code is then at hand for the next that is meant.
 *
 * What cannot be reached is tried again between tasks (prepare), never while one waits: a task
 * that finds nobody fails at once.
 */
#pragma once

#include "nodes/dispatch/actuator.h"

struct fnx_means;

/* udp, serial, trodes, stage. -EINVAL: no such endpoint or speed; -ENOENT ...: the tty. */
FNX_MUST_CHECK int fnx_means_open(
	const struct fnx_actuator_config *config, struct fnx_means **ret_means);
/* Finds who is to be told, after something failed. 0: ready; negative: not yet, call again in a
 * while. [slow] */
int fnx_means_prepare(struct fnx_means *means);
enum {
	FNX_MEANS_SENT = 1
};
/* 1: can be told without waiting for anything: fnx_means_send with `may_wait` 0 is one system call or
 * two, and allocates nothing. */
int fnx_means_are_immediate(const struct fnx_means *means);
/* 0: carried out; FNX_MEANS_SENT: told, and fnx_means_confirm says whether it was carried out.
 * -EAGAIN with `may_wait` 0: it would have to wait; nothing was sent. Else it was not carried out:
 * -ENOTCONN, -EAGAIN: nobody is there; -ERANGE: no such number; ... or, of means that are not
 * immediate, -ETIMEDOUT: sent, and not confirmed in time. */
int fnx_means_send(struct fnx_means *means, const struct fnx_act_command *command, int may_wait);
/* Brings what sending will look at into this processor's cache. */
void fnx_means_fetch(const struct fnx_means *means);
/* Waits for what confirms the task that was sent last. -ETIMEDOUT: nothing in time. */
int fnx_means_confirm(struct fnx_means *means);
int fnx_means_timeout_ms(const struct fnx_means *means);
struct fnx_means *fnx_means_close(struct fnx_means *means);
