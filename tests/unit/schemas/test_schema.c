/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/schema.h"

#include <errno.h>
#include <stdalign.h>

#include "schemas/posterior.h"
#include "schemas/spike.h"
#include "tests/unit/schemas/samples.h"

TEST(every_message_is_found_by_its_name_and_no_other)
{
	for (size_t i = 0; fnx_schemas[i]; i++)
		assert_ptr_equal(fnx_schema_find(fnx_schemas[i]->name), fnx_schemas[i]);
	assert_int_equal(n_messages(), 10);
	assert_null(fnx_schema_find("spik"));
	assert_null(fnx_schema_find("spikes"));
	assert_null(fnx_schema_find(""));
}

TEST(the_table_describes_the_struct)
{
	const struct fnx_field *field = &fnx_spike_schema.fields[fnx_spike_field_group];

	assert_int_equal(fnx_spike_schema.struct_size, sizeof(struct fnx_spike));
	assert_int_equal(field->offset, offsetof(struct fnx_spike, group));
	assert_int_equal(field->size, 4);
	assert_int_equal(field->type, FNX_TYPE_uint32_t);
	assert_string_equal(field->name, "group");
	field = &fnx_spike_schema.fields[fnx_spike_field_waveform];
	assert_int_equal(field->n_dims, 2);
	assert_int_equal(field->dims[0], fnx_spike_max_channels);
	assert_int_equal(field->dims[1], fnx_spike_max_points);
	assert_string_equal(field->unit, "count");
}

TEST(a_spike_of_4_by_40_lies_as_drawn)
{
	const uint32_t extents[] = {[fnx_spike_max_channels] = 4, [fnx_spike_max_points] = 40};
	struct fnx_layout layout;
	alignas(8) char payload[24 + 640];

	/* 0 struct 24 waveform float[4][40] 664 */
	assert_int_equal(fnx_layout_init(&layout, &fnx_spike_schema, extents), 0);
	assert_int_equal(layout.size, sizeof(payload));
	assert_int_equal(layout.offsets[fnx_spike_field_waveform], 24);
	assert_int_equal(layout.sizes[fnx_spike_field_waveform], 640);
	assert_ptr_equal(fnx_spike_get_waveform(&layout, payload), payload + 24);
	assert_ptr_equal(fnx_spike_put_waveform(&layout, payload), payload + 24);
}

TEST(arrays_follow_the_struct_in_order_each_at_a_multiple_of_8)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 500; round++) {
		struct random_schema sample;
		struct fnx_layout layout;
		uint32_t end;

		random_schema(&random, &sample);
		layout = random_layout(&random, &sample.schema);
		end = sample.schema.struct_size;
		for (uint32_t i = 0; i < sample.schema.n_fields; i++) {
			const struct fnx_field *field = &sample.fields[i];
			uint32_t size = fnx_type_size(field->type);

			if (field->n_dims == 0) {
				assert_int_equal(layout.offsets[i], field->offset);
				assert_int_equal(layout.sizes[i], field->size);
				continue;
			}
			for (uint32_t d = 0; d < field->n_dims; d++)
				size *= layout.extents[field->dims[d]];
			while (end % 8)
				end++;
			assert_int_equal(layout.offsets[i], end);
			assert_int_equal(layout.sizes[i], size);
			end += size;
		}
		while (end % 8)
			end++;
		assert_int_equal(layout.size, end);
	}
}

TEST(an_extent_of_0_is_refused)
{
	const uint32_t extents[] = {3, 0, 10};
	struct fnx_layout layout = {.size = 77};

	assert_int_equal(fnx_layout_init(&layout, &fnx_posterior_schema, extents), -EINVAL);
	assert_int_equal(layout.size, 77);
}

TEST(a_payload_beyond_the_limit_is_refused)
{
	const uint32_t huge[] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
	const uint32_t large[] = {1, FNX_SCHEMA_PAYLOAD_MAX / 8, 1};
	const uint32_t bare[] = {1, FNX_SCHEMA_PAYLOAD_MAX / 16 - 16, 1};
	struct fnx_layout layout = {.size = 77};

	assert_int_equal(fnx_layout_init(&layout, &fnx_posterior_schema, huge), -E2BIG);
	assert_int_equal(fnx_layout_init(&layout, &fnx_posterior_schema, large), -E2BIG);
	assert_int_equal(layout.size, 77);
	assert_int_equal(fnx_layout_init(&layout, &fnx_posterior_schema, bare), 0);
}

