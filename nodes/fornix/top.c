/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix top: what the nodes of a bus say about themselves, once a second. It looks at their status
 * pages and topics and asks nobody anything: a node does not notice that it is looked at. Pages are
 * found anew for every table, since a new run of the same name makes new ones.
 *
 * On a terminal it takes the other screen and gives it back, whatever ends it; into a file or a
 * pipe it writes one table after the other.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/locate.h"
#include "nodes/fornix/top.h"

enum {
	PERIOD_MS = 1000,
	HEAD_LINES = 2,
	FOOT_LINES = 1,
};

struct watch {
	struct fnx_locate locate;
	struct fnx_bus bus;
	double clock_hz;
	int once, json;
	struct fnx_look now, before;
	int has_before;
	int signal_fd;
	/* terminal */
	int is_terminal, has_keys;
	int columns, lines;
	struct termios usual;
	unsigned sections;
	int scroll, cumulative, paused, helps, quit;
	int bottom; /* the farthest it can be scrolled */
};

/* Options
 * --------------------------------------------------------------------------------------------- */

static int usage(void)
{
	printf("fornix top: shows the nodes and topics of a bus at work\n"
	       "\n"
	       "usage: fornix top [options]\n"
	       "\n"
	       "  --once             one table, then ends\n"
	       "  --json             an object a second, or with --once one, for scripts\n"
	       "  --clock-rate HZ    of the acquisition clock, for session times (default: "
	       "30000)\n" FNX_LOCATE_HELP "\n"
	       "keys: n nodes, t topics, h hops, a all of them; up, down, page up, page down; c "
	       "latencies since\n"
	       "the start; space holds still; ? help; q or Ctrl-C ends it\n"
	       "\n"
	       "Rates, percents and latencies are of the last second, in the first table since the "
	       "start; MAX and\n"
	       "PEAK since the start, always. Durations are in microseconds but for BEHIND (ms of "
	       "session time that\n"
	       "the source is ahead). A wider terminal shows more columns.\n"
	       "\n"
	       "  NODE   LAT: from a sample's arrival in this machine to the publishing of what "
	       "was made of it.\n"
	       "         TURN: spent on one frame. CPU%%, QUEUE%%: of one processor, on it and "
	       "waiting for it.\n"
	       "         DEPTH: frames waiting on its inputs. GAPS: times that frames were lost on "
	       "them, MISSED how\n"
	       "         many. DROPS: frames its outputs had no room for, or slow readers lost. "
	       "FULL: times it slept\n"
	       "         because readers were slow. ST: starts. HEAP: allocations after start-up, "
	       "which must be 0.\n"
	       "  TOPIC  USED of SLOTS: frames that readers have yet to give back; PINNED ones are "
	       "kept beyond their\n"
	       "         turn; PEAK: most that waited for a reader.\n"
	       "  HOP    HOP: from publishing to being taken by this reader. AGE: from the "
	       "sample's "
	       "arrival to then.\n"
	       "\n"
	       "Looking costs the nodes nothing.\n");
	return 0;
}

static int parse_clock(struct watch *watch, const char *text)
{
	char *end;

	watch->clock_hz = strtod(text, &end);
	if (end != text && !*end && isfinite(watch->clock_hz) && watch->clock_hz > 0)
		return 0;
	fprintf(stderr, "fornix top: --clock-rate: expected Hz, found %.60s\n", text);
	return -EINVAL;
}

static int parse(int argc, char **argv, struct watch *watch)
{
	const char *clock = "30000";
	const struct fnx_option options[] = {
		fnx_option_flag("once", &watch->once),
		fnx_option_flag("json", &watch->json),
		fnx_option_text("clock-rate", &clock),
		FNX_LOCATE_OPTIONS(&watch->locate),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix top", .options = options};
	int r = fnx_command_line_read(&line, argc, argv);

	return r ? r : parse_clock(watch, clock);
}

/* Terminal
 * -------------------------------------------------------------------------------------------- */

static void measure(struct watch *watch)
{
	struct winsize window;

	watch->columns = 80;
	watch->lines = 24;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) && window.ws_col && window.ws_row) {
		watch->columns = window.ws_col;
		watch->lines = window.ws_row;
	}
}

