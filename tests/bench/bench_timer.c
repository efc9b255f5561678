/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How late a bare timer comes: what the machine itself does while something else is measured on it.
 *
 *	bench_timer [CORE...]     (default: all that it may run on)
 *
 * A thread per core, above every node's priority, sleeps until one absolute time after the other and notes how late it
 * wakes. Runs until its standard input ends, and then prints a JSON array with an object per core. A moment that was slept
 * through counts as late as it was: a stop of 20 ms is ten late moments, as it would be for whoever works by the clock.
 *
 * The period is a multiple of nothing, so that it does not keep step with what is measured.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
	CORES_MAX = 64,
	PERIOD_NS = 1987000,
	SAMPLES_MAX = 1 << 17, /* some four minutes */
	PRIORITY = 90,
};

struct timer {
	int core;
	int is_fifo;
	int fd;
	pthread_t thread;
	uint32_t n;
	int64_t late_ns[SAMPLES_MAX];
};

static _Atomic int over;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *tick(void *argument)
{
	struct timer *timer = argument;
	int64_t due_ns = now_ns() + PERIOD_NS;

	for (; !atomic_load(&over) && timer->n < SAMPLES_MAX; due_ns += PERIOD_NS) {
		const struct itimerspec due = {.it_value = {.tv_sec = due_ns / 1000000000,
						       .tv_nsec = due_ns % 1000000000}};
		uint64_t n_expired;

		timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &due, NULL);
		while (read(timer->fd, &n_expired, sizeof(n_expired)) < 0 && errno == EINTR)
			;
		timer->late_ns[timer->n++] = now_ns() - due_ns;
	}
	return NULL;
}

static int start(struct timer *timer)
{
	const struct sched_param param = {.sched_priority = PRIORITY};
	cpu_set_t cores;
	int r;

	CPU_ZERO(&cores);
	CPU_SET((size_t)timer->core, &cores);
	timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (timer->fd < 0)
		return errno;
	r = pthread_create(&timer->thread, NULL, tick, timer);
	if (r)
		return r;
	r = pthread_setaffinity_np(timer->thread, sizeof(cores), &cores);
	timer->is_fifo = !pthread_setschedparam(timer->thread, SCHED_FIFO, &param);
	return r;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double quantile_us(const struct timer *timer, double q)
{
	uint32_t at = (uint32_t)(q * timer->n);

	return timer->n ? (double)timer->late_ns[at < timer->n ? at : timer->n - 1] / 1e3 : 0;
}

static void print(struct timer *timer)
{
	qsort(timer->late_ns, timer->n, sizeof(timer->late_ns[0]), compare);
	printf("{\"core\": %d, \"fifo\": %s, \"n\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"p999_us\": %.1f, \"max_us\": %.1f}",
		timer->core, timer->is_fifo ? "true" : "false", timer->n, quantile_us(timer, 0.5),
		quantile_us(timer, 0.99), quantile_us(timer, 0.999), quantile_us(timer, 1));
}

static int choose_cores(int argc, char **argv, int *ret_cores)
{
	cpu_set_t mine;
	int n = 0;

	for (int i = 1; i < argc && n < CORES_MAX; i++)
		ret_cores[n++] = atoi(argv[i]);
	if (n)
		return n;
	sched_getaffinity(0, sizeof(mine), &mine);
	for (int core = 0; core < CPU_SETSIZE && n < CORES_MAX; core++)
		if (CPU_ISSET((size_t)core, &mine))
			ret_cores[n++] = core;
	return n;
}

int main(int argc, char **argv)
{
	int cores[CORES_MAX], n = choose_cores(argc, argv, cores), r = 0;
	struct timer *timers = calloc((size_t)n, sizeof(*timers));
	char byte;

	if (!timers)
		return 1;
	/* No page fault in between, where that is permitted. */
	(void)!mlockall(MCL_CURRENT | MCL_FUTURE);
	for (int i = 0; i < n; i++) {
		timers[i].core = cores[i];
		r = start(&timers[i]);
		if (r) {
			fprintf(stderr, "bench_timer: core %d: %s\n", cores[i], strerror(r));
			return 1;
		}
	}
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	atomic_store(&over, 1);
	for (int i = 0; i < n; i++) {
		pthread_join(timers[i].thread, NULL);
		close(timers[i].fd);
		fputs(i ? ", " : "[", stdout);
		print(&timers[i]);
	}
	printf("]\n");
	free(timers);
	return 0;
}
