/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A topic: one publisher, up to 63 subscribers, frames in shared memory.
 *
 * A publisher loans a slot, writes the payload in place and publishes it. A subscriber peeks at
 * the next frame, reads it in place and releases it. Neither side copies, allocates, locks or
 * blocks; the only system call is the ring that wakes a parked reader.
 *
 *	publisher   loan -> (write) -> publish | abort      advance(watermark)
 *	subscriber  peek -> (read)  -> release              hold / drop keep it beyond its turn
 *
 * How it works, and in which order the words are written, is told at the head of segment.h.
 * Real-time class of each call: [frame] bounded and free of allocation, locks and system calls but
 * for a ring; [slow] anything. A publisher and a subscriber each belong to one thread.
 */
#pragma once

#include "bus/bell.h"
#include "bus/bus.h"

enum fnx_policy {
	FNX_LOSSLESS = 1, /* the pool waits for this reader as long as it can */
	FNX_LOSSY = 2, /* the pool never waits; for monitors */
	FNX_LATEST = 3, /* lossy, and goes to the newest frame each time; what it skips is no gap */
};

/* What a publisher does when no slot is free. */
enum fnx_full_policy {
	FNX_FULL_WAIT = 1, /* loan answers -EAGAIN: back-pressure, for replay */
	FNX_FULL_DROP = 2, /* the slowest reader is lapped: for live acquisition */
};

enum fnx_start {
	FNX_START_NEXT = 0, /* from the first frame published after joining */
	FNX_START_OLDEST = 1, /* from the oldest that still has its payload */
};

enum {
	FNX_HOLDS_MAX = 7, /* frames that one subscriber can keep at a time */
};

/* Watermark of a topic whose publisher has said all it had to say. */
#define FNX_END INT64_MAX

/* frame.flags, set by publishers */
enum {
	FNX_FRAME_LATE = 1u << 0, /* made from an input that came after its turn */
	FNX_FRAME_INCOMPLETE = 1u << 1, /* made although an input was silent beyond its deadline */
};

/* Answers of fnx_subscriber_peek */
enum {
	FNX_NOTHING = 0,
	FNX_FRAME = 1,
	FNX_GAP = 2, /* frames were lost here; the next peek goes on behind them */
	FNX_MOVED = 3, /* the topic was replaced by another of its name; close and open again */
};

enum fnx_gap_reason {
	FNX_GAP_LAPPED = 1, /* this reader was too slow */
	FNX_GAP_DROPPED = 2, /* the publisher found every slot in use */
};

/* What a publisher says about a frame. */
struct fnx_stamp {
	int64_t sample_time; /* samples of the acquisition clock */
	/* CLOCK_MONOTONIC: when the sample that caused it entered this machine */
	int64_t ingress_ns;
	int64_t publish_ns; /* CLOCK_MONOTONIC */
	uint64_t origin; /* sequence number of the input frame that caused it, or 0 */
	uint32_t flags;
};

struct fnx_frame {
	uint64_t seq; /* from 0, without holes */
	struct fnx_stamp stamp;
	/* in the pool, read-only; valid until release, or drop of a held frame */
	const void *payload;
	uint32_t length; /* bytes */
};

struct fnx_gap {
	uint64_t from; /* first sequence number lost */
	uint64_t to; /* first not lost */
	enum fnx_gap_reason reason;
};

struct fnx_topic_config {
	const char *name;
	const char *node; /* the publisher's, whose presence the caller holds */
	uint64_t schema_hash;
	const void *schema; /* description, as MessagePack; carried, not understood */
	size_t schema_size;
	size_t slot_size; /* bytes; rounded up to a cache line */
	uint32_t n_slots; /* 2..65536, what subscribers may pin (1 + holds each) counted in */
	/* ledger length, 0: 4 x slots; rounded up to a power of two above n_slots */
	uint32_t n_entries;
	enum fnx_full_policy full;
	int64_t grace_ns; /* how long a dead lossless subscriber keeps its place */
	enum fnx_bell_form bell; /* of the publisher's node: who drains a full pool rings it */
	/* For who passes on another machine's topic: its epoch and the sequence number that its
	 * frames begin with here. 0: an epoch of its own; from 0 on. A predecessor's topic is taken
	 * over only if its epoch is this one. */
	uint64_t epoch;
	uint64_t first_seq;
};

struct fnx_publisher;
struct fnx_subscriber;

/* Publisher
 * ---------------------------------------------------------------------------------------- */

/* Creates the topic, or takes over the one that a dead publisher of the same node left, if it has
 * the same layout: sequence numbers go on and readers notice nothing. [slow] -EBUSY: another living
 * node publishes it; -ENOSPC: the segment directory is full; -EINVAL; -ENOMEM ... A topic of
 * another node, or of another layout, is replaced, and its readers are told that it moved. */
FNX_MUST_CHECK int fnx_publisher_open(const struct fnx_bus *bus,
	const struct fnx_topic_config *config, struct fnx_publisher **ret);

