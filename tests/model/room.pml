/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who sleeps for room and who dozes over what would give it: bus/publisher.c fnx_publisher_park and reclaim, bus/readers.c
 * fnx_readers_ring_dozers, bus/subscriber.c fnx_subscriber_doze, is_waited_for and commit. park.pml is about readers who read
 * all there is before they sleep, doze.pml about a publisher that always has room.
 *
 * One publisher, a pool of N_SLOTS, N_FRAMES frames; before each it wants room for any number of them, and sleeps until there
 * is. (One that waits awake makes the first of these looks again and again.) Two lossless subscribers. One may go to sleep at any
 * moment, with up to N_PATIENCE frames unread; once rung, or refused, it need not read either. (The code leaves a quarter of the
 * pool unread at the most; nothing here depends on that.) The other one waits awake, and may take back writer_wake.
 *
 * It never happens that the publisher sleeps, and all who have frames unread do: when nobody can go on, the publisher has said
 * all. And no reader sleeps although the head that it waits for has come.
 */
#ifndef N_FRAMES
#define N_FRAMES 2
#endif
#ifndef N_SLOTS
#define N_SLOTS 2
#endif
#ifndef N_PATIENCE
#define N_PATIENCE 1
#endif
#define N_PROCESSES 3
#define N_WORDS 7
#ifndef BUFFER
#define BUFFER 2
#endif

#define HEAD 0
#define WRITER_WAKE 1 /* the cursor to reach, 0: it does not sleep */
#define SLEEPERS 2
#define PARKED 3 /* 1: it is rung by the next frame; DOZES */
#define WAKE_HEAD 4
#define CURSOR(i) (5 + (i))
#define DOZES 2
#define READER 0
#define OTHER 1
#define WRITER 2

#include "memory.pml"

bool bell[N_PROCESSES];
bool asleep, done;
byte sleeps_until; /* head */

inline wake_sleeper()
{
	atomic { FENCE(WRITER) -> mem[SLEEPERS] = 0 };
	atomic { FENCE(WRITER) -> r = mem[PARKED]; mem[PARKED] = 0 };
	if
	:: r -> bell[READER] = 1
	:: else
	fi
}

/* fnx_publisher_room: `room`; if there is none, who dozes is rung. */
inline look_for_room()
{
	lowest = mem[CURSOR(READER)];
	atomic {
		lowest = (mem[CURSOR(OTHER)] < lowest -> mem[CURSOR(OTHER)] : lowest);
		room = (told - lowest + want <= N_SLOTS)
	};
	if
	:: room
	:: else ->
#ifndef WITHOUT_RINGING_DOZERS
		if
		:: mem[SLEEPERS] ->
			if
			:: mem[PARKED] == DOZES ->
				if
				:: mem[CURSOR(READER)] < told -> wake_sleeper()
				:: else
				fi
			:: else
			fi
		:: else
		fi
#else
		skip
#endif
	fi
}

proctype publisher()
{
	byte told, lowest, want, r;
	bool room;

	do
	:: told == N_FRAMES -> break
	:: else ->
		select(want : 1 .. N_SLOTS);
again:
		look_for_room();
		if
		:: room ->
			told++;
#ifndef WITHOUT_FENCE_BEHIND_HEAD
			SEQ_CST(WRITER, HEAD, told);
#else
			STORE(WRITER, HEAD, told);
#endif
			if
			:: mem[SLEEPERS] ->
				if
				:: mem[WAKE_HEAD] <= told -> wake_sleeper()
				:: else
				fi
			:: else
			fi
		:: else ->
#ifndef WITHOUT_WRITER_WAKE_BEFORE_THE_LAST_LOOK
#ifndef WITHOUT_FENCE_BEHIND_WRITER_WAKE
			SEQ_CST(WRITER, WRITER_WAKE, lowest + (told - lowest + 1) / 2);
#else
			STORE(WRITER, WRITER_WAKE, lowest + (told - lowest + 1) / 2);
#endif
			look_for_room();
#else
			look_for_room();
			SEQ_CST(WRITER, WRITER_WAKE, lowest + (told - lowest + 1) / 2);
#endif
			if
			:: room
			:: else ->
				atomic { bell[WRITER] -> bell[WRITER] = 0 }
			fi;
			STORE(WRITER, WRITER_WAKE, 0);
			goto again
		fi
	od;
	done = true
}

inline read(i)
{
	next++;
#ifndef WITHOUT_FENCE_BEHIND_CURSOR
	SEQ_CST(i, CURSOR(i), next);
#else
	STORE(i, CURSOR(i), next);
#endif
	wake = mem[WRITER_WAKE];
	if
	:: wake > 0 && next >= wake ->
		atomic { FENCE(i) -> r = (mem[WRITER_WAKE] > 0); mem[WRITER_WAKE] = 0 };
		if
		:: r -> bell[WRITER] = 1
		:: else
		fi
	:: else
	fi
}

proctype sleeper()
{
	byte next, wake, wake_head;
	bool r;

	do
	:: next == N_FRAMES -> break
	:: mem[HEAD] > next -> read(READER)
	:: next < N_FRAMES ->
		select(wake_head : next + 1 .. next + 1 + N_PATIENCE);
		STORE(READER, WAKE_HEAD, wake_head);
		STORE(READER, PARKED, (wake_head > next + 1 -> DOZES : 1));
#ifdef WITHOUT_THE_BIT_BEFORE_THE_LOOK_AT_WRITER_WAKE
		wake = mem[WRITER_WAKE];
#endif
#ifndef WITHOUT_FENCE_BEHIND_PARKED
		atomic { FENCE(READER) -> mem[SLEEPERS] = 1 };
#else
		mem[SLEEPERS] = 1;
#endif
#ifndef WITHOUT_SECOND_LOOK
		if
		:: mem[HEAD] >= wake_head -> goto unpark
		:: else
		fi;
#endif
#ifndef WITHOUT_THE_LOOK_AT_WRITER_WAKE
#ifndef WITHOUT_THE_BIT_BEFORE_THE_LOOK_AT_WRITER_WAKE
		wake = mem[WRITER_WAKE];
#endif
		if
		:: wake > 0 && mem[HEAD] > next -> goto unpark
		:: else
		fi;
#endif
		atomic { asleep = true; sleeps_until = wake_head };
end:
		atomic { bell[READER] -> bell[READER] = 0; asleep = false };
unpark:
		STORE(READER, PARKED, 0)
	od
}

proctype other()
{
	byte next, wake;
	bool r;

	do
	:: next == N_FRAMES -> break
	:: mem[HEAD] > next -> read(OTHER)
	od
}

proctype watch()
{
end:
	timeout -> assert(done && (!asleep || mem[HEAD] < sleeps_until))
}

init {
	atomic {
		run drain(READER); run drain(OTHER); run drain(WRITER);
		run publisher(); run sleeper(); run other(); run watch()
	}
}
