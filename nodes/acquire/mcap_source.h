/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A recording as a source: the topics position, spikes, lfp and truth of a file that the record
 * node wrote.
 *
 * Positions come as they were tracked, before any smoothing: what was computed from them is
 * computed again, so that a session can be replayed with another track or other kinematics, and
 * with the same ones gives the same numbers.
 *
 * Messages may stand in the file out of order, as a live recording with a silent input leaves them,
 * within a window of FNX_MCAP_SOURCE_WINDOW messages of a topic. What is farther out of place is
 * damage.
 *
 * A file that was cut, by a crash or by a copy that did not finish, is played up to the cut;
 * error() then says so.
 */
#pragma once

#include "nodes/acquire/source.h"

enum {
	FNX_MCAP_SOURCE_WINDOW = 512
};
