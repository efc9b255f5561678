/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which block a mark goes to when far blocks are to be passed over: each bin has a tree of planes
 * that leads to the block whose marks are alike. A full block is split in two, along the dimension
 * in which it scatters most, where that takes most of the scatter away: between two clusters, if
 * it holds two. (At the median, a tenth more of the blocks would lie near a spike, on clustered
 * marks.)
 *
 *	bin 7:     dim 2 < 141.5 ?
 *	          /               \
 *	    [m m m - ...]      dim 0 < 88.0 ?
 *	                      /              \
 *	               [m m m m ...]     [m m - - ...]
 *
 * The planes only lead the way: whether a block is passed over goes by the box around its marks. So
 * a mark may lie anywhere. A full block that cannot be split (marks all alike, too deep) is detached
 * from the tree, and what finds no place because no block is left goes to the bin's chain of blocks
 * in order of arrival, as without a tree. Hence all work is bounded: DEPTH_MAX steps and one split.
 * A leaf that has lost its last mark is taken out.
 */
#include <assert.h>
#include <math.h>

#include "nodes/encode/model_memory.h"

enum {
	DEPTH_MAX = 48,
	SIDE_MARKS = 4, /* that a split leaves on either side where it can: blocks stay fuller */
};

static const double MOST_DEVIATIONS = FNX_BOX_ZERO / FNX_BOX_STEPS;

/* Bounds
 * ------------------------------------------------------------------------------------------- */

static uint16_t *bounds(const struct fnx_model *model, uint32_t block, uint32_t dim)
{
	return model->boxes + fnx_model_bound(model->config.n_dims, block, dim);
}

static void set_bound(struct fnx_model *model, uint16_t *at, uint16_t value)
{
	fnx_journal_touch(model->journal, at, sizeof(*at));
	*at = value;
}

void fnx_model_box_clear(struct fnx_model *model, uint32_t block)
{
	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		uint16_t *low = bounds(model, block, d);

		set_bound(model, low, FNX_BOX_LAST);
		set_bound(model, low + FNX_BOX_GROUP, 0);
	}
}

void fnx_model_box_steps(
	const struct fnx_model *model, double uv, uint16_t *ret_low, uint16_t *ret_high)
{
	const double limit = model->config.single
		? fmin(MOST_DEVIATIONS,
			  fnx_model_limit(model) * fnx_model_unit_uv(model) /
				  model->config.kernel_uv)
		: MOST_DEVIATIONS;
	const double steps = FNX_BOX_ZERO +
		FNX_BOX_STEPS * fnx_model_clamped(uv / model->config.kernel_uv, limit);

	*ret_low = (uint16_t)fmin(steps, FNX_BOX_LAST);
	*ret_high = (uint16_t)fmin(ceil(steps), FNX_BOX_LAST);
}

void fnx_model_box_grow(struct fnx_model *model, uint32_t block, const double *mark)
{
	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		uint16_t *low = bounds(model, block, d), *high = low + FNX_BOX_GROUP;
		uint16_t below, above;

		fnx_model_box_steps(model, mark[d], &below, &above);
		if (below < *low)
			set_bound(model, low, below);
		if (above > *high)
			set_bound(model, high, above);
	}
}

/* Tree
 * ---------------------------------------------------------------------------------------------- */

static const double *mark_at(const struct fnx_model *model, uint32_t slot)
{
	return model->marks + (size_t)slot * model->config.n_dims;
}

static uint32_t leaf_for(
	const struct fnx_model *model, uint32_t bin, const double *mark, uint32_t *ret_depth)
{
	uint32_t at = model->roots[bin];
	uint32_t depth = 0;

	for (; !(at & FNX_MODEL_LEAF); depth++) {
		const struct fnx_model_plane *plane = &model->planes[at];

		at = plane->children[mark[plane->dim] >= plane->value];
	}
	*ret_depth = depth;
	return at & ~FNX_MODEL_LEAF;
}

/* -1: the tree has as many blocks as it may have. */
static int take_leaf(struct fnx_model *model, uint32_t bin, uint32_t *ret_block)
{
	struct fnx_model_header *header = model->header;

	if (header->n_leaves == model->n_leaves)
		return -1;
	fnx_model_set(model, &header->n_leaves, header->n_leaves + 1);
	*ret_block = fnx_model_take_block(model, bin);
	return 0;
}

