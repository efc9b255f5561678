/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer's side of a topic. The protocol and its memory order are told at the head of
 * segment.h.
 *
 * Slots lie in a private free list. When it is empty, one pass over the subscribers tells how far
 * frames can be given up; what is found in use although its frame is given up goes to `pinned`, in
 * the segment, where a successor of a dead publisher finds it. A pass gives up a bounded number of
 * frames, so that the one loan that pays for it is not much slower than the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/readers.h"
#include "bus/validate.h"

struct fnx_publisher {
	uint32_t *free_slots;
	uint32_t n_free;
	uint32_t loaned; /* slot, FNX_NO_SLOT: none */
	void *payload; /* that the next loan gives, if there is one free */
	uint64_t head; /* of the frames that exist; `told` of them are counted in the segment */
	struct fnx_entry *entry; /* that of `head` */
	uint64_t told;
	uint64_t released;
	uint32_t n_pinned;
	int adopted;
	struct fnx_mapping map;
	struct fnx_readers readers;
	struct fnx_bus bus;
};

enum {
	LAP_FRACTION = 16, /* a laggard loses 1/16 of the pool at a time */
	AHEAD = 4, /* frames whose memory is fetched before they are written */
	SCHEMA_SIZE_MAX = 16 * 1024 * 1024,
};

/* Reclaiming
 * --------------------------------------------------------------------------------------- */

static void free_slot(struct fnx_publisher *pub, uint32_t slot)
{
	assert(pub->n_free < pub->map.n_slots);
	pub->free_slots[pub->n_free++] = slot;
	pub->payload = fnx_mapping_slot(&pub->map, slot);
}

static void pin(struct fnx_publisher *pub, uint64_t seq, uint32_t slot)
{
	for (uint32_t i = 0; i < FNX_PINNED_MAX; i++) {
		struct fnx_pinned *pinned = &pub->map.segment->pinned[i];

		if (atomic_load_explicit(&pinned->seq_plus_1, memory_order_relaxed))
			continue;
		atomic_store_explicit(&pinned->slot, slot, memory_order_relaxed);
		atomic_store_explicit(&pinned->seq_plus_1, seq + 1, memory_order_release);
		pub->n_pinned++;
		return;
	}
	assert(!"more pinned slots than hazards: each hazard pins one sequence number");
}

static void unpin(struct fnx_publisher *pub, const struct fnx_hazards *hazards)
{
	if (!pub->n_pinned)
		return;
	for (uint32_t i = 0; i < FNX_PINNED_MAX; i++) {
		struct fnx_pinned *pinned = &pub->map.segment->pinned[i];
		uint64_t seq_plus_1 =
			atomic_load_explicit(&pinned->seq_plus_1, memory_order_relaxed);

		if (!seq_plus_1 || fnx_hazards_contain(hazards, seq_plus_1 - 1))
			continue;
		free_slot(pub, (uint32_t)atomic_load_explicit(&pinned->slot, memory_order_relaxed));
		atomic_store_explicit(&pinned->seq_plus_1, 0, memory_order_relaxed);
		pub->n_pinned--;
	}
}

/* Says how far this pass goes, and looks once more who is there: see "join" in segment.h. A
 * lossless newcomer to a wait publisher shortens the pass; all others are seen by what they are
 * reading. Returns the end of the pass. */
static uint64_t announce(struct fnx_publisher *pub, uint64_t limit)
{
	struct fnx_segment *segment = pub->map.segment;
	uint64_t lowest, second;

	atomic_store(&segment->releasing, limit);
	if (atomic_load(&pub->map.subs->joins) == pub->readers.joins)
		return limit;
	fnx_readers_refresh(&pub->readers);
	if (pub->map.full != FNX_FULL_WAIT)
		return limit;
	lowest = fnx_readers_lowest(&pub->readers, pub->released, pub->head, &second);
	if (lowest < limit) {
		limit = lowest;
		atomic_store(&segment->releasing, limit);
	}
	return limit;
}

/* Gives up the payloads of [released, limit), as was announced, and takes back what is pinned no
 * more. */
