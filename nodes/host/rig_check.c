/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds the text of a rig file against the schema, before libcyaml loads it: libcyaml says that a
 * value is wrong, this says where, and what would be right. Also learns on which line each key
 * stands, for later complaints about values.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "nodes/host/rig_schema.h"

struct check {
	const char *name;
	yaml_document_t document;
	struct fnx_rig_lines *lines;
	char *error;
};

unsigned fnx_rig_lines_find(const struct fnx_rig_lines *lines, const char *path)
{
	for (size_t i = 0; i < lines->n; i++)
		if (!strcmp(lines->lines[i].path, path))
			return lines->lines[i].line;
	return 0;
}

static int learn(struct fnx_rig_lines *lines, const char *path, unsigned line)
{
	if (lines->n == lines->capacity) {
		size_t capacity = lines->capacity ? 2 * lines->capacity : 128;
		void *memory = realloc(lines->lines, capacity * sizeof(*lines->lines));

		if (!memory)
			return -ENOMEM;
		lines->lines = memory;
		lines->capacity = capacity;
	}
	snprintf(lines->lines[lines->n].path, sizeof(lines->lines[0].path), "%s", path);
	lines->lines[lines->n++].line = line;
	return 0;
}

static int complain(
	const struct check *check, const yaml_node_t *node, const char *path, const char *what)
{
	snprintf(check->error, FNX_RIG_ERROR_MAX, "%s:%zu: %s%s%s", check->name,
		node->start_mark.line + 1, path, path[0] ? ": " : "", what);
	return -EINVAL;
}

/* `size`: bytes of the number that it is to become. */
static int is_count(const char *text, uint32_t size)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno &&
		(size > 4 || value <= UINT32_MAX);
}

static int is_integer(const char *text)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 0);
	return end != text && !*end && !errno && value >= INT32_MIN && value <= INT32_MAX;
}

static int is_number(const char *text)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	return end != text && !*end && !errno && isfinite(value);
}

static int is_flag(const char *text)
{
	return !strcasecmp(text, "true") || !strcasecmp(text, "false") ||
		!strcasecmp(text, "yes") || !strcasecmp(text, "no");
}

static int is_one_of(const char *text, const cyaml_schema_value_t *schema)
{
	for (uint32_t i = 0; i < schema->enumeration.count; i++)
		if (!strcmp(text, schema->enumeration.strings[i].str))
			return 1;
	return 0;
}

static int check_scalar(struct check *check, const yaml_node_t *node,
	const cyaml_schema_value_t *schema, const char *path)
{
	const char *text = (const char *)node->data.scalar.value, *expected = NULL;
	char what[380], text_of[48];
	size_t used;

	switch (schema->type) {
	case CYAML_UINT:
		expected = is_count(text, schema->data_size) ? NULL : "a whole number from 0";
		break;
	case CYAML_INT:
		expected = is_integer(text) ? NULL : "a whole number";
		break;
	case CYAML_FLOAT:
		expected = is_number(text) ? NULL : "a number";
		break;
	case CYAML_BOOL:
		expected = is_flag(text) ? NULL : "true or false";
		break;
	case CYAML_ENUM:
		expected = is_one_of(text, schema) ? NULL : "one of";
		break;
	default:
		snprintf(text_of, sizeof(text_of), "a text of %u to %u bytes", schema->string.min,
			schema->string.max);
		if (strlen(text) < schema->string.min || strlen(text) > schema->string.max)
			expected = text_of;
		break;
	}
	if (!expected)
		return 0;
	used = (size_t)snprintf(what, sizeof(what), "expected %s", expected);
	for (uint32_t i = 0;
		schema->type == CYAML_ENUM && i < schema->enumeration.count && used < sizeof(what);
		i++)
		used += (size_t)snprintf(what + used, sizeof(what) - used, "%s %s", i ? "," : "",
			schema->enumeration.strings[i].str);
	if (used < sizeof(what))
		snprintf(what + used, sizeof(what) - used, ", found \"%.40s\"", text);
	return complain(check, node, path, what);
}

static int check_value(struct check *check, yaml_node_t *node, const cyaml_schema_value_t *schema,
	const char *path);

static const cyaml_schema_field_t *find_field(const cyaml_schema_field_t *fields, const char *key)
{
	for (; fields->key; fields++)
		if (!strcmp(fields->key, key))
			return fields;
	return NULL;
}

static int complain_key(const struct check *check, const yaml_node_t *node, const char *path,
	const cyaml_schema_field_t *fields)
{
	char what[380];
	size_t used = (size_t)snprintf(what, sizeof(what), "unknown key; expected one of");

	for (; fields->key && used < sizeof(what); fields++)
		used += (size_t)snprintf(what + used, sizeof(what) - used, " %s", fields->key);
	return complain(check, node, path, what);
}

