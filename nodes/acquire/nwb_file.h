/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An HDF5 file, read without trust: what every part of the NWB reader asks of libhdf5, with
 * failures told in one line that names file, object, what was expected and what was found.
 *
 * HDF5 is not thread safe as a rule: one thread of a process uses these functions. HDF5's own
 * printing of errors is turned off for the thread that opens a file. Nothing here is real-time.
 *
 * Results are 0 or a negative errno, and the line is in `file->error`:
 *	-ENOENT        the file or the object is not there
 *	-EBADMSG       the file is not HDF5, or damaged, or an object is not what it should be
 *	-EINVAL        the rig asks for what the file does not have
 *	-EFBIG         more than the limits of the reader
 *	-ENAMETOOLONG  a path of NWB_PATH_SIZE or more
 *	-ENOMEM
 * A zeroed struct is closed; closing it does nothing.
 */
#pragma once

#include <hdf5.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/bus.h"

enum {
	NWB_PATH_SIZE = 256,
	NWB_NAME_SIZE = 64,
	NWB_ERROR_SIZE = 1024,
	NWB_RANK_MAX = 3,
	NWB_FOUND_MAX = 256,
};

struct nwb_file {
	hid_t id;
	char *path;
	char error[NWB_ERROR_SIZE];
};

enum nwb_element {
	NWB_NUMBER, /* integer or float */
	NWB_REFERENCE, /* object reference */
};

/* An open dataset; `dims` beyond `rank` are 1. */
struct nwb_dataset {
	struct nwb_file *file;
	hid_t id;
	char path[NWB_PATH_SIZE];
	unsigned rank;
	uint64_t dims[NWB_RANK_MAX];
	bool is_integer;
	bool fits_int16; /* integers that int16_t holds exactly */
};

/* Paths of groups, in the order of the file. */
struct nwb_found {
	uint32_t n;
	char paths[NWB_FOUND_MAX][NWB_PATH_SIZE];
};

FNX_MUST_CHECK int fnx_nwb_file_open(struct nwb_file *file, const char *path);
void fnx_nwb_file_close(struct nwb_file *file);

/* Writes "<file>: <object>: <text>" to file->error, one line, and returns `r`. No object: NULL. */
int fnx_nwb_fail(struct nwb_file *file, int r, const char *object, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same with HDF5's own reason behind it; to be called right after the function that failed. */
int fnx_nwb_fail_hdf5(struct nwb_file *file, int r, const char *object, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* n elements of zeros, or NULL with file->error set. n may be 0. */
void *fnx_nwb_alloc(struct nwb_file *file, const char *object, uint64_t n, size_t size);

/* `group`/`name` in one path; -ENAMETOOLONG. */
FNX_MUST_CHECK int fnx_nwb_join(
	struct nwb_file *file, const char *group, const char *name, char ret_path[NWB_PATH_SIZE]);
/* Whether the path leads to an object. */
bool fnx_nwb_exists(struct nwb_file *file, const char *path);
/* Opens a group; -ENOENT, or -EBADMSG where it is something else. */
FNX_MUST_CHECK int fnx_nwb_group_open(struct nwb_file *file, const char *path, hid_t *ret_id);

/* The attribute as text, cut to fit; empty where there is none or where it is not a string. */
void fnx_nwb_text(hid_t object, const char *name, char *ret_text, size_t size);
/* The attribute as a number, `otherwise` where there is none. */
FNX_MUST_CHECK int fnx_nwb_number(struct nwb_file *file, hid_t object, const char *path,
	const char *name, double otherwise, double *ret_number);

/* Opens `group`/`name`; its elements and its rank must be as said. */
FNX_MUST_CHECK int fnx_nwb_dataset_open(struct nwb_file *file, const char *group, const char *name,
	enum nwb_element element, unsigned rank_min, unsigned rank_max,
	struct nwb_dataset *ret_dataset);
void fnx_nwb_dataset_close(struct nwb_dataset *dataset);
/* All of it, converted to `type`. `ret_values` holds as many as dims say. */
FNX_MUST_CHECK int fnx_nwb_dataset_read(struct nwb_dataset *dataset, hid_t type, void *ret_values);
/* Opens, reads and closes `group`/`name`, [n], n at most `n_max`. The values are the caller's to
 * free(). */
FNX_MUST_CHECK int fnx_nwb_column_read(struct nwb_file *file, const char *group, const char *name,
	enum nwb_element element, hid_t type, size_t size, uint64_t n_max, void **ret_values,
	uint64_t *ret_n);

/* Calls `visit` for each link of a group, in the order of the file: that of creation where the file
 * keeps it, else that of the names. A link that leads nowhere is passed over. Stops at a result
 * other than 0 and returns it. */
FNX_MUST_CHECK int fnx_nwb_children(struct nwb_file *file, const char *path,
	int (*visit)(struct nwb_file *file, const char *path, const char *name, void *data),
	void *data);
/* Adds to `found` the groups of neurodata_type `type` under `root` (which may be missing), at any
 * depth, but for those inside a group of a type in `except` (NULL-terminated). */
FNX_MUST_CHECK int fnx_nwb_find(struct nwb_file *file, const char *root, const char *type,
	const char *const *except, struct nwb_found *found);
