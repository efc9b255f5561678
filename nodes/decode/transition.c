/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flat matrix of the one-state decoder (the same bias everywhere, gaps zeroed, rows normalised)
 * is the uniform step: the bias cancels.
 */
#include "nodes/decode/transition.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/decode/rows.h"
#include "nodes/host/lanes.h"

static bool is_valid(const struct fnx_transition_config *config)
{
	const uint32_t n_states = config->n_states;
	bool walks = false;

	if (config->n_bins == 0 || n_states == 0 || n_states > FNX_STATES_MAX)
		return false;
	for (uint32_t i = 0; i < n_states * n_states; i++) {
		if (config->steps[i] > FNX_STEP_IDENTITY)
			return false;
		walks |= config->steps[i] == FNX_STEP_RANDOM_WALK;
	}
	if (walks && !(config->random_walk_cm > 0.0))
		return false;
	if (walks && !config->distance_cm &&
		!(config->n_columns > 0 && config->n_bins % config->n_columns == 0 &&
			config->bin_cm > 0.0))
		return false;
	if (!(config->jump_probability >= 0.0 && config->jump_probability <= 1.0))
		return false;
	return n_states == 1 ||
		(config->discrete_diagonal >= 0.0 && config->discrete_diagonal <= 1.0);
}

static int walk_init(struct fnx_transition *transition, const struct fnx_transition_config *config)
{
	for (uint32_t i = 0; i < config->n_states * config->n_states; i++)
		transition->walks |= config->steps[i] == FNX_STEP_RANDOM_WALK;
	if (!transition->walks)
		return 0;
	transition->jump_probability = config->jump_probability;
	return fnx_walk_init(&transition->walk,
		&(struct fnx_walk_config){.n_bins = config->n_bins,
			.bin_arms = config->bin_arms,
			.distance_cm = config->distance_cm,
			.n_columns = config->n_columns,
			.bin_cm = config->bin_cm,
			.deviation_cm = config->random_walk_cm,
			.through_first_arm = config->through_first_arm,
			.form = config->walk_form});
}

int fnx_transition_init(
	struct fnx_transition *transition, const struct fnx_transition_config *config)
{
	const uint32_t n_states = config->n_states;
	int r;

	if (!is_valid(config))
		return -EINVAL;
	*transition = (struct fnx_transition){
		.n_bins = config->n_bins, .n_states = n_states, .rows = fnx_rows(fnx_processor())};
	transition->on_track = calloc(config->n_bins, sizeof(bool));
	transition->track = calloc(config->n_bins, sizeof(double));
	if (!transition->on_track || !transition->track) {
		fnx_transition_fini(transition);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->n_bins; i++) {
		transition->on_track[i] = config->bin_arms[i] >= 0;
		transition->track[i] = transition->on_track[i];
		transition->n_track += transition->on_track[i];
	}
	for (uint32_t j = 0; j < n_states; j++) {
		for (uint32_t k = 0; k < n_states; k++) {
			transition->steps[j][k] = config->steps[j * n_states + k];
			transition->discrete[j][k] = j == k
				? config->discrete_diagonal
				: (1.0 - config->discrete_diagonal) / (n_states - 1);
		}
	}
	if (n_states == 1)
		transition->discrete[0][0] = 1.0;
	if (transition->n_track == 0) {
		fnx_transition_fini(transition);
		return -EINVAL;
	}
	r = walk_init(transition, config);
	if (r < 0)
		fnx_transition_fini(transition);
	return r;
}

void fnx_transition_fini(struct fnx_transition *transition)
{
	free(transition->on_track);
	free(transition->track);
	fnx_walk_fini(&transition->walk);
	*transition = (struct fnx_transition){0};
}

/* `scratch` [n_bins] */
static double sum_on_track(
	const struct fnx_transition *transition, const double *x, double *scratch)
{
	return transition->rows->multiply(x, 1.0, transition->track, transition->n_bins, scratch);
}

size_t fnx_transition_scratch(uint32_t n_bins)
{
	return fnx_f64_padded(n_bins) + fnx_walk_scratch(n_bins);
}

/* Some walkers jump instead: what arrives anywhere of each. */
static double walk_into(const struct fnx_transition *transition, const double *walkers,
	double *scratch, double *ret_prior)
{
	const double jump = transition->jump_probability;

	fnx_walk_add(&transition->walk, walkers, 1.0 - jump, scratch, ret_prior);
	return jump == 0.0 ? 0.0 : jump * sum_on_track(transition, walkers, scratch);
}

