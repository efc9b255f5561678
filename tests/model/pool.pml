/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Publish, read, hold and reuse: bus/segment.h "publish" and "reclaim", bus/publisher.c give_up and lap, bus/subscriber.c
 * begin_turn, release and hold.
 *
 * One drop publisher, 3 slots, N_FRAMES frames; 2 subscribers that may be lapped at any time: the first reads, the second
 * holds each frame beyond its turn. The ledger has one entry per frame. (Frames of a wait publisher that a lossless
 * subscriber has not passed are never given up: join.pml.)
 *
 * Statement 1: a frame that a reader accepts is what was published, until it is done with it.
 * Statement 2: sequence numbers rise, and what is missing is told once.
 * Statement 4: the publisher never waits: it has a slot, or drops the new frame since each is being read.
 */
#define N_FRAMES 4
#define N_SLOTS 3
#define N_PROCESSES 3
#define BUFFER 1
#define WRITER 2

#define PAYLOAD(slot) (slot) /* seq + 1 of what is in there */
#define TAG(seq) (N_SLOTS + (seq)) /* EMPTY, PUBLISHED or RELEASED; one entry per frame */
#define RELEASED_UP_TO (N_SLOTS + N_FRAMES)
#define HAZARD(i) (N_SLOTS + N_FRAMES + 1 + 2 * (i)) /* seq + 1, 0: none; the frame being read */
#define HELD(i) (N_SLOTS + N_FRAMES + 2 + 2 * (i))
#define N_WORDS (N_SLOTS + N_FRAMES + 5)

#define EMPTY 0
#define PUBLISHED 1
#define RELEASED 2
#define NO_SLOT 9

#include "memory.pml"

byte slot_of[N_FRAMES]; /* the entry's field: written before its tag, and never again here */

#define IN_USE(seq) (mem[HAZARD(0)] == (seq) + 1 || mem[HELD(0)] == (seq) + 1 || \
	mem[HAZARD(1)] == (seq) + 1 || mem[HELD(1)] == (seq) + 1)

proctype publisher()
{
	byte seq, k, slot, released;
	byte pinned[N_FRAMES]; /* seq + 1, while its frame is given up and its slot is not free */
	bool is_free[N_SLOTS];

	d_step { is_free[0] = true; is_free[1] = true; is_free[2] = true }
	for (seq : 0 .. N_FRAMES - 1) {
		if
		:: is_free[0] || is_free[1] || is_free[2] -> skip
		:: else ->
			do
			:: (is_free[0] || is_free[1] || is_free[2]) || released == seq -> break
			:: else ->
				/* lap: one frame */
#ifndef WITHOUT_FENCE_BEHIND_RELEASED
				SEQ_CST(WRITER, TAG(released), RELEASED);
#else
				STORE(WRITER, TAG(released), RELEASED);
#endif
				for (k : 0 .. N_FRAMES - 1) {
					if
					:: (pinned[k] == 0 && k != released) || slot_of[k] == NO_SLOT -> skip
					:: else ->
#ifndef WITHOUT_LOOK_AT_HAZARDS
						/* hazard first, then hold: a hold is entered before its turn ends */
						if
#ifndef WITHOUT_HAZARDS_BEFORE_HOLDS
						:: mem[HAZARD(0)] == k + 1 || mem[HAZARD(1)] == k + 1 -> pinned[k] = 1
						:: else ->
							if
							:: mem[HELD(0)] == k + 1 || mem[HELD(1)] == k + 1 -> pinned[k] = 1
							:: else -> d_step { pinned[k] = 0; is_free[slot_of[k]] = true }
							fi
#else
						:: mem[HELD(0)] == k + 1 || mem[HELD(1)] == k + 1 -> pinned[k] = 1
						:: else ->
							if
							:: mem[HAZARD(0)] == k + 1 || mem[HAZARD(1)] == k + 1 -> pinned[k] = 1
							:: else -> d_step { pinned[k] = 0; is_free[slot_of[k]] = true }
							fi
#endif
						fi
#else
						d_step { pinned[k] = 0; is_free[slot_of[k]] = true }
#endif
					fi
				}
				released++;
				STORE(WRITER, RELEASED_UP_TO, released)
			od
		fi;
		if
		:: is_free[0] -> slot = 0
		:: else ->
			if
			:: is_free[1] -> slot = 1
			:: else ->
				if
				:: is_free[2] -> slot = 2
				:: else -> slot = NO_SLOT
				fi
			fi
		fi;
		if
		:: slot == NO_SLOT ->
			/* statement 4: only when every slot is being read */
			assert(released == seq);
			slot_of[seq] = NO_SLOT;
			STORE(WRITER, TAG(seq), RELEASED)
		:: else ->
			is_free[slot] = false;
			slot_of[seq] = slot;
#ifndef WITHOUT_PAYLOAD_BEFORE_TAG
			STORE(WRITER, PAYLOAD(slot), seq + 1);
			STORE(WRITER, TAG(seq), PUBLISHED)
#else
			STORE(WRITER, TAG(seq), PUBLISHED);
			STORE(WRITER, PAYLOAD(slot), seq + 1)
#endif
		fi
	}
}

proctype subscriber(byte i; bool holds)
{
	byte next, slot, kept, kept_slot, oldest;

	do
	:: next == N_FRAMES -> break
	:: next < N_FRAMES && mem[TAG(next)] != EMPTY ->
#ifndef WITHOUT_FENCE_BEHIND_HAZARD
		SEQ_CST(i, HAZARD(i), next + 1);
#else
		STORE(i, HAZARD(i), next + 1);
#endif
#ifndef WITHOUT_TAG_BEHIND_HAZARD
		if
		:: mem[TAG(next)] == PUBLISHED ->
#else
		if
		:: true ->
#endif
			slot = slot_of[next];
			/* statement 1, twice: it stays */
			assert(mem[PAYLOAD(slot)] == next + 1);
			if
			:: holds ->
				if
				:: kept > 0 ->
					assert(mem[PAYLOAD(kept_slot)] == kept);
					STORE(i, HELD(i), 0);
					kept = 0
				:: else
				fi;
				kept = next + 1;
				kept_slot = slot;
				SEQ_CST(i, HELD(i), kept)
			:: else
			fi;
			assert(mem[PAYLOAD(slot)] == next + 1);
			next++
		:: else ->
			/* statement 2: the gap ends at what is not given up, and never where it began */
			oldest = mem[RELEASED_UP_TO];
			next = (oldest > next + 1 -> oldest : next + 1);
			assert(next <= N_FRAMES)
		fi;
		STORE(i, HAZARD(i), 0)
	od;
	if
	:: kept > 0 -> assert(mem[PAYLOAD(kept_slot)] == kept)
	:: else
	fi;
	STORE(i, HELD(i), 0)
}

init {
	atomic {
		run drain(0); run drain(1); run drain(2);
		run publisher(); run subscriber(0, false); run subscriber(1, true)
	}
}
