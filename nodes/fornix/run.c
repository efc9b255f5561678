/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fornix run: one session from beginning to end, with everybody in it.
 *
 * It holds the bus by the presence "bus", so that a second run of the same name is refused and
 * whatever a dead one left can be swept away. It takes no part in the data but through its score, a
 * lossless reader like any other.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/crew.h"
#include "nodes/fornix/score.h"
#include "nodes/fornix/summary.h"
#include "nodes/host/command_line.h"

enum {
	LOOK_MS = 20,
	PROGRESS_MS = 500
};

struct options {
	const char *rig_path, *source, *json;
	char rig_absolute[4096];
	int threads, quiet;
	char texts[FNX_RIG_OVERRIDES_MAX][4200]; /* overrides */
	const char *overrides[FNX_RIG_OVERRIDES_MAX];
	size_t n_overrides;
};

struct run {
	struct options options;
	struct fnx_rig *rig;
	struct fnx_crew crew;
	struct fnx_score score;
	struct fnx_presence presence;
	int signal_fd;
	int interrupted;
	int has_source; /* on this machine */
	int64_t started_ns, ended_ns; /* of the session */
};

static int usage(void)
{
	printf("fornix run: runs one session from beginning to end\n"
	       "\n"
	       "usage: fornix run [RIG.yaml] [options]\n"
	       "\n"
	       "  RIG.yaml              describes the experiment; without it a demonstration on "
	       "the simulator\n"
	       "  --source FILE|simulator\n"
	       "                        takes the session from FILE.nwb or FILE.mcap instead of "
	       "the rig's source\n"
	       "  --duration S          stops after S seconds of session time\n"
	       "  --speed X|max         X times real time (1: as recorded); max: as fast as the "
	       "slowest node\n"
	       "  --machine NAME        runs the nodes that the rig has on this machine, with "
	       "bridges to the others\n"
	       "  --threads             nodes are threads of one process instead of processes\n"
	       "  --record FILE.mcap    records the session\n"
	       "  --json FILE           writes the summary for programs\n"
	       "  --quiet               no progress, no summary; errors only\n"
	       "  --set KEY=VALUE       as if the rig said so; KEY is one of:\n");
	for (const char *const *key = fnx_rig_override_keys; *key; key++)
		printf("                          %s\n", *key);
	printf("\n"
	       "Ctrl-C ends the session in good order. Exit status: 0 all well; 1 a node failed, "
	       "or something was\n"
	       "lost that should not have been; 2 wrong use or a rig that cannot be used.\n");
	return 0;
}

/* Options
 * ------------------------------------------------------------------------------------------- */

/* Adds an override; `text` alone, or `key`=`text`. */
static int put(struct options *options, const char *key, const char *text)
{
	size_t n = options->n_overrides;

	if (n == FNX_RIG_OVERRIDES_MAX ||
		(size_t)snprintf(options->texts[n], sizeof(options->texts[n]), "%s%s%s", key,
			key[0] ? "=" : "", text) >= sizeof(options->texts[n]))
		return -E2BIG;
	options->overrides[n] = options->texts[n];
	options->n_overrides++;
	return 0;
}

static int ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

/* Children may run elsewhere: files are named from the root. */
static int put_path(struct options *options, const char *key, const char *path)
{
	char here[4096], absolute[8200];

	if (path[0] == '/')
		return put(options, key, path);
	if (!getcwd(here, sizeof(here)))
		return -errno;
	snprintf(absolute, sizeof(absolute), "%s/%s", here, path);
	return put(options, key, absolute);
}

static int put_source(struct options *options, const char *source)
{
	int r;

	if (!strcmp(source, "simulator"))
		return put(options, "source.type", "simulator");
	if (ends_with(source, ".nwb"))
		r = put(options, "source.type", "nwb");
	else if (ends_with(source, ".mcap"))
		r = put(options, "source.type", "mcap");
	else
		return -EINVAL;
	return r ? r : put_path(options, "source.file", source);
}

static int wrong(const char *why, const char *what)
{
	fprintf(stderr, "fornix run: %s: %s; --help tells more\n", what, why);
	return -EINVAL;
}

/* What else the line said, in the words of the rig file; what is set by its key comes last. */
struct said {
	const char *source, *duration, *speed, *machine, *record;
	struct fnx_texts overrides;
};

