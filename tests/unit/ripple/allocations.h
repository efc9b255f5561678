/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts what the program allocates, by standing in front of the C library's allocator. Include in
 * one file of a test program. Under a sanitizer, which stands there itself, the count stays 0.
 */
#pragma once

#include <stdlib.h>

static size_t n_allocations;

#ifndef FNX_SANITIZED
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
