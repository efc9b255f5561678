/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bodies of control requests and replies: a flat MessagePack map of names to nil, booleans, numbers
 * and texts,
 *
 *	{"verb": "set", "name": "threshold.standard", "value": 3.5, "who": "anna"}
 *
 * What the names mean is between a node and who steers it.
 *
 *	const struct fnx_pair reply[] = {
 *		fnx_pair_flag("ok", true), fnx_pair_number("value", 3.5)};
 *	r = fnx_map_encode(reply, 2, buffer, sizeof(buffer), &size);
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "schemas/schema.h"

enum {
	FNX_MAP_PAIRS_MAX = 256
};

enum fnx_value_type {
	FNX_VALUE_NIL = 0,
	FNX_VALUE_FLAG,
	FNX_VALUE_INT,
	FNX_VALUE_UINT, /* decoded: only what is beyond INT64_MAX */
	FNX_VALUE_DOUBLE,
	FNX_VALUE_TEXT,
};

struct fnx_value {
	enum fnx_value_type type;
	uint32_t length; /* text: bytes */
	union {
		bool flag;
		int64_t i64;
		uint64_t u64;
		double f64;
		const char *text; /* without closing 0; UTF-8 without 0 bytes */
	};
};

struct fnx_pair {
	const char *key; /* as text */
	uint32_t key_length;
	struct fnx_value value;
};

struct fnx_map {
	uint32_t n_pairs;
	struct fnx_pair pairs[FNX_MAP_PAIRS_MAX];
};

/* Pairs to encode. They point to `key` and `text` and copy neither. */
static inline struct fnx_pair fnx_pair_nil(const char *key)
{
	return (struct fnx_pair){.key = key, .key_length = (uint32_t)strlen(key)};
}

static inline struct fnx_pair fnx_pair_flag(const char *key, bool flag)
{
	struct fnx_pair pair = fnx_pair_nil(key);

	pair.value.type = FNX_VALUE_FLAG;
	pair.value.flag = flag;
	return pair;
}

static inline struct fnx_pair fnx_pair_int(const char *key, int64_t value)
{
	struct fnx_pair pair = fnx_pair_nil(key);

	pair.value.type = FNX_VALUE_INT;
	pair.value.i64 = value;
	return pair;
}

static inline struct fnx_pair fnx_pair_uint(const char *key, uint64_t value)
{
	struct fnx_pair pair = fnx_pair_nil(key);

	pair.value.type = FNX_VALUE_UINT;
	pair.value.u64 = value;
	return pair;
}

static inline struct fnx_pair fnx_pair_number(const char *key, double value)
{
	struct fnx_pair pair = fnx_pair_nil(key);

	pair.value.type = FNX_VALUE_DOUBLE;
	pair.value.f64 = value;
	return pair;
}

static inline struct fnx_pair fnx_pair_text(const char *key, const char *text)
{
	struct fnx_pair pair = fnx_pair_nil(key);

	pair.value.type = FNX_VALUE_TEXT;
	pair.value.length = (uint32_t)strlen(text);
	pair.value.text = text;
	return pair;
}

/* Allocates nothing. -EMSGSIZE: the buffer is too small, its content then undefined; -E2BIG: more
 * than FNX_MAP_PAIRS_MAX pairs; -EINVAL: a key or text that is not UTF-8, or a key that stands
 * twice. */
FNX_MUST_CHECK int fnx_map_encode(
	const struct fnx_pair *pairs, size_t n, void *buffer, size_t size, size_t *ret_size);

/* Trusts nothing in `data`; keys and texts of `map` point into it. Allocates nothing; `map` is
 * untouched on failure. -EBADMSG: not one flat map, or a key is no text or stands twice; -E2BIG:
 * more than FNX_MAP_PAIRS_MAX pairs. */
FNX_MUST_CHECK int fnx_map_decode(struct fnx_map *map, const void *data, size_t size);

/* NULL: no such key. */
const struct fnx_value *fnx_map_find(const struct fnx_map *map, const char *key);

/* Each: -ENOENT where the key is missing, -EINVAL where the value is of another type. A number may
 * have come as an integer, an integer not as a double. A text is copied with a closing 0;
 * -EMSGSIZE: it does not fit. */
FNX_MUST_CHECK int fnx_map_flag(const struct fnx_map *map, const char *key, bool *ret);
FNX_MUST_CHECK int fnx_map_int(const struct fnx_map *map, const char *key, int64_t *ret);
FNX_MUST_CHECK int fnx_map_number(const struct fnx_map *map, const char *key, double *ret);
FNX_MUST_CHECK int fnx_map_text(
	const struct fnx_map *map, const char *key, char *ret_text, size_t size);

/* What a request must bear besides, to be taken for one that is meant: the CRC-32 (IEEE, as zlib
 * has it) of "KEY=VALUE", VALUE as printf's %.15g writes it. Two such texts that differ in one bit
 * have checks that differ in many. */
uint32_t fnx_control_check(const char *key, double value);
