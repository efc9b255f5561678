/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad data stops no node and spoils nothing that it says: encode, ripple, decode and dispatch with
 * inputs that a tester publishes, a third of them with nonsense where numbers should be. A node dies
 * now and then, between two frames: what nonsense left in its state must not keep its successor from
 * going on. And what is bad is counted.
 */
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "nodes/decode/node.h"
#include "nodes/dispatch/node.h"
#include "nodes/encode/node.h"
#include "nodes/ripple/node.h"
#include "schemas/lfp.h"
#include "schemas/likelihood.h"
#include "schemas/posterior.h"
#include "schemas/ripple.h"
#include "schemas/spike.h"
#include "tests/unit/host/node_fixture.h"

enum {
	N_BINS = 10,
	GAP = 6, /* a bin of no arm */
	N_STATES = 2,
	N_RECENT = 10,
	N_CHANNELS = 4,
	N_POINTS = 40,
	N_GROUPS = 8,
	BIN = 180,
	N_LIVES = 12,
	N_FRAMES = 300, /* of a life */
};

static const struct victim {
	const struct fnx_node_ops *ops;
	const char *name;
	const char *counting; /* inputs of which what is bad is counted */
} victims[] = {
	{&fnx_encode_ops, "encode.1", "position spikes"},
	{&fnx_ripple_ops, "ripple", "lfp"},
	{&fnx_decode_ops, "decode", "position likelihood.1"},
	{&fnx_dispatch_ops, "dispatch", "posterior"},
};

static struct lab lab;

/* A node, its publishers and its readers: made anew in each life. */
static struct {
	const struct victim *victim;
	struct fnx_node node;
	struct fnx_publisher *pubs[FNX_MERGE_INPUTS_MAX];
	struct fnx_layout layouts[FNX_MERGE_INPUTS_MAX];
	struct fnx_subscriber *subs[FNX_STATUS_TOPICS_MAX];
	int64_t now;
} life;

static struct fnx_rig *load_rig(const char *decode)
{
	static unsigned n;
	char path[300], error[FNX_RIG_ERROR_MAX];
	struct fnx_rig *rig;
	FILE *file;

	snprintf(path, sizeof(path), "%s/rig%u.yaml", check_scratch_dir(), ++n);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "bus: {name: %s, segment_dir: %s, run_dir: %s, slots: 64}\n", lab.name,
		lab.segment_dir, lab.run_dir);
	fprintf(file,
		"source: {type: simulator}\n"
		"electrode_groups:\n  - {id: 1, through: %d, n_channels: %d}\n"
		"lfp: {n_channels: %d}\n"
		"track:\n  bin_cm: 5\n  arms:\n"
		"    - {name: stem, nodes: [], bins: [0, 2]}\n"
		"    - {name: left, nodes: [], bins: [3, 5], target_bins: 2}\n"
		"    - {name: right, nodes: [], bins: [7, 9], target_bins: 1}\n"
		"ripple: {warm_up_samples: 10, channels: [0, 1], noise_channels: [3]}\n"
		"encode: {kernel_uv: 20, capacity: 100, min_speed_cm_s: 0, gate_min_marks: 1}\n"
		"decode: {algorithm: classifier, %s}\n"
		"dispatch:\n  armed: true\n  lockout_ms: 50\n  max_rate_per_min: 1000\n  rules:\n"
		"    - {name: a, type: replay, arm: 1, threshold: 0.1, other_arms_below: 0.9, "
		"window_bins: 2, task: 1}\n"
		"    - {name: b, type: ripple, min_electrodes: 1, window_ms: 15, task: 3}\n"
		"    - {name: c, type: head_direction, well: [100, 0], centre_well: [100, 104], "
		"well_range_deg: 90, steady_deg: 90, min_duration_ms: 10, max_centre_distance_cm: "
		"50, "
		"task: 4}\n"
		"  actuators:\n    - {type: log, file: /dev/null}\n",
		N_GROUPS, N_CHANNELS, N_CHANNELS, decode);
	fclose(file);
	if (fnx_rig_load(path, NULL, 0, &rig, error))
		fail_msg("%s", error);
	return rig;
}

/* What should come --------------------------------------------------------------------- */

static void fill_distribution(struct check_random *random, double *values, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += values[i] = check_random_unit(random);
	for (uint32_t i = 0; i < n; i++)
		values[i] /= sum * 1.000001;
}

