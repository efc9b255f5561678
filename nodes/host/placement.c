/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a node takes is told here once more, beside the node's own declarations: a machine must know
 * what its neighbour's nodes need without running them. tests/unit/fornix/test_placement.c holds
 * the two together.
 */
#include "nodes/host/placement.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/endpoint.h"
#include "nodes/host/topics.h"
#include "schemas/decision.h"
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
	PATH_SIZE = 80,
	WHAT_SIZE = 200,
	MACHINE_NAME_MAX = 40, /* "bridge." goes before it */
};

static const char bridge_prefix[] = "bridge.";

static int is_listed(const char *name, const struct fnx_rig_names *list)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (!strcmp(name, list->values[i]))
			return 1;
	return 0;
}

static int begins_with(const char *text, const char *beginning)
{
	return !strncmp(text, beginning, strlen(beginning));
}

int fnx_rig_topic_is_endless(const char *topic)
{
	size_t size = strlen(topic), end = strlen(".params");

	return size > end && !strcmp(topic + size - end, ".params");
}

/* Nodes
 * --------------------------------------------------------------------------------------------- */

static int is_encoder(const struct fnx_rig *rig, const char *node)
{
	for (uint32_t i = 0; rig->encode.enabled && i < rig->encode.n_instances; i++)
		if (!strcmp(rig->encode.instances[i].name, node))
			return 1;
	return 0;
}

/* Every topic, in the order of fnx_rig_topics and fnx_rig_params. */
static unsigned all_topics(const struct fnx_rig *rig, char (*names)[FNX_NAME_MAX])
{
	unsigned n = fnx_rig_topics(rig, names, FNX_RIG_TOPICS_MAX);

	n = n > FNX_RIG_TOPICS_MAX ? FNX_RIG_TOPICS_MAX : n;
	n += fnx_rig_params(rig, names + n, FNX_RIG_TOPICS_MAX - n);
	return n > FNX_RIG_TOPICS_MAX ? FNX_RIG_TOPICS_MAX : n;
}

/* record and tap: what is listed, or all. */
static int is_wanted(const struct fnx_rig_names *list, const char *topic)
{
	return !list->n || is_listed(topic, list);
}

static int has_rule(const struct fnx_rig *rig, enum fnx_rule_kind type)
{
	for (uint32_t k = 0; k < rig->dispatch.n_rules; k++)
		if (rig->dispatch.rules[k].type == type)
			return 1;
	return 0;
}

int fnx_rig_rules_take(const struct fnx_rig *rig, const char *topic)
{
	int ripples = has_rule(rig, FNX_RULE_RIPPLE);

	if (!strcmp(topic, "position"))
		return ripples || has_rule(rig, FNX_RULE_HEAD_DIRECTION);
	if (!strcmp(topic, "ripple"))
		return ripples;
	return !strcmp(topic, "posterior") && has_rule(rig, FNX_RULE_REPLAY);
}

static int takes(const struct fnx_rig *rig, const char *node, const char *topic)
{
	if (!strcmp(node, "record"))
		return rig->record.file[0] && is_wanted(&rig->record.topics, topic);
	if (!strcmp(node, "tap"))
		return rig->tap.enabled && is_wanted(&rig->tap.topics, topic);
	if (!strcmp(node, "dispatch"))
		return fnx_rig_rules_take(rig, topic);
	if (!strcmp(topic, "position"))
		return !strcmp(node, "ripple") || is_encoder(rig, node) || !strcmp(node, "decode");
	if (!strcmp(topic, "spikes"))
		return is_encoder(rig, node);
	if (!strcmp(topic, "lfp"))
		return !strcmp(node, "ripple") ||
			(!strcmp(node, "decode") && rig->decode.tick == FNX_TICK_LFP);
	if (begins_with(topic, "likelihood."))
		return !strcmp(node, "decode");
	return 0;
}

