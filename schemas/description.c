/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A description that is believed decides where readers look in a payload, and becomes Python that
 * people evaluate. So it is not checked piece by piece for harm but rebuilt: from names, types and
 * extents comes a schema, from that a layout and a hash, and only if these equal what the bytes
 * claim is it accepted.
 */
#include "schemas/description.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/codec.h"
#include "schemas/pack.h"
#include "schemas/text.h"
#include "schemas/tree.h"

enum {
	OBJECTS = 2048
};

struct block {
	struct fnx_description description;
	struct fnx_field fields[FNX_SCHEMA_FIELDS_MAX];
	char *next; /* free place in strings */
	char strings[];
};

/* Encoding
 * ----------------------------------------------------------------------------------------- */

static int pack_pair_text(struct fnx_pack *pack, const char *key, const char *value)
{
	int r = fnx_pack_name(pack, key);

	return r ? r : fnx_pack_name(pack, value);
}

static int pack_pair_uint(struct fnx_pack *pack, const char *key, uint64_t value)
{
	int r = fnx_pack_name(pack, key);

	return r ? r : msgpack_pack_uint64(&pack->packer, value);
}

static void type_text(enum fnx_type type, uint32_t size, char text[16])
{
	if (type == FNX_TYPE_text)
		snprintf(text, 16, "S%u", (unsigned)size);
	else
		snprintf(text, 16, "%s", fnx_type_code(type));
}

static int pack_shape(
	struct fnx_pack *pack, const struct fnx_layout *layout, const struct fnx_field *field)
{
	int r = fnx_pack_name(pack, "shape");

	r = r ? r : msgpack_pack_array(&pack->packer, field->n_dims);
	for (uint32_t d = 0; d < field->n_dims; d++)
		r = r ? r : msgpack_pack_uint32(&pack->packer, layout->extents[field->dims[d]]);
	r = r ? r : fnx_pack_name(pack, "dims");
	r = r ? r : msgpack_pack_array(&pack->packer, field->n_dims);
	for (uint32_t d = 0; d < field->n_dims; d++)
		r = r ? r : fnx_pack_name(pack, layout->schema->extents[field->dims[d]]);
	return r;
}

static int pack_field(struct fnx_pack *pack, const struct fnx_layout *layout, uint32_t i)
{
	const struct fnx_field *field = &layout->schema->fields[i];
	char type[16];
	int r = msgpack_pack_map(&pack->packer, 8);

	type_text(field->type, field->size, type);
	r = r ? r : pack_pair_text(pack, "name", field->name);
	r = r ? r : pack_pair_text(pack, "type", type);
	r = r ? r : pack_pair_text(pack, "unit", field->unit);
	r = r ? r : pack_pair_text(pack, "meaning", field->meaning);
	r = r ? r : pack_shape(pack, layout, field);
	r = r ? r : pack_pair_uint(pack, "offset", layout->offsets[i]);
	return r ? r : pack_pair_uint(pack, "size", layout->sizes[i]);
}

static int pack_description(struct fnx_pack *pack, const struct fnx_layout *layout)
{
	const struct fnx_schema *schema = layout->schema;
	int r = msgpack_pack_map(&pack->packer, 6);

	r = r ? r : pack_pair_text(pack, "name", schema->name);
	r = r ? r : pack_pair_uint(pack, "hash", fnx_schema_hash(schema));
	r = r ? r : pack_pair_uint(pack, "size", layout->size);
	r = r ? r : pack_pair_uint(pack, "struct_size", schema->struct_size);
	r = r ? r : fnx_pack_name(pack, "extents");
	r = r ? r : msgpack_pack_map(&pack->packer, schema->n_extents);
	for (uint32_t i = 0; i < schema->n_extents; i++)
		r = r ? r : pack_pair_uint(pack, schema->extents[i], layout->extents[i]);
	r = r ? r : fnx_pack_name(pack, "fields");
	r = r ? r : msgpack_pack_array(&pack->packer, schema->n_fields);
	for (uint32_t i = 0; i < schema->n_fields; i++)
		r = r ? r : pack_field(pack, layout, i);
	return r;
}

int fnx_description_encode(
	const struct fnx_layout *layout, void *buffer, size_t size, size_t *ret_size)
{
	struct fnx_pack pack;
	int r;

	fnx_pack_init(&pack, buffer, size < FNX_DESCRIPTION_MAX ? size : FNX_DESCRIPTION_MAX);
	r = pack_description(&pack, layout);
	if (r == 0)
		*ret_size = pack.used;
	return r;
}

/* Decoding
 * ----------------------------------------------------------------------------------------- */