static void fill_floats(struct check_random *random, float *values, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		values[i] = (float)check_random_below(random, 2000);
}

static void fill(struct check_random *random, const char *topic, const struct fnx_layout *layout,
	void *payload)
{
	uint32_t group = 1 + (uint32_t)check_random_below(random, N_GROUPS);
	int32_t bin = (int32_t)check_random_below(random, N_BINS - 1);

	bin += bin >= GAP;

	memset(payload, 0, layout->size);
	if (!strcmp(topic, "position")) {
		*(struct fnx_position *)payload = (struct fnx_position){.speed = 10,
			.raw_x = 50,
			.raw_x2 = 60,
			.bin = bin,
			.flags = FNX_POSITION_TRACKED | FNX_POSITION_ON_TRACK};
	} else if (!strcmp(topic, "spikes")) {
		*(struct fnx_spike *)payload = (struct fnx_spike){.uv_per_count = 0.195,
			.group = group,
			.n_channels = N_CHANNELS,
			.n_points = N_POINTS};
		fill_floats(random, fnx_spike_put_waveform(layout, payload), N_CHANNELS * N_POINTS);
	} else if (!strcmp(topic, "lfp")) {
		*(struct fnx_lfp *)payload = (struct fnx_lfp){.uv_per_count = 0.195};
		fill_floats(random, fnx_lfp_put_samples(layout, payload), N_CHANNELS);
	} else if (!strcmp(topic, "likelihood.1")) {
		*(struct fnx_likelihood *)payload = (struct fnx_likelihood){
			.group = group, .stored = 1, .position_bin = bin, .credible_bins = 3};
		fill_distribution(random, fnx_likelihood_put_likelihood(layout, payload), N_BINS);
	} else if (!strcmp(topic, "posterior")) {
		*(struct fnx_posterior *)payload =
			(struct fnx_posterior){.speed = 10, .position_bin = bin};
		fill_distribution(
			random, fnx_posterior_put_posterior(layout, payload), N_STATES * N_BINS);
	} else {
		assert_string_equal(topic, "ripple");
		*(struct fnx_ripple *)payload =
			(struct fnx_ripple){.channel = (int32_t)check_random_below(random, 4)};
	}
}

/* Nonsense ------------------------------------------------------------------------------- */

static uint32_t nasty_word(struct check_random *random)
{
	switch (check_random_below(random, 8)) {
	case 0:
		return 0x7f800000; /* infinite, as a float */
	case 1:
		return 0xffc00001; /* NaN */
	case 2:
		return (uint32_t)-1 - (uint32_t)check_random_below(random, 3);
	case 3:
		return 0x80000000 - (uint32_t)check_random_below(random, 2);
	case 4:
		return (uint32_t)check_random_below(random, 100);
	default:
		return (uint32_t)check_random_u64(random);
	}
}

static double nasty_double(struct check_random *random)
{
	static const double values[] = {
		(double)NAN, (double)INFINITY, -(double)INFINITY, -1, 1e308, -1e308, 5e-324, 0};
	const uint64_t k = check_random_below(random, 12);

	return k < 8 ? values[k] : (check_random_unit(random) - 0.5) * 200;
}

/* Words anywhere: one, a few, or all. */
static void spoil(struct check_random *random, void *payload, size_t size)
{
	const bool doubles = check_random_below(random, 2);
	const size_t width = doubles ? sizeof(double) : sizeof(uint32_t);
	const uint64_t n_words = size / width;
	const bool all = check_random_below(random, 4) == 0;
	const uint64_t n = all ? n_words : 1 + check_random_below(random, 4);

	for (uint64_t i = 0; i < n; i++) {
		const uint64_t k = all ? i : check_random_below(random, n_words);
		const uint32_t word = nasty_word(random);
		const double value = nasty_double(random);

		memcpy((char *)payload + k * width,
			doubles ? (const void *)&value : (const void *)&word, width);
	}
}

/* A life ------------------------------------------------------------------------------- */

