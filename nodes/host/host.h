/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host: what runs a node, below its main(): the pieces that `fornix run --threads`, fnx_host_main
 * and the step-by-step tests share.
 */
#pragma once

#include "bus/merge.h"
#include "bus/patience.h"
#include "bus/presence.h"
#include "bus/status.h"
#include "nodes/host/node.h"
#include "nodes/host/progress.h"

enum {
	FNX_NODE_PARAMS_MAX = FNX_PROGRESS_PARAMS
};

/* Why a drive stopped. */
enum fnx_drive {
	FNX_DRIVE_MORE = 1, /* the turn's budget is used up; go on */
	FNX_DRIVE_IDLE, /* nothing to do until a bell rings (or `due_ns`, for a source) */
	FNX_DRIVE_MOVED, /* the topic of `moved_input` was replaced: subscribe again */
	FNX_DRIVE_FULL, /* an output has no room until readers drain it */
	FNX_DRIVE_FAILED, /* the source cannot go on: node->error says why */
	FNX_DRIVE_ENDED, /* every input, or the source, has ended and all is published */
};

struct fnx_node_input_state {
	char topic[FNX_NAME_MAX];
	const struct fnx_schema *schema;
	struct fnx_layout layout;
	struct fnx_description *description; /* that `layout` rests on, where any schema will do */
	struct fnx_subscriber *sub;
	unsigned flags;
	uint64_t run; /* frames taken since the node was idle */
	struct fnx_gap owed; /* found when a predecessor's progress was compared with its cursor; to
				0: none */
};

struct fnx_node_output_state {
	char topic[FNX_NAME_MAX];
	struct fnx_layout layout;
	struct fnx_publisher *pub;
	void *payload; /* loaned */
	uint32_t burst;
	/* What a predecessor published and had not committed, [repeat, repeat_end): not to be
	 * repeated. Without a node's own state: `tail`, the last it published. */
	uint64_t repeat, repeat_end;
	void *spare; /* [layout.size] what may be a repeat is written here first; NULL: none will be
		      */
	struct fnx_publisher_tail tail;
};

struct fnx_node_param_state {
	const char *name, *unit, *meaning;
	double *value;
	double min, max;
	int guarded; /* see fnx_node_guard */
	double safe;
};

enum {
	/* All of them are to be read when the tick has passed, and somebody waits. In a pool below
	 * 32 slots fewer: a quarter. */
	FNX_NODE_PATIENCE = 8,
};

struct fnx_node {
	const struct fnx_node_ops *ops;
	void *self;
	const struct fnx_rig *rig;
	struct fnx_bus bus;
	char name[FNX_NAME_MAX];
	struct fnx_presence presence;
	struct fnx_bell *bell;
	struct fnx_control *control;
	struct fnx_status *status;
	struct fnx_state *state;
	struct fnx_journal journal; /* of the state, once sealed */
	struct fnx_progress *progress; /* in the state */
	size_t journal_room;
	const char *why_new; /* why a predecessor's state could not be taken over; NULL */
	int remembers; /* the state is a predecessor's */
	int learns; /* the node has pieces of its own in it */
	int had_begun; /* a predecessor had taken or published something */
	int owes; /* some input has a gap to tell */
	struct fnx_merge merge;
	enum fnx_bell_form bell_form;
	int64_t wake_ns; /* what it takes to wake this node, measured at start; 0: not measured */
	unsigned n_inputs, n_outputs, n_params;
	struct fnx_node_input_state inputs[FNX_MERGE_INPUTS_MAX];
	struct fnx_node_output_state outputs[FNX_STATUS_TOPICS_MAX];
	struct fnx_node_param_state params[FNX_NODE_PARAMS_MAX];
	struct fnx_node_output_state params_topic; /* <node>.params */
	/* Of the frame, or the passing of time, being handled: inherited by what is published. */
	int64_t cause_ingress_ns;
	uint64_t cause_origin;
	uint32_t cause_flags;
	int64_t now_ns; /* when the turn began */
	int64_t advanced_to; /* `until` of the last finished advance */
	int64_t watermark; /* that the outputs may promise */
	int64_t watermark_ingress_ns;
	int moved_input;
	uint64_t refused_epoch; /* of the successor that could not be taken up and was told of last
				 */
	int64_t aside_tried_ns; /* when a successor of a topic aside was last looked for */
	int64_t next_grid; /* sample time at which the outputs' watermark must be raised at the
			      latest */
	int64_t due_ns; /* sources: when to call produce next */
	int64_t grid_samples; /* time bin */
	int64_t grid_phase; /* below a time bin: time has passed a tick when it is above phase + k bins */
	uint32_t patience; /* frames of each input that may lie unread until a tick has passed */
	int crowded; /* too many nodes would wait awake: an adaptive one sleeps at once */
	int restarted;
	int opened; /* ops->open has succeeded */
	int ended; /* all is published; nothing but what lies aside will come */
	int live;
	int watch_fd; /* of a relay, -1: none */
	char error[FNX_STATUS_TEXT_MAX];
};

