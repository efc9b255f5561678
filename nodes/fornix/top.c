/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix top: what the nodes of a bus say about themselves, once a second. It maps their status
 * pages for the moment of looking and asks nobody anything: a node does not notice that it is
 * looked at. Pages are found anew for every table, since a new run of the same name makes new ones.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "bus/presence.h"
#include "bus/status.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/locate.h"

enum {
	PERIOD_MS = 1000,
	NODES_MAX = 256,
	TOPICS_MAX = 512,
	LINE_SIZE = 512,
};

/* What is known of a node at one look. */
struct look {
	char name[FNX_NAME_MAX];
	int alive;
	uint32_t state, starts;
	int32_t pid;
	uint32_t n_inputs, n_outputs;
	int64_t first_sample_time, sample_time, started_ns, ended_ns;
	uint64_t wakes, missed_wakes, heap_allocations;
	uint64_t in, out, gaps, missed, late, drops;
	uint64_t latency_p50_ns, latency_p99_ns, latency_max_ns, turn_p99_ns;
	double cpu_s; /* used so far; NAN unknown */
	int shares_process;
	char text[FNX_STATUS_TEXT_MAX];
};

struct topic_look {
	char name[FNX_NAME_MAX], publisher[FNX_NAME_MAX];
	uint64_t frames, dropped;
	uint32_t starts; /* of its publisher, and when that was */
	int64_t started_ns, ended_ns;
	int alive;
};

struct snapshot {
	int64_t now_ns;
	unsigned n_nodes, n_topics;
	struct look nodes[NODES_MAX];
	struct topic_look topics[TOPICS_MAX];
};

struct top {
	struct fnx_locate locate;
	struct fnx_bus bus;
	double clock_hz;
	int once, is_terminal, columns;
	struct snapshot now, before;
	int has_before;
	int signal_fd;
};

/* Options
 * --------------------------------------------------------------------------------------------- */

static void usage(void)
{
	printf("fornix top: shows the nodes and topics of a bus at work\n"
	       "\n"
	       "usage: fornix top [options]\n"
	       "\n"
	       "  --once             one table, then ends\n"
	       "  --clock-rate HZ    of the acquisition clock, for the column SESSION (default: "
	       "30000)\n" FNX_LOCATE_HELP "\n"
	       "Rates are of the last second; in the first table, since the node's start. "
	       "Durations are in\n"
	       "microseconds: LATENCY from a sample's arrival in this machine to the publishing of "
	       "what the node\n"
	       "made of it, TURN99 spent on one frame. Of what is lost, GAPS counts the times and "
	       "MISSED the frames\n"
	       "on a node's inputs, DROPS the frames that its outputs had no room for, or slow "
	       "readers lost. HEAP\n"
	       "counts allocations after start-up and must be 0. CPU%% is the process's; * where "
	       "that is several\n"
	       "nodes. Ctrl-C ends it. Looking costs the nodes nothing.\n");
}

/* 0: go on; -1: helped; 2: wrong use. */
static int parse(int argc, char **argv, struct top *top)
{
	static const struct option table[] = {
		FNX_LOCATE_OPTIONS,
		{"once", no_argument, NULL, 'o'},
		{"clock-rate", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;
	char *end;

	optind = 0;
	top->clock_hz = 30000;
	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h') {
			usage();
			return -1;
		} else if (option == 'o') {
			top->once = 1;
		} else if (option == 'c') {
			top->clock_hz = strtod(optarg, &end);
			if (*end || !(top->clock_hz > 0 && top->clock_hz <= 1e9)) {
				fprintf(stderr, "fornix top: --clock-rate: expected Hz, found %s\n",
					optarg);
				return 2;
			}
		} else if (!fnx_locate_option(&top->locate, option, optarg)) {
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "fornix top: unexpected argument %s; --help tells more\n",
			argv[optind]);
		return 2;
	}
	return 0;
}

