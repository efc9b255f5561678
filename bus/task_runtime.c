/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing: sizes are settled, all memory is taken and touched, threads are started. */
#include "bus/task_runtime.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	WINDOW_MAX = 1 << 20,
	DEPS_PER_TASK = 16,
	REGIONS_PER_TASK = 4, /* of the consumed window */
	SPIN_NS = 20000,
};

static const uint64_t heap_max = UINT64_C(1) << 36;

__attribute__((format(printf, 5, 6))) static int object(struct fnx_task_problem *problem,
	const char *what, uint64_t size, uint64_t needed, const char *format, ...)
{
	va_list args;

	problem->ring = what;
	problem->size = size;
	problem->needed = needed;
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	return -EINVAL;
}

static uint64_t power_of_two(uint64_t n)
{
	return n <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(n - 1));
}

/* Sizes
 * -------------------------------------------------------------------------------------------- */

struct sizes {
	uint64_t window, consumed_window; /* tasks */
	uint64_t heap; /* bytes */
	uint64_t n_traced;
};

/* A whole number from the environment, if it is there. */
static int from_environment(const char *name, uint64_t *value, struct fnx_task_problem *problem)
{
	const char *text = getenv(name);
	unsigned long long number;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return object(problem, name, 0, 0, "%s=%.40s: expected a whole number", name, text);
	*value = number;
	return 0;
}

static int check_window(const char *name, uint64_t window, struct fnx_task_problem *problem)
{
	if (window < FNX_TASK_WINDOW_MIN || window > WINDOW_MAX)
		return object(problem, name, window,
			window < FNX_TASK_WINDOW_MIN ? (uint64_t)FNX_TASK_WINDOW_MIN
						     : (uint64_t)WINDOW_MAX,
			"%s is %" PRIu64 "; expected a power of two from %d to %d", name, window,
			FNX_TASK_WINDOW_MIN, WINDOW_MAX);
	if (window & (window - 1))
		return object(problem, name, window, power_of_two(window),
			"%s is %" PRIu64 "; expected a power of two, such as %" PRIu64, name,
			window, power_of_two(window));
	return 0;
}

/* Puts the defaults in. */
static void complete_sizes(struct sizes *sizes, int one_ring)
{
	if (!sizes->window)
		sizes->window = FNX_TASK_WINDOW_DEFAULT;
	if (!sizes->consumed_window)
		sizes->consumed_window = (one_ring ? 1 : 4) * sizes->window;
	if (!sizes->heap)
		sizes->heap = FNX_TASK_HEAP_DEFAULT;
}

static int check_sizes(const struct sizes *sizes, struct fnx_task_problem *problem)
{
	int r = check_window("window", sizes->window, problem);

	if (!r)
		r = check_window("consumed window", sizes->consumed_window, problem);
	if (r)
		return r;
	if (sizes->consumed_window < sizes->window)
		return object(problem, "consumed window", sizes->consumed_window, sizes->window,
			"the consumed window is %" PRIu64
			"; expected no less than the window, %" PRIu64,
			sizes->consumed_window, sizes->window);
	if (sizes->heap > heap_max)
		return object(problem, "heap", sizes->heap, heap_max,
			"the heap is %" PRIu64 " bytes; expected at most %" PRIu64, sizes->heap,
			heap_max);
	if (sizes->n_traced > 1u << 28)
		return object(problem, "trace", sizes->n_traced, 1u << 28,
			"%" PRIu64 " traced events; expected at most %u", sizes->n_traced,
			1u << 28);
	return 0;
}

static struct sizes sizes_of(const struct fnx_task_config *config)
{
	return (struct sizes){.window = config->window,
		.consumed_window = config->consumed_window,
		.heap = config->heap_size,
		.n_traced = config->n_traced};
}

int fnx_task_check_sizes(const struct fnx_task_config *config, struct fnx_task_problem *ret_problem)
{
	struct sizes sizes = sizes_of(config);

	complete_sizes(&sizes, config->one_ring);
	return check_sizes(&sizes, ret_problem);
}

