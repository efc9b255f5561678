/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of fornix top. A narrow terminal shows the columns of rank 0, a wider one more of
 * them; a line that tells of a loss stands out. It is long since each column is a function of a few
 * lines.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/fornix/cells.h"
#include "nodes/fornix/top.h"

/* Cells of several tables
 * ---------------------------------------------------------------------------------------------- */

static void cell_rate(const struct fnx_top *top, uint64_t count, const uint64_t *before,
	int64_t since_ns, int64_t ended_ns, char *cell)
{
	double first = before ? (double)*before : 0;
	double rate = fnx_look_rate(
		top->now, top->before, (double)count, before ? &first : NULL, since_ns, ended_ns);

	if (rate > 0 && rate < 9.95)
		snprintf(cell, FNX_CELL_MAX, "%.1f", rate);
	else
		fnx_cell_number(cell, rate);
}

/* Of the last second, or, where nothing came in it, of all. */
static uint64_t quantile(const struct fnx_top *top, const struct fnx_durations *now,
	const struct fnx_durations *before, double fraction)
{
	uint64_t ns = 0;

	if (before && !top->cumulative)
		ns = fnx_durations_quantile(now, before, fraction);
	return ns ? ns : fnx_durations_quantile(now, NULL, fraction);
}

static void cell_count(uint64_t count, char *cell)
{
	fnx_cell_number(cell, (double)count);
}

/* Nodes
 * ---------------------------------------------------------------------------------------------- */

#define NODE_CELL(name) \
	static void node_##name(const struct fnx_top *top, const struct fnx_look_node *node, \
		const struct fnx_look_node *before, char *cell); \
	FNX_CELL(node_##name) \
	{ \
		const struct fnx_top *top = context; \
\
		node_##name(top, row, fnx_look_node_before(top->before, row), cell); \
	} \
	static void node_##name(__attribute__((unused)) const struct fnx_top *top, \
		const struct fnx_look_node *node, \
		__attribute__((unused)) const struct fnx_look_node *before, char *cell)

NODE_CELL(name)
{
	snprintf(cell, FNX_CELL_MAX, "%s", node->name);
}

NODE_CELL(state)
{
	snprintf(cell, FNX_CELL_MAX, "%s", fnx_look_state(node));
}

NODE_CELL(pid)
{
	if (node->alive)
		snprintf(cell, FNX_CELL_MAX, "%d", node->pid);
	else
		snprintf(cell, FNX_CELL_MAX, "-");
}

NODE_CELL(starts)
{
	cell_count(node->starts, cell);
}

NODE_CELL(session)
{
	int64_t first = fnx_look_session_start(top->now);

	if (first == INT64_MIN || (!node->in && !node->out))
		snprintf(cell, FNX_CELL_MAX, "-");
	else
		snprintf(cell, FNX_CELL_MAX, "%.1fs",
			((double)node->sample_time - (double)first) / top->clock_hz);
}

/* Session time that its source is ahead of it. */
NODE_CELL(behind)
{
	int64_t source = fnx_look_session_now(top->now);
	double ms = ((double)source - (double)node->sample_time) * 1e3 / top->clock_hz;

	if (source == INT64_MIN || !node->n_inputs || !node->in || source == FNX_END)
		snprintf(cell, FNX_CELL_MAX, "-");
	else if (ms < 9.95)
		snprintf(cell, FNX_CELL_MAX, "%.1f", fmax(ms, 0));
	else
		fnx_cell_number(cell, ms);
}

/* Percent of a processor: since the look before, else since the node's start. */
static void percent(const struct fnx_top *top, const struct fnx_look_node *node, double spent_s,
	const double *before_s, char *cell)
{
	double rate = fnx_look_rate(top->now, top->before, spent_s, before_s, node->started_ns, 0);

	if (isnan(rate))
		snprintf(cell, FNX_CELL_MAX, "-");
	else
		snprintf(cell, FNX_CELL_MAX, "%.*f", rate < 0.0995, 100 * rate);
}

NODE_CELL(cpu)
{
	percent(top, node, node->proc.cpu_s, before ? &before->proc.cpu_s : NULL, cell);
}

NODE_CELL(queued)
{
	percent(top, node, node->proc.queued_s, before ? &before->proc.queued_s : NULL, cell);
}

