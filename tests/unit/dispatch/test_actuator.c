/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/dispatch/team_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "bus/bus.h"
#include "tests/support/check.h"

enum {
	TEXT_MAX = 4 << 20
};

static const char *scratch(const char *name)
{
	static char paths[4][200];
	static unsigned n;
	char *path = paths[n++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", check_scratch_dir(), name);
	return path;
}

static struct fnx_team *log_to(const char *file)
{
	const struct fnx_actuator_config config = {.type = FNX_ACTUATOR_TYPE_LOG, .file = file};
	struct fnx_team *actuator;

	assert_int_equal(try_team(&config, &actuator), 0);
	return actuator;
}

static struct fnx_act_command command_of(uint32_t i)
{
	return (struct fnx_act_command){
		.stamp = {.seq = i, .sample_time = 1000 + i, .ingress_ns = 1, .publish_ns = 2},
		.decision = {.cause_seq = 7,
			.cause_publish_ns = 11,
			.target_mass = 0.625,
			.other_mass = 0.125,
			.speed = 1.5,
			.arm = 1,
			.position_bin = -1,
			.rule = 0,
			.task = i,
			.outcome = FNX_DECISION_ACTED,
			.n_groups = 3,
			.rule_name = "replay left"},
	};
}

static void give(struct fnx_team *actuator, uint32_t i)
{
	const struct fnx_act_command command = command_of(i);
	int64_t end = now_ns() + CHECK_PATIENCE_NS;
	int r;

	while ((r = fnx_team_give(actuator, &command)) == -ENOBUFS && now_ns() < end) {
		take_outcomes(actuator);
		sched_yield();
	}
	assert_int_equal(r, 0);
}

static const char *read_all(const char *path)
{
	static char text[TEXT_MAX];
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = 0;
	fclose(file);
	return text;
}

TEST(a_line_of_the_log_says_all_about_a_task)
{
	const struct fnx_act_command command = command_of(4);
	char line[FNX_ACTUATOR_LINE];
	uint32_t size = fnx_actuator_line(&command, line);

	assert_int_equal(size, strlen(line));
	assert_string_equal(line,
		"sample_time=1004 rule=\"replay left\" task=4 outcome=0 arm=1 target_mass=0.625 "
		"other_mass=0.125 groups=3 position_bin=-1 speed_cm_s=1.5 seq=4 cause_seq=7 "
		"cause_publish_ns=11 given_ns=2\n");
}

TEST(no_name_breaks_a_line_of_the_log)
{
	struct fnx_act_command command = command_of(4);
	char line[FNX_ACTUATOR_LINE];

	memset(command.decision.rule_name, '\n',
		sizeof(command.decision.rule_name)); /* no closing 0 */
	memcpy(command.decision.rule_name, "a\"b\\\x7f\x01", 6);
	fnx_actuator_line(&command, line);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_non_null(strstr(line, "rule=\"a_b_____________________________\" "));
}

TEST(the_longest_line_fits)
{
	struct fnx_act_command command;
	char line[FNX_ACTUATOR_LINE];

	memset(&command, 0x80, sizeof(command));
	command.decision.target_mass = command.decision.other_mass = command.decision.speed =
		-1.23456e-300;
	command.decision.task = command.decision.outcome = command.decision.n_groups = UINT32_MAX;
	command.stamp.seq = UINT64_MAX;
	assert_true(fnx_actuator_line(&command, line) < FNX_ACTUATOR_LINE);
}

TEST(the_log_holds_every_task_in_order_and_is_appended_to)
{
	const char *path = scratch("tasks.log");
	enum {
		N = 500
	};

	for (int session = 0; session < 2; session++) {
		struct fnx_team *actuator = log_to(path);

		for (uint32_t i = 0; i < N; i++)
			give(actuator, i);
		fnx_team_close(actuator); /* what was given is carried out first */
	}
	const char *text = read_all(path);

	for (int session = 0; session < 2; session++)
		for (uint32_t i = 0; i < N; i++) {
			const struct fnx_act_command command = command_of(i);
			char line[FNX_ACTUATOR_LINE];
			uint32_t size = fnx_actuator_line(&command, line);

			assert_memory_equal(text, line, size);
			text += size;
		}
	assert_int_equal(*text, 0);
}

TEST(a_full_ring_refuses_and_counts_and_loses_nothing_it_took)
{
	const char *path = scratch("fifo");
	struct fnx_actuator_counts counts;
	struct fnx_team *actuator;
	static char text[TEXT_MAX];
	uint32_t n_given = 0, n_refused = 0;
	size_t used = 0, expected = 0;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK);
	assert_true(fd >= 0 && fcntl(fd, F_SETPIPE_SZ, 4096) > 0);
	actuator = log_to(path);
	/* The pipe takes some lines, the thread then hangs in its write; the ring takes 64 more. */
	for (uint32_t i = 0; n_refused < 10; i++) {
		const struct fnx_act_command command = command_of(n_given);
		char line[FNX_ACTUATOR_LINE];

		assert_true(i < 100000000);
		take_outcomes(actuator);
		if (fnx_team_give(actuator, &command)) {
			counts = counts_of(actuator);
			/* Refused while the thread was still at it: once more. */
			n_refused = counts.given - counts.fates[FNX_OUTCOME_TOLD] >= FNX_BOOK_ACTS
				? n_refused + 1
				: 0;
			continue;
		}
		expected += fnx_actuator_line(&command, line);
		n_given++;
	}
	counts = counts_of(actuator);
	assert_int_equal(counts.given, n_given);
	assert_true(counts.refused >= 10);
	while (used < expected) {
		ssize_t n = read(fd, text + used, sizeof(text) - used);

		assert_true(n > 0 || errno == EAGAIN);
		used += n > 0 ? (size_t)n : 0;
	}
	await_fates(actuator, n_given);
	counts = counts_of(actuator);
	assert_int_equal(counts.fates[FNX_OUTCOME_TOLD], n_given);
	assert_int_equal(counts.fates[FNX_OUTCOME_FAILED], 0);
	assert_int_equal(used, expected);
	fnx_team_close(actuator);
	close(fd);
}