static void put_sizes(const struct sizes *sizes, struct fnx_task_header *header)
{
	header->window = (uint32_t)sizes->window;
	header->consumed_window = (uint32_t)sizes->consumed_window;
	header->heap_size = power_of_two(sizes->heap < FNX_TASK_PAGE ? FNX_TASK_PAGE : sizes->heap);
	header->n_traced = sizes->n_traced ? (uint32_t)power_of_two(sizes->n_traced) : 0;
}

uint64_t fnx_task_file_size(const struct fnx_task_config *config)
{
	struct sizes sizes = sizes_of(config);
	struct fnx_task_header header = {0};

	complete_sizes(&sizes, config->one_ring);
	put_sizes(&sizes, &header);
	fnx_task_layout(&header);
	return header.file_size;
}

static int settle_sizes(const struct fnx_task_config *config, struct fnx_task_header *header,
	struct fnx_task_problem *problem)
{
	struct sizes sizes = sizes_of(config);
	int r;

	r = from_environment("FORNIX_TASK_WINDOW", &sizes.window, problem);
	if (!r)
		r = from_environment(
			"FORNIX_TASK_CONSUMED_WINDOW", &sizes.consumed_window, problem);
	if (!r)
		r = from_environment("FORNIX_TASK_HEAP", &sizes.heap, problem);
	if (r)
		return r;
	complete_sizes(&sizes, config->one_ring);
	r = check_sizes(&sizes, problem);
	if (r)
		return r;
	put_sizes(&sizes, header);
	header->spin_ns = config->spin_ns == 0 ? SPIN_NS : config->spin_ns;
	return 0;
}

/* Kinds and kernels
 * -------------------------------------------------------------------------------- */

static int settle_kinds(const struct fnx_task_config *config, struct fnx_task_header *header,
	struct fnx_task_problem *problem)
{
	unsigned n_threads = 0, n_processes = 0;

	if (config->n_kinds < 1 || config->n_kinds > FNX_TASK_KINDS_MAX)
		return object(problem, "kinds", config->n_kinds, 1,
			"%u worker kinds; expected 1 to %d", config->n_kinds, FNX_TASK_KINDS_MAX);
	for (unsigned i = 0; i < config->n_kinds; i++) {
		const struct fnx_task_kind *kind = &config->kinds[i];

		if (!kind->name || !fnx_name_valid(kind->name))
			return object(problem, "kinds", i, 0, "worker kind %u has no good name", i);
		if (kind->n_processes && !config->bus)
			return object(problem, "kinds", i, 0,
				"processes of kind %.40s need a bus on which to find the runtime",
				kind->name);
		n_threads += kind->n_threads;
		n_processes += kind->n_processes;
		strcpy(header->kinds[i], kind->name);
		header->n_processes[i] = kind->n_processes;
	}
	header->n_kinds = config->n_kinds;
	if (n_threads > FNX_TASK_THREADS_MAX || n_processes > FNX_TASK_PROCESSES_MAX)
		return object(problem, "workers", n_threads, FNX_TASK_THREADS_MAX,
			"%u threads and %u processes; expected at most %d and %d", n_threads,
			n_processes, FNX_TASK_THREADS_MAX, FNX_TASK_PROCESSES_MAX);
	return 0;
}

static int settle_kernels(const struct fnx_task_config *config, struct fnx_task_header *header,
	struct fnx_task_problem *problem)
{
	if (config->n_kernels < 1 || config->n_kernels > FNX_TASK_KERNELS_MAX)
		return object(problem, "kernels", config->n_kernels, 1,
			"%u kernels; expected 1 to %d", config->n_kernels, FNX_TASK_KERNELS_MAX);
	for (unsigned i = 0; i < config->n_kernels; i++) {
		const struct fnx_task_kernel *kernel = &config->kernels[i];

		if (!kernel->name || !fnx_name_valid(kernel->name) ||
			kernel->kind >= config->n_kinds)
			return object(problem, "kernels", i, 0,
				"kernel %u has no good name, or a kind that is not there", i);
		/* Without processes the submitter may step through a kind that has no threads. */
		if (!kernel->run &&
			(config->kinds[kernel->kind].n_threads ||
				!config->kinds[kernel->kind].n_processes))
			return object(problem, "kernels", i, 0,
				"kernel %.40s has no function, but threads of kind %.40s would run "
				"it",
				kernel->name, config->kinds[kernel->kind].name);
		if (kernel->may_hang && config->kinds[kernel->kind].n_processes)
			return object(problem, "kernels", i, 0,
				"kernel %.40s may hang: its kind can have no processes",
				kernel->name);
		strcpy(header->kernels[i].name, kernel->name);
		header->kernels[i].kind = kernel->kind;
	}
	header->n_kernels = config->n_kernels;
	return 0;
}

