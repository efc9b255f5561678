/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/dispatch/rule.h"

#include <errno.h>
#include <string.h>

#include "tests/support/check.h"

static const struct fnx_rule_place memory_of_its_own = {.memory = NULL};

static char stem[] = "stem", left[] = "left", name[40] = "replay left";
static struct fnx_rig_track_arm arms[] = {
	{.name = stem, .target_bins = 0}, {.name = left, .target_bins = 3}};
static struct fnx_rig_electrode_groups groups = {.id = 1, .through = 8, .n_channels = 4};
static struct fnx_rig_rule the_rule;
static struct fnx_rig rig;

static void replay_rig(void)
{
	strcpy(name, "replay left");
	the_rule = (struct fnx_rig_rule){.name = name,
		.type = FNX_RULE_REPLAY,
		.arm = 1,
		.threshold = 0.4,
		.other_arms_below = 0.2,
		.window_bins = 5,
		.min_groups = 2,
		.lockout_ms = 250};
	rig = (struct fnx_rig){.clock = {.rate_hz = 30000},
		.electrode_groups = &groups,
		.n_electrode_groups = 1,
		.lfp = {.n_channels = 6},
		.track = {.enabled = true, .arms = arms, .n_arms = 2},
		.ripple = {.enabled = true},
		.decode = {.enabled = true},
		.dispatch = {.enabled = true, .rules = &the_rule, .n_rules = 1}};
}

static void ripple_rig(void)
{
	replay_rig();
	the_rule = (struct fnx_rig_rule){
		.name = name, .type = FNX_RULE_RIPPLE, .min_electrodes = 3, .window_ms = 15};
}

static void expect(const char *sentence)
{
	char why[FNX_RULE_WHY_MAX] = "";
	struct fnx_rule rule;

	assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), sentence ? -EINVAL : 0);
	if (sentence && !strstr(why, sentence))
		fail_msg("\"%s\" does not say \"%s\"", why, sentence);
}

/* One thing is wrong, and is named; then all is well again. */
#define WRONG(kind, statement, sentence) \
	do { \
		kind(); \
		expect(NULL); \
		statement; \
		expect(sentence); \
	} while (0)

TEST(a_replay_rule_that_cannot_become_true_is_refused)
{
	WRONG(replay_rig, rig.decode.enabled = false, "needs the sections track and decode");
	WRONG(replay_rig, the_rule.arm = 2, "arm: expected an arm of the track, 0 to 1, found 2");
	WRONG(replay_rig, the_rule.arm = 0, "arm stem has no target region; give it target_bins");
	WRONG(replay_rig, the_rule.threshold = 0, "threshold: expected");
	WRONG(replay_rig, the_rule.threshold = 1, "threshold: expected");
	WRONG(replay_rig, the_rule.other_arms_below = 0, "other_arms_below: expected");
	WRONG(replay_rig, the_rule.other_arms_below = 1.1, "other_arms_below: expected");
	WRONG(replay_rig, the_rule.window_bins = 0, "window_bins: expected 1 to");
	WRONG(replay_rig, the_rule.window_bins = FNX_REPLAY_WINDOW_MAX + 1,
		"window_bins: expected 1 to");
	WRONG(replay_rig, the_rule.lockout_ms = -1, "lockout_ms: expected");
	WRONG(replay_rig, the_rule.max_speed_cm_s = -1, "max_speed_cm_s: expected");
	WRONG(replay_rig, the_rule.max_centre_distance_cm = -1, "max_centre_distance_cm: expected");
	WRONG(replay_rig, name[0] = 0, "name: expected 1 to 31 bytes");
	WRONG(replay_rig, memset(name, 'x', 32), "name: expected 1 to 31 bytes");
}

TEST(a_ripple_rule_that_cannot_become_true_is_refused)
{
	static uint32_t channels[] = {1, 2};

	WRONG(ripple_rig, rig.ripple.enabled = false, "needs the section ripple");
	WRONG(ripple_rig, the_rule.min_electrodes = 0, "min_electrodes: expected 1 to 6, found 0");
	WRONG(ripple_rig, the_rule.min_electrodes = 7, "min_electrodes: expected 1 to 6, found 7");
	WRONG(ripple_rig, rig.ripple.channels = ((struct fnx_rig_ids){channels, 2}),
		"min_electrodes: expected 1 to 2, found 3");
	WRONG(ripple_rig, the_rule.window_ms = -1, "window_ms: expected");
	WRONG(ripple_rig, the_rule.max_centre_distance_cm = 1, "is for replay rules");
	WRONG(ripple_rig, (rig.track.enabled = false, the_rule.max_speed_cm_s = 4),
		"without the section track no speed is known");
}