static void release_to(struct fnx_publisher *pub, uint64_t limit)
{
	struct fnx_hazards hazards;

	for (uint64_t seq = pub->released; seq < limit; seq++)
		atomic_store_explicit(&fnx_mapping_entry(&pub->map, seq)->tag,
			fnx_tag(seq, FNX_ENTRY_RELEASED), memory_order_relaxed);
	/* Tags before hazards; pairs with the reader, who stores its hazard before it looks at the
	 * tag. */
	atomic_thread_fence(memory_order_seq_cst);
	fnx_readers_hazards(&pub->readers, limit, &hazards);
	unpin(pub, &hazards);
	for (uint64_t seq = pub->released; seq < limit; seq++) {
		const struct fnx_entry *entry = fnx_mapping_entry(&pub->map, seq);
		uint32_t slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);

		if (slot == FNX_NO_SLOT)
			continue;
		if (fnx_hazards_contain(&hazards, seq))
			pin(pub, seq, slot);
		else
			free_slot(pub, slot);
	}
	pub->released = limit;
	atomic_store_explicit(&pub->map.segment->released, limit, memory_order_release);
}

static void give_up(struct fnx_publisher *pub, uint64_t limit)
{
	release_to(pub, limit > pub->released ? announce(pub, limit) : limit);
}

/* Gives up what every lossless reader has passed, until `n` slots are free. */
static void give_up_passed(struct fnx_publisher *pub, uint32_t n)
{
	uint64_t before, limit, second;

	do {
		before = pub->released;
		limit = fnx_readers_lowest(&pub->readers, before, pub->head, &second);
		give_up(pub, limit - before > FNX_GIVE_UP_MAX ? before + FNX_GIVE_UP_MAX : limit);
	} while (pub->n_free < n && pub->released > before);
}

static void lap(struct fnx_publisher *pub)
{
	uint64_t second,
		lowest = fnx_readers_lowest(&pub->readers, pub->released, pub->head, &second);
	uint64_t batch = pub->map.n_slots / LAP_FRACTION;
	uint64_t limit;

	if (batch > FNX_GIVE_UP_MAX)
		batch = FNX_GIVE_UP_MAX;
	limit = pub->released + (batch ? batch : 1);
	/* The others lose nothing as long as the laggard has anything to lose. */
	if (lowest == pub->released)
		lowest = second;
	if (limit > lowest)
		limit = lowest;
	fnx_readers_count_lapped(&pub->readers, pub->released, limit);
	give_up(pub, limit);
}

/* Tries to have `n` slots free, first without harm to anybody, then by evicting the dead, and for a
 * drop publisher by lapping whoever lags most. For one that waits, by waking those who leave frames
 * unread. */
static void reclaim(struct fnx_publisher *pub, uint32_t n, int64_t now_ns)
{
	fnx_readers_refresh(&pub->readers);
	give_up_passed(pub, n);
	if (pub->n_free >= n)
		return;
	if (fnx_readers_evict(&pub->readers, pub->released, now_ns))
		give_up_passed(pub, n);
	/* One whose oldest slots are all being read goes on to younger ones. */
	while (!pub->n_free && pub->map.full == FNX_FULL_DROP && pub->released < pub->head)
		lap(pub);
	/* No frame that would ring them can come before they give room. */
	if (pub->map.full == FNX_FULL_WAIT && pub->n_free < n)
		fnx_readers_ring_dozers(&pub->readers, pub->head);
}

int fnx_publisher_room(struct fnx_publisher *pub, uint32_t n, int64_t now_ns)
{
	if (pub->n_free >= n || pub->map.full == FNX_FULL_DROP)
		return 1;
	reclaim(pub, n, now_ns);
	return pub->n_free >= n;
}

/* Frames
 * -------------------------------------------------------------------------------------------- */

static inline void write_entry(
	struct fnx_publisher *pub, uint32_t slot, size_t length, const struct fnx_stamp *stamp)
{
	struct fnx_entry *entry = pub->entry;
	enum fnx_entry_state state = slot == FNX_NO_SLOT ? FNX_ENTRY_RELEASED : FNX_ENTRY_PUBLISHED;
	uint64_t head = pub->head;

