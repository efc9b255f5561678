/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bus of its own for each test, topics published and read by hand, and a node made for tests:
 * what it declares and does stands in a script. Its messages are positions, of which `x` is a
 * value, so that who reads one can tell whose it is.
 */
#pragma once

#include "tests/support/check.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/presence.h"
#include "nodes/host/host.h"
#include "schemas/codec.h"
#include "schemas/position.h"

enum {
	LAB_SLOTS = 16,
	LAB_BIN = 100, /* samples */
	LAB_GRACE_MS = 600000,
	SCRIPT_TOPICS = 4,
	SCRIPT_LOG = 8192,
};

/* The bus ---------------------------------------------------------------------------- */

struct lab {
	struct fnx_rig rig;
	struct fnx_bus bus;
	struct fnx_presence presence; /* of "tester", who publishes and reads by hand */
	char name[16], segment_dir[160], run_dir[80];
};

__attribute__((unused)) static void lab_open(struct lab *lab)
{
	static unsigned n;

	memset(lab, 0, sizeof(*lab));
	snprintf(lab->name, sizeof(lab->name), "t%u", ++n);
	snprintf(lab->segment_dir, sizeof(lab->segment_dir), "%s/s%u", check_scratch_dir(), n);
	snprintf(lab->run_dir, sizeof(lab->run_dir), "%s/r%u", check_scratch_dir(), n);
	lab->rig.bus = (struct fnx_rig_bus){.name = lab->name,
		.segment_dir = lab->segment_dir,
		.run_dir = lab->run_dir,
		.slots = LAB_SLOTS,
		.grace_ms = LAB_GRACE_MS,
		.spin_us = 20};
	lab->rig.clock = (struct fnx_rig_clock){.rate_hz = 30000, .time_bin_samples = LAB_BIN};
	assert_int_equal(fnx_bus_init(&lab->bus, lab->name, lab->segment_dir, lab->run_dir), 0);
	assert_int_equal(fnx_bus_create(&lab->bus, NULL), 0);
	assert_int_equal(fnx_presence_claim(&lab->bus, "tester", &lab->presence, NULL), 0);
}

__attribute__((unused)) static void lab_close(struct lab *lab)
{
	fnx_presence_drop(&lab->presence);
	assert_int_equal(fnx_bus_remove(&lab->bus), 0);
}

__attribute__((unused)) static int64_t lab_deadline(void)
{
	return fnx_node_now() + CHECK_PATIENCE_NS;
}

__attribute__((unused)) static struct fnx_publisher *lab_publisher_of(struct lab *lab,
	const char *topic, const struct fnx_schema *schema, const uint32_t *extents,
	enum fnx_full_policy full)
{
	unsigned char description[FNX_DESCRIPTION_MAX];
	struct fnx_topic_config config = {.name = topic,
		.node = "tester",
		.schema_hash = fnx_schema_hash(schema),
		.schema = description,
		.n_slots = LAB_SLOTS,
		.full = full,
		.grace_ns = (int64_t)LAB_GRACE_MS * 1000000,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_layout layout;
	struct fnx_publisher *pub;

	assert_int_equal(fnx_layout_init(&layout, schema, extents), 0);
	config.slot_size = layout.size;
	assert_int_equal(fnx_description_encode(
				 &layout, description, sizeof(description), &config.schema_size),
		0);
	assert_int_equal(fnx_publisher_open(&lab->bus, &config, &pub), 0);
	return pub;
}

__attribute__((unused)) static struct fnx_publisher *lab_publisher(
	struct lab *lab, const char *topic)
{
	return lab_publisher_of(lab, topic, &fnx_position_schema, NULL, FNX_FULL_WAIT);
}

__attribute__((unused)) static struct fnx_subscriber *lab_subscriber(
	struct lab *lab, const char *topic)
{
	const struct fnx_subscriber_config config = {.topic = topic,
		.node = "tester",
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_subscriber *sub;

	assert_int_equal(fnx_subscriber_open(&lab->bus, &config, &sub), 0);
	return sub;
}

__attribute__((unused)) static void lab_publish(
	struct fnx_publisher *pub, int64_t time, double value, uint32_t flags)
{
	const struct fnx_stamp stamp = {.sample_time = time,
		.ingress_ns = time + 1,
		.publish_ns = time + 2,
		.flags = flags};
	void *payload;

