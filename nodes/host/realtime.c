/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Real-time set-up of the calling thread: what the rig asks for and the machine permits. What is
 * refused is said, with the remedy, and the node runs on without it: an experiment on a laptop must
 * be possible.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "nodes/host/host.h"

static const struct fnx_rig_node *wishes(const struct fnx_node *node)
{
	for (uint32_t i = 0; i < node->rig->n_nodes; i++)
		if (!strcmp(node->rig->nodes[i].name, node->name))
			return &node->rig->nodes[i];
	return NULL;
}

enum fnx_wait fnx_node_wait(const struct fnx_node *node)
{
	const struct fnx_rig_node *wish = wishes(node);

	return wish && wish->wait ? *wish->wait : node->rig->bus.wait;
}

static void note(struct fnx_node *node, const char *what, int error, const char *remedy)
{
	char *text = node->status->realtime;
	size_t used = strnlen(text, FNX_STATUS_TEXT_MAX - 1);

	if (error)
		snprintf(text + used, FNX_STATUS_TEXT_MAX - used, "%s%s refused (%s; %s)",
			used ? ", " : "", what, strerror(error), remedy);
	else
		snprintf(text + used, FNX_STATUS_TEXT_MAX - used, "%s%s", used ? ", " : "", what);
}

/* As fast as the slowest node, for the whole session: nobody waits for a frame by the clock.
 * Where it has a pace from some time on, what is woken then must run at once. */
static int is_unpaced(const struct fnx_node *node)
{
	return !node->live && node->rig->source.speed == 0;
}

/* Whoever is woken then lets the other go on until that one sleeps or its time is up, instead of
 * taking the core from it for every frame. Where there are more nodes than cores, each change costs
 * the caches of both. */
static void let_others_finish(struct fnx_node *node)
{
	const struct sched_param param = {0};

	if (sched_getscheduler(0) == SCHED_OTHER)
		note(node, "SCHED_BATCH, since the session has no pace",
			sched_setscheduler(0, SCHED_BATCH, &param) < 0 ? errno : 0,
			"is that barred?");
}

void fnx_realtime_apply(struct fnx_node *node)
{
	const struct fnx_rig_node *wish = wishes(node);
	char why[64], what[sizeof(why) + 32];

	node->status->realtime[0] = 0;
	atomic_store(&node->status->tid, gettid());
	node->crowded = fnx_node_crowded(node, why, sizeof(why));
	/* Timers fire when they are due, not within the usual 50 us of it. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		note(node, "memory lock", errno, "raise LimitMEMLOCK");
	else
		note(node, "memory locked", 0, NULL);
	if (wish && wish->cpu && *wish->cpu >= 0) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET((size_t)*wish->cpu, &cpus);
		snprintf(what, sizeof(what), "cpu %d", *wish->cpu);
		note(node, what, sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ? errno : 0,
			"is there such a cpu?");
	}
	if (wish && wish->priority > 0) {
		struct sched_param param = {.sched_priority = wish->priority};

		snprintf(what, sizeof(what), "SCHED_FIFO %d", wish->priority);
		note(node, what, sched_setscheduler(0, SCHED_FIFO, &param) < 0 ? errno : 0,
			"raise LimitRTPRIO");
	} else if (is_unpaced(node)) {
		let_others_finish(node);
	}
	if (node->crowded && fnx_node_wait(node) == FNX_WAIT_ADAPTIVE) {
		snprintf(what, sizeof(what), "sleeps at once, since %s", why);
		note(node, what, 0, NULL);
	}
}
