/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bridge node. The work is done by bus/bridge.h; here the rig is read and people are told.
 *
 * Frames come into this machine only when its nodes are ready, as they come from a source: then
 * nobody misses the beginning. And the node is ready when the other machine has granted credit for
 * all that goes there, so that a source here begins when all machines are ready.
 */
#include "nodes/bridge/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bridge.h"
#include "bus/endpoint.h"
#include "nodes/host/host.h"
#include "nodes/host/placement.h"
#include "nodes/host/topics.h"

#define LOOK_NS INT64_C(100000000)

struct bridge {
	struct fnx_node *node;
	const struct fnx_rig_machine *here, *peer;
	const struct fnx_rig_link *link;
	struct fnx_bridge *bridge;
	int listens;
	int granting;
	int connected;
	int told_refused, told_refusal;
	int ended;
	int64_t looked_ns;
	unsigned n_served, n_fetched;
	char served[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
	char fetched[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
};

static int bridge_wanted(const struct fnx_rig *rig)
{
	return fnx_rig_here(rig) != NULL;
}

static const char *bridge_instance(const struct fnx_rig *rig, unsigned k)
{
	static _Thread_local char name[FNX_NAME_MAX];
	const struct fnx_rig_machine *peer;
	int listens;

	if (!fnx_rig_link(rig, k, &peer, &listens))
		return NULL;
	fnx_rig_bridge_name(peer->name, name);
	return name;
}

/* Opening
 * ------------------------------------------------------------------------------------------- */

static int find_link(struct bridge *self)
{
	const struct fnx_rig *rig = fnx_node_rig(self->node);
	char name[FNX_NAME_MAX];

	self->here = fnx_rig_here(rig);
	for (unsigned k = 0; (self->link = fnx_rig_link(rig, k, &self->peer, &self->listens));
		k++) {
		fnx_rig_bridge_name(self->peer->name, name);
		if (!strcmp(name, fnx_node_name(self->node)))
			return 0;
	}
	return fnx_node_fail(
		self->node, -EINVAL, "the rig has no link for %s", fnx_node_name(self->node));
}

static int read_key(struct bridge *self, const char *path, int secret, char *ret_key)
{
	int r = fnx_key_read(path, secret, ret_key);

	if (r == -EKEYREVOKED)
		return fnx_node_fail(self->node, r,
			"machines: others can read the secret key %s; expected mode 0600", path);
	if (r == -EKEYREJECTED)
		return fnx_node_fail(
			self->node, r, "machines: expected 40 characters of Z85 in %s", path);
	if (r)
		return fnx_node_fail(
			self->node, r, "machines: cannot read the key %s: %s", path, strerror(-r));
	return 0;
}

static int check_pair(struct bridge *self, const char *public_key, const char *secret_key)
{
	char belongs[FNX_KEY_SIZE + 1];
	int r = fnx_key_public(secret_key, belongs);

	if (!r && strcmp(belongs, public_key))
		r = -EKEYREJECTED;
	if (r)
		return fnx_node_fail(self->node, r,
			"machines: %s and %s are not the two keys of one pair",
			self->here->public_key_file, self->here->secret_key_file);
	return 0;
}

static int open_bridge(struct bridge *self)
{
	char public_key[FNX_KEY_SIZE + 1], secret_key[FNX_KEY_SIZE + 1] = "",
								     peer_key[FNX_KEY_SIZE + 1];
	struct fnx_bridge_config config = {
		.endpoint = self->link->endpoint, .listens = self->listens};
	const struct fnx_rig_machine *here = self->here, *peer = self->peer;
	int r = 0;

	if (fnx_endpoint_is_tcp(config.endpoint) && here->secret_key_file &&
		here->secret_key_file[0]) {
		r = read_key(self, here->public_key_file, 0, public_key);
		if (!r)
			r = read_key(self, here->secret_key_file, 1, secret_key);
		if (!r)
			r = read_key(self, peer->public_key_file, 0, peer_key);
		if (!r)
			r = check_pair(self, public_key, secret_key);
		config.public_key = public_key;
		config.secret_key = secret_key;
		config.peer_public_key = peer_key;
	}
	if (r)
		return r;
	r = fnx_bridge_open(fnx_node_bus(self->node), &config, &self->bridge);
	explicit_bzero(secret_key, sizeof(secret_key));
	if (r)
		return fnx_node_fail(self->node, r, "links: cannot %s %s: %s",
			self->listens ? "listen at" : "connect to", config.endpoint, strerror(-r));
	return 0;
}

static int add_topics(struct bridge *self)
{
	const struct fnx_rig *rig = fnx_node_rig(self->node);
	struct fnx_bridge_topic topic = {.node = fnx_node_name(self->node),
		.grace_ns = (int64_t)rig->bus.grace_ms * 1000000,
		.bell = self->node->bell_form};
	int r = 0;

	self->n_served = fnx_rig_topics_between(
		rig, self->here, self->peer, self->served, FNX_RIG_TOPICS_MAX);
	self->n_fetched = fnx_rig_topics_between(
		rig, self->peer, self->here, self->fetched, FNX_RIG_TOPICS_MAX);
	for (unsigned i = 0; i < self->n_served + self->n_fetched && r >= 0; i++) {
		int serve = i < self->n_served;

		topic.topic = serve ? self->served[i] : self->fetched[i - self->n_served];
		topic.schema_hash = fnx_schema_hash(fnx_rig_topic_schema(topic.topic));
		topic.endless = fnx_rig_topic_is_endless(topic.topic);
		topic.policy =
			fnx_rig_topic_is_lossless(rig, topic.topic, serve ? self->peer : self->here)
			? FNX_LOSSLESS
			: FNX_LOSSY;
		r = serve ? fnx_bridge_serve(self->bridge, &topic)
			  : fnx_bridge_fetch(self->bridge, &topic);
	}
	return r < 0 ? fnx_node_fail(self->node, r, "links: %s: %s", topic.topic, strerror(-r)) : 0;
}

static void name_topics(struct bridge *self)
{
	struct fnx_status *status = self->node->status;

	for (unsigned i = 0; i < self->n_served && i < FNX_STATUS_TOPICS_MAX; i++)
		memcpy(status->inputs[i].name, self->served[i], FNX_NAME_MAX);
	for (unsigned i = 0; i < self->n_fetched && i < FNX_STATUS_TOPICS_MAX; i++)
		memcpy(status->outputs[i].name, self->fetched[i], FNX_NAME_MAX);
}

static void bridge_close(void *data)
{
	struct bridge *self = data;

	fnx_bridge_close(self->bridge);
	free(self);
}

static int bridge_open(struct fnx_node *node, void **ret_self)
{
	struct bridge *self = calloc(1, sizeof(*self));
	int r;

	if (!self)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	self->node = node;
	r = find_link(self);
	if (!r)
		r = open_bridge(self);
	if (!r)
		r = add_topics(self);
	if (r) {
		bridge_close(self);
		return r;
	}
	name_topics(self);
	fnx_node_watch(node, fnx_bridge_fd(self->bridge));
	*ret_self = self;
	return 0;
}

/* Relaying
 * ------------------------------------------------------------------------------------------- */

static void count(struct fnx_status_topic *topic, const struct fnx_bridge_counts *counts)
{
	atomic_store_explicit(&topic->frames, counts->frames, memory_order_relaxed);
	atomic_store_explicit(&topic->gaps, counts->gaps, memory_order_relaxed);
	atomic_store_explicit(&topic->missed, counts->missed, memory_order_relaxed);
}

/* How far the session has come, for those who have no source to ask. */
static void note_time(struct fnx_status *status, const struct fnx_bridge_counts *counts)
{
	if (!counts->frames)
		return;
	if (atomic_load(&status->first_sample_time) == INT64_MIN ||
		counts->first_time < atomic_load(&status->first_sample_time))
		atomic_store(&status->first_sample_time, counts->first_time);
	if (counts->last_time > atomic_load(&status->sample_time))
		atomic_store(&status->sample_time, counts->last_time);
}

static void count_all(struct bridge *self)
{
	struct fnx_status *status = self->node->status;
	struct fnx_bridge_counts counts;
	unsigned n_inputs = self->n_served, n_outputs = self->n_fetched;

	n_inputs = n_inputs < FNX_STATUS_TOPICS_MAX ? n_inputs : FNX_STATUS_TOPICS_MAX;
	n_outputs = n_outputs < FNX_STATUS_TOPICS_MAX ? n_outputs : FNX_STATUS_TOPICS_MAX;
	for (unsigned i = 0; i < n_inputs; i++) {
		fnx_bridge_served(self->bridge, i, &counts);
		/* What a monitor misses is no gap, as everywhere. */
		if (!fnx_rig_topic_is_lossless(
			    fnx_node_rig(self->node), self->served[i], self->peer))
			counts.gaps = 0;
		count(&status->inputs[i], &counts);
	}
	for (unsigned i = 0; i < n_outputs; i++) {
		fnx_bridge_fetched(self->bridge, i, &counts);
		count(&status->outputs[i], &counts);
		note_time(status, &counts);
	}
	atomic_store(&status->n_inputs, n_inputs);
	atomic_store(&status->n_outputs, n_outputs);
}

/* What people should know; each thing once, until it has changed. */
static void tell(struct bridge *self, const struct fnx_bridge_state *state)
{
	const char *peer = self->peer->name, *endpoint = self->link->endpoint;

	if (state->connected && !self->connected)
		fnx_node_say(self->node, "connected with %s at %s", peer, endpoint);
	if (!state->connected && self->connected && !self->ended)
		fnx_node_say(self->node, "%s at %s is silent", peer, endpoint);
	self->connected = state->connected;
	if (state->connected)
		self->told_refused = 0;
	if (state->n_refused && !state->connected && !self->told_refused) {
		self->told_refused = 1;
		fnx_node_say(self->node,
			"no connection with %s at %s: the keys do not fit; see public_key_file and "
			"secret_key_file in machines",
			peer, endpoint);
	}
	if (state->refusal && !self->told_refusal) {
		self->told_refusal = 1;
		fnx_node_say(self->node, "%s", state->refusal);
	}
}

static void look(struct bridge *self, int64_t now_ns)
{
	struct fnx_bridge_state state;
	const char *missing;

	self->looked_ns = now_ns;
	if (!self->granting)
		self->granting = self->node->live || fnx_node_peers_ready(self->node, &missing);
	fnx_bridge_state(self->bridge, now_ns, &state);
	tell(self, &state);
	count_all(self);
	if (state.ready)
		fnx_node_ready(self->node);
	self->ended = state.finished && atomic_load(&self->node->status->state) >= FNX_NODE_READY;
}

static int bridge_relay(void *data, int64_t now_ns, int64_t *ret_due_ns)
{
	struct bridge *self = data;
	int more;

	if (now_ns - self->looked_ns >= LOOK_NS)
		look(self, now_ns);
	more = fnx_bridge_turn(self->bridge, self->granting, now_ns, ret_due_ns);
	if (more)
		return FNX_AGAIN;
	return self->ended ? FNX_OVER : FNX_DONE;
}

const struct fnx_node_ops fnx_bridge_ops = {
	.type = "bridge",
	.summary = "exchanges topics with another machine",
	.wanted = bridge_wanted,
	.instance = bridge_instance,
	.open = bridge_open,
	.relay = bridge_relay,
	.close = bridge_close,
};