/* The other screen, without a cursor; keys come at once and are not shown. */
static void enter(struct watch *watch)
{
	struct termios keys;

	if (!watch->is_terminal)
		return;
	if (watch->has_keys) {
		keys = watch->usual;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		keys.c_cc[VMIN] = 0;
		keys.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	}
	fputs("\x1b[?1049h\x1b[?25l\x1b[2J", stdout);
	fflush(stdout);
}

static void leave(struct watch *watch)
{
	if (!watch->is_terminal)
		return;
	fputs("\x1b[?25h\x1b[?1049l", stdout);
	fflush(stdout);
	if (watch->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &watch->usual);
}

static void open_terminal(struct watch *watch)
{
	watch->is_terminal = isatty(STDOUT_FILENO) && !watch->once && !watch->json;
	/* In the background of a shell the keys are somebody else's. */
	watch->has_keys = watch->is_terminal && isatty(STDIN_FILENO) &&
		tcgetpgrp(STDIN_FILENO) == getpgrp() && !tcgetattr(STDIN_FILENO, &watch->usual);
	enter(watch);
}

/* Drawing
 * --------------------------------------------------------------------------------------------- */

/* Bytes of `text` that take at most `width` columns, one for each character of UTF-8. */
static int cut(const char *text, int width)
{
	int i = 0;

	for (; text[i]; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && width-- == 0)
			break;
	return i;
}

static void draw_line(const struct watch *watch, enum fnx_top_style style, const char *text)
{
	static const char *const begin[] = {[FNX_TOP_PLAIN] = "",
		[FNX_TOP_TITLE] = "\x1b[1;4m",
		[FNX_TOP_BAD] = "\x1b[1;31m",
		[FNX_TOP_ODD] = "\x1b[33m",
		[FNX_TOP_FAINT] = "\x1b[2m"};

	printf("%s%.*s\x1b[0m\x1b[K\r\n", begin[style], cut(text, watch->columns), text);
}

static void draw_foot(const struct watch *watch, int n_below)
{
	char text[FNX_TOP_LINE];
	int used = 0;

	if (n_below > 0)
		used = snprintf(text, sizeof(text), "%d more below  ", n_below);
	snprintf(text + used, sizeof(text) - (size_t)used,
		"%sn t h a: tables  %sc: %s  ?: help  q: end", watch->paused ? "held still  " : "",
		n_below > 0 || watch->scroll ? "up down  " : "",
		watch->cumulative ? "last second" : "since start");
	printf("\x1b[7m%-*.*s\x1b[0m", watch->columns, cut(text, watch->columns), text);
}

static void draw_help(const struct watch *watch)
{
	static const char *const lines[] = {"n t h a     nodes, topics, hops, or all of them",
		"up down     scroll; page up, page down by pages (also k, j)",
		"c           latencies of the last second, or since the start",
		"space       holds still", "q, Ctrl-C   ends it", "",
		"LAT   a sample's arrival in this machine to the publishing of its result, us",
		"HOP   publishing to being taken by this reader, us",
		"AGE   a sample's arrival to being taken by this reader, us",
		"DEPTH frames waiting now; PEAK the most that ever did",
		"USED  slots that readers have yet to give back, of SLOTS",
		"BEHIND ms of session time that the source is ahead", "",
		"`fornix top --help` tells of every column. Any key goes back."};

	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		draw_line(watch, FNX_TOP_PLAIN, lines[i]);
}