static uint32_t take_plane(struct fnx_model *model)
{
	struct fnx_model_header *header = model->header;
	uint32_t plane = header->free_plane;

	if (plane != FNX_MODEL_NONE) {
		fnx_model_set(model, &header->free_plane, model->planes[plane].parent);
	} else {
		plane = header->n_planes;
		fnx_model_set(model, &header->n_planes, plane + 1);
	}
	assert(plane < model->n_leaves);
	return plane;
}

/* Where the tree refers to the child `at` of `parent`. */
static uint32_t *reference(struct fnx_model *model, uint32_t bin, uint32_t parent, uint32_t at)
{
	if (parent == FNX_MODEL_NONE)
		return &model->roots[bin];
	return &model->planes[parent].children[model->planes[parent].children[1] == at];
}

static void set_parent(struct fnx_model *model, uint32_t at, uint32_t parent)
{
	fnx_model_set(model,
		at & FNX_MODEL_LEAF ? &model->parents[at & ~FNX_MODEL_LEAF]
				    : &model->planes[at].parent,
		parent);
}

/* Sum of squared distances from the mean. */
static double scatter_along(const struct fnx_model *model, uint32_t block, uint32_t dim)
{
	const uint32_t *slots = model->slots + (size_t)block * FNX_BLOCK_MARKS;
	const uint32_t n = model->counts[block];
	double mean = 0.0, scatter = 0.0;

	for (uint32_t i = 0; i < n; i++)
		mean += mark_at(model, slots[i])[dim];
	mean /= n;
	for (uint32_t i = 0; i < n; i++) {
		const double v = mark_at(model, slots[i])[dim] - mean;

		scatter += v * v;
	}
	return scatter;
}

static uint32_t most_scattered(const struct fnx_model *model, uint32_t block)
{
	double most = -1.0;
	uint32_t dim = 0;

	for (uint32_t d = 0; d < model->config.n_dims; d++) {
		const double scatter = scatter_along(model, block, d);

		if (scatter > most) {
			most = scatter;
			dim = d;
		}
	}
	return dim;
}

static void sort(const struct fnx_model *model, uint32_t block, uint32_t dim, double *ret_sorted)
{
	for (uint32_t i = 0; i < model->counts[block]; i++) {
		const double v = mark_at(model, model->slots[block * FNX_BLOCK_MARKS + i])[dim];
		uint32_t k = i;

		for (; k > 0 && ret_sorted[k - 1] > v; k--)
			ret_sorted[k] = ret_sorted[k - 1];
		ret_sorted[k] = v;
	}
}

/* The cut, of those that leave `least` values on either side, that takes most of the scatter away:
 * where the means of both sides are farthest apart, weighted by their numbers. 0: no two
 * neighbours differ. */
static uint32_t best_cut(const double *sorted, uint32_t n, uint32_t least)
{
	double all = 0.0, below = 0.0, most = 0.0;
	uint32_t best = 0;

	for (uint32_t i = 0; i < n; i++)
		all += sorted[i];
	for (uint32_t i = 1; i + least <= n; i++) {
		double apart;

		below += sorted[i - 1];
		apart = (all - below) / (n - i) - below / i;
		apart *= apart * i * (n - i);
		if (i >= least && sorted[i] > sorted[i - 1] && apart > most) {
			most = apart;
			best = i;
		}
	}
	return best;
}

/* A plane that leaves marks of the block on both sides; false: they are all alike. */
static bool choose(
	const struct fnx_model *model, uint32_t block, uint32_t *ret_dim, double *ret_value)
{
	const uint32_t dim = most_scattered(model, block);
	double sorted[FNX_BLOCK_MARKS];
	uint32_t cut;

	sort(model, block, dim, sorted);
	cut = best_cut(sorted, model->counts[block], SIDE_MARKS);
	if (cut == 0)
		cut = best_cut(sorted, model->counts[block], 1);
	*ret_dim = dim;
	*ret_value = sorted[cut];
	return cut > 0;
}

static void put_last(struct fnx_model *model, uint32_t block, uint32_t slot)
{
	const uint32_t lane = model->counts[block];

	fnx_model_set(model, &model->counts[block], lane + 1);
	fnx_model_put(model, block * FNX_BLOCK_MARKS + lane, slot);
}

/* The block's last mark fills the hole. */
static void take_from(struct fnx_model *model, uint32_t place)
{
	const uint32_t block = place / FNX_BLOCK_MARKS, n_left = model->counts[block] - 1;
	const uint32_t end = block * FNX_BLOCK_MARKS + n_left;

	fnx_model_set(model, &model->counts[block], n_left);
	if (place != end)
		fnx_model_put(model, place, model->slots[end]);
	fnx_model_clear(model, end);
}

