/* SPDX-License-Identifier: BSD-3-Clause */
/* From a model directory to ripples: imported, named in a rig, run over a simulated session. */
#include "tests/unit/fornix/command_fixture.h"
#include "tests/unit/fornix/saved_model_fixture.h"

#include <math.h>

enum {
	N_CHANNELS = 4,
	HEIGHT = 16
};

/* A network that does what a ripple detector ought to: the power at 190 Hz of the channels' mean,
 * by sine, cosine and their negatives through ReLU; the sum through a sigmoid. */
static void build_power(struct build *build)
{
	double *weights, *bias;

	build_begin(build, 1, HEIGHT, 1, N_CHANNELS);
	build_convolution(build, HEIGHT, 1, HEIGHT, 1, false, 4)->activation = FNX_NETWORK_RELU;
	build_dense(build, 1, FNX_NETWORK_SIGMOID);
	weights = build->arrays[0];
	for (int t = 0; t < HEIGHT; t++)
		for (int c = 0; c < N_CHANNELS; c++)
			for (int k = 0; k < 4; k++)
				weights[(t * N_CHANNELS + c) * 4 + k] =
					(double)(float)(sin(2 * M_PI * 190 * t / 1250 +
								k * M_PI / 2) /
						(HEIGHT * N_CHANNELS));
	bias = build->arrays[1];
	for (int k = 0; k < 4; k++) {
		bias[k] = 0;
		build->arrays[2][k] = 12;
	}
	build->arrays[3][0] = -6;
}

/* Writes the model, imports it; returns the network file. */
static const char *import_network(void)
{
	static char out[300];
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct build build;

	snprintf(fixture->directory, sizeof(fixture->directory), "%s/model", check_scratch_dir());
	snprintf(out, sizeof(out), "%s/network.h5", check_scratch_dir());
	fixture->n_shards = 1;
	if (access(out, F_OK)) {
		build_power(&build);
		fixture_write(fixture, &build);
		assert_int_equal(FORNIX("import-network", fixture->directory, out)->status, 0);
		build_end(&build);
		fixture_end(fixture);
	}
	free(fixture);
	return out;
}

/* `ripple`: the section's lines; `more`: further sections. */
static const char *write_rig(const char *ripple, const char *more)
{
	static char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/rig.yaml", check_scratch_dir());
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
		"bus: {name: network%d, segment_dir: %s/seg, run_dir: %s/run}\n"
		"source:\n"
		"  type: simulator\n"
		"  duration_s: 40\n"
		"  speed: 0\n"
		"lfp: {n_channels: %d, rate_hz: 1500}\n"
		"position: {rate_hz: 30}\n"
		"track:\n"
		"  bin_cm: 5\n"
		"  nodes: [{name: a, x: 0, y: 0}, {name: b, x: 100, y: 0}]\n"
		"  arms: [{name: stem, nodes: [a, b], bins: [0, 19]}]\n"
		"ripple:\n%s%s",
		(int)getpid(), check_scratch_dir(), check_scratch_dir(), N_CHANNELS, ripple, more);
	fclose(file);
	return path;
}

static int ripples_of(const struct said *said)
{
	const char *at = strstr(said->out, "ripples ");

	if (said->status || !at)
		fail_msg("exit status %d: %s%s", said->status, said->out, said->error);
	return atoi(at + 7);
}

static int run_network(const char *options)
{
	char ripple[600];

	snprintf(ripple, sizeof(ripple),
		"  detector: network\n  weights: %s\n  calibration_s: 5\n%s", import_network(),
		options);
	return ripples_of(FORNIX("run", write_rig(ripple, ""), "--threads"));
}

TEST(a_network_in_a_rig_finds_about_the_ripples_that_the_envelope_finds)
{
	int by_envelope =
		ripples_of(FORNIX("run", write_rig("  warm_up_samples: 7500\n", ""), "--threads"));
	int by_network = run_network("");

	print_message("envelope %d, network %d\n", by_envelope, by_network);
	assert_true(by_envelope >= 5);
	assert_true(by_network >= by_envelope / 2 && by_network <= 2 * by_envelope);
	/* Again the same, filtered and in double about the same. */
	assert_int_equal(run_network(""), by_network);
	assert_true(
		run_network("  resampling: filter\n  double_precision: true\n") >= by_network / 2);
	/* Nothing reaches a threshold of one; nothing starts before the calibration's end. */
	assert_int_equal(run_network("  threshold: 1\n"), 0);
}