static void open_life(const struct victim *victim, const struct fnx_rig *rig)
{
	static const uint32_t spikes[] = {
		[fnx_spike_max_channels] = N_CHANNELS, [fnx_spike_max_points] = N_POINTS};
	static const uint32_t lfp[] = {[fnx_lfp_n_channels] = N_CHANNELS};
	static const uint32_t likelihood[] = {[fnx_likelihood_n_bins] = N_BINS};
	static const uint32_t posterior[] = {[fnx_posterior_n_states] = N_STATES,
		[fnx_posterior_n_bins] = N_BINS,
		[fnx_posterior_n_recent] = N_RECENT};
	struct fnx_node *node = &life.node;
	const char *missing;

	memset(&life, 0, sizeof(life));
	life.victim = victim;
	if (fnx_node_open(node, victim->ops, rig, victim->name))
		fail_msg("%s: %s", victim->name, node->error);
	for (unsigned i = 0; i < node->n_inputs; i++) {
		const char *topic = node->inputs[i].topic;
		const uint32_t *extents = !strcmp(topic, "spikes") ? spikes
			: !strcmp(topic, "lfp")                    ? lfp
			: !strcmp(topic, "likelihood.1")           ? likelihood
			: !strcmp(topic, "posterior")              ? posterior
								   : NULL;

		life.pubs[i] = lab_publisher_of(
			&lab, topic, node->inputs[i].schema, extents, FNX_FULL_WAIT);
		assert_int_equal(
			fnx_layout_init(&life.layouts[i], node->inputs[i].schema, extents), 0);
	}
	for (unsigned i = 0; i < node->n_outputs; i++)
		life.subs[i] = lab_subscriber(&lab, node->outputs[i].topic);
	assert_int_equal(fnx_node_subscribe(node, &missing), 1);
	if (node->ops->start && node->ops->start(node->self))
		fail_msg("%s: %s", victim->name, node->error);
	/* What a predecessor was told by nonsense has not spoilt what it learnt. */
	assert_int_equal(fnx_node_forgot(node), 0);
}

static void close_life(void)
{
	for (unsigned i = 0; i < life.node.n_inputs; i++)
		fnx_publisher_close(life.pubs[i]);
	for (unsigned i = 0; i < life.node.n_outputs; i++)
		fnx_subscriber_close(life.subs[i]);
	fnx_node_close(&life.node);
}

static void expect_distribution(const char *what, const double *values, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!(values[i] >= 0 && values[i] <= 1 + 1e-9))
			fail_msg("%s: %g", what, values[i]);
		sum += values[i];
	}
	if (!(fabs(sum - 1) < 1e-6))
		fail_msg("%s: sums to %.17g", what, sum);
}

static void expect_sense(const char *topic, const struct fnx_layout *layout, const void *payload)
{
	if (!strcmp(topic, "likelihood.1") &&
		((const struct fnx_likelihood *)payload)->status == FNX_LIKELIHOOD_VALID)
		expect_distribution(topic, fnx_likelihood_get_likelihood(layout, payload), N_BINS);
	if (!strcmp(topic, "posterior")) {
		expect_distribution(topic, fnx_posterior_get_posterior(layout, payload),
			layout->extents[fnx_posterior_n_states] * N_BINS);
		expect_distribution(topic, fnx_posterior_get_likelihood(layout, payload), N_BINS);
	}
	if (!strcmp(topic, "ripple") && !isfinite(((const struct fnx_ripple *)payload)->envelope))
		fail_msg("ripple: envelope of no size");
}

static void read_outputs(void)
{
	for (unsigned i = 0; i < life.node.n_outputs; i++) {
		const struct fnx_node_output_state *output = &life.node.outputs[i];
		struct fnx_frame frame;
		struct fnx_gap gap;

		while (fnx_subscriber_peek(life.subs[i], &frame, &gap) == FNX_FRAME) {
			expect_sense(output->topic, &output->layout, frame.payload);
			fnx_subscriber_release(life.subs[i]);
		}
	}
}

static void *begin_frame(unsigned input)
{
	void *payload;

	assert_int_equal(fnx_publisher_loan(life.pubs[input], 0, &payload), 0);
	return payload;
}

static void end_frame(unsigned input)
{
	const struct fnx_stamp stamp = {.sample_time = life.now, .ingress_ns = fnx_node_now()};
	enum fnx_drive why;

	fnx_publisher_publish(life.pubs[input], life.layouts[input].size, &stamp);
	for (unsigned i = 0; i < life.node.n_inputs; i++)
		fnx_publisher_advance(life.pubs[i], life.now + 1, fnx_node_now());
	/* A long time without a frame is many time bins: more than an output has room for. */
	do {
		why = fnx_node_drive(&life.node, fnx_node_now(), 100);
		read_outputs();
	} while (why == FNX_DRIVE_MORE || why == FNX_DRIVE_FULL);
	if (why != FNX_DRIVE_IDLE)
		fail_msg("%s stopped: %d, %s", life.victim->name, (int)why, life.node.error);
}

