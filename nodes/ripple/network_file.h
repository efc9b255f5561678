/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network in an HDF5 file: named arrays and the list of layers that use them (docs/network.md has
 * the format). What `fornix import-network` writes and the ripple node reads.
 *
 * HDF5 knows no threads: to be called while nodes are being opened, before a source of the same
 * process reads. Never on the frame path.
 */
#pragma once

#include "nodes/ripple/network.h"

enum {
	FNX_NETWORK_ERROR_MAX = 512,
	FNX_NETWORK_FILE_VERSION = 1,
	FNX_NETWORK_RANK_MAX = 4,
};

struct fnx_network_file {
	struct fnx_network_shape input;
	uint32_t n_layers;
	struct fnx_network_layer *layers; /* [n_layers] */
	double **arrays; /* [n_arrays], what the layers point to */
	uint32_t n_arrays;
};

/* On failure `error` (FNX_NETWORK_ERROR_MAX bytes) holds one line that begins with the path.
 * -ENOENT, -EACCES: the file; -EBADMSG: no such HDF5 file, or damaged; -ENOMEM. */
int fnx_network_file_load(const char *path, struct fnx_network_file **ret_file, char *error);
/* NULL, always. */
struct fnx_network_file *fnx_network_file_free(struct fnx_network_file *file);

/* Loads the file and makes the network of it. `height`: it looks at so many samples at a time,
 * whatever the file says; 0: what the file says. Errors as above. */
int fnx_network_open(const char *path, uint32_t height, bool double_precision,
	struct fnx_network **ret_network, char *error);

/* One named array, as it is to be stored: single precision. */
struct fnx_network_array {
	const char *name; /* "00_conv1d/kernel" */
	uint32_t rank;
	uint64_t extents[FNX_NETWORK_RANK_MAX];
	const float *values;
};

/* Writes a file that does not exist yet; `layers` is the list as JSON. -EEXIST and others, with
 * `error` set as above; nothing is left behind then. */
int fnx_network_file_save(const char *path, const char *layers,
	const struct fnx_network_array *arrays, uint32_t n_arrays, char *error);
