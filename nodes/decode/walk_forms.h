/* SPDX-License-Identifier: BSD-3-Clause */
/* The two forms of a random walk, see walk.h. Not for others to include. */
#pragma once

#include "nodes/decode/walk.h"

/* Bands: 0 or -ENOMEM. */
int fnx_walk_band_new(const struct fnx_walk_config *config, struct fnx_walk_band **ret_band);
struct fnx_walk_band *fnx_walk_band_free(struct fnx_walk_band *band);
void fnx_walk_band_add(
	const struct fnx_walk_band *band, const double *walkers, double factor, double *ret_to);
void fnx_walk_band_add_back(
	const struct fnx_walk_band *band, const double *arriving, double factor, double *ret_from);
/* Products that one add takes at most; for all of this track's walks, no memory is taken. */
double fnx_walk_band_products(const struct fnx_walk_config *config);

/* Exponentials: 0; -EINVAL: the track has no such structure; -ENOMEM. */
int fnx_walk_sweep_new(const struct fnx_walk_config *config, struct fnx_walk_sweep **ret_sweep);
struct fnx_walk_sweep *fnx_walk_sweep_free(struct fnx_walk_sweep *sweep);
void fnx_walk_sweep_add(const struct fnx_walk_sweep *sweep, const double *walkers, double factor,
	double *scratch, double *ret_to);

void fnx_walk_sweep_add_back(const struct fnx_walk_sweep *sweep, const double *arriving,
	double factor, double *scratch, double *ret_from);

/* Weight before the row is divided by its sum: the Gaussian, 0 where the walk cannot lead. */
double fnx_walk_weight(const struct fnx_walk_config *config, uint32_t from, uint32_t to);
