/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A schema: what travels in the frames of a topic.
 *
 * A message is a C struct of fixed fields followed by arrays. The arrays' extents (n_bins, n_states ...)
 * have names in the schema and get their values when a topic is created. One table per message, in
 * schemas/<message>.h, gives both the C struct and its description:
 *
 *	#define FNX_LFP_EXTENTS(EXTENT) EXTENT(n_channels)
 *	#define FNX_LFP_FIELDS(SCALAR, TEXT, ARRAY1, ARRAY2) \
 *		SCALAR(double, uv_per_count, "uV", "microvolts per count") \
 *		ARRAY1(float, samples, n_channels, "count", "one sample of each channel")
 *	FNX_SCHEMA(lfp, FNX_LFP_EXTENTS, FNX_LFP_FIELDS)
 *
 * From it come, with no code per message: struct fnx_lfp, fnx_lfp_get_samples() and fnx_lfp_put_samples(),
 * the extents' indices (fnx_lfp_n_channels), and fnx_lfp_schema, on which the MessagePack codec, the
 * NumPy record type, `fornix echo` and the hash rest.
 *
 * Bytes of a payload: the struct, then each array in the order of the table, each at the next multiple of
 * 8. Little endian, C order. Fields are listed from wide to narrow, so that the struct has no holes (a
 * static assertion in messages.c holds it to that).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	FNX_SCHEMA_FIELDS_MAX = 32,
	FNX_SCHEMA_EXTENTS_MAX = 4,
	FNX_SCHEMA_NAME_MAX = 32,    /* with the closing 0 */
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
	const char *unit;      /* "" for pure numbers */
	const char *meaning;   /* one line */
	enum fnx_type type;
	uint32_t n_dims;       /* 0: a field of the struct; 1 or 2: an array behind it */
	uint32_t dims[2];      /* indices into the schema's extents */
	uint32_t offset;       /* scalars and text: in the struct */
	uint32_t size;         /* scalars and text: bytes */
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
	uint32_t offsets[FNX_SCHEMA_FIELDS_MAX]; /* of every field, in bytes from the payload's start */
	uint32_t sizes[FNX_SCHEMA_FIELDS_MAX];   /* of every field, in bytes */
	uint32_t size;                           /* of the whole payload */
};

/* Fills in a layout. -EINVAL: an extent is 0; -E2BIG: larger than FNX_SCHEMA_PAYLOAD_MAX. */
int fnx_layout_init(struct fnx_layout *layout, const struct fnx_schema *schema, const uint32_t *extents);

/* FNV-1a over names, types, units and dimension names (not over extents, not over meanings): two builds with
 * the same hash agree about every byte once the extents are known. Never 0. */
uint64_t fnx_schema_hash(const struct fnx_schema *schema);

/* Every message that fornix nodes exchange, NULL-terminated. */
extern const struct fnx_schema *const fnx_schemas[];
const struct fnx_schema *fnx_schema_find(const char *name);

#define FNX_SCHEMA_MEMBER(type, name, unit, meaning) type name;
#define FNX_SCHEMA_MEMBER_TEXT(name, size, meaning) char name[size];
#define FNX_SCHEMA_MEMBER_ARRAY1(type, name, d0, unit, meaning)
#define FNX_SCHEMA_MEMBER_ARRAY2(type, name, d0, d1, unit, meaning)

/* FNX_SCHEMA(lfp, ...): the struct, indices and accessors. EXTENTS and FIELDS get the message's name
 * through FNX_SCHEMA_SELF, which each message header defines before the table's use and undefines after. */
#define FNX_SCHEMA_PASTE4_(a, b, c, d) a##b##c##d
#define FNX_SCHEMA_PASTE4(a, b, c, d) FNX_SCHEMA_PASTE4_(a, b, c, d)
#define FNX_SCHEMA_EXTENT_INDEX(name) FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _, name),
#define FNX_SCHEMA_FIELD_INDEX(type, name, ...) FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _field_, name),
#define FNX_SCHEMA_FIELD_INDEX_TEXT(name, ...) FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _field_, name),
#define FNX_SCHEMA_NO_ACCESSOR(...)
#define FNX_SCHEMA_ACCESSOR(type, name, ...)                                                       \
	static inline const type *FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _get_, name)(           \
		const struct fnx_layout *layout, const void *payload)                              \
	{                                                                                          \
		return (const type *)(const void *)((const char *)payload +                        \
			layout->offsets[FNX_SCHEMA_PASTE4(                                         \
				fnx_, FNX_SCHEMA_SELF, _field_, name)]);                           \
	}                                                                                          \
	static inline type *FNX_SCHEMA_PASTE4(fnx_, FNX_SCHEMA_SELF, _put_, name)(                 \
		const struct fnx_layout *layout, void *payload)                                    \
	{                                                                                          \
		return (type *)(void *)((char *)payload +                                          \
			layout->offsets[FNX_SCHEMA_PASTE4(                                         \
				fnx_, FNX_SCHEMA_SELF, _field_, name)]);                           \
	}

#define FNX_SCHEMA(message, EXTENTS, FIELDS)                                                       \
	struct fnx_##message {                                                                     \
		FIELDS(FNX_SCHEMA_MEMBER, FNX_SCHEMA_MEMBER_TEXT, FNX_SCHEMA_MEMBER_ARRAY1,        \
			FNX_SCHEMA_MEMBER_ARRAY2)                                                  \
	};                                                                                         \
	enum { EXTENTS(FNX_SCHEMA_EXTENT_INDEX) fnx_##message##_n_extents };                       \
	enum { FIELDS(FNX_SCHEMA_FIELD_INDEX, FNX_SCHEMA_FIELD_INDEX_TEXT, FNX_SCHEMA_FIELD_INDEX, \
		FNX_SCHEMA_FIELD_INDEX) fnx_##message##_n_fields };                                \
	FIELDS(FNX_SCHEMA_NO_ACCESSOR, FNX_SCHEMA_NO_ACCESSOR, FNX_SCHEMA_ACCESSOR,                \
		FNX_SCHEMA_ACCESSOR)                                                               \
	extern const struct fnx_schema fnx_##message##_schema;
