/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/push.h"

#include "tests/unit/bus/bus_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <zmq.h>

#include "bus/context.h"

static char endpoint[200];

static const char *ipc_endpoint(void)
{
	static int n;

	snprintf(endpoint, sizeof(endpoint), "ipc://%s/p%d", check_scratch_dir(), n++);
	return endpoint;
}

static struct fnx_pub *open_pub(const char *at)
{
	struct fnx_pub *pub;

	assert_int_equal(fnx_pub_open(&at, 1, NULL, &pub, NULL), 0);
	return pub;
}

static void *peer(void *context, int type)
{
	void *socket = zmq_socket(context, type);

	assert_int_equal(zmq_setsockopt(socket, ZMQ_LINGER, &(int){0}, sizeof(int)), 0);
	assert_int_equal(
		zmq_setsockopt(socket, ZMQ_RCVTIMEO, &(int){CHECK_PATIENCE_MS}, sizeof(int)), 0);
	assert_int_equal(zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &(int){5}, sizeof(int)), 0);
	return socket;
}

static void *subscriber(void *context, const char *at, const char *prefix)
{
	void *socket = peer(context, ZMQ_SUB);

	assert_int_equal(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix)), 0);
	assert_int_equal(zmq_connect(socket, at), 0);
	return socket;
}

/* Until `n` subscriptions are in force. */
static void await_subscriptions(struct fnx_pub *pub, int n)
{
	int64_t end = fixture_now_ns() + CHECK_PATIENCE_NS;

	while (fnx_pub_poll(pub) != n) {
		assert_true(fixture_now_ns() < end);
		wait_readable(fnx_pub_fd(pub), CHECK_PATIENCE_MS);
	}
}

static void expect(void *socket, const char *topic, const char *body)
{
	char bytes[64] = "";
	int n = zmq_recv(socket, bytes, sizeof(bytes) - 1, 0);

	assert_int_equal(n, strlen(topic));
	assert_string_equal(bytes, topic);
	n = zmq_recv(socket, bytes, sizeof(bytes) - 1, 0);
	assert_int_equal(n, strlen(body));
	assert_memory_equal(bytes, body, strlen(body));
}

TEST(a_topic_is_wanted_while_some_prefix_of_it_is_subscribed_to)
{
	struct fnx_pub *pub = open_pub(ipc_endpoint());
	void *context = zmq_ctx_new();
	void *sub[3];

	assert_int_equal(fnx_pub_poll(pub), 0);
	assert_false(fnx_pub_wanted(pub, "lfp"));
	sub[0] = subscriber(context, endpoint, "lf");
	sub[1] = subscriber(context, endpoint, "lf");
	sub[2] = subscriber(context, endpoint, "ripple");
	await_subscriptions(pub, 2);
	assert_true(fnx_pub_wanted(pub, "lfp"));
	assert_true(fnx_pub_wanted(pub, "lf"));
	assert_false(fnx_pub_wanted(pub, "l"));
	assert_true(fnx_pub_wanted(pub, "ripple"));
	assert_false(fnx_pub_wanted(pub, "posterior"));
	zmq_close(sub[2]);
	await_subscriptions(pub, 1);
	assert_false(fnx_pub_wanted(pub, "ripple"));
	zmq_close(sub[0]);
	zmq_close(sub[1]);
	await_subscriptions(pub, 0);
	assert_false(fnx_pub_wanted(pub, "lfp"));
	sub[0] = subscriber(context, endpoint, "");
	await_subscriptions(pub, 1);
	assert_true(fnx_pub_wanted(pub, "anything"));
	zmq_close(sub[0]);
	zmq_ctx_term(context);
	assert_null(fnx_pub_close(pub));
}

static int subscribe_for_good(const struct fnx_bus *bus, int ready_fd)
{
	void *context = zmq_ctx_new();
	void *socket = subscriber(context, endpoint, "dead");

	(void)bus;
	expect(socket, "dead", "1");
	child_ready(ready_fd);
	pause();
	return 0;
}

TEST(the_subscription_of_a_killed_process_ends)
{
	struct fnx_bus bus = fixture_bus();
	struct child child;
	struct fnx_pub *pub;

	ipc_endpoint();
	child = child_start(subscribe_for_good, &bus);
	pub = open_pub(endpoint);
	await_subscriptions(pub, 1);
	assert_true(fnx_pub_wanted(pub, "dead"));
	assert_int_equal(fnx_pub_send(pub, "dead", "1", 1), 0);
	child_await(&child);
	assert_int_equal(child_end(&child, SIGKILL), -SIGKILL);
	await_subscriptions(pub, 0);
	assert_false(fnx_pub_wanted(pub, "dead"));
	fnx_pub_close(pub);
}

