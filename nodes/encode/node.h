/* SPDX-License-Identifier: BSD-3-Clause */
/* encode: what each spike says about position, learnt while the animal runs. Inputs: position,
 * spikes. Output: likelihood.<k> for the k-th instance of the rig, from 1. */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_encode_ops;
