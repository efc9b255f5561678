/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Safety: whether a rule that is true may have its task carried out. All times are sample
 * times; time is an argument.
 *
 * What always holds, whatever the rules say:
 *
 *	1. disarmed, nothing is done; in a dry run, nothing is done, armed or not;
 *	2. between any two tasks at least `lockout_samples` pass;
 *	3. between any two tasks of one rule at least that rule's own lock-out passes;
 *	4. no stretch of `per_samples` holds more than `max_tasks` tasks; 0 allows none at all;
 *	   and no run holds more than `max_per_run`, however often the node is restarted in it;
 *	5. a task counts for 2 to 4 whether or not the actuators managed to carry it out;
 *	6. after a restart that has lost what its predecessor did, everything is taken to
 *	   have been done at that moment: lock-outs begin, and the rate's allowance is used up;
 *	7. time that stands still or goes back is no reason to do anything sooner;
 *	8. of the tasks that may be done a fraction is held back on purpose: SHAM. It counts as
 *	   done, so that sham and real ones come alike. Which they are is a function of the
 *	   seed, the sample time and the rule: the same when replayed, or decided again.
 *
 * A rule that stays true gets one task per lock-out. What was held back is told, but does not
 * flood: of one stretch over which a rule is true, each outcome other than "acted" is told
 * once at most, and "locked out" is not told at all once the stretch had its own task, since
 * that lock-out is its own doing.
 *
 * Disarmed, every stretch over which a rule is true is told as such, and nothing else is
 * looked at. A dry run, armed or not, keeps lock-outs and limits over the tasks that it would
 * have done, in a book of its own: it tells DRY_RUN, LOCKED_OUT and RATE_LIMITED where an
 * armed run would tell ACTED, LOCKED_OUT and RATE_LIMITED (but for the repeated tasks of a
 * rule that stays true for longer than its lock-out), and holds up nothing once it is over.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "schemas/decision.h"

enum {
	FNX_SAFETY_SILENT = -1,
	FNX_SAFETY_TASKS_MAX = 1000000,
};

struct fnx_journal;

struct fnx_safety_config {
	uint32_t n_rules; /* from 1 */
	const int64_t *rule_lockouts_samples; /* [n_rules], from 0; copied */
	int64_t lockout_samples; /* from 0 */
	uint32_t max_tasks; /* 0..FNX_SAFETY_TASKS_MAX */
	int64_t per_samples; /* from 1 */
	uint64_t max_per_run; /* 0: no limit */
	double sham_fraction; /* 0..1 */
	uint64_t sham_seed;
	/* Where the books lie: fnx_safety_memory_size bytes, 8-aligned, that outlive this; NULL:
	 * memory of its own. */
	void *memory;
	int resumed; /* go on with what `memory` holds */
	struct fnx_journal *journal; /* over `memory`: hears of each change; NULL: none */
};

struct fnx_safety;

/* 0: a number is out of range. */
size_t fnx_safety_memory_size(const struct fnx_safety_config *config);
/* Disarmed and no dry run. -EINVAL: a number out of range; -ENOMEM; -EBADMSG: resumed, and these
 * can have been no such books. Not real-time. */
int fnx_safety_new(const struct fnx_safety_config *config, struct fnx_safety **ret_safety);
struct fnx_safety *fnx_safety_free(struct fnx_safety *safety);
/* In force from the next question on. Real-time. */
void fnx_safety_set(struct fnx_safety *safety, int armed, int dry_run);
/* See 6. Real-time: O(n_rules + max_tasks). */
void fnx_safety_restarted(struct fnx_safety *safety, int64_t now);
/* Rule number `rule` is true at `now`; `rose`: this begins a stretch over which it is true. Answers
 * which outcome to tell (enum fnx_decision_outcome), or FNX_SAFETY_SILENT. FNX_DECISION_ACTED:
 * carry the task out, now: it counts as done. Real-time. */
int fnx_safety_fire(struct fnx_safety *safety, uint32_t rule, int rose, int64_t now);
/* Brings what the next question will look at into this processor's cache; changes nothing.
 * Real-time. */
void fnx_safety_fetch(const struct fnx_safety *safety);

/* The same, where the caller knows already that the answer is `outcome`: whether to tell it. */
int fnx_safety_tell(struct fnx_safety *safety, uint32_t rule, int rose, int outcome);

/* `max_rate_per_min` as a number of tasks and a stretch of samples: whole tasks per minute; below
 * one a minute, one task per correspondingly longer time; never more often than stated. Rates above
 * FNX_SAFETY_TASKS_MAX are taken for that. */
void fnx_safety_rate(double max_rate_per_min, double clock_hz, uint32_t *ret_max_tasks,
	int64_t *ret_per_samples);
/* Samples in `ms`, rounded up: a lock-out is never shorter than stated. */
int64_t fnx_safety_samples(double ms, double clock_hz);