NODE_CELL(wakes)
{
	cell_count(node->wakes, cell);
}

NODE_CELL(wake_rate)
{
	cell_rate(top, node->wakes, before ? &before->wakes : NULL, node->since_ns, node->ended_ns,
		cell);
}

NODE_CELL(in)
{
	cell_count(node->in, cell);
}

NODE_CELL(in_rate)
{
	cell_rate(top, node->in, before ? &before->in : NULL, node->since_ns, node->ended_ns, cell);
}

NODE_CELL(out)
{
	cell_count(node->out, cell);
}

NODE_CELL(out_rate)
{
	cell_rate(
		top, node->out, before ? &before->out : NULL, node->since_ns, node->ended_ns, cell);
}

NODE_CELL(depth)
{
	cell_count(node->depth, cell);
}

NODE_CELL(peak)
{
	cell_count(node->peak_depth, cell);
}

NODE_CELL(gaps)
{
	cell_count(node->gaps, cell);
}

NODE_CELL(missed)
{
	cell_count(node->missed, cell);
}

NODE_CELL(drops)
{
	cell_count(node->drops, cell);
}

NODE_CELL(latency_p50)
{
	fnx_cell_us(cell, quantile(top, &node->latency, before ? &before->latency : NULL, 0.5));
}

NODE_CELL(latency_p99)
{
	fnx_cell_us(cell, quantile(top, &node->latency, before ? &before->latency : NULL, 0.99));
}

NODE_CELL(latency_max)
{
	fnx_cell_us(cell, node->latency.max_ns);
}

NODE_CELL(turn_p99)
{
	fnx_cell_us(cell, quantile(top, &node->turn, before ? &before->turn : NULL, 0.99));
}

NODE_CELL(heap)
{
	cell_count(node->heap_allocations, cell);
}

NODE_CELL(waits)
{
	cell_count(node->full_waits, cell);
}

static const struct fnx_column node_columns[] = {
	{"NODE", 8, 1, 0, cell_node_name},
	{"STATE", 7, 1, 0, cell_node_state},
	{"PID", 7, 0, 4, cell_node_pid},
	{"ST", 2, 0, 4, cell_node_starts},
	{"SESSION", 7, 0, 5, cell_node_session},
	{"BEHIND", 6, 0, 3, cell_node_behind},
	{"CPU%", 4, 0, 0, cell_node_cpu},
	{"QUEUE%", 6, 0, 4, cell_node_queued},
	{"WAKES", 6, 0, 6, cell_node_wakes},
	{"WAKE/s", 6, 0, 1, cell_node_wake_rate},
	{"IN", 6, 0, 5, cell_node_in},
	{"IN/s", 6, 0, 0, cell_node_in_rate},
	{"OUT", 6, 0, 5, cell_node_out},
	{"OUT/s", 6, 0, 0, cell_node_out_rate},
	{"DEPTH", 5, 0, 2, cell_node_depth},
	{"PEAK", 4, 0, 3, cell_node_peak},
	{"GAPS", 4, 0, 0, cell_node_gaps},
	{"MISSED", 6, 0, 5, cell_node_missed},
	{"DROPS", 5, 0, 2, cell_node_drops},
	{"LAT50", 6, 0, 1, cell_node_latency_p50},
	{"LAT99", 6, 0, 0, cell_node_latency_p99},
	{"LATMAX", 6, 0, 3, cell_node_latency_max},
	{"TURN99", 6, 0, 4, cell_node_turn_p99},
	{"FULL", 4, 0, 5, cell_node_waits},
	{"HEAP", 4, 0, 6, cell_node_heap},
};

/* Topics
 * ---------------------------------------------------------------------------------------------- */

#define TOPIC_CELL(name) \
	static void topic_##name(const struct fnx_top *top, const struct fnx_look_topic *topic, \
		const struct fnx_look_topic *before, char *cell); \
	FNX_CELL(topic_##name) \
	{ \
		const struct fnx_top *top = context; \
\
		topic_##name(top, row, fnx_look_topic_before(top->before, row), cell); \
	} \
	static void topic_##name(__attribute__((unused)) const struct fnx_top *top, \
		const struct fnx_look_topic *topic, \
		__attribute__((unused)) const struct fnx_look_topic *before, char *cell)

