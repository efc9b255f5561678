/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Weights go by blocks in lanes, bin by bin into accumulators; only where single precision is too
 * close to call the gate are the exact values looked at.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "nodes/encode/model_memory.h"
#include "nodes/host/smoothing.h"

/* Squared distance, in kernel deviations, at which the kernel is 1e-7 of its peak; less than boxes can
 * tell. */
static const double CUT_OFF_SQUARED = 2.0 * 16.118095650958319;

/* Bytes of a block's lanes that are to stay in the nearest cache while a batch goes over them. */
enum {
	TILE_SIZE = 16384
};

/* Accumulators of every bin for each mark of a batch, a histogram to smooth from and one halfway,
 * and the lists of blocks that are near: all, and by octets in use. */
struct scratch {
	double *sums; /* [FNX_MODEL_BATCH_MAX][n_bins][FNX_BLOCK_SUMS] */
	double *hist;
	uint32_t *list; /* [list_size] */
	uint32_t *lists; /* [FNX_BLOCK_OCTETS][list_size] */
	float *terms; /* [n_terms] of an expansion, in place of the accumulators */
};

static size_t list_size(const struct fnx_model *model)
{
	return (size_t)model->n_blocks + FNX_BOX_GROUP + FNX_LIST_PADDING;
}

/* Doubles. An expansion's terms lie in their place. */
static size_t sums_size(const struct fnx_model *model)
{
	const size_t n = (size_t)model->config.n_bins * FNX_BLOCK_SUMS * FNX_MODEL_BATCH_MAX;
	const size_t n_terms = model->cubes ? model->expansion.n_terms / 2 : 0;

	return n > n_terms ? n : n_terms;
}

static struct scratch scratch_of(const struct fnx_model *model, void *memory)
{
	const size_t n = model->config.n_bins;
	struct scratch scratch = {.sums = memory, .terms = memory};

	scratch.hist = scratch.sums + sums_size(model);
	scratch.list = (uint32_t *)(scratch.hist + 2 * fnx_f64_padded(n));
	scratch.lists = scratch.list + list_size(model);
	return scratch;
}

size_t fnx_model_scratch_size(const struct fnx_model *model)
{
	const size_t n = model->config.n_bins;
	const size_t n_listed =
		model->config.cut_off ? (1 + FNX_BLOCK_OCTETS) * list_size(model) : 0;

	return (sums_size(model) + 2 * fnx_f64_padded(n)) * sizeof(double) +
		n_listed * sizeof(uint32_t);
}

/* Sorts blocks by how many of their octets are in use, without a branch: the four numbers so far are
 * the four quarters of one word, in which none may pass 2^16. */
static void sort_some(const struct fnx_model *model, const uint32_t *list, uint32_t n,
	uint32_t *const *ends, uint32_t *ret_n)
{
	uint64_t n_all = 0;

	for (uint32_t k = 0; k < n; k++) {
		const uint32_t which =
			(model->counts[list[k]] - 1) / FNX_OCTET_MARKS % FNX_BLOCK_OCTETS;

		ends[which][(uint16_t)(n_all >> 16 * which)] = list[k];
		n_all += UINT64_C(1) << 16 * which;
	}
	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++)
		ret_n[i] = (uint16_t)(n_all >> 16 * i);
}

static void sort_blocks(const struct fnx_model *model, uint32_t n, const struct scratch *scratch,
	struct fnx_block_list *ret_lists)
{
	uint32_t *ends[FNX_BLOCK_OCTETS], n_more[FNX_BLOCK_OCTETS];

	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++) {
		ends[i] = scratch->lists + i * list_size(model);
		ret_lists[i] = (struct fnx_block_list){.blocks = ends[i]};
	}
	for (uint32_t k = 0; k < n; k += UINT16_MAX) {
		sort_some(model, scratch->list + k, n - k < UINT16_MAX ? n - k : UINT16_MAX, ends,
			n_more);
		for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++) {
			ends[i] += n_more[i];
			ret_lists[i].n += n_more[i];
		}
	}
	for (uint32_t i = 0; i < FNX_BLOCK_OCTETS; i++)
		memset(ends[i], 0, FNX_LIST_PADDING * sizeof(uint32_t));
}

static uint32_t list_all(const struct fnx_model *model, uint32_t *ret_list)
{
	uint32_t n = 0;

	for (uint32_t block = 0; block < model->blocks.n; block++) {
		ret_list[n] = block;
		n += model->counts[block] > 0;
	}
	return n;
}

