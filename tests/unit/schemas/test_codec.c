/* SPDX-License-Identifier: BSD-3-Clause */
/* Long, since both ways share the messages, and what is hostile is made from them. */
#include "schemas/codec.h"

#include <errno.h>
#include <float.h>
#include <stdalign.h>

#include <msgpack.h>

#include "schemas/decision.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"
#include "schemas/spike.h"
#include "tests/support/allocations.h"
#include "tests/unit/schemas/samples.h"

static struct fnx_codec_decoder *decoder;

__attribute__((constructor)) static void make_decoder(void)
{
	if (fnx_codec_decoder_new(&decoder) < 0)
		abort();
}

__attribute__((destructor)) static void free_decoder(void)
{
	decoder = fnx_codec_decoder_free(decoder);
}

struct encoded {
	struct fnx_codec_stamp stamp;
	char *payload;
	char *bytes;
	size_t size;
};

/* Encoded twice: into as much as the bound says, then into as much as it took. */
static struct encoded encode_random(struct check_random *random, const struct fnx_layout *layout)
{
	struct encoded encoded = {random_stamp(random), random_payload(random, layout), NULL, 0};
	size_t bound = fnx_codec_bound(layout);
	char *bytes = malloc(bound);
	size_t again = 0;

	assert_int_equal(fnx_codec_encode(layout, &encoded.stamp, encoded.payload, layout->size,
				 bytes, bound, &encoded.size),
		0);
	assert_in_range(encoded.size, 1, bound);
	encoded.bytes = malloc(encoded.size);
	assert_int_equal(fnx_codec_encode(layout, &encoded.stamp, encoded.payload, layout->size,
				 encoded.bytes, encoded.size, &again),
		0);
	assert_int_equal(again, encoded.size);
	assert_memory_equal(encoded.bytes, bytes, again);
	free(bytes);
	return encoded;
}

static void free_encoded(struct encoded *encoded)
{
	free(encoded->payload);
	free(encoded->bytes);
}

/* Decodes into poison and compares; the byte behind the payload must stay. */
static void assert_decodes(const struct fnx_layout *layout, const struct encoded *encoded,
	const void *bytes, size_t size)
{
	struct fnx_codec_stamp stamp;
	unsigned char *payload = malloc(layout->size + 1u);

	memset(payload, 0xa5, layout->size + 1u);
	memset(&stamp, 0xa5, sizeof(stamp));
	assert_int_equal(fnx_codec_decode(layout, decoder, bytes, size, &stamp, payload), 0);
	assert_stamp_equal(&stamp, &encoded->stamp);
	if (layout->size)
		assert_memory_equal(payload, encoded->payload, layout->size);
	assert_int_equal(payload[layout->size], 0xa5);
	free(payload);
}

/* Decodes into poison; what is refused has written nothing. */
static int decode_into_poison(const struct fnx_layout *layout, const void *bytes, size_t size)
{
	struct fnx_codec_stamp stamp = {.seq = 4711, .flags = 815};
	unsigned char *payload = malloc(layout->size + 1u);
	int r;

	memset(payload, 0xa5, layout->size + 1u);
	r = fnx_codec_decode(layout, decoder, bytes, size, &stamp, payload);
	if (r < 0) {
		for (uint32_t i = 0; i < layout->size; i++)
			assert_int_equal(payload[i], 0xa5);
		assert_int_equal(stamp.seq, 4711);
		assert_int_equal(stamp.flags, 815);
	}
	assert_int_equal(payload[layout->size], 0xa5);
	free(payload);
	return r;
}

TEST(every_message_comes_back_as_it_went_whatever_its_extents)
{
	struct check_random random = check_random_seeded();

	for (size_t i = 0; fnx_schemas[i]; i++)
		for (int round = 0; round < 40; round++) {
			struct fnx_layout layout = random_layout(&random, fnx_schemas[i]);
			struct encoded encoded = encode_random(&random, &layout);

			assert_decodes(&layout, &encoded, encoded.bytes, encoded.size);
			free_encoded(&encoded);
		}
}

TEST(so_does_a_message_of_any_schema)
{
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 400; round++) {
		struct random_schema sample;
		struct fnx_layout layout;
		struct encoded encoded;

		random_schema(&random, &sample);
		layout = random_layout(&random, &sample.schema);
		encoded = encode_random(&random, &layout);
		assert_decodes(&layout, &encoded, encoded.bytes, encoded.size);
		free_encoded(&encoded);
	}
}

