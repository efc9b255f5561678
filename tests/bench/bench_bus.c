/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_bus: fornix beside its peers and beside the floors that the machine sets, all in one run.
 * A round takes every case, and in each every subject in turn, so that what the machine does to one
 * it does to all; a figure is the median over rounds, and what is claimed is a ratio of two of
 * them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/bus.h"
#include "tests/bench/cost.h"
#include "tests/bench/peers.h"
#include "tests/bench/report.h"

#define MS INT64_C(1000000)
#define QUICK_NS (105000 * MS) /* a quick run begins nothing after this */

enum {
	QUICK_LOADED = 4, /* times the budget, under load */
};

static const struct bench_case cases[] = {
	{"ping_pong_sleep_64", "ping-pong, sleeping, 64 B, two cores: round trip", BENCH_PING_PONG,
		BENCH_PINNED, 0, 0, 0, 1, 64, 0},
	{"ping_pong_sleep_4k", "ping-pong, sleeping, 4 KiB, two cores: round trip", BENCH_PING_PONG,
		BENCH_PINNED, 0, 0, 0, 1, 4096, 1},
	{"ping_pong_sleep_1m", "ping-pong, sleeping, 1 MiB, two cores: round trip", BENCH_PING_PONG,
		BENCH_PINNED, 0, 0, 0, 1, 1 << 20, 0},
	{"ping_pong_spin_64", "ping-pong, spinning, 64 B, two cores: round trip", BENCH_PING_PONG,
		BENCH_PINNED, 1, 0, 0, 1, 64, 1},
	{"ping_pong_spin_4k", "ping-pong, spinning, 4 KiB, two cores: round trip", BENCH_PING_PONG,
		BENCH_PINNED, 1, 0, 0, 1, 4096, 1},
	{"ping_pong_spin_1m", "ping-pong, spinning, 1 MiB, two cores: round trip", BENCH_PING_PONG,
		BENCH_PINNED, 1, 0, 0, 1, 1 << 20, 1},
	{"stream_64", "throughput, 64 B, two cores, reader free to sleep", BENCH_STREAM,
		BENCH_PINNED, 0, 0, 0, 1, 64, 1},
	{"stream_4k", "throughput, 4 KiB, two cores, reader free to sleep", BENCH_STREAM,
		BENCH_PINNED, 0, 0, 0, 1, 4096, 1},
	{"fan_out_3_4k", "throughput, 4 KiB to 3 readers, free to move and to sleep", BENCH_FAN_OUT,
		BENCH_FREE, 0, 0, 0, 3, 4096, 1},
	{"paced_64", "1 kHz, 64 B, sleeping, two cores: one way", BENCH_PACED, BENCH_PINNED, 0, 0,
		0, 1, 64, 0},
	{"paced_4k", "1 kHz, 4 KiB, sleeping, two cores: one way", BENCH_PACED, BENCH_PINNED, 0, 0,
		0, 1, 4096, 1},
	{"paced_1m", "1 kHz, 1 MiB, sleeping, two cores: one way", BENCH_PACED, BENCH_PINNED, 0, 0,
		0, 1, 1 << 20, 0},
	{"paced_free_4k", "1 kHz, 4 KiB, sleeping, free to move: one way", BENCH_PACED, BENCH_FREE,
		0, 0, 0, 1, 4096, 1},
	{"paced_loaded_4k", "1 kHz, 4 KiB, sleeping, two cores with a nice'd hog on each: one way",
		BENCH_PACED, BENCH_PINNED, 0, 1, 0, 1, 4096, 1},
	{"paced_fifo_4k", "the same with SCHED_FIFO", BENCH_PACED, BENCH_PINNED, 0, 1, 1, 1, 4096,
		0},
};

struct options {
	int quick;
	const char *json;
	const char *only;
	const char *only_cases;
	unsigned n_rounds;
	int64_t budget_ns;
};

static char program[PATH_MAX]; /* ours */

static struct bench_report report = {.cases = cases, .n_cases = sizeof(cases) / sizeof(cases[0])};

static int usage(FILE *out)
{
	fprintf(out,
		"bench_bus: fornix beside its peers and the machine's own floors, in one run\n"
		"  --quick          fewer cases, less time each; ends within two minutes\n"
		"  --json FILE      writes every distribution, and ratios, to FILE\n"
		"  --only NAME,...  only these subjects (see --list)\n"
		"  --case KEY,...   only these cases (see --list)\n"
		"  --rounds N       rounds, default 5\n"
		"  --budget MS      time per measurement, default 1000 (quick: 60)\n"
		"  --list           subjects and cases of this build\n");
	return out == stderr ? 2 : 0;
}

