/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The competitive rule for renting or buying, with a guess at which it will be. An average rather
 * than a histogram of gaps: what matters is only on which side of one threshold the next gap lies.
 */
#include "bus/patience.h"

enum {
	WEIGHT = 8, /* a wait counts one in so many */
	LONG = 4, /* wakes; a longer wait counts as this long */
};

void fnx_patience_init(struct fnx_patience *patience, int64_t limit_ns, int64_t wake_ns)
{
	*patience = (struct fnx_patience){
		.limit_ns = limit_ns, .wake_ns = wake_ns, .wait_ns = LONG * wake_ns};
}

int64_t fnx_patience_ns(const struct fnx_patience *patience)
{
	int64_t longest =
		patience->limit_ns < patience->wake_ns ? patience->limit_ns : patience->wake_ns;

	return patience->wait_ns < longest ? longest : 0;
}

void fnx_patience_learn(struct fnx_patience *patience, int64_t waited_ns, int slept)
{
	if (slept)
		waited_ns -= patience->wake_ns;
	if (waited_ns < 0)
		waited_ns = 0;
	if (waited_ns > LONG * patience->wake_ns)
		waited_ns = LONG * patience->wake_ns;
	patience->wait_ns += (waited_ns - patience->wait_ns) / WEIGHT;
}