/* Memory
 * ------------------------------------------------------------------------------------------- */

/* Hands out pieces of one zeroed piece of memory; with `memory` NULL it only counts. */
struct pieces {
	unsigned char *memory;
	size_t used;
};

static void *piece(struct pieces *pieces, uint64_t n, size_t size)
{
	void *at = pieces->memory ? pieces->memory + pieces->used : NULL;

	pieces->used += (n * size + 127) & ~(size_t)127;
	return at;
}

static void hand_out(struct fnx_task_runtime *rt, struct pieces *pieces)
{
	uint64_t window = rt->mask + 1, consumed = rt->consumed_mask + 1;
	uint64_t n_deps = rt->dep_mask + 1, n_regions = rt->map.mask + 1;

	rt->deps = piece(pieces, n_deps, sizeof(*rt->deps));
	rt->threads = piece(pieces, rt->n_threads ? rt->n_threads : 1, sizeof(*rt->threads));
	rt->box_states = piece(pieces, FNX_TASK_PROCESSES_MAX, sizeof(*rt->box_states));
	rt->dep_ends = piece(pieces, window, sizeof(uint64_t));
	rt->heap_ends = piece(pieces, consumed, sizeof(uint64_t));
	rt->map_ends = piece(pieces, consumed, sizeof(uint64_t));
	rt->marks = piece(pieces, consumed, sizeof(uint64_t));
	rt->held = piece(pieces, consumed, sizeof(uint32_t));
	rt->producers = piece(pieces, consumed, sizeof(*rt->producers));
	rt->scoped = piece(pieces, consumed, sizeof(uint64_t));
	rt->map.entries = piece(pieces, n_regions, sizeof(*rt->map.entries));
	rt->map.boxes = piece(pieces, n_regions, sizeof(*rt->map.boxes));
	rt->map.buckets = piece(pieces, rt->map.bucket_mask + 1, sizeof(uint64_t));
	for (unsigned i = 0; i < rt->n_kinds; i++) {
		struct fnx_task_queue *queue = &rt->kinds[i].queue;

		/* Three parts of each task in the window, and room for a popper that is slow. */
		queue->mask = 4 * window - 1;
		queue->cells = piece(pieces, 4 * window, sizeof(*queue->cells));
		for (uint64_t k = 0; queue->cells && k < 4 * window; k++)
			atomic_init(&queue->cells[k].seq, k);
	}
}

