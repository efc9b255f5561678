/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bridge: topics of this machine for another one, and topics of another one for this, over one
 * ZeroMQ connection (tcp with CURVE, ipc, inproc). Both ends are bridges.
 *
 *	topic in shared memory -> outlet ->  link  -> inlet -> topic of the same name
 *	                                 <- credit <-
 *
 * What arrives is published in this machine's shared memory as it was there: sequence numbers,
 * epoch, gaps, watermarks, the end. So nodes read it as everything else. Lossless subscriptions
 * are held back by credit: a reader that is slow here holds up a publisher there that waits. Lossy
 * ones hold up nobody. Whichever side dies, or whatever happens to the connection, a lossless
 * topic goes on where it stood as long as its publisher still has that; what it has not is a gap.
 *
 * Times of another machine's clock are brought to this one's: the offset is measured all the time,
 * on the connection, as the middle of the shortest of the last 16 round trips. Its error is at
 * most half of that round trip.
 *
 * One thread, which need not hurry anybody: it is never a node's frame path. ZeroMQ allocates in
 * it, and on threads of its own.
 */
#pragma once

#include "bus/topic.h"

struct fnx_bridge;

enum {
	FNX_BRIDGE_TOPICS_MAX = 160, /* each way */
};

struct fnx_bridge_config {
	const char *endpoint; /* tcp://host:port, ipc:///path, inproc://name */
	int listens; /* one of the two does, the other connects */
	/* Z85; all three for tcp, NULL where the endpoint cannot be reached from outside. */
	const char *public_key, *secret_key, *peer_public_key;
};

struct fnx_bridge_topic {
	const char *topic;
	const char *node; /* the bridge's, whose presence the caller holds */
	enum fnx_policy policy; /* served: FNX_LOSSLESS or FNX_LOSSY */
	int endless; /* promises no watermarks: never ends, and keeps nothing from being finished */
	uint64_t schema_hash; /* that both ends must have; 0: any */
	int64_t grace_ns; /* fetched: of dead readers */
	enum fnx_bell_form bell; /* of the bridge's node */
};

struct fnx_bridge_counts {
	uint64_t frames; /* sent, or published here */
	uint64_t copied; /* served: of these, not straight out of the pool */
	uint64_t gaps, missed;
	uint64_t rounds; /* fetched: times that it was asked for anew */
	uint64_t refused; /* fetched: messages that could not be what they said */
	int64_t first_time, last_time; /* fetched: sample times of the first and last frame */
};

struct fnx_bridge_state {
	int connected; /* the other end was heard within the last 2 s */
	int ready; /* all that is fetched is there, and all that is served has been given credit */
	int finished; /* every topic has ended, and both ends know */
	uint64_t n_refused; /* handshakes that failed: a key does not fit */
	uint64_t n_strange; /* messages that were none of ours */
	int64_t offset_ns; /* the other machine's clock minus ours */
	int64_t round_trip_ns; /* behind that estimate; 0: none yet */
	const char *refusal; /* why a topic cannot be had, NULL: all can */
};

/* -EPERM: can be reached from outside and has no keys; -EADDRINUSE; -EKEYREJECTED; -EOPNOTSUPP: a
 * ZeroMQ without CURVE; -EPROTONOSUPPORT; -EINVAL; -ENOMEM ... [slow] */
FNX_MUST_CHECK int fnx_bridge_open(const struct fnx_bus *bus,
	const struct fnx_bridge_config *config, struct fnx_bridge **ret_bridge);
/* Before the first turn: a topic for the other machine, which need not be there yet; or from it.
 * Returns its index; -ENOSPC; -EINVAL; -ENOMEM. */
int fnx_bridge_serve(struct fnx_bridge *bridge, const struct fnx_bridge_topic *topic);
int fnx_bridge_fetch(struct fnx_bridge *bridge, const struct fnx_bridge_topic *topic);
/* Readable when something has come; edge-triggered, so turn before waiting for it. */
int fnx_bridge_fd(const struct fnx_bridge *bridge);
/* Does what can be done now. `grant`: frames may come; as long as it is 0 topics are made, but
 * nothing flows, so that readers can join. 1: there is more, call again; 0: nothing until the
 * node's bell rings, the descriptor is readable or *ret_due_ns. Never blocks. */
int fnx_bridge_turn(struct fnx_bridge *bridge, int grant, int64_t now_ns, int64_t *ret_due_ns);
void fnx_bridge_state(
	const struct fnx_bridge *bridge, int64_t now_ns, struct fnx_bridge_state *ret_state);
void fnx_bridge_served(
	const struct fnx_bridge *bridge, unsigned index, struct fnx_bridge_counts *ret_counts);
void fnx_bridge_fetched(
	const struct fnx_bridge *bridge, unsigned index, struct fnx_bridge_counts *ret_counts);
/* Fetched topics leave in good order. Gives last words half a second to get away. [slow] */
struct fnx_bridge *fnx_bridge_close(struct fnx_bridge *bridge);
