/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory is rows of one double per channel, so that the loops over channels are plain ones that the
 * compiler turns into vector code. Histories are rings of rows: the newest row moves, nothing is
 * shifted.
 *
 * In direct form I the outputs that section s remembers are the inputs that section s + 1
 * remembers. They are one ring of three rows, stage s + 1; stage 0 remembers the input:
 *
 *	stage[0] -- section 0 --> stage[1] -- section 1 --> stage[2] ... = band-passed
 *
 * Rows are padded to whole blocks of channels; the padding is computed and never read. Each
 * channel's sums run newest sample first and are never contracted or regrouped, so every
 * instruction set that the loops are compiled for gives the same bits.
 *
 * What the filters remember may lie in the caller's memory, under a journal. Then only the rings'
 * positions need the journal: the row that a step overwrites is the one that a step done again
 * does not read.
 *
 * Values below 1e-150 uV become 0: what a recursive filter leaves after the signal stops would
 * otherwise sink into subnormal numbers, which cost some processors a hundred times as much.
 */
#include "nodes/ripple/envelope.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"

#if defined(__x86_64__) && !defined(FNX_SANITIZED)
#define VECTOR __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define VECTOR
#endif

enum {
	BLOCK = 16, /* channels whose sums are kept in registers at a time */
	STAGE_ROWS = 3,
	ALIGNMENT = 64,
	N_RINGS = FNX_ENVELOPE_SECTIONS_MAX + 2,
};

static const double smallest = 1e-150;

/* A ring of rows, one row per past sample. */
struct ring {
	double *rows; /* [n_rows][n_padded] */
	uint32_t n_rows;
	uint32_t *newest;
};

struct fnx_envelope {
	uint32_t n_channels;
	uint32_t n_padded;
	uint32_t n_sections;
	uint32_t n_taps;
	uint32_t n_smoothing_taps;
	bool parity;
	struct fnx_section sections[FNX_ENVELOPE_SECTIONS_MAX];
	struct ring stages[FNX_ENVELOPE_SECTIONS_MAX + 1]; /* with FIR taps: stage 0 alone */
	struct ring squares;
	const double *taps; /* NULL: sections */
	const double *smoothing_taps;
	double *result; /* a row */
	double *memory; /* the rows that are remembered */
	void *owned; /* `memory`, if it is ours */
	double *work; /* the result row, then the taps */
	uint32_t *newest; /* [FNX_ENVELOPE_SECTIONS_MAX + 2] of each ring; in `memory` behind the
			     rows */
	uint32_t n_rows;
	struct fnx_journal *journal;
};

static bool all_finite(const double *values, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!isfinite(values[i]))
			return false;
	return true;
}

static bool config_valid(const struct fnx_envelope_config *config)
{
	if (config->n_channels < 1 || config->n_channels > FNX_ENVELOPE_CHANNELS_MAX)
		return false;
	if ((config->n_sections == 0) == (config->n_taps == 0))
		return false;
	if (config->n_sections > FNX_ENVELOPE_SECTIONS_MAX ||
		config->n_taps > FNX_ENVELOPE_TAPS_MAX)
		return false;
	if (config->n_smoothing_taps < 1 || config->n_smoothing_taps > FNX_ENVELOPE_TAPS_MAX)
		return false;
	for (uint32_t s = 0; s < config->n_sections; s++) {
		const struct fnx_section *section = &config->sections[s];
		double values[5] = {
			section->b0, section->b1, section->b2, section->a1, section->a2};

		if (!all_finite(values, 5))
			return false;
	}
	return all_finite(config->taps, config->n_taps) &&
		all_finite(config->smoothing_taps, config->n_smoothing_taps);
}

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Rows of the ring before the first filter: at least two, so that the previous sample is still
 * there while a new one comes in. */
static uint32_t input_rows(const struct fnx_envelope_config *config)
{
	if (config->n_sections)
		return STAGE_ROWS;
	return config->n_taps < 2 ? 2 : config->n_taps;
}

/* Rows that are remembered from one sample to the next. */
static uint32_t rows_of(const struct fnx_envelope_config *config)
{
	return input_rows(config) + STAGE_ROWS * config->n_sections + config->n_smoothing_taps;
}

size_t fnx_envelope_memory_size(const struct fnx_envelope_config *config)
{
	return rows_of(config) * round_up(config->n_channels, BLOCK) * sizeof(double) +
		N_RINGS * sizeof(uint32_t);
}

