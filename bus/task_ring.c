/* SPDX-License-Identifier: BSD-3-Clause */
/* States, references and watermarks: how a task comes into its slot and its entry, and how both
 * come free again. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bus/task_runtime.h"

static const struct {
	const char *name;
	unsigned next; /* mask of states */
} states[] = {
	[FNX_TASK_NONE] = {"none", 1u << FNX_TASK_PENDING},
	[FNX_TASK_PENDING] = {"pending", 1u << FNX_TASK_READY},
	[FNX_TASK_READY] = {"ready", 1u << FNX_TASK_RUNNING},
	[FNX_TASK_RUNNING] = {"running", 1u << FNX_TASK_COMPLETED},
	[FNX_TASK_COMPLETED] = {"completed", 1u << FNX_TASK_RELEASED},
	[FNX_TASK_RELEASED] = {"released", 1u << FNX_TASK_CONSUMED},
	[FNX_TASK_CONSUMED] = {"consumed", 0},
};

enum {
	N_STATES = sizeof(states) / sizeof(states[0])
};

int fnx_task_may_go(enum fnx_task_state from, enum fnx_task_state to)
{
	return (unsigned)from < N_STATES && (unsigned)to < N_STATES &&
		(states[from].next >> to & 1u) != 0;
}

const char *fnx_task_state_name(enum fnx_task_state state)
{
	return (unsigned)state < N_STATES ? states[state].name : "?";
}

const char *fnx_task_ring_name(enum fnx_task_ring ring)
{
	static const char *const names[FNX_TASK_RINGS] = {
		"main", "consumed", "heap", "dependencies", "regions"};

	return (unsigned)ring < FNX_TASK_RINGS ? names[ring] : "?";
}

int fnx_task_go(struct fnx_task_self *self, uint64_t id, enum fnx_task_state from,
	enum fnx_task_state to, uint32_t kernel)
{
	struct fnx_task_runtime *rt = self->rt;
	struct fnx_task_entry *entry = fnx_task_entry(rt, id);
	uint64_t tag = atomic_load_explicit(&entry->tag, memory_order_relaxed);

	if (tag != fnx_task_tag(id, from) || !fnx_task_may_go(from, to)) {
		atomic_fetch_add_explicit(&rt->n_illegal, 1, memory_order_relaxed);
		return 0;
	}
	/* COMPLETED is acquired by fnx_task_state and by submit, CONSUMED by the watermark. */
	atomic_store_explicit(&entry->tag, fnx_task_tag(id, to), memory_order_release);
	if (rt->trace)
		fnx_task_trace(self, id, (unsigned)to, kernel, self->row);
	return 1;
}

/* References
 * ---------------------------------------------------------------------------------------- */

void fnx_task_unref(struct fnx_task_self *self, uint64_t id)
{
	struct fnx_task_entry *entry = fnx_task_entry(self->rt, id);
	uint64_t fanout = atomic_fetch_add_explicit(&entry->fanout, 1, memory_order_acq_rel) + 1;

	/* The task's own is dropped when it is RELEASED, so the last is dropped after that. */
	if ((uint32_t)fanout == fanout >> 32)
		fnx_task_go(self, id, FNX_TASK_RELEASED, FNX_TASK_CONSUMED, 0);
}

int fnx_task_ref(struct fnx_task_runtime *rt, uint64_t id)
{
	struct fnx_task_entry *entry = fnx_task_entry(rt, id);
	uint64_t fanout = atomic_load_explicit(&entry->fanout, memory_order_acquire);

	if (id <= rt->consumed)
		return 0;
	while ((uint32_t)fanout != fanout >> 32)
		if (atomic_compare_exchange_weak_explicit(&entry->fanout, &fanout,
			    fanout + (UINT64_C(1) << 32), memory_order_acq_rel,
			    memory_order_acquire))
			return 1;
	return 0;
}

/* Watermarks
 * ---------------------------------------------------------------------------------------- */

static int next_is_released(const struct fnx_task_runtime *rt)
{
	uint64_t id = atomic_load_explicit(&rt->header->last_released, memory_order_relaxed) + 1;

	return atomic_load_explicit(&rt->slots[id & rt->mask], memory_order_acquire) == id << 1;
}

static int next_is_consumed(const struct fnx_task_runtime *rt)
{
	uint64_t id = atomic_load_explicit(&rt->header->last_consumed, memory_order_relaxed) + 1;

	return atomic_load_explicit(&fnx_task_entry(rt, id)->tag, memory_order_acquire) ==
		fnx_task_tag(id, FNX_TASK_CONSUMED);
}

