/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Layers become ops: one that writes a product (convolution, dense), pools, or does nothing, and
 * the steps that then change its result where it lies. So activations and normalisations cost no
 * copy.
 *
 * In one dimension without padding the columns are the input itself, read with a stride, and
 * nothing is copied; but where windows overlap, since CBLAS wants rows that do not. Even the tiny
 * products of published ripple networks are CBLAS's: plain loops in single precision won a tenth
 * there, and lost more in every other case.
 */
#include "nodes/ripple/network.h"

#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/scratch.h"

#if defined(__x86_64__) && !defined(FNX_SANITIZED)
#define VECTOR __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define VECTOR
#endif

enum {
	STEPS_MAX = FNX_NETWORK_LAYERS_MAX,
	PAD = 16, /* values: what a half of the products is rounded up to */
};

/* Either factor and term, or an activation. */
struct step {
	enum fnx_network_activation activation;
	double slope;
	void *factor, *term; /* [channels] */
};

struct op {
	enum fnx_network_kind kind; /* convolution, max pooling; flatten: nothing */
	bool gathers;
	struct fnx_network_shape input, output;
	uint32_t height, width, stride_height, stride_width, pad_top, pad_left;
	uint32_t n_rows, n_terms; /* of the product: [n_rows][n_terms] * [n_terms][out] */
	size_t row_stride;
	double *sums; /* weights, then bias, in double until the network is whole */
	void *weights; /* [n_terms][out] */
	void *bias; /* [out] */
	uint32_t n_steps;
	struct step *steps; /* [STEPS_MAX] */
};

struct fnx_network {
	struct fnx_network_shape input, output;
	bool double_precision;
	uint32_t n_ops;
	struct op ops[FNX_NETWORK_LAYERS_MAX];
	size_t n_columns, n_products;
	struct fnx_scratch columns, products;
};

#define REAL float
#define NAME(x) x##_single
#define GEMM cblas_sgemm
#include "nodes/ripple/network_width.h"
#undef REAL
#undef NAME
#undef GEMM
#define REAL double
#define NAME(x) x##_double
#define GEMM cblas_dgemm
#include "nodes/ripple/network_width.h"
#undef REAL
#undef NAME
#undef GEMM

size_t fnx_network_values(struct fnx_network_shape shape)
{
	return (size_t)shape.height * shape.width * shape.n_channels;
}

/* 0: too many, or none. */
static size_t count_values(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t n;

	if (__builtin_mul_overflow(a, b, &n) || __builtin_mul_overflow(n, c, &n) ||
		n > FNX_NETWORK_SIZE_MAX)
		return 0;
	return n;
}

static bool shape_valid(struct fnx_network_shape shape)
{
	return count_values(shape.height, shape.width, shape.n_channels) > 0;
}

static bool all_finite(const double *values, size_t n)
{
	for (size_t i = 0; values && i < n; i++)
		if (!isfinite(values[i]))
			return false;
	return true;
}

/* One dimension: how many outputs, and the padding before. */
static uint32_t extent(
	uint32_t size, uint32_t kernel, uint32_t stride, bool same, uint32_t *ret_pad)
{
	int64_t n, missing;

	*ret_pad = 0;
	if (!same)
		return size < kernel ? 0 : (size - kernel) / stride + 1;
	n = ((int64_t)size + stride - 1) / stride;
	missing = (n - 1) * stride + kernel - size;
	*ret_pad = missing > 0 ? (uint32_t)(missing / 2) : 0;
	return (uint32_t)n;
}

static int place_window(struct op *op, const struct fnx_network_layer *layer)
{
	if (!layer->height || !layer->width || !layer->stride_height || !layer->stride_width ||
		!count_values(layer->height, layer->width, 1) ||
		!count_values(layer->stride_height, layer->stride_width, 1))
		return -EINVAL;
	op->height = layer->height;
	op->width = layer->width;
	op->stride_height = layer->stride_height;
	op->stride_width = layer->stride_width;
	op->output.height =
		extent(op->input.height, op->height, op->stride_height, layer->same, &op->pad_top);
	op->output.width =
		extent(op->input.width, op->width, op->stride_width, layer->same, &op->pad_left);
	return 0;
}

/* Whether each row of columns is a stretch of the input as it lies. */
static bool columns_are_input(const struct op *op)
{
	bool padded = op->pad_top || op->pad_left ||
		(uint64_t)(op->output.height - 1) * op->stride_height + op->height >
			op->input.height ||
		(uint64_t)(op->output.width - 1) * op->stride_width + op->width > op->input.width;

	if (padded)
		return false;
	if (op->input.width == 1)
		return true;
	return op->height == 1 && op->width == 1 && op->stride_height == 1 && op->stride_width == 1;
}

