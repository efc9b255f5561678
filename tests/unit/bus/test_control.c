/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/control.h"

#include "tests/unit/bus/bus_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <zmq.h>

#include "bus/context.h"
#include "bus/presence.h"

/* A node that answers each request with itself, turned around; "stop" ends it. */
static void serve(struct fnx_control *control, int ready_fd)
{
	if (ready_fd >= 0)
		child_ready(ready_fd);
	for (;;) {
		static unsigned char reply[FNX_CONTROL_BODY_MAX];
		const void *body;
		size_t size;
		int r;

		while ((r = fnx_control_take(control, &body, &size)) == 1) {
			const unsigned char *bytes = body;

			if (size == 4 && memcmp(body, "mute", 4) == 0)
				continue;
			for (size_t i = 0; i < size; i++)
				reply[i] = bytes[size - 1 - i];
			if (fnx_control_reply(control, reply, size) != 0)
				return;
			if (size == 4 && memcmp(body, "stop", 4) == 0)
				return;
		}
		if (r < 0 || !wait_readable(fnx_control_fd(control), 2 * CHECK_PATIENCE_MS))
			return;
	}
}

struct server {
	struct fnx_control *control;
	pthread_t thread;
};

static void *server_thread(void *argument)
{
	serve(argument, -1);
	return NULL;
}

static struct server server_start(const struct fnx_bus *bus)
{
	struct server server;

	assert_int_equal(fnx_control_open(bus, "node", &server.control), 0);
	assert_int_equal(pthread_create(&server.thread, NULL, server_thread, server.control), 0);
	return server;
}

/* The reply to "stop" may be lost with the socket: what matters is that the server has ended. */
static uint64_t server_stop(const struct fnx_bus *bus, struct server *server)
{
	char reply[8];
	size_t size;
	uint64_t n_dropped;

	(void)!fnx_control_request(
		bus, "node", "stop", 4, CHECK_PATIENCE_MS, reply, sizeof(reply), &size);
	pthread_join(server->thread, NULL);
	n_dropped = fnx_control_dropped(server->control);
	assert_null(fnx_control_close(server->control));
	return n_dropped;
}

static int ask(const struct fnx_bus *bus, const char *text, char *ret_reply, size_t reply_size)
{
	size_t size = 0;
	int r = fnx_control_request(bus, "node", text, strlen(text), CHECK_PATIENCE_MS, ret_reply,
		reply_size - 1, &size);

	if (r == 0)
		ret_reply[size] = 0;
	return r;
}

TEST(a_request_is_answered)
{
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);
	char reply[16];

	assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), 0);
	assert_string_equal(reply, "cba");
	assert_int_equal(ask(&bus, "", reply, sizeof(reply)), 0);
	assert_string_equal(reply, "");
	assert_int_equal(server_stop(&bus, &server), 0);
}

TEST(bodies_of_every_size_up_to_the_limit_pass_and_beyond_it_are_refused)
{
	static unsigned char body[FNX_CONTROL_BODY_MAX + 1], reply[FNX_CONTROL_BODY_MAX];
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);

	for (int i = 0; i < 100; i++) {
		size_t size = i == 0 ? FNX_CONTROL_BODY_MAX
				     : check_random_below(&random, FNX_CONTROL_BODY_MAX + 1);
		size_t size_back = 0;

		for (size_t k = 0; k < size; k++)
			body[k] = (unsigned char)check_random_u64(&random);
		assert_int_equal(fnx_control_request(&bus, "node", body, size, CHECK_PATIENCE_MS,
					 reply, sizeof(reply), &size_back),
			0);
		assert_int_equal(size_back, size);
		for (size_t k = 0; k < size; k++)
			assert_int_equal(reply[k], body[size - 1 - k]);
	}
	assert_int_equal(fnx_control_request(&bus, "node", body, sizeof(body), CHECK_PATIENCE_MS,
				 reply, sizeof(reply), &(size_t){0}),
		-E2BIG);
	server_stop(&bus, &server);
}

