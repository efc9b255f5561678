/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fornix/command_fixture.h"

#include <math.h>

#include "bus/task.h"
#include "schemas/position.h"

#define HEAD \
	"bus: {name: test}\nsource: {type: simulator}\n" \
	"electrode_groups: [{id: 1, through: 4, n_channels: 4}]\nlfp: {n_channels: 2}\n" \
	"track: {bin_cm: 5, arms: [{name: stem, bins: [0, 8]}, {name: left, bins: [9, 20], " \
	"target_bins: 4}]}\n"
#define DECODE "encode: {}\ndecode: {}\n"
#define RULES(head, rule) \
	"dispatch:\n  lockout_ms: 250\n  max_rate_per_min: 60\n" head \
	"  rules:\n    - {name: r, " rule "}\n"
#define REPLAY "type: replay, arm: 1, threshold: 0.4, other_arms_below: 0.2, window_bins: 5"

static const struct said *check(const char *text)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/rig.yaml", check_scratch_dir());
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	return FORNIX("check", path);
}

static const char *warnings_of(const char *text, int status)
{
	const struct said *said = check(text);
	const char *warnings = strstr(said->out, "\nwarnings\n");

	if (said->status != status || !warnings)
		fail_msg("expected warnings and status %d, found status %d and:\n%s%s", status,
			said->status, said->out, said->error);
	return warnings;
}

static void warns(const char *text, const char *words)
{
	const char *warnings = warnings_of(text, 0);

	says(warnings, words);
	says_not(warnings, "will refuse");
}

/* What could not be run is no success. */
static void refuses(const char *text, const char *words)
{
	const char *warnings = warnings_of(text, 2);

	says(warnings, words);
	says(warnings, "will refuse");
}

TEST(machines_are_told_with_what_goes_between_them)
{
	const struct said *said = check(HEAD DECODE
		"machines: [{name: front, nodes: [acquire]}, {name: back, nodes: [encode.1, "
		"decode]}]\n"
		"links: [{between: [front, back], endpoint: 'tcp://127.0.0.1:7770'}]\n");

	assert_int_equal(said->status, 0);
	says(said->out, "\n  back                 encode.1 decode\n");
	says(said->out, "front listens at tcp://127.0.0.1:7770, back connects");
	says(said->out, "front to back: position spikes\n");
	says(said->out, "back to front: nothing\n");
}

TEST(the_demonstration_is_told_as_it_would_run)
{
	const struct said *said = FORNIX("check", "@demo");

	assert_int_equal(said->status, 0);
	assert_string_equal(said->error, "");
	says(said->out, "bus             demo: segments in /dev/shm/fornix-demo");
	says(said->out, "clock           30000 Hz, time bin 180 samples = 6 ms");
	says(said->out, "together 8 electrode groups, 32 channels, 40 points");
	says(said->out, "\n  encode.2 ");
	says_not(said->out, "\n  record ");
	says(said->out, "track: 41 bins of 5 cm");
	says(said->out, "arm 1  left         bins   13 to   24     60.0 cm  target: bins 19 to 24");
	says(said->out, "encode.2             groups 5 6 7 8");
	says(said->out, "dispatch: ARMED, at most 60 per minute");
	says(said->out, "\n  posterior            decode          512 x     1448 bytes");
	says(said->out, "no warnings");
}

TEST(overrides_are_in_force_in_what_is_told)
{
	const struct said *said = FORNIX(
		"check", "@demo", "--set", "record.file=/tmp/x.mcap", "--set", "source.speed=2");

	says(said->out, "\n  record ");
	says(said->out, "at 2 x real time");
}

/* A Butterworth filter is 3 dB down at the edges that were asked for. */
TEST(edges_and_delays_of_filters_are_those_of_their_coefficients)
{
	const struct said *said = check(HEAD "ripple: {}\n");
	double delay_ms, delay_samples;

	says(said->out, "Butterworth of order 2, 150 to 250 Hz; -3 dB at 150.0 and 250.0 Hz");
	assert_int_equal(sscanf(strstr(said->out, "at 200 Hz: gain "),
				 "at 200 Hz: gain %*f, group delay %lf ms (%lf samples)", &delay_ms,
				 &delay_samples),
		2);
	assert_true(fabs(delay_ms - delay_samples / 1.5) < 0.05);
	/* Of 15 symmetric taps: 7 samples, at any frequency. */
	says(said->out, "least-squares FIR of 15 taps, 50 to 55 Hz");
	says(said->out, "group delay 4.67 ms (7.0 samples)");
}

