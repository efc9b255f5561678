/* SPDX-License-Identifier: BSD-3-Clause */
/* Actuators outside, each against a peer of the test's own: a UDP socket, a pseudo terminal, and a
 * Trodes that consists of a central server and its hardware service. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "schemas/trodes.h"
#include "tests/support/check.h"
#include "tests/unit/dispatch/team_fixture.h"

static void give_until(struct fnx_team *actuator, uint32_t task, int64_t expires_ns)
{
	static uint64_t seq;
	const struct fnx_act_command command = {.stamp = {.seq = seq++},
		.decision = {.task = task, .cause_publish_ns = now_ns(), .rule_name = "r"},
		.expires_ns = expires_ns};

	assert_int_equal(fnx_team_give(actuator, &command), 0);
}

static void give(struct fnx_team *actuator, uint32_t task)
{
	give_until(actuator, task, 0);
}

/* udp ------------------------------------------------------------------------------------- */

static int bind_udp(char *ret_endpoint)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	sprintf(ret_endpoint, "127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

static ssize_t receive(int fd, char *bytes, size_t size, struct sockaddr_in *ret_from)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};
	socklen_t from_size = sizeof(*ret_from);

	assert_int_equal(poll(&item, 1, CHECK_PATIENCE_MS), 1);
	return recvfrom(fd, bytes, size, 0, (struct sockaddr *)ret_from, &from_size);
}

/* Sends T and the task's number, and waits so long for an answer. */
static struct fnx_team *open_asking(const char *endpoint, uint32_t timeout_ms)
{
	return open_team(&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_UDP,
		.endpoint = endpoint,
		.text = "T{task}",
		.reply = 1,
		.timeout_ms = timeout_ms});
}

TEST(a_datagram_bears_the_number_of_the_task)
{
	char endpoint[64], bytes[100];
	int fd = bind_udp(endpoint);
	struct fnx_team *actuator = open_team(&(struct fnx_actuator_config){
		.type = FNX_ACTUATOR_TYPE_UDP, .endpoint = endpoint, .text = "T{task}!"});
	struct sockaddr_in from;

	give(actuator, 14);
	assert_int_equal(receive(fd, bytes, sizeof(bytes), &from), 4);
	assert_memory_equal(bytes, "T14!", 4);
	assert_int_equal(await_fates(actuator, 1).fates[FNX_OUTCOME_TOLD], 1);
	fnx_team_close(actuator);
	close(fd);
}

TEST(a_datagram_without_text_is_the_decision)
{
	static struct fnx_layout layout;
	struct fnx_codec_decoder *decoder;
	struct fnx_decision decision;
	struct fnx_codec_stamp stamp;
	char endpoint[64], bytes[4096];
	int fd = bind_udp(endpoint);
	struct fnx_team *actuator = open_team(
		&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_UDP, .endpoint = endpoint});
	struct sockaddr_in from;
	ssize_t n;

	give(actuator, 15);
	n = receive(fd, bytes, sizeof(bytes), &from);
	assert_true(n > 0);
	assert_int_equal(fnx_layout_init(&layout, &fnx_decision_schema, NULL), 0);
	assert_int_equal(fnx_codec_decoder_new(&decoder), 0);
	assert_int_equal(
		fnx_codec_decode(&layout, decoder, bytes, (size_t)n, &stamp, &decision), 0);
	assert_int_equal(decision.task, 15);
	fnx_codec_decoder_free(decoder);
	fnx_team_close(actuator);
	close(fd);
}

