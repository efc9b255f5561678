/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix ls: which buses there are on this machine, who is on them and what goes over them. A bus
 * is what has a segment directory: those of the dead are there until they are swept.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/presence.h"
#include "nodes/fornix/cells.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/describe.h"
#include "nodes/fornix/locate.h"
#include "nodes/fornix/look.h"
#include "schemas/text.h"

enum {
	LIST_SIZE = 4096
};

struct topic_row {
	char name[FNX_NAME_MAX], publisher[FNX_NAME_MAX], schema[FNX_NAME_MAX];
	int error; /* why there is no view; 0: there is */
	int alive; /* its publisher */
	struct fnx_view *view;
};

struct bus_rows {
	struct fnx_bus bus;
	int alive; /* somebody is */
	int has_sockets; /* those by which one can tell */
	uint64_t bytes; /* in its segment directory */
	struct fnx_look look;
	struct topic_row *topics;
	unsigned n_topics;
};

struct ls {
	struct fnx_locate locate;
	int json;
};

/* Options
 * --------------------------------------------------------------------------------------------- */

static int usage(void)
{
	printf("fornix ls: lists the buses of this machine, their nodes and topics, dead ones "
	       "too\n"
	       "\n"
	       "usage: fornix ls [options]\n"
	       "\n"
	       "  --json             one object, for scripts\n"
	       "  --bus NAME         this bus only\n"
	       "  --segment-dir DIR  where the bus keeps its segments, if its rig says "
	       "bus.segment_dir\n"
	       "  --run-dir DIR      where it keeps its sockets, if its rig says bus.run_dir\n"
	       "\n"
	       "A node is DEAD that ended without saying so; what a dead bus left stays until the "
	       "next run of\n"
	       "its name sweeps it. SLOTS is the length of a topic's pool, USED what readers have "
	       "yet to give\n"
	       "back. Buses with a segment directory of their own are found by --segment-dir "
	       "only.\n");
	return 0;
}

