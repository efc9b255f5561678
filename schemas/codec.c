/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stamp is described by a table of fields just as a payload is. So to the codec a message is
 * one list of fields, first the stamp's, then the schema's, and no field is special.
 *
 * Decoding first checks everything and keeps the results on the side, then writes: a message that
 * is refused leaves payload and stamp as they were.
 */
#include "schemas/codec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/pack.h"
#include "schemas/text.h"
#include "schemas/tree.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "payloads are little endian");

/* clang-format off */
#define STAMP(type_, name_, member)                                                                \
	{.name = name_, .unit = "", .meaning = "", .type = FNX_TYPE_##type_,                       \
	 .offset = offsetof(struct fnx_codec_stamp, member), .size = sizeof(type_)}
static const struct fnx_field stamp_fields[] = {
	STAMP(uint64_t, "seq", seq),
	STAMP(int64_t, "sample_time", sample_time),
	STAMP(int64_t, "ingress_ns", ingress_ns),
	STAMP(int64_t, "publish_ns", publish_ns),
	STAMP(uint32_t, "frame_flags", flags),
};
/* clang-format on */

enum {
	N_STAMPS = sizeof(stamp_fields) / sizeof(stamp_fields[0]),
	N_SLOTS = N_STAMPS + FNX_SCHEMA_FIELDS_MAX,
	HEADER_MAX = 5, /* of a map, an array, a string or bytes */
	NUMBER_MAX = 9,
};

struct fnx_codec_decoder {
	struct fnx_tree tree;
	const msgpack_object *values[N_SLOTS]; /* of the stamp's fields, then of the schema's */
	uint64_t scalars[N_SLOTS]; /* their bits, where they are scalars */
	msgpack_object objects[FNX_CODEC_OBJECTS];
};

int fnx_codec_reserved(const char *name)
{
	for (size_t i = 0; i < N_STAMPS; i++)
		if (strcmp(stamp_fields[i].name, name) == 0)
			return 1;
	return 0;
}

/* Encoding
 * ----------------------------------------------------------------------------------------- */

#define LOAD(type_) \
	type_ value; \
	memcpy(&value, bytes, sizeof(value))

static int pack_scalar(struct fnx_pack *pack, enum fnx_type type, const char *bytes, size_t size)
{
	switch (type) {
	case FNX_TYPE_int8_t: {
		LOAD(int8_t);
		return msgpack_pack_int8(&pack->packer, value);
	}
	case FNX_TYPE_uint8_t: {
		LOAD(uint8_t);
		return msgpack_pack_uint8(&pack->packer, value);
	}
	case FNX_TYPE_int16_t: {
		LOAD(int16_t);
		return msgpack_pack_int16(&pack->packer, value);
	}
	case FNX_TYPE_uint16_t: {
		LOAD(uint16_t);
		return msgpack_pack_uint16(&pack->packer, value);
	}
	case FNX_TYPE_int32_t: {
		LOAD(int32_t);
		return msgpack_pack_int32(&pack->packer, value);
	}
	case FNX_TYPE_uint32_t: {
		LOAD(uint32_t);
		return msgpack_pack_uint32(&pack->packer, value);
	}
	case FNX_TYPE_int64_t: {
		LOAD(int64_t);
		return msgpack_pack_int64(&pack->packer, value);
	}
	case FNX_TYPE_uint64_t: {
		LOAD(uint64_t);
		return msgpack_pack_uint64(&pack->packer, value);
	}
	case FNX_TYPE_float: {
		LOAD(float);
		return msgpack_pack_float(&pack->packer, value);
	}
	case FNX_TYPE_double: {
		LOAD(double);
		return msgpack_pack_double(&pack->packer, value);
	}
	case FNX_TYPE_text:
		return fnx_pack_text(pack, bytes, fnx_text_prefix(bytes, size - 1));
	}
	return -EINVAL;
}

