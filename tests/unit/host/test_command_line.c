/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/host/command_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"

enum {
	SAID_MAX = 512
};

struct told {
	uint64_t count;
	int all;
	const char *out;
	struct fnx_texts sets;
	struct fnx_command_line line;
	char said[SAID_MAX]; /* to standard error */
};

static int read_line(struct told *told, unsigned words_max, const char *expected, char **argv)
{
	const struct fnx_option options[] = {
		fnx_option_count("count", 2, 9, &told->count),
		fnx_option_flag("all", &told->all),
		fnx_option_text("out", &told->out),
		fnx_option_texts("set", &told->sets),
		{.name = NULL},
	};
	char path[300];
	int argc = 0, error, r;
	size_t n;
	FILE *file;

	told->count = 5;
	told->line = (struct fnx_command_line){.program = argv[0],
		.options = options,
		.words_min = expected != NULL,
		.words_max = words_max,
		.expected = expected};
	while (argv[argc])
		argc++;
	snprintf(path, sizeof(path), "%s/error", check_scratch_dir());
	fflush(stderr);
	error = dup(STDERR_FILENO);
	assert_non_null(freopen(path, "w", stderr));
	r = fnx_command_line_read(&told->line, argc, argv);
	fflush(stderr);
	dup2(error, STDERR_FILENO);
	close(error);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(told->said, 1, sizeof(told->said) - 1, file);
	told->said[n] = 0;
	fclose(file);
	return r;
}

#define LINE(...) ((char *[]){(char[]){"fornix try"}, __VA_ARGS__, NULL})
#define WORD(text) ((char[]){text})

TEST(words_and_options_come_in_any_order_and_a_negative_number_is_a_word)
{
	struct told told = {.all = 0};

	assert_int_equal(
		read_line(&told, 4, "words",
			LINE(WORD("node"), WORD("--count"), WORD("7"), WORD("-3.5"), WORD("--all"),
				WORD("--out=a b"), WORD("--"), WORD("--count"))),
		0);
	assert_int_equal(told.count, 7);
	assert_int_equal(told.all, 1);
	assert_string_equal(told.out, "a b");
	assert_int_equal(told.line.n_words, 3);
	assert_string_equal(told.line.words[0], "node");
	assert_string_equal(told.line.words[1], "-3.5");
	assert_string_equal(told.line.words[2], "--count");
	assert_null(told.line.words[3]);
	assert_string_equal(told.said, "");
}

TEST(what_is_not_given_keeps_its_value)
{
	struct told told = {.out = "before"};

	assert_int_equal(read_line(&told, 0, NULL, LINE(WORD("--all"))), 0);
	assert_int_equal(told.count, 5);
	assert_string_equal(told.out, "before");
	assert_int_equal(told.sets.n, 0);
	assert_int_equal(told.line.n_words, 0);
}

TEST(help_is_asked_for_in_both_ways_whatever_else_is_wrong)
{
	struct told told = {.all = 0};

	assert_int_equal(read_line(&told, 1, "one", LINE(WORD("--help"))), FNX_COMMAND_HELP);
	assert_int_equal(read_line(&told, 1, "one", LINE(WORD("-h"))), FNX_COMMAND_HELP);
}

TEST(a_count_is_a_whole_number_within_its_bounds)
{
	char *wrong[] = {WORD(""), WORD("x"), WORD("1"), WORD("10"), WORD("3.0"), WORD("+3"),
		WORD(" 3"), WORD("-3"), WORD("0x3"), WORD("99999999999999999999")};
	struct told told = {.all = 0};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char complaint[128];

		assert_int_equal(
			read_line(&told, 0, NULL, LINE(WORD("--count"), wrong[i])), -EINVAL);
		snprintf(complaint, sizeof(complaint),
			"fornix try: --count: expected a whole number from 2 to 9, found %s\n",
			wrong[i]);
		assert_string_equal(told.said, complaint);
	}
	assert_int_equal(read_line(&told, 0, NULL, LINE(WORD("--count"), WORD("9"))), 0);
	assert_int_equal(told.count, 9);
}

TEST(too_many_words_or_too_few_are_told_by_what_was_expected)
{
	struct told told = {.all = 0};

	assert_int_equal(read_line(&told, 1, "one NAME", LINE(WORD("--all"))), -EINVAL);
	assert_string_equal(told.said, "fornix try: expected one NAME; --help tells more\n");
	assert_int_equal(read_line(&told, 1, "one NAME", LINE(WORD("a"), WORD("b"))), -EINVAL);
	assert_string_equal(told.said, "fornix try: expected one NAME; --help tells more\n");
	assert_int_equal(read_line(&told, 0, NULL, LINE(WORD("a"))), -EINVAL);
	assert_string_equal(told.said, "fornix try: unexpected argument a; --help tells more\n");
}

TEST(an_option_may_be_repeated_as_often_as_there_is_room_and_no_more)
{
	static char program[] = "fornix try", option[] = "--set", value[] = "a=1";
	char *argv[2 * FNX_RIG_OVERRIDES_MAX + 4] = {program};
	struct told told = {.all = 0};

	for (unsigned i = 0; i <= FNX_RIG_OVERRIDES_MAX; i++) {
		argv[2 * i + 1] = option;
		argv[2 * i + 2] = value;
	}
	assert_int_equal(read_line(&told, 0, NULL, argv), -EINVAL);
	assert_string_equal(told.said, "fornix try: --set: expected at most 64 of them\n");
	told.sets.n = 0;
	argv[2 * FNX_RIG_OVERRIDES_MAX + 1] = NULL;
	assert_int_equal(read_line(&told, 0, NULL, argv), 0);
	assert_int_equal(told.sets.n, FNX_RIG_OVERRIDES_MAX);
	assert_string_equal(told.sets.at[63], "a=1");
}

TEST(an_option_that_is_unknown_or_lacks_its_value_is_told)
{
	struct told told = {.all = 0};

	assert_int_equal(read_line(&told, 0, NULL, LINE(WORD("--some"))), -EINVAL);
	assert_non_null(strstr(told.said, "unrecognized option"));
	assert_int_equal(read_line(&told, 0, NULL, LINE(WORD("--out"))), -EINVAL);
	assert_non_null(strstr(told.said, "requires an argument"));
}
