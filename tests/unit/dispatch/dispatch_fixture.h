/* SPDX-License-Identifier: BSD-3-Clause */
/* A dispatch node on a bus of its own, step by step: frames in, decisions out, one drive at a time.
 */
#pragma once

#include "nodes/dispatch/node.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/presence.h"
#include "nodes/host/host.h"
#include "schemas/codec.h"
#include "schemas/decision.h"
#include "schemas/position.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"
#include "tests/support/check.h"

enum {
	N_BINS = 10,
	N_STATES = 2,
	N_RECENT = 10,
	BIN = 180
};

#define RIG_HEAD \
	"electrode_groups:\n  - {id: 1, through: 8, n_channels: 4}\n" \
	"lfp: {n_channels: 4}\n" \
	"track:\n  bin_cm: 5\n  arms:\n" \
	"    - {name: stem, nodes: [], bins: [0, 2]}\n" \
	"    - {name: left, nodes: [], bins: [3, 5], target_bins: 2}\n" \
	"    - {name: right, nodes: [], bins: [7, 9], target_bins: 1}\n" \
	"ripple: {}\nencode: {kernel_uv: 20}\ndecode: {algorithm: classifier}\n"
#define REPLAY_RULE(name) \
	"    - {name: " name ", type: replay, arm: 1, threshold: 0.5, other_arms_below: 0.3, " \
	"window_bins: 2, task: 17, lockout_ms: 50}\n"

/* A rig, its node, and the topics around it. */
static struct fnx_rig *rig;
static struct fnx_node node;
static struct fnx_presence presence;
static struct fnx_publisher *position, *ripple, *posterior;
static struct fnx_subscriber *decisions;
static struct fnx_layout posterior_layout;
static char log_path[200];
static int64_t now_samples;
static const char *rig_end = ""; /* what stands below dispatch in the rig */
static const char *bus_end = ""; /* what stands last in its bus */
static int log_is_fifo; /* that nobody reads: the actuator gets stuck */
static int fifo = -1;
/* Of the frames that are sent. */
static uint32_t sent_flags;
static int64_t sent_ingress_ns = 5;
static double right_mass;

__attribute__((unused)) static struct fnx_rig *load(const char *dispatch)
{
	static int n;
	char path[200], error[FNX_RIG_ERROR_MAX] = "";
	struct fnx_rig *loaded;
	FILE *file;

	snprintf(path, sizeof(path), "%s/rig%d.yaml", check_scratch_dir(), ++n);
	snprintf(log_path, sizeof(log_path), "%s/log%d", check_scratch_dir(), n);
	if (log_is_fifo) {
		assert_int_equal(mkfifo(log_path, 0600), 0);
		fifo = open(log_path, O_RDWR | O_NONBLOCK);
		assert_true(fifo >= 0 && fcntl(fifo, F_SETPIPE_SZ, 4096) > 0);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "bus: {name: t%d, segment_dir: %s/s%d, run_dir: %s/r%d, slots: 64%s}\n", n,
		check_scratch_dir(), n, check_scratch_dir(), n, bus_end);
	fprintf(file, "source: {type: simulator}\n" RIG_HEAD "dispatch:\n%s", dispatch);
	fprintf(file, "  actuators:\n    - {type: log, file: %s}\n%s", log_path, rig_end);
	fclose(file);
	if (fnx_rig_load(path, NULL, 0, &loaded, error))
		fail_msg("%s", error);
	return loaded;
}