static int add_weights(struct op *op, const struct fnx_network_layer *layer)
{
	size_t n_out = layer->n_out, n = op->n_terms;

	if (!layer->weights || layer->n_in != op->input.n_channels ||
		!all_finite(layer->weights, n * n_out) || !all_finite(layer->bias, n_out))
		return -EINVAL;
	op->sums = calloc((n + 1) * n_out, sizeof(double));
	if (!op->sums)
		return -ENOMEM;
	memcpy(op->sums, layer->weights, n * n_out * sizeof(double));
	if (layer->bias)
		memcpy(op->sums + n * n_out, layer->bias, n_out * sizeof(double));
	return 0;
}

static int add_step(struct op *op, enum fnx_network_activation activation, double slope)
{
	if (activation == FNX_NETWORK_LINEAR)
		return 0;
	if (activation > FNX_NETWORK_SIGMOID || !isfinite(slope))
		return -EINVAL;
	op->steps[op->n_steps++] = (struct step){.activation = activation, .slope = slope};
	return 0;
}

static int make_product(struct op *op, const struct fnx_network_layer *layer)
{
	size_t n_terms = count_values(op->height, op->width, op->input.n_channels);
	size_t n_places = (size_t)op->output.height * op->output.width;
	int r;

	op->kind = FNX_NETWORK_CONVOLUTION;
	op->output.n_channels = layer->n_out;
	if (!shape_valid(op->output) || !n_terms || !count_values(n_terms, layer->n_out, 1))
		return -EINVAL;
	op->n_terms = (uint32_t)n_terms;
	op->n_rows = (uint32_t)n_places;
	op->gathers = !columns_are_input(op) ||
		(uint64_t)op->stride_height * op->input.n_channels < n_terms;
	op->row_stride = op->gathers ? n_terms : (size_t)op->stride_height * op->input.n_channels;
	if (op->row_stride > FNX_NETWORK_SIZE_MAX ||
		(op->gathers && !count_values(n_places, n_terms, 1)))
		return -EINVAL;
	r = add_weights(op, layer);
	return r ? r : add_step(op, layer->activation, layer->slope);
}

/* x * factor + term, as a step of its own or folded into the weights that lead to it. */
static int normalise(struct op *op, const struct fnx_network_layer *layer)
{
	uint32_t n = op->output.n_channels;
	double *factors;

	if (layer->n_in != n || !layer->mean || !layer->variance || !all_finite(layer->gamma, n) ||
		!all_finite(layer->beta, n) || !all_finite(layer->mean, n) ||
		!all_finite(layer->variance, n))
		return -EINVAL;
	for (uint32_t c = 0; c < n; c++)
		if (!(layer->variance[c] + layer->epsilon > 0))
			return -EINVAL;
	factors = calloc(2 * (size_t)n, sizeof(*factors));
	if (!factors)
		return -ENOMEM;
	for (uint32_t c = 0; c < n; c++) {
		factors[c] = (layer->gamma ? layer->gamma[c] : 1) /
			sqrt(layer->variance[c] + layer->epsilon);
		factors[n + c] = (layer->beta ? layer->beta[c] : 0) - layer->mean[c] * factors[c];
	}
	if (op->sums && !op->n_steps) {
		for (uint32_t k = 0; k <= op->n_terms; k++)
			for (uint32_t c = 0; c < n; c++)
				op->sums[(size_t)k * n + c] *= factors[c];
		for (uint32_t c = 0; c < n; c++)
			op->sums[(size_t)op->n_terms * n + c] += factors[n + c];
		free(factors);
	} else {
		op->steps[op->n_steps++] = (struct step){.factor = factors, .term = factors + n};
	}
	return 0;
}

/* Opens an op over what the one before it left. */
static struct op *begin_op(struct fnx_network *network)
{
	struct op *op = &network->ops[network->n_ops];

	op->kind = FNX_NETWORK_FLATTEN;
	op->input = op->output = network->output;
	op->steps = calloc(STEPS_MAX, sizeof(*op->steps));
	if (!op->steps)
		return NULL;
	network->n_ops++;
	return op;
}

static int add_layer(struct fnx_network *network, const struct fnx_network_layer *layer)
{
	static const struct fnx_network_layer point = {
		.height = 1, .width = 1, .stride_height = 1, .stride_width = 1};
	bool changes_in_place =
		layer->kind == FNX_NETWORK_NORMALISATION || layer->kind == FNX_NETWORK_ACTIVATION;
	struct op *op;
	int r = 0;

	if (layer->kind == FNX_NETWORK_FLATTEN) {
		network->output.n_channels = (uint32_t)fnx_network_values(network->output);
		network->output.height = network->output.width = 1;
		return 0;
	}
	op = network->n_ops ? &network->ops[network->n_ops - 1] : NULL;
	/* A flatten between them changes what a channel is. */
	if (!changes_in_place || !op ||
		memcmp(&op->output, &network->output, sizeof(network->output)))
		op = begin_op(network);
	if (!op)
		return -ENOMEM;
	switch (layer->kind) {
	case FNX_NETWORK_CONVOLUTION:
	case FNX_NETWORK_DENSE:
		r = place_window(op, layer->kind == FNX_NETWORK_DENSE ? &point : layer);
		if (!r)
			r = make_product(op, layer);
		break;
	case FNX_NETWORK_NORMALISATION:
		r = normalise(op, layer);
		break;
	case FNX_NETWORK_ACTIVATION:
		r = add_step(op, layer->activation, layer->slope);
		break;
	case FNX_NETWORK_MAX_POOLING:
		r = place_window(op, layer);
		op->kind = FNX_NETWORK_MAX_POOLING;
		break;
	default:
		return -EINVAL;
	}
	network->output = op->output;
	return r ? r : shape_valid(op->output) ? 0 : -EINVAL;
}

