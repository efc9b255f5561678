/* SPDX-License-Identifier: BSD-3-Clause */
/* Two tracks: a fork of which only segments are known (the geometry of the reference vectors) and a
 * T-maze with places in the room. */
#pragma once

#include "nodes/host/track.h"

static const struct fnx_track_config FORK = {
	.bin_cm = 5.0,
	.n_arms = 3,
	.arms = {{.first_bin = 0, .last_bin = 8}, {.first_bin = 13, .last_bin = 24},
		{.first_bin = 29, .last_bin = 40}},
};

static const struct fnx_track_config T_MAZE = {
	.bin_cm = 5.0,
	.max_distance_cm = 10.0,
	.n_arms = 3,
	.arms = {{.first_bin = 0,
			 .last_bin = 24,
			 .n_nodes = 2,
			 .node_x = {123.0, 123.0},
			 .node_y = {140.0, 16.0}},
		{.first_bin = 30,
			.last_bin = 64,
			.n_target = 5,
			.n_nodes = 5,
			.node_x = {123.0, 60.0, 36.0, 32.0, 32.0},
			.node_y = {16.0, 23.0, 48.0, 70.0, 126.0}},
		{.first_bin = 70,
			.last_bin = 106,
			.n_target = 5,
			.n_nodes = 4,
			.node_x = {123.0, 185.0, 214.0, 218.0},
			.node_y = {16.0, 20.0, 50.0, 130.0}}},
};