/* Who publishes a topic; NULL: nobody of the rig. `room` has FNX_NAME_MAX bytes. */
static const char *publisher_of(const struct fnx_rig *rig, const char *topic, char *room)
{
	unsigned k;

	if (fnx_rig_topic_is_endless(topic)) {
		snprintf(room, FNX_NAME_MAX, "%.*s", (int)(strlen(topic) - strlen(".params")),
			topic);
		return room;
	}
	if (!strcmp(topic, "posterior"))
		return "decode";
	if (!strcmp(topic, "ripple"))
		return "ripple";
	if (!strcmp(topic, "decision") || !strcmp(topic, "decision.outcome"))
		return "dispatch";
	if (sscanf(topic, "likelihood.%u", &k) == 1)
		return k >= 1 && k <= rig->encode.n_instances ? rig->encode.instances[k - 1].name
							      : NULL;
	return "acquire";
}

const struct fnx_schema *fnx_rig_topic_schema(const char *topic)
{
	static const struct {
		const char *topic;
		const struct fnx_schema *schema;
	} schemas[] = {{"position", &fnx_position_schema}, {"spikes", &fnx_spike_schema},
		{"lfp", &fnx_lfp_schema}, {"truth", &fnx_truth_schema},
		{"posterior", &fnx_posterior_schema}, {"ripple", &fnx_ripple_schema},
		{"decision", &fnx_decision_schema}, {"decision.outcome", &fnx_outcome_schema}};

	for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++)
		if (!strcmp(schemas[i].topic, topic))
			return schemas[i].schema;
	if (begins_with(topic, "likelihood."))
		return &fnx_likelihood_schema;
	return fnx_rig_topic_is_endless(topic) ? &fnx_param_schema : NULL;
}

/* Machines
 * ------------------------------------------------------------------------------------------ */

static const struct fnx_rig_machine *machine_named(const struct fnx_rig *rig, const char *name)
{
	for (uint32_t i = 0; i < rig->n_machines; i++)
		if (!strcmp(rig->machines[i].name, name))
			return &rig->machines[i];
	return NULL;
}

static int publishes(
	const struct fnx_rig *rig, const struct fnx_rig_machine *machine, const char *topic)
{
	char room[FNX_NAME_MAX];
	const char *node = publisher_of(rig, topic, room);

	return node && is_listed(node, &machine->nodes);
}

/* `lossless`: counts only who must not miss anything. */
static int needs(const struct fnx_rig *rig, const struct fnx_rig_machine *machine,
	const char *topic, int lossless)
{
	if (is_listed(topic, &machine->topics))
		return 1;
	for (uint32_t i = 0; i < machine->nodes.n; i++)
		if (takes(rig, machine->nodes.values[i], topic) &&
			!(lossless && !strcmp(machine->nodes.values[i], "tap")))
			return 1;
	return 0;
}

const struct fnx_rig_machine *fnx_rig_here(const struct fnx_rig *rig)
{
	return rig->machine[0] ? machine_named(rig, rig->machine) : NULL;
}

int fnx_rig_node_is_here(const struct fnx_rig *rig, const char *node)
{
	const struct fnx_rig_machine *here = fnx_rig_here(rig);

	return !here || fnx_rig_is_bridge(node) || is_listed(node, &here->nodes);
}

int fnx_rig_topic_is_here(const struct fnx_rig *rig, const char *topic)
{
	const struct fnx_rig_machine *here = fnx_rig_here(rig);

	return !here || publishes(rig, here, topic) || needs(rig, here, topic, 1);
}

const struct fnx_rig_link *fnx_rig_link(const struct fnx_rig *rig, unsigned k,
	const struct fnx_rig_machine **ret_peer, int *ret_listens)
{
	for (uint32_t i = 0; rig->machine[0] && i < rig->n_links; i++) {
		char **ends = rig->links[i].between.values;
		int listens = !strcmp(ends[0], rig->machine);

		if (!listens && strcmp(ends[1], rig->machine))
			continue;
		if (k--)
			continue;
		*ret_peer = machine_named(rig, ends[listens]);
		*ret_listens = listens;
		return &rig->links[i];
	}
	return NULL;
}

