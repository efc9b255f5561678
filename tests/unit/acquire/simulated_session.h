/* SPDX-License-Identifier: BSD-3-Clause */
/* Two tracks and a simulated session on them, for the simulator's tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodes/acquire/simulator.h"
#include "nodes/host/track.h"
#include "tests/support/check.h"

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
			.n_nodes = 5,
			.node_x = {123.0, 60.0, 36.0, 32.0, 32.0},
			.node_y = {16.0, 23.0, 48.0, 70.0, 126.0}},
		{.first_bin = 70,
			.last_bin = 106,
			.n_nodes = 4,
			.node_x = {123.0, 185.0, 214.0, 218.0},
			.node_y = {16.0, 20.0, 50.0, 130.0}}},
};

/* A rig, its track and the source that is open on them. */
struct session {
	struct fnx_rig rig;
	struct fnx_rig_electrode_groups group;
	struct fnx_track *track;
	struct fnx_source *source;
};

static inline void init_session(struct session *session, const struct fnx_track_config *track,
	uint32_t n_groups, uint32_t n_lfp)
{
	const char *reason;

	*session = (struct session){0};
	fnx_simulator_rig_init(&session->rig, &session->group, n_groups, n_lfp);
	assert_int_equal(fnx_track_new(track, &session->track, &reason), 0);
}

static inline void open_session(struct session *session)
{
	char error[FNX_RIG_ERROR_MAX] = "";

	if (fnx_source_simulator.open(
		    &session->rig, session->track, &session->source, error, sizeof(error)) < 0)
		fail_msg("%s", error);
}

static inline void fini_session(struct session *session)
{
	session->source = fnx_source_simulator.close(session->source);
	session->track = fnx_track_free(session->track);
}

static inline bool next_event(struct session *session, struct fnx_event *ret_event)
{
	int r = fnx_source_simulator.next(session->source, ret_event);

	assert_in_range(r, 0, 1);
	return r == 1;
}
