/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix inspect: one topic to the last word: header, pool, readers, and the youngest entries of
 * its ledger. It reads the files and nothing else, so that it also tells what the dead have left,
 * or what damage they have.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/presence.h"
#include "nodes/fornix/cells.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/describe.h"
#include "nodes/fornix/locate.h"

enum {
	ENTRIES_DEFAULT = 8
};

struct inspect {
	struct fnx_locate locate;
	const char *topic;
	uint64_t n_entries;
	int json;
	struct fnx_bus bus;
	struct fnx_view *view;
	char schema[FNX_NAME_MAX];
	int64_t now_ns; /* CLOCK_MONOTONIC, as ages are */
};

/* Options
 * --------------------------------------------------------------------------------------------- */

static int usage(void)
{
	printf("fornix inspect: shows a topic's header, pool, readers and youngest frames\n"
	       "\n"
	       "usage: fornix inspect TOPIC [options]\n"
	       "\n"
	       "  --entries N        of the ledger, youngest first (default: %d)\n"
	       "  --json             one object, for scripts\n" FNX_LOCATE_HELP "\n"
	       "Works on what a dead bus left, too, and on damaged files as far as they make "
	       "sense: "
	       "exit status 1\n"
	       "if they do not. LAG counts the frames that a reader has yet to give back, HOLDS "
	       "the "
	       "frames that it\n"
	       "keeps beyond their turn. AGE is the time since a frame was published, HOP that "
	       "from its sample's\n"
	       "arrival in this machine to its publishing, ORIGIN the input (from 0) and frame it "
	       "was made from.\n",
		ENTRIES_DEFAULT);
	return 0;
}

static int parse(int argc, char **argv, struct inspect *inspect)
{
	const struct fnx_option options[] = {
		fnx_option_count("entries", 0, UINT64_MAX, &inspect->n_entries),
		fnx_option_flag("json", &inspect->json),
		FNX_LOCATE_OPTIONS(&inspect->locate),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix inspect",
		.options = options,
		.words_min = 1,
		.words_max = 1,
		.expected = "one TOPIC"};
	int r = fnx_command_line_read(&line, argc, argv);

	inspect->topic = line.words[0];
	return r;
}

/* Words
 * ---------------------------------------------------------------------------------------------- */

static const char *life(const struct inspect *inspect, const char *node)
{
	int r;

	if (!fnx_name_valid(node))
		return "no name";
	r = fnx_presence_check(&inspect->bus, node);
	return r > 0 ? "alive" : r == 0 ? "dead" : "unknown";
}

static void cell_time(int64_t samples, char *cell)
{
	if (samples == INT64_MIN)
		snprintf(cell, FNX_CELL_MAX, "-");
	else if (samples == FNX_END)
		snprintf(cell, FNX_CELL_MAX, "end");
	else
		snprintf(cell, FNX_CELL_MAX, "%" PRId64, samples);
}

/* Input and frame, see fnx_node_origin. */
static void cell_origin(uint64_t origin, char *cell)
{
	if (origin)
		snprintf(cell, FNX_CELL_MAX, "%u:%" PRIu64, (unsigned)(origin >> 56) - 1,
			origin & ((UINT64_C(1) << 56) - 1));
	else
		snprintf(cell, FNX_CELL_MAX, "-");
}

static double between(int64_t from_ns, int64_t to_ns)
{
	return from_ns ? (double)to_ns - (double)from_ns : -1;
}

/* Text
 * ---------------------------------------------------------------------------------------------- */

static void print_header(const struct inspect *inspect)
{
	const struct fnx_view *view = inspect->view;
	char size[FNX_CELL_MAX], slot[FNX_CELL_MAX], created[64] = "?";
	time_t seconds = (time_t)(view->created_ns / 1000000000);
	struct tm when;

	if (localtime_r(&seconds, &when))
		strftime(created, sizeof(created), "%F %T", &when);
	fnx_cell_bytes(size, view->file_size);
	fnx_cell_bytes(slot, view->slot_size);
	printf("topic       %s on bus %s\n", view->topic, inspect->bus.name);
	printf("publisher   %s (%s, process %d, bell %s)%s\n", view->node,
		life(inspect, view->node), view->pid, fnx_describe_bell(view->bell_form),
		view->replaced ? ", replaced by another layout" : "");
	printf("schema      %s (%016" PRIx64 ", described in %" PRIu64 " bytes)\n", inspect->schema,
		view->schema_hash, view->schema_size);
	printf("made        %s, epoch %" PRIu64 "\n", created, view->epoch);
	printf("layout      %u slots of %s, %u entries, %s in all; a full pool %s\n", view->n_slots,
		slot, view->n_entries, size, view->full == FNX_FULL_WAIT ? "waits" : "drops");
}

