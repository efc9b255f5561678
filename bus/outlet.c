/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leases lie in a ring and are taken in order. ZeroMQ may be done with a later one first (a frame
 * that was sent twice, on two connections); the oldest one still busy says how far slots can be
 * given back.
 */
#include "bus/outlet.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	LEASES = 256, /* frames that ZeroMQ reads at a time without a copy */
	PATIENCE_MS = 1000, /* for ZeroMQ to be done */
	STILL_MAX = 20, /* asks that tell of no progress: about a second's */
};

struct lease {
	_Atomic int busy; /* 1 until ZeroMQ lets go of the slot */
	int held; /* by a hold word */
	uint64_t seq;
};

struct fnx_outlet {
	struct fnx_bus bus;
	struct fnx_subscriber_config config;
	char topic[FNX_NAME_MAX], node[FNX_NAME_MAX];
	struct fnx_subscriber *sub; /* NULL: the topic is not there */
	struct fnx_topic_config about; /* of the topic */
	int asked;
	uint32_t handle;
	uint64_t round, limit, asked_next, acked;
	uint64_t still_at; /* `next` of the ask before */
	unsigned n_still; /* asks in a row that said the same */
	int gap_pending;
	struct fnx_gap gap; /* to be told */
	int left; /* the topic has left; told or not */
	int64_t marked; /* watermark told last in this round */
	int ended; /* the other end has all of it */
	struct fnx_outlet_counts counts;
	uint64_t lease_head, lease_tail;
	struct lease leases[LEASES];
};

int fnx_outlet_open(const struct fnx_bus *bus, const struct fnx_subscriber_config *config,
	struct fnx_outlet **ret_outlet)
{
	struct fnx_outlet *outlet;

	if (!fnx_name_valid(config->topic) || !fnx_name_valid(config->node))
		return -EINVAL;
	outlet = calloc(1, sizeof(*outlet));
	if (!outlet)
		return -ENOMEM;
	outlet->bus = *bus;
	outlet->config = *config;
	strcpy(outlet->topic, config->topic);
	strcpy(outlet->node, config->node);
	outlet->config.topic = outlet->topic;
	outlet->config.node = outlet->node;
	outlet->config.lazy = 1;
	outlet->marked = INT64_MIN;
	*ret_outlet = outlet;
	return 0;
}

const char *fnx_outlet_topic(const struct fnx_outlet *outlet)
{
	return outlet->topic;
}

/* Leases
 * --------------------------------------------------------------------------------------------- */

/* On a thread of ZeroMQ's: nothing but this store. */
static void let_go(void *payload, void *hint)
{
	struct lease *lease = hint;

	(void)payload;
	/* release: ZeroMQ has read the slot before; pairs with the acquire in collect */
	atomic_store_explicit(&lease->busy, 0, memory_order_release);
}

/* Takes back what ZeroMQ is done with. Returns the lowest sequence number that it is not done
 * with. */
static uint64_t collect(struct fnx_outlet *outlet)
{
	uint64_t lowest = UINT64_MAX;

	for (uint64_t i = outlet->lease_tail; i < outlet->lease_head; i++) {
		struct lease *lease = &outlet->leases[i % LEASES];

		if (atomic_load_explicit(&lease->busy, memory_order_acquire)) {
			lowest = lease->seq < lowest ? lease->seq : lowest;
			continue;
		}
		if (lease->held)
			fnx_subscriber_drop(outlet->sub, lease->seq);
		lease->held = 0;
		if (i == outlet->lease_tail)
			outlet->lease_tail++;
	}
	return lowest;
}

/* Gives frames back that the other end has and ZeroMQ does not read. */
static void give_back(struct fnx_outlet *outlet)
{
	uint64_t limit = collect(outlet), next = fnx_subscriber_next(outlet->sub);

	/* Of one that may be lapped, hold words keep what is being read. */
	if (fnx_subscriber_guarded(outlet->sub) || limit > outlet->acked)
		limit = outlet->acked;
	fnx_subscriber_commit_to(outlet->sub, limit < next ? limit : next);
}