TEST(what_the_disk_refuses_is_counted)
{
	struct fnx_team *actuator = log_to("/dev/full");
	struct fnx_actuator_counts counts;

	give(actuator, 1);
	give(actuator, 2);
	await_fates(actuator, 2);
	counts = counts_of(actuator);
	assert_int_equal(counts.fates[FNX_OUTCOME_FAILED], 2);
	assert_int_equal(counts.fates[FNX_OUTCOME_TOLD], 0);
	assert_int_equal(counts.error, -ENOSPC);
	fnx_team_close(actuator);
}

TEST(what_cannot_be_opened_is_said_at_start)
{
	struct fnx_actuator_config config = {
		.type = FNX_ACTUATOR_TYPE_LOG, .file = scratch("no/such/dir/x")};
	struct fnx_team *actuator = NULL;

	assert_int_equal(try_team(&config, &actuator), -ENOENT);
	config.type = FNX_ACTUATOR_TYPE_ZMQ;
	assert_int_equal(try_team(&config, &actuator), -EINVAL);
	config.endpoint = "carrier pigeon";
	assert_true(try_team(&config, &actuator) < 0);
	assert_null(actuator);
	assert_null(fnx_team_close(NULL));
}

static void *pull_at(void *context, const char *endpoint)
{
	void *pull = zmq_socket(context, ZMQ_PULL);

	assert_int_equal(zmq_setsockopt(pull, ZMQ_LINGER, &(int){0}, sizeof(int)), 0);
	assert_int_equal(
		zmq_setsockopt(pull, ZMQ_RCVTIMEO, &(int){CHECK_PATIENCE_MS}, sizeof(int)), 0);
	assert_int_equal(zmq_bind(pull, endpoint), 0);
	return pull;
}

/* The connection is made in the background: until it stands, tasks fail. Returns how many were
 * given. */
static uint32_t give_until_taken(struct fnx_team *actuator)
{
	int64_t end = now_ns() + CHECK_PATIENCE_NS;
	uint32_t n = 0;

	while (!counts_of(actuator).fates[FNX_OUTCOME_TOLD]) {
		give(actuator, 100000 + n);
		await_fates(actuator, ++n);
		assert_true(now_ns() < end);
	}
	return n;
}

