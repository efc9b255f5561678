/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What closes a file: DataEnd, the summary in groups of one opcode each, the offsets of these
 * groups, the footer. All of it is put together in memory and written at once, so that a full disk
 * leaves either all of it or none.
 */
#include "bus/mcap_write.h"

#include <errno.h>
#include <zlib.h>

enum {
	MAX_GROUPS = 6,
};

struct summary {
	struct mcap_bytes bytes;
	uint64_t base; /* the offset of its first byte in the file */
	struct group {
		uint8_t opcode;
		size_t begin;
		size_t end;
	} groups[MAX_GROUPS];
	size_t n_groups;
};

static void end_group(struct summary *summary, enum mcap_opcode opcode, size_t begin)
{
	if (summary->bytes.size == begin)
		return;
	summary->groups[summary->n_groups++] =
		(struct group){(uint8_t)opcode, begin, summary->bytes.size};
}

static void add_copies(
	struct summary *summary, enum mcap_opcode opcode, const struct mcap_list *list)
{
	size_t begin = summary->bytes.size;

	for (size_t i = 0; i < list->n; i++) {
		size_t record = fnx_mcap_bytes_begin(&summary->bytes, opcode);

		fnx_mcap_bytes_add(
			&summary->bytes, list->entries[i]->body, list->entries[i]->body_size);
		fnx_mcap_bytes_end(&summary->bytes, record);
	}
	end_group(summary, opcode, begin);
}

static void add_statistics(struct summary *summary, const struct fnx_mcap_writer *writer)
{
	const struct mcap_list *channels = &writer->catalog.channels;
	struct mcap_bytes *bytes = &summary->bytes;
	struct fnx_mcap_writer_stats stats;
	size_t n_counts = 0;
	size_t begin;

	fnx_mcap_writer_stats(writer, &stats);
	for (size_t i = 0; i < channels->n; i++)
		n_counts += channels->entries[i]->channel.n_messages > 0;
	begin = fnx_mcap_bytes_begin(bytes, MCAP_STATISTICS);
	fnx_mcap_bytes_u64(bytes, stats.file.n_messages);
	fnx_mcap_bytes_u16(bytes, (uint16_t)stats.file.n_schemas);
	fnx_mcap_bytes_u32(bytes, stats.file.n_channels);
	fnx_mcap_bytes_u32(bytes, stats.file.n_attachments);
	fnx_mcap_bytes_u32(bytes, stats.file.n_metadata);
	fnx_mcap_bytes_u32(bytes, stats.file.n_chunks);
	fnx_mcap_bytes_u64(bytes, stats.file.first_log_time_ns);
	fnx_mcap_bytes_u64(bytes, stats.file.last_log_time_ns);
	fnx_mcap_bytes_u32(bytes, (uint32_t)(n_counts * 10));
	for (size_t i = 0; i < channels->n; i++) {
		const struct fnx_mcap_channel *channel = &channels->entries[i]->channel;

		if (channel->n_messages == 0)
			continue;
		fnx_mcap_bytes_u16(bytes, channel->id);
		fnx_mcap_bytes_u64(bytes, channel->n_messages);
	}
	fnx_mcap_bytes_end(bytes, begin);
	end_group(summary, MCAP_STATISTICS, begin);
}

static void add_attachment_indexes(struct summary *summary, const struct mcap_list *list)
{
	struct mcap_bytes *bytes = &summary->bytes;
	size_t begin = bytes->size;

	for (size_t i = 0; i < list->n; i++) {
		const struct mcap_entry *entry = list->entries[i];
		size_t record = fnx_mcap_bytes_begin(bytes, MCAP_ATTACHMENT_INDEX);

		fnx_mcap_bytes_u64(bytes, entry->offset);
		fnx_mcap_bytes_u64(bytes, entry->record_size);
		fnx_mcap_bytes_u64(bytes, entry->attachment.log_time_ns);
		fnx_mcap_bytes_u64(bytes, entry->attachment.create_time_ns);
		fnx_mcap_bytes_u64(bytes, entry->attachment.data_size);
		fnx_mcap_bytes_string(bytes, entry->attachment.name);
		fnx_mcap_bytes_string(bytes, entry->attachment.media_type);
		fnx_mcap_bytes_end(bytes, record);
	}
	end_group(summary, MCAP_ATTACHMENT_INDEX, begin);
}

