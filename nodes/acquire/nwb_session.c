/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every stream is opened whole first, since the session begins with the earliest event of all of
 * them; only then can it be cut, and only what is left of LFP and snippets is read.
 */
#include "nodes/acquire/nwb_session.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/nwb_choose.h"
#include "nodes/host/rig.h"

#define RATE_TOLERANCE 0.01

bool fnx_nwb_has_lfp(const struct nwb_session *session)
{
	return session->lfp.series.file != NULL;
}

bool fnx_nwb_has_positions(const struct nwb_session *session)
{
	return session->positions.series.file != NULL;
}

bool fnx_nwb_has_units(const struct nwb_session *session)
{
	return session->units.path[0] != '\0';
}

/* Channels that the rig gives to an electrode group, 0: it has no such group. */
static uint32_t rig_channels(const struct fnx_rig *rig, uint32_t id)
{
	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		const struct fnx_rig_electrode_groups *groups = &rig->electrode_groups[i];
		uint32_t through = groups->through > groups->id ? groups->through : groups->id;

		if (id >= groups->id && id <= through)
			return groups->n_channels;
	}
	return 0;
}

static int check_group(struct nwb_session *session, const struct fnx_rig *rig, const char *path,
	uint32_t id, uint32_t n_channels)
{
	const char *name = session->groups.groups[id - 1].name;
	uint32_t given = rig_channels(rig, id);

	if (given == 0)
		return fnx_nwb_fail(&session->file, -EINVAL, path,
			"electrode group %s: expected id %u in the rig's electrode_groups, found "
			"none",
			name, id);
	if (given < n_channels)
		return fnx_nwb_fail(&session->file, -EINVAL, path,
			"electrode group %s: expected at least %u n_channels for id %u in the "
			"rig's "
			"electrode_groups, found %u",
			name, n_channels, id, given);
	return 0;
}

static int check_volts(struct nwb_series *series)
{
	static const char *const volts[] = {"", "volts", "volt", "V"};

	for (size_t i = 0; i < sizeof(volts) / sizeof(volts[0]); i++) {
		if (strcmp(series->unit, volts[i]) == 0)
			return 0;
	}
	return fnx_nwb_fail(series->file, -EBADMSG, series->data.path,
		"attribute unit: expected volts, found '%s'", series->unit);
}

static int positions_open(struct nwb_session *session, const char *path)
{
	struct nwb_positions *positions = &session->positions;
	struct nwb_dataset *data = &positions->series.data;
	int r = fnx_nwb_series_open(&session->file, path, 1, 2, session->clock_hz,
		session->limits.max_positions, &positions->series);

	if (r < 0)
		return r;
	if (data->dims[0] > session->limits.max_positions)
		return fnx_nwb_fail(&session->file, -EFBIG, data->path,
			"expected at most %llu positions, found %llu",
			(unsigned long long)session->limits.max_positions,
			(unsigned long long)data->dims[0]);
	if (data->dims[1] < 1 || data->dims[1] > 3)
		return fnx_nwb_fail(&session->file, -EBADMSG, data->path,
			"expected 1 to 3 coordinates, found %llu",
			(unsigned long long)data->dims[1]);
	positions->n_columns = (uint32_t)data->dims[1];
	positions->values = fnx_nwb_alloc(&session->file, data->path,
		data->dims[0] * positions->n_columns, sizeof(positions->values[0]));
	if (!positions->values)
		return -ENOMEM;
	session->info.has_position = true;
	return fnx_nwb_dataset_read(data, H5T_NATIVE_DOUBLE, positions->values);
}

static int units_open(struct nwb_session *session, const struct fnx_rig *rig, const char *path)
{
	struct nwb_units *units = &session->units;
	int r = fnx_nwb_units_read(&session->file, path, &session->groups, session->clock_hz,
		session->limits.max_times, units);

	for (uint32_t i = 0; r == 0 && i < units->n_units; i++)
		r = check_group(session, rig, path, units->units[i].group, 1);
	if (r < 0)
		return r;
	session->info.n_spike_channels = 1;
	session->info.n_spike_points = 1;
	return 0;
}

static int check_snippets(
	struct nwb_session *session, const struct fnx_rig *rig, struct nwb_snippets *snippets)
{
	const struct nwb_dataset *data = &snippets->series.data;
	uint64_t n_channels = data->rank == 3 ? data->dims[1] : 1;
	uint64_t n_points = data->rank == 3 ? data->dims[2] : data->dims[1];
	const struct nwb_group *group = NULL;
	int r;

	if (n_channels < 1 || n_channels > 4096)
		return fnx_nwb_fail(&session->file, -EBADMSG, data->path,
			"expected at least one channel, found %llu",
			(unsigned long long)n_channels);
	if (n_points < 1 || n_points > rig->spikes.n_points)
		return fnx_nwb_fail(&session->file, -EINVAL, data->path,
			"expected 1 to %u points, the rig's spikes.n_points, found %llu",
			rig->spikes.n_points, (unsigned long long)n_points);
	r = fnx_nwb_groups_of_series(
		&session->file, &session->groups, snippets->series.path, n_channels, &group);
	if (r < 0)
		return r;
	snippets->group = group->id;
	snippets->n_channels = (uint32_t)n_channels;
	snippets->n_points = (uint32_t)n_points;
	r = check_group(session, rig, snippets->series.path, group->id, snippets->n_channels);
	return r < 0 ? r : check_volts(&snippets->series);
}

