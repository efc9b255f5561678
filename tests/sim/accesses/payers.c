/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/accesses/payers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus/segment.h"
#include "tests/sim/accesses/fibers.h"

enum {
	PAGE = 4096
};

static struct {
	const struct fnx_bus *bus;
	const struct fnx_subs *subs; /* a mapping of our own: what is visible to all */
	int in_call;
	uint64_t released; /* where the last pass ended */
	uint64_t n_passes;
	struct {
		uint32_t state;
		uint64_t cursor;
	} before[FNX_SUBSCRIBERS_MAX];
	char wrong[160];
} payers;

/* Past the calls that belong to fibers. */
static void map(void)
{
	char path[512];
	int fd;

	if (payers.subs)
		return;
	assert_int_equal(
		fnx_bus_path(payers.bus->segment_dir, "topic", ".subs", path, sizeof(path)), 0);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	payers.subs = (const struct fnx_subs *)syscall(
		SYS_mmap, NULL, sizeof(*payers.subs), PROT_READ, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
}

static uint64_t cursor_of(unsigned i)
{
	return shared_raw_load(&payers.subs->records[i].cursor, 8);
}

/* It waits for all frames, and was known before the call as the one it is now. One whose cursor is
 * 0 may still be about to say where it begins. */
static int counts(unsigned i)
{
	const struct fnx_record *record = &payers.subs->records[i];

	return (payers.before[i].state & 0xff) == FNX_RECORD_ACTIVE && payers.before[i].cursor &&
		shared_raw_load(&record->state, 4) == payers.before[i].state &&
		shared_raw_load(&record->policy, 1) == FNX_LOSSLESS;
}

static uint64_t above(uint64_t cursor)
{
	return cursor > payers.released ? cursor : payers.released;
}

/* The lowest place where it may have been found. A successor may begin a little below. */
static uint64_t lowest_of(unsigned i)
{
	uint64_t now = cursor_of(i);

	return now < payers.before[i].cursor ? now : payers.before[i].cursor;
}

static void look_at_pass(uint64_t limit)
{
	int costs = 0;

	for (unsigned a = 0; a < FNX_SUBSCRIBERS_MAX; a++) {
		if (!counts(a) || cursor_of(a) >= limit)
			continue;
		costs = 1;
		for (unsigned b = 0; b < FNX_SUBSCRIBERS_MAX; b++)
			if (counts(b) && above(cursor_of(b)) < above(lowest_of(a)) &&
				!payers.wrong[0])
				snprintf(payers.wrong, sizeof(payers.wrong),
					"record %u, at %" PRIu64 ", loses what lies below %" PRIu64
					" while record %u is at %" PRIu64,
					a, cursor_of(a), limit, b, cursor_of(b));
	}
	payers.n_passes += (uint64_t)costs;
}

/* `releasing` is told before each pass. Each process has its own mapping of it, on a page. */
void payers_watch(const volatile void *at, size_t size, uint64_t value)
{
	const volatile char *page =
		(const volatile char *)at - offsetof(struct fnx_segment, releasing);

	if (size != 8 || (uintptr_t)page % PAGE || shared_raw_load(page, 8) != FNX_SEGMENT_MAGIC)
		return;
	if (payers.in_call && payers.subs && value > payers.released)
		look_at_pass(value);
	payers.released = value;
}

void payers_begin(const struct fnx_bus *bus)
{
	payers.bus = bus;
	payers.released = payers.n_passes = 0;
	payers.in_call = 0;
	payers.wrong[0] = 0;
}

void payers_begin_call(void)
{
	map();
	for (unsigned i = 0; payers.subs && i < FNX_SUBSCRIBERS_MAX; i++) {
		payers.before[i].state =
			(uint32_t)shared_raw_load(&payers.subs->records[i].state, 4);
		payers.before[i].cursor = cursor_of(i);
	}
	payers.in_call = 1;
}

const char *payers_end_call(void)
{
	payers.in_call = 0;
	return payers.wrong;
}

uint64_t payers_passes(void)
{
	return payers.n_passes;
}

void payers_end(void)
{
	if (payers.subs)
		syscall(SYS_munmap, payers.subs, sizeof(*payers.subs));
	payers.subs = NULL;
}