TEST(an_artefact_limit_below_the_signal_lets_nothing_start)
{
	assert_int_equal(run_network("  artefact_uv: 0.001\n  blanking_ms: 100\n"), 0);
	assert_int_equal(
		ripples_of(FORNIX("run",
			write_rig("  artefact_uv: 0.001\n  blanking_ms: 100\n", ""), "--threads")),
		0);
}

TEST(noise_channels_that_carry_the_ripples_veto_them)
{
	int without = run_network(""),
	    with = run_network("  noise_channels: [0, 1, 2, 3]\n  noise_threshold: 2\n");

	assert_true(with < without / 2);
}

TEST(median_statistics_find_ripples_too)
{
	int n = ripples_of(FORNIX("run",
		write_rig("  statistics: median\n  warm_up_samples: 7500\n", ""), "--threads"));

	assert_true(n >= 5);
}

static void refuses(const char *ripple, const char *more, const char *what)
{
	const struct said *said = FORNIX("check", write_rig(ripple, more));

	assert_int_equal(said->status, 2);
	if (!strstr(said->error, what))
		fail_msg("%s", said->error);
}

TEST(what_a_detector_has_not_is_refused_with_its_key)
{
	static const char dispatch[] = "dispatch:\n"
				       "  lockout_ms: 100\n"
				       "  max_rate_per_min: 10\n"
				       "  rules: [{name: r, type: ripple, min_electrodes: 2}]\n";

	refuses("  detector: network\n", "", "ripple.weights: detector: network needs a file");
	refuses("  weights: x.h5\n", "", "ripple.weights: is for detector: network");
	refuses("  detector: network\n  weights: x\n  statistics: median\n", "",
		"ripple.statistics: median is for");
	refuses("  detector: network\n  weights: x\n  network_rate_hz: 2000\n", "",
		"ripple.network_rate_hz: expected at most");
	refuses("  noise_channels: [4]\n", "", "ripple.noise_channels: expected 0 to 3");
	refuses("  statistics: median\n", "parity: true\n", "parity knows no network, median");
	refuses("  seed_file: x\n  mean: [1]\n", "", "ripple.seed_file: expected either");
	refuses("  detector: network\n  weights: x\n", dispatch, "consensus: true");
}

TEST(a_network_that_does_not_fit_the_rig_is_told_before_it_starts)
{
	char ripple[600];
	const struct said *said;

	snprintf(ripple, sizeof(ripple), "  detector: network\n  weights: %s\n  channels: [0, 1]\n",
		import_network());
	said = FORNIX("run", write_rig(ripple, ""), "--threads");
	assert_int_equal(said->status == 0, 0);
	if (!strstr(said->error, "looks at 4 channels, the rig names 2"))
		fail_msg("%s", said->error);
	said = FORNIX(
		"run", write_rig("  detector: network\n  weights: /nowhere.h5\n", ""), "--threads");
	assert_int_equal(said->status == 0, 0);
	if (!strstr(said->error, "ripple.weights: /nowhere.h5: No such file"))
		fail_msg("%s", said->error);
}

TEST(check_tells_the_window_and_the_delays)
{
	char ripple[600];
	const struct said *said;

	snprintf(ripple, sizeof(ripple),
		"  detector: network\n  weights: %s\n  resampling: filter\n", import_network());
	said = FORNIX("check", write_rig(ripple, ""));
	assert_int_equal(said->status, 0);
	assert_non_null(strstr(said->out, "16 samples x 4 channels (12.8 ms)"));
	assert_non_null(strstr(said->out, "one every 8 samples (6.4 ms)"));
	assert_non_null(strstr(said->out, "low-pass of 31 taps, group delay 10.00 ms"));
	said = FORNIX("check", write_rig("  standard: 3\n", ""));
	assert_non_null(strstr(said->out, "together    group delay "));
}
