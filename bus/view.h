/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A view of a topic: what its two files say at one moment, alive or dead, whole or damaged. For
 * those who look from outside: it joins nothing, locks nothing and writes nothing.
 *
 * The files are read, not mapped: whatever their bytes are, and whatever becomes of them meanwhile,
 * the looker gets a copy or an errno, and never a signal. A copy of what is being written may be
 * torn between two words; entries that were being written say so.
 */
#pragma once

#include "bus/topic.h"

enum fnx_view_entry_state {
	FNX_VIEW_ENTRY_PUBLISHED = 1, /* its payload is there */
	FNX_VIEW_ENTRY_RELEASED, /* its payload was given up */
	FNX_VIEW_ENTRY_DROPPED, /* found no slot */
	FNX_VIEW_ENTRY_BUSY, /* being written, or overwritten since */
};

struct fnx_view_entry {
	uint64_t seq;
	enum fnx_view_entry_state state;
	uint32_t slot; /* as it stands there: may be beyond the pool */
	uint32_t length; /* bytes */
	struct fnx_stamp stamp;
};

struct fnx_view_subscriber {
	unsigned index; /* of its record */
	char node[FNX_NAME_MAX]; /* may be anything but ends with a 0 */
	int32_t pid;
	uint8_t policy; /* enum fnx_policy, or nonsense */
	uint32_t generation; /* lives that held this record */
	int claimed; /* has the record, not yet the topic */
	int parked;
	int64_t wake_at; /* samples */
	uint64_t cursor; /* first frame not given back */
	uint64_t lag; /* frames published behind the cursor; 0 where the cursor is nonsense */
	uint64_t gaps, missed, lapped; /* frames but for gaps */
	uint64_t reading; /* seq + 1, 0: none */
	uint64_t held[FNX_HOLDS_MAX]; /* sequence numbers */
	unsigned n_held;
};

struct fnx_view {
	/* header, checked */
	char topic[FNX_NAME_MAX], node[FNX_NAME_MAX];
	uint64_t schema_hash, epoch, slot_size, schema_size, file_size;
	int64_t created_ns; /* CLOCK_REALTIME */
	int32_t pid;
	enum fnx_full_policy full;
	uint32_t n_slots, n_entries;
	uint32_t bell_form; /* enum fnx_bell_form, or nonsense */
	int replaced;
	/* state, as it stands there */
	uint64_t head, released, dropped, lapped, rings, evicted;
	int64_t watermark, watermark_ingress_ns, end;
	uint64_t n_used; /* slots that frames still hold, pinned ones among them */
	uint64_t n_pinned;
	uint64_t pinned[FNX_SUBSCRIBERS_MAX * (1 + FNX_HOLDS_MAX)]; /* sequence numbers */
	uint64_t writer_wake; /* the publisher sleeps until a cursor reaches this; 0: awake */
	/* 0, or why there are no subscribers to be seen: -ENOENT, -EBADMSG, ... */
	int subs_error;
	unsigned n_subscribers;
	struct fnx_view_subscriber subscribers[FNX_SUBSCRIBERS_MAX];
	void *schema; /* description, MessagePack, schema_size bytes; NULL: none */
	void *ledger; /* private; NULL without FNX_VIEW_LEDGER */
};

enum {
	FNX_VIEW_LEDGER = 1u << 0, /* entries, too */
	FNX_VIEW_SCHEMA = 1u << 1,
};

/* -ENOENT: no such topic; -EBADMSG: no topic, or a damaged one; -EPROTO: of another build; -EINVAL;
 * -EACCES; -ENOMEM ... Takes memory, and gives it back by itself when it fails. [slow] */
FNX_MUST_CHECK int fnx_view_open(
	const struct fnx_bus *bus, const char *topic, unsigned flags, struct fnx_view **ret_view);
struct fnx_view *fnx_view_close(struct fnx_view *view);

/* Entry `seq`. -ENOENT: not published, or no more in the ledger; or there is no ledger here. */
FNX_MUST_CHECK int fnx_view_entry(
	const struct fnx_view *view, uint64_t seq, struct fnx_view_entry *ret_entry);
