/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/journal.h"
#include "nodes/encode/model.h"

enum {
	MAX_BINS = 60
};

/* A model in memory that may be shared, and the journal over it. */
struct state {
	struct fnx_model_config config;
	size_t size, log_size;
	void *memory, *log;
	struct fnx_journal journal;
	struct fnx_model *model;
};

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

static struct fnx_model_config random_config(struct check_random *random)
{
	struct fnx_model_config config = {
		.n_dims = 1 + (uint32_t)check_random_below(random, FNX_MARK_DIMS_MAX),
		.n_bins = 1 + (uint32_t)check_random_below(random, MAX_BINS),
		.capacity = 1 + (uint32_t)check_random_below(random, 700),
		.kernel_uv = 20.0,
		.single = check_random_below(random, 2),
		.cut_off = check_random_below(random, 2),
		.merge_deviations = check_random_below(random, 2) ? 0.0 : check_random_unit(random),
	};

	if (config.single && config.merge_deviations == 0.0)
		config.step_uv = 0.195;
	return config;
}

/* In place: the model keeps the journal's address. */
static void state_init(struct state *it, const struct fnx_model_config *config)
{
	size_t n_touches, n_bytes;

	it->config = *config;
	it->size = fnx_model_memory_size(config);
	fnx_model_add_needs(config, &n_touches, &n_bytes);
	it->log_size = (fnx_journal_log_size(n_touches, n_bytes) + 63) / 64 * 64;
	it->memory = map(it->size);
	it->log = map(it->log_size);
	assert_int_equal(fnx_model_init(config, it->memory, false, &it->journal, &it->model), 0);
	assert_int_equal(
		fnx_journal_init(&it->journal, it->log, it->log_size, it->memory, it->size), 0);
}

static void state_fini(struct state *it)
{
	fnx_model_free(it->model);
	munmap(it->memory, it->size);
	munmap(it->log, it->log_size);
}

/* The i-th mark is the same for whoever asks. */
static void add_nth(struct fnx_model *model, uint64_t seed, uint64_t i)
{
	struct check_random random = {seed * 1000003 + i * 7919};
	const struct fnx_model_config *config = fnx_model_config(model);
	double mark[FNX_MARK_DIMS_MAX];
	const double centre = 100.0 * (double)check_random_below(&random, 4);

	for (uint32_t d = 0; d < config->n_dims; d++)
		mark[d] = centre + 40.0 * check_random_unit(&random);
	assert_true(fnx_model_add(model, mark,
			    (int32_t)check_random_below(&random, config->n_bins)) >= 0);
}

TEST(a_model_mapped_elsewhere_goes_on_as_if_nothing_had_been)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++) {
		const struct fnx_model_config config = random_config(&random);
		const size_t size = fnx_model_memory_size(&config);
		const uint64_t n = check_random_below(&random, 1500);
		void *here = map(size), *there = map(size);
		struct fnx_model *model, *successor;

		memset(here, 0xff, size);
		assert_int_equal(fnx_model_init(&config, here, false, NULL, &model), 0);
		for (uint64_t i = 0; i < n; i++)
			add_nth(model, 1, i);
		assert_true(fnx_model_is_sound(model));
		memcpy(there, here, size);
		assert_int_equal(fnx_model_init(&config, there, true, NULL, &successor), 0);
		for (uint64_t i = n; i < n + 300; i++) {
			add_nth(model, 1, i);
			add_nth(successor, 1, i);
		}
		assert_memory_equal(here, there, size);
		fnx_model_free(model);
		fnx_model_free(successor);
		munmap(here, size);
		munmap(there, size);
	}
}

TEST(an_addition_that_was_not_committed_is_undone_to_the_byte)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 40; round++) {
		const struct fnx_model_config config = random_config(&random);
		struct state it;
		void *before;

		state_init(&it, &config);
		before = malloc(it.size);
		assert_non_null(before);
		for (uint64_t i = 0; i < 1500; i++) {
			struct fnx_model *successor;

			if (check_random_below(&random, 10)) {
				add_nth(it.model, 2, i);
				fnx_journal_commit(&it.journal);
				continue;
			}
			memcpy(before, it.memory, it.size);
			add_nth(it.model, 2, i);
			assert_int_equal(fnx_journal_recover(&it.journal, it.log, it.log_size,
						 it.memory, it.size),
				1);
			assert_memory_equal(before, it.memory, it.size);
			assert_int_equal(
				fnx_model_init(&config, it.memory, true, &it.journal, &successor),
				0);
			fnx_model_free(it.model);
			it.model = successor;
		}
		assert_int_equal(fnx_journal_overflows(&it.journal), 0);
		free(before);
		state_fini(&it);
	}
}

