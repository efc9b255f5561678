/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An entry of the catalog is one allocation: the struct, its pairs, a copy of the record, and its
 * strings with a 0 behind each. A string's copy is shorter than its record by 3 bytes (the size is
 * 4, the 0 is 1), so twice the record's size is room for both, whatever the record says of itself.
 *
 * The copy of the record serves twice: records of one id must be equal byte for byte, and the
 * summary repeats them.
 */
#include "bus/mcap_wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

const uint8_t fnx_mcap_magic[MCAP_MAGIC_SIZE] = {0x89, 'M', 'C', 'A', 'P', '0', '\r', '\n'};

int fnx_mcap_bytes_reserve(struct mcap_bytes *bytes, size_t more)
{
	size_t need;
	size_t capacity = bytes->capacity ? bytes->capacity : 256;
	uint8_t *data;

	if (__builtin_add_overflow(bytes->size, more, &need))
		return -ENOMEM;
	if (need <= bytes->capacity)
		return 0;
	while (capacity < need) {
		if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
			return -ENOMEM;
	}
	data = realloc(bytes->data, capacity);
	if (!data)
		return -ENOMEM;
	bytes->data = data;
	bytes->capacity = capacity;
	return 0;
}

void fnx_mcap_bytes_fini(struct mcap_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct mcap_bytes){0};
}

