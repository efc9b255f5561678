/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a rig may say and probably does not mean. Whatever a node would refuse when it is opened,
 * and can be seen without opening it, is told here too: better at the desk than at the rig.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "nodes/dispatch/rule.h"
#include "nodes/fornix/check.h"
#include "nodes/ripple/seeds.h"

static void warn(struct fnx_check *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void refuse(struct fnx_check *check, const char *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void begin_line(struct fnx_check *check)
{
	fputs(check->n_warnings++ ? "  " : "\nwarnings\n  ", stdout);
}

static void warn(struct fnx_check *check, const char *format, ...)
{
	va_list args;

	begin_line(check);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* `node` would not start. */
static void refuse(struct fnx_check *check, const char *node, const char *format, ...)
{
	va_list args;

	begin_line(check);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("; %s will refuse\n", node);
	check->n_refusals++;
}

/* The source
 * ------------------------------------------------------------------------------------------ */

static void warn_about_source(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;

	if (rig->source.type != FNX_SOURCE_SIMULATOR && access(rig->source.file, R_OK))
		warn(check, "source.file: %s cannot be read from here", rig->source.file);
	if (!rig->n_electrode_groups && !rig->lfp.n_channels && !rig->track.enabled)
		warn(check,
			"source: no electrode_groups, no lfp, no track: nothing would be acquired");
	if (rig->bus.live && rig->source.speed <= 0)
		warn(check, "bus.live: with source.speed 0 whatever does not keep up loses frames");
	if (rig->bus.deadline_ms && !rig->bus.live)
		warn(check, "bus.deadline_ms: has an effect on live rigs only");
}

/* Arithmetic
 * ------------------------------------------------------------------------------------------ */

uint32_t fnx_check_ripple_channels(const struct fnx_rig *rig)
{
	return rig->ripple.channels.n ? rig->ripple.channels.n : rig->lfp.n_channels;
}

static void warn_about_seed_file(struct fnx_check *check, uint32_t n_seeds)
{
	const char *file = check->rig->ripple.seed_file;
	char error[FNX_SEEDS_ERROR_MAX];
	double *seeds;

	if (!file[0])
		return;
	if (access(file, R_OK)) {
		warn(check, "ripple.seed_file: %s cannot be read from here", file);
		return;
	}
	seeds = calloc(2 * (size_t)n_seeds, sizeof(*seeds));
	if (seeds && fnx_seeds_read(file, n_seeds, seeds, seeds + n_seeds, error))
		refuse(check, "ripple", "ripple.seed_file: %s", error);
	free(seeds);
}

static void warn_about_ripple(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;
	const struct fnx_rig_ripple *ripple = &rig->ripple;
	bool network = ripple->detector == FNX_RIPPLE_NETWORK;
	uint32_t n_seeds = fnx_check_ripple_channels(rig) + (network ? 0 : 1);

	if (!ripple->enabled)
		return;
	if (ripple->freeze && !ripple->mean.n && !ripple->seed_file[0])
		warn(check, "ripple.freeze: without mean and deviation the statistics never begin");
	if (ripple->mean.n != ripple->deviation.n || (ripple->mean.n && ripple->mean.n != n_seeds))
		refuse(check, "ripple",
			"ripple.mean, ripple.deviation: expected %u numbers each, one for each "
			"channel%s, found %u and %u",
			n_seeds, network ? "" : " and one for the consensus", ripple->mean.n,
			ripple->deviation.n);
	warn_about_seed_file(check, n_seeds);
	if (network && rig->source.duration_s > 0 && !ripple->mean.n && !ripple->seed_file[0] &&
		ripple->calibration_s >= rig->source.duration_s)
		warn(check,
			"ripple.calibration_s: outlasts source.duration_s: no ripple will be "
			"detected");
	if (ripple->blanking_ms > 0 && !rig->bus.live && !(ripple->artefact_uv > 0))
		warn(check,
			"ripple.blanking_ms: follows stimulation on live rigs only; elsewhere it "
			"needs "
			"artefact_uv");
	if (rig->source.duration_s > 0 &&
		ripple->warm_up_samples >= rig->source.duration_s * rig->lfp.rate_hz)
		warn(check,
			"ripple.warm_up_samples: outlasts source.duration_s: no ripple will be "
			"detected");
	if (!network && ripple->end > ripple->standard)
		warn(check, "ripple.end: above ripple.standard: ripples end as they begin");
	if (!rig->track.enabled && ripple->max_speed_cm_s > 0)
		warn(check,
			"ripple.max_speed_cm_s: without a track no speed is known, and it has no "
			"effect");
}

int fnx_check_is_group_of(const struct fnx_rig_ids *groups, uint32_t id)
{
	for (uint32_t i = 0; i < groups->n; i++)
		if (groups->values[i] == id)
			return 1;
	return 0;
}

static void warn_about_group(struct fnx_check *check, uint32_t id)
{
	const struct fnx_rig_encode *encode = &check->rig->encode;
	const char *owner = NULL;

	for (uint32_t i = 0; i < encode->n_instances; i++) {
		if (!fnx_check_is_group_of(&encode->instances[i].groups, id))
			continue;
		if (owner)
			warn(check,
				"encode: %s and %s both take electrode group %u: its spikes count "
				"twice",
				owner, encode->instances[i].name, id);
		owner = encode->instances[i].name;
	}
	if (!owner)
		warn(check, "encode: nobody takes electrode group %u: its spikes are not used", id);
}

static void warn_about_encode(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;

	if (!rig->encode.enabled)
		return;
	for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
		for (uint32_t id = rig->electrode_groups[i].id;
			id <= rig->electrode_groups[i].through; id++)
			warn_about_group(check, id);
	if (rig->encode.freeze)
		warn(check,
			"encode.freeze: nothing is learnt, and every spike tells the same about "
			"every place");
	if (!rig->decode.enabled)
		warn(check, "encode: without a decode section nobody reads the likelihoods");
}

static void warn_about_decode(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;
	double bin = rig->clock.time_bin_samples, tick;

	if (!rig->decode.enabled || rig->decode.tick != FNX_TICK_LFP)
		return;
	tick = rig->decode.lfp_per_bin * rig->clock.rate_hz / rig->lfp.rate_hz;
	if (tick < bin - 0.5 || tick > bin + 0.5)
		warn(check,
			"decode.lfp_per_bin: %u LFP samples are %g samples of the clock, "
			"time_bin_samples is %g: time bins %s",
			rig->decode.lfp_per_bin, tick, bin, tick < bin ? "overlap" : "leave gaps");
}

/* Dispatch
 * -------------------------------------------------------------------------------------------- */

static uint32_t n_encoded_groups(const struct fnx_rig *rig)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < rig->n_electrode_groups; i++)
		for (uint32_t id = rig->electrode_groups[i].id;
			id <= rig->electrode_groups[i].through; id++)
			for (uint32_t k = 0; k < rig->encode.n_instances; k++)
				if (fnx_check_is_group_of(&rig->encode.instances[k].groups, id)) {
					n++;
					break;
				}
	return n;
}

static void warn_about_rule(struct fnx_check *check, uint32_t k)
{
	const struct fnx_rig_rule *rule = &check->rig->dispatch.rules[k];
	struct fnx_rule *init = malloc(sizeof(*init));
	char why[FNX_RULE_WHY_MAX];
	uint32_t n_groups;

	if (init && fnx_rule_init(init, check->rig, k, why))
		refuse(check, "dispatch", "dispatch.rules[%u] \"%s\": %s", k, rule->name, why);
	free(init);
	if (rule->type == FNX_RULE_REPLAY) {
		n_groups = n_encoded_groups(check->rig);
		if (rule->min_groups > n_groups)
			warn(check,
				"dispatch.rules[%u] \"%s\": can never fire: min_groups is %u, the "
				"encoders take %u",
				k, rule->name, rule->min_groups, n_groups);
		if (rule->threshold > 0 && rule->threshold < rule->other_arms_below &&
			rule->threshold < 0.1)
			warn(check,
				"dispatch.rules[%u] \"%s\": fires often: threshold %g is little of "
				"the posterior",
				k, rule->name, rule->threshold);
	}
	for (uint32_t i = 0; i < k; i++)
		if (!rule->component && !check->rig->dispatch.rules[i].component &&
			check->rig->dispatch.rules[i].task == rule->task)
			warn(check, "dispatch.rules[%u] \"%s\": task %u is that of \"%s\" too", k,
				rule->name, rule->task, check->rig->dispatch.rules[i].name);
}

static void warn_about_dispatch(struct fnx_check *check)
{
	const struct fnx_rig_dispatch *dispatch = &check->rig->dispatch;
	char why[FNX_RULE_WHY_MAX];

	if (!dispatch->enabled)
		return;
	if (dispatch->armed && !dispatch->n_actuators)
		warn(check, "dispatch.armed: there are no actuators: decisions would do nothing");
	if (dispatch->armed && dispatch->dry_run)
		warn(check, "dispatch.armed: dry_run is set too: nothing acts");
	if (!dispatch->armed && dispatch->n_actuators)
		warn(check,
			"dispatch.armed: false: the actuators stay idle until `fornix set dispatch "
			"armed 1`");
	if (fnx_dispatch_check(check->rig, why))
		refuse(check, "dispatch", "%s", why);
	if (dispatch->max_age_ms <= 0)
		warn(check, "dispatch.max_age_ms: 0: old data is acted upon like new");
	if (dispatch->lockout_ms <= 0)
		warn(check, "dispatch.lockout_ms: 0: tasks may follow each other at once");
	else if (dispatch->max_rate_per_min > 60000 / dispatch->lockout_ms)
		warn(check,
			"dispatch.max_rate_per_min: %g can never be reached with a lock-out of %g "
			"ms",
			dispatch->max_rate_per_min, dispatch->lockout_ms);
	for (uint32_t k = 0; k < dispatch->n_rules; k++)
		warn_about_rule(check, k);
}

/* Names
 * -----------------------------------------------------------------------------------------------
 */

static int has_node(const struct fnx_rig *rig, const char *name)
{
	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops; ops++)
		for (unsigned k = 0; fnx_rig_node_name(*ops, rig, k); k++)
			if (!strcmp(fnx_rig_node_name(*ops, rig, k), name))
				return 1;
	return 0;
}

