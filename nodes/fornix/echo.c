/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix echo: a lossy reader of one topic that prints what it reads. The publisher never waits for
 * it; what it missed, it says. It is a node like any other while it runs (a name, a bell), and
 * takes both away when it leaves.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bus/bell.h"
#include "bus/presence.h"
#include "bus/topic.h"
#include "nodes/fornix/command.h"
#include "nodes/fornix/locate.h"
#include "schemas/codec.h"

enum {
	FEW_ITEMS = 8,
	FIRST_LINE_SIZE = 4096,
	/* A publisher that was killed rings no bell: look now and then. */
	LOOK_MS = 1000,
	PATIENCE = 64, /* frames, of who does not mind seeing them later */
	BATCH = 64, /* frames between two looks for Ctrl-C */
};

struct echo {
	struct fnx_locate locate;
	const char *topic;
	uint64_t left; /* frames yet to print */
	int all_items, only_new, stamps, patient;
	struct fnx_bus bus;
	char name[FNX_NAME_MAX];
	struct fnx_presence presence;
	struct fnx_bell *bell;
	struct fnx_subscriber *sub;
	struct fnx_description *description;
	int signal_fd;
	int told_dead;
	char *line;
	size_t line_size;
};

enum {
	EMPTY = 0,
	MORE,
	ENDED
};

/* Options
 * --------------------------------------------------------------------------------------------- */

static int usage(void)
{
	printf("fornix echo: prints the frames of a topic\n"
	       "\n"
	       "usage: fornix echo TOPIC [options]\n"
	       "\n"
	       "  --count N          ends after N frames\n"
	       "  --new              only frames that are yet to come; without it begins with the "
	       "oldest that is\n"
	       "                     still in memory\n"
	       "  --all              all values of an array, not only the first\n"
	       "  --stamps           also the moments of arrival and of publishing, in ns of this "
	       "machine's clock\n"
	       "  --patient          reads many frames at a time, and so hardly disturbs who "
	       "publishes them\n" FNX_LOCATE_HELP "\n"
	       "Ends with the topic, or on Ctrl-C. Nobody waits for it: frames that it was too "
	       "slow for are told\n"
	       "as lost. `latency` is from the sample's arrival in this machine to the frame's "
	       "publishing.\n");
	return 0;
}

static int parse(int argc, char **argv, struct echo *echo)
{
	const struct fnx_option options[] = {
		fnx_option_count("count", 1, UINT64_MAX, &echo->left),
		fnx_option_flag("new", &echo->only_new),
		fnx_option_flag("all", &echo->all_items),
		fnx_option_flag("stamps", &echo->stamps),
		fnx_option_flag("patient", &echo->patient),
		FNX_LOCATE_OPTIONS(&echo->locate),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix echo",
		.options = options,
		.words_min = 1,
		.words_max = 1,
		.expected = "one TOPIC"};
	int r = fnx_command_line_read(&line, argc, argv);

	echo->topic = line.words[0];
	return r;
}

/* Coming and going
 * ------------------------------------------------------------------------------------ */

static int complain(const struct echo *echo, const char *what, int error)
{
	fprintf(stderr, "fornix echo: %s: %s: %s\n", echo->topic, what, strerror(-error));
	return 1;
}

static int complain_topic(const struct echo *echo)
{
	struct fnx_names topics;
	char before[200];

	if (fnx_names_find(&topics, echo->bus.segment_dir, "", FNX_TOPIC_SUFFIX))
		return complain(echo, "cannot list topics", -ENOMEM);
	snprintf(before, sizeof(before),
		"fornix echo: bus %s has no topic %.48s; it has: ", echo->bus.name, echo->topic);
	fnx_names_complain(&topics, before);
	fnx_names_free(&topics);
	return 1;
}

static int catch_signals(struct echo *echo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -errno;
	echo->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return echo->signal_fd < 0 ? -errno : 0;
}

