/* SPDX-License-Identifier: BSD-3-Clause */
/* Several actuators: one that hangs is nobody else's matter. */
#include "nodes/dispatch/team.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/unit/dispatch/team_fixture.h"

enum {
	HANGS, /* a log to a pipe that is full */
	TOLD, /* a datagram */
	ASKED, /* a datagram, with a reply that never comes */
	N_ACTUATORS
};

struct world {
	char fifo[300], told[64], asked[64];
	int pipe_fd, told_fd, asked_fd;
	struct fnx_team *team;
	uint64_t n_given;
};

static int bind_udp(char *ret_endpoint)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(ret_endpoint, 64, "127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

static void fill(int fd)
{
	static const char bytes[4096];

	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void begin(struct world *world, uint32_t timeout_ms)
{
	struct fnx_team_config config = {.n_actuators = N_ACTUATORS};
	struct fnx_task_problem problem;
	uint32_t fault;

	memset(world, 0, sizeof(*world));
	snprintf(world->fifo, sizeof(world->fifo), "%s/fifo", check_scratch_dir());
	unlink(world->fifo);
	assert_int_equal(mkfifo(world->fifo, 0600), 0);
	world->pipe_fd = open(world->fifo, O_RDWR | O_NONBLOCK);
	assert_true(world->pipe_fd >= 0);
	fill(world->pipe_fd);
	world->told_fd = bind_udp(world->told);
	world->asked_fd = bind_udp(world->asked);
	config.actuators = (struct fnx_actuator_config[]){
		[HANGS] = {.type = FNX_ACTUATOR_TYPE_LOG, .file = world->fifo},
		[TOLD] = {.type = FNX_ACTUATOR_TYPE_UDP, .endpoint = world->told, .text = "T"},
		[ASKED] = {.type = FNX_ACTUATOR_TYPE_UDP,
			.endpoint = world->asked,
			.text = "A",
			.reply = 1,
			.timeout_ms = timeout_ms},
	};
	assert_int_equal(fnx_team_open(&config, &problem, &fault, &world->team), 0);
}

static struct fnx_book *book(struct world *world, uint32_t i)
{
	return fnx_actuator_giver(fnx_team_actuator(world->team, i))->book;
}

static uint64_t n_fate(struct world *world, uint32_t i, enum fnx_outcome_fate fate)
{
	return book(world, i)->fates[fate];
}

static void take_all(struct world *world)
{
	struct fnx_outcome outcome;

	for (uint32_t i = 0; i < N_ACTUATORS; i++)
		while (fnx_book_next(book(world, i), i, &outcome)) {
			fnx_book_reporting(book(world, i), 0);
			fnx_book_reported(book(world, i));
		}
}

static int give(struct world *world)
{
	const struct fnx_act_command command = {
		.stamp = {.seq = world->n_given}, .decision = {.rule_name = "r"}};

	world->n_given++;
	return fnx_team_give(world->team, &command);
}

static void let_go(struct world *world)
{
	static char bytes[1 << 16];

	while (read(world->pipe_fd, bytes, sizeof(bytes)) > 0)
		;
}

static void end(struct world *world)
{
	/* What is in the pipe must go, or the thread would never come back. */
	int64_t until = end_of_patience();

	while (fnx_team_is_busy(world->team) ||
		fnx_actuator_is_stuck(fnx_team_actuator(world->team, HANGS))) {
		assert_true(now_ns() < until);
		let_go(world);
		take_all(world);
		fnx_team_tend(world->team, now_ns());
		sched_yield();
	}
	fnx_team_close(world->team);
	close(world->pipe_fd);
	close(world->told_fd);
	close(world->asked_fd);
}

TEST(what_needs_no_waiting_is_told_before_give_returns_whoever_else_hangs)
{
	struct world world;
	char byte;

	begin(&world, 3000);
	for (uint64_t i = 0; i < 40; i++) {
		assert_int_equal(give(&world), 0);
		assert_int_equal(recv(world.told_fd, &byte, 1, MSG_DONTWAIT), 1);
		assert_true(n_fate(&world, TOLD, FNX_OUTCOME_TOLD) == i + 1);
		/* That one was told at once, too; the answer is waited for elsewhere. */
		assert_int_equal(recv(world.asked_fd, &byte, 1, MSG_DONTWAIT), i ? -1 : 1);
		take_all(&world);
	}
	assert_true(n_fate(&world, HANGS, FNX_OUTCOME_TOLD) == 0);
	assert_true(n_fate(&world, ASKED, FNX_OUTCOME_TOLD) == 0);
	/* Nobody answers: what is waited for is given up with the rest. */
	fnx_task_help(fnx_team_runtime(world.team), 0);
	for (uint64_t i = 0; i < 2000; i++) {
		(void)!give(&world);
		take_all(&world);
	}
	assert_true(n_fate(&world, TOLD, FNX_OUTCOME_TOLD) == 2040);
	end(&world);
}

TEST(one_that_hangs_is_given_up_when_its_tasks_fill_the_ring_and_serves_again_when_it_returns)
{
	struct world world;
	int64_t until = end_of_patience();
	uint64_t n;

	begin(&world, 50);
	/* Only its own book refuses it. The others never hear of it. */
	for (n = 0; n_fate(&world, HANGS, FNX_OUTCOME_UNKNOWN) == 0; n++) {
		(void)!give(&world);
		take_all(&world);
		assert_true(n_fate(&world, TOLD, FNX_OUTCOME_TOLD) == n + 1);
		assert_true(n < 100000);
	}
	assert_int_equal(fnx_actuator_is_stuck(fnx_team_actuator(world.team, HANGS)), 1);
	assert_true(n_fate(&world, HANGS, FNX_OUTCOME_EXPIRED) == FNX_BOOK_ACTS - 1);
	n = n_fate(&world, HANGS, FNX_OUTCOME_FAILED);
	take_all(&world);
	(void)!give(&world);
	/* What it is given now fails at once. */
	assert_true(n_fate(&world, HANGS, FNX_OUTCOME_FAILED) == n + 1);
	while (fnx_actuator_is_stuck(fnx_team_actuator(world.team, HANGS))) {
		assert_true(now_ns() < until);
		let_go(&world);
		fnx_team_tend(world.team, now_ns());
		sched_yield();
	}
	let_go(&world);
	take_all(&world);
	(void)!give(&world);
	while (!n_fate(&world, HANGS, FNX_OUTCOME_TOLD)) {
		assert_true(now_ns() < until);
		sched_yield();
	}
	assert_true(n_fate(&world, HANGS, FNX_OUTCOME_UNKNOWN) == 1);
	end(&world);
}

TEST(one_that_takes_longer_than_its_time_out_explains_is_given_up)
{
	struct world world;
	int64_t until = end_of_patience();

	begin(&world, 60000);
	assert_int_equal(give(&world), 0);
	fnx_team_tend(world.team, now_ns() + 60 * INT64_C(1000000000));
	assert_true(n_fate(&world, ASKED, FNX_OUTCOME_UNCONFIRMED) == 0);
	fnx_team_tend(world.team, now_ns() + 62 * INT64_C(1000000000));
	/* It had been told. */
	assert_true(n_fate(&world, ASKED, FNX_OUTCOME_UNCONFIRMED) == 1);
	/* A log may take its time. */
	assert_true(n_fate(&world, HANGS, FNX_OUTCOME_UNKNOWN) == 0);
	assert_true(now_ns() < until);
	/* The answer that comes late is nobody's: the thread returns, and is there again. */
	{
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		char byte;

		assert_int_equal(
			recvfrom(world.asked_fd, &byte, 1, 0, (struct sockaddr *)&from, &size), 1);
		assert_int_equal(
			sendto(world.asked_fd, "x", 1, 0, (struct sockaddr *)&from, size), 1);
	}
	while (fnx_actuator_is_stuck(fnx_team_actuator(world.team, ASKED))) {
		assert_true(now_ns() < until);
		fnx_team_tend(world.team, now_ns());
		sched_yield();
	}
	assert_true(n_fate(&world, ASKED, FNX_OUTCOME_TOLD) == 0);
	end(&world);
}

/* All that a rehearsal sends goes to this process itself. */
TEST(a_rehearsal_ends_as_if_told_and_is_not_heard_where_the_actuator_listens)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	char endpoint[64], bytes[64];
	const struct fnx_actuator_config actuator = {
		.type = FNX_ACTUATOR_TYPE_UDP, .endpoint = endpoint, .text = "T{task}"};
	const struct fnx_actuator_config nobody = {
		.type = FNX_ACTUATOR_TYPE_STAGE, .text = "T{task}", .echoes = 1};
	const struct fnx_team_config config = {.actuators = &actuator, .n_actuators = 1};
	const struct fnx_team_config staged = {
		.actuators = &nobody, .n_actuators = 1, .window = FNX_TASK_WINDOW_MIN};
	struct fnx_act_command command = {
		.stamp = {.seq = 7}, .decision = {.task = 5, .outcome = FNX_DECISION_ACTED}};
	struct fnx_task_problem problem;
	struct fnx_team *team, *stage;
	struct fnx_task_stats stats;
	uint32_t fault;

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%d", ntohs(at.sin_port));
	assert_int_equal(fnx_team_open(&config, &problem, &fault, &team), 0);
	assert_int_equal(fnx_team_open(&staged, &problem, &fault, &stage), 0);
	for (unsigned i = 0; i < 1000; i++) {
		/* As if a second had passed. */
		command.stamp.publish_ns += INT64_C(1000000000);
		fnx_team_decide(stage, &command, sizeof(command));
		fnx_team_rehearse(stage, &command);
		fnx_team_fetch(team);
	}
	assert_true(
		fnx_actuator_counts(fnx_team_actuator(stage, 0)).fates[FNX_OUTCOME_TOLD] == 1000);
	fnx_task_stats(fnx_team_runtime(team), &stats);
	assert_true(stats.n_submitted == 0);
	fnx_team_close(stage);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(fnx_actuator_counts(fnx_team_actuator(team, 0)).given == 0);
	fnx_team_decide(team, &command, sizeof(command));
	assert_int_equal(fnx_team_give(team, &command), 0);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 2);
	assert_memory_equal(bytes, "T5", 2);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), -1);
	fnx_team_close(team);
	close(fd);
}
