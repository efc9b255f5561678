/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Worker processes, seen from themselves. What the runtime's memory says is checked before it is
 * used: a call must begin where a prepared call can lie, and its kernel be one of ours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/task_runtime.h"

static const int64_t look_alive_ns = 100000000;

struct fnx_task_worker {
	struct fnx_task_mapping map;
	struct fnx_task_boxes *boxes;
	struct fnx_task_box *box;
	unsigned index;
	uint64_t seen; /* the last word that was run */
	struct fnx_task_kernel_state kernels[FNX_TASK_KERNELS_MAX];
};

static int find_kind(const struct fnx_task_header *header, const char *name)
{
	for (unsigned i = 0; i < header->n_kinds; i++)
		if (!strncmp(header->kinds[i], name, FNX_NAME_MAX))
			return (int)i;
	return -ENOENT;
}

static int find_kernels(struct fnx_task_worker *worker, unsigned kind,
	const struct fnx_task_kernel *kernels, unsigned n_kernels, char *ret_missing)
{
	const struct fnx_task_header *header = &worker->map.header;

	for (unsigned i = 0; i < header->n_kernels; i++) {
		const char *name = header->kernels[i].name;

		if (header->kernels[i].kind != kind)
			continue;
		for (unsigned k = 0; k < n_kernels; k++)
			if (!strncmp(kernels[k].name, name, FNX_NAME_MAX) && kernels[k].run) {
				worker->kernels[i].run = kernels[k].run;
				worker->kernels[i].context = kernels[k].context;
			}
		if (!worker->kernels[i].run) {
			if (ret_missing) {
				memcpy(ret_missing, name, FNX_NAME_MAX);
				ret_missing[FNX_NAME_MAX - 1] = 0;
			}
			return -ENOSYS;
		}
	}
	return 0;
}

static void ring_steward(struct fnx_task_boxes *boxes)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_exchange_explicit(&boxes->steward_waits, 0, memory_order_seq_cst))
		return;
	atomic_fetch_add_explicit(&boxes->bell, 1, memory_order_seq_cst);
	fnx_futex_wake(&boxes->bell, 1, 1);
}

/* -EAGAIN: the mailbox is another's, or of a dead one that the owner has not buried yet. */
static int take_box(struct fnx_task_worker *worker, unsigned i, unsigned kind)
{
	struct fnx_task_box *box = &worker->boxes->boxes[i];
	int r = fnx_task_lock(worker->map.fd, 1 + i);

	if (r)
		return r;
	if (atomic_load_explicit(&box->state, memory_order_acquire) != FNX_BOX_FREE) {
		fnx_task_unlock(worker->map.fd, 1 + i);
		return -EAGAIN;
	}
	worker->box = box;
	worker->index = i;
	worker->seen = atomic_load_explicit(&box->call, memory_order_acquire);
	atomic_store_explicit(&box->kind, kind, memory_order_relaxed);
	atomic_store_explicit(&box->pid, getpid(), memory_order_relaxed);
	atomic_store_explicit(&box->parked, 0, memory_order_relaxed);
	atomic_store_explicit(&box->state, FNX_BOX_SERVING, memory_order_release);
	ring_steward(worker->boxes);
	return 0;
}

/* How many mailboxes are in use, for this kind, dead or alive. */
static unsigned n_of_kind(const struct fnx_task_worker *worker, unsigned kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FNX_TASK_PROCESSES_MAX; i++) {
		const struct fnx_task_box *box = &worker->boxes->boxes[i];

		n += atomic_load_explicit(&box->state, memory_order_acquire) != FNX_BOX_FREE &&
			atomic_load_explicit(&box->kind, memory_order_relaxed) == kind;
	}
	return n;
}

static int attach(struct fnx_task_worker *worker, unsigned kind)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int64_t deadline_ns = fnx_task_now_ns() + 1000000000;

	/* The place of a dead one is free when the owner's steward has looked. */
	for (;;) {
		if (n_of_kind(worker, kind) < worker->map.header.n_processes[kind])
			for (unsigned i = 0; i < FNX_TASK_PROCESSES_MAX; i++) {
				int r = take_box(worker, i, kind);

				if (r != -EAGAIN)
					return r;
			}
		if (fnx_task_is_locked(worker->map.fd, 0) != 1)
			return -ENOENT;
		if (fnx_task_now_ns() > deadline_ns)
			return -EUSERS;
		nanosleep(&moment, NULL);
	}
}

int fnx_task_worker_open(const struct fnx_bus *bus, const char *name, const char *kind,
	const struct fnx_task_kernel *kernels, unsigned n_kernels, char *ret_missing,
	struct fnx_task_worker **ret_worker)
{
	struct fnx_task_worker *worker = calloc(1, sizeof(*worker));
	int r, index = -ENOENT;

