/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The payload is copied once, into the slot: the price for readers that know nothing of links (see
 * docs/decisions/bridge.md).
 *
 * Frames of a round come one after the other. Whatever else comes means that a connection broke in
 * between: the inlet takes the next round number and asks from where it stands.
 */
#include "bus/inlet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SKIP_MAX = 4096, /* frames of a gap that are put down at a time */
	SLOTS_MAX = 65536,
	SLOT_SIZE_MAX = 64 << 20,
	POOL_SIZE_MAX = 1 << 30, /* a sender cannot have us fill the memory */
};

struct fnx_inlet {
	struct fnx_bus bus;
	struct fnx_inlet_config config;
	char topic[FNX_NAME_MAX], node[FNX_NAME_MAX];
	struct fnx_publisher *pub; /* NULL: nothing is known of the topic */
	uint64_t epoch;
	size_t slot_size;
	uint32_t window; /* frames granted at a time */
	int waits; /* wait publisher */
	uint32_t handle;
	uint64_t round;
	uint64_t limit; /* granted */
	uint64_t skip_to; /* end of a gap that is not all put down yet */
	int skipping; /* it can be gone on with at once */
	int ended;
	int news; /* to be asked at once */
	int starved; /* credit waits for room */
	char refusal[160];
	struct fnx_inlet_counts counts;
};

int fnx_inlet_open(const struct fnx_bus *bus, const struct fnx_inlet_config *config,
	uint32_t handle, uint64_t round, struct fnx_inlet **ret_inlet)
{
	struct fnx_inlet *inlet;

	if (!fnx_name_valid(config->topic) || !fnx_name_valid(config->node))
		return -EINVAL;
	inlet = calloc(1, sizeof(*inlet));
	if (!inlet)
		return -ENOMEM;
	inlet->bus = *bus;
	inlet->config = *config;
	strcpy(inlet->topic, config->topic);
	strcpy(inlet->node, config->node);
	inlet->config.topic = inlet->topic;
	inlet->config.node = inlet->node;
	inlet->handle = handle;
	inlet->round = round;
	*ret_inlet = inlet;
	return 0;
}

const char *fnx_inlet_topic(const struct fnx_inlet *inlet)
{
	return inlet->topic;
}

/* Where the next frame must go on: behind a gap that is still to be put down. */
static uint64_t next_of(const struct fnx_inlet *inlet)
{
	uint64_t head = inlet->pub ? fnx_publisher_head(inlet->pub) : 0;

	return inlet->skip_to > head ? inlet->skip_to : head;
}

static void begin_round(struct fnx_inlet *inlet)
{
	inlet->round++;
	inlet->limit = next_of(inlet);
	inlet->counts.rounds++;
	inlet->news = 1;
}

/* The topic
 * ------------------------------------------------------------------------------------------ */

static void leave(struct fnx_inlet *inlet)
{
	inlet->pub = fnx_publisher_close(inlet->pub);
	inlet->epoch = 0;
	inlet->skip_to = 0;
	inlet->skipping = inlet->ended = inlet->starved = 0;
}

static int is_sane(const struct fnx_wire_topic *topic)
{
	return topic->epoch && topic->n_slots >= 2 && topic->n_slots <= SLOTS_MAX &&
		topic->n_entries > topic->n_slots && topic->n_entries <= 4 * SLOTS_MAX &&
		topic->slot_size && topic->slot_size <= SLOT_SIZE_MAX &&
		topic->slot_size * topic->n_slots <= POOL_SIZE_MAX &&
		topic->first_seq < UINT64_MAX / 8 &&
		(topic->full == FNX_FULL_WAIT || topic->full == FNX_FULL_DROP);
}

static int make(struct fnx_inlet *inlet, const struct fnx_wire_topic *topic, const void *schema,
	size_t schema_size)
{
	struct fnx_topic_config config = {.name = inlet->topic,
		.node = inlet->node,
		.schema_hash = topic->schema_hash,
		.schema = schema,
		.schema_size = schema_size,
		.slot_size = topic->slot_size,
		.n_slots = topic->n_slots,
		.n_entries = topic->n_entries,
		.full = (enum fnx_full_policy)topic->full,
		.grace_ns = inlet->config.grace_ns,
		.bell = inlet->config.bell,
		.epoch = topic->epoch,
		.first_seq = topic->first_seq};

	return fnx_publisher_open(&inlet->bus, &config, &inlet->pub);
}

