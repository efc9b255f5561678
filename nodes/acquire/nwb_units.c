/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One sorted array, not a merge of the units while playing: the next spike is then the next
 * element, at any number of units, and a table whose units are not in order themselves needs no
 * rule of its own.
 */
#include "nodes/acquire/nwb_units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/acquire/nwb_series.h"

enum {
	UNITS_MAX = 1 << 20,
};

/* What is read before it is known to fit together. */
struct columns {
	double *times_s;
	uint64_t n_times;
	uint64_t *ends;
	uint64_t n_ends;
	hobj_ref_t *references;
	uint64_t n_references;
	int64_t *clusters; /* NULL: none */
	uint64_t n_clusters;
};

static int columns_read(
	struct nwb_file *file, const char *path, uint64_t n_max, struct columns *columns)
{
	char clusters[NWB_PATH_SIZE];
	void *values;
	int r = fnx_nwb_column_read(file, path, "spike_times", NWB_NUMBER, H5T_NATIVE_DOUBLE,
		sizeof(double), n_max, &values, &columns->n_times);

	if (r < 0)
		return r;
	columns->times_s = values;
	r = fnx_nwb_column_read(file, path, "spike_times_index", NWB_NUMBER, H5T_NATIVE_UINT64,
		sizeof(uint64_t), UNITS_MAX, &values, &columns->n_ends);
	if (r < 0)
		return r;
	columns->ends = values;
	r = fnx_nwb_column_read(file, path, "electrode_group", NWB_REFERENCE, H5T_STD_REF_OBJ,
		sizeof(hobj_ref_t), UNITS_MAX, &values, &columns->n_references);
	if (r < 0)
		return r;
	columns->references = values;
	r = fnx_nwb_join(file, path, "cluster", clusters);
	if (r < 0 || !fnx_nwb_exists(file, clusters))
		return r;
	r = fnx_nwb_column_read(file, path, "cluster", NWB_NUMBER, H5T_NATIVE_INT64,
		sizeof(int64_t), UNITS_MAX, &values, &columns->n_clusters);
	if (r == 0)
		columns->clusters = values;
	return r;
}

static void columns_fini(struct columns *columns)
{
	free(columns->times_s);
	free(columns->ends);
	free(columns->references);
	free(columns->clusters);
}

static int columns_check(struct nwb_file *file, const char *path, const struct columns *columns)
{
	uint64_t end = 0;

	if (columns->n_references != columns->n_ends)
		return fnx_nwb_fail(file, -EBADMSG, path,
			"expected an electrode_group for each of %llu units, found %llu",
			(unsigned long long)columns->n_ends,
			(unsigned long long)columns->n_references);
	if (columns->clusters && columns->n_clusters != columns->n_ends)
		return fnx_nwb_fail(file, -EBADMSG, path,
			"expected a cluster for each of %llu units, found %llu",
			(unsigned long long)columns->n_ends,
			(unsigned long long)columns->n_clusters);
	for (uint64_t i = 0; i < columns->n_ends; i++) {
		if (columns->ends[i] < end || columns->ends[i] > columns->n_times)
			return fnx_nwb_fail(file, -EBADMSG, path,
				"spike_times_index[%llu]: expected %llu to %llu, found %llu",
				(unsigned long long)i, (unsigned long long)end,
				(unsigned long long)columns->n_times,
				(unsigned long long)columns->ends[i]);
		end = columns->ends[i];
	}
	if (end != columns->n_times)
		return fnx_nwb_fail(file, -EBADMSG, path,
			"spike_times_index: expected to end at the %llu spike_times, found %llu",
			(unsigned long long)columns->n_times, (unsigned long long)end);
	return 0;
}

