/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Networks the slow way: each layer by its definition, in long double, place by place, nothing
 * folded and nothing gathered. And networks of seeded weights, the published architectures among
 * them.
 */
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/ripple/network.h"
#include "tests/support/check.h"

enum {
	NAIVE_SIZE_MAX = 1 << 17
};

struct naive {
	struct fnx_network_shape shape;
	long double values[NAIVE_SIZE_MAX];
};

static inline long double naive_activate(const struct fnx_network_layer *layer, long double x)
{
	switch (layer->activation) {
	case FNX_NETWORK_RELU:
		return x > 0 ? x : 0;
	case FNX_NETWORK_LEAKY_RELU:
		return x > 0 ? x : (long double)layer->slope * x;
	case FNX_NETWORK_SIGMOID:
		return 1 / (1 + expl(-x));
	default:
		return x;
	}
}

static inline uint32_t naive_extent(uint32_t size, uint32_t kernel, uint32_t stride, bool same)
{
	uint32_t n = 0;

	/* As many as fit; SAME: as many as begin within. */
	for (uint32_t at = 0; same ? at < size : at + kernel <= size; at += stride)
		n++;
	return n;
}

/* What stands before the first value: of the zeros that SAME adds, the smaller half. */
static inline int64_t naive_before(
	uint32_t size, uint32_t kernel, uint32_t stride, uint32_t n, bool same)
{
	int64_t reach = (int64_t)(n - 1) * stride + kernel - size;

	return same && reach > 0 ? reach / 2 : 0;
}

/* Convolution and pooling: `visit` each value that a window covers. */
static inline void naive_window(
	const struct fnx_network_layer *layer, const struct naive *in, struct naive *out)
{
	bool dense = layer->kind == FNX_NETWORK_DENSE,
	     pool = layer->kind == FNX_NETWORK_MAX_POOLING;
	uint32_t kh = dense ? 1 : layer->height, kw = dense ? 1 : layer->width;
	uint32_t sh = dense ? 1 : layer->stride_height, sw = dense ? 1 : layer->stride_width;
	struct fnx_network_shape s = in->shape;
	uint32_t h = naive_extent(s.height, kh, sh, layer->same),
		 w = naive_extent(s.width, kw, sw, layer->same),
		 n_out = pool ? s.n_channels : layer->n_out;
	int64_t top = naive_before(s.height, kh, sh, h, layer->same),
		left = naive_before(s.width, kw, sw, w, layer->same);

	out->shape = (struct fnx_network_shape){h, w, n_out};
	assert_true((size_t)h * w * n_out <= NAIVE_SIZE_MAX);
	for (uint32_t i = 0; i < h; i++)
		for (uint32_t j = 0; j < w; j++)
			for (uint32_t o = 0; o < n_out; o++) {
				long double sum = layer->bias ? (long double)layer->bias[o] : 0;
				long double largest = -INFINITY;

				for (int64_t k = 0; k < kh; k++)
					for (int64_t l = 0; l < kw; l++) {
						int64_t y = i * (int64_t)sh + k - top,
							z = j * (int64_t)sw + l - left;
						const long double *x;

						if (y < 0 || y >= s.height || z < 0 || z >= s.width)
							continue;
						x = in->values + (y * s.width + z) * s.n_channels;
						if (pool && x[o] > largest)
							largest = x[o];
						for (uint32_t c = 0; !pool && c < s.n_channels; c++)
							sum += x[c] *
								(long double)layer->weights
									[((k * kw +
										  l) * s.n_channels +
										 c) * n_out +
										o];
					}
				out->values[((size_t)i * w + j) * n_out + o] =
					pool ? largest : naive_activate(layer, sum);
			}
}

static inline void naive_in_place(const struct fnx_network_layer *layer, struct naive *x)
{
	size_t n = fnx_network_values(x->shape), n_channels = x->shape.n_channels;

	for (size_t i = 0; i < n; i++) {
		size_t c = i % n_channels;

		if (layer->kind == FNX_NETWORK_ACTIVATION)
			x->values[i] = naive_activate(layer, x->values[i]);
		else
			x->values[i] = (x->values[i] - (long double)layer->mean[c]) /
					sqrtl((long double)layer->variance[c] +
						(long double)layer->epsilon) *
					(layer->gamma ? (long double)layer->gamma[c] : 1) +
				(layer->beta ? (long double)layer->beta[c] : 0);
	}
}

