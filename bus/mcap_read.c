/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader walks the records of the file, and inside a chunk those of the chunk. It holds one
 * record at a time (the window) and one decompressed chunk; every size is compared with what is
 * left of the file, the record or the limits before it is used.
 *
 *	START -> DATA -> SUMMARY -> OVER: answer
 *	  \________\_______\_________^  END, CUT or an error, repeated until skip or seek
 *
 * Cut or damaged? A record that reaches beyond the end of the file means a cut one, since files are
 * only appended to. Unless the file ends with footer and magic, or the record is a chunk that
 * contradicts itself: then its size is wrong, and taking it for a cut would let a reopening throw
 * away what follows it. Zeros from here to the end are a cut too: that is what a file system leaves
 * of a write after a power cut.
 */
#include "bus/mcap_read.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum {
	CHUNK_HEAD_SIZE = 8 + 8 + 8 + 4 + 4, /* up to the compression's name */
};

static int cut(struct fnx_mcap_reader *reader, uint64_t offset)
{
	reader->skip_offset = 0;
	return fnx_mcap_reader_over(reader, FNX_MCAP_CUT, "the file ends in the middle", offset);
}

static int zeros_to_end(struct fnx_mcap_reader *reader, uint64_t offset)
{
	while (offset < reader->file_size) {
		uint64_t left = reader->file_size - offset;
		uint64_t piece = left < MCAP_WINDOW_SIZE ? left : MCAP_WINDOW_SIZE;
		const uint8_t *bytes;
		int r = fnx_mcap_reader_fetch(reader, offset, piece, &bytes);

		if (r < 0)
			return r;
		for (uint64_t i = 0; i < piece; i++) {
			if (bytes[i])
				return 0;
		}
		offset += piece;
	}
	return 1;
}

/* 1: the file ends with a footer and magic; 0: it does not. */
static int has_end(struct fnx_mcap_reader *reader)
{
	const uint64_t size = MCAP_HEAD_SIZE + MCAP_FOOTER_SIZE + MCAP_MAGIC_SIZE;
	const uint8_t *at;
	int r;

	if (reader->file_size < MCAP_MAGIC_SIZE + size)
		return 0;
	r = fnx_mcap_reader_fetch(reader, reader->file_size - size, size, &at);
	if (r < 0)
		return r;
	return at[0] == MCAP_FOOTER && get_u64(at + 1) == MCAP_FOOTER_SIZE &&
		memcmp(at + size - MCAP_MAGIC_SIZE, fnx_mcap_magic, MCAP_MAGIC_SIZE) == 0;
}

/* A chunk says its size twice. 1: both agree, as far as they are there. */
static int chunk_agrees(struct fnx_mcap_reader *reader, uint64_t offset, uint64_t size)
{
	uint64_t left = reader->file_size - offset;
	const uint8_t *at;
	uint32_t name_size;
	int r;

	if (left < MCAP_HEAD_SIZE + CHUNK_HEAD_SIZE)
		return 1;
	r = fnx_mcap_reader_fetch(reader, offset, MCAP_HEAD_SIZE + CHUNK_HEAD_SIZE, &at);
	if (r < 0)
		return r;
	name_size = get_u32(at + MCAP_HEAD_SIZE + CHUNK_HEAD_SIZE - 4);
	offset += MCAP_HEAD_SIZE + CHUNK_HEAD_SIZE;
	left -= MCAP_HEAD_SIZE + CHUNK_HEAD_SIZE;
	if (name_size > size || left < (uint64_t)name_size + 8)
		return name_size < 16;
	r = fnx_mcap_reader_fetch(reader, offset + name_size, 8, &at);
	if (r < 0)
		return r;
	return size - CHUNK_HEAD_SIZE - name_size - 8 == get_u64(at);
}

/* The record does not fit into what is left of the file. */
static int too_long(struct fnx_mcap_reader *reader, const struct mcap_record *record, uint64_t size)
{
	int r = has_end(reader);

	if (r == 0) {
		r = record->opcode == MCAP_CHUNK ? chunk_agrees(reader, record->offset, size) : 1;
		if (r == 1)
			return cut(reader, record->offset);
	}
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, record->offset);
	return fnx_mcap_reader_damaged(reader, "a record's size is wrong", record->offset);
}

