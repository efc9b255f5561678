/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything is looked at in a private copy of the bytes, aligned as the structs want it: what is
 * under a living writer's hands, or cut short while we read, cannot harm. The pool is not read: a
 * payload is anything.
 */
#include "bus/validate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/segment.h"
#include "bus/status.h"

enum {
	TEXT_MAX = 160,
	ALIGNMENT = 4096,
};

struct look {
	fnx_finding_fn tell;
	void *context;
	int n; /* findings */
	enum fnx_finding_file file;
};

/* What is looked at: the header, the ledger behind it, and the table. */
struct topic_copy {
	const struct fnx_segment *segment;
	const struct fnx_entry *ledger;
	const struct fnx_subs *subs;
	uint64_t head, released;
};

__attribute__((format(printf, 4, 5))) static void find(struct look *look,
	enum fnx_finding_severity severity, uint64_t offset, const char *format, ...)
{
	struct fnx_finding finding = {.severity = severity, .file = look->file, .offset = offset};
	char text[TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	finding.text = text;
	look->n++;
	if (look->tell)
		look->tell(look->context, &finding);
}

#define LOAD(place) atomic_load_explicit(&(place), memory_order_relaxed)
#define SHOWN(value) ((unsigned long long)(value))

/* Topic: header ----------------------------------------------------------------------- */

static int header_of_this_build(struct look *look, const struct fnx_segment *s, size_t file_size)
{
	if (LOAD(s->magic) != FNX_SEGMENT_MAGIC)
		find(look, FNX_FINDING_DAMAGE, 0, "no topic: the magic is %016llx",
			SHOWN(LOAD(s->magic)));
	else if (s->abi != FNX_SEGMENT_ABI || s->endian != FNX_SEGMENT_ENDIAN)
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_segment, abi),
			"of another build: abi %u, byte order %08x", s->abi, s->endian);
	else if (fnx_segment_check(s, file_size) < 0)
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_segment, full),
			"sizes or names that cannot be: %u slots of %llu bytes, %u entries, a file "
			"of "
			"%llu bytes that says %llu",
			s->n_slots, SHOWN(s->slot_size), s->n_entries, SHOWN(file_size),
			SHOWN(s->file_size));
	else
		return 1;
	return 0;
}

/* 1: the ledger can be walked by them. */
static int counters(struct look *look, const struct fnx_segment *s)
{
	uint64_t head = LOAD(s->head), released = LOAD(s->released);
	uint64_t releasing = LOAD(s->releasing);

	if (LOAD(s->replaced) > 1)
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_segment, replaced),
			"replaced is neither 0 nor 1");
	if (head >= UINT64_MAX >> 2 || released > head || head - released > s->n_slots + 1u) {
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_segment, released),
			"head %llu and released %llu cannot be with %u slots", SHOWN(head),
			SHOWN(released), s->n_slots);
		return 0;
	}
	if (releasing > head)
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_segment, releasing),
			"releasing %llu is beyond head %llu", SHOWN(releasing), SHOWN(head));
	else if (releasing > released)
		find(look, FNX_FINDING_NOTE, offsetof(struct fnx_segment, releasing),
			"a pass to %llu was cut short at %llu", SHOWN(releasing), SHOWN(released));
	return 1;
}

/* Topic: ledger ----------------------------------------------------------------------- */

static const struct fnx_entry *entry_of(const struct topic_copy *t, uint64_t seq)
{
	return &t->ledger[seq & (t->segment->n_entries - 1)];
}

static uint64_t entry_offset(const struct topic_copy *t, uint64_t seq)
{
	return t->segment->ledger_offset +
		(seq & (t->segment->n_entries - 1)) * sizeof(struct fnx_entry);
}

static void take_slot(struct look *look, const struct topic_copy *t, unsigned char *used,
	uint64_t slot, uint64_t offset)
{
	if (slot >= t->segment->n_slots)
		find(look, FNX_FINDING_DAMAGE, offset, "slot %llu of %u", SHOWN(slot),
			t->segment->n_slots);
	else if (used[slot]++)
		find(look, FNX_FINDING_DAMAGE, offset, "slot %llu is needed twice", SHOWN(slot));
}

static void kept_entry(
	struct look *look, const struct topic_copy *t, unsigned char *used, uint64_t seq)
{
	const struct fnx_entry *entry = entry_of(t, seq);
	uint64_t tag = LOAD(entry->tag), offset = entry_offset(t, seq);
	uint32_t slot = LOAD(entry->slot);

