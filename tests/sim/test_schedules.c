/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole path, from the simulated session to the decisions, in one thread and on a virtual
 * clock. A schedule says who has the next turn and how long it is; whatever it says, every frame
 * of every topic must be the same. Two kinds:
 *
 *	free    anybody may have a turn at any time, with work or without
 *	woken   who has nothing to do is parked, and has no turn before its bell has rung: a wake
 *		that is lost, or a circle of nodes that wait for each other, is found at once, and
 *		not by a deadline
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/presence.h"
#include "nodes/acquire/node.h"
#include "nodes/decode/node.h"
#include "nodes/dispatch/node.h"
#include "nodes/encode/node.h"
#include "nodes/host/host.h"
#include "nodes/ripple/node.h"
#include "schemas/decision.h"
#include "tests/support/check.h"

enum {
	N_NODES = 6,
	N_TOPICS = 8,
#ifdef FNX_SANITIZED
	SCHEDULES = 12,
#else
	SCHEDULES = 50,
#endif
	TURN_MAX = 300, /* frames */
	RARELY = 100, /* turns of others for one of a node that is driven rarely */
	STANDSTILL = 100000, /* free turns in a row without a trace of progress */
	SLOTS_MIN = 16,
	SLOTS_USUAL = 512,
	NOBODY = -1,
};

static const struct {
	const struct fnx_node_ops *ops;
	const char *name;
} cast[N_NODES] = {{&fnx_acquire_ops, "acquire"}, {&fnx_ripple_ops, "ripple"},
	{&fnx_encode_ops, "encode.1"}, {&fnx_encode_ops, "encode.2"}, {&fnx_decode_ops, "decode"},
	{&fnx_dispatch_ops, "dispatch"}};

static const char *const topics[N_TOPICS] = {"position", "spikes", "lfp", "truth", "likelihood.1",
	"likelihood.2", "posterior", "ripple"};
static const char decisions[] = "decision";

struct actor {
	struct fnx_node node;
	enum fnx_drive why;
	int parked, ended;
};

/* What a topic has said so far, as its reader found it. */
struct trace {
	struct fnx_subscriber *sub;
	uint64_t hash, n_frames;
	int64_t end;
	int masked; /* payload bytes [masked, masked + 24) are host times; 0: none */
};

struct schedule {
	uint32_t slots;
	int woken;
	int rare; /* a node that is driven rarely, NOBODY */
	int rare_reader; /* so is whoever reads every topic */
	double duration_s;
};

struct stage {
	struct fnx_rig *rig;
	struct fnx_bus bus;
	struct fnx_presence presence;
	struct actor actors[N_NODES];
	struct trace traces[N_TOPICS + 1];
	const struct schedule *schedule;
	struct check_random random;
	uint32_t delay_samples; /* of decode */
	int by_lfp; /* so is its tick; paced */
	int64_t now_ns;
	uint64_t n_turns;
};

static struct stage stage;

/* Traces ----------------------------------------------------------------------------- */

static void mix(uint64_t *hash, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ at[i]) * UINT64_C(0x100000001b3);
}

static void note(struct trace *trace, const struct fnx_frame *frame)
{
	const unsigned char *payload = frame->payload;
	size_t masked = (size_t)trace->masked;

	mix(&trace->hash, &frame->seq, sizeof(frame->seq));
	mix(&trace->hash, &frame->stamp.sample_time, sizeof(frame->stamp.sample_time));
	mix(&trace->hash, &frame->stamp.origin, sizeof(frame->stamp.origin));
	mix(&trace->hash, &frame->stamp.flags, sizeof(frame->stamp.flags));
	if (masked) {
		mix(&trace->hash, payload, masked);
		mix(&trace->hash, payload + masked + 24, frame->length - masked - 24);
	} else {
		mix(&trace->hash, payload, frame->length);
	}
	trace->n_frames++;
}

static void read_all(struct trace *trace)
{
	struct fnx_frame frame;
	struct fnx_gap gap;
	int r;

	while ((r = fnx_subscriber_peek(trace->sub, &frame, &gap)) == FNX_FRAME) {
		note(trace, &frame);
		fnx_subscriber_release(trace->sub);
	}
	if (r != FNX_NOTHING)
		fail_msg("a lossless reader was answered %d", r);
	if (fnx_subscriber_watermark(trace->sub, NULL) == FNX_END)
		trace->end = fnx_subscriber_end(trace->sub);
}

