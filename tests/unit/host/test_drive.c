/* SPDX-License-Identifier: BSD-3-Clause */
/* A node, one turn after the other, in one thread and without a clock. Long, since all turns are of one
 * scripted node. */
#include "tests/unit/host/node_fixture.h"

enum {
	PLENTY = 1000
};

static struct lab lab;
static struct fnx_node node;
static struct script script;

static enum fnx_drive drive(void)
{
	return fnx_node_drive(&node, 1, PLENTY);
}

/* Order ------------------------------------------------------------------------------ */

enum {
	ORDER_INPUTS = 3,
	ORDER_FRAMES = 200
};

struct stream {
	struct fnx_publisher *pub;
	int64_t times[ORDER_FRAMES];
	unsigned n_frames, n_published;
};

static void plan(struct stream *stream, struct check_random *random)
{
	int64_t time = 0;

	stream->n_frames = (unsigned)check_random_below(random, ORDER_FRAMES);
	for (unsigned i = 0; i < stream->n_frames; i++) {
		/* Ties within an input and between inputs, and now and then a long silence. */
		time += (int64_t)check_random_below(
			random, check_random_below(random, 9) ? 3 : 400);
		stream->times[i] = time;
	}
}

/* One frame more if there is room, and the promise that goes with it. */
static void publish_some(struct stream *stream, unsigned k, struct check_random *random)
{
	int64_t next;

	if (stream->n_published < stream->n_frames && fnx_publisher_room(stream->pub, 1, 0)) {
		lab_publish(stream->pub, stream->times[stream->n_published],
			1000 * k + stream->n_published, 0);
		stream->n_published++;
	}
	next = stream->n_published < stream->n_frames ? stream->times[stream->n_published]
						      : FNX_END;
	if (check_random_below(random, 2))
		fnx_publisher_advance(stream->pub, next, 0);
}

static void check_order(const struct stream *streams)
{
	unsigned at[ORDER_INPUTS] = {0};

	for (unsigned i = 0; i < script.n_frames; i++) {
		const struct script_frame *frame = &script.frames[i];
		unsigned first = 0;
		int64_t earliest = INT64_MAX;

		for (unsigned k = ORDER_INPUTS; k-- > 0;)
			if (at[k] < streams[k].n_frames && streams[k].times[at[k]] <= earliest) {
				first = k;
				earliest = streams[k].times[at[k]];
			}
		assert_int_equal(frame->input, first);
		assert_int_equal(frame->time, earliest);
		assert_true(frame->value == 1000.0 * first + at[first]);
		assert_int_equal(frame->flags, 0);
		at[first]++;
	}
	for (unsigned k = 0; k < ORDER_INPUTS; k++)
		assert_int_equal(at[k], streams[k].n_frames);
}

TEST(frames_come_in_the_order_of_sample_times_with_ties_by_rank)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 60; round++) {
		static const char *const names[ORDER_INPUTS] = {"a", "b", "c"};
		struct stream streams[ORDER_INPUTS] = {0};
		enum fnx_drive why = FNX_DRIVE_IDLE;

		lab_open(&lab);
		script = (struct script){.inputs = {"a", "b", "c"}};
		for (unsigned k = 0; k < ORDER_INPUTS; k++) {
			streams[k].pub = lab_publisher(&lab, names[k]);
			plan(&streams[k], &random);
		}
		script_begin(&lab, &script, "node", &node);
		while (why != FNX_DRIVE_ENDED) {
			unsigned k = (unsigned)check_random_below(&random, ORDER_INPUTS);

			publish_some(&streams[k], k, &random);
			if (check_random_below(&random, 3) == 0)
				why = fnx_node_drive(
					&node, 1, (unsigned)check_random_below(&random, 6));
		}
		check_order(streams);
		fnx_node_close(&node);
		assert_int_equal(script.closed, 1);
		for (unsigned k = 0; k < ORDER_INPUTS; k++)
			fnx_publisher_close(streams[k].pub);
		lab_close(&lab);
	}
}

