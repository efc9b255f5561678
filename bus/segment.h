/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a topic, and the order in which they are written. Internal to bus/.
 *
 * <topic>.data, written by its publisher alone, mapped read-only by everyone else:
 *
 *	     0  header: identity and sizes; fixed once `magic`, stored last, is there
 *	   256  head         next sequence number        |
 *	   320  watermark    and its ingress time        | one cache line
 *	   384  released     first seq not RELEASED      | each
 *	   392  releasing    the pass under way ends here|
 *	   448  counters
 *	   512  lapped[63]   frames each subscriber lost by being lapped
 *	  2048  pinned[504]  slots whose frames are RELEASED but still read by somebody
 *	 12288  schema       description, MessagePack
 *	     .  ledger       n_entries x 64 bytes
 *	     .  pool         n_slots x stride, page-aligned; a stride is the slot's size, and a line,
 *			     or a line and a page, more where slots would otherwise begin in the
 *			     same cache or TLB sets
 *
 * <topic>.subs, mapped read-write by all; every subscriber writes to its own record only:
 *
 *	     0  header       magic, epoch
 *	    64  joins        raised whenever a record is taken or given up | one
 *	    72  sleepers     bit n: record n may be parked                 | line
 *	   128  writer_wake  the publisher sleeps until a cursor reaches this (0: it does not sleep)
 *	  4096  records      63 x 512 bytes: identity | parked | cursor | hazards, a line each
 *
 * Life of an entry: `tag` is (seq << 2) | state, one word, so that it is never half true.
 *
 *	EMPTY -> PUBLISHED -> RELEASED -> (overwritten by seq + n_entries: CONSUMED)
 *
 *	publish   entry.tag = EMPTY; fields; entry.tag = PUBLISHED [release]: from here on the
 *		  frame exists. So for each of a batch. Then head = seq + 1 [seq_cst]; then look
 *		  for sleepers.
 *	park      wake_at, wake_head; parked = 1, or 2 where wake_head is not the next frame's (who
 *		  dozes); sleepers |= bit [seq_cst]; then look at head and watermark. One of the two
 *		  sees the other. A publisher that finds no bit touches no record.
 *	ring      bit set and wake_at or wake_head reached: sleepers &= ~bit [seq_cst]; then parked -> 0
 *		  [seq_cst], and who changed it rings. A bit may be stale, since unpark clears
 *		  `parked` alone; a record that is parked has its bit, or is about to be rung.
 *	no room   writer_wake [seq_cst]; then look at cursors; then ring who dozes and has not come to
 *		  head. Who begins to doze looks, behind its bit, at writer_wake, and does not if it
 *		  is set and something unread: one of the two sees the other. A publisher that looks
 *		  again and again rings at each look, and need not say so.
 *	peek      A reader looks at the tag of the entry it waits for, not at head: one cache
 *		  line less per frame. A successor finds by their tags frames that its
 *		  predecessor published but did not live to count.
 *	reclaim   tags = RELEASED; fence; then look at hazards. Peek of one who may be lapped:
 *		  hazard = seq [seq_cst]; then look at the tag. One of the two sees the other: a
 *		  slot found in use goes to `pinned` and stays out of the free list until it is
 *		  not.
 *	join      record; joins + 1 [seq_cst]; then take `releasing` as the oldest frame there is.
 *		  Reclaim: releasing = end of the pass [seq_cst]; then look at joins. Either the
 *		  joiner begins behind the pass, or the pass takes the joiner into account.
 *
 * A lossless reader of a wait publisher is never lapped: its cursor alone protects what it reads.
 *
 * Everything the publisher reads from .subs is taken for hostile: copied once, clamped, and used
 * as a number to compare with, never as an index or a length.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "bus/topic.h"

#define FNX_SEGMENT_MAGIC UINT64_C(0x31307874726e6f66) /* "fonrtx01" in memory order */
#define FNX_SUBS_MAGIC UINT64_C(0x3130736273786e66)
#define FNX_NO_SLOT UINT32_MAX

