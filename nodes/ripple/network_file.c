/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The layer list is JSON in one dataset of text: HDF5 has no list of records of different kinds,
 * and a script writes or reads a text in one line.
 */
#include "nodes/ripple/network_file.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schemas/text.h"

static const char format_name[] = "fornix-network";

enum {
	LAYERS_TEXT_MAX = 1 << 20,
	ARRAYS_MAX = 5 * FNX_NETWORK_LAYERS_MAX,
	NAME_MAX_HERE = 200,
};

struct load {
	const char *path;
	char *error;
	hid_t file;
	struct fnx_network_file *result;
};

__attribute__((format(printf, 3, 4))) static int fail(
	const struct load *load, int r, const char *format, ...)
{
	int n = snprintf(load->error, FNX_NETWORK_ERROR_MAX, "%s: ", load->path);
	va_list list;

	va_start(list, format);
	if (n > 0 && n < FNX_NETWORK_ERROR_MAX)
		vsnprintf(load->error + n, FNX_NETWORK_ERROR_MAX - (size_t)n, format, list);
	va_end(list);
	/* It may hold words of the file, and shall be one line. */
	fnx_text_copy(load->error, load->error, FNX_NETWORK_ERROR_MAX);
	return r;
}

/* Reading text
 * --------------------------------------------------------------------------------------------- */

/* A scalar text, of fixed or variable length; malloc'd. NULL: there is none. */
static char *read_text(hid_t file, const char *name)
{
	hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), type, space;
	char *text = NULL, *pointer = NULL;
	size_t size;

	if (dataset < 0)
		return NULL;
	type = H5Dget_type(dataset);
	space = H5Dget_space(dataset);
	if (type >= 0 && H5Tget_class(type) == H5T_STRING &&
		H5Sget_simple_extent_npoints(space) == 1) {
		if (H5Tis_variable_str(type) > 0) {
			if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &pointer) >= 0 &&
				pointer) {
				text = strndup(pointer, LAYERS_TEXT_MAX);
				H5Dvlen_reclaim(type, space, H5P_DEFAULT, &pointer);
			}
		} else {
			size = H5Tget_size(type);
			text = size < LAYERS_TEXT_MAX ? calloc(1, size + 1) : NULL;
			if (text &&
				H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0) {
				free(text);
				text = NULL;
			}
		}
	}
	if (space >= 0)
		H5Sclose(space);
	if (type >= 0)
		H5Tclose(type);
	H5Dclose(dataset);
	return text;
}

/* Arrays
 * --------------------------------------------------------------------------------------------- */

/* All of the dataset in double; its shape to `extents`. */
static double *read_dataset(hid_t dataset, uint32_t rank, const hsize_t *extents)
{
	hid_t type = H5Dget_type(dataset);
	uint64_t n = 1;
	double *values = NULL;
	H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);

	if (type >= 0)
		H5Tclose(type);
	if (class != H5T_FLOAT && class != H5T_INTEGER)
		return NULL;
	for (uint32_t i = 0; i < rank; i++)
		if (!extents[i] || __builtin_mul_overflow(n, extents[i], &n) ||
			n > FNX_NETWORK_SIZE_MAX)
			return NULL;
	values = calloc(n, sizeof(*values));
	if (values &&
		H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
		free(values);
		values = NULL;
	}
	return values;
}

/* The array that a layer names under `key`, of this rank (`rank` or, for kernels, one less); its
 * extents, the missing second one being 1. NULL with *ret_r 0: the layer names none. */
static const double *get_array(const struct load *load, const json_t *layer, const char *key,
	uint32_t min_rank, uint32_t rank, hsize_t *ret_extents, int *ret_r)
{
	struct fnx_network_file *result = load->result;
	const char *name = json_string_value(json_object_get(layer, key));
	hsize_t extents[FNX_NETWORK_RANK_MAX];
	int n = -1;
	double *values = NULL;
	hid_t dataset, space;

	if (!name)
		return NULL;
	if (result->n_arrays == ARRAYS_MAX || strlen(name) > NAME_MAX_HERE) {
		*ret_r = fail(load, -EBADMSG, "too many arrays, or a name too long");
		return NULL;
	}
	dataset = H5Dopen2(load->file, name, H5P_DEFAULT);
	space = dataset < 0 ? -1 : H5Dget_space(dataset);
	if (space >= 0) {
		n = H5Sget_simple_extent_ndims(space);
		if (n >= (int)min_rank && n <= (int)rank &&
			H5Sget_simple_extent_dims(space, extents, NULL) == n)
			values = read_dataset(dataset, (uint32_t)n, extents);
		H5Sclose(space);
	}
	if (dataset >= 0)
		H5Dclose(dataset);
	if (!values) {
		*ret_r = fail(load, -EBADMSG,
			"array %.60s: missing, damaged, or not of the shape that its layer needs",
			name);
		return NULL;
	}
	result->arrays[result->n_arrays++] = values;
	ret_extents[0] = extents[0];
	ret_extents[1] = 1;
	for (uint32_t i = 1; i < (uint32_t)n; i++)
		ret_extents[i + rank - (uint32_t)n] = extents[i];
	return values;
}