/* `more` says whether the next task is that far. */
static void move_watermark(const struct fnx_task_runtime *rt, _Atomic uint64_t *watermark,
	_Atomic uint32_t *lock, int (*more)(const struct fnx_task_runtime *rt))
{
	while (more(rt)) {
		uint32_t free = 0;

		if (!atomic_compare_exchange_strong_explicit(
			    lock, &free, 1, memory_order_seq_cst, memory_order_seq_cst))
			return;
		while (more(rt))
			atomic_store_explicit(watermark,
				atomic_load_explicit(watermark, memory_order_relaxed) + 1,
				memory_order_release);
		atomic_store_explicit(lock, 0, memory_order_seq_cst);
		/* Who found it taken relies on this second look. */
		atomic_thread_fence(memory_order_seq_cst);
	}
}

void fnx_task_settle(struct fnx_task_runtime *rt)
{
	struct fnx_task_header *header = rt->header;

	move_watermark(rt, &header->last_released, &header->released_lock, next_is_released);
	move_watermark(rt, &header->last_consumed, &header->consumed_lock, next_is_consumed);
}

/* Waiting
 * ------------------------------------------------------------------------------------------ */

static int wait_is_over(struct fnx_task_runtime *rt)
{
	uint64_t task = atomic_load_explicit(&rt->wait_task, memory_order_relaxed);

	return (task && fnx_task_state(rt, task) >= FNX_TASK_COMPLETED) ||
		atomic_load_explicit(&rt->header->last_released, memory_order_relaxed) >=
		atomic_load_explicit(&rt->wait_released, memory_order_relaxed) ||
		atomic_load_explicit(&rt->header->last_consumed, memory_order_relaxed) >=
		atomic_load_explicit(&rt->wait_consumed, memory_order_relaxed);
}

void fnx_task_notify(struct fnx_task_runtime *rt)
{
	uint32_t waiting = 1;

	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&rt->waiting, memory_order_relaxed))
		return;
	fnx_task_settle(rt);
	if (!wait_is_over(rt) ||
		!atomic_compare_exchange_strong_explicit(
			&rt->waiting, &waiting, 0, memory_order_seq_cst, memory_order_seq_cst))
		return;
	atomic_fetch_add_explicit(&rt->wait_bell, 1, memory_order_seq_cst);
	fnx_futex_wake(&rt->wait_bell, 1, 0);
}

