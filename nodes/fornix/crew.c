/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node that was killed, or crashed, is started again: its successor resumes at once, since
 * cursors and sequence numbers are in shared memory. A node that exits by itself has said why (bad
 * configuration, a damaged file), and would say it again: that ends the run.
 */
#include "nodes/fornix/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/score.h"
#include "nodes/host/placement.h"

enum {
	/* After its start, without progress; so many in a row are not worth another try: */
	QUICK_DEATH_MS = 500,
	QUICK_DEATHS_MAX = 10,
	STOP_PATIENCE_MS = 5000,
	DRAIN_PATIENCE_MS = 2000,
};

static int add(
	struct fnx_crew *crew, const struct fnx_node_ops *ops, const char *name, int in_process)
{
	struct fnx_crew_member *member = &crew->members[crew->n_members];

	if (crew->n_members == FNX_CREW_MAX) {
		snprintf(crew->failure, sizeof(crew->failure), "more than %d nodes", FNX_CREW_MAX);
		return -ENOSPC;
	}
	*member = (struct fnx_crew_member){.ops = ops, .in_process = in_process, .crew = crew};
	snprintf(member->name, sizeof(member->name), "%s", name);
	crew->n_members++;
	return 0;
}

int fnx_crew_muster(struct fnx_crew *crew)
{
	int r = 0;

	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops && !r; ops++) {
		const char *name;

		for (unsigned k = 0; !r && (name = fnx_rig_node_name(*ops, crew->rig, k)); k++)
			if (fnx_rig_node_is_here(crew->rig, name))
				r = add(crew, *ops, name, crew->threads);
	}
	return r ? r : add(crew, &fnx_score_ops, "score", 1);
}

/* Threads
 * ------------------------------------------------------------------------------------------- */

static void *run_thread(void *argument)
{
	struct fnx_crew_member *member = argument;

	member->result = fnx_node_run(member->node, &member->crew->stop, 0);
	return NULL;
}

static int start_thread(struct fnx_crew_member *member)
{
	struct fnx_crew *crew = member->crew;
	int r;

	member->node = calloc(1, sizeof(*member->node));
	if (!member->node)
		return -ENOMEM;
	r = fnx_node_open(member->node, member->ops, crew->rig, member->name);
	if (r) {
		snprintf(crew->failure, sizeof(crew->failure), "%s: %.200s", member->name,
			member->node->error);
		free(member->node);
		member->node = NULL;
		return r;
	}
	r = -pthread_create(&member->thread, NULL, run_thread, member);
	if (r) {
		snprintf(crew->failure, sizeof(crew->failure), "%s: cannot start a thread: %s",
			member->name, strerror(-r));
		return r;
	}
	member->thread_started = 1;
	member->starts++;
	return 0;
}

/* Processes
 * ----------------------------------------------------------------------------------------- */