static void open_trace(struct trace *trace, const char *topic)
{
	const struct fnx_subscriber_config config = {.topic = topic,
		.node = "tracer",
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE};

	*trace = (struct trace){.hash = UINT64_C(0xcbf29ce484222325), .end = INT64_MIN};
	if (!strcmp(topic, decisions))
		trace->masked = offsetof(struct fnx_decision, cause_publish_ns);
	assert_int_equal(fnx_subscriber_open(&stage.bus, &config, &trace->sub), 0);
}

/* The stage -------------------------------------------------------------------------- */

static void load_rig(const struct schedule *schedule)
{
	static unsigned n;
	char duration[64], segment_dir[300], run_dir[300], error[FNX_RIG_ERROR_MAX];
	const char *overrides[] = {"source.speed=0", duration, segment_dir, run_dir};

	n++;
	snprintf(duration, sizeof(duration), "source.duration_s=%g", schedule->duration_s);
	snprintf(
		segment_dir, sizeof(segment_dir), "bus.segment_dir=%s/s%u", check_scratch_dir(), n);
	snprintf(run_dir, sizeof(run_dir), "bus.run_dir=%s/r%u", check_scratch_dir(), n);
	if (fnx_rig_load(FNX_RIG_DEMO, overrides, 4, &stage.rig, error))
		fail_msg("%s", error);
	stage.rig->bus.slots = schedule->slots;
	stage.rig->decode.delay_samples = stage.delay_samples;
	stage.rig->decode.tick = stage.by_lfp ? FNX_TICK_LFP : FNX_TICK_CLOCK;
	stage.rig->source.speed = stage.by_lfp ? 1 : 0;
	/* There is replay to decide upon from the first rest on, however little was learnt. */
	stage.rig->source.simulator.replay_after_s = 0;
	stage.rig->source.simulator.ripple_rate_hz = 4;
	for (uint32_t k = 0; k < stage.rig->dispatch.n_rules; k++) {
		stage.rig->dispatch.rules[k].threshold = 0.1;
		stage.rig->dispatch.rules[k].other_arms_below = 1;
		stage.rig->dispatch.rules[k].min_groups = 0;
		stage.rig->dispatch.rules[k].max_centre_distance_cm = 0;
		stage.rig->dispatch.rules[k].max_speed_cm_s = 0;
	}
}

static void raise_curtain(const struct schedule *schedule)
{
	const char *missing;

	memset(&stage, 0, offsetof(struct stage, random));
	stage.schedule = schedule;
	stage.now_ns = 1;
	stage.n_turns = 0;
	load_rig(schedule);
	for (unsigned i = 0; i < N_NODES; i++)
		if (fnx_node_open(&stage.actors[i].node, cast[i].ops, stage.rig, cast[i].name))
			fail_msg("%s", stage.actors[i].node.error);
	stage.bus = stage.actors[0].node.bus;
	assert_int_equal(fnx_presence_claim(&stage.bus, "tracer", &stage.presence, NULL), 0);
	for (unsigned i = 0; i < N_TOPICS; i++)
		open_trace(&stage.traces[i], topics[i]);
	open_trace(&stage.traces[N_TOPICS], decisions);
	for (unsigned i = 0; i < N_NODES; i++) {
		struct fnx_node *node = &stage.actors[i].node;

		assert_int_equal(fnx_node_subscribe(node, &missing), 1);
		assert_int_equal(node->ops->start ? node->ops->start(node->self) : 0, 0);
		atomic_store(&node->status->state, FNX_NODE_READY);
	}
}

static void drop_curtain(void)
{
	for (unsigned i = 0; i <= N_TOPICS; i++)
		fnx_subscriber_close(stage.traces[i].sub);
	for (unsigned i = N_NODES; i-- > 0;)
		fnx_node_close(&stage.actors[i].node);
	fnx_presence_drop(&stage.presence);
	assert_int_equal(fnx_bus_remove(&stage.bus), 0);
	stage.rig = fnx_rig_free(stage.rig);
}

/* Standstill ------------------------------------------------------------------------- */

