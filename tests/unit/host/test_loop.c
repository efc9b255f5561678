/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: nodes that run in threads of their own, asked to stop, asked questions, and woken. */
#include "tests/unit/host/node_fixture.h"

#include <poll.h>
#include <pthread.h>

#include "bus/control.h"
#include "schemas/control.h"

enum {
	RALLIES = 20000,
	FEW_RALLIES = 200,
	PLAY_MS = 3000
};

static struct lab lab;

/* A node in a thread. */
struct runner {
	struct fnx_node node;
	struct script script;
	pthread_t thread;
	_Atomic int stop, over;
	int result;
};

static struct runner one, two;

static void *run(void *argument)
{
	struct runner *runner = argument;

	runner->result = fnx_node_run(&runner->node, &runner->stop, 0);
	atomic_store(&runner->over, 1);
	return NULL;
}

static void open_runner(struct runner *runner, const char *name)
{
	const struct fnx_node_ops *ops = runner->script.produce ? &script_source_ops : &script_ops;

	runner->stop = runner->over = 0;
	if (script_try_open(&lab, &runner->script, ops, name, &runner->node))
		fail_msg("%s", runner->node.error);
}

static void start(struct runner *runner)
{
	assert_int_equal(pthread_create(&runner->thread, NULL, run, runner), 0);
}

static void join(struct runner *runner)
{
	pthread_join(runner->thread, NULL);
	assert_int_equal(runner->result, 0);
}

static void await_state(const struct runner *runner, uint32_t state)
{
	int64_t deadline = lab_deadline();

	while (atomic_load(&runner->node.status->state) < state)
		assert_true(fnx_node_now() < deadline);
}

static int ask(const char *name, const char *op, struct fnx_map *ret_reply)
{
	static unsigned char reply[FNX_CONTROL_BODY_MAX];
	const struct fnx_pair pair = fnx_pair_text("op", op);
	unsigned char body[64];
	size_t size;
	int r;

	assert_int_equal(fnx_map_encode(&pair, 1, body, sizeof(body), &size), 0);
	r = fnx_control_request(
		&lab.bus, name, body, size, CHECK_PATIENCE_MS, reply, sizeof(reply), &size);
	return r ? r : fnx_map_decode(ret_reply, reply, size);
}

static void expect_answer(const char *name, const char *op)
{
	struct fnx_map reply;
	bool ok = false;

	assert_int_equal(ask(name, op, &reply), 0);
	assert_int_equal(fnx_map_flag(&reply, "ok", &ok), 0);
	assert_true(ok);
}

static const enum fnx_wait waits[] = {FNX_WAIT_SLEEP, FNX_WAIT_ADAPTIVE, FNX_WAIT_SPIN};

/* `one`, on a bus of its own, with one input: the publisher. */
static struct fnx_publisher *start_listener(enum fnx_wait wait)
{
	struct fnx_publisher *in;

	lab_open(&lab);
	lab.rig.bus.wait = wait;
	in = lab_publisher(&lab, "in");
	one = (struct runner){.script = {.inputs = {"in"}}};
	open_runner(&one, "node");
	start(&one);
	return in;
}

static void join_listener(struct fnx_publisher *in)
{
	join(&one);
	fnx_node_close(&one.node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

/* Stopping --------------------------------------------------------------------------- */

TEST(a_node_stops_on_its_flag_however_it_waits)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fnx_publisher *in = start_listener(waits[i]);

		await_state(&one, FNX_NODE_READY);
		atomic_store(&one.stop, FNX_STOP_ALL);
		join_listener(in);
	}
}

TEST(a_node_answers_and_stops_when_asked_to_however_it_waits)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fnx_publisher *in = start_listener(waits[i]);

		for (unsigned k = 0; k < 20; k++) {
			expect_answer("node", "get");
			expect_answer("node", "stats");
		}
		expect_answer("node", "stop");
		join_listener(in);
	}
}

TEST(a_node_that_waits_for_a_topic_stops_and_answers_nothing_amiss)
{
	lab_open(&lab);
	one = (struct runner){.script = {.inputs = {"never"}}};
	open_runner(&one, "node");
	start(&one);
	expect_answer("node", "stats");
	assert_int_equal(atomic_load(&one.node.status->state), FNX_NODE_STARTING);
	atomic_store(&one.stop, FNX_STOP_ALL);
	join(&one);
	fnx_node_close(&one.node);
	lab_close(&lab);
}