/* Blocks within the cut-off of a mark. */
static uint32_t list_near(const struct fnx_model *model, const double *mark, uint32_t *ret_list)
{
	const double limit = CUT_OFF_SQUARED * (FNX_BOX_STEPS * FNX_BOX_STEPS);
	uint16_t low[FNX_MARK_DIMS_MAX], high[FNX_MARK_DIMS_MAX];

	for (uint32_t d = 0; d < model->config.n_dims; d++)
		fnx_model_box_steps(model, mark[d], &low[d], &high[d]);
	return model->kernel->near_boxes(model->boxes, model->blocks.n, model->config.n_dims, low,
		high, (uint16_t)limit, ret_list);
}

/* Blocks that may have marks within a cube. Of one as wide as boxes reach empty boxes are no farther
 * than others. */
static uint32_t list_overlapping(
	const struct fnx_model *model, const double *lower, const double *upper, uint32_t *ret_list)
{
	uint16_t low[FNX_MARK_DIMS_MAX], high[FNX_MARK_DIMS_MAX];
	bool is_everywhere = true;

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		uint16_t above, below;

		fnx_model_box_steps(model, lower[d], &low[d], &above);
		fnx_model_box_steps(model, upper[d], &below, &high[d]);
		is_everywhere &= low[d] == 0 && high[d] == FNX_BOX_LAST;
	}
	if (is_everywhere)
		return list_all(model, ret_list);
	return model->kernel->near_boxes(
		model->boxes, model->blocks.n, model->config.n_dims, low, high, 0, ret_list);
}

static int32_t whole(double value, double least, double most)
{
	return (int32_t)fmin(fmax(value, least), most);
}

/* Marks whose lanes are within the cube narrowed by so much on every side, which leaves out lanes
 * that are clamped; or widened, where it is negative, which takes them in. */
static uint32_t inside_single(const struct fnx_model *model, const struct fnx_blocks *blocks,
	const double *lower, const double *upper, double narrowed)
{
	const struct fnx_kernel *kernel = model->kernel;
	const double unit_uv = fnx_model_unit_uv(model), most = fnx_model_limit(model);
	const double edge = narrowed < 0.0 ? 1.0 : 0.0;
	const bool near = blocks->lists[0].blocks, by_counts = model->config.step_uv > 0.0;
	int32_t low[FNX_MARK_DIMS_MAX] = {0}, high[FNX_MARK_DIMS_MAX] = {0};
	int32_t low_rows[FNX_MARK_DIMS_MAX], high_rows[FNX_MARK_DIMS_MAX];

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		low[d] = whole(floor(lower[d] / unit_uv + narrowed), -most - edge, most - edge);
		high[d] = whole(ceil(upper[d] / unit_uv - narrowed), edge - most, edge + most);
	}
	fnx_model_pack(model, low, -1, low_rows);
	fnx_model_pack(model, high, 1, high_rows);
	return (by_counts      ? near ? kernel->inside_near_i16 : kernel->inside_i16
			: near ? kernel->inside_near_i32
			       : kernel->inside_i32)(
		blocks, low_rows, high_rows, model->config.gate_min_marks);
}

static uint32_t inside_f64(const struct fnx_model *model, const struct fnx_blocks *blocks,
	const double *lower, const double *upper)
{
	return (blocks->lists[0].blocks ? model->kernel->inside_near_f64
					: model->kernel->inside_f64)(
		blocks, lower, upper, model->config.gate_min_marks);
}

static bool is_gated_exactly(
	const struct fnx_model *model, const double *lower, const double *upper)
{
	const uint32_t n_dims = model->config.n_dims;
	const uint32_t n_marks = fnx_model_marks(model);
	uint32_t n_inside = 0;

	for (uint32_t i = 0; i < n_marks; i++) {
		const double *mark = model->marks + (size_t)i * n_dims;
		bool inside = true;

		for (uint32_t d = 0; d < n_dims; d++)
			inside &= mark[d] > lower[d] && mark[d] < upper[d];
		n_inside += inside ? fnx_model_mass(model, i) : 0;
	}
	return n_inside < model->config.gate_min_marks;
}

/*
 * Steps are exact to half of one, counts but for the rounding of the bounds: what lies within the
 * cube narrowed by that is inside, what lies without the cube widened by it is outside. Only where
 * the two disagree do the exact values decide.
 */
static bool is_gated_single(const struct fnx_model *model, const struct fnx_blocks *blocks,
	const double *lower, const double *upper)
{
	const double slack = model->config.step_uv > 0.0 ? 1e-6 : 1.0;
	const uint32_t enough = model->config.gate_min_marks;

	if (inside_single(model, blocks, lower, upper, slack) >= enough)
		return false;
	if (inside_single(model, blocks, lower, upper, -slack) < enough)
		return true;
	return is_gated_exactly(model, lower, upper);
}

