/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the open chunk to the file: message indexes, compression, one write, a note for the summary.
 *
 * Message indexes are not gathered message by message: their content stands in the records already,
 * and walking these once per chunk needs no memory per message.
 */
#include "bus/mcap_write.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

enum {
	MESSAGE_HEAD_SIZE = MCAP_HEAD_SIZE + MCAP_MESSAGE_SIZE,
	INDEX_HEAD_SIZE = MCAP_HEAD_SIZE + 2 + 4,
	INDEX_ENTRY_SIZE = 16,
	CHUNK_SIZE_AT = MCAP_HEAD_SIZE + 16,
};

size_t fnx_mcap_writer_index_size(const struct fnx_mcap_writer *writer)
{
	/* One message may begin just below chunk_size. */
	size_t max_records = writer->chunk_size / MESSAGE_HEAD_SIZE + 1;

	return max_records * INDEX_ENTRY_SIZE + (size_t)writer->max_channels * INDEX_HEAD_SIZE;
}

int fnx_mcap_writer_index(struct fnx_mcap_writer *writer, const uint8_t *records, size_t size)
{
	const struct mcap_list *channels = &writer->catalog.channels;
	uint64_t total = 0;
	uint8_t *at;
	int r;

	for (size_t i = 0; i < channels->n; i++)
		channels->entries[i]->chunk_count = 0;
	for (size_t p = 0; p < size; p += MCAP_HEAD_SIZE + get_u64(records + p + 1)) {
		if (records[p] == MCAP_MESSAGE)
			mcap_list_get(channels, get_u16(records + p + 9))->chunk_count++;
	}
	for (size_t i = 0; i < channels->n; i++) {
		uint64_t count = channels->entries[i]->chunk_count;

		total += count ? INDEX_HEAD_SIZE + count * INDEX_ENTRY_SIZE : 0;
	}
	writer->index.size = 0;
	r = fnx_mcap_bytes_reserve(&writer->index, total);
	if (r < 0)
		return r;
	writer->index.size = total;
	at = writer->index.data;
	for (size_t i = 0; i < channels->n; i++) {
		struct mcap_entry *entry = channels->entries[i];
		uint32_t entries_size = (uint32_t)entry->chunk_count * INDEX_ENTRY_SIZE;

		if (entry->chunk_count == 0)
			continue;
		at[0] = MCAP_MESSAGE_INDEX;
		put_u64(at + 1, 2 + 4 + entries_size);
		put_u16(at + 9, entry->id);
		put_u32(at + 11, entries_size);
		entry->chunk_at = at + INDEX_HEAD_SIZE;
		at += INDEX_HEAD_SIZE + entries_size;
	}
	for (size_t p = 0; p < size; p += MCAP_HEAD_SIZE + get_u64(records + p + 1)) {
		struct mcap_entry *entry;

		if (records[p] != MCAP_MESSAGE)
			continue;
		entry = mcap_list_get(channels, get_u16(records + p + 9));
		memcpy(entry->chunk_at, records + p + 15, sizeof(uint64_t));
		put_u64(entry->chunk_at + 8, p);
		entry->chunk_at += INDEX_ENTRY_SIZE;
	}
	return 0;
}

int fnx_mcap_writer_note_chunk(struct fnx_mcap_writer *writer, const struct mcap_chunk_info *info,
	uint64_t index_offset, const uint8_t *index, size_t index_size)
{
	struct mcap_bytes *bytes = &writer->chunk_indexes;
	size_t before = bytes->size;
	size_t begin;
	size_t map;
	int r;

	begin = fnx_mcap_bytes_begin(bytes, MCAP_CHUNK_INDEX);
	fnx_mcap_bytes_u64(bytes, info->start_time_ns);
	fnx_mcap_bytes_u64(bytes, info->end_time_ns);
	fnx_mcap_bytes_u64(bytes, info->offset);
	fnx_mcap_bytes_u64(bytes, info->size);
	map = bytes->size;
	fnx_mcap_bytes_u32(bytes, 0);
	for (size_t p = 0; p < index_size; p += MCAP_HEAD_SIZE + get_u64(index + p + 1)) {
		fnx_mcap_bytes_u16(bytes, get_u16(index + p + 9));
		fnx_mcap_bytes_u64(bytes, index_offset + p);
	}
	if (!bytes->error)
		put_u32(bytes->data + map, (uint32_t)(bytes->size - map - 4));
	fnx_mcap_bytes_u64(bytes, index_size);
	fnx_mcap_bytes_string(bytes, mcap_compression_name(info->compression));
	fnx_mcap_bytes_u64(bytes, info->compressed_size);
	fnx_mcap_bytes_u64(bytes, info->uncompressed_size);
	fnx_mcap_bytes_end(bytes, begin);
	r = bytes->error;
	if (r < 0) {
		bytes->size = before;
		bytes->error = 0;
		return r;
	}
	writer->stats.file.n_chunks++;
	return 0;
}

