/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a task runtime. Internal to bus/. One file, <name>.tasks (or anonymous memory),
 * mapped read-write by its owner; a worker process maps everything before the mailboxes read-only,
 * so that it can damage results and mailboxes but not the graph:
 *
 *	     0  header      identity, sizes, names of kinds and kernels; fixed once `magic` is there
 *	    64              next_id | last_released | last_consumed | closed | trace_next, a cache
 *	                    line each
 *	     .  slots       window x 8 bytes: (id << 1) | occupied            |
 *	     .  main        window x 3712 bytes: descriptor, prepared calls   | main ring
 *	     .  entries     consumed_window x 64 bytes                          consumed ring
 *	     .  trace       n_traced x 32 bytes
 *	     .  mailboxes   a bell, 32 x 192 bytes; page-aligned: from here on writable by workers
 *	     .  heap        heap_size bytes, page-aligned
 *
 * Byte 0 of the file is locked (open file description) by the owner for as long as it lives, byte
 * 1 + i by the process that has mailbox i. No word of the file is an address.
 *
 * Life of a task, and who takes each step:
 *
 *	NONE|CONSUMED of id - consumed_window
 *	    -> PENDING    submitter, once slot, entry, heap, dependency and region entries are free
 *	    -> READY      whoever raises fan-in references to the count: a producer's worker or submit
 *	    -> RUNNING    whoever takes the first part
 *	    -> COMPLETED  whoever ends the last part
 *	    -> RELEASED   the same, when it has told all consumers and let go of all producers
 *	    -> CONSUMED   whoever raises fan-out references to the count
 *
 * Fan-out: the submitter pushes a dependency on the producer's list, unless the list is CLOSED; who
 * completes the task exchanges the list for CLOSED, once. So each dependency is either seen by the
 * completer or known by the submitter to be satisfied, and no lock is needed. (The design has a
 * lock in the entry; a holder that is preempted would make others wait.) References are one word,
 * (count << 32) | dropped: only the submitter raises the count, and never when both are equal,
 * since the task is then CONSUMED. The task itself holds one until RELEASED, its scope one, each
 * consumer one until it has completed.
 *
 * Reclaiming. Everything is a ring in the order of ids, and each task notes where its share ends:
 *
 *	freed at RELEASED by last_released   slot, payload, dependency entries (those of a task as
 *	                                     consumer: it has run, so every producer has walked past
 *	                                     them)
 *	freed at CONSUMED by last_consumed   entry, output buffer, region entries
 *
 * Both watermarks are moved by anybody, each under its own try-lock: who finds it taken goes on,
 * and who gives it back looks once more. A task's slot word says "free" only after its last use.
 *
 *	release     slot = free [release]; own reference dropped; fence; look whether the submitter waits
 *	wait        waiting = 1; fence; move the watermarks and look once more; sleep.
 *	push        cell [release]; fence; look for sleepers of that kind
 *	sleep       sleepers + 1; fence; look at the queue once more; sleep.
 *
 * One of the two sees the other. A pusher takes the sleeper off the count before it wakes it, so
 * that a burst costs one wake for each sleeper.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>

#include "bus/task.h"

#define FNX_TASK_MAGIC UINT64_C(0x31306b7374786e66)

enum {
	FNX_TASK_ABI = 2,
	FNX_TASK_ENDIAN = 0x01020304,
	FNX_TASK_SLOT_SIZE = 3712, /* 29 x 128: neighbouring slots use different cache sets */
	FNX_TASK_PAGE = 4096,
};

static_assert(sizeof(struct fnx_call_tensor) == 64, "layout");
static_assert(offsetof(struct fnx_call, scalars) == 64, "layout");
static_assert(offsetof(struct fnx_call, tensors) == 192, "layout");
static_assert(sizeof(struct fnx_call) == 1216, "layout");

struct fnx_task_kernel_name {
	char name[FNX_NAME_MAX];
	uint32_t kind;
	uint32_t reserved;
};

struct fnx_task_header {
	_Atomic uint64_t magic;
	uint32_t abi;
	uint32_t endian;
	int32_t owner_pid;
	uint32_t n_kinds;
	uint32_t n_kernels;
	uint32_t window;
	uint32_t consumed_window;
	uint32_t n_traced;
	uint64_t heap_size;
	int64_t spin_ns;
	_Alignas(64) _Atomic uint64_t next_id;
	_Alignas(64) _Atomic uint64_t last_released;
	_Atomic uint32_t released_lock;
	_Alignas(64) _Atomic uint64_t last_consumed;
	_Atomic uint32_t consumed_lock;
	_Alignas(64) _Atomic uint32_t closed;
	_Alignas(64) _Atomic uint64_t trace_next;
	_Alignas(64) uint64_t slots_offset;
	uint64_t main_offset;
	uint64_t entries_offset;
	uint64_t trace_offset;
	uint64_t boxes_offset;
	uint64_t heap_offset;
	uint64_t file_size;
	uint64_t reserved;
	uint32_t n_processes[FNX_TASK_KINDS_MAX]; /* that may attach */
	char kinds[FNX_TASK_KINDS_MAX][FNX_NAME_MAX];
	struct fnx_task_kernel_name kernels[FNX_TASK_KERNELS_MAX];
};
static_assert(offsetof(struct fnx_task_header, next_id) == 64, "layout");
static_assert(offsetof(struct fnx_task_header, last_released) == 128, "layout");
static_assert(offsetof(struct fnx_task_header, last_consumed) == 192, "layout");
static_assert(offsetof(struct fnx_task_header, closed) == 256, "layout");
static_assert(offsetof(struct fnx_task_header, trace_next) == 320, "layout");
static_assert(offsetof(struct fnx_task_header, slots_offset) == 384, "layout");
static_assert(offsetof(struct fnx_task_header, kinds) == 512, "layout");
static_assert(offsetof(struct fnx_task_header, kernels) == 1280, "layout");
static_assert(sizeof(struct fnx_task_header) <= 2 * FNX_TASK_PAGE, "layout");