static int read_header(struct fnx_mcap_reader *reader, struct mcap_record *ret_record)
{
	uint64_t have = reader->file_size < MCAP_MAGIC_SIZE ? reader->file_size : MCAP_MAGIC_SIZE;
	struct mcap_cursor cursor;
	struct mcap_cursor profile;
	struct mcap_cursor library;
	const uint8_t *at;
	uint64_t size;
	int r;

	if (have == 0)
		return cut(reader, 0);
	r = fnx_mcap_reader_fetch(reader, 0, have, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, 0);
	if (memcmp(at, fnx_mcap_magic, have) != 0)
		return fnx_mcap_reader_damaged(reader, "not an MCAP file", 0);
	if (reader->file_size < MCAP_MAGIC_SIZE + MCAP_HEAD_SIZE)
		return cut(reader, have);
	r = fnx_mcap_reader_fetch(reader, 0, MCAP_MAGIC_SIZE + MCAP_HEAD_SIZE, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, 0);
	size = get_u64(at + MCAP_MAGIC_SIZE + 1);
	*ret_record =
		(struct mcap_record){.opcode = at[MCAP_MAGIC_SIZE], .offset = MCAP_MAGIC_SIZE};
	if (ret_record->opcode != MCAP_HEADER)
		return fnx_mcap_reader_damaged(
			reader, "the first record is not a Header", MCAP_MAGIC_SIZE);
	if (size > reader->file_size - MCAP_MAGIC_SIZE - MCAP_HEAD_SIZE)
		return too_long(reader, ret_record, size);
	if (size > reader->limits.max_record_size)
		return fnx_mcap_reader_over(
			reader, -EFBIG, "the Header exceeds the limit", MCAP_MAGIC_SIZE);
	ret_record->size = MCAP_HEAD_SIZE + size;
	r = fnx_mcap_reader_fetch(reader, 0, MCAP_MAGIC_SIZE + ret_record->size, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, 0);
	ret_record->body = at + MCAP_MAGIC_SIZE + MCAP_HEAD_SIZE;
	cursor = mcap_cursor(ret_record->body, size);
	profile = fnx_mcap_cursor_block(&cursor);
	library = fnx_mcap_cursor_block(&cursor);
	if (cursor.bad)
		return fnx_mcap_reader_damaged(reader, "malformed Header", MCAP_MAGIC_SIZE);
	reader->header = calloc(1, size + 2);
	if (!reader->header)
		return fnx_mcap_reader_failed(reader, -ENOMEM, MCAP_MAGIC_SIZE);
	if (mcap_cursor_left(&profile) > 0)
		memcpy(reader->header, profile.at, mcap_cursor_left(&profile));
	reader->library = reader->header + mcap_cursor_left(&profile) + 1;
	if (mcap_cursor_left(&library) > 0)
		memcpy(reader->header + mcap_cursor_left(&profile) + 1, library.at,
			mcap_cursor_left(&library));
	reader->crc = (uint32_t)crc32_z(0, at, MCAP_MAGIC_SIZE + ret_record->size);
	reader->offset = MCAP_MAGIC_SIZE + ret_record->size;
	reader->data_offset = reader->offset;
	reader->state = MCAP_READ_DATA;
	return 1;
}

