/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An actuator: where a task goes that may be done. One of
 *
 *	log	one line per task, appended to a file (or standard error) with one write each
 *	zmq	one message per task to a ZeroMQ PUSH socket: the decision, encoded as by
 *		schemas/codec.h
 *
 * Giving a command is a copy of a fixed size into a ring that was taken at start; files and
 * sockets are the business of a thread that each actuator has of its own, so that none holds
 * up another, nor the node. One giver, one thread.
 *
 *	giver -> ring (64 commands) -> thread -> file or socket
 *
 * How the thread learns of a command:
 *
 *	FNX_ACTUATOR_BELL	it sleeps on a semaphore. Giving costs one system call (futex wake,
 *				about 5 us) if it sleeps: at most one per task, none for frames
 *				without one. Told after some 5 us. Idle it costs nothing.
 *	FNX_ACTUATOR_POLL	for nodes that spin and shall never enter the kernel: giving is a
 *				store of 0.1 us, the thread looks every 100 us. Told after some
 *				60 us, for a tenth of a processor per actuator (virtual machine).
 *
 * A ring that is full refuses: -ENOBUFS. What the thread then fails at (disk full, nobody
 * connected) is counted; ZeroMQ keeps nothing for a peer that is not there, so no task
 * reaches an actuator long after it was given.
 */
#pragma once

#include <stdint.h>

#include "schemas/codec.h"
#include "schemas/decision.h"

enum fnx_actuator_type {
	FNX_ACTUATOR_TYPE_LOG,
	FNX_ACTUATOR_TYPE_ZMQ
};
enum fnx_actuator_wake {
	FNX_ACTUATOR_BELL,
	FNX_ACTUATOR_POLL
};

enum {
	FNX_ACTUATOR_RING = 64, /* commands */
	FNX_ACTUATOR_LINE = 512, /* bytes that a line of the log may have */
};

struct fnx_actuator_config {
	enum fnx_actuator_type type;
	enum fnx_actuator_wake wake;
	const char *file; /* log: appended to, created if need be; NULL or empty: standard error */
	const char *endpoint; /* zmq: PUSH connects here */
};

/* What is given: the decision with the clocks that it is, or will be, published with. */
struct fnx_actuator_command {
	struct fnx_codec_stamp stamp;
	struct fnx_decision decision;
};

/* Counts since opening. */
struct fnx_actuator_counts {
	uint64_t given; /* taken into the ring */
	uint64_t refused; /* the ring was full */
	uint64_t told; /* carried out: written, or handed to ZeroMQ */
	uint64_t failed; /* could not be; `error` is the latest reason, a negative errno */
	int error;
};

struct fnx_actuator;

/* Opens file or socket and starts the thread. Negative errno of the system's or ZeroMQ's; -EINVAL;
 * -ENOMEM. Not real-time. */
FNX_MUST_CHECK int fnx_actuator_open(
	const struct fnx_actuator_config *config, struct fnx_actuator **ret_actuator);
/* Carries out what was given, ends the thread, closes. NULL is fine. Returns NULL. */
struct fnx_actuator *fnx_actuator_close(struct fnx_actuator *actuator);
/* 0: given; -ENOBUFS: refused and counted. Real-time; allocates nothing, locks nothing; see
 * FNX_ACTUATOR_BELL for the system call. */
FNX_MUST_CHECK int fnx_actuator_give(
	struct fnx_actuator *actuator, const struct fnx_actuator_command *command);
/* Any thread. */
struct fnx_actuator_counts fnx_actuator_counts(const struct fnx_actuator *actuator);

/* One line for people and scripts, key=value with spaces between, closed by a newline:
 *
 *	sample_time=123456 rule="replay left" task=1 outcome=0 arm=1 ...
 *
 * Bytes of the name that would break the line (quotes, control characters) become '_'. Returns its
 * length, below FNX_ACTUATOR_LINE. */
uint32_t fnx_actuator_line(const struct fnx_actuator_command *command, char *ret_line);