	assert_int_equal(fnx_publisher_loan(pub, 0, &payload), 0);
	*(struct fnx_position *)payload = (struct fnx_position){.x = value};
	fnx_publisher_publish(pub, sizeof(struct fnx_position), &stamp);
}

/* The next frame: 1, its stamp, and its value; 0: there is none. */
__attribute__((unused)) static int lab_read(
	struct fnx_subscriber *sub, struct fnx_stamp *ret_stamp, double *ret_value)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	int r = fnx_subscriber_peek(sub, &frame, &gap);

	if (r == FNX_GAP)
		fail_msg("frames %" PRIu64 " to %" PRIu64 " are missing", gap.from, gap.to);
	if (r != FNX_FRAME)
		return 0;
	*ret_stamp = frame.stamp;
	*ret_value = ((const struct fnx_position *)frame.payload)->x;
	fnx_subscriber_release(sub);
	return 1;
}

__attribute__((unused)) static unsigned lab_drain(struct fnx_subscriber *sub)
{
	struct fnx_stamp stamp;
	double value;
	unsigned n = 0;

	while (lab_read(sub, &stamp, &value))
		n++;
	return n;
}

/* Has the node's bell rung? Silences it. */
__attribute__((unused)) static int lab_rung(struct fnx_node *node)
{
	return fnx_bell_drain(node->bell) > 0;
}

/* The node for tests ----------------------------------------------------------------- */

struct script_frame {
	unsigned input;
	int64_t time;
	double value;
	uint32_t flags;
};

/* Zero: no inputs, no outputs, nothing done. */
struct script {
	const char *inputs[SCRIPT_TOPICS];
	unsigned input_flags[SCRIPT_TOPICS];
	const char *outputs[SCRIPT_TOPICS];
	uint32_t bursts[SCRIPT_TOPICS]; /* 0: one */
	unsigned n_copies[SCRIPT_TOPICS]; /* of each input frame, published on the output; at most
					     the burst */
	int varies; /* copies: the value modulo n_copies + 1 */
	int64_t tick; /* > 0: advance publishes on output 0 at each multiple */
	int ticks_when_done; /* the last of them together with FNX_DONE */
	unsigned dawdle; /* rounds of doing nothing after each frame published */
	double param;
	int (*open)(struct script *script);
	int (*start)(struct script *script);
	int (*produce)(struct script *script, int64_t now_ns, int64_t *ret_due_ns);
	/* What it saw */
	struct fnx_node *node;
	struct script_frame frames[SCRIPT_LOG];
	unsigned n_frames, n_gaps, n_lost, n_advances, n_refused, n_changes, n_idle, n_produced;
	int64_t next_tick;
	int64_t gap_missed;
	int closed;
};

/* What the next open finds. */
static struct script *script_at_hand;

__attribute__((unused)) static void script_publish(
	struct script *script, unsigned output, int64_t time, double value)
{
	struct fnx_position *message = fnx_node_loan(script->node, output);

