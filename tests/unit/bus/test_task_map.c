/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions against the naive model: a set of bytes. */
#include "tests/unit/bus/task_fixture.h"

#include "bus/task_runtime.h"

enum {
	N_BYTES = 512
};

struct bytes {
	unsigned char at[N_BYTES];
};

static struct bytes bytes_of(const struct fnx_region *region)
{
	struct bytes bytes = {{0}};
	uint64_t n = 1;

	for (unsigned i = 0; i < region->n_dims; i++)
		n *= region->shape[i];
	for (uint64_t k = 0; k < n; k++) {
		uint64_t at = region->offset, rest = k;

		for (unsigned i = region->n_dims; i-- > 0; rest /= region->shape[i])
			at += rest % region->shape[i] * region->strides[i];
		memset(&bytes.at[at], 1, region->element_size);
	}
	return bytes;
}

static int meet(const struct bytes *a, const struct bytes *b)
{
	for (unsigned i = 0; i < N_BYTES; i++)
		if (a->at[i] && b->at[i])
			return 1;
	return 0;
}

static int contains(const struct bytes *a, const struct bytes *b)
{
	for (unsigned i = 0; i < N_BYTES; i++)
		if (b->at[i] && !a->at[i])
			return 0;
	return 1;
}

/* A box of an 8 x 8 matrix of 8-byte elements, perhaps of every other row or column. */
static struct fnx_region random_box(struct check_random *random)
{
	uint32_t row = (uint32_t)check_random_below(random, 8);
	uint32_t column = (uint32_t)check_random_below(random, 8);

	return (struct fnx_region){.offset = row * 64 + column * 8,
		.element_size = 8,
		.n_dims = 2,
		.shape = {1 + (uint32_t)check_random_below(random, 8 - row),
			1 + (uint32_t)check_random_below(random, 8 - column)},
		.strides = {64, 8}};
}

/* Anything within the bytes: up to four dimensions, strides of any size and order. */
static struct fnx_region random_region(struct check_random *random)
{
	struct fnx_region region;
	uint64_t reach;

	do {
		region = (struct fnx_region){.offset = check_random_below(random, N_BYTES),
			.element_size = 1u << check_random_below(random, 4),
			.n_dims = (uint32_t)check_random_below(random, 5)};
		reach = region.offset + region.element_size;
		for (unsigned i = 0; i < region.n_dims; i++) {
			region.shape[i] = 1 + (uint32_t)check_random_below(random, 6);
			region.strides[i] = 1 + check_random_below(random, 70);
			if (check_random_below(random, 2))
				region.strides[i] = UINT64_C(1) << check_random_below(random, 8);
			reach += (region.shape[i] - 1) * region.strides[i];
		}
	} while (reach > N_BYTES);
	return region;
}

static struct fnx_task_box_region reduce(struct fnx_region *region)
{
	struct fnx_task_box_region reduced;

	assert_int_equal(fnx_task_region_reduce(region, &reduced), 0);
	return reduced;
}

TEST(regions_that_share_a_byte_overlap_and_covering_is_never_claimed_wrongly)
{
	struct check_random random = check_random_seeded();
	unsigned n_apart = 0, n_seen_apart = 0, n_covers = 0;

	for (unsigned i = 0; i < 200000; i++) {
		struct fnx_region a = check_random_below(&random, 3) ? random_region(&random)
								     : random_box(&random);
		struct fnx_region b = check_random_below(&random, 3) ? random_region(&random)
								     : random_box(&random);
		struct fnx_task_box_region ra = reduce(&a), rb = reduce(&b);
		struct bytes ba = bytes_of(&a), bb = bytes_of(&b);
		int overlaps = fnx_task_region_overlaps(&ra, &rb);

		assert_true(overlaps || !meet(&ba, &bb));
		assert_int_equal(overlaps, fnx_task_region_overlaps(&rb, &ra));
		if (fnx_task_region_covers(&ra, &rb)) {
			assert_true(contains(&ba, &bb));
			n_covers++;
		}
		n_apart += !meet(&ba, &bb);
		n_seen_apart += !overlaps;
	}
	print_message("%u apart, %u seen to be; %u cover\n", n_apart, n_seen_apart, n_covers);
	assert_true(n_seen_apart > n_apart / 4 && n_covers > 0);
}

TEST(boxes_of_one_array_and_dense_runs_are_compared_exactly)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 100000; i++) {
		int dense = (int)check_random_below(&random, 2);
		struct fnx_region a = random_box(&random), b = random_box(&random);
		struct fnx_task_box_region ra, rb;
		struct bytes ba, bb;

		if (dense) {
			a.n_dims = b.n_dims = 1;
			a.strides[0] = b.strides[0] = 8;
			a.shape[0] =
				1 + (uint32_t)check_random_below(&random, (N_BYTES - a.offset) / 8);
			b.shape[0] =
				1 + (uint32_t)check_random_below(&random, (N_BYTES - b.offset) / 8);
		}
		ra = reduce(&a), rb = reduce(&b);
		ba = bytes_of(&a), bb = bytes_of(&b);
		assert_int_equal(fnx_task_region_overlaps(&ra, &rb), meet(&ba, &bb));
		assert_int_equal(fnx_task_region_covers(&ra, &rb), contains(&ba, &bb));
	}
}

TEST(columns_of_one_matrix_do_not_overlap)
{
	struct fnx_region left = {.element_size = 4, .n_dims = 2, .shape = {10, 3}};
	struct fnx_region right = left;
	struct fnx_task_box_region a, b;

	left.strides[0] = right.strides[0] = 41 * 4;
	left.strides[1] = right.strides[1] = 4;
	right.offset = 3 * 4;
	a = reduce(&left), b = reduce(&right);
	assert_int_equal(fnx_task_region_overlaps(&a, &b), 0);
	right.offset = 2 * 4;
	b = reduce(&right);
	assert_int_equal(fnx_task_region_overlaps(&a, &b), 1);
}
