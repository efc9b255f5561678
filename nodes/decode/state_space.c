/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the time does not go: the silence of all groups is one exponential per position bin,
 * because the exponents add up, and a group's share of them changes only with its spikes; a spike
 * is one pass over the bins, which multiplies, scales by the previous sum and adds up the next.
 */
#include "nodes/decode/state_space.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"
#include "nodes/host/credible.h"
#include "nodes/host/lanes.h"

static bool has_options(const struct fnx_state_space_config *config)
{
	return config->rates_hz || config->duplicates_per_group || config->log_space ||
		config->likelihood_floor != 0.0 || config->occupancy_floor != 0.0 ||
		config->smoothing || config->transition.jump_probability != 0.0;
}

static bool is_valid(const struct fnx_state_space_config *config)
{
	return config->n_groups > 0 && config->max_spikes > 0 && config->time_bin_s > 0.0 &&
		isfinite(config->time_bin_s) && config->credible_mass >= 0.0 &&
		config->likelihood_floor >= 0.0 && config->likelihood_floor < 1.0 &&
		config->occupancy_floor >= 0.0 &&
		(!config->rates_hz || config->position_sample_s > 0.0) &&
		!(config->parity && has_options(config));
}

static void *zeroed(size_t n, size_t size)
{
	const size_t bytes = (n * size + FNX_LANES_ALIGN - 1) / FNX_LANES_ALIGN * FNX_LANES_ALIGN;
	void *memory = aligned_alloc(FNX_LANES_ALIGN, bytes);

	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

/* What every tick changes, in doubles: expected, posterior. */
static size_t n_changing(const struct fnx_state_space_config *config)
{
	const size_t n_bins = config->transition.n_bins, n_states = config->transition.n_states;

	return fnx_f64_padded(n_bins) + fnx_f64_padded(n_states * n_bins);
}

/* All that is learnt: the same, then the rates; the occupancy behind. */
static size_t n_learnt(const struct fnx_state_space_config *config)
{
	return n_changing(config) +
		fnx_f64_padded((size_t)config->n_groups * config->transition.n_bins);
}

size_t fnx_state_space_memory_size(const struct fnx_state_space_config *config)
{
	return n_learnt(config) * sizeof(double) +
		fnx_occupancy_memory_size(config->transition.n_bins);
}

void fnx_state_space_tick_needs(
	const struct fnx_state_space_config *config, size_t *ret_touches, size_t *ret_bytes)
{
	*ret_touches = 1 + (size_t)config->max_spikes;
	*ret_bytes = (n_changing(config) + config->max_spikes) * sizeof(double);
}

static int place(struct fnx_state_space *space)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n_bins = config->transition.n_bins;

	if (!config->memory)
		space->owned = zeroed(n_learnt(config), sizeof(double));
	space->expected = config->memory ? config->memory : space->owned;
	if (!space->expected)
		return -ENOMEM;
	space->posterior = space->expected + fnx_f64_padded(n_bins);
	space->rates = space->expected + n_changing(config);
	return 0;
}

static int allocate(struct fnx_state_space *space)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n_bins = config->transition.n_bins, n_states = config->transition.n_states;
	const size_t n_groups = config->n_groups;

	space->silences = zeroed(n_groups * n_bins, sizeof(double));
	space->likelihood = zeroed(n_bins, sizeof(double));
	space->prior = zeroed(n_states * n_bins, sizeof(double));
	space->work = zeroed(2 * fnx_f64_padded(n_bins), sizeof(double));
	space->order = zeroed(2 * (size_t)config->max_spikes, sizeof(uint32_t));
	space->changed = zeroed(n_groups, sizeof(bool));
	if (!space->silences || !space->likelihood || !space->prior || !space->work ||
		!space->order || !space->changed)
		return -ENOMEM;
	return place(space);
}

