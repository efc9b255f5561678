/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer's side of a topic. The protocol and its memory order are told at the head of segment.h.
 *
 * Slots lie in a private free list. When it is empty, one pass over the subscribers tells how far frames can
 * be given up; what is found in use although its frame is given up goes to `pinned`, in the segment, where a
 * successor of a dead publisher finds it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/segment.h"

/* What the publisher knows about one subscriber. */
struct reader {
	struct fnx_ringer *ringer;
	uint32_t index;              /* of its record */
	uint32_t state;              /* of its record when last looked at */
	uint64_t lapped_to;          /* it has lost everything below */
	int64_t dead_since_ns;       /* 0: not known to be dead */
};

struct fnx_publisher {
	struct fnx_bus bus;
	struct fnx_mapping map;
	uint64_t head;
	uint64_t released;
	uint64_t joins;              /* as last seen */
	uint32_t n_readers;
	uint32_t n_free;
	uint32_t n_pinned;
	uint32_t loaned;             /* slot, FNX_NO_SLOT: none */
	int64_t grace_ns;
	int64_t presence_asked_ns;
	int adopted;
	struct reader readers[FNX_SUBSCRIBERS_MAX];
	uint32_t *free_slots;
};

enum {
	PRESENCE_PERIOD_NS = 50 * 1000 * 1000, /* how often a blocked publisher asks who is alive */
	LAP_FRACTION = 16,                     /* a laggard loses 1/16 of the pool at a time */
};

static struct fnx_record *record_of(const struct fnx_publisher *pub, const struct reader *reader)
{
	return &pub->map.subs->records[reader->index];
}

static int is_lossless(const struct fnx_publisher *pub, const struct reader *reader)
{
	return atomic_load_explicit(&record_of(pub, reader)->policy, memory_order_relaxed) ==
		FNX_LOSSLESS;
}

static struct reader *known_reader(struct fnx_publisher *pub, uint32_t index)
{
	for (uint32_t i = 0; i < pub->n_readers; i++)
		if (pub->readers[i].index == index)
			return &pub->readers[i];
	return NULL;
}

static void forget_reader(struct fnx_publisher *pub, struct reader *reader)
{
	fnx_ringer_close(reader->ringer);
	*reader = pub->readers[--pub->n_readers];
}

static void open_ringer(struct fnx_publisher *pub, struct reader *reader)
{
	struct fnx_record *record = record_of(pub, reader);
	uint32_t form = atomic_load_explicit(&record->bell_form, memory_order_relaxed);
	int pid = atomic_load_explicit(&record->pid, memory_order_relaxed);
	char node[FNX_NAME_MAX];

	memcpy(node, record->node, sizeof(node));
	node[sizeof(node) - 1] = 0;
	/* A name that is none, or a bell that is not there yet, leaves the reader without rings until it says
	 * something that holds: its loss alone. */
	if (fnx_name_valid(node) &&
		fnx_ringer_open(&pub->bus, node, (enum fnx_bell_form)form, pid, &reader->ringer) < 0)
		reader->ringer = NULL;
}

/* Takes note of who came and went. Not the frame path: runs only when `joins` has changed. */
static void look_at_records(struct fnx_publisher *pub)
{
	for (uint32_t i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		struct fnx_record *record = &pub->map.subs->records[i];
		uint32_t state = atomic_load(&record->state);
		struct reader *reader = known_reader(pub, i);
		int active = (state & 0xff) == FNX_RECORD_ACTIVE;

		if (reader && (!active || reader->state != state)) {
			uint64_t lapped_to = reader->lapped_to;

			fnx_ringer_close(reader->ringer);
			*reader = (struct reader){.index = i, .state = state, .lapped_to = lapped_to};
			if (active)
				open_ringer(pub, reader);
			else
				forget_reader(pub, reader);
		} else if (active && !reader) {
			reader = &pub->readers[pub->n_readers++];
			*reader = (struct reader){.index = i, .state = state};
			atomic_store_explicit(
				&pub->map.segment->lapped[i], 0, memory_order_relaxed);
			open_ringer(pub, reader);
		}
	}
}

static void refresh_readers(struct fnx_publisher *pub)
{
	uint64_t joins = atomic_load(&pub->map.subs->joins);

	if (joins == pub->joins)
		return;
	pub->joins = joins;
	look_at_records(pub);
}

/* Where a reader stands: its word for it, clamped to what can be true. */
static uint64_t reader_cursor(const struct fnx_publisher *pub, const struct reader *reader)
{
	/* seq_cst: pairs with the commit of one who then looks at writer_wake */
	uint64_t cursor = atomic_load(&record_of(pub, reader)->cursor);

	if (cursor < reader->lapped_to)
		cursor = reader->lapped_to;
	if (cursor < pub->released)
		cursor = pub->released;
	return cursor < pub->head ? cursor : pub->head;
}

