/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/truths.h"

#include "bus/journal.h"

void fnx_truths_set(struct fnx_truths *truths, struct fnx_journal *journal, uint32_t k, int is_true,
	int64_t now)
{
	uint32_t bit = UINT32_C(1) << k;

	if (!is_true && !(truths->now & bit))
		return;
	fnx_journal_touch(journal, &truths->seen, 2 * sizeof(truths->seen));
	truths->now = is_true ? truths->now | bit : truths->now & ~bit;
	if (!is_true)
		return;
	fnx_journal_touch(journal, &truths->last[k], sizeof(truths->last[k]));
	truths->last[k] = now;
	truths->seen |= bit;
}

static uint32_t within(const struct fnx_truths *truths, uint32_t rules, int64_t window, int64_t now)
{
	uint32_t found = 0;
	int64_t age;

	for (uint32_t k = 0; k < FNX_TRUTHS_MAX; k++)
		if (rules & truths->seen & UINT32_C(1) << k &&
			!__builtin_sub_overflow(now, truths->last[k], &age) && age >= 0 &&
			age <= window)
			found |= UINT32_C(1) << k;
	return found;
}

int fnx_truths_combine(const struct fnx_truths *truths, const struct fnx_combination *combination,
	uint32_t fresh, int64_t now)
{
	const struct fnx_combination *c = combination;

	return (fresh & (c->all_of | c->any_of)) &&
		within(truths, c->all_of, c->window_samples, now) == c->all_of &&
		(!c->any_of || within(truths, c->any_of, c->window_samples, now)) &&
		!within(truths, c->none_of, c->window_samples, now);
}