TEST(with_reply_a_datagram_counts_once_it_is_answered)
{
	char endpoint[64], bytes[100];
	int fd = bind_udp(endpoint);
	struct fnx_team *actuator = open_asking(endpoint, 60000);
	struct sockaddr_in from;

	give(actuator, 1);
	assert_int_equal(receive(fd, bytes, sizeof(bytes), &from), 2);
	assert_int_equal(counts_of(actuator).fates[FNX_OUTCOME_TOLD], 0);
	assert_int_equal(sendto(fd, "ok", 2, 0, (struct sockaddr *)&from, sizeof(from)), 2);
	assert_int_equal(await_fates(actuator, 1).fates[FNX_OUTCOME_TOLD], 1);
	fnx_team_close(actuator);
	close(fd);
}

TEST(a_datagram_that_nobody_answers_is_unconfirmed)
{
	char endpoint[64];
	int fd = bind_udp(endpoint);
	struct fnx_team *actuator = open_asking(endpoint, 20);
	struct fnx_actuator_counts counts;

	give(actuator, 1);
	counts = await_fates(actuator, 1);
	assert_int_equal(counts.fates[FNX_OUTCOME_UNCONFIRMED], 1);
	assert_int_equal(counts.fates[FNX_OUTCOME_TOLD], 0);
	close(fd);
	/* Nobody is there any more: that is known. */
	give(actuator, 2);
	assert_int_equal(await_fates(actuator, 2).fates[FNX_OUTCOME_FAILED], 1);
	fnx_team_close(actuator);
}

TEST(an_endpoint_that_is_none_is_refused)
{
	static const char *const endpoints[] = {"", "localhost", ":5", "127.0.0.1:", "[::1]:x"};
	struct fnx_team *actuator;

	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
		assert_int_equal(
			try_team(&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_UDP,
					 .endpoint = endpoints[i]},
				&actuator),
			-EINVAL);
}

/* serial ---------------------------------------------------------------------------------- */

static int open_pty(char *ret_device, size_t size)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(grantpt(fd) | unlockpt(fd), 0);
	assert_int_equal(ptsname_r(fd, ret_device, size), 0);
	return fd;
}

static unsigned char read_byte(int fd)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};
	unsigned char byte;

	assert_int_equal(poll(&item, 1, CHECK_PATIENCE_MS), 1);
	assert_int_equal(read(fd, &byte, 1), 1);
	return byte;
}

TEST(a_tty_gets_the_number_of_the_task_as_one_raw_byte)
{
	char device[100];
	int fd = open_pty(device, sizeof(device));
	struct fnx_team *actuator = open_team(
		&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_SERIAL, .device = device});
	static const uint32_t tasks[] = {1, 10, 13, 3, 0, 4, 26, 255};

	/* Line feeds, carriage returns, interrupts: to a tty that is not raw these are more. */
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
		give(actuator, tasks[i]);
		assert_int_equal(read_byte(fd), tasks[i]);
	}
	assert_int_equal(await_fates(actuator, 8).fates[FNX_OUTCOME_TOLD], 8);
	give(actuator, 256);
	assert_int_equal(await_fates(actuator, 9).fates[FNX_OUTCOME_FAILED], 1);
	fnx_team_close(actuator);
	close(fd);
}

TEST(with_reply_a_tty_counts_once_a_byte_has_come_back)
{
	char device[100];
	int fd = open_pty(device, sizeof(device));
	struct fnx_team *actuator =
		open_team(&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_SERIAL,
			.device = device,
			.reply = 1,
			.timeout_ms = 60000});

	assert_int_equal(write(fd, "x", 1), 1); /* of before: no answer to what comes */
	give(actuator, 7);
	assert_int_equal(read_byte(fd), 7);
	assert_int_equal(counts_of(actuator).fates[FNX_OUTCOME_TOLD], 0);
	assert_int_equal(write(fd, "k", 1), 1);
	assert_int_equal(await_fates(actuator, 1).fates[FNX_OUTCOME_TOLD], 1);
	fnx_team_close(actuator);
	close(fd);
}