/* The lowest cursor of all lossless readers, and the next higher one. */
static uint64_t lowest_cursor(const struct fnx_publisher *pub, uint64_t *ret_second)
{
	uint64_t lowest = pub->head, second = pub->head;

	for (uint32_t i = 0; i < pub->n_readers; i++) {
		uint64_t cursor;

		if (!is_lossless(pub, &pub->readers[i]))
			continue;
		cursor = reader_cursor(pub, &pub->readers[i]);
		if (cursor < lowest) {
			second = lowest;
			lowest = cursor;
		} else if (cursor < second && cursor > lowest) {
			second = cursor;
		}
	}
	if (ret_second)
		*ret_second = second;
	return lowest;
}

static void ring(struct fnx_publisher *pub, struct reader *reader)
{
	if (reader->ringer && fnx_ringer_ring(reader->ringer) == 0)
		atomic_fetch_add_explicit(&pub->map.segment->rings, 1, memory_order_relaxed);
}

/* Rings every parked reader that waits for a watermark of at most `watermark`, or for any frame. */
static void ring_parked(struct fnx_publisher *pub, int64_t watermark)
{
	for (uint32_t i = 0; i < pub->n_readers; i++) {
		struct fnx_record *record = record_of(pub, &pub->readers[i]);

		if (!atomic_load(&record->parked) ||
			atomic_load_explicit(&record->wake_at, memory_order_relaxed) > watermark)
			continue;
		if (atomic_exchange(&record->parked, 0))
			ring(pub, &pub->readers[i]);
	}
}

/* Hazards ------------------------------------------------------------------------------------------ */

struct hazards {
	uint32_t n;
	struct {
		uint64_t seq;
		uint32_t reader;
		int turn;
	} list[FNX_PINNED_MAX];
};

static void collect_hazards(const struct fnx_publisher *pub, struct hazards *hazards)
{
	hazards->n = 0;
	for (uint32_t i = 0; i < pub->n_readers; i++) {
		struct fnx_record *record = record_of(pub, &pub->readers[i]);

		for (unsigned k = 0; k < FNX_HAZARDS; k++) {
			/* seq_cst: pairs with the reader's hazard store before it looks at the tag */
			uint64_t seq_plus_1 = atomic_load(&record->hazards[k]);

			if (!seq_plus_1)
				continue;
			hazards->list[hazards->n].seq = seq_plus_1 - 1;
			hazards->list[hazards->n].reader = i;
			hazards->list[hazards->n++].turn = k == 0;
		}
	}
}

static int is_hazard(const struct hazards *hazards, uint64_t seq)
{
	for (uint32_t i = 0; i < hazards->n; i++)
		if (hazards->list[i].seq == seq)
			return 1;
	return 0;
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

static void unpin(struct fnx_publisher *pub, const struct hazards *hazards)
{
	if (!pub->n_pinned)
		return;
	for (uint32_t i = 0; i < FNX_PINNED_MAX; i++) {
		struct fnx_pinned *pinned = &pub->map.segment->pinned[i];
		uint64_t seq_plus_1 =
			atomic_load_explicit(&pinned->seq_plus_1, memory_order_relaxed);

		if (!seq_plus_1 || is_hazard(hazards, seq_plus_1 - 1))
			continue;
		pub->free_slots[pub->n_free++] =
			(uint32_t)atomic_load_explicit(&pinned->slot, memory_order_relaxed);
		atomic_store_explicit(&pinned->seq_plus_1, 0, memory_order_relaxed);
		pub->n_pinned--;
	}
}

/* Reclaiming --------------------------------------------------------------------------------------- */

/* Gives up the payloads of [released, limit). */
static void give_up(struct fnx_publisher *pub, uint64_t limit)
{
	struct fnx_segment *segment = pub->map.segment;
	struct hazards hazards;

	for (uint64_t seq = pub->released; seq < limit; seq++)
		atomic_store(&fnx_mapping_entry(&pub->map, seq)->tag, fnx_tag(seq, FNX_ENTRY_RELEASED));
	collect_hazards(pub, &hazards);
	unpin(pub, &hazards);
	for (uint64_t seq = pub->released; seq < limit; seq++) {
		const struct fnx_entry *entry = fnx_mapping_entry(&pub->map, seq);
		uint32_t slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);

		if (slot == FNX_NO_SLOT)
			continue;
		if (is_hazard(&hazards, seq))
			pin(pub, seq, slot);
		else
			pub->free_slots[pub->n_free++] = slot;
	}
	pub->released = limit;
	atomic_store_explicit(&segment->released, limit, memory_order_release);
}