static int produce_without_end(struct script *self, int64_t now_ns, int64_t *ret_due_ns)
{
	int64_t time = (int64_t)fnx_node_published(self->node, 0);
	struct fnx_position *message = fnx_node_loan(self->node, 0);

	(void)ret_due_ns;
	if (!message)
		self->n_refused++;
	else {
		*message = (struct fnx_position){.x = (double)time};
		fnx_node_publish_fresh(self->node, 0, time, now_ns);
	}
	return FNX_AGAIN;
}

TEST(a_node_whose_output_is_full_and_whose_work_is_waiting_can_still_be_asked_to_stop)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fnx_subscriber *out;
		int64_t deadline = lab_deadline();

		lab_open(&lab);
		lab.rig.bus.wait = waits[i];
		one = (struct runner){
			.script = {.outputs = {"middle"}, .produce = produce_without_end}};
		two = (struct runner){
			.script = {.inputs = {"middle"}, .outputs = {"out"}, .n_copies = {1}}};
		open_runner(&one, "source");
		open_runner(&two, "relay");
		out = lab_subscriber(&lab, "out");
		start(&two);
		await_state(&two, FNX_NODE_READY);
		start(&one);
		/* Nobody reads: both pools fill up. */
		while (atomic_load(&one.node.status->outputs[0].frames) < 2 * LAB_SLOTS)
			assert_true(fnx_node_now() < deadline);
		expect_answer("source", "stats");
		expect_answer("relay", "stats");
		/* And it goes on when somebody does. */
		while (lab_drain(out) == 0 ||
			atomic_load(&two.node.status->outputs[0].frames) < 10 * LAB_SLOTS)
			assert_true(fnx_node_now() < deadline);
		expect_answer("source", "stop");
		expect_answer("relay", "stop");
		join(&one);
		join(&two);
		assert_int_equal(one.script.n_refused + two.script.n_refused, 0);
		fnx_subscriber_close(out);
		fnx_node_close(&one.node);
		fnx_node_close(&two.node);
		lab_close(&lab);
	}
}

TEST(a_node_that_never_runs_out_of_work_is_heard)
{
	for (unsigned i = 0; i < 3; i++) {
		lab_open(&lab);
		lab.rig.bus.wait = waits[i];
		one = (struct runner){
			.script = {.outputs = {"out"}, .produce = produce_without_end}};
		open_runner(&one, "node");
		start(&one);
		await_state(&one, FNX_NODE_RUNNING);
		expect_answer("node", "stats");
		atomic_store(&one.stop, FNX_STOP_ALL);
		join(&one);
		fnx_node_close(&one.node);
		lab_close(&lab);
	}
}

TEST(when_sources_are_told_to_stop_their_session_ends_and_its_readers_hear_it_to_the_end)
{
	for (unsigned i = 0; i < 3; i++) {
		lab_open(&lab);
		lab.rig.bus.wait = waits[i];
		one = (struct runner){
			.script = {.outputs = {"out"}, .produce = produce_without_end}};
		two = (struct runner){.script = {.inputs = {"out"}}};
		open_runner(&one, "source");
		open_runner(&two, "reader");
		start(&two);
		await_state(&two, FNX_NODE_READY);
		start(&one);
		await_state(&two, FNX_NODE_RUNNING);
		atomic_store(&two.stop, FNX_STOP_SOURCES);
		atomic_store(&one.stop, FNX_STOP_SOURCES);
		join(&one);
		await_state(&two, FNX_NODE_ENDED);
		assert_int_equal(atomic_load(&two.over), 0);
		assert_int_equal(atomic_load(&two.node.status->inputs[0].frames),
			atomic_load(&one.node.status->outputs[0].frames));
		atomic_store(&two.stop, FNX_STOP_ALL);
		join(&two);
		fnx_node_close(&one.node);
		fnx_node_close(&two.node);
		lab_close(&lab);
	}
}

static int say_three_last(void *self)
{
	struct script *script = self;

	if (script->closed || fnx_node_published(script->node, 0) == 3)
		return FNX_DONE;
	script_publish(script, 0, 1, 1);
	return FNX_AGAIN;
}

