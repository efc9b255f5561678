/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The counts are the truth and all else follows from them, so that saving them saves the occupancy.
 * Smoothed counts are kept up sample by sample, one bin's gift to all at a time; a restored
 * occupancy sums them anew and may differ from the one that was saved in their last bits.
 */
#include "nodes/host/occupancy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"
#include "nodes/host/lanes.h"
#include "nodes/host/smoothing.h"

static bool is_gap(const struct fnx_occupancy *occupancy, uint32_t bin)
{
	return occupancy->bin_arms[bin] < 0;
}

static void touch(struct fnx_occupancy *occupancy, const double *at, uint32_t n)
{
	fnx_journal_touch(occupancy->journal, at, n * sizeof(double));
}

/* In parity the gaps' NaN go into the share and are left out of the sum. */
static void update_share(struct fnx_occupancy *occupancy)
{
	const struct fnx_occupancy_config *config = &occupancy->config;
	const double *from = config->smoothing ? occupancy->smoothed : occupancy->counts;
	uint32_t n_track = 0;
	double sum = 0.0;

	for (uint32_t i = 0; i < config->n_bins; i++) {
		double count = from[i];

		if (!is_gap(occupancy, i)) {
			n_track++;
			if (count < config->floor)
				count = config->floor;
		}
		occupancy->share[i] = count;
		if (!isnan(count))
			sum += count;
	}
	for (uint32_t i = 0; i < config->n_bins; i++) {
		if (sum > 0.0 || config->parity)
			occupancy->share[i] /= sum;
		else
			occupancy->share[i] = is_gap(occupancy, i) ? 0.0 : 1.0 / n_track;
	}
}

static void smooth_all(struct fnx_occupancy *occupancy)
{
	const uint32_t n = occupancy->config.n_bins;

	memset(occupancy->smoothed, 0, n * sizeof(double));
	for (uint32_t from = 0; from < n; from++)
		if (!is_gap(occupancy, from))
			fnx_smoothing_add(occupancy->config.smoothing, from,
				occupancy->counts[from], occupancy->smoothed);
}

enum {
	HEADER_SIZE = 64, /* n_samples, and room so that the counts are aligned */
};

size_t fnx_occupancy_memory_size(uint32_t n_bins)
{
	return HEADER_SIZE + 2 * fnx_f64_padded(n_bins) * sizeof(double);
}

/* In parity gaps are ordinary bins until the first sample. */
static void begin(struct fnx_occupancy *occupancy)
{
	const struct fnx_occupancy_config *config = &occupancy->config;

	for (uint32_t i = 0; i < config->n_bins; i++)
		occupancy->counts[i] =
			is_gap(occupancy, i) && !config->parity ? 0.0 : config->initial;
	if (config->smoothing)
		smooth_all(occupancy);
}

static bool is_sound(const struct fnx_occupancy *occupancy)
{
	for (uint32_t i = 0; i < occupancy->config.n_bins; i++)
		if (!is_gap(occupancy, i) &&
			!(occupancy->counts[i] >= 0.0 && isfinite(occupancy->counts[i]) &&
				occupancy->smoothed[i] >= 0.0 && isfinite(occupancy->smoothed[i])))
			return false;
	return true;
}

int fnx_occupancy_init_in(struct fnx_occupancy *occupancy,
	const struct fnx_occupancy_config *config, void *memory, bool resumed,
	struct fnx_journal *journal)
{
	const uint32_t n = config->n_bins;

	if (n == 0 || !(config->initial >= 0.0) || !(config->floor >= 0.0))
		return -EINVAL;
	*occupancy = (struct fnx_occupancy){.config = *config, .journal = journal};
	occupancy->n_samples = memory;
	occupancy->counts = (double *)((char *)memory + HEADER_SIZE);
	occupancy->smoothed = occupancy->counts + fnx_f64_padded(n);
	occupancy->share = calloc(n, sizeof(double));
	occupancy->bin_arms = calloc(n, sizeof(int32_t));
	if (!occupancy->share || !occupancy->bin_arms) {
		fnx_occupancy_fini(occupancy);
		return -ENOMEM;
	}
	memcpy(occupancy->bin_arms, config->bin_arms, n * sizeof(int32_t));
	occupancy->config.bin_arms = occupancy->bin_arms;
	if (!resumed) {
		begin(occupancy);
	} else if (!is_sound(occupancy)) {
		fnx_occupancy_fini(occupancy);
		return -EBADMSG;
	}
	update_share(occupancy);
	return 0;
}

int fnx_occupancy_init(struct fnx_occupancy *occupancy, const struct fnx_occupancy_config *config)
{
	const size_t size = fnx_occupancy_memory_size(config->n_bins);
	void *memory = aligned_alloc(FNX_LANES_ALIGN, size);
	int r;

	if (!memory)
		return -ENOMEM;
	memset(memory, 0, size);
	r = fnx_occupancy_init_in(occupancy, config, memory, false, NULL);
	if (r < 0)
		free(memory);
	else
		occupancy->own = memory;
	return r;
}

void fnx_occupancy_fini(struct fnx_occupancy *occupancy)
{
	free(occupancy->own);
	free(occupancy->share);
	free(occupancy->bin_arms);
	*occupancy = (struct fnx_occupancy){0};
}

bool fnx_occupancy_add(struct fnx_occupancy *occupancy, int32_t bin)
{
	const struct fnx_occupancy_config *config = &occupancy->config;
	const uint32_t n = config->n_bins;

	if (bin < 0 || (uint32_t)bin >= n || is_gap(occupancy, (uint32_t)bin))
		return false;
	if (config->parity)
		touch(occupancy, occupancy->counts, n);
	else
		touch(occupancy, &occupancy->counts[bin], 1);
	if (config->smoothing)
		touch(occupancy, occupancy->smoothed, n);
	fnx_journal_touch(occupancy->journal, occupancy->n_samples, sizeof(*occupancy->n_samples));
	occupancy->counts[bin] += 1.0;
	if (config->parity)
		for (uint32_t i = 0; i < n; i++)
			if (is_gap(occupancy, i))
				occupancy->counts[i] = NAN;
	if (config->smoothing)
		fnx_smoothing_add(config->smoothing, (uint32_t)bin, 1.0, occupancy->smoothed);
	++*occupancy->n_samples;
	update_share(occupancy);
	return true;
}

int fnx_occupancy_restore(struct fnx_occupancy *occupancy, const double *counts, uint64_t n_samples)
{
	const struct fnx_occupancy_config *config = &occupancy->config;

	for (uint32_t i = 0; i < config->n_bins; i++)
		if (!is_gap(occupancy, i) && !(counts[i] >= 0.0 && isfinite(counts[i])))
			return -EINVAL;
	touch(occupancy, occupancy->counts, config->n_bins);
	touch(occupancy, occupancy->smoothed, config->n_bins);
	fnx_journal_touch(occupancy->journal, occupancy->n_samples, sizeof(*occupancy->n_samples));
	for (uint32_t i = 0; i < config->n_bins; i++) {
		if (!is_gap(occupancy, i))
			occupancy->counts[i] = counts[i];
		else if (!config->parity)
			occupancy->counts[i] = 0.0;
		else
			occupancy->counts[i] = n_samples > 0 ? (double)NAN : config->initial;
	}
	*occupancy->n_samples = n_samples;
	if (config->smoothing)
		smooth_all(occupancy);
	update_share(occupancy);
	return 0;
}