static void tell_input(const struct fnx_merge *merge, const struct fnx_node *node, unsigned i)
{
	const struct fnx_merge_input *input = &merge->inputs[i];

	print_message("    in  %-14s lag %" PRIu64 ", %s %" PRId64 "%s\n", node->inputs[i].topic,
		fnx_subscriber_lag(input->sub), input->has_frame ? "frame at" : "promised to",
		input->bound, (int)i == merge->candidate ? ", next" : "");
}

static const char *name_of(enum fnx_drive why)
{
	static const char *const names[] = {[0] = "had no turn yet",
		[FNX_DRIVE_MORE] = "has work",
		[FNX_DRIVE_IDLE] = "waits for inputs",
		[FNX_DRIVE_MOVED] = "lost a topic",
		[FNX_DRIVE_FULL] = "waits for room",
		[FNX_DRIVE_FAILED] = "has failed",
		[FNX_DRIVE_ENDED] = "has ended"};

	return names[why];
}

static void tell_who_waits_for_what(void)
{
	for (unsigned i = 0; i < N_NODES; i++) {
		struct actor *actor = &stage.actors[i];
		struct fnx_node *node = &actor->node;

		print_message("  %s %s%s; time has come to %" PRId64 "\n", cast[i].name,
			name_of(actor->why), actor->parked ? ", asleep" : "", node->merge.until);
		for (unsigned k = 0; k < node->merge.n_inputs; k++)
			tell_input(&node->merge, node, k);
		for (unsigned k = 0; k < node->n_outputs; k++)
			print_message("    out %-14s %" PRIu64 " frames, promised to %" PRId64
				      ", %s\n",
				node->outputs[k].topic, fnx_node_published(node, k),
				fnx_node_promised(node, k),
				fnx_publisher_room(
					node->outputs[k].pub, node->outputs[k].burst, stage.now_ns)
					? "has room"
					: "is full");
	}
}

__attribute__((noreturn)) static void stand_still(const char *why)
{
	print_message("turn %" PRIu64 ": %s\n", stage.n_turns, why);
	tell_who_waits_for_what();
	fail_msg("the nodes wait for each other");
	abort();
}

/* Everything that only ever rises: equal sums mean that nothing has happened. */
static uint64_t sum_progress(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_NODES; i++) {
		struct fnx_node *node = &stage.actors[i].node;

		for (unsigned k = 0; k < node->merge.n_inputs; k++)
			sum += fnx_subscriber_next(node->merge.inputs[k].sub);
		for (unsigned k = 0; k < node->n_outputs; k++)
			sum += fnx_node_published(node, k) + (uint64_t)fnx_node_promised(node, k);
		sum += (uint64_t)stage.actors[i].ended;
	}
	for (unsigned i = 0; i <= N_TOPICS; i++)
		sum += stage.traces[i].n_frames;
	return sum;
}

/* Turns ------------------------------------------------------------------------------ */

static void take_turn(struct actor *actor, unsigned budget)
{
	struct fnx_node *node = &actor->node;

	actor->why = fnx_node_drive(node, stage.now_ns, budget);
	if (actor->why == FNX_DRIVE_FAILED || actor->why == FNX_DRIVE_MOVED)
		stand_still(node->error);
	if (actor->why == FNX_DRIVE_ENDED)
		actor->ended = 1;
	else if (stage.schedule->woken && actor->why != FNX_DRIVE_MORE)
		actor->parked = !fnx_node_park(node, actor->why, stage.now_ns);
}

/* In a woken schedule: 1 if this one has something to do. */
static int is_awake(struct actor *actor)
{
	if (actor->parked && fnx_bell_drain(actor->node.bell) > 0) {
		actor->parked = 0;
		fnx_node_unpark(&actor->node);
	}
	return !actor->parked && !actor->ended;
}

static int is_spared(unsigned i)
{
	return (int)i == stage.schedule->rare && check_random_below(&stage.random, RARELY) != 0;
}

/* The next to have a turn; one that is driven rarely, if there is nobody else. NOBODY: all are
 * asleep or have ended. */
static int choose(void)
{
	unsigned awake[N_NODES], n = 0;
	int spared = NOBODY;

	for (unsigned i = 0; i < N_NODES; i++) {
		if (stage.schedule->woken && !is_awake(&stage.actors[i]))
			continue;
		if (is_spared(i))
			spared = (int)i;
		else
			awake[n++] = i;
	}
	return n ? (int)awake[check_random_below(&stage.random, n)] : spared;
}

