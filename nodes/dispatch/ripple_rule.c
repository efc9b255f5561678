/* SPDX-License-Identifier: BSD-3-Clause */
/* The latest onset of each channel is all that is kept. Counting anew at each onset costs a few
 * hundred comparisons a few times a second, and leaves nothing that could go out of step. */
#include "nodes/dispatch/ripple_rule.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/journal.h"

struct onset {
	int64_t time;
	int64_t seen; /* 0: never */
};

/* In the config's memory or our own. */
struct memory {
	int64_t was_true;
	struct onset onsets[]; /* [n_channels], the consensus being the only channel of its rule */
};

struct fnx_ripple_rule {
	struct fnx_ripple_rule_config config;
	struct memory *memory;
	void *owned;
};

int fnx_ripple_rule_set(struct fnx_ripple_rule *rule, const struct fnx_ripple_rule_params *params)
{
	if ((!params->min_electrodes && !rule->config.consensus) || params->window_samples < 0 ||
		!(params->max_speed_cm_s >= 0))
		return -EINVAL;
	rule->config.params = *params;
	if (rule->config.consensus)
		rule->config.params.min_electrodes = 1;
	return 0;
}

static uint32_t channels_of(const struct fnx_ripple_rule_config *config)
{
	return config->consensus ? 1 : config->n_channels;
}

size_t fnx_ripple_rule_memory_size(const struct fnx_ripple_rule_config *config)
{
	return sizeof(struct memory) + channels_of(config) * sizeof(struct onset);
}

int fnx_ripple_rule_new(
	const struct fnx_ripple_rule_config *config, struct fnx_ripple_rule **ret_rule)
{
	uint32_t n_channels = channels_of(config);
	struct fnx_ripple_rule *rule;
	int r;

	if (!n_channels || n_channels > FNX_RIPPLE_RULE_CHANNELS_MAX)
		return -EINVAL;
	rule = calloc(1, sizeof(*rule));
	if (!rule)
		return -ENOMEM;
	rule->config = *config;
	rule->config.n_channels = n_channels;
	if (!config->memory)
		rule->owned = malloc(fnx_ripple_rule_memory_size(config));
	rule->memory = config->memory ? config->memory : rule->owned;
	r = rule->memory ? fnx_ripple_rule_set(rule, &config->params) : -ENOMEM;
	if (r) {
		fnx_ripple_rule_free(rule);
		return r;
	}
	if (!config->memory || !config->resumed)
		memset(rule->memory, 0, fnx_ripple_rule_memory_size(config));
	*ret_rule = rule;
	return 0;
}

struct fnx_ripple_rule *fnx_ripple_rule_free(struct fnx_ripple_rule *rule)
{
	if (rule)
		free(rule->owned);
	free(rule);
	return NULL;
}

/* Onsets that come out of order, from beyond `now`, do not count: they have had their turn. */
static uint32_t count(const struct fnx_ripple_rule *rule, int64_t now)
{
	uint32_t n = 0;
	int64_t age;

	for (uint32_t i = 0; i < rule->config.n_channels; i++)
		n += rule->memory->onsets[i].seen &&
			!__builtin_sub_overflow(now, rule->memory->onsets[i].time, &age) &&
			age >= 0 && age <= rule->config.params.window_samples;
	return n;
}

int fnx_ripple_rule_onset(struct fnx_ripple_rule *rule, int32_t channel, int64_t now,
	double speed_cm_s, struct fnx_ripple_rule_evidence *ret_evidence)
{
	const struct fnx_ripple_rule_params *params = &rule->config.params;
	uint32_t index = rule->config.consensus ? 0 : (uint32_t)channel;
	int held, is_true;
	uint32_t n;

	*ret_evidence = (struct fnx_ripple_rule_evidence){0};
	if (rule->config.consensus ? channel != FNX_RIPPLE_RULE_CONSENSUS
				   : channel < 0 || index >= rule->config.n_channels)
		return 0;
	held = rule->memory->was_true && count(rule, now) >= params->min_electrodes;
	fnx_journal_touch(rule->config.journal, rule->memory, sizeof(*rule->memory));
	fnx_journal_touch(rule->config.journal, &rule->memory->onsets[index], sizeof(struct onset));
	rule->memory->onsets[index] = (struct onset){.seen = 1, .time = now};
	n = count(rule, now);
	is_true = n >= params->min_electrodes &&
		(params->max_speed_cm_s == 0 || fabs(speed_cm_s) < params->max_speed_cm_s);
	ret_evidence->n_electrodes = rule->config.consensus ? 0 : n;
	ret_evidence->rose = is_true && !held;
	rule->memory->was_true = is_true;
	return is_true;
}
