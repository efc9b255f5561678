/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An actuator: where a task goes that may be done. One of
 *
 *	log	one line per task, appended to a file (or standard error) with one write each
 *	zmq	one message per task to a ZeroMQ PUSH socket: the decision, encoded as by
 *		schemas/codec.h
 *	udp, serial, trodes	see means.h
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
 * The ring may lie in memory that outlives the process. A giver that was killed leaves in it what
 * it had given, so that its successor, who makes the same decisions again, gives nothing twice.
 * What the thread had not begun with is lost, and counted, since it would come late; but for a log
 * that is a plain file, where a line is not late and is written then. Whether the one that the
 * thread was at was carried out nobody knows: it is not done again, and counted as unknown; of a
 * log that is a plain file the last line tells.
 *
 * A command that bears an expiry is not carried out later than that, whatever held up the thread:
 * one that hung before, or the whole process being stopped. It is counted, and a stimulation that
 * comes late is none. But a line in a plain file is written.
 *
 * A ring that is full refuses: -ENOBUFS. What the thread then fails at (disk full, nobody
 * connected) is counted; ZeroMQ keeps nothing for a peer that is not there, so no task
 * reaches an actuator long after it was given.
 */
#pragma once

#include <stdint.h>

#include "bus/bus.h"
#include "schemas/codec.h"
#include "schemas/decision.h"

enum fnx_actuator_type {
	FNX_ACTUATOR_TYPE_LOG,
	FNX_ACTUATOR_TYPE_ZMQ,
	FNX_ACTUATOR_TYPE_UDP, /* see means.h */
	FNX_ACTUATOR_TYPE_SERIAL,
	FNX_ACTUATOR_TYPE_TRODES
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
	const char *endpoint; /* zmq: PUSH connects here; udp, trodes: see means.h */
	const char *device; /* serial */
	uint32_t baud; /* serial; 0: 115200 */
	const char *text; /* udp; NULL or empty: the decision */
	int reply; /* udp, serial: an answer confirms */
	uint32_t timeout_ms; /* udp, serial, trodes; 0: 100 */
	struct fnx_actuator_ring
		*ring; /* that outlives the actuator, zeros at first; NULL: one of its own */
};

/* What is given: the decision with the clocks that it is, or will be, published with. */
struct fnx_actuator_command {
	struct fnx_codec_stamp stamp;
	struct fnx_decision decision;
	int64_t expires_ns; /* CLOCK_MONOTONIC; not carried out later than that. 0: at any time */
};

enum {
	FNX_ACTUATOR_REFUSED_KEPT = 16,
};

/* What makes a command this one and no other: of the decision, and not of the time at which it was
 * given. */
struct fnx_actuator_key {
	uint64_t seq_plus_1; /* 0: none */
	int64_t sample_time;
	uint32_t rule, reserved;
};

/* The giver writes `given`, `refused` and the commands, the thread `begun`, `taken` and the rest.
 * Whatever is read from a ring that a predecessor left is taken for a number to compare with. */
struct fnx_actuator_ring {
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t given;
	_Atomic uint64_t refused;
	struct fnx_actuator_key last_refused[FNX_ACTUATOR_REFUSED_KEPT];
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t taken; /* done with */
	_Atomic uint64_t begun; /* taken, or one more */
	_Atomic uint64_t told, failed, lost, unknown, expired, unconfirmed;
	_Alignas(FNX_CACHE_LINE) struct fnx_actuator_command commands[FNX_ACTUATOR_RING];
};

/* Counts since opening, or since the ring's. */
struct fnx_actuator_counts {
	uint64_t given; /* taken into the ring */
	uint64_t refused; /* the ring was full */
	uint64_t told; /* carried out: written, or handed to ZeroMQ */
	uint64_t failed; /* could not be; `error` is the latest reason, a negative errno */
	uint64_t lost; /* given, and then the process was killed */
	uint64_t unknown; /* the process was killed while it was being carried out */
	uint64_t expired; /* its turn came too late, and it was not carried out */
	uint64_t unconfirmed; /* sent, and no answer came in time: it may have been carried out */
	int error;
};

struct fnx_actuator;

/* Opens file or socket and starts the thread. Negative errno of the system's or ZeroMQ's; -EINVAL;
 * -ENOMEM. Not real-time. */
FNX_MUST_CHECK int fnx_actuator_open(
	const struct fnx_actuator_config *config, struct fnx_actuator **ret_actuator);
/* Carries out what was given, ends the thread, closes. NULL is fine. Returns NULL. */
struct fnx_actuator *fnx_actuator_close(struct fnx_actuator *actuator);
/* 0: given, now or by a predecessor; -ENOBUFS: refused and counted. Real-time; allocates nothing,
 * locks nothing; see FNX_ACTUATOR_BELL for the system call. */
FNX_MUST_CHECK int fnx_actuator_give(
	struct fnx_actuator *actuator, const struct fnx_actuator_command *command);
/* 1: a predecessor that was killed before it could commit has given this one. The giver; real-time.
 */
int fnx_actuator_was_given(
	const struct fnx_actuator *actuator, const struct fnx_actuator_command *command);
/* Any thread. */
struct fnx_actuator_counts fnx_actuator_counts(const struct fnx_actuator *actuator);

/* From the publishing of the frame that caused a task until it was told, of this life's. */
struct fnx_actuator_latency {
	uint64_t n;
	double p50_us, p99_us, p999_us;
};
struct fnx_actuator_latency fnx_actuator_latency(const struct fnx_actuator *actuator);

/* One line for people and scripts, key=value with spaces between, closed by a newline:
 *
 *	sample_time=123456 rule="replay left" task=1 outcome=0 arm=1 ...
 *
 * Bytes of the name that would break the line (quotes, control characters) become '_'. Returns its
 * length, below FNX_ACTUATOR_LINE. */
uint32_t fnx_actuator_line(const struct fnx_actuator_command *command, char *ret_line);
