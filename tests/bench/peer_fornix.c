/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix: one topic per way, lossless, of a publisher that waits; a bell and epoll to sleep. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bus/patience.h"
#include "bus/presence.h"
#include "bus/topic.h"
#include "bus/wake.h"
#include "tests/bench/peers.h"

enum {
	BATCH = 64, /* frames per flush and per commit, at full speed */
	POOL_SIZE = 1 << 22,
	PAUSES = 8, /* between two looks of one who waits awake: the writer is to get ahead */
	SPIN_US = 50,
	SLOTS_MAX = 1024, /* as many as others let queue */
	SLOTS_ONE_BY_ONE =
		64, /* where frames are awaited one by one: what stays in the first cache */
	SLOTS_MIN = 16,
};

struct end {
	struct fnx_bus bus;
	struct bench_run *run;
	struct fnx_presence presence;
	struct fnx_bell *bell;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	int epoll_fd;
	struct fnx_patience patience; /* at full speed */
	int64_t now_ns; /* when last looked */
	int rung; /* the bell is to be drained before the next sleep */
	unsigned staged, untold;
};

static int bus_init(const struct bench_run *run, struct fnx_bus *bus)
{
	char name[32], run_dir[BENCH_DIR_MAX + 8];

	/* The directory is told apart from other benches' by its name. */
	snprintf(name, sizeof(name), "bench-%s-%u", strrchr(run->plan.dir, '-') + 1, run->plan.id);
	snprintf(run_dir, sizeof(run_dir), "%s/bus", run->plan.dir);
	return fnx_bus_init(bus, name, NULL, run_dir);
}

static int streams(const struct end *end)
{
	return end->run->plan.kind == BENCH_STREAM || end->run->plan.kind == BENCH_FAN_OUT;
}

static int open_publisher(struct end *end, const char *node, const char *topic)
{
	struct fnx_topic_config config = {
		.name = topic,
		.node = node,
		.slot_size = end->run->plan.size,
		.n_slots = (uint32_t)(POOL_SIZE / end->run->plan.size),
		.full = FNX_FULL_WAIT,
		.grace_ns = 1000000000,
		.bell = FNX_BELL_FORM_PIPE,
	};

	if (config.n_slots > (streams(end) ? SLOTS_MAX : SLOTS_ONE_BY_ONE))
		config.n_slots = streams(end) ? SLOTS_MAX : SLOTS_ONE_BY_ONE;
	if (config.n_slots < SLOTS_MIN)
		config.n_slots = SLOTS_MIN;
	return fnx_publisher_open(&end->bus, &config, &end->pub);
}

/* Topics appear when their publishers do. */
static int open_subscriber(struct end *end, const char *node, const char *topic)
{
	struct fnx_subscriber_config config = {
		.topic = topic,
		.node = node,
		.policy = FNX_LOSSLESS,
		.start = FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE,
		.lazy = 1,
	};
	int64_t until_ns = bench_now() + INT64_C(5000000000);
	int r;

	do {
		r = fnx_subscriber_open(&end->bus, &config, &end->sub);
	} while (r == -ENOENT && bench_now() < until_ns);
	return r;
}

static int open_sides(struct end *end, unsigned index, const char *node)
{
	int r = 0;

	if (index == 0)
		r = open_publisher(end, node, "there");
	else if (end->run->plan.kind == BENCH_PING_PONG)
		r = open_publisher(end, node, "back");
	if (!r && index > 0)
		r = open_subscriber(end, node, "there");
	else if (!r && end->run->plan.kind == BENCH_PING_PONG)
		r = open_subscriber(end, node, "back");
	return r;
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end)
{
	struct end *end = calloc(1, sizeof(*end));
	struct epoll_event event = {.events = EPOLLIN};
	enum fnx_bell_form form;
	int64_t wake_ns = 0;
	char node[16];
	int r;

	if (!end)
		return -ENOMEM;
	end->run = run;
	snprintf(node, sizeof(node), "n%u", index);
	r = bus_init(run, &end->bus);
	if (!r)
		r = fnx_bus_create(&end->bus, NULL);
	if (!r)
		r = fnx_presence_claim(&end->bus, node, &end->presence, NULL);
	if (!r && streams(end))
		r = fnx_bell_choose(&end->bus, node, &form, &wake_ns);
	fnx_patience_init(&end->patience, SPIN_US * 1000, wake_ns);
	if (!r)
		r = fnx_bell_open(&end->bus, node, FNX_BELL_FORM_PIPE, &end->bell);
	if (!r)
		r = open_sides(end, index, node);
	if (r)
		return r;
	end->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(end->epoll_fd, EPOLL_CTL_ADD, fnx_bell_fd(end->bell), &event);
	*ret_end = end;
	return 0;
}