/* Looking
 * --------------------------------------------------------------------------------------------- */

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Processor time of a process so far, s; NAN: no such process. */
static double cpu_seconds(int32_t pid)
{
	char path[64], text[1024];
	unsigned long user, system;
	const char *behind_name;
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return NAN;
	size = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[size] = 0;
	behind_name = strrchr(text, ')'); /* names may hold anything */
	if (!behind_name ||
		sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			&user, &system) != 2)
		return NAN;
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Whoever may write to the directory may write nonsense: texts are bounded, and printable. */
static void copy_text(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
	to[n] = 0;
}

static uint32_t bounded(uint32_t n)
{
	return n < FNX_STATUS_TOPICS_MAX ? n : FNX_STATUS_TOPICS_MAX;
}

static void look_at_topics(
	struct snapshot *snapshot, struct look *node, const struct fnx_status *status)
{
	node->n_inputs = bounded(atomic_load(&status->n_inputs));
	node->n_outputs = bounded(atomic_load(&status->n_outputs));
	for (uint32_t i = 0; i < node->n_inputs; i++) {
		node->in += load(&status->inputs[i].frames);
		node->gaps += load(&status->inputs[i].gaps);
		node->missed += load(&status->inputs[i].missed);
		node->late += load(&status->inputs[i].late);
	}
	for (uint32_t i = 0; i < node->n_outputs; i++) {
		const struct fnx_status_topic *output = &status->outputs[i];
		uint64_t dropped = load(&output->dropped) + load(&output->lapped);

		node->out += load(&output->frames);
		node->drops += dropped;
		if (snapshot->n_topics == TOPICS_MAX)
			continue;
		struct topic_look *topic = &snapshot->topics[snapshot->n_topics++];

		*topic = (struct topic_look){.frames = load(&output->frames),
			.dropped = dropped,
			.starts = node->starts,
			.started_ns = node->started_ns,
			.ended_ns = node->ended_ns,
			.alive = node->alive};
		copy_text(topic->name, output->name, sizeof(topic->name));
		memcpy(topic->publisher, node->name, sizeof(topic->publisher));
	}
}

static void look_at(struct snapshot *snapshot, const struct fnx_bus *bus, const char *name)
{
	struct look *node = &snapshot->nodes[snapshot->n_nodes];
	const struct fnx_status *status;

	if (fnx_status_open(bus, name, &status))
		return;
	snapshot->n_nodes++;
	*node = (struct look){.alive = fnx_presence_check(bus, name) > 0,
		.state = atomic_load(&status->state),
		.starts = atomic_load(&status->starts),
		.pid = atomic_load(&status->pid),
		.first_sample_time = atomic_load(&status->first_sample_time),
		.sample_time = atomic_load(&status->sample_time),
		.started_ns = atomic_load(&status->started_ns),
		.ended_ns = atomic_load(&status->ended_ns),
		.wakes = load(&status->wakes),
		.missed_wakes = load(&status->missed_wakes),
		.heap_allocations = load(&status->heap_allocations),
		.latency_p50_ns = fnx_histogram_quantile(&status->latency, 0.5),
		.latency_p99_ns = fnx_histogram_quantile(&status->latency, 0.99),
		.latency_max_ns = load(&status->latency.max_ns),
		.turn_p99_ns = fnx_histogram_quantile(&status->turn, 0.99)};
	snprintf(node->name, sizeof(node->name), "%s", name);
	copy_text(node->text, status->text, sizeof(node->text));
	look_at_topics(snapshot, node, status);
	fnx_status_close(status);
	node->cpu_s = node->alive ? cpu_seconds(node->pid) : (double)NAN;
}

/* Sources first, then by name, as the names already are. */
static int sources_first(const void *a, const void *b)
{
	const struct look *x = a, *y = b;

	if (!x->n_inputs != !y->n_inputs)
		return x->n_inputs ? 1 : -1;
	return strcmp(x->name, y->name);
}