	assert(head - pub->released < pub->map.n_entries);
	/* A lapped reader may be copying this entry: it will find the tag changed. */
	atomic_store_explicit(&entry->tag, fnx_tag(head, FNX_ENTRY_EMPTY), memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&entry->slot, slot, memory_order_relaxed);
	atomic_store_explicit(&entry->length, (uint32_t)length, memory_order_relaxed);
	atomic_store_explicit(&entry->sample_time, stamp->sample_time, memory_order_relaxed);
	atomic_store_explicit(&entry->ingress_ns, stamp->ingress_ns, memory_order_relaxed);
	atomic_store_explicit(&entry->publish_ns, stamp->publish_ns, memory_order_relaxed);
	atomic_store_explicit(&entry->origin, stamp->origin, memory_order_relaxed);
	atomic_store_explicit(&entry->flags, stamp->flags, memory_order_relaxed);
	atomic_store_explicit(&entry->next_slot, pub->n_free ? pub->free_slots[pub->n_free - 1] : 0,
		memory_order_relaxed);
	/* release: payload and fields are complete; pairs with the acquire load of the tag in peek
	 */
	atomic_store_explicit(&entry->tag, fnx_tag(head, state), memory_order_release);
	/* What the next frame needs is worked out now, while nobody waits for it. */
	pub->head = ++head;
	pub->entry = fnx_mapping_entry(&pub->map, head);
	if (pub->n_free)
		pub->payload = fnx_mapping_slot(&pub->map, pub->free_slots[pub->n_free - 1]);
}

static inline void flush(struct fnx_publisher *pub)
{
	if (pub->told == pub->head)
		return;
	pub->told = pub->head;
	/* seq_cst: before the look at who sleeps, see segment.h */
	atomic_store(&pub->map.segment->head, pub->head);
	fnx_readers_ring(&pub->readers, pub->head, INT64_MIN);
}

void fnx_publisher_flush(struct fnx_publisher *pub)
{
	flush(pub);
}

/* The lines of frames soon to be written lie in a reader's cache: they are fetched while the frames
 * before them are. */
static void fetch_ahead(const struct fnx_publisher *pub)
{
	fnx_prefetch_to_write(fnx_mapping_entry(&pub->map, pub->head + AHEAD));
	if (pub->n_free > AHEAD)
		fnx_prefetch_to_write(
			fnx_mapping_slot(&pub->map, pub->free_slots[pub->n_free - 1 - AHEAD]));
}

/* 0: a slot is free now; or loan's answer. */
static __attribute__((noinline)) int find_room(struct fnx_publisher *pub, int64_t now_ns)
{
	static const struct fnx_stamp nothing = {.sample_time = INT64_MIN};

	/* Readers can give back only what they know of. */
	fnx_publisher_flush(pub);
	reclaim(pub, 1, now_ns);
	if (pub->n_free)
		return 0;
	if (pub->map.full == FNX_FULL_WAIT)
		return -EAGAIN;
	atomic_fetch_add_explicit(&pub->map.segment->dropped, 1, memory_order_relaxed);
	write_entry(pub, FNX_NO_SLOT, 0, &nothing);
	fnx_publisher_flush(pub);
	return -ENOBUFS;
}

static inline void take_slot(struct fnx_publisher *pub, void **ret_payload)
{
	assert(pub->loaned == FNX_NO_SLOT);
	/* Who waits awake has both lines: they come together, the one that is written first first. */
	fnx_prefetch_to_write(pub->payload);
	fnx_prefetch_to_write(pub->entry);
	*ret_payload = pub->payload;
	pub->loaned = pub->free_slots[--pub->n_free];
}

int fnx_publisher_loan(struct fnx_publisher *pub, int64_t now_ns, void **ret_payload)
{
	int r;

	if (!pub->n_free) {
		r = find_room(pub, now_ns);
		if (r)
			return r;
	}
	take_slot(pub, ret_payload);
	return 0;
}

int fnx_publisher_loan_free(struct fnx_publisher *pub, void **ret_payload)
{
	if (!pub->n_free)
		return -EAGAIN;
	take_slot(pub, ret_payload);
	return 0;
}

static inline void stage(struct fnx_publisher *pub, size_t length, const struct fnx_stamp *stamp)
{
	uint32_t slot = pub->loaned;

	assert(slot != FNX_NO_SLOT && length <= pub->map.slot_size);
	pub->loaned = FNX_NO_SLOT;
	write_entry(pub, slot, length, stamp);
	/* Not of one at a time: its reader waits at the next entry, and would lose the line. */
	if (pub->head - pub->told > 1)
		fetch_ahead(pub);
}

