/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node: a step function plus a table of operations. The host is the shell around it: it reads
 * the rig file, opens topics, sets up real-time scheduling, runs the loop, orders the inputs,
 * answers control requests and keeps the counts. The same node runs as a process (fnx_host_main),
 * as a thread of `fornix run --threads`, and step by step in a test.
 *
 *	open      once: read the configuration, take memory, declare inputs, outputs and parameters
 *	start     once: inputs are there, their extents known
 *	frame     for each input frame, in the order of sample times (bus/merge.h)
 *	advance   time has come up to `until`: every input frame below it has been handed to `frame`
 *	produce   for sources, which have no inputs: make the next frame when it is due
 *	relay     for bridges, which move frames between topics and elsewhere by their own rules
 *	close     once
 *
 * frame, advance and produce are the frame path: no allocation, no lock, no blocking call, no log
 * line. They are only called when every output has room for the node's burst, so a loan never has
 * to wait. A node never exits on bad data: it counts, flags and goes on. It refuses bad
 * configuration in open, with a sentence.
 */
#pragma once

#include "bus/bus.h"
#include "bus/journal.h"
#include "bus/topic.h"
#include "nodes/host/rig.h"
#include "schemas/schema.h"

struct fnx_node;
struct fnx_track;

enum {
	FNX_DONE = 0,
	FNX_AGAIN = 1,
	FNX_OVER = 2
};

struct fnx_node_ops {
	const char *type; /* "ripple": the executable is fornix-ripple */
	const char *summary; /* one line for --help */
	/* Whether the rig asks for this node at all; NULL: always. */
	int (*wanted)(const struct fnx_rig *rig);
	/* Several instances: their names, k from 0; NULL when there is no k-th. Without it, one
	 * named `type`. */
	const char *(*instance)(const struct fnx_rig *rig, unsigned k);
	/* 0, or negative errno after fnx_node_fail has said why. */
	int (*open)(struct fnx_node *node, void **ret_self);
	int (*start)(void *self);
	void (*frame)(void *self, unsigned input, const struct fnx_frame *frame);
	/* 1: what it does about a frame cannot wait, and others learn only after it how far time has
	 * come. For one whose outputs nobody closes time bins by. */
	int acts;
	/* A gap on an input, reported before the frame behind it. Optional; it is counted anyway.
	 */
	void (*gap)(void *self, unsigned input, const struct fnx_gap *gap);
	/* FNX_DONE: nothing more to publish below `until`; *ret_watermark, preset to `until`, is
	 * what the outputs may promise. FNX_AGAIN: there is more, call again (each call publishes
	 * one burst at the most). Optional. */
	int (*advance)(void *self, int64_t until, int64_t *ret_watermark);
	/* All inputs have ended and all was handed out, or the node stops before: what is still to be
	 * published. FNX_AGAIN: there is more to come, call again (one burst each time); may wait a
	 * moment for it. FNX_DONE. Optional. Not the frame path. */
	int (*ending)(void *self);
	/* FNX_AGAIN: made something, call again at once. FNX_DONE: nothing is due before
	 * *ret_due_ns (CLOCK_MONOTONIC). FNX_OVER: the source has ended. */
	int (*produce)(void *self, int64_t now_ns, int64_t *ret_due_ns);
	/* Instead of frame, advance and produce: does what can be done. FNX_AGAIN: call again at
	 * once. FNX_DONE: nothing to do until the node's bell rings, its descriptor
	 * (fnx_node_watch) is readable or *ret_due_ns. FNX_OVER: the same, and everything has
	 * ended. Not the frame path; such a node is ready when it says so (fnx_node_ready). */
	int (*relay)(void *self, int64_t now_ns, int64_t *ret_due_ns);
	/* A parameter of the node was changed; called between two frames. Optional. */
	void (*changed)(void *self);
	/* Somebody asks by control that `key` be `value`, which it may be already; it is allowed.
	 * Before `changed`. Optional. */
	void (*asked)(void *self, const char *key, double value);
	/* The request `alive`: whoever steers the node is there. Answers for how many ms from now
	 * on that counts. Optional. Not the frame path. */
	double (*alive)(void *self);
	/* The node is about to sleep: the place for batched system calls (record, tap). Optional.
	 * Not the frame path. */
	void (*idle)(void *self);
	void (*close)(void *self);
};

