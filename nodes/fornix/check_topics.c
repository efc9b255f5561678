/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/segment.h"
#include "bus/task.h"
#include "nodes/decode/state_space.h"
#include "nodes/dispatch/node.h"
#include "nodes/fornix/check.h"
#include "nodes/ripple/detector.h"
#include "schemas/decision.h"
#include "schemas/description.h"
#include "schemas/lfp.h"
#include "schemas/likelihood.h"
#include "schemas/outcome.h"
#include "schemas/param.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"
#include "schemas/spike.h"
#include "schemas/truth.h"

enum {
	PARAMS_SLOTS = 16,
	ENTRIES_PER_SLOT = 4,
	PAGE = 4096
};

struct topic {
	const char *publisher;
	const struct fnx_schema *schema;
	uint32_t extents[FNX_SCHEMA_EXTENTS_MAX];
	uint32_t min_slots;
};

static uint32_t most_channels(const struct fnx_rig *rig)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
		if (rig->electrode_groups[i].n_channels > most)
			most = rig->electrode_groups[i].n_channels;
	return most;
}

static struct topic likelihood(const struct fnx_check *check, const char *name)
{
	const struct fnx_rig *rig = check->rig;
	struct topic topic = {
		.schema = &fnx_likelihood_schema, .extents = {fnx_track_bins(check->track)}};
	unsigned k;

	if (sscanf(name, "likelihood.%u", &k) == 1 && k >= 1 && k <= rig->encode.n_instances)
		topic.publisher = rig->encode.instances[k - 1].name;
	return topic;
}

static struct topic posterior(const struct fnx_check *check)
{
	const struct fnx_rig_decode *decode = &check->rig->decode;

	return (struct topic){.publisher = "decode",
		.schema = &fnx_posterior_schema,
		.extents = {
			[fnx_posterior_n_states] =
				decode->algorithm == FNX_DECODE_CLASSIFIER ? decode->n_states : 1,
			[fnx_posterior_n_bins] = fnx_track_bins(check->track),
			[fnx_posterior_n_recent] = FNX_RECENT_MAX,
		}};
}

/* What the nodes' open functions will ask for. */
static struct topic topic_of(const struct fnx_check *check, const char *name)
{
	const struct fnx_rig *rig = check->rig;

	if (!strcmp(name, "position"))
		return (struct topic){.publisher = "acquire", .schema = &fnx_position_schema};
	if (!strcmp(name, "truth"))
		return (struct topic){.publisher = "acquire", .schema = &fnx_truth_schema};
	if (!strcmp(name, "lfp"))
		return (struct topic){.publisher = "acquire",
			.schema = &fnx_lfp_schema,
			.extents = {rig->lfp.n_channels}};
	if (!strcmp(name, "spikes"))
		return (struct topic){.publisher = "acquire",
			.schema = &fnx_spike_schema,
			.extents = {[fnx_spike_max_channels] = most_channels(rig),
				[fnx_spike_max_points] = rig->spikes.n_points}};
	if (!strcmp(name, "posterior"))
		return posterior(check);
	if (!strcmp(name, "ripple"))
		return (struct topic){.publisher = "ripple",
			.schema = &fnx_ripple_schema,
			.min_slots = 2 * FNX_DETECTOR_EVENTS_PER_TRACE *
				(fnx_check_ripple_channels(rig) + 1)};
	if (!strcmp(name, "decision"))
		return (struct topic){.publisher = "dispatch",
			.schema = &fnx_decision_schema,
			.min_slots = 2 * rig->dispatch.n_rules};
	if (!strcmp(name, "decision.outcome"))
		return (struct topic){.publisher = "dispatch",
			.schema = &fnx_outcome_schema,
			.min_slots = 2 * FNX_DISPATCH_OUTCOMES};
	return likelihood(check, name);
}

static uint64_t rounded(uint64_t size, uint64_t to)
{
	return (size + to - 1) / to * to;
}