/* Attachments are not held: their CRC is taken piece by piece. */
static int read_attachment(struct fnx_mcap_reader *reader, const struct mcap_record *record)
{
	uint64_t body_at = record->offset + MCAP_HEAD_SIZE;
	uint64_t left = record->size - MCAP_HEAD_SIZE;
	uint64_t head = 8 + 8;
	uint32_t crc = 0;
	const uint8_t *at;
	uint64_t data_size;
	int r;

	for (int i = 0; i < 2; i++) { /* name, media type */
		if (left < head + 4)
			return fnx_mcap_reader_damaged(
				reader, "malformed Attachment", record->offset);
		r = fnx_mcap_reader_fetch(reader, body_at + head, 4, &at);
		if (r < 0)
			return fnx_mcap_reader_failed(reader, r, record->offset);
		head += 4 + (uint64_t)get_u32(at);
	}
	if (left < 8 + 4 || head > left - 8 - 4)
		return fnx_mcap_reader_damaged(reader, "malformed Attachment", record->offset);
	if (head > reader->limits.max_catalog_size)
		return fnx_mcap_reader_over(
			reader, -EFBIG, "an attachment's name exceeds the limit", record->offset);
	r = fnx_mcap_reader_fetch(reader, body_at, head + 8, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, record->offset);
	data_size = get_u64(at + head);
	if (data_size != left - head - 8 - 4)
		return fnx_mcap_reader_damaged(reader, "malformed Attachment", record->offset);
	r = fnx_mcap_reader_crc(reader, body_at, left - 4, &crc);
	if (r == 0)
		r = fnx_mcap_reader_fetch(reader, body_at + left - 4, 4, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, record->offset);
	if (get_u32(at) != 0 && get_u32(at) != crc)
		return fnx_mcap_reader_damaged(
			reader, "the CRC of an attachment is wrong", record->offset);
	r = fnx_mcap_reader_fetch(reader, body_at, head, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, record->offset);
	r = fnx_mcap_catalog_attachment(&reader->catalog, record->offset, at, head, data_size);
	return fnx_mcap_reader_noted(reader, r, record->offset);
}

static int read_data_end(struct fnx_mcap_reader *reader, const struct mcap_record *record)
{
	uint32_t crc;

	if (record->size < MCAP_HEAD_SIZE + 4)
		return fnx_mcap_reader_damaged(reader, "malformed DataEnd", record->offset);
	reader->closed = true;
	crc = get_u32(record->body);
	if (reader->linear && crc != 0 && crc != reader->crc)
		return fnx_mcap_reader_damaged(
			reader, "the CRC of the data section is wrong", record->offset);
	return 0;
}

/* The last record: everything behind it is magic, everything before it back to the summary under
 * its CRC. */
static int read_footer(struct fnx_mcap_reader *reader, const struct mcap_record *record)
{
	uint64_t summary_at;
	uint64_t end = record->offset + record->size;
	uint32_t expected;
	uint32_t crc = 0;
	const uint8_t *at;
	uint64_t have;
	int r;

	if (record->size != MCAP_HEAD_SIZE + MCAP_FOOTER_SIZE)
		return fnx_mcap_reader_damaged(reader, "malformed Footer", record->offset);
	summary_at = get_u64(record->body);
	expected = get_u32(record->body + 16);
	if (summary_at > record->offset || get_u64(record->body + 8) > record->offset)
		return fnx_mcap_reader_damaged(
			reader, "the Footer points behind itself", record->offset);
	if (summary_at == 0)
		summary_at = record->offset;
	have = reader->file_size - end;
	if (have > MCAP_MAGIC_SIZE)
		return fnx_mcap_reader_damaged(reader, "there are bytes behind the end", end);
	if (expected != 0) {
		r = fnx_mcap_reader_crc(reader, summary_at, end - 4 - summary_at, &crc);
		if (r < 0)
			return fnx_mcap_reader_failed(reader, r, record->offset);
		if (crc != expected)
			return fnx_mcap_reader_damaged(
				reader, "the CRC of the summary is wrong", record->offset);
	}
	if (have > 0) {
		r = fnx_mcap_reader_fetch(reader, end, have, &at);
		if (r < 0)
			return fnx_mcap_reader_failed(reader, r, end);
		if (memcmp(at, fnx_mcap_magic, have) != 0)
			return fnx_mcap_reader_damaged(
				reader, "the magic at the end is wrong", end);
	}
	if (have < MCAP_MAGIC_SIZE)
		return cut(reader, end);
	return fnx_mcap_reader_over(reader, FNX_MCAP_END, NULL, end);
}

