/* SPDX-License-Identifier: BSD-3-Clause */
/* tap: publishes topics over ZeroMQ, for scripts. Inputs: tap.topics, or all the rig has. No
 * outputs on the bus. */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_tap_ops;
