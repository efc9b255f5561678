/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading a rig file, in five steps: its text is held against the schema (rig_check.c), libcyaml
 * fills the struct, keys that are not there get their defaults (rig_rules.c), overrides from the
 * command line are put on top, and what the values mean together is checked here.
 *
 * Long, since what the values mean together is one list of checks, a function for each section.
 *
 * A text that is a default and not in the file is duplicated, so that everything in the struct is
 * freed alike.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "bus/task.h"
#include "nodes/host/demo.h"
#include "nodes/host/limits.h"
#include "nodes/host/placement.h"
#include "nodes/host/rig_schema.h"
#include "nodes/host/track.h"

const char *const fnx_rig_override_keys[] = {"source.type", "source.file", "source.speed",
	"source.duration_s", "source.start_s", "record.file", "decode.algorithm", "bus.name",
	"bus.wait", "bus.bell", "bus.segment_dir", "bus.run_dir", "parity", "machine", "await",
	NULL};

/* Everything that the steps share. */
struct load {
	int await_given;
	const char *name;
	struct fnx_rig *rig;
	struct fnx_rig_lines lines;
	char *error;
};

static int fail(const struct load *load, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(const struct load *load, const char *path, const char *format, ...)
{
	unsigned line = fnx_rig_lines_find(&load->lines, path);
	char what[400];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (line)
		snprintf(load->error, FNX_RIG_ERROR_MAX, "%s:%u: %s: %s", load->name, line, path,
			what);
	else
		snprintf(load->error, FNX_RIG_ERROR_MAX, "%s: %s: %s", load->name, path, what);
	return -EINVAL;
}

static int given(const struct load *load, const char *path)
{
	return fnx_rig_lines_find(&load->lines, path) != 0;
}

/* libcyaml's memory comes from here, so that all of it can be freed by libcyaml at the end. */
static void *allocate(void *context, void *memory, size_t size)
{
	(void)context;
	if (size)
		return realloc(memory, size);
	free(memory);
	return NULL;
}

static void ignore_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
	(void)level, (void)context, (void)format, (void)args;
}

static const cyaml_config_t cyaml = {.log_fn = ignore_log,
	.mem_fn = allocate,
	.log_level = CYAML_LOG_ERROR,
	.flags = CYAML_CFG_DEFAULT};

/* Scalars
 * ------------------------------------------------------------------------------------------- */

static void *field(struct fnx_rig *rig, const struct fnx_rig_rule_entry *rule)
{
	return (char *)rig + rule->offset;
}

static double get_number(struct fnx_rig *rig, const struct fnx_rig_rule_entry *rule)
{
	void *at = field(rig, rule);

	switch (rule->type) {
	case FNX_RULE_NUMBER:
		return *(double *)at;
	case FNX_RULE_COUNT:
		return *(uint32_t *)at;
	case FNX_RULE_COUNT64:
		return (double)*(uint64_t *)at;
	case FNX_RULE_FLAG:
		return *(bool *)at;
	default:
		return *(int *)at;
	}
}

static void set_number(struct fnx_rig *rig, const struct fnx_rig_rule_entry *rule, double value)
{
	void *at = field(rig, rule);

	switch (rule->type) {
	case FNX_RULE_NUMBER:
		*(double *)at = value;
		break;
	case FNX_RULE_COUNT:
		*(uint32_t *)at = (uint32_t)value;
		break;
	case FNX_RULE_COUNT64:
		*(uint64_t *)at = (uint64_t)value;
		break;
	case FNX_RULE_FLAG:
		*(bool *)at = value != 0;
		break;
	default:
		*(int *)at = (int)value;
		break;
	}
}

static int set_text(struct fnx_rig *rig, const struct fnx_rig_rule_entry *rule, const char *text)
{
	char **at = field(rig, rule);

	free(*at);
	*at = text ? strdup(text) : NULL;
	return text && !*at ? -ENOMEM : 0;
}

static int set_defaults(struct load *load)
{
	for (size_t i = 0; i < fnx_rig_n_rules; i++) {
		const struct fnx_rig_rule_entry *rule = &fnx_rig_rules[i];
		double value;
		int r;

		if (!given(load, rule->path)) {
			if (rule->type != FNX_RULE_TEXT)
				set_number(load->rig, rule, rule->value);
			else if ((r = set_text(load->rig, rule, rule->text)))
				return r;
			continue;
		}
		if (rule->type == FNX_RULE_TEXT || rule->type == FNX_RULE_ENUM)
			continue;
		value = get_number(load->rig, rule);
		if (!(value >= rule->min && value <= rule->max))
			return fail(load, rule->path, "expected a number from %g to %g, found %g",
				rule->min, rule->max, value);
	}
	return 0;
}

