/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/ripple/network_detector.h"

#include "nodes/ripple/firls.h"
#include "tests/support/allocations.h"
#include "tests/support/check.h"
#include "tests/unit/ripple/naive_network.h"

#include <errno.h>

enum {
	CHANNELS_MAX = 8,
	SAMPLES_MAX = 4000
};

/* A network whose output is what one place of the window holds, so that tests see what it sees. */
static struct fnx_network *peephole(uint32_t height, uint32_t n_channels, uint32_t at)
{
	static double weights[64 * CHANNELS_MAX];
	const struct fnx_network_layer layer = {.kind = FNX_NETWORK_CONVOLUTION,
		.height = height,
		.width = 1,
		.stride_height = 1,
		.stride_width = 1,
		.n_in = n_channels,
		.n_out = 1,
		.weights = weights};
	const struct fnx_network_config config = {.input = {height, 1, n_channels},
		.double_precision = true,
		.n_layers = 1,
		.layers = &layer};
	struct fnx_network *network;
	uint32_t index;

	memset(weights, 0, sizeof(weights));
	weights[at] = 1;
	assert_int_equal(fnx_network_new(&config, &network, &index), 0);
	return network;
}

static struct fnx_network_detector_config usual(struct fnx_network *network, uint32_t n_channels)
{
	return (struct fnx_network_detector_config){.network = network,
		.n_channels = n_channels,
		.step = 8,
		.lfp_rate_hz = 1500,
		.rate_hz = 1250,
		.params = {.threshold = 0.7,
			.max_speed_cm_s = 4,
			.timeout_samples = 72,
			.max_samples = 450}};
}

static struct fnx_network_detector *new_detector(const struct fnx_network_detector_config *config)
{
	struct fnx_network_detector *detector;

	assert_int_equal(fnx_network_detector_new(config, &detector), 0);
	return detector;
}

/* The slow way: all samples at hand, each window cut out anew, statistics over all so far. */
static double slow_z(const double *x, uint32_t n_channels, const uint32_t *taken, uint32_t at,
	uint32_t n_learnt, uint32_t c)
{
	uint32_t n = at + 1 < n_learnt || !n_learnt ? at + 1 : n_learnt;
	long double mean = 0, square = 0;

	for (uint32_t k = 0; k < n; k++)
		mean += (long double)x[taken[k] * n_channels + c] / n;
	for (uint32_t k = 0; k < n; k++) {
		long double d = (long double)x[taken[k] * n_channels + c] - mean;

		square += d * d / n;
	}
	return square > 0
		? (double)(((long double)x[taken[at] * n_channels + c] - mean) / sqrtl(square))
		: 0;
}

TEST(the_network_sees_the_window_of_z_that_the_definition_gives)
{
	static double x[SAMPLES_MAX * CHANNELS_MAX];
	static uint32_t taken[SAMPLES_MAX];
	struct check_random random = check_random_seeded();

	for (int round = 0; round < 40; round++) {
		uint32_t n_channels = 1 + (uint32_t)check_random_below(&random, CHANNELS_MAX),
			 height = 1 + (uint32_t)check_random_below(&random, 40),
			 place = (uint32_t)check_random_below(&random, height * n_channels),
			 n_learnt = check_random_below(&random, 2)
			? 1 + (uint32_t)check_random_below(&random, 200)
			: 0,
			 n_taken = 0, n_looks = 0;
		struct fnx_network *network = peephole(height, n_channels, place);
		struct fnx_network_detector_config config = usual(network, n_channels);
		struct fnx_network_detector *detector;
		struct fnx_detector_event event = {.channel = 0};
		float counts[CHANNELS_MAX];

		config.step = 1 + (uint32_t)check_random_below(&random, 20);
		config.calibration_samples = n_learnt;
		config.lfp_rate_hz = 1250 + (double)check_random_below(&random, 2000);
		detector = new_detector(&config);
		for (uint32_t i = 0; i < 600; i++) {
			double z;
			bool look;

			for (uint32_t c = 0; c < n_channels; c++) {
				counts[c] = (float)(check_random_unit(&random) * 100 - 30);
				x[i * n_channels + c] = (double)counts[c] * 0.195;
			}
			look = i == (uint32_t)(n_taken * config.lfp_rate_hz / 1250);
			if (look)
				taken[n_taken++] = i;
			look = look && n_taken >= height && (n_taken - height) % config.step == 0 &&
				n_taken >= n_learnt;
			fnx_network_detector_step(detector, counts, 0.195, 0, &event);
			if (!look) {
				if (!n_looks)
					assert_true(isnan(fnx_network_detector_output(detector)));
				continue;
			}
			n_looks++;
			z = slow_z(x, n_channels, taken, n_taken - height + place / n_channels,
				n_learnt, place % n_channels);
			assert_true(fabs(fnx_network_detector_output(detector) - z) <
				1e-9 * (1 + fabs(z)));
		}
		assert_true(n_looks > 0);
		fnx_network_detector_free(detector);
		fnx_network_free(network);
	}
}