static int take_memory(struct fnx_task_runtime *rt)
{
	uint64_t consumed = rt->consumed_mask + 1;
	struct pieces pieces = {NULL, 0};

	rt->dep_mask = power_of_two(DEPS_PER_TASK * (rt->mask + 1) > 2 * consumed
				       ? DEPS_PER_TASK * (rt->mask + 1)
				       : 2 * consumed) -
		1;
	rt->map.mask = REGIONS_PER_TASK * consumed - 1;
	rt->map.bucket_mask = consumed - 1;
	hand_out(rt, &pieces);
	rt->memory_size = pieces.used;
	rt->memory = mmap(NULL, pieces.used, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (rt->memory == MAP_FAILED) {
		rt->memory = NULL;
		return -ENOMEM;
	}
	pieces = (struct pieces){rt->memory, 0};
	hand_out(rt, &pieces);
	return 0;
}

static void adopt(struct fnx_task_runtime *rt, const struct fnx_task_mapping *map)
{
	struct fnx_task_header *header = (void *)map->base;

	rt->header = header;
	rt->base = map->base;
	rt->size = map->size;
	rt->fd = map->fd;
	rt->slots = (void *)(map->base + header->slots_offset);
	rt->main = map->base + header->main_offset;
	rt->entries = (void *)(map->base + header->entries_offset);
	rt->trace = header->n_traced ? (void *)(map->base + header->trace_offset) : NULL;
	rt->boxes = (void *)(map->base + header->boxes_offset);
	rt->heap = map->base + header->heap_offset;
	rt->mask = header->window - 1;
	rt->consumed_mask = header->consumed_window - 1;
	rt->trace_mask = header->n_traced - 1;
	rt->heap_size = header->heap_size;
	rt->spin_ns = header->spin_ns;
	rt->next_id = 1;
	rt->n_kinds = header->n_kinds;
	rt->n_kernels = header->n_kernels;
}

static void settle_runtime(struct fnx_task_runtime *rt, const struct fnx_task_config *config)
{
	rt->one_ring = config->one_ring;
	for (unsigned i = 0; i < rt->n_kernels; i++) {
		rt->kernels[i].run = config->kernels[i].run;
		rt->kernels[i].context = config->kernels[i].context;
		rt->kernels[i].kind = config->kernels[i].kind;
		rt->kernels[i].may_hang = config->kernels[i].may_hang;
	}
	for (unsigned i = 0; i < rt->n_kinds; i++) {
		rt->kinds[i].n_threads = config->kinds[i].n_threads;
		rt->kinds[i].n_processes = config->kinds[i].n_processes;
		rt->n_threads += config->kinds[i].n_threads;
	}
	rt->self = (struct fnx_task_self){.rt = rt, .kind = FNX_TASK_KINDS_MAX};
	rt->steward = (struct fnx_task_self){.rt = rt, .row = 1, .kind = FNX_TASK_KINDS_MAX};
}

static void settle_rings(struct fnx_task_runtime *rt)
{
	rt->rings[FNX_TASK_RING_MAIN].size = rt->mask + 1;
	rt->rings[FNX_TASK_RING_CONSUMED].size = rt->consumed_mask + 1;
	rt->rings[FNX_TASK_RING_HEAP].size = rt->heap_size;
	rt->rings[FNX_TASK_RING_DEPENDENCIES].size = rt->dep_mask + 1;
	rt->rings[FNX_TASK_RING_REGIONS].size = rt->map.mask + 1;
}

/* Threads
 * ------------------------------------------------------------------------------------------ */

/* Signals are for the submitter's process, not for its workers. */
static int start_thread(struct fnx_task_self *self, size_t stack_size)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	if (stack_size)
		r = pthread_attr_setstacksize(&attributes, stack_size);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!r)
		r = pthread_create(&self->thread, &attributes, fnx_task_thread, self);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -r;
}

/* A thread's first turn may be a long time off, and takes memory. */
static void await_threads(struct fnx_task_runtime *rt, uint32_t n)
{
	uint32_t n_begun;

	while ((n_begun = atomic_load_explicit(&rt->n_begun, memory_order_acquire)) < n)
		fnx_futex_wait(&rt->n_begun, n_begun, -1, 0);
}

static int start_threads(struct fnx_task_runtime *rt, size_t stack_size)
{
	unsigned n_processes = 0;
	int r;

	rt->n_threads = 0;
	for (unsigned kind = 0; kind < rt->n_kinds; kind++) {
		n_processes += rt->kinds[kind].n_processes;
		for (unsigned i = 0; i < rt->kinds[kind].n_threads; i++) {
			struct fnx_task_self *self = &rt->threads[rt->n_threads];

			self->rt = rt;
			self->row = FNX_TRACE_ROW_THREADS + rt->n_threads;
			self->kind = kind;
			r = start_thread(self, stack_size);
			if (r)
				return r;
			rt->n_threads++;
		}
	}
	if (n_processes) {
		r = pthread_create(&rt->steward.thread, NULL, fnx_task_steward, &rt->steward);
		if (r)
			return -r;
		rt->has_steward = 1;
	}
	await_threads(rt, rt->n_threads + (n_processes != 0));
	return 0;
}