static int being_read(const struct fnx_publisher *pub, const struct reader *reader, uint64_t seq)
{
	return atomic_load(&record_of(pub, reader)->hazards[0]) == seq + 1;
}

/* Counts under each laggard's name what it loses when everything below `limit` is given up. */
static void count_lapped(struct fnx_publisher *pub, uint64_t limit)
{
	struct fnx_segment *segment = pub->map.segment;

	for (uint32_t i = 0; i < pub->n_readers; i++) {
		struct reader *reader = &pub->readers[i];
		uint64_t cursor = reader_cursor(pub, reader);

		if (!is_lossless(pub, reader) || cursor >= limit)
			continue;
		reader->lapped_to = limit;
		/* The frame it reads at this moment stays readable, and is not lost. */
		if (being_read(pub, reader, cursor))
			cursor++;
		atomic_fetch_add_explicit(
			&segment->lapped[reader->index], limit - cursor, memory_order_relaxed);
		atomic_fetch_add_explicit(
			&segment->lapped_total, limit - cursor, memory_order_relaxed);
	}
}

static void evict(struct fnx_publisher *pub, struct reader *reader)
{
	uint32_t word = reader->state;

	if (atomic_compare_exchange_strong(&record_of(pub, reader)->state, &word,
		    ((word >> 8) + 1) << 8 | FNX_RECORD_FREE))
		atomic_fetch_add_explicit(&pub->map.segment->evicted, 1, memory_order_relaxed);
	forget_reader(pub, reader);
}

/* Asks, every so often, whether those who hold the pool up are alive; evicts who has been dead for `grace`. Enters
 * the kernel, but only when the pool is exhausted. */
static void evict_the_dead(struct fnx_publisher *pub, int64_t now_ns)
{
	if (now_ns - pub->presence_asked_ns < PRESENCE_PERIOD_NS)
		return;
	pub->presence_asked_ns = now_ns;
	for (uint32_t i = 0; i < pub->n_readers;) {
		struct reader *reader = &pub->readers[i];
		char node[FNX_NAME_MAX];

		memcpy(node, record_of(pub, reader)->node, sizeof(node));
		node[sizeof(node) - 1] = 0;
		if (fnx_name_valid(node) && fnx_presence_check(&pub->bus, node) != 0) {
			reader->dead_since_ns = 0;
		} else if (!reader->dead_since_ns) {
			reader->dead_since_ns = now_ns;
		} else if (now_ns - reader->dead_since_ns >= pub->grace_ns) {
			evict(pub, reader);
			continue;
		}
		i++;
	}
}

/* One pass: gives up what every lossless reader has passed; a drop publisher, if that is nothing, laps. */
static void reclaim(struct fnx_publisher *pub, int64_t now_ns)
{
	uint64_t limit, second, batch = pub->map.n_slots / LAP_FRACTION;

	refresh_readers(pub);
	limit = lowest_cursor(pub, &second);
	if (limit == pub->released && pub->head > pub->released) {
		evict_the_dead(pub, now_ns);
		limit = lowest_cursor(pub, &second);
		if (limit == pub->released && pub->map.full == FNX_FULL_DROP) {
			limit = pub->released + (batch ? batch : 1);
			limit = limit < second ? limit : second;
			count_lapped(pub, limit);
		}
	}
	give_up(pub, limit);
}

int fnx_publisher_room(struct fnx_publisher *pub, uint32_t n, int64_t now_ns)
{
	if (pub->n_free >= n)
		return 1;
	reclaim(pub, now_ns);
	return pub->map.full == FNX_FULL_DROP || pub->n_free >= n;
}

/* Frames -------------------------------------------------------------------------------------------- */

static void write_entry(
	struct fnx_publisher *pub, uint32_t slot, size_t length, const struct fnx_stamp *stamp)
{
	struct fnx_entry *entry = fnx_mapping_entry(&pub->map, pub->head);
	enum fnx_entry_state state = slot == FNX_NO_SLOT ? FNX_ENTRY_RELEASED : FNX_ENTRY_PUBLISHED;