static void refuse(struct fnx_inlet *inlet, const char *why)
{
	snprintf(inlet->refusal, sizeof(inlet->refusal), "topic %s: %s", inlet->topic, why);
}

void fnx_inlet_topic_told(struct fnx_inlet *inlet, const struct fnx_wire_topic *topic,
	const void *schema, size_t schema_size)
{
	int r;

	if (inlet->pub && topic->epoch == inlet->epoch)
		return;
	if (!is_sane(topic)) {
		inlet->counts.refused++;
		return;
	}
	if (inlet->config.schema_hash && topic->schema_hash != inlet->config.schema_hash) {
		refuse(inlet,
			"the other machine runs another version of fornix; start all nodes "
			"from one build");
		return;
	}
	/* Another topic of this name: readers here move over as they would have there. */
	leave(inlet);
	r = make(inlet, topic, schema, schema_size);
	if (r < 0) {
		refuse(inlet,
			r == -EBUSY ? "another node of this machine publishes it" : strerror(-r));
		return;
	}
	inlet->refusal[0] = 0;
	inlet->epoch = topic->epoch;
	inlet->slot_size = topic->slot_size;
	inlet->window = topic->n_slots / 2;
	inlet->waits = topic->full == FNX_FULL_WAIT;
	inlet->ended = fnx_publisher_watermark(inlet->pub) == FNX_END;
	begin_round(inlet);
}

void fnx_inlet_left(struct fnx_inlet *inlet, const struct fnx_wire_left *left)
{
	if (inlet->pub && left->epoch == inlet->epoch) {
		leave(inlet);
		begin_round(inlet);
	}
}

/* Frames
 * ----------------------------------------------------------------------------------------- */

static int64_t local_ns(int64_t remote_ns, int64_t offset_ns, int64_t now_ns)
{
	int64_t ns = (int64_t)((uint64_t)remote_ns - (uint64_t)offset_ns);

	/* Nothing has happened later than now, whatever the estimate says. */
	return ns < now_ns ? ns : now_ns;
}

/* 1: a message of this round, on a topic that is open. */
static int is_current(const struct fnx_inlet *inlet, uint64_t round)
{
	return inlet->pub && round == inlet->round;
}

/* Puts down a gap up to `skip_to`, not all at once where it is long. 1: done. */
static int skip(struct fnx_inlet *inlet, int64_t now_ns)
{
	uint64_t head = fnx_publisher_head(inlet->pub), to = inlet->skip_to;

	inlet->skipping = 0;
	if (to > head + SKIP_MAX)
		to = head + SKIP_MAX;
	if (to > head && fnx_publisher_skip(inlet->pub, to, now_ns) < 0)
		return 0;
	inlet->skipping = to < inlet->skip_to;
	if (!inlet->skipping)
		inlet->skip_to = 0;
	return !inlet->skipping;
}

void fnx_inlet_frame(struct fnx_inlet *inlet, const struct fnx_wire_frame *entry,
	const void *payload, size_t size, int64_t offset_ns, int64_t now_ns)
{
	struct fnx_stamp stamp = {.sample_time = entry->sample_time,
		.ingress_ns = local_ns(entry->ingress_ns, offset_ns, now_ns),
		.publish_ns = local_ns(entry->publish_ns, offset_ns, now_ns),
		.origin = entry->origin,
		.flags = entry->flags};
	void *slot;
	int r;

	if (!is_current(inlet, entry->round))
		return;
	if (size > inlet->slot_size || entry->seq >= inlet->limit) {
		inlet->counts.refused++;
		return;
	}
	if (entry->seq < next_of(inlet))
		return;
	if (entry->seq > next_of(inlet) || !skip(inlet, now_ns)) {
		begin_round(inlet);
		return;
	}
	r = fnx_publisher_loan(inlet->pub, now_ns, &slot);
	if (r == -EAGAIN) {
		/* More than was granted had room: not by any sender of ours. */
		begin_round(inlet);
		return;
	}
	if (r < 0)
		return; /* dropped, and counted, as the topic's policy has it */
	memcpy(slot, payload, size);
	fnx_publisher_publish(inlet->pub, size, &stamp);
	if (inlet->counts.frames++ == 0)
		inlet->counts.first_time = stamp.sample_time;
	inlet->counts.last_time = stamp.sample_time;
}

