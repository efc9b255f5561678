/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keras describes a model as a list of layers, each with a class and its settings. The tensors of
 * the k-th layer that has any are named layer_with_weights-<k>/<tensor>; newer models number all
 * tensors instead, in the order of layers: variables/<i>. What a layer has that would change the
 * numbers and is not known here is refused, never passed over.
 */
#include "nodes/fornix/saved_layers.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/text.h"

struct convert {
	const struct fnx_saved_model *model;
	struct fnx_saved_layers *result;
	char *error;
	json_t *layers; /* the list that is made */
	uint32_t n_read; /* Keras layers */
	uint32_t n_with_weights;
	uint32_t n_variables;
	uint32_t height; /* asked for */
	const char *name, *class; /* of the layer at hand */
};

__attribute__((format(printf, 2, 3))) static int fail(
	const struct convert *convert, const char *format, ...)
{
	int n = convert->name ? snprintf(convert->error, FNX_NETWORK_ERROR_MAX,
					"layer %.60s (%.40s): ", convert->name, convert->class)
			      : 0;
	va_list list;

	va_start(list, format);
	vsnprintf(convert->error + n, FNX_NETWORK_ERROR_MAX - (size_t)n, format, list);
	va_end(list);
	/* It may hold words of the file, and shall be one line. */
	fnx_text_copy(convert->error, convert->error, FNX_NETWORK_ERROR_MAX);
	return -EBADMSG;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* Appends a layer of this kind; the list owns it. */
static json_t *add_layer(struct convert *convert, const char *kind)
{
	json_t *layer = json_pack("{s:s}", "kind", kind);

	return layer && !json_array_append_new(convert->layers, layer) ? layer : NULL;
}

/* Tensors
 * --------------------------------------------------------------------------------------------- */

static const struct fnx_tensor *find_tensor(struct convert *convert, const char *tensor)
{
	char name[128];
	const struct fnx_tensor *found;

	snprintf(name, sizeof(name), "layer_with_weights-%u/%s/.ATTRIBUTES/VARIABLE_VALUE",
		convert->n_with_weights, tensor);
	found = fnx_saved_model_find(convert->model, name);
	if (found)
		return found;
	snprintf(name, sizeof(name), "variables/%u/.ATTRIBUTES/VARIABLE_VALUE",
		convert->n_variables++);
	return fnx_saved_model_find(convert->model, name);
}

/* Stores a tensor of `rank` as an array and names it in `layer` under `key`. */
static int add_tensor(struct convert *convert, json_t *layer, const char *tensor, const char *key,
	uint32_t rank, const struct fnx_tensor **ret_tensor)
{
	struct fnx_saved_layers *result = convert->result;
	const struct fnx_tensor *found = find_tensor(convert, tensor);
	struct fnx_network_array *array = &result->arrays[result->n_arrays];
	char *name = result->names[result->n_arrays];

	if (!found)
		return fail(convert, "its tensor %s is not there", tensor);
	if (found->rank != rank || !found->n)
		return fail(convert, "its tensor %s has %u dimensions, expected %u, none empty",
			tensor, found->rank, rank);
	if (result->n_arrays == FNX_SAVED_ARRAYS_MAX)
		return fail(convert, "too many tensors");
	snprintf(name, sizeof(result->names[0]), "%02u_%.40s/%s", convert->n_read, convert->name,
		key);
	for (char *at = name; *at; at++)
		if (!strchr("/_-", *at) && !(*at >= '0' && *at <= '9') &&
			!(*at >= 'A' && *at <= 'Z') && !(*at >= 'a' && *at <= 'z'))
			*at = '_';
	*array = (struct fnx_network_array){.name = name, .rank = rank, .values = found->values};
	for (uint32_t i = 0; i < rank; i++)
		array->extents[i] = found->extents[i];
	result->n_arrays++;
	*ret_tensor = found;
	return json_object_set_new(layer, key, json_string(name)) ? -ENOMEM : 0;
}

/* Layers
 * --------------------------------------------------------------------------------------------- */

/* What must be off, or at its usual value. */
static int check_usual(const struct convert *convert, const json_t *config)
{
	const json_t *dilation = json_object_get(config, "dilation_rate"),
		     *groups = json_object_get(config, "groups");
	const char *format = text_of(config, "data_format");

	if (format[0] && strcmp(format, "channels_last"))
		return fail(convert, "data_format: expected channels_last, found %.40s", format);
	if (json_is_integer(dilation) && json_integer_value(dilation) != 1)
		return fail(convert, "dilated convolutions are not known");
	for (size_t i = 0; i < json_array_size(dilation); i++)
		if (json_integer_value(json_array_get(dilation, i)) != 1)
			return fail(convert, "dilated convolutions are not known");
	if (groups && json_integer_value(groups) != 1)
		return fail(convert, "grouped convolutions are not known");
	return 0;
}

static int add_activation(
	struct convert *convert, json_t *layer, const char *activation, double slope)
{
	static const char *const known[] = {"linear", "relu", "sigmoid", "leaky_relu"};

	for (int i = 0; i < 4; i++)
		if (!strcmp(activation, known[i])) {
			json_object_set_new(layer, "activation", json_string(activation));
			if (i == 3)
				json_object_set_new(layer, "slope", json_real(slope));
			return 0;
		}
	return fail(
		convert, "activation: expected linear, relu or sigmoid, found %.40s", activation);
}

/* [height, width] of a setting that Keras writes as one number or a list; 1-D: the width is 1. */
static json_t *get_pair(const json_t *config, const char *key, bool one_dimension)
{
	const json_t *value = json_object_get(config, key);
	json_int_t pair[2];
	size_t n = one_dimension ? 1 : 2;

	pair[0] = pair[1] = json_is_integer(value) ? json_integer_value(value) : 0;
	for (size_t i = 0; i < n && json_is_array(value); i++)
		pair[i] = json_integer_value(json_array_get(value, i));
	if (one_dimension)
		pair[1] = 1;
	if (pair[0] < 1 || pair[1] < 1 || (json_is_array(value) && json_array_size(value) != n))
		return NULL;
	return json_pack("[I,I]", pair[0], pair[1]);
}

static int add_window(struct convert *convert, json_t *layer, const json_t *config, const char *key,
	const char *from, bool one_dimension)
{
	const char *padding = text_of(config, "padding");
	json_t *pair;

	if (strcmp(padding, "valid") && strcmp(padding, "same"))
		return fail(convert, "padding: expected valid or same, found %.40s", padding);
	json_object_set_new(layer, "padding", json_string(padding));
	pair = get_pair(config, "strides", one_dimension);
	if (!pair)
		return fail(convert, "strides: expected whole numbers from 1");
	json_object_set_new(layer, "stride", pair);
	pair = key ? get_pair(config, from, one_dimension) : NULL;
	if (key && !pair)
		return fail(convert, "%s: expected whole numbers from 1", from);
	if (pair)
		json_object_set_new(layer, key, pair);
	return 0;
}

static int add_weights(struct convert *convert, json_t *layer, const json_t *config, uint32_t rank)
{
	const struct fnx_tensor *kernel = NULL, *bias = NULL;
	int r = add_tensor(convert, layer, "kernel", "weights", rank, &kernel);

	if (!r && !json_is_false(json_object_get(config, "use_bias"))) {
		r = add_tensor(convert, layer, "bias", "bias", 1, &bias);
		if (!r && bias->n != kernel->extents[rank - 1])
			r = fail(convert, "kernel and bias are for different numbers of outputs");
	}
	convert->n_with_weights++;
	return r ? r : add_activation(convert, layer, text_of(config, "activation"), 0);
}

static int convert_convolution(struct convert *convert, const json_t *config)
{
	bool one_dimension = !strcmp(convert->class, "Conv1D");
	json_t *layer = add_layer(convert, "convolution");
	int r = check_usual(convert, config);

	if (!layer)
		return -ENOMEM;
	if (!r)
		r = add_window(convert, layer, config, NULL, NULL, one_dimension);
	return r ? r : add_weights(convert, layer, config, one_dimension ? 3 : 4);
}

static int convert_dense(struct convert *convert, const json_t *config)
{
	json_t *layer = add_layer(convert, "dense");

	return layer ? add_weights(convert, layer, config, 2) : -ENOMEM;
}

static int convert_normalisation(struct convert *convert, const json_t *config)
{
	static const char *const tensors[] = {"gamma", "beta", "moving_mean", "moving_variance"};
	static const char *const keys[] = {"gamma", "beta", "mean", "variance"};
	static const char *const flags[] = {"scale", "center", NULL, NULL};
	json_t *layer = add_layer(convert, "normalisation");
	const json_t *epsilon = json_object_get(config, "epsilon");
	const struct fnx_tensor *tensor = NULL;
	uint64_t n = 0;

	if (!layer)
		return -ENOMEM;
	json_object_set_new(
		layer, "epsilon", json_real(epsilon ? json_number_value(epsilon) : 1e-3));
	for (int i = 0; i < 4; i++) {
		int r;

		if (flags[i] && json_is_false(json_object_get(config, flags[i])))
			continue;
		r = add_tensor(convert, layer, tensors[i], keys[i], 1, &tensor);
		if (r)
			return r;
		if (n && tensor->n != n)
			return fail(convert, "its tensors are for different numbers of channels");
		n = tensor->n;
	}
	convert->n_with_weights++;
	return 0;
}

static int convert_pooling(struct convert *convert, const json_t *config)
{
	json_t *layer = add_layer(convert, "max_pooling");
	int r = check_usual(convert, config);

	if (!layer)
		return -ENOMEM;
	return r ? r
		 : add_window(convert, layer, config, "pool", "pool_size",
			   !strcmp(convert->class, "MaxPooling1D"));
}

static int convert_activation(struct convert *convert, const json_t *config)
{
	const json_t *alpha = json_object_get(config, "alpha");
	bool leaky = !strcmp(convert->class, "LeakyReLU");
	json_t *layer = add_layer(convert, "activation");

	if (!layer)
		return -ENOMEM;
	if (json_real_value(json_object_get(config, "threshold")) != 0 ||
		json_is_number(json_object_get(config, "max_value")) ||
		json_number_value(json_object_get(config, "negative_slope")) != 0)
		return fail(convert,
			"a ReLU with a threshold, a largest value or a slope is not known");
	if (leaky)
		return add_activation(
			convert, layer, "leaky_relu", alpha ? json_number_value(alpha) : 0.3);
	return add_activation(convert, layer,
		strcmp(convert->class, "ReLU") ? text_of(config, "activation") : "relu", 0);
}

static int convert_flatten(struct convert *convert, const json_t *config)
{
	int r = check_usual(convert, config);

	return r ? r : add_layer(convert, "flatten") ? 0 : -ENOMEM;
}

static int convert_nothing(struct convert *convert, const json_t *config)
{
	(void)convert;
	(void)config;
	return 0;
}

static int convert_layer(struct convert *convert, const json_t *json)
{
	static const struct {
		const char *class;
		int (*convert)(struct convert *convert, const json_t *config);
	} classes[] = {{"Conv1D", convert_convolution}, {"Conv2D", convert_convolution},
		{"BatchNormalization", convert_normalisation},
		{"BatchNormalizationV1", convert_normalisation}, {"MaxPooling1D", convert_pooling},
		{"MaxPooling2D", convert_pooling}, {"Activation", convert_activation},
		{"ReLU", convert_activation}, {"LeakyReLU", convert_activation},
		{"Flatten", convert_flatten}, {"Dense", convert_dense},
		/* These do something in training only. */
		{"Dropout", convert_nothing}, {"SpatialDropout1D", convert_nothing},
		{"SpatialDropout2D", convert_nothing}, {"InputLayer", convert_nothing}};
	const json_t *config = json_object_get(json, "config");

	convert->class = text_of(json, "class_name");
	convert->name = text_of(config, "name");
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (!strcmp(classes[i].class, convert->class))
			return classes[i].convert(convert, config);
	return fail(convert, "layers of this class are not known");
}

/* A functional model names, for each layer, where its input comes from: must be the one before. */
static int check_chain(struct convert *convert, const json_t *json, const json_t *before)
{
	const json_t *nodes = json_object_get(json, "inbound_nodes"),
		     *inputs = json_array_get(nodes, 0), *input = json_array_get(inputs, 0);
	const char *from = json_string_value(json_array_get(input, 0));

	if (!nodes || (!before && !json_array_size(nodes)))
		return 0;
	if (json_array_size(nodes) != 1 || json_array_size(inputs) != 1 || !from || !before ||
		strcmp(from, text_of(before, "name"))) {
		convert->class = text_of(json, "class_name");
		convert->name = text_of(json, "name");
		return fail(convert, "does not follow the layer before; expected a plain sequence");
	}
	return 0;
}

/* Shape without the batch; of [time, channels] the width is 1. */
static int convert_input(struct convert *convert, const json_t *first)
{
	const json_t *shape =
		json_object_get(json_object_get(first, "config"), "batch_input_shape");
	struct fnx_network_shape *input = &convert->result->input;
	size_t n = json_array_size(shape);
	json_int_t extents[3] = {0};

	convert->name = NULL;
	if (n != 3 && n != 4)
		return fail(
			convert, "the first layer gives no shape [batch, time, (width,) channels]");
	for (size_t i = 1; i < n; i++)
		extents[i - 1] = json_integer_value(json_array_get(shape, i));
	if (n == 3) {
		extents[2] = extents[1];
		extents[1] = 1;
	}
	if (convert->height)
		extents[0] = convert->height;
	for (size_t i = 0; i < 3; i++)
		if (extents[i] < (i ? 1 : 0) || extents[i] > FNX_NETWORK_SIZE_MAX)
			return fail(convert, "the input's shape is not one of known sizes");
	if (!extents[0])
		return fail(convert,
			"the model takes any number of samples at a time; say which with --height");
	*input = (struct fnx_network_shape){
		(uint32_t)extents[0], (uint32_t)extents[1], (uint32_t)extents[2]};
	return 0;
}

static int convert_all(struct convert *convert, const json_t *root)
{
	const json_t *config = json_object_get(root, "config"), *layers, *before = NULL;
	json_t *list = NULL;
	int r;

	if (!json_object_get(config, "layers"))
		config = json_object_get(json_object_get(root, "model_config"), "config");
	layers = json_object_get(config, "layers");
	if (!json_array_size(layers))
		return fail(convert, "the description has no list of layers");
	if (json_array_size(layers) > FNX_NETWORK_LAYERS_MAX)
		return fail(convert, "more than %d layers", FNX_NETWORK_LAYERS_MAX);
	r = convert_input(convert, json_array_get(layers, 0));
	for (; convert->n_read < json_array_size(layers) && !r; convert->n_read++) {
		const json_t *layer = json_array_get(layers, convert->n_read);

		r = check_chain(convert, layer, before);
		if (!r)
			r = convert_layer(convert, layer);
		before = layer;
	}
	if (r)
		return r;
	list = json_pack("{s:i,s:[i,i,i],s:O}", "version", FNX_NETWORK_FILE_VERSION, "input",
		(int)convert->result->input.height, (int)convert->result->input.width,
		(int)convert->result->input.n_channels, "layers", convert->layers);
	convert->result->text = list ? json_dumps(list, JSON_INDENT(1)) : NULL;
	json_decref(list);
	return convert->result->text ? 0 : -ENOMEM;
}

int fnx_saved_layers(const struct fnx_saved_model *model, uint32_t height,
	struct fnx_saved_layers *ret_layers, char *error)
{
	struct convert convert = {.model = model, .result = ret_layers, .error = error};
	json_error_t problem;
	json_t *root = json_loads(model->description, JSON_REJECT_DUPLICATES, &problem);
	int r;

	*ret_layers = (struct fnx_saved_layers){.text = NULL};
	convert.height = height;
	convert.layers = json_array();
	if (!root)
		r = fail(&convert, "the description is no JSON: %.100s", problem.text);
	else
		r = convert.layers ? convert_all(&convert, root) : -ENOMEM;
	if (r == -ENOMEM)
		snprintf(error, FNX_NETWORK_ERROR_MAX, "out of memory");
	json_decref(convert.layers);
	json_decref(root);
	return r;
}

void fnx_saved_layers_fini(struct fnx_saved_layers *layers)
{
	free(layers->text);
	layers->text = NULL;
}