	if (tag != fnx_tag(seq, FNX_ENTRY_PUBLISHED) && tag != fnx_tag(seq, FNX_ENTRY_RELEASED)) {
		find(look, FNX_FINDING_DAMAGE, offset,
			"frame %llu is not there: its tag is %llu:%llu", SHOWN(seq),
			SHOWN(tag >> 2), SHOWN(tag & 3));
		return;
	}
	if (slot == FNX_NO_SLOT)
		return;
	if (tag == fnx_tag(seq, FNX_ENTRY_RELEASED))
		find(look, FNX_FINDING_NOTE, offset,
			"frame %llu is given up, and not counted as such", SHOWN(seq));
	if (LOAD(entry->length) > t->segment->slot_size)
		find(look, FNX_FINDING_DAMAGE, offset + offsetof(struct fnx_entry, length),
			"frame %llu of %u bytes is longer than a slot", SHOWN(seq),
			LOAD(entry->length));
	take_slot(look, t, used, slot, offset + offsetof(struct fnx_entry, slot));
}

static void past_entries(struct look *look, const struct topic_copy *t)
{
	uint64_t n_entries = t->segment->n_entries;
	/* The entry at head may be being written: with it goes the oldest. */
	uint64_t first = t->head < n_entries ? 0 : t->head - n_entries + 1;

	for (uint64_t seq = first; seq < t->released; seq++)
		if (LOAD(entry_of(t, seq)->tag) != fnx_tag(seq, FNX_ENTRY_RELEASED))
			find(look, FNX_FINDING_DAMAGE, entry_offset(t, seq),
				"frame %llu was given up, and its tag is %llu:%llu", SHOWN(seq),
				SHOWN(LOAD(entry_of(t, seq)->tag) >> 2),
				SHOWN(LOAD(entry_of(t, seq)->tag) & 3));
}

static void next_entry(struct look *look, const struct topic_copy *t)
{
	uint64_t tag = LOAD(entry_of(t, t->head)->tag), n_entries = t->segment->n_entries;

	if (tag == fnx_tag(t->head, FNX_ENTRY_PUBLISHED) ||
		tag == fnx_tag(t->head, FNX_ENTRY_RELEASED))
		find(look, FNX_FINDING_NOTE, entry_offset(t, t->head),
			"frame %llu is published, and not counted", SHOWN(t->head));
	else if (t->head > 0 && tag == fnx_tag(t->head, FNX_ENTRY_EMPTY))
		find(look, FNX_FINDING_NOTE, entry_offset(t, t->head),
			"frame %llu was being written", SHOWN(t->head));
	else if (t->head < n_entries ? tag != 0
				     : tag != fnx_tag(t->head - n_entries, FNX_ENTRY_RELEASED))
		find(look, FNX_FINDING_DAMAGE, entry_offset(t, t->head),
			"the entry of frame %llu, which is yet to come, says %llu:%llu",
			SHOWN(t->head), SHOWN(tag >> 2), SHOWN(tag & 3));
}

static void pinned_slots(struct look *look, const struct topic_copy *t, unsigned char *used)
{
	for (unsigned i = 0; i < FNX_PINNED_MAX; i++) {
		const struct fnx_pinned *pinned = &t->segment->pinned[i];
		uint64_t seq_plus_1 = LOAD(pinned->seq_plus_1);
		uint64_t offset = offsetof(struct fnx_segment, pinned[i]);

		if (!seq_plus_1)
			continue;
		if (seq_plus_1 > t->released)
			find(look, FNX_FINDING_NOTE, offset,
				"frame %llu is pinned, and not yet given up",
				SHOWN(seq_plus_1 - 1));
		else
			take_slot(look, t, used, LOAD(pinned->slot), offset + 8);
	}
}

static int ledger(struct look *look, const struct topic_copy *t)
{
	unsigned char *used = calloc(t->segment->n_slots, 1);

	if (!used)
		return -ENOMEM;
	for (uint64_t seq = t->released; seq < t->head; seq++)
		kept_entry(look, t, used, seq);
	past_entries(look, t);
	next_entry(look, t);
	pinned_slots(look, t, used);
	free(used);
	return 0;
}

/* Topic: subscribers ------------------------------------------------------------------ */

