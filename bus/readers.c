/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A list of those who are there, refreshed when the table says that it has changed, rather than a
 * look at all 63 records each time: a frame costs one word per subscriber that exists.
 */
#include "bus/readers.h"

#include <string.h>

#include "bus/presence.h"

enum {
	PRESENCE_PERIOD_NS = 50 * 1000 * 1000, /* how often a blocked publisher asks who is alive */
	/* What counts of the time between two such looks. One who was stopped itself, with its
	 * machine or by a signal, finds later that a reader is dead, not that it has been for long. */
	COUNTED_NS = 500 * 1000 * 1000,
};

static struct fnx_record *record_of(
	const struct fnx_readers *readers, const struct fnx_reader *reader)
{
	return &readers->map->subs->records[reader->index];
}

static int is_lossless(const struct fnx_readers *readers, const struct fnx_reader *reader)
{
	return atomic_load_explicit(&record_of(readers, reader)->policy, memory_order_relaxed) ==
		FNX_LOSSLESS;
}

/* Its word for where it stands. What it says beyond the newest frame is the same as having read
 * them all: every minimum below begins at what can be true. */
static uint64_t cursor_of(
	const struct fnx_readers *readers, const struct fnx_reader *reader, uint64_t released)
{
	/* seq_cst: pairs with the commit of one who then looks at writer_wake; acquire: what it
	 * read of the frames below, it has read */
	uint64_t cursor = atomic_load(&record_of(readers, reader)->cursor);

	return cursor < released ? released : cursor;
}

/* Who is there
 * ------------------------------------------------------------------------------------- */

static struct fnx_reader *find(struct fnx_readers *readers, uint32_t index)
{
	for (uint32_t i = 0; i < readers->n; i++)
		if (readers->list[i].index == index)
			return &readers->list[i];
	return NULL;
}

static void open_ringer(struct fnx_readers *readers, struct fnx_reader *reader)
{
	const struct fnx_record *record = record_of(readers, reader);
	uint32_t form = atomic_load_explicit(&record->bell_form, memory_order_relaxed);
	int pid = atomic_load_explicit(&record->pid, memory_order_relaxed);

	/* A name that is none, or a bell that is not there yet: it is tried again when it is to be
	 * rung. */
	if (!fnx_name_valid(reader->node) ||
		fnx_ringer_open(readers->bus, reader->node, (enum fnx_bell_form)form, pid,
			&reader->ringer) < 0)
		return;
}

static void note(struct fnx_readers *readers, struct fnx_reader *reader, uint32_t state)
{
	const struct fnx_record *record = record_of(readers, reader);
	char node[FNX_NAME_MAX];

	fnx_record_get_node(record, node);
	/* The place of one who left was taken by another: what was lost is not this one's loss. */
	if (strcmp(node, reader->node))
		atomic_store_explicit(
			&readers->map->segment->lapped[reader->index], 0, memory_order_relaxed);
	memcpy(reader->node, node, sizeof(node));
	fnx_ringer_close(&reader->ringer);
	reader->state = reader->word = state;
	reader->dead = 0;
	open_ringer(readers, reader);
}

static void forget(struct fnx_readers *readers, struct fnx_reader *reader)
{
	fnx_ringer_close(&reader->ringer);
	*reader = readers->list[--readers->n];
}

void fnx_readers_look(struct fnx_readers *readers, int adopting)
{
	for (uint32_t i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		const struct fnx_record *record = &readers->map->subs->records[i];
		uint32_t state = atomic_load(&record->state);
		struct fnx_reader *reader = find(readers, i);

		if ((state & 0xff) != FNX_RECORD_ACTIVE) {
			if (reader)
				forget(readers, reader);
		} else if (!reader) {
			reader = &readers->list[readers->n++];
			*reader = (struct fnx_reader){.index = i};
			if (adopting)
				fnx_record_get_node(record, reader->node);
			note(readers, reader, state);
		} else if (reader->state != state) {
			note(readers, reader, state);
		}
	}
}

void fnx_readers_refresh(struct fnx_readers *readers)
{
	/* seq_cst: pairs with the joiner's raise, see segment.h */
	uint64_t joins = atomic_load(&readers->map->subs->joins);

	if (joins == readers->joins)
		return;
	readers->joins = joins;
	fnx_readers_look(readers, 0);
}

void fnx_readers_forget(struct fnx_readers *readers)
{
	while (readers->n)
		forget(readers, &readers->list[0]);
}