/* Spikes per bin of all groups, smoothed if so configured; with rates_hz only. */
static void count_expected(struct fnx_state_space *space)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n = config->transition.n_bins;

	memset(space->expected, 0, n * sizeof(double));
	for (size_t g = 0; g < config->n_groups; g++) {
		for (size_t from = 0; from < n; from++) {
			const double count = space->rates[g * n + from];

			if (!config->smoothing)
				space->expected[from] += count;
			for (size_t to = 0; config->smoothing && to < n; to++)
				space->expected[to] += config->smoothing[to * n + from] * count;
		}
	}
}

/* Silences follow from the rates, when they are next asked for. */
static void derive_silences(struct fnx_state_space *space)
{
	for (uint32_t g = 0; g < space->config.n_groups; g++)
		space->changed[g] = true;
	space->any_changed = true;
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

int fnx_state_space_init(struct fnx_state_space *space, const struct fnx_state_space_config *config)
{
	const struct fnx_transition_config *transition = &config->transition;
	int r;

	if (!is_valid(config))
		return -EINVAL;
	*space = (struct fnx_state_space){.config = *config};
	r = fnx_transition_init(&space->transition, transition);
	if (r < 0)
		return r;
	r = fnx_occupancy_init(&space->occupancy,
		&(struct fnx_occupancy_config){.n_bins = transition->n_bins,
			.bin_arms = transition->bin_arms,
			.initial = 1.0,
			.parity = config->parity,
			.floor = config->occupancy_floor,
			.smoothing = config->smoothing,
			.memory =
				config->memory ? (double *)config->memory + n_learnt(config) : NULL,
			.resumed = config->resumed,
			.journal = config->journal});
	if (r == 0)
		r = allocate(space);
	if (r < 0) {
		fnx_state_space_fini(space);
		return r;
	}
	/* Only what the transition has copied remains valid. */
	space->config.transition.bin_arms = NULL;
	space->config.transition.steps = NULL;
	space->config.transition.distance_cm = NULL;
	derive_silences(space);
	if (config->memory && config->resumed)
		return 0;
	for (size_t i = 0; i < (size_t)config->n_groups * transition->n_bins; i++)
		space->rates[i] = config->rates_hz ? 0.0 : 1.0;
	if (config->rates_hz)
		count_expected(space);
	flatten(space, space->posterior);
	return 0;
}

void fnx_state_space_fini(struct fnx_state_space *space)
{
	fnx_transition_fini(&space->transition);
	fnx_occupancy_fini(&space->occupancy);
	free(space->owned);
	free(space->silences);
	free(space->likelihood);
	free(space->prior);
	free(space->work);
	free(space->order);
	free(space->changed);
	*space = (struct fnx_state_space){0};
}

/* All that changes at every tick. */
static void touch(struct fnx_state_space *space)
{
	fnx_journal_touch(space->config.journal, space->expected,
		n_changing(&space->config) * sizeof(double));
}

void fnx_state_space_forget(struct fnx_state_space *space)
{
	touch(space);
	flatten(space, space->posterior);
}

bool fnx_state_space_occupy(struct fnx_state_space *space, int32_t position_bin)
{
	return fnx_occupancy_add(&space->occupancy, position_bin);
}

int fnx_state_space_restore(struct fnx_state_space *space, const double *rates,
	const double *occupancy, uint64_t n_samples)
{
	const size_t n = (size_t)space->config.n_groups * space->transition.n_bins;
	int r;

	for (size_t i = 0; i < n; i++)
		if (!(rates[i] >= 0.0 && isfinite(rates[i])))
			return -EINVAL;
	r = fnx_occupancy_restore(&space->occupancy, occupancy, n_samples);
	if (r < 0)
		return r;
	touch(space);
	fnx_journal_touch(space->config.journal, space->rates, n * sizeof(double));
	memcpy(space->rates, rates, n * sizeof(double));
	if (space->config.rates_hz)
		count_expected(space);
	derive_silences(space);
	return 0;
}

/* Stable, by pairs of runs; spikes arrive almost sorted and then nothing moves. Returns which half
 * of `order` holds the result. */
static uint32_t *sort_by_time(
	const struct fnx_decode_spike *spikes, uint32_t *order, uint32_t *spare, uint32_t n)
{
	bool sorted = true;

	for (uint32_t i = 1; i < n; i++)
		sorted &= spikes[order[i - 1]].sample_time <= spikes[order[i]].sample_time;
	for (uint64_t width = 1; !sorted && width < n; width *= 2) {
		uint32_t *swap = order;

		for (uint64_t start = 0; start < n; start += 2 * width) {
			const uint64_t middle = start + width < n ? start + width : n;
			const uint64_t end = start + 2 * width < n ? start + 2 * width : n;
			uint64_t a = start, b = middle;

			for (uint64_t i = start; i < end; i++) {
				const bool first = b >= end ||
					(a < middle &&
						spikes[order[a]].sample_time <=
							spikes[order[b]].sample_time);

				spare[i] = order[first ? a++ : b++];
			}
		}
		order = spare;
		spare = swap;
	}
	return order;
}

static bool is_repeat(const struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	const uint32_t *order, uint32_t n_before, const struct fnx_decode_spike *spike)
{
	for (uint32_t i = n_before; i-- > 0;) {
		const struct fnx_decode_spike *other = &spikes[order[i]];

		if (other->sample_time != spike->sample_time)
			return false;
		if (!space->config.duplicates_per_group || other->group == spike->group)
			return true;
	}
	return false;
}

/* Keeps the first of each run of duplicates, in place; in parity a run of three or more goes
 * altogether. */
static uint32_t remove_duplicates(const struct fnx_state_space *space,
	const struct fnx_decode_spike *spikes, uint32_t *order, uint32_t n)
{
	uint32_t n_kept = 0;

	for (uint32_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
			end < n && spikes[order[end]].sample_time == spikes[order[i]].sample_time;
			end++)
			;
		if (space->config.parity && end - i >= 3)
			continue;
		for (uint32_t k = i; k < end; k++)
			if (!is_repeat(space, spikes, order, n_kept, &spikes[order[k]]))
				order[n_kept++] = order[k];
	}
	return n_kept;
}