/* Until any of the three, or the time is over; may return early. */
static void wait_for(struct fnx_task_runtime *rt, uint64_t task, uint64_t released,
	uint64_t consumed, int64_t limit_ns)
{
	int64_t begun_ns = fnx_task_now_ns(), now_ns = begun_ns;
	uint32_t seen;

	atomic_store_explicit(&rt->wait_task, task, memory_order_relaxed);
	atomic_store_explicit(&rt->wait_released, released, memory_order_relaxed);
	atomic_store_explicit(&rt->wait_consumed, consumed, memory_order_relaxed);
	while (now_ns - begun_ns < rt->spin_ns) {
		/* Not too often: every look takes a cache line from a worker. */
		for (unsigned i = 0; i < 64; i++)
			fnx_task_relax();
		fnx_task_settle(rt);
		if (wait_is_over(rt))
			return;
		now_ns = fnx_task_now_ns();
	}
	seen = atomic_load_explicit(&rt->wait_bell, memory_order_seq_cst);
	atomic_store_explicit(&rt->waiting, 1, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
	fnx_task_settle(rt);
	if (!wait_is_over(rt))
		fnx_futex_wait(&rt->wait_bell, seen, limit_ns, 0);
	atomic_store_explicit(&rt->waiting, 0, memory_order_seq_cst);
}

static int time_left(int64_t deadline_ns, int64_t *ret_left_ns)
{
	if (deadline_ns < 0) {
		*ret_left_ns = -1;
		return 1;
	}
	*ret_left_ns = deadline_ns - fnx_task_now_ns();
	return *ret_left_ns > 0;
}

int fnx_task_wait(struct fnx_task_runtime *rt, uint64_t task, int64_t timeout_ns)
{
	int64_t deadline_ns = timeout_ns < 0 ? -1 : fnx_task_now_ns() + timeout_ns, left_ns;

	while (fnx_task_state(rt, task) < FNX_TASK_COMPLETED) {
		if (!time_left(deadline_ns, &left_ns))
			return -ETIMEDOUT;
		wait_for(rt, task, UINT64_MAX, UINT64_MAX, left_ns);
	}
	return 0;
}

/* The first task that the submitter itself keeps from being CONSUMED; next_id if none. */
static uint64_t first_held(const struct fnx_task_runtime *rt)
{
	uint64_t id = atomic_load_explicit(&rt->header->last_consumed, memory_order_acquire) + 1;

	while (id < rt->next_id && !rt->held[id & rt->consumed_mask])
		id++;
	return id;
}

int fnx_task_drain(struct fnx_task_runtime *rt, int64_t timeout_ns)
{
	int64_t deadline_ns = timeout_ns < 0 ? -1 : fnx_task_now_ns() + timeout_ns, left_ns;
	struct fnx_task_header *header = rt->header;

	for (;;) {
		uint64_t consumed = first_held(rt) - 1;

		fnx_task_settle(rt);
		if (atomic_load_explicit(&header->last_released, memory_order_acquire) <
			rt->next_id - 1) {
			if (!time_left(deadline_ns, &left_ns))
				return -ETIMEDOUT;
			wait_for(rt, 0, rt->next_id - 1, UINT64_MAX, left_ns);
		} else if (atomic_load_explicit(&header->last_consumed, memory_order_acquire) <
			consumed) {
			if (!time_left(deadline_ns, &left_ns))
				return -ETIMEDOUT;
			wait_for(rt, 0, UINT64_MAX, consumed, left_ns);
		} else {
			break;
		}
	}
	return 0;
}

/* Room
 * --------------------------------------------------------------------------------------------- */

void fnx_task_look(struct fnx_task_runtime *rt)
{
	uint64_t released, consumed;

	fnx_task_settle(rt);
	released = atomic_load_explicit(&rt->header->last_released, memory_order_acquire);
	consumed = atomic_load_explicit(&rt->header->last_consumed, memory_order_acquire);
	if (released != rt->released)
		rt->dep_tail = rt->dep_ends[released & rt->mask];
	if (consumed != rt->consumed) {
		rt->heap_tail = rt->heap_ends[consumed & rt->consumed_mask];
		rt->map.tail = rt->map_ends[consumed & rt->consumed_mask];
	}
	rt->released = released;
	rt->consumed = consumed;
	/* Nobody has a buffer: begin at the beginning, so that the largest possible fits. */
	if (consumed == rt->next_id - 1)
		rt->heap_head = rt->heap_tail =
			(rt->heap_head + rt->heap_size - 1) & ~(rt->heap_size - 1);
}

uint64_t fnx_task_heap_at(const struct fnx_task_runtime *rt, uint64_t size)
{
	uint64_t offset = rt->heap_head & (rt->heap_size - 1);

	/* A buffer is one piece. */
	return offset + size > rt->heap_size ? rt->heap_head + rt->heap_size - offset
					     : rt->heap_head;
}

struct needs {
	uint64_t n_regions, n_deps, heap_size;
};

static uint64_t main_used(const struct fnx_task_runtime *rt)
{
	/* With one ring, too, a slot must not be written again before last_released has seen it. */
	return rt->next_id - 1 -
		(rt->one_ring && rt->consumed < rt->released ? rt->consumed : rt->released);
}

/* The first ring without room, FNX_TASK_RINGS: all have. */
static enum fnx_task_ring full_ring(const struct fnx_task_runtime *rt, const struct needs *needs)
{
	if (main_used(rt) > rt->mask)
		return FNX_TASK_RING_MAIN;
	if (rt->next_id - 1 - rt->consumed > rt->consumed_mask)
		return FNX_TASK_RING_CONSUMED;
	if (needs->heap_size &&
		fnx_task_heap_at(rt, needs->heap_size) + needs->heap_size - rt->heap_tail >
			rt->heap_size)
		return FNX_TASK_RING_HEAP;
	if (rt->dep_head - rt->dep_tail + needs->n_deps > rt->dep_mask + 1)
		return FNX_TASK_RING_DEPENDENCIES;
	if (rt->map.head - rt->map.tail + needs->n_regions > rt->map.mask + 1)
		return FNX_TASK_RING_REGIONS;
	return FNX_TASK_RINGS;
}

static uint64_t power_of_two(uint64_t n)
{
	return n <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(n - 1));
}

