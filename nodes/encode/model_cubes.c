/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cubes come to be where marks are stored, in the order in which marks come, so the places where
 * most spikes are have theirs first; when there is no room for more, what lies elsewhere is summed
 * mark by mark as ever. A cube that is new must catch up on all marks stored before it: one cube at
 * a time does, slot by slot, a bounded number of them with each mark that is stored.
 *
 * Coefficients are not in the journal: a mark changes some in hundreds of cubes. Instead each cube
 * says which change is the last that it sees, before it sees any of it; how many there were is
 * journaled. So a successor knows the cubes that have seen what was undone, clears them, and has
 * them catch up anew. A cube that waits for its turn is clear.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "nodes/encode/model_memory.h"

enum {
	/* What one stored mark may do for the cube that catches up. */
	PUT_IN_MAX = 128,
	LOOKED_AT_MAX = 8192,
	/* Cubes from a mark's own to the farthest that it reaches, in one dimension. */
	REACH = 5,
	REACHED = 2 * REACH + 1,
};

/* Beyond so many squared kernel deviations from a cube a weight is below 1e-7 of the peak. */
static const double REACH_SQUARED = 2.0 * 16.118095650958319;
static const double EDGE = 2.0 * FNX_EXPANSION_HALF_EDGE;
/* One mark as seen from the cubes around it, by dimension and by their distance in cubes. */
struct around {
	int32_t at[FNX_EXPANSION_DIMS_MAX]; /* its own cube */
	double gaps[FNX_EXPANSION_DIMS_MAX][REACHED]; /* squared, from the cube's nearest point */
	double squares[FNX_EXPANSION_DIMS_MAX][REACHED]; /* from its centre */
	float factors[FNX_EXPANSION_DIMS_MAX][REACHED][FNX_EXPANSION_DEGREES];
};

/* Amplitudes beyond the limit count as that, as in lanes. */
static double deviations(const struct fnx_model *model, double uv)
{
	const double unit_uv = fnx_model_unit_uv(model);

	return fnx_model_clamped(uv / unit_uv, fnx_model_limit(model)) *
		(unit_uv / model->config.kernel_uv);
}

/* The cube that a mark lies in: by the limits of lanes no number of it is beyond 8,167. */
static void cube_at(const struct fnx_model *model, const double *mark, int32_t *ret_at)
{
	for (uint32_t d = 0; d < FNX_EXPANSION_DIMS_MAX; d++)
		ret_at[d] = d < model->config.n_dims
			? (int32_t)floor(deviations(model, mark[d]) / EDGE)
			: 0;
}

static double centre(int32_t at)
{
	return ((double)at + 0.5) * EDGE;
}

static uint32_t table_place(const struct fnx_model *model, const int32_t *at)
{
	uint64_t hash = 0;

	for (uint32_t d = 0; d < FNX_EXPANSION_DIMS_MAX; d++)
		hash = (hash ^ (uint16_t)at[d]) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 32) & (model->n_cube_table - 1);
}

static bool is_at(const struct fnx_model_cube *cube, const int32_t *at)
{
	bool same = true;

	for (uint32_t d = 0; d < FNX_EXPANSION_DIMS_MAX; d++)
		same &= cube->at[d] == at[d];
	return same;
}

/* Its place in the table, or the free one where it would be. A table is at most half full. */
static uint32_t find(const struct fnx_model *model, const int32_t *at)
{
	uint32_t place = table_place(model, at);

	while (model->cube_table[place] && !is_at(&model->cubes[model->cube_table[place] - 1], at))
		place = (place + 1) & (model->n_cube_table - 1);
	return place;
}

static void *coefficients(const struct fnx_model *model, uint32_t cube, uint32_t bin)
{
	return model->coefficients + (size_t)cube * model->cube_size +
		(size_t)bin * model->expansion.set_size;
}

/* What follows, until the next one, is change number n_changes. */
static void count_change(struct fnx_model *model)
{
	fnx_journal_touch(model->journal, &model->header->n_changes, sizeof(uint64_t));
	model->header->n_changes++;
}

/* Before it sees the change: only the compiler must keep the order. */
static void announce(struct fnx_model *model, uint32_t cube)
{
	model->cubes[cube].changed = model->header->n_changes;
	atomic_signal_fence(memory_order_seq_cst);
}

static void look_around(const struct fnx_model *model, const double *mark, struct around *ret)
{
	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		const double x = deviations(model, mark[d]);

		for (int32_t k = 0; k < REACHED; k++) {
			const double offset = x - centre(ret->at[d] + k - REACH);
			const double gap = fmax(fabs(offset) - FNX_EXPANSION_HALF_EDGE, 0.0);

			ret->gaps[d][k] = gap * gap;
			ret->squares[d][k] = offset * offset;
			fnx_expansion_factors(&model->expansion, offset, ret->factors[d][k]);
		}
	}
}

