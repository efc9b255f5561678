/* SPDX-License-Identifier: BSD-3-Clause */
/* Cyclone DDS, between processes over the loopback interface; reliable, keeping all. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <dds/dds.h>

#include "dds_sample.h"
#include "tests/bench/peers.h"

struct end {
	struct bench_run *run;
	dds_entity_t participant, writer, reader, set;
	dds_peer_sample out;
	dds_peer_sample *in; /* loaned by the reader */
	struct bench_message head;
};

static dds_qos_t *quality(const struct bench_plan *plan)
{
	dds_qos_t *qos = dds_create_qos();

	dds_qset_reliability(qos, DDS_RELIABILITY_RELIABLE, DDS_SECS(10));
	dds_qset_history(qos, DDS_HISTORY_KEEP_ALL, 0);
	dds_qset_resource_limits(
		qos, plan->size > 65536 ? 8 : 1000, DDS_LENGTH_UNLIMITED, DDS_LENGTH_UNLIMITED);
	return qos;
}

/* Waits until `n` of the other kind are matched. */
static int await_match(dds_entity_t entity, int writing, uint32_t n)
{
	int64_t until_ns = bench_now() + INT64_C(10000000000);
	uint32_t matched = 0;

	while (matched < n) {
		dds_publication_matched_status_t readers;
		dds_subscription_matched_status_t writers;

		if (writing && dds_get_publication_matched_status(entity, &readers) == 0)
			matched = readers.current_count;
		if (!writing && dds_get_subscription_matched_status(entity, &writers) == 0)
			matched = writers.current_count;
		if (bench_now() > until_ns)
			return -ENOENT;
		if (matched < n)
			poll(NULL, 0, 1);
	}
	return 0;
}

static dds_entity_t topic_of(struct end *end, const char *name)
{
	return dds_create_topic(end->participant, &dds_peer_sample_desc, name, NULL, NULL);
}

static int open_end(struct bench_run *run, unsigned index, void **ret_end)
{
	int two_way = run->plan.kind == BENCH_PING_PONG, r = 0;
	struct end *end = calloc(1, sizeof(*end));
	dds_qos_t *qos = quality(&run->plan);

	if (!end)
		return -ENOMEM;
	end->run = run;
	end->participant = dds_create_participant(run->plan.id % 100, NULL, NULL);
	if (index == 0 || two_way)
		end->writer = dds_create_writer(
			end->participant, topic_of(end, index ? "back" : "there"), qos, NULL);
	if (index > 0 || two_way) {
		end->reader = dds_create_reader(
			end->participant, topic_of(end, index ? "there" : "back"), qos, NULL);
		end->set = dds_create_waitset(end->participant);
		dds_set_status_mask(end->reader, DDS_DATA_AVAILABLE_STATUS);
		dds_waitset_attach(end->set, end->reader, 0);
	}
	dds_delete_qos(qos);
	end->out.rest._length = end->out.rest._maximum =
		(uint32_t)(run->plan.size - sizeof(struct bench_message));
	end->out.rest._buffer = calloc(1, run->plan.size);
	*ret_end = end;
	if (end->writer < 0 || end->reader < 0)
		return -EIO;
	if (end->writer)
		r = await_match(end->writer, 1, index ? 1 : run->plan.n_readers);
	return !r && end->reader ? await_match(end->reader, 0, 1) : r;
}

static struct bench_message *loan(void *handle)
{
	struct end *end = handle;

	return &end->head;
}

static int send_sample(void *handle)
{
	struct end *end = handle;

	end->out.seq = end->head.seq;
	end->out.sent_ns = end->head.sent_ns;
	return dds_write(end->writer, &end->out) < 0 ? -EIO : 0;
}

static int flush(void *handle)
{
	struct end *end = handle;

	dds_write_flush(end->writer);
	return 0;
}

static const struct bench_message *receive(void *handle)
{
	struct end *end = handle;
	void *samples[1] = {NULL};
	dds_sample_info_t info;
	dds_attach_t woken;
	int n;

	for (;;) {
		n = dds_take(end->reader, samples, &info, 1, 1);
		if (n < 0)
			return NULL;
		if (n > 0 && info.valid_data)
			break;
		if (n > 0)
			dds_return_loan(end->reader, samples, n);
		else if (!end->run->plan.spin &&
			dds_waitset_wait(end->set, &woken, 1, DDS_SECS(10)) < 1)
			return NULL;
		samples[0] = NULL;
	}
	end->in = samples[0];
	/* The layout of its head is ours. */
	return (const struct bench_message *)(const void *)end->in;
}

static void release(void *handle)
{
	struct end *end = handle;
	void *samples[1] = {end->in};

	dds_return_loan(end->reader, samples, 1);
}

static void close_end(void *handle)
{
	struct end *end = handle;

	dds_delete(end->participant);
	free(end->out.rest._buffer);
	free(end);
}

const struct bench_peer bench_dds = {
	.name = "Cyclone DDS",
	.how = "reliable, keep all, loopback; wait set",
	.kinds = BENCH_PING_PONG | BENCH_STREAM | BENCH_FAN_OUT | BENCH_PACED,
	.spins = 1,
	.open = open_end,
	.loan = loan,
	.send = send_sample,
	.flush = flush,
	.receive = receive,
	.release = release,
	.close = close_end,
};