TEST(a_node_that_is_stopped_publishes_its_last_before_it_closes)
{
	struct fnx_node_ops ops = script_ops;

	ops.ending = say_three_last;
	for (unsigned i = 0; i < 3; i++) {
		struct fnx_publisher *in;
		struct fnx_subscriber *out;

		lab_open(&lab);
		lab.rig.bus.wait = waits[i];
		in = lab_publisher(&lab, "in");
		one = (struct runner){.script = {.inputs = {"in"}, .outputs = {"out"}}};
		if (script_try_open(&lab, &one.script, &ops, "node", &one.node))
			fail_msg("%s", one.node.error);
		start(&one);
		await_state(&one, FNX_NODE_READY);
		out = lab_subscriber(&lab, "out");
		assert_int_equal(lab_drain(out), 0);
		expect_answer("node", "stop");
		join(&one);
		assert_int_equal(lab_drain(out), 3);
		assert_true(fnx_subscriber_watermark(out, NULL) < FNX_END);
		fnx_subscriber_close(out);
		fnx_node_close(&one.node);
		fnx_publisher_close(in);
		lab_close(&lab);
	}
}

/* Failing and ending ----------------------------------------------------------------- */

static int refuse_to_start(struct script *self)
{
	return fnx_node_fail(self->node, -EINVAL, "the inputs do not please");
}

