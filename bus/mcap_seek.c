/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the reader knows of a file as a whole: the summary at its end, and what was found so far.
 * The summary is walked anew at each seek rather than held, so that memory stays bounded however
 * many chunks there are.
 */
#include "bus/mcap_read.h"

#include <errno.h>
#include <unistd.h>

int fnx_mcap_reader_footer(struct fnx_mcap_reader *reader, uint64_t *ret_start,
	uint64_t *ret_offsets, uint64_t *ret_end)
{
	const uint64_t size = MCAP_HEAD_SIZE + MCAP_FOOTER_SIZE + MCAP_MAGIC_SIZE;
	uint64_t footer_at;
	uint64_t offsets_at;
	uint64_t start;
	uint32_t expected;
	uint32_t crc = 0;
	const uint8_t *at;
	int r;

	if (reader->file_size < MCAP_MAGIC_SIZE + MCAP_HEAD_SIZE + size)
		return -ENODATA;
	footer_at = reader->file_size - size;
	r = fnx_mcap_reader_fetch(reader, footer_at, size, &at);
	if (r < 0)
		return r;
	if (at[0] != MCAP_FOOTER || get_u64(at + 1) != MCAP_FOOTER_SIZE ||
		memcmp(at + size - MCAP_MAGIC_SIZE, fnx_mcap_magic, MCAP_MAGIC_SIZE) != 0)
		return -ENODATA;
	start = get_u64(at + MCAP_HEAD_SIZE);
	offsets_at = get_u64(at + MCAP_HEAD_SIZE + 8);
	expected = get_u32(at + MCAP_HEAD_SIZE + 16);
	if (offsets_at == 0)
		offsets_at = footer_at;
	if (start < MCAP_MAGIC_SIZE || start > offsets_at || offsets_at > footer_at)
		return -ENODATA;
	if (expected != 0) {
		r = fnx_mcap_reader_crc(
			reader, start, footer_at + MCAP_HEAD_SIZE + 16 - start, &crc);
		if (r < 0)
			return r;
		if (crc != expected)
			return -ENODATA;
	}
	*ret_start = start;
	*ret_offsets = offsets_at;
	*ret_end = footer_at;
	return 0;
}

struct summary {
	struct fnx_mcap_stats stats;
	bool has_stats;
	bool has_chunks;
	uint64_t from_ns;
	uint64_t first_chunk; /* that has a message at from_ns or later; UINT64_MAX: none */
	uint64_t last_chunk;
};

static int take_statistics(struct summary *summary, const uint8_t *body, size_t size)
{
	struct mcap_cursor cursor = mcap_cursor(body, size);
	struct fnx_mcap_stats *stats = &summary->stats;

	stats->n_messages = fnx_mcap_cursor_u64(&cursor);
	stats->n_schemas = fnx_mcap_cursor_u16(&cursor);
	stats->n_channels = fnx_mcap_cursor_u32(&cursor);
	stats->n_attachments = fnx_mcap_cursor_u32(&cursor);
	stats->n_metadata = fnx_mcap_cursor_u32(&cursor);
	stats->n_chunks = fnx_mcap_cursor_u32(&cursor);
	stats->first_log_time_ns = fnx_mcap_cursor_u64(&cursor);
	stats->last_log_time_ns = fnx_mcap_cursor_u64(&cursor);
	summary->has_stats = true;
	return cursor.bad ? -ENODATA : 0;
}

static int take_chunk_index(
	struct fnx_mcap_reader *reader, struct summary *summary, const uint8_t *body, size_t size)
{
	struct mcap_cursor cursor = mcap_cursor(body, size);
	uint64_t end_time_ns, offset, stored, plain;

