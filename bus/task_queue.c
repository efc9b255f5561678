/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ready queues. Each cell bears the turn at which it may be written or read next (Vyukov's bounded
 * queue), so that pushers and poppers meet only in the index they raise. A queue has more cells
 * than parts can be ready, so a push finds its cell taken only while a popper, preempted between
 * raising the index and emptying the cell, lets the others lap it; then it waits for that one.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus/task_runtime.h"

void fnx_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns, int shared)
{
	struct timespec timeout = {
		.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};

	syscall(SYS_futex, word, shared ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE, seen,
		timeout_ns < 0 ? NULL : &timeout, NULL, 0);
}

void fnx_futex_wake(_Atomic uint32_t *word, int n, int shared)
{
	syscall(SYS_futex, word, shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

void fnx_task_queue_push(struct fnx_task_queue *queue, uint64_t call)
{
	uint64_t at = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	for (;;) {
		struct fnx_task_cell *cell = &queue->cells[at & queue->mask];
		uint64_t seq = atomic_load_explicit(&cell->seq, memory_order_acquire);

		if (seq == at) {
			if (atomic_compare_exchange_weak_explicit(&queue->tail, &at, at + 1,
				    memory_order_relaxed, memory_order_relaxed)) {
				cell->call = call;
				/* acquired by pop */
				atomic_store_explicit(&cell->seq, at + 1, memory_order_release);
				return;
			}
		} else {
			if ((int64_t)(seq - at) < 0)
				sched_yield();
			at = atomic_load_explicit(&queue->tail, memory_order_relaxed);
		}
	}
}

uint64_t fnx_task_queue_pop(struct fnx_task_queue *queue)
{
	uint64_t at = atomic_load_explicit(&queue->head, memory_order_relaxed);

	for (;;) {
		struct fnx_task_cell *cell = &queue->cells[at & queue->mask];
		uint64_t seq = atomic_load_explicit(&cell->seq, memory_order_acquire);

		if (seq == at + 1) {
			if (atomic_compare_exchange_weak_explicit(&queue->head, &at, at + 1,
				    memory_order_relaxed, memory_order_relaxed)) {
				uint64_t call = cell->call;

				/* acquired by the push of the next lap */
				atomic_store_explicit(
					&cell->seq, at + queue->mask + 1, memory_order_release);
				return call;
			}
		} else if ((int64_t)(seq - (at + 1)) < 0) {
			return 0;
		} else {
			at = atomic_load_explicit(&queue->head, memory_order_relaxed);
		}
	}
}

int fnx_task_queue_empty(struct fnx_task_queue *queue)
{
	uint64_t at = atomic_load_explicit(&queue->head, memory_order_relaxed);
	uint64_t seq =
		atomic_load_explicit(&queue->cells[at & queue->mask].seq, memory_order_acquire);

	return (int64_t)(seq - (at + 1)) < 0;
}

/* Takes one sleeper off the count. More may be counted than sleep, since who finds work while it
 * lies down does not take itself off: it could take off another who has just lain down. That costs
 * a wake that wakes nobody. */
static int take_sleeper(struct fnx_task_queue *queue)
{
	uint32_t n = atomic_load_explicit(&queue->n_sleepers, memory_order_relaxed);

	while (n > 0)
		if (atomic_compare_exchange_weak_explicit(&queue->n_sleepers, &n, n - 1,
			    memory_order_seq_cst, memory_order_relaxed))
			return 1;
	return 0;
}

int fnx_task_queue_wake(struct fnx_task_queue *queue)
{
	/* Meets the fence of sleep. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!take_sleeper(queue))
		return 0;
	atomic_fetch_add_explicit(&queue->bell, 1, memory_order_seq_cst);
	fnx_futex_wake(&queue->bell, 1, 0);
	return 1;
}

void fnx_task_queue_wake_all(struct fnx_task_queue *queue)
{
	atomic_store_explicit(&queue->n_sleepers, 0, memory_order_seq_cst);
	atomic_fetch_add_explicit(&queue->bell, 1, memory_order_seq_cst);
	fnx_futex_wake(&queue->bell, INT_MAX, 0);
}

void fnx_task_queue_sleep(struct fnx_task_queue *queue, const _Atomic uint32_t *stop)
{
	uint32_t seen = atomic_load_explicit(&queue->bell, memory_order_seq_cst);

	atomic_fetch_add_explicit(&queue->n_sleepers, 1, memory_order_seq_cst);
	/* Meets the fence of wake. */
	atomic_thread_fence(memory_order_seq_cst);
	if (fnx_task_queue_empty(queue) && !atomic_load_explicit(stop, memory_order_seq_cst))
		fnx_futex_wait(&queue->bell, seen, -1, 0);
}
