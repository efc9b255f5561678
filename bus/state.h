/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State: what a node has learnt, in a file of shared memory <segment dir>/<node>.state, so that a
 * successor of one that was killed goes on with exactly that. Changes go through a journal
 * (journal.h): what the successor finds is the state as it was at the last commit, whenever the
 * kill came.
 *
 *	     0  header    identity and sizes; `magic` stored last
 *	  4096  data      pieces handed out one after the other, each aligned
 *	     .  log       of the journal, 4096-aligned, up to the end of the file
 *
 * A file is made by a node's first life: open, alloc ..., seal. A successor of the same layout
 * (`hash`: whatever else shapes the contents, such as configuration and build) opens the same
 * file, is handed the same pieces in the same order, with their contents, and seals. Nothing in it
 * may point anywhere: it will be mapped at another address.
 *
 * Only the holder of the node's presence opens it; one thread. open, alloc, seal and close are
 * [slow].
 */
#pragma once

#include "bus/bus.h"
#include "bus/journal.h"

#define FNX_STATE_MAGIC \
	UINT64_C(0x3130657461747366) /* "fstate01" in memory order, but for the n \
				      */

enum {
	FNX_STATE_ABI = 1,
	FNX_STATE_HEADER_SIZE = 4096,
};

enum fnx_state_origin {
	FNX_STATE_NEW = 0, /* there was none */
	FNX_STATE_RESUMED, /* a predecessor's: contents are as it committed them last */
	FNX_STATE_OTHER, /* there was one of another configuration or build; this one is new */
	FNX_STATE_DAMAGED, /* there was one that cannot be trusted; this one is new */
	FNX_STATE_BROKEN, /* there was one whose last change did not fit its log; this one is new */
};

struct fnx_state_header {
	_Atomic uint64_t magic;
	uint32_t abi;
	uint32_t endian;
	uint64_t hash; /* the caller's */
	uint64_t requests; /* a hash of the pieces' sizes and alignments */
	uint64_t data_size; /* bytes of pieces, from FNX_STATE_HEADER_SIZE on */
	uint64_t log_offset;
	uint64_t log_size;
	uint64_t file_size;
	char node[FNX_NAME_MAX];
};

struct fnx_state;

/* The node's state, taken over or made. -ENOSPC, -ENOMEM, -ENOENT: no such bus; -EINVAL: bad name.
 */
FNX_MUST_CHECK int fnx_state_open(
	const struct fnx_bus *bus, const char *node, uint64_t hash, struct fnx_state **ret);
enum fnx_state_origin fnx_state_origin(const struct fnx_state *state);
/* A piece, `align` a power of two up to 4096: zeros, or as the predecessor left it. NULL: there is
 * no more memory, or the predecessor was handed less (seal tells which). */
void *fnx_state_alloc(struct fnx_state *state, size_t size, size_t align);
/* Ends the handing out. What a new one holds now is what counts as committed. `log_size`: bytes
 * that the journal may need between two commits (fnx_journal_log_size); of a new one. -ESTALE: the
 * predecessor was handed other pieces: discard it and begin again. -ENOSPC, -ENOMEM. */
FNX_MUST_CHECK int fnx_state_seal(struct fnx_state *state, size_t log_size);
/* NULL before the seal. */
struct fnx_journal *fnx_state_journal(struct fnx_state *state);
size_t fnx_state_size(const struct fnx_state *state);
/* Leaves the file to a successor (a node that fails), or takes it away (one that leaves in good
 * order, or wants to begin again). NULL is fine. Returns NULL. */
struct fnx_state *fnx_state_close(struct fnx_state *state, int keep);

/* Looks at the bytes of a state file. 0: whole; 1: whole, but for changes that recovery undoes;
 * -EPROTO: of another ABI; -EBADMSG: damaged, or never sealed; -EOVERFLOW: broken. What repairs it
 * is open. */
FNX_MUST_CHECK int fnx_state_validate(const void *file, size_t size);