static void live(struct check_random *random, bool spoilt)
{
	for (unsigned n = 0; n < N_FRAMES; n++) {
		const unsigned input = (unsigned)check_random_below(random, life.node.n_inputs);
		const struct fnx_layout *layout = &life.layouts[input];
		void *payload = begin_frame(input);

		life.now += (int64_t)check_random_below(random, BIN);
		fill(random, life.node.inputs[input].topic, layout, payload);
		if (spoilt && check_random_below(random, 3) == 0)
			spoil(random, payload, layout->size);
		end_frame(input);
	}
}

/* In a child, which is dead when this returns. */
static void live_and_die(const struct victim *victim, const struct fnx_rig *rig, unsigned k,
	struct check_random random, bool spoilt)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (!child) {
		/* What fails here ends here, and is not taken for the next test. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGSEGV, SIG_DFL);
		open_life(victim, rig);
		life.now = (int64_t)k * N_FRAMES * BIN;
		live(&random, spoilt);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static uint64_t bad_of(const struct fnx_status *status, const char *topic)
{
	for (unsigned i = 0; i < status->n_inputs; i++)
		if (!strcmp(status->inputs[i].name, topic))
			return atomic_load(&status->inputs[i].bad);
	fail_msg("no input %s", topic);
	return 0;
}

static void expect_counts(const struct victim *victim, bool spoilt)
{
	const struct fnx_status *status;

	assert_int_equal(fnx_status_open(&lab.bus, victim->name, &status), 0);
	for (unsigned i = 0; i < status->n_inputs; i++) {
		const char *topic = status->inputs[i].name;
		const bool counting = strstr(victim->counting, topic);

		if ((bad_of(status, topic) > 0) != (spoilt && counting))
			fail_msg("%s: %" PRIu64 " bad frames of %s", victim->name,
				bad_of(status, topic), topic);
	}
	fnx_status_close(status);
}

static void live_often(const struct victim *victim, const char *decode, bool spoilt)
{
	struct check_random random = check_random_seeded();
	struct fnx_rig *rig;

	lab_open(&lab);
	rig = load_rig(decode);
	for (unsigned k = 0; k < N_LIVES; k++) {
		struct check_random of_life = {.state = check_random_u64(&random)};

		live_and_die(victim, rig, k, of_life, spoilt);
	}
	expect_counts(victim, spoilt);
	open_life(victim, rig);
	assert_int_equal(life.node.restarted, 1);
	close_life();
	fnx_rig_free(rig);
	lab_close(&lab);
}

TEST(nonsense_stops_no_node_and_spoils_nothing_it_says)
{
	for (unsigned i = 0; i < sizeof(victims) / sizeof(victims[0]); i++)
		live_often(&victims[i], "tick: clock", true);
	live_often(&victims[2], "tick: lfp, lfp_per_bin: 3", true);
}

TEST(what_is_right_is_not_counted_as_bad)
{
	for (unsigned i = 0; i < sizeof(victims) / sizeof(victims[0]); i++)
		live_often(&victims[i], "tick: clock", false);
}

/* What is bad is counted ------------------------------------------------------------------ */

static unsigned input_of(const char *topic)
{
	unsigned input = 0;

	while (strcmp(life.node.inputs[input].topic, topic))
		input++;
	return input;
}

static void expect_bad(const char *topic, uint64_t n)
{
	assert_int_equal(atomic_load(&life.node.status->inputs[input_of(topic)].bad), n);
}

static struct fnx_rig *begin(const struct victim *victim)
{
	struct fnx_rig *rig;

	lab_open(&lab);
	rig = load_rig("tick: clock");
	open_life(victim, rig);
	return rig;
}

static void end(struct fnx_rig *rig)
{
	close_life();
	fnx_rig_free(rig);
	lab_close(&lab);
}

static void send_spike(float count, uint32_t n_points)
{
	const unsigned input = input_of("spikes");
	void *payload = begin_frame(input);

	life.now += BIN;
	memset(payload, 0, life.layouts[input].size);
	*(struct fnx_spike *)payload = (struct fnx_spike){
		.uv_per_count = 1, .group = 1, .n_channels = N_CHANNELS, .n_points = n_points};
	fnx_spike_put_waveform(&life.layouts[input], payload)[0] = count;
	end_frame(input);
}

TEST(a_spike_of_no_numbers_is_counted_and_says_nothing)
{
	struct fnx_rig *rig = begin(&victims[0]);

	send_spike(200, N_POINTS);
	expect_bad("spikes", 0);
	send_spike((float)INFINITY, N_POINTS);
	send_spike(200, N_POINTS + 1);
	send_spike(200, 0);
	expect_bad("spikes", 3);
	/* Too small to count is not bad. */
	send_spike(1, N_POINTS);
	send_spike(300, N_POINTS);
	expect_bad("spikes", 3);
	expect_bad("position", 0);
	assert_int_equal(fnx_node_published(&life.node, 0), 2);
	end(rig);
}

static void send_likelihood(uint32_t group, double value)
{
	const unsigned input = input_of("likelihood.1");
	void *payload = begin_frame(input);

	memset(payload, 0, life.layouts[input].size);
	*(struct fnx_likelihood *)payload =
		(struct fnx_likelihood){.group = group, .position_bin = 1, .credible_bins = 1};
	fnx_likelihood_put_likelihood(&life.layouts[input], payload)[2] = value;
	end_frame(input);
}

TEST(a_likelihood_of_no_numbers_is_counted)
{
	struct fnx_rig *rig = begin(&victims[2]);

	send_likelihood(1, 1);
	expect_bad("likelihood.1", 0);
	send_likelihood(1, (double)NAN);
	send_likelihood(1, -1e-9);
	send_likelihood(1, (double)INFINITY);
	expect_bad("likelihood.1", 3);
	send_likelihood(N_GROUPS + 1, 1);
	expect_bad("likelihood.1", 4);
	end(rig);
}

static void send_lfp(unsigned channel, float count, double uv_per_count)
{
	const unsigned input = input_of("lfp");
	void *payload = begin_frame(input);

	life.now += 20;
	memset(payload, 0, life.layouts[input].size);
	*(struct fnx_lfp *)payload = (struct fnx_lfp){.uv_per_count = uv_per_count};
	fnx_lfp_put_samples(&life.layouts[input], payload)[channel] = count;
	end_frame(input);
}

TEST(an_lfp_sample_of_no_numbers_is_counted_where_it_is_looked_at)
{
	struct fnx_rig *rig = begin(&victims[1]);

	send_lfp(0, 100, 1);
	send_lfp(1, 1e11f, 1);
	/* Nobody looks at that channel. */
	send_lfp(2, NAN, 1);
	expect_bad("lfp", 0);
	send_lfp(0, NAN, 1);
	send_lfp(1, 2e12f, 1);
	send_lfp(1, 1, 1e300);
	send_lfp(0, 0, (double)INFINITY);
	/* Of the noise channels. */
	send_lfp(3, -INFINITY, 1);
	expect_bad("lfp", 5);
	end(rig);
}

static void send_position(int32_t bin)
{
	const unsigned input = input_of("position");
	void *payload = begin_frame(input);

	life.now += BIN;
	memset(payload, 0, life.layouts[input].size);
	*(struct fnx_position *)payload = (struct fnx_position){.bin = bin, .speed = 10};
	end_frame(input);
}

TEST(a_position_bin_that_is_none_is_counted)
{
	for (unsigned i = 0; i <= 2; i += 2) {
		struct fnx_rig *rig = begin(&victims[i]);

		send_position(0);
		send_position(-1);
		send_position(N_BINS - 1);
		expect_bad("position", 0);
		send_position(-2);
		send_position(N_BINS);
		send_position(GAP);
		expect_bad("position", 3);
		end(rig);
	}
}

TEST(a_posterior_that_is_no_distribution_is_counted)
{
	struct fnx_rig *rig = begin(&victims[3]);
	const unsigned input = input_of("posterior");
	const double masses[] = {1, 0.5, (double)NAN, -0.1, 1.1, 0};

	for (unsigned i = 0; i < sizeof(masses) / sizeof(masses[0]); i++) {
		void *payload = begin_frame(input);

		life.now += BIN;
		memset(payload, 0, life.layouts[input].size);
		fnx_posterior_put_posterior(&life.layouts[input], payload)[3] = masses[i];
		end_frame(input);
	}
	expect_bad("posterior", 3);
	end(rig);
}