static int units_fill(struct nwb_file *file, const struct nwb_groups *groups,
	const struct columns *columns, struct nwb_units *units)
{
	uint32_t *n_of_group = fnx_nwb_alloc(file, units->path, groups->n + 1, sizeof(*n_of_group));

	if (!n_of_group)
		return -ENOMEM;
	for (uint32_t i = 0; i < units->n_units; i++) {
		const struct nwb_group *group = fnx_nwb_groups_find(groups, columns->references[i]);
		int64_t number;

		if (!group) {
			free(n_of_group);
			return fnx_nwb_fail(file, -EBADMSG, units->path,
				"electrode_group[%u]: expected a reference to one of %u electrode "
				"groups, "
				"found another",
				i, groups->n);
		}
		number = ++n_of_group[group->id];
		if (columns->clusters)
			number = columns->clusters[i];
		if (number < INT32_MIN || number > INT32_MAX) {
			free(n_of_group);
			return fnx_nwb_fail(file, -EBADMSG, units->path,
				"cluster[%u]: expected a number of 32 bits, found %lld", i,
				(long long)number);
		}
		units->units[i] = (struct nwb_unit){.group = group->id, .number = (int32_t)number};
	}
	free(n_of_group);
	return 0;
}

static int spikes_fill(struct nwb_file *file, const struct columns *columns, double clock_hz,
	struct nwb_units *units)
{
	uint64_t spike = 0;

	for (uint32_t unit = 0; unit < units->n_units; unit++) {
		for (; spike < columns->ends[unit]; spike++) {
			units->spikes[spike].unit = unit;
			if (!fnx_nwb_samples(columns->times_s[spike], clock_hz,
				    &units->spikes[spike].sample))
				return fnx_nwb_fail(file, -EBADMSG, units->path,
					"spike_times[%llu] of unit %u: expected seconds, found %g",
					(unsigned long long)spike, unit, columns->times_s[spike]);
		}
	}
	return 0;
}

static int compare_spikes(const void *a, const void *b, void *data)
{
	const struct nwb_unit_spike *x = a, *y = b;
	const struct nwb_unit *units = data;

	if (x->sample != y->sample)
		return x->sample < y->sample ? -1 : 1;
	if (units[x->unit].group != units[y->unit].group)
		return units[x->unit].group < units[y->unit].group ? -1 : 1;
	return (x->unit > y->unit) - (x->unit < y->unit);
}

static int units_make(struct nwb_file *file, const struct nwb_groups *groups,
	const struct columns *columns, double clock_hz, struct nwb_units *units)
{
	int r = columns_check(file, units->path, columns);

	if (r < 0)
		return r;
	units->has_clusters = columns->clusters != NULL;
	units->n_units = (uint32_t)columns->n_ends;
	units->n_spikes = columns->n_times;
	units->units = fnx_nwb_alloc(file, units->path, units->n_units, sizeof(units->units[0]));
	if (!units->units)
		return -ENOMEM;
	units->spikes = fnx_nwb_alloc(file, units->path, units->n_spikes, sizeof(units->spikes[0]));
	if (!units->spikes)
		return -ENOMEM;
	r = units_fill(file, groups, columns, units);
	if (r == 0)
		r = spikes_fill(file, columns, clock_hz, units);
	if (r == 0)
		qsort_r(units->spikes, units->n_spikes, sizeof(units->spikes[0]), compare_spikes,
			units->units);
	return r;
}

int fnx_nwb_units_read(struct nwb_file *file, const char *path, const struct nwb_groups *groups,
	double clock_hz, uint64_t n_max, struct nwb_units *ret_units)
{
	struct nwb_units units = {0};
	struct columns columns = {0};
	hid_t group;
	int r = fnx_nwb_group_open(file, path, &group);

	if (r < 0)
		return r;
	H5Gclose(group);
	if (strlen(path) >= sizeof(units.path))
		return fnx_nwb_fail(file, -ENAMETOOLONG, path,
			"expected a path of less than %d characters", NWB_PATH_SIZE);
	strcpy(units.path, path);
	r = columns_read(file, path, n_max, &columns);
	if (r == 0)
		r = units_make(file, groups, &columns, clock_hz, &units);
	columns_fini(&columns);
	if (r < 0) {
		fnx_nwb_units_fini(&units);
		return r;
	}
	*ret_units = units;
	return 0;
}

void fnx_nwb_units_fini(struct nwb_units *units)
{
	free(units->units);
	free(units->spikes);
	*units = (struct nwb_units){0};
}

uint64_t fnx_nwb_units_find(const struct nwb_units *units, int64_t sample)
{
	uint64_t low = 0, high = units->n_spikes;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (units->spikes[middle].sample < sample)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