static void share_out(struct fnx_model *model, uint32_t block, uint32_t other, uint32_t plane)
{
	const uint32_t dim = model->planes[plane].dim;
	const double value = model->planes[plane].value;

	for (uint32_t i = model->counts[block]; i-- > 0;) {
		const uint32_t place = block * FNX_BLOCK_MARKS + i, slot = model->slots[place];

		if (mark_at(model, slot)[dim] >= value) {
			put_last(model, other, slot);
			take_from(model, place);
		}
	}
	fnx_model_box_clear(model, block);
	for (uint32_t i = 0; i < model->counts[block]; i++)
		fnx_model_box_grow(
			model, block, mark_at(model, model->slots[block * FNX_BLOCK_MARKS + i]));
}

static bool split(struct fnx_model *model, uint32_t block)
{
	const uint32_t bin = model->block_bins[block], parent = model->parents[block];
	uint32_t other, plane, dim;
	double value;

	if (!choose(model, block, &dim, &value) || take_leaf(model, bin, &other))
		return false;
	plane = take_plane(model);
	fnx_journal_touch(model->journal, &model->planes[plane], sizeof(model->planes[plane]));
	model->planes[plane] = (struct fnx_model_plane){
		.value = value,
		.dim = dim,
		.parent = parent,
		.children = {block | FNX_MODEL_LEAF, other | FNX_MODEL_LEAF},
	};
	fnx_model_set(model, reference(model, bin, parent, block | FNX_MODEL_LEAF), plane);
	fnx_model_set(model, &model->parents[block], plane);
	fnx_model_set(model, &model->parents[other], plane);
	share_out(model, block, other, plane);
	return true;
}

/* A full block that cannot be split leaves the tree, and an empty one takes its place. It stays one
 * of like marks, and gives up its marks like a leaf. false: there is no block left. */
static bool detach(struct fnx_model *model, uint32_t block, uint32_t *ret_fresh)
{
	const uint32_t bin = model->block_bins[block], parent = model->parents[block];

	if (take_leaf(model, bin, ret_fresh))
		return false;
	fnx_model_set(model, reference(model, bin, parent, block | FNX_MODEL_LEAF),
		*ret_fresh | FNX_MODEL_LEAF);
	fnx_model_set(model, &model->parents[*ret_fresh], parent);
	fnx_model_set(model, &model->parents[block], FNX_MODEL_DETACHED);
	return true;
}

uint32_t fnx_model_tree_like(const struct fnx_model *model, uint32_t bin, const double *mark)
{
	const double reach = model->config.merge_deviations * model->config.kernel_uv;
	uint32_t like = FNX_MODEL_NONE, block, depth;
	double nearest = reach * reach;

	if (model->roots[bin] == FNX_MODEL_NONE)
		return FNX_MODEL_NONE;
	block = leaf_for(model, bin, mark, &depth);
	for (uint32_t i = 0; i < model->counts[block]; i++) {
		const uint32_t slot = model->slots[block * FNX_BLOCK_MARKS + i];
		double square = 0.0;

		for (uint32_t d = 0; d < model->config.n_dims; d++) {
			const double difference = mark_at(model, slot)[d] - mark[d];

			square += difference * difference;
		}
		if (square <= nearest && fnx_model_mass(model, slot) < FNX_BLOCK_MASS_MAX) {
			nearest = square;
			like = slot;
		}
	}
	return like;
}

bool fnx_model_tree_add(struct fnx_model *model, uint32_t slot)
{
	const uint32_t bin = model->bins[slot];
	const double *mark = mark_at(model, slot);
	uint32_t block, depth;

	if (model->roots[bin] == FNX_MODEL_NONE) {
		if (take_leaf(model, bin, &block))
			return false;
		fnx_model_set(model, &model->parents[block], FNX_MODEL_NONE);
		fnx_model_set(model, &model->roots[bin], block | FNX_MODEL_LEAF);
	}
	block = leaf_for(model, bin, mark, &depth);
	if (model->counts[block] == FNX_BLOCK_MARKS) {
		if (depth < DEPTH_MAX && split(model, block))
			block = leaf_for(model, bin, mark, &depth);
		else if (!detach(model, block, &block))
			return false;
	}
	put_last(model, block, slot);
	return true;
}

