/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table (LevelDB's, read in reverse): the last 48 bytes say where the index block is; its
 * values say where the data blocks are; in a block each key shares a prefix with the one before it.
 * A block is followed by its kind of compression (0: none) and a masked CRC-32C of both.
 *
 * The first key is empty and leads to the header (number of shards, byte order); each other is a
 * tensor's name and leads to its type, shape, shard, offset, size and masked CRC-32C.
 */
#include "nodes/fornix/saved_model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/fornix/proto.h"
#include "schemas/text.h"

enum {
	FOOTER_SIZE = 48,
	TRAILER_SIZE = 5, /* of a block */
	SHARDS_MAX = 64,
	FILE_MAX = 1 << 28,
	TYPE_FLOAT = 1,
};

struct file {
	char path[4096];
	uint8_t *bytes;
	size_t size;
};

struct read {
	struct fnx_saved_model *model;
	const char *directory;
	char *error;
	struct file index, shards[SHARDS_MAX];
	uint32_t n_shards; /* 0: no header yet */
};

/* What the table says of a tensor. */
struct entry {
	uint64_t type, shard, offset, size;
	uint32_t crc;
	bool partitioned;
};

__attribute__((format(printf, 4, 5))) static int fail(
	const struct read *read, const char *path, int r, const char *format, ...)
{
	int n = snprintf(read->error, FNX_NETWORK_ERROR_MAX, "%.300s: ", path);
	va_list list;

	va_start(list, format);
	vsnprintf(read->error + n, FNX_NETWORK_ERROR_MAX - (size_t)n, format, list);
	va_end(list);
	/* It may hold words of the file, and shall be one line. */
	fnx_text_copy(read->error, read->error, FNX_NETWORK_ERROR_MAX);
	return r;
}

uint32_t fnx_crc32c(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint32_t crc = ~UINT32_C(0);

	for (; size--; at++) {
		crc ^= *at;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return ~crc;
}

/* As stored: a CRC of bytes that hold CRCs would be weak. */
static uint32_t mask(uint32_t crc)
{
	return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

static int read_file(const struct read *read, const char *name, struct file *file)
{
	FILE *stream;
	long size = -1;
	int r = 0;

	if (snprintf(file->path, sizeof(file->path), "%s/%s", read->directory, name) >=
		(int)sizeof(file->path))
		return fail(read, read->directory, -ENAMETOOLONG, "the path is too long");
	stream = fopen(file->path, "rb");
	if (!stream)
		return fail(read, file->path, -errno, "%s", strerror(errno));
	if (!fseek(stream, 0, SEEK_END))
		size = ftell(stream);
	if (size < 0 || size > FILE_MAX || fseek(stream, 0, SEEK_SET)) {
		r = fail(read, file->path, -EBADMSG, "not a file of at most %d MB", FILE_MAX >> 20);
	} else {
		file->size = (size_t)size;
		file->bytes = malloc(file->size + 1);
		if (!file->bytes)
			r = fail(read, file->path, -ENOMEM, "out of memory");
		else if (fread(file->bytes, 1, file->size, stream) != file->size)
			r = fail(read, file->path, -EIO, "cannot be read");
	}
	fclose(stream);
	return r;
}

/* The table
 * --------------------------------------------------------------------------------------------- */

static int take_handle(struct fnx_span *span, uint64_t *ret_offset, uint64_t *ret_size)
{
	int r = fnx_span_varint(span, ret_offset);

	return r ? r : fnx_span_varint(span, ret_size);
}

/* The entries of the block that a handle names, restart points cut off. */
static int get_block(
	const struct file *file, uint64_t offset, uint64_t size, struct fnx_span *ret_entries)
{
	struct fnx_span whole = {file->bytes, file->bytes + file->size}, skipped, block, tail;
	uint32_t crc, n_restarts;

	if (fnx_span_take(&whole, offset, &skipped) || fnx_span_take(&whole, size, &block) ||
		size < 4 || whole.end - whole.at < TRAILER_SIZE)
		return -EBADMSG;
	tail = (struct fnx_span){whole.at + 1, whole.end};
	/* Compressed blocks are possible and never written by TensorFlow. */
	if (*whole.at != 0 || fnx_span_u32(&tail, &crc) ||
		crc != mask(fnx_crc32c(block.at, size + 1)))
		return -EBADMSG;
	tail = (struct fnx_span){block.end - 4, block.end};
	if (fnx_span_u32(&tail, &n_restarts) || n_restarts > (size - 4) / 4)
		return -EBADMSG;
	*ret_entries = (struct fnx_span){block.at, block.end - 4 - 4 * (size_t)n_restarts};
	return 0;
}

struct key {
	char text[FNX_SAVED_MODEL_NAME_MAX];
	size_t size;
};

/* `key` holds the one before. 1; 0: the block has ended; -EBADMSG. */
static int next_entry(struct fnx_span *entries, struct key *key, struct fnx_span *ret_value)
{
	uint64_t shared, added, size;
	struct fnx_span bytes;

	if (entries->at == entries->end)
		return 0;
	if (fnx_span_varint(entries, &shared) || fnx_span_varint(entries, &added) ||
		fnx_span_varint(entries, &size) || fnx_span_take(entries, added, &bytes) ||
		fnx_span_take(entries, size, ret_value))
		return -EBADMSG;
	if (shared > key->size || added >= sizeof(key->text) - shared)
		return -EBADMSG;
	memcpy(key->text + shared, bytes.at, added);
	key->size = shared + added;
	key->text[key->size] = 0;
	return strlen(key->text) == key->size ? 1 : -EBADMSG;
}

/* Tensors
 * --------------------------------------------------------------------------------------------- */

static int parse_shape(struct fnx_span shape, struct fnx_tensor *tensor)
{
	struct fnx_proto_field field, inner;
	int r;

	while ((r = fnx_proto_next(&shape, &field)) == 1) {
		struct fnx_span extent = field.bytes;
		uint64_t size = 0;

		if (field.number != 2 || field.wire != FNX_PROTO_BYTES)
			continue;
		while ((r = fnx_proto_next(&extent, &inner)) == 1)
			if (inner.number == 1 && inner.wire == FNX_PROTO_VARINT)
				size = inner.value;
		if (r || tensor->rank == FNX_SAVED_MODEL_RANK_MAX || size > FNX_NETWORK_SIZE_MAX ||
			__builtin_mul_overflow(tensor->n, size, &tensor->n))
			return -EBADMSG;
		tensor->extents[tensor->rank++] = size;
	}
	return r;
}

static int parse_entry(struct fnx_span value, struct entry *entry, struct fnx_tensor *tensor)
{
	struct fnx_proto_field field;
	int r;

	*entry = (struct entry){0};
	while ((r = fnx_proto_next(&value, &field)) == 1) {
		if (field.number == 1 && field.wire == FNX_PROTO_VARINT)
			entry->type = field.value;
		else if (field.number == 2 && field.wire == FNX_PROTO_BYTES)
			r = parse_shape(field.bytes, tensor);
		else if (field.number == 3 && field.wire == FNX_PROTO_VARINT)
			entry->shard = field.value;
		else if (field.number == 4 && field.wire == FNX_PROTO_VARINT)
			entry->offset = field.value;
		else if (field.number == 5 && field.wire == FNX_PROTO_VARINT)
			entry->size = field.value;
		else if (field.number == 6 && field.wire == FNX_PROTO_FIXED32)
			entry->crc = (uint32_t)field.value;
		else if (field.number == 7)
			entry->partitioned = true;
		if (r < 0)
			return r;
	}
	return r;
}

static int read_values(struct read *read, const struct entry *entry, struct fnx_tensor *tensor)
{
	struct file *file;
	char name[80];
	int r = 0;

	if (entry->shard >= read->n_shards || tensor->n > FNX_NETWORK_SIZE_MAX ||
		entry->size != tensor->n * sizeof(float) || entry->partitioned)
		return -EBADMSG;
	file = &read->shards[entry->shard];
	snprintf(name, sizeof(name), "variables/variables.data-%05u-of-%05u",
		(unsigned)entry->shard, read->n_shards);
	if (!file->bytes)
		r = read_file(read, name, file);
	if (r)
		return r;
	if (entry->offset > file->size || entry->size > file->size - entry->offset)
		return fail(read, file->path, -EBADMSG, "cut off within %.80s", tensor->name);
	if (mask(fnx_crc32c(file->bytes + entry->offset, entry->size)) != entry->crc)
		return fail(read, file->path, -EBADMSG, "damaged within %.80s", tensor->name);
	tensor->values = malloc(entry->size ? entry->size : 1);
	if (!tensor->values)
		return fail(read, file->path, -ENOMEM, "out of memory");
	memcpy(tensor->values, file->bytes + entry->offset, entry->size);
	return 0;
}

/* Version and order of bytes are those of every machine that fornix runs on. */
static int parse_header(struct read *read, struct fnx_span value)
{
	struct fnx_proto_field field;
	int r;

	while ((r = fnx_proto_next(&value, &field)) == 1) {
		if (field.number == 1 && field.wire == FNX_PROTO_VARINT &&
			field.value <= SHARDS_MAX)
			read->n_shards = (uint32_t)field.value;
		if (field.number == 2 && field.value != 0)
			return -EBADMSG;
	}
	return r < 0 || !read->n_shards ? -EBADMSG : 0;
}

static int add_tensor(struct read *read, const struct key *key, struct fnx_span value)
{
	struct fnx_saved_model *model = read->model;
	struct fnx_tensor *tensor = &model->tensors[model->n_tensors];
	struct entry entry;
	int r;

	if (model->n_tensors == FNX_SAVED_MODEL_TENSORS_MAX)
		return -EBADMSG;
	*tensor = (struct fnx_tensor){.n = 1};
	memcpy(tensor->name, key->text, key->size + 1);
	r = parse_entry(value, &entry, tensor);
	/* Counters and the graph of objects are of other types. */
	if (!r && entry.type == TYPE_FLOAT)
		r = read_values(read, &entry, tensor);
	if (!r)
		model->n_tensors++;
	return r;
}

static int read_block(struct read *read, struct fnx_span entries)
{
	struct key key = {.size = 0};
	struct fnx_span value;
	int r;

	while ((r = next_entry(&entries, &key, &value)) == 1) {
		r = key.size ? add_tensor(read, &key, value) : parse_header(read, value);
		if (r)
			return r;
	}
	return r;
}

static int read_table(struct read *read)
{
	static const uint8_t magic[8] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};
	const struct file *file = &read->index;
	struct key key = {.size = 0};
	struct fnx_span footer, index, value, entries;
	uint64_t offset, size;
	int r;

	if (file->size < FOOTER_SIZE || memcmp(file->bytes + file->size - 8, magic, 8))
		return fail(read, file->path, -EBADMSG, "cut off, or no table of variables");
	footer = (struct fnx_span){
		file->bytes + file->size - FOOTER_SIZE, file->bytes + file->size - 8};
	r = take_handle(&footer, &offset, &size);
	if (!r)
		r = take_handle(&footer, &offset, &size);
	if (!r)
		r = get_block(file, offset, size, &index);
	while (!r && (r = next_entry(&index, &key, &value)) == 1) {
		r = take_handle(&value, &offset, &size);
		if (!r)
			r = get_block(file, offset, size, &entries);
		if (!r)
			r = read_block(read, entries);
	}
	if (r == -EBADMSG && !read->error[0])
		fail(read, file->path, r, "damaged, or of an unknown form");
	return r;
}

/* Description
 * --------------------------------------------------------------------------------------------- */

/* A text that describes a whole model, not one layer. */
static bool describes_model(struct fnx_span identifier)
{
	static const char *const names[] = {
		"_tf_keras_sequential", "_tf_keras_network", "_tf_keras_model"};
	size_t size = (size_t)(identifier.end - identifier.at);

	for (int i = 0; i < 3; i++)
		if (size == strlen(names[i]) && !memcmp(identifier.at, names[i], size))
			return true;
	return false;
}

/* The first such text among the messages `number` of `message`; its identifier and text are fields
 * `identifier` and `text` there. */
static struct fnx_span find_description(
	struct fnx_span message, uint32_t number, uint32_t identifier, uint32_t text)
{
	struct fnx_proto_field field, inner;

	while (fnx_proto_next(&message, &field) == 1) {
		struct fnx_span node = field.bytes, found = {0};
		bool fits = false;

		if (field.number != number || field.wire != FNX_PROTO_BYTES)
			continue;
		while (fnx_proto_next(&node, &inner) == 1) {
			if (inner.wire != FNX_PROTO_BYTES)
				continue;
			if (inner.number == identifier)
				fits = describes_model(inner.bytes);
			if (inner.number == text)
				found = inner.bytes;
		}
		if (fits && found.at)
			return found;
	}
	return (struct fnx_span){0};
}

/* All fields `path` of `message`, one within the other, down to the objects of a saved graph. */
static struct fnx_span find_in_graph(struct fnx_span message, const uint32_t *path)
{
	struct fnx_proto_field field;
	struct fnx_span found = {0};

	while (!found.at && fnx_proto_next(&message, &field) == 1) {
		if (field.number != path[0] || field.wire != FNX_PROTO_BYTES)
			continue;
		found = path[1] ? find_in_graph(field.bytes, path + 1)
				: find_description(field.bytes, 4, 1, 3);
	}
	return found;
}

static int read_description(struct read *read)
{
	/* meta_graphs, object_graph_def, nodes; then user_object */
	static const uint32_t path[] = {2, 7, 1, 0};
	struct file file = {.bytes = NULL};
	struct fnx_span found;
	int r = read_file(read, "keras_metadata.pb", &file);
	bool older = r == -ENOENT;

	if (older)
		r = read_file(read, "saved_model.pb", &file);
	if (!r) {
		struct fnx_span whole = {file.bytes, file.bytes + file.size};

		found = older ? find_in_graph(whole, path) : find_description(whole, 1, 4, 5);
		if (!found.at)
			r = fail(read, file.path, -EBADMSG,
				"no description of a Keras model there, or damaged");
		else
			read->model->description =
				strndup((const char *)found.at, (size_t)(found.end - found.at));
		if (!r && !read->model->description)
			r = fail(read, file.path, -ENOMEM, "out of memory");
	}
	free(file.bytes);
	return r;
}

int fnx_saved_model_read(const char *directory, struct fnx_saved_model *ret_model, char *error)
{
	struct fnx_saved_model model = {0};
	struct read *read = calloc(1, sizeof(*read));
	int r;

	error[0] = 0;
	model.tensors = calloc(FNX_SAVED_MODEL_TENSORS_MAX, sizeof(*model.tensors));
	if (!read || !model.tensors) {
		snprintf(error, FNX_NETWORK_ERROR_MAX, "%.300s: out of memory", directory);
		free(read);
		free(model.tensors);
		return -ENOMEM;
	}
	read->model = &model;
	read->directory = directory;
	read->error = error;
	r = read_description(read);
	error[0] = r ? error[0] : 0;
	if (!r)
		r = read_file(read, "variables/variables.index", &read->index);
	if (!r)
		r = read_table(read);
	free(read->index.bytes);
	for (uint32_t i = 0; i < SHARDS_MAX; i++)
		free(read->shards[i].bytes);
	free(read);
	if (r)
		fnx_saved_model_fini(&model);
	else
		*ret_model = model;
	return r;
}

void fnx_saved_model_fini(struct fnx_saved_model *model)
{
	for (uint32_t i = 0; i < model->n_tensors; i++)
		free(model->tensors[i].values);
	free(model->tensors);
	free(model->description);
	*model = (struct fnx_saved_model){0};
}

const struct fnx_tensor *fnx_saved_model_find(const struct fnx_saved_model *model, const char *name)
{
	for (uint32_t i = 0; i < model->n_tensors; i++)
		if (model->tensors[i].values && !strcmp(model->tensors[i].name, name))
			return &model->tensors[i];
	return NULL;
}
