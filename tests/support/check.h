/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one door to cmocka. A test is a sentence that is true:
 *
 *	TEST(a_full_pool_refuses_and_counts)
 *	{
 *		assert_int_equal(...);
 *	}
 *
 * Tests register themselves before main, so there is no list to keep. `test_x NAME` runs those
 * whose name contains NAME. main() is in check.c.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef void (*check_fn)(void **state);

void check_register(const char *name, check_fn fn);

#define TEST(sentence) \
	static void sentence(void **state); \
	__attribute__((constructor)) static void register_##sentence(void) \
	{ \
		check_register(#sentence, sentence); \
	} \
	static void sentence(__attribute__((unused)) void **state)

/* How long a test waits for what must come. Nothing takes this long unless it is lost, on a busy
 * machine and under a sanitizer neither. */
enum {
	CHECK_PATIENCE_S = 60,
	CHECK_PATIENCE_MS = 1000 * CHECK_PATIENCE_S
};
#define CHECK_PATIENCE_NS (CHECK_PATIENCE_S * INT64_C(1000000000))

/* A splitmix64 stream: random tests print the seed with which a failure can be had again. */
struct check_random {
	uint64_t state;
};

/* Seed from $FORNIX_TEST_SEED, else from the clock; printed. */
struct check_random check_random_seeded(void);
uint64_t check_random_u64(struct check_random *random);
/* Uniform in [0, n), n > 0. */
uint64_t check_random_below(struct check_random *random, uint64_t n);
/* Uniform in [0, 1). */
double check_random_unit(struct check_random *random);

/* A fresh directory under $TMPDIR, removed at exit with all it holds. By default in /dev/shm, where
 * segments lie at the rig, and where nobody waits for a disk. */
const char *check_scratch_dir(void);

/* The directory of recordings and vectors beside the project, or NULL where there is none:
 * $FORNIX_DATA, else ../shared beside the source tree. `name` is appended, e.g. "vectors/dec". */
const char *check_data(const char *name);
