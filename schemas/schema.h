/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A schema: what travels in the frames of a topic.
 *
 * A message is a C struct of fixed fields followed by arrays. The arrays' extents (n_bins, n_states
 * ...) have names in the schema and get their values when a topic is created. One table per
 * message, in schemas/<message>.h, gives both the C struct and its description:
 *
 *	#define FNX_LFP_EXTENTS(EXTENT) EXTENT(n_channels)
 *	#define FNX_LFP_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
 *		SCALAR(double, uv_per_count, "uV", "microvolts per count") \
 *		ARRAY1(float, samples, n_channels, "count", "one sample of each channel")
 *	FNX_SCHEMA(lfp, FNX_LFP_EXTENTS, FNX_LFP_FIELDS)
 *
 * From it come, with no code per message: struct fnx_lfp, fnx_lfp_get_samples() and
 * fnx_lfp_put_samples(), the extents' indices (fnx_lfp_n_channels), and fnx_lfp_schema, on which
 * the MessagePack codec, the NumPy record type, `fornix echo` and the hash rest.
 *
 * Bytes of a payload: the struct, then each array in the order of the table, each at the next
 * multiple of 8. Little endian, C order. Fields are listed from wide to narrow, so that the struct
 * has no holes (a static assertion in messages.c holds it to that).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifndef FNX_MUST_CHECK
#define FNX_MUST_CHECK __attribute__((warn_unused_result))
#endif

enum {
	FNX_SCHEMA_FIELDS_MAX = 32,
	FNX_SCHEMA_EXTENTS_MAX = 4,
	FNX_SCHEMA_NAME_MAX = 32, /* with the closing 0; of schemas, extents and fields */
	FNX_SCHEMA_PAYLOAD_MAX = 64 << 20, /* bytes; a description that asks for more is refused */
};

/* Named after the C types, so that the tables need no second word for them. */
enum fnx_type {
	FNX_TYPE_int8_t = 1,
	FNX_TYPE_uint8_t,
	FNX_TYPE_int16_t,
	FNX_TYPE_uint16_t,
	FNX_TYPE_int32_t,
	FNX_TYPE_uint32_t,
	FNX_TYPE_int64_t,
	FNX_TYPE_uint64_t,
	FNX_TYPE_float,
	FNX_TYPE_double,
	FNX_TYPE_text, /* fixed-size, UTF-8, padded with zeros */
};

struct fnx_field {
	const char *name;
	const char *unit; /* "" for pure numbers */
	const char *meaning; /* one line */
	enum fnx_type type;
	uint32_t n_dims; /* 0: a field of the struct; 1 or 2: an array behind it */
	uint32_t dims[2]; /* indices into the schema's extents */
	uint32_t offset; /* scalars and text: in the struct */
	uint32_t size; /* scalars and text: bytes */
};

struct fnx_schema {
	const char *name;
	const struct fnx_field *fields;
	uint32_t n_fields;
	uint32_t n_extents;
	const char *extents[FNX_SCHEMA_EXTENTS_MAX];
	uint32_t struct_size;
};

/* A schema with its extents filled in: where everything lies in a payload. */
struct fnx_layout {
	const struct fnx_schema *schema;
	uint32_t extents[FNX_SCHEMA_EXTENTS_MAX];
	/* of every field: bytes from the payload's start, bytes long */
	uint32_t offsets[FNX_SCHEMA_FIELDS_MAX];
	uint32_t sizes[FNX_SCHEMA_FIELDS_MAX];
	uint32_t size; /* of the whole payload */
};

/* Fills in a layout; untouched on failure. `extents` may be NULL for a schema without any; `schema`
 * must outlive the layout. -EINVAL: an extent is 0, or the schema contradicts itself (a field
 * outside the struct, a dimension that is none of its extents); -E2BIG: larger than
 * FNX_SCHEMA_PAYLOAD_MAX. */
FNX_MUST_CHECK int fnx_layout_init(
	struct fnx_layout *layout, const struct fnx_schema *schema, const uint32_t *extents);

/* FNV-1a over names, types, units, places in the struct and dimension names (not over extents, not
 * over meanings): two builds with the same hash agree about every byte once the extents are known.
 * Never 0. */
uint64_t fnx_schema_hash(const struct fnx_schema *schema);

/* One element of a type: its size in bytes (text: 1), 0 for what is no type; and how NumPy writes
 * it, e.g. "<f4" (text: "S", to be followed by the size). */
uint32_t fnx_type_size(enum fnx_type type);
const char *fnx_type_code(enum fnx_type type);

/* Every message that fornix nodes exchange, NULL-terminated. */
extern const struct fnx_schema *const fnx_schemas[];
const struct fnx_schema *fnx_schema_find(const char *name);

#define FNX_SCHEMA_MEMBER(type, name, unit, meaning) type name;
#define FNX_SCHEMA_MEMBER_TEXT(name, size, meaning) char name[size];
#define FNX_SCHEMA_MEMBER_ARRAY1(type, name, d0, unit, meaning)
#define FNX_SCHEMA_MEMBER_ARRAY2(type, name, d0, d1, unit, meaning)

/* FNX_SCHEMA(lfp, ...): the struct, indices and accessors. EXTENTS and FIELDS get the message's
 * name through FNX_SCHEMA_SELF, which each message header defines before the table's use and
 * undefines after. */
#define FNX_SCHEMA_PASTE4_(a, b, c, d) a##b##c##d
#define FNX_SCHEMA_PASTE4(a, b, c, d) FNX_SCHEMA_PASTE4_(a, b, c, d)
#define FNX_SCHEMA_EXTENT_INDEX(name) FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _, name),
#define FNX_SCHEMA_FIELD_INDEX(type, name, ...) \
	FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _field_, name),