/* `values` in the network's precision; takes them over. */
static void *convert(double *values, size_t n, bool double_precision)
{
	float *single;

	if (double_precision || !values)
		return values;
	single = calloc(n ? n : 1, sizeof(*single));
	for (size_t i = 0; single && i < n; i++)
		single[i] = (float)values[i];
	free(values);
	return single;
}

static int convert_op(struct op *op, bool double_precision)
{
	size_t real = double_precision ? sizeof(double) : sizeof(float), n;

	if (op->sums) {
		n = (size_t)op->n_terms * op->output.n_channels;
		op->weights = convert(op->sums, n + op->output.n_channels, double_precision);
		op->sums = NULL;
		if (!op->weights)
			return -ENOMEM;
		op->bias = (char *)op->weights + n * real;
	}
	for (uint32_t i = 0; i < op->n_steps; i++) {
		struct step *step = &op->steps[i];

		if (!step->factor)
			continue;
		n = op->output.n_channels;
		step->factor = convert(step->factor, 2 * n, double_precision);
		if (!step->factor)
			return -ENOMEM;
		step->term = (char *)step->factor + n * real;
	}
	return 0;
}

/* Weights in their precision, scratch, and the first call: CBLAS takes its memory then. */
static int make_ready(struct fnx_network *network)
{
	size_t real = network->double_precision ? sizeof(double) : sizeof(float), n;
	double *zeros;
	int r = 0;

	network->n_columns = 1;
	network->n_products = fnx_network_values(network->input);
	for (uint32_t i = 0; i < network->n_ops && !r; i++) {
		const struct op *op = &network->ops[i];

		n = (size_t)op->n_rows * op->n_terms;
		if (op->gathers && n > network->n_columns)
			network->n_columns = n;
		n = fnx_network_values(op->output);
		if (n > network->n_products)
			network->n_products = n;
		r = convert_op(&network->ops[i], network->double_precision);
	}
	/* Both halves begin on a line of the cache. */
	network->n_products = (network->n_products + PAD - 1) / PAD * PAD;
	if (!r)
		r = fnx_scratch_reserve(&network->columns, network->n_columns * real);
	if (!r)
		r = fnx_scratch_reserve(&network->products, 2 * network->n_products * real);
	if (r)
		return r;
	n = fnx_network_values(network->input) + fnx_network_values(network->output);
	zeros = calloc(n, sizeof(*zeros));
	if (!zeros)
		return -ENOMEM;
	fnx_network_run(network, zeros, zeros + fnx_network_values(network->input));
	free(zeros);
	return 0;
}

int fnx_network_new(const struct fnx_network_config *config, struct fnx_network **ret_network,
	uint32_t *ret_layer)
{
	struct fnx_network *network;
	int r = 0;

	*ret_layer = config->n_layers;
	if (!shape_valid(config->input) || config->n_layers < 1 ||
		config->n_layers > FNX_NETWORK_LAYERS_MAX)
		return -EINVAL;
	network = calloc(1, sizeof(*network));
	if (!network)
		return -ENOMEM;
	fnx_scratch_init(&network->columns);
	fnx_scratch_init(&network->products);
	network->double_precision = config->double_precision;
	network->input = network->output = config->input;
	for (uint32_t i = 0; i < config->n_layers && !r; i++) {
		*ret_layer = i;
		r = add_layer(network, &config->layers[i]);
	}
	if (!r) {
		*ret_layer = config->n_layers;
		r = make_ready(network);
	}
	if (r)
		fnx_network_free(network);
	else
		*ret_network = network;
	return r;
}

struct fnx_network *fnx_network_free(struct fnx_network *network)
{
	if (!network)
		return NULL;
	for (uint32_t i = 0; i < network->n_ops; i++) {
		struct op *op = &network->ops[i];

		free(op->sums);
		free(op->weights);
		for (uint32_t k = 0; k < op->n_steps; k++)
			free(op->steps[k].factor);
		free(op->steps);
	}
	fnx_scratch_fini(&network->columns);
	fnx_scratch_fini(&network->products);
	free(network);
	return NULL;
}

struct fnx_network_shape fnx_network_input(const struct fnx_network *network)
{
	return network->input;
}

struct fnx_network_shape fnx_network_output(const struct fnx_network *network)
{
	return network->output;
}

size_t fnx_network_growths(const struct fnx_network *network)
{
	return network->columns.n_grown + network->products.n_grown;
}

void fnx_network_run(struct fnx_network *network, const double *input, double *ret_output)
{
	if (network->double_precision)
		run_double(network, input, ret_output);
	else
		run_single(network, input, ret_output);
}
