/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why undo and not two copies: a change costs what it changes, a few hundred bytes per frame,
 * however large the state; and the state is always where it was, so that the arithmetic works in
 * place and knows of nothing but the touch.
 *
 * Why undo and not redo: the writer reads its own changes without looking anywhere.
 *
 * `used` is the one word that tells how much of the log counts. It is raised after a record is
 * whole and before the caller's change, and a commit sets it to 0. So at every instant the
 * committed state is the memory with the first `used` bytes of records undone.
 */
#include "bus/journal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BROKEN UINT64_MAX

static_assert(offsetof(struct fnx_journal_log, size) == 8, "layout");
static_assert(offsetof(struct fnx_journal_log, protected_size) == 16, "layout");
static_assert(offsetof(struct fnx_journal_log, used) == 24, "layout");
static_assert(offsetof(struct fnx_journal_log, overflows) == 32, "layout");
static_assert(offsetof(struct fnx_journal_log, records) == FNX_JOURNAL_HEADER_SIZE, "layout");

struct tail {
	uint64_t offset; /* of the bytes in the protected memory */
	uint64_t size;
};
static_assert(sizeof(struct tail) == FNX_JOURNAL_TAIL_SIZE, "layout");

static uint64_t padded(uint64_t size)
{
	return (size + 7) & ~UINT64_C(7);
}

size_t fnx_journal_log_size(size_t n_touches, size_t n_bytes)
{
	/* Each record is padded by 7 bytes at the most. */
	return FNX_JOURNAL_HEADER_SIZE + n_touches * (FNX_JOURNAL_TAIL_SIZE + 8) + padded(n_bytes);
}

static int is_place(const void *log, size_t log_size)
{
	return (uintptr_t)log % 8 == 0 && log_size % 8 == 0 && log_size >= FNX_JOURNAL_HEADER_SIZE;
}

static void attach(
	struct fnx_journal *journal, void *log, size_t log_size, void *memory, size_t size)
{
	*journal = (struct fnx_journal){.log = log,
		.memory = memory,
		.size = size,
		.room = log_size - FNX_JOURNAL_HEADER_SIZE};
}

int fnx_journal_init(struct fnx_journal *ret, void *log, size_t log_size, void *memory, size_t size)
{
	struct fnx_journal_log *header = log;

	if (!is_place(log, log_size))
		return -EINVAL;
	atomic_store_explicit(&header->magic, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	header->size = log_size - FNX_JOURNAL_HEADER_SIZE;
	header->protected_size = size;
	atomic_store_explicit(&header->used, 0, memory_order_relaxed);
	atomic_store_explicit(&header->overflows, 0, memory_order_relaxed);
	atomic_store_explicit(&header->magic, FNX_JOURNAL_MAGIC, memory_order_release);
	attach(ret, log, log_size, memory, size);
	return 0;
}

/* The record that ends at `end`. 0, or -EBADMSG. */
static int read_tail(
	const struct fnx_journal_log *log, uint64_t end, uint64_t size, struct tail *ret)
{
	struct tail tail;

	if (end < sizeof(tail))
		return -EBADMSG;
	memcpy(&tail, log->records + end - sizeof(tail), sizeof(tail));
	if (tail.size > size || tail.offset > size - tail.size ||
		padded(tail.size) > end - sizeof(tail))
		return -EBADMSG;
	*ret = tail;
	return 0;
}

static uint64_t begin_of(uint64_t end, const struct tail *tail)
{
	return end - sizeof(*tail) - padded(tail->size);
}

int fnx_journal_validate(const void *memory, size_t log_size, size_t size)
{
	const struct fnx_journal_log *log = memory;
	struct tail tail;
	uint64_t used;
	int r;

	if (!is_place(memory, log_size))
		return -EBADMSG;
	if (atomic_load_explicit(&log->magic, memory_order_acquire) != FNX_JOURNAL_MAGIC ||
		log->size != log_size - FNX_JOURNAL_HEADER_SIZE || log->protected_size != size)
		return -EBADMSG;
	used = atomic_load_explicit(&log->used, memory_order_acquire);
	if (used == BROKEN)
		return -EOVERFLOW;
	if (used > log_size - FNX_JOURNAL_HEADER_SIZE || used % 8)
		return -EBADMSG;
	if (!used)
		return 0;
	for (uint64_t end = used; end; end = begin_of(end, &tail)) {
		r = read_tail(log, end, size, &tail);
		if (r)
			return r;
	}
	return 1;
}

int fnx_journal_recover(
	struct fnx_journal *ret, void *memory_of_log, size_t log_size, void *memory, size_t size)
{
	struct fnx_journal_log *log = memory_of_log;
	int found = fnx_journal_validate(log, log_size, size);
	struct tail tail;
	uint64_t end;

	if (found < 0)
		return found;
	end = found ? atomic_load_explicit(&log->used, memory_order_relaxed) : 0;
	if (end > log_size - FNX_JOURNAL_HEADER_SIZE)
		return -EBADMSG;
	while (end) {
		/* Checked a moment ago; but it is not our memory alone. */
		if (read_tail(log, end, size, &tail))
			return -EBADMSG;
		end = begin_of(end, &tail);
		memcpy((unsigned char *)memory + tail.offset, log->records + end, tail.size);
		atomic_signal_fence(memory_order_seq_cst);
		atomic_store_explicit(&log->used, end, memory_order_release);
	}
	attach(ret, log, log_size, memory, size);
	return found;
}

/* Cold: the memory cannot be brought back any more until what is under way is done. */
static __attribute__((noinline, cold)) void overflow(struct fnx_journal_log *log)
{
	atomic_fetch_add_explicit(&log->overflows, 1, memory_order_relaxed);
	atomic_store_explicit(&log->used, BROKEN, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

void fnx_journal_touch(struct fnx_journal *journal, const void *at, size_t size)
{
	struct fnx_journal_log *log;
	struct tail tail;
	uint64_t used, end;

	if (!journal)
		return;
	log = journal->log;
	tail = (struct tail){(uint64_t)((uintptr_t)at - (uintptr_t)journal->memory), size};
	used = atomic_load_explicit(&log->used, memory_order_relaxed);
	/* A broken `used`, and a record that lies before the memory, are too large as well. */
	if (used > journal->room || size > journal->size || tail.offset > journal->size - size ||
		padded(size) + sizeof(tail) > journal->room - used) {
		overflow(log);
		return;
	}
	memcpy(log->records + used, at, size);
	end = used + padded(size);
	memcpy(log->records + end, &tail, sizeof(tail));
	atomic_store_explicit(&log->used, end + sizeof(tail), memory_order_release);
	/* Not before this: the change. */
	atomic_signal_fence(memory_order_seq_cst);
}

void fnx_journal_commit(struct fnx_journal *journal)
{
	if (!journal)
		return;
	/* Not after this: the changes. */
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&journal->log->used, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

uint64_t fnx_journal_overflows(const struct fnx_journal *journal)
{
	return atomic_load_explicit(&journal->log->overflows, memory_order_relaxed);
}