	(void)fnx_mcap_cursor_u64(&cursor); /* start time */
	end_time_ns = fnx_mcap_cursor_u64(&cursor);
	offset = fnx_mcap_cursor_u64(&cursor);
	stored = fnx_mcap_cursor_u64(&cursor);
	(void)fnx_mcap_cursor_block(&cursor); /* offsets of message indexes */
	(void)fnx_mcap_cursor_u64(&cursor); /* their length */
	(void)fnx_mcap_cursor_block(&cursor); /* compression */
	(void)fnx_mcap_cursor_u64(&cursor); /* compressed size */
	plain = fnx_mcap_cursor_u64(&cursor);
	if (cursor.bad)
		return -ENODATA;
	summary->has_chunks = true;
	if (end_time_ns >= summary->from_ns && offset < summary->first_chunk)
		summary->first_chunk = offset;
	if (offset > summary->last_chunk)
		summary->last_chunk = offset;
	if (stored > reader->largest_stored)
		reader->largest_stored = stored;
	if (plain > reader->largest_plain)
		reader->largest_plain = plain;
	return 0;
}

static int take_record(struct fnx_mcap_reader *reader, struct summary *summary, uint8_t opcode,
	const uint8_t *body, size_t size)
{
	int r;

	switch (opcode) {
	case MCAP_SCHEMA:
		r = fnx_mcap_catalog_schema(&reader->catalog, body, size);
		break;
	case MCAP_CHANNEL:
		r = fnx_mcap_catalog_channel(&reader->catalog, body, size);
		break;
	case MCAP_STATISTICS:
		return take_statistics(summary, body, size);
	case MCAP_CHUNK_INDEX:
		return take_chunk_index(reader, summary, body, size);
	default:
		return 0;
	}
	if (r == 0 || r == MCAP_KNOWN || r == -ENOMEM)
		return r == -ENOMEM ? r : 0;
	return -ENODATA;
}

static int read_summary(struct fnx_mcap_reader *reader, struct summary *summary)
{
	uint64_t offset;
	uint64_t end;
	uint64_t footer_at;
	int r = fnx_mcap_reader_footer(reader, &offset, &end, &footer_at);

	while (r == 0 && offset < end) {
		const uint8_t *at;
		uint64_t size;

		if (end - offset < MCAP_HEAD_SIZE)
			return -ENODATA;
		r = fnx_mcap_reader_fetch(reader, offset, MCAP_HEAD_SIZE, &at);
		if (r < 0)
			break;
		size = get_u64(at + 1);
		if (size > end - offset - MCAP_HEAD_SIZE || size > reader->limits.max_record_size)
			return -ENODATA;
		r = fnx_mcap_reader_fetch(reader, offset, MCAP_HEAD_SIZE + size, &at);
		if (r == 0)
			r = take_record(reader, summary, at[0], at + MCAP_HEAD_SIZE, (size_t)size);
		offset += MCAP_HEAD_SIZE + size;
	}
	return r;
}

int fnx_mcap_reader_summary(struct fnx_mcap_reader *reader, struct fnx_mcap_stats *ret_stats)
{
	struct summary summary = {.first_chunk = UINT64_MAX};
	int r = read_summary(reader, &summary);

	if (r < 0)
		return r;
	if (!summary.has_stats)
		return -ENODATA;
	*ret_stats = summary.stats;
	return 0;
}

static void count_anew(struct fnx_mcap_reader *reader)
{
	const struct mcap_list *channels = &reader->catalog.channels;

	reader->stats = (struct fnx_mcap_stats){0};
	for (size_t i = 0; i < channels->n; i++) {
		channels->entries[i]->channel.n_messages = 0;
		channels->entries[i]->channel.last_sequence = 0;
	}
}

