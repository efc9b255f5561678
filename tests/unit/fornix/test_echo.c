/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <inttypes.h>
#include <sched.h>
#include <sys/resource.h>

#include "bus/view.h"
#include "schemas/truth.h"

enum {
	SLOTS = 16
};

struct lab {
	struct fnx_bus bus;
	struct fnx_presence presence;
	struct fnx_publisher *pub;
	uint64_t n;
};

static struct lab lab_open_with(uint32_t n_slots)
{
	struct lab lab = {.bus = command_bus()};

	assert_int_equal(fnx_presence_claim(&lab.bus, "acquire", &lab.presence, NULL), 0);
	lab.pub = command_topic(&lab.bus, "truth", &fnx_truth_schema, n_slots, FNX_FULL_DROP);
	return lab;
}

static struct lab lab_open(void)
{
	return lab_open_with(SLOTS);
}

static void lab_close(struct lab *lab)
{
	fnx_publisher_close(lab->pub);
	fnx_presence_drop(&lab->presence);
	fnx_bus_remove(&lab->bus);
}

/* The n-th frame: bin n at sample n * 10, that came 5 us before. */
static void publish(struct lab *lab, unsigned n)
{
	while (n--) {
		struct fnx_stamp stamp = {
			.sample_time = (int64_t)lab->n * 10, .publish_ns = fnx_node_now()};
		struct fnx_truth *truth;
		void *payload;

		stamp.ingress_ns = stamp.publish_ns - 5000;
		assert_int_equal(fnx_publisher_loan(lab->pub, stamp.publish_ns, &payload), 0);
		truth = payload;
		*truth = (struct fnx_truth){
			.bin = (int32_t)lab->n, .replay_arm = -1, .replay_bin = -1};
		fnx_publisher_publish(lab->pub, sizeof(*truth), &stamp);
		lab->n++;
	}
}

/* Fails when it takes too long; `running` is killed then. */
static int has_ended(const struct running *running)
{
	static pid_t pid;
	static int64_t deadline;
	siginfo_t info = {.si_pid = 0};

	if (pid != running->pid) {
		pid = running->pid;
		deadline = fnx_node_now() + CHECK_PATIENCE_NS;
	}
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	if (!info.si_pid && fnx_node_now() > deadline) {
		kill(pid, SIGKILL);
		fail_msg("it does not end");
	}
	return info.si_pid != 0;
}

static int n_lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

TEST(frames_are_printed_with_their_clocks_and_fields)
{
	struct lab lab = lab_open();
	const struct said *said;

	publish(&lab, 3);
	said = FORNIX("echo", "truth", "--count", "3", ON(lab.bus));
	assert_int_equal(said->status, 0);
	assert_int_equal(n_lines(said->out), 3);
	says(said->out, "seq=0 sample_time=0 latency=5.0 us bin=0 bin");
	says(said->out, "seq=2 sample_time=20 latency=5.0 us bin=2 bin replay_arm=-1");
	assert_string_equal(said->error, "");
	lab_close(&lab);
}

TEST(echo_ends_with_the_topic_when_all_is_read)
{
	struct lab lab = lab_open();
	const struct said *said;

	publish(&lab, 5);
	fnx_publisher_advance(lab.pub, FNX_END, fnx_node_now());
	said = FORNIX("echo", "truth", ON(lab.bus));
	assert_int_equal(said->status, 0);
	assert_int_equal(n_lines(said->out), 5);
	lab_close(&lab);
}

TEST(echo_sleeps_until_the_bell_rings_and_goes_on)
{
	struct lab lab = lab_open();
	struct running running;
	struct rusage before, after;
	const struct said *said;

	publish(&lab, 1);
	getrusage(RUSAGE_CHILDREN, &before);
	running = command_start((const char *const[]){"echo", "truth", ON(lab.bus), NULL});
	for (int i = 0; i < 20; i++) {
		char words[32];

		snprintf(words, sizeof(words), "seq=%d ", i);
		await_said(&running, words);
		publish(&lab, 1);
	}
	fnx_publisher_advance(lab.pub, FNX_END, fnx_node_now());
	said = command_end(&running);
	getrusage(RUSAGE_CHILDREN, &after);
	assert_int_equal(said->status, 0);
	assert_int_equal(n_lines(said->out), 21);
	says_not(said->out, "lost");
	/* Whoever spins is switched away from by force, not by his own will. */
	assert_true(after.ru_nvcsw - before.ru_nvcsw >= 10);
	lab_close(&lab);
}