void fnx_publisher_stage(struct fnx_publisher *pub, size_t length, const struct fnx_stamp *stamp)
{
	stage(pub, length, stamp);
}

void fnx_publisher_publish(struct fnx_publisher *pub, size_t length, const struct fnx_stamp *stamp)
{
	stage(pub, length, stamp);
	flush(pub);
}

void fnx_publisher_abort(struct fnx_publisher *pub)
{
	assert(pub->loaned != FNX_NO_SLOT);
	free_slot(pub, pub->loaned);
	pub->loaned = FNX_NO_SLOT;
}

/* 1: the ledger has an entry for a frame without a slot, and for all that have one. */
static int has_entry(const struct fnx_publisher *pub)
{
	return pub->head - pub->released + pub->n_free + 1 < pub->map.n_entries;
}

int fnx_publisher_skip(struct fnx_publisher *pub, uint64_t seq, int64_t now_ns)
{
	static const struct fnx_stamp nothing = {.sample_time = INT64_MIN};

	assert(pub->loaned == FNX_NO_SLOT);
	while (pub->head < seq) {
		if (!has_entry(pub))
			reclaim(pub, pub->n_free + 1, now_ns);
		while (!has_entry(pub) && pub->map.full == FNX_FULL_DROP &&
			pub->released < pub->head)
			lap(pub);
		if (!has_entry(pub))
			return -EAGAIN;
		atomic_fetch_add_explicit(&pub->map.segment->dropped, 1, memory_order_relaxed);
		write_entry(pub, FNX_NO_SLOT, 0, &nothing);
	}
	return 0;
}

void fnx_publisher_advance(struct fnx_publisher *pub, int64_t watermark, int64_t ingress_ns)
{
	struct fnx_segment *segment = pub->map.segment;

	int64_t before = atomic_load_explicit(&segment->watermark, memory_order_relaxed);

	if (watermark <= before)
		return;
	/* Who waits for the watermark may stop looking at what lies below it. */
	fnx_publisher_flush(pub);
	if (watermark == FNX_END)
		atomic_store_explicit(&segment->end, before, memory_order_relaxed);
	atomic_store_explicit(&segment->watermark_ingress_ns, ingress_ns, memory_order_relaxed);
	/* seq_cst: before the look at parked, see segment.h */
	atomic_store(&segment->watermark, watermark);
	fnx_readers_ring(&pub->readers, pub->head, watermark);
}

int fnx_publisher_park(struct fnx_publisher *pub, uint32_t n, int64_t now_ns)
{
	uint64_t wake;

	fnx_publisher_flush(pub);
	/* Even where there is room here: whoever keeps another output of this node full may wait
	 * for what one who sleeps until a tick would say of the time before it. One who has read
	 * all, and begins to sleep so right after this, looks at its slow tick. */
	fnx_readers_ring(&pub->readers, UINT64_MAX, INT64_MAX);
	if (fnx_publisher_room(pub, n, now_ns))
		return 1;
	wake = pub->released + (pub->head - pub->released + 1) / 2;
	/* seq_cst: pairs with a reader's cursor or hazard store, or the bit of one who begins to
	 * doze, before it looks at writer_wake; this last look rings dozers, as every one does. */
	atomic_store(&pub->map.subs->writer_wake, wake ? wake : 1);
	if (!fnx_publisher_room(pub, n, now_ns))
		return 0;
	fnx_publisher_unpark(pub);
	return 1;
}

void fnx_publisher_unpark(struct fnx_publisher *pub)
{
	atomic_store_explicit(&pub->map.subs->writer_wake, 0, memory_order_relaxed);
}

/* Opening
 * ------------------------------------------------------------------------------------------- */

/* Marks a slot as needed. -EBADMSG: there is no such slot, or it is needed twice. */
static int use_slot(const struct fnx_publisher *pub, unsigned char *used, uint64_t slot)
{
	if (slot >= pub->map.n_slots || used[slot])
		return -EBADMSG;
	used[slot] = 1;
	return 0;
}