TEST(what_other_arms_hold_matters_only_where_there_are_some)
{
	replay_rig();
	rig.track.n_arms = 1;
	the_rule.arm = 0;
	arms[0].target_bins = 1;
	the_rule.other_arms_below = 0;
	expect(NULL);
	arms[0].target_bins = 0;
}

TEST(settings_bear_the_name_of_their_rule)
{
	char why[FNX_RULE_WHY_MAX];
	struct fnx_rule rule, other;

	replay_rig();
	strcpy(name,
		"replay: l\xc3\xa4"
		"ft 2");
	assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
	assert_string_equal(rule.names[0], "replay__l__ft_2.threshold");
	assert_string_equal(rule.names[1], "replay__l__ft_2.other_arms_below");
	strcpy(name, "replay_ l--ft.2");
	assert_int_equal(fnx_rule_init(&other, &rig, 0, why), 0);
	assert_int_equal(fnx_rule_same_name(&rule, &other), 1);
	strcpy(name, "replay l--ft.2");
	assert_int_equal(fnx_rule_init(&other, &rig, 0, why), 0);
	assert_int_equal(fnx_rule_same_name(&rule, &other), 0);
	memset(name, 'x', 31);
	name[31] = 0;
	assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
	for (unsigned i = 0; i < FNX_RULE_SETTINGS; i++)
		assert_int_equal(
			strlen(rule.names[i]), 32 + strlen(fnx_rule_setting(&rule, i)->name));
}

TEST(the_consensus_has_no_number_of_electrodes)
{
	char why[FNX_RULE_WHY_MAX];
	struct fnx_rule rule;
	unsigned n = 0;

	ripple_rig();
	the_rule.consensus = true;
	the_rule.min_electrodes = 0;
	assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
	for (unsigned i = 0; i < FNX_RULE_SETTINGS; i++)
		if (fnx_rule_setting(&rule, i)) {
			assert_string_equal(fnx_rule_setting(&rule, i)->name, "max_speed_cm_s");
			n++;
		}
	assert_int_equal(n, 1);
	assert_int_equal(fnx_rule_start(&rule, &rig, 2, &memory_of_its_own, why), 0);
	fnx_rule_fini(&rule);
}

TEST(every_setting_can_take_every_value_of_its_range)
{
	char why[FNX_RULE_WHY_MAX];

	for (int kind = 0; kind < 2; kind++) {
		struct fnx_rule rule;

		if (kind)
			ripple_rig();
		else
			replay_rig();
		assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
		assert_int_equal(fnx_rule_start(&rule, &rig, 2, &memory_of_its_own, why), 0);
		for (unsigned i = 0; i < FNX_RULE_SETTINGS; i++) {
			const struct fnx_rule_setting *setting = fnx_rule_setting(&rule, i);
			double before = rule.settings[i];

			for (int k = 0; setting && k < 2; k++) {
				rule.settings[i] = k ? setting->max : setting->min;
				fnx_rule_changed(&rule);
			}
			rule.settings[i] = before;
		}
		fnx_rule_fini(&rule);
	}
}

TEST(more_groups_than_a_window_can_name_are_refused_at_start)
{
	char why[FNX_RULE_WHY_MAX];
	struct fnx_rule rule;

	replay_rig();
	the_rule.min_groups = 51;
	assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
	assert_int_equal(fnx_rule_check_recent(&rule, 10, why), -EINVAL);
	assert_non_null(strstr(why, "min_groups: 5 time bins of a posterior name 50 groups"));
	the_rule.min_groups = 50;
	assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
	assert_int_equal(fnx_rule_check_recent(&rule, 10, why), 0);
	fnx_rule_fini(&rule);
}

TEST(only_in_parity_may_a_window_that_is_not_full_make_a_rule_true)
{
	const struct fnx_masses masses = {.arm = {0, 1}, .target = {0, 1}};
	const uint32_t recent[] = {1, 2};
	const struct fnx_replay_bin bin = {.masses = &masses, .groups = recent, .n_groups = 2};
	struct fnx_replay_evidence evidence;
	char why[FNX_RULE_WHY_MAX];
	struct fnx_rule rule;

	for (int parity = 0; parity < 2; parity++) {
		replay_rig();
		rig.parity = parity;
		assert_int_equal(fnx_rule_init(&rule, &rig, 0, why), 0);
		assert_int_equal(fnx_rule_start(&rule, &rig, 2, &memory_of_its_own, why), 0);
		for (int i = 1; i <= 5; i++)
			assert_int_equal(fnx_replay_step(rule.replay, &bin, &evidence),
				parity ? i > 2 : i == 5);
		fnx_rule_fini(&rule);
	}
}
