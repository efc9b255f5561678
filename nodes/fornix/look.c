/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/look.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/presence.h"
#include "nodes/fornix/cells.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/locate.h"
#include "schemas/text.h"

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The array with room for one element more, which is zeroed. NULL: out of memory, the array is as
 * it was. */
static void *grow(void *array, unsigned n, size_t size)
{
	char *grown = reallocarray(array, n + 1, size);

	if (grown)
		memset(grown + n * size, 0, size);
	return grown;
}

static struct fnx_look_node *new_node(struct fnx_look *look)
{
	struct fnx_look_node *nodes = grow(look->nodes, look->n_nodes, sizeof(*nodes));

	if (!nodes)
		return NULL;
	look->nodes = nodes;
	return &nodes[look->n_nodes++];
}

static struct fnx_look_hop *new_hop(struct fnx_look *look)
{
	struct fnx_look_hop *hops = grow(look->hops, look->n_hops, sizeof(*hops));

	if (!hops)
		return NULL;
	look->hops = hops;
	return &hops[look->n_hops++];
}

static struct fnx_look_topic *new_topic(struct fnx_look *look)
{
	struct fnx_look_topic *topics = grow(look->topics, look->n_topics, sizeof(*topics));

	if (!topics)
		return NULL;
	look->topics = topics;
	return &topics[look->n_topics++];
}

/* Durations
 * ---------------------------------------------------------------------------------------------- */

static void copy_durations(struct fnx_durations *to, const struct fnx_histogram *from)
{
	to->max_ns = load(&from->max_ns);
	for (unsigned i = 0; i < FNX_HISTOGRAM_BUCKETS; i++)
		to->counts[i] = load(&from->buckets[i]);
}

uint64_t fnx_durations_quantile(
	const struct fnx_durations *now, const struct fnx_durations *before, double fraction)
{
	struct fnx_histogram between = {.max_ns = now->max_ns};

	for (unsigned i = 0; i < FNX_HISTOGRAM_BUCKETS; i++) {
		uint64_t first = before ? before->counts[i] : 0;

		/* A count that fell is of another life, or nonsense. */
		atomic_init(
			&between.buckets[i], now->counts[i] > first ? now->counts[i] - first : 0);
	}
	return fnx_histogram_quantile(&between, fraction);
}

/* Pages
 * ---------------------------------------------------------------------------------------------- */

static uint32_t bounded(uint32_t n)
{
	return n < FNX_STATUS_TOPICS_MAX ? n : FNX_STATUS_TOPICS_MAX;
}

static int look_at_inputs(
	struct fnx_look *look, struct fnx_look_node *node, const struct fnx_status *status)
{
	for (uint32_t i = 0; i < node->n_inputs; i++) {
		const struct fnx_status_topic *input = &status->inputs[i];
		struct fnx_look_hop *hop = new_hop(look);

		if (!hop)
			return -ENOMEM;
		fnx_text_copy(hop->topic, input->name, sizeof(hop->topic));
		memcpy(hop->reader, node->name, sizeof(hop->reader));
		hop->started_ns = node->started_ns;
		hop->since_ns = node->since_ns;
		hop->ended_ns = node->ended_ns;
		hop->frames = load(&input->frames);
		hop->gaps = load(&input->gaps);
		hop->missed = load(&input->missed);
		hop->late = load(&input->late);
		hop->bad = load(&input->bad);
		hop->peak_depth = load(&input->peak_depth);
		copy_durations(&hop->hop, &status->hops[i]);
		copy_durations(&hop->age, &input->age);
		node->in += hop->frames;
		node->gaps += hop->gaps;
		node->missed += hop->missed;
		node->late += hop->late;
		node->bad += hop->bad;
		if (hop->peak_depth > node->peak_depth)
			node->peak_depth = hop->peak_depth;
	}
	return 0;
}

static int look_at_outputs(
	struct fnx_look *look, struct fnx_look_node *node, const struct fnx_status *status)
{
	for (uint32_t i = 0; i < node->n_outputs; i++) {
		const struct fnx_status_topic *output = &status->outputs[i];
		struct fnx_look_topic *topic = new_topic(look);

		if (!topic)
			return -ENOMEM;
		fnx_text_copy(topic->name, output->name, sizeof(topic->name));
		memcpy(topic->publisher, node->name, sizeof(topic->publisher));
		topic->alive = node->alive;
		topic->started_ns = node->started_ns;
		topic->since_ns = node->since_ns;
		topic->ended_ns = node->ended_ns;
		topic->frames = load(&output->frames);
		topic->dropped = load(&output->dropped);
		topic->lapped = load(&output->lapped);
		topic->suppressed = load(&output->suppressed);
		copy_durations(&topic->age, &output->age);
		node->out += topic->frames;
		node->drops += topic->dropped + topic->lapped;
	}
	return 0;
}

