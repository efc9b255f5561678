/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Putting a task together. All that can be refused is refused before anything is changed, and all
 * room is there before the first byte is written; so a submission happens entirely or not at all.
 */
#include <errno.h>
#include <string.h>

#include "bus/fetch.h"
#include "bus/task_runtime.h"

enum {
	MARK_BITS = 20, /* more than a consumed window */
	MARK = 1 << MARK_BITS,
	LOOK_EVERY = 32, /* tasks */
	FETCHED_KERNELS = 4,
};

/* What submit finds out about a task's arguments before it takes anything. */
struct plan {
	const struct fnx_task_spec *spec;
	struct fnx_task_box_region regions[FNX_TASK_TENSORS_MAX];
	struct fnx_task_arg *tensors[FNX_TASK_TENSORS_MAX];
	unsigned n_tensors, n_scalars;
	unsigned packed; /* mask of outputs that get memory of the heap */
	uint64_t heap_size;
};

static uint64_t round_up_line(uint64_t size)
{
	return (size + FNX_CACHE_LINE - 1) & ~(uint64_t)(FNX_CACHE_LINE - 1);
}

/* Checking
 * ----------------------------------------------------------------------------------------- */

static int in_heap(const struct fnx_task_runtime *rt, const struct fnx_region *region)
{
	return (uint64_t)((uintptr_t)region->base - (uintptr_t)rt->heap) < rt->heap_size;
}

/* 1 if every part's kind may see this memory. */
static int is_visible(const struct fnx_task_runtime *rt, const struct fnx_task_spec *spec,
	const struct fnx_region *region, const struct fnx_task_box_region *reduced)
{
	uint64_t at = (uint64_t)((uintptr_t)region->base - (uintptr_t)rt->heap);

	if (at < rt->heap_size && reduced->high <= rt->heap_size - at)
		return 1;
	for (unsigned i = 0; i < spec->n_parts; i++)
		if (rt->kinds[rt->kernels[spec->kernels[i]].kind].n_processes)
			return 0;
	return 1;
}

static int check_region(const struct fnx_task_runtime *rt, const struct fnx_task_spec *spec,
	struct plan *plan, struct fnx_task_arg *arg)
{
	struct fnx_region *region = &arg->region;
	unsigned i = plan->n_tensors;
	int r;

	if (!region->base) {
		/* Memory of the heap is dense, from its beginning. */
		if (arg->access != FNX_TASK_OUTPUT || region->offset)
			return -EINVAL;
		region->owner = 0;
		memset(region->strides, 0, sizeof(region->strides));
	}
	r = fnx_task_region_reduce(region, &plan->regions[i]);
	if (r)
		return r;
	if (!region->base) {
		plan->packed |= 1u << i;
		plan->heap_size += round_up_line(plan->regions[i].high);
		if (plan->heap_size > INT64_MAX)
			return -EINVAL;
		return 0;
	}
	if (region->owner >= rt->next_id || !is_visible(rt, spec, region, &plan->regions[i]))
		return -EINVAL;
	return in_heap(rt, region) == (region->owner != 0) ? 0 : -EINVAL;
}

static int check_args(
	const struct fnx_task_runtime *rt, const struct fnx_task_spec *spec, struct plan *plan)
{
	for (unsigned i = 0; i < spec->n_args; i++) {
		struct fnx_task_arg *arg = &spec->args[i];
		int r;

		switch (arg->access) {
		case FNX_TASK_SCALAR:
			if (plan->n_scalars == FNX_TASK_SCALARS_MAX)
				return -EINVAL;
			plan->n_scalars++;
			break;
		case FNX_TASK_INPUT:
		case FNX_TASK_OUTPUT:
		case FNX_TASK_INOUT:
			if (plan->n_tensors == FNX_TASK_TENSORS_MAX)
				return -EINVAL;
			r = check_region(rt, spec, plan, arg);
			if (r)
				return r;
			plan->tensors[plan->n_tensors++] = arg;
			break;
		default:
			return -EINVAL;
		}
	}
	return 0;
}

