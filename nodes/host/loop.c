/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop of a node: drive it while there is work, then sleep until a bell rings, a frame is due,
 * somebody asks something, or a signal comes.
 *
 * A node that spins must not enter the kernel, and yet must notice the rare event that libuv is
 * for. So while it spins, a second thread, the sentinel, sits in poll() on libuv's descriptor and
 * raises a flag: without events the spinning thread makes no system call at all.
 *
 * A bell that fails to ring would be a bug. A slow timer looks for work that lies unseen from one
 * tick to the next, counts it (status->missed_wakes, which tests hold to 0) and goes on.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <uv.h>

#include "bus/control.h"
#include "nodes/host/host.h"

#define LOOK_NS INT64_C(1000000)
#define WAKE_NS INT64_C(30000) /* what a wake takes, where it was not measured */

enum {
	TURN_BUDGET = 256, /* frames between two looks at the loop */
	SLOW_TICK_MS = 100,
	LOOKS = 16, /* between two looks at the clock, awake */
	START_TICK_MS = 2, /* while waiting for topics and peers */
	PATIENCE_MS = 2000, /* after which such a wait is worth a word */
};

struct loop {
	struct fnx_node *node;
	uv_loop_t uv;
	uv_poll_t bell;
	uv_poll_t control;
	uv_poll_t due;
	uv_poll_t watched; /* of a relay */
	uv_timer_t slow;
	uv_timer_t watchdog;
	uv_signal_t signals[2];
	int due_fd;
	enum fnx_wait wait;
	struct fnx_patience patience;
	int64_t idle_ns; /* when work ran out; 0: it has not */
	int slept; /* since then */
	const _Atomic int *stop;
	int64_t looked_ns; /* when libuv was last asked, awake */
	int stopping;
	int parked;
	int mentioned;
	int rung; /* the bell is to be silenced before the next sleep */
	int woken; /* in this sleep something has happened that the node must look at */
	int suspicious; /* in this sleep a slow tick has found work that no bell had told of */
	/* sentinel */
	pthread_t sentinel;
	pthread_mutex_t mutex;
	pthread_cond_t served;
	_Atomic int event; /* libuv has something to do */
	int sentinel_quit;
	int quit_fd;
};

static void silence(struct loop *loop)
{
	if (!loop->rung)
		return;
	loop->rung = 0;
	if (fnx_bell_drain(loop->node->bell) > 0)
		atomic_fetch_add_explicit(&loop->node->status->wakes, 1, memory_order_relaxed);
}

static void on_bell(uv_poll_t *handle, int status, int events)
{
	struct loop *loop = handle->data;

	(void)status, (void)events;
	loop->woken = loop->rung = 1;
	/* A bell rung while all were awake must not be heard again and again; one that has woken
	 * the node waits until the node has done what it was woken for. */
	if (!loop->parked)
		silence(loop);
}

static void on_control(uv_poll_t *handle, int status, int events)
{
	struct loop *loop = handle->data;
	_Atomic uint64_t *counter = fnx_heap_watch(NULL);

	(void)status, (void)events;
	/* What ZeroMQ allocates to answer is not the frame path's. */
	if (fnx_node_serve(loop->node))
		loop->stopping = 1;
	fnx_heap_watch(counter);
}

static void on_watched(uv_poll_t *handle, int status, int events)
{
	struct loop *loop = handle->data;

	(void)status, (void)events;
	loop->woken = 1;
}

static void on_due(uv_poll_t *handle, int status, int events)
{
	struct loop *loop = handle->data;
	uint64_t expirations;

	(void)status, (void)events;
	loop->woken = 1;
	if (read(loop->due_fd, &expirations, sizeof(expirations)) > 0)
		atomic_fetch_add_explicit(&loop->node->status->wakes, 1, memory_order_relaxed);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct loop *loop = handle->data;

	/* Ctrl-C ends a source's session, so that its readers know; SIGTERM just takes the node
	 * away. */
	if (number == SIGINT)
		fnx_node_finish(loop->node);
	loop->stopping = 1;
}