static void exec_node(const struct fnx_crew_member *member, const char *path, pid_t parent)
{
	const struct fnx_crew *crew = member->crew;
	char *argv[8 + 2 * FNX_RIG_OVERRIDES_MAX];
	sigset_t none;
	int n = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C goes to the terminal's whole group; the crew is stopped by us, in good order. */
	setpgid(0, 0);
	/* A child must not outlive this run, however it dies; the setting survives exec. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	argv[n++] = strdup(path);
	argv[n++] = strdup("--rig");
	argv[n++] = strdup(crew->rig_path);
	argv[n++] = strdup("--name");
	argv[n++] = strdup(member->name);
	for (size_t i = 0; i < crew->n_overrides; i++) {
		argv[n++] = strdup("--set");
		argv[n++] = strdup(crew->overrides[i]);
	}
	argv[n] = NULL;
	execv(path, argv);
	fprintf(stderr, "fornix: cannot start %s: %s\n", path, strerror(errno));
	_exit(127);
}

static int start_process(struct fnx_crew_member *member)
{
	struct fnx_crew *crew = member->crew;
	char path[4200];
	pid_t parent;
	int r = fnx_executable_path(member->ops->type, path, sizeof(path));

	if (!r && access(path, X_OK) < 0)
		r = -errno;
	if (r) {
		snprintf(crew->failure, sizeof(crew->failure),
			"cannot start fornix-%s from this program's folder: %s", member->ops->type,
			strerror(-r));
		return r;
	}
	parent = getpid();
	member->pid = fork();
	if (member->pid < 0) {
		r = -errno;
		snprintf(crew->failure, sizeof(crew->failure), "cannot start %s: %s", member->name,
			strerror(-r));
		member->pid = 0;
		return r;
	}
	if (member->pid == 0)
		exec_node(member, path, parent);
	member->starts++;
	member->started_ns = fnx_node_now();
	return 0;
}

static int start_member(struct fnx_crew_member *member)
{
	return member->in_process ? start_thread(member) : start_process(member);
}

int fnx_crew_start(struct fnx_crew *crew)
{
	int r = 0;

	/* Processes first: a fork leaves no thread of ours behind in the child. */
	for (int in_process = 0; in_process < 2; in_process++)
		for (unsigned i = 0; i < crew->n_members && !r; i++)
			if (crew->members[i].in_process == in_process)
				r = start_member(&crew->members[i]);
	return r;
}

/* Looking after
 * -------------------------------------------------------------------------------------- */

/* Frames taken and published by a node and its predecessors. What it does not live to commit does
 * not count, so one that dies of the same frame again and again gets no further. (Nobody dies of a frame by
 * SIGKILL: that comes from outside, perhaps before the node had its turn.) */
static uint64_t progress_of(const struct fnx_crew_member *member)
{
	uint64_t sum = 0;

	for (unsigned i = 0; member->status && i < FNX_STATUS_TOPICS_MAX; i++)
		sum += atomic_load(&member->status->inputs[i].frames) +
			atomic_load(&member->status->outputs[i].frames);
	return sum;
}

static int has_failed(struct fnx_crew_member *member, int status)
{
	struct fnx_crew *crew = member->crew;
	int64_t age_ns = fnx_node_now() - member->started_ns;
	uint64_t progress = progress_of(member);

	if (WIFEXITED(status)) {
		snprintf(crew->failure, sizeof(crew->failure), "%s has given up (exit status %d)",
			member->name, WEXITSTATUS(status));
		return 1;
	}
	if (age_ns >= QUICK_DEATH_MS * INT64_C(1000000) || progress != member->progress)
		member->quick_deaths = 0;
	else if (WTERMSIG(status) != SIGKILL)
		member->quick_deaths++;
	member->progress = progress;
	if (member->quick_deaths < QUICK_DEATHS_MAX)
		return 0;
	snprintf(crew->failure, sizeof(crew->failure), "%s dies again and again (%s)", member->name,
		strsignal(WTERMSIG(status)));
	return 1;
}

static int revive(struct fnx_crew_member *member)
{
	int status;

	if (!member->pid || waitpid(member->pid, &status, WNOHANG) != member->pid)
		return 0;
	member->pid = 0;
	if (has_failed(member, status))
		return -ECHILD;
	fprintf(stderr, "fornix: %s died (%s); starting it again\n", member->name,
		strsignal(WTERMSIG(status)));
	member->crew->restarts++;
	return start_member(member);
}

static int has_given_up(struct fnx_crew_member *member)
{
	struct fnx_crew *crew = member->crew;

	if (!member->thread_started || !member->result)
		return 0;
	snprintf(crew->failure, sizeof(crew->failure), "%s: %.200s", member->name,
		member->node->error);
	return 1;
}

int fnx_crew_look_after(struct fnx_crew *crew)
{
	for (unsigned i = 0; i < crew->n_members; i++) {
		struct fnx_crew_member *member = &crew->members[i];
		int r = revive(member);

		if (r < 0)
			return r;
		if (has_given_up(member))
			return -ECHILD;
		if (!member->status)
			(void)!fnx_status_open(&crew->bus, member->name, &member->status);
	}
	return 0;
}