/* How far they are
 * ---------------------------------------------------------------------------------- */

uint64_t fnx_readers_lowest(
	const struct fnx_readers *readers, uint64_t released, uint64_t head, uint64_t *ret_second)
{
	uint64_t lowest = head, second = head;

	for (uint32_t i = 0; i < readers->n; i++) {
		uint64_t cursor;

		if (!is_lossless(readers, &readers->list[i]))
			continue;
		cursor = cursor_of(readers, &readers->list[i], released);
		if (cursor < lowest) {
			second = lowest;
			lowest = cursor;
		} else if (cursor < second && cursor > lowest) {
			second = cursor;
		}
	}
	*ret_second = second;
	return lowest;
}

uint32_t fnx_readers_lossless(const struct fnx_readers *readers)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < readers->n; i++)
		n += (uint32_t)is_lossless(readers, &readers->list[i]);
	return n;
}

void fnx_readers_hazards(
	const struct fnx_readers *readers, uint64_t limit, struct fnx_hazards *ret_hazards)
{
	ret_hazards->n = 0;
	for (uint32_t i = 0; i < readers->n; i++) {
		const struct fnx_record *record = record_of(readers, &readers->list[i]);

		/* Upwards: a hold is entered before the turn ends, so that one of the two is seen.
		 */
		for (unsigned k = 0; k < FNX_HAZARDS; k++) {
			/* seq_cst: pairs with the reader's hazard store before it looks at the tag;
			 * acquire: what it read of the frame before, it has read */
			uint64_t seq_plus_1 = atomic_load(&record->hazards[k]);

			if (seq_plus_1 && seq_plus_1 <= limit)
				ret_hazards->seqs[ret_hazards->n++] = seq_plus_1 - 1;
		}
	}
}

int fnx_hazards_contain(const struct fnx_hazards *hazards, uint64_t seq)
{
	for (uint32_t i = 0; i < hazards->n; i++)
		if (hazards->seqs[i] == seq)
			return 1;
	return 0;
}

/* Frames in [from, to); those that were dropped at the source are none. */
static uint64_t count_frames(const struct fnx_mapping *map, uint64_t from, uint64_t to)
{
	uint64_t n = 0;

	for (uint64_t seq = from; seq < to; seq++)
		n += atomic_load_explicit(&fnx_mapping_entry(map, seq)->slot,
			     memory_order_relaxed) != FNX_NO_SLOT;
	return n;
}

void fnx_readers_count_lapped(const struct fnx_readers *readers, uint64_t released, uint64_t limit)
{
	struct fnx_segment *segment = readers->map->segment;

	for (uint32_t i = 0; i < readers->n; i++) {
		const struct fnx_reader *reader = &readers->list[i];
		uint64_t cursor, reading, n;

		if (!is_lossless(readers, reader))
			continue;
		cursor = cursor_of(readers, reader, released);
		n = count_frames(readers->map, cursor, limit);
		reading = atomic_load(&record_of(readers, reader)->hazards[0]);
		if (n && reading > cursor && reading <= limit)
			n--;
		atomic_fetch_add_explicit(&segment->lapped[reader->index], n, memory_order_relaxed);
		atomic_fetch_add_explicit(&segment->lapped_total, n, memory_order_relaxed);
	}
}

/* Waking
 * -------------------------------------------------------------------------------------------- */

static void ring(struct fnx_readers *readers, struct fnx_reader *reader)
{
	uint32_t state = atomic_load(&record_of(readers, reader)->state);

	/* Whoever sleeps here may have taken the place since we looked, and has another bell. */
	if (state != reader->state && (state & 0xff) == FNX_RECORD_ACTIVE)
		note(readers, reader, state);
	if (!fnx_ringer_is_open(&reader->ringer))
		open_ringer(readers, reader);
	if (fnx_ringer_is_open(&reader->ringer) && fnx_ringer_ring(&reader->ringer) == 0)
		atomic_fetch_add_explicit(&readers->map->segment->rings, 1, memory_order_relaxed);
}

/* `bit`: its own, which was seen to be set. */
static void wake_sleeper(struct fnx_readers *readers, struct fnx_reader *reader, uint64_t bit)
{
	/* The bit first: who parks in between sets it again, or is rung here. */
	atomic_fetch_and(&readers->map->subs->sleepers, ~bit);
	if (atomic_exchange(&record_of(readers, reader)->parked, FNX_AWAKE))
		ring(readers, reader);
}

