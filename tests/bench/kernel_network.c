/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/kernel_network.h"

#include <math.h>
#include <stdlib.h>

#include "nodes/ripple/network.h"

enum {
	HEIGHT = 16,
	N_CHANNELS = 8,
	N_CONVOLUTIONS = 7,
	N_VALUES = 4096, /* more than any layer has weights */
};

struct network {
	struct fnx_network *network;
	double input[HEIGHT * N_CHANNELS], output;
};

static const struct fnx_network_layer activation = {
	.kind = FNX_NETWORK_ACTIVATION, .activation = FNX_NETWORK_LEAKY_RELU, .slope = 0.1};

/* All layers read the same values: how long they take does not hang on them. */
static int make(struct network *self, const double *values, const double *ones)
{
	static const uint32_t filters[N_CONVOLUTIONS] = {4, 2, 8, 4, 16, 8, 32};
	struct fnx_network_layer layers[3 * N_CONVOLUTIONS + 1];
	uint32_t n = 0, n_in = N_CHANNELS, failed;

	for (uint32_t i = 0; i < N_CONVOLUTIONS; i++) {
		layers[n++] = (struct fnx_network_layer){.kind = FNX_NETWORK_CONVOLUTION,
			.height = i % 2 ? 1 : 2,
			.width = 1,
			.stride_height = i % 2 ? 1 : 2,
			.stride_width = 1,
			.n_in = n_in,
			.n_out = filters[i],
			.weights = values,
			.bias = values};
		n_in = filters[i];
		layers[n++] = (struct fnx_network_layer){.kind = FNX_NETWORK_NORMALISATION,
			.n_in = n_in,
			.mean = values,
			.variance = ones,
			.epsilon = 1e-3};
		layers[n++] = activation;
	}
	layers[n++] = (struct fnx_network_layer){.kind = FNX_NETWORK_DENSE,
		.activation = FNX_NETWORK_SIGMOID,
		.n_in = n_in,
		.n_out = 1,
		.weights = values,
		.bias = values};
	return fnx_network_new(
		&(struct fnx_network_config){
			.input = {HEIGHT, 1, N_CHANNELS}, .n_layers = n, .layers = layers},
		&self->network, &failed);
}

void *bench_network_open(const struct bench_case *bench, const char *directory)
{
	struct network *self = calloc(1, sizeof(*self));
	double *values = calloc(2 * N_VALUES, sizeof(*values));

	(void)bench;
	(void)directory;
	for (int i = 0; values && i < N_VALUES; i++) {
		values[i] = sin(1.7 * i);
		values[N_VALUES + i] = 1;
	}
	if (self && values && make(self, values, values + N_VALUES) == 0) {
		for (int i = 0; i < HEIGHT * N_CHANNELS; i++)
			self->input[i] = sin(0.1 * i);
		free(values);
		return self;
	}
	free(values);
	free(self);
	return NULL;
}

void bench_network_close(void *self)
{
	fnx_network_free(((struct network *)self)->network);
	free(self);
}

void bench_network_call(void *self)
{
	struct network *network = self;

	fnx_network_run(network->network, network->input, &network->output);
}

const double *bench_network_result(void *self, size_t *ret_n)
{
	*ret_n = 1;
	return &((struct network *)self)->output;
}
