/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TimeSeries of an NWB file: times in samples of the acquisition clock, and rows of values in
 * counts.
 *
 * Times. `timestamps` [n], or `starting_time` with its attribute `rate`, in seconds; t becomes
 * llround(t * clock_hz). A time stamp that is not a number is an error. One that lies before its
 * predecessor cannot keep both its place and its time: up to NWB_BACK_MAX_S it keeps its place and
 * takes the predecessor's time, and is counted; farther back the clock was reset and the file is
 * refused. Gaps stay.
 *
 * Values. In the unit of the series a value is stored * conversion * channel_conversion[channel] +
 * offset. Rows hand out counts, such that count * conversion is that: the stored numbers themselves
 * as long as there is neither channel_conversion nor offset, exact for integers of up to 24 bits
 * and for float.
 *
 * One thread, that of the file. Opening takes all memory; reading rows takes none of ours.
 */
#pragma once

#include "nodes/acquire/nwb_file.h"

/* How far a time stamp may go back. */
#define NWB_BACK_MAX_S 1.0

struct nwb_times {
	uint64_t n;
	int64_t *samples; /* NULL: regular */
	double start_s; /* regular */
	double rate_hz; /* of the series; from the median step of time stamps, 0: unknown */
	double clock_hz;
	uint64_t n_held; /* time stamps that went back */
	uint64_t first_held;
};

struct nwb_series {
	struct nwb_file *file;
	char path[NWB_PATH_SIZE];
	char unit[NWB_NAME_SIZE];
	double conversion;
	double offset;
	struct nwb_times times;
	struct nwb_dataset data;
};

/* Opens the series at `path`. More than `n_max` rows, if they bear time stamps, are refused. */
FNX_MUST_CHECK int fnx_nwb_series_open(struct nwb_file *file, const char *path, unsigned rank_min,
	unsigned rank_max, double clock_hz, uint64_t n_max, struct nwb_series *ret_series);
void fnx_nwb_series_close(struct nwb_series *series);

/* Seconds to samples; false where that is no number that an int64_t counts. */
bool fnx_nwb_samples(double t_s, double clock_hz, int64_t *ret_sample);
/* Time of row i < n. Never falls with i. */
int64_t fnx_nwb_times_at(const struct nwb_times *times, uint64_t i);
/* First row whose time is not before `sample`; n: none. */
uint64_t fnx_nwb_times_find(const struct nwb_times *times, int64_t sample);

/* Rows [begin, end) of a series, read in blocks of `block_rows`. */
struct nwb_rows {
	struct nwb_series *series;
	uint64_t begin, end;
	uint32_t n_values; /* per row */
	uint32_t n_points; /* values per channel */
	bool is_int16; /* as the block holds them, else float */
	void *block;
	uint64_t block_rows;
	uint64_t block_first;
	uint64_t block_n;
	hid_t file_space, block_space;
	float *factors; /* channel_conversion per channel, NULL: all 1 */
	float shift; /* offset, in counts */
	float *values; /* the row handed out */
};

/* Takes the memory. A block is the whole of [begin, end) where that takes at most `preload_size`
 * bytes, and is read here and now; else about `block_size` bytes. A row is [n_channels][n_points];
 * the caller has checked that the extent of the data can be that, and that a row has at least one
 * value. */
FNX_MUST_CHECK int fnx_nwb_rows_open(struct nwb_rows *rows, struct nwb_series *series,
	uint32_t n_channels, uint64_t begin, uint64_t end, size_t preload_size, size_t block_size);
void fnx_nwb_rows_close(struct nwb_rows *rows);
/* Row `at` in [begin, end), valid until the next call. Reads the file where the row is in no block
 * yet. */
FNX_MUST_CHECK int fnx_nwb_rows_at(struct nwb_rows *rows, uint64_t at, const float **ret_values);
/* Whether the block holds all rows, for good. */
bool fnx_nwb_rows_are_held(const struct nwb_rows *rows);
/* Bytes that the block takes. */
size_t fnx_nwb_rows_size(const struct nwb_rows *rows);
