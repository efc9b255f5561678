/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/host/rig_file.h"

enum {
	OVERRIDES_MAX = 4
};

static int load_overridden(
	const char *text, const char *const *overrides, size_t n, struct fnx_rig **ret_rig)
{
	return fnx_rig_load(write_rig(text, strlen(text)), overrides, n, ret_rig, error);
}

static struct fnx_rig *load(const char *text)
{
	struct fnx_rig *rig = NULL;
	int r = load_overridden(text, NULL, 0, &rig);

	if (r)
		print_error("%s\n", error);
	assert_int_equal(r, 0);
	return rig;
}

/* The error is one line: the file, the line, and all of `words`. `line` 0: the error names none. */
static void refuses(const char *text, unsigned line, const char *const *words)
{
	struct fnx_rig *rig = NULL;
	char start[600];
	int r = load_overridden(text, NULL, 0, &rig);

	assert_int_equal(r, -EINVAL);
	assert_null(rig);
	if (line)
		snprintf(start, sizeof(start), "%s:%u: ", scratch_path(), line);
	else
		snprintf(start, sizeof(start), "%s: ", scratch_path());
	if (strncmp(error, start, strlen(start)))
		fail_msg("expected %s..., found %s", start, error);
	assert_null(strchr(error, '\n'));
	for (; *words; words++)
		if (!strstr(error, *words))
			fail_msg("expected \"%s\" in: %s", *words, error);
}

#define REFUSES(text, line, ...) refuses(text, line, (const char *const[]){__VA_ARGS__, NULL})

/* A rig with everything in it, short enough to be mutated. */
#define BUS "bus: {name: test}\n"
#define SOURCE "source: {type: simulator}\n"
#define GROUPS "electrode_groups:\n  - {id: 1, through: 4, n_channels: 4}\n"
#define LFP "lfp: {n_channels: 2}\n"
#define TRACK \
	"track:\n  bin_cm: 5\n  arms:\n" \
	"    - {name: stem, bins: [0, 8]}\n    - {name: left, bins: [9, 20], target_bins: 4}\n"
#define HEAD BUS SOURCE GROUPS LFP TRACK /* 10 lines */
#define DISPATCH \
	"dispatch:\n  lockout_ms: 250\n  max_rate_per_min: 60\n  rules:\n" \
	"    - {name: left, type: replay, arm: 1, threshold: 0.4, other_arms_below: 0.2, " \
	"window_bins: 5}\n"

/* Good ones
 * ------------------------------------------------------------------------------------------- */

TEST(every_rig_that_is_shipped_loads)
{
	static const char *const names[] = {"demo", "liu2021", "r050", "r050_parity"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fnx_rig *rig = NULL;
		char path[600];
		int r;

		snprintf(path, sizeof(path), FNX_SOURCE_DIR "/deploy/rigs/%s.yaml", names[i]);
		r = fnx_rig_load(path, NULL, 0, &rig, error);
		if (r)
			fail_msg("%s", error);
		assert_string_equal(rig->path, path);
		fnx_rig_free(rig);
	}
}

TEST(the_demonstration_needs_no_file)
{
	struct fnx_rig *rig = NULL;

	assert_int_equal(fnx_rig_load(FNX_RIG_DEMO, NULL, 0, &rig, error), 0);
	assert_string_equal(rig->bus.name, "demo");
	assert_true(rig->dispatch.enabled);
	fnx_rig_free(rig);
}

