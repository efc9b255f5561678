/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/decode/spikes.h"

/* By pairs of runs; spikes arrive almost sorted and then nothing moves. */
uint32_t *fnx_spikes_sort(
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

/* Whether one of those kept before has the same time (and group). */
static bool is_repeat(const struct fnx_decode_spike *spikes, const uint32_t *kept, uint32_t n_kept,
	const struct fnx_decode_spike *spike, bool same_group)
{
	for (uint32_t i = n_kept; i-- > 0;) {
		const struct fnx_decode_spike *other = &spikes[kept[i]];

		if (other->sample_time != spike->sample_time)
			return false;
		if (!same_group || other->group == spike->group)
			return true;
	}
	return false;
}

uint32_t fnx_spikes_unique(const struct fnx_decode_spike *spikes, uint32_t *order, uint32_t n,
	enum fnx_duplicates duplicates)
{
	uint32_t n_kept = 0;

	for (uint32_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
			end < n && spikes[order[end]].sample_time == spikes[order[i]].sample_time;
			end++)
			;
		if (duplicates == FNX_DUPLICATES_PARITY && end - i >= 3)
			continue;
		for (uint32_t k = i; k < end; k++)
			if (!is_repeat(spikes, order, n_kept, &spikes[order[k]],
				    duplicates == FNX_DUPLICATES_PER_GROUP))
				order[n_kept++] = order[k];
	}
	return n_kept;
}