/* Defaults that hang on other keys. */
static void set_dependent_defaults(struct load *load)
{
	struct fnx_rig *rig = load->rig;

	rig->track.enabled = given(load, "track");
	rig->ripple.enabled = given(load, "ripple");
	rig->encode.enabled = given(load, "encode");
	rig->decode.enabled = given(load, "decode");
	rig->dispatch.enabled = given(load, "dispatch");
	rig->tap.enabled = given(load, "tap");
	if (rig->bus.live && !given(load, "bus.deadline_ms"))
		rig->bus.deadline_ms = 50;
	if (!given(load, "encode.cut_off"))
		rig->encode.cut_off = !rig->parity;
	if (!given(load, "decode.rates_hz"))
		rig->decode.rates_hz = !rig->parity;
	if (!given(load, "decode.rates_while_training"))
		rig->decode.rates_while_training = !rig->parity;
	if (!given(load, "decode.duplicates_per_group"))
		rig->decode.duplicates_per_group = !rig->parity;
	if (!given(load, "decode.min_speed_cm_s"))
		rig->decode.min_speed_cm_s = rig->encode.min_speed_cm_s;
	for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
		if (!rig->electrode_groups[i].through)
			rig->electrode_groups[i].through = rig->electrode_groups[i].id;
}

static int set_numbers(struct fnx_rig_numbers *numbers, const double *values, uint32_t n)
{
	if (numbers->n)
		return 0;
	free(numbers->values);
	numbers->values = malloc(n * sizeof(*values));
	if (!numbers->values)
		return -ENOMEM;
	memcpy(numbers->values, values, n * sizeof(*values));
	numbers->n = n;
	return 0;
}

static int add_name(struct fnx_rig_names *names, const char *text)
{
	char **values = realloc(names->values, (names->n + 1) * sizeof(*values));

	if (!values)
		return -ENOMEM;
	names->values = values;
	values[names->n] = strdup(text);
	return values[names->n++] ? 0 : -ENOMEM;
}

/* The published three-state classifier. */
static int set_default_states(struct fnx_rig_decode *decode)
{
	static const enum fnx_transition_kind kinds[3][3] = {
		{FNX_TRANSITION_RANDOM_WALK, FNX_TRANSITION_UNIFORM, FNX_TRANSITION_IDENTITY},
		{FNX_TRANSITION_UNIFORM, FNX_TRANSITION_UNIFORM, FNX_TRANSITION_UNIFORM},
		{FNX_TRANSITION_RANDOM_WALK, FNX_TRANSITION_UNIFORM, FNX_TRANSITION_IDENTITY}};
	static const char *const labels[3] = {"continuous", "fragmented", "stationary"};

	if (decode->n_states)
		return 0;
	decode->continuous = calloc(3, sizeof(*decode->continuous));
	if (!decode->continuous)
		return -ENOMEM;
	decode->n_states = 3;
	for (unsigned i = 0; i < 3; i++) {
		decode->continuous[i].to = malloc(sizeof(kinds[i]));
		if (!decode->continuous[i].to)
			return -ENOMEM;
		memcpy(decode->continuous[i].to, kinds[i], sizeof(kinds[i]));
		decode->continuous[i].n_to = 3;
	}
	for (unsigned i = 0; i < 3 && !decode->states.n; i++)
		if (add_name(&decode->states, labels[decode->states.n]))
			return -ENOMEM;
	while (decode->states.n < 3)
		if (add_name(&decode->states, labels[decode->states.n]))
			return -ENOMEM;
	return 0;
}

/* One encoder for all groups, and names for encoders that have none. */
static int set_default_instances(struct fnx_rig *rig)
{
	struct fnx_rig_encode *encode = &rig->encode;
	uint32_t n = 0;
	char name[32];

	if (!encode->enabled)
		return 0;
	if (!encode->n_instances) {
		encode->instances = calloc(1, sizeof(*encode->instances));
		if (!encode->instances)
			return -ENOMEM;
		encode->n_instances = 1;
		for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
			n += rig->electrode_groups[i].through - rig->electrode_groups[i].id + 1;
		encode->instances[0].groups.values = calloc(n ? n : 1, sizeof(uint32_t));
		if (!encode->instances[0].groups.values)
			return -ENOMEM;
		for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
			for (uint32_t id = rig->electrode_groups[i].id;
				id <= rig->electrode_groups[i].through; id++)
				encode->instances[0]
					.groups.values[encode->instances[0].groups.n++] = id;
	}
	for (uint32_t i = 0; i < encode->n_instances; i++) {
		if (encode->instances[i].name)
			continue;
		snprintf(name, sizeof(name), "encode.%u", i + 1);
		encode->instances[i].name = strdup(name);
		if (!encode->instances[i].name)
			return -ENOMEM;
	}
	return 0;
}

/* Those that run on this machine alone are waited for, the others through the bridge to theirs. */
static int await_if_here(struct fnx_rig *rig, int enabled, const char *node)
{
	return enabled && fnx_rig_node_is_here(rig, node) ? add_name(&rig->await, node) : 0;
}

