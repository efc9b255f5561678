/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator: a source that needs no animal. A rat runs on the rig's track, place cells fire,
 * and at rest there are ripples that replay the outer arms.
 *
 * Arm 0 is the stem, and all other arms begin where it ends; a track of one arm is run to and fro.
 * Where the arms have no nodes they are laid out as straight lines. Position is given both as x and
 * y and as segment and position on it; truth comes with every position and at each replay's begin
 * and end.
 *
 * Read from the rig: clock, source (duration_s: 0 means 60 s; start_s; simulator),
 * electrode_groups, spikes, lfp, position (rate_hz, scale). The same seed gives the same session on
 * every machine, and a session begun later (start_s) is the rest of the same session.
 *
 * The operations are fnx_source_simulator of nodes/acquire/source.h.
 */
#pragma once

#include <stdint.h>

#include "nodes/acquire/source.h"
#include "nodes/host/rig.h"

/* What the rig file's defaults say, with electrode groups 1 to n_groups of four channels each (all
 * in ret_group, which must outlive the rig) and n_lfp channels of LFP. For who has no rig file. */
void fnx_simulator_rig_init(struct fnx_rig *rig, struct fnx_rig_electrode_groups *ret_group,
	uint32_t n_groups, uint32_t n_lfp);