TEST(a_pull_socket_gets_the_decision_as_the_codec_writes_it)
{
	char endpoint[220];
	struct fnx_actuator_config config = {.type = FNX_ACTUATOR_TYPE_ZMQ, .endpoint = endpoint};
	void *context = zmq_ctx_new(), *pull;
	struct fnx_codec_decoder *decoder;
	struct fnx_team *actuator;
	struct fnx_layout layout;
	uint32_t n_first;

	snprintf(endpoint, sizeof(endpoint), "ipc://%s/pull", check_scratch_dir());
	assert_int_equal(fnx_layout_init(&layout, &fnx_decision_schema, NULL), 0);
	assert_int_equal(fnx_codec_decoder_new(&decoder), 0);
	pull = pull_at(context, endpoint);
	assert_int_equal(try_team(&config, &actuator), 0);
	n_first = give_until_taken(actuator);
	for (uint32_t i = 0; i < 41; i++) {
		const struct fnx_act_command expected = command_of(i ? i - 1 : 99999 + n_first);
		unsigned char body[2048];
		struct fnx_codec_stamp stamp;
		struct fnx_decision decision;
		int size = zmq_recv(pull, body, sizeof(body), 0);

		assert_true(size > 0);
		assert_int_equal(
			fnx_codec_decode(&layout, decoder, body, (size_t)size, &stamp, &decision),
			0);
		assert_int_equal(stamp.sample_time, expected.stamp.sample_time);
		assert_int_equal(stamp.seq, expected.stamp.seq);
		assert_memory_equal(&decision, &expected.decision, sizeof(decision));
		give(actuator, i);
	}
	await_fates(actuator, n_first + 41);
	assert_int_equal(counts_of(actuator).fates[FNX_OUTCOME_TOLD], 42);
	fnx_team_close(actuator);
	fnx_codec_decoder_free(decoder);
	zmq_close(pull);
	zmq_ctx_term(context);
}

TEST(with_nobody_connected_a_task_fails_and_does_not_arrive_later)
{
	char endpoint[220];
	struct fnx_actuator_config config = {.type = FNX_ACTUATOR_TYPE_ZMQ, .endpoint = endpoint};
	void *context = zmq_ctx_new(), *pull;
	struct fnx_actuator_counts counts;
	struct fnx_team *actuator;
	struct fnx_layout layout;
	unsigned char body[2048];
	char needle[] = "\xa4task\x2a"; /* {..., "task": 42, ...} */
	uint32_t n;
	int size;

	snprintf(endpoint, sizeof(endpoint), "ipc://%s/nobody", check_scratch_dir());
	assert_int_equal(fnx_layout_init(&layout, &fnx_decision_schema, NULL), 0);
	assert_int_equal(try_team(&config, &actuator), 0);
	give(actuator, 42);
	await_fates(actuator, 1);
	counts = counts_of(actuator);
	assert_int_equal(counts.fates[FNX_OUTCOME_FAILED], 1);
	assert_int_equal(counts.error, -EAGAIN);
	pull = pull_at(context, endpoint);
	for (n = 0; !counts_of(actuator).fates[FNX_OUTCOME_TOLD]; n++) {
		give(actuator, 100000 + n);
		await_fates(actuator, n + 2);
	}
	size = zmq_recv(pull, body, sizeof(body), 0);
	assert_true(size > 0);
	assert_null(memmem(body, (size_t)size, needle, sizeof(needle) - 1));
	fnx_team_close(actuator);
	zmq_close(pull);
	zmq_ctx_term(context);
}

TEST(a_python_script_reads_a_task)
{
	char command[700], endpoint[220], said[64] = "";
	struct fnx_actuator_config config = {.type = FNX_ACTUATOR_TYPE_ZMQ, .endpoint = endpoint};
	struct fnx_team *actuator;
	FILE *script;

	if (access("/usr/bin/python3", X_OK) ||
		system("/usr/bin/python3 -c 'import zmq, msgpack' 2>/dev/null")) {
		print_message("no python3 with zmq and msgpack here\n");
		return;
	}
	snprintf(endpoint, sizeof(endpoint), "ipc://%s/python", check_scratch_dir());
	snprintf(command, sizeof(command),
		"/usr/bin/python3 -c 'import zmq, msgpack\n"
		"s = zmq.Context().socket(zmq.PULL); s.rcvtimeo = %d; s.bind(\"%s\")\n"
		"m = msgpack.unpackb(s.recv())\n"
		"print(m[\"rule_name\"], m[\"task\"] >= 100000, m[\"target_mass\"], flush=True)'",
		CHECK_PATIENCE_MS, endpoint);
	script = popen(command, "r");
	assert_non_null(script);
	assert_int_equal(try_team(&config, &actuator), 0);
	give_until_taken(actuator);
	assert_non_null(fgets(said, sizeof(said), script));
	assert_string_equal(said, "replay left True 0.625\n");
	assert_int_equal(pclose(script), 0);
	fnx_team_close(actuator);
}

/* Threads --------------------------------------------------------------------------------- */

