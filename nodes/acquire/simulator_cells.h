/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated place cells, spread over electrode groups, and the background activity between
 * them.
 *
 * A cell has a place field, a Gaussian of the distance along the track around its centre, and a
 * mark, its mean amplitude on each channel of its group. Centres divide the track evenly among all
 * cells and again among those of each group; marks of a group's cells lie as far apart as chance
 * allows. Cells fire as Poisson processes, in step with theta while the animal runs.
 *
 * The group's acquisition is locked out while a waveform lasts, so a group's spikes are never
 * nearer to each other than that. No allocation after init.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodes/acquire/simulator_random.h"
#include "nodes/host/track.h"

struct fnx_sim_group {
	uint32_t id;
	uint32_t n_channels;
	int64_t locked_until; /* sample time */
};

struct fnx_sim_cells_config {
	const struct fnx_track *track; /* needed by init only */
	const struct fnx_sim_noise *noise; /* must outlive the cells */
	uint64_t seed;
	double clock_hz;
	double place_field_cm; /* standard deviation */
	double peak_rate_hz;
	double background_rate_hz; /* of each group */
	double noise_uv; /* of each sample of a waveform */
	double uv_per_count;
	uint32_t cells_per_group;
	uint32_t n_points; /* samples per waveform */
	uint32_t n_groups;
	const struct fnx_sim_group *groups; /* [n_groups], copied */
};

struct fnx_sim_cell {
	uint32_t bin; /* centre of its place field */
	float theta_sin, theta_cos; /* of the phase it prefers */
	float *amplitudes_uv; /* [channels of its group] */
};

struct fnx_sim_cells {
	struct fnx_sim_cells_config config;
	struct fnx_sim_random random, waveform_random;
	struct fnx_sim_group *groups;
	struct fnx_sim_cell *cells; /* [n_groups][cells_per_group] */
	uint32_t n_cells;
	uint32_t n_channels_max;
	float *amplitudes_uv;
	float *shape; /* [n_points], largest value 1 */
	float *waveform; /* [n_channels_max][n_points] */
	uint32_t n_bins;
	float *rates_hz; /* [n_bins][n_cells], summed from the first cell on */
	double background_hz; /* of all groups */
	double until_spike; /* expected spikes until the next */
};

/* One tick, as far as the cells are concerned. */
struct fnx_sim_drive {
	int64_t start; /* samples */
	uint32_t n_samples;
	int32_t bin; /* whose cells fire, -1: none */
	double rate; /* times their rate at `bin` */
	double theta_depth; /* 0..1 */
	float theta_sin, theta_cos; /* of the phase */
};

/* A spike that has been drawn. */
struct fnx_sim_spike {
	int64_t time;
	uint32_t group; /* index */
	int32_t cell; /* of the group, -1: background */
};

/* -EINVAL: no groups, channels or points, or no bins; -ENOMEM. Not real-time. */
int fnx_sim_cells_init(struct fnx_sim_cells *cells, const struct fnx_sim_cells_config *config);
void fnx_sim_cells_fini(struct fnx_sim_cells *cells);

/* Next spike of the tick, in order of time; false: the tick has no more. `*position` is 0 at the
 * first call for a tick and belongs to the function afterwards. */
bool fnx_sim_cells_next(struct fnx_sim_cells *cells, const struct fnx_sim_drive *drive,
	double *position, struct fnx_sim_spike *ret_spike);

/* Waveform of a spike in counts, [n_channels of its group][n_points], valid until the next call. */
const float *fnx_sim_cells_waveform(struct fnx_sim_cells *cells, const struct fnx_sim_spike *spike);
