/* SPDX-License-Identifier: BSD-3-Clause */
/* A bus with a thousand topics, all of them written and read by one process. */
#include "bus/topic.h"

#include "tests/unit/bus/topic_fixture.h"

enum {
	N_TOPICS = 1000,
	N_FRAMES = 20
};

static struct fnx_publisher *pubs[N_TOPICS];
static struct fnx_subscriber *subs[N_TOPICS];

/* A subscriber holds a descriptor of its publisher's bell. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void open_topic(const struct fnx_bus *bus, unsigned i)
{
	struct fnx_subscriber_config reading = subscriber_config("reader", FNX_LOSSLESS);
	struct fnx_topic_config writing = topic_config(FNX_FULL_WAIT, 4);
	char name[16];

	snprintf(name, sizeof(name), "topic.%u", i);
	writing.name = reading.topic = name;
	writing.slot_size = 8 + i % 512;
	assert_int_equal(fnx_publisher_open(bus, &writing, &pubs[i]), 0);
	assert_int_equal(fnx_subscriber_open(bus, &reading, &subs[i]), 0);
}

TEST(a_thousand_topics_on_one_bus_do_not_mix)
{
	struct fnx_bus bus = fixture_bus();
	struct fnx_frame frame;
	struct fnx_gap gap;

	allow_descriptors();
	for (unsigned i = 0; i < N_TOPICS; i++)
		open_topic(&bus, i);
	for (unsigned n = 0; n < N_FRAMES; n++) {
		for (unsigned i = 0; i < N_TOPICS; i++) {
			struct fnx_stamp stamp = {.sample_time = n, .origin = i};
			void *payload;

			assert_int_equal(fnx_publisher_loan(pubs[i], 0, &payload), 0);
			payload_fill(payload, i * N_FRAMES + n, 8 + i % 512);
			fnx_publisher_publish(pubs[i], 8 + i % 512, &stamp);
		}
		for (unsigned i = N_TOPICS; i-- > 0;) {
			assert_int_equal(fnx_subscriber_peek(subs[i], &frame, &gap), FNX_FRAME);
			assert_true(frame.seq == n && frame.stamp.origin == i);
			assert_int_equal(frame.length, 8 + i % 512);
			assert_true(payload_right(frame.payload, i * N_FRAMES + n, frame.length));
			fnx_subscriber_release(subs[i]);
		}
	}
	for (unsigned i = 0; i < N_TOPICS; i++) {
		fnx_subscriber_close(subs[i]);
		fnx_publisher_close(pubs[i]);
	}
}