static void count_rate(struct fnx_state_space *space, const struct fnx_decode_spike *spike)
{
	const struct fnx_state_space_config *config = &space->config;
	const size_t n = space->transition.n_bins;
	const size_t bin = (size_t)spike->position_bin;

	if (spike->position_bin < 0 || bin >= n || (config->rates_hz && !spike->stored))
		return;
	fnx_journal_touch(config->journal, &space->rates[spike->group * n + bin], sizeof(double));
	space->rates[spike->group * n + bin] += 1.0;
	space->changed[spike->group] = true;
	space->any_changed = true;
	if (!config->rates_hz)
		return;
	if (!config->smoothing)
		space->expected[bin] += 1.0;
	for (size_t i = 0; config->smoothing && i < n; i++)
		space->expected[i] += config->smoothing[i * n + bin];
}

static void update_silences(struct fnx_state_space *space)
{
	const size_t n = space->transition.n_bins;
	double *restrict expected = space->expected;

	if (space->config.rates_hz || !space->any_changed)
		return;
	memset(expected, 0, n * sizeof(double));
	for (size_t g = 0; g < space->config.n_groups; g++) {
		double *restrict silence = space->silences + g * n;

		if (space->changed[g]) {
			const double *rates = space->rates + g * n;
			double sum = 0.0;

			for (size_t i = 0; i < n; i++)
				sum += rates[i];
			for (size_t i = 0; i < n; i++)
				silence[i] = rates[i] / sum;
			space->changed[g] = false;
		}
		for (size_t i = 0; i < n; i++)
			expected[i] += silence[i];
	}
	space->any_changed = false;
}

/* Minus the spikes expected of all groups together in bin `i` within the time bin; -infinity where
 * the animal cannot be. */