/* Watermarks ------------------------------------------------------------------------- */

TEST(the_outputs_watermark_rises_at_each_time_bin_and_when_there_is_nothing_to_do)
{
	struct fnx_publisher *in;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}, .outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_promised(&node, 0), INT64_MIN);
	for (int64_t time = 10; time <= 3 * LAB_BIN; time += 10) {
		int64_t before = fnx_node_promised(&node, 0);

		lab_publish(in, time, 0, 0);
		assert_int_equal(fnx_node_drive(&node, 1, 1), FNX_DRIVE_MORE);
		/* One frame a turn: it is never idle, and promises nothing but when a tick has
		 * passed. */
		if (time == 10 || time % LAB_BIN == 10)
			assert_int_equal(fnx_node_promised(&node, 0), time);
		else
			assert_int_equal(fnx_node_promised(&node, 0), before);
	}
	lab_publish(in, 3 * LAB_BIN + 50, 0, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_promised(&node, 0), 3 * LAB_BIN + 50);
	fnx_publisher_advance(in, 3 * LAB_BIN + 70, 4711);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_promised(&node, 0), 3 * LAB_BIN + 70);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

static int64_t promised_at_frame;

static void note_promise(void *self, unsigned input, const struct fnx_frame *frame)
{
	promised_at_frame = fnx_node_promised(&node, 0);
	script_frame(self, input, frame);
}

/* Telling others is a system call, where they sleep. */
TEST(one_that_acts_on_a_frame_tells_others_the_time_after_it_and_the_rest_before)
{
	struct fnx_node_ops ops = script_ops;
	struct fnx_publisher *in;

	ops.frame = note_promise;
	for (int acts = 0; acts <= 1; acts++) {
		ops.acts = acts;
		lab_open(&lab);
		in = lab_publisher(&lab, "in");
		script = (struct script){.inputs = {"in"}, .outputs = {"out"}};
		script_begin_with(&lab, &script, &ops, "node", &node);
		assert_int_equal(drive(), FNX_DRIVE_IDLE);
		for (int64_t time = LAB_BIN; time <= 5 * LAB_BIN; time += LAB_BIN) {
			int64_t before = fnx_node_promised(&node, 0);

			lab_publish(in, time, 0, 0);
			assert_int_equal(fnx_node_drive(&node, 1, 1), FNX_DRIVE_MORE);
			assert_int_equal(promised_at_frame, acts ? before : time);
			assert_int_equal(fnx_node_promised(&node, 0), time);
		}
		fnx_node_close(&node);
		fnx_publisher_close(in);
		lab_close(&lab);
	}
}

TEST(a_node_that_sleeps_is_rung_for_a_frame_and_when_a_tick_has_passed)
{
	struct fnx_publisher *in;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}, .outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
	lab_publish(in, 10, 0, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_IDLE, 1), 0);
	fnx_publisher_advance(in, LAB_BIN, 0);
	assert_int_equal(lab_rung(&node), 0);
	fnx_publisher_advance(in, LAB_BIN + 1, 0);
	assert_int_equal(lab_rung(&node), 1);
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_IDLE, 1), 1);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_IDLE, 1), 0);
	lab_publish(in, LAB_BIN + 1, 0, 0);
	assert_int_equal(lab_rung(&node), 1);
	fnx_node_unpark(&node);
	lab_publish(in, LAB_BIN + 2, 0, 0);
	assert_int_equal(lab_rung(&node), 0);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

static int promise_the_next_tick(void *self, int64_t until, int64_t *ret_watermark)
{
	int r = script_advance(self, until, ret_watermark);

	*ret_watermark = ((struct script *)self)->next_tick;
	return r;
}

