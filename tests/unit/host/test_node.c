/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening a node, what it refuses, how it takes up topics that were replaced, and what its
 * successor finds after a crash. */
#include "tests/unit/host/node_fixture.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schemas/posterior.h"

enum {
	PLENTY = 1000
};

static struct lab lab;
static struct fnx_node node;
static struct script script;

static void expect_error(const struct fnx_node *of, const char *sentence)
{
	if (!strstr(of->error, sentence))
		fail_msg("\"%s\" does not say \"%s\"", of->error, sentence);
}

/* Refusals --------------------------------------------------------------------------- */

TEST(a_second_node_of_the_same_name_is_refused_and_the_first_goes_on)
{
	static struct fnx_node second;
	static struct script none;
	struct fnx_publisher *in;
	char pid[32];

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}, .outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
	assert_int_equal(script_try_open(&lab, &none, &script_ops, "node", &second), -EBUSY);
	snprintf(pid, sizeof(pid), "(process %d)", (int)getpid());
	expect_error(&second, "a node node is running on bus");
	expect_error(&second, pid);
	assert_null(none.node);
	lab_publish(in, 5, 1, 0);
	assert_int_equal(fnx_node_drive(&node, 1, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 1);
	assert_int_equal(atomic_load(&node.status->state), FNX_NODE_RUNNING);
	fnx_node_close(&node);
	/* The name is free again. */
	assert_int_equal(script_try_open(&lab, &none, &script_ops, "node", &second), 0);
	fnx_node_close(&second);
	fnx_publisher_close(in);
	lab_close(&lab);
}

static int refuse_to_open(struct script *self)
{
	return fnx_node_fail(self->node, -EINVAL, "the moon is in the wrong phase");
}

TEST(what_a_node_says_when_it_fails_to_open_stands_on_its_status_page)
{
	const struct fnx_status *status;

	lab_open(&lab);
	script = (struct script){.outputs = {"out"}, .open = refuse_to_open};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), -EINVAL);
	assert_string_equal(node.error, "the moon is in the wrong phase");
	assert_int_equal(script.closed, 0);
	assert_int_equal(fnx_status_open(&lab.bus, "node", &status), 0);
	assert_int_equal(atomic_load(&status->state), FNX_NODE_FAILED);
	assert_string_equal(status->text, "the moon is in the wrong phase");
	fnx_status_close(status);
	/* Nothing is left of it that would keep another from starting. */
	script = (struct script){.outputs = {"out"}};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), 0);
	fnx_node_close(&node);
	assert_int_equal(script.closed, 1);
	lab_close(&lab);
}

static int declare_too_much(struct script *self)
{
	int r = 0;

	for (unsigned i = 0; r >= 0 && i <= FNX_MERGE_INPUTS_MAX; i++)
		r = fnx_node_input(self->node, "in", &fnx_position_schema, 0);
	return r;
}

static int declare_too_many_params(struct script *self)
{
	int r = 0;

	for (unsigned i = 0; !r && i <= FNX_NODE_PARAMS_MAX; i++)
		r = fnx_node_param(self->node, "p", &self->param, 0, 1, "", "");
	return r;
}

TEST(more_inputs_or_parameters_than_there_is_place_for_are_refused)
{
	lab_open(&lab);
	script = (struct script){.open = declare_too_much};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), -ENOSPC);
	expect_error(&node, "more than 80 inputs");
	script = (struct script){.open = declare_too_many_params};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), -ENOSPC);
	expect_error(&node, "more than 64 parameters");
	lab_close(&lab);
}

TEST(an_input_that_is_not_there_is_named_and_waited_for)
{
	struct fnx_publisher *a, *b;
	const char *missing = NULL;

	lab_open(&lab);
	script = (struct script){.inputs = {"a", "b"}};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), 0);
	b = lab_publisher(&lab, "b");
	assert_int_equal(fnx_node_subscribe(&node, &missing), 0);
	assert_string_equal(missing, "a");
	/* From then on no frame of the one that is there is lost. */
	lab_publish(b, 1, 1, 0);
	a = lab_publisher(&lab, "a");
	assert_int_equal(fnx_node_subscribe(&node, &missing), 1);
	fnx_publisher_advance(a, 10, 0);
	assert_int_equal(fnx_node_drive(&node, 1, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 1);
	/* Ranks are as declared, whoever came first. */
	assert_int_equal(script.frames[0].input, 1);
	fnx_node_close(&node);
	fnx_publisher_close(a);
	fnx_publisher_close(b);
	lab_close(&lab);
}

