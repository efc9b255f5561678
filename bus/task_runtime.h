/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the task runtime share within its own process. Internal to bus/task*.c.
 *
 *	task_runtime.c   opening, closing, sizes, figures
 *	task_layout.c    the file
 *	task_map.c       regions: what overlaps, who touched it last
 *	task_ring.c      states, references, watermarks, waiting for room
 *	task_submit.c    a task is put together
 *	task_queue.c     ready queues and sleepers
 *	task_worker.c    a part is run, a task is completed
 *	task_steward.c   worker processes, seen from the owner
 *	task_attach.c    worker processes, seen from themselves
 *	task_trace.c     the trace
 */
#pragma once

#include <pthread.h>
#include <time.h>

#include "bus/task_layout.h"

/* Dependencies and regions: private to the process, since only its threads follow them. */

struct fnx_task_dep {
	uint64_t producer;
	uint64_t consumer;
	uint64_t next; /* in the producer's list: an older one, FNX_DEP_NONE */
	uint64_t needed; /* 0: only the order counts */
};

/* What regions are known by: the caller's memory by its base, a buffer of the heap by its owner,
 * since its address is used again. */
static inline uint64_t fnx_task_region_key(const struct fnx_region *region)
{
	return region->owner ? ~region->owner : (uint64_t)(uintptr_t)region->base;
}

/* A region, reduced to what comparing takes. Bytes are counted from the base. */
struct fnx_task_box_region {
	uint64_t low, high; /* span of bytes */
	uint32_t dense; /* every byte of the span */
	uint32_t n_dims; /* of the box form; 0: the span is all that is known */
	struct fnx_task_box_form {
		uint32_t start[FNX_TASK_DIMS_MAX + 1]; /* the last is bytes within an element */
		uint32_t end[FNX_TASK_DIMS_MAX + 1];
		uint64_t strides[FNX_TASK_DIMS_MAX];
	} box;
};

/* One cache line; box forms, which are rare, lie apart. */
struct fnx_task_map_entry {
	_Alignas(64) uint64_t key;
	uint64_t task;
	uint64_t next; /* position of an older one of the same bucket, +1; 0: none */
	uint64_t low, high;
	uint32_t writes;
	uint32_t dense;
	uint32_t n_dims;
};
static_assert(sizeof(struct fnx_task_map_entry) == FNX_CACHE_LINE, "one entry, one cache line");

struct fnx_task_map {
	struct fnx_task_map_entry *entries;
	struct fnx_task_box_form *boxes; /* by entry */
	uint64_t *buckets; /* position + 1 of the newest */
	uint64_t mask;
	uint64_t bucket_mask;
	uint64_t head, tail; /* positions; what lies before `tail` is forgotten */
};

struct fnx_task_cell {
	_Atomic uint64_t seq;
	uint64_t call;
};

/* Bounded queue of offsets of calls, many producers, many consumers. */
struct fnx_task_queue {
	struct fnx_task_cell *cells;
	uint64_t mask;
	_Alignas(64) _Atomic uint64_t tail;
	_Alignas(64) _Atomic uint64_t head;
	_Alignas(64) _Atomic uint32_t n_sleepers;
	_Atomic uint32_t bell;
};

struct fnx_task_kind_state {
	struct fnx_task_queue queue;
	unsigned n_threads;
	unsigned n_processes; /* that may attach */
	_Atomic unsigned n_serving; /* that are attached */
};

/* What the owner knows of a mailbox. `claimed` is the try-lock of whoever hands something in. */
struct fnx_task_box_state {
	_Atomic uint32_t claimed;
	_Atomic uint32_t serving; /* kind + 1 */
	_Atomic uint64_t handed; /* word that was stored last, while it is not done */
	uint64_t turn;
};

/* A thread that runs or completes tasks. */
struct fnx_task_self {
	struct fnx_task_runtime *rt;
	unsigned row; /* in the trace */
	unsigned kind; /* FNX_TASK_KINDS_MAX: runs nothing */
	uint32_t dirty; /* kinds whose processes may have something to do */
	uint64_t next; /* call to run next, 0: none */
	unsigned n_in_a_row; /* run so, one after the other */
	_Atomic uint64_t n_taken_directly, n_slept;
	pthread_t thread;
	_Atomic uint32_t has_ended; /* a futex: the thread runs nothing any more */
	/* (task << 2) | part, while a kernel that may hang runs here and nobody has ended it. */
	_Alignas(64) _Atomic uint64_t loose;
	char pad[64];
};

struct fnx_task_kernel_state {
	int (*run)(const struct fnx_call *call, void *context);
	void *context;
	uint32_t kind;
	int may_hang;
};

struct fnx_task_producer {
	uint64_t task;
	uint64_t needed;
};