TEST(given_taps_are_judged_like_designed_ones)
{
	const struct said *said =
		check(HEAD "ripple:\n  filter: {type: taps, taps: [0.5, 0, -0.5]}\n  smoothing: "
			   "{type: taps, taps: [0.25, 0.5, 0.25]}\n");

	/* sin: loudest at a quarter of the rate, 3 dB down at an eighth and three eighths. */
	says(said->out, "band-pass   FIR of 3 given taps; -3 dB at 187.5 and 562.5 Hz");
	says(said->out, "at 375 Hz: gain 1.000, group delay 0.67 ms (1.0 samples)");
	/* (1 + cos) / 2 is 0.7071 at 2 pi f / rate = 1.1437 */
	says(said->out, "smoothing   FIR of 3 given taps; -3 dB at 273.0 Hz");
	says(said->out, "at 0 Hz: gain 1.000, group delay 0.67 ms (1.0 samples)");
}

TEST(a_filter_without_edges_is_told_so)
{
	const struct said *said = check(HEAD "ripple:\n  filter: {type: taps, taps: [1]}\n  "
					     "smoothing: {type: taps, taps: [1]}\n");

	assert_int_equal(said->status, 0);
	says(said->out, "does not fall by 3 dB on both sides");
	says(said->out, "does not fall by 3 dB\n");
}

/* What is told is what a topic of that size takes. */
TEST(memory_of_a_topic_is_what_its_files_take)
{
	const struct said *said = check(HEAD "topics: [{name: position, slots: 5000}]\n");
	struct fnx_bus bus = command_bus();
	struct fnx_presence presence;
	struct fnx_publisher *pub;
	struct stat data, subs;
	char expected[100], path[300];

	assert_int_equal(fnx_presence_claim(&bus, "acquire", &presence, NULL), 0);
	pub = command_topic(&bus, "position", &fnx_position_schema, 5000, FNX_FULL_DROP);
	snprintf(path, sizeof(path), "%s/position.data", bus.segment_dir);
	assert_int_equal(stat(path, &data), 0);
	snprintf(path, sizeof(path), "%s/position.subs", bus.segment_dir);
	assert_int_equal(stat(path, &subs), 0);
	snprintf(expected, sizeof(expected),
		"  position             acquire        5000 x %8zu bytes  %9.2f MiB\n",
		sizeof(struct fnx_position), (double)(data.st_size + subs.st_size) / (1 << 20));
	says(said->out, expected);
	fnx_publisher_close(pub);
	fnx_presence_drop(&presence);
	fnx_bus_remove(&bus);
}

TEST(memory_of_the_tasks_is_told_where_there_is_a_dispatch)
{
	const struct fnx_task_config config = {
		.window = 65536, .heap_size = 4096, .n_traced = 5000};
	char expected[100];

	snprintf(expected, sizeof(expected), "dispatch      65536 tasks %21.2f MiB\n",
		(double)fnx_task_file_size(&config) / (1 << 20));
	says(check(HEAD DECODE RULES("  task_window: 65536\n  task_trace: 5000\n", REPLAY))->out,
		expected);
	assert_ptr_equal(strstr(check(HEAD DECODE)->out, "task runtime"), NULL);
}

/* Warnings
 * -------------------------------------------------------------------------------------------- */

TEST(a_target_that_is_no_arm_is_told)
{
	refuses(HEAD DECODE RULES("  targets: [0, 7]\n", REPLAY),
		"dispatch.targets: expected arms of the track, found 7");
}

TEST(a_rule_that_can_never_fire_is_told)
{
	warns(HEAD DECODE RULES("", REPLAY ", min_groups: 5"),
		"can never fire: min_groups is 5, the encoders take 4");
	refuses(HEAD DECODE RULES("",
			"type: replay, arm: 0, threshold: 0.4, other_arms_below: 0.2, window_bins: "
			"5"),
		"stem has no target region");
	refuses(HEAD DECODE RULES("",
			"type: replay, arm: 1, threshold: 1.5, other_arms_below: 0.2, window_bins: "
			"5"),
		"threshold: expected a mass between 0 and 1");
	refuses(HEAD "ripple: {}\n" RULES("", "type: ripple, min_electrodes: 3, window_ms: 10"),
		"min_electrodes: expected 1 to 2, found 3");
}

TEST(arming_that_means_nothing_is_told)
{
	warns(HEAD DECODE RULES("  armed: true\n", REPLAY), "there are no actuators");
	warns(HEAD DECODE RULES(
		      "  armed: true\n  dry_run: true\n  actuators: [{type: log}]\n", REPLAY),
		"nothing acts");
	warns(HEAD DECODE RULES("  actuators: [{type: log}]\n", REPLAY), "stay idle until");
}

TEST(spikes_that_count_twice_or_not_at_all_are_told)
{
	warns(HEAD "encode: {instances: [{groups: [1, 2]}, {groups: [2, 3]}]}\ndecode: {}\n",
		"encode.1 and encode.2 both take electrode group 2");
	warns(HEAD "encode: {instances: [{groups: [1, 2, 3]}]}\ndecode: {}\n",
		"nobody takes electrode group 4");
	warns(HEAD "encode: {freeze: true}\ndecode: {}\n", "encode.freeze: nothing is learnt");
	warns(HEAD "encode: {}\n", "nobody reads the likelihoods");
}

