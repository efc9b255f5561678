/* SPDX-License-Identifier: BSD-3-Clause */
/* Scratch for a model's likelihoods, to be freed. All ones, which is NaN in either precision: what is
 * read before it was written shows. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "nodes/encode/model.h"
#include "tests/support/check.h"

static inline void *model_scratch_new(const struct fnx_model *model)
{
	const size_t size = (fnx_model_scratch_size(model) + 63) / 64 * 64;
	void *scratch = aligned_alloc(64, size);

	assert_non_null(scratch);
	memset(scratch, 0xff, size);
	return scratch;
}
