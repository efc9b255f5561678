/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tasks: a graph of kernel calls that is built while it runs.
 *
 * One thread, the submitter, says what is to be done and on which memory; the runtime finds out
 * from the memory what must wait for what, and workers do it. A worker is a thread of this process
 * or another process that attached itself.
 *
 *	PENDING -> READY -> RUNNING -> COMPLETED -> RELEASED -> CONSUMED
 *
 *	PENDING    waits for producers
 *	READY      in the queue of its worker kind, once for each part
 *	RUNNING    some part has been taken by a worker
 *	COMPLETED  all parts have ended, well or badly; consumers are being told
 *	RELEASED   it no longer needs its inputs: its slot of the main ring may be used again
 *	CONSUMED   every consumer has completed, its scope has ended and nobody holds it: its output
 *	           buffer, its entry of the consumed ring and its regions may be used again
 *
 * There is no other transition. A task that fails because a producer failed takes the same way;
 * only its kernel is not called.
 *
 * Dependencies. For each tensor argument the map of regions says which tasks that are not CONSUMED
 * touched overlapping memory last: a reader waits for the writers, a writer for writers and
 * readers. A writer that covers a region entirely takes its place ("cuts the chain"). Regions are
 * compared if they have the same `base`: memory that is shared must be named by the same base. The
 * comparison is exact between dense regions and between boxes of one array (same strides, each a
 * multiple of the next, no box wider than a row); otherwise the spans of bytes are compared, which
 * may add an edge too many and never one too few.
 *
 * Failure. A kernel that returns a negative errno, or whose worker process dies (-EOWNERDEAD),
 * fails its task; so fail, with the same error and the same first cause, all tasks that read what
 * it should have written. A task that only overwrites it, or that waited for it as a reader, goes
 * on.
 *
 * Every ring pushes back when it is full: submit waits, or answers -EAGAIN if told so. What waiting
 * cannot cure (the oldest task is held by a scope that only the waiting submitter could end) is
 * refused with -ENOBUFS, and fnx_task_problem() names the ring, its size and one that would do.
 *
 * Real-time class: [frame] bounded but for the wait on a full ring, free of allocation and locks,
 * no system call but to wake a sleeper; [slow] anything. [submitter]: the one thread that submits.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bus/bus.h"

enum {
	FNX_TASK_TENSORS_MAX = 16,
	FNX_TASK_SCALARS_MAX = 16,
	FNX_TASK_PARTS_MAX = 3,
	FNX_TASK_DIMS_MAX = 4,
	FNX_TASK_KINDS_MAX = 16,
	FNX_TASK_KERNELS_MAX = 64,
	FNX_TASK_THREADS_MAX = 64, /* of all kinds */
	FNX_TASK_PROCESSES_MAX = 32, /* of all kinds */
	FNX_TASK_SCOPES_MAX = 64, /* nested */
	FNX_TASK_WINDOW_MIN = 8,
	FNX_TASK_WINDOW_DEFAULT = 1024,
	FNX_TASK_HEAP_DEFAULT = 1 << 20, /* bytes */
};

enum fnx_task_state {
	FNX_TASK_NONE = 0, /* no such task yet */
	FNX_TASK_PENDING = 1,
	FNX_TASK_READY = 2,
	FNX_TASK_RUNNING = 3,
	FNX_TASK_COMPLETED = 4,
	FNX_TASK_RELEASED = 5,
	FNX_TASK_CONSUMED = 6,
};

enum fnx_task_access {
	FNX_TASK_INPUT = 1,
	FNX_TASK_OUTPUT = 2,
	FNX_TASK_INOUT = 3,
	FNX_TASK_SCALAR = 4,
};

/* The rings, in the order of struct fnx_task_stats. */
enum fnx_task_ring {
	FNX_TASK_RING_MAIN,
	FNX_TASK_RING_CONSUMED,
	FNX_TASK_RING_HEAP,
	FNX_TASK_RING_DEPENDENCIES,
	FNX_TASK_RING_REGIONS,
	FNX_TASK_RINGS,
};

/* What a kernel sees
 * ------------------------------------------------------------------------------------- */

struct fnx_call_tensor {
	int64_t delta; /* bytes from the call itself to the first element */
	uint32_t element_size; /* bytes */
	uint16_t n_dims;
	uint16_t access;
	uint32_t shape[FNX_TASK_DIMS_MAX];
	uint64_t strides[FNX_TASK_DIMS_MAX]; /* bytes */
};

