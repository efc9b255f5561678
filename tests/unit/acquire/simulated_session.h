/* SPDX-License-Identifier: BSD-3-Clause */
/* A simulated session, for the simulator's tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodes/acquire/simulator.h"
#include "nodes/host/track.h"
#include "tests/support/check.h"
#include "tests/support/tracks.h"

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
