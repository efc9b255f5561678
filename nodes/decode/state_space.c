/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the time does not go: the silence of all groups is one exponential per position bin,
 * because the exponents add up, and is kept while nothing changes; a spike is one pass over the
 * bins, which multiplies, scales by the previous sum and adds up the next.
 *
 * What the decoder knows is in one piece of memory:
 *
 *	header | occupancy | rates [n_groups][n_bins] | expected [n_bins] | posterior
 */
#include "nodes/decode/state_space.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"
#include "nodes/decode/rows.h"
#include "nodes/host/credible.h"
#include "nodes/host/lanes.h"
#include "nodes/host/smoothing.h"

enum {
	WORK_ROWS = 3, /* as fnx_transition_scratch */
	TOUCHES = 6, /* of a tick and a position sample, beside those of the spikes */
};

/* Says for which configuration the memory is. */
struct header {
	uint32_t n_bins, n_states, n_groups, rates_hz;
	uint8_t unused[48];
};

static_assert(sizeof(struct header) == 64, "what follows it is aligned");

static bool has_options(const struct fnx_state_space_config *config)
{
	return config->rates_hz || config->rates_while_training || config->duplicates_per_group ||
		config->log_space || config->likelihood_floor != 0.0 ||
		config->occupancy_floor != 0.0 || config->smoothing ||
		config->transition.jump_probability != 0.0;
}

static bool is_valid(const struct fnx_state_space_config *config)
{
	return config->transition.n_bins > 0 && config->transition.n_states > 0 &&
		config->transition.n_states <= FNX_STATES_MAX && config->n_groups > 0 &&
		config->max_spikes > 0 && config->time_bin_s > 0.0 &&
		isfinite(config->time_bin_s) && config->credible_mass >= 0.0 &&
		config->likelihood_floor >= 0.0 && config->likelihood_floor < 1.0 &&
		config->occupancy_floor >= 0.0 &&
		(!config->rates_hz || config->position_sample_s > 0.0) &&
		!(config->parity && has_options(config));
}

/* Memory
 * --------------------------------------------------------------------------------------------- */

static size_t row_size(const struct fnx_state_space_config *config)
{
	return fnx_f64_padded(config->transition.n_bins) * sizeof(double);
}

static size_t doubles_size(size_t n)
{
	return fnx_f64_padded(n) * sizeof(double);
}

size_t fnx_state_space_memory_size(const struct fnx_state_space_config *config)
{
	const size_t n_bins = config->transition.n_bins, n_states = config->transition.n_states;

	if (!is_valid(config))
		return 0;
	return sizeof(struct header) + fnx_occupancy_memory_size((uint32_t)n_bins) +
		doubles_size(config->n_groups * n_bins) + row_size(config) +
		doubles_size(n_states * n_bins);
}

size_t fnx_state_space_journal_size(const struct fnx_state_space_config *config)
{
	const size_t n_bins = config->transition.n_bins, n_states = config->transition.n_states;
	/* Posterior; counts and smoothed counts; expected; a rate for each spike. */
	const size_t n_doubles = n_states * n_bins + 3 * n_bins + config->max_spikes;

	return fnx_journal_log_size(
		TOUCHES + config->max_spikes, n_doubles * sizeof(double) + sizeof(uint64_t));
}

static void place(struct fnx_state_space *space, void *memory)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n_bins = config->transition.n_bins;
	char *at = (char *)memory + sizeof(struct header) +
		fnx_occupancy_memory_size((uint32_t)n_bins);

	space->rates = (double *)at;
	at += doubles_size(config->n_groups * n_bins);
	space->expected = (double *)at;
	at += row_size(config);
	space->posterior = (double *)at;
}

static void touch(struct fnx_state_space *space, const double *at, size_t n)
{
	fnx_journal_touch(space->journal, at, n * sizeof(double));
}