/* 0; -ENOENT: no such topic; others after saying so. */
static int subscribe(struct echo *echo)
{
	const struct fnx_subscriber_config config = {
		.topic = echo->topic,
		.node = echo->name,
		.policy = FNX_LOSSY,
		.start = echo->only_new ? FNX_START_NEXT : FNX_START_OLDEST,
		.bell = FNX_BELL_FORM_PIPE,
	};
	const void *bytes;
	size_t size;
	int r;

	r = fnx_subscriber_open(&echo->bus, &config, &echo->sub);
	if (r == -ENOENT || r == -EINVAL)
		return -ENOENT;
	if (r) {
		complain(echo,
			r == -EPROTO ? "comes from another version of fornix" : "cannot subscribe",
			r);
		return r;
	}
	bytes = fnx_subscriber_schema(echo->sub, &size);
	r = fnx_description_decode(bytes, size, &echo->description);
	if (r)
		complain(echo, "describes itself in a way that cannot be read", r);
	return r;
}

static void unsubscribe(struct echo *echo)
{
	echo->sub = fnx_subscriber_close(echo->sub);
	echo->description = fnx_description_free(echo->description);
}

static int come(struct echo *echo)
{
	int r;

	snprintf(echo->name, sizeof(echo->name), "echo-%d", (int)getpid());
	r = fnx_presence_claim(&echo->bus, echo->name, &echo->presence, NULL);
	if (r)
		return complain(echo, "cannot claim a name in the run directory", r);
	r = fnx_bell_open(&echo->bus, echo->name, FNX_BELL_FORM_PIPE, &echo->bell);
	if (r)
		return complain(echo, "cannot open a bell", r);
	r = subscribe(echo);
	return r == -ENOENT ? complain_topic(echo) : r ? 1 : 0;
}

/* A node leaves its bell and its lock for its successor; this one has none. */
static void leave(struct echo *echo)
{
	char path[256];

	unsubscribe(echo);
	if (echo->bell) {
		fnx_bell_close(echo->bell);
		if (!fnx_bus_path(echo->bus.run_dir, echo->name, ".bell", path, sizeof(path)))
			unlink(path);
	}
	if (echo->presence.fd >= 0) {
		fnx_presence_drop(&echo->presence);
		if (!fnx_presence_bar(&echo->bus, echo->name, &echo->presence))
			fnx_presence_unbar(&echo->bus, echo->name, &echo->presence, 1);
	}
	if (echo->signal_fd >= 0)
		close(echo->signal_fd);
	free(echo->line);
}

/* Printing
 * -------------------------------------------------------------------------------------------- */

static int grow_line(struct echo *echo, size_t size)
{
	char *line = realloc(echo->line, size);

	if (!line)
		return -ENOMEM;
	echo->line = line;
	echo->line_size = size;
	return 0;
}

static const char *format(struct echo *echo, const void *payload)
{
	const struct fnx_layout *layout = &echo->description->layout;
	unsigned max_items = echo->all_items ? 0 : FEW_ITEMS;
	size_t size;

	if (!echo->line && grow_line(echo, FIRST_LINE_SIZE))
		return "(out of memory)";
	size = fnx_layout_format(layout, payload, echo->line, echo->line_size, max_items);
	if (size >= echo->line_size) {
		if (grow_line(echo, size + 256))
			return "(out of memory)";
		fnx_layout_format(layout, payload, echo->line, echo->line_size, max_items);
	}
	return echo->line;
}

static void print_frame(struct echo *echo, const struct fnx_frame *frame)
{
	const struct fnx_stamp *stamp = &frame->stamp;
	const char *text = frame->length == echo->description->layout.size
		? format(echo, frame->payload)
		: "(its length is not what its description says)";

	printf("seq=%" PRIu64 " sample_time=%" PRId64 " latency=%.1f us ", frame->seq,
		stamp->sample_time, (double)(stamp->publish_ns - stamp->ingress_ns) / 1e3);
	if (echo->stamps)
		printf("ingress_ns=%" PRId64 " publish_ns=%" PRId64 " ", stamp->ingress_ns,
			stamp->publish_ns);
	printf("%s%s%s\n", stamp->flags & FNX_FRAME_LATE ? "LATE " : "",
		stamp->flags & FNX_FRAME_INCOMPLETE ? "INCOMPLETE " : "", text);
}

static void print_gap(const struct fnx_gap *gap)
{
	printf("-- %" PRIu64 " frames lost: %s --\n", gap->to - gap->from,
		gap->reason == FNX_GAP_DROPPED ? "the publisher had no room" : "too slow");
}

