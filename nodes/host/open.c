/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing a node: its name, its bell, its sockets, its topics. Everything that can fail
 * does so here. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bus/control.h"
#include "bus/wake.h"
#include "nodes/host/host.h"
#include "nodes/host/placement.h"
#include "schemas/codec.h"

/* auto: measured. Where nothing could be, the pipe: opening it will tell why. */
static enum fnx_bell_form choose_bell(struct fnx_node *node)
{
	enum fnx_bell_form form = FNX_BELL_FORM_PIPE;

	if (node->rig->bus.bell == FNX_BELL_ZMQ)
		return FNX_BELL_FORM_ZMQ;
	if (node->rig->bus.bell == FNX_BELL_AUTO &&
		fnx_bell_choose(&node->bus, node->name, &form, &node->wake_ns))
		node->wake_ns = 0;
	return form;
}

static int open_bus(struct fnx_node *node)
{
	const struct fnx_rig *rig = node->rig;
	const char *path;
	int r;

	r = fnx_bus_init(&node->bus, rig->bus.name, rig->bus.segment_dir, rig->bus.run_dir);
	if (r)
		return fnx_node_fail(node, r,
			"bus %s: the name or a directory's path is not usable", rig->bus.name);
	r = fnx_bus_create(&node->bus, &path);
	if (r)
		return fnx_node_fail(
			node, r, "bus %s: cannot create %s: %s", rig->bus.name, path, strerror(-r));
	return 0;
}

static int open_sockets(struct fnx_node *node)
{
	int r, pid;

	r = fnx_presence_claim(&node->bus, node->name, &node->presence, &pid);
	if (r == -EBUSY)
		return fnx_node_fail(node, r, "a node %s is running on bus %s already (process %d)",
			node->name, node->bus.name, pid);
	if (r)
		return fnx_node_fail(node, r, "cannot claim the name %s in %s: %s", node->name,
			node->bus.run_dir, strerror(-r));
	r = fnx_progress_open(node);
	if (r)
		return r;
	r = (node->remembers ? fnx_status_adopt : fnx_status_create)(
		&node->bus, node->name, &node->status);
	if (r)
		return fnx_node_fail(node, r, "cannot create a status page in %s: %s",
			node->bus.segment_dir, strerror(-r));
	if (!node->remembers || atomic_load(&node->status->starts) == 1)
		atomic_store(&node->status->first_sample_time, INT64_MIN);
	node->bell_form = choose_bell(node);
	r = fnx_bell_open(&node->bus, node->name, node->bell_form, &node->bell);
	if (r)
		return fnx_node_fail(
			node, r, "cannot open a bell in %s: %s", node->bus.run_dir, strerror(-r));
	r = fnx_control_open(&node->bus, node->name, &node->control);
	if (r)
		return fnx_node_fail(node, r, "cannot open a control socket in %s: %s",
			node->bus.run_dir, strerror(-r));
	return 0;
}

/* Each reader and each socket is a descriptor, and ZeroMQ ends the process where it cannot have
 * one. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* A decoder by the clock has its ticks at known times. One by the LFP has each at some LFP sample,
 * and where somebody waits for it, nobody may be behind by more than one of those. */
static void set_grid(struct fnx_node *node, const struct fnx_rig *rig)
{
	int waits = rig->bus.live || rig->source.speed > 0;

	node->grid_samples = rig->clock.time_bin_samples;
	node->grid_phase = rig->decode.delay_samples % node->grid_samples;
	if (rig->decode.enabled && rig->decode.tick == FNX_TICK_LFP && waits) {
		node->grid_samples = (int64_t)(rig->clock.rate_hz / rig->lfp.rate_hz);
		node->grid_samples += node->grid_samples < 1;
		node->grid_phase = 0;
	}
}