unsigned fnx_rig_topics_between(const struct fnx_rig *rig, const struct fnx_rig_machine *from,
	const struct fnx_rig_machine *to, char (*names)[FNX_NAME_MAX], unsigned max)
{
	char topics[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
	unsigned n = 0, n_topics = all_topics(rig, topics);

	for (unsigned i = 0; i < n_topics; i++) {
		if (!publishes(rig, from, topics[i]) || !needs(rig, to, topics[i], 0))
			continue;
		if (n < max)
			memcpy(names[n], topics[i], FNX_NAME_MAX);
		n++;
	}
	return n;
}

int fnx_rig_topic_is_lossless(
	const struct fnx_rig *rig, const char *topic, const struct fnx_rig_machine *to)
{
	return !fnx_rig_topic_is_endless(topic) && needs(rig, to, topic, 1);
}

void fnx_rig_bridge_name(const char *peer, char *ret_name)
{
	snprintf(ret_name, FNX_NAME_MAX, "%s%.*s", bridge_prefix, MACHINE_NAME_MAX, peer);
}

int fnx_rig_is_bridge(const char *name)
{
	return begins_with(name, bridge_prefix);
}

/* Checks
 * --------------------------------------------------------------------------------------------- */

struct complaint {
	char *path, *what;
};

static int complain(const struct complaint *complaint, const char *list, uint32_t i,
	const char *format, const char *a, const char *b)
{
	snprintf(complaint->path, PATH_SIZE, "%s[%u]", list, i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(complaint->what, WHAT_SIZE, format, a, b);
#pragma GCC diagnostic pop
	return -EINVAL;
}

static unsigned places_of(const struct fnx_rig *rig, const char *node)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < rig->n_machines; i++)
		for (uint32_t k = 0; k < rig->machines[i].nodes.n; k++)
			n += !strcmp(rig->machines[i].nodes.values[k], node);
	return n;
}

static int check_place(
	const struct fnx_rig *rig, const char *node, int wanted, const struct complaint *complaint)
{
	unsigned n = places_of(rig, node);

	if (n > 1)
		return complain(
			complaint, "machines", 0, "node %s stands more than once%s", node, "");
	if (wanted && n == 0)
		return complain(complaint, "machines", 0,
			"expected node %s in the `nodes` of one machine%s", node, "");
	return 0;
}

/* Nobody runs nowhere, and nobody twice. */
static int check_places(const struct fnx_rig *rig, const struct complaint *complaint)
{
	const struct {
		const char *node;
		int wanted;
	} nodes[] = {{"acquire", 1}, {"ripple", rig->ripple.enabled},
		{"decode", rig->decode.enabled}, {"dispatch", rig->dispatch.enabled},
		{"record", rig->record.file[0] != 0}, {"tap", rig->tap.enabled}};
	int r = 0;

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]) && !r; i++)
		r = check_place(rig, nodes[i].node, nodes[i].wanted, complaint);
	for (uint32_t i = 0; rig->encode.enabled && i < rig->encode.n_instances && !r; i++)
		r = check_place(rig, rig->encode.instances[i].name, 1, complaint);
	return r;
}