static int check(
	const struct fnx_task_runtime *rt, const struct fnx_task_spec *spec, struct plan *plan)
{
	int r;

	plan->spec = spec;
	plan->n_tensors = plan->n_scalars = plan->packed = 0;
	plan->heap_size = 0;
	if (spec->n_parts < 1 || spec->n_parts > FNX_TASK_PARTS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < spec->n_parts; i++)
		if (spec->kernels[i] >= rt->n_kernels)
			return -EINVAL;
	for (unsigned i = 0; i < spec->n_after; i++)
		if (!spec->after[i].task || spec->after[i].task >= rt->next_id)
			return -EINVAL;
	r = check_args(rt, spec, plan);
	/* A buffer that nothing keeps would be gone before it could be named. */
	if (!r && plan->packed && !rt->n_scopes && !(spec->flags & FNX_TASK_HOLD))
		r = -EINVAL;
	return r;
}

/* Producers
 * ---------------------------------------------------------------------------------------- */

int fnx_task_add_producer(struct fnx_task_runtime *rt, uint64_t task, uint64_t needed)
{
	uint64_t *mark = &rt->marks[task & rt->consumed_mask];
	unsigned n = rt->n_producers;

	if (*mark >> MARK_BITS == rt->next_id && *mark % MARK < n &&
		rt->producers[*mark % MARK].task == task) {
		rt->producers[*mark % MARK].needed |= needed;
		return 1;
	}
	if (!fnx_task_ref(rt, task))
		return 0;
	*mark = rt->next_id << MARK_BITS | n;
	rt->producers[n] = (struct fnx_task_producer){task, needed};
	rt->n_producers = n + 1;
	return 1;
}

/* The owner of a buffer must stay, even where a later writer has taken its place in the map.
 * -ESTALE: one has gone. */
static int keep_owners(struct fnx_task_runtime *rt, const struct plan *plan)
{
	rt->n_producers = 0;
	for (unsigned i = 0; i < plan->n_tensors; i++) {
		uint64_t owner = plan->tensors[i]->region.owner;

		if (!owner || plan->packed >> i & 1u || fnx_task_add_producer(rt, owner, 0))
			continue;
		while (rt->n_producers)
			fnx_task_unref(&rt->self, rt->producers[--rt->n_producers].task);
		return -ESTALE;
	}
	return 0;
}

static void find_by_access(
	struct fnx_task_runtime *rt, const struct plan *plan, enum fnx_task_access access)
{
	for (unsigned i = 0; i < plan->n_tensors; i++) {
		const struct fnx_task_arg *arg = plan->tensors[i];
		int writes = access != FNX_TASK_INPUT;

		if (arg->access == access && !(plan->packed >> i & 1u))
			fnx_task_map_find(rt, fnx_task_region_key(&arg->region), &plan->regions[i],
				writes, writes, access != FNX_TASK_OUTPUT);
	}
}

static void find_producers(struct fnx_task_runtime *rt, const struct plan *plan)
{
	for (unsigned i = 0; i < plan->spec->n_after; i++)
		fnx_task_add_producer(rt, plan->spec->after[i].task, !plan->spec->after[i].any_end);
	/* Who cuts comes last: another argument of this task may need what is cut. */
	find_by_access(rt, plan, FNX_TASK_INPUT);
	find_by_access(rt, plan, FNX_TASK_INOUT);
	find_by_access(rt, plan, FNX_TASK_OUTPUT);
}