TEST(a_tty_that_is_unplugged_fails_and_one_that_never_was_is_refused)
{
	struct fnx_team *actuator;
	char device[100];
	int fd = open_pty(device, sizeof(device));

	actuator = open_team(
		&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_SERIAL, .device = device});
	close(fd);
	give(actuator, 1);
	give(actuator, 2);
	assert_int_equal(await_fates(actuator, 2).fates[FNX_OUTCOME_FAILED], 2);
	fnx_team_close(actuator);
	assert_int_equal(try_team(&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_SERIAL,
					  .device = "/dev/none"},
				 &actuator),
		-ENOENT);
	assert_int_equal(try_team(&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_SERIAL,
					  .device = device,
					  .baud = 17},
				 &actuator),
		-EINVAL);
}

/* trodes ---------------------------------------------------------------------------------- */

struct trodes {
	void *context, *announcer, *central, *hardware;
	char address[100], central_endpoint[100], hardware_endpoint[100];
	pthread_t thread;
	_Atomic int stopping, hangs, registered;
	_Atomic uint32_t n_requests, function;
};

static void *bound(void *context, int type, char *ret_endpoint)
{
	void *socket = zmq_socket(context, type);
	size_t size = 100;
	int none = 0;

	assert_non_null(socket);
	zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
	assert_int_equal(zmq_bind(socket, "tcp://127.0.0.1:*"), 0);
	assert_int_equal(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, ret_endpoint, &size), 0);
	return socket;
}

/* {"replyEndpoint": ...}, written by hand: fixmap, fixstr, str 8. */
static void announce(struct trodes *trodes)
{
	unsigned char bytes[200] = "\x81\xadreplyEndpoint\xd9";
	size_t length = strlen(trodes->central_endpoint);

	bytes[16] = (unsigned char)length;
	memcpy(bytes + 17, trodes->central_endpoint, length);
	zmq_send(trodes->announcer, bytes, 17 + length, ZMQ_DONTWAIT);
}

static void answer_central(struct trodes *trodes)
{
	static const char expected[] = "\x83\xa3tag\xa3get\xa4name\xaftrodes.hardware"
				       "\xa8"
				       "endpoint\xa0";
	unsigned char bytes[200];
	size_t length = strlen(trodes->hardware_endpoint);
	int n = zmq_recv(trodes->central, bytes, sizeof(bytes), 0);

	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(bytes, expected, sizeof(expected) - 1);
	bytes[0] = 0xd9;
	bytes[1] = (unsigned char)length;
	memcpy(bytes + 2, trodes->hardware_endpoint, length);
	if (atomic_load(&trodes->registered))
		zmq_send(trodes->central, bytes, 2 + length, 0);
	else
		zmq_send(trodes->central, "\xa0", 1, 0);
}

static void answer_hardware(struct trodes *trodes)
{
	static const char expected[] = "\x93\xa3tag\xa8HRSCTrig\x81\xa2"
				       "fn";
	unsigned char bytes[200];
	int n = zmq_recv(trodes->hardware, bytes, sizeof(bytes), 0);

	/* The function is a small number: one byte. */
	assert_int_equal(n, sizeof(expected));
	assert_memory_equal(bytes, expected, sizeof(expected) - 1);
	atomic_store(&trodes->function, bytes[n - 1]);
	atomic_fetch_add(&trodes->n_requests, 1);
	while (atomic_load(&trodes->hangs) && !atomic_load(&trodes->stopping))
		sched_yield();
	zmq_send(trodes->hardware, "\xa7success", 8, 0);
}

static void *serve(void *self)
{
	struct trodes *trodes = self;

	while (!atomic_load(&trodes->stopping)) {
		zmq_pollitem_t items[] = {{.socket = trodes->central, .events = ZMQ_POLLIN},
			{.socket = trodes->hardware, .events = ZMQ_POLLIN}};

		announce(trodes);
		if (zmq_poll(items, 2, 20) <= 0)
			continue;
		if (items[0].revents)
			answer_central(trodes);
		if (items[1].revents)
			answer_hardware(trodes);
	}
	return NULL;
}