/* The result is in the returned one, which stays until the next call. */
static inline const struct naive *naive_run(
	const struct fnx_network_config *config, const double *input)
{
	static struct naive buffers[2];
	struct naive *in = &buffers[0], *out = &buffers[1];

	in->shape = config->input;
	for (size_t i = 0; i < fnx_network_values(config->input); i++)
		in->values[i] = (long double)input[i];
	for (uint32_t i = 0; i < config->n_layers; i++) {
		const struct fnx_network_layer *layer = &config->layers[i];
		struct naive *other = in;

		if (layer->kind == FNX_NETWORK_FLATTEN) {
			in->shape = (struct fnx_network_shape){
				1, 1, (uint32_t)fnx_network_values(in->shape)};
		} else if (layer->kind == FNX_NETWORK_ACTIVATION ||
			layer->kind == FNX_NETWORK_NORMALISATION) {
			naive_in_place(layer, in);
		} else {
			naive_window(layer, in, out);
			in = out;
			out = other;
		}
	}
	return in;
}

/* Building
 * -------------------------------------------------------------------------------------------- */

enum {
	BUILD_LAYERS_MAX = 64
};

struct build {
	struct fnx_network_config config;
	struct fnx_network_layer layers[BUILD_LAYERS_MAX];
	struct fnx_network_shape shape; /* that reaches the next layer */
	double *arrays[4 * BUILD_LAYERS_MAX];
	uint32_t n_arrays;
	struct check_random random;
};

static inline void build_begin(
	struct build *build, uint64_t seed, uint32_t height, uint32_t width, uint32_t n_channels)
{
	memset(build, 0, sizeof(*build));
	build->random.state = seed;
	build->shape = build->config.input = (struct fnx_network_shape){height, width, n_channels};
	build->config.layers = build->layers;
}

static inline void build_end(struct build *build)
{
	for (uint32_t i = 0; i < build->n_arrays; i++)
		free(build->arrays[i]);
}

/* Values that a 32-bit float holds exactly, from low to high. */
static inline double *build_array(struct build *build, size_t n, double low, double high)
{
	double *values = calloc(n, sizeof(*values));

	for (size_t i = 0; i < n; i++)
		values[i] = (double)(float)(low + (high - low) * check_random_unit(&build->random));
	return build->arrays[build->n_arrays++] = values;
}

static inline struct fnx_network_layer *build_layer(struct build *build, enum fnx_network_kind kind)
{
	struct fnx_network_layer *layer = &build->layers[build->config.n_layers++];

	layer->kind = kind;
	return layer;
}

static inline void build_window(struct build *build, struct fnx_network_layer *layer, uint32_t kh,
	uint32_t kw, uint32_t sh, uint32_t sw, bool same)
{
	layer->height = kh;
	layer->width = kw;
	layer->stride_height = sh;
	layer->stride_width = sw;
	layer->same = same;
	build->shape.height = naive_extent(build->shape.height, kh, sh, same);
	build->shape.width = naive_extent(build->shape.width, kw, sw, same);
}

static inline struct fnx_network_layer *build_convolution(struct build *build, uint32_t kh,
	uint32_t kw, uint32_t sh, uint32_t sw, bool same, uint32_t n_out)
{
	struct fnx_network_layer *layer = build_layer(build, FNX_NETWORK_CONVOLUTION);
	size_t n = (size_t)kh * kw * build->shape.n_channels;
	double reach = sqrt(3.0 / (double)n);

	build_window(build, layer, kh, kw, sh, sw, same);
	layer->n_in = build->shape.n_channels;
	layer->n_out = n_out;
	layer->weights = build_array(build, n * n_out, -reach, reach);
	layer->bias = build_array(build, n_out, -0.3, 0.3);
	build->shape.n_channels = n_out;
	return layer;
}

