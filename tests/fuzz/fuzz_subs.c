/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One who owns `.subs`, the memory that every subscriber can write: any bytes, at any moment,
 * between two accesses of the publisher to shared memory. The input is a list of steps: calls of
 * the publisher, and words to be written some accesses later.
 *
 * The publisher may not fail an assert, leave its memory, take more than a bounded number of
 * accesses per call, loan a slot that a frame still has, or lose one for good. (A drop publisher
 * may not be made to wait either.)
 *
 * The topic is made once. Each access that changes it is written down and taken back after the
 * execution, so that an execution costs microseconds and depends on its input alone. Bells and
 * presence are played: what they answer is in the input too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/segment.h"
#include "tests/fuzz/fuzz_topic.h"
#include "tests/support/shared_access.h"

enum {
	N_WORLDS = 4,
	ARENA_SIZE = 1 << 17,
	UNDO_MAX = 1 << 20,
	PENDING_MAX = 32,
	ACCESSES_PER_CALL = 300000,
	STEPS_MAX = 64,
};

struct undo {
	volatile void *at;
	uint64_t value;
	uint32_t size;
};

struct scribble {
	uint64_t due; /* access before which it is made */
	_Atomic uint64_t *word;
	uint64_t value;
};

struct world {
	struct fnx_bus bus;
	struct fnx_topic_config config;
	struct fnx_mapping map;
	struct fnx_publisher *pub;
	size_t arena_used;
	unsigned char *arena, *arena_as_made;
};

static struct world worlds[N_WORLDS];
static struct world *world; /* in use */
static size_t arena_used;
static int arena_on;

static struct undo undos[UNDO_MAX];
static size_t n_undos;
static uint64_t n_accesses, access_limit, next_due;
static struct scribble pending[PENDING_MAX];
static unsigned n_pending;
static unsigned n_pinned_used; /* entries of the pinned table that were ever written */
static uint64_t answers; /* bits that bells and presence answer with */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Shared memory ---------------------------------------------------------------------- */

static void remember(volatile void *at, size_t size)
{
	if (!access_limit)
		return;
	must(n_undos < UNDO_MAX);
	undos[n_undos++] = (struct undo){at, shared_raw_load(at, size), (uint32_t)size};
}

static void take_back(void)
{
	while (n_undos > 0) {
		const struct undo *undo = &undos[--n_undos];

		shared_raw_store(undo->at, undo->size, undo->value);
	}
}

static void write_pending(void)
{
	unsigned kept = 0;

	next_due = UINT64_MAX;
	for (unsigned i = 0; i < n_pending; i++) {
		struct scribble *s = &pending[i];

		if (s->due <= n_accesses) {
			remember(s->word, 8);
			shared_raw_store(s->word, 8, s->value);
			continue;
		}
		if (s->due < next_due)
			next_due = s->due;
		pending[kept++] = *s;
	}
	n_pending = kept;
}

static void access_memory(const volatile void *at, size_t size)
{
	uintptr_t address = (uintptr_t)at, segment, subs;

	if (!access_limit)
		return;
	segment = (uintptr_t)world->map.segment;
	subs = (uintptr_t)world->map.subs;
	must((address >= segment && address + size <= segment + world->map.segment_size) ||
		(address >= subs && address + size <= subs + world->map.subs_size));
	must(++n_accesses < access_limit);
	if (n_accesses >= next_due)
		write_pending();
}

uint64_t shared_load(const volatile void *at, size_t size, int order)
{
	(void)order;
	access_memory(at, size);
	return shared_raw_load(at, size);
}

void shared_store(volatile void *at, size_t size, uint64_t value, int order)
{
	(void)order;
	ptrdiff_t pinned = (volatile char *)at - (volatile char *)world->map.segment -
		(ptrdiff_t)offsetof(struct fnx_segment, pinned);

	access_memory(at, size);
	if (pinned >= 0 && pinned < (ptrdiff_t)sizeof(world->map.segment->pinned) &&
		(size_t)pinned / sizeof(struct fnx_pinned) >= n_pinned_used)
		n_pinned_used = (unsigned)((size_t)pinned / sizeof(struct fnx_pinned)) + 1;
	remember(at, size);
	shared_raw_store(at, size, value);
}

uint64_t shared_exchange(volatile void *at, size_t size, uint64_t value, int order)
{
	uint64_t before = shared_load(at, size, order);

	remember(at, size);
	shared_raw_store(at, size, value);
	return before;
}

