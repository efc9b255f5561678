/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * References are compared, not followed: a reference to each group is made here, so that a damaged
 * one in a column is merely equal to none.
 */
#include "nodes/acquire/nwb_groups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_ROOT "/general/extracellular_ephys"

enum {
	GROUPS_MAX = 4096,
	ELECTRODES_MAX = 1 << 20,
};

static bool is_electrode_group(struct nwb_file *file, const char *path)
{
	static const char ending[] = "ElectrodeGroup";
	char type[NWB_NAME_SIZE];
	size_t n;
	hid_t id = H5Oopen(file->id, path, H5P_DEFAULT);

	if (id < 0)
		return false;
	fnx_nwb_text(id, "neurodata_type", type, sizeof(type));
	H5Oclose(id);
	n = strlen(type);
	return n >= sizeof(ending) - 1 && strcmp(type + n - (sizeof(ending) - 1), ending) == 0;
}

static int group_add(struct nwb_file *file, const char *path, const char *name, void *data)
{
	struct nwb_groups *groups = data;
	struct nwb_group *group;

	if (!is_electrode_group(file, path))
		return 0;
	if (groups->n == GROUPS_MAX)
		return fnx_nwb_fail(file, -EFBIG, GROUPS_ROOT,
			"expected at most %d electrode groups", GROUPS_MAX);
	group = &groups->groups[groups->n];
	*group = (struct nwb_group){.id = groups->n + 1};
	snprintf(group->name, sizeof(group->name), "%.*s", NWB_NAME_SIZE - 1, name);
	if (H5Rcreate(&group->reference, file->id, path, H5R_OBJECT, -1) < 0)
		return fnx_nwb_fail_hdf5(file, -EBADMSG, path, "cannot be referred to");
	groups->n++;
	return 0;
}

/* The number that the name ends in. */
static bool name_number(const char *name, uint64_t *ret_number)
{
	size_t n = strlen(name), first = n;

	while (first > 0 && name[first - 1] >= '0' && name[first - 1] <= '9')
		first--;
	if (first == n || n - first > 18)
		return false;
	*ret_number = strtoull(name + first, NULL, 10);
	return true;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = 0, y = 0;

	(void)name_number(((const struct nwb_group *)a)->name, &x);
	(void)name_number(((const struct nwb_group *)b)->name, &y);
	return (x > y) - (x < y);
}

static bool all_numbered(const struct nwb_groups *groups)
{
	for (uint32_t i = 0; i < groups->n; i++) {
		uint64_t number, other;

		if (!name_number(groups->groups[i].name, &number))
			return false;
		for (uint32_t j = 0; j < i; j++) {
			if (name_number(groups->groups[j].name, &other) && other == number)
				return false;
		}
	}
	return true;
}

static void number_groups(struct nwb_groups *groups)
{
	groups->by_number = all_numbered(groups);
	if (groups->by_number)
		qsort(groups->groups, groups->n, sizeof(groups->groups[0]), compare_numbers);
	for (uint32_t i = 0; i < groups->n; i++)
		groups->groups[i].id = i + 1;
}

int fnx_nwb_groups_read(struct nwb_file *file, struct nwb_groups *ret_groups)
{
	struct nwb_groups groups = {0};
	int r = 0;

	groups.groups = fnx_nwb_alloc(file, GROUPS_ROOT, GROUPS_MAX, sizeof(groups.groups[0]));
	if (!groups.groups)
		return -ENOMEM;
	if (fnx_nwb_exists(file, GROUPS_ROOT))
		r = fnx_nwb_children(file, GROUPS_ROOT, group_add, &groups);
	if (r < 0) {
		fnx_nwb_groups_fini(&groups);
		return r;
	}
	number_groups(&groups);
	*ret_groups = groups;
	return 0;
}

void fnx_nwb_groups_fini(struct nwb_groups *groups)
{
	free(groups->groups);
	*groups = (struct nwb_groups){0};
}

const struct nwb_group *fnx_nwb_groups_find(const struct nwb_groups *groups, hobj_ref_t reference)
{
	for (uint32_t i = 0; i < groups->n; i++) {
		if (groups->groups[i].reference == reference)
			return &groups->groups[i];
	}
	return NULL;
}

static int one_group(struct nwb_file *file, const struct nwb_groups *groups, const char *path,
	const int64_t *rows, uint64_t n_rows, const hobj_ref_t *references, uint64_t n_electrodes,
	const struct nwb_group **ret_group)
{
	const struct nwb_group *group = NULL;

	for (uint64_t i = 0; i < n_rows; i++) {
		const struct nwb_group *other;

		if (rows[i] < 0 || (uint64_t)rows[i] >= n_electrodes)
			return fnx_nwb_fail(file, -EBADMSG, path,
				"electrodes[%llu]: expected a row of the %llu of " GROUPS_ROOT
				"/electrodes, found %lld",
				(unsigned long long)i, (unsigned long long)n_electrodes,
				(long long)rows[i]);
		other = fnx_nwb_groups_find(groups, references[rows[i]]);
		if (!other)
			return fnx_nwb_fail(file, -EBADMSG, GROUPS_ROOT "/electrodes/group",
				"row %lld: expected a reference to an electrode group, found "
				"another",
				(long long)rows[i]);
		if (group && other != group)
			return fnx_nwb_fail(file, -EBADMSG, path,
				"expected electrodes of one group, found %s and %s", group->name,
				other->name);
		group = other;
	}
	*ret_group = group;
	return 0;
}

int fnx_nwb_groups_of_series(struct nwb_file *file, const struct nwb_groups *groups,
	const char *path, uint64_t n_channels, const struct nwb_group **ret_group)
{
	void *rows = NULL, *references = NULL;
	uint64_t n_rows, n_electrodes;
	int r = fnx_nwb_column_read(file, path, "electrodes", NWB_NUMBER, H5T_NATIVE_INT64,
		sizeof(int64_t), ELECTRODES_MAX, &rows, &n_rows);

	if (r == 0 && n_rows != n_channels)
		r = fnx_nwb_fail(file, -EBADMSG, path,
			"expected %llu electrodes, as the data have channels, "
			"found %llu",
			(unsigned long long)n_channels, (unsigned long long)n_rows);
	if (r == 0)
		r = fnx_nwb_column_read(file, GROUPS_ROOT "/electrodes", "group", NWB_REFERENCE,
			H5T_STD_REF_OBJ, sizeof(hobj_ref_t), ELECTRODES_MAX, &references,
			&n_electrodes);
	if (r == 0)
		r = one_group(
			file, groups, path, rows, n_rows, references, n_electrodes, ret_group);
	free(rows);
	free(references);
	return r;
}