TEST(what_a_rig_does_not_say_has_its_default)
{
	struct fnx_rig *rig = load(BUS TRACK SOURCE);

	assert_int_equal(rig->bus.slots, 512);
	assert_int_equal(rig->bus.grace_ms, 2000);
	assert_int_equal(rig->bus.wait, FNX_WAIT_SLEEP);
	assert_false(rig->bus.live);
	assert_null(rig->bus.segment_dir);
	assert_float_equal(rig->clock.rate_hz, 30000, 0);
	assert_int_equal(rig->clock.time_bin_samples, 180);
	assert_float_equal(rig->source.speed, 1, 0);
	assert_int_equal(rig->source.simulator.seed, 1);
	assert_string_equal(rig->source.file, "");
	assert_int_equal(rig->spikes.n_points, 40);
	assert_int_equal(rig->position.smoothing.n, 1);
	assert_float_equal(rig->position.smoothing.values[0], 1, 0);
	assert_int_equal(rig->track.off_track, FNX_OFF_TRACK_EXCLUDE);
	assert_true(rig->track.enabled);
	assert_false(rig->ripple.enabled || rig->encode.enabled || rig->decode.enabled ||
		rig->dispatch.enabled || rig->tap.enabled);
	assert_string_equal(rig->record.file, "");
	assert_true(rig->record.compress);
	assert_int_equal(rig->await.n, 0);
	fnx_rig_free(rig);
}

TEST(defaults_that_hang_on_others_follow_them)
{
	struct fnx_rig *rig = load(HEAD "encode: {min_speed_cm_s: 7}\ndecode: {}\nripple: {}\n");

	assert_float_equal(rig->decode.min_speed_cm_s, 7, 0);
	assert_true(rig->decode.rates_hz);
	assert_true(rig->encode.cut_off);
	assert_float_equal(rig->encode.mark_step_uv, 0, 0);
	assert_int_equal(rig->encode.n_instances, 1);
	assert_string_equal(rig->encode.instances[0].name, "encode.1");
	assert_int_equal(rig->encode.instances[0].groups.n, 4);
	assert_int_equal(rig->encode.instances[0].groups.values[3], 4);
	assert_int_equal(rig->decode.n_states, 3);
	assert_string_equal(rig->decode.states.values[2], "stationary");
	assert_int_equal(rig->ripple.filter.type, FNX_FILTER_IIR);
	assert_float_equal(rig->ripple.filter.band_hz.values[1], 250, 0);
	assert_int_equal(rig->ripple.smoothing.n_taps, 15);
	assert_int_equal(rig->await.n, 3);
	assert_string_equal(rig->await.values[1], "encode.1");
	fnx_rig_free(rig);
}

TEST(parity_switches_improvements_off)
{
	struct fnx_rig *rig = load("parity: true\n" HEAD "encode: {}\ndecode: {}\n");

	assert_true(rig->parity);
	assert_false(rig->decode.rates_hz);
	assert_false(rig->encode.cut_off);
	assert_false(rig->decode.duplicates_per_group);
	fnx_rig_free(rig);
}

TEST(empty_lists_and_sections_are_as_good_as_none)
{
	struct fnx_rig *rig =
		load(HEAD "position: {smoothing: []}\nencode: {instances: []}\n"
			  "decode: {continuous: [], states: []}\nripple: {channels: []}\n"
			  "nodes: []\ntopics: []\nrecord: {topics: []}\ntap: {endpoints: []}\n");

	assert_int_equal(rig->encode.n_instances, 1);
	assert_int_equal(rig->decode.n_states, 3);
	assert_int_equal(rig->position.smoothing.n, 1);
	assert_true(rig->tap.enabled);
	fnx_rig_free(rig);
}

TEST(an_anchor_can_stand_for_what_is_said_twice)
{
	struct fnx_rig *rig =
		load(BUS SOURCE TRACK GROUPS "encode:\n  instances:\n    - {groups: &half [1, "
					     "2]}\n    - {name: twin, groups: *half}\n");

	assert_int_equal(rig->encode.instances[1].groups.values[1], 2);
	assert_string_equal(rig->encode.instances[0].name, "encode.1");
	assert_string_equal(rig->encode.instances[1].name, "twin");
	fnx_rig_free(rig);
}

TEST(groups_without_end_are_one_group)
{
	struct fnx_rig *rig = load(BUS SOURCE TRACK "electrode_groups: [{id: 7, n_channels: 4}, "
						    "{id: 9, through: 10, n_channels: 2}]\n");

	assert_int_equal(fnx_rig_group_channels(rig, 7), 4);
	assert_int_equal(fnx_rig_group_channels(rig, 8), 0);
	assert_int_equal(fnx_rig_group_channels(rig, 10), 2);
	fnx_rig_free(rig);
}

/* Bad ones: the form
 * ---------------------------------------------------------------------------------- */