static int await_bridges(struct fnx_rig *rig)
{
	const struct fnx_rig_machine *peer;
	char name[FNX_NAME_MAX];
	int listens, r = 0;

	for (unsigned k = 0; !r && fnx_rig_link(rig, k, &peer, &listens); k++) {
		if (!peer)
			continue; /* checked, and refused, later */
		fnx_rig_bridge_name(peer->name, name);
		r = add_name(&rig->await, name);
	}
	return r;
}

/* A source waits for the nodes that the rig has. */
static int set_default_await(struct load *load)
{
	struct fnx_rig *rig = load->rig;
	int r;

	if (load->await_given)
		return 0;
	r = await_if_here(rig, rig->ripple.enabled, "ripple");
	for (uint32_t i = 0; rig->encode.enabled && i < rig->encode.n_instances && !r; i++)
		r = await_if_here(rig, 1, rig->encode.instances[i].name);
	if (!r)
		r = await_if_here(rig, rig->decode.enabled, "decode");
	if (!r)
		r = await_if_here(rig, rig->dispatch.enabled, "dispatch");
	return r ? r : await_bridges(rig);
}

static int set_list_defaults(struct load *load)
{
	static const double one = 1, ripple_band[2] = {150, 250}, smoothing_band[2] = {50, 55};
	struct fnx_rig *rig = load->rig;
	int r;

	r = set_numbers(&rig->position.smoothing, &one, 1);
	if (!r)
		r = set_numbers(&rig->ripple.filter.band_hz, ripple_band, 2);
	if (!r)
		r = set_numbers(&rig->ripple.smoothing.band_hz, smoothing_band, 2);
	if (!r)
		r = set_default_states(&rig->decode);
	if (!r)
		r = set_default_instances(rig);
	if (!r)
		r = set_default_await(load);
	return r;
}

/* Overrides
 * ----------------------------------------------------------------------------------------- */

static int set_await(struct fnx_rig *rig, const char *list)
{
	char *copy = strdup(list), *save = NULL;
	int r = copy ? 0 : -ENOMEM;

	for (char *name = copy ? strtok_r(copy, ",", &save) : NULL; name && !r;
		name = strtok_r(NULL, ",", &save))
		r = add_name(&rig->await, name);
	free(copy);
	return r;
}

static int override_flag(
	struct load *load, const struct fnx_rig_rule_entry *rule, const char *value)
{
	int is_true = !strcmp(value, "true") || !strcmp(value, "1");

	if (!is_true && strcmp(value, "false") && strcmp(value, "0"))
		return fail(load, rule->path,
			"expected true or false on the command line, found \"%s\"", value);
	set_number(load->rig, rule, is_true);
	return 0;
}

static int override_enum(
	struct load *load, const struct fnx_rig_rule_entry *rule, const char *value)
{
	char names[200] = "";

	for (size_t i = 0; i < rule->n_names; i++)
		if (!strcmp(rule->names[i].str, value)) {
			set_number(load->rig, rule, (double)rule->names[i].val);
			return 0;
		}
	for (size_t i = 0; i < rule->n_names; i++) {
		size_t used = strlen(names);

		snprintf(names + used, sizeof(names) - used, "%s %s", i ? "," : "",
			rule->names[i].str);
	}
	return fail(load, rule->path, "expected one of%s on the command line, found \"%s\"", names,
		value);
}

static int override_one(struct load *load, const char *key, const char *value)
{
	const struct fnx_rig_rule_entry *rule = NULL;
	double number;
	char *end;

	if (!strcmp(key, "await")) {
		load->await_given = 1;
		return set_await(load->rig, value);
	}
	if (!strcmp(key, "machine")) {
		if ((size_t)snprintf(load->rig->machine, sizeof(load->rig->machine), "%s", value) >=
			sizeof(load->rig->machine))
			return fail(load, key, "the rig has no machine \"%s\"", value);
		return 0;
	}
	for (size_t i = 0; i < fnx_rig_n_rules && !rule; i++)
		if (!strcmp(fnx_rig_rules[i].path, key))
			rule = &fnx_rig_rules[i];
	assert(rule);
	if (rule->type == FNX_RULE_TEXT)
		return set_text(load->rig, rule, value);
	if (rule->type == FNX_RULE_ENUM)
		return override_enum(load, rule, value);
	if (rule->type == FNX_RULE_FLAG)
		return override_flag(load, rule, value);
	number = strtod(value, &end);
	if (!value[0] || *end || !(number >= rule->min && number <= rule->max))
		return fail(load, key,
			"expected a number from %g to %g on the command line, found \"%s\"",
			rule->min, rule->max, value);
	set_number(load->rig, rule, number);
	return 0;
}

