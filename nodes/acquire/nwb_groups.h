/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Electrode groups of an NWB file and the ids they get: 1, 2, 3, ... in the order of the number
 * that their names end in (TT01, TT02, TT11: ids 1, 2, 3), where each name ends in a number and all
 * numbers differ; else in the order of the file. The number is not the id, since rigs count their
 * groups without holes.
 *
 * Every group under /general/extracellular_ephys is one whose neurodata_type ends in
 * "ElectrodeGroup".
 */
#pragma once

#include "nodes/acquire/nwb_file.h"

struct nwb_group {
	char name[NWB_NAME_SIZE];
	hobj_ref_t reference; /* as columns of the file hold it */
	uint32_t id;
};

struct nwb_groups {
	struct nwb_group *groups; /* by id: groups[k].id is k + 1 */
	uint32_t n;
	bool by_number; /* false: in the order of the file */
};

FNX_MUST_CHECK int fnx_nwb_groups_read(struct nwb_file *file, struct nwb_groups *ret_groups);
void fnx_nwb_groups_fini(struct nwb_groups *groups);
/* The group that a column refers to, NULL: none of these. */
const struct nwb_group *fnx_nwb_groups_find(const struct nwb_groups *groups, hobj_ref_t reference);
/* The one group of all electrodes of the series at `path`. `n_channels` electrodes are expected. */
FNX_MUST_CHECK int fnx_nwb_groups_of_series(struct nwb_file *file, const struct nwb_groups *groups,
	const char *path, uint64_t n_channels, const struct nwb_group **ret_group);
