/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side is stopped after any number of instructions while the other goes far ahead, and then
 * goes on. So every order in which the two can meet is met, and not only those that a scheduler
 * happens to find.
 */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>

enum {
	N_STOPS = 100
};

/* What a scene is made of. The stepped side runs in a child, the other here. */
struct scene {
	enum fnx_full_policy full;
	enum fnx_policy policy;
	uint32_t n_slots;
	/* The step that is interrupted, and what has to hold when it is done. 0: all is well. */
	int (*stepped)(struct scene *scene);
	int (*afterwards)(struct scene *scene);
	/* What the other side does in between. */
	void (*meanwhile)(struct scene *scene);
	/* What the other side finds in the end. */
	void (*finally)(struct scene *scene);

	struct fnx_bus bus;
	struct fnx_publisher *pub;
	struct fnx_subscriber *keeper, *sub;
	struct fnx_bell *bell; /* of the stepped side */
	struct fnx_frame frame;
	uint64_t next;
	int answer;
};

static pid_t start_stepped(struct scene *scene)
{
	int r;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	r = scene->stepped(scene);
	raise(SIGSTOP);
	_exit(r ? r : scene->afterwards(scene));
}

static int await_stop(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return WSTOPSIG(status);
}

/* Runs the step for `n` instructions, or to its end. Returns how many it ran. */
static unsigned long step(pid_t pid, unsigned long n)
{
	unsigned long done = 0;

	await_stop(pid);
	for (; done < n; done++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		if (await_stop(pid) == SIGSTOP)
			break;
	}
	return done;
}