/* [frame] A slot to write to; one at a time. -EAGAIN (wait): readers must catch up first. -ENOBUFS
 * (drop): every slot is being read; the frame is lost, counted, and each reader will see the gap.
 */
FNX_MUST_CHECK int fnx_publisher_loan(
	struct fnx_publisher *pub, int64_t now_ns, void **ret_payload);
/* [frame] The same of a slot that lies free, for who may give it back unpublished: nobody loses
 * anything for it, and nothing is counted. -EAGAIN: there is none. */
FNX_MUST_CHECK int fnx_publisher_loan_free(struct fnx_publisher *pub, void **ret_payload);
/* [frame] Makes the loaned slot the next frame. `length` at most the slot's size. */
void fnx_publisher_publish(struct fnx_publisher *pub, size_t length, const struct fnx_stamp *stamp);
/* [frame] The same for one of a batch: the frame exists, and a reader that is awake takes it, but
 * who sleeps is told by the flush that ends the batch: one look at the readers, however many
 * frames. */
void fnx_publisher_stage(struct fnx_publisher *pub, size_t length, const struct fnx_stamp *stamp);
/* [frame] Before the publisher's own turn ends. Nothing, if nothing is staged. A loan that finds
 * the pool empty, advance and park begin with it. */
void fnx_publisher_flush(struct fnx_publisher *pub);
/* [frame] Gives the loaned slot back unpublished. */
void fnx_publisher_abort(struct fnx_publisher *pub);
/* [frame] The next frame will be `seq`: what lies before it was lost elsewhere, is counted as
 * dropped, and each reader will see the gap. -EAGAIN: readers must catch up first, call again. */
FNX_MUST_CHECK int fnx_publisher_skip(struct fnx_publisher *pub, uint64_t seq, int64_t now_ns);
/* [frame] Promises that no later frame will bear a sample time below `watermark`; never goes back.
 * `ingress_ns`: when the sample that allows the promise entered this machine. */
void fnx_publisher_advance(struct fnx_publisher *pub, int64_t watermark, int64_t ingress_ns);
/* [frame] 1 if `n` frames can be loaned one after the other, else 0, and who dozes over unread
 * frames is rung. A drop publisher always can, and laps nobody for being asked. */
int fnx_publisher_room(struct fnx_publisher *pub, uint32_t n, int64_t now_ns);
/* Asks to be rung when readers have drained half of what is in use. 1: there is room for `n`
 * already (not parked); 0: parked. Wakes every parked reader of the topic first, and whoever dozes
 * over unread frames last, so that two sleepers never wait for each other's frames. The death of a
 * reader rings no bell: look again when its grace is over. */
int fnx_publisher_park(struct fnx_publisher *pub, uint32_t n, int64_t now_ns);
void fnx_publisher_unpark(struct fnx_publisher *pub);

uint64_t fnx_publisher_head(const struct fnx_publisher *pub);
int64_t fnx_publisher_watermark(const struct fnx_publisher *pub);
size_t fnx_publisher_slot_size(const struct fnx_publisher *pub);
/* The frame published last, and how many before it in a row have the same sample time and origin
 * (1: it alone; 0: none was published, or its entry is gone). So a successor knows what not to
 * publish again. */
struct fnx_publisher_tail {
	int64_t sample_time;
	uint64_t origin;
	uint64_t count;
};
void fnx_publisher_tail(const struct fnx_publisher *pub, struct fnx_publisher_tail *ret_tail);
/* What was said about frame `seq` of this topic, by this publisher or its predecessor; publish_ns
 * is left out. -ENOENT: it was dropped, or its entry has turned over, or it is yet to come. */
FNX_MUST_CHECK int fnx_publisher_stamp(
	const struct fnx_publisher *pub, uint64_t seq, struct fnx_stamp *ret_stamp);
/* 1 if the topic was taken over from a predecessor. */
int fnx_publisher_adopted(const struct fnx_publisher *pub);
uint64_t fnx_publisher_dropped(const struct fnx_publisher *pub);
/* Frames that lossless subscribers lost by being lapped, all together; what a lazy one had not
 * committed counts. */
uint64_t fnx_publisher_lapped(const struct fnx_publisher *pub);
/* Lossless subscribers that have a place, dead ones within their grace included. */
uint32_t fnx_publisher_readers(struct fnx_publisher *pub);
/* Leaving in good order removes the topic's name; readers drain what they have mapped and are then
 * told that it moved. (A publisher that dies leaves all in place, for its successor.) [slow] */
struct fnx_publisher *fnx_publisher_close(struct fnx_publisher *pub);

/* Subscriber
 * --------------------------------------------------------------------------------------- */

struct fnx_subscriber_config {
	const char *topic;
	const char *node; /* the subscriber's, whose presence the caller holds; one per topic and
			     node */
	uint64_t schema_hash; /* 0: any */
	enum fnx_policy policy;
	enum fnx_start start;
	enum fnx_bell_form bell; /* of this node */
	int lazy; /* release does not give frames back; commit does, for all released so far */
};

