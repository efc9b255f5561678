/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/accesses/fibers.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/sim/accesses/switch.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size) \
	((void)(save), (void)(bottom), (void)(size))
#define __sanitizer_finish_switch_fiber(save, bottom, size) \
	((void)(save), (void)(bottom), (void)(size))
#endif

enum {
	STACK_SIZE = 256 * 1024,
	BUFFER_MAX = 24,
	POSSESSIONS_MAX = 256,
	AWAY_MAX = 700, /* accesses of others: some frames, or a ledger that goes round */
	NOBODY = -1,
};

struct store {
	volatile void *at;
	uint64_t value;
	size_t size;
	uint64_t era; /* of the fiber, raised by each release fence */
	int release;
};

struct possession {
	enum {
		NOTHING,
		MEMORY,
		MAPPING,
		DESCRIPTOR
	} kind;
	void *at;
	size_t size;
	int fd;
};

struct fiber {
	enum fiber_state state;
	struct place place;
	void *stack;
	void (*body)(unsigned id);
	uint64_t steps, era;
	uint64_t away_until; /* step */
	int rung;
	unsigned n_stores;
	struct store stores[BUFFER_MAX];
	struct possession possessions[POSSESSIONS_MAX];
};

static struct fiber fibers[FIBERS_MAX];
static struct fibers_config config;
static struct check_random *chance;
static struct place scheduler;
static const void *scheduler_stack;
static size_t scheduler_stack_size;
static int running = NOBODY;
static uint64_t n_steps;

void (*fibers_watch)(const volatile void *at, size_t size, uint64_t value);

/* Stores ----------------------------------------------------------------------------- */

/* 1: store `i` may become visible before those in front of it. */
static int may_overtake(const struct fiber *f, unsigned i)
{
	const struct store *store = &f->stores[i];

	for (unsigned k = 0; k < i; k++) {
		const struct store *before = &f->stores[k];

		if (before->at == store->at || store->release || before->era != store->era)
			return 0;
	}
	return 1;
}

static void make_visible(struct fiber *f, unsigned i)
{
	const struct store *store = &f->stores[i];

	shared_raw_store(store->at, store->size, store->value);
	f->n_stores--;
	memmove(&f->stores[i], &f->stores[i + 1], (f->n_stores - i) * sizeof(f->stores[0]));
}

static void drain_one(struct fiber *f)
{
	unsigned i = (unsigned)check_random_below(chance, f->n_stores);

	make_visible(f, may_overtake(f, i) ? i : 0);
}

static void drain(struct fiber *f)
{
	while (f->n_stores > 0)
		make_visible(f, 0);
}

static const struct store *find_store(const struct fiber *f, const volatile void *at)
{
	for (unsigned i = f->n_stores; i-- > 0;)
		if (f->stores[i].at == at)
			return &f->stores[i];
	return NULL;
}

void fibers_drain(void)
{
	for (unsigned i = 0; i < FIBERS_MAX; i++)
		drain(&fibers[i]);
}

/* Accesses --------------------------------------------------------------------------- */

uint64_t shared_load(const volatile void *at, size_t size, int order)
{
	const struct store *store;

	(void)order;
	fiber_step();
	store = running == NOBODY ? NULL : find_store(&fibers[running], at);
	return store ? store->value : shared_raw_load(at, size);
}

void shared_store(volatile void *at, size_t size, uint64_t value, int order)
{
	struct fiber *f;

	fiber_step();
	if (fibers_watch && running != NOBODY)
		fibers_watch(at, size, value);
	if (running == NOBODY || order == memory_order_seq_cst) {
		if (running != NOBODY)
			drain(&fibers[running]);
		shared_raw_store(at, size, value);
		return;
	}
	f = &fibers[running];
	if (f->n_stores == BUFFER_MAX)
		make_visible(f, 0);
	f->stores[f->n_stores++] =
		(struct store){at, value, size, f->era, order == memory_order_release};
}

static void begin_exchange(const volatile void *at, int order)
{
	fiber_step();
	if (running != NOBODY &&
		(order != memory_order_relaxed || find_store(&fibers[running], at)))
		drain(&fibers[running]);
}

uint64_t shared_exchange(volatile void *at, size_t size, uint64_t value, int order)
{
	uint64_t before;

	begin_exchange(at, order);
	before = shared_raw_load(at, size);
	shared_raw_store(at, size, value);
	return before;
}