static double silence_exponent(const struct fnx_state_space *space, uint32_t i)
{
	const struct fnx_state_space_config *config = &space->config;
	const struct fnx_occupancy *occupancy = &space->occupancy;
	double occupied = occupancy->share[i];
	double exponent;

	if (config->rates_hz) {
		occupied = (config->smoothing ? occupancy->smoothed : occupancy->counts)[i];
		if (occupied < config->occupancy_floor)
			occupied = config->occupancy_floor;
		occupied *= config->position_sample_s;
	}
	exponent = -config->time_bin_s * space->expected[i] / occupied;
	if (!isfinite(exponent) || !(config->parity || space->transition.on_track[i]))
		return -HUGE_VAL;
	return exponent;
}

/* Likelihood of silence, up to a factor, [n_bins rounded up]; returns its sum. */
static double silence(const struct fnx_state_space *space, double *ret_likelihood)
{
	const size_t n = space->transition.n_bins, n_padded = fnx_f64_padded(n);
	double greatest = -HUGE_VAL, sum = 0.0;

	for (uint32_t i = 0; i < n; i++) {
		ret_likelihood[i] = silence_exponent(space, i);
		if (ret_likelihood[i] > greatest)
			greatest = ret_likelihood[i];
	}
	for (size_t i = 0; i < n && greatest > -HUGE_VAL; i++)
		ret_likelihood[i] -= greatest;
	for (size_t i = n; i < n_padded; i++)
		ret_likelihood[i] = 0.0;
	fnx_exp_all(ret_likelihood, n_padded);
	for (size_t i = 0; i < n; i++) {
		/* What e^-infinity stays at: the animal cannot be there, and not by a little. */
		if (ret_likelihood[i] < 1e-300)
			ret_likelihood[i] = 0.0;
		sum += ret_likelihood[i];
	}
	return sum;
}

