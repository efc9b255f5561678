/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From one stack to another, without the system calls for the signal mask that swapcontext makes:
 * a play switches millions of times. What a called function must keep is pushed onto the stack that
 * is left, and popped from the one that is entered.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct place {
	void *stack_pointer;
};

/* Leaves the stack in use at `from` and goes on where `to` was left. */
void place_switch(struct place *from, const struct place *to);

#if defined(__x86_64__)
__asm__(".text\n"
	".type place_switch, @function\n"
	"place_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov (%rsi), %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size place_switch, . - place_switch\n");

enum {
	PLACE_WORDS = 8, /* six registers, the address to go to, and none to return to */
	PLACE_GO = 6,
};
#elif defined(__aarch64__)
__asm__(".text\n"
	".type place_switch, %function\n"
	"place_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	ldr x9, [x1]\n"
	"	mov sp, x9\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size place_switch, . - place_switch\n");

enum {
	PLACE_WORDS = 20,
	PLACE_GO = 11, /* x30 */
};
#else
#error "a few lines of assembly are needed for this processor"
#endif

/* The place from which `body`, which never returns, begins on a stack of its own. */
static inline struct place place_at(void (*body)(void), void *stack, size_t size)
{
	uint64_t *top = (uint64_t *)(((uintptr_t)stack + size) & ~(uintptr_t)15);
	uint64_t *words = top - PLACE_WORDS;

	for (unsigned i = 0; i < PLACE_WORDS; i++)
		words[i] = 0;
	words[PLACE_GO] = (uint64_t)(uintptr_t)body;
	return (struct place){.stack_pointer = words};
}
