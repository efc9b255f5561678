/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Units table of an NWB file: sorted spikes, all units merged into one row in the order of time
 * (at equal times that of the electrode group ids, then that of the table).
 *
 * Columns: spike_times and spike_times_index, electrode_group, and cluster where there is one: the
 * number of the unit. Without cluster a unit's number is its place among those of its group,
 * counted from 1.
 */
#pragma once

#include "nodes/acquire/nwb_groups.h"

struct nwb_unit {
	uint32_t group; /* id */
	int32_t number;
};

struct nwb_unit_spike {
	int64_t sample;
	uint32_t unit; /* row of the table */
};

struct nwb_units {
	char path[NWB_PATH_SIZE];
	struct nwb_unit *units;
	uint32_t n_units;
	struct nwb_unit_spike *spikes;
	uint64_t n_spikes;
	bool has_clusters;
};

/* Reads the table at `path`; more than `n_max` spikes are refused. Memory is taken here alone. */
FNX_MUST_CHECK int fnx_nwb_units_read(struct nwb_file *file, const char *path,
	const struct nwb_groups *groups, double clock_hz, uint64_t n_max,
	struct nwb_units *ret_units);
void fnx_nwb_units_fini(struct nwb_units *units);
/* First spike that is not before `sample`; n_spikes: none. */
uint64_t fnx_nwb_units_find(const struct nwb_units *units, int64_t sample);
