/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Outlet: the sender's end of one bridged topic. An ordinary subscriber of the topic, whose frames
 * go into a link instead of into a node, as far as the other end grants.
 *
 * A payload leaves straight out of its pool slot: ZeroMQ gets a pointer, and the slot is kept until
 * it says that it is done with it, from one of its threads, by one store to an atomic word. The
 * cursor follows what the other end says it has, so that a connection that breaks, or either side's
 * death, costs nothing: what was under way is still in the pool.
 *
 * A subscription that may be lapped (lossy, or of a drop publisher) keeps slots by hold words, of
 * which there are seven; a frame that finds none free is copied.
 *
 * Internal to bus/. One thread.
 */
#pragma once

#include "bus/bridge_wire.h"
#include "bus/link.h"
#include "bus/topic.h"

struct fnx_outlet;

struct fnx_outlet_counts {
	uint64_t frames; /* sent, again ones included */
	uint64_t copied; /* of these: not straight out of the pool */
	uint64_t gaps, missed; /* of the subscription */
};

/* `config`: as for fnx_subscriber_open; the topic need not be there yet. */
FNX_MUST_CHECK int fnx_outlet_open(const struct fnx_bus *bus,
	const struct fnx_subscriber_config *config, struct fnx_outlet **ret_outlet);
const char *fnx_outlet_topic(const struct fnx_outlet *outlet);
/* Joins the topic if it is there and has not been joined. 0: joined; negative: as
 * fnx_subscriber_open. [slow] */
int fnx_outlet_join(struct fnx_outlet *outlet);
/* The other end has asked. `message` is checked to be of its size, nothing else. */
void fnx_outlet_asked(
	struct fnx_outlet *outlet, struct fnx_link *link, const struct fnx_wire_ask *ask);
/* Sends what there is and may be sent, at most `budget` frames. FNX_NOTHING: no more for now;
 * FNX_FRAME: there is more; negative: the link takes no more for now. */
int fnx_outlet_turn(struct fnx_outlet *outlet, struct fnx_link *link, unsigned budget);
/* Parks the subscription. 1: there is something to send. */
int fnx_outlet_park(struct fnx_outlet *outlet);
void fnx_outlet_unpark(struct fnx_outlet *outlet);
/* 1: the other end has asked, with credit, since this end came up. */
int fnx_outlet_granted(const struct fnx_outlet *outlet);
/* 1: all that the topic will ever bring has arrived at the other end. */
int fnx_outlet_finished(const struct fnx_outlet *outlet);
const struct fnx_outlet_counts *fnx_outlet_counts(const struct fnx_outlet *outlet);
/* For after the link was closed: waits, for a while, until ZeroMQ is done with every slot; if it is
 * not, which only a receiver within this process can bring about, the topic stays mapped. [slow] */
struct fnx_outlet *fnx_outlet_close(struct fnx_outlet *outlet);
