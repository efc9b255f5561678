/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/control.h"

#include <errno.h>

#include "tests/support/allocations.h"
#include "tests/unit/schemas/samples.h"

static int decode(struct fnx_map *map, const char *bytes, size_t size)
{
	return fnx_map_decode(map, bytes, size);
}

TEST(a_map_comes_back_as_it_went)
{
	const struct fnx_pair pairs[] = {
		fnx_pair_text("verb", "set"),
		fnx_pair_nil("nothing"),
		fnx_pair_flag("yes", true),
		fnx_pair_flag("no", false),
		fnx_pair_int("small", -3),
		fnx_pair_int("least", INT64_MIN),
		fnx_pair_uint("most", UINT64_MAX),
		fnx_pair_number("value", 3.5),
		fnx_pair_text("", ""),
	};
	struct fnx_map map;
	char buffer[256], text[8];
	bool flag;
	int64_t integer;
	double number;
	size_t size;

	assert_int_equal(fnx_map_encode(pairs, 9, buffer, sizeof(buffer), &size), 0);
	assert_int_equal(fnx_map_decode(&map, buffer, size), 0);
	assert_int_equal(map.n_pairs, 9);
	assert_int_equal(fnx_map_text(&map, "verb", text, sizeof(text)), 0);
	assert_string_equal(text, "set");
	assert_int_equal(fnx_map_text(&map, "", text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(fnx_map_find(&map, "nothing")->type, FNX_VALUE_NIL);
	assert_int_equal(fnx_map_flag(&map, "yes", &flag), 0);
	assert_true(flag);
	assert_int_equal(fnx_map_flag(&map, "no", &flag), 0);
	assert_false(flag);
	assert_int_equal(fnx_map_int(&map, "small", &integer), 0);
	assert_int_equal(integer, -3);
	assert_int_equal(fnx_map_int(&map, "least", &integer), 0);
	assert_int_equal(integer, INT64_MIN);
	assert_int_equal(fnx_map_find(&map, "most")->type, FNX_VALUE_UINT);
	assert_int_equal(fnx_map_find(&map, "most")->u64, UINT64_MAX);
	assert_int_equal(fnx_map_number(&map, "most", &number), 0);
	assert_true(number == 0x1p64);
	assert_int_equal(fnx_map_number(&map, "small", &number), 0);
	assert_true(number == -3.0);
	assert_int_equal(fnx_map_number(&map, "value", &number), 0);
	assert_true(number == 3.5);
}

TEST(a_getter_tells_a_missing_key_from_another_type)
{
	const struct fnx_pair pairs[] = {
		fnx_pair_text("t", "long enough"), fnx_pair_number("d", 1.0), fnx_pair_nil("n")};
	struct fnx_map map;
	char buffer[64], text[8] = "same", exact[12];
	bool flag = true;
	int64_t integer = 5;
	double number = 6.0;
	size_t size;

	assert_int_equal(fnx_map_encode(pairs, 3, buffer, sizeof(buffer), &size), 0);
	assert_int_equal(fnx_map_decode(&map, buffer, size), 0);
	assert_int_equal(fnx_map_flag(&map, "x", &flag), -ENOENT);
	assert_int_equal(fnx_map_int(&map, "x", &integer), -ENOENT);
	assert_int_equal(fnx_map_number(&map, "x", &number), -ENOENT);
	assert_int_equal(fnx_map_text(&map, "x", text, sizeof(text)), -ENOENT);
	assert_int_equal(fnx_map_flag(&map, "d", &flag), -EINVAL);
	assert_int_equal(fnx_map_int(&map, "d", &integer), -EINVAL);
	assert_int_equal(fnx_map_number(&map, "n", &number), -EINVAL);
	assert_int_equal(fnx_map_number(&map, "t", &number), -EINVAL);
	assert_int_equal(fnx_map_text(&map, "d", text, sizeof(text)), -EINVAL);
	assert_int_equal(fnx_map_text(&map, "t", text, sizeof(text)), -EMSGSIZE);
	assert_int_equal(fnx_map_text(&map, "t", text, 0), -EMSGSIZE);
	assert_int_equal(fnx_map_text(&map, "t", exact, 11), -EMSGSIZE);
	assert_int_equal(fnx_map_text(&map, "t", exact, 12), 0);
	assert_string_equal(exact, "long enough");
	assert_string_equal(text, "same");
	assert_true(flag && integer == 5 && number == 6.0);
	assert_null(fnx_map_find(&map, ""));
	assert_null(fnx_map_find(&map, "tt"));
}

TEST(numbers_are_taken_in_every_form)
{
	struct fnx_map map;
	double number;

	assert_int_equal(decode(&map, "\x81\xa1v\xca\x3f\x80\x00\x00", 8), 0);
	assert_int_equal(fnx_map_number(&map, "v", &number), 0);
	assert_true(number == 1.0);
	assert_int_equal(decode(&map, "\x81\xa1v\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 12), 0);
	assert_int_equal(fnx_map_find(&map, "v")->type, FNX_VALUE_INT);
	assert_int_equal(fnx_map_find(&map, "v")->i64, 5);
}

TEST(what_is_no_flat_map_is_refused)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
		{"", 0},
		{"\xc0", 1},
		{"\x90", 1},
		{"\x81\xa1v\x90", 4}, /* a list */
		{"\x81\xa1v\x80", 4}, /* a map */
		{"\x81\xa1v\xc4\x01x", 6}, /* bytes */
		{"\x81\xa1v\xd4\x01x", 6}, /* an extension */
		{"\x81\x01\xc0", 3}, /* a key that is a number */
		{"\x81\xc4\x01v\xc0", 5}, /* a key that is bytes */
		{"\x81\xa1\xff\xc0", 4}, /* a key that is not UTF-8 */
		{"\x81\xa1v\xa1\xff", 5}, /* a text that is not UTF-8 */
		{"\x81\xa1v\xa1\x00", 5}, /* a text with a 0 in it */
		{"\x82\xa1v\xc0\xa1v\xc0", 7}, /* a key twice */
		{"\x81\xa1v\xc0\xc0", 5}, /* something behind it */
		{"\x81\xa1v", 3}, /* cut */
		{"\x81\xa1v\xdd\xff\xff\xff\xff", 8},
		{"\x81\xa1v\xc9\xff\xff\xff\xff\x01", 9},
	};
	struct fnx_map map = {.n_pairs = 4711};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(decode(&map, cases[i].bytes, cases[i].size), -EBADMSG);
	assert_int_equal(map.n_pairs, 4711);
}

TEST(a_map_of_256_pairs_is_taken_and_one_of_257_is_not)
{
	static struct fnx_pair pairs[257];
	static char names[257][8];
	struct fnx_map map;
	char buffer[4096];
	size_t size;

	for (int i = 0; i < 257; i++) {
		snprintf(names[i], sizeof(names[i]), "k%d", i);
		pairs[i] = fnx_pair_int(names[i], i);
	}
	assert_int_equal(fnx_map_encode(pairs, 257, buffer, sizeof(buffer), &size), -E2BIG);
	assert_int_equal(fnx_map_encode(pairs, 256, buffer, sizeof(buffer), &size), 0);
	assert_int_equal(fnx_map_decode(&map, buffer, size), 0);
	assert_int_equal(map.n_pairs, 256);
	assert_int_equal(fnx_map_find(&map, "k255")->i64, 255);
	/* one more pair by hand: the count is in bytes 1 and 2 */
	assert_int_equal((unsigned char)buffer[0], 0xde);
	buffer[2] = 1;
	memcpy(buffer + size, "\xa1x\xc0", 3);
	assert_int_equal(fnx_map_decode(&map, buffer, size + 3), -E2BIG);
}

TEST(a_bad_pair_is_not_encoded)
{
	const struct fnx_pair twice[] = {fnx_pair_nil("k"), fnx_pair_nil("k")};
	const struct fnx_pair bad_key = fnx_pair_nil("\xff");
	const struct fnx_pair bad_text = fnx_pair_text("k", "\xc3(");
	struct fnx_pair bad_type = fnx_pair_nil("k");
	char buffer[64];
	size_t size;

	bad_type.value.type = (enum fnx_value_type)99;
	assert_int_equal(fnx_map_encode(twice, 2, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(fnx_map_encode(&bad_key, 1, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(fnx_map_encode(&bad_text, 1, buffer, sizeof(buffer), &size), -EINVAL);
	assert_int_equal(fnx_map_encode(&bad_type, 1, buffer, sizeof(buffer), &size), -EINVAL);
}

TEST(random_maps_survive_the_trip_and_their_cut_and_changed_copies_do_no_harm)
{
	struct check_random random = check_random_seeded();
	char keys[20][8], texts[20][64];

	for (int round = 0; round < 300; round++) {
		struct fnx_pair pairs[20];
		size_t n = check_random_below(&random, 21), size, before;
		struct fnx_map map;
		char buffer[4096];

		for (size_t i = 0; i < n; i++) {
			struct fnx_value *value = &pairs[i].value;

			snprintf(keys[i], sizeof(keys[i]), "k%u", (unsigned)i % 100);
			random_text(&random, texts[i], sizeof(texts[i]));
			pairs[i] = fnx_pair_text(keys[i], texts[i]);
			value->type = (enum fnx_value_type)check_random_below(&random, 6);
			if (value->type == FNX_VALUE_DOUBLE)
				value->f64 = random_real(&random);
			else if (value->type == FNX_VALUE_FLAG)
				value->flag = check_random_below(&random, 2);
			else if (value->type != FNX_VALUE_TEXT)
				value->u64 = random_bits(&random);
		}
		before = n_allocations;
		assert_int_equal(fnx_map_encode(pairs, n, buffer, sizeof(buffer), &size), 0);
		assert_int_equal(fnx_map_decode(&map, buffer, size), 0);
		assert_int_equal(n_allocations, before);
		assert_int_equal(map.n_pairs, n);
		for (size_t i = 0; i < n; i++) {
			const struct fnx_value *a = &pairs[i].value, *b = &map.pairs[i].value;

			assert_memory_equal(map.pairs[i].key, keys[i], strlen(keys[i]));
			if (a->type == FNX_VALUE_TEXT)
				assert_memory_equal(b->text, a->text, a->length);
			else if (a->type == FNX_VALUE_FLAG)
				assert_int_equal(b->flag, a->flag);
			else if (a->type != FNX_VALUE_NIL)
				assert_int_equal(b->u64, a->u64);
		}
		for (size_t cut = 0; cut < size; cut++) {
			char *bytes = malloc(cut ? cut : 1);

			memcpy(bytes, buffer, cut);
			assert_int_equal(fnx_map_decode(&map, bytes, cut), -EBADMSG);
			free(bytes);
			assert_int_equal(fnx_map_encode(pairs, n, buffer, cut, &before), -EMSGSIZE);
		}
		assert_int_equal(fnx_map_encode(pairs, n, buffer, size, &size), 0);
		for (size_t at = 0; at < size; at++) {
			char flip = (char)(1 + check_random_below(&random, 255));
			int r;

			buffer[at] = (char)(buffer[at] ^ flip);
			r = fnx_map_decode(&map, buffer, size);
			assert_true(r == 0 || r == -EBADMSG || r == -E2BIG);
			buffer[at] = (char)(buffer[at] ^ flip);
		}
	}
}
