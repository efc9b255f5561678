/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where things lie, and what to call it.
 *
 * A schema may have come out of a file or a segment (see description.h), so a layout checks what it
 * is made of; whoever holds a layout may then use its offsets and sizes without another look.
 */
#include "schemas/schema.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *code;
	uint32_t size;
} types[] = {
	[FNX_TYPE_int8_t] = {"|i1", 1},
	[FNX_TYPE_uint8_t] = {"|u1", 1},
	[FNX_TYPE_int16_t] = {"<i2", 2},
	[FNX_TYPE_uint16_t] = {"<u2", 2},
	[FNX_TYPE_int32_t] = {"<i4", 4},
	[FNX_TYPE_uint32_t] = {"<u4", 4},
	[FNX_TYPE_int64_t] = {"<i8", 8},
	[FNX_TYPE_uint64_t] = {"<u8", 8},
	[FNX_TYPE_float] = {"<f4", 4},
	[FNX_TYPE_double] = {"<f8", 8},
	[FNX_TYPE_text] = {"S", 1},
};

static int type_valid(enum fnx_type type)
{
	return (unsigned)type >= FNX_TYPE_int8_t && (unsigned)type <= FNX_TYPE_text;
}

uint32_t fnx_type_size(enum fnx_type type)
{
	return type_valid(type) ? types[type].size : 0;
}

const char *fnx_type_code(enum fnx_type type)
{
	return type_valid(type) ? types[type].code : "";
}

static uint64_t round_up_8(uint64_t size)
{
	return (size + 7) & ~(uint64_t)7;
}

static int place_in_struct(struct fnx_layout *layout, uint32_t i)
{
	const struct fnx_schema *schema = layout->schema;
	const struct fnx_field *field = &schema->fields[i];
	uint32_t size = fnx_type_size(field->type);

	if (field->type == FNX_TYPE_text ? field->size == 0 : field->size != size)
		return -EINVAL;
	if (field->offset % size)
		return -EINVAL;
	if (field->offset > schema->struct_size ||
		field->size > schema->struct_size - field->offset)
		return -EINVAL;
	layout->offsets[i] = field->offset;
	layout->sizes[i] = field->size;
	return 0;
}

/* `end` is where the payload ends so far; an array moves it. */
static int place_array(struct fnx_layout *layout, uint32_t i, uint64_t *end)
{
	const struct fnx_field *field = &layout->schema->fields[i];
	uint64_t size = fnx_type_size(field->type);

	if (field->type == FNX_TYPE_text || field->n_dims > 2)
		return -EINVAL;
	for (uint32_t d = 0; d < field->n_dims; d++) {
		if (field->dims[d] >= layout->schema->n_extents)
			return -EINVAL;
		size *= layout->extents[field->dims[d]];
		if (size > FNX_SCHEMA_PAYLOAD_MAX)
			return -E2BIG;
	}
	*end = round_up_8(*end);
	layout->offsets[i] = (uint32_t)*end;
	layout->sizes[i] = (uint32_t)size;
	*end += size;
	return *end > FNX_SCHEMA_PAYLOAD_MAX ? -E2BIG : 0;
}

int fnx_layout_init(
	struct fnx_layout *layout, const struct fnx_schema *schema, const uint32_t *extents)
{
	struct fnx_layout made = {.schema = schema};
	uint64_t end = schema->struct_size;

	if (schema->n_fields > FNX_SCHEMA_FIELDS_MAX || schema->n_extents > FNX_SCHEMA_EXTENTS_MAX)
		return -EINVAL;
	if (end > FNX_SCHEMA_PAYLOAD_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < schema->n_extents; i++) {
		if (extents[i] == 0)
			return -EINVAL;
		made.extents[i] = extents[i];
	}
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		int r;

		if (!type_valid(schema->fields[i].type))
			return -EINVAL;
		r = schema->fields[i].n_dims ? place_array(&made, i, &end)
					     : place_in_struct(&made, i);
		if (r < 0)
			return r;
	}
	end = round_up_8(end);
	if (end > FNX_SCHEMA_PAYLOAD_MAX)
		return -E2BIG;
	made.size = (uint32_t)end;
	*layout = made;
	return 0;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* With the closing 0, so that "ab", "c" differs from "a", "bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	return hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t hash_u32(uint64_t hash, uint32_t value)
{
	const unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8),
		(unsigned char)(value >> 16), (unsigned char)(value >> 24)};

	return hash_bytes(hash, bytes, sizeof(bytes));
}

uint64_t fnx_schema_hash(const struct fnx_schema *schema)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	hash = hash_text(hash, schema->name);
	hash = hash_u32(hash, schema->struct_size);
	hash = hash_u32(hash, schema->n_extents);
	for (uint32_t i = 0; i < schema->n_extents; i++)
		hash = hash_text(hash, schema->extents[i]);
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct fnx_field *field = &schema->fields[i];

		hash = hash_text(hash, field->name);
		hash = hash_text(hash, field->unit);
		hash = hash_text(hash, fnx_type_code(field->type));
		hash = hash_u32(hash, field->offset);
		hash = hash_u32(hash, field->size);
		hash = hash_u32(hash, field->n_dims);
		for (uint32_t d = 0; d < field->n_dims; d++)
			hash = hash_text(hash, schema->extents[field->dims[d]]);
	}
	return hash ? hash : 1;
}

const struct fnx_schema *fnx_schema_find(const char *name)
{
	for (size_t i = 0; fnx_schemas[i]; i++)
		if (strcmp(fnx_schemas[i]->name, name) == 0)
			return fnx_schemas[i];
	return NULL;
}