static int read_data_record(struct fnx_mcap_reader *reader, const struct mcap_record *record)
{
	size_t size = (size_t)(record->size - MCAP_HEAD_SIZE);
	uint64_t offset = record->offset;

	switch (record->opcode) {
	case MCAP_SCHEMA:
		return fnx_mcap_reader_noted(reader,
			fnx_mcap_catalog_schema(&reader->catalog, record->body, size), offset);
	case MCAP_CHANNEL:
		return fnx_mcap_reader_noted(reader,
			fnx_mcap_catalog_channel(&reader->catalog, record->body, size), offset);
	case MCAP_METADATA:
		return fnx_mcap_reader_noted(reader,
			fnx_mcap_catalog_metadata(&reader->catalog, offset, record->body, size),
			offset);
	case MCAP_ATTACHMENT:
		return read_attachment(reader, record);
	case MCAP_CHUNK:
		return fnx_mcap_reader_chunk(reader, record);
	case MCAP_MESSAGE:
		/* Nobody writes both ways, and one flipped bit makes a MessageIndex a Message. */
		return reader->chunked
			? fnx_mcap_reader_damaged(reader, "a Message outside of the chunks", offset)
			: 0;
	case MCAP_MESSAGE_INDEX:
		if (reader->indexless)
			return fnx_mcap_reader_damaged(
				reader, "a MessageIndex without its Chunk", offset);
		if (size < 6 || get_u32(record->body + 2) % 16 != 0 ||
			get_u32(record->body + 2) > size - 6)
			return fnx_mcap_reader_damaged(reader, "malformed MessageIndex", offset);
		return 0;
	case MCAP_DATA_END:
		return read_data_end(reader, record);
	default:
		return fnx_mcap_reader_damaged(
			reader, "a record that the data section may not hold", offset);
	}
}

static int read_summary_record(struct fnx_mcap_reader *reader, const struct mcap_record *record)
{
	size_t size = (size_t)(record->size - MCAP_HEAD_SIZE);

	switch (record->opcode) {
	case MCAP_SCHEMA:
		return fnx_mcap_reader_noted(reader,
			fnx_mcap_catalog_schema(&reader->catalog, record->body, size),
			record->offset);
	case MCAP_CHANNEL:
		return fnx_mcap_reader_noted(reader,
			fnx_mcap_catalog_channel(&reader->catalog, record->body, size),
			record->offset);
	case MCAP_CHUNK_INDEX:
	case MCAP_ATTACHMENT_INDEX:
	case MCAP_STATISTICS:
	case MCAP_METADATA_INDEX:
	case MCAP_SUMMARY_OFFSET:
		return 0;
	default:
		return fnx_mcap_reader_damaged(
			reader, "a record that the summary may not hold", record->offset);
	}
}

/* Reads the record's frame and, where it is to be held, its content. 1, or an answer. */
static int read_record(struct fnx_mcap_reader *reader, struct mcap_record *record)
{
	uint64_t left = reader->file_size - reader->offset;
	const uint8_t *at;
	uint64_t size;
	int r;

	*record = (struct mcap_record){.offset = reader->offset};
	reader->skip_offset = 0;
	if (left < MCAP_HEAD_SIZE)
		return too_long(reader, record, 0);
	r = fnx_mcap_reader_fetch(reader, record->offset, MCAP_HEAD_SIZE, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, record->offset);
	record->opcode = at[0];
	size = get_u64(at + 1);
	if (record->opcode == 0) {
		r = zeros_to_end(reader, record->offset);
		if (r < 0)
			return fnx_mcap_reader_failed(reader, r, record->offset);
		return r == 1 ? cut(reader, record->offset)
			      : fnx_mcap_reader_damaged(
					reader, "there is no record here", record->offset);
	}
	if (size > left - MCAP_HEAD_SIZE)
		return too_long(reader, record, size);
	record->size = MCAP_HEAD_SIZE + size;
	reader->skip_offset = record->offset + record->size;
	if (record->opcode > MCAP_DATA_END && record->opcode < MCAP_EXTENSION)
		return fnx_mcap_reader_damaged(
			reader, "a record of an unknown kind", record->offset);
	if (record->opcode >= MCAP_EXTENSION || record->opcode == MCAP_ATTACHMENT)
		return 1;
	if (size > reader->limits.max_record_size)
		return fnx_mcap_reader_over(
			reader, -EFBIG, "a record exceeds the limit", record->offset);
	r = fnx_mcap_reader_fetch(reader, record->offset, record->size, &at);
	if (r < 0)
		return fnx_mcap_reader_failed(reader, r, record->offset);
	record->body = at + MCAP_HEAD_SIZE;
	return 1;
}

