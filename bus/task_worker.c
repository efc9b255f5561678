/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running and completing. A task whose producer failed goes through the same states as every other,
 * but for the kernel: so there is one way for a task to end, whatever happened to it.
 */
#include <errno.h>

#include "bus/task_runtime.h"

enum {
	IN_A_ROW_MAX = 32, /* consumers run directly before the queue has its turn */
	STACK_TOUCHED = 8 * FNX_TASK_PAGE, /* of a thread, at its start */
};

static uint64_t offset_of(const struct fnx_task_runtime *rt, const struct fnx_call *call)
{
	return (uint64_t)((const unsigned char *)call - rt->base);
}

/* Gives a part to the queue of its kind, and a sleeper to the queue. */
static void push(struct fnx_task_self *self, const struct fnx_call *call)
{
	struct fnx_task_kind_state *kind = &self->rt->kinds[call->kind];

	fnx_task_queue_push(&kind->queue, offset_of(self->rt, call));
	if (kind->n_threads && fnx_task_queue_wake(&kind->queue))
		return;
	if (kind->n_processes)
		self->dirty |= 1u << call->kind;
}

void fnx_task_make_ready(struct fnx_task_self *self, uint64_t id)
{
	struct fnx_task_slot *slot = fnx_task_slot(self->rt, id);
	/* Once the last part is in a queue the slot may be gone. */
	unsigned n_parts = slot->n_parts;

	fnx_task_go(self, id, FNX_TASK_PENDING, FNX_TASK_READY, slot->calls[0].kernel);
	for (unsigned i = 0; i < n_parts; i++) {
		const struct fnx_call *call = &slot->calls[i];

		if (!self->next && call->kind == self->kind && self->n_in_a_row < IN_A_ROW_MAX) {
			self->n_in_a_row++;
			self->next = offset_of(self->rt, call);
			atomic_store_explicit(&self->n_taken_directly,
				atomic_load_explicit(
					&self->n_taken_directly, memory_order_relaxed) +
					1,
				memory_order_relaxed);
		} else {
			push(self, call);
		}
	}
}

void fnx_task_begin(struct fnx_task_self *self, const struct fnx_call *call, unsigned row)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_slot *slot = fnx_task_slot(rt, call->task);
	uint64_t ready = fnx_task_tag(call->task, FNX_TASK_READY);

	if (slot->n_parts == 1) {
		fnx_task_go(self, call->task, FNX_TASK_READY, FNX_TASK_RUNNING, call->kernel);
	} else if (atomic_compare_exchange_strong_explicit(&fnx_task_entry(rt, call->task)->tag,
			   &ready, fnx_task_tag(call->task, FNX_TASK_RUNNING), memory_order_acq_rel,
			   memory_order_relaxed)) {
		if (rt->trace)
			fnx_task_trace(self, call->task, FNX_TASK_RUNNING, call->kernel, self->row);
	} else if (ready != fnx_task_tag(call->task, FNX_TASK_RUNNING)) {
		atomic_fetch_add_explicit(&rt->n_illegal, 1, memory_order_relaxed);
	}
	if (rt->trace)
		fnx_task_trace(self, call->task, FNX_TRACE_BEGIN, call->kernel, row);
}

void fnx_task_fail(struct fnx_task_runtime *rt, uint64_t id, int error, uint64_t cause)
{
	struct fnx_task_entry *entry = fnx_task_entry(rt, id);
	uint64_t none = 0;

	/* The first cause stays; the error is stored by whoever stored that. */
	if (atomic_compare_exchange_strong_explicit(
		    &entry->cause, &none, cause, memory_order_relaxed, memory_order_relaxed)) {
		atomic_store_explicit(&entry->error, error, memory_order_release);
		atomic_fetch_add_explicit(&rt->n_failed, 1, memory_order_relaxed);
	}
}

