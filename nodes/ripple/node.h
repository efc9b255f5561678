/* SPDX-License-Identifier: BSD-3-Clause */
/* ripple: detects sharp-wave ripples in the LFP. Inputs: position (where the rig has a track), lfp.
 * Output: ripple. */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_ripple_ops;
