/* SPDX-License-Identifier: BSD-3-Clause */
/* decode: one posterior over position per time bin. Inputs: position, likelihood.1 .. likelihood.n,
 * and lfp where the rig lets it tell the time. Output: posterior. */
#pragma once

#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_decode_ops;

/* Bytes that the spikes take which wait for their time bin to close, for `fornix check`. */
size_t fnx_decode_waiting_bytes(uint32_t n_bins);