static void *zeroed(size_t n, size_t size)
{
	const size_t bytes = (n * size + FNX_LANES_ALIGN - 1) / FNX_LANES_ALIGN * FNX_LANES_ALIGN;
	void *memory = aligned_alloc(FNX_LANES_ALIGN, bytes);

	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

static int allocate(struct fnx_state_space *space)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n_bins = config->transition.n_bins, n_states = config->transition.n_states;

	space->likelihood = zeroed(n_bins, sizeof(double));
	space->prior = zeroed(n_states * n_bins, sizeof(double));
	space->occupied = zeroed(n_bins, sizeof(double));
	space->work = zeroed(WORK_ROWS * fnx_f64_padded(n_bins), sizeof(double));
	space->order = zeroed(2 * (size_t)config->max_spikes, sizeof(uint32_t));
	if (!space->likelihood || !space->prior || !space->occupied || !space->work ||
		!space->order)
		return -ENOMEM;
	return fnx_silence_init(
		&space->silence, config->n_groups, (uint32_t)n_bins, !config->rates_hz);
}

/* Spikes per bin of all groups, smoothed if so configured. */
static void count_expected(struct fnx_state_space *space)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n = config->transition.n_bins;

	touch(space, space->expected, n);
	memset(space->expected, 0, n * sizeof(double));
	for (size_t g = 0; g < config->n_groups; g++) {
		for (size_t from = 0; from < n; from++) {
			const double count = space->rates[g * n + from];

			if (!config->smoothing)
				space->expected[from] += count;
			else if (count != 0.0)
				fnx_smoothing_add(
					config->smoothing, (uint32_t)from, count, space->expected);
		}
	}
}

static void derive_shares(struct fnx_state_space *space)
{
	const size_t n = space->transition.n_bins;

	for (uint32_t g = 0; !space->config.rates_hz && g < space->config.n_groups; g++)
		fnx_silence_change(&space->silence, g, space->rates + g * n);
	space->silence.stale = true;
}

static void begin(struct fnx_state_space *space, struct header *header)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n = (size_t)config->n_groups * config->transition.n_bins;

	for (size_t i = 0; i < n; i++)
		space->rates[i] = config->rates_hz ? 0.0 : 1.0;
	fnx_state_space_forget(space);
	*header = (struct header){.n_bins = config->transition.n_bins,
		.n_states = config->transition.n_states,
		.n_groups = config->n_groups,
		.rates_hz = config->rates_hz};
}

static bool are_counts(const double *counts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(counts[i] >= 0.0 && isfinite(counts[i])))
			return false;
	return true;
}

/* Of a posterior in parity NaN is expected. */
static bool is_sound(const struct fnx_state_space *space, const struct header *header)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n = config->transition.n_bins, n_states = config->transition.n_states;

	return header->n_bins == n && header->n_states == n_states &&
		header->n_groups == config->n_groups && header->rates_hz == config->rates_hz &&
		are_counts(space->rates, config->n_groups * n) && are_counts(space->expected, n) &&
		(config->parity || are_counts(space->posterior, n_states * n));
}

static int init_parts(struct fnx_state_space *space, void *memory, bool resumed)
{
	const struct fnx_state_space_config *config = &space->config;
	int r = fnx_transition_init(&space->transition, &config->transition);

	if (r == 0)
		r = fnx_occupancy_init_in(&space->occupancy,
			&(struct fnx_occupancy_config){.n_bins = config->transition.n_bins,
				.bin_arms = config->transition.bin_arms,
				.initial = 1.0,
				.parity = config->parity,
				.floor = config->occupancy_floor,
				.smoothing = config->smoothing},
			(char *)memory + sizeof(struct header), resumed, space->journal);
	if (r == 0)
		r = allocate(space);
	return r;
}

int fnx_state_space_init_in(struct fnx_state_space *space,
	const struct fnx_state_space_config *config, void *memory, bool resumed,
	struct fnx_journal *journal)
{
	int r;

