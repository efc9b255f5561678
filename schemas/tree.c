/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * msgpack-c's own msgpack_unpack() takes memory from malloc for whatever count a container claims:
 * five bytes can ask for 200 GB, and even a good message costs an allocation. Its parser, though,
 * is a template with the memory left open (msgpack/unpack_template.h). Here it is filled in with a
 * fixed array of objects.
 *
 * Objects are handed out in the order in which containers open. So when a container turns out to be
 * unwanted (its parent had no room), everything from its first object on can be taken back.
 */
#include "schemas/tree.h"

#include <errno.h>
#include <string.h>

#define MSGPACK_EMBED_STACK_SIZE FNX_TREE_DEPTH
#include <msgpack/unpack_define.h>

static msgpack_object *take(struct fnx_tree *tree, uint64_t n)
{
	msgpack_object *objects = &tree->objects[tree->n_used];

	if (n > tree->n_objects - tree->n_used)
		return NULL;
	tree->n_used += n;
	return objects;
}

static void give_back(struct fnx_tree *tree, const msgpack_object *object)
{
	const void *first = NULL;

	if (object->type == MSGPACK_OBJECT_ARRAY)
		first = object->via.array.ptr;
	else if (object->type == MSGPACK_OBJECT_MAP)
		first = object->via.map.ptr;
	if (first)
		tree->n_used = (size_t)((const msgpack_object *)first - tree->objects);
}

static int set_uint(msgpack_object *o, uint64_t value)
{
	*o = (msgpack_object){.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = value};
	return 0;
}

static int set_int(msgpack_object *o, int64_t value)
{
	if (value >= 0)
		return set_uint(o, (uint64_t)value);
	*o = (msgpack_object){.type = MSGPACK_OBJECT_NEGATIVE_INTEGER, .via.i64 = value};
	return 0;
}

static int set_bool(msgpack_object *o, bool value)
{
	*o = (msgpack_object){.type = MSGPACK_OBJECT_BOOLEAN, .via.boolean = value};
	return 0;
}

/* The callbacks, by the names the template knows them. It is a system header, so the compiler does
 * not warn where one of them has the wrong type. */
/* clang-format off */
#define ON(name, ...)                                                                              \
	static inline int tree_on_##name(                                                          \
		struct fnx_tree *tree, ##__VA_ARGS__, msgpack_object *o)
#define ON_NUMBER(name, type, set) ON(name, type d) { (void)tree; return set(o, d); }
ON_NUMBER(uint8, uint8_t, set_uint)
ON_NUMBER(uint16, uint16_t, set_uint)
ON_NUMBER(uint32, uint32_t, set_uint)
ON_NUMBER(uint64, uint64_t, set_uint)
ON_NUMBER(int8, int8_t, set_int)
ON_NUMBER(int16, int16_t, set_int)
ON_NUMBER(int32, int32_t, set_int)
ON_NUMBER(int64, int64_t, set_int)
ON(true) { (void)tree; return set_bool(o, true); }
ON(false) { (void)tree; return set_bool(o, false); }
/* clang-format on */

ON(nil)
{
	(void)tree;
	*o = (msgpack_object){.type = MSGPACK_OBJECT_NIL};
	return 0;
}

ON(float, float d)
{
	(void)tree;
	*o = (msgpack_object){.type = MSGPACK_OBJECT_FLOAT32, .via.f64 = (double)d};
	return 0;
}

ON(double, double d)
{
	(void)tree;
	*o = (msgpack_object){.type = MSGPACK_OBJECT_FLOAT64, .via.f64 = d};
	return 0;
}

ON(str, const char *data, const char *bytes, unsigned size)
{
	(void)tree, (void)data;
	*o = (msgpack_object){.type = MSGPACK_OBJECT_STR};
	o->via.str.ptr = size ? bytes : "";
	o->via.str.size = size;
	return 0;
}

ON(bin, const char *data, const char *bytes, unsigned size)
{
	(void)tree, (void)data;
	*o = (msgpack_object){.type = MSGPACK_OBJECT_BIN};
	o->via.bin.ptr = size ? bytes : "";
	o->via.bin.size = size;
	return 0;
}

/* Nobody here reads extension types; the largest wraps to size 0 in the template. */
ON(ext, const char *data, const char *bytes, unsigned size)
{
	(void)tree, (void)data, (void)bytes;
	*o = (msgpack_object){.type = MSGPACK_OBJECT_EXT};
	return size ? 0 : MSGPACK_UNPACK_PARSE_ERROR;
}

ON(array, unsigned n)
{
	*o = (msgpack_object){.type = MSGPACK_OBJECT_ARRAY};
	o->via.array.ptr = take(tree, n);
	return 0;
}

static inline int tree_on_array_item(struct fnx_tree *tree, msgpack_object *c, msgpack_object item)
{
	if (c->via.array.ptr)
		c->via.array.ptr[c->via.array.size++] = item;
	else
		give_back(tree, &item);
	return 0;
}

ON(map, unsigned n)
{
	*o = (msgpack_object){.type = MSGPACK_OBJECT_MAP};
	o->via.map.ptr = (msgpack_object_kv *)(void *)take(tree, 2 * (uint64_t)n);
	return 0;
}

static inline int tree_on_map_item(
	struct fnx_tree *tree, msgpack_object *c, msgpack_object key, msgpack_object value)
{
	if (c->via.map.ptr) {
		c->via.map.ptr[c->via.map.size++] = (msgpack_object_kv){key, value};
		return 0;
	}
	give_back(tree, &value);
	give_back(tree, &key);
	return 0;
}

static inline msgpack_object tree_on_root(struct fnx_tree *tree)
{
	(void)tree;
	return (msgpack_object){.type = MSGPACK_OBJECT_NIL};
}

#define msgpack_unpack_struct(name) struct tree##name
#define msgpack_unpack_func(ret, name) static inline ret tree##name
#define msgpack_unpack_callback(name) tree_on##name
#define msgpack_unpack_object msgpack_object
#define msgpack_unpack_user struct fnx_tree
#include <msgpack/unpack_template.h>

int fnx_tree_parse(
	const struct fnx_tree *tree, const void *data, size_t size, msgpack_object *ret_root)
{
	struct tree_context context;
	size_t offset = 0;

	context.user = *tree;
	context.user.n_used = 0;
	tree_init(&context);
	if (tree_execute(&context, data, size, &offset) != 1 || offset != size)
		return -EBADMSG;
	*ret_root = tree_data(&context);
	return 0;
}

int fnx_tree_is(const msgpack_object *object, const char *text)
{
	size_t size = strlen(text);

	if (object->type == MSGPACK_OBJECT_STR)
		return object->via.str.size == size && !memcmp(object->via.str.ptr, text, size);
	if (object->type == MSGPACK_OBJECT_BIN)
		return object->via.bin.size == size && !memcmp(object->via.bin.ptr, text, size);
	return 0;
}

const msgpack_object *fnx_tree_find(const msgpack_object *map, const char *key)
{
	if (map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++)
		if (fnx_tree_is(&map->via.map.ptr[i].key, key))
			return &map->via.map.ptr[i].val;
	return NULL;
}

int fnx_tree_uint(const msgpack_object *object, uint64_t max, uint64_t *ret)
{
	if (!object || object->type != MSGPACK_OBJECT_POSITIVE_INTEGER || object->via.u64 > max)
		return -EBADMSG;
	*ret = object->via.u64;
	return 0;
}