TOPIC_CELL(name)
{
	snprintf(cell, FNX_CELL_MAX, "%s", topic->name);
}

TOPIC_CELL(frames)
{
	snprintf(cell, FNX_CELL_MAX, "%" PRIu64, topic->frames);
}

TOPIC_CELL(rate)
{
	cell_rate(top, topic->frames, before ? &before->frames : NULL, topic->since_ns,
		topic->ended_ns, cell);
}

TOPIC_CELL(slots)
{
	if (topic->is_open)
		snprintf(cell, FNX_CELL_MAX, "%u", topic->n_slots);
	else
		snprintf(cell, FNX_CELL_MAX, "-");
}

TOPIC_CELL(used)
{
	fnx_cell_number(cell, topic->is_open ? (double)topic->n_used : (double)NAN);
}

TOPIC_CELL(pinned)
{
	fnx_cell_number(cell, topic->is_open ? (double)topic->n_pinned : (double)NAN);
}

TOPIC_CELL(peak)
{
	cell_count(topic->peak_depth, cell);
}

TOPIC_CELL(drops)
{
	cell_count(topic->dropped + topic->lapped, cell);
}

TOPIC_CELL(readers)
{
	fnx_cell_number(cell, topic->is_open ? (double)topic->n_subscribers : (double)NAN);
}

TOPIC_CELL(age_p50)
{
	fnx_cell_us(cell, quantile(top, &topic->age, before ? &before->age : NULL, 0.5));
}

TOPIC_CELL(age_p99)
{
	fnx_cell_us(cell, quantile(top, &topic->age, before ? &before->age : NULL, 0.99));
}

TOPIC_CELL(age_max)
{
	fnx_cell_us(cell, topic->age.max_ns);
}

TOPIC_CELL(publisher)
{
	snprintf(
		cell, FNX_CELL_MAX, "%s%s", topic->publisher, topic->alive ? "" : " (not running)");
}

static const struct fnx_column topic_columns[] = {
	{"TOPIC", 8, 1, 0, cell_topic_name},
	{"FRAMES", 8, 0, 1, cell_topic_frames},
	{"RATE/s", 6, 0, 0, cell_topic_rate},
	{"SLOTS", 5, 0, 2, cell_topic_slots},
	{"USED", 4, 0, 0, cell_topic_used},
	{"PINNED", 6, 0, 3, cell_topic_pinned},
	{"PEAK", 4, 0, 0, cell_topic_peak},
	{"READERS", 7, 0, 3, cell_topic_readers},
	{"DROPS", 5, 0, 0, cell_topic_drops},
	{"LAT50", 6, 0, 1, cell_topic_age_p50},
	{"LAT99", 6, 0, 0, cell_topic_age_p99},
	{"LATMAX", 6, 0, 2, cell_topic_age_max},
	{"PUBLISHER", 9, 1, 0, cell_topic_publisher},
};

/* Hops
 * ---------------------------------------------------------------------------------------------- */

#define HOP_CELL(name) \
	static void hop_##name(const struct fnx_top *top, const struct fnx_look_hop *hop, \
		const struct fnx_look_hop *before, char *cell); \
	FNX_CELL(hop_##name) \
	{ \
		const struct fnx_top *top = context; \
\
		hop_##name(top, row, fnx_look_hop_before(top->before, row), cell); \
	} \
	static void hop_##name(__attribute__((unused)) const struct fnx_top *top, \
		const struct fnx_look_hop *hop, \
		__attribute__((unused)) const struct fnx_look_hop *before, char *cell)

HOP_CELL(name)
{
	snprintf(cell, FNX_CELL_MAX, "%.29s > %.29s", hop->topic, hop->reader);
}

HOP_CELL(frames)
{
	cell_count(hop->frames, cell);
}

HOP_CELL(rate)
{
	cell_rate(top, hop->frames, before ? &before->frames : NULL, hop->since_ns, hop->ended_ns,
		cell);
}

HOP_CELL(depth)
{
	fnx_cell_number(cell, hop->is_joined ? (double)hop->depth : (double)NAN);
}

HOP_CELL(peak)
{
	cell_count(hop->peak_depth, cell);
}

HOP_CELL(holds)
{
	fnx_cell_number(cell, hop->is_joined ? (double)hop->n_held : (double)NAN);
}

