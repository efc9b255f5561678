/* SPDX-License-Identifier: BSD-3-Clause */
/* The latest onset of each channel is all that is kept. Counting anew at each onset costs a few
 * hundred comparisons a few times a second, and leaves nothing that could go out of step. */
#include "nodes/dispatch/ripple_rule.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct fnx_ripple_rule {
	struct fnx_ripple_rule_config config;
	int was_true;
	/* [n_channels], the consensus being the only channel of its rule */
	struct onset {
		bool seen;
		int64_t time;
	} * onsets;
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

int fnx_ripple_rule_new(
	const struct fnx_ripple_rule_config *config, struct fnx_ripple_rule **ret_rule)
{
	struct fnx_ripple_rule *rule;
	uint32_t n_channels = config->consensus ? 1 : config->n_channels;
	int r = -ENOMEM;

	if (!n_channels || n_channels > FNX_RIPPLE_RULE_CHANNELS_MAX)
		return -EINVAL;
	rule = calloc(1, sizeof(*rule));
	if (rule) {
		rule->config = *config;
		rule->config.n_channels = n_channels;
		rule->onsets = calloc(n_channels, sizeof(*rule->onsets));
		if (rule->onsets)
			r = fnx_ripple_rule_set(rule, &config->params);
	}
	if (r)
		fnx_ripple_rule_free(rule);
	else
		*ret_rule = rule;
	return r;
}

struct fnx_ripple_rule *fnx_ripple_rule_free(struct fnx_ripple_rule *rule)
{
	if (rule)
		free(rule->onsets);
	free(rule);
	return NULL;
}

/* Onsets that come out of order, from beyond `now`, do not count: they have had their turn. */
static uint32_t count(const struct fnx_ripple_rule *rule, int64_t now)
{
	uint32_t n = 0;
	int64_t age;

	for (uint32_t i = 0; i < rule->config.n_channels; i++)
		n += rule->onsets[i].seen &&
			!__builtin_sub_overflow(now, rule->onsets[i].time, &age) && age >= 0 &&
			age <= rule->config.params.window_samples;
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
	held = rule->was_true && count(rule, now) >= params->min_electrodes;
	rule->onsets[index] = (struct onset){.seen = true, .time = now};
	n = count(rule, now);
	is_true = n >= params->min_electrodes &&
		(params->max_speed_cm_s == 0 || fabs(speed_cm_s) < params->max_speed_cm_s);
	ret_evidence->n_electrodes = rule->config.consensus ? 0 : n;
	ret_evidence->rose = is_true && !held;
	rule->was_true = is_true;
	return is_true;
}
