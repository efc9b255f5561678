/* SPDX-License-Identifier: BSD-3-Clause */
/* record: writes topics to an MCAP file that kill -9 cannot take away. Inputs: record.topics, or
 * all the rig has. No outputs. */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_record_ops;
