/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting allocations. Under a sanitizer, which brings an allocator of its own, nothing may be
 * counted. */
#include "nodes/host/host.h"
#include "tests/support/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t counter;
static void *volatile kept; /* so that no allocation is optimised away */

#ifdef FNX_SANITIZED
static const unsigned weight = 0;
#else
static const unsigned weight = 1;
#endif

static void keep(void *memory)
{
	assert_non_null(memory);
	kept = memory;
	free(kept);
}

TEST(each_way_to_allocate_counts_once)
{
	void *memory = NULL;

	counter = 0;
	fnx_heap_watch(&counter);
	keep(malloc(100));
	keep(calloc(3, 100));
	keep(aligned_alloc(64, 128));
	assert_int_equal(posix_memalign(&memory, 256, 100), 0);
	keep(memory);
	keep(strdup("a string"));
	memory = realloc(NULL, 10);
	kept = memory;
	keep(realloc(kept, 1000000));
	fnx_heap_watch(NULL);
	assert_int_equal(counter, 7 * weight);
	keep(malloc(100));
	assert_int_equal(counter, 7 * weight);
}

TEST(what_is_allocated_is_aligned_zeroed_and_kept_as_it_should_be)
{
	unsigned char *bytes = calloc(1, 5000);
	void *memory = NULL;

	assert_non_null(bytes);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(bytes[i], 0);
	memset(bytes, 0x5a, 5000);
	bytes = realloc(bytes, 500000);
	assert_non_null(bytes);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(bytes[i], 0x5a);
	free(bytes);
	for (size_t alignment = sizeof(void *); alignment <= 65536; alignment *= 2) {
		assert_int_equal(posix_memalign(&memory, alignment, 10), 0);
		assert_int_equal((uintptr_t)memory % alignment, 0);
		free(memory);
		memory = aligned_alloc(alignment, alignment);
		assert_int_equal((uintptr_t)memory % alignment, 0);
		free(memory);
	}
}

TEST(an_impossible_alignment_is_refused)
{
	/* Not known to the compiler, which knows better than to ask for such. */
	volatile size_t impossible[] = {0, 1, 24, 100};
	void *memory = &counter;

#ifdef FNX_SANITIZED
	return; /* it ends the process */
#endif
	for (unsigned i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		assert_int_equal(posix_memalign(&memory, impossible[i], 10), EINVAL);
		assert_ptr_equal(memory, &counter);
	}
}

static void *allocate(void *unused)
{
	(void)unused;
	for (int i = 0; i < 1000; i++)
		keep(malloc(10));
	return NULL;
}

TEST(what_other_threads_allocate_does_not_count)
{
	pthread_t thread;
	uint64_t before;

	counter = 0;
	assert_int_equal(pthread_create(&thread, NULL, allocate, NULL), 0);
	fnx_heap_watch(&counter);
	before = counter;
	pthread_join(thread, NULL);
	assert_int_equal(counter, before);
	fnx_heap_watch(NULL);
}