void fnx_mcap_bytes_add(struct mcap_bytes *bytes, const void *data, size_t size)
{
	if (bytes->error || size == 0)
		return;
	bytes->error = fnx_mcap_bytes_reserve(bytes, size);
	if (bytes->error)
		return;
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

void fnx_mcap_bytes_u8(struct mcap_bytes *bytes, uint8_t value)
{
	fnx_mcap_bytes_add(bytes, &value, sizeof(value));
}

void fnx_mcap_bytes_u16(struct mcap_bytes *bytes, uint16_t value)
{
	uint8_t wire[sizeof(value)];

	put_u16(wire, value);
	fnx_mcap_bytes_add(bytes, wire, sizeof(wire));
}

void fnx_mcap_bytes_u32(struct mcap_bytes *bytes, uint32_t value)
{
	uint8_t wire[sizeof(value)];

	put_u32(wire, value);
	fnx_mcap_bytes_add(bytes, wire, sizeof(wire));
}

void fnx_mcap_bytes_u64(struct mcap_bytes *bytes, uint64_t value)
{
	uint8_t wire[sizeof(value)];

	put_u64(wire, value);
	fnx_mcap_bytes_add(bytes, wire, sizeof(wire));
}

void fnx_mcap_bytes_string(struct mcap_bytes *bytes, const char *string)
{
	size_t size = strlen(string);

	if (size > UINT32_MAX) {
		bytes->error = bytes->error ? bytes->error : -E2BIG;
		return;
	}
	fnx_mcap_bytes_u32(bytes, (uint32_t)size);
	fnx_mcap_bytes_add(bytes, string, size);
}

void fnx_mcap_bytes_pairs(
	struct mcap_bytes *bytes, const struct fnx_mcap_pair *pairs, size_t n_pairs)
{
	size_t at = bytes->size;
	size_t size;

	fnx_mcap_bytes_u32(bytes, 0);
	for (size_t i = 0; i < n_pairs; i++) {
		fnx_mcap_bytes_string(bytes, pairs[i].key);
		fnx_mcap_bytes_string(bytes, pairs[i].value);
	}
	if (bytes->error)
		return;
	size = bytes->size - at - sizeof(uint32_t);
	if (size > UINT32_MAX)
		bytes->error = -E2BIG;
	else
		put_u32(bytes->data + at, (uint32_t)size);
}

size_t fnx_mcap_bytes_begin(struct mcap_bytes *bytes, enum mcap_opcode opcode)
{
	size_t begin = bytes->size;

	fnx_mcap_bytes_u8(bytes, (uint8_t)opcode);
	fnx_mcap_bytes_u64(bytes, 0);
	return begin;
}

void fnx_mcap_bytes_end(struct mcap_bytes *bytes, size_t begin)
{
	if (!bytes->error)
		put_u64(bytes->data + begin + 1, bytes->size - begin - MCAP_HEAD_SIZE);
}

const uint8_t *fnx_mcap_cursor_take(struct mcap_cursor *cursor, uint64_t size)
{
	const uint8_t *at = cursor->at;

	if (cursor->bad || size > mcap_cursor_left(cursor)) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += size;
	return at;
}

uint16_t fnx_mcap_cursor_u16(struct mcap_cursor *cursor)
{
	const uint8_t *at = fnx_mcap_cursor_take(cursor, sizeof(uint16_t));

	return at ? get_u16(at) : 0;
}

uint32_t fnx_mcap_cursor_u32(struct mcap_cursor *cursor)
{
	const uint8_t *at = fnx_mcap_cursor_take(cursor, sizeof(uint32_t));

	return at ? get_u32(at) : 0;
}

uint64_t fnx_mcap_cursor_u64(struct mcap_cursor *cursor)
{
	const uint8_t *at = fnx_mcap_cursor_take(cursor, sizeof(uint64_t));

	return at ? get_u64(at) : 0;
}

struct mcap_cursor fnx_mcap_cursor_block(struct mcap_cursor *cursor)
{
	uint32_t size = fnx_mcap_cursor_u32(cursor);
	const uint8_t *at = fnx_mcap_cursor_take(cursor, size);

	return at ? mcap_cursor(at, size) : (struct mcap_cursor){0};
}

/* A C string cannot show a 0 within: such a name counts as damage rather than being shortened. */
static const char *take_string(struct mcap_cursor *cursor, char **text)
{
	struct mcap_cursor string = fnx_mcap_cursor_block(cursor);
	size_t size = mcap_cursor_left(&string);
	char *copy = *text;

	if (size > 0 && memchr(string.at, 0, size))
		cursor->bad = true;
	if (cursor->bad)
		return "";
	if (size > 0)
		memcpy(copy, string.at, size);
	copy[size] = 0;
	*text += size + 1;
	return copy;
}

/* How many pairs a map holds; what follows the last whole one is left to take_pairs to refuse. */
static size_t count_pairs(struct mcap_cursor map)
{
	size_t n = 0;

	while (!map.bad && mcap_cursor_left(&map) > 0) {
		fnx_mcap_cursor_block(&map);
		fnx_mcap_cursor_block(&map);
		n += !map.bad;
	}
	return n;
}

static void take_pairs(
	struct mcap_cursor *cursor, struct fnx_mcap_pair *pairs, size_t n_pairs, char **text)
{
	struct mcap_cursor map = fnx_mcap_cursor_block(cursor);

	for (size_t i = 0; i < n_pairs; i++) {
		pairs[i].key = take_string(&map, text);
		pairs[i].value = take_string(&map, text);
	}
	if (map.bad || mcap_cursor_left(&map) > 0)
		cursor->bad = true;
}

/* The entry, the place of its pairs and of its strings; the record's copy is in between. */
static int entry_new(struct mcap_catalog *catalog, const void *body, size_t size, size_t n_pairs,
	struct mcap_entry **ret_entry, struct fnx_mcap_pair **ret_pairs, char **ret_text)
{
	size_t head = sizeof(struct mcap_entry) + n_pairs * sizeof(struct fnx_mcap_pair);
	struct mcap_entry *entry;
	uint8_t *copy;

	/* n_pairs <= size / 8, so that nothing here can overflow before it is refused. */
	if (size > catalog->max_size || head + 2 * size > catalog->max_size - catalog->size)
		return -EFBIG;
	entry = calloc(1, head + 2 * size);
	if (!entry)
		return -ENOMEM;
	copy = (uint8_t *)entry + head;
	if (size > 0)
		memcpy(copy, body, size);
	entry->body = copy;
	entry->body_size = size;
	*ret_entry = entry;
	*ret_pairs = (struct fnx_mcap_pair *)(entry + 1);
	*ret_text = (char *)copy + size;
	return 0;
}

static size_t entry_size(const struct mcap_entry *entry)
{
	return (size_t)(entry->body - (const uint8_t *)entry) + 2 * entry->body_size;
}

static int list_reserve(struct mcap_list *list)
{
	size_t capacity = list->capacity ? 2 * list->capacity : 16;
	struct mcap_entry **entries;

	if (list->n < list->capacity)
		return 0;
	entries = realloc(list->entries, capacity * sizeof(entries[0]));
	if (!entries)
		return -ENOMEM;
	list->entries = entries;
	list->capacity = capacity;
	return 0;
}

static int add_by_id(struct mcap_catalog *catalog, struct mcap_list *list, struct mcap_entry *entry)
{
	struct mcap_entry ***page = &list->by_id[entry->id >> 8];
	int r = list_reserve(list);

	if (r < 0)
		return r;
	if (!*page)
		*page = calloc(256, sizeof(**page));
	if (!*page)
		return -ENOMEM;
	(*page)[entry->id & 0xff] = entry;
	list->entries[list->n++] = entry;
	catalog->size += entry_size(entry);
	return 0;
}

/* Nearly always the new one comes last; after a seek it may lie before others, or be there already.
 */
static int add_by_offset(
	struct mcap_catalog *catalog, struct mcap_list *list, struct mcap_entry *entry)
{
	size_t low = 0;
	size_t high = list->n;
	int r = list_reserve(list);

	if (r < 0)
		return r;
	if (list->n > 0 && list->entries[list->n - 1]->offset < entry->offset)
		low = list->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->entries[middle]->offset < entry->offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < list->n && list->entries[low]->offset == entry->offset)
		return MCAP_KNOWN;
	memmove(list->entries + low + 1, list->entries + low,
		(list->n - low) * sizeof(list->entries[0]));
	list->entries[low] = entry;
	list->n++;
	catalog->size += entry_size(entry);
	return 0;
}

