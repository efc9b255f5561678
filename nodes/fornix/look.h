/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look at a bus: what all status pages and topics on it say at one moment. The observed do not
 * notice: pages are mapped read-only for that moment, topics are read.
 */
#pragma once

#include "bus/status.h"
#include "bus/view.h"
#include "nodes/fornix/proc.h"

/* A copy of a histogram's counts: two of them make a histogram of the time between. */
struct fnx_durations {
	uint64_t max_ns;
	uint64_t counts[FNX_HISTOGRAM_BUCKETS];
};

/* A node's input. */
struct fnx_look_hop {
	char topic[FNX_NAME_MAX], reader[FNX_NAME_MAX];
	int64_t started_ns; /* of its reader */
	int64_t since_ns; /* as of a node */
	int64_t ended_ns;
	uint64_t frames, gaps, missed, late, bad, peak_depth;
	/* From the topic, where the reader is found on it. */
	int is_joined, parked, policy;
	uint64_t depth; /* frames published and not yet given back */
	unsigned n_held;
	struct fnx_durations hop, age;
};

/* A node's output. */
struct fnx_look_topic {
	char name[FNX_NAME_MAX], publisher[FNX_NAME_MAX];
	int alive; /* its publisher */
	int64_t started_ns, since_ns, ended_ns;
	uint64_t frames, dropped, lapped, suppressed;
	uint64_t peak_depth; /* of its readers */
	/* From the topic's files, where they can be read. */
	int is_open;
	uint32_t n_slots;
	uint64_t n_used, n_pinned, slot_size;
	unsigned n_subscribers;
	struct fnx_durations age;
};

struct fnx_look_node {
	char name[FNX_NAME_MAX];
	int alive;
	uint32_t state, starts;
	int32_t pid, tid;
	uint32_t n_inputs, n_outputs;
	int64_t first_sample_time, sample_time, started_ns, ended_ns;
	/* Since when its counts count; 0: of a node that was started again nobody can tell, since
	 * its predecessors' counts may go on in its own. */
	int64_t since_ns;
	uint64_t wakes, missed_wakes, heap_allocations, full_waits;
	/* sums over inputs and outputs */
	uint64_t in, out, gaps, missed, late, bad, drops, depth, peak_depth;
	struct fnx_durations latency, turn;
	struct fnx_proc proc; /* of the node's thread where it shares its process */
	int shares_process;
	char text[FNX_STATUS_TEXT_MAX], realtime[FNX_STATUS_TEXT_MAX];
};

struct fnx_look {
	int64_t now_ns; /* CLOCK_MONOTONIC */
	unsigned n_nodes, n_hops, n_topics;
	struct fnx_look_node *nodes; /* sources first, then by name */
	struct fnx_look_hop *hops;
	struct fnx_look_topic *topics; /* those of living publishers, and of dead ones */
};

/* -ENOMEM. What a bus does not have is not there. */
FNX_MUST_CHECK int fnx_look_at(const struct fnx_bus *bus, struct fnx_look *ret_look);
void fnx_look_free(struct fnx_look *look);

/* The same node, hop, topic at an earlier look, in the same life; NULL. `before` may be NULL. */
const struct fnx_look_node *fnx_look_node_before(
	const struct fnx_look *before, const struct fnx_look_node *node);
const struct fnx_look_hop *fnx_look_hop_before(
	const struct fnx_look *before, const struct fnx_look_hop *hop);
const struct fnx_look_topic *fnx_look_topic_before(
	const struct fnx_look *before, const struct fnx_look_topic *topic);

/* Per second: since the look before, else since the start. NAN: nobody can tell. */
double fnx_look_rate(const struct fnx_look *now, const struct fnx_look *before, double count,
	const double *count_before, int64_t since_ns, int64_t ended_ns);

/* Quantile of what came since `before` (NULL: of all), ns; 0 when nothing did. */
uint64_t fnx_durations_quantile(
	const struct fnx_durations *now, const struct fnx_durations *before, double fraction);

/* "running", "DEAD" ... */
const char *fnx_look_state(const struct fnx_look_node *node);
/* Its process is gone although it had not ended its work in good order. */
int fnx_look_has_died(const struct fnx_look_node *node);
/* The session's first sample as its source says; INT64_MIN: no source has begun. */
int64_t fnx_look_session_start(const struct fnx_look *look);
/* How far the source is; INT64_MIN. */
int64_t fnx_look_session_now(const struct fnx_look *look);