TEST(a_reply_that_does_not_fit_tells_its_size_and_writes_nothing)
{
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);
	char reply[8] = "1234567";
	size_t size = 0;

	assert_int_equal(fnx_control_request(&bus, "node", "123456789", 9, CHECK_PATIENCE_MS, reply,
				 sizeof(reply), &size),
		-EMSGSIZE);
	assert_int_equal(size, 9);
	assert_string_equal(reply, "1234567");
	server_stop(&bus, &server);
}

TEST(a_node_that_is_not_there_is_said_at_once_and_one_that_is_mute_in_time)
{
	struct fnx_bus bus = fixture_bus();
	struct server server;
	char reply[8];
	size_t size = 0;
	int64_t start = fixture_now_ns();
	int before = n_descriptors();

	assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), -ENOENT);
	assert_true(fixture_now_ns() - start < AT_ONCE_NS);
	assert_int_equal(fnx_control_request(&bus, "a/b", "", 0, 1, reply, 8, &size), -EINVAL);
	assert_int_equal(n_descriptors(), before);

	server = server_start(&bus);
	start = fixture_now_ns();
	assert_int_equal(
		fnx_control_request(&bus, "node", "mute", 4, 50, reply, 8, &size), -ETIMEDOUT);
	assert_true(fixture_now_ns() - start >= 45000000);
	assert_true(fixture_now_ns() - start < AT_ONCE_NS);
	assert_int_equal(
		fnx_control_request(&bus, "node", "mute", 4, 0, reply, 8, &size), -ETIMEDOUT);
	assert_int_equal(
		fnx_control_request(&bus, "node", "mute", 4, -1, reply, 8, &size), -EINVAL);
	assert_int_equal(size, 0);
	/* And the late never disturb the next. */
	assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), 0);
	assert_string_equal(reply, "cba");
	server_stop(&bus, &server);
	assert_int_equal(n_descriptors(), before);
}

static int serve_process(const struct fnx_bus *bus, int ready_fd)
{
	struct fnx_control *control;

	if (fnx_control_open(bus, "node", &control) < 0)
		return 1;
	serve(control, ready_fd);
	fnx_control_close(control);
	return 0;
}

TEST(the_socket_of_a_killed_node_times_out_and_its_successor_answers)
{
	struct fnx_bus bus = fixture_bus();
	char reply[8];
	size_t size;

	for (int i = 0; i < 10; i++) {
		struct child child = child_start(serve_process, &bus);

		child_await(&child);
		assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), 0);
		assert_string_equal(reply, "cba");
		assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
		assert_int_equal(
			fnx_control_request(&bus, "node", "x", 1, 20, reply, 8, &size), -ETIMEDOUT);
	}
}

static void *ask_and_keep(void *argument)
{
	char reply[8] = "";

	return ask(argument, "abc", reply, sizeof(reply)) == 0 && strcmp(reply, "cba") == 0
		? argument
		: NULL;
}

TEST(a_request_made_while_a_node_is_being_restarted_is_answered_by_the_new_one)
{
	struct fnx_bus bus = fixture_bus();
	struct child child = child_start(serve_process, &bus);

	child_await(&child);
	assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
	/* First beside the socket of the dead, then, since a close removes it, beside none at all.
	 */
	for (int i = 0; i < 20; i++) {
		struct fnx_presence presence;
		struct server server;
		pthread_t thread;
		void *answered;

		assert_int_equal(fnx_presence_claim(&bus, "node", &presence, NULL), 0);
		assert_int_equal(pthread_create(&thread, NULL, ask_and_keep, &bus), 0);
		server = server_start(&bus);
		pthread_join(thread, &answered);
		assert_non_null(answered);
		server_stop(&bus, &server);
		fnx_presence_drop(&presence);
	}
}

TEST(a_closed_control_can_be_opened_again_at_once_and_leaves_no_file)
{
	struct fnx_bus bus = fixture_bus();
	int before = n_descriptors();
	char reply[8];
	void *other;

	/* Another socket keeps the context alive, so that its threads end things at their leisure.
	 */
	assert_int_equal(fnx_context_socket(ZMQ_PULL, &other), 0);
	for (int i = 0; i < 100; i++) {
		struct server server = server_start(&bus);

		assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), 0);
		server_stop(&bus, &server);
		if (i % 2)
			assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), -ENOENT);
	}
	fnx_context_close(other);
	assert_int_equal(n_descriptors(), before);
	assert_int_equal(rmdir(bus.run_dir), 0);
}

