/* SPDX-License-Identifier: BSD-3-Clause */
/* The node, step by step, on a bus of its own: frames in, decisions out, one drive at a time. */
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
static int log_is_fifo; /* that nobody reads: the actuator gets stuck */
static int fifo = -1;

static struct fnx_rig *load(const char *dispatch)
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
	fprintf(file, "bus: {name: t%d, segment_dir: %s/s%d, run_dir: %s/r%d, slots: 64}\n", n,
		check_scratch_dir(), n, check_scratch_dir(), n);
	fprintf(file, "source: {type: simulator}\n" RIG_HEAD "dispatch:\n%s", dispatch);
	fprintf(file, "  actuators:\n    - {type: log, file: %s}\n", log_path);
	fclose(file);
	if (fnx_rig_load(path, NULL, 0, &loaded, error))
		fail_msg("%s", error);
	return loaded;
}

static struct fnx_publisher *publish_topic(const char *name, const struct fnx_schema *schema,
	const uint32_t *extents, struct fnx_layout *layout)
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
static int try_begin(const char *dispatch)
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

static void begin(const char *dispatch)
{
	if (try_begin(dispatch))
		fail_msg("%s", node.error);
}

static void end(void)
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
static void expect_refusal(const char *dispatch, const char *sentence)
{
	int r = try_begin(dispatch);

	assert_int_equal(r, -EINVAL);
	if (!strstr(node.error, sentence))
		fail_msg("\"%s\" does not say \"%s\"", node.error, sentence);
	end();
}

static void drive(void)
{
	/* Time passes on all three, so that the ordered merge lets everything through. */
	fnx_publisher_advance(position, now_samples + 1, 1);
	fnx_publisher_advance(ripple, now_samples + 1, 1);
	fnx_publisher_advance(posterior, now_samples + 1, 1);
	assert_int_equal(fnx_node_drive(&node, fnx_node_now(), 1000), FNX_DRIVE_IDLE);
}

static void send(struct fnx_publisher *publisher, size_t size)
{
	const struct fnx_stamp stamp = {
		.sample_time = now_samples, .ingress_ns = 5, .publish_ns = 4711, .origin = 1};

	fnx_publisher_publish(publisher, size, &stamp);
	drive();
}

static void send_position(int32_t bin)
{
	struct fnx_position *message;
	void *payload;

	assert_int_equal(fnx_publisher_loan(position, 0, &payload), 0);
	message = payload;
	*message = (struct fnx_position){
		.bin = bin, .arm = 0, .flags = FNX_POSITION_TRACKED | FNX_POSITION_ON_TRACK};
	send(position, sizeof(*message));
}

static void send_ripple(int32_t channel, uint32_t type, double speed)
{
	struct fnx_ripple *message;
	void *payload;

	assert_int_equal(fnx_publisher_loan(ripple, 0, &payload), 0);
	message = payload;
	*message = (struct fnx_ripple){.channel = channel, .type = type, .speed = speed};
	send(ripple, sizeof(*message));
}

/* Mass on the left target, half of it in each state; the rest on the stem. */
static void send_posterior(double left, int32_t bin)
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
	masses[1] = 1 - left;
	fnx_posterior_put_recent_group(&posterior_layout, payload)[0] = 3;
	fnx_posterior_put_recent_group(&posterior_layout, payload)[1] = 7;
	send(posterior, posterior_layout.size);
}

static int next_decision(struct fnx_decision *ret_decision, struct fnx_frame *ret_frame)
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
static int outcome(void)
{
	struct fnx_decision decision, another;
	struct fnx_frame frame;

	if (!next_decision(&decision, &frame))
		return -1;
	assert_int_equal(next_decision(&another, &frame), 0);
	return (int)decision.outcome;
}

static void set(const char *name, double value)
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
#define ARMED "  armed: true\n" LIMITS