void fnx_readers_ring_sleepers(
	struct fnx_readers *readers, uint64_t sleepers, uint64_t head, int64_t watermark)
{
	/* After the look: whose bit was seen is known by then. */
	fnx_readers_refresh(readers);
	for (uint32_t i = 0; i < readers->n; i++) {
		const struct fnx_record *record = record_of(readers, &readers->list[i]);
		uint64_t bit = UINT64_C(1) << readers->list[i].index;

		if (!(sleepers & bit) ||
			(atomic_load_explicit(&record->wake_head, memory_order_relaxed) > head &&
				atomic_load_explicit(&record->wake_at, memory_order_relaxed) >
					watermark))
			continue;
		wake_sleeper(readers, &readers->list[i], bit);
	}
}

void fnx_readers_ring_dozers(struct fnx_readers *readers, uint64_t head)
{
	/* seq_cst: pairs with the reader's setting of its bit before it looks at writer_wake */
	uint64_t sleepers = atomic_load(&readers->map->subs->sleepers);

	for (uint32_t i = 0; sleepers && i < readers->n; i++) {
		const struct fnx_record *record = record_of(readers, &readers->list[i]);
		uint64_t bit = UINT64_C(1) << readers->list[i].index;

		if ((sleepers & bit) &&
			atomic_load_explicit(&record->parked, memory_order_relaxed) == FNX_DOZES &&
			is_lossless(readers, &readers->list[i]) &&
			atomic_load(&record->cursor) < head)
			wake_sleeper(readers, &readers->list[i], bit);
	}
}

void fnx_readers_wake(struct fnx_readers *readers)
{
	for (uint32_t i = 0; i < readers->n; i++) {
		atomic_store(&record_of(readers, &readers->list[i])->parked, FNX_AWAKE);
		ring(readers, &readers->list[i]);
	}
}

/* Who is dead
 * --------------------------------------------------------------------------------------- */

/* Does it keep a frame that could otherwise be given up, or a slot that could otherwise be free? */
static int holds_up(
	const struct fnx_readers *readers, const struct fnx_reader *reader, uint64_t released)
{
	const struct fnx_record *record = record_of(readers, reader);

	if (is_lossless(readers, reader) && atomic_load(&record->cursor) <= released)
		return 1;
	for (unsigned k = 0; k < FNX_HAZARDS; k++) {
		uint64_t seq_plus_1 =
			atomic_load_explicit(&record->hazards[k], memory_order_relaxed);

		if (seq_plus_1 && seq_plus_1 <= released)
			return 1;
	}
	return 0;
}

static unsigned evict(struct fnx_readers *readers, struct fnx_reader *reader)
{
	uint32_t word = reader->word;

	if (!atomic_compare_exchange_strong(&record_of(readers, reader)->state, &word,
		    ((word >> 8) + 1) << 8 | FNX_RECORD_FREE)) {
		if ((word & 0xff) == FNX_RECORD_ACTIVE) {
			/* Its node came back, and stands where it stood: to forget it now would
			 * take from a living reader what it is about to read. */
			reader->word = word;
			reader->dead = 0;
			return 0;
		}
	} else {
		atomic_fetch_add_explicit(&readers->map->segment->evicted, 1, memory_order_relaxed);
	}
	forget(readers, reader);
	return 1;
}

unsigned fnx_readers_evict(struct fnx_readers *readers, uint64_t released, int64_t now_ns)
{
	int64_t passed_ns = now_ns - readers->asked_ns;
	unsigned n = 0;

	if (readers->asked && passed_ns < PRESENCE_PERIOD_NS)
		return 0;
	readers->asked = 1;
	readers->asked_ns = now_ns;
	if (passed_ns > COUNTED_NS)
		passed_ns = COUNTED_NS;
	for (uint32_t i = readers->n; i-- > 0;) {
		struct fnx_reader *reader = &readers->list[i];

		if (!holds_up(readers, reader, released))
			continue;
		if (fnx_name_valid(reader->node) &&
			fnx_presence_check(readers->bus, reader->node) != 0) {
			reader->dead = 0;
		} else if (!reader->dead) {
			reader->dead = 1;
			reader->dead_ns = 0;
		} else if ((reader->dead_ns += passed_ns) >= readers->grace_ns) {
			n += evict(readers, reader);
		}
	}
	return n;
}