/* The bell is drained before the next sleep, not after this one: what it told of comes first. */
static void sleep_once(struct end *end)
{
	struct epoll_event event;

	end->rung = epoll_wait(end->epoll_fd, &event, 1, -1) > 0;
}

static void get_ready_to_sleep(struct end *end)
{
	if (end->rung)
		fnx_bell_drain(end->bell);
	end->rung = 0;
}

static int flush(void *handle)
{
	struct end *end = handle;

	if (end->staged)
		fnx_publisher_flush(end->pub);
	end->staged = 0;
	return 0;
}

/* Until there is room. What seldom happens stays out of the way of what always does. */
static __attribute__((noinline)) void wait_for_room(struct end *end)
{
	end->now_ns = bench_now();
	get_ready_to_sleep(end);
	if (!end->run->plan.spin && !fnx_publisher_park(end->pub, BATCH / 2, end->now_ns))
		sleep_once(end);
	fnx_publisher_unpark(end->pub);
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;
	void *payload;

	while (fnx_publisher_loan(end->pub, end->now_ns, &payload) < 0)
		wait_for_room(end);
	return payload;
}

static int send_frame(void *handle)
{
	static const struct fnx_stamp stamp = {.sample_time = 0};
	struct end *end = handle;

	if (!streams(end)) {
		fnx_publisher_publish(end->pub, end->run->plan.size, &stamp);
		return 0;
	}
	fnx_publisher_stage(end->pub, end->run->plan.size, &stamp);
	return ++end->staged < BATCH ? 0 : flush(end);
}

static void commit(struct end *end)
{
	if (end->untold)
		fnx_subscriber_commit(end->sub);
	end->untold = 0;
}

/* As adaptive nodes wait. 1: there is a frame. */
static int wait_awake(struct end *end)
{
	int64_t until_ns = end->now_ns + fnx_patience_ns(&end->patience);

	while (end->now_ns < until_ns) {
		for (unsigned i = 0; i < PAUSES; i++)
			bench_pause();
		if (fnx_subscriber_pending(end->sub, INT64_MAX))
			return 1;
		end->now_ns = bench_now();
	}
	return 0;
}

/* At full speed: awake or asleep, until there is a frame. */
static void await(struct end *end)
{
	int64_t begun_ns = end->now_ns = bench_now();
	int slept = 0;

	while (!wait_awake(end)) {
		get_ready_to_sleep(end);
		if (fnx_subscriber_park(end->sub, INT64_MAX))
			break;
		sleep_once(end);
		fnx_subscriber_unpark(end->sub);
		slept = 1;
		if (fnx_subscriber_pending(end->sub, INT64_MAX))
			break;
	}
	end->now_ns = bench_now();
	fnx_patience_learn(&end->patience, end->now_ns - begun_ns, slept);
}

static __attribute__((noinline)) void wait_for_frame(struct end *end)
{
	commit(end);
	if (end->run->plan.spin) {
		bench_pause();
		return;
	}
	if (streams(end)) {
		await(end);
		return;
	}
	get_ready_to_sleep(end);
	if (!fnx_subscriber_park(end->sub, INT64_MAX)) {
		sleep_once(end);
		fnx_subscriber_unpark(end->sub);
	}
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;
	struct fnx_frame frame;
	struct fnx_gap gap;
	int r;

	while ((r = fnx_subscriber_peek(end->sub, &frame, &gap)) == FNX_NOTHING)
		wait_for_frame(end);
	return r == FNX_FRAME ? frame.payload : NULL;
}

static void release(void *handle)
{
	struct end *end = handle;

	fnx_subscriber_release(end->sub);
	if (++end->untold >= BATCH)
		commit(end);
}

static void close_end(void *handle)
{
	struct end *end = handle;

	fnx_subscriber_close(end->sub);
	fnx_publisher_close(end->pub);
	fnx_bell_close(end->bell);
	fnx_presence_drop(&end->presence);
	close(end->epoll_fd);
	free(end);
}

static void clean(struct bench_run *run)
{
	struct fnx_bus bus;

	if (bus_init(run, &bus) == 0)
		(void)!fnx_bus_remove(&bus);
}

const struct bench_peer bench_fornix = {
	.name = "fornix",
	.how = "lossless reader of a waiting publisher, pipe bell and epoll; at full speed flushed "
	       "and committed every 64 frames, and patient before it sleeps",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_FAN_OUT | BENCH_PACED,
	.spins = 1,
	.clean = clean,
	.open = open_end,
	.loan = loan,
	.send = send_frame,
	.flush = flush,
	.receive = receive,
	.release = release,
	.close = close_end,
};
