/* SPDX-License-Identifier: BSD-3-Clause */
/* A rule of the rig file: checked, with its settings, and the arithmetic that goes with its kind.
 */
#pragma once

#include "nodes/dispatch/head_rule.h"
#include "nodes/dispatch/replay.h"
#include "nodes/dispatch/ripple_rule.h"
#include "nodes/dispatch/truths.h"
#include "nodes/host/rig.h"
#include "schemas/decision.h"

enum {
	FNX_RULE_SETTINGS = 5,
	FNX_RULE_WHY_MAX = 200,
	FNX_RULE_SETTING_NAME_MAX = 64,
};

struct fnx_rule {
	const struct fnx_rig_rule *config;
	double clock_hz;
	struct fnx_replay *replay; /* of a replay rule, from start on */
	struct fnx_ripple_rule *ripple; /* of a ripple rule, from start on */
	struct fnx_head_rule *head; /* of a head direction rule, from start on */
	struct fnx_combination combination; /* of a combination */
	int64_t *was_true; /* of a combination, from start on: it was, when looked at last */
	int64_t own_was_true;
	char name[sizeof(((struct fnx_decision *)0)->rule_name)]; /* padded with zeros */
	/* As `fornix set` sees them. Which there are: fnx_rule_setting. */
	double settings[FNX_RULE_SETTINGS];
	char names[FNX_RULE_SETTINGS][FNX_RULE_SETTING_NAME_MAX]; /* replay_left.threshold */
};

struct fnx_rule_setting {
	const char *name;
	double min, max;
	const char *unit, *meaning;
};

/* Checks what of the rig's dispatch section is no rule's. -EINVAL: `why` as below. */
int fnx_dispatch_check(const struct fnx_rig *rig, char *why);
/* Checks rule `k` of the rig and learns its settings. -EINVAL: `why` (FNX_RULE_WHY_MAX bytes) names
 * the key and what was expected. Takes no memory. */
int fnx_rule_init(struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t k, char *why);
/* Where what a rule remembers lies, see fnx_replay_config. */
struct fnx_rule_place {
	void *memory; /* fnx_rule_memory_size bytes, 8-aligned; NULL: memory of its own */
	int resumed;
	struct fnx_journal *journal;
};

size_t fnx_rule_memory_size(
	const struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t n_arms);
/* Takes the memory, or what a predecessor left in it, for posteriors of any look. -EINVAL, -ENOMEM,
 * -EBADMSG: damaged, with `why` as above. */
int fnx_rule_start(struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t n_arms,
	const struct fnx_rule_place *place, char *why);
/* Whether it can ever be true of posteriors that name `n_recent` good spikes each. 0; -EINVAL, with
 * `why`. */
int fnx_rule_check_recent(const struct fnx_rule *rule, uint32_t n_recent, char *why);
void fnx_rule_fini(struct fnx_rule *rule);

/* Settings, the most wanted first; NULL: a rule of this kind has no i-th. i < FNX_RULE_SETTINGS. */
const struct fnx_rule_setting *fnx_rule_setting(const struct fnx_rule *rule, unsigned i);
/* Puts the settings in force. Cannot fail while they are within their ranges. Real-time. */
void fnx_rule_changed(struct fnx_rule *rule);
/* Combinations and head directions: 0: the animal is too fast for it. Real-time. */
int fnx_rule_lets(const struct fnx_rule *rule, double speed_cm_s);
/* 1: the settings of both would have the same names. */
int fnx_rule_same_name(const struct fnx_rule *a, const struct fnx_rule *b);