static struct fnx_layout small_layout(size_t message)
{
	const uint32_t extents[FNX_SCHEMA_EXTENTS_MAX] = {2, 3, 1, 1};
	struct fnx_layout layout;

	assert_int_equal(fnx_layout_init(&layout, fnx_schemas[message], extents), 0);
	return layout;
}

TEST(a_message_cut_anywhere_is_refused_and_nothing_written)
{
	struct check_random random = check_random_seeded();

	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = small_layout(i);
		struct encoded encoded = encode_random(&random, &layout);

		for (size_t size = 0; size < encoded.size; size++) {
			char *cut = malloc(size ? size : 1);

			memcpy(cut, encoded.bytes, size);
			assert_int_equal(decode_into_poison(&layout, cut, size), -EBADMSG);
			free(cut);
		}
		free_encoded(&encoded);
	}
}

TEST(a_message_followed_by_more_is_refused)
{
	struct check_random random = check_random_seeded();
	struct fnx_layout layout = small_layout(0);
	struct encoded encoded = encode_random(&random, &layout);
	char *longer = calloc(1, encoded.size + 1);

	memcpy(longer, encoded.bytes, encoded.size);
	assert_int_equal(decode_into_poison(&layout, longer, encoded.size + 1), -EBADMSG);
	free(longer);
	free_encoded(&encoded);
}

TEST(a_message_with_any_byte_changed_is_refused_whole_or_taken_whole)
{
	struct check_random random = check_random_seeded();
	size_t n_refused = 0, n_taken = 0;

	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = small_layout(i);
		struct encoded encoded = encode_random(&random, &layout);

		for (size_t at = 0; at < encoded.size; at++)
			for (unsigned flip = 1; flip < 256; flip++) {
				encoded.bytes[at] = (char)(encoded.bytes[at] ^ (char)flip);
				if (decode_into_poison(&layout, encoded.bytes, encoded.size) < 0)
					n_refused++;
				else
					n_taken++;
				encoded.bytes[at] = (char)(encoded.bytes[at] ^ (char)flip);
			}
		free_encoded(&encoded);
	}
	print_message("%zu refused, %zu taken\n", n_refused, n_taken);
	assert_true(n_refused > 0);
}

TEST(a_buffer_too_small_by_any_number_of_bytes_is_noticed)
{
	struct check_random random = check_random_seeded();

	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = small_layout(i);
		struct encoded encoded = encode_random(&random, &layout);

		for (size_t size = 0; size < encoded.size; size++) {
			char *buffer = malloc(size ? size : 1);
			size_t written = 4711;

			assert_int_equal(fnx_codec_encode(&layout, &encoded.stamp, encoded.payload,
						 layout.size, buffer, size, &written),
				-EMSGSIZE);
			assert_int_equal(written, 4711);
			free(buffer);
		}
		free_encoded(&encoded);
	}
}

TEST(a_payload_of_another_length_is_not_encoded)
{
	struct fnx_layout layout = small_layout(0);
	struct fnx_codec_stamp stamp = {0};
	char payload[4096] = {0}, buffer[4096];
	size_t size;

	assert_int_equal(fnx_codec_encode(&layout, &stamp, payload, layout.size - 1u, buffer,
				 sizeof(buffer), &size),
		-EINVAL);
	assert_int_equal(fnx_codec_encode(&layout, &stamp, payload, layout.size + 1u, buffer,
				 sizeof(buffer), &size),
		-EINVAL);
}

TEST(the_largest_values_fit_the_bound)
{
	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = small_layout(i);
		const struct fnx_codec_stamp stamp = {
			UINT64_MAX, INT64_MIN, INT64_MIN, INT64_MIN, UINT32_MAX};
		size_t bound = fnx_codec_bound(&layout), size;
		char *payload = malloc(layout.size), *buffer = malloc(bound);

		memset(payload, 0x7e, layout.size);
		assert_int_equal(fnx_codec_encode(&layout, &stamp, payload, layout.size, buffer,
					 bound, &size),
			0);
		free(payload);
		free(buffer);
	}
}

