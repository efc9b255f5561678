/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NumPy .npy files for tests: read whole into memory, little endian, C order, up to four
 * dimensions. Element types f8 f4 i8 i4 i2 i1, the same unsigned, and b1. For files that the tests
 * trust: what does not fit is refused, never guessed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	FNX_NPY_DIMS_MAX = 4
};

struct fnx_npy {
	char dtype; /* 'f' float, 'i' signed, 'u' unsigned, 'b' bool */
	uint32_t item_size; /* bytes per element */
	uint32_t n_dims; /* 0 for a scalar */
	size_t shape[FNX_NPY_DIMS_MAX]; /* 1 beyond n_dims */
	size_t n_items; /* product of shape */
	void *data; /* owned; cast according to dtype and item_size */
};

/* Reads `path`. -ENOENT and other errors of open and read; -EINVAL: not a .npy of a kind listed
 * above; -EBADMSG: shorter than its header says; -ENOMEM. */
int fnx_npy_open(const char *path, struct fnx_npy *ret_npy);
/* The same for `name` (without .npy) in directory `dir`. -ENAMETOOLONG. */
int fnx_npy_open_in(const char *dir, const char *name, struct fnx_npy *ret_npy);
void fnx_npy_close(struct fnx_npy *npy);

/* Element `i` of the flattened array as a double, whatever its type. `i` < n_items. */
double fnx_npy_double(const struct fnx_npy *npy, size_t i);
