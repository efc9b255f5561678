/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader's side of a topic. The protocol and its memory order are told at the head of
 * segment.h.
 *
 * `next` is private and says what the next peek looks at; the shared cursor says what may be
 * reclaimed. They part for lazy subscribers only, who give frames back in batches, after they have
 * made them safe elsewhere.
 *
 * What the next peek will look at, and what it must find there to be done after one look, is worked
 * out beforehand (go_to), while nobody waits for it.
 *
 * A frame once handed out to one who may be lapped is kept here until release: its entry may be
 * marked RELEASED, and even turn over, while the hazard keeps the slot. Of all others the entry
 * stays until they give the frame back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/segment.h"

struct fnx_subscriber {
	const struct fnx_entry *entry; /* that of `next` */
	uint64_t due; /* its tag, once the frame is there */
	int at_once; /* 1: then the frame stays, and that look is enough */
	const unsigned char *hint; /* where the frame at `next` will probably lie, */
	uint32_t hinted_slot; /* in this one */
	uint32_t next_slot; /* where the one behind it will: as the newest entry read has it */
	uint64_t next;
	int turn; /* what the peek of `next` answered, FNX_FRAME or -EBADMSG; 0: not peeked */
	uint32_t streak; /* frames taken since the topic was last found empty */
	int guarded; /* frames may be lapped while they are read */
	int lazy;
	struct fnx_bus bus;
	struct fnx_mapping map;
	struct fnx_record *record;
	struct fnx_ringer ringer; /* of the publisher, who may sleep on a full pool */
	int ringer_pid;
	uint32_t ringer_form;
	uint64_t floor; /* what lies below was given up before we were seen */
	uint64_t committed;
	uint32_t state; /* of the record, as we set it: an evicted one differs */
	enum fnx_policy policy;
	int resumed;
	int asleep; /* parked, and not yet unparked by us */
	int64_t wake_at;
	uint64_t wake_head;
	uint64_t bit; /* ours among the sleepers */
	uint64_t known; /* head as last seen, for looking ahead */
	struct fnx_frame frame;
};

enum {
	AHEAD = 8, /* frames; payloads half as many */
};

/* Goes on at `seq`. Nobody takes a frame from one who is never lapped, and joined before it. */
static inline void go_to(struct fnx_subscriber *sub, uint64_t seq)
{
	sub->next = seq;
	sub->entry = fnx_mapping_entry(&sub->map, seq);
	sub->due = fnx_tag(seq, FNX_ENTRY_PUBLISHED);
	sub->hint = fnx_mapping_slot(&sub->map, sub->next_slot);
	sub->hinted_slot = sub->next_slot;
	sub->at_once = !sub->guarded && seq >= sub->floor;
}

static uint32_t record_state(uint32_t word)
{
	return word & 0xff;
}

static uint32_t next_generation(uint32_t word, enum fnx_record_state state)
{
	return ((word >> 8) + 1) << 8 | (uint32_t)state;
}

/* Opened at start-up, so that the first full pool costs no time; again when the publisher has a
 * successor elsewhere. */
static void open_ringer(struct fnx_subscriber *sub)
{
	const struct fnx_segment *segment = sub->map.segment;
	int pid = atomic_load_explicit(&segment->publisher_pid, memory_order_relaxed);
	uint32_t form = atomic_load_explicit(&segment->bell_form, memory_order_relaxed);

	if (fnx_ringer_is_open(&sub->ringer) && pid == sub->ringer_pid && form == sub->ringer_form)
		return;
	fnx_ringer_close(&sub->ringer);
	(void)!fnx_ringer_open(
		&sub->bus, sub->map.node, (enum fnx_bell_form)form, pid, &sub->ringer);
	sub->ringer_pid = pid;
	sub->ringer_form = form;
}

static void ring_writer(struct fnx_subscriber *sub)
{
	open_ringer(sub);
	if (fnx_ringer_is_open(&sub->ringer) && fnx_ringer_ring(&sub->ringer) < 0)
		fnx_ringer_close(&sub->ringer);
}

