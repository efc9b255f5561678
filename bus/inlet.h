/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inlet: the receiver's end of one bridged topic. It publishes in this machine's shared memory what
 * the other machine's topic brings: the same name, description, sequence numbers, epoch, gaps and
 * watermarks. So whoever reads the topic here does so as everywhere.
 *
 * It grants the sender as many frames as its own pool can take without waiting for anybody, so that
 * a reader that is slow here holds up a publisher there that waits.
 *
 * Internal to bus/. One thread. Everything that comes from the link may be wrong.
 */
#pragma once

#include "bus/bridge_wire.h"
#include "bus/link.h"
#include "bus/topic.h"

struct fnx_inlet;

struct fnx_inlet_config {
	const char *topic;
	const char *node; /* the bridge's, whose presence the caller holds */
	uint64_t schema_hash; /* 0: any */
	int64_t grace_ns;
	enum fnx_bell_form bell;
};

struct fnx_inlet_counts {
	uint64_t frames;
	uint64_t gaps, missed; /* that the sender told of */
	uint64_t rounds; /* times it had to ask anew */
	uint64_t refused; /* messages that could not be what they said */
	int64_t first_time, last_time; /* sample times of the first and last frame, if any came */
};

/* `handle`: unlike that of any other inlet of the link. `round`: a number that no inlet of this
 * topic had before. */
FNX_MUST_CHECK int fnx_inlet_open(const struct fnx_bus *bus, const struct fnx_inlet_config *config,
	uint32_t handle, uint64_t round, struct fnx_inlet **ret_inlet);
const char *fnx_inlet_topic(const struct fnx_inlet *inlet);
/* What the sender said. `offset_ns`: the sender's clock minus ours. */
void fnx_inlet_topic_told(struct fnx_inlet *inlet, const struct fnx_wire_topic *topic,
	const void *schema, size_t schema_size);
void fnx_inlet_frame(struct fnx_inlet *inlet, const struct fnx_wire_frame *entry,
	const void *payload, size_t size, int64_t offset_ns, int64_t now_ns);
void fnx_inlet_gap(struct fnx_inlet *inlet, const struct fnx_wire_gap *gap, int64_t now_ns);
void fnx_inlet_mark(struct fnx_inlet *inlet, const struct fnx_wire_mark *mark, int64_t offset_ns,
	int64_t now_ns);
void fnx_inlet_left(struct fnx_inlet *inlet, const struct fnx_wire_left *left);
/* Renews the credit, if `grant`, and asks if there is anything new to ask, or in any case if
 * `remind`. */
void fnx_inlet_turn(
	struct fnx_inlet *inlet, struct fnx_link *link, int grant, int remind, int64_t now_ns);
/* Parks the publisher where credit waits for room. 1: there is room. */
int fnx_inlet_park(struct fnx_inlet *inlet, int64_t now_ns);
void fnx_inlet_unpark(struct fnx_inlet *inlet);
/* 1: the topic is there. */
int fnx_inlet_is_open(const struct fnx_inlet *inlet);
/* 1: FNX_END has arrived, and all before it. */
int fnx_inlet_ended(const struct fnx_inlet *inlet);
/* Why the topic that the sender offers cannot be had, NULL: it can. */
const char *fnx_inlet_refusal(const struct fnx_inlet *inlet);
const struct fnx_inlet_counts *fnx_inlet_counts(const struct fnx_inlet *inlet);
/* Readers are told that the topic has moved. [slow] */
struct fnx_inlet *fnx_inlet_close(struct fnx_inlet *inlet);