	if (!worker)
		return -ENOMEM;
	r = fnx_task_map_open(bus, name, 1, &worker->map);
	if (r) {
		free(worker);
		return r;
	}
	worker->boxes = (void *)(worker->map.base + worker->map.header.boxes_offset);
	index = find_kind(&worker->map.header, kind);
	r = index < 0 ? index : 0;
	if (!r && !worker->map.header.n_processes[index])
		r = -EUSERS;
	if (!r)
		r = find_kernels(worker, (unsigned)index, kernels, n_kernels, ret_missing);
	if (!r)
		r = attach(worker, (unsigned)index);
	if (r) {
		fnx_task_worker_close(worker);
		return r;
	}
	*ret_worker = worker;
	return 0;
}

static const struct fnx_call *find_call(const struct fnx_task_worker *worker, uint64_t word)
{
	const struct fnx_task_header *header = &worker->map.header;
	uint64_t offset = word & FNX_CALL_OFFSET_MASK, at;

	if (offset < header->main_offset)
		return NULL;
	at = offset - header->main_offset;
	if (at / FNX_TASK_SLOT_SIZE >= header->window)
		return NULL;
	at %= FNX_TASK_SLOT_SIZE;
	if (at < offsetof(struct fnx_task_slot, calls) ||
		(at - offsetof(struct fnx_task_slot, calls)) % sizeof(struct fnx_call))
		return NULL;
	return (const void *)(worker->map.base + offset);
}

static void run(struct fnx_task_worker *worker, uint64_t word)
{
	const struct fnx_call *call = find_call(worker, word);
	int result = -EBADMSG;

	/* From here on the task fails if we die; before, another worker gets it. */
	atomic_store_explicit(&worker->box->started, word, memory_order_release);
	if (call && call->kernel < FNX_TASK_KERNELS_MAX && worker->kernels[call->kernel].run) {
		const struct fnx_task_kernel_state *kernel = &worker->kernels[call->kernel];

		result = kernel->run(call, kernel->context);
	}
	worker->seen = word;
	atomic_store_explicit(&worker->box->result, result, memory_order_relaxed);
	/* acquired by the steward */
	atomic_store_explicit(&worker->box->done, word, memory_order_release);
	ring_steward(worker->boxes);
}

static uint64_t look(const struct fnx_task_worker *worker)
{
	return atomic_load_explicit(&worker->box->call, memory_order_acquire);
}

static void spin(const struct fnx_task_worker *worker)
{
	int64_t begun_ns = fnx_task_now_ns();

	while (fnx_task_now_ns() - begun_ns < worker->map.header.spin_ns)
		for (unsigned i = 0; i < 32; i++) {
			if (look(worker) != worker->seen)
				return;
			fnx_task_relax();
		}
}

static void park(struct fnx_task_worker *worker, int64_t limit_ns)
{
	struct fnx_task_box *box = worker->box;
	uint32_t seen = atomic_load_explicit(&box->bell, memory_order_seq_cst);

	atomic_store_explicit(&box->parked, 1, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
	if (look(worker) == worker->seen)
		fnx_futex_wait(&box->bell, seen, limit_ns, 1);
	atomic_store_explicit(&box->parked, 0, memory_order_relaxed);
}

int fnx_task_worker_run(struct fnx_task_worker *worker, int64_t idle_ns)
{
	const struct fnx_task_header *shared = (const void *)worker->map.base;
	int64_t idle_since_ns = fnx_task_now_ns(), left_ns;

	for (;;) {
		uint64_t word = look(worker);

		if (word != worker->seen) {
			run(worker, word);
			idle_since_ns = fnx_task_now_ns();
			spin(worker);
			continue;
		}
		if (atomic_load_explicit(&shared->closed, memory_order_acquire))
			return 0;
		if (fnx_task_is_locked(worker->map.fd, 0) != 1)
			return -EOWNERDEAD;
		left_ns = look_alive_ns;
		if (idle_ns >= 0) {
			left_ns = idle_since_ns + idle_ns - fnx_task_now_ns();
			if (left_ns <= 0)
				return -ETIMEDOUT;
			if (left_ns > look_alive_ns)
				left_ns = look_alive_ns;
		}
		park(worker, left_ns);
	}
}

void fnx_task_worker_close(struct fnx_task_worker *worker)
{
	if (!worker)
		return;
	if (worker->box) {
		atomic_store_explicit(&worker->box->state, FNX_BOX_LEAVING, memory_order_release);
		fnx_task_unlock(worker->map.fd, 1 + worker->index);
		ring_steward(worker->boxes);
	}
	fnx_task_map_close(&worker->map);
	free(worker);
}