/* Cuts the blocks: rings and their positions; the result row, then the taps. */
static void lay_out(struct fnx_envelope *envelope, const struct fnx_envelope_config *config)
{
	size_t row = envelope->n_padded;
	double *at = envelope->memory;

	envelope->newest = (uint32_t *)(void *)(at + envelope->n_rows * row);

	for (uint32_t s = 0; s <= config->n_sections; s++) {
		envelope->stages[s].rows = at;
		envelope->stages[s].n_rows = s ? STAGE_ROWS : input_rows(config);
		envelope->stages[s].newest = &envelope->newest[s];
		at += envelope->stages[s].n_rows * row;
	}
	envelope->squares.rows = at;
	envelope->squares.n_rows = config->n_smoothing_taps;
	envelope->squares.newest = &envelope->newest[N_RINGS - 1];
	at = envelope->work;
	envelope->result = at;
	at += row;
	envelope->smoothing_taps =
		memcpy(at, config->smoothing_taps, config->n_smoothing_taps * sizeof(double));
	at += config->n_smoothing_taps;
	if (config->n_taps)
		envelope->taps = memcpy(at, config->taps, config->n_taps * sizeof(double));
}

static size_t memory_size(const struct fnx_envelope *envelope)
{
	return (size_t)envelope->n_rows * envelope->n_padded * sizeof(double) +
		N_RINGS * sizeof(uint32_t);
}

static void clear(struct fnx_envelope *envelope)
{
	/* All bits 0 is 0.0. */
	memset(envelope->memory, 0, memory_size(envelope));
}

void fnx_envelope_reset(struct fnx_envelope *envelope)
{
	fnx_journal_touch(envelope->journal, envelope->memory, memory_size(envelope));
	clear(envelope);
}

/* What a predecessor left may be any bytes. */
static bool is_sound(const struct fnx_envelope *envelope)
{
	for (uint32_t s = 0; s <= envelope->n_sections; s++)
		if (*envelope->stages[s].newest >= envelope->stages[s].n_rows)
			return false;
	return *envelope->squares.newest < envelope->squares.n_rows;
}

int fnx_envelope_new(const struct fnx_envelope_config *config, struct fnx_envelope **ret_envelope)
{
	struct fnx_envelope *envelope;
	size_t n_values;

	if (!config_valid(config))
		return -EINVAL;
	envelope = calloc(1, sizeof(*envelope));
	if (!envelope)
		return -ENOMEM;
	envelope->n_channels = config->n_channels;
	envelope->n_padded = (uint32_t)round_up(config->n_channels, BLOCK);
	envelope->n_sections = config->n_sections;
	envelope->n_taps = config->n_taps;
	envelope->n_smoothing_taps = config->n_smoothing_taps;
	envelope->parity = config->parity;
	for (uint32_t s = 0; s < config->n_sections; s++)
		envelope->sections[s] = config->sections[s];
	envelope->journal = config->journal;
	envelope->n_rows = rows_of(config);
	n_values = (size_t)envelope->n_padded + config->n_taps + config->n_smoothing_taps;
	envelope->work = aligned_alloc(ALIGNMENT, round_up(n_values * sizeof(double), ALIGNMENT));
	if (!config->memory)
		envelope->owned = aligned_alloc(
			ALIGNMENT, round_up(fnx_envelope_memory_size(config), ALIGNMENT));
	envelope->memory = config->memory ? config->memory : envelope->owned;
	if (!envelope->memory || !envelope->work) {
		fnx_envelope_free(envelope);
		return -ENOMEM;
	}
	memset(envelope->work, 0, n_values * sizeof(double));
	lay_out(envelope, config);
	if (!config->memory || !config->resumed)
		clear(envelope);
	if (!is_sound(envelope)) {
		fnx_envelope_free(envelope);
		return -EBADMSG;
	}
	*ret_envelope = envelope;
	return 0;
}

struct fnx_envelope *fnx_envelope_free(struct fnx_envelope *envelope)
{
	if (envelope) {
		free(envelope->owned);
		free(envelope->work);
		free(envelope);
	}
	return NULL;
}

/* Makes room for a new sample: the oldest row becomes the newest, to be overwritten. */
static double *ring_advance(struct ring *ring, uint32_t n_padded)
{
	*ring->newest = *ring->newest + 1 == ring->n_rows ? 0 : *ring->newest + 1;
	return ring->rows + (size_t)*ring->newest * n_padded;
}

/* The row `age` samples before the newest, age < n_rows. */
static double *ring_row(const struct ring *ring, uint32_t age, uint32_t n_padded)
{
	uint32_t newest = *ring->newest;
	uint32_t row = newest >= age ? newest - age : newest + ring->n_rows - age;

	return ring->rows + (size_t)row * n_padded;
}

VECTOR
static void scale_counts(
	double *restrict x, const float *restrict counts, double uv_per_count, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		x[c] = (double)counts[c] * uv_per_count;
}

/* Number of values that are none of a sample. */
VECTOR
static uint64_t count_bad(const double *restrict x, uint32_t n)
{
	uint64_t n_bad = 0;

	for (uint32_t c = 0; c < n; c++)
		n_bad += !(fabs(x[c]) <= FNX_LFP_LIMIT_UV);
	return n_bad;
}

