/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tap node: frame 1 the topic, frame 2 its message as a MessagePack map (schemas/codec.h).
 * Nothing but a ZeroMQ SUB socket and a MessagePack reader is needed at the other end.
 *
 * It must never hold the experiment up: its inputs are lossy, sending never blocks, and what nobody
 * subscribed to is not even encoded. Losses show in the sequence numbers.
 */
#include "nodes/tap/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/push.h"
#include "nodes/host/topics.h"
#include "schemas/codec.h"

/* A busy tap does not sleep: it looks for new subscribers this often. */
#define POLL_NS INT64_C(20000000)

struct tap {
	struct fnx_node *node;
	struct fnx_pub *pub;
	unsigned n_inputs;
	int wanted[FNX_RIG_TOPICS_MAX];
	int64_t polled_ns;
	uint64_t told_lost;
	void *buffer;
	size_t size;
};

static int tap_wanted(const struct fnx_rig *rig)
{
	return rig->tap.enabled;
}

static int open_pub(struct tap *tap)
{
	const struct fnx_rig *rig = fnx_node_rig(tap->node);
	const char *secret = rig->tap.curve_secret_file, *at_fault = NULL;
	char own[sizeof("ipc:///.pub") + FNX_NAME_MAX + sizeof(((struct fnx_bus *)NULL)->run_dir)];
	const char *endpoints[1] = {own};
	int r;

	snprintf(own, sizeof(own), "ipc://%s/%s.pub", fnx_node_bus(tap->node)->run_dir,
		fnx_node_name(tap->node));
	r = fnx_pub_open(
		rig->tap.endpoints.n ? (const char *const *)rig->tap.endpoints.values : endpoints,
		rig->tap.endpoints.n ? rig->tap.endpoints.n : 1,
		secret && secret[0] ? secret : NULL, &tap->pub, &at_fault);
	if (r == -EPERM)
		return fnx_node_fail(tap->node, r,
			"tap.endpoints: %s can be reached from outside; expected a key in "
			"tap.curve_secret_file",
			at_fault);
	if (r == -EKEYREVOKED)
		return fnx_node_fail(tap->node, r,
			"tap.curve_secret_file: others can read %s; expected mode 0600", secret);
	if (r == -EKEYREJECTED)
		return fnx_node_fail(tap->node, r,
			"tap.curve_secret_file: expected 40 characters of Z85 in %s", secret);
	if (r)
		return fnx_node_fail(tap->node, r, "tap.endpoints: cannot publish at %s: %s",
			at_fault ? at_fault : "any endpoint", strerror(-r));
	return 0;
}

static void tap_close(void *self)
{
	struct tap *tap = self;

	fnx_pub_close(tap->pub);
	free(tap->buffer);
	free(tap);
}

static int tap_open(struct fnx_node *node, void **ret_self)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int r;

	if (!tap)
		return fnx_node_fail(node, -ENOMEM, "out of memory");
	tap->node = node;
	r = fnx_node_input_topics(
		node, &fnx_node_rig(node)->tap.topics, "tap.topics", FNX_INPUT_LOSSY);
	if (!r)
		r = open_pub(tap);
	if (r)
		tap_close(tap);
	else
		*ret_self = tap;
	return r;
}

static int tap_start(void *self)
{
	struct tap *tap = self;

	tap->n_inputs = fnx_node_inputs(tap->node);
	for (unsigned i = 0; i < tap->n_inputs; i++) {
		size_t bound = fnx_codec_bound(fnx_node_input_layout(tap->node, i));

		if (bound > tap->size)
			tap->size = bound;
	}
	tap->buffer = malloc(tap->size);
	return tap->buffer ? 0 : fnx_node_fail(tap->node, -ENOMEM, "out of memory");
}

static void look_for_subscribers(struct tap *tap, int64_t now_ns)
{
	tap->polled_ns = now_ns;
	fnx_pub_poll(tap->pub);
	for (unsigned i = 0; i < tap->n_inputs; i++)
		tap->wanted[i] = fnx_pub_wanted(tap->pub, fnx_node_input_topic(tap->node, i));
}

static void tap_frame(void *self, unsigned input, const struct fnx_frame *frame)
{
	struct tap *tap = self;
	const struct fnx_codec_stamp stamp = {.seq = frame->seq,
		.sample_time = frame->stamp.sample_time,
		.ingress_ns = frame->stamp.ingress_ns,
		.publish_ns = frame->stamp.publish_ns,
		.flags = frame->stamp.flags};
	int64_t now_ns = fnx_node_now();
	size_t size;

	if (now_ns - tap->polled_ns >= POLL_NS)
		look_for_subscribers(tap, now_ns);
	if (!tap->wanted[input])
		return;
	/* A message that does not fit any more is one of a topic that began anew with other
	 * extents. */
	if (fnx_codec_encode(fnx_node_input_layout(tap->node, input), &stamp, frame->payload,
		    frame->length, tap->buffer, tap->size, &size))
		return;
	fnx_pub_send(tap->pub, fnx_node_input_topic(tap->node, input), tap->buffer, size);
}

static void tap_idle(void *self)
{
	struct tap *tap = self;
	uint64_t lost = fnx_pub_lost(tap->pub);

	look_for_subscribers(tap, fnx_node_now());
	if (lost && !tap->told_lost)
		fnx_node_say(tap->node, "a subscriber reads too slowly and loses messages");
	tap->told_lost = lost;
}

const struct fnx_node_ops fnx_tap_ops = {
	.type = "tap",
	.summary = "publishes topics over ZeroMQ, for scripts",
	.wanted = tap_wanted,
	.open = tap_open,
	.start = tap_start,
	.frame = tap_frame,
	.idle = tap_idle,
	.close = tap_close,
};