/*
 * A prepared call. It lies in the payload of its task, is complete when submit returns, and holds
 * no address: memory is found by its distance from the call, which is the same in every process
 * that maps the runtime, and the kernel by its index in the table with which the runtime was
 * opened. Each worker has a table of its own with the function's address at that index.
 */
struct fnx_call {
	uint64_t task;
	uint32_t kernel;
	uint8_t kind;
	uint8_t part;
	uint8_t n_tensors;
	uint8_t n_scalars;
	uint64_t reserved[6];
	uint64_t scalars[FNX_TASK_SCALARS_MAX];
	struct fnx_call_tensor tensors[FNX_TASK_TENSORS_MAX];
};

/* Memory of the i-th tensor argument (scalars are not counted). */
static inline void *fnx_call_data(const struct fnx_call *call, unsigned i)
{
	return (void *)((uintptr_t)call + (uintptr_t)call->tensors[i].delta);
}

/* One kernel. Workers of its kind call `run` with `context`; it returns 0, or a negative errno that
 * fails the task. In the submitter's table `run` may be NULL if the kind has no threads. */
struct fnx_task_kernel {
	const char *name; /* by which worker processes find theirs */
	unsigned kind;
	int (*run)(const struct fnx_call *call, void *context);
	void *context;
	/* 1: it may never return, so fnx_task_expire may end its task meanwhile. It is given a copy of
	 * the call and touches no memory of the runtime; its kind has no processes. */
	int may_hang;
};

/* Opening
 * ------------------------------------------------------------------------------------------------
 */

struct fnx_task_kind {
	const char *name;
	unsigned n_threads; /* started here */
	unsigned n_processes; /* that may attach */
};

struct fnx_task_config {
	const struct fnx_bus *bus; /* NULL: memory of this process alone, nobody can attach */
	const char *name; /* the file is <segment dir>/<name>.tasks */
	struct fnx_task_kind kinds[FNX_TASK_KINDS_MAX];
	unsigned n_kinds;
	const struct fnx_task_kernel *kernels; /* copied */
	unsigned n_kernels;
	/* Sizes: 0 is the default; FORNIX_TASK_WINDOW, FORNIX_TASK_CONSUMED_WINDOW and
	 * FORNIX_TASK_HEAP override. Windows are powers of two; the heap is rounded up to one. */
	uint32_t window; /* tasks */
	uint32_t consumed_window; /* tasks; default 4 x window */
	uint64_t heap_size; /* bytes */
	uint32_t n_traced; /* state changes that the trace holds, rounded up to a power of two; 0:
			      none */
	int64_t spin_ns; /* an idle worker, or a submitter that waits, spins so long before it
			    sleeps; 0: 20 us; negative: it sleeps at once */
	size_t stack_size; /* of a thread, bytes; 0: the system's default */
	int one_ring; /* for comparison: slots of the main ring are kept until CONSUMED */
};

struct fnx_task_problem {
	const char *ring; /* "main", "consumed", "heap", ... or the name of a setting */
	uint64_t size; /* that it has */
	uint64_t needed; /* the smallest that would do; 0: none would */
	char text[160];
};

struct fnx_task_runtime;

/* Whether a runtime can have the sizes of this configuration; the environment is not looked at.
 * -EINVAL: not so, `ret_problem` says why. Any thread. */
FNX_MUST_CHECK int fnx_task_check_sizes(
	const struct fnx_task_config *config, struct fnx_task_problem *ret_problem);
/* Bytes of the file of a runtime with such sizes, if it can have them; the environment is not looked
 * at. Any thread. */
uint64_t fnx_task_file_size(const struct fnx_task_config *config);
/* Takes all memory, starts the threads. The caller's thread becomes the submitter. `ret_problem`
 * (may be NULL) is filled in on -EINVAL. -EINVAL: a bad size, kind or kernel; -EBUSY: a living
 * runtime has the name; -ENOMEM, -ENOSPC, -EAGAIN (no thread) ... [slow] */
FNX_MUST_CHECK int fnx_task_runtime_open(const struct fnx_task_config *config,
	struct fnx_task_problem *ret_problem, struct fnx_task_runtime **ret_rt);
/* Ends the threads when they have finished the part at hand, tells worker processes to go, and
 * gives all memory back. What has not run does not run: drain first if it should. [slow] */
void fnx_task_runtime_close(struct fnx_task_runtime *rt);
/* The same, but a thread that has not come back from its kernel after `timeout_ns` is left to itself:
 * -ETIMEDOUT; it ends when it comes back. Nothing is given back then, but for the name: the thread, and
 * what its kernel uses, need it until the process ends. 0: all is closed. [slow] */
