/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/made_up_marks.h"

#include <math.h>

static double unit(struct bench_marks *marks)
{
	marks->random = marks->random * 6364136223846793005u + 1442695040888963407u;
	return ((double)(marks->random >> 11) + 0.5) * 0x1p-53;
}

static double normal(struct bench_marks *marks)
{
	const double radius = sqrt(-2.0 * log(unit(marks)));

	return radius * cos(2.0 * M_PI * unit(marks));
}

struct bench_marks bench_marks_new(uint32_t n_dims)
{
	struct bench_marks marks = {.n_dims = n_dims, .random = 7};

	for (int c = 0; c < BENCH_CELLS; c++) {
		const double amplitude = 80.0 + 320.0 * pow(unit(&marks), 2.0);
		double largest = 0.0;

		for (uint32_t d = 0; d < n_dims; d++) {
			marks.shapes[c][d] = fabs(normal(&marks));
			largest = fmax(largest, marks.shapes[c][d]);
		}
		for (uint32_t d = 0; d < n_dims; d++)
			marks.shapes[c][d] *= amplitude / largest;
		marks.places[c] = BENCH_BINS * unit(&marks);
	}
	return marks;
}

int32_t bench_marks_draw(struct bench_marks *marks, double *ret_mark)
{
	const int cell = (int)(BENCH_CELLS * unit(marks));
	const double gain = 1.0 + 0.1 * normal(marks);
	double bin;

	for (uint32_t d = 0; d < marks->n_dims; d++)
		ret_mark[d] = BENCH_STEP_UV *
			rint((marks->shapes[cell][d] * gain + 8.0 * normal(marks)) / BENCH_STEP_UV);
	do
		bin = unit(marks) < 0.1 ? BENCH_BINS * unit(marks)
					: marks->places[cell] + 3.0 * normal(marks);
	while (bin < 0.0 || bin >= BENCH_BINS);
	return (int32_t)bin;
}