static bool is_gated(
	const struct fnx_model *model, const double *mark, const struct scratch *scratch)
{
	const struct fnx_model_config *config = &model->config;
	const double reach = config->gate_deviations * config->kernel_uv;
	double lower[FNX_MARK_DIMS_MAX], upper[FNX_MARK_DIMS_MAX];
	struct fnx_blocks blocks = model->blocks;

	for (uint32_t d = 0; d < config->n_dims; d++) {
		if (!isfinite(mark[d]))
			return config->gate_min_marks > 0;
		lower[d] = mark[d] - reach;
		upper[d] = mark[d] + reach;
	}
	if (config->cut_off)
		sort_blocks(model, list_overlapping(model, lower, upper, scratch->list), scratch,
			blocks.lists);
	if (config->single)
		return is_gated_single(model, &blocks, lower, upper);
	return inside_f64(model, &blocks, lower, upper) < config->gate_min_marks;
}

/* What a spike's weights go over. */
static struct fnx_blocks blocks_to_weigh(
	const struct fnx_model *model, const double *mark, const struct scratch *scratch)
{
	struct fnx_blocks blocks = model->blocks;

	if (model->config.cut_off)
		sort_blocks(model, list_near(model, mark, scratch->list), scratch, blocks.lists);
	return blocks;
}

static double sum_lanes(const double *v)
{
	return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

static void weigh_single(const struct fnx_model *model, const struct fnx_blocks *blocks,
	const double *mark, double *sums)
{
	const struct fnx_kernel *kernel = model->kernel;
	const double step = model->config.step_uv / model->config.kernel_uv;
	const bool near = blocks->lists[0].blocks;
	int32_t x[FNX_MARK_DIMS_MAX];

	fnx_model_rows(model, mark, x);
	if (step > 0.0)
		(near ? kernel->weigh_near_i16 : kernel->weigh_i16)(
			blocks, x, -0.5 * step * step, sums);
	else
		(near ? kernel->weigh_near_i32 : kernel->weigh_i32)(blocks, x, sums);
}

static void weigh_double(const struct fnx_model *model, const struct fnx_blocks *blocks,
	const double *mark, double *sums)
{
	const struct fnx_kernel *kernel = model->kernel;
	const double kernel_uv = model->config.kernel_uv;
	double x[FNX_MARK_DIMS_MAX];

	for (uint32_t d = 0; d < model->config.n_dims; d++)
		x[d] = fnx_model_clamped(mark[d], FNX_BLOCK_LIMIT_F64);
	(blocks->lists[0].blocks ? kernel->weigh_near_f64 : kernel->weigh_f64)(
		blocks, x, -0.5 / (kernel_uv * kernel_uv), sums);
}

/* Adds the blocks' weights to the accumulators. */
static void weigh(const struct fnx_model *model, const struct fnx_blocks *blocks,
	const double *mark, double *sums)
{
	(model->config.single ? weigh_single : weigh_double)(model, blocks, mark, sums);
}

/* Sum of the weights of each bin's marks. */
static void add_up(const struct fnx_model *model, const double *sums, double *ret_hist)
{
	for (size_t i = 0; i < model->config.n_bins; i++)
		ret_hist[i] = model->weight * sum_lanes(sums + i * FNX_BLOCK_SUMS);
}

static void smooth(const struct fnx_model *model, double *work, double *hist)
{
	const size_t n_bins = model->config.n_bins;

	memcpy(work, hist, n_bins * sizeof(double));
	fnx_smoothing_apply(model->config.smoothing, work, work + fnx_f64_padded(n_bins), hist);
}

/* Histogram to likelihood. */
static void normalise(double *hist, const double *share, uint32_t n_bins)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < n_bins; i++) {
		hist[i] = (hist[i] + 1e-7) / share[i];
		if (!isfinite(hist[i]))
			hist[i] = 0.0;
		sum += hist[i];
	}
	if (isfinite(sum) && sum > 0.0)
		for (uint32_t i = 0; i < n_bins; i++)
			hist[i] /= sum;
	else
		for (uint32_t i = 0; i < n_bins; i++)
			hist[i] = 1.0 / n_bins;
}

/* From what each bin's marks weigh. */
static void finish(
	const struct fnx_model *model, const double *share, double *work, double *ret_likelihood)
{
	if (model->config.smoothing)
		smooth(model, work, ret_likelihood);
	normalise(ret_likelihood, share, model->config.n_bins);
}