/* node.c, for its neighbours */
int fnx_node_open_params(struct fnx_node *node);
void fnx_node_tell_param(struct fnx_node *node, const struct fnx_node_param_state *param,
	double before, const char *who);
uint64_t fnx_node_origin(unsigned input, uint64_t seq);

/* Takes the node's name, bell, control socket and status page, and calls open. 0, or negative errno
 * with node->error set. */
FNX_MUST_CHECK int fnx_node_open(struct fnx_node *node, const struct fnx_node_ops *ops,
	const struct fnx_rig *rig, const char *name);
/* Subscribes to inputs whose topics are there by now. 1: all are; 0: *ret_missing is not, try
 * again; negative: failed. */
FNX_MUST_CHECK int fnx_node_subscribe(struct fnx_node *node, const char **ret_missing);
/* After FNX_DRIVE_MOVED: takes up the successor of that topic. 0: it is not there yet. */
int fnx_node_resubscribe(struct fnx_node *node);
/* 1: every node named in rig->await is ready; 0: *ret_missing is not. */
int fnx_node_peers_ready(const struct fnx_node *node, const char **ret_missing);
/* One turn: at most `budget` frames. */
enum fnx_drive fnx_node_drive(struct fnx_node *node, int64_t now_ns, unsigned budget);
/* After IDLE or FULL. 1: something came meanwhile, drive again; 0: parked, the bell will ring. */
int fnx_node_park(struct fnx_node *node, enum fnx_drive why, int64_t now_ns);
void fnx_node_unpark(struct fnx_node *node);
/* Answers one request. Returns the length of the reply; *ret_stop: it was `stop`. */
size_t fnx_node_answer(struct fnx_node *node, const void *body, size_t size, void *reply,
	size_t reply_size, int *ret_stop);
/* After IDLE: 1 if something has come that would keep the node from parking. */
int fnx_node_pending(const struct fnx_node *node);
/* Answers the control requests that have come. 1 if one of them was `stop`. */
int fnx_node_serve(struct fnx_node *node);
void fnx_node_close(struct fnx_node *node);

/* What *stop of fnx_node_run says. */
enum fnx_stop {
	FNX_GO_ON = 0,
	FNX_STOP_SOURCES = 1,
	FNX_STOP_ALL = 2
};

/* Of a node that stops, its inputs ended or not: publishes what is still to be published, as far as
 * there is room. [slow] */
void fnx_node_publish_last(struct fnx_node *node);

/* A source's session ends here, as if its events were over. */
void fnx_node_finish(struct fnx_node *node);

/* Runs an opened node until it is stopped: *stop says so, a control request says so, or a signal if
 * `signals`. Returns 0, or negative errno with node->error set. */
FNX_MUST_CHECK int fnx_node_run(struct fnx_node *node, const _Atomic int *stop, int signals);

/* How the rig wants this node to wait. */
enum fnx_wait fnx_node_wait(const struct fnx_node *node);
/* crowd.c: 1 if more nodes of the rig would wait awake (adaptive, spin) than there are cores, or
 * more than one on the processor to which this one is pinned; `ret_why` then says so. Before the
 * calling thread is pinned. */
int fnx_node_crowded(const struct fnx_node *node, char *ret_why, size_t size);

/* realtime.c: memory lock, affinity, SCHED_FIFO for the calling thread as the rig says;
 * status->realtime tells what is in force and what was refused. */
void fnx_realtime_apply(struct fnx_node *node);

/* heap.c: counts allocations of the calling thread into `counter` from now on; NULL: stop counting.
 * Returns what was counted into before. */
_Atomic uint64_t *fnx_heap_watch(_Atomic uint64_t *counter);
