/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small inference engine for sequential convolutional networks, such as detect sharp-wave ripples
 * in a window of LFP: convolution, batch normalisation, ReLU and leaky ReLU, max pooling, flatten,
 * dense, sigmoid, in single or double precision.
 *
 * Shapes are [height][width][channels], row-major. A 1-D network over time is one of width 1:
 * [time][1][channels]. Of a 2-D one, height is time and width the electrode channels. Kernels are
 * [height][width][in][out], dense weights [in][out], as TensorFlow keeps them. SAME padding is
 * TensorFlow's: ceil(size / stride) outputs, and where an odd number of zeros is needed the extra
 * one stands at the bottom or right. Max pooling never takes a padded place.
 *
 * A convolution is a matrix product [places][kernel] * [kernel][out] over a matrix of columns. The
 * columns, and the products, lie in grow-only scratch that is not zeroed and is written in full
 * before it is read; a product is written where the next layer reads it. Batch normalisation behind
 * a linear layer is folded into that layer's weights when the network is made; behind another it is
 * a factor and a term for each channel.
 *
 * One thread per network; no thread is ever started. CBLAS takes a spin lock of its own for some
 * instructions per product: of a process with several networks, threads would meet there. All
 * memory is taken, and CBLAS has made its first call, when fnx_network_new returns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FNX_NETWORK_LAYERS_MAX = 128,
	FNX_NETWORK_SIZE_MAX = 1 << 24, /* values in any input, output, column matrix or kernel */
};

enum fnx_network_kind {
	FNX_NETWORK_CONVOLUTION = 0,
	FNX_NETWORK_NORMALISATION,
	FNX_NETWORK_ACTIVATION,
	FNX_NETWORK_MAX_POOLING,
	FNX_NETWORK_FLATTEN,
	FNX_NETWORK_DENSE, /* over the channels of each place */
};

enum fnx_network_activation {
	FNX_NETWORK_LINEAR = 0,
	FNX_NETWORK_RELU,
	FNX_NETWORK_LEAKY_RELU, /* x, or slope * x below 0 */
	FNX_NETWORK_SIGMOID,
};

struct fnx_network_shape {
	uint32_t height, width, n_channels;
};

/* What a layer does not use is 0 or NULL. */
struct fnx_network_layer {
	enum fnx_network_kind kind;
	enum fnx_network_activation activation; /* convolution, dense: done last */
	double slope;
	uint32_t height, width; /* of kernel or pool */
	uint32_t stride_height, stride_width;
	bool same; /* SAME padding; else VALID */
	uint32_t n_in; /* convolution, dense, normalisation: channels that its numbers are for */
	uint32_t n_out; /* convolution, dense */
	const double *weights; /* [height][width][in][n_out]; dense: [in][n_out] */
	const double *bias; /* [n_out]; NULL: none */
	/* Normalisation, [channels] each: gamma * (x - mean) / sqrt(variance + epsilon) + beta. */
	const double *gamma, *beta, *mean, *variance; /* gamma, beta NULL: 1, 0 */
	double epsilon;
};

/* Read at fnx_network_new only. */
struct fnx_network_config {
	struct fnx_network_shape input;
	bool double_precision;
	uint32_t n_layers;
	const struct fnx_network_layer *layers;
};

struct fnx_network;

/* -EINVAL, with *ret_layer the layer (from 0) whose shape, weights or numbers do not do, n_layers
 * where it is the network as a whole; -ENOMEM. */
int fnx_network_new(const struct fnx_network_config *config, struct fnx_network **ret_network,
	uint32_t *ret_layer);
/* NULL, always. */
struct fnx_network *fnx_network_free(struct fnx_network *network);

struct fnx_network_shape fnx_network_input(const struct fnx_network *network);
struct fnx_network_shape fnx_network_output(const struct fnx_network *network);
/* Values in a shape. */
size_t fnx_network_values(struct fnx_network_shape shape);

/* From `input` to `ret_output`, each of its shape. Same input, same bits. Against a convolution in
 * double, summed place by place, a layer's largest error is 1e-4 of its largest value in single and
 * 1e-12 in double precision. Frame path. */
void fnx_network_run(struct fnx_network *network, const double *input, double *ret_output);
/* Times that scratch had to grow after fnx_network_new: 0. */
size_t fnx_network_growths(const struct fnx_network *network);