/* One value for each of `n` channels. */
static const double *get_vector(
	const struct load *load, const json_t *layer, const char *key, uint32_t n, int *ret_r)
{
	hsize_t extents[FNX_NETWORK_RANK_MAX];
	const double *values = get_array(load, layer, key, 1, 1, extents, ret_r);

	if (values && extents[0] != n)
		*ret_r = fail(load, -EBADMSG, "%s of a layer: expected %u values, found %llu", key,
			n, (unsigned long long)extents[0]);
	return values;
}

/* Layers
 * --------------------------------------------------------------------------------------------- */

static int index_of(const char *text, const char *const *names, int n)
{
	for (int i = 0; text && i < n; i++)
		if (!strcmp(text, names[i]))
			return i;
	return -1;
}

static const char *text_of(const json_t *layer, const char *key)
{
	return json_string_value(json_object_get(layer, key));
}

/* [height, width] or one number, the width then 1; not given: 1, 1. */
static int get_pair(const json_t *layer, const char *key, uint32_t *ret_height, uint32_t *ret_width)
{
	const json_t *value = json_object_get(layer, key);
	json_int_t pair[2] = {1, 1};

	if (json_is_integer(value))
		pair[0] = json_integer_value(value);
	else if (value && json_array_size(value) != 2)
		return -EBADMSG;
	for (size_t i = 0; i < json_array_size(value); i++)
		pair[i] = json_integer_value(json_array_get(value, i));
	for (int i = 0; i < 2; i++)
		if (pair[i] < 1 || pair[i] > FNX_NETWORK_SIZE_MAX)
			return -EBADMSG;
	*ret_height = (uint32_t)pair[0];
	*ret_width = (uint32_t)pair[1];
	return 0;
}

static int load_activation(
	const struct load *load, const json_t *json, struct fnx_network_layer *layer)
{
	static const char *const names[] = {"linear", "relu", "leaky_relu", "sigmoid"};
	const json_t *slope = json_object_get(json, "slope");
	const char *name = text_of(json, "activation");
	int i = name ? index_of(name, names, 4) : 0;

	if (i < 0)
		return fail(load, -EBADMSG,
			"activation: expected linear, relu, leaky_relu or sigmoid, found %.40s",
			name);
	layer->activation = (enum fnx_network_activation)i;
	layer->slope = slope ? json_number_value(slope) : 0;
	return 0;
}

static int load_window(const struct load *load, const json_t *json, struct fnx_network_layer *layer)
{
	static const char *const names[] = {"valid", "same"};
	const char *padding = text_of(json, "padding");
	int i = padding ? index_of(padding, names, 2) : 0;

	if (i < 0)
		return fail(
			load, -EBADMSG, "padding: expected valid or same, found %.40s", padding);
	layer->same = i;
	if (get_pair(json, "stride", &layer->stride_height, &layer->stride_width) ||
		(layer->kind == FNX_NETWORK_MAX_POOLING &&
			get_pair(json, "pool", &layer->height, &layer->width)))
		return fail(load, -EBADMSG, "stride, pool: expected [height, width] from 1");
	return 0;
}

static int load_weights(
	const struct load *load, const json_t *json, struct fnx_network_layer *layer)
{
	bool dense = layer->kind == FNX_NETWORK_DENSE;
	hsize_t extents[FNX_NETWORK_RANK_MAX];
	int r = 0;

	/* A 1-D kernel is [time][in][out]; its width is 1. */
	layer->weights =
		get_array(load, json, "weights", dense ? 2 : 3, dense ? 2 : 4, extents, &r);
	if (!layer->weights)
		return r ? r : fail(load, -EBADMSG, "a layer names no weights");
	layer->n_in = (uint32_t)extents[dense ? 0 : 2];
	layer->n_out = (uint32_t)extents[dense ? 1 : 3];
	layer->height = dense ? 1 : (uint32_t)extents[0];
	layer->width = dense ? 1 : (uint32_t)extents[1];
	layer->bias = get_vector(load, json, "bias", layer->n_out, &r);
	return r;
}