/* The child adds and commits until it is killed, wherever that is. */
static void add_until_killed(
	struct state *it, uint64_t seed, uint64_t n_wanted, _Atomic uint64_t *n_added)
{
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		for (;;) {
			add_nth(it->model, seed, *n_added);
			fnx_journal_commit(&it->journal);
			*n_added += 1;
		}
	}
	while (*n_added < n_wanted && !waitpid(child, NULL, WNOHANG))
		;
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

TEST(a_writer_killed_anywhere_leaves_a_model_that_can_be_resumed)
{
	struct check_random random = check_random_seeded();
	_Atomic uint64_t *n_added = map(sizeof(*n_added));

	for (int round = 0; round < 100; round++) {
		const struct fnx_model_config config = random_config(&random);
		struct state it;
		const uint64_t seed = check_random_u64(&random);
		struct fnx_model *successor;
		void *replayed;
		uint64_t n;

		state_init(&it, &config);
		replayed = map(it.size);
		*n_added = 0;
		add_until_killed(&it, seed, 20 + check_random_below(&random, 1500), n_added);
		assert_true(fnx_journal_recover(
				    &it.journal, it.log, it.log_size, it.memory, it.size) >= 0);
		assert_int_equal(fnx_model_init(&config, it.memory, true, NULL, &successor), 0);
		fnx_model_free(it.model);
		it.model = successor;
		assert_int_equal(fnx_model_init(&config, replayed, false, NULL, &successor), 0);
		for (n = 0; n < *n_added; n++)
			add_nth(successor, seed, n);
		if (memcmp(replayed, it.memory, it.size))
			add_nth(successor, seed, n); /* committed, not yet counted */
		assert_memory_equal(replayed, it.memory, it.size);
		fnx_model_free(successor);
		munmap(replayed, it.size);
		state_fini(&it);
	}
	munmap(n_added, sizeof(*n_added));
}

static void check_damage(bool cut_off, double step_uv)
{
	struct check_random random = check_random_seeded();
	const struct fnx_model_config config = {.n_dims = 3,
		.n_bins = 9,
		.capacity = 200,
		.kernel_uv = 20.0,
		.single = step_uv > 0.0,
		.step_uv = step_uv,
		.cut_off = cut_off};
	const size_t size = fnx_model_memory_size(&config);
	unsigned char *memory = map(size), *good = map(size);
	struct fnx_model_config other = config;
	struct fnx_model *model;

	assert_int_equal(fnx_model_init(&config, memory, true, NULL, &model), -EBADMSG);
	assert_int_equal(fnx_model_init(&config, memory + 8, false, NULL, &model), -EINVAL);
	assert_int_equal(fnx_model_init(&config, memory, false, NULL, &model), 0);
	for (uint64_t i = 0; i < 300; i++)
		add_nth(model, 3, i);
	fnx_model_free(model);
	other.kernel_uv = 21.0;
	assert_int_equal(fnx_model_init(&other, memory, true, NULL, &model), -EBADMSG);
	other = config;
	other.n_bins = 8;
	assert_int_equal(fnx_model_init(&other, memory, true, NULL, &model), -EBADMSG);
	other = config;
	other.single = true;
	other.step_uv = 0.25;
	assert_int_equal(fnx_model_init(&other, memory, true, NULL, &model), -EBADMSG);
	other = config;
	other.step_uv = 0.0;
	other.merge_deviations = 0.5;
	assert_int_equal(fnx_model_init(&other, memory, true, NULL, &model), -EBADMSG);
	/* Whatever the damage: refused, or harmless to use. */
	memcpy(good, memory, size);
	for (int round = 0; round < 10000; round++) {
		memcpy(memory, good, size);
		for (uint64_t k = 0; k <= check_random_below(&random, 3); k++)
			memory[check_random_below(&random, size)] =
				(unsigned char)check_random_u64(&random);
		if (fnx_model_init(&config, memory, true, NULL, &model) == 0) {
			for (uint64_t i = 0; i < 200; i++)
				add_nth(model, 4, i);
			fnx_model_free(model);
		}
	}
	munmap(memory, size);
	munmap(good, size);
}

TEST(memory_of_another_configuration_or_damaged_is_refused_or_harmless)
{
	check_damage(false, 0.0);
	check_damage(true, 0.0);
	check_damage(true, 0.195);
}