uint64_t shared_add(volatile void *at, size_t size, uint64_t value, int order)
{
	uint64_t before;

	begin_exchange(at, order);
	before = shared_raw_load(at, size);
	shared_raw_store(at, size, before + value);
	return before;
}

uint64_t shared_or(volatile void *at, size_t size, uint64_t bits, int order)
{
	uint64_t before;

	begin_exchange(at, order);
	before = shared_raw_load(at, size);
	shared_raw_store(at, size, before | bits);
	return before;
}

uint64_t shared_and(volatile void *at, size_t size, uint64_t bits, int order)
{
	uint64_t before;

	begin_exchange(at, order);
	before = shared_raw_load(at, size);
	shared_raw_store(at, size, before & bits);
	return before;
}

int shared_compare_exchange(volatile void *at, size_t size, uint64_t expected, uint64_t value,
	int order, uint64_t *ret_found)
{
	begin_exchange(at, order);
	*ret_found = shared_raw_load(at, size);
	if (*ret_found != expected)
		return 0;
	shared_raw_store(at, size, value);
	return 1;
}

void shared_fence(int order)
{
	fiber_step();
	if (running == NOBODY)
		return;
	if (order == memory_order_seq_cst)
		drain(&fibers[running]);
	else if (order != memory_order_acquire)
		fibers[running].era++;
}

/* Possessions ------------------------------------------------------------------------ */

void *__real_calloc(size_t n, size_t size);
void __real_free(void *memory);
int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *memory);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

static void own(struct possession what)
{
	if (running == NOBODY)
		return;
	for (unsigned i = 0; i < POSSESSIONS_MAX; i++)
		if (fibers[running].possessions[i].kind == NOTHING) {
			fibers[running].possessions[i] = what;
			return;
		}
	fail_msg("a fiber owns too much: something leaks");
}

/* Whoever it belongs to: fibers end, and others clean up behind them. */
static void disown(int kind, const void *at, int fd)
{
	for (unsigned k = 0; k < FIBERS_MAX; k++)
		for (unsigned i = 0; i < POSSESSIONS_MAX; i++) {
			struct possession *p = &fibers[k].possessions[i];

			if ((int)p->kind == kind && p->at == at && p->fd == fd) {
				p->kind = NOTHING;
				return;
			}
		}
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *memory = __real_calloc(n, size);

	if (memory)
		own((struct possession){.kind = MEMORY, .at = memory});
	return memory;
}

void __wrap_free(void *memory)
{
	if (memory)
		disown(MEMORY, memory, 0);
	__real_free(memory);
}

int __wrap_open(const char *path, int flags, ...)
{
	int fd = __real_open(path, flags, 0660);

	if (fd >= 0)
		own((struct possession){.kind = DESCRIPTOR, .fd = fd});
	return fd;
}

int __wrap_close(int fd)
{
	disown(DESCRIPTOR, NULL, fd);
	return __real_close(fd);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	void *memory = __real_mmap(at, size, protection, flags, fd, offset);

	if (memory != MAP_FAILED)
		own((struct possession){.kind = MAPPING, .at = memory, .size = size});
	return memory;
}

int __wrap_munmap(void *at, size_t size)
{
	/* A fiber that has ended may have left it to the scheduler. */
	if (running != NOBODY)
		drain(&fibers[running]);
	else
		fibers_drain();
	disown(MAPPING, at, 0);
	return __real_munmap(at, size);
}

int __wrap_rename(const char *from, const char *to)
{
	/* Whoever finds the name finds what was stored before: the kernel's locks see to that. */
	fiber_step();
	if (running != NOBODY)
		drain(&fibers[running]);
	return __real_rename(from, to);
}

static void reap(struct fiber *f)
{
	for (unsigned i = 0; i < POSSESSIONS_MAX; i++) {
		struct possession p = f->possessions[i];

		f->possessions[i].kind = NOTHING;
		if (p.kind == MEMORY)
			__real_free(p.at);
		else if (p.kind == MAPPING)
			__real_munmap(p.at, p.size);
		else if (p.kind == DESCRIPTOR)
			__real_close(p.fd);
	}
}

/* Turns ------------------------------------------------------------------------------ */