TEST(a_topic_of_another_schema_is_refused_by_name)
{
	const uint32_t extents[] = {2, 3, 4};
	struct fnx_publisher *in;
	const char *missing;

	lab_open(&lab);
	in = lab_publisher_of(&lab, "in", &fnx_posterior_schema, extents, FNX_FULL_WAIT);
	script = (struct script){.inputs = {"in"}};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), 0);
	assert_int_equal(fnx_node_subscribe(&node, &missing), -EPROTO);
	expect_error(&node, "topic in comes from another version");
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

TEST(a_source_waits_for_those_whom_the_rig_names_until_they_are_ready)
{
	static struct fnx_node other;
	static struct script reader;
	char *names[] = {lab.name, lab.name};
	char other_name[] = "other";
	const char *missing = NULL;

	lab_open(&lab);
	names[0] = other_name;
	lab.rig.await = (struct fnx_rig_names){.values = names, .n = 1};
	script = (struct script){.outputs = {"out"}};
	script_begin(&lab, &script, "node", &node);
	assert_int_equal(fnx_node_peers_ready(&node, &missing), 0);
	assert_string_equal(missing, "other");
	reader = (struct script){.inputs = {"out"}};
	assert_int_equal(script_try_open(&lab, &reader, &script_ops, "other", &other), 0);
	assert_int_equal(fnx_node_peers_ready(&node, &missing), 0);
	atomic_store(&other.status->state, FNX_NODE_READY);
	assert_int_equal(fnx_node_peers_ready(&node, &missing), 1);
	/* One that has failed or stopped will not listen. */
	fnx_node_close(&other);
	assert_int_equal(fnx_node_peers_ready(&node, &missing), 0);
	fnx_node_close(&node);
	lab_close(&lab);
}

/* Topics that are replaced ----------------------------------------------------------- */

