/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of the MCAP files of bus/: numbers and strings on the wire, and the catalog of
 * schemas, channels, attachments and metadata that writer and reader have in common. Not for others
 * to include.
 *
 * Every record is
 *	0 u8 opcode | 1 u64 size of the content | 9 content
 * little-endian; a string is u32 size + bytes; maps and arrays are u32 size in bytes + elements.
 */
#pragma once

#include <endian.h>
#include <string.h>

#include "bus/mcap.h"

enum mcap_opcode {
	MCAP_HEADER = 0x01,
	MCAP_FOOTER = 0x02,
	MCAP_SCHEMA = 0x03,
	MCAP_CHANNEL = 0x04,
	MCAP_MESSAGE = 0x05,
	MCAP_CHUNK = 0x06,
	MCAP_MESSAGE_INDEX = 0x07,
	MCAP_CHUNK_INDEX = 0x08,
	MCAP_ATTACHMENT = 0x09,
	MCAP_ATTACHMENT_INDEX = 0x0a,
	MCAP_STATISTICS = 0x0b,
	MCAP_METADATA = 0x0c,
	MCAP_METADATA_INDEX = 0x0d,
	MCAP_SUMMARY_OFFSET = 0x0e,
	MCAP_DATA_END = 0x0f,
	MCAP_EXTENSION = 0x80, /* from here on: an application's own, passed over */
};

enum {
	MCAP_MAGIC_SIZE = 8,
	MCAP_HEAD_SIZE = 9, /* opcode and size */
	MCAP_MESSAGE_SIZE = 22, /* channel, sequence, two times; then the payload */
	MCAP_FOOTER_SIZE = 20,
};

extern const uint8_t fnx_mcap_magic[MCAP_MAGIC_SIZE];

static inline void put_u16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void put_u64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint16_t get_u16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static inline uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t get_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

/* Bytes being put together. A failure sticks: append at will, look at `error` once at the end. */
struct mcap_bytes {
	uint8_t *data;
	size_t size;
	size_t capacity;
	int error; /* -ENOMEM, or -E2BIG: a string or map beyond 4 GiB */
};

FNX_MUST_CHECK int fnx_mcap_bytes_reserve(struct mcap_bytes *bytes, size_t more);
void fnx_mcap_bytes_fini(struct mcap_bytes *bytes);
void fnx_mcap_bytes_add(struct mcap_bytes *bytes, const void *data, size_t size);
void fnx_mcap_bytes_u8(struct mcap_bytes *bytes, uint8_t value);
void fnx_mcap_bytes_u16(struct mcap_bytes *bytes, uint16_t value);
void fnx_mcap_bytes_u32(struct mcap_bytes *bytes, uint32_t value);
void fnx_mcap_bytes_u64(struct mcap_bytes *bytes, uint64_t value);
void fnx_mcap_bytes_string(struct mcap_bytes *bytes, const char *string);
void fnx_mcap_bytes_pairs(
	struct mcap_bytes *bytes, const struct fnx_mcap_pair *pairs, size_t n_pairs);
/* A record is begun, its content added, and ended: its size is filled in then. */
size_t fnx_mcap_bytes_begin(struct mcap_bytes *bytes, enum mcap_opcode opcode);
void fnx_mcap_bytes_end(struct mcap_bytes *bytes, size_t begin);

/* Bytes being taken apart. Reading beyond the end yields zeros and sets `bad`, which sticks. */
struct mcap_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct mcap_cursor mcap_cursor(const void *data, size_t size)
{
	return (struct mcap_cursor){.at = data, .end = (const uint8_t *)data + size};
}

static inline size_t mcap_cursor_left(const struct mcap_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* `size` bytes, or NULL. */
const uint8_t *fnx_mcap_cursor_take(struct mcap_cursor *cursor, uint64_t size);
uint16_t fnx_mcap_cursor_u16(struct mcap_cursor *cursor);
uint32_t fnx_mcap_cursor_u32(struct mcap_cursor *cursor);
uint64_t fnx_mcap_cursor_u64(struct mcap_cursor *cursor);
/* A string, array or map as a cursor of its own. */
struct mcap_cursor fnx_mcap_cursor_block(struct mcap_cursor *cursor);

/* One schema, channel, attachment or metadata record: what it says, with its strings ended by 0,
 * and the bytes it came from. */
struct mcap_entry {
	uint16_t id; /* schemas and channels */
	uint64_t offset; /* attachments and metadata: where in the file */
	union {
		struct fnx_mcap_schema schema;
		struct fnx_mcap_channel channel;
		struct fnx_mcap_attachment attachment;
		struct fnx_mcap_metadata metadata;
	};
	const uint8_t *body; /* the record's content; of an attachment up to its media type */
	size_t body_size;
	uint64_t record_size; /* attachments and metadata: opcode and size included */
	uint64_t chunk_count; /* channels: scratch of the index builder */
	uint8_t *chunk_at;
};

struct mcap_list {
	struct mcap_entry **entries;
	size_t n;
	size_t capacity;
	struct mcap_entry **by_id[256]; /* pages of 256, by the upper half of the id */
};

struct mcap_catalog {
	struct mcap_list schemas;
	struct mcap_list channels;
	struct mcap_list attachments; /* by offset */
	struct mcap_list metadata; /* by offset */
	size_t size;
	size_t max_size;
};

enum mcap_catalog_answer {
	MCAP_KNOWN = 1, /* the very same is there */
};

/* Each takes the content of a record. 0: added; MCAP_KNOWN; -EEXIST: the id is another's; -EBADMSG;
 * -ENOENT: a channel's schema is not there; -EFBIG: beyond max_size; -ENOMEM. */
FNX_MUST_CHECK int fnx_mcap_catalog_schema(
	struct mcap_catalog *catalog, const void *body, size_t size);
FNX_MUST_CHECK int fnx_mcap_catalog_channel(
	struct mcap_catalog *catalog, const void *body, size_t size);
FNX_MUST_CHECK int fnx_mcap_catalog_metadata(
	struct mcap_catalog *catalog, uint64_t offset, const void *body, size_t size);
/* `body`: log time, create time, name, media type. */
FNX_MUST_CHECK int fnx_mcap_catalog_attachment(struct mcap_catalog *catalog, uint64_t offset,
	const void *body, size_t size, uint64_t data_size);
/* Takes back the entry added last. */
void fnx_mcap_catalog_undo(struct mcap_catalog *catalog, struct mcap_list *list);
void fnx_mcap_catalog_fini(struct mcap_catalog *catalog);

static inline struct mcap_entry *mcap_list_get(const struct mcap_list *list, uint16_t id)
{
	struct mcap_entry **page = list->by_id[id >> 8];

	return page ? page[id & 0xff] : NULL;
}
