/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every access that the bus makes to shared memory, as a call. A file of bus/ that is compiled with
 * `-include` of this header has each of its atomic operations replaced by one of the functions
 * below, whatever its type and however the file is written. Who links it brings the functions: a
 * scheduler that lets others run in between and holds stores back, a vandal that changes what is
 * about to be read.
 *
 * All values travel as 64 bits; `size` is 1, 2, 4 or 8 bytes; orders are those of C11.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

uint64_t shared_load(const volatile void *at, size_t size, int order);
void shared_store(volatile void *at, size_t size, uint64_t value, int order);
/* The old value. */
uint64_t shared_exchange(volatile void *at, size_t size, uint64_t value, int order);
uint64_t shared_add(volatile void *at, size_t size, uint64_t value, int order);
uint64_t shared_or(volatile void *at, size_t size, uint64_t bits, int order);
uint64_t shared_and(volatile void *at, size_t size, uint64_t bits, int order);
/* 1: it was `expected`, and now is `value`. *ret_found: what was there. */
int shared_compare_exchange(volatile void *at, size_t size, uint64_t expected, uint64_t value,
	int order, uint64_t *ret_found);
void shared_fence(int order);

/* The access itself, for those who bring the functions. */
static inline uint64_t shared_raw_load(const volatile void *at, size_t size)
{
	switch (size) {
	case 1:
		return __atomic_load_n((const volatile uint8_t *)at, __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_load_n((const volatile uint16_t *)at, __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_load_n((const volatile uint32_t *)at, __ATOMIC_SEQ_CST);
	default:
		return __atomic_load_n((const volatile uint64_t *)at, __ATOMIC_SEQ_CST);
	}
}

static inline void shared_raw_store(volatile void *at, size_t size, uint64_t value)
{
	/* Relaxed: those who use it have one thread. */
	switch (size) {
	case 1:
		__atomic_store_n((volatile uint8_t *)at, (uint8_t)value, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((volatile uint16_t *)at, (uint16_t)value, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((volatile uint32_t *)at, (uint32_t)value, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((volatile uint64_t *)at, value, __ATOMIC_RELAXED);
	}
}

#define SHARED_TYPE(at) __typeof__(((void)0, *(at)))

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
/* Whoever uses one of these finds that it is missing, rather than that it is not seen. */
#undef atomic_fetch_xor
#undef atomic_fetch_xor_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit
#undef atomic_thread_fence

#define atomic_load_explicit(at, order) \
	((SHARED_TYPE(at))shared_load((at), sizeof(*(at)), (int)(order)))
#define atomic_load(at) atomic_load_explicit(at, memory_order_seq_cst)
#define atomic_store_explicit(at, value, order) \
	shared_store((at), sizeof(*(at)), (uint64_t)(SHARED_TYPE(at))(value), (int)(order))
#define atomic_store(at, value) atomic_store_explicit(at, value, memory_order_seq_cst)
/* A statement expression: its value need not be used. */
#define SHARED_CHANGE(how, at, value, order) \
	__extension__({ \
		SHARED_TYPE(at) \
		shared_before = (SHARED_TYPE(at))how( \
			(at), sizeof(*(at)), (uint64_t)(SHARED_TYPE(at))(value), (int)(order)); \
		shared_before; \
	})
#define atomic_exchange_explicit(at, value, order) SHARED_CHANGE(shared_exchange, at, value, order)
#define atomic_exchange(at, value) atomic_exchange_explicit(at, value, memory_order_seq_cst)
#define atomic_fetch_add_explicit(at, value, order) SHARED_CHANGE(shared_add, at, value, order)
#define atomic_fetch_add(at, value) atomic_fetch_add_explicit(at, value, memory_order_seq_cst)
#define atomic_fetch_sub_explicit(at, value, order) SHARED_CHANGE(shared_add, at, -(value), order)
#define atomic_fetch_sub(at, value) atomic_fetch_sub_explicit(at, value, memory_order_seq_cst)
#define atomic_fetch_or_explicit(at, value, order) SHARED_CHANGE(shared_or, at, value, order)
#define atomic_fetch_or(at, value) atomic_fetch_or_explicit(at, value, memory_order_seq_cst)
#define atomic_fetch_and_explicit(at, value, order) SHARED_CHANGE(shared_and, at, value, order)
#define atomic_fetch_and(at, value) atomic_fetch_and_explicit(at, value, memory_order_seq_cst)
#define atomic_compare_exchange_strong_explicit(at, expected, value, success, failure) \
	__extension__({ \
		uint64_t shared_found; \
		int shared_done = shared_compare_exchange((at), sizeof(*(at)), \
			(uint64_t)(SHARED_TYPE(at)) * (expected), \
			(uint64_t)(SHARED_TYPE(at))(value), (int)(success), &shared_found); \
		(void)(failure); \
		if (!shared_done) \
			*(expected) = (SHARED_TYPE(at))shared_found; \
		shared_done; \
	})
#define atomic_compare_exchange_strong(at, expected, value) \
	atomic_compare_exchange_strong_explicit( \
		at, expected, value, memory_order_seq_cst, memory_order_seq_cst)
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_weak atomic_compare_exchange_strong
#define atomic_thread_fence(order) shared_fence((int)(order))
