/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A description: a schema and its extents as bytes, so that a topic or a file explains itself.
 *
 *	{"name": "posterior", "hash": .., "size": 1448, "struct_size": 56,
 *	 "extents": {"n_states": 3, "n_bins": 41, "n_recent": 10},
 *	 "fields": [{"name": "posterior", "type": "<f8", "unit": "", "meaning": "sums to 1 ..",
 *	             "shape": [3, 41], "dims": ["n_states", "n_bins"],
 *	             "offset": 56, "size": 984}, ..]}
 *
 * "type" is NumPy's (text: "S32"), "shape" is empty for fields of the struct. So in Python:
 *
 *	f = description["fields"]
 *	np.dtype({"names": [i["name"] for i in f],
 *	          "formats": [(i["type"], tuple(i["shape"])) for i in f],
 *	          "offsets": [i["offset"] for i in f], "itemsize": description["size"]})
 */
#pragma once

#include "schemas/schema.h"

enum {
	FNX_DESCRIPTION_MAX = 16384, /* bytes: longer ones are neither written nor read */
	FNX_DESCRIPTION_UNIT_MAX = 32, /* bytes with the closing 0 */
	FNX_DESCRIPTION_MEANING_MAX = 160,
};

/* Answers of a decode: the layout, whose schema points into the same block. */
struct fnx_description {
	struct fnx_schema schema;
	struct fnx_layout layout;
};

/* Allocates nothing. -EMSGSIZE: the buffer is too small; FNX_DESCRIPTION_MAX bytes are enough for
 * every message of messages.c. */
FNX_MUST_CHECK int fnx_description_encode(
	const struct fnx_layout *layout, void *buffer, size_t size, size_t *ret_size);

/* Trusts nothing in `data`. Accepts only what fnx_layout_init() makes of the same schema and
 * extents, so that the layout can be used like one that was compiled in. Start-up only; the caller
 * frees *ret, which does not point into `data`. -EBADMSG: not a description, or it contradicts
 * itself (hash, offsets, sizes, overlapping fields, names that are no identifiers or stand twice or
 * are the stamp's, units or meanings with control characters); -ENOMEM. */
FNX_MUST_CHECK int fnx_description_decode(
	const void *data, size_t size, struct fnx_description **ret);
/* NULL is fine. Returns NULL. */
struct fnx_description *fnx_description_free(struct fnx_description *description);