static int refuse_override(struct load *load, const char *key)
{
	char keys[300] = "";

	for (const char *const *name = fnx_rig_override_keys; *name; name++) {
		size_t used = strlen(keys);

		snprintf(keys + used, sizeof(keys) - used, " %s", *name);
	}
	return fail(load, key, "cannot be set on the command line; expected one of%s", keys);
}

static int set_overrides(struct load *load, const char *const *overrides, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *equals = strchr(overrides[i], '=');
		char key[64];
		int known = 0, r;

		snprintf(key, sizeof(key), "%.*s", equals ? (int)(equals - overrides[i]) : 0,
			overrides[i]);
		for (const char *const *name = fnx_rig_override_keys; *name; name++)
			known |= !strcmp(*name, key);
		if (!equals)
			return fail(load, overrides[i], "expected KEY=VALUE on the command line");
		if (!known)
			return refuse_override(load, key);
		r = override_one(load, key, equals + 1);
		if (r)
			return r;
	}
	return 0;
}

/* Meaning
 * ------------------------------------------------------------------------------------------- */

uint32_t fnx_rig_group_channels(const struct fnx_rig *rig, uint32_t group)
{
	for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
		if (group >= rig->electrode_groups[i].id &&
			group <= rig->electrode_groups[i].through)
			return rig->electrode_groups[i].n_channels;
	return 0;
}

static int check_groups(struct load *load)
{
	const struct fnx_rig *rig = load->rig;
	enum {
		GROUP_ID_MAX = 1000000
	};
	char path[80];

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++) {
		const struct fnx_rig_electrode_groups *groups = &rig->electrode_groups[i];

		snprintf(path, sizeof(path), "electrode_groups[%u]", i);
		if (groups->n_channels < 1 || groups->n_channels > 32)
			return fail(load, path, "n_channels: expected 1 to 32, found %u",
				groups->n_channels);
		if (groups->id > GROUP_ID_MAX)
			return fail(load, path, "id: expected 0 to %d, found %u", GROUP_ID_MAX,
				groups->id);
		if (groups->through < groups->id || groups->through - groups->id > 4095)
			return fail(load, path, "through: expected %u to %u, found %u", groups->id,
				groups->id + 4095, groups->through);
		for (uint32_t k = 0; k < i; k++)
			if (groups->id <= rig->electrode_groups[k].through &&
				groups->through >= rig->electrode_groups[k].id)
				return fail(load, path,
					"group %u stands in electrode_groups[%u] already",
					groups->id, k);
		for (uint32_t k = 0; k < groups->dead_channels.n; k++)
			if (groups->dead_channels.values[k] >= groups->n_channels)
				return fail(load, path, "dead_channels: expected 0 to %u, found %u",
					groups->n_channels - 1, groups->dead_channels.values[k]);
	}
	return 0;
}

/* As nodes/acquire/kinematics.h has it: a filter that is no mean would move the animal. */
static int check_position(struct load *load)
{
	enum {
		TAPS_MAX = 64
	};
	const struct fnx_rig_numbers *taps = &load->rig->position.smoothing;
	double sum = 0;

	if (taps->n > TAPS_MAX)
		return fail(load, "position.smoothing", "expected at most %d taps, found %u",
			TAPS_MAX, taps->n);
	for (uint32_t i = 0; i < taps->n; i++)
		sum += taps->values[i];
	if (!load->rig->parity && !(fabs(sum - 1) <= 1e-3))
		return fail(
			load, "position.smoothing", "expected taps that sum to 1, found %g", sum);
	return 0;
}