static int look_around(struct top *top)
{
	struct snapshot *now = &top->now;
	struct fnx_names names;

	now->n_nodes = now->n_topics = 0;
	now->now_ns = fnx_node_now();
	if (fnx_names_find(&names, top->bus.segment_dir, "", FNX_NODE_SUFFIX))
		return -ENOMEM;
	for (unsigned i = 0; i < names.n && now->n_nodes < NODES_MAX; i++)
		look_at(now, &top->bus, names.at[i]);
	fnx_names_free(&names);
	qsort(now->nodes, now->n_nodes, sizeof(now->nodes[0]), sources_first);
	for (unsigned i = 0; i < now->n_nodes; i++)
		for (unsigned k = 0; k < now->n_nodes; k++)
			if (i != k && now->nodes[i].alive && now->nodes[k].alive &&
				now->nodes[i].pid == now->nodes[k].pid)
				now->nodes[i].shares_process = 1;
	return 0;
}

static const struct look *node_before(const struct top *top, const struct look *node)
{
	for (unsigned i = 0; top->has_before && i < top->before.n_nodes; i++)
		if (!strcmp(top->before.nodes[i].name, node->name) &&
			top->before.nodes[i].started_ns == node->started_ns)
			return &top->before.nodes[i];
	return NULL;
}

static const struct topic_look *topic_before(const struct top *top, const struct topic_look *topic)
{
	for (unsigned i = 0; top->has_before && i < top->before.n_topics; i++)
		if (!strcmp(top->before.topics[i].name, topic->name) &&
			top->before.topics[i].started_ns == topic->started_ns)
			return &top->before.topics[i];
	return NULL;
}

/* Per second: since the look before, else since the start. NAN: nobody can tell. */
static double rate(const struct top *top, uint64_t count, const uint64_t *before,
	int64_t started_ns, int64_t ended_ns)
{
	int64_t until_ns = top->now.now_ns, since_ns = started_ns;

	if (before)
		since_ns = top->before.now_ns;
	else if (ended_ns > started_ns)
		until_ns = ended_ns;
	if (until_ns <= since_ns || !since_ns || (before && count < *before))
		return NAN;
	return (double)(count - (before ? *before : 0)) /
		(((double)until_ns - (double)since_ns) / 1e9);
}

/* Printing
 * -------------------------------------------------------------------------------------------- */