/* Nodes that run only when the command line asks for them. */
static int may_have_node(const struct fnx_rig *rig, const char *name)
{
	return has_node(rig, name) || !strcmp(name, "record") || !strcmp(name, "score");
}

static int has_topic(const struct fnx_rig *rig, const char *name)
{
	char names[FNX_RIG_TOPICS_MAX][FNX_NAME_MAX];
	unsigned n = fnx_rig_topics(rig, names, FNX_RIG_TOPICS_MAX);

	for (int params = 0; params < 2; params++) {
		for (unsigned i = 0; i < n && i < FNX_RIG_TOPICS_MAX; i++)
			if (!strcmp(names[i], name))
				return 1;
		n = fnx_rig_params(rig, names, FNX_RIG_TOPICS_MAX);
	}
	return 0;
}

static void warn_about_topics(
	struct fnx_check *check, const char *key, const struct fnx_rig_names *names)
{
	for (uint32_t i = 0; i < names->n; i++)
		if (!has_topic(check->rig, names->values[i]))
			refuse(check, "the node", "%s: the rig has no topic %s", key,
				names->values[i]);
}

static void warn_about_names(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;

	for (uint32_t i = 0; i < rig->n_nodes; i++)
		if (!may_have_node(rig, rig->nodes[i].name))
			warn(check, "nodes[%u]: the rig has no node %s", i, rig->nodes[i].name);
	for (uint32_t i = 0; i < rig->n_topics; i++)
		if (!has_topic(rig, rig->topics[i].name))
			warn(check, "topics[%u]: the rig has no topic %s", i, rig->topics[i].name);
	warn_about_topics(check, "record.topics", &rig->record.topics);
	warn_about_topics(check, "tap.topics", &rig->tap.topics);
}