/* Rings a publisher that sleeps on a full pool. */
static void wake_writer(struct fnx_subscriber *sub)
{
	if (atomic_load(&sub->map.subs->writer_wake) &&
		atomic_exchange(&sub->map.subs->writer_wake, 0))
		ring_writer(sub);
}

/* Joining
 * ------------------------------------------------------------------------------------------- */

static void fill_record(struct fnx_record *record, const struct fnx_subscriber_config *config)
{
	atomic_store_explicit(&record->policy, (uint8_t)config->policy, memory_order_relaxed);
	atomic_store_explicit(&record->bell_form, (uint8_t)config->bell, memory_order_relaxed);
	atomic_store_explicit(&record->pid, getpid(), memory_order_relaxed);
	atomic_store_explicit(&record->parked, FNX_AWAKE, memory_order_relaxed);
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
		char node[FNX_NAME_MAX];

		fnx_record_get_node(record, node);
		if (record_state(word) != FNX_RECORD_ACTIVE || strcmp(node, config->node))
			continue;
		/* Changing the generation first keeps the publisher from evicting what we fill in;
		 * changing it again tells it to note what that was. */
		if (!atomic_compare_exchange_strong(&record->state, &word, mine))
			continue;
		fill_record(record, config);
		word = mine;
		mine = next_generation(word, FNX_RECORD_ACTIVE);
		if (!atomic_compare_exchange_strong(&record->state, &word, mine))
			continue;
		sub->record = record;
		sub->state = mine;
		sub->resumed = 1;
		return 1;
	}
	return 0;
}

/* May a newcomer have this record? One CLAIMED is left over from a joiner that died, if its lock
 * can be had. A monitor that is dead has no place to keep; `desperate`: nothing else was found. */
static int is_to_be_had(const struct fnx_subscriber *sub, const struct fnx_record *record,
	uint32_t word, int desperate)
{
	char node[FNX_NAME_MAX];

	if (record_state(word) != FNX_RECORD_ACTIVE)
		return 1;
	if (!desperate ||
		atomic_load_explicit(&record->policy, memory_order_relaxed) == FNX_LOSSLESS)
		return 0;
	fnx_record_get_node(record, node);
	return !fnx_name_valid(node) || fnx_presence_check(&sub->bus, node) == 0;
}

static int try_join(struct fnx_subscriber *sub, const struct fnx_subscriber_config *config,
	unsigned index, int desperate)
{
	struct fnx_record *record = &sub->map.subs->records[index];
	uint32_t word = atomic_load_explicit(&record->state, memory_order_acquire);
	uint32_t claimed = next_generation(word, FNX_RECORD_CLAIMED);

	if (!is_to_be_had(sub, record, word, desperate) ||
		fnx_mapping_lock_record(&sub->map, index) < 0 ||
		!atomic_compare_exchange_strong(&record->state, &word, claimed))
		return 0;
	fill_record(record, config);
	fnx_record_set_node(record, config->node);
	atomic_store_explicit(&record->gaps, 0, memory_order_relaxed);
	atomic_store_explicit(&record->missed, 0, memory_order_relaxed);
	/* Until we know where to begin: nothing is to be given up. */
	atomic_store_explicit(&record->cursor, 0, memory_order_relaxed);
	sub->state = next_generation(claimed, FNX_RECORD_ACTIVE);
	atomic_store(&record->state, sub->state);
	sub->record = record;
	return 1;
}

static int join(struct fnx_subscriber *sub, const struct fnx_subscriber_config *config)
{
	for (int desperate = 0; desperate <= 1; desperate++)
		for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
			if (try_join(sub, config, i, desperate))
				return 0;
	return -EUSERS;
}

/* 1: entry `seq` is of a frame that was published, whatever became of it since. */
static int is_published(const struct fnx_subscriber *sub, uint64_t seq)
{
	/* acquire: pairs with the publisher's tag store; the frame is complete */
	uint64_t tag =
		atomic_load_explicit(&fnx_mapping_entry(&sub->map, seq)->tag, memory_order_acquire);

	return tag >= fnx_tag(seq, FNX_ENTRY_PUBLISHED);
}

/* Where the predecessor stopped. It may have come beyond head, by frames that are tagged and not
 * yet counted; further only if somebody else wrote to our record. */