static void add_metadata_indexes(struct summary *summary, const struct mcap_list *list)
{
	struct mcap_bytes *bytes = &summary->bytes;
	size_t begin = bytes->size;

	for (size_t i = 0; i < list->n; i++) {
		const struct mcap_entry *entry = list->entries[i];
		size_t record = fnx_mcap_bytes_begin(bytes, MCAP_METADATA_INDEX);

		fnx_mcap_bytes_u64(bytes, entry->offset);
		fnx_mcap_bytes_u64(bytes, entry->record_size);
		fnx_mcap_bytes_string(bytes, entry->metadata.name);
		fnx_mcap_bytes_end(bytes, record);
	}
	end_group(summary, MCAP_METADATA_INDEX, begin);
}

static void add_offsets(struct summary *summary)
{
	struct mcap_bytes *bytes = &summary->bytes;

	for (size_t i = 0; i < summary->n_groups; i++) {
		const struct group *group = &summary->groups[i];
		size_t record = fnx_mcap_bytes_begin(bytes, MCAP_SUMMARY_OFFSET);

		fnx_mcap_bytes_u8(bytes, group->opcode);
		fnx_mcap_bytes_u64(bytes, summary->base + group->begin);
		fnx_mcap_bytes_u64(bytes, group->end - group->begin);
		fnx_mcap_bytes_end(bytes, record);
	}
}

static void add_footer(struct summary *summary, size_t summary_at, size_t offsets_at)
{
	struct mcap_bytes *bytes = &summary->bytes;
	size_t begin = fnx_mcap_bytes_begin(bytes, MCAP_FOOTER);

	fnx_mcap_bytes_u64(bytes, summary->base + summary_at);
	fnx_mcap_bytes_u64(bytes, summary->base + offsets_at);
	put_u64(bytes->data + begin + 1,
		MCAP_FOOTER_SIZE); /* is under the CRC, so it comes first */
	fnx_mcap_bytes_u32(
		bytes, (uint32_t)crc32_z(0, bytes->data + summary_at, bytes->size - summary_at));
	fnx_mcap_bytes_add(bytes, fnx_mcap_magic, MCAP_MAGIC_SIZE);
}

int fnx_mcap_writer_finish(struct fnx_mcap_writer *writer)
{
	struct summary summary = {.base = writer->offset};
	struct mcap_bytes *bytes = &summary.bytes;
	struct iovec piece;
	size_t offsets_at;
	size_t data_end;
	size_t summary_at;
	size_t begin;
	int r;

	data_end = fnx_mcap_bytes_begin(bytes, MCAP_DATA_END);
	fnx_mcap_bytes_u32(bytes, writer->crc);
	fnx_mcap_bytes_end(bytes, data_end);
	summary_at = bytes->size;
	add_copies(&summary, MCAP_SCHEMA, &writer->catalog.schemas);
	add_copies(&summary, MCAP_CHANNEL, &writer->catalog.channels);
	add_statistics(&summary, writer);
	begin = bytes->size;
	fnx_mcap_bytes_add(bytes, writer->chunk_indexes.data, writer->chunk_indexes.size);
	end_group(&summary, MCAP_CHUNK_INDEX, begin);
	add_attachment_indexes(&summary, &writer->catalog.attachments);
	add_metadata_indexes(&summary, &writer->catalog.metadata);
	offsets_at = bytes->size;
	add_offsets(&summary);
	r = fnx_mcap_bytes_reserve(bytes, MCAP_HEAD_SIZE + MCAP_FOOTER_SIZE + MCAP_MAGIC_SIZE);
	if (bytes->error == 0)
		bytes->error = r;
	if (bytes->error == 0)
		add_footer(&summary, summary_at, offsets_at);
	piece = (struct iovec){bytes->data, bytes->size};
	r = bytes->error ? bytes->error : fnx_mcap_writer_append(writer, &piece, 1);
	fnx_mcap_bytes_fini(bytes);
	return r;
}