/* A message around the payload in its slot; a copy where no lease or hold word is free. -ENOMEM. */
static int wrap(struct fnx_outlet *outlet, const struct fnx_frame *frame, zmq_msg_t *ret_message)
{
	struct lease *lease = &outlet->leases[outlet->lease_head % LEASES];
	int held = 0;

	if (outlet->lease_head - outlet->lease_tail == LEASES)
		collect(outlet);
	if (outlet->lease_head - outlet->lease_tail == LEASES)
		lease = NULL;
	if (lease && fnx_subscriber_guarded(outlet->sub)) {
		held = fnx_subscriber_hold(outlet->sub, frame->seq) == 0;
		if (!held) {
			collect(outlet);
			held = fnx_subscriber_hold(outlet->sub, frame->seq) == 0;
		}
		lease = held ? lease : NULL;
	}
	if (!lease) {
		if (zmq_msg_init_size(ret_message, frame->length) < 0)
			return -ENOMEM;
		memcpy(zmq_msg_data(ret_message), frame->payload, frame->length);
		outlet->counts.copied++;
		return 0;
	}
	lease->seq = frame->seq;
	lease->held = held;
	atomic_store_explicit(&lease->busy, 1, memory_order_relaxed);
	outlet->lease_head++;
	if (zmq_msg_init_data(ret_message, (void *)(uintptr_t)frame->payload, frame->length, let_go,
		    lease) < 0) {
		let_go(NULL, lease);
		return -ENOMEM;
	}
	return 0;
}

/* Joining and leaving
 * -------------------------------------------------------------------------------- */

int fnx_outlet_join(struct fnx_outlet *outlet)
{
	int r;

	if (outlet->sub)
		return 0;
	r = fnx_subscriber_open(&outlet->bus, &outlet->config, &outlet->sub);
	if (r < 0)
		return r;
	fnx_subscriber_describe(outlet->sub, &outlet->about);
	outlet->acked = fnx_subscriber_next(outlet->sub);
	outlet->asked = 0;
	outlet->left = outlet->ended = 0;
	outlet->gap_pending = 0;
	outlet->marked = INT64_MIN;
	return 0;
}

/* Not while ZeroMQ reads its slots. */
static int leave(struct fnx_outlet *outlet)
{
	collect(outlet);
	if (outlet->lease_head != outlet->lease_tail)
		return -EAGAIN;
	outlet->sub = fnx_subscriber_close(outlet->sub);
	return 0;
}

/* Asking
 * ---------------------------------------------------------------------------------------------- */

static void tell_topic(struct fnx_outlet *outlet, struct fnx_link *link)
{
	const struct fnx_topic_config *about = &outlet->about;
	struct fnx_wire_topic topic = {.head = fnx_wire_head(FNX_WIRE_TOPIC),
		.handle = outlet->handle,
		.full = (uint32_t)about->full,
		.epoch = about->epoch,
		.schema_hash = about->schema_hash,
		.slot_size = about->slot_size,
		.n_slots = about->n_slots,
		.n_entries = about->n_entries,
		.first_seq = outlet->acked};
	zmq_msg_t schema;

	if (zmq_msg_init_size(&schema, about->schema_size) < 0)
		return;
	memcpy(zmq_msg_data(&schema), about->schema, about->schema_size);
	/* One that is lost is asked for again. */
	(void)!fnx_link_send_message(link, &topic, sizeof(topic), &schema);
}

static void begin_round(struct fnx_outlet *outlet, const struct fnx_wire_ask *ask)
{
	outlet->round = ask->round;
	outlet->asked_next = ask->next;
	outlet->limit = ask->limit;
	outlet->marked = INT64_MIN;
	fnx_subscriber_rewind(outlet->sub);
	/* This end was away for too long: what the other one asks for is not there any more. */
	outlet->gap = (struct fnx_gap){.from = ask->next, .to = fnx_subscriber_next(outlet->sub)};
	outlet->gap_pending = outlet->gap.from < outlet->gap.to;
	if (outlet->gap_pending) {
		outlet->counts.gaps++;
		outlet->counts.missed += outlet->gap.to - outlet->gap.from;
	}
}