static int is_node(const struct fnx_rig *rig, const char *name)
{
	static const char *const names[] = {
		"acquire", "ripple", "decode", "dispatch", "record", "tap"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return 1;
	return is_encoder(rig, name);
}

static int is_topic(const struct fnx_rig *rig, const char *name)
{
	char topics[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
	unsigned n = all_topics(rig, topics);

	for (unsigned i = 0; i < n; i++)
		if (!strcmp(topics[i], name))
			return 1;
	return 0;
}

static int check_machine(const struct fnx_rig *rig, uint32_t i, const struct complaint *complaint)
{
	const struct fnx_rig_machine *machine = &rig->machines[i];

	if (!fnx_name_valid(machine->name) || strlen(machine->name) > MACHINE_NAME_MAX)
		return complain(complaint, "machines", i,
			"name: expected at most 40 letters, digits, '_', '-', '.', found "
			"\"%.60s\"%s",
			machine->name, "");
	if (machine_named(rig, machine->name) != machine)
		return complain(
			complaint, "machines", i, "name: %s stands twice%s", machine->name, "");
	for (uint32_t k = 0; k < machine->nodes.n; k++)
		if (!is_node(rig, machine->nodes.values[k]))
			return complain(complaint, "machines", i,
				"nodes: the rig has no node %.60s%s", machine->nodes.values[k], "");
	for (uint32_t k = 0; k < machine->topics.n; k++)
		if (!is_topic(rig, machine->topics.values[k]))
			return complain(complaint, "machines", i,
				"topics: the rig has no topic %.60s%s", machine->topics.values[k],
				"");
	return 0;
}

static int has_keys(const struct fnx_rig_machine *machine)
{
	return machine->public_key_file && machine->public_key_file[0] &&
		machine->secret_key_file && machine->secret_key_file[0];
}

static int joins(const struct fnx_rig_link *link, const char *a, const char *b)
{
	return is_listed(a, &link->between) && is_listed(b, &link->between);
}

static int check_link(const struct fnx_rig *rig, uint32_t i, const struct complaint *complaint)
{
	const struct fnx_rig_link *link = &rig->links[i];
	const struct fnx_rig_machine *ends[2];
	int r;

	if (link->between.n != 2 || !strcmp(link->between.values[0], link->between.values[1]))
		return complain(
			complaint, "links", i, "between: expected two machines%s%s", "", "");
	for (int k = 0; k < 2; k++) {
		ends[k] = machine_named(rig, link->between.values[k]);
		if (!ends[k])
			return complain(complaint, "links", i,
				"between: the rig has no machine %.60s%s", link->between.values[k],
				"");
	}
	for (uint32_t k = 0; k < i; k++)
		if (joins(&rig->links[k], ends[0]->name, ends[1]->name))
			return complain(complaint, "links", i,
				"between: %s and %s have a link already", ends[0]->name,
				ends[1]->name);
	r = fnx_endpoint_check(link->endpoint, has_keys(ends[0]) && has_keys(ends[1]));
	if (r == -EPERM)
		return complain(complaint, "links", i,
			"endpoint: %.60s can be reached from outside; expected public_key_file and "
			"secret_key_file of both machines%s",
			link->endpoint, "");
	if (r)
		return complain(complaint, "links", i,
			"endpoint: expected tcp://HOST:PORT, ipc:///PATH or inproc://NAME, found "
			"\"%.60s\"%s",
			link->endpoint, "");
	return 0;
}

static int have_link(const struct fnx_rig *rig, const char *a, const char *b)
{
	for (uint32_t i = 0; i < rig->n_links; i++)
		if (joins(&rig->links[i], a, b))
			return 1;
	return 0;
}

static int check_reach(const struct fnx_rig *rig, const struct complaint *complaint)
{
	char topic[1][FNX_NAME_MAX];

	for (uint32_t i = 0; i < rig->n_machines; i++)
		for (uint32_t k = 0; k < rig->n_machines; k++) {
			const struct fnx_rig_machine *from = &rig->machines[i],
						     *to = &rig->machines[k];

			if (i == k || have_link(rig, from->name, to->name) ||
				!fnx_rig_topics_between(rig, from, to, topic, 1))
				continue;
			return complain(complaint, "machines", k,
				"needs topic %s of machine %s; expected a link between the two",
				topic[0], from->name);
		}
	return 0;
}

int fnx_placement_check(const struct fnx_rig *rig, char *ret_path, char *ret_what)
{
	const struct complaint complaint = {.path = ret_path, .what = ret_what};
	int r = 0;

	if (rig->machine[0] && !machine_named(rig, rig->machine)) {
		snprintf(ret_path, PATH_SIZE, "machine");
		snprintf(ret_what, WHAT_SIZE, "the rig has no machine \"%s\"", rig->machine);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < rig->n_machines && !r; i++)
		r = check_machine(rig, i, &complaint);
	if (!r && rig->n_machines)
		r = check_places(rig, &complaint);
	for (uint32_t i = 0; i < rig->n_links && !r; i++)
		r = check_link(rig, i, &complaint);
	return r ? r : check_reach(rig, &complaint);
}