static int load_normalisation(
	const struct load *load, const json_t *json, struct fnx_network_layer *layer)
{
	const json_t *epsilon = json_object_get(json, "epsilon");
	hsize_t extents[FNX_NETWORK_RANK_MAX] = {0};
	int r = 0;

	layer->epsilon = epsilon ? json_number_value(epsilon) : 1e-3;
	layer->mean = get_array(load, json, "mean", 1, 1, extents, &r);
	layer->n_in = (uint32_t)extents[0];
	if (!r)
		layer->variance = get_vector(load, json, "variance", layer->n_in, &r);
	if (!r)
		layer->gamma = get_vector(load, json, "gamma", layer->n_in, &r);
	if (!r)
		layer->beta = get_vector(load, json, "beta", layer->n_in, &r);
	if (!r && (!layer->mean || !layer->variance))
		r = fail(load, -EBADMSG, "a normalisation needs mean and variance");
	return r;
}

static int load_layer(const struct load *load, const json_t *json, struct fnx_network_layer *layer)
{
	static const char *const names[] = {
		"convolution", "normalisation", "activation", "max_pooling", "flatten", "dense"};
	const char *name = text_of(json, "kind");
	int kind = index_of(name, names, 6), r;

	if (kind < 0)
		return fail(load, -EBADMSG,
			"kind of a layer: expected convolution, normalisation, activation, "
			"max_pooling, flatten or dense, found %.40s",
			name ? name : "none");
	layer->kind = (enum fnx_network_kind)kind;
	r = load_activation(load, json, layer);
	if (!r &&
		(layer->kind == FNX_NETWORK_CONVOLUTION || layer->kind == FNX_NETWORK_MAX_POOLING))
		r = load_window(load, json, layer);
	if (!r && (layer->kind == FNX_NETWORK_CONVOLUTION || layer->kind == FNX_NETWORK_DENSE))
		r = load_weights(load, json, layer);
	if (!r && layer->kind == FNX_NETWORK_NORMALISATION)
		r = load_normalisation(load, json, layer);
	return r;
}

static int load_layers(const struct load *load, const json_t *root)
{
	const json_t *input = json_object_get(root, "input"),
		     *layers = json_object_get(root, "layers");
	struct fnx_network_file *result = load->result;
	size_t n = json_array_size(layers);
	json_int_t extents[3];
	int r = 0;

	for (size_t i = 0; i < 3; i++) {
		extents[i] = json_integer_value(json_array_get(input, i));
		if (json_array_size(input) != 3 || extents[i] < 1 ||
			extents[i] > FNX_NETWORK_SIZE_MAX)
			return fail(load, -EBADMSG,
				"input: expected [height, width, channels], each from 1");
	}
	if (n < 1 || n > FNX_NETWORK_LAYERS_MAX)
		return fail(load, -EBADMSG, "layers: expected 1 to %d, found %zu",
			FNX_NETWORK_LAYERS_MAX, n);
	result->input = (struct fnx_network_shape){
		(uint32_t)extents[0], (uint32_t)extents[1], (uint32_t)extents[2]};
	result->layers = calloc(n, sizeof(*result->layers));
	result->arrays = calloc(ARRAYS_MAX, sizeof(*result->arrays));
	if (!result->layers || !result->arrays)
		return fail(load, -ENOMEM, "out of memory");
	for (; result->n_layers < n && !r; result->n_layers++)
		r = load_layer(load, json_array_get(layers, result->n_layers),
			&result->layers[result->n_layers]);
	return r;
}

static int load_file(const struct load *load)
{
	char *format = read_text(load->file, "format"), *text = NULL;
	json_t *root = NULL;
	json_error_t problem;
	int r;

	if (!format || strcmp(format, format_name)) {
		free(format);
		return fail(load, -EBADMSG,
			"not a fornix-network file, or damaged; `fornix import-network` makes one");
	}
	free(format);
	text = read_text(load->file, "layers");
	if (text)
		root = json_loads(text, JSON_REJECT_DUPLICATES, &problem);
	if (!root)
		r = fail(load, -EBADMSG, "layers: %s", text ? problem.text : "no text there");
	else if (json_integer_value(json_object_get(root, "version")) != FNX_NETWORK_FILE_VERSION)
		r = fail(load, -EBADMSG, "layers: expected version %d", FNX_NETWORK_FILE_VERSION);
	else
		r = load_layers(load, root);
	json_decref(root);
	free(text);
	return r;
}

