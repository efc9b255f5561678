/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a TensorFlow SavedModel directory of a Keras model holds that a sequential network needs:
 * its tensors of 32-bit floats by name, and Keras's own description of the layers, as JSON.
 *
 *	variables/variables.index            a sorted table: name -> type, shape, where the bytes are
 *	variables/variables.data-00000-of-N  the bytes, little-endian
 *	keras_metadata.pb                    descriptions; older models have them in saved_model.pb
 *
 * Files may hold anything: sizes are bounded, checksums of the table's blocks and of each tensor
 * are verified.
 */
#pragma once

#include "nodes/ripple/network_file.h"

enum {
	FNX_SAVED_MODEL_TENSORS_MAX = 4096,
	FNX_SAVED_MODEL_NAME_MAX = 256,
	FNX_SAVED_MODEL_RANK_MAX = 8,
};

struct fnx_tensor {
	char name[FNX_SAVED_MODEL_NAME_MAX];
	uint32_t rank;
	uint64_t extents[FNX_SAVED_MODEL_RANK_MAX];
	uint64_t n; /* values */
	float *values; /* NULL: of another type than float, never read */
};

struct fnx_saved_model {
	char *description; /* JSON of the model */
	struct fnx_tensor *tensors;
	uint32_t n_tensors;
};

/* On failure `error` (FNX_NETWORK_ERROR_MAX bytes) holds one line that begins with the file.
 * Negative errno of the file; -EBADMSG: damaged, cut off, or not of this kind; -ENOMEM. */
int fnx_saved_model_read(const char *directory, struct fnx_saved_model *ret_model, char *error);
void fnx_saved_model_fini(struct fnx_saved_model *model);
/* NULL: no tensor of floats has this name. */
const struct fnx_tensor *fnx_saved_model_find(
	const struct fnx_saved_model *model, const char *name);
/* CRC-32C. */
uint32_t fnx_crc32c(const void *bytes, size_t size);
