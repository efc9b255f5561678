/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a publisher knows of the subscribers of its topic: who is there, how far each has come, what
 * each is reading, who sleeps and who is dead. Internal to bus/.
 *
 * Every word comes from memory that subscribers can write. It is copied once, clamped where it
 * stands for a sequence number, and never used as an index or a length.
 *
 * One thread, the publisher's. Calls are [frame] unless they say otherwise.
 */
#pragma once

#include "bus/segment.h"

struct fnx_reader {
	uint32_t index; /* of its record */
	uint32_t state; /* of its record when its name and bell were noted */
	uint32_t word; /* of its record when last looked at */
	int dead; /* its node was found dead, */
	int64_t dead_ns; /* and again and again, for so long */
	char node[FNX_NAME_MAX];
	struct fnx_ringer ringer;
};

struct fnx_readers {
	const struct fnx_bus *bus;
	const struct fnx_mapping *map;
	uint64_t joins; /* as last seen */
	int64_t grace_ns;
	int asked; /* who is alive was asked at `asked_ns` */
	int64_t asked_ns;
	uint32_t n;
	struct fnx_reader list[FNX_SUBSCRIBERS_MAX];
};

/* Sequence numbers that may be being read. */
struct fnx_hazards {
	uint32_t n;
	uint64_t seqs[FNX_PINNED_MAX];
};

/* Takes note of everybody who came and went. `adopting`: who is met for the first time was there
 * before. [slow] */
void fnx_readers_look(struct fnx_readers *readers, int adopting);
/* The same, if anybody did. Opening a newcomer's bell is [slow], though it takes no memory (but
 * ZeroMQ's); nothing else is. */
void fnx_readers_refresh(struct fnx_readers *readers);
/* The lowest cursor of all lossless readers, within [released, head], and the next higher one. */
uint64_t fnx_readers_lowest(
	const struct fnx_readers *readers, uint64_t released, uint64_t head, uint64_t *ret_second);
uint32_t fnx_readers_lossless(const struct fnx_readers *readers);
/* Rings the parked readers that wait for a head of at most `head` (UINT64_MAX: all of them), or a
 * watermark of at most `watermark`. The bit of one who has left stands until its record is used
 * again, which costs a look. */
void fnx_readers_ring_sleepers(
	struct fnx_readers *readers, uint64_t sleepers, uint64_t head, int64_t watermark);
static inline void fnx_readers_ring(struct fnx_readers *readers, uint64_t head, int64_t watermark)
{
	/* seq_cst: pairs with the reader's setting of its bit before it looks at head and watermark
	 */
	uint64_t sleepers = atomic_load(&readers->map->subs->sleepers);

	if (sleepers)
		fnx_readers_ring_sleepers(readers, sleepers, head, watermark);
}
/* Rings the lossless readers that doze over unread frames, which lie below `head`: somebody wants
 * their slots. Who has read all has nothing to give, and sleeps on. */
void fnx_readers_ring_dozers(struct fnx_readers *readers, uint64_t head);
/* Rings everybody, parked or not: a predecessor may have died between taking back a reader's
 * `parked` and ringing it. [slow] */
void fnx_readers_wake(struct fnx_readers *readers);
/* All below `limit`. */
void fnx_readers_hazards(
	const struct fnx_readers *readers, uint64_t limit, struct fnx_hazards *ret_hazards);
int fnx_hazards_contain(const struct fnx_hazards *hazards, uint64_t seq);
/* Counts under each laggard's name what it loses when everything below `limit` is given up. What it
 * is reading at this moment is not lost; what a lazy reader has not committed is. */
void fnx_readers_count_lapped(const struct fnx_readers *readers, uint64_t released, uint64_t limit);
/* Asks, every so often, whether those who hold up everything from `released` on are alive; evicts
 * who has been dead for `grace`. Enters the kernel, but only for a publisher that finds no slot.
 * Returns the number evicted. */
unsigned fnx_readers_evict(struct fnx_readers *readers, uint64_t released, int64_t now_ns);
/* [slow] */
void fnx_readers_forget(struct fnx_readers *readers);
