/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/nwb_choose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/host/rig.h"

static const char *const no_exceptions[] = {NULL};
static const char *const not_positions[] = {"CompassDirection", "EyeTracking", NULL};

static bool is_none(const char *key)
{
	return key && strcmp(key, "none") == 0;
}

static bool is_given(const char *key)
{
	return key && key[0] && !is_none(key);
}

static int take_path(struct nwb_file *file, const char *path, char ret_path[NWB_PATH_SIZE])
{
	if (strlen(path) >= NWB_PATH_SIZE)
		return fnx_nwb_fail(file, -ENAMETOOLONG, NULL,
			"expected a path of less than %d characters", NWB_PATH_SIZE);
	strcpy(ret_path, path);
	return 0;
}

static int ambiguous(
	struct nwb_file *file, const struct nwb_found *found, const char *what, const char *key)
{
	enum {
		NAMED_MAX = 4
	};
	char names[NWB_ERROR_SIZE] = "";
	size_t length = 0;

	for (uint32_t i = 0; i < found->n && i < NAMED_MAX; i++)
		length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%.80s",
			i > 0 ? ", " : "", found->paths[i]);
	if (found->n > NAMED_MAX)
		snprintf(names + length, sizeof(names) - length, " and %u more",
			found->n - NAMED_MAX);
	return fnx_nwb_fail(
		file, -EINVAL, NULL, "expected one %s, found %s: set %s", what, names, key);
}

static int choose_lfp(struct nwb_file *file, const struct fnx_rig *rig, struct nwb_found *found,
	struct nwb_choice *choice)
{
	const char *key = rig->source.nwb.lfp;
	int r;

	if (is_given(key))
		return take_path(file, key, choice->lfp);
	if (is_none(key) || rig->lfp.n_channels == 0)
		return 0;
	found->n = 0;
	r = fnx_nwb_find(file, "/processing/ecephys/LFP", "ElectricalSeries", no_exceptions, found);
	if (r == 0 && found->n == 0)
		r = fnx_nwb_find(file, "/acquisition", "ElectricalSeries", no_exceptions, found);
	if (r < 0)
		return r;
	if (found->n > 1)
		return ambiguous(file, found, "ElectricalSeries", "source.nwb.lfp");
	return found->n == 1 ? take_path(file, found->paths[0], choice->lfp) : 0;
}

static int choose_position(struct nwb_file *file, const struct fnx_rig *rig,
	struct nwb_found *found, struct nwb_choice *choice)
{
	const char *key = rig->source.nwb.position;
	int r;

	if (is_given(key))
		return take_path(file, key, choice->position);
	if (is_none(key))
		return 0;
	found->n = 0;
	r = fnx_nwb_find(file, "/processing/behavior", "SpatialSeries", not_positions, found);
	if (r < 0)
		return r;
	if (found->n > 1)
		return ambiguous(file, found, "SpatialSeries", "source.nwb.position");
	return found->n == 1 ? take_path(file, found->paths[0], choice->position) : 0;
}

static size_t parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

static int check_one_parent(struct nwb_file *file, const struct nwb_found *found)
{
	for (uint32_t i = 1; i < found->n; i++) {
		size_t n = parent_length(found->paths[0]);
		size_t m = parent_length(found->paths[i]);

		if (n != m || strncmp(found->paths[0], found->paths[i], n) != 0)
			return fnx_nwb_fail(file, -EINVAL, NULL,
				"expected every SpikeEventSeries in one group, found %.80s and "
				"%.80s: set "
				"source.nwb.spike_events to the group",
				found->paths[0], found->paths[i]);
	}
	return 0;
}

static int named_events(struct nwb_file *file, const char *key, struct nwb_choice *choice)
{
	hid_t group;
	int r = fnx_nwb_group_open(file, key, &group);

	if (r < 0)
		return r;
	H5Gclose(group);
	r = fnx_nwb_find(file, key, "SpikeEventSeries", no_exceptions, &choice->spike_events);
	if (r == 0 && choice->spike_events.n == 0)
		return fnx_nwb_fail(
			file, -ENOENT, key, "expected a group with SpikeEventSeries, found none");
	return r;
}

static int find_spikes(struct nwb_file *file, const struct fnx_rig *rig, struct nwb_choice *choice)
{
	struct nwb_found *events = &choice->spike_events;
	int r = 0;

	if (!is_none(rig->source.nwb.units) && fnx_nwb_exists(file, "/units") &&
		fnx_nwb_exists(file, "/units/spike_times"))
		r = take_path(file, "/units", choice->units);
	if (r == 0 && !is_none(rig->source.nwb.spike_events))
		r = fnx_nwb_find(file, "/acquisition", "SpikeEventSeries", no_exceptions, events);
	if (r == 0 && !is_none(rig->source.nwb.spike_events))
		r = fnx_nwb_find(file, "/processing", "SpikeEventSeries", no_exceptions, events);
	if (r < 0)
		return r;
	if (choice->units[0] && events->n > 0)
		return fnx_nwb_fail(file, -EINVAL, NULL,
			"expected sorted units or spike events, found both (/units, %.80s): set "
			"source.nwb.units or source.nwb.spike_events to none",
			events->paths[0]);
	return check_one_parent(file, events);
}

static int choose_spikes(
	struct nwb_file *file, const struct fnx_rig *rig, struct nwb_choice *choice)
{
	const struct fnx_rig_nwb *keys = &rig->source.nwb;

	if (is_given(keys->units) && is_given(keys->spike_events))
		return fnx_nwb_fail(file, -EINVAL, NULL,
			"expected source.nwb.units or source.nwb.spike_events, found both (%.80s, "
			"%.80s)",
			keys->units, keys->spike_events);
	if (is_given(keys->units))
		return take_path(file, keys->units, choice->units);
	if (is_given(keys->spike_events))
		return named_events(file, keys->spike_events, choice);
	return rig->n_electrode_groups > 0 ? find_spikes(file, rig, choice) : 0;
}

int fnx_nwb_choose(struct nwb_file *file, const struct fnx_rig *rig, struct nwb_choice *ret_choice)
{
	struct nwb_found *found = fnx_nwb_alloc(file, NULL, 1, sizeof(*found));
	int r;

	if (!found)
		return -ENOMEM;
	memset(ret_choice, 0, sizeof(*ret_choice));
	r = choose_lfp(file, rig, found, ret_choice);
	if (r == 0)
		r = choose_position(file, rig, found, ret_choice);
	if (r == 0)
		r = choose_spikes(file, rig, ret_choice);
	free(found);
	return r;
}
