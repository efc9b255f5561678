/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Made-up marks of one electrode group: 24 cells, each with a place field on 41 bins and a shape of
 * its own, amplitudes of 80 to 400 uV that vary by a tenth, and noise of 8 uV; one spike in ten is
 * fired anywhere. Whole counts of an amplifier, as a source's are. For a kernel of 20 uV and four channels a fifth of the marks is within 5.68
 * deviations of a spike, of sixteen channels a twenty-fifth.
 */
#pragma once

#include <stdint.h>

#include "nodes/encode/mark.h"

enum {
	BENCH_CELLS = 24,
	BENCH_BINS = 41,
};

#define BENCH_STEP_UV 0.195

struct bench_marks {
	uint32_t n_dims;
	uint64_t random;
	double shapes[BENCH_CELLS][FNX_MARK_DIMS_MAX], places[BENCH_CELLS];
};

/* The cells are always the same. To draw other marks of them, change `random`. */
struct bench_marks bench_marks_new(uint32_t n_dims);
/* Answers the bin, 0..BENCH_BINS - 1. */
int32_t bench_marks_draw(struct bench_marks *marks, double *ret_mark);
