/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's side of a topic. The protocol and its memory order are told at the head of segment.h.
 *
 * `next` is private and says what the next peek looks at; the shared cursor says what may be reclaimed. They
 * part for lazy subscribers only, who give frames back in batches, after they have made them safe elsewhere.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/segment.h"

struct fnx_subscriber {
	struct fnx_bus bus;
	struct fnx_mapping map;
	struct fnx_record *record;
	struct fnx_ringer *ringer;   /* of the publisher, who may sleep on a full pool */
	uint64_t next;
	uint64_t head;               /* as last seen */
	uint64_t committed;
	uint32_t state;              /* of the record, as we set it: an evicted one differs */
	enum fnx_policy policy;
	int guarded;                 /* frames may be lapped while they are read */
	int lazy;
	int resumed;
};

static uint32_t record_state(uint32_t word)
{
	return word & 0xff;
}

static uint32_t next_generation(uint32_t word, enum fnx_record_state state)
{
	return ((word >> 8) + 1) << 8 | (uint32_t)state;
}

static void fill_record(struct fnx_record *record, const struct fnx_subscriber_config *config)
{
	atomic_store_explicit(&record->policy, (uint8_t)config->policy, memory_order_relaxed);
	atomic_store_explicit(&record->bell_form, (uint8_t)config->bell, memory_order_relaxed);
	atomic_store_explicit(&record->pid, getpid(), memory_order_relaxed);
	atomic_store_explicit(&record->parked, 0, memory_order_relaxed);
	for (unsigned i = 0; i < FNX_HAZARDS; i++)
		atomic_store_explicit(&record->hazards[i], 0, memory_order_relaxed);
}

/* A dead predecessor's record still stands at its cursor: take it over, and nothing is lost. */
static int resume(struct fnx_subscriber *sub, const struct fnx_subscriber_config *config)
{
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		struct fnx_record *record = &sub->map.subs->records[i];
		uint32_t word = atomic_load_explicit(&record->state, memory_order_acquire);
		uint32_t mine = next_generation(word, FNX_RECORD_ACTIVE);

		if (record_state(word) != FNX_RECORD_ACTIVE ||
			strncmp(record->node, config->node, sizeof(record->node)))
			continue;
		/* Changing the generation first keeps the publisher from evicting what we fill in. */
		if (!atomic_compare_exchange_strong(&record->state, &word, mine))
			continue;
		fill_record(record, config);
		sub->record = record;
		sub->state = mine;
		sub->next = atomic_load_explicit(&record->cursor, memory_order_acquire);
		sub->resumed = 1;
		return 1;
	}
	return 0;
}

static int join(struct fnx_subscriber *sub, const struct fnx_subscriber_config *config)
{
	const struct fnx_segment *segment = sub->map.segment;

	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		struct fnx_record *record = &sub->map.subs->records[i];
		uint32_t word = atomic_load_explicit(&record->state, memory_order_acquire);
		uint32_t claimed = next_generation(word, FNX_RECORD_CLAIMED);

		if (record_state(word) != FNX_RECORD_FREE ||
			!atomic_compare_exchange_strong(&record->state, &word, claimed))
			continue;
		fill_record(record, config);
		memset(record->node, 0, sizeof(record->node));
		memcpy(record->node, config->node, strnlen(config->node, FNX_NAME_MAX - 1));
		atomic_store_explicit(&record->gaps, 0, memory_order_relaxed);
		atomic_store_explicit(&record->missed, 0, memory_order_relaxed);
		atomic_store_explicit(&record->cursor,
			atomic_load_explicit(&segment->released, memory_order_acquire),
			memory_order_relaxed);
		sub->state = next_generation(claimed, FNX_RECORD_ACTIVE);
		atomic_store(&record->state, sub->state);
		sub->record = record;
		return 0;
	}
	return -EUSERS;
}

