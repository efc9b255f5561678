/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Locate: which bus a command means, and what there is on it. For commands that look at a bus from
 * outside: they know no rig file.
 */
#pragma once

#include "bus/bus.h"
#include "nodes/host/command_line.h"

enum {
	FNX_LOCATE_NAMES_MAX = 1024
};

/* What the command line said; all may be NULL. */
struct fnx_locate {
	const char *bus, *segment_dir, *run_dir;
};

/* For a command's table of options. */
#define FNX_LOCATE_OPTIONS(locate) \
	fnx_option_text("bus", &(locate)->bus), \
		fnx_option_text("segment-dir", &(locate)->segment_dir), \
		fnx_option_text("run-dir", &(locate)->run_dir)
#define FNX_LOCATE_HELP \
	"  --bus NAME         (default: $FORNIX_BUS, else the only bus there is, or is alive)\n" \
	"  --segment-dir DIR  where the bus keeps its segments, if its rig says bus.segment_dir\n" \
	"  --run-dir DIR      where it keeps its sockets, if its rig says bus.run_dir\n"

/* The bus that is meant, which exists. 0; or the command's exit status, after saying to standard
 * error what is wrong and which buses there are. `command`: "fornix top". */
FNX_MUST_CHECK int fnx_locate_bus(
	const char *command, const struct fnx_locate *locate, struct fnx_bus *ret_bus);

/* The same, dead buses too: its segments are there, its sockets need not be. */
FNX_MUST_CHECK int fnx_locate_remains(
	const char *command, const struct fnx_locate *locate, struct fnx_bus *ret_bus);
/* The buses of this machine that keep their segments where buses do. -ENOMEM. The caller frees. */
struct fnx_names;
FNX_MUST_CHECK int fnx_locate_all(struct fnx_names *names);

/* The only one of these, or else the only one on which somebody is alive: what a killed run left is
 * in nobody's way. NULL: there is no such one. Points into `buses`. */
const char *fnx_locate_only(const struct fnx_names *buses);

/* Names, sorted. */
struct fnx_names {
	char (*at)[FNX_NAME_MAX];
	unsigned n;
};

/* The valid names X for which `dir` holds <prefix>X<suffix>, FNX_LOCATE_NAMES_MAX at the most; none
 * where there is no such directory. -ENOMEM. The caller frees. */
FNX_MUST_CHECK int fnx_names_find(
	struct fnx_names *names, const char *dir, const char *prefix, const char *suffix);
void fnx_names_free(struct fnx_names *names);
/* To standard error: `before`, then the names with commas between, or "none", and a line end. */
void fnx_names_complain(const struct fnx_names *names, const char *before);
int fnx_names_have(const struct fnx_names *names, const char *name);

/* Nodes have status pages, topics have data. */
#define FNX_NODE_SUFFIX ".status"
#define FNX_TOPIC_SUFFIX ".data"