struct fnx_task_runtime {
	struct fnx_task_header *header;
	unsigned char *base;
	size_t size;
	int fd; /* -1: anonymous */
	char path[256];
	_Atomic uint64_t *slots;
	unsigned char *main;
	struct fnx_task_entry *entries;
	struct fnx_task_event *trace; /* NULL: none */
	struct fnx_task_boxes *boxes;
	unsigned char *heap;
	uint64_t mask, consumed_mask, dep_mask, trace_mask;
	uint64_t heap_size;
	int64_t spin_ns;
	int one_ring;
	unsigned n_kinds, n_kernels, n_threads;
	struct fnx_task_kernel_state kernels[FNX_TASK_KERNELS_MAX];
	struct fnx_task_kind_state kinds[FNX_TASK_KINDS_MAX];
	struct fnx_task_dep *deps;
	struct fnx_task_self *threads; /* n_threads */
	struct fnx_task_self steward;
	struct fnx_task_box_state *box_states;
	int has_steward;
	_Atomic uint64_t n_died;
	_Alignas(64) _Atomic uint32_t stop;
	_Atomic uint32_t n_begun; /* threads that have had their first turn; futex of open */
	_Atomic uint64_t n_failed;
	_Atomic uint64_t n_illegal;

	/* The submitter sleeps until one of these comes true. */
	_Alignas(64) _Atomic uint32_t waiting;
	_Atomic uint32_t wait_bell;
	_Atomic uint64_t wait_task, wait_released, wait_consumed;

	/* The submitter's own. */
	_Alignas(64) struct fnx_task_self self;
	uint64_t next_id;
	uint64_t released, consumed; /* watermarks as last looked at */
	uint64_t dep_head, dep_tail;
	uint64_t heap_head, heap_tail;
	uint64_t *dep_ends; /* by main slot: dep_head behind the task */
	uint64_t *heap_ends, *map_ends; /* by entry */
	uint64_t *marks; /* by entry of a producer: (consumer << 20) | its index */
	uint32_t *held; /* by entry: references of scopes and holds */
	struct fnx_task_producer *producers; /* of the task at hand */
	unsigned n_producers;
	uint64_t *scoped; /* ids of tasks in open scopes */
	uint64_t n_scoped;
	uint64_t scopes[FNX_TASK_SCOPES_MAX];
	unsigned n_scopes;
	struct fnx_task_map map;
	struct fnx_task_ring_stats rings[FNX_TASK_RINGS];
	struct fnx_task_problem problem;
	void *memory; /* of all these arrays */
	size_t memory_size;
};

static inline int64_t fnx_task_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void fnx_task_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static inline struct fnx_task_entry *fnx_task_entry(const struct fnx_task_runtime *rt, uint64_t id)
{
	return &rt->entries[id & rt->consumed_mask];
}

static inline struct fnx_task_slot *fnx_task_slot(const struct fnx_task_runtime *rt, uint64_t id)
{
	return (struct fnx_task_slot *)(void *)(rt->main + (id & rt->mask) * FNX_TASK_SLOT_SIZE);
}

static inline struct fnx_call *fnx_task_call(const struct fnx_task_runtime *rt, uint64_t offset)
{
	return (struct fnx_call *)(void *)(rt->base + offset);
}

static inline struct fnx_task_dep *fnx_task_dep(const struct fnx_task_runtime *rt, uint64_t at)
{
	return &rt->deps[at & rt->dep_mask];
}

/* task_map.c */

/* -EINVAL: more dimensions than may be, an empty one, or a span that overflows. Fills in the
 * strides of a dense region that has none. */
FNX_MUST_CHECK int fnx_task_region_reduce(
	struct fnx_region *region, struct fnx_task_box_region *ret_region);
/* 1 if they may share a byte. */
int fnx_task_region_overlaps(
	const struct fnx_task_box_region *a, const struct fnx_task_box_region *b);
/* 1 if every byte of `b` is known to be one of `a`. */
int fnx_task_region_covers(
	const struct fnx_task_box_region *a, const struct fnx_task_box_region *b);
/* Regions are compared under one key. fnx_task_add_producer for all who touched an overlapping
 * region and must have completed before a task that accesses it so. `cut`: forgets those whom it
 * covers. */
void fnx_task_map_find(struct fnx_task_runtime *rt, uint64_t key,
	const struct fnx_task_box_region *region, int writes, int cut, uint64_t needed);
void fnx_task_map_add(struct fnx_task_map *map, uint64_t key,
	const struct fnx_task_box_region *region, int writes, uint64_t task);
/* Brings what adding the next `n` will write into this processor's cache. */
void fnx_task_map_fetch(const struct fnx_task_map *map, unsigned n);

/* task_submit.c */

/* Flattens checked arguments into a call. */
void fnx_task_prepare(struct fnx_call *call, const struct fnx_task_arg *args, unsigned n_args);
/* The task being submitted waits for that one, and keeps it. 0: it is CONSUMED already. */
int fnx_task_add_producer(struct fnx_task_runtime *rt, uint64_t task, uint64_t needed);

