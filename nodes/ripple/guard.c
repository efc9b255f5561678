/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/guard.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "bus/journal.h"

enum {
	ALIGNMENT = 64
};

/* Sample times up to which each lasts; INT64_MIN: never yet. */
struct untils {
	int64_t noise, blank;
};

struct fnx_guard {
	uint32_t n_noise;
	const uint32_t *noise_channels;
	struct fnx_envelope *envelope; /* NULL: no noise channels */
	struct fnx_detector *detector;
	int64_t noise_samples, blank_samples;
	double artefact_uv;
	struct untils *untils;
	float *counts; /* [n_noise] */
	double *traces; /* [n_noise] */
	struct fnx_detector_event *events;
	void *owned;
	struct fnx_journal *journal;
};

static size_t round_up(size_t size)
{
	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t fnx_guard_memory_size(const struct fnx_guard_config *config)
{
	size_t size = round_up(sizeof(struct untils));

	if (config->envelope.n_channels)
		size += round_up(fnx_envelope_memory_size(&config->envelope)) +
			fnx_detector_memory_size(config->envelope.n_channels);
	return size;
}

static int add_noise(struct fnx_guard *guard, const struct fnx_guard_config *config, char *memory)
{
	struct fnx_envelope_config envelope = config->envelope;
	struct fnx_detector_config detector = {.n_channels = envelope.n_channels,
		.median = config->median,
		.resumed = config->resumed,
		.journal = config->journal,
		.params = {.standard = config->noise_threshold,
			.conditioning = config->noise_threshold,
			.content = config->noise_threshold,
			.end = config->noise_threshold,
			.max_speed_cm_s = INFINITY,
			.max_samples = UINT32_MAX}};
	int r;

	envelope.memory = memory;
	envelope.resumed = config->resumed;
	envelope.journal = config->journal;
	detector.memory = memory + round_up(fnx_envelope_memory_size(&envelope));
	r = fnx_envelope_new(&envelope, &guard->envelope);
	if (!r)
		r = fnx_detector_new(&detector, &guard->detector);
	if (r)
		return r;
	guard->counts = calloc(envelope.n_channels, sizeof(*guard->counts));
	guard->traces = calloc(envelope.n_channels, sizeof(*guard->traces));
	guard->events = calloc(fnx_detector_events_max(guard->detector), sizeof(*guard->events));
	return guard->counts && guard->traces && guard->events ? 0 : -ENOMEM;
}

int fnx_guard_new(const struct fnx_guard_config *config, struct fnx_guard **ret_guard)
{
	struct fnx_guard *guard = calloc(1, sizeof(*guard));
	char *memory = config->memory;
	int r = 0;

	if (!guard)
		return -ENOMEM;
	if (!memory)
		memory = guard->owned = aligned_alloc(ALIGNMENT, fnx_guard_memory_size(config));
	if (!memory)
		r = -ENOMEM;
	guard->n_noise = config->envelope.n_channels;
	guard->noise_channels = config->noise_channels;
	guard->noise_samples = config->noise_samples;
	guard->blank_samples = config->blank_samples;
	guard->artefact_uv = config->artefact_uv;
	guard->journal = config->journal;
	guard->untils = (struct untils *)(void *)memory;
	if (!r && (!config->memory || !config->resumed))
		*guard->untils = (struct untils){INT64_MIN, INT64_MIN};
	if (!r && guard->n_noise)
		r = add_noise(guard, config, memory + round_up(sizeof(struct untils)));
	if (r)
		fnx_guard_free(guard);
	else
		*ret_guard = guard;
	return r;
}

struct fnx_guard *fnx_guard_free(struct fnx_guard *guard)
{
	if (guard) {
		fnx_envelope_free(guard->envelope);
		fnx_detector_free(guard->detector);
		free(guard->counts);
		free(guard->traces);
		free(guard->events);
		free(guard->owned);
		free(guard);
	}
	return NULL;
}

static void lengthen(struct fnx_guard *guard, int64_t *until, int64_t from, int64_t by)
{
	if (*until >= from + by)
		return;
	fnx_journal_touch(guard->journal, until, sizeof(*until));
	*until = from + by;
}

void fnx_guard_stimulated(struct fnx_guard *guard, int64_t sample_time)
{
	lengthen(guard, &guard->untils->blank, sample_time, guard->blank_samples);
}

static bool is_noisy(struct fnx_guard *guard, const float *lfp, double uv_per_count)
{
	for (uint32_t i = 0; i < guard->n_noise; i++)
		guard->counts[i] = lfp[guard->noise_channels[i]];
	fnx_envelope_step(guard->envelope, guard->counts, uv_per_count, NULL, guard->traces);
	fnx_detector_step(guard->detector, guard->traces, 0, guard->events);
	for (uint32_t t = 0; t <= guard->n_noise; t++)
		if (fnx_detector_active(guard->detector, t))
			return true;
	return false;
}

enum fnx_guard_answer fnx_guard_step(struct fnx_guard *guard, const float *lfp, double uv_per_count,
	int64_t sample_time, float *samples, uint32_t n_samples)
{
	bool artefact = false;

	for (uint32_t i = 0; guard->artefact_uv > 0 && i < n_samples; i++)
		if (fabs((double)samples[i] * uv_per_count) > guard->artefact_uv) {
			samples[i] = NAN;
			artefact = true;
		}
	if (artefact)
		lengthen(guard, &guard->untils->blank, sample_time, guard->blank_samples);
	if (guard->n_noise && is_noisy(guard, lfp, uv_per_count))
		lengthen(guard, &guard->untils->noise, sample_time, guard->noise_samples);
	if (sample_time <= guard->untils->blank)
		return FNX_GUARD_BLANK;
	return sample_time <= guard->untils->noise ? FNX_GUARD_SHUT : FNX_GUARD_OPEN;
}