static int parse(int argc, char **argv, struct ls *ls)
{
	const struct fnx_option options[] = {
		fnx_option_flag("json", &ls->json),
		FNX_LOCATE_OPTIONS(&ls->locate),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix ls", .options = options};

	return fnx_command_line_read(&line, argc, argv);
}

/* Looking
 * --------------------------------------------------------------------------------------------- */

static uint64_t bytes_in(const char *dir)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	while (entries && (entry = readdir(entries)))
		if (!fstatat(dirfd(entries), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_blocks * 512;
	if (entries)
		closedir(entries);
	return bytes;
}

static void look_at_topic(struct bus_rows *rows, const char *name)
{
	struct topic_row *row = &rows->topics[rows->n_topics++];

	*row = (struct topic_row){.alive = 0};
	memcpy(row->name, name, sizeof(row->name));
	row->error = fnx_view_open(&rows->bus, name, FNX_VIEW_SCHEMA, &row->view);
	if (row->error)
		return;
	memcpy(row->publisher, row->view->node, sizeof(row->publisher));
	row->alive = fnx_presence_check(&rows->bus, row->publisher) > 0;
	fnx_describe_schema(row->view, row->schema);
}

/* -ENOMEM */
static int look_at_bus(const struct fnx_bus *bus, struct bus_rows *rows)
{
	struct fnx_names names;
	int r;

	*rows = (struct bus_rows){.bus = *bus, .bytes = bytes_in(bus->segment_dir)};
	rows->has_sockets = !access(bus->run_dir, F_OK);
	rows->alive = fnx_presence_check(bus, "bus") > 0;
	r = fnx_look_at(bus, &rows->look);
	if (!r)
		r = fnx_names_find(&names, bus->segment_dir, "", FNX_TOPIC_SUFFIX);
	if (r)
		return r;
	for (unsigned i = 0; i < rows->look.n_nodes; i++)
		rows->alive |= rows->look.nodes[i].alive;
	rows->topics = names.n ? calloc(names.n, sizeof(*rows->topics)) : NULL;
	for (unsigned i = 0; rows->topics && i < names.n; i++)
		look_at_topic(rows, names.at[i]);
	r = names.n && !rows->topics ? -ENOMEM : 0;
	fnx_names_free(&names);
	return r;
}

static void forget(struct bus_rows *rows)
{
	for (unsigned i = 0; i < rows->n_topics; i++)
		fnx_view_close(rows->topics[i].view);
	free(rows->topics);
	fnx_look_free(&rows->look);
}

/* Table
 * ---------------------------------------------------------------------------------------------- */

static const char *dead_or_not(const struct bus_rows *rows)
{
	return rows->alive ? "alive" : rows->has_sockets ? "dead" : "dead, or of somebody else";
}

FNX_CELL(node)
{
	const struct fnx_look_node *node = row;

	(void)context;
	snprintf(cell, FNX_CELL_MAX, "  %s", node->name);
}

FNX_CELL(state)
{
	(void)context;
	snprintf(cell, FNX_CELL_MAX, "%s", fnx_look_state(row));
}

FNX_CELL(pid)
{
	const struct fnx_look_node *node = row;

	(void)context;
	if (node->alive)
		snprintf(cell, FNX_CELL_MAX, "%d", node->pid);
	else
		snprintf(cell, FNX_CELL_MAX, "-");
}

FNX_CELL_COUNT(starts, struct fnx_look_node, starts)
FNX_CELL_COUNT(in, struct fnx_look_node, in)
FNX_CELL_COUNT(out, struct fnx_look_node, out)

FNX_CELL(topic)
{
	(void)context;
	snprintf(cell, FNX_CELL_MAX, "  %s", ((const struct topic_row *)row)->name);
}

FNX_CELL(publisher)
{
	const struct topic_row *topic = row;

	(void)context;
	if (topic->error)
		snprintf(cell, FNX_CELL_MAX, "(%.50s)", fnx_describe_error(topic->error));
	else
		snprintf(cell, FNX_CELL_MAX, "%s%s", topic->publisher,
			topic->alive ? "" : " (dead)");
}

FNX_CELL(schema)
{
	(void)context;
	snprintf(cell, FNX_CELL_MAX, "%s", ((const struct topic_row *)row)->schema);
}

FNX_CELL(frames)
{
	const struct topic_row *topic = row;

	(void)context;
	if (topic->view)
		snprintf(cell, FNX_CELL_MAX, "%" PRIu64, topic->view->head);
}

FNX_CELL(slots)
{
	const struct topic_row *topic = row;

	(void)context;
	if (topic->view)
		snprintf(cell, FNX_CELL_MAX, "%u", topic->view->n_slots);
}

FNX_CELL(used)
{
	const struct topic_row *topic = row;

	(void)context;
	if (topic->view)
		snprintf(cell, FNX_CELL_MAX, "%" PRIu64, topic->view->n_used);
}

FNX_CELL(lost)
{
	const struct topic_row *topic = row;

	(void)context;
	if (topic->view)
		fnx_cell_number(cell, (double)topic->view->dropped + (double)topic->view->lapped);
}

static const struct fnx_column node_columns[] = {
	{"  NODE", 16, 1, 0, cell_node},
	{"STATE", 8, 1, 0, cell_state},
	{"PID", 7, 0, 0, cell_pid},
	{"STARTS", 6, 0, 0, cell_starts},
	{"IN", 10, 0, 0, cell_in},
	{"OUT", 10, 0, 0, cell_out},
};

static const struct fnx_column topic_columns[] = {
	{"  TOPIC", 16, 1, 0, cell_topic},
	{"PUBLISHER", 10, 1, 0, cell_publisher},
	{"SCHEMA", 10, 1, 0, cell_schema},
	{"FRAMES", 9, 0, 0, cell_frames},
	{"SLOTS", 5, 0, 0, cell_slots},
	{"USED", 4, 0, 0, cell_used},
	{"LOST", 4, 0, 0, cell_lost},
};

/* The subscribers stand behind the cells: there may be many. */
static void print_topics(const struct bus_rows *rows)
{
	struct fnx_table table = {
		topic_columns, sizeof(topic_columns) / sizeof(topic_columns[0]), {0}};
	char line[LIST_SIZE];

	fnx_table_fit(&table, NULL, rows->topics, rows->n_topics, sizeof(*rows->topics), 0);
	fnx_table_titles(&table, line, sizeof(line));
	printf("%s  READERS\n", line);
	for (unsigned i = 0; i < rows->n_topics; i++) {
		const struct fnx_view *view = rows->topics[i].view;

		fnx_table_line(&table, NULL, &rows->topics[i], line, sizeof(line));
		printf("%s", line);
		for (unsigned k = 0; view && k < view->n_subscribers; k++) {
			fnx_text_copy(line, view->subscribers[k].node, FNX_NAME_MAX);
			printf("%s%s", k ? ", " : "  ", line);
		}
		if (view && view->subs_error)
			printf("  (%s)", fnx_describe_error(view->subs_error));
		printf("\n");
	}
}

static void print_bus(const struct bus_rows *rows)
{
	struct fnx_table table = {
		node_columns, sizeof(node_columns) / sizeof(node_columns[0]), {0}};
	char bytes[FNX_CELL_MAX];

	fnx_cell_bytes(bytes, rows->bytes);
	printf("bus %s: %s, %u nodes, %u topics, %s in %s\n", rows->bus.name, dead_or_not(rows),
		rows->look.n_nodes, rows->n_topics, bytes, rows->bus.segment_dir);
	if (rows->look.n_nodes)
		fnx_table_print(&table, NULL, rows->look.nodes, rows->look.n_nodes,
			sizeof(*rows->look.nodes), stdout);
	if (rows->n_topics)
		print_topics(rows);
}

/* JSON
 * ---------------------------------------------------------------------------------------------- */

static json_t *json_nodes(const struct fnx_look *look)
{
	json_t *nodes = json_array();

	for (unsigned i = 0; i < look->n_nodes; i++) {
		const struct fnx_look_node *node = &look->nodes[i];

		json_array_append_new(nodes,
			json_pack("{s:s,s:b,s:s,s:i,s:I,s:I,s:I}", "name", node->name, "alive",
				node->alive, "state", fnx_look_state(node), "pid", (int)node->pid,
				"starts", (json_int_t)node->starts, "in", (json_int_t)node->in,
				"out", (json_int_t)node->out));
	}
	return nodes;
}

static json_t *json_topic(const struct topic_row *row)
{
	const struct fnx_view *view = row->view;
	json_t *topic = json_pack("{s:s}", "name", row->name), *readers;

	if (!view) {
		json_object_set_new(topic, "error", json_string(fnx_describe_error(row->error)));
		return topic;
	}
	json_object_update_new(topic,
		json_pack("{s:s,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "publisher", row->publisher,
			"alive", row->alive, "schema", json_string(row->schema), "frames",
			(json_int_t)view->head, "slots", (json_int_t)view->n_slots, "used",
			(json_int_t)view->n_used, "slot_size", (json_int_t)view->slot_size,
			"dropped", (json_int_t)view->dropped, "lapped", (json_int_t)view->lapped));
	readers = json_array();
	for (unsigned i = 0; i < view->n_subscribers; i++) {
		char name[FNX_NAME_MAX];

		fnx_describe_name(view->subscribers[i].node, name);
		json_array_append_new(readers, json_string(name));
	}
	json_object_set_new(topic, "readers", readers);
	return topic;
}

static json_t *json_bus(const struct bus_rows *rows)
{
	json_t *topics = json_array();

	for (unsigned i = 0; i < rows->n_topics; i++)
		json_array_append_new(topics, json_topic(&rows->topics[i]));
	return json_pack("{s:s,s:b,s:s,s:s,s:I,s:o,s:o}", "name", rows->bus.name, "alive",
		rows->alive, "segment_dir", rows->bus.segment_dir, "run_dir", rows->bus.run_dir,
		"bytes", (json_int_t)rows->bytes, "nodes", json_nodes(&rows->look), "topics",
		topics);
}

/* Buses
 * ---------------------------------------------------------------------------------------------- */

/* `list` NULL: print. */
static int show(const struct fnx_bus *bus, json_t *list)
{
	struct bus_rows rows;
	int r = look_at_bus(bus, &rows);

	if (!r && list)
		json_array_append_new(list, json_bus(&rows));
	else if (!r)
		print_bus(&rows);
	forget(&rows);
	return r;
}

static int show_all(const struct ls *ls, json_t *list)
{
	struct fnx_names names;
	struct fnx_bus bus;
	int r = fnx_locate_all(&names);

	if (r)
		return r;
	for (unsigned i = 0; i < names.n && !r; i++) {
		if (fnx_bus_init(&bus, names.at[i], NULL, ls->locate.run_dir))
			continue;
		if (i && !list)
			printf("\n");
		r = show(&bus, list);
	}
	if (!names.n && !list)
		printf("no bus on this machine\n");
	fnx_names_free(&names);
	return r;
}

int fnx_command_ls(int argc, char **argv)
{
	struct ls ls = {.json = 0};
	json_t *list = NULL;
	struct fnx_bus bus;
	int r = parse(argc, argv, &ls);

	if (r)
		return r > 0 ? usage() : 2;
	if (ls.json)
		list = json_array();
	if (ls.locate.bus || ls.locate.segment_dir) {
		r = fnx_locate_remains("fornix ls", &ls.locate, &bus);
		if (!r)
			r = show(&bus, list);
	} else {
		r = show_all(&ls, list);
	}
	if (r < 0)
		fprintf(stderr, "fornix ls: %s\n", strerror(-r));
	if (!r && list) {
		json_t *whole = json_pack("{s:O}", "buses", list);

		json_dumpf(whole, stdout, JSON_INDENT(2));
		printf("\n");
		json_decref(whole);
	}
	json_decref(list);
	return r ? 1 : 0;
}
