/* SPDX-License-Identifier: BSD-3-Clause */
#include "schemas/control.h"

#include <errno.h>
#include <stdio.h>

#include "schemas/pack.h"
#include "schemas/text.h"
#include "schemas/tree.h"

static int same_key(const struct fnx_pair *a, const struct fnx_pair *b)
{
	return a->key_length == b->key_length && memcmp(a->key, b->key, a->key_length) == 0;
}

static int key_repeats(const struct fnx_pair *pairs, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (same_key(&pairs[i], &pairs[j]))
			return 1;
	return 0;
}

static int is_text(const char *bytes, size_t size)
{
	return fnx_text_prefix(bytes, size) == size;
}

static int pack_value(struct fnx_pack *pack, const struct fnx_value *value)
{
	switch (value->type) {
	case FNX_VALUE_NIL:
		return msgpack_pack_nil(&pack->packer);
	case FNX_VALUE_FLAG:
		return value->flag ? msgpack_pack_true(&pack->packer)
				   : msgpack_pack_false(&pack->packer);
	case FNX_VALUE_INT:
		return msgpack_pack_int64(&pack->packer, value->i64);
	case FNX_VALUE_UINT:
		return msgpack_pack_uint64(&pack->packer, value->u64);
	case FNX_VALUE_DOUBLE:
		return msgpack_pack_double(&pack->packer, value->f64);
	case FNX_VALUE_TEXT:
		if (!is_text(value->text, value->length))
			return -EINVAL;
		return fnx_pack_text(pack, value->text, value->length);
	}
	return -EINVAL;
}

int fnx_map_encode(
	const struct fnx_pair *pairs, size_t n, void *buffer, size_t size, size_t *ret_size)
{
	struct fnx_pack pack;
	int r;

	if (n > FNX_MAP_PAIRS_MAX)
		return -E2BIG;
	fnx_pack_init(&pack, buffer, size);
	r = msgpack_pack_map(&pack.packer, n);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (!is_text(pairs[i].key, pairs[i].key_length) || key_repeats(pairs, i))
			return -EINVAL;
		r = fnx_pack_text(&pack, pairs[i].key, pairs[i].key_length);
		r = r ? r : pack_value(&pack, &pairs[i].value);
	}
	if (r == 0)
		*ret_size = pack.used;
	return r;
}

static int read_value(const msgpack_object *from, struct fnx_value *ret)
{
	*ret = (struct fnx_value){.type = FNX_VALUE_NIL};
	switch (from->type) {
	case MSGPACK_OBJECT_NIL:
		return 0;
	case MSGPACK_OBJECT_BOOLEAN:
		ret->type = FNX_VALUE_FLAG;
		ret->flag = from->via.boolean;
		return 0;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		ret->type = from->via.u64 <= INT64_MAX ? FNX_VALUE_INT : FNX_VALUE_UINT;
		ret->u64 = from->via.u64;
		return 0;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		ret->type = FNX_VALUE_INT;
		ret->i64 = from->via.i64;
		return 0;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		ret->type = FNX_VALUE_DOUBLE;
		ret->f64 = from->via.f64;
		return 0;
	case MSGPACK_OBJECT_STR:
		if (!is_text(from->via.str.ptr, from->via.str.size))
			return -EBADMSG;
		ret->type = FNX_VALUE_TEXT;
		ret->length = from->via.str.size;
		ret->text = from->via.str.ptr;
		return 0;
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
		return -EBADMSG;
	}
	return -EBADMSG;
}

static int read_pair(const msgpack_object_kv *from, struct fnx_pair *ret)
{
	const msgpack_object *key = &from->key;

	if (key->type != MSGPACK_OBJECT_STR || !is_text(key->via.str.ptr, key->via.str.size))
		return -EBADMSG;
	ret->key = key->via.str.ptr;
	ret->key_length = key->via.str.size;
	return read_value(&from->val, &ret->value);
}

int fnx_map_decode(struct fnx_map *map, const void *data, size_t size)
{
	msgpack_object objects[2 * FNX_MAP_PAIRS_MAX];
	struct fnx_tree tree = {objects, 2 * FNX_MAP_PAIRS_MAX, 0};
	struct fnx_map made;
	msgpack_object root;

	if (fnx_tree_parse(&tree, data, size, &root) < 0 || root.type != MSGPACK_OBJECT_MAP)
		return -EBADMSG;
	if (!root.via.map.ptr)
		return -E2BIG;
	made.n_pairs = root.via.map.size;
	for (uint32_t i = 0; i < made.n_pairs; i++)
		if (read_pair(&root.via.map.ptr[i], &made.pairs[i]) < 0 ||
			key_repeats(made.pairs, i))
			return -EBADMSG;
	map->n_pairs = made.n_pairs;
	memcpy(map->pairs, made.pairs, made.n_pairs * sizeof(made.pairs[0]));
	return 0;
}

const struct fnx_value *fnx_map_find(const struct fnx_map *map, const char *key)
{
	const struct fnx_pair wanted = fnx_pair_nil(key);

	for (uint32_t i = 0; i < map->n_pairs; i++)
		if (same_key(&map->pairs[i], &wanted))
			return &map->pairs[i].value;
	return NULL;
}

int fnx_map_flag(const struct fnx_map *map, const char *key, bool *ret)
{
	const struct fnx_value *value = fnx_map_find(map, key);

	if (!value)
		return -ENOENT;
	if (value->type != FNX_VALUE_FLAG)
		return -EINVAL;
	*ret = value->flag;
	return 0;
}

int fnx_map_int(const struct fnx_map *map, const char *key, int64_t *ret)
{
	const struct fnx_value *value = fnx_map_find(map, key);

	if (!value)
		return -ENOENT;
	if (value->type != FNX_VALUE_INT)
		return -EINVAL;
	*ret = value->i64;
	return 0;
}

int fnx_map_number(const struct fnx_map *map, const char *key, double *ret)
{
	const struct fnx_value *value = fnx_map_find(map, key);

	if (!value)
		return -ENOENT;
	switch (value->type) {
	case FNX_VALUE_INT:
		*ret = (double)value->i64;
		return 0;
	case FNX_VALUE_UINT:
		*ret = (double)value->u64;
		return 0;
	case FNX_VALUE_DOUBLE:
		*ret = value->f64;
		return 0;
	case FNX_VALUE_NIL:
	case FNX_VALUE_FLAG:
	case FNX_VALUE_TEXT:
		break;
	}
	return -EINVAL;
}

int fnx_map_text(const struct fnx_map *map, const char *key, char *ret_text, size_t size)
{
	const struct fnx_value *value = fnx_map_find(map, key);

	if (!value)
		return -ENOENT;
	if (value->type != FNX_VALUE_TEXT)
		return -EINVAL;
	if (value->length >= size)
		return -EMSGSIZE;
	memcpy(ret_text, value->text, value->length);
	ret_text[value->length] = 0;
	return 0;
}

uint32_t fnx_control_check(const char *key, double value)
{
	uint32_t crc = ~UINT32_C(0);
	char text[256];

	snprintf(text, sizeof(text), "%.200s=%.15g", key, value);
	for (const char *c = text; *c; c++) {
		crc ^= (unsigned char)*c;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}