TEST(more_prefixes_than_there_is_room_for_make_everything_wanted_until_they_go)
{
	struct check_random random = check_random_seeded();
	struct fnx_pub *pub = open_pub(ipc_endpoint());
	void *context = zmq_ctx_new();
	void *socket = peer(context, ZMQ_SUB);
	int n = FNX_PUB_PREFIXES_MAX + 1 + (int)check_random_below(&random, 300);
	char prefix[100];

	/* SUB never looks whether what it had to tell has been read: beyond its mark it falls
	 * silent. */
	zmq_setsockopt(socket, ZMQ_SNDHWM, &(int){0}, sizeof(int));
	assert_int_equal(zmq_connect(socket, endpoint), 0);
	for (int i = 0; i < n; i++) {
		snprintf(prefix, sizeof(prefix), "topic%d.", i);
		zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix));
		if (i == FNX_PUB_PREFIXES_MAX - 1) {
			await_subscriptions(pub, FNX_PUB_PREFIXES_MAX);
			assert_false(fnx_pub_wanted(pub, "other"));
		}
	}
	/* Longer than any topic: neither kept nor counted. */
	memset(prefix, 'x', sizeof(prefix));
	zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, sizeof(prefix));
	await_subscriptions(pub, n);
	assert_true(fnx_pub_wanted(pub, "other"));
	for (int i = n - 1; i >= 0; i--) {
		snprintf(prefix, sizeof(prefix), "topic%d.", i);
		zmq_setsockopt(socket, ZMQ_UNSUBSCRIBE, prefix, strlen(prefix));
		if (i == FNX_PUB_PREFIXES_MAX) {
			await_subscriptions(pub, FNX_PUB_PREFIXES_MAX);
			assert_false(fnx_pub_wanted(pub, "other"));
			assert_true(fnx_pub_wanted(pub, "topic7.x"));
		}
	}
	await_subscriptions(pub, 0);
	assert_false(fnx_pub_wanted(pub, "topic7.x"));
	zmq_close(socket);
	zmq_ctx_term(context);
	fnx_pub_close(pub);
}

TEST(random_subscriptions_agree_with_a_plain_list_of_them)
{
	struct check_random random = check_random_seeded();
	struct fnx_pub *pub = open_pub(ipc_endpoint());
	void *context = zmq_ctx_new(), *sockets[3];
	int counts[3][16] = {{0}}, n_in_force = 0;

	for (int i = 0; i < 3; i++) {
		sockets[i] = peer(context, ZMQ_SUB);
		assert_int_equal(zmq_connect(sockets[i], endpoint), 0);
	}
	for (int step = 0; step < 300; step++) {
		size_t who = check_random_below(&random, 3),
		       which = check_random_below(&random, 16);
		/* "", "a", "b", "aa", "ab", ...: all words of at most 3 letters, and one more */
		char prefix[8] = "", topic[8] = "";
		int expected = 0;

		for (size_t rest = which; rest > 0; rest = (rest - 1) / 2)
			strcat(prefix, rest % 2 ? "a" : "b");
		if (check_random_below(&random, 2)) {
			zmq_setsockopt(sockets[who], ZMQ_SUBSCRIBE, prefix, strlen(prefix));
			counts[who][which]++;
		} else if (counts[who][which] > 0) {
			zmq_setsockopt(sockets[who], ZMQ_UNSUBSCRIBE, prefix, strlen(prefix));
			counts[who][which]--;
		}
		n_in_force = 0;
		for (int k = 0; k < 16; k++)
			n_in_force += counts[0][k] || counts[1][k] || counts[2][k];
		await_subscriptions(pub, n_in_force);
		for (int k = (int)check_random_below(&random, 6); k > 0; k--)
			strcat(topic, check_random_below(&random, 2) ? "a" : "b");
		for (int k = 0; k < 16; k++) {
			char word[8] = "";

			for (int rest = k; rest > 0; rest = (rest - 1) / 2)
				strcat(word, rest % 2 ? "a" : "b");
			if ((counts[0][k] || counts[1][k] || counts[2][k]) &&
				strncmp(topic, word, strlen(word)) == 0)
				expected = 1;
		}
		/* One in force may come as another goes: then the number alone does not show it. */
		if (fnx_pub_wanted(pub, topic) != expected)
			await_subscriptions(pub, n_in_force);
		assert_int_equal(fnx_pub_wanted(pub, topic), expected);
	}
	for (int i = 0; i < 3; i++)
		zmq_close(sockets[i]);
	zmq_ctx_term(context);
	fnx_pub_close(pub);
}