TEST(a_replay_is_decided_done_and_told)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	char line[600] = "", expected[100];
	FILE *file;

	begin(ARMED "  rules:\n" REPLAY_RULE("replay left"));
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	send_posterior(0.75, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(frame.stamp.sample_time, now_samples);
	assert_int_equal(frame.stamp.ingress_ns, 5);
	assert_int_equal(decision.cause_seq, 1);
	assert_int_equal(decision.cause_publish_ns, 4711);
	assert_true(
		decision.target_mass == 0.75 && decision.other_mass == 0.25 && decision.speed == 1);
	assert_int_equal(decision.arm, 1);
	assert_int_equal(decision.position_bin, 1);
	assert_int_equal(decision.rule, 0);
	assert_int_equal(decision.task, 17);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.n_groups, 2);
	assert_string_equal(decision.rule_name, "replay left");
	snprintf(expected, sizeof(expected),
		"sample_time=%lld rule=\"replay left\" task=17 outcome=0 ", (long long)now_samples);
	end(); /* carries out what was given */
	file = fopen(log_path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_memory_equal(line, expected, strlen(expected));
	assert_null(fgets(line, sizeof(line), file));
	fclose(file);
}

TEST(a_rule_that_stays_true_acts_once_per_lock_out)
{
	int n_acted = 0;

	begin(ARMED "  rules:\n" REPLAY_RULE("r")); /* 50 ms: 1500 samples, a bin is 180 */
	for (int i = 0; i < 1 + 9 * 4; i++) {
		int what;

		send_posterior(0.75, 1);
		what = outcome();
		assert_true(what == -1 || what == FNX_DECISION_ACTED);
		n_acted += what == FNX_DECISION_ACTED;
	}
	assert_int_equal(n_acted, 4);
	end();
}

TEST(disarmed_it_decides_and_nothing_reaches_the_actuator)
{
	struct fnx_decision decision;
	struct fnx_frame frame;
	FILE *file;

	begin(LIMITS "  rules:\n" REPLAY_RULE("r"));
	for (int edge = 0; edge < 3; edge++) {
		for (int i = 0; i < 5; i++)
			send_posterior(0.75, 1);
		assert_int_equal(next_decision(&decision, &frame), 1);
		assert_int_equal(decision.outcome, FNX_DECISION_DISARMED);
		assert_int_equal(next_decision(&decision, &frame), 0);
		send_posterior(0, 1);
		send_posterior(0, 1);
	}
	end();
	file = fopen(log_path, "r");
	assert_non_null(file);
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
}

TEST(it_is_armed_and_disarmed_while_it_runs)
{
	begin(LIMITS "  rules:\n" REPLAY_RULE("r"));
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_DISARMED);
	set("armed", 0.99); /* not wholly */
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	set("armed", 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	set("dry_run", 0.01);
	now_samples += 30000;
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_DRY_RUN);
	end();
}

TEST(settings_of_a_rule_change_while_it_runs)
{
	begin(ARMED "  rules:\n" REPLAY_RULE("replay left"));
	set("replay_left.threshold", 0.9);
	for (int i = 0; i < 4; i++)
		send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	set("replay_left.min_groups", 3);
	set("replay_left.threshold", 0.5);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	set("replay_left.min_groups", 2);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(the_place_of_the_animal_lets_a_replay_through_or_not)
{
	begin(ARMED "  rules:\n"
		    "    - {name: r, type: replay, arm: 1, threshold: 0.5, other_arms_below: 0.3, "
		    "window_bins: 1, task: 1, max_centre_distance_cm: 10}\n");
	send_posterior(0.75, 3); /* 15 cm from bin 0 */
	send_posterior(0.75, -1);
	send_posterior(0.75, 6); /* a gap */
	send_posterior(0.75, 99); /* nowhere */
	assert_int_equal(outcome(), -1);
	send_posterior(0.75, 2);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_ripple_rule_counts_electrodes_and_notes_the_place)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin(ARMED "  rules:\n"
		    "    - {name: r, type: ripple, min_electrodes: 2, window_ms: 15, "
		    "max_speed_cm_s: 4, task: 3}\n");
	send_position(7);
	send_ripple(0, FNX_RIPPLE_STANDARD, 1);
	send_ripple(1, FNX_RIPPLE_CONDITIONING, 1);
	send_ripple(FNX_RIPPLE_CONSENSUS, FNX_RIPPLE_STANDARD, 1);
	now_samples += 449;
	send_ripple(1, FNX_RIPPLE_STANDARD, 4);
	assert_int_equal(outcome(), -1);
	now_samples++; /* else it comes after its turn */
	send_ripple(2, FNX_RIPPLE_STANDARD, 1.5);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.n_groups, 3);
	assert_int_equal(decision.position_bin, 7);
	assert_int_equal(decision.arm, -1);
	assert_int_equal(decision.task, 3);
	assert_true(decision.speed == 1.5);
	end();
}

