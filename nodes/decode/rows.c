/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/rows.h"

#include <float.h>
#include <math.h>

#define ROWS(name) name##_any
#define ROWS_TARGET
#include "nodes/decode/rows_width.h"

static const struct fnx_rows rows_any = ROWS_SET;

#ifdef __x86_64__
#undef ROWS
#undef ROWS_TARGET
#undef ROWS_SET
#define ROWS(name) name##_avx2
#define ROWS_TARGET __attribute__((target("avx2")))
#include "nodes/decode/rows_width.h"

static const struct fnx_rows rows_avx2 = ROWS_SET;

#undef ROWS
#undef ROWS_TARGET
#undef ROWS_SET
#define ROWS(name) name##_v4
#define ROWS_TARGET __attribute__((target("arch=x86-64-v4")))
#include "nodes/decode/rows_width.h"

static const struct fnx_rows rows_v4 = ROWS_SET;
#endif

const struct fnx_rows *fnx_rows(enum fnx_processor processor)
{
	switch (processor) {
#ifdef __x86_64__
	case FNX_PROCESSOR_X86_64_V4:
		return &rows_v4;
	case FNX_PROCESSOR_AVX2:
		return &rows_avx2;
#endif
	default:
		return &rows_any;
	}
}

uint32_t fnx_row_argmax(const struct fnx_rows *rows, const double *x, uint32_t n)
{
	const double most = rows->max(x, n);

	for (uint32_t i = 0; x[0] == x[0] && i < n; i++)
		if (x[i] == most)
			return i;
	return 0;
}