static void draw_body(struct watch *watch, const struct fnx_top_lines *lines)
{
	int room = watch->lines - HEAD_LINES - FOOT_LINES, n = (int)lines->n;

	if (room < 1)
		room = 1;
	watch->bottom = n > room ? n - room : 0;
	if (watch->scroll > watch->bottom)
		watch->scroll = watch->bottom;
	for (int i = watch->scroll; i < n && i < watch->scroll + room; i++)
		draw_line(watch, lines->at[i].style, lines->at[i].text);
	printf("\x1b[J\x1b[%d;1H", watch->lines);
	draw_foot(watch, n - watch->scroll - room);
}

static void draw(struct watch *watch, const struct fnx_top *top, const struct fnx_top_lines *lines)
{
	char head[FNX_TOP_LINE];

	fnx_top_head(top, head, sizeof(head));
	/* What is overwritten does not flicker. */
	fputs("\x1b[H", stdout);
	draw_line(watch, FNX_TOP_PLAIN, head);
	draw_line(watch, FNX_TOP_PLAIN, "");
	if (watch->helps) {
		draw_help(watch);
		fputs("\x1b[J", stdout);
	} else {
		draw_body(watch, lines);
	}
}

static void print(const struct fnx_top *top, const struct fnx_top_lines *lines)
{
	char head[FNX_TOP_LINE];

	fnx_top_head(top, head, sizeof(head));
	printf("%s  (%s)\n\n", head, top->bus->segment_dir);
	for (unsigned i = 0; i < lines->n; i++)
		printf("%s\n", lines->at[i].text);
}

static void print_json(const struct watch *watch, const struct fnx_top *top)
{
	json_t *object = fnx_top_json(top);

	json_dumpf(object, stdout, watch->once ? JSON_INDENT(2) : JSON_COMPACT);
	printf("\n");
	json_decref(object);
}

static int show(struct watch *watch)
{
	struct fnx_top top = {.bus = &watch->bus,
		.now = &watch->now,
		.before = watch->has_before ? &watch->before : NULL,
		.clock_hz = watch->clock_hz,
		.cumulative = watch->cumulative};
	struct fnx_top_lines lines;

	if (watch->is_terminal) {
		measure(watch);
		top.width = watch->columns;
	}
	if (watch->json) {
		print_json(watch, &top);
	} else {
		if (fnx_top_body(&top, watch->sections, &lines))
			return -ENOMEM;
		if (watch->is_terminal)
			draw(watch, &top, &lines);
		else
			print(&top, &lines);
		free(lines.at);
		if (!watch->is_terminal && !watch->once)
			putchar('\n');
	}
	fflush(stdout);
	return ferror(stdout) ? -EPIPE : 0;
}

/* Keys
 * ------------------------------------------------------------------------------------------------
 */

static void press(struct watch *watch, char key)
{
	static const struct {
		char key;
		unsigned sections;
	} tables[] = {{'n', FNX_TOP_NODES}, {'t', FNX_TOP_TOPICS}, {'h', FNX_TOP_HOPS},
		{'a', FNX_TOP_ALL}};

	if (watch->helps) {
		watch->helps = 0;
		watch->quit = key == 'q';
		return;
	}
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i].key == key) {
			watch->sections = tables[i].sections;
			watch->scroll = 0;
		}
	watch->quit |= key == 'q' || key == 'Q';
	watch->helps = key == '?';
	watch->cumulative ^= key == 'c';
	watch->paused ^= key == ' ';
	if (key == 'j' && watch->scroll < watch->bottom)
		watch->scroll++;
	if (key == 'k' && watch->scroll > 0)
		watch->scroll--;
}

static void scroll_page(struct watch *watch, int direction)
{
	int page = watch->lines - HEAD_LINES - FOOT_LINES - 1;

	watch->scroll += direction * (page > 1 ? page : 1);
	if (watch->scroll > watch->bottom)
		watch->scroll = watch->bottom;
	if (watch->scroll < 0)
		watch->scroll = 0;
}