static int pack_array(struct fnx_pack *pack, const struct fnx_layout *layout,
	const struct fnx_field *field, const char *bytes, size_t size)
{
	int r = msgpack_pack_map(&pack->packer, 4);

	r = r ? r : fnx_pack_name(pack, "nd");
	r = r ? r : msgpack_pack_true(&pack->packer);
	r = r ? r : fnx_pack_name(pack, "type");
	r = r ? r : fnx_pack_name(pack, fnx_type_code(field->type));
	r = r ? r : fnx_pack_name(pack, "shape");
	r = r ? r : msgpack_pack_array(&pack->packer, field->n_dims);
	for (uint32_t d = 0; d < field->n_dims; d++)
		r = r ? r : msgpack_pack_uint32(&pack->packer, layout->extents[field->dims[d]]);
	r = r ? r : fnx_pack_name(pack, "data");
	return r ? r : msgpack_pack_bin_with_body(&pack->packer, bytes, size);
}

size_t fnx_codec_bound(const struct fnx_layout *layout)
{
	size_t bound = HEADER_MAX + N_STAMPS * (FNX_SCHEMA_NAME_MAX + NUMBER_MAX);

	for (uint32_t i = 0; i < layout->schema->n_fields; i++) {
		const struct fnx_field *field = &layout->schema->fields[i];

		bound += HEADER_MAX + strlen(field->name) + NUMBER_MAX + layout->sizes[i];
		if (field->n_dims)
			bound += sizeof("nd type <f4 shape data") + 5 * HEADER_MAX +
				field->n_dims * NUMBER_MAX;
	}
	return bound;
}

int fnx_codec_encode(const struct fnx_layout *layout, const struct fnx_codec_stamp *stamp,
	const void *payload, size_t length, void *buffer, size_t size, size_t *ret_size)
{
	struct fnx_pack pack;
	int r;

	if (length != layout->size)
		return -EINVAL;
	fnx_pack_init(&pack, buffer, size);
	r = msgpack_pack_map(&pack.packer, N_STAMPS + layout->schema->n_fields);
	for (uint32_t i = 0; i < N_STAMPS && r == 0; i++) {
		const struct fnx_field *field = &stamp_fields[i];

		r = fnx_pack_name(&pack, field->name);
		r = r ? r
		      : pack_scalar(&pack, field->type, (const char *)stamp + field->offset,
				field->size);
	}
	for (uint32_t i = 0; i < layout->schema->n_fields && r == 0; i++) {
		const struct fnx_field *field = &layout->schema->fields[i];
		const char *bytes = (const char *)payload + layout->offsets[i];

		r = fnx_pack_name(&pack, field->name);
		if (r == 0 && field->n_dims)
			r = pack_array(&pack, layout, field, bytes, layout->sizes[i]);
		else if (r == 0)
			r = pack_scalar(&pack, field->type, bytes, layout->sizes[i]);
	}
	if (r == 0)
		*ret_size = pack.used;
	return r;
}

/* Decoding
 * ----------------------------------------------------------------------------------------- */

int fnx_codec_decoder_new(struct fnx_codec_decoder **ret)
{
	struct fnx_codec_decoder *decoder = malloc(sizeof(*decoder));

	if (!decoder)
		return -ENOMEM;
	decoder->tree = (struct fnx_tree){decoder->objects, FNX_CODEC_OBJECTS, 0};
	*ret = decoder;
	return 0;
}

struct fnx_codec_decoder *fnx_codec_decoder_free(struct fnx_codec_decoder *decoder)
{
	free(decoder);
	return NULL;
}

static const struct fnx_field *slot_field(const struct fnx_layout *layout, uint32_t slot)
{
	return slot < N_STAMPS ? &stamp_fields[slot] : &layout->schema->fields[slot - N_STAMPS];
}

/* The slot of that name. Most messages come in our own order, so the search begins at
 * `expected`. */
static int find_slot(const struct fnx_layout *layout, const msgpack_object *key, uint32_t expected)
{
	uint32_t n_slots = N_STAMPS + layout->schema->n_fields;

	for (uint32_t i = 0; i < n_slots; i++) {
		uint32_t slot = (expected + i) % n_slots;

		if (fnx_tree_is(key, slot_field(layout, slot)->name))
			return (int)slot;
	}
	return -ENOENT;
}

