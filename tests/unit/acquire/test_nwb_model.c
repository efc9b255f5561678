/* SPDX-License-Identifier: BSD-3-Clause */
/* Random sessions, written to a file and played, against a sorted list of what was written. */
#include <errno.h>

#include "tests/unit/acquire/nwb_play.h"
#include "tests/unit/acquire/nwb_write.h"

enum {
	MODEL_MAX = 4000,
	SERIES_MAX = 5,
	CHANNELS_MAX = 4,
	POINTS_MAX = 40
};

struct model {
	struct played *events;
	size_t n;
};

static double random_time_s(struct check_random *random)
{
	/* Few distinct times, so that many events coincide. */
	return (double)check_random_below(random, 600) / 3000.0 + 0.00001;
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static hsize_t random_times(struct check_random *random, double *ret_times_s, hsize_t n_max)
{
	hsize_t n = check_random_below(random, n_max + 1);

	for (hsize_t i = 0; i < n; i++)
		ret_times_s[i] = random_time_s(random);
	qsort(ret_times_s, n, sizeof(ret_times_s[0]), by_time);
	return n;
}

static struct write_as random_storage(struct check_random *random, hsize_t n_values)
{
	return (struct write_as){
		.chunk_rows =
			check_random_below(random, 3) ? 1 + check_random_below(random, 70) : 0,
		.chunk_values = 1 + check_random_below(random, n_values),
		.deflate = check_random_below(random, 2),
	};
}

static struct played *model_add(struct model *model, int64_t sample, enum fnx_event_kind kind)
{
	assert_true(model->n < MODEL_MAX);
	model->events[model->n] = (struct played){.sample_time = sample, .kind = kind};
	return &model->events[model->n++];
}

static int64_t sample_of(double t_s)
{
	return llround(t_s * 30000.0);
}

static void model_lfp(
	struct model *model, struct check_random *random, hid_t file, uint32_t n_channels)
{
	hsize_t dims[3] = {check_random_below(random, 400), n_channels, 1};
	bool is_float = check_random_below(random, 2);
	struct write_as as = random_storage(random, n_channels);
	float *floats = calloc(dims[0] * n_channels + 1, sizeof(float));
	int16_t *counts = calloc(dims[0] * n_channels + 1, sizeof(int16_t));

	write_group(file, LFP, "ElectricalSeries");
	for (hsize_t i = 0; i < dims[0] * n_channels; i++) {
		counts[i] = (int16_t)check_random_u64(random);
		floats[i] = is_float ? (float)check_random_unit(random) : (float)counts[i];
	}
	as.stored = is_float ? H5T_IEEE_F32BE : H5T_STD_I16BE;
	write_array_as(file, LFP "/data", is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT16, 2, dims,
		is_float ? (void *)floats : (void *)counts, as);
	write_number(file, LFP "/data", "conversion", is_float ? 1e-3 : 2.5e-7);
	write_rate(file, LFP, 0.002, 1500.0);
	for (hsize_t i = 0; i < dims[0]; i++) {
		struct played *event =
			model_add(model, sample_of(0.002 + (double)i / 1500.0), FNX_EVENT_LFP);

		event->n_channels = n_channels;
		event->uv_per_count = (is_float ? 1e-3 : 2.5e-7) * 1e6;
		memcpy(event->values, floats + i * n_channels, sizeof(float) * n_channels);
	}
	free(floats);
	free(counts);
}

static void model_positions(struct model *model, struct check_random *random, hid_t file)
{
	double times_s[300], xy[600];
	hsize_t n = random_times(random, times_s, 300);

	for (hsize_t i = 0; i < n; i++) {
		struct played *event = model_add(model, sample_of(times_s[i]), FNX_EVENT_POSITION);

		event->x = xy[2 * i] = check_random_unit(random);
		event->y = xy[2 * i + 1] = check_random_unit(random);
		if (check_random_below(random, 5) == 0)
			xy[2 * i + check_random_below(random, 2)] = event->x = event->y = NAN;
	}
	write_positions(file, n, times_s, xy);
}

static const char *const names[SERIES_MAX] = {"e20", "e3", "e1", "e100", "e7"};
static const uint32_t ids[SERIES_MAX] = {4, 2, 1, 5, 3};

static void model_snippets(
	struct model *model, struct check_random *random, hid_t file, unsigned series)
{
	const uint32_t n_channels = 1 + (uint32_t)check_random_below(random, CHANNELS_MAX);
	const uint32_t n_points = 1 + (uint32_t)check_random_below(random, POINTS_MAX);
	const size_t n_values = n_channels * n_points;
	struct write_as as = random_storage(random, n_channels);
	const char *path = path_of(EVENTS, names[series]);
	int64_t electrodes[CHANNELS_MAX];
	double times_s[100];
	hsize_t dims[3] = {random_times(random, times_s, 100), n_channels, n_points};
	int16_t *counts = calloc(dims[0] * n_values + 1, sizeof(int16_t));

	for (hsize_t i = 0; i < dims[0]; i++) {
		struct played *event = model_add(model, sample_of(times_s[i]), FNX_EVENT_SPIKE);

		event->group = ids[series];
		event->n_channels = n_channels;
		event->n_points = n_points;
		event->uv_per_count = 1e-6 * 1e6;
		for (size_t j = 0; j < n_values; j++) {
			counts[i * n_values + j] = (int16_t)check_random_u64(random);
			event->values[j] = (float)counts[i * n_values + j];
		}
	}
	for (uint32_t i = 0; i < n_channels; i++)
		electrodes[i] = series * CHANNELS_MAX + (n_channels - 1 - i);
	write_group(file, path, "SpikeEventSeries");
	write_array_as(file, path_of(path, "data"), H5T_NATIVE_INT16, 3, dims, counts, as);
	write_number(file, path_of(path, "data"), "conversion", 1e-6);
	write_doubles(file, path, "timestamps", dims[0], times_s);
	write_integers(file, path, "electrodes", n_channels, electrodes);
	free(counts);
}

static void model_units(struct model *model, struct check_random *random, hid_t file)
{
	const char *groups[12];
	const unsigned n_units = (unsigned)check_random_below(random, 12);
	const bool has_clusters = check_random_below(random, 2);
	int64_t ends[12], clusters[12], n_of[SERIES_MAX] = {0};
	double times_s[1200];
	hsize_t n = 0;

	for (unsigned unit = 0; unit < n_units; unit++) {
		unsigned series = (unsigned)check_random_below(random, SERIES_MAX);
		hsize_t n_spikes = random_times(random, times_s + n, 100);

		groups[unit] = names[series];
		clusters[unit] =
			has_clusters ? (int64_t)check_random_below(random, 20) : ++n_of[series];
		for (hsize_t i = n; i < n + n_spikes; i++) {
			struct played *event =
				model_add(model, sample_of(times_s[i]), FNX_EVENT_SPIKE);

			event->group = ids[series];
			event->n_channels = event->n_points = 1;
			event->uv_per_count = 1.0;
			event->values[0] = (float)(100.0 + 100.0 * (double)clusters[unit]);
		}
		n += n_spikes;
		ends[unit] = (int64_t)n;
	}
	write_units(file, n_units, groups, ends, times_s, has_clusters ? clusters : NULL);
}

static bool model_before(const struct played *a, const struct played *b)
{
	if (a->sample_time != b->sample_time)
		return a->sample_time < b->sample_time;
	if (a->kind != b->kind)
		return a->kind < b->kind;
	return a->group < b->group;
}

/* Stable and slow. */
static void model_sort(struct model *model)
{
	for (size_t i = 1; i < model->n; i++) {
		struct played event = model->events[i];
		size_t j = i;

		for (; j > 0 && model_before(&event, &model->events[j - 1]); j--)
			model->events[j] = model->events[j - 1];
		model->events[j] = event;
	}
}

static void assert_same(const struct played *a, const struct played *b)
{
	assert_int_equal(a->sample_time, b->sample_time);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->group, b->group);
	assert_int_equal(a->n_channels, b->n_channels);
	assert_int_equal(a->n_points, b->n_points);
	assert_true(a->uv_per_count == b->uv_per_count);
	assert_true(a->x == b->x || (isnan(a->x) && isnan(b->x)));
	assert_true(a->y == b->y || (isnan(a->y) && isnan(b->y)));
	assert_memory_equal(a->values, b->values, sizeof(a->values));
}

