/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schemas/text.h"

/* Counts on after the buffer is full. */
struct line {
	char *buffer;
	size_t size;
	size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	size_t room = line->length < line->size ? line->size - line->length : 0;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(room ? line->buffer + line->length : NULL, room, format, args);
	va_end(args);
	if (n > 0)
		line->length += (size_t)n;
}

static void add_text(struct line *line, const char *bytes, size_t size)
{
	size_t length = fnx_text_prefix(bytes, size);

	add(line, "\"");
	for (size_t i = 0; i < length;) {
		size_t n = 1;

		while (i + n < length && ((unsigned char)bytes[i + n] & 0xc0) == 0x80)
			n++;
		if (fnx_text_printable(bytes + i, n))
			add(line, "%.*s", (int)n, bytes + i);
		else
			add(line, "?");
		i += n;
	}
	add(line, "\"");
}

#define LOAD(type_) \
	type_ value; \
	memcpy(&value, bytes, sizeof(value))

static void add_number(struct line *line, enum fnx_type type, const char *bytes)
{
	switch (type) {
	case FNX_TYPE_int8_t: {
		LOAD(int8_t);
		add(line, "%" PRId8, value);
		break;
	}
	case FNX_TYPE_uint8_t: {
		LOAD(uint8_t);
		add(line, "%" PRIu8, value);
		break;
	}
	case FNX_TYPE_int16_t: {
		LOAD(int16_t);
		add(line, "%" PRId16, value);
		break;
	}
	case FNX_TYPE_uint16_t: {
		LOAD(uint16_t);
		add(line, "%" PRIu16, value);
		break;
	}
	case FNX_TYPE_int32_t: {
		LOAD(int32_t);
		add(line, "%" PRId32, value);
		break;
	}
	case FNX_TYPE_uint32_t: {
		LOAD(uint32_t);
		add(line, "%" PRIu32, value);
		break;
	}
	case FNX_TYPE_int64_t: {
		LOAD(int64_t);
		add(line, "%" PRId64, value);
		break;
	}
	case FNX_TYPE_uint64_t: {
		LOAD(uint64_t);
		add(line, "%" PRIu64, value);
		break;
	}
	case FNX_TYPE_float: {
		LOAD(float);
		add(line, "%g", (double)value);
		break;
	}
	case FNX_TYPE_double: {
		LOAD(double);
		add(line, "%g", value);
		break;
	}
	case FNX_TYPE_text:
		break;
	}
}

static void add_array(struct line *line, const struct fnx_layout *layout,
	const struct fnx_field *field, const char *bytes, size_t size, unsigned max_items)
{
	uint32_t step = fnx_type_size(field->type);
	size_t n_items = size / step;
	size_t n_shown = max_items && max_items < n_items ? max_items : n_items;

	add(line, "[%u", (unsigned)layout->extents[field->dims[0]]);
	if (field->n_dims == 2)
		add(line, "x%u", (unsigned)layout->extents[field->dims[1]]);
	add(line, ":");
	for (size_t i = 0; i < n_shown; i++) {
		add(line, " ");
		add_number(line, field->type, bytes + i * step);
	}
	add(line, n_shown < n_items ? " ...]" : "]");
}

size_t fnx_layout_format(const struct fnx_layout *layout, const void *payload, char *buffer,
	size_t size, unsigned max_items)
{
	struct line line = {buffer, size, 0};

	if (size)
		buffer[0] = 0;
	for (uint32_t i = 0; i < layout->schema->n_fields; i++) {
		const struct fnx_field *field = &layout->schema->fields[i];
		const char *bytes = (const char *)payload + layout->offsets[i];

		add(&line, "%s%s=", i ? " " : "", field->name);
		if (field->n_dims)
			add_array(&line, layout, field, bytes, layout->sizes[i], max_items);
		else if (field->type == FNX_TYPE_text)
			add_text(&line, bytes, layout->sizes[i]);
		else
			add_number(&line, field->type, bytes);
		if (field->unit[0])
			add(&line, " %s", field->unit);
	}
	return line.length;
}

static void add_format(struct line *line, const struct fnx_layout *layout, uint32_t i)
{
	const struct fnx_field *field = &layout->schema->fields[i];
	const char *code = fnx_type_code(field->type);

	if (field->type == FNX_TYPE_text)
		add(line, "'%s%u'", code, (unsigned)field->size);
	else if (field->n_dims == 0)
		add(line, "'%s'", code);
	else if (field->n_dims == 1)
		add(line, "('%s', (%u,))", code, (unsigned)layout->extents[field->dims[0]]);
	else
		add(line, "('%s', (%u, %u))", code, (unsigned)layout->extents[field->dims[0]],
			(unsigned)layout->extents[field->dims[1]]);
}

int fnx_layout_dtype(const struct fnx_layout *layout, char *buffer, size_t size)
{
	const struct fnx_schema *schema = layout->schema;
	struct line line = {buffer, size, 0};

	add(&line, "{'names': [");
	for (uint32_t i = 0; i < schema->n_fields; i++)
		add(&line, "%s'%s'", i ? ", " : "", schema->fields[i].name);
	add(&line, "], 'formats': [");
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		add(&line, "%s", i ? ", " : "");
		add_format(&line, layout, i);
	}
	add(&line, "], 'offsets': [");
	for (uint32_t i = 0; i < schema->n_fields; i++)
		add(&line, "%s%u", i ? ", " : "", (unsigned)layout->offsets[i]);
	add(&line, "], 'itemsize': %u}", (unsigned)layout->size);
	return line.length < size ? 0 : -EMSGSIZE;
}