static uint64_t resumed_cursor(const struct fnx_subscriber *sub, uint64_t head)
{
	uint64_t cursor = atomic_load_explicit(&sub->record->cursor, memory_order_acquire);
	uint64_t end = head;

	while (end < cursor && end - head < sub->map.n_entries && is_published(sub, end))
		end++;
	return cursor < end ? cursor : end;
}

/* Visible first, and only then the start: see "join" in segment.h. */
static void attach(struct fnx_subscriber *sub, const struct fnx_subscriber_config *config)
{
	const struct fnx_segment *segment = sub->map.segment;
	uint64_t head;

	atomic_fetch_add(&sub->map.subs->joins, 1);
	sub->floor = atomic_load(&segment->releasing);
	head = atomic_load(&segment->head);
	if (sub->resumed)
		go_to(sub, resumed_cursor(sub, head));
	else
		go_to(sub, config->start == FNX_START_OLDEST ? sub->floor : head);
	atomic_store(&sub->record->cursor, sub->next);
	sub->committed = sub->next;
	/* A publisher that looked in between took us for one who has everything yet to read. And a
	 * predecessor may have died between taking back writer_wake and ringing. */
	if (sub->resumed)
		ring_writer(sub);
	else
		wake_writer(sub);
}

static int config_valid(const struct fnx_subscriber_config *config)
{
	return fnx_name_valid(config->topic) && fnx_name_valid(config->node) &&
		(config->policy == FNX_LOSSLESS || config->policy == FNX_LOSSY ||
			config->policy == FNX_LATEST) &&
		(config->start == FNX_START_NEXT || config->start == FNX_START_OLDEST);
}

int fnx_subscriber_open(const struct fnx_bus *bus, const struct fnx_subscriber_config *config,
	struct fnx_subscriber **ret)
{
	struct fnx_subscriber *sub;
	int r;

	if (!config_valid(config))
		return -EINVAL;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	sub->bus = *bus;
	sub->map.subs_fd = -1;
	r = fnx_mapping_open(bus, config->topic, 0, &sub->map);
	/* Its publisher has left, and died before it took the name away. */
	if (!r && atomic_load_explicit(&sub->map.segment->replaced, memory_order_acquire))
		r = -ENOENT;
	if (!r && config->schema_hash && config->schema_hash != sub->map.schema_hash)
		r = -EPROTO;
	if (!r && !resume(sub, config))
		r = join(sub, config);
	if (r) {
		fnx_mapping_close(&sub->map);
		free(sub);
		return r;
	}
	sub->bit = UINT64_C(1) << (sub->record - sub->map.subs->records);
	sub->policy = config->policy;
	sub->lazy = config->lazy;
	sub->guarded = config->policy != FNX_LOSSLESS || sub->map.full != FNX_FULL_WAIT;
	attach(sub, config);
	fnx_mapping_settle(&sub->map);
	open_ringer(sub);
	*ret = sub;
	return 0;
}

/* Reading
 * ------------------------------------------------------------------------------------------- */

/* Copies the entry of the frame at `next`. 0: it is damaged. */
static inline int read_entry(struct fnx_subscriber *sub, struct fnx_frame *ret_frame)
{
	const struct fnx_entry *entry = sub->entry;
	uint32_t slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);
	uint32_t length = atomic_load_explicit(&entry->length, memory_order_relaxed);
	struct fnx_stamp *stamp = &ret_frame->stamp;

	if (FNX_SELDOM(slot >= sub->map.n_slots || length > sub->map.slot_size))
		return 0;
	/* A guess that came true needs no waiting for the entry. */
	ret_frame->payload = sub->hint;
	if (FNX_SELDOM(slot != sub->hinted_slot))
		ret_frame->payload = fnx_mapping_slot(&sub->map, slot);
	ret_frame->seq = sub->next;
	ret_frame->length = length;
	stamp->sample_time = atomic_load_explicit(&entry->sample_time, memory_order_relaxed);
	stamp->ingress_ns = atomic_load_explicit(&entry->ingress_ns, memory_order_relaxed);
	stamp->publish_ns = atomic_load_explicit(&entry->publish_ns, memory_order_relaxed);
	stamp->origin = atomic_load_explicit(&entry->origin, memory_order_relaxed);
	stamp->flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
	sub->next_slot = atomic_load_explicit(&entry->next_slot, memory_order_relaxed);
	return 1;
}