static int put_all(struct options *options, const struct said *said)
{
	const char *speed = said->speed && !strcmp(said->speed, "max") ? "0" : said->speed;
	int r = 0;

	if (said->source && put_source(options, said->source))
		return wrong("a source is `simulator` or a file that ends in .nwb or .mcap",
			said->source);
	if (said->duration)
		r = put(options, "source.duration_s", said->duration);
	if (!r && speed)
		r = put(options, "source.speed", speed);
	if (!r && said->machine)
		r = put(options, "machine", said->machine);
	if (!r && said->record)
		r = put_path(options, "record.file", said->record);
	for (size_t i = 0; !r && i < said->overrides.n; i++)
		r = put(options, "", said->overrides.at[i]);
	return r ? wrong("too many, or one that is too long", "options") : 0;
}

/* Nodes may run elsewhere: the rig is named from the root, too. */
static void put_rig(struct options *options, const char *path)
{
	options->rig_path = path ? path : FNX_RIG_DEMO;
	if (options->rig_path[0] != '/' && options->rig_path[0] != '@' &&
		realpath(options->rig_path, options->rig_absolute))
		options->rig_path = options->rig_absolute;
}

static int parse(int argc, char **argv, struct options *options)
{
	struct said said = {.source = NULL};
	const struct fnx_option table[] = {
		fnx_option_text("source", &said.source),
		fnx_option_text("duration", &said.duration),
		fnx_option_text("speed", &said.speed),
		fnx_option_text("machine", &said.machine),
		fnx_option_flag("threads", &options->threads),
		fnx_option_text("record", &said.record),
		fnx_option_text("json", &options->json),
		fnx_option_flag("quiet", &options->quiet),
		fnx_option_texts("set", &said.overrides),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix run", .options = table, .words_max = 1};
	int r = fnx_command_line_read(&line, argc, argv);

	if (r)
		return r;
	put_rig(options, line.words[0]);
	return put_all(options, &said);
}

/* The bus
 * -------------------------------------------------------------------------------------------- */

static int claim_bus(struct run *run)
{
	const struct fnx_rig *rig = run->rig;
	struct fnx_bus *bus = &run->crew.bus;
	const char *path;
	int r, pid;

	r = fnx_bus_init(bus, rig->bus.name, rig->bus.segment_dir, rig->bus.run_dir);
	if (r) {
		fprintf(stderr, "fornix run: bus %s: the name or a directory's path is too long\n",
			rig->bus.name);
		return r;
	}
	r = fnx_bus_create(bus, &path);
	if (r) {
		fprintf(stderr, "fornix run: cannot create %s: %s\n", path,
			r == -EPERM ? "it is there, and others may write in it; expected a "
				      "directory of your own, or a name that is not taken"
				    : strerror(-r));
		return r;
	}
	r = fnx_presence_claim(bus, "bus", &run->presence, &pid);
	if (r == -EBUSY)
		fprintf(stderr,
			"fornix run: bus %s is in use by another run (process %d); use --set "
			"bus.name=OTHER\n",
			bus->name, pid);
	else if (r)
		fprintf(stderr, "fornix run: cannot claim bus %s in %s: %s\n", bus->name,
			bus->run_dir, strerror(-r));
	if (!r)
		fnx_bus_sweep(bus);
	return r;
}

static int catch_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? -errno : 0;
}

/* The session
 * ---------------------------------------------------------------------------------------- */

/* The wall time that counts begins when the source does: before that, everybody was only getting
 * ready. */
static void note_start(struct run *run)
{
	for (unsigned i = 0; i < run->crew.n_members && !run->started_ns; i++) {
		const struct fnx_crew_member *member = &run->crew.members[i];

		/* Where the source is on another machine: when its bridge was ready. */
		if ((member->ops->produce || (member->ops->relay && !run->has_source)) &&
			member->status)
			run->started_ns = atomic_load(&member->status->started_ns);
	}
}