TEST(two_threads_and_a_small_book_agree_about_every_task_and_its_turn)
{
	const char *path = scratch("threads.log");
	struct check_random random = check_random_seeded();
	uint32_t n_lines = 0, previous = 0;
	enum {
		N = 3000
	};

	unlink(path);
	for (int life = 0; life < 2; life++) {
		struct fnx_team *actuator = log_to(path);
		uint32_t i = 0;

		while (i < N) {
			/* Bursts of any size, with time to doze off between some of them. */
			for (uint64_t n = check_random_below(&random, 100); n && i < N; n--)
				give(actuator, i++);
			if (check_random_below(&random, 3) == 0)
				await_fates(actuator, i);
		}
		fnx_team_close(actuator);
	}
	for (const char *line = read_all(path); *line; line = strchr(line, '\n') + 1, n_lines++) {
		const char *task = strstr(line, " task=");

		assert_non_null(task);
		previous = (uint32_t)strtoul(task + 6, NULL, 10);
		assert_int_equal(previous, n_lines % N);
	}
	assert_int_equal(n_lines, 2 * N);
}

TEST(closing_an_idle_actuator_ends_its_thread)
{
	for (int i = 0; i < 50; i++) {
		struct fnx_team *actuator = log_to("/dev/null");

		if (i & 2)
			give(actuator, 1);
		assert_null(fnx_team_close(actuator));
	}
}

/* Lives ----------------------------------------------------------------------------------- */

static struct fnx_team *log_with_ring(const char *file, struct fnx_book *ring)
{
	const struct fnx_actuator_config config = {
		.type = FNX_ACTUATOR_TYPE_LOG, .file = file, .book = ring};
	struct fnx_team *actuator;

	assert_int_equal(try_team(&config, &actuator), 0);
	return actuator;
}

/* What a book looks like that was left with `done` of `given` acts done, one more `begun` or not. */
static void leave(struct fnx_book *book, uint32_t given, uint32_t done, int begun)
{
	memset(book, 0, sizeof(*book));
	for (uint32_t i = 0; i < given; i++) {
		struct fnx_act *act = fnx_book_act(book, i);

		act->command = command_of(i);
		act->state = i < done        ? (uint32_t)FNX_ACT_ENDED + FNX_OUTCOME_TOLD
			: i == done && begun ? FNX_ACT_BEGUN
					     : FNX_ACT_GIVEN;
	}
	book->given = given;
	book->ended = book->reported = done;
	book->fates[FNX_OUTCOME_TOLD] = done;
}

TEST(what_a_predecessor_gave_is_not_given_again_and_what_it_refused_stays_refused)
{
	static struct fnx_book ring;
	const char *path = scratch("given");
	struct fnx_act_command command;
	struct fnx_team *actuator;

	leave(&ring, 5, 5, 0);
	command = command_of(7);
	ring.last_refused[3] =
		(struct fnx_act_key){.seq_plus_1 = 8, .sample_time = command.stamp.sample_time};
	actuator = log_with_ring(path, &ring);
	/* The same decision, made again at another time of day. */
	command = command_of(4);
	command.stamp.publish_ns = 99;
	assert_int_equal(fnx_team_give(actuator, &command), 0);
	command = command_of(7);
	assert_int_equal(fnx_team_give(actuator, &command), -ENOBUFS);
	command = command_of(8);
	assert_int_equal(fnx_team_give(actuator, &command), 0);
	/* Within one life it is for the giver to know. */
	assert_int_equal(fnx_team_give(actuator, &command), 0);
	await_fates(actuator, 7);
	assert_int_equal(counts_of(actuator).given, 7);
	fnx_team_close(actuator);
	assert_null(strstr(read_all(path), "seq=4 "));
	assert_non_null(strstr(read_all(path), "seq=8 "));
}

TEST(a_line_that_was_half_written_when_its_writer_was_killed_is_completed)
{
	static struct fnx_book ring;
	char line[FNX_ACTUATOR_LINE], before[FNX_ACTUATOR_LINE], expected[2 * FNX_ACTUATOR_LINE];
	const struct fnx_act_command command = command_of(1), earlier = command_of(0);
	uint32_t size = fnx_actuator_line(&command, line);

	fnx_actuator_line(&earlier, before);
	snprintf(expected, sizeof(expected), "%s%s", before, line);
	for (uint32_t written = 0; written <= size; written++) {
		const char *path = scratch("half");
		struct fnx_team *actuator;
		FILE *file = fopen(path, "w");

		fprintf(file, "%s%.*s", before, (int)written, line);
		fclose(file);
		leave(&ring, 2, 1, 1);
		actuator = log_with_ring(path, &ring);
		assert_int_equal(counts_of(actuator).fates[FNX_OUTCOME_TOLD], 2);
		assert_int_equal(counts_of(actuator).fates[FNX_OUTCOME_UNKNOWN], 0);
		fnx_team_close(actuator);
		assert_string_equal(read_all(path), expected);
	}
}