static int seal(struct fnx_mcap_writer *writer)
{
	const char *name;
	uint8_t *at = writer->head;
	int r = fnx_mcap_writer_index(writer, writer->records, writer->records_size);

	if (r < 0)
		return r;
	writer->image = writer->records;
	writer->image_size = writer->records_size;
	writer->image_compression = FNX_MCAP_NONE;
	if (writer->compression == FNX_MCAP_ZSTD) {
		size_t size = ZSTD_compressCCtx(writer->zstd, writer->compressed,
			writer->compressed_capacity, writer->records, writer->records_size,
			writer->level);

		if (!ZSTD_isError(size) && size < writer->records_size) {
			writer->image = writer->compressed;
			writer->image_size = size;
			writer->image_compression = FNX_MCAP_ZSTD;
		}
	}
	name = mcap_compression_name(writer->image_compression);
	writer->head_size = CHUNK_SIZE_AT + 8 + 4 + 4 + strlen(name) + 8;
	at[0] = MCAP_CHUNK;
	put_u64(at + 1, writer->head_size - MCAP_HEAD_SIZE + writer->image_size);
	put_u64(at + MCAP_HEAD_SIZE, writer->start_time_ns);
	put_u64(at + MCAP_HEAD_SIZE + 8, writer->end_time_ns);
	put_u64(at + CHUNK_SIZE_AT, writer->records_size);
	put_u32(at + CHUNK_SIZE_AT + 8,
		(uint32_t)crc32_z(0, writer->records, writer->records_size));
	put_u32(at + CHUNK_SIZE_AT + 12, (uint32_t)strlen(name));
	memcpy(at + CHUNK_SIZE_AT + 16, name, strlen(name));
	put_u64(at + writer->head_size - 8, writer->image_size);
	writer->sealed = true;
	return 0;
}

int fnx_mcap_writer_write_chunk(struct fnx_mcap_writer *writer)
{
	struct mcap_chunk_info info;
	size_t noted;
	int r;

	r = writer->sealed ? 0 : seal(writer);
	if (r < 0)
		return r;
	info = (struct mcap_chunk_info){
		.offset = writer->offset,
		.size = writer->head_size + writer->image_size,
		.start_time_ns = writer->start_time_ns,
		.end_time_ns = writer->end_time_ns,
		.compression = writer->image_compression,
		.compressed_size = writer->image_size,
		.uncompressed_size = writer->records_size,
	};
	/* Noted before it is written: what can run out of memory comes before what cannot be
	 * undone. */
	noted = writer->chunk_indexes.size;
	r = fnx_mcap_writer_note_chunk(
		writer, &info, info.offset + info.size, writer->index.data, writer->index.size);
	if (r < 0)
		return r;
	r = fnx_mcap_writer_append(writer,
		(struct iovec[]){{writer->head, writer->head_size},
			{(void *)(uintptr_t)writer->image, writer->image_size},
			{writer->index.data, writer->index.size}},
		3);
	if (r < 0) {
		writer->chunk_indexes.size = noted;
		writer->stats.file.n_chunks--;
		return r;
	}
	writer->sealed = false;
	writer->records_size = 0;
	writer->n_records = 0;
	return 0;
}

int fnx_mcap_writer_flush(struct fnx_mcap_writer *writer)
{
	if (writer->loaned)
		return -EBUSY;
	return writer->records_size > 0 ? fnx_mcap_writer_write_chunk(writer) : 0;
}
