/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/description.h"

#include <errno.h>

#include <msgpack.h>

#include "schemas/posterior.h"
#include "tests/unit/schemas/samples.h"

static void assert_schema_equal(const struct fnx_schema *a, const struct fnx_schema *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->struct_size, b->struct_size);
	assert_int_equal(a->n_extents, b->n_extents);
	assert_int_equal(a->n_fields, b->n_fields);
	for (uint32_t i = 0; i < a->n_extents; i++)
		assert_string_equal(a->extents[i], b->extents[i]);
	for (uint32_t i = 0; i < a->n_fields; i++) {
		assert_string_equal(a->fields[i].name, b->fields[i].name);
		assert_string_equal(a->fields[i].unit, b->fields[i].unit);
		assert_string_equal(a->fields[i].meaning, b->fields[i].meaning);
		assert_int_equal(a->fields[i].type, b->fields[i].type);
		assert_int_equal(a->fields[i].n_dims, b->fields[i].n_dims);
		assert_int_equal(a->fields[i].dims[0], b->fields[i].dims[0]);
		assert_int_equal(a->fields[i].dims[1], b->fields[i].dims[1]);
	}
	assert_int_equal(fnx_schema_hash(a), fnx_schema_hash(b));
}

static void assert_layout_equal(const struct fnx_layout *a, const struct fnx_layout *b)
{
	assert_schema_equal(a->schema, b->schema);
	assert_memory_equal(a->extents, b->extents, sizeof(a->extents));
	assert_memory_equal(a->offsets, b->offsets, sizeof(a->offsets));
	assert_memory_equal(a->sizes, b->sizes, sizeof(a->sizes));
	assert_int_equal(a->size, b->size);
}

/* Through a block of exactly its size, gone before the description is looked at. */
static void assert_comes_back(const struct fnx_layout *layout)
{
	char buffer[FNX_DESCRIPTION_MAX];
	struct fnx_description *description;
	char *bytes;
	size_t size;

	assert_int_equal(fnx_description_encode(layout, buffer, sizeof(buffer), &size), 0);
	bytes = malloc(size);
	memcpy(bytes, buffer, size);
	assert_int_equal(fnx_description_decode(bytes, size, &description), 0);
	memset(bytes, 0xa5, size);
	free(bytes);
	assert_layout_equal(&description->layout, layout);
	assert_ptr_equal(description->layout.schema, &description->schema);
	assert_null(fnx_description_free(description));
}

TEST(every_message_can_be_rebuilt_from_its_description)
{
	struct check_random random = check_random_seeded();

	for (size_t i = 0; fnx_schemas[i]; i++)
		for (int round = 0; round < 10; round++) {
			struct fnx_layout layout = random_layout(&random, fnx_schemas[i]);

			assert_comes_back(&layout);
		}
}

TEST(so_can_any_schema)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 300; round++) {
		struct random_schema sample;
		struct fnx_layout layout;

		random_schema(&random, &sample);
		layout = random_layout(&random, &sample.schema);
		assert_comes_back(&layout);
	}
}

TEST(a_message_can_be_decoded_with_nothing_but_its_description)
{
	struct check_random random = check_random_seeded();
	struct fnx_layout layout = random_layout(&random, &fnx_posterior_schema);
	struct fnx_codec_stamp stamp = random_stamp(&random), stamp_back;
	struct fnx_description *description;
	struct fnx_codec_decoder *decoder;
	char *payload = random_payload(&random, &layout);
	char *back = malloc(layout.size);
	char *bytes = malloc(fnx_codec_bound(&layout));
	char buffer[FNX_DESCRIPTION_MAX];
	size_t size;

	assert_int_equal(fnx_codec_decoder_new(&decoder), 0);
	assert_int_equal(fnx_description_encode(&layout, buffer, sizeof(buffer), &size), 0);
	assert_int_equal(fnx_description_decode(buffer, size, &description), 0);
	assert_int_equal(fnx_codec_encode(&layout, &stamp, payload, layout.size, bytes,
				 fnx_codec_bound(&layout), &size),
		0);
	assert_int_equal(
		fnx_codec_decode(&description->layout, decoder, bytes, size, &stamp_back, back), 0);
	assert_memory_equal(back, payload, layout.size);
	fnx_description_free(description);
	fnx_codec_decoder_free(decoder);
	free(payload);
	free(back);
	free(bytes);
}

