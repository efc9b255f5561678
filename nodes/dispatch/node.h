/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dispatch: decides when to stimulate, and has it done. Inputs, where the rig has them:
 * position, ripple, posterior. Outputs: decision, decision.outcome.
 *
 * Rules and their arithmetic: replay.h, ripple_rule.h. What may be done about a rule that is
 * true: safety.h. By whom: team.h, actuator.h.
 *
 * Parameters: armed, dry_run, and of each rule RULE.threshold and so on, RULE being its name
 * with '_' for what is neither a letter nor a digit. With many rules only the first kinds of
 * the list in open.c find room. The limits that protect the animal (lock-outs, rate) are the
 * rig file's alone: nothing that runs can loosen them.
 */
#pragma once

#include "nodes/host/node.h"

enum {
	FNX_DISPATCH_OUTCOMES = 16, /* that are published with one frame at the most */
};

extern const struct fnx_node_ops fnx_dispatch_ops;
