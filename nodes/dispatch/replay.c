/* SPDX-License-Identifier: BSD-3-Clause */
/* Four sliding windows in one ring: masses of arms, mass of the target region, groups by number of
 * spikes. What a bin brought in is kept with it, so that exactly this is taken out when it leaves.
 */
#include "nodes/dispatch/replay.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/fetch.h"
#include "bus/journal.h"

enum {
	FETCHED_MAX = 256, /* counts */
};

/* Whole numbers of 2^-48: 13 bits are left for the window and one for the sign. */
#define UNIT 281474976710656.0
#define MASS_MAX (1 + 1e-6) /* posteriors sum to 1 up to rounding */

/* What the window comes to. */
struct moment {
	int64_t target_sum;
	int64_t arm_sums[FNX_TRACK_ARMS_MAX];
	uint32_t at; /* entry of the ring that the next bin takes: the oldest */
	uint32_t n_filled; /* bins in the window */
	uint32_t n_distinct; /* groups whose count is not 0 */
	int32_t was_true;
};

struct fnx_replay {
	struct fnx_replay_config config;
	int64_t threshold, other_arms_below; /* for a sum over the whole window */
	/* In one stretch, the config's memory or our own. */
	struct moment *now;
	int64_t *targets; /* [window_bins] */
	int64_t *arms; /* [window_bins][n_arms] */
	uint32_t *n_spikes; /* [window_bins] */
	uint32_t *groups; /* [window_bins][n_recent] */
	uint32_t *counts; /* [n_groups] good spikes within the window */
	void *owned;
};

/* Masses ---------------------------------------------------------------------------------- */

static double mass_of(
	const double *posterior, uint32_t n_states, uint32_t n_bins, uint32_t first, uint32_t end)
{
	double sum = 0;

	for (uint32_t state = 0; state < n_states; state++)
		for (uint32_t bin = first; bin < end; bin++)
			sum += posterior[(size_t)state * n_bins + bin];
	return sum;
}

static int is_mass(double mass)
{
	return mass >= 0 && mass <= MASS_MAX;
}

int fnx_masses_of(const struct fnx_track *track, const double *posterior, uint32_t n_states,
	struct fnx_masses *ret_masses)
{
	const struct fnx_track_config *config = fnx_track_config(track);
	uint32_t n_bins = fnx_track_bins(track);
	struct fnx_masses masses = {0};
	double total = 0;

	for (uint32_t k = 0; k < config->n_arms; k++) {
		const struct fnx_track_arm_config *arm = &config->arms[k];
		uint32_t end = arm->last_bin + 1;

		masses.arm[k] = mass_of(posterior, n_states, n_bins, arm->first_bin, end);
		masses.target[k] = mass_of(posterior, n_states, n_bins, end - arm->n_target, end);
		total += masses.arm[k];
		if (!is_mass(masses.arm[k]) || !is_mass(masses.target[k]))
			return -EINVAL;
	}
	if (!is_mass(total))
		return -EINVAL;
	*ret_masses = masses;
	return 0;
}

/* A rule's window ------------------------------------------------------------------------- */

static int64_t units(double mass)
{
	return llrint(mass * UNIT);
}

static int in_range(double value, double max)
{
	return value >= 0 && value <= max;
}

int fnx_replay_set(struct fnx_replay *replay, const struct fnx_replay_params *params)
{
	const uint32_t window_bins = replay->config.window_bins;

	if (!in_range(params->threshold, 1) || !in_range(params->other_arms_below, 1) ||
		!in_range(params->max_centre_distance_cm, HUGE_VAL) ||
		!in_range(params->max_speed_cm_s, HUGE_VAL))
		return -EINVAL;
	replay->config.params = *params;
	/* Each bin's mass is rounded, and so is the product: one unit per bin is more than all
	 * that. */
	replay->threshold = units(params->threshold * window_bins) + window_bins;
	replay->other_arms_below = units(params->other_arms_below * window_bins) - window_bins;
	return 0;
}

static int is_valid(const struct fnx_replay_config *config)
{
	return config->n_arms && config->n_arms <= FNX_TRACK_ARMS_MAX &&
		config->arm < config->n_arms && config->window_bins &&
		config->window_bins <= FNX_REPLAY_WINDOW_MAX && config->n_groups &&
		config->n_groups <= FNX_REPLAY_GROUPS_MAX && config->n_recent &&
		config->n_recent <= FNX_REPLAY_RECENT_MAX;
}