TEST(a_buffer_too_small_by_any_number_of_bytes_is_noticed)
{
	struct check_random random = check_random_seeded();
	struct fnx_layout layout = random_layout(&random, &fnx_posterior_schema);
	char buffer[FNX_DESCRIPTION_MAX];
	size_t full, size = 4711;

	assert_int_equal(fnx_description_encode(&layout, buffer, sizeof(buffer), &full), 0);
	for (size_t room = 0; room < full; room++)
		assert_int_equal(fnx_description_encode(&layout, buffer, room, &size), -EMSGSIZE);
	assert_int_equal(size, 4711);
}

TEST(a_description_cut_anywhere_is_refused)
{
	struct check_random random = check_random_seeded();
	struct fnx_layout layout = random_layout(&random, &fnx_posterior_schema);
	char buffer[FNX_DESCRIPTION_MAX];
	struct fnx_description *description = NULL;
	size_t full;

	assert_int_equal(fnx_description_encode(&layout, buffer, sizeof(buffer), &full), 0);
	for (size_t size = 0; size < full; size++) {
		char *cut = malloc(size ? size : 1);

		memcpy(cut, buffer, size);
		assert_int_equal(fnx_description_decode(cut, size, &description), -EBADMSG);
		assert_null(description);
		free(cut);
	}
}

TEST(a_description_with_any_byte_changed_is_refused_or_means_what_a_layout_can_mean)
{
	struct check_random random = check_random_seeded();

	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = random_layout(&random, fnx_schemas[i]);
		char buffer[FNX_DESCRIPTION_MAX];
		size_t size;

		assert_int_equal(fnx_description_encode(&layout, buffer, sizeof(buffer), &size), 0);
		for (size_t at = 0; at < size; at++) {
			char flip = (char)(1 + check_random_below(&random, 255));
			struct fnx_description *description;

			buffer[at] = (char)(buffer[at] ^ flip);
			if (fnx_description_decode(buffer, size, &description) == 0) {
				/* a letter of a meaning: no byte of a payload moved */
				assert_int_equal(description->layout.size, layout.size);
				assert_memory_equal(description->layout.offsets, layout.offsets,
					sizeof(layout.offsets));
				assert_int_equal(fnx_schema_hash(&description->schema),
					fnx_schema_hash(&layout.schema[0]));
				fnx_description_free(description);
			}
			buffer[at] = (char)(buffer[at] ^ flip);
		}
	}
}

/* A schema of two fields of the struct and an array, encoded as it is, though it may be bad. */
struct bad {
	struct fnx_field fields[3];
	struct fnx_schema schema;
	struct fnx_layout layout;
};

static void make_good(struct bad *bad)
{
	const uint32_t extents[] = {3, 4};

	*bad = (struct bad){
		.fields =
			{
				{.name = "a",
					.unit = "cm",
					.meaning = "",
					.type = FNX_TYPE_int32_t,
					.size = 4},
				{.name = "b",
					.unit = "",
					.meaning = "",
					.type = FNX_TYPE_text,
					.offset = 4,
					.size = 12},
				{.name = "c",
					.unit = "",
					.meaning = "",
					.type = FNX_TYPE_float,
					.n_dims = 2,
					.dims = {0, 1}},
			},
		.schema = {.name = "x",
			.fields = bad->fields,
			.n_fields = 3,
			.n_extents = 2,
			.extents = {"n", "m"},
			.struct_size = 16},
	};
	assert_int_equal(fnx_layout_init(&bad->layout, &bad->schema, extents), 0);
}

