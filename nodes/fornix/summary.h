/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run came to: gathered from the nodes' status pages and the score, printed for people,
 * written as JSON. */
#pragma once

#include "nodes/fornix/crew.h"
#include "nodes/fornix/score.h"

struct fnx_summary {
	double session_s, wall_s;
	uint64_t gaps, missed, drops, late, bad, missed_wakes, spikes;
	struct fnx_score_error error;
	uint64_t ripple_hits, ripple_misses, ripple_false_alarms;
	int has_ripple_truth;
};

/* Before the crew is stopped: pages of stopped nodes say nothing new, but their topics are gone. */
void fnx_summary_gather(struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score, int64_t started_ns, int64_t ended_ns);
void fnx_summary_print(const struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score);
/* 0, or negative errno. */
int fnx_summary_write_json(const struct fnx_summary *summary, const struct fnx_crew *crew,
	const struct fnx_score *score, const char *path);
/* One line of progress, without line end. */
void fnx_summary_progress(const struct fnx_crew *crew, const struct fnx_score *score,
	int64_t started_ns, char *line, size_t size);