static int read_some(int all)
{
	int rarely = stage.schedule->rare_reader;

	for (unsigned i = 0; i <= N_TOPICS; i++)
		if (all || check_random_below(&stage.random, rarely ? RARELY : 20) == 0)
			read_all(&stage.traces[i]);
	return 1;
}

static int all_have_ended(void)
{
	for (unsigned i = 0; i < N_NODES; i++)
		if (!stage.actors[i].ended)
			return 0;
	return 1;
}

/* Everybody sleeps: only who reads the topics can wake them. */
static void wake_by_reading(void)
{
	read_some(1);
	if (choose() == NOBODY && !all_have_ended())
		stand_still("everybody sleeps, and no bell has rung");
}

static void play(void)
{
	uint64_t progress = 0;
	unsigned n_idle = 0;

	while (!all_have_ended()) {
		int i = choose();

		stage.n_turns++;
		/* Time passes, but never so that it matters. */
		stage.now_ns += (int64_t)check_random_below(&stage.random, 1000000);
		if (i == NOBODY) {
			wake_by_reading();
			continue;
		}
		take_turn(&stage.actors[i],
			1 +
				(unsigned)check_random_below(&stage.random,
					check_random_below(&stage.random, 2) ? 4 : TURN_MAX));
		read_some(0);
		if (stage.schedule->woken)
			continue;
		n_idle = sum_progress() == progress ? n_idle + 1 : 0;
		progress = sum_progress();
		if (n_idle > STANDSTILL)
			stand_still("nobody gets on");
	}
	read_some(1);
}

enum {
	ACQUIRE = 0,
	DECODE = 4,
};

/* Everybody but the source sleeps. */
static void expect_no_bin_to_wait(void)
{
	const struct fnx_node *acquire = &stage.actors[ACQUIRE].node;
	const struct fnx_node *decode = &stage.actors[DECODE].node;
	int64_t next_tick = fnx_node_promised(decode, 0), come = fnx_node_promised(acquire, 0);
	uint64_t n_bins = fnx_node_published(decode, 0);

	if (stage.by_lfp) {
		/* Only those beside which nothing more comes. The first is at 0. */
		uint64_t period = (uint64_t)(stage.rig->clock.rate_hz / stage.rig->lfp.rate_hz);
		uint64_t n_samples = ((uint64_t)come + period - 1) / period;

		if (come >= 0 && come < FNX_END)
			assert_int_equal(n_bins, n_samples / stage.rig->decode.lfp_per_bin);
	} else if (n_bins && next_tick < come) {
		fail_msg("time has come to %" PRId64 ", and the bin that closes at %" PRId64
			 " waits for something else to happen",
			come, next_tick);
	}
}

/* The source says the next thing when all others sleep, as one does that goes by the clock. */
static void play_unhurried(void)
{
	while (!all_have_ended()) {
		int next = NOBODY;

		read_some(1);
		stage.n_turns++;
		for (int i = 1, n = 0; i < N_NODES; i++)
			if (is_awake(&stage.actors[i]) &&
				check_random_below(&stage.random, (uint64_t)++n) == 0)
				next = i;
		if (next == NOBODY) {
			expect_no_bin_to_wait();
			if (stage.actors[ACQUIRE].ended)
				stand_still("everybody sleeps, and no bell has rung");
			next = ACQUIRE;
			stage.now_ns += 100000;
		}
		take_turn(&stage.actors[next], next == ACQUIRE ? 1 : TURN_MAX);
	}
	read_some(1);
}

static void perform(const struct schedule *schedule)
{
	raise_curtain(schedule);
	play();
}

/* Comparing -------------------------------------------------------------------------- */

struct outcome {
	uint64_t hash, n_frames;
	int64_t end;
};

static void take_down(struct outcome *outcomes)
{
	for (unsigned i = 0; i <= N_TOPICS; i++)
		outcomes[i] = (struct outcome){
			stage.traces[i].hash, stage.traces[i].n_frames, stage.traces[i].end};
}

static const char *topic_name(unsigned i)
{
	return i < N_TOPICS ? topics[i] : decisions;
}

