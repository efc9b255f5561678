/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of a chunk. Its CRC is checked as a whole before the first record is looked at, and
 * then the records are walked one by one: an uncompressed chunk in the window, where it was read, a
 * compressed one in a buffer of its own.
 */
#include "bus/mcap_read.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

static int decompress(struct fnx_mcap_reader *reader, struct mcap_reader_chunk *chunk,
	const uint8_t *bytes, uint64_t plain_size)
{
	size_t size;

	if (plain_size > reader->limits.max_chunk_size)
		return fnx_mcap_reader_over(
			reader, -EFBIG, "a chunk exceeds the limit", chunk->offset);
	if (!reader->zstd)
		reader->zstd = ZSTD_createDCtx();
	if (!reader->zstd)
		return fnx_mcap_reader_failed(reader, -ENOMEM, chunk->offset);
	if (plain_size > reader->plain_capacity || !reader->plain) {
		size_t capacity =
			mcap_room(plain_size, reader->largest_plain, reader->limits.max_chunk_size);

		free(reader->plain);
		reader->plain_capacity = 0;
		reader->plain = malloc(capacity ? capacity : 1);
		if (!reader->plain)
			return fnx_mcap_reader_failed(reader, -ENOMEM, chunk->offset);
		reader->plain_capacity = capacity;
	}
	size = ZSTD_decompressDCtx(
		reader->zstd, reader->plain, plain_size, bytes, chunk->compressed_size);
	if (ZSTD_isError(size) || size != plain_size)
		return fnx_mcap_reader_damaged(
			reader, "a chunk does not decompress", chunk->offset);
	chunk->records = reader->plain;
	chunk->compression = FNX_MCAP_ZSTD;
	reader->n_zstd_chunks++;
	return 0;
}

static bool is_name(const struct mcap_cursor *name, const char *expected)
{
	size_t size = strlen(expected);

	return mcap_cursor_left(name) == size &&
		(size == 0 || memcmp(name->at, expected, size) == 0);
}

int fnx_mcap_reader_chunk(struct fnx_mcap_reader *reader, const struct mcap_record *record)
{
	struct mcap_cursor cursor =
		mcap_cursor(record->body, (size_t)(record->size - MCAP_HEAD_SIZE));
	struct mcap_reader_chunk chunk = {.offset = record->offset, .size = record->size};
	struct mcap_cursor name;
	const uint8_t *bytes;
	uint64_t plain_size;
	uint32_t crc;
	int r;

	reader->chunked = true;
	chunk.start_time_ns = fnx_mcap_cursor_u64(&cursor);
	chunk.end_time_ns = fnx_mcap_cursor_u64(&cursor);
	plain_size = fnx_mcap_cursor_u64(&cursor);
	crc = fnx_mcap_cursor_u32(&cursor);
	name = fnx_mcap_cursor_block(&cursor);
	chunk.compressed_size = fnx_mcap_cursor_u64(&cursor);
	bytes = fnx_mcap_cursor_take(&cursor, chunk.compressed_size);
	if (cursor.bad)
		return fnx_mcap_reader_damaged(reader, "malformed Chunk", record->offset);
	if (is_name(&name, "zstd")) {
		r = decompress(reader, &chunk, bytes, plain_size);
		if (r != 0)
			return r;
	} else if (is_name(&name, "")) {
		if (plain_size != chunk.compressed_size)
			return fnx_mcap_reader_damaged(
				reader, "a chunk's sizes disagree", record->offset);
		chunk.records = bytes;
		chunk.records_offset = record->offset + record->size - mcap_cursor_left(&cursor) -
			chunk.compressed_size;
		chunk.compression = FNX_MCAP_NONE;
	} else {
		return fnx_mcap_reader_over(reader, -EOPNOTSUPP,
			is_name(&name, "lz4") ? "lz4 compression is not supported"
					      : "unknown compression",
			record->offset);
	}
	chunk.records_size = (size_t)plain_size;
	if (crc != 0 && crc32_z(0, chunk.records, chunk.records_size) != crc)
		return fnx_mcap_reader_damaged(
			reader, "the CRC of a chunk is wrong", record->offset);
	chunk.active = true;
	reader->chunk = chunk;
	reader->stats.n_chunks++;
	return 0;
}

