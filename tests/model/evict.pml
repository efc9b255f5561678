/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Evicting the dead and resuming: bus/readers.c evict and note, bus/subscriber.c resume.
 *
 * One wait publisher that wants to give up N_FRAMES frames, each once no subscriber that has a place needs it; 2 lossless
 * subscribers that may die up to N_DEATHS times each, and come back. A record's state is one word: generation and state
 * together, changed by compare-and-swap only. (All of these are seq_cst: no store buffers here.)
 *
 * Statement 3: within `grace` (here: as long as it is not evicted) a subscriber that comes back misses nothing; one that
 * lives is never evicted. Statement 4: one that stays dead does not hold up the others for good.
 */
#ifndef N_FRAMES
#define N_FRAMES 2
#endif
#ifndef N_DEATHS
#define N_DEATHS 1
#endif

#define FREE 0
#define ACTIVE 1
#define WORD(generation, state) (2 * (generation) + (state))
#define STATE(word) ((word) % 2)
#define GENERATION(word) ((word) / 2)

byte word[2] = WORD(0, ACTIVE);
byte cursor[2];
bool alive[2] = true;
bool settled[2] = true; /* it lives, has its place and reads */
byte head = N_FRAMES;
byte released;
bool done[2];

proctype publisher()
{
	byte k, seen[2], limit;
	bool listed[2] = true, dead[2];

	do
	:: released == N_FRAMES -> break
	:: else ->
		for (k : 0 .. 1) {
			/* `seen` is what the publisher knows of the record from its last look */
			if
			:: !listed[k] && STATE(word[k]) == ACTIVE -> atomic { listed[k] = true; seen[k] = word[k]; dead[k] = false }
			:: listed[k] && !dead[k] -> atomic { seen[k] = word[k]; dead[k] = !alive[k]; listed[k] = (STATE(seen[k]) == ACTIVE) }
			:: listed[k] && dead[k] ->
				/* asked again, and dead still: the grace is over */
				if
				:: alive[k] -> dead[k] = false
				:: !alive[k] ->
#ifndef WITHOUT_COMPARE_AND_SWAP
					atomic {
						if
						:: word[k] == seen[k] ->
							word[k] = WORD(GENERATION(seen[k]) + 1, FREE);
							listed[k] = false
						:: word[k] != seen[k] ->
#ifndef WITHOUT_LOOK_AT_WHO_CAME_BACK
							/* its node came back and stands where it stood */
							listed[k] = (STATE(word[k]) == ACTIVE);
#else
							listed[k] = false;
#endif
							seen[k] = word[k];
							dead[k] = false
						fi
					}
#else
					word[k] = WORD(GENERATION(seen[k]) + 1, FREE);
					listed[k] = false
#endif
				fi
			:: else
			fi
		}
		atomic {
			limit = head;
			if :: listed[0] && cursor[0] < limit -> limit = cursor[0] :: else fi;
			if :: listed[1] && cursor[1] < limit -> limit = cursor[1] :: else fi
		}
		if
		:: limit > released -> released = limit
		:: else
		fi;
		/* One who has a place, lives and reads, is waited for. */
		atomic {
			assert(!(settled[0] && released > cursor[0]));
			assert(!(settled[1] && released > cursor[1]))
		}
	od
}

proctype subscriber(byte i)
{
	byte mine, deaths;

	do
	:: done[i] -> break
	:: !done[i] && settled[i] && cursor[i] < N_FRAMES ->
		cursor[i]++
	:: !done[i] && settled[i] && cursor[i] == N_FRAMES ->
		done[i] = true
	:: !done[i] && deaths < N_DEATHS && alive[i] ->
		atomic { deaths++; alive[i] = false; settled[i] = false }
		if
		:: true -> break /* for good */
		:: true -> alive[i] = true
		fi
	:: !done[i] && alive[i] && !settled[i] ->
		/* resume: the generation goes up first, which keeps the publisher from evicting what is filled in */
		mine = word[i];
		if
		:: STATE(mine) == ACTIVE ->
#ifndef WITHOUT_GENERATION_ON_RESUMING
			atomic {
				if
				:: word[i] == mine -> word[i] = WORD(GENERATION(mine) + 1, ACTIVE); settled[i] = true
				:: else
				fi
			}
#else
			settled[i] = true
#endif
		:: else ->
			/* Evicted: it begins anew with what is there (join.pml), which is no more its loss. */
			done[i] = true
		fi
	od
}

init {
	atomic { run publisher(); run subscriber(0); run subscriber(1) }
}