static void set_hazard(struct fnx_subscriber *sub, uint64_t seq_plus_1)
{
	/* seq_cst: pairs with the publisher's fence between its tags and its look at hazards */
	atomic_store(&sub->record->hazards[0], seq_plus_1);
}

/* After a hazard or hold on `seq` was cleared [seq_cst]: a publisher that sleeps may have counted
 * on that slot. */
static void wake_writer_for_slot(struct fnx_subscriber *sub, uint64_t seq)
{
	if (atomic_load(&sub->map.subs->writer_wake) &&
		atomic_load(&fnx_mapping_entry(&sub->map, seq)->tag) !=
			fnx_tag(seq, FNX_ENTRY_PUBLISHED))
		wake_writer(sub);
}

/* The frame at `next` is not there any more: reports everything up to the oldest that is. */
static int report_gap(struct fnx_subscriber *sub, struct fnx_gap *ret_gap)
{
	const struct fnx_segment *segment = sub->map.segment;
	const struct fnx_entry *entry = fnx_mapping_entry(&sub->map, sub->next);
	uint64_t oldest = atomic_load_explicit(&segment->released, memory_order_acquire);
	uint32_t slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);
	struct fnx_gap gap = {.from = sub->next, .to = sub->next + 1, .reason = FNX_GAP_LAPPED};

	/* Checked after its slot was read: an entry that has turned over says nothing about ours.
	 */
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&entry->tag, memory_order_relaxed) ==
			fnx_tag(sub->next, FNX_ENTRY_RELEASED) &&
		slot == FNX_NO_SLOT)
		gap.reason = FNX_GAP_DROPPED;
	else if (oldest < sub->floor)
		oldest = sub->floor;
	if (gap.reason == FNX_GAP_LAPPED && oldest > gap.to)
		gap.to = oldest;
	if (sub->guarded)
		set_hazard(sub, 0);
	go_to(sub, gap.to);
	atomic_fetch_add_explicit(&sub->record->gaps, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&sub->record->missed, gap.to - gap.from, memory_order_relaxed);
	if (!sub->lazy)
		fnx_subscriber_commit(sub);
	*ret_gap = gap;
	return FNX_GAP;
}

/* One who is behind has what comes next fetched from the publisher's cache in good time. Only what
 * is published: the publisher is about to write the lines beyond. */
static __attribute__((noinline)) void fetch_ahead(struct fnx_subscriber *sub)
{
	const struct fnx_entry *entry = fnx_mapping_entry(&sub->map, sub->next + AHEAD / 2);

	if (sub->next >= sub->known)
		sub->known = atomic_load_explicit(&sub->map.segment->head, memory_order_relaxed);
	if (sub->next + AHEAD >= sub->known)
		return;
	__builtin_prefetch(fnx_mapping_entry(&sub->map, sub->next + AHEAD));
	__builtin_prefetch(fnx_mapping_slot(
		&sub->map, atomic_load_explicit(&entry->slot, memory_order_relaxed)));
}

/* The frame at `next` has been read from its entry: FNX_FRAME or -EBADMSG. */
static inline int hand_out(struct fnx_subscriber *sub, int whole)
{
	sub->turn = whole ? FNX_FRAME : -EBADMSG;
	sub->at_once = 0;
	if (FNX_SELDOM(++sub->streak >= AHEAD))
		fetch_ahead(sub);
	return sub->turn;
}

/* Takes the frame at `next`, which may be lapped meanwhile, or is not there any more: FNX_FRAME,
 * FNX_GAP or -EBADMSG. */