/* Tells all consumers; those that waited for nothing else become ready. */
static void tell_consumers(struct fnx_task_self *self, uint64_t id)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_entry *entry = fnx_task_entry(rt, id);
	int error = atomic_load_explicit(&entry->error, memory_order_relaxed);
	uint64_t at =
		atomic_exchange_explicit(&entry->fanout_head, FNX_DEP_CLOSED, memory_order_acq_rel);

	while (at != FNX_DEP_NONE) {
		const struct fnx_task_dep *dep = fnx_task_dep(rt, at);
		uint64_t consumer = dep->consumer;
		struct fnx_task_entry *its = fnx_task_entry(rt, consumer);
		uint32_t fanin = atomic_load_explicit(&its->fanin, memory_order_relaxed);

		/* Once the consumer is told, the dependency may be another's. */
		at = dep->next;
		if (error && dep->needed)
			fnx_task_fail(rt, consumer, error,
				atomic_load_explicit(&entry->cause, memory_order_relaxed));
		if (atomic_fetch_add_explicit(&its->fanin_done, 1, memory_order_acq_rel) + 1 ==
			fanin)
			fnx_task_make_ready(self, consumer);
	}
}

static void complete(struct fnx_task_self *self, uint64_t id)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_slot *slot = fnx_task_slot(rt, id);
	uint64_t first_dep = slot->first_dep, n_deps = slot->n_deps;
	uint32_t kernel = slot->calls[0].kernel;

	fnx_task_go(self, id, FNX_TASK_RUNNING, FNX_TASK_COMPLETED, kernel);
	tell_consumers(self, id);
	for (uint64_t i = 0; i < n_deps; i++)
		fnx_task_unref(self, fnx_task_dep(rt, first_dep + i)->producer);
	fnx_task_go(self, id, FNX_TASK_COMPLETED, FNX_TASK_RELEASED, kernel);
	/* acquired by the watermark */
	atomic_store_explicit(&rt->slots[id & rt->mask], id << 1, memory_order_release);
	fnx_task_unref(self, id);
	fnx_task_notify(rt);
}

void fnx_task_end(struct fnx_task_self *self, const struct fnx_call *call, int result, unsigned row)
{
	struct fnx_task_runtime *rt = self->rt;
	uint64_t id = call->task;

	if (rt->trace)
		fnx_task_trace(self, id, FNX_TRACE_END, call->kernel, row);
	if (result)
		fnx_task_fail(rt, id, result < 0 ? result : -EPROTO, id);
	if (fnx_task_slot(rt, id)->n_parts > 1 &&
		atomic_fetch_sub_explicit(
			&fnx_task_entry(rt, id)->n_parts_left, 1, memory_order_acq_rel) != 1)
		return;
	complete(self, id);
}

static uint64_t loose_key(const struct fnx_call *call)
{
	return call->task << 2 | call->part;
}

/* Runs a kernel that may hang. 1: its part has been ended meanwhile, and the call is another's. */
static int run_loose(struct fnx_task_self *self, const struct fnx_call *call, int *ret_result)
{
	const struct fnx_task_kernel_state *kernel = &self->rt->kernels[call->kernel];
	uint64_t key = loose_key(call);
	struct fnx_call copy = *call;

	for (unsigned i = 0; i < copy.n_tensors; i++)
		copy.tensors[i].delta += (intptr_t)call - (intptr_t)&copy;
	/* From here on the slot may be taken away. Acquired by expire. */
	atomic_store_explicit(&self->loose, key, memory_order_release);
	*ret_result = kernel->run(&copy, kernel->context);
	return !atomic_compare_exchange_strong_explicit(
		&self->loose, &key, 0, memory_order_acq_rel, memory_order_relaxed);
}

int fnx_task_expire(struct fnx_task_runtime *rt, uint64_t task, int error)
{
	const struct fnx_task_slot *slot = fnx_task_slot(rt, task);

	for (unsigned i = 0; i < rt->n_threads; i++) {
		struct fnx_task_self *thread = &rt->threads[i];
		uint64_t key = atomic_load_explicit(&thread->loose, memory_order_relaxed);

		if (!key || key >> 2 != task ||
			!atomic_compare_exchange_strong_explicit(&thread->loose, &key, 0,
				memory_order_acq_rel, memory_order_relaxed))
			continue;
		fnx_task_end(&rt->self, &slot->calls[key & 3], error, thread->row);
		if (rt->self.dirty)
			fnx_task_serve(&rt->self);
		return 0;
	}
	return -ESRCH;
}

