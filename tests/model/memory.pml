/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory as x86 has it: each process has a store buffer, first in, first out. Included by the models.
 *
 *	STORE(p, a, v)  relaxed or release store: goes into p's buffer, and becomes visible some time later
 *	SEQ_CST(p, a, v)  seq_cst store: nothing goes on before it, and all that was stored before, is visible
 *	FENCE(p)        waits until p's buffer is empty
 *	mem[a]          load of what is visible. No process loads what it has stored itself and not fenced: it keeps a copy.
 *
 * An atomic exchange is a FENCE and one step on mem. A process that is killed
 * leaves its buffer, which drains all the same.
 *
 * The model that includes this defines N_WORDS, N_PROCESSES and BUFFER (stores that a buffer can hold; who finds it full
 * waits, which is one of the orders there are).
 */
byte mem[N_WORDS];
chan buffer[N_PROCESSES] = [BUFFER] of { byte, byte };

#define STORE(p, a, v) buffer[p] ! a, v
#define SEQ_CST(p, a, v) atomic { empty(buffer[p]) -> mem[a] = v }
#define FENCE(p) empty(buffer[p])

proctype drain(byte p)
{
	byte a, v;
end:
	do
	:: atomic { buffer[p] ? a, v -> mem[a] = v }
	od
}
