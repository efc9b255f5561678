/* SPDX-License-Identifier: BSD-3-Clause */
/* Models and waiting spikes are what takes memory; of the other nodes' states, and of the journals,
 * a round figure is enough. */
#include <stdio.h>

#include "nodes/decode/node.h"
#include "nodes/encode/node.h"
#include "nodes/fornix/check.h"

enum {
	SMALL = 160 << 10, /* progress, filters, statistics, windows, journal */
};

static uint64_t encode_bytes(const struct fnx_check *check, const struct fnx_rig_ids *groups)
{
	uint64_t bytes = SMALL;

	for (uint32_t i = 0; i < groups->n; i++) {
		const struct fnx_model_config config = fnx_encode_model_config(
			check->rig, groups->values[i], fnx_track_bins(check->track));

		bytes += fnx_model_memory_size(&config);
	}
	return bytes;
}

static void print_state(struct fnx_check *check, const char *node, uint64_t bytes)
{
	check->pool_bytes += bytes;
	printf("  %-20s %-12s %6s   %8s        %9.2f MiB\n", node, "", "", "",
		(double)bytes / (1 << 20));
}

void fnx_check_print_states(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;

	printf("\nstates (what a node has learnt, for its successor; about)\n");
	for (uint32_t i = 0; check->track && rig->encode.enabled && i < rig->encode.n_instances;
		i++)
		print_state(check, rig->encode.instances[i].name,
			encode_bytes(check, &rig->encode.instances[i].groups));
	if (check->track && rig->decode.enabled)
		print_state(check, "decode",
			SMALL + fnx_decode_waiting_bytes(fnx_track_bins(check->track)));
	print_state(check, "every other node", SMALL);
}
