/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Times are held whole, values in blocks: 8 bytes per row are cheap beside the row, and with all of
 * them checked at the start a session can be cut anywhere and never turns out to be disordered
 * half-way.
 */
#include "nodes/acquire/nwb_series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEPS_MAX = 1001, /* of which the median is taken */
	CHUNK_CACHE_MAX = 256u << 20,
	BLOCK_MAX = 64u << 20,
};

#define SAMPLE_MAX 0x1p53

bool fnx_nwb_samples(double t_s, double clock_hz, int64_t *ret_sample)
{
	double sample = t_s * clock_hz;

	if (!(fabs(sample) < SAMPLE_MAX))
		return false;
	*ret_sample = llround(sample);
	return true;
}

static double regular_s(const struct nwb_times *times, uint64_t i)
{
	return times->start_s + (double)i / times->rate_hz;
}

int64_t fnx_nwb_times_at(const struct nwb_times *times, uint64_t i)
{
	return times->samples ? times->samples[i] : llround(regular_s(times, i) * times->clock_hz);
}

uint64_t fnx_nwb_times_find(const struct nwb_times *times, int64_t sample)
{
	uint64_t low = 0, high = times->n;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (fnx_nwb_times_at(times, middle) < sample)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_rate_hz(const double *stamps_s, uint64_t n)
{
	double steps[STEPS_MAX];
	size_t n_steps = 0;

	for (uint64_t i = 1; i < n && n_steps < STEPS_MAX; i++)
		steps[n_steps++] = stamps_s[i] - stamps_s[i - 1];
	if (n_steps == 0)
		return 0.0;
	qsort(steps, n_steps, sizeof(steps[0]), compare_doubles);
	return steps[n_steps / 2] > 0.0 ? 1.0 / steps[n_steps / 2] : 0.0;
}

static int stamps_convert(
	struct nwb_file *file, const char *path, const double *stamps_s, struct nwb_times *times)
{
	const int64_t back_max = llround(NWB_BACK_MAX_S * times->clock_hz);

	for (uint64_t i = 0; i < times->n; i++) {
		int64_t sample;

		if (!fnx_nwb_samples(stamps_s[i], times->clock_hz, &sample))
			return fnx_nwb_fail(file, -EBADMSG, path,
				"timestamps[%llu]: expected seconds, found %g",
				(unsigned long long)i, stamps_s[i]);
		if (i > 0 && sample < times->samples[i - 1]) {
			if (times->samples[i - 1] - sample > back_max)
				return fnx_nwb_fail(file, -EBADMSG, path,
					"timestamps[%llu]: expected at least %.6f s, as before it, "
					"found %.6f s",
					(unsigned long long)i,
					(double)times->samples[i - 1] / times->clock_hz,
					stamps_s[i]);
			sample = times->samples[i - 1];
			if (times->n_held++ == 0)
				times->first_held = i;
		}
		times->samples[i] = sample;
	}
	return 0;
}

static int stamps_read(
	struct nwb_file *file, const char *path, uint64_t n_max, struct nwb_times *times)
{
	void *stamps_s;
	int r = fnx_nwb_column_read(file, path, "timestamps", NWB_NUMBER, H5T_NATIVE_DOUBLE,
		sizeof(double), n_max, &stamps_s, &times->n);

	if (r < 0)
		return r;
	times->samples = fnx_nwb_alloc(file, path, times->n, sizeof(*times->samples));
	if (times->samples) {
		times->rate_hz = median_rate_hz(stamps_s, times->n);
		r = stamps_convert(file, path, stamps_s, times);
	} else {
		r = -ENOMEM;
	}
	free(stamps_s);
	return r;
}

static int regular_check(struct nwb_file *file, const char *path, struct nwb_times *times)
{
	int64_t sample;

	if (!isfinite(times->start_s))
		return fnx_nwb_fail(file, -EBADMSG, path,
			"starting_time: expected seconds, found %g", times->start_s);
	if (!isfinite(times->rate_hz) || times->rate_hz <= 0.0)
		return fnx_nwb_fail(file, -EBADMSG, path,
			"starting_time: expected a rate above 0 Hz, found %g", times->rate_hz);
	if (times->n > 0 &&
		(!fnx_nwb_samples(times->start_s, times->clock_hz, &sample) ||
			!fnx_nwb_samples(regular_s(times, times->n - 1), times->clock_hz, &sample)))
		return fnx_nwb_fail(file, -EBADMSG, path,
			"expected times that can be counted in samples, found %g s and %llu rows "
			"at %g Hz",
			times->start_s, (unsigned long long)times->n, times->rate_hz);
	return 0;
}

static int regular_read(
	struct nwb_file *file, const char *path, uint64_t n_rows, struct nwb_times *times)
{
	struct nwb_dataset start;
	double first[1] = {NAN};
	int r = fnx_nwb_dataset_open(file, path, "starting_time", NWB_NUMBER, 0, 1, &start);

	if (r < 0)
		return r;
	if (start.dims[0] != 1)
		r = fnx_nwb_fail(file, -EBADMSG, start.path, "expected one number, found %llu",
			(unsigned long long)start.dims[0]);
	if (r == 0)
		r = fnx_nwb_dataset_read(&start, H5T_NATIVE_DOUBLE, first);
	if (r == 0)
		r = fnx_nwb_number(file, start.id, start.path, "rate", NAN, &times->rate_hz);
	fnx_nwb_dataset_close(&start);
	if (r < 0)
		return r;
	times->n = n_rows;
	times->start_s = first[0];
	return regular_check(file, path, times);
}

static int times_read(struct nwb_series *series, uint64_t n_max)
{
	struct nwb_file *file = series->file;
	const uint64_t n_rows = series->data.dims[0];
	char path[NWB_PATH_SIZE];
	int r = fnx_nwb_join(file, series->path, "timestamps", path);

	if (r < 0)
		return r;
	if (!fnx_nwb_exists(file, path)) {
		r = fnx_nwb_join(file, series->path, "starting_time", path);
		if (r == 0 && !fnx_nwb_exists(file, path))
			return fnx_nwb_fail(file, -EBADMSG, series->path,
				"expected timestamps or starting_time, found neither");
		return r < 0 ? r : regular_read(file, series->path, n_rows, &series->times);
	}
	r = stamps_read(file, series->path, n_max, &series->times);
	if (r == 0 && series->times.n != n_rows)
		return fnx_nwb_fail(file, -EBADMSG, series->path,
			"expected as many timestamps as rows of data (%llu), found %llu",
			(unsigned long long)n_rows, (unsigned long long)series->times.n);
	return r;
}

static int scale_read(struct nwb_series *series)
{
	struct nwb_dataset *data = &series->data;
	int r = fnx_nwb_number(
		series->file, data->id, data->path, "conversion", 1.0, &series->conversion);

	if (r == 0)
		r = fnx_nwb_number(
			series->file, data->id, data->path, "offset", 0.0, &series->offset);
	if (r < 0)
		return r;
	if (!isfinite(series->conversion) || series->conversion == 0.0)
		return fnx_nwb_fail(series->file, -EBADMSG, data->path,
			"attribute conversion: expected a number other than 0, found %g",
			series->conversion);
	if (!isfinite(series->offset))
		return fnx_nwb_fail(series->file, -EBADMSG, data->path,
			"attribute offset: expected a number, found %g", series->offset);
	fnx_nwb_text(data->id, "unit", series->unit, sizeof(series->unit));
	return 0;
}

int fnx_nwb_series_open(struct nwb_file *file, const char *path, unsigned rank_min,
	unsigned rank_max, double clock_hz, uint64_t n_max, struct nwb_series *ret_series)
{
	struct nwb_series series = {.file = file, .times.clock_hz = clock_hz};
	hid_t group;
	int r = fnx_nwb_group_open(file, path, &group);

	if (r < 0)
		return r;
	H5Gclose(group);
	if (strlen(path) >= sizeof(series.path))
		return fnx_nwb_fail(file, -ENAMETOOLONG, path,
			"expected a path of less than %d characters", NWB_PATH_SIZE);
	strcpy(series.path, path);
	r = fnx_nwb_dataset_open(file, path, "data", NWB_NUMBER, rank_min, rank_max, &series.data);
	if (r == 0)
		r = scale_read(&series);
	if (r == 0)
		r = times_read(&series, n_max);
	if (r < 0) {
		fnx_nwb_series_close(&series);
		return r;
	}
	*ret_series = series;
	return 0;
}

void fnx_nwb_series_close(struct nwb_series *series)
{
	fnx_nwb_dataset_close(&series->data);
	free(series->times.samples);
	series->times.samples = NULL;
}

static size_t value_size(const struct nwb_rows *rows)
{
	return rows->is_int16 ? sizeof(int16_t) : sizeof(float);
}

size_t fnx_nwb_rows_size(const struct nwb_rows *rows)
{
	return rows->block_rows * rows->n_values * value_size(rows);
}

bool fnx_nwb_rows_are_held(const struct nwb_rows *rows)
{
	return rows->block_n == rows->end - rows->begin;
}

static int factors_read(struct nwb_rows *rows, uint32_t n_channels)
{
	struct nwb_series *series = rows->series;
	char path[NWB_PATH_SIZE];
	void *factors;
	uint64_t n;
	int r = fnx_nwb_join(series->file, series->path, "channel_conversion", path);

	if (r < 0 || !fnx_nwb_exists(series->file, path))
		return r;
	r = fnx_nwb_column_read(series->file, series->path, "channel_conversion", NWB_NUMBER,
		H5T_NATIVE_FLOAT, sizeof(float), n_channels, &factors, &n);
	if (r < 0)
		return r;
	rows->factors = factors;
	if (n != n_channels)
		return fnx_nwb_fail(series->file, -EBADMSG, path,
			"expected a number for each of %u channels, found %llu", n_channels,
			(unsigned long long)n);
	for (uint32_t i = 0; i < n_channels; i++) {
		if (!isfinite(rows->factors[i]))
			return fnx_nwb_fail(series->file, -EBADMSG, path,
				"[%u]: expected a number, found %g", i, (double)rows->factors[i]);
	}
	return 0;
}

/* Chunks [rows][values] of the file; false where it has none. */
static bool chunk_rows(const struct nwb_dataset *data, uint64_t *ret_rows, uint64_t *ret_row_chunks)
{
	hid_t created = H5Dget_create_plist(data->id);
	hsize_t dims[NWB_RANK_MAX] = {0};
	bool chunked;

	if (created < 0)
		return false;
	chunked = H5Pget_layout(created) == H5D_CHUNKED &&
		H5Pget_chunk(created, NWB_RANK_MAX, dims) == (int)data->rank && dims[0] > 0;
	H5Pclose(created);
	if (!chunked)
		return false;
	*ret_rows = dims[0];
	*ret_row_chunks = 1;
	for (unsigned i = 1; i < data->rank; i++) {
		if (dims[i] == 0)
			return false;
		*ret_row_chunks *= (data->dims[i] + dims[i] - 1) / dims[i];
	}
	return true;
}

/* Walks the index of the chunks: were it damaged, the session would end half-way. */
static int check_chunks(struct nwb_dataset *data)
{
	hid_t space = H5Dget_space(data->id);
	hsize_t n;
	int r = 0;

	if (space < 0 || H5Dget_num_chunks(data->id, space, &n) < 0)
		r = fnx_nwb_fail_hdf5(
			data->file, -EBADMSG, data->path, "index of the chunks cannot be read");
	if (space > 0)
		H5Sclose(space);
	return r;
}

/* Reopens the data with a cache for every chunk that a block touches, lest a chunk be unpacked for
 * each of the blocks that lie in it; beyond CHUNK_CACHE_MAX reading is slow, and right. */
static int cache_chunks(struct nwb_rows *rows, uint64_t rows_per_chunk, uint64_t row_chunks)
{
	struct nwb_dataset *data = &rows->series->data;
	double size = (double)rows_per_chunk * (double)rows->n_values * 8.0 * 2.0;
	hid_t access = H5Pcreate(H5P_DATASET_ACCESS);

	if (size > CHUNK_CACHE_MAX)
		size = CHUNK_CACHE_MAX;
	H5Pset_chunk_cache(access, row_chunks < 500 ? 1009 : 10007, (size_t)size, 1.0);
	H5Dclose(data->id);
	data->id = H5Dopen2(data->file->id, data->path, access);
	H5Pclose(access);
	if (data->id < 0) {
		data->id = 0;
		return fnx_nwb_fail_hdf5(
			data->file, -EBADMSG, data->path, "cannot be opened again");
	}
	return check_chunks(data);
}

static int choose_block(struct nwb_rows *rows, size_t preload_size, size_t block_size)
{
	const uint64_t n = rows->end - rows->begin;
	const size_t row_size = rows->n_values * value_size(rows);
	uint64_t rows_per_chunk, row_chunks, n_chunks;

	if (n <= preload_size / row_size) {
		rows->block_rows = n;
		return 0;
	}
	rows->block_rows = block_size / row_size > 0 ? block_size / row_size : 1;
	if (!chunk_rows(&rows->series->data, &rows_per_chunk, &row_chunks))
		return 0;
	n_chunks = (rows->block_rows + rows_per_chunk - 1) / rows_per_chunk;
	if (block_size <= BLOCK_MAX && n_chunks * rows_per_chunk <= BLOCK_MAX / row_size)
		rows->block_rows = n_chunks * rows_per_chunk;
	if (rows->block_rows > n)
		rows->block_rows = n;
	return cache_chunks(rows, rows_per_chunk, row_chunks);
}

/* Blocks begin at multiples of block_rows from row 0 of the data, as chunks do. */
static int block_read(struct nwb_rows *rows, uint64_t at)
{
	struct nwb_dataset *data = &rows->series->data;
	const bool whole = rows->block_rows == rows->end - rows->begin;
	uint64_t first = whole ? rows->begin : at - at % rows->block_rows;
	uint64_t last = first + rows->block_rows < rows->end ? first + rows->block_rows : rows->end;
	hsize_t start[NWB_RANK_MAX] = {first > rows->begin ? first : rows->begin};
	hsize_t count[NWB_RANK_MAX] = {last - start[0], data->dims[1], data->dims[2]};
	hsize_t origin[NWB_RANK_MAX] = {0};
	herr_t r = H5Sselect_hyperslab(rows->file_space, H5S_SELECT_SET, start, NULL, count, NULL);

	rows->block_n = 0;
	if (r >= 0)
		r = H5Sselect_hyperslab(
			rows->block_space, H5S_SELECT_SET, origin, NULL, count, NULL);
	if (r >= 0)
		r = H5Dread(data->id, rows->is_int16 ? H5T_NATIVE_INT16 : H5T_NATIVE_FLOAT,
			rows->block_space, rows->file_space, H5P_DEFAULT, rows->block);
	if (r < 0)
		return fnx_nwb_fail_hdf5(data->file, -EBADMSG, data->path,
			"rows %llu to %llu cannot be read", (unsigned long long)start[0],
			(unsigned long long)last - 1);
	rows->block_first = start[0];
	rows->block_n = count[0];
	return 0;
}

static int take_memory(struct nwb_rows *rows)
{
	struct nwb_series *series = rows->series;
	struct nwb_dataset *data = &series->data;
	hsize_t dims[NWB_RANK_MAX] = {
		rows->block_rows ? rows->block_rows : 1, data->dims[1], data->dims[2]};

	rows->values = fnx_nwb_alloc(series->file, data->path, rows->n_values, sizeof(float));
	if (!rows->values)
		return -ENOMEM;
	rows->block = fnx_nwb_alloc(series->file, data->path, fnx_nwb_rows_size(rows), 1);
	if (!rows->block)
		return -ENOMEM;
	rows->file_space = H5Dget_space(data->id);
	rows->block_space = H5Screate_simple((int)data->rank, dims, NULL);
	if (rows->file_space < 0 || rows->block_space < 0)
		return fnx_nwb_fail_hdf5(
			series->file, -EBADMSG, data->path, "extent cannot be read");
	return 0;
}

int fnx_nwb_rows_open(struct nwb_rows *rows, struct nwb_series *series, uint32_t n_channels,
	uint64_t begin, uint64_t end, size_t preload_size, size_t block_size)
{
	const struct nwb_dataset *data = &series->data;
	int r;

	*rows = (struct nwb_rows){
		.series = series,
		.begin = begin,
		.end = end,
		.n_values = (uint32_t)(data->dims[1] * data->dims[2]),
		.n_points = (uint32_t)(data->dims[1] * data->dims[2]) / n_channels,
		.is_int16 = data->fits_int16,
		.shift = (float)(series->offset / series->conversion),
	};
	r = factors_read(rows, n_channels);
	if (r == 0)
		r = choose_block(rows, preload_size, block_size);
	if (r == 0)
		r = take_memory(rows);
	if (r == 0 && begin < end && rows->block_rows == end - begin)
		r = block_read(rows, begin);
	if (r < 0)
		fnx_nwb_rows_close(rows);
	return r;
}

void fnx_nwb_rows_close(struct nwb_rows *rows)
{
	if (rows->file_space > 0)
		H5Sclose(rows->file_space);
	if (rows->block_space > 0)
		H5Sclose(rows->block_space);
	free(rows->block);
	free(rows->values);
	free(rows->factors);
	*rows = (struct nwb_rows){0};
}

static void row_convert(struct nwb_rows *rows, uint64_t row)
{
	const size_t first = row * rows->n_values;
	const int16_t *narrow = rows->block;
	const float *wide = rows->block;

	for (uint32_t i = 0; i < rows->n_values; i++) {
		float value = rows->is_int16 ? (float)narrow[first + i] : wide[first + i];

		if (rows->factors)
			value *= rows->factors[i / rows->n_points];
		rows->values[i] = value + rows->shift;
	}
}

int fnx_nwb_rows_at(struct nwb_rows *rows, uint64_t at, const float **ret_values)
{
	if (at < rows->block_first || at - rows->block_first >= rows->block_n) {
		int r = block_read(rows, at);

		if (r < 0)
			return r;
	}
	row_convert(rows, at - rows->block_first);
	*ret_values = rows->values;
	return 0;
}
