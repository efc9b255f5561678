/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes a SavedModel directory of a sequential Keras model, as far as an import looks at it, from
 * a network of seeded weights: the sorted table with prefix-compressed keys in several blocks, the
 * bytes in shards, and the description in a protocol buffer.
 */
#pragma once

#include <stdio.h>
#include <sys/stat.h>

#include "nodes/fornix/saved_model.h"
#include "tests/unit/ripple/naive_network.h"

enum {
	FIXTURE_BYTES_MAX = 1 << 18,
	FIXTURE_ENTRIES_MAX = 128
};

struct bytes {
	uint8_t at[FIXTURE_BYTES_MAX];
	size_t size;
};

static inline void put(struct bytes *bytes, const void *data, size_t size)
{
	assert_true(bytes->size + size <= FIXTURE_BYTES_MAX);
	memcpy(bytes->at + bytes->size, data, size);
	bytes->size += size;
}

static inline void put_varint(struct bytes *bytes, uint64_t value)
{
	do {
		uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

		put(bytes, &byte, 1);
		value >>= 7;
	} while (value);
}

static inline void put_u32(struct bytes *bytes, uint32_t value)
{
	put(bytes, &value, 4);
}

static inline void put_number(struct bytes *bytes, uint32_t field, uint64_t value)
{
	put_varint(bytes, (uint64_t)field << 3);
	put_varint(bytes, value);
}

static inline void put_field(struct bytes *bytes, uint32_t field, const void *data, size_t size)
{
	put_varint(bytes, (uint64_t)field << 3 | 2);
	put_varint(bytes, size);
	put(bytes, data, size);
}

static inline uint32_t masked(uint32_t crc)
{
	return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Tensors and the table
 * ------------------------------------------------------------------------------------------ */

struct fixture_entry {
	char name[128];
	struct bytes *value;
};

struct fixture {
	char directory[400];
	bool older; /* description in saved_model.pb */
	bool numbered; /* tensors named variables/<i> */
	uint32_t n_shards;
	struct bytes shards[2];
	struct fixture_entry entries[FIXTURE_ENTRIES_MAX];
	uint32_t n_entries;
	struct bytes json;
	uint32_t n_with_weights, n_variables;
};

static inline void fixture_entry(struct fixture *fixture, const char *name, const char *leaf,
	uint64_t type, const uint64_t *extents, uint32_t rank, const void *data, size_t size)
{
	struct fixture_entry *entry = &fixture->entries[fixture->n_entries];
	uint32_t shard = fixture->n_entries++ % fixture->n_shards;
	struct bytes *shape = calloc(1, sizeof(*shape)), *extent = calloc(1, sizeof(*extent));
	uint32_t crc = masked(fnx_crc32c(data, size));

	assert_true(fixture->n_entries <= FIXTURE_ENTRIES_MAX);
	snprintf(entry->name, sizeof(entry->name), "%s%s/.ATTRIBUTES/VARIABLE_VALUE", name, leaf);
	entry->value = calloc(1, sizeof(*entry->value));
	for (uint32_t i = 0; i < rank; i++) {
		extent->size = 0;
		put_number(extent, 1, extents[i]);
		put_field(shape, 2, extent->at, extent->size);
	}
	put_number(entry->value, 1, type);
	put_field(entry->value, 2, shape->at, shape->size);
	if (shard)
		put_number(entry->value, 3, shard);
	if (fixture->shards[shard].size)
		put_number(entry->value, 4, fixture->shards[shard].size);
	put_number(entry->value, 5, size);
	put_varint(entry->value, 6 << 3 | 5);
	put_u32(entry->value, crc);
	put(&fixture->shards[shard], data, size);
	free(shape);
	free(extent);
}

/* A tensor of the layer at hand. */
static inline void fixture_tensor(struct fixture *fixture, const char *tensor, const double *values,
	const uint64_t *extents, uint32_t rank)
{
	char name[64];
	size_t n = 1;
	float *single;

	for (uint32_t i = 0; i < rank; i++)
		n *= extents[i];
	single = calloc(n, sizeof(*single));
	for (size_t i = 0; i < n; i++)
		single[i] = (float)values[i];
	if (fixture->numbered)
		snprintf(name, sizeof(name), "variables/%u", fixture->n_variables++);
	else
		snprintf(name, sizeof(name), "layer_with_weights-%u/", fixture->n_with_weights);
	fixture_entry(fixture, name, fixture->numbered ? "" : tensor, 1, extents, rank, single,
		n * sizeof(float));
	free(single);
}

static inline int fixture_order(const void *a, const void *b)
{
	return strcmp(
		((const struct fixture_entry *)a)->name, ((const struct fixture_entry *)b)->name);
}

static inline void put_entry(
	struct bytes *block, const char *before, const char *key, const struct bytes *value)
{
	size_t shared = 0;

	while (before[shared] && before[shared] == key[shared])
		shared++;
	put_varint(block, shared);
	put_varint(block, strlen(key) - shared);
	put_varint(block, value->size);
	put(block, key + shared, strlen(key) - shared);
	put(block, value->at, value->size);
}

/* Ends a block of one restart point, appends it to the file and its handle to `handle`. */
static inline void put_block(struct bytes *file, struct bytes *block, struct bytes *handle)
{
	const uint8_t plain = 0;
	size_t offset = file->size;

	put_u32(block, 0);
	put_u32(block, 1);
	put_varint(handle, offset);
	put_varint(handle, block->size);
	put(block, &plain, 1);
	put(file, block->at, block->size);
	put_u32(file, masked(fnx_crc32c(block->at, block->size)));
	block->size = 0;
}

static inline void fixture_file(
	const struct fixture *fixture, const char *name, const struct bytes *bytes)
{
	char path[1100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fixture->directory, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes->at, 1, bytes->size, file), bytes->size);
	fclose(file);
}