static void print_state(const struct inspect *inspect)
{
	const struct fnx_view *view = inspect->view;
	char watermark[FNX_CELL_MAX], end[FNX_CELL_MAX], age[FNX_CELL_MAX];

	cell_time(view->watermark, watermark);
	cell_time(view->end, end);
	fnx_cell_ago(age, between(view->watermark_ingress_ns, inspect->now_ns));
	printf("frames      %" PRIu64 " published, payloads from %" PRIu64 " on\n", view->head,
		view->released);
	printf("watermark   %s", watermark);
	if (view->watermark == FNX_END)
		printf(" (the session ended at %s)", end);
	printf(", its sample came %s ago\n", age);
	printf("pool        %" PRIu64 " of %u slots in use, %" PRIu64 " pinned", view->n_used,
		view->n_slots, view->n_pinned);
	for (uint64_t i = 0; i < view->n_pinned; i++)
		printf("%s%" PRIu64, i ? ", " : ": frames ", view->pinned[i]);
	printf("\n");
	printf("lost        %" PRIu64 " dropped, %" PRIu64 " lapped; %" PRIu64
	       " readers evicted, %" PRIu64 " rings\n",
		view->dropped, view->lapped, view->evicted, view->rings);
	if (view->writer_wake)
		printf("waiting     the publisher sleeps until a reader comes to frame %" PRIu64
		       "\n",
			view->writer_wake);
}

FNX_CELL(reader)
{
	char name[FNX_NAME_MAX];

	(void)context;
	fnx_describe_name(((const struct fnx_view_subscriber *)row)->node, name);
	snprintf(cell, FNX_CELL_MAX, "%s", name);
}

FNX_CELL(life)
{
	const struct fnx_view_subscriber *sub = row;

	snprintf(cell, FNX_CELL_MAX, "%s%s", life(context, sub->node),
		sub->claimed ? ", joining" : "");
}

FNX_CELL(policy)
{
	(void)context;
	snprintf(cell, FNX_CELL_MAX, "%s",
		fnx_describe_policy(((const struct fnx_view_subscriber *)row)->policy));
}

FNX_CELL(sleeps)
{
	(void)context;
	snprintf(cell, FNX_CELL_MAX, "%s",
		((const struct fnx_view_subscriber *)row)->parked ? "yes" : "no");
}

FNX_CELL_COUNT(cursor, struct fnx_view_subscriber, cursor)
FNX_CELL_COUNT(lag, struct fnx_view_subscriber, lag)
FNX_CELL_COUNT(gaps, struct fnx_view_subscriber, gaps)
FNX_CELL_COUNT(missed, struct fnx_view_subscriber, missed)
FNX_CELL_COUNT(lapped, struct fnx_view_subscriber, lapped)
FNX_CELL_COUNT(pid, struct fnx_view_subscriber, pid)

FNX_CELL(holds)
{
	const struct fnx_view_subscriber *sub = row;
	int used = 0;

	(void)context;
	if (!sub->n_held)
		snprintf(cell, FNX_CELL_MAX, "-");
	for (unsigned i = 0; i < sub->n_held && used < FNX_CELL_MAX; i++)
		used += snprintf(cell + used, (size_t)(FNX_CELL_MAX - used), "%s%" PRIu64,
			i ? "," : "", sub->held[i]);
}

static const struct fnx_column reader_columns[] = {
	{"READER", 12, 1, 0, cell_reader},
	{"IS", 5, 1, 0, cell_life},
	{"POLICY", 8, 1, 0, cell_policy},
	{"SLEEPS", 6, 1, 0, cell_sleeps},
	{"CURSOR", 9, 0, 0, cell_cursor},
	{"LAG", 5, 0, 0, cell_lag},
	{"GAPS", 5, 0, 0, cell_gaps},
	{"MISSED", 6, 0, 0, cell_missed},
	{"LAPPED", 6, 0, 0, cell_lapped},
	{"PID", 7, 0, 0, cell_pid},
	{"HOLDS", 5, 1, 0, cell_holds},
};

FNX_CELL_COUNT(seq, struct fnx_view_entry, seq)

FNX_CELL(entry)
{
	(void)context;
	snprintf(cell, FNX_CELL_MAX, "%s",
		fnx_describe_entry(((const struct fnx_view_entry *)row)->state));
}

FNX_CELL(slot)
{
	const struct fnx_view_entry *entry = row;

	(void)context;
	if (entry->slot == UINT32_MAX)
		snprintf(cell, FNX_CELL_MAX, "-");
	else
		snprintf(cell, FNX_CELL_MAX, "%u", entry->slot);
}