static int compare_snippets(const void *a, const void *b)
{
	const struct nwb_snippets *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return strcmp(x->series.path, y->series.path);
}

static int all_snippets_open(
	struct nwb_session *session, const struct fnx_rig *rig, const struct nwb_found *found)
{
	struct fnx_source_info *info = &session->info;

	session->snippets =
		fnx_nwb_alloc(&session->file, NULL, found->n, sizeof(session->snippets[0]));
	if (!session->snippets)
		return -ENOMEM;
	for (uint32_t i = 0; i < found->n; i++) {
		struct nwb_snippets *snippets = &session->snippets[i];
		int r = fnx_nwb_series_open(&session->file, found->paths[i], 2, 3,
			session->clock_hz, session->limits.max_times, &snippets->series);

		if (r < 0)
			return r;
		session->n_snippets++;
		r = check_snippets(session, rig, snippets);
		if (r < 0)
			return r;
		if (snippets->n_channels > info->n_spike_channels)
			info->n_spike_channels = snippets->n_channels;
		if (snippets->n_points > info->n_spike_points)
			info->n_spike_points = snippets->n_points;
	}
	qsort(session->snippets, session->n_snippets, sizeof(session->snippets[0]),
		compare_snippets);
	return 0;
}

static int lfp_open(struct nwb_session *session, const struct fnx_rig *rig, const char *path)
{
	struct nwb_lfp *lfp = &session->lfp;
	const struct nwb_dataset *data = &lfp->series.data;
	const double *rate_hz = &lfp->series.times.rate_hz;
	int r = fnx_nwb_series_open(&session->file, path, 1, 2, session->clock_hz,
		session->limits.max_times, &lfp->series);

	if (r < 0)
		return r;
	if (data->dims[1] != rig->lfp.n_channels || data->dims[1] < 1)
		return fnx_nwb_fail(&session->file, -EINVAL, data->path,
			"expected %u channels, the rig's lfp.n_channels, found %llu",
			rig->lfp.n_channels, (unsigned long long)data->dims[1]);
	if (*rate_hz > 0.0 && fabs(*rate_hz / rig->lfp.rate_hz - 1.0) > RATE_TOLERANCE)
		return fnx_nwb_fail(&session->file, -EINVAL, data->path,
			"expected %g Hz, the rig's lfp.rate_hz, found %g Hz", rig->lfp.rate_hz,
			*rate_hz);
	lfp->n_channels = rig->lfp.n_channels;
	session->info.n_lfp_channels = lfp->n_channels;
	return check_volts(&lfp->series);
}

/* Widens the session by what lies in the series. */
static void span_add(const struct nwb_times *times, int64_t *first, int64_t *last)
{
	int64_t sample;

	if (times->n == 0)
		return;
	sample = fnx_nwb_times_at(times, 0);
	if (sample < *first)
		*first = sample;
	sample = fnx_nwb_times_at(times, times->n - 1);
	if (sample > *last)
		*last = sample;
}

static int span_of(struct nwb_session *session, int64_t *ret_first, int64_t *ret_last)
{
	int64_t first = INT64_MAX, last = INT64_MIN;
	const struct nwb_units *units = &session->units;

	if (fnx_nwb_has_positions(session))
		span_add(&session->positions.series.times, &first, &last);
	if (fnx_nwb_has_lfp(session))
		span_add(&session->lfp.series.times, &first, &last);
	for (uint32_t i = 0; i < session->n_snippets; i++)
		span_add(&session->snippets[i].series.times, &first, &last);
	if (units->n_spikes > 0) {
		first = units->spikes[0].sample < first ? units->spikes[0].sample : first;
		last = units->spikes[units->n_spikes - 1].sample > last
			? units->spikes[units->n_spikes - 1].sample
			: last;
	}
	if (first > last)
		return fnx_nwb_fail(&session->file, -EINVAL, NULL,
			"expected LFP, position, units or spike events that the rig plays, found "
			"none");
	*ret_first = first;
	*ret_last = last;
	return 0;
}

/* The session's part that is played: [*ret_begin, *ret_end). */
static int cut(struct nwb_session *session, const struct fnx_rig *rig, int64_t *ret_begin,
	int64_t *ret_end)
{
	const double start_s = rig->source.start_s, duration_s = rig->source.duration_s;
	int64_t first = 0, last = 0, start, duration;
	int r = span_of(session, &first, &last);

	if (r < 0)
		return r;
	if (!(start_s >= 0.0) || !fnx_nwb_samples(start_s, session->clock_hz, &start) ||
		start > last - first)
		return fnx_nwb_fail(&session->file, -EINVAL, NULL,
			"source.start_s: expected 0 to %.6f, the length of the session, found %g",
			(double)(last - first) / session->clock_hz, start_s);
	if (!(duration_s >= 0.0) || !fnx_nwb_samples(duration_s, session->clock_hz, &duration))
		return fnx_nwb_fail(&session->file, -EINVAL, NULL,
			"source.duration_s: expected seconds, 0 for all, found %g", duration_s);
	*ret_begin = first + start;
	*ret_end = INT64_MAX;
	if (duration_s > 0.0 && duration <= last - *ret_begin)
		*ret_end = *ret_begin + duration;
	session->info.first_sample = *ret_begin;
	session->info.last_sample = *ret_end <= last ? *ret_end - 1 : last;
	return 0;
}