TEST(an_unknown_key_is_answered_with_the_known_ones)
{
	REFUSES(BUS SOURCE TRACK "lpf: {}\n", 8, "lpf", "unknown key", "lfp", "encode", "dispatch");
	REFUSES(BUS "source:\n  type: simulator\n  velocity: 3\n", 4, "source.velocity", "speed",
		"duration_s");
	REFUSES(HEAD "dispatch:\n  rules:\n    - name: a\n      kind: replay\n", 14,
		"dispatch.rules[0].kind", "window_bins");
}

TEST(a_wrong_type_is_told_with_the_right_one)
{
	REFUSES(BUS "source: {speed: fast}\n" TRACK, 2, "source.speed", "a number", "fast");
	REFUSES(BUS "source: {speed: .inf}\n" TRACK, 2, "source.speed", "a number");
	REFUSES(BUS "source: {speed: 1e999}\n" TRACK, 2, "source.speed", "a number");
	REFUSES("bus: {name: a, slots: 1.5}\n" SOURCE TRACK, 1, "bus.slots", "a whole number");
	REFUSES("bus: {name: a, slots: -1}\n" SOURCE TRACK, 1, "bus.slots", "a whole number");
	REFUSES("bus: {name: a, slots: 5000000000}\n" SOURCE TRACK, 1, "bus.slots",
		"a whole number");
	REFUSES("bus: {name: a, live: perhaps}\n" SOURCE TRACK, 1, "bus.live", "true or false");
	REFUSES("bus: {name: a, wait: nap}\n" SOURCE TRACK, 1, "bus.wait", "sleep, adaptive, spin",
		"nap");
	REFUSES("bus: test\n" SOURCE TRACK, 1, "bus", "a section");
	REFUSES(BUS SOURCE TRACK "lfp:\n", 8, "lfp", "a section");
	REFUSES(BUS SOURCE TRACK "electrode_groups: 4\n", 8, "electrode_groups", "a list");
	REFUSES(BUS "source: {speed: [1]}\n" TRACK, 2, "source.speed", "a single value");
	REFUSES(HEAD "nodes: [{name: decode, cpu: 3000000000}]\n", 11, "nodes[0].cpu",
		"a whole number");
	REFUSES("- bus\n- source\n", 1, "a section");
	REFUSES("bus: {name: test, [a, b]: c}\n" SOURCE, 1, "expected a key");
}

TEST(a_text_that_is_too_long_is_refused)
{
	char text[3000];

	snprintf(text, sizeof(text), BUS "source:\n  type: simulator\n  file: %01500d\n" TRACK, 7);
	REFUSES(text, 4, "source.file", "1024 bytes");
	REFUSES("bus: {name: ''}\n" SOURCE TRACK, 1, "bus.name", "a text of 1 to");
}

TEST(what_is_missing_is_named)
{
	REFUSES(SOURCE TRACK, 1, "bus", "missing");
	REFUSES("bus: {}\n" SOURCE TRACK, 1, "bus.name", "missing");
	REFUSES(BUS SOURCE TRACK "electrode_groups:\n  - {id: 1}\n", 9,
		"electrode_groups[0].n_channels", "missing");
	REFUSES(HEAD "encode: {}\ndecode: {}\ndispatch: {lockout_ms: 1, max_rate_per_min: 1}\n", 13,
		"dispatch.rules", "missing");
	REFUSES(BUS SOURCE "track: {bin_cm: 5}\n", 3, "track", "expected either arms or a grid");
}

TEST(what_is_out_of_range_is_told_with_the_range)
{
	REFUSES("bus: {name: a, slots: 8}\n" SOURCE TRACK, 1, "bus.slots", "from 16 to 65536", "8");
	REFUSES(BUS "source: {speed: -1}\n" TRACK, 2, "source.speed", "from 0");
	REFUSES(BUS SOURCE TRACK "clock: {time_bin_samples: 0}\n", 8, "clock.time_bin_samples",
		"from 1");
	REFUSES(BUS SOURCE "track: {bin_cm: 5, arms: []}\n", 3, "track.arms",
		"1 to 16 entries, found 0");
	REFUSES(HEAD "nodes:\n  - {name: decode, priority: 100}\n", 12, "nodes[0]", "priority",
		"0 to 99");
	REFUSES(HEAD "nodes:\n  - {name: decode, cpu: -2}\n", 12, "nodes[0]", "cpu");
	REFUSES(HEAD "topics:\n  - {name: lfp, slots: 3}\n", 12, "topics[0]", "slots",
		"16 to 65536");
}