/* Whose next frame is known to be far ahead promises that; it must not sleep for as much longer. */
TEST(a_node_that_is_ahead_of_its_inputs_is_rung_at_each_tick)
{
	struct fnx_node_ops ops = script_ops;
	const uint32_t delays[] = {0, 1, 30, LAB_BIN - 1, LAB_BIN, 3 * LAB_BIN + 7};

	ops.advance = promise_the_next_tick;
	for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		struct fnx_publisher *in;
		int64_t tick = (int64_t)delays[i] - 2 * LAB_BIN;

		lab_open(&lab);
		lab.rig.decode.delay_samples = delays[i];
		in = lab_publisher(&lab, "in");
		script = (struct script){
			.inputs = {"in"}, .outputs = {"out"}, .tick = LAB_BIN, .next_tick = tick};
		script_begin_with(&lab, &script, &ops, "node", &node);
		fnx_publisher_advance(in, tick, 0);
		for (unsigned k = 0; k < 6; k++, tick += LAB_BIN) {
			assert_int_equal(drive(), FNX_DRIVE_IDLE);
			assert_int_equal(fnx_node_park(&node, FNX_DRIVE_IDLE, 1), 0);
			fnx_publisher_advance(in, tick, 0);
			assert_int_equal(lab_rung(&node), 0);
			fnx_publisher_advance(in, tick + 1, 0);
			assert_int_equal(lab_rung(&node), 1);
			fnx_node_unpark(&node);
			assert_int_equal(fnx_node_published(&node, 0), k);
			assert_int_equal(drive(), FNX_DRIVE_IDLE);
			assert_int_equal(fnx_node_published(&node, 0), k + 1);
		}
		fnx_node_close(&node);
		fnx_publisher_close(in);
		lab_close(&lab);
	}
}

static int act_at_ticks(struct script *it)
{
	fnx_node_acts_at_ticks(it->node);
	return 0;
}

TEST(a_node_that_acts_at_ticks_is_rung_when_the_last_input_has_passed_one_and_by_many_frames)
{
	struct fnx_publisher *ins[2];
	int rung = 0;

	lab_open(&lab);
	ins[0] = lab_publisher(&lab, "one");
	ins[1] = lab_publisher(&lab, "two");
	script = (struct script){.inputs = {"one", "two"},
		.outputs = {"out"},
		.tick = LAB_BIN,
		.open = act_at_ticks};
	script_begin(&lab, &script, "node", &node);
	fnx_publisher_advance(ins[0], 0, 0);
	fnx_publisher_advance(ins[1], 0, 0);
	for (int64_t tick = 0; tick < 5 * LAB_BIN; tick += LAB_BIN) {
		assert_int_equal(drive(), FNX_DRIVE_IDLE);
		assert_int_equal(fnx_node_pending(&node), 0);
		assert_int_equal(fnx_node_park(&node, FNX_DRIVE_IDLE, 1), 0);
		lab_publish(ins[0], tick, 0, 0);
		lab_publish(ins[1], tick, 0, 0);
		fnx_publisher_advance(ins[0], tick + 1, 0);
		fnx_publisher_advance(ins[1], tick, 0);
		assert_int_equal(lab_rung(&node), 0);
		fnx_publisher_advance(ins[1], tick + 1, 0);
		assert_int_equal(lab_rung(&node), 1);
		assert_int_equal(fnx_node_pending(&node), 1);
		fnx_node_unpark(&node);
		assert_int_equal(drive(), FNX_DRIVE_IDLE);
		assert_int_equal(fnx_node_published(&node, 0), tick / LAB_BIN + 1);
	}
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_IDLE, 1), 0);
	for (int k = 0; k < LAB_SLOTS / 2 && !rung; k++) {
		lab_publish(ins[1], 4 * LAB_BIN + 10 + k, 0, 0);
		rung = lab_rung(&node) > 0;
	}
	assert_true(rung);
	fnx_node_unpark(&node);
	assert_true(fnx_node_pending(&node));
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 10);
	fnx_node_close(&node);
	fnx_publisher_close(ins[0]);
	fnx_publisher_close(ins[1]);
	lab_close(&lab);
}

