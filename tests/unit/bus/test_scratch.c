/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/scratch.h"

#include "tests/support/check.h"

#include <errno.h>
#include <math.h>
#include <string.h>

TEST(a_loan_within_the_reserve_is_aligned_and_grows_nothing)
{
	struct check_random random = check_random_seeded();
	struct fnx_scratch scratch;
	void *memory;

	fnx_scratch_init(&scratch);
	assert_int_equal(fnx_scratch_reserve(&scratch, 10000), 0);
	memory = fnx_scratch_loan(&scratch, 10000);
	for (int i = 0; i < 1000; i++) {
		size_t size = check_random_below(&random, 10001);
		unsigned char *loan = fnx_scratch_loan(&scratch, size);

		assert_ptr_equal(loan, memory);
		assert_int_equal((uintptr_t)loan % 64, 0);
		memset(loan, 1, size);
	}
	assert_int_equal(scratch.n_grown, 0);
	assert_int_equal(fnx_scratch_reserve(&scratch, 5000), 0);
	assert_ptr_equal(fnx_scratch_loan(&scratch, 1), memory);
	fnx_scratch_fini(&scratch);
	assert_null(scratch.memory);
}

TEST(a_loan_beyond_the_reserve_grows_and_is_counted)
{
	struct fnx_scratch scratch;

	fnx_scratch_init(&scratch);
	assert_non_null(fnx_scratch_loan(&scratch, 0));
	assert_int_equal(scratch.n_grown, 1);
	assert_non_null(fnx_scratch_loan(&scratch, 64));
	assert_int_equal(scratch.n_grown, 1);
	assert_non_null(fnx_scratch_loan(&scratch, 65));
	assert_int_equal(scratch.n_grown, 2);
	assert_int_equal(scratch.size, 128);
	fnx_scratch_fini(&scratch);
	fnx_scratch_fini(&scratch);
}

TEST(what_memory_cannot_hold_is_refused_and_the_reserve_stays)
{
	struct fnx_scratch scratch;
	void *memory;

	fnx_scratch_init(&scratch);
	assert_int_equal(fnx_scratch_reserve(&scratch, 100), 0);
	memory = scratch.memory;
	assert_int_equal(fnx_scratch_reserve(&scratch, SIZE_MAX), -ENOMEM);
	assert_null(fnx_scratch_loan(&scratch, SIZE_MAX - 1));
	assert_ptr_equal(scratch.memory, memory);
	assert_int_equal(scratch.n_grown, 0);
	fnx_scratch_fini(&scratch);
}

TEST(a_loan_keeps_its_old_contents_unless_loans_are_poisoned_with_nans)
{
	struct fnx_scratch scratch;
	double *values;

	fnx_scratch_init(&scratch);
	assert_int_equal(fnx_scratch_reserve(&scratch, 80), 0);
	values = fnx_scratch_loan(&scratch, 80);
	for (int i = 0; i < 10; i++)
		values[i] = 7.0;
	values = fnx_scratch_loan(&scratch, 80);
	assert_true(values[9] == 7.0);
	fnx_scratch_poison_loans(1);
	values = fnx_scratch_loan(&scratch, 80);
	for (int i = 0; i < 10; i++) {
		float half;

		memcpy(&half, &values[i], sizeof(half));
		assert_true(isnan(values[i]));
		assert_true(isnan(half));
	}
	fnx_scratch_poison_loans(0);
	values[0] = 1.0;
	values = fnx_scratch_loan(&scratch, 80);
	assert_true(values[0] == 1.0);
	fnx_scratch_fini(&scratch);
}