int fnx_mcap_reader_seek(struct fnx_mcap_reader *reader, uint64_t log_time_ns)
{
	struct summary summary = {.from_ns = log_time_ns, .first_chunk = UINT64_MAX};
	struct mcap_record record;
	uint64_t offset;
	int r;

	/* Without a Header there is nothing to seek in, as next will say. */
	if (reader->data_offset == 0 && fnx_mcap_reader_step(reader, &record) != 1)
		return 0;
	r = read_summary(reader, &summary);
	if (r < 0 && r != -ENODATA)
		return r;
	offset = reader->data_offset;
	if (r == 0 && summary.has_chunks) {
		offset = summary.first_chunk;
		/* No chunk is late enough; something behind the last one may be. */
		if (offset == UINT64_MAX)
			offset = summary.last_chunk;
		if (offset < reader->data_offset || offset >= reader->file_size)
			offset = reader->data_offset;
	}
	count_anew(reader);
	reader->from_ns = log_time_ns;
	reader->error = (struct fnx_mcap_error){0};
	fnx_mcap_reader_jump(reader, offset);
	return 0;
}

const struct fnx_mcap_error *fnx_mcap_reader_error(const struct fnx_mcap_reader *reader)
{
	return &reader->error;
}

struct fnx_mcap_header fnx_mcap_reader_header(const struct fnx_mcap_reader *reader)
{
	if (!reader->header)
		return (struct fnx_mcap_header){"", ""};
	return (struct fnx_mcap_header){reader->header, reader->library};
}

void fnx_mcap_reader_stats(const struct fnx_mcap_reader *reader, struct fnx_mcap_stats *ret_stats)
{
	*ret_stats = reader->stats;
	ret_stats->n_schemas = (uint32_t)reader->catalog.schemas.n;
	ret_stats->n_channels = (uint32_t)reader->catalog.channels.n;
	ret_stats->n_attachments = (uint32_t)reader->catalog.attachments.n;
	ret_stats->n_metadata = (uint32_t)reader->catalog.metadata.n;
}

static const struct mcap_entry *entry_at(const struct mcap_list *list, size_t index)
{
	return index < list->n ? list->entries[index] : NULL;
}

const struct fnx_mcap_schema *fnx_mcap_reader_schema(
	const struct fnx_mcap_reader *reader, uint16_t id)
{
	const struct mcap_entry *entry = mcap_list_get(&reader->catalog.schemas, id);

	return entry ? &entry->schema : NULL;
}

const struct fnx_mcap_channel *fnx_mcap_reader_channel(
	const struct fnx_mcap_reader *reader, uint16_t id)
{
	const struct mcap_entry *entry = mcap_list_get(&reader->catalog.channels, id);

	return entry ? &entry->channel : NULL;
}

const struct fnx_mcap_schema *fnx_mcap_reader_schema_at(
	const struct fnx_mcap_reader *reader, size_t index)
{
	const struct mcap_entry *entry = entry_at(&reader->catalog.schemas, index);

	return entry ? &entry->schema : NULL;
}

const struct fnx_mcap_channel *fnx_mcap_reader_channel_at(
	const struct fnx_mcap_reader *reader, size_t index)
{
	const struct mcap_entry *entry = entry_at(&reader->catalog.channels, index);

	return entry ? &entry->channel : NULL;
}

const struct fnx_mcap_attachment *fnx_mcap_reader_attachment_at(
	const struct fnx_mcap_reader *reader, size_t index)
{
	const struct mcap_entry *entry = entry_at(&reader->catalog.attachments, index);

	return entry ? &entry->attachment : NULL;
}

const struct fnx_mcap_metadata *fnx_mcap_reader_metadata_at(
	const struct fnx_mcap_reader *reader, size_t index)
{
	const struct mcap_entry *entry = entry_at(&reader->catalog.metadata, index);

	return entry ? &entry->metadata : NULL;
}

int fnx_mcap_reader_attachment_data(const struct fnx_mcap_reader *reader, size_t index,
	uint64_t offset, void *data, size_t size)
{
	const struct fnx_mcap_attachment *attachment = fnx_mcap_reader_attachment_at(reader, index);
	size_t done = 0;

	if (!attachment)
		return -ENOENT;
	if (offset > attachment->data_size || size > attachment->data_size - offset)
		return -EINVAL;
	while (done < size) {
		ssize_t n = pread(reader->fd, (uint8_t *)data + done, size - done,
			(off_t)(attachment->data_offset + offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}