enum {
	FNX_SEGMENT_ABI = 6,
	FNX_SEGMENT_ENDIAN = 0x01020304,
	FNX_SEGMENT_HEADER_SIZE = 12288,
	FNX_SUBS_HEADER_SIZE = 4096,
	FNX_HAZARDS = 1 + FNX_HOLDS_MAX, /* [0] is the frame being read */
	FNX_PINNED_MAX = FNX_SUBSCRIBERS_MAX * FNX_HAZARDS,
	FNX_SLOTS_MAX = 65536,
	FNX_GIVE_UP_MAX = 64, /* frames that one pass of reclaim gives up */
	FNX_SLOT_LARGE = 65536, /* bytes, and multiples of it */
	FNX_SLOT_APART = 4096,
};

enum fnx_entry_state {
	FNX_ENTRY_EMPTY,
	FNX_ENTRY_PUBLISHED,
	FNX_ENTRY_RELEASED
};

struct fnx_entry {
	_Atomic uint64_t tag;
	_Atomic uint32_t slot; /* FNX_NO_SLOT: the frame was dropped at the source */
	_Atomic uint32_t length; /* bytes */
	_Atomic int64_t sample_time; /* samples */
	_Atomic int64_t ingress_ns;
	_Atomic int64_t publish_ns;
	_Atomic uint64_t origin;
	_Atomic uint32_t flags;
	_Atomic uint32_t next_slot; /* where the next frame will probably lie: worth a prefetch */
	uint32_t reserved[2];
};
static_assert(sizeof(struct fnx_entry) == FNX_CACHE_LINE, "one entry, one cache line");

struct fnx_pinned {
	_Atomic uint64_t seq_plus_1; /* 0: free */
	_Atomic uint64_t slot;
};

struct fnx_segment {
	_Atomic uint64_t magic;
	uint32_t abi;
	uint32_t endian;
	uint64_t schema_hash;
	uint64_t epoch;
	int64_t created_ns; /* CLOCK_REALTIME */
	_Atomic int32_t publisher_pid;
	uint32_t full; /* enum fnx_full_policy */
	uint32_t n_slots;
	uint32_t n_entries;
	uint64_t slot_size;
	uint64_t schema_offset;
	uint64_t schema_size;
	uint64_t ledger_offset;
	uint64_t pool_offset;
	uint64_t file_size;
	_Atomic uint32_t bell_form; /* of the publisher's node */
	_Atomic uint32_t replaced; /* 1: a successor with another layout has taken the name */
	uint64_t reserved[2];
	char node[FNX_NAME_MAX];
	char topic[FNX_NAME_MAX];
	_Alignas(256) _Atomic uint64_t head;
	_Alignas(FNX_CACHE_LINE) _Atomic int64_t watermark; /* samples */
	_Atomic int64_t watermark_ingress_ns;
	_Atomic int64_t
		end; /* samples: the watermark before FNX_END, where the session's time ended */
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t released;
	_Atomic uint64_t releasing;
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t dropped; /* frames that found no slot */
	_Atomic uint64_t lapped_total;
	_Atomic uint64_t rings;
	_Atomic uint64_t evicted;
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t lapped[FNX_SUBSCRIBERS_MAX];
	_Alignas(2048) struct fnx_pinned pinned[FNX_PINNED_MAX];
};
static_assert(offsetof(struct fnx_segment, node) == 128, "bus.c reads the publisher's name there");
static_assert(offsetof(struct fnx_segment, head) == 256, "layout");
static_assert(offsetof(struct fnx_segment, watermark) == 320, "layout");
static_assert(offsetof(struct fnx_segment, released) == 384, "layout");
static_assert(offsetof(struct fnx_segment, releasing) == 392, "layout");
static_assert(offsetof(struct fnx_segment, dropped) == 448, "layout");
static_assert(offsetof(struct fnx_segment, lapped) == 512, "layout");
static_assert(offsetof(struct fnx_segment, pinned) == 2048, "layout");
static_assert(sizeof(struct fnx_segment) <= FNX_SEGMENT_HEADER_SIZE, "layout");