/* Copies a string with its closing 0. In the bytes each string has a header of its own, so all of
 * them with a 0 each fit into as many bytes as the description has. NULL: no text. */
static const char *keep_text(struct block *block, const msgpack_object *text)
{
	char *kept = block->next;

	if (!text || text->type != MSGPACK_OBJECT_STR)
		return NULL;
	memcpy(kept, text->via.str.ptr, text->via.str.size);
	kept[text->via.str.size] = 0;
	block->next += text->via.str.size + 1;
	return kept;
}

static const char *keep_name(struct block *block, const msgpack_object *name)
{
	if (!name || name->type != MSGPACK_OBJECT_STR)
		return NULL;
	if (!fnx_text_identifier(name->via.str.ptr, name->via.str.size))
		return NULL;
	return keep_text(block, name);
}

/* `max` counts the closing 0. */
static const char *keep_line(struct block *block, const msgpack_object *line, size_t max)
{
	if (!line || line->type != MSGPACK_OBJECT_STR || line->via.str.size >= max)
		return NULL;
	if (!fnx_text_printable(line->via.str.ptr, line->via.str.size))
		return NULL;
	return keep_text(block, line);
}

static int find_uint(const msgpack_object *map, const char *key, uint32_t *ret)
{
	uint64_t value;

	if (fnx_tree_uint(fnx_tree_find(map, key), UINT32_MAX, &value) < 0)
		return -EBADMSG;
	*ret = (uint32_t)value;
	return 0;
}

static int read_extents(struct block *block, const msgpack_object *extents, uint32_t *ret_extents)
{
	struct fnx_schema *schema = &block->description.schema;

	if (!extents || extents->type != MSGPACK_OBJECT_MAP || !extents->via.map.ptr)
		return -EBADMSG;
	if (extents->via.map.size > FNX_SCHEMA_EXTENTS_MAX)
		return -EBADMSG;
	schema->n_extents = extents->via.map.size;
	for (uint32_t i = 0; i < schema->n_extents; i++) {
		const msgpack_object_kv *pair = &extents->via.map.ptr[i];
		uint64_t extent;

		schema->extents[i] = keep_name(block, &pair->key);
		if (!schema->extents[i] || fnx_tree_uint(&pair->val, UINT32_MAX, &extent) < 0)
			return -EBADMSG;
		for (uint32_t j = 0; j < i; j++)
			if (strcmp(schema->extents[j], schema->extents[i]) == 0)
				return -EBADMSG;
		ret_extents[i] = (uint32_t)extent;
	}
	return 0;
}

static int read_dims(
	const struct fnx_schema *schema, const msgpack_object *dims, struct fnx_field *field)
{
	if (!dims || dims->type != MSGPACK_OBJECT_ARRAY || dims->via.array.size > 2)
		return -EBADMSG;
	field->n_dims = dims->via.array.size;
	for (uint32_t d = 0; d < field->n_dims; d++) {
		uint32_t e = 0;

		while (e < schema->n_extents &&
			!fnx_tree_is(&dims->via.array.ptr[d], schema->extents[e]))
			e++;
		if (e == schema->n_extents)
			return -EBADMSG;
		field->dims[d] = e;
	}
	return 0;
}

static int read_type(const msgpack_object *type, uint32_t size, enum fnx_type *ret)
{
	char text[16];

	if (!type || type->type != MSGPACK_OBJECT_STR)
		return -EBADMSG;
	for (int t = FNX_TYPE_int8_t; t <= FNX_TYPE_text; t++) {
		type_text((enum fnx_type)t, size, text);
		if (fnx_tree_is(type, text)) {
			*ret = (enum fnx_type)t;
			return 0;
		}
	}
	return -EBADMSG;
}

static int read_field(struct block *block, const msgpack_object *from, uint32_t i)
{
	struct fnx_field *field = &block->fields[i];
	uint32_t offset, size;

	field->name = keep_name(block, fnx_tree_find(from, "name"));
	field->unit = keep_line(block, fnx_tree_find(from, "unit"), FNX_DESCRIPTION_UNIT_MAX);
	field->meaning =
		keep_line(block, fnx_tree_find(from, "meaning"), FNX_DESCRIPTION_MEANING_MAX);
	if (!field->name || !field->unit || !field->meaning || fnx_codec_reserved(field->name))
		return -EBADMSG;
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(block->fields[j].name, field->name) == 0)
			return -EBADMSG;
	if (find_uint(from, "offset", &offset) < 0 || find_uint(from, "size", &size) < 0)
		return -EBADMSG;
	if (read_type(fnx_tree_find(from, "type"), size, &field->type) < 0)
		return -EBADMSG;
	if (read_dims(&block->description.schema, fnx_tree_find(from, "dims"), field) < 0)
		return -EBADMSG;
	if (field->n_dims == 0) {
		field->offset = offset;
		field->size = size;
	}
	return 0;
}