uint64_t shared_add(volatile void *at, size_t size, uint64_t value, int order)
{
	uint64_t before = shared_load(at, size, order);

	remember(at, size);
	shared_raw_store(at, size, before + value);
	return before;
}

uint64_t shared_or(volatile void *at, size_t size, uint64_t bits, int order)
{
	uint64_t before = shared_load(at, size, order);

	remember(at, size);
	shared_raw_store(at, size, before | bits);
	return before;
}

uint64_t shared_and(volatile void *at, size_t size, uint64_t bits, int order)
{
	uint64_t before = shared_load(at, size, order);

	remember(at, size);
	shared_raw_store(at, size, before & bits);
	return before;
}

int shared_compare_exchange(volatile void *at, size_t size, uint64_t expected, uint64_t value,
	int order, uint64_t *ret_found)
{
	uint64_t before = shared_load(at, size, order);

	*ret_found = before;
	if (before != expected)
		return 0;
	remember(at, size);
	shared_raw_store(at, size, value);
	return 1;
}

void shared_fence(int order)
{
	(void)order;
}

/* What the publisher stands on, played ----------------------------------------------- */

void *__real_calloc(size_t n, size_t size);
void __real_free(void *memory);
int __real_fnx_mapping_create(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_mapping *ret);
void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *memory);
int __wrap_fnx_mapping_create(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_mapping *ret);
int __wrap_fnx_mapping_open(
	const struct fnx_bus *bus, const char *topic, int writable, struct fnx_mapping *ret);
void __wrap_fnx_mapping_close(struct fnx_mapping *mapping);
int __wrap_fnx_presence_check(const struct fnx_bus *bus, const char *node);
int __wrap_fnx_ringer_open(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	int pid, struct fnx_ringer *ret);
int __wrap_fnx_ringer_ring(struct fnx_ringer *ringer);
void __wrap_fnx_ringer_close(struct fnx_ringer *ringer);

static int is_ours(const void *memory)
{
	const unsigned char *at = memory;

	return world && at >= world->arena && at < world->arena + ARENA_SIZE;
}

void *__wrap_calloc(size_t n, size_t size)
{
	size_t rounded = (n * size + 63) & ~(size_t)63;
	void *memory;

	if (!arena_on)
		return __real_calloc(n, size);
	must(arena_used + rounded <= ARENA_SIZE);
	memory = world->arena + arena_used;
	memset(memory, 0, rounded);
	arena_used += rounded;
	return memory;
}

void __wrap_free(void *memory)
{
	if (!is_ours(memory))
		__real_free(memory);
}

int __wrap_fnx_mapping_create(
	const struct fnx_bus *bus, const struct fnx_topic_config *config, struct fnx_mapping *ret)
{
	/* A topic that was well must never be given up for what stands in `.subs`. */
	must(access_limit == 0);
	must(__real_fnx_mapping_create(bus, config, ret) == 0);
	world->map = *ret;
	return 0;
}

int __wrap_fnx_mapping_open(
	const struct fnx_bus *bus, const char *topic, int writable, struct fnx_mapping *ret)
{
	(void)bus, (void)topic, (void)writable;
	if (!world->map.segment)
		return -ENOENT;
	*ret = world->map;
	return 0;
}

void __wrap_fnx_mapping_close(struct fnx_mapping *mapping)
{
	(void)mapping;
}

static unsigned answer(void)
{
	answers = answers >> 2 | answers << 62;
	return answers & 3;
}

int __wrap_fnx_presence_check(const struct fnx_bus *bus, const char *node)
{
	static const int said[] = {0, 1, 0, -EACCES};

	(void)bus;
	must(fnx_name_valid(node));
	return said[answer()];
}

int __wrap_fnx_ringer_open(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	int pid, struct fnx_ringer *ret)
{
	(void)bus, (void)form, (void)pid;
	must(fnx_name_valid(node));
	if (answer() == 0)
		return -ENOENT;
	ret->ring = __wrap_fnx_ringer_ring;
	return 0;
}

int __wrap_fnx_ringer_ring(struct fnx_ringer *ringer)
{
	must(fnx_ringer_is_open(ringer));
	return answer() ? 0 : -EPIPE;
}

