/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Worker processes, seen from the owner. A process sees the graph read-only and touches nothing but
 * its mailbox and the memory that its calls name, so that one which dies, at whatever instruction,
 * leaves nothing half done: all states, lists and references are the owner's. Whoever makes a part
 * ready stores its call into an idle mailbox; the steward, a thread, takes back what is done, hands
 * on, and asks the kernel who is alive.
 *
 * hand        call = word [release]; fence; look whether the worker is parked
 * worker      parked = 1; fence; look at call once more; sleep
 * done        done = word [release]; fence; look whether the steward waits
 * steward     steward_waits = 1; fence; look at all mailboxes once more; sleep
 * unclaim     claimed = 0; fence; look at the queue once more: a pusher that found it claimed went
 * on
 */
#include <errno.h>

#include "bus/task_runtime.h"

static const int64_t look_alive_ns = 5000000;

static void ring_worker(struct fnx_task_box *box)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&box->parked, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&box->bell, 1, memory_order_seq_cst);
	fnx_futex_wake(&box->bell, 1, 1);
}

/* Gives the part to a mailbox that is ours. 0: it was of a failed task and ended here. */
static int hand(struct fnx_task_self *self, unsigned i, uint64_t offset)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_box_state *state = &rt->box_states[i];
	struct fnx_task_box *box = &rt->boxes->boxes[i];
	const struct fnx_call *call = fnx_task_call(rt, offset & ~FNX_CALL_AGAIN);
	unsigned row = FNX_TRACE_ROW_PROCESSES + i;
	uint64_t word;

	if (!(offset & FNX_CALL_AGAIN))
		fnx_task_begin(self, call, row);
	if (atomic_load_explicit(&fnx_task_entry(rt, call->task)->error, memory_order_acquire)) {
		fnx_task_end(self, call, 0, row);
		return 0;
	}
	word = ++state->turn << FNX_CALL_OFFSET_BITS | (offset & ~FNX_CALL_AGAIN);
	atomic_store_explicit(&state->handed, word, memory_order_release);
	atomic_store_explicit(&box->call, word, memory_order_release);
	ring_worker(box);
	return 1;
}

/* With a mailbox that is ours and idle: the next part, or none and the mailbox is free. */
static void give_next(struct fnx_task_self *self, unsigned i, unsigned kind)
{
	struct fnx_task_queue *queue = &self->rt->kinds[kind].queue;
	struct fnx_task_box_state *state = &self->rt->box_states[i];

	for (;;) {
		uint64_t offset = fnx_task_queue_pop(queue);
		uint32_t free = 0;

		if (offset) {
			if (hand(self, i, offset))
				return;
			continue;
		}
		atomic_store_explicit(&state->claimed, 0, memory_order_seq_cst);
		atomic_thread_fence(memory_order_seq_cst);
		if (fnx_task_queue_empty(queue) ||
			!atomic_compare_exchange_strong_explicit(&state->claimed, &free, 1,
				memory_order_seq_cst, memory_order_seq_cst))
			return;
	}
}

static void serve_kind(struct fnx_task_self *self, unsigned kind)
{
	struct fnx_task_runtime *rt = self->rt;

	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < FNX_TASK_PROCESSES_MAX; i++) {
		struct fnx_task_box_state *state = &rt->box_states[i];
		uint32_t free = 0;

		if (atomic_load_explicit(&state->serving, memory_order_acquire) != kind + 1 ||
			atomic_load_explicit(&state->claimed, memory_order_relaxed) ||
			!atomic_compare_exchange_strong_explicit(&state->claimed, &free, 1,
				memory_order_seq_cst, memory_order_seq_cst))
			continue;
		/* It may have died meanwhile. */
		if (atomic_load_explicit(&state->serving, memory_order_acquire) == kind + 1)
			give_next(self, i, kind);
		else
			atomic_store_explicit(&state->claimed, 0, memory_order_seq_cst);
		if (fnx_task_queue_empty(&rt->kinds[kind].queue))
			return;
	}
}

void fnx_task_serve(struct fnx_task_self *self)
{
	/* What fails here may make others ready, of other kinds, too. */
	while (self->dirty) {
		unsigned kind = (unsigned)__builtin_ctz(self->dirty);

		self->dirty &= self->dirty - 1;
		serve_kind(self, kind);
	}
}

unsigned fnx_task_n_serving(const struct fnx_task_runtime *rt)
{
	unsigned n = 0;

	for (unsigned kind = 0; kind < rt->n_kinds; kind++)
		n += atomic_load_explicit(&rt->kinds[kind].n_serving, memory_order_relaxed);
	return n;
}

/* The steward
 * -------------------------------------------------------------------------------------- */

static int is_done(const struct fnx_task_runtime *rt, unsigned i)
{
	uint64_t handed = atomic_load_explicit(&rt->box_states[i].handed, memory_order_acquire);

	return handed &&
		atomic_load_explicit(&rt->boxes->boxes[i].done, memory_order_acquire) == handed;
}

static void end_handed(struct fnx_task_self *self, unsigned i, int result)
{
	struct fnx_task_runtime *rt = self->rt;
	uint64_t handed = atomic_load_explicit(&rt->box_states[i].handed, memory_order_relaxed);

	atomic_store_explicit(&rt->box_states[i].handed, 0, memory_order_relaxed);
	fnx_task_end(self, fnx_task_call(rt, handed & FNX_CALL_OFFSET_MASK), result,
		FNX_TRACE_ROW_PROCESSES + i);
}