static void stop_if_told(struct loop *loop)
{
	int told = loop->stop ? atomic_load_explicit(loop->stop, memory_order_relaxed) : FNX_GO_ON;

	if (told == FNX_STOP_SOURCES && loop->node->ops->produce) {
		fnx_node_finish(loop->node);
		loop->stopping = 1;
	}
	if (told == FNX_STOP_ALL)
		loop->stopping = 1;
}

static int has_overslept(const struct fnx_node *node)
{
	for (unsigned i = 0; i < node->merge.n_inputs; i++)
		if (fnx_subscriber_overslept(node->merge.inputs[i].sub))
			return 1;
	return 0;
}

/* Live: inputs whose publishers have left come back when there is one again. */
static void look_for_successors(struct fnx_node *node)
{
	for (unsigned i = 0; i < node->merge.n_inputs; i++) {
		if (!node->merge.inputs[i].moved)
			continue;
		node->moved_input = (int)i;
		if (fnx_node_resubscribe(node))
			node->merge.inputs[i].moved = 0;
	}
}

/* Ends the sleep, for what is done now and then. Where there is work although no bell has rung, a
 * publisher may be just about to ring: that is given one more tick, asleep, and if the bell is
 * silent even then it has failed. */
static void on_slow_tick(uv_timer_t *handle)
{
	struct loop *loop = handle->data;

	stop_if_told(loop);
	look_for_successors(loop->node);
	if (loop->parked == FNX_DRIVE_IDLE && !loop->woken && has_overslept(loop->node) &&
		fnx_bell_drain(loop->node->bell) <= 0) {
		if (!loop->suspicious) {
			loop->suspicious = 1;
			return;
		}
		atomic_fetch_add_explicit(
			&loop->node->status->missed_wakes, 1, memory_order_relaxed);
	}
	loop->woken = 1;
}

static void on_watchdog(uv_timer_t *handle)
{
	(void)handle;
	sd_notify(0, "WATCHDOG=1");
}

/* Sentinel
 * ------------------------------------------------------------------------------------------- */

static void *watch(void *argument)
{
	struct loop *loop = argument;
	struct pollfd fds[2] = {{.fd = uv_backend_fd(&loop->uv), .events = POLLIN},
		{.fd = loop->quit_fd, .events = POLLIN}};

	pthread_mutex_lock(&loop->mutex);
	while (!loop->sentinel_quit) {
		int timeout = uv_backend_timeout(&loop->uv);

		pthread_mutex_unlock(&loop->mutex);
		poll(fds, 2, timeout);
		pthread_mutex_lock(&loop->mutex);
		if (loop->sentinel_quit)
			break;
		atomic_store_explicit(&loop->event, 1, memory_order_release);
		while (atomic_load_explicit(&loop->event, memory_order_relaxed) &&
			!loop->sentinel_quit)
			pthread_cond_wait(&loop->served, &loop->mutex);
	}
	pthread_mutex_unlock(&loop->mutex);
	return NULL;
}

static int start_sentinel(struct loop *loop)
{
	loop->quit_fd = eventfd(0, EFD_CLOEXEC);
	if (loop->quit_fd < 0)
		return -errno;
	pthread_mutex_init(&loop->mutex, NULL);
	pthread_cond_init(&loop->served, NULL);
	return -pthread_create(&loop->sentinel, NULL, watch, loop);
}

static void serve_event(struct loop *loop)
{
	pthread_mutex_lock(&loop->mutex);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	atomic_store_explicit(&loop->event, 0, memory_order_relaxed);
	pthread_cond_signal(&loop->served);
	pthread_mutex_unlock(&loop->mutex);
}