int fnx_network_file_load(const char *path, struct fnx_network_file **ret_file, char *error)
{
	struct load load = {.path = path, .error = error};
	int r;

	if (access(path, R_OK))
		return fail(&load, -errno, "%s", strerror(errno));
	load.result = calloc(1, sizeof(*load.result));
	if (!load.result)
		return fail(&load, -ENOMEM, "out of memory");
	H5E_BEGIN_TRY
	{
		load.file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
		r = load.file < 0 ? fail(&load, -EBADMSG, "not an HDF5 file, or cut off")
				  : load_file(&load);
		if (load.file >= 0)
			H5Fclose(load.file);
	}
	H5E_END_TRY;
	if (r)
		fnx_network_file_free(load.result);
	else
		*ret_file = load.result;
	return r;
}

struct fnx_network_file *fnx_network_file_free(struct fnx_network_file *file)
{
	if (!file)
		return NULL;
	for (uint32_t i = 0; i < file->n_arrays; i++)
		free(file->arrays[i]);
	free(file->arrays);
	free(file->layers);
	free(file);
	return NULL;
}

int fnx_network_open(const char *path, uint32_t height, bool double_precision,
	struct fnx_network **ret_network, char *error)
{
	struct load load = {.path = path, .error = error};
	struct fnx_network_config config = {.double_precision = double_precision};
	struct fnx_network_file *file;
	uint32_t layer;
	int r = fnx_network_file_load(path, &file, error);

	if (r)
		return r;
	config.input = file->input;
	if (height)
		config.input.height = height;
	config.n_layers = file->n_layers;
	config.layers = file->layers;
	r = fnx_network_new(&config, ret_network, &layer);
	if (r == -ENOMEM)
		fail(&load, r, "out of memory");
	else if (r)
		fail(&load, r,
			"layer %u of %u does not fit the shape that reaches it (input %u x %u x "
			"%u), or "
			"its numbers are not finite",
			layer + 1, file->n_layers, config.input.height, config.input.width,
			config.input.n_channels);
	fnx_network_file_free(file);
	return r;
}

/* Writing
 * --------------------------------------------------------------------------------------------- */

static int write_dataset(hid_t file, const char *name, hid_t type, hid_t space, const void *data)
{
	hid_t links = H5Pcreate(H5P_LINK_CREATE), dataset = -1;
	int r = -EIO;

	if (links >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
		dataset = H5Dcreate2(file, name, type, space, links, H5P_DEFAULT, H5P_DEFAULT);
	if (dataset >= 0) {
		if (H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0)
			r = 0;
		H5Dclose(dataset);
	}
	if (links >= 0)
		H5Pclose(links);
	return r;
}

static int write_text(hid_t file, const char *name, const char *text)
{
	hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
	int r = -EIO;

	if (type >= 0 && space >= 0 && H5Tset_size(type, strlen(text) + 1) >= 0 &&
		H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
		r = write_dataset(file, name, type, space, text);
	if (space >= 0)
		H5Sclose(space);
	if (type >= 0)
		H5Tclose(type);
	return r;
}

static int write_array(hid_t file, const struct fnx_network_array *array)
{
	hsize_t extents[FNX_NETWORK_RANK_MAX];
	hid_t space;
	int r;

	for (uint32_t i = 0; i < array->rank; i++)
		extents[i] = array->extents[i];
	space = H5Screate_simple((int)array->rank, extents, NULL);
	if (space < 0)
		return -EIO;
	r = write_dataset(file, array->name, H5T_IEEE_F32LE, space, array->values);
	H5Sclose(space);
	return r;
}

int fnx_network_file_save(const char *path, const char *layers,
	const struct fnx_network_array *arrays, uint32_t n_arrays, char *error)
{
	struct load load = {.path = path, .error = error};
	int r = 0;

	if (!access(path, F_OK))
		return fail(&load, -EEXIST, "exists already; it will not be overwritten");
	H5E_BEGIN_TRY
	{
		load.file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
		if (load.file < 0) {
			r = fail(&load, -EIO, "cannot be made");
		} else {
			r = write_text(load.file, "format", format_name);
			if (!r)
				r = write_text(load.file, "layers", layers);
			for (uint32_t i = 0; i < n_arrays && !r; i++)
				r = write_array(load.file, &arrays[i]);
			if (H5Fclose(load.file) < 0)
				r = -EIO;
			if (r) {
				unlink(path);
				fail(&load, r, "cannot be written");
			}
		}
	}
	H5E_END_TRY;
	return r;
}