TEST(a_key_that_stands_twice_is_refused)
{
	REFUSES(BUS SOURCE TRACK "lfp: {n_channels: 1}\nlfp: {n_channels: 2}\n", 9, "lfp",
		"second time");
	REFUSES("bus:\n  name: a\n  slots: 16\n  name: b\n" SOURCE TRACK, 4, "bus.name",
		"second time");
}

TEST(an_empty_file_is_told_what_a_rig_needs)
{
	REFUSES("", 1, "empty", "bus and source");
	REFUSES("# nothing\n\n", 1, "empty", "bus and source");
}

TEST(what_is_no_yaml_is_told_with_its_line)
{
	REFUSES(BUS "source: {type: simulator\ntrack: ]\n", 3, "not YAML");
	REFUSES(BUS "source:\n\ttype: simulator\n", 3, "not YAML");
	REFUSES(BUS SOURCE "\xff\xfe\n", 3, "not YAML");
	REFUSES(BUS "source: *nowhere\n", 2, "not YAML");
}

TEST(a_rig_is_one_document)
{
	REFUSES(BUS SOURCE TRACK "---\nlfp: {n_channels: 1}\n", 9, "second document");
	REFUSES(BUS SOURCE TRACK "...\n]\n", 9, "not YAML");
}

TEST(an_error_is_one_line_whatever_the_file_holds)
{
	REFUSES("bus: {name: test}\nsource: {speed: \"a\\nb\\x07\"}\n", 2, "source.speed", "a?b?");
}

TEST(a_file_that_cannot_be_read_is_told_so)
{
	struct fnx_rig *rig = NULL;

	assert_int_equal(fnx_rig_load("/nowhere/rig.yaml", NULL, 0, &rig, error), -ENOENT);
	assert_non_null(strstr(error, "/nowhere/rig.yaml: cannot read"));
	assert_int_equal(fnx_rig_load("/tmp", NULL, 0, &rig, error), -EISDIR);
	assert_null(rig);
}

/* Bad ones: the meaning
 * ------------------------------------------------------------------------------- */

TEST(a_bus_has_a_name_that_a_file_can_have)
{
	REFUSES("bus: {name: a/b}\n" SOURCE TRACK, 1, "bus.name", "letters", "a/b");
	REFUSES("bus: {name: .a}\n" SOURCE TRACK, 1, "bus.name");
}

TEST(a_file_source_needs_a_file)
{
	REFUSES(BUS "source: {type: nwb}\n", 0, "source.file", "needs a file");
	REFUSES(BUS "source:\n  type: mcap\n  file: ''\n", 4, "source.file", "needs a file");
	REFUSES(BUS SOURCE, 2, "source.type", "the simulator needs a track");
}

TEST(electrode_groups_make_sense)
{
	REFUSES(BUS SOURCE TRACK "electrode_groups: [{id: 1, n_channels: 33}]\n", 8, "n_channels",
		"1 to 32");
	REFUSES(BUS SOURCE TRACK "electrode_groups: [{id: 1, n_channels: 0}]\n", 8, "n_channels",
		"1 to 32");
	REFUSES(BUS SOURCE TRACK "electrode_groups: [{id: 9, through: 3, n_channels: 4}]\n", 8,
		"through", "9 to");
	REFUSES(BUS SOURCE TRACK "electrode_groups: [{id: 4000000000, n_channels: 4}]\n", 8, "id");
	REFUSES(BUS SOURCE TRACK "electrode_groups:\n  - {id: 1, through: 4, n_channels: 4}\n  - "
				 "{id: 3, n_channels: 4}\n",
		10, "electrode_groups[1]", "group 3");
	REFUSES(BUS SOURCE TRACK "electrode_groups: [{id: 1, n_channels: 4, dead_channels: [4]}]\n",
		8, "dead_channels", "0 to 3");
}

