/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bus with the four topics of an acquire node, published by hand, and a node stepped by hand.
 * Every frame's content follows from its topic and sequence number, so that any reader can tell
 * whether it got the right one.
 */
#pragma once

#include "tests/support/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bus/topic.h"
#include "nodes/host/host.h"
#include "schemas/codec.h"
#include "schemas/lfp.h"
#include "schemas/position.h"
#include "schemas/spike.h"
#include "schemas/truth.h"

enum {
	LAB_TOPICS = 4,
	LAB_SLOTS = 64,
	LAB_CHANNELS = 4,
	LAB_POINTS = 7,
	LAB_LFP_CHANNELS = 5,
	LAB_GRACE_MS = 60000,
	LAB_PAYLOAD_MAX = 512,
};

struct lab_topic {
	const char *name;
	const struct fnx_schema *schema;
	uint32_t extents[FNX_SCHEMA_EXTENTS_MAX];
	struct fnx_layout layout;
	struct fnx_publisher *pub;
};

struct lab {
	struct fnx_rig *rig;
	struct fnx_bus bus;
	struct fnx_presence presence;
	struct lab_topic topics[LAB_TOPICS];
	int64_t time; /* of the frame published last */
	unsigned kind; /* and its topic */
	char dir[160];
	char rig_path[192];
	char file[192];
};

static const struct lab_topic lab_topics[LAB_TOPICS] = {
	{.name = "position", .schema = &fnx_position_schema},
	{.name = "spikes", .schema = &fnx_spike_schema, .extents = {LAB_CHANNELS, LAB_POINTS}},
	{.name = "lfp", .schema = &fnx_lfp_schema, .extents = {LAB_LFP_CHANNELS}},
	{.name = "truth", .schema = &fnx_truth_schema},
};

/* The same numbers on every call. */
__attribute__((unused)) static void lab_fill(
	const struct lab_topic *topic, unsigned kind, uint64_t seq, void *payload)
{
	struct check_random random = {.state = seq * LAB_TOPICS + kind};
	const struct fnx_layout *layout = &topic->layout;

	memset(payload, 0, layout->size);
	if (kind == 0) {
		double values[10];

		for (int i = 0; i < 10; i++)
			values[i] = check_random_unit(&random) * 100;
		*(struct fnx_position *)payload = (struct fnx_position){.x = values[0],
			.y = values[1],
			.speed = values[2],
			.raw_x = values[3],
			.raw_y = values[4],
			.raw_x2 = values[5],
			.raw_y2 = values[6],
			.raw_along = values[7],
			.raw_segment = (int32_t)check_random_below(&random, 4) - 1,
			.bin = (int32_t)check_random_below(&random, 40)};
	} else if (kind == 1) {
		struct fnx_spike spike = {.uv_per_count = 0.195,
			.group = 1 + (uint32_t)check_random_below(&random, 3),
			.n_channels = 1 + (uint32_t)check_random_below(&random, LAB_CHANNELS),
			.n_points = 1 + (uint32_t)check_random_below(&random, LAB_POINTS)};
		float *waveform = fnx_spike_put_waveform(layout, payload);

		*(struct fnx_spike *)payload = spike;
		for (uint32_t c = 0; c < spike.n_channels; c++)
			for (uint32_t p = 0; p < spike.n_points; p++)
				waveform[c * LAB_POINTS + p] = (float)check_random_unit(&random);
	} else if (kind == 2) {
		*(struct fnx_lfp *)payload = (struct fnx_lfp){.uv_per_count = 0.5};
		for (uint32_t c = 0; c < LAB_LFP_CHANNELS; c++)
			fnx_lfp_put_samples(layout, payload)[c] = (float)check_random_unit(&random);
	} else {
		*(struct fnx_truth *)payload =
			(struct fnx_truth){.bin = (int32_t)check_random_below(&random, 40),
				.replay_arm = -1,
				.replay_bin = -1};
	}
}

__attribute__((unused)) static int64_t lab_deadline(void)
{
	return fnx_node_now() + CHECK_PATIENCE_NS;
}

