/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a writer may die: between any two instructions. A child is stepped through its work one
 * instruction at a time, and after each what it has left is recovered in a copy: it must be exactly
 * one of the states that were committed, and never one from before the last one seen.
 */
#include "bus/journal.h"

#include "tests/support/stepping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	LOG_MAX = 4096,
	MEMORY_MAX = 512,
};

struct arena {
	_Alignas(64) unsigned char log[LOG_MAX];
	_Alignas(64) unsigned char memory[MEMORY_MAX];
};

TEST(what_was_not_committed_is_undone_and_what_was_stays)
{
	struct check_random random = check_random_seeded();
	struct arena arena, model;
	struct fnx_journal journal;

	for (int round = 0; round < 300; round++) {
		size_t size = 1 + check_random_below(&random, MEMORY_MAX);
		int recovered, n = (int)check_random_below(&random, 12);

		memset(&arena, (int)check_random_u64(&random) & 0xff, sizeof(arena));
		assert_int_equal(
			fnx_journal_init(&journal, arena.log, LOG_MAX, arena.memory, size), 0);
		for (int commits = (int)check_random_below(&random, 4); commits >= 0; commits--) {
			fnx_journal_commit(&journal);
			model = arena;
			for (int i = 0; i < n; i++) {
				size_t from = check_random_below(&random, size);
				size_t length = check_random_below(&random, size - from + 1);

				/* The last one is remembered, and never changed. */
				fnx_journal_touch(&journal, arena.memory + from, length);
				for (size_t k = from; i < n - 1 && k < from + length; k++)
					arena.memory[k] = (unsigned char)check_random_u64(&random);
			}
		}
		if (fnx_journal_overflows(&journal))
			continue;
		recovered = fnx_journal_recover(&journal, arena.log, LOG_MAX, arena.memory, size);
		assert_int_equal(recovered, n > 0);
		assert_memory_equal(arena.memory, model.memory, MEMORY_MAX);
		assert_int_equal(
			fnx_journal_recover(&journal, arena.log, LOG_MAX, arena.memory, size), 0);
	}
}

TEST(a_log_that_is_too_full_says_so_until_the_next_commit)
{
	struct arena arena = {0};
	struct fnx_journal journal;
	size_t log_size = fnx_journal_log_size(2, 16);

	assert_int_equal(
		fnx_journal_init(&journal, arena.log, log_size, arena.memory, MEMORY_MAX), 0);
	fnx_journal_touch(&journal, arena.memory, 8);
	fnx_journal_touch(&journal, arena.memory + 3, 8);
	assert_int_equal(fnx_journal_validate(arena.log, log_size, MEMORY_MAX), 1);
	fnx_journal_touch(&journal, arena.memory, 64);
	assert_int_equal(fnx_journal_validate(arena.log, log_size, MEMORY_MAX), -EOVERFLOW);
	fnx_journal_touch(&journal, arena.memory, 1);
	assert_int_equal(
		fnx_journal_recover(&journal, arena.log, log_size, arena.memory, MEMORY_MAX),
		-EOVERFLOW);
	assert_int_equal(fnx_journal_overflows(&journal), 2);
	fnx_journal_commit(&journal);
	assert_int_equal(
		fnx_journal_recover(&journal, arena.log, log_size, arena.memory, MEMORY_MAX), 0);
	assert_int_equal(fnx_journal_overflows(&journal), 2);
}

TEST(a_log_of_the_size_that_was_asked_for_holds_as_many_touches)
{
	struct check_random random = check_random_seeded();
	struct arena arena = {0};
	struct fnx_journal journal;

	for (int round = 0; round < 200; round++) {
		size_t sizes[20], n = 1 + check_random_below(&random, 20), sum = 0, log_size;

		for (size_t i = 0; i < n; i++)
			sum += sizes[i] = check_random_below(&random, 120);
		log_size = fnx_journal_log_size(n, sum);
		assert_int_equal(
			fnx_journal_init(&journal, arena.log, log_size, arena.memory, MEMORY_MAX),
			0);
		for (size_t i = 0; i < n; i++)
			fnx_journal_touch(&journal, arena.memory, sizes[i]);
		assert_int_equal(fnx_journal_overflows(&journal), 0);
	}
}