/* Puts the dependencies on their producers' lists. Returns how many are satisfied already. */
static uint32_t link_producers(struct fnx_task_runtime *rt)
{
	uint32_t n_done = 0;

	for (unsigned i = 0; i < rt->n_producers; i++) {
		struct fnx_task_producer *producer = &rt->producers[i];
		struct fnx_task_entry *its = fnx_task_entry(rt, producer->task);
		uint64_t at = rt->dep_head++;
		struct fnx_task_dep *dep = fnx_task_dep(rt, at);
		uint64_t head = atomic_load_explicit(&its->fanout_head, memory_order_acquire);

		dep->producer = producer->task;
		dep->consumer = rt->next_id;
		dep->needed = producer->needed;
		do {
			dep->next = head;
		} while (head != FNX_DEP_CLOSED &&
			!atomic_compare_exchange_weak_explicit(&its->fanout_head, &head, at,
				memory_order_release, memory_order_acquire));
		if (head == FNX_DEP_CLOSED) {
			int error = atomic_load_explicit(&its->error, memory_order_relaxed);

			n_done++;
			if (error && producer->needed)
				fnx_task_fail(rt, rt->next_id, error,
					atomic_load_explicit(&its->cause, memory_order_relaxed));
		}
	}
	return n_done;
}

/* Filling in
 * --------------------------------------------------------------------------------------- */

/* One 64-byte aligned buffer for all outputs without an address. */
static void pack_outputs(struct fnx_task_runtime *rt, struct plan *plan)
{
	uint64_t at;
	unsigned char *buffer, *next;

	if (!plan->packed)
		return;
	at = fnx_task_heap_at(rt, plan->heap_size);
	rt->heap_head = at + plan->heap_size;
	buffer = next = rt->heap + (at & (rt->heap_size - 1));
	for (unsigned i = 0; i < plan->n_tensors; i++) {
		uint64_t size = plan->regions[i].high;

		if (!(plan->packed >> i & 1u))
			continue;
		plan->tensors[i]->region.base = buffer;
		plan->tensors[i]->region.owner = rt->next_id;
		plan->tensors[i]->region.offset = (uint64_t)(next - buffer);
		plan->regions[i].low = (uint64_t)(next - buffer);
		plan->regions[i].high = plan->regions[i].low + size;
		/* Another buffer of the task may have views of other strides: spans will do. */
		plan->regions[i].n_dims = 0;
		next += round_up_line(size);
	}
}

void fnx_task_prepare(struct fnx_call *call, const struct fnx_task_arg *args, unsigned n_args)
{
	unsigned n_tensors = 0, n_scalars = 0;

	for (unsigned i = 0; i < n_args; i++) {
		const struct fnx_region *region = &args[i].region;
		struct fnx_call_tensor *tensor = &call->tensors[n_tensors];

		if (args[i].access == FNX_TASK_SCALAR) {
			call->scalars[n_scalars++] = args[i].scalar;
			continue;
		}
		tensor->delta =
			(int64_t)((uintptr_t)region->base + region->offset - (uintptr_t)call);
		tensor->element_size = region->element_size;
		tensor->n_dims = (uint16_t)region->n_dims;
		tensor->access = (uint16_t)args[i].access;
		memcpy(tensor->shape, region->shape, sizeof(tensor->shape));
		memcpy(tensor->strides, region->strides, sizeof(tensor->strides));
		n_tensors++;
	}
	call->n_tensors = (uint8_t)n_tensors;
	call->n_scalars = (uint8_t)n_scalars;
}

static void fill_slot(struct fnx_task_runtime *rt, const struct plan *plan)
{
	const struct fnx_task_spec *spec = plan->spec;
	struct fnx_task_slot *slot = fnx_task_slot(rt, rt->next_id);

	slot->task = rt->next_id;
	slot->first_dep = rt->dep_head;
	slot->n_deps = rt->n_producers;
	slot->n_parts = spec->n_parts;
	for (unsigned i = 0; i < spec->n_parts; i++) {
		struct fnx_call *call = &slot->calls[i];

		call->task = rt->next_id;
		call->kernel = spec->kernels[i];
		call->kind = (uint8_t)rt->kernels[spec->kernels[i]].kind;
		call->part = (uint8_t)i;
		fnx_task_prepare(call, spec->args, spec->n_args);
	}
	atomic_store_explicit(
		&rt->slots[rt->next_id & rt->mask], rt->next_id << 1 | 1, memory_order_relaxed);
}