static int advance(struct fnx_mcap_reader *reader, struct mcap_record *record)
{
	uint64_t end = record->offset + record->size;
	int r = 0;

	if (reader->state == MCAP_READ_DATA && reader->linear && record->opcode != MCAP_DATA_END) {
		if (record->body)
			reader->crc = (uint32_t)crc32_z(
				reader->crc, record->body - MCAP_HEAD_SIZE, (size_t)record->size);
		else
			r = fnx_mcap_reader_crc(reader, record->offset, record->size, &reader->crc);
		if (r < 0)
			return fnx_mcap_reader_failed(reader, r, record->offset);
	}
	reader->offset = end;
	reader->indexless = record->opcode != MCAP_CHUNK && record->opcode != MCAP_MESSAGE_INDEX;
	if (record->opcode == MCAP_DATA_END)
		reader->state = MCAP_READ_SUMMARY;
	return 1;
}

int fnx_mcap_reader_step(struct fnx_mcap_reader *reader, struct mcap_record *ret_record)
{
	int r;

	if (reader->state == MCAP_READ_OVER)
		return reader->answer;
	if (reader->state == MCAP_READ_START)
		return read_header(reader, ret_record);
	r = read_record(reader, ret_record);
	if (r != 1)
		return r;
	r = 0;
	if (ret_record->opcode >= MCAP_EXTENSION)
		; /* nothing we know of */
	else if (reader->state == MCAP_READ_DATA)
		r = read_data_record(reader, ret_record);
	else if (ret_record->opcode == MCAP_FOOTER)
		return read_footer(reader, ret_record);
	else
		r = read_summary_record(reader, ret_record);
	return r != 0 ? r : advance(reader, ret_record);
}

int fnx_mcap_reader_next(struct fnx_mcap_reader *reader, struct fnx_mcap_message *ret_message)
{
	struct fnx_mcap_message message;
	struct mcap_record record;
	int r;

	for (;;) {
		if (reader->chunk.active) {
			r = fnx_mcap_reader_chunk_next(reader, &message);
			if (r == 1)
				break;
			if (r < 0)
				return r;
			continue;
		}
		r = fnx_mcap_reader_step(reader, &record);
		if (r != 1)
			return r;
		if (record.opcode != MCAP_MESSAGE)
			continue;
		r = fnx_mcap_reader_message(reader, &record, &message);
		if (r == 1)
			break;
		if (r < 0)
			return r;
	}
	*ret_message = message;
	return FNX_MCAP_MESSAGE;
}

void fnx_mcap_reader_jump(struct fnx_mcap_reader *reader, uint64_t offset)
{
	reader->indexless = false;
	reader->state = MCAP_READ_DATA;
	reader->offset = offset;
	reader->linear = false;
	reader->chunk.active = false;
	reader->answer = 0;
	reader->closed = false;
}

int fnx_mcap_reader_skip(struct fnx_mcap_reader *reader)
{
	bool closed = reader->closed;

	if (reader->state != MCAP_READ_OVER || reader->answer >= 0)
		return 0;
	if (reader->skip_offset == 0)
		return reader->answer;
	fnx_mcap_reader_jump(reader, reader->skip_offset);
	reader->skip_offset = 0;
	reader->closed = closed;
	if (closed)
		reader->state = MCAP_READ_SUMMARY;
	return 0;
}