static bool weigh_expanded(const struct fnx_model *model, const double *mark,
	const struct scratch *scratch, double *ret_hist)
{
	if (!model->cubes ||
		!fnx_model_cubes_sum(model, mark, scratch->terms, scratch->hist, ret_hist))
		return false;
	for (uint32_t i = 0; i < model->config.n_bins; i++)
		ret_hist[i] *= model->weight;
	return true;
}

static void weigh_all(const struct fnx_model *model, const double *mark,
	const struct scratch *scratch, double *ret_hist)
{
	const struct fnx_blocks blocks = blocks_to_weigh(model, mark, scratch);

	memset(scratch->sums, 0, model->config.n_bins * FNX_BLOCK_SUMS * sizeof(double));
	weigh(model, &blocks, mark, scratch->sums);
	add_up(model, scratch->sums, ret_hist);
}

int fnx_model_likelihood(const struct fnx_model *model, const double *mark, const double *share,
	void *scratch, double *ret_likelihood)
{
	const struct scratch parts = scratch_of(model, scratch);
	double rounded[FNX_MARK_DIMS_MAX];

	assert((uintptr_t)scratch % FNX_LANES_ALIGN == 0);
	if (model->header->index == 0)
		return FNX_ENCODE_NO_MARKS;
	fnx_model_round(model, mark, rounded);
	if (model->config.gate && is_gated(model, rounded, &parts))
		return FNX_ENCODE_GATED;
	if (!weigh_expanded(model, rounded, &parts, ret_likelihood))
		weigh_all(model, rounded, &parts, ret_likelihood);
	finish(model, share, parts.hist, ret_likelihood);
	return FNX_ENCODE_VALID;
}

/* All marks go over a tile of blocks before the next tile is fetched. Each adds the same blocks in
 * the same order as alone. */
static void weigh_together(const struct fnx_model *model, uint32_t n,
	const double (*marks)[FNX_MARK_DIMS_MAX], double *sums, size_t n_sums)
{
	const size_t lane_size = model->config.single ? sizeof(int32_t) : sizeof(double);
	const size_t block_size = lane_size * FNX_BLOCK_MARKS * model->blocks.n_rows;
	const uint32_t n_tile = block_size < TILE_SIZE ? (uint32_t)(TILE_SIZE / block_size) : 1;

	memset(sums, 0, n * n_sums * sizeof(double));
	for (uint32_t first = 0; first < model->blocks.n; first += n_tile) {
		const uint32_t n_left = model->blocks.n - first;
		const struct fnx_blocks tile = {
			.lanes = (char *)model->blocks.lanes + first * block_size,
			.bins = model->blocks.bins + first,
			.masses = model->blocks.masses
				? (char *)model->blocks.masses + first * FNX_BLOCK_MARKS * lane_size
				: NULL,
			.n = n_left < n_tile ? n_left : n_tile,
			.n_rows = model->blocks.n_rows,
		};

		for (uint32_t i = 0; i < n; i++)
			weigh(model, &tile, marks[i], sums + i * n_sums);
	}
}

void fnx_model_likelihoods(const struct fnx_model *model, uint32_t n, const double *marks,
	const double *share, void *scratch, double *ret_likelihoods, int *ret_answers)
{
	const struct fnx_model_config *config = &model->config;
	const size_t n_sums = config->n_bins * (size_t)FNX_BLOCK_SUMS;
	const struct scratch parts = scratch_of(model, scratch);
	double judged[FNX_MODEL_BATCH_MAX][FNX_MARK_DIMS_MAX];
	uint32_t n_judged = 0;

	assert(n <= FNX_MODEL_BATCH_MAX);
	for (uint32_t i = 0; i < n; i++) {
		const double *mark = marks + (size_t)i * config->n_dims;

		/* Each has near blocks, or a cube, of its own. */
		if (config->cut_off || model->cubes || model->header->index == 0)
			ret_answers[i] = fnx_model_likelihood(model, mark, share, scratch,
				ret_likelihoods + (size_t)i * config->n_bins);
		else {
			fnx_model_round(model, mark, judged[n_judged]);
			ret_answers[i] = config->gate && is_gated(model, judged[n_judged], &parts)
				? FNX_ENCODE_GATED
				: FNX_ENCODE_VALID;
			n_judged += ret_answers[i] == FNX_ENCODE_VALID;
		}
	}
	if (n_judged == 0)
		return;
	weigh_together(model, n_judged, judged, parts.sums, n_sums);
	for (uint32_t i = 0, k = 0; i < n; i++)
		if (ret_answers[i] == FNX_ENCODE_VALID) {
			double *likelihood = ret_likelihoods + (size_t)i * config->n_bins;

			add_up(model, parts.sums + k++ * n_sums, likelihood);
			finish(model, share, parts.hist, likelihood);
		}
}