TEST(a_plain_log_gets_the_lines_that_its_writer_did_not_live_to_write)
{
	static struct fnx_book ring;
	const char *path = scratch("late");
	struct fnx_team *actuator;
	char line[FNX_ACTUATOR_LINE];

	leave(&ring, 5, 2, 0);
	actuator = log_with_ring(path, &ring);
	await_fates(actuator, 5);
	assert_int_equal(counts_of(actuator).fates[FNX_OUTCOME_LOST], 0);
	fnx_team_close(actuator);
	for (uint32_t i = 0; i < 5; i++) {
		const struct fnx_act_command command = command_of(i);

		fnx_actuator_line(&command, line);
		assert_int_equal(strstr(read_all(path), line) != NULL, i >= 2);
	}
}

/* A device, say: what comes late is worse than what does not come. */
TEST(what_is_no_plain_log_is_told_nothing_late_and_nothing_twice)
{
	static struct fnx_book ring;
	const char *path = scratch("device");
	struct fnx_actuator_counts counts;
	struct fnx_team *actuator;
	char byte;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK);
	leave(&ring, 5, 2, 1);
	actuator = log_with_ring(path, &ring);
	counts = counts_of(actuator);
	assert_int_equal(counts.fates[FNX_OUTCOME_UNKNOWN], 1);
	assert_int_equal(counts.fates[FNX_OUTCOME_LOST], 2);
	assert_int_equal(counts.fates[FNX_OUTCOME_TOLD], 2);
	fnx_team_close(actuator);
	assert_int_equal(read(fd, &byte, 1), -1);
	close(fd);
	unlink(path);
}

TEST(a_ring_of_any_bytes_is_taken_over_or_begun_anew)
{
	struct check_random random = check_random_seeded();
	static struct fnx_book ring;

	for (int round = 0; round < 200; round++) {
		const char *path = scratch("any");
		struct fnx_team *actuator;
		uint64_t given;

		for (size_t i = 0; i < sizeof(ring); i++)
			((unsigned char *)&ring)[i] = (unsigned char)check_random_u64(&random);
		if (round % 2) {
			atomic_store(&ring.given, check_random_below(&random, 200));
			atomic_store(&ring.reported, check_random_below(&random, 200));
			for (unsigned i = 0; i < FNX_BOOK_ACTS; i++)
				ring.acts[i].state = (uint32_t)check_random_below(&random, 11);
		}
		given = ring.given;
		actuator = log_with_ring(path, &ring);
		give(actuator, 1000); /* once there is room */
		assert_true(ring.given == given + 1);
		fnx_team_close(actuator);
		assert_true(ring.ended == given + 1);
		unlink(path);
	}
}

/* Its thread came back at that moment, and had the next act in hand before those that wait were taken
 * out of the queue. */
TEST(an_act_that_reaches_a_worker_which_was_just_given_up_has_expired)
{
	const struct fnx_actuator_config config = {
		.type = FNX_ACTUATOR_TYPE_LOG, .file = scratch("given_up")};
	struct fnx_actuator_counts counts;
	struct fnx_actuator *actuator;
	uint64_t first, second, n;

	assert_int_equal(fnx_actuator_open(&config, &actuator), 0);
	for (uint32_t i = 0; i < 2; i++) {
		const struct fnx_act_command command = command_of(i);

		assert_int_equal(
			fnx_book_give(fnx_actuator_giver(actuator), &command, i ? &second : &first),
			0);
	}
	assert_int_equal(fnx_actuator_claim(actuator, first), 1);
	assert_int_equal(fnx_actuator_give_up(actuator, &n), 1);
	assert_int_equal(n, first);
	assert_int_equal(fnx_actuator_actuate(actuator, second), -ECANCELED);
	counts = fnx_actuator_counts(actuator);
	assert_int_equal(counts.fates[FNX_OUTCOME_UNKNOWN], 1);
	assert_int_equal(counts.fates[FNX_OUTCOME_EXPIRED], 1);
	assert_int_equal(fnx_book_is_idle(fnx_actuator_giver(actuator)->book), 1);
	fnx_actuator_close(actuator);
}