__attribute__((unused)) static struct fnx_publisher *publish_topic(const char *name,
	const struct fnx_schema *schema, const uint32_t *extents, struct fnx_layout *layout)
{
	struct fnx_topic_config config = {.name = name,
		.node = "tester",
		.schema_hash = fnx_schema_hash(schema),
		.n_slots = 64,
		.full = FNX_FULL_WAIT,
		.grace_ns = 1000000000,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_publisher *publisher;
	static char description[16384];

	assert_int_equal(fnx_layout_init(layout, schema, extents), 0);
	assert_int_equal(fnx_description_encode(
				 layout, description, sizeof(description), &config.schema_size),
		0);
	config.schema = description;
	config.slot_size = layout->size;
	assert_int_equal(fnx_publisher_open(&node.bus, &config, &publisher), 0);
	return publisher;
}

/* 0: running; else what open or start answered, node.error saying why. */
__attribute__((unused)) static int try_begin(const char *dispatch)
{
	const uint32_t extents[] = {[fnx_posterior_n_states] = N_STATES,
		[fnx_posterior_n_bins] = N_BINS,
		[fnx_posterior_n_recent] = N_RECENT};
	const struct fnx_subscriber_config config = {.topic = "decision",
		.node = "tester",
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE};
	struct fnx_layout layout;
	const char *missing;
	int r;

	rig = load(dispatch);
	now_samples = 1000;
	r = fnx_node_open(&node, &fnx_dispatch_ops, rig, "dispatch");
	if (r)
		return r;
	assert_int_equal(fnx_presence_claim(&node.bus, "tester", &presence, NULL), 0);
	position = publish_topic("position", &fnx_position_schema, NULL, &layout);
	ripple = publish_topic("ripple", &fnx_ripple_schema, NULL, &layout);
	posterior = publish_topic("posterior", &fnx_posterior_schema, extents, &posterior_layout);
	assert_int_equal(fnx_subscriber_open(&node.bus, &config, &decisions), 0);
	assert_int_equal(fnx_node_subscribe(&node, &missing), 1);
	return node.ops->start(node.self);
}

__attribute__((unused)) static void begin(const char *dispatch)
{
	if (try_begin(dispatch))
		fail_msg("%s", node.error);
}

__attribute__((unused)) static void end(void)
{
	if (node.opened) {
		fnx_node_close(&node);
		fnx_subscriber_close(decisions);
		fnx_publisher_close(position);
		fnx_publisher_close(ripple);
		fnx_publisher_close(posterior);
		fnx_presence_drop(&presence);
	}
	rig = fnx_rig_free(rig);
}

/* Whoever opens nothing, refuses with this sentence. */
__attribute__((unused)) static void expect_refusal(const char *dispatch, const char *sentence)
{
	int r = try_begin(dispatch);

	assert_int_equal(r, -EINVAL);
	if (!strstr(node.error, sentence))
		fail_msg("\"%s\" does not say \"%s\"", node.error, sentence);
	end();
}

/* Their publisher has fallen behind: it says nothing of how far time has come. */
__attribute__((unused)) static int positions_lag, ripples_lag, posteriors_lag;

__attribute__((unused)) static void drive(void)
{
	/* Time passes on all three, so that the ordered merge lets everything through. */
	if (!positions_lag)
		fnx_publisher_advance(position, now_samples + 1, 1);
	if (!ripples_lag)
		fnx_publisher_advance(ripple, now_samples + 1, 1);
	if (!posteriors_lag)
		fnx_publisher_advance(posterior, now_samples + 1, 1);
	assert_int_equal(fnx_node_drive(&node, fnx_node_now(), 1000), FNX_DRIVE_IDLE);
}

__attribute__((unused)) static void send(struct fnx_publisher *publisher, size_t size)
{
	const struct fnx_stamp stamp = {.sample_time = now_samples,
		.ingress_ns = sent_ingress_ns,
		.publish_ns = 4711,
		.origin = 1,
		.flags = sent_flags};

	fnx_publisher_publish(publisher, size, &stamp);
	drive();
}

__attribute__((unused)) static void send_position(int32_t bin)
{
	struct fnx_position *message;
	void *payload;

	assert_int_equal(fnx_publisher_loan(position, 0, &payload), 0);
	message = payload;
	*message = (struct fnx_position){
		.bin = bin, .arm = 0, .flags = FNX_POSITION_TRACKED | FNX_POSITION_ON_TRACK};
	send(position, sizeof(*message));
}

__attribute__((unused)) static void send_ripple(int32_t channel, uint32_t type, double speed)
{
	struct fnx_ripple *message;
	void *payload;

	assert_int_equal(fnx_publisher_loan(ripple, 0, &payload), 0);
	message = payload;
	*message = (struct fnx_ripple){.channel = channel, .type = type, .speed = speed};
	send(ripple, sizeof(*message));
}

/* Mass on the left target, half of it in each state; the rest on the stem. */
__attribute__((unused)) static void send_posterior(double left, int32_t bin)
{
	struct fnx_posterior *message;
	double *masses;
	void *payload;

	now_samples += BIN;
	assert_int_equal(fnx_publisher_loan(posterior, 0, &payload), 0);
	memset(payload, 0, posterior_layout.size);
	message = payload;
	*message = (struct fnx_posterior){.speed = 1, .position_bin = bin, .n_recent_valid = 2};
	masses = fnx_posterior_put_posterior(&posterior_layout, payload);
	masses[4] = masses[N_BINS + 5] = left / 2;
	masses[9] = right_mass;
	masses[1] = 1 - left - right_mass;
	fnx_posterior_put_recent_group(&posterior_layout, payload)[0] = 3;
	fnx_posterior_put_recent_group(&posterior_layout, payload)[1] = 7;
	send(posterior, posterior_layout.size);
}

__attribute__((unused)) static int next_decision(
	struct fnx_decision *ret_decision, struct fnx_frame *ret_frame)
{
	struct fnx_gap gap;
	int r = fnx_subscriber_peek(decisions, ret_frame, &gap);

	if (r != FNX_FRAME)
		return 0;
	assert_int_equal(ret_frame->length, sizeof(*ret_decision));
	memcpy(ret_decision, ret_frame->payload, sizeof(*ret_decision));
	fnx_subscriber_release(decisions);
	return 1;
}

/* The outcome of the only decision there is; -1: there is none. */
__attribute__((unused)) static int outcome(void)
{
	struct fnx_decision decision, another;
	struct fnx_frame frame;

	if (!next_decision(&decision, &frame))
		return -1;
	assert_int_equal(next_decision(&another, &frame), 0);
	return (int)decision.outcome;
}

__attribute__((unused)) static void set(const char *name, double value)
{
	for (unsigned i = 0; i < node.n_params; i++)
		if (!strcmp(node.params[i].name, name)) {
			assert_true(value >= node.params[i].min && value <= node.params[i].max);
			*node.params[i].value = value;
			node.ops->changed(node.self);
			return;
		}
	fail_msg("there is no parameter %s", name);
}

/* Frames of these tests have no ages: see test_gate.c, and test_armed.c. */
#define LIMITS \
	"  lockout_ms: 10\n  max_rate_per_min: 600\n  max_age_ms: 0\n  stall_ms: 0\n" \
	"  blanking_ms: 0\n"
#define RIPPLE_RULE "    - {name: s, type: ripple, consensus: true, task: 3}\n"
#define ARMED "  armed: true\n" LIMITS