static int known(const struct mcap_entry *entry, const void *body, size_t size)
{
	if (entry->body_size == size && memcmp(entry->body, body, size) == 0)
		return MCAP_KNOWN;
	return -EEXIST;
}

int fnx_mcap_catalog_schema(struct mcap_catalog *catalog, const void *body, size_t size)
{
	struct mcap_cursor cursor = mcap_cursor(body, size);
	uint16_t id = fnx_mcap_cursor_u16(&cursor);
	struct mcap_entry *entry = mcap_list_get(&catalog->schemas, id);
	struct fnx_mcap_pair *pairs;
	struct mcap_cursor data;
	char *text;
	int r;

	if (cursor.bad)
		return -EBADMSG;
	if (id == 0) /* readers are to ignore it */
		return MCAP_KNOWN;
	if (entry)
		return known(entry, body, size);
	r = entry_new(catalog, body, size, 0, &entry, &pairs, &text);
	if (r < 0)
		return r;
	cursor = mcap_cursor(entry->body + sizeof(uint16_t), size - sizeof(uint16_t));
	entry->id = id;
	entry->schema.id = id;
	entry->schema.name = take_string(&cursor, &text);
	entry->schema.encoding = take_string(&cursor, &text);
	data = fnx_mcap_cursor_block(&cursor);
	entry->schema.data = data.at;
	entry->schema.size = mcap_cursor_left(&data);
	r = cursor.bad ? -EBADMSG : add_by_id(catalog, &catalog->schemas, entry);
	if (r < 0)
		free(entry);
	return r;
}

int fnx_mcap_catalog_channel(struct mcap_catalog *catalog, const void *body, size_t size)
{
	struct mcap_cursor cursor = mcap_cursor(body, size);
	uint16_t id = fnx_mcap_cursor_u16(&cursor);
	uint16_t schema_id = fnx_mcap_cursor_u16(&cursor);
	struct mcap_entry *entry = mcap_list_get(&catalog->channels, id);
	struct fnx_mcap_channel *channel;
	struct fnx_mcap_pair *pairs;
	size_t n_pairs;
	char *text;
	int r;

	fnx_mcap_cursor_block(&cursor);
	fnx_mcap_cursor_block(&cursor);
	n_pairs = count_pairs(fnx_mcap_cursor_block(&cursor));
	if (cursor.bad)
		return -EBADMSG;
	if (entry)
		return known(entry, body, size);
	if (schema_id != 0 && !mcap_list_get(&catalog->schemas, schema_id))
		return -ENOENT;
	r = entry_new(catalog, body, size, n_pairs, &entry, &pairs, &text);
	if (r < 0)
		return r;
	cursor = mcap_cursor(entry->body + 2 * sizeof(uint16_t), size - 2 * sizeof(uint16_t));
	entry->id = id;
	channel = &entry->channel;
	channel->id = id;
	channel->schema_id = schema_id;
	channel->topic = take_string(&cursor, &text);
	channel->message_encoding = take_string(&cursor, &text);
	take_pairs(&cursor, pairs, n_pairs, &text);
	channel->metadata = pairs;
	channel->n_metadata = n_pairs;
	r = cursor.bad ? -EBADMSG : add_by_id(catalog, &catalog->channels, entry);
	if (r < 0)
		free(entry);
	return r;
}