void fnx_outlet_asked(
	struct fnx_outlet *outlet, struct fnx_link *link, const struct fnx_wire_ask *ask)
{
	if (!outlet->sub || outlet->left)
		return;
	outlet->handle = ask->handle;
	if (ask->epoch != outlet->about.epoch) {
		outlet->asked = 0;
		tell_topic(outlet, link);
		return;
	}
	outlet->n_still = ask->next == outlet->still_at ? outlet->n_still + 1 : 0;
	outlet->still_at = ask->next;
	/* The last frames, or the last mark, before a connection broke leave no hole by which the
	 * other end could see that they are missing: they are sent again. */
	if (!outlet->asked || ask->round != outlet->round || outlet->n_still >= STILL_MAX) {
		outlet->n_still = 0;
		begin_round(outlet, ask);
	}
	outlet->asked = 1;
	if (ask->limit > outlet->limit)
		outlet->limit = ask->limit;
	if (ask->next > outlet->acked)
		outlet->acked = ask->next;
	if (ask->ended)
		outlet->ended = 1;
	give_back(outlet);
}

/* Sending
 * --------------------------------------------------------------------------------------------- */

/* A gap as the other end sees it: what it has already is no part of it. */
static int tell_gap(struct fnx_outlet *outlet, struct fnx_link *link)
{
	struct fnx_wire_gap gap = {.head = fnx_wire_head(FNX_WIRE_GAP),
		.handle = outlet->handle,
		.round = outlet->round,
		.from = outlet->gap.from,
		.to = outlet->gap.to};
	int r = 0;

	if (gap.from < outlet->asked_next)
		gap.from = outlet->asked_next;
	if (gap.from < gap.to)
		r = fnx_link_send(link, &gap, sizeof(gap));
	if (r == 0)
		outlet->gap_pending = 0;
	return r;
}

static int send_frame(
	struct fnx_outlet *outlet, struct fnx_link *link, const struct fnx_frame *frame)
{
	struct fnx_wire_frame entry = {.head = fnx_wire_head(FNX_WIRE_FRAME),
		.handle = outlet->handle,
		.flags = frame->stamp.flags,
		.round = outlet->round,
		.seq = frame->seq,
		.sample_time = frame->stamp.sample_time,
		.ingress_ns = frame->stamp.ingress_ns,
		.publish_ns = frame->stamp.publish_ns,
		.origin = frame->stamp.origin};
	zmq_msg_t message;
	int r = wrap(outlet, frame, &message);

	if (r == 0)
		r = fnx_link_send_message(link, &entry, sizeof(entry), &message);
	if (r == 0)
		outlet->counts.frames++;
	return r;
}

/* `watermark` was read before the topic was found to have nothing more. */
static int tell_mark(
	struct fnx_outlet *outlet, struct fnx_link *link, int64_t watermark, int64_t ingress_ns)
{
	struct fnx_wire_mark mark = {.head = fnx_wire_head(FNX_WIRE_MARK),
		.handle = outlet->handle,
		.round = outlet->round,
		.next = fnx_subscriber_next(outlet->sub),
		.watermark = watermark,
		.ingress_ns = ingress_ns,
		.end = watermark == FNX_END ? fnx_subscriber_end(outlet->sub) : INT64_MIN};
	int r;

	if (watermark <= outlet->marked)
		return 0;
	if (mark.next < outlet->asked_next)
		mark.next = outlet->asked_next;
	r = fnx_link_send(link, &mark, sizeof(mark));
	if (r == 0)
		outlet->marked = watermark;
	return r;
}