static void start_trodes(struct trodes *trodes)
{
	*trodes = (struct trodes){.registered = 1};
	trodes->context = zmq_ctx_new();
	trodes->announcer = bound(trodes->context, ZMQ_PUB, trodes->address);
	trodes->central = bound(trodes->context, ZMQ_REP, trodes->central_endpoint);
	trodes->hardware = bound(trodes->context, ZMQ_REP, trodes->hardware_endpoint);
	assert_int_equal(pthread_create(&trodes->thread, NULL, serve, trodes), 0);
}

static void stop_trodes(struct trodes *trodes)
{
	atomic_store(&trodes->stopping, 1);
	pthread_join(trodes->thread, NULL);
	zmq_close(trodes->announcer);
	zmq_close(trodes->central);
	zmq_close(trodes->hardware);
	zmq_ctx_term(trodes->context);
}

/* It is looked up between tasks: those that come before it was found fail. */
static uint64_t give_until_told(struct fnx_team *actuator, uint32_t task)
{
	struct fnx_actuator_counts counts = counts_of(actuator);
	uint64_t told = counts.fates[FNX_OUTCOME_TOLD];
	int64_t end = end_of_patience();

	do {
		uint64_t n = counts.given;

		give(actuator, task);
		counts = await_fates(actuator, n + 1);
		assert_true(now_ns() < end);
	} while (counts.fates[FNX_OUTCOME_TOLD] == told);
	return counts.given;
}

TEST(a_statescript_function_is_asked_of_the_service_that_the_central_server_names)
{
	struct fnx_team *actuator;
	struct trodes trodes;

	start_trodes(&trodes);
	actuator = open_team(&(struct fnx_actuator_config){
		.type = FNX_ACTUATOR_TYPE_TRODES, .endpoint = trodes.address, .timeout_ms = 5000});
	give_until_told(actuator, 14);
	assert_int_equal(atomic_load(&trodes.function), 14);
	assert_int_equal(atomic_load(&trodes.n_requests), 1);
	give_until_told(actuator, 15);
	assert_int_equal(atomic_load(&trodes.function), 15);
	assert_int_equal(atomic_load(&trodes.n_requests), 2);
	fnx_team_close(actuator);
	stop_trodes(&trodes);
}

TEST(a_service_that_is_not_registered_yet_is_found_later)
{
	struct fnx_team *actuator;
	struct trodes trodes;

	start_trodes(&trodes);
	atomic_store(&trodes.registered, 0);
	actuator = open_team(&(struct fnx_actuator_config){
		.type = FNX_ACTUATOR_TYPE_TRODES, .endpoint = trodes.address, .timeout_ms = 5000});
	give(actuator, 14);
	assert_int_equal(await_fates(actuator, 1).fates[FNX_OUTCOME_FAILED], 1);
	atomic_store(&trodes.registered, 1);
	give_until_told(actuator, 14);
	assert_int_equal(atomic_load(&trodes.n_requests), 1);
	fnx_team_close(actuator);
	stop_trodes(&trodes);
}

TEST(a_service_that_hangs_is_unconfirmed_holds_up_no_other_actuator_and_is_told_again_later)
{
	struct fnx_team *actuator, *log;
	struct trodes trodes;
	uint64_t n;
	char path[300];

	snprintf(path, sizeof(path), "%s/log", check_scratch_dir());
	start_trodes(&trodes);
	actuator = open_team(&(struct fnx_actuator_config){
		.type = FNX_ACTUATOR_TYPE_TRODES, .endpoint = trodes.address, .timeout_ms = 5000});
	n = give_until_told(actuator, 14);
	fnx_team_close(actuator);
	actuator = open_team(&(struct fnx_actuator_config){
		.type = FNX_ACTUATOR_TYPE_TRODES, .endpoint = trodes.address, .timeout_ms = 300});
	n = give_until_told(actuator, 14);
	log = open_team(&(struct fnx_actuator_config){.type = FNX_ACTUATOR_TYPE_LOG, .file = path});
	atomic_store(&trodes.hangs, 1);
	give(actuator, 16);
	give(log, 16);
	assert_int_equal(await_fates(log, 1).fates[FNX_OUTCOME_TOLD], 1);
	assert_int_equal(await_fates(actuator, n + 1).fates[FNX_OUTCOME_UNCONFIRMED], 1);
	atomic_store(&trodes.hangs, 0);
	give_until_told(actuator, 17);
	assert_int_equal(atomic_load(&trodes.function), 17);
	fnx_team_close(log);
	fnx_team_close(actuator);
	stop_trodes(&trodes);
}