int fnx_mcap_catalog_metadata(
	struct mcap_catalog *catalog, uint64_t offset, const void *body, size_t size)
{
	struct mcap_cursor cursor = mcap_cursor(body, size);
	struct mcap_entry *entry;
	struct fnx_mcap_pair *pairs;
	size_t n_pairs;
	char *text;
	int r;

	fnx_mcap_cursor_block(&cursor);
	n_pairs = count_pairs(fnx_mcap_cursor_block(&cursor));
	if (cursor.bad)
		return -EBADMSG;
	r = entry_new(catalog, body, size, n_pairs, &entry, &pairs, &text);
	if (r < 0)
		return r;
	cursor = mcap_cursor(entry->body, size);
	entry->offset = offset;
	entry->record_size = MCAP_HEAD_SIZE + size;
	entry->metadata.name = take_string(&cursor, &text);
	take_pairs(&cursor, pairs, n_pairs, &text);
	entry->metadata.pairs = pairs;
	entry->metadata.n_pairs = n_pairs;
	r = cursor.bad ? -EBADMSG : add_by_offset(catalog, &catalog->metadata, entry);
	if (r != 0)
		free(entry);
	return r;
}

int fnx_mcap_catalog_attachment(struct mcap_catalog *catalog, uint64_t offset, const void *body,
	size_t size, uint64_t data_size)
{
	struct mcap_cursor cursor;
	struct mcap_entry *entry;
	struct fnx_mcap_attachment *attachment;
	struct fnx_mcap_pair *pairs;
	char *text;
	int r;

	r = entry_new(catalog, body, size, 0, &entry, &pairs, &text);
	if (r < 0)
		return r;
	cursor = mcap_cursor(entry->body, size);
	entry->offset = offset;
	entry->record_size =
		MCAP_HEAD_SIZE + size + sizeof(uint64_t) + data_size + sizeof(uint32_t);
	attachment = &entry->attachment;
	attachment->log_time_ns = fnx_mcap_cursor_u64(&cursor);
	attachment->create_time_ns = fnx_mcap_cursor_u64(&cursor);
	attachment->name = take_string(&cursor, &text);
	attachment->media_type = take_string(&cursor, &text);
	attachment->data_offset = offset + MCAP_HEAD_SIZE + size + sizeof(uint64_t);
	attachment->data_size = data_size;
	r = cursor.bad ? -EBADMSG : add_by_offset(catalog, &catalog->attachments, entry);
	if (r != 0)
		free(entry);
	return r;
}

void fnx_mcap_catalog_undo(struct mcap_catalog *catalog, struct mcap_list *list)
{
	struct mcap_entry *entry;

	assert(list->n > 0);
	entry = list->entries[--list->n];
	if (list->by_id[entry->id >> 8])
		list->by_id[entry->id >> 8][entry->id & 0xff] = NULL;
	catalog->size -= entry_size(entry);
	free(entry);
}

static void list_fini(struct mcap_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->entries[i]);
	for (size_t i = 0; i < 256; i++)
		free(list->by_id[i]);
	free(list->entries);
	*list = (struct mcap_list){0};
}

void fnx_mcap_catalog_fini(struct mcap_catalog *catalog)
{
	list_fini(&catalog->schemas);
	list_fini(&catalog->channels);
	list_fini(&catalog->attachments);
	list_fini(&catalog->metadata);
	catalog->size = 0;
}
