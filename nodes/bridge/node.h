/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bridge: topics to and from another machine. One per link of this machine
 * (nodes/host/placement.h), called bridge.MACHINE after the other end. What goes each way follows
 * from the rig: each topic to where a node needs it.
 */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_bridge_ops;