static void back_to_scheduler(void)
{
	struct fiber *f = &fibers[running];
	void *fake_stack = NULL;

	__sanitizer_start_switch_fiber(
		f->state == FIBER_NONE ? NULL : &fake_stack, scheduler_stack, scheduler_stack_size);
	place_switch(&f->place, &scheduler);
	__sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack, &scheduler_stack_size);
}

static void live(void)
{
	unsigned id = (unsigned)running;

	__sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_size);
	fibers[id].body(id);
	drain(&fibers[id]);
	fibers[id].state = FIBER_NONE;
	back_to_scheduler();
}

void fibers_reset(struct check_random *r, const struct fibers_config *c)
{
	chance = r;
	config = *c;
	for (unsigned i = 0; i < FIBERS_MAX; i++) {
		drain(&fibers[i]);
		reap(&fibers[i]);
		fibers[i].state = FIBER_NONE;
		fibers[i].rung = 0;
		fibers[i].away_until = 0;
	}
}

void fiber_start(unsigned id, void (*body)(unsigned id))
{
	struct fiber *f = &fibers[id];

	assert_int_equal(f->state, FIBER_NONE);
	drain(f);
	if (!f->stack)
		f->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->stack != MAP_FAILED);
	f->place = place_at(live, f->stack, STACK_SIZE);
	f->body = body;
	f->steps = 0;
	f->state = FIBER_READY;
}

void fiber_kill(unsigned id)
{
	struct fiber *f = &fibers[id];

	drain(f);
	reap(f);
	f->state = FIBER_NONE;
#ifdef __SANITIZE_ADDRESS__
	/* What its frames had poisoned. */
	munmap(f->stack, STACK_SIZE);
	f->stack = NULL;
#endif
}

enum fiber_state fiber_state(unsigned id)
{
	return fibers[id].state;
}

int fibers_turn(void)
{
	unsigned ready[FIBERS_MAX], n = 0;
	void *fake_stack = NULL;
	struct fiber *f;

	for (unsigned i = 0; i < FIBERS_MAX; i++)
		if (fibers[i].state == FIBER_READY && fibers[i].away_until <= n_steps &&
			((int)i != config.slow || check_random_below(chance, 200) == 0))
			ready[n++] = i;
	/* Nobody waits for one who is away, unless there is nobody else. */
	for (unsigned i = 0; n == 0 && i < FIBERS_MAX; i++)
		if (fibers[i].state == FIBER_READY && fibers[i].away_until > n_steps)
			ready[n++] = i;
	if (n == 0 && config.slow >= 0 && fibers[config.slow].state == FIBER_READY)
		ready[n++] = (unsigned)config.slow;
	if (n == 0)
		return 0;
	running = (int)ready[check_random_below(chance, n)];
	f = &fibers[running];
	__sanitizer_start_switch_fiber(&fake_stack, f->stack, STACK_SIZE);
	place_switch(&scheduler, &f->place);
	__sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
	running = NOBODY;
	return 1;
}

void fiber_step(void)
{
	uint64_t drawn;

	if (running == NOBODY)
		return;
	n_steps++;
	fibers[running].steps++;
	drawn = check_random_u64(chance);
	if ((drawn & 0xffff) % config.drain_one_in == 0) {
		struct fiber *f = &fibers[(drawn >> 16) % FIBERS_MAX];

		if (f->n_stores > 0)
			drain_one(f);
	}
	if ((drawn >> 32) % config.switch_one_in)
		return;
	if (config.away_one_in && check_random_below(chance, config.away_one_in) == 0)
		fibers[running].away_until = n_steps + check_random_below(chance, AWAY_MAX);
	back_to_scheduler();
}

void fiber_sleep(void)
{
	struct fiber *f = &fibers[running];

	/* A system call, but no fence. */
	while (!f->rung) {
		f->state = FIBER_ASLEEP;
		back_to_scheduler();
	}
	f->rung = 0;
}

void fiber_ring(unsigned id)
{
	fibers[id].rung = 1;
	if (fibers[id].state == FIBER_ASLEEP)
		fibers[id].state = FIBER_READY;
}

void fibers_call_back(void)
{
	for (unsigned i = 0; i < FIBERS_MAX; i++)
		fibers[i].away_until = 0;
}

uint64_t fibers_steps(void)
{
	return n_steps;
}

uint64_t fiber_steps(unsigned id)
{
	return fibers[id].steps;
}