static void wake_processes(struct fnx_task_runtime *rt)
{
	for (unsigned i = 0; i < FNX_TASK_PROCESSES_MAX; i++) {
		atomic_fetch_add_explicit(&rt->boxes->boxes[i].bell, 1, memory_order_seq_cst);
		fnx_futex_wake(&rt->boxes->boxes[i].bell, 1, 1);
	}
}

/* 1: it has not come back by then, and is on its own. */
static int leave(struct fnx_task_self *self, int64_t until_ns)
{
	while (!atomic_load_explicit(&self->has_ended, memory_order_acquire)) {
		int64_t left_ns = until_ns - fnx_task_now_ns();

		if (left_ns <= 0) {
			pthread_detach(self->thread);
			return 1;
		}
		fnx_futex_wait(&self->has_ended, 0, left_ns, 0);
	}
	pthread_join(self->thread, NULL);
	return 0;
}

/* Negative time-out: as long as it takes. Returns how many threads were left. */
static unsigned stop_threads(struct fnx_task_runtime *rt, int64_t timeout_ns)
{
	int64_t until_ns = timeout_ns < 0 ? INT64_MAX : fnx_task_now_ns() + timeout_ns;
	unsigned n_left = 0;

	atomic_store_explicit(&rt->stop, 1, memory_order_seq_cst);
	for (unsigned i = 0; i < rt->n_kinds; i++)
		fnx_task_queue_wake_all(&rt->kinds[i].queue);
	for (unsigned i = 0; i < rt->n_threads; i++)
		n_left += (unsigned)leave(&rt->threads[i], until_ns);
	atomic_store_explicit(&rt->header->closed, 1, memory_order_release);
	if (!rt->has_steward)
		return n_left;
	atomic_fetch_add_explicit(&rt->boxes->bell, 1, memory_order_seq_cst);
	fnx_futex_wake(&rt->boxes->bell, 1, 1);
	pthread_join(rt->steward.thread, NULL);
	wake_processes(rt);
	return n_left;
}

/* Opening and closing
 * ------------------------------------------------------------------------------ */

static int settle(const struct fnx_task_config *config, struct fnx_task_header *header,
	struct fnx_task_problem *problem)
{
	int r = settle_sizes(config, header, problem);

	if (!r)
		r = settle_kinds(config, header, problem);
	if (!r)
		r = settle_kernels(config, header, problem);
	if (r)
		return r;
	if (config->bus && (!config->name || !fnx_name_valid(config->name)))
		return object(problem, "name", 0, 0, "the runtime has no good name");
	header->abi = FNX_TASK_ABI;
	header->endian = FNX_TASK_ENDIAN;
	header->owner_pid = getpid();
	atomic_init(&header->next_id, 1);
	fnx_task_layout(header);
	return 0;
}

int fnx_task_runtime_open(const struct fnx_task_config *config,
	struct fnx_task_problem *ret_problem, struct fnx_task_runtime **ret_rt)
{
	struct fnx_task_header header = {.magic = 0};
	struct fnx_task_problem problem = {0};
	struct fnx_task_mapping map;
	struct fnx_task_runtime *rt;
	int r = settle(config, &header, ret_problem ? ret_problem : &problem);

	if (r)
		return r;
	rt = aligned_alloc(64, (sizeof(*rt) + 63) & ~(size_t)63);
	if (!rt)
		return -ENOMEM;
	memset(rt, 0, sizeof(*rt));
	r = fnx_task_map_create(
		config->bus, config->name, &header, &map, rt->path, sizeof(rt->path));
	if (r) {
		free(rt);
		return r;
	}
	adopt(rt, &map);
	settle_runtime(rt, config);
	r = take_memory(rt);
	settle_rings(rt);
	if (!r)
		r = start_threads(rt, config->stack_size);
	if (r) {
		fnx_task_runtime_close(rt);
		return r;
	}
	*ret_rt = rt;
	return 0;
}