TEST(the_low_pass_takes_out_what_picking_folds_back)
{
	struct fnx_network *network = peephole(1, 1, 0);
	struct fnx_network_detector_config config = usual(network, 1);
	double taps[31], mean = 0, deviation = 1, power[2] = {0, 0};

	assert_int_equal(fnx_firls_low_pass(31, 500, 625, 1500, taps), 0);
	config.step = 1;
	config.taps = taps;
	for (int filtered = 0; filtered < 2; filtered++) {
		struct fnx_network_detector *detector;
		struct fnx_detector_event event = {.channel = 0};

		config.n_taps = filtered ? 31 : 0;
		detector = new_detector(&config);
		assert_int_equal(fnx_network_detector_seed(detector, &mean, &deviation, 1), 0);
		config.params.freeze = true;
		assert_int_equal(fnx_network_detector_set(detector, &config.params), 0);
		for (int i = 0; i < 1500; i++) {
			/* 700 Hz: beyond half of 1250. */
			float count = (float)sin(2 * M_PI * 700 * i / 1500);
			double y;

			fnx_network_detector_step(detector, &count, 1, 0, &event);
			y = fnx_network_detector_output(detector);
			power[filtered] += i > 100 ? y * y : 0;
		}
		fnx_network_detector_free(detector);
	}
	assert_true(power[1] < power[0] / 1000);
	fnx_network_free(network);
}

/* Feeds `n` samples of `value`; returns events, the last in *ret_event. */
static int feed(struct fnx_network_detector *detector, float value, int n, double speed,
	struct fnx_detector_event *ret_event)
{
	struct fnx_detector_event event = {.channel = 0};
	int n_events = 0;

	for (int i = 0; i < n; i++)
		if (fnx_network_detector_step(detector, &value, 1, speed, &event)) {
			*ret_event = event;
			n_events++;
		}
	return n_events;
}

static struct fnx_network_detector *new_seeded(struct fnx_network **ret_network)
{
	struct fnx_network_detector_config config;
	struct fnx_network_detector *detector;
	double mean = 0, deviation = 1;

	*ret_network = peephole(1, 1, 0);
	config = usual(*ret_network, 1);
	config.step = 1;
	config.calibration_samples = 1000;
	config.lfp_rate_hz = 1250;
	detector = new_detector(&config);
	assert_int_equal(fnx_network_detector_seed(detector, &mean, &deviation, 1), 0);
	return detector;
}

TEST(a_ripple_lasts_the_time_out_and_ends_below_the_threshold)
{
	struct fnx_network *network;
	struct fnx_network_detector *detector = new_seeded(&network);
	struct fnx_detector_event event = {.channel = 0};

	assert_int_equal(feed(detector, 0.6f, 50, 0, &event), 0);
	assert_int_equal(feed(detector, 0.9f, 1, 0, &event), 1);
	assert_int_equal(event.type, FNX_DETECTOR_STANDARD);
	assert_int_equal(event.channel, FNX_DETECTOR_CONSENSUS);
	assert_true(fabs(event.z - (double)0.9f) < 1e-12 && isnan(event.envelope));
	assert_int_equal(feed(detector, 0.1f, 71, 0, &event), 0);
	assert_int_equal(feed(detector, 0.1f, 1, 0, &event), 1);
	assert_int_equal(event.type, FNX_DETECTOR_END);
	assert_false(event.forced);
	/* As long as it stays above; at most max_samples. */
	assert_int_equal(feed(detector, 0.9f, 1, 0, &event), 1);
	assert_int_equal(feed(detector, 0.9f, 449, 0, &event), 0);
	assert_int_equal(feed(detector, 0.9f, 1, 0, &event), 1);
	assert_int_equal(event.type, FNX_DETECTOR_END);
	assert_true(event.forced);
	fnx_network_detector_free(detector);
	fnx_network_free(network);
}