/* A slot of the main ring. */
struct fnx_task_slot {
	uint64_t task;
	uint64_t first_dep; /* its dependencies lie one after the other */
	uint32_t n_deps;
	uint32_t n_parts;
	uint64_t reserved[5];
	struct fnx_call calls[FNX_TASK_PARTS_MAX];
};
static_assert(offsetof(struct fnx_task_slot, calls) == 64, "layout");
static_assert(sizeof(struct fnx_task_slot) == FNX_TASK_SLOT_SIZE, "layout");

/* An entry of the consumed ring. */
struct fnx_task_entry {
	_Atomic uint64_t tag; /* (id << 3) | state */
	_Atomic uint64_t fanout_head; /* position of the newest dependency on it */
	_Atomic uint64_t fanout; /* (references << 32) | dropped */
	_Atomic uint32_t fanin; /* producers, and 1 for submit itself */
	_Atomic uint32_t fanin_done;
	_Atomic uint32_t n_parts_left;
	_Atomic int32_t error;
	_Atomic uint64_t cause;
	uint64_t reserved[2];
};
static_assert(sizeof(struct fnx_task_entry) == FNX_CACHE_LINE, "one entry, one cache line");

#define FNX_DEP_NONE UINT64_MAX
#define FNX_DEP_CLOSED (UINT64_MAX - 1)

/* What a worker process and the owner tell each other. */
struct fnx_task_box {
	/* Written by the owner: (turn << 40) | offset of the call. One store hands a task over. */
	_Atomic uint64_t call;
	_Atomic uint32_t bell; /* futex of the worker */
	uint32_t reserved0;
	/* Written by the worker. */
	_Alignas(64) _Atomic uint64_t done; /* the same word, when it has run */
	_Atomic uint64_t started; /* the same word, before it runs */
	_Atomic int32_t result;
	_Atomic uint32_t parked;
	/* FREE -> SERVING by the worker that has the lock, back by the owner once it is dead. */
	_Alignas(64) _Atomic uint32_t state;
	_Atomic uint32_t kind;
	_Atomic int32_t pid;
	uint32_t reserved1;
};
static_assert(offsetof(struct fnx_task_box, done) == 64, "layout");
static_assert(offsetof(struct fnx_task_box, state) == 128, "layout");
static_assert(sizeof(struct fnx_task_box) == 192, "layout");

/* The mailboxes, and the bell by which workers wake the owner's steward. */
struct fnx_task_boxes {
	_Atomic uint32_t bell;
	_Atomic uint32_t steward_waits;
	_Alignas(64) struct fnx_task_box boxes[FNX_TASK_PROCESSES_MAX];
};
static_assert(offsetof(struct fnx_task_boxes, boxes) == 64, "layout");

enum {
	FNX_BOX_FREE,
	FNX_BOX_SERVING,
	FNX_BOX_LEAVING, /* the worker goes of its own accord, when idle */
};

enum {
	FNX_CALL_OFFSET_BITS = 40,
};
#define FNX_CALL_OFFSET_MASK ((UINT64_C(1) << FNX_CALL_OFFSET_BITS) - 1)
/* Of an offset in a queue: the part is RUNNING already, but its worker died before it began. */
#define FNX_CALL_AGAIN UINT64_C(1)

/* One state change, or the beginning or end of a part. `seq` is stored last. */
struct fnx_task_event {
	_Atomic uint64_t seq_plus_1;
	_Atomic int64_t time_ns;
	_Atomic uint64_t task;
	_Atomic uint16_t what; /* enum fnx_task_state, or one of the two below */
	_Atomic uint16_t worker; /* row, see fnx_task_row_name */
	_Atomic uint32_t kernel;
};
static_assert(sizeof(struct fnx_task_event) == 32, "layout");

enum {
	FNX_TRACE_BEGIN = 8,
	FNX_TRACE_END = 9,
	/* rows: 0 the submitter, 1 the steward, then threads, then processes */
	FNX_TRACE_ROW_THREADS = 2,
	FNX_TRACE_ROW_PROCESSES = FNX_TRACE_ROW_THREADS + FNX_TASK_THREADS_MAX,
};

static inline uint64_t fnx_task_tag(uint64_t id, enum fnx_task_state state)
{
	return id << 3 | (uint64_t)state;
}

/* Fills in the offsets from the sizes. */
void fnx_task_layout(struct fnx_task_header *header);
/* Checks a copy of a header against the file's size. -EBADMSG, -EPROTO. */
FNX_MUST_CHECK int fnx_task_layout_check(const struct fnx_task_header *copy, size_t file_size);