HOP_CELL(gaps)
{
	cell_count(hop->gaps, cell);
}

HOP_CELL(missed)
{
	cell_count(hop->missed, cell);
}

HOP_CELL(late)
{
	cell_count(hop->late, cell);
}

HOP_CELL(bad)
{
	cell_count(hop->bad, cell);
}

HOP_CELL(p50)
{
	fnx_cell_us(cell, quantile(top, &hop->hop, before ? &before->hop : NULL, 0.5));
}

HOP_CELL(p99)
{
	fnx_cell_us(cell, quantile(top, &hop->hop, before ? &before->hop : NULL, 0.99));
}

HOP_CELL(max)
{
	fnx_cell_us(cell, hop->hop.max_ns);
}

HOP_CELL(age_p50)
{
	fnx_cell_us(cell, quantile(top, &hop->age, before ? &before->age : NULL, 0.5));
}

HOP_CELL(age_p99)
{
	fnx_cell_us(cell, quantile(top, &hop->age, before ? &before->age : NULL, 0.99));
}

HOP_CELL(age_max)
{
	fnx_cell_us(cell, hop->age.max_ns);
}

static const struct fnx_column hop_columns[] = {
	{"HOP", 16, 1, 0, cell_hop_name},
	{"FRAMES", 6, 0, 4, cell_hop_frames},
	{"RATE/s", 6, 0, 0, cell_hop_rate},
	{"DEPTH", 5, 0, 0, cell_hop_depth},
	{"PEAK", 4, 0, 1, cell_hop_peak},
	{"HOLDS", 5, 0, 3, cell_hop_holds},
	{"GAPS", 4, 0, 1, cell_hop_gaps},
	{"MISSED", 6, 0, 3, cell_hop_missed},
	{"LATE", 4, 0, 4, cell_hop_late},
	{"BAD", 3, 0, 4, cell_hop_bad},
	{"HOP50", 6, 0, 0, cell_hop_p50},
	{"HOP99", 6, 0, 0, cell_hop_p99},
	{"HOPMAX", 6, 0, 2, cell_hop_max},
	{"AGE50", 6, 0, 2, cell_hop_age_p50},
	{"AGE99", 6, 0, 1, cell_hop_age_p99},
	{"AGEMAX", 6, 0, 3, cell_hop_age_max},
};

/* Lines
 * ---------------------------------------------------------------------------------------------- */

struct writer {
	const struct fnx_top *top;
	struct fnx_top_lines lines;
	int failed;
};

/* A blank line's worth of room where there is no memory for one: nobody reads it. */
static struct fnx_top_line *new_line(struct writer *writer, enum fnx_top_style style)
{
	static struct fnx_top_line nowhere;
	struct fnx_top_line *lines =
		reallocarray(writer->lines.at, writer->lines.n + 1, sizeof(*lines));

	if (!lines) {
		writer->failed = 1;
		return &nowhere;
	}
	writer->lines.at = lines;
	lines += writer->lines.n++;
	*lines = (struct fnx_top_line){.style = style};
	return lines;
}

static void say(struct writer *writer, enum fnx_top_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct writer *writer, enum fnx_top_style style, const char *format, ...)
{
	struct fnx_top_line *line = new_line(writer, style);
	va_list args;

	va_start(args, format);
	vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
}

static enum fnx_top_style node_style(const void *row)
{
	const struct fnx_look_node *node = row;

	if (fnx_look_has_died(node) || node->state == FNX_NODE_FAILED)
		return FNX_TOP_BAD;
	if (node->gaps || node->drops || node->missed_wakes || node->late || node->bad)
		return FNX_TOP_ODD;
	return node->state == FNX_NODE_RUNNING ? FNX_TOP_PLAIN : FNX_TOP_FAINT;
}

static enum fnx_top_style topic_style(const void *row)
{
	const struct fnx_look_topic *topic = row;

	if (topic->dropped || topic->lapped)
		return FNX_TOP_ODD;
	return topic->frames ? FNX_TOP_PLAIN : FNX_TOP_FAINT;
}

static enum fnx_top_style hop_style(const void *row)
{
	const struct fnx_look_hop *hop = row;