static inline void build_normalisation(struct build *build)
{
	struct fnx_network_layer *layer = build_layer(build, FNX_NETWORK_NORMALISATION);
	uint32_t n = build->shape.n_channels;

	layer->n_in = n;
	layer->gamma = build_array(build, n, 0.5, 1.5);
	layer->beta = build_array(build, n, -0.5, 0.5);
	layer->mean = build_array(build, n, -0.5, 0.5);
	layer->variance = build_array(build, n, 0.1, 2);
	layer->epsilon = 1e-3;
}

static inline void build_activation(
	struct build *build, enum fnx_network_activation activation, double slope)
{
	struct fnx_network_layer *layer = build_layer(build, FNX_NETWORK_ACTIVATION);

	layer->activation = activation;
	layer->slope = slope;
}

static inline void build_dense(
	struct build *build, uint32_t n_out, enum fnx_network_activation activation)
{
	struct fnx_network_layer *layer = build_layer(build, FNX_NETWORK_DENSE);
	uint32_t n = build->shape.n_channels;

	layer->n_in = n;
	layer->n_out = n_out;
	layer->activation = activation;
	layer->weights = build_array(build, (size_t)n * n_out, -sqrt(3.0 / n), sqrt(3.0 / n));
	layer->bias = build_array(build, n_out, -0.3, 0.3);
	build->shape.n_channels = n_out;
}

static inline void build_pooling(
	struct build *build, uint32_t kh, uint32_t kw, uint32_t sh, uint32_t sw, bool same)
{
	build_window(build, build_layer(build, FNX_NETWORK_MAX_POOLING), kh, kw, sh, sw, same);
}

static inline void build_flatten(struct build *build)
{
	build_layer(build, FNX_NETWORK_FLATTEN);
	build->shape = (struct fnx_network_shape){1, 1, (uint32_t)fnx_network_values(build->shape)};
}

/* The published one-dimensional networks, by number from 1: kernel and stride of the first layer,
 * then filters; each convolution with normalisation and leaky ReLU (0.1). */
static inline void build_published(struct build *build, int number, uint64_t seed)
{
	static const uint32_t heights[] = {16, 32, 40, 40, 40, 40},
			      n_channels[] = {8, 8, 8, 8, 8, 1}, first[] = {2, 4, 5, 5, 5, 5};
	static const uint32_t filters[6][7] = {{4, 2, 8, 4, 16, 8, 32}, {6, 3, 12, 6, 24, 12, 48},
		{6, 3, 12, 6, 24, 12, 48}, {8, 4, 16, 8, 32, 16, 64}, {4, 2, 8, 4, 16, 8, 32},
		{6, 3, 12, 6, 24, 12, 48}};
	int i = number - 1;

	build_begin(build, seed, heights[i], 1, n_channels[i]);
	for (int k = 0; k < 7; k++) {
		uint32_t size = k == 0 ? first[i] : k % 2 ? 1 : 2;

		build_convolution(build, size, 1, size, 1, false, filters[i][k]);
		build_normalisation(build);
		build_activation(build, FNX_NETWORK_LEAKY_RELU, 0.1);
	}
	build_dense(build, 1, FNX_NETWORK_SIGMOID);
}

/* CNN2D_1: SAME padding with even kernels, ReLU before and after the normalisation, pooling. */
static inline void build_published_2d(struct build *build, uint64_t seed)
{
	static const uint32_t filters[] = {32, 16, 8}, heights[] = {2, 2, 3};

	build_begin(build, seed, 40, 8, 1);
	for (int k = 0; k < 3; k++) {
		build_convolution(build, heights[k], 2, 1, 1, true, filters[k])->activation =
			FNX_NETWORK_RELU;
		build_normalisation(build);
		build_activation(build, FNX_NETWORK_RELU, 0);
		build_pooling(build, 2, 2, 2, 2, false);
	}
	for (int k = 0; k < 3; k++) {
		build_convolution(build, k ? 6 : 4, 1, 1, 1, true, k == 0 ? 16 : k == 1 ? 16 : 8);
		build_normalisation(build);
		build_activation(build, FNX_NETWORK_LEAKY_RELU, 0.3);
	}
	build_flatten(build);
	build_dense(build, 1, FNX_NETWORK_SIGMOID);
}
