/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Team: the actuators of a dispatch node, and the task runtime (bus/task.h) by which they are told.
 * Each decision is a graph of tasks:
 *
 *	score -> decide -> actuate, for each actuator -> confirm, where something confirms
 *
 * score and decide are kernels of the kind `here`, whose worker is the giver's own thread: they are
 * run at once, in the order in which they come. Each actuator is a kind with one thread. Where
 * telling needs no waiting (udp, serial), nothing is under way and the actuator is in no other
 * hands, actuate is run here, too, and the actuator is told before its thread could have woken up;
 * what it cannot do without waiting, and confirm, are its thread's. All else is told by that thread,
 * in the order in which it was given.
 *
 * An actuator that hangs keeps its thread. It is given up when it takes longer than its time-outs
 * can explain, or when its tasks fill the runtime's ring: the act in hand ends UNKNOWN (UNCONFIRMED,
 * if it was told), those behind it EXPIRED, and until the thread returns what it is given FAILS at
 * once. So nobody ever waits for it.
 *
 * What an act has come to stands in the actuator's book (book.h), which outlives the process and
 * from which outcomes are published. The runtime's own memory does not outlive it.
 *
 * One thread, the giver's, but for the counts. All is [frame] but open and close.
 */
#pragma once

#include "bus/task.h"
#include "nodes/dispatch/actuator.h"

enum {
	FNX_TEAM_MAX = 8,
};

struct fnx_team_config {
	const struct fnx_bus *bus; /* where the runtime's file lies, <name>.tasks; NULL: nowhere */
	const char *name;
	const struct fnx_actuator_config *actuators;
	uint32_t n_actuators; /* up to FNX_TEAM_MAX */
	/* The steps before an act; NULL: none. Called with `context`, on the giver's thread. */
	int (*score)(const struct fnx_call *call, void *context);
	int (*decide)(const struct fnx_call *call, void *context);
	void *context;
	int spins; /* 1: its threads spin for a while before they sleep */
	uint32_t window, consumed_window; /* of the runtime, see bus/task.h; 0: the defaults */
	uint64_t heap_size;
	uint32_t n_traced;
};

/* What is under way has so long at the end, then it is given up. Twice that, if a session ends and a
 * thread hangs as well, is less than `fornix run` waits for a node. */
#define FNX_TEAM_LAST_NS INT64_C(2000000000)

struct fnx_team;

/* `ret_fault` is the actuator at fault, n_actuators: none of them. -EINVAL ..., see actuator.h and
 * bus/task.h; `ret_problem` says what of the runtime. [slow] */
FNX_MUST_CHECK int fnx_team_open(const struct fnx_team_config *config,
	struct fnx_task_problem *ret_problem, uint32_t *ret_fault, struct fnx_team **ret_team);
/* Waits two seconds at most until what was given has ended, gives up the rest (below), ends the threads,
 * closes. A thread that hangs even so keeps what it uses until the process ends: its actuator is not
 * closed, its book is not touched any more. NULL is fine. Returns NULL. [slow] */
struct fnx_team *fnx_team_close(struct fnx_team *team);

/* Runs score and decide on `subject`, which both may write. */
void fnx_team_decide(struct fnx_team *team, void *subject, uint32_t size);
/* Every actuator gets the command, those first that can be told at once. 0: given, now or by a
 * predecessor; negative: one at least has not taken it: -ENOBUFS, its book
 * is full; -EBUSY, it hangs; -EAGAIN. */
FNX_MUST_CHECK int fnx_team_give(struct fnx_team *team, const struct fnx_act_command *command);
/* 1: a predecessor that was killed before it could commit has given this one to one of them. */
int fnx_team_was_given(const struct fnx_team *team, const struct fnx_act_command *command);
/* Looks after those that hang or must be looked for again. Now and then. */
void fnx_team_tend(struct fnx_team *team, int64_t now_ns);
/* As give, of a team whose one actuator is nobody (FNX_ACTUATOR_TYPE_STAGE) and has no thread: code that has
 * not been run for a millisecond takes a processor several times as long. Not the frame path: now and then
 * it is a system call. */
void fnx_team_rehearse(struct fnx_team *team, const struct fnx_act_command *command);
/* Brings what the next decide and give will read and write into this processor's cache. */
void fnx_team_fetch(struct fnx_team *team);
/* Takes away whatever is under way: what is in some worker's hands ends UNKNOWN (UNCONFIRMED, if it was
 * told), what waits behind it EXPIRED. At the end, until nothing is under way. */
void fnx_team_give_up(struct fnx_team *team);
/* 1: some act is under way. */
int fnx_team_is_busy(const struct fnx_team *team);
/* Until one of them has ended, or the time is over. Not the frame path. */
void fnx_team_await(struct fnx_team *team, int64_t timeout_ns);

uint32_t fnx_team_n(const struct fnx_team *team);
/* For outcomes, counts and latencies. */
struct fnx_actuator *fnx_team_actuator(struct fnx_team *team, uint32_t i);
struct fnx_task_runtime *fnx_team_runtime(struct fnx_team *team);
