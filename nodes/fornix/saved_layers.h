/* SPDX-License-Identifier: BSD-3-Clause */
/* From Keras's description of a sequential model to the layer list of a network file. */
#pragma once

#include "nodes/fornix/saved_model.h"

enum {
	FNX_SAVED_ARRAYS_MAX = 4 * FNX_NETWORK_LAYERS_MAX,
};

struct fnx_saved_layers {
	char *text; /* the list, JSON */
	struct fnx_network_array arrays[FNX_SAVED_ARRAYS_MAX]; /* values are the model's */
	char names[FNX_SAVED_ARRAYS_MAX][64];
	uint32_t n_arrays;
	struct fnx_network_shape input; /* height 0: any */
};

/* `height`: samples that the network looks at, where the model leaves it open; 0: what the model
 * says. On failure `error` (FNX_NETWORK_ERROR_MAX bytes) holds one line that names the layer.
 * -EBADMSG: no sequence of known layers; a tensor is missing or has another shape; -ENOMEM. */
int fnx_saved_layers(const struct fnx_saved_model *model, uint32_t height,
	struct fnx_saved_layers *ret_layers, char *error);
void fnx_saved_layers_fini(struct fnx_saved_layers *layers);