enum fnx_record_state {
	FNX_RECORD_FREE,
	FNX_RECORD_CLAIMED,
	FNX_RECORD_ACTIVE
};

enum fnx_parked {
	FNX_AWAKE = 0,
	FNX_PARKED = 1,
	FNX_DOZES = 2, /* parked, and not rung for the next frame */
};

/* One subscriber. `state` is (generation << 8) | state: who resumes or evicts changes it by
 * compare-and-swap. */
struct fnx_record {
	_Atomic uint32_t state;
	_Atomic uint8_t policy; /* enum fnx_policy */
	_Atomic uint8_t bell_form;
	uint16_t reserved0;
	_Atomic int32_t pid;
	uint32_t reserved1;
	_Atomic uint64_t node[FNX_NAME_MAX / 8]; /* its name, by words */
	_Alignas(FNX_CACHE_LINE) _Atomic uint32_t parked; /* enum fnx_parked */
	_Atomic int64_t wake_at; /* samples: ring when the watermark reaches this, */
	_Atomic uint64_t wake_head; /* or head this */
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t cursor;
	_Atomic uint64_t gaps;
	_Atomic uint64_t missed;
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t hazards[FNX_HAZARDS]; /* seq + 1, 0: none */
	_Alignas(512) char end[];
};
static_assert(sizeof(struct fnx_record) == 512, "layout");
static_assert(offsetof(struct fnx_record, node) == 16, "layout");
static_assert(offsetof(struct fnx_record, parked) == 64, "layout");
static_assert(offsetof(struct fnx_record, wake_at) == 72, "layout");
static_assert(offsetof(struct fnx_record, wake_head) == 80, "layout");
static_assert(offsetof(struct fnx_record, cursor) == 128, "layout");
static_assert(offsetof(struct fnx_record, hazards) == 192, "layout");

struct fnx_subs {
	_Atomic uint64_t magic;
	uint32_t abi;
	uint32_t reserved;
	uint64_t epoch;
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t joins;
	_Atomic uint64_t sleepers; /* bit per record; set by its reader, cleared by the publisher */
	_Alignas(FNX_CACHE_LINE) _Atomic uint64_t writer_wake;
	_Alignas(FNX_SUBS_HEADER_SIZE) struct fnx_record records[FNX_SUBSCRIBERS_MAX];
};
static_assert(offsetof(struct fnx_subs, joins) == 64, "layout");
static_assert(offsetof(struct fnx_subs, sleepers) == 72, "layout");
static_assert(FNX_SUBSCRIBERS_MAX <= 64, "a bit each");
static_assert(offsetof(struct fnx_subs, writer_wake) == 128, "layout");
static_assert(offsetof(struct fnx_subs, records) == FNX_SUBS_HEADER_SIZE, "layout");

/* Both files of a topic, mapped. `segment` is read-only unless the mapper is its publisher. */
struct fnx_mapping {
	struct fnx_segment *segment;
	struct fnx_subs *subs;
	size_t segment_size;
	size_t subs_size;
	int subs_fd; /* open for the locks of those who join; -1 once settled */
	/* Copies of what the header says, checked once: the header itself is never asked again. */
	uint64_t epoch;
	uint64_t schema_hash;
	uint64_t slot_size;
	uint64_t slot_stride;
	uint64_t schema_size;
	uint32_t n_slots;
	uint32_t n_entries;
	enum fnx_full_policy full;
	const unsigned char *schema;
	struct fnx_entry *ledger;
	unsigned char *pool;
	char node[FNX_NAME_MAX];
	char topic[FNX_NAME_MAX];
};