TEST(two_rules_true_at_once_share_the_lock_out)
{
	struct fnx_decision decision;
	struct fnx_frame frame;

	begin(ARMED "  rules:\n" REPLAY_RULE("a") REPLAY_RULE("b"));
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_ACTED);
	assert_int_equal(decision.rule, 0);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.outcome, FNX_DECISION_LOCKED_OUT);
	assert_int_equal(decision.rule, 1);
	assert_int_equal(next_decision(&decision, &frame), 0);
	end();
}

TEST(no_frame_takes_memory)
{
	_Atomic uint64_t n_allocations = 0;

	begin(ARMED "  rules:\n" REPLAY_RULE("a") REPLAY_RULE(
		"b") "    - {name: c, type: ripple, min_electrodes: 1, window_ms: 15, task: 3}\n");
	for (int i = 0; i < 2000; i++) {
		struct fnx_decision decision;
		struct fnx_frame frame;

		/* The first frames make publishers and readers known to each other. */
		if (i == 8)
			fnx_heap_watch(&n_allocations);
		send_position(i % N_BINS);
		send_ripple(i % 4, FNX_RIPPLE_STANDARD, 1);
		send_posterior(i % 7 ? 0.75 : 0, 1);
		while (next_decision(&decision, &frame))
			;
	}
	fnx_heap_watch(NULL);
	assert_int_equal(n_allocations, 0);
	end();
}

TEST(a_task_that_finds_the_actuator_stuck_is_told_as_failed_and_counts)
{
	char bytes[4096];
	int n_acted = 0, n_failed = 0;

	log_is_fifo = 1;
	begin("  armed: true\n  lockout_ms: 0\n  max_rate_per_min: 1e6\n  max_age_ms: 0\n"
	      "  stall_ms: 0\n  rules:\n"
	      "    - {name: r, type: replay, arm: 1, threshold: 0.5, other_arms_below: 0.3, "
	      "window_bins: 1, task: 1, lockout_ms: 10}\n");
	while (n_failed < 20) {
		int what;

		send_posterior(0.75, 1);
		what = outcome();
		/* One per lock-out, failed or not: 10 ms are two bins of 6 ms. */
		assert_true(what == FNX_DECISION_ACTED || what == FNX_DECISION_ACTUATOR_FAILED);
		n_acted += what == FNX_DECISION_ACTED;
		n_failed += what == FNX_DECISION_ACTUATOR_FAILED;
		send_posterior(0.75, 1);
		assert_int_equal(outcome(), -1);
	}
	assert_true(n_acted >= 64);
	/* Given back its reader, it carries out what it took. */
	fcntl(fifo, F_SETFL, 0);
	fcntl(fifo, F_SETPIPE_SZ, 1 << 20);
	assert_true(read(fifo, bytes, sizeof(bytes)) > 0);
	end();
	close(fifo);
	log_is_fifo = 0;
}

