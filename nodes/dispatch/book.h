/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Book: what one actuator was given, and what became of it, in memory that outlives the process.
 *
 *	GIVEN -> BEGUN -> told | failed | unconfirmed | expired | lost | unknown -> reported
 *
 * The tasks that carry an act out belong to the runtime and die with it. What must not die is
 * written here first: so a successor of a giver that was killed, who makes the same decisions
 * again, gives nothing twice, and can say of each act what became of it. What had not begun is
 * lost, since it would come late. Whether one that had begun was carried out nobody knows: it is
 * not done again.
 *
 * An act's place is taken again once it has been reported, in order. A book with no free place
 * refuses, and remembers whom, so that a decision made again is refused again.
 *
 * Written by the giver alone: `given`, `refused`, `reported` and commands. The state of an act is
 * written by whoever has it in hand, one at a time (actuator.h); ended acts by nobody. Whatever is
 * read from a book that a predecessor left is taken for a number to compare with.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "bus/bus.h"
#include "schemas/codec.h"
#include "schemas/decision.h"
#include "schemas/outcome.h"

enum {
	FNX_BOOK_ACTS = 64,
	FNX_BOOK_REFUSED_KEPT = 16,
};

/* What is given: the decision with the clocks that it is, or will be, published with. */
struct fnx_act_command {
	struct fnx_codec_stamp stamp;
	struct fnx_decision decision;
	int64_t expires_ns; /* CLOCK_MONOTONIC; not carried out later than that. 0: at any time */
};

/* What makes a command this one and no other: of the decision, and not of the time at which it was
 * given. */
struct fnx_act_key {
	uint64_t seq_plus_1; /* 0: none */
	int64_t sample_time;
	uint32_t rule, reserved;
};

enum fnx_act_state {
	FNX_ACT_NONE,
	FNX_ACT_GIVEN,
	FNX_ACT_BEGUN, /* told, perhaps */
	FNX_ACT_ENDED, /* + enum fnx_outcome_fate */
};

struct fnx_act {
	_Atomic uint32_t state;
	_Atomic int32_t error; /* negative errno, 0 */
	_Atomic int64_t begun_ns, told_ns, ended_ns; /* CLOCK_MONOTONIC, 0 */
	struct fnx_act_command command;
};

struct fnx_book {
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t given;
	_Atomic uint64_t refused;
	_Atomic uint64_t reported; /* acts before this one */
	/* Being reported: frame `reporting_seq` of the topic is act `reporting` - 1. */
	_Atomic uint64_t reporting, reporting_seq;
	struct fnx_act_key last_refused[FNX_BOOK_REFUSED_KEPT];
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t ended; /* acts; not in order */
	_Atomic uint64_t fates[FNX_OUTCOME_FATES];
	_Alignas(FNX_CACHE_LINE) struct fnx_act acts[FNX_BOOK_ACTS];
};

/* What the giver knows of it; its own memory. */
struct fnx_book_giver {
	struct fnx_book *book;
	/* What a predecessor has given and refused may be decided again. */
	uint64_t given_before;
	int has_refused_before;
	struct fnx_act_key refused_before[FNX_BOOK_REFUSED_KEPT];
};

/* Act number `n`, counted from 0; its memory may be a later one's. */
static inline struct fnx_act *fnx_book_act(struct fnx_book *book, uint64_t n)
{
	return &book->acts[n % FNX_BOOK_ACTS];
}

/* Takes a book over, zeros at first, whatever it holds. What had begun is UNKNOWN, what had not is
 * LOST; with `keep_given` it stays GIVEN, for the caller to carry out, and begun, for him to end.
 */
void fnx_book_take_over(struct fnx_book_giver *giver, struct fnx_book *book, int keep_given);
/* Writes an act down. 0: it is act number *ret_n; 1: a predecessor gave it; -ENOBUFS: refused and
 * counted. [frame] */
FNX_MUST_CHECK int fnx_book_give(
	struct fnx_book_giver *giver, const struct fnx_act_command *command, uint64_t *ret_n);
/* 1: a predecessor that was killed before it could commit has given this one. [frame] */
int fnx_book_was_given(const struct fnx_book_giver *giver, const struct fnx_act_command *command);
/* Whoever has act `n` in hand: it has ended so. [frame] */
void fnx_book_end(
	struct fnx_book *book, uint64_t n, enum fnx_outcome_fate fate, int error, int64_t now_ns);
/* 1: nothing is under way. */
int fnx_book_is_idle(const struct fnx_book *book);

/* Reporting. The first act that is not reported, if it has ended: 1. [frame] */
int fnx_book_next(const struct fnx_book *book, uint32_t actuator, struct fnx_outcome *ret_outcome);
/* It is about to be published as frame `seq`; it has been. Killed in between, a successor finds out
 * which (see below). */
void fnx_book_reporting(struct fnx_book *book, uint64_t seq);
void fnx_book_reported(struct fnx_book *book);
/* A successor, before its first report: the topic's frames up to `head` were published. */
void fnx_book_resume_reports(struct fnx_book *book, uint64_t head);
