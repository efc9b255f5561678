/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts every allocation of the program. Under a sanitizer, whose allocator must not be replaced,
 * it counts none. */
#pragma once

#include <stddef.h>

static size_t n_allocations;

#ifndef FNX_SANITIZED
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

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

void *realloc(void *old, size_t size)
{
	n_allocations++;
	return __libc_realloc(old, size);
}
#endif