	if (pub->head >= pub->map.n_entries)
		atomic_store_explicit(&pub->map.segment->consumed,
			pub->head - pub->map.n_entries + 1, memory_order_relaxed);
	/* A lapped reader may be copying this entry: it will find the tag changed. */
	atomic_store_explicit(&entry->tag, fnx_tag(pub->head, FNX_ENTRY_EMPTY), memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&entry->slot, slot, memory_order_relaxed);
	atomic_store_explicit(&entry->length, (uint32_t)length, memory_order_relaxed);
	atomic_store_explicit(&entry->sample_time, stamp->sample_time, memory_order_relaxed);
	atomic_store_explicit(&entry->ingress_ns, stamp->ingress_ns, memory_order_relaxed);
	atomic_store_explicit(&entry->publish_ns, stamp->publish_ns, memory_order_relaxed);
	atomic_store_explicit(&entry->origin, stamp->origin, memory_order_relaxed);
	atomic_store_explicit(&entry->flags, stamp->flags, memory_order_relaxed);
	/* release: payload and fields are complete; pairs with the acquire load of the tag in peek */
	atomic_store_explicit(&entry->tag, fnx_tag(pub->head, state), memory_order_release);
	pub->head++;
	/* seq_cst: before the look at parked, see segment.h */
	atomic_store(&pub->map.segment->head, pub->head);
	refresh_readers(pub);
	ring_parked(pub, INT64_MAX);
}

int fnx_publisher_loan(struct fnx_publisher *pub, int64_t now_ns, void **ret_payload)
{
	static const struct fnx_stamp nothing = {.sample_time = INT64_MIN};

	assert(pub->loaned == FNX_NO_SLOT);
	if (!pub->n_free)
		reclaim(pub, now_ns);
	/* A drop publisher whose oldest slots are all being read goes on to younger ones. */
	while (!pub->n_free && pub->map.full == FNX_FULL_DROP && pub->released < pub->head)
		reclaim(pub, now_ns);
	if (!pub->n_free && pub->map.full == FNX_FULL_WAIT)
		return -EAGAIN;
	if (!pub->n_free) {
		atomic_fetch_add_explicit(&pub->map.segment->dropped, 1, memory_order_relaxed);
		write_entry(pub, FNX_NO_SLOT, 0, &nothing);
		return -ENOBUFS;
	}
	pub->loaned = pub->free_slots[--pub->n_free];
	*ret_payload = pub->map.pool + (size_t)pub->loaned * pub->map.slot_size;
	return 0;
}

void fnx_publisher_publish(struct fnx_publisher *pub, size_t length, const struct fnx_stamp *stamp)
{
	uint32_t slot = pub->loaned;

	assert(slot != FNX_NO_SLOT && length <= pub->map.slot_size);
	pub->loaned = FNX_NO_SLOT;
	write_entry(pub, slot, length, stamp);
}

void fnx_publisher_abort(struct fnx_publisher *pub)
{
	assert(pub->loaned != FNX_NO_SLOT);
	pub->free_slots[pub->n_free++] = pub->loaned;
	pub->loaned = FNX_NO_SLOT;
}

void fnx_publisher_advance(struct fnx_publisher *pub, int64_t watermark, int64_t ingress_ns)
{
	struct fnx_segment *segment = pub->map.segment;

	if (watermark <= atomic_load_explicit(&segment->watermark, memory_order_relaxed))
		return;
	atomic_store_explicit(&segment->watermark_ingress_ns, ingress_ns, memory_order_relaxed);
	/* seq_cst: before the look at parked, see segment.h */
	atomic_store(&segment->watermark, watermark);
	refresh_readers(pub);
	ring_parked(pub, watermark);
}

