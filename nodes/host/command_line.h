/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Command line: what the user of a program may say, as a table. Read in one place, so that every
 * program understands the same and complains alike: who, which option, what was expected, what was
 * found.
 *
 *	const struct fnx_option options[] = {
 *		fnx_option_count("count", 1, UINT64_MAX, &left),
 *		fnx_option_flag("all", &all),
 *		{.name = NULL},
 *	};
 */
#pragma once

#include "nodes/host/host.h"

enum {
	FNX_WORDS_MAX = 4,
	FNX_OPTIONS_MAX = 16,
	FNX_COMMAND_HELP = 1
};

enum fnx_option_form {
	FNX_OPTION_FLAG = 1, /* int: 1 if it was given */
	FNX_OPTION_TEXT, /* const char *: what followed, the last time */
	FNX_OPTION_TEXTS, /* struct fnx_texts: what followed, each time */
	FNX_OPTION_COUNT, /* uint64_t: the whole number that followed */
};

/* All point into the command line. */
struct fnx_texts {
	const char *at[FNX_RIG_OVERRIDES_MAX];
	size_t n;
};

struct fnx_option {
	const char *name; /* after the two dashes; NULL: the end of the table */
	enum fnx_option_form form;
	void *value; /* left alone by an option that is not given */
	uint64_t least, most; /* of a count */
};

static inline struct fnx_option fnx_option_flag(const char *name, int *value)
{
	return (struct fnx_option){.name = name, .form = FNX_OPTION_FLAG, .value = value};
}

static inline struct fnx_option fnx_option_text(const char *name, const char **value)
{
	return (struct fnx_option){.name = name, .form = FNX_OPTION_TEXT, .value = value};
}

static inline struct fnx_option fnx_option_texts(const char *name, struct fnx_texts *value)
{
	return (struct fnx_option){.name = name, .form = FNX_OPTION_TEXTS, .value = value};
}

static inline struct fnx_option fnx_option_count(
	const char *name, uint64_t least, uint64_t most, uint64_t *value)
{
	return (struct fnx_option){.name = name,
		.form = FNX_OPTION_COUNT,
		.value = value,
		.least = least,
		.most = most};
}

/* Every program has --help, and -h, besides. */
struct fnx_command_line {
	const char *program; /* "fornix echo" */
	const struct fnx_option *options;
	unsigned words_min, words_max; /* what is no option */
	const char *expected; /* these words, named: "one TOPIC"; NULL: there are none */
	const char *words[FNX_WORDS_MAX]; /* out; NULL beyond those given */
	unsigned n_words;
};

/* [slow]. 0: all is read. FNX_COMMAND_HELP: help was asked for, and nothing else counts. -EINVAL:
 * what is wrong has been said to standard error. A number below zero is a word, not an option. */
FNX_MUST_CHECK int fnx_command_line_read(struct fnx_command_line *line, int argc, char **argv);