static inline void fixture_table(struct fixture *fixture)
{
	static const uint8_t magic[8] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};
	struct bytes *file = calloc(1, sizeof(*file)), *block = calloc(1, sizeof(*block)),
		     *index = calloc(1, sizeof(*index)), *value = calloc(1, sizeof(*value)),
		     *handles = calloc(1, sizeof(*handles));
	const char *before = "";
	char separator[128] = "";

	qsort(fixture->entries, fixture->n_entries, sizeof(fixture->entries[0]), fixture_order);
	put_number(value, 1, fixture->n_shards);
	put_entry(block, "", "", value);
	for (uint32_t i = 0; i < fixture->n_entries; i++) {
		const struct fixture_entry *entry = &fixture->entries[i];

		put_entry(block, before, entry->name, entry->value);
		before = entry->name;
		if (i % 7 != 6 && i + 1 < fixture->n_entries)
			continue;
		value->size = 0;
		put_block(file, block, value);
		put_entry(index, separator, before, value);
		snprintf(separator, sizeof(separator), "%s", before);
		before = "";
	}
	put_block(file, block, handles); /* meta index: empty */
	put_block(file, index, handles);
	while (handles->size < 40)
		put(handles, "", 1);
	put(handles, magic, 8);
	put(file, handles->at, handles->size);
	fixture_file(fixture, "variables/variables.index", file);
	free(file);
	free(block);
	free(index);
	free(value);
	free(handles);
}

