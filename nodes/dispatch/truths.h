/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Truths: when each rule was true last, and what combinations of them say.
 *
 * A rule counts as true at `now` for a combination when it was true at most `window` samples ago.
 * A combination is true when
 *
 *	every rule of all_of counts as true, and
 *	one of any_of at least does, if it names any, and
 *	none of none_of does, and
 *	one of those of all_of or any_of is true in this very frame: old news alone is no news
 *
 * Combinations name rules that stand above them, other combinations too: so and, or, not nest.
 * Pure arithmetic, [frame].
 */
#pragma once

#include <stdint.h>

enum {
	FNX_TRUTHS_MAX = 32
};

struct fnx_journal;

/* In memory that outlives the node; any bytes will do. */
struct fnx_truths {
	int64_t last[FNX_TRUTHS_MAX]; /* sample time, of those seen */
	uint32_t seen; /* bit k: rule k was true once */
	uint32_t now; /* and was so when it was looked at last */
};

struct fnx_combination {
	uint32_t all_of, any_of, none_of; /* bit k: rule k */
	int64_t window_samples;
};

/* Rule k has just been looked at, at sample time `now`. */
void fnx_truths_set(struct fnx_truths *truths, struct fnx_journal *journal, uint32_t k, int is_true,
	int64_t now);
/* `fresh`: bit per rule that is true in this frame. 1: the combination is true. */
int fnx_truths_combine(const struct fnx_truths *truths, const struct fnx_combination *combination,
	uint32_t fresh, int64_t now);