static void copy_page(
	struct fnx_look_node *node, const struct fnx_bus *bus, const struct fnx_status *status)
{
	node->alive = fnx_presence_check(bus, node->name) > 0;
	node->state = atomic_load(&status->state);
	node->starts = atomic_load(&status->starts);
	node->pid = atomic_load(&status->pid);
	node->tid = atomic_load(&status->tid);
	node->n_inputs = bounded(atomic_load(&status->n_inputs));
	node->n_outputs = bounded(atomic_load(&status->n_outputs));
	node->first_sample_time = atomic_load(&status->first_sample_time);
	node->sample_time = atomic_load(&status->sample_time);
	node->started_ns = atomic_load(&status->started_ns);
	node->ended_ns = atomic_load(&status->ended_ns);
	node->since_ns = node->starts > 1 ? 0 : node->started_ns;
	node->wakes = load(&status->wakes);
	node->missed_wakes = load(&status->missed_wakes);
	node->heap_allocations = load(&status->heap_allocations);
	node->full_waits = load(&status->full_waits);
	copy_durations(&node->latency, &status->latency);
	copy_durations(&node->turn, &status->turn);
	fnx_text_copy(node->text, status->text, sizeof(node->text));
	fnx_text_copy(node->realtime, status->realtime, sizeof(node->realtime));
}

static int look_at_page(struct fnx_look *look, const struct fnx_bus *bus, const char *name)
{
	const struct fnx_status *status;
	struct fnx_look_node *node;
	int r;

	if (fnx_status_open(bus, name, &status))
		return 0;
	node = new_node(look);
	r = node ? 0 : -ENOMEM;
	if (!r) {
		memcpy(node->name, name, sizeof(node->name));
		copy_page(node, bus, status);
		r = look_at_inputs(look, node, status);
	}
	if (!r)
		r = look_at_outputs(look, node, status);
	fnx_status_close(status);
	return r;
}

/* Topics
 * ---------------------------------------------------------------------------------------------- */

static void meet(
	struct fnx_look *look, struct fnx_look_topic *topic, const struct fnx_view_subscriber *sub)
{
	for (unsigned i = 0; i < look->n_hops; i++) {
		struct fnx_look_hop *hop = &look->hops[i];

		if (strcmp(hop->topic, topic->name) || strcmp(hop->reader, sub->node))
			continue;
		hop->is_joined = !sub->claimed;
		hop->parked = sub->parked;
		hop->policy = sub->policy;
		hop->depth = sub->lag;
		hop->n_held = sub->n_held;
	}
}

static void look_at_files(
	struct fnx_look *look, const struct fnx_bus *bus, struct fnx_look_topic *topic)
{
	struct fnx_view *view;

	for (unsigned i = 0; i < look->n_hops; i++)
		if (!strcmp(look->hops[i].topic, topic->name) &&
			look->hops[i].peak_depth > topic->peak_depth)
			topic->peak_depth = look->hops[i].peak_depth;
	if (!fnx_name_valid(topic->name) || fnx_view_open(bus, topic->name, 0, &view))
		return;
	topic->is_open = !strcmp(view->node, topic->publisher);
	if (topic->is_open) {
		topic->n_slots = view->n_slots;
		topic->n_used = view->n_used;
		topic->n_pinned = view->n_pinned;
		topic->slot_size = view->slot_size;
		topic->n_subscribers = view->n_subscribers;
		for (unsigned i = 0; i < view->n_subscribers; i++)
			meet(look, topic, &view->subscribers[i]);
	}
	fnx_view_close(view);
}

/* Processes
 * ---------------------------------------------------------------------------------------------- */

static void look_at_process(struct fnx_look *look, struct fnx_look_node *node)
{
	node->proc = (struct fnx_proc){.cpu_s = NAN, .queued_s = NAN, .wakes = NAN};
	if (!node->alive || node->pid <= 0)
		return;
	for (unsigned i = 0; i < look->n_nodes; i++)
		if (&look->nodes[i] != node && look->nodes[i].alive &&
			look->nodes[i].pid == node->pid)
			node->shares_process = 1;
	fnx_proc_look("/proc", node->pid, node->shares_process && node->tid > 0 ? node->tid : 0,
		&node->proc);
}

/* Looking
 * ---------------------------------------------------------------------------------------------- */

static int sources_first(const void *a, const void *b)
{
	const struct fnx_look_node *x = a, *y = b;

	if (!x->n_inputs != !y->n_inputs)
		return x->n_inputs ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* By topic and reader; those over which nothing has come stand last. */
static int by_topic(const void *a, const void *b)
{
	const struct fnx_look_hop *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);

	if (!x->frames != !y->frames)
		return x->frames ? -1 : 1;
	return order ? order : strcmp(x->reader, y->reader);
}

static void sum_depths(struct fnx_look *look)
{
	for (unsigned i = 0; i < look->n_nodes; i++)
		for (unsigned k = 0; k < look->n_hops; k++)
			if (!strcmp(look->hops[k].reader, look->nodes[i].name))
				look->nodes[i].depth += look->hops[k].depth;
}

