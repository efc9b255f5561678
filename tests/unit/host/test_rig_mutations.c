/* SPDX-License-Identifier: BSD-3-Clause */
/* Rigs that were mutilated at random. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/host/rig_file.h"

enum {
	TEXT_MAX = 16384,
	MUTATIONS = 2000
};

static size_t read_rig(const char *name, char *text)
{
	char path[600];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), FNX_SOURCE_DIR "/deploy/rigs/%s.yaml", name);
	file = fopen(path, "r");
	assert_non_null(file);
	size = fread(text, 1, TEXT_MAX / 2, file);
	fclose(file);
	return size;
}

static size_t delete_range(char *text, size_t size, size_t from, size_t to)
{
	memmove(text + from, text + to, size - to);
	return size - (to - from);
}

static size_t line_start(const char *text, size_t at)
{
	while (at && text[at - 1] != '\n')
		at--;
	return at;
}

static size_t line_end(const char *text, size_t size, size_t at)
{
	while (at < size && text[at] != '\n')
		at++;
	return at < size ? at + 1 : size;
}

/* Numbers where they hurt, words that mean something, YAML's own signs. */
static size_t insert_token(struct check_random *random, char *text, size_t size)
{
	static const char *const tokens[] = {"0", "-1", "4294967295", "4294967296",
		"18446744073709551615", "1e308", "nan", "~", "[]", "{}", "&a ", "*a",
		"<<: ", "!!int ", "? ", "- ", ": ", "\n", "\t", "'", "\"", "|\n", "---\n", "...\n",
		"#", "\xc3\xa9", "%YAML 9.9\n", "ripple", "decode: {}\n"};
	const char *token = tokens[check_random_below(random, sizeof(tokens) / sizeof(tokens[0]))];
	size_t at = check_random_below(random, size + 1), n = strlen(token);

	if (size + n > TEXT_MAX)
		return size;
	memmove(text + at + n, text + at, size - at);
	memcpy(text + at, token, n);
	return size + n;
}

/* A digit in the text becomes another. */
static void change_digit(struct check_random *random, char *text, size_t size)
{
	size_t at = check_random_below(random, size);

	while (at < size && (text[at] < '0' || text[at] > '9'))
		at++;
	if (at < size)
		text[at] = (char)('0' + check_random_below(random, 10));
}

static size_t mutate(struct check_random *random, char *text, size_t size)
{
	size_t at;

	if (!size)
		return insert_token(random, text, size);
	at = check_random_below(random, size);
	switch (check_random_below(random, 6)) {
	case 0:
		text[at] = (char)(text[at] ^ (1 << check_random_below(random, 8)));
		return size;
	case 1:
		return delete_range(text, size, line_start(text, at), line_end(text, size, at));
	case 2:
		return delete_range(text, size, at,
			at + 1 + check_random_below(random, size - at < 20 ? size - at : 20));
	case 3:
		return insert_token(random, text, size);
	case 4:
		change_digit(random, text, size);
		return size;
	default:
		return check_random_below(random, 10) ? size : at; /* cut off */
	}
}

/* Whatever a file holds: it loads and can be freed, or is refused with one line. */
TEST(a_rig_that_was_mutilated_is_loaded_or_refused_and_never_more)
{
	static const char *const names[] = {"demo", "liu2021", "r050", "r050_parity"};
	static char original[TEXT_MAX], text[TEXT_MAX + 1];
	struct check_random random = check_random_seeded();
	unsigned n_loaded = 0;

	for (int i = 0; i < MUTATIONS; i++) {
		size_t size = read_rig(names[check_random_below(&random, 4)], original);
		unsigned n = 1 + (unsigned)check_random_below(&random, i % 2 ? 2 : 12);
		struct fnx_rig *rig = NULL;
		int r;

		memcpy(text, original, size);
		for (unsigned k = 0; k < n; k++)
			size = mutate(&random, text, size);
		r = fnx_rig_load(write_rig(text, size), NULL, 0, &rig, error);
		if (!r) {
			n_loaded++;
			fnx_rig_free(rig);
			continue;
		}
		assert_int_equal(r, -EINVAL);
		assert_null(rig);
		assert_int_equal(strncmp(error, scratch_path(), strlen(scratch_path())), 0);
		assert_null(strchr(error, '\n'));
	}
	/* Neither all: the mutations would be no mutations; nor none: they would show nothing of
	 * the checks behind. */
	assert_in_range(n_loaded, MUTATIONS / 20, MUTATIONS * 19 / 20);
}

/* libcyaml knows no line: whatever it would refuse must have been found before it. */
TEST(no_error_comes_from_libcyaml)
{
	static char original[TEXT_MAX], text[TEXT_MAX + 1];
	struct check_random random = check_random_seeded();

	for (int i = 0; i < MUTATIONS; i++) {
		size_t size = read_rig("demo", original);
		struct fnx_rig *rig = NULL;
		const char *what;

		memcpy(text, original, size);
		size = mutate(&random, text, size);
		if (!fnx_rig_load(write_rig(text, size), NULL, 0, &rig, error)) {
			fnx_rig_free(rig);
			continue;
		}
		/* file:line: ..., or file: key: ... where the key is not in the file. */
		what = error + strlen(scratch_path());
		if (!(what[1] >= '1' && what[1] <= '9') && !strstr(what + 1, ": "))
			fail_msg("%s", error);
	}
}
