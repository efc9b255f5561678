/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes that two bridges exchange. Internal to bus/; docs/protocol.md has the same as tables.
 *
 * Each message begins with struct fnx_wire_head; TOPIC has a second part, the topic's description,
 * and FRAME too, the payload. Little endian, no padding: both ends must be of this kind. Whatever
 * comes in is copied, its size compared with that of its kind, and each value checked where it is
 * used.
 *
 * A receiver asks (ASK) for a topic again and again, saying where it is and up to where it grants;
 * everything in it is absolute, so that one that is lost or comes twice does no harm. `round` names
 * a run of frames without holes: a receiver that finds a hole, or has begun anew, asks with another
 * round, and the sender begins that at `next`. What bears another round is of before and is thrown
 * away.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "bus/bus.h"

enum {
	FNX_WIRE_MAGIC = 0x62786e66, /* "fnxb" */
	FNX_WIRE_ABI = 1,
};

enum fnx_wire_kind {
	FNX_WIRE_BEAT = 1,
	FNX_WIRE_ASK = 2,
	FNX_WIRE_TOPIC = 3,
	FNX_WIRE_FRAME = 4,
	FNX_WIRE_GAP = 5,
	FNX_WIRE_MARK = 6,
	FNX_WIRE_LEFT = 7,
};

struct fnx_wire_head {
	uint32_t magic;
	uint16_t abi;
	uint16_t kind;
};

/* Both ends, every 50 ms: who is there, and what its clock says. */
struct fnx_wire_beat {
	struct fnx_wire_head head;
	int64_t sent_ns; /* CLOCK_MONOTONIC of the sender */
	int64_t echo_ns; /* `sent_ns` of the beat heard last; 0: none was */
	int64_t echo_age_ns; /* how long ago that was heard */
	uint64_t finished; /* 1: all I had to give is known to have arrived */
};

/* Receiver to sender. */
struct fnx_wire_ask {
	struct fnx_wire_head head;
	uint32_t handle; /* the receiver's name for this topic, from now on */
	uint32_t ended; /* 1: FNX_END has arrived, and all before it */
	uint64_t round;
	uint64_t epoch; /* of the topic as the receiver knows it; 0: not at all, so no frames */
	uint64_t next; /* has all below */
	uint64_t limit; /* frames below this may be sent */
	char topic[FNX_NAME_MAX];
};

/* Sender to receiver. */
struct fnx_wire_topic {
	struct fnx_wire_head head;
	uint32_t handle;
	uint32_t full; /* enum fnx_full_policy */
	uint64_t epoch;
	uint64_t schema_hash;
	uint64_t slot_size;
	uint32_t n_slots;
	uint32_t n_entries;
	uint64_t first_seq; /* the oldest frame that can be had */
};

struct fnx_wire_frame {
	struct fnx_wire_head head;
	uint32_t handle;
	uint32_t flags;
	uint64_t round;
	uint64_t seq;
	int64_t sample_time;
	int64_t ingress_ns; /* the sender's clock */
	int64_t publish_ns;
	uint64_t origin;
};

struct fnx_wire_gap {
	struct fnx_wire_head head;
	uint32_t handle;
	uint32_t reserved;
	uint64_t round;
	uint64_t from, to;
};

struct fnx_wire_mark {
	struct fnx_wire_head head;
	uint32_t handle;
	uint32_t reserved;
	uint64_t round;
	uint64_t next; /* holds once all below has arrived */
	int64_t watermark;
	int64_t ingress_ns;
	int64_t end;
};

/* The topic has left, and has no successor yet. */
struct fnx_wire_left {
	struct fnx_wire_head head;
	uint32_t handle;
	uint32_t reserved;
	uint64_t epoch;
};

static_assert(sizeof(struct fnx_wire_head) == 8, "layout");
static_assert(sizeof(struct fnx_wire_beat) == 40, "layout");
static_assert(sizeof(struct fnx_wire_ask) == 96, "layout");
static_assert(sizeof(struct fnx_wire_topic) == 56, "layout");
static_assert(sizeof(struct fnx_wire_frame) == 64, "layout");
static_assert(sizeof(struct fnx_wire_gap) == 40, "layout");
static_assert(sizeof(struct fnx_wire_mark) == 56, "layout");
static_assert(sizeof(struct fnx_wire_left) == 24, "layout");

/* Room for any first part. */
union fnx_wire {
	struct fnx_wire_head head;
	struct fnx_wire_beat beat;
	struct fnx_wire_ask ask;
	struct fnx_wire_topic topic;
	struct fnx_wire_frame frame;
	struct fnx_wire_gap gap;
	struct fnx_wire_mark mark;
	struct fnx_wire_left left;
};

static inline struct fnx_wire_head fnx_wire_head(enum fnx_wire_kind kind)
{
	return (struct fnx_wire_head){
		.magic = FNX_WIRE_MAGIC, .abi = FNX_WIRE_ABI, .kind = (uint16_t)kind};
}
