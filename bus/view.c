/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mapping would do without copies, and would kill the looker with SIGBUS where somebody cuts the
 * file. Who looks once a second can afford to read.
 */
#include "bus/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/segment.h"

/* Files
 * ---------------------------------------------------------------------------------------------- */

static int open_file(const struct fnx_bus *bus, const char *topic, const char *suffix,
	uint64_t *ret_size, int *ret_fd)
{
	char path[sizeof(bus->segment_dir) + FNX_NAME_MAX + 32];
	struct stat st;
	int fd, r = fnx_bus_path(bus->segment_dir, topic, suffix, path, sizeof(path));

	if (r)
		return r;
	/* Neither a link nor a pipe may hold the looker up. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EBADMSG;
	if (r) {
		close(fd);
		return r;
	}
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = fd;
	return 0;
}

/* All of it. -EBADMSG: the file is too short. */
static int read_at(int fd, void *memory, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(
			fd, (char *)memory + done, size - done, (off_t)(offset + (uint64_t)done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

/* `ret_memory` NULL where `size` is 0. */
static int read_new(int fd, size_t size, uint64_t offset, void **ret_memory)
{
	void *memory = size ? malloc(size) : NULL;
	int r;

	if (size && !memory)
		return -ENOMEM;
	r = size ? read_at(fd, memory, size, offset) : 0;
	if (r)
		free(memory);
	else
		*ret_memory = memory;
	return r;
}

/* .data
 * ---------------------------------------------------------------------------------------------- */

static uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void copy_header(struct fnx_view *view, const struct fnx_segment *s)
{
	memcpy(view->topic, s->topic, sizeof(view->topic));
	memcpy(view->node, s->node, sizeof(view->node));
	view->schema_hash = s->schema_hash;
	view->epoch = s->epoch;
	view->slot_size = s->slot_size;
	view->schema_size = s->schema_size;
	view->file_size = s->file_size;
	view->created_ns = s->created_ns;
	view->pid = s->publisher_pid;
	view->full = (enum fnx_full_policy)s->full;
	view->n_slots = s->n_slots;
	view->n_entries = s->n_entries;
	view->bell_form = s->bell_form;
	view->replaced = s->replaced != 0;
}

static void copy_state(struct fnx_view *view, const struct fnx_segment *s)
{
	view->head = load(&s->head);
	view->released = load(&s->released);
	view->dropped = load(&s->dropped);
	view->lapped = load(&s->lapped_total);
	view->rings = load(&s->rings);
	view->evicted = load(&s->evicted);
	view->watermark = s->watermark;
	view->watermark_ingress_ns = s->watermark_ingress_ns;
	view->end = s->end;
	for (unsigned i = 0; i < FNX_PINNED_MAX; i++)
		if (load(&s->pinned[i].seq_plus_1))
			view->pinned[view->n_pinned++] = load(&s->pinned[i].seq_plus_1) - 1;
}

static int read_data(
	struct fnx_view *view, int fd, uint64_t size, unsigned flags, struct fnx_segment *segment)
{
	int r = read_at(fd, segment, sizeof(*segment), 0);

	if (r)
		return r;
	if (atomic_load(&segment->magic) != FNX_SEGMENT_MAGIC)
		return -EBADMSG;
	r = fnx_segment_check(segment, size);
	if (r)
		return r;
	copy_header(view, segment);
	copy_state(view, segment);
	if (flags & FNX_VIEW_SCHEMA)
		r = read_new(fd, segment->schema_size, segment->schema_offset, &view->schema);
	if (!r && flags & FNX_VIEW_LEDGER)
		r = read_new(fd, segment->n_entries * sizeof(struct fnx_entry),
			segment->ledger_offset, &view->ledger);
	return r;
}

/* .subs
 * ---------------------------------------------------------------------------------------------- */

static void copy_hazards(struct fnx_view_subscriber *sub, const struct fnx_record *record)
{
	sub->reading = load(&record->hazards[0]);
	for (unsigned i = 1; i < FNX_HAZARDS; i++)
		if (load(&record->hazards[i]))
			sub->held[sub->n_held++] = load(&record->hazards[i]) - 1;
}

static void copy_record(struct fnx_view *view, const struct fnx_segment *segment,
	const struct fnx_record *record, unsigned index)
{
	struct fnx_view_subscriber *sub;
	uint32_t state = record->state;

	if ((state & 0xff) != FNX_RECORD_ACTIVE && (state & 0xff) != FNX_RECORD_CLAIMED)
		return;
	sub = &view->subscribers[view->n_subscribers++];
	*sub = (struct fnx_view_subscriber){.index = index,
		.pid = record->pid,
		.policy = record->policy,
		.generation = state >> 8,
		.claimed = (state & 0xff) == FNX_RECORD_CLAIMED,
		.parked = record->parked != 0,
		.wake_at = record->wake_at,
		.cursor = load(&record->cursor),
		.gaps = load(&record->gaps),
		.missed = load(&record->missed),
		.lapped = load(&segment->lapped[index])};
	fnx_record_get_node(record, sub->node);
	sub->lag = sub->cursor < view->head ? view->head - sub->cursor : 0;
	copy_hazards(sub, record);
}

static int check_subs(const struct fnx_view *view, const struct fnx_subs *subs)
{
	if (subs->magic != FNX_SUBS_MAGIC)
		return -EBADMSG;
	if (subs->abi != FNX_SEGMENT_ABI)
		return -EPROTO;
	/* Those of another topic of this name are not there for this one. */
	return subs->epoch == view->epoch ? 0 : -ENOENT;
}

static int read_subs(struct fnx_view *view, const struct fnx_bus *bus, const char *topic,
	const struct fnx_segment *segment)
{
	struct fnx_subs *subs = aligned_alloc(_Alignof(struct fnx_subs), sizeof(*subs));
	uint64_t size;
	int fd, r = subs ? open_file(bus, topic, ".subs", &size, &fd) : -ENOMEM;

	if (!r) {
		r = size == sizeof(*subs) ? read_at(fd, subs, sizeof(*subs), 0) : -EBADMSG;
		close(fd);
	}
	if (!r)
		r = check_subs(view, subs);
	if (!r) {
		view->writer_wake = load(&subs->writer_wake);
		for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++)
			copy_record(view, segment, &subs->records[i], i);
	}
	free(subs);
	return r;
}

/* Slots come back only when the publisher needs one. What nobody needs any more is not in use:
 * frames from the slowest lossless cursor on are, and what is pinned. */
static void count_used(struct fnx_view *view)
{
	uint64_t lowest = view->head;

	for (unsigned i = 0; i < view->n_subscribers; i++) {
		const struct fnx_view_subscriber *sub = &view->subscribers[i];

		if (sub->policy == FNX_LOSSLESS && !sub->claimed && sub->cursor < lowest)
			lowest = sub->cursor;
	}
	if (lowest < view->released)
		lowest = view->released;
	view->n_used = (lowest < view->head ? view->head - lowest : 0) + view->n_pinned;
	if (view->n_used > view->n_slots)
		view->n_used = view->n_slots;
}

/* View
 * ---------------------------------------------------------------------------------------------- */

int fnx_view_open(
	const struct fnx_bus *bus, const char *topic, unsigned flags, struct fnx_view **ret_view)
{
	struct fnx_view *view = calloc(1, sizeof(*view));
	struct fnx_segment *segment = aligned_alloc(_Alignof(struct fnx_segment), sizeof(*segment));
	uint64_t size;
	int fd = -1, r = view && segment ? 0 : -ENOMEM;

	if (!r)
		r = open_file(bus, topic, ".data", &size, &fd);
	if (!r)
		r = read_data(view, fd, size, flags, segment);
	if (fd >= 0)
		close(fd);
	if (!r) {
		view->subs_error = read_subs(view, bus, topic, segment);
		count_used(view);
		*ret_view = view;
	} else {
		fnx_view_close(view);
	}
	free(segment);
	return r;
}

struct fnx_view *fnx_view_close(struct fnx_view *view)
{
	if (view) {
		free(view->schema);
		free(view->ledger);
		free(view);
	}
	return NULL;
}

int fnx_view_entry(const struct fnx_view *view, uint64_t seq, struct fnx_view_entry *ret_entry)
{
	const struct fnx_entry *ledger = view->ledger, *entry;
	uint64_t tag;

	if (!ledger || seq >= view->head || view->head - seq > view->n_entries)
		return -ENOENT;
	entry = &ledger[seq & (view->n_entries - 1)];
	tag = load(&entry->tag);
	*ret_entry = (struct fnx_view_entry){.seq = seq,
		.slot = entry->slot,
		.length = entry->length,
		.stamp = {.sample_time = entry->sample_time,
			.ingress_ns = entry->ingress_ns,
			.publish_ns = entry->publish_ns,
			.origin = load(&entry->origin),
			.flags = entry->flags}};
	if (tag == fnx_tag(seq, FNX_ENTRY_PUBLISHED))
		ret_entry->state = FNX_VIEW_ENTRY_PUBLISHED;
	else if (tag == fnx_tag(seq, FNX_ENTRY_RELEASED))
		ret_entry->state = ret_entry->slot == FNX_NO_SLOT ? FNX_VIEW_ENTRY_DROPPED
								  : FNX_VIEW_ENTRY_RELEASED;
	else
		ret_entry->state = FNX_VIEW_ENTRY_BUSY;
	return 0;
}