static int begin_turn(
	struct fnx_subscriber *sub, struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	struct fnx_frame frame;
	uint64_t tag;
	int whole;

	if (sub->next < sub->floor)
		return report_gap(sub, ret_gap);
	if (sub->guarded)
		set_hazard(sub, sub->next + 1);
	tag = atomic_load(&sub->entry->tag);
	if (tag != fnx_tag(sub->next, FNX_ENTRY_PUBLISHED))
		return report_gap(sub, ret_gap);
	whole = read_entry(sub, &frame);
	/* From here on the slot is ours until release; the entry may turn over, which tears the
	 * copy only if the sequence number changed meanwhile. */
	atomic_thread_fence(memory_order_acquire);
	tag = atomic_load_explicit(&sub->entry->tag, memory_order_relaxed);
	if (tag >> 2 != sub->next)
		return report_gap(sub, ret_gap);
	/* Its entry may turn over before it is asked for again. */
	if (sub->guarded)
		sub->frame = frame;
	if (whole)
		*ret_frame = frame;
	return hand_out(sub, whole);
}

/* Nothing was at `next` a moment ago. */
static int find_out_why(struct fnx_subscriber *sub)
{
	sub->streak = 0;
	if (atomic_load_explicit(&sub->record->state, memory_order_relaxed) != sub->state)
		return FNX_MOVED;
	/* acquire: the last frame was published before */
	if (!atomic_load_explicit(&sub->map.segment->replaced, memory_order_acquire))
		return FNX_NOTHING;
	return is_published(sub, sub->next) ? FNX_FRAME : FNX_MOVED;
}

static void skip_to_newest(struct fnx_subscriber *sub)
{
	uint64_t head = atomic_load_explicit(&sub->map.segment->head, memory_order_acquire);

	if (head > 0 && sub->next < head - 1)
		go_to(sub, head - 1);
}

/* `tag` was found at `next`, and is not all that there is to say. */
static __attribute__((noinline)) int look_closer(struct fnx_subscriber *sub, uint64_t tag,
	struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	int r = sub->turn;

	if (r == FNX_FRAME && sub->guarded)
		*ret_frame = sub->frame;
	else if (r == FNX_FRAME)
		r = hand_out(sub, read_entry(sub, ret_frame));
	if (r)
		return r;
	if (sub->policy == FNX_LATEST) {
		skip_to_newest(sub);
		tag = atomic_load_explicit(&sub->entry->tag, memory_order_acquire);
	}
	if (tag < fnx_tag(sub->next, FNX_ENTRY_PUBLISHED)) {
		r = find_out_why(sub);
		if (r != FNX_FRAME)
			return r;
	}
	return begin_turn(sub, ret_frame, ret_gap);
}

int fnx_subscriber_peek(
	struct fnx_subscriber *sub, struct fnx_frame *ret_frame, struct fnx_gap *ret_gap)
{
	uint64_t tag;

	/* Both lines are asked for at once; whoever looks again and again has both when the entry
	 * comes. After the look it would be one after the other. */
	__builtin_prefetch(sub->hint);
	/* acquire: pairs with the publisher's tag store; entry and payload are complete */
	tag = atomic_load_explicit(&sub->entry->tag, memory_order_acquire);
	/* What nobody takes from its reader stays as it is until it is given back: no second look,
	 * and no copy. */
	if (FNX_SELDOM(tag != sub->due || !sub->at_once))
		return look_closer(sub, tag, ret_frame, ret_gap);
	return hand_out(sub, read_entry(sub, ret_frame));
}

void fnx_subscriber_commit_to(struct fnx_subscriber *sub, uint64_t seq)
{
	uint64_t wake;

	assert(seq <= sub->next);
	if (seq <= sub->committed)
		return;
	sub->committed = seq;
	if (sub->map.full != FNX_FULL_WAIT) {
		/* release: what was read of these frames was read before they are given back */
		atomic_store_explicit(&sub->record->cursor, seq, memory_order_release);
		return;
	}
	/* seq_cst: pairs with the publisher's writer_wake store before it looks at cursors */
	atomic_store(&sub->record->cursor, seq);
	wake = atomic_load(&sub->map.subs->writer_wake);
	if (wake && seq >= wake)
		wake_writer(sub);
}

void fnx_subscriber_commit(struct fnx_subscriber *sub)
{
	fnx_subscriber_commit_to(sub, sub->next);
}

void fnx_subscriber_rewind(struct fnx_subscriber *sub)
{
	if (sub->turn && sub->guarded)
		set_hazard(sub, 0);
	sub->turn = 0;
	go_to(sub, sub->committed);
}