TEST(bytes_outside_the_memory_are_refused_and_counted)
{
	struct arena arena = {0};
	struct fnx_journal journal;
	const unsigned char *const places[] = {arena.memory + MEMORY_MAX - 7, arena.memory - 1,
		arena.log, arena.memory + MEMORY_MAX};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(
			fnx_journal_init(&journal, arena.log, LOG_MAX, arena.memory, MEMORY_MAX),
			0);
		fnx_journal_touch(&journal, places[i], 8);
		assert_int_equal(fnx_journal_overflows(&journal), 1);
		assert_int_equal(fnx_journal_validate(arena.log, LOG_MAX, MEMORY_MAX), -EOVERFLOW);
	}
	fnx_journal_touch(NULL, NULL, 8);
	fnx_journal_commit(NULL);
}

TEST(a_log_of_other_memory_is_not_taken_for_ones_own)
{
	struct arena arena = {0};
	struct fnx_journal journal;

	assert_int_equal(
		fnx_journal_recover(&journal, arena.log, LOG_MAX, arena.memory, 100), -EBADMSG);
	assert_int_equal(fnx_journal_init(&journal, arena.log, 63, arena.memory, 100), -EINVAL);
	assert_int_equal(
		fnx_journal_init(&journal, arena.log + 4, 128, arena.memory, 100), -EINVAL);
	assert_int_equal(fnx_journal_init(&journal, arena.log, LOG_MAX, arena.memory, 100), 0);
	assert_int_equal(
		fnx_journal_recover(&journal, arena.log, LOG_MAX, arena.memory, 101), -EBADMSG);
	assert_int_equal(
		fnx_journal_recover(&journal, arena.log, LOG_MAX - 8, arena.memory, 100), -EBADMSG);
	assert_int_equal(fnx_journal_recover(&journal, arena.log, LOG_MAX, arena.memory, 100), 0);
}

/* Under AddressSanitizer a write beyond the memory would end the test; without, the guard bytes
 * tell. */
TEST(any_bytes_in_the_log_change_nothing_but_the_memory)
{
	struct check_random random = check_random_seeded();
	struct arena *arena = malloc(sizeof(*arena)), before;
	unsigned taken = 0, refused = 0;

	assert_non_null(arena);
	for (int round = 0; round < 20000; round++) {
		size_t size = 1 + check_random_below(&random, MEMORY_MAX - 8);
		struct fnx_journal_log *log = (struct fnx_journal_log *)arena->log;
		struct fnx_journal journal;
		int r;

		memset(arena, 0xa5, sizeof(*arena));
		assert_int_equal(
			fnx_journal_init(&journal, arena->log, LOG_MAX, arena->memory, size), 0);
		for (uint64_t i = check_random_below(&random, 8); i; i--)
			fnx_journal_touch(
				&journal, arena->memory, check_random_below(&random, size) + 1);
		for (uint64_t i = 1 + check_random_below(&random, 4); i; i--) {
			uint64_t end = log->used < LOG_MAX - 64 ? log->used : 64;
			uint64_t at = check_random_below(&random, 4)
				? 64 + check_random_below(&random, end + 1)
				: check_random_below(&random, 64);

			arena->log[at] = (unsigned char)check_random_u64(&random);
			if (!check_random_below(&random, 4))
				atomic_store(
					&log->used, check_random_below(&random, LOG_MAX) & ~7u);
		}
		before = *arena;
		r = fnx_journal_recover(&journal, arena->log, LOG_MAX, arena->memory, size);
		if (r < 0) {
			assert_memory_equal(arena, &before, sizeof(before));
			refused++;
		} else {
			taken++;
		}
		for (size_t i = size; i < MEMORY_MAX; i++)
			assert_int_equal(arena->memory[i], 0xa5);
	}
	free(arena);
	assert_in_range(taken, 100, 20000);
	assert_in_range(refused, 100, 20000);
}