/* The two files of a topic: header, description, ledger and pool; the subscribers' records. */
static uint64_t file_bytes(const struct fnx_layout *layout, uint32_t slots)
{
	unsigned char description[FNX_DESCRIPTION_MAX];
	uint64_t entries = 1, bytes = FNX_SEGMENT_HEADER_SIZE;
	size_t size;

	if (!fnx_description_encode(layout, description, sizeof(description), &size))
		bytes += size;
	while (entries <= slots || entries < (uint64_t)slots * ENTRIES_PER_SLOT)
		entries *= 2;
	bytes = rounded(bytes, FNX_CACHE_LINE) + entries * sizeof(struct fnx_entry);
	bytes = rounded(bytes, PAGE) +
		fnx_slot_stride(rounded(layout->size, FNX_CACHE_LINE)) * slots;
	return rounded(bytes, PAGE) + FNX_SUBS_HEADER_SIZE +
		FNX_SUBSCRIBERS_MAX * sizeof(struct fnx_record);
}

static void print_topic(
	struct fnx_check *check, const char *name, const struct topic *topic, uint32_t slots)
{
	struct fnx_layout layout;
	uint64_t bytes;

	if (!topic->publisher || fnx_layout_init(&layout, topic->schema, topic->extents)) {
		printf("  %-20s impossible sizes\n", name);
		return;
	}
	if (slots < topic->min_slots)
		slots = topic->min_slots;
	bytes = file_bytes(&layout, slots);
	check->pool_bytes += bytes;
	printf("  %-20s %-12s %6u x %8u bytes  %9.2f MiB\n", name, topic->publisher, slots,
		layout.size, (double)bytes / (1 << 20));
}

static const char *node_of_params(const char *name, char node[FNX_NAME_MAX])
{
	snprintf(node, FNX_NAME_MAX, "%.*s", (int)(strlen(name) - strlen(".params")), name);
	return node;
}

/* One of each node. */
static void print_pages(struct fnx_check *check)
{
	unsigned n = 0;

	for (unsigned i = 0; fnx_all_nodes[i]; i++)
		for (unsigned k = 0; fnx_rig_node_name(fnx_all_nodes[i], check->rig, k); k++)
			n++;
	check->pool_bytes += n * sizeof(struct fnx_status);
	printf("  %-20s %-12s %6u x %8zu bytes  %9.2f MiB\n", "status pages", "all nodes", n,
		sizeof(struct fnx_status), (double)(n * sizeof(struct fnx_status)) / (1 << 20));
}

static void print_tasks(struct fnx_check *check)
{
	const struct fnx_rig_dispatch *dispatch = &check->rig->dispatch;
	const struct fnx_task_config config = {.window = dispatch->task_window,
		.consumed_window = dispatch->task_consumed_window,
		.heap_size = (uint64_t)dispatch->task_heap_kb << 10,
		.n_traced = dispatch->task_trace};
	uint64_t bytes = fnx_task_file_size(&config);

	if (!dispatch->enabled)
		return;
	check->pool_bytes += bytes;
	printf("  %-20s %-12s %6u tasks %21.2f MiB\n", "task runtime", "dispatch",
		dispatch->task_window, (double)bytes / (1 << 20));
}

void fnx_check_print_topics(struct fnx_check *check)
{
	char names[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX], node[FNX_NAME_MAX];
	unsigned n = fnx_rig_topics(check->rig, names, FNX_RIG_TOPICS_MAX);

	check->pool_bytes = 0;
	printf("\ntopics (slots x frame, memory with ledger)\n");
	for (unsigned i = 0; i < n && i < FNX_RIG_TOPICS_MAX; i++) {
		struct topic topic = topic_of(check, names[i]);

		print_topic(check, names[i], &topic, fnx_rig_topic_slots(check->rig, names[i]));
	}
	n = fnx_rig_params(check->rig, names, FNX_RIG_TOPICS_MAX);
	for (unsigned i = 0; i < n && i < FNX_RIG_TOPICS_MAX; i++) {
		struct topic topic = {
			.publisher = node_of_params(names[i], node), .schema = &fnx_param_schema};

		print_topic(check, names[i], &topic, PARAMS_SLOTS);
	}
	print_pages(check);
	print_tasks(check);
	fnx_check_print_states(check);
	printf("  %-20s %-12s %6s   %8s        %9.2f MiB of shared memory\n", "all", "", "", "",
		(double)check->pool_bytes / (1 << 20));
}
