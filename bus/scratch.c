/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Under AddressSanitizer what lies behind a loan is out of bounds, although it is ours: a buffer
 * that only grows would hide every overrun into a larger loan of before.
 */
#include "bus/scratch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

static atomic_int poison_loans;

void fnx_scratch_init(struct fnx_scratch *scratch)
{
	*scratch = (struct fnx_scratch){0};
}

int fnx_scratch_reserve(struct fnx_scratch *scratch, size_t size)
{
	void *memory;

	if (size <= scratch->size)
		return 0;
	if (size > SIZE_MAX - FNX_CACHE_LINE)
		return -ENOMEM;
	size = (size + FNX_CACHE_LINE - 1) / FNX_CACHE_LINE * FNX_CACHE_LINE;
	memory = aligned_alloc(FNX_CACHE_LINE, size);
	if (!memory)
		return -ENOMEM;
	memset(memory, 0, size);
	fnx_scratch_fini(scratch);
	scratch->memory = memory;
	scratch->size = size;
	return 0;
}

void *fnx_scratch_loan(struct fnx_scratch *scratch, size_t size)
{
	if (size == 0)
		size = 1;
	if (size > scratch->size) {
		if (fnx_scratch_reserve(scratch, size) < 0)
			return NULL;
		scratch->n_grown++;
	}
	ASAN_UNPOISON_MEMORY_REGION(scratch->memory, scratch->size);
	/* All bits set is a NaN in every floating format, and no valid index. */
	if (atomic_load_explicit(&poison_loans, memory_order_relaxed))
		memset(scratch->memory, 0xff, scratch->size);
	ASAN_POISON_MEMORY_REGION((unsigned char *)scratch->memory + size, scratch->size - size);
	return scratch->memory;
}

void fnx_scratch_fini(struct fnx_scratch *scratch)
{
	if (scratch->memory)
		ASAN_UNPOISON_MEMORY_REGION(scratch->memory, scratch->size);
	free(scratch->memory);
	scratch->memory = NULL;
	scratch->size = 0;
}

void fnx_scratch_poison_loans(int on)
{
	atomic_store(&poison_loans, on);
}
