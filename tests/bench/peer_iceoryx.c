/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iceoryx through its C binding, with a RouDi of our own. The publisher waits for a slow reader; a
 * reader sleeps in a wait set.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/types.h>
#include <iceoryx_binding_c/wait_set.h>

#include "tests/bench/peers.h"

struct end {
	struct bench_run *run;
	iox_pub_storage_t pub_storage;
	iox_sub_storage_t sub_storage;
	iox_ws_storage_t ws_storage;
	iox_pub_t pub;
	iox_sub_t sub;
	iox_ws_t ws;
	void *out;
	const void *in;
};

/* A RouDi serves any number of runs, and takes long to start: one for all, ended with us. */
static pid_t roudi;

static void end_roudi(void)
{
	if (roudi > 0) {
		kill(roudi, SIGTERM);
		waitpid(roudi, NULL, 0);
	}
}

static int prepare(struct bench_run *run)
{
	int fds[2], null;
	char said[512] = "";
	ssize_t n = 0, got;

	run->plan.daemon = roudi;
	if (roudi)
		return 0;
	if (pipe(fds) < 0)
		return -errno;
	roudi = fork();
	if (roudi == 0) {
		null = open("/dev/null", O_RDWR);
		dup2(fds[1], 1);
		dup2(null, 2);
		execlp("iox-roudi", "iox-roudi", "--monitoring-mode", "off", "--log-level", "fatal",
			(char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	while (!strstr(said, "ready for clients")) {
		got = read(fds[0], said + n, sizeof(said) - 1 - (size_t)n);
		if (got <= 0)
			return -ENOENT;
		n += got;
		said[n] = 0;
	}
	atexit(end_roudi);
	run->plan.daemon = roudi;
	return 0;
}

static void open_publisher(struct end *end, const char *run_name, const char *event)
{
	iox_pub_options_t options;

	iox_pub_options_init(&options);
	options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
	end->pub = iox_pub_init(&end->pub_storage, "bench", run_name, event, &options);
}

static int open_subscriber(struct end *end, const char *run_name, const char *event)
{
	int64_t until_ns = bench_now() + INT64_C(5000000000);
	iox_sub_options_t options;

	iox_sub_options_init(&options);
	options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
	options.queueCapacity = end->run->plan.size > 65536 ? 4 : 256;
	end->sub = iox_sub_init(&end->sub_storage, "bench", run_name, event, &options);
	end->ws = iox_ws_init(&end->ws_storage);
	iox_ws_attach_subscriber_state(end->ws, end->sub, SubscriberState_HAS_DATA, 0, NULL);
	while (iox_sub_get_subscription_state(end->sub) != SubscribeState_SUBSCRIBED) {
		if (bench_now() > until_ns)
			return -ENOENT;
		poll(NULL, 0, 1);
	}
	return 0;
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end)
{
	struct end *end = calloc(1, sizeof(*end));
	char name[32], run_name[32];

	if (!end)
		return -ENOMEM;
	end->run = run;
	snprintf(name, sizeof(name), "bench-%u-%u", run->plan.id, index);
	snprintf(run_name, sizeof(run_name), "run%u", run->plan.id);
	iox_set_loglevel(Iceoryx_LogLevel_Off);
	iox_runtime_init(name);
	*ret_end = end;
	if (index == 0)
		open_publisher(end, run_name, "there");
	else if (run->plan.kind == BENCH_PING_PONG)
		open_publisher(end, run_name, "back");
	if (index > 0)
		return open_subscriber(end, run_name, "there");
	return run->plan.kind == BENCH_PING_PONG ? open_subscriber(end, run_name, "back") : 0;
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;

	if (iox_pub_loan_chunk(end->pub, &end->out, (uint32_t)end->run->plan.size) !=
		AllocationResult_SUCCESS)
		return NULL;
	return end->out;
}

static int send_chunk(void *handle)
{
	struct end *end = handle;

	iox_pub_publish_chunk(end->pub, end->out);
	return 0;
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;
	iox_notification_info_t info;
	uint64_t missed;

	while (iox_sub_take_chunk(end->sub, &end->in) != ChunkReceiveResult_SUCCESS)
		if (!end->run->plan.spin)
			iox_ws_wait(end->ws, &info, 1, &missed);
	return end->in;
}

static void release(void *handle)
{
	struct end *end = handle;

	iox_sub_release_chunk(end->sub, end->in);
}

static void close_end(void *handle)
{
	struct end *end = handle;

	if (end->ws)
		iox_ws_deinit(end->ws);
	if (end->sub)
		iox_sub_deinit(end->sub);
	if (end->pub)
		iox_pub_deinit(end->pub);
	iox_runtime_shutdown();
	free(end);
}

const struct bench_peer bench_iceoryx = {
	.name = "iceoryx",
	.how = "C binding, wait set; the publisher waits for the reader",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_FAN_OUT | BENCH_PACED,
	.spins = 1,
	.prepare = prepare,
	.open = open_end,
	.loan = loan,
	.send = send_chunk,
	.receive = receive,
	.release = release,
	.close = close_end,
};
