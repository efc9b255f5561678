/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control requests: flat MessagePack maps {op, ...} in, {ok, ...} out.
 *
 *	{op: "get", key}               -> {ok, value, min, max, unit, meaning}
 *	{op: "get"}                    -> {ok, <every parameter>: value}
 *	{op: "set", key, value, who}   -> {ok, before, value}
 *	{op: "set", key, value, who, check}   the same, for guarded parameters
 *	{op: "alive"}                  -> {ok, lease_ms}
 *	{op: "stats"}                  -> {ok, state, pid, <input>.in, <output>.out, ...}
 *	{op: "stop"}                   -> {ok}
 *
 * A request that is not understood is answered {ok: false, error} and changes nothing.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bus/control.h"
#include "nodes/host/host.h"
#include "schemas/control.h"

enum {
	KEY_MAX = FNX_NAME_MAX + 32
};

struct reply {
	struct fnx_pair pairs[FNX_MAP_PAIRS_MAX];
	char keys[FNX_MAP_PAIRS_MAX][KEY_MAX];
	char error[160];
	size_t n;
};

static void add(struct reply *reply, struct fnx_pair pair)
{
	char *key = reply->keys[reply->n];

	if (reply->n == FNX_MAP_PAIRS_MAX)
		return;
	/* Keys may be made up on the spot: the reply keeps them. */
	snprintf(key, KEY_MAX, "%s", pair.key);
	pair.key = key;
	reply->pairs[reply->n++] = pair;
}

static void add_text(struct reply *reply, const char *key, const char *text)
{
	add(reply, fnx_pair_text(key, text));
}

static void add_number(struct reply *reply, const char *key, double value)
{
	add(reply, fnx_pair_number(key, value));
}

static void add_count(struct reply *reply, const char *key, uint64_t value)
{
	add(reply, fnx_pair_uint(key, value));
}

/* The sentence may be made up on the spot, too. */
__attribute__((format(printf, 2, 3))) static void refuse(
	struct reply *reply, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reply->error, sizeof(reply->error), format, args);
	va_end(args);
	reply->n = 0;
	add(reply, fnx_pair_flag("ok", false));
	add_text(reply, "error", reply->error);
}

static struct fnx_node_param_state *find_param(struct fnx_node *node, const char *name)
{
	for (unsigned i = 0; i < node->n_params; i++)
		if (!strcmp(node->params[i].name, name))
			return &node->params[i];
	return NULL;
}

static void get(struct fnx_node *node, const char *key, struct reply *reply)
{
	const struct fnx_node_param_state *param;

	if (!key[0]) {
		for (unsigned i = 0; i < node->n_params; i++)
			add_number(reply, node->params[i].name, *node->params[i].value);
		return;
	}
	param = find_param(node, key);
	if (!param) {
		refuse(reply, "no such parameter; get without a key lists them");
		return;
	}
	add_number(reply, "value", *param->value);
	add_number(reply, "min", param->min);
	add_number(reply, "max", param->max);
	add_text(reply, "unit", param->unit);
	add_text(reply, "meaning", param->meaning);
}

static int is_whole(const struct fnx_node_param_state *param)
{
	return !strcmp(param->unit, "flag") || !strcmp(param->unit, "sample") ||
		!strcmp(param->unit, "count");
}

/* A guarded parameter leaves its safe value by who says so twice, and who he is: one bit that flips
 * in a request to disarm must not arm. */
static int is_meant(const struct fnx_node_param_state *param, double value,
	const struct fnx_map *request, const char *who)
{
	int64_t check;

	if (!param->guarded || value == param->safe)
		return 1;
	return who[0] && !fnx_map_int(request, "check", &check) &&
		check == fnx_control_check(param->name, value);
}

static void change(
	struct fnx_node *node, struct fnx_node_param_state *param, double value, const char *who)
{
	double before = *param->value;

	*param->value = value;
	fnx_journal_touch(
		&node->journal, &node->progress->params[param - node->params], sizeof(value));
	node->progress->params[param - node->params] = value;
	if (node->ops->changed)
		node->ops->changed(node->self);
	fnx_journal_commit(&node->journal);
	fnx_node_tell_param(node, param, before, who);
}

void fnx_node_change(struct fnx_node *node, const char *name, double value, const char *who)
{
	struct fnx_node_param_state *param = find_param(node, name);

	if (param)
		change(node, param, value, who);
}

static void set(
	struct fnx_node *node, const struct fnx_map *request, const char *key, struct reply *reply)
{
	struct fnx_node_param_state *param = find_param(node, key);
	double value, before;
	char who[64];