TEST(a_node_that_fails_to_start_says_so_and_does_not_run)
{
	struct fnx_publisher *in;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	one = (struct runner){.script = {.inputs = {"in"}, .start = refuse_to_start}};
	open_runner(&one, "node");
	start(&one);
	pthread_join(one.thread, NULL);
	assert_int_equal(one.result, -EINVAL);
	assert_string_equal(one.node.error, "the inputs do not please");
	assert_true(atomic_load(&one.node.status->state) < FNX_NODE_READY);
	fnx_node_close(&one.node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

static int produce_three_and_break(struct script *self, int64_t now_ns, int64_t *ret_due_ns)
{
	if (fnx_node_published(self->node, 0) == 3)
		return fnx_node_fail(self->node, -EBADMSG, "the file is torn");
	return produce_without_end(self, now_ns, ret_due_ns);
}

TEST(a_source_that_breaks_ends_the_session_for_its_readers_and_its_own_run)
{
	struct fnx_subscriber *out;

	lab_open(&lab);
	one = (struct runner){.script = {.outputs = {"out"}, .produce = produce_three_and_break}};
	open_runner(&one, "node");
	out = lab_subscriber(&lab, "out");
	start(&one);
	pthread_join(one.thread, NULL);
	assert_int_equal(one.result, -EIO);
	assert_string_equal(one.node.error, "the file is torn");
	assert_int_equal(lab_drain(out), 3);
	assert_int_equal(fnx_subscriber_watermark(out, NULL), FNX_END);
	fnx_subscriber_close(out);
	fnx_node_close(&one.node);
	lab_close(&lab);
}

TEST(a_node_that_has_ended_says_so_and_answers_until_it_is_stopped)
{
	for (unsigned i = 0; i < 3; i++) {
		struct fnx_publisher *in = start_listener(waits[i]);

		fnx_publisher_advance(in, FNX_END, 0);
		await_state(&one, FNX_NODE_ENDED);
		assert_true(atomic_load(&one.node.status->ended_ns) > 0);
		expect_answer("node", "stats");
		expect_answer("node", "stop");
		join_listener(in);
	}
}

/* Waking ----------------------------------------------------------------------------- */

static int serve_the_ball(struct script *self)
{
	script_publish(self, 0, 1, 0);
	return 0;
}

/* Where others use the processors, too, each throw to a sleeper waits for the end of somebody's
 * time slice, some milliseconds: then fewer are enough. */
static bool played_enough(int n_rallies, int64_t enough_ns)
{
	uint64_t n = atomic_load(&one.node.status->inputs[0].frames);

	return n >= (uint64_t)n_rallies || (n >= FEW_RALLIES && fnx_node_now() >= enough_ns);
}

/* Two nodes that throw one frame to and fro: each throw is a wake. */
static void play(enum fnx_wait first, enum fnx_wait second, enum fnx_bell_kind bell, int n_rallies)
{
	char names[2][8] = {"ping", "pong"};
	struct fnx_rig_node wishes[2] = {
		{.name = names[0], .wait = &first}, {.name = names[1], .wait = &second}};
	int64_t deadline = lab_deadline(), enough_ns;

	lab_open(&lab);
	lab.rig.bus.bell = bell;
	lab.rig.nodes = wishes;
	lab.rig.n_nodes = 2;
	one = (struct runner){.script = {.inputs = {"pong"},
				      .outputs = {"ping"},
				      .n_copies = {1},
				      .start = serve_the_ball}};
	two = (struct runner){.script = {.inputs = {"ping"}, .outputs = {"pong"}, .n_copies = {1}}};
	open_runner(&one, "ping");
	open_runner(&two, "pong");
	start(&one);
	start(&two);
	enough_ns = fnx_node_now() + PLAY_MS * INT64_C(1000000);
	while (!played_enough(n_rallies, enough_ns)) {
		assert_true(fnx_node_now() < deadline);
		/* The referee looks now and then: the processors are for the players. */
		poll(NULL, 0, 1);
	}
	atomic_store(&one.stop, FNX_STOP_ALL);
	atomic_store(&two.stop, FNX_STOP_ALL);
	join(&one);
	join(&two);
	print_message("%" PRIu64 " rallies: %" PRIu64 " and %" PRIu64 " wakes\n",
		atomic_load(&one.node.status->inputs[0].frames),
		atomic_load(&one.node.status->wakes), atomic_load(&two.node.status->wakes));
	assert_int_equal(atomic_load(&one.node.status->missed_wakes), 0);
	assert_int_equal(atomic_load(&two.node.status->missed_wakes), 0);
	assert_int_equal(atomic_load(&one.node.status->inputs[0].missed), 0);
	assert_int_equal(atomic_load(&two.node.status->inputs[0].missed), 0);
	assert_int_equal(one.script.n_refused + two.script.n_refused, 0);
	if (first == FNX_WAIT_SPIN)
		assert_int_equal(atomic_load(&one.node.status->wakes), 0);
	else
		/* The ball is nowhere else: whoever waits for it is woken by it. */
		assert_true(atomic_load(&one.node.status->wakes) > 0);
	fnx_node_close(&one.node);
	fnx_node_close(&two.node);
	lab_close(&lab);
}

TEST(no_wake_is_missed_by_nodes_that_sleep)
{
	play(FNX_WAIT_SLEEP, FNX_WAIT_SLEEP, FNX_BELL_PIPE, RALLIES);
}

TEST(no_wake_is_missed_over_zeromq_either)
{
	play(FNX_WAIT_SLEEP, FNX_WAIT_SLEEP, FNX_BELL_ZMQ, RALLIES / 10);
}

TEST(no_wake_is_missed_by_nodes_that_spin_before_they_sleep)
{
	play(FNX_WAIT_ADAPTIVE, FNX_WAIT_SLEEP, FNX_BELL_PIPE, RALLIES);
	play(FNX_WAIT_ADAPTIVE, FNX_WAIT_ADAPTIVE, FNX_BELL_PIPE, RALLIES);
}

TEST(a_node_that_spins_is_never_rung_and_keeps_up_with_one_that_sleeps)
{
	play(FNX_WAIT_SPIN, FNX_WAIT_SLEEP, FNX_BELL_PIPE, RALLIES / 4);
}

TEST(the_heap_is_left_alone_once_frames_have_come)
{
	struct fnx_publisher *in;
	int64_t deadline;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	one = (struct runner){.script = {.inputs = {"in"}, .outputs = {"out"}, .n_copies = {1}}};
	open_runner(&one, "node");
	start(&one);
	await_state(&one, FNX_NODE_READY);
	deadline = lab_deadline();
	for (int i = 0; i < 1000; i++) {
		while (!fnx_publisher_room(in, 1, 0))
			assert_true(fnx_node_now() < deadline);
		lab_publish(in, i, i, 0);
	}
	/* What it takes to answer is not the frame path's. */
	expect_answer("node", "stats");
	fnx_publisher_advance(in, FNX_END, 0);
	await_state(&one, FNX_NODE_ENDED);
	assert_int_equal(atomic_load(&one.node.status->heap_allocations), 0);
	atomic_store(&one.stop, FNX_STOP_ALL);
	join(&one);
	fnx_node_close(&one.node);
	fnx_publisher_close(in);
	lab_close(&lab);
}
