/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/cells.h"

#include <math.h>
#include <string.h>

/* Cells
 * ---------------------------------------------------------------------------------------------- */

/* Three digits of it: 1.23, 12.3, 123. */
static int decimals(double value)
{
	return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

void fnx_cell_number(char *cell, double value)
{
	static const struct {
		double unit;
		char letter;
	} units[] = {{1e12, 'T'}, {1e9, 'G'}, {1e6, 'M'}, {1e3, 'k'}};

	if (isnan(value)) {
		snprintf(cell, FNX_CELL_MAX, "-");
		return;
	}
	for (unsigned i = 0; value >= 1e5 && i < 4; i++)
		if (value >= units[i].unit) {
			double scaled = value / units[i].unit;

			/* What no counter of ours reaches. */
			snprintf(cell, FNX_CELL_MAX, "%.*f%c", decimals(scaled),
				fmin(scaled, 99999), units[i].letter);
			return;
		}
	snprintf(cell, FNX_CELL_MAX, "%.0f", value);
}

void fnx_cell_us(char *cell, uint64_t ns)
{
	if (!ns)
		snprintf(cell, FNX_CELL_MAX, "-");
	else if (ns >= 100000000)
		fnx_cell_number(cell, (double)ns / 1e3);
	else
		snprintf(cell, FNX_CELL_MAX, "%.*f", ns < 1000000 ? 1 : 0, (double)ns / 1e3);
}

void fnx_cell_bytes(char *cell, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned i = 0;

	if (bytes < 1024) {
		snprintf(cell, FNX_CELL_MAX, "%u B", (unsigned)bytes);
		return;
	}
	for (value /= 1024; value >= 1024 && i < 5; i++)
		value /= 1024;
	snprintf(cell, FNX_CELL_MAX, "%.*f %s", value < 99.95, value, units[i]);
}

void fnx_cell_ago(char *cell, double ns)
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = {
		{86400e9, "d"}, {3600e9, "h"}, {60e9, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (ns >= units[i].ns) {
			double value = ns / units[i].ns;

			snprintf(cell, FNX_CELL_MAX, "%.*f %s", value < 9.95, value, units[i].unit);
			return;
		}
	snprintf(cell, FNX_CELL_MAX, ns >= 0 ? "%.0f ns" : "-", ns);
}

/* Tables
 * ---------------------------------------------------------------------------------------------- */

static int widest(const struct fnx_column *column, const void *context, const void *rows,
	unsigned n_rows, size_t row_size)
{
	int width = column->width;
	char cell[FNX_CELL_MAX];

	if ((int)strlen(column->title) > width)
		width = (int)strlen(column->title);
	for (unsigned i = 0; i < n_rows; i++) {
		cell[0] = 0;
		column->cell(context, (const char *)rows + i * row_size, cell);
		if ((int)strlen(cell) > width)
			width = (int)strlen(cell);
	}
	return width;
}

void fnx_table_fit(struct fnx_table *table, const void *context, const void *rows, unsigned n_rows,
	size_t row_size, int width)
{
	int needs[FNX_COLUMNS_MAX], left = width + 1, highest = 0;

	memset(table->widths, 0, sizeof(table->widths));
	for (unsigned i = 0; i < table->n_columns; i++) {
		needs[i] = widest(&table->columns[i], context, rows, n_rows, row_size);
		if (table->columns[i].rank > highest)
			highest = table->columns[i].rank;
	}
	for (int rank = 0; rank <= highest; rank++)
		for (unsigned i = 0; i < table->n_columns; i++) {
			if (table->columns[i].rank != rank)
				continue;
			/* The first of them all stays, however narrow it gets. */
			if (width && rank && needs[i] + 1 > left)
				continue;
			table->widths[i] = needs[i];
			left -= needs[i] + 1;
		}
}

static size_t put(const struct fnx_table *table, unsigned i, const char *cell, char *line,
	size_t size, size_t used)
{
	int n = snprintf(line + used, size - used, table->columns[i].left ? "%s%-*s" : "%s%*s",
		used ? " " : "", table->widths[i], cell);

	return used + (size_t)n < size ? used + (size_t)n : size - 1;
}

static void trim(char *line)
{
	for (size_t n = strlen(line); n && line[n - 1] == ' '; n--)
		line[n - 1] = 0;
}

void fnx_table_titles(const struct fnx_table *table, char *line, size_t size)
{
	size_t used = 0;

	line[0] = 0;
	for (unsigned i = 0; i < table->n_columns; i++)
		if (table->widths[i])
			used = put(table, i, table->columns[i].title, line, size, used);
	trim(line);
}

void fnx_table_line(const struct fnx_table *table, const void *context, const void *row, char *line,
	size_t size)
{
	char cell[FNX_CELL_MAX];
	size_t used = 0;

	line[0] = 0;
	for (unsigned i = 0; i < table->n_columns; i++) {
		if (!table->widths[i])
			continue;
		cell[0] = 0;
		table->columns[i].cell(context, row, cell);
		used = put(table, i, cell, line, size, used);
	}
	trim(line);
}

void fnx_table_print(struct fnx_table *table, const void *context, const void *rows,
	unsigned n_rows, size_t row_size, FILE *out)
{
	char line[1024];

	fnx_table_fit(table, context, rows, n_rows, row_size, 0);
	fnx_table_titles(table, line, sizeof(line));
	fprintf(out, "%s\n", line);
	for (unsigned i = 0; i < n_rows; i++) {
		fnx_table_line(
			table, context, (const char *)rows + i * row_size, line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
}