TEST(lost_frames_are_told_where_they_are_missing)
{
	struct lab lab = lab_open();
	struct running running;
	const struct said *said;

	publish(&lab, 1);
	running = command_start((const char *const[]){"echo", "truth", ON(lab.bus), NULL});
	await_said(&running, "seq=0 ");
	kill(running.pid, SIGSTOP);
	assert_int_equal(waitpid(running.pid, NULL, WUNTRACED), running.pid);
	publish(&lab, 10 * SLOTS);
	fnx_publisher_advance(lab.pub, FNX_END, fnx_node_now());
	kill(running.pid, SIGCONT);
	said = command_end(&running);
	assert_int_equal(said->status, 0);
	says(said->out, "frames lost: too slow --");
	says(said->out, "seq=160 ");
	{
		/* What was printed and what was lost are all there is. */
		uint64_t lost = 0;
		int n_gaps = 0;

		for (const char *gap = said->out; (gap = strstr(gap, "\n-- ")); gap += 4, n_gaps++)
			lost += strtoull(gap + 4, NULL, 10);
		assert_int_equal(lost + (uint64_t)(n_lines(said->out) - n_gaps), 10 * SLOTS + 1);
	}
	lab_close(&lab);
}

TEST(only_new_frames_are_printed_where_that_is_asked)
{
	struct lab lab = lab_open();
	struct running running;
	const struct said *said;
	const char *frame;

	publish(&lab, 5);
	running = command_start(
		(const char *const[]){"echo", "truth", "--new", "--count", "1", ON(lab.bus), NULL});
	/* Whenever it has come: until it has its frame. */
	while (!has_ended(&running)) {
		publish(&lab, 1);
		sched_yield();
	}
	said = command_end(&running);
	assert_int_equal(said->status, 0);
	/* Before it there may be a gap: frames pour in, and nobody waits for who only looks. */
	frame = strstr(said->out, "seq=");
	assert_non_null(frame);
	assert_null(strstr(frame + 1, "seq="));
	assert_true(strtoull(frame + strlen("seq="), NULL, 10) >= 5);
	lab_close(&lab);
}

TEST(the_moments_of_arrival_and_of_publishing_are_printed_where_that_is_asked)
{
	struct lab lab = lab_open();
	const char *const plain[] = {"echo", "truth", "--count", "3", ON(lab.bus), NULL};
	const char *const stamps[] = {
		"echo", "truth", "--count", "3", "--stamps", ON(lab.bus), NULL};
	int64_t before_ns = fnx_node_now();
	struct running running;
	const char *at;

	publish(&lab, 3);
	running = command_start(plain);
	assert_null(strstr(command_end(&running)->out, "publish_ns="));
	running = command_start(stamps);
	at = command_end(&running)->out;
	for (int i = 0; i < 3; i++) {
		int64_t ingress_ns, publish_ns;

		at = strstr(at, " ingress_ns=");
		assert_non_null(at);
		assert_int_equal(sscanf(at, " ingress_ns=%" SCNd64 " publish_ns=%" SCNd64,
					 &ingress_ns, &publish_ns),
			2);
		assert_in_range(publish_ns, before_ns, fnx_node_now());
		assert_int_equal(publish_ns - ingress_ns, 5000);
		at++;
	}
	lab_close(&lab);
}

/* Until the one reader sleeps, with so many frames unread at the most; how often it was rung. */
static uint64_t await_sleep(const struct lab *lab, uint64_t most)
{
	int64_t deadline = fnx_node_now() + CHECK_PATIENCE_NS;

	for (;;) {
		struct fnx_view *view;
		uint64_t n_rings;
		int sleeps;

		assert_int_equal(fnx_view_open(&lab->bus, "truth", 0, &view), 0);
		sleeps = view->n_subscribers == 1 && view->subscribers[0].parked &&
			view->subscribers[0].lag <= most;
		n_rings = view->rings;
		fnx_view_close(view);
		if (sleeps)
			return n_rings;
		if (fnx_node_now() > deadline)
			fail_msg("it does not come to rest");
		sched_yield();
	}
}

TEST(one_that_is_patient_prints_the_same_and_is_rung_less_often_unless_the_pool_is_small)
{
	enum {
		N = 260,
		LARGE = 256,
		UNREAD = LARGE / 4
	};
	const struct {
		uint32_t n_slots, unread;
		const char *option;
	} cases[] = {{LARGE, 0, NULL}, {LARGE, UNREAD, "--patient"}, {SLOTS, 0, "--patient"}};

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct lab lab = lab_open_with(cases[k].n_slots);
		struct running running = command_start(
			(const char *const[]){"echo", "truth", ON(lab.bus), cases[k].option, NULL});
		uint64_t n_rings = await_sleep(&lab, 0);
		const struct said *said;

		for (int i = 0; i < N; i++) {
			publish(&lab, 1);
			n_rings = await_sleep(&lab, cases[k].unread);
		}
		/* Fewer are possible: it may see a frame while it lies down. */
		assert_true(n_rings <= N / (cases[k].unread + 1));
		assert_true(cases[k].unread || n_rings > N / 2);
		fnx_publisher_advance(lab.pub, FNX_END, fnx_node_now());
		said = command_end(&running);
		assert_null(strstr(said->out, "lost"));
		assert_int_equal(n_lines(said->out), N);
		lab_close(&lab);
	}
}