int fnx_task_runtime_close_within(struct fnx_task_runtime *rt, int64_t timeout_ns)
{
	struct fnx_task_mapping map;
	unsigned n_left;

	if (!rt)
		return 0;
	n_left = rt->memory ? stop_threads(rt, timeout_ns) : 0;
	if (rt->path[0])
		unlink(rt->path);
	if (n_left)
		return -ETIMEDOUT;
	if (rt->memory)
		munmap(rt->memory, rt->memory_size);
	map = (struct fnx_task_mapping){.base = rt->base, .size = rt->size, .fd = rt->fd};
	fnx_task_map_close(&map);
	free(rt);
	return 0;
}

void fnx_task_runtime_close(struct fnx_task_runtime *rt)
{
	(void)!fnx_task_runtime_close_within(rt, -1);
}

/* Figures
 * ------------------------------------------------------------------------------------------ */

int fnx_task_describe(const struct fnx_task_runtime *rt, char *ret_text, size_t size)
{
	return snprintf(ret_text, size,
		"tasks: window %" PRIu64 ", consumed window %" PRIu64 ", heap %" PRIu64
		" bytes, %" PRIu64 " dependencies, %" PRIu64 " regions, %u threads; %.1f MiB",
		rt->mask + 1, rt->consumed_mask + 1, rt->heap_size, rt->dep_mask + 1,
		rt->map.mask + 1, rt->n_threads,
		(double)(rt->size + rt->memory_size) / (1024.0 * 1024.0));
}

void fnx_task_stats(struct fnx_task_runtime *rt, struct fnx_task_stats *ret_stats)
{
	struct fnx_task_stats stats = {.n_submitted = rt->next_id - 1};

	fnx_task_look(rt);
	fnx_task_note_use(rt);
	memcpy(stats.rings, rt->rings, sizeof(stats.rings));
	stats.last_released = rt->released;
	stats.last_consumed = rt->consumed;
	stats.n_failed = atomic_load_explicit(&rt->n_failed, memory_order_relaxed);
	stats.n_illegal = atomic_load_explicit(&rt->n_illegal, memory_order_relaxed);
	stats.n_died = atomic_load_explicit(&rt->n_died, memory_order_relaxed);
	stats.n_threads = rt->n_threads;
	stats.n_processes = fnx_task_n_serving(rt);
	for (unsigned i = 0; i < rt->n_threads; i++) {
		stats.n_taken_directly += atomic_load_explicit(
			&rt->threads[i].n_taken_directly, memory_order_relaxed);
		stats.n_slept +=
			atomic_load_explicit(&rt->threads[i].n_slept, memory_order_relaxed);
	}
	*ret_stats = stats;
}

enum fnx_task_state fnx_task_state(const struct fnx_task_runtime *rt, uint64_t task)
{
	uint64_t tag;

	if (!task || task >= atomic_load_explicit(&rt->header->next_id, memory_order_acquire))
		return FNX_TASK_NONE;
	tag = atomic_load_explicit(&fnx_task_entry(rt, task)->tag, memory_order_acquire);
	/* Another has its entry. */
	if (tag >> 3 != task)
		return FNX_TASK_CONSUMED;
	return (enum fnx_task_state)(tag & 7);
}

int fnx_task_result(const struct fnx_task_runtime *rt, uint64_t task, uint64_t *ret_cause)
{
	const struct fnx_task_entry *entry = fnx_task_entry(rt, task);
	enum fnx_task_state state = fnx_task_state(rt, task);
	uint64_t cause;
	int error;

	if (state < FNX_TASK_COMPLETED)
		return 1;
	error = atomic_load_explicit(&entry->error, memory_order_acquire);
	cause = atomic_load_explicit(&entry->cause, memory_order_acquire);
	/* It may have gone while we looked. */
	if (fnx_task_state(rt, task) == FNX_TASK_CONSUMED)
		return -ESTALE;
	if (error && ret_cause)
		*ret_cause = cause;
	return error;
}

const struct fnx_task_problem *fnx_task_problem(const struct fnx_task_runtime *rt)
{
	return &rt->problem;
}