static int list(void)
{
	for (unsigned i = 0; bench_peers[i]; i++)
		printf("subject  %-20s %s\n", bench_peers[i]->name, bench_peers[i]->how);
	for (unsigned c = 0; c < report.n_cases; c++)
		printf("case     %-20s %s\n", cases[c].key, cases[c].title);
	return 0;
}

/* Is `name` among the comma-separated `names`? NULL names all. */
static int named(const char *names, const char *name)
{
	size_t size = strlen(name);

	while (names) {
		if (strncmp(names, name, size) == 0 && (names[size] == ',' || names[size] == 0))
			return 1;
		names = strchr(names, ',');
		if (!names)
			return 0;
		names++;
	}
	return 1;
}

/* Load
 * ---------------------------------------------------------------------------------------------- */

static void hog(int core)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)core, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	setpriority(PRIO_PROCESS, 0, 19);
	for (volatile unsigned i = 0;; i++)
		;
}

static void start_hogs(pid_t *hogs)
{
	for (int i = 0; i < 2; i++) {
		hogs[i] = fork();
		if (hogs[i] == 0) {
			bench_heed_signals(0);
			hog(i);
		}
	}
}

static void end_hogs(const pid_t *hogs)
{
	for (int i = 0; i < 2; i++) {
		if (hogs[i] <= 0)
			continue;
		kill(hogs[i], SIGKILL);
		waitpid(hogs[i], NULL, 0);
	}
}

