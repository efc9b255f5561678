/* SPDX-License-Identifier: BSD-3-Clause */
/* encode: what each spike says about position, learnt while the animal runs. Inputs: position,
 * spikes. Output: likelihood.<k> for the k-th instance of the rig, from 1. */
#pragma once

#include "nodes/encode/model.h"
#include "nodes/host/node.h"

extern const struct fnx_node_ops fnx_encode_ops;

/* What the rig wants of electrode group `id`, but for the smoothing. */
struct fnx_model_config fnx_encode_model_config(
	const struct fnx_rig *rig, uint32_t id, uint32_t n_bins);
/* -EINVAL: the node will refuse that; ret_why [size] says why. */
int fnx_encode_check_group(
	const struct fnx_rig *rig, uint32_t id, uint32_t n_bins, char *ret_why, size_t size);