/* Cuts lines to the terminal's width, so that the table stays where it is. */
static void print_line(const struct top *top, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void print_line(const struct top *top, const char *format, ...)
{
	char line[LINE_SIZE];
	size_t size;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (top->is_terminal && top->columns > 0 && strlen(line) > (size_t)top->columns)
		line[top->columns] = 0;
	for (size = strlen(line); size && line[size - 1] == ' '; size--)
		line[size - 1] = 0;
	fputs(line, stdout);
	fputs(top->is_terminal ? "\x1b[K\n" : "\n", stdout);
}

/* At most 6 characters: 12345, 12.3k, 1.23M. */
static const char *short_number(char buffer[16], double value)
{
	static const struct {
		double unit;
		char letter;
	} units[] = {{1e12, 'T'}, {1e9, 'G'}, {1e6, 'M'}, {1e3, 'k'}};

	if (isnan(value))
		return "-";
	for (unsigned i = 0; value >= 1e5 && i < 4; i++)
		if (value >= units[i].unit) {
			double scaled = value / units[i].unit;

			snprintf(buffer, 16, "%.*f%c",
				scaled < 10            ? 2
					: scaled < 100 ? 1
						       : 0,
				scaled, units[i].letter);
			return buffer;
		}
	snprintf(buffer, 16, "%.0f", value);
	return buffer;
}

static const char *short_us(char buffer[16], uint64_t ns)
{
	if (!ns)
		return "-";
	if (ns >= 100000000)
		return short_number(buffer, (double)ns / 1e3);
	snprintf(buffer, 16, "%.*f", ns < 1000000 ? 1 : 0, (double)ns / 1e3);
	return buffer;
}

static int has_died(const struct look *node)
{
	return !node->alive && node->state >= FNX_NODE_STARTING && node->state <= FNX_NODE_ENDED;
}

static const char *state_name(const struct look *node)
{
	static const char *const names[] = {[FNX_NODE_STARTING] = "starting",
		[FNX_NODE_READY] = "ready",
		[FNX_NODE_RUNNING] = "running",
		[FNX_NODE_ENDED] = "ended",
		[FNX_NODE_STOPPED] = "stopped",
		[FNX_NODE_FAILED] = "FAILED"};

	if (has_died(node))
		return "DEAD";
	return node->state >= FNX_NODE_STARTING && node->state <= FNX_NODE_FAILED
		? names[node->state]
		: "?";
}

static int64_t session_start(const struct snapshot *snapshot)
{
	int64_t first = INT64_MIN;

	for (unsigned i = 0; i < snapshot->n_nodes; i++)
		if (!snapshot->nodes[i].n_inputs &&
			snapshot->nodes[i].first_sample_time != INT64_MIN)
			first = snapshot->nodes[i].first_sample_time;
	return first;
}

static const char *session_time(const struct top *top, const struct look *node, char buffer[32])
{
	int64_t first = session_start(&top->now);

	if (first == INT64_MIN || (!node->in && !node->out))
		return "-";
	snprintf(buffer, 32, "%.1fs", ((double)node->sample_time - (double)first) / top->clock_hz);
	return buffer;
}

/* Of the process: since the look before, else since the node's start. */
static const char *cpu_percent(const struct top *top, const struct look *node, char buffer[16])
{
	const struct look *before = node_before(top, node);
	double since_s = before ? before->cpu_s : 0;
	int64_t since_ns = before ? top->before.now_ns : node->started_ns;
	double elapsed_s = ((double)top->now.now_ns - (double)since_ns) / 1e9;

	if (isnan(node->cpu_s) || isnan(since_s) || !since_ns || elapsed_s <= 0)
		return "-";
	snprintf(buffer, 16, "%.0f%s", 100 * fmax(node->cpu_s - since_s, 0) / elapsed_s,
		node->shares_process ? "*" : "");
	return buffer;
}

static void print_node(const struct top *top, const struct look *node)
{
	const struct look *before = node_before(top, node);
	char session[32], text[14][16];

	print_line(top,
		"%-14.20s %-8s %7d %3u %9s %5s %6s %6s %6s %6s %6s %5s %6s %6s %8s %8s %8s %8s %5s",
		node->name, state_name(node), node->alive ? node->pid : 0, node->starts,
		session_time(top, node, session), cpu_percent(top, node, text[0]),
		short_number(text[1], (double)node->wakes), short_number(text[2], (double)node->in),
		short_number(text[3],
			rate(top, node->in, before ? &before->in : NULL, node->started_ns,
				node->ended_ns)),
		short_number(text[4], (double)node->out),
		short_number(text[5],
			rate(top, node->out, before ? &before->out : NULL,
				node->starts > 1 ? 0 : node->started_ns, node->ended_ns)),
		short_number(text[6], (double)node->gaps),
		short_number(text[7], (double)node->missed),
		short_number(text[8], (double)node->drops), short_us(text[9], node->latency_p50_ns),
		short_us(text[10], node->latency_p99_ns), short_us(text[11], node->latency_max_ns),
		short_us(text[12], node->turn_p99_ns),
		short_number(text[13], (double)node->heap_allocations));
}

static void print_topic(const struct top *top, const struct topic_look *topic)
{
	const struct topic_look *before = topic_before(top, topic);
	char text[2][16];

	/* What predecessors of a restarted publisher published counts, too: no mean since its
	 * start. */
	print_line(top, "%-24.40s %12" PRIu64 " %9s %9s  %s%s", topic->name, topic->frames,
		short_number(text[0],
			rate(top, topic->frames, before ? &before->frames : NULL,
				topic->starts > 1 ? 0 : topic->started_ns, topic->ended_ns)),
		short_number(text[1], (double)topic->dropped), topic->publisher,
		topic->alive ? "" : " (not running)");
}

/* What wants a word beside its number. */
static void print_complaint(const struct top *top, const struct look *node)
{
	if (has_died(node))
		print_line(top, "%s is dead (process %d)%s%s", node->name, node->pid,
			node->text[0] ? ": " : "", node->text);
	else if (node->state == FNX_NODE_FAILED)
		print_line(top, "%s has failed: %s", node->name, node->text);
	if (node->missed_wakes)
		print_line(top, "%s overslept %" PRIu64 " times: a bell did not ring", node->name,
			node->missed_wakes);
	if (node->heap_allocations)
		print_line(top, "%s allocated memory %" PRIu64 " times while it ran", node->name,
			node->heap_allocations);
	if (node->late)
		print_line(
			top, "%s got %" PRIu64 " frames after their turn", node->name, node->late);
}

static void print_table(const struct top *top)
{
	const struct snapshot *now = &top->now;

	print_line(top, "bus %s: %u nodes, %u topics  (%s)", top->bus.name, now->n_nodes,
		now->n_topics, top->bus.segment_dir);
	print_line(top, "%s", "");
	print_line(top,
		"%-14s %-8s %7s %3s %9s %5s %6s %6s %6s %6s %6s %5s %6s %6s %8s %8s %8s %8s %5s",
		"NODE", "STATE", "PID", "ST", "SESSION", "CPU%", "WAKES", "IN", "IN/s", "OUT",
		"OUT/s", "GAPS", "MISSED", "DROPS", "LAT50", "LAT99", "LATMAX", "TURN99", "HEAP");
	for (unsigned i = 0; i < now->n_nodes; i++)
		print_node(top, &now->nodes[i]);
	print_line(top, "%s", "");
	print_line(
		top, "%-24s %12s %9s %9s  %s", "TOPIC", "FRAMES", "RATE/s", "DROPS", "PUBLISHER");
	for (unsigned i = 0; i < now->n_topics; i++)
		print_topic(top, &now->topics[i]);
	print_line(top, "%s", "");
	for (unsigned i = 0; i < now->n_nodes; i++)
		print_complaint(top, &now->nodes[i]);
}

static void draw(struct top *top)
{
	struct winsize window;

	if (top->is_terminal) {
		top->columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) ? 0 : window.ws_col;
		/* Home; what is overwritten does not flicker. */
		fputs(top->has_before ? "\x1b[H" : "\x1b[H\x1b[2J", stdout);
	}
	print_table(top);
	if (top->is_terminal)
		fputs("\x1b[J", stdout);
	fflush(stdout);
}