static void compare(const struct outcome *expected)
{
	for (unsigned i = 0; i <= N_TOPICS; i++) {
		const struct trace *trace = &stage.traces[i];

		if (trace->hash != expected[i].hash || trace->n_frames != expected[i].n_frames ||
			trace->end != expected[i].end)
			fail_msg("%s: %" PRIu64 " frames to %" PRId64 ", hash %016" PRIx64
				 ", and not %" PRIu64 " to %" PRId64 ", hash %016" PRIx64,
				topic_name(i), trace->n_frames, trace->end, trace->hash,
				expected[i].n_frames, expected[i].end, expected[i].hash);
	}
}

/* The session that all schedules are compared with: each in turn, as long as it likes. */
static void expect(struct outcome *outcomes, double duration_s)
{
	const struct schedule plain = {
		.slots = SLOTS_USUAL, .rare = NOBODY, .duration_s = duration_s};

	raise_curtain(&plain);
	while (!all_have_ended())
		for (unsigned i = 0; i < N_NODES; i++) {
			take_turn(&stage.actors[i], TURN_MAX);
			read_some(1);
		}
	take_down(outcomes);
	drop_curtain();
	for (unsigned i = 0; i <= N_TOPICS; i++) {
		print_message("%s%s %" PRIu64, i ? ", " : "", topic_name(i), outcomes[i].n_frames);
		/* A topic without frames compares nothing. */
		assert_true(outcomes[i].n_frames > 0);
	}
	print_message("\n");
}

static void try_schedules(unsigned n, double duration_s, uint32_t slots, int woken, int rare)
{
	struct check_random random = check_random_seeded();
	struct outcome expected[N_TOPICS + 1];
	uint64_t n_turns = 0;

	expect(expected, duration_s);
	for (unsigned k = 0; k < n; k++) {
		const struct schedule schedule = {.slots = slots,
			.woken = woken,
			.rare = !rare ? NOBODY : (int)(k % (N_NODES + 1)) - 1,
			.rare_reader = rare && k % (N_NODES + 1) == 0,
			.duration_s = duration_s};

		stage.random.state = check_random_u64(&random);
		perform(&schedule);
		compare(expected);
		n_turns += stage.n_turns;
		drop_curtain();
	}
	print_message("%u schedules, %" PRIu64 " turns each\n", n, n_turns / n);
}

TEST(every_order_of_turns_tells_the_same_story)
{
	try_schedules(SCHEDULES, 8, SLOTS_USUAL, 0, 0);
}

TEST(so_does_every_order_with_pools_of_the_smallest_size)
{
	try_schedules(SCHEDULES / 2, 8, SLOTS_MIN, 0, 0);
}

TEST(so_does_every_order_in_which_nobody_moves_but_who_was_woken)
{
	try_schedules(SCHEDULES, 8, SLOTS_USUAL, 1, 0);
	try_schedules(SCHEDULES / 2, 8, SLOTS_MIN, 1, 0);
}

TEST(so_does_every_order_in_which_one_is_slow)
{
	try_schedules(2 * (N_NODES + 1), 8, SLOTS_USUAL, 0, 1);
	try_schedules(N_NODES + 1, 8, SLOTS_MIN, 0, 1);
	try_schedules(2 * (N_NODES + 1), 8, SLOTS_MIN, 1, 1);
}

TEST(a_time_bin_is_decoded_as_soon_as_it_has_ended_whatever_comes_next)
{
	static const uint32_t delays[] = {0, 1, 77, 179, 180, 400};
	const struct schedule schedule = {
		.slots = SLOTS_USUAL, .woken = 1, .rare = NOBODY, .duration_s = 1};

	for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		stage.random = check_random_seeded();
		stage.delay_samples = delays[i];
		raise_curtain(&schedule);
		play_unhurried();
		assert_true(fnx_node_published(&stage.actors[DECODE].node, 0) > 100);
		drop_curtain();
	}
	stage.delay_samples = 0;
}

TEST(so_is_one_that_an_lfp_sample_ends_where_somebody_waits_for_it)
{
	const struct schedule schedule = {
		.slots = SLOTS_USUAL, .woken = 1, .rare = NOBODY, .duration_s = 1};

	stage.by_lfp = 1;
	stage.random = check_random_seeded();
	raise_curtain(&schedule);
	play_unhurried();
	assert_true(fnx_node_published(&stage.actors[DECODE].node, 0) > 100);
	drop_curtain();
	stage.by_lfp = 0;
}