/* What other nodes are called. */
static int is_taken(const char *name)
{
	static const char *const names[] = {
		"acquire", "ripple", "decode", "dispatch", "record", "tap", "score", "bus"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return 1;
	return 0;
}

static int check_mark_step(struct load *load)
{
	const struct fnx_rig_encode *encode = &load->rig->encode;
	const double per_deviation = encode->kernel_uv / encode->mark_step_uv;

	if (encode->mark_step_uv == 0)
		return 0;
	if (!encode->single)
		return fail(load, "encode.mark_step_uv", "needs encode.single: true");
	if (encode->merge_deviations > 0)
		return fail(load, "encode.mark_step_uv",
			"not with encode.merge_deviations: merged marks are means, which are no "
			"whole steps");
	if (per_deviation < 1 || per_deviation > FNX_COUNTS_PER_DEVIATION_MAX)
		return fail(load, "encode.mark_step_uv",
			"expected encode.kernel_uv to be 1 to %d steps, it is %g",
			FNX_COUNTS_PER_DEVIATION_MAX, per_deviation);
	return 0;
}

static int check_expansion(struct load *load)
{
	const struct fnx_rig_encode *encode = &load->rig->encode;

	if (encode->expansion_mib == 0)
		return 0;
	if (!encode->single)
		return fail(load, "encode.expansion_mib", "needs encode.single: true");
	if (encode->merge_deviations > 0)
		return fail(load, "encode.expansion_mib", "not with encode.merge_deviations");
	for (uint32_t i = 0; i < encode->n_instances; i++)
		for (uint32_t k = 0; k < encode->instances[i].groups.n; k++) {
			const uint32_t id = encode->instances[i].groups.values[k];

			if (fnx_rig_group_channels(load->rig, id) > FNX_EXPANSION_DIMS_MAX)
				return fail(load, "encode.expansion_mib",
					"expected electrode groups of at most %d channels, group "
					"%u has %u",
					FNX_EXPANSION_DIMS_MAX, id,
					fnx_rig_group_channels(load->rig, id));
		}
	return 0;
}

static int check_encode(struct load *load)
{
	const struct fnx_rig_encode *encode = &load->rig->encode;
	char path[80];

	if (!encode->enabled)
		return 0;
	if (!load->rig->n_electrode_groups)
		return fail(load, "encode", "needs electrode_groups");
	if (!load->rig->track.enabled)
		return fail(load, "encode", "needs a track");
	for (uint32_t i = 0; i < encode->n_instances; i++) {
		const struct fnx_rig_encode_instance *instance = &encode->instances[i];

		snprintf(path, sizeof(path), "encode.instances[%u]", i);
		if (!fnx_name_valid(instance->name))
			return fail(load, path,
				"name: expected letters, digits, '_', '-', '.', found \"%s\"",
				instance->name);
		if (is_taken(instance->name))
			return fail(load, path, "name: another node is called %s", instance->name);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(instance->name, encode->instances[k].name))
				return fail(load, path, "name: %s stands twice", instance->name);
		if (!instance->groups.n)
			return fail(load, path, "groups: expected at least one electrode group");
		for (uint32_t k = 0; k < instance->groups.n; k++)
			if (!fnx_rig_group_channels(load->rig, instance->groups.values[k]))
				return fail(load, path, "groups: there is no electrode group %u",
					instance->groups.values[k]);
	}
	return check_mark_step(load) || check_expansion(load) ? -EINVAL : 0;
}

static int check_decode(struct load *load)
{
	const struct fnx_rig_decode *decode = &load->rig->decode;
	char path[80];

	if (!decode->enabled)
		return 0;
	if (!load->rig->encode.enabled)
		return fail(load, "decode", "needs an encode section: likelihoods come from there");
	if (decode->tick == FNX_TICK_LFP && !load->rig->lfp.n_channels)
		return fail(load, "decode.tick", "lfp needs lfp.n_channels of at least 1");
	for (uint32_t i = 0; i < decode->n_states; i++)
		if (decode->continuous[i].n_to != decode->n_states) {
			snprintf(path, sizeof(path), "decode.continuous[%u]", i);
			return fail(load, path, "expected %u entries, one for each state, found %u",
				decode->n_states, decode->continuous[i].n_to);
		}
	if (decode->algorithm == FNX_DECODE_CLASSIFIER && decode->states.n != decode->n_states)
		return fail(load, "decode.states",
			"expected %u labels, one for each state, found %u", decode->n_states,
			decode->states.n);
	return 0;
}

static int check_channels(struct load *load, const char *path, const struct fnx_rig_ids *channels)
{
	for (uint32_t i = 0; i < channels->n; i++)
		if (channels->values[i] >= load->rig->lfp.n_channels)
			return fail(load, path, "expected 0 to %u, found %u",
				load->rig->lfp.n_channels - 1, channels->values[i]);
	return 0;
}

/* What the published decoder has not, and what only one detector has. */
static int check_ripple_options(struct load *load)
{
	const struct fnx_rig_ripple *ripple = &load->rig->ripple;

	if (load->rig->parity &&
		(ripple->detector != FNX_RIPPLE_ENVELOPE ||
			ripple->statistics != FNX_STATISTICS_MEAN || ripple->noise_channels.n ||
			ripple->artefact_uv > 0 || ripple->blanking_ms > 0))
		return fail(load, "ripple",
			"parity knows no network, median, noise_channels, artefact_uv or "
			"blanking_ms");
	if (ripple->seed_file[0] && (ripple->mean.n || ripple->deviation.n))
		return fail(load, "ripple.seed_file", "expected either this or mean and deviation");
	if (ripple->detector != FNX_RIPPLE_NETWORK)
		return ripple->weights[0] ? fail(load, "ripple.weights", "is for detector: network")
					  : 0;
	if (!ripple->weights[0])
		return fail(load, "ripple.weights",
			"detector: network needs a file that fornix import-network made");
	if (ripple->statistics != FNX_STATISTICS_MEAN)
		return fail(load, "ripple.statistics", "median is for detector: envelope");
	if (ripple->network_rate_hz > load->rig->lfp.rate_hz)
		return fail(load, "ripple.network_rate_hz",
			"expected at most lfp.rate_hz (%g), found %g", load->rig->lfp.rate_hz,
			ripple->network_rate_hz);
	return 0;
}

