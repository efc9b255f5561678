/* SPDX-License-Identifier: BSD-3-Clause */
/* A rule that can never be true is refused like one that makes no sense: at the rig it would look
 * like an animal that does not replay. */
#include "nodes/dispatch/rule.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	FIRST,
	SECOND,
	MAX_SPEED,
	MIN_GROUPS,
	CENTRE_DISTANCE
};

static const struct fnx_rule_setting settings_of_kind[4][FNX_RULE_SETTINGS] =
	{
		[FNX_RULE_REPLAY] =
			{
				[FIRST] = {"threshold", 0, 1, "",
					"mean mass in the target region above this"},
				[SECOND] = {"other_arms_below", 0, 1, "",
					"every other arm's mean mass below this"},
				[MAX_SPEED] = {"max_speed_cm_s", 0, 1e6, "cm/s",
					"animal slower than this; 0: any speed"},
				[MIN_GROUPS] = {"min_groups", 0, 1e6, "count",
					"distinct electrode groups within the window"},
				[CENTRE_DISTANCE] = {"max_centre_distance_cm", 0, 1e6, "cm",
					"animal within this of the first bin; 0: anywhere"},
			},
		[FNX_RULE_RIPPLE] =
			{
				[FIRST] = {"min_electrodes", 1, FNX_RIPPLE_RULE_CHANNELS_MAX,
					"count", "channels that started a ripple together"},
				[SECOND] = {"window_ms", 0, 1e6, "ms",
					"that is, within this of each other"},
				[MAX_SPEED] = {"max_speed_cm_s", 0, 1e6, "cm/s",
					"animal slower than this; 0: any speed"},
			},
		[FNX_RULE_HEAD_DIRECTION] =
			{
				[FIRST] = {"well_range_deg", 0, 360, "deg",
					"head within this of the well's direction"},
				[SECOND] = {"steady_deg", 0, 360, "deg",
					"head's angles within this of each other"},
				[MAX_SPEED] = {"max_speed_cm_s", 0,
					1e6, "cm/s", "animal slower than this; 0: any speed"},
				[CENTRE_DISTANCE] = {"max_centre_distance_cm", 0, 1e6, "cm",
					"animal within this of the centre well; 0: anywhere"},
			},
		[FNX_RULE_COMBINATION] =
			{
				[SECOND] = {"window_ms", 0, 1e6, "ms",
					"what it names was true within this"},
				[MAX_SPEED] = {"max_speed_cm_s", 0,
					1e6, "cm/s", "animal slower than this; 0: any speed"},
			},
};