static int wait_a_while(struct run *run)
{
	struct pollfd fd = {.fd = run->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;

	poll(&fd, 1, LOOK_MS);
	while (read(run->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			run->interrupted = 1;
	return run->interrupted;
}

static void show_progress(struct run *run, int64_t *shown_ns)
{
	char line[256];
	int64_t now_ns = fnx_node_now();

	if (run->options.quiet || !run->started_ns ||
		now_ns - *shown_ns < PROGRESS_MS * INT64_C(1000000))
		return;
	*shown_ns = now_ns;
	fnx_summary_progress(&run->crew, &run->score, run->started_ns, line, sizeof(line));
	fprintf(stderr, isatty(STDERR_FILENO) ? "\r%s\x1b[K" : "%s\n", line);
}

/* 0: the source has ended and all is read, or the user has ended it. */
static int attend(struct run *run)
{
	int64_t shown_ns = 0;
	int r;

	do {
		r = fnx_crew_look_after(&run->crew);
		if (r)
			return r;
		note_start(run);
		if (run->started_ns && fnx_crew_has_ended(&run->crew))
			break;
		show_progress(run, &shown_ns);
	} while (!wait_a_while(run));
	run->ended_ns = fnx_node_now();
	if (!run->options.quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\x1b[K");
	return 0;
}

static int64_t last_end_ns(const struct run *run)
{
	int64_t last = 0;

	for (unsigned i = 0; i < run->crew.n_members; i++) {
		int64_t ended = run->crew.members[i].status
			? atomic_load(&run->crew.members[i].status->ended_ns)
			: 0;

		last = ended > last ? ended : last;
	}
	return last ? last : run->ended_ns;
}

static int report(struct run *run, int failed)
{
	struct fnx_summary summary;
	int lost;

	fnx_summary_gather(&summary, &run->crew, &run->score, run->started_ns,
		run->interrupted ? run->ended_ns : last_end_ns(run));
	if (!run->options.quiet && !failed)
		fnx_summary_print(&summary, &run->crew, &run->score);
	if (run->options.json) {
		int r = fnx_summary_write_json(
			&summary, &run->crew, &run->score, run->options.json);

		if (r) {
			fprintf(stderr, "fornix run: cannot write %s: %s\n", run->options.json,
				strerror(-r));
			failed = 1;
		}
	}
	/* A live source drops by policy, and says so; a replay that waits must lose nothing. */
	lost = !run->rig->bus.live && (summary.gaps || summary.drops);
	if (lost)
		fprintf(stderr, "fornix run: frames were lost that should not have been\n");
	return failed || lost || run->crew.unclean;
}

static int session(struct run *run)
{
	struct fnx_crew *crew = &run->crew;
	int r;

	crew->rig = run->rig;
	crew->rig_path = run->options.rig_path;
	crew->overrides = run->options.overrides;
	crew->n_overrides = run->options.n_overrides;
	crew->threads = run->options.threads;
	fnx_score_use(&run->score);
	r = fnx_crew_muster(crew);
	if (!r)
		r = fnx_crew_start(crew);
	if (!r)
		r = attend(run);
	if (r)
		fprintf(stderr, "fornix run: %s\n", crew->failure);
	if (!r && run->interrupted && run->started_ns)
		fnx_crew_drain(crew);
	fnx_crew_stop(crew);
	r = report(run, r != 0);
	fnx_crew_close_pages(crew);
	return r;
}

/* The source waits for everybody, this run's score included. */
static int await_all(struct run *run)
{
	char names[4000] = "score";
	struct fnx_crew *crew = &run->crew;
	int r;

	crew->rig = run->rig;
	r = fnx_crew_muster(crew);
	for (unsigned i = 0; i < crew->n_members && !r; i++) {
		size_t used = strlen(names);

		run->has_source |= crew->members[i].ops->produce != NULL;
		if (!crew->members[i].ops->produce && strcmp(crew->members[i].name, "score"))
			snprintf(names + used, sizeof(names) - used, ",%s", crew->members[i].name);
	}
	crew->n_members = 0;
	return r ? r : put(&run->options, "await", names);
}

static int load_rig(struct run *run)
{
	char error[FNX_RIG_ERROR_MAX];

	fnx_rig_free(run->rig);
	run->rig = NULL;
	if (!fnx_rig_load(run->options.rig_path, run->options.overrides, run->options.n_overrides,
		    &run->rig, error))
		return 0;
	fprintf(stderr, "fornix run: %s\n", error);
	return 2;
}

static int carry_out(struct run *run)
{
	int r = load_rig(run);

	/* Twice: who is to be awaited follows from the rig, and is told to the nodes like
	 * everything else. */
	if (!r)
		r = await_all(run) ? 1 : load_rig(run);
	if (!r && (fnx_score_init(&run->score) || catch_signals(run) || claim_bus(run)))
		r = 1;
	if (!r) {
		r = session(run);
		fnx_bus_remove(&run->crew.bus);
		fnx_presence_drop(&run->presence);
	}
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	fnx_score_fini(&run->score);
	fnx_rig_free(run->rig);
	return r;
}

int fnx_command_run(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof(*run));
	int r;

	if (!run)
		return 1;
	run->presence.fd = -1;
	run->signal_fd = -1;
	r = parse(argc, argv, &run->options);
	if (r)
		r = r > 0 ? usage() : 2;
	else
		r = carry_out(run);
	free(run);
	return r;
}