static int check_ripple(struct load *load)
{
	const struct fnx_rig_ripple *ripple = &load->rig->ripple;
	const struct fnx_rig *rig = load->rig;

	if (!ripple->enabled)
		return 0;
	if (!rig->lfp.n_channels)
		return fail(load, "ripple", "needs lfp.n_channels of at least 1");
	if (ripple->filter.type != FNX_FILTER_TAPS &&
		(ripple->filter.band_hz.n != 2 || !(ripple->filter.band_hz.values[0] > 0) ||
			!(ripple->filter.band_hz.values[1] > ripple->filter.band_hz.values[0]) ||
			!(ripple->filter.band_hz.values[1] < rig->lfp.rate_hz / 2)))
		return fail(load, "ripple.filter.band_hz",
			"expected [low, high], rising, above 0 and below half of lfp.rate_hz (%g)",
			rig->lfp.rate_hz / 2);
	if (ripple->smoothing.type != FNX_FILTER_TAPS &&
		(ripple->smoothing.band_hz.n != 2 ||
			!(ripple->smoothing.band_hz.values[1] >
				ripple->smoothing.band_hz.values[0]) ||
			!(ripple->smoothing.band_hz.values[1] < rig->lfp.rate_hz / 2)))
		return fail(load, "ripple.smoothing.band_hz",
			"expected [pass to, stop from], rising and below half of lfp.rate_hz (%g)",
			rig->lfp.rate_hz / 2);
	if ((ripple->filter.type == FNX_FILTER_TAPS && !ripple->filter.taps.n) ||
		(ripple->smoothing.type == FNX_FILTER_TAPS && !ripple->smoothing.taps.n))
		return fail(load, "ripple", "a filter of type taps needs its taps");
	if (check_channels(load, "ripple.channels", &ripple->channels) ||
		check_channels(load, "ripple.noise_channels", &ripple->noise_channels))
		return -EINVAL;
	return check_ripple_options(load);
}

static int is_given(const char *text)
{
	return text && text[0];
}

static int check_actuator(
	struct load *load, const struct fnx_rig_actuator *actuator, const char *path)
{
	const char *type = fnx_rig_actuator_names[actuator->type].str;

	if ((actuator->type == FNX_ACTUATOR_ZMQ || actuator->type == FNX_ACTUATOR_UDP ||
		    actuator->type == FNX_ACTUATOR_TRODES) &&
		!is_given(actuator->endpoint))
		return fail(load, path, "a %s actuator needs an endpoint", type);
	if (actuator->type == FNX_ACTUATOR_SERIAL && !is_given(actuator->device))
		return fail(load, path, "a serial actuator needs a device");
	if (actuator->timeout_ms > 60000)
		return fail(load, path, "timeout_ms: expected 0 to 60000, found %u",
			actuator->timeout_ms);
	return 0;
}

/* What its task runtime would refuse when it starts. */
static int check_tasks(struct load *load)
{
	const struct fnx_rig_dispatch *dispatch = &load->rig->dispatch;
	const struct fnx_task_config config = {.window = dispatch->task_window,
		.consumed_window = dispatch->task_consumed_window,
		.heap_size = (uint64_t)dispatch->task_heap_kb << 10,
		.n_traced = dispatch->task_trace};
	struct fnx_task_problem problem;
	int is_window;

	if (!fnx_task_check_sizes(&config, &problem))
		return 0;
	is_window = !dispatch->task_consumed_window || !strcmp(problem.ring, "window");
	return fail(load, is_window ? "dispatch.task_window" : "dispatch.task_consumed_window",
		"%s", problem.text);
}

static int check_dispatch(struct load *load)
{
	const struct fnx_rig *rig = load->rig;
	char path[80];
	int r;

	if (!rig->dispatch.enabled)
		return 0;
	if (!(rig->dispatch.max_rate_per_min > 0))
		return fail(load, "dispatch.max_rate_per_min", "expected more than 0");
	r = check_tasks(load);
	if (r)
		return r;
	for (uint32_t i = 0; i < rig->dispatch.n_rules; i++) {
		const struct fnx_rig_rule *rule = &rig->dispatch.rules[i];

		snprintf(path, sizeof(path), "dispatch.rules[%u]", i);
		if (rule->type == FNX_RULE_REPLAY && !rig->decode.enabled)
			return fail(load, path, "a replay rule needs a decode section");
		if (rule->type == FNX_RULE_REPLAY && rule->arm >= rig->track.n_arms)
			return fail(load, path, "arm: expected 0 to %u, found %u",
				rig->track.n_arms - 1, rule->arm);
		if (rule->type == FNX_RULE_REPLAY &&
			(rule->window_bins < 1 || rule->window_bins > 4096))
			return fail(load, path, "window_bins: expected 1 to 4096, found %u",
				rule->window_bins);
		if (rule->type == FNX_RULE_RIPPLE && !rig->ripple.enabled)
			return fail(load, path, "a ripple rule needs a ripple section");
		if (rule->type == FNX_RULE_RIPPLE && !rule->consensus &&
			rig->ripple.detector == FNX_RIPPLE_NETWORK)
			return fail(load, path,
				"a network tells no channels apart; expected consensus: true");
	}
	for (uint32_t i = 0; i < rig->dispatch.n_actuators; i++) {
		snprintf(path, sizeof(path), "dispatch.actuators[%u]", i);
		r = check_actuator(load, &rig->dispatch.actuators[i], path);
		if (r)
			return r;
	}
	return 0;
}