/* Once, counting from id to through overran what was taken for the groups of all. */
TEST(reversed_groups_are_refused_before_they_are_counted)
{
	REFUSES(BUS SOURCE TRACK "electrode_groups: [{id: 1, through: 8, n_channels: 4}, {id: 20, "
				 "through: 12, n_channels: 4}]\n"
				 "encode: {}\n",
		8, "electrode_groups[1]", "through");
	REFUSES(BUS SOURCE TRACK
		"electrode_groups: [{id: 0, through: 4294967295, n_channels: 4}]\nencode: {}\n",
		8, "through");
}

TEST(smoothing_of_position_is_a_mean)
{
	struct fnx_rig *rig;
	char text[1000] = BUS SOURCE TRACK "position:\n  smoothing: [0.01";

	REFUSES(BUS SOURCE TRACK "position:\n  rate_hz: 30\n  smoothing: [0.5, 0.4]\n", 10,
		"position.smoothing", "sum to 1", "0.9");
	for (int i = 0; i < 64; i++)
		strcat(text, ", 0.01");
	strcat(text, "]\n");
	REFUSES(text, 9, "position.smoothing", "at most 64", "65");
	rig = load(BUS SOURCE TRACK "position: {smoothing: [0.5, 0.4995]}\n");
	fnx_rig_free(rig);
	/* The published decoder has such filters. */
	rig = load("parity: true\n" BUS SOURCE TRACK "position: {smoothing: [0.5, 0.4]}\n");
	fnx_rig_free(rig);
}

TEST(a_track_that_is_none_is_refused)
{
	REFUSES(BUS SOURCE "track: {bin_cm: 5, arms: [{name: a, bins: [5, 2]}]}\n", 3, "track",
		"bin");
	REFUSES(BUS SOURCE
		"track: {bin_cm: 5, arms: [{name: a, bins: [0, 9]}, {name: b, bins: [9, 12]}]}\n",
		3, "track");
	REFUSES(BUS SOURCE "track: {bin_cm: 5, arms: [{name: a, nodes: [x, y], bins: [0, 9]}]}\n",
		3, "track", "no track node x");
	REFUSES(BUS SOURCE "track: {bin_cm: 5, arms: [{name: a, bins: [0, 4000000000]}]}\n", 3,
		"track");
	REFUSES(BUS SOURCE
		"track: {bin_cm: 5, arms: [{name: a, bins: [0, 9]}], segment_arms: [1]}\n",
		3, "track");
}

TEST(ripples_need_lfp_and_filters)
{
	REFUSES(BUS SOURCE TRACK "ripple: {}\n", 8, "ripple", "lfp.n_channels");
	REFUSES(HEAD "ripple: {channels: [0, 2]}\n", 11, "ripple.channels", "0 to 1", "2");
	REFUSES(HEAD "ripple:\n  filter: {band_hz: [250, 150]}\n", 12, "ripple.filter.band_hz",
		"rising");
	REFUSES(HEAD "ripple:\n  filter: {band_hz: [150]}\n", 12, "ripple.filter.band_hz");
	REFUSES(HEAD "ripple:\n  filter: {band_hz: [150, 750]}\n", 12, "ripple.filter.band_hz",
		"750");
	REFUSES(HEAD "ripple:\n  smoothing: {band_hz: [60, 50]}\n", 12, "ripple.smoothing.band_hz");
	REFUSES(HEAD "ripple:\n  smoothing: {type: taps}\n", 11, "ripple", "taps");
}

