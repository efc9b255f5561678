/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of `fornix check`: what a rig would run, printed; and what is odd about it. Nothing is
 * opened. */
#pragma once

#include "nodes/fornix/command.h"
#include "nodes/host/topics.h"
#include "nodes/host/track.h"
#include "nodes/ripple/design.h"

struct fnx_check {
	const struct fnx_rig *rig;
	struct fnx_track *track; /* NULL: none */
	struct fnx_ripple_design *design; /* NULL: no ripple section */
	uint64_t pool_bytes; /* of all topics and states together, set by fnx_check_print_topics */
	unsigned n_warnings, n_refusals; /* the latter: for which a node would not start */
};

/* check_topics.c: topics, who publishes them, and the memory that they take. */
void fnx_check_print_topics(struct fnx_check *check);
/* check_states.c: the same for what nodes have learnt. Counts into check->pool_bytes. */
void fnx_check_print_states(struct fnx_check *check);
/* check_filters.c: what the ripple node's filters do. */
void fnx_check_print_filters(struct fnx_check *check);
/* check_warnings.c: what is allowed and probably not meant, and what a node would refuse when it is
 * opened. Counts into check->n_warnings, n_refusals. */
void fnx_check_print_warnings(struct fnx_check *check);

/* Electrode group `id` is among those. */
int fnx_check_is_group_of(const struct fnx_rig_ids *groups, uint32_t id);
/* LFP channels that the ripple node looks at. */
uint32_t fnx_check_ripple_channels(const struct fnx_rig *rig);