static int open_node(struct fnx_node *node, const struct fnx_node_ops *ops,
	const struct fnx_rig *rig, const char *name)
{
	int r;

	memset(node, 0, sizeof(*node));
	node->ops = ops;
	node->rig = rig;
	node->live = rig->bus.live;
	node->presence.fd = node->watch_fd = -1;
	set_grid(node, rig);
	node->next_grid = INT64_MIN;
	node->advanced_to = node->watermark = INT64_MIN;
	snprintf(node->name, sizeof(node->name), "%s", name);
	fnx_merge_init(&node->merge, (int64_t)rig->bus.deadline_ms * 1000000);
	allow_descriptors();
	r = open_bus(node);
	if (!r)
		r = open_sockets(node);
	if (!r)
		r = ops->open(node, &node->self);
	if (!r) {
		node->opened = 1;
		r = fnx_node_open_params(node);
	}
	return r ? r : fnx_progress_seal(node);
}

int fnx_node_open(struct fnx_node *node, const struct fnx_node_ops *ops, const struct fnx_rig *rig,
	const char *name)
{
	int r = open_node(node, ops, rig, name);

	if ((r == -EBADMSG || r == -ESTALE) && node->remembers) {
		/* What the predecessor left cannot be trusted, and is taken away. */
		fnx_node_say(node, "%s; beginning anew", node->error);
		fnx_node_close(node);
		r = open_node(node, ops, rig, name);
	}
	if (r < 0) {
		if (node->status) {
			fnx_status_say(node->status, "%s", node->error);
			atomic_store(&node->status->state, FNX_NODE_FAILED);
		}
		fnx_node_close(node);
		return r;
	}
	atomic_store(&node->status->n_inputs, node->n_inputs);
	atomic_store(&node->status->n_outputs, node->n_outputs);
	return 0;
}

/* The extents of an input are what its topic says; everything else is what this build says, unless
 * the node takes any schema. A node that runs has made its memory for the extents it was started
 * with: another topic of that name must have the same. */
static int learn_layout(struct fnx_node *node, struct fnx_node_input_state *input)
{
	struct fnx_layout layout;
	struct fnx_description *description;
	const void *bytes;
	size_t size;
	int r;

	bytes = fnx_subscriber_schema(input->sub, &size);
	r = fnx_description_decode(bytes, size, &description);
	if (r)
		return fnx_node_fail(node, r,
			"topic %s describes itself in a way that cannot be read", input->topic);
	if (!input->schema) {
		fnx_description_free(input->description);
		input->description = description;
		input->layout = description->layout;
		return 0;
	}
	r = fnx_layout_init(&layout, input->schema, description->layout.extents);
	fnx_description_free(description);
	if (r)
		return fnx_node_fail(node, r, "topic %s has impossible extents", input->topic);
	if (input->layout.schema &&
		memcmp(input->layout.extents, layout.extents,
			input->schema->n_extents * sizeof(uint32_t)))
		return fnx_node_fail(node, -EPROTO,
			"topic %s has come back with other extents; start this node anew",
			input->topic);
	input->layout = layout;
	return 0;
}

static int subscribe(struct fnx_node *node, struct fnx_node_input_state *input)
{
	struct fnx_subscriber_config config = {
		.topic = input->topic,
		.node = node->name,
		.schema_hash = input->schema ? fnx_schema_hash(input->schema) : 0,
		.policy = input->flags & (FNX_INPUT_LOSSY | FNX_INPUT_ASIDE) ? FNX_LOSSY
									     : FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = node->bell_form,
		.lazy = (input->flags & FNX_INPUT_LAZY) != 0,
	};
	int r;

	r = fnx_subscriber_open(&node->bus, &config, &input->sub);
	if (r == -ENOENT)
		return 0;
	if (r == -EPROTO)
		return fnx_node_fail(node, r,
			"topic %s comes from another version of fornix; start all nodes from one "
			"build",
			input->topic);
	if (r)
		return fnx_node_fail(
			node, r, "cannot subscribe to topic %s: %s", input->topic, strerror(-r));
	r = learn_layout(node, input);
	if (r)
		return r;
	if (fnx_subscriber_resumed(input->sub))
		node->restarted = 1;
	fnx_progress_resume_input(node, (unsigned)(input - node->inputs));
	return 1;
}