/* A cube that catches up has seen the slots below the cursor. */
static bool has_seen(const struct fnx_model *model, uint32_t cube, uint32_t slot)
{
	return model->cubes[cube].state == FNX_MODEL_CUBE_READY ||
		(cube == model->header->filling && slot < model->header->cursor);
}

/* A cube that a mark reaches. */
struct reached {
	uint32_t cube; /* n_cubes of the header: none */
	double square; /* from its centre */
	void *coefficients; /* of the mark's bin */
	const float *factors[FNX_EXPANSION_DIMS_MAX];
};

static bool reaches(const struct fnx_model *model, const struct around *around, uint32_t cube,
	struct reached *ret)
{
	double gap = 0.0;

	ret->square = 0.0;
	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		const int32_t k = model->cubes[cube].at[d] - around->at[d] + REACH;

		if (k < 0 || k >= REACHED)
			return false;
		gap += around->gaps[d][k];
		ret->square += around->squares[d][k];
		ret->factors[d] = around->factors[d][k];
	}
	return gap <= REACH_SQUARED;
}

/* The next one from `cube` on, already fetched while another is worked on. */
static struct reached reach_next(
	const struct fnx_model *model, const struct around *around, uint32_t cube, uint32_t slot)
{
	struct reached reached;

	while (cube < model->header->n_cubes &&
		!(has_seen(model, cube, slot) && reaches(model, around, cube, &reached)))
		cube++;
	reached.cube = cube;
	if (cube == model->header->n_cubes)
		return reached;
	reached.coefficients = coefficients(model, cube, model->bins[slot]);
	fnx_expansion_fetch(&model->expansion, reached.square, reached.coefficients);
	return reached;
}

static void put_in_all(struct fnx_model *model, uint32_t slot, float sign)
{
	const double *mark = model->marks + (size_t)slot * model->config.n_dims;
	struct reached reached, next;
	struct around around;

	cube_at(model, mark, around.at);
	look_around(model, mark, &around);
	count_change(model);
	for (reached = reach_next(model, &around, 0, slot); reached.cube < model->header->n_cubes;
		reached = next) {
		next = reach_next(model, &around, reached.cube + 1, slot);
		announce(model, reached.cube);
		fnx_expansion_add(&model->expansion, reached.factors, reached.square, sign,
			reached.coefficients);
	}
}

static void set_state(struct fnx_model *model, uint32_t cube, uint32_t state)
{
	fnx_model_set(model, &model->cubes[cube].state, state);
}

/* The cube of a mark that was stored; the next one to catch up, if none does. */
static void want(struct fnx_model *model, uint32_t slot)
{
	const double *mark = model->marks + (size_t)slot * model->config.n_dims;
	struct fnx_model_header *header = model->header;
	uint32_t place, cube;
	int32_t at[FNX_EXPANSION_DIMS_MAX];

	cube_at(model, mark, at);
	place = find(model, at);
	if (!model->cube_table[place]) {
		if (header->n_cubes == model->n_cubes)
			return;
		cube = header->n_cubes;
		for (uint32_t d = 0; d < FNX_EXPANSION_DIMS_MAX; d++)
			model->cubes[cube].at[d] = (int16_t)at[d];
		model->cubes[cube].changed = 0;
		set_state(model, cube, FNX_MODEL_CUBE_WAITING);
		fnx_model_set(model, &header->n_cubes, cube + 1);
		fnx_model_set(model, &model->cube_table[place], cube + 1);
	}
	cube = model->cube_table[place] - 1;
	if (header->filling != FNX_MODEL_NONE || model->cubes[cube].state != FNX_MODEL_CUBE_WAITING)
		return;
	fnx_model_set(model, &header->filling, cube);
	fnx_model_set(model, &header->cursor, 0);
}

static bool catch_up_on(struct fnx_model *model, uint32_t cube, uint32_t slot)
{
	const double *mark = model->marks + (size_t)slot * model->config.n_dims;
	float rows[FNX_EXPANSION_DIMS_MAX][FNX_EXPANSION_DEGREES];
	const float *const factors[FNX_EXPANSION_DIMS_MAX] = {rows[0], rows[1], rows[2], rows[3]};
	double offsets[FNX_EXPANSION_DIMS_MAX], gaps = 0.0, square = 0.0;

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		double gap;

		offsets[d] = deviations(model, mark[d]) - centre(model->cubes[cube].at[d]);
		gap = fmax(fabs(offsets[d]) - FNX_EXPANSION_HALF_EDGE, 0.0);
		gaps += gap * gap;
		square += offsets[d] * offsets[d];
	}
	if (gaps > REACH_SQUARED)
		return false;
	for (uint32_t d = 0; d < model->config.n_dims; d++)
		fnx_expansion_factors(&model->expansion, offsets[d], rows[d]);
	fnx_expansion_add(&model->expansion, factors, square, 1.0f,
		coefficients(model, cube, model->bins[slot]));
	return true;
}

