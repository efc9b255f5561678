/* SPDX-License-Identifier: BSD-3-Clause */
/* What writers and readers do, whatever carries their messages; and their birth and death. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

enum {
	LOOK_EVERY = 64, /* messages between two looks at the clock, at full speed */
	DEADLINE_MS = 10000, /* beyond what was planned */
};

volatile sig_atomic_t bench_interrupted;

static void interrupt(int number)
{
	bench_interrupted = number;
}

void bench_heed_signals(int heed)
{
	struct sigaction action = {.sa_handler = heed ? interrupt : SIG_DFL};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

struct side {
	struct bench_run *run;
	const struct bench_peer *peer;
	struct bench_result *result;
	void *end;
};

static int64_t cpu_time(clockid_t clock)
{
	struct timespec used;

	return clock_gettime(clock, &used) < 0 ? 0
					       : used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static int put(struct side *side, uint64_t seq, int64_t now_ns)
{
	struct bench_message *message = side->peer->loan(side->end);

	if (!message)
		return -EIO;
	message->seq = seq;
	message->sent_ns = now_ns;
	return side->peer->send(side->end);
}

/* It is still to be released. */
static int get(struct side *side, struct bench_message *ret_message)
{
	const struct bench_message *message = side->peer->receive(side->end);

	if (!message)
		return -EIO;
	*ret_message = *message;
	return 0;
}

static void release(struct side *side)
{
	if (side->peer->release)
		side->peer->release(side->end);
}

static int flush(struct side *side)
{
	return side->peer->flush ? side->peer->flush(side->end) : 0;
}

static void sample(struct bench_run *run, int64_t ns)
{
	if (run->n_samples < BENCH_SAMPLES_MAX)
		run->samples[run->n_samples++] = ns;
}

/* Ping-pong: a message is given back when its answer is on the way, as a node does it.
 * ---------------------------------------------------------------------------------------- */

static int ping(struct side *side)
{
	struct bench_run *run = side->run;
	int64_t begun_ns = bench_now(), until_ns, now_ns = begun_ns;
	struct bench_message reply;

	until_ns = begun_ns + run->plan.warm_up_ns + run->plan.budget_ns;
	for (uint64_t seq = 0; now_ns < until_ns || !side->result->n; seq++) {
		int64_t sent_ns = now_ns;

		if (put(side, seq, sent_ns) || flush(side))
			return -EIO;
		if (seq)
			release(side);
		if (get(side, &reply))
			return -EIO;
		now_ns = bench_now();
		side->result->n_wrong += reply.seq != seq;
		if (sent_ns - begun_ns >= run->plan.warm_up_ns) {
			side->result->n++;
			sample(run, now_ns - sent_ns);
		}
	}
	if (put(side, BENCH_END, now_ns) || flush(side))
		return -EIO;
	release(side);
	return 0;
}

static int pong(struct side *side)
{
	struct bench_message message;

	for (;;) {
		if (get(side, &message))
			return -EIO;
		if (message.seq != BENCH_END &&
			(put(side, message.seq, message.sent_ns) || flush(side)))
			return -EIO;
		release(side);
		if (message.seq == BENCH_END)
			return 0;
	}
}

/* At full speed
 * ------------------------------------------------------------------------------------ */

static int pour(struct side *side)
{
	int64_t now_ns = bench_now(), warm_ns = now_ns + side->run->plan.warm_up_ns;
	int64_t until_ns = warm_ns + side->run->plan.budget_ns;
	uint64_t seq = 0, counted_from = 0;

	/* One who was held up all that time sends a few that count all the same. */
	for (; now_ns < until_ns || !side->result->first_ns; now_ns = bench_now()) {
		if (!side->result->first_ns && now_ns >= warm_ns) {
			side->result->first_ns = now_ns;
			counted_from = seq;
		}
		for (unsigned i = 0; i < LOOK_EVERY; i++)
			if (put(side, seq++, 0))
				return -EIO;
	}
	side->result->n = seq;
	side->result->n_counted = seq - counted_from;
	return put(side, BENCH_END, 0) || flush(side) ? -EIO : 0;
}

static int drink(struct side *side)
{
	struct bench_message message;

	for (uint64_t seq = 0;; seq++) {
		if (get(side, &message))
			return -EIO;
		release(side);
		if (message.seq == BENCH_END)
			break;
		side->result->n_wrong += message.seq != seq;
		side->result->n++;
	}
	side->result->last_ns = bench_now();
	return 0;
}

/* Paced
 * -------------------------------------------------------------------------------------------- */

static int tick_open(int64_t period_ns)
{
	struct itimerspec when = {.it_interval.tv_nsec = period_ns, .it_value.tv_nsec = period_ns};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd >= 0)
		timerfd_settime(fd, 0, &when, NULL);
	return fd;
}

static int pace(struct side *side)
{
	const struct bench_plan *plan = &side->run->plan;
	uint64_t n = (uint64_t)((plan->warm_up_ns + plan->budget_ns) / plan->period_ns), missed;
	int fd = tick_open(plan->period_ns), r = fd < 0 ? -errno : 0;

	for (uint64_t seq = 0; !r && seq <= n; seq++) {
		if (read(fd, &missed, sizeof(missed)) < 0)
			r = -errno;
		else if (put(side, seq < n ? seq : BENCH_END, bench_now()) || flush(side))
			r = -EIO;
	}
	side->result->n = n;
	close(fd);
	return r;
}

static int hear(struct side *side, int sampling)
{
	const struct bench_plan *plan = &side->run->plan;
	uint64_t warm = (uint64_t)(plan->warm_up_ns / plan->period_ns);
	const struct bench_message *message;
	struct bench_message copy;

	for (uint64_t seq = 0;; seq++) {
		int64_t now_ns;

		message = side->peer->receive(side->end);
		if (!message)
			return -EIO;
		copy = *message;
		now_ns = bench_now();
		release(side);
		if (copy.seq == BENCH_END)
			return 0;
		side->result->n_wrong += copy.seq != seq;
		side->result->n++;
		if (sampling && seq >= warm)
			sample(side->run, now_ns - copy.sent_ns);
	}
}

/* Life
 * --------------------------------------------------------------------------------------------- */

static void settle(const struct bench_plan *plan, unsigned index)
{
	cpu_set_t cpus;
	struct sched_param priority = {.sched_priority = 10};

	if (plan->place == BENCH_PINNED && sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		CPU_ZERO(&cpus);
		CPU_SET(index ? 1 : 0, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	if (plan->fifo)
		sched_setscheduler(0, SCHED_FIFO, &priority);
}

/* Waits until `n` have come to this point. */
static void meet(_Atomic uint32_t *count, uint32_t n)
{
	atomic_fetch_add(count, 1);
	while (atomic_load(count) < n)
		poll(NULL, 0, 1);
}

static int act(struct side *side, unsigned index)
{
	switch (side->run->plan.kind) {
	case BENCH_PING_PONG:
		return index ? pong(side) : ping(side);
	case BENCH_STREAM:
	case BENCH_FAN_OUT:
		return index ? drink(side) : pour(side);
	case BENCH_PACED:
		return index ? hear(side, index == 1) : pace(side);
	}
	return -EINVAL;
}

void bench_role(struct bench_run *run, const struct bench_peer *peer, unsigned index)
{
	struct side side = {.run = run, .peer = peer, .result = &run->results[index]};
	uint32_t n = 1 + run->plan.n_readers;
	int64_t cpu_ns;
	int r;

	settle(&run->plan, index);
	r = peer->open(run, index, &side.end);
	if (r) {
		side.result->failed = r;
		return;
	}
	meet(&run->n_ready, n);
	cpu_ns = cpu_time(CLOCK_PROCESS_CPUTIME_ID);
	r = act(&side, index);
	/* Threads of one process have one sum: the writer's. */
	if (!peer->threads || index == 0)
		side.result->cpu_ns = cpu_time(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
	side.result->failed = r;
	/* What is under way when its sender closes may be lost, with some. */
	if (!r)
		meet(&run->n_done, n);
	peer->close(side.end);
}

struct thread {
	struct bench_run *run;
	const struct bench_peer *peer;
	unsigned index;
};

static void *thread_main(void *argument)
{
	struct thread *thread = argument;

	bench_role(thread->run, thread->peer, thread->index);
	return NULL;
}

static void be_threads(struct bench_run *run, const struct bench_peer *peer)
{
	struct thread threads[1 + BENCH_READERS_MAX];
	pthread_t ids[1 + BENCH_READERS_MAX];

	for (unsigned i = 0; i <= run->plan.n_readers; i++) {
		threads[i] = (struct thread){.run = run, .peer = peer, .index = i};
		pthread_create(&ids[i], NULL, thread_main, &threads[i]);
	}
	for (unsigned i = 0; i <= run->plan.n_readers; i++)
		pthread_join(ids[i], NULL);
}

static int has_failed(const struct bench_run *run)
{
	for (unsigned i = 0; i <= run->plan.n_readers; i++)
		if (run->results[i].failed)
			return 1;
	return 0;
}

/* Waits for `n` children; after the deadline, or once one has failed, kills the rest. */
static int gather(const struct bench_run *run, pid_t *children, unsigned n)
{
	int64_t until_ns = bench_now() + run->plan.warm_up_ns + run->plan.budget_ns +
		DEADLINE_MS * INT64_C(1000000);
	int r = 0, status, killed = 0;
	unsigned left = n;

	while (left) {
		for (unsigned i = 0; i < n; i++) {
			if (children[i] <= 0 || waitpid(children[i], &status, WNOHANG) <= 0)
				continue;
			if (!WIFEXITED(status) || WEXITSTATUS(status))
				r = -EIO;
			children[i] = 0;
			left--;
		}
		if (left && !killed &&
			(r || has_failed(run) || bench_interrupted || bench_now() > until_ns)) {
			for (unsigned i = 0; i < n; i++)
				if (children[i] > 0)
					kill(children[i], SIGKILL);
			killed = 1;
			r = -EIO;
		}
		if (left)
			poll(NULL, 0, 2);
	}
	for (unsigned i = 0; i <= run->plan.n_readers; i++)
		if (run->results[i].failed)
			fprintf(stderr, "%s: process %u failed: %d\n", run->plan.peer, i,
				run->results[i].failed);
	return r || has_failed(run) ? -EIO : 0;
}

static int give_birth(
	struct bench_run *run, const struct bench_peer *peer, const char *program, const char *path)
{
	unsigned n = peer->threads || peer->launched ? 1 : 1 + run->plan.n_readers;
	pid_t children[1 + BENCH_READERS_MAX];

	fflush(NULL);
	for (unsigned i = 0; i < n; i++) {
		children[i] = fork();
		if (children[i])
			continue;
		bench_heed_signals(0);
		if (peer->launched)
			_exit(peer->launch(run, program, path) ? 1 : 0);
		if (peer->threads)
			be_threads(run, peer);
		else
			bench_role(run, peer, i);
		_exit(0);
	}
	return gather(run, children, n);
}

int bench_carry_out(struct bench_run *run, const char *program, const char *path)
{
	const struct bench_peer *peer = bench_peer_find(run->plan.peer);
	int64_t daemon_ns = 0;
	clockid_t clock;
	int r = peer->prepare ? peer->prepare(run) : 0;

	if (!r && run->plan.daemon && clock_getcpuclockid(run->plan.daemon, &clock) == 0)
		daemon_ns = -cpu_time(clock);
	if (!r)
		r = give_birth(run, peer, program, path);
	if (!r && run->plan.daemon && clock_getcpuclockid(run->plan.daemon, &clock) == 0)
		run->results[0].cpu_ns += daemon_ns + cpu_time(clock);
	if (peer->clean)
		peer->clean(run);
	return r;
}