	if (!is_valid(config))
		return -EINVAL;
	*space = (struct fnx_state_space){
		.config = *config, .journal = journal, .rows = fnx_rows(fnx_processor())};
	place(space, memory);
	r = init_parts(space, memory, resumed);
	if (r == 0 && resumed && !is_sound(space, memory))
		r = -EBADMSG;
	if (r < 0) {
		fnx_state_space_fini(space);
		return r;
	}
	/* Only what the transition has copied remains valid. */
	space->config.transition.bin_arms = NULL;
	space->config.transition.steps = NULL;
	space->config.transition.distance_cm = NULL;
	if (!resumed)
		begin(space, memory);
	derive_shares(space);
	return 0;
}

int fnx_state_space_init(struct fnx_state_space *space, const struct fnx_state_space_config *config)
{
	const size_t size = fnx_state_space_memory_size(config);
	void *memory;
	int r;

	if (size == 0)
		return -EINVAL;
	memory = zeroed(size, 1);
	if (!memory)
		return -ENOMEM;
	r = fnx_state_space_init_in(space, config, memory, false, NULL);
	if (r < 0)
		free(memory);
	else
		space->own = memory;
	return r;
}

void fnx_state_space_fini(struct fnx_state_space *space)
{
	fnx_transition_fini(&space->transition);
	fnx_occupancy_fini(&space->occupancy);
	fnx_silence_fini(&space->silence);
	free(space->likelihood);
	free(space->prior);
	free(space->occupied);
	free(space->work);
	free(space->order);
	free(space->own);
	*space = (struct fnx_state_space){0};
}

static void flatten(const struct fnx_state_space *space, double *ret_posterior)
{
	const struct fnx_transition *transition = &space->transition;
	const uint32_t n_states = transition->n_states, n_bins = transition->n_bins;

	for (uint32_t k = 0; k < n_states; k++)
		for (uint32_t i = 0; i < n_bins; i++)
			ret_posterior[(size_t)k * n_bins + i] = space->config.parity
				? 1.0 / (n_states * n_bins)
				: transition->on_track[i] ? 1.0 / (n_states * transition->n_track)
							  : 0.0;
}

void fnx_state_space_forget(struct fnx_state_space *space)
{
	touch(space, space->posterior,
		(size_t)space->transition.n_states * space->transition.n_bins);
	flatten(space, space->posterior);
}

bool fnx_state_space_occupy(struct fnx_state_space *space, int32_t position_bin)
{
	if (!fnx_occupancy_add(&space->occupancy, position_bin))
		return false;
	space->silence.stale = true;
	return true;
}

int fnx_state_space_restore(struct fnx_state_space *space, const double *rates,
	const double *occupancy, uint64_t n_samples)
{
	const size_t n = (size_t)space->config.n_groups * space->transition.n_bins;
	int r;

	if (!are_counts(rates, n))
		return -EINVAL;
	r = fnx_occupancy_restore(&space->occupancy, occupancy, n_samples);
	if (r < 0)
		return r;
	touch(space, space->rates, n);
	memcpy(space->rates, rates, n * sizeof(double));
	if (space->config.rates_hz)
		count_expected(space);
	derive_shares(space);
	return 0;
}

/* Time bins
 * ------------------------------------------------------------------------------------------ */

static void count_rate(struct fnx_state_space *space, const struct fnx_decode_spike *spike)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n = space->transition.n_bins;
	const size_t bin = (size_t)spike->position_bin;
	double *rate = space->rates + spike->group * n + bin;

	if (spike->position_bin < 0 || bin >= n || (config->rates_while_training && !spike->stored))
		return;
	touch(space, rate, 1);
	*rate += 1.0;
	if (!config->rates_hz) {
		fnx_silence_change(&space->silence, spike->group, space->rates + spike->group * n);
		return;
	}
	space->silence.stale = true;
	if (!config->smoothing)
		space->expected[bin] += 1.0;
	else
		fnx_smoothing_add(config->smoothing, (uint32_t)bin, 1.0, space->expected);
}

/* The no-spike term. The share of a gap is 0 or NaN, and so is everything where the animal cannot
 * be. */
