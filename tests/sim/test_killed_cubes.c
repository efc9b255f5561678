/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process is killed after each store into its model's memory, one after the other, while a mark is
 * added and put into cubes. Each time a successor's likelihoods are those of the marks that were
 * committed, to 1e-6; and with the mark added once more, those of all.
 *
 * A child adds the mark instruction by instruction in shared memory. Whenever the memory has
 * changed, what is there now is what a kill would leave: a successor looks at a copy of it; now and
 * then it is killed in the same way while it takes over.
 */
#include "tests/support/stepping.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nodes/encode/model_memory.h"
#include "tests/support/model_scratch.h"

enum {
	LOG_SIZE = 1 << 14,
	MEMORY_SIZE = 1 << 17,
	DIMS = 1, /* so that steps are few */
	N_BINS = 3,
	N_CUBES = 20,
	CAPACITY = 400,
	N_MARKS = 600,
	GAPS_UNTIL = 300, /* one cube in four gets no marks at first: it must catch up on many */
	KILLS_FROM = 250,
	N_SPIKES = 6, /* that are judged after each kill */
	SUCCESSORS_EVERY = 397, /* kills, of which the successor is killed, too */
};

#define EDGE_UV 24.0 /* of a cube */

static const struct fnx_model_config plain = {.n_dims = DIMS,
	.n_bins = N_BINS,
	.capacity = CAPACITY,
	.kernel_uv = 20.0,
	.single = true,
	.step_uv = 0.195,
	.cut_off = true};

struct arena {
	_Alignas(64) unsigned char log[LOG_SIZE];
	_Alignas(64) unsigned char memory[MEMORY_SIZE];
};

struct likelihoods {
	double of[N_SPIKES][N_BINS];
};

struct world {
	struct fnx_model_config config; /* with cubes */
	size_t size;
	struct arena *arena, *left; /* shared with the child; what it left */
	struct fnx_journal journal;
	struct fnx_model *model, *exact;
	void *scratch;
	double spikes[N_SPIKES][DIMS];
	struct likelihoods before, after; /* the mark that is added, by all marks */
	uint32_t n_kills, n_successors, n_judged, n_expanded;
};

/* Anywhere in this cube. */
static double within(struct check_random *random, int32_t cube)
{
	return EDGE_UV * ((double)cube + check_random_unit(random));
}

static int32_t random_cube(struct check_random *random)
{
	return (int32_t)check_random_below(random, N_CUBES) - N_CUBES / 2;
}

static int32_t random_mark(struct check_random *random, bool gaps, double *ret_mark)
{
	int32_t cube;

	do
		cube = random_cube(random);
	while (gaps && (cube + N_CUBES) % 4 == 0);
	*ret_mark = within(random, cube);
	return (int32_t)check_random_below(random, N_BINS);
}

/* The mark itself, one in a cube that catches up, others anywhere. */
static void draw_spikes(struct world *world, struct check_random *random, double mark)
{
	const uint32_t filling = world->model->header->filling;

	for (uint32_t i = 0; i < N_SPIKES; i++)
		world->spikes[i][0] = within(random, random_cube(random));
	world->spikes[0][0] = mark;
	if (filling != FNX_MODEL_NONE)
		world->spikes[1][0] = within(random, world->model->cubes[filling].at[0]);
}

static struct likelihoods judge(const struct world *world, const struct fnx_model *model)
{
	double share[N_BINS];
	struct likelihoods ret;

	for (uint32_t b = 0; b < N_BINS; b++)
		share[b] = 1.0 / N_BINS;
	for (uint32_t i = 0; i < N_SPIKES; i++)
		assert_int_equal(fnx_model_likelihood(
					 model, world->spikes[i], share, world->scratch, ret.of[i]),
			0);
	return ret;
}