static int tell_left(struct fnx_outlet *outlet, struct fnx_link *link)
{
	struct fnx_wire_left left = {.head = fnx_wire_head(FNX_WIRE_LEFT),
		.handle = outlet->handle,
		.epoch = outlet->about.epoch};
	int r = outlet->asked ? fnx_link_send(link, &left, sizeof(left)) : 0;

	if (r == 0 || r == -ENOTCONN)
		r = leave(outlet);
	return r == -EAGAIN ? FNX_NOTHING : r;
}

/* One step: FNX_FRAME: done, go on; FNX_NOTHING: there is nothing to do; negative: the link is
 * full. */
static int step(struct fnx_outlet *outlet, struct fnx_link *link)
{
	struct fnx_frame frame;
	int64_t ingress_ns, watermark = fnx_subscriber_watermark(outlet->sub, &ingress_ns);
	int r = fnx_subscriber_peek(outlet->sub, &frame, &outlet->gap);

	if (r == FNX_NOTHING)
		return tell_mark(outlet, link, watermark, ingress_ns);
	if (r == FNX_MOVED) {
		/* Its last word may have come after our look. */
		watermark = fnx_subscriber_watermark(outlet->sub, &ingress_ns);
		r = tell_mark(outlet, link, watermark, ingress_ns);
		/* What has not arrived may have to be sent again. */
		outlet->left = r == 0 &&
			(outlet->config.policy != FNX_LOSSLESS ||
				outlet->acked >= fnx_subscriber_next(outlet->sub));
		return r;
	}
	if (r == -EBADMSG) {
		outlet->gap.from = fnx_subscriber_next(outlet->sub);
		outlet->gap.to = outlet->gap.from + 1;
		fnx_subscriber_release(outlet->sub);
	}
	if (r != FNX_FRAME) {
		outlet->counts.gaps++;
		outlet->counts.missed += outlet->gap.to - outlet->gap.from;
		outlet->gap_pending = 1;
		return FNX_FRAME;
	}
	if (frame.seq >= outlet->asked_next) {
		if (frame.seq >= outlet->limit)
			return FNX_NOTHING;
		r = send_frame(outlet, link, &frame);
		if (r < 0)
			return r;
	}
	fnx_subscriber_release(outlet->sub);
	return FNX_FRAME;
}

int fnx_outlet_turn(struct fnx_outlet *outlet, struct fnx_link *link, unsigned budget)
{
	int r = FNX_FRAME;

	if (outlet->sub && outlet->left)
		return tell_left(outlet, link);
	if (!outlet->sub || !outlet->asked)
		return FNX_NOTHING;
	give_back(outlet);
	while (budget-- && r == FNX_FRAME) {
		if (outlet->gap_pending)
			r = tell_gap(outlet, link);
		r = r < 0 ? r : step(outlet, link);
	}
	return r;
}

int fnx_outlet_park(struct fnx_outlet *outlet)
{
	int r;

	/* One that has said all is looked at by the clock. */
	if (!outlet->sub || !outlet->asked || outlet->left || outlet->marked == FNX_END)
		return 0;
	r = fnx_subscriber_park(outlet->sub, outlet->marked + 1);
	/* Frames without credit are no work: more of it comes by the link. */
	return r && fnx_subscriber_next(outlet->sub) < outlet->limit;
}

void fnx_outlet_unpark(struct fnx_outlet *outlet)
{
	if (outlet->sub)
		fnx_subscriber_unpark(outlet->sub);
}

int fnx_outlet_granted(const struct fnx_outlet *outlet)
{
	return outlet->asked && outlet->limit > outlet->asked_next;
}

int fnx_outlet_finished(const struct fnx_outlet *outlet)
{
	return outlet->ended;
}

const struct fnx_outlet_counts *fnx_outlet_counts(const struct fnx_outlet *outlet)
{
	return &outlet->counts;
}

struct fnx_outlet *fnx_outlet_close(struct fnx_outlet *outlet)
{
	if (!outlet)
		return NULL;
	for (int waited_ms = 0; outlet->sub && leave(outlet) < 0; waited_ms++) {
		if (waited_ms == PATIENCE_MS)
			return NULL;
		poll(NULL, 0, 1);
	}
	free(outlet);
	return NULL;
}