/* A port of this machine that nobody has just now. */
static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

TEST(every_endpoint_carries_the_same_two_parts)
{
	char tcp[64], ipc[200];
	const char *endpoints[] = {tcp, ipc};
	struct fnx_pub *pub;
	void *context = zmq_ctx_new();
	void *subs[2];

	snprintf(tcp, sizeof(tcp), "tcp://127.0.0.1:%d", free_port());
	snprintf(ipc, sizeof(ipc), "%s", ipc_endpoint());
	assert_int_equal(fnx_pub_open(endpoints, 2, NULL, &pub, NULL), 0);
	subs[0] = subscriber(context, tcp, "topi");
	subs[1] = subscriber(context, ipc, "topic");
	await_subscriptions(pub, 2);
	assert_int_equal(fnx_pub_send(pub, "topic", "body", 4), 0);
	assert_int_equal(fnx_pub_send(pub, "not", "for you", 7), 0);
	assert_int_equal(fnx_pub_send(pub, "topic", "", 0), 0);
	for (int i = 0; i < 2; i++) {
		expect(subs[i], "topic", "body");
		expect(subs[i], "topic", "");
		zmq_close(subs[i]);
	}
	assert_int_equal(fnx_pub_lost(pub), 0);
	fnx_pub_close(pub);
	zmq_ctx_term(context);
}

TEST(a_subscriber_that_does_not_read_loses_and_the_others_do_not)
{
	static char body[10000];
	struct fnx_pub *pub = open_pub(ipc_endpoint());
	void *context = zmq_ctx_new();
	void *slow = peer(context, ZMQ_SUB), *quick = subscriber(context, endpoint, "t");
	int64_t end = fixture_now_ns() + CHECK_PATIENCE_NS;
	int n_refused = 0;

	zmq_setsockopt(slow, ZMQ_RCVHWM, &(int){1}, sizeof(int));
	zmq_setsockopt(slow, ZMQ_SUBSCRIBE, "to", 2);
	assert_int_equal(zmq_connect(slow, endpoint), 0);
	await_subscriptions(pub, 2);
	for (int i = 0; i < 3000; i++) {
		int r = fnx_pub_send(pub, "topic", body, sizeof(body));

		assert_true(r == 0 || r == -EAGAIN);
		n_refused += r == -EAGAIN;
		assert_int_equal(zmq_recv(quick, body, sizeof(body), 0), 5);
		assert_int_equal(zmq_recv(quick, body, sizeof(body), 0), sizeof(body));
	}
	assert_true(n_refused > 0);
	assert_int_equal(fnx_pub_lost(pub), n_refused);
	/* Once it reads again it is served again. */
	while (memcmp(body, "again", 5) != 0) {
		assert_true(fixture_now_ns() < end);
		fnx_pub_send(pub, "topic", "again", 5);
		if (zmq_recv(slow, body, sizeof(body), 0) == 5)
			zmq_recv(slow, body, sizeof(body), 0);
	}
	zmq_close(slow);
	zmq_close(quick);
	zmq_ctx_term(context);
	fnx_pub_close(pub);
}

/* Keys
 * -----------------------------------------------------------------------------------------------
 */