static int __attribute__((format(printf, 2, 3))) refuse(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, FNX_RULE_WHY_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

/* Checking -------------------------------------------------------------------------------- */

int fnx_dispatch_check(const struct fnx_rig *rig, char *why)
{
	const struct fnx_rig_ids *targets = &rig->dispatch.targets;

	for (uint32_t i = 0; i < targets->n; i++)
		if (targets->values[i] >= rig->track.n_arms)
			return refuse(why, "dispatch.targets: expected arms of the track, found %u",
				targets->values[i]);
	if (rig->dispatch.lease_s > 0 && rig->dispatch.armed)
		return refuse(why,
			"dispatch.armed: with lease_s a rig starts disarmed, until somebody arms "
			"it");
	return 0;
}

static int check_replay(const struct fnx_rig_rule *rule, const struct fnx_rig *rig, char *why)
{
	if (!rig->decode.enabled || !rig->track.enabled)
		return refuse(why, "a replay rule needs the sections track and decode");
	if (rig->track.n_arms == 0)
		return refuse(why, "a replay rule needs arms; this track is a grid");
	if (rule->arm >= rig->track.n_arms)
		return refuse(why, "arm: expected an arm of the track, 0 to %u, found %u",
			rig->track.n_arms - 1, rule->arm);
	if (!rig->track.arms[rule->arm].target_bins)
		return refuse(why,
			"arm: the track's arm %s has no target region; give it target_bins",
			rig->track.arms[rule->arm].name);
	if (!(rule->threshold > 0 && rule->threshold < 1))
		return refuse(why, "threshold: expected a mass between 0 and 1, found %g",
			rule->threshold);
	if (rig->track.n_arms > 1 && !(rule->other_arms_below > 0 && rule->other_arms_below <= 1))
		return refuse(why,
			"other_arms_below: expected a mass above 0 and up to 1, found %g",
			rule->other_arms_below);
	if (!rule->window_bins || rule->window_bins > FNX_REPLAY_WINDOW_MAX)
		return refuse(why, "window_bins: expected 1 to %d, found %u", FNX_REPLAY_WINDOW_MAX,
			rule->window_bins);
	return 0;
}

static int check_ripple(const struct fnx_rig_rule *rule, const struct fnx_rig *rig, char *why)
{
	uint32_t n = rig->ripple.channels.n ? rig->ripple.channels.n : rig->lfp.n_channels;

	if (!rig->ripple.enabled)
		return refuse(why, "a ripple rule needs the section ripple");
	if (!rule->consensus && (!rule->min_electrodes || rule->min_electrodes > n))
		return refuse(
			why, "min_electrodes: expected 1 to %u, found %u", n, rule->min_electrodes);
	if (!(rule->window_ms >= 0 && rule->window_ms <= 1e6))
		return refuse(why, "window_ms: expected 0 to 1e6, found %g", rule->window_ms);
	if (rule->max_centre_distance_cm > 0)
		return refuse(why, "max_centre_distance_cm: is for replay rules");
	return 0;
}

static int is_point(const struct fnx_rig_numbers *numbers)
{
	return numbers->n == 2;
}

static int check_head(const struct fnx_rig_rule *rule, const struct fnx_rig *rig, char *why)
{
	double points = rule->min_duration_ms / 1000 * rig->position.rate_hz;

	if (!rig->track.enabled)
		return refuse(why, "a head_direction rule needs the section track");
	if (!is_point(&rule->well) || !is_point(&rule->centre_well))
		return refuse(why, "well, centre_well: expected [x, y] each, in camera units");
	if (!(rule->well_range_deg > 0 && rule->well_range_deg <= 180))
		return refuse(why, "well_range_deg: expected above 0 and up to 180, found %g",
			rule->well_range_deg);
	if (!(rule->steady_deg > 0 && rule->steady_deg <= 360))
		return refuse(why, "steady_deg: expected above 0 and up to 360, found %g",
			rule->steady_deg);
	if (!(points >= 0 && points <= FNX_HEAD_POINTS_MAX))
		return refuse(why, "min_duration_ms: expected 0 to %g, found %g",
			FNX_HEAD_POINTS_MAX * 1000 / rig->position.rate_hz, rule->min_duration_ms);
	if (!(rule->max_centre_distance_cm > 0))
		return refuse(why, "max_centre_distance_cm: expected more than 0");
	return 0;
}

static int name_of_another(const struct fnx_rig *rig, const char *name, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
		if (!strcmp(rig->dispatch.rules[i].name, name))
			return (int)i;
	return -1;
}

/* The rules of a list as a mask. */
static int find_all(const struct fnx_rig *rig, uint32_t k, const struct fnx_rig_names *names,
	const char *key, uint32_t *ret_mask, char *why)
{
	*ret_mask = 0;
	for (uint32_t i = 0; i < names->n; i++) {
		int found = name_of_another(rig, names->values[i], k);

		if (found < 0)
			return refuse(why, "%s: expected names of rules above it, found \"%.40s\"",
				key, names->values[i]);
		*ret_mask |= UINT32_C(1) << found;
	}
	return 0;
}

static int check_combination(
	struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t k, char *why)
{
	const struct fnx_rig_rule *config = &rig->dispatch.rules[k];
	struct fnx_combination *combination = &rule->combination;
	int r;

	r = find_all(rig, k, &config->all_of, "all_of", &combination->all_of, why);
	if (!r)
		r = find_all(rig, k, &config->any_of, "any_of", &combination->any_of, why);
	if (!r)
		r = find_all(rig, k, &config->none_of, "none_of", &combination->none_of, why);
	if (r)
		return r;
	if (!(combination->all_of | combination->any_of))
		return refuse(why, "a combination needs all_of or any_of");
	if ((combination->all_of & combination->none_of) ||
		(combination->any_of && !(combination->any_of & ~combination->none_of)))
		return refuse(why, "none_of: what it names is asked for, too: never true");
	if (!(config->window_ms >= 0 && config->window_ms <= 1e6))
		return refuse(why, "window_ms: expected 0 to 1e6, found %g", config->window_ms);
	if (config->max_centre_distance_cm > 0)
		return refuse(why, "max_centre_distance_cm: is for the rules it names");
	return 0;
}

static int check_kind(const struct fnx_rig_rule *rule, const struct fnx_rig *rig, char *why)
{
	switch (rule->type) {
	case FNX_RULE_REPLAY:
		return check_replay(rule, rig, why);
	case FNX_RULE_RIPPLE:
		return check_ripple(rule, rig, why);
	case FNX_RULE_HEAD_DIRECTION:
		return check_head(rule, rig, why);
	default:
		return 0; /* names are looked up as they are resolved */
	}
}

static int check(const struct fnx_rig_rule *rule, const struct fnx_rig *rig, char *why)
{
	size_t name_max = sizeof(((struct fnx_rule *)0)->name) - 1;

	if (!rule->name[0] || strlen(rule->name) > name_max)
		return refuse(why, "name: expected 1 to %zu bytes", name_max);
	if (!(rule->lockout_ms >= 0 && rule->lockout_ms <= 1e9))
		return refuse(why, "lockout_ms: expected 0 to 1e9, found %g", rule->lockout_ms);
	if (!(rule->max_speed_cm_s >= 0 && rule->max_speed_cm_s <= 1e6))
		return refuse(
			why, "max_speed_cm_s: expected 0 to 1e6, found %g", rule->max_speed_cm_s);
	if (!(rule->max_centre_distance_cm >= 0 && rule->max_centre_distance_cm <= 1e6))
		return refuse(why, "max_centre_distance_cm: expected 0 to 1e6, found %g",
			rule->max_centre_distance_cm);
	if (!rig->track.enabled && rule->max_speed_cm_s > 0)
		return refuse(why, "max_speed_cm_s: without the section track no speed is known");
	if (rule->type != FNX_RULE_COMBINATION &&
		(rule->all_of.n || rule->any_of.n || rule->none_of.n))
		return refuse(why, "all_of, any_of, none_of: are for combinations");
	return check_kind(rule, rig, why);
}

static double first_setting(const struct fnx_rig_rule *config)
{
	return config->type == FNX_RULE_REPLAY            ? config->threshold
		: config->type == FNX_RULE_RIPPLE         ? config->min_electrodes
		: config->type == FNX_RULE_HEAD_DIRECTION ? config->well_range_deg
							  : 0;
}

static double second_setting(const struct fnx_rig_rule *config)
{
	return config->type == FNX_RULE_REPLAY            ? config->other_arms_below
		: config->type == FNX_RULE_HEAD_DIRECTION ? config->steady_deg
							  : config->window_ms;
}

int fnx_rule_init(struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t k, char *why)
{
	const struct fnx_rig_rule *config = &rig->dispatch.rules[k];
	int r = check(config, rig, why);

	if (r)
		return r;
	*rule = (struct fnx_rule){
		.config = config,
		.clock_hz = rig->clock.rate_hz,
		.settings =
			{
				[FIRST] = first_setting(config),
				[SECOND] = second_setting(config),
				[MAX_SPEED] = config->max_speed_cm_s,
				[MIN_GROUPS] = config->min_groups,
				[CENTRE_DISTANCE] = config->max_centre_distance_cm,
			},
	};
	if (config->type == FNX_RULE_COMBINATION)
		r = check_combination(rule, rig, k, why);
	if (r)
		return r;
	memcpy(rule->name, config->name, strlen(config->name));
	for (unsigned i = 0; i < FNX_RULE_SETTINGS; i++) {
		const struct fnx_rule_setting *setting = fnx_rule_setting(rule, i);

		if (!setting)
			continue;
		snprintf(
			rule->names[i], sizeof(rule->names[i]), "%s.%s", rule->name, setting->name);
		for (size_t c = 0; c < strlen(rule->name); c++)
			if (!isalnum((unsigned char)rule->names[i][c]))
				rule->names[i][c] = '_';
	}
	return 0;
}

/* Starting -------------------------------------------------------------------------------- */

/* Electrode groups have numbers below this. */
static uint32_t n_group_numbers(const struct fnx_rig *rig)
{
	uint32_t highest = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		if (rig->electrode_groups[i].id > highest)
			highest = rig->electrode_groups[i].id;
		if (rig->electrode_groups[i].through > highest)
			highest = rig->electrode_groups[i].through;
	}
	return highest < FNX_REPLAY_GROUPS_MAX ? highest + 1 : FNX_REPLAY_GROUPS_MAX;
}