static int take_message(struct fnx_mcap_reader *reader, const uint8_t *body, uint64_t size,
	uint64_t offset, struct fnx_mcap_message *ret_message)
{
	struct fnx_mcap_stats *stats = &reader->stats;
	struct mcap_entry *entry;
	uint64_t log_time_ns;

	if (size < MCAP_MESSAGE_SIZE)
		return fnx_mcap_reader_damaged(reader, "malformed Message", offset);
	entry = mcap_list_get(&reader->catalog.channels, get_u16(body));
	if (!entry)
		return fnx_mcap_reader_damaged(reader, "a Message's channel is unknown", offset);
	log_time_ns = get_u64(body + 6);
	*ret_message = (struct fnx_mcap_message){
		.channel = &entry->channel,
		.sequence = get_u32(body + 2),
		.log_time_ns = log_time_ns,
		.publish_time_ns = get_u64(body + 14),
		.data = body + MCAP_MESSAGE_SIZE,
		.size = (size_t)(size - MCAP_MESSAGE_SIZE),
	};
	if (log_time_ns < reader->from_ns)
		return 0;
	entry->channel.n_messages++;
	entry->channel.last_sequence = ret_message->sequence;
	if (stats->n_messages == 0 || log_time_ns < stats->first_log_time_ns)
		stats->first_log_time_ns = log_time_ns;
	if (stats->n_messages == 0 || log_time_ns > stats->last_log_time_ns)
		stats->last_log_time_ns = log_time_ns;
	stats->n_messages++;
	return 1;
}

int fnx_mcap_reader_message(struct fnx_mcap_reader *reader, const struct mcap_record *record,
	struct fnx_mcap_message *ret_message)
{
	return take_message(
		reader, record->body, record->size - MCAP_HEAD_SIZE, record->offset, ret_message);
}

int fnx_mcap_reader_chunk_next(struct fnx_mcap_reader *reader, struct fnx_mcap_message *ret_message)
{
	struct mcap_reader_chunk *chunk = &reader->chunk;

	/* The window may have been elsewhere meanwhile, to look at the summary. */
	if (chunk->compression == FNX_MCAP_NONE) {
		int r = fnx_mcap_reader_fetch(
			reader, chunk->records_offset, chunk->records_size, &chunk->records);

		if (r < 0)
			return fnx_mcap_reader_failed(reader, r, chunk->offset);
	}
	while (chunk->at < chunk->records_size) {
		const uint8_t *at = chunk->records + chunk->at;
		size_t left = chunk->records_size - chunk->at;
		uint8_t opcode = at[0];
		uint64_t size;
		int r = 0;

		if (left < MCAP_HEAD_SIZE)
			return fnx_mcap_reader_damaged(
				reader, "a chunk ends within a record", chunk->offset);
		size = get_u64(at + 1);
		if (size > left - MCAP_HEAD_SIZE)
			return fnx_mcap_reader_damaged(
				reader, "a record exceeds its chunk", chunk->offset);
		chunk->at += MCAP_HEAD_SIZE + (size_t)size;
		at += MCAP_HEAD_SIZE;
		switch (opcode) {
		case MCAP_MESSAGE:
			r = take_message(reader, at, size, chunk->offset, ret_message);
			break;
		case MCAP_SCHEMA:
			r = fnx_mcap_reader_noted(reader,
				fnx_mcap_catalog_schema(&reader->catalog, at, size), chunk->offset);
			break;
		case MCAP_CHANNEL:
			r = fnx_mcap_reader_noted(reader,
				fnx_mcap_catalog_channel(&reader->catalog, at, size),
				chunk->offset);
			break;
		default:
			if (opcode <= MCAP_DATA_END)
				return fnx_mcap_reader_damaged(
					reader, "a record that no chunk may hold", chunk->offset);
		}
		if (r != 0)
			return r;
	}
	chunk->active = false;
	return 0;
}
