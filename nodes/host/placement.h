/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placement: which of a rig's nodes run on which machine, and so which topics go from one to
 * another.
 *
 * A rig without `machines`, or loaded without the name of one (`machine`, an override), runs on one
 * machine: everything is here.
 */
#pragma once

#include "bus/bus.h"
#include "nodes/host/rig.h"
#include "schemas/schema.h"

/* The machine that this is, NULL: all is on one. */
const struct fnx_rig_machine *fnx_rig_here(const struct fnx_rig *rig);
/* 1 if the node runs on this machine. */
int fnx_rig_node_is_here(const struct fnx_rig *rig, const char *node);
/* 1 if the topic is published on this machine, or comes to it whole. */
int fnx_rig_topic_is_here(const struct fnx_rig *rig, const char *topic);
/* 1: some rule of dispatch's looks at it. What none does is no input of dispatch: each frame waits until
 * all inputs have come as far, and a rule on posteriors need not wait for the ripples, nor one on
 * ripples for the end of a time bin. */
int fnx_rig_rules_take(const struct fnx_rig *rig, const char *topic);
/* The k-th link (from 0) of this machine, NULL: there is none; *ret_peer is the other end,
 * *ret_listens whether this one listens. */
const struct fnx_rig_link *fnx_rig_link(const struct fnx_rig *rig, unsigned k,
	const struct fnx_rig_machine **ret_peer, int *ret_listens);
/* Topics that are published on `from` and needed on `to`. Fills in at most `max`; returns how many
 * there are. */
unsigned fnx_rig_topics_between(const struct fnx_rig *rig, const struct fnx_rig_machine *from,
	const struct fnx_rig_machine *to, char (*names)[FNX_NAME_MAX], unsigned max);
/* 1: somebody on `to` must not miss any of it; 0: only monitors read it there. */
int fnx_rig_topic_is_lossless(
	const struct fnx_rig *rig, const char *topic, const struct fnx_rig_machine *to);
/* 1: it promises no watermark (<node>.params). */
int fnx_rig_topic_is_endless(const char *topic);
/* The schema that a topic of the rig has in this build, NULL: it is none of the rig's. */
const struct fnx_schema *fnx_rig_topic_schema(const char *topic);

/* Name of the bridge to machine `peer` (FNX_NAME_MAX bytes), and whether a name is one. */
void fnx_rig_bridge_name(const char *peer, char *ret_name);
int fnx_rig_is_bridge(const char *name);

/* Is what the rig says of machines and links right? 0, or -EINVAL with *ret_path the key at fault
 * (80 bytes) and `what` (200 bytes) the sentence. */
FNX_MUST_CHECK int fnx_placement_check(const struct fnx_rig *rig, char *ret_path, char *ret_what);
