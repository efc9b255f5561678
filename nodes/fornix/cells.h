/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cells: numbers and texts as tables show them, and tables that choose their columns by the width
 * there is.
 */
#pragma once

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	FNX_CELL_MAX = 64,
	FNX_COLUMNS_MAX = 32,
};

/* At most 6 characters: 12345, 12.3k, 1.23M; "-": not known (NAN). */
void fnx_cell_number(char *cell, double value);
/* ns as us: "-" for 0. */
void fnx_cell_us(char *cell, uint64_t ns);
/* Bytes: 640 B, 12 KiB, 3.4 MiB. */
void fnx_cell_bytes(char *cell, uint64_t bytes);
/* A time that has passed: 12 us, 3.4 ms, 5.6 s, 12 min, 3.4 h, 2.1 d; "-": negative. */
void fnx_cell_ago(char *cell, double ns);

/* A column: `cell` writes at most FNX_CELL_MAX bytes for a row. Columns of lower rank are kept
 * first where there is no room for all. */
struct fnx_column {
	const char *title;
	int width; /* the cells' minimum; the widest cell counts */
	int left; /* aligned */
	int rank;
	void (*cell)(const void *context, const void *row, char *cell);
};

/* Heads the cell of a column; its body follows. */
#define FNX_CELL(name) static void cell_##name(const void *context, const void *row, char *cell)
/* The cell of a count, all its digits: a member of a row that is a `type`. */
#define FNX_CELL_COUNT(name, type, member) \
	FNX_CELL(name) \
	{ \
		(void)context; \
		snprintf(cell, FNX_CELL_MAX, "%" PRIu64, (uint64_t)((const type *)row)->member); \
	}

/* Which columns fit into `width` characters (0: any), with one space between; sizes count in what
 * the rows need. */
struct fnx_table {
	const struct fnx_column *columns;
	unsigned n_columns;
	int widths[FNX_COLUMNS_MAX]; /* 0: left out */
};
void fnx_table_fit(struct fnx_table *table, const void *context, const void *rows, unsigned n_rows,
	size_t row_size, int width);
/* Lines without line end; cut at `size` - 1. */
void fnx_table_titles(const struct fnx_table *table, char *line, size_t size);
void fnx_table_line(const struct fnx_table *table, const void *context, const void *row, char *line,
	size_t size);
/* Prints titles and rows. */
void fnx_table_print(struct fnx_table *table, const void *context, const void *rows,
	unsigned n_rows, size_t row_size, FILE *out);
