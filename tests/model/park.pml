/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parking and ringing, in both directions, and what is left of it by a kill: bus/segment.h "publish" and "park",
 * bus/publisher.c fnx_publisher_flush and fnx_publisher_park, bus/readers.c fnx_readers_ring, bus/subscriber.c
 * fnx_subscriber_park and wake_writer.
 *
 * One publisher (wait: a pool of N_SLOTS, less than N_FRAMES), 2 lossless subscribers, N_FRAMES frames, published one by one or
 * staged: a frame's tag is visible before head counts it, and a reader takes it by its tag. Who sleeps is summed up in a word
 * of bits; a bit may be stale, `parked` is the truth. One of the three may be killed, once, where it has taken back a flag and
 * not yet rung; a successor takes over its place: the publisher's frames, by their tags, or the subscriber's cursor.
 *
 * Statement 5: no parked subscriber sleeps while a frame it has not seen exists. And its mirror: the publisher does not
 * sleep while there is room.
 *
 * As large as the suite has time for. By hand: spin -DN_FRAMES=3 -DN_SLOTS=2 -DBUFFER=2 -a park.pml, and hours.
 */
#ifndef N_FRAMES
#define N_FRAMES 2
#endif
#ifndef N_SLOTS
#define N_SLOTS 1
#endif
#define N_PROCESSES 3
#define N_WORDS 10
#ifndef BUFFER
#define BUFFER 1
#endif

#define HEAD 0
#define WRITER_WAKE 1 /* the cursor to reach, 0: it does not sleep */
#define PARKED(i) (2 + (i))
#define CURSOR(i) (4 + (i))
#define SLEEPERS 6 /* bit i: subscriber i may be parked */
#define TAGS 7 /* frames that are tagged */
#define WRITER 2 /* processes 0 and 1 are the subscribers */

#include "memory.pml"

bool bell[N_PROCESSES]; /* a pipe: it outlives its node */
bool killed[N_PROCESSES];
byte n_kills;
bool done[N_PROCESSES];

#define MAY_DIE(p) if :: n_kills < 1 -> n_kills++; killed[p] = true; goto dead :: true fi

inline lowest_cursor(c)
{
	c = (mem[CURSOR(0)] < mem[CURSOR(1)] -> mem[CURSOR(0)] : mem[CURSOR(1)])
}

inline ring_sleeper(i)
{
	if
	:: sleepers & (1 << i) ->
		atomic { FENCE(WRITER) -> mem[SLEEPERS] = mem[SLEEPERS] & (3 - (1 << i)) };
		atomic { FENCE(WRITER) -> r = mem[PARKED(i)]; mem[PARKED(i)] = 0 };
		/* Killed here, it has taken the flag and not rung. */
		MAY_DIE(WRITER);
		if
		:: r == 1 -> bell[i] = 1
		:: else
		fi
	:: else
	fi
}

inline flush()
{
	if
	:: told < tags ->
		told = tags;
#ifndef WITHOUT_FENCE_BEHIND_HEAD
		SEQ_CST(WRITER, HEAD, told);
#else
		STORE(WRITER, HEAD, told);
#endif
		sleepers = mem[SLEEPERS];
		ring_sleeper(0);
		ring_sleeper(1)
	:: else
	fi
}

proctype publisher()
{
	byte tags, told, lowest, sleepers, r;
life:
	FENCE(WRITER);
	/* recover_ledger: what is tagged was published */
	tags = mem[TAGS];
	told = tags;
	SEQ_CST(WRITER, HEAD, told);
	if
	:: killed[WRITER] ->
#ifndef WITHOUT_RINGS_BY_THE_SUCCESSOR
		/* recover: whom the predecessor may not have rung */
		bell[0] = 1;
		bell[1] = 1;
#else
		skip
#endif
	:: else
	fi;
	do
	:: tags == N_FRAMES -> flush(); break
	:: else ->
		atomic { lowest_cursor(lowest) };
		if
		:: tags - lowest < N_SLOTS ->
			tags++;
			STORE(WRITER, TAGS, tags);
			if
			:: flush()
			:: N_SLOTS > 1 -> skip /* staged */
			fi
		:: else ->
			/* fnx_publisher_park, which tells of what is staged first */
			flush();
#ifndef WITHOUT_FENCE_BEHIND_WRITER_WAKE
			SEQ_CST(WRITER, WRITER_WAKE, lowest + 1);
#else
			STORE(WRITER, WRITER_WAKE, lowest + 1);
#endif
			atomic { lowest_cursor(lowest) };
			if
			:: tags - lowest < N_SLOTS -> skip
			:: else ->
				atomic { bell[WRITER] -> bell[WRITER] = 0 }
			fi;
			STORE(WRITER, WRITER_WAKE, 0);
		fi
	od;
	done[WRITER] = true;
	goto end;
dead:
	goto life;
end:
	skip
}

proctype subscriber(byte i)
{
	byte next, wake;
	bool r;
life:
	FENCE(i);
	next = mem[CURSOR(i)];
	if
	:: killed[i] ->
#ifndef WITHOUT_THE_RING_OF_WHO_RESUMES
		/* attach: the predecessor may have taken writer_wake and not rung */
		bell[WRITER] = 1;
#else
		skip
#endif
	:: else
	fi;
	do
	:: next == N_FRAMES -> break
	:: else ->
		if
		:: mem[TAGS] > next ->
			next++;
#ifndef WITHOUT_FENCE_BEHIND_CURSOR
			SEQ_CST(i, CURSOR(i), next);
#else
			STORE(i, CURSOR(i), next);
#endif
			wake = mem[WRITER_WAKE];
			if
			:: wake > 0 && next >= wake ->
				atomic { FENCE(i) -> r = (mem[WRITER_WAKE] > 0); mem[WRITER_WAKE] = 0 }
				MAY_DIE(i);
				if
				:: r -> bell[WRITER] = 1
				:: else
				fi
			:: else
			fi
		:: else ->
			STORE(i, PARKED(i), 1);
#ifndef WITHOUT_FENCE_BEHIND_PARKED
			atomic { FENCE(i) -> mem[SLEEPERS] = mem[SLEEPERS] | (1 << i) };
#else
			atomic { mem[SLEEPERS] = mem[SLEEPERS] | (1 << i) };
#endif
#ifndef WITHOUT_SECOND_LOOK
			if
			:: mem[HEAD] > next -> skip
			:: else ->
				atomic { bell[i] -> bell[i] = 0 }
			fi;
#else
			atomic { bell[i] -> bell[i] = 0 }
#endif
			STORE(i, PARKED(i), 0);
		fi
	od;
	done[i] = true;
	goto end;
dead:
	goto life;
end:
	skip
}

/* When nobody can go on, everybody must have come to the end. */
proctype watch()
{
end:
	timeout ->
	/* statement 5 */
	assert(mem[HEAD] == mem[CURSOR(0)] && mem[HEAD] == mem[CURSOR(1)]);
	assert(done[WRITER] && done[0] && done[1])
}

init {
	atomic {
		run drain(0); run drain(1); run drain(2);
		run publisher(); run subscriber(0); run subscriber(1); run watch()
	}
}