static int collect(struct fnx_task_self *self, unsigned i)
{
	struct fnx_task_runtime *rt = self->rt;
	unsigned kind = atomic_load_explicit(&rt->box_states[i].serving, memory_order_relaxed);

	if (!kind || !is_done(rt, i))
		return 0;
	end_handed(
		self, i, atomic_load_explicit(&rt->boxes->boxes[i].result, memory_order_relaxed));
	give_next(self, i, kind - 1);
	return 1;
}

static int is_newcomer(const struct fnx_task_runtime *rt, unsigned i)
{
	return !atomic_load_explicit(&rt->box_states[i].serving, memory_order_relaxed) &&
		atomic_load_explicit(&rt->boxes->boxes[i].state, memory_order_acquire) ==
		FNX_BOX_SERVING;
}

static int welcome(struct fnx_task_self *self, unsigned i)
{
	struct fnx_task_runtime *rt = self->rt;
	uint32_t kind = atomic_load_explicit(&rt->boxes->boxes[i].kind, memory_order_relaxed);

	if (!is_newcomer(rt, i) || kind >= rt->n_kinds ||
		atomic_load_explicit(&rt->kinds[kind].n_serving, memory_order_relaxed) >=
			rt->kinds[kind].n_processes)
		return 0;
	atomic_fetch_add_explicit(&rt->kinds[kind].n_serving, 1, memory_order_relaxed);
	atomic_store_explicit(&rt->box_states[i].serving, kind + 1, memory_order_release);
	self->dirty |= 1u << kind;
	return 1;
}

/* What a dead worker had been given: done counts, begun fails, and not begun is another's. */
static void inherit(struct fnx_task_self *self, unsigned i, unsigned kind)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_box *box = &rt->boxes->boxes[i];
	uint64_t handed = atomic_load_explicit(&rt->box_states[i].handed, memory_order_relaxed);

	if (is_done(rt, i)) {
		end_handed(self, i, atomic_load_explicit(&box->result, memory_order_relaxed));
	} else if (atomic_load_explicit(&box->started, memory_order_acquire) == handed) {
		end_handed(self, i, -EOWNERDEAD);
	} else {
		atomic_store_explicit(&rt->box_states[i].handed, 0, memory_order_relaxed);
		fnx_task_queue_push(
			&rt->kinds[kind].queue, (handed & FNX_CALL_OFFSET_MASK) | FNX_CALL_AGAIN);
		fnx_task_queue_wake(&rt->kinds[kind].queue);
	}
}

/* Of a worker that holds its lock no more; its mailbox may be taken again. */
static void bury(struct fnx_task_self *self, unsigned i)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_box_state *state = &rt->box_states[i];
	struct fnx_task_box *box = &rt->boxes->boxes[i];
	unsigned kind = atomic_load_explicit(&state->serving, memory_order_relaxed);
	uint32_t free = 0;

	if (!atomic_load_explicit(&state->handed, memory_order_acquire) &&
		!atomic_compare_exchange_strong_explicit(
			&state->claimed, &free, 1, memory_order_seq_cst, memory_order_seq_cst))
		return; /* somebody is handing it something at this moment */
	if (atomic_load_explicit(&box->state, memory_order_relaxed) == FNX_BOX_SERVING)
		atomic_fetch_add_explicit(&rt->n_died, 1, memory_order_relaxed);
	if (kind)
		atomic_fetch_sub_explicit(&rt->kinds[kind - 1].n_serving, 1, memory_order_relaxed);
	atomic_store_explicit(&state->serving, 0, memory_order_release);
	if (atomic_load_explicit(&state->handed, memory_order_acquire))
		inherit(self, i, kind - 1);
	atomic_store_explicit(&box->state, FNX_BOX_FREE, memory_order_release);
	atomic_store_explicit(&state->claimed, 0, memory_order_seq_cst);
	/* Others of its kind take over what waits. */
	if (kind)
		self->dirty |= 1u << (kind - 1);
}

static void look_alive(struct fnx_task_self *self)
{
	struct fnx_task_runtime *rt = self->rt;

	for (unsigned i = 0; i < FNX_TASK_PROCESSES_MAX; i++)
		if (atomic_load_explicit(&rt->boxes->boxes[i].state, memory_order_acquire) !=
				FNX_BOX_FREE &&
			fnx_task_is_locked(rt->fd, 1 + i) == 0)
			bury(self, i);
}

/* Takes back whatever is done; 1 if anything was. */
static int make_round(struct fnx_task_self *self)
{
	int n = 0;

	for (unsigned i = 0; i < FNX_TASK_PROCESSES_MAX; i++)
		n += welcome(self, i) + collect(self, i);
	if (self->dirty)
		fnx_task_serve(self);
	return n > 0;
}

void *fnx_task_steward(void *argument)
{
	struct fnx_task_self *self = argument;
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_boxes *boxes = rt->boxes;
	int64_t looked_ns = fnx_task_now_ns(), now_ns;

	fnx_task_thread_begin(rt);
	while (!atomic_load_explicit(&rt->stop, memory_order_acquire)) {
		uint32_t seen = atomic_load_explicit(&boxes->bell, memory_order_seq_cst);

		atomic_store_explicit(&boxes->steward_waits, 1, memory_order_seq_cst);
		atomic_thread_fence(memory_order_seq_cst);
		if (!make_round(self))
			fnx_futex_wait(&boxes->bell, seen, look_alive_ns, 1);
		now_ns = fnx_task_now_ns();
		if (now_ns - looked_ns >= look_alive_ns) {
			look_alive(self);
			looked_ns = now_ns;
		}
	}
	return NULL;
}