/* Was entry `seq` written to its end? */
static int is_whole(const struct fnx_publisher *pub, uint64_t seq)
{
	uint64_t tag =
		atomic_load_explicit(&fnx_mapping_entry(&pub->map, seq)->tag, memory_order_acquire);

	return tag == fnx_tag(seq, FNX_ENTRY_PUBLISHED) || tag == fnx_tag(seq, FNX_ENTRY_RELEASED);
}

/* The slots of frames that are not given up. */
static int recover_ledger(struct fnx_publisher *pub, unsigned char *used)
{
	/* The predecessor died between the tags of some frames and their count: readers may have
	 * them already. */
	while (pub->head - pub->released <= pub->map.n_slots && is_whole(pub, pub->head))
		pub->head++;
	pub->told = pub->head;
	atomic_store(&pub->map.segment->head, pub->head);
	for (uint64_t seq = pub->released; seq < pub->head; seq++) {
		const struct fnx_entry *entry = fnx_mapping_entry(&pub->map, seq);
		uint32_t slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);

		if (!is_whole(pub, seq) || (slot != FNX_NO_SLOT && use_slot(pub, used, slot)))
			return -EBADMSG;
	}
	return 0;
}

/* The slots of frames that are given up and were being read. One at or above `released` was pinned
 * by a pass that the crash cut short; it comes again. */
static int recover_pinned(struct fnx_publisher *pub, unsigned char *used)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < FNX_PINNED_MAX; i++) {
		struct fnx_pinned *pinned = &pub->map.segment->pinned[i];
		uint64_t seq_plus_1 =
			atomic_load_explicit(&pinned->seq_plus_1, memory_order_relaxed);

		if (!seq_plus_1)
			continue;
		if (seq_plus_1 > pub->released) {
			atomic_store_explicit(&pinned->seq_plus_1, 0, memory_order_relaxed);
			continue;
		}
		pub->n_pinned++;
		r = use_slot(pub, used, atomic_load_explicit(&pinned->slot, memory_order_relaxed));
	}
	return r;
}

/* Ends the pass that the crash cut short: a joiner must not take for its first frame one that is
 * marked RELEASED. Nobody shortens it, not even one who died in joining, of whom the predecessor
 * did not know: what is marked is gone. Who joins meanwhile begins behind it, since the predecessor
 * announced no less. */
static void finish_pass(struct fnx_publisher *pub)
{
	uint64_t limit = pub->released;

	while (limit < pub->head &&
		atomic_load_explicit(&fnx_mapping_entry(&pub->map, limit)->tag,
			memory_order_relaxed) == fnx_tag(limit, FNX_ENTRY_RELEASED))
		limit++;
	release_to(pub, limit);
	atomic_store(&pub->map.segment->releasing, pub->released);
}

/* Rebuilds the private side from what a dead predecessor left: a slot is free unless a frame that
 * is not given up, or a reader, needs it. -EBADMSG: it is damaged. */
static int recover(struct fnx_publisher *pub)
{
	struct fnx_segment *segment = pub->map.segment;
	unsigned char *used;
	int r;

	pub->head = atomic_load(&segment->head);
	pub->released = atomic_load(&segment->released);
	if (pub->released > pub->head || pub->head - pub->released >= pub->map.n_entries)
		return -EBADMSG;
	used = calloc(pub->map.n_slots, 1);
	if (!used)
		return -ENOMEM;
	r = recover_pinned(pub, used);
	if (!r)
		r = recover_ledger(pub, used);
	for (uint32_t slot = pub->map.n_slots; !r && slot-- > 0;)
		if (!used[slot])
			free_slot(pub, slot);
	free(used);
	if (r)
		return r;
	fnx_readers_look(&pub->readers, 1);
	finish_pass(pub);
	fnx_readers_wake(&pub->readers);
	atomic_store_explicit(&segment->publisher_pid, getpid(), memory_order_relaxed);
	pub->adopted = 1;
	return 0;
}

/* `ours`: who is not parked needs no ring. A predecessor may have died after it took back a
 * reader's `parked`, or have told nobody: then all are rung. */
static void tell_replaced(struct fnx_publisher *pub, int ours)
{
	/* seq_cst: before the look at parked, as with head; release: the last frame and watermark
	 * come first */
	atomic_store(&pub->map.segment->replaced, 1);
	fnx_readers_look(&pub->readers, 1);
	if (ours)
		fnx_readers_ring(&pub->readers, UINT64_MAX, INT64_MAX);
	else
		fnx_readers_wake(&pub->readers);
	fnx_readers_forget(&pub->readers);
}