int fnx_node_subscribe(struct fnx_node *node, const char **ret_missing)
{
	*ret_missing = NULL;
	for (unsigned i = 0; i < node->n_inputs; i++) {
		struct fnx_node_input_state *input = &node->inputs[i];
		int r = input->sub ? 1 : subscribe(node, input);

		if (r < 0)
			return r;
		if (!r)
			*ret_missing = input->topic;
	}
	if (*ret_missing)
		return 0;
	/* Those aside come last, so that an input has one index everywhere. */
	for (unsigned i = 0; i < node->n_inputs; i++)
		if (!(node->inputs[i].flags & FNX_INPUT_ASIDE))
			fnx_merge_add(&node->merge, node->inputs[i].sub);
	fnx_progress_resume_time(node);
	if (node->restarted)
		fnx_node_say(node, "restarted; resumes where its predecessor stopped");
	if (fnx_node_forgot(node) && node->why_new)
		fnx_node_say(node, "the state that its predecessor left %s", node->why_new);
	return 1;
}

/* Says why a successor is not taken up, once for each. */
static void say_refused(struct fnx_node *node, struct fnx_subscriber *sub)
{
	uint64_t epoch = sub ? fnx_subscriber_epoch(sub) : 1;

	if (node->refused_epoch == epoch)
		return;
	node->refused_epoch = epoch;
	fnx_node_say(node, "%s", node->error);
}

static int take_up_successor(struct fnx_node *node, struct fnx_node_input_state *input)
{
	struct fnx_subscriber *old = input->sub;
	int r;

	input->sub = NULL;
	r = subscribe(node, input);
	if (r <= 0) {
		if (r < 0)
			say_refused(node, input->sub);
		/* A place that is not read from would hold its publisher up. */
		fnx_subscriber_close(input->sub);
		input->sub = old;
		return 0;
	}
	if (!(input->flags & FNX_INPUT_ASIDE))
		node->merge.inputs[node->moved_input].sub = input->sub;
	fnx_subscriber_close(old);
	return 1;
}

int fnx_node_resubscribe(struct fnx_node *node)
{
	/* Mapping another topic is not the frame path. */
	_Atomic uint64_t *counter = fnx_heap_watch(NULL);
	int r = take_up_successor(node, &node->inputs[node->moved_input]);

	fnx_heap_watch(counter);
	return r;
}

int fnx_node_peers_ready(const struct fnx_node *node, const char **ret_missing)
{
	const struct fnx_rig_names *await = &node->rig->await;

	for (uint32_t i = 0; i < await->n; i++) {
		const struct fnx_status *status;
		uint32_t state = 0;

		if (!fnx_status_open(&node->bus, await->values[i], &status)) {
			state = atomic_load(&status->state);
			fnx_status_close(status);
		}
		*ret_missing = await->values[i];
		/* Relays are ready when those who read from them are, and do not wait for each
		 * other. */
		if (node->ops->relay && fnx_rig_is_bridge(await->values[i]))
			continue;
		if (state < FNX_NODE_READY || state > FNX_NODE_ENDED ||
			fnx_presence_check(&node->bus, await->values[i]) == 0)
			return 0;
	}
	return 1;
}

void fnx_node_close(struct fnx_node *node)
{
	if (node->opened && node->ops->close)
		node->ops->close(node->self);
	for (unsigned i = 0; i < node->n_inputs; i++) {
		fnx_subscriber_close(node->inputs[i].sub);
		fnx_description_free(node->inputs[i].description);
	}
	for (unsigned i = 0; i < node->n_outputs; i++) {
		fnx_publisher_close(node->outputs[i].pub);
		free(node->outputs[i].spare);
	}
	fnx_publisher_close(node->params_topic.pub);
	if (node->state && fnx_state_journal(node->state) && fnx_journal_overflows(&node->journal))
		fnx_node_say(node,
			"%llu changes did not fit its journal; killed then, it would have lost its "
			"state",
			(unsigned long long)fnx_journal_overflows(&node->journal));
	/* Who leaves in good order leaves nothing to go on from. */
	node->state = fnx_state_close(node->state, 0);
	fnx_control_close(node->control);
	fnx_bell_close(node->bell);
	/* The counter is about to go. */
	fnx_heap_watch(NULL);
	if (node->status) {
		if (atomic_load(&node->status->state) != FNX_NODE_FAILED)
			atomic_store(&node->status->state, FNX_NODE_STOPPED);
		fnx_status_close(node->status);
	}
	if (node->presence.fd >= 0)
		fnx_presence_drop(&node->presence);
	node->opened = 0;
}
