/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A MessagePack value as a tree of msgpack_object, in memory that the caller gave. Inside schemas/
 * only.
 *
 * Bytes come from files, sockets and other programs, so nothing they say is believed: nesting is
 * bounded, no count in them makes anyone allocate, and strings point into the bytes.
 */
#pragma once

#include <msgpack.h>

#include "schemas/schema.h"

enum {
	FNX_TREE_DEPTH = 16, /* containers within containers; deeper is refused */
};

struct fnx_tree {
	msgpack_object *objects;
	size_t n_objects;
	size_t n_used; /* while parsing */
};

/* Parses exactly `size` bytes. A container for which there is no room in `objects` stays empty,
 * with ptr NULL and size 0, and what it holds is skipped. `ret_root` is valid as long as `data` and
 * until the next parse. Allocates nothing. -EBADMSG: not MessagePack, cut short, followed by more,
 * or nested too deeply. */
FNX_MUST_CHECK int fnx_tree_parse(
	const struct fnx_tree *tree, const void *data, size_t size, msgpack_object *ret_root);

/* The value that `map` has for `key`, or NULL. Keys may be str or bin: msgpack-numpy writes bin. */
const msgpack_object *fnx_tree_find(const msgpack_object *map, const char *key);

/* 1 if it is the str or bin `text`. */
int fnx_tree_is(const msgpack_object *object, const char *text);

/* 0, or -EBADMSG if it is NULL, no integer, or negative or beyond `max`. */
FNX_MUST_CHECK int fnx_tree_uint(const msgpack_object *object, uint64_t max, uint64_t *ret);