int fnx_publisher_park(struct fnx_publisher *pub, uint32_t n, int64_t now_ns)
{
	uint64_t wake = pub->released + (pub->head - pub->released + 1) / 2;

	ring_parked(pub, INT64_MAX);
	/* seq_cst: pairs with a reader's cursor store before it looks at writer_wake */
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

/* Opening ------------------------------------------------------------------------------------------- */

/* Rebuilds the private side from what a dead predecessor left: a slot is free unless a frame that is not given up,
 * or a reader, needs it. */
static int recover(struct fnx_publisher *pub)
{
	struct fnx_segment *segment = pub->map.segment;
	uint64_t head = atomic_load(&segment->head), released = atomic_load(&segment->released);
	unsigned char *used;

	if (released > head || head - released > pub->map.n_entries)
		return -EBADMSG;
	used = calloc(pub->map.n_slots, 1);
	if (!used)
		return -ENOMEM;
	pub->head = head;
	pub->released = released;
	look_at_records(pub);
	for (uint32_t i = 0; i < FNX_PINNED_MAX; i++) {
		struct fnx_pinned *pinned = &segment->pinned[i];
		uint64_t slot = atomic_load_explicit(&pinned->slot, memory_order_relaxed);

		/* One at or above `released` was pinned by a pass that the crash cut short; it comes again. */
		if (atomic_load_explicit(&pinned->seq_plus_1, memory_order_relaxed) > released)
			atomic_store_explicit(&pinned->seq_plus_1, 0, memory_order_relaxed);
		if (!atomic_load_explicit(&pinned->seq_plus_1, memory_order_relaxed))
			continue;
		pub->n_pinned++;
		if (slot < pub->map.n_slots)
			used[slot] = 1;
	}
	for (uint64_t seq = released; seq < head; seq++) {
		const struct fnx_entry *entry = fnx_mapping_entry(&pub->map, seq);
		uint32_t slot = atomic_load_explicit(&entry->slot, memory_order_relaxed);

		if (slot < pub->map.n_slots)
			used[slot] = 1;
	}
	for (uint32_t slot = pub->map.n_slots; slot-- > 0;)
		if (!used[slot])
			pub->free_slots[pub->n_free++] = slot;
	free(used);
	atomic_store_explicit(&segment->publisher_pid, getpid(), memory_order_relaxed);
	pub->adopted = 1;
	return 0;
}

static int same_layout(const struct fnx_mapping *map, const struct fnx_topic_config *config)
{
	return map->segment->schema_hash == config->schema_hash &&
		map->schema_size == config->schema_size &&
		!memcmp(map->schema, config->schema, config->schema_size) &&
		map->n_slots == config->n_slots && map->full == config->full &&
		map->slot_size >= config->slot_size &&
		map->slot_size < config->slot_size + FNX_CACHE_LINE;
}

static void tell_replaced(struct fnx_publisher *pub)
{
	atomic_store(&pub->map.segment->replaced, 1);
	look_at_records(pub);
	ring_parked(pub, INT64_MAX);
	while (pub->n_readers)
		forget_reader(pub, &pub->readers[0]);
}

/* 1: the old topic is ours now; 0: there is none to take over. */
static int adopt(struct fnx_publisher *pub, const struct fnx_topic_config *config)
{
	int r;

	r = fnx_mapping_open(&pub->bus, config->name, 1, &pub->map);
	if (r < 0)
		/* Not there, or nothing that a living publisher could have made. */
		return r == -ENOENT || r == -EBADMSG || r == -EPROTO ? 0 : r;
	if (strcmp(pub->map.segment->node, config->node) &&
		fnx_presence_check(&pub->bus, pub->map.segment->node) != 0) {
		fnx_mapping_close(&pub->map);
		return -EBUSY;
	}
	if (same_layout(&pub->map, config)) {
		r = recover(pub);
		if (!r)
			return 1;
		if (r != -EBADMSG) {
			fnx_mapping_close(&pub->map);
			return r;
		}
	}
	tell_replaced(pub);
	fnx_mapping_close(&pub->map);
	return 0;
}

int fnx_publisher_open(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_publisher **ret)
{
	struct fnx_publisher *pub;
	int r;

	if (!fnx_name_valid(config->name) || !fnx_name_valid(config->node) || config->n_slots < 2 ||
		config->n_slots > FNX_SLOTS_MAX || config->slot_size > UINT32_MAX ||
		config->n_entries > 4u * FNX_SLOTS_MAX)
		return -EINVAL;
	pub = calloc(1, sizeof(*pub));
	if (!pub)
		return -ENOMEM;
	pub->bus = *bus;
	pub->loaned = FNX_NO_SLOT;
	pub->grace_ns = config->grace_ns;
	pub->free_slots = calloc(config->n_slots, sizeof(*pub->free_slots));
	r = pub->free_slots ? adopt(pub, config) : -ENOMEM;
	if (!r) {
		r = fnx_mapping_create(bus, config, &pub->map);
		/* The lowest slot is loaned first. */
		for (uint32_t i = config->n_slots; !r && i-- > 0;)
			pub->free_slots[pub->n_free++] = i;
	}
	if (r < 0) {
		free(pub->free_slots);
		free(pub);
		return r;
	}
	atomic_store_explicit(&pub->map.segment->bell_form, config->bell, memory_order_relaxed);
	*ret = pub;
	return 0;
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
	uint32_t n = 0;

	refresh_readers(pub);
	for (uint32_t i = 0; i < pub->n_readers; i++)
		n += (uint32_t)is_lossless(pub, &pub->readers[i]);
	return n;
}

struct fnx_publisher *fnx_publisher_close(struct fnx_publisher *pub)
{
	if (!pub)
		return NULL;
	fnx_mapping_unlink(&pub->bus, pub->map.segment->topic);
	tell_replaced(pub);
	fnx_mapping_close(&pub->map);
	free(pub->free_slots);
	free(pub);
	return NULL;
}