static struct fnx_replay_params replay_params(const struct fnx_rule *rule)
{
	return (struct fnx_replay_params){
		.threshold = rule->settings[FIRST],
		.other_arms_below = rule->settings[SECOND],
		.max_speed_cm_s = rule->settings[MAX_SPEED],
		.min_groups = (uint32_t)rule->settings[MIN_GROUPS],
		.max_centre_distance_cm = rule->settings[CENTRE_DISTANCE],
	};
}

/* Down, but for rounding errors: together means no farther apart than stated. */
static int64_t window_samples(const struct fnx_rule *rule)
{
	return (int64_t)floor(rule->settings[SECOND] / 1000 * rule->clock_hz * (1 + 1e-15));
}

static struct fnx_ripple_rule_params ripple_params(const struct fnx_rule *rule)
{
	return (struct fnx_ripple_rule_params){
		.min_electrodes = (uint32_t)rule->settings[FIRST],
		.window_samples = window_samples(rule),
		.max_speed_cm_s = rule->settings[MAX_SPEED],
	};
}

static struct fnx_head_params head_params(const struct fnx_rule *rule)
{
	return (struct fnx_head_params){
		.well_range_deg = rule->settings[FIRST],
		.steady_deg = rule->settings[SECOND],
		.max_centre_distance_cm = rule->settings[CENTRE_DISTANCE],
	};
}

