/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables behind the rig file, shared by the parts of its loader: rig_schema.c says which keys there
 * are and of what type, rig_rules.c what they default to and which values they may take,
 * rig_check.c holds a file against the former. */
#pragma once

#include <cyaml/cyaml.h>
#include <yaml.h>

#include "nodes/host/rig.h"

extern const cyaml_schema_value_t fnx_rig_schema;

/* Which keys a file holds, and on which lines: "dispatch.rules[0].name". */
struct fnx_rig_lines {
	struct fnx_rig_line {
		char path[120];
		unsigned line; /* from 1 */
	} * lines;
	size_t n, capacity;
};

/* 0: not in the file. */
unsigned fnx_rig_lines_find(const struct fnx_rig_lines *lines, const char *path);

/* Holds the file's text against the schema. -EINVAL with `error` set: file:line: key: what was
 * expected. Fills `lines`. */
int fnx_rig_check(
	const char *name, const char *text, size_t size, struct fnx_rig_lines *lines, char *error);

enum fnx_rule_type {
	FNX_RULE_NUMBER,
	FNX_RULE_COUNT,
	FNX_RULE_COUNT64,
	FNX_RULE_FLAG,
	FNX_RULE_ENUM,
	FNX_RULE_TEXT
};

/* One scalar key outside sequences: where it lies, its default and its range. */
struct fnx_rig_rule_entry {
	const char *path;
	size_t offset;
	enum fnx_rule_type type;
	double value, min, max; /* numbers, counts, flags, enums: the default, and the range */
	const char *text; /* text: the default */
	const cyaml_strval_t *names; /* enums */
	size_t n_names;
};

extern const struct fnx_rig_rule_entry fnx_rig_rules[];
extern const size_t fnx_rig_n_rules;

extern const cyaml_strval_t fnx_rig_wait_names[3], fnx_rig_bell_names[3], fnx_rig_source_names[3],
	fnx_rig_off_track_names[2], fnx_rig_algorithm_names[2], fnx_rig_transition_names[3],
	fnx_rig_tick_names[2], fnx_rig_filter_names[3], fnx_rig_detector_names[2],
	fnx_rig_statistics_names[2], fnx_rig_resampling_names[2], fnx_rig_rule_names[4],
	fnx_rig_ripple_type_names[3], fnx_rig_actuator_names[5];