/* open only
 * ----------------------------------------------------------------------------------------- */

const struct fnx_rig *fnx_node_rig(const struct fnx_node *node);
const struct fnx_bus *fnx_node_bus(const struct fnx_node *node);
/* The instance's name, e.g. "encode.2". */
const char *fnx_node_name(const struct fnx_node *node);

/* The rig's track, the caller's to free. NULL after fnx_node_fail has said why. */
struct fnx_track *fnx_node_track(struct fnx_node *node);

enum {
	FNX_INPUT_LAZY = 1u << 0, /* frames are given back by fnx_node_commit */
	FNX_INPUT_LOSSY = 1u
		<< 1, /* the publisher never waits for this node; what is lost counts as missed */
	/* Lossy, too, and handed out as it comes, not ordered with the others: for topics that
	 * promise no watermark. Declared behind all ordered inputs; does not keep a node from
	 * ending. */
	FNX_INPUT_ASIDE = 1u << 2,
};

/* This node does nothing about a frame before its time bin's tick has passed: it need not be woken
 * for the few that come until then. */
void fnx_node_acts_at_ticks(struct fnx_node *node);

/* Declares an input; the host subscribes losslessly once the topic is there, and orders it after
 * those declared before at equal sample times. `schema` NULL: any, see fnx_node_input_layout.
 * Returns its index, or negative errno. */
int fnx_node_input(
	struct fnx_node *node, const char *topic, const struct fnx_schema *schema, unsigned flags);

/* Declares an output and creates its topic. `extents` in the schema's order. `burst`: frames that
 * one call of frame, advance or produce may publish on it at the most. Returns its index, or
 * negative errno. */
int fnx_node_output(struct fnx_node *node, const char *topic, const struct fnx_schema *schema,
	const uint32_t *extents, uint32_t burst);

/* The node keeps account itself of what it and its predecessors published on this output (as far as
 * fnx_node_published says): nothing is passed over as a repetition. In open, or start. */
void fnx_node_output_once(struct fnx_node *node, unsigned output);

/* Declares a parameter that `fornix set` may change between two frames. Flags and counts are
 * numbers too; those whose unit is "flag", "sample" or "count" take whole numbers only. */
int fnx_node_param(struct fnx_node *node, const char *name, double *value, double min, double max,
	const char *unit, const char *meaning);

/* The parameter of that name takes another value than `safe` only by a request that says it twice,
 * and who asks (docs/protocol.md): no damaged request does that. open only. */
void fnx_node_guard(struct fnx_node *node, const char *name, double safe);
/* The node itself changes a parameter, which is told as if `who` had asked for it. Between two
 * frames; not the frame path. */
void fnx_node_change(struct fnx_node *node, const char *name, double value, const char *who);

/* Memory for what the node learns, in shared memory: zeros, or as a predecessor that was killed had
 * committed it (fnx_node_remembers). A node asks for the same pieces in the same order in each
 * life, keeps no pointers in them, and tells the journal before it changes any of it; the host
 * commits after each frame and each advance. NULL after fnx_node_fail has said why. */
void *fnx_node_state(struct fnx_node *node, size_t size, size_t align);
/* Between two commits the node may change so much more than a few kB (fnx_journal_log_size). */
void fnx_node_journal_room(struct fnx_node *node, size_t size);
/* To be used from start on. */
struct fnx_journal *fnx_node_journal(struct fnx_node *node);
/* 1: the memory that fnx_node_state hands out is as a predecessor had committed it, which this node
 * goes on from. What indexes or counts in it must be checked before it is used: it is a file. */
int fnx_node_remembers(const struct fnx_node *node);