static void *ask_many(void *argument)
{
	char text[32], reply[32];

	for (int i = 0; i < 50; i++) {
		size_t size;

		snprintf(text, sizeof(text), "%d.%d", (int)gettid(), i);
		if (ask(argument, text, reply, sizeof(reply)) != 0)
			return argument;
		size = strlen(text);
		for (size_t k = 0; k < size; k++) {
			if (reply[k] != text[size - 1 - k])
				return argument;
		}
	}
	return NULL;
}

TEST(clients_in_many_threads_get_their_own_answers)
{
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);
	pthread_t threads[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &bus), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	server_stop(&bus, &server);
}

TEST(a_reply_without_a_request_is_refused)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_control *control;
	const void *body = NULL;
	size_t size = 0;

	assert_int_equal(fnx_control_open(&bus, "node", &control), 0);
	assert_int_equal(fnx_control_reply(control, "x", 1), -EINVAL);
	assert_int_equal(fnx_control_take(control, &body, &size), 0);
	assert_null(body);
	assert_int_equal(fnx_control_reply(control, "x", 1), -EINVAL);
	fnx_control_close(control);
	fnx_control_close(NULL);
}

/* Strangers
 * ------------------------------------------------------------------------------------------ */

static void *stranger(void *context, int type, const struct fnx_bus *bus)
{
	void *socket = zmq_socket(context, type);
	char endpoint[160];

	snprintf(endpoint, sizeof(endpoint), "ipc://%s/node.ctl", bus->run_dir);
	assert_int_equal(zmq_setsockopt(socket, ZMQ_LINGER, &(int){0}, sizeof(int)), 0);
	assert_int_equal(
		zmq_setsockopt(socket, ZMQ_RCVTIMEO, &(int){CHECK_PATIENCE_MS}, sizeof(int)), 0);
	assert_int_equal(zmq_connect(socket, endpoint), 0);
	return socket;
}

TEST(only_the_request_taken_last_can_be_answered_and_only_once)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_control *control;
	void *context = zmq_ctx_new(), *socket;
	const void *body;
	size_t size;

	assert_int_equal(fnx_control_open(&bus, "node", &control), 0);
	socket = stranger(context, ZMQ_DEALER, &bus);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(zmq_send(socket, "abc", 3, 0), 3);
		while (fnx_control_take(control, &body, &size) == 0)
			assert_true(wait_readable(fnx_control_fd(control), CHECK_PATIENCE_MS));
		assert_int_equal(size, 3);
		if (i == 0)
			assert_int_equal(fnx_control_reply(control, body, size), 0);
		else
			assert_int_equal(fnx_control_take(control, &body, &size), 0);
		assert_int_equal(fnx_control_reply(control, "x", 1), -EINVAL);
	}
	zmq_close(socket);
	zmq_ctx_term(context);
	fnx_control_close(control);
}

TEST(a_plain_req_socket_is_answered_too)
{
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);
	void *context = zmq_ctx_new();
	void *socket = stranger(context, ZMQ_REQ, &bus);
	char reply[8] = "";

	for (int i = 0; i < 3; i++) {
		assert_int_equal(zmq_send(socket, "abc", 3, 0), 3);
		assert_int_equal(zmq_recv(socket, reply, sizeof(reply), 0), 3);
		assert_string_equal(reply, "cba");
	}
	zmq_close(socket);
	zmq_ctx_term(context);
	assert_int_equal(server_stop(&bus, &server), 0);
}