static int find_track_node(
	const struct fnx_rig_track *track, const char *name, double *ret_x, double *ret_y)
{
	for (uint32_t i = 0; i < track->n_nodes; i++)
		if (!strcmp(track->nodes[i].name, name)) {
			*ret_x = track->nodes[i].x;
			*ret_y = track->nodes[i].y;
			return 1;
		}
	return 0;
}

int fnx_rig_track(const struct fnx_rig *rig, struct fnx_track_config *ret_config, char *error)
{
	const struct fnx_rig_track *track = &rig->track;
	struct fnx_track_config *config = ret_config;

	memset(config, 0, sizeof(*config));
	config->bin_cm = track->bin_cm;
	config->max_distance_cm = track->max_distance_cm;
	config->grid = (struct fnx_track_grid){.n_columns = track->grid.columns,
		.n_rows = track->grid.rows,
		.x = track->grid.x,
		.y = track->grid.y};
	config->n_arms = track->n_arms;
	config->n_segments = track->segment_arms.n;
	for (uint32_t i = 0; i < track->segment_arms.n; i++)
		config->segment_arms[i] = track->segment_arms.values[i];
	for (uint32_t i = 0; i < track->n_arms; i++) {
		const struct fnx_rig_track_arm *arm = &track->arms[i];

		config->arms[i].first_bin = arm->bins.values[0];
		config->arms[i].last_bin = arm->bins.values[1];
		config->arms[i].n_target = arm->target_bins;
		config->arms[i].n_nodes = arm->nodes.n;
		for (uint32_t k = 0; k < arm->nodes.n; k++)
			if (!find_track_node(track, arm->nodes.values[k],
				    &config->arms[i].node_x[k], &config->arms[i].node_y[k])) {
				snprintf(error, FNX_RIG_ERROR_MAX,
					"arm %s: there is no track node %s", arm->name,
					arm->nodes.values[k]);
				return -EINVAL;
			}
	}
	return 0;
}

static int check_track(struct load *load)
{
	struct fnx_track_config config;
	struct fnx_track *track;
	char error[FNX_RIG_ERROR_MAX];
	const char *reason;
	int r;

	if (!load->rig->track.enabled)
		return 0;
	if (given(load, "track.grid") == given(load, "track.arms"))
		return fail(load, "track", "expected either arms or a grid");
	if (load->rig->track.grid.columns && load->rig->parity)
		return fail(load, "track.grid", "parity knows arms only");
	if (load->rig->track.grid.columns && load->rig->source.type == FNX_SOURCE_SIMULATOR)
		return fail(load, "track.grid", "the simulator's animal runs on arms");
	if (fnx_rig_track(load->rig, &config, error))
		return fail(load, "track", "%s", error);
	r = fnx_track_new(&config, &track, &reason);
	if (r == -EINVAL)
		return fail(load, "track", "%s", reason);
	if (r)
		return r;
	fnx_track_free(track);
	return 0;
}

/* Nodes and topics that the rig sets up by name. */
static int check_names(struct load *load)
{
	const struct fnx_rig *rig = load->rig;
	char path[80];

	for (uint32_t i = 0; i < rig->n_nodes; i++) {
		const struct fnx_rig_node *node = &rig->nodes[i];

		snprintf(path, sizeof(path), "nodes[%u]", i);
		if (node->priority < 0 || node->priority > 99)
			return fail(
				load, path, "priority: expected 0 to 99, found %d", node->priority);
		if (node->cpu && (*node->cpu < 0 || *node->cpu > 1023))
			return fail(load, path, "cpu: expected 0 to 1023, found %d", *node->cpu);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(node->name, rig->nodes[k].name))
				return fail(load, path, "name: %s stands twice", node->name);
	}
	for (uint32_t i = 0; i < rig->n_topics; i++) {
		const struct fnx_rig_topic *topic = &rig->topics[i];

		snprintf(path, sizeof(path), "topics[%u]", i);
		if (topic->slots < 16 || topic->slots > 65536)
			return fail(
				load, path, "slots: expected 16 to 65536, found %u", topic->slots);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(topic->name, rig->topics[k].name))
				return fail(load, path, "name: %s stands twice", topic->name);
	}
	return 0;
}