static void catch_up(struct fnx_model *model)
{
	struct fnx_model_header *header = model->header;
	const uint32_t n_marks = fnx_model_marks(model), cube = header->filling;
	const uint32_t first = header->cursor;
	uint32_t slot = first, n_put_in = 0;

	if (cube == FNX_MODEL_NONE)
		return;
	count_change(model);
	announce(model, cube);
	for (; slot < n_marks && slot - first < LOOKED_AT_MAX && n_put_in < PUT_IN_MAX; slot++)
		n_put_in += catch_up_on(model, cube, slot);
	fnx_model_set(model, &header->cursor, slot);
	if (slot < n_marks)
		return;
	set_state(model, cube, FNX_MODEL_CUBE_READY);
	fnx_model_set(model, &header->filling, FNX_MODEL_NONE);
}

void fnx_model_cubes_put(struct fnx_model *model, uint32_t slot)
{
	put_in_all(model, slot, 1.0f);
	want(model, slot);
	catch_up(model);
}

void fnx_model_cubes_take_out(struct fnx_model *model, uint32_t slot)
{
	put_in_all(model, slot, -1.0f);
}

bool fnx_model_cubes_sum(const struct fnx_model *model, const double *mark, float *terms,
	double *work, double *ret_sums)
{
	const uint32_t n_bins = model->config.n_bins;
	double point[FNX_EXPANSION_DIMS_MAX];
	int32_t at[FNX_EXPANSION_DIMS_MAX];
	uint32_t cube;

	cube_at(model, mark, at);
	cube = model->cube_table[find(model, at)];
	if (!cube || model->cubes[cube - 1].state != FNX_MODEL_CUBE_READY)
		return false;
	for (uint32_t d = 0; d < model->config.n_dims; d++)
		point[d] = (deviations(model, mark[d]) - centre(at[d])) / FNX_EXPANSION_HALF_EDGE;
	if (!fnx_expansion_sums(&model->expansion, point, n_bins, coefficients(model, cube - 1, 0),
		    terms, work, ret_sums))
		return false;
	for (uint32_t i = 0; i < n_bins; i++)
		ret_sums[i] = fmax(ret_sums[i], 0.0);
	return true;
}

size_t fnx_model_cube_size(uint32_t n_dims, uint32_t n_bins)
{
	struct fnx_expansion expansion;

	fnx_expansion_init(&expansion, n_dims);
	return (size_t)n_bins * expansion.set_size;
}

/* What saw, or was about to see, a change that was undone; if the taking of the cube was undone,
 * too, it lies beyond n_cubes. Who is killed here leaves it to be done again. */
void fnx_model_cubes_resume(struct fnx_model *model)
{
	struct fnx_model_header *header = model->header;

	for (uint32_t cube = 0; cube < model->n_cubes; cube++)
		if (model->cubes[cube].changed > header->n_changes) {
			model->cubes[cube].state = FNX_MODEL_CUBE_WAITING;
			if (header->filling == cube)
				header->filling = FNX_MODEL_NONE;
			memset(coefficients(model, cube, 0), 0, model->cube_size);
		}
}

bool fnx_model_cubes_are_sound(const struct fnx_model *model)
{
	const struct fnx_model_header *header = model->header;
	uint32_t n = 0;

	if (header->n_cubes > model->n_cubes || header->cursor > fnx_model_marks(model))
		return false;
	if (header->filling != FNX_MODEL_NONE &&
		(header->filling >= header->n_cubes ||
			model->cubes[header->filling].state != FNX_MODEL_CUBE_WAITING))
		return false;
	for (uint32_t place = 0; place < model->n_cube_table; place++) {
		if (model->cube_table[place] > header->n_cubes)
			return false;
		n += model->cube_table[place] > 0;
	}
	/* So at least half of the places are free, and `find` ends. */
	if (n != header->n_cubes)
		return false;
	for (uint32_t cube = 0; cube < header->n_cubes; cube++) {
		int32_t at[FNX_EXPANSION_DIMS_MAX];

		for (uint32_t d = 0; d < FNX_EXPANSION_DIMS_MAX; d++)
			at[d] = model->cubes[cube].at[d];
		if (model->cubes[cube].state > FNX_MODEL_CUBE_READY ||
			model->cube_table[find(model, at)] != cube + 1)
			return false;
	}
	return true;
}