static void active_record(struct look *look, const struct topic_copy *t, unsigned i)
{
	const struct fnx_record *record = &t->subs->records[i];
	uint64_t offset = offsetof(struct fnx_subs, records[i]);
	unsigned policy = LOAD(record->policy);
	char node[FNX_NAME_MAX];

	fnx_record_get_node(record, node);
	if (policy < FNX_LOSSLESS || policy > FNX_LATEST)
		find(look, FNX_FINDING_DAMAGE, offset + offsetof(struct fnx_record, policy),
			"subscriber %u has policy %u", i, policy);
	if (!fnx_name_valid(node))
		find(look, FNX_FINDING_DAMAGE, offset + offsetof(struct fnx_record, node),
			"subscriber %u has no name that a node can have", i);
	if (LOAD(record->parked) > FNX_DOZES)
		find(look, FNX_FINDING_DAMAGE, offset + offsetof(struct fnx_record, parked),
			"subscriber %u: parked is %u", i, LOAD(record->parked));
	/* Between two steps of parking, or of ringing: a successor rings everybody. */
	else if (LOAD(record->parked) && !(LOAD(t->subs->sleepers) >> i & 1))
		find(look, FNX_FINDING_NOTE, offset + offsetof(struct fnx_record, parked),
			"subscriber %u is parked, and not counted among the sleepers", i);
	if (LOAD(record->cursor) > t->head + 1)
		find(look, FNX_FINDING_DAMAGE, offset + offsetof(struct fnx_record, cursor),
			"subscriber %u stands at %llu, beyond head %llu", i,
			SHOWN(LOAD(record->cursor)), SHOWN(t->head));
	for (unsigned k = 0; k < FNX_HAZARDS; k++)
		if (LOAD(record->hazards[k]) > t->head + 2)
			find(look, FNX_FINDING_DAMAGE,
				offset + offsetof(struct fnx_record, hazards[k]),
				"subscriber %u holds frame %llu, beyond head %llu", i,
				SHOWN(LOAD(record->hazards[k]) - 1), SHOWN(t->head));
}

static void same_names(struct look *look, const struct topic_copy *t, unsigned i)
{
	char node[FNX_NAME_MAX], other[FNX_NAME_MAX];

	fnx_record_get_node(&t->subs->records[i], node);
	for (unsigned k = 0; k < i; k++) {
		fnx_record_get_node(&t->subs->records[k], other);
		if ((LOAD(t->subs->records[k].state) & 0xff) == FNX_RECORD_ACTIVE &&
			!strcmp(node, other))
			find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_subs, records[i]),
				"subscribers %u and %u have one name", k, i);
	}
}

static void subscribers(struct look *look, const struct topic_copy *t)
{
	const struct fnx_subs *subs = t->subs;

	look->file = FNX_FINDING_SUBS;
	if (LOAD(subs->magic) != FNX_SUBS_MAGIC || subs->abi != FNX_SEGMENT_ABI) {
		find(look, FNX_FINDING_DAMAGE, 0, "no table of subscribers of this build");
		return;
	}
	if (subs->epoch != t->segment->epoch)
		find(look, FNX_FINDING_NOTE, offsetof(struct fnx_subs, epoch),
			"the table is of another epoch: a topic that was being made");
	if (LOAD(subs->sleepers) >> FNX_SUBSCRIBERS_MAX)
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_subs, sleepers),
			"a sleeper that has no place");
	for (unsigned i = 0; i < FNX_SUBSCRIBERS_MAX; i++) {
		uint32_t state = LOAD(subs->records[i].state) & 0xff;
		uint64_t offset = offsetof(struct fnx_subs, records[i]);

		if (state > FNX_RECORD_ACTIVE) {
			find(look, FNX_FINDING_DAMAGE, offset, "subscriber %u is in state %u", i,
				state);
		} else if (state == FNX_RECORD_CLAIMED) {
			find(look, FNX_FINDING_NOTE, offset,
				"place %u was claimed, and not yet taken", i);
		} else if (state == FNX_RECORD_ACTIVE) {
			active_record(look, t, i);
			same_names(look, t, i);
		}
	}
}

/* Copies ------------------------------------------------------------------------------ */