TEST(encoding_and_decoding_allocate_nothing)
{
	struct check_random random = check_random_seeded();

	for (size_t i = 0; fnx_schemas[i]; i++) {
		struct fnx_layout layout = random_layout(&random, fnx_schemas[i]);
		struct encoded encoded = encode_random(&random, &layout);
		size_t before = n_allocations, size;
		struct fnx_codec_stamp stamp;

		for (int round = 0; round < 100; round++) {
			if (fnx_codec_encode(&layout, &encoded.stamp, encoded.payload, layout.size,
				    encoded.bytes, encoded.size, &size) < 0)
				break;
			if (fnx_codec_decode(&layout, decoder, encoded.bytes, size, &stamp,
				    encoded.payload) < 0)
				break;
		}
		assert_int_equal(n_allocations, before);
		assert_stamp_equal(&stamp, &encoded.stamp);
		free_encoded(&encoded);
	}
}

/* Messages by hand: a ripple, field by field
 * ---------------------------------------------------------- */

struct hand {
	msgpack_sbuffer buffer;
	msgpack_packer packer;
};

static void hand_open(struct hand *hand, size_t n_pairs)
{
	msgpack_sbuffer_init(&hand->buffer);
	msgpack_packer_init(&hand->packer, &hand->buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&hand->packer, n_pairs);
}

static void hand_key(struct hand *hand, const char *key)
{
	msgpack_pack_str_with_body(&hand->packer, key, strlen(key));
}

static void hand_int(struct hand *hand, const char *key, int64_t value)
{
	hand_key(hand, key);
	msgpack_pack_int64(&hand->packer, value);
}

static void hand_real(struct hand *hand, const char *key, double value)
{
	hand_key(hand, key);
	msgpack_pack_double(&hand->packer, value);
}

static void hand_stamp(struct hand *hand)
{
	hand_int(hand, "seq", 7);
	hand_int(hand, "sample_time", 30000);
	hand_int(hand, "ingress_ns", 1);
	hand_int(hand, "publish_ns", 2);
	hand_int(hand, "frame_flags", 3);
}

static struct fnx_layout ripple_layout(void)
{
	struct fnx_layout layout;

	assert_int_equal(fnx_layout_init(&layout, &fnx_ripple_schema, NULL), 0);
	return layout;
}

/* All but z; `n_more` pairs follow. */
static void hand_ripple(struct hand *hand, size_t n_more)
{
	hand_open(hand, 9 + n_more);
	hand_stamp(hand);
	hand_real(hand, "envelope", 20.5);
	hand_real(hand, "speed", 1.25);
	hand_int(hand, "channel", -1);
	hand_int(hand, "type", 3);
}

/* Decodes, frees. */
static int hand_close(struct hand *hand, struct fnx_ripple *ret)
{
	struct fnx_layout layout = ripple_layout();
	struct fnx_codec_stamp stamp;
	int r;

	r = decode_into_poison(&layout, hand->buffer.data, hand->buffer.size);
	assert_int_equal(r,
		fnx_codec_decode(
			&layout, decoder, hand->buffer.data, hand->buffer.size, &stamp, ret));
	msgpack_sbuffer_destroy(&hand->buffer);
	return r;
}