/* ret[i] = likelihood[i] * scale * spike[i], returns their sum. */
static double multiply(const struct fnx_state_space *space, const double *restrict likelihood,
	double scale, const double *restrict spike, double *restrict ret)
{
	const uint32_t n = space->transition.n_bins;
	const double floor = space->config.likelihood_floor / space->transition.n_track;
	double sums[FNX_F64_LANES] = {0};
	uint32_t i = 0;

	if (floor > 0.0) {
		for (; i < n; i++) {
			const double value = spike[i] >= floor ? spike[i] : floor;

			ret[i] = likelihood[i] * scale * value;
			sums[i % FNX_F64_LANES] += ret[i];
		}
	}
	for (; i + FNX_F64_LANES <= n; i += FNX_F64_LANES) {
		for (uint32_t k = 0; k < FNX_F64_LANES; k++) {
			ret[i + k] = likelihood[i + k] * scale * spike[i + k];
			sums[k] += ret[i + k];
		}
	}
	for (uint32_t k = 0; i < n; i++, k++) {
		ret[i] = likelihood[i] * scale * spike[i];
		sums[k] += ret[i];
	}
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
		((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static void scale_into(const double *likelihood, double sum, uint32_t n, double *ret)
{
	for (uint32_t i = 0; i < n; i++)
		ret[i] = likelihood[i] / sum;
}

/* Product of silence and spikes into space->likelihood. */
static void combine(struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	const uint32_t *order, uint32_t n_spikes, struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins;
	double *product = space->work, *next = space->work + fnx_f64_padded(n);
	double sum = silence(space, product);

	/* The ancestor takes what is not finite for 0 before the spikes, not after. */
	if (sum == 0.0)
		sum = 1.0;
	for (uint32_t i = 0; i < n_spikes; i++) {
		const double *spike = spikes[order[i]].likelihood;
		double *swap = product, next_sum;

		if (!spike)
			continue;
		next_sum = multiply(space, product, 1.0 / sum, spike, next);
		if (!space->config.parity && !(next_sum >= DBL_MIN && next_sum <= DBL_MAX)) {
			result->n_contradictions++;
			continue;
		}
		product = next;
		next = swap;
		sum = next_sum;
		result->n_spikes++;
	}
	scale_into(product, sum, n, space->likelihood);
}

/* The same by sums of logarithms: bins that the product would lose to underflow keep their order.
 */
static void combine_logarithms(struct fnx_state_space *space, const struct fnx_decode_spike *spikes,
	const uint32_t *order, uint32_t n_spikes, struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins;
	const double floor = space->config.likelihood_floor / space->transition.n_track;
	double *total = space->work, *next = space->work + fnx_f64_padded(n);
	double greatest = 0.0, sum = 0.0;

	for (uint32_t i = 0; i < n; i++)
		total[i] = silence_exponent(space, i);
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
	greatest = total[0];
	for (uint32_t i = 1; i < n; i++)
		greatest = total[i] > greatest ? total[i] : greatest;
	for (uint32_t i = 0; i < n; i++) {
		total[i] = exp(total[i] - greatest);
		sum += total[i];
	}
	scale_into(total, sum, n, space->likelihood);
}

/* likelihood * prior, normalised. Outside parity, where nothing remains of it (the spikes are where
 * the transition cannot lead), what the spikes say is taken alone. */
static void update_posterior(struct fnx_state_space *space, struct fnx_decode_result *result)
{
	const uint32_t n_states = space->transition.n_states, n = space->transition.n_bins;
	double sum = 0.0;

	fnx_transition_predict(&space->transition, space->posterior, space->work, space->prior);
	for (uint32_t k = 0; k < n_states; k++) {
		for (uint32_t i = 0; i < n; i++) {
			const double value = space->likelihood[i] * space->prior[(size_t)k * n + i];

			space->posterior[(size_t)k * n + i] = value;
			if (!isnan(value))
				sum += value;
		}
	}
	if (space->config.parity || (sum > 0.0 && isfinite(sum))) {
		scale_into(space->posterior, sum, n_states * n, space->posterior);
		return;
	}
	result->n_contradictions++;
	for (uint32_t k = 0; k < n_states; k++)
		for (uint32_t i = 0; i < n; i++)
			space->posterior[(size_t)k * n + i] = space->likelihood[i] / n_states;
}

static int32_t largest_bin(const double *distribution, uint32_t n)
{
	uint32_t largest = 0;

	for (uint32_t i = 1; i < n; i++)
		if (distribution[i] > distribution[largest])
			largest = i;
	return (int32_t)largest;
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
		result->recent_bins[result->n_recent++] =
			largest_bin(spike->likelihood, space->transition.n_bins);
	}
}

static void measure(struct fnx_state_space *space, struct fnx_decode_result *result)
{
	const uint32_t n = space->transition.n_bins;
	double *total = space->work, *scratch = space->work + fnx_f64_padded(n);

	memcpy(total, space->posterior, n * sizeof(double));
	for (uint32_t k = 1; k < space->transition.n_states; k++)
		for (uint32_t i = 0; i < n; i++)
			total[i] += space->posterior[(size_t)k * n + i];
	result->decoded_bin = largest_bin(total, n);
	result->credible_posterior =
		fnx_credible_bins(total, n, space->config.credible_mass, scratch);
	result->credible_likelihood =
		fnx_credible_bins(space->likelihood, n, space->config.credible_mass, scratch);
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
	touch(space);
	order = sort_by_time(spikes, order, space->order + config->max_spikes, n);
	n_kept = remove_duplicates(space, spikes, order, n);
	result.n_duplicates = n - n_kept;
	for (uint32_t i = 0; i < n_kept; i++)
		count_rate(space, &spikes[order[i]]);
	update_silences(space);
	if (config->log_space)
		combine_logarithms(space, spikes, order, n_kept, &result);
	else
		combine(space, spikes, order, n_kept, &result);
	update_posterior(space, &result);
	remember_good_spikes(space, spikes, order, n_kept, &result);
	measure(space, &result);
	*ret_result = result;
}
