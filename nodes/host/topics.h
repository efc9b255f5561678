/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rig's topics: which there will be once its nodes run. For those who take them all: record, tap,
 * the command line.
 */
#pragma once

#include "bus/bus.h"
#include "nodes/host/node.h"
#include "nodes/host/rig.h"

enum {
	FNX_RIG_TOPICS_MAX = 160
};

/* The topics that promise watermarks, in the order in which frames of one sample time follow each
 * other: position, spikes, lfp, truth, likelihood.1 .., posterior, ripple, decision. Fills in at
 * most `max` names; returns how many there are. */
unsigned fnx_rig_topics(const struct fnx_rig *rig, char (*names)[FNX_NAME_MAX], unsigned max);

/* The topics on which nodes tell their changed parameters: <node>.params. They promise nothing. */
unsigned fnx_rig_params(const struct fnx_rig *rig, char (*names)[FNX_NAME_MAX], unsigned max);

/* Frames per pool that the rig gives to a topic. */
uint32_t fnx_rig_topic_slots(const struct fnx_rig *rig, const char *topic);

/* For a node's open: declares as inputs the rig's topics that `names` lists, or all where it is
 * empty; params topics as FNX_INPUT_ASIDE, the others with `flags`. `key` is what the rig file
 * calls the list. 0, or negative errno after fnx_node_fail. */
FNX_MUST_CHECK int fnx_node_input_topics(
	struct fnx_node *node, const struct fnx_rig_names *names, const char *key, unsigned flags);