static void update_silence(struct fnx_state_space *space)
{
	const struct fnx_state_space_config *config = &space->config;
	const struct fnx_occupancy *occupancy = &space->occupancy;
	const double *seen = config->smoothing ? occupancy->smoothed : occupancy->counts;

	if (!space->silence.stale)
		return;
	if (!config->rates_hz) {
		fnx_silence_update(&space->silence, fnx_silence_shares(&space->silence),
			occupancy->share, -config->time_bin_s,
			config->parity ? NULL : space->transition.track);
		return;
	}
	for (uint32_t i = 0; i < space->transition.n_bins; i++)
		space->occupied[i] = config->position_sample_s *
			(seen[i] < config->occupancy_floor ? config->occupancy_floor : seen[i]);
	fnx_silence_update(&space->silence, space->expected, space->occupied, -config->time_bin_s,
		space->transition.track);
}

/* Product of silence and spikes into space->likelihood. */
static void combine(struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	const uint32_t *order, uint32_t n_spikes, struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins;
	const double floor = space->config.likelihood_floor / space->transition.n_track;
	const double *product = space->silence.likelihood;
	double *next = space->work, *other = space->work + fnx_f64_padded(n);
	/* The ancestor takes what is not finite for 0 before the spikes, not after. */
	double sum = space->silence.sum == 0.0 ? 1.0 : space->silence.sum;

	for (uint32_t i = 0; i < n_spikes; i++) {
		const double *spike = spikes[order[i]].likelihood;
		double *swap = next, next_sum;

		if (!spike)
			continue;
		next_sum = floor > 0.0
			? space->rows->multiply_floored(product, 1.0 / sum, spike, floor, n, next)
			: space->rows->multiply(product, 1.0 / sum, spike, n, next);
		if (!space->config.parity && !(next_sum >= DBL_MIN && next_sum <= DBL_MAX)) {
			result->n_contradictions++;
			continue;
		}
		product = next;
		next = other;
		other = swap;
		sum = next_sum;
		result->n_spikes++;
	}
	space->rows->divide(product, sum, n, space->likelihood);
}

/* The same by sums of logarithms: bins that the product would lose to underflow keep their order.
 */
static void combine_logarithms(struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	const uint32_t *order, uint32_t n_spikes, struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins;
	const double floor = space->config.likelihood_floor / space->transition.n_track;
	double *total = space->work, *next = space->work + fnx_f64_padded(n);
	double greatest, sum = 0.0;

	memcpy(total, space->silence.exponents, n * sizeof(double));
	for (uint32_t i = 0; i < n_spikes; i++) {
		const double *spike = spikes[order[i]].likelihood;
		double *swap = total, highest = -HUGE_VAL;

		for (uint32_t k = 0; spike && k < n; k++) {
			next[k] = -HUGE_VAL;
			if (isfinite(total[k]))
				next[k] = total[k] + log(spike[k] >= floor ? spike[k] : floor);
			highest = next[k] > highest ? next[k] : highest;
		}
		if (!spike)
			continue;
		if (!isfinite(highest)) {
			result->n_contradictions++;
			continue;
		}
		total = next;
		next = swap;
		result->n_spikes++;
	}
	greatest = space->rows->max(total, n);
	for (uint32_t i = 0; i < n; i++) {
		total[i] = exp(total[i] - greatest);
		sum += total[i];
	}
	space->rows->divide(total, sum, n, space->likelihood);
}

/* likelihood * prior, normalised. Outside parity, where nothing remains of it (the spikes are where
 * the transition cannot lead), what the spikes say is taken alone. */
