/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>

#include "nodes/fornix/describe.h"
#include "nodes/fornix/top.h"

/* Whoever may write to the directory may write nonsense: what is no UTF-8 is left out. */
static json_t *json_text(const char *text)
{
	json_t *string = json_string(text);

	return string ? string : json_string("?");
}

static json_t *json_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *json_count(uint64_t count)
{
	return json_integer((json_int_t)count);
}

static uint64_t sum(const struct fnx_durations *durations)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FNX_HISTOGRAM_BUCKETS; i++)
		n += durations->counts[i];
	return n;
}

/* Of all, and of what came since the look before. */
static json_t *json_durations(const struct fnx_durations *now, const struct fnx_durations *before)
{
	json_t *object = json_pack("{s:o,s:o,s:o,s:o,s:o}", "count", json_count(sum(now)), "p50_ns",
		json_count(fnx_durations_quantile(now, NULL, 0.5)), "p99_ns",
		json_count(fnx_durations_quantile(now, NULL, 0.99)), "p999_ns",
		json_count(fnx_durations_quantile(now, NULL, 0.999)), "max_ns",
		json_count(now->max_ns));

	if (before) {
		json_object_set_new(object, "recent_p50_ns",
			json_count(fnx_durations_quantile(now, before, 0.5)));
		json_object_set_new(object, "recent_p99_ns",
			json_count(fnx_durations_quantile(now, before, 0.99)));
	}
	return object;
}

static json_t *json_rate(const struct fnx_top *top, double count, const double *before,
	int64_t since_ns, int64_t ended_ns)
{
	return json_number(fnx_look_rate(top->now, top->before, count, before, since_ns, ended_ns));
}

static json_t *json_node_counts(const struct fnx_look_node *node)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "in",
		json_count(node->in), "out", json_count(node->out), "gaps", json_count(node->gaps),
		"missed", json_count(node->missed), "late", json_count(node->late), "bad",
		json_count(node->bad), "drops", json_count(node->drops), "depth",
		json_count(node->depth), "peak_depth", json_count(node->peak_depth), "wakes",
		json_count(node->wakes), "missed_wakes", json_count(node->missed_wakes),
		"heap_allocations", json_count(node->heap_allocations), "full_waits",
		json_count(node->full_waits));
}

static json_t *json_node(const struct fnx_top *top, const struct fnx_look_node *node)
{
	const struct fnx_look_node *before = fnx_look_node_before(top->before, node);
	double in = before ? (double)before->in : 0, out = before ? (double)before->out : 0;
	double wakes = before ? (double)before->wakes : 0;
	json_t *object = json_pack("{s:o,s:s,s:b,s:i,s:i,s:o}", "name", json_text(node->name),
		"state", fnx_look_state(node), "alive", node->alive, "pid", (int)node->pid, "tid",
		(int)node->tid, "starts", json_count(node->starts));

	json_object_update_new(object, json_node_counts(node));
	json_object_set_new(object, "sample_time", json_integer(node->sample_time));
	json_object_set_new(object, "in_rate_hz",
		json_rate(top, (double)node->in, before ? &in : NULL, node->since_ns,
			node->ended_ns));
	json_object_set_new(object, "out_rate_hz",
		json_rate(top, (double)node->out, before ? &out : NULL, node->since_ns,
			node->ended_ns));
	json_object_set_new(object, "wake_rate_hz",
		json_rate(top, (double)node->wakes, before ? &wakes : NULL, node->since_ns,
			node->ended_ns));
	json_object_set_new(object, "cpu_s", json_number(node->proc.cpu_s));
	json_object_set_new(object, "queued_s", json_number(node->proc.queued_s));
	json_object_set_new(object, "sleeps", json_number(node->proc.wakes));
	json_object_set_new(object, "latency",
		json_durations(&node->latency, before ? &before->latency : NULL));
	json_object_set_new(
		object, "turn", json_durations(&node->turn, before ? &before->turn : NULL));
	json_object_set_new(object, "text", json_text(node->text));
	json_object_set_new(object, "realtime", json_text(node->realtime));
	return object;
}

static json_t *json_topic(const struct fnx_top *top, const struct fnx_look_topic *topic)
{
	const struct fnx_look_topic *before = fnx_look_topic_before(top->before, topic);
	double frames = before ? (double)before->frames : 0;
	json_t *object = json_pack("{s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o}", "name",
		json_text(topic->name), "publisher", json_text(topic->publisher), "alive",
		topic->alive, "frames", json_count(topic->frames), "dropped",
		json_count(topic->dropped), "lapped", json_count(topic->lapped), "suppressed",
		json_count(topic->suppressed), "peak_depth", json_count(topic->peak_depth));

	json_object_set_new(object, "rate_hz",
		json_rate(top, (double)topic->frames, before ? &frames : NULL, topic->since_ns,
			topic->ended_ns));
	if (topic->is_open)
		json_object_update_new(object,
			json_pack("{s:o,s:o,s:o,s:o,s:o}", "slots", json_count(topic->n_slots),
				"used", json_count(topic->n_used), "pinned",
				json_count(topic->n_pinned), "slot_size",
				json_count(topic->slot_size), "readers",
				json_count(topic->n_subscribers)));
	json_object_set_new(
		object, "latency", json_durations(&topic->age, before ? &before->age : NULL));
	return object;
}

static json_t *json_hop(const struct fnx_top *top, const struct fnx_look_hop *hop)
{
	const struct fnx_look_hop *before = fnx_look_hop_before(top->before, hop);
	double frames = before ? (double)before->frames : 0;
	json_t *object = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b}", "topic",
		json_text(hop->topic), "reader", json_text(hop->reader), "frames",
		json_count(hop->frames), "gaps", json_count(hop->gaps), "missed",
		json_count(hop->missed), "late", json_count(hop->late), "bad", json_count(hop->bad),
		"peak_depth", json_count(hop->peak_depth), "joined", hop->is_joined);

	if (hop->is_joined)
		json_object_update_new(object,
			json_pack("{s:s,s:o,s:o,s:b}", "policy",
				fnx_describe_policy((uint8_t)hop->policy), "depth",
				json_count(hop->depth), "holds", json_count(hop->n_held), "parked",
				hop->parked));
	json_object_set_new(object, "rate_hz",
		json_rate(top, (double)hop->frames, before ? &frames : NULL, hop->since_ns,
			hop->ended_ns));
	json_object_set_new(object, "hop", json_durations(&hop->hop, before ? &before->hop : NULL));
	json_object_set_new(object, "age", json_durations(&hop->age, before ? &before->age : NULL));
	return object;
}

json_t *fnx_top_json(const struct fnx_top *top)
{
	json_t *nodes = json_array(), *topics = json_array(), *hops = json_array();
	int64_t first = fnx_look_session_start(top->now), now = fnx_look_session_now(top->now);

	for (unsigned i = 0; i < top->now->n_nodes; i++)
		json_array_append_new(nodes, json_node(top, &top->now->nodes[i]));
	for (unsigned i = 0; i < top->now->n_topics; i++)
		json_array_append_new(topics, json_topic(top, &top->now->topics[i]));
	for (unsigned i = 0; i < top->now->n_hops; i++)
		json_array_append_new(hops, json_hop(top, &top->now->hops[i]));
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o}", "bus", top->bus->name, "now_ns",
		json_integer(top->now->now_ns), "session_s",
		first == INT64_MIN || now == INT64_MIN
			? json_null()
			: json_real(((double)now - (double)first) / top->clock_hz),
		"nodes", nodes, "topics", topics, "hops", hops);
}