/* Stepping
 * ------------------------------------------------------------------------------------------------
 */

enum {
	STEP_MEMORY = 96, /* the number of the last transaction, and what it made of the rest */
	STEP_LOG = 512,
};

struct work {
	_Alignas(64) unsigned char log[STEP_LOG];
	_Alignas(64) unsigned char memory[STEP_MEMORY];
};

/* What transaction `t` does to memory: a few places, of several sizes, one of them twice. */
static void transact(struct fnx_journal *journal, unsigned char *memory, uint64_t t)
{
	size_t from = 8 + t * 7 % 60;

	fnx_journal_touch(journal, memory + from, t % 20 + 1);
	memset(memory + from, (int)(t * 31 & 0xff), t % 20 + 1);
	fnx_journal_touch(journal, memory, 8);
	memcpy(memory, &t, 8);
	fnx_journal_touch(journal, memory + from + 1, 9);
	memset(memory + from + 1, (int)(t * 17 & 0xff), 9);
}

static void expect(uint64_t t, unsigned char *ret_memory)
{
	memset(ret_memory, 0, STEP_MEMORY);
	for (uint64_t i = 1; i <= t; i++)
		transact(NULL, ret_memory, i);
}

/* The transaction of which a writer that died now has left the result; fails if there is none. */
static uint64_t committed(const struct work *work)
{
	unsigned char model[STEP_MEMORY];
	struct work copy = *work;
	struct fnx_journal journal;
	uint64_t t;

	assert_true(
		fnx_journal_recover(&journal, copy.log, STEP_LOG, copy.memory, STEP_MEMORY) >= 0);
	memcpy(&t, copy.memory, 8);
	expect(t, model);
	assert_memory_equal(copy.memory, model, STEP_MEMORY);
	return t;
}

static struct work *shared_work(void)
{
	struct work *work = mmap(
		NULL, sizeof(*work), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(work != MAP_FAILED);
	return work;
}

static void twelve_transactions(void *argument)
{
	struct work *work = argument;
	struct fnx_journal journal;

	if (fnx_journal_recover(&journal, work->log, STEP_LOG, work->memory, STEP_MEMORY))
		_exit(1);
	for (uint64_t t = 1; t <= 12; t++) {
		transact(&journal, work->memory, t);
		fnx_journal_commit(&journal);
	}
}

TEST(a_writer_killed_between_any_two_instructions_leaves_a_committed_state)
{
	struct work *work = shared_work();
	struct fnx_journal journal;
	uint64_t last = 0, steps = 0;
	pid_t child;

	assert_int_equal(
		fnx_journal_init(&journal, work->log, STEP_LOG, work->memory, STEP_MEMORY), 0);
	child = stepping_begin(twelve_transactions, work);
	while (stepping_step(child)) {
		uint64_t t = committed(work);

		assert_in_range(t, last, last + 1);
		last = t;
		steps++;
	}
	stepping_end(child);
	assert_int_equal(last, 12);
	assert_in_range(steps, 100, 1000000);
	munmap(work, sizeof(*work));
}

static void recover(void *argument)
{
	struct work *work = argument;
	struct fnx_journal journal;

	if (fnx_journal_recover(&journal, work->log, STEP_LOG, work->memory, STEP_MEMORY) < 0)
		_exit(1);
}

TEST(a_recovery_killed_between_any_two_instructions_is_done_by_the_next)
{
	struct work *work = shared_work();

	for (uint64_t t = 1; t <= 8; t++) {
		struct fnx_journal journal;
		pid_t child;

		expect(t, work->memory);
		assert_int_equal(
			fnx_journal_init(&journal, work->log, STEP_LOG, work->memory, STEP_MEMORY),
			0);
		transact(&journal, work->memory, t + 1);
		child = stepping_begin(recover, work);
		while (stepping_step(child))
			assert_int_equal(committed(work), t);
		stepping_end(child);
		assert_int_equal(fnx_journal_validate(work->log, STEP_LOG, STEP_MEMORY), 0);
	}
	munmap(work, sizeof(*work));
}