static void assert_plays(
	const struct fnx_rig *rig, const struct fnx_nwb_limits *limits, const struct model *model)
{
	struct played *played = calloc(MODEL_MAX, sizeof(*played));
	size_t n = play(rig, limits, played, MODEL_MAX);

	assert_int_equal(n, model->n);
	for (size_t i = 0; i < n; i++)
		assert_same(&played[i], &model->events[i]);
	free(played);
}

static void assert_plays_cut(
	struct fnx_rig rig, struct check_random *random, const struct model *model)
{
	int64_t first = model->events[0].sample_time;
	int64_t span = model->events[model->n - 1].sample_time - first;
	int64_t start = (int64_t)check_random_below(random, (uint64_t)span + 1);
	int64_t duration = 1 + (int64_t)check_random_below(random, (uint64_t)span + 1);
	struct model part = {.events = model->events};

	while (part.events->sample_time < first + start)
		part.events++;
	while (part.events + part.n < model->events + model->n &&
		part.events[part.n].sample_time < first + start + duration)
		part.n++;
	rig.source.start_s = (double)start / 30000.0;
	rig.source.duration_s = (double)duration / 30000.0;
	assert_plays(&rig, NULL, &part);
	assert_plays(&rig, &(struct fnx_nwb_limits){.preload_size = 1, .block_size = 700}, &part);
}

TEST(random_sessions_play_as_the_model_does_whole_in_blocks_and_cut)
{
	struct check_random random = check_random_seeded();
	struct model model = {.events = calloc(MODEL_MAX, sizeof(struct played))};

	for (int round = 0; round < 60; round++) {
		char *path = scratch_file("random.nwb");
		struct fnx_rig rig = rig_for(path);
		hid_t file = write_open(path);

		model.n = 0;
		write_electrodes(file, names, SERIES_MAX, CHANNELS_MAX);
		rig.lfp.n_channels = (uint32_t)check_random_below(&random, 6);
		if (rig.lfp.n_channels > 0)
			model_lfp(&model, &random, file, rig.lfp.n_channels);
		if (check_random_below(&random, 4))
			model_positions(&model, &random, file);
		if (check_random_below(&random, 2))
			model_units(&model, &random, file);
		else
			for (unsigned i = 0; i < check_random_below(&random, SERIES_MAX + 1); i++)
				model_snippets(&model, &random, file, i);
		must(H5Fclose(file));
		model_sort(&model);
		if (model.n == 0) {
			REFUSED(&rig, -EINVAL, "that the rig plays, found none");
			continue;
		}
		assert_plays(&rig, NULL, &model);
		assert_plays(&rig,
			&(struct fnx_nwb_limits){
				.preload_size = 1 + check_random_below(&random, 20000),
				.block_size = 1 + check_random_below(&random, 3000),
			},
			&model);
		assert_plays_cut(rig, &random, &model);
	}
	free(model.events);
}