TEST(the_place_off_the_track_is_no_place)
{
	struct fnx_decision decision;
	struct fnx_position *message;
	struct fnx_frame frame;
	void *payload;

	begin(ARMED "  rules:\n    - {name: r, type: ripple, consensus: true, task: 3}\n");
	assert_int_equal(fnx_publisher_loan(position, 0, &payload), 0);
	message = payload;
	*message = (struct fnx_position){.bin = 4, .flags = FNX_POSITION_TRACKED};
	send(position, sizeof(*message));
	send_ripple(FNX_RIPPLE_CONSENSUS, FNX_RIPPLE_STANDARD, 1);
	assert_int_equal(next_decision(&decision, &frame), 1);
	assert_int_equal(decision.position_bin, -1);
	assert_int_equal(decision.n_groups, 0);
	end();
}

TEST(a_gap_in_the_posterior_begins_the_window_anew)
{
	const struct fnx_gap gap = {.from = 1, .to = 2, .reason = FNX_GAP_LAPPED};

	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	send_posterior(0.75, 1);
	node.ops->gap(node.self, 2, &gap);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), -1);
	node.ops->gap(node.self, 0, &gap); /* position: no matter */
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_broken_posterior_makes_nothing_true)
{
	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	send_posterior(0.75, 1);
	send_posterior((double)NAN, 1);
	send_posterior(0.75, 1);
	send_posterior(-3, 1);
	send_posterior(7, 1);
	assert_int_equal(outcome(), -1);
	end();
}

TEST(a_restarted_node_does_nothing_for_a_minute)
{
	const char *missing;

	begin(ARMED "  rules:\n" REPLAY_RULE("r"));
	fnx_node_close(&node);
	/* The same again, by a node that is told that it took over. */
	assert_int_equal(fnx_node_open(&node, &fnx_dispatch_ops, rig, "dispatch"), 0);
	node.restarted = node.had_begun = 1;
	assert_int_equal(fnx_node_subscribe(&node, &missing), 1);
	assert_int_equal(node.ops->start(node.self), 0);
	fnx_subscriber_close(decisions);
	assert_int_equal(fnx_subscriber_open(&node.bus,
				 &(struct fnx_subscriber_config){.topic = "decision",
					 .node = "tester",
					 .policy = FNX_LOSSLESS,
					 .start = FNX_START_OLDEST,
					 .bell = FNX_BELL_FORM_PIPE},
				 &decisions),
		0);
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_LOCKED_OUT);
	now_samples += 300;
	send_posterior(0, 1);
	send_posterior(0, 1);
	now_samples += 30000;
	send_posterior(0.75, 1);
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_RATE_LIMITED);
	now_samples += 60 * 30000;
	send_posterior(0.75, 1);
	assert_int_equal(outcome(), FNX_DECISION_ACTED);
	end();
}

TEST(a_rule_that_cannot_work_is_refused_by_number_name_and_key)
{
	expect_refusal(LIMITS "  rules:\n" REPLAY_RULE("a b") REPLAY_RULE("a-b"),
		"dispatch.rules[1] (a-b): name: rule 0 has it already");
	expect_refusal(LIMITS "  rules:\n"
			      "    - {name: x y, type: replay, task: 1, arm: 1, threshold: 0.5, "
			      "other_arms_below: 0.2, window_bins: 1, min_groups: 11}\n",
		"dispatch.rules[0] (x y): min_groups: 1 time bins of a posterior name 10 groups");
}

TEST(thirty_two_rules_have_their_first_settings_at_least)
{
	char text[8192] = ARMED "  rules:\n";

	for (int i = 0; i < 32; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"    - {name: rule %d, type: replay, arm: %d, threshold: 0.5, "
			"other_arms_below: 0.3, "
			"window_bins: %d, task: %d}\n",
			i, 1 + i % 2, 1 + i, i);
	begin(text);
	assert_int_equal(node.n_params, FNX_NODE_PARAMS_MAX);
	set("rule_31.threshold", 0.25);
	end();
}