/* At least `least` bytes, zeros behind `size`. */
static void *copy_of(const void *bytes, size_t size, size_t least)
{
	size_t whole = ((size > least ? size : least) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	unsigned char *copy = aligned_alloc(ALIGNMENT, whole);

	if (!copy)
		return NULL;
	if (size)
		memcpy(copy, bytes, size);
	memset(copy + size, 0, whole - size);
	return copy;
}

/* `data` and `subs` are copies of at least a header's size. */
static int validate_topic(
	struct look *look, const void *data, size_t data_size, size_t file_size, const void *subs)
{
	struct topic_copy t = {.segment = data, .subs = subs};
	int r = 0;

	look->file = FNX_FINDING_DATA;
	if (!header_of_this_build(look, t.segment, file_size) || !counters(look, t.segment))
		return look->n;
	t.head = LOAD(t.segment->head);
	t.released = LOAD(t.segment->released);
	t.ledger = (const void *)((const unsigned char *)data + t.segment->ledger_offset);
	if (data_size < t.segment->ledger_offset + t.segment->n_entries * sizeof(*t.ledger))
		find(look, FNX_FINDING_DAMAGE, t.segment->ledger_offset,
			"the file ends within the ledger");
	else
		r = ledger(look, &t);
	if (!r && subs)
		subscribers(look, &t);
	return r ? r : look->n;
}

int fnx_topic_validate_bytes(const void *data, size_t data_size, const void *subs, size_t subs_size,
	fnx_finding_fn tell, void *context)
{
	struct look look = {.tell = tell, .context = context, .file = FNX_FINDING_DATA};
	void *data_copy = copy_of(data, data_size, sizeof(struct fnx_segment));
	void *subs_copy = subs ? copy_of(subs, subs_size, sizeof(struct fnx_subs)) : NULL;
	int r = -ENOMEM;

	if (data_copy && (!subs || subs_copy)) {
		r = validate_topic(&look, data_copy, data_size, data_size, subs_copy);
		look.file = FNX_FINDING_SUBS;
		if (r >= 0 && subs && subs_size != sizeof(struct fnx_subs))
			find(&look, FNX_FINDING_DAMAGE, 0, "a table of %zu bytes", subs_size);
		r = r < 0 ? r : look.n;
	}
	free(data_copy);
	free(subs_copy);
	return r;
}

/* The first `most` bytes of a file; the true size in *ret_size. */
static int read_file(
	const char *path, size_t most, void **ret_bytes, size_t *ret_n, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	unsigned char *bytes = NULL;
	struct stat st;
	size_t n = 0;
	ssize_t got = 1;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EBADMSG;
	if (!r) {
		most = (size_t)st.st_size < most ? (size_t)st.st_size : most;
		bytes = malloc(most ? most : 1);
		r = bytes ? 0 : -ENOMEM;
	}
	while (!r && n < most && got > 0) {
		got = pread(fd, bytes + n, most - n, (off_t)n);
		if (got > 0)
			n += (size_t)got;
		else if (got < 0)
			r = -errno;
	}
	close(fd);
	if (r) {
		free(bytes);
		return r;
	}
	*ret_bytes = bytes;
	*ret_n = n;
	*ret_size = (size_t)st.st_size;
	return 0;
}

/* Header and ledger; the pool may be gigabytes. */
static int read_data(const char *path, void **ret_bytes, size_t *ret_n, size_t *ret_size)
{
	struct fnx_segment *header;
	void *bytes;
	size_t most;
	int r = read_file(path, sizeof(*header), &bytes, ret_n, ret_size);

	if (r)
		return r;
	header = copy_of(bytes, *ret_n, sizeof(*header));
	free(bytes);
	if (!header)
		return -ENOMEM;
	most = fnx_segment_check(header, *ret_size) ? sizeof(*header) : header->pool_offset;
	free(header);
	return read_file(path, most, ret_bytes, ret_n, ret_size);
}

int fnx_topic_validate(
	const struct fnx_bus *bus, const char *topic, fnx_finding_fn tell, void *context)
{
	struct look look = {.tell = tell, .context = context, .file = FNX_FINDING_DATA};
	void *data = NULL, *subs = NULL, *data_copy = NULL, *subs_copy = NULL;
	size_t n, size, subs_n = 0, subs_size = 0;
	char path[512];
	int r = fnx_bus_path(bus->segment_dir, topic, ".data", path, sizeof(path));

	if (!r)
		r = read_data(path, &data, &n, &size);
	if (!r)
		r = fnx_bus_path(bus->segment_dir, topic, ".subs", path, sizeof(path));
	if (!r) {
		r = read_file(path, sizeof(struct fnx_subs), &subs, &subs_n, &subs_size);
		r = r == -ENOENT ? 0 : r;
	}
	if (!r) {
		data_copy = copy_of(data, n, sizeof(struct fnx_segment));
		subs_copy = subs ? copy_of(subs, subs_n, sizeof(struct fnx_subs)) : NULL;
		r = !data_copy || (subs && !subs_copy)
			? -ENOMEM
			: validate_topic(&look, data_copy, n, size, subs_copy);
	}
	look.file = FNX_FINDING_SUBS;
	if (r >= 0 && subs_size != sizeof(struct fnx_subs))
		find(&look, FNX_FINDING_DAMAGE, 0, "a table of %zu bytes", subs_size);
	free(data);
	free(subs);
	free(data_copy);
	free(subs_copy);
	return r < 0 ? r : look.n;
}

/* Status page ------------------------------------------------------------------------- */

static void histogram(
	struct look *look, const struct fnx_histogram *h, uint64_t offset, const char *name)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < FNX_HISTOGRAM_BUCKETS; i++)
		sum += LOAD(h->buckets[i]);
	/* The count is raised behind its bucket. */
	if (sum != LOAD(h->count) && sum != LOAD(h->count) + 1)
		find(look, FNX_FINDING_DAMAGE, offset, "%s: %llu in the buckets, %llu counted",
			name, SHOWN(sum), SHOWN(LOAD(h->count)));
}