TEST(the_end_reaches_the_last_of_a_chain_with_the_time_at_which_the_session_ended)
{
	static struct fnx_node second;
	static struct script relay;
	struct fnx_publisher *in;
	struct fnx_subscriber *out;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}, .outputs = {"middle"}, .n_copies = {1}};
	relay = (struct script){.inputs = {"middle"}, .outputs = {"out"}, .n_copies = {1}};
	script_begin(&lab, &script, "first", &node);
	script_begin(&lab, &relay, "second", &second);
	out = lab_subscriber(&lab, "out");
	lab_publish(in, 10, 0, 0);
	fnx_publisher_advance(in, 1234, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_drive(&second, 1, PLENTY), FNX_DRIVE_IDLE);
	fnx_publisher_advance(in, FNX_END, 0);
	assert_int_equal(drive(), FNX_DRIVE_ENDED);
	assert_int_equal(fnx_node_drive(&second, 1, PLENTY), FNX_DRIVE_ENDED);
	assert_int_equal(fnx_subscriber_watermark(out, NULL), FNX_END);
	assert_int_equal(fnx_subscriber_end(out), 1234);
	/* And stays so. */
	assert_int_equal(drive(), FNX_DRIVE_ENDED);
	fnx_subscriber_close(out);
	fnx_node_close(&second);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(the_end_is_the_same_whether_or_not_anybody_looked_before)
{
	for (int looked = 0; looked <= 1; looked++) {
		struct fnx_publisher *in, *other;
		struct fnx_subscriber *out;

		lab_open(&lab);
		in = lab_publisher(&lab, "in");
		other = lab_publisher(&lab, "other");
		script = (struct script){.inputs = {"in", "other"},
			.outputs = {"out"},
			.bursts = {8},
			.tick = LAB_BIN};
		script_begin(&lab, &script, "node", &node);
		out = lab_subscriber(&lab, "out");
		lab_publish(in, 10, 0, 0);
		fnx_publisher_advance(in, 5 * LAB_BIN + 1, 0);
		fnx_publisher_advance(other, 4 * LAB_BIN, 0);
		if (looked)
			assert_int_equal(drive(), FNX_DRIVE_IDLE);
		fnx_publisher_advance(other, FNX_END, 0);
		if (looked)
			assert_int_equal(drive(), FNX_DRIVE_IDLE);
		fnx_publisher_advance(in, FNX_END, 0);
		assert_int_equal(drive(), FNX_DRIVE_ENDED);
		assert_int_equal(lab_drain(out), 6);
		assert_int_equal(fnx_subscriber_end(out), 5 * LAB_BIN + 1);
		fnx_subscriber_close(out);
		fnx_node_close(&node);
		fnx_publisher_close(in);
		fnx_publisher_close(other);
		lab_close(&lab);
	}
}

/* Room ------------------------------------------------------------------------------- */