TEST(nothing_starts_at_speed_or_at_an_unknown_one_or_while_warming_up)
{
	struct fnx_network_detector_params params = {
		.threshold = 0.7, .max_speed_cm_s = 4, .max_samples = 450, .warm_up_samples = 120};
	struct fnx_network *network;
	struct fnx_network_detector *detector = new_seeded(&network);
	struct fnx_detector_event event = {.channel = 0};

	assert_int_equal(fnx_network_detector_set(detector, &params), 0);
	assert_int_equal(feed(detector, 0.9f, 50, 4, &event), 0);
	assert_int_equal(feed(detector, 0.9f, 50, NAN, &event), 0);
	assert_int_equal(feed(detector, 0.9f, 20, 0, &event), 0);
	assert_int_equal(feed(detector, 0.9f, 1, 3.9, &event), 1);
	fnx_network_detector_free(detector);
	fnx_network_free(network);
}

TEST(a_sample_that_is_no_number_is_replaced_by_the_last)
{
	struct fnx_network *network;
	struct fnx_network_detector *detector = new_seeded(&network);
	struct fnx_detector_event event = {.channel = 0};

	feed(detector, 0.5f, 10, 0, &event);
	feed(detector, NAN, 1, 0, &event);
	assert_true(fnx_network_detector_output(detector) == 0.5);
	feed(detector, INFINITY, 1, 0, &event);
	assert_true(fnx_network_detector_output(detector) == 0.5);
	feed(detector, -1e30f, 1, 0, &event);
	assert_true(fnx_network_detector_output(detector) == 0.5);
	fnx_network_detector_free(detector);
	fnx_network_free(network);
}

TEST(a_step_allocates_nothing)
{
	struct fnx_network *network;
	struct fnx_network_detector *detector = new_seeded(&network);
	struct fnx_detector_event event = {.channel = 0};
	size_t before = n_allocations;

	feed(detector, 0.9f, 1000, 0, &event);
	assert_int_equal(n_allocations, before);
	fnx_network_detector_free(detector);
	fnx_network_free(network);
}

TEST(what_does_not_fit_is_refused)
{
	struct fnx_network *network = peephole(4, 3, 0);
	struct fnx_network_detector_config config = usual(network, 2);
	struct fnx_network_detector *detector;
	unsigned char memory[2000] = {0};
	double mean[3] = {0, NAN, 0}, deviation[3] = {1, 1, 1};

	assert_int_equal(fnx_network_detector_new(&config, &detector), -EINVAL);
	config.n_channels = 3;
	config.lfp_rate_hz = 1000;
	assert_int_equal(fnx_network_detector_new(&config, &detector), -EINVAL);
	config.lfp_rate_hz = 1500;
	config.step = 0;
	assert_int_equal(fnx_network_detector_new(&config, &detector), -EINVAL);
	config.step = 1;
	config.params.max_samples = 0;
	assert_int_equal(fnx_network_detector_new(&config, &detector), -EINVAL);
	config.params.max_samples = 1;
	detector = new_detector(&config);
	assert_int_equal(fnx_network_detector_seed(detector, mean, deviation, 5), -EINVAL);
	fnx_network_detector_free(detector);
	/* More samples kept than there were. */
	assert_true(fnx_network_detector_memory_size(&config) <= sizeof(memory));
	memory[8] = 1;
	config.memory = memory;
	config.resumed = true;
	assert_int_equal(fnx_network_detector_new(&config, &detector), -EBADMSG);
	fnx_network_free(network);
}