static void attach(struct fnx_subscriber *sub, const struct fnx_subscriber_config *config)
{
	const struct fnx_segment *segment = sub->map.segment;

	atomic_fetch_add(&sub->map.subs->joins, 1);
	if (sub->resumed)
		return;
	/* Visible first, and only then the start: whatever the publisher reclaims before it has seen us lies
	 * below a head that we read later. */
	if (config->start == FNX_START_OLDEST)
		sub->next = atomic_load(&segment->released);
	else
		sub->next = atomic_load(&segment->head);
	atomic_store(&sub->record->cursor, sub->next);
}

int fnx_subscriber_open(
	const struct fnx_bus *bus, const struct fnx_subscriber_config *config, struct fnx_subscriber **ret)
{
	struct fnx_subscriber *sub;
	int r;

	if (!fnx_name_valid(config->topic) || !fnx_name_valid(config->node))
		return -EINVAL;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	sub->bus = *bus;
	r = fnx_mapping_open(bus, config->topic, 0, &sub->map);
	if (!r && config->schema_hash && config->schema_hash != sub->map.segment->schema_hash)
		r = -EPROTO;
	if (!r && !resume(sub, config))
		r = join(sub, config);
	if (r) {
		fnx_mapping_close(&sub->map);
		free(sub);
		return r;
	}
	sub->policy = config->policy;
	sub->lazy = config->lazy;
	sub->guarded = config->policy != FNX_LOSSLESS || sub->map.full != FNX_FULL_WAIT;
	attach(sub, config);
	sub->committed = sub->next;
	*ret = sub;
	return 0;
}

static void read_entry(const struct fnx_mapping *map, const struct fnx_entry *entry, uint64_t seq,
	uint32_t *ret_slot, struct fnx_frame *frame)
{
	*ret_slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);
	frame->seq = seq;
	frame->length = atomic_load_explicit(&entry->length, memory_order_relaxed);
	frame->stamp.sample_time = atomic_load_explicit(&entry->sample_time, memory_order_relaxed);
	frame->stamp.ingress_ns = atomic_load_explicit(&entry->ingress_ns, memory_order_relaxed);
	frame->stamp.publish_ns = atomic_load_explicit(&entry->publish_ns, memory_order_relaxed);
	frame->stamp.origin = atomic_load_explicit(&entry->origin, memory_order_relaxed);
	frame->stamp.flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
	frame->payload = map->pool + (size_t)(*ret_slot < map->n_slots ? *ret_slot : 0) * map->slot_size;
}

static void set_hazard(struct fnx_subscriber *sub, uint64_t seq_plus_1)
{
	/* seq_cst: pairs with the publisher's tag store before it looks at hazards */
	atomic_store(&sub->record->hazards[0], seq_plus_1);
}