TEST(no_bytes_from_a_central_server_do_harm)
{
	struct check_random random = check_random_seeded();
	char endpoint[FNX_TRODES_ENDPOINT_MAX];
	unsigned char bytes[300];

	for (int i = 0; i < 200000; i++) {
		size_t size = check_random_below(&random, sizeof(bytes));
		unsigned char *exact = malloc(size ? size : 1);

		assert_non_null(exact);
		for (size_t k = 0; k < size; k++)
			exact[k] = (unsigned char)check_random_u64(&random);
		if (size > 2 && i % 2) {
			exact[0] = i % 4 == 1 ? 0xd9 : 0x81;
			exact[1] = (unsigned char)(size - 2);
		}
		if (!fnx_trodes_decode_endpoint(exact, size, endpoint) ||
			!fnx_trodes_decode_announcement(exact, size, endpoint))
			assert_true(strlen(endpoint) < sizeof(endpoint));
		free(exact);
	}
	assert_int_equal(fnx_trodes_decode_endpoint("\xa0", 1, endpoint), -ENOENT);
	assert_int_equal(fnx_trodes_decode_endpoint("\xa3tcp", 4, endpoint), 0);
	assert_string_equal(endpoint, "tcp");
	assert_int_equal(fnx_trodes_decode_endpoint("\xa3tc", 3, endpoint), -EBADMSG);
}

/* Coming too late ------------------------------------------------------------------------- */

TEST(a_command_whose_time_is_over_is_not_carried_out_and_counted)
{
	char endpoint[64], bytes[100];
	int fd = bind_udp(endpoint);
	struct fnx_team *actuator = open_team(&(struct fnx_actuator_config){
		.type = FNX_ACTUATOR_TYPE_UDP, .endpoint = endpoint, .text = "T{task}"});
	struct sockaddr_in from;

	give_until(actuator, 1, now_ns() - 1);
	give_until(actuator, 2, end_of_patience());
	assert_int_equal(receive(fd, bytes, sizeof(bytes), &from), 2);
	assert_memory_equal(bytes, "T2", 2);
	assert_int_equal(await_fates(actuator, 2).fates[FNX_OUTCOME_EXPIRED], 1);
	fnx_team_close(actuator);
	close(fd);
}

TEST(what_waited_behind_one_that_hung_is_not_carried_out_late)
{
	char endpoint[64], bytes[100];
	int fd = bind_udp(endpoint);
	struct fnx_team *actuator = open_asking(endpoint, 300);
	struct fnx_actuator_counts counts;
	struct sockaddr_in from;

	give(actuator, 1);
	for (uint32_t i = 0; i < 20; i++)
		give_until(actuator, 2, now_ns() + 1000000);
	counts = await_fates(actuator, 21);
	assert_int_equal(counts.fates[FNX_OUTCOME_UNCONFIRMED], 1);
	assert_int_equal(counts.fates[FNX_OUTCOME_EXPIRED], 20);
	assert_int_equal(receive(fd, bytes, sizeof(bytes), &from), 2);
	assert_memory_equal(bytes, "T1", 2);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	fnx_team_close(actuator);
	close(fd);
}