static int may_fifo(void)
{
	struct sched_param priority = {.sched_priority = 10};
	int status = 1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(sched_setscheduler(0, SCHED_FIFO, &priority) ? 1 : 0);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs
 * ---------------------------------------------------------------------------------------------- */

static struct bench_run *map_run(const char *path, int create)
{
	int fd = open(path, O_RDWR | (create ? O_CREAT | O_TRUNC : 0) | O_CLOEXEC, 0600);
	void *memory = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (!create || ftruncate(fd, sizeof(struct bench_run)) == 0)
		memory = mmap(
			NULL, sizeof(struct bench_run), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return memory == MAP_FAILED ? NULL : memory;
}

static int applies(const struct bench_peer *peer, const struct bench_case *what)
{
	return (peer->kinds & what->kind) && (what->spin ? peer->spins : !peer->only_spins) &&
		(!peer->size_max || what->size <= peer->size_max);
}

static void fill_plan(struct bench_plan *plan, const struct options *options,
	const struct bench_case *what, const struct bench_peer *peer, const char *dir)
{
	static unsigned n;

	*plan = (struct bench_plan){.id = ++n,
		.kind = what->kind,
		.place = what->place,
		.spin = what->spin,
		.fifo = what->fifo,
		.n_readers = what->n_readers,
		.size = what->size,
		.budget_ns = options->budget_ns,
		.warm_up_ns = options->budget_ns / 5,
		.period_ns = MS};
	/* What is claimed of it is its tail, which needs samples. */
	if (options->quick && what->loaded)
		plan->budget_ns *= QUICK_LOADED;
	snprintf(plan->peer, sizeof(plan->peer), "%s", peer->name);
	snprintf(plan->dir, sizeof(plan->dir), "%s", dir);
}

static void measure(const struct options *options, struct bench_run *run, const char *path,
	const char *dir, unsigned c, unsigned p)
{
	struct bench_found *found = &report.found[c][p];
	pid_t hogs[2] = {0};

	memset(run, 0, offsetof(struct bench_run, samples));
	memset(run->slots, 0, sizeof(run->slots));
	fill_plan(&run->plan, options, &cases[c], report.peers[p], dir);
	if (cases[c].loaded)
		start_hogs(hogs);
	if (bench_carry_out(run, program, path) < 0)
		found->n_failed++;
	else
		bench_note(found, run);
	end_hogs(hogs);
}

static int wanted(const struct options *options, unsigned c, int fifo)
{
	if (options->only_cases)
		return named(options->only_cases, cases[c].key);
	return (!options->quick || cases[c].quick) && (!cases[c].fifo || fifo);
}

static void note_cost(unsigned i, const char *key, double ns)
{
	struct bench_cost *cost = &report.costs[i];

	cost->key = key;
	if (ns >= 0)
		cost->ns[cost->n_rounds++] = ns;
	if (report.n_costs <= i)
		report.n_costs = i + 1;
}

static void measure_costs(const char *dir)
{
	note_cost(0, "publish_and_take_64", bench_cost_publish_and_take(dir));
	note_cost(1, "publish_1_subscriber", bench_cost_publish(dir, 1));
	note_cost(2, "publish_63_subscribers", bench_cost_publish(dir, FNX_SUBSCRIBERS_MAX));
}

static void play(
	const struct options *options, struct bench_run *run, const char *path, const char *dir)
{
	int64_t until_ns = options->quick ? bench_now() + QUICK_NS : INT64_MAX;
	int fifo = may_fifo();

	for (unsigned round = 0; round < options->n_rounds; round++) {
		for (unsigned c = 0; c < report.n_cases; c++) {
			if (!wanted(options, c, fifo))
				continue;
			/* There and back: what one leaves behind does not always meet the same
			 * next. */
			for (unsigned k = 0; k < report.n_peers; k++) {
				unsigned p = round % 2 ? report.n_peers - 1 - k : k;

				if (applies(report.peers[p], &cases[c]) && bench_now() < until_ns &&
					!bench_interrupted)
					measure(options, run, path, dir, c, p);
			}
		}
		if (bench_interrupted)
			return;
		if (bench_now() > until_ns) {
			fprintf(stderr, "out of time in round %u\n", round + 1);
			break;
		}
		measure_costs(dir);
		fprintf(stderr, "round %u of %u\n", round + 1, options->n_rounds);
	}
}

static int write_json(const char *path)
{
	json_t *root = bench_report_json(&report);
	int r = json_dump_file(
		root, path, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(7));

	json_decref(root);
	if (r)
		fprintf(stderr, "bench_bus: cannot write %s\n", path);
	return r ? 1 : 0;
}

static int fornix_failed(void)
{
	for (unsigned c = 0; c < report.n_cases; c++)
		for (unsigned p = 0; p < report.n_peers; p++)
			if (report.peers[p] == &bench_fornix &&
				(report.found[c][p].n_failed || report.found[c][p].n_wrong))
				return 1;
	return 0;
}

/* Sockets that a peer left behind, and the directory. */
static void empty_dir(const char *dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *open_dir = opendir(dir);

	while (open_dir && (entry = readdir(open_dir))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (open_dir)
		closedir(open_dir);
	rmdir(dir);
}

static int run_all(const struct options *options)
{
	char dir[] = "/tmp/fornix-bench-XXXXXX", path[64];
	struct bench_run *run;
	int r = 0;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "/dev/shm/fornix-bench-%d", getpid());
	run = map_run(path, 1);
	if (!run) {
		fprintf(stderr, "bench_bus: cannot map %s: %s\n", path, strerror(errno));
		return 1;
	}
	bench_heed_signals(1);
	play(options, run, path, dir);
	unlink(path);
	empty_dir(dir);
	bench_heed_signals(0);
	if (bench_interrupted) {
		fprintf(stderr, "bench_bus: ended by signal %d; nothing is written\n",
			bench_interrupted);
		return 128 + bench_interrupted;
	}
	bench_report_print(&report);
	if (options->json)
		r = write_json(options->json);
	return r || fornix_failed();
}

#ifdef BENCH_HAVE_MPI
static int be_rank(const char *path)
{
	struct bench_run *run = map_run(path, 0);

	return !run || bench_mpi_rank(run) ? 1 : 0;
}
#endif

static int choose(const struct options *options)
{
	for (unsigned i = 0; bench_peers[i]; i++)
		if (named(options->only, bench_peers[i]->name))
			report.peers[report.n_peers++] = bench_peers[i];
	if (report.n_peers == 0)
		fprintf(stderr, "bench_bus: no such subject: %s\n", options->only);
	return report.n_peers ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"quick", no_argument, NULL, 'q'},
		{"json", required_argument, NULL, 'j'}, {"only", required_argument, NULL, 'o'},
		{"case", required_argument, NULL, 'c'}, {"rounds", required_argument, NULL, 'r'},
		{"budget", required_argument, NULL, 'b'}, {"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'}, {"rank", required_argument, NULL, 'R'}, {0}};
	struct options options = {.n_rounds = 5};
	int letter, budget_ms = 0;

	while ((letter = getopt_long(argc, argv, "h", names, NULL)) != -1) {
		switch (letter) {
		case 'q':
			options.quick = 1;
			break;
		case 'j':
			options.json = optarg;
			break;
		case 'o':
			options.only = optarg;
			break;
		case 'c':
			options.only_cases = optarg;
			break;
		case 'r':
			options.n_rounds = (unsigned)atoi(optarg);
			break;
		case 'b':
			budget_ms = atoi(optarg);
			break;
		case 'l':
			return list();
		case 'h':
			return usage(stdout);
#ifdef BENCH_HAVE_MPI
		case 'R':
			return be_rank(optarg);
#endif
		default:
			return usage(stderr);
		}
	}
	if (optind < argc || options.n_rounds < 1 || options.n_rounds > BENCH_ROUNDS_MAX)
		return usage(stderr);
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return 1;
	options.budget_ns = (budget_ms > 0 ? budget_ms : options.quick ? 60 : 1000) * MS;
	return choose(&options) ? 2 : run_all(&options);
}