FNX_MUST_CHECK int fnx_task_runtime_close_within(struct fnx_task_runtime *rt, int64_t timeout_ns);
/* One line with the sizes in force. Returns what snprintf would. */
int fnx_task_describe(const struct fnx_task_runtime *rt, char *ret_text, size_t size);

/* Submitting
 * --------------------------------------------------------------------------------------------- */

/* A region of memory. An OUTPUT whose `base` is NULL is given memory of the heap: element_size and
 * shape say how much; submit fills in base, offset, owner and (dense) strides. `n_dims` 0 is one
 * element. With n_dims > 0 and all strides 0 the region is dense, and submit fills them in, too. */
struct fnx_region {
	void *base;
	uint64_t offset; /* bytes */
	uint64_t owner; /* the task whose heap buffer this is, 0: memory of the caller's */
	uint32_t element_size; /* bytes */
	uint32_t n_dims;
	uint32_t shape[FNX_TASK_DIMS_MAX];
	uint64_t strides[FNX_TASK_DIMS_MAX]; /* bytes */
};

struct fnx_task_arg {
	enum fnx_task_access access;
	uint64_t scalar;
	struct fnx_region region;
};

/* A dependency that memory does not show. */
struct fnx_task_after {
	uint64_t task;
	int any_end; /* 1: only the order counts; 0: this task fails if that one did */
};

enum {
	FNX_TASK_NO_WAIT = 1u << 0, /* -EAGAIN instead of waiting for a ring */
	FNX_TASK_HOLD = 1u << 1, /* held from the start, see fnx_task_hold */
};

struct fnx_task_spec {
	uint32_t kernels[FNX_TASK_PARTS_MAX]; /* one for each part; all get the same arguments */
	unsigned n_parts;
	struct fnx_task_arg *args; /* outputs without an address are filled in */
	unsigned n_args;
	const struct fnx_task_after *after;
	unsigned n_after;
	unsigned flags;
};

/* Tensors first or scalars first, as they come: a kernel sees each in their order. Ids begin at 1
 * and are never used again. Memory outside the runtime's can be named only to kinds without
 * processes. -EINVAL: against the rules of this header; -ESTALE: a region's owner is CONSUMED;
 * -ENOBUFS: can never proceed, see fnx_task_problem; -EAGAIN: with NO_WAIT. On failure nothing has
 * happened. [frame] [submitter] */
FNX_MUST_CHECK int fnx_task_submit_spec(
	struct fnx_task_runtime *rt, const struct fnx_task_spec *spec, uint64_t *ret_task);
/* One part, nothing else. `ret_task` may be NULL. */
FNX_MUST_CHECK int fnx_task_submit(struct fnx_task_runtime *rt, uint32_t kernel,
	struct fnx_task_arg *args, unsigned n_args, uint64_t *ret_task);
/* What the last -ENOBUFS was about. [submitter] */
const struct fnx_task_problem *fnx_task_problem(const struct fnx_task_runtime *rt);

/* Tasks that are submitted within a scope are not CONSUMED before its end; within nested scopes, of
 * the innermost. -ENOBUFS: too deep. [frame] [submitter] */
FNX_MUST_CHECK int fnx_task_scope_begin(struct fnx_task_runtime *rt);
void fnx_task_scope_end(struct fnx_task_runtime *rt);
/* Keeps a task from being CONSUMED until dropped; for outputs that outlive their scope. -ESTALE: it
 * is. [frame] [submitter] */
FNX_MUST_CHECK int fnx_task_hold(struct fnx_task_runtime *rt, uint64_t task);
void fnx_task_drop(struct fnx_task_runtime *rt, uint64_t task);

/* Looking and waiting
 * ------------------------------------------------------------------------------------ */

/* Any thread of this process. [frame] */
enum fnx_task_state fnx_task_state(const struct fnx_task_runtime *rt, uint64_t task);
/* 0: COMPLETED well; 1: not COMPLETED; a negative errno: it failed, and `ret_cause` (may be NULL)
 * is the task in which that began. -ESTALE: CONSUMED, and forgotten. Any thread. [frame] */
int fnx_task_result(const struct fnx_task_runtime *rt, uint64_t task, uint64_t *ret_cause);
/* Until the task is COMPLETED. -ETIMEDOUT; `timeout_ns` negative: no limit. [submitter] */
FNX_MUST_CHECK int fnx_task_wait(struct fnx_task_runtime *rt, uint64_t task, int64_t timeout_ns);
/* Until every task is RELEASED, and CONSUMED unless held. [submitter] */
FNX_MUST_CHECK int fnx_task_drain(struct fnx_task_runtime *rt, int64_t timeout_ns);
/* Runs one ready part of this kind on the caller's thread, if there is one: 1, else 0. For runtimes
 * without threads, as on a virtual clock. [submitter] */