/* Calls the kernel, and ends the part unless somebody else has. */
static void run_part(struct fnx_task_self *self, const struct fnx_call *call)
{
	struct fnx_task_runtime *rt = self->rt;
	const struct fnx_task_kernel_state *kernel = &rt->kernels[call->kernel];
	int result = 0;

	if (!atomic_load_explicit(&fnx_task_entry(rt, call->task)->error, memory_order_acquire)) {
		if (!kernel->may_hang || self == &rt->self)
			result = kernel->run(call, kernel->context);
		else if (run_loose(self, call, &result))
			return;
	}
	fnx_task_end(self, call, result, self->row);
}

void fnx_task_run(struct fnx_task_self *self, uint64_t offset)
{
	struct fnx_task_runtime *rt = self->rt;

	self->n_in_a_row = 0;
	while (offset) {
		const struct fnx_call *call = fnx_task_call(rt, offset & ~FNX_CALL_AGAIN);

		self->next = 0;
		if (!(offset & FNX_CALL_AGAIN))
			fnx_task_begin(self, call, self->row);
		run_part(self, call);
		/* May find a consumer to run directly, too. */
		if (self->dirty)
			fnx_task_serve(self);
		offset = self->next;
		if (offset && atomic_load_explicit(&rt->stop, memory_order_relaxed))
			break;
	}
	self->next = 0;
}

int fnx_task_step(struct fnx_task_runtime *rt, unsigned kind)
{
	uint64_t offset = kind < rt->n_kinds ? fnx_task_queue_pop(&rt->kinds[kind].queue) : 0;

	if (!offset)
		return 0;
	/* One part only: consumers go to the queue. */
	fnx_task_run(&rt->self, offset);
	return 1;
}

unsigned fnx_task_help(struct fnx_task_runtime *rt, unsigned kind)
{
	unsigned n = 0;
	uint64_t offset;

	if (kind >= rt->n_kinds)
		return 0;
	rt->self.kind = kind;
	while ((offset = fnx_task_queue_pop(&rt->kinds[kind].queue))) {
		fnx_task_run(&rt->self, offset);
		n++;
	}
	rt->self.kind = FNX_TASK_KINDS_MAX;
	return n;
}

/* Looks for work for a while. */
static uint64_t spin(const struct fnx_task_runtime *rt, struct fnx_task_queue *queue)
{
	int64_t begun_ns;
	uint64_t offset;

	if (rt->spin_ns <= 0)
		return 0;
	begun_ns = fnx_task_now_ns();
	do {
		for (unsigned i = 0; i < 32; i++) {
			offset = fnx_task_queue_pop(queue);
			if (offset || atomic_load_explicit(&rt->stop, memory_order_relaxed))
				return offset;
			fnx_task_relax();
		}
	} while (fnx_task_now_ns() - begun_ns < rt->spin_ns);
	return 0;
}

void fnx_task_thread_begin(struct fnx_task_runtime *rt)
{
	volatile unsigned char stack[STACK_TOUCHED];

	for (size_t at = 0; at < sizeof(stack); at += FNX_TASK_PAGE)
		stack[at] = 0;
	atomic_fetch_add_explicit(&rt->n_begun, 1, memory_order_release);
	fnx_futex_wake(&rt->n_begun, 1, 0);
}

void *fnx_task_thread(void *argument)
{
	struct fnx_task_self *self = argument;
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_queue *queue = &rt->kinds[self->kind].queue;

	fnx_task_thread_begin(rt);
	while (!atomic_load_explicit(&rt->stop, memory_order_relaxed)) {
		uint64_t offset = fnx_task_queue_pop(queue);

		if (!offset)
			offset = spin(rt, queue);
		if (offset) {
			fnx_task_run(self, offset);
			continue;
		}
		atomic_store_explicit(&self->n_slept,
			atomic_load_explicit(&self->n_slept, memory_order_relaxed) + 1,
			memory_order_relaxed);
		fnx_task_queue_sleep(queue, &rt->stop);
	}
	atomic_store_explicit(&self->has_ended, 1, memory_order_release);
	fnx_futex_wake(&self->has_ended, 1, 0);
	return NULL;
}