FNX_CELL_COUNT(length, struct fnx_view_entry, length)

FNX_CELL(sample)
{
	(void)context;
	cell_time(((const struct fnx_view_entry *)row)->stamp.sample_time, cell);
}

FNX_CELL(age)
{
	const struct inspect *inspect = context;

	fnx_cell_ago(cell,
		between(((const struct fnx_view_entry *)row)->stamp.publish_ns, inspect->now_ns));
}

FNX_CELL(hop)
{
	const struct fnx_view_entry *entry = row;

	(void)context;
	fnx_cell_ago(cell, between(entry->stamp.ingress_ns, entry->stamp.publish_ns));
}

FNX_CELL(made_from)
{
	(void)context;
	cell_origin(((const struct fnx_view_entry *)row)->stamp.origin, cell);
}

FNX_CELL(flags)
{
	uint32_t flags = ((const struct fnx_view_entry *)row)->stamp.flags;

	(void)context;
	snprintf(cell, FNX_CELL_MAX, "%s%s", flags & FNX_FRAME_LATE ? "late " : "",
		flags & FNX_FRAME_INCOMPLETE ? "incomplete" : "");
}

static const struct fnx_column entry_columns[] = {
	{"FRAME", 9, 0, 0, cell_seq},
	{"STATE", 9, 1, 0, cell_entry},
	{"SLOT", 5, 0, 0, cell_slot},
	{"BYTES", 6, 0, 0, cell_length},
	{"SAMPLE", 11, 0, 0, cell_sample},
	{"AGE", 7, 0, 0, cell_age},
	{"HOP", 7, 0, 0, cell_hop},
	{"ORIGIN", 10, 0, 0, cell_made_from},
	{"FLAGS", 5, 1, 0, cell_flags},
};

/* The youngest of the ledger, at most `n_entries`. NULL: there are none, or no memory. */
static struct fnx_view_entry *youngest(const struct inspect *inspect, unsigned *ret_n)
{
	const struct fnx_view *view = inspect->view;
	uint64_t n = inspect->n_entries < view->n_entries ? inspect->n_entries : view->n_entries;
	struct fnx_view_entry *entries;
	unsigned found = 0;

	if (n > view->head)
		n = view->head;
	entries = n ? calloc(n, sizeof(*entries)) : NULL;
	for (uint64_t i = 0; entries && i < n; i++)
		if (!fnx_view_entry(view, view->head - 1 - i, &entries[found]))
			found++;
	*ret_n = found;
	return entries;
}

#define TABLE(columns) \
	{ \
		columns, sizeof(columns) / sizeof(columns[0]), \
		{ \
			0 \
		} \
	}

static void print_text(const struct inspect *inspect)
{
	struct fnx_table readers = TABLE(reader_columns), ledger = TABLE(entry_columns);
	const struct fnx_view *view = inspect->view;
	struct fnx_view_entry *entries;
	unsigned n;

	print_header(inspect);
	print_state(inspect);
	printf("\n");
	if (view->subs_error)
		printf("readers unknown: %s.subs is %s\n", view->topic,
			fnx_describe_error(view->subs_error));
	else if (!view->n_subscribers)
		printf("no readers\n");
	else
		fnx_table_print(&readers, inspect, view->subscribers, view->n_subscribers,
			sizeof(view->subscribers[0]), stdout);
	entries = youngest(inspect, &n);
	if (n) {
		printf("\n");
		fnx_table_print(&ledger, inspect, entries, n, sizeof(*entries), stdout);
	}
	free(entries);
}

/* JSON
 * ---------------------------------------------------------------------------------------------- */

static json_t *json_seqs(const uint64_t *seqs, uint64_t n)
{
	json_t *array = json_array();

	for (uint64_t i = 0; i < n; i++)
		json_array_append_new(array, json_integer((json_int_t)seqs[i]));
	return array;
}

static json_t *json_reader(const struct inspect *inspect, const struct fnx_view_subscriber *sub)
{
	char name[FNX_NAME_MAX];

	fnx_describe_name(sub->node, name);
	return json_pack("{s:s,s:s,s:s,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:i,s:o}", "node", name, "life",
		life(inspect, sub->node), "policy", fnx_describe_policy(sub->policy), "parked",
		sub->parked, "joining", sub->claimed, "cursor", (json_int_t)sub->cursor, "lag",
		(json_int_t)sub->lag, "gaps", (json_int_t)sub->gaps, "missed",
		(json_int_t)sub->missed, "lapped", (json_int_t)sub->lapped, "pid", (int)sub->pid,
		"holds", json_seqs(sub->held, sub->n_held));
}