static const char *key_file(const char *text)
{
	static char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/key", check_scratch_dir());
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

TEST(what_listens_beyond_this_machine_needs_a_key)
{
	static const char *const open_to_all[] = {"tcp://0.0.0.0:0", "tcp://*:5555",
		"tcp://eth0:5555", "tcp://10.0.0.1:5555", "tcp://[::]:5555",
		"tcp://127.evil.example:1", "tcp://1270.0.0.1:1", "tcp://localhost.example:1",
		"tcp://[::1", "tcp://"};
	static const char *const others[] = {
		"udp://127.0.0.1:1", "pgm://x", "", "ipc", "TCP://127.0.0.1:1"};
	struct fnx_pub *pub;
	int before = n_descriptors();

	for (size_t i = 0; i < sizeof(open_to_all) / sizeof(open_to_all[0]); i++) {
		const char *endpoints[] = {"tcp://127.0.0.1:0", open_to_all[i]}, *fault = NULL;

		assert_int_equal(fnx_pub_open(endpoints, 2, NULL, &pub, &fault), -EPERM);
		assert_ptr_equal(fault, open_to_all[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(fnx_pub_open(&others[i], 1, NULL, &pub, NULL), -EPROTONOSUPPORT);
	assert_int_equal(n_descriptors(), before);
}

TEST(a_file_without_a_key_is_refused)
{
	static const char *const bad[] = {"", "short", "0123456789012345678901234567890123456789x",
		"\"123456789012345678901234567890123456789",
		"01234567890123456789 1234567890123456789"};
	const char *at = "tcp://127.0.0.1:0", *fault = at;
	struct fnx_pub *pub;
	int before = n_descriptors();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			fnx_pub_open(&at, 1, key_file(bad[i]), &pub, &fault), -EKEYREJECTED);
		assert_null(fault);
	}
	assert_int_equal(fnx_pub_open(&at, 1, "/nowhere/key", &pub, &fault), -ENOENT);
	assert_int_equal(fnx_pub_open(&at, 1, "/tmp", &pub, &fault), -EISDIR);
	assert_int_equal(n_descriptors(), before);
}

TEST(with_a_key_tcp_is_encrypted_and_ipc_stays_plain)
{
	char public_key[41], secret_key[42], my_public[41], my_secret[41];
	char ipc[200], tcp[64], tcp_all[64];
	int port = free_port();
	const char *endpoints[] = {ipc, tcp_all};
	struct fnx_pub *pub;
	void *context = zmq_ctx_new();
	void *plain_ipc, *plain_tcp, *keyed = peer(context, ZMQ_SUB);

	assert_true(zmq_has("curve"));
	snprintf(tcp, sizeof(tcp), "tcp://127.0.0.1:%d", port);
	snprintf(tcp_all, sizeof(tcp_all), "tcp://0.0.0.0:%d", port);
	snprintf(ipc, sizeof(ipc), "%s", ipc_endpoint());
	zmq_curve_keypair(public_key, secret_key);
	zmq_curve_keypair(my_public, my_secret);
	strcat(secret_key, "\n");
	assert_int_equal(fnx_pub_open(endpoints, 2, key_file(secret_key), &pub, NULL), 0);
	plain_tcp = subscriber(context, tcp, "plain-tcp");
	plain_ipc = subscriber(context, ipc, "plain-ipc");
	zmq_setsockopt(keyed, ZMQ_CURVE_SERVERKEY, public_key, 41);
	zmq_setsockopt(keyed, ZMQ_CURVE_PUBLICKEY, my_public, 41);
	zmq_setsockopt(keyed, ZMQ_CURVE_SECRETKEY, my_secret, 41);
	zmq_setsockopt(keyed, ZMQ_SUBSCRIBE, "keyed", 5);
	assert_int_equal(zmq_connect(keyed, tcp), 0);
	await_subscriptions(pub, 2);
	assert_true(fnx_pub_wanted(pub, "keyed"));
	assert_true(fnx_pub_wanted(pub, "plain-ipc"));
	assert_false(fnx_pub_wanted(pub, "plain-tcp"));
	assert_int_equal(fnx_pub_send(pub, "keyed", "1", 1), 0);
	assert_int_equal(fnx_pub_send(pub, "plain-ipc", "2", 1), 0);
	expect(keyed, "keyed", "1");
	expect(plain_ipc, "plain-ipc", "2");
	zmq_close(plain_tcp);
	zmq_close(plain_ipc);
	zmq_close(keyed);
	zmq_ctx_term(context);
	fnx_pub_close(pub);
}

/* Refusals and ends
 * ---------------------------------------------------------------------------------- */

TEST(an_endpoint_in_use_is_named_and_one_of_the_dead_is_taken)
{
	struct fnx_pub *pub, *second;
	const char *endpoints[] = {"inproc://free", endpoint}, *fault = NULL;
	struct stat st;
	int before = n_descriptors();

	for (int i = 0; i < 20; i++) {
		pub = open_pub(i == 0 ? ipc_endpoint() : endpoint);
		assert_int_equal(fnx_pub_open(endpoints, 2, NULL, &second, &fault), -EADDRINUSE);
		assert_ptr_equal(fault, endpoint);
		fnx_pub_close(pub);
		assert_int_equal(lstat(endpoint + 6, &st), -1);
	}
	/* Also while other sockets keep the context alive, and its threads take their time. */
	pub = open_pub("inproc://other");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(fnx_pub_open(endpoints, 2, NULL, &second, NULL), 0);
		fnx_pub_close(second);
	}
	fnx_pub_close(pub);
	close(open(endpoint + 6, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(fnx_pub_open(endpoints, 2, NULL, &second, &fault), -EEXIST);
	unlink(endpoint + 6);
	assert_int_equal(n_descriptors(), before);
	fnx_pub_close(NULL);
}

TEST(with_any_number_of_descriptors_left_opening_works_or_says_why_not)
{
	int before = n_descriptors(), opened = 0;
	const char *at = ipc_endpoint();

	for (int n = 0; n < 40; n++) {
		struct rlimit limit = limit_descriptors(n);
		struct fnx_pub *pub;
		struct fnx_push *push;
		int r = fnx_pub_open(&at, 1, NULL, &pub, NULL);

		assert_true(r == 0 || r == -EMFILE);
		if (r == 0)
			fnx_pub_close(pub);
		r = fnx_push_open(at, &push);
		assert_true(r == 0 || r == -EMFILE);
		if (r == 0) {
			fnx_push_close(push);
			opened++;
		}
		lift_limit(&limit);
		assert_int_equal(n_descriptors(), before);
	}
	assert_true(opened > 0);
}

/* Push
 * -----------------------------------------------------------------------------------------------
 */

/* Sends once somebody takes it. */
static void push_until_taken(struct fnx_push *push, const char *body)
{
	int64_t end = fixture_now_ns() + CHECK_PATIENCE_NS;
	int r;

	do {
		r = fnx_push_send(push, body, strlen(body));
		assert_true(r == 0 || r == -EAGAIN);
		assert_true(fixture_now_ns() < end);
		poll(NULL, 0, r ? 1 : 0);
	} while (r < 0);
}

TEST(a_command_goes_to_who_is_there_and_is_never_kept_for_who_is_not)
{
	void *context = zmq_ctx_new();
	struct fnx_push *push;
	void *pull;
	char body[16] = "";

	assert_int_equal(fnx_push_open(ipc_endpoint(), &push), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fnx_push_send(push, "early", 5), -EAGAIN);
	pull = peer(context, ZMQ_PULL);
	assert_int_equal(zmq_bind(pull, endpoint), 0);
	push_until_taken(push, "in time");
	assert_int_equal(zmq_recv(pull, body, sizeof(body), 0), 7);
	assert_string_equal(body, "in time");
	zmq_close(pull);
	zmq_ctx_term(context);
	assert_null(fnx_push_close(push));
}

TEST(a_push_to_one_who_reads_each_at_once_is_never_refused)
{
	struct fnx_push *push;
	void *pull;
	char body[16];

	/* Queues tell their sender late that they were emptied, unless it looks. */
	assert_int_equal(fnx_context_socket(ZMQ_PULL, &pull), 0);
	assert_int_equal(zmq_bind(pull, "inproc://at-once"), 0);
	assert_int_equal(fnx_push_open("inproc://at-once", &push), 0);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(fnx_push_send(push, "x", 1), 0);
		assert_int_equal(zmq_recv(pull, body, sizeof(body), ZMQ_DONTWAIT), 1);
	}
	fnx_push_close(push);
	assert_null(fnx_context_close(pull));
}

TEST(a_push_to_one_who_does_not_read_is_refused_and_never_blocks)
{
	static char body[10000];
	void *context = zmq_ctx_new();
	void *pull = peer(context, ZMQ_PULL);
	struct fnx_push *push;
	int n_refused = 0;

	zmq_setsockopt(pull, ZMQ_RCVHWM, &(int){1}, sizeof(int));
	assert_int_equal(zmq_bind(pull, ipc_endpoint()), 0);
	assert_int_equal(fnx_push_open(endpoint, &push), 0);
	push_until_taken(push, "first");
	for (int i = 0; i < 2000; i++)
		n_refused += fnx_push_send(push, body, sizeof(body)) == -EAGAIN;
	assert_true(n_refused > 1000);
	zmq_close(pull);
	zmq_ctx_term(context);
	fnx_push_close(push);
	fnx_push_close(NULL);
	assert_int_equal(fnx_push_open("nonsense", &push), -EINVAL);
}
