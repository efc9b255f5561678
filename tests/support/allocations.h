/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts what the program allocates, on any thread, by standing in front of the C library's
 * allocator. Include in one file of a test program. Under a sanitizer, which stands there itself, it
 * is the sanitizer that tells.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>

static _Atomic uint64_t n_allocations;

#ifdef FNX_SANITIZED
int __sanitizer_install_malloc_and_free_hooks(
	void (*on_malloc)(const volatile void *, size_t), void (*on_free)(const volatile void *));

static void count_malloc(const volatile void *memory, size_t size)
{
	(void)memory, (void)size;
	n_allocations++;
}

static void count_free(const volatile void *memory)
{
	(void)memory;
}

__attribute__((constructor)) static void install_counters(void)
{
	if (!__sanitizer_install_malloc_and_free_hooks(count_malloc, count_free))
		abort();
}
#else
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	n_allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	n_allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size)
{
	n_allocations++;
	return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	n_allocations++;
	return __libc_memalign(alignment, size);
}
#endif