TEST(fields_may_come_in_any_order_among_unknown_ones)
{
	struct fnx_layout layout = ripple_layout();
	struct fnx_codec_stamp stamp;
	struct fnx_ripple ripple;
	struct hand hand;

	hand_open(&hand, 16);
	hand_int(&hand, "type", 2);
	hand_key(&hand, "not_ours");
	msgpack_pack_nil(&hand.packer);
	hand_real(&hand, "z", 4.5);
	hand_int(&hand, "channel", -1);
	msgpack_pack_int(&hand.packer, 12); /* a key that is a number */
	msgpack_pack_array(&hand.packer, 2);
	msgpack_pack_map(&hand.packer, 0);
	msgpack_pack_ext_with_body(&hand.packer, "abcd", 4, 5);
	hand_real(&hand, "speed", 1.25);
	msgpack_pack_map(&hand.packer, 1); /* a key that is a map */
	msgpack_pack_array(&hand.packer, 0);
	msgpack_pack_true(&hand.packer);
	msgpack_pack_str_with_body(&hand.packer, "", 0);
	hand_stamp(&hand);
	hand_real(&hand, "envelope", 20.5);
	hand_key(&hand, "zz");
	msgpack_pack_str_with_body(&hand.packer, "", 0);
	hand_int(&hand, "unknown", 1);
	assert_int_equal(fnx_codec_decode(&layout, decoder, hand.buffer.data, hand.buffer.size,
				 &stamp, &ripple),
		-EBADMSG); /* one pair short */
	hand_int(&hand, "unknown", 1); /* a key twice matters only where it is ours */
	assert_int_equal(fnx_codec_decode(&layout, decoder, hand.buffer.data, hand.buffer.size,
				 &stamp, &ripple),
		0);
	assert_true(ripple.z == 4.5 && ripple.envelope == 20.5 && ripple.speed == 1.25);
	assert_int_equal(ripple.channel, -1);
	assert_int_equal(ripple.type, 2);
	assert_int_equal(stamp.seq, 7);
	assert_int_equal(stamp.sample_time, 30000);
	assert_int_equal(stamp.flags, 3);
	msgpack_sbuffer_destroy(&hand.buffer);
}

TEST(a_missing_field_is_told_from_a_bad_one)
{
	struct fnx_ripple ripple;
	struct hand hand;

	hand_ripple(&hand, 0);
	assert_int_equal(hand_close(&hand, &ripple), -ENODATA);
	hand_open(&hand, 1);
	hand_real(&hand, "z", 1.0);
	assert_int_equal(hand_close(&hand, &ripple), -ENODATA);
	hand_open(&hand, 0);
	assert_int_equal(hand_close(&hand, &ripple), -ENODATA);
	hand_ripple(&hand, 1);
	hand_key(&hand, "z");
	msgpack_pack_nil(&hand.packer);
	assert_int_equal(hand_close(&hand, &ripple), -EBADMSG);
}

TEST(a_field_given_twice_is_refused)
{
	struct fnx_ripple ripple;
	struct hand hand;

	hand_ripple(&hand, 2);
	hand_real(&hand, "z", 1.0);
	hand_real(&hand, "z", 1.0);
	assert_int_equal(hand_close(&hand, &ripple), -EBADMSG);
}

TEST(a_root_that_is_no_map_is_refused)
{
	static const char *const bytes[] = {"\xc0", "\x01", "\x90", "\xa1z", "\xc1", "\xcb"};
	struct fnx_layout layout = ripple_layout();

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		assert_int_equal(decode_into_poison(&layout, bytes[i], strlen(bytes[i])), -EBADMSG);
	assert_int_equal(decode_into_poison(&layout, "", 0), -EBADMSG);
}

TEST(numbers_are_taken_in_every_form_that_holds_them_exactly)
{
	struct fnx_ripple ripple;
	struct hand hand;

	hand_ripple(&hand, 1);
	hand_int(&hand, "z", 3);
	assert_int_equal(hand_close(&hand, &ripple), 0);
	assert_true(ripple.z == 3.0);

	hand_ripple(&hand, 1);
	hand_int(&hand, "z", -40000);
	assert_int_equal(hand_close(&hand, &ripple), 0);
	assert_true(ripple.z == -40000.0);

	hand_ripple(&hand, 1);
	hand_key(&hand, "z");
	msgpack_pack_float(&hand.packer, 0.1f);
	assert_int_equal(hand_close(&hand, &ripple), 0);
	assert_true(ripple.z == (double)0.1f);

	hand_ripple(&hand, 1);
	hand_int(&hand, "z", (INT64_C(1) << 53) + 1);
	assert_int_equal(hand_close(&hand, &ripple), -EBADMSG);

	hand_ripple(&hand, 1);
	hand_int(&hand, "z", -(INT64_C(1) << 53) - 1);
	assert_int_equal(hand_close(&hand, &ripple), -EBADMSG);

	hand_ripple(&hand, 1);
	hand_key(&hand, "z");
	msgpack_pack_true(&hand.packer);
	assert_int_equal(hand_close(&hand, &ripple), -EBADMSG);
}