static void stop_sentinel(struct loop *loop)
{
	pthread_mutex_lock(&loop->mutex);
	loop->sentinel_quit = 1;
	pthread_cond_signal(&loop->served);
	pthread_mutex_unlock(&loop->mutex);
	eventfd_write(loop->quit_fd, 1);
	pthread_join(loop->sentinel, NULL);
	pthread_cond_destroy(&loop->served);
	pthread_mutex_destroy(&loop->mutex);
	close(loop->quit_fd);
}

/* Sleeping
 * ------------------------------------------------------------------------------------------- */

/* Sources wake by the clock: libuv's timers know milliseconds only. */
static void arm_due(struct loop *loop, int64_t due_ns)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000}};

	timerfd_settime(loop->due_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void sleep_once(struct loop *loop, enum fnx_drive why)
{
	silence(loop);
	if (loop->node->ops->idle)
		loop->node->ops->idle(loop->node->self);
	if (why == FNX_DRIVE_FULL)
		atomic_fetch_add_explicit(&loop->node->status->full_waits, 1, memory_order_relaxed);
	if (why == FNX_DRIVE_IDLE && (loop->node->ops->produce || loop->node->ops->relay))
		arm_due(loop, loop->node->due_ns);
	else if (why != FNX_DRIVE_ENDED && fnx_node_park(loop->node, why, fnx_node_now()))
		return;
	/* Live: a silent input holds the others up until its deadline, and no longer. */
	if (why == FNX_DRIVE_IDLE && loop->node->merge.deadline_ns &&
		loop->node->merge.blocked_since_ns)
		arm_due(loop, loop->node->merge.blocked_since_ns + loop->node->merge.deadline_ns);
	loop->parked = (int)why;
	loop->woken = loop->suspicious = 0;
	do {
		uv_run(&loop->uv, UV_RUN_ONCE);
	} while (!loop->woken && !loop->stopping);
	loop->parked = 0;
	loop->slept = 1;
	fnx_node_unpark(loop->node);
}

/* Waiting awake
 * --------------------------------------------------------------------------------------- */

static void start_patience(struct loop *loop)
{
	struct fnx_node *node = loop->node;

	fnx_patience_init(&loop->patience, (int64_t)node->rig->bus.spin_us * 1000,
		node->wake_ns ? node->wake_ns : WAKE_NS);
	if (loop->wait == FNX_WAIT_ADAPTIVE && node->crowded)
		loop->wait = FNX_WAIT_SLEEP;
}

/* Work has come: how long did that take? */
static void learn(struct loop *loop, int64_t now_ns)
{
	if (loop->idle_ns)
		fnx_patience_learn(&loop->patience, now_ns - loop->idle_ns, loop->slept);
	loop->idle_ns = 0;
	loop->slept = 0;
}

/* A source knows when its next event is due, others what they have seen so far. */
static int64_t wait_awake_until(const struct loop *loop, int64_t now_ns)
{
	const struct fnx_node *node = loop->node;

	if (!node->ops->produce)
		return now_ns + fnx_patience_ns(&loop->patience);
	return node->due_ns - now_ns < loop->patience.wake_ns &&
			node->due_ns - now_ns < loop->patience.limit_ns
		? node->due_ns
		: now_ns;
}

/* 1: there is work; 0: it is better to sleep. */
static int wait_awake(struct loop *loop)
{
	struct fnx_node *node = loop->node;
	int64_t now_ns = fnx_node_now(), until_ns = wait_awake_until(loop, now_ns);

	while (now_ns < until_ns) {
		for (unsigned i = 0; i < LOOKS; i++)
			if (!node->ops->produce && fnx_node_pending(node))
				return 1;
		now_ns = fnx_node_now();
	}
	return node->ops->produce && node->due_ns <= now_ns;
}

static void set_state(struct fnx_node *node, enum fnx_node_state state)
{
	atomic_store(&node->status->state, (uint32_t)state);
}

static void ended(struct loop *loop)
{
	struct fnx_node *node = loop->node;

	if (atomic_load(&node->status->state) == FNX_NODE_ENDED)
		return;
	if (node->ops->idle)
		node->ops->idle(node->self);
	atomic_store(&node->status->ended_ns, fnx_node_now());
	set_state(node, FNX_NODE_ENDED);
	sd_notify(0, "STATUS=The session has ended");
}

/* Who steers a node is heard even where work never runs out. */
static void look_up(struct loop *loop, int64_t now_ns)
{
	if (now_ns - loop->looked_ns < LOOK_NS)
		return;
	loop->looked_ns = now_ns;
	uv_run(&loop->uv, UV_RUN_NOWAIT);
}

/* 0, or negative errno when the source cannot go on. */
static int turns(struct loop *loop)
{
	struct fnx_node *node = loop->node;
	int spin = loop->wait == FNX_WAIT_SPIN;

	while (!loop->stopping) {
		int64_t now_ns = fnx_node_now();
		enum fnx_drive why = fnx_node_drive(node, now_ns, TURN_BUDGET);

		if (why == FNX_DRIVE_FAILED)
			return -EIO;
		if (loop->wait == FNX_WAIT_ADAPTIVE)
			learn(loop, now_ns);
		if (why == FNX_DRIVE_ENDED)
			ended(loop);
		/* A publisher has left in good order: wait for its successor, at the pace of the
		 * slow tick. */
		if (why == FNX_DRIVE_MOVED && !fnx_node_resubscribe(node)) {
			if (node->ops->idle)
				node->ops->idle(node->self);
			if (spin)
				poll(NULL, 0, START_TICK_MS);
			else
				uv_run(&loop->uv, UV_RUN_ONCE);
		}
		if (spin) {
			if (why == FNX_DRIVE_IDLE && node->ops->idle)
				node->ops->idle(node->self);
			/* Nothing more will come: a node that has ended sleeps, whatever its habit.
			 */
			if (why == FNX_DRIVE_ENDED)
				poll(&(struct pollfd){.fd = uv_backend_fd(&loop->uv),
					     .events = POLLIN},
					1, SLOW_TICK_MS);
			if (atomic_load_explicit(&loop->event, memory_order_acquire))
				serve_event(loop);
			stop_if_told(loop);
			continue;
		}
		look_up(loop, now_ns);
		if (why == FNX_DRIVE_MORE || why == FNX_DRIVE_MOVED)
			continue;
		/* Work that is there already is no reason to stay awake when there is no room for
		 * its result. */
		if (why == FNX_DRIVE_IDLE)
			loop->idle_ns = fnx_node_now();
		if (loop->wait != FNX_WAIT_ADAPTIVE || why != FNX_DRIVE_IDLE || !wait_awake(loop))
			sleep_once(loop, why);
	}
	return 0;
}

/* Starting
 * ------------------------------------------------------------------------------------------- */

static void on_start_tick(uv_timer_t *timer)
{
	stop_if_told(timer->data);
}

/* Says once, after a while, what a node that does not get going waits for. */
static void mention(struct loop *loop, const char *what, int64_t begun_ns)
{
	if (loop->mentioned || fnx_node_now() - begun_ns < PATIENCE_MS * INT64_C(1000000))
		return;
	loop->mentioned = 1;
	fnx_node_say(loop->node, "waiting for %s", what);
}

/* Inputs appear when their publishers do. A source that can wait does so until everybody listens: a
 * recording must not begin without its readers. */
static int get_ready(struct loop *loop)
{
	struct fnx_node *node = loop->node;
	int64_t begun_ns = fnx_node_now();
	const char *missing;
	int r = 0;

	uv_timer_start(&loop->slow, on_start_tick, START_TICK_MS, START_TICK_MS);
	while (!loop->stopping) {
		r = fnx_node_subscribe(node, &missing);
		if (r)
			break;
		mention(loop, missing, begun_ns);
		uv_run(&loop->uv, UV_RUN_ONCE);
	}
	if (r > 0) {
		r = node->ops->start ? node->ops->start(node->self) : 0;
		if (!r) {
			if (!node->ops->relay)
				set_state(node, FNX_NODE_READY);
			sd_notify(0, "READY=1");
		}
	}
	while (!r && !loop->stopping && node->ops->produce && !node->live &&
		!fnx_node_peers_ready(node, &missing)) {
		mention(loop, missing, begun_ns);
		uv_run(&loop->uv, UV_RUN_ONCE);
	}
	uv_timer_stop(&loop->slow);
	return r;
}

static int open_loop(struct loop *loop, int signals)
{
	static const int numbers[2] = {SIGINT, SIGTERM};
	uint64_t watchdog_us;
	int r;

	r = uv_loop_init(&loop->uv);
	if (r)
		return r;
	loop->due_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	uv_poll_init(&loop->uv, &loop->bell, fnx_bell_fd(loop->node->bell));
	uv_poll_init(&loop->uv, &loop->control, fnx_control_fd(loop->node->control));
	uv_poll_init(&loop->uv, &loop->due, loop->due_fd);
	if (loop->node->watch_fd >= 0) {
		uv_poll_init(&loop->uv, &loop->watched, loop->node->watch_fd);
		loop->watched.data = loop;
		uv_poll_start(&loop->watched, UV_READABLE, on_watched);
	}
	uv_timer_init(&loop->uv, &loop->slow);
	uv_timer_init(&loop->uv, &loop->watchdog);
	loop->bell.data = loop->control.data = loop->due.data = loop->slow.data = loop;
	uv_poll_start(&loop->bell, UV_READABLE, on_bell);
	uv_poll_start(&loop->control, UV_READABLE, on_control);
	uv_poll_start(&loop->due, UV_READABLE, on_due);
	for (int i = 0; i < 2; i++) {
		uv_signal_init(&loop->uv, &loop->signals[i]);
		loop->signals[i].data = loop;
		if (signals)
			uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
	}
	if (sd_watchdog_enabled(0, &watchdog_us) > 0 && signals)
		uv_timer_start(&loop->watchdog, on_watchdog, 0, watchdog_us / 2000);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void close_loop(struct loop *loop)
{
	uv_walk(&loop->uv, close_handle, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	uv_loop_close(&loop->uv);
	close(loop->due_fd);
}

int fnx_node_run(struct fnx_node *node, const _Atomic int *stop, int signals)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	loop->node = node;
	loop->stop = stop;
	loop->wait = fnx_node_wait(node);
	r = open_loop(loop, signals);
	if (r) {
		free(loop);
		return fnx_node_fail(node, r, "cannot start the loop: %s", uv_strerror(r));
	}
	fnx_realtime_apply(node);
	start_patience(loop);
	r = get_ready(loop);
	if (!r && !loop->stopping && loop->wait == FNX_WAIT_SPIN) {
		r = start_sentinel(loop);
		if (r)
			fnx_node_fail(node, r, "cannot start a thread: %s", strerror(-r));
	} else if (!r) {
		/* Spinning nodes have no sleep from which a bell could fail to wake them. */
		uv_timer_start(&loop->slow, on_slow_tick, SLOW_TICK_MS, SLOW_TICK_MS);
	}
	if (!r) {
		int began = !loop->stopping, spins = began && loop->wait == FNX_WAIT_SPIN;

		if (!node->ops->relay)
			atomic_store(&node->status->started_ns, fnx_node_now());
		r = turns(loop);
		fnx_heap_watch(NULL);
		if (spins)
			stop_sentinel(loop);
		if (began && !r)
			fnx_node_publish_last(node);
	}
	sd_notify(0, "STOPPING=1");
	/* From here on it is stopping already: a second signal must not cut short what is put away.
	 */
	if (signals) {
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
	}
	close_loop(loop);
	free(loop);
	return r;
}