/* Cursor keys come as ESC [ A, or ESC [ 5 ~. */
static void read_keys(struct watch *watch)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0) {
		watch->has_keys = 0;
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (keys[i] != '\x1b' || i + 2 >= n || (keys[i + 1] != '[' && keys[i + 1] != 'O')) {
			press(watch, keys[i]);
			continue;
		}
		i += 2;
		if (keys[i] == 'A' || keys[i] == 'B')
			press(watch, keys[i] == 'A' ? 'k' : 'j');
		if (keys[i] == '5' || keys[i] == '6')
			scroll_page(watch, keys[i] == '5' ? -1 : 1);
		while (keys[i] >= '0' && keys[i] <= '9' && i + 1 < n)
			i++;
	}
}

/* Time
 * ------------------------------------------------------------------------------------------------
 */

static int catch_signals(struct watch *watch)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -errno;
	watch->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return watch->signal_fd < 0 ? -errno : 0;
}

static void read_signals(struct watch *watch)
{
	struct signalfd_siginfo info;

	while (read(watch->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTSTP) {
			leave(watch);
			raise(SIGSTOP);
			enter(watch);
		} else if (info.ssi_signo != SIGWINCH && info.ssi_signo != SIGCONT) {
			watch->quit = 1;
		}
	}
}

/* Until the next look is due, or a key asks for another picture. */
static int await(struct watch *watch, int64_t due_ns)
{
	while (!watch->quit) {
		struct pollfd fds[2] = {{.fd = watch->signal_fd, .events = POLLIN},
			{.fd = watch->has_keys ? STDIN_FILENO : -1, .events = POLLIN}};
		int64_t left_ns = due_ns - fnx_node_now();

		if (left_ns <= 0)
			return 0;
		if (poll(fds, 2, (int)((left_ns + 999999) / 1000000)) <= 0)
			continue;
		if (fds[0].revents)
			read_signals(watch);
		if (fds[1].revents)
			read_keys(watch);
		if (watch->is_terminal && !watch->quit && show(watch))
			return -EPIPE;
	}
	return 0;
}

/* 1: the bus has gone. */
static int look(struct watch *watch)
{
	struct fnx_look now;
	int r;

	if (watch->paused)
		return 0;
	r = fnx_look_at(&watch->bus, &now);
	if (r)
		return r;
	if (!now.n_nodes && access(watch->bus.segment_dir, F_OK)) {
		fnx_look_free(&now);
		return 1;
	}
	fnx_look_free(&watch->before);
	watch->before = watch->now;
	watch->has_before = watch->before.now_ns != 0;
	watch->now = now;
	return 0;
}

static int turn(struct watch *watch)
{
	int r = 0;

	while (!r && !watch->quit) {
		int64_t due_ns = fnx_node_now() + PERIOD_MS * INT64_C(1000000);

		r = look(watch);
		if (!r)
			r = show(watch);
		if (watch->once)
			break;
		if (!r)
			r = await(watch, due_ns);
	}
	return r;
}

int fnx_command_top(int argc, char **argv)
{
	struct watch watch = {.signal_fd = -1, .sections = FNX_TOP_ALL};
	int r = parse(argc, argv, &watch);

	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_locate_bus("fornix top", &watch.locate, &watch.bus);
	if (r)
		return r;
	r = catch_signals(&watch);
	if (r) {
		fprintf(stderr, "fornix top: cannot wait for signals: %s\n", strerror(-r));
		return 1;
	}
	open_terminal(&watch);
	r = turn(&watch);
	leave(&watch);
	if (r == 1 && !watch.json)
		printf("bus %s has ended\n", watch.bus.name);
	if (r == -ENOMEM)
		fprintf(stderr, "fornix top: out of memory\n");
	close(watch.signal_fd);
	fnx_look_free(&watch.now);
	fnx_look_free(&watch.before);
	return r == -ENOMEM;
}