void fnx_inlet_gap(struct fnx_inlet *inlet, const struct fnx_wire_gap *gap, int64_t now_ns)
{
	uint64_t next = next_of(inlet);

	if (!is_current(inlet, gap->round) || gap->to <= next)
		return;
	if (gap->from > next || gap->from >= gap->to || gap->to >= UINT64_MAX / 8) {
		inlet->counts.refused++;
		begin_round(inlet);
		return;
	}
	inlet->counts.gaps++;
	inlet->counts.missed += gap->to - next;
	inlet->skip_to = gap->to;
	skip(inlet, now_ns);
	inlet->news = 1;
}

void fnx_inlet_mark(struct fnx_inlet *inlet, const struct fnx_wire_mark *mark, int64_t offset_ns,
	int64_t now_ns)
{
	int64_t ingress_ns = local_ns(mark->ingress_ns, offset_ns, now_ns);

	if (!is_current(inlet, mark->round))
		return;
	/* What it speaks of has not come: it was lost, and is asked for. */
	if (mark->next != next_of(inlet) || !skip(inlet, now_ns)) {
		begin_round(inlet);
		return;
	}
	if (mark->watermark == FNX_END) {
		fnx_publisher_advance(inlet->pub, mark->end, ingress_ns);
		inlet->ended = inlet->news = 1;
	}
	fnx_publisher_advance(inlet->pub, mark->watermark, ingress_ns);
}

/* Asking
 * ------------------------------------------------------------------------------------------ */

static void renew_credit(struct fnx_inlet *inlet, int64_t now_ns)
{
	uint64_t next = next_of(inlet);

	if (inlet->skip_to)
		skip(inlet, now_ns);
	inlet->starved = 0;
	if (inlet->limit > next && inlet->limit - next > inlet->window / 2)
		return;
	if (inlet->skip_to || !fnx_publisher_room(inlet->pub, inlet->window, now_ns)) {
		inlet->starved = 1;
		return;
	}
	inlet->limit = next + inlet->window;
	inlet->news = 1;
}

void fnx_inlet_turn(
	struct fnx_inlet *inlet, struct fnx_link *link, int grant, int remind, int64_t now_ns)
{
	struct fnx_wire_ask ask = {.head = fnx_wire_head(FNX_WIRE_ASK), .handle = inlet->handle};

	if (inlet->pub && grant)
		renew_credit(inlet, now_ns);
	if (!inlet->news && !remind)
		return;
	ask.ended = (uint32_t)inlet->ended;
	ask.round = inlet->round;
	ask.epoch = inlet->epoch;
	ask.next = next_of(inlet);
	ask.limit = inlet->limit;
	memcpy(ask.topic, inlet->topic, sizeof(ask.topic));
	if (fnx_link_send(link, &ask, sizeof(ask)) == 0)
		inlet->news = 0;
}

int fnx_inlet_park(struct fnx_inlet *inlet, int64_t now_ns)
{
	if (!inlet->pub || !inlet->starved)
		return 0;
	if (inlet->skipping)
		return 1;
	return fnx_publisher_park(inlet->pub, inlet->window, now_ns) && !inlet->skip_to;
}

void fnx_inlet_unpark(struct fnx_inlet *inlet)
{
	if (inlet->pub)
		fnx_publisher_unpark(inlet->pub);
}

int fnx_inlet_is_open(const struct fnx_inlet *inlet)
{
	return inlet->pub != NULL;
}

int fnx_inlet_ended(const struct fnx_inlet *inlet)
{
	return inlet->ended;
}

const char *fnx_inlet_refusal(const struct fnx_inlet *inlet)
{
	return inlet->refusal[0] ? inlet->refusal : NULL;
}

const struct fnx_inlet_counts *fnx_inlet_counts(const struct fnx_inlet *inlet)
{
	return &inlet->counts;
}

struct fnx_inlet *fnx_inlet_close(struct fnx_inlet *inlet)
{
	if (inlet) {
		fnx_publisher_close(inlet->pub);
		free(inlet);
	}
	return NULL;
}