static json_t *json_entry(const struct fnx_view_entry *entry)
{
	char origin[FNX_CELL_MAX];

	cell_origin(entry->stamp.origin, origin);
	return json_pack("{s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:I}", "seq", (json_int_t)entry->seq,
		"state", fnx_describe_entry(entry->state), "slot",
		entry->slot == UINT32_MAX ? (json_int_t)-1 : (json_int_t)entry->slot, "length",
		(json_int_t)entry->length, "sample_time", (json_int_t)entry->stamp.sample_time,
		"ingress_ns", (json_int_t)entry->stamp.ingress_ns, "publish_ns",
		(json_int_t)entry->stamp.publish_ns, "origin", origin, "flags",
		(json_int_t)entry->stamp.flags);
}

static json_t *json_header(const struct inspect *inspect)
{
	const struct fnx_view *view = inspect->view;

	return json_pack("{s:s,s:s,s:s,s:s,s:i,s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:b}", "bus",
		inspect->bus.name, "topic", view->topic, "publisher", view->node, "life",
		life(inspect, view->node), "pid", (int)view->pid, "schema", inspect->schema,
		"epoch", (json_int_t)view->epoch, "slots", (json_int_t)view->n_slots, "slot_size",
		(json_int_t)view->slot_size, "entries", (json_int_t)view->n_entries, "file_size",
		(json_int_t)view->file_size, "full", view->full == FNX_FULL_WAIT ? "wait" : "drop",
		"replaced", view->replaced);
}

static json_t *json_state(const struct fnx_view *view)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:I}", "head",
		(json_int_t)view->head, "released", (json_int_t)view->released, "watermark",
		(json_int_t)view->watermark, "dropped", (json_int_t)view->dropped, "lapped",
		(json_int_t)view->lapped, "evicted", (json_int_t)view->evicted, "rings",
		(json_int_t)view->rings, "used", (json_int_t)view->n_used, "pinned",
		json_seqs(view->pinned, view->n_pinned), "writer_wake",
		(json_int_t)view->writer_wake);
}

static void print_json(const struct inspect *inspect)
{
	const struct fnx_view *view = inspect->view;
	json_t *whole = json_header(inspect), *readers = json_array(), *ledger = json_array();
	struct fnx_view_entry *entries;
	unsigned n;

	json_object_update_new(whole, json_state(view));
	for (unsigned i = 0; i < view->n_subscribers; i++)
		json_array_append_new(readers, json_reader(inspect, &view->subscribers[i]));
	json_object_set_new(whole, "readers", readers);
	if (view->subs_error)
		json_object_set_new(
			whole, "readers_error", json_string(fnx_describe_error(view->subs_error)));
	entries = youngest(inspect, &n);
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(ledger, json_entry(&entries[i]));
	free(entries);
	json_object_set_new(whole, "ledger", ledger);
	json_dumpf(whole, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(whole);
}

/* Command
 * ---------------------------------------------------------------------------------------------- */

static int complain(const struct inspect *inspect, int error)
{
	struct fnx_names names;
	char before[256];

	if (error != -ENOENT && error != -EINVAL) {
		fprintf(stderr, "fornix inspect: %.60s: its segment in %s is %s\n", inspect->topic,
			inspect->bus.segment_dir, fnx_describe_error(error));
		return 1;
	}
	snprintf(before, sizeof(before),
		"fornix inspect: there is no topic %.60s; there are: ", inspect->topic);
	if (!fnx_names_find(&names, inspect->bus.segment_dir, "", FNX_TOPIC_SUFFIX)) {
		fnx_names_complain(&names, before);
		fnx_names_free(&names);
	}
	return 1;
}

int fnx_command_inspect(int argc, char **argv)
{
	struct inspect inspect = {.n_entries = ENTRIES_DEFAULT};
	int r = parse(argc, argv, &inspect);

	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_locate_remains("fornix inspect", &inspect.locate, &inspect.bus);
	if (r)
		return r;
	r = fnx_view_open(
		&inspect.bus, inspect.topic, FNX_VIEW_LEDGER | FNX_VIEW_SCHEMA, &inspect.view);
	if (r)
		return complain(&inspect, r);
	inspect.now_ns = fnx_node_now();
	fnx_describe_schema(inspect.view, inspect.schema);
	if (inspect.json)
		print_json(&inspect);
	else
		print_text(&inspect);
	r = inspect.view->subs_error ? 1 : 0;
	fnx_view_close(inspect.view);
	return r;
}