void fnx_transition_predict(const struct fnx_transition *transition, const double *posterior,
	double *scratch, double *ret_prior)
{
	const uint32_t n = transition->n_bins;
	const double *restrict track = transition->track;
	double masses[FNX_STATES_MAX];
	double *walkers = scratch, *rest = scratch + fnx_f64_padded(n);

	for (uint32_t j = 0; j < transition->n_states; j++)
		masses[j] = sum_on_track(transition, posterior + (size_t)j * n, scratch);
	for (uint32_t k = 0; k < transition->n_states; k++) {
		double *restrict prior = ret_prior + (size_t)k * n;
		double anywhere = 0.0;
		bool walked = false;

		memset(prior, 0, n * sizeof(double));
		for (uint32_t j = 0; j < transition->n_states; j++) {
			const double *restrict from = posterior + (size_t)j * n;
			const double weight = transition->discrete[j][k];

			switch (transition->steps[j][k]) {
			case FNX_STEP_UNIFORM:
				anywhere += weight * masses[j];
				break;
			case FNX_STEP_RANDOM_WALK:
				if (!walked)
					memset(walkers, 0, n * sizeof(double));
				transition->rows->add_scaled(walkers, from, weight, n);
				walked = true;
				break;
			case FNX_STEP_IDENTITY:
				for (uint32_t i = 0; i < n; i++)
					prior[i] += weight * track[i] * from[i];
				break;
			}
		}
		if (walked)
			anywhere += walk_into(transition, walkers, rest, prior);
		anywhere /= transition->n_track;
		transition->rows->add_scaled(prior, track, anywhere, n);
	}
}

static bool is_walked_into(const struct fnx_transition *transition, uint32_t k)
{
	bool walked = false;

	for (uint32_t j = 0; j < transition->n_states; j++)
		walked |= transition->steps[j][k] == FNX_STEP_RANDOM_WALK;
	return walked;
}

void fnx_transition_back(const struct fnx_transition *transition, const double *after,
	double *scratch, double *ret_before)
{
	const uint32_t n = transition->n_bins, n_states = transition->n_states;
	const double *track = transition->track;
	double *walked = scratch, *rest = scratch + fnx_f64_padded(n);

	memset(ret_before, 0, (size_t)n_states * n * sizeof(double));
	for (uint32_t k = 0; k < n_states; k++) {
		const double *to = after + (size_t)k * n;
		const double mean = sum_on_track(transition, to, rest) / transition->n_track;
		const double jump = transition->jump_probability;

		memset(walked, 0, n * sizeof(double));
		if (is_walked_into(transition, k)) {
			fnx_walk_add_back(&transition->walk, to, 1.0 - jump, rest, walked);
			transition->rows->add_scaled(walked, track, jump * mean, n);
		}
		for (uint32_t j = 0; j < n_states; j++) {
			const double weight = transition->discrete[j][k];
			double *before = ret_before + (size_t)j * n;

			switch (transition->steps[j][k]) {
			case FNX_STEP_UNIFORM:
				transition->rows->add_scaled(before, track, weight * mean, n);
				break;
			case FNX_STEP_RANDOM_WALK:
				transition->rows->add_scaled(before, walked, weight, n);
				break;
			case FNX_STEP_IDENTITY:
				for (uint32_t i = 0; i < n; i++)
					before[i] += weight * track[i] * to[i];
				break;
			}
		}
	}
}

void fnx_transition_parity_distances(
	uint32_t n_bins, const int32_t *bin_arms, double bin_cm, double *ret_distance_cm)
{
	uint32_t arm_0_end = 0;

	for (uint32_t i = 0; i < n_bins; i++)
		if (bin_arms[i] == 0)
			arm_0_end = i;
	/* The diagonal holds the coordinates until the distances replace them. */
	for (uint32_t i = 0, first = 0; i < n_bins; i++) {
		double *coordinate = &ret_distance_cm[(size_t)i * n_bins + i];

		if (i == 0 || bin_arms[i] != bin_arms[i - 1])
			first = i;
		*coordinate = (i - first) * bin_cm;
		if (bin_arms[i] < 0)
			*coordinate = NAN;
		else if (bin_arms[i] != 0)
			*coordinate += arm_0_end * bin_cm + bin_cm;
	}
	for (uint32_t i = 0; i < n_bins; i++)
		for (uint32_t j = 0; j < n_bins; j++)
			if (i != j)
				ret_distance_cm[(size_t)i * n_bins + j] =
					fabs(ret_distance_cm[(size_t)i * n_bins + i] -
						ret_distance_cm[(size_t)j * n_bins + j]);
	for (uint32_t i = 0; i < n_bins; i++)
		ret_distance_cm[(size_t)i * n_bins + i] *= 0.0;
}