TEST(encoders_need_groups_of_their_own)
{
	REFUSES(BUS SOURCE TRACK "encode: {}\n", 8, "encode", "electrode_groups");
	REFUSES(BUS "source: {type: nwb, file: x}\n" GROUPS "encode: {}\n", 5, "encode", "track");
	REFUSES(HEAD "encode:\n  mark_step_uv: 0.2\n", 12, "encode.mark_step_uv", "encode.single");
	REFUSES(HEAD "encode:\n  single: true\n  merge_deviations: 0.5\n  mark_step_uv: 0.2\n", 14,
		"encode.mark_step_uv", "not with encode.merge_deviations", "means");
	REFUSES(HEAD "encode:\n  single: true\n  mark_step_uv: 0.074\n", 13, "encode.mark_step_uv",
		"encode.kernel_uv", "1 to 270 steps", "270.27");
	REFUSES(HEAD "encode:\n  single: true\n  mark_step_uv: 20.1\n", 13, "1 to 270 steps");
	REFUSES(HEAD "encode:\n  expansion_mib: 64\n", 12, "encode.expansion_mib", "encode.single");
	REFUSES(HEAD "encode:\n  single: true\n  merge_deviations: 0.5\n  expansion_mib: 64\n", 14,
		"encode.expansion_mib", "not with encode.merge_deviations");
	REFUSES(HEAD "encode:\n  instances:\n    - {groups: [5]}\n", 13, "encode.instances[0]",
		"group 5");
	REFUSES(HEAD "encode:\n  instances:\n    - {groups: []}\n", 13, "at least one");
	REFUSES(HEAD "encode:\n  instances:\n    - {name: a, groups: [1]}\n    - {name: a, groups: "
		     "[2]}\n",
		14, "encode.instances[1]", "twice");
	REFUSES(HEAD "encode:\n  instances:\n    - {name: decode, groups: [1]}\n", 13,
		"another node");
	REFUSES(HEAD "encode:\n  instances:\n    - {name: a b, groups: [1]}\n", 13, "name");
}

TEST(decoders_need_encoders_and_square_matrices)
{
	REFUSES(HEAD "decode: {}\n", 11, "decode", "encode");
	REFUSES(HEAD "encode: {}\ndecode:\n  continuous:\n    - {to: [uniform, identity]}\n", 14,
		"decode.continuous[0]", "1 entries", "2");
	REFUSES(HEAD "encode: {}\ndecode:\n  states: [a, b, c, d]\n", 13, "decode.states",
		"3 labels", "4");
	REFUSES(BUS SOURCE TRACK GROUPS "encode: {}\ndecode: {tick: lfp}\n", 11, "decode.tick",
		"lfp.n_channels");
}

TEST(rules_need_what_they_look_at)
{
	REFUSES(HEAD DISPATCH, 15, "dispatch.rules[0]", "decode");
	REFUSES(HEAD "dispatch:\n  lockout_ms: 1\n  max_rate_per_min: 1\n  rules: [{name: r, type: "
		     "ripple}]\n",
		14, "dispatch.rules[0]", "ripple section");
	REFUSES(HEAD "encode: {}\ndecode: {}\n" DISPATCH
		     "    - {name: x, type: replay, arm: 2, window_bins: 5}\n",
		18, "dispatch.rules[1]", "arm", "0 to 1");
	REFUSES(HEAD "encode: {}\ndecode: {}\n" DISPATCH
		     "    - {name: x, type: replay, arm: 1, window_bins: 0}\n",
		18, "window_bins");
	REFUSES(HEAD "encode: {}\ndecode: {}\n" DISPATCH "  actuators:\n    - {type: zmq}\n", 19,
		"dispatch.actuators[0]", "endpoint");
	REFUSES(HEAD "encode: {}\ndecode: {}\n" DISPATCH
		     "  actuators:\n    - {type: zmq, endpoint: ''}\n",
		19, "endpoint");
	REFUSES(HEAD "ripple: {}\ndispatch:\n  lockout_ms: 1\n  max_rate_per_min: 0\n  rules: "
		     "[{name: r, type: ripple}]\n",
		14, "dispatch.max_rate_per_min", "more than 0");
}

#define RIPPLE_DISPATCH \
	"ripple: {}\ndispatch:\n  lockout_ms: 1\n  max_rate_per_min: 1\n  rules: " \
	"[{name: r, type: ripple}]\n"