static int collect_values(const struct fnx_layout *layout, struct fnx_codec_decoder *decoder,
	const msgpack_object *root)
{
	uint32_t n_slots = N_STAMPS + layout->schema->n_fields;
	uint32_t expected = 0;

	if (root->type != MSGPACK_OBJECT_MAP || !root->via.map.ptr)
		return -EBADMSG;
	memset(decoder->values, 0, sizeof(decoder->values));
	for (uint32_t i = 0; i < root->via.map.size; i++) {
		int slot = find_slot(layout, &root->via.map.ptr[i].key, expected);

		if (slot < 0)
			continue;
		if (decoder->values[slot])
			return -EBADMSG;
		decoder->values[slot] = &root->via.map.ptr[i].val;
		expected = (uint32_t)slot + 1;
	}
	for (uint32_t slot = 0; slot < n_slots; slot++)
		if (!decoder->values[slot])
			return -ENODATA;
	return 0;
}

/* `bits` is the width of the field's type. */
static int check_int(const msgpack_object *value, unsigned bits, uint64_t *ret)
{
	uint64_t max = (UINT64_C(1) << (bits - 1)) - 1;

	if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= max)
		*ret = value->via.u64;
	else if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER &&
		value->via.i64 >= -(int64_t)max - 1)
		*ret = (uint64_t)value->via.i64;
	else
		return -EBADMSG;
	return 0;
}

/* Integers count as numbers as long as a double holds them exactly. */
static int check_real(const msgpack_object *value, double *ret)
{
	const int64_t exact = INT64_C(1) << 53;

	if (value->type == MSGPACK_OBJECT_FLOAT64 || value->type == MSGPACK_OBJECT_FLOAT32)
		*ret = value->via.f64;
	else if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
		value->via.u64 <= (uint64_t)exact)
		*ret = (double)value->via.u64;
	else if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER && value->via.i64 >= -exact)
		*ret = (double)value->via.i64;
	else
		return -EBADMSG;
	return 0;
}

static int check_double(const msgpack_object *value, uint64_t *ret)
{
	double real;

	if (check_real(value, &real) < 0)
		return -EBADMSG;
	memcpy(ret, &real, sizeof(real));
	return 0;
}

/* A double too large for a float is refused, one too fine for it is rounded. */
static int check_float(const msgpack_object *value, uint64_t *ret)
{
	uint64_t bits = 0;
	double real;
	float narrow;

	if (check_real(value, &real) < 0)
		return -EBADMSG;
	narrow = (float)real;
	if (isinf(narrow) && !isinf(real))
		return -EBADMSG;
	memcpy(&bits, &narrow, sizeof(narrow));
	*ret = bits;
	return 0;
}

static int check_text(const msgpack_object *value, uint32_t size)
{
	if (value->type != MSGPACK_OBJECT_STR || value->via.str.size >= size)
		return -EBADMSG;
	if (fnx_text_prefix(value->via.str.ptr, value->via.str.size) != value->via.str.size)
		return -EBADMSG;
	return 0;
}

static int check_scalar(const struct fnx_field *field, const msgpack_object *value, uint64_t *ret)
{
	switch (field->type) {
	case FNX_TYPE_int8_t:
	case FNX_TYPE_int16_t:
	case FNX_TYPE_int32_t:
	case FNX_TYPE_int64_t:
		return check_int(value, 8 * field->size, ret);
	case FNX_TYPE_uint8_t:
	case FNX_TYPE_uint16_t:
	case FNX_TYPE_uint32_t:
	case FNX_TYPE_uint64_t:
		return fnx_tree_uint(value, UINT64_MAX >> (64 - 8 * field->size), ret);
	case FNX_TYPE_float:
		return check_float(value, ret);
	case FNX_TYPE_double:
		return check_double(value, ret);
	case FNX_TYPE_text:
		return check_text(value, field->size);
	}
	return -EBADMSG;
}

