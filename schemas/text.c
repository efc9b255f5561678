/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/text.h"

#include <string.h>

#include "schemas/schema.h"

/* Bytes of the sequence that `lead` begins, and the bounds of its second byte, which shut out
 * overlong forms, surrogates and code points past U+10FFFF (Unicode, table 3-7). 0: no sequence
 * begins so. */
static size_t sequence(unsigned char lead, unsigned char *low, unsigned char *high)
{
	*low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	*high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
	if (lead >= 0x01 && lead <= 0x7f)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

size_t fnx_text_prefix(const char *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		unsigned char low, high;
		size_t n = sequence((unsigned char)bytes[done], &low, &high);

		if (n == 0 || n > size - done)
			return done;
		for (size_t i = 1; i < n; i++) {
			unsigned char c = (unsigned char)bytes[done + i];

			if (c < low || c > high)
				return done;
			low = 0x80, high = 0xbf;
		}
		done += n;
	}
	return done;
}

int fnx_text_printable(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c < 0x20 || c == 0x7f)
			return 0;
		/* U+0080..U+009F, which some terminals obey */
		if (c == 0xc2 && i + 1 < size && (unsigned char)bytes[i + 1] < 0xa0)
			return 0;
	}
	return fnx_text_prefix(bytes, size) == size;
}

void fnx_text_copy(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
	to[n] = 0;
}

static int is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

int fnx_text_identifier(const char *bytes, size_t size)
{
	if (size == 0 || size >= FNX_SCHEMA_NAME_MAX || !is_letter(bytes[0]))
		return 0;
	for (size_t i = 1; i < size; i++)
		if (!is_letter(bytes[i]) && (bytes[i] < '0' || bytes[i] > '9'))
			return 0;
	return 1;
}
