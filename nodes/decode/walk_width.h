/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sweeps in vectors of one width. Included by walk_sweep.c once for each width, with LANES_BYTES
 * (16, 32 or 64) and SWEEP_TARGET defined. The sums have the same order at every width.
 */
#include "nodes/host/lanes_width.h"

#undef VECTORS
#define VECTORS (TERMS * (int)sizeof(double) / LANES_BYTES)

struct LANES(wave) {
	LANES(f64) re[VECTORS], im[VECTORS];
};

static inline __attribute__((always_inline)) void LANES(load)(
	const struct wave *wave, struct LANES(wave) * ret_wave)
{
	memcpy(ret_wave->re, wave->re, sizeof(wave->re));
	memcpy(ret_wave->im, wave->im, sizeof(wave->im));
}

static inline __attribute__((always_inline)) void LANES(decay)(
	struct LANES(wave) * wave, const struct LANES(wave) * by)
{
	for (int v = 0; v < VECTORS; v++) {
		const LANES(f64) re = wave->re[v] * by->re[v] - wave->im[v] * by->im[v];

		wave->im[v] = wave->re[v] * by->im[v] + wave->im[v] * by->re[v];
		wave->re[v] = re;
	}
}

static inline __attribute__((always_inline)) void LANES(feed)(
	struct LANES(wave) * wave, const struct LANES(wave) * sizes, double from)
{
	for (int v = 0; v < VECTORS; v++) {
		wave->re[v] += sizes->re[v] * from;
		wave->im[v] += sizes->im[v] * from;
	}
}

/* ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)) */
static inline __attribute__((always_inline)) double LANES(total)(const struct LANES(wave) * wave)
{
#if LANES_BYTES == 16
	const LANES(f64) x = (wave->re[0] + wave->re[2]) + (wave->re[1] + wave->re[3]);

	return x[0] + x[1];
#elif LANES_BYTES == 32
	const LANES(f64) x = wave->re[0] + wave->re[1];
	const f64_v16 low = {x[0], x[1]}, high = {x[2], x[3]}, y = low + high;

	return y[0] + y[1];
#else
	const LANES(f64) x = wave->re[0];

	return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
#endif
}

/* What is behind a bin arrives there, the bin's own is added to it. */
static inline __attribute__((always_inline)) double LANES(pass)(struct LANES(wave) * wave,
	const struct LANES(wave) * by, const struct LANES(wave) * sizes, double own, bool counts)
{
	double arrives;

	LANES(decay)(wave, by);
	arrives = counts ? 0.0 : LANES(total)(wave);
	LANES(feed)(wave, sizes, own);
	return counts ? LANES(total)(wave) : arrives;
}

/* Both ways along a line of `n` bins, `stride` apart; ret_to[i] = sum over from of f[from] times
 * Gaussian. Leaves in ret_ends what arrives at the first and the last bin. The two waves start from
 * the two ends at once, since each alone waits for its own last step; where they have met they find
 * what the other has left. */
SWEEP_TARGET static void LANES(sweep_line)(const struct wave *decay, const double *f, size_t stride,
	uint32_t n, double *ret_to, struct LANES(wave) * ret_ends)
{
	struct LANES(wave) sizes, up = {0}, down = {0}, by;
	uint32_t i = 0;

	LANES(load)(&wave_sizes, &sizes);
	LANES(load)(decay, &by);
	for (; i < n / 2; i++) {
		const size_t a = i * stride, b = (n - 1 - i) * stride;

		ret_to[a] = LANES(pass)(&up, &by, &sizes, f[a], true);
		ret_to[b] = LANES(pass)(&down, &by, &sizes, f[b], false);
	}
	if (n % 2)
		ret_to[i * stride] = 0.0;
	for (; i < n; i++) {
		const size_t a = i * stride, b = (n - 1 - i) * stride;

		ret_to[a] += LANES(pass)(&up, &by, &sizes, f[a], true);
		ret_to[b] += LANES(pass)(&down, &by, &sizes, f[b], false);
	}
	ret_ends[LAST] = up;
	ret_ends[FIRST] = down;
}

/* A wave that has entered at one end, until it has died out. */
SWEEP_TARGET static void LANES(enter)(
	const struct arm *arm, const struct LANES(wave) * entering, int end, double *to)
{
	struct LANES(wave) wave = *entering, by;

	LANES(load)(&arm->decay, &by);
	for (uint32_t i = 0; i < arm->n; i++) {
		if (i % LOOK_EVERY == 0 &&
			is_still((const double *)wave.re, (const double *)wave.im))
			return;
		to[end == FIRST ? i : arm->n - 1 - i] += LANES(total)(&wave);
		LANES(decay)(&wave, &by);
	}
}

SWEEP_TARGET static void LANES(sweep_arms)(
	const struct fnx_walk_sweep *sweep, const double *f, double *to)
{
	struct LANES(wave) ends[ARMS_MAX][2];

	for (uint32_t a = 0; a < sweep->n_arms; a++) {
		const struct arm *arm = &sweep->arms[a];

		LANES(sweep_line)(&arm->decay, f + arm->first, 1, arm->n, to + arm->first, ends[a]);
	}
	for (uint32_t b = 0; b < sweep->n_arms; b++) {
		struct LANES(wave) entering[2] = {0};

		for (uint32_t a = 0; a < sweep->n_arms; a++) {
			const int exit = sweep->exits[a][b], entry = sweep->entries[a][b];
			struct LANES(wave) wave, way;

			if (exit < 0)
				continue;
			wave = ends[a][exit];
			LANES(load)(&sweep->ways[a][b], &way);
			LANES(decay)(&wave, &way);
			for (int v = 0; v < VECTORS; v++) {
				entering[entry].re[v] += wave.re[v];
				entering[entry].im[v] += wave.im[v];
			}
		}
		for (int end = FIRST; end <= LAST; end++)
			LANES(enter)
		(&sweep->arms[b], &entering[end], end, to + sweep->arms[b].first);
	}
}

/* Rows from f into `to`, columns from there into f. */
SWEEP_TARGET static void LANES(sweep_grid)(
	const struct fnx_walk_sweep *sweep, double *f, double *to)
{
	const uint32_t n_columns = sweep->n_columns, n_rows = sweep->n_bins / n_columns;
	struct LANES(wave) ends[2];

	for (uint32_t row = 0; row < n_rows; row++)
		LANES(sweep_line)
	(&sweep->decay, f + (size_t)row * n_columns, 1, n_columns, to + (size_t)row * n_columns,
		ends);
	for (uint32_t column = 0; column < n_columns; column++)
		LANES(sweep_line)(&sweep->decay, to + column, n_columns, n_rows, f + column, ends);
}

SWEEP_TARGET static void LANES(sweep)(const struct fnx_walk_sweep *sweep, double *f, double *to)
{
	if (sweep->n_arms > 0)
		LANES(sweep_arms)(sweep, f, to);
	else
		LANES(sweep_grid)(sweep, f, to);
}
