/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/network.h"

#include "bus/scratch.h"
#include "tests/support/allocations.h"
#include "tests/support/check.h"
#include "tests/support/proc_self.h"
#include "tests/unit/ripple/naive_network.h"

#include <errno.h>
#include <stdio.h>

enum {
	VALUES_MAX = NAIVE_SIZE_MAX
};

static struct fnx_network *new_network(struct fnx_network_config *config, bool double_precision)
{
	struct fnx_network *network;
	uint32_t layer;

	config->double_precision = double_precision;
	assert_int_equal(fnx_network_new(config, &network, &layer), 0);
	return network;
}

static void random_input(struct check_random *random, struct fnx_network_shape shape, double *input)
{
	for (size_t i = 0; i < fnx_network_values(shape); i++)
		input[i] = 6 * check_random_unit(random) - 3;
}

/* Largest difference, as a share of the largest value. */
static double error_of(const double *ours, const struct naive *naive)
{
	long double difference = 0, largest = 1e-30L;

	for (size_t i = 0; i < fnx_network_values(naive->shape); i++) {
		assert_true(ours[i] == ours[i]);
		difference = fmaxl(difference, fabsl((long double)ours[i] - naive->values[i]));
		largest = fmaxl(largest, fabsl(naive->values[i]));
	}
	return (double)(difference / largest);
}

/* Both precisions, scratch poisoned, against the naive one. */
static void assert_agrees(struct build *build)
{
	static double input[VALUES_MAX], output[VALUES_MAX];

	random_input(&build->random, build->config.input, input);
	for (int k = 0; k < 2; k++) {
		struct fnx_network *network = new_network(&build->config, k);
		const struct naive *naive = naive_run(&build->config, input);
		struct fnx_network_shape shape = fnx_network_output(network);
		double limit = k ? 1e-12 : 1e-4;

		assert_memory_equal(&shape, &naive->shape, sizeof(shape));
		fnx_scratch_poison_loans(1);
		fnx_network_run(network, input, output);
		fnx_scratch_poison_loans(0);
		if (!(error_of(output, naive) <= limit))
			fail_msg("error %g, allowed %g (case %d)", error_of(output, naive), limit,
				k);
		fnx_network_free(network);
	}
}

static uint32_t up_to(struct check_random *random, uint32_t n)
{
	return 1 + (uint32_t)check_random_below(random, n);
}

TEST(convolutions_of_any_shape_are_those_of_the_definition)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 300; i++) {
		uint32_t kh = up_to(&random, 6), kw = up_to(&random, 6);
		bool flat = check_random_below(&random, 3) == 0; /* 1-D */
		struct build build;

		if (check_random_below(&random, 4) == 0)
			kh = kw = 1;
		build_begin(&build, check_random_u64(&random), kh + up_to(&random, 24) - 1,
			flat ? 1 : kw + up_to(&random, 12) - 1, up_to(&random, 12));
		build_convolution(&build, kh, flat ? 1 : kw, up_to(&random, 4),
			flat ? 1 : up_to(&random, 4), check_random_below(&random, 2),
			up_to(&random, 40));
		assert_agrees(&build);
		build_end(&build);
	}
}

TEST(a_padded_kernel_may_be_larger_than_the_input)
{
	struct build build;

	build_begin(&build, 5, 3, 2, 3);
	build_convolution(&build, 7, 6, 1, 1, true, 5);
	assert_agrees(&build);
	build_end(&build);
}

/* With one kernel of ones over a row of ones the sums tell where the zeros are. */
TEST(same_padding_adds_the_odd_zero_at_the_bottom_and_right)
{
	const double ones[4] = {1, 1, 1, 1}, weights[2] = {1, 10};
	struct fnx_network_layer layer = {.kind = FNX_NETWORK_CONVOLUTION,
		.height = 2,
		.width = 1,
		.stride_height = 1,
		.stride_width = 1,
		.same = true,
		.n_in = 1,
		.n_out = 1,
		.weights = weights};
	struct fnx_network_config config = {.input = {4, 1, 1}, .n_layers = 1, .layers = &layer};
	struct fnx_network *network = new_network(&config, true);
	double output[4];

	fnx_network_run(network, ones, output);
	assert_true(output[0] == 11 && output[2] == 11 && output[3] == 1);
	fnx_network_free(network);
	layer.height = 1;
	layer.width = 2;
	config.input = (struct fnx_network_shape){1, 4, 1};
	network = new_network(&config, true);
	fnx_network_run(network, ones, output);
	assert_true(output[0] == 11 && output[2] == 11 && output[3] == 1);
	fnx_network_free(network);
}