/* The machine
 * ----------------------------------------------------------------------------------------- */

static void warn_about_processors(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;
	long n_processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n_spinning = 0;

	for (const struct fnx_node_ops *const *ops = fnx_all_nodes; *ops; ops++)
		for (unsigned k = 0; fnx_rig_node_name(*ops, rig, k); k++) {
			enum fnx_wait wait = rig->bus.wait;

			for (uint32_t i = 0; i < rig->n_nodes; i++)
				if (rig->nodes[i].wait &&
					!strcmp(rig->nodes[i].name,
						fnx_rig_node_name(*ops, rig, k)))
					wait = *rig->nodes[i].wait;
			n_spinning += wait == FNX_WAIT_SPIN;
		}
	if (n_spinning >= (unsigned)n_processors)
		warn(check,
			"wait: %u nodes spin, this machine has %ld processors: they would starve "
			"each other",
			n_spinning, n_processors);
	for (uint32_t i = 0; i < rig->n_nodes; i++)
		if (rig->nodes[i].cpu &&
			(*rig->nodes[i].cpu < 0 || *rig->nodes[i].cpu >= n_processors))
			warn(check, "nodes[%u]: cpu %d: this machine has 0 to %ld", i,
				*rig->nodes[i].cpu, n_processors - 1);
}

static void warn_about_memory(struct fnx_check *check)
{
	const struct fnx_rig *rig = check->rig;
	struct fnx_bus bus;
	struct statvfs fs;
	double free_bytes;
	char *slash;

	if (fnx_bus_init(&bus, rig->bus.name, rig->bus.segment_dir, rig->bus.run_dir)) {
		refuse(check, "every node",
			"bus: the path of a directory is too long for a socket");
		return;
	}
	/* The directory is made by who comes first; where it will be is there. */
	slash = strrchr(bus.segment_dir, '/');
	if (slash && slash != bus.segment_dir)
		*slash = 0;
	if (statvfs(bus.segment_dir, &fs)) {
		warn(check, "bus.segment_dir: there is no %s to make it in", bus.segment_dir);
		return;
	}
	free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
	if ((double)check->pool_bytes > free_bytes)
		warn(check, "topics: take %.0f MiB, %s has %.0f MiB left",
			(double)check->pool_bytes / (1 << 20), bus.segment_dir,
			free_bytes / (1 << 20));
}

void fnx_check_print_warnings(struct fnx_check *check)
{
	check->n_warnings = 0;
	warn_about_source(check);
	warn_about_ripple(check);
	warn_about_encode(check);
	warn_about_decode(check);
	warn_about_dispatch(check);
	warn_about_names(check);
	warn_about_processors(check);
	warn_about_memory(check);
	if (!check->n_warnings)
		printf("\nno warnings\n");
}
