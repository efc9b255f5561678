/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/host/command_line.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORD = 1, /* what getopt says of it */
	FIRST_OPTION = 256
};

static int take_count(
	const struct fnx_command_line *line, const struct fnx_option *option, const char *text)
{
	uint64_t count;
	char *end;

	errno = 0;
	count = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end && !errno && count >= option->least &&
		count <= option->most) {
		*(uint64_t *)option->value = count;
		return 0;
	}
	fprintf(stderr, "%s: --%s: expected a whole number from %" PRIu64, line->program,
		option->name, option->least);
	if (option->most < UINT64_MAX)
		fprintf(stderr, " to %" PRIu64, option->most);
	fprintf(stderr, ", found %.60s\n", text);
	return -EINVAL;
}

static int take_one_more(
	const struct fnx_command_line *line, const struct fnx_option *option, const char *text)
{
	struct fnx_texts *texts = option->value;

	if (texts->n == FNX_RIG_OVERRIDES_MAX) {
		fprintf(stderr, "%s: --%s: expected at most %d of them\n", line->program,
			option->name, FNX_RIG_OVERRIDES_MAX);
		return -EINVAL;
	}
	texts->at[texts->n++] = text;
	return 0;
}

static int take(
	const struct fnx_command_line *line, const struct fnx_option *option, const char *text)
{
	switch (option->form) {
	case FNX_OPTION_FLAG:
		*(int *)option->value = 1;
		return 0;
	case FNX_OPTION_TEXT:
		*(const char **)option->value = text;
		return 0;
	case FNX_OPTION_TEXTS:
		return take_one_more(line, option, text);
	case FNX_OPTION_COUNT:
		return take_count(line, option, text);
	}
	return -EINVAL;
}

static int complain(const struct fnx_command_line *line, const char *word)
{
	if (line->expected)
		fprintf(stderr, "%s: expected %s; --help tells more\n", line->program,
			line->expected);
	else
		fprintf(stderr, "%s: unexpected argument %.60s; --help tells more\n", line->program,
			word);
	return -EINVAL;
}

static int take_word(struct fnx_command_line *line, const char *word)
{
	if (line->n_words == line->words_max)
		return complain(line, word);
	line->words[line->n_words++] = word;
	return 0;
}

static int is_negative_number(const char *text)
{
	return text[0] == '-' && text[1] && strchr(".0123456789", text[1]);
}

/* Words as they come: getopt would take a number below zero for options. */
static int next(int argc, char **argv, const struct option *table)
{
	if (optind && optind < argc && is_negative_number(argv[optind])) {
		optarg = argv[optind++];
		return WORD;
	}
	return getopt_long(argc, argv, "-h", table, NULL);
}

static void make_table(const struct fnx_option *options, struct option *table)
{
	unsigned i = 0;

	for (; options[i].name && i < FNX_OPTIONS_MAX; i++)
		table[i] = (struct option){options[i].name,
			options[i].form == FNX_OPTION_FLAG ? no_argument : required_argument, NULL,
			(int)(FIRST_OPTION + i)};
	table[i] = (struct option){"help", no_argument, NULL, 'h'};
	table[i + 1] = (struct option){NULL, 0, NULL, 0};
}

int fnx_command_line_read(struct fnx_command_line *line, int argc, char **argv)
{
	struct option table[FNX_OPTIONS_MAX + 2];
	int option, r = 0;

	make_table(line->options, table);
	optind = 0;
	while (!r && (option = next(argc, argv, table)) != -1) {
		if (option == 'h')
			return FNX_COMMAND_HELP;
		if (option == WORD)
			r = take_word(line, optarg);
		else if (option >= FIRST_OPTION)
			r = take(line, &line->options[option - FIRST_OPTION], optarg);
		else
			r = -EINVAL;
	}
	for (; !r && optind < argc; optind++)
		r = take_word(line, argv[optind]);
	if (!r && line->n_words < line->words_min)
		r = complain(line, "");
	return r;
}