static int check_machines(struct load *load)
{
	char path[80], what[200];
	int r = fnx_placement_check(load->rig, path, what);

	return r ? fail(load, path, "%s", what) : 0;
}

static int check_meaning(struct load *load)
{
	const struct fnx_rig *rig = load->rig;
	int r;

	if (!fnx_name_valid(rig->bus.name))
		return fail(load, "bus.name",
			"expected letters, digits, '_', '-', '.', found \"%s\"", rig->bus.name);
	if (rig->source.type != FNX_SOURCE_SIMULATOR && !rig->source.file[0])
		return fail(load, "source.file", "a source of type %s needs a file",
			fnx_rig_source_names[rig->source.type].str);
	if (rig->source.type == FNX_SOURCE_SIMULATOR && !rig->track.enabled)
		return fail(load, "source.type", "the simulator needs a track");
	r = check_position(load);
	if (!r)
		r = check_track(load);
	if (!r)
		r = check_encode(load);
	if (!r)
		r = check_decode(load);
	if (!r)
		r = check_ripple(load);
	if (!r)
		r = check_dispatch(load);
	if (!r)
		r = check_names(load);
	return r ? r : check_machines(load);
}

/* Loading
 * ------------------------------------------------------------------------------------------- */

static int read_file(const char *path, char **ret_text, size_t *ret_size, char *error)
{
	enum {
		FILE_MAX = 4 << 20
	};
	FILE *file = fopen(path, "re");
	char *text = malloc(FILE_MAX);
	size_t size = 0;
	int r = 0;

	if (!file || !text) {
		r = file ? -ENOMEM : -errno;
	} else {
		size = fread(text, 1, FILE_MAX, file);
		if (ferror(file))
			r = -EISDIR;
		else if (size == FILE_MAX)
			r = -EFBIG;
	}
	if (file)
		fclose(file);
	if (r) {
		snprintf(error, FNX_RIG_ERROR_MAX, "%s: cannot read the rig file: %s", path,
			strerror(-r));
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

static void mix(uint64_t *hash, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
}

static uint64_t hash_of(
	const char *text, size_t size, const char *const *overrides, size_t n_overrides)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	mix(&hash, text, size);
	for (size_t i = 0; i < n_overrides; i++)
		mix(&hash, overrides[i], strlen(overrides[i]) + 1);
	return hash;
}

static int load_text(struct load *load, const char *text, size_t size, const char *const *overrides,
	size_t n_overrides)
{
	cyaml_data_t *data = NULL;
	cyaml_err_t e;
	int r;

	r = fnx_rig_check(load->name, text, size, &load->lines, load->error);
	if (r)
		return r;
	e = cyaml_load_data((const uint8_t *)text, size, &cyaml, &fnx_rig_schema, &data, NULL);
	if (e != CYAML_OK) {
		snprintf(load->error, FNX_RIG_ERROR_MAX, "%s: %s", load->name, cyaml_strerror(e));
		return e == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
	}
	load->rig = data;
	r = set_defaults(load);
	if (r)
		return r;
	set_dependent_defaults(load);
	r = set_overrides(load, overrides, n_overrides);
	/* Before anything counts on from `id` to `through`. */
	if (!r)
		r = check_groups(load);
	if (!r)
		r = set_list_defaults(load);
	if (!r)
		r = check_meaning(load);
	if (!r) {
		load->rig->path = strdup(load->name);
		load->rig->hash = hash_of(text, size, overrides, n_overrides);
		r = load->rig->path ? 0 : -ENOMEM;
	}
	return r;
}

int fnx_rig_load(const char *path, const char *const *overrides, size_t n_overrides,
	struct fnx_rig **ret_rig, char *error)
{
	struct load load = {.name = path, .error = error};
	char *text = NULL;
	size_t size;
	int r;

	snprintf(error, FNX_RIG_ERROR_MAX, "%s: out of memory", path);
	if (!strcmp(path, FNX_RIG_DEMO)) {
		r = load_text(&load, fnx_demo_rig, strlen(fnx_demo_rig), overrides, n_overrides);
	} else {
		r = read_file(path, &text, &size, error);
		if (!r)
			r = load_text(&load, text, size, overrides, n_overrides);
		free(text);
	}
	free(load.lines.lines);
	if (r) {
		/* One line, whatever the file holds. */
		for (char *at = error; *at; at++)
			if ((unsigned char)*at < ' ' || *at == 0x7f)
				*at = '?';
		fnx_rig_free(load.rig);
		return r;
	}
	*ret_rig = load.rig;
	return 0;
}

struct fnx_rig *fnx_rig_free(struct fnx_rig *rig)
{
	if (!rig)
		return NULL;
	for (uint32_t i = 0; i < rig->await.n; i++)
		free(rig->await.values[i]);
	free(rig->await.values);
	free(rig->path);
	cyaml_free(&cyaml, &fnx_rig_schema, rig, 0);
	return NULL;
}
