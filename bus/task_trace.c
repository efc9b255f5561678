/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trace is a ring of events in the runtime's memory: anybody may read it at any time, also
 * after its owner has died. An event is written like a frame of a topic: seq = 0, fields, seq
 * [release]. Who reads copies it and looks at seq once more.
 *
 * The JSON is the trace event format that Perfetto and chrome://tracing read: a slice on the row of
 * its worker for each part that ran, and for each task a track of its own with one slice for each
 * state.
 */
#include <errno.h>
#include <inttypes.h>

#include "bus/task_runtime.h"

void fnx_task_trace(
	struct fnx_task_self *self, uint64_t task, unsigned what, uint32_t kernel, unsigned row)
{
	struct fnx_task_runtime *rt = self->rt;
	uint64_t seq = atomic_fetch_add_explicit(&rt->header->trace_next, 1, memory_order_relaxed);
	struct fnx_task_event *event = &rt->trace[seq & rt->trace_mask];

	atomic_store_explicit(&event->seq_plus_1, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&event->time_ns, fnx_task_now_ns(), memory_order_relaxed);
	atomic_store_explicit(&event->task, task, memory_order_relaxed);
	atomic_store_explicit(&event->what, (uint16_t)what, memory_order_relaxed);
	atomic_store_explicit(&event->worker, (uint16_t)row, memory_order_relaxed);
	atomic_store_explicit(&event->kernel, kernel, memory_order_relaxed);
	atomic_store_explicit(&event->seq_plus_1, seq + 1, memory_order_release);
}

struct event {
	int64_t time_ns;
	uint64_t task;
	unsigned what, row;
	uint32_t kernel;
};

/* 1: it is whole, and that of `seq`. */
static int read_event(const struct fnx_task_event *shared, uint64_t seq, struct event *ret_event)
{
	if (atomic_load_explicit(&shared->seq_plus_1, memory_order_acquire) != seq + 1)
		return 0;
	ret_event->time_ns = atomic_load_explicit(&shared->time_ns, memory_order_relaxed);
	ret_event->task = atomic_load_explicit(&shared->task, memory_order_relaxed);
	ret_event->what = atomic_load_explicit(&shared->what, memory_order_relaxed);
	ret_event->row = atomic_load_explicit(&shared->worker, memory_order_relaxed);
	ret_event->kernel = atomic_load_explicit(&shared->kernel, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&shared->seq_plus_1, memory_order_relaxed) == seq + 1;
}

struct writer {
	const struct fnx_task_header *header; /* a copy: names are whole */
	FILE *out;
	const char *separator;
	uint64_t rows[4]; /* mask of those seen */
};

static void begin(struct writer *w, const struct event *event, char phase)
{
	fprintf(w->out, "%s\n{\"ph\":\"%c\",\"pid\":1,\"ts\":%" PRId64 ".%03d", w->separator, phase,
		event->time_ns / 1000, (int)(event->time_ns % 1000));
	w->separator = ",";
}

/* Names are letters, digits, '_', '-' and '.', so that nothing needs escaping; what is not is not
 * ours to print. */
static const char *kernel_name(const struct writer *w, uint32_t kernel)
{
	if (kernel >= w->header->n_kernels || !fnx_name_valid(w->header->kernels[kernel].name))
		return "?";
	return w->header->kernels[kernel].name;
}

static void write_part(struct writer *w, const struct event *event)
{
	begin(w, event, event->what == FNX_TRACE_BEGIN ? 'B' : 'E');
	fprintf(w->out,
		",\"tid\":%u,\"name\":\"%s\",\"cat\":\"part\",\"args\":{\"task\":%" PRIu64 "}}",
		event->row, kernel_name(w, event->kernel), event->task);
	if (event->row < 256)
		w->rows[event->row / 64] |= UINT64_C(1) << event->row % 64;
}

static void write_state(struct writer *w, const struct event *event)
{
	/* One state ends where the next begins. */
	for (unsigned step = 0; step < 2; step++) {
		unsigned state = event->what - 1 + step;

		if (state < FNX_TASK_PENDING || (step && state == FNX_TASK_CONSUMED))
			continue;
		begin(w, event, step ? 'b' : 'e');
		fprintf(w->out,
			",\"tid\":0,\"cat\":\"task\",\"id\":\"%" PRIu64 "\",\"name\":\"%s\"}",
			event->task, fnx_task_state_name((enum fnx_task_state)state));
	}
}

static void write_rows(struct writer *w)
{
	for (unsigned row = 0; row < 256; row++) {
		if (!(w->rows[row / 64] >> row % 64 & 1))
			continue;
		fprintf(w->out, "%s\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\",",
			w->separator, row);
		w->separator = ",";
		if (row < FNX_TRACE_ROW_THREADS)
			fprintf(w->out, "\"args\":{\"name\":\"%s\"}}",
				row ? "steward" : "submitter");
		else if (row < FNX_TRACE_ROW_PROCESSES)
			fprintf(w->out, "\"args\":{\"name\":\"thread %u\"}}",
				row - FNX_TRACE_ROW_THREADS);
		else
			fprintf(w->out, "\"args\":{\"name\":\"process %u\"}}",
				row - FNX_TRACE_ROW_PROCESSES);
	}
}

static int export(const struct fnx_task_header *copy, const unsigned char *base, FILE *out,
	struct fnx_task_trace_stats *ret_stats)
{
	const struct fnx_task_header *shared = (const void *)base;
	const struct fnx_task_event *events = (const void *)(base + copy->trace_offset);
	struct writer w = {.header = copy, .out = out, .separator = ""};
	struct fnx_task_trace_stats stats = {0};
	uint64_t end = atomic_load_explicit(&shared->trace_next, memory_order_acquire);
	uint64_t seq = end > copy->n_traced ? end - copy->n_traced : 0;
	struct event event;

	if (!copy->n_traced)
		return -ENODATA;
	stats.n_lost = seq;
	fprintf(out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	for (; seq < end; seq++) {
		if (!read_event(&events[seq & (copy->n_traced - 1)], seq, &event)) {
			stats.n_lost++;
			continue;
		}
		stats.n_written++;
		if (event.what >= FNX_TRACE_BEGIN)
			write_part(&w, &event);
		else
			write_state(&w, &event);
	}
	write_rows(&w);
	fprintf(out, "\n]}\n");
	if (fflush(out) || ferror(out))
		return -EIO;
	if (ret_stats)
		*ret_stats = stats;
	return 0;
}

int fnx_task_trace_export(
	const struct fnx_task_runtime *rt, FILE *out, struct fnx_task_trace_stats *ret_stats)
{
	return export(rt->header, rt->base, out, ret_stats);
}

int fnx_task_trace_export_file(const struct fnx_bus *bus, const char *name, FILE *out,
	struct fnx_task_trace_stats *ret_stats)
{
	struct fnx_task_mapping map;
	int r = fnx_task_map_open(bus, name, 0, &map);

	if (r)
		return r;
	r = export(&map.header, map.base, out, ret_stats);
	fnx_task_map_close(&map);
	return r;
}