static void add_random_layer(struct build *build, struct check_random *random)
{
	uint32_t kh, kw;

	switch (check_random_below(random, 6)) {
	case 0:
	case 1:
		kh = up_to(random, build->shape.height < 4 ? build->shape.height : 4);
		kw = up_to(random, build->shape.width < 4 ? build->shape.width : 4);
		build_convolution(build, kh, kw, up_to(random, 2), up_to(random, 2),
			check_random_below(random, 2), up_to(random, 20))
			->activation = (enum fnx_network_activation)check_random_below(random, 2);
		break;
	case 2:
		build_normalisation(build);
		break;
	case 3:
		build_activation(build,
			(enum fnx_network_activation)(1 + check_random_below(random, 3)), 0.2);
		break;
	case 4:
		kh = up_to(random, build->shape.height < 3 ? build->shape.height : 3);
		kw = up_to(random, build->shape.width < 3 ? build->shape.width : 3);
		build_pooling(build, kh, kw, up_to(random, 3), up_to(random, 3),
			check_random_below(random, 2));
		break;
	default:
		if (check_random_below(random, 2))
			build_dense(build, up_to(random, 30), FNX_NETWORK_LINEAR);
		else if (check_random_below(random, 3) == 0)
			build_flatten(build);
		break;
	}
}

TEST(any_sequence_of_layers_does_what_its_layers_do)
{
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 300; i++) {
		uint32_t n = up_to(&random, 12);
		struct build build;

		build_begin(&build, check_random_u64(&random), up_to(&random, 30),
			up_to(&random, 10), up_to(&random, 8));
		while (build.config.n_layers < n)
			add_random_layer(&build, &random);
		assert_agrees(&build);
		build_end(&build);
	}
}

TEST(the_published_architectures_do_what_their_layers_do)
{
	for (int number = 1; number <= 7; number++) {
		struct build build;

		if (number == 7)
			build_published_2d(&build, 77);
		else
			build_published(&build, number, 70 + (uint64_t)number);
		assert_int_equal(fnx_network_values(build.shape), 1);
		assert_agrees(&build);
		build_end(&build);
	}
}

TEST(one_dimensional_networks_take_any_number_of_samples)
{
	struct build build;

	build_published(&build, 1, 3);
	for (uint32_t height = 16; height < 200; height += 7) {
		build.config.input.height = height;
		assert_agrees(&build);
	}
	build_end(&build);
}

TEST(eight_calls_give_the_same_bits)
{
	static double input[VALUES_MAX], first[VALUES_MAX], output[VALUES_MAX];
	struct check_random random = check_random_seeded();

	for (int i = 0; i < 12; i++) {
		struct build build;
		struct fnx_network *network;

		build_published_2d(&build, check_random_u64(&random));
		network = new_network(&build.config, i & 1);
		random_input(&random, build.config.input, input);
		fnx_network_run(network, input, first);
		for (int k = 0; k < 8; k++) {
			fnx_scratch_poison_loans(k);
			fnx_network_run(network, input, output);
			assert_memory_equal(output, first, sizeof(double));
		}
		fnx_scratch_poison_loans(0);
		fnx_network_free(network);
		build_end(&build);
	}
}

TEST(a_run_allocates_nothing_and_no_thread_is_started)
{
	static double input[VALUES_MAX], output[VALUES_MAX];
	struct build build;

	/* Large enough that a library with threads would use them. */
	build_begin(&build, 9, 60, 40, 16);
	build_convolution(&build, 3, 3, 1, 1, true, 48);
	for (int k = 0; k < 2; k++) {
		struct fnx_network *network = new_network(&build.config, k);
		size_t before;

		random_input(&build.random, build.config.input, input);
		before = n_allocations;
		fnx_network_run(network, input, output);
		fnx_network_run(network, input, output);
		assert_int_equal(n_allocations, before);
		assert_int_equal(fnx_network_growths(network), 0);
		fnx_network_free(network);
	}
	build_end(&build);
	assert_int_equal(n_threads(), 1);
}

TEST(layers_that_do_not_fit_are_named)
{
	struct build build;
	struct fnx_network *network;
	uint32_t layer;

	build_published(&build, 1, 1);
	build.layers[4].n_in++; /* the second normalisation */
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	assert_int_equal(layer, 4);
	build.layers[4].n_in--;
	build.config.input.height = 15; /* too few for the last convolution */
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	assert_int_equal(layer, 18);
	build.config.input.height = 16;
	build.layers[3].stride_height = 0;
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	assert_int_equal(layer, 3);
	build.layers[3].stride_height = 1;
	build.arrays[0][1] = NAN;
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	assert_int_equal(layer, 0);
	build.config.n_layers = 0;
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	build_end(&build);
}

TEST(shapes_beyond_all_memory_are_refused)
{
	struct build build;
	struct fnx_network *network;
	uint32_t layer;

	build_published(&build, 1, 1);
	build.config.input.height = UINT32_MAX;
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	build.config.input.height = FNX_NETWORK_SIZE_MAX / 8;
	build.layers[0].same = true;
	build.layers[0].stride_height = 1;
	assert_int_equal(fnx_network_new(&build.config, &network, &layer), -EINVAL);
	assert_int_equal(layer, 0);
	build_end(&build);
}