static struct nwb_cursor cut_times(const struct nwb_times *times, int64_t begin, int64_t end)
{
	return (struct nwb_cursor){
		fnx_nwb_times_find(times, begin), fnx_nwb_times_find(times, end)};
}

static int cut_rows(struct nwb_session *session, struct nwb_rows *rows, struct nwb_series *series,
	uint32_t n_channels, struct nwb_cursor cursor, size_t *preload_size)
{
	int r = fnx_nwb_rows_open(rows, series, n_channels, cursor.at, cursor.end, *preload_size,
		session->limits.block_size);

	if (r == 0 && fnx_nwb_rows_size(rows) <= *preload_size)
		*preload_size -= fnx_nwb_rows_size(rows);
	return r;
}

static int streams_cut(struct nwb_session *session, int64_t begin, int64_t end)
{
	struct nwb_lfp *lfp = &session->lfp;
	size_t preload_size = session->limits.preload_size;
	int r = 0;

	if (fnx_nwb_has_positions(session))
		session->positions.cursor = cut_times(&session->positions.series.times, begin, end);
	if (fnx_nwb_has_units(session))
		session->units_cursor =
			(struct nwb_cursor){fnx_nwb_units_find(&session->units, begin),
				fnx_nwb_units_find(&session->units, end)};
	if (fnx_nwb_has_lfp(session)) {
		lfp->cursor = cut_times(&lfp->series.times, begin, end);
		r = cut_rows(session, &lfp->rows, &lfp->series, lfp->n_channels, lfp->cursor,
			&preload_size);
	}
	for (uint32_t i = 0; r == 0 && i < session->n_snippets; i++) {
		struct nwb_snippets *snippets = &session->snippets[i];

		snippets->cursor = cut_times(&snippets->series.times, begin, end);
		r = cut_rows(session, &snippets->rows, &snippets->series, snippets->n_channels,
			snippets->cursor, &preload_size);
	}
	return r;
}

static int open_chosen(
	struct nwb_session *session, const struct fnx_rig *rig, const struct nwb_choice *choice)
{
	int64_t begin = 0, end = 0;
	int r = 0;

	if (choice->units[0] || choice->spike_events.n > 0)
		r = fnx_nwb_groups_read(&session->file, &session->groups);
	if (r == 0 && choice->position[0])
		r = positions_open(session, choice->position);
	if (r == 0 && choice->units[0])
		r = units_open(session, rig, choice->units);
	if (r == 0 && choice->spike_events.n > 0)
		r = all_snippets_open(session, rig, &choice->spike_events);
	if (r == 0 && choice->lfp[0])
		r = lfp_open(session, rig, choice->lfp);
	if (r == 0)
		r = cut(session, rig, &begin, &end);
	if (r == 0)
		r = streams_cut(session, begin, end);
	return r;
}

int fnx_nwb_session_open(struct nwb_session *session, const struct fnx_rig *rig)
{
	struct nwb_choice *choice;
	int r;

	session->clock_hz = rig->clock.rate_hz;
	r = fnx_nwb_file_open(&session->file, rig->source.file);
	if (r < 0)
		return r;
	choice = fnx_nwb_alloc(&session->file, NULL, 1, sizeof(*choice));
	if (!choice)
		return -ENOMEM;
	r = fnx_nwb_choose(&session->file, rig, choice);
	if (r == 0)
		r = open_chosen(session, rig, choice);
	free(choice);
	return r;
}

void fnx_nwb_session_close(struct nwb_session *session)
{
	fnx_nwb_rows_close(&session->lfp.rows);
	fnx_nwb_series_close(&session->lfp.series);
	for (uint32_t i = 0; i < session->n_snippets; i++) {
		fnx_nwb_rows_close(&session->snippets[i].rows);
		fnx_nwb_series_close(&session->snippets[i].series);
	}
	free(session->snippets);
	fnx_nwb_series_close(&session->positions.series);
	free(session->positions.values);
	fnx_nwb_units_fini(&session->units);
	fnx_nwb_groups_fini(&session->groups);
	fnx_nwb_file_close(&session->file);
}

bool fnx_nwb_session_is_held(const struct nwb_session *session)
{
	bool held = !fnx_nwb_has_lfp(session) || fnx_nwb_rows_are_held(&session->lfp.rows);

	for (uint32_t i = 0; i < session->n_snippets; i++)
		held = held && fnx_nwb_rows_are_held(&session->snippets[i].rows);
	return held;
}