/* One scalar of `type`, given as what `bytes` say. */
static int decode_scalar(enum fnx_type type, const char *bytes, size_t n_bytes, uint64_t *ret)
{
	const struct fnx_field field = {.name = "v",
		.unit = "",
		.meaning = "",
		.type = type,
		.size = type == FNX_TYPE_text ? 8 : fnx_type_size(type)};
	const struct fnx_schema schema = {
		.name = "x", .fields = &field, .n_fields = 1, .struct_size = 8};
	struct fnx_codec_stamp stamp;
	struct fnx_layout layout;
	struct hand hand;
	int r;

	assert_int_equal(fnx_layout_init(&layout, &schema, NULL), 0);
	hand_open(&hand, 6);
	hand_stamp(&hand);
	hand_key(&hand, "v");
	msgpack_sbuffer_write(&hand.buffer, bytes, n_bytes);
	r = fnx_codec_decode(&layout, decoder, hand.buffer.data, hand.buffer.size, &stamp, ret);
	msgpack_sbuffer_destroy(&hand.buffer);
	return r;
}

static int decode_int(enum fnx_type type, int64_t value, int64_t *ret)
{
	unsigned char bytes[9] = {0xd3};

	/* always the widest form */
	for (int i = 0; i < 8; i++)
		bytes[1 + i] = (unsigned char)((uint64_t)value >> (56 - 8 * i));
	return decode_scalar(type, (const char *)bytes, 9, (uint64_t *)ret);
}