static int owner_lives(const struct fnx_publisher *pub, const struct fnx_topic_config *config)
{
	/* Of our own node it can only be a predecessor: the caller holds the presence. */
	if (!strcmp(pub->map.node, config->node))
		return 0;
	return fnx_presence_check(&pub->bus, pub->map.node);
}

/* 1: the old topic is ours now; 0: there is none to take over. */
static int adopt(struct fnx_publisher *pub, const struct fnx_topic_config *config)
{
	int r;

	r = fnx_mapping_open(&pub->bus, config->name, 1, &pub->map);
	if (r < 0)
		/* Not there, or nothing that a living publisher could have made. */
		return r == -ENOENT || r == -EBADMSG || r == -EPROTO ? 0 : r;
	fnx_mapping_settle(&pub->map);
	r = owner_lives(pub, config);
	if (r)
		r = r < 0 ? r : -EBUSY;
	/* One that was told to be at its end has readers who have gone. */
	else if (fnx_mapping_matches(&pub->map, config) &&
		!atomic_load(&pub->map.segment->replaced))
		r = recover(pub);
	else
		r = -EBADMSG;
	if (!r)
		return 1;
	if (r == -EBADMSG) {
		tell_replaced(pub, 0);
		r = 0;
	}
	fnx_mapping_close(&pub->map);
	return r;
}

static int create(struct fnx_publisher *pub, const struct fnx_topic_config *config)
{
	int r;

	pub->n_free = pub->n_pinned = 0;
	pub->head = pub->told = pub->released = config->first_seq;
	r = fnx_mapping_create(&pub->bus, config, &pub->map);
	/* The lowest slot is loaned first. */
	for (uint32_t i = config->n_slots; !r && i-- > 0;)
		free_slot(pub, i);
	return r;
}

static int config_valid(const struct fnx_topic_config *config)
{
	return fnx_name_valid(config->name) && fnx_name_valid(config->node) &&
		config->n_slots >= 2 && config->n_slots <= FNX_SLOTS_MAX &&
		config->n_entries <= 4u * FNX_SLOTS_MAX && config->slot_size <= UINT32_MAX &&
		config->schema_size <= SCHEMA_SIZE_MAX &&
		(config->schema || !config->schema_size) && config->grace_ns >= 0 &&
		(config->full == FNX_FULL_WAIT || config->full == FNX_FULL_DROP);
}

int fnx_publisher_open(const struct fnx_bus *bus, const struct fnx_topic_config *config,
	struct fnx_publisher **ret)
{
	struct fnx_publisher *pub;
	int r;

	if (!config_valid(config))
		return -EINVAL;
	pub = calloc(1, sizeof(*pub));
	if (!pub)
		return -ENOMEM;
	pub->bus = *bus;
	pub->map.subs_fd = -1;
	pub->loaned = FNX_NO_SLOT;
	pub->readers.bus = &pub->bus;
	pub->readers.map = &pub->map;
	pub->readers.grace_ns = config->grace_ns;
	pub->free_slots = calloc(config->n_slots, sizeof(*pub->free_slots));
	r = pub->free_slots ? adopt(pub, config) : -ENOMEM;
	if (!r)
		r = create(pub, config);
	if (r < 0) {
		free(pub->free_slots);
		free(pub);
		return r;
	}
	pub->entry = fnx_mapping_entry(&pub->map, pub->head);
	atomic_store_explicit(&pub->map.segment->bell_form, config->bell, memory_order_relaxed);
	*ret = pub;
	return 0;
}

/* A successor that goes again at once, without a word to the readers. */
static int repair(const struct fnx_bus *bus, struct fnx_mapping *map)
{
	struct fnx_publisher *pub = calloc(1, sizeof(*pub));
	int r = -ENOMEM;

	if (!pub)
		return r;
	pub->bus = *bus;
	pub->map = *map;
	pub->loaned = FNX_NO_SLOT;
	pub->readers.bus = &pub->bus;
	pub->readers.map = &pub->map;
	pub->free_slots = calloc(map->n_slots, sizeof(*pub->free_slots));
	if (pub->free_slots)
		r = recover(pub);
	fnx_readers_forget(&pub->readers);
	free(pub->free_slots);
	free(pub);
	return r;
}

