/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/text.h"

#include <string.h>

#include "tests/support/check.h"

/* The code point that `bytes` are, decoded the long way round, or -1. */
static long naive_code_point(const unsigned char *bytes, size_t n)
{
	static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
	long code;

	if (n == 1)
		return bytes[0] < 0x80 ? bytes[0] : -1;
	if ((unsigned)bytes[0] >> (7 - n) != (1u << (n + 1)) - 2)
		return -1;
	code = bytes[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if (bytes[i] >> 6 != 2)
			return -1;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return -1;
	return code;
}

static size_t naive_prefix(const unsigned char *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t n = 1;

		while (n <= 4 && (n > size - done || naive_code_point(bytes + done, n) <= 0))
			n++;
		if (n > 4)
			break;
		done += n;
	}
	return done;
}

TEST(every_two_bytes_and_many_longer_runs_are_judged_as_by_the_standard)
{
	struct check_random random = check_random_seeded();
	static const unsigned char leads[] = {0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1,
		0xf4, 0xf5, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0x7f, 0x00, 'a'};

	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			const unsigned char bytes[2] = {(unsigned char)a, (unsigned char)b};

			assert_int_equal(
				fnx_text_prefix((const char *)bytes, 2), naive_prefix(bytes, 2));
		}
	for (int round = 0; round < 200000; round++) {
		unsigned char bytes[6];
		size_t size = check_random_below(&random, 7);

		for (size_t i = 0; i < size; i++)
			bytes[i] = leads[check_random_below(&random, sizeof(leads))];
		assert_int_equal(
			fnx_text_prefix((const char *)bytes, size), naive_prefix(bytes, size));
	}
}

TEST(an_identifier_is_1_to_31_letters_digits_and_underscores)
{
	assert_true(fnx_text_identifier("a", 1));
	assert_true(fnx_text_identifier("_9Z", 3));
	assert_true(fnx_text_identifier("abcdefghijklmnopqrstuvwxyz01234", 31));
	assert_false(fnx_text_identifier("abcdefghijklmnopqrstuvwxyz012345", 32));
	assert_false(fnx_text_identifier("", 0));
	assert_false(fnx_text_identifier("9a", 2));
	assert_false(fnx_text_identifier("a-b", 3));
	assert_false(fnx_text_identifier("a\0b", 3));
	assert_false(fnx_text_identifier("µ", 2));
}

TEST(what_others_wrote_is_copied_without_control_characters_and_within_its_bounds)
{
	char text[] = "a\nb\x7f\x1b[0m\tµ", to[6];

	fnx_text_copy(to, text, sizeof(to));
	assert_string_equal(to, "a?b??");
	fnx_text_copy(text, text, sizeof(text));
	assert_string_equal(text, "a?b??[0m?µ");
	fnx_text_copy(to, "", sizeof(to));
	assert_string_equal(to, "");
}