int fnx_look_at(const struct fnx_bus *bus, struct fnx_look *ret_look)
{
	struct fnx_look look = {.now_ns = fnx_node_now()};
	struct fnx_names names;
	int r = fnx_names_find(&names, bus->segment_dir, "", FNX_NODE_SUFFIX);

	if (r)
		return r;
	for (unsigned i = 0; i < names.n && !r; i++)
		r = look_at_page(&look, bus, names.at[i]);
	fnx_names_free(&names);
	if (r) {
		fnx_look_free(&look);
		return r;
	}
	for (unsigned i = 0; i < look.n_topics; i++)
		look_at_files(&look, bus, &look.topics[i]);
	for (unsigned i = 0; i < look.n_nodes; i++)
		look_at_process(&look, &look.nodes[i]);
	sum_depths(&look);
	if (look.n_nodes)
		qsort(look.nodes, look.n_nodes, sizeof(*look.nodes), sources_first);
	if (look.n_hops)
		qsort(look.hops, look.n_hops, sizeof(*look.hops), by_topic);
	*ret_look = look;
	return 0;
}

void fnx_look_free(struct fnx_look *look)
{
	free(look->nodes);
	free(look->hops);
	free(look->topics);
	*look = (struct fnx_look){.now_ns = 0};
}

/* Comparing
 * ---------------------------------------------------------------------------------------------- */

const struct fnx_look_node *fnx_look_node_before(
	const struct fnx_look *before, const struct fnx_look_node *node)
{
	for (unsigned i = 0; before && i < before->n_nodes; i++)
		if (!strcmp(before->nodes[i].name, node->name) &&
			before->nodes[i].started_ns == node->started_ns)
			return &before->nodes[i];
	return NULL;
}

const struct fnx_look_hop *fnx_look_hop_before(
	const struct fnx_look *before, const struct fnx_look_hop *hop)
{
	for (unsigned i = 0; before && i < before->n_hops; i++)
		if (!strcmp(before->hops[i].topic, hop->topic) &&
			!strcmp(before->hops[i].reader, hop->reader) &&
			before->hops[i].started_ns == hop->started_ns)
			return &before->hops[i];
	return NULL;
}

const struct fnx_look_topic *fnx_look_topic_before(
	const struct fnx_look *before, const struct fnx_look_topic *topic)
{
	for (unsigned i = 0; before && i < before->n_topics; i++)
		if (!strcmp(before->topics[i].name, topic->name) &&
			!strcmp(before->topics[i].publisher, topic->publisher) &&
			before->topics[i].started_ns == topic->started_ns)
			return &before->topics[i];
	return NULL;
}

double fnx_look_rate(const struct fnx_look *now, const struct fnx_look *before, double count,
	const double *count_before, int64_t since_ns, int64_t ended_ns)
{
	int64_t until_ns = now->now_ns;

	if (count_before)
		since_ns = before->now_ns;
	else if (ended_ns > since_ns)
		until_ns = ended_ns;
	if (until_ns <= since_ns || !since_ns || (count_before && count < *count_before))
		return NAN;
	return (count - (count_before ? *count_before : 0)) /
		(((double)until_ns - (double)since_ns) / 1e9);
}

/* Saying
 * ---------------------------------------------------------------------------------------------- */

int fnx_look_has_died(const struct fnx_look_node *node)
{
	return !node->alive && node->state >= FNX_NODE_STARTING && node->state <= FNX_NODE_ENDED;
}

const char *fnx_look_state(const struct fnx_look_node *node)
{
	static const char *const names[] = {[FNX_NODE_STARTING] = "starting",
		[FNX_NODE_READY] = "ready",
		[FNX_NODE_RUNNING] = "running",
		[FNX_NODE_ENDED] = "ended",
		[FNX_NODE_STOPPED] = "stopped",
		[FNX_NODE_FAILED] = "FAILED"};

	if (fnx_look_has_died(node))
		return "DEAD";
	return node->state >= FNX_NODE_STARTING && node->state <= FNX_NODE_FAILED
		? names[node->state]
		: "?";
}

static const struct fnx_look_node *source_of(const struct fnx_look *look)
{
	const struct fnx_look_node *source = NULL;

	for (unsigned i = 0; i < look->n_nodes; i++)
		if (!look->nodes[i].n_inputs && look->nodes[i].first_sample_time != INT64_MIN)
			source = &look->nodes[i];
	return source;
}

int64_t fnx_look_session_start(const struct fnx_look *look)
{
	const struct fnx_look_node *source = source_of(look);

	return source ? source->first_sample_time : INT64_MIN;
}

int64_t fnx_look_session_now(const struct fnx_look *look)
{
	const struct fnx_look_node *source = source_of(look);

	return source ? source->sample_time : INT64_MIN;
}