TEST(advance_is_called_until_it_is_done_and_only_with_room)
{
	struct fnx_publisher *in;
	struct fnx_subscriber *out;
	unsigned n_read = 0, n_full = 0;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){
		.inputs = {"in"}, .outputs = {"out"}, .bursts = {5}, .n_copies = {5}, .tick = 1};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "out");
	lab_publish(in, 100, 7, 0);
	fnx_publisher_advance(in, FNX_END, 0);
	for (;;) {
		enum fnx_drive why = drive();

		n_read += lab_drain(out);
		if (why == FNX_DRIVE_ENDED)
			break;
		assert_int_equal(why, FNX_DRIVE_FULL);
		n_full++;
	}
	/* The ticks 0 to 99, and five copies of the frame. */
	assert_int_equal(n_read, 105);
	assert_int_equal(script.n_refused, 0);
	assert_int_equal(script.n_frames, 1);
	assert_int_equal(script.n_advances, 101);
	/* With room for a burst of five, and no less, a turn fills 12 to 16 slots. */
	assert_in_range(n_full, 105 / LAB_SLOTS, 105 / (LAB_SLOTS - 4) + 1);
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(an_advance_that_publishes_and_is_done_leaves_the_frame_its_room)
{
	struct fnx_publisher *in;
	struct fnx_subscriber *out;
	unsigned n_read = 0;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"},
		.outputs = {"out"},
		.bursts = {LAB_SLOTS / 2},
		.n_copies = {LAB_SLOTS / 2},
		.tick = 1,
		.ticks_when_done = 1};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "out");
	for (int64_t time = 1; time <= 3 * LAB_SLOTS; time++) {
		enum fnx_drive why;

		lab_publish(in, time, 0, 0);
		while ((why = drive()) == FNX_DRIVE_FULL)
			n_read += lab_drain(out);
		assert_int_equal(why, FNX_DRIVE_IDLE);
	}
	n_read += lab_drain(out);
	assert_int_equal(script.n_refused, 0);
	assert_int_equal(n_read, 3 * LAB_SLOTS * (1 + LAB_SLOTS / 2));
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(a_full_output_stops_the_node_and_draining_it_wakes_it)
{
	struct fnx_publisher *in;
	struct fnx_subscriber *out;
	struct fnx_stamp stamp;
	double value;
	unsigned n_read = 0;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){
		.inputs = {"in"}, .outputs = {"out"}, .bursts = {2}, .n_copies = {2}};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "out");
	for (int i = 0; i < LAB_SLOTS; i++)
		lab_publish(in, i, i, 0);
	assert_int_equal(drive(), FNX_DRIVE_FULL);
	assert_int_equal(script.n_frames, LAB_SLOTS / 2);
	assert_int_equal(script.n_refused, 0);
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_FULL, 1), 0);
	while (!lab_rung(&node)) {
		assert_int_equal(lab_read(out, &stamp, &value), 1);
		n_read++;
	}
	/* Not for each frame, and not when all is empty. */
	assert_int_equal(n_read, LAB_SLOTS / 2);
	fnx_node_unpark(&node);
	assert_int_equal(drive(), FNX_DRIVE_FULL);
	assert_int_equal(script.n_frames, LAB_SLOTS * 3 / 4);
	n_read += lab_drain(out);
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_FULL, 1), 1);
	fnx_publisher_advance(in, LAB_SLOTS, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	n_read += lab_drain(out);
	assert_int_equal(n_read, 2 * LAB_SLOTS);
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(a_full_output_does_not_keep_back_what_the_other_can_promise)
{
	static struct fnx_node reader;
	static struct script both;
	struct fnx_publisher *in;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	/* The reader needs to know of `quiet` before it may take from `loud`. */
	script =
		(struct script){.inputs = {"in"}, .outputs = {"quiet", "loud"}, .n_copies = {0, 1}};
	both = (struct script){.inputs = {"quiet", "loud"}};
	script_begin(&lab, &script, "node", &node);
	script_begin(&lab, &both, "reader", &reader);
	for (int i = 0; i < LAB_SLOTS; i++)
		lab_publish(in, i + 1, i, 0);
	assert_int_equal(fnx_node_drive(&node, 1, LAB_SLOTS - 2), FNX_DRIVE_MORE);
	assert_int_equal(fnx_node_drive(&reader, 1, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(both.n_frames, 0);
	assert_int_equal(fnx_node_park(&reader, FNX_DRIVE_IDLE, 1), 0);
	lab_rung(&reader);
	assert_int_equal(drive(), FNX_DRIVE_FULL);
	assert_int_equal(fnx_node_park(&node, FNX_DRIVE_FULL, 1), 0);
	assert_int_equal(lab_rung(&reader), 1);
	assert_int_equal(fnx_node_drive(&reader, 1, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(both.n_frames, LAB_SLOTS - 1);
	assert_int_equal(lab_rung(&node), 1);
	fnx_node_close(&reader);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(what_lies_aside_comes_at_once_but_not_without_room)
{
	struct fnx_publisher *in, *aside;
	struct fnx_subscriber *out;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	aside = lab_publisher_of(&lab, "aside", &fnx_position_schema, NULL, FNX_FULL_DROP);
	script = (struct script){.inputs = {"in", "aside"},
		.input_flags = {0, FNX_INPUT_ASIDE},
		.outputs = {"out"},
		.bursts = {5},
		.n_copies = {5}};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "out");
	for (int i = 0; i < 5; i++)
		lab_publish(aside, 1000 - i, i, 0);
	assert_int_equal(drive(), FNX_DRIVE_FULL);
	assert_int_equal(script.n_frames, 3);
	assert_int_equal(script.n_refused, 0);
	assert_int_equal(lab_drain(out), 15);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 5);
	/* Its end is of no importance, and it does not keep the node from ending. */
	fnx_publisher_advance(in, FNX_END, 0);
	assert_int_equal(drive(), FNX_DRIVE_ENDED);
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	fnx_publisher_close(aside);
	lab_close(&lab);
}

/* Sources ---------------------------------------------------------------------------- */

static int produce_ten(struct script *self, int64_t now_ns, int64_t *ret_due_ns)
{
	int64_t time = (int64_t)self->node->status->outputs[0].frames;
	struct fnx_position *message;

	if (time == 10)
		return FNX_OVER;
	if (now_ns < time * 1000) {
		*ret_due_ns = time * 1000;
		return FNX_DONE;
	}
	fnx_node_advance(self->node, time, now_ns);
	message = fnx_node_loan(self->node, 0);
	assert_non_null(message);
	*message = (struct fnx_position){.x = (double)time};
	fnx_node_publish_fresh(self->node, 0, time, now_ns);
	return FNX_AGAIN;
}

TEST(a_source_is_asked_when_it_is_due_and_not_after_its_end)
{
	struct fnx_subscriber *out;
	struct fnx_stamp stamp;
	unsigned n_produced;
	double value;

	lab_open(&lab);
	script = (struct script){.outputs = {"out"}, .produce = produce_ten};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "out");
	assert_int_equal(fnx_node_drive(&node, 2500, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(fnx_node_published(&node, 0), 3);
	assert_int_equal(node.due_ns, 3000);
	n_produced = script.n_produced;
	assert_int_equal(fnx_node_drive(&node, 2999, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_produced, n_produced);
	assert_int_equal(fnx_node_drive(&node, 4000, 1), FNX_DRIVE_MORE);
	assert_int_equal(fnx_node_drive(&node, 100000, PLENTY), FNX_DRIVE_ENDED);
	n_produced = script.n_produced;
	assert_int_equal(fnx_node_drive(&node, 100000, PLENTY), FNX_DRIVE_ENDED);
	assert_int_equal(script.n_produced, n_produced);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(lab_read(out, &stamp, &value), 1);
		assert_int_equal(stamp.sample_time, i);
		/* When the sample entered this machine: the turn's own time. */
		assert_int_equal(stamp.ingress_ns, i < 3 ? 2500 : i == 3 ? 4000 : 100000);
	}
	assert_int_equal(lab_read(out, &stamp, &value), 0);
	assert_int_equal(fnx_subscriber_end(out), 9);
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	lab_close(&lab);
}

/* Flags, gaps and damage ------------------------------------------------------------- */

TEST(flags_ingress_time_and_origin_are_inherited)
{
	struct fnx_publisher *in, *other;
	struct fnx_subscriber *out;
	struct fnx_stamp stamp;
	double value;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	other = lab_publisher(&lab, "other");
	script = (struct script){.inputs = {"other", "in"}, .outputs = {"out"}, .n_copies = {1}};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "out");
	lab_publish(in, 10, 1, FNX_FRAME_INCOMPLETE);
	lab_publish(in, 20, 2, FNX_FRAME_LATE);
	lab_publish(in, 30, 3, 0);
	fnx_publisher_advance(other, FNX_END, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	for (int i = 0; i < 3; i++) {
		static const uint32_t flags[] = {FNX_FRAME_INCOMPLETE, FNX_FRAME_LATE, 0};

		assert_int_equal(lab_read(out, &stamp, &value), 1);
		assert_int_equal(stamp.flags, flags[i]);
		assert_int_equal(stamp.ingress_ns, 10 * (i + 1) + 1);
		assert_int_equal(stamp.origin, fnx_node_origin(1, (uint64_t)i));
	}
	assert_int_equal(atomic_load(&node.status->inputs[1].late), 1);
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	fnx_publisher_close(other);
	lab_close(&lab);
}

TEST(beyond_the_deadline_frames_and_time_bins_are_incomplete_and_what_then_comes_is_late)
{
	struct fnx_publisher *in, *silent;
	struct fnx_subscriber *out;
	struct fnx_stamp stamp;
	double value;

	lab_open(&lab);
	lab.rig.bus.deadline_ms = 50;
	in = lab_publisher(&lab, "in");
	silent = lab_publisher(&lab, "silent");
	script = (struct script){.inputs = {"in", "silent"},
		.outputs = {"bins", "out"},
		.n_copies = {0, 1},
		.tick = 40};
	script_begin(&lab, &script, "node", &node);
	out = lab_subscriber(&lab, "bins");
	fnx_publisher_advance(silent, 30, 0);
	lab_publish(in, 30, 1, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 1);
	lab_publish(in, 50, 2, 0);
	/* Published at 52: held up for 50 ms and no longer. */
	assert_int_equal(fnx_node_drive(&node, 51 + 50000000, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 1);
	assert_int_equal(fnx_node_drive(&node, 52 + 50000000, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 2);
	assert_int_equal(script.frames[1].flags, FNX_FRAME_INCOMPLETE);
	lab_publish(silent, 45, 3, 0);
	assert_int_equal(fnx_node_drive(&node, 53 + 50000000, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.frames[2].flags, FNX_FRAME_LATE);
	assert_int_equal(atomic_load(&node.status->inputs[1].late), 1);
	/* Of the ticks, 0 had what it needed; 40 lacked what came late. */
	assert_int_equal(lab_read(out, &stamp, &value), 1);
	assert_int_equal(stamp.flags, 0);
	assert_int_equal(lab_read(out, &stamp, &value), 1);
	assert_int_equal(stamp.sample_time, 40);
	assert_int_equal(stamp.flags, FNX_FRAME_INCOMPLETE);
	fnx_subscriber_close(out);
	out = lab_subscriber(&lab, "out");
	for (int i = 0; i < 3; i++) {
		static const uint32_t flags[] = {0, FNX_FRAME_INCOMPLETE, FNX_FRAME_LATE};

		assert_int_equal(lab_read(out, &stamp, &value), 1);
		assert_int_equal(stamp.flags, flags[i]);
	}
	fnx_subscriber_close(out);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	fnx_publisher_close(silent);
	lab_close(&lab);
}

static uint64_t n_of(const struct fnx_histogram *histogram)
{
	return atomic_load(&histogram->count);
}

/* How long ago fixtures publish is known: at `time` + 2, of a sample that came at `time` + 1. */
TEST(each_hop_of_a_frame_is_timed_where_it_is_taken)
{
	struct fnx_publisher *first, *second;
	const struct fnx_status_topic *inputs;
	const struct fnx_histogram *hops;
	int64_t now_ns = fnx_node_now();

	lab_open(&lab);
	first = lab_publisher(&lab, "first");
	second = lab_publisher(&lab, "second");
	script = (struct script){.inputs = {"first", "second"}};
	script_begin(&lab, &script, "node", &node);
	for (int i = 0; i < 5; i++)
		lab_publish(first, i, i, 0);
	lab_publish(second, 2, 0, 0);
	fnx_publisher_advance(first, FNX_END, 0);
	fnx_publisher_advance(second, FNX_END, 0);
	assert_int_equal(drive(), FNX_DRIVE_ENDED);
	inputs = node.status->inputs;
	hops = node.status->hops;
	assert_int_equal(n_of(&hops[0]), 5);
	assert_int_equal(n_of(&inputs[0].age), 5);
	assert_int_equal(n_of(&hops[1]), 1);
	assert_true(atomic_load(&hops[0].max_ns) >= (uint64_t)now_ns - 10);
	/* The oldest: one ns longer than its hop. */
	assert_true(atomic_load(&inputs[1].age.max_ns) == atomic_load(&hops[1].max_ns) + 1);
	assert_int_equal(atomic_load(&inputs[0].peak_depth), 5);
	assert_int_equal(atomic_load(&inputs[1].peak_depth), 1);
	fnx_node_close(&node);
	fnx_publisher_close(first);
	fnx_publisher_close(second);
	lab_close(&lab);
}

static void publish_waiting(struct fnx_publisher *in, int *time, int n)
{
	for (int i = 0; i < n; i++)
		lab_publish(in, (*time)++, 0, 0);
	fnx_publisher_advance(in, *time, 0);
}

TEST(the_most_that_ever_waited_is_kept)
{
	struct fnx_publisher *in;
	const struct fnx_status_topic *input;
	int time = 0;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}};
	script_begin(&lab, &script, "node", &node);
	input = &node.status->inputs[0];
	publish_waiting(in, &time, 7);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(atomic_load(&input->peak_depth), 7);
	publish_waiting(in, &time, 3);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(atomic_load(&input->peak_depth), 7);
	/* A run of frames without rest: at its sixteenth the publisher is asked how many wait. */
	publish_waiting(in, &time, LAB_SLOTS);
	assert_int_equal(fnx_node_drive(&node, 1, 15), FNX_DRIVE_MORE);
	publish_waiting(in, &time, 15);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(atomic_load(&input->peak_depth), 16);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(a_gap_is_told_to_the_node_and_counted)
{
	struct fnx_publisher *in, *monitored;
	const struct fnx_status_topic *topics;
	uint64_t missed;

	lab_open(&lab);
	in = lab_publisher_of(&lab, "in", &fnx_position_schema, NULL, FNX_FULL_DROP);
	monitored = lab_publisher_of(&lab, "monitored", &fnx_position_schema, NULL, FNX_FULL_DROP);
	script =
		(struct script){.inputs = {"in", "monitored"}, .input_flags = {0, FNX_INPUT_LOSSY}};
	script_begin(&lab, &script, "node", &node);
	for (int i = 0; i < 3 * LAB_SLOTS; i++) {
		lab_publish(in, i, i, 0);
		lab_publish(monitored, i, i, 0);
	}
	fnx_publisher_advance(in, FNX_END, 0);
	fnx_publisher_advance(monitored, FNX_END, 0);
	assert_int_equal(drive(), FNX_DRIVE_ENDED);
	topics = node.status->inputs;
	missed = atomic_load(&topics[0].missed) + atomic_load(&topics[1].missed);
	assert_int_equal(atomic_load(&topics[0].frames) + atomic_load(&topics[1].frames) + missed,
		6 * LAB_SLOTS);
	assert_true(atomic_load(&topics[0].missed) && atomic_load(&topics[1].missed));
	assert_int_equal(script.gap_missed, missed);
	assert_int_equal(atomic_load(&topics[0].gaps), 1);
	/* A monitor is expected to lose some. */
	assert_int_equal(atomic_load(&topics[1].gaps), 0);
	assert_int_equal(script.n_gaps, 2);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	fnx_publisher_close(monitored);
	lab_close(&lab);
}

TEST(a_frame_shorter_than_its_description_says_never_reaches_the_node)
{
	struct fnx_publisher *in;
	const struct fnx_stamp stamp = {.sample_time = 5};
	void *payload;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}};
	script_begin(&lab, &script, "node", &node);
	lab_publish(in, 4, 0, 0);
	assert_int_equal(fnx_publisher_loan(in, 0, &payload), 0);
	fnx_publisher_publish(in, sizeof(struct fnx_position) - 1, &stamp);
	lab_publish(in, 6, 0, 0);
	assert_int_equal(drive(), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 2);
	assert_int_equal(script.frames[1].time, 6);
	assert_int_equal(script.gap_missed, 1);
	assert_int_equal(atomic_load(&node.status->inputs[0].missed), 1);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}