static void compare(struct world *world, const struct fnx_model *model,
	const struct likelihoods *expected, const char *when)
{
	const struct likelihoods found = judge(world, model);

	for (uint32_t i = 0; i < N_SPIKES; i++) {
		for (uint32_t b = 0; b < N_BINS; b++)
			if (!(fabs(found.of[i][b] - expected->of[i][b]) <= 1e-6))
				fail_msg("%s, killed after store %u, of %u marks: %.9g, exact %.9g",
					when, world->n_kills, fnx_model_marks(model),
					found.of[i][b], expected->of[i][b]);
		world->n_judged++;
		world->n_expanded += memcmp(found.of[i], expected->of[i], sizeof(found.of[i])) != 0;
	}
}

/* A cube may begin to catch up in a bounded time: so it must be clear while it waits, and before it
 * is one. */
static void expect_clear(const struct fnx_model *model)
{
	const struct fnx_model_header *header = model->header;

	for (uint32_t cube = 0; cube < model->n_cubes; cube++) {
		const char *coefficients = model->coefficients + (size_t)cube * model->cube_size;

		if (cube == header->filling ||
			(cube < header->n_cubes &&
				model->cubes[cube].state == FNX_MODEL_CUBE_READY))
			continue;
		for (size_t i = 0; i < model->cube_size; i++)
			assert_int_equal(coefficients[i], 0);
	}
}

static struct fnx_model *resume(
	const struct world *world, struct arena *left, struct fnx_journal *journal)
{
	struct fnx_model *successor;

	assert_true(
		fnx_journal_recover(journal, left->log, LOG_SIZE, left->memory, world->size) >= 0);
	assert_int_equal(
		fnx_model_init(&world->config, left->memory, true, journal, &successor), 0);
	return successor;
}

/* A successor adds the mark anew. */
static void add_anew(struct world *world, struct arena *left, const double *mark, int32_t bin)
{
	struct fnx_journal journal = {0};
	struct fnx_model *successor = resume(world, left, &journal);

	compare(world, successor, &world->before, "before the mark");
	expect_clear(successor);
	assert_true(fnx_model_add(successor, mark, bin) >= 0);
	fnx_journal_commit(&journal);
	compare(world, successor, &world->after, "with the mark");
	assert_int_equal(fnx_journal_overflows(&journal), 0);
	fnx_model_free(successor);
}

struct inheritance {
	const struct world *world;
	struct arena *left;
};

static void take_over(void *argument)
{
	const struct inheritance *inheritance = argument;
	struct fnx_journal journal = {0};

	resume(inheritance->world, inheritance->left, &journal);
}

/* The successor is killed, too, after each store while it takes over: another one does it. */
static void kill_successors(struct world *world, const double *mark, int32_t bin)
{
	static struct arena last, left;
	struct inheritance inheritance = {.world = world, .left = world->left};
	pid_t child;

	last = *world->left;
	child = stepping_begin(take_over, &inheritance);
	while (stepping_step(child))
		if (memcmp(&last, world->left, sizeof(last))) {
			last = left = *world->left;
			add_anew(world, &left, mark, bin);
			world->n_successors++;
		}
	stepping_end(child);
}

/* What is there now is left to a successor. */
static void succeed(struct world *world, const double *mark, int32_t bin)
{
	world->n_kills++;
	*world->left = *world->arena;
	if (world->n_kills % SUCCESSORS_EVERY == 0) {
		kill_successors(world, mark, bin);
		*world->left = *world->arena;
	}
	add_anew(world, world->left, mark, bin);
}

struct addition {
	struct fnx_model *model;
	const double *mark;
	int32_t bin;
};

static void add(void *argument)
{
	const struct addition *addition = argument;

	fnx_model_add(addition->model, addition->mark, addition->bin);
}

static void kill_after_each_store(struct world *world, const double *mark, int32_t bin)
{
	static struct arena last, first;
	struct addition addition = {.model = world->model, .mark = mark, .bin = bin};
	pid_t child;

	memcpy(&first, world->arena, sizeof(first));
	last = first;
	child = stepping_begin(add, &addition);
	while (stepping_step(child))
		if (memcmp(last.memory, world->arena->memory, world->size)) {
			last = *world->arena;
			succeed(world, mark, bin);
		}
	stepping_end(child);
	memcpy(world->arena, &first, sizeof(first));
}

