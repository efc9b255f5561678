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
	if (walks && (!config->distance_cm || !(config->random_walk_cm > 0.0)))
		return false;
	if (!(config->jump_probability >= 0.0 && config->jump_probability <= 1.0))
		return false;
	return n_states == 1 ||
		(config->discrete_diagonal >= 0.0 && config->discrete_diagonal <= 1.0);
}

static bool can_reach(const struct fnx_transition_config *config, uint32_t from, uint32_t to)
{
	const int32_t a = config->bin_arms[from], b = config->bin_arms[to];

	if (a < 0 || b < 0)
		return false;
	return !config->through_first_arm || a == 0 || b == 0 || a == b;
}

static void walk_row(struct fnx_transition *transition, const struct fnx_transition_config *config,
	uint32_t from)
{
	const uint32_t n = config->n_bins;
	double *row = transition->random_walk + (size_t)from * n;
	double sum = 0.0;

	for (uint32_t to = 0; to < n; to++) {
		const double z =
			config->distance_cm[(size_t)from * n + to] / config->random_walk_cm;

		row[to] = can_reach(config, from, to) && !isnan(z) ? exp(-0.5 * z * z) : 0.0;
		sum += row[to];
	}
	for (uint32_t to = 0; to < n && sum > 0.0; to++) {
		row[to] = (1.0 - config->jump_probability) * (row[to] / sum);
		if (transition->on_track[to])
			row[to] += config->jump_probability / transition->n_track;
	}
}

static int walk_init(struct fnx_transition *transition, const struct fnx_transition_config *config)
{
	const size_t n = config->n_bins;
	bool walks = false;

	for (uint32_t i = 0; i < config->n_states * config->n_states; i++)
		walks |= config->steps[i] == FNX_STEP_RANDOM_WALK;
	if (!walks)
		return 0;
	transition->random_walk = calloc(n * n, sizeof(double));
	if (!transition->random_walk)
		return -ENOMEM;
	for (uint32_t from = 0; from < n; from++)
		walk_row(transition, config, from);
	return 0;
}

int fnx_transition_init(
	struct fnx_transition *transition, const struct fnx_transition_config *config)
{
	const uint32_t n_states = config->n_states;

	if (!is_valid(config))
		return -EINVAL;
	*transition = (struct fnx_transition){.n_bins = config->n_bins, .n_states = n_states};
	transition->on_track = calloc(config->n_bins, sizeof(bool));
	if (!transition->on_track)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->n_bins; i++) {
		transition->on_track[i] = config->bin_arms[i] >= 0;
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
	if (walk_init(transition, config) < 0) {
		fnx_transition_fini(transition);
		return -ENOMEM;
	}
	return 0;
}

void fnx_transition_fini(struct fnx_transition *transition)
{
	free(transition->on_track);
	free(transition->random_walk);
	*transition = (struct fnx_transition){0};
}

static void add_scaled(double *restrict sum, const double *restrict x, double factor, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum[i] += factor * x[i];
}

/* A bin that holds nothing sends nothing anywhere: at rest most of the track is skipped. */
static void add_walk(
	const struct fnx_transition *transition, const double *walkers, double *restrict prior)
{
	const uint32_t n = transition->n_bins;

	for (uint32_t from = 0; from < n; from++)
		if (walkers[from] != 0.0)
			add_scaled(prior, transition->random_walk + (size_t)from * n, walkers[from],
				n);
}

void fnx_transition_predict(const struct fnx_transition *transition, const double *posterior,
	double *scratch, double *ret_prior)
{
	const uint32_t n = transition->n_bins;

	for (uint32_t k = 0; k < transition->n_states; k++) {
		double *prior = ret_prior + (size_t)k * n;
		double anywhere = 0.0;
		bool walked = false;

		memset(prior, 0, n * sizeof(double));
		memset(scratch, 0, n * sizeof(double));
		for (uint32_t j = 0; j < transition->n_states; j++) {
			const double *from = posterior + (size_t)j * n;
			const double weight = transition->discrete[j][k];

			switch (transition->steps[j][k]) {
			case FNX_STEP_UNIFORM:
				for (uint32_t i = 0; i < n; i++)
					anywhere +=
						transition->on_track[i] ? weight * from[i] : 0.0;
				break;
			case FNX_STEP_RANDOM_WALK:
				add_scaled(scratch, from, weight, n);
				walked = true;
				break;
			case FNX_STEP_IDENTITY:
				for (uint32_t i = 0; i < n; i++)
					prior[i] +=
						transition->on_track[i] ? weight * from[i] : 0.0;
				break;
			}
		}
		if (walked)
			add_walk(transition, scratch, prior);
		for (uint32_t i = 0; i < n; i++)
			prior[i] += transition->on_track[i] ? anywhere / transition->n_track : 0.0;
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