size_t fnx_replay_memory_size(const struct fnx_replay_config *config)
{
	const size_t window = config->window_bins;

	if (!is_valid(config))
		return 0;
	return sizeof(struct moment) + window * (1 + config->n_arms) * sizeof(int64_t) +
		(window * (1 + config->n_recent) + config->n_groups) * sizeof(uint32_t);
}

static void lay_out(struct fnx_replay *replay, void *memory)
{
	const struct fnx_replay_config *config = &replay->config;

	replay->now = memory;
	replay->targets = (int64_t *)(void *)(replay->now + 1);
	replay->arms = replay->targets + config->window_bins;
	replay->n_spikes =
		(uint32_t *)(void *)(replay->arms + (size_t)config->window_bins * config->n_arms);
	replay->groups = replay->n_spikes + config->window_bins;
	replay->counts = replay->groups + (size_t)config->window_bins * config->n_recent;
}

static void clear(struct fnx_replay *replay)
{
	memset(replay->now, 0, fnx_replay_memory_size(&replay->config));
	replay->now->n_filled = replay->config.begin_full ? replay->config.window_bins : 0;
}

void fnx_replay_reset(struct fnx_replay *replay)
{
	fnx_journal_touch(
		replay->config.journal, replay->now, fnx_replay_memory_size(&replay->config));
	clear(replay);
}

/* What a predecessor left may be any bytes: what counts or indexes must be in range. */
static int is_sound(const struct fnx_replay *replay)
{
	const struct fnx_replay_config *config = &replay->config;

	if (replay->now->at >= config->window_bins || replay->now->n_filled > config->window_bins)
		return 0;
	for (uint32_t i = 0; i < config->window_bins; i++) {
		if (replay->n_spikes[i] > config->n_recent)
			return 0;
		for (uint32_t k = 0; k < replay->n_spikes[i]; k++)
			if (replay->groups[(size_t)i * config->n_recent + k] >= config->n_groups)
				return 0;
	}
	return 1;
}

int fnx_replay_new(const struct fnx_replay_config *config, struct fnx_replay **ret_replay)
{
	struct fnx_replay *replay;
	int r;

	if (!is_valid(config))
		return -EINVAL;
	replay = calloc(1, sizeof(*replay));
	if (!replay)
		return -ENOMEM;
	replay->config = *config;
	if (!config->memory)
		replay->owned = malloc(fnx_replay_memory_size(config));
	lay_out(replay, config->memory ? config->memory : replay->owned);
	r = replay->now ? fnx_replay_set(replay, &config->params) : -ENOMEM;
	if (!r && (!config->memory || !config->resumed))
		clear(replay);
	if (!r && !is_sound(replay))
		r = -EBADMSG;
	if (r) {
		fnx_replay_free(replay);
		return r;
	}
	*ret_replay = replay;
	return 0;
}

struct fnx_replay *fnx_replay_free(struct fnx_replay *replay)
{
	if (!replay)
		return NULL;
	free(replay->owned);
	free(replay);
	return NULL;
}

/* Before the entry of the ring that is oldest, and what the window comes to, change. */
static void touch(struct fnx_replay *replay)
{
	const struct fnx_replay_config *config = &replay->config;
	struct fnx_journal *journal = config->journal;
	const size_t at = replay->now->at;

	fnx_journal_touch(journal, replay->now, sizeof(*replay->now));
	fnx_journal_touch(journal, &replay->targets[at], sizeof(int64_t));
	fnx_journal_touch(
		journal, &replay->arms[at * config->n_arms], config->n_arms * sizeof(int64_t));
	fnx_journal_touch(journal, &replay->n_spikes[at], sizeof(uint32_t));
	fnx_journal_touch(journal, &replay->groups[at * config->n_recent],
		config->n_recent * sizeof(uint32_t));
}

static uint32_t *count_of(struct fnx_replay *replay, uint32_t group)
{
	fnx_journal_touch(replay->config.journal, &replay->counts[group], sizeof(uint32_t));
	return &replay->counts[group];
}