TEST(a_node_takes_up_the_successor_of_a_topic_when_it_is_there)
{
	struct fnx_publisher *in;

	lab_open(&lab);
	in = lab_publisher(&lab, "in");
	script = (struct script){.inputs = {"in"}};
	script_begin(&lab, &script, "node", &node);
	lab_publish(in, 5, 1, 0);
	in = fnx_publisher_close(in);
	assert_int_equal(fnx_node_drive(&node, 1, PLENTY), FNX_DRIVE_MOVED);
	/* What it had left behind was read. */
	assert_int_equal(script.n_frames, 1);
	assert_int_equal(fnx_node_resubscribe(&node), 0);
	assert_int_equal(fnx_node_drive(&node, 1, PLENTY), FNX_DRIVE_MOVED);
	in = lab_publisher(&lab, "in");
	lab_publish(in, 6, 2, 0);
	assert_int_equal(fnx_node_resubscribe(&node), 1);
	assert_int_equal(fnx_node_drive(&node, 1, PLENTY), FNX_DRIVE_IDLE);
	assert_int_equal(script.n_frames, 2);
	assert_int_equal(script.frames[1].flags, 0);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

static int open_wide(struct script *self)
{
	int r = fnx_node_input(self->node, "in", &fnx_posterior_schema, 0);

	return r < 0 ? r : 0;
}

TEST(a_successor_with_other_extents_is_refused_told_of_once_and_not_held_up)
{
	const uint32_t three[] = {1, 3, 4}, four[] = {1, 4, 4};
	struct fnx_publisher *in;
	const char *missing;

	lab_open(&lab);
	in = lab_publisher_of(&lab, "in", &fnx_posterior_schema, four, FNX_FULL_WAIT);
	script = (struct script){.open = open_wide};
	assert_int_equal(script_try_open(&lab, &script, &script_ops, "node", &node), 0);
	assert_int_equal(fnx_node_subscribe(&node, &missing), 1);
	fnx_publisher_close(in);
	in = lab_publisher_of(&lab, "in", &fnx_posterior_schema, three, FNX_FULL_WAIT);
	assert_int_equal(fnx_node_drive(&node, 1, PLENTY), FNX_DRIVE_MOVED);
	assert_int_equal(fnx_node_resubscribe(&node), 0);
	assert_non_null(strstr(node.status->text, "topic in has come back with other extents"));
	assert_int_equal(fnx_publisher_readers(in), 0);
	node.status->text[0] = 0;
	assert_int_equal(fnx_node_resubscribe(&node), 0);
	assert_int_equal(node.status->text[0], 0);
	/* What the node relies on is as it was at its start. */
	assert_int_equal(fnx_node_input_layout(&node, 0)->extents[fnx_posterior_n_bins], 4);
	fnx_publisher_close(in);
	in = lab_publisher_of(&lab, "in", &fnx_posterior_schema, four, FNX_FULL_WAIT);
	assert_int_equal(fnx_node_resubscribe(&node), 1);
	fnx_node_close(&node);
	fnx_publisher_close(in);
	lab_close(&lab);
}

/* Crashes ---------------------------------------------------------------------------- */

enum {
	LIVES = 200,
	CRASH_INPUTS = 2,
	CRASH_FRAMES_MAX = 60000,
	CRASH_TICK = 7,
	CRASH_COPIES = 3,
};

/* Between the generations and us. */
struct shared {
	_Atomic unsigned opened, turns;
	_Atomic unsigned watched; /* whoever reads what it says is there */
};

struct crash_stream {
	struct fnx_publisher *pub;
	int64_t times[CRASH_FRAMES_MAX];
	double values[CRASH_FRAMES_MAX];
	unsigned n;
	int64_t time;
};

struct told {
	int64_t time;
	double value;
};

struct reader {
	struct fnx_subscriber *sub;
	struct told *told;
	unsigned n, max;
};

static struct crash_stream streams[CRASH_INPUTS];

/* All that the successor knows of ticks is what its predecessor promised. */
static int resume_ticks(struct script *self)
{
	int64_t promised = fnx_node_promised(self->node, 0);

	if (promised > 0)
		self->next_tick = (promised + CRASH_TICK - 1) / CRASH_TICK * CRASH_TICK;
	return 0;
}

/* A life: driven by turns of all lengths, asleep or awake when there is nothing to do, until killed
 * or at the end. */
static void live(struct shared *shared, struct check_random random)
{
	const char *missing;
	enum fnx_drive why;

	/* Each but the first says that it was restarted. */
	if (!freopen("/dev/null", "w", stderr))
		_exit(1);
	script = (struct script){.inputs = {"a", "b"},
		.outputs = {"ticks", "out"},
		.bursts = {1, CRASH_COPIES},
		.n_copies = {0, CRASH_COPIES},
		.varies = 1,
		.dawdle = 5000,
		.tick = CRASH_TICK,
		.start = resume_ticks};
	if (script_try_open(&lab, &script, &script_ops, "worker", &node) ||
		fnx_node_subscribe(&node, &missing) != 1 || script_start(&script))
		_exit(1);
	atomic_store(&node.status->state, FNX_NODE_READY);
	atomic_store(&shared->opened, 1);
	while (!atomic_load(&shared->watched))
		sched_yield();
	do {
		why = fnx_node_drive(
			&node, fnx_node_now(), (unsigned)check_random_below(&random, 20));
		atomic_fetch_add(&shared->turns, 1);
		script.n_frames = 0;
		if ((why == FNX_DRIVE_IDLE || why == FNX_DRIVE_FULL) &&
			!fnx_node_park(&node, why, fnx_node_now())) {
			poll(&(struct pollfd){.fd = fnx_bell_fd(node.bell), .events = POLLIN}, 1,
				1);
			fnx_bell_drain(node.bell);
			fnx_node_unpark(&node);
		}
	} while (why != FNX_DRIVE_ENDED);
	_exit(script.n_refused ? 2 : 0);
}

static pid_t beget(struct shared *shared, struct check_random *random)
{
	struct check_random its_own = {.state = check_random_u64(random)};
	pid_t pid;

	atomic_store(&shared->opened, 0);
	atomic_store(&shared->turns, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		live(shared, its_own);
	return pid;
}

static void feed(struct crash_stream *stream, struct check_random *random)
{
	if (stream->n == CRASH_FRAMES_MAX || !fnx_publisher_room(stream->pub, 1, 0))
		return;
	stream->time += (int64_t)check_random_below(random, 4);
	stream->times[stream->n] = stream->time;
	stream->values[stream->n] = (double)check_random_below(random, 1000);
	lab_publish(stream->pub, stream->time, stream->values[stream->n], 0);
	stream->n++;
	if (check_random_below(random, 3) == 0)
		fnx_publisher_advance(stream->pub, stream->time, 0);
}

static void hear(struct reader *reader)
{
	struct fnx_stamp stamp;
	double value;

	while (lab_read(reader->sub, &stamp, &value)) {
		assert_true(reader->n < reader->max);
		reader->told[reader->n++] = (struct told){stamp.sample_time, value};
	}
}

/* The topics of a node exist once it has been there. */
static struct reader reader_of(const char *topic, unsigned max)
{
	struct reader reader = {.sub = lab_subscriber(&lab, topic), .max = max};

	reader.told = malloc(max * sizeof(*reader.told));
	assert_non_null(reader.told);
	return reader;
}

/* Between two looks at the child: the world goes on at both of its ends. */
static void carry_on(struct reader *out, struct reader *ticks, struct check_random *random)
{
	unsigned k = (unsigned)check_random_below(random, CRASH_INPUTS);

	/* Neither may run away from the other, or the merge has nothing to do. */
	if (streams[k].time <= streams[1 - k].time + 20)
		feed(&streams[k], random);
	if (check_random_below(random, 4) == 0)
		hear(out);
	if (check_random_below(random, 8) == 0)
		hear(ticks);
}

static void check_out(const struct reader *out)
{
	unsigned at[CRASH_INPUTS] = {0}, n = 0;

	while (at[0] < streams[0].n || at[1] < streams[1].n) {
		unsigned k = at[0] < streams[0].n &&
				(at[1] == streams[1].n ||
					streams[0].times[at[0]] <= streams[1].times[at[1]])
			? 0
			: 1;
		unsigned copies = (unsigned)streams[k].values[at[k]] % (CRASH_COPIES + 1);

		for (unsigned i = 0; i < copies; i++, n++) {
			assert_true(n < out->n);
			assert_int_equal(out->told[n].time, streams[k].times[at[k]]);
			assert_true(out->told[n].value == streams[k].values[at[k]] * 10 + i);
		}
		at[k]++;
	}
	assert_int_equal(n, out->n);
}

static void check_ticks(const struct reader *ticks, int64_t end)
{
	for (unsigned i = 0; i < ticks->n; i++)
		assert_int_equal(ticks->told[i].time, (int64_t)i * CRASH_TICK);
	assert_int_equal(ticks->n, (end + CRASH_TICK - 1) / CRASH_TICK);
}

/* One life, ended by a signal: at work, after some turns, or while it opens its topics. */
static void live_and_die(struct shared *shared, int at_birth, struct reader *out,
	struct reader *ticks, struct check_random *random)
{
	unsigned turns = 1 + (unsigned)check_random_below(random, 60);
	unsigned spins = (unsigned)check_random_below(random, at_birth ? 200000 : 3000);
	pid_t pid = beget(shared, random);
	int64_t deadline = lab_deadline();
	int status = 0;

	while (!at_birth &&
		(!atomic_load(&shared->opened) || atomic_load(&shared->turns) < turns)) {
		if (atomic_load(&shared->opened) && !out->sub) {
			*out = reader_of("out", 2 * CRASH_COPIES * CRASH_FRAMES_MAX);
			*ticks = reader_of("ticks", 2 * CRASH_FRAMES_MAX);
			atomic_store(&shared->watched, 1);
		}
		/* What is said before anybody listens is said to nobody. */
		if (out->sub)
			carry_on(out, ticks, random);
		assert_true(fnx_node_now() < deadline);
	}
	for (volatile unsigned i = 0; i < spins; i++)
		;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

TEST(what_a_killed_node_has_told_its_successor_neither_repeats_nor_leaves_out)
{
	struct check_random random = check_random_seeded();
	struct reader out = {0}, ticks = {0};
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned killed_at_work = 0, killed_at_birth = 0;
	int64_t deadline, end;
	int status = 0;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	lab_open(&lab);
	memset(streams, 0, sizeof(streams));
	streams[0].pub = lab_publisher(&lab, "a");
	streams[1].pub = lab_publisher(&lab, "b");
	for (unsigned life = 0; life < LIVES; life++) {
		/* Most die at work, some while they open their topics. */
		int at_birth = life > 0 && check_random_below(&random, 8) == 0;

		live_and_die(shared, at_birth, &out, &ticks, &random);
		at_birth ? killed_at_birth++ : killed_at_work++;
	}
	for (unsigned k = 0; k < CRASH_INPUTS; k++)
		fnx_publisher_advance(streams[k].pub, streams[k].time, 0);
	end = streams[0].time > streams[1].time ? streams[0].time : streams[1].time;
	for (unsigned k = 0; k < CRASH_INPUTS; k++)
		fnx_publisher_advance(streams[k].pub, FNX_END, 0);
	pid = beget(shared, &random);
	deadline = lab_deadline();
	while (waitpid(pid, &status, WNOHANG) == 0) {
		hear(&out);
		hear(&ticks);
		assert_true(fnx_node_now() < deadline);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	hear(&out);
	hear(&ticks);
	print_message("%u killed at work, %u at birth; %u + %u frames in, %u out, %u ticks\n",
		killed_at_work, killed_at_birth, streams[0].n, streams[1].n, out.n, ticks.n);
	check_out(&out);
	check_ticks(&ticks, end);
	assert_int_equal(fnx_subscriber_watermark(out.sub, NULL), FNX_END);
	fnx_subscriber_close(out.sub);
	fnx_subscriber_close(ticks.sub);
	free(out.told);
	free(ticks.told);
	for (unsigned k = 0; k < CRASH_INPUTS; k++)
		fnx_publisher_close(streams[k].pub);
	munmap(shared, sizeof(*shared));
	lab_close(&lab);
}