/* An empty leaf goes, and its sibling takes the place of the plane between them. */
static void take_out_leaf(struct fnx_model *model, uint32_t block)
{
	const uint32_t bin = model->block_bins[block], plane = model->parents[block];
	const uint32_t at = block | FNX_MODEL_LEAF;

	if (plane == FNX_MODEL_NONE) {
		fnx_model_set(model, &model->roots[bin], FNX_MODEL_NONE);
	} else if (plane != FNX_MODEL_DETACHED) {
		const uint32_t *children = model->planes[plane].children;
		const uint32_t sibling = children[children[0] == at];
		const uint32_t parent = model->planes[plane].parent;

		fnx_model_set(model, reference(model, bin, parent, plane), sibling);
		set_parent(model, sibling, parent);
		fnx_model_set(model, &model->planes[plane].parent, model->header->free_plane);
		fnx_model_set(model, &model->header->free_plane, plane);
	}
	fnx_model_set(model, &model->parents[block], FNX_MODEL_CHAINED);
	fnx_model_set(model, &model->header->n_leaves, model->header->n_leaves - 1);
	fnx_model_give_block(model, block);
}

void fnx_model_tree_take_out(struct fnx_model *model, uint32_t slot)
{
	const uint32_t place = model->places[slot], block = place / FNX_BLOCK_MARKS;

	take_from(model, place);
	if (model->counts[block] == 0)
		take_out_leaf(model, block);
}

/* Soundness
 * ----------------------------------------------------------------------------------------- */

static bool is_leaf_sound(
	const struct fnx_model *model, uint32_t block, uint32_t bin, uint32_t parent)
{
	return block < model->header->n_blocks && model->block_bins[block] == bin &&
		model->parents[block] == parent && model->counts[block] > 0 &&
		model->counts[block] <= FNX_BLOCK_MARKS;
}

/* By way of the parents, so that no stack is needed: down to the left, and up again. */
bool fnx_model_tree_is_sound(
	const struct fnx_model *model, uint32_t bin, uint32_t *n_leaves, uint64_t *n_marks)
{
	uint32_t at = model->roots[bin], parent = FNX_MODEL_NONE, depth = 0;

	while (at != FNX_MODEL_NONE) {
		if (!(at & FNX_MODEL_LEAF)) {
			if (at >= model->header->n_planes || depth++ == DEPTH_MAX ||
				model->planes[at].parent != parent ||
				model->planes[at].dim >= model->config.n_dims ||
				model->planes[at].children[0] == FNX_MODEL_NONE ||
				model->planes[at].children[1] == FNX_MODEL_NONE ||
				model->planes[at].children[0] == model->planes[at].children[1])
				return false;
			parent = at;
			at = model->planes[at].children[0];
			continue;
		}
		if (!is_leaf_sound(model, at & ~FNX_MODEL_LEAF, bin, parent) ||
			++*n_leaves > model->header->n_leaves)
			return false;
		*n_marks += model->counts[at & ~FNX_MODEL_LEAF];
		while (parent != FNX_MODEL_NONE && model->planes[parent].children[1] == at) {
			at = parent;
			parent = model->planes[at].parent;
			depth--;
		}
		at = parent == FNX_MODEL_NONE ? FNX_MODEL_NONE : model->planes[parent].children[1];
	}
	return true;
}

bool fnx_model_planes_are_sound(const struct fnx_model *model, uint32_t n_leaves)
{
	const struct fnx_model_header *header = model->header;
	uint32_t n = n_leaves; /* a plane between each two of a tree's leaves */

	for (uint32_t bin = 0; bin < model->config.n_bins; bin++)
		n -= model->roots[bin] != FNX_MODEL_NONE;
	for (uint32_t at = header->free_plane; at != FNX_MODEL_NONE;
		at = model->planes[at].parent, n++)
		if (at >= header->n_planes || n >= header->n_planes)
			return false;
	return n == header->n_planes;
}

bool fnx_model_detached_are_sound(
	const struct fnx_model *model, uint32_t *n_leaves, uint64_t *n_marks)
{
	for (uint32_t block = 0; block < model->header->n_blocks; block++) {
		if (model->parents[block] != FNX_MODEL_DETACHED)
			continue;
		if (model->counts[block] == 0 || model->counts[block] > FNX_BLOCK_MARKS)
			return false;
		*n_marks += model->counts[block];
		++*n_leaves;
	}
	return true;
}