/* Creates both files under temporary names, touches every page, and renames them into place. */
FNX_MUST_CHECK int fnx_mapping_create(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_mapping *ret);
/* Maps an existing topic and checks every size in its header against the file. `writable`: as its
 * publisher. */
FNX_MUST_CHECK int fnx_mapping_open(
	const struct fnx_bus *bus, const char *topic, int writable, struct fnx_mapping *ret);
/* Every size in a header against the file's own. `segment` is a private copy, of which what stands
 * before `head` is looked at. 0; -EPROTO: of another build; -EBADMSG. */
FNX_MUST_CHECK int fnx_segment_check(const struct fnx_segment *segment, size_t file_size);
/* 1 if a topic made from `config` would be of the same node, schema and sizes. */
int fnx_mapping_matches(const struct fnx_mapping *mapping, const struct fnx_topic_config *config);
/* Closes what only opening needs, and with it every lock on a record. */
void fnx_mapping_settle(struct fnx_mapping *mapping);
/* Locks record `index` against all others who join, until settle or death. -EAGAIN: somebody is at
 * it. */
FNX_MUST_CHECK int fnx_mapping_lock_record(const struct fnx_mapping *mapping, unsigned index);
void fnx_mapping_close(struct fnx_mapping *mapping);
/* Removes both names. */
void fnx_mapping_unlink(const struct fnx_bus *bus, const char *topic);

/* `node` has FNX_NAME_MAX bytes. What is got ends with a 0, and may be anything otherwise. */
static inline void fnx_record_set_node(struct fnx_record *record, const char *node)
{
	uint64_t words[FNX_NAME_MAX / 8] = {0};

	memcpy(words, node, strnlen(node, FNX_NAME_MAX - 1));
	for (unsigned i = 0; i < FNX_NAME_MAX / 8; i++)
		atomic_store_explicit(&record->node[i], words[i], memory_order_relaxed);
}

static inline void fnx_record_get_node(const struct fnx_record *record, char *ret_node)
{
	uint64_t words[FNX_NAME_MAX / 8];

	for (unsigned i = 0; i < FNX_NAME_MAX / 8; i++)
		words[i] = atomic_load_explicit(&record->node[i], memory_order_relaxed);
	memcpy(ret_node, words, FNX_NAME_MAX);
	ret_node[FNX_NAME_MAX - 1] = 0;
}

static inline uint64_t fnx_tag(uint64_t seq, enum fnx_entry_state state)
{
	return seq << 2 | (uint64_t)state;
}

static inline struct fnx_entry *fnx_mapping_entry(const struct fnx_mapping *mapping, uint64_t seq)
{
	return &mapping->ledger[seq & (mapping->n_entries - 1)];
}

/* Bytes from one slot to the next. Slots of a page each would all begin in the same few cache sets,
 * and those of many pages on pages that compete for the same few entries of the TLB: so those are
 * kept a line apart, and these a page as well. */
static inline uint64_t fnx_slot_stride(uint64_t slot_size)
{
	uint64_t stride = slot_size % 512 ? slot_size : slot_size + FNX_CACHE_LINE;

	return slot_size % FNX_SLOT_LARGE ? stride : stride + FNX_SLOT_APART;
}

/* Any slot number will do: one that is out of range, from a damaged entry, stands for the first. */
static inline unsigned char *fnx_mapping_slot(const struct fnx_mapping *mapping, uint32_t slot)
{
	return mapping->pool + (size_t)(slot < mapping->n_slots ? slot : 0) * mapping->slot_stride;
}

/* What no reader should wait for lies out of the way: the jumps of a frame count among the few tens of
 * nanoseconds that it takes. */
#define FNX_SELDOM(condition) __builtin_expect(!!(condition), 0)

/* Fetches a line that is soon to be written, from whichever core has it. */
static inline void fnx_prefetch_to_write(const void *address)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
#else
	__builtin_prefetch(address, 1);
#endif
}