TEST(ripples_that_never_come_are_told)
{
	warns(HEAD "ripple: {freeze: true}\n", "the statistics never begin");
	refuses(HEAD "ripple: {mean: [1, 2, 3], deviation: [1, 2]}\n", "expected 3 numbers each");
	warns(HEAD "ripple: {end: 5}\n", "ripples end as they begin");
}

TEST(seeds_that_cannot_be_used_are_told)
{
	char path[300], text[1000];
	FILE *file;

	snprintf(path, sizeof(path), "%s/seeds", check_scratch_dir());
	snprintf(text, sizeof(text), HEAD "ripple: {seed_file: %s}\n", path);
	warns(text, "cannot be read from here");
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("1 2\nthree\n", file);
	fclose(file);
	refuses(text, "seeds:2");
}

TEST(names_of_nothing_are_told)
{
	warns(HEAD "nodes: [{name: decode, cpu: 0}]\n", "nodes[0]: the rig has no node decode");
	warns(HEAD "topics: [{name: posterior, slots: 64}]\n",
		"topics[0]: the rig has no topic posterior");
	refuses(HEAD "tap: {topics: [lfp, likelihood.1]}\n",
		"tap.topics: the rig has no topic likelihood.1");
}

TEST(a_machine_that_is_too_small_is_told)
{
	warns(HEAD "nodes: [{name: acquire, cpu: 1000}]\n", "cpu 1000: this machine has 0 to");
	/* A file system that has room for nothing. */
	warns("bus: {name: test, segment_dir: /proc/x}\nsource: {type: simulator}\n"
	      "track: {bin_cm: 5, arms: [{name: stem, bins: [0, 8]}]}\n",
		"MiB, /proc has 0 MiB left");
	warns("bus: {name: test, segment_dir: /nowhere/x}\nsource: {type: simulator}\n"
	      "track: {bin_cm: 5, arms: [{name: stem, bins: [0, 8]}]}\n",
		"bus.segment_dir: there is no /nowhere");
}

TEST(time_bins_that_do_not_meet_are_told)
{
	warns(HEAD "encode: {}\ndecode: {tick: lfp, lfp_per_bin: 10}\n", "leave gaps");
	warns(HEAD "encode: {}\ndecode: {tick: lfp, lfp_per_bin: 5}\n", "overlap");
	says(check(HEAD "encode: {}\ndecode: {tick: lfp}\n")->out, "no warnings");
}

TEST(a_source_that_is_not_there_is_told)
{
	warns("bus: {name: test}\nsource: {type: nwb, file: /nowhere.nwb}\nlfp: {n_channels: 1}\n",
		"source.file: /nowhere.nwb cannot be read");
}

/* Refusals
 * -------------------------------------------------------------------------------------------- */

TEST(a_rig_that_cannot_be_used_is_refused_in_one_line)
{
	fails(check("bus: {name: test}\nsource: {tape: x}\n"), 2,
		"rig.yaml:2: source.tape: unknown key");
	fails(FORNIX("check", "/nowhere.yaml"), 2, "/nowhere.yaml: cannot read");
	assert_string_equal(FORNIX("check", "/nowhere.yaml")->out, "");
}

TEST(an_expansion_that_cannot_be_had_is_refused)
{
	fails(check("bus: {name: test}\nsource: {type: simulator}\n"
		    "electrode_groups: [{id: 1, n_channels: 2}, {id: 7, n_channels: 4}]\n"
		    "track: {bin_cm: 1, arms: [{name: stem, bins: [0, 399]}]}\n"
		    "encode: {single: true, expansion_mib: 1}\n"),
		2,
		"encode.expansion_mib: electrode group 7: expected at least 2 for one cube of 400 "
		"position bins, found 1");
	fails(check("bus: {name: test}\nsource: {type: simulator}\n"
		    "electrode_groups: [{id: 1, n_channels: 5}]\n"
		    "track: {bin_cm: 1, arms: [{name: stem, bins: [0, 9]}]}\n"
		    "encode: {single: true, expansion_mib: 1}\n"),
		2,
		"encode.expansion_mib: expected electrode groups of at most 4 channels, group 1 "
		"has 5");
}

TEST(a_filter_that_cannot_be_had_is_refused)
{
	fails(check(HEAD "ripple: {smoothing: {type: iir}}\n"), 2,
		"ripple.smoothing: expected fir");
	fails(check(HEAD "ripple: {filter: {type: fir, n_taps: 30}}\n"), 2, "ripple.filter");
}

TEST(wrong_use_of_check_is_told_in_one_line)
{
	fails(FORNIX("check"), 2, "expected one RIG.yaml");
	fails(FORNIX("check", "a", "b"), 2, "expected one RIG.yaml");
	fails(FORNIX("check", "@demo", "--set", "lfp.n_channels=2"), 2,
		"cannot be set on the command line");
}
