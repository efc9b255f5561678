/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An actuator: where a task goes that may be done. One of
 *
 *	log	one line per task, appended to a file (or standard error) with one write each
 *	zmq	one message per task to a ZeroMQ PUSH socket: the decision, encoded as by
 *		schemas/codec.h
 *	udp, serial, trodes	see means.h
 *	stage	nobody: where rehearsals end, see means.h
 *
 * An act is carried out in two steps, actuate and confirm, each a kernel of the team's runtime
 * (team.h). Each actuator has a worker of its own, so that one that hangs holds up no other; where
 * telling needs no waiting the giver's thread does the first step itself.
 *
 * Who has the actuator in hand is one word, `busy`: 0, an act's number + 1, PREPARING or STUCK. It is
 * claimed by compare-and-swap and never waited for. An act is ended by whoever takes its number out
 * of that word. The giver can take it, too, and put STUCK in its place: then the worker that hangs
 * has lost its act, and finds that out when it returns; preparing, its next task, takes STUCK away.
 *
 * An act that bears an expiry is not begun later than that, whatever held it up: a stimulation that
 * comes late is none. But a line in a plain file is written.
 */
#pragma once

#include "bus/status.h"
#include "nodes/dispatch/book.h"

enum fnx_actuator_type {
	FNX_ACTUATOR_TYPE_LOG,
	FNX_ACTUATOR_TYPE_ZMQ,
	FNX_ACTUATOR_TYPE_UDP, /* see means.h */
	FNX_ACTUATOR_TYPE_SERIAL,
	FNX_ACTUATOR_TYPE_TRODES,
	FNX_ACTUATOR_TYPE_STAGE,
};

enum {
	FNX_ACTUATOR_LINE = 512, /* bytes that a line of the log may have */
};

struct fnx_actuator_config {
	enum fnx_actuator_type type;
	const char *file; /* log: appended to, created if need be; NULL or empty: standard error */
	const char *endpoint; /* zmq: PUSH connects here; udp, trodes: see means.h */
	const char *device; /* serial */
	uint32_t baud; /* serial; 0: 115200 */
	const char *text; /* udp; NULL or empty: the decision */
	int reply; /* udp, serial: an answer confirms */
	int echoes; /* stage: now and then a datagram goes to this process itself */
	uint32_t timeout_ms; /* udp, serial, trodes; 0: 100 */
	struct fnx_book
		*book; /* that outlives the actuator, zeros at first; NULL: one of its own */
};

/* Counts since opening, or since the book's. */
struct fnx_actuator_counts {
	uint64_t given; /* written down */
	uint64_t refused; /* the book was full */
	uint64_t fates[FNX_OUTCOME_FATES]; /* of those given */
	int error; /* the latest reason why one FAILED, a negative errno */
};

struct fnx_actuator;

/* Opens file or socket, and takes the book over. Negative errno of the system's or ZeroMQ's;
 * -EINVAL; -ENOMEM. [slow] */
FNX_MUST_CHECK int fnx_actuator_open(
	const struct fnx_actuator_config *config, struct fnx_actuator **ret_actuator);
/* Nothing is under way. NULL is fine. Returns NULL. [slow] */
struct fnx_actuator *fnx_actuator_close(struct fnx_actuator *actuator);
struct fnx_book_giver *fnx_actuator_giver(struct fnx_actuator *actuator);
/* 1: telling it takes no waiting. */
int fnx_actuator_is_immediate(const struct fnx_actuator *actuator);
/* 1: there is something to wait for after it was told. */
int fnx_actuator_confirms(const struct fnx_actuator *actuator);

/* The giver. [frame] */

/* Brings what telling will look at into this processor's cache; changes nothing. */
void fnx_actuator_fetch(const struct fnx_actuator *actuator);
/* Claims it for act `n`: 1, unless it is in other hands. */
int fnx_actuator_claim(struct fnx_actuator *actuator, uint64_t n);
/* Tells it without waiting, once claimed. 1: the act has ended; 0: the worker must go on with it. */
int fnx_actuator_tell(struct fnx_actuator *actuator, uint64_t n);
/* Takes away what its worker is at: 1, and *ret_n is the act (UINT64_MAX: none, it was preparing),
 * which has ended. 0: it is at nothing. Until the worker returns the actuator is stuck. */
int fnx_actuator_give_up(struct fnx_actuator *actuator, uint64_t *ret_n);
int fnx_actuator_is_stuck(const struct fnx_actuator *actuator);
/* Ends an act that nobody has in hand. */
void fnx_actuator_refuse(
	struct fnx_actuator *actuator, uint64_t n, enum fnx_outcome_fate fate, int error);
/* 1: what its worker is at takes longer than its own time-outs can explain. */
int fnx_actuator_hangs(const struct fnx_actuator *actuator, int64_t now_ns);
/* 1: it has to be prepared. Preparing also ends being stuck. */
int fnx_actuator_is_unready(const struct fnx_actuator *actuator);

/* Its worker. 0, or the negative errno that its task fails with. [slow] */

int fnx_actuator_actuate(struct fnx_actuator *actuator, uint64_t n);
int fnx_actuator_confirm(struct fnx_actuator *actuator, uint64_t n);
int fnx_actuator_prepare(struct fnx_actuator *actuator);

/* Any thread. */
struct fnx_actuator_counts fnx_actuator_counts(const struct fnx_actuator *actuator);

/* From the publishing of the frame that caused a task until the actuator was told, of those of this
 * life's that ended TOLD. */
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
uint32_t fnx_actuator_line(const struct fnx_act_command *command, char *ret_line);