void __wrap_fnx_ringer_close(struct fnx_ringer *ringer)
{
	ringer->ring = NULL;
}

/* Worlds ----------------------------------------------------------------------------- */

static void make_world(unsigned i)
{
	char directory[64];
	const struct fnx_topic_config config = {.name = "topic",
		.node = "writer",
		.slot_size = 64,
		.n_slots = i & 2 ? 40 : 4,
		.full = i & 1 ? FNX_FULL_DROP : FNX_FULL_WAIT,
		.grace_ns = 1000,
		.bell = FNX_BELL_FORM_PIPE};

	world = &worlds[i];
	world->config = config;
	world->arena = __real_calloc(2, ARENA_SIZE);
	must(world->arena != NULL);
	world->arena_as_made = world->arena + ARENA_SIZE;
	snprintf(directory, sizeof(directory), "/dev/shm/fuzz-subs-%d-%u", (int)getpid(), i);
	must(fnx_bus_init(&world->bus, "fuzz", directory, directory) == 0);
	must(fnx_bus_create(&world->bus, NULL) == 0);
	arena_on = 1;
	arena_used = 0;
	must(fnx_publisher_open(&world->bus, &world->config, &world->pub) == 0);
	arena_on = 0;
	world->arena_used = arena_used;
	memcpy(world->arena_as_made, world->arena, arena_used);
	/* Only the mapping is needed from here on. */
	must(fnx_bus_remove(&world->bus) == 0);
}

static void enter(unsigned i)
{
	if (!worlds[i].arena)
		make_world(i);
	world = &worlds[i];
	memcpy(world->arena, world->arena_as_made, world->arena_used);
	arena_used = world->arena_used;
	arena_on = 1;
	n_undos = 0;
	n_pending = 0;
	n_accesses = 0;
	n_pinned_used = 0;
	next_due = UINT64_MAX;
	access_limit = ACCESSES_PER_CALL;
}

static void leave(void)
{
	access_limit = 0;
	arena_on = 0;
	take_back();
}

/* Steps ------------------------------------------------------------------------------ */

static uint64_t raw_head(void)
{
	return shared_raw_load(&world->map.segment->head, 8);
}

static const uint64_t names[] = {0x31617461, 0x6e6f, 0x2f2e2e, 0, 0x72657469727764};

/* A number that may do harm: close to what is true, or any. */
static uint64_t take_value(struct bytes *r)
{
	unsigned kind = take(r);

	switch (kind % 8) {
	case 0:
		return kind >> 3;
	case 1:
		return UINT64_MAX - (kind >> 3);
	case 2:
		return take_u64(r);
	case 3:
		return FNX_RECORD_ACTIVE | (uint64_t)take(r) << 8 | (uint64_t)(1 + kind % 3) << 32;
	case 4:
		return names[(kind >> 3) % 5];
	case 5:
		return shared_raw_load(&world->map.segment->released, 8) + (kind >> 3) - 16;
	default:
		return raw_head() + (kind >> 3) - 28;
	}
}

static void plan_scribble(struct bytes *r)
{
	unsigned where = take(r), when = take(r), n;
	size_t word;

	/* Few records, so that they come to bear upon each other, or all of them. */
	if (where >= 0xf0)
		word = offsetof(struct fnx_subs, joins) / 8 * (1 + (where & 1));
	else if (where >= 0xe0)
		word = take_u64(r) % (sizeof(struct fnx_subs) / 8);
	else
		word = (FNX_SUBS_HEADER_SIZE + where % 7 * sizeof(struct fnx_record)) / 8 +
			(where / 7) % 32;
	n = where % 16 == 15 ? 1 + take(r) % 8 : 1;
	for (unsigned i = 0; i < n && n_pending < PENDING_MAX; i++, word++) {
		if (word >= sizeof(struct fnx_subs) / 8)
			break;
		pending[n_pending++] =
			(struct scribble){n_accesses + when % 128 * (1 + when / 128 * 8),
				(_Atomic uint64_t *)(void *)world->map.subs + word, take_value(r)};
	}
	write_pending();
}