void fnx_subscriber_release(struct fnx_subscriber *sub)
{
	uint64_t seq = sub->next;

	assert(sub->turn);
	sub->turn = 0;
	go_to(sub, seq + 1);
	if (sub->guarded && sub->map.full == FNX_FULL_WAIT) {
		set_hazard(sub, 0);
		wake_writer_for_slot(sub, seq);
	}
	if (!sub->lazy)
		fnx_subscriber_commit(sub);
	if (sub->guarded && sub->map.full != FNX_FULL_WAIT)
		/* release: what was read of the frame was read before */
		atomic_store_explicit(&sub->record->hazards[0], 0, memory_order_release);
}

void fnx_subscriber_skip(struct fnx_subscriber *sub, uint64_t seq)
{
	uint64_t head = atomic_load_explicit(&sub->map.segment->head, memory_order_acquire);

	assert(!sub->turn);
	if (seq <= sub->next || (seq > head && !(seq == head + 1 && is_published(sub, head))))
		return;
	go_to(sub, seq);
	fnx_subscriber_commit(sub);
}

int fnx_subscriber_hold(struct fnx_subscriber *sub, uint64_t seq)
{
	assert(sub->turn && seq == sub->next);
	for (unsigned i = 1; i < FNX_HAZARDS; i++) {
		if (atomic_load_explicit(&sub->record->hazards[i], memory_order_relaxed))
			continue;
		/* Protected by hazards[0] or the cursor until release; seq_cst orders it before
		 * either moves. */
		atomic_store(&sub->record->hazards[i], seq + 1);
		return 0;
	}
	return -ENOBUFS;
}

void fnx_subscriber_drop(struct fnx_subscriber *sub, uint64_t seq)
{
	for (unsigned i = 1; i < FNX_HAZARDS; i++) {
		if (atomic_load_explicit(&sub->record->hazards[i], memory_order_relaxed) != seq + 1)
			continue;
		/* seq_cst: before the look at writer_wake */
		atomic_store(&sub->record->hazards[i], 0);
		if (sub->map.full == FNX_FULL_WAIT)
			wake_writer_for_slot(sub, seq);
		return;
	}
}

int64_t fnx_subscriber_watermark(const struct fnx_subscriber *sub, int64_t *ret_ingress_ns)
{
	const struct fnx_segment *segment = sub->map.segment;
	/* acquire: every frame below the watermark is visible to a peek that follows */
	int64_t watermark = atomic_load_explicit(&segment->watermark, memory_order_acquire);

	if (ret_ingress_ns)
		*ret_ingress_ns =
			atomic_load_explicit(&segment->watermark_ingress_ns, memory_order_relaxed);
	return watermark;
}

int64_t fnx_subscriber_end(const struct fnx_subscriber *sub)
{
	/* Written before the watermark of FNX_END, which the caller has seen with acquire. */
	return atomic_load_explicit(&sub->map.segment->end, memory_order_relaxed);
}

/* Sleeping and leaving
 * ------------------------------------------------------------------------------ */

/* Head when the frame after `patience` more is there. Whom no publisher spares may lose, in one
 * pass, what it leaves unread of a pool that is no larger than a few passes. */
static uint64_t head_behind(const struct fnx_subscriber *sub, uint32_t patience)
{
	uint32_t most = sub->map.n_slots / 4;

	if (sub->policy != FNX_LOSSLESS && most < FNX_GIVE_UP_MAX)
		most = 0;
	return sub->next + 1 + (patience < most ? patience : most);
}

/* Does a publisher sleep on a full pool of which we leave something unread? */
static int is_waited_for(const struct fnx_subscriber *sub)
{
	/* seq_cst: pairs with the publisher's writer_wake store before it looks at who dozes */
	return atomic_load(&sub->map.subs->writer_wake) && fnx_subscriber_lag(sub);
}