	if (!message) {
		script->n_refused++;
		return;
	}
	*message = (struct fnx_position){.x = value};
	fnx_node_publish(script->node, output, time);
	for (volatile unsigned i = 0; i < script->dawdle; i++)
		;
}

__attribute__((unused)) static int script_open(struct fnx_node *node, void **ret_self)
{
	struct script *script = script_at_hand;
	int r = 0;

	script->node = node;
	for (unsigned i = 0; r >= 0 && i < SCRIPT_TOPICS && script->inputs[i]; i++)
		r = fnx_node_input(
			node, script->inputs[i], &fnx_position_schema, script->input_flags[i]);
	for (unsigned i = 0; r >= 0 && i < SCRIPT_TOPICS && script->outputs[i]; i++)
		r = fnx_node_output(node, script->outputs[i], &fnx_position_schema, NULL,
			script->bursts[i] ? script->bursts[i] : 1);
	if (r < 0)
		return r;
	*ret_self = script;
	return script->open ? script->open(script) : 0;
}

__attribute__((unused)) static int script_start(void *self)
{
	struct script *script = self;

	return script->start ? script->start(script) : 0;
}

__attribute__((unused)) static void script_frame(
	void *self, unsigned input, const struct fnx_frame *frame)
{
	struct script *script = self;
	double value = ((const struct fnx_position *)frame->payload)->x;

	if (script->n_frames < SCRIPT_LOG)
		script->frames[script->n_frames++] = (struct script_frame){
			input, frame->stamp.sample_time, value, frame->stamp.flags};
	for (unsigned i = 0; i < SCRIPT_TOPICS && script->outputs[i]; i++) {
		unsigned n = script->n_copies[i];

		if (script->varies)
			n = (unsigned)value % (n + 1);
		for (unsigned k = 0; k < n; k++)
			script_publish(script, i, frame->stamp.sample_time, value * 10 + k);
	}
}

__attribute__((unused)) static void script_gap(
	void *self, unsigned input, const struct fnx_gap *gap)
{
	struct script *script = self;

	(void)input;
	script->n_gaps++;
	script->gap_missed += (int64_t)(gap->to - gap->from);
}

__attribute__((unused)) static int script_advance(void *self, int64_t until, int64_t *ret_watermark)
{
	struct script *script = self;

	(void)ret_watermark;
	script->n_advances++;
	if (script->tick <= 0 || script->next_tick >= until)
		return FNX_DONE;
	script_publish(script, 0, script->next_tick, (double)script->next_tick);
	script->next_tick += script->tick;
	return script->ticks_when_done && script->next_tick >= until ? FNX_DONE : FNX_AGAIN;
}

__attribute__((unused)) static int script_produce(void *self, int64_t now_ns, int64_t *ret_due_ns)
{
	struct script *script = self;

	script->n_produced++;
	return script->produce(script, now_ns, ret_due_ns);
}

__attribute__((unused)) static void script_changed(void *self)
{
	((struct script *)self)->n_changes++;
}

__attribute__((unused)) static void script_idle(void *self)
{
	((struct script *)self)->n_idle++;
}

__attribute__((unused)) static void script_close(void *self)
{
	((struct script *)self)->closed = 1;
}

__attribute__((unused)) static const struct fnx_node_ops script_ops = {.type = "script",
	.summary = "does what a test says",
	.open = script_open,
	.start = script_start,
	.frame = script_frame,
	.gap = script_gap,
	.advance = script_advance,
	.changed = script_changed,
	.idle = script_idle,
	.close = script_close};

__attribute__((unused)) static const struct fnx_node_ops script_source_ops = {.type = "source",
	.summary = "produces what a test says",
	.open = script_open,
	.start = script_start,
	.produce = script_produce,
	.close = script_close};

__attribute__((unused)) static int script_try_open(struct lab *lab, struct script *script,
	const struct fnx_node_ops *ops, const char *name, struct fnx_node *node)
{
	script_at_hand = script;
	return fnx_node_open(node, ops, &lab->rig, name);
}

/* Opens and subscribes; every input must be there. */
__attribute__((unused)) static void script_begin_with(struct lab *lab, struct script *script,
	const struct fnx_node_ops *ops, const char *name, struct fnx_node *node)
{
	const char *missing;

	if (script_try_open(lab, script, ops, name, node))
		fail_msg("%s", node->error);
	assert_int_equal(fnx_node_subscribe(node, &missing), 1);
	assert_int_equal(script_start(script), 0);
	atomic_store(&node->status->state, FNX_NODE_READY);
}

__attribute__((unused)) static void script_begin(
	struct lab *lab, struct script *script, const char *name, struct fnx_node *node)
{
	script_begin_with(
		lab, script, script->produce ? &script_source_ops : &script_ops, name, node);
}