/* The slot that was loaned belongs to nobody else. */
static void check_loan(const void *payload)
{
	const struct fnx_mapping *map = &world->map;
	size_t offset = (size_t)((const unsigned char *)payload - map->pool);
	uint64_t slot = offset / map->slot_size;

	must((const unsigned char *)payload >= map->pool && offset % map->slot_size == 0 &&
		slot < map->n_slots);
	for (uint64_t seq = shared_raw_load(&map->segment->released, 8); seq < raw_head(); seq++)
		must(shared_raw_load(&fnx_mapping_entry(map, seq)->slot, 4) != slot);
	for (unsigned i = 0; i < n_pinned_used; i++)
		must(!shared_raw_load(&map->segment->pinned[i].seq_plus_1, 8) ||
			shared_raw_load(&map->segment->pinned[i].slot, 8) != slot);
}

static int publish(int64_t now_ns, int abort_it)
{
	const struct fnx_stamp stamp = {.sample_time = now_ns};
	void *payload;
	int r;

	access_limit = n_accesses + ACCESSES_PER_CALL;
	r = fnx_publisher_loan(world->pub, now_ns, &payload);
	must(r == 0 || r == (world->config.full == FNX_FULL_DROP ? -ENOBUFS : -EAGAIN));
	if (r)
		return r;
	check_loan(payload);
	if (abort_it)
		fnx_publisher_abort(world->pub);
	else
		fnx_publisher_publish(world->pub, 64, &stamp);
	return 0;
}

static void succeed(void)
{
	struct fnx_publisher *before = world->pub;

	/* A few: each costs memory until the execution ends. */
	if (arena_used > ARENA_SIZE - 3 * world->arena_used)
		return;
	must(fnx_publisher_open(&world->bus, &world->config, &world->pub) == 0);
	must(fnx_publisher_adopted(world->pub) && world->pub != before);
}

static int64_t step(struct bytes *r, int64_t now_ns)
{
	unsigned op = take(r);

	access_limit = n_accesses + ACCESSES_PER_CALL;
	switch (op % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		for (unsigned n = 1 + op / 16; n > 0; n--)
			(void)publish(now_ns, 0);
		break;
	case 5:
		(void)publish(now_ns, 1);
		break;
	case 6:
		(void)fnx_publisher_room(world->pub, op / 16 * 3, now_ns);
		break;
	case 7:
		if (!fnx_publisher_park(world->pub, 1 + op / 16, now_ns))
			fnx_publisher_unpark(world->pub);
		break;
	case 8:
		fnx_publisher_advance(world->pub, now_ns + op, 0);
		must(fnx_publisher_readers(world->pub) <= FNX_SUBSCRIBERS_MAX);
		break;
	case 9:
		return now_ns + (int64_t)(op / 16) * 20 * 1000 * 1000;
	case 10:
		succeed();
		break;
	default:
		plan_scribble(r);
	}
	return now_ns;
}

/* Everything that was ever written into a record becomes 0. */
static void wipe_records(void)
{
	uintptr_t first = (uintptr_t)world->map.subs->records;

	for (size_t i = 0, n = n_undos; i < n; i++) {
		const struct undo *undo = &undos[i];
		uintptr_t at = (uintptr_t)undo->at;

		if (at < first || at >= first + sizeof(world->map.subs->records))
			continue;
		remember(undo->at, undo->size);
		shared_raw_store(undo->at, undo->size, 0);
	}
}

/* Whoever wrote there is gone: every slot comes free again. */
static void expect_all_slots(int64_t now_ns)
{
	const struct fnx_mapping *map = &world->map;

	access_limit = n_accesses + 4 * ACCESSES_PER_CALL;
	n_pending = 0;
	next_due = UINT64_MAX;
	(void)fnx_publisher_readers(world->pub);
	wipe_records();
	remember(&map->subs->joins, 8);
	shared_raw_store(&map->subs->joins, 8, shared_raw_load(&map->subs->joins, 8) + 1);
	if (world->config.full == FNX_FULL_WAIT)
		must(fnx_publisher_room(world->pub, world->config.n_slots, now_ns) == 1);
	for (unsigned i = 0; i < world->config.n_slots + 1; i++)
		must(publish(now_ns, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes r = {data, data + size};
	struct fnx_publisher *as_made;
	int64_t now_ns = 1;

	enter(take(&r) % N_WORLDS);
	as_made = world->pub;
	answers = take_u64(&r);
	for (unsigned i = 0; i < STEPS_MAX && r.at < r.end; i++)
		now_ns = step(&r, now_ns);
	expect_all_slots(now_ns);
	leave();
	world->pub = as_made;
	return 0;
}
