/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/acquire/node.h"
#include "nodes/bridge/node.h"
#include "nodes/decode/node.h"
#include "nodes/dispatch/node.h"
#include "nodes/encode/node.h"
#include "nodes/fornix/command.h"
#include "nodes/record/node.h"
#include "nodes/ripple/node.h"
#include "nodes/tap/node.h"

const struct fnx_node_ops *const fnx_all_nodes[] = {&fnx_acquire_ops, &fnx_ripple_ops,
	&fnx_encode_ops, &fnx_decode_ops, &fnx_dispatch_ops, &fnx_record_ops, &fnx_tap_ops,
	&fnx_bridge_ops, NULL};