	if (hop->gaps || hop->late || hop->bad)
		return FNX_TOP_ODD;
	return hop->frames ? FNX_TOP_PLAIN : FNX_TOP_FAINT;
}

static void write_table(struct writer *writer, const struct fnx_column *columns, unsigned n_columns,
	const void *rows, unsigned n_rows, size_t row_size,
	enum fnx_top_style (*style)(const void *row))
{
	struct fnx_table table = {.columns = columns, .n_columns = n_columns};
	struct fnx_top_line *line;

	if (writer->lines.n)
		new_line(writer, FNX_TOP_PLAIN);
	fnx_table_fit(&table, writer->top, rows, n_rows, row_size, writer->top->width);
	line = new_line(writer, FNX_TOP_TITLE);
	fnx_table_titles(&table, line->text, sizeof(line->text));
	for (unsigned i = 0; i < n_rows; i++) {
		const char *row = (const char *)rows + i * row_size;

		line = new_line(writer, style(row));
		fnx_table_line(&table, writer->top, row, line->text, sizeof(line->text));
	}
}

/* What wants a word beside its number. */
static void complain(struct writer *writer, const struct fnx_look_node *node)
{
	if (fnx_look_has_died(node))
		say(writer, FNX_TOP_BAD, "%s is dead (process %d)%s%s", node->name, node->pid,
			node->text[0] ? ": " : "", node->text);
	else if (node->state == FNX_NODE_FAILED)
		say(writer, FNX_TOP_BAD, "%s has failed: %s", node->name, node->text);
	if (node->missed_wakes)
		say(writer, FNX_TOP_BAD, "%s overslept %" PRIu64 " times: a bell did not ring",
			node->name, node->missed_wakes);
	if (node->heap_allocations)
		say(writer, FNX_TOP_ODD, "%s allocated memory %" PRIu64 " times while it ran",
			node->name, node->heap_allocations);
	if (node->late)
		say(writer, FNX_TOP_ODD, "%s got %" PRIu64 " frames after their turn", node->name,
			node->late);
	if (node->bad)
		say(writer, FNX_TOP_ODD,
			"%s got %" PRIu64
			" frames of bad data: no numbers, or nothing that its rig "
			"knows",
			node->name, node->bad);
}

#define COLUMNS(columns) columns, sizeof(columns) / sizeof(columns[0])

int fnx_top_body(const struct fnx_top *top, unsigned sections, struct fnx_top_lines *ret_lines)
{
	const struct fnx_look *now = top->now;
	struct writer writer = {.top = top};

	for (unsigned i = 0; i < now->n_nodes; i++)
		complain(&writer, &now->nodes[i]);
	if (sections & FNX_TOP_NODES)
		write_table(&writer, COLUMNS(node_columns), now->nodes, now->n_nodes,
			sizeof(*now->nodes), node_style);
	if (sections & FNX_TOP_TOPICS)
		write_table(&writer, COLUMNS(topic_columns), now->topics, now->n_topics,
			sizeof(*now->topics), topic_style);
	if (sections & FNX_TOP_HOPS)
		write_table(&writer, COLUMNS(hop_columns), now->hops, now->n_hops,
			sizeof(*now->hops), hop_style);
	if (writer.failed) {
		free(writer.lines.at);
		return -ENOMEM;
	}
	*ret_lines = writer.lines;
	return 0;
}

void fnx_top_head(const struct fnx_top *top, char *line, size_t size)
{
	int64_t first = fnx_look_session_start(top->now), now = fnx_look_session_now(top->now);
	int64_t was = top->before ? fnx_look_session_now(top->before) : INT64_MIN;
	int used = snprintf(line, size, "bus %s: %u nodes, %u topics", top->bus->name,
		top->now->n_nodes, top->now->n_topics);
	double elapsed_s;

	if (first == INT64_MIN || now == INT64_MIN || (size_t)used >= size)
		return;
	used += snprintf(line + used, size - (size_t)used, ", session %.1f s",
		((double)now - (double)first) / top->clock_hz);
	if (was == INT64_MIN || was > now || (size_t)used >= size)
		return;
	elapsed_s = ((double)top->now->now_ns - (double)top->before->now_ns) / 1e9;
	snprintf(line + used, size - (size_t)used, ", %.2f x real time",
		((double)now - (double)was) / top->clock_hz / elapsed_s);
}