/* The frame at `next` is not there any more: report everything up to the oldest that is. */
static int report_gap(struct fnx_subscriber *sub, struct fnx_gap *ret_gap)
{
	const struct fnx_segment *segment = sub->map.segment;
	const struct fnx_entry *entry = fnx_mapping_entry(&sub->map, sub->next);
	uint64_t tag = atomic_load_explicit(&entry->tag, memory_order_acquire);
	uint64_t oldest = atomic_load_explicit(&segment->released, memory_order_acquire);
	int dropped = tag == fnx_tag(sub->next, FNX_ENTRY_RELEASED) &&
		atomic_load_explicit(&entry->slot, memory_order_relaxed) == FNX_NO_SLOT;

	ret_gap->from = sub->next;
	ret_gap->to = sub->next + 1;
	ret_gap->reason = FNX_GAP_LAPPED;
	if (dropped)
		ret_gap->reason = FNX_GAP_DROPPED;
	else if (oldest > ret_gap->to && oldest <= sub->head)
		ret_gap->to = oldest;
	sub->next = ret_gap->to;
	set_hazard(sub, 0);
	atomic_fetch_add_explicit(&sub->record->gaps, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(
		&sub->record->missed, ret_gap->to - ret_gap->from, memory_order_relaxed);
	if (!sub->lazy)
		fnx_subscriber_commit(sub);
	return FNX_GAP;
}

static int look_at_head(struct fnx_subscriber *sub)
{
	const struct fnx_segment *segment = sub->map.segment;

	/* pairs with the publisher's head store: entries below it are complete */
	sub->head = atomic_load_explicit(&segment->head, memory_order_acquire);
	if (sub->next < sub->head)
		return FNX_FRAME;
	if (atomic_load_explicit(&segment->replaced, memory_order_relaxed))
		return FNX_MOVED;
	return FNX_NOTHING;
}

int fnx_subscriber_peek(
	struct fnx_subscriber *sub, struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	const struct fnx_entry *entry;
	struct fnx_frame frame;
	uint64_t tag;
	uint32_t slot;
	int r;

	if (sub->next >= sub->head || sub->policy == FNX_LATEST) {
		r = look_at_head(sub);
		if (r != FNX_FRAME)
			return r;
		if (sub->policy == FNX_LATEST && sub->next < sub->head - 1)
			sub->next = sub->head - 1;
	}
	entry = fnx_mapping_entry(&sub->map, sub->next);
	if (sub->guarded)
		set_hazard(sub, sub->next + 1);
	tag = atomic_load(&entry->tag);
	if (tag != fnx_tag(sub->next, FNX_ENTRY_PUBLISHED))
		return report_gap(sub, ret_gap);
	read_entry(&sub->map, entry, sub->next, &slot, &frame);
	/* From here on the slot is ours until release; the entry may turn over, which tears the copy only if
	 * the sequence number changed meanwhile. */
	atomic_thread_fence(memory_order_acquire);
	tag = atomic_load_explicit(&entry->tag, memory_order_relaxed);
	if (tag >> 2 != sub->next || (tag & 3) == FNX_ENTRY_EMPTY)
		return report_gap(sub, ret_gap);
	if (slot >= sub->map.n_slots || frame.length > sub->map.slot_size)
		return -EBADMSG;
	*ret_frame = frame;
	return FNX_FRAME;
}

static void ring_writer(struct fnx_subscriber *sub)
{
	const struct fnx_segment *segment = sub->map.segment;
	int pid = atomic_load_explicit(&segment->publisher_pid, memory_order_relaxed);
	uint32_t form = atomic_load_explicit(&segment->bell_form, memory_order_relaxed);

	/* The first ring opens the bell; it is the publisher's first full pool, not the frame path. */
	if (!sub->ringer &&
		fnx_ringer_open(&sub->bus, segment->node, (enum fnx_bell_form)form, pid, &sub->ringer) < 0)
		return;
	if (fnx_ringer_ring(sub->ringer) < 0)
		sub->ringer = fnx_ringer_close(sub->ringer);
}

void fnx_subscriber_commit(struct fnx_subscriber *sub)
{
	_Atomic uint64_t *writer_wake = &sub->map.subs->writer_wake;
	uint64_t wake;

	if (sub->committed == sub->next)
		return;
	sub->committed = sub->next;
	if (sub->map.full != FNX_FULL_WAIT) {
		/* release: what was read of these frames was read before they are given back */
		atomic_store_explicit(&sub->record->cursor, sub->next, memory_order_release);
		return;
	}
	/* seq_cst: pairs with the publisher's writer_wake store before it looks at cursors */
	atomic_store(&sub->record->cursor, sub->next);
	wake = atomic_load(writer_wake);
	if (wake && sub->next >= wake && atomic_exchange(writer_wake, 0))
		ring_writer(sub);
}

void fnx_subscriber_release(struct fnx_subscriber *sub)
{
	sub->next++;
	if (!sub->lazy)
		fnx_subscriber_commit(sub);
	if (sub->guarded)
		atomic_store_explicit(&sub->record->hazards[0], 0, memory_order_release);
}

int fnx_subscriber_hold(struct fnx_subscriber *sub, uint64_t seq)
{
	for (unsigned i = 1; i < FNX_HAZARDS; i++) {
		if (atomic_load_explicit(&sub->record->hazards[i], memory_order_relaxed))
			continue;
		/* Protected by hazards[0] or the cursor until release; seq_cst orders it before either moves. */
		atomic_store(&sub->record->hazards[i], seq + 1);
		return 0;
	}
	return -ENOBUFS;
}

void fnx_subscriber_drop(struct fnx_subscriber *sub, uint64_t seq)
{
	for (unsigned i = 1; i < FNX_HAZARDS; i++)
		if (atomic_load_explicit(&sub->record->hazards[i], memory_order_relaxed) == seq + 1)
			atomic_store_explicit(&sub->record->hazards[i], 0, memory_order_release);
}

int64_t fnx_subscriber_watermark(const struct fnx_subscriber *sub, int64_t *ret_ingress_ns)
{
	const struct fnx_segment *segment = sub->map.segment;
	/* acquire: every frame below the watermark is visible to a look at head that follows */
	int64_t watermark = atomic_load_explicit(&segment->watermark, memory_order_acquire);

	if (ret_ingress_ns)
		*ret_ingress_ns = atomic_load_explicit(
			&segment->watermark_ingress_ns, memory_order_relaxed);
	return watermark;
}

int fnx_subscriber_park(struct fnx_subscriber *sub, int64_t wake_at)
{
	const struct fnx_segment *segment = sub->map.segment;

	atomic_store_explicit(&sub->record->wake_at, wake_at, memory_order_relaxed);
	/* seq_cst: pairs with the publisher's head and watermark stores before it looks at parked */
	atomic_store(&sub->record->parked, 1);
	if (atomic_load(&segment->head) <= sub->next && atomic_load(&segment->watermark) < wake_at &&
		!atomic_load_explicit(&segment->replaced, memory_order_relaxed))
		return 0;
	fnx_subscriber_unpark(sub);
	return 1;
}

void fnx_subscriber_unpark(struct fnx_subscriber *sub)
{
	atomic_store_explicit(&sub->record->parked, 0, memory_order_relaxed);
}

uint64_t fnx_subscriber_next(const struct fnx_subscriber *sub)
{
	return sub->next;
}

uint64_t fnx_subscriber_lag(const struct fnx_subscriber *sub)
{
	uint64_t head = atomic_load_explicit(&sub->map.segment->head, memory_order_acquire);

	return head > sub->next ? head - sub->next : 0;
}

int fnx_subscriber_resumed(const struct fnx_subscriber *sub)
{
	return sub->resumed;
}

const void *fnx_subscriber_schema(const struct fnx_subscriber *sub, size_t *ret_size)
{
	*ret_size = sub->map.schema_size;
	return sub->map.schema;
}

const char *fnx_subscriber_publisher(const struct fnx_subscriber *sub)
{
	return sub->map.segment->node;
}

struct fnx_subscriber *fnx_subscriber_close(struct fnx_subscriber *sub)
{
	uint32_t word;

	if (!sub)
		return NULL;
	fnx_subscriber_commit(sub);
	for (unsigned i = 0; i < FNX_HAZARDS; i++)
		atomic_store_explicit(&sub->record->hazards[i], 0, memory_order_release);
	word = sub->state;
	if (atomic_compare_exchange_strong(
		    &sub->record->state, &word, next_generation(word, FNX_RECORD_FREE)))
		atomic_fetch_add(&sub->map.subs->joins, 1);
	/* A publisher that waits for this reader alone must look again. */
	if (atomic_exchange(&sub->map.subs->writer_wake, 0))
		ring_writer(sub);
	fnx_ringer_close(sub->ringer);
	fnx_mapping_close(&sub->map);
	free(sub);
	return NULL;
}