/* Description
 * ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static inline void put_text(
	struct bytes *bytes, const char *format, ...)
{
	char text[1024];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	put(bytes, text, strlen(text));
}

static inline void fixture_normalisation(
	struct fixture *fixture, const struct fnx_network_layer *layer, uint32_t i)
{
	const uint64_t n = layer->n_in;

	put_text(&fixture->json,
		"{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"bn_%u\",\"axis\":[2]"
		","
		"\"epsilon\":%.17g,\"center\":true,\"scale\":true}}",
		i, layer->epsilon);
	fixture_tensor(fixture, "gamma", layer->gamma, &n, 1);
	fixture_tensor(fixture, "beta", layer->beta, &n, 1);
	fixture_tensor(fixture, "moving_mean", layer->mean, &n, 1);
	fixture_tensor(fixture, "moving_variance", layer->variance, &n, 1);
	fixture->n_with_weights++;
}

static inline void fixture_weights(
	struct fixture *fixture, const struct fnx_network_layer *layer, uint32_t rank)
{
	const uint64_t extents[4] = {layer->height, layer->width, layer->n_in, layer->n_out};
	const uint64_t extents_1d[3] = {layer->height, layer->n_in, layer->n_out};

	fixture_tensor(fixture, "kernel", layer->weights,
		rank == 4           ? extents
			: rank == 3 ? extents_1d
				    : extents + 2,
		rank);
	fixture_tensor(fixture, "bias", layer->bias, extents + 3, 1);
	fixture->n_with_weights++;
}

static inline void fixture_layer(
	struct fixture *fixture, const struct fnx_network_layer *layer, uint32_t i, bool flat)
{
	static const char *const activations[] = {"linear", "relu", "leaky_relu", "sigmoid"};
	struct bytes *json = &fixture->json;

	switch (layer->kind) {
	case FNX_NETWORK_CONVOLUTION:
		put_text(json,
			flat ? "{\"class_name\":\"Conv1D\",\"config\":{\"name\":\"conv_%u\","
			       "\"kernel_size\":[%u],\"strides\":[%u],"
			     : "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"conv_%u\","
			       "\"kernel_size\":[%u,%u],\"strides\":[%u,%u],",
			i, layer->height, flat ? layer->stride_height : layer->width,
			layer->stride_height, layer->stride_width);
		put_text(json,
			"\"padding\":\"%s\",\"data_format\":\"channels_last\",\"groups\":1,"
			"\"dilation_rate\":[1],\"activation\":\"%s\",\"use_bias\":true}}",
			layer->same ? "same" : "valid", activations[layer->activation]);
		fixture_weights(fixture, layer, flat ? 3 : 4);
		break;
	case FNX_NETWORK_NORMALISATION:
		fixture_normalisation(fixture, layer, i);
		break;
	case FNX_NETWORK_ACTIVATION:
		if (layer->activation == FNX_NETWORK_LEAKY_RELU)
			put_text(json,
				"{\"class_name\":\"LeakyReLU\",\"config\":{\"name\":\"leaky_%u\","
				"\"alpha\":%.9g}}",
				i, layer->slope);
		else
			put_text(json,
				"{\"class_name\":\"Activation\",\"config\":{\"name\":\"act_%u\","
				"\"activation\":\"%s\"}}",
				i, activations[layer->activation]);
		break;
	case FNX_NETWORK_MAX_POOLING:
		put_text(json,
			"{\"class_name\":\"MaxPooling2D\",\"config\":{\"name\":\"pool_%u\","
			"\"pool_size\":[%u,%u],\"strides\":[%u,%u],\"padding\":\"%s\"}}",
			i, layer->height, layer->width, layer->stride_height, layer->stride_width,
			layer->same ? "same" : "valid");
		break;
	case FNX_NETWORK_FLATTEN:
		put_text(json, "{\"class_name\":\"Flatten\",\"config\":{\"name\":\"flat_%u\"}}", i);
		break;
	case FNX_NETWORK_DENSE:
		put_text(json,
			"{\"class_name\":\"Dense\",\"config\":{\"name\":\"dense_%u\","
			"\"activation\":\"%s\",\"use_bias\":true}}",
			i, activations[layer->activation]);
		fixture_weights(fixture, layer, 2);
		break;
	}
}

static inline void fixture_description(struct fixture *fixture)
{
	struct bytes *node = calloc(1, sizeof(*node)), *file = calloc(1, sizeof(*file)),
		     *outer = calloc(1, sizeof(*outer));
	static const char kind[] = "_tf_keras_sequential", layer[] = "_tf_keras_layer";

	/* A layer's own description comes first: it is not the model's. */
	put_field(node, fixture->older ? 1 : 4, layer, sizeof(layer) - 1);
	put_field(node, fixture->older ? 3 : 5, "{}", 2);
	if (fixture->older) {
		put_field(outer, 4, node->at, node->size);
		put_field(file, 1, outer->at, outer->size);
		outer->size = 0;
	} else {
		put_field(file, 1, node->at, node->size);
	}
	node->size = 0;
	put_number(node, 2, 1);
	put_field(node, fixture->older ? 1 : 4, kind, sizeof(kind) - 1);
	put_field(node, fixture->older ? 3 : 5, fixture->json.at, fixture->json.size);
	if (fixture->older) {
		put_field(outer, 4, node->at, node->size);
		put_field(file, 1, outer->at, outer->size);
		outer->size = 0;
		put_field(outer, 7, file->at, file->size);
		file->size = 0;
		put_number(file, 1, 1);
		put_field(file, 2, outer->at, outer->size);
	} else {
		put_field(file, 1, node->at, node->size);
	}
	fixture_file(fixture, fixture->older ? "saved_model.pb" : "keras_metadata.pb", file);
	free(node);
	free(file);
	free(outer);
}

/* Writes `build` to fixture->directory; the caller has set that, and how. */
static inline void fixture_write(struct fixture *fixture, const struct build *build)
{
	static const uint64_t one = 1;
	static const int64_t step = 7;
	struct fnx_network_shape in = build->config.input;
	bool flat = in.width == 1;
	char path[640];

	mkdir(fixture->directory, 0700);
	snprintf(path, sizeof(path), "%s/variables", fixture->directory);
	mkdir(path, 0700);
	put_text(&fixture->json,
		"{\"name\":\"sequential\",\"class_name\":\"Sequential\",\"config\":{\"name\":"
		"\"sequential\",\"layers\":[{\"class_name\":\"InputLayer\",\"config\":{\"name\":"
		"\"in\",\"batch_input_shape\":[null,%u,",
		in.height);
	if (!flat)
		put_text(&fixture->json, "%u,", in.width);
	put_text(&fixture->json, "%u]}}", in.n_channels);
	for (uint32_t i = 0; i < build->config.n_layers; i++) {
		put_text(&fixture->json, ",");
		fixture_layer(fixture, &build->layers[i], i, flat);
	}
	put_text(&fixture->json, "]}}");
	/* Training's counter: an int64. */
	fixture_entry(fixture, "save_counter", "", 9, &one, 0, &step, sizeof(step));
	fixture_table(fixture);
	for (uint32_t i = 0; i < fixture->n_shards; i++) {
		snprintf(path, sizeof(path), "variables/variables.data-%05u-of-%05u", i,
			fixture->n_shards);
		fixture_file(fixture, path, &fixture->shards[i]);
	}
	fixture_description(fixture);
}

static inline void fixture_end(struct fixture *fixture)
{
	for (uint32_t i = 0; i < fixture->n_entries; i++)
		free(fixture->entries[i].value);
}
