/* SPDX-License-Identifier: BSD-3-Clause */
/* From the rig to the decoder's transition: what the decode node runs and the smoother goes back
 * through. */
#pragma once

#include "nodes/decode/transition.h"
#include "nodes/host/rig.h"
#include "nodes/host/smoothing.h"
#include "nodes/host/track.h"

struct fnx_decode_setup {
	uint32_t n_bins, n_states;
	enum fnx_step steps[FNX_STATES_MAX * FNX_STATES_MAX];
	double *distance_cm; /* [n_bins][n_bins], NULL: a grid */
	struct fnx_smoothing *smoothing; /* NULL: none */
	struct fnx_transition_config transition; /* points into this struct and the track */
};

/* `track` must outlive it, and it must not move. -ENOMEM. Not real-time. */
int fnx_decode_setup_init(
	struct fnx_decode_setup *setup, const struct fnx_rig *rig, const struct fnx_track *track);
void fnx_decode_setup_fini(struct fnx_decode_setup *setup);