/* Time
 * ------------------------------------------------------------------------------------------------
 */

static int catch_signals(struct top *top)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -errno;
	top->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return top->signal_fd < 0 ? -errno : 0;
}

static int watch(struct top *top)
{
	struct pollfd fd = {.fd = top->signal_fd, .events = POLLIN};

	do {
		if (look_around(top)) {
			fprintf(stderr, "fornix top: out of memory\n");
			return 1;
		}
		if (!top->now.n_nodes && access(top->bus.segment_dir, F_OK)) {
			printf("bus %s has ended\n", top->bus.name);
			return 0;
		}
		draw(top);
		if (!top->is_terminal && !top->once)
			putchar('\n');
		top->before = top->now;
		top->has_before = 1;
	} while (!top->once && !ferror(stdout) && poll(&fd, 1, PERIOD_MS) == 0);
	return 0;
}

int fnx_command_top(int argc, char **argv)
{
	struct top *top = calloc(1, sizeof(*top));
	int r;

	if (!top)
		return 1;
	top->signal_fd = -1;
	r = parse(argc, argv, top);
	if (!r)
		r = fnx_locate_bus("fornix top", &top->locate, &top->bus);
	if (!r && (r = catch_signals(top)) < 0) {
		fprintf(stderr, "fornix top: cannot wait for signals: %s\n", strerror(-r));
		r = 1;
	}
	if (!r) {
		top->is_terminal = isatty(STDOUT_FILENO) && !top->once;
		r = watch(top);
	}
	if (top->signal_fd >= 0)
		close(top->signal_fd);
	free(top);
	return r < 0 ? 0 : r;
}
