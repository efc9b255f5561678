/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map of regions. Entries lie in a ring in the order of tasks; those of one bucket form a chain
 * from new to old. A link is the position of an entry, which is never used twice: once the ring's
 * tail has passed it, the link is dead, and so is everything behind it. So nothing is ever taken
 * out when tasks are CONSUMED, and only a covering writer unlinks.
 *
 * Two regions are compared exactly if both are dense, or if both are boxes of one array: the same
 * strides, each a multiple of the next. An offset then falls apart into one coordinate for each
 * dimension and a rest within the element's stride, and the regions meet if they meet in every
 * coordinate. A box that would run over the end of a row has no such form.
 */
#include <errno.h>
#include <string.h>

#include "bus/task_runtime.h"

/* Strides of a dense region. -EINVAL: it does not fit into memory. */
static int dense_strides(struct fnx_region *region)
{
	uint64_t stride = region->element_size;

	for (unsigned i = region->n_dims; i-- > 0;) {
		region->strides[i] = stride;
		if (__builtin_mul_overflow(stride, region->shape[i], &stride) || stride > INT64_MAX)
			return -EINVAL;
	}
	return 0;
}

static int has_strides(const struct fnx_region *region)
{
	for (unsigned i = 0; i < region->n_dims; i++)
		if (region->strides[i])
			return 1;
	return 0;
}

static int is_dense(const struct fnx_region *region)
{
	uint64_t stride = region->element_size;

	for (unsigned i = region->n_dims; i-- > 0;) {
		if (region->shape[i] > 1 && region->strides[i] != stride)
			return 0;
		stride *= region->shape[i];
	}
	return 1;
}

/* The box form; leaves n_dims 0 where there is none. */
static void find_box(const struct fnx_region *region, struct fnx_task_box_region *ret)
{
	uint64_t rest = region->offset;
	unsigned n = region->n_dims;

	for (unsigned i = 0; i < n; i++) {
		uint64_t stride = region->strides[i], start, row;

		if (stride < region->element_size || (i && region->strides[i - 1] % stride))
			return;
		start = rest / stride;
		rest %= stride;
		row = i ? region->strides[i - 1] / stride : UINT32_MAX;
		if (start + region->shape[i] > row || start + region->shape[i] > UINT32_MAX)
			return;
		ret->strides[i] = stride;
		ret->start[i] = (uint32_t)start;
		ret->end[i] = (uint32_t)(start + region->shape[i]);
	}
	if (n == 0 || rest + region->element_size > region->strides[n - 1] ||
		region->strides[n - 1] > UINT32_MAX)
		return;
	ret->start[n] = (uint32_t)rest;
	ret->end[n] = (uint32_t)(rest + region->element_size);
	ret->n_dims = (uint8_t)n;
}

int fnx_task_region_reduce(struct fnx_region *region, struct fnx_task_box_region *ret_region)
{
	uint64_t span = region->element_size, reach;

	if (region->n_dims > FNX_TASK_DIMS_MAX || !region->element_size)
		return -EINVAL;
	for (unsigned i = 0; i < region->n_dims; i++)
		if (!region->shape[i])
			return -EINVAL;
	if (!has_strides(region) && dense_strides(region))
		return -EINVAL;
	for (unsigned i = 0; i < region->n_dims; i++)
		if (__builtin_mul_overflow(region->strides[i], region->shape[i] - 1u, &reach) ||
			__builtin_add_overflow(span, reach, &span))
			return -EINVAL;
	if (__builtin_add_overflow(region->offset, span, &reach) || reach > INT64_MAX)
		return -EINVAL;
	ret_region->low = region->offset;
	ret_region->high = reach;
	ret_region->n_dims = 0;
	ret_region->dense = (uint8_t)is_dense(region);
	/* A row is compared as a span, unless with a part of a matrix. */
	if (region->n_dims > 1 || !ret_region->dense)
		find_box(region, ret_region);
	return 0;
}

static int same_array(const struct fnx_task_box_region *a, const struct fnx_task_box_region *b)
{
	return a->n_dims && a->n_dims == b->n_dims &&
		!memcmp(a->strides, b->strides, a->n_dims * sizeof(a->strides[0]));
}

int fnx_task_region_overlaps(
	const struct fnx_task_box_region *a, const struct fnx_task_box_region *b)
{
	if (a->high <= b->low || b->high <= a->low)
		return 0;
	if ((a->dense && b->dense) || !same_array(a, b))
		return 1;
	for (unsigned i = 0; i <= a->n_dims; i++)
		if (a->end[i] <= b->start[i] || b->end[i] <= a->start[i])
			return 0;
	return 1;
}

int fnx_task_region_covers(const struct fnx_task_box_region *a, const struct fnx_task_box_region *b)
{
	if (a->low > b->low || a->high < b->high)
		return 0;
	if (a->dense)
		return 1;
	if (!same_array(a, b))
		return 0;
	for (unsigned i = 0; i <= a->n_dims; i++)
		if (a->start[i] > b->start[i] || a->end[i] < b->end[i])
			return 0;
	return 1;
}

static uint64_t *bucket_of(const struct fnx_task_map *map, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);

	return &map->buckets[(hash >> 32) & map->bucket_mask];
}

void fnx_task_map_find(struct fnx_task_runtime *rt, uint64_t key,
	const struct fnx_task_box_region *region, int writes, int cut, uint64_t needed)
{
	struct fnx_task_map *map = &rt->map;
	uint64_t *link = bucket_of(map, key);

	while (*link > map->tail) {
		struct fnx_task_map_entry *entry = &map->entries[(*link - 1) & map->mask];

		if (entry->key == key && (writes || entry->writes) &&
			fnx_task_region_overlaps(region, &entry->region)) {
			fnx_task_add_producer(rt, entry->task, entry->writes ? needed : 0);
			if (cut && fnx_task_region_covers(region, &entry->region)) {
				*link = entry->next;
				continue;
			}
		}
		link = &entry->next;
	}
}

void fnx_task_map_add(struct fnx_task_map *map, uint64_t key,
	const struct fnx_task_box_region *region, int writes, uint64_t task)
{
	struct fnx_task_map_entry *entry = &map->entries[map->head & map->mask];
	uint64_t *bucket = bucket_of(map, key);

	entry->key = key;
	entry->task = task;
	entry->writes = (uint32_t)writes;
	entry->region = *region;
	entry->next = *bucket;
	*bucket = ++map->head;
}