static struct arena *shared_arena(void)
{
	struct arena *arena = mmap(
		NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(arena != MAP_FAILED);
	return arena;
}

static void world_init(struct world *world)
{
	*world = (struct world){.config = plain};
	world->config.expansion_size = N_CUBES * fnx_model_cube_size(DIMS, N_BINS);
	world->size = fnx_model_memory_size(&world->config);
	assert_in_range(world->size, 1, MEMORY_SIZE);
	world->arena = shared_arena();
	world->left = shared_arena();
	assert_int_equal(fnx_model_init(&world->config, world->arena->memory, false,
				 &world->journal, &world->model),
		0);
	assert_int_equal(fnx_journal_init(&world->journal, world->arena->log, LOG_SIZE,
				 world->arena->memory, world->size),
		0);
	assert_int_equal(fnx_model_new(&plain, &world->exact), 0);
	world->scratch = model_scratch_new(world->model);
}

static void world_fini(struct world *world)
{
	fnx_model_free(world->model);
	fnx_model_free(world->exact);
	munmap(world->arena, sizeof(*world->arena));
	munmap(world->left, sizeof(*world->left));
	free(world->scratch);
}

/* What an addition does to cubes, in memory that it may change. */
enum deed {
	PASSES_OVER,
	OVERWRITES, /* takes one mark out and puts one in */
	PUTS_IN,
	BEGINS, /* to have a cube catch up */
	ENDS, /* having had one catch up in several additions */
	N_DEEDS
};

static enum deed rehearse(struct world *world, const double *mark, int32_t bin)
{
	struct fnx_model *model;
	struct fnx_model_header was;
	enum deed deed;
	int answer;

	memcpy(world->left->memory, world->arena->memory, world->size);
	assert_int_equal(
		fnx_model_init(&world->config, world->left->memory, true, NULL, &model), 0);
	was = *model->header;
	answer = fnx_model_add(model, mark, bin);
	deed = answer == FNX_MODEL_PASSED_OVER             ? PASSES_OVER
		: was.index >= CAPACITY                    ? OVERWRITES
		: was.filling != FNX_MODEL_NONE            ? ENDS
		: model->header->filling != FNX_MODEL_NONE ? BEGINS
							   : PUTS_IN;
	fnx_model_free(model);
	return deed;
}

TEST(wherever_a_process_is_killed_its_cubes_tell_what_all_marks_tell)
{
	struct check_random random = check_random_seeded();
	uint32_t n_killed[N_DEEDS] = {0};
	struct world world;

	world_init(&world);
	for (uint32_t i = 0; i < N_MARKS; i++) {
		double mark;
		const int32_t bin = random_mark(&random, i < GAPS_UNTIL, &mark);
		enum deed deed;

		draw_spikes(&world, &random, mark);
		if (i > 0)
			world.before = judge(&world, world.exact);
		assert_true(fnx_model_add(world.exact, &mark, bin) >= 0);
		world.after = judge(&world, world.exact);
		deed = rehearse(&world, &mark, bin);
		if (i >= KILLS_FROM && n_killed[deed] < (deed == ENDS ? 2 : 1)) {
			n_killed[deed]++;
			kill_after_each_store(&world, &mark, bin);
		}
		assert_true(fnx_model_add(world.model, &mark, bin) >= 0);
		fnx_journal_commit(&world.journal);
	}
	for (uint32_t deed = 0; deed < N_DEEDS; deed++)
		assert_true(n_killed[deed] > 0);
	print_message("%u kills, %u of successors, %u of %u likelihoods by cubes\n", world.n_kills,
		world.n_successors, world.n_expanded, world.n_judged);
	assert_true(world.n_successors > 0);
	assert_true(world.n_expanded > world.n_judged / 20);
	world_fini(&world);
}
