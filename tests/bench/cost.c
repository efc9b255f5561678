/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "tests/bench/bench.h"

enum {
	BATCH = 64,
	N_BATCHES = 2000,
	N_SLOTS = 512,
};

struct setting {
	struct fnx_bus bus;
	struct fnx_publisher *pub;
	struct fnx_subscriber *subs[FNX_SUBSCRIBERS_MAX];
	unsigned n;
};

static int set_up(struct setting *s, const char *dir, unsigned n, int lazy)
{
	struct fnx_topic_config topic = {.name = "cost",
		.node = "writer",
		.slot_size = 64,
		.n_slots = N_SLOTS,
		.full = FNX_FULL_WAIT,
		.grace_ns = 1000000000,
		.bell = FNX_BELL_FORM_PIPE};
	char name[32], run_dir[BENCH_DIR_MAX + 8];
	int r;

	snprintf(name, sizeof(name), "bench-cost-%s", strrchr(dir, '-') + 1);
	snprintf(run_dir, sizeof(run_dir), "%s/bus", dir);
	r = fnx_bus_init(&s->bus, name, NULL, run_dir);
	if (!r)
		r = fnx_bus_create(&s->bus, NULL);
	if (!r)
		r = fnx_publisher_open(&s->bus, &topic, &s->pub);
	for (s->n = 0; !r && s->n < n; s->n++) {
		struct fnx_subscriber_config config = {.topic = "cost",
			.node = name,
			.policy = FNX_LOSSLESS,
			.bell = FNX_BELL_FORM_PIPE,
			.lazy = lazy};

		snprintf(name, sizeof(name), "reader%u", s->n);
		r = fnx_subscriber_open(&s->bus, &config, &s->subs[s->n]);
	}
	return r;
}

static void tear_down(struct setting *s)
{
	for (unsigned i = 0; i < s->n; i++)
		fnx_subscriber_close(s->subs[i]);
	fnx_publisher_close(s->pub);
	(void)!fnx_bus_remove(&s->bus);
}

static int publish(struct setting *s)
{
	static const struct fnx_stamp stamp = {.sample_time = 0};
	void *payload;

	if (fnx_publisher_loan(s->pub, 0, &payload) < 0)
		return -1;
	*(volatile uint64_t *)payload = 1;
	fnx_publisher_publish(s->pub, 64, &stamp);
	return 0;
}

static int take(struct fnx_subscriber *sub)
{
	struct fnx_frame frame;
	struct fnx_gap gap;

	if (fnx_subscriber_peek(sub, &frame, &gap) != FNX_FRAME)
		return -1;
	(void)*(const volatile uint64_t *)frame.payload;
	fnx_subscriber_release(sub);
	return 0;
}

static void take_all(struct setting *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		while (take(s->subs[i]) == 0)
			;
		fnx_subscriber_commit(s->subs[i]);
	}
}

double bench_cost_publish(const char *dir, unsigned n_subscribers)
{
	struct setting s = {.n = 0};
	int64_t sum_ns = 0, begun_ns;
	int r = set_up(&s, dir, n_subscribers, 1);

	for (unsigned batch = 0; !r && batch < N_BATCHES; batch++) {
		begun_ns = bench_now();
		for (unsigned i = 0; i < BATCH; i++)
			r |= publish(&s);
		sum_ns += bench_now() - begun_ns;
		take_all(&s);
	}
	tear_down(&s);
	return r ? -1 : (double)sum_ns / BATCH / N_BATCHES;
}

double bench_cost_publish_and_take(const char *dir)
{
	struct setting s = {.n = 0};
	int64_t begun_ns;
	int r = set_up(&s, dir, 1, 0);

	begun_ns = bench_now();
	for (unsigned i = 0; !r && i < BATCH * N_BATCHES; i++)
		r = publish(&s) || take(s.subs[0]);
	begun_ns = bench_now() - begun_ns;
	tear_down(&s);
	return r ? -1 : (double)begun_ns / BATCH / N_BATCHES;
}