/* Says why open or start cannot go on; returns `error` (negative errno). */
int fnx_node_fail(struct fnx_node *node, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One line for people, to standard error and the journal. Never on the frame path. */
void fnx_node_say(struct fnx_node *node, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* start, frame, advance, produce
 * ------------------------------------------------------------------------ */

/* How many inputs were declared. */
unsigned fnx_node_inputs(const struct fnx_node *node);
const struct fnx_layout *fnx_node_input_layout(const struct fnx_node *node, unsigned input);
const struct fnx_layout *fnx_node_output_layout(const struct fnx_node *node, unsigned output);
/* Description of an input's topic as MessagePack, for those who pass it on. */
const void *fnx_node_input_schema(const struct fnx_node *node, unsigned input, size_t *ret_size);
const char *fnx_node_input_topic(const struct fnx_node *node, unsigned input);
/* Who publishes it. */
const char *fnx_node_input_publisher(const struct fnx_node *node, unsigned input);
/* Differs between two topics of one name: a topic begins anew unless its publisher took it over. */
uint64_t fnx_node_input_epoch(const struct fnx_node *node, unsigned input);
/* Frames of it that were published and have not been handed to this node. */
uint64_t fnx_node_input_lag(const struct fnx_node *node, unsigned input);

/* A slot to write to, wholly: it holds whatever was there before. NULL: every slot is being read
 * (live use), the frame is lost and counted. */
void *fnx_node_loan(struct fnx_node *node, unsigned output);
/* The same of a slot that lies free, for who gives it back: nobody loses anything for it, and nothing
 * is counted. NULL: there is none, or what would come is only repeated. */
void *fnx_node_loan_free(struct fnx_node *node, unsigned output);
/* Publishes it. Ingress time and flags are inherited from the frame, or the passing of time, being
 * handled. */
void fnx_node_publish(struct fnx_node *node, unsigned output, int64_t sample_time);
/* The same, for sources: the sample has just entered the machine at `ingress_ns`. */
void fnx_node_publish_fresh(
	struct fnx_node *node, unsigned output, int64_t sample_time, int64_t ingress_ns);
void fnx_node_abort(struct fnx_node *node, unsigned output);
/* Adds enum flags (FNX_FRAME_...) to what is published until the next frame or advance. */
void fnx_node_flag(struct fnx_node *node, uint32_t flags);
/* Sources: promises on every output that nothing below `watermark` will come. */
void fnx_node_advance(struct fnx_node *node, int64_t watermark, int64_t ingress_ns);
/* Frames published on this output by this node and its predecessors of this run; when a predecessor
 * had published what is now made again, this is more than `next`. */
uint64_t fnx_node_published(const struct fnx_node *node, unsigned output);
/* Sequence number that the next frame published on this output has, or had when a predecessor
 * published it. */
uint64_t fnx_node_next(const struct fnx_node *node, unsigned output);
/* Nothing below this sample time will be published on the output: promised by this node or its
 * predecessor. INT64_MIN: no promise yet. */
int64_t fnx_node_promised(const struct fnx_node *node, unsigned output);
/* Lazy inputs: gives back every frame released so far. */
void fnx_node_commit(struct fnx_node *node, unsigned input);
/* 1: every ordered input has ended, and all of it has been handed out. */
int fnx_node_ended(const struct fnx_node *node);
/* Counts a frame of this input that the node could not keep as lost, in the status page. */
void fnx_node_lose(struct fnx_node *node, unsigned input);
/* Counts a frame of this input as bad, in the status page: something in it could not be used. [frame] */
void fnx_node_count_bad(struct fnx_node *node, unsigned input);
/* CLOCK_MONOTONIC. No system call (vDSO). */
int64_t fnx_node_now(void);
/* Relays: `fd` wakes the node, too. In open. */
void fnx_node_watch(struct fnx_node *node, int fd);
/* Relays: what this node has to do can begin. */
void fnx_node_ready(struct fnx_node *node);
/* 1 if this node took over from one that died. */
int fnx_node_restarted(const struct fnx_node *node);
/* 1 if it did, and what that one had learnt is lost. */
int fnx_node_forgot(const struct fnx_node *node);

/* Running
 * ------------------------------------------------------------------------------------------------
 */

/* The whole of a node's main(): options, rig file, loop, exit status. */
int fnx_host_main(int argc, char **argv, const struct fnx_node_ops *ops);