static void lab_open_topic(struct lab *lab, unsigned kind)
{
	struct lab_topic *topic = &lab->topics[kind];
	unsigned char description[FNX_DESCRIPTION_MAX];
	struct fnx_topic_config config = {.name = topic->name,
		.node = "acquire",
		.schema_hash = fnx_schema_hash(topic->schema),
		.schema = description,
		.n_slots = LAB_SLOTS,
		.full = lab->rig->bus.live ? FNX_FULL_DROP : FNX_FULL_WAIT,
		.grace_ns = LAB_GRACE_MS * INT64_C(1000000),
		.bell = FNX_BELL_FORM_PIPE};

	assert_int_equal(fnx_layout_init(&topic->layout, topic->schema,
				 topic->schema->n_extents ? topic->extents : NULL),
		0);
	assert_true(topic->layout.size <= LAB_PAYLOAD_MAX);
	config.slot_size = topic->layout.size;
	assert_int_equal(fnx_description_encode(&topic->layout, description, sizeof(description),
				 &config.schema_size),
		0);
	assert_int_equal(fnx_publisher_open(&lab->bus, &config, &topic->pub), 0);
}

__attribute__((unused)) static void lab_open_topics(struct lab *lab)
{
	int pid;

	assert_int_equal(fnx_bus_create(&lab->bus, NULL), 0);
	assert_int_equal(fnx_presence_claim(&lab->bus, "acquire", &lab->presence, &pid), 0);
	memcpy(lab->topics, lab_topics, sizeof(lab_topics));
	for (unsigned kind = 0; kind < LAB_TOPICS; kind++)
		lab_open_topic(lab, kind);
	lab->time = 0;
	lab->kind = 0;
}

__attribute__((unused)) static void lab_close_topics(struct lab *lab)
{
	for (unsigned kind = 0; kind < LAB_TOPICS; kind++)
		fnx_publisher_close(lab->topics[kind].pub);
	fnx_presence_drop(&lab->presence);
}

__attribute__((unused)) static void lab_load(struct lab *lab, const char *sections)
{
	char error[FNX_RIG_ERROR_MAX] = "";
	FILE *file = fopen(lab->rig_path, "w");

	fprintf(file,
		"bus: {name: lab, segment_dir: \"%s/seg\", run_dir: \"%s/run\", slots: %d, "
		"grace_ms: %d}\n"
		"source: {type: simulator}\n"
		"electrode_groups:\n"
		"  - {id: 1, through: 3, n_channels: %d}\n"
		"lfp: {n_channels: %d}\n"
		"spikes: {n_points: %d}\n"
		"track:\n"
		"  bin_cm: 5\n"
		"  nodes:\n"
		"    - {name: a, x: 0, y: 0}\n"
		"    - {name: b, x: 100, y: 0}\n"
		"  arms:\n"
		"    - {name: stem, nodes: [a, b], bins: [0, 19]}\n"
		"%s",
		lab->dir, lab->dir, LAB_SLOTS, LAB_GRACE_MS, LAB_CHANNELS, LAB_LFP_CHANNELS,
		LAB_POINTS, sections);
	fclose(file);
	if (fnx_rig_load(lab->rig_path, NULL, 0, &lab->rig, error))
		fail_msg("%s", error);
}

/* `sections`: of the rig file; "FILE" in them stands for lab->file. */
__attribute__((unused)) static struct lab *lab_new(const char *sections)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	const char *file = strstr(sections, "FILE");
	char text[1024];
	static int n;

	snprintf(lab->dir, sizeof(lab->dir), "%s/l%d", check_scratch_dir(), n++);
	assert_int_equal(mkdir(lab->dir, 0700), 0);
	snprintf(lab->rig_path, sizeof(lab->rig_path), "%s/rig.yaml", lab->dir);
	snprintf(lab->file, sizeof(lab->file), "%s/session.mcap", lab->dir);
	if (file)
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(file - sections), sections,
			lab->file, file + strlen("FILE"));
	else
		snprintf(text, sizeof(text), "%s", sections);
	lab_load(lab, text);
	assert_int_equal(
		fnx_bus_init(&lab->bus, "lab", lab->rig->bus.segment_dir, lab->rig->bus.run_dir),
		0);
	lab_open_topics(lab);
	return lab;
}

