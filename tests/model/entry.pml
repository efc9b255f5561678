/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An entry of the ledger that is written anew while somebody reads it: bus/publisher.c write_entry and release_to,
 * bus/subscriber.c begin_turn. Who may be lapped looks at the tag, copies, and looks again: what he copied is of that frame if
 * the tag still bears its number.
 *
 * Memory is weaker here than in memory.pml: the publisher's stores become visible in any order that a fence or a release does
 * not forbid, as the compiler may have them on x86, and other processors by themselves. A ledger of one entry: every frame
 * writes it anew.
 *
 * Statement 1, for what the entry says: a frame that a reader accepts is exactly what was published.
 */
#ifndef N_FRAMES
#define N_FRAMES 3
#endif

#define TAG 0
#define SLOT 1
#define LENGTH 2
#define N_WORDS 3

#define EMPTY(seq) (4 * (seq))
#define PUBLISHED(seq) (4 * (seq) + 1)
#define RELEASED(seq) (4 * (seq) + 2)
#define OF_FRAME(seq) ((seq) + 1) /* what each field says of a frame */

byte mem[N_WORDS];

/* The publisher's store buffer: one store per word that is not visible yet, and the fences that it came after. */
bool waits[N_WORDS];
byte value[N_WORDS];
byte fences[N_WORDS];
byte n_fences;

#define STORE(a, v) atomic { !waits[a] -> waits[a] = true; value[a] = v; fences[a] = n_fences }
#define RELEASE_FENCE n_fences++
#define SEQ_CST_FENCE (!waits[TAG] && !waits[SLOT] && !waits[LENGTH])
#define COMES_AFTER(a, b) (waits[b] && fences[b] < fences[a])

proctype drain(byte a)
{
end:
	do
	:: atomic {
		waits[a] && !COMES_AFTER(a, TAG) && !COMES_AFTER(a, SLOT) && !COMES_AFTER(a, LENGTH) ->
			mem[a] = value[a];
			waits[a] = false
	}
	od
}

proctype publisher()
{
	byte seq;

	do
	:: seq == N_FRAMES -> break
	:: else ->
		/* release_to */
		if
		:: seq > 0 ->
			STORE(TAG, RELEASED(seq - 1));
			SEQ_CST_FENCE
		:: else
		fi;
		/* write_entry */
#ifndef WITHOUT_EMPTY
		STORE(TAG, EMPTY(seq));
#endif
#ifndef WITHOUT_FENCE_BEHIND_EMPTY
		RELEASE_FENCE;
#endif
		STORE(SLOT, OF_FRAME(seq));
		STORE(LENGTH, OF_FRAME(seq));
#ifndef WITHOUT_RELEASE_OF_THE_TAG
		RELEASE_FENCE;
#endif
		STORE(TAG, PUBLISHED(seq));
		seq++
	od
}

proctype reader()
{
	byte next, tag, slot, length;

	do
	:: next == N_FRAMES -> break
	:: else ->
#ifndef WITHOUT_ACQUIRE_OF_THE_TAG
		atomic { mem[TAG] >= PUBLISHED(next) -> tag = mem[TAG] };
		slot = mem[SLOT];
#else
		slot = mem[SLOT];
		atomic { mem[TAG] >= PUBLISHED(next) -> tag = mem[TAG] };
#endif
		if
		:: tag != PUBLISHED(next) -> next++ /* lost */
		:: else ->
#ifndef WITHOUT_FENCE_BEFORE_SECOND_LOOK
			length = mem[LENGTH];
			tag = mem[TAG];
#else
			tag = mem[TAG];
			length = mem[LENGTH];
#endif
			if
#ifndef WITHOUT_SECOND_LOOK
			:: tag / 4 != next -> skip
#endif
			:: else ->
				/* statement 1 */
				assert(slot == OF_FRAME(next) && length == OF_FRAME(next))
			fi;
			next++
		fi
	od
}

init {
	atomic {
		run drain(TAG); run drain(SLOT); run drain(LENGTH);
		run publisher(); run reader()
	}
}