static int check_shape(
	const struct fnx_layout *layout, const struct fnx_field *field, const msgpack_object *shape)
{
	if (!shape || shape->type != MSGPACK_OBJECT_ARRAY || shape->via.array.size != field->n_dims)
		return -EBADMSG;
	for (uint32_t d = 0; d < field->n_dims; d++) {
		uint64_t extent;

		if (fnx_tree_uint(&shape->via.array.ptr[d], UINT32_MAX, &extent) < 0)
			return -EBADMSG;
		if (extent != layout->extents[field->dims[d]])
			return -EBADMSG;
	}
	return 0;
}

/* Points *ret at the array's bytes, which are as many as the field has. */
static int check_array(const struct fnx_layout *layout, uint32_t i, const msgpack_object *value,
	const msgpack_object **ret)
{
	const struct fnx_field *field = &layout->schema->fields[i];
	const msgpack_object *nd = fnx_tree_find(value, "nd");
	const msgpack_object *type = fnx_tree_find(value, "type");
	const msgpack_object *data = fnx_tree_find(value, "data");

	if (!nd || nd->type != MSGPACK_OBJECT_BOOLEAN || !nd->via.boolean)
		return -EBADMSG;
	if (!type || !fnx_tree_is(type, fnx_type_code(field->type)))
		return -EBADMSG;
	if (check_shape(layout, field, fnx_tree_find(value, "shape")) < 0)
		return -EBADMSG;
	if (!data || data->type != MSGPACK_OBJECT_BIN || data->via.bin.size != layout->sizes[i])
		return -EBADMSG;
	*ret = data;
	return 0;
}

static int check_values(const struct fnx_layout *layout, struct fnx_codec_decoder *decoder)
{
	for (uint32_t slot = 0; slot < N_STAMPS + layout->schema->n_fields; slot++) {
		const struct fnx_field *field = slot_field(layout, slot);
		const msgpack_object **value = &decoder->values[slot];
		int r;

		r = field->n_dims ? check_array(layout, slot - N_STAMPS, *value, value)
				  : check_scalar(field, *value, &decoder->scalars[slot]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* `to` is zero already, which pads a text. */
static void write_field(struct fnx_codec_decoder *decoder, uint32_t slot,
	const struct fnx_field *field, char *to, size_t size)
{
	const msgpack_object *value = decoder->values[slot];

	if (field->n_dims) {
		memcpy(to, value->via.bin.ptr, size);
	} else if (field->type == FNX_TYPE_text) {
		memcpy(to, value->via.str.ptr, value->via.str.size);
	} else {
		memcpy(to, &decoder->scalars[slot], size);
	}
}

/* Arrays lie behind the struct in ascending order; all between and behind them is padding. */
static void write_payload(
	const struct fnx_layout *layout, struct fnx_codec_decoder *decoder, char *payload)
{
	uint32_t end = layout->schema->struct_size;

	memset(payload, 0, end);
	for (uint32_t i = 0; i < layout->schema->n_fields; i++) {
		const struct fnx_field *field = &layout->schema->fields[i];
		uint32_t offset = layout->offsets[i];

		if (field->n_dims) {
			memset(payload + end, 0, offset - end);
			end = offset + layout->sizes[i];
		}
		write_field(decoder, N_STAMPS + i, field, payload + offset, layout->sizes[i]);
	}
	memset(payload + end, 0, layout->size - end);
}

int fnx_codec_decode(const struct fnx_layout *layout, struct fnx_codec_decoder *decoder,
	const void *data, size_t size, struct fnx_codec_stamp *ret_stamp, void *payload)
{
	struct fnx_codec_stamp stamp = {0};
	msgpack_object root;
	int r;

	r = fnx_tree_parse(&decoder->tree, data, size, &root);
	r = r < 0 ? r : collect_values(layout, decoder, &root);
	r = r < 0 ? r : check_values(layout, decoder);
	if (r < 0)
		return r;
	for (uint32_t slot = 0; slot < N_STAMPS; slot++) {
		const struct fnx_field *field = &stamp_fields[slot];

		write_field(decoder, slot, field, (char *)&stamp + field->offset, field->size);
	}
	*ret_stamp = stamp;
	write_payload(layout, decoder, payload);
	return 0;
}