/* task_ring.c */

/* Makes the transition, if it is one and the task is in that state: 1. Else counts it: 0. One
 * thread at a time for each task. */
int fnx_task_go(struct fnx_task_self *self, uint64_t id, enum fnx_task_state from,
	enum fnx_task_state to, uint32_t kernel);
/* Drops one reference; who drops the last makes the task CONSUMED. */
void fnx_task_unref(struct fnx_task_self *self, uint64_t id);
/* Adds one. 0: the task is CONSUMED. Submitter only. */
int fnx_task_ref(struct fnx_task_runtime *rt, uint64_t id);
/* Moves both watermarks as far as they go, unless somebody else is at it. */
void fnx_task_settle(struct fnx_task_runtime *rt);
/* After a task was RELEASED: wakes the submitter if it waits for this. */
void fnx_task_notify(struct fnx_task_runtime *rt);
/* Takes over the watermarks, and with them what they free. Submitter only. */
void fnx_task_look(struct fnx_task_runtime *rt);
/* Room for one more task with so many regions, dependencies and bytes: 0, -EAGAIN, -ENOBUFS. */
FNX_MUST_CHECK int fnx_task_make_room(struct fnx_task_runtime *rt, uint64_t n_regions,
	uint64_t n_deps, uint64_t heap_size, int no_wait);
/* Where `size` bytes of the heap begin, once there is room. */
uint64_t fnx_task_heap_at(const struct fnx_task_runtime *rt, uint64_t size);
void fnx_task_note_use(struct fnx_task_runtime *rt);

/* task_queue.c */

void fnx_task_queue_push(struct fnx_task_queue *queue, uint64_t call);
/* 0: empty */
uint64_t fnx_task_queue_pop(struct fnx_task_queue *queue);
int fnx_task_queue_empty(struct fnx_task_queue *queue);
/* Wakes one who sleeps on the queue, if somebody does: 1. */
int fnx_task_queue_wake(struct fnx_task_queue *queue);
void fnx_task_queue_wake_all(struct fnx_task_queue *queue);
/* Sleeps until woken, unless the queue has something or `stop` is set. */
void fnx_task_queue_sleep(struct fnx_task_queue *queue, const _Atomic uint32_t *stop);
void fnx_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns, int shared);
void fnx_futex_wake(_Atomic uint32_t *word, int n, int shared);

/* task_worker.c */

/* Nothing keeps the task any more: its parts go to their queues. */
void fnx_task_make_ready(struct fnx_task_self *self, uint64_t id);
/* The task fails with this error, unless it has failed already. */
void fnx_task_fail(struct fnx_task_runtime *rt, uint64_t id, int error, uint64_t cause);
/* The first part that is taken makes the task RUNNING. */
void fnx_task_begin(struct fnx_task_self *self, const struct fnx_call *call, unsigned row);
void fnx_task_end(
	struct fnx_task_self *self, const struct fnx_call *call, int result, unsigned row);
/* Runs a call here, and whatever it hands on directly. */
void fnx_task_run(struct fnx_task_self *self, uint64_t offset);
void *fnx_task_thread(void *argument);
/* What every thread does first: takes the memory that it will need, and says so. */
void fnx_task_thread_begin(struct fnx_task_runtime *rt);

/* task_steward.c */

/* Hands ready parts of `self->dirty` kinds to idle processes, until nothing changes. */
void fnx_task_serve(struct fnx_task_self *self);
void *fnx_task_steward(void *argument);
unsigned fnx_task_n_serving(const struct fnx_task_runtime *rt);

/* task_trace.c */

void fnx_task_trace(
	struct fnx_task_self *self, uint64_t task, unsigned what, uint32_t kernel, unsigned row);

/* task_layout.c: a runtime's file, mapped. `writable` 0: as a monitor; 1: as a worker process. */
struct fnx_task_mapping {
	struct fnx_task_header header; /* a copy, checked */
	unsigned char *base;
	size_t size;
	int fd;
};
FNX_MUST_CHECK int fnx_task_map_open(const struct fnx_bus *bus, const char *name, int writable,
	struct fnx_task_mapping *ret_mapping);
void fnx_task_map_close(struct fnx_task_mapping *mapping);
/* Creates the file (or, without a bus, anonymous memory) of `header`'s sizes, locked as its owner.
 */
FNX_MUST_CHECK int fnx_task_map_create(const struct fnx_bus *bus, const char *name,
	const struct fnx_task_header *header, struct fnx_task_mapping *ret_mapping, char *ret_path,
	size_t path_size);
/* Locks of processes on the file: byte 0 the owner, 1 + i mailbox i. -EAGAIN: somebody has it. */
FNX_MUST_CHECK int fnx_task_lock(int fd, unsigned byte);
void fnx_task_unlock(int fd, unsigned byte);
/* 1: somebody else has it. */
int fnx_task_is_locked(int fd, unsigned byte);
