/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ready queues and their sleepers: bus/task_queue.c push, wake and sleep, as bus/task_worker.c uses them. Nobody looks again
 * after a while: who sleeps relies on being woken.
 *
 * 2 pushers, 2 workers of one kind, N_ITEMS parts. More may be counted as asleep than are, since who finds work while it lies
 * down does not take itself off the count.
 *
 * As large as the suite has time for. By hand: spin -DN_ITEMS=3 -a wake.pml, 8 million states.
 *
 * No worker sleeps for ever while a part lies in the queue: at the end all were taken.
 */
#ifndef N_ITEMS
#define N_ITEMS 2
#endif
#define N_PROCESSES 4
#ifndef BUFFER
#define BUFFER 2
#endif

#define CELL(i) (i) /* 1: the part is there */
#define N_SLEEPERS N_ITEMS
#define BELL (N_ITEMS + 1)
#define N_WORDS (N_ITEMS + 2)

#include "memory.pml"

byte tail, head; /* raised by compare-and-swap alone */
byte n_taken;
bool asleep[2]; /* in the kernel, on the bell */

/* The kernel takes one of those who are there. */
inline futex_wake()
{
	atomic {
		if
		:: asleep[0] -> asleep[0] = false
		:: asleep[1] -> asleep[1] = false
		:: else
		fi
	}
}

proctype pusher(byte p)
{
	byte at, n;

	do
	:: atomic { FENCE(p) -> at = tail; if :: at < N_ITEMS -> tail++ :: else fi };
		if
		:: at == N_ITEMS -> break
		:: else
		fi;
		STORE(p, CELL(at), 1);
#ifndef WITHOUT_FENCE_BEFORE_THE_WAKE
		FENCE(p);
#endif
		n = mem[N_SLEEPERS];
		if
		:: n == 0
		:: else ->
			/* take_sleeper */
			atomic {
				FENCE(p) -> n = mem[N_SLEEPERS];
				if
				:: n > 0 -> mem[N_SLEEPERS] = n - 1
				:: else
				fi
			};
			if
			:: n > 0 ->
#ifndef WITHOUT_RAISING_THE_BELL
				atomic { FENCE(p) -> mem[BELL] = mem[BELL] + 1 };
#endif
				futex_wake()
			:: else
			fi
		fi
	od
}

inline pop()
{
	atomic {
		FENCE(2 + w);
		if
		:: head < N_ITEMS && mem[CELL(head)] == 1 -> head++; n_taken++; got = 1
		:: else -> got = 0
		fi
	}
}

#define IS_EMPTY (head == N_ITEMS || mem[CELL(head)] == 0)

proctype worker(byte w)
{
	byte seen;
	bit got, empty_;

	do
	:: pop();
		if
		:: got
		:: else ->
			seen = mem[BELL];
#ifdef WITHOUT_LOOKING_AFTER_BEING_COUNTED
			empty_ = IS_EMPTY;
#endif
			atomic { FENCE(2 + w) -> mem[N_SLEEPERS] = mem[N_SLEEPERS] + 1 };
#ifndef WITHOUT_LOOKING_AFTER_BEING_COUNTED
			empty_ = IS_EMPTY;
#endif
			if
			:: empty_ ->
				atomic {
					if
					:: mem[BELL] == seen -> asleep[w] = true
					:: else
					fi
				};
end:
				!asleep[w]
			:: else
			fi
		fi
	od
}

active proctype judge()
{
	timeout -> assert(n_taken == N_ITEMS)
}

init
{
	atomic {
		run drain(0);
		run drain(1);
		run drain(2);
		run drain(3);
		run pusher(0);
		run pusher(1);
		run worker(0);
		run worker(1)
	}
}
