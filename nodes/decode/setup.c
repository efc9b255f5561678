/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/setup.h"

#include <errno.h>
#include <stdlib.h>

/* A grid needs none: its distances are known from its columns. */
static int init_distances(
	struct fnx_decode_setup *setup, const struct fnx_rig *rig, const struct fnx_track *track)
{
	const size_t n = setup->n_bins;

	if (rig->track.grid.columns && !rig->parity)
		return 0;
	setup->distance_cm = malloc(n * n * sizeof(double));
	if (!setup->distance_cm)
		return -ENOMEM;
	if (rig->parity) {
		fnx_transition_parity_distances((uint32_t)n, fnx_track_bin_arms(track),
			rig->track.bin_cm, setup->distance_cm);
		return 0;
	}
	for (uint32_t a = 0; a < n; a++)
		for (uint32_t b = 0; b < n; b++)
			setup->distance_cm[a * n + b] = fnx_track_distance_cm(track, a, b);
	return 0;
}

static enum fnx_step step_of(enum fnx_transition_kind kind)
{
	return kind == FNX_TRANSITION_UNIFORM     ? FNX_STEP_UNIFORM
		: kind == FNX_TRANSITION_IDENTITY ? FNX_STEP_IDENTITY
						  : FNX_STEP_RANDOM_WALK;
}

static void choose_steps(struct fnx_decode_setup *setup, const struct fnx_rig_decode *config)
{
	setup->n_states = 1;
	setup->steps[0] = step_of(config->transition);
	if (config->algorithm != FNX_DECODE_CLASSIFIER)
		return;
	setup->n_states = config->n_states;
	for (uint32_t j = 0; j < config->n_states; j++)
		for (uint32_t k = 0; k < config->n_states; k++)
			setup->steps[j * config->n_states + k] =
				step_of(config->continuous[j].to[k]);
}

int fnx_decode_setup_init(
	struct fnx_decode_setup *setup, const struct fnx_rig *rig, const struct fnx_track *track)
{
	const struct fnx_rig_decode *config = &rig->decode;
	int r;

	*setup = (struct fnx_decode_setup){.n_bins = fnx_track_bins(track)};
	r = init_distances(setup, rig, track);
	if (!r && rig->encode.position_smoothing_cm > 0)
		r = fnx_smoothing_new_track(
			track, rig->encode.position_smoothing_cm, &setup->smoothing);
	if (r) {
		fnx_decode_setup_fini(setup);
		return r;
	}
	choose_steps(setup, config);
	setup->transition = (struct fnx_transition_config){
		.n_bins = setup->n_bins,
		.bin_arms = fnx_track_bin_arms(track),
		.n_states = setup->n_states,
		.steps = setup->steps,
		.discrete_diagonal = setup->n_states > 1 ? config->discrete_diagonal : 1.0,
		.distance_cm = setup->distance_cm,
		.n_columns = rig->track.grid.columns,
		.bin_cm = rig->track.bin_cm,
		.random_walk_cm = config->random_walk_cm,
		.through_first_arm = rig->parity,
		.jump_probability = rig->parity ? 0 : config->jump_probability,
	};
	return 0;
}

void fnx_decode_setup_fini(struct fnx_decode_setup *setup)
{
	free(setup->distance_cm);
	setup->distance_cm = NULL;
	setup->smoothing = fnx_smoothing_free(setup->smoothing);
}