int fnx_subscriber_doze(struct fnx_subscriber *sub, int64_t wake_at, uint32_t patience)
{
	const struct fnx_segment *segment = sub->map.segment;

	sub->wake_at = wake_at;
	sub->wake_head = head_behind(sub, patience);
	sub->asleep = 1;
	atomic_store_explicit(&sub->record->wake_at, wake_at, memory_order_relaxed);
	atomic_store_explicit(&sub->record->wake_head, sub->wake_head, memory_order_relaxed);
	atomic_store_explicit(&sub->record->parked,
		sub->wake_head > sub->next + 1 ? FNX_DOZES : FNX_PARKED, memory_order_relaxed);
	/* seq_cst: pairs with the publisher's head, watermark and replaced stores before it looks
	 * at who sleeps; release: our record is complete */
	atomic_fetch_or(&sub->map.subs->sleepers, sub->bit);
	if (atomic_load(&segment->head) < sub->wake_head &&
		atomic_load(&segment->watermark) < wake_at && !atomic_load(&segment->replaced) &&
		!is_waited_for(sub))
		return 0;
	fnx_subscriber_unpark(sub);
	return 1;
}

int fnx_subscriber_due(const struct fnx_subscriber *sub, int64_t wake_at, uint32_t patience)
{
	const struct fnx_segment *segment = sub->map.segment;

	/* The tag rather than head: see peek. */
	return is_published(sub, head_behind(sub, patience) - 1) ||
		atomic_load_explicit(&segment->watermark, memory_order_relaxed) >= wake_at ||
		atomic_load_explicit(&segment->replaced, memory_order_relaxed) ||
		is_waited_for(sub);
}

int fnx_subscriber_park(struct fnx_subscriber *sub, int64_t wake_at)
{
	return fnx_subscriber_doze(sub, wake_at, 0);
}

int fnx_subscriber_pending(const struct fnx_subscriber *sub, int64_t wake_at)
{
	return fnx_subscriber_due(sub, wake_at, 0);
}

int fnx_subscriber_overslept(const struct fnx_subscriber *sub)
{
	const struct fnx_segment *segment = sub->map.segment;

	/* By our own word, not by `parked`: whoever rings clears that, and the ring may be lost all
	 * the same. */
	return sub->asleep &&
		(atomic_load(&segment->head) >= sub->wake_head ||
			atomic_load(&segment->watermark) >= sub->wake_at);
}

void fnx_subscriber_unpark(struct fnx_subscriber *sub)
{
	sub->asleep = 0;
	atomic_store_explicit(&sub->record->parked, FNX_AWAKE, memory_order_relaxed);
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
	return sub->map.node;
}

uint64_t fnx_subscriber_epoch(const struct fnx_subscriber *sub)
{
	return sub->map.epoch;
}

int fnx_subscriber_guarded(const struct fnx_subscriber *sub)
{
	return sub->guarded;
}

void fnx_subscriber_describe(const struct fnx_subscriber *sub, struct fnx_topic_config *ret_config)
{
	*ret_config = (struct fnx_topic_config){.schema_hash = sub->map.schema_hash,
		.schema = sub->map.schema,
		.schema_size = sub->map.schema_size,
		.slot_size = sub->map.slot_size,
		.n_slots = sub->map.n_slots,
		.n_entries = sub->map.n_entries,
		.full = sub->map.full,
		.epoch = sub->map.epoch};
}

/* Gives the record back, unless it was taken from us and is somebody else's now. */
static void leave(struct fnx_subscriber *sub)
{
	uint32_t word = sub->state;

	if (atomic_load_explicit(&sub->record->state, memory_order_relaxed) != word)
		return;
	for (unsigned i = 0; i < FNX_HAZARDS; i++)
		atomic_store(&sub->record->hazards[i], 0);
	if (atomic_compare_exchange_strong(
		    &sub->record->state, &word, next_generation(word, FNX_RECORD_FREE)))
		atomic_fetch_add(&sub->map.subs->joins, 1);
}

struct fnx_subscriber *fnx_subscriber_close(struct fnx_subscriber *sub)
{
	if (!sub)
		return NULL;
	leave(sub);
	/* A publisher that waits for this reader alone must look again. */
	wake_writer(sub);
	fnx_ringer_close(&sub->ringer);
	fnx_mapping_close(&sub->map);
	free(sub);
	return NULL;
}
