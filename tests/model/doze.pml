/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who dozes: bus/subscriber.c fnx_subscriber_doze, bus/readers.c fnx_readers_ring. park.pml is about those who are rung by any
 * frame; here a reader says at which head, or at which watermark, and says something else at every sleep, while its bit among
 * the sleepers may be left from the one before.
 *
 * One publisher, N_FRAMES frames and one watermark, in any order; one subscriber, N_SLEEPS sleeps.
 *
 * No reader sleeps although the head, or the watermark, that it waits for has come.
 */
#ifndef N_FRAMES
#define N_FRAMES 3
#endif
#ifndef N_SLEEPS
#define N_SLEEPS 3
#endif
#define N_PROCESSES 2
#define N_WORDS 6
#ifndef BUFFER
#define BUFFER 3
#endif

#define HEAD 0
#define WATERMARK 1 /* 0, later 1 */
#define SLEEPERS 2
#define PARKED 3
#define WAKE_HEAD 4
#define WAKE_AT 5
#define READER 0
#define WRITER 1
#define NEVER 2

#include "memory.pml"

bool bell, asleep;
byte wake_head, wake_at; /* of the sleep under way */

/* `come`: the watermark, 0 where only frames have come. */
inline ring(come)
{
	if
	:: mem[SLEEPERS] ->
		at_head = mem[WAKE_HEAD];
		at = mem[WAKE_AT];
		if
		:: at_head > told && at > come -> skip
		:: else ->
			atomic { FENCE(WRITER) -> mem[SLEEPERS] = 0 };
			atomic { FENCE(WRITER) -> r = mem[PARKED]; mem[PARKED] = 0 };
			if
			:: r == 1 -> bell = 1
			:: else
			fi
		fi
	:: else
	fi
}

proctype publisher()
{
	byte told, at_head, at;
	bool r, raised;

	do
	:: told < N_FRAMES ->
		told++;
#ifndef WITHOUT_FENCE_BEHIND_HEAD
		SEQ_CST(WRITER, HEAD, told);
#else
		STORE(WRITER, HEAD, told);
#endif
		ring(0)
	:: !raised ->
		raised = true;
#ifndef WITHOUT_FENCE_BEHIND_WATERMARK
		SEQ_CST(WRITER, WATERMARK, 1);
#else
		STORE(WRITER, WATERMARK, 1);
#endif
		ring(1)
	:: told == N_FRAMES && raised -> break
	od
}

proctype subscriber()
{
	byte next, n;

	do
	:: n == N_SLEEPS -> break
	:: else ->
		n++;
		next = mem[HEAD];
		atomic {
			if
			:: wake_head = next + 1
			:: wake_head = next + 2
			fi;
			if
			:: wake_at = 1
			:: wake_at = NEVER
			fi
		};
#ifndef WITHOUT_SAYING_WHEN_BEFORE_THE_BIT
		STORE(READER, WAKE_AT, wake_at);
		STORE(READER, WAKE_HEAD, wake_head);
#endif
		STORE(READER, PARKED, 1);
#ifndef WITHOUT_FENCE_BEHIND_PARKED
		atomic { FENCE(READER) -> mem[SLEEPERS] = 1 };
#else
		atomic { mem[SLEEPERS] = 1 };
#endif
#ifdef WITHOUT_SAYING_WHEN_BEFORE_THE_BIT
		STORE(READER, WAKE_AT, wake_at);
		STORE(READER, WAKE_HEAD, wake_head);
#endif
		if
#ifndef WITHOUT_SECOND_LOOK
		:: mem[HEAD] >= wake_head || mem[WATERMARK] >= wake_at -> skip
		:: else ->
#else
		:: true ->
#endif
			asleep = true;
end:
			atomic { bell -> bell = 0; asleep = false }
		fi;
		STORE(READER, PARKED, 0)
	od
}

proctype watch()
{
end:
	timeout -> assert(!asleep || (mem[HEAD] < wake_head && mem[WATERMARK] < wake_at))
}

init {
	atomic {
		run drain(READER); run drain(WRITER);
		run publisher(); run subscriber(); run watch()
	}
}