/* x, and y two samples back, are read before y is written; the rows are distinct. */
VECTOR
static void filter_section(const struct fnx_section *section, const double *restrict x,
	const double *restrict x1, const double *restrict x2, double *restrict y,
	const double *restrict y1, const double *restrict y2, uint32_t n)
{
	double b0 = section->b0, b1 = section->b1, b2 = section->b2;
	double a1 = section->a1, a2 = section->a2;

	for (uint32_t c = 0; c < n; c++) {
		double sum = b0 * x[c] + b1 * x1[c] + b2 * x2[c] - a1 * y1[c] - a2 * y2[c];

		y[c] = fabs(sum) < smallest ? 0 : sum;
	}
}

/* y = sum over rows of taps * row, newest first. */
VECTOR
static void filter_taps(const struct ring *ring, const double *restrict taps, uint32_t n_taps,
	double *restrict y, uint32_t n_padded)
{
	const double *newest = ring->rows + (size_t)*ring->newest * n_padded;
	const double *last = ring->rows + (size_t)(ring->n_rows - 1) * n_padded;
	uint32_t n_before_wrap = *ring->newest < n_taps ? *ring->newest + 1 : n_taps;

	for (uint32_t start = 0; start < n_padded; start += BLOCK) {
		double sum[BLOCK] = {0};
		const double *row = newest + start;

		for (uint32_t i = 0; i < n_before_wrap; i++, row -= n_padded)
			for (uint32_t c = 0; c < BLOCK; c++)
				sum[c] += taps[i] * row[c];
		row = last + start;
		for (uint32_t i = n_before_wrap; i < n_taps; i++, row -= n_padded)
			for (uint32_t c = 0; c < BLOCK; c++)
				sum[c] += taps[i] * row[c];
		for (uint32_t c = 0; c < BLOCK; c++)
			y[start + c] = sum[c];
	}
}

VECTOR
static void square(double *restrict squares, const double *restrict x, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		squares[c] = x[c] * x[c];
}

VECTOR
static void take_root(double *restrict x, double floor, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		x[c] = sqrt(x[c] < floor ? floor : x[c]);
}

/* Puts the last number in place of each bad one. */
static void hold_bad(double *x, const double *last, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		if (!(fabs(x[c]) <= FNX_LFP_LIMIT_UV))
			x[c] = last[c];
}

static void blank_bad(const float *counts, double uv_per_count, double *x, uint32_t n)
{
	for (uint32_t c = 0; c < n; c++)
		if (!(fabs((double)counts[c] * uv_per_count) <= FNX_LFP_LIMIT_UV))
			x[c] = NAN;
}

/* The newest row of the last stage. */
static const double *band_pass(struct fnx_envelope *envelope)
{
	uint32_t n = envelope->n_padded;

	if (envelope->taps) {
		filter_taps(&envelope->stages[0], envelope->taps, envelope->n_taps,
			envelope->result, n);
		return envelope->result;
	}
	for (uint32_t s = 0; s < envelope->n_sections; s++) {
		struct ring *in = &envelope->stages[s], *out = &envelope->stages[s + 1];
		double *y = ring_advance(out, n);

		filter_section(&envelope->sections[s], ring_row(in, 0, n), ring_row(in, 1, n),
			ring_row(in, 2, n), y, ring_row(out, 1, n), ring_row(out, 2, n), n);
	}
	return ring_row(&envelope->stages[envelope->n_sections], 0, n);
}

uint32_t fnx_envelope_step(struct fnx_envelope *envelope, const float *counts, double uv_per_count,
	double *ret_filtered, double *ret_envelope)
{
	uint32_t n = envelope->n_padded, n_channels = envelope->n_channels;
	size_t size = n_channels * sizeof(double);
	const double *last = ring_row(&envelope->stages[0], 0, n);
	const double *filtered;
	uint32_t n_bad;
	double *x;

	fnx_journal_touch(envelope->journal, envelope->newest, N_RINGS * sizeof(uint32_t));
	x = ring_advance(&envelope->stages[0], n);

	scale_counts(x, counts, uv_per_count, n_channels);
	n_bad = (uint32_t)count_bad(x, n_channels);
	if (n_bad > 0 && !envelope->parity)
		hold_bad(x, last, n_channels);
	filtered = band_pass(envelope);
	if (ret_filtered)
		memcpy(ret_filtered, filtered, size);
	square(ring_advance(&envelope->squares, n), filtered, n);
	filter_taps(&envelope->squares, envelope->smoothing_taps, envelope->n_smoothing_taps,
		envelope->result, n);
	take_root(envelope->result, envelope->parity ? -INFINITY : 0, n);
	memcpy(ret_envelope, envelope->result, size);
	if (n_bad > 0 && !envelope->parity) {
		blank_bad(counts, uv_per_count, ret_envelope, n_channels);
		if (ret_filtered)
			blank_bad(counts, uv_per_count, ret_filtered, n_channels);
	}
	return n_bad;
}