static void update_posterior(struct fnx_state_space *space, struct fnx_decode_result *result)
{
	const uint32_t n_states = space->transition.n_states, n = space->transition.n_bins;
	double sum = 0.0;

	fnx_transition_predict(&space->transition, space->posterior, space->work, space->prior);
	touch(space, space->posterior, (size_t)n_states * n);
	for (uint32_t k = 0; k < n_states; k++)
		sum += space->rows->weigh(space->likelihood, space->prior + (size_t)k * n, n,
			space->posterior + (size_t)k * n);
	if (space->config.parity || (sum > 0.0 && isfinite(sum))) {
		space->rows->divide(space->posterior, sum, (size_t)n_states * n, space->posterior);
		return;
	}
	result->n_contradictions++;
	for (uint32_t k = 0; k < n_states; k++)
		for (uint32_t i = 0; i < n; i++)
			space->posterior[(size_t)k * n + i] = space->likelihood[i] / n_states;
}

static void remember_good_spikes(const struct fnx_state_space *space,
	const struct fnx_decode_spike *spikes, const uint32_t *order, uint32_t n_spikes,
	struct fnx_decode_result *result)
{
	uint32_t first = n_spikes;

	for (uint32_t n_good = 0; first > 0 && n_good < FNX_RECENT_MAX; first--) {
		const struct fnx_decode_spike *spike = &spikes[order[first - 1]];

		n_good += spike->likelihood &&
			spike->credible_bins <= space->config.credible_max_bins;
	}
	for (uint32_t i = first; i < n_spikes; i++) {
		const struct fnx_decode_spike *spike = &spikes[order[i]];

		if (!spike->likelihood || spike->credible_bins > space->config.credible_max_bins)
			continue;
		result->recent_groups[result->n_recent] = spike->group;
		result->recent_bins[result->n_recent++] = (int32_t)fnx_row_argmax(
			space->rows, spike->likelihood, space->transition.n_bins);
	}
}

static void measure(struct fnx_state_space *space, struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins;
	double *total = space->work, *scratch = space->work + fnx_f64_padded(n);

	memcpy(total, space->posterior, n * sizeof(double));
	for (uint32_t k = 1; k < space->transition.n_states; k++)
		space->rows->add_scaled(total, space->posterior + (size_t)k * n, 1.0, n);
	result->decoded_bin = (int32_t)fnx_row_argmax(space->rows, total, n);
	result->credible_posterior =
		fnx_credible_bins(total, n, space->config.credible_mass, scratch);
	result->credible_likelihood =
		fnx_credible_bins(space->likelihood, n, space->config.credible_mass, scratch);
}

static enum fnx_duplicates duplicates_of(const struct fnx_state_space_config *config)
{
	return config->parity                  ? FNX_DUPLICATES_PARITY
		: config->duplicates_per_group ? FNX_DUPLICATES_PER_GROUP
					       : FNX_DUPLICATES_ANY_GROUP;
}

void fnx_state_space_tick(struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	uint32_t n_spikes, struct fnx_decode_result *ret_result)
{
	const struct fnx_state_space_config *config = &space->config;
	struct fnx_decode_result result = {
		.posterior = space->posterior, .likelihood = space->likelihood};
	uint32_t *order = space->order;
	uint32_t n = 0, n_kept;

	for (uint32_t i = 0; i < n_spikes; i++) {
		if (!spikes[i].likelihood && !config->rates_hz)
			continue;
		if (spikes[i].group >= config->n_groups || n == config->max_spikes)
			result.n_dropped++;
		else
			order[n++] = i;
	}
	order = fnx_spikes_sort(spikes, order, space->order + config->max_spikes, n);
	n_kept = fnx_spikes_unique(spikes, order, n, duplicates_of(config));
	result.n_duplicates = n - n_kept;
	if (config->rates_hz && n_kept > 0)
		touch(space, space->expected, space->transition.n_bins);
	for (uint32_t i = 0; i < n_kept; i++)
		count_rate(space, &spikes[order[i]]);
	update_silence(space);
	if (config->log_space)
		combine_logarithms(space, spikes, order, n_kept, &result);
	else
		combine(space, spikes, order, n_kept, &result);
	update_posterior(space, &result);
	remember_good_spikes(space, spikes, order, n_kept, &result);
	measure(space, &result);
	*ret_result = result;
}