/* The oldest bin leaves. */
static void leave(struct fnx_replay *replay)
{
	const struct fnx_replay_config *config = &replay->config;
	const uint32_t *groups = replay->groups + (size_t)replay->now->at * config->n_recent;

	replay->now->target_sum -= replay->targets[replay->now->at];
	for (uint32_t k = 0; k < config->n_arms; k++)
		replay->now->arm_sums[k] -=
			replay->arms[(size_t)replay->now->at * config->n_arms + k];
	for (uint32_t i = 0; i < replay->n_spikes[replay->now->at]; i++)
		if (!--*count_of(replay, groups[i]))
			replay->now->n_distinct--;
}

/* The new bin takes its place. */
static void enter(struct fnx_replay *replay, const struct fnx_replay_bin *bin)
{
	const struct fnx_replay_config *config = &replay->config;
	uint32_t *groups = replay->groups + (size_t)replay->now->at * config->n_recent;
	int64_t *arms = replay->arms + (size_t)replay->now->at * config->n_arms;
	uint32_t n = 0;

	replay->now->target_sum += replay->targets[replay->now->at] =
		units(bin->masses->target[config->arm]);
	for (uint32_t k = 0; k < config->n_arms; k++)
		replay->now->arm_sums[k] += arms[k] = units(bin->masses->arm[k]);
	for (uint32_t i = 0; i < bin->n_groups && i < config->n_recent; i++) {
		if (bin->groups[i] >= config->n_groups)
			continue;
		groups[n++] = bin->groups[i];
		if (!(*count_of(replay, bin->groups[i]))++)
			replay->now->n_distinct++;
	}
	replay->n_spikes[replay->now->at] = n;
}

static int64_t other_sum(const struct fnx_replay *replay)
{
	int64_t highest = 0;

	for (uint32_t k = 0; k < replay->config.n_arms; k++)
		if (k != replay->config.arm && replay->now->arm_sums[k] > highest)
			highest = replay->now->arm_sums[k];
	return highest;
}

/* Not knowing where the animal is, or how fast, does not let a rule through. */
static int let_through(const struct fnx_replay_params *params, const struct fnx_replay_bin *bin)
{
	if (params->max_centre_distance_cm > 0 &&
		!(bin->centre_distance_cm <= params->max_centre_distance_cm))
		return 0;
	return params->max_speed_cm_s == 0 || fabs(bin->speed_cm_s) < params->max_speed_cm_s;
}

int fnx_replay_step(struct fnx_replay *replay, const struct fnx_replay_bin *bin,
	struct fnx_replay_evidence *ret_evidence)
{
	const struct fnx_replay_config *config = &replay->config;
	double window = UNIT * config->window_bins;
	int64_t other;
	int is_true;

	if (!bin->masses) {
		fnx_replay_reset(replay);
		*ret_evidence = (struct fnx_replay_evidence){0};
		return 0;
	}
	touch(replay);
	leave(replay);
	enter(replay, bin);
	replay->now->at = replay->now->at + 1 == config->window_bins ? 0 : replay->now->at + 1;
	if (replay->now->n_filled < config->window_bins)
		replay->now->n_filled++;
	other = other_sum(replay);
	is_true = replay->now->n_filled == config->window_bins &&
		replay->now->target_sum > replay->threshold &&
		(config->n_arms == 1 || other < replay->other_arms_below) &&
		replay->now->n_distinct >= config->params.min_groups &&
		let_through(&config->params, bin);
	*ret_evidence = (struct fnx_replay_evidence){
		.target_mass = (double)replay->now->target_sum / window,
		.other_mass = (double)other / window,
		.n_groups = replay->now->n_distinct,
		.rose = is_true && !replay->now->was_true,
	};
	replay->now->was_true = is_true;
	return is_true;
}

void fnx_replay_fetch(const struct fnx_replay *replay)
{
	const struct fnx_replay_config *config = &replay->config;
	const size_t at = replay->now->at;

	fnx_fetch(replay, sizeof(*replay));
	fnx_fetch(replay->now, sizeof(*replay->now));
	fnx_fetch(&replay->targets[at], sizeof(replay->targets[0]));
	fnx_fetch(&replay->arms[at * config->n_arms], config->n_arms * sizeof(replay->arms[0]));
	fnx_fetch(&replay->n_spikes[at], sizeof(replay->n_spikes[0]));
	fnx_fetch(&replay->groups[at * config->n_recent],
		config->n_recent * sizeof(replay->groups[0]));
	fnx_fetch(replay->counts,
		(config->n_groups < FETCHED_MAX ? config->n_groups : FETCHED_MAX) *
			sizeof(replay->counts[0]));
}