static int check_mapping(struct check *check, yaml_node_t *node, const cyaml_schema_field_t *fields,
	const char *path)
{
	char inner[120], what[160];
	int r;

	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(&check->document, pair->key);
		const cyaml_schema_field_t *field;

		if (key->type != YAML_SCALAR_NODE)
			return complain(check, key, path, "expected a key");
		snprintf(inner, sizeof(inner), "%s%s%s", path, path[0] ? "." : "",
			(const char *)key->data.scalar.value);
		field = find_field(fields, (const char *)key->data.scalar.value);
		if (!field)
			return complain_key(check, key, inner, fields);
		if (fnx_rig_lines_find(check->lines, inner))
			return complain(check, key, inner, "the key stands here a second time");
		r = learn(check->lines, inner, (unsigned)key->start_mark.line + 1);
		if (!r)
			r = check_value(check,
				yaml_document_get_node(&check->document, pair->value),
				&field->value, inner);
		if (r)
			return r;
	}
	for (; fields->key; fields++) {
		snprintf(inner, sizeof(inner), "%s%s%s", path, path[0] ? "." : "", fields->key);
		if (!(fields->value.flags & CYAML_FLAG_OPTIONAL) &&
			!fnx_rig_lines_find(check->lines, inner)) {
			snprintf(what, sizeof(what), "missing; a rig needs %s", inner);
			return complain(check, node, inner, what);
		}
	}
	return 0;
}

static int check_sequence(struct check *check, yaml_node_t *node,
	const cyaml_schema_value_t *schema, const char *path)
{
	long n = node->data.sequence.items.top - node->data.sequence.items.start;
	char inner[120], what[120];
	int r = 0;

	if (n < (long)schema->sequence.min || n > (long)schema->sequence.max) {
		snprintf(what, sizeof(what), "expected %u to %u entries, found %ld",
			schema->sequence.min, schema->sequence.max, n);
		return complain(check, node, path, what);
	}
	for (long i = 0; i < n && !r; i++) {
		yaml_node_t *item = yaml_document_get_node(
			&check->document, node->data.sequence.items.start[i]);

		snprintf(inner, sizeof(inner), "%s[%ld]", path, i);
		r = learn(check->lines, inner, (unsigned)item->start_mark.line + 1);
		if (!r)
			r = check_value(check, item, schema->sequence.entry, inner);
	}
	return r;
}

static int check_value(struct check *check, yaml_node_t *node, const cyaml_schema_value_t *schema,
	const char *path)
{
	switch (schema->type) {
	case CYAML_MAPPING:
		if (node->type == YAML_MAPPING_NODE)
			return check_mapping(check, node, schema->mapping.fields, path);
		return complain(check, node, path,
			"expected a section: keys with values, indented below it");
	case CYAML_SEQUENCE:
		if (node->type == YAML_SEQUENCE_NODE)
			return check_sequence(check, node, schema, path);
		return complain(
			check, node, path, "expected a list: [a, b] or lines that begin with -");
	default:
		if (node->type == YAML_SCALAR_NODE)
			return check_scalar(check, node, schema, path);
		return complain(check, node, path, "expected a single value");
	}
}

/* libyaml knows the line, or the byte where the text is no UTF-8. */
static size_t problem_line(const yaml_parser_t *parser, const char *text, size_t size)
{
	size_t line = 1;

	if (parser->error != YAML_READER_ERROR)
		return parser->problem_mark.line + 1;
	for (size_t i = 0; i < size && i < parser->problem_offset; i++)
		line += text[i] == '\n';
	return line;
}

static int complain_parser(
	const char *name, const yaml_parser_t *parser, const char *text, size_t size, char *error)
{
	snprintf(error, FNX_RIG_ERROR_MAX, "%s:%zu: not YAML: %s", name,
		problem_line(parser, text, size),
		parser->problem ? parser->problem : "cannot be read");
	return -EINVAL;
}

/* A second document, or anything that cannot be read, behind the one that was meant. */
static int check_rest(
	const char *name, yaml_parser_t *parser, const char *text, size_t size, char *error)
{
	yaml_document_t rest;
	const yaml_node_t *root;
	int r = 0;

	if (!yaml_parser_load(parser, &rest))
		return complain_parser(name, parser, text, size, error);
	root = yaml_document_get_root_node(&rest);
	if (root) {
		snprintf(error, FNX_RIG_ERROR_MAX, "%s:%zu: a second document; a rig is one", name,
			root->start_mark.line + 1);
		r = -EINVAL;
	}
	yaml_document_delete(&rest);
	return r;
}

int fnx_rig_check(
	const char *name, const char *text, size_t size, struct fnx_rig_lines *lines, char *error)
{
	struct check check = {.name = name, .lines = lines, .error = error};
	yaml_parser_t parser;
	yaml_node_t *root;
	int r;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &check.document)) {
		r = complain_parser(name, &parser, text, size, error);
		yaml_parser_delete(&parser);
		return r;
	}
	root = yaml_document_get_root_node(&check.document);
	if (root) {
		r = check_value(&check, root, &fnx_rig_schema, "");
		if (!r)
			r = check_rest(name, &parser, text, size, error);
	} else {
		snprintf(error, FNX_RIG_ERROR_MAX,
			"%s:1: the file is empty; a rig needs bus and source", name);
		r = -EINVAL;
	}
	yaml_document_delete(&check.document);
	yaml_parser_delete(&parser);
	return r;
}
