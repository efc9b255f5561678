/* SPDX-License-Identifier: BSD-3-Clause */
/* Which objects of an NWB file a rig plays: those it names, else those that can only be meant. */
#pragma once

#include "nodes/acquire/nwb_file.h"

struct fnx_rig;

/* Paths; empty: none. At most one of units and spike_events. */
struct nwb_choice {
	char lfp[NWB_PATH_SIZE];
	char position[NWB_PATH_SIZE];
	char units[NWB_PATH_SIZE];
	struct nwb_found spike_events;
};

/* The rules are in nwb.h. -EINVAL where more than one object may be meant. */
FNX_MUST_CHECK int fnx_nwb_choose(
	struct nwb_file *file, const struct fnx_rig *rig, struct nwb_choice *ret_choice);