TEST(sizes_that_no_task_runtime_can_have_are_told_with_one_that_would_do)
{
	REFUSES(HEAD RIPPLE_DISPATCH "  task_window: 100\n", 16, "dispatch.task_window",
		"is 100; expected a power of two, such as 128");
	REFUSES(HEAD RIPPLE_DISPATCH "  task_consumed_window: 3000\n", 16,
		"dispatch.task_consumed_window", "is 3000; expected a power of two, such as 4096");
	REFUSES(HEAD RIPPLE_DISPATCH "  task_window: 256\n  task_consumed_window: 128\n", 17,
		"dispatch.task_consumed_window", "128; expected no less than the window, 256");
	REFUSES(HEAD RIPPLE_DISPATCH "  task_consumed_window: 4\n", 16,
		"dispatch.task_consumed_window", "from 8 to 1048576");
	/* Four times as many would be too many. */
	REFUSES(HEAD RIPPLE_DISPATCH "  task_window: 524288\n", 16, "dispatch.task_window",
		"consumed window is 2097152", "to 1048576");
	REFUSES(HEAD RIPPLE_DISPATCH "  task_window: 32\n", 16, "dispatch.task_window", "64");
	fnx_rig_free(load(HEAD RIPPLE_DISPATCH "  task_window: 64\n  task_consumed_window: 64\n"));
}

TEST(a_node_or_topic_is_set_up_once)
{
	REFUSES(HEAD "nodes:\n  - {name: decode}\n  - {name: decode}\n", 13, "nodes[1]", "twice");
	REFUSES(HEAD "topics:\n  - {name: lfp, slots: 64}\n  - {name: lfp, slots: 32}\n", 13,
		"topics[1]", "twice");
}

/* The command line
 * ------------------------------------------------------------------------------------ */

static void refuses_override(const char *override, const char *words)
{
	struct fnx_rig *rig = NULL;

	assert_int_equal(load_overridden(BUS SOURCE TRACK, &override, 1, &rig), -EINVAL);
	assert_null(rig);
	if (!strstr(error, words))
		fail_msg("expected \"%s\" in: %s", words, error);
}

TEST(overrides_take_effect_as_if_the_file_said_so)
{
	static const char *const overrides[OVERRIDES_MAX] = {
		"source.speed=0", "bus.name=other", "bus.wait=spin", "await=tap,record"};
	struct fnx_rig *rig = NULL;

	assert_int_equal(load_overridden(BUS "source: {type: simulator, speed: 3}\n" TRACK,
				 overrides, OVERRIDES_MAX, &rig),
		0);
	assert_float_equal(rig->source.speed, 0, 0);
	assert_string_equal(rig->bus.name, "other");
	assert_int_equal(rig->bus.wait, FNX_WAIT_SPIN);
	assert_int_equal(rig->await.n, 2);
	assert_string_equal(rig->await.values[1], "record");
	fnx_rig_free(rig);
}

TEST(the_last_of_two_overrides_counts)
{
	static const char *const overrides[] = {
		"record.file=a.mcap", "parity=true", "record.file=b.mcap", "parity=0"};
	struct fnx_rig *rig = NULL;

	assert_int_equal(load_overridden(BUS SOURCE TRACK, overrides, 4, &rig), 0);
	assert_string_equal(rig->record.file, "b.mcap");
	assert_false(rig->parity);
	fnx_rig_free(rig);
}

TEST(what_cannot_be_overridden_is_told_with_what_can)
{
	refuses_override("bus.slots=64",
		"bus.slots: cannot be set on the command line; expected one of source.type");
	refuses_override("source.speed", "expected KEY=VALUE");
	refuses_override("=", "cannot be set");
	refuses_override("", "expected KEY=VALUE");
}

TEST(override_values_are_checked)
{
	refuses_override("source.speed=fast", "source.speed: expected a number from 0");
	refuses_override("source.speed=-1", "source.speed: expected a number from 0");
	refuses_override("source.speed=nan", "source.speed: expected a number from 0");
	refuses_override("source.speed=", "source.speed: expected a number from 0");
	refuses_override("source.type=tape", "expected one of simulator, nwb, mcap");
	refuses_override("parity=2", "expected true or false");
	refuses_override("bus.name=", "bus.name: expected letters");
	refuses_override("source.type=nwb", "needs a file");
}
