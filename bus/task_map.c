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

#include "bus/fetch.h"
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
		ret->box.strides[i] = stride;
		ret->box.start[i] = (uint32_t)start;
		ret->box.end[i] = (uint32_t)(start + region->shape[i]);
	}
	if (n == 0 || rest + region->element_size > region->strides[n - 1] ||
		region->strides[n - 1] > UINT32_MAX)
		return;
	ret->box.start[n] = (uint32_t)rest;
	ret->box.end[n] = (uint32_t)(rest + region->element_size);
	ret->n_dims = n;
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
	ret_region->dense = (uint32_t)is_dense(region);
	/* A row is compared as a span, unless with a part of a matrix. */
	if (region->n_dims > 1 || !ret_region->dense)
		find_box(region, ret_region);
	return 0;
}

static int same_array(const struct fnx_task_box_region *a, const struct fnx_task_box_region *b)
{
	return a->n_dims && a->n_dims == b->n_dims &&
		!memcmp(a->box.strides, b->box.strides, a->n_dims * sizeof(a->box.strides[0]));
}

int fnx_task_region_overlaps(
	const struct fnx_task_box_region *a, const struct fnx_task_box_region *b)
{
	if (a->high <= b->low || b->high <= a->low)
		return 0;
	if ((a->dense && b->dense) || !same_array(a, b))
		return 1;
	for (unsigned i = 0; i <= a->n_dims; i++)
		if (a->box.end[i] <= b->box.start[i] || b->box.end[i] <= a->box.start[i])
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
		if (a->box.start[i] > b->box.start[i] || a->box.end[i] < b->box.end[i])
			return 0;
	return 1;
}

static uint64_t *bucket_of(const struct fnx_task_map *map, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);

	return &map->buckets[(hash >> 32) & map->bucket_mask];
}

static struct fnx_task_box_region region_of(
	const struct fnx_task_map *map, const struct fnx_task_map_entry *entry)
{
	struct fnx_task_box_region region = {.low = entry->low,
		.high = entry->high,
		.dense = entry->dense,
		.n_dims = entry->n_dims};

	if (entry->n_dims)
		region.box = map->boxes[entry - map->entries];
	return region;
}

/* 0: they share no byte; 1: they may; 2: and `region` covers the entry's. */
static int compare(const struct fnx_task_map *map, const struct fnx_task_map_entry *entry,
	const struct fnx_task_box_region *region)
{
	struct fnx_task_box_region other;

	if (entry->high <= region->low || region->high <= entry->low)
		return 0;
	if (entry->dense && region->dense)
		return region->low <= entry->low && region->high >= entry->high ? 2 : 1;
	other = region_of(map, entry);
	if (!fnx_task_region_overlaps(region, &other))
		return 0;
	return fnx_task_region_covers(region, &other) ? 2 : 1;
}

void fnx_task_map_find(struct fnx_task_runtime *rt, uint64_t key,
	const struct fnx_task_box_region *region, int writes, int cut, uint64_t needed)
{
	struct fnx_task_map *map = &rt->map;
	uint64_t *link = bucket_of(map, key);

	while (*link > map->tail) {
		struct fnx_task_map_entry *entry = &map->entries[(*link - 1) & map->mask];
		int meets = entry->key == key && (writes || entry->writes)
			? compare(map, entry, region)
			: 0;

		if (meets)
			fnx_task_add_producer(rt, entry->task, entry->writes ? needed : 0);
		if (meets == 2 && cut)
			*link = entry->next;
		else
			link = &entry->next;
	}
}

void fnx_task_map_fetch(const struct fnx_task_map *map, unsigned n)
{
	const struct fnx_task_map_entry *newest = &map->entries[(map->head - 1) & map->mask];

	for (unsigned i = 0; i < n; i++)
		fnx_fetch(&map->entries[(map->head + i) & map->mask], sizeof(*newest));
	/* The next is likely to be about the same memory. */
	fnx_fetch(bucket_of(map, newest->key), sizeof(map->buckets[0]));
}

void fnx_task_map_add(struct fnx_task_map *map, uint64_t key,
	const struct fnx_task_box_region *region, int writes, uint64_t task)
{
	struct fnx_task_map_entry *entry = &map->entries[map->head & map->mask];
	uint64_t *bucket = bucket_of(map, key);

	entry->key = key;
	entry->task = task;
	entry->low = region->low;
	entry->high = region->high;
	entry->writes = (uint32_t)writes;
	entry->dense = region->dense;
	entry->n_dims = region->n_dims;
	if (region->n_dims)
		map->boxes[entry - map->entries] = region->box;
	entry->next = *bucket;
	*bucket = ++map->head;
}