int fnx_crew_has_ended(const struct fnx_crew *crew)
{
	for (unsigned i = 0; i < crew->n_members; i++)
		if (!crew->members[i].status ||
			atomic_load(&crew->members[i].status->state) != FNX_NODE_ENDED)
			return 0;
	return 1;
}

/* Stopping
 * ------------------------------------------------------------------------------------------- */

/* Who was asked to stop leaves with exit status 0. */
static void note_departure(struct fnx_crew_member *member, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	/* One that had not got as far as to listen to signals had nothing to put away either. */
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)
		return;
	member->crew->unclean++;
	if (WIFEXITED(status))
		fprintf(stderr, "fornix: %s stopped with exit status %d\n", member->name,
			WEXITSTATUS(status));
	else
		fprintf(stderr, "fornix: %s died while stopping (%s)\n", member->name,
			strsignal(WTERMSIG(status)));
}

static int running_processes(struct fnx_crew *crew)
{
	int status, n = 0;

	for (unsigned i = 0; i < crew->n_members; i++) {
		pid_t *pid = &crew->members[i].pid;

		if (*pid && waitpid(*pid, &status, WNOHANG) == *pid) {
			*pid = 0;
			note_departure(&crew->members[i], status);
		}
		n += *pid != 0;
	}
	return n;
}

static void signal_all(struct fnx_crew *crew, int number)
{
	for (unsigned i = 0; i < crew->n_members; i++)
		if (crew->members[i].pid)
			kill(crew->members[i].pid, number);
}

static int readers_have_ended(const struct fnx_crew *crew)
{
	for (unsigned i = 0; i < crew->n_members; i++) {
		const struct fnx_crew_member *member = &crew->members[i];

		if (!member->ops->produce &&
			(!member->status || atomic_load(&member->status->state) < FNX_NODE_ENDED))
			return 0;
	}
	return 1;
}

void fnx_crew_drain(struct fnx_crew *crew)
{
	int64_t until_ns = fnx_node_now() + DRAIN_PATIENCE_MS * INT64_C(1000000);

	atomic_store(&crew->stop, FNX_STOP_SOURCES);
	for (unsigned i = 0; i < crew->n_members; i++)
		if (crew->members[i].pid && crew->members[i].ops->produce)
			kill(crew->members[i].pid, SIGINT);
	while (!readers_have_ended(crew) && fnx_node_now() < until_ns)
		poll(NULL, 0, 2);
}

static void join(struct fnx_crew_member *member)
{
	struct timespec until;

	if (!member->thread_started)
		return;
	member->thread_started = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_PATIENCE_MS / 1000;
	if (!pthread_timedjoin_np(member->thread, NULL, &until))
		return;
	fprintf(stderr, "fornix: %s does not stop; leaving without it\n", member->name);
	_exit(1);
}

void fnx_crew_stop(struct fnx_crew *crew)
{
	int64_t until_ns = fnx_node_now() + STOP_PATIENCE_MS * INT64_C(1000000);

	atomic_store(&crew->stop, FNX_STOP_ALL);
	signal_all(crew, SIGTERM);
	while (running_processes(crew) && fnx_node_now() < until_ns)
		poll(NULL, 0, 5);
	if (running_processes(crew)) {
		fprintf(stderr, "fornix: some nodes do not stop; killing them\n");
		signal_all(crew, SIGKILL);
		while (running_processes(crew))
			poll(NULL, 0, 5);
	}
	for (unsigned i = 0; i < crew->n_members; i++) {
		struct fnx_crew_member *member = &crew->members[i];

		join(member);
		if (member->node)
			fnx_node_close(member->node);
		free(member->node);
		member->node = NULL;
	}
}

void fnx_crew_close_pages(struct fnx_crew *crew)
{
	for (unsigned i = 0; i < crew->n_members; i++) {
		if (crew->members[i].status)
			fnx_status_close(crew->members[i].status);
		crew->members[i].status = NULL;
	}
}