TEST(huge_bodies_and_many_parts_are_dropped_and_counted_and_the_next_request_is_answered)
{
	static unsigned char huge[FNX_CONTROL_BODY_MAX + 1];
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);
	void *context = zmq_ctx_new();
	void *socket = stranger(context, ZMQ_DEALER, &bus);
	char reply[8] = "";

	for (int i = 0; i < 100; i++) {
		int n_parts = 2 + (int)check_random_below(&random, 9);

		assert_int_equal(zmq_send(socket, huge, sizeof(huge), 0), sizeof(huge));
		/* The first part is not empty, so that none of these looks like a REQ's. */
		for (int part = 0; part < n_parts; part++) {
			size_t size = 1 + check_random_below(&random, 200);

			assert_int_equal(
				zmq_send(socket, huge, size, part < n_parts - 1 ? ZMQ_SNDMORE : 0),
				size);
		}
		assert_int_equal(zmq_send(socket, "", 0, ZMQ_SNDMORE), 0);
		assert_int_equal(zmq_send(socket, "a", 1, ZMQ_SNDMORE), 1);
		assert_int_equal(zmq_send(socket, "b", 1, 0), 1);
	}
	assert_int_equal(zmq_send(socket, "abc", 3, 0), 3);
	assert_int_equal(zmq_recv(socket, reply, sizeof(reply), 0), 3);
	assert_string_equal(reply, "cba");
	zmq_close(socket);
	zmq_ctx_term(context);
	assert_int_equal(server_stop(&bus, &server), 300);
}

TEST(bytes_that_are_no_zeromq_and_clients_that_never_read_do_not_disturb_the_others)
{
	struct check_random random = check_random_seeded();
	struct fnx_bus bus = fixture_bus();
	struct server server = server_start(&bus);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	void *context = zmq_ctx_new();
	void *deaf = stranger(context, ZMQ_DEALER, &bus);
	static unsigned char junk[100000];
	char reply[8];

	assert_int_equal(fnx_bus_path(bus.run_dir, "node", ".ctl", address.sun_path,
				 sizeof(address.sun_path)),
		0);
	zmq_setsockopt(deaf, ZMQ_RCVHWM, &(int){1}, sizeof(int));
	for (int i = 0; i < 100; i++) {
		size_t size = 1 + check_random_below(&random, sizeof(junk));
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		for (size_t k = 0; k < size; k++)
			junk[k] = (unsigned char)check_random_u64(&random);
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_true(send(fd, junk, size, MSG_NOSIGNAL) > 0);
		close(fd);
		for (int k = 0; k < 20; k++)
			zmq_send(deaf, junk, 10000, ZMQ_DONTWAIT);
		assert_int_equal(ask(&bus, "abc", reply, sizeof(reply)), 0);
		assert_string_equal(reply, "cba");
	}
	zmq_close(deaf);
	zmq_ctx_term(context);
	server_stop(&bus, &server);
}

TEST(what_cannot_be_opened_is_said_and_costs_no_descriptor)
{
	struct fnx_bus bus = fixture_bus(), none = bus, file = bus, longer = bus;
	struct fnx_control *control;
	char path[256], reply[8];
	size_t size;
	int before = n_descriptors(), opened = 0;

	strcat(none.run_dir, "none");
	memset(longer.run_dir, 'd', sizeof(longer.run_dir) - 1);
	longer.run_dir[0] = '/';
	assert_int_equal(fnx_control_open(&none, "node", &control), -ENOENT);
	assert_int_equal(fnx_control_open(&longer, "a-node-with-a-rather-long-name", &control),
		-ENAMETOOLONG);
	assert_int_equal(fnx_control_request(&longer, "a-node-with-a-rather-long-name", "", 0, 1,
				 reply, 8, &size),
		-ENAMETOOLONG);
	assert_int_equal(fnx_control_open(&bus, "", &control), -EINVAL);
	assert_int_equal(fnx_bus_path(bus.run_dir, "node", ".ctl", path, sizeof(path)), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(fnx_control_open(&bus, "node", &control), -EEXIST);
	strcat(file.run_dir, "/node.ctl");
	assert_int_equal(fnx_control_open(&file, "node", &control), -ENOTDIR);
	assert_int_equal(fnx_control_request(&file, "node", "", 0, 1, reply, 8, &size), -ENOTDIR);
	unlink(path);
	for (int n = 0; n < 40; n++) {
		struct rlimit limit = limit_descriptors(n);
		int r = fnx_control_open(&bus, "node", &control);

		if (r == 0) {
			opened++;
			fnx_control_close(control);
		}
		lift_limit(&limit);
		assert_true(r == 0 || r == -EMFILE);
		assert_int_equal(n_descriptors(), before);
	}
	assert_true(opened > 0);
}
