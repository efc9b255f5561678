/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts heap allocations of a node's thread. The C library's allocator is kept; only its entrances
 * are wrapped, in every fornix executable, so that each run can state the figure and not only a
 * test.
 *
 * Sanitizers bring wrappers of their own, and there can be one: under them nothing is counted.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/host/host.h"

static _Thread_local _Atomic uint64_t *watched;

_Atomic uint64_t *fnx_heap_watch(_Atomic uint64_t *counter)
{
	_Atomic uint64_t *before = watched;

	watched = counter;
	return before;
}

#ifndef FNX_SANITIZED

/* glibc's own names of its allocator, exported for this purpose. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *memory, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
int posix_memalign(void **ret, size_t alignment, size_t size);

static void count(void)
{
	if (watched)
		atomic_fetch_add_explicit(watched, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	count();
	return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size)
{
	count();
	return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *memory;

	if (alignment % sizeof(void *) || !alignment || alignment & (alignment - 1))
		return EINVAL;
	count();
	memory = __libc_memalign(alignment, size);
	if (!memory)
		return ENOMEM;
	*ret = memory;
	return 0;
}

#endif
