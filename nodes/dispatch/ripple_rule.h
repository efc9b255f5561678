/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ripples: did enough electrodes start one together?
 *
 * The rule is looked at whenever a trace starts a ripple (an onset by the standard
 * threshold). At time t it is true when at least min_electrodes channels had their latest
 * onset in [t - window, t], so within `window` of each other, and the animal is slower than
 * max_speed_cm_s; for the consensus, when the consensus trace starts a ripple at t.
 *
 * It stays true from one onset to the next if the earlier ones still count by themselves
 * then: a fifth channel that joins four is the same ripple. Pure arithmetic; time is an
 * argument.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	FNX_RIPPLE_RULE_CONSENSUS = -1, /* channel of the consensus trace */
	FNX_RIPPLE_RULE_CHANNELS_MAX = 65536,
};

/* What may change while the rule is in use. */
struct fnx_ripple_rule_params {
	uint32_t min_electrodes; /* from 1; not for the consensus */
	int64_t window_samples; /* from 0: at the same sample */
	double max_speed_cm_s; /* 0: at any speed */
};

struct fnx_journal;

struct fnx_ripple_rule_config {
	uint32_t n_channels; /* LFP channels have numbers below this */
	int consensus; /* the consensus trace instead of the channels */
	struct fnx_ripple_rule_params params;
	/* Where the onsets lie: fnx_ripple_rule_memory_size bytes, 8-aligned, that outlive the
	 * rule; NULL: memory of its own. */
	void *memory;
	int resumed; /* go on with what `memory` holds */
	struct fnx_journal *journal; /* over `memory`: hears of each change; NULL: none */
};

struct fnx_ripple_rule_evidence {
	uint32_t n_electrodes; /* that speak for it, 0 for the consensus */
	int rose; /* this is not the ripple for which it was true before */
};

struct fnx_ripple_rule;

size_t fnx_ripple_rule_memory_size(const struct fnx_ripple_rule_config *config);
/* -EINVAL: a number out of range; -ENOMEM. Not real-time. */
int fnx_ripple_rule_new(
	const struct fnx_ripple_rule_config *config, struct fnx_ripple_rule **ret_rule);
struct fnx_ripple_rule *fnx_ripple_rule_free(struct fnx_ripple_rule *rule);
/* -EINVAL: out of range, nothing changed. Between two onsets. Real-time. */
int fnx_ripple_rule_set(struct fnx_ripple_rule *rule, const struct fnx_ripple_rule_params *params);
/* An onset by `channel` (FNX_RIPPLE_RULE_CONSENSUS: by the consensus; unknown ones are ignored) at
 * sample time `now`. 1: the rule is true; 0: it is not. Real-time: O(n_channels). */
int fnx_ripple_rule_onset(struct fnx_ripple_rule *rule, int32_t channel, int64_t now,
	double speed_cm_s, struct fnx_ripple_rule_evidence *ret_evidence);
