/* SPDX-License-Identifier: BSD-3-Clause */
/* acquire: brings a session onto the bus. Outputs: position, spikes, lfp and truth, as far as the
 * rig and the source have them. */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_acquire_ops;