static void keep(struct fnx_task_runtime *rt, unsigned flags, uint64_t *ret_n_refs)
{
	uint64_t n = 0;

	if (rt->n_scopes) {
		rt->scoped[rt->n_scoped++] = rt->next_id;
		n++;
	}
	if (flags & FNX_TASK_HOLD)
		n++;
	rt->held[rt->next_id & rt->consumed_mask] = (uint32_t)n;
	*ret_n_refs = n;
}

static void fill_entry(struct fnx_task_runtime *rt, const struct plan *plan)
{
	uint64_t id = rt->next_id, n_refs;
	struct fnx_task_entry *entry = fnx_task_entry(rt, id);

	keep(rt, plan->spec->flags, &n_refs);
	atomic_store_explicit(&entry->fanout_head, FNX_DEP_NONE, memory_order_relaxed);
	atomic_store_explicit(&entry->fanout, (n_refs + 1) << 32, memory_order_relaxed);
	atomic_store_explicit(&entry->fanin, rt->n_producers + 1, memory_order_relaxed);
	atomic_store_explicit(&entry->fanin_done, 0, memory_order_relaxed);
	atomic_store_explicit(&entry->n_parts_left, plan->spec->n_parts, memory_order_relaxed);
	atomic_store_explicit(&entry->error, 0, memory_order_relaxed);
	atomic_store_explicit(&entry->cause, 0, memory_order_relaxed);
	/* Whoever finds the id finds the rest. */
	atomic_store_explicit(
		&entry->tag, fnx_task_tag(id, FNX_TASK_PENDING), memory_order_release);
	if (rt->trace)
		fnx_task_trace(&rt->self, id, FNX_TASK_PENDING, plan->spec->kernels[0], 0);
}

static void note_regions(struct fnx_task_runtime *rt, const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n_tensors; i++)
		fnx_task_map_add(&rt->map, fnx_task_region_key(&plan->tensors[i]->region),
			&plan->regions[i], plan->tensors[i]->access != FNX_TASK_INPUT, rt->next_id);
}

static void note_ends(struct fnx_task_runtime *rt)
{
	uint64_t id = rt->next_id;

	rt->dep_ends[id & rt->mask] = rt->dep_head;
	rt->heap_ends[id & rt->consumed_mask] = rt->heap_head;
	rt->map_ends[id & rt->consumed_mask] = rt->map.head;
}

int fnx_task_submit_spec(
	struct fnx_task_runtime *rt, const struct fnx_task_spec *spec, uint64_t *ret_task)
{
	struct plan plan;
	struct fnx_task_entry *entry = fnx_task_entry(rt, rt->next_id);
	uint64_t id = rt->next_id, n_live = id - 1 - rt->consumed;
	uint32_t n_done;
	int r = check(rt, spec, &plan);

	if (!r)
		r = fnx_task_make_room(rt, plan.n_tensors, n_live, plan.heap_size,
			(spec->flags & FNX_TASK_NO_WAIT) != 0);
	if (!r)
		r = keep_owners(rt, &plan);
	if (r)
		return r;
	find_producers(rt, &plan);
	pack_outputs(rt, &plan);
	fill_slot(rt, &plan);
	fill_entry(rt, &plan);
	n_done = link_producers(rt);
	note_regions(rt, &plan);
	note_ends(rt);
	rt->next_id = id + 1;
	/* What is gone need not be looked through. */
	if (id % LOOK_EVERY == 0)
		fnx_task_look(rt);
	atomic_store_explicit(&rt->header->next_id, id + 1, memory_order_release);
	fnx_task_note_use(rt);
	/* From here on it may run, and be gone. */
	if (atomic_fetch_add_explicit(&entry->fanin_done, n_done + 1, memory_order_acq_rel) +
			n_done + 1 ==
		rt->n_producers + 1)
		fnx_task_make_ready(&rt->self, id);
	if (rt->self.dirty)
		fnx_task_serve(&rt->self);
	if (ret_task)
		*ret_task = id;
	return 0;
}