int fnx_task_step(struct fnx_task_runtime *rt, unsigned kind);

/* Runs all ready parts of this kind on the caller's thread, and consumers of that kind that become
 * ready by it: directly, as a worker would. Returns how many were taken from the queue. For kinds
 * without threads whose worker is the submitter itself; for others it helps their threads. The
 * kernels must not submit. [frame] [submitter] */
unsigned fnx_task_help(struct fnx_task_runtime *rt, unsigned kind);
/* Takes note of what has come free, and brings into this processor's cache what the next `n` small tasks
 * (scalars, and one region at most), and running them as `kind`, will need. For a submitter that has
 * nothing to do until then. [frame] [submitter] */
void fnx_task_fetch(struct fnx_task_runtime *rt, unsigned kind, unsigned n);
/* Ends a part of this task whose kernel may hang and is being run by a thread: it fails with `error`
 * (negative) now, and what the kernel returns one day is not looked at. So one that hangs keeps its
 * thread, and nothing of the rings. 0; -ESRCH: no thread is at it. [frame] [submitter] */
FNX_MUST_CHECK int fnx_task_expire(struct fnx_task_runtime *rt, uint64_t task, int error);

struct fnx_task_ring_stats {
	uint64_t size; /* tasks, bytes or entries; in force */
	uint64_t used;
	uint64_t high_water;
	uint64_t n_blocked; /* submissions that had to wait for this ring */
	int64_t blocked_ns;
};

struct fnx_task_stats {
	struct fnx_task_ring_stats rings[FNX_TASK_RINGS];
	uint64_t n_submitted;
	uint64_t n_failed;
	uint64_t last_released; /* every task up to this one is RELEASED */
	uint64_t last_consumed;
	uint64_t n_taken_directly; /* consumers that the worker which readied them ran itself */
	uint64_t n_slept; /* times that a worker thread went to sleep */
	uint64_t n_illegal; /* transitions outside the table: must be 0 */
	unsigned n_threads;
	unsigned n_processes; /* attached */
	uint64_t n_died; /* processes */
};

/* [submitter] */
void fnx_task_stats(struct fnx_task_runtime *rt, struct fnx_task_stats *ret_stats);

/* 1 if a task may go from one state to the other. */
int fnx_task_may_go(enum fnx_task_state from, enum fnx_task_state to);
const char *fnx_task_state_name(enum fnx_task_state state);
const char *fnx_task_ring_name(enum fnx_task_ring ring);

/* A worker process
 * --------------------------------------------------------------------------------------- */

struct fnx_task_worker;

/* Attaches to the runtime `name` of this bus as a worker of the kind so named. `kernels` must have
 * all kernels of that kind (-ENOSYS; `ret_missing`, 48 bytes, may be NULL, is the first that is
 * missing); their own `kind` is not looked at. -ENOENT: no such runtime or kind; -EUSERS: as many
 * are attached as may be; -EPROTO, -EBADMSG: not of this version. [slow] */
FNX_MUST_CHECK int fnx_task_worker_open(const struct fnx_bus *bus, const char *name,
	const char *kind, const struct fnx_task_kernel *kernels, unsigned n_kernels,
	char *ret_missing, struct fnx_task_worker **ret_worker);
/* A worker made by fork() without exec() shares its owner's lock, and so cannot see that die.
 * Runs what it is given: 0 when the runtime has closed, -EOWNERDEAD when its process has died,
 * -ETIMEDOUT after `idle_ns` without work (negative: no limit). [frame] */
FNX_MUST_CHECK int fnx_task_worker_run(struct fnx_task_worker *worker, int64_t idle_ns);
void fnx_task_worker_close(struct fnx_task_worker *worker);

/* The trace
 * -----------------------------------------------------------------------------------------------
 */

struct fnx_task_trace_stats {
	uint64_t n_written;
	uint64_t n_lost; /* overwritten before the export */
};

/* Writes the state changes that the trace still holds as JSON for Perfetto and chrome://tracing.
 * Any thread. -ENODATA: not traced; -EIO. [slow] */
FNX_MUST_CHECK int fnx_task_trace_export(
	const struct fnx_task_runtime *rt, FILE *out, struct fnx_task_trace_stats *ret_stats);
/* The same of another process's runtime, alive or dead. */
FNX_MUST_CHECK int fnx_task_trace_export_file(const struct fnx_bus *bus, const char *name,
	FILE *out, struct fnx_task_trace_stats *ret_stats);