static struct fnx_replay_config replay_config(const struct fnx_rule *rule,
	const struct fnx_rig *rig, uint32_t n_arms, const struct fnx_rule_place *place)
{
	return (struct fnx_replay_config){
		.n_arms = n_arms,
		.arm = rule->config->arm,
		.window_bins = rule->config->window_bins,
		.n_groups = n_group_numbers(rig),
		.n_recent = FNX_REPLAY_RECENT_MAX,
		.begin_full = rig->parity,
		.params = replay_params(rule),
		.memory = place->memory,
		.resumed = place->resumed,
		.journal = place->journal,
	};
}

static struct fnx_ripple_rule_config ripple_config(
	const struct fnx_rule *rule, const struct fnx_rig *rig, const struct fnx_rule_place *place)
{
	return (struct fnx_ripple_rule_config){
		.n_channels = rig->lfp.n_channels,
		.consensus = rule->config->consensus,
		.params = ripple_params(rule),
		.memory = place->memory,
		.resumed = place->resumed,
		.journal = place->journal,
	};
}

static struct fnx_head_config head_config(
	const struct fnx_rule *rule, const struct fnx_rig *rig, const struct fnx_rule_place *place)
{
	double points = ceil(rule->config->min_duration_ms / 1000 * rig->position.rate_hz);

	return (struct fnx_head_config){
		.well = {rule->config->well.values[0], rule->config->well.values[1]},
		.centre = {rule->config->centre_well.values[0],
			rule->config->centre_well.values[1]},
		.scale = rig->position.scale,
		.n_points = points > 1 ? (uint32_t)points : 1,
		.rotate_180 = rule->config->rotate_180,
		.parity = rig->parity,
		.params = head_params(rule),
		.memory = place->memory,
		.resumed = place->resumed,
		.journal = place->journal,
	};
}

size_t fnx_rule_memory_size(const struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t n_arms)
{
	const struct fnx_rule_place nowhere = {.memory = NULL};
	struct fnx_ripple_rule_config ripple;
	struct fnx_replay_config replay;
	struct fnx_head_config head;

	switch (rule->config->type) {
	case FNX_RULE_REPLAY:
		replay = replay_config(rule, rig, n_arms, &nowhere);
		return fnx_replay_memory_size(&replay);
	case FNX_RULE_RIPPLE:
		ripple = ripple_config(rule, rig, &nowhere);
		return fnx_ripple_rule_memory_size(&ripple);
	case FNX_RULE_HEAD_DIRECTION:
		head = head_config(rule, rig, &nowhere);
		return fnx_head_memory_size(&head);
	default:
		return sizeof(int64_t); /* whether it was true */
	}
}