/* Are these the places that the layout arrived at? */
static int check_field(const struct fnx_layout *layout, const msgpack_object *from, uint32_t i)
{
	const struct fnx_field *field = &layout->schema->fields[i];
	const msgpack_object *shape = fnx_tree_find(from, "shape");
	uint32_t offset, size;

	if (find_uint(from, "offset", &offset) < 0 || offset != layout->offsets[i])
		return -EBADMSG;
	if (find_uint(from, "size", &size) < 0 || size != layout->sizes[i])
		return -EBADMSG;
	if (!shape || shape->type != MSGPACK_OBJECT_ARRAY || shape->via.array.size != field->n_dims)
		return -EBADMSG;
	for (uint32_t d = 0; d < field->n_dims; d++) {
		uint64_t extent;

		if (fnx_tree_uint(&shape->via.array.ptr[d], UINT32_MAX, &extent) < 0 ||
			extent != layout->extents[field->dims[d]])
			return -EBADMSG;
	}
	return 0;
}

/* Arrays cannot overlap, as the layout itself places them; fields of the struct come with their
 * offsets. */
static int check_overlap(const struct fnx_schema *schema)
{
	for (uint32_t i = 0; i < schema->n_fields; i++)
		for (uint32_t j = 0; j < i; j++) {
			const struct fnx_field *a = &schema->fields[i], *b = &schema->fields[j];

			if (a->n_dims || b->n_dims)
				continue;
			if (a->offset < b->offset + b->size && b->offset < a->offset + a->size)
				return -EBADMSG;
		}
	return 0;
}

static int read_description(struct block *block, const msgpack_object *root)
{
	struct fnx_schema *schema = &block->description.schema;
	const struct fnx_layout *layout = &block->description.layout;
	const msgpack_object *fields = fnx_tree_find(root, "fields");
	uint32_t extents[FNX_SCHEMA_EXTENTS_MAX], size;
	uint64_t hash;

	schema->name = keep_name(block, fnx_tree_find(root, "name"));
	if (!schema->name || find_uint(root, "struct_size", &schema->struct_size) < 0)
		return -EBADMSG;
	if (read_extents(block, fnx_tree_find(root, "extents"), extents) < 0)
		return -EBADMSG;
	if (!fields || fields->type != MSGPACK_OBJECT_ARRAY || !fields->via.array.ptr ||
		fields->via.array.size > FNX_SCHEMA_FIELDS_MAX)
		return -EBADMSG;
	schema->fields = block->fields;
	schema->n_fields = fields->via.array.size;
	for (uint32_t i = 0; i < schema->n_fields; i++)
		if (read_field(block, &fields->via.array.ptr[i], i) < 0)
			return -EBADMSG;
	if (fnx_layout_init(&block->description.layout, schema, extents) < 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < schema->n_fields; i++)
		if (check_field(layout, &fields->via.array.ptr[i], i) < 0)
			return -EBADMSG;
	if (find_uint(root, "size", &size) < 0 || size != layout->size)
		return -EBADMSG;
	if (fnx_tree_uint(fnx_tree_find(root, "hash"), UINT64_MAX, &hash) < 0 ||
		hash != fnx_schema_hash(schema))
		return -EBADMSG;
	return check_overlap(schema);
}

static int decode_into(
	struct block *block, const struct fnx_tree *tree, const void *data, size_t size)
{
	msgpack_object root;
	int r = fnx_tree_parse(tree, data, size, &root);

	return r < 0 ? r : read_description(block, &root);
}

int fnx_description_decode(const void *data, size_t size, struct fnx_description **ret)
{
	struct fnx_tree tree = {.n_objects = OBJECTS};
	struct block *block;
	int r;

	if (size > FNX_DESCRIPTION_MAX)
		return -EBADMSG;
	tree.objects = malloc(OBJECTS * sizeof(*tree.objects));
	block = calloc(1, sizeof(*block) + size);
	r = -ENOMEM;
	if (tree.objects && block) {
		block->next = block->strings;
		r = decode_into(block, &tree, data, size);
	}
	free(tree.objects);
	if (r < 0) {
		free(block);
		return r;
	}
	*ret = &block->description;
	return 0;
}

struct fnx_description *fnx_description_free(struct fnx_description *description)
{
	free(description); /* the first member of its block */
	return NULL;
}
