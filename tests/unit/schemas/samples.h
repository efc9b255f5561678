/* SPDX-License-Identifier: BSD-3-Clause */
/* Random schemas, extents and payloads for the tests of this folder. */
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/codec.h"
#include "tests/support/check.h"

static inline size_t n_messages(void)
{
	size_t n = 0;

	while (fnx_schemas[n])
		n++;
	return n;
}

/* Small extents are frequent, as are the bounds of MessagePack's forms. */
static inline uint32_t random_extent(struct check_random *random)
{
	static const uint32_t some[] = {1, 2, 15, 16, 31, 32, 127, 128, 255, 256};

	if (check_random_below(random, 4) == 0)
		return some[check_random_below(random, sizeof(some) / sizeof(some[0]))];
	return 1 + (uint32_t)check_random_below(random, 12);
}

static inline struct fnx_layout random_layout(
	struct check_random *random, const struct fnx_schema *schema)
{
	uint32_t extents[FNX_SCHEMA_EXTENTS_MAX];
	struct fnx_layout layout;

	for (uint32_t i = 0; i < schema->n_extents; i++)
		extents[i] = random_extent(random);
	assert_int_equal(fnx_layout_init(&layout, schema, extents), 0);
	return layout;
}

/* A schema that no header knows. */
struct random_schema {
	struct fnx_schema schema;
	struct fnx_field fields[FNX_SCHEMA_FIELDS_MAX];
	char names[FNX_SCHEMA_FIELDS_MAX][FNX_SCHEMA_NAME_MAX];
};

/* 1 to 31 characters, the last of which tells them apart. */
static inline void random_name(struct check_random *random, uint32_t i, char *ret)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
	size_t length = check_random_below(random, FNX_SCHEMA_NAME_MAX - 1);

	memset(ret, '_', length);
	ret[length] = alphabet[i];
	ret[length + 1] = 0;
}

static inline void random_schema(struct check_random *random, struct random_schema *ret)
{
	static const char *const extents[] = {"n_a", "n_b", "n_c", "n_d"};
	static const char *const units[] = {"", "uV", "cm/s", "µV"};
	struct fnx_schema *schema = &ret->schema;
	uint32_t offset = 0;

	memset(ret, 0, sizeof(*ret));
	schema->name = "sample";
	schema->fields = ret->fields;
	schema->n_fields = (uint32_t)check_random_below(random, FNX_SCHEMA_FIELDS_MAX + 1);
	schema->n_extents = (uint32_t)check_random_below(random, FNX_SCHEMA_EXTENTS_MAX + 1);
	for (uint32_t i = 0; i < schema->n_extents; i++)
		schema->extents[i] = extents[i];
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		struct fnx_field *field = &ret->fields[i];

		random_name(random, i, ret->names[i]);
		field->name = ret->names[i];
		field->unit = units[check_random_below(random, 4)];
		field->meaning = "what it means";
		field->type = (enum fnx_type)(1 + check_random_below(random, FNX_TYPE_text));
		if (field->type != FNX_TYPE_text && schema->n_extents > 0)
			field->n_dims = (uint32_t)check_random_below(random, 3);
		for (uint32_t d = 0; d < field->n_dims; d++)
			field->dims[d] = (uint32_t)check_random_below(random, schema->n_extents);
		if (field->n_dims == 0) {
			uint32_t step = fnx_type_size(field->type);

			field->size = field->type == FNX_TYPE_text
				? 1 + (uint32_t)check_random_below(random, 70)
				: step;
			field->offset = (offset + step - 1) / step * step;
			offset = field->offset + field->size;
		}
	}
	schema->struct_size = (offset + 7) / 8 * 8;
}

static inline uint64_t random_bits(struct check_random *random)
{
	return check_random_u64(random) >> check_random_below(random, 64);
}

static inline double random_real(struct check_random *random)
{
	switch (check_random_below(random, 8)) {
	case 0:
		return (double)INFINITY;
	case 1:
		return (double)-NAN;
	case 2:
		return -0.0;
	case 3:
		return 5e-324;
	default:
		return ldexp(check_random_unit(random) - 0.5,
			(int)check_random_below(random, 200) - 100);
	}
}

static inline void random_text(struct check_random *random, char *text, size_t size)
{
	static const char *const letters[] = {"a", "Z", "%", "\"", "µ", "→", "🐭", "\x7f"};
	size_t length = 0;

	memset(text, 0, size);
	while (check_random_below(random, 20) != 0) {
		const char *letter = letters[check_random_below(random, 8)];

		if (length + strlen(letter) >= size)
			break;
		memcpy(text + length, letter, strlen(letter));
		length += strlen(letter);
	}
}

static inline void random_item(struct check_random *random, enum fnx_type type, char *item)
{
	uint64_t bits = check_random_below(random, 2) ? random_bits(random) : -random_bits(random);
	double real = random_real(random);
	float narrow = (float)real;

	if (type == FNX_TYPE_double)
		memcpy(item, &real, sizeof(real));
	else if (type == FNX_TYPE_float)
		memcpy(item, &narrow, sizeof(narrow));
	else
		memcpy(item, &bits, fnx_type_size(type));
}

/* A payload whose padding is zero; the caller frees it. */
static inline char *random_payload(struct check_random *random, const struct fnx_layout *layout)
{
	char *payload = calloc(1, layout->size + 1u);

	assert_non_null(payload);
	for (uint32_t i = 0; i < layout->schema->n_fields; i++) {
		enum fnx_type type = layout->schema->fields[i].type;
		char *at = payload + layout->offsets[i];

		if (type == FNX_TYPE_text) {
			random_text(random, at, layout->sizes[i]);
			continue;
		}
		for (uint32_t k = 0; k < layout->sizes[i]; k += fnx_type_size(type))
			random_item(random, type, at + k);
	}
	return payload;
}

static inline struct fnx_codec_stamp random_stamp(struct check_random *random)
{
	return (struct fnx_codec_stamp){
		.seq = random_bits(random),
		.sample_time = (int64_t)random_bits(random) - 1000,
		.ingress_ns = -(int64_t)(random_bits(random) >> 1),
		.publish_ns = (int64_t)(random_bits(random) >> 1),
		.flags = (uint32_t)random_bits(random),
	};
}

static inline void assert_stamp_equal(
	const struct fnx_codec_stamp *a, const struct fnx_codec_stamp *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->sample_time, b->sample_time);
	assert_int_equal(a->ingress_ns, b->ingress_ns);
	assert_int_equal(a->publish_ns, b->publish_ns);
	assert_int_equal(a->flags, b->flags);
}