/* Reading
 * --------------------------------------------------------------------------------------------- */

/* The topic was replaced: by its like, or by nothing. */
static int follow(struct echo *echo)
{
	int r;

	unsubscribe(echo);
	r = subscribe(echo);
	if (r == -ENOENT)
		return ENDED;
	if (r)
		return r;
	printf("-- the topic begins anew --\n");
	echo->told_dead = 0;
	return MORE;
}

/* EMPTY: nothing more for now; MORE; ENDED; negative errno after saying so. */
static int read_batch(struct echo *echo)
{
	for (int i = 0; i < BATCH && echo->left && !ferror(stdout); i++) {
		/* Before the look at the frames: what was published before the end is seen after
		 * it. */
		int is_last = fnx_subscriber_watermark(echo->sub, NULL) == FNX_END, r;
		struct fnx_frame frame;
		struct fnx_gap gap;

		r = fnx_subscriber_peek(echo->sub, &frame, &gap);
		if (r == FNX_FRAME) {
			print_frame(echo, &frame);
			fnx_subscriber_release(echo->sub);
			echo->left--;
		} else if (r == FNX_GAP) {
			print_gap(&gap);
		} else if (r == FNX_MOVED) {
			return follow(echo);
		} else if (r == -EBADMSG) {
			printf("-- a damaged frame --\n");
			fnx_subscriber_release(echo->sub);
		} else if (r < 0) {
			complain(echo, "cannot read", r);
			return r;
		} else {
			return is_last ? ENDED : EMPTY;
		}
	}
	return echo->left && !ferror(stdout) ? MORE : ENDED;
}

static void look_after_publisher(struct echo *echo)
{
	const char *publisher = fnx_subscriber_publisher(echo->sub);

	if (echo->told_dead || fnx_presence_check(&echo->bus, publisher) != 0)
		return;
	echo->told_dead = 1;
	fprintf(stderr, "fornix echo: %s, which publishes %s, is dead; waiting for its successor\n",
		publisher, echo->topic);
}

/* Frames that may lie unread: of the last one that is yet to be printed it is told. */
static uint32_t patience_of(const struct echo *echo)
{
	if (!echo->patient)
		return 0;
	return echo->left > PATIENCE ? PATIENCE : (uint32_t)echo->left - 1;
}

/* Until there is something to read, or a signal: 1. */
static int sleep_on_bell(struct echo *echo)
{
	struct pollfd fds[2] = {{.fd = fnx_bell_fd(echo->bell), .events = POLLIN},
		{.fd = echo->signal_fd, .events = POLLIN}};

	fflush(stdout);
	if (!fnx_subscriber_doze(echo->sub, FNX_END, patience_of(echo))) {
		if (poll(fds, 2, LOOK_MS) == 0)
			look_after_publisher(echo);
		fnx_subscriber_unpark(echo->sub);
	}
	fnx_bell_drain(echo->bell);
	return fds[1].revents != 0;
}

static int is_interrupted(const struct echo *echo)
{
	struct pollfd fd = {.fd = echo->signal_fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static int read_topic(struct echo *echo)
{
	int r;

	do {
		r = read_batch(echo);
	} while ((r == MORE && !is_interrupted(echo)) || (r == EMPTY && !sleep_on_bell(echo)));
	/* Whoever read us has gone: no failure of ours. */
	if (r >= 0 && fflush(stdout) && errno != EPIPE)
		return complain(echo, "cannot print", -errno);
	return r < 0;
}

int fnx_command_echo(int argc, char **argv)
{
	struct echo echo = {.left = UINT64_MAX, .presence = {.fd = -1}, .signal_fd = -1};
	int r;

	r = parse(argc, argv, &echo);
	if (r)
		return r > 0 ? usage() : 2;
	r = fnx_locate_bus("fornix echo", &echo.locate, &echo.bus);
	if (r)
		return r;
	r = catch_signals(&echo);
	if (r)
		r = complain(&echo, "cannot wait for signals", r);
	else
		r = come(&echo);
	if (!r)
		r = read_topic(&echo);
	leave(&echo);
	return r;
}