static int refuse(struct fnx_task_runtime *rt, enum fnx_task_ring ring, const struct needs *needs)
{
	struct fnx_task_problem *p = &rt->problem;
	uint64_t needed = rt->next_id - rt->consumed;

	if (ring == FNX_TASK_RING_HEAP)
		needed = needs->heap_size > rt->heap_size
			? needs->heap_size
			: fnx_task_heap_at(rt, needs->heap_size) + needs->heap_size - rt->heap_tail;
	else if (ring == FNX_TASK_RING_REGIONS)
		needed = rt->map.head - rt->map.tail + needs->n_regions;
	p->ring = fnx_task_ring_name(ring);
	p->size = rt->rings[ring].size;
	p->needed = power_of_two(needed);
	if (needs->heap_size > rt->heap_size)
		snprintf(p->text, sizeof(p->text),
			"the outputs take %" PRIu64 " bytes, the heap ring has %" PRIu64
			"; %" PRIu64 " would do",
			needs->heap_size, p->size, p->needed);
	else
		snprintf(p->text, sizeof(p->text),
			"the %s ring (%" PRIu64 ") is full and task %" PRIu64
			" at its end is held by an open scope; %" PRIu64 " would do",
			p->ring, p->size, rt->consumed + 1, p->needed);
	return -ENOBUFS;
}

/* 1: the ring frees nothing before task consumed + 1 is CONSUMED, which only the submitter could
 * bring about. */
static int is_stuck(const struct fnx_task_runtime *rt, enum fnx_task_ring ring)
{
	if (ring == FNX_TASK_RING_DEPENDENCIES || (ring == FNX_TASK_RING_MAIN && !rt->one_ring))
		return 0;
	/* With one ring, too, a slot waits for last_released, which comes along by itself. */
	if (ring == FNX_TASK_RING_MAIN && rt->released < rt->consumed)
		return 0;
	return rt->held[(rt->consumed + 1) & rt->consumed_mask] != 0;
}

/* Sleeps until an eighth of the ring is free, or a moment has passed: it may be that no more comes
 * free, and that less would do. */
static void wait_for_ring(struct fnx_task_runtime *rt, enum fnx_task_ring ring)
{
	const int64_t moment_ns = 1000000;
	uint64_t submitted = rt->next_id - 1;
	uint64_t step = (ring == FNX_TASK_RING_MAIN ? rt->mask + 1 : rt->consumed_mask + 1) / 8;
	int by_release =
		ring == FNX_TASK_RING_DEPENDENCIES || (ring == FNX_TASK_RING_MAIN && !rt->one_ring);
	uint64_t target = (by_release ? rt->released : rt->consumed) + step;

	if (target > submitted)
		target = submitted;
	wait_for(rt, 0, by_release ? target : UINT64_MAX, by_release ? UINT64_MAX : target,
		moment_ns);
}

int fnx_task_make_room(struct fnx_task_runtime *rt, uint64_t n_regions, uint64_t n_deps,
	uint64_t heap_size, int no_wait)
{
	struct needs needs = {n_regions, n_deps, heap_size};
	enum fnx_task_ring ring = full_ring(rt, &needs), waited = FNX_TASK_RINGS;
	int64_t since_ns = 0, now_ns;
	int r = 0;

	if (heap_size > rt->heap_size)
		return refuse(rt, FNX_TASK_RING_HEAP, &needs);
	if (ring == FNX_TASK_RINGS)
		return 0;
	for (;;) {
		fnx_task_look(rt);
		ring = full_ring(rt, &needs);
		if (ring == FNX_TASK_RINGS)
			break;
		if (is_stuck(rt, ring)) {
			r = refuse(rt, ring, &needs);
			break;
		}
		if (no_wait) {
			r = -EAGAIN;
			break;
		}
		if (ring != waited) {
			now_ns = fnx_task_now_ns();
			if (waited != FNX_TASK_RINGS)
				rt->rings[waited].blocked_ns += now_ns - since_ns;
			rt->rings[ring].n_blocked++;
			since_ns = now_ns;
			waited = ring;
		}
		wait_for_ring(rt, ring);
	}
	if (waited != FNX_TASK_RINGS)
		rt->rings[waited].blocked_ns += fnx_task_now_ns() - since_ns;
	return r;
}

void fnx_task_note_use(struct fnx_task_runtime *rt)
{
	uint64_t used[FNX_TASK_RINGS] = {
		[FNX_TASK_RING_MAIN] = main_used(rt),
		[FNX_TASK_RING_CONSUMED] = rt->next_id - 1 - rt->consumed,
		[FNX_TASK_RING_HEAP] = rt->heap_head - rt->heap_tail,
		[FNX_TASK_RING_DEPENDENCIES] = rt->dep_head - rt->dep_tail,
		[FNX_TASK_RING_REGIONS] = rt->map.head - rt->map.tail,
	};

	for (unsigned i = 0; i < FNX_TASK_RINGS; i++) {
		rt->rings[i].used = used[i];
		if (used[i] > rt->rings[i].high_water)
			rt->rings[i].high_water = used[i];
	}
}