TEST(one_that_is_patient_is_rung_for_the_last_frame_that_it_waits_for)
{
	for (int n = 1; n <= 5; n += 2) {
		struct lab lab = lab_open_with(256);
		char count[8];
		struct running running;
		const struct said *said;
		struct fnx_view *view;

		snprintf(count, sizeof(count), "%d", n);
		running = command_start((const char *const[]){
			"echo", "truth", ON(lab.bus), "--patient", "--count", count, NULL});
		await_sleep(&lab, 0);
		for (int i = 0; i < n; i++)
			publish(&lab, 1);
		/* Rung already, or awake by itself, or even gone. */
		assert_int_equal(fnx_view_open(&lab.bus, "truth", 0, &view), 0);
		assert_true(view->n_subscribers == 0 || !view->subscribers[0].parked);
		fnx_view_close(view);
		said = command_end(&running);
		assert_int_equal(n_lines(said->out), n);
		lab_close(&lab);
	}
}

TEST(ctrl_c_ends_it_and_nothing_stays_behind)
{
	struct lab lab = lab_open();
	int n_before = n_files(lab.bus.run_dir), n_segments = n_files(lab.bus.segment_dir);
	struct running running;
	const struct said *said;

	publish(&lab, 1);
	running = command_start((const char *const[]){"echo", "truth", ON(lab.bus), NULL});
	await_said(&running, "seq=0 ");
	assert_int_equal(n_files(lab.bus.run_dir), n_before + 2); /* a lock and a bell */
	kill(running.pid, SIGINT);
	said = command_end(&running);
	assert_int_equal(said->status, 0);
	assert_int_equal(n_files(lab.bus.run_dir), n_before);
	assert_int_equal(n_files(lab.bus.segment_dir), n_segments);
	lab_close(&lab);
}

TEST(ctrl_c_is_heard_while_frames_pour_in)
{
	struct lab lab = lab_open();
	struct running running;

	publish(&lab, 1);
	running = command_start((const char *const[]){"echo", "truth", ON(lab.bus), NULL});
	await_said(&running, "seq=0 ");
	kill(running.pid, SIGTERM);
	while (!has_ended(&running))
		publish(&lab, 4);
	assert_int_equal(command_end(&running)->status, 0);
	lab_close(&lab);
}

TEST(a_topic_that_begins_anew_is_followed)
{
	struct lab lab = lab_open();
	struct running running;
	const struct said *said;

	publish(&lab, 2);
	running = command_start((const char *const[]){"echo", "truth", ON(lab.bus), NULL});
	await_said(&running, "seq=1 ");
	kill(running.pid, SIGSTOP);
	assert_int_equal(waitpid(running.pid, NULL, WUNTRACED), running.pid);
	fnx_publisher_close(lab.pub);
	lab.pub = command_topic(&lab.bus, "truth", &fnx_truth_schema, SLOTS, FNX_FULL_DROP);
	publish(&lab, 1);
	fnx_publisher_advance(lab.pub, FNX_END, fnx_node_now());
	kill(running.pid, SIGCONT);
	said = command_end(&running);
	assert_int_equal(said->status, 0);
	says(said->out, "-- the topic begins anew --\nseq=0 sample_time=20 ");
	lab_close(&lab);
}

TEST(echo_ends_when_the_topic_is_taken_away)
{
	struct lab lab = lab_open();
	struct running running;

	publish(&lab, 1);
	running = command_start((const char *const[]){"echo", "truth", ON(lab.bus), NULL});
	await_said(&running, "seq=0 ");
	fnx_publisher_close(lab.pub);
	lab.pub = NULL;
	assert_int_equal(command_end(&running)->status, 0);
	lab_close(&lab);
}

TEST(an_unknown_topic_is_answered_with_the_known_ones)
{
	struct lab lab = lab_open();
	int n_before = n_files(lab.bus.run_dir);

	fails(FORNIX("echo", "trout", ON(lab.bus)), 1,
		"bus test has no topic trout; it has: truth");
	fails(FORNIX("echo", "../truth", ON(lab.bus)), 1, "it has: truth");
	assert_int_equal(n_files(lab.bus.run_dir), n_before);
	lab_close(&lab);
}

TEST(wrong_use_of_echo_is_told_in_one_line)
{
	fails(FORNIX("echo"), 2, "expected one TOPIC");
	fails(FORNIX("echo", "a", "b"), 2, "expected one TOPIC");
	fails(FORNIX("echo", "a", "--count", "0"), 2, "--count: expected a whole number from 1");
	fails(FORNIX("echo", "a", "--count", "-3"), 2, "--count: expected a whole number from 1");
	fails(FORNIX("echo", "a", "--colour"), 2, "fornix echo: unrecognized option");
	fails(FORNIX("echo", "a", "--bus", "there-is-no-such-bus"), 1,
		"there is no bus there-is-no-such-bus");
	fails(FORNIX("echo", "a", "--bus", "a/b"), 2, "a/b");
}
