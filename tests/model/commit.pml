/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commit and restart of a node: bus/journal.h and what the host makes of it. The node takes frames 0 .. N_FRAMES - 1 of its
 * input, changes its state with each, and publishes two frames for each (same sample time and origin). It commits now and
 * then: one store makes stay what it changed since, its input cursor among it; only then does it give its input frames back.
 * It is killed up to N_KILLS times, between any two steps. What it has stored is all there, in program order (a kill empties
 * no store buffer, so that there are none here).
 *
 * A successor undoes what was not committed, takes the input from the committed cursor, and does not publish again what lies
 * at or before the topic's tail, the frame published last: by origin, and by how many of that origin there are in a row.
 *
 * Statement 3, of a whole node: subscribers of its output see each frame once, in order, whatever died; and the state is in
 * the end what it would have been.
 */
#define N_FRAMES 3
#define N_KILLS 2
#define PER_FRAME 2

byte state; /* what the node has learnt: a function of the frames taken, in order */
byte cursor; /* part of the same memory */
byte old_state, old_cursor; /* the journal's records */
bool undo_state, undo_cursor; /* ... and whether they are there */
byte given_back; /* the input's own cursor in .subs: what lies below is gone for good */
byte tail_origin, tail_count; /* of the output: origin + 1 of the last frame, and how many of it */
byte n_published;
byte n_kills;

/* Neither symmetric nor idempotent: another order or a frame taken twice gives another number. */
#define LEARN(s, frame) ((s) * 3 + (frame) + 1)

#define MAY_DIE if :: n_kills < N_KILLS -> n_kills++; goto dead :: true fi

inline commit()
{
#ifndef WITHOUT_ONE_STORE_FOR_THE_COMMIT
	d_step { undo_state = false; undo_cursor = false }
#else
	undo_state = false;
	MAY_DIE;
	undo_cursor = false
#endif
}

inline give_back()
{
	given_back = cursor
}

inline publish(origin)
{
	/* Published and its entry written: one store, the tag. */
	d_step {
		/* each in its turn, and once */
		assert(n_published == origin * PER_FRAME + k);
		n_published++;
		tail_count = (tail_origin == origin + 1 -> tail_count + 1 : 1);
		tail_origin = origin + 1
	}
}

active proctype node()
{
	byte k, skip_origin, skip_count;
life:
	/* recover: undo what was not committed, backwards; may be killed and done again */
#ifndef WITHOUT_UNDO
	if
	:: undo_cursor -> cursor = old_cursor; MAY_DIE; undo_cursor = false
	:: else
	fi;
	MAY_DIE;
	if
	:: undo_state -> state = old_state; MAY_DIE; undo_state = false
	:: else
	fi;
#else
	undo_cursor = false;
	undo_state = false;
#endif
	/* What the committed state needs is still there. */
	assert(given_back <= cursor);
#ifndef WITHOUT_SUPPRESSION
	skip_origin = tail_origin;
	skip_count = tail_count;
#else
	skip_origin = 0;
	skip_count = 0;
#endif
	do
	:: cursor == N_FRAMES -> break
	:: else ->
		MAY_DIE;
		/* touch before change */
#ifndef WITHOUT_TOUCH_BEFORE_CHANGE
		if
		:: !undo_state -> old_state = state; MAY_DIE; undo_state = true
		:: else
		fi;
		MAY_DIE;
		state = LEARN(state, cursor);
#else
		k = state;
		state = LEARN(state, cursor);
		MAY_DIE;
		if
		:: !undo_state -> old_state = k; undo_state = true
		:: else
		fi;
#endif
		for (k : 0 .. PER_FRAME - 1) {
			MAY_DIE;
			if
			:: cursor + 1 < skip_origin || (cursor + 1 == skip_origin && k < skip_count) -> skip
			:: else -> publish(cursor)
			fi
		}
		MAY_DIE;
		if
		:: !undo_cursor -> old_cursor = cursor; MAY_DIE; undo_cursor = true
		:: else
		fi;
		cursor++;
		MAY_DIE;
		if
		:: true ->
#ifndef WITHOUT_COMMIT_BEFORE_GIVING_BACK
			commit();
			MAY_DIE;
			give_back()
#else
			give_back();
			MAY_DIE;
			commit()
#endif
		:: cursor < N_FRAMES -> skip
		fi
	od;
	assert(n_published == N_FRAMES * PER_FRAME);
	assert(state == LEARN(LEARN(LEARN(0, 0), 1), 2));
	goto end;
dead:
	goto life;
end:
	skip
}
