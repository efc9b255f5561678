/* SPDX-License-Identifier: BSD-3-Clause */
/* fornix top: what is shown of a look, apart from the terminal it is shown on. */
#pragma once

#include <jansson.h>

#include "nodes/fornix/look.h"

enum {
	FNX_TOP_LINE = 512,
};

enum fnx_top_section {
	FNX_TOP_NODES = 1u << 0,
	FNX_TOP_TOPICS = 1u << 1,
	FNX_TOP_HOPS = 1u << 2,
	FNX_TOP_ALL = 7,
};

enum fnx_top_style {
	FNX_TOP_PLAIN,
	FNX_TOP_TITLE,
	FNX_TOP_BAD, /* dead, failed, or broken */
	FNX_TOP_ODD, /* has lost something */
	FNX_TOP_FAINT, /* not at work */
};

struct fnx_top_line {
	enum fnx_top_style style;
	char text[FNX_TOP_LINE];
};

struct fnx_top {
	const struct fnx_bus *bus;
	const struct fnx_look *now;
	const struct fnx_look *before; /* NULL: rates and latencies are since the start */
	double clock_hz;
	int cumulative; /* latencies since the start although there is a `before` */
	int width; /* characters; 0: any */
};

/* What stands above all tables. */
void fnx_top_head(const struct fnx_top *top, char *line, size_t size);

struct fnx_top_lines {
	unsigned n;
	struct fnx_top_line *at;
};
/* What is wrong, in words, then tables of these sections. -ENOMEM. The caller frees `at`. */
FNX_MUST_CHECK int fnx_top_body(
	const struct fnx_top *top, unsigned sections, struct fnx_top_lines *ret_lines);

/* The same, whole, for scripts. */
json_t *fnx_top_json(const struct fnx_top *top);