int fnx_topic_repair(const struct fnx_bus *bus, const char *topic)
{
	struct fnx_presence presence;
	struct fnx_mapping map;
	int r;

	if (!fnx_name_valid(topic))
		return -EINVAL;
	r = fnx_mapping_open(bus, topic, 1, &map);
	if (r)
		return r;
	r = fnx_presence_claim(bus, map.node, &presence, NULL);
	if (!r) {
		r = repair(bus, &map);
		fnx_presence_drop(&presence);
	}
	fnx_mapping_close(&map);
	return r;
}

uint64_t fnx_publisher_head(const struct fnx_publisher *pub)
{
	return pub->head;
}

int64_t fnx_publisher_watermark(const struct fnx_publisher *pub)
{
	return atomic_load_explicit(&pub->map.segment->watermark, memory_order_relaxed);
}

size_t fnx_publisher_slot_size(const struct fnx_publisher *pub)
{
	return pub->map.slot_size;
}

void fnx_publisher_tail(const struct fnx_publisher *pub, struct fnx_publisher_tail *ret_tail)
{
	struct fnx_publisher_tail tail = {.count = 0};
	uint64_t depth = pub->head < pub->map.n_entries ? pub->head : pub->map.n_entries;

	for (uint64_t back = 1; back <= depth; back++) {
		const struct fnx_entry *entry = fnx_mapping_entry(&pub->map, pub->head - back);
		int64_t time = atomic_load_explicit(&entry->sample_time, memory_order_relaxed);
		uint64_t origin = atomic_load_explicit(&entry->origin, memory_order_relaxed);

		/* One that found no slot was never published. */
		if (atomic_load_explicit(&entry->slot, memory_order_relaxed) == FNX_NO_SLOT)
			continue;
		if (!tail.count)
			tail = (struct fnx_publisher_tail){.sample_time = time, .origin = origin};
		else if (time != tail.sample_time || origin != tail.origin)
			break;
		tail.count++;
	}
	*ret_tail = tail;
}

int fnx_publisher_stamp(const struct fnx_publisher *pub, uint64_t seq, struct fnx_stamp *ret_stamp)
{
	const struct fnx_entry *entry = fnx_mapping_entry(&pub->map, seq);

	if (seq >= pub->head || pub->head - seq > pub->map.n_entries ||
		atomic_load_explicit(&entry->slot, memory_order_relaxed) == FNX_NO_SLOT)
		return -ENOENT;
	*ret_stamp = (struct fnx_stamp){
		.sample_time = atomic_load_explicit(&entry->sample_time, memory_order_relaxed),
		.ingress_ns = atomic_load_explicit(&entry->ingress_ns, memory_order_relaxed),
		.origin = atomic_load_explicit(&entry->origin, memory_order_relaxed),
		.flags = atomic_load_explicit(&entry->flags, memory_order_relaxed),
	};
	return 0;
}

int fnx_publisher_adopted(const struct fnx_publisher *pub)
{
	return pub->adopted;
}

uint64_t fnx_publisher_dropped(const struct fnx_publisher *pub)
{
	return atomic_load_explicit(&pub->map.segment->dropped, memory_order_relaxed);
}

uint64_t fnx_publisher_lapped(const struct fnx_publisher *pub)
{
	return atomic_load_explicit(&pub->map.segment->lapped_total, memory_order_relaxed);
}

uint32_t fnx_publisher_readers(struct fnx_publisher *pub)
{
	fnx_readers_refresh(&pub->readers);
	return fnx_readers_lossless(&pub->readers);
}

struct fnx_publisher *fnx_publisher_close(struct fnx_publisher *pub)
{
	if (!pub)
		return NULL;
	fnx_publisher_flush(pub);
	/* Killed in between, it leaves a name by which a successor finds whom to tell. */
	tell_replaced(pub, 1);
	fnx_mapping_unlink(&pub->bus, pub->map.topic);
	fnx_mapping_close(&pub->map);
	free(pub->free_slots);
	free(pub);
	return NULL;
}