static void run_on(pid_t pid)
{
	int status = 0;

	do {
		assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	} while (WIFSTOPPED(status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static unsigned long play(const struct scene *script, unsigned long n)
{
	struct scene scene = *script;
	unsigned long done;
	pid_t pid;

	scene.bus = fixture_bus();
	assert_int_equal(fnx_bell_open(&scene.bus, script->policy ? "reader" : "writer",
				 FNX_BELL_FORM_PIPE, &scene.bell),
		0);
	scene.pub = open_publisher(&scene.bus, scene.full, scene.n_slots);
	scene.keeper = open_subscriber(&scene.bus, "keeper", FNX_LOSSLESS);
	if (scene.policy)
		scene.sub = open_subscriber(&scene.bus, "reader", scene.policy);
	publish_n(scene.pub, scene.n_slots);
	/* The dynamic linker's work is done here, and not step by step. */
	fnx_subscriber_close(open_subscriber(&scene.bus, "warm", FNX_LOSSY));

	pid = start_stepped(&scene);
	done = step(pid, n);
	scene.meanwhile(&scene);
	run_on(pid);
	if (scene.finally)
		scene.finally(&scene);
	if (scene.sub)
		die(scene.sub);
	fnx_subscriber_close(scene.keeper);
	fnx_publisher_close(scene.pub);
	fnx_bell_close(scene.bell);
	assert_true(fnx_bus_remove(&scene.bus) >= 0);
	return done;
}

/* Half of the stops lie among the last `n_last` instructions. */
static void play_all(const struct scene *script, unsigned long n_last)
{
	struct check_random random = check_random_seeded();
	unsigned long total = play(script, UINT64_MAX);

	print_message("%lu instructions\n", total);
	for (unsigned i = 0; i < N_STOPS; i++) {
		unsigned long n = check_random_below(&random, total);

		if (i % 2 && n_last < total)
			n = total - n_last + n * n_last / total;
		play(script, n);
	}
}

/* Reader stopped
 * ------------------------------------------------------------------------------------- */

/* Reads to the end of what there is. 0: every frame right, every missing one told, once. */
static int read_on(struct scene *scene)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	for (;;) {
		int r = fnx_subscriber_peek(scene->sub, &frame, &gap);

		if (r == FNX_NOTHING)
			break;
		if (r == FNX_GAP) {
			if (scene->full == FNX_FULL_WAIT && scene->policy != FNX_LOSSY)
				return 10;
			if (gap.from != scene->next && scene->policy != FNX_LATEST)
				return 11;
			scene->next = gap.to;
			continue;
		}
		if (r != FNX_FRAME || !frame_right(&frame, SLOT_SIZE))
			return 12;
		if (scene->policy == FNX_LATEST ? frame.seq < scene->next
						: frame.seq != scene->next)
			return 13;
		scene->next = frame.seq + 1;
		fnx_subscriber_release(scene->sub);
	}
	return scene->next == fnx_subscriber_next(scene->sub) ? 0 : 14;
}

static int peek_a_frame(struct scene *scene)
{
	struct fnx_gap gap;

	do {
		scene->answer = fnx_subscriber_peek(scene->sub, &scene->frame, &gap);
		if (scene->answer == FNX_GAP) {
			if (gap.from != scene->next && scene->policy != FNX_LATEST)
				return 20;
			scene->next = gap.to;
		}
	} while (scene->answer == FNX_GAP);
	return scene->answer == FNX_FRAME ? 0 : 21;
}

static int have_that_frame(struct scene *scene)
{
	if (scene->policy == FNX_LATEST)
		scene->next = scene->frame.seq;
	if (scene->frame.seq != scene->next || !frame_right(&scene->frame, SLOT_SIZE))
		return 22;
	scene->next++;
	fnx_subscriber_release(scene->sub);
	return read_on(scene);
}

/* The pool and the ledger turn over several times. */
static void publish_far(struct scene *scene)
{
	for (unsigned i = 0; i < 70; i++) {
		assert_int_equal(publish_next(scene->pub, 0), 0);
		expect_frame(scene->keeper, fnx_subscriber_next(scene->keeper));
	}
}

static void read_as_keeper(struct scene *scene)
{
	expect_frames(
		scene->keeper, fnx_subscriber_next(scene->keeper), fnx_publisher_head(scene->pub));
}

static void go_far(struct scene *scene)
{
	read_as_keeper(scene);
	publish_far(scene);
}

TEST(a_reader_stopped_anywhere_in_peek_gets_no_torn_frame)
{
	static const enum fnx_policy policies[] = {FNX_LOSSLESS, FNX_LOSSY, FNX_LATEST};

	for (unsigned i = 0; i < 3; i++) {
		struct scene scene = {.full = FNX_FULL_DROP,
			.policy = policies[i],
			.n_slots = 4,
			.stepped = peek_a_frame,
			.afterwards = have_that_frame,
			.meanwhile = go_far};

		play_all(&scene, UINT64_MAX);
	}
}

static int hold_and_release(struct scene *scene)
{
	int r = peek_a_frame(scene);

	if (r)
		return r;
	if (fnx_subscriber_hold(scene->sub, scene->frame.seq))
		return 30;
	fnx_subscriber_release(scene->sub);
	scene->next = scene->frame.seq + 1;
	return 0;
}

static int have_it_still(struct scene *scene)
{
	int r = read_on(scene);

	if (!frame_right(&scene->frame, SLOT_SIZE))
		return 31;
	fnx_subscriber_drop(scene->sub, scene->frame.seq);
	return r;
}

static void go_as_far_as_it_goes(struct scene *scene)
{
	read_as_keeper(scene);
	for (unsigned i = 0; i < 70; i++)
		if (!publish_next(scene->pub, 0))
			expect_frame(scene->keeper, fnx_subscriber_next(scene->keeper));
}

TEST(a_reader_stopped_anywhere_in_hold_and_release_keeps_the_frame)
{
	for (unsigned i = 0; i < 4; i++) {
		struct scene scene = {.full = i & 1 ? FNX_FULL_DROP : FNX_FULL_WAIT,
			.policy = i & 2 ? FNX_LOSSY : FNX_LOSSLESS,
			.n_slots = 4,
			.stepped = hold_and_release,
			.afterwards = have_it_still,
			.meanwhile = go_as_far_as_it_goes};

		play_all(&scene, UINT64_MAX);
	}
}

static int read_all_and_park(struct scene *scene)
{
	int r = read_on(scene);

	if (r)
		return r;
	scene->answer = fnx_subscriber_park(scene->sub, INT64_MAX);
	return 0;
}

static int be_rung_or_see(struct scene *scene)
{
	/* If there is something that it has not seen, it knows, or it was told. */
	if (scene->answer == 0 && fnx_subscriber_lag(scene->sub) > 0 &&
		fnx_bell_drain(scene->bell) == 0)
		return 40;
	return read_on(scene);
}

static void publish_one(struct scene *scene)
{
	read_as_keeper(scene);
	for (unsigned i = 0; i < 3; i++)
		if (!publish_next(scene->pub, 0))
			break;
	read_as_keeper(scene);
}

TEST(a_reader_stopped_anywhere_on_its_way_to_sleep_is_woken)
{
	struct scene scene = {.full = FNX_FULL_DROP,
		.policy = FNX_LOSSY,
		.n_slots = 4,
		.stepped = read_all_and_park,
		.afterwards = be_rung_or_see,
		.meanwhile = publish_one};

	play_all(&scene, UINT64_MAX);
}

static int join(struct scene *scene)
{
	struct fnx_subscriber_config config = subscriber_config("reader", FNX_LOSSLESS);

	config.start = FNX_START_OLDEST;
	if (fnx_subscriber_open(&scene->bus, &config, &scene->sub))
		return 50;
	scene->next = fnx_subscriber_next(scene->sub);
	return 0;
}

TEST(a_reader_stopped_anywhere_in_joining_reads_without_a_gap_from_where_it_begins)
{
	struct scene scene = {.full = FNX_FULL_WAIT,
		.n_slots = 4,
		.stepped = join,
		.afterwards = read_on,
		.meanwhile = go_as_far_as_it_goes};

	/* Where it takes its start. */
	play_all(&scene, 700);
}

/* Publisher stopped
 * ---------------------------------------------------------------------------------- */

/* Needs a slot, and so gives up what it may. */
static int publish_stepped(struct scene *scene)
{
	int r = publish_next(scene->pub, 0);

	return r == 0 || r == -EAGAIN ? 0 : 60;
}

static int publish_more(struct scene *scene)
{
	for (unsigned i = 0; i < 30; i++) {
		int r = publish_next(scene->pub, 0);

		if (r && r != -EAGAIN)
			return 61;
	}
	return 0;
}

/* Somebody joins, and is at its first frame when the publisher goes on; it must not lose it from
 * under its eyes. */
static void join_and_peek(struct scene *scene)
{
	struct fnx_subscriber_config config = subscriber_config("reader", scene->policy);
	struct fnx_gap gap;

	config.start = FNX_START_OLDEST;
	assert_int_equal(fnx_subscriber_open(&scene->bus, &config, &scene->sub), 0);
	scene->next = fnx_subscriber_next(scene->sub);
	do {
		scene->answer = fnx_subscriber_peek(scene->sub, &scene->frame, &gap);
		if (scene->answer == FNX_GAP) {
			/* A lossless reader of a wait publisher owes nobody its start. */
			assert_true(scene->full == FNX_FULL_DROP || scene->policy != FNX_LOSSLESS);
			assert_int_equal(gap.from, scene->next);
			scene->next = gap.to;
		}
	} while (scene->answer == FNX_GAP);
}

static void find_it_there(struct scene *scene)
{
	if (scene->answer == FNX_FRAME) {
		assert_int_equal(scene->frame.seq, scene->next++);
		assert_true(frame_right(&scene->frame, SLOT_SIZE));
		fnx_subscriber_release(scene->sub);
	} else {
		assert_int_equal(scene->answer, FNX_NOTHING);
	}
	assert_int_equal(read_on(scene), 0);
	scene->sub = fnx_subscriber_close(scene->sub);
}

static unsigned long play_publisher(const struct scene *script, unsigned long n)
{
	struct scene scene = *script;
	unsigned long done;
	pid_t pid;

	scene.bus = fixture_bus();
	scene.pub = open_publisher(&scene.bus, scene.full, scene.n_slots);
	scene.keeper = open_subscriber(&scene.bus, "keeper", FNX_LOSSLESS);
	publish_n(scene.pub, scene.n_slots);
	read_as_keeper(&scene);
	pid = start_stepped(&scene);
	done = step(pid, n);
	join_and_peek(&scene);
	run_on(pid);
	find_it_there(&scene);
	die(scene.pub);
	fnx_subscriber_close(scene.keeper);
	assert_true(fnx_bus_remove(&scene.bus) >= 0);
	return done;
}

/* Its pool is full, and all of it is read while it is stopped. */
static int park_publisher(struct scene *scene)
{
	scene->answer = fnx_publisher_park(scene->pub, 1, 0);
	return 0;
}

static int be_rung_or_have_room(struct scene *scene)
{
	return scene->answer == 1 || fnx_bell_drain(scene->bell) > 0 ? 0 : 70;
}

TEST(a_publisher_stopped_anywhere_on_its_way_to_sleep_is_woken)
{
	struct scene scene = {.full = FNX_FULL_WAIT,
		.n_slots = 4,
		.stepped = park_publisher,
		.afterwards = be_rung_or_have_room,
		.meanwhile = read_as_keeper};

	play_all(&scene, UINT64_MAX);
}

TEST(whoever_joins_while_the_publisher_is_stopped_anywhere_in_reclaiming_gets_no_torn_frame)
{
	struct check_random random = check_random_seeded();

	for (unsigned i = 0; i < 4; i++) {
		struct scene script = {.full = i & 1 ? FNX_FULL_DROP : FNX_FULL_WAIT,
			.policy = i & 2 ? FNX_LOSSY : FNX_LOSSLESS,
			.n_slots = 4,
			.stepped = publish_stepped,
			.afterwards = publish_more};
		unsigned long total = play_publisher(&script, UINT64_MAX);

		print_message("%lu instructions\n", total);
		for (unsigned k = 0; k < N_STOPS; k++)
			play_publisher(&script, check_random_below(&random, total));
	}
}
