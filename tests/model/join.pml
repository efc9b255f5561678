/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Joining while the publisher gives frames up: bus/segment.h "join", bus/publisher.c announce and give_up, bus/subscriber.c
 * attach.
 *
 * One wait publisher, 3 slots, N_FRAMES frames (frame seq in slot seq mod 3); 2 lossless subscribers join at any moment, at
 * the oldest frame there is, and read to the end. They set no hazard: their cursors alone protect what they read.
 *
 * Statements 1 and 3: from where it begins a lossless subscriber of a wait publisher misses nothing, and each frame is what
 * was published.
 */
#define N_FRAMES 5
#define N_SLOTS 3
#define N_PROCESSES 3
#define BUFFER 1
#define WRITER 2

#define PAYLOAD(slot) (slot) /* seq + 1 */
#define HEAD N_SLOTS
#define RELEASING (N_SLOTS + 1)
#define JOINS (N_SLOTS + 2)
#define ACTIVE(i) (N_SLOTS + 3 + 2 * (i))
#define CURSOR(i) (N_SLOTS + 4 + 2 * (i))
#define N_WORDS (N_SLOTS + 7)

#include "memory.pml"

proctype publisher()
{
	byte head, released, limit, joins, k, cursor;
	bool known[2]; /* the list of readers, refreshed when joins says so */

	do
	:: head == N_FRAMES -> break
	:: head < N_FRAMES && head - released < N_SLOTS ->
		STORE(WRITER, PAYLOAD(head % N_SLOTS), head + 1);
		SEQ_CST(WRITER, HEAD, head + 1);
		head++
	:: head < N_FRAMES && head - released == N_SLOTS ->
		/* refresh, and how far it can go */
		atomic {
			joins = mem[JOINS];
			known[0] = mem[ACTIVE(0)];
			known[1] = mem[ACTIVE(1)]
		}
		limit = head;
		for (k : 0 .. 1) {
			/* copied once, and the copy used */
			cursor = mem[CURSOR(k)];
			if
			:: known[k] && cursor < limit -> limit = cursor
			:: else
			fi
		}
		if
		:: limit > released ->
			/* announce */
#ifndef WITHOUT_FENCE_BEHIND_RELEASING
			SEQ_CST(WRITER, RELEASING, limit);
#else
			STORE(WRITER, RELEASING, limit);
#endif
#ifndef WITHOUT_SECOND_LOOK_AT_JOINS
			if
			:: mem[JOINS] != joins ->
				known[0] = mem[ACTIVE(0)];
				known[1] = mem[ACTIVE(1)];
				for (k : 0 .. 1) {
					cursor = mem[CURSOR(k)];
					if
#ifndef WITHOUT_COPYING_ONCE
					:: known[k] && cursor < limit ->
						limit = (cursor > released -> cursor : released)
#else
					:: known[k] && mem[CURSOR(k)] < limit ->
						limit = (mem[CURSOR(k)] > released -> mem[CURSOR(k)] : released)
#endif
					:: else
					fi
				}
				SEQ_CST(WRITER, RELEASING, limit)
			:: else
			fi;
#endif
			released = limit
		:: else
		fi
	od
}

proctype subscriber(byte i)
{
	byte next, slot;

	/* The record: its cursor is 0, so that nothing is given up while we do not know where to begin. */
	SEQ_CST(i, ACTIVE(i), 1);
#ifndef WITHOUT_JOINS_BEFORE_RELEASING
	atomic { FENCE(i) -> mem[JOINS] = mem[JOINS] + 1 }
	next = mem[RELEASING];
#else
	next = mem[RELEASING];
	atomic { FENCE(i) -> mem[JOINS] = mem[JOINS] + 1 }
#endif
	SEQ_CST(i, CURSOR(i), next);
	do
	:: next == N_FRAMES -> break
	:: next < N_FRAMES && mem[HEAD] > next ->
		slot = next % N_SLOTS;
		assert(mem[PAYLOAD(slot)] == next + 1);
		next++;
#ifndef WITHOUT_CURSOR_BEHIND_THE_READ
		SEQ_CST(i, CURSOR(i), next)
#else
		SEQ_CST(i, CURSOR(i), next + 1)
#endif
	od
}

init {
	atomic {
		run drain(0); run drain(1); run drain(2);
		run publisher(); run subscriber(0); run subscriber(1)
	}
}