static int decode_bad(const struct bad *bad)
{
	char buffer[FNX_DESCRIPTION_MAX];
	struct fnx_description *description;
	size_t size;
	int r;

	assert_int_equal(fnx_description_encode(&bad->layout, buffer, sizeof(buffer), &size), 0);
	r = fnx_description_decode(buffer, size, &description);
	if (r == 0)
		fnx_description_free(description);
	return r;
}

/* The hash is right each time: what is refused is refused for its own sake. */
TEST(a_description_that_contradicts_itself_is_refused)
{
	struct bad bad;

	make_good(&bad);
	assert_int_equal(decode_bad(&bad), 0);
#define REFUSED(change) \
	do { \
		make_good(&bad); \
		change; \
		assert_int_equal(decode_bad(&bad), -EBADMSG); \
	} while (0)
	REFUSED(bad.schema.name = "");
	REFUSED(bad.schema.name = "a'b");
	REFUSED(bad.schema.extents[0] = "m");
	REFUSED(bad.schema.extents[0] = "1");
	REFUSED(bad.schema.struct_size = 12);
	REFUSED(bad.schema.struct_size = 24);
	REFUSED(bad.layout.extents[0] = 0);
	REFUSED(bad.layout.extents[0] = 4);
	REFUSED(bad.layout.extents[0] = UINT32_MAX);
	REFUSED(bad.layout.size = 72);
	REFUSED(bad.layout.offsets[2] = 24);
	REFUSED(bad.layout.offsets[2] = UINT32_MAX);
	REFUSED(bad.layout.sizes[2] = 44);
	REFUSED(bad.fields[0].name = "b");
	REFUSED(bad.fields[0].name = "seq");
	REFUSED(bad.fields[0].name = "a b");
	REFUSED(bad.fields[0].name = "");
	REFUSED(bad.fields[0].name = "a_name_of_thirty_two_characters_");
	REFUSED(bad.fields[0].unit = "a\nb");
	REFUSED(bad.fields[0].unit = "\xff");
	REFUSED(bad.fields[0].unit = "\x1b[2J");
	REFUSED(bad.fields[0].unit = "\xc2\x9b[2J");
	REFUSED(bad.fields[0].unit = "a unit of thirty-two characters!");
	REFUSED(bad.fields[0].meaning = "a\tb");
	REFUSED(bad.layout.offsets[0] = 4; bad.fields[0].offset = 4);
	REFUSED(bad.layout.offsets[1] = 3; bad.fields[1].offset = 3);
	REFUSED(bad.layout.offsets[0] = 2; bad.fields[0].offset = 2);
	REFUSED(bad.layout.sizes[0] = 8);
	REFUSED(bad.layout.sizes[1] = 0; bad.fields[1].size = 0);
	REFUSED(bad.layout.sizes[1] = 13; bad.fields[1].size = 13);
	/* equal in value as well, so that nothing but the name tells them apart */
	REFUSED(bad.schema.extents[0] = "m"; bad.layout.extents[0] = 4; bad.layout.sizes[2] = 64;
		bad.layout.size = 80);
#undef REFUSED
}

TEST(a_description_with_another_hash_is_refused)
{
	struct fnx_description *description;
	char buffer[FNX_DESCRIPTION_MAX];
	struct bad bad;
	size_t size;
	char *hash;

	make_good(&bad);
	assert_int_equal(fnx_description_encode(&bad.layout, buffer, sizeof(buffer), &size), 0);
	hash = memmem(buffer, size, "hash\xcf", 5);
	assert_non_null(hash);
	hash[12] = (char)(hash[12] ^ 1);
	assert_int_equal(fnx_description_decode(buffer, size, &description), -EBADMSG);
}

TEST(a_description_beyond_the_limit_is_neither_written_nor_read)
{
	char *bytes = calloc(1, FNX_DESCRIPTION_MAX + 1);
	struct fnx_description *description;

	assert_int_equal(
		fnx_description_decode(bytes, FNX_DESCRIPTION_MAX + 1, &description), -EBADMSG);
	free(bytes);
}