TEST(an_integer_is_taken_up_to_the_bounds_of_its_type_and_not_beyond)
{
	static const struct {
		enum fnx_type type;
		int64_t min, max;
	} cases[] = {
		{FNX_TYPE_int8_t, INT8_MIN, INT8_MAX},
		{FNX_TYPE_uint8_t, 0, UINT8_MAX},
		{FNX_TYPE_int16_t, INT16_MIN, INT16_MAX},
		{FNX_TYPE_uint16_t, 0, UINT16_MAX},
		{FNX_TYPE_int32_t, INT32_MIN, INT32_MAX},
		{FNX_TYPE_uint32_t, 0, UINT32_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned bits = 8 * fnx_type_size(cases[i].type);
		uint64_t mask = (UINT64_C(1) << bits) - 1;
		int64_t got;

		assert_int_equal(decode_int(cases[i].type, cases[i].min, &got), 0);
		assert_int_equal(got, (uint64_t)cases[i].min & mask);
		assert_int_equal(decode_int(cases[i].type, cases[i].max, &got), 0);
		assert_int_equal(got, cases[i].max);
		assert_int_equal(decode_int(cases[i].type, cases[i].min - 1, &got), -EBADMSG);
		assert_int_equal(decode_int(cases[i].type, cases[i].max + 1, &got), -EBADMSG);
	}
}

TEST(the_widest_integers_keep_every_bit_and_refuse_the_other_sign)
{
	uint64_t got;
	int64_t got_signed;

	assert_int_equal(decode_int(FNX_TYPE_int64_t, INT64_MIN, &got_signed), 0);
	assert_int_equal(got_signed, INT64_MIN);
	assert_int_equal(
		decode_scalar(FNX_TYPE_uint64_t, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, &got),
		0);
	assert_int_equal(got, UINT64_MAX);
	assert_int_equal(
		decode_scalar(FNX_TYPE_int64_t, "\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9, &got),
		-EBADMSG);
	assert_int_equal(decode_scalar(FNX_TYPE_uint64_t, "\xff", 1, &got), -EBADMSG);
}

TEST(an_integer_field_takes_no_float)
{
	uint64_t got;

	assert_int_equal(
		decode_scalar(FNX_TYPE_int32_t, "\xca\x3f\x80\x00\x00", 5, &got), -EBADMSG);
	assert_int_equal(decode_scalar(FNX_TYPE_int32_t, "\xc2", 1, &got), -EBADMSG);
	assert_int_equal(decode_scalar(FNX_TYPE_int32_t, "\xa1z", 2, &got), -EBADMSG);
}

TEST(a_float_field_rounds_a_double_and_refuses_one_too_large)
{
	uint64_t got = 0;
	float value;

	/* 0.1 */
	assert_int_equal(
		decode_scalar(FNX_TYPE_float, "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", 9, &got), 0);
	memcpy(&value, &got, sizeof(value));
	assert_true(value == 0.1f);
	/* infinity */
	assert_int_equal(
		decode_scalar(FNX_TYPE_float, "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9, &got), 0);
	memcpy(&value, &got, sizeof(value));
	assert_true(value > FLT_MAX);
	/* 1e300 */
	assert_int_equal(
		decode_scalar(FNX_TYPE_float, "\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", 9, &got),
		-EBADMSG);
}

TEST(a_text_must_leave_room_for_its_closing_0_and_be_utf8)
{
	uint64_t got;

	assert_int_equal(decode_scalar(FNX_TYPE_text, "\xa7sevenab", 8, &got), 0);
	assert_string_equal((const char *)&got, "sevenab");
	assert_int_equal(decode_scalar(FNX_TYPE_text, "\xa0", 1, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(decode_scalar(FNX_TYPE_text, "\xa8seven_ab", 9, &got), -EBADMSG);
	assert_int_equal(decode_scalar(FNX_TYPE_text,
				 "\xa3"
				 "a\0b",
				 4, &got),
		-EBADMSG);
	assert_int_equal(decode_scalar(FNX_TYPE_text, "\xa2\xc3(", 3, &got), -EBADMSG);
	assert_int_equal(decode_scalar(FNX_TYPE_text, "\xc4\x01z", 3, &got), -EBADMSG);
}

TEST(a_text_cut_in_the_middle_of_a_letter_goes_out_without_it)
{
	struct fnx_layout layout;
	struct fnx_codec_stamp stamp = {0};
	struct fnx_decision decision = {0}, back;
	char buffer[1024];
	size_t size;

	assert_int_equal(fnx_layout_init(&layout, &fnx_decision_schema, NULL), 0);
	memset(decision.rule_name, 'x', sizeof(decision.rule_name));
	memcpy(decision.rule_name + 30, "\xc2\xb5", 2);
	assert_int_equal(fnx_codec_encode(&layout, &stamp, &decision, sizeof(decision), buffer,
				 sizeof(buffer), &size),
		0);
	assert_int_equal(fnx_codec_decode(&layout, decoder, buffer, size, &stamp, &back), 0);
	assert_int_equal(strlen(back.rule_name), 30);
	assert_memory_equal(back.rule_name, decision.rule_name, 30);
	/* nor does broken UTF-8 within it */
	memcpy(decision.rule_name, "ab\xed\xa0\x80", 6);
	assert_int_equal(fnx_codec_encode(&layout, &stamp, &decision, sizeof(decision), buffer,
				 sizeof(buffer), &size),
		0);
	assert_int_equal(fnx_codec_decode(&layout, decoder, buffer, size, &stamp, &back), 0);
	assert_string_equal(back.rule_name, "ab");
}

/* Arrays by hand: a spike of 1 x 2
 * -------------------------------------------------------------------- */

static struct fnx_layout tiny_spike_layout(void)
{
	const uint32_t extents[] = {1, 2};
	struct fnx_layout layout;

	assert_int_equal(fnx_layout_init(&layout, &fnx_spike_schema, extents), 0);
	return layout;
}

static void hand_spike(struct hand *hand, size_t n_more)
{
	hand_open(hand, 10 + n_more);
	hand_stamp(hand);
	hand_real(hand, "uv_per_count", 0.195);
	hand_int(hand, "group", 1);
	hand_int(hand, "n_channels", 1);
	hand_int(hand, "n_points", 2);
	hand_int(hand, "flags", 0);
}

struct hand_array {
	int nd;
	const char *type;
	size_t n_dims;
	int64_t shape[3];
	size_t size;
	int keys_are_bin; /* as msgpack-numpy writes them */
};

static void hand_array_key(struct hand *hand, const struct hand_array *array, const char *key)
{
	if (array->keys_are_bin)
		msgpack_pack_bin_with_body(&hand->packer, key, strlen(key));
	else
		hand_key(hand, key);
}

static int decode_array(const struct hand_array *array, float *ret)
{
	const float data[16] = {1.5f, -2.5f};
	struct fnx_layout layout = tiny_spike_layout();
	struct fnx_codec_stamp stamp;
	alignas(8) char payload[64];
	struct hand hand;
	int r;

	hand_spike(&hand, 1);
	hand_key(&hand, "waveform");
	msgpack_pack_map(&hand.packer, 5);
	hand_array_key(&hand, array, "kind");
	msgpack_pack_bin_with_body(&hand.packer, "", 0);
	hand_array_key(&hand, array, "data");
	msgpack_pack_bin_with_body(&hand.packer, data, array->size);
	hand_array_key(&hand, array, "shape");
	msgpack_pack_array(&hand.packer, array->n_dims);
	for (size_t d = 0; d < array->n_dims; d++)
		msgpack_pack_int64(&hand.packer, array->shape[d]);
	hand_array_key(&hand, array, "type");
	hand_key(&hand, array->type);
	hand_array_key(&hand, array, "nd");
	if (array->nd)
		msgpack_pack_true(&hand.packer);
	else
		msgpack_pack_false(&hand.packer);
	r = decode_into_poison(&layout, hand.buffer.data, hand.buffer.size);
	assert_int_equal(r,
		fnx_codec_decode(
			&layout, decoder, hand.buffer.data, hand.buffer.size, &stamp, payload));
	msgpack_sbuffer_destroy(&hand.buffer);
	if (r == 0)
		memcpy(ret, fnx_spike_get_waveform(&layout, payload), 2 * sizeof(float));
	return r;
}

static void hand_waveform(struct hand *hand)
{
	hand_key(hand, "waveform");
	msgpack_pack_map(&hand->packer, 4);
	hand_key(hand, "nd");
	msgpack_pack_true(&hand->packer);
	hand_key(hand, "type");
	hand_key(hand, "<f4");
	hand_key(hand, "shape");
	msgpack_pack_array(&hand->packer, 2);
	msgpack_pack_int(&hand->packer, 1);
	msgpack_pack_int(&hand->packer, 2);
	hand_key(hand, "data");
	msgpack_pack_bin_with_body(&hand->packer, "12345678", 8);
}

TEST(an_array_is_taken_with_str_keys_and_with_those_of_msgpack_numpy)
{
	struct hand_array array = {1, "<f4", 2, {1, 2}, 8, 0};
	float got[2];

	for (int i = 0; i < 2; i++) {
		array.keys_are_bin = i;
		assert_int_equal(decode_array(&array, got), 0);
		assert_true(got[0] == 1.5f && got[1] == -2.5f);
	}
}

TEST(an_array_of_another_type_shape_or_size_is_refused)
{
	static const struct hand_array arrays[] = {
		{0, "<f4", 2, {1, 2}, 8, 0},
		{1, "<f8", 2, {1, 2}, 8, 0},
		{1, "<f8", 2, {1, 2}, 16, 0},
		{1, ">f4", 2, {1, 2}, 8, 0},
		{1, "<f", 2, {1, 2}, 8, 0},
		{1, "<f4", 2, {2, 1}, 8, 0},
		{1, "<f4", 1, {2}, 8, 0},
		{1, "<f4", 3, {1, 1, 2}, 8, 0},
		{1, "<f4", 0, {0}, 8, 0},
		{1, "<f4", 2, {1, -2}, 8, 0},
		{1, "<f4", 2, {1, INT64_C(0x100000002)}, 8, 0},
		{1, "<f4", 2, {1, 2}, 7, 0},
		{1, "<f4", 2, {1, 2}, 12, 0},
		{1, "<f4", 2, {1, 2}, 0, 0},
	};
	float got[2];

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		assert_int_equal(decode_array(&arrays[i], got), -EBADMSG);
}

TEST(an_array_with_a_part_missing_is_refused)
{
	struct fnx_layout layout = tiny_spike_layout();
	struct hand hand;

	hand_spike(&hand, 1);
	hand_key(&hand, "waveform");
	msgpack_pack_bin_with_body(&hand.packer, "12345678", 8);
	assert_int_equal(decode_into_poison(&layout, hand.buffer.data, hand.buffer.size), -EBADMSG);
	msgpack_sbuffer_destroy(&hand.buffer);

	hand_spike(&hand, 1);
	hand_key(&hand, "waveform");
	msgpack_pack_map(&hand.packer, 1);
	hand_key(&hand, "nd");
	msgpack_pack_true(&hand.packer);
	assert_int_equal(decode_into_poison(&layout, hand.buffer.data, hand.buffer.size), -EBADMSG);
	msgpack_sbuffer_destroy(&hand.buffer);
}

/* Hostile counts and depths
 * ------------------------------------------------------------------------- */

TEST(a_container_that_claims_4_billion_items_costs_nothing)
{
	static const char *const bytes[] = {"\xdf\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff",
		"\x81\xdd\xff\xff\xff\xff", "\x81\xa1z\xdf\xff\xff\xff\xff",
		"\x81\xa1z\xc6\xff\xff\xff\xff", "\x81\xa1z\xdb\xff\xff\xff\xff",
		"\x81\xa1z\xc9\xff\xff\xff\xff"};
	struct fnx_layout layout = ripple_layout();

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct fnx_ripple ripple;
		struct fnx_codec_stamp stamp;
		size_t before = n_allocations;

		assert_int_equal(fnx_codec_decode(&layout, decoder, bytes[i], strlen(bytes[i]),
					 &stamp, &ripple),
			-EBADMSG);
		assert_int_equal(n_allocations, before);
	}
}

TEST(nesting_is_followed_16_deep_and_no_deeper)
{
	for (int depth = 1; depth < 200; depth++) {
		struct fnx_ripple ripple;
		struct hand hand;

		hand_ripple(&hand, 2);
		hand_real(&hand, "z", 1.0);
		hand_key(&hand, "unknown");
		for (int i = 0; i < depth; i++)
			msgpack_pack_array(&hand.packer, 1);
		msgpack_pack_nil(&hand.packer);
		assert_int_equal(hand_close(&hand, &ripple), depth < 16 ? 0 : -EBADMSG);
	}
}

/* An array that is ours comes last: what was skipped must not have used up its place. */
TEST(an_unknown_field_may_hold_more_than_a_decoder_can_tell_apart)
{
	struct fnx_layout layout = tiny_spike_layout();
	struct hand hand;

	hand_spike(&hand, 3);
	hand_key(&hand, "a_list_of_pairs");
	msgpack_pack_array(&hand.packer, FNX_CODEC_OBJECTS + 1);
	for (int i = 0; i < FNX_CODEC_OBJECTS + 1; i++) {
		msgpack_pack_array(&hand.packer, 2);
		msgpack_pack_int(&hand.packer, i);
		msgpack_pack_map(&hand.packer, 1);
		hand_key(&hand, "k");
		msgpack_pack_array(&hand.packer, 0);
	}
	hand_key(&hand, "a_large_map");
	msgpack_pack_map(&hand.packer, FNX_CODEC_OBJECTS);
	for (int i = 0; i < FNX_CODEC_OBJECTS; i++) {
		if (i % 2) {
			msgpack_pack_array(&hand.packer, 2);
			msgpack_pack_nil(&hand.packer);
		}
		msgpack_pack_int(&hand.packer, i);
		msgpack_pack_array(&hand.packer, 2);
		msgpack_pack_nil(&hand.packer);
		msgpack_pack_nil(&hand.packer);
	}
	hand_waveform(&hand);
	assert_int_equal(decode_into_poison(&layout, hand.buffer.data, hand.buffer.size), 0);
	msgpack_sbuffer_destroy(&hand.buffer);
}

TEST(a_root_with_more_pairs_than_a_decoder_can_tell_apart_is_refused)
{
	struct fnx_ripple ripple;
	struct hand hand;

	hand_ripple(&hand, FNX_CODEC_OBJECTS);
	hand_real(&hand, "z", 1.0);
	for (int i = 1; i < FNX_CODEC_OBJECTS; i++)
		hand_int(&hand, "unknown", i);
	assert_int_equal(hand_close(&hand, &ripple), -EBADMSG);
}

TEST(random_bytes_never_get_further_than_a_refusal)
{
	struct check_random random = check_random_seeded();
	struct fnx_layout layout = tiny_spike_layout();

	for (int round = 0; round < 20000; round++) {
		size_t size = check_random_below(&random, 200);
		unsigned char *bytes = malloc(size ? size : 1);

		for (size_t i = 0; i < size; i++)
			bytes[i] = (unsigned char)check_random_u64(&random);
		if (size)
			bytes[0] = (unsigned char)(0x80 | (bytes[0] & 0xf));
		assert_true(decode_into_poison(&layout, bytes, size) < 0);
		free(bytes);
	}
}