static void status_topics(struct look *look, const struct fnx_status_topic *topics, uint32_t n,
	uint64_t offset, const char *kind)
{
	if (n > FNX_STATUS_TOPICS_MAX) {
		find(look, FNX_FINDING_DAMAGE, offset, "%u %ss", n, kind);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!memchr(topics[i].name, 0, FNX_NAME_MAX) || !fnx_name_valid(topics[i].name))
			find(look, FNX_FINDING_DAMAGE, offset + i * sizeof(topics[i]),
				"%s %u has no name that a topic can have", kind, i);
}

static void status_page(struct look *look, const struct fnx_status *s)
{
	uint32_t state = LOAD(s->state);

	if (LOAD(s->magic) == 0)
		find(look, FNX_FINDING_NOTE, 0, "the page was being begun");
	else if (LOAD(s->magic) != FNX_STATUS_MAGIC || s->abi != FNX_STATUS_ABI)
		find(look, FNX_FINDING_DAMAGE, 0, "no status page of this build");
	if (LOAD(s->magic) != FNX_STATUS_MAGIC || s->abi != FNX_STATUS_ABI)
		return;
	if (state < FNX_NODE_STARTING || state > FNX_NODE_FAILED)
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_status, state), "state %u",
			state);
	if (!memchr(s->name, 0, sizeof(s->name)) || !fnx_name_valid(s->name))
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_status, name),
			"no name that a node can have");
	if (!memchr(s->text, 0, sizeof(s->text)) || !memchr(s->realtime, 0, sizeof(s->realtime)))
		find(look, FNX_FINDING_DAMAGE, offsetof(struct fnx_status, text),
			"a text without an end");
	histogram(look, &s->latency, offsetof(struct fnx_status, latency), "latency");
	histogram(look, &s->turn, offsetof(struct fnx_status, turn), "turn");
	status_topics(
		look, s->inputs, LOAD(s->n_inputs), offsetof(struct fnx_status, inputs), "input");
	status_topics(look, s->outputs, LOAD(s->n_outputs), offsetof(struct fnx_status, outputs),
		"output");
}

int fnx_status_validate_bytes(const void *page, size_t size, fnx_finding_fn tell, void *context)
{
	struct look look = {.tell = tell, .context = context, .file = FNX_FINDING_STATUS};
	void *copy = copy_of(page, size, sizeof(struct fnx_status));

	if (!copy)
		return -ENOMEM;
	if (size != sizeof(struct fnx_status))
		find(&look, FNX_FINDING_DAMAGE, 0, "a page of %zu bytes", size);
	else
		status_page(&look, copy);
	free(copy);
	return look.n;
}

int fnx_status_validate(
	const struct fnx_bus *bus, const char *node, fnx_finding_fn tell, void *context)
{
	size_t n, size;
	char path[512];
	void *page;
	int r = fnx_bus_path(bus->segment_dir, node, ".status", path, sizeof(path));

	if (!r)
		r = read_file(path, sizeof(struct fnx_status) + 1, &page, &n, &size);
	if (r)
		return r;
	r = fnx_status_validate_bytes(page, n, tell, context);
	free(page);
	return r;
}
