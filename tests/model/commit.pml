/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commit and restart of a node: bus/journal.c and what the host makes of it (nodes/host/progress.c, drive.c take, node.c
 * is_done). The node takes frames 0 .. N_FRAMES - 1 of its input. With each it changes its state, in two places one after the
 * other, publishes two frames (same sample time and origin), and moves its cursor; then it commits: it notes how many frames
 * its output has, and by one store makes stay what it changed since the last time. Only then does it give the input frame back.
 *
 * Its memory is an array of items under an undo journal: the old value goes into a record, the record is counted, and then the
 * item is changed. The node is killed up to N_KILLS times, between any two stores. What it has stored is all there, in program
 * order (a kill empties no store buffer, so that there are none here).
 *
 * A successor undoes what was not committed, backwards, and takes the input from the committed cursor. What its output's
 * ledger holds beyond the committed count is what the predecessor did not live to commit: it passes over what it makes that has
 * the origin of one of those.
 *
 * Statement 3, of a whole node: subscribers of its output see each frame once, in order, whatever died; and the state is in
 * the end what it would have been.
 */
#ifndef N_FRAMES
#define N_FRAMES 3
#endif
#ifndef N_KILLS
#define N_KILLS 2
#endif
#define PER_FRAME 2
#define RECORDS 5 /* of one step at the most */

#define STATE 0 /* what the node has learnt: a function of the frames taken, in order */
#define CURSOR 1 /* progress->inputs[].next */
#define HEADS 2 /* progress->heads[]: frames published when it committed last */
byte item[3];

byte record_item[RECORDS], record_old[RECORDS];
byte used; /* records that count */

byte given_back; /* the input's own cursor in .subs: what lies below is gone for good */
byte origins[N_FRAMES * PER_FRAME]; /* of the frames that the output's ledger holds */
byte head; /* of the output */
byte n_kills;

/* Neither symmetric nor idempotent: another order or a frame taken twice gives another number. */
#define LEARN(s, frame) ((s) * 3 + (frame) + 1)
#define AFTER(s, frame) LEARN(LEARN(s, frame), frame)

#define MAY_DIE if :: n_kills < N_KILLS -> n_kills++; goto dead :: true fi

inline touch(i)
{
	assert(used < RECORDS);
	record_item[used] = i;
	record_old[used] = item[i];
	MAY_DIE;
	used++;
	MAY_DIE
}

inline learn(frame)
{
#ifndef WITHOUT_TOUCH_BEFORE_CHANGE
	touch(STATE);
	item[STATE] = LEARN(item[STATE], frame)
#else
	k = item[STATE];
	item[STATE] = LEARN(item[STATE], frame);
	MAY_DIE;
	record_item[used] = STATE;
	record_old[used] = k;
	used++
#endif
}

inline publish(frame)
{
	i = repeat;
	do
	:: i < repeat_end && origins[i] != frame -> i++
	:: else -> break
	od;
	if
	:: i < repeat_end -> repeat = i + 1
	:: else ->
		MAY_DIE;
		/* Published and its entry written: one store, the tag. */
		d_step {
			/* each in its turn, and once */
			assert(head < N_FRAMES * PER_FRAME && head / PER_FRAME == frame);
			origins[head] = frame;
			head++
		}
	fi
}

inline commit()
{
#ifndef WITHOUT_TOUCH_OF_THE_HEADS
	touch(HEADS);
#endif
	item[HEADS] = head;
	MAY_DIE;
#ifndef WITHOUT_ONE_STORE_FOR_THE_COMMIT
	used = 0
#else
	do
	:: used > 0 -> used--; MAY_DIE
	:: else -> break
	od
#endif
}

inline undo()
{
#ifndef WITHOUT_UNDO
#ifndef WITHOUT_UNDOING_BACKWARDS
	do
	:: used > 0 ->
		item[record_item[used - 1]] = record_old[used - 1];
		MAY_DIE;
		used--;
		MAY_DIE
	:: else -> break
	od
#else
	for (i : 0 .. RECORDS - 1) {
		if
		:: i < used -> item[record_item[i]] = record_old[i]; MAY_DIE
		:: else
		fi
	}
	used = 0
#endif
#else
	used = 0
#endif
}

active proctype node()
{
	byte i, k, repeat, repeat_end;
life:
	undo();
	/* What the committed state needs is still there. */
	assert(given_back <= item[CURSOR]);
#ifndef WITHOUT_SUPPRESSION
	repeat = item[HEADS];
	repeat_end = head;
#endif
	do
	:: item[CURSOR] == N_FRAMES -> break
	:: else ->
		touch(CURSOR);
		learn(item[CURSOR]);
		MAY_DIE;
		publish(item[CURSOR]);
		MAY_DIE;
		learn(item[CURSOR]);
		MAY_DIE;
		publish(item[CURSOR]);
		MAY_DIE;
		item[CURSOR] = item[CURSOR] + 1;
		MAY_DIE;
#ifndef WITHOUT_COMMIT_BEFORE_GIVING_BACK
		commit();
		MAY_DIE;
		given_back = item[CURSOR]
#else
		given_back = item[CURSOR];
		MAY_DIE;
		commit()
#endif
	od;
	assert(head == N_FRAMES * PER_FRAME);
	k = 0;
	for (i : 0 .. N_FRAMES - 1) {
		k = AFTER(k, i)
	}
	assert(item[STATE] == k);
	goto end;
dead:
	goto life;
end:
	skip
}