int fnx_rule_start(struct fnx_rule *rule, const struct fnx_rig *rig, uint32_t n_arms,
	const struct fnx_rule_place *place, char *why)
{
	struct fnx_ripple_rule_config ripple;
	struct fnx_replay_config replay;
	struct fnx_head_config head;
	int r = 0;

	switch (rule->config->type) {
	case FNX_RULE_REPLAY:
		replay = replay_config(rule, rig, n_arms, place);
		r = fnx_replay_new(&replay, &rule->replay);
		break;
	case FNX_RULE_RIPPLE:
		ripple = ripple_config(rule, rig, place);
		r = fnx_ripple_rule_new(&ripple, &rule->ripple);
		break;
	case FNX_RULE_HEAD_DIRECTION:
		head = head_config(rule, rig, place);
		r = fnx_head_new(&head, &rule->head);
		break;
	default:
		rule->was_true = place->memory ? place->memory : &rule->own_was_true;
		if (!place->resumed)
			*rule->was_true = 0;
		break;
	}
	snprintf(why, FNX_RULE_WHY_MAX, "%s",
		r == -ENOMEM            ? "out of memory"
			: r == -EBADMSG ? "the state that its predecessor left is damaged"
					: "a number is out of range");
	return r;
}

int fnx_rule_check_recent(const struct fnx_rule *rule, uint32_t n_recent, char *why)
{
	uint32_t min_groups = replay_params(rule).min_groups;

	if (rule->config->type != FNX_RULE_REPLAY)
		return 0;
	if (n_recent > FNX_REPLAY_RECENT_MAX)
		return refuse(why, "a posterior names %u good spikes; at most %d are expected",
			n_recent, FNX_REPLAY_RECENT_MAX);
	if ((uint64_t)rule->config->window_bins * n_recent < min_groups)
		return refuse(why,
			"min_groups: %u time bins of a posterior name %" PRIu64
			" groups at the most, never %u",
			rule->config->window_bins, (uint64_t)rule->config->window_bins * n_recent,
			min_groups);
	return 0;
}

void fnx_rule_fini(struct fnx_rule *rule)
{
	rule->replay = fnx_replay_free(rule->replay);
	rule->ripple = fnx_ripple_rule_free(rule->ripple);
	rule->head = fnx_head_free(rule->head);
}

/* Settings -------------------------------------------------------------------------------- */

const struct fnx_rule_setting *fnx_rule_setting(const struct fnx_rule *rule, unsigned i)
{
	const struct fnx_rule_setting *setting = &settings_of_kind[rule->config->type][i];

	/* The consensus is one trace. */
	if (!setting->name ||
		(rule->config->type == FNX_RULE_RIPPLE && rule->config->consensus &&
			i != MAX_SPEED))
		return NULL;
	return setting;
}

void fnx_rule_changed(struct fnx_rule *rule)
{
	int r = 0;

	if (rule->replay) {
		struct fnx_replay_params params = replay_params(rule);

		r = fnx_replay_set(rule->replay, &params);
	} else if (rule->ripple) {
		struct fnx_ripple_rule_params params = ripple_params(rule);

		r = fnx_ripple_rule_set(rule->ripple, &params);
	} else if (rule->head) {
		struct fnx_head_params params = head_params(rule);

		r = fnx_head_set(rule->head, &params);
	}
	rule->combination.window_samples = window_samples(rule);
	/* The ranges of the settings are those of the arithmetic. */
	assert(!r);
	(void)r;
}

int fnx_rule_lets(const struct fnx_rule *rule, double speed_cm_s)
{
	double limit = rule->settings[MAX_SPEED];

	return limit == 0 || fabs(speed_cm_s) < limit;
}

int fnx_rule_same_name(const struct fnx_rule *a, const struct fnx_rule *b)
{
	return !strcmp(a->names[MAX_SPEED], b->names[MAX_SPEED]);
}