	if (!param) {
		refuse(reply, "no such parameter; get without a key lists them");
		return;
	}
	if (fnx_map_number(request, "value", &value) || !isfinite(value) || value < param->min ||
		value > param->max || (is_whole(param) && value != rint(value))) {
		refuse(reply, "%s takes a %snumber from %g to %g%s%s", key,
			is_whole(param) ? "whole " : "", param->min, param->max,
			param->unit[0] ? " " : "", param->unit);
		return;
	}
	if (fnx_map_text(request, "who", who, sizeof(who)))
		who[0] = 0;
	if (!is_meant(param, value, request, who)) {
		refuse(reply,
			"%s is guarded: who, and check, the CRC-32 of \"%s=%.15g\", must be "
			"said with it",
			key, key, value);
		return;
	}
	before = *param->value;
	if (node->ops->asked)
		node->ops->asked(node->self, param->name, value);
	change(node, param, value, who[0] ? who : "unknown");
	add_number(reply, "before", before);
	add_number(reply, "value", value);
}

static void renew(struct fnx_node *node, struct reply *reply)
{
	add_number(reply, "lease_ms", node->ops->alive(node->self));
	fnx_journal_commit(&node->journal);
}

static void add_topic(struct reply *reply, const struct fnx_status_topic *topic, const char *what,
	const _Atomic uint64_t *count)
{
	char key[KEY_MAX];

	snprintf(key, sizeof(key), "%s.%s", topic->name, what);
	add_count(reply, key, atomic_load_explicit(count, memory_order_relaxed));
}

static void stats(const struct fnx_node *node, struct reply *reply)
{
	const struct fnx_status *status = node->status;

	add_count(reply, "state", atomic_load(&status->state));
	add_count(reply, "pid", (uint64_t)atomic_load(&status->pid));
	add_count(reply, "starts", atomic_load(&status->starts));
	add_count(reply, "wakes", atomic_load(&status->wakes));
	add_count(reply, "heap_allocations", atomic_load(&status->heap_allocations));
	add_number(reply, "latency_p50_us",
		(double)fnx_histogram_quantile(&status->latency, 0.5) / 1e3);
	add_number(reply, "latency_p99_us",
		(double)fnx_histogram_quantile(&status->latency, 0.99) / 1e3);
	for (unsigned i = 0; i < node->n_inputs; i++) {
		add_topic(reply, &status->inputs[i], "in", &status->inputs[i].frames);
		add_topic(reply, &status->inputs[i], "missed", &status->inputs[i].missed);
	}
	for (unsigned i = 0; i < node->n_outputs; i++)
		add_topic(reply, &status->outputs[i], "out", &status->outputs[i].frames);
}

/* 1: the node is to stop. */
static int answer(struct fnx_node *node, const void *body, size_t size, struct reply *reply)
{
	char op[16], key[64] = "";
	struct fnx_map request;

	reply->n = 0;
	if (fnx_map_decode(&request, body, size) || fnx_map_text(&request, "op", op, sizeof(op))) {
		refuse(reply, "expected a MessagePack map with op: get, set, stats or stop");
		return 0;
	}
	if (fnx_map_find(&request, "key") && fnx_map_text(&request, "key", key, sizeof(key))) {
		refuse(reply, "key is not a text of at most 63 bytes");
		return 0;
	}
	add(reply, fnx_pair_flag("ok", true));
	if (!strcmp(op, "get"))
		get(node, key, reply);
	else if (!strcmp(op, "set"))
		set(node, &request, key, reply);
	else if (!strcmp(op, "stats"))
		stats(node, reply);
	else if (!strcmp(op, "alive") && node->ops->alive)
		renew(node, reply);
	else if (!strcmp(op, "stop"))
		return 1;
	else
		refuse(reply, "unknown op; expected get, set, stats or stop");
	return 0;
}

size_t fnx_node_answer(struct fnx_node *node, const void *body, size_t size, void *reply,
	size_t reply_size, int *ret_stop)
{
	static _Thread_local struct reply pairs;

	*ret_stop = answer(node, body, size, &pairs);
	if (fnx_map_encode(pairs.pairs, pairs.n, reply, reply_size, &size)) {
		refuse(&pairs, "the reply does not fit");
		if (fnx_map_encode(pairs.pairs, pairs.n, reply, reply_size, &size))
			return 0;
	}
	return size;
}

int fnx_node_serve(struct fnx_node *node)
{
	static _Thread_local unsigned char out[FNX_CONTROL_BODY_MAX];
	const void *body;
	size_t size;
	int stop = 0, stops;

	while (fnx_control_take(node->control, &body, &size) > 0) {
		size = fnx_node_answer(node, body, size, out, sizeof(out), &stops);
		stop |= stops;
		if (size)
			fnx_control_reply(node->control, out, size);
	}
	return stop;
}