TEST(an_array_whose_size_overflows_64_bits_is_refused)
{
	const struct fnx_field field = {
		.name = "a", .unit = "", .type = FNX_TYPE_double, .n_dims = 2, .dims = {0, 1}};
	const struct fnx_schema schema = {.name = "x",
		.fields = &field,
		.n_fields = 1,
		.n_extents = 2,
		.extents = {"n", "m"}};
	const uint32_t extents[] = {1u << 31, 1u << 30}; /* 2^64 bytes */
	struct fnx_layout layout;

	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -E2BIG);
}

TEST(a_schema_that_contradicts_itself_has_no_layout)
{
	const struct fnx_field good = {
		.name = "a", .type = FNX_TYPE_int32_t, .offset = 4, .size = 4};
	const uint32_t extents[] = {2};
	struct fnx_field field = good;
	struct fnx_schema schema = {.name = "x",
		.fields = &field,
		.n_fields = 1,
		.n_extents = 1,
		.extents = {"n"},
		.struct_size = 8};
	struct fnx_layout layout;

	assert_int_equal(fnx_layout_init(&layout, &schema, extents), 0);
	field.offset = 8;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field.offset = UINT32_MAX - 3;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field.offset = 2;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field = good, field.size = 3;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field = good, field.type = (enum fnx_type)(FNX_TYPE_text + 1);
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field = good, field.n_dims = 1, field.dims[0] = 1;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field = good, field.n_dims = 3;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field = good, field.n_dims = 1, field.type = FNX_TYPE_text;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	field = good, schema.n_fields = FNX_SCHEMA_FIELDS_MAX + 1;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	schema.n_fields = 1, schema.n_extents = FNX_SCHEMA_EXTENTS_MAX + 1;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -EINVAL);
	schema.n_extents = 1, schema.struct_size = FNX_SCHEMA_PAYLOAD_MAX + 8;
	assert_int_equal(fnx_layout_init(&layout, &schema, extents), -E2BIG);
}

TEST(no_two_messages_have_the_same_hash)
{
	for (size_t i = 0; fnx_schemas[i]; i++) {
		assert_int_not_equal(fnx_schema_hash(fnx_schemas[i]), 0);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(
				fnx_schema_hash(fnx_schemas[i]), fnx_schema_hash(fnx_schemas[j]));
	}
}

TEST(the_hash_changes_with_all_that_moves_or_renames_a_byte_and_not_with_meanings)
{
	const struct fnx_field good[] = {
		{.name = "a", .unit = "cm", .meaning = "", .type = FNX_TYPE_int32_t, .size = 4},
		{.name = "b",
			.unit = "",
			.meaning = "",
			.type = FNX_TYPE_float,
			.n_dims = 1,
			.dims = {1}},
	};
	struct fnx_field fields[2];
	const struct fnx_schema proper = {.name = "x",
		.fields = fields,
		.n_fields = 2,
		.n_extents = 2,
		.extents = {"n", "m"},
		.struct_size = 8};
	struct fnx_schema schema = proper;
	uint64_t hash;

#define CHANGED(change) \
	do { \
		memcpy(fields, good, sizeof(good)); \
		schema = proper; \
		change; \
		assert_int_not_equal(fnx_schema_hash(&schema), hash); \
	} while (0)
	memcpy(fields, good, sizeof(good));
	hash = fnx_schema_hash(&schema);
	fields[0].meaning = "something else";
	assert_int_equal(fnx_schema_hash(&schema), hash);
	CHANGED(schema.name = "y");
	CHANGED(schema.extents[0] = "k");
	CHANGED(schema.struct_size = 16);
	CHANGED(schema.n_fields = 1);
	CHANGED(fields[0].name = "c");
	CHANGED(fields[0].unit = "mm");
	CHANGED(fields[0].type = FNX_TYPE_uint32_t);
	CHANGED(fields[0].offset = 4);
	CHANGED(fields[1].dims[0] = 0);
	CHANGED(fields[1].n_dims = 2);
#undef CHANGED
}

TEST(no_field_is_named_like_a_part_of_the_stamp)
{
	assert_true(fnx_codec_reserved("seq"));
	for (size_t i = 0; fnx_schemas[i]; i++)
		for (uint32_t k = 0; k < fnx_schemas[i]->n_fields; k++)
			assert_false(fnx_codec_reserved(fnx_schemas[i]->fields[k].name));
}