/* Joins a topic, or resumes where a dead node of this name stopped. [slow] -ENOENT: no such topic
 * (yet); -EPROTO: another ABI or schema; -EUSERS: 63 have joined (a dead monitor gives way);
 * -EBADMSG: the segment is damaged; -EINVAL; -ENOMEM ... */
FNX_MUST_CHECK int fnx_subscriber_open(const struct fnx_bus *bus,
	const struct fnx_subscriber_config *config, struct fnx_subscriber **ret);

/* [frame] FNX_FRAME: the next frame (the same again until release). FNX_GAP: *ret_gap was lost.
 * FNX_NOTHING. FNX_MOVED: the topic was replaced, or this subscriber's place was taken since its
 * node was found dead. -EBADMSG: the entry is damaged; the frame is skipped by release. */
FNX_MUST_CHECK int fnx_subscriber_peek(
	struct fnx_subscriber *sub, struct fnx_frame *ret_frame, struct fnx_gap *ret_gap);
/* [frame] Done with the frame peeked last; once for each FNX_FRAME or -EBADMSG. */
void fnx_subscriber_release(struct fnx_subscriber *sub);
/* [frame] lazy subscribers: gives back all frames released so far. */
void fnx_subscriber_commit(struct fnx_subscriber *sub);
/* [frame] The same for those below `seq`, which is at most what the next peek will look at. */
void fnx_subscriber_commit_to(struct fnx_subscriber *sub, uint64_t seq);
/* [frame] Goes back to the first frame not committed. */
void fnx_subscriber_rewind(struct fnx_subscriber *sub);
/* 1: what this subscriber reads may be lapped unless it is held; 0: it stays until committed. */
int fnx_subscriber_guarded(const struct fnx_subscriber *sub);
/* The topic's own slot size, number of slots and policy, for who makes another like it. */
void fnx_subscriber_describe(const struct fnx_subscriber *sub, struct fnx_topic_config *ret_config);
/* A successor that knows better than the cursor what its predecessor was done with: goes on at
 * `seq`, as if all before had been released. Only forward, and not beyond what was published;
 * before the first peek. */
void fnx_subscriber_skip(struct fnx_subscriber *sub, uint64_t seq);
/* [frame] Keeps frame `seq`, peeked and not yet released, beyond its release, until drop; what is
 * held twice is dropped twice. -ENOBUFS: FNX_HOLDS_MAX are held. */
FNX_MUST_CHECK int fnx_subscriber_hold(struct fnx_subscriber *sub, uint64_t seq);
void fnx_subscriber_drop(struct fnx_subscriber *sub, uint64_t seq);
/* [frame] */
int64_t fnx_subscriber_watermark(const struct fnx_subscriber *sub, int64_t *ret_ingress_ns);
/* [frame] Once the watermark is FNX_END: the watermark before it. */
int64_t fnx_subscriber_end(const struct fnx_subscriber *sub);
/* [frame] Says that this node is about to sleep. 1: a frame, or a watermark of at least `wake_at`,
 * is there already (not parked); 0: parked: the bell will ring for either. */
int fnx_subscriber_park(struct fnx_subscriber *sub, int64_t wake_at);
/* [frame] The same for one who can leave up to `patience` frames unread until it has a reason to
 * look: the bell rings for the one behind them, for the watermark, and for a publisher that wants
 * room. A quarter of the pool is the most that may lie unread; for one who is not lossless none,
 * unless that is a pass of reclaim. */
int fnx_subscriber_doze(struct fnx_subscriber *sub, int64_t wake_at, uint32_t patience);
void fnx_subscriber_unpark(struct fnx_subscriber *sub);
/* [frame] 1 if a park, or a doze, would answer 1. */
int fnx_subscriber_pending(const struct fnx_subscriber *sub, int64_t wake_at);
int fnx_subscriber_due(const struct fnx_subscriber *sub, int64_t wake_at, uint32_t patience);
/* 1 if it is parked although what it waits for is there. True for a moment on every wake; if it
 * lasts, a bell failed. */
int fnx_subscriber_overslept(const struct fnx_subscriber *sub);

/* Sequence number that the next peek will look at; frames published and not yet peeked at. */
uint64_t fnx_subscriber_next(const struct fnx_subscriber *sub);
uint64_t fnx_subscriber_lag(const struct fnx_subscriber *sub);
/* 1 if it resumed a predecessor's place. */
int fnx_subscriber_resumed(const struct fnx_subscriber *sub);
/* The topic's own description, `*ret_size` bytes, valid until close; checked to lie within the
 * segment only. */
const void *fnx_subscriber_schema(const struct fnx_subscriber *sub, size_t *ret_size);
/* Node that publishes the topic. */
const char *fnx_subscriber_publisher(const struct fnx_subscriber *sub);
/* Tells this topic from others of its name, before and after it; a successor that takes it over
 * keeps it. */
uint64_t fnx_subscriber_epoch(const struct fnx_subscriber *sub);
struct fnx_subscriber *fnx_subscriber_close(struct fnx_subscriber *sub);