#define FNX_SCHEMA_FIELD_INDEX_TEXT(name, ...) \
	FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _field_, name),
#define FNX_SCHEMA_NO_ACCESSOR(...)
#define FNX_SCHEMA_ACCESSOR(type, name, ...) \
	static inline const type *FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _get_, name)( \
		const struct fnx_layout *layout, const void *payload) \
	{ \
		return (const type *)(const void *)((const char *)payload + \
			layout->offsets[FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _field_, name)]); \
	} \
	static inline type *FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _put_, name)( \
		const struct fnx_layout *layout, void *payload) \
	{ \
		return (type *)(void *)((char *)payload + \
			layout->offsets[FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _field_, name)]); \
	}

#define FNX_SCHEMA(message, EXTENTS, FIELDS) \
	struct fnx_##message { \
		FIELDS(FNX_SCHEMA_MEMBER, FNX_SCHEMA_MEMBER_TEXT, FNX_SCHEMA_MEMBER_ARRAY1, \
			FNX_SCHEMA_MEMBER_ARRAY2) \
	}; \
	enum { \
		EXTENTS(FNX_SCHEMA_EXTENT_INDEX) fnx_##message##_n_extents \
	}; \
	enum { \
		FIELDS(FNX_SCHEMA_FIELD_INDEX, FNX_SCHEMA_FIELD_INDEX_TEXT, \
			FNX_SCHEMA_FIELD_INDEX, FNX_SCHEMA_FIELD_INDEX) \
		fnx_##message##_n_fields \
	}; \
	FIELDS(FNX_SCHEMA_NO_ACCESSOR, FNX_SCHEMA_NO_ACCESSOR, FNX_SCHEMA_ACCESSOR, \
		FNX_SCHEMA_ACCESSOR) \
	extern const struct fnx_schema fnx_##message##_schema;

/* FNX_SCHEMA_DEFINE(lfp, ...): fnx_lfp_schema, and the proof that the struct has no holes. Only in
 * messages.c, with FNX_SCHEMA_SELF defined as for FNX_SCHEMA. */
#define FNX_SCHEMA_STRUCT_(message) struct fnx_##message
#define FNX_SCHEMA_STRUCT(message) FNX_SCHEMA_STRUCT_(message)
#define FNX_SCHEMA_EXTENT_NAME(name) #name,
#define FNX_SCHEMA_EXTENT_OF(name) FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _, name)
#define FNX_SCHEMA_TABLE(type_, name_, unit_, meaning_) \
	{ \
		.name = #name_, \
		.unit = unit_, \
		.meaning = meaning_, \
		.type = FNX_TYPE_##type_, \
		.offset = offsetof(FNX_SCHEMA_STRUCT(FNX_SCHEMA_SELF), name_), \
		.size = sizeof(type_), \
	},
#define FNX_SCHEMA_TABLE_TEXT(name_, size_, meaning_) \
	{ \
		.name = #name_, \
		.unit = "", \
		.meaning = meaning_, \
		.type = FNX_TYPE_text, \
		.offset = offsetof(FNX_SCHEMA_STRUCT(FNX_SCHEMA_SELF), name_), \
		.size = size_, \
	},
#define FNX_SCHEMA_TABLE_ARRAY1(type_, name_, d0, unit_, meaning_) \
	{ \
		.name = #name_, \
		.unit = unit_, \
		.meaning = meaning_, \
		.type = FNX_TYPE_##type_, \
		.n_dims = 1, \
		.dims = {FNX_SCHEMA_EXTENT_OF(d0)}, \
	},
#define FNX_SCHEMA_TABLE_ARRAY2(type_, name_, d0, d1, unit_, meaning_) \
	{ \
		.name = #name_, \
		.unit = unit_, \
		.meaning = meaning_, \
		.type = FNX_TYPE_##type_, \
		.n_dims = 2, \
		.dims = {FNX_SCHEMA_EXTENT_OF(d0), FNX_SCHEMA_EXTENT_OF(d1)}, \
	},
#define FNX_SCHEMA_SIZE(type, ...) +sizeof(type)
#define FNX_SCHEMA_SIZE_TEXT(name, size, ...) +(size)
#define FNX_SCHEMA_SIZE_ARRAY(...)

#define FNX_SCHEMA_DEFINE(message, EXTENTS, FIELDS) \
	_Static_assert(sizeof(struct fnx_##message) == \
			0 FIELDS(FNX_SCHEMA_SIZE, FNX_SCHEMA_SIZE_TEXT, FNX_SCHEMA_SIZE_ARRAY, \
				FNX_SCHEMA_SIZE_ARRAY), \
		#message " has holes: list its fields from wide to narrow"); \
	_Static_assert(sizeof(struct fnx_##message) % 8 == 0, \
		#message " does not end on a multiple of 8: add a field"); \
	_Static_assert((int)fnx_##message##_n_fields <= (int)FNX_SCHEMA_FIELDS_MAX, \
		#message " has too many fields"); \
	_Static_assert((int)fnx_##message##_n_extents <= (int)FNX_SCHEMA_EXTENTS_MAX, \
		#message " has too many extents"); \
	static const struct fnx_field message##_fields[] = {FIELDS(FNX_SCHEMA_TABLE, \
		FNX_SCHEMA_TABLE_TEXT, FNX_SCHEMA_TABLE_ARRAY1, FNX_SCHEMA_TABLE_ARRAY2)}; \
	const struct fnx_schema fnx_##message##_schema = { \
		.name = #message, \
		.fields = message##_fields, \
		.n_fields = fnx_##message##_n_fields, \
		.n_extents = fnx_##message##_n_extents, \
		.extents = {EXTENTS(FNX_SCHEMA_EXTENT_NAME)}, \
		.struct_size = sizeof(struct fnx_##message), \
	};
