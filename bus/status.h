/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Status: what a node tells about itself, in a page of shared memory <segment dir>/<node>.status,
 * so that looking costs the observed nothing. The node writes with plain atomic stores, one thread;
 * everybody else maps it read-only. It outlives its node, so that the last words of a dead one can
 * be read.
 */
#pragma once

#include <stdatomic.h>

#include "bus/bus.h"

enum {
	FNX_STATUS_TOPICS_MAX = 80, /* inputs and outputs each */
	FNX_STATUS_TEXT_MAX = 256,
	FNX_HISTOGRAM_BUCKETS = 32 * 16,
	FNX_STATUS_ABI = 4,
};

#define FNX_STATUS_MAGIC UINT64_C(0x3174617473786e66)

enum fnx_node_state {
	FNX_NODE_STARTING = 1,
	FNX_NODE_READY, /* inputs and outputs open */
	FNX_NODE_RUNNING, /* has taken or made its first frame */
	FNX_NODE_ENDED, /* every input (or the source) has ended and all is published */
	FNX_NODE_STOPPED, /* closed in good order */
	FNX_NODE_FAILED, /* `text` says why */
};

/* Counts of durations: 16 linear steps per power of two, 1 ns to 2^32 ns, relative error at most
 * 1/16. */
struct fnx_histogram {
	_Atomic uint64_t count;
	_Atomic uint64_t max_ns;
	_Atomic uint64_t buckets[FNX_HISTOGRAM_BUCKETS];
};

/* [frame] One thread. Below 1 ns counts as 1 ns, from 2^32 ns on as the last bucket (max_ns is
 * exact). Plain loads and stores, three lines of memory: a few nanoseconds. */
void fnx_histogram_add(struct fnx_histogram *histogram, int64_t ns);
/* The duration that `fraction` (0..1) of the counts do not exceed, ns, rounded up within its
 * bucket; 0 when empty. */
uint64_t fnx_histogram_quantile(const struct fnx_histogram *histogram, double fraction);

/* One hop of a frame: by whom it was taken, or where it was put. Counts stand before the histogram,
 * so that those of a frame share lines. */
struct fnx_status_topic {
	char name[FNX_NAME_MAX];
	_Atomic uint64_t frames; /* taken, or published */
	_Atomic uint64_t gaps; /* lossless inputs: gaps reported; a lossy one does not count them */
	_Atomic uint64_t missed; /* inputs, lossy ones too: frames that gaps held */
	_Atomic uint64_t dropped; /* outputs: frames that found no slot */
	_Atomic uint64_t lapped; /* outputs: frames that slow subscribers lost, all together */
	_Atomic uint64_t late; /* inputs: frames that came after their turn */
	_Atomic uint64_t bad; /* inputs: frames of which something could not be used: no number, or
				 nothing that the rig knows */
	_Atomic uint64_t suppressed; /* outputs: frames not published again after a restart */
	/* Inputs: most frames that were waiting here at a time. Below 16: taken in one go. */
	_Atomic uint64_t peak_depth;
	struct fnx_histogram age; /* ingress to taken, or to publish, ns */
};

struct fnx_status {
	_Atomic uint64_t magic; /* stored last */
	uint32_t abi;
	_Atomic uint32_t state; /* enum fnx_node_state */
	_Atomic int32_t pid;
	_Atomic int32_t tid; /* of the thread that runs the node: /proc knows its time; 0 unknown */
	_Atomic uint32_t n_inputs;
	_Atomic uint32_t n_outputs;
	_Atomic uint32_t starts; /* times a node of this name has opened this page */
	_Atomic int64_t
		first_sample_time; /* sources: of the session's first frame; INT64_MIN before */
	_Atomic int64_t sample_time; /* of the frame taken or made last */
	_Atomic uint64_t wakes; /* returns from sleep */
	_Atomic uint64_t
		missed_wakes; /* times the fallback timer, and not a bell, found work; must be 0 */
	_Atomic uint64_t heap_allocations; /* by the node's thread since it was ready */
	_Atomic uint64_t full_waits; /* times it parked because an output's pool was full */
	_Atomic int64_t started_ns; /* CLOCK_MONOTONIC */
	_Atomic int64_t ended_ns;
	char name[FNX_NAME_MAX];
	char text[FNX_STATUS_TEXT_MAX]; /* last words: what failed, what was lost at a restart */
	char realtime[FNX_STATUS_TEXT_MAX]; /* what of the real-time set-up is in force, and what
					       was refused */
	struct fnx_histogram latency; /* ingress to publish of this node's outputs, ns */
	struct fnx_histogram turn; /* time spent on one frame, ns */
	struct fnx_status_topic inputs[FNX_STATUS_TOPICS_MAX];
	struct fnx_histogram hops[FNX_STATUS_TOPICS_MAX]; /* of each input: publish to taken, ns */
	struct fnx_status_topic outputs[FNX_STATUS_TOPICS_MAX];
};

/* Raises `peak` to `value` if it is lower. [frame] One writer. */
static inline void fnx_peak_raise(_Atomic uint64_t *peak, uint64_t value)
{
	if (value > atomic_load_explicit(peak, memory_order_relaxed))
		atomic_store_explicit(peak, value, memory_order_relaxed);
}

/* The node's own page, created or taken over in place (counters start at 0, `starts` goes on; who
 * has it mapped goes on seeing it). `name`, `pid` and `state` (STARTING) are filled in. All of its
 * memory is taken now: -ENOSPC. -EINVAL: bad name; -ENOENT: no such bus ... Start-up only, and only
 * for the holder of the node's presence. */
FNX_MUST_CHECK int fnx_status_create(
	const struct fnx_bus *bus, const char *node, struct fnx_status **ret);
/* The same, but the counters of a page that is there go on, for a node that goes on where its
 * predecessor stopped; `text` begins anew. */
FNX_MUST_CHECK int fnx_status_adopt(
	const struct fnx_bus *bus, const char *node, struct fnx_status **ret);
/* Another node's page, read-only. -ENOENT; -EPROTO: not a status page of this build. Check the
 * counts before using them as such, and bound the texts: whoever may write to the directory may
 * write nonsense. */
FNX_MUST_CHECK int fnx_status_open(
	const struct fnx_bus *bus, const char *node, const struct fnx_status **ret);
/* Sets `text`; the only field that is not one word. Readers may see a torn text, never an
 * unterminated one. One thread. */
void fnx_status_say(struct fnx_status *status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void fnx_status_close(const struct fnx_status *status);