int fnx_task_submit(struct fnx_task_runtime *rt, uint32_t kernel, struct fnx_task_arg *args,
	unsigned n_args, uint64_t *ret_task)
{
	struct fnx_task_spec spec = {
		.kernels = {kernel}, .n_parts = 1, .args = args, .n_args = n_args};

	return fnx_task_submit_spec(rt, &spec, ret_task);
}

/* Fetching
 * ----------------------------------------------------------------------------------------- */

static void fetch_task(const struct fnx_task_runtime *rt, uint64_t id)
{
	const struct fnx_task_slot *slot = fnx_task_slot(rt, id);

	fnx_fetch(slot, offsetof(struct fnx_task_slot, calls[0].tensors[1]));
	fnx_fetch(fnx_task_entry(rt, id), sizeof(struct fnx_task_entry));
	fnx_fetch(&rt->slots[id & rt->mask], sizeof(rt->slots[0]));
	fnx_fetch(&rt->dep_ends[id & rt->mask], sizeof(rt->dep_ends[0]));
	fnx_fetch(&rt->heap_ends[id & rt->consumed_mask], sizeof(rt->heap_ends[0]));
	fnx_fetch(&rt->map_ends[id & rt->consumed_mask], sizeof(rt->map_ends[0]));
	fnx_fetch(&rt->marks[id & rt->consumed_mask], sizeof(rt->marks[0]));
	fnx_fetch(&rt->held[id & rt->consumed_mask], sizeof(rt->held[0]));
}

void fnx_task_fetch(struct fnx_task_runtime *rt, unsigned kind, unsigned n)
{
	const struct fnx_task_queue *queue = &rt->kinds[kind].queue;
	uint64_t at = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	fnx_task_look(rt);
	for (unsigned i = 0; i < n; i++) {
		fetch_task(rt, rt->next_id + i);
		fnx_fetch(fnx_task_dep(rt, rt->dep_head + i), sizeof(struct fnx_task_dep));
		fnx_fetch(&queue->cells[(at + i) & queue->mask], sizeof(queue->cells[0]));
	}
	fnx_task_map_fetch(&rt->map, n);
	/* The runtime itself: where all lies, and the submitter's own. */
	fnx_fetch(rt->header, offsetof(struct fnx_task_header, closed));
	fnx_fetch(&rt->slots,
		offsetof(struct fnx_task_runtime, kernels[FETCHED_KERNELS]) -
			offsetof(struct fnx_task_runtime, slots));
	fnx_fetch(&rt->kinds[kind], sizeof(rt->kinds[kind]));
	fnx_fetch(&rt->stop, sizeof(*rt) - offsetof(struct fnx_task_runtime, stop));
	fnx_fetch(rt->producers, sizeof(rt->producers[0]));
}

/* Scopes and holds
 * --------------------------------------------------------------------------------- */

int fnx_task_scope_begin(struct fnx_task_runtime *rt)
{
	if (rt->n_scopes == FNX_TASK_SCOPES_MAX)
		return -ENOBUFS;
	rt->scopes[rt->n_scopes++] = rt->n_scoped;
	return 0;
}

void fnx_task_scope_end(struct fnx_task_runtime *rt)
{
	uint64_t first;

	assert(rt->n_scopes > 0);
	first = rt->scopes[--rt->n_scopes];
	for (uint64_t i = first; i < rt->n_scoped; i++) {
		rt->held[rt->scoped[i] & rt->consumed_mask]--;
		fnx_task_unref(&rt->self, rt->scoped[i]);
	}
	rt->n_scoped = first;
}

int fnx_task_hold(struct fnx_task_runtime *rt, uint64_t task)
{
	if (!task || task >= rt->next_id || !fnx_task_ref(rt, task))
		return -ESTALE;
	rt->held[task & rt->consumed_mask]++;
	return 0;
}

void fnx_task_drop(struct fnx_task_runtime *rt, uint64_t task)
{
	rt->held[task & rt->consumed_mask]--;
	fnx_task_unref(&rt->self, task);
}
