/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Crew: the nodes of a run, as child processes or as threads of this one. Starts them, notices who
 * dies, starts that one again, and stops all in good order.
 */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "nodes/host/host.h"

enum {
	FNX_CREW_MAX = 128
};

struct fnx_crew_member {
	const struct fnx_node_ops *ops;
	char name[FNX_NAME_MAX];
	const struct fnx_status *status; /* NULL until the node has made its page */
	pid_t pid; /* processes; 0: not running */
	unsigned starts;
	int64_t started_ns;
	unsigned quick_deaths; /* in a row, each soon after its start and without progress */
	uint64_t progress; /* frames taken and published, at its last death */
	int in_process; /* a thread, whatever the others are */
	pthread_t thread;
	int thread_started;
	_Atomic int result; /* of the thread, 0 until it has failed */
	struct fnx_node *node;
	struct fnx_crew *crew;
};

struct fnx_crew {
	const struct fnx_rig *rig;
	struct fnx_bus bus;
	const char *rig_path;
	const char *const *overrides; /* "key=value", handed to children */
	size_t n_overrides;
	int threads;
	unsigned n_members;
	unsigned restarts;
	_Atomic int stop; /* enum fnx_stop: what threads are told */
	unsigned unclean; /* nodes that did not leave with exit status 0 when asked to stop */
	char failure[FNX_STATUS_TEXT_MAX];
	struct fnx_crew_member members[FNX_CREW_MAX];
};

/* Puts the nodes that the rig asks for on the list, and `score`. */
int fnx_crew_muster(struct fnx_crew *crew);
/* Starts everybody. 0, or negative errno with crew->failure set. */
int fnx_crew_start(struct fnx_crew *crew);
/* Looks after the crew once: collects the dead and starts them again, opens status pages. Negative
 * errno with crew->failure set when a node failed in a way that starting it again will not mend. */
int fnx_crew_look_after(struct fnx_crew *crew);
/* 1 if every node has ended. */
int fnx_crew_has_ended(const struct fnx_crew *crew);
/* Ends the session, so that who records it has all of it: sources stop and say that they have
 * ended, and readers get a while to take what there is. */
void fnx_crew_drain(struct fnx_crew *crew);
/* Stops everybody: asks, waits, and kills who does not hear. */
void fnx_crew_stop(struct fnx_crew *crew);
void fnx_crew_close_pages(struct fnx_crew *crew);