__attribute__((unused)) static void lab_free(struct lab *lab)
{
	lab_close_topics(lab);
	fnx_bus_remove(&lab->bus);
	fnx_rig_free(lab->rig);
	free(lab);
}

/* 0, or -EAGAIN: the pool is full. */
static int lab_publish(struct lab *lab, unsigned kind, int64_t time)
{
	struct lab_topic *topic = &lab->topics[kind];
	struct fnx_stamp stamp = {.sample_time = time, .ingress_ns = fnx_node_now()};
	void *payload;
	int r;

	stamp.publish_ns = stamp.ingress_ns;
	r = fnx_publisher_loan(topic->pub, stamp.publish_ns, &payload);
	if (r)
		return r;
	lab_fill(topic, kind, fnx_publisher_head(topic->pub), payload);
	fnx_publisher_publish(topic->pub, topic->layout.size, &stamp);
	return 0;
}

__attribute__((unused)) static void lab_advance(struct lab *lab, int64_t watermark)
{
	for (unsigned kind = 0; kind < LAB_TOPICS; kind++)
		fnx_publisher_advance(lab->topics[kind].pub, watermark, fnx_node_now());
}

/* Publishes the session's next frame, some topic's, some time later; 0 or -EAGAIN. */
__attribute__((unused)) static int lab_step(struct lab *lab, struct check_random *random)
{
	struct check_random before = *random;
	unsigned kind = (unsigned)check_random_below(random, LAB_TOPICS);
	int64_t time = lab->time + (int64_t)check_random_below(random, 3) * 10;
	int r;

	if (time == lab->time && kind < lab->kind)
		time += 10;
	lab_advance(lab, time);
	r = lab_publish(lab, kind, time);
	if (r) {
		*random = before;
		return r;
	}
	lab->time = time;
	lab->kind = kind;
	return 0;
}

/* Publishes `n` frames; `turn` is called while the pool is full. */
__attribute__((unused)) static void lab_session(struct lab *lab, struct check_random *random,
	unsigned n, void (*turn)(void *), void *argument)
{
	int64_t deadline = lab_deadline();

	for (unsigned i = 0; i < n; i++) {
		while (lab_step(lab, random) == -EAGAIN) {
			assert_true(fnx_node_now() < deadline);
			turn(argument);
		}
	}
}

/* A node stepped by hand. Opens it, subscribes and starts; 0, or what failed. */
__attribute__((unused)) static int lab_node_open(struct lab *lab, const struct fnx_node_ops *ops,
	const char *name, struct fnx_node **ret_node)
{
	struct fnx_node *node = calloc(1, sizeof(*node));
	const char *missing = NULL;
	int r = fnx_node_open(node, ops, lab->rig, name);

	*ret_node = node;
	if (r)
		return r;
	r = fnx_node_subscribe(node, &missing);
	if (r == 0)
		fail_msg("no topic %s", missing);
	r = r < 0 ? r : ops->start(node->self);
	if (!r)
		atomic_store(&node->status->state, FNX_NODE_READY);
	return r;
}

__attribute__((unused)) static void lab_node_close(struct fnx_node *node)
{
	fnx_node_close(node);
	free(node);
}

/* Drives it until it has nothing to do, and lets it idle. */
__attribute__((unused)) static void lab_node_turn(void *argument)
{
	struct fnx_node *node = argument;
	enum fnx_drive why;

	do
		why = fnx_node_drive(node, fnx_node_now(), 16);
	while (why == FNX_DRIVE_MORE);
	if (why == FNX_DRIVE_MOVED)
		fnx_node_resubscribe(node);
	else
		node->ops->idle(node->self);
}
