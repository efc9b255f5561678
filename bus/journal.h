/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Journal: an undo log over memory that must never be seen half changed, although its writer may be
 * killed between any two instructions. Whoever is about to change some of it has the journal
 * remember what it held; a commit makes all changes since the last one stay, by one store; a
 * successor undoes what was not committed. It takes two pieces of memory from its caller and knows
 * no files.
 *
 * What a killed process has stored is all there, in program order: only the compiler must be kept
 * from reordering, so nothing here needs a fence of the processor. It does not survive the machine.
 *
 * The log, 8-aligned, `size` a multiple of 8:
 *
 *	     0  magic        stored last by init
 *	     8  size         bytes of records that there is room for
 *	    16  protected    bytes of memory that it is over
 *	    24  used         bytes of records; all ones: a record did not fit, and what was changed
 *			     since cannot be undone until the next commit
 *	    32  overflows    changes that were not remembered, since init
 *	    64  records      old bytes, padded to 8 | offset, 8 bytes | size, 8 bytes
 *
 * A record ends with its sizes, so that recovery walks back from the end, undoes one and then
 * takes it off. Killed in between, it undoes that one again. Bytes that are remembered twice end
 * up as they were first.
 *
 * One thread. Everything read back from the log is checked before it is used.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/bus.h"

#define FNX_JOURNAL_MAGIC UINT64_C(0x31306c6e6a78666e)

enum {
	FNX_JOURNAL_HEADER_SIZE = 64,
	FNX_JOURNAL_TAIL_SIZE = 16, /* of each record, after the bytes */
};

struct fnx_journal_log {
	_Atomic uint64_t magic;
	uint64_t size;
	uint64_t protected_size;
	_Atomic uint64_t used;
	_Atomic uint64_t overflows;
	_Alignas(FNX_JOURNAL_HEADER_SIZE) unsigned char records[];
};

/* What the writer knows of it; its own memory. */
struct fnx_journal {
	struct fnx_journal_log *log;
	unsigned char *memory;
	size_t size; /* of `memory` */
	size_t room; /* for records */
};

/* Log memory that one transaction of `n_touches` changes of `n_bytes` together needs at the most.
 */
size_t fnx_journal_log_size(size_t n_touches, size_t n_bytes);

/* A new log over memory that is as it shall be. -EINVAL: too small, or not aligned to 8. */
FNX_MUST_CHECK int fnx_journal_init(
	struct fnx_journal *ret, void *log, size_t log_size, void *memory, size_t size);
/* Takes over a log that a predecessor has left, and undoes in `memory` what it had not committed.
 * 0: nothing was to be undone; 1: something was. -EOVERFLOW: the predecessor had changed more than
 * its log could hold: the memory is of no use. -EBADMSG: this is no log over memory of that size,
 * or damaged; nothing was changed. May itself be killed and called again. After an error the memory
 * must be made anew and given to init. */
FNX_MUST_CHECK int fnx_journal_recover(
	struct fnx_journal *ret, void *log, size_t log_size, void *memory, size_t size);
/* Looks only. 0, or what recover would say. Whoever may write to the log may write anything. */
FNX_MUST_CHECK int fnx_journal_validate(const void *log, size_t log_size, size_t size);

/* [frame] Remembers the `size` bytes at `at`, which lie in the protected memory, before the caller
 * changes them. journal NULL, or all zeros (not begun yet): nothing. A record that does not fit, or
 * that lies outside, marks the memory as broken until the next commit, and is counted. */
void fnx_journal_touch(struct fnx_journal *journal, const void *at, size_t size);
/* [frame] What was changed so far stays: one store. NULL or zeros: nothing. */
void fnx_journal_commit(struct fnx_journal *journal);
/* Changes that did not fit since init, by this writer and its predecessors. */
uint64_t fnx_journal_overflows(const struct fnx_journal *journal);
